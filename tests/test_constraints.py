"""Constraint terms against scipy, automatic differentiation and their own samples."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from infer.constraints import (
    Constraint,
    ConstraintTerms,
    LogNormal,
    MultivariateNormal,
    Normal,
    Poisson,
)
from infer.errors import ParameterError
from infer.typing import AuxVector, Scalar
from tests.contract.zscores import covariance_deviation, mean_deviation

COVARIANCE = ((0.25, 0.06, 0.0), (0.06, 0.04, -0.05), (0.0, -0.05, 1.0))
JOINT = MultivariateNormal(("c", "a", "b"), COVARIANCE)
NAMES = ("a", "lumi", "free", "b", "gamma", "shift", "c", "gamma2")
DECLARED: tuple[Constraint | None, ...] = (
    JOINT,
    LogNormal(1.2),
    None,
    JOINT,
    Poisson(25.0),
    Normal(0.5),
    JOINT,
    Poisson(3.5),
)
THETA = jnp.array([0.4, 1.1, -7.0, -2.0, 0.9, 120.0, 1.5, 1.3])
AUX = jnp.array([0.1, 0.95, -2.6, 23.0, 120.7, 1.7, 4.0])  # a, lumi, b, gamma, shift, c, gamma2
FALSE_ALARM = 1e-4
N = 20_000


@pytest.fixture(scope="module")
def terms() -> ConstraintTerms:
    """All kinds at once, the multivariate one in an order of its own."""
    return ConstraintTerms.build(NAMES, DECLARED)


def one(constraint: Constraint) -> ConstraintTerms:
    """A single constraint on a single parameter."""
    return ConstraintTerms.build(("x",), (constraint,))


def logpdf(constraint: Constraint, theta: float, aux: float) -> float:
    """Log-probability of a single constraint."""
    return float(one(constraint).logpdf(jnp.array([theta]), jnp.array([aux])))


@pytest.mark.slow
@pytest.mark.parametrize("theta", [-3.0, 0.0, 125.0])
@pytest.mark.parametrize("width", [0.1, 1.0, 30.0])
def test_normal_is_scipys(theta: float, width: float) -> None:
    """N(a; theta, width) with its constant."""
    aux = theta + 1.7 * width
    expected = stats.norm.logpdf(aux, theta, width)
    assert logpdf(Normal(width), theta, aux) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("scale", [0.5, 25.0, 1e7])
@pytest.mark.parametrize("theta", [0.3, 1.0, 2.0])
def test_poisson_is_scipys(scale: float, theta: float) -> None:
    """Poisson(a; scale * theta) with its constant, continued to counts that are not integers."""
    for aux in (0.0, 3.0, np.round(1.1 * scale)):
        expected = stats.poisson.logpmf(aux, scale * theta)
        assert logpdf(Poisson(scale), theta, aux) == pytest.approx(expected, rel=1e-12)
    between = special.xlogy(2.5, scale * theta) - scale * theta - special.gammaln(3.5)
    assert logpdf(Poisson(scale), theta, 2.5) == pytest.approx(between, rel=1e-12)


@pytest.mark.parametrize("kappa", [1.01, 1.5])
@pytest.mark.parametrize("theta", [0.8, 40.0])
def test_lognormal_is_scipys(kappa: float, theta: float) -> None:
    """The density of a itself, hence with 1 / a, not that of ln a."""
    aux = 1.03 * theta
    expected = stats.lognorm.logpdf(aux, np.log(kappa), scale=theta)
    assert logpdf(LogNormal(kappa), theta, aux) == pytest.approx(expected, rel=1e-12)


def test_multivariate_normal_is_scipys() -> None:
    """N(a; theta, covariance) with its constant, the parameters in another order than the rows."""
    build = ConstraintTerms.build(("a", "b", "c"), (JOINT,) * 3)
    theta, aux = np.array([0.4, -2.0, 1.5]), np.array([0.1, -2.6, 1.7])
    rows = [2, 0, 1]
    expected = stats.multivariate_normal.logpdf(aux[rows], theta[rows], COVARIANCE)
    assert float(build.logpdf(jnp.asarray(theta), jnp.asarray(aux))) == pytest.approx(expected, rel=1e-12)


def test_multivariate_normal_in_very_different_units() -> None:
    """Widths of 1e-7 and 1e5 in one covariance lose no precision, and are not called singular."""
    covariance = ((1e-14, 0.3e-2), (0.3e-2, 1e10))
    joint = MultivariateNormal(("p", "q"), covariance)
    build = ConstraintTerms.build(("p", "q"), (joint, joint))
    theta, aux = jnp.array([2e-7, 3e5]), jnp.array([1e-7, 4e5])
    unit = stats.multivariate_normal.logpdf([-1.0, 1.0], [0.0, 0.0], [[1.0, 0.3], [0.3, 1.0]])
    expected = unit - np.log(1e-7) - np.log(1e5)
    assert float(build.logpdf(theta, aux)) == pytest.approx(expected, rel=1e-12)


def test_terms_add_up(terms: ConstraintTerms) -> None:
    """Several kinds together are the sum of each alone, and free parameters say nothing."""
    rows = jnp.array([6, 0, 3])
    joint = stats.multivariate_normal.logpdf(AUX[jnp.array([5, 0, 2])], THETA[rows], COVARIANCE)
    expected = (
        joint
        + stats.lognorm.logpdf(0.95, np.log(1.2), scale=1.1)
        + stats.poisson.logpmf(23, 25.0 * 0.9)
        + stats.norm.logpdf(120.7, 120.0, 0.5)
        + stats.poisson.logpmf(4, 3.5 * 1.3)
    )
    assert terms.size == 7
    assert float(terms.logpdf(THETA, AUX)) == pytest.approx(expected, rel=1e-12)
    moved = terms.logpdf(THETA.at[2].add(5.0), AUX)
    assert float(moved) == float(terms.logpdf(THETA, AUX))


def test_counts_and_densities_are_normalised() -> None:
    """The Poisson term sums to one over counts, the log-normal one integrates to one over factors."""
    counts = jnp.arange(120.0)
    count, factor = one(Poisson(25.0)), one(LogNormal(1.3))
    values = jax.jit(jax.vmap(lambda a: count.logpdf(jnp.array([1.2]), a[None])))(counts)
    assert float(jnp.sum(jnp.exp(values))) == pytest.approx(1.0, abs=1e-12)
    factors = jnp.linspace(1e-6, 8.0, 20_001)
    values = jax.jit(jax.vmap(lambda a: factor.logpdf(jnp.array([0.8]), a[None])))(factors)
    assert float(jnp.trapezoid(jnp.exp(values), factors)) == pytest.approx(1.0, abs=1e-10)


def test_no_constraints_at_all() -> None:
    """A likelihood of free parameters has empty auxiliary data and a log-probability of zero."""
    none = ConstraintTerms.build(("a", "b"), (None, None))
    theta, aux = jnp.array([1.0, 2.0]), jnp.zeros(0)
    assert none.size == 0
    assert float(none.logpdf(theta, aux)) == 0.0
    assert none.sample(theta, jax.random.key(0)).shape == (0,)
    assert not np.any(none.curvature(theta, aux).hessian)
    assert none.score_derivative(theta).shape == (2, 0)


def test_curvature_equals_automatic_differentiation(terms: ConstraintTerms) -> None:
    """Value, gradient and Hessian in closed form, to 1e-12."""
    value, gradient = jax.jit(jax.value_and_grad(terms.logpdf))(THETA, AUX)
    hessian = jax.jit(jax.hessian(terms.logpdf))(THETA, AUX)
    closed = eqx.filter_jit(terms.curvature)(THETA, AUX)
    assert float(closed.value) == pytest.approx(-float(value), rel=1e-13)
    np.testing.assert_allclose(closed.gradient, -gradient, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(closed.hessian, -hessian, rtol=1e-12, atol=1e-12)


def _in_logarithms(terms: ConstraintTerms, aux: AuxVector) -> AuxVector:
    """The data that `score_derivative` and `aux_covariance` speak of: ln a for log-normal terms."""
    return aux.at[terms.lognormal.aux].set(jnp.log(aux[terms.lognormal.aux]))


def test_score_derivative_equals_automatic_differentiation(terms: ConstraintTerms) -> None:
    """d2(-logpdf) / d theta d a, where a log-normal datum means its logarithm."""

    def nll(theta: AuxVector, logs: AuxVector) -> Scalar:
        at = terms.lognormal.aux
        return -terms.logpdf(theta, logs.at[at].set(jnp.exp(logs[at])))

    mixed = jax.jit(jax.jacfwd(jax.grad(nll), argnums=1))
    automatic = mixed(THETA, _in_logarithms(terms, AUX))
    np.testing.assert_allclose(terms.score_derivative(THETA), automatic, rtol=1e-12, atol=1e-12)


def test_score_variance_is_the_expected_information(terms: ConstraintTerms) -> None:
    """score_derivative propagates aux_covariance to the Hessian at the Asimov auxiliary data."""
    slope, covariance = terms.score_derivative(THETA), terms.aux_covariance(THETA)
    information = terms.curvature(THETA, terms.expected(THETA)).hessian
    np.testing.assert_allclose(slope @ covariance @ slope.T, information, rtol=1e-11, atol=1e-11)


def test_expected_auxiliary_data_are_explained_by_the_parameters(terms: ConstraintTerms) -> None:
    """On Asimov auxiliary data the gradient vanishes, and they stand in the order of parameters."""
    asimov = terms.expected(THETA)
    np.testing.assert_allclose(asimov, [0.4, 1.1, -2.0, 22.5, 120.0, 1.5, 4.55], rtol=1e-14)
    np.testing.assert_allclose(terms.curvature(THETA, asimov).gradient, 0.0, atol=1e-12)


def test_samples_have_the_declared_moments(terms: ConstraintTerms) -> None:
    """Mean and covariance of 20000 toys, logarithms for log-normal (false-alarm rate 2e-4)."""
    keys = jax.random.split(jax.random.key(5), N)
    draw = jax.jit(jax.vmap(lambda key: _in_logarithms(terms, terms.sample(THETA, key))))
    centre = np.asarray(_in_logarithms(terms, terms.expected(THETA)))
    residual = np.asarray(draw(keys)) - centre
    rows, columns = np.triu_indices(terms.size)
    declared = np.asarray(terms.aux_covariance(THETA))[rows, columns]
    products = residual[:, rows] * residual[:, columns]
    for samples, mean in ((residual, np.zeros(terms.size)), (products, declared)):
        z = (samples.mean(axis=0) - mean) / (samples.std(axis=0) / np.sqrt(N))
        assert np.max(np.abs(z)) < stats.norm.isf(0.5 * FALSE_ALARM / z.size)


def test_shifted_moves_one_datum_by_its_own_width(terms: ConstraintTerms) -> None:
    """A factor is multiplied, everything else is added to, and nothing else moves."""
    widths = np.sqrt([0.04, np.log(1.2) ** 2, 1.0, 22.5, 0.25, 0.25, 4.55])
    for k in range(terms.size):
        for pull in (-1.0, 0.5):
            moved = np.asarray(terms.shifted(THETA, AUX, k, pull))
            step = AUX[k] * np.exp(pull * widths[k]) if k == 1 else AUX[k] + pull * widths[k]
            expected = np.asarray(AUX).copy()
            expected[k] = step
            np.testing.assert_allclose(moved, expected, rtol=1e-13)


def test_shifted_counts_stop_at_zero(terms: ConstraintTerms) -> None:
    """Three standard deviations below a count of four there is nothing to observe."""
    moved = terms.shifted(THETA, AUX, 6, -3.0)
    assert float(moved[6]) == 0.0
    assert np.isfinite(float(terms.logpdf(THETA, moved)))


@pytest.mark.parametrize(
    ("constraint", "theta", "aux"),
    [
        (Poisson(25.0), -0.1, 20.0),
        (Poisson(25.0), -0.1, 0.0),
        (Poisson(25.0), 0.0, 20.0),
        (Poisson(25.0), 1.0, -1.0),
        (LogNormal(1.2), 0.0, 1.0),
        (LogNormal(1.2), -1.0, 1.0),
        (LogNormal(1.2), 1.0, 0.0),
        (LogNormal(1.2), 1.0, -1.0),
    ],
)
def test_outside_the_support_is_impossible(constraint: Constraint, theta: float, aux: float) -> None:
    """Where a term cannot be, its log-probability is -inf and no derivative is NaN."""
    terms, at, datum = one(constraint), jnp.array([theta]), jnp.array([aux])
    assert float(terms.logpdf(at, datum)) == -np.inf
    assert not np.any(np.isnan(jax.grad(terms.logpdf)(at, datum)))
    closed = terms.curvature(at, datum)
    assert float(closed.value) == np.inf
    assert not np.any(np.isnan(closed.gradient))
    assert not np.any(np.isnan(closed.hessian))


def test_no_counts_at_a_vanishing_mean() -> None:
    """Poisson(0 | 0) is 1: at the edge of the support the value and derivatives are the limits."""
    terms, edge, none = one(Poisson(25.0)), jnp.array([0.0]), jnp.array([0.0])
    assert float(terms.logpdf(edge, none)) == 0.0
    assert float(jax.grad(terms.logpdf)(edge, none)[0]) == -25.0
    closed = terms.curvature(edge, none)
    assert float(closed.gradient[0]) == 25.0
    assert float(closed.hessian[0, 0]) == 0.0


def test_a_parameter_at_zero_does_not_respond() -> None:
    """At a mean of zero the error budget's matrices are finite, so that zero times them is zero."""
    terms = ConstraintTerms.build(("count", "factor"), (Poisson(25.0), LogNormal(1.2)))
    np.testing.assert_array_equal(terms.score_derivative(jnp.zeros(2)), np.zeros((2, 2)))
    assert np.all(np.isfinite(terms.aux_covariance(jnp.zeros(2))))


