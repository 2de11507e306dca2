"""The minimiser: a table of problems with known minima, the certificate, and batches."""

from __future__ import annotations

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest

from infer.inference.minimize import (
    BAD_START,
    CONVERGED,
    MESSAGES,
    OUT_OF_STEPS,
    STUCK,
    Box,
    Minima,
    Minimum,
    Newton,
    covariance,
    minimize,
    minimize_batch,
    variances,
)
from infer.likelihood import Likelihood
from infer.typing import Scalar, Vector
from tests.contract.models import log_poisson
from tests.inference.problems import Misled, Parabola, Surface, box_minimum, without_aux

FloatArray = npt.NDArray[np.float64]
INF = np.inf


def box(start: object, lower: object = -INF, upper: object = INF, free: object = True) -> Box:
    """A box, its sides broadcast to the length of the start."""
    at = np.asarray(start, dtype=float)
    sides = (np.broadcast_to(np.asarray(side, dtype=float), at.shape) for side in (lower, upper))
    return Box(jnp.asarray(at), *map(jnp.asarray, sides), jnp.asarray(np.broadcast_to(free, at.shape)))


# ------------------------------------------------------------------------------------------- problems


def rosenbrock(theta: Vector, main: Vector) -> Scalar:
    """Banana-shaped valley with its minimum where both residuals vanish: theta = (m0, m0^2 + m1)."""
    return 50.0 * (theta[1] - theta[0] ** 2 - main[1]) ** 2 + 0.5 * (theta[0] - main[0]) ** 2


def double_well(theta: Vector, main: Vector) -> Scalar:
    """(x^2 - m0)^2 / 4 + (y - m1)^2: minima at x = +-sqrt(m0), between them the Hessian is indefinite."""
    return 0.25 * (theta[0] ** 2 - main[0]) ** 2 + (theta[1] - main[1]) ** 2


def saddle(theta: Vector, main: Vector) -> Scalar:
    """x^4 / 4 - m0 x^2 / 2 - m1 x y + y^2: indefinite about the origin, convex far from it."""
    return 0.25 * theta[0] ** 4 - 0.5 * main[0] * theta[0] ** 2 - main[1] * theta[0] * theta[1] + theta[1] ** 2


def counts(theta: Vector, main: Vector) -> Scalar:
    """Two Poisson counts, of rates x + y and 2 y; infinite where a rate is negative."""
    return -log_poisson(main, jnp.stack([theta[0] + theta[1], 2.0 * theta[1]]))


def far(theta: Vector, main: Vector) -> Scalar:
    """ln cosh: convex, but so straight far from its minimum that an undamped Newton step overshoots by e^|x|."""
    z = theta - main
    return jnp.sum(jnp.abs(z) + jnp.log1p(jnp.exp(-2.0 * jnp.abs(z))))


def _orthogonal(n: int) -> FloatArray:
    """A fixed orthogonal matrix: the discrete cosine transform."""
    k, i = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    rows = np.cos(np.pi * k * (2 * i + 1) / (2 * n))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


Q4 = _orthogonal(4)
PLAIN = Q4.T @ np.diag([0.5, 1.0, 2.0, 8.0]) @ Q4
ILL = Q4.T @ np.diag([1e-4, 1e-1, 1e2, 1e5]) @ Q4
SCALES = np.diag([1e-3, 1.0, 10.0, 1e3])
# The gradient at the start pushes two parameters out of the box, but only one belongs on its bound: a solver that
# takes bounds up one after the other, or drops them one after the other, walks from side to side.
ZIGZAG = np.asarray([[1.0, 0.95, -0.9, 0.0], [0.95, 1.0, -0.9, 0.1], [-0.9, -0.9, 1.0, 0.3], [0.0, 0.1, 0.3, 1.0]])
ZIGZAG = ZIGZAG + 0.2 * np.eye(4)


@dataclass(frozen=True, eq=False)
class Problem:
    """A problem with its minimum, and the parameters that are held at a bound there."""

    name: str
    likelihood: Likelihood
    main: list[float]
    box: Box
    theta: list[float]
    at_bound: tuple[int, ...] = ()


def _parabola(name: str, precision: FloatArray, main: list[float], region: Box, at_bound: tuple[int, ...]) -> Problem:
    theta, inside = box_minimum(precision, np.asarray(main), np.asarray(region.lower), np.asarray(region.upper))
    assert tuple(np.flatnonzero(~inside)) == at_bound
    return Problem(name, Parabola(precision), main, region, theta.tolist(), at_bound)


