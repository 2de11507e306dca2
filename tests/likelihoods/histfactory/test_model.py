"""HistFactory: pyhf's log-probabilities, closed-form derivatives against autodiff, and empty bins."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pyhf
import pytest
from scipy import stats

from infer.constraints import Curvature
from infer.data import Data
from infer.errors import DataError
from infer.likelihood import Likelihood, check_data
from infer.likelihoods.histfactory.model import HistFactory, Interpolation
from infer.likelihoods.histfactory.spec import parse_workspace
from infer.typing import Matrix, Scalar, Vector
from tests.io.broken import CONFIG, FAKES, SIGNAL, TTBAR, add, edited, put, valid_workspace

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")  # raised inside pyhf

FloatArray = npt.NDArray[np.float64]
Document = dict[str, Any]
N_POINTS = 8


# ------------------------------------------------------------------------------------------ workspaces


def modifier(name: str, kind: str, data: object = None) -> Document:
    """One modifier."""
    return {"name": name, "type": kind, "data": data}


def workspace(
    channels: dict[str, dict[str, tuple[list[float], list[Document]]]],
    observed: dict[str, list[float]],
    parameters: list[Document] | None = None,
) -> Document:
    """A workspace from nested dictionaries, with `mu` of interest."""
    return {
        "version": "1.0.0",
        "channels": [
            {"name": c, "samples": [{"name": s, "data": d, "modifiers": m} for s, (d, m) in samples.items()]}
            for c, samples in channels.items()
        ],
        "observations": [{"name": name, "data": data} for name, data in observed.items()],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": parameters or []}}],
    }


MU = modifier("mu", "normfactor")


def norm(name: str, lo: float, hi: float) -> Document:
    """A normalisation systematic."""
    return modifier(name, "normsys", {"lo": lo, "hi": hi})


def histo(name: str, lo: list[float], hi: list[float]) -> Document:
    """A shape systematic."""
    return modifier(name, "histosys", {"lo_data": lo, "hi_data": hi})


def all_seven() -> Document:
    """Every type of modifier, in two channels of 3 and 2 bins."""
    return valid_workspace()


def shared_names() -> Document:
    """One staterror and one shapefactor in two channels, one name for normsys and histosys, several factors per bin."""
    stat = {"A": [3.0, 2.0], "B": [4.0, 1.0]}
    return workspace(
        {
            "B": {
                "signal": ([4.0, 8.0], [MU, norm("theory", 0.8, 1.3), norm("jes", 0.9, 1.2)]),
                "background": (
                    [60.0, 40.0],
                    [
                        modifier("shape", "shapefactor"),
                        modifier("mc", "staterror", stat["B"]),
                        histo("jes", [56.0, 41.0], [66.0, 37.0]),
                        norm("jes", 0.93, 1.04),
                    ],
                ),
            },
            "A": {
                "signal": ([9.0, 2.0], [MU, modifier("mc_signal", "staterror", [0.5, 0.2]), norm("theory", 0.8, 1.3)]),
                "background": (
                    [90.0, 30.0],
                    [
                        modifier("shape", "shapefactor"),
                        modifier("mc", "staterror", stat["A"]),
                        modifier("own", "shapesys", [9.0, 4.0]),
                        norm("xsec", 0.95, 1.05),
                        histo("jes", [85.0, 31.0], [99.0, 28.0]),
                    ],
                ),
                "other": ([20.0, 12.0], [modifier("k", "normfactor"), MU, histo("jer", [18.0, 13.0], [18.0, 14.0])]),
            },
        },
        {"A": [131.0, 40.0], "B": [70.0, 44.0]},
    )


def one_bin_channels() -> Document:
    """Three channels of one bin, as many searches have, with a frozen staterror component of an empty sample."""

    def channel(n: float, s: float) -> dict[str, tuple[list[float], list[Document]]]:
        return {
            "signal": ([s], [MU, norm("theory", 0.9, 1.1)]),
            "background": ([n], [norm("jes", 0.85, 1.1), norm("norm", 0.9, 1.15), histo("jer", [0.9 * n], [1.2 * n])]),
            "empty": ([0.0], [modifier(f"mc_{n:g}", "staterror", [0.0])]),
        }

    return workspace(
        {"A": channel(3.0, 2.0), "B": channel(12.0, 1.0), "C": channel(55.0, 7.0)},
        {"A": [5.0], "B": [9.0], "C": [60.0]},
    )


def ragged_channels() -> Document:
    """Channels of 7, 1, 1 and 4 bins, whose staterror leaves a sample out, and many shapes beside few factors."""

    def channel(name: str, n_bins: int) -> dict[str, tuple[list[float], list[Document]]]:
        x = np.linspace(-1.0, 1.0, n_bins)
        background, other = 30.0 - 10.0 * x, 8.0 + 5.0 * x**2

        def shift(parameter: str, up: FloatArray, down: FloatArray) -> Document:
            return histo(parameter, (background * (1.0 - down)).tolist(), (background * (1.0 + up)).tolist())

        shapes = [
            shift("jes", 0.1 * x, 0.08 * x),
            shift("jer", 0.05 * x**2, 0.02 * x),
            shift("tune", 0.1 + 0.0 * x, 0.1 * x),
        ]
        stat = modifier(f"mc_{name}", "staterror", (0.1 * background).tolist())
        return {
            "signal": ((2.0 + x).tolist(), [MU]),
            "background": (background.tolist(), [*shapes, stat, norm("xsec", 0.9, 1.1)]),
            "other": (other.tolist(), [stat, histo("jes", (0.9 * other).tolist(), (1.2 * other).tolist())]),
        }

    sizes = {"A": 7, "B": 1, "C": 1, "D": 4}
    observed = {name: [45.0 - i for i in range(n)] for name, n in sizes.items()}
    return workspace({name: channel(name, n) for name, n in sizes.items()}, observed)


def configured() -> Document:
    """Settings of a measurement: start values, bounds, fixed parameters, auxiliary data, widths and factors."""
    settings = [
        {"name": "jes", "inits": [0.5], "bounds": [[-3.0, 3.0]], "auxdata": [0.4]},
        {"name": "tt", "fixed": True, "inits": [1.1]},
        {"name": "stat_SR", "auxdata": [1.1, 0.9, 1.0], "sigmas": [0.04, 0.05, 0.06]},
        {"name": "fake_rate", "auxdata": [15.0, 10.0, 17.0], "factors": [16.0, 9.0, 16.0]},
    ]
    return edited(*(add(*CONFIG, "parameters", setting) for setting in settings))


DOCUMENTS: dict[str, Callable[[], Document]] = {
    "all seven": all_seven,
    "shared names": shared_names,
    "one-bin channels": one_bin_channels,
    "ragged channels": ragged_channels,
    "configured": configured,
}
CODES = [
    Interpolation(normsys, histosys) for normsys in ("code1", "code4") for histosys in ("code0", "code2", "code4p")
]
EVERY = pytest.mark.parametrize("name", list(DOCUMENTS))
EVERY_CODE = pytest.mark.parametrize("codes", CODES, ids=lambda codes: f"{codes.normsys}-{codes.histosys}")


def built(document: Document, codes: Interpolation | None = None) -> tuple[HistFactory, Data]:
    """Model and observed data."""
    return HistFactory.of(parse_workspace(document), interpolation=codes)


def reference(document: Document, codes: Interpolation | None = None) -> tuple[Any, FloatArray]:
    """The same by pyhf."""
    codes = codes or Interpolation()
    settings = {"normsys": {"interpcode": codes.normsys}, "histosys": {"interpcode": codes.histosys}}
    pyhf.set_backend("numpy", precision="64b")
    spec = pyhf.Workspace(document)
    model = spec.model(modifier_settings=settings)
    return model, np.asarray(spec.data(model))


def points(likelihood: Likelihood, n: int, *, reach: float, seed: int) -> FloatArray:
    """Random points about the start values: ``reach`` standard deviations, or half of a free parameter's start."""
    noise = np.asarray(
        jax.random.uniform(jax.random.key(seed), (n, len(likelihood.parameters)), minval=-1.0, maxval=1.0)
    )
    width = np.asarray([min(p.prefit_uncertainty() or 0.5, 1.0) for p in likelihood.parameters.values()])
    reaches = np.where(width < 1.0, np.minimum(reach * width, 0.6), reach)
    return np.asarray(likelihood.parameters.init + reaches * noise)


