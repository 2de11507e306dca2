"""Yields with their uncertainty: closed forms, toys of the parameters, and likelihoods inside likelihoods."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from infer.api import read_workspace
from infer.data import Data
from infer.errors import DataError, ParameterError
from infer.inference.fits import FitResult, Settings, fit
from infer.inference.yields import ChannelYields, StageYields, Yields, counted, prefit_covariance, yields
from infer.likelihood import Correlated, Fixed, Likelihood, Product, Redeclared, Renamed
from infer.likelihoods.gaussian import Measured, combine_measurements
from infer.likelihoods.histfactory.model import HistFactory
from infer.likelihoods.histfactory.spec import parse_workspace

FloatArray = npt.NDArray[np.float64]

WORKSPACES = Path(__file__).parents[2] / "workspaces"


def histosys(name: str, nominal: list[float], shift: float) -> dict[str, Any]:
    """A shape systematic that moves every bin by ``shift`` up and down."""
    data = {"lo_data": [x - shift for x in nominal], "hi_data": [x + shift for x in nominal]}
    return {"name": name, "type": "histosys", "data": data}


def simple() -> tuple[HistFactory, Data]:
    """Two bins; signal (5, 10) x mu, background (50, 60) with shifts of 3 and 4, and 5 and 12 by bin."""
    background = [
        histosys("a", [50.0, 60.0], 3.0),
        histosys("b", [50.0, 60.0], 4.0),
        {"name": "own", "type": "shapesys", "data": [5.0, 12.0]},
    ]
    document = {
        "version": "1.0.0",
        "channels": [
            {
                "name": "SR",
                "samples": [
                    {
                        "name": "signal",
                        "data": [5.0, 10.0],
                        "modifiers": [{"name": "mu", "type": "normfactor", "data": None}],
                    },
                    {"name": "background", "data": [50.0, 60.0], "modifiers": background},
                ],
            },
            {
                "name": "CR",
                "samples": [{"name": "background", "data": [200.0], "modifiers": [histosys("a", [200.0], 10.0)]}],
            },
        ],
        "observations": [{"name": "SR", "data": [58.0, 66.0]}, {"name": "CR", "data": [190.0]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
    }
    return HistFactory.of(parse_workspace(document, source="simple"))


def at(
    likelihood: Likelihood, data: Data, theta: FloatArray, covariance: FloatArray, *, poi: str | None = None
) -> StageYields:
    """Yields at a point with a covariance, as if a fit had ended there."""
    return yields(likelihood, data, fitted=ended(likelihood, data, theta, covariance), poi=poi).postfit


def ended(likelihood: Likelihood, data: Data, theta: FloatArray, covariance: FloatArray) -> FitResult:
    """A fit that says it ended at a point with a covariance."""
    everything = {n: p.init for n, p in likelihood.parameters.items()}
    held = fit(likelihood, data, settings=Settings(fixed=everything))
    free = replace(held, parameters=likelihood.parameters)
    return replace(free, values=np.asarray(theta, dtype=float), covariance=np.asarray(covariance, dtype=float))


def by_name(stage: StageYields) -> dict[str, ChannelYields]:
    """Channels by name."""
    return {c.name: c for c in stage.channels}


def test_records_hold_the_model() -> None:
    """Samples are the model's entries, the total its expected data, the counts those of the workspace."""
    model, data = simple()
    theta = model.parameters.vector({"mu": 2.0, "a": -0.5})
    stage = at(model, data, theta, np.zeros((5, 5)))
    control, signal = stage.channels
    assert (control.name, signal.name) == ("CR", "SR")
    np.testing.assert_allclose(control.samples["background"], [195.0])
    np.testing.assert_allclose(signal.samples["signal"], [10.0, 20.0])
    np.testing.assert_allclose(signal.samples["background"], [48.5, 58.5])
    together = np.concatenate([control.total, signal.total])
    np.testing.assert_allclose(together, model.expected_main(jnp.asarray(theta)))
    assert signal.counts.tolist() == [58.0, 66.0]
    assert signal.total_uncertainty.tolist() == [0.0, 0.0]
    assert (control.signals, signal.signals) == ((), ("signal",))
    np.testing.assert_allclose(signal.ratio, [58.0 / 58.5, 66.0 / 78.5])
    sums = stage.sums[1]
    np.testing.assert_allclose(sums.values, [30.0, 107.0])
    assert (sums.samples, sums.total, sums.observed) == (("signal", "background"), 137.0, 124.0)
    assert (stage.overall.samples, stage.overall.total) == (("background", "signal"), 332.0)
    assert stage.overall.values.tolist() == [302.0, 30.0]


