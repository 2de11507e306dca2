"""Posteriors by NUTS against closed forms and Laplace's method, and when they give no number.

Every comparison of samples allows five Monte-Carlo standard errors, from the effective sample size of the very
quantity that is compared: false-alarm rate 6e-7 for each.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import arviz
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest
from jax import Array
from scipy import stats

from infer.errors import DataError, InputError, ParameterError, UntrustworthyError
from infer.inference.fits import Settings, fit
from infer.inference.minimize import Newton
from infer.inference.nuts import Plan, Target, chains, target
from infer.inference.posterior import Posterior, posterior
from infer.inference.priors import FlatPrior, LogFlatPrior, NormalPrior, Prior, Space, declared
from infer.inference.profiles import ONE_SIGMA
from infer.inference.toy_intervals import CROSSED, Credible
from infer.parameters import Parameter, Parameters
from infer.typing import Key
from tests.inference.problems import Parabola, numbered, without_aux
from tests.inference.toy_problems import bins, campaign_of, count, ends_of, with_data

FloatArray = npt.NDArray[np.float64]
KEY = jax.random.key(5)


def sampled(key: Key = KEY, **options: Any) -> Posterior:
    """A posterior of three bins with nuisance parameters."""
    likelihood, data = bins()
    return posterior(likelihood, data, **{"key": key, "poi": "mu", **options})


def prepared() -> Target:
    """What is sampled there."""
    likelihood, data = bins()
    best = fit(likelihood, data)
    known = declared(best.parameters, {})
    at = best.parameters.positions(known)
    return target(likelihood, data, best.values, at, Space.of(known, best.uncertainties[at]))


def close(x: FloatArray, expected: float) -> None:
    """The mean over chains, with shape (n_chains, n), within five standard errors."""
    error = np.std(x) / np.sqrt(arviz.ess(x, method="mean"))
    assert abs(np.mean(x) - expected) < 5.0 * error


def quantiles_close(x: FloatArray, distribution: stats.rv_continuous) -> None:
    """Shares of samples below the quantiles of a distribution, each within five standard errors."""
    for p in (0.05, 0.3, 0.5, 0.7, 0.95):
        close((x < distribution.ppf(p)).astype(float), p)


# ------------------------------------------------------------------------------------------- closed forms


@pytest.fixture(scope="module")
def gaussian() -> tuple[Posterior, FloatArray, FloatArray]:
    """A posterior in four dimensions, correlated to 0.99, with its mean and covariance."""
    correlation = np.full((4, 4), 0.99) + 0.01 * np.eye(4)
    scale = np.asarray([1e-3, 1.0, 10.0, 3.0])
    precision = np.linalg.inv(correlation * np.outer(scale, scale))
    centre = np.asarray([0.5, -2.0, 100.0, 7.0])
    widths, means = np.asarray([2e-3, 0.5, 30.0, 1e3]), np.asarray([0.5, -1.0, 90.0, 0.0])
    priors = {f"x{i}": NormalPrior(m, s) for i, (m, s) in enumerate(zip(means, widths, strict=True))}
    found = posterior(Parabola(precision), without_aux(centre), key=KEY, priors=priors)
    total = precision + np.diag(widths**-2)
    return found, np.linalg.solve(total, precision @ centre + means / widths**2), np.linalg.inv(total)


def test_mean_and_covariance_of_a_gaussian(gaussian: tuple[Posterior, FloatArray, FloatArray]) -> None:
    """Likelihood and priors multiply as Gaussians do."""
    found, mean, covariance = gaussian
    assert found.mixed
    x = np.stack([found.samples[f"x{i}"] for i in range(4)])
    for i in range(4):
        close(x[i], mean[i])
        for j in range(i + 1):
            close((x[i] - mean[i]) * (x[j] - mean[j]), covariance[i, j])


def test_intervals_of_a_gaussian(gaussian: tuple[Posterior, FloatArray, FloatArray]) -> None:
    """Both kinds hold what they say: within 5 sqrt(p (1 - p) / 400), since at least so many samples are effective."""
    found, mean, covariance = gaussian
    normal = stats.norm(mean[0], np.sqrt(covariance[0, 0]))
    for cl in (ONE_SIGMA, 0.95):
        for interval in (found.interval("x0", cl), found.highest_density("x0", cl)):
            inside = normal.cdf(interval.high) - normal.cdf(interval.low)
            assert abs(inside - cl) < 5.0 * np.sqrt(cl * (1.0 - cl) / 400.0)
    shortest, equal = found.highest_density("x0"), found.interval("x0")
    assert shortest.high - shortest.low <= equal.high - equal.low
    assert found.quantile("x0", 0.975) == pytest.approx(found.interval("x0", 0.95).high, rel=1e-12)


@pytest.mark.parametrize(
    ("prior", "shape"), [(None, 6.0), (FlatPrior(0.0, 40.0), 6.0), (LogFlatPrior(1e-6, 60.0), 5.0)]
)
def test_poisson_count(prior: Prior | None, shape: float) -> None:
    """Five events: Gamma(n + 1) with a flat prior, Gamma(n) with one that falls as 1/mu."""
    likelihood, data = count(5.0, background=0.0)
    found = posterior(likelihood, data, key=KEY, priors={} if prior is None else {"mu": prior})
    assert found.mixed
    quantiles_close(found.samples["mu"], stats.gamma(shape))


def test_empty_bin_at_the_bound() -> None:
    """No event: the best fit is at the bound and the posterior exponential, which a notice connects with the bound."""
    likelihood, data = count(0.0)
    found = posterior(likelihood, data, key=KEY)
    assert found.mixed
    quantiles_close(found.samples["mu"], stats.expon())
    assert any("next to its bound 0" in notice for notice in found.notices)


@pytest.mark.parametrize("bounds", [(0.0, np.inf), (-np.inf, 0.5), (-0.5, 0.4)])
def test_truncated_normal(bounds: tuple[float, float]) -> None:
    """A measurement of -0.5 +- 1 of a bounded parameter, with a normal prior of the same width about 1."""
    parameters = Parameters([Parameter("x0", 0.1, bounds)], poi="x0")
    found = posterior(Parabola([[1.0]], parameters), without_aux([-0.5]), key=KEY, priors={"x0": NormalPrior(1.0, 1.0)})
    mean, sigma = 0.25, np.sqrt(0.5)
    assert found.mixed
    quantiles_close(
        found.samples["x0"],
        stats.truncnorm((bounds[0] - mean) / sigma, (bounds[1] - mean) / sigma, loc=mean, scale=sigma),
    )


# --------------------------------------------------------------------------------------- another method


@pytest.fixture(scope="module")
def three_bins() -> Posterior:
    """The posterior of three bins."""
    return sampled()


def test_laplace_agrees(three_bins: Posterior) -> None:
    """The highest-density interval by Laplace's method holds its share of the samples.

    Laplace's method is not exact; its error in this model is below one per cent of probability.
    """
    found, (likelihood, data) = three_bins, bins()
    campaign, _ = campaign_of(likelihood, data, poi="mu")
    toys, fits = with_data(campaign, [data])
    levels = [ONE_SIGMA, 0.95]
    ends = ends_of(Credible(Newton()), campaign, toys, fits, levels)
    assert np.all(ends.low_status == CROSSED)
    for cl, low, high in zip(levels, ends.low[0], ends.high[0], strict=True):
        inside = ((found.samples["mu"] > low) & (found.samples["mu"] < high)).astype(float)
        error = np.std(inside) / np.sqrt(arviz.ess(inside, method="mean"))
        assert abs(np.mean(inside) - cl) < 5.0 * error + 0.01


def test_the_maximum_is_whitened() -> None:
    """At z = 0 the gradient vanishes and the Hessian is the unit matrix, by automatic differentiation."""

    @eqx.filter_jit
    def derivatives(found: Target, z: Array) -> tuple[Array, Array]:
        return jax.grad(found.potential)(z), jax.hessian(found.potential)(z)

    gradient, hessian = derivatives(prepared(), jnp.zeros(3))
    np.testing.assert_allclose(gradient, 0.0, atol=1e-2)
    np.testing.assert_allclose(hessian, np.eye(3), atol=1e-8)


# -------------------------------------------------------------------------------------- what may be said


def test_equal_keys_give_equal_samples(three_bins: Posterior) -> None:
    """To the last bit, in whatever order chains end; other keys give others; progress is told."""
    seen: list[tuple[int, int]] = []
    again, other = sampled(progress=lambda done, n: seen.append((done, n))), sampled(jax.random.key(6))
    for name, samples in three_bins.samples.items():
        np.testing.assert_array_equal(again.samples[name], samples)
        assert not np.any(other.samples[name] == samples)
    assert seen == [(n, 4) for n in (1, 2, 3, 4)]


def test_record(three_bins: Posterior) -> None:
    """Names, words, JSON and arviz hold the same."""
    found = three_bins
    assert list(found.samples) == ["mu", "alpha", "gamma"]
    assert found.samples["mu"].shape == (4, 1000)
    assert dict(found.priors) == {"mu": "flat between its bounds [-2, 12]"}
    assert "flat between its bounds [-2, 12]" in str(found)
    assert all(name in found.table() for name in found.samples)
    record = json.loads(json.dumps(found.to_json_dict(), allow_nan=False))
    assert record["mixed"]
    assert record["median"] == found.quantile("mu", 0.5)
    assert [one["kind"] for one in record["intervals"]] == ["equal-tailed"] * 2 + ["highest-density"] * 2
    assert set(record["parameters"]["mu"]) == {"mean", "sd", "r_hat", "ess_bulk", "ess_tail"}
    inference = found.to_arviz()
    np.testing.assert_array_equal(inference.posterior["mu"].values, found.samples["mu"])
    assert float(arviz.rhat(inference)["mu"]) == pytest.approx(found.mixing["mu"].r_hat, rel=1e-12)
    with pytest.raises(ParameterError, match="fixed at 1"):
        found.quantile("kappa", 0.5)
    with pytest.raises(ParameterError, match=r"cl must lie between 0 and 1, got 95.0"):
        found.interval("mu", 95.0)


def test_too_few_samples_give_no_number() -> None:
    """Chains that are too short are refused by every way to a number, and say why."""
    found = sampled(n_samples=40, n_warmup=40, n_chains=2)
    assert not found.mixed
    assert str(found).startswith("mu: no posterior (")
    assert "effective" in str(found)
    for ask in (found.interval, found.highest_density, found.pooled):
        with pytest.raises(UntrustworthyError, match="did not mix"):
            ask("mu")
    record = json.loads(json.dumps(found.to_json_dict(), allow_nan=False))
    assert (record["median"], record["intervals"], record["parameters"]["mu"]["mean"]) == (None, [], None)
    assert "mean" in found.table()


def test_every_objection_counts(three_bins: Posterior) -> None:
    """Chains that disagree, stand still or lose their energy did not mix, each by itself."""
    found = three_bins
    assert found.mixed
    worse = {"mu": replace(found.mixing["mu"], r_hat=1.02)}
    (said,) = replace(found, mixing={**found.mixing, **worse}).objections
    assert "R-hat of mu is 1.02" in said
    still = {"alpha": replace(found.mixing["alpha"], r_hat=np.nan, ess_tail=np.nan)}
    assert len(replace(found, mixing={**found.mixing, **still}).objections) == 2
    diverging = np.zeros((4, 1000), dtype=bool)
    diverging[0, :5] = True
    (said,) = replace(found, diverging=diverging).objections
    assert "5 of 4000 trajectories diverged" in said
    assert "--acceptance 0.99" in said
    diverging[0, 4] = False
    assert replace(found, diverging=diverging).mixed


def test_highest_density_of_an_exponential(three_bins: Posterior) -> None:
    """It begins at zero: the quantiles of an exponential distribution as samples."""
    found = three_bins
    x = stats.expon.ppf((np.arange(4000) + 0.5) / 4000).reshape(4, 1000)
    shortest = replace(found, samples={**found.samples, "mu": x}).highest_density("mu", 0.9)
    assert shortest.low == pytest.approx(0.0, abs=1e-3)
    assert shortest.high == pytest.approx(np.log(10.0), rel=2e-3)


# ---------------------------------------------------------------------------------------------- bad input


def test_bad_input() -> None:
    """Each is refused before anything is sampled."""
    for options, complaint in (
        ({"n_chains": 1}, "n_chains must be 2 or more"),
        ({"n_samples": 5}, "n_samples must be 20 or more, got 5"),
        ({"n_warmup": 0}, "n_warmup must be 20 or more"),
        ({"acceptance": 1.0}, "acceptance must be at least 0.5 and below 1"),
        ({"poi": "kappa"}, "'kappa', is fixed"),
        ({"poi": "nu"}, "unknown parameter 'nu'"),
        ({"priors": {"alpha": FlatPrior(0.0, 1.0)}}, "count twice"),
        ({"settings": Settings(bounds={"mu": (0.0, np.inf)})}, "has no prior"),
    ):
        with pytest.raises(ParameterError, match=complaint):
            sampled(**options)
    with pytest.raises(DataError):
        posterior(bins()[0], without_aux([1.0]), key=KEY, poi="mu")
    with pytest.raises(ParameterError, match="no parameter of interest"):
        posterior(Parabola([[1.0]], Parameters(numbered(1).values())), without_aux([0.0]), key=KEY)


def test_missing_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra to install is named."""
    monkeypatch.setitem(sys.modules, "numpyro", None)
    with pytest.raises(InputError, match=r"infer-hep\[bayes\]"):
        sampled()


def test_length_of_chains() -> None:
    """What is kept is what was asked for, after the warm-up; a higher acceptance takes shorter steps."""
    drawn = chains(prepared(), KEY, Plan(40, 40, 0.9), 2)
    careful = chains(prepared(), KEY, Plan(40, 40, 0.99), 2)
    assert np.all(careful.step_size < drawn.step_size)
    assert drawn.values.shape == (2, 40, 3)
    assert drawn.diverged.shape == drawn.accept.shape == drawn.steps.shape == (2, 40)
