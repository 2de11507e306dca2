"""Fit a workspace with ROOT's HistFactory and RooFit: ``python -m validation.bench.run_root WORKSPACE``.

MIGRAD with strategy 1 and HESSE, the CPU backend and the initial offset, as RooFit recommends.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import ROOT

from validation.bench.runner import Outcome, report
from validation.root_reference.histfactory import Model

Problem = tuple[Model, Any, dict[str, float]]


def load(path: Path) -> Problem:
    """The model, its likelihood, and the start of the fit."""
    content = json.loads(path.read_text())
    ROOT.RooMsgService.instance().setGlobalKillBelow(ROOT.RooFit.ERROR)
    with tempfile.TemporaryDirectory() as directory:  # HistFactory leaves files behind
        home = Path.cwd()
        os.chdir(directory)
        model = Model(content)
        os.chdir(home)
    return model, model.nll(offset="initial"), model.values()


def fit(problem: Problem) -> Outcome:
    """Best fit from the start values, with the uncertainty of HESSE."""
    model, nll, start = problem
    model.set(start)
    minimizer = ROOT.RooMinimizer(nll)
    minimizer.setPrintLevel(-1)
    minimizer.setStrategy(1)
    status = minimizer.minimize("Minuit2", "Migrad") or minimizer.hesse()
    return Outcome(model.values(), model.variable(model.poi).getError(), status == 0, f"status {status}")


if __name__ == "__main__":
    report("ROOT", ROOT.gROOT.GetVersion(), load, fit)
