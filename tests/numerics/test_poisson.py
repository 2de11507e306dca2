"""Poisson counts have the Poisson distribution at every rate."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats

from infer.numerics.poisson import SWITCH, sample_poisson

N = 100_000
FALSE_ALARM = 1e-4


@pytest.mark.parametrize("rate", [0.3, 7.0, 99.0, 101.0, 9e3, 1e6, 1e8, 1e12])
def test_counts_have_the_mean_and_variance_of_their_rate(rate: float) -> None:
    """Mean and variance are the rate, for small and huge rates (false-alarm rate 2e-4 per rate).

    jax.random.poisson fails this at 1e6 (variance 3 % too large) and beyond.
    """
    counts = np.asarray(sample_poisson(jax.random.key(11), jnp.full(N, rate)))
    limit = stats.norm.isf(0.5 * FALSE_ALARM)
    assert np.all(counts == np.round(counts))
    assert abs(counts.mean() - rate) < limit * np.sqrt(rate / N)
    spread = np.sqrt((2.0 + 1.0 / rate) / N)  # of the variance, in units of the rate
    assert abs(np.mean((counts - rate) ** 2) / rate - 1.0) < limit * spread


def test_small_counts_are_scipys_quantiles() -> None:
    """Up to the switch every count is exactly the Poisson quantile of its normal number."""
    key = jax.random.key(2)
    rates = np.concatenate([np.geomspace(1e-8, SWITCH, 5000), np.full(5000, 3.0)])
    wanted = stats.poisson.ppf(stats.norm.cdf(np.asarray(jax.random.normal(key, rates.shape))), rates)
    np.testing.assert_array_equal(sample_poisson(key, jnp.asarray(rates)), wanted)


def test_large_counts_are_scipys_quantiles() -> None:
    """Above the switch a count in a thousand may differ, and then by one."""
    key = jax.random.key(3)
    rates = np.geomspace(SWITCH + 1.0, 1e5, 10_000)
    wanted = stats.poisson.ppf(stats.norm.cdf(np.asarray(jax.random.normal(key, rates.shape))), rates)
    difference = np.abs(np.asarray(sample_poisson(key, jnp.asarray(rates))) - wanted)
    assert np.max(difference) <= 1.0
    assert np.mean(difference > 0.0) < 1e-3


@pytest.mark.parametrize(("rate", "tail"), [(SWITCH, 0.02), (1e4, 1e-6)])
def test_the_expansion_is_the_poisson_quantile(rate: float, tail: float) -> None:
    """Where the expansion of the docstring passes an integer, both probabilities agree to 4e-7."""

    def count(w: float) -> float:
        third = -(2.0 * w + w**3) / (72.0 * np.sqrt(rate))
        fourth = (-16.0 + 7.0 * w**2 + 3.0 * w**4) / (810.0 * rate)
        return float(rate + np.sqrt(rate) * w + (2.0 + w**2) / 6.0 + third + fourth)

    for w in np.linspace(-6.0, 6.0, 25):
        k = np.floor(count(w))
        edge = optimize.brentq(lambda x, k=k: count(x) - k, -8.0, 8.0)
        assert stats.norm.cdf(edge) == pytest.approx(stats.poisson.cdf(k - 1, rate), abs=4e-7)
        assert stats.norm.sf(edge) == pytest.approx(stats.poisson.sf(k - 1, rate), rel=tail)


def test_counts_grow_with_the_rate() -> None:
    """With one key, a larger rate never gives a smaller count, across the switch too."""
    rates = np.concatenate([np.linspace(0.0, 300.0, 3001), np.geomspace(301.0, 1e9, 1000)])
    draw = jax.jit(jax.vmap(sample_poisson, in_axes=(None, 0)))
    for seed in range(5):
        counts = np.asarray(draw(jax.random.key(seed), jnp.asarray(rates)))
        assert np.all(np.diff(counts) >= 0.0)


def test_edges_of_the_domain() -> None:
    """A rate of zero gives zero; a negative or undefined rate gives NaN, not a count."""
    counts = np.asarray(sample_poisson(jax.random.key(0), jnp.array([0.0, -1.0, jnp.nan])))
    np.testing.assert_array_equal(counts, [0.0, np.nan, np.nan])


def test_shapes_pass_through() -> None:
    """One count per rate, whatever the shape, the empty one included."""
    for shape in ((), (0,), (2, 3)):
        counts = jax.eval_shape(sample_poisson, jax.random.key(0), jnp.full(shape, 5.0))
        assert (counts.shape, counts.dtype) == (shape, jnp.float64)
