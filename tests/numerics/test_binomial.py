"""Binomial intervals and p-values: against SciPy, and against the probabilities that define them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from infer.numerics.binomial import clopper_pearson, two_sided_p_value

CASES = [(0, 1), (1, 1), (0, 20), (20, 20), (3, 20), (1, 1000), (683, 1000), (999_999, 1_000_000)]


@pytest.mark.parametrize("cl", [0.6826894921370859, 0.95, 0.9973])
@pytest.mark.parametrize(("k", "n"), CASES)
def test_interval_is_scipys(k: int, n: int, cl: float) -> None:
    """The exact method of `scipy.stats.binomtest`, with no success and with nothing but successes too."""
    low, high = clopper_pearson(k, n, cl)
    expected = stats.binomtest(k, n).proportion_ci(cl, method="exact")
    assert float(low) == pytest.approx(expected.low, rel=1e-10, abs=1e-15)
    assert float(high) == pytest.approx(expected.high, rel=1e-10)


def test_ends_leave_half_of_the_rest_on_either_side() -> None:
    """At the lower end k or more successes have probability alpha / 2, at the upper end k or fewer."""
    k, n, cl = np.array([1.0, 7.0, 39.0]), 40.0, 0.9
    low, high = clopper_pearson(k, n, cl)
    np.testing.assert_allclose(stats.binom.sf(k - 1.0, n, low), 0.05, rtol=1e-9)
    np.testing.assert_allclose(stats.binom.cdf(k, n, high), 0.05, rtol=1e-9)


def test_closed_forms() -> None:
    """No success in n trials: 0 to 1 - (alpha / 2)^(1 / n); the mirror image for nothing but successes; no trial."""
    low, high = clopper_pearson([0.0, 10.0, 0.0], [10.0, 10.0, 0.0], 0.95)
    np.testing.assert_allclose(low, [0.0, 0.025**0.1, 0.0], rtol=1e-12)
    np.testing.assert_allclose(high, [1.0 - 0.025**0.1, 1.0, 1.0], rtol=1e-12)


def test_shares_of_counts_lie_between_their_neighbours() -> None:
    """Counts need not be whole: the ends grow steadily with them, also between none and one and at the other end."""
    k = np.linspace(0.0, 5.0, 101)
    low, high = clopper_pearson(k, 5.0)
    assert np.all(np.diff(low) > 0.0)
    assert np.all(np.diff(high[k < 5.0]) > 0.0)
    assert low[1] == pytest.approx(stats.beta.ppf(0.5 * (1.0 - 0.6826894921370859), k[1], 6.0 - k[1]), rel=1e-9)


@pytest.mark.parametrize("p", [0.02, 0.3, 0.6827, 0.95])
@pytest.mark.parametrize("n", [1, 30, 400])
def test_coverage_is_at_least_nominal(n: int, p: float) -> None:
    """The exact probability that the interval contains the truth is never below the confidence level."""
    k = np.arange(n + 1)
    low, high = clopper_pearson(k, n)
    assert np.sum(stats.binom.pmf(k[(low <= p) & (p <= high)], n, p)) >= 0.6826894921370859


@pytest.mark.parametrize(("k", "n", "p"), [(0, 10, 0.1), (10, 10, 0.1), (7, 10, 0.7), (650, 1000, 0.6827)])
def test_p_value_is_twice_the_smaller_tail(k: int, n: int, p: float) -> None:
    """Twice the probability of k or fewer, or of k or more, whichever is smaller, and never above 1."""
    tail = min(stats.binom.cdf(k, n, p), stats.binom.sf(k - 1, n, p))
    assert two_sided_p_value(k, n, p) == pytest.approx(min(1.0, 2.0 * tail), rel=1e-10)


@pytest.mark.parametrize("p", [0.1, 0.6827])
def test_p_values_alarm_as_seldom_as_they_say(p: float) -> None:
    """The exact probability of a p-value of at most alpha is at most alpha, and not far below for many trials."""
    n = 2000
    p_values = np.asarray([two_sided_p_value(k, n, p) for k in range(n + 1)])
    pmf = stats.binom.pmf(np.arange(n + 1), n, p)
    for alpha in (0.3173, 0.05, 1e-4):
        assert 0.7 * alpha < np.sum(pmf[p_values <= alpha]) <= alpha
