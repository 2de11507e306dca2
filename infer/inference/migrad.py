"""MIGRAD (iminuit): the second engine, independent of `minimize` in algorithm and in derivatives.

It sees the likelihood through ``logpdf`` and its automatic gradient only, never through a closed-form
curvature, so that a wrong closed form cannot confirm itself.

Source: James & Roos, Minuit, CPC 10 (1975) 343; iminuit, doi:10.5281/zenodo.3949207.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from iminuit import Minuit

from infer.data import Data
from infer.inference.minimize import Box
from infer.likelihood import Likelihood
from infer.typing import Scalar, Vector

FloatArray = npt.NDArray[np.float64]

_MAX_CALLS = 20_000
_FORBIDDEN = 1e15  # stands for an infinite -logpdf: MIGRAD steps back from it


@dataclass(frozen=True, eq=False)
class MigradResult:
    """What MIGRAD found.

    Attributes:
        theta: The point with shape (P,).
        nll: Value of -logpdf there.
        valid: MIGRAD's own word on convergence.
        n_calls: Evaluations of the likelihood.
    """

    theta: FloatArray
    nll: float
    valid: bool
    n_calls: int


def migrad(likelihood: Likelihood, data: Data, box: Box) -> MigradResult:
    """Minimise ``-logpdf`` over the free parameters of the box by MIGRAD with gradients."""
    free = np.flatnonzero(np.asarray(box.free))
    base = np.clip(np.asarray(box.start), np.asarray(box.lower), np.asarray(box.upper))
    if free.size == 0:
        value, _ = _value_and_gradient(likelihood, data, jnp.asarray(base))
        return MigradResult(base, float(value), True, 1)

    @lru_cache(maxsize=1)  # MIGRAD asks for the value and the gradient of a point one after the other
    def at(point: bytes) -> tuple[float, FloatArray]:
        theta = base.copy()
        theta[free] = np.frombuffer(point)
        value, gradient = _value_and_gradient(likelihood, data, jnp.asarray(theta))
        slope = np.asarray(gradient)[free]
        if not (np.isfinite(value) and np.all(np.isfinite(slope))):
            return _FORBIDDEN, np.zeros(free.size)
        return float(value), slope

    minuit = Minuit(lambda x: at(x.tobytes())[0], base[free], grad=lambda x: at(x.tobytes())[1])
    minuit.errordef = Minuit.LIKELIHOOD
    minuit.limits = list(zip(np.asarray(box.lower)[free], np.asarray(box.upper)[free], strict=True))
    minuit.errors = _first_steps(likelihood)[free]
    minuit.strategy = 1
    minuit.migrad(ncall=_MAX_CALLS)
    theta = base.copy()
    theta[free] = np.asarray(minuit.values)
    return MigradResult(theta, float(minuit.fval or np.inf), bool(minuit.valid), int(minuit.nfcn))


@eqx.filter_jit
def _value_and_gradient(likelihood: Likelihood, data: Data, theta: Vector) -> tuple[Scalar, Vector]:
    return jax.value_and_grad(lambda t: -likelihood.logpdf(t, data))(theta)


def _first_steps(likelihood: Likelihood) -> FloatArray:
    """MIGRAD's first step sizes: the constraint's width, else a tenth of the start value or 0.1."""
    steps = []
    for parameter in likelihood.parameters.values():
        width = parameter.prefit_uncertainty()
        steps.append(width if width else max(0.1 * abs(parameter.init), 0.1))
    return np.asarray(steps)
