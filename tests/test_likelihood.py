"""The wrappers: what they share, refuse and leave alone; and what evaluation refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infer.constraints import MultivariateNormal, Normal
from infer.data import Data
from infer.errors import DataError, ParameterError
from infer.likelihood import (
    Correlated,
    Fixed,
    Likelihood,
    Product,
    Renamed,
    check_data,
    components_of,
)
from infer.parameters import Parameter
from tests.contract import cases
from tests.contract.models import Bins, Linear, OnOff


def value(likelihood: Likelihood, theta: Any, data: Data) -> float:
    """Log-probability as a plain number."""
    return float(likelihood.logpdf(jnp.asarray(theta), data))


# ------------------------------------------------------------------------------------ known answers


def test_on_off_fit_in_closed_form() -> None:
    """At b = m / tau, mu = (n - b) / s the gradient vanishes, and the Hessian is that of two counts."""
    likelihood, s, tau = OnOff(signal=12.0, tau=2.5), 12.0, 2.5
    n, m = 31.0, 17.0
    b = m / tau
    closed = likelihood.curvature(jnp.array([(n - b) / s, b]), Data(jnp.array([n, m]), jnp.zeros(0)))
    np.testing.assert_allclose(closed.gradient, 0.0, atol=1e-13)
    expected = [[s**2 / n, s / n], [s / n, 1.0 / n + tau**2 / m]]
    np.testing.assert_allclose(closed.hessian, expected, rtol=1e-13)


def test_on_off_probabilities_add_up_to_one() -> None:
    """The sum of exp(logpdf) over all pairs of counts is one, to 1e-10: constants are included."""
    likelihood, theta = OnOff(signal=2.0, tau=1.5), jnp.array([1.4, 5.0])
    counts = jnp.stack(jnp.meshgrid(jnp.arange(60.0), jnp.arange(60.0)), axis=-1).reshape(-1, 2)
    logpdf = jax.vmap(lambda main: likelihood.logpdf(theta, Data(main, jnp.zeros(0))))
    assert float(jnp.sum(jnp.exp(jax.jit(logpdf)(counts)))) == pytest.approx(1.0, abs=1e-10)


def test_constrained_probabilities_add_up_to_one() -> None:
    """The same for one bin, summed over its count, a Poisson and integrated over a Normal datum."""
    likelihood, _, _ = cases.bins()
    likelihood = Bins(tuple(likelihood.parameters.values()), [2.0], [4.0])
    n, m = jnp.arange(40.0), jnp.arange(80.0)
    a, factor = jnp.linspace(-8.0, 8.0, 41), jnp.geomspace(0.3, 3.0, 61)
    grid = jnp.stack(jnp.meshgrid(a, m, factor, indexing="ij"), axis=-1).reshape(-1, 3)
    theta = jnp.array([1.3, -0.7, 1.1, 0.95])
    main = jax.vmap(lambda count: likelihood.log_main(theta, count[None]))(n)
    aux = jax.vmap(lambda row: likelihood.constraints.logpdf(theta, row))(grid)
    volume = (a[1] - a[0]) * jnp.log(factor[1] / factor[0])  # d factor = factor d ln factor
    total = jnp.sum(jnp.exp(aux) * grid[:, 2]) * volume * jnp.sum(jnp.exp(main))
    assert float(total) == pytest.approx(1.0, abs=1e-9)


def test_information_of_two_counts_in_closed_form() -> None:
    """The expected information of the on/off problem: sum over counts of rate' rate'^T / rate."""
    s, tau, mu, b = 12.0, 2.5, 1.4, 8.0
    on, off = np.array([s, 1.0]), np.array([0.0, tau])
    expected = np.outer(on, on) / (mu * s + b) + np.outer(off, off) / (tau * b)
    likelihood = OnOff(signal=s, tau=tau)
    np.testing.assert_allclose(likelihood.information_main(jnp.array([mu, b])), expected, rtol=1e-13)


@eqx.filter_jit
def _toys(likelihood: Likelihood, theta: jax.Array, keys: jax.Array) -> Data:
    """Toys along the first axis."""
    return jax.vmap(likelihood.sample, in_axes=(None, 0))(theta, keys)


@pytest.mark.parametrize("build", [cases.bins, cases.half, cases.nested])
def test_a_batch_of_toys_is_the_toys_one_by_one(build: Callable[[], cases.Built]) -> None:
    """Mapping over keys gives each key the toy that it gives alone; equal keys give equal toys."""
    likelihood, _, theta = build()
    keys = jax.random.split(jax.random.key(1), 3)
    batch = _toys(likelihood, theta, keys)
    for i in range(3):
        alone = eqx.filter_jit(likelihood.sample)(theta, keys[i])
        for got, expected in zip(jax.tree.leaves(batch), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(got[i], expected, rtol=1e-13)


# ------------------------------------------------------------------------------------------ Product


def test_product_adds_and_shares_by_name() -> None:
    """The union of parameters, main terms added, the shared constraint once: written out."""
    (first, first_data, _), (second, second_data, _) = cases.bins(), cases.shape_measurement()
    both = Product(signal=first, control=second)
    assert both.parameters.names == ("mu", "alpha", "gamma", "kappa", "r")
    assert both.constraints.size == 3
    theta = jnp.array([1.3, -0.7, 1.1, 0.95, -0.6])
    data = both.data(signal=first_data, control=second_data)
    np.testing.assert_array_equal(data.aux, [0.3, 28.0, 0.93])
    left = value(first, theta[:4], first_data)
    right = value(second, theta[jnp.array([4, 1])], second_data)
    shared = -0.5 * (0.3 + 0.7) ** 2 - 0.5 * np.log(2.0 * np.pi)
    assert value(both, theta, data) == pytest.approx(left + right - shared, rel=1e-13)


def test_product_needs_a_likelihood() -> None:
    """An empty combination is refused."""
    with pytest.raises(ParameterError, match="at least one"):
        Product()


def test_product_refuses_conflicting_declarations() -> None:
    """A shared name with two constraints is an error that quotes both."""
    likelihood, _, _ = cases.linear_normal()
    others = likelihood.parameters.replace("x", constraint=Normal(0.7))
    other = Linear(tuple(others.values()), cases.DESIGN, (0.3, 2.0, 0.5, 1.0))
    with pytest.raises(ParameterError, match=r"'x'.*Normal\(width=0\.5\) and Normal\(width=0\.7\)"):
        Product(a=likelihood, b=other)
    with pytest.raises(ParameterError, match=r"'x'.*fixed"):
        Product(a=likelihood, b=Fixed(likelihood, {"x": 0.0}))


def test_product_data_must_name_the_components() -> None:
    """Missing and unknown components are listed."""
    likelihood, data, _ = cases.linear()
    both = Product(cms=likelihood, atlas=likelihood)
    with pytest.raises(DataError, match=r"expected data for \['atlas', 'cms'\], got \['alice', 'cms'\]"):
        both.data(cms=data, alice=data)


def test_product_data_refuse_two_values_of_one_measurement() -> None:
    """A shared global observable with two values is an error that quotes both."""
    likelihood, data, _ = cases.linear_normal()
    both = Product(cms=likelihood, atlas=likelihood)
    other = Data(data.main, data.aux.at[1].set(0.7))
    with pytest.raises(DataError, match=r"'y' is 0\.2 in one component and 0\.7 in 'atlas'"):
        both.data(cms=data, atlas=other)


def test_product_data_refuse_short_auxiliary_data() -> None:
    """Auxiliary data of the wrong length are an error of the data, not of Python's zip."""
    likelihood, data, _ = cases.linear_normal()
    with pytest.raises(DataError, match="expected 3 auxiliary data"):
        Product(only=likelihood).data(only=Data(data.main, data.aux[:2]))


