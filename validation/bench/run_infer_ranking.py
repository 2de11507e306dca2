"""Rank nuisance parameters with this package: ``python -m validation.bench.run_infer_ranking WORKSPACE``."""

from importlib.metadata import version

import infer
from validation.bench.run_infer import Problem, load
from validation.bench.runner import Answer, report


def rank(problem: Problem) -> Answer:
    """Best fit, and impacts of all nuisance parameters on both sides, post-fit and pre-fit."""
    found = infer.impacts(*problem)
    shifts = {f"{i.name} {side}": shift.impact for i in found.impacts for side, shift in i.shifts.items()}
    numbers = {name: impact for name, impact in shifts.items() if impact is not None}
    return Answer(numbers, found.n_failed == 0, f"{found.n_failed} of {found.n_refits} refits failed")


if __name__ == "__main__":
    report("infer", version("infer-hep"), load, rank)