PROBLEMS = [
    _parabola("at its start", PLAIN, [0.0, 0.0, 0.0, 0.0], box(np.zeros(4)), ()),
    _parabola("shifted", PLAIN, [3.0, -200.0, 1e4, 0.5], box(np.ones(4)), ()),
    _parabola("negative", PLAIN, [-3.0, -7.0, -1.0, -0.1], box(np.ones(4), -INF, 1.0), ()),
    _parabola("scaled", SCALES @ PLAIN @ SCALES, [1e3, 1.0, -0.1, 1e-3], box(np.zeros(4)), ()),
    _parabola("ill-conditioned", ILL, [1.0, 2.0, -3.0, 4.0], box(np.zeros(4)), ()),
    _parabola("one bound", PLAIN, [3.0, 1.0, 1.0, 1.0], box(np.zeros(4), -2.0, 1.9), (0,)),
    _parabola("three bounds", ZIGZAG, [0.5, 0.5, 3.0, 0.2], box(np.full(4, 0.5), 0.0, 1.0), (0, 1, 2)),
    _parabola("every bound", PLAIN, [9.0, -9.0, 9.0, 6.0], box(np.zeros(4), -1.0, 1.0), (0, 1, 2, 3)),
    _parabola("start in the wrong corner", PLAIN, [0.1, -0.2, 0.3, 0.0], box([1.0, 1.0, -1.0, 1.0], -1.0, 1.0), ()),
    _parabola("zig-zag", ZIGZAG, [2.0, -1.5, 1.5, -3.0], box([1.0, 1.0, 0.0, 1.0], 0.0, 1.0), (0, 1, 3)),
    _parabola("zig-zag, one-sided", ZIGZAG, [-4.0, 3.0, 1.0, 5.0], box(np.zeros(4), 0.0, [INF, 2.0, INF, 4.0]), (0, 3)),
    _parabola("ill-conditioned at bounds", ILL, [1.0, 0.2, -0.3, 2.0], box(np.zeros(4), -1.0, 1.0), (0, 2, 3)),
    Problem("banana", Surface(rosenbrock), [1.0, 0.0], box([-1.2, 1.0]), [1.0, 1.0]),
    Problem("banana, shifted", Surface(rosenbrock), [-3.0, -20.0], box([4.0, 4.0]), [-3.0, -11.0]),
    Problem(
        "banana at a bound", Surface(rosenbrock), [1.0, 0.0], box([-1.2, 1.0], -2.0, [0.5, 2.0]), [0.5, 0.25], (0,)
    ),
    Problem("indefinite start", Surface(double_well), [4.0, -1.0], box([0.3, 2.0]), [2.0, -1.0]),
    Problem("indefinite start, negative", Surface(double_well), [4.0, 1.0], box([-0.1, 2.0]), [-2.0, 1.0]),
    Problem("indefinite start, bounds", Surface(double_well), [4.0, 1.0], box([0.1, 0.0], 0.0, 1.5), [1.5, 1.0], (0,)),
    Problem("saddle", Surface(saddle), [4.0, 1.0], box([0.5, 1.0]), [np.sqrt(4.5), 0.5 * np.sqrt(4.5)]),
    Problem("far away", Surface(far), [-3.0, 5.0], box([30.0, -30.0]), [-3.0, 5.0]),
    Problem("counts", Surface(counts), [12.0, 6.0], box([1.0, 1.0], 0.0, 50.0), [9.0, 3.0]),
    Problem("deficit at a bound", Surface(counts), [2.0, 10.0], box([1.0, 1.0], 0.0, 50.0), [0.0, 4.0], (0,)),
    Problem("negative signal", Surface(counts), [2.0, 10.0], box([1.0, 1.0], -20.0, 50.0), [-3.0, 5.0]),
    Problem("no events at all", Surface(counts), [0.0, 0.0], box([1.0, 1.0], 0.0, 50.0), [0.0, 0.0], (0, 1)),
]
TABLE = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)


def solve(problem: Problem, solver: Newton | None = None) -> Minimum:
    """The minimum that the minimiser finds."""
    return minimize(problem.likelihood, without_aux(problem.main), problem.box, solver=solver or Newton())


# ------------------------------------------------------------------------------------------ one problem


