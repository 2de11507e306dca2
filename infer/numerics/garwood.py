r"""Exact central intervals of a Poisson mean, from one count: the bars of data points.

The central interval at confidence level ``cl`` = 1 - alpha, for the mean of a Poisson count n, is

    [chi2_{2n}(alpha / 2) / 2,  chi2_{2n+2}(1 - alpha / 2) / 2]

with the quantiles of chi-squared distributions, and the lower end 0 for n = 0: a mean at the lower
end gives n or more with probability alpha / 2, one at the upper end n or fewer.  It covers at least
``cl``, being exact for discrete data.  Counts that are not whole (Asimov data) get the continuation
of the formula.

Reference: Garwood, Biometrika 28 (1936) 437; Review of Particle Physics, Statistics, eq. 40.76.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import chdtr, gammainccinv, gammaincinv

from infer.errors import InputError

FloatArray = npt.NDArray[np.float64]

ONE_SIGMA = float(chdtr(1, 1.0))
"""Confidence level of one standard deviation, 0.6827."""


def poisson_interval(counts: npt.ArrayLike, *, cl: float = ONE_SIGMA) -> tuple[FloatArray, FloatArray]:
    """Lower and upper ends of the central interval of the mean, each with the shape of ``counts``.

    Args:
        counts: observed, zero or more.
        cl: confidence level.

    Raises:
        InputError: a count is negative or not finite, or ``cl`` is not between 0 and 1.
    """
    n = np.asarray(counts, dtype=float)
    if not 0.0 < cl < 1.0:
        raise InputError(f"expected a confidence level between 0 and 1, got {cl!r}; write 95 % as 0.95.")
    if not np.all(np.isfinite(n) & (n >= 0.0)):
        raise InputError("expected counts that are finite and not negative; check the data.")
    tail = 0.5 * (1.0 - cl)
    low = np.where(n > 0.0, gammaincinv(np.where(n > 0.0, n, 1.0), tail), 0.0)
    return low, np.asarray(gammainccinv(n + 1.0, tail))