def test_an_undefined_parameter_gives_no_number() -> None:
    """NaN in a parameter never becomes a finite log-probability."""
    for constraint in (Normal(1.0), Poisson(25.0), LogNormal(1.2)):
        assert not np.isfinite(logpdf(constraint, np.nan, 1.0))


@pytest.mark.parametrize(
    ("constraint", "value", "expected"),
    [(Normal(0.3), 7.0, 0.3), (Poisson(25.0), 1.0, 0.2), (LogNormal(1.1), 2.0, 2.0 * np.log(1.1))],
)
def test_uncertainty_is_the_inverse_root_of_the_information(
    constraint: Normal | Poisson | LogNormal, value: float, expected: float
) -> None:
    """What the auxiliary datum alone gives: one over the root of the Hessian on Asimov data."""
    terms, theta = one(constraint), jnp.array([value])
    hessian = float(terms.curvature(theta, terms.expected(theta)).hessian[0, 0])
    assert constraint.uncertainty(value) == pytest.approx(expected, rel=1e-12)
    assert constraint.uncertainty(value) == pytest.approx(hessian**-0.5, rel=1e-12)


def test_uncertainty_of_one_parameter_of_several() -> None:
    """The root of the diagonal, by name."""
    assert [JOINT.uncertainty_of(name) for name in "abc"] == pytest.approx([0.2, 1.0, 0.5])


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_widths_must_be_positive_and_finite(bad: float) -> None:
    """A width or scale of zero, less, or no number is refused, with the value in the message."""
    for kind, what in ((Normal, "width"), (Poisson, "scale")):
        with pytest.raises(ParameterError, match=f"{what}.*{bad!r}"):
            kind(bad)


