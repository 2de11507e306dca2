"""Coverage: exact answers for Gaussians and counts, verdicts in both directions, and toys that fail."""

from __future__ import annotations

import json
from collections.abc import Sequence

import jax
import numpy as np
import pytest
from scipy import stats

from infer.errors import ParameterError
from infer.inference.campaigns import Run
from infer.inference.coverage import THREE_SIGMA, Coverage, CoverageAt, coverage
from infer.inference.ensembles import Ensemble
from infer.inference.fits import Settings
from infer.inference.minimize import Newton
from infer.inference.profiles import ONE_SIGMA
from infer.numerics.binomial import two_sided_p_value
from tests.contract.zscores import FALSE_ALARM
from tests.inference.problems import without_aux
from tests.inference.toy_problems import Fragile, bins, count, gaussian, poisson_t, uncertain_count

LEVELS = (ONE_SIGMA, 0.95)
N = 4000
X, AUX_SEEN = 3.0, 0.4
COUNTS = np.arange(150.0)


def of_gaussian(ensemble: Ensemble | None = None, methods: Sequence[str] = ("profile",), n_toys: int = N) -> Coverage:
    """Coverage for the Gaussian model at mu = 1."""
    return coverage(
        *gaussian(X, AUX_SEEN),
        key=jax.random.key(8),
        n_toys=n_toys,
        poi="mu",
        values=[1.0],
        methods=methods,
        cl=LEVELS,
        ensemble=ensemble,
    )


# ----------------------------------------------------------------------------------------- exact coverage


@pytest.mark.slow
def test_a_gaussian_covers() -> None:
    """Hessian, profile and posterior intervals are mu_hat -+ z 1.3 and cover exactly (false-alarm rate 1e-4)."""
    methods = ("hessian", "profile", "credible")
    found = of_gaussian(methods=methods)
    assert [(r.method, r.cl) for r in found.results] == [(m, cl) for m in methods for cl in LEVELS]
    for result in found.results:
        assert two_sided_p_value(result.covered, result.n, result.cl) > FALSE_ALARM / len(found.results)
        assert two_sided_p_value(result.covered, result.n, result.cl - 0.05) < FALSE_ALARM
        assert two_sided_p_value(result.covered, result.n, result.cl + 0.045) < FALSE_ALARM
        assert result.verdict == "covers"
        length = 2.0 * float(stats.norm.isf(0.5 * (1.0 - result.cl))) * 1.3
        assert result.length == pytest.approx((length,) * 3, rel=0.005)
    (truth,) = found.truths
    assert truth.sigma == pytest.approx(1.3, rel=1e-9)
    assert (truth.n, truth.n_failed, truth.n_migrad) == (N, 0, 0)


def test_uncertainties_that_are_too_large_over_cover() -> None:
    """With a as observed estimates scatter by 0.5, not 1.3: 99.07 % of the 68 % intervals contain the truth."""
    found = of_gaussian(Ensemble(aux="observed"))
    exact = 1.0 - 2.0 * float(stats.norm.sf(2.6))
    assert two_sided_p_value(found.results[0].covered, N, exact) > FALSE_ALARM
    assert [r.verdict for r in found.results] == ["over-covers"] * 2


def test_intervals_in_the_wrong_place_under_cover() -> None:
    """With nu two units off its observed a, estimates are off by 2: P(|N(2, 0.5)| < 1.3) = 0.0808."""
    found = of_gaussian(Ensemble(aux="observed", truth={"nu": AUX_SEEN + 2.0}))
    exact = float(stats.norm.cdf(1.3, 2.0, 0.5) - stats.norm.cdf(-1.3, 2.0, 0.5))
    assert two_sided_p_value(found.results[0].covered, N, exact) > FALSE_ALARM
    assert [r.verdict for r in found.results] == ["under-covers"] * 2
    assert found.truths[0].bias[0] == pytest.approx(2.0, abs=5.0 * found.truths[0].bias[1])


def profile_covers(mu: float, cl: float) -> float:
    """Probability of the counts n ~ Poisson(mu + 3) with t_mu below the quantile."""
    inside = poisson_t(mu, COUNTS, 1.0, 3.0) <= stats.chi2.ppf(cl, 1)
    return float(np.sum(stats.poisson.pmf(COUNTS, mu + 3.0)[inside]))


