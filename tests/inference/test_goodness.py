"""Goodness of fit: the saturated model against pyhf, BLUE and chi2, shapes against scipy, toys against all of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pyhf
import pytest
from scipy import integrate, stats

from infer.api import read_workspace
from infer.compute import LocalProcesses
from infer.constraints import Normal
from infer.data import Data
from infer.errors import ParameterError
from infer.inference.campaigns import Run
from infer.inference.fits import FitResult, Settings, fit
from infer.inference.goodness import ToyTail, degrees_of_freedom, goodness
from infer.likelihood import Correlated, Fixed, Likelihood, Product, Renamed
from infer.likelihoods.gaussian import GaussianMeasurements
from infer.likelihoods.parametric import Events, Unbinned
from infer.numerics.blue import blue
from infer.parameters import Parameter
from tests.contract import cases
from tests.contract.models import Bins, Linear
from tests.inference.toy_problems import Fragile

FloatArray = npt.NDArray[np.float64]

FALSE_ALARM = 1e-4  # of every comparison of toys with a distribution
ALL = ("saturated", "kolmogorov-smirnov", "anderson-darling")


def counts(scale: float = 1.0, n: FloatArray | None = None, *, shape: bool = True) -> tuple[Likelihood, Data]:
    """Eight bins with a free signal, a background with an uncertain shape and a scale known to 10 %."""
    parameters = (
        Parameter("mu", 1.0, (-5.0, 12.0)),
        Parameter("alpha", 0.0, (-5.0, 5.0), Normal(1.0), fixed=not shape),
        Parameter("gamma", 1.0, (0.1, 3.0), Normal(0.1)),
        Parameter("kappa", 1.0, fixed=True),
    )
    signal, background = np.array([0, 1, 4, 8, 6, 2, 1, 0.0]), np.array([60, 50, 42, 35, 30, 25, 20, 16.0])
    likelihood = Bins(parameters, (scale * signal).tolist(), (scale * background).tolist())
    observed = np.round(scale * (signal + background)) if n is None else n
    return likelihood, Data(jnp.asarray(observed), jnp.asarray([0.0, 1.0]))


def chi2_p(values: FloatArray, n_dof: int) -> float:
    """p-value of a Kolmogorov-Smirnov test of toys against chi2."""
    return float(stats.kstest(values, stats.chi2(n_dof).cdf).pvalue)


# ------------------------------------------------------------------------------------------ the saturated model


@pytest.mark.filterwarnings("ignore:jsonschema.RefResolver")
@pytest.mark.parametrize("name", ["2018-22_SSd.json", "2018-14_comb.json"])
def test_saturated_statistic_of_a_published_likelihood(likelihoods: Path, name: str) -> None:
    """2 sum [nu - n + n ln(n / nu)] plus what pyhf's constraint terms lose between their best and the best fit."""
    likelihood, data = read_workspace(likelihoods / name)
    found = goodness(likelihood, data)
    workspace = pyhf.Workspace(json.loads((likelihoods / name).read_text()), validate=False)
    codes = {"normsys": {"interpcode": "code4"}, "histosys": {"interpcode": "code4p"}}
    model = workspace.model(modifier_settings=codes, validate=False)
    observed = np.asarray(workspace.data(model, include_auxdata=False))
    theta = np.asarray(in_order_of(model, found.fit))
    nu = np.asarray(model.expected_actualdata(theta))
    main = 2.0 * np.sum(nu - observed + observed * np.log(np.where(observed > 0.0, observed / nu, 1.0)))
    aux = np.asarray(model.config.auxdata)
    start = np.asarray(model.config.suggested_init())  # where nominal auxiliary data are most probable
    terms = [float(np.asarray(model.constraint_logpdf(aux, x)).ravel()[0]) for x in (start, theta)]
    assert found.tests[0].observed == pytest.approx(main + 2.0 * (terms[0] - terms[1]), abs=1e-6)
    free = [p for p in likelihood.parameters.values() if p.constraint is None and not p.fixed]
    assert found.tests[0].n_dof == observed.size - len(free)
    assert found.tests[0].p == pytest.approx(stats.chi2.sf(found.tests[0].observed, found.tests[0].n_dof))


