r"""Asymptotic distributions of likelihood-ratio test statistics, in logarithms so that tails survive.

With q the observed value of q_mu_tilde and q_A its value for the background-only Asimov data (Cowan,
Cranmer, Gross & Vitells, arXiv:1007.1727, eqs. 62, 64 to 66, with sigma = mu / sqrt(q_A)):

.. math::
    p_{s+b} = \begin{cases} \Phi(-\sqrt q) & q \le q_A \\
              \Phi\left(-\frac{q + q_A}{2 \sqrt{q_A}}\right) & q > q_A \end{cases}
    \qquad
    1 - p_b = \begin{cases} \Phi(\sqrt{q_A} - \sqrt q) & q \le q_A \\
              \Phi\left(-\frac{q - q_A}{2 \sqrt{q_A}}\right) & q > q_A \end{cases}
"""

from __future__ import annotations

import jax.numpy as jnp
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Float

Values = Float[Array, "*n"]


def log_cls(q: Values, q_asimov: Values) -> Values:
    """Logarithm of CLs = p_sb / (1 - p_b) by the asymptotic formulae of q_mu_tilde.

    Args:
        q: Observed q_mu_tilde, at least 0.
        q_asimov: Its value for background-only Asimov data, at least 0.
    """
    root, root_asimov = jnp.sqrt(q), jnp.sqrt(jnp.maximum(q_asimov, 1e-300))
    near = q <= q_asimov
    log_sb = jnp.where(near, log_ndtr(-root), log_ndtr(-0.5 * (q + q_asimov) / root_asimov))
    log_b = jnp.where(near, log_ndtr(root_asimov - root), log_ndtr(-0.5 * (q - q_asimov) / root_asimov))
    return log_sb - log_b
