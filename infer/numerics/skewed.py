r"""Skewed yields: correlated quadratic functions of normal numbers, from the first three moments.

A background yield is approximated by

    b_I(theta) = a_I + b_I theta_I + c_I theta_I^2,      theta ~ N(0, rho),      rho_II = 1,

which has the mean m1_I, the covariance m2_IJ and the third central moments m3_I where (Buckley, Citron, Fichet,
Kraml, Waltenberger and Wardle, The simplified likelihood framework, arXiv:1809.05548, section 2)

    m1_I = a_I + c_I,   m2_IJ = b_I b_J rho_IJ + 2 c_I c_J rho_IJ^2,   m3_I = 6 b_I^2 c_I + 8 c_I^3.

`skewed_yields` solves these: eqs. 2.9 to 2.12 there, with arctan(sqrt(8 / x^2 - 1)) as the angle of the
point (abs x, sqrt(8 - x^2)), x = m3 / m2^(3/2), and the last one in the form that does not divide by c_I c_J.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infer.errors import InputError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SkewedYields:
    """Coefficients of skewed yields of N bins.

    Attributes:
        a: Constant terms with shape (N,).
        b: Linear terms with shape (N,), none negative.
        c: Quadratic terms with shape (N,).
        rho: Correlation of the normal numbers with shape (N, N); positive semidefinite.
        repaired: Largest change of an entry of ``rho`` that made it so; 0 where none was needed.
    """

    a: FloatArray
    b: FloatArray
    c: FloatArray
    rho: FloatArray
    repaired: float


def skewed_yields(
    mean: FloatArray, covariance: FloatArray, third: FloatArray, *, names: Sequence[str] | None = None
) -> SkewedYields:
    """Coefficients from moments.

    Args:
        mean: With shape (N,).
        covariance: With shape (N, N), of positive variances.
        third: Third central moments with shape (N,).
        names: What the bins are called in messages; None counts them.

    Raises:
        InputError: A variance is not positive, or a bin is more skewed than a quadratic function can be, which has
            m3^2 <= 8 m2^3.
    """
    variance = np.diagonal(covariance)
    called = names or [f"bin {i}" for i in range(len(mean))]
    for i in np.flatnonzero(~(variance > 0.0)).tolist():
        raise InputError(f"{called[i]} has the variance {variance[i]:g}; leave out bins that do not vary.")
    skewness = third / variance**1.5
    for i in np.flatnonzero(np.abs(skewness) > np.sqrt(8.0)).tolist():
        raise InputError(
            f"{called[i]} has the skewness {skewness[i]:.3g}, and no quadratic function of a normal number exceeds "
            f"{np.sqrt(8.0):.3g}; take the covariance or the linear form."
        )
    angle = 4.0 * np.pi / 3.0 + np.arctan2(np.sqrt(np.maximum(8.0 - skewness**2, 0.0)), np.abs(skewness)) / 3.0
    c = -np.sign(skewness) * np.sqrt(2.0 * variance) * np.cos(angle)
    b = np.sqrt(np.maximum(variance - 2.0 * c**2, 0.0))
    linear, quadratic = np.outer(b, b), 8.0 * np.outer(c, c) * covariance
    below = linear + np.sqrt(np.maximum(linear**2 + quadratic, 0.0))
    solved = np.divide(2.0 * covariance, below, out=np.zeros_like(covariance), where=below > 0.0)
    rho = _correlation(solved)
    return SkewedYields(mean - c, b, c, rho, float(np.max(np.abs(rho - solved))))


def _correlation(matrix: FloatArray) -> FloatArray:
    """The matrix with eigenvalues below zero lifted to it, and its diagonal scaled back to one."""
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    if values[0] >= 0.0 and np.allclose(np.diagonal(matrix), 1.0, rtol=0.0, atol=1e-12):
        return matrix
    lifted = (vectors * np.maximum(values, 0.0)) @ vectors.T
    scale = np.sqrt(np.diagonal(lifted))
    return np.asarray(lifted / np.outer(scale, scale), dtype=float)
