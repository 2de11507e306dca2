"""Fit a workspace with this package: ``python -m validation.bench.run_infer WORKSPACE``."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

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
    values = {name: result.value(name) for name in result.parameters.names}
    sigma = result.uncertainty(result.poi) if result.poi else None
    return Outcome(values, sigma, result.status.converged, result.status.message)


if __name__ == "__main__":
    report("infer", version("infer-hep"), load, fit)
