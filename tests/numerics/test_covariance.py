"""Correlation matrices: what is refused, what is the same number twice, what falls apart."""

from __future__ import annotations

import re

import numpy as np
import pytest

from infer.errors import InputError
from infer.numerics.covariance import (
    cholesky,
    correlation_matrix,
    independent_blocks,
    merge_identical,
)


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.3, 1.0])
def test_one_number_for_all_pairs(rho: float) -> None:
    """Ones on the diagonal, the number elsewhere; n numbers can have -1/(n-1) at the lowest."""
    R = correlation_matrix(rho, 3, "x")
    np.testing.assert_array_equal(np.diagonal(R), 1.0)
    np.testing.assert_array_equal(R[~np.eye(3, dtype=bool)], rho)


@pytest.mark.parametrize(
    ("correlation", "message"),
    [
        (-0.6, "without negative eigenvalues, got -0.2"),
        (1.5, "to lie within [-1, 1], got 1.5"),
        (np.nan, "to lie within [-1, 1], got nan"),
        (np.eye(2), "shape (3, 3), got shape (2, 2)"),
        (np.diag([1.0, 1.0, 0.5]), "ones on the diagonal"),
        (np.eye(3) + np.eye(3, k=1) * 0.2, "expected a symmetric correlation of x"),
    ],
    ids=["too-negative", "beyond-one", "nan", "shape", "diagonal", "asymmetric"],
)
def test_no_correlation_matrix(correlation: object, message: str) -> None:
    """Every defect has its sentence."""
    with pytest.raises(InputError, match=re.escape(message)):
        correlation_matrix(correlation, 3, "x")


def test_merge_identical_restores_the_matrix() -> None:
    """R = signs @ R[leaders, leaders] @ signs.T, with every number in exactly one set."""
    core = np.array([[1.0, 0.4], [0.4, 1.0]])
    signs = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    R = signs @ core @ signs.T
    leaders, found = merge_identical(R)
    assert leaders == [0, 1]
    np.testing.assert_array_equal(found, signs)
    np.testing.assert_array_equal(np.abs(found).sum(axis=1), 1.0)


def test_independent_blocks_follow_chains() -> None:
    """0-2-4 are connected through 2, although 0 and 4 are not correlated."""
    R = np.eye(5)
    R[0, 2] = R[2, 0] = R[2, 4] = R[4, 2] = 0.5
    assert independent_blocks(R) == [[0, 2, 4], [1], [3]]


def test_cholesky() -> None:
    """L is lower triangular, and L L' is the covariance."""
    C = np.array([[4.0, 1.0], [1.0, 9.0]])
    L = cholesky(C, "x")
    np.testing.assert_allclose(L @ L.T, C, rtol=1e-15)
    assert L[0, 1] == 0.0


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        ([[1.0, 0.5], [0.4, 1.0]], "symmetric covariance of x"),
        ([[1.0, 1.0], [1.0, 1.0]], "positive definite covariance of x"),
        ([[1.0, np.nan], [np.nan, 1.0]], "finite covariance of x"),
    ],
    ids=["asymmetric", "singular", "nan"],
)
def test_no_covariance(covariance: object, message: str) -> None:
    """Every defect has its sentence."""
    with pytest.raises(InputError, match=message):
        cholesky(covariance, "x")
