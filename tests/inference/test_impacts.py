"""Impacts: closed forms of both definitions, single fits as the referee, bounds, failures, all likelihoods."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest

from infer.api import read_workspace
from infer.constraints import LogNormal, Normal, Poisson
from infer.data import Data
from infer.errors import ParameterError
from infer.inference.breakdown import from_observables, from_shifts, prepare
from infer.inference.fits import FitResult, Settings, fit
from infer.inference.impacts import BELOW, Impacts, impacts
from infer.inference.minimize import Newton
from infer.likelihood import Fixed, Likelihood, Product, Renamed
from infer.parameters import Parameter, Parameters
from infer.typing import Scalar, Vector
from tests.contract.cases import linear_joint, linear_normal, unbinned
from tests.contract.models import Linear
from tests.inference.problems import Counting, Surface, numbered, without_aux

FloatArray = npt.NDArray[np.float64]
Built = tuple[Likelihood, Data]
WORKSPACES = Path(__file__).parents[2] / "workspaces"
LUMI, BETA = 0.04, 0.1
SIDES = ("down", "up", "prefit_down", "prefit_up")


def counting(n: float = 400.0, mu: tuple[float, float] = (-10.0, 50.0)) -> Built:
    """n ~ Poisson(100 mu lumi + 250 beta), lumi measured to 4 %, beta to 10 %; mu-hat is 1.5 for n = 400."""
    parameters = (
        Parameter("mu", 1.0, mu),
        Parameter("lumi", 1.0, (0.5, 1.5), Normal(LUMI), group="luminosity"),
        Parameter("beta", 1.0, (0.0, 3.0), Normal(BETA)),
    )
    return Counting(100.0, 250.0, Parameters(parameters, poi="mu")), Data(jnp.asarray([n]), jnp.ones(2))


def linear_covariance() -> FloatArray:
    """Covariance of `linear_normal` by linear algebra: C = (A' W A + P)^-1."""
    likelihood, _, _ = linear_normal()
    assert isinstance(likelihood, Linear)
    design, weight = np.asarray(likelihood.design), np.diag(np.asarray(likelihood.width) ** -2)
    return np.linalg.inv(design.T @ weight @ design + np.diag([0.0, 4.0, 4.0, 4.0]))


def numbers(found: Impacts, name: str) -> dict[str, float | None]:
    """The impacts of one parameter by side."""
    return {side: shift.impact for side, shift in found[name].shifts.items()}


def agrees_with_single_fits(built: Built, found: Impacts, names: list[str], settings: Settings | None = None) -> None:
    """Every refit of some parameters against a fit of its own from the declared start values, to 1e-6 of sigma."""
    likelihood, data = built
    settings = settings or Settings()
    best = fit(likelihood, data, poi=found.poi, settings=settings)
    sigma = best.uncertainty(found.poi)
    assert sigma is not None
    for name in names:
        assert len(found[name].shifts) in (2, 4)
        for shift in found[name].shifts.values():
            held = replace(settings, fixed={**settings.fixed, name: shift.at})
            moved = estimate(fit(likelihood, data, poi=found.poi, settings=held)) - estimate(best)
            assert shift.impact == pytest.approx(moved, abs=1e-6 * sigma)


def estimate(fitted: FitResult) -> float:
    """Best fit of the parameter of interest after one more step of Newton's: an EDM of 1e-9 leaves 3e-5 sigma."""
    assert fitted.poi is not None
    at = fitted.parameters.position(fitted.poi)
    return float(fitted.values[at] - fitted.covariance[at] @ fitted.gradient)


# -------------------------------------------------------------------------------------------- traditional


def test_linear_model_is_exact() -> None:
    """For Gaussian measurements the impact is C_{i mu} / sigma_i on both sides, pre-fit C_{i mu} s / C_ii."""
    likelihood, data, _ = linear_normal()
    found, covariance = impacts(likelihood, data, poi="m"), linear_covariance()
    assert {impact.name for impact in found.impacts} == {"x", "y", "z"}
    for i, name in enumerate("xyz", 1):
        after = covariance[0, i] / np.sqrt(covariance[i, i])
        before = 0.5 * covariance[0, i] / covariance[i, i]
        expected = {"down": -after, "up": after, "prefit_down": -before, "prefit_up": before}
        assert numbers(found, name) == pytest.approx(expected, rel=1e-6)
        assert found[name].linear == pytest.approx(after, rel=1e-9)
        assert found[name].correlation == pytest.approx(after / np.sqrt(covariance[0, 0]), rel=1e-9)
        assert found[name].constraint == pytest.approx(np.sqrt(covariance[i, i]) / 0.5, rel=1e-9)
    assert found.n_refits == 12
    assert found.n_failed == 0


def test_counting_experiment_is_not_linear() -> None:
    """With mu-hat = (400 - 250 beta) / (100 lumi), holding beta or lumi gives the impact in closed form.

    lumi is measured by its auxiliary datum alone, so that its uncertainty is 4 % before and after.
    """
    found = impacts(*counting())
    expected = {"up": 1.5 / (1 + LUMI) - 1.5, "down": 1.5 / (1 - LUMI) - 1.5}
    expected |= {f"prefit_{side}": value for side, value in expected.items()}
    assert numbers(found, "lumi") == pytest.approx(expected, rel=1e-4)
    assert found["lumi"].linear == pytest.approx(-1.5 * LUMI, rel=1e-4)
    assert found["beta"].up is not None
    assert found["beta"].up.impact == pytest.approx(-2.5 * BETA, rel=1e-4)
    assert found["beta"].up.at == pytest.approx(1.0 + BETA, rel=1e-4)
    assert [impact.name for impact in found.impacts] == ["beta", "lumi"]
    assert [impact.group for impact in found.impacts] == [None, "luminosity"]


def test_ranking_pulls_and_constraints_are_those_of_the_fit() -> None:
    """Pull and constraint by hand, with counts in units of their scale; a free parameter has none of all."""
    parameters = (
        Parameter("mu", 1.0, (-10.0, 50.0)),
        Parameter("lumi", 1.0, (0.5, 1.5)),
        Parameter("beta", 1.0, (0.0, 3.0), Poisson(100.0)),
    )
    likelihood = Counting(100.0, 250.0, Parameters(parameters, poi="beta"))
    settings = Settings(fixed={"lumi": 1.0})
    found = impacts(likelihood, Data(jnp.asarray([400.0]), jnp.asarray([90.0])), poi="mu", settings=settings)
    (beta,) = found.impacts
    assert (beta.name, beta.value) == ("beta", pytest.approx(0.9, rel=1e-5))
    assert beta.pull == pytest.approx(0.0, abs=1e-4)
    assert beta.constraint == pytest.approx(np.sqrt(0.9), rel=1e-4)
    free = impacts(likelihood, Data(jnp.asarray([400.0]), jnp.asarray([90.0])), settings=settings)
    assert set(free["mu"].shifts) == {"down", "up"}
    assert (free["mu"].pull, free["mu"].constraint) == (None, None)


@pytest.mark.parametrize("definition", ["traditional", "global-observables"])
def test_size_ranks(definition: str) -> None:
    """The largest side comes first."""
    found = impacts(*read_workspace(WORKSPACES / "search.json"), definition=definition)
    sizes = [max([abs(s.impact or 0.0) for s in (i.down, i.up) if s], default=0.0) for i in found.impacts]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 0.0


@pytest.mark.slow
def test_refits_agree_with_single_fits() -> None:
    """In the search workspace, with bin-by-bin and free parameters, every refit is that of `infer.fit`."""
    built = read_workspace(WORKSPACES / "search.json")
    found = impacts(*built)
    agrees_with_single_fits(built, found, [impact.name for impact in found.impacts[:2]])
    free = [n for n, p in found.fit.parameters.items() if p.constraint is None and n != found.poi][:1]
    agrees_with_single_fits(built, found, [*free, found.impacts[-1].name])
    assert found.n_failed == 0
    linear = from_observables(prepare(built[0], found.fit, found.poi, None))
    assert found.fit.uncertainty(found.poi) == pytest.approx(linear.total[1] / np.sqrt(linear.sandwich_ratio), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["2018-22_SSd.json", "atlas_tttt.json"])
def test_published_likelihoods(likelihoods: Path, name: str) -> None:
    """No refit fails, and the first, one in the middle and the last of the ranking are those of single fits."""
    built = read_workspace(likelihoods / name)
    found = impacts(*built)
    assert found.n_failed == 0
    at = (0, 1, len(found.impacts) // 2, len(found.impacts) - 1)
    agrees_with_single_fits(built, found, [found.impacts[i].name for i in at])


@pytest.mark.slow
def test_product_and_renamed() -> None:
    """In a combination a shared nuisance moves both components: mu-hat by hand from the two conditional estimates."""
    first, data = counting()
    second = Renamed(first, {"beta": "other"})
    both = Product(a=first, b=second)
    built = both, both.data(a=data, b=data)
    found = impacts(*built)
    assert {impact.name for impact in found.impacts} == {"lumi", "beta", "other"}
    agrees_with_single_fits(built, found, ["lumi", "beta"])
    assert numbers(found, "beta") == pytest.approx(numbers(found, "other"), abs=1e-7)
    frozen = Fixed(first, {"beta": 1.0})
    assert [impact.name for impact in impacts(frozen, frozen.data(data)).impacts] == ["lumi"]


@pytest.mark.slow
def test_unbinned_density() -> None:
    """The same for events without bins; parameters are what they are in any other likelihood."""
    likelihood, data, _ = unbinned()
    poi = likelihood.parameters.poi or likelihood.parameters.names[0]
    found = impacts(likelihood, data, poi=poi)
    assert found.n_failed == 0
    agrees_with_single_fits((likelihood, data), found, [found.impacts[0].name])


# ------------------------------------------------------------------------------------- global observables


@pytest.mark.parametrize("built", [linear_normal, linear_joint], ids=["independent", "correlated"])
def test_squares_add_up_to_the_systematic_part(built: object) -> None:
    """In a linear model impact_k = (C P)_{mu k} sigma_k on both sides, and their squares add up to syst^2."""
    likelihood, data, _ = built()  # type: ignore[operator]  # a builder
    poi = next(n for n, p in likelihood.parameters.items() if p.constraint is None)
    found = impacts(likelihood, data, poi=poi, definition="global-observables")
    budget = from_observables(prepare(likelihood, found.fit, poi, None))
    shifts = [numbers(found, i.name) for i in found.impacts if i.shifts]
    assert [s["down"] for s in shifts] == pytest.approx([-(s["up"] or 0.0) for s in shifts], rel=1e-5, abs=1e-9)
    assert sum((s["up"] or 0.0) ** 2 for s in shifts) == pytest.approx(budget.syst[1] ** 2, rel=1e-6)
    assert sum((i.linear or 0.0) ** 2 for i in found.impacts) == pytest.approx(budget.syst[1] ** 2, rel=1e-10)
    if built is linear_normal:
        expected = linear_covariance()[0, 1:] * 4.0 * 0.5
        assert [found[name].linear for name in "xyz"] == pytest.approx(expected.tolist(), rel=1e-9)


def test_definitions_differ_where_data_constrain() -> None:
    """For a parameter that data constrain, moving its datum moves mu by less than holding it does: (C P s) < C / s."""
    likelihood, data, _ = linear_normal()
    held = impacts(likelihood, data, poi="m")
    moved = impacts(likelihood, data, poi="m", definition="global-observables")
    for impact in moved.impacts:
        ratio = impact.size / held[impact.name].size
        assert ratio == pytest.approx(held[impact.name].constraint, rel=1e-5)
        assert ratio < 0.99


def test_counts_and_factors_move_in_their_own_units() -> None:
    """A log-normal datum is multiplied by kappa^+-1, a count moves by its root: mu-hat = (400 - 250 b) / (100 l)."""
    parameters = (
        Parameter("mu", 1.0, (-10.0, 50.0)),
        Parameter("lumi", 1.0, (0.5, 1.5), LogNormal(1.04)),
        Parameter("beta", 1.0, (0.0, 3.0), Poisson(100.0)),
    )
    likelihood = Counting(100.0, 250.0, Parameters(parameters, poi="mu"))
    data = Data(jnp.asarray([400.0]), jnp.asarray([1.0, 100.0]))
    found = impacts(likelihood, data, definition="global-observables")
    assert numbers(found, "lumi") == pytest.approx({"down": 1.5 * 1.04 - 1.5, "up": 1.5 / 1.04 - 1.5}, rel=1e-4)
    assert numbers(found, "beta") == pytest.approx({"down": 0.25, "up": -0.25}, rel=1e-4)
    assert found["beta"].up is not None
    assert found["beta"].up.at == pytest.approx(110.0, rel=1e-4)


def test_refits_are_those_of_the_error_budget() -> None:
    """The `shifted` budget is the quadrature sum of these impacts by group."""
    likelihood, data = counting()
    found = impacts(likelihood, data, definition="global-observables")
    budget = from_shifts(prepare(likelihood, found.fit, "mu", None), data, Settings())
    lumi = numbers(found, "lumi")
    assert budget.groups["luminosity"] == pytest.approx((-(lumi["up"] or 0.0), lumi["down"]), rel=1e-9)


def test_parameters_without_a_constraint_have_none() -> None:
    """They stay in the list, at its end, without refits."""
    found = impacts(*read_workspace(WORKSPACES / "search.json"), definition="global-observables")
    free = [i for i in found.impacts if i.pull is None]
    assert free
    assert found.impacts[-len(free) :] == tuple(free)
    assert all(i.shifts == {} and i.linear is None and i.size == 0.0 for i in free)


def test_constrained_parameter_of_interest_is_remarked() -> None:
    """Its own auxiliary datum makes part of the systematic uncertainty, which the ranking does not hold."""
    found = impacts(*counting(), poi="lumi", definition="global-observables")
    assert any("lumi has an auxiliary datum of its own" in notice for notice in found.certificate.notices)


# ----------------------------------------------------------------------------------------- bounds, failures


def test_held_at_a_bound() -> None:
    """beta >= 0.95 can be held 0.05 below its best fit and no further; the record and the certificate say so."""
    found = impacts(*counting(), settings=Settings(bounds={"beta": (0.95, 3.0)}))
    down = found["beta"].down
    assert down is not None
    assert (down.at, down.impact) == (0.95, pytest.approx(2.5 * 0.05, rel=1e-4))
    assert down.message == "held at the bound 0.95"
    assert found["beta"].up is not None
    assert found["beta"].up.message == ""
    assert any("1 parameters were held at a bound" in n and "beta" in n for n in found.certificate.notices)


def test_best_fit_at_a_bound() -> None:
    """A nuisance at its bound moves inwards only; to first order its impact is that of the released parameter."""
    settings = Settings(bounds={"beta": (1.05, 3.0)})
    found = impacts(*counting(), settings=settings)
    beta = found["beta"]
    assert beta.uncertainty is not None
    assert beta.down is not None
    assert beta.up is not None
    assert beta.down.impact == pytest.approx(0.0, abs=1e-7)
    assert beta.up.impact == pytest.approx(-2.5 * beta.uncertainty, rel=1e-4)
    assert beta.linear == pytest.approx(-2.5 * beta.uncertainty, rel=1e-4)
    agrees_with_single_fits(counting(), found, ["beta", "lumi"], settings)


@pytest.mark.parametrize("definition", ["traditional", "global-observables"])
def test_parameter_of_interest_at_its_bound(definition: str) -> None:
    """With 200 events and mu >= 0, mu leaves zero only where beta is held below 0.8; a notice says so."""
    found = impacts(*counting(200.0, (0.0, 50.0)), definition=definition)
    for shift in found["lumi"].shifts.values():
        assert shift.impact == pytest.approx(0.0, abs=1e-9)
    for shift in found["beta"].shifts.values():
        held = max(0.0, 2.0 - 2.5 * shift.at) if definition == "traditional" else 0.0
        assert shift.impact == pytest.approx(held, abs=1e-6)
    assert any("mu is at its bound" in notice for notice in found.certificate.notices)
    json.dumps(found.to_json_dict(), allow_nan=False)


def cliff(theta: Vector, main: Vector) -> Scalar:
    """A parabola that no fit finds beyond x1 = 0.8."""
    return jnp.where(theta[1] > 0.8, jnp.inf, 0.5 * jnp.sum((theta - main) ** 2))


def dip(theta: Vector, main: Vector) -> Scalar:
    """A parabola with a deeper, narrow hole around x1 = 1."""
    hole = 2.0 * jnp.exp(-0.5 * ((theta[1] - 1.0) / 0.1) ** 2)
    return 0.5 * jnp.sum((theta - main) ** 2) - hole


def test_failed_refits_are_counted() -> None:
    """Where a refit has no certificate there is no impact; the other side has one, and the certificate names it."""
    found = impacts(Surface(cliff), without_aux([0.0, 0.0]), poi="x0")
    (x1,) = found.impacts
    assert x1.up is not None
    assert x1.up.impact is None
    assert x1.up.message
    assert numbers(found, "x1")["down"] == pytest.approx(0.0, abs=1e-9)
    assert (found.n_refits, found.n_failed) == (2, 1)
    assert any("1 of 2 refits failed" in n and "x1 at 1" in n for n in found.certificate.notices)
    assert "1 of 2 refits failed" in str(found)
    assert "failed" in found.table()
    assert found.to_json_dict()["impacts"][0]["impact_up"] is None


def test_refit_below_the_best_fit_disproves_it() -> None:
    """Held at x1 = 1 the function is deeper than at its local minimum: no impact, and no trust in the best fit."""
    found = impacts(Surface(dip), without_aux([0.0, 0.0]), poi="x0")
    assert found["x1"].up is not None
    assert found["x1"].up.impact is None
    assert found["x1"].up.message == BELOW
    assert not found.certificate.trustworthy
    assert "x1 held the fit lies below the best fit" in str(found)


def test_best_fit_without_a_certificate() -> None:
    """Nothing is refitted around a fit that did not converge."""
    found = impacts(*counting(), settings=Settings(solver=Newton(max_steps=1)))
    assert not found.certificate.trustworthy
    assert (found.n_refits, [i.linear for i in found.impacts]) == (0, [None, None])
    assert "no impacts" in str(found)


def test_no_nuisance_parameter() -> None:
    """A ranking may be empty."""
    alone = impacts(Surface(lambda t, x: 0.5 * jnp.sum((t - x) ** 2), numbered(1)), without_aux([2.0]))
    assert alone.impacts == ()
    assert "no nuisance parameter" in alone.table()


# ------------------------------------------------------------------------------------------------- requests


def test_some_parameters_and_a_known_fit() -> None:
    """A ranking of some parameters is that part of the whole one, and a fit that is there is not repeated."""
    likelihood, data = counting()
    best: FitResult = fit(likelihood, data)
    found = impacts(likelihood, data, fitted=best, parameters=["lumi", "lumi"])
    assert [impact.name for impact in found.impacts] == ["lumi"]
    assert found.fit is best
    whole = impacts(likelihood, data)
    assert numbers(found, "lumi") == pytest.approx(numbers(whole, "lumi"), abs=1e-9)
    with pytest.raises(ParameterError, match="'beta' is not in this ranking of 1"):
        found["beta"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"definition": "impact"}, "definition must be one of traditional, global-observables, got 'impact'"),
        ({"parameters": ["lumy"]}, "did you mean 'lumi'"),
        ({"parameters": ["mu"]}, "'mu' is the one of interest"),
        ({"parameters": ["beta"], "settings": Settings(fixed={"beta": 1.0})}, "'beta' is fixed"),
        ({"poi": "lumy"}, "did you mean 'lumi'"),
        ({"settings": Settings(fixed={"mu": 1.0})}, "'mu' is fixed"),
    ],
    ids=["definition", "unknown", "interest", "fixed", "unknown-poi", "fixed-poi"],
)
def test_impossible_requests(arguments: dict[str, object], message: str) -> None:
    """One sentence says what was expected and what came."""
    with pytest.raises(ParameterError, match=message):
        impacts(*counting(), **arguments)  # type: ignore[arg-type]  # wrong on purpose


def test_record() -> None:
    """The JSON object has every parameter, the table the first ones, and what is left out."""
    found = impacts(*counting())
    record = json.loads(json.dumps(found.to_json_dict(), allow_nan=False))
    assert [entry["name"] for entry in record["impacts"]] == ["beta", "lumi"]
    assert set(record["impacts"][0]["at"]) == set(SIDES)
    assert record["impacts"][0]["impact_up"] == numbers(found, "beta")["up"]
    assert record["impacts"][1]["prefit_impact_down"] == numbers(found, "lumi")["prefit_down"]
    assert "... and 1 with impacts up to" in found.table(1)
    assert "lumi" not in found.table(1)
    assert "lumi" in found.table()
    assert "pre-fit" not in impacts(*counting(), definition="global-observables").table()