@eqx.filter_jit
def logpdf(likelihood: Likelihood, theta: Vector, data: Data) -> Scalar:
    """Log-probability."""
    return likelihood.logpdf(theta, data)


def assert_equals_pyhf(
    document: Document, codes: Interpolation | None, *, reach: float, n: int = N_POINTS, seed: int = 5
) -> None:
    """Log-probabilities and rates equal pyhf's to 1e-9 at random points, parameters matched by name."""
    likelihood, data = built(document, codes)
    model, counts = reference(document, codes)
    names = model.config.par_names
    assert set(names) == set(likelihood.parameters)
    for point in points(likelihood, n, reach=reach, seed=seed):
        theirs = [point[likelihood.parameters.position(name)] for name in names]
        rates = likelihood.expected_main(jnp.asarray(point))
        np.testing.assert_allclose(rates, model.expected_actualdata(theirs), rtol=1e-12)
        assert np.all(rates > 0.0)
        wanted = float(model.logpdf(theirs, counts)[0])
        np.testing.assert_allclose(float(logpdf(likelihood, jnp.asarray(point), data)), wanted, rtol=1e-9)


# ------------------------------------------------------------------------------------------ against pyhf


@pytest.mark.slow
@EVERY
def test_logpdf_equals_that_of_pyhf(name: str) -> None:
    """Rates and log-probability are pyhf's to 1e-9 at random points, some far outside |alpha| = 1."""
    assert_equals_pyhf(DOCUMENTS[name](), None, reach=2.5)