@pytest.mark.slow
@TABLE
def test_minimum_is_found(problem: Problem) -> None:
    """The search ends at the known minimum, inside the box, and says that it converged."""
    found = solve(problem)
    assert MESSAGES[int(found.status)] == "converged"
    away, at = np.asarray(found.theta) - np.asarray(problem.theta), np.flatnonzero(found.inactive)
    block = np.asarray(found.curvature.hessian)[np.ix_(at, at)]
    assert np.sqrt(away[at] @ block @ away[at]) < 1e-4  # standard deviations; the EDM allows 3e-5
    np.testing.assert_allclose(np.delete(away, at), 0.0, atol=1e-12)
    assert np.all((problem.box.lower <= found.theta) & (found.theta <= problem.box.upper))


@pytest.mark.slow
@TABLE
def test_certificate_is_what_it_says(problem: Problem) -> None:
    """Curvature, active set, EDM, projected gradient and definiteness are those of the end point, by autodiff."""
    found, data = solve(problem), without_aux(problem.main)
    theta = jnp.asarray(found.theta)

    def nll(theta: Vector) -> Scalar:
        return -problem.likelihood.logpdf(theta, data)

    gradient, hessian = np.asarray(jax.grad(nll)(theta)), np.asarray(jax.hessian(nll)(theta))
    scale = np.max(np.abs(hessian)) + 1.0
    np.testing.assert_allclose(found.curvature.value, nll(theta), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.curvature.gradient, gradient, atol=1e-9 * scale)
    np.testing.assert_allclose(found.curvature.hessian, hessian, rtol=1e-9, atol=1e-12 * scale)
    assert tuple(np.flatnonzero(~found.inactive)) == problem.at_bound
    at = np.flatnonzero(found.inactive)
    slope, block = gradient[at], hessian[np.ix_(at, at)]
    edm = 0.5 * slope @ np.linalg.solve(block, slope) if at.size else 0.0
    np.testing.assert_allclose(found.edm, edm, rtol=1e-6, atol=1e-16)
    assert found.edm <= Newton().edm
    assert np.all(np.abs(slope) <= 1e-4 * np.sqrt(np.maximum(np.abs(np.diagonal(block)), 1e-12)))
    assert bool(found.positive_definite) == (at.size == 0 or bool(np.linalg.eigvalsh(block)[0] > 0.0))


@TABLE
def test_covariance_inverts_the_hessian_of_inactive_parameters(problem: Problem) -> None:
    """Covariance times Hessian is the unit matrix on the inactive block and zero elsewhere (B21)."""
    found = solve(problem)
    inverse, at = np.asarray(covariance(found)), np.flatnonzero(found.inactive)
    rest = np.flatnonzero(~found.inactive)
    product = inverse[np.ix_(at, at)] @ found.curvature.hessian[np.ix_(at, at)]
    np.testing.assert_allclose(product, np.eye(at.size), atol=1e-7)
    assert not np.any(inverse[rest]) and not np.any(inverse[:, rest])  # noqa: PT018  # one statement on one block


@pytest.mark.slow
@pytest.mark.parametrize("size", [4, 64, 65, 131])
def test_variances_are_the_diagonal_of_the_inverse(size: int) -> None:
    """Over the inactive parameters, zero for the others, also by halves; NaN if indefinite."""
    noise = np.asarray(jax.random.normal(jax.random.key(5), (size, size + 3)))
    hessian, inactive = noise @ noise.T, np.arange(size) % 5 != 1
    at = np.flatnonzero(inactive)
    found = np.asarray(variances(jnp.asarray(hessian), jnp.asarray(inactive)))
    np.testing.assert_allclose(found[at], np.diagonal(np.linalg.inv(hessian[np.ix_(at, at)])), rtol=1e-9)
    assert not np.any(found[~inactive])
    hessian[at[-1], at[-1]] = -1.0
    assert np.any(np.isnan(variances(jnp.asarray(hessian), jnp.asarray(inactive))))


def test_fixed_parameters_stay_and_the_others_are_conditional() -> None:
    """A fixed parameter keeps its start value; the others minimise the parabola given it."""
    main, start = np.asarray([3.0, 1.0, -1.0, 2.0]), np.asarray([0.0, 5.0, 0.0, 0.0])
    found = minimize(Parabola(PLAIN), without_aux(main), box(start, free=[True, False, True, True]), solver=Newton())
    expected, _ = box_minimum(PLAIN, main, np.where([0, 1, 0, 0], 5.0, -INF), np.where([0, 1, 0, 0], 5.0, INF))
    np.testing.assert_allclose(found.theta, expected, atol=1e-8)
    assert float(found.theta[1]) == 5.0
    assert found.inactive.tolist() == [True, False, True, True]


