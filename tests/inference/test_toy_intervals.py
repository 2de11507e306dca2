"""Intervals of toys: each method against closed forms, integrals and other programs, one toy at a time."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pyhf
import pytest
from scipy import integrate, optimize, stats

from infer.data import Data
from infer.inference.fits import Settings
from infer.inference.minimize import Newton
from infer.inference.profiles import ONE_SIGMA, interval
from infer.inference.toy_fits import Fits, fit_toys, one_of
from infer.inference.toy_intervals import (
    AT_BOUND,
    CROSSED,
    DEEPER,
    FAILED,
    FAR,
    GOOD,
    MESSAGES,
    METHODS,
    Belt,
    CLs,
    Credible,
    Ends,
    Hessian,
    Method,
    Profile,
)
from infer.likelihood import Likelihood
from tests.inference.problems import Surface, without_aux
from tests.inference.toy_problems import (
    Wells,
    bins,
    campaign_of,
    count,
    ends_of,
    gaussian,
    poisson_t,
    profile_end,
    thrown,
    uncertain_count,
    with_data,
)

LEVELS = [ONE_SIGMA, 0.95]
COUNTS = (0.0, 1.0, 12.0, 20.0, 27.0, 45.0)
SIGNAL, BACKGROUND = 10.0, 20.0
BOUNDS = (0.0, 60.0)


def of_counts(
    method: Method,
    counts: tuple[float, ...] = COUNTS,
    bounds: tuple[float, float] = BOUNDS,
    cl: list[float] | None = None,
) -> tuple[Ends, Fits]:
    """Intervals of chosen counts, n ~ Poisson(10 mu + 20)."""
    likelihood, data = count(25.0, signal=SIGNAL, background=BACKGROUND, bounds=bounds)
    campaign, _ = campaign_of(likelihood, data)
    toys, fits = with_data(campaign, [Data(jnp.asarray([n]), data.aux) for n in counts])
    return ends_of(method, campaign, toys, fits, cl or LEVELS), fits


# ----------------------------------------------------------------------------------- Hessian and profile


@pytest.mark.slow
@pytest.mark.parametrize("name", ["profile", "hessian"])
@pytest.mark.parametrize("problem", [bins, lambda: uncertain_count(25.0)], ids=["bins", "count"])
def test_ends_are_those_of_interval(name: str, problem: Callable[[], tuple[Likelihood, Data]]) -> None:
    """On the data of each toy, `infer.interval` finds the same ends to a thousandth of sigma."""
    likelihood, data = problem()
    campaign, _ = campaign_of(likelihood, data, poi="mu")
    toys = thrown(campaign, 4)
    fits = fit_toys(campaign.models[0], toys, solver=Newton())
    found = ends_of(METHODS[name](Newton()), campaign, toys, fits, LEVELS)
    for i in range(4):
        for k, cl in enumerate(LEVELS):
            seen = jax.tree.map(jnp.asarray, one_of(toys.data, i))
            expected = interval(likelihood, seen, poi="mu", cl=cl, method=name)
            assert found.low[i, k] == pytest.approx(expected.low.value, abs=1e-3 * fits.sigma[i])
            assert found.high[i, k] == pytest.approx(expected.high.value, abs=1e-3 * fits.sigma[i])
            for code, end in ((found.low_status, expected.low), (found.high_status, expected.high)):
                assert code[i, k] == (CROSSED if end.crossing else AT_BOUND)


def test_profile_of_counts_is_the_closed_form() -> None:
    """Where t_mu of the count crosses the quantile, from the bound upward for a deficit and for no events at all."""
    found, fits = of_counts(Profile(Newton()))
    for i, n in enumerate(COUNTS):
        for k, cl in enumerate(LEVELS):
            for end, side in ((found.low, -1.0), (found.high, 1.0)):
                assert end[i, k] == pytest.approx(profile_end(n, cl, side, SIGNAL, BACKGROUND), abs=1e-3)
    at_bound = found.low == 0.0
    np.testing.assert_array_equal(found.low_status, np.where(at_bound, AT_BOUND, CROSSED))
    assert np.all(found.high_status == CROSSED)
    assert np.all(at_bound[:3])
    assert np.isnan(fits.sigma[0])  # no events: no curvature


def test_hessian_of_counts_is_the_closed_form() -> None:
    """(n - 20) / 10 -+ z sqrt(n) / 10, cut at the bounds; at the bound with sigma of the released parameter.

    There the curvature is n s^2 / b^2, hence sigma = b / (s sqrt(n)), and none without events.
    """
    found, _ = of_counts(Hessian(Newton()))
    z = np.asarray([1.0, 1.959964])
    for i, n in enumerate(COUNTS[1:], 1):
        best = max((n - BACKGROUND) / SIGNAL, 0.0)
        sigma = (np.sqrt(n) if n >= BACKGROUND else BACKGROUND / np.sqrt(n)) / SIGNAL
        np.testing.assert_allclose(found.low[i], np.maximum(best - z * sigma, 0.0), atol=1e-4)
        np.testing.assert_allclose(found.high[i], np.minimum(best + z * sigma, 60.0), rtol=1e-4)
    assert np.all(found.low_status[0] == FAILED)
    assert np.all(found.high_status[0] == FAILED)


@pytest.mark.slow
def test_ends_at_both_bounds() -> None:
    """Where the level is not reached inside the bounds, the ends are the bounds and say so."""
    for method in (Profile(Newton()), Hessian(Newton()), Credible(Newton())):
        found, _ = of_counts(method, (25.0,), (0.3, 0.7), [0.9999])
        assert (float(found.low[0, 0]), float(found.high[0, 0])) == (0.3, 0.7)
        assert found.low_status[0, 0] == found.high_status[0, 0] == AT_BOUND


def plateau(theta: jax.Array, main: jax.Array) -> jax.Array:
    """A well of depth 0.3: its profile never rises by more than 0.6."""
    return 0.3 * (1.0 - jnp.exp(-((theta[0] - main[0]) ** 2))) + 0.5 * (theta[1] - main[1]) ** 2


@pytest.mark.slow
def test_an_interval_without_an_end_says_so() -> None:
    """Neither the profile nor the posterior of a likelihood with a plateau ends anywhere."""
    campaign, _ = campaign_of(Surface(plateau), without_aux([0.0, 0.0]))
    toys, fits = with_data(campaign, [without_aux([0.0, 0.0])])
    found = ends_of(Profile(Newton()), campaign, toys, fits, [0.5, ONE_SIGMA])
    assert found.low_status.tolist() == found.high_status.tolist() == [[CROSSED, FAR]]
    assert found.high[0, 0] == pytest.approx(np.sqrt(-np.log(1.0 - 0.4549364 / 0.6)), abs=1e-3)
    posterior = ends_of(Credible(Newton()), campaign, toys, fits, [ONE_SIGMA])
    assert posterior.low_status[0, 0] not in GOOD


def test_codes_have_words() -> None:
    """Every code that ends a search has a message, and the methods have the names of their columns."""
    assert {CROSSED, AT_BOUND, FAR, FAILED, DEEPER} < set(MESSAGES)
    assert list(METHODS) == ["hessian", "profile", "feldman-cousins", "cls", "credible"]


# -------------------------------------------------------------------------------------------- the belt


@pytest.mark.slow
def test_belt_with_constant_critical_values_is_the_profile() -> None:
    """With the chi-square quantile everywhere, both methods are the same search."""
    campaign, _ = campaign_of(*bins(), poi="mu")
    toys = thrown(campaign, 6)
    fits = fit_toys(campaign.models[0], toys, solver=Newton())
    grid = np.linspace(-2.0, 12.0, 5)
    critical = np.repeat(stats.chi2.ppf(LEVELS, 1)[:, None], 5, axis=1)
    belt = ends_of(Belt(Newton()), campaign, toys, fits, LEVELS, (grid, critical))
    profile = ends_of(Profile(Newton()), campaign, toys, fits, LEVELS)
    for a, b in ((belt.low, profile.low), (belt.high, profile.high)):
        np.testing.assert_allclose(a, b, atol=1e-3)
    np.testing.assert_array_equal(belt.low_status, profile.low_status)


@pytest.mark.slow
def test_belt_follows_its_critical_values() -> None:
    """An end lies where t_mu meets the critical value, whose root is straight between grid points."""
    likelihood, data = count(25.0, signal=SIGNAL, background=BACKGROUND)
    campaign, _ = campaign_of(likelihood, data)
    toys, fits = with_data(campaign, [Data(jnp.asarray([n]), data.aux) for n in (12.0, 30.0)])
    grid, critical = np.asarray([0.0, 1.0, 6.0]), np.asarray([[0.4, 1.0, 4.0]])
    found = ends_of(Belt(Newton()), campaign, toys, fits, [ONE_SIGMA], (grid, critical))

    def excess(mu: float, n: float) -> float:
        return float(np.sqrt(poisson_t(mu, n, SIGNAL, BACKGROUND)) - np.interp(mu, grid, np.sqrt(critical[0])))

    assert found.low[0, 0] == 0.0
    assert found.high[0, 0] == pytest.approx(optimize.brentq(excess, 0.0, 6.0, (12.0,)), abs=1e-3)
    assert found.low[1, 0] == pytest.approx(optimize.brentq(excess, 0.0, 1.0, (30.0,)), abs=1e-3)
    assert found.high[1, 0] == pytest.approx(optimize.brentq(excess, 1.0, 6.0, (30.0,)), abs=1e-3)


# ------------------------------------------------------------------------------------------------- CLs


def naive_log_cls(mu: float, n: float) -> float:
    """CLs of a count from the closed forms of q_mu_tilde and of its Asimov value, by `scipy.stats.norm`."""
    best = max((n - BACKGROUND) / SIGNAL, 0.0)
    q = float(poisson_t(mu, n, SIGNAL, BACKGROUND)) if best <= mu else 0.0
    q_asimov = float(poisson_t(mu, BACKGROUND, SIGNAL, BACKGROUND))
    a, b = np.sqrt(q), np.sqrt(q_asimov)
    if q > q_asimov:
        a, b = (q + q_asimov) / (2.0 * b), (q + q_asimov) / (2.0 * b) - (q - q_asimov) / (2.0 * b)
    return float(stats.norm.logsf(a) - stats.norm.logcdf(b - a))


def cls_limit(n: float, cl: float) -> float:
    """Where the naive CLs falls to 1 - cl, by bisection."""
    best = max((n - BACKGROUND) / SIGNAL, 0.0)
    return float(optimize.brentq(lambda mu: naive_log_cls(mu, n) - np.log(1.0 - cl), best + 1e-6, best + 30.0))


@pytest.mark.slow
@pytest.mark.parametrize("bounds", [BOUNDS, (-1.5, 60.0)], ids=["from zero", "from below"])
def test_cls_limits_of_counts(bounds: tuple[float, float]) -> None:
    """Upper limits at both levels; an estimate below zero counts as zero, wherever the bound is (q_mu_tilde)."""
    found, _ = of_counts(CLs(Newton()), bounds=bounds)
    for i, n in enumerate(COUNTS):
        for k, cl in enumerate(LEVELS):
            assert found.high[i, k] == pytest.approx(cls_limit(n, cl), rel=1e-3), (n, cl)
    assert np.all(found.low == bounds[0])
    assert np.all(found.low_status == AT_BOUND)
    assert np.all(found.high_status == CROSSED)


@pytest.mark.slow
def test_cls_limits_are_pyhfs() -> None:
    """pyhf's asymptotic CLs limit of the same count with a background known to 10 %, to the accuracy of its fits."""
    likelihood, data = uncertain_count(25.0, width=0.1, bounds=(0.0, 60.0))
    campaign, _ = campaign_of(likelihood, data)
    counts = (14.0, 31.0)
    toys, fits = with_data(campaign, [Data(jnp.asarray([n]), data.aux) for n in counts])
    found = ends_of(CLs(Newton()), campaign, toys, fits, [0.95])
    model = pyhf.Model(
        {
            "channels": [
                {
                    "name": "count",
                    "samples": [
                        {
                            "name": "signal",
                            "data": [SIGNAL],
                            "modifiers": [{"name": "mu", "type": "normfactor", "data": None}],
                        },
                        {
                            "name": "background",
                            "data": [BACKGROUND],
                            "modifiers": [
                                {"name": "beta", "type": "histosys", "data": {"lo_data": [18.0], "hi_data": [22.0]}}
                            ],
                        },
                    ],
                }
            ],
            "parameters": [{"name": "mu", "bounds": [[0.0, 60.0]], "inits": [1.0]}],
        },
        poi_name="mu",
        validate=False,
    )
    for i, n in enumerate(counts):
        data_with_aux = [n, *model.config.auxdata]

        def excess(mu: float, seen: list[float] = data_with_aux) -> float:
            return float(pyhf.infer.hypotest(mu, seen, model, test_stat="qtilde")) - 0.05

        limit = optimize.brentq(excess, 0.3, 8.0, xtol=1e-4)
        assert found.high[i, 0] == pytest.approx(limit, rel=1e-3)


