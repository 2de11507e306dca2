"""Covariance and correlation matrices: checks that say what is wrong, and how they fall apart.

Two facts about a correlation matrix ``R`` decide how many independent standard normal numbers stand
behind correlated ones.  Where ``|R_ij| = 1``, i and j are the same number up to a sign, so that
``R`` is singular unless they are merged (`merge_identical`); where ``R`` is block diagonal, the
blocks are independent of one another (`independent_blocks`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse.csgraph import connected_components

from infer.errors import InputError

FloatArray = npt.NDArray[np.float64]

ROUNDING = 1e-10
"""Difference of two correlations that is taken for rounding."""


def correlation_matrix(correlation: float | npt.ArrayLike, size: int, what: str) -> FloatArray:
    """A correlation matrix with shape (size, size), from itself or from one number for all pairs.

    It may be singular, as that of fully correlated numbers is.

    Args:
        correlation: a number, or the matrix.
        size: number of rows that is expected.
        what: what is correlated, for messages: "the source 'scale'".

    Raises:
        InputError: the shape is another one, it is not symmetric, its diagonal is not one, an entry
            lies outside [-1, 1], or an eigenvalue is negative, so that no numbers have it.
    """
    R = np.asarray(correlation, dtype=float)
    if R.ndim == 0:
        R = np.where(np.eye(size, dtype=bool), 1.0, R)
    if R.shape != (size, size):
        raise InputError(
            f"expected the correlation of {what} to be one number or a matrix with shape "
            f"({size}, {size}), got shape {R.shape}; give a row and a column to each measurement."
        )
    if not np.all(np.abs(R) <= 1.0 + ROUNDING):
        raise InputError(
            f"expected the correlation of {what} to lie within [-1, 1], got "
            f"{R[~(np.abs(R) <= 1.0 + ROUNDING)][0]:g}; a covariance has to be divided by both "
            "uncertainties."
        )
    if not np.allclose(np.diagonal(R), 1.0, rtol=0.0, atol=ROUNDING):
        raise InputError(
            f"expected ones on the diagonal of the correlation of {what}, got "
            f"{np.diagonal(R).tolist()}; every number is fully correlated with itself."
        )
    if not np.allclose(R, R.T, rtol=0.0, atol=ROUNDING):
        raise InputError(
            f"expected a symmetric correlation of {what}, got one that differs from its transpose; "
            "give the correlation of i and j in both places."
        )
    if (smallest := float(np.linalg.eigvalsh(R)[0])) < -ROUNDING * size:
        raise InputError(
            f"expected a correlation of {what} without negative eigenvalues, got {smallest:.3g}; "
            "no numbers are correlated like that: lower the correlations."
        )
    return R


def merge_identical(R: FloatArray) -> tuple[list[int], FloatArray]:
    """Find the numbers that are the same up to a sign.

    Args:
        R: correlation matrix with shape (n, n).

    Returns:
        The position of the first number of each of the m sets, and signs with shape (n, m): +1 or
        -1 where a number belongs to a set, else 0.  With ``core`` the correlations of the first
        ones, ``R = signs @ core @ signs.T``.
    """
    same = np.where(np.abs(R) >= 1.0 - ROUNDING, np.sign(R), 0.0)
    leaders = [i for i in range(len(R)) if not same[i, :i].any()]
    return leaders, same[:, leaders]


def independent_blocks(R: FloatArray) -> list[list[int]]:
    """Sets of positions that are correlated with one another, directly or through others."""
    n_blocks, block_of = connected_components(R != 0.0, directed=False)
    return [np.flatnonzero(block_of == block).tolist() for block in range(n_blocks)]


def cholesky(covariance: npt.ArrayLike, what: str) -> FloatArray:
    """Lower triangular ``L`` with ``L L^T`` equal to a covariance, with shape (n, n).

    Args:
        covariance: with shape (n, n).
        what: whose covariance, for messages: "the measurements".

    Raises:
        InputError: it is not finite, not symmetric or not positive definite.
    """
    C = np.asarray(covariance, dtype=float)
    if not np.all(np.isfinite(C)):
        raise InputError(f"expected a finite covariance of {what}, got an entry that is not; correct it.")
    width = np.sqrt(np.abs(np.diagonal(C)))
    if not np.all(np.abs(C - C.T) <= ROUNDING * np.outer(width, width)):
        raise InputError(
            f"expected a symmetric covariance of {what}, got one that differs from its transpose; "
            "give the covariance of i and j in both places."
        )
    try:
        return np.asarray(np.linalg.cholesky(C), dtype=float)
    except np.linalg.LinAlgError:
        raise InputError(
            f"expected a positive definite covariance of {what}, got one that is not; numbers that "
            "are fully correlated, with nothing of their own, are one number: merge them."
        ) from None