@EVERY_CODE
def test_interpolation_codes_equal_those_of_pyhf(codes: Interpolation) -> None:
    """The same for every pair of codes; code 2 within |alpha| < 1 only, since pyhf's jumps there (B15)."""
    assert_equals_pyhf(shared_names(), codes, reach=0.99 if codes.histosys == "code2" else 2.5, n=4)


@EVERY
def test_parameters_are_those_of_pyhf(name: str) -> None:
    """Start values, bounds, fixed parameters and auxiliary data are pyhf's, by name."""
    document = DOCUMENTS[name]()
    likelihood, data = built(document)
    model, counts = reference(document)
    config, ours = model.config, likelihood.parameters
    at = ours.positions(config.par_names)
    np.testing.assert_allclose(ours.init[at], config.suggested_init())
    np.testing.assert_allclose(np.stack([ours.lower, ours.upper])[:, at].T, config.suggested_bounds())
    assert ours.poi == config.poi_name
    assert [bool(f) for f in ours.fixed[at]] == [bool(f) for f in config.suggested_fixed()]
    aux = dict(zip(ours.constrained, np.asarray(data.aux).tolist(), strict=True))
    theirs = [n for p in config.auxdata_order for n in config.par_names if n == p or n.startswith(f"{p}[")]
    assert len(theirs) == len(config.auxdata)
    np.testing.assert_allclose([aux[n] for n in theirs], counts[config.nmaindata :])


