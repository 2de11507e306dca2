"""Fit toys with this package: ``python -m validation.bench.run_infer_toys WORKSPACE SAMPLE OUT``."""

import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import infer
from infer.data import Data
from infer.inference.campaigns import Run, prepare
from infer.inference.ensembles import Toy
from infer.inference.fits import Settings
from infer.inference.minimize import CONVERGED
from infer.inference.toy_fits import Model, fit_toys
from validation.bench.toy_runner import Estimates, IntArray, Pace, Sample, report

COMPILED = 16
"""Toys of the smallest call that compiles what larger calls run."""
KEY = 20260101
WHOLE = "--whole"
"""Argument that asks for the time of ``infer.toys`` too."""


@dataclass(frozen=True)
class Problem:
    """The observed analysis, and the model that toys are fitted with."""

    likelihood: Any
    data: Data
    model: Model
    n_toys: int


def load(path: Path, sample: Sample) -> Problem:
    """Read the workspace and find the truth by a fit to the observed data."""
    likelihood, data = infer.read_workspace(path)
    campaign, _ = prepare(
        likelihood,
        data,
        key=jax.random.key(KEY),
        n_toys=len(sample),
        poi=None,
        values=[None],
        ensemble=None,
        settings=Settings(),
        run=Run(),
    )
    return Problem(likelihood, data, campaign.models[0], len(sample))


def toys_of(sample: Sample, index: IntArray) -> Toy:
    """The toys of a sample; its names are in this package's own order."""
    keys = np.zeros((index.size, 2), dtype=np.uint32)  # of templates, which do not fluctuate here
    truth = np.broadcast_to(sample.truth, (index.size, sample.truth.size))
    toys = jax.vmap(lambda theta, main, aux, key: Toy(theta, Data(main, aux), key))(
        truth, sample.main[index], sample.aux[index], keys
    )
    found: Toy = jax.device_get(toys)
    return found


def fit(problem: Problem, sample: Sample, index: IntArray) -> Estimates:
    """All toys in one call, through the machinery of ``infer.toys``."""
    found = fit_toys(problem.model, toys_of(sample, index), solver=Settings().solver)
    return Estimates(
        np.asarray(found.theta),
        np.asarray(found.status) == CONVERGED,
        np.asarray(found.sigma),
        np.asarray(found.n_steps),
        np.asarray(found.engine),
    )


def whole(problem: Problem) -> dict[str, Any]:
    """Toys a second of ``infer.toys``: drawing, fits and pulls, after a short call has compiled everything."""
    if WHOLE not in sys.argv:
        return {}
    for n in (COMPILED, problem.n_toys):
        found = infer.toys(problem.likelihood, problem.data, key=jax.random.key(KEY), n_toys=n)
    return {"drawn_and_fitted": found.n / found.seconds}


def main() -> None:
    """Report on all toys, again and again while there is time."""
    jnp.zeros(1).block_until_ready()  # starts JAX
    report("infer", version("infer-hep"), load, fit, Pace(batch=0, warm_up=COMPILED, repeats=True), extra=whole)


if __name__ == "__main__":
    main()
