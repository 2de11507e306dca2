"""Intervals and scans: closed forms, ends that lie on the profile, bounds, and MINOS."""

from __future__ import annotations

import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from iminuit import Minuit
from scipy import optimize, stats

from infer.api import read_workspace
from infer.constraints import Normal
from infer.data import Data
from infer.errors import ParameterError
from infer.inference.fits import Settings, fit
from infer.inference.profiles import ONE_SIGMA, Interval, interval, scan
from infer.likelihood import Likelihood
from infer.parameters import Parameter, Parameters
from infer.typing import Scalar, Vector
from tests.contract.models import Linear
from tests.inference.problems import Counting, Surface, without_aux

WORKSPACES = Path(__file__).parents[2] / "workspaces"
FREE = (-10.0, 50.0)
ONLY_MU = Settings(fixed={"lumi": 1.0, "beta": 1.0})


def counting(n: float, bounds: tuple[float, float] = FREE) -> tuple[Likelihood, Data]:
    """n ~ Poisson(10 mu lumi + 20 beta), lumi measured to 5 % and beta to 20 %."""
    parameters = (
        Parameter("mu", float(np.clip(1.0, *bounds)), bounds),
        Parameter("lumi", 1.0, (0.5, 1.5), Normal(0.05)),
        Parameter("beta", 1.0, (0.0, 3.0), Normal(0.2)),
    )
    return Counting(10.0, 20.0, Parameters(parameters, poi="mu")), Data(jnp.asarray([n]), jnp.ones(2))


def poisson_q(mu: float, n: float) -> float:
    """-2 ln L(mu) / L(mu-hat) of one count, 2 [nu - n - n ln(nu / n)] with nu = 10 mu + 20."""
    nu = 10.0 * mu + 20.0
    return float(2.0 * (nu - n - (n * np.log(nu / n) if n else 0.0)))


def poisson_end(n: float, cl: float, side: float) -> float:
    """Where `poisson_q` crosses the chi-square quantile, by bisection."""
    best, level = (n - 20.0) / 10.0, stats.chi2.ppf(cl, 1)
    far = best + side * 20.0 if side > 0.0 else -2.0 + 1e-9
    return float(optimize.brentq(lambda mu: poisson_q(mu, n) - level, best, far, xtol=1e-12))


# ------------------------------------------------------------------------------------------ closed forms


@pytest.mark.parametrize("cl", [ONE_SIGMA, 0.95, 0.5])
@pytest.mark.parametrize("n", [3.0, 35.0])
def test_interval_of_a_count(n: float, cl: float) -> None:
    """The ends of the interval of a Poisson mean are where the closed-form profile crosses the quantile."""
    found = interval(*counting(n), cl=cl, settings=ONLY_MU)
    assert found.value == pytest.approx((n - 20.0) / 10.0, abs=1e-4)
    for end, side in ((found.low, -1.0), (found.high, 1.0)):
        assert end.crossing
        assert end.message == ""
        assert end.value == pytest.approx(poisson_end(n, cl, side), abs=2e-5 * np.sqrt(n))
    assert found.down is not None
    assert found.up is not None
    assert found.down < found.up
    assert found.remarks == ()


def test_interval_of_a_linear_model_is_symmetric() -> None:
    """Least squares has a parabola for a profile: both methods give value -+ z sigma exactly."""
    likelihood = Linear(
        (Parameter("a", 0.0), Parameter("b", 1.0)), ((1.0, 0.5), (0.3, -1.0), (2.0, 2.0)), (0.1, 2.0, 0.5)
    )
    data = without_aux([-99.0, -30.0, 50.0])
    best = fit(likelihood, data, poi="a")
    sigma = best.uncertainty("a")
    assert sigma is not None
    for method in ("profile", "hessian"):
        found = interval(likelihood, data, cl=0.95, method=method, fitted=best)
        assert found.down == pytest.approx(1.959964 * sigma, rel=1e-5)
        assert found.up == pytest.approx(1.959964 * sigma, rel=1e-5)


