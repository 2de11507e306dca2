"""Ensembles: where the truth lies, what fluctuates, and that toy i is toy i."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infer.constraints import Normal
from infer.errors import ParameterError, UntrustworthyError
from infer.inference.ensembles import AUX, NUISANCE, Ensemble, Source, draw, expected_hessian, source_of
from infer.inference.fits import Settings, fit
from infer.inference.minimize import Newton
from infer.likelihood import Likelihood
from infer.parameters import Parameter
from tests.contract.models import Linear
from tests.contract.zscores import covariance_deviation, mean_deviation, variance_deviation
from tests.inference.problems import without_aux
from tests.inference.toy_problems import SIGMA, WIDTH, Fragile, gaussian, uncertain_count

X, AUX_SEEN = 3.0, 0.4  # observed, see `gaussian`
N = 20_000


def source(ensemble: Ensemble, value: float | None = None, poi: str = "mu", settings: Settings | None = None) -> Source:
    """The source of toys of the Gaussian model."""
    likelihood, data = gaussian(X, AUX_SEEN)
    best = fit(likelihood, data, poi=poi, settings=settings)
    return source_of(
        likelihood, data, poi=poi, value=value, ensemble=ensemble, best=best, settings=settings or Settings()
    )


def toys_of(ensemble: Ensemble, value: float | None = None, n: int = N) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truths, main and auxiliary data of toys."""
    toys = draw(source(ensemble, value), jax.random.key(3), jnp.arange(n))
    return np.asarray(toys.truth), np.asarray(toys.data.main), np.asarray(toys.data.aux)


def profiled_nu(mu: float) -> float:
    """Best nu at fixed mu: a mean of aux and x - mu, weighted by the inverse variances."""
    share = WIDTH**2 / (WIDTH**2 + SIGMA**2)
    return AUX_SEEN + share * (X - mu - AUX_SEEN)


# ------------------------------------------------------------------------------------------------ truths


@pytest.mark.parametrize(
    ("nuisance", "value", "expected"),
    [
        ("best-fit", None, (X - AUX_SEEN, AUX_SEEN)),
        ("best-fit", 1.0, (1.0, AUX_SEEN)),
        ("profiled", 1.0, (1.0, profiled_nu(1.0))),
        ("profiled", -4.0, (-4.0, profiled_nu(-4.0))),
        ("drawn", 1.0, (1.0, profiled_nu(1.0))),
        ("nominal", None, (X - AUX_SEEN, 0.0)),
        ("nominal", 1.0, (1.0, 0.0)),
    ],
)
def test_truth_of_each_policy(nuisance: str, value: float | None, expected: tuple[float, float]) -> None:
    """Where the nuisance parameters are is the closed-form fit that the policy names."""
    np.testing.assert_allclose(source(Ensemble(nuisance), value).theta, expected, atol=1e-6)


@pytest.mark.parametrize("nuisance", NUISANCE)
def test_single_truths_override_the_policy(nuisance: str) -> None:
    """A nuisance parameter set by name is there in every toy, whatever the policy."""
    truth, _, _ = toys_of(Ensemble(nuisance, truth={"nu": -2.5}), 1.0, n=50)
    np.testing.assert_array_equal(truth, np.tile([1.0, -2.5], (50, 1)))


def test_settings_hold_in_the_truth() -> None:
    """A nuisance parameter that the settings fix stays there, also where the others are drawn."""
    for nuisance in NUISANCE:
        found = source(Ensemble(nuisance), 1.0, settings=Settings(fixed={"nu": 0.9}))
        np.testing.assert_allclose(found.theta, [1.0, 0.9], atol=1e-12)
        assert not found.draws_any


def test_any_parameter_may_be_of_interest() -> None:
    """A constrained one too; as the parameter of interest it is not drawn."""
    found = source(Ensemble("drawn"), 0.7, poi="nu")
    assert float(found.theta[1]) == 0.7
    assert not np.any(found.drawn)


# ------------------------------------------------------------------------------------------ fluctuations