def test_components_are_found_behind_wrappers() -> None:
    """Freezing or renaming a combination leaves it one; other likelihoods have no components."""
    likelihood, _, _ = cases.product()
    assert components_of(likelihood) == ("signal", "control")
    assert components_of(Renamed(Fixed(likelihood, {"mu": 1.0}), {"mu": "strength"})) == ("signal", "control")
    assert components_of(cases.bins()[0]) == ()


def test_sampling_does_not_depend_on_the_order_of_components() -> None:
    """The same key gives each component the same main data, in whatever order they were given."""
    (first, _, _), (second, _, _) = cases.linear(), cases.linear_normal()
    theta = {"forward": jnp.zeros(8), "backward": jnp.zeros(8)}
    key = jax.random.key(3)
    forward = Product(a=first, b=second).sample_main(theta["forward"], key)
    backward = Product(b=second, a=first).sample_main(theta["backward"], key)
    for name in "ab":
        np.testing.assert_array_equal(forward[name], backward[name])


# ---------------------------------------------------------------------------------- Fixed, Renamed


def test_fixed_changes_start_value_and_mask_only() -> None:
    """Names, order, constraints and data stay."""
    likelihood, data, _ = cases.linear_normal()
    frozen = Fixed(likelihood, {"x": 0.3, "m": 120.0})
    np.testing.assert_array_equal(frozen.parameters.fixed, [True, True, False, False])
    np.testing.assert_array_equal(frozen.parameters.init, [120.0, 0.3, 0.0, 0.0])
    assert frozen.parameters.constrained == likelihood.parameters.constrained
    assert frozen.data(data) is data