def in_order_of(model: Any, best: FitResult) -> list[float]:
    """Best fit in pyhf's order of parameters."""
    values = []
    for name in model.config.par_order:
        size = model.config.par_slice(name).stop - model.config.par_slice(name).start
        scalar = name in best.parameters
        values += [best.value(name if scalar else f"{name}[{i}]") for i in range(size)]
    return values


def test_measurements_give_the_chi2_of_blue() -> None:
    """The saturated statistic of Gaussian measurements is the chi2 of the best linear unbiased estimate."""
    likelihood, data, _ = cases.combination()
    assert isinstance(likelihood, GaussianMeasurements)
    total = sum(likelihood.covariances().values())
    design = np.asarray(likelihood.jacobian)[:, likelihood.parameters.positions(likelihood.observables)]
    expected = blue(np.asarray(data.main), total, design)
    (test,) = goodness(likelihood, data).tests
    assert test.observed == pytest.approx(expected.chi2, rel=1e-8)
    assert test.n_dof == expected.n_dof


@pytest.mark.slow
def test_combinations_add_up() -> None:
    """Statistics and degrees of freedom of independent parts add up; wrappers change nothing."""
    first, second = counts(n=np.array([70, 40, 50, 30, 50, 20, 30, 9.0])), cases.combination()[:2]
    both = Product(bins=Renamed(first[0], {"mu": "signal"}), values=second[0])
    parts = [goodness(*one).tests[0] for one in (first, second)]
    (test,) = goodness(both, both.data(bins=first[1], values=second[1])).tests
    assert test.observed == pytest.approx(sum(p.observed or 0.0 for p in parts), abs=1e-7)
    assert test.n_dof == sum(p.n_dof or 0 for p in parts)
    channels = goodness(both, both.data(bins=first[1], values=second[1]), statistics=ALL[1:2], **toys(5)).tests
    assert [one.channel for one in channels] == ["bins"]


@pytest.mark.parametrize(
    ("model", "n_dof"),
    [
        (Linear((Parameter("a", 0.0), Parameter("b", 0.0)), ((1.0, 1.0), (2.0, 2.0), (3.0, 3.0)), (1.0,) * 3), 2),
        (Linear((Parameter("a", 0.0), Parameter("b", 0.0)), ((1.0, 0.0), (2.0, 0.0), (3.0, 0.0)), (1.0,) * 3), 2),
        (Linear((Parameter("a", 0.0), Parameter("b", 0.0)), ((1.0, 0.0), (2.0, 1e-4)), (1.0, 1.0)), 0),
        (Linear((Parameter("a", 0.0, fixed=True),), ((1.0,), (2.0,)), (1.0, 1.0)), 2),
        (Linear((Parameter("a", 0.0, constraint=Normal(1.0)),), ((1.0,), (2.0,)), (1.0, 1.0)), 2),
        (Linear((Parameter("a", 0.0, constraint=Normal(1.0), fixed=True),), ((1.0,), (2.0,)), (1.0, 1.0)), 2),
    ],
    ids=["degenerate", "unmeasured", "no-degree", "fixed", "constrained", "held"],
)
def test_degrees_of_freedom(model: Likelihood, n_dof: int) -> None:
    """Data less measured combinations of free parameters; auxiliary data count where their parameter is free."""
    data = model.expected(jnp.asarray(model.parameters.init))
    assert degrees_of_freedom(model, data, fit(model, data)) == n_dof