@pytest.mark.parametrize("cl", [ONE_SIGMA, 0.95])
def test_ends_lie_on_the_profile(cl: float) -> None:
    """A fit with the parameter fixed at an end is above the best fit by the quantile (B06)."""
    likelihood, data = counting(35.0)
    found = interval(likelihood, data, cl=cl)
    for end in (found.low.value, found.high.value):
        assert end is not None
        there = fit(likelihood, data, settings=Settings(fixed={"mu": end}))
        assert there.twice_nll - found.fit.twice_nll == pytest.approx(stats.chi2.ppf(cl, 1), abs=1e-4)


@pytest.mark.parametrize("name", ["search.json", "measurement.json"])
def test_ends_lie_on_the_profile_of_workspaces(name: str) -> None:
    """The same for the example workspaces with their dozens of nuisances."""
    likelihood, data = read_workspace(WORKSPACES / name)
    found = interval(likelihood, data)
    for end in (found.low.value, found.high.value):
        assert end is not None
        there = fit(likelihood, data, settings=Settings(fixed={found.name: end}))
        assert there.twice_nll - found.fit.twice_nll == pytest.approx(1.0, abs=1e-4)


def test_hessian_method() -> None:
    """The Wald interval is value -+ z sigma, cut at the bounds, without any further fit."""
    likelihood, data = counting(35.0, (1.2, 50.0))
    found = interval(likelihood, data, cl=0.95, method="hessian")
    sigma = found.fit.uncertainty("mu")
    assert sigma is not None
    assert found.high.value == pytest.approx(found.value + 1.959964 * sigma, rel=1e-6)
    assert found.low.value == 1.2
    assert not found.low.crossing
    assert found.remarks == ("the interval ends at the lower bound 1.2",)
    assert found.low.n_fits == found.high.n_fits == 0


def test_intervals_of_nuisances() -> None:
    """Any parameter has an interval; one that the data do not constrain keeps that of its constraint."""
    found = interval(*counting(35.0), poi="lumi")
    assert found.name == "lumi"
    assert found.down == pytest.approx(0.05, rel=1e-4)
    assert found.up == pytest.approx(0.05, rel=1e-4)


# ------------------------------------------------------------------------------------------------ bounds


def test_bound_cuts_the_interval() -> None:
    """An end beyond a bound is the bound, and that is said."""
    found = interval(*counting(25.0, (0.2, 0.7)), settings=ONLY_MU)
    assert (found.low.value, found.high.value) == (0.2, 0.7)
    assert not found.low.crossing
    assert not found.high.crossing
    assert found.remarks == ("the interval ends at the lower bound 0.2", "the interval ends at the upper bound 0.7")
    assert not found.one_sided


@pytest.mark.parametrize("n", [12.0, 0.0], ids=["deficit", "no events"])
def test_best_fit_at_a_bound(n: float) -> None:
    """Below the bound there is nothing; above, the end is where q, counted from the bound, crosses (B07, B10).

    q(mu) - q(0) = 2 [10 mu - n ln(1 + mu / 2)] for a count with 20 expected, straight for n = 0.
    """
    found = interval(*counting(n, (0.0, 50.0)), settings=ONLY_MU)
    assert found.value == 0.0
    assert found.one_sided
    assert found.low.value == 0.0
    assert found.down == 0.0
    expected = optimize.brentq(lambda mu: 2.0 * (10.0 * mu - n * np.log1p(mu / 2.0)) - 1.0, 1e-9, 10.0, xtol=1e-12)
    assert found.up == pytest.approx(float(expected), abs=1e-5)
    assert found.high.crossing


def test_end_of_a_published_search(likelihoods: Path) -> None:
    """2018-22_SSd: the profile end at the bound is 0.3459, where the Hessian's one-sided sigma is 0.5573 (B07)."""
    found = interval(*read_workspace(likelihoods / "2018-22_SSd.json"))
    assert found.low.value == 0.0
    assert found.one_sided
    assert found.high.value == pytest.approx(0.3459, abs=1e-4)


def test_end_without_curvature(likelihoods: Path) -> None:
    """2018-14_comb: no sigma at all, but the profile, about 6 mu, crosses at 0.1669 (B08)."""
    found = interval(*read_workspace(likelihoods / "2018-14_comb.json"))
    assert found.high.value == pytest.approx(0.1669, abs=2e-4)
    hessian = interval(*read_workspace(likelihoods / "2018-14_comb.json"), method="hessian")
    assert hessian.high.value is None
    assert "the Hessian gives no uncertainty" in hessian.remarks