@pytest.mark.parametrize("bad", [1.0, 0.9, np.nan, np.inf])
def test_kappa_must_exceed_one(bad: float) -> None:
    """A kappa of one or less is refused, and the message tells how to write a percentage."""
    with pytest.raises(ParameterError, match=r"10 % uncertainty as 1\.1"):
        LogNormal(bad)


@pytest.mark.parametrize(
    ("covariance", "complaint"),
    [
        (((1.0, 0.5),), "2 by 2"),
        (((1.0, 0.5), (0.4, 1.0)), "symmetric"),
        (((1.0, 1.0), (1.0, 1.0)), "one parameter"),
        (((1.0, 2.0), (2.0, 1.0)), "positive definite"),
        (((1.0, np.nan), (np.nan, 1.0)), "finite"),
        (((0.0, 0.0), (0.0, 1.0)), "positive variances"),
    ],
)
def test_covariances_must_be_sound(covariance: Sequence[Sequence[float]], complaint: str) -> None:
    """Wrong shape, asymmetric, singular, indefinite and undefined covariances are refused."""
    with pytest.raises(ParameterError, match=f"on p, q.*{complaint}"):
        MultivariateNormal(("p", "q"), tuple(tuple(row) for row in covariance))


def test_multivariate_names_must_differ() -> None:
    """One parameter cannot fill two rows."""
    with pytest.raises(ParameterError, match="each parameter once"):
        MultivariateNormal(("p", "p"), ((1.0, 0.0), (0.0, 1.0)))


