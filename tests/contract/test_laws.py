"""The laws that every likelihood obeys, over the table of `tests.contract.cases`.

What a case costs is compiled once (`Lab`) and shared by the laws.  Laws about distributions compare
toys with declared moments; their false-alarm rate is `tests.contract.zscores.FALSE_ALARM` per case
and comparison, and their keys are fixed.
"""

from __future__ import annotations

from functools import cache, cached_property

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infer.constraints import Curvature, MultivariateNormal
from infer.data import Data
from infer.errors import DataError, ParameterError
from infer.likelihood import Correlated, Fixed, Likelihood, Product, Renamed, check_data
from infer.likelihoods.parametric import Unbinned
from infer.typing import Key, Matrix, Vector
from tests.contract.cases import CASES, Case
from tests.contract.zscores import (
    Array,
    covariance_deviation,
    mean_deviation,
    pull_deviation,
    variance_deviation,
)

N_DIRECTIONS = 8


@eqx.filter_jit
def _closed(likelihood: Likelihood, theta: Vector, data: Data) -> Curvature:
    """Value, gradient and Hessian as the likelihood has them."""
    return likelihood.curvature(theta, data)


@eqx.filter_jit
def _hessian(likelihood: Likelihood, theta: Vector, data: Data) -> Matrix:
    """Hessian of -logpdf by automatic differentiation."""
    return -jax.hessian(likelihood.logpdf)(theta, data)


@eqx.filter_jit
def _many(likelihood: Likelihood, thetas: Matrix, data: Data) -> tuple[Vector, Matrix]:
    """Log-probability and its gradient at many points, by automatic differentiation."""
    return jax.vmap(jax.value_and_grad(likelihood.logpdf), in_axes=(0, None))(thetas, data)


@eqx.filter_jit
def _expected(likelihood: Likelihood, theta: Vector) -> Data:
    """Asimov data."""
    return likelihood.expected(theta)


@eqx.filter_jit
def _toys(likelihood: Likelihood, theta: Vector, keys: Key) -> Data:
    """Toys along the first axis."""
    return jax.vmap(likelihood.sample, in_axes=(None, 0))(theta, keys)


class Lab:
    """One case with everything that is computed once."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.likelihood, self.data, self.truth = case.build()

    def closed(self, theta: Array | Vector, data: Data) -> Curvature:
        """Value, gradient and Hessian at one point, as numpy arrays."""
        return jax.tree.map(np.asarray, _closed(self.likelihood, jnp.asarray(theta), data))

    def many(self, thetas: Array) -> tuple[Array, Array]:
        """Log-probability and gradient with the case's data, in chunks that are compiled once."""
        size = 4 * len(self.truth) + 1
        padding = -len(thetas) % size
        padded = np.concatenate([thetas, np.tile(thetas[:1], (padding, 1))])
        chunks = [
            _many(self.likelihood, jnp.asarray(chunk), self.data) for chunk in np.split(padded, len(padded) // size)
        ]
        values, gradients = (np.concatenate(part) for part in zip(*chunks, strict=True))
        return values[: len(thetas)], gradients[: len(thetas)]

    @cached_property
    def here(self) -> Curvature:
        """At the truth, with the case's data."""
        return self.closed(self.truth, self.data)

    @cached_property
    def eager_logpdf(self) -> float:
        """Log-probability at the truth with the case's data, not compiled."""
        return float(self.likelihood.logpdf(self.truth, self.data))

    @cached_property
    def asimov(self) -> Data:
        """Asimov data of the truth."""
        return _expected(self.likelihood, self.truth)

    @cached_property
    def information(self) -> Array:
        """Expected information of main and auxiliary data: the Hessian on Asimov data."""
        return np.asarray(self.closed(self.truth, self.asimov).hessian)

    @cached_property
    def scale(self) -> Array:
        """The natural length of every parameter: one standard deviation, the others held."""
        return 1.0 / np.sqrt(np.diagonal(self.information))

    @cached_property
    def directions(self) -> Array:
        """Each parameter in units of its scale; random combinations where there are many."""
        size = len(self.truth)
        if size <= N_DIRECTIONS:
            return np.diag(self.scale)
        random = np.random.default_rng(7).standard_normal((size, N_DIRECTIONS))
        return self.scale[:, None] * np.linalg.qr(random)[0]

    @cached_property
    def keys(self) -> Key:
        """Keys of the toys."""
        return jax.random.split(jax.random.key(20240117), self.case.n_toys)

    @cached_property
    def toys(self) -> Data:
        """Toys at the truth, along the first axis."""
        return _toys(self.likelihood, self.truth, self.keys)

    def toy(self, i: int) -> Data:
        """One of them."""
        return jax.tree.map(lambda leaf: leaf[i], self.toys)

    @cached_property
    def curvatures(self) -> Curvature:
        """Curvatures of all toys at the truth, along the first axis."""
        host = jax.tree.map(np.asarray, self.toys)
        every = [
            _closed(self.likelihood, self.truth, jax.tree.map(lambda leaf, i=i: leaf[i], host))
            for i in range(self.case.n_toys)
        ]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *every)


