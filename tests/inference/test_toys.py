"""Toys: moments in closed form, pulls, numbers that do not depend on how they were computed, and failures."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest
from scipy import stats

from infer.errors import ParameterError
from infer.inference.campaigns import Run
from infer.inference.ensembles import Ensemble
from infer.inference.fits import Settings
from infer.inference.minimize import Newton
from infer.inference.toys import Toys, reproduce, toys
from tests.contract.zscores import FALSE_ALARM, limit, mean_deviation, pull_deviation, variance_deviation
from tests.inference.problems import without_aux
from tests.inference.toy_problems import (
    SIGMA,
    WIDTH,
    Fragile,
    bins,
    campaign_of,
    count,
    gaussian,
    thrown,
    uncertain_count,
)

X, AUX_SEEN = 3.0, 0.4  # observed, see `gaussian`
N = 20_000
BOTH = float(np.hypot(SIGMA, WIDTH))


def of_gaussian(ensemble: Ensemble | None = None, value: float | None = 1.0, n_toys: int = N) -> Toys:
    """Toys of the Gaussian model."""
    likelihood, data = gaussian(X, AUX_SEEN)
    return toys(likelihood, data, key=jax.random.key(7), n_toys=n_toys, poi="mu", value=value, ensemble=ensemble)


# ---------------------------------------------------------------------------------------------- moments


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ensemble", "shift", "std"),
    [
        (Ensemble(), 0.0, BOTH),
        (Ensemble(aux="observed"), 0.0, SIGMA),
        (Ensemble("nominal", "observed"), -AUX_SEEN, SIGMA),
        (Ensemble("nominal"), 0.0, BOTH),
        (Ensemble(aux="observed", truth={"nu": -1.0}), -1.0 - AUX_SEEN, SIGMA),
        (Ensemble(truth={"nu": -1.0}), 0.0, BOTH),
        (Ensemble("profiled", "observed"), WIDTH**2 / BOTH**2 * (X - 1.0 - AUX_SEEN), SIGMA),
        (Ensemble("drawn", "observed"), 0.0, BOTH),
        (Ensemble("drawn"), 0.0, BOTH),
    ],
    ids=lambda x: " ".join([x.nuisance, x.aux, *x.truth]) if isinstance(x, Ensemble) else "",
)
def test_estimates_have_the_moments_of_their_ensemble(ensemble: Ensemble, shift: float, std: float) -> None:
    """mu_hat = x + 100 - a, over 20000 toys (false-alarm rate 2e-4); auxiliary data fluctuate, or not, by name (B26).

    With fluctuating a its variance is 1/4 + 1.44 wherever nu is.  With a as observed it is 1/4, and the mean
    is off by nu - a; where nu itself is drawn from N(a, 1.2), the two add up again.
    """
    found = of_gaussian(ensemble)
    values, mean = found.values[:, None], np.full(1, 1.0 + shift)
    checks = (mean_deviation(values, mean), variance_deviation(values, mean, np.full(1, std**2)))
    for worst, allowed in checks:
        assert worst < allowed
    assert found.n_failed == found.n_migrad == 0
    assert found.mean == pytest.approx(values.mean(), rel=1e-12)
    assert found.std == pytest.approx(values.std(ddof=1), rel=1e-12)
    worst, allowed = variance_deviation(values, mean, np.full(1, 1.1 * std**2))
    assert worst > allowed  # a variance that is ten per cent off is noticed


@pytest.mark.slow
def test_truth_is_the_best_fit_unless_one_is_given() -> None:
    """Without a value toys come from mu = x - a = 2.6; the truths of all parameters are reported."""
    found = of_gaussian(value=None, n_toys=100)
    assert found.truth == pytest.approx(2.6, abs=1e-6)
    assert found.parameters_truth == pytest.approx({"mu": 2.6, "nu": AUX_SEEN}, abs=1e-6)
    assert np.all(found.columns["truth"] == found.truth)
    assert of_gaussian(value=-7.0, n_toys=10).truth == -7.0


# ------------------------------------------------------------------------------------------------ pulls


@pytest.mark.parametrize("ensemble", [Ensemble(), Ensemble("drawn", "observed")], ids=["repeated", "drawn"])
def test_pulls_of_a_gaussian_are_standard_normal(ensemble: Ensemble) -> None:
    """Exact tests of mean, width and shape (false-alarm rate 1e-4); the recorded pulls are the same numbers."""
    found = of_gaussian(ensemble)
    worst, allowed = pull_deviation(found.toy_pulls[:, None])
    assert worst < allowed
    assert found.pulls["mu"].n == N
    assert found.pulls["mu"].mean == pytest.approx(found.toy_pulls.mean(), abs=1e-9)
    assert found.pulls["mu"].std == pytest.approx(found.toy_pulls.std(ddof=1), rel=1e-9)


def test_pulls_of_every_parameter() -> None:
    """nu_hat = a: its pull is standard normal too, tested by mean and chi-square of its width (rate 2e-4)."""
    pull = of_gaussian().pulls["nu"]
    assert abs(pull.mean) * np.sqrt(N) < limit(1)
    squares = (N - 1) * pull.std**2
    assert 2.0 * min(stats.chi2.sf(squares, N - 1), stats.chi2.cdf(squares, N - 1)) > FALSE_ALARM


@pytest.mark.parametrize(
    "ensemble", [Ensemble(aux="observed"), Ensemble("nominal", "observed")], ids=["too narrow", "shifted"]
)
def test_pulls_of_a_conditional_ensemble_are_not(ensemble: Ensemble) -> None:
    """With a kept as observed they have a width of 0.5 / 1.3, and are shifted where nu is not a: that is noticed."""
    found = of_gaussian(ensemble, n_toys=500)
    worst, allowed = pull_deviation(found.toy_pulls[:, None])
    assert worst > allowed
    assert found.pulls["mu"].std == pytest.approx(SIGMA / BOTH, rel=0.15)


@pytest.mark.slow
def test_parameters_without_a_pull_have_none() -> None:
    """Fixed ones are left out; estimates at a bound do not count."""
    likelihood, data = count(3.0)
    found = toys(likelihood, data, key=jax.random.key(0), n_toys=500, value=0.0)
    assert set(found.pulls) == {"mu"}
    campaign, _ = campaign_of(likelihood, data, value=0.0)
    at_bound = int(np.sum(thrown(campaign, 500).data.main < 3.0))
    assert int(np.sum(found.columns["at_bound"])) == at_bound
    assert np.all(found.columns["value"][found.columns["at_bound"]] == 0.0)
    assert found.pulls["mu"].n == found.n - at_bound
    assert found.toy_pulls.size == np.sum(found.columns["sigma"] > 0.0)


# ----------------------------------------------------------------------------------------- independence


@pytest.mark.slow
def test_a_toy_does_not_depend_on_how_many_there_are() -> None:
    """The first 40 of 300 toys are those of 40, cut into chunks of 7 or into none; bit by bit."""
    likelihood, data = bins()

    def rows(n_toys: int, chunk: int | None) -> Toys:
        return toys(likelihood, data, key=jax.random.key(1), n_toys=n_toys, poi="mu", value=1.3, run=Run(chunk=chunk))

    whole = rows(300, None)
    assert whole.columns["index"].tolist() == list(range(300))
    for part in (rows(40, None), rows(40, 7)):
        for name, column in part.columns.items():
            np.testing.assert_array_equal(column, whole.columns[name][:40], err_msg=name)
    for name, pull in rows(300, 64).pulls.items():
        assert pull.n == whole.pulls[name].n
        assert pull.mean == pytest.approx(whole.pulls[name].mean, abs=1e-12)
        assert pull.std == pytest.approx(whole.pulls[name].std, rel=1e-12)


def test_chunks_in_any_order_are_the_same() -> None:
    """A chunk is a function of its number: computed backwards, twice or alone, it holds the same toys."""
    campaign, _ = campaign_of(*bins(), poi="mu", n_toys=12)
    forwards = campaign.table(0, np.arange(12))
    for part in (np.asarray([11, 3, 5]), np.asarray([0]), np.arange(6, 12)):
        again = campaign.table(0, np.sort(part))
        np.testing.assert_array_equal(again["value"], forwards["value"][np.sort(part)])
        np.testing.assert_array_equal(again["index"], np.sort(part))


def test_another_key_is_another_experiment() -> None:
    """No toy of one key is a toy of another."""
    likelihood, data = gaussian()
    one, other = (toys(likelihood, data, key=jax.random.key(k), n_toys=50, poi="mu") for k in (1, 2))
    assert not np.any(np.isin(one.values, other.values))


@pytest.mark.parametrize("index", [0, 17, 300])
def test_reproduce_refits_a_toy(index: int) -> None:
    """The data are those of the toy, and the full fit ends where the toy's did, to a thousandth of sigma."""
    settings = Settings(fixed={"kappa": 1.02})
    campaign, best = campaign_of(*bins(), poi="mu", value=2.0, settings=settings)
    row = campaign.table(0, np.asarray([index]))
    data, again = reproduce(campaign, best, settings, index)
    assert again.certificate.converged
    assert again.value("kappa") == 1.02
    assert again.value("mu") == pytest.approx(row["value"][0], abs=1e-3 * row["sigma"][0])
    assert again.uncertainty("mu") == pytest.approx(row["sigma"][0], rel=1e-3)
    assert again.twice_nll == pytest.approx(row["twice_nll"][0], abs=1e-7)
    if index < 50:
        np.testing.assert_array_equal(data.main, thrown(campaign, 50).data.main[index])


