"""Upper limits with this package: ``python -m validation.bench.run_infer_limit WORKSPACE``."""

from importlib.metadata import version

import infer
from validation.bench.run_infer import Problem, load
from validation.bench.runner import BANDS, Answer, report


def limit(problem: Problem) -> Answer:
    """The observed limit and the five expected ones."""
    found = infer.upper_limit(*problem)
    named = zip(BANDS, (found.observed, *found.expected), strict=True)
    numbers = {name: value for name, value in named if value is not None}
    return Answer(numbers, found.certificate.trustworthy, "; ".join(found.certificate.objections))


if __name__ == "__main__":
    report("infer", version("infer-hep"), load, limit)
