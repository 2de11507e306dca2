"""Upper limits with pyhf: ``python -m validation.bench.run_pyhf_limit WORKSPACE --optimizer scipy``."""

import pyhf

from validation.bench.run_pyhf import Problem, choose, load
from validation.bench.runner import BANDS, Answer, report


def limit(problem: Problem) -> Answer:
    """The observed limit and the five expected ones, by pyhf's own root search."""
    model, data = problem
    try:
        observed, expected = pyhf.infer.intervals.upper_limits.toms748_scan(
            data, model, *_bracket(model), level=0.05, rtol=1e-4
        )
    except (pyhf.exceptions.FailedMinimization, ValueError) as error:
        return Answer({}, converged=False, message=str(error).splitlines()[0])
    return Answer(dict(zip(BANDS, map(float, (observed, *expected)), strict=True)), converged=True)


def _bracket(model: pyhf.Model) -> tuple[float, float]:
    low, high = model.config.suggested_bounds()[model.config.poi_index]
    return float(low), float(high)


if __name__ == "__main__":
    report(choose(), pyhf.__version__, load, limit)
