r"""Poisson counts as the quantile of a normal number, exact enough at every rate.

``jax.random.poisson`` decides in float32 whether to accept a proposal.  The logarithm of the
acceptance ratio is a difference of numbers of size ``rate * log(rate)``, whose rounding errors pass
1 at rates around 1e6: the variance of its counts is then 3 % too large, and 50 % too large at 1e8
(jax 0.10).  Histograms of data hold such counts, and so do auxiliary measurements of a permille.

Here one standard normal ``w`` with ``u = Phi(w)`` becomes the smallest count n whose cumulative
probability reaches u.  Up to a rate of `SWITCH`, the probabilities are added up in float64 until
they do.  Above, n is the integer part of the asymptotic expansion of that quantile,

.. math::
    \lambda + \sqrt\lambda\, w + \frac{2 + w^2}{6} - \frac{2 w + w^3}{72 \sqrt\lambda}
    + \frac{-16 + 7 w^2 + 3 w^4}{810 \lambda} ,

which errs by less than 4e-7 in cumulative probability, and by 0.4 % of the tail probability at five
standard deviations.  Counts of one key grow with the rate: toys at neighbouring parameters are
neighbours.

Reference: Giles, Algorithm 955: approximation of the inverse Poisson cumulative distribution
function, ACM Trans. Math. Softw. 42 (2016) 7, section 2.2.
"""

from __future__ import annotations

from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln, ndtr
from jaxtyping import Array, Float

from infer.typing import Key

_State: TypeAlias = tuple[Array, Array, Array, Array]

SWITCH = 100.0
"""Rate up to which probabilities are added up; above, the expansion is used."""

_MOST = 250.0
"""No count of a rate up to `SWITCH` passes this: it lies 15 standard deviations above."""


def log_poisson(counts: Float[Array, "*n"], rate: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Logarithm of the Poisson probability, elementwise; counts need not be whole.

    ``n log(rate) - rate - log Gamma(n + 1)``, written as ``n log(rate / n) - (rate - n)`` plus a
    function of n alone: the terms of the first form are of size n log n, and what they cancel to
    would carry rounding errors that a minimiser mistakes for structure.  A rate of zero allows a
    count of zero only, a negative one none (-inf).
    """
    positive, observed = rate > 0.0, counts > 0.0
    safe_rate, safe_count = jnp.where(positive, rate, 1.0), jnp.where(observed, counts, 1.0)
    excess = safe_rate - safe_count
    ratio = jnp.where(observed & positive, excess / safe_count, 0.0)
    shape = safe_count * jnp.log1p(ratio) - excess
    alone = safe_count * jnp.log(safe_count) - safe_count - gammaln(safe_count + 1.0)
    possible = jnp.where(observed, shape + alone, -safe_rate)
    impossible = jnp.where((rate == 0.0) & (counts == 0.0), -rate, -jnp.inf)
    return jnp.where(positive & (counts >= 0.0), possible, impossible)


def sample_poisson(key: Key, rate: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Poisson counts as floats, one per rate; NaN where the rate is negative or NaN."""
    w = jax.random.normal(key, rate.shape, dtype=rate.dtype)
    counts = jnp.where(rate > SWITCH, _expanded(jnp.maximum(rate, SWITCH), w), _searched(rate, w))
    return jnp.where(rate >= 0.0, counts, jnp.nan)


def _expanded(rate: Float[Array, "*n"], w: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """The expansion of the quantile, for rates from `SWITCH` on."""
    root = jnp.sqrt(rate)
    count = rate + root * w + (2.0 + w**2) / 6.0 - (2.0 * w + w**3) / (72.0 * root)
    return jnp.floor(count + (-16.0 + 7.0 * w**2 + 3.0 * w**4) / (810.0 * rate))


def _searched(rate: Float[Array, "*n"], w: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """The smallest count whose cumulative probability reaches Phi(w), for rates up to `SWITCH`."""
    mean = jnp.where((rate >= 0.0) & (rate <= SWITCH), rate, 0.0)
    wanted = jnp.minimum(ndtr(w), 1.0 - 1e-12)  # within reach of a sum of rounded numbers

    def missing(state: _State) -> Array:
        k, _, reached, _ = state
        return jnp.any(reached < wanted) & (k < _MOST)

    def step(state: _State) -> _State:
        k, term, reached, count = state
        count = jnp.where(reached < wanted, count + 1.0, count)
        term = term * mean / (k + 1.0)
        return k + 1.0, term, reached + term, count

    none = jnp.exp(-mean)
    start = (jnp.zeros((), rate.dtype), none, none, jnp.zeros_like(rate))
    return jax.lax.while_loop(missing, step, start)[3]
