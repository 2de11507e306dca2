"""Parametric likelihoods against textbook formulas, naive code, and each other.

Statistical comparisons have a false-alarm rate of `ALARM` each; their keys are fixed, so that they
fail always or never.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from infer.constraints import Normal
from infer.data import Data
from infer.errors import DataError, ParameterError
from infer.inference.fits import fit
from infer.likelihood import Likelihood, check_data
from infer.likelihoods.parametric import Argument, Binned, Component, Events, Unbinned, room_for
from infer.numerics.densities import Bernstein, CrystalBall, Exponential, Gaussian
from infer.numerics.resonances import BreitWigner, RadiatedBreitWigner, Voigt, radiator
from infer.parameters import Parameter, Parameters

ALARM = 1e-4
LOW, HIGH = 60.0, 120.0
N_SIGNAL = Parameter("n_signal", 800.0, (0.0, 1e5))
N_BACKGROUND = Parameter("n_background", 500.0, (0.0, 1e5))
SLOPE = Parameter("slope", -0.02, (-0.5, 0.5))
MASS = Parameter("mass", 91.0, (70.0, 110.0))
WIDTH = Parameter("width", 2.5, (0.5, 10.0))
RESOLUTION = Parameter("resolution", 1.2, (0.3, 5.0), Normal(0.2))
SCALE = Parameter("scale", 0.0, (-5.0, 5.0), Normal(1.0))
BACKGROUND = Component("background", "n_background", Exponential, {"slope": "slope"}, {"origin": LOW})
SHIFTED_MASS = Argument("mass", scale={"scale": 0.002})
ALL = (MASS, WIDTH, RESOLUTION, SCALE, N_SIGNAL, N_BACKGROUND, SLOPE)


def unbinned(*components: Component, parameters: tuple[Parameter, ...] = ALL, capacity: int = 2000) -> Unbinned:
    """A likelihood on the common range."""
    return Unbinned(Parameters(parameters), components, low=LOW, high=HIGH, capacity=capacity)


def peak(density: Callable[..., object], **arguments: object) -> Component:
    """A signal component with the yield ``n_signal``."""
    return Component("signal", "n_signal", density, arguments)


def gaussian() -> Unbinned:
    """A Gaussian peak, whose position a constrained parameter shifts, on an exponential."""
    return unbinned(peak(Gaussian, mean=SHIFTED_MASS, sigma="resolution"), BACKGROUND, parameters=GAUSSIAN)


GAUSSIAN = (MASS, RESOLUTION, SCALE, N_SIGNAL, N_BACKGROUND, SLOPE)
THETA = jnp.array([90.6, 1.3, 0.7, 700.0, 600.0, -0.03])


def resonance(density: Callable[..., object], **constants: object) -> Unbinned:
    """A resonance on an exponential."""
    arguments = {"mass": SHIFTED_MASS, "width": "width", "resolution": "resolution"}
    if density is not Voigt:
        arguments["tilt"] = 0.5
    signal = Component("signal", Argument("n_signal", scale={"scale": 0.1}), density, arguments, constants)
    return unbinned(signal, BACKGROUND)


def crystal_ball() -> Unbinned:
    """A Crystal Ball with kinks in the range, one tail parameter free."""
    extra = Parameter("alpha", 1.1, (0.2, 5.0))
    arguments = {"mean": SHIFTED_MASS, "sigma": "resolution", "alpha_low": "alpha"}
    signal = peak(CrystalBall, **arguments, n_low=2.0, alpha_high=Argument("alpha", shift={"scale": 0.1}), n_high=1.0)
    return unbinned(signal, BACKGROUND, parameters=(*GAUSSIAN, extra))


def polynomial() -> Unbinned:
    """A peak without free shape on a polynomial, one of whose coefficients is a number."""
    extra = (Parameter("c1", 0.5, (0.0, 20.0)), Parameter("c2", 0.8, (0.0, 20.0)))
    background = Component(
        "background", "n_background", Bernstein, {"coefficients": [1.0, "c1", "c2"]}, {"low": LOW, "high": HIGH}
    )
    signal = peak(Gaussian, mean=91.0, sigma=1.5)
    return unbinned(signal, background, parameters=(N_SIGNAL, N_BACKGROUND, *extra))


MODELS = {
    "gaussian": gaussian,
    "crystal_ball": crystal_ball,
    "polynomial": polynomial,
    "voigt": lambda: resonance(Voigt),
    "breit_wigner": lambda: resonance(BreitWigner),
    "radiated": lambda: resonance(RadiatedBreitWigner, radiator=radiator(LOW, HIGH, 0.0582, panels=40)),
}


QUICK = {"gaussian", "polynomial"}  # the others take ten seconds to compile


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in MODELS]
)
def model(request: pytest.FixtureRequest) -> Unbinned:
    """One model of each density."""
    return MODELS[request.param]()


def displaced(likelihood: Likelihood) -> jnp.ndarray:
    """Parameters away from the start values."""
    signs = np.where(np.arange(len(likelihood.parameters)) % 2, 1.0, -1.0)
    return jnp.asarray(likelihood.parameters.init + 0.03 * signs * np.maximum(np.abs(likelihood.parameters.init), 1.0))


def events(n: int, seed: int) -> np.ndarray:
    """Values across the range with a clump at the peak."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.uniform(LOW, HIGH, n // 2), np.clip(rng.normal(91.0, 2.0, n - n // 2), LOW, HIGH)])