def test_fixed_refuses_what_cannot_be() -> None:
    """Unknown names and values outside the bounds are refused."""
    likelihood, _, _ = cases.linear_normal()
    with pytest.raises(ParameterError, match="unknown parameter 'X'"):
        Fixed(likelihood, {"X": 0.0})
    with pytest.raises(ParameterError, match=r"'x'.*got 7"):
        Fixed(likelihood, {"x": 7.0})


def test_renamed_can_unshare_and_share() -> None:
    """Two copies share what has one name; renaming decides what that is."""
    likelihood, _, _ = cases.linear_normal()
    other = Renamed(likelihood, {"x": "x_other", "m": "m_other"})
    both = Product(a=likelihood, b=other)
    assert both.parameters.names == ("m", "x", "y", "z", "m_other", "x_other")
    assert both.constraints.size == 4
    with pytest.raises(ParameterError, match="'y'"):
        Renamed(likelihood, {"x": "y"})


# --------------------------------------------------------------------------------------- Correlated


def test_correlated_merges_parameters_under_the_first_name() -> None:
    """Fully correlated parameters become one, with one constraint and one auxiliary datum."""
    likelihood, data, _ = cases.linear_normal()
    one = Correlated(likelihood, ["y", "x"])
    assert one.parameters.names == ("m", "y", "z")
    merged = one.data(data)
    np.testing.assert_array_equal(merged.aux, [0.2, -0.1])
    main = float(likelihood.log_main(jnp.array([124.0, 0.4, 0.4, -0.2]), data.main))
    pulls = (np.array([0.2, -0.1]) - np.array([0.4, -0.2])) / 0.5
    constraints = -np.sum(0.5 * pulls**2) - 2.0 * np.log(0.5 * np.sqrt(2.0 * np.pi))
    assert value(one, [124.0, 0.4, -0.2], merged) == pytest.approx(main + constraints, rel=1e-13)


def test_correlated_merges_free_parameters_too() -> None:
    """Parameters without constraints become one as well; auxiliary data are untouched."""
    likelihood, data, _ = cases.linear_joint()
    free = Linear((Parameter("p", 0.0), Parameter("q", 0.0), Parameter("r", 1.0)), np.eye(3), (1.0, 1.0, 1.0))
    tied = Correlated(free, ["q", "p"])
    assert tied.parameters.names == ("q", "r")
    assert tied.data(Data(jnp.zeros(3), jnp.zeros(0))).aux.shape == (0,)
    with pytest.raises(ParameterError, match="constraint"):
        Correlated(likelihood, ["d", "a"])
    assert data.aux.shape == (3,)


def test_correlated_limit_is_the_merged_likelihood() -> None:
    """As rho goes to one, the profile over the difference approaches the merged problem.

    Integrating the two-dimensional Gaussian over x - y leaves the merged constraint; in the linear
    problem the fitted m and its variance converge with 1 - rho.
    """
    likelihood, data, _ = cases.linear_normal()
    data = Data(data.main, data.aux)
    merged = Correlated(likelihood, ["x", "y"])
    wanted, spread = _linear_fit(merged, merged.data(data))
    for rho in (1.0 - 1e-3, 1.0 - 1e-5):
        close = Correlated(likelihood, ["x", "y"], rho=rho)
        estimate, covariance = _linear_fit(close, close.data(data))
        assert abs(estimate[0] - wanted[0]) < 10.0 * (1.0 - rho) * np.sqrt(spread[0, 0])
        assert covariance[0, 0] == pytest.approx(spread[0, 0], rel=10.0 * (1.0 - rho))
        assert abs(estimate[1] - estimate[2]) < np.sqrt(2.0 * (1.0 - rho))