def test_uncertainty_before_the_fit_in_closed_form() -> None:
    """Shifts of 3 and 4 and the bin's own 5 or 12 add up in quadrature; the free mu adds nothing and is named.

    Of the channel's sum, the shifts move both bins together; between the channels, a correlates 3 with 10.
    """
    model, data = simple()
    record = yields(model, data)
    control, signal = record.prefit.channels
    np.testing.assert_allclose(signal.total_uncertainty, [np.hypot(5.0, 5.0), np.hypot(5.0, 12.0)])
    np.testing.assert_allclose(signal.sample_uncertainties["background"], signal.total_uncertainty)
    np.testing.assert_allclose(signal.sample_uncertainties["signal"], [0.0, 0.0])
    np.testing.assert_allclose(control.total_uncertainty, [10.0])
    expected = [[100.0, 30.0, 30.0], [30.0, 50.0, 25.0], [30.0, 25.0, 169.0]]
    np.testing.assert_allclose(record.prefit.covariance, expected)
    np.testing.assert_allclose(record.prefit.channel_covariance, [[100.0, 60.0], [60.0, 50.0 + 169.0 + 50.0]])
    assert record.prefit.sums[1].total_uncertainty == pytest.approx(np.sqrt(269.0))
    assert record.prefit.overall.total_uncertainty == pytest.approx(np.sqrt(100.0 + 120.0 + 269.0))
    np.testing.assert_allclose(signal.pulls, [3.0 / np.sqrt(55.0 + 50.0), -4.0 / np.sqrt(70.0 + 169.0)])
    assert any("mu" in notice for notice in record.notices)


def test_uncertainty_after_the_fit_in_closed_form() -> None:
    """With covariance of mu and a, the variance is 25 s_mu^2 + 9 s_a^2 + 2 (5) (3) cov in the first bin."""
    model, data = simple()
    covariance = np.zeros((5, 5))
    places = model.parameters.positions(["mu", "a"])
    covariance[np.ix_(places, places)] = [[0.25, -0.3], [-0.3, 0.81]]
    stage = at(model, data, model.parameters.init, covariance)
    signal = stage.channels[1]
    expected = [25 * 0.25 + 9 * 0.81 - 30 * 0.3, 100 * 0.25 + 9 * 0.81 - 60 * 0.3]
    np.testing.assert_allclose(signal.total_uncertainty**2, expected)
    np.testing.assert_allclose(signal.sample_uncertainties["signal"], [2.5, 5.0])
    np.testing.assert_allclose(signal.sample_uncertainties["background"], [2.7, 2.7])
    # of the sums: 15 mu and 6 a
    np.testing.assert_allclose(stage.sums[1].covariance, [[225 * 0.25, -90 * 0.3], [-90 * 0.3, 36 * 0.81]])
    np.testing.assert_allclose(stage.sums[1].correlation, [[1.0, -0.3 / 0.45], [-0.3 / 0.45, 1.0]])
    np.testing.assert_allclose(stage.covariance[1, 2], 50 * 0.25 + 9 * 0.81 - 45 * 0.3)
    np.testing.assert_allclose(signal.pulls, (signal.counts - signal.total) / np.sqrt(signal.total - expected))