@eqx.filter_jit
def curvature(likelihood: Likelihood, theta: jnp.ndarray, data: Data) -> object:
    """Closed form, and automatic differentiation beside it."""
    return likelihood.curvature_main(theta, data.main), Likelihood.curvature_main(likelihood, theta, data.main)


def test_log_main_is_the_naive_formula() -> None:
    """Barlow's extended likelihood, written with scipy."""
    likelihood, x = gaussian(), events(400, seed=1)
    mass, sigma, scale, n_signal, n_background, slope = THETA.tolist()
    normal = stats.norm(mass * (1.0 + 0.002 * scale), sigma)
    signal = normal.pdf(x) / (normal.cdf(HIGH) - normal.cdf(LOW))
    background = np.exp(slope * x) / integrate.quad(lambda t: np.exp(slope * t), LOW, HIGH)[0]
    expected = np.sum(np.log(n_signal * signal + n_background * background)) - n_signal - n_background
    assert likelihood.log_main(THETA, likelihood.data(x).main) == pytest.approx(expected, rel=1e-12)


def test_binned_log_main_is_the_naive_formula() -> None:
    """Poisson probabilities of the counts with expectations by scipy, factorials included."""
    edges = np.array([60.0, 80.0, 89.0, 91.0, 93.0, 120.0])
    likelihood = Binned(Parameters(GAUSSIAN), [peak_of_gaussian(), BACKGROUND], edges=edges)
    x = events(400, seed=1)
    counts, _ = np.histogram(x, edges)
    mass, sigma, scale, n_signal, n_background, slope = THETA.tolist()
    cdf = stats.norm(mass * (1.0 + 0.002 * scale), sigma).cdf(edges)
    falling = np.exp(slope * edges)
    expected = n_signal * np.diff(cdf) / (cdf[-1] - cdf[0])
    expected += n_background * np.diff(falling) / (falling[-1] - falling[0])
    data = likelihood.data(x)
    np.testing.assert_array_equal(data.main, counts)
    np.testing.assert_allclose(likelihood.expected_main(THETA), expected, rtol=1e-12)
    assert likelihood.log_main(THETA, data.main) == pytest.approx(stats.poisson.logpmf(counts, expected).sum())


def peak_of_gaussian() -> Component:
    """The signal of `gaussian`."""
    return peak(Gaussian, mean=SHIFTED_MASS, sigma="resolution")


def test_fit_of_a_gaussian_is_the_textbook_one() -> None:
    """N = n, mean = average, sigma^2 = mean square; uncertainties sqrt(n), sigma / sqrt(n), sigma / sqrt(2 n)."""
    x = np.random.default_rng(5).normal(90.0, 1.7, 900)
    sigma = Parameter("sigma", 1.2, (0.3, 5.0))
    likelihood = unbinned(peak(Gaussian, mean="mass", sigma="sigma"), parameters=(MASS, sigma, N_SIGNAL))
    result = fit(likelihood, likelihood.data(x))
    np.testing.assert_allclose(result.values, [x.mean(), x.std(), 900.0], rtol=1e-7)
    expected = [x.std() / 30.0, x.std() / np.sqrt(1800.0), 30.0]
    np.testing.assert_allclose(result.uncertainties, expected, rtol=1e-6)


def test_curvature_is_that_of_automatic_differentiation(model: Unbinned) -> None:
    """For every density: value, gradient and Hessian to 1e-10 of their size."""
    data = model.data(events(1200, seed=2))
    closed, automatic = curvature(model, displaced(model), data)
    assert closed.value == pytest.approx(float(automatic.value), rel=1e-12)
    scale = np.sqrt(np.abs(np.diagonal(automatic.hessian)))
    np.testing.assert_allclose(closed.gradient / scale, automatic.gradient / scale, atol=1e-9 * 1200)
    np.testing.assert_allclose(
        closed.hessian / np.outer(scale, scale), automatic.hessian / np.outer(scale, scale), atol=1e-8
    )