def test_nothing_free_is_converged_at_once() -> None:
    """Without a free parameter the start is the minimum, after one evaluation."""
    found = minimize(Parabola(PLAIN), without_aux(np.ones(4)), box(np.zeros(4), free=False), solver=Newton())
    assert int(found.status) == CONVERGED
    assert int(found.n_steps) == 1
    assert float(found.edm) == 0.0


def test_start_outside_the_box_is_moved_into_it() -> None:
    """The search begins at the nearest point of the box."""
    region = box(np.full(4, 50.0), -1.0, 1.0)
    found = minimize(Parabola(PLAIN), without_aux(np.zeros(4)), region, solver=Newton())
    assert int(found.status) == CONVERGED
    np.testing.assert_allclose(found.theta, 0.0, atol=1e-7)


# --------------------------------------------------------------------------------------- no clean minimum


def test_flat_direction_is_not_called_positive_definite() -> None:
    """A likelihood that does not depend on a parameter has no inverse Hessian, and the certificate says so."""
    flat = Parabola(np.diag([2.0, 0.0, 1.0, 3.0]))
    found = minimize(flat, without_aux([1.0, 7.0, -2.0, 0.5]), box(np.zeros(4)), solver=Newton())
    assert not bool(found.positive_definite)
    if int(found.status) == CONVERGED:
        np.testing.assert_allclose(found.theta, [1.0, 0.0, -2.0, 0.5], atol=1e-6)
        assert bool(jnp.any(jnp.isnan(covariance(found))))


@pytest.mark.slow
def test_valley_is_not_called_positive_definite() -> None:
    """Only the sum of two parameters is measured: a minimum, but no covariance."""

    def valley(theta: Vector, main: Vector) -> Scalar:
        return 0.5 * (theta[0] + theta[1] - main[0]) ** 2

    found = minimize(Surface(valley), without_aux([3.0, 0.0]), box([0.0, 0.0]), solver=Newton())
    np.testing.assert_allclose(jnp.sum(found.theta), 3.0, atol=1e-4)
    assert not bool(found.positive_definite)


def test_maximum_is_not_called_a_minimum() -> None:
    """At a maximum the gradient vanishes, but the Hessian is negative, so that there is no certificate."""
    found = minimize(Surface(double_well), without_aux([4.0, -1.0]), box([0.0, -1.0]), solver=Newton())
    assert not bool(found.positive_definite)
    assert float(found.edm) <= Newton().edm


def test_unbounded_descent_is_not_called_converged() -> None:
    """Where the function has no minimum, the search ends without a certificate."""

    def slide(theta: Vector, main: Vector) -> Scalar:
        return theta[0] + 0.5 * (theta[1] - main[1]) ** 2

    found = minimize(Surface(slide), without_aux([0.0, 0.0]), box([0.0, 0.0]), solver=Newton(max_steps=30))
    assert int(found.status) != CONVERGED


@pytest.mark.parametrize("start", [[-20.0, 1.0], [1.0, np.nan]], ids=["outside the support", "not a number"])
def test_bad_start_is_said(start: list[float]) -> None:
    """A likelihood that is not finite at the start ends the search at once, without an exception."""
    found = minimize(Surface(counts), without_aux([12.0, 6.0]), box(start), solver=Newton())
    assert int(found.status) == BAD_START
    assert int(found.n_steps) == 1


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 2])
def test_out_of_steps_is_said(steps: int) -> None:
    """A search that may not take its steps says so, and has taken as many as it was allowed."""
    found = minimize(Surface(rosenbrock), without_aux([1.0, 0.0]), box([-1.2, 1.0]), solver=Newton(max_steps=steps))
    assert int(found.status) == OUT_OF_STEPS
    assert int(found.n_steps) == steps


def test_stuck_is_said() -> None:
    """Where a wrong gradient leads uphill, no step is taken, and the search does not call it convergence."""
    found = minimize(Misled(), without_aux([1e3, 2e3]), box([0.0, 0.0]), solver=Newton())
    assert int(found.status) == STUCK
    np.testing.assert_array_equal(found.theta, [0.0, 0.0])


def test_result_is_the_same_bit_for_bit() -> None:
    """The same problem solved twice gives the same bits (B02)."""
    first, second = (solve(PROBLEMS[12]) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))


