r"""A bounded Newton minimiser with a certificate.

Minimise f(theta) = -logpdf in a box, with the exact Hessian H.  One step:

1. *Active set.*  Parameters that are held fixed, or lie on a bound with the gradient pushing them
   outward, stay where they are; the others are *inactive* (F).
2. *Certificate before a step.*  With the Cholesky factor of H_FF, the estimated distance to the
   minimum is EDM = g_F' H_FF^-1 g_F / 2.  Small EDM and projected gradient end the search.
3. *Damped Newton step* (Levenberg and Marquardt): (H_FF + lambda diag|H_FF|) p = -g_F, with lambda
   raised until the matrix is positive definite.
4. *Projection.*  Components that would leave the box are put on their bound, and the others are
   solved again given that move, so that the projected step is a descent direction of the model.
5. *Trial.*  f is evaluated at the new point; the step is kept if f falls by a fraction of what the
   quadratic model predicts; lambda follows the ratio of the two.

The start counts as the first trial, so that the compiled program has one copy of the likelihood.
Where the expected Hessian at the start is known beforehand, as for toys that are all searched from
their truth, it takes the place of the exact one in the first step (Fisher's scoring): it is positive
definite where the exact one rarely is, and saves a third of the steps.
Everything is a pure function of arrays: `minimize` runs one problem, `minimize_batch` many at once,
and what ends in a status never raises.

Sources: Nocedal & Wright, Numerical Optimization (2006), eqs. 4.4 (ratio test), 10.23 (damping),
16.74 (projected gradient); Bertsekas, SIAM J. Control Optim. 20 (1982) 221 (active sets); James &
Roos, Minuit, CPC 10 (1975) 343 (EDM).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Bool, Float, Int

from infer.constraints import Curvature
from infer.data import Data
from infer.inference.batches import each
from infer.likelihood import Likelihood
from infer.typing import Mask, Matrix, Scalar, Vector

RUNNING, CONVERGED, OUT_OF_STEPS, STUCK, BAD_START = range(5)
MESSAGES = {
    RUNNING: "the search was interrupted",
    CONVERGED: "converged",
    OUT_OF_STEPS: "no convergence within the allowed number of steps",
    STUCK: "no step decreases the negative log-likelihood any more, yet it is not at a minimum",
    BAD_START: "the likelihood is not finite at the start values",
}

_MAX_DAMPING = 1e12
_LEAST_DAMPING = 1e-4
_SOLVED_AT_ONCE = 64  # rows of a triangular matrix up to which halves are not worth their products
_NOISE = 1e-8  # falls of -log L below this cannot be told from rounding, nor do they matter


@dataclass(frozen=True)
class Newton:
    """Settings of the minimiser.

    Args:
        max_steps: evaluations of the likelihood's curvature before giving up.
        edm: the largest estimated distance to the minimum, in units of -log L, that counts as
            converged; the default makes twice the negative log-likelihood good to 1e-9.
        projected_gradient: the largest component of the gradient, in units of -log L per
            1 / sqrt(H_ii), that counts as converged.
    """

    max_steps: int = 300
    edm: float = 5e-10
    projected_gradient: float = 1e-4


class Box(eqx.Module):
    """Where to search: start, bounds, and which parameters move; all with shape (P,)."""

    start: Vector
    lower: Vector
    upper: Vector
    free: Mask


class Minimum(eqx.Module):
    """Where the search ended, and how good a minimum that is.

    Args:
        theta: the point, with shape (P,).
        curvature: value, gradient and Hessian of -logpdf there.
        inactive: parameters that are neither fixed nor held at a bound.
        edm: estimated distance to the minimum, in units of -log L.
        projected_gradient: largest scaled component of the gradient over inactive parameters.
        positive_definite: whether the Hessian of the inactive parameters is.
        status: one of the codes in `MESSAGES`.
        n_steps: evaluations of the curvature.
    """

    theta: Vector
    curvature: Curvature
    inactive: Mask
    edm: Scalar
    projected_gradient: Scalar
    positive_definite: Bool[Array, ""]
    status: Int[Array, ""]
    n_steps: Int[Array, ""]


class Minima(eqx.Module):
    """Where N searches ended: `Minimum` with a leading axis (N, ...), without the Hessians.

    As everywhere, the annotations are those of one problem.

    Args:
        theta: The points, with shape (N, P).
        value: -logpdf there, with shape (N,).
        variance: Diagonals of the inverse Hessians, with shape (N, P); zero for parameters fixed or
            held at a bound, NaN where the Hessian is not positive definite.
        inactive: As in `Minimum`, and so on.
        edm: Estimated distances to the minimum.
        projected_gradient: Largest scaled components of the gradients.
        positive_definite: Whether the Hessians of the inactive parameters are.
        status: Codes of `MESSAGES`.
        n_steps: Evaluations of the curvature.
    """

    theta: Vector
    value: Scalar
    variance: Vector
    inactive: Mask
    edm: Scalar
    projected_gradient: Scalar
    positive_definite: Bool[Array, ""]
    status: Int[Array, ""]
    n_steps: Int[Array, ""]


class _State(NamedTuple):
    theta: Vector
    curvature: Curvature
    damping: Scalar
    trial: Vector
    predicted: Scalar
    inactive: Mask
    edm: Scalar
    projected_gradient: Scalar
    positive_definite: Bool[Array, ""]
    status: Int[Array, ""]
    n_steps: Int[Array, ""]


@eqx.filter_jit
def minimize(
    likelihood: Likelihood, data: Data, box: Box, *, solver: Newton, information: Matrix | None = None
) -> Minimum:
    """Minimise ``-logpdf(theta, data)`` over the free parameters in the box; compiled, unbatched.

    Args:
        likelihood: Any likelihood.
        data: Data for it.
        box: Where to search.
        solver: Settings.
        information: Expected Hessian at the start with shape (P, P), for the first step; None takes
            the exact one there too.
    """
    state = jax.lax.while_loop(
        lambda state: state.status == RUNNING,
        lambda state: _step(likelihood, data, state, box, solver, information),
        _start(box),
    )
    return _as_minimum(state)


def minimize_batch(
    likelihood: Likelihood, data: Data, box: Box, *, solver: Newton, information: Matrix | None = None
) -> Minima:
    """Many problems at once: leaves of ``data`` and ``box`` carry a leading axis (N, ...).

    ``information`` is common to all, as are the starts that it belongs to.
    """
    shared = (likelihood, information)
    return each(_Search(solver), shared, (data, box), size=box.start.shape[1])


def covariance(minimum: Minimum) -> Matrix:
    """Inverse Hessian with shape (P, P).

    Zero for parameters fixed or held at a bound, NaN if the Hessian of the others is not positive
    definite.
    """
    return restricted_inverse(minimum.curvature.hessian, minimum.inactive)


def variances(hessian: Matrix, inactive: Mask) -> Vector:
    """Diagonal of the inverse Hessian with shape (P,), as in `covariance`, at a third of the cost."""
    inverse = _lower_inverse(_cholesky(restricted(hessian, inactive)))
    return jnp.where(inactive, jnp.sum(inverse**2, axis=0), 0.0)


def restricted_inverse(hessian: Matrix, inactive: Mask) -> Matrix:
    """Inverse of the rows and columns that ``inactive`` selects, zero elsewhere."""
    factor = _cholesky(restricted(hessian, inactive))
    both = inactive[:, None] & inactive[None, :]
    return jnp.where(both, cho_solve((factor, True), jnp.eye(hessian.shape[0])), 0.0)


def _cholesky(matrix: Matrix) -> Matrix:
    """Lower Cholesky factor from the lower half of a matrix; NaN, also on its diagonal, where there is none."""
    return jax.lax.linalg.cholesky(matrix, symmetrize_input=False)


def _lower_inverse(factor: Matrix) -> Matrix:
    """Inverse of a lower triangular matrix, in halves: solving for a unit matrix as a whole ignores its zeros."""
    size, half = factor.shape[0], factor.shape[0] // 2
    if size <= _SOLVED_AT_ONCE:
        return solve_triangular(factor, jnp.eye(size), lower=True)
    first = solve_triangular(factor[:half, :half], jnp.eye(half), lower=True)
    last = solve_triangular(factor[half:, half:], jnp.eye(size - half), lower=True)
    corner = -last @ (factor[half:, :half] @ first)
    top = jnp.concatenate([first, jnp.zeros((half, size - half))], axis=1)
    return jnp.concatenate([top, jnp.concatenate([corner, last], axis=1)])


def _start(box: Box) -> _State:
    """Nothing known yet: the start is the first trial."""
    size, dtype = box.start.shape[0], box.start.dtype
    infinite, false = jnp.asarray(jnp.inf, dtype), jnp.asarray(False)
    zero, none = jnp.zeros((), dtype), jnp.asarray(0, dtype=int)
    unknown = Curvature(infinite, jnp.zeros(size, dtype), jnp.zeros((size, size), dtype))
    trial = jnp.clip(box.start, box.lower, box.upper)
    return _State(
        theta=trial,
        curvature=unknown,
        damping=zero,
        trial=trial,
        predicted=infinite,
        inactive=box.free,
        edm=infinite,
        projected_gradient=infinite,
        positive_definite=false,
        status=none,
        n_steps=none,
    )


@dataclass(frozen=True)
class _Search:
    """One problem of a batch."""

    solver: Newton

    def __call__(self, shared: tuple[Likelihood, Matrix | None], problem: tuple[Data, Box]) -> Minima:
        likelihood, information = shared
        return summary(minimize(likelihood, *problem, solver=self.solver, information=information))


def summary(minimum: Minimum) -> Minima:
    """A minimum without its Hessian, of which the variances are kept."""
    return Minima(
        minimum.theta,
        minimum.curvature.value,
        variances(minimum.curvature.hessian, minimum.inactive),
        minimum.inactive,
        minimum.edm,
        minimum.projected_gradient,
        minimum.positive_definite,
        minimum.status,
        minimum.n_steps,
    )


def _as_minimum(state: _State) -> Minimum:
    return Minimum(
        state.theta,
        state.curvature,
        state.inactive,
        state.edm,
        state.projected_gradient,
        state.positive_definite,
        state.status,
        state.n_steps,
    )


def _step(
    likelihood: Likelihood, data: Data, state: _State, box: Box, solver: Newton, information: Matrix | None
) -> _State:
    """Judge the trial point, then certify the better of the two and propose the next trial."""
    tried = likelihood.curvature(state.trial, data)
    theta, curvature, damping, accepted = _judge(state, tried)
    scoring = jnp.asarray(information is not None) & (state.n_steps == 0)
    bad_start = ~jnp.isfinite(curvature.value)
    gradient = curvature.gradient
    hessian = curvature.hessian if information is None else jnp.where(scoring, information, curvature.hessian)
    outward = ((theta <= box.lower) & (gradient > 0.0)) | ((theta >= box.upper) & (gradient < 0.0))
    inactive = box.free & ~outward

    slope = jnp.where(inactive, gradient, 0.0)
    factor, used, positive_definite = _factor(hessian, slope, inactive, damping)
    newton = -cho_solve((factor, True), slope)
    edm = -0.5 * slope @ newton
    scale = jnp.sqrt(jnp.maximum(jnp.abs(jnp.diagonal(hessian)), 1e-12))
    projected = jnp.max(jnp.abs(slope) / scale, initial=0.0)
    small = (edm <= solver.edm) & (projected <= solver.projected_gradient)
    trial, predicted = _project(theta, newton, factor, Curvature(curvature.value, gradient, hessian), inactive, box)

    n_steps = state.n_steps + 1
    # A damped step understates the distance: it convinces only where the undamped one does not
    # exist, because the Hessian is not positive definite, and the gradient has vanished.
    flat = (damping == 0.0) & (projected <= 1e-3 * solver.projected_gradient)
    certain = small & ((used == 0.0) | flat) & ~scoring  # the certificate is the exact Hessian's
    stuck = ~accepted & (used >= _MAX_DAMPING)
    status = jnp.where(n_steps >= solver.max_steps, OUT_OF_STEPS, RUNNING)
    status = jnp.where(stuck, STUCK, status)
    status = jnp.where(certain, CONVERGED, status)
    status = jnp.where(bad_start, BAD_START, status)
    # Close to the minimum but on a damped path: drop the damping for the next verdict.
    damping = jnp.where(small, 0.0, used)
    return _State(
        theta,
        curvature,
        damping,
        trial,
        predicted,
        inactive,
        edm,
        projected,
        positive_definite,
        status,
        n_steps,
    )


def _judge(state: _State, tried: Curvature) -> tuple[Vector, Curvature, Scalar, Bool[Array, ""]]:
    """Keep the trial if -logpdf falls by enough; adapt the damping to how well it was predicted."""
    first = state.n_steps == 0
    fall = state.curvature.value - tried.value
    noise = jnp.maximum(_NOISE, 1e-12 * jnp.abs(state.curvature.value))
    finite = jnp.isfinite(tried.value) & jnp.all(jnp.isfinite(tried.gradient))
    ratio = jnp.where(finite, fall / jnp.maximum(state.predicted, 1e-300), -1.0)
    at_noise = finite & (state.predicted <= noise) & (fall >= -noise)
    accepted = first | (finite & (ratio > 1e-4)) | at_noise
    good, poor = (ratio > 0.75) | at_noise, ratio < 0.25
    softer = jnp.where(state.damping <= _LEAST_DAMPING, 0.0, 0.1 * state.damping)
    harder = jnp.maximum(4.0 * state.damping, 1e-3)
    damping = jnp.where(good, softer, jnp.where(poor, harder, state.damping))
    damping = jnp.where(accepted, damping, jnp.maximum(10.0 * state.damping, 1e-2))
    damping = jnp.where(first, 0.0, damping)
    theta, curvature = jax.tree.map(
        lambda new, old: jnp.where(accepted, new, old), (state.trial, tried), (state.theta, state.curvature)
    )
    return theta, curvature, damping, accepted


def restricted(hessian: Matrix, inactive: Mask) -> Matrix:
    """The Hessian with rows and columns outside ``inactive`` replaced by those of the unit matrix."""
    return _shifted(hessian, inactive, jnp.zeros_like(hessian[0]))


def _shifted(hessian: Matrix, inactive: Mask, shift: Vector) -> Matrix:
    """`restricted`, with something added to the diagonal; one pass over the matrix."""
    both = inactive[:, None] & inactive[None, :]
    diagonal = (shift + jnp.where(inactive, 0.0, 1.0))[:, None]
    return jnp.where(both, hessian, 0.0) + jnp.where(jnp.eye(hessian.shape[0], dtype=bool), diagonal, 0.0)


def _factor(
    hessian: Matrix, slope: Vector, inactive: Mask, damping: Scalar
) -> tuple[Float[Array, "p p"], Scalar, Bool[Array, ""]]:
    """Cholesky factor of the damped Hessian, the damping it took, and whether it took none."""
    bend = jnp.where(inactive, jnp.diagonal(hessian), 1.0)
    diagonal = jnp.abs(bend)
    # A parameter along which -log L bends down by itself is turned around before all are damped:
    # otherwise it alone would ask for lambda > 1, and slow down all the others.
    turn = 2.0 * jnp.maximum(-bend, 0.0)
    # Where -log L is straight, as for a count of zero, the gradient sets the scale of the damping.
    least = jnp.maximum(jnp.maximum(jnp.max(diagonal), jnp.abs(slope)), 1e-200)
    diagonal = jnp.maximum(diagonal, 1e-8 * least)

    def factorise(damping: Scalar) -> Float[Array, "p p"]:
        return _cholesky(_shifted(hessian, inactive, damping * diagonal + jnp.where(damping > 0.0, turn, 0.0)))

    def exists(factor: Float[Array, "p p"]) -> Bool[Array, ""]:
        return jnp.all(jnp.isfinite(jnp.diagonal(factor)))

    def failed(carry: tuple[Float[Array, "p p"], Scalar]) -> Bool[Array, ""]:
        factor, damping = carry
        return ~exists(factor) & (damping < _MAX_DAMPING)

    def harder(carry: tuple[Float[Array, "p p"], Scalar]) -> tuple[Float[Array, "p p"], Scalar]:
        _, damping = carry
        more = jnp.maximum(10.0 * damping, 1e-6)
        return factorise(more), more

    first = factorise(damping)
    factor, used = jax.lax.while_loop(failed, harder, (first, damping))
    return factor, used, (used == 0.0) & exists(first)


def _project(
    theta: Vector,
    newton: Vector,
    factor: Float[Array, "p p"],
    curvature: Curvature,
    inactive: Mask,
    box: Box,
) -> tuple[Vector, Scalar]:
    """The next trial inside the box, and by how much the quadratic model says it lowers -logpdf."""
    hessian, gradient = curvature.hessian, curvature.gradient
    goal = theta + jnp.where(inactive, newton, 0.0)
    leaves = inactive & ((goal < box.lower) | (goal > box.upper))
    on_bound = jnp.clip(goal, box.lower, box.upper)

    def again(_: None) -> Vector:
        rest = inactive & ~leaves
        pinned = jnp.where(leaves, on_bound - theta, 0.0)
        slope = jnp.where(rest, gradient + hessian @ pinned, 0.0)
        damping = jnp.sum(factor**2, axis=1) - jnp.diagonal(hessian)  # what the diagonal was raised by
        inner = _cholesky(_shifted(hessian, rest, jnp.where(rest, damping, 0.0)))
        step = jnp.where(rest, -cho_solve((inner, True), slope), pinned)
        return jnp.clip(theta + jnp.where(inactive, step, 0.0), box.lower, box.upper)

    trial = jax.lax.cond(jnp.any(leaves), again, lambda _: on_bound, None)
    step = trial - theta
    predicted = -(gradient @ step + 0.5 * step @ hessian @ step)
    # A clipped step may be no descent of the model: then a short one along the gradient is.
    slope = jnp.where(inactive, gradient, 0.0)
    short = jnp.clip(theta - slope / jnp.diagonal(factor) ** 2 * 1e-2, box.lower, box.upper) - theta
    modelled = jax.lax.cond(
        predicted > 0.0, lambda: -jnp.inf, lambda: -(gradient @ short + 0.5 * short @ hessian @ short)
    )
    use_short = ~(predicted > 0.0) & (modelled > 0.0)
    return (
        theta + jnp.where(use_short, short, step),
        jnp.where(use_short, modelled, predicted),
    )
