"""Fits of many toys: one record a toy, nothing dropped.

Every toy is searched by the Newton solver from its truth.  What that leaves unconverged goes to MIGRAD,
whose end point Newton polishes and certifies; what is left then is counted, and known by its number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Bool, Int

from infer.inference.batches import each
from infer.inference.ensembles import Toy
from infer.inference.migrad import migrad
from infer.inference.minimize import CONVERGED, Box, Minimum, Newton, minimize, restricted, variances
from infer.likelihood import Likelihood
from infer.typing import Mask, Matrix, Scalar, Vector

FloatArray = npt.NDArray[np.float64]

NEWTON, MIGRAD = 0, 1
"""Which engine found a minimum."""


class Model(eqx.Module):
    """What all toys of one truth have in common.

    Args:
        likelihood: The model that is fitted.
        box: Start, bounds and free parameters of a fit.
        information: Expected Hessian at the start, None where there is none.
        at: Position of the parameter of interest.
        mc_scale: Size of the simulated samples, in units of those that the templates were made of, that
            every toy has new templates from; None keeps the templates.
    """

    likelihood: Likelihood
    box: Box
    information: Matrix | None
    at: Int[Array, ""]
    mc_scale: Scalar | None = None

    def rebuilt(self, toy: Toy) -> Likelihood:
        """The model as a toy's analyst has it: with new templates, where those fluctuate."""
        if self.mc_scale is None:
            return self.likelihood
        return self.likelihood.resimulated(jax.random.wrap_key_data(toy.key), self.mc_scale)


class Fits(eqx.Module):
    """Best fits of toys; with a leading axis (N, ...), but annotated for one.

    Args:
        theta: Best fit with shape (P,).
        nll: ``-logpdf`` there.
        uncertainty: Standard deviations by the Hessian with shape (P,); zero for parameters fixed or at a
            bound, NaN where the Hessian is not positive definite.
        sigma: Standard deviation of the parameter of interest, released from its bound if it is there; NaN
            where the Hessian gives none.
        column: Column of the covariance that belongs to it, with shape (P,).
        slope: Derivative of ``-logpdf`` with respect to it.
        inactive: Parameters that are neither fixed nor at a bound, with shape (P,).
        edm: Estimated distance to the minimum, in units of ``-log L``.
        projected_gradient: Largest scaled component of the gradient.
        positive_definite: Whether the Hessian is.
        status: Code of `minimize.MESSAGES`.
        n_steps: Evaluations of the curvature.
        engine: `NEWTON` or `MIGRAD`.
    """

    theta: Vector
    nll: Scalar
    uncertainty: Vector
    sigma: Scalar
    column: Vector
    slope: Scalar
    inactive: Mask
    edm: Scalar
    projected_gradient: Scalar
    positive_definite: Bool[Array, ""]
    status: Int[Array, ""]
    n_steps: Int[Array, ""]
    engine: Int[Array, ""]


@dataclass(frozen=True)
class FreeFit:
    """The fit of one toy."""

    solver: Newton

    def __call__(self, model: Model, problem: tuple[Toy, Vector]) -> Fits:
        """The record of one toy, from its start."""
        toy, start = problem
        box = Box(start, model.box.lower, model.box.upper, model.box.free)
        likelihood = model.rebuilt(toy)
        minimum = minimize(likelihood, toy.data, box, solver=self.solver, information=model.information)
        return _record(minimum, model.at)


def _record(minimum: Minimum, at: Int[Array, ""]) -> Fits:
    hessian, inactive = minimum.curvature.hessian, minimum.inactive
    size = inactive.shape[0]
    released = inactive | (jnp.arange(size) == at)
    factor = jnp.linalg.cholesky(restricted(hessian, released))
    unit = (jnp.arange(size) == at).astype(hessian.dtype)
    column = jnp.where(released, cho_solve((factor, True), unit), 0.0)
    return Fits(
        theta=minimum.theta,
        nll=minimum.curvature.value,
        uncertainty=jnp.sqrt(variances(hessian, inactive)),
        sigma=jnp.sqrt(column[at]),
        column=column,
        slope=minimum.curvature.gradient[at],
        inactive=inactive,
        edm=minimum.edm,
        projected_gradient=minimum.projected_gradient,
        positive_definite=minimum.positive_definite,
        status=minimum.status,
        n_steps=minimum.n_steps,
        engine=jnp.asarray(NEWTON),
    )