def test_bins_that_hold_nothing_are_no_data() -> None:
    """A bin without expectation and without events leaves statistic and degrees of freedom as they are."""
    parameters = counts()[0].parameters
    some = Bins(tuple(parameters.values()), [1.0, 4.0, 2.0], [20.0, 30.0, 10.0])
    more = Bins(tuple(parameters.values()), [1.0, 4.0, 2.0, 0.0], [20.0, 30.0, 10.0, 0.0])
    more = eqx.tree_at(lambda m: m.slope, more, jnp.append(some.slope, 0.0))  # else the bins respond otherwise
    aux = jnp.asarray([0.0, 1.0])
    one = goodness(some, Data(jnp.asarray([25.0, 29.0, 17.0]), aux)).tests[0]
    two = goodness(more, Data(jnp.asarray([25.0, 29.0, 17.0, 0.0]), aux)).tests[0]
    assert (two.n_dof, two.observed) == (one.n_dof, pytest.approx(one.observed, abs=1e-7))


def test_held_parameters_are_constants() -> None:
    """Holding a constrained parameter off its auxiliary datum costs the fit nothing by itself."""
    likelihood, data = counts(shape=True)
    alone = Fixed(likelihood, {"alpha": 0.0})
    moved = Data(data.main, jnp.asarray([2.5, 1.0]))
    assert goodness(alone, moved).tests[0].observed == pytest.approx(goodness(alone, data).tests[0].observed, abs=1e-7)
    assert goodness(alone, data).tests[0].n_dof == 7


def test_a_held_part_of_a_joint_constraint() -> None:
    """With one of two correlated nuisances held, the other's auxiliary datum is compared with what that implies.

    a ~ N(theta, C) with theta_2 = 0 held is most probable at theta_1 = a_1 - rho a_2: a chi2 of a_2^2 is left in
    both models.
    """
    nuisances = [Parameter(name, 0.0, constraint=Normal(1.0)) for name in ("x", "y")]
    model = Linear(tuple(nuisances), ((1.0, 0.0), (1.0, 0.0)), (1.0, 1.0))
    joint = Fixed(Correlated(model, ["x", "y"], rho=0.6), {"y": 0.0})
    main, aux = np.asarray(model.offset) + np.array([0.7, 2.1]), np.array([-0.4, 1.5])
    (test,) = goodness(joint, Data(jnp.asarray(main), jnp.asarray(aux))).tests
    centre, sigma = aux[0] - 0.6 * aux[1], np.sqrt(1.0 - 0.36)
    values, widths = np.array([0.7, 2.1, centre]), np.array([1.0, 1.0, sigma])
    mean = np.sum(values / widths**2) / np.sum(1.0 / widths**2)
    assert test.observed == pytest.approx(float(np.sum(((values - mean) / widths) ** 2)), abs=1e-8)
    assert test.n_dof == 2


# -------------------------------------------------------------------------------------------------------- toys


def toys(n: int, seed: int = 1, **run: Any) -> dict[str, Any]:
    """Options of a test by toys."""
    return {"key": jax.random.key(seed), "n_toys": n, "run": Run(**run)}


def test_toys_of_a_linear_problem_follow_chi2() -> None:
    """Exactly so: 4 measurements, one of its parameters free, the others constrained (false-alarm rate 1e-4)."""
    likelihood, data, _ = cases.linear_normal()
    (test,) = goodness(likelihood, data, **toys(2000)).tests
    assert test.n_dof == 3
    assert test.toys is not None
    assert test.toys.n_failed == 0
    assert chi2_p(test.toys.values, 3) > FALSE_ALARM
    assert chi2_p(test.toys.values, 4) < FALSE_ALARM  # it can fail


def test_toys_of_counts_follow_chi2() -> None:
    """With thousands of events in each bin (false-alarm rate 1e-4); with two of them they do not."""
    (test,) = goodness(*counts(100.0), **toys(2000)).tests
    assert test.n_dof == 7
    assert test.toys is not None
    assert chi2_p(test.toys.values, 7) > FALSE_ALARM
    rare = counts(0.02, np.array([2, 1, 0, 2, 0, 1, 0, 0.0]))
    result = goodness(*rare, settings=Settings(fixed={"mu": 1.0}), **toys(1000))
    few = result.tests[0]
    assert few.toys is not None
    assert chi2_p(few.toys.values, 8) < FALSE_ALARM
    assert "8 of 8 bins expect fewer than 5 events" in result.table()


