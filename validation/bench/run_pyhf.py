"""Fit a workspace with pyhf: ``python -m validation.bench.run_pyhf WORKSPACE --backend numpy --optimizer minuit``."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyhf

from validation.bench.runner import Outcome, report

INTERPOLATION = {"normsys": {"interpcode": "code4"}, "histosys": {"interpcode": "code4p"}}
Problem = tuple[Any, Any]


def load(path: Path) -> Problem:
    """The model and its data."""
    workspace = pyhf.Workspace(json.loads(path.read_text()))
    model = workspace.model(modifier_settings=INTERPOLATION)
    return model, pyhf.tensorlib.astensor(workspace.data(model))


def fit(problem: Problem) -> Outcome:
    """Best fit; with minuit also the uncertainties of HESSE (SLSQP gives none)."""
    model, data = problem
    names, poi = model.config.par_names, model.config.poi_index
    minuit = isinstance(pyhf.optimizer, pyhf.optimize.minuit_optimizer)
    try:
        found = np.asarray(pyhf.infer.mle.fit(data, model, return_uncertainties=minuit))
    except pyhf.exceptions.FailedMinimization as error:
        return Outcome({}, None, converged=False, message=str(error).splitlines()[0])
    values = found[:, 0] if minuit else found
    sigma = float(found[poi, 1]) if minuit else None
    return Outcome(dict(zip(names, values.tolist(), strict=True)), sigma, converged=True)


def choose() -> str:
    """Set the backend and the optimiser that the command line names; what this makes of pyhf."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--optimizer", default="minuit")
    choice, _ = parser.parse_known_args()
    optimizer = getattr(pyhf.optimize, f"{choice.optimizer}_optimizer")()
    pyhf.set_backend(choice.backend, optimizer, precision="64b")
    return f"pyhf {choice.backend} {choice.optimizer}"


if __name__ == "__main__":
    report(choose(), pyhf.__version__, load, fit)
