"""Confidence intervals of a binomial probability: what k successes in n trials say."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, bdtrc, betaincinv

FloatArray = npt.NDArray[np.float64]
Numbers: TypeAlias = int | float | npt.ArrayLike


def clopper_pearson(k: Numbers, n: Numbers, cl: float = 0.6826894921370859) -> tuple[FloatArray, FloatArray]:
    """The central interval that covers at least with probability ``cl``, elementwise.

    Args:
        k: Successes; need not be whole.
        n: Trials; none at all gives (0, 1).
        cl: Confidence level.

    Source: Clopper & Pearson, Biometrika 26 (1934) 404; ends as quantiles of beta distributions, PDG review of
    statistics, eqs. 40.83.
    """
    k, n = np.broadcast_arrays(np.asarray(k, dtype=float), np.asarray(n, dtype=float))
    tail = 0.5 * (1.0 - cl)
    low = np.where(k > 0.0, betaincinv(np.where(k > 0.0, k, 1.0), n - k + 1.0, tail), 0.0)
    high = np.where(k < n, betaincinv(k + 1.0, np.where(k < n, n - k, 1.0), 1.0 - tail), 1.0)
    return low, high


def two_sided_p_value(k: int, n: int, p: float) -> float:
    """Probability of k successes or something less likely in its direction, doubled; at most 1."""
    below, above = float(bdtr(k, n, p)), float(bdtrc(k - 1, n, p)) if k > 0 else 1.0
    return min(1.0, 2.0 * min(below, above))