@pytest.mark.slow
def test_cls_limit_beyond_the_bound() -> None:
    """A limit that the bound cuts is the bound."""
    found, _ = of_counts(CLs(Newton()), (25.0,), (0.0, 1.2), [0.95])
    assert float(found.high[0, 0]) == 1.2
    assert found.high_status[0, 0] == AT_BOUND


# ------------------------------------------------------------------------------------------- posteriors


def highest_density(
    density: Callable[[np.ndarray], np.ndarray], low: float, high: float, cl: float
) -> tuple[float, float]:
    """The smallest interval with a share ``cl`` of the integral, from a million equidistant points."""
    x = np.linspace(low, high, 1_000_001)
    p = density(x)
    p = p / p.sum()
    order = np.argsort(-p)
    inside = x[order[: int(np.searchsorted(np.cumsum(p[order]), cl)) + 1]]
    return float(inside.min()), float(inside.max())


@pytest.mark.parametrize("n", [0.0, 1.0, 4.0, 12.0, 25.0, 60.0])
def test_posterior_of_a_count_is_the_gamma_distribution(n: float) -> None:
    """Without nuisances p(mu) ~ (10 mu + 20)^n exp(-10 mu), cut at 0: ends to one per cent of the length."""
    found, _ = of_counts(Credible(Newton()), (n,))
    peak = max((n - BACKGROUND) / SIGNAL, 0.0)
    top = stats.gamma.logpdf(SIGNAL * peak + BACKGROUND, n + 1.0)

    def density(mu: np.ndarray) -> np.ndarray:
        return np.exp(stats.gamma.logpdf(SIGNAL * mu + BACKGROUND, n + 1.0) - top)

    for k, cl in enumerate(LEVELS):
        low, high = highest_density(density, 0.0, peak + 8.0 * np.sqrt(n + 5.0) / SIGNAL, cl)
        assert found.low[0, k] == pytest.approx(low, abs=0.01 * (high - low))
        assert found.high[0, k] == pytest.approx(high, abs=0.01 * (high - low))
        assert found.low_status[0, k] == (AT_BOUND if low == 0.0 else CROSSED)


