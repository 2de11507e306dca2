"""Fit a workspace with NextStat, in NextStat's own environment: ``python -m validation.bench.run_nextstat WORKSPACE``.

NextStat is licensed under the AGPL. It is an opponent in a process of its own, and nothing else here.
"""

from pathlib import Path
from typing import Any

import nextstat

from validation.bench.runner import Outcome, report


def load(path: Path) -> Any:
    """The model, built from the workspace's text."""
    return nextstat.from_pyhf(path.read_text())


def fit(model: Any) -> Outcome:
    """Best fit with its Hessian uncertainties."""
    result = nextstat.fit(model)
    values = dict(zip(model.parameter_names(), result.parameters, strict=True))
    sigma = result.uncertainties[model.poi_index()]
    return Outcome(values, sigma, bool(result.converged), str(result.termination_reason))


if __name__ == "__main__":
    report("NextStat", nextstat.__version__, load, fit)
