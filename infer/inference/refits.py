r"""Many fits close to a best fit: one parameter held elsewhere, or the auxiliary data moved.

Each starts on the tangent of the best fit,

.. math::
    \theta_i = x: \quad \hat\theta + (x - \hat\theta_i)\, C_{\cdot i} / C_{ii}, \qquad
    a \to a + \delta: \quad \hat\theta - C\, \frac{\partial^2(-\ln L)}{\partial\theta\,\partial a}\, \delta,

(implicit function theorem) and approaches its minimum by steps -C' g with the covariance C that is known at the
best fit, which needs gradients only; with theta_i held, C' = C - C_{.i} C_{i.} / C_ii is the inverse of what
remains of the Hessian (Schur complement).  Secants taken on the way correct C' (L-BFGS: Nocedal & Wright,
Numerical Optimization (2006), algorithm 7.4).  Close by, `minimize` takes over: its certificate is that of the
exact Hessian, and where the approach fails it searches as always.  What it leaves unconverged goes to MIGRAD.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Bool, Float, Int

from infer.data import Data
from infer.inference.batches import each
from infer.inference.fits import FitResult, solve
from infer.inference.minimize import CONVERGED, Box, Newton, minimize
from infer.likelihood import Likelihood
from infer.typing import AuxVector, MainData, Mask, Matrix, Scalar, Vector

FloatArray = npt.NDArray[np.float64]

_STEPS = 12  # gradients of an approach; what needs more is not close
_CLOSE = 1e-11  # expected fall of -log L below which the next step is the last: 1e-6 standard deviations after it
_EDM = 5e-13  # a difference of two fits wants them good to 1e-6 standard deviations, rather than to 3e-5
_MEMORY = 4  # secants that correct the covariance


class Near(eqx.Module):
    """What all refits have in common.

    Args:
        likelihood: The model.
        main: Main data.
        covariance: Inverse Hessian at the best fit with shape (P, P), zero for parameters fixed or at a bound.
        lower: Lower bounds with shape (P,).
        upper: Upper bounds with shape (P,).
        free: Parameters that the best fit could move, with shape (P,).
    """

    likelihood: Likelihood
    main: MainData
    covariance: Matrix
    lower: Vector
    upper: Vector
    free: Mask


class Change(eqx.Module):
    """What one refit does differently; with a leading axis (N, ...), but annotated for one.

    Args:
        aux: Auxiliary data with shape (A,).
        start: Where it starts with shape (P,), the held parameter at its value.
        held: Position of the parameter that is held, -1 for none.
    """

    aux: AuxVector
    start: Vector
    held: Int[Array, ""]


class Refitted(eqx.Module):
    """Where refits ended; with a leading axis (N, ...), but annotated for one.

    Args:
        theta: Minimum with shape (P,).
        nll: ``-logpdf`` there.
        status: Code of `minimize.MESSAGES`.
        n_steps: Evaluations of the curvature after the approach.
    """

    theta: Vector
    nll: Scalar
    status: Int[Array, ""]
    n_steps: Int[Array, ""]


@dataclass(frozen=True)
class _Refit:
    """One refit."""

    solver: Newton

    def __call__(self, near: Near, change: Change) -> Refitted:
        data, box = Data(near.main, change.aux), _box(near, change)
        start = _approached(near, data, box, change.held)
        box = Box(start, box.lower, box.upper, box.free)
        minimum = minimize(near.likelihood, data, box, solver=self.solver)
        return Refitted(minimum.theta, minimum.curvature.value, minimum.status, minimum.n_steps)


def vicinity(likelihood: Likelihood, data: Data, fitted: FitResult) -> Near:
    """The surroundings of a best fit."""
    p = fitted.parameters
    return Near(likelihood, data.main, *map(jnp.asarray, (fitted.covariance, p.lower, p.upper, ~p.fixed)))


def refit(near: Near, changes: Change, *, solver: Newton) -> Refitted:
    """Every refit, in one batch on all cores; where that fails, Newton as in any fit, and MIGRAD."""
    strict = replace(solver, edm=min(solver.edm, _EDM))
    found = each(_Refit(strict), near, changes, size=changes.start.shape[1])
    for i in np.flatnonzero(np.asarray(found.status) != CONVERGED).tolist():
        one = jax.tree.map(lambda x, i=i: jnp.asarray(x[i]), changes)
        minimum = solve(near.likelihood, Data(near.main, one.aux), _box(near, one), solver)[0].minimum
        found.theta[i], found.nll[i] = minimum.theta, minimum.curvature.value
        found.status[i], found.n_steps[i] = minimum.status, minimum.n_steps
    return found


def reference(fitted: FitResult, at: int) -> float:
    """A best fit after one more step: its own EDM may leave 3e-5 standard deviations, more than some impacts."""
    return float(fitted.values[at] - fitted.covariance[at] @ fitted.gradient)


def holding(fitted: FitResult, aux: FloatArray, held: npt.NDArray[np.intp], at: FloatArray) -> Change:
    """Changes that hold parameter ``held[k]`` at ``at[k]``, both with shape (N,); the data stay as they are."""
    start = fitted.values + (at - fitted.values[held])[:, None] * tangents(fitted, held)
    start[np.arange(held.size), held] = at
    return _changes(np.broadcast_to(aux, (held.size, aux.size)), start, held)


def tangents(fitted: FitResult, held: npt.NDArray[np.intp]) -> FloatArray:
    """Derivatives of the other best fits with respect to held parameters, with shape (N, P).

    C_{.i} / C_ii, or -C H_{.i} for a parameter at a bound, which has no part in C.
    """
    variances = np.diagonal(fitted.covariance)[held]
    inside = variances > 0.0
    slopes: FloatArray = fitted.covariance[held] / np.where(inside, variances, 1.0)[:, None]
    outside = held[~inside]
    slopes[~inside] = -(fitted.hessian[outside] @ fitted.covariance)
    slopes[np.arange(held.size), held] = 1.0
    return slopes


def moving(likelihood: Likelihood, data: Data, fitted: FitResult, moves: FloatArray) -> Change:
    """Changes that move the auxiliary data by ``moves`` with shape (N, A), in the units of their covariance."""
    constraints = likelihood.constraints
    aux = jax.vmap(lambda move: constraints.moved(data.aux, move))(jnp.asarray(moves))
    response = np.asarray(constraints.score_derivative(jnp.asarray(fitted.values)))
    start = fitted.values - moves @ response.T @ fitted.covariance
    return _changes(aux, start, np.full(len(moves), -1))


def elsewhere(aux: FloatArray, starts: FloatArray) -> Change:
    """Changes that start somewhere else, with shape (N, P), and hold nothing: what is held, `Near` does not free."""
    n = len(starts)
    return _changes(np.broadcast_to(aux, (n, np.size(aux))), starts, np.full(n, -1))


def _changes(*columns: npt.NDArray[Any] | Array) -> Change:
    changes: Change = jax.vmap(Change)(*map(jnp.asarray, columns))
    return changes


def _box(near: Near, change: Change) -> Box:
    """The box of a refit; a held parameter has no bounds."""
    held = jnp.arange(change.start.shape[0]) == change.held
    lower, upper = jnp.where(held, -jnp.inf, near.lower), jnp.where(held, jnp.inf, near.upper)
    return Box(jnp.clip(change.start, lower, upper), lower, upper, near.free & ~held)


class _Approach(NamedTuple):
    """State of an approach."""

    theta: Vector
    gradient: Vector
    fall: Scalar  # of -log L that the next step should bring
    step: Vector  # that step
    steps: Float[Array, "m p"]  # the last ones, latest first
    bends: Float[Array, "m p"]  # changes of the gradient over them
    going: Bool[Array, ""]
    n: Int[Array, ""]


def _approached(near: Near, data: Data, box: Box, held: Int[Array, ""]) -> Vector:
    """A point close to the minimum, or the start where the steps do not lead down."""
    size = box.start.shape[0]
    column = jnp.where(held >= 0, near.covariance[held], 0.0)
    variance = jnp.where(column[held] > 0.0, column[held], 1.0)

    def slope(theta: Vector) -> Vector:
        return near.likelihood.curvature(theta, data).gradient  # XLA leaves out what nobody asks for

    def inverse(g: Vector) -> Vector:
        return near.covariance @ g - column * (column @ g / variance)

    def next_step(theta: Vector, g: Vector, s: Float[Array, "m p"], y: Float[Array, "m p"]) -> tuple[Vector, Scalar]:
        p = -_corrected(g, s, y, inverse)
        return jnp.clip(theta + p, box.lower, box.upper) - theta, -0.5 * g @ p

    def advance(now: _Approach) -> _Approach:
        theta = now.theta + now.step
        g = slope(theta)
        steps = jnp.concatenate([now.step[None], now.steps[:-1]])
        bends = jnp.concatenate([(g - now.gradient)[None], now.bends[:-1]])
        step, fall = next_step(theta, g, steps, bends)
        better = (fall >= 0.0) & (fall < 0.5 * now.fall) & jnp.all(jnp.isfinite(step))
        after = _Approach(theta, g, fall, step, steps, bends, fall > _CLOSE, now.n + 1)
        stay = now._replace(step=jnp.zeros(size), going=jnp.asarray(False))
        return jax.tree.map(lambda new, old: jnp.where(better, new, old), after, stay)

    # The start counts as the end of a first step of no length, so that the program has one copy of the gradient.
    zero, none = jnp.zeros(size), jnp.zeros((_MEMORY, size))
    first = _Approach(box.start, zero, jnp.asarray(jnp.inf), zero, none, none, jnp.asarray(True), jnp.asarray(0))
    last = jax.lax.while_loop(lambda now: now.going & (now.n < _STEPS), advance, first)
    return last.theta + last.step


def _corrected(
    g: Vector, steps: Float[Array, "m p"], bends: Float[Array, "m p"], inverse: Callable[[Vector], Vector]
) -> Vector:
    """The inverse Hessian, corrected by secants, times ``g``: two loops of L-BFGS, without secants that bend down."""
    products = jnp.sum(steps * bends, axis=1)
    rho = jnp.where(products > 0.0, 1.0 / jnp.where(products > 0.0, products, 1.0), 0.0)
    weights = []
    for s, y, r in zip(steps, bends, rho, strict=True):
        weights.append(r * (s @ g))
        g = g - weights[-1] * y
    g = inverse(g)
    for s, y, r, w in reversed(list(zip(steps, bends, rho, weights, strict=True))):
        g = g + (w - r * (y @ g)) * s
    return g