def test_asimov_data_are_those_of_pyhf() -> None:
    """Main and auxiliary Asimov data are pyhf's at a random point."""
    document = shared_names()
    likelihood, _ = built(document)
    model, _ = reference(document)
    point = points(likelihood, 1, reach=1.5, seed=8)[0]
    theirs = [point[likelihood.parameters.position(name)] for name in model.config.par_names]
    expected = likelihood.expected(jnp.asarray(point))
    np.testing.assert_allclose(expected.main, model.expected_actualdata(theirs), rtol=1e-12)
    np.testing.assert_allclose(np.sort(expected.aux), np.sort(model.expected_auxdata(theirs)), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "name",
    [
        "2018-22_SSd",
        pytest.param("2018-31_SRA", marks=pytest.mark.slow),
        pytest.param("ttbar_ljets_xsec", marks=pytest.mark.slow),
    ],
)
def test_published_likelihoods_equal_pyhf(name: str, likelihoods: Path) -> None:
    """Rates and log-probability of published likelihoods are pyhf's to 1e-9."""
    document = json.loads((likelihoods / f"{name}.json").read_text(encoding="utf-8"))
    assert_equals_pyhf(document, None, reach=0.9, n=3)


# ------------------------------------------------------------------------------------------- derivatives


@eqx.filter_jit
def closed_form(likelihood: Likelihood, theta: Vector, main: Vector) -> Curvature:
    """The model's own derivatives."""
    return likelihood.curvature_main(theta, main)


@eqx.filter_jit
def automatic(likelihood: Likelihood, theta: Vector, main: Vector) -> Curvature:
    """The default of the contract."""
    return Likelihood.curvature_main(likelihood, theta, main)


def assert_derivatives(likelihood: HistFactory, theta: FloatArray, main: Vector) -> None:
    """Value, gradient and Hessian equal those of autodiff."""
    ours = closed_form(likelihood, jnp.asarray(theta), main)
    other = automatic(likelihood, jnp.asarray(theta), main)
    size = float(jnp.max(jnp.abs(other.hessian)))
    np.testing.assert_allclose(ours.value, other.value, rtol=1e-12)
    np.testing.assert_allclose(ours.gradient, other.gradient, rtol=1e-9, atol=1e-11 * size)
    np.testing.assert_allclose(ours.hessian, other.hessian, rtol=1e-8, atol=1e-11 * size)
    np.testing.assert_allclose(ours.hessian, ours.hessian.T, rtol=1e-12, atol=1e-13 * size)


@pytest.mark.slow
@EVERY
def test_closed_form_equals_autodiff(name: str) -> None:
    """The closed-form curvature is that of autodiff at random points, within and outside |alpha| = 1 (B18)."""
    likelihood, data = built(DOCUMENTS[name]())
    for point in np.concatenate([points(likelihood, 3, reach=r, seed=s) for r, s in ((0.9, 6), (3.0, 7))]):
        assert_derivatives(likelihood, point, data.main)


@pytest.mark.slow
@EVERY_CODE
def test_closed_form_equals_autodiff_for_every_code(codes: Interpolation) -> None:
    """The same for every pair of interpolation codes."""
    likelihood, data = built(shared_names(), codes)
    for point in points(likelihood, 2, reach=2.0, seed=9):
        assert_derivatives(likelihood, point, data.main)


@pytest.mark.parametrize("mu", [0.0, -0.3, 1e-35, -1e-12], ids=["zero", "negative", "tiny", "tiny negative"])
@EVERY
def test_closed_form_where_a_factor_vanishes(name: str, mu: float) -> None:
    """Logarithmic derivatives are taken of factors, yet a factor of zero or below gives autodiff's numbers."""
    likelihood, data = built(DOCUMENTS[name]())
    theta = points(likelihood, 1, reach=1.3, seed=10)[0]
    theta[likelihood.parameters.position("mu")] = mu
    assert_derivatives(likelihood, theta, data.main)


def test_closed_form_where_two_factors_vanish() -> None:
    """Two factors of zero on one sample: the mixed second derivative is the sample's rate, not zero."""
    likelihood, data = built(shared_names())
    theta = likelihood.parameters.vector({"mu": 0.0, "k": 0.0})
    assert_derivatives(likelihood, theta, data.main)
    hessian = np.asarray(closed_form(likelihood, jnp.asarray(theta), data.main).hessian)
    mixed = hessian[likelihood.parameters.position("mu"), likelihood.parameters.position("k")]
    rate = np.asarray(likelihood.expected_main(jnp.asarray(theta)))[:2]
    assert mixed == pytest.approx(float(np.sum((1.0 - np.asarray(data.main)[:2] / rate) * [20.0, 12.0])))


