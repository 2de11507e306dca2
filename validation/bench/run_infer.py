"""Fit a workspace with this package: ``python -m validation.bench.run_infer WORKSPACE``."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import infer
from validation.bench.runner import Outcome, report

Problem = tuple[Any, Any]


def load(path: Path) -> Problem:
    """The likelihood and its data."""
    return infer.read_workspace(path)


def fit(problem: Problem) -> Outcome:
    """Best fit, Hessian covariance and certificate."""
    likelihood, data = problem
    result = infer.fit(likelihood, data)
    names = likelihood.parameters.names
    values = dict(zip(names, np.asarray(result.values).tolist(), strict=True))
    uncertainties = dict(zip(names, np.asarray(result.uncertainties).tolist(), strict=True))
    sigma = uncertainties[result.poi]
    return Outcome(values, sigma if np.isfinite(sigma) else None, bool(result.status.converged))


if __name__ == "__main__":
    report("infer", version("infer-hep"), load, fit)
