"""Significances and joint hypotheses: closed forms up to 20 standard deviations and beyond, pyhf, refusals."""

from __future__ import annotations

import json
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from infer.data import Data
from infer.errors import ParameterError
from infer.inference.fits import Settings
from infer.inference.hypotheses import hypothesis_test, probability, significance
from infer.inference.minimize import Newton
from tests.contract.models import OnOff
from tests.inference.problems import Parabola
from tests.inference.toy_problems import SIGMA, WIDTH, Wells, bins, count, gaussian, uncertain_count


def counting_z(n: float, b: float) -> float:
    """Z of n counts above a known background (Cowan et al., eq. 97 with s = n - b)."""
    return float(np.sqrt(2.0 * (n * np.log(n / b) - (n - b)))) if n > b else 0.0


def on_off_z(n: float, m: float, tau: float) -> float:
    """Z of n counts, and m beside them where the background is tau times as large (Li & Ma, ApJ 272 (1983) 317)."""
    on = n * np.log(n * (1.0 + tau) / (n + m))
    off = m * np.log(m * (1.0 + tau) / (tau * (n + m)))
    return float(np.sqrt(2.0 * (on + off)))


@pytest.mark.parametrize("n", [1.0, 3.0, 8.0, 20.0, 60.0])
def test_counts(n: float) -> None:
    """Closed form, from no excess to 20 standard deviations; the Asimov data are counts too."""
    found = significance(*count(n, bounds=(0.0, 90.0)), expected_at=2.0)
    assert found.observed == pytest.approx(counting_z(n, 3.0), rel=1e-6, abs=1e-6)
    assert found.expected == pytest.approx(counting_z(5.0, 3.0), rel=1e-6)
    assert found.certificate.trustworthy


@pytest.mark.parametrize("n", [150.0, 400.0, 1500.0])
def test_on_off(n: float) -> None:
    """A background measured beside the signal: the formula of Li and Ma, up to 50 standard deviations."""
    likelihood, data = OnOff(signal=1.0, tau=2.0), Data(jnp.asarray([n, 200.0]), jnp.zeros(0))
    wide = Settings(bounds={"mu": (-5.0, 5000.0), "b": (0.0, 5000.0)}, start={"mu": 10.0, "b": 100.0})
    found = significance(likelihood, data, poi="mu", settings=wide)
    assert found.observed == pytest.approx(on_off_z(n, 200.0, 2.0), rel=1e-6)
    assert found.log_p == pytest.approx(stats.norm.logsf(on_off_z(n, 200.0, 2.0)), rel=1e-6)


@pytest.mark.parametrize("z", [0.5, 5.0, 10.0, 20.0, 80.0])
def test_a_normal_estimate(z: float) -> None:
    """Z is the estimate in standard deviations; p-values do not vanish beyond 38."""
    total = float(np.hypot(SIGMA, WIDTH))
    found = significance(*gaussian(z * total, 0.0), poi="mu", expected_at=total)
    assert found.observed == pytest.approx(z, rel=1e-8)
    assert found.expected == pytest.approx(1.0, rel=1e-8)
    assert found.log_p == pytest.approx(stats.norm.logsf(z), rel=1e-8)


def test_deficits_are_no_discovery() -> None:
    """A negative estimate has Z = 0 and p = 1/2."""
    found = significance(*gaussian(-4.0, 0.0), poi="mu")
    assert found.observed == 0.0
    assert found.p == 0.5


def test_tiny_probabilities_in_words() -> None:
    """Mantissa and exponent where floating-point numbers end."""
    assert probability(np.log(0.05)) == "p = 0.05"
    assert probability(-1000.0 * np.log(10.0)) == "p = 1e-1000"
    assert probability(None) == "no p-value"


@pytest.mark.parametrize("k", [1, 2, 3])
def test_joint_hypotheses(k: int) -> None:
    """A quadratic form: t_mu is the squared distance in the marginal covariance of the tested parameters."""
    rng = np.random.default_rng(3)
    root = rng.standard_normal((4, 4))
    precision = root @ root.T + np.eye(4)
    centre = rng.standard_normal(4)
    likelihood = Parabola(precision)
    names = likelihood.parameters.names[:k]
    values = {name: 0.7 * (i + 1) for i, name in enumerate(names)}
    found = hypothesis_test(likelihood, Data(jnp.asarray(centre), jnp.zeros(0)), values=values)
    d = np.asarray(list(values.values())) - centre[:k]
    expected = d @ np.linalg.solve(np.linalg.inv(precision)[:k, :k], d)
    assert found.observed == pytest.approx(expected, rel=1e-9)
    assert found.n_dof == k
    assert found.p == pytest.approx(stats.chi2.sf(expected, k), rel=1e-8)
    assert found.z == pytest.approx(stats.norm.isf(stats.chi2.sf(expected, k)), rel=1e-8)
    json.dumps(found.to_json_dict(), allow_nan=False)


def test_deeper_wells_are_taken() -> None:
    """A hypothesis in a deeper well moves the best fit there."""
    data = Data(jnp.asarray([6.0]), jnp.zeros(0))
    settings = Settings(start={"theta": 6.0}, bounds={"theta": (-20.0, 40.0)})
    found = hypothesis_test(Wells(), data, values={"theta": 1.5}, settings=settings)
    assert found.fit.value("theta") == pytest.approx(1.0, abs=0.1)
    assert found.observed == pytest.approx(0.25, abs=0.05)


def test_no_significance_without_convergence() -> None:
    """No number, and the reason."""
    broken = Settings(solver=Newton(max_steps=1, edm=0.0))
    found = significance(*uncertain_count(30.0, bounds=(0.0, 50.0)), settings=broken)
    assert (found.observed, found.expected, found.p) == (None, None, None)
    assert "no significance (not converged" in str(found)
    tested = hypothesis_test(*uncertain_count(30.0, bounds=(0.0, 50.0)), values={"mu": 0.5}, settings=broken)
    assert (tested.observed, tested.p, tested.z) == (None, None, None)
    assert "no p-value (not converged" in str(tested)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, r"a hypothesis needs at least one value, such as \{'mu': 1\.0\}, got none"),
        ({"nu": 1.0}, "unknown parameter 'nu'"),
        ({"kappa": 1.0}, "parameter 'kappa' is fixed, so that there is nothing to test its value against"),
        ({"mu": 99.0}, r"parameter 'mu': the start value must lie within its bounds \(-2, 12\), got 99"),
    ],
)
def test_what_is_refused(values: dict[str, Any], message: str) -> None:
    """One sentence each."""
    with pytest.raises(ParameterError, match=message):
        hypothesis_test(*bins(), values=values)