def test_start_values_are_at_the_middle_of_the_codes() -> None:
    """At alpha = 0 exactly, where the code of every published likelihood starts, derivatives are autodiff's."""
    likelihood, data = built(shared_names())
    assert_derivatives(likelihood, np.array(likelihood.parameters.init), data.main)


@pytest.mark.parametrize("alpha", [-1.0, 1.0])
def test_edges_of_the_codes(alpha: float) -> None:
    """At alpha = -1 and +1 exactly, where two pieces meet, derivatives are autodiff's."""
    likelihood, data = built(shared_names())
    theta = likelihood.parameters.vector(dict.fromkeys(("jes", "jer", "theory", "xsec"), alpha))
    assert_derivatives(likelihood, theta, data.main)


def test_curvature_is_vectorised_over_parameters() -> None:
    """The closed form under vmap is the closed form in a loop."""
    likelihood, data = built(all_seven())
    many = jnp.asarray(points(likelihood, 3, reach=1.5, seed=11))

    @eqx.filter_jit
    def hessians(thetas: Matrix) -> Any:
        return jax.vmap(lambda theta: likelihood.curvature_main(theta, data.main).hessian)(thetas)

    for theta, hessian in zip(many, hessians(many), strict=True):
        np.testing.assert_allclose(hessian, closed_form(likelihood, theta, data.main).hessian, rtol=1e-10, atol=1e-10)


# -------------------------------------------------------------------------------------- the edge of reason


def empty_bins(observed: float) -> tuple[HistFactory, Data]:
    """Two bins; in the second, signal alone is expected, and ``observed`` events are seen."""
    document = workspace(
        {
            "A": {
                "signal": ([2.0, 3.0], [MU, norm("theory", 0.9, 1.1)]),
                "background": ([5.0, 0.0], [norm("b", 0.8, 1.2), modifier("own", "shapesys", [1.0, 0.0])]),
            }
        },
        {"A": [7.0, observed]},
    )
    return built(document)


def test_bin_without_events_and_rate() -> None:
    """A zero rate with zero events has probability one: finite value and derivatives, which are one-sided limits."""
    likelihood, data = empty_bins(0.0)
    theta = jnp.asarray(likelihood.parameters.vector({"mu": 0.0}))
    curvature = closed_form(likelihood, theta, data.main)
    assert float(likelihood.log_main(theta, data.main)) == pytest.approx(float(stats.poisson.logpmf(7, 5.0)), rel=1e-12)
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(curvature))
    slope = float(curvature.gradient[likelihood.parameters.position("mu")])
    assert slope == pytest.approx(2.0 * (1.0 - 7.0 / 5.0) + 3.0)


def test_events_where_none_are_expected() -> None:
    """A zero rate with events is impossible: log-probability -inf, and nothing is NaN."""
    likelihood, data = empty_bins(2.0)
    theta = jnp.asarray(likelihood.parameters.vector({"mu": 0.0}))
    assert float(likelihood.log_main(theta, data.main)) == -np.inf
    curvature = closed_form(likelihood, theta, data.main)
    assert not any(bool(jnp.any(jnp.isnan(leaf))) for leaf in jax.tree.leaves(curvature))


@pytest.mark.parametrize("mu", [-3.0, -1e-9])
def test_negative_rate_with_events_is_impossible(mu: float) -> None:
    """Events where a negative number is expected have log-probability -inf, and nothing is NaN."""
    likelihood, data = empty_bins(2.0)
    theta = jnp.asarray(likelihood.parameters.vector({"mu": mu}))
    assert float(likelihood.log_main(theta, data.main)) == -np.inf
    curvature = closed_form(likelihood, theta, data.main)
    assert not any(bool(jnp.any(jnp.isnan(leaf))) for leaf in jax.tree.leaves(curvature))