@pytest.mark.slow
def test_posterior_with_an_uncertain_background() -> None:
    """beta ~ N(1, 0.2) integrated out by quadrature of the exact likelihood: within one per cent of the length.

    Laplace's method is exact for a Gaussian, and errs by 1 / n here.
    """
    likelihood, data = uncertain_count(25.0, bounds=(-10.0, 50.0))
    campaign, _ = campaign_of(likelihood, data)
    counts = (9.0, 25.0, 40.0)
    toys, fits = with_data(campaign, [Data(jnp.asarray([n]), data.aux) for n in counts])
    found = ends_of(Credible(Newton()), campaign, toys, fits, LEVELS)
    assert np.all(np.isin(found.low_status, GOOD))
    beta = np.linspace(0.0, 4.0, 2001)
    mu = np.linspace(-6.0, 10.0, 1601)
    for i, n in enumerate(counts):
        rate = SIGNAL * mu[:, None] + BACKGROUND * beta[None, :]
        joint = np.where(rate > 0.0, stats.poisson.pmf(n, np.maximum(rate, 1e-9)), 0.0) * stats.norm.pdf(beta, 1.0, 0.2)
        posterior = integrate.simpson(joint, x=beta, axis=1)
        for k, cl in enumerate(LEVELS):
            low, high = highest_density(lambda x, p=posterior: np.interp(x, mu, p), -6.0, 10.0, cl)
            assert found.low[i, k] == pytest.approx(low, abs=0.01 * (high - low))
            assert found.high[i, k] == pytest.approx(high, abs=0.01 * (high - low))