def test_reproduce_keeps_to_the_analysis() -> None:
    """Toys of another truth of a fixed parameter are refitted with the value that the analysis holds."""
    settings = Settings(fixed={"nu": 0.0})
    campaign, best = campaign_of(
        *gaussian(), poi="mu", value=1.0, ensemble=Ensemble(truth={"nu": 5.0}), settings=settings
    )
    _, again = reproduce(campaign, best, settings, 3)
    assert again.value("mu") == pytest.approx(campaign.table(0, np.asarray([3]))["value"][0], abs=1e-6)
    assert again.value("mu") == pytest.approx(6.0, abs=5.0 * SIGMA)


# --------------------------------------------------------------------------------------------- failures


@pytest.mark.slow
def test_toys_that_newton_cannot_fit_are_fitted_by_migrad_and_counted() -> None:
    """With two steps of Newton all toys need MIGRAD; their estimates are the usual ones, and none is lost."""
    likelihood, data = bins()

    def found(solver: Newton) -> Toys:
        settings = Settings(solver=solver)
        return toys(likelihood, data, key=jax.random.key(1), n_toys=10, poi="mu", settings=settings)

    usual, rescued = found(Newton()), found(Newton(max_steps=2))
    assert (usual.n_migrad, rescued.n_migrad) == (0, 10)
    assert rescued.n_failed == 0
    np.testing.assert_allclose(rescued.columns["value"], usual.columns["value"], atol=1e-3)
    assert "10 needed MIGRAD" in str(rescued)