@cache
def _open(case: Case) -> Lab:
    """The one laboratory of a case."""
    return Lab(case)


@pytest.fixture(
    scope="module",
    params=[pytest.param(case, id=case.name, marks=[pytest.mark.slow] * case.slow) for case in CASES],
)
def lab(request: pytest.FixtureRequest) -> Lab:
    """One case of the table."""
    return _open(request.param)


@pytest.mark.slow
def test_gradient_equals_finite_differences(lab: Lab) -> None:
    """Central differences of fourth order give the gradient, to 1e-6 of the natural scale."""
    step = 3e-3 * lab.scale
    shifts = [np.diag(k * step) for k in (-2.0, -1.0, 1.0, 2.0)]
    far_below, below, above, far_above = np.split(
        lab.many(np.concatenate([np.asarray(lab.truth) + shift for shift in shifts]))[0], 4
    )
    slope = (8.0 * (above - below) - (far_above - far_below)) / (12.0 * step)
    difference = (slope + lab.here.gradient) * lab.scale
    assert np.max(np.abs(difference)) < 1e-6


def test_curvature_equals_automatic_differentiation(lab: Lab) -> None:
    """Value, gradient and Hessian in closed form agree with autodiff to 1e-10 of the natural scale."""
    _, gradient = lab.many(np.asarray(lab.truth)[None])
    unit = np.outer(lab.scale, lab.scale)
    automatic = np.asarray(_hessian(lab.likelihood, lab.truth, lab.data)) * unit
    size = 1.0 + np.max(np.abs(automatic))
    assert np.max(np.abs(lab.here.gradient + gradient[0]) * lab.scale) < 1e-10 * size
    assert np.max(np.abs(lab.here.hessian * unit - automatic)) < 1e-10 * size


def test_jit_equals_eager(lab: Lab) -> None:
    """Compilation changes rounding at most: the log-probability agrees to 1e-12."""
    assert lab.eager_logpdf == pytest.approx(-float(lab.here.value), rel=1e-12)


def test_vmap_equals_loop(lab: Lab) -> None:
    """A batch of points gives what they give one by one."""
    thetas = np.asarray(lab.truth) + 0.1 * lab.scale * np.array([[-1.0], [0.0], [1.0]])
    values, gradients = lab.many(thetas)
    points = [lab.closed(theta, lab.data) for theta in thetas]
    np.testing.assert_allclose(values, [-p.value for p in points], rtol=1e-11)
    expected = -np.asarray([p.gradient for p in points]) * lab.scale
    np.testing.assert_allclose(gradients * lab.scale, expected, rtol=1e-8, atol=1e-9)


def test_asimov_data_are_explained_by_the_truth(lab: Lab) -> None:
    """On Asimov data the gradient vanishes at the truth, to 1e-9 of the natural scale."""
    gradient = lab.closed(lab.truth, lab.asimov).gradient
    assert np.max(np.abs(gradient * lab.scale)) < 1e-9