@pytest.mark.slow
def test_posterior_of_a_gaussian() -> None:
    """Laplace's method is exact there: mu_hat -+ z 1.3."""
    campaign, _ = campaign_of(*gaussian(), poi="mu")
    toys = thrown(campaign, 4)
    fits = fit_toys(campaign.models[0], toys, solver=Newton())
    found = ends_of(Credible(Newton()), campaign, toys, fits, LEVELS)
    for k, z in enumerate((1.0, 1.959964)):
        np.testing.assert_allclose(found.low[:, k], fits.theta[:, 0] - z * 1.3, atol=0.01 * 1.3)
        np.testing.assert_allclose(found.high[:, k], fits.theta[:, 0] + z * 1.3, atol=0.01 * 1.3)


# ------------------------------------------------------------------------------------ a deeper minimum


@pytest.mark.slow
@pytest.mark.parametrize("method", [Profile(Newton()), Credible(Newton())], ids=["profile", "posterior"])
def test_a_deeper_minimum_disproves_the_best_fit(method: Method) -> None:
    """Searched from the shallower well, the interval at 95 % passes the barrier and reports what lies beyond."""
    campaign, _ = campaign_of(Wells(), without_aux([5.0]), settings=Settings(start={"theta": 0.0}))
    toys, _ = with_data(campaign, [without_aux([0.2])])
    fits = fit_toys(campaign.models[0], toys, solver=Newton(), start=np.asarray([[0.2]]))
    assert fits.theta[0, 0] == pytest.approx(0.2, abs=0.1)
    found = ends_of(method, campaign, toys, fits, [0.95])
    assert DEEPER in (int(found.low_status[0, 0]), int(found.high_status[0, 0]))
    assert found.deeper[0, 0] < -2.0