def test_toys_that_no_engine_can_fit_are_counted_and_known() -> None:
    """Toys without a likelihood (x > 1.2) or without a smooth minimum (x < -1.2) are failed, with their numbers.

    All toys keep their rows; means and pulls are those of the others.
    """
    likelihood, data = Fragile(), without_aux([0.0])
    settings = Settings(solver=Newton(max_steps=30))
    found = toys(likelihood, data, key=jax.random.key(3), n_toys=24, value=0.0, settings=settings)
    campaign, _ = campaign_of(likelihood, data, value=0.0, seed=3)
    x = thrown(campaign, 24).data.main[:, 0]
    expected = np.flatnonzero(np.abs(x) > 1.2)
    assert np.any(x > 1.2)
    assert np.any(x < -1.2)
    assert found.failed.tolist() == expected.tolist()
    assert found.n == found.columns["index"].size == 24
    np.testing.assert_allclose(found.values, x[np.abs(x) <= 1.2], atol=1e-6)
    assert found.pulls["theta"].n == 24 - expected.size
    assert np.all(np.isfinite([found.mean, found.std]))
    assert f"{expected.size} not converged" in str(found)
    assert f"not converged: {expected[0]}, " in str(found)
    record = found.to_json_dict()
    assert record["failed"] == expected.tolist()
    json.dumps(record, allow_nan=False)


def test_nothing_but_failures() -> None:
    """Where every toy fails there are no moments, but a record that says so."""
    likelihood, data = Fragile(), without_aux([0.0])
    settings = Settings(solver=Newton(max_steps=30))
    found = toys(likelihood, data, key=jax.random.key(3), n_toys=3, value=30.0, settings=settings)
    assert found.n_failed == 3
    record = found.to_json_dict()
    json.dumps(record, allow_nan=False)
    assert record["mean"] is record["std"] is record["pull_std"] is None
    assert found.pulls == {}
    assert "3 not converged" in found.table()


# ---------------------------------------------------------------------------------------------- records


def test_record() -> None:
    """JSON with the documented keys, and a table with a row for each pull."""
    found = of_gaussian(n_toys=50)
    record = found.to_json_dict()
    json.dumps(record, allow_nan=False)
    assert set(record) == {
        "poi",
        "truth",
        "n",
        "n_failed",
        "failed",
        "n_migrad",
        "n_at_bound",
        "seconds_compile",
        "seconds",
        "chunk",
        "chunk_bytes",
        "toys_per_second",
        "mean",
        "std",
        "pull_mean",
        "pull_std",
        "pulls",
        "parameters_truth",
    }
    assert set(record["pulls"]) == {"mu", "nu"}
    lines = found.table().splitlines()
    assert lines[0].startswith("mu: mean ")
    assert sum(line.startswith("  ") for line in lines) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_toys": 0}, "expected at least one toy, got 0"),
        ({"poi": "muu"}, "unknown parameter 'muu'; did you mean 'mu'"),
        ({"value": 51.0}, r"the truth of 'mu' must lie within its bounds \(-10, 50\), got 51"),
        ({"settings": Settings(fixed={"mu": 1.0})}, "parameter 'mu' is fixed, so that toys say nothing about it"),
        ({"poi": "lumi"}, "parameter 'lumi' is fixed"),
        ({"ensemble": Ensemble(truth={"mu": 1.0})}, "'mu' is the parameter of interest"),
    ],
    ids=["no toys", "unknown", "outside", "held", "fixed", "of interest"],
)
def test_impossible_requests_are_refused(options: dict[str, object], words: str) -> None:
    """Before any toy is drawn, with the name and the value in the message."""
    likelihood, data = uncertain_count(25.0)
    with pytest.raises(ParameterError, match=words):
        toys(likelihood, data, key=jax.random.key(0), **options)  # type: ignore[arg-type]


def test_a_parameter_of_interest_is_needed() -> None:
    """A likelihood that declares none wants one to be named."""
    with pytest.raises(ParameterError, match=r"no parameter of interest: the likelihood declares none, so name one"):
        toys(*gaussian(), key=jax.random.key(0))