@pytest.mark.parametrize("name", ["polynomial", pytest.param("crystal_ball", marks=pytest.mark.slow)])
def test_binned_curvature_is_that_of_automatic_differentiation(name: str) -> None:
    """The same in bins, empty ones among them."""
    model = MODELS[name]()
    likelihood = in_bins(model, 60)
    closed, automatic = curvature(likelihood, displaced(model), likelihood.data(events(90, seed=2)))
    assert closed.value == pytest.approx(float(automatic.value), rel=1e-12)
    scale = np.sqrt(np.abs(np.diagonal(automatic.hessian))) + 1e-3
    np.testing.assert_allclose(closed.gradient / scale, automatic.gradient / scale, atol=1e-9 * 90)
    np.testing.assert_allclose(
        closed.hessian / np.outer(scale, scale), automatic.hessian / np.outer(scale, scale), atol=1e-8
    )


def in_bins(model: Unbinned, n_bins: int) -> Binned:
    """The same mixture in bins."""
    edges = jnp.linspace(LOW, HIGH, n_bins + 1)
    declared = [Component("all", 1.0, Exponential, {"slope": 0.0, "origin": 0.0})]
    return eqx.tree_at(lambda b: b.mixture, Binned(model.parameters, declared, edges=edges), model.mixture)


def test_asimov_gradient_vanishes_at_the_truth(model: Unbinned) -> None:
    """To 1e-8 events per natural step, kinks of the Crystal Ball included; the weights sum to the yields."""
    theta = displaced(model)
    main = model.expected_main(theta)
    closed = eqx.filter_jit(lambda likelihood, main: likelihood.curvature_main(theta, main))(model, main)
    scale = np.sqrt(np.diagonal(closed.hessian))
    assert np.all(np.abs(closed.gradient) < 1e-8 * scale)
    assert jnp.sum(main.weights) == pytest.approx(float(jnp.sum(model.mixture.totals(theta))), rel=1e-9)


def test_fine_bins_are_events(model: Unbinned) -> None:
    """With one event or none per bin of width h, log L_binned = log L_unbinned + n log h, up to O(h^2)."""
    theta, n_bins = displaced(model), 4000
    width = (HIGH - LOW) / n_bins
    x = LOW + width * (0.5 + 40.0 * np.arange(100))
    binned = in_bins(model, n_bins)
    fine = binned.log_main(theta, binned.data(x).main)
    expected = model.log_main(theta, model.data(x).main) + 100.0 * np.log(width)
    assert fine == pytest.approx(float(expected), abs=2e-3)


def test_padding_and_weights_count_as_they_should() -> None:
    """More capacity changes nothing; weight 2 is the event twice."""
    x = events(100, seed=3)
    small = gaussian()
    value = small.log_main(THETA, small.data(x).main)
    roomy = Unbinned(Parameters(GAUSSIAN), [peak_of_gaussian(), BACKGROUND], low=LOW, high=HIGH, capacity=9000)
    assert roomy.log_main(THETA, roomy.data(x).main) == pytest.approx(float(value), rel=1e-14)
    twice = small.log_main(THETA, small.data(np.tile(x, 2)).main)
    heavy = small.log_main(THETA, Events(jnp.asarray(x), jnp.full(100, 2.0)))
    assert heavy == pytest.approx(float(twice), rel=1e-14)


def test_an_impossible_event_has_probability_zero_and_no_nan() -> None:
    """Outside the support log f is -inf; the same place as padding does not matter, nor to the gradient."""
    falling = Component("triangle", "n_signal", Bernstein, {"coefficients": [1.0, 0.0]}, {"low": LOW, "high": HIGH})
    likelihood = unbinned(falling, parameters=(N_SIGNAL,))
    theta = jnp.array([10.0])
    impossible = Events(jnp.array([70.0, HIGH]), jnp.array([1.0, 1.0]))
    assert likelihood.log_main(theta, impossible) == -jnp.inf
    padded = Events(impossible.values, jnp.array([1.0, 0.0]))
    assert np.isfinite(likelihood.log_main(theta, padded))
    closed, automatic = curvature(likelihood, theta, Data(padded, jnp.zeros(0)))
    np.testing.assert_allclose(closed.gradient, [1.0 - 1.0 / 10.0])
    np.testing.assert_allclose(automatic.gradient, closed.gradient)


