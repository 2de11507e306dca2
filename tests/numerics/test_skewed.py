"""Skewed yields: the coefficients have the moments they were made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer.errors import InputError
from infer.numerics.skewed import skewed_yields


def moments(a: np.ndarray, b: np.ndarray, c: np.ndarray, rho: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, covariance and third central moments of a + b theta + c theta^2."""
    covariance = np.outer(b, b) * rho + 2.0 * np.outer(c, c) * rho**2
    return a + c, covariance, 6.0 * b**2 * c + 8.0 * c**3


@given(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6), st.floats(-0.95, 0.95))
def test_there_and_back(first: float, second: float, rho: float) -> None:
    """Where b dominates, the coefficients come back from their own moments."""
    a, b, c = np.array([20.0, 7.0]), np.array([2.0, 1.5]), np.array([first, second])
    matrix = np.array([[1.0, rho], [rho, 1.0]])
    found = skewed_yields(*moments(a, b, c, matrix))
    np.testing.assert_allclose(found.a, a, rtol=1e-8)
    np.testing.assert_allclose(found.b, b, rtol=1e-8)
    np.testing.assert_allclose(found.c, c, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.rho, matrix, atol=1e-8)


def test_without_skewness_it_is_the_covariance() -> None:
    """c vanishes, b is the standard deviation, and rho the correlation."""
    covariance = np.array([[4.0, 1.0], [1.0, 9.0]])
    found = skewed_yields(np.array([5.0, 6.0]), covariance, np.zeros(2))
    np.testing.assert_allclose(found.c, 0.0, atol=1e-15)
    np.testing.assert_allclose(found.b, [2.0, 3.0], rtol=1e-14)
    np.testing.assert_allclose(found.rho, [[1.0, 1.0 / 6.0], [1.0 / 6.0, 1.0]], rtol=1e-14)


def test_the_most_skewed() -> None:
    """m3^2 = 8 m2^3 is a shifted chi-squared: b = 0."""
    found = skewed_yields(np.array([5.0]), np.array([[2.0]]), np.array([8.0]))
    np.testing.assert_allclose(found.c, [1.0], rtol=1e-7)
    np.testing.assert_allclose(found.b, [0.0], atol=1e-3)  # the root of a rounding error


def test_impossible_moments() -> None:
    """Said with the bin."""
    with pytest.raises(InputError, match="bin 0 has the skewness 4"):
        skewed_yields(np.array([5.0]), np.array([[1.0]]), np.array([4.0]))
    with pytest.raises(InputError, match="bin 1 has the variance 0"):
        skewed_yields(np.array([5.0, 5.0]), np.diag([1.0, 0.0]), np.zeros(2))


def test_correlations_are_repaired_and_it_is_said() -> None:
    """Moments that no normal numbers have: the nearest correlation, and how far it is."""
    covariance = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    found = skewed_yields(np.ones(3), covariance, np.zeros(3))
    assert found.repaired > 0.1
    assert np.linalg.eigvalsh(found.rho)[0] > -1e-12
    np.testing.assert_allclose(np.diagonal(found.rho), 1.0, rtol=1e-12)