@pytest.mark.slow
def test_p_values_of_toys_are_uniform() -> None:
    """Of data drawn from the model, for every statistic (false-alarm rate 3e-4 in all)."""
    likelihood, _ = counts(0.5)
    truth = jnp.asarray(likelihood.parameters.init)
    p = dict[str, list[float]]({name: [] for name in ALL})
    for number in range(80):
        data = likelihood.sample(truth, jax.random.key(1000 + number))
        for test in goodness(likelihood, data, statistics=ALL, **toys(128, seed=number)).tests:
            assert test.toys is not None
            p[test.name].append(test.toys.n_above)
    smear = np.random.default_rng(5).uniform(size=80)
    for found in p.values():  # the rank of the data among 128 toys is uniform; smeared, it is continuous
        assert stats.kstest((np.asarray(found) + smear) / 129.0, "uniform").pvalue > FALSE_ALARM


def test_distorted_data_are_found_out() -> None:
    """A step of 25 % across the spectrum: p below 1e-3 by every test, and far from it without the step."""
    likelihood, data = counts(10.0)
    step = np.where(np.arange(8) % 2, 1.25, 0.8)
    for statistic in ALL:
        bad = goodness(likelihood, Data(jnp.round(data.main * step), data.aux), statistics=[statistic], **toys(1000))
        good = goodness(likelihood, data, statistics=[statistic], **toys(1000))
        for result, low, high in ((bad, 0.0, 1e-3), (good, 0.2, 1.0)):
            tail = result.tests[0].toys
            assert tail is not None
            assert tail.p is not None
            assert low <= tail.p <= high
    assert bad.tests[0].log_p is None
    assert (goodness(likelihood, Data(jnp.round(data.main * step), data.aux)).tests[0].p or 0.0) < 1e-10


@pytest.mark.slow
def test_events_are_compared_with_the_fitted_density() -> None:
    """D of unbinned events is scipy's for the fitted intensity, integrated by quadrature; A^2 is the textbook's."""
    likelihood, data, _ = cases.unbinned()
    assert isinstance(likelihood, Unbinned)
    kept = np.asarray(data.main.weights) * (np.asarray(data.main.values) > 105.0)  # A^2 is infinite at the very edge
    data = Data(Events(data.main.values, jnp.asarray(kept)), data.aux)
    result = goodness(likelihood, data, statistics=ALL[1:], **toys(2))
    theta = jnp.asarray(result.fit.values)
    density = jax.jit(lambda x: likelihood.mixture.rates(theta, likelihood._at(x)))  # the intensity
    grid = np.linspace(105.0, 150.0, 90001)
    cumulative = integrate.cumulative_simpson(np.asarray(density(jnp.asarray(grid))), x=grid, initial=0.0)
    x = np.sort(np.asarray(data.main.values)[kept > 0.0])
    u = np.interp(x, grid, cumulative / cumulative[-1])
    assert result.test(ALL[1]).observed == pytest.approx(stats.kstest(u, "uniform").statistic, abs=1e-6)
    i = np.arange(1, u.size + 1)
    squared = -u.size - np.sum((2 * i - 1) * (np.log(u) + np.log1p(-u[::-1]))) / u.size
    assert result.test(ALL[2]).observed == pytest.approx(squared, rel=1e-4)
    assert all(test.channel is None for test in result.tests)


def test_toys_do_not_depend_on_chunks() -> None:
    """The same statistics bit by bit, whatever the chunks."""
    likelihood, data = counts()
    one, two = (goodness(likelihood, data, statistics=ALL, **toys(60, chunk=size)) for size in (None, 7))
    assert one.columns is not None
    assert two.columns is not None
    for name, values in one.columns.items():
        np.testing.assert_array_equal(values, two.columns[name])