# ----------------------------------------------------------------------------------------- no crossing


def plateau(theta: Vector, main: Vector) -> Scalar:
    """A well of depth 0.3 in -ln L: its profile in x0 never rises by more than 0.6."""
    return 0.3 * (1.0 - jnp.exp(-((theta[0] - main[0]) ** 2))) + 0.5 * (theta[1] - main[1]) ** 2


@pytest.mark.slow
def test_no_crossing_is_said() -> None:
    """A profile that never reaches the level has no end, and the remark says how far was looked."""
    likelihood, data = Surface(plateau), without_aux([0.0, 0.0])
    found = interval(likelihood, data)
    for end in (found.low, found.high):
        assert end.value is None
        assert not end.crossing
        assert "stays below the level up to" in end.message
    assert found.down is found.up is None
    half = interval(likelihood, data, cl=0.5)  # quantile 0.455: this level it does reach
    assert half.up == pytest.approx(np.sqrt(-np.log(1.0 - 0.4549364 / 0.6)), rel=1e-4)


@pytest.mark.slow
def test_deeper_minimum_on_the_way_is_said() -> None:
    """Where the profile falls below the best fit, the best fit is disproved: no end, but a remark (B01)."""

    def wells(theta: Vector, main: Vector) -> Scalar:
        return 0.02 * (theta[0] ** 2 - 4.0) ** 2 - 0.1 * theta[0] + 0.5 * (theta[1] - main[1]) ** 2

    found = interval(Surface(wells), without_aux([0.0, 0.0]), settings=Settings(start={"x0": -2.0}), cl=0.99)
    assert found.value < 0.0
    assert found.high.value is None
    assert "below the best fit" in found.high.message


# ---------------------------------------------------------------------------------------------- requests


@pytest.mark.parametrize("cl", [0.0, 1.0, 95.0, -0.1, np.nan])
def test_impossible_levels_are_refused(cl: float) -> None:
    """A confidence level lies between 0 and 1; the message shows how 95 % is written."""
    with pytest.raises(ParameterError, match=r"write 95 % as 0\.95"):
        interval(*counting(35.0), cl=cl)


def test_unknown_requests_are_refused() -> None:
    """Method and parameter must be known; without a parameter of interest one must be named."""
    likelihood, data = counting(35.0)
    with pytest.raises(ParameterError, match="method must be 'profile' or 'hessian', got 'minos'"):
        interval(likelihood, data, method="minos")
    best = fit(likelihood, data)
    with pytest.raises(ParameterError, match="unknown parameter 'muu'; did you mean 'mu'"):
        interval(likelihood, data, poi="muu", fitted=best)
    unnamed = Linear((Parameter("a", 0.0),), ((1.0,),), (1.0,))
    with pytest.raises(ParameterError, match="no parameter of interest"):
        interval(unnamed, without_aux([0.0]))


def test_settings_travel_with_the_fit() -> None:
    """A fit with a fixed nuisance has the interval of the model with that nuisance fixed."""
    likelihood, data = counting(35.0)
    best = fit(likelihood, data, settings=ONLY_MU)
    found = interval(likelihood, data, fitted=best)
    assert found.high.value == pytest.approx(poisson_end(35.0, ONE_SIGMA, 1.0), abs=1e-4)


# ------------------------------------------------------------------------------------------------- scans


def test_scan_of_a_count() -> None:
    """The scanned profile is the closed form, in the order of the values asked for."""
    values = [3.0, -1.0, 1.5, 0.0, 10.0]
    found = scan(*counting(35.0), values=values, settings=ONLY_MU)
    assert found.values.tolist() == values
    np.testing.assert_allclose(found.delta_twice_nll, [poisson_q(mu, 35.0) for mu in values], atol=1e-7)
    assert bool(found.converged.all())


