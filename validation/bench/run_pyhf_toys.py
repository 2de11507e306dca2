"""Fit toys with pyhf: ``python -m validation.bench.run_pyhf_toys ... --backend numpy --optimizer minuit``.

A loop over `pyhf.infer.mle.fit`, which is what pyhf's own toy calculator does, on pyhf's full data vector.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pyhf

from validation.bench.run_pyhf import load as load_workspace
from validation.bench.toy_runner import Estimates, FloatArray, IntArray, Pace, Sample, report

COMPILED = ("jax",)
"""Backends whose first fit includes compilation."""


def load(path: Path, sample: Sample) -> Any:  # noqa: ARG001  # every program is given both
    """The model."""
    return load_workspace(path)[0]


def aux_names(model: Any) -> list[str]:
    """Parameter of every auxiliary datum, in pyhf's order."""
    slices = [model.config.par_slice(name) for name in model.config.auxdata_order]
    return [name for part in slices for name in model.config.par_names[part]]


def data_vector(model: Any, sample: Sample, toy: int) -> FloatArray:
    """Main counts by channel and auxiliary data, in pyhf's order; what the toys do not know is as observed."""
    by_channel, by_name = sample.main_by_channel(toy), sample.aux_by_name(toy)
    main = np.concatenate([by_channel[name] for name in model.config.channels])
    pairs = zip(aux_names(model), model.config.auxdata, strict=True)
    return np.concatenate([main, [by_name.get(name, x) for name, x in pairs]])


def fit(model: Any, sample: Sample, index: IntArray) -> Estimates:
    """One toy from its truth; with minuit also the uncertainty of HESSE."""
    names, poi = model.config.par_names, model.config.poi_index
    minuit = isinstance(pyhf.optimizer, pyhf.optimize.minuit_optimizer)
    data = pyhf.tensorlib.astensor(data_vector(model, sample, int(index[0])))
    start = sample.truth_in(names, model.config.suggested_init())
    try:
        found = np.asarray(pyhf.infer.mle.fit(data, model, init_pars=start, return_uncertainties=minuit))
    except pyhf.exceptions.FailedMinimization:
        return Estimates.of_one(np.full(len(sample.names), np.nan), converged=False)
    values = found[:, 0] if minuit else found
    theta = sample.point(dict(zip(names, values.tolist(), strict=True)))
    return Estimates.of_one(theta, converged=True, sigma=float(found[poi, 1]) if minuit else None)


def main() -> None:
    """Choose backend and optimiser, then report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--optimizer", default="minuit")
    choice, _ = parser.parse_known_args()
    pyhf.set_backend(choice.backend, getattr(pyhf.optimize, f"{choice.optimizer}_optimizer")(), precision="64b")
    pace = Pace(warm_up=int(choice.backend in COMPILED))
    report(f"pyhf {choice.backend} {choice.optimizer}", pyhf.__version__, load, fit, pace)


if __name__ == "__main__":
    main()
