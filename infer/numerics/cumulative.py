r"""Distances between cumulative distributions: Kolmogorov-Smirnov and Anderson-Darling.

With S_j and T_j the observed and the expected share of events up to the upper end of cell j, n events and
p_j = T_j - T_{j-1},

.. math::
    D = \max_j |S_j - T_j|, \qquad
    A^2 = n \sum_j \frac{(S_j - T_j)^2}{T_j (1 - T_j)}\, p_j,

the latter over cells with 0 < T_j < 1 (Choulakian, Lockhart & Stephens, Can. J. Stat. 22 (1994) 125; the form
that Combine takes from Demortier, CDF/ANAL/JET/CDFR/3419).  Where cells lie between single events, S is
constant within each and the sum becomes the integral itself (Anderson & Darling, Ann. Math. Stat. 23 (1952)
193), in closed form because

.. math::
    \frac{(S - u)^2}{u (1 - u)} = \frac{d}{du} \left[ S^2 \ln u - (1 - S)^2 \ln(1 - u) - u \right].

Shapes alone are compared: expected and observed events are normalised to 1 each.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax.scipy.special import xlogy
from jaxtyping import Array, Float

from infer.typing import Scalar

Values = Float[Array, " n"]

_TINY = 1e-300  # as close to 0 as a share may come, so that a logarithm stays a number
_EPS = 1e-16  # the same for 1


def kolmogorov_smirnov(observed: Values, expected: Values) -> Scalar:
    """The largest distance D between two cumulative distributions; 0 without events.

    Args:
        observed: Events of each cell with shape (N,).
        expected: Expectation of each cell with shape (N,).
    """
    share, wanted, n = _shares(observed, expected)
    return jnp.where(n == 0.0, 0.0, jnp.max(jnp.abs(share - wanted)))


def anderson_darling(observed: Values, expected: Values, *, continuous: bool) -> Scalar:
    """The weighted squared distance A^2 between two cumulative distributions; 0 without events.

    Args:
        observed: Events of each cell with shape (N,).
        expected: Expectation of each cell with shape (N,).
        continuous: Whether no cell has both events and an expectation, so that the integral is known.
    """
    share, wanted, n = _shares(observed, expected)
    before = jnp.concatenate([jnp.zeros(1), wanted[:-1]])
    if continuous:
        parts = _antiderivative(share, wanted) - _antiderivative(share, before)
    else:
        inside = (wanted > 0.0) & (wanted < 1.0)
        safe = jnp.where(inside, wanted, 0.5)
        parts = jnp.where(inside, (share - wanted) ** 2 / (safe * (1.0 - safe)) * (wanted - before), 0.0)
    return n * jnp.sum(parts)


def _shares(observed: Values, expected: Values) -> tuple[Values, Values, Scalar]:
    """Cumulative shares, and the number of events."""
    seen, wanted = jnp.cumsum(observed), jnp.cumsum(expected)
    n = seen[-1]
    return seen / jnp.where(n == 0.0, 1.0, n), wanted / wanted[-1], n


def _antiderivative(share: Values, u: Values) -> Values:
    rest = 1.0 - share
    return xlogy(share**2, jnp.maximum(u, _TINY)) - xlogy(rest**2, jnp.maximum(1.0 - u, _EPS)) - u