def test_asimov_fit_returns_the_truth(lab: Lab) -> None:
    """Newton's method from half a standard deviation aside returns the truth, to 1e-7 of it."""
    free = ~lab.likelihood.parameters.fixed
    scale = lab.scale / np.sqrt(len(lab.truth))
    signs = np.where(np.arange(len(lab.truth)) % 2, -0.5, 0.5)
    theta = np.asarray(lab.truth) + np.where(free, signs * scale, 0.0)
    for _ in range(12):
        closed = lab.closed(theta, lab.asimov)
        hessian = (closed.hessian * np.outer(lab.scale, lab.scale))[np.ix_(free, free)]
        step = np.linalg.solve(hessian, (closed.gradient * lab.scale)[free])
        theta[free] -= step * lab.scale[free]
        if np.max(np.abs(step)) < 1e-9:
            break
    assert np.max(np.abs(theta - np.asarray(lab.truth)) / lab.scale) < 1e-7


def test_toys_have_the_declared_moments(lab: Lab) -> None:
    """Main and auxiliary data have the declared mean and variance (false-alarm rate 4e-4 per case)."""
    samples = np.asarray(jax.vmap(lab.case.statistic)(lab.toys.main))
    mean = np.asarray(lab.case.statistic(lab.asimov.main))
    variance = np.asarray(lab.case.variance(lab.likelihood, lab.truth))
    for worst, most in (
        mean_deviation(samples, mean),
        variance_deviation(samples, mean, variance),
    ):
        assert worst < most
    terms = lab.likelihood.constraints
    if terms.size and lab.case.exact:
        aux, centre = np.array(lab.toys.aux), np.array(lab.asimov.aux)
        factors = np.asarray(terms.lognormal.aux)
        aux[:, factors], centre[factors] = np.log(aux[:, factors]), np.log(centre[factors])
        worst, most = mean_deviation(aux, centre)
        assert worst < most
        worst, most = covariance_deviation(aux - centre, np.asarray(terms.aux_covariance(lab.truth)))
        assert worst < most


def test_score_has_mean_zero_and_the_information_as_covariance(lab: Lab) -> None:
    """E[score] = 0 and cov[score] = the information of main and auxiliary data (false-alarm rate 2e-4)."""
    scores = lab.curvatures.gradient
    worst, most = mean_deviation(scores * lab.scale, np.zeros(len(lab.truth)))
    assert worst < most
    if not lab.case.exact:
        return
    along = lab.directions.T @ lab.information @ lab.directions
    worst, most = covariance_deviation(scores @ lab.directions, along)
    assert worst < most


def test_information_is_the_average_hessian(lab: Lab) -> None:
    """The Hessian on Asimov data is the Hessian averaged over toys (false-alarm rate 1e-4)."""
    if not lab.case.exact:
        pytest.skip("Student's t has another information on Asimov data than on average")
    rows, columns = np.triu_indices(lab.directions.shape[1])
    average = lab.directions.T @ lab.information @ lab.directions
    hessians = lab.directions.T @ lab.curvatures.hessian @ lab.directions
    worst, most = mean_deviation(hessians[:, rows, columns], average[rows, columns])
    assert worst < most


def test_information_is_positive(lab: Lab) -> None:
    """The expected information has no negative eigenvalue."""
    unit = np.outer(lab.scale, lab.scale)
    assert np.linalg.eigvalsh(lab.information * unit)[0] > -1e-12


@pytest.mark.parametrize("lab", [pytest.param(case, id=case.name) for case in CASES if case.linear], indirect=True)
def test_pulls_are_standard_normal(lab: Lab) -> None:
    """Pulls of a linear Gaussian problem are N(0, 1): mean, width, shape (false-alarm rate 1e-4)."""
    free = ~lab.likelihood.parameters.fixed
    covariance = np.linalg.inv(lab.information[np.ix_(free, free)])
    estimates = -lab.curvatures.gradient[:, free] @ covariance
    worst, most = pull_deviation(estimates / np.sqrt(np.diagonal(covariance)))
    assert worst < most


