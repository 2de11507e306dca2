"""The constraint with an error on its error: as a term, in toys, and in an average of measurements that disagree."""

from __future__ import annotations

from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq, minimize

from infer.constraints import ConstraintTerms, GammaVariance, MultivariateNormal, Normal
from infer.data import Data
from infer.errors import ParameterError
from infer.inference.fits import fit
from infer.inference.profiles import interval
from infer.likelihood import Likelihood, Redeclared
from infer.likelihoods.gaussian import Measured, Source, combine_measurements
from infer.parameters import Parameter

FALSE_ALARM = 1e-4
JOINT = MultivariateNormal(("a", "b"), ((1.0, 0.3), (0.3, 2.0)))
NAMES = ("free", "x", "a", "y", "n", "b")
DECLARED = (None, GammaVariance(0.5, 0.3), JOINT, GammaVariance(2.0, 0.05), Normal(0.1), JOINT)
THETA = jnp.array([3.0, 1.0, -0.2, -4.0, 0.7, 0.4])
AUX = jnp.array([2.5, 0.1, -4.5, 0.8, 0.0])  # x, a, y, n, b


@pytest.fixture(scope="module")
def terms() -> ConstraintTerms:
    """Two such terms among others."""
    return ConstraintTerms.build(NAMES, DECLARED)


def test_terms_add_up(terms: ConstraintTerms) -> None:
    """Beside a Normal and a joint constraint, each in its place."""
    expected = (
        stats.t.logpdf(1.5, 0.5 / 0.09, scale=0.5)
        + stats.t.logpdf(-0.5, 0.5 / 0.0025, scale=2.0)
        + stats.norm.logpdf(0.1, 0.0, 0.1)
        + stats.multivariate_normal.logpdf([0.3, -0.4], [0.0, 0.0], JOINT.covariance)
    )
    assert terms.size == 5
    assert float(terms.logpdf(THETA, AUX)) == pytest.approx(expected, rel=1e-12)


