"""CLs by asymptotic formulae: against the formulae written down naively, against pyhf, and far into the tails."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pyhf
import pytest
from scipy import stats

from infer.numerics.asymptotics import log_cls

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