def test_constraints_are_counted_once(lab: Lab) -> None:
    """Two copies that share all parameters are worth two main terms and one set of constraints."""
    twice = Product(one=lab.likelihood, two=lab.likelihood)
    data = twice.data(one=lab.data, two=lab.data)
    main = float(lab.likelihood.log_main(lab.truth, lab.data.main))
    constraints = float(lab.likelihood.constraints.logpdf(lab.truth, lab.data.aux))
    assert float(twice.logpdf(lab.truth, data)) == pytest.approx(2.0 * main + constraints, rel=1e-12)


def test_product_of_one_is_itself(lab: Lab) -> None:
    """A combination of one likelihood has its parameters, its data and its log-probability."""
    alone = Product(only=lab.likelihood)
    assert alone.parameters == lab.likelihood.parameters
    value = float(alone.logpdf(lab.truth, alone.data(only=lab.data)))
    assert value == pytest.approx(lab.eager_logpdf, rel=1e-13)
    assert jax.tree.all(jax.tree.map(np.array_equal, alone.data(only=lab.data).main["only"], lab.data.main))


def test_renaming_does_not_matter(lab: Lab) -> None:
    """Other names for all parameters give the same log-probability at the same vector."""
    names = lab.likelihood.parameters.names
    other = Renamed(lab.likelihood, {name: f"new_{name}" for name in names})
    assert other.parameters.names == tuple(f"new_{name}" for name in names)
    value = float(other.logpdf(lab.truth, other.data(lab.data)))
    assert value == pytest.approx(lab.eager_logpdf, rel=1e-13)


def test_order_does_not_matter(lab: Lab) -> None:
    """Components in another order give another order of parameters and the same log-probability."""
    likelihood, names = lab.likelihood, lab.likelihood.parameters.names
    shared = next(p for p in likelihood.parameters.values() if not isinstance(p.constraint, MultivariateNormal))
    other = Renamed(likelihood, {n: f"new_{n}" for n in names if n != shared.name})
    forward, backward = Product(a=likelihood, b=other), Product(b=other, a=likelihood)
    values = dict(zip(names, np.asarray(lab.truth).tolist(), strict=True))
    values |= {f"new_{name}": value for name, value in values.items()}
    results = []
    for both in (forward, backward):
        theta = jnp.asarray([values[name] for name in both.parameters.names])
        results.append(float(both.logpdf(theta, both.data(a=lab.data, b=lab.data))))
    assert results[0] == pytest.approx(results[1], rel=1e-13)


def test_fixing_keeps_the_logpdf(lab: Lab) -> None:
    """A frozen parameter changes fits, not the likelihood."""
    name = lab.likelihood.parameters.names[0]
    frozen = Fixed(lab.likelihood, {name: float(lab.truth[0])})
    assert frozen.parameters[name].fixed
    value = float(frozen.logpdf(lab.truth, frozen.data(lab.data)))
    assert value == pytest.approx(lab.eager_logpdf, rel=1e-13)


def test_bounds_give_no_nan(lab: Lab) -> None:
    """At every bound, and at all lower or upper bounds together, nothing is NaN or +inf."""
    parameters, truth = lab.likelihood.parameters, np.asarray(lab.truth)
    corners = [np.where(np.isfinite(b), b, truth) for b in (parameters.lower, parameters.upper)]
    one_by_one = [np.where(np.arange(len(truth)) == i, corner, truth) for corner in corners for i in range(len(truth))]
    values, gradients = lab.many(np.asarray(corners + one_by_one))
    assert not np.any(np.isnan(values) | (values == np.inf))
    assert not np.any(np.isnan(gradients))


def test_data_fit_their_likelihood(lab: Lab) -> None:
    """Data, Asimov data and toys pass the check; data without their last auxiliary datum do not."""
    for data in (lab.data, lab.asimov, lab.toy(0)):
        check_data(lab.likelihood, data)
    with pytest.raises(DataError, match="auxiliary"):
        check_data(lab.likelihood, Data(lab.data.main, jnp.zeros(lab.data.aux.shape[0] + 1)))