def test_scan_profiles_the_nuisances() -> None:
    """At each value the scan is a fit with the parameter fixed there."""
    likelihood, data = counting(35.0)
    found = scan(likelihood, data, values=[-1.0, 2.5])
    for value, q in zip(found.values, found.delta_twice_nll, strict=True):
        there = fit(likelihood, data, settings=Settings(fixed={"mu": float(value)}))
        assert q == pytest.approx(there.twice_nll - found.fit.twice_nll, abs=1e-7)


def test_default_scan() -> None:
    """41 values within three standard deviations and the bounds, with the minimum in the middle."""
    found = scan(*counting(35.0, (0.0, 50.0)), settings=ONLY_MU)
    sigma = found.fit.uncertainty("mu")
    assert sigma is not None
    assert found.values.shape == (41,)
    assert found.values[0] == max(0.0, found.fit.value("mu") - 3.0 * sigma)
    assert found.values[-1] == pytest.approx(found.fit.value("mu") + 3.0 * sigma)
    assert np.all(found.delta_twice_nll >= -1e-9)


@pytest.mark.parametrize("value", [-11.0, 51.0, np.nan, np.inf])
def test_values_outside_the_bounds_are_refused(value: float) -> None:
    """A scan stays within the bounds, and the message says which value does not."""
    with pytest.raises(ParameterError, match=r"scan of 'mu': values must lie within its bounds \(-10, 50\), got"):
        scan(*counting(35.0), values=[1.0, value])


def test_scan_as_record() -> None:
    """JSON with the documented keys, and a table with one row per value."""
    found = scan(*counting(35.0), values=[1.0, 2.0], settings=ONLY_MU)
    record = found.to_json_dict()
    json.dumps(record, allow_nan=False)
    assert set(record) == {"poi", "best", "values", "delta_twice_nll", "converged", "fit"}
    assert record["values"] == [1.0, 2.0]
    assert len(found.table().splitlines()) == 2 + 1 + 1 + 2


# ------------------------------------------------------------------------------------------------- MINOS


def minuit_of(likelihood: Likelihood, data: Data, found: Interval) -> Minuit:
    """MINUIT at its minimum, from the likelihood's value and automatic gradient."""
    value_and_gradient = eqx.filter_jit(jax.value_and_grad(lambda theta: -likelihood.logpdf(theta, data)))
    parameters = likelihood.parameters
    minuit = Minuit(
        lambda x: float(value_and_gradient(jnp.asarray(x))[0]),
        np.array(found.fit.values),
        grad=lambda x: np.asarray(value_and_gradient(jnp.asarray(x))[1]),
        name=parameters.names,
    )
    minuit.errordef = Minuit.LIKELIHOOD
    minuit.limits = list(zip(parameters.lower, parameters.upper, strict=True))
    minuit.fixed = parameters.fixed.tolist()
    # Steps of a sensible size: started exactly at a minimum, HESSE may otherwise measure the rounding there.
    minuit.errors = np.where(np.isfinite(found.fit.uncertainties), found.fit.uncertainties, 0.1)
    minuit.strategy, minuit.tol = 2, 1e-3
    minuit.migrad()
    assert minuit.valid
    return minuit


@pytest.mark.slow
def test_minuit_agrees() -> None:
    """On the search workspace MINUIT finds the same ends: its profile there is 1 within 2e-3, so 1e-3 sigma.

    MINOS itself stops its inner fits early: its ends are good to a few per cent of sigma.
    """
    likelihood, data = read_workspace(WORKSPACES / "search.json")
    found = interval(likelihood, data)
    assert found.low.value is not None
    assert found.high.value is not None
    minuit = minuit_of(likelihood, data, found)
    minuit.minos("mu")
    error, best, lowest = minuit.merrors["mu"], minuit.values["mu"], minuit.fval
    assert lowest is not None
    assert error.is_valid
    sigma = 0.5 * (found.high.value - found.low.value)
    assert found.low.value == pytest.approx(best + error.lower, abs=0.04 * sigma)
    assert found.high.value == pytest.approx(best + error.upper, abs=0.04 * sigma)
    for end in (found.low.value, found.high.value):
        minuit.values["mu"], minuit.fixed["mu"] = end, True
        minuit.migrad()
        assert minuit.valid
        assert 2.0 * ((minuit.fval or np.nan) - lowest) == pytest.approx(1.0, abs=2e-3)
