"""Poisson counts that keep their variance at every rate.

``jax.random.poisson`` decides in float32 whether to accept a proposal.  The logarithm of the
acceptance ratio is a difference of numbers of size ``rate * log(rate)``, whose rounding errors pass
1 at rates around 1e6: the variance of its counts is then 3 % too large, and 50 % too large at 1e8
(jax 0.10).  Histograms of data hold such counts, and so do auxiliary measurements of a permille.

Above `SWITCH` the count is therefore the Cornish-Fisher expansion of the Poisson quantile at a
standard normal ``z``, rounded to the nearest integer::

    rate + sqrt(rate) z + (z^2 - 1) / 6 + (z - z^3) / (72 sqrt(rate))

The first neglected term is of order ``1 / rate`` counts.  The third one is that of the general
expansion, with skewness ``1 / sqrt(rate)`` and excess kurtosis ``1 / rate``.

Reference: Abramowitz and Stegun, Handbook of Mathematical Functions (1972), eq. 26.2.49.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from infer.typing import Key

SWITCH = 1e4
"""Rate above which the expansion is used: there it is more exact than a float32 acceptance."""


def sample_poisson(key: Key, rate: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Poisson counts as floats, one per rate; NaN where the rate is negative or NaN."""
    exact_key, normal_key = jax.random.split(key)
    counts = jax.random.poisson(exact_key, jnp.clip(rate, 0.0, SWITCH)).astype(rate.dtype)
    z = jax.random.normal(normal_key, rate.shape, dtype=rate.dtype)
    root = jnp.sqrt(jnp.maximum(rate, SWITCH))
    expansion = rate + root * z + (z**2 - 1.0) / 6.0 + (z - z**3) / (72.0 * root)
    counts = jnp.where(rate > SWITCH, jnp.floor(expansion + 0.5), counts)
    return jnp.where(rate >= 0.0, counts, jnp.nan)
