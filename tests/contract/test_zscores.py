"""The comparisons are calibrated: they accept what is right and find what is wrong, both ways."""

from __future__ import annotations

import numpy as np
import pytest

from tests.contract.zscores import (
    Array,
    covariance_deviation,
    limit,
    mean_deviation,
    pull_deviation,
    variance_deviation,
)


@pytest.fixture
def normal() -> Array:
    """Standard normal numbers with shape (2000, 3)."""
    return np.random.default_rng(20240117).standard_normal((2000, 3))


def test_limit_grows_with_the_number_of_entries() -> None:
    """One entry is compared at 3.9 standard deviations, a thousand at 5.3 (false-alarm rate 1e-4)."""
    assert limit(1) == pytest.approx(3.8906, abs=1e-3)
    assert limit(1000) == pytest.approx(5.3267, abs=1e-3)


def test_right_numbers_are_accepted(normal: Array) -> None:
    """Numbers with the declared moments pass all four comparisons (false-alarm rate 1e-4 each)."""
    zero, one = np.zeros(3), np.ones(3)
    for worst, most in (
        mean_deviation(normal, zero),
        variance_deviation(normal, zero, one),
        covariance_deviation(normal, np.eye(3)),
        pull_deviation(normal),
    ):
        assert worst < most


@pytest.mark.parametrize("shift", [-0.2, 0.2])
def test_a_shift_is_found(normal: Array, shift: float) -> None:
    """A bias of a fifth of a standard deviation is found in either direction."""
    wrong = normal + np.array([0.0, shift, 0.0])
    worst, most = mean_deviation(wrong, np.zeros(3))
    assert worst > most
    worst, most = pull_deviation(wrong)
    assert worst > most


@pytest.mark.parametrize("width", [0.85, 1.15])
def test_a_wrong_width_is_found(normal: Array, width: float) -> None:
    """A width wrong by 15 % is found in either direction."""
    wrong = normal * [1.0, 1.0, width]
    for worst, most in (
        variance_deviation(wrong, np.zeros(3), np.ones(3)),
        covariance_deviation(wrong, np.eye(3)),
        pull_deviation(wrong),
    ):
        assert worst > most


def test_a_missing_correlation_is_found(normal: Array) -> None:
    """Samples with a correlation of 0.3 do not pass as independent ones."""
    mixed = normal.copy()
    mixed[:, 1] = 0.3 * normal[:, 0] + np.sqrt(1.0 - 0.09) * normal[:, 1]
    worst, most = covariance_deviation(mixed, np.eye(3))
    assert worst > most


def test_a_constant_must_equal_its_mean() -> None:
    """An entry without fluctuations is compared exactly instead of being divided by zero."""
    constant = np.full((100, 1), 3.0)
    assert mean_deviation(constant, np.array([3.0])) == (0.0, limit(0))
    assert mean_deviation(constant, np.array([3.1]))[0] == np.inf