def fit_toys(model: Model, toys: Toy, *, solver: Newton, start: FloatArray | None = None) -> Fits:
    """Fit every toy, each from ``start`` with shape (N, P) or the box's own; MIGRAD where Newton fails."""
    n, size = toys.truth.shape
    if start is None:
        start = np.broadcast_to(np.asarray(model.box.start), (n, size))
    else:
        model = eqx.tree_at(lambda m: m.information, model, None, is_leaf=lambda x: x is None)
    found = each(FreeFit(solver), model, (toys, start), size=size)
    for i in np.flatnonzero(np.asarray(found.status) != CONVERGED).tolist():
        found = _replaced(found, i, _by_migrad(model, one_of(toys, i), found, i, solver))
    return found


def one_of(batch: Any, i: int) -> Any:
    """Entry i of a batch."""
    return jax.tree.map(lambda x: x[i], batch)


def _by_migrad(model: Model, toy: Toy, found: Fits, i: int, solver: Newton) -> Fits:
    """MIGRAD from the best point so far, polished and certified by Newton."""
    likelihood = model.rebuilt(toy)
    theta = found.theta[i] if np.isfinite(found.nll[i]) else np.asarray(model.box.start)
    ended = migrad(likelihood, toy.data, eqx.tree_at(lambda b: b.start, model.box, jnp.asarray(theta)))
    again = eqx.tree_at(lambda m: m.information, model, None, is_leaf=lambda x: x is None)
    one: Any = jax.tree.map(lambda x: x[None], toy)
    polished = each(FreeFit(solver), again, (one, ended.theta[None]), size=ended.theta.size)
    polished = eqx.tree_at(lambda f: f.engine, polished, np.full(1, MIGRAD))
    better = polished.status[0] == CONVERGED or not polished.nll[0] > found.nll[i]
    return jax.tree.map(lambda x: x[0], polished if better else jax.tree.map(lambda x: x[i : i + 1], found))


def _replaced(found: Fits, i: int, record: Fits) -> Fits:
    def put(column: np.ndarray, value: Any) -> np.ndarray:
        column = np.array(column)
        column[i] = value
        return column

    return jax.tree.map(put, found, record)


@dataclass(frozen=True)
class ConditionalFit:
    """``-logpdf`` of one toy with the parameter of interest held at a value, and where that is; status too."""

    solver: Newton

    def __call__(self, model: Model, problem: tuple[Toy, Fits, Scalar]) -> tuple[Scalar, Vector, Int[Array, ""]]:
        """Value, point and status."""
        toy, best, x = problem
        likelihood = model.rebuilt(toy)
        minimum = minimize(
            likelihood, toy.data, conditional_box(model, tangent(best, model.at, x), x), solver=self.solver
        )
        return minimum.curvature.value, minimum.theta, minimum.status


def tangent(best: Fits, at: Int[Array, ""], x: Scalar) -> Vector:
    """Where the tangent of the profile leads when the parameter of interest moves to ``x``."""
    variance = jnp.where(best.column[at] > 0.0, best.column[at], 1.0)
    slope = jnp.where(best.column[at] > 0.0, best.column / variance, 0.0)
    return best.theta + (x - best.theta[at]) * slope


def conditional_box(model: Model, start: Vector, x: Scalar) -> Box:
    """The box of a fit with the parameter of interest held at ``x``."""
    held = jnp.arange(start.shape[0]) == model.at
    lower = jnp.where(held, -jnp.inf, model.box.lower)
    upper = jnp.where(held, jnp.inf, model.box.upper)
    return Box(jnp.where(held, x, jnp.clip(start, lower, upper)), lower, upper, model.box.free & ~held)
