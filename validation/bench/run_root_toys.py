"""Fit toys with ROOT's HistFactory and RooFit: ``python -m validation.bench.run_root_toys WORKSPACE SAMPLE OUT``.

Main data go into a RooDataSet of the observed one's shape, auxiliary data into the global observables; MIGRAD with
strategy 1 and HESSE from the truth, the CPU backend and the initial offset, as RooFit recommends.
"""

from pathlib import Path
from typing import Any

import numpy as np
import ROOT

from validation.bench.run_root import load as load_workspace
from validation.bench.toy_runner import Estimates, IntArray, Sample, report
from validation.root_reference.histfactory import Model, root_name

LUMI = "nominalLumi"


def load(path: Path, sample: Sample) -> Model:  # noqa: ARG001  # every program is given both
    """The model."""
    return load_workspace(path)[0]


def toy_data(model: Model, sample: Sample, toy: int) -> Any:
    """The counts of a toy, row by row where the observed counts are."""
    counts = {root_name(name): x for name, x in sample.main_by_channel(toy).items()}
    data, seen = model.data.emptyClone(), dict.fromkeys(counts, 0)
    for i in range(model.data.numEntries()):
        row = model.data.get(i)
        channel = row.getCatLabel("channelCat")
        data.add(row, float(counts[channel][seen[channel]]))
        seen[channel] += 1
    return data


def set_aux(model: Model, sample: Sample, toy: int) -> None:
    """Move the global observables to a toy's auxiliary data.

    Raises:
        LookupError: ROOT has no global observable for one of them.
    """
    known = {x.GetName(): x for x in model.config.GetGlobalObservables()}
    names = {p.name: p.root_name for p in model.parameters}
    for name, value in sample.aux_by_name(toy).items():
        if name not in names:
            continue  # constant in ROOT
        observable = known.get(LUMI if names[name] == "Lumi" else f"nom_{names[name]}")
        if observable is None:
            raise LookupError(f"no global observable of {name!r} among {sorted(known)[:5]}")
        observable.setRange(min(observable.getMin(), value), max(observable.getMax(), value))
        observable.setVal(value)


def start(model: Model, sample: Sample) -> None:
    """Every parameter at its truth, within the range that ROOT gives it."""
    values = model.values()
    truth = dict(zip(values, sample.truth_in(list(values), list(values.values())), strict=True))
    for name, x in truth.items():
        variable = model.variable(name)
        variable.setVal(min(max(x, variable.getMin()), variable.getMax()))


def fit(model: Model, sample: Sample, index: IntArray) -> Estimates:
    """One toy from its truth, with the uncertainty of HESSE."""
    toy = int(index[0])
    set_aux(model, sample, toy)
    start(model, sample)
    nll = model.nll(toy_data(model, sample, toy), offset="initial")
    minimizer = ROOT.RooMinimizer(nll)
    minimizer.setPrintLevel(-1)
    minimizer.setStrategy(1)
    status = minimizer.minimize("Minuit2", "Migrad") or minimizer.hesse()
    theta, sigma = sample.point(model.values()), model.variable(model.poi).getError()
    return Estimates.of_one(np.asarray(theta), converged=status == 0, sigma=sigma)


if __name__ == "__main__":
    report("ROOT", ROOT.gROOT.GetVersion(), load, fit)