@pytest.mark.slow
@pytest.mark.parametrize("mu", [-1.0, -1e-9, -1e-35, 0.5])
def test_empty_bin_goes_on_straight_below_zero(mu: float) -> None:
    """With zero counts the log-probability is minus the rate, of either sign, as in pyhf; derivatives by autodiff."""
    likelihood, data = empty_bins(0.0)
    theta = likelihood.parameters.vector({"mu": mu, "theory": 0.4, "b": -0.3})
    rates = np.asarray(likelihood.expected_main(jnp.asarray(theta)))
    assert np.sign(rates[1]) == np.sign(mu)
    backend = pyhf.tensor.numpy_backend(precision="64b")
    wanted = float(np.sum(backend.poisson_logpdf(np.asarray(data.main), rates)))
    assert float(likelihood.log_main(jnp.asarray(theta), data.main)) == pytest.approx(wanted, rel=1e-12)
    assert_derivatives(likelihood, theta, data.main)


def dipping() -> tuple[HistFactory, Data]:
    """Templates that a shift makes negative, in two empty bins of channel B, under every kind of factor."""
    stat = modifier("mc", "staterror", [0.3, 0.2, 0.2])
    background = [histo("jes", [2.0, 0.9, 1.2], [4.0, -0.5, -0.2]), modifier("own", "shapesys", [0.5, 0.1, 0.1])]
    document = workspace(
        {
            "A": {"background": ([50.0], [histo("jes", [45.0], [55.0]), norm("xsec", 0.9, 1.1)])},
            "B": {
                "signal": ([1.0, 0.1, 0.1], [MU, stat, norm("xsec", 0.8, 1.3)]),
                "background": ([3.0, 0.2, 0.5], [*background, stat, norm("xsec", 0.9, 1.2)]),
                "other": (
                    [1.0, 0.0, 0.0],
                    [modifier("k", "normfactor"), histo("jer", [0.9, 0.1, 0.0], [1.2, -0.1, 0.0])],
                ),
            },
        },
        {"A": [52.0], "B": [4.0, 0.0, 0.0]},
    )
    return built(document)


@pytest.mark.slow
@pytest.mark.parametrize("mu", [0.0, 0.7])
@pytest.mark.parametrize("alpha", [0.5, 2.0, 4.5])
def test_closed_form_at_negative_rates_of_empty_bins(alpha: float, mu: float) -> None:
    """Shifted below zero in empty bins, at mu = 0 and with bin-by-bin factors at their bounds, it is autodiff's."""
    likelihood, data = dipping()
    parameters = likelihood.parameters
    gammas = {name: parameters.lower[at] for at, name in enumerate(parameters) if name in ("mc[1]", "own[2]")}
    for extra in ({}, gammas, dict.fromkeys(gammas, 10.0)):
        theta = parameters.vector({"jes": alpha, "jer": 1.5, "mu": mu, "k": 0.0, **extra})
        assert_derivatives(likelihood, theta, data.main)
    assert np.min(likelihood.expected_main(jnp.asarray(parameters.vector({"jes": 2.0, "jer": 1.5})))) < -0.1


def test_negative_rates_of_empty_bins_are_remarked() -> None:
    """The certificate of a fit that ends there names the first bin and the lowest rate; elsewhere nothing is said."""
    likelihood, data = dipping()
    theta = jnp.asarray(likelihood.parameters.vector({"jes": 2.0, "mu": 0.0}))
    rates = np.asarray(likelihood.expected_main(theta))
    (remark,) = likelihood.remarks_at(theta, data.main)
    assert (
        remark == f"2 empty bins, first bin 1 of channel 'B', would hold down to {rates.min():.3g} events at this point"
    )
    one = jnp.asarray(likelihood.parameters.vector({"jes": 0.5, "mu": 0.0}))
    assert np.sum(np.asarray(likelihood.expected_main(one)) < 0.0) == 1
    assert likelihood.remarks_at(one, data.main)[0].startswith("1 empty bin, first bin 1 of channel 'B', ")
    assert likelihood.remarks_at(jnp.asarray(likelihood.parameters.init), data.main) == ()
    assert likelihood.remarks_at(theta, data.main + 1.0) == ()