@pytest.mark.parametrize("nuisance", ["best-fit", "profiled", "nominal"])
@pytest.mark.parametrize("aux", AUX)
def test_moments_of_toys(nuisance: str, aux: str) -> None:
    """x ~ N(mu + nu - 100, 1/2); a ~ N(nu, 1.2), or as observed (false-alarm rate 4e-4)."""
    truth, main, seen = toys_of(Ensemble(nuisance, aux), 1.0)
    mean = truth[:, :1].mean() + truth[:, 1:].mean() - 100.0
    checks = [mean_deviation(main, np.full(1, mean)), variance_deviation(main, np.full(1, mean), np.full(1, SIGMA**2))]
    if aux == "observed":
        assert np.all(seen == AUX_SEEN)
    else:
        nu = truth[0, 1:]
        checks += [mean_deviation(seen, nu), variance_deviation(seen, nu, np.full(1, WIDTH**2))]
    for worst, limit in checks:
        assert worst < limit


@pytest.mark.parametrize("aux", AUX)
def test_moments_of_drawn_nuisances(aux: str) -> None:
    """nu ~ N(observed a, 1.2), x follows it, and so does a unless it is kept (false-alarm rate 2e-4).

    Covariance of (nu, x, a): x - nu and a - nu are independent of nu.
    """
    truth, main, seen = toys_of(Ensemble("drawn", aux), 1.0)
    assert np.all(truth[:, 0] == 1.0)
    w, s = WIDTH**2, SIGMA**2
    residual = np.stack([truth[:, 1] - AUX_SEEN, main[:, 0] - (1.0 + AUX_SEEN - 100.0), seen[:, 0] - AUX_SEEN], axis=1)
    covariance = np.array([[w, w, w], [w, w + s, w], [w, w, 2.0 * w]])
    if aux == "observed":
        assert np.all(residual[:, 2] == 0.0)
        residual, covariance = residual[:, :2], covariance[:2, :2]
    for worst, limit in (
        mean_deviation(residual, np.zeros(len(covariance))),
        covariance_deviation(residual, covariance),
    ):
        assert worst < limit
    worst, limit = covariance_deviation(residual, 1.1 * covariance)
    assert worst > limit  # a variance that is ten per cent off is noticed


def test_drawn_nuisances_stay_within_their_bounds() -> None:
    """A draw beyond a bound is put on it: N(1, 2) cut at (0, 4) lies at 0 in 30.85 % of toys (rate 1e-4)."""
    likelihood, data = uncertain_count(25.0, width=2.0)
    best = fit(likelihood, data)
    kept = source_of(likelihood, data, poi="mu", value=1.0, ensemble=Ensemble("drawn"), best=best, settings=Settings())
    beta = np.asarray(draw(kept, jax.random.key(1), jnp.arange(N)).truth)[:, 2]
    assert beta.min() == 0.0
    assert beta.max() == 4.0
    worst, limit = mean_deviation(
        np.stack([beta == 0.0, beta == 4.0], axis=1).astype(float), np.array([0.308538, 0.066807])
    )
    assert worst < limit


