"""Rates with their uncertainty: closed forms, toys of the parameters, and likelihoods inside likelihoods."""

from __future__ import annotations

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
from infer.errors import DataError
from infer.likelihood import Correlated, Fixed, Product, Renamed
from infer.likelihoods.gaussian import Measured, combine_measurements
from infer.likelihoods.histfactory.model import HistFactory
from infer.likelihoods.histfactory.rates import channel_rates, prefit_covariance, rates_record
from infer.likelihoods.histfactory.spec import parse_workspace

FloatArray = npt.NDArray[np.float64]

WORKSPACES = Path(__file__).parents[3] / "workspaces"


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


def test_records_hold_the_model() -> None:
    """Samples are the model's entries, the total its expected data, the counts those of the workspace."""
    model, data = simple()
    theta = model.parameters.vector({"mu": 2.0, "a": -0.5})
    control, signal = channel_rates(model, theta, np.zeros((5, 5)), data.main)
    assert (control.name, signal.name) == ("CR", "SR")
    np.testing.assert_allclose(control.samples["background"], [195.0])
    np.testing.assert_allclose(signal.samples["signal"], [10.0, 20.0])
    np.testing.assert_allclose(signal.samples["background"], [48.5, 58.5])
    together = np.concatenate([control.total, signal.total])
    np.testing.assert_allclose(together, model.expected_main(jnp.asarray(theta)))
    assert signal.counts.tolist() == [58.0, 66.0]
    assert signal.total_uncertainty.tolist() == [0.0, 0.0]
    assert (control.signals, signal.signals) == ((), ("signal",))


def test_uncertainty_before_the_fit_in_closed_form() -> None:
    """Shifts of 3 and 4 and the bin's own 5 or 12 add up in quadrature; the free mu adds nothing."""
    model, data = simple()
    control, signal = channel_rates(model, model.parameters.init, prefit_covariance(model.parameters), data.main)
    np.testing.assert_allclose(signal.total_uncertainty, [np.hypot(5.0, 5.0), np.hypot(5.0, 12.0)])
    np.testing.assert_allclose(control.total_uncertainty, [10.0])


def test_uncertainty_after_the_fit_in_closed_form() -> None:
    """With covariance of mu and a, the variance is 25 s_mu^2 + 9 s_a^2 + 2 (5) (3) cov in the first bin."""
    model, data = simple()
    covariance = np.zeros((5, 5))
    at = model.parameters.positions(["mu", "a"])
    covariance[np.ix_(at, at)] = [[0.25, -0.3], [-0.3, 0.81]]
    _, signal = channel_rates(model, model.parameters.init, covariance, data.main)
    expected = [25 * 0.25 + 9 * 0.81 - 30 * 0.3, 100 * 0.25 + 9 * 0.81 - 60 * 0.3]
    np.testing.assert_allclose(signal.total_uncertainty**2, expected)


def test_uncertainty_is_the_spread_of_toys() -> None:
    """J C J^T against the variance of rates over toys of theta, for strongly correlated parameters.

    The toys are 100 times narrower than C, so that rates are linear.  Each of 30 bins is tested at
    1e-3 / 30: a false alarm once in a thousand seeds.  The typical mistake, leaving out the
    correlations, is tested to fail.
    """
    model, data = read_workspace(WORKSPACES / "measurement.json")
    parameters, n_toys, narrow = model.parameters, 20_000, 0.01
    rng = np.random.default_rng(7)
    scale = np.sqrt(np.diagonal(prefit_covariance(parameters)))
    scale[parameters.position("mu_ttbar")] = 0.1
    mixing = scale[:, None] * rng.normal(size=(len(parameters), len(parameters))) / np.sqrt(len(parameters))
    steps = rng.normal(size=(n_toys, len(parameters))) @ mixing.T
    rates = jax.jit(jax.vmap(model.expected_main))(jnp.asarray(parameters.init + narrow * steps))
    variances = np.var(np.asarray(rates), axis=0, ddof=1) / narrow**2

    def smallest_p(covariance: FloatArray) -> float:
        channels = channel_rates(model, parameters.init, covariance, data.main)
        predicted = np.concatenate([c.total_uncertainty for c in channels])
        x = (n_toys - 1) * variances / predicted**2
        return float(np.min(2.0 * np.minimum(stats.chi2.cdf(x, n_toys - 1), stats.chi2.sf(x, n_toys - 1))))

    covariance = mixing @ mixing.T
    assert smallest_p(covariance) > 1e-3 / variances.size
    assert smallest_p(np.diag(np.diagonal(covariance))) < 1e-9


