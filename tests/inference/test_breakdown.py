"""The error budget: closed forms of every definition, sums, order, groups, and toys as the referee."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from infer.api import read_workspace
from infer.constraints import LogNormal, MultivariateNormal, Normal, Poisson
from infer.data import Data
from infer.errors import ParameterError
from infer.inference.breakdown import (
    Budget,
    Groups,
    assign_groups,
    from_bootstrap,
    from_conditional,
    from_observables,
    from_shifts,
    prepare,
)
from infer.inference.fits import Settings, fit
from infer.likelihood import Likelihood
from infer.parameters import Parameter, Parameters
from tests.contract.cases import linear_joint, linear_normal
from tests.contract.models import Linear, OnOff
from tests.inference.problems import Counting, without_aux

FloatArray = npt.NDArray[np.float64]
WORKSPACES = Path(__file__).parents[2] / "workspaces"
SIGNAL, BACKGROUND = 100.0, 250.0
LUMI, BETA = 0.04, 0.1
FALSE_ALARM = 1e-4


def counting(n: float = 400.0, bounds: tuple[float, float] = (-10.0, 50.0)) -> tuple[Likelihood, Data]:
    """n ~ Poisson(100 mu lumi + 250 beta), lumi measured to 4 %, beta to 10 %; mu-hat is 1.5 for n = 400."""
    parameters = (
        Parameter("mu", 1.0, bounds),
        Parameter("lumi", 1.0, (0.5, 1.5), Normal(LUMI), group="luminosity"),
        Parameter("beta", 1.0, (0.0, 3.0), Normal(BETA), group="background"),
    )
    return Counting(SIGNAL, BACKGROUND, Parameters(parameters, poi="mu")), Data(jnp.asarray([n]), jnp.ones(2))


def budget(
    built: tuple[Likelihood, Data],
    definition: str = "observables",
    *,
    poi: str | None = None,
    groups: Groups | None = None,
    settings: Settings | None = None,
) -> Budget:
    """The budget of one definition."""
    likelihood, data = built
    settings = settings or Settings()
    fitted = fit(likelihood, data, poi=poi, settings=settings)
    assert fitted.poi is not None
    setting = prepare(likelihood, fitted, fitted.poi, groups)
    if definition == "observables":
        return from_observables(setting)
    if definition == "conditional":
        return from_conditional(setting)
    return from_shifts(setting, data, settings)


def squares(found: Budget) -> float:
    """Sum of the squares of all parts."""
    return found.stat[1] ** 2 + sum(part[1] ** 2 for part in found.groups.values())


def up(parts: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """The upper sides."""
    return {name: part[1] for name, part in parts.items()}


# -------------------------------------------------------------------------------------------- observables


def test_counting_experiment() -> None:
    """With mu-hat = (n - b beta) / (s lumi), the parts are its derivatives times the widths of the data.

    stat = sqrt(n) / s, luminosity = mu sigma_lumi, background = b sigma_beta / s; they add up to the
    inverse Hessian, since the rate at the best fit is the count.
    """
    found = budget(counting())
    assert found.stat == pytest.approx((0.2, 0.2), rel=1e-4)
    assert up(found.groups) == pytest.approx({"luminosity": 1.5 * LUMI, "background": 2.5 * BETA}, rel=1e-4)
    assert found.syst[1] == pytest.approx(np.hypot(1.5 * LUMI, 2.5 * BETA), rel=1e-4)
    assert found.total[1] == pytest.approx(np.sqrt(0.2**2 + (1.5 * LUMI) ** 2 + (2.5 * BETA) ** 2), rel=1e-4)
    assert found.sandwich_ratio == pytest.approx(1.0, abs=1e-5)
    assert found.definition == "observables"
    assert found.n_failed == 0


def test_poisson_and_lognormal_auxiliaries() -> None:
    """The same with beta from a count of 100 (10 %) and lumi log-normal: sigma_beta = 1 / 10, sigma_lumi = ln kappa."""
    parameters = (
        Parameter("mu", 1.0, (-10.0, 50.0)),
        Parameter("lumi", 1.0, (0.5, 1.5), LogNormal(1.04)),
        Parameter("beta", 1.0, (0.0, 3.0), Poisson(100.0)),
    )
    likelihood = Counting(SIGNAL, BACKGROUND, Parameters(parameters, poi="mu"))
    found = budget((likelihood, Data(jnp.asarray([400.0]), jnp.asarray([1.0, 100.0]))))
    assert found.stat[1] == pytest.approx(0.2, rel=1e-4)
    assert up(found.groups) == pytest.approx({"lumi": 1.5 * np.log(1.04), "beta": 2.5 * BETA}, rel=1e-4)


def test_linear_model_is_exact() -> None:
    """theta-hat = C (A' W x + P a) with C = (A' W A + P)^-1: stat^2 = (C A' W A C)_00 and part_k = |C P|_0k sigma_k."""
    likelihood, data, _ = linear_normal()
    assert isinstance(likelihood, Linear)
    found = budget((likelihood, data), poi="m")
    design, weight = np.asarray(likelihood.design), np.diag(np.asarray(likelihood.width) ** -2)
    precision = np.diag([0.0, 4.0, 4.0, 4.0])
    information = design.T @ weight @ design
    covariance = np.linalg.inv(information + precision)
    assert found.stat[1] ** 2 == pytest.approx((covariance @ information @ covariance)[0, 0], rel=1e-9)
    parts = np.abs(covariance @ precision)[0, 1:] * 0.5
    assert list(up(found.groups).values()) == pytest.approx(parts.tolist(), rel=1e-9)
    assert found.total[1] ** 2 == pytest.approx(covariance[0, 0], rel=1e-10)
    assert found.sandwich_ratio == pytest.approx(1.0, rel=1e-10)


@pytest.mark.parametrize("poi", ["a", "b", "c", "d"])
def test_correlated_auxiliaries_add_up(poi: str) -> None:
    """With auxiliary data of a multivariate normal the parts are real numbers and add up to the total."""
    likelihood, data, _ = linear_joint()
    found = budget((likelihood, data), poi=poi)
    assert set(found.groups) == {"a", "b", "c"}
    assert all(part[1] >= 0.0 for part in found.groups.values())
    assert squares(found) == pytest.approx(found.total[1] ** 2, rel=1e-10)
    assert found.sandwich_ratio == pytest.approx(1.0, rel=1e-9)


def test_anticorrelated_responses_have_parts() -> None:
    """x = m + a - b / 2 with corr(a, b) = 0.9: an even share of the cross term would give b a negative variance.

    The parts follow the symmetric root of the correlation instead; they are positive and add up to
    Var(a - b / 2) = 1 + 1/4 - 0.9.
    """
    joint = MultivariateNormal(("a", "b"), ((1.0, 0.9), (0.9, 1.0)))
    parameters = (Parameter("m", 0.0), Parameter("a", 0.0, constraint=joint), Parameter("b", 0.0, constraint=joint))
    likelihood = Linear(parameters, ((1.0, 1.0, -0.5),), (0.3,))
    found = budget((likelihood, Data(jnp.asarray([-99.0]), jnp.zeros(2))), poi="m")
    root = np.asarray([[np.sqrt(1.9) + np.sqrt(0.1), np.sqrt(1.9) - np.sqrt(0.1)]]) / 2.0
    symmetric = np.asarray([root[0], root[0][::-1]])
    expected = np.abs(np.asarray([1.0, -0.5]) @ symmetric)
    assert list(up(found.groups).values()) == pytest.approx(expected.tolist(), rel=1e-9)
    assert found.syst[1] ** 2 == pytest.approx(1.25 - 0.9, rel=1e-9)
    together = budget((likelihood, Data(jnp.asarray([-99.0]), jnp.zeros(2))), poi="m", groups={"both": ["a", "b"]})
    assert together.groups["both"][1] ** 2 == pytest.approx(1.25 - 0.9, rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["search.json", "measurement.json"])
def test_parts_add_up(name: str) -> None:
    """The squares of stat and all groups, mc_stat one of them, add up to that of the total, to 1e-10 (B28, B29)."""
    found = budget(read_workspace(WORKSPACES / name))
    assert squares(found) == pytest.approx(found.total[1] ** 2, rel=1e-10)
    assert np.hypot(found.stat[1], found.syst[1]) == pytest.approx(found.total[1], rel=1e-10)
    assert "mc_stat" in found.groups
    assert 0.5 < found.sandwich_ratio < 2.0


def test_free_normalisations_are_part_of_stat() -> None:
    """In the on/off problem the background has no auxiliary datum, so that stat is all: the same as in the Hessian."""
    likelihood, data = OnOff(signal=12.0, tau=2.5), without_aux([31.0, 20.0])
    found = budget((likelihood, data), poi="mu")
    assert found.groups == {}
    assert found.syst == (0.0, 0.0)
    assert found.stat[1] == pytest.approx(np.sqrt(31.0 + 20.0 / 6.25) / 12.0, rel=1e-4)


def test_fixed_parameters_have_no_part() -> None:
    """The auxiliary datum of a fixed parameter moves nothing."""
    found = budget(counting(), settings=Settings(fixed={"beta": 1.0}))
    assert found.groups["background"] == (0.0, 0.0)
    assert found.groups["luminosity"][1] == pytest.approx(1.5 * LUMI, rel=1e-4)


def test_parameter_of_interest_at_a_bound() -> None:
    """At its bound mu responds as if it were released; nuisances at theirs do not respond."""
    found = budget(counting(200.0, (0.0, 50.0)))
    assert all(np.isfinite(part) for part in (*found.stat, *found.syst, *found.total))
    assert squares(found) == pytest.approx(found.total[1] ** 2, rel=1e-10)
    held = budget(counting(400.0), settings=Settings(bounds={"beta": (1.05, 3.0)}))
    assert held.groups["background"] == (0.0, 0.0)


def test_constrained_parameter_of_interest() -> None:
    """A parameter that only its auxiliary datum measures has that datum's part and no other."""
    found = budget(counting(), poi="lumi")
    assert found.groups["luminosity"][1] == pytest.approx(LUMI, rel=1e-5)
    assert found.groups["background"][1] == pytest.approx(0.0, abs=1e-6)
    assert found.stat[1] == pytest.approx(0.0, abs=1e-6)


# -------------------------------------------------------------------------------------------- conditional


def test_conditional_of_the_counting_experiment() -> None:
    """Freezing one nuisance removes its term from Var(mu) = n / s^2 + (mu sigma_lumi)^2 + (b sigma_beta / s)^2."""
    found = budget(counting(), "conditional")
    assert found.stat[1] == pytest.approx(0.2, rel=1e-4)
    assert up(found.groups) == pytest.approx({"luminosity": 1.5 * LUMI, "background": 2.5 * BETA}, rel=1e-3)
    assert found.syst[1] == pytest.approx(np.sqrt(found.total[1] ** 2 - 0.04), rel=1e-4)
    assert found.definition == "conditional"


def test_conditional_of_a_linear_model() -> None:
    """Var with a set frozen is the inverse of the remaining block; part^2 is the difference of the two variances."""
    likelihood, data, _ = linear_normal()
    assert isinstance(likelihood, Linear)
    found = budget((likelihood, data), "conditional", poi="m", groups={"pair": ["x", "y"]})
    design, weight = np.asarray(likelihood.design), np.diag(np.asarray(likelihood.width) ** -2)
    hessian = design.T @ weight @ design + np.diag([0.0, 4.0, 4.0, 4.0])

    def variance(*kept: int) -> float:
        return float(np.linalg.inv(hessian[np.ix_(kept, kept)])[0, 0])

    total = variance(0, 1, 2, 3)
    assert found.total[1] ** 2 == pytest.approx(total, rel=1e-9)
    assert found.stat[1] ** 2 == pytest.approx(variance(0), rel=1e-9)
    assert found.groups["pair"][1] ** 2 == pytest.approx(total - variance(0, 3), rel=1e-7)
    assert found.groups["z"][1] ** 2 == pytest.approx(total - variance(0, 1, 2), rel=1e-7)
    assert found.syst[1] ** 2 == pytest.approx(total - variance(0), rel=1e-9)


def test_definitions_differ_where_data_constrain_nuisances() -> None:
    """In the search workspace the conditional stat is smaller than that of the observables: they are not mixed."""
    built = read_workspace(WORKSPACES / "search.json")
    assert budget(built, "conditional").stat[1] < budget(built).stat[1]


# ------------------------------------------------------------------------------------------------ shifted


@pytest.mark.slow
def test_shifts_keep_both_sides() -> None:
    """lumi moved to 1 -+ sigma gives mu = 1.5 / (1 -+ sigma): asymmetric, and signed; beta moves mu linearly."""
    found = budget(counting(), "shifted")
    down, above = found.groups["luminosity"]
    assert above == pytest.approx(1.5 / (1.0 - LUMI) - 1.5, rel=1e-3)
    assert down == pytest.approx(1.5 - 1.5 / (1.0 + LUMI), rel=1e-3)
    assert found.groups["background"] == pytest.approx((2.5 * BETA, 2.5 * BETA), rel=1e-3)
    assert found.total[1] == pytest.approx(np.sqrt(0.04 + above**2 + (2.5 * BETA) ** 2), rel=1e-3)
    assert found.stat == pytest.approx((0.2, 0.2), rel=1e-4)
    assert found.n_failed == 0


@pytest.mark.slow
@pytest.mark.parametrize("built", [linear_normal, linear_joint], ids=["independent", "correlated"])
def test_shifts_of_a_linear_model_are_its_derivatives(built: object) -> None:
    """In a linear model shifted and observables agree, group by group, also with correlated auxiliary data."""
    likelihood, data, _ = built()  # type: ignore[operator]  # a builder
    poi = likelihood.parameters.names[0]
    shifted, exact = (budget((likelihood, data), definition, poi=poi) for definition in ("shifted", "observables"))
    for group, part in exact.groups.items():
        assert shifted.groups[group] == pytest.approx(part, rel=1e-4, abs=1e-6)
    assert shifted.total == pytest.approx(exact.total, rel=1e-5)


def test_shifts_without_auxiliary_data() -> None:
    """Without auxiliary data there is nothing to shift: stat is the total."""
    likelihood, data = OnOff(signal=12.0, tau=2.5), without_aux([31.0, 20.0])
    found = budget((likelihood, data), "shifted", poi="mu")
    assert found.groups == {}
    assert found.total == pytest.approx(found.stat)


# ---------------------------------------------------------------------------------------------- bootstrap


@pytest.mark.slow
def test_bootstrap_agrees_with_the_derivatives() -> None:
    """Toys of one source at a time spread as the observables say, each within a chi-square test.

    (N - 1) s^2 / sigma^2 follows chi2(N - 1) for normal estimates; a count of 400 and a luminosity of
    4 % deviate by 1 % from that. False-alarm rate 1e-4 for each of the four sources; with 500 toys a
    width wrong by 13 % is found nine times in ten.
    """
    n_toys = 500
    likelihood, data = counting()
    setting = prepare(likelihood, fit(likelihood, data), "mu", None)
    toys = from_bootstrap(setting, jax.random.key(7), n_toys, Settings())
    exact = from_observables(setting)
    assert toys.n_failed == 0
    assert toys.definition == "bootstrap"
    pairs = [(toys.stat, exact.stat), (toys.total, exact.total)]
    pairs += [(toys.groups[group], exact.groups[group]) for group in exact.groups]
    assert len(pairs) == 4
    for (spread, _), (width, _) in pairs:
        statistic = (n_toys - 1) * (spread / width) ** 2
        p_value = 2.0 * min(stats.chi2.sf(statistic, n_toys - 1), stats.chi2.cdf(statistic, n_toys - 1))
        assert p_value > FALSE_ALARM


def test_bootstrap_depends_on_its_key_alone() -> None:
    """The same key gives the same budget, another key another one."""
    likelihood, data = counting()
    setting = prepare(likelihood, fit(likelihood, data), "mu", None)
    first, again, other = (from_bootstrap(setting, jax.random.key(k), 8, Settings()) for k in (1, 1, 2))
    assert (first.stat, first.groups, first.total) == (again.stat, again.groups, again.total)
    assert first.stat != other.stat


# ------------------------------------------------------------------------------------------------- groups


@pytest.mark.parametrize("definition", ["observables", "conditional", "shifted"])
def test_order_of_groups_does_not_matter(definition: str) -> None:
    """Each group's part is the same in whatever order the groups are given (B28)."""
    built = linear_normal()[:2]
    groups: dict[str, list[str]] = {"one": ["x"], "two": ["y"], "three": ["z"]}
    orders = [dict(order) for order in itertools.permutations(groups.items())]
    first, *others = (budget(built, definition, poi="m", groups=order) for order in orders[:3])
    for other in others:
        assert up(other.groups) == pytest.approx(up(first.groups), rel=1e-10)
        assert other.stat == pytest.approx(first.stat, rel=1e-10)


def test_merged_groups_add_their_squares() -> None:
    """The part of a merged group is the quadrature sum of its members'."""
    single, merged = (budget(linear_normal()[:2], poi="m", groups=g) for g in (None, {"all": "[xyz]"}))
    assert list(merged.groups) == ["all"]
    assert merged.groups["all"][1] == pytest.approx(np.sqrt(sum(v**2 for v in up(single.groups).values())), rel=1e-12)


NAMES = Parameters(
    (
        Parameter("mu", 1.0),
        Parameter("jes_1", 0.0, constraint=Normal(1.0), group="jets"),
        Parameter("jes_2", 0.0, constraint=Normal(1.0), group="jets"),
        Parameter("lumi", 1.0, constraint=Normal(0.02)),
        Parameter("a+b", 0.0, constraint=Normal(1.0)),
    )
)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (None, ["jets", "jets", "lumi", "a+b"]),
        ({"scale": "jes_.*"}, ["scale", "scale", "lumi", "a+b"]),
        ({"scale": ["jes_1"]}, ["scale", "jets", "lumi", "a+b"]),
        ({"x": ["lumi", "a+b"]}, ["jets", "jets", "x", "x"]),
        ({"x": ".*"}, ["x", "x", "x", "x"]),
        ({"x": ["jes_1", "jes_.*"]}, ["x", "x", "lumi", "a+b"]),
    ],
    ids=["declared", "pattern", "name", "special characters", "everything", "overlap within a group"],
)
def test_groups_by_name_and_pattern(groups: Groups | None, expected: list[str]) -> None:
    """Names or full-match patterns claim parameters; the others keep their own group, or their own name."""
    assert list(assign_groups(NAMES, groups).values()) == expected


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"x": "jes"}, "group 'x': 'jes' matches none of the 4 constrained parameters, which begin with jes_1, jes_2"),
        ({"x": "mu"}, "'mu' matches none"),
        ({"x": "jes_("}, r"'jes_\(' is no regular expression"),
        ({"x": "jes_1", "y": "jes_.*"}, "parameter 'jes_1' is claimed by the groups 'x' and 'y'"),
    ],
    ids=["part of a name", "free parameter", "broken pattern", "claimed twice"],
)
def test_impossible_groups_are_refused(groups: Groups, message: str) -> None:
    """A pattern that matches nothing is a mistake, and a parameter has one group."""
    with pytest.raises(ParameterError, match=message):
        assign_groups(NAMES, groups)


def test_fixed_parameter_of_interest_has_no_budget() -> None:
    """A fixed parameter has no uncertainty to split."""
    likelihood, data = counting()
    fitted = fit(likelihood, data, settings=Settings(fixed={"mu": 1.0}))
    with pytest.raises(ParameterError, match="'mu' is fixed"):
        prepare(likelihood, fitted, "mu", None)
