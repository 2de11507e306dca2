"""Statistical comparisons with a stated false-alarm rate, used by the laws.

Each returns ``(worst, limit)``: the largest absolute deviation in standard deviations among many
entries, and the two-sided normal quantile at ``FALSE_ALARM`` divided by their number (Bonferroni).
``worst > limit`` then happens to a correct likelihood with a probability of at most `FALSE_ALARM`
per comparison, as far as means over toys are normal; the keys are fixed, so that it happens either
always or never.  A deviation of one per cent in a width is found with 2e5 toys, one of ten per cent
with 2000.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

FALSE_ALARM = 1e-4
Array = npt.NDArray[np.float64]


def limit(n_entries: int) -> float:
    """Two-sided normal quantile after Bonferroni."""
    return float(stats.norm.isf(0.5 * FALSE_ALARM / max(n_entries, 1)))


def mean_deviation(samples: Array, mean: Array) -> tuple[float, float]:
    """Compare the mean over toys, with shape (N, K), with a declared one.

    An entry that does not vary must equal its mean to 1e-9.
    """
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    constant = error <= 1e-12 * (1.0 + np.abs(mean))
    difference = samples.mean(axis=0) - mean
    if np.any(np.abs(difference[constant]) > 1e-9 * (1.0 + np.abs(mean[constant]))):
        return np.inf, 0.0
    z = difference[~constant] / error[~constant]
    return float(np.max(np.abs(z), initial=0.0)), limit(z.size)


def variance_deviation(samples: Array, mean: Array, variance: Array) -> tuple[float, float]:
    """Compare the variance about a declared mean with a declared one, entry by entry."""
    return mean_deviation((samples - mean) ** 2, variance)


def covariance_deviation(samples: Array, covariance: Array) -> tuple[float, float]:
    """Compare the covariance of samples of mean zero with a declared one."""
    rows, columns = np.triu_indices(samples.shape[1])
    return mean_deviation(samples[:, rows] * samples[:, columns], covariance[rows, columns])


def pull_deviation(pulls: Array) -> tuple[float, float]:
    """Compare pulls, with shape (N, K), with the standard normal: exact tests of mean and width."""
    n = len(pulls)
    p_mean = 2.0 * stats.norm.sf(np.abs(pulls.mean(axis=0)) * np.sqrt(n))
    squares = np.sum(pulls**2, axis=0)
    p_width = 2.0 * np.minimum(stats.chi2.sf(squares, n), stats.chi2.cdf(squares, n))
    p_shape = stats.kstest(pulls, "norm", axis=0).pvalue
    p_values = np.concatenate([p_mean, p_width, p_shape])
    return float(stats.norm.isf(0.5 * np.min(p_values))), limit(p_values.size)
