r"""Test statistics from profiled likelihoods.

With lambda(mu) = L(mu, theta_hat_hat) / L(mu_hat, theta_hat), Cowan et al., arXiv:1007.1727, define

===============  ======================================================================  ==========
``t_mu``         -2 ln lambda(mu)                                                        eq. 8
``q_mu``         the same for mu_hat <= mu, else 0                                       eq. 14
``q_mu_tilde``   the same, with mu_hat < 0 replaced by 0                                 eq. 16
``q_0``          -2 ln lambda(0) for mu_hat >= 0, else 0                                 eq. 12
===============  ======================================================================  ==========

Where the fit may not go below zero, ``t_mu`` is their t_mu_tilde (eq. 11), whose use in a Neyman
construction is that of Feldman & Cousins, arXiv:physics/9711021.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from infer.errors import ParameterError

FloatArray = npt.NDArray[np.float64]

STATISTICS = ("t_mu", "q_mu", "q_mu_tilde", "q_0")


def statistic(
    name: str, value: float, *, best: FloatArray, free: FloatArray, held: FloatArray, null: FloatArray
) -> FloatArray:
    """A test statistic of the hypothesis that the parameter of interest is ``value``, elementwise.

    Args:
        name: One of `STATISTICS`.
        value: Hypothesis; 0 for ``q_0``.
        best: Best fits mu_hat.
        free: ``-2 log L`` at the best fits.
        held: ``-2 log L`` profiled at ``value``.
        null: ``-2 log L`` profiled at zero.

    Raises:
        ParameterError: The name is unknown, or ``q_0`` is asked for another value than 0.
    """
    if name not in STATISTICS:
        raise ParameterError(f"statistic must be one of {', '.join(STATISTICS)}, got {name!r}.")
    if name == "q_0" and value != 0.0:
        raise ParameterError(f"q_0 tests the value 0, got {value:g}; use t_mu, q_mu or q_mu_tilde.")
    ratio = np.asarray(np.maximum(held - free, 0.0))
    if name == "t_mu":
        return ratio
    if name == "q_0":
        return np.where(best >= 0.0, ratio, 0.0)
    if name == "q_mu_tilde":
        ratio = np.asarray(np.maximum(held - np.where(best < 0.0, null, free), 0.0))
    return np.where(best <= value, ratio, 0.0)
