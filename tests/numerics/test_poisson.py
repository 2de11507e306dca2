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


@pytest.mark.parametrize("rate", [0.3, 7.0, 12.0, 9e3, 1.1e4, 1e6, 1e8, 1e12])
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


@pytest.mark.parametrize("rate", [SWITCH, 1e6])
def test_the_expansion_is_the_poisson_quantile(rate: float) -> None:
    """Where the expansion passes k + 1/2, the normal and the Poisson probability agree to 2e-6."""

    def count(z: float) -> float:
        root = np.sqrt(rate)
        return float(rate + root * z + (z**2 - 1.0) / 6.0 + (z - z**3) / (72.0 * root))

    for z in np.linspace(-6.0, 6.0, 25):
        k = np.floor(count(z))
        edge = optimize.brentq(lambda x, k=k: count(x) - k - 0.5, -8.0, 8.0)
        assert stats.norm.cdf(edge) == pytest.approx(stats.poisson.cdf(k, rate), abs=2e-6)
        assert stats.norm.sf(edge) == pytest.approx(stats.poisson.sf(k, rate), rel=2e-3)


def test_edges_of_the_domain() -> None:
    """A rate of zero gives zero; a negative or undefined rate gives NaN, not a count."""
    counts = np.asarray(sample_poisson(jax.random.key(0), jnp.array([0.0, -1.0, jnp.nan])))
    np.testing.assert_array_equal(counts, [0.0, np.nan, np.nan])


def test_shapes_pass_through() -> None:
    """One count per rate, whatever the shape, the empty one included."""
    for shape in ((), (0,), (2, 3)):
        counts = jax.eval_shape(sample_poisson, jax.random.key(0), jnp.full(shape, 5.0))
        assert (counts.shape, counts.dtype) == (shape, jnp.float64)
