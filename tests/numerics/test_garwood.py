"""Central intervals of a Poisson mean: against the probabilities that define them, and against tables."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from infer.errors import InputError
from infer.numerics.garwood import ONE_SIGMA, poisson_interval


@pytest.mark.parametrize("cl", [ONE_SIGMA, 0.9, 0.95])
def test_ends_leave_half_of_the_rest_on_either_side(cl: float) -> None:
    """A mean at the lower end gives n or more with probability alpha / 2, at the upper end n or fewer."""
    n = np.array([0.0, 1.0, 2.0, 7.0, 30.0, 500.0])
    low, high = poisson_interval(n, cl=cl)
    tail = 0.5 * (1.0 - cl)
    np.testing.assert_allclose(stats.poisson.cdf(n, high), tail, rtol=1e-9)
    np.testing.assert_allclose(stats.poisson.sf(n[1:] - 1.0, low[1:]), tail, rtol=1e-9)
    assert low[0] == 0.0


def test_published_values() -> None:
    """The intervals at 68.27 % that every plotting package of the field draws (Garwood 1936)."""
    low, high = poisson_interval([0, 1, 2, 10])
    np.testing.assert_allclose(low, [0.0, 0.173, 0.708, 6.891], atol=5e-4)
    np.testing.assert_allclose(high, [1.841, 3.300, 4.638, 14.267], atol=5e-4)


@pytest.mark.parametrize("mean", [0.3, 1.84, 5.0, 40.0])
def test_coverage_is_at_least_nominal(mean: float) -> None:
    """The exact probability that the interval contains the mean is never below the confidence level."""
    n = np.arange(0.0, 200.0)
    low, high = poisson_interval(n)
    covered = (low <= mean) & (mean <= high)
    assert np.sum(stats.poisson.pmf(n[covered], mean)) >= ONE_SIGMA


def test_counts_that_are_not_whole_lie_between_their_neighbours() -> None:
    """Asimov data have such counts; the ends grow with the count."""
    low, high = poisson_interval(np.linspace(0.0, 10.0, 101))
    assert np.all(np.diff(low) >= 0.0)
    assert np.all(np.diff(high) > 0.0)
    assert poisson_interval(np.full((2, 3), 4.0))[0].shape == (2, 3)


@pytest.mark.parametrize(
    ("counts", "cl", "words"), [([-1.0], 0.68, "counts"), ([np.nan], 0.68, "counts"), ([1.0], 68.0, "0.95")]
)
def test_refuses_the_impossible(counts: list[float], cl: float, words: str) -> None:
    """Negative counts and levels in percent are errors that say so."""
    with pytest.raises(InputError, match=words):
        poisson_interval(counts, cl=cl)
