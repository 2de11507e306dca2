"""CLs by asymptotic formulae: against the formulae written down naively, against pyhf, and far into the tails."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pyhf
import pytest
from scipy import stats

from infer.numerics.asymptotics import (
    expected_log_cls,
    expected_root,
    log_chi2_tail,
    log_cls,
    log_tails_q_mu,
    log_tails_q_mu_tilde,
)

SIGNAL, BACKGROUND = 10.0, 20.0


def naive(q: float, q_asimov: float) -> float:
    """p_sb / (1 - p_b) as in arXiv:1007.1727, eqs. 62 and 64 to 66, by `scipy.stats.norm`, without logarithms."""
    if q <= q_asimov:
        return float(stats.norm.sf(np.sqrt(q)) / stats.norm.cdf(np.sqrt(q_asimov) - np.sqrt(q)))
    root = np.sqrt(q_asimov)
    return float(stats.norm.sf((q + q_asimov) / (2.0 * root)) / stats.norm.sf((q - q_asimov) / (2.0 * root)))


def poisson_q(mu: float, n: float) -> float:
    """q_mu_tilde of one count n with mean 10 mu + 20, in closed form."""
    best = max((n - BACKGROUND) / SIGNAL, 0.0)
    nu, nu_hat = SIGNAL * mu + BACKGROUND, SIGNAL * best + BACKGROUND
    return float(2.0 * (nu - nu_hat - n * np.log(nu / nu_hat))) if best <= mu else 0.0


@pytest.mark.parametrize("q_asimov", [0.3, 4.0, 25.0])
def test_moderate_values_are_the_naive_formula(q_asimov: float) -> None:
    """On both sides of q = q_A, where the two branches meet, and at q = 0."""
    q = np.array([0.0, 0.2, 0.999 * q_asimov, q_asimov, 1.001 * q_asimov, q_asimov + 3.0])
    found = log_cls(jnp.asarray(q), jnp.full(q.shape, q_asimov))
    np.testing.assert_allclose(np.exp(found), [naive(x, q_asimov) for x in q], rtol=1e-11)


def test_tails_survive() -> None:
    """At q = 400 the probabilities are 1e-89 and less, and the ratio of two zeros elsewhere; here it is finite.

    For q much larger than q_A, ln CLs tends to -q / 2: the leading terms of both logarithms are
    -(q +- q_A)^2 / (8 q_A).  For q much below q_A, 1 - p_b is one.
    """
    q, q_asimov = jnp.asarray([400.0, 400.0, 4e4]), jnp.asarray([1.0, 2500.0, 1e6])
    found = np.asarray(log_cls(q, q_asimov))
    assert np.all(np.isfinite(found))
    assert found[0] == pytest.approx(-200.0, rel=1e-3)
    assert found[1] == pytest.approx(stats.norm.logsf(20.0), rel=1e-9)
    assert found[2] == pytest.approx(stats.norm.logsf(200.0), rel=1e-9)


@pytest.mark.slow
def test_falls_with_q_and_grows_with_sensitivity() -> None:
    """CLs falls with q at fixed q_A: 1 at q = 0 without sensitivity, about 1/2 with all of it."""
    q = jnp.linspace(0.0, 60.0, 601)
    for q_asimov in (0.1, 9.0, 1e3):
        found = np.asarray(log_cls(q, jnp.full(q.shape, q_asimov)))
        assert np.all(np.diff(found) < 0.0)
        assert np.all(found <= 0.0)
    assert float(log_cls(jnp.asarray(0.0), jnp.asarray(0.0))) == 0.0
    assert float(log_cls(jnp.asarray(0.0), jnp.asarray(1e4))) == pytest.approx(np.log(0.5), rel=1e-12)


def test_derivatives_exist() -> None:
    """Automatic differentiation on both branches gives what a difference quotient does, never NaN."""
    for q, q_asimov in ((1.0, 4.0), (9.0, 4.0), (400.0, 4.0)):
        slope = float(jax.grad(lambda x, a=q_asimov: log_cls(x, jnp.asarray(a)))(jnp.asarray(q)))
        h = 1e-5 * q
        up, down = (float(log_cls(jnp.asarray(x), jnp.asarray(q_asimov))) for x in (q + h, q - h))
        assert slope == pytest.approx((up - down) / (2.0 * h), rel=1e-6)


@pytest.mark.parametrize("n", [12.0, 20.0, 35.0])
@pytest.mark.parametrize("mu", [0.5, 1.9, 4.0])
def test_pyhf_agrees_on_a_count(n: float, mu: float) -> None:
    """pyhf's AsymptoticCalculator with qtilde on a counting experiment, to the accuracy of its fits."""
    samples = [
        {
            "name": "signal",
            "data": [SIGNAL],
            "modifiers": [{"name": "mu", "type": "normfactor", "data": None}],
        },
        {"name": "background", "data": [BACKGROUND], "modifiers": []},
    ]
    model = pyhf.Model({"channels": [{"name": "count", "samples": samples}]}, poi_name="mu", validate=False)
    expected = float(pyhf.infer.hypotest(mu, [n], model, test_stat="qtilde"))
    found = log_cls(jnp.asarray(poisson_q(mu, n)), jnp.asarray(poisson_q(mu, BACKGROUND)))
    assert float(jnp.exp(found)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("n_dof", [1, 2, 3, 4, 7, 30])
@pytest.mark.parametrize("q", [0.0, 0.3, 4.0, 60.0, 900.0])
def test_chi2_tails(q: float, n_dof: int) -> None:
    """Against SciPy, which goes down to 1e-200 and beyond."""
    assert log_chi2_tail(q, n_dof) == pytest.approx(stats.chi2.logsf(q, n_dof), rel=1e-10, abs=1e-12)


def test_chi2_tails_beyond_floating_point() -> None:
    """Two degrees of freedom: exactly exp(-q / 2); one: twice the normal tail."""
    assert log_chi2_tail(4000.0, 2) == pytest.approx(-2000.0, rel=1e-14)
    assert log_chi2_tail(4000.0, 1) == pytest.approx(np.log(2.0) + stats.norm.logsf(np.sqrt(4000.0)), rel=1e-12)


@pytest.mark.parametrize("level", [0.32, 0.05, 1e-3])
@pytest.mark.parametrize("n_sigma", [-2.0, -1.0, 0.0, 1.0, 2.0])
def test_expected_limits(level: float, n_sigma: float) -> None:
    """The root is the inverse function, and the formula of Cowan et al., eq. 89, for CLs."""
    root = expected_root(np.log(level), n_sigma)
    there = expected_log_cls(np.asarray([root**2]), np.asarray([n_sigma]))[0]
    assert there == pytest.approx(np.log(level), rel=1e-12)
    assert root == pytest.approx(stats.norm.isf(level * stats.norm.cdf(n_sigma)) + n_sigma, rel=1e-12)


@pytest.mark.parametrize("estimate", [-3.0, -0.5, 0.0, 0.7, 2.0])
def test_tails_of_a_normal_estimate(estimate: float) -> None:
    """x ~ N(mu, 1), mu = 2.5: p_sb = Phi(x - mu) and 1 - p_b = Phi(x), by either statistic."""
    mu = 2.5
    exact = (stats.norm.logcdf(estimate - mu), stats.norm.logcdf(estimate))
    q_mu = jnp.asarray((mu - estimate) ** 2)
    q_mu_tilde = q_mu if estimate > 0.0 else jnp.asarray(mu**2 - 2.0 * mu * estimate)
    for found in (log_tails_q_mu(q_mu, jnp.asarray(mu**2)), log_tails_q_mu_tilde(q_mu_tilde, jnp.asarray(mu**2))):
        np.testing.assert_allclose(np.asarray(found), exact, rtol=1e-12)