def _linear_fit(likelihood: Likelihood, data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Best fit and covariance of a quadratic problem: one Newton step."""
    start = jnp.asarray(likelihood.parameters.init)
    closed = likelihood.curvature(start, data)
    covariance = np.linalg.inv(np.asarray(closed.hessian))
    return np.asarray(start) - covariance @ np.asarray(closed.gradient), covariance


def test_partial_correlation_becomes_one_multivariate_constraint() -> None:
    """Widths are kept and every pair has the asked correlation, in the order of the names."""
    likelihood, data, _ = cases.linear_normal()
    half = Correlated(likelihood, ["z", "x"], rho=0.5)
    constraint = half.parameters["x"].constraint
    assert isinstance(constraint, MultivariateNormal)
    assert constraint.names == ("z", "x")
    assert constraint.covariance == ((0.25, 0.125), (0.125, 0.25))
    assert half.parameters["y"].constraint == Normal(0.5)
    np.testing.assert_array_equal(half.data(data).aux, data.aux)
    none = Correlated(likelihood, ["z", "x"], rho=0.0)
    theta = [124.0, 0.4, -0.3, 0.2]
    assert value(none, theta, data) == pytest.approx(value(likelihood, theta, data), rel=1e-13)


def test_correlated_refuses_what_cannot_be() -> None:
    """Names repeated or alone, declarations that differ, other constraints, impossible rho."""
    likelihood, _, _ = cases.linear_normal()
    for names, rho, complaint in (
        (["x"], 1.0, "two or more"),
        (["x", "x"], 1.0, "different parameter names"),
        (["x", "q"], 1.0, "unknown parameter 'q'"),
        (["x", "m"], 1.0, "different init"),
        (["x", "m"], 0.5, "needs Normal constraints, but 'm' has None"),
        (["x", "y"], -1.0, "positive definite"),
        (["x", "y"], 1.5, "positive definite"),
        (["x", "y", "z"], -0.6, "positive definite"),
        (["x", "y"], float("nan"), "finite"),
    ):
        with pytest.raises(ParameterError, match=complaint):
            Correlated(likelihood, names, rho=rho)


def test_correlated_data_refuse_two_values_of_one_measurement() -> None:
    """Parameters that became one cannot have been measured to different values."""
    likelihood, data, _ = cases.linear_normal()
    one = Correlated(likelihood, ["x", "z"])
    with pytest.raises(DataError, match=r"'z' is -0\.1, but that of 'x'.*is 0\.2"):
        one.data(data)
    with pytest.raises(DataError, match="expected 3 auxiliary data"):
        one.data(Data(data.main, data.aux[:1]))


# ------------------------------------------------------------------------------- shapes and checks


def test_evaluation_refuses_vectors_of_another_length() -> None:
    """A parameter vector or auxiliary data of another length never give a number, jit or not."""
    likelihood, data, theta = cases.product()
    for use in (likelihood.logpdf, likelihood.curvature, eqx.filter_jit(likelihood.logpdf)):
        for wrong in (theta[:-1], jnp.append(theta, 0.0)):
            with pytest.raises(ParameterError, match=r"expected a parameter vector with shape \(5,\)"):
                use(wrong, data)
        with pytest.raises(DataError, match="expected 3 auxiliary data"):
            use(theta, Data(data.main, data.aux[:-1]))
    for use in (likelihood.expected, likelihood.information_main):
        with pytest.raises(ParameterError, match="expected a parameter vector"):
            use(theta[:-1])
    with pytest.raises(ParameterError, match="expected a parameter vector"):
        likelihood.sample(theta[:-1], jax.random.key(0))


def test_check_data_reaches_through_wrappers_and_combinations() -> None:
    """The component whose main data do not fit is named, also inside another combination."""
    likelihood, data, _ = cases.nested()
    check_data(likelihood, data)
    broken = {**data.main, "y": {**data.main["y"], "x": jnp.zeros(3)}}
    with pytest.raises(DataError, match=r"'y': component 'x': expected main data.*\(2,\), got \(3,\)"):
        check_data(likelihood, Data(broken, data.aux))
    with pytest.raises(DataError, match=r"expected main data for \['y', 'z'\], got \['y'\]"):
        check_data(likelihood, Data({"y": data.main["y"]}, data.aux))
    with pytest.raises(DataError, match=r"expected main data for \['y', 'z'\], got ArrayImpl"):
        check_data(likelihood, Data(jnp.zeros(2), data.aux))
    undefined = jax.tree.map(lambda leaf: leaf.at[0].set(jnp.nan), data.main)
    with pytest.raises(DataError, match="must be finite, but entry 0 is not"):
        check_data(likelihood, Data(undefined, data.aux))
    with pytest.raises(DataError, match="'gamma' must be a count of zero or more"):
        check_data(likelihood, Data(data.main, data.aux.at[1].set(-1.0)))


class AnyLength(Linear):
    """Main data of any length: a class may decide for itself what it accepts."""

    def check_main(self, main: Any) -> None:
        """One axis is all that is asked."""
        if np.ndim(main) != 1:
            raise DataError("one axis")


def test_a_class_may_accept_other_shapes() -> None:
    """`check_main` of a concrete class is asked, behind wrappers and in combinations too."""
    likelihood = AnyLength((Parameter("a", 0.0),), ((1.0,),), (1.0,))
    both = Product(a=Fixed(likelihood, {"a": 0.0}))
    check_data(both, Data({"a": jnp.zeros(9)}, jnp.zeros(0)))
    with pytest.raises(DataError, match="component 'a': one axis"):
        check_data(both, Data({"a": jnp.zeros((1, 1))}, jnp.zeros(0)))


# ------------------------------------------------------------------------------------ as JAX sees it


def test_equal_declarations_are_compiled_once() -> None:
    """A likelihood is arrays plus a hashable static part: a second, equal one is not traced again."""
    traces = []

    @jax.jit
    def logpdf(likelihood: Likelihood, theta: jax.Array, data: Data) -> jax.Array:
        traces.append(likelihood)
        return likelihood.logpdf(theta, data)

    for build in (cases.product, cases.nested, cases.half, cases.merged, cases.renamed, cases.fixed):
        traces.clear()
        for _ in range(2):
            likelihood, data, theta = build()
            logpdf(likelihood, theta, data)
        assert len(traces) == 1, build


def test_other_numbers_are_not_compiled_again_but_other_declarations_are() -> None:
    """Yields are arguments of the compiled function; names and constraints are part of it."""
    traces = []

    @jax.jit
    def logpdf(likelihood: Likelihood, theta: jax.Array, data: Data) -> jax.Array:
        traces.append(likelihood)
        return likelihood.logpdf(theta, data)

    (first, data, theta), parameters = cases.bins(), tuple(cases.bins()[0].parameters.values())
    other = Bins(parameters, [1.0, 2.0, 3.0, 4.0, 5.0], [9.0, 8.0, 7.0, 6.0, 5.0])
    values = [float(logpdf(likelihood, theta, data)) for likelihood in (first, other)]
    assert len(traces) == 1
    assert values[0] != values[1]
    logpdf(Renamed(first, {"mu": "r"}), theta, data)
    logpdf(Renamed(first, {"mu": "q"}), theta, data)
    assert len(traces) == 3


def test_a_likelihood_is_a_tree_of_arrays() -> None:
    """Every leaf is an array, and taking apart and putting together gives the same likelihood."""
    for build in (cases.nested, cases.half, cases.on_off):
        likelihood, data, theta = build()
        leaves, structure = jax.tree.flatten(likelihood)
        assert all(isinstance(leaf, jax.Array) for leaf in leaves)
        again = jax.tree.unflatten(structure, leaves)
        assert again.parameters == likelihood.parameters
        assert value(again, theta, data) == value(likelihood, theta, data)