def staterrors() -> tuple[HistFactory, Data]:
    """One channel of three bins: signal (5, 5, 5) x mu, background (100, 80, 60) with staterrors of 10, 8 and 9."""
    background = {
        "name": "background",
        "data": [100.0, 80.0, 60.0],
        "modifiers": [
            {"name": "stat", "type": "staterror", "data": [10.0, 8.0, 9.0]},
            {"name": "k", "type": "normfactor", "data": None},
        ],
    }
    signal = {
        "name": "signal",
        "data": [5.0, 20.0, 40.0],
        "modifiers": [{"name": "mu", "type": "normfactor", "data": None}],
    }
    document = {
        "version": "1.0.0",
        "channels": [{"name": "SR", "samples": [signal, background]}],
        "observations": [{"name": "SR", "data": [112.0, 93.0, 108.0]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
    }
    return HistFactory.of(parse_workspace(document, source="staterrors"))


def test_off_diagonal_staterrors() -> None:
    """Regression (B30): a staterror moves its own bin and no other, correlated with all that is fitted.

    The fit correlates the staterrors of different bins. By hand, with signal s, background b and the fit's
    covariance: d nu_i = s_i dmu + b_i (gamma_i dk + k dgamma_i), summed by pairs of parameters with a loop.
    Taking each staterror to move all bins, or leaving out what is off the diagonal, gives something else.
    """
    model, data = staterrors()
    best = fit(model, data)
    stage = yields(model, data, fitted=best).postfit
    mu, k, *gammas = best.parameters.positions(["mu", "k", "stat[0]", "stat[1]", "stat[2]"])
    s, b = np.asarray([5.0, 20.0, 40.0]), np.asarray([100.0, 80.0, 60.0])
    theta, covariance = best.values, best.covariance
    by_hand = np.zeros((3, len(theta)))
    for i in range(3):
        by_hand[i, mu] = s[i]
        by_hand[i, k] = b[i] * theta[gammas[i]]
        by_hand[i, gammas[i]] = b[i] * theta[k]
    expected, only_own, everywhere = np.zeros((3, 3)), np.zeros((3, 3)), np.zeros((3, 3))
    smeared = by_hand.copy()
    smeared[:, gammas] = np.sum(by_hand[:, gammas], axis=1, keepdims=True)
    for p in range(len(theta)):
        for q in range(len(theta)):
            expected += covariance[p, q] * np.outer(by_hand[:, p], by_hand[:, q])
            everywhere += covariance[p, q] * np.outer(smeared[:, p], smeared[:, q])
            if p == q or (p not in gammas and q not in gammas):
                only_own += covariance[p, q] * np.outer(by_hand[:, p], by_hand[:, q])
    np.testing.assert_allclose(stage.covariance, expected, rtol=1e-9)
    np.testing.assert_allclose(stage.channels[0].total_uncertainty, np.sqrt(np.diagonal(expected)), rtol=1e-9)
    assert stage.sums[0].total_uncertainty == pytest.approx(np.sqrt(np.sum(expected)), rel=1e-9)
    for wrong in (only_own, everywhere):
        assert np.min(np.abs(np.diagonal(wrong) / np.diagonal(expected) - 1.0)) > 0.2
        assert np.abs(np.sum(wrong) / np.sum(expected) - 1.0) > 0.2


def test_staterrors_before_the_fit_do_not_correlate_bins() -> None:
    """Each bin has its own: 10, 8 and 9, and nothing off the diagonal."""
    model, data = staterrors()
    prefit = yields(model, data).prefit
    np.testing.assert_allclose(prefit.covariance, np.diag([100.0, 64.0, 81.0]), atol=1e-12)
    assert prefit.sums[0].total_uncertainty == pytest.approx(np.sqrt(245.0))


def test_uncertainty_is_the_spread_of_toys() -> None:
    """J C J^T against the covariance of yields over toys of theta, for strongly correlated parameters.

    The toys are 100 times narrower than C, so that yields are linear.  Each of 30 bins is tested at
    1e-3 / 30: a false alarm once in a thousand seeds.  The typical mistake, leaving out the
    correlations, is tested to fail.  So are the correlations between neighbours, by Fisher's
    z = artanh(r), which has a variance of 1 / (n - 3).
    """
    model, data = read_workspace(WORKSPACES / "measurement.json")
    parameters, n_toys, narrow = model.parameters, 20_000, 0.01
    rng = np.random.default_rng(7)
    scale = np.sqrt(np.diagonal(prefit_covariance(parameters)))
    scale[parameters.position("mu_ttbar")] = 0.1
    mixing = scale[:, None] * rng.normal(size=(len(parameters), len(parameters))) / np.sqrt(len(parameters))
    steps = rng.normal(size=(n_toys, len(parameters))) @ mixing.T
    thrown = jax.jit(jax.vmap(model.expected_main))(jnp.asarray(parameters.init + narrow * steps))
    variances = np.var(np.asarray(thrown), axis=0, ddof=1) / narrow**2
    held = ended(model, data, parameters.init, np.zeros((len(parameters), len(parameters))))

    def stage(covariance: FloatArray) -> StageYields:
        return yields(model, data, fitted=replace(held, covariance=covariance)).postfit

    def smallest_p(covariance: FloatArray) -> float:
        predicted = np.concatenate([c.total_uncertainty for c in stage(covariance).channels])
        x = (n_toys - 1) * variances / predicted**2
        return float(np.min(2.0 * np.minimum(stats.chi2.cdf(x, n_toys - 1), stats.chi2.sf(x, n_toys - 1))))

    covariance = mixing @ mixing.T
    assert smallest_p(covariance) > 1e-3 / variances.size
    assert smallest_p(np.diag(np.diagonal(covariance))) < 1e-9
    seen = np.diagonal(np.corrcoef(np.asarray(thrown), rowvar=False), offset=1)
    z = (np.arctanh(seen) - np.arctanh(np.diagonal(stage(covariance).correlation, offset=1))) * np.sqrt(n_toys - 3)
    assert 2.0 * stats.norm.sf(np.max(np.abs(z))) > 1e-3 / z.size


@pytest.mark.slow
def test_pulls_after_the_fit_are_standard() -> None:
    """Over 200 toys at the best fit, the pulls of every bin have mean 0 and variance 1.

    By Student's t and chi-squared at 1e-3 over 6 tests: a false alarm once in a thousand seeds. The mistake of adding
    the variances, as before the fit, is tested to fail.
    """
    model, data = shapes()
    best = fit(model, data)
    theta = jnp.asarray(best.values)
    n = 200
    pulls, added = [], []
    for key in jax.random.split(jax.random.key(5), n):
        toy = model.sample(theta, key)
        (channel,) = yields(
            model, toy, settings=Settings(start=dict(zip(best.parameters, best.values, strict=True)))
        ).postfit.channels
        pulls.append(channel.pulls)
        added.append((channel.counts - channel.total) / np.sqrt(channel.total + channel.total_uncertainty**2))
    t = np.mean(pulls, axis=0) * np.sqrt(n) / np.std(pulls, axis=0, ddof=1)
    x = (n - 1) * np.var(pulls, axis=0, ddof=1)
    p = np.concatenate(
        [2.0 * stats.t.sf(np.abs(t), n - 1), 2.0 * np.minimum(stats.chi2.cdf(x, n - 1), stats.chi2.sf(x, n - 1))]
    )
    assert np.min(p) > 1e-3 / p.size
    wrong = (n - 1) * np.var(added, axis=0, ddof=1)
    assert np.all(stats.chi2.cdf(wrong, n - 1) < 1e-6)


def shapes() -> tuple[HistFactory, Data]:
    """Three bins of some 1000 events, a free signal, and a slope of the background."""
    slope = {"lo_data": [1100.0, 1000.0, 900.0], "hi_data": [900.0, 1000.0, 1100.0]}
    samples = [
        {
            "name": "signal",
            "data": [20.0, 200.0, 20.0],
            "modifiers": [{"name": "mu", "type": "normfactor", "data": None}],
        },
        {
            "name": "background",
            "data": [1000.0, 1000.0, 1000.0],
            "modifiers": [{"name": "slope", "type": "histosys", "data": slope}],
        },
    ]
    document = {
        "version": "1.0.0",
        "channels": [{"name": "SR", "samples": samples}],
        "observations": [{"name": "SR", "data": [1020.0, 1200.0, 1020.0]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
    }
    return HistFactory.of(parse_workspace(document, source="shapes"))


@pytest.mark.parametrize(("rho", "expected"), [(1.0, 7.0), (0.5, np.sqrt(9 + 16 + 12)), (-0.5, np.sqrt(9 + 16 - 12))])
def test_correlated_parameters_add_up_as_declared(rho: float, expected: float) -> None:
    """Shifts of 3 and 4 make 7 where they are one parameter, and the cosine rule between."""
    model, data = simple()
    alone = Fixed(model, {"own[0]": 1.0, "own[1]": 1.0})
    tied = Correlated(alone, ["a", "b"], rho=rho)
    signal = yields(tied, tied.data(data)).prefit.channels[1]
    np.testing.assert_allclose(signal.total_uncertainty, [expected, expected])


def test_combination_has_the_channels_of_all_components() -> None:
    """Channels carry their component's name; a shared parameter acts in both; other kinds are named and passed over."""
    model, data = simple()
    second = Redeclared(Renamed(model, {"b": "c", "own[0]": "mine[0]", "own[1]": "mine[1]"}), [])
    third, masses = combine_measurements([Measured("A", 1.0, 0.1, "mu")], observables=[model.parameters["mu"]])
    both = Product(first=model, second=second, third=third)
    joint = both.data(first=data, second=data, third=masses)
    theta = both.parameters.vector({"mu": 3.0, "c": 1.0})
    found = by_name(at(both, joint, theta, prefit_covariance(both.parameters), poi="mu"))
    assert list(found) == ["first/CR", "first/SR", "second/CR", "second/SR"]
    np.testing.assert_allclose(found["first/SR"].total, [65.0, 90.0])
    np.testing.assert_allclose(found["second/SR"].total, [69.0, 94.0])
    assert found["second/SR"].signals == ("signal",)
    record = yields(both, joint)
    assert record.notices[-1] == "without events to count, and passed over: third"
    # a moves the CR of both components, by 10 each
    control = record.prefit.channel_covariance[np.ix_([0, 2], [0, 2])]
    np.testing.assert_allclose(control, [[100.0, 100.0], [100.0, 100.0]])


@pytest.mark.slow
def test_parametric_likelihoods_have_yields() -> None:
    """All events of an unbinned likelihood are one bin, with the components as samples."""
    model, data = read_workspace(WORKSPACES / "peak.json")
    record = yields(model, data)
    (channel,) = record.postfit.channels
    assert channel.total == pytest.approx(channel.counts, rel=1e-6)  # an extended fit expects what it saw
    assert record.postfit.sums[0].samples == tuple(channel.samples)
    assert "all events" in record.table()


def test_record_has_both_sides_of_a_fit() -> None:
    """Before the fit at the declared start values whatever the fit started from; held parameters are held in both."""
    model, data = simple()
    record = yields(model, data, settings=Settings(start={"mu": 3.0}, fixed={"a": 1.0}))
    assert [c.name for c in record.prefit.channels] == [c.name for c in record.postfit.channels]
    np.testing.assert_allclose(record.prefit.channels[1].samples["signal"], [5.0, 10.0])
    np.testing.assert_allclose(record.prefit.channels[0].total, [210.0])
    np.testing.assert_allclose(record.postfit.channels[0].total, [210.0])
    assert record.prefit.channels[0].total_uncertainty == 0.0
    assert record.postfit.channels[0].total_uncertainty == 0.0
    assert record.fit.poi == "mu"


def test_fixed_parameters_have_no_uncertainty() -> None:
    """Neither a fixed parameter nor its correlations count before the fit."""
    model, _ = simple()
    held = Fixed(Correlated(model, ["a", "b"], rho=0.5), {"a": 0.0})
    covariance = prefit_covariance(held.parameters)
    a, b = held.parameters.positions(["a", "b"])
    assert np.all(covariance[a] == 0.0)
    assert np.all(covariance[:, a] == 0.0)
    assert covariance[b, b] == 1.0


def test_parameters_at_a_bound_are_held_and_named() -> None:
    """With few events, mu ends at its bound of zero, where the fit has no covariance of it."""
    model, data = simple()
    few = Data(jnp.asarray([200.0, 40.0, 50.0]), data.aux)
    record = yields(model, few)
    assert record.fit.certificate.at_bound == ("mu",)
    np.testing.assert_allclose(record.postfit.channels[1].sample_uncertainties["signal"], [0.0, 0.0])
    assert any(notice.startswith("held at a bound") and notice.endswith("mu") for notice in record.notices)


def test_refuses_what_does_not_fit() -> None:
    """Counts of the wrong number, likelihoods that count nothing, unknown parameters."""
    model, data = simple()
    with pytest.raises(DataError, match="3 counts"):
        yields(model, Data(data.main[:2], data.aux))
    with pytest.raises(ParameterError, match="unknown parameter"):
        yields(model, data, poi="nu")
    measured, masses = combine_measurements([Measured("A", 1.0, 0.1, "mu")], observables=[model.parameters["mu"]])
    assert counted(measured, masses) == ()
    with pytest.raises(ParameterError, match="counts no events"):
        yields(measured, masses)


def test_a_failed_fit_passes_through() -> None:
    """NaN are no JSON, and become null; the table says that the fit is not trustworthy."""
    model, data = simple()
    lost = ended(model, data, model.parameters.init, np.full((5, 5), np.nan))
    lost = replace(lost, certificate=replace(lost.certificate, converged=False, message="out of steps"))
    record = yields(model, data, fitted=lost)
    assert np.all(np.isnan(record.postfit.channels[1].total_uncertainty))
    assert json.loads(json.dumps(record.to_json_dict(), allow_nan=False))["postfit"]["covariance"][0] == [None] * 3
    assert "not converged" in record.table()
    np.testing.assert_allclose(record.prefit.channels[0].total, [200.0])


def test_parameter_of_interest_may_be_chosen() -> None:
    """The signals are the samples that it moves."""
    model, data = simple()
    control, signal = yields(model, data, poi="a").postfit.channels
    assert (control.signals, signal.signals) == (("background",), ("background",))


def test_json_is_the_record() -> None:
    """Keys, order of bins, and numbers of the JSON object; it survives the way through text."""
    model, data = simple()
    record = yields(model, data)
    found: dict[str, Any] = json.loads(json.dumps(record.to_json_dict(), allow_nan=False))
    assert set(found) == {"poi", "observed", "bins", "prefit", "postfit", "notices", "fit", "seconds"}
    assert found["bins"] == [["CR", 0], ["SR", 0], ["SR", 1]]
    assert found["observed"] == {"CR": [190.0], "SR": [58.0, 66.0]}
    stage = found["postfit"]
    assert set(stage) == {"channels", "overall", "covariance", "channel_covariance"}
    channel = stage["channels"]["SR"]
    assert set(channel) == {"samples", "total", "ratio", "pulls", "signals", "sums"}
    assert channel["total"]["values"] == record.postfit.channels[1].total.tolist()
    assert channel["sums"]["total"]["uncertainty"] == record.postfit.sums[1].total_uncertainty
    np.testing.assert_allclose(np.sqrt(np.diagonal(stage["covariance"])[1:]), channel["total"]["uncertainties"])


def test_tables() -> None:
    """One block for each channel and one for all; a row for each bin."""
    model, data = simple()
    record = yields(model, data)
    lines = record.table().splitlines()
    assert sum("pre-fit" in line for line in lines) == 3
    assert [line.split() for line in lines if line.startswith("  data")] == [
        ["data", n, n] for n in ("190", "124", "314")
    ]
    assert [line.split()[0] for line in record.bin_table().splitlines()[1:]] == ["CR[0]", "SR[0]", "SR[1]"]
    assert isinstance(record, Yields)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["agc_ttbar", "atlas_tttt"])
def test_published_likelihoods(likelihoods: Path, name: str) -> None:
    """Within three seconds once compiled; the post-fit total is what the fit expects, less uncertain than before it.

    A fit with a free normalisation expects as many events as it saw, to a fraction of their Poisson uncertainty.
    """
    model, data = read_workspace(likelihoods / f"{name}.json")
    best = fit(model, data)
    yields(model, data, fitted=best)
    began = time.perf_counter()
    record = yields(model, data, fitted=best)
    assert time.perf_counter() - began < 3.0
    total = np.concatenate([c.total for c in record.postfit.channels])
    np.testing.assert_allclose(total, np.asarray(model.expected_main(jnp.asarray(best.values))), rtol=1e-9)
    overall = record.postfit.overall
    assert abs(overall.total - overall.observed) < np.sqrt(overall.observed)
    assert 0.5 < overall.total_uncertainty / np.sqrt(overall.observed) < 1.1
    assert overall.total_uncertainty < record.prefit.overall.total_uncertainty
