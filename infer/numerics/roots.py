"""Where a falling function crosses zero: exactly, or as well as its noise allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_MAX_EVALUATIONS = 100
_GROWTH = 3.0  # by how much a step may exceed the one before it, while there is no bracket


@dataclass(frozen=True)
class Crossing:
    """Where a function crosses zero.

    Attributes:
        x: The place.
        error: Its standard deviation, 0 for a function without noise.
    """

    x: float
    error: float = 0.0


def falling_root(
    function: Callable[[float], tuple[float, float]], *, above: float, guess: float, tolerance: float
) -> Crossing | None:
    """Where a smooth function that falls from a positive value at ``above`` crosses zero.

    Newton's steps inside a bracket; where they leave it, or the slope is of no use, bisection, or a step
    further out while nothing bounds the search.

    Args:
        function: Value and slope at a point.
        above: Lower end of the search, where the function is positive.
        guess: First point, above it.
        tolerance: Largest absolute value of the function that counts as zero.

    Returns:
        The crossing; None if there is none within 100 evaluations.
    """
    low, high, x = above, np.inf, guess
    for n in range(1, _MAX_EVALUATIONS + 1):
        value, slope = function(x)
        if abs(value) < tolerance:
            return Crossing(x)
        low, high = (x, high) if value > 0.0 else (low, x)
        if np.isfinite(high) and not low < 0.5 * (low + high) < high:  # no floating-point number is left in between
            return Crossing(x)
        farthest = min(high, above + _GROWTH * (low - above)) if low > above else high
        beyond = 0.5 * (low + high) if np.isfinite(high) else farthest
        # From the eighth on, every other evaluation halves the bracket: Newton may creep along it.
        newton = x - value / slope if slope < 0.0 and (n < 8 or n % 2) else np.nan
        x = float(newton if low < newton < farthest else beyond)
    return None


def noisy_root(x: FloatArray, y: FloatArray, sigma: FloatArray) -> Crossing | None:
    """Where a falling function that is known with noise crosses zero.

    A parabola is fitted by weighted least squares, a straight line to two points; the error of the crossing
    is that of the parabola there over its slope.

    Args:
        x: Points with shape (N,), in increasing order.
        y: Values with shape (N,).
        sigma: Their standard deviations with shape (N,).

    Returns:
        The crossing; None where the parabola does not fall through zero between the outermost points.
    """
    degree = min(2, x.size - 1)
    centre, scale = 0.5 * (x[0] + x[-1]), max(0.5 * (x[-1] - x[0]), 1e-300)
    u = (x - centre) / scale
    coefficients, covariance = np.polyfit(u, y, degree, w=1.0 / sigma, cov="unscaled")
    polynomial = np.polynomial.Polynomial(coefficients[::-1])
    roots = polynomial.roots()
    real = np.real(roots[np.abs(np.imag(roots)) < 1e-9])
    inside = [r for r in real if -1.0 <= r <= 1.0 and polynomial.deriv()(r) < 0.0]
    if not inside:
        return None
    root = float(inside[0])
    powers = root ** np.arange(degree, -1, -1)
    error = np.sqrt(powers @ covariance @ powers) / abs(polynomial.deriv()(root))
    return Crossing(centre + scale * root, float(error * scale))
