"""HistFactory interpolation codes, each with its first and second derivative.

A variation is known at ``alpha = -1, 0, +1`` (down, nominal, up).  An *additive* code gives the
shift of a histogram; every one of them has the form

    shift(alpha) = S alpha + A h(alpha),     S = (up - down) / 2,   A = (up + down) / 2 - nominal,

with an even function h of the code alone, so that all shifts together are two matrix products.  A
*multiplicative* code gives a factor f(alpha) from ``lo`` and ``hi``, the factors at -1 and +1.

Source: Cranmer et al., HistFactory, CERN-OPEN-2012-016, section 4.1 (codes 0 to 2); the polynomials
of codes 4 and 4p as in ROOT's FlexibleInterpVar and PiecewiseInterpolation and in pyhf's
``interpolators``; code ``combine`` is the asymmetric log-normal of CMS Combine (arXiv:2404.06614; its
class ``ProcessNormalization``), whose logarithm bends within [-1/2, 1/2].  Deviation: outside [-1, 1],
code 2 here continues the value and the slope at the edge, as the reference says; pyhf and ROOT leave
out the constant, so that theirs jumps at +-1.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Float

AdditiveCode = Literal["code0", "code2", "code4p"]
MultiplicativeCode = Literal["code1", "code4", "combine"]

Values = Float[Array, "..."]


class Derivatives(NamedTuple):
    """A function's value with its first and second derivative."""

    value: Values
    first: Values
    second: Values


def additive(code: AdditiveCode, alpha: Values) -> Derivatives:
    """The even function h(alpha) of an additive code, elementwise."""
    size, sign = jnp.abs(alpha), jnp.sign(alpha)
    linear = Derivatives(size, sign, jnp.zeros_like(alpha))
    if code == "code0":
        return linear
    inside = size <= 1.0
    if code == "code2":
        parabola = Derivatives(alpha**2, 2.0 * alpha, jnp.full_like(alpha, 2.0))
        outside = Derivatives(2.0 * size - 1.0, 2.0 * sign, jnp.zeros_like(alpha))
        return _choose(inside, parabola, outside)
    squared = alpha**2
    sextic = Derivatives(
        squared * (15.0 - 10.0 * squared + 3.0 * squared**2) / 8.0,
        alpha * (15.0 - 20.0 * squared + 9.0 * squared**2) / 4.0,
        (15.0 - 60.0 * squared + 45.0 * squared**2) / 4.0,
    )
    return _choose(inside, sextic, linear)


def multiplicative(
    code: MultiplicativeCode,
    alpha: Values,
    log_lo: Values,
    log_hi: Values,
    coefficients: Float[Array, "6 ..."],
) -> Derivatives:
    """The factor f(alpha) of a multiplicative code, elementwise.

    Args:
        code: ``code1`` exponential everywhere, ``code4`` a sextic within [-1, 1], ``combine`` see `_log_normal`.
        alpha: parameters, with the shape of the factors.
        log_lo: logarithm of the factor at -1.
        log_hi: logarithm of the factor at +1.
        coefficients: of the sextic, from `sextic_coefficients`.
    """
    if code == "combine":
        return _log_normal(alpha, log_lo, log_hi)
    slope = jnp.where(alpha > 0.0, log_hi, -log_lo)
    exponential = jnp.exp(slope * alpha)
    outside = Derivatives(exponential, slope * exponential, slope**2 * exponential)
    if code == "code1":
        return outside
    value = first = second = jnp.zeros_like(alpha)
    for a in coefficients[::-1]:  # Horner: f = 1 + a1 x + ... + a6 x^6, and both derivatives
        second = second * alpha + 2.0 * first
        first = first * alpha + value
        value = value * alpha + a
    second = second * alpha + 2.0 * first
    first = first * alpha + value
    value = value * alpha + 1.0
    return _choose(jnp.abs(alpha) < 1.0, Derivatives(value, first, second), outside)


def _log_normal(alpha: Values, log_lo: Values, log_hi: Values) -> Derivatives:
    """``exp(alpha L(alpha))`` with ``L = (log_hi - log_lo) / 2 + q(2 alpha) (log_hi + log_lo) / 2``.

    ``q(y) = (3 y^5 - 10 y^3 + 15 y) / 8`` within [-1, 1], and the sign of y outside.
    """
    mean, half = 0.5 * (log_hi - log_lo), 0.5 * (log_hi + log_lo)
    y = jnp.clip(2.0 * alpha, -1.0, 1.0)
    squared = y**2
    bend = Derivatives(
        y * (3.0 * squared**2 - 10.0 * squared + 15.0) / 8.0,
        15.0 * (squared - 1.0) ** 2 / 4.0,
        30.0 * y * (squared - 1.0),
    )
    power = alpha * (mean + half * bend.value)
    slope = mean + half * (bend.value + alpha * bend.first)
    curvature = half * (2.0 * bend.first + alpha * bend.second)
    value = jnp.exp(power)
    return Derivatives(value, value * slope, value * (slope**2 + curvature))


def sextic_coefficients(lo: npt.NDArray[np.float64], hi: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Coefficients a1..a6 of code 4, with shape (6, ...): 1 + sum a_i x^i meets the exponentials.

    Value, slope and curvature agree with ``hi**x`` at +1 and ``lo**-x`` at -1.
    """
    powers = np.arange(1, 7)
    rows = []
    for x in (1.0, -1.0):
        rows += [x**powers, powers * x ** (powers - 1), powers * (powers - 1) * x ** (powers - 2)]
    log_hi, log_lo = np.log(hi), np.log(lo)
    targets = [hi - 1.0, hi * log_hi, hi * log_hi**2, lo - 1.0, -lo * log_lo, lo * log_lo**2]
    solution = np.linalg.solve(np.asarray(rows), np.stack(targets).reshape(6, -1))
    return solution.reshape(6, *lo.shape)


def _choose(condition: Array, yes: Derivatives, no: Derivatives) -> Derivatives:
    pairs = zip(yes, no, strict=True)
    return Derivatives(*(jnp.where(condition, a, b) for a, b in pairs))
