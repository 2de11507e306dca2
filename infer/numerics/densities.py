"""Densities of one observable, as functions of their shape arguments.

A `Density` holds the values of its arguments and knows two things: the logarithm of a density, up
to a constant factor, and the mass (integral) of that same density between neighbouring edges.
Their ratio is normalised on whatever range is fitted::

    pdf(x) = exp(log_density(x)) / sum(masses(edges))

====================  ==========================================  =============================
density               exp(log_density)                            masses
====================  ==========================================  =============================
`Gaussian`            N(x; mean, sigma)                           error functions
`Exponential`         exp(slope (x - origin))                     closed form
`Bernstein`           sum_j c_j B_jd(t), a polynomial             Gauss-Legendre, exact
`CrystalBall`         Gaussian core, two power-law tails          error functions and powers
====================  ==========================================  =============================

Resonances are in `infer.numerics.resonances`.  Everything is differentiable in the arguments, in
float64, and safe under ``jit`` and ``vmap``.  Masses are differences taken in the variable in which
they do not cancel, never ``1 - cdf``.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import erf, ndtr
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from infer.numerics.panels import nodes_and_weights
from infer.typing import Scalar, Vector

Points = Float[Array, "*n"]
Edges = Float[Array, " b"]
Masses = Float[Array, " m"]


def _array(value: Any) -> Array:
    return jnp.asarray(value, dtype=float)


def argument() -> Any:
    """Field for a shape argument: a number becomes a float64 array."""
    return eqx.field(converter=_array)


class Density(eqx.Module):
    """Abstract density of one observable; concrete classes are final."""

    @abstractmethod
    def log_density(self, x: Points) -> Points:
        """Logarithm of the density at each x, up to one constant."""

    def masses(self, edges: Edges) -> Masses:
        """Integral of ``exp(log_density)`` between neighbouring edges, with shape (B,) for B + 1 edges.

        By 16-point Gauss-Legendre quadrature unless a class has a closed form.
        """
        x, weights = nodes_and_weights(edges)
        return jnp.sum(weights * jnp.exp(self.log_density(x)), axis=1)

    def pdf(self, x: Points, edges: Edges) -> Points:
        """The density at each x, normalised between the first and the last edge."""
        return jnp.exp(self.log_density(x)) * (1.0 / jnp.sum(self.masses(edges)))

    def kinks(self) -> Float[Array, " k"]:
        """Where a derivative of the density jumps: quadrature should not step over these points."""
        return jnp.zeros(0)


class Gaussian(Density):
    """Normal density.

    The range must come within 35 sigma of the mean, where its mass can still be represented.

    Args:
        mean: peak position, in units of x.
        sigma: standard deviation, positive, in units of x.
    """

    mean: Scalar = argument()
    sigma: Scalar = argument()

    def log_density(self, x: Points) -> Points:
        """``log N(x; mean, sigma)``."""
        return norm.logpdf(x, self.mean, self.sigma)

    def masses(self, edges: Edges) -> Masses:
        """Differences of the normal distribution, taken on the side where they are small."""
        t = (edges - self.mean) / self.sigma
        low, high = t[:-1], t[1:]
        side = jnp.where(low + high > 0.0, -1.0, 1.0)  # mirror what lies above the mean
        return side * (ndtr(side * high) - ndtr(side * low))


class Exponential(Density):
    """Exponential density ``exp(slope (x - origin))``, falling for a negative slope.

    Finite while ``|slope|`` times the length of the range stays below 700.

    Args:
        slope: d log f / d x, any sign and zero, in inverse units of x.
        origin: a constant near the range, usually its lower end.
    """

    slope: Scalar = argument()
    origin: Scalar = argument()

    def log_density(self, x: Points) -> Points:
        """``slope (x - origin)``."""
        return self.slope * (x - self.origin)

    def masses(self, edges: Edges) -> Masses:
        """``exp(slope (a - origin)) (b - a) exprel(slope (b - a))``, smooth through slope zero."""
        start, length = edges[:-1], edges[1:] - edges[:-1]
        return jnp.exp(self.log_density(start)) * length * exprel(self.slope * length)


class Bernstein(Density):
    """Polynomial of degree d in the Bernstein basis, which is positive if its coefficients are.

    f(x) = sum_j c_j C(d, j) t^j (1 - t)^(d - j),  t = (x - low) / (high - low).
    Only ratios of coefficients matter: one of them is a constant, usually 1.

    Args:
        coefficients: c_0 .. c_d with shape (d + 1,), not negative and not all zero.
        low: lower end of the range, a constant.
        high: upper end of the range, a constant.

    Reference: Farouki, Comput. Aided Geom. Des. 29 (2012) 379, eq. 6.
    """

    coefficients: Vector = argument()
    low: Scalar = argument()
    high: Scalar = argument()

    def log_density(self, x: Points) -> Points:
        """Logarithm of the polynomial."""
        t = (x - self.low) / (self.high - self.low)
        degree = self.coefficients.shape[0] - 1
        total = jnp.zeros_like(x)
        for j in range(degree + 1):
            total += self.coefficients[j] * math.comb(degree, j) * t**j * (1.0 - t) ** (degree - j)
        return jnp.log(total)


class CrystalBall(Density):
    """Double-sided Crystal Ball: a Gaussian core with a power law on either side.

    With t = (x - mean) / sigma, and continuous to the first derivative::

        exp(-t^2 / 2)                                            -alpha_low <= t <= alpha_high
        exp(-alpha^2 / 2) (1 + (|t| - alpha) alpha / n)^-n       beyond, alpha and n of that side

    which is ``A (B + |t|)^-n`` with the usual ``A = (n/alpha)^n exp(-alpha^2/2)`` and
    ``B = n/alpha - alpha``.  On a finite range any n > 0 is allowed, 1 included.

    Args:
        mean: peak position, in units of x.
        sigma: width of the core, positive, in units of x.
        alpha_low: where the lower tail begins, positive, in sigma.
        n_low: power of the lower tail, positive.
        alpha_high: where the upper tail begins, positive, in sigma.
        n_high: power of the upper tail, positive.

    Reference: Skwarnicki, DESY-F31-86-02 (1986), appendix E (one tail).
    """

    mean: Scalar = argument()
    sigma: Scalar = argument()
    alpha_low: Scalar = argument()
    n_low: Scalar = argument()
    alpha_high: Scalar = argument()
    n_high: Scalar = argument()

    def log_density(self, x: Points) -> Points:
        """Logarithm of the density, zero at the mean."""
        t = (x - self.mean) / self.sigma
        core = -0.5 * jnp.clip(t, -self.alpha_low, self.alpha_high) ** 2
        below = jnp.maximum(-self.alpha_low - t, 0.0)
        above = jnp.maximum(t - self.alpha_high, 0.0)
        core -= self.n_low * jnp.log1p(below * self.alpha_low / self.n_low)
        return core - self.n_high * jnp.log1p(above * self.alpha_high / self.n_high)

    def masses(self, edges: Edges) -> Masses:
        """Closed form: each interval is the sum of its lower tail, core and upper tail."""
        t = (edges - self.mean) / self.sigma
        core = erf(jnp.clip(t, -self.alpha_low, self.alpha_high) / math.sqrt(2.0))
        total = math.sqrt(0.5 * math.pi) * (core[1:] - core[:-1])
        total -= _tail_masses(jnp.maximum(-self.alpha_low - t, 0.0), self.alpha_low, self.n_low)
        total += _tail_masses(jnp.maximum(t - self.alpha_high, 0.0), self.alpha_high, self.n_high)
        return self.sigma * total

    def kinks(self) -> Float[Array, " k"]:
        """The two points where core and tails meet."""
        low, high = self.mean - self.alpha_low * self.sigma, self.mean + self.alpha_high * self.sigma
        return jnp.stack([low, high])


def _tail_masses(distance: Edges, alpha: Scalar, power: Scalar) -> Masses:
    """Integral over d of ``exp(-alpha^2/2) (1 + d alpha / n)^-n`` from each distance to the next.

    With L = log(1 + d alpha / n) the integrand is an exponential in L, for every n.
    """
    log_ratio = jnp.log1p(distance * alpha / power)
    start, step = log_ratio[:-1], log_ratio[1:] - log_ratio[:-1]
    scale = power / alpha * jnp.exp(-0.5 * alpha**2)
    return scale * jnp.exp((1.0 - power) * start) * step * exprel((1.0 - power) * step)


_EXPREL = [1.0 / math.factorial(k + 1) for k in range(9)]


def exprel(t: Points) -> Points:
    """``(exp(t) - 1) / t``, with all derivatives through t = 0: a series within 1/10."""
    small = jnp.abs(t) < 0.1
    near, far = jnp.where(small, t, 0.0), jnp.where(small, 1.0, t)
    series = jnp.zeros_like(t)
    for coefficient in _EXPREL[::-1]:
        series = series * near + coefficient
    return jnp.where(small, series, jnp.expm1(far) / far)