def test_an_argument_is_what_its_formula_says() -> None:
    """(base + sum shift p) product (1 + scale p), compiled and evaluated by hand."""
    argument = Argument("mass", shift={"scale": 0.5, "slope": -2.0}, scale={"scale": 0.01, "mass": 0.001})
    values = {p.name: p.init + 0.3 for p in GAUSSIAN}
    expected = (91.3 + 0.5 * 0.3 - 2.0 * 0.28) * (1.0 + 0.003) * (1.0 + 0.0913)
    assert argument.at(values) == pytest.approx(expected, rel=1e-14)
    assert set(argument.names) == {"mass", "scale", "slope"}
    parameters = Parameters(GAUSSIAN)
    likelihood = Unbinned(
        parameters, [Component("one", argument, Gaussian, {"mean": 90.0, "sigma": 1.0})], low=LOW, high=HIGH, capacity=9
    )
    theta = jnp.asarray(parameters.vector(values))
    assert likelihood.mixture.totals(theta)[0] == pytest.approx(expected, rel=1e-14)


@eqx.filter_jit
def toys(likelihood: Likelihood, theta: jnp.ndarray, keys: jax.Array) -> Events:
    """Toys along the first axis."""
    return jax.vmap(likelihood.sample_main, in_axes=(None, 0))(theta, keys)


def test_toy_yields_are_poisson() -> None:
    """Mean and variance of 4000 event counts against 1300 (false-alarm rate 1e-4 each)."""
    sample = toys(gaussian(), THETA, jax.random.split(jax.random.key(8), 4000))
    counts = np.asarray(jnp.sum(sample.weights, axis=1))
    z = (counts.mean() - 1300.0) / np.sqrt(1300.0 / 4000.0)
    assert abs(z) < stats.norm.isf(ALARM / 2.0)
    chi_square = np.sum((counts - 1300.0) ** 2) / 1300.0
    assert stats.chi2.ppf(ALARM / 2.0, 4000) < chi_square < stats.chi2.isf(ALARM / 2.0, 4000)


@pytest.mark.parametrize(
    "name", ["gaussian", *(pytest.param(n, marks=pytest.mark.slow) for n in ("crystal_ball", "radiated"))]
)
def test_toy_events_follow_the_density(name: str) -> None:
    """Two million events in 120 bins against the integrals: chi-square (false-alarm rate 1e-4).

    A density wrong by 1e-2 across a standard deviation of the peak would be found.
    """
    model = MODELS[name]()
    theta = displaced(model)
    binned = in_bins(model, 120)
    counts = np.zeros(120)
    for part in jax.random.split(jax.random.key(9), 4):
        sample = toys(model, theta, jax.random.split(part, 400))
        counts += np.histogram(sample.values, np.asarray(binned.edges), weights=np.asarray(sample.weights))[0]
    expected = np.asarray(binned.expected_main(theta))
    assert counts.sum() > 1.9e6
    assert stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > ALARM


def test_binned_toys_are_poisson() -> None:
    """Mean and variance by bin of 4000 toys, 12 bins: 24 comparisons at a rate of 1e-4 together."""
    likelihood = in_bins(gaussian(), 12)
    sample = np.asarray(toys(likelihood, THETA, jax.random.split(jax.random.key(10), 4000)))
    expected = np.asarray(likelihood.expected_main(THETA))
    limit = stats.norm.isf(ALARM / 48.0)
    assert np.all(np.abs(sample.mean(axis=0) - expected) < limit * np.sqrt(expected / 4000.0))
    variance = np.mean((sample - expected) ** 2, axis=0)
    spread = np.sqrt((2.0 * expected**2 + expected) / 4000.0)
    assert np.all(np.abs(variance - expected) < 1.2 * limit * spread)


@pytest.mark.slow
def test_toys_pull_as_a_standard_normal() -> None:
    """Fits of 60 toys: mean of the mass pulls within 1e-4 of zero, their sum of squares that of a chi-square."""
    likelihood = gaussian()
    pulls = []
    for key in jax.random.split(jax.random.key(11), 60):
        result = fit(likelihood, likelihood.sample(THETA, key))
        assert result.certificate.trustworthy
        pulls.append((result.value("mass") - 90.6) / result.uncertainty("mass"))
    assert abs(np.sum(pulls)) / np.sqrt(60.0) < stats.norm.isf(ALARM / 2.0)
    assert stats.chi2.ppf(ALARM / 2.0, 60) < np.sum(np.square(pulls)) < stats.chi2.isf(ALARM / 2.0, 60)