def hessian_covers(mu: float, cl: float) -> float:
    """The same with |mu - mu_hat| <= z sigma; sigma = sqrt(n), or 3 / sqrt(n) at the bound, none for n = 0."""
    best = np.maximum(COUNTS - 3.0, 0.0)
    with np.errstate(divide="ignore"):
        sigma = np.where(COUNTS >= 3.0, np.sqrt(COUNTS), 3.0 / np.sqrt(COUNTS))
    inside = (np.abs(mu - best) <= float(stats.norm.isf(0.5 * (1.0 - cl))) * sigma) & (COUNTS > 0.0)
    return float(np.sum(stats.poisson.pmf(COUNTS, mu + 3.0)[inside]))


@pytest.mark.slow
def test_coverage_of_a_count_is_the_exact_sum() -> None:
    """Counts over-cover and under-cover, by method and truth: the measured shares are the exact ones.

    False-alarm rate 1e-4 over all comparisons; that a wrong answer is noticed is seen from the
    coverage of other truths, some of which differ by several per cent.
    """
    truths = [0.0, 1.3, 4.2, 10.0]
    found = coverage(
        *count(5.0), key=jax.random.key(2), n_toys=N, values=truths, methods=("profile", "hessian"), cl=LEVELS
    )
    exact = {"profile": profile_covers, "hessian": hessian_covers}
    for result in found.results:
        p = exact[result.method](result.truth, result.cl)
        assert two_sided_p_value(result.covered, N, p) > FALSE_ALARM / len(found.results)
        without = np.isnan(found.columns["sigma"][found.columns["point"] == result.point])  # no events
        assert result.n_failed == (np.sum(without) if result.method == "hessian" else 0)
    at_zero, _, _, at_ten = found.of("profile", ONE_SIGMA)
    assert at_zero.verdict == "over-covers"
    assert two_sided_p_value(at_ten.covered, N, profile_covers(0.0, ONE_SIGMA)) < FALSE_ALARM
    assert [truth.value for truth in found.truths] == truths


@pytest.mark.slow
def test_feldman_cousins_of_a_gaussian_covers() -> None:
    """Its critical values are those of chi-square, but come from toys, whose own noise the bounds allow for."""
    found = coverage(
        *gaussian(X, AUX_SEEN),
        key=jax.random.key(4),
        n_toys=2000,
        poi="mu",
        values=[1.0],
        methods=("feldman-cousins", "profile"),
        n_belt=2000,
    )
    unified, profile = found.results
    assert (unified.n_belt, profile.n_belt) == (2000, None)
    assert unified.verdict == profile.verdict == "covers"
    assert unified.bounds[1] - unified.bounds[0] > 1.3 * (profile.bounds[1] - profile.bounds[0])
    assert found.belt is not None
    assert found.belt.critical.shape == (1, found.belt.values.size)


@pytest.mark.slow
def test_toys_do_not_depend_on_their_companions() -> None:
    """The first toys of a longer run, cut into chunks or of other methods too, have the same intervals."""
    likelihood, data = bins()

    def rows(n_toys: int, methods: tuple[str, ...], chunk: int | None = None) -> dict[str, np.ndarray]:
        return coverage(
            likelihood,
            data,
            key=jax.random.key(1),
            n_toys=n_toys,
            poi="mu",
            values=[1.0],
            methods=methods,
            run=Run(chunk=chunk),
        ).columns

    long, short = rows(80, ("profile", "hessian"), 32), rows(12, ("profile",))
    for name, column in short.items():
        np.testing.assert_array_equal(column, long[name][:12], err_msg=name)


# --------------------------------------------------------------------------------------------- verdicts


def at(covered: int, n: int = 1000, n_failed: int = 0, cl: float = 0.6827, n_belt: int | None = None) -> CoverageAt:
    """A result without toys."""
    return CoverageAt("profile", cl, 0, 1.0, n, n_failed, covered, None, n_belt)


