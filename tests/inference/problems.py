"""Small likelihoods whose best fits are known by other means, for the tests of inference."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from infer.constraints import ConstraintTerms, Curvature
from infer.data import Data
from infer.likelihood import Likelihood, constraint_terms
from infer.numerics.poisson import sample_poisson
from infer.parameters import Parameter, Parameters
from infer.typing import Key, Matrix, Scalar, Vector
from tests.contract.models import log_poisson

FloatArray = npt.NDArray[np.float64]


class Parabola(Likelihood):
    """``-log f = (theta - c)' A (theta - c) / 2``, with the main data c; its Hessian is A everywhere."""

    parameters: Parameters = eqx.field(static=True)
    constraints: ConstraintTerms
    precision: Matrix

    def __init__(self, precision: Sequence[Sequence[float]] | FloatArray, parameters: Parameters | None = None) -> None:
        self.precision = jnp.asarray(precision, dtype=float)
        self.parameters = parameters or numbered(len(self.precision))
        self.constraints = constraint_terms(self.parameters)

    def log_main(self, theta: Vector, main: Vector) -> Scalar:
        """The parabola, without normalisation."""
        return -0.5 * (theta - main) @ self.precision @ (theta - main)

    def expected_main(self, theta: Vector) -> Vector:
        """The centre."""
        return theta

    def sample_main(self, theta: Vector, key: Key) -> Vector:  # noqa: ARG002  # nothing here draws toys
        """The centre: these problems are not for toys."""
        return theta


class Surface(Likelihood):
    """``-log f`` is any function of ``theta`` and the main data."""

    parameters: Parameters = eqx.field(static=True)
    constraints: ConstraintTerms
    function: Callable[[Vector, Vector], Scalar] = eqx.field(static=True)

    def __init__(self, function: Callable[[Vector, Vector], Scalar], parameters: Parameters | None = None) -> None:
        self.function = function
        self.parameters = parameters or numbered(2)
        self.constraints = constraint_terms(self.parameters)

    def log_main(self, theta: Vector, main: Vector) -> Scalar:
        """Minus the function."""
        return -self.function(theta, main)

    def expected_main(self, theta: Vector) -> Vector:
        """These surfaces are not for Asimov data."""
        return theta

    def sample_main(self, theta: Vector, key: Key) -> Vector:  # noqa: ARG002  # nothing here draws toys
        """These surfaces are not for toys."""
        return theta


class Misled(Likelihood):
    """A parabola whose closed-form gradient has the wrong sign: every step it suggests leads uphill."""

    parameters: Parameters = eqx.field(static=True)
    constraints: ConstraintTerms

    def __init__(self) -> None:
        self.parameters = numbered(2)
        self.constraints = constraint_terms(self.parameters)

    def log_main(self, theta: Vector, main: Vector) -> Scalar:
        """A parabola about the main data."""
        return -0.5 * jnp.sum((theta - main) ** 2)

    def expected_main(self, theta: Vector) -> Vector:
        """The centre."""
        return theta

    def sample_main(self, theta: Vector, key: Key) -> Vector:  # noqa: ARG002  # nothing here draws toys
        """The centre: this problem is not for toys."""
        return theta

    def curvature_main(self, theta: Vector, main: Vector) -> Curvature:
        """The right value with the wrong gradient."""
        return Curvature(-self.log_main(theta, main), main - theta, jnp.eye(2))


class Counting(Likelihood):
    """One count: n ~ Poisson(mu s lumi + b beta), with whatever constraints the parameters declare."""

    parameters: Parameters = eqx.field(static=True)
    constraints: ConstraintTerms
    signal: Scalar
    background: Scalar

    def __init__(self, signal: float, background: float, parameters: Parameters) -> None:
        self.signal, self.background = jnp.asarray(signal), jnp.asarray(background)
        self.parameters = parameters
        self.constraints = constraint_terms(parameters)

    def expected_main(self, theta: Vector) -> Vector:
        """The rate, with shape (1,)."""
        mu, lumi, beta = theta
        return jnp.reshape(mu * self.signal * lumi + self.background * beta, (1,))

    def log_main(self, theta: Vector, main: Vector) -> Scalar:
        """A Poisson count."""
        return log_poisson(main, self.expected_main(theta))

    def sample_main(self, theta: Vector, key: Key) -> Vector:
        """A Poisson count."""
        return sample_poisson(key, self.expected_main(theta))


def numbered(n: int) -> Parameters:
    """Free, unbounded parameters x0, x1, ..., the first of interest."""
    return Parameters([Parameter(f"x{i}", 0.0) for i in range(n)], poi="x0")


def without_aux(main: Sequence[float] | FloatArray) -> Data:
    """Data without auxiliary ones."""
    return Data(jnp.asarray(main, dtype=float), jnp.zeros(0))


def box_minimum(
    precision: FloatArray, centre: FloatArray, lower: FloatArray, upper: FloatArray
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """The minimum of a convex parabola in a box and which parameters lie inside, by trying all active sets.

    Source: Nocedal & Wright, Numerical Optimization (2006), eqs. 16.37: the active set is right
    where the point is feasible and the gradient pushes outward at every bound.
    """
    n = len(centre)
    for sides in itertools.product((-1, 0, 1), repeat=n):
        side = np.asarray(sides)
        theta = np.where(side < 0, lower, upper)
        free = np.flatnonzero(side == 0)
        held = np.flatnonzero(side != 0)
        if not np.all(np.isfinite(theta[held])):
            continue
        pull = precision[np.ix_(free, held)] @ (theta[held] - centre[held])
        theta[free] = centre[free] - np.linalg.solve(precision[np.ix_(free, free)], pull)
        gradient = precision @ (theta - centre)
        if np.all((lower <= theta) & (theta <= upper)) and np.all((gradient * side)[held] <= 0.0):
            return theta, side == 0
    raise AssertionError("a convex parabola has a minimum in a box")
