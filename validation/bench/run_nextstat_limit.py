"""Upper limits with NextStat, in its own environment: ``python -m validation.bench.run_nextstat_limit``.

NextStat is licensed under the AGPL. It is an opponent in a process of its own, and nothing else here.
"""

from typing import Any

import nextstat

from validation.bench.run_nextstat import load
from validation.bench.runner import BANDS, Answer, report


def limit(model: Any) -> Answer:
    """The observed limit and the five expected ones; NextStat says nothing of convergence here."""
    try:
        observed, expected = nextstat.upper_limit(model, method="root")
    except (RuntimeError, ValueError) as error:
        return Answer({}, converged=False, message=str(error).splitlines()[0])
    return Answer(dict(zip(BANDS, map(float, (observed, *expected)), strict=True)), converged=True)


if __name__ == "__main__":
    report("NextStat", nextstat.__version__, load, limit)