@pytest.mark.parametrize(("rho", "expected"), [(1.0, 7.0), (0.5, np.sqrt(9 + 16 + 12)), (-0.5, np.sqrt(9 + 16 - 12))])
def test_correlated_parameters_add_up_as_declared(rho: float, expected: float) -> None:
    """Shifts of 3 and 4 make 7 where they are one parameter, and the cosine rule between."""
    model, data = simple()
    alone = Fixed(model, {"own[0]": 1.0, "own[1]": 1.0})
    tied = Correlated(alone, ["a", "b"], rho=rho)
    covariance = prefit_covariance(tied.parameters)
    _, signal = channel_rates(tied, tied.parameters.init, covariance, tied.data(data).main)
    np.testing.assert_allclose(signal.total_uncertainty, [expected, expected])


def test_combination_has_the_channels_of_all_components() -> None:
    """Channels carry their component's name; a shared parameter acts in both; other kinds are passed over."""
    model, data = simple()
    second = Renamed(model, {"b": "c", "own[0]": "mine[0]", "own[1]": "mine[1]"})
    third, masses = combine_measurements([Measured("A", 1.0, 0.1, "mu")], observables=[model.parameters["mu"]])
    both = Product(first=model, second=second, third=third)
    main = both.data(first=data, second=data, third=masses).main
    theta = both.parameters.vector({"mu": 3.0, "c": 1.0})
    rates = {c.name: c for c in channel_rates(both, theta, prefit_covariance(both.parameters), main, poi="mu")}
    assert list(rates) == ["first/CR", "first/SR", "second/CR", "second/SR"]
    np.testing.assert_allclose(rates["first/SR"].total, [65.0, 90.0])
    np.testing.assert_allclose(rates["second/SR"].total, [69.0, 94.0])
    assert rates["second/SR"].signals == ("signal",)


def test_record_has_both_sides_of_a_fit() -> None:
    """Before the fit at the start values, after it at the given ones; channels in one order."""
    model, data = simple()
    values = model.parameters.vector({"mu": 0.0})
    record = rates_record(model, data.main, values=values, covariance=np.eye(5))
    assert [c.name for c in record.prefit] == [c.name for c in record.postfit]
    np.testing.assert_allclose(record.prefit[1].samples["signal"], [5.0, 10.0])
    np.testing.assert_allclose(record.postfit[1].samples["signal"], [0.0, 0.0])
    assert record.postfit[1].signals == ("signal",)


def test_fixed_parameters_have_no_uncertainty() -> None:
    """Neither a fixed parameter nor its correlations count before the fit."""
    model, _ = simple()
    held = Fixed(Correlated(model, ["a", "b"], rho=0.5), {"a": 0.0})
    covariance = prefit_covariance(held.parameters)
    a, b = held.parameters.positions(["a", "b"])
    assert np.all(covariance[a] == 0.0)
    assert np.all(covariance[:, a] == 0.0)
    assert covariance[b, b] == 1.0


def test_refuses_what_does_not_fit() -> None:
    """Counts of the wrong number are the model's own error; a failed fit's NaN pass through."""
    model, data = simple()
    with pytest.raises(DataError, match="3 counts"):
        channel_rates(model, model.parameters.init, np.eye(5), data.main[:2])
    _, signal = channel_rates(model, np.full(5, np.nan), np.eye(5), data.main)
    assert np.all(np.isnan(signal.total))


def test_parameter_of_interest_may_be_chosen() -> None:
    """The signals are the samples that it moves."""
    model, data = simple()
    control, signal = channel_rates(model, model.parameters.init, np.eye(5), data.main, poi="a")
    assert (control.signals, signal.signals) == (("background",), ("background",))
