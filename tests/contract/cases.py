"""The table of likelihoods that obey the laws: one line per case, `CASES` at the end of this file.

A new adapter joins with a builder that returns ``(likelihood, data, truth)``: ``data`` are not the
Asimov data of ``truth``, and ``truth`` lies away from kinks and inside the bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infer.api import read_workspace
from infer.constraints import GammaVariance, LogNormal, MultivariateNormal, Normal, Poisson
from infer.data import Data
from infer.likelihood import Correlated, Fixed, Likelihood, Product, Redeclared, Renamed
from infer.likelihoods.gaussian import GaussianMeasurements, Measured, Source, combine_measurements
from infer.likelihoods.parametric import Argument, Binned, Component, Unbinned, room_for
from infer.likelihoods.simplified import Region, SkewedCounts
from infer.numerics.densities import Exponential, Gaussian
from infer.numerics.skewed import SkewedYields
from infer.parameters import Parameter, Parameters
from infer.typing import MainData, Vector
from tests.contract.models import Bins, Linear, OnOff

Built = tuple[Likelihood, Data, Vector]
ROOT = Path(__file__).parents[2]


def ravel(main: MainData) -> Vector:
    """All main data in one vector."""
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(main)])


def main_variance(likelihood: Likelihood, theta: Vector) -> Vector:
    """Declared variance of `ravel` of the main data: counts vary by their mean."""
    match likelihood:
        case Product():
            parts = sorted(likelihood.components.items())
            return jnp.concatenate([main_variance(part, theta[likelihood.positions[k]]) for k, part in parts])
        case Fixed() | Renamed() | Correlated() | Redeclared():
            return main_variance(likelihood.inner, theta[likelihood.positions])
        case Linear():
            return likelihood.width**2
        case GaussianMeasurements():
            return jnp.diagonal(likelihood.covariance)
        case _:
            return ravel(likelihood.expected_main(theta))


@dataclass(frozen=True)
class Case:
    """One likelihood and what the laws need to know about it.

    Args:
        name: how the case is called in the test report.
        build: makes the likelihood, data and the true parameters.
        variance: variance of ``statistic(main)`` as a function of likelihood and theta.
        statistic: turns main data into a vector whose toy mean is that of the Asimov data.
        linear: a linear Gaussian problem, whose pulls are exactly normal.
        exact: the information on Asimov data is that of toys, as in exponential families; not for Student's t, whose
            toys also have a larger variance than the estimate that its constraint declares.
        n_toys: toys for the laws about distributions.
        slow: left out of the quick tests.
    """

    name: str
    build: Callable[[], Built]
    variance: Callable[[Likelihood, Vector], Vector] = main_variance
    statistic: Callable[[MainData], Vector] = ravel
    linear: bool = False
    exact: bool = True
    n_toys: int = 2000
    slow: bool = False


ALPHA = Parameter("alpha", 0.0, (-5.0, 5.0), Normal(1.0), group="shape")
GAMMA = Parameter("gamma", 1.0, (1e-6, 10.0), Poisson(25.0))
KAPPA = Parameter("kappa", 1.0, (1e-3, 10.0), LogNormal(1.15))
MU = Parameter("mu", 1.0, (-2.0, 10.0))


def on_off() -> Built:
    """Two counts without constraints."""
    return OnOff(signal=12.0, tau=2.5), Data(jnp.array([31.0, 17.0]), jnp.zeros(0)), jnp.array([1.4, 8.0])


def bins() -> Built:
    """Five bins with a Normal, a Poisson and a LogNormal constraint."""
    likelihood = Bins((MU, ALPHA, GAMMA, KAPPA), [2.0, 9.0, 14.0, 6.0, 1.0], [40.0, 33.0, 25.0, 18.0, 12.0])
    main = jnp.array([45.0, 40.0, 49.0, 20.0, 9.0])
    return likelihood, Data(main, jnp.array([0.3, 28.0, 0.93])), jnp.array([1.3, -0.7, 1.1, 0.95])


def shape_measurement() -> Built:
    """Three Gaussian measurements of the alpha of `bins`, and of a quantity of their own."""
    own = (Parameter("r", -1.0, (-5.0, 5.0)), ALPHA)
    likelihood = Linear(own, ((3.0, -1.0), (0.0, 0.5), (-1.0, 2.0)), (2.0, 0.4, 1.0))
    return likelihood, Data(jnp.array([-101.0, -24.5, 48.0]), jnp.array([0.3])), jnp.array([-0.6, -0.7])


COVARIANCE = ((0.25, 0.06, 0.0), (0.06, 0.04, -0.05), (0.0, -0.05, 1.0))
JOINT = MultivariateNormal(("c", "a", "b"), COVARIANCE)
DESIGN = ((1.0, 0.5, 0.0, -1.0), (0.3, -1.0, 1.0, 0.0), (0.0, 2.0, 0.1, 0.4), (1.0, 1.0, 1.0, 1.0))


def linear() -> Built:
    """Gaussian measurements of four free parameters, of different scales and signs."""
    free = tuple(Parameter(name, start) for name, start in zip("abcd", (0.0, -3.0, 2.0, 1.0), strict=True))
    likelihood = Linear(free, DESIGN, (0.1, 2.0, 0.5, 1.0))
    main = jnp.array([-99.0, -48.0, -5.0, 51.0])
    return likelihood, Data(main, jnp.zeros(0)), jnp.array([0.4, -2.0, 1.5, -0.3])


def linear_joint() -> Built:
    """Gaussian measurements with a MultivariateNormal on (c, a, b), in another order than theirs."""
    parameters = (
        Parameter("a", 0.0, constraint=JOINT),
        Parameter("d", 1.0),
        Parameter("b", -3.0, (-10.0, 10.0), JOINT),
        Parameter("c", 2.0, constraint=JOINT),
    )
    likelihood = Linear(parameters, DESIGN, (0.3, 2.0, 0.5, 1.0))
    main = jnp.array([-99.0, -48.0, -5.0, 51.0])
    return likelihood, Data(main, jnp.array([0.1, -2.6, 1.7])), jnp.array([0.4, -0.3, -2.0, 1.5])


def linear_normal() -> Built:
    """Gaussian measurements of one free parameter and three with equal Normal constraints."""
    nuisances = (Parameter(name, 0.0, (-6.0, 6.0), Normal(0.5)) for name in "xyz")
    likelihood = Linear((Parameter("m", 125.0), *nuisances), DESIGN, (0.3, 2.0, 0.5, 1.0))
    main = jnp.array([26.0, -14.0, 1.0, 174.0])
    return likelihood, Data(main, jnp.array([0.2, 0.2, -0.1])), jnp.array([124.5, 0.4, -0.3, 0.2])


def fixed() -> Built:
    """A constrained and a free parameter frozen."""
    likelihood, data, truth = linear_joint()
    frozen = Fixed(likelihood, {"b": -2.0, "d": -0.3})
    return frozen, frozen.data(data), truth


def renamed() -> Built:
    """Two names swapped inside a MultivariateNormal, another changed."""
    likelihood, data, truth = linear_joint()
    other = Renamed(likelihood, {"a": "c", "c": "a", "d": "delta"})
    return other, other.data(data), truth


def merged() -> Built:
    """Two nuisance parameters made one."""
    likelihood, data, _ = linear_normal()
    one = Correlated(likelihood, ["x", "y"])
    return one, one.data(data), jnp.array([124.5, 0.4, 0.2])


def half() -> Built:
    """Two nuisance parameters with a correlation of one half."""
    likelihood, data, truth = linear_normal()
    tied = Correlated(likelihood, ["z", "x"], rho=0.5)
    return tied, tied.data(data), truth


def redeclared() -> Built:
    """Two nuisance parameters with a correlation, declared anew, and other bounds."""
    likelihood, data, truth = linear_normal()
    joint = MultivariateNormal(("z", "x"), ((0.25, -0.1), (-0.1, 0.36)))
    own = [Parameter("x", 0.1, (-4.0, 6.0), joint), Parameter("z", 0.0, constraint=joint)]
    other = Redeclared(likelihood, own, poi="m")
    return other, other.data(data), truth


def errors_on_errors() -> Built:
    """A nuisance parameter whose constraint has an uncertain width, beside an ordinary one."""
    likelihood, data, _ = bins()
    other = Redeclared(likelihood, [Parameter("alpha", 0.0, (-5.0, 5.0), GammaVariance(1.0, 0.3))])
    return other, other.data(data), jnp.array([1.3, -0.7, 1.1, 0.95])


def product() -> Built:
    """Counts and Gaussian measurements that share alpha and its constraint."""
    (first, first_data, theta), (second, second_data, other) = bins(), shape_measurement()
    both = Product(signal=first, control=second)
    data = both.data(signal=first_data, control=second_data)
    return both, data, jnp.append(theta, other[0])


def nested() -> Built:
    """A combination of combinations: one alpha in three places, and an on/off problem on its own."""
    inner, inner_data, theta = product()
    alone, alone_data, last = on_off()
    alone = Renamed(alone, {"mu": "mu_alone"})
    again, again_data, _ = shape_measurement()
    again = Fixed(Renamed(again, {"r": "q"}), {"q": -0.5})
    other = Product(x=alone, w=again)
    outer = Product(z=inner, y=other)
    data = outer.data(z=inner_data, y=other.data(x=alone_data, w=again_data))
    return outer, data, jnp.concatenate([theta, last, jnp.array([-0.5])])


def product_linear() -> Built:
    """Two Gaussian likelihoods that share a MultivariateNormal, in different orders."""
    first, first_data, theta = linear_joint()
    others = (first.parameters["c"], first.parameters["b"], Parameter("e", 0.0), first.parameters["a"])
    second = Linear(others, DESIGN, (1.0, 0.2, 0.7, 3.0))
    second_data = Data(jnp.array([-98.0, -47.0, -6.0, 55.0]), jnp.array([1.7, -2.6, 0.1]))
    both = Product(second=second, first=first)
    a, d, b, c = theta
    return both, both.data(first=first_data, second=second_data), jnp.stack([c, b, jnp.array(0.7), a, d])


def combination() -> Built:
    """Two observables and their difference as published: statistical correlation, shared sources."""
    measured = [
        Measured("e", 10.5, 1.0, "e", {"lumi": 0.3}),
        Measured("tau", 9.5, 3.0, "tau", {"lumi": 0.4, "veto": -1.0}),
        Measured("e - tau", -1.2, 0.7, {"e": 1.0, "tau": -1.0}, {"veto": 0.4}),
    ]
    likelihood, data = combine_measurements(
        measured,
        observables=[Parameter("e", 10.0), Parameter("tau", 10.0)],
        sources={"lumi": Source(), "veto": Source(0.5)},
        stat_correlation=[[1.0, 0.2, 0.1], [0.2, 1.0, -0.3], [0.1, -0.3, 1.0]],
    )
    return likelihood, data, jnp.asarray(displaced(likelihood))


PEAK = Parameters(
    (
        Parameter("mass", 125.0, (110.0, 140.0)),
        Parameter("signal", 60.0, (0.0, 1e4)),
        Parameter("background", 300.0, (0.0, 1e4)),
        Parameter("slope", -0.03, (-0.3, 0.0)),
        Parameter("scale", 0.0, (-5.0, 5.0), Normal(1.0)),
        Parameter("resolution", 2.0, (0.2, 20.0), LogNormal(1.1)),
        Parameter("efficiency", 1.0, (0.0, 3.0), Poisson(100.0)),
    )
)
PEAK_TRUTH = (124.4, 80.0, 320.0, -0.02, 0.6, 2.2, 1.05)
SHAPES = (
    Component(
        "peak",
        Argument("signal", scale={"scale": 0.05}),
        Gaussian,
        {"mean": Argument("mass", scale={"scale": 0.002}), "sigma": "resolution"},
    ),
    Component("continuum", Argument("background"), Exponential, {"slope": "slope", "origin": 125.0}),
)


def unbinned() -> Built:
    """A peak on a falling spectrum, event by event."""
    likelihood = Unbinned(PEAK, SHAPES, low=105.0, high=150.0, capacity=room_for(450.0))
    values = 105.0 + 45.0 * (np.arange(370) / 370.0) ** 1.3
    data = likelihood.data(np.concatenate([values, np.linspace(120.0, 129.0, 70)]))
    aux = jnp.array([0.4, 2.1, 97.0])
    return likelihood, Data(data.main, aux), jnp.array(PEAK_TRUTH)


def binned() -> Built:
    """The same spectrum in bins of different widths."""
    likelihood = Binned(PEAK, SHAPES, edges=[105.0, 115.0, 120.0, 123.0, 126.0, 130.0, 138.0, 150.0])
    counts = jnp.array([95.0, 51.0, 48.0, 71.0, 55.0, 49.0, 60.0])
    return likelihood, Data(counts, jnp.array([0.4, 2.1, 97.0])), jnp.array(PEAK_TRUTH)


def event_sums(main: MainData) -> Vector:
    """Sums of a few functions over events."""
    return jnp.sum(main.weights[None, :] * _functions(main.values), axis=1)


def event_variance(likelihood: Likelihood, theta: Vector) -> Vector:
    """A sum of g over the events of a Poisson process varies by the expected sum of g^2."""
    asimov = likelihood.expected_main(theta)
    return jnp.sum(asimov.weights[None, :] * _functions(asimov.values) ** 2, axis=1)


def _functions(x: Vector) -> Vector:
    z = (x - 125.0) / 10.0
    return jnp.stack([jnp.ones_like(z), z, jnp.cos(2.0 * z), jnp.exp(-20.0 * (z + 0.05) ** 2)])


def workspace(path: Path) -> Built:
    """A workspace with its observed data."""
    if not path.is_file():
        pytest.skip(f"{path.name} is not here")
    likelihood, data = read_workspace(path)
    return likelihood, data, jnp.asarray(displaced(likelihood))


def displaced(likelihood: Likelihood) -> np.ndarray:
    """A truth away from the start values, and from the kinks that lie there, inside the bounds."""
    parameters = likelihood.parameters
    widths = [p.prefit_uncertainty() or 0.3 * max(abs(p.init), 0.5) for p in parameters.values()]
    signs = np.where(np.arange(len(parameters)) % 3 == 1, -0.3, 0.4)
    low, high = (np.clip(b, parameters.init - 1.0, parameters.init + 1.0) for b in (parameters.lower, parameters.upper))
    moved = np.clip(parameters.init + signs * widths, 0.9 * low + 0.1 * high, 0.1 * low + 0.9 * high)
    return np.where(parameters.fixed, parameters.init, moved)


def example(name: str) -> Callable[[], Built]:
    """A builder for one of the example workspaces."""
    return partial(workspace, ROOT / "workspaces" / name)


def published(name: str) -> Callable[[], Built]:
    """A builder for one of the published likelihoods, which may lie beside the repository."""
    return partial(workspace, ROOT.parent / "shared" / "likelihoods" / name)


def simplified() -> Built:
    """Counts with a skewed, correlated background."""
    rho = np.array([[1.0, 0.4, 0.1], [0.4, 1.0, -0.3], [0.1, -0.3, 1.0]])
    background = SkewedYields(
        np.array([40.0, 25.0, 30.0]), np.array([3.0, 2.0, 4.0]), np.array([0.3, 0.1, -0.4]), rho, 0.0
    )
    poi = Parameter("mu", 1.0, (-2.0, 10.0))
    likelihood = SkewedCounts(
        poi, [Region("SR", 2), Region("CR", 1)], signal=np.array([12.0, 8.0, 1.0]), background=background
    )
    data = likelihood.data({"SR": np.array([61.0, 35.0]), "CR": np.array([27.0])})
    return likelihood, data, jnp.array([1.2, 0.3, -0.4, 0.6])


CASES = (
    Case("on_off", on_off),
    Case("bins", bins),
    Case("linear", linear, linear=True),
    Case("linear_joint", linear_joint, linear=True),
    Case("fixed", fixed, linear=True),
    Case("renamed", renamed, linear=True),
    Case("correlated_one", merged, linear=True),
    Case("correlated_half", half, linear=True),
    Case("redeclared", redeclared, linear=True),
    Case("errors_on_errors", errors_on_errors, exact=False),
    Case("product", product),
    Case("product_of_products", nested),
    Case("product_linear", product_linear, linear=True),
    Case("gaussian", combination, linear=True),
    Case("ttbar_xsec", example("ttbar_xsec.yaml"), linear=True),
    Case("unbinned", unbinned, event_variance, event_sums, n_toys=1000),
    Case("binned", binned, slow=True),
    Case("simplified", simplified),
    Case("search", example("search.json"), n_toys=2000),
    Case("measurement", example("measurement.json"), n_toys=1000, slow=True),
    Case("2018-22_SSd", published("2018-22_SSd.json"), n_toys=2000),
    Case("agc_ttbar", published("agc_ttbar.json"), n_toys=1000, slow=True),
)