def test_a_multivariate_term_needs_all_its_parameters() -> None:
    """Naming a parameter that declares something else is an error that names the parameter."""
    with pytest.raises(ParameterError, match="'b' does not"):
        ConstraintTerms.build(("a", "b", "c"), (JOINT, Normal(1.0), JOINT))
    with pytest.raises(ParameterError, match="'c' does not"):
        ConstraintTerms.build(("a", "b"), (JOINT, JOINT))


# ------------------------------------------------------------------------------------- drawn parameters


def _drawn(terms: ConstraintTerms, n: int = N) -> np.ndarray:
    """Parameters drawn from their constraints, with shape (n, P)."""
    keys = jax.random.split(jax.random.key(11), n)
    return np.array(jax.jit(jax.vmap(lambda key: terms.draw(THETA, AUX, key)))(keys))


def test_drawn_parameters_have_the_moments_of_their_constraints(terms: ConstraintTerms) -> None:
    """Means and covariance of 20000 draws, in logarithms for log-normal terms (false-alarm rate 2e-4).

    Normal terms: mean a, the declared covariance.  Log-normal: ln a and ln kappa.  Poisson: a Gamma
    distribution with mean (a + 1) / scale and variance (a + 1) / scale^2.
    """
    draws = _drawn(terms)
    draws[:, 1] = np.log(draws[:, 1])
    constrained = [0, 1, 3, 4, 5, 6, 7]  # all but `free`
    mean = np.array([0.1, np.log(0.95), -2.6, 24.0 / 25.0, 120.7, 1.7, 5.0 / 3.5])
    covariance = np.diag([0.0, np.log(1.2) ** 2, 0.0, 24.0 / 25.0**2, 0.25, 0.0, 5.0 / 3.5**2])
    block = np.array([5, 0, 2])  # c, a, b
    covariance[np.ix_(block, block)] = COVARIANCE
    residual = draws[:, constrained] - mean
    for worst, limit in (mean_deviation(residual, np.zeros(7)), covariance_deviation(residual, covariance)):
        assert worst < limit


