"""Three small likelihoods with known answers, and the parameters that the cases share."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

from infer.constraints import ConstraintTerms, Curvature
from infer.data import Cells
from infer.likelihood import Likelihood, constraint_terms
from infer.numerics.poisson import sample_poisson
from infer.parameters import Parameter, Parameters
from infer.typing import Key, Matrix, Scalar, Vector


def log_poisson(n: Vector, rate: Vector) -> Scalar:
    """Sum of log Poisson(n | rate): 0 log 0 is 0, and -inf where the rate is negative."""
    log_rate = jnp.log(jnp.where((n > 0.0) & (rate >= 0.0), rate, 1.0))
    return jnp.sum(jnp.where(rate >= 0.0, n * log_rate - rate - gammaln(n + 1.0), -jnp.inf))


class OnOff(Likelihood):
    """On/off problem: n ~ Poisson(mu s + b) in the signal region, m ~ Poisson(tau b) beside it.

    The best fit is b = m / tau, mu = (n - b) / s; the information at (mu, b) is that of two counts.
    Reference: Li and Ma, ApJ 272 (1983) 317.
    """

    parameters: Parameters = eqx.field(static=True)
    constraints: ConstraintTerms
    signal: Scalar
    tau: Scalar

    def __init__(self, *, signal: float, tau: float) -> None:
        self.parameters = Parameters((Parameter("mu", 1.0, (-5.0, 10.0)), Parameter("b", 3.0, (0.0, 50.0))))
        self.constraints = constraint_terms(self.parameters)
        self.signal, self.tau = jnp.asarray(signal), jnp.asarray(tau)

    def expected_main(self, theta: Vector) -> Vector:
        """The two rates."""
        return jnp.stack([theta[0] * self.signal + theta[1], self.tau * theta[1]])

    def log_main(self, theta: Vector, main: Vector) -> Scalar:
        """Two Poisson counts."""
        return log_poisson(main, self.expected_main(theta))

    def log_saturated(self, main: Vector) -> Scalar:
        """Each count expected as it is."""
        return log_poisson(main, main)

    def cells(self, theta: Vector, main: Vector) -> dict[str, Cells]:
        """The counts in their order."""
        return {"": Cells(main, self.expected_main(theta))}

    def sample_main(self, theta: Vector, key: Key) -> Vector:
        """Two Poisson counts."""
        return sample_poisson(key, self.expected_main(theta))


class Bins(Likelihood):
    """Counts with rates mu s + b (1 + d alpha) gamma kappa; which of them are shared is the names' business."""

    parameters: Parameters = eqx.field(static=True)
    constraints: ConstraintTerms
    signal: Vector
    background: Vector
    slope: Vector

    def __init__(self, parameters: Sequence[Parameter], signal: Sequence[float], background: Sequence[float]) -> None:
        self.parameters = Parameters(parameters)
        self.constraints = constraint_terms(self.parameters)
        self.signal, self.background = jnp.asarray(signal), jnp.asarray(background)
        self.slope = 0.1 * jnp.cos(jnp.linspace(1.0, 3.0, len(signal)))

    def expected_main(self, theta: Vector) -> Vector:
        """The rates."""
        mu, alpha, gamma, kappa = theta
        return mu * self.signal + self.background * (1.0 + self.slope * alpha) * gamma * kappa

    def log_main(self, theta: Vector, main: Vector) -> Scalar:
        """Independent Poisson counts."""
        return log_poisson(main, self.expected_main(theta))

    def log_saturated(self, main: Vector) -> Scalar:
        """Each count expected as it is."""
        return log_poisson(main, main)

    def cells(self, theta: Vector, main: Vector) -> dict[str, Cells]:
        """The counts in their order."""
        return {"": Cells(main, self.expected_main(theta))}

    def sample_main(self, theta: Vector, key: Key) -> Vector:
        """Independent Poisson counts."""
        return sample_poisson(key, self.expected_main(theta))


class Linear(Likelihood):
    """x ~ N(offset + A theta, width): the fit is linear in the data, and its pulls are exactly N(0, 1)."""

    parameters: Parameters = eqx.field(static=True)
    constraints: ConstraintTerms
    design: Matrix
    offset: Vector
    width: Vector

    def __init__(
        self,
        parameters: Sequence[Parameter],
        design: Sequence[Sequence[float]],
        width: Sequence[float],
    ) -> None:
        self.parameters = Parameters(parameters)
        self.constraints = constraint_terms(self.parameters)
        self.design, self.width = jnp.asarray(design), jnp.asarray(width)
        self.offset = jnp.linspace(-100.0, 50.0, len(width))

    def expected_main(self, theta: Vector) -> Vector:
        """The means."""
        return self.offset + self.design @ theta

    def log_main(self, theta: Vector, main: Vector) -> Scalar:
        """Independent normal measurements."""
        pull = (main - self.expected_main(theta)) / self.width
        return -jnp.sum(0.5 * pull**2 + jnp.log(self.width) + 0.5 * jnp.log(2.0 * jnp.pi))

    def log_saturated(self, main: Vector) -> Scalar:  # noqa: ARG002  # the same for all values
        """Values as expected."""
        return -jnp.sum(jnp.log(self.width) + 0.5 * jnp.log(2.0 * jnp.pi))

    def sample_main(self, theta: Vector, key: Key) -> Vector:
        """Independent normal measurements."""
        noise = jax.random.normal(key, self.width.shape)
        return self.expected_main(theta) + self.width * noise

    def curvature_main(self, theta: Vector, main: Vector) -> Curvature:
        """Closed form: A' W (A theta - x) and A' W A."""
        weighted = self.design.T / self.width[None, :] ** 2
        gradient = weighted @ (self.expected_main(theta) - main)
        return Curvature(-self.log_main(theta, main), gradient, weighted @ self.design)