def test_sampling_a_negative_rate_gives_no_events() -> None:
    """Toys of an impossible rate hold zero events there, not garbage."""
    likelihood, _ = empty_bins(0.0)
    theta = jnp.asarray(likelihood.parameters.vector({"mu": -1.0}))
    toy = likelihood.sample_main(theta, jax.random.key(2))
    assert float(toy[1]) == 0.0


def test_many_events_in_many_bins() -> None:
    """A million events in each of 10,000 bins are no problem of range (B17): the sum of scipy's log-probabilities."""
    n_bins = 10_000
    nominal = (1e6 + 1e3 * np.cos(np.arange(n_bins))).tolist()
    observed = np.round(1e6 + 1e3 * np.sin(np.arange(n_bins)))
    document = workspace({"A": {"all": (nominal, [MU, norm("n", 0.99, 1.01)])}}, {"A": observed.tolist()})
    likelihood, data = built(document)
    theta = jnp.asarray([1.001, 0.0])
    rate = 1.001 * np.asarray(nominal)
    wanted = float(np.sum(stats.poisson.logpmf(observed, rate)))
    assert float(likelihood.log_main(theta, data.main)) == pytest.approx(wanted, rel=1e-10)
    gradient = closed_form(likelihood, theta, data.main).gradient
    assert float(gradient[0]) == pytest.approx(float(np.sum(nominal - observed / 1.001)), rel=1e-9)


def test_counts_of_another_shape_or_sign_are_refused() -> None:
    """One count per bin, finite and not negative."""
    likelihood, data = built(all_seven())
    for main, message in (
        (jnp.zeros(4), "expected 5 counts, one per bin"),
        (data.main.at[0].set(-1.0), "not negative"),
        (data.main.at[0].set(jnp.nan), "finite"),
    ):
        with pytest.raises(DataError, match=message):
            check_data(likelihood, Data(main, data.aux))


def test_layout_says_where_the_channels_are() -> None:
    """Channels are sorted by name, with their samples in the order of the document."""
    likelihood, data = built(all_seven())
    layout = {c.name: (c.first, c.n_bins, c.samples) for c in likelihood.channels}
    assert layout == {"CR": (0, 2, ("ttbar", "qcd")), "SR": (2, 3, ("signal", "ttbar", "fakes"))}
    assert data.main.tolist() == [128.0, 103.0, 60.0, 52.0, 27.0]


def test_frozen_components_are_said() -> None:
    """A component without rate or uncertainty is held at 1, and the likelihood's remarks say so (B13)."""
    likelihood, _ = built(edited(put(*FAKES, "modifiers", 0, "data", [1.0, 0.0, 0.5])))
    assert likelihood.parameters["fake_rate[1]"].fixed
    assert not likelihood.parameters["fake_rate[0]"].fixed
    assert any("fake_rate" in remark for remark in likelihood.remarks)


def test_entries_add_up_to_the_rates() -> None:
    """Entries by bin and sample are what the workspace says, and add up to the rates."""
    likelihood, _ = built(edited(put(*SIGNAL, "modifiers", [MU]), put(*TTBAR, "modifiers", [])))
    theta = jnp.asarray(likelihood.parameters.vector({"mu": 2.0}))
    entries = likelihood.entries(theta)
    np.testing.assert_allclose(jnp.sum(entries, axis=1), likelihood.expected_main(theta))
    np.testing.assert_allclose(entries[2:, 0], [10.0, 20.0, 6.0])
    np.testing.assert_allclose(entries[2:, 1], [50.0, 40.0, 20.0])