@pytest.mark.slow
def test_toys_do_not_depend_on_workers(tmp_path: Path) -> None:
    """Nor on the processes that they are computed in; a finished run is read from its folder."""
    likelihood, data = read_workspace(Path(__file__).parents[2] / "workspaces" / "search.json")
    here = goodness(likelihood, data, statistics=ALL, **toys(20, chunk=10))
    there = goodness(
        likelihood, data, statistics=ALL, **toys(20, chunk=10, executor=LocalProcesses(2), folder=tmp_path / "run")
    )
    again = goodness(likelihood, data, statistics=ALL, **toys(20, chunk=10, folder=tmp_path / "run", resume=True))
    for other in (there, again):
        assert {**(here.columns or {})}.keys() == {**(other.columns or {})}.keys()
        for name, values in (here.columns or {}).items():
            np.testing.assert_array_equal(values, (other.columns or {})[name])


# ----------------------------------------------------------------------------------------- what can go wrong


@pytest.mark.slow
def test_failed_toys_widen_the_interval() -> None:
    """Toys of a model that fails in 2 x 11.5 % of them are counted, and could lie on either side."""
    result = goodness(Fragile(), Data(jnp.asarray([0.3]), jnp.zeros(0)), **toys(150))
    (test,) = result.tests
    assert test.n_dof == 0
    assert test.log_p is None
    assert "nothing to test" in result.table()
    tail = test.toys
    assert tail is not None
    assert 14 < tail.n_failed < 58  # 34.5 ± 5.2 of 150: false-alarm rate 1e-4
    low, high = tail.clopper_pearson()
    assert low < tail.n_above / 150 < (tail.n_above + tail.n_failed) / 150 <= high
    assert ToyTail.of(0.0, np.full(3, np.nan)).p is None


def test_a_fit_that_failed_has_no_statistic() -> None:
    """The certificate says why, and nothing is NaN."""
    result = goodness(Fragile(), Data(jnp.asarray([2.0]), jnp.zeros(0)), **toys(10))
    assert not result.certificate.converged
    assert (result.tests[0].observed, result.tests[0].toys) == (None, None)
    assert "the fit failed" in str(result)
    json.dumps(result.to_json_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"statistics": ["chi2"]}, "statistics must be some of saturated, kolmogorov-smirnov"),
        ({"statistics": []}, "must be a list"),
        ({"statistics": "saturated"}, "must be a list"),
        ({"statistics": ["anderson-darling"]}, "known from toys only.*give n_toys and key"),
        ({"n_toys": 10}, "need both a random key"),
        ({"key": jax.random.key(1)}, "need both a random key"),
        ({"key": jax.random.key(1), "n_toys": 0}, "at least one toy"),
    ],
)
def test_bad_options(options: dict[str, Any], complaint: str) -> None:
    """One sentence that says what was expected, what came, and what to do."""
    with pytest.raises(ParameterError, match=complaint):
        goodness(*counts(), **options)


def test_refusals() -> None:
    """Events have no saturated model, measurements no order, and there is no test of that name."""
    likelihood, data, _ = cases.unbinned()
    with pytest.raises(ParameterError, match=r"Unbinned likelihood has no saturated model.*bin the events"):
        goodness(likelihood, data)
    values, measured, _ = cases.combination()
    with pytest.raises(ParameterError, match=r"nothing here has an order.*use saturated"):
        goodness(values, measured, statistics=ALL[1:], **toys(5))
    with pytest.raises(ParameterError, match="no test saturated of SR; there are saturated"):
        goodness(values, measured).test("saturated", "SR")


def test_settings_reach_fit_and_toys() -> None:
    """What is held is held in the toys too: one more degree of freedom."""
    likelihood, data = counts(100.0)
    (test,) = goodness(likelihood, data, settings=Settings(fixed={"mu": 1.0}), **toys(1000)).tests
    assert test.n_dof == 8
    assert test.toys is not None
    assert chi2_p(test.toys.values, 8) > FALSE_ALARM  # false-alarm rate 1e-4
    assert replace(test, toys=None).to_json_dict()["toys"] is None
