"""Spectra: events and intensities against closed forms, and inside combinations."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from infer.errors import ParameterError
from infer.likelihood import Product, Renamed
from infer.likelihoods.gaussian import Measured, combine_measurements
from infer.likelihoods.parametric import Binned, Component, Unbinned
from infer.likelihoods.parametric.spectrum import spectra
from infer.numerics.densities import Exponential, Gaussian
from infer.parameters import Parameter, Parameters

LOW, HIGH = -4.0, 6.0
PARAMETERS = Parameters(
    [
        Parameter("n", 300.0, (0.0, np.inf)),
        Parameter("mean", 1.0),
        Parameter("sigma", 0.5, (0.1, 3.0)),
        Parameter("b", 200.0, (0.0, np.inf)),
    ],
    poi="n",
)
COMPONENTS = [
    Component("peak", "n", Gaussian, {"mean": "mean", "sigma": "sigma"}),
    Component("slope", "b", Exponential, {"slope": -0.2}, {"origin": 0.0}),
]
EVENTS = np.array([-3.9, 0.5, 0.9, 1.0, 1.1, 1.4, 5.0])


def unbinned() -> Unbinned:
    """A normal peak on an exponential, in a range that holds the peak."""
    return Unbinned(PARAMETERS, COMPONENTS, low=LOW, high=HIGH, capacity=10)


def peak(x: object, mean: float = 1.0) -> np.ndarray:
    """Intensity of the peak at the start values, by scipy."""
    cut = stats.norm.cdf(HIGH, mean, 0.5) - stats.norm.cdf(LOW, mean, 0.5)
    return 300.0 * stats.norm.pdf(x, mean, 0.5) / cut


def background(x: object) -> np.ndarray:
    """Intensity of the exponential at the start values, by hand."""
    return 200.0 * np.exp(-0.2 * np.asarray(x)) * 0.2 / (np.exp(-0.2 * LOW) - np.exp(-0.2 * HIGH))


def test_curves_and_events_in_closed_form() -> None:
    """Components are yields times densities; expected events are their integrals over the bins."""
    likelihood = unbinned()
    data = likelihood.data(EVENTS)
    (s,) = spectra(likelihood, data.main, values=PARAMETERS.init, covariance=np.zeros((4, 4)), n_bins=5)
    assert list(s.components) == ["Gaussian", "Exponential"]
    np.testing.assert_allclose(s.components["Gaussian"], peak(s.x), rtol=1e-9)
    np.testing.assert_allclose(s.components["Exponential"], background(s.x), rtol=1e-9)
    np.testing.assert_allclose(s.total, peak(s.x) + background(s.x), rtol=1e-9)
    assert s.edges.tolist() == [-4.0, -2.0, 0.0, 2.0, 4.0, 6.0]
    assert s.counts.tolist() == [1.0, 0.0, 5.0, 0.0, 1.0]
    ends = np.diff(300.0 * stats.norm.cdf(s.edges, 1.0, 0.5)) + np.diff(-background(s.edges) / 0.2)
    np.testing.assert_allclose(s.expected, ends, rtol=1e-6)
    assert np.all(s.total_uncertainty == 0.0)


def test_uncertainty_in_closed_form() -> None:
    """With variances of both yields and of the mean, and the first two anticorrelated."""
    likelihood = unbinned()
    covariance = np.zeros((4, 4))
    at = PARAMETERS.positions(["n", "b"])
    covariance[np.ix_(at, at)] = [[400.0, -150.0], [-150.0, 225.0]]
    covariance[1, 1] = 0.01
    main = likelihood.data(EVENTS).main
    (s,) = spectra(likelihood, main, values=PARAMETERS.init, covariance=covariance)
    f, g = peak(s.x) / 300.0, background(s.x) / 200.0
    moved = (peak(s.x, 1.0 + 1e-5) - peak(s.x, 1.0 - 1e-5)) / 2e-5
    expected = 400.0 * f**2 + 225.0 * g**2 - 300.0 * f * g + 0.01 * moved**2
    np.testing.assert_allclose(s.total_uncertainty**2, expected, rtol=1e-6)


def test_binned_data_keep_their_bins() -> None:
    """Counts are those of the fit, expected events those of the likelihood."""
    likelihood = Binned(PARAMETERS, COMPONENTS, edges=[-4.0, 0.0, 1.0, 6.0])
    counts = jnp.asarray([90.0, 140.0, 270.0])
    (s,) = spectra(likelihood, counts, values=PARAMETERS.init, covariance=np.eye(4), n_bins=7)
    assert s.edges.tolist() == [-4.0, 0.0, 1.0, 6.0]
    assert s.counts.tolist() == [90.0, 140.0, 270.0]
    np.testing.assert_allclose(s.expected, likelihood.expected_main(jnp.asarray(PARAMETERS.init)))


def test_spectra_inside_a_combination() -> None:
    """Each carries its component's name and has its own parameters; other kinds are passed over."""
    first = Renamed(unbinned(), {"mean": "first mean"})
    other, measured = combine_measurements([Measured("A", 1.0, 0.1, "mean")], observables=[PARAMETERS["mean"]])
    both = Product(first=first, second=unbinned(), other=other)
    data = {"first": unbinned().data(EVENTS), "second": unbinned().data(EVENTS[:2]), "other": measured}
    theta = both.parameters.vector({"first mean": 0.0, "mean": 2.0})
    found = spectra(
        both, both.data(**data).main, values=theta, covariance=np.eye(theta.size), observable="x", unit="GeV"
    )
    assert [s.name for s in found] == ["first", "second"]
    np.testing.assert_allclose(found[0].components["Gaussian"], peak(found[0].x, 0.0), rtol=1e-9)
    np.testing.assert_allclose(found[1].components["Gaussian"], peak(found[1].x, 2.0), rtol=1e-9)
    assert [s.counts.sum() for s in found] == [7.0, 2.0]
    assert {(s.observable, s.unit) for s in found} == {("x", "GeV")}


def test_names_of_components() -> None:
    """Given ones are taken; densities that repeat are numbered; the wrong number is refused."""
    twice = Unbinned(
        PARAMETERS,
        [COMPONENTS[0], Component("q", "b", Gaussian, {"mean": 0.0, "sigma": 1.0})],
        low=LOW,
        high=HIGH,
        capacity=10,
    )
    main = twice.data(EVENTS).main
    settings = {"values": PARAMETERS.init, "covariance": np.eye(4)}
    assert list(spectra(twice, main, **settings)[0].components) == ["Gaussian 1", "Gaussian 2"]
    assert list(spectra(twice, main, names=["a", "b"], **settings)[0].components) == ["a", "b"]
    for names in (["a"], ["a", "a"]):
        with pytest.raises(ParameterError, match="2 different names"):
            spectra(twice, main, names=names, **settings)


def test_number_of_bins_follows_the_events() -> None:
    """Ten for few events; none of the places of padding is counted."""
    likelihood = unbinned()
    (s,) = spectra(likelihood, likelihood.data(EVENTS).main, values=PARAMETERS.init, covariance=np.eye(4))
    assert s.counts.size == 10
    assert s.counts.sum() == EVENTS.size
