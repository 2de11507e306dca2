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
import numpy as np
import numpy.typing as npt
import scipy.special
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Float

FloatArray = npt.NDArray[np.float64]

Values = Float[Array, "*n"]


def log_tails_q_mu(q: Values, q_asimov: Values) -> tuple[Values, Values]:
    """Logarithms of p_sb and 1 - p_b of q_mu, whose estimate may be negative (eqs. 57 to 59).

    Args:
        q: Observed q_mu, at least 0.
        q_asimov: Its value for background-only Asimov data, at least 0.
    """
    root, root_asimov = jnp.sqrt(q), jnp.sqrt(q_asimov)
    return log_ndtr(-root), log_ndtr(root_asimov - root)


def log_tails_q_mu_tilde(q: Values, q_asimov: Values) -> tuple[Values, Values]:
    """Logarithms of p_sb and 1 - p_b of q_mu_tilde (eqs. 64 to 66).

    Args:
        q: Observed q_mu_tilde, at least 0.
        q_asimov: Its value for background-only Asimov data, at least 0.
    """
    root, root_asimov = jnp.sqrt(q), jnp.sqrt(jnp.maximum(q_asimov, 1e-300))
    near = q <= q_asimov
    log_sb = jnp.where(near, log_ndtr(-root), log_ndtr(-0.5 * (q + q_asimov) / root_asimov))
    log_b = jnp.where(near, log_ndtr(root_asimov - root), log_ndtr(-0.5 * (q - q_asimov) / root_asimov))
    return log_sb, log_b


def log_cls(q: Values, q_asimov: Values) -> Values:
    """Logarithm of CLs = p_sb / (1 - p_b) by the asymptotic formulae of q_mu_tilde.

    Args:
        q: Observed q_mu_tilde, at least 0.
        q_asimov: Its value for background-only Asimov data, at least 0.
    """
    log_sb, log_b = log_tails_q_mu_tilde(q, q_asimov)
    return log_sb - log_b


def expected_log_cls(q_asimov: FloatArray, n_sigma: FloatArray) -> FloatArray:
    """Logarithm of CLs where the estimate fluctuates by so many standard deviations under background alone.

    There sqrt(q) = sqrt(q_A) - N, so that p_sb = Phi(N - sqrt(q_A)) and 1 - p_b = Phi(N); the same for q_mu
    and q_mu_tilde.

    Args:
        q_asimov: Test statistic of background-only Asimov data.
        n_sigma: Standard deviations of the estimate, -2 to 2 for the usual bands.
    """
    return np.asarray(scipy.special.log_ndtr(n_sigma - np.sqrt(q_asimov)) - scipy.special.log_ndtr(n_sigma))


def expected_root(log_cls: float, n_sigma: float) -> float:
    """sqrt(q_A) at which `expected_log_cls` has a value: the inverse function.

    With sigma = mu / sqrt(q_A), this is mu_up = sigma (Phi^-1(1 - alpha Phi(N)) + N), Cowan et al., eq. 89
    with CLs in the place of p_sb.
    """
    return float(n_sigma - scipy.special.ndtri_exp(log_cls + scipy.special.log_ndtr(n_sigma)))


def log_chi2_tail(q: float, n_dof: int) -> float:
    """Logarithm of the probability that chi2 exceeds q; a sum of positive terms, so that no tail is lost.

    Abramowitz & Stegun, Handbook of Mathematical Functions (1964), eqs. 26.4.4 and 26.4.5.

    Args:
        q: At least 0.
        n_dof: Degrees of freedom, at least 1.
    """
    half, powers = 0.5 * q, np.arange(n_dof % 2, n_dof, 2) / 2.0  # of q/2, each over its factorial
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = scipy.special.xlogy(powers, half) - half - scipy.special.gammaln(powers + 1.0)
    if n_dof % 2:
        terms = np.append(terms, np.log(2.0) + scipy.special.log_ndtr(-np.sqrt(q)))
    return float(scipy.special.logsumexp(terms))
