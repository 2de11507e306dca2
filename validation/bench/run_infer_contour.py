"""A contour with this package: ``python -m validation.bench.run_infer_contour WORKSPACE``."""

from importlib.metadata import version

import infer
from validation.bench.run_infer import Problem, load
from validation.bench.runner import Answer, report

POINTS = 50


def contour(problem: Problem) -> Answer:
    """The profile likelihood of the parameter of interest and the first other one, on a grid of 50 x 50 points."""
    likelihood, data = problem
    poi = str(likelihood.parameters.poi)
    other = next(name for name, p in likelihood.parameters.items() if name != poi and not p.fixed)
    found = infer.contour(likelihood, data, parameters=(poi, other), points=(POINTS, POINTS))
    corners = {f"{i},{j}": float(found.delta_twice_nll[i, j]) for i in (0, -1) for j in (0, -1)}
    return Answer(corners, found.n_failed == 0, f"{found.n_failed} of {POINTS**2} fits failed")


if __name__ == "__main__":
    report("infer", version("infer-hep"), load, contour)
