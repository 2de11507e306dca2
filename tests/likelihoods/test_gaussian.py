"""Published measurements as a likelihood: equivalent to BLUE, and named as asked."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from infer.constraints import LogNormal, MultivariateNormal, Normal
from infer.data import Data
from infer.errors import DataError, InputError, ParameterError
from infer.likelihood import Correlated, Likelihood, Product, Renamed, check_data
from infer.likelihoods.gaussian import (
    GaussianMeasurements,
    Measured,
    Source,
    combine_measurements,
)
from infer.numerics.blue import Blue, blue
from infer.parameters import Parameter, Parameters

Built = tuple[GaussianMeasurements, Data]

MASS = Parameter("m", 91.0, unit="GeV", latex="m")
THREE = (
    Measured("A", 91.3, 0.4, "m", {"scale": 0.3, "model": 0.10, "own": 0.2}),
    Measured("B", 90.7, 0.3, "m", {"scale": 0.4, "model": -0.15}),
    Measured("C", 91.6, 0.5, "m", {"scale": 0.1, "model": 0.20}),
)
PARTLY = [[1.0, 0.6, 0.0], [0.6, 1.0, -0.2], [0.0, -0.2, 1.0]]
IN_PAIRS = [[1.0, 0.3, 1.0], [0.3, 1.0, 0.3], [1.0, 0.3, 1.0]]  # A and C share one parameter


def three(scale: object = 1.0, *, measured: Sequence[Measured] = THREE, **options: object) -> Built:
    """Three measurements of a mass, with the correlation of the source "scale" as given."""
    sources = {"scale": Source(scale), "model": Source(1.0), "own": Source(0.0)}
    return combine_measurements(measured, observables=[MASS], sources=sources, **options)


def lepton_universality() -> Built:
    """Two observables and their difference, correlated statistically, shifts of both signs."""
    measured = [
        Measured("e", 10.5, 1.0, "e", {"lumi": 0.3}),
        Measured("tau", 9.5, 3.0, "tau", {"lumi": 0.4, "veto": -1.0}),
        Measured("e - tau", -1.2, 0.7, {"e": 1.0, "tau": -1.0}, {"veto": 0.4}),
    ]
    return combine_measurements(
        measured,
        observables=[Parameter("e", 10.0), Parameter("tau", 10.0)],
        sources={"lumi": Source(), "veto": Source(0.5)},
        stat_correlation=[[1.0, 0.2, 0.1], [0.2, 1.0, -0.3], [0.1, -0.3, 1.0]],
        poi="tau",
    )


CASES = {
    "one source for all": three,
    "independent": lambda: three(0.0),
    "half": lambda: three(0.5),
    "matrix": lambda: three(PARTLY),
    "in pairs": lambda: three(IN_PAIRS),
    "statistically correlated": lambda: three(stat_correlation=PARTLY),
    "two observables": lepton_universality,
}
ONE_OBSERVABLE = [name for name in CASES if name != "two observables"]


def newton(likelihood: Likelihood, data: Data) -> tuple[np.ndarray, np.ndarray, float]:
    """Best fit, covariance and twice the depth of a quadratic likelihood: one step is exact."""
    theta = jnp.asarray(likelihood.parameters.init)
    at = likelihood.curvature(theta, data)
    covariance = np.linalg.inv(np.asarray(at.hessian))
    fit = np.asarray(theta) - covariance @ np.asarray(at.gradient)
    saturated = likelihood.logpdf(jnp.asarray(fit), likelihood.expected(jnp.asarray(fit)))
    return fit, covariance, float(2.0 * (saturated - likelihood.logpdf(jnp.asarray(fit), data)))


def closed_form(likelihood: GaussianMeasurements, data: Data) -> Blue:
    """BLUE with the total covariance."""
    design = np.asarray(likelihood.jacobian)[:, : len(likelihood.observables)]
    return blue(np.asarray(data.main), sum(likelihood.covariances().values()), design)


def declared_covariance(measured: Sequence[Measured], correlations: Mapping[str, object]) -> np.ndarray:
    """Total covariance of independent construction, from the declaration and not the likelihood."""
    total = np.diag([m.stat**2 for m in measured])
    for source, correlation in correlations.items():
        R = np.full((3, 3), correlation) if np.ndim(correlation) == 0 else np.array(correlation)
        np.fill_diagonal(R, 1.0)
        shift = np.array([m.syst.get(source, 0.0) for m in measured])
        total = total + R * np.outer(shift, shift)
    return total


@pytest.mark.parametrize("case", CASES)
def test_profiling_is_blue(case: str) -> None:
    """Value, uncertainties, correlation, weights and chi2 of the fit are those of BLUE to 1e-10."""
    likelihood, data = CASES[case]()
    fit, covariance, chi2 = newton(likelihood, data)
    result, at = (
        closed_form(likelihood, data),
        likelihood.parameters.positions(likelihood.observables),
    )
    np.testing.assert_allclose(fit[at], result.estimates, rtol=0.0, atol=1e-10)
    np.testing.assert_allclose(covariance[np.ix_(at, at)], result.covariance, rtol=0.0, atol=1e-10)
    np.testing.assert_allclose(likelihood.weights(), result.weights, rtol=0.0, atol=1e-10)
    assert chi2 == pytest.approx(result.chi2, abs=1e-10)


@pytest.mark.parametrize(
    ("correlation", "numbers"),
    [(1.0, 1.0), (0.0, 0.0), (0.5, 0.5), (-0.3, -0.3), (PARTLY, PARTLY), (IN_PAIRS, IN_PAIRS)],
    ids=["full", "none", "half", "negative", "matrix", "in-pairs"],
)
def test_total_covariance_is_the_declared_one(correlation: object, numbers: object) -> None:
    """C_stat + sum of C_s, whatever the number of nuisance parameters a source became."""
    likelihood, _ = three(correlation)
    parts = likelihood.covariances()
    assert list(parts) == ["stat", "scale", "model", "own"]
    expected = declared_covariance(THREE, {"scale": numbers, "model": 1.0, "own": 0.0})
    np.testing.assert_allclose(sum(parts.values()), expected, rtol=1e-12)
    np.testing.assert_allclose(parts["own"], np.diag([0.04, 0.0, 0.0]), rtol=1e-15)


@pytest.mark.parametrize("case", CASES)
def test_weights_are_the_derivative_of_the_fit(case: str) -> None:
    """Moving one measurement moves the best fit by its weight; finite steps are exact here."""
    likelihood, data = CASES[case]()
    at = likelihood.parameters.positions(likelihood.observables)
    base = newton(likelihood, data)[0][at]
    moved = [
        newton(likelihood, Data(data.main.at[i].add(1.0), data.aux))[0][at] - base for i in range(len(likelihood.names))
    ]
    np.testing.assert_allclose(np.transpose(moved), likelihood.weights(), atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_curvature_is_that_of_autodiff(case: str) -> None:
    """The closed form against the contract's default, away from the best fit."""
    likelihood, data = CASES[case]()
    theta = jnp.asarray(likelihood.parameters.init) + jnp.linspace(-0.7, 0.9, len(likelihood.parameters))
    closed, default = (
        method(likelihood, theta, data.main)
        for method in (GaussianMeasurements.curvature_main, Likelihood.curvature_main)
    )
    np.testing.assert_allclose(closed.value, default.value, rtol=1e-13)
    np.testing.assert_allclose(closed.gradient, default.gradient, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(closed.hessian, default.hessian, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("case", CASES)
def test_density_is_the_multivariate_normal(case: str) -> None:
    """log_main with its constants, as scipy evaluates it."""
    likelihood, data = CASES[case]()
    theta = likelihood.parameters.init + 0.3
    mean, covariance = np.asarray(likelihood.jacobian) @ theta, np.asarray(likelihood.covariance)
    expected = stats.multivariate_normal(mean, covariance).logpdf(np.asarray(data.main))
    assert float(likelihood.log_main(jnp.asarray(theta), data.main)) == pytest.approx(expected, rel=1e-12)


def test_marginal_density_integrates_the_nuisances_out() -> None:
    """For Gaussians, profiling and marginalising differ by a constant only."""
    likelihood, data = three(PARTLY)
    covariance = sum(likelihood.covariances().values())
    marginal = [stats.multivariate_normal([m] * 3, covariance).logpdf(data.main) for m in (90.0, 91.5)]
    profiled = [_profiled(likelihood, data, m) for m in (90.0, 91.5)]
    assert marginal[1] - marginal[0] == pytest.approx(profiled[1] - profiled[0], abs=1e-9)


def _profiled(likelihood: GaussianMeasurements, data: Data, mass: float) -> float:
    """Largest log-density at a given mass, by one Newton step in the nuisances."""
    theta = jnp.asarray(likelihood.parameters.init).at[0].set(mass)
    at = likelihood.curvature(theta, data)
    step = jnp.linalg.solve(at.hessian[1:, 1:], at.gradient[1:])
    return float(likelihood.logpdf(theta.at[1:].add(-step), data))


@pytest.mark.parametrize("case", CASES)
def test_asimov_fit_returns_the_truth(case: str) -> None:
    """At noiseless data the best fit is the truth and the depth is zero."""
    likelihood, _ = CASES[case]()
    truth = jnp.asarray(likelihood.parameters.init) + jnp.linspace(0.5, -1.5, len(likelihood.parameters))
    fit, _, chi2 = newton(likelihood, likelihood.expected(truth))
    np.testing.assert_allclose(fit, truth, atol=1e-9)
    assert chi2 == pytest.approx(0.0, abs=1e-9)


def test_toys_have_the_declared_covariance() -> None:
    """20000 toys: mean and covariance of the values are the expected ones and the statistical ones.

    Each of the 12 numbers is within 5 of its own standard deviations: false alarms below 1e-5.
    """
    likelihood, _ = three(PARTLY, stat_correlation=PARTLY)
    theta, n = jnp.asarray(likelihood.parameters.vector({"m": 91.2})), 20000
    keys = jax.random.split(jax.random.key(1), n)
    toys = np.asarray(jax.vmap(likelihood.sample_main, in_axes=(None, 0))(theta, keys))
    covariance = np.asarray(likelihood.covariance)
    pulls = (toys.mean(axis=0) - 91.2) / np.sqrt(np.diagonal(covariance) / n)
    assert np.max(np.abs(pulls)) < 5.0
    spread = np.sqrt((covariance**2 + np.outer(*[np.diagonal(covariance)] * 2)) / n)
    assert np.max(np.abs((np.cov(toys.T) - covariance) / spread)) < 5.0


@pytest.mark.slow
def test_toy_fits_have_the_quoted_uncertainty() -> None:
    """Fits to 4000 toys of main and auxiliary data: mean and spread within 5 of their sigma."""
    likelihood, data = three(0.5)
    theta, n = jnp.asarray(likelihood.parameters.vector({"m": 91.2})), 4000
    toys = jax.vmap(likelihood.sample, in_axes=(None, 0))(theta, jax.random.split(jax.random.key(3), n))
    hessian = likelihood.curvature(theta, data).hessian
    slopes = jax.vmap(lambda toy: likelihood.curvature(theta, toy).gradient)(toys)
    fits = np.asarray(theta)[None, :] - np.linalg.solve(np.asarray(hessian), np.asarray(slopes).T).T
    sigma = np.sqrt(closed_form(likelihood, data).covariance[0, 0])
    assert fits[:, 0].mean() == pytest.approx(91.2, abs=5.0 * sigma / np.sqrt(n))
    assert fits[:, 0].std() == pytest.approx(sigma, rel=5.0 / np.sqrt(2 * n))


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_order_does_not_matter(order: tuple[int, ...]) -> None:
    """Measurements in another order, the correlation matrix with them: the same fit."""
    matrix = np.asarray(PARTLY)[np.ix_(order, order)]
    first, second = three(PARTLY), three(matrix, measured=[THREE[i] for i in order])
    results = [newton(*built) for built in (first, second)]
    assert results[0][0][0] == pytest.approx(results[1][0][0], abs=1e-11)
    assert results[0][1][0, 0] == pytest.approx(results[1][1][0, 0], abs=1e-12)
    assert results[0][2] == pytest.approx(results[1][2], abs=1e-9)
    np.testing.assert_allclose(second[0].weights()[0], first[0].weights()[0][np.array(order)], atol=1e-11)


def test_signs_of_shifts_count_relative_to_one_another() -> None:
    """A source with all its signs turned is the same source; with one turned, it anticorrelates."""
    turned = [dataclasses.replace(m, syst={k: -v if k == "model" else v for k, v in m.syst.items()}) for m in THREE]
    same, other = three(measured=turned)[0].covariances(), three()[0].covariances()
    np.testing.assert_allclose(same["model"], other["model"])
    assert other["model"][0, 1] == pytest.approx(-0.10 * 0.15)
    assert other["scale"][0, 1] == pytest.approx(0.3 * 0.4)


def test_correlation_of_minus_one_is_one_parameter() -> None:
    """Two measurements moved apart by one source."""
    measured = [Measured("A", 1.0, 0.1, "x", {"s": 0.3}), Measured("B", 2.0, 0.1, "x", {"s": 0.2})]
    measured.append(Measured("C", 2.0, 0.1, "x"))  # untouched: -1 need not be possible for three
    likelihood, _ = combine_measurements(measured, observables=[Parameter("x", 1.0)], sources={"s": Source(-1.0)})
    assert likelihood.nuisances == ("s",)
    np.testing.assert_array_equal(likelihood.jacobian[:, 1], [0.3, -0.2, 0.0])


# -- parameters --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("correlation", "names"),
    [
        (1.0, ("scale",)),
        (0.0, ("scale[A]", "scale[B]", "scale[C]")),
        (0.5, ("scale[A]", "scale[B]", "scale[C]")),
        (IN_PAIRS, ("scale[A, C]", "scale[B]")),
    ],
    ids=["full", "none", "half", "in-pairs"],
)
def test_names_groups_and_constraints(correlation: object, names: tuple[str, ...]) -> None:
    """One parameter where the correlation is one, else one each, all in the source's group."""
    parameters = three(correlation)[0].parameters
    assert tuple(name for name, p in parameters.items() if p.group == "scale") == names
    assert parameters.names[0] == parameters.poi == "m"
    assert [parameters[name].init for name in names] == [0.0] * len(names)
    assert {parameters[name].prefit_uncertainty() for name in names} == {1.0}
    joint = isinstance(parameters[names[0]].constraint, MultivariateNormal)
    assert joint == (correlation not in (0.0, 1.0))


def test_source_that_moves_one_measurement_is_called_like_the_source() -> None:
    """No index where there is nothing to index."""
    assert "own" in three()[0].parameters


def test_blocks_are_separate_constraints() -> None:
    """Measurements that are not correlated do not share a multivariate normal."""
    R = [[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]
    parameters = three(R)[0].parameters
    assert parameters["scale[C]"].constraint == Normal(1.0)
    joint = parameters["scale[A]"].constraint
    assert isinstance(joint, MultivariateNormal)
    assert joint.names == ("scale[A]", "scale[B]")


def test_user_chooses_names_groups_and_bounds() -> None:
    """So that another likelihood may share a nuisance parameter."""
    source = Source(0.0, parameter="alpha_jes", group="jets", bounds=(-5.0, 5.0))
    measured = [Measured("A", 1.0, 0.1, "x", {"s": 0.3}), Measured("B", 2.0, 0.1, "x", {"s": 0.2})]
    x = Parameter("x", 1.0)
    parameters = combine_measurements(measured, observables=[x], sources={"s": source})[0].parameters
    expected = Parameter("alpha_jes[A]", 0.0, (-5.0, 5.0), Normal(1.0), "jets")
    assert parameters["alpha_jes[A]"] == expected
    single = dataclasses.replace(source, correlation=1.0)
    parameters = combine_measurements(measured, observables=[x], sources={"s": single})[0].parameters
    assert parameters.names == ("x", "alpha_jes")


def test_product_shares_a_source_by_name() -> None:
    """Two combinations with a common scale are the one combination of all their measurements."""
    sources = {"scale": Source()}
    a, b = (
        combine_measurements(
            [dataclasses.replace(m, syst={"scale": m.syst["scale"]})],
            observables=[MASS],
            sources=sources,
        )
        for m in THREE[:2]
    )
    both = Product(a=a[0], b=b[0])
    assert both.parameters.names == ("m", "scale")
    fit, covariance, chi2 = newton(both, both.data(a=a[1], b=b[1]))
    covariance_of_values = declared_covariance(THREE, {"scale": 1.0})[:2, :2]
    expected = blue([m.value for m in THREE[:2]], covariance_of_values)
    assert fit[0] == pytest.approx(expected.estimates[0], abs=1e-10)
    assert covariance[0, 0] == pytest.approx(expected.covariance[0, 0], abs=1e-12)
    assert chi2 == pytest.approx(expected.chi2, abs=1e-9)


def test_correlated_wrapper_is_the_declared_correlation() -> None:
    """Correlating independent nuisances from outside gives what declaring the correlation gives."""
    names = ["scale[A]", "scale[B]", "scale[C]"]
    likelihood, data = three(0.0)
    for rho in (0.5, 1.0):
        view = Correlated(likelihood, names, rho=rho)
        expected = newton(*three(rho))
        got = newton(view, view.data(data))
        assert got[0][0] == pytest.approx(expected[0][0], abs=1e-10)
        assert got[1][0, 0] == pytest.approx(expected[1][0, 0], abs=1e-12)


def test_renamed_and_check_data() -> None:
    """Wrappers carry the data over, and the contract's checks accept it."""
    likelihood, data = three(0.5)
    renamed = Renamed(likelihood, {"m": "mass", "scale[A]": "jes_A"})
    check_data(likelihood, data)
    check_data(renamed, renamed.data(data))
    assert newton(renamed, data)[0][0] == newton(likelihood, data)[0][0]


def test_fixed_parameters_are_held_in_the_weights() -> None:
    """With the scale frozen, the weights are those of the other uncertainties."""
    x, fixed = Parameter("x", 1.0), Parameter("y", 0.5, fixed=True)
    measured = [Measured("A", 1.0, 0.1, {"x": 1.0, "y": 1.0}), Measured("B", 2.0, 0.2, "x")]
    likelihood, _ = combine_measurements(measured, observables=[x, fixed])
    np.testing.assert_allclose(likelihood.weights(), [[0.8, 0.2], [0.0, 0.0]], atol=1e-14)


def test_arrays_are_leaves() -> None:
    """Numbers are arguments of a jitted function, names are static: other numbers, same code."""
    likelihood, data = three()
    other = three(measured=[dataclasses.replace(m, stat=2.0 * m.stat) for m in THREE])[0]
    assert jax.tree.structure(likelihood) == jax.tree.structure(other)
    compilations = []

    @jax.jit
    def value(model: GaussianMeasurements, theta: jax.Array) -> jax.Array:
        compilations.append(1)
        return model.logpdf(theta, data)

    theta = jnp.asarray(likelihood.parameters.init)
    values = [float(value(model, theta)) for model in (likelihood, other)]
    assert len(compilations) == 1
    assert values[0] != values[1]
    assert values[0] == pytest.approx(float(likelihood.logpdf(theta, data)), rel=1e-14)


# -- partial combinations ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("case", ONE_OBSERVABLE)
@pytest.mark.parametrize("members", [("A", "B"), ("C", "A"), ("B",)], ids=lambda names: "".join(names))
def test_subset_is_the_combination_of_its_measurements(case: str, members: tuple[str, ...]) -> None:
    """A sub-block of the total covariance, values in the order asked for."""
    likelihood, data = CASES[case]()
    part, part_data = likelihood.subset(data, members)
    at = [likelihood.names.index(name) for name in members]
    covariance = sum(likelihood.covariances().values())[np.ix_(at, at)]
    expected = blue(np.asarray(data.main)[at], covariance)
    np.testing.assert_allclose(sum(part.covariances().values()), covariance, rtol=1e-12)
    fit, variance, chi2 = newton(part, part_data)
    assert fit[0] == pytest.approx(expected.estimates[0], abs=1e-10)
    assert variance[0, 0] == pytest.approx(expected.covariance[0, 0], abs=1e-10)
    assert chi2 == pytest.approx(expected.chi2, abs=1e-9)
    check_data(part, part_data)


def test_subset_drops_what_does_not_act() -> None:
    """Nuisances of the others go, constraints shrink, names and the parameter of interest stay."""
    likelihood, data = three(PARTLY, combinations={"ab": ["A", "B"], "all": ["A", "B", "C"]})
    part, _ = likelihood.subset(data, "ab")
    assert part.names == ("A", "B")
    assert part.parameters.names == ("m", "scale[A]", "scale[B]", "model", "own")
    assert part.parameters.poi == "m"
    assert part.combinations == {"ab": ("A", "B")}
    alone, _ = likelihood.subset(data, ["C"])
    assert alone.parameters["scale[C]"].constraint == Normal(1.0)
    assert part.parameters["m"] == likelihood.parameters["m"]


def test_subset_drops_observables() -> None:
    """What is no longer measured is no parameter any more."""
    likelihood, data = lepton_universality()
    part, part_data = likelihood.subset(data, ["e"])
    assert part.parameters.names == ("e", "lumi")
    assert part.parameters.poi is None
    assert newton(part, part_data)[0][0] == pytest.approx(10.5)


def test_subset_keeps_auxiliary_data() -> None:
    """Toys of the whole can be fitted in part."""
    likelihood, data = three(0.0)
    moved = Data(data.main, jnp.arange(float(len(likelihood.nuisances))))
    part, part_data = likelihood.subset(moved, ["C", "B"])
    assert part.parameters.constrained == ("scale[B]", "scale[C]", "model")
    np.testing.assert_array_equal(part_data.aux, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(part_data.main, [91.6, 90.7])


# -- errors ------------------------------------------------------------------------------------


def combine(*changed: Measured, **options: object) -> Built:
    """Two measurements, the first ones replaced."""
    measured = [*changed, *THREE[len(changed) : 2]]
    sources = {name: Source() for name in ("scale", "model", "own")}
    return combine_measurements(measured, **{"observables": [MASS], "sources": sources, **options})


def first(**changes: object) -> Measured:
    """The first measurement with some fields changed."""
    return dataclasses.replace(THREE[0], **changes)


BROKEN = {
    "none": (
        lambda: combine_measurements([], observables=[MASS]),
        "expected the combination to have measurements, got none",
    ),
    "name twice": (lambda: combine(first(name="B")), "got 'B' twice"),
    "zero stat": (
        lambda: combine(first(stat=0.0)),
        "positive statistical uncertainty of the measurement 'A'",
    ),
    "nan stat": (lambda: combine(first(stat=np.nan)), "positive statistical uncertainty"),
    "nan shift": (
        lambda: combine(first(syst={"scale": np.nan})),
        "finite number for the source 'scale'",
    ),
    "unknown source": (lambda: combine(first(syst={"scael": 0.1})), "did you mean 'scale'?"),
    "unknown observable": (lambda: combine(first(observable="M")), "declared observable, got 'M'"),
    "idle source": (
        lambda: combine(sources={s: Source() for s in ("scale", "model", "own", "idle")}),
        "expected the source 'idle' to move a measurement",
    ),
    "reserved group": (
        lambda: combine(sources={"scale": Source(group="stat"), "model": Source(), "own": Source()}),
        "got 'stat'; stat, syst, total are taken",
    ),
    "impossible correlation": (
        lambda: combine(sources={"scale": Source(1.2), "model": Source(), "own": Source()}),
        "the source 'scale' to lie within [-1, 1], got 1.2",
    ),
    "matrix of another size": (
        lambda: combine(sources={"scale": Source(PARTLY), "model": Source(), "own": Source()}),
        "shape (2, 2), got shape (3, 3)",
    ),
    "stat correlation": (
        lambda: combine(stat_correlation=np.ones((2, 2))),
        "positive definite covariance",
    ),
    "unknown poi": (lambda: combine(poi="mm"), "got 'mm'; did you mean 'm'?"),
    "nuisance as poi": (lambda: combine(poi="scale"), "one of the observables ['m'], got 'scale'"),
    "not measured": (
        lambda: combine(observables=[MASS, Parameter("width", 2.5)]),
        "expected a measurement of 'width', got none",
    ),
    "not determined": (
        lambda: combine(
            *[first(name=n, observable={"m": 1.0, "width": 2.0}) for n in "AB"],
            observables=[MASS, Parameter("width", 2.5)],
        ),
        "got only 1 independent combinations",
    ),
    "name of a source and an observable": (
        lambda: combine(sources={"scale": Source(parameter="m"), "model": Source(), "own": Source()}),
        "expected different parameter names, got 'm' twice; rename",
    ),
    "unknown member": (
        lambda: combine(combinations={"x": ["A", "Z"]}),
        "combination 'x' to name measurements, got 'Z'",
    ),
    "member twice": (lambda: combine(combinations={"x": ["A", "A"]}), "in the combination 'x'"),
    "no member": (
        lambda: combine(combinations={"x": []}),
        "expected the combination 'x' to have measurements",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_declaration(case: str) -> None:
    """One sentence that names the culprit."""
    build, message = BROKEN[case]
    with pytest.raises(InputError, match=re.escape(message)):
        build()


def test_broken_use() -> None:
    """Data and subsets by names that exist."""
    likelihood, data = three()
    with pytest.raises(DataError, match=re.escape("expected a value for each of ['A', 'B', 'C'], got ['A']")):
        likelihood.data({"A": 1.0})
    with pytest.raises(DataError, match="got nan for 'B'"):
        likelihood.data({"A": 1.0, "B": np.nan, "C": 1.0})
    with pytest.raises(ParameterError, match=re.escape("one of the combinations [], got 'A'")):
        likelihood.subset(data, "A")
    with pytest.raises(ParameterError, match="expected the subset to name measurements, got 'a'"):
        likelihood.subset(data, ["a"])


def test_broken_arrays() -> None:
    """The constructor takes arrays of matching shapes, and Gaussian constraints only."""
    x, a = Parameter("x", 1.0), Parameter("a", 0.0, constraint=Normal(1.0))
    names = {"names": ["A"], "observables": ["x"]}
    with pytest.raises(ParameterError, match=re.escape("jacobian with shape (1, 2)")):
        GaussianMeasurements(Parameters((x, a)), [[1.0]], [[1.0]], **names)
    free = Parameters((x, Parameter("a", 0.0)))
    with pytest.raises(ParameterError, match="constraint on 'a', got None"):
        GaussianMeasurements(free, [[1.0, 0.2]], [[1.0]], **names)
    skew = Parameters((x, Parameter("a", 1.0, constraint=LogNormal(1.1))))
    with pytest.raises(ParameterError, match="constraint on 'a', got LogNormal"):
        GaussianMeasurements(skew, [[1.0, 0.2]], [[1.0]], **names)


def test_constrained_observable() -> None:
    """An observable with a constraint of its own is one measurement more."""
    x = Parameters((Parameter("x", 1.0, constraint=Normal(0.5)),))
    likelihood = GaussianMeasurements(x, [[1.0]], [[0.25]], names=["A"], observables=["x"])
    fit, covariance, _ = newton(likelihood, likelihood.data({"A": 2.0}))
    np.testing.assert_allclose([fit[0], covariance[0, 0]], [1.5, 0.125], rtol=1e-13)
    np.testing.assert_allclose(likelihood.weights(), [[0.5]], rtol=1e-13)
    assert list(likelihood.covariances()) == ["stat"]
