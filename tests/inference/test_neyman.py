"""Neyman's construction: p-values against exact sums, the intervals of Feldman and Cousins, and failures."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy import stats

from infer.errors import ParameterError, UntrustworthyError
from infer.inference.campaigns import Run
from infer.inference.ensembles import Ensemble
from infer.inference.experiments import Experiment, PValue
from infer.inference.fits import Settings
from infer.inference.minimize import Newton
from infer.inference.neyman import NeymanInterval, critical_values, neyman, p_value
from infer.inference.profiles import ONE_SIGMA
from infer.numerics.binomial import two_sided_p_value
from tests.contract.zscores import FALSE_ALARM
from tests.inference.problems import without_aux
from tests.inference.toy_problems import (
    Fragile,
    Wells,
    count,
    exact_p,
    gaussian,
    poisson_t,
    unified_interval,
)

B = 3.0  # known background of the counts here
COUNTS = np.arange(150.0)


def agrees(found: PValue, p: float, tests: int = 1) -> bool:
    """Whether a p-value by toys agrees with the exact one (false-alarm rate 1e-4 over so many tests)."""
    return two_sided_p_value(found.n_above, found.n, p) > FALSE_ALARM / tests


def naive_statistic(name: str, mu: float, n: np.ndarray, lowest: float) -> np.ndarray:
    """Statistics of counts with mean mu + 3 and an estimate that stops at ``lowest``."""
    best = np.maximum(n - B, lowest)

    def twice_nll(x: np.ndarray | float) -> np.ndarray:
        nu = np.asarray(x + B)
        return np.asarray(2.0 * (nu - n * np.log(nu)))

    ratio = np.maximum(twice_nll(mu) - twice_nll(best), 0.0)
    if name == "q_0":
        return np.where(best >= 0.0, ratio, 0.0)
    if name == "q_mu_tilde":
        ratio = np.where(best < 0.0, twice_nll(mu) - twice_nll(0.0), ratio)
    return ratio if name == "t_mu" else np.where(best <= mu, ratio, 0.0)


# ---------------------------------------------------------------------------------------------- p-values


@pytest.mark.slow
@pytest.mark.parametrize("n", [4.0, 7.0, 10.0])
def test_p_value_of_q_0_is_the_poisson_tail(n: float) -> None:
    """P(N >= n) for a mean of 3: 0.353, 0.034 and 0.0011 (false-alarm rate 1e-4)."""
    found = p_value(*count(n, bounds=(-2.5, 60.0)), key=jax.random.key(1), value=0.0, statistic="q_0", n_toys=20_000)
    exact = float(stats.poisson.sf(n - 1.0, B))
    assert agrees(found, exact)
    assert not agrees(found, 2.5 * exact)
    assert found.observed == pytest.approx(float(poisson_t(0.0, n, 1.0, B)), abs=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("statistic", ["t_mu", "q_mu", "q_mu_tilde"])
@pytest.mark.parametrize(("n", "mu"), [(1.0, 2.0), (3.0, 4.0), (6.0, 3.5), (6.0, 1.0)])
@pytest.mark.parametrize("lowest", [0.0, -2.5], ids=["bounded", "below zero"])
def test_p_values_are_exact_sums(statistic: str, n: float, mu: float, lowest: float) -> None:
    """The sum of probabilities of all counts whose statistic is at least that of the data (1e-4 each)."""
    found = p_value(*count(n, bounds=(lowest, 60.0)), key=jax.random.key(2), value=mu, statistic=statistic, n_toys=4000)
    t = naive_statistic(statistic, mu, COUNTS, lowest)
    seen = naive_statistic(statistic, mu, np.asarray([n]), lowest)[0]
    exact = float(np.sum(stats.poisson.pmf(COUNTS, mu + B)[t >= seen - 1e-9]))
    assert found.observed == pytest.approx(seen, abs=1e-7)
    assert agrees(found, min(exact, 1.0))


def test_toys_may_come_from_another_truth() -> None:
    """Tested at mu = 4 with toys of the background alone: P(N <= 1 | 3) = 0.199 (false-alarm rate 1e-4)."""
    found = p_value(*count(1.0), key=jax.random.key(1), value=4.0, truth=0.0, n_toys=4000)
    t = naive_statistic("q_mu_tilde", 4.0, COUNTS, 0.0)
    exact = float(np.sum(stats.poisson.pmf(COUNTS, B)[t >= t[1] - 1e-9]))
    assert exact == pytest.approx(0.1991, abs=1e-4)
    assert agrees(found, exact)


@pytest.mark.slow
@pytest.mark.parametrize("mu", [0.5, 4.0])
def test_p_values_of_a_gaussian_are_those_of_chi_square(mu: float) -> None:
    """With a nuisance parameter, t_mu is (mu - mu_hat)^2 / 1.69, distributed as chi-square of one (1e-4 each).

    With a kept as observed it is not: the toys' estimates scatter by 0.5 instead of 1.3.
    """
    likelihood, data = gaussian(3.0, 0.4)
    t = (mu - 2.6) ** 2 / 1.69
    found = p_value(likelihood, data, key=jax.random.key(4), value=mu, statistic="t_mu", n_toys=8000, poi="mu")
    assert found.observed == pytest.approx(t, abs=1e-7)
    exact = float(stats.chi2.sf(t, 1))
    assert agrees(found, exact)
    kept = p_value(
        likelihood,
        data,
        key=jax.random.key(4),
        value=mu,
        statistic="t_mu",
        n_toys=2000,
        poi="mu",
        ensemble=Ensemble("best-fit", "observed"),
    )
    assert not agrees(kept, exact)


@pytest.mark.slow
def test_more_toys_continue_the_first() -> None:
    """Toys 0 to 99 and 100 to 199 together are toys 0 to 199."""
    experiment = Experiment.of(*count(5.0), poi=None, statistic="t_mu", ensemble=None, settings=None, run=None)
    key = jax.random.key(0)
    (first,), (second,) = (experiment.p_values([4.0], key, 100, [begin]) for begin in (0, 100))
    (both,) = experiment.p_values([4.0], key, 200, [0])
    assert first.n_above + second.n_above == both.n_above
    assert first.n_above != second.n_above


# ---------------------------------------------------------------------------------------------- failures


@pytest.mark.slow
def test_failed_toys_widen_the_bounds() -> None:
    """Toys with |x| > 1.2 fail and could lie on either side: the p-value is that of the others, its bounds are not.

    x = 0.5 is passed by |N(0, 1)| with probability 0.617; among toys with |x| < 1.2 by a share of 0.503.
    """
    settings = Settings(solver=Newton(max_steps=30))
    found = p_value(
        Fragile(),
        without_aux([0.5]),
        key=jax.random.key(6),
        value=0.0,
        statistic="t_mu",
        n_toys=60,
        ensemble=Ensemble("nominal"),
        settings=settings,
    )
    assert 5 <= found.n_failed <= 30
    good = found.n - found.n_failed
    below = 1.0 - 2.0 * stats.norm.sf(1.2)
    assert two_sided_p_value(found.n_failed, found.n, 1.0 - below) > FALSE_ALARM
    assert found.p == found.n_above / good
    share = (2.0 * stats.norm.sf(0.5) - 2.0 * stats.norm.sf(1.2)) / below
    assert two_sided_p_value(found.n_above, good, share) > FALSE_ALARM
    low, high = found.clopper_pearson(0.95)
    assert low < found.n_above / found.n
    assert high > (found.n_above + found.n_failed) / found.n
    assert f"from 60 toys, {found.n_failed} failed" in str(found)


@pytest.mark.slow
def test_the_observed_data_need_a_certificate() -> None:
    """A best fit in the shallower of two wells or at a kink has no statistic: toys would be compared with nonsense."""
    shallow = Settings(start={"theta": 0.0})
    key = jax.random.key(0)
    words = r"at theta = -5 the likelihood is larger than at its supposed maximum 0\.\d+; start the fit from theta = -5"
    with pytest.raises(UntrustworthyError, match=words):
        p_value(Wells(), without_aux([0.2]), key=key, value=-5.0, statistic="t_mu", settings=shallow)
    deep = Settings(start={"theta": -5.0})
    found = p_value(Wells(), without_aux([0.2]), key=key, value=-5.0, statistic="t_mu", settings=deep, n_toys=20)
    assert found.observed == pytest.approx(0.2**2, abs=1e-3)
    kinked = Settings(solver=Newton(max_steps=20))
    with pytest.raises(UntrustworthyError, match="no t_mu of the observed data, whose fit failed"):
        p_value(Fragile(), without_aux([-2.0]), key=key, value=0.0, statistic="t_mu", settings=kinked)


def test_bounds_of_p_values() -> None:
    """Failed toys count as below for the lower end, above for the upper one; without failures Clopper-Pearson."""
    clean = PValue(1.0, "t_mu", 2.0, 1000, 0, 50)
    expected = stats.binomtest(50, 1000).proportion_ci(0.95, method="exact")
    assert clean.clopper_pearson(0.95) == pytest.approx((expected.low, expected.high), rel=1e-9)
    failed = PValue(1.0, "t_mu", 2.0, 1000, 30, 50)
    low, high = failed.clopper_pearson(0.95)
    assert low == pytest.approx(expected.low, rel=1e-9)
    assert high == pytest.approx(stats.binomtest(80, 1000).proportion_ci(0.95, method="exact").high, rel=1e-9)
    assert failed.p == 50 / 970
    nothing = PValue(1.0, "t_mu", 2.0, 10, 10, 0)
    assert nothing.p == 0.0
    assert nothing.clopper_pearson() == pytest.approx((0.0, 1.0), abs=1e-9)


@pytest.mark.parametrize("p", [0.5, 0.1587, 0.001, 1.0])
def test_significance(p: float) -> None:
    """One-sided standard deviations of the p-value; infinite if no toy lies above, and then absent from JSON."""
    found = PValue(0.0, "q_0", 1.0, 10_000, 0, round(p * 10_000))
    assert found.z == pytest.approx(float(stats.norm.isf(p)), abs=1e-9)
    none = PValue(0.0, "q_0", 30.0, 100, 0, 0)
    assert none.z == np.inf
    assert none.to_json_dict()["z"] is None
    assert json.dumps(none.to_json_dict(), allow_nan=False)


# --------------------------------------------------------------------------------------------- intervals


def feldman_cousins(n: int, n_toys: int = 1000) -> NeymanInterval:
    """The 90 % interval of a count with a background of 3."""
    return neyman(*count(float(n)), key=jax.random.key(3), cl=0.9, n_toys=n_toys)


def test_exact_construction_is_the_published_one() -> None:
    """The sums that the tests compare with give Table IV of arXiv:physics/9711021 for b = 3 (90 % CL).

    The published upper end of n = 0 is 1.08: there the authors lengthened the interval, so that limits do not
    rise with the background (their section IV.B); the construction itself ends at 0.95.
    """
    published = {1: (0.0, 1.88), 2: (0.0, 3.04), 3: (0.0, 4.42), 4: (0.0, 5.60), 5: (0.0, 6.99), 6: (0.15, 8.47)}
    for n, ends in published.items():
        assert unified_interval(n, B, 0.9) == pytest.approx(ends, abs=0.006)
    assert unified_interval(0, B, 0.9) == pytest.approx((0.0, 0.953), abs=0.001)


@pytest.mark.parametrize("n", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 4)), 8])
def test_intervals_are_those_of_feldman_and_cousins(n: int) -> None:
    """Both ends agree with the exact construction within four of their quoted errors, which are not vague.

    Every p-value on the way agrees with its exact sum (false-alarm rate 1e-4 over all of them).
    """
    found = feldman_cousins(n)
    low, high = unified_interval(n, B, 0.9)
    assert found.value == pytest.approx(max(n - B, 0.0), abs=1e-4)
    assert found.high == pytest.approx(high, abs=4.0 * found.high_error)
    assert 0.0 < found.high_error < 0.4
    if low == 0.0:
        assert (found.low, found.low_error) == (0.0, 0.0)
    else:
        assert found.low == pytest.approx(low, abs=4.0 * found.low_error)
        assert 0.0 < found.low_error < 0.4
    for point in found.points:
        assert agrees(point, min(float(exact_p(point.value, n, 1.0, B)[0]), 1.0), len(found.points))
    assert found.n_failed == 0
    assert found.n_toys == sum(point.n for point in found.points)


@pytest.mark.slow
def test_toys_go_where_they_decide() -> None:
    """Points whose p-value is near 1 - cl get more toys than the others, which get one round each."""
    found = feldman_cousins(4, n_toys=500)
    near = [p.n for p in found.points if p.clopper_pearson(0.95)[0] <= 0.1 <= p.clopper_pearson(0.95)[1]]
    far = [p.n for p in found.points if not 0.02 < p.p < 0.25]
    assert max(p.n for p in found.points) >= 1000
    assert set(far) == {500}
    assert near == [] or np.mean(near) > np.mean(far)
    first = neyman(*count(4.0), key=jax.random.key(3), cl=0.9, n_toys=500, rounds=0)
    assert {p.n for p in first.points} == {500}
    assert first.high_error > 0.0
    values = np.asarray([p.value for p in found.points])
    assert values.size > len(first.points) or found.n_toys > first.n_toys
    assert np.all(np.diff(values) > 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("cl", [ONE_SIGMA, 0.95])
def test_interval_of_a_gaussian(cl: float) -> None:
    """mu_hat -+ z 1.3 within four quoted errors, nuisance parameter and all."""
    found = neyman(*gaussian(3.0, 0.4), key=jax.random.key(1), poi="mu", cl=cl, n_toys=1000)
    z = float(stats.norm.isf(0.5 * (1.0 - cl)))
    assert found.low == pytest.approx(2.6 - 1.3 * z, abs=4.0 * found.low_error)
    assert found.high == pytest.approx(2.6 + 1.3 * z, abs=4.0 * found.high_error)
    assert max(found.low_error, found.high_error) < 0.25


def test_upper_limit() -> None:
    """By q_mu, p(mu) = P(N <= n): the limit at 95 % is the classical one, 7.75 - 3 for 3 counts."""
    found = neyman(*count(3.0), key=jax.random.key(1), cl=0.95, statistic="q_mu", n_toys=1000)
    exact = float(stats.chi2.ppf(0.95, 8)) / 2.0 - B  # Garwood
    assert found.high == pytest.approx(exact, abs=4.0 * found.high_error)
    assert found.high_error < 0.4
    assert (found.low, found.low_error) == (0.0, 0.0)


def test_values_may_be_chosen() -> None:
    """The first round tests the values given; an end that they do not reach is open, and absent from JSON."""
    found = neyman(*count(8.0), key=jax.random.key(1), cl=0.9, values=[5.0, 3.0, 6.0], n_toys=200, rounds=0)
    assert [p.value for p in found.points] == [3.0, 5.0, 6.0]
    assert (found.low, found.high) == (3.0, 6.0)
    assert found.low_error == found.high_error == np.inf
    record = found.to_json_dict()
    json.dumps(record, allow_nan=False)
    assert record["low_error"] is record["high_error"] is None


@pytest.mark.slow
def test_further_rounds_reach_out_for_open_ends() -> None:
    """Where the first values end inside the interval, later rounds go on outside, to the end or to the bound."""
    found = neyman(*count(8.0), key=jax.random.key(1), cl=0.9, values=[4.0, 9.0], n_toys=300, rounds=6)
    low, high = unified_interval(8, B, 0.9)
    assert found.low == pytest.approx(low, abs=4.0 * found.low_error)
    assert found.high == pytest.approx(high, abs=4.0 * found.high_error)
    assert np.isfinite(found.low_error + found.high_error)


@pytest.mark.slow
def test_rounds_are_kept_and_taken_up(tmp_path: Path) -> None:
    """Each round has a folder; the same call with the same folder takes its toys from there, to the same interval."""

    def once() -> NeymanInterval:
        run = Run(folder=tmp_path)
        return neyman(*count(4.0), key=jax.random.key(3), cl=0.9, n_toys=100, rounds=1, run=run)

    first = once()
    assert (tmp_path / "round-0" / "manifest.json").exists()
    again = once()
    assert again.points == first.points
    assert (again.low, again.high) == (first.low, first.high)


# ------------------------------------------------------------------------------------- critical values


@pytest.mark.slow
def test_critical_values_of_a_gaussian_are_chi_square_quantiles() -> None:
    """Exact test of the share below the true quantile: toys are binomial (false-alarm rate 1e-4 over all).

    The critical values are order statistics: a share cl of chi-square lies below, with binomial noise.
    """
    levels, n = (ONE_SIGMA, 0.95), 4000
    found = critical_values(*gaussian(), key=jax.random.key(2), around=[-1.0, 3.0], n_toys=n, poi="mu", cl=levels)
    assert found.critical.shape == (2, found.values.size)
    assert found.values[0] == pytest.approx(-1.0 - 4.0 * 1.3, abs=1e-6)
    assert found.values[-1] == pytest.approx(3.0 + 4.0 * 1.3, abs=1e-6)
    assert (found.n, found.n_failed) == (n, 0)
    for cl, row in zip(levels, found.critical, strict=True):
        share = stats.chi2.cdf(row, 1)
        for p in share:
            assert two_sided_p_value(round(n * float(p)), n, cl) > FALSE_ALARM / found.critical.size
    assert two_sided_p_value(round(n * float(stats.chi2.cdf(1.2, 1))), n, ONE_SIGMA) < FALSE_ALARM
    json.dumps(found.to_json_dict(), allow_nan=False)


def test_critical_values_stay_within_the_bounds() -> None:
    """The grid stops at the bounds of the parameter of interest; at zero counts below pull the values down."""
    found = critical_values(*count(4.0), key=jax.random.key(2), around=[0.5], n_toys=500, cl=[0.9])
    assert found.values[0] == 0.0
    assert found.critical[0, 0] < float(stats.chi2.ppf(0.9, 1))


# ---------------------------------------------------------------------------------------------- requests


@pytest.mark.parametrize("cl", [0.0, 1.0, 68.0, np.nan])
def test_impossible_levels_are_refused(cl: float) -> None:
    """A confidence level lies between 0 and 1; the message shows how 95 % is written."""
    with pytest.raises(ParameterError, match=r"write 95 % as 0\.95"):
        neyman(*count(4.0), key=jax.random.key(0), cl=cl)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"value": 1.0, "statistic": "t"}, "statistic must be one of t_mu, q_mu, q_mu_tilde, q_0, got 't'"),
        ({"value": 1.0, "statistic": "q_0"}, "q_0 tests the value 0, got 1"),
        ({"value": -0.5}, "must lie within its bounds"),
        ({"value": 1.0, "truth": 61.0}, r"the truth of 'mu' must lie within its bounds \(0, 60\), got 61"),
        ({"value": 1.0, "n_toys": 0}, "expected at least one toy, got 0"),
        ({"value": 1.0, "poi": "muu"}, "unknown parameter 'muu'; did you mean 'mu'"),
    ],
    ids=["unknown", "q_0", "outside", "truth outside", "no toys", "unknown parameter"],
)
def test_impossible_requests_are_refused(options: dict[str, object], words: str) -> None:
    """The message names what was asked for and what is possible."""
    with pytest.raises(ParameterError, match=words):
        p_value(*count(4.0), key=jax.random.key(0), **options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_record() -> None:
    """JSON with the documented keys; a line for the interval and one for each hypothesis."""
    found = neyman(*count(5.0), key=jax.random.key(1), n_toys=50, rounds=1)
    record = found.to_json_dict()
    json.dumps(record, allow_nan=False)
    assert set(record) == {
        "poi",
        "value",
        "low",
        "high",
        "low_error",
        "high_error",
        "cl",
        "statistic",
        "n_toys",
        "n_failed",
        "points",
        "fit",
        "seconds",
    }
    keys = {"value", "statistic", "observed", "n", "n_failed", "n_above", "p", "clopper_pearson", "z"}
    assert set(record["points"][0]) == keys
    assert len(found.table().splitlines()) == 2 + len(found.points)
    assert str(found).startswith("mu in [")