def test_curvature_equals_automatic_differentiation(terms: ConstraintTerms) -> None:
    """Value, gradient and Hessian in closed form, to 1e-12."""
    closed = eqx.filter_jit(terms.curvature)(THETA, AUX)
    value, gradient = jax.jit(jax.value_and_grad(terms.logpdf))(THETA, AUX)
    assert float(closed.value) == pytest.approx(-float(value), rel=1e-13)
    np.testing.assert_allclose(closed.gradient, -gradient, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(closed.hessian, -jax.jit(jax.hessian(terms.logpdf))(THETA, AUX), rtol=1e-12, atol=1e-12)


def test_asimov_data_and_what_they_say(terms: ConstraintTerms) -> None:
    """They are the parameters; the score's derivative is that of autodiff there; one width is the declared one."""
    asimov = terms.expected(THETA)
    np.testing.assert_allclose(asimov, THETA[jnp.array([1, 2, 3, 4, 5])])
    np.testing.assert_allclose(eqx.filter_jit(terms.curvature)(THETA, asimov).gradient, 0.0, atol=1e-14)
    automatic = -jax.jit(jax.jacfwd(jax.grad(terms.logpdf), argnums=1))(THETA, asimov)
    np.testing.assert_allclose(terms.score_derivative(THETA), automatic, rtol=1e-12, atol=1e-12)
    assert np.diagonal(terms.aux_covariance(THETA))[[0, 2]].tolist() == pytest.approx([0.25, 4.0])
    best = terms.own_best(THETA, AUX, jnp.ones(6, dtype=bool))
    np.testing.assert_allclose(best, jnp.array([3.0, *AUX.tolist()]))


def _pulls(terms: ConstraintTerms, n: int, *, drawn: bool) -> np.ndarray:
    """Toys of the first term in widths from the truth, or draws of its parameter from the datum."""
    keys = jax.random.split(jax.random.key(3), n)
    if drawn:
        return (np.asarray(jax.jit(jax.vmap(lambda k: terms.draw(THETA, AUX, k)))(keys))[:, 1] - 2.5) / 0.5
    return (np.asarray(jax.jit(jax.vmap(lambda k: terms.sample(THETA, k)))(keys))[:, 0] - 1.0) / 0.5


@pytest.mark.parametrize("drawn", [False, True])
def test_toys_are_those_of_an_estimated_variance(terms: ConstraintTerms, drawn: bool) -> None:
    """Kolmogorov-Smirnov with (u - theta) / sqrt(v) where u and v both fluctuate, at a sigma of its own (1e-4).

    The Gaussian that neglects the error on the error is told apart, as is half of that error.
    """
    n, sigma, epsilon, rng = 20_000, 1.7, 0.3, np.random.default_rng(5)
    alpha = 0.25 / epsilon**2
    u, v = rng.normal(0.0, sigma, n), rng.gamma(alpha, sigma**2 / alpha, n)
    assert np.std(np.sqrt(v)) / sigma == pytest.approx(epsilon, rel=0.1)  # the error on the error is what it is called
    pulls = _pulls(terms, n, drawn=drawn)
    assert stats.ks_2samp(pulls, u / np.sqrt(v)).pvalue > FALSE_ALARM
    assert stats.kstest(pulls, stats.norm.cdf).pvalue < FALSE_ALARM
    assert stats.kstest(pulls, stats.t(0.5 / 0.15**2).cdf).pvalue < FALSE_ALARM


def test_other_toys_stay_as_they_are(terms: ConstraintTerms) -> None:
    """Two terms of a kind have noise of their own."""
    keys = jax.random.split(jax.random.key(1), 2000)
    toys = np.asarray(jax.jit(jax.vmap(lambda k: terms.sample(THETA, k)))(keys))
    correlation = np.corrcoef(toys[:, [0, 2, 3]].T)[np.triu_indices(3, 1)]
    assert np.max(np.abs(correlation)) < stats.norm.isf(0.5 * FALSE_ALARM / 3) / np.sqrt(2000)


@pytest.mark.parametrize("bad", [0.0, -0.1, 1e-7, 1.5, np.nan, np.inf])
def test_epsilon_must_be_a_fraction(bad: float) -> None:
    """Zero is a Normal constraint, more than one is a slip of the pen."""
    with pytest.raises(ParameterError, match=r"epsilon.*between 1e-6 and 1.*30 % as 0\.3"):
        GammaVariance(1.0, bad)
    with pytest.raises(ParameterError, match="width"):
        GammaVariance(-1.0, 0.1)
    assert GammaVariance(0.7, 0.1).uncertainty(3.0) == 0.7


# ------------------------------------------------------------------------- averages of two measurements


def average(distance: float, epsilon: float | None) -> tuple[Likelihood, Data]:
    """Two measurements of one quantity, each with a statistical and a systematic uncertainty of 1."""
    half = 0.5 * distance
    likelihood, data = combine_measurements(
        [Measured("A", 10.0 - half, 1.0, "m", {"s": 1.0}), Measured("B", 10.0 + half, 1.0, "m", {"t": 1.0})],
        observables=[Parameter("m", 10.0, (-90.0, 110.0))],
        sources={"s": Source(bounds=(-50.0, 50.0)), "t": Source(bounds=(-50.0, 50.0))},
        poi="m",
    )
    constrained = [likelihood.parameters[name] for name in likelihood.parameters.constrained]
    if epsilon is None:
        return likelihood, data
    own = [Parameter(p.name, p.init, p.bounds, GammaVariance(1.0, epsilon), p.group) for p in constrained]
    return Redeclared(likelihood, own), data


def half_length(distance: float, epsilon: float | None) -> float:
    """Of the profile interval at one standard deviation."""
    likelihood, data = average(distance, epsilon)
    fitted = fit(likelihood, data)
    assert fitted.certificate.trustworthy
    ends = interval(likelihood, data, fitted=fitted)
    assert ends.down is not None
    assert ends.up is not None
    return 0.5 * (ends.down + ends.up)


def test_small_errors_on_errors_change_nothing() -> None:
    """Interval and best fit of two measurements go to the Gaussian ones: 1 = sqrt(2 / 2)."""
    assert half_length(3.0, None) == pytest.approx(1.0, abs=1e-4)
    assert half_length(3.0, 1e-4) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(("distance", "epsilon"), [(0.0, 0.2), (2.0, 0.2), (4.0, 0.3)])
def test_interval_equals_an_independent_profile(distance: float, epsilon: float) -> None:
    """With the variances as parameters and their estimates as Gamma-distributed data, minimised by SciPy."""
    alpha, values = 0.25 / epsilon**2, 10.0 + distance * np.array([-0.5, 0.5])

    def twice_nll(mu: float, shifts: np.ndarray, logs: np.ndarray) -> float:
        main = stats.norm.logpdf(values, mu + shifts, 1.0)
        aux = stats.norm.logpdf(0.0, shifts, np.exp(0.5 * logs))
        return -2.0 * float(np.sum(main + aux + stats.gamma.logpdf(1.0, alpha, scale=np.exp(logs) / alpha)))

    def profile(mu: float) -> float:
        start = np.append(0.5 * (values - mu), np.zeros(2))
        options = {"xatol": 1e-9, "fatol": 1e-11, "maxiter": 8000, "maxfev": 8000}
        return float(minimize(lambda p: twice_nll(mu, p[:2], p[2:]), start, method="Nelder-Mead", options=options).fun)

    lowest = profile(10.0)  # by symmetry
    end = brentq(lambda mu: profile(mu) - lowest - 1.0, 10.3, 14.0, xtol=1e-5)
    assert half_length(distance, epsilon) == pytest.approx(end - 10.0, abs=2e-4)


def test_interval_grows_with_disagreement() -> None:
    """As in the papers: constant for a Gaussian, longer with errors on errors, and the more the values disagree."""
    gaussian = [half_length(d, None) for d in (0.0, 2.0, 4.0)]
    uncertain = [half_length(d, 0.3) for d in (0.0, 2.0, 4.0)]
    assert gaussian == pytest.approx([1.0, 1.0, 1.0], abs=1e-4)
    assert all(a < b for a, b in pairwise(uncertain))
    assert uncertain[0] == pytest.approx(1.0, abs=0.1)
    assert uncertain[-1] > 1.1
