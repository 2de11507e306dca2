"""Fits: closed forms, settings by name, bounds, the second engine, and the verified minima of published likelihoods."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest

from infer.api import read_workspace
from infer.constraints import Normal
from infer.data import Data
from infer.errors import DataError, ParameterError
from infer.inference.fits import FitResult, Settings, fit
from infer.inference.minimize import Newton
from infer.likelihood import Likelihood
from infer.parameters import Parameter, Parameters
from tests.contract.cases import COVARIANCE
from tests.contract.models import Linear, OnOff
from tests.inference.problems import Counting, Parabola, Surface, without_aux

FloatArray = npt.NDArray[np.float64]
WORKSPACES = Path(__file__).parents[2] / "workspaces"


def on_off(n: float, m: float) -> tuple[Likelihood, Data]:
    """The on/off problem with n and m counts, signal 12 per unit of mu, tau 2.5."""
    return OnOff(signal=12.0, tau=2.5), without_aux([n, m])


def counting(
    n: float, *, lumi: float = 0.05, beta: float = 0.2, mu: Parameter | None = None
) -> tuple[Likelihood, Data]:
    """n ~ Poisson(10 mu lumi + 20 beta) with Gaussian constraints on lumi and beta, both measured to be 1."""
    poi = mu or Parameter("mu", 1.0, (-5.0, 10.0))
    nuisances = (
        Parameter("lumi", 1.0, (0.5, 1.5), Normal(lumi), group="luminosity"),
        Parameter("beta", 1.0, (0.0, 3.0), Normal(beta), group="background"),
    )
    return Counting(10.0, 20.0, Parameters((poi, *nuisances), poi="mu")), Data(jnp.asarray([n]), jnp.ones(2))


# ------------------------------------------------------------------------------------------- closed forms


def test_on_off_problem() -> None:
    """mu = (n - m / tau) / s and b = m / tau, with Var(mu) = (n + m / tau^2) / s^2 and Var(b) = m / tau^2.

    The Hessian at the best fit has n and m in the place of the rates, so that these are exact.
    """
    likelihood, data = on_off(31.0, 20.0)
    result = fit(likelihood, data, poi="mu")
    assert result.certificate.trustworthy
    assert result.value("b") == pytest.approx(8.0, abs=1e-4)
    assert result.value("mu") == pytest.approx(23.0 / 12.0, abs=1e-4)
    assert result.uncertainty("mu") == pytest.approx(np.sqrt(31.0 + 20.0 / 6.25) / 12.0, rel=1e-4)
    assert result.uncertainty("b") == pytest.approx(np.sqrt(20.0) / 2.5, rel=1e-4)
    expected = -np.sqrt(20.0) / 2.5 / np.sqrt(31.0 + 20.0 / 6.25)  # Cov = -Var(b) / s
    assert result.correlation[0, 1] == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(np.diagonal(result.correlation), 1.0, rtol=1e-12)


def test_counting_with_constraints() -> None:
    """mu = (n - b) / s, and Var(mu) = (n + (s mu sigma_lumi)^2 + (b sigma_beta)^2) / s^2.

    Nothing pulls the nuisances, since the count alone cannot tell them from mu; the Hessian's block
    elimination (Schur complement) gives the variance, with observed n in the place of the rate.
    """
    result = fit(*counting(35.0))
    assert result.value("mu") == pytest.approx(1.5, abs=1e-4)
    np.testing.assert_allclose(result.values[1:], 1.0, atol=1e-5)
    variance = (35.0 + (15.0 * 0.05) ** 2 + (20.0 * 0.2) ** 2) / 100.0
    assert result.uncertainty("mu") == pytest.approx(np.sqrt(variance), rel=1e-4)
    assert result.uncertainty("lumi") == pytest.approx(0.05, rel=1e-4)


def test_linear_model() -> None:
    """The fit of a linear Gaussian model is least squares: (A' W A)^-1 A' W x, whatever the start."""
    design = np.asarray([[1.0, 0.5], [0.3, -1.0], [2.0, 2.0]])
    width = np.asarray([0.1, 2.0, 0.5])
    likelihood = Linear((Parameter("a", 5.0), Parameter("b", -3.0)), design.tolist(), width.tolist())
    main = np.asarray([3.0, -7.0, 1.0])
    result = fit(likelihood, without_aux(main), poi="a")
    weighted = design.T / width**2
    covariance = np.linalg.inv(weighted @ design)
    expected = covariance @ weighted @ (main - np.linspace(-100.0, 50.0, 3))
    np.testing.assert_allclose(result.values, expected, rtol=1e-9)
    np.testing.assert_allclose(result.covariance, covariance, rtol=1e-9)
    np.testing.assert_allclose(result.uncertainties, np.sqrt(np.diagonal(covariance)), rtol=1e-9)


def test_twice_nll_is_that_of_the_contract() -> None:
    """2NLL is minus twice ``logpdf`` at the best fit, constants included."""
    likelihood, data = counting(35.0)
    result = fit(likelihood, data)
    assert result.twice_nll == pytest.approx(
        -2.0 * float(likelihood.logpdf(jnp.asarray(result.values), data)), abs=1e-12
    )


# ------------------------------------------------------------------------------------------------ settings


def test_parameter_of_interest_is_named_or_declared() -> None:
    """The declared parameter of interest is taken unless another is named; a wrong name is met with the right one."""
    likelihood, data = counting(35.0)
    assert fit(likelihood, data).poi == "mu"
    assert fit(likelihood, data, poi="beta").poi == "beta"
    with pytest.raises(ParameterError, match="unknown parameter 'betta'; did you mean 'beta'"):
        fit(likelihood, data, poi="betta")
    unnamed, its_data = on_off(31.0, 20.0)
    assert fit(unnamed, its_data).poi is None


def test_fixed_parameters_by_name() -> None:
    """A fixed parameter stays where it is put, has no uncertainty, and the others are fitted given it."""
    result = fit(*counting(35.0), settings=Settings(fixed={"beta": 1.25}))
    assert result.value("beta") == 1.25
    assert result.uncertainty("beta") is None
    assert result.value("mu") == pytest.approx(1.0, abs=1e-4)
    assert result.uncertainty("mu") == pytest.approx(np.sqrt(35.0 + (10.0 * 0.05) ** 2) / 10.0, rel=1e-4)
    assert not np.any(result.covariance[2])
    assert "(fixed)" in result.table()
    assert not result.at_bound("beta")


def test_everything_fixed() -> None:
    """With all parameters fixed there is nothing to fit: the point is evaluated, and no uncertainty is given."""
    likelihood, data = counting(35.0)
    result = fit(likelihood, data, settings=Settings(fixed={"mu": 2.0, "lumi": 1.0, "beta": 1.0}), verify=True)
    assert result.certificate.trustworthy
    np.testing.assert_array_equal(result.values, [2.0, 1.0, 1.0])
    assert result.twice_nll == pytest.approx(-2.0 * float(likelihood.logpdf(jnp.asarray([2.0, 1.0, 1.0]), data)))
    assert np.all(np.isnan(result.uncertainties))


def test_bounds_by_name() -> None:
    """Bounds replace the declared ones; a best fit outside them ends on one, which is named."""
    result = fit(*counting(35.0), settings=Settings(bounds={"mu": (-1.0, 1.2)}))
    assert result.value("mu") == 1.2
    assert result.certificate.at_bound == ("mu",)
    assert result.certificate.trustworthy
    assert result.parameters["mu"].bounds == (-1.0, 1.2)


def test_start_values_by_name() -> None:
    """A start value replaces the declared one, and the minimum does not depend on it."""
    first, second = (fit(*counting(35.0), settings=Settings(start={"mu": mu, "beta": 0.3})) for mu in (-1.0, 9.0))
    assert first.parameters["mu"].init == -1.0
    assert first.twice_nll == pytest.approx(second.twice_nll, abs=1e-8)
    np.testing.assert_allclose(first.values, second.values, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(start={"muu": 1.0}), "unknown parameter 'muu'; did you mean 'mu'"),
        (Settings(bounds={"bet": (0.0, 1.0)}), "unknown parameter 'bet'; did you mean 'beta'"),
        (Settings(fixed={"lumin": 1.0}), "unknown parameter 'lumin'; did you mean 'lumi'"),
        (Settings(start={"mu": 11.0}), r"'mu': the start value must lie within its bounds \(-5, 10\), got 11"),
        (Settings(fixed={"lumi": 2.0}), "'lumi': the start value must lie within its bounds"),
        (Settings(bounds={"mu": (3.0, 1.0)}), "'mu': the lower bound must lie below the upper one"),
        (Settings(start={"mu": np.nan}), "'mu': the start value must lie within its bounds"),
        (Settings(start={"mu": 5.0}, bounds={"mu": (0.0, 2.0)}), r"within its bounds \(0, 2\), got 5"),
    ],
    ids=["start", "bounds", "fixed", "outside", "fixed outside", "reversed", "NaN", "start outside new bounds"],
)
def test_impossible_settings_are_refused(settings: Settings, message: str) -> None:
    """A wrong name is met with the right one, a wrong number with the bounds."""
    with pytest.raises(ParameterError, match=message):
        fit(*counting(35.0), settings=settings)


def test_new_bounds_pull_the_start_value_along() -> None:
    """Bounds that exclude the declared start value move it to their edge."""
    applied = Settings(bounds={"mu": (2.0, 4.0)}).applied(counting(1.0)[0].parameters)
    assert applied["mu"].init == 2.0


def test_data_that_do_not_fit_are_refused() -> None:
    """Wrong shapes and values are refused before anything is compiled."""
    likelihood, data = counting(35.0)
    with pytest.raises(DataError, match="expected 2 auxiliary data"):
        fit(likelihood, Data(data.main, jnp.ones(3)))
    with pytest.raises(DataError, match="expected main data"):
        fit(likelihood, Data(jnp.ones(2), data.aux))
    with pytest.raises(DataError, match="must be finite"):
        fit(likelihood, Data(jnp.asarray([jnp.nan]), data.aux))


# ---------------------------------------------------------------------------------------------- at a bound


def test_parameter_at_a_bound_is_named_and_its_uncertainty_is_one_sided() -> None:
    """With a deficit and mu >= 0 the best fit is 0; sigma is that of the Hessian with mu released (B07).

    d2(-ln L) / d mu2 = n s^2 / b^2 at mu = 0, where beta = b-hat / b solves the constrained fit of the
    background alone.
    """
    likelihood, data = counting(10.0, mu=Parameter("mu", 1.0, (0.0, 10.0)))
    result = fit(likelihood, data)
    assert result.value("mu") == 0.0
    assert result.at_bound("mu")
    assert result.certificate.at_bound == ("mu",)
    assert result.certificate.trustworthy
    # 20 - 10 / beta + (beta - 1) / 0.04 = 0 for the background alone
    beta = (0.2 + np.sqrt(0.04 + 4.0 * 0.4)) / 2.0
    assert result.value("beta") == pytest.approx(beta, abs=1e-5)
    ratio = 10.0 / (20.0 * beta) ** 2
    hessian = np.asarray([[100.0 * ratio, 200.0 * ratio], [200.0 * ratio, 400.0 * ratio + 25.0]])
    # the second derivative mixes mu and lumi as well: 10 (1 - n / nu)
    mixed = 10.0 * (1.0 - 10.0 / (20.0 * beta))
    full = np.zeros((3, 3))
    full[np.ix_([0, 2], [0, 2])] = hessian
    full[1, 1], full[0, 1], full[1, 0] = 400.0, mixed, mixed
    assert result.uncertainty("mu") == pytest.approx(np.sqrt(np.linalg.inv(full)[0, 0]), rel=1e-5)
    assert not np.any(result.covariance[0])
    assert "one-sided" in result.table()
    assert result.to_json_dict()["parameters"]["mu"]["one_sided"] is True


def test_covariance_times_hessian_is_one() -> None:
    """Covariance times Hessian is the unit matrix on the inactive block (B21), with units on the diagonal."""
    result = fit(*counting(35.0, mu=Parameter("mu", 1.0, (0.0, 1.2))))
    at = np.flatnonzero(result.inactive)
    assert at.tolist() == [1, 2]
    product = result.covariance[np.ix_(at, at)] @ result.hessian[np.ix_(at, at)]
    np.testing.assert_allclose(product, np.eye(2), atol=1e-10)
    free = fit(*counting(35.0))
    np.testing.assert_allclose(free.covariance @ free.hessian, np.eye(3), atol=1e-9)


def test_units_carry_over() -> None:
    """A parameter in other units has its uncertainty in them: sigma scales, the correlation does not."""
    precision = np.linalg.inv(np.asarray(COVARIANCE) + 0.01 * np.eye(3))
    scale = np.asarray([1e3, 1e-2, 1.0])
    plain = fit(Parabola(precision), without_aux([1.0, 2.0, 3.0]))
    scaled = fit(Parabola(precision / np.outer(scale, scale)), without_aux(scale * [1.0, 2.0, 3.0]))
    np.testing.assert_allclose(scaled.uncertainties, scale * plain.uncertainties, rtol=1e-9)
    np.testing.assert_allclose(scaled.correlation, plain.correlation, rtol=1e-9, atol=1e-12)


# ---------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.slow
def test_hessian_without_inverse_gives_no_uncertainty() -> None:
    """Only a sum is measured: no uncertainty, a smallest eigenvalue that is not positive, no trust (B08)."""

    def valley(theta: jax.Array, main: jax.Array) -> jax.Array:
        return 0.5 * (theta[0] + theta[1] - main[0]) ** 2

    result = fit(Surface(valley), without_aux([3.0, 0.0]))
    certificate = result.certificate
    assert not certificate.trustworthy
    assert certificate.smallest_eigenvalue is not None
    assert certificate.smallest_eigenvalue < 1e-9
    assert result.uncertainty("x0") is None
    assert "±" not in str(result)


def product(theta: jax.Array, main: jax.Array) -> jax.Array:
    """One count of 20 with the rate 10 x0 x1: a curved valley, along which the likelihood is constant."""
    rate = 10.0 * theta[0] * theta[1]
    return rate - main[0] * jnp.log(jnp.where(rate > 0.0, rate, 1e-300))


@pytest.mark.slow
def test_product_of_two_factors_gives_no_uncertainty() -> None:
    """Only a product is measured: the eigenvalue of the valley is tiny, and not believed (B08)."""
    parameters = Parameters([Parameter(name, 1.0, (0.0, 10.0)) for name in ("x0", "x1")], poi="x0")
    result = fit(Surface(product, parameters), without_aux([20.0, 0.0]))
    assert result.value("x0") * result.value("x1") == pytest.approx(2.0, abs=1e-3)
    assert not result.certificate.trustworthy
    assert result.uncertainty("x0") is None


@pytest.mark.slow
@pytest.mark.parametrize("distance", [1e2, 1e4])
def test_strong_correlation_is_not_taken_for_a_flat_direction(distance: float) -> None:
    """Slope and intercept of a line measured far from its origin: 1 - rho^2 of 1e-4 or 1e-8, but a covariance."""
    x = distance + np.linspace(-1.0, 1.0, 5)
    likelihood = Linear(
        (Parameter("intercept", 0.0), Parameter("slope", 0.0)), np.stack([np.ones(5), x]).T.tolist(), [1.0] * 5
    )
    result = fit(likelihood, without_aux(np.linspace(-100.0, 50.0, 5) + 3.0 + 0.2 * x), poi="slope")
    assert result.certificate.trustworthy
    assert result.value("slope") == pytest.approx(0.2, abs=1e-5)
    assert result.uncertainty("slope") == pytest.approx(1.0 / np.sqrt(np.sum((x - distance) ** 2)), rel=1e-5)


@pytest.mark.slow
def test_likelihood_without_a_maximum_is_not_trusted() -> None:
    """Where both engines fail the status says so, and there is no bare number with an uncertainty (B05)."""

    def slide(theta: jax.Array, main: jax.Array) -> jax.Array:
        return theta[0] + 0.5 * (theta[1] - main[1]) ** 2

    result = fit(Surface(slide), without_aux([0.0, 0.0]), settings=Settings(solver=Newton(max_steps=20)))
    assert not result.certificate.trustworthy
    assert result.certificate.objections


@pytest.mark.slow
def test_infinite_start_is_not_trusted() -> None:
    """A likelihood that vanishes at the start and everywhere near it gives a status, not an exception."""

    def nowhere(theta: jax.Array, main: jax.Array) -> jax.Array:
        return jnp.where(theta[0] > 1e6, 0.5 * jnp.sum((theta - main) ** 2), jnp.inf)

    result = fit(Surface(nowhere), without_aux([0.0, 0.0]))
    assert not result.certificate.converged
    assert result.to_json_dict()["twice_nll"] is None


# ------------------------------------------------------------------------------------------ second engine


@pytest.mark.slow
@pytest.mark.parametrize("max_steps", [1, 2])
def test_migrad_takes_over(max_steps: int) -> None:
    """Where Newton may not take its steps, MIGRAD finds the minimum; it is certified only if it is as good."""
    likelihood, data = counting(35.0)
    settings = Settings(
        start={"mu": 6.0, "beta": 0.4}, solver=Newton(max_steps=max_steps, edm=1e-6, projected_gradient=1e-2)
    )
    result = fit(likelihood, data, settings=settings)
    assert result.engine == "migrad"
    assert result.value("mu") == pytest.approx(1.5, abs=0.02)
    tolerance = 1e-5 if result.certificate.converged else 1e-3
    assert result.twice_nll == pytest.approx(fit(likelihood, data).twice_nll, abs=tolerance)


def test_migrad_escapes_a_bad_start() -> None:
    """A start outside the support (B06) is left by MIGRAD or said; never a number without a certificate."""
    likelihood, data = on_off(31.0, 20.0)
    result = fit(likelihood, data, poi="mu", settings=Settings(start={"mu": -4.0, "b": 1.0}))
    if result.certificate.trustworthy:
        assert result.value("mu") == pytest.approx(23.0 / 12.0, abs=1e-3)


@pytest.mark.parametrize("build", [lambda: on_off(31.0, 20.0), lambda: counting(35.0)], ids=["on_off", "counting"])
def test_second_engine_agrees(build: object) -> None:
    """MIGRAD finds the same minimum, and the certificate says by how much they differ."""
    likelihood, data = build()  # type: ignore[operator]  # a builder
    result = fit(likelihood, data, poi="mu", verify=True)
    assert result.certificate.verified_by == "MIGRAD"
    assert result.certificate.verify_difference is not None
    assert abs(result.certificate.verify_difference) < 1e-4
    assert result.certificate.trustworthy
    assert result.engine == "newton"


@pytest.mark.slow
def test_second_engine_finds_the_deeper_minimum() -> None:
    """Started in the shallow well of two, Newton stays; if MIGRAD gets deeper, its minimum is returned (B01)."""

    def wells(theta: jax.Array, main: jax.Array) -> jax.Array:
        return 0.25 * (theta[0] ** 2 - 4.0) ** 2 - main[0] * theta[0] + 0.5 * theta[1] ** 2

    result = fit(Surface(wells), without_aux([0.3, 0.0]), settings=Settings(start={"x0": -1.9}), verify=True)
    difference = result.certificate.verify_difference
    assert difference is not None
    assert difference < 1e-2
    assert result.certificate.trustworthy


# --------------------------------------------------------------------------------------------- stability


@pytest.mark.slow
@pytest.mark.parametrize("name", ["search.json", "measurement.json"])
def test_minimum_does_not_depend_on_the_start(name: str) -> None:
    """From three perturbed starts 2NLL is the same to 1e-6, sigma to 1e-4 (B02)."""
    likelihood, data = read_workspace(WORKSPACES / name)
    reference = fit(likelihood, data)
    parameters = likelihood.parameters
    for seed in range(3):
        noise = np.asarray(jax.random.normal(jax.random.key(seed), (len(parameters),)))
        width = [p.prefit_uncertainty() or 0.3 for p in parameters.values()]
        start = np.clip(parameters.init + 0.7 * noise * width, parameters.lower, parameters.upper)
        moved = {n: float(x) for n, x, f in zip(parameters, start, parameters.fixed, strict=True) if not f}
        result = fit(likelihood, data, settings=Settings(start=moved))
        assert result.certificate.trustworthy
        assert result.twice_nll == pytest.approx(reference.twice_nll, abs=1e-6)
        np.testing.assert_allclose(result.uncertainties, reference.uncertainties, rtol=1e-4)


def test_same_input_gives_the_same_bits() -> None:
    """Two identical fits agree in every bit (B02)."""
    likelihood, data = read_workspace(WORKSPACES / "search.json")
    first, second = fit(likelihood, data), fit(likelihood, data)
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.covariance, second.covariance)
    assert first.twice_nll == second.twice_nll


# ------------------------------------------------------------------------------------- published minima


SMALL = ("2018-14_comb", "2018-22_SSd")
PUBLISHED = (
    *SMALL,
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("agc_ttbar", "2018-31_SRA", "ttbar_ljets_xsec", "2018-05_ewk", "2019-09_onshell", "atlas_tttt")
    ),
)


def published(name: str, folder: Path) -> FitResult:
    """The fit of a published likelihood."""
    return fit(*read_workspace(folder / f"{name}.json"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_minima(name: str, likelihoods: Path) -> None:
    """2NLL is within 1e-4 of the verified minimum, mu-hat and sigma within 1 % of theirs (B03, B04)."""
    verified = json.loads((likelihoods / "reference.json").read_text(encoding="utf-8"))[name]
    result = published(name, likelihoods)
    assert result.certificate.converged
    assert result.poi is not None
    assert abs(result.twice_nll - verified["best2nll"]) < 1e-4
    sigma = result.uncertainty(result.poi)
    assert abs(result.value(result.poi) - verified["mu_hat"]) < 0.01 * (verified["sigma"] or 1.0)
    if verified["sigma"] is None:
        assert sigma is None
    else:
        assert sigma == pytest.approx(verified["sigma"], rel=0.01)
        assert result.certificate.trustworthy
    assert result.at_bound(result.poi) == bool(
        np.min(np.abs(np.subtract(verified["bounds"], verified["mu_hat"]))) < 1e-9
    )


def test_published_likelihood_without_curvature(likelihoods: Path) -> None:
    """2018-14_comb: at the bound the Hessian with the POI is not positive definite, so there is no sigma (B08)."""
    result = published("2018-14_comb", likelihoods)
    assert result.value("mu_SIG") == 0.0
    assert result.uncertainty("mu_SIG") is None
    assert result.at_bound("mu_SIG")
    assert result.to_json_dict()["parameters"]["mu_SIG"] == {"value": 0.0, "uncertainty": None, "one_sided": True}


# ----------------------------------------------------------------------------------------------- the record


def test_record_as_json() -> None:
    """The JSON object has the documented keys and is strict JSON."""
    record = fit(*counting(35.0), verify=True).to_json_dict()
    json.dumps(record, allow_nan=False)
    assert set(record) == {"poi", "parameters", "twice_nll", "status", "engine", "n_steps", "seconds"}
    assert set(record["status"]) >= {"converged", "edm", "projected_gradient", "positive_definite", "at_bound"}
    assert set(record["parameters"]) == {"mu", "lumi", "beta"}
    assert record["seconds"] > 0.0


def test_record_in_words() -> None:
    """The two lines name the parameter of interest with its uncertainty, and the certificate."""
    result = fit(*counting(35.0))
    first, second = str(result).splitlines()
    assert first.startswith("mu = 1.5 ± 0.7")
    assert second.startswith(f"2NLL = {result.twice_nll:.6f} (converged, EDM ")
    assert len(result.table().splitlines()) == 6
    assert "no parameter of interest named" in str(fit(*on_off(31.0, 20.0)))
    with pytest.raises(ParameterError, match="unknown parameter"):
        result.value("gamma")