def test_a_toy_depends_on_its_number_alone() -> None:
    """Toy i is the same whether drawn with others, in another order, or alone; another key is another toy."""
    found = source(Ensemble("drawn"), 1.0)
    key, order = jax.random.key(3), np.asarray([40, 7, 0, 12])
    whole = draw(found, key, jnp.arange(50))
    part = draw(found, key, jnp.asarray(order))
    for a, b in zip(jax.tree.leaves(part), jax.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(a, np.asarray(b)[order])
    other = draw(found, jax.random.key(4), jnp.arange(50))
    assert not np.any(np.asarray(other.data.main) == np.asarray(whole.data.main))


def test_a_toy_is_the_same_fluctuation_at_every_truth() -> None:
    """The noise of toy i does not depend on where the truth lies: differences between truths are free of it."""
    _, low, aux_low = toys_of(Ensemble(), 1.0, n=20)
    _, high, aux_high = toys_of(Ensemble(), 6.0, n=20)
    np.testing.assert_allclose(high - low, 5.0, rtol=1e-10)
    np.testing.assert_array_equal(aux_low, aux_high)


def test_expected_hessian_is_the_inverse_of_the_covariance() -> None:
    """For the Gaussian model the covariance of (mu, nu) is [[1.69, -1.44], [-1.44, 1.44]]."""
    likelihood, _ = gaussian()
    hessian = np.asarray(expected_hessian(likelihood, jnp.asarray([5.0, -3.0])))
    np.testing.assert_allclose(hessian @ [[1.69, -1.44], [-1.44, 1.44]], np.eye(2), atol=1e-12)


# ---------------------------------------------------------------------------------------------- requests


def test_unknown_choices_are_refused() -> None:
    """The message lists what is offered, and shows what was asked for."""
    with pytest.raises(ParameterError, match="nuisance must be one of best-fit, profiled, nominal, drawn, got 'best'"):
        Ensemble("best")
    with pytest.raises(ParameterError, match="aux must be one of fluctuated, observed, got 'fixed'"):
        Ensemble(aux="fixed")


@pytest.mark.parametrize(
    ("ensemble", "value", "words"),
    [
        (Ensemble(truth={"mu": 1.0}), 1.0, "'mu' is the parameter of interest; its truth is not one of a nuisance"),
        (Ensemble(truth={"betta": 1.0}), 1.0, "unknown parameter 'betta'; did you mean 'beta'"),
        (Ensemble(truth={"beta": 4.5}), 1.0, r"the truth of 'beta' must lie within its bounds \(0, 4\), got 4.5"),
        (Ensemble(), -11.0, r"the truth of 'mu' must lie within its bounds \(-10, 50\), got -11; change it, or"),
        (Ensemble(), float("nan"), "the truth of 'mu' must lie within its bounds"),
    ],
    ids=["of interest", "unknown", "nuisance outside", "outside", "no number"],
)
def test_impossible_truths_are_refused(ensemble: Ensemble, value: float, words: str) -> None:
    """Every message names the parameter, its bounds and the value."""
    likelihood, data = uncertain_count(25.0)
    best = fit(likelihood, data)
    with pytest.raises(ParameterError, match=words):
        source_of(likelihood, data, poi="mu", value=value, ensemble=ensemble, best=best, settings=Settings())


def untrustworthy(likelihood: Likelihood, nuisance: str) -> Source:
    """A source whose observed data lie at a kink, where no fit earns a certificate."""
    data = without_aux([-2.0])
    settings = Settings(solver=Newton(max_steps=20))
    best = fit(likelihood, data, settings=settings)
    assert not best.certificate.converged
    ensemble = Ensemble(nuisance)
    return source_of(likelihood, data, poi="theta", value=0.5, ensemble=ensemble, best=best, settings=settings)


def test_no_truth_without_a_certificate() -> None:
    """Where the fit to the observed data failed, only start values can be a truth, and the message says so."""
    with pytest.raises(UntrustworthyError, match=r"no truth for toys: the fit .*nuisance='nominal'"):
        untrustworthy(Fragile(), "best-fit")
    assert float(untrustworthy(Fragile(), "nominal").theta[0]) == 0.5


def test_free_nuisances_are_not_drawn() -> None:
    """A parameter without a constraint stays where the profile has it; only the constrained one varies."""
    parameters = (Parameter("mu", 0.0), Parameter("free", 0.0), Parameter("nu", 0.0, constraint=Normal(0.3)))
    likelihood = Linear(parameters, ((1.0, 1.0, 0.0), (0.0, 1.0, 1.0)), (0.5, 0.2))
    data = likelihood.expected(jnp.asarray([1.0, 2.0, 0.1]))
    best = fit(likelihood, data, poi="mu")
    found = source_of(likelihood, data, poi="mu", value=1.0, ensemble=Ensemble("drawn"), best=best, settings=Settings())
    assert np.asarray(found.drawn).tolist() == [False, False, True]
    truth = np.asarray(draw(found, jax.random.key(0), jnp.arange(10)).truth)
    np.testing.assert_allclose(truth[:, :2], np.tile([1.0, 2.0], (10, 1)), atol=1e-6)