def _has_events(likelihood: Likelihood) -> bool:
    """Whether some data are events, which have no saturated model."""
    match likelihood:
        case Product():
            return any(map(_has_events, likelihood.components.values()))
        case Fixed() | Renamed() | Correlated():
            return _has_events(likelihood.inner)
        case _:
            return isinstance(likelihood, Unbinned)


def test_saturated_model_is_what_asimov_data_reach_and_no_others_exceed(lab: Lab) -> None:
    """log f = log_saturated for data that are as expected, to 1e-11, and below for others; events refuse."""
    if _has_events(lab.likelihood):
        with pytest.raises(ParameterError, match="no saturated model"):
            lab.likelihood.log_saturated(lab.data.main)
        return
    asimov, saturated = lab.asimov.main, lab.likelihood.log_saturated
    reached = float(lab.likelihood.log_main(lab.truth, asimov))
    assert reached == pytest.approx(float(saturated(asimov)), rel=1e-11, abs=1e-11)
    for data in (lab.data, lab.toy(0), lab.toy(1)):
        assert float(lab.likelihood.log_main(lab.truth, data.main)) < float(saturated(data.main))


def test_auxiliary_data_are_most_probable_at_their_own_best(lab: Lab) -> None:
    """No step of a free constrained parameter raises the constraint terms there; what is held stays."""
    terms, parameters, aux = lab.likelihood.constraints, lab.likelihood.parameters, lab.data.aux
    if not terms.size:
        return
    constrained = [parameters.position(name) for name in parameters.constrained]
    held = np.zeros(len(parameters), dtype=bool)
    held[constrained[0]] = True
    for free in (np.ones(len(parameters), dtype=bool), ~held):
        best = terms.own_best(lab.truth, aux, jnp.asarray(free))
        np.testing.assert_array_equal(np.asarray(best)[~free], np.asarray(lab.truth)[~free])
        gradient = np.asarray(terms.curvature(best, aux).gradient) * lab.scale
        assert np.max(np.abs(gradient[free]), initial=0.0) < 1e-9
        assert float(terms.logpdf(best, aux)) >= float(terms.logpdf(lab.truth, aux))


@pytest.mark.slow
def test_cells_add_up(lab: Lab) -> None:
    """Cells hold all events, expect all that is expected, and agree with Asimov data; to 1e-9."""
    observed = lab.likelihood.cells(lab.truth, lab.data.main)
    for name, cells in lab.likelihood.cells(lab.truth, lab.asimov.main).items():
        total = float(jnp.sum(cells.expected))
        assert float(jnp.sum(cells.observed)) == pytest.approx(total, rel=1e-9)
        assert float(jnp.sum(observed[name].expected)) == pytest.approx(total, rel=1e-9)
        distance = np.abs(np.cumsum(np.asarray(cells.observed)) - np.cumsum(np.asarray(cells.expected))) / total
        assert np.max(distance) < (1e-2 if cells.continuous else 1e-12)


@pytest.mark.slow
def test_counts_are_the_events(lab: Lab) -> None:
    """Samples add up to the cells where there are some, channel by channel, and observe the same events; to 1e-9."""
    cells = lab.likelihood.cells(lab.truth, lab.data.main)
    for one in lab.likelihood.counts(lab.truth, lab.data.main):
        beside = cells[one.channel]
        assert one.expected.shape == (len(one.samples), one.observed.shape[0])
        assert float(jnp.sum(one.observed)) == pytest.approx(float(jnp.sum(beside.observed)), rel=1e-9)
        assert float(jnp.sum(one.expected)) == pytest.approx(float(jnp.sum(beside.expected)), rel=1e-9)
        if not beside.continuous:
            np.testing.assert_allclose(np.sum(np.asarray(one.expected), axis=0), beside.expected, rtol=1e-9)
            np.testing.assert_array_equal(one.observed, beside.observed)