def test_drawn_parameters_leave_the_free_ones_alone(terms: ConstraintTerms) -> None:
    """A parameter without a constraint is not drawn."""
    assert np.all(_drawn(terms, 5)[:, 2] == -7.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("constraint", "aux", "logarithmic"),
    [(Normal(0.3), 1.4, False), (Poisson(25.0), 31.0, False), (Poisson(3.5), 0.0, False), (LogNormal(1.3), 0.8, True)],
    ids=["normal", "poisson", "no count", "log-normal"],
)
def test_drawn_parameters_follow_the_constraint_read_as_a_density(
    constraint: Normal | Poisson | LogNormal, aux: float, logarithmic: bool
) -> None:
    """Kolmogorov-Smirnov with ``exp(logpdf)`` over the parameter, normalised by the trapezoidal rule (1e-4 each).

    Under a flat prior of the parameter, or of its logarithm for a log-normal term.
    """
    terms = one(constraint)
    theta = np.linspace(1e-6, 8.0, 20_001)
    values = jax.jit(jax.vmap(lambda x: terms.logpdf(x[None], jnp.array([aux]))))(jnp.asarray(theta))
    density = np.exp(np.asarray(values)) / (theta if logarithmic else 1.0)
    cumulative = np.append(0.0, np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(theta)))
    keys = jax.random.split(jax.random.key(2), 5000)
    draws = np.asarray(jax.vmap(lambda key: terms.draw(jnp.array([1.0]), jnp.array([aux]), key))(keys))[:, 0]
    test = stats.kstest(draws, lambda x: np.interp(x, theta, cumulative / cumulative[-1]))
    assert test.pvalue > FALSE_ALARM
    other = stats.kstest(1.2 * draws, lambda x: np.interp(x, theta, cumulative / cumulative[-1]))
    assert other.pvalue < FALSE_ALARM  # draws that are a fifth too large are noticed
