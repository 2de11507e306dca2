"""Test statistics: the equations of arXiv:1007.1727 written down naively, one number at a time."""

from __future__ import annotations

import numpy as np
import pytest

from infer.errors import ParameterError
from infer.inference.statistics import STATISTICS, statistic
from tests.inference.toy_problems import poisson_t

SIGMA = 0.8


def twice_nll(mu: float, best: float) -> float:
    """-2 ln L of a Gaussian measurement, with an arbitrary constant."""
    return ((mu - best) / SIGMA) ** 2 + 7.3


def naive(name: str, mu: float, best: float) -> float:
    """Eqs. 8, 12, 14 and 16 by their cases, with -2 ln lambda(mu) = (mu - mu_hat)^2 / sigma^2."""
    if name == "t_mu":
        return (mu - best) ** 2 / SIGMA**2
    if name == "q_0":
        return best**2 / SIGMA**2 if best >= 0.0 else 0.0
    if best > mu:
        return 0.0
    if name == "q_mu_tilde" and best < 0.0:
        return (mu - best) ** 2 / SIGMA**2 - best**2 / SIGMA**2
    return (mu - best) ** 2 / SIGMA**2


@pytest.mark.parametrize(
    ("name", "mu"), [(name, mu) for name in STATISTICS for mu in (0.0, 0.4, 3.0) if name != "q_0" or mu == 0.0]
)
def test_equations(name: str, mu: float) -> None:
    """Estimates below zero, between zero and the hypothesis, at it and above, and zero itself."""
    best = np.asarray([-2.5, -0.1, 0.0, 0.2, 0.4, 1.7, 3.0, 9.0])
    free, held, null = (np.asarray([twice_nll(at if at is not None else b, b) for b in best]) for at in (None, mu, 0.0))
    found = statistic(name, mu, best=best, free=free, held=held, null=null)
    np.testing.assert_allclose(found, [naive(name, mu, float(b)) for b in best], atol=1e-12)


def test_q_mu_tilde_is_a_difference_of_two_others() -> None:
    """For mu_hat < 0, q_mu_tilde = t_mu - t_0, which is what counts beyond the physical boundary (eq. 16)."""
    best = np.linspace(-3.0, -0.1, 7)
    parts = {mu: np.asarray([twice_nll(mu, float(b)) for b in best]) for mu in (0.0, 1.5)}
    free = np.full(7, 7.3)
    tilde = statistic("q_mu_tilde", 1.5, best=best, free=free, held=parts[1.5], null=parts[0.0])
    t_mu, t_0 = (statistic("t_mu", mu, best=best, free=free, held=parts[mu], null=parts[0.0]) for mu in (1.5, 0.0))
    np.testing.assert_allclose(tilde, t_mu - t_0, atol=1e-12)
    assert np.all(tilde < t_mu)


def test_t_mu_of_counts_is_that_of_feldman_and_cousins() -> None:
    """Where the fit stops at zero, t_mu orders counts by P(n | mu) / P(n | mu_best), their eq. 4.1."""
    n, mu, b = np.arange(12.0), 0.5, 3.0
    best = np.maximum(n - b, 0.0)
    free, held = (2.0 * (nu - n * np.log(nu)) for nu in (best + b, np.full(12, mu + b)))
    found = statistic("t_mu", mu, best=best, free=free, held=held, null=held)
    np.testing.assert_allclose(found, poisson_t(mu, n, 1.0, b), atol=1e-10)
    ratio = np.exp(-0.5 * found)
    # Their Table I: R for n = 0 to 11 at mu = 0.5, b = 3.
    table = [0.607, 0.708, 0.826, 0.963, 0.966, 0.753, 0.480, 0.259, 0.121, 0.050, 0.018, 0.006]
    np.testing.assert_allclose(ratio, table, atol=6e-4)


def test_rounding_never_makes_a_statistic_negative() -> None:
    """A conditional fit that ends below the best fit by rounding gives zero."""
    one, less = np.asarray([3.0]), np.asarray([3.0 - 1e-9])
    for name in STATISTICS:
        assert float(statistic(name, 0.0, best=np.zeros(1), free=one, held=less, null=less)[0]) == 0.0


def test_failed_toys_stay_failed() -> None:
    """NaN in a likelihood is NaN in the statistic, where it enters."""
    nan = np.asarray([np.nan])
    assert np.isnan(statistic("t_mu", 1.0, best=np.ones(1), free=nan, held=np.ones(1), null=np.ones(1))[0])


def test_unknown_requests_are_refused() -> None:
    """The message lists the statistics; q_0 tests nothing but zero."""
    x = np.zeros(1)
    with pytest.raises(ParameterError, match="statistic must be one of t_mu, q_mu, q_mu_tilde, q_0, got 'q'"):
        statistic("q", 1.0, best=x, free=x, held=x, null=x)
    with pytest.raises(ParameterError, match=r"q_0 tests the value 0, got 1\.5; use t_mu, q_mu or q_mu_tilde"):
        statistic("q_0", 1.5, best=x, free=x, held=x, null=x)
