r"""Coverage by summation over all data, where the data are counts.

The coverage of an interval at a truth is the probability of the data whose interval contains it,

.. math::  C(\theta) = \sum_x P(x \mid \theta) \, [\theta_\mathrm{poi} \in I(x)],

a number without noise.  Whether an interval contains the truth is decided from its definition, not from its ends:

* profile: q(truth) is at most the chi2_1 quantile, with estimates mu >= 0;
* Hessian: the truth is within z sigma of the estimate, sigma from the second derivatives at the estimate;
* Feldman-Cousins: q(truth) is at most the critical value.  With critical values of toys, that sum is conditional on
  them; `feldman_cousins` is the ideal construction, in which they are exact (arXiv:physics/9711021, section IV B).

An interval that does not exist (the Hessian's where no event was seen) contains nothing.  Only numpy and scipy are
used, and nothing of the package except for the two intervals of `summed`, which are what is measured there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from infer.numerics.binomial import clopper_pearson
from infer.numerics.garwood import poisson_interval

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_TAIL = 1e-13  # probability of the data beyond the sums, on either side
_TIE = 1e-4  # of sqrt(q), to which ends are found: a critical value is itself the q of a count, at the belt's points


class Critical(Protocol):
    """Critical values of t_mu by toys, as `infer.inference.neyman.Belt` has them."""

    @property
    def values(self) -> FloatArray:
        """Parameter of interest with shape (G,)."""

    @property
    def levels(self) -> FloatArray:
        """Confidence levels with shape (K,)."""

    @property
    def critical(self) -> FloatArray:
        """Critical values with shape (K, G)."""


@dataclass(frozen=True)
class Counting:
    """n ~ Poisson(mu signal + background)."""

    background: float
    signal: float = 1.0
    upper: float = np.inf

    def coverage(self, method: str, cl: float, mu: float, belt: Critical | None = None) -> float | None:
        """Exact coverage; None where there is no closed form for the method."""
        rate = self.signal * mu + self.background
        n = _counts(rate)
        if (inside := self.contains(method, cl, mu, n, belt)) is None:
            return None
        return float(np.sum(stats.poisson.pmf(n[inside], rate)))

    def contains(self, method: str, cl: float, mu: float, n: FloatArray, belt: Critical | None) -> BoolArray | None:
        """Whether the interval of each count contains mu."""
        estimate = np.maximum((n - self.background) / self.signal, 0.0)
        if method == "hessian":
            with np.errstate(divide="ignore"):
                sigma = (self.signal * estimate + self.background) / (self.signal * np.sqrt(n))
            return np.isfinite(sigma) & (np.abs(estimate - mu) <= _z(cl) * sigma)
        q = self.q(mu, n)
        if method == "profile":
            return q <= stats.chi2.ppf(cl, 1)
        return None if belt is None else np.sqrt(q) <= _root(belt, cl, mu) + _TIE

    def q(self, mu: float, n: FloatArray) -> FloatArray:
        """-2 log L(mu) / L(estimate), the estimate being zero or more."""
        best = np.maximum(n, self.background)
        rate = self.signal * mu + self.background
        return np.maximum(2.0 * (rate - best - special.xlogy(n, rate) + special.xlogy(n, best)), 0.0)

    def feldman_cousins(self, cl: float, mu: float) -> float:
        """Coverage of the ideal construction: counts are accepted by likelihood ratio until they reach ``cl``."""
        rate = self.signal * mu + self.background
        n = _counts(rate)
        pmf = stats.poisson.pmf(n, rate)
        order = np.argsort(self.q(mu, n), kind="stable")
        total = np.cumsum(pmf[order])
        return float(total[min(np.searchsorted(total, cl), total.size - 1)])


@dataclass(frozen=True)
class OnOff:
    """n_on ~ Poisson(mu signal + b), n_off ~ Poisson(tau b), with b as large as ``background`` at the nominal truth."""

    background: float
    tau: float
    signal: float = 1.0
    upper: float = np.inf

    def coverage(self, method: str, cl: float, mu: float, scale: float = 1.0) -> float | None:
        """Exact coverage where the true background is ``scale`` times the nominal one."""
        b, s = scale * self.background, self.signal * mu
        on, off = _counts(s + b)[:, None], _counts(self.tau * b)[None, :]
        if method not in ("hessian", "profile"):
            return None
        inside = self._profile(cl, s, on, off) if method == "profile" else self._hessian(cl, s, on, off)
        weights = stats.poisson.pmf(on, s + b) * stats.poisson.pmf(off, self.tau * b)
        return float(np.sum(weights[inside]))

    def _profile(self, cl: float, s: float, on: FloatArray, off: FloatArray) -> BoolArray:
        free = on - off / self.tau
        floor = np.where(free > 0.0, self._nll(free, off / self.tau, on, off), self._held(0.0, on, off))
        return 2.0 * (self._held(s, on, off) - floor) <= stats.chi2.ppf(cl, 1)

    def _hessian(self, cl: float, s: float, on: FloatArray, off: FloatArray) -> BoolArray:
        estimate = np.maximum(on - off / self.tau, 0.0)
        b = np.where(estimate > 0.0, off / self.tau, (on + off) / (1.0 + self.tau))
        with np.errstate(divide="ignore", invalid="ignore"):
            first, second = on / (estimate + b) ** 2, off / b**2
            variance = (first + second) / (first * second)
        return np.isfinite(variance) & ((estimate - s) ** 2 <= _z(cl) ** 2 * variance)

    def _held(self, s: float, on: FloatArray, off: FloatArray) -> FloatArray:
        """-log L with the signal held: the background solves a quadratic equation."""
        a, half = 1.0 + self.tau, 0.5 * (on + off - (1.0 + self.tau) * s)
        return self._nll(s, (half + np.sqrt(half**2 + a * off * s)) / a, on, off)

    def _nll(self, s: FloatArray | float, b: FloatArray, on: FloatArray, off: FloatArray) -> FloatArray:
        return s + b - special.xlogy(on, s + b) + self.tau * b - special.xlogy(off, self.tau * b)


def model_coverage(
    model: str,
    arguments: Mapping[str, float],
    method: str,
    cl: float,
    value: float,
    nuisance: Mapping[str, float],
    belt: Critical | None = None,
) -> float | None:
    """Exact coverage in a model of `models`; None where no closed form is known."""
    if model == "counting":
        return Counting(**arguments).coverage(method, cl, value, belt)
    if model == "on-off":
        return OnOff(**arguments).coverage(method, cl, value, *nuisance.values())
    return cl  # linear and Gaussian: every method is exact, whatever the truth


def summed(model: str, arguments: Mapping[str, float], cl: float, value: float) -> tuple[float, float]:
    """Coverage of the package's interval at one truth, and of the same interval by quantiles of scipy."""
    tail = 0.5 * (1.0 - cl)
    if model == "garwood":
        n = _counts(value)
        pmf = stats.poisson.pmf(n, value)
        ours = poisson_interval(n, cl=cl)
        low = np.where(n > 0.0, stats.gamma.ppf(tail, np.maximum(n, 1.0)), 0.0)
        theirs = (low, stats.gamma.ppf(1.0 - tail, n + 1.0))
    else:
        trials = int(arguments["trials"])
        n = np.arange(trials + 1.0)
        pmf = stats.binom.pmf(n, trials, value)
        ours = clopper_pearson(n, trials, cl)
        low = np.where(n > 0.0, stats.beta.ppf(tail, np.maximum(n, 1.0), trials - n + 1.0), 0.0)
        high = np.where(n < trials, stats.beta.ppf(1.0 - tail, n + 1.0, np.maximum(trials - n, 1.0)), 1.0)
        theirs = (low, high)
    return _mass(pmf, value, ours), _mass(pmf, value, theirs)


def _mass(pmf: FloatArray, value: float, ends: tuple[FloatArray, FloatArray]) -> float:
    return float(np.sum(pmf[(ends[0] <= value) & (value <= ends[1])]))


def _counts(rate: float) -> FloatArray:
    """All counts that are not impossible at a rate."""
    return np.arange(stats.poisson.ppf(_TAIL, rate), stats.poisson.isf(_TAIL, rate) + 1.0)


def _z(cl: float) -> float:
    return float(stats.norm.isf(0.5 * (1.0 - cl)))


def _root(belt: Critical, cl: float, mu: float) -> float:
    """Square root of the critical value at mu, straight between the points of the belt."""
    row = np.sqrt(belt.critical[list(belt.levels).index(cl)])
    return float(np.interp(mu, belt.values, row))