@pytest.mark.parametrize(
    ("covered", "verdict"), [(600, "under-covers"), (683, "covers"), (700, "covers"), (760, "over-covers")]
)
def test_verdicts(covered: int, verdict: str) -> None:
    """A method that claims 68 % and covers 60 % of 1000 toys is called what it is, and so is one that covers 76 %."""
    assert at(covered).verdict == verdict
    assert at(covered // 100, n=10).verdict == "covers"  # of ten toys nobody can tell


def test_bounds_are_clopper_pearson() -> None:
    """Without failures those of SciPy at 99.73 %; the plain interval at 68.27 %."""
    result, exact = at(600), stats.binomtest(600, 1000)
    wide, narrow = (exact.proportion_ci(cl, method="exact") for cl in (THREE_SIGMA, ONE_SIGMA))
    assert result.bounds == pytest.approx((wide.low, wide.high), rel=1e-9)
    assert result.clopper_pearson == pytest.approx((narrow.low, narrow.high), rel=1e-9)
    assert result.coverage == 0.6


def test_failed_toys_bound_the_verdict() -> None:
    """600 of 1000 with 90 failures could be 69 %, so that nothing is proven; with 20 it could be 62 % at most.

    Failures never help a method to over-cover.
    """
    assert at(600, n_failed=90).verdict == "covers"
    assert at(600, n_failed=20).verdict == "under-covers"
    assert at(760, n_failed=90).verdict == "over-covers"
    assert at(700, n_failed=300).verdict == "covers"
    assert at(600, n_failed=90).bounds[0] == at(600).bounds[0]
    assert at(600, n_failed=90).bounds[1] == at(690).bounds[1]


def test_noise_of_the_belt_widens_the_bounds() -> None:
    """n toys with critical values from as many are as good as n / 2 toys with exact ones."""
    with_belt, half = at(600, n_belt=1000), at(300, n=500)
    assert with_belt.bounds == pytest.approx(half.bounds, rel=1e-9)
    assert at(600, n_belt=10**9).bounds == pytest.approx(at(600).bounds, rel=1e-5)


@pytest.mark.parametrize("p", [ONE_SIGMA, 0.95])
@pytest.mark.parametrize("n", [100, 1000])
def test_false_alarm_rate_of_the_verdict(n: int, p: float) -> None:
    """A method that covers exactly is called something else once in 370 times at most, by the exact binomial sum."""
    wrong = np.asarray([at(k, n=n, cl=p).verdict != "covers" for k in range(n + 1)])
    alarm = float(np.sum(stats.binom.pmf(np.arange(n + 1), n, p)[wrong]))
    assert 0.0 < alarm <= 1.0 - THREE_SIGMA


@pytest.mark.parametrize("true", [0.60, 0.76])
def test_power_of_the_verdict(true: float) -> None:
    """Of methods that claim 68.27 % and cover 60 % or 76 %, 1000 toys convict 99 %, by the exact binomial sum."""
    verdicts = np.asarray([at(k).verdict for k in range(1001)])
    wanted = "under-covers" if true < 0.68 else "over-covers"
    assert float(np.sum(stats.binom.pmf(np.arange(1001), 1000, true)[verdicts == wanted])) > 0.98


# --------------------------------------------------------------------------------------------- failures


@pytest.mark.slow
def test_failed_toys_count_as_not_covered() -> None:
    """Toys that no engine can fit have a row, no interval, and are reported in the sentence."""
    found = coverage(
        Fragile(),
        without_aux([0.0]),
        key=jax.random.key(3),
        n_toys=24,
        values=[0.0],
        settings=Settings(solver=Newton(max_steps=30)),
    )
    (result,) = found.results
    converged = found.columns["converged"]
    assert 0 < result.n_failed == np.sum(~converged) == found.n_failed == found.truths[0].n_failed
    assert result.n == 24
    inside = np.abs(found.columns["value"]) <= 1.0
    assert result.covered == np.sum(converged & inside)
    assert f"{result.n_failed} without an interval" in str(found)
    json.dumps(found.to_json_dict(), allow_nan=False)


def test_toys_without_an_interval_of_one_method_only() -> None:
    """A count of zero has no Hessian interval but a profile one: each method has failures of its own."""
    found = coverage(*count(2.0), key=jax.random.key(3), n_toys=300, values=[0.0], methods=("hessian", "profile"))
    hessian, profile = found.results
    assert profile.n_failed == 0
    assert hessian.n_failed > 0
    assert two_sided_p_value(hessian.n_failed, 300, float(np.exp(-3.0))) > FALSE_ALARM
    assert found.n_failed == 0


# ---------------------------------------------------------------------------------------------- records


def test_record() -> None:
    """JSON with the documented keys; sentences with truth, verdict and what was wanted."""
    found = coverage(
        *gaussian(X, AUX_SEEN),
        key=jax.random.key(8),
        n_toys=40,
        poi="mu",
        values=[0.5, 1.0],
        methods=("hessian", "profile"),
        ensemble=Ensemble(truth={"nu": 0.25}),
    )
    record = found.to_json_dict()
    json.dumps(record, allow_nan=False)
    assert {"poi", "method", "cl", "points", "results", "truths", "mc_scale", "belt", "seconds"} <= set(record)
    assert (record["method"], record["poi"]) == ("hessian", "mu")
    assert [r["method"] for r in record["results"]] == ["hessian", "profile"]
    assert record["points"] == record["results"][0]["points"]
    assert set(record["points"][0]) == {
        "point",
        "truth",
        "n",
        "n_failed",
        "covered",
        "coverage",
        "clopper_pearson",
        "bounds",
        "verdict",
        "length",
    }
    assert set(record["truths"][0]) == {
        "value",
        "nuisance",
        "n",
        "n_failed",
        "n_migrad",
        "bias",
        "bias_error",
        "std",
        "sigma",
        "pull_mean",
        "pull_std",
        "pulls",
    }
    assert record["truths"][1]["nuisance"] == {"nu": 0.25}
    sentence = str(found).splitlines()[0]
    assert sentence.startswith("mu = 0.5, nu = 0.25: the hessian interval covers: ")
    assert "wanted 68.27 %" in sentence
    assert len(found.table().splitlines()) == 4 + 2 + 2
    assert [r.truth for r in found.of("profile", ONE_SIGMA)] == [0.5, 1.0]


def test_bias_and_spread_are_those_of_the_rows() -> None:
    """Mean error, its standard error, and the standard deviations that toys and Hessian give."""
    found = coverage(*bins(), key=jax.random.key(8), n_toys=60, poi="mu", values=[2.0])
    (truth,), c = found.truths, found.columns
    errors = c["value"] - 2.0
    assert truth.bias == pytest.approx((errors.mean(), errors.std(ddof=1) / np.sqrt(60)), rel=1e-9)
    assert truth.std == pytest.approx(errors.std(ddof=1), rel=1e-9)
    assert truth.sigma == pytest.approx(c["sigma"].mean(), rel=1e-9)
    pulls = errors / c["sigma"]
    assert truth.pull == pytest.approx((pulls.mean(), pulls.std(ddof=1)), rel=1e-9)


# --------------------------------------------------------------------------------------------- requests


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"methods": ("minos",)},
            "method must be one of hessian, profile, feldman-cousins, cls, credible, got 'minos'",
        ),
        ({"methods": ()}, "expected at least one interval method out of hessian, profile"),
        ({"cl": 68.0}, r"cl must lie between 0 and 1, got 68\.0; write 95 % as 0\.95"),
        ({"cl": (0.68, 1.0)}, r"got 1\.0"),
        ({"cl": ()}, r"expected at least one confidence level, such as cl=0\.6827"),
        ({"n_toys": 0}, "expected at least one toy, got 0"),
        ({"values": [60.0]}, r"the truth of 'mu' must lie within its bounds \(-10, 50\), got 60"),
        ({"poi": "muu"}, "unknown parameter 'muu'; did you mean 'mu'"),
        ({"settings": Settings(fixed={"mu": 1.0})}, "parameter 'mu' is fixed, so that toys say nothing about it"),
        ({"ensemble": Ensemble(truth={"mu": 1.0})}, "'mu' is the parameter of interest"),
    ],
    ids=["method", "no method", "per cent", "one of two", "none", "toys", "outside", "name", "fixed", "truth"],
)
def test_impossible_requests_are_refused(options: dict[str, object], words: str) -> None:
    """Before any toy is drawn, with what was asked for and what is possible."""
    with pytest.raises(ParameterError, match=words):
        coverage(*uncertain_count(25.0), key=jax.random.key(0), **options)  # type: ignore[arg-type]


def test_templates_must_be_simulated_to_fluctuate() -> None:
    """A likelihood without simulated samples refuses the finite-MC mode in words."""
    with pytest.raises(ParameterError, match="no simulated templates that could fluctuate"):
        coverage(*uncertain_count(25.0), key=jax.random.key(0), n_toys=5, mc_scale=1.0)