# ------------------------------------------------------------------------------------------------ batches


N_BATCH = 11
CENTRES = np.asarray(jax.random.normal(jax.random.key(3), (N_BATCH, 2))) * np.asarray([1.5, 3.0])
STARTS = np.asarray(jax.random.normal(jax.random.key(4), (N_BATCH, 2))) * 2.0


def stacked(starts: FloatArray, lower: float, upper: float) -> Box:
    """Boxes of one size about several starts, along the first axis."""
    boxes: Box = jax.vmap(lambda start: Box(start, jnp.full(2, lower), jnp.full(2, upper), jnp.ones(2, dtype=bool)))(
        jnp.asarray(starts)
    )
    return boxes


def batch(rows: list[int], solver: Newton | None = None) -> Minima:
    """Some of eleven banana-shaped problems in one batch."""
    region = stacked(STARTS[rows], -2.5, 9.0)
    data = jax.vmap(without_aux)(jnp.asarray(CENTRES[rows]))
    return minimize_batch(Surface(rosenbrock), data, region, solver=solver or Newton())


@pytest.mark.slow
def test_batch_equals_loop() -> None:
    """A batch returns what its problems return one by one, in their order."""
    together = batch(list(range(N_BATCH)))
    for i in range(N_BATCH):
        alone = minimize(Surface(rosenbrock), without_aux(CENTRES[i]), box(STARTS[i], -2.5, 9.0), solver=Newton())
        np.testing.assert_allclose(together.theta[i], alone.theta, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(together.value[i], alone.curvature.value, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(together.variance[i], np.diagonal(covariance(alone)), rtol=1e-8)
        np.testing.assert_array_equal(together.inactive[i], alone.inactive)
        assert int(together.status[i]) == int(alone.status) == CONVERGED
        assert int(together.n_steps[i]) == int(alone.n_steps)


@pytest.mark.parametrize("rows", [[4], [10, 4, 0], [4, 4, 4, 4], list(reversed(range(N_BATCH)))], ids=str)
def test_result_does_not_depend_on_companions(rows: list[int]) -> None:
    """A problem's result is the same whatever else is in the batch, and wherever it stands there."""
    everything, some = batch(list(range(N_BATCH))), batch(rows)
    np.testing.assert_allclose(some.theta, everything.theta[np.asarray(rows)], rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(some.n_steps, everything.n_steps[np.asarray(rows)])


@pytest.mark.slow
def test_failures_stay_in_their_place() -> None:
    """Problems that fail are returned in their place with their status, and harm no other (B24)."""
    starts = np.asarray([[1.0, 1.0], [-20.0, 1.0], [2.0, 2.0], [np.nan, 1.0]])
    region = stacked(starts, -50.0, 50.0)
    data = jax.vmap(without_aux)(jnp.asarray([[12.0, 6.0]] * 4))
    found = minimize_batch(Surface(counts), data, region, solver=Newton())
    assert found.status.tolist() == [CONVERGED, BAD_START, CONVERGED, BAD_START]
    np.testing.assert_allclose(found.theta[[0, 2]], [[9.0, 3.0]] * 2, atol=1e-3)


@pytest.mark.slow
def test_batch_runs_out_of_steps_one_by_one() -> None:
    """The allowance of steps is each problem's own."""
    found = batch(list(range(N_BATCH)), Newton(max_steps=3))
    assert set(found.status.tolist()) <= {CONVERGED, OUT_OF_STEPS}
    assert OUT_OF_STEPS in found.status.tolist()
    assert int(np.max(found.n_steps)) == 3


@pytest.mark.slow
def test_solver_settings_are_honoured() -> None:
    """A stricter EDM is met, and a looser one ends the search earlier."""
    strict, loose = (solve(PROBLEMS[12], Newton(edm=edm, projected_gradient=1e3)) for edm in (1e-20, 1e-2))
    assert float(strict.edm) <= 1e-20 < float(loose.edm) <= 1e-2
    assert int(loose.n_steps) < int(strict.n_steps)


def test_minimum_survives_a_tree_map() -> None:
    """A minimum is a tree of arrays, so that it may be stacked, cut and sent."""
    found = solve(PROBLEMS[0])
    again = jax.tree.map(lambda leaf: leaf + 0 if np.asarray(leaf).dtype != bool else leaf, found)
    assert isinstance(again, eqx.Module)
    np.testing.assert_array_equal(again.theta, found.theta)