def test_a_toy_that_overflows_is_reported() -> None:
    """With room for 10 of 1300 events the weights are NaN, and so is the likelihood: a fit cannot succeed."""
    likelihood = unbinned(peak_of_gaussian(), BACKGROUND, parameters=GAUSSIAN, capacity=10)
    toy = likelihood.sample(THETA, jax.random.key(1))
    assert np.all(np.isnan(toy.main.weights))
    assert np.isnan(likelihood.logpdf(THETA, toy))
    with pytest.raises(DataError, match="finite"):
        check_data(likelihood, toy)


@pytest.mark.parametrize("mean", [0.0, 0.3, 10.0, 1e3, 1e6])
def test_room_is_enough(mean: float) -> None:
    """The Poisson tail beyond the capacity is below 1e-20."""
    assert stats.poisson.logsf(room_for(mean), mean) < np.log(1e-20)


@pytest.mark.slow
def test_binned_and_unbinned_fits_agree() -> None:
    """In 240 bins, values to a twentieth of a standard deviation and uncertainties to a per cent."""
    likelihood = gaussian()
    toy = likelihood.sample(THETA, jax.random.key(12))
    first = fit(likelihood, toy)
    binned = in_bins(likelihood, 240)
    x = np.asarray(toy.main.values)[np.asarray(toy.main.weights) > 0.0]
    second = fit(binned, Data(binned.data(x).main, toy.aux))
    assert np.all(np.abs(first.values - second.values) < 0.05 * first.uncertainties)
    np.testing.assert_allclose(second.uncertainties, first.uncertainties, rtol=0.01)


def test_data_refuse_what_does_not_fit() -> None:
    """Events outside the range, NaN, or more than the capacity."""
    likelihood = unbinned(peak_of_gaussian(), BACKGROUND, parameters=GAUSSIAN, capacity=5)
    for values, words in (
        ([70.0, 130.0, 59.0], "2 are outside, the first at 130"),
        ([np.nan], "outside, the first at nan"),
        ([90.0] * 6, "at most 5 events, the capacity, got 6"),
    ):
        with pytest.raises(DataError, match=words):
            likelihood.data(values)


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (Events(jnp.array([130.0]), jnp.ones(1)), "within the range from 60 to 120"),
        (eqx.tree_at(lambda e: e.weights, Events(jnp.full(2, 90.0), jnp.ones(2)), jnp.ones(1)), "shape"),
        (Events(jnp.array([90.0]), jnp.array([jnp.nan])), "finite"),
        (jnp.array([90.0]), "entries"),
        ((), "entries"),
    ],
    ids=["outside", "lengths", "nan", "array", "nothing"],
)
def test_main_data_are_checked(main: object, words: str) -> None:
    """A fit refuses main data that are not events of this range."""
    with pytest.raises(DataError, match=words):
        check_data(gaussian(), Data(main, jnp.array([1.2, 0.0])))


def test_events_of_any_length_are_accepted() -> None:
    """Asimov events and toys differ in length, and both fit."""
    likelihood = gaussian()
    check_data(likelihood, likelihood.expected(THETA))
    check_data(likelihood, likelihood.sample(THETA, jax.random.key(0)))


def test_declarations_refuse_what_makes_no_sense() -> None:
    """Repeated components, unknown names, reversed ranges, no capacity, and peaks between the nodes."""
    narrow = peak(Gaussian, mean=91.0, sigma=1.0)
    parameters = Parameters((N_SIGNAL,))
    for components, options, error, words in (
        ([narrow, narrow], {}, ParameterError, "different names"),
        ([], {}, ParameterError, "one or more components"),
        ([peak(Gaussian, mean="mas", sigma=1.0)], {}, ParameterError, "unknown parameter 'mas'"),
        ([narrow], {"low": 120.0, "high": 60.0}, DataError, "increase"),
        ([narrow], {"capacity": 0}, DataError, "capacity of one"),
        ([peak(Voigt, mass=91.0, width=0.01, resolution=0.01)], {}, ParameterError, "'signal' integrates to"),
        ([peak(Exponential, slope=90.0, origin=LOW)], {}, ParameterError, "integrates to inf"),
    ):
        with pytest.raises(error, match=words):
            Unbinned(parameters, components, **({"low": LOW, "high": HIGH, "capacity": 10} | options))
    with pytest.raises(DataError, match="increase"):
        Binned(parameters, [narrow], edges=[60.0, 80.0, 80.0])
    with pytest.raises(ParameterError, match="narrower bins"):
        Binned(parameters, [peak(Voigt, mass=91.0, width=0.1, resolution=0.1)], edges=[60.0, 90.0, 120.0])
