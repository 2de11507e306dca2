"""Fit toys with this package's second engine: ``python -m validation.bench.run_migrad_toys WORKSPACE SAMPLE OUT``.

MIGRAD sees the likelihood through its value and automatic gradient alone, and judges where Newton's search ends.
"""

from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np

from infer.data import Data
from infer.inference.migrad import migrad
from validation.bench.run_infer_toys import Problem, load
from validation.bench.toy_runner import Estimates, IntArray, Pace, Sample, report


def fit(problem: Problem, sample: Sample, index: IntArray) -> Estimates:
    """One toy from its truth."""
    toy = int(index[0])
    data = Data(jnp.asarray(sample.main[toy]), jnp.asarray(sample.aux[toy]))
    found = migrad(problem.likelihood, data, problem.model.box)
    return Estimates.of_one(np.asarray(found.theta), converged=found.valid, n_steps=found.n_calls)


if __name__ == "__main__":
    jax.block_until_ready(jnp.zeros(1))
    report("infer MIGRAD", version("infer-hep"), load, fit, Pace(warm_up=1))
