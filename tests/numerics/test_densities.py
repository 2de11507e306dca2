"""Every density: its integral, its derivatives, and an independent formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, interpolate, special, stats

from infer.numerics.densities import Bernstein, CrystalBall, Density, Exponential, Gaussian, exprel
from infer.numerics.resonances import BreitWigner, RadiatedBreitWigner, Voigt, radiation_strength, radiator

BETA = radiation_strength(91.19, 0.1056584)
RADIATOR = radiator(60.0, 120.0, BETA)


def radiated(mass: float, width: float, resolution: float, tilt: float) -> Density:
    """The radiated density on the range of the Z."""
    return RadiatedBreitWigner(mass, width, resolution, tilt, radiator=RADIATOR)


def polynomial(*coefficients: float) -> Density:
    """A Bernstein polynomial on the range (-1, 3)."""
    return Bernstein(jnp.stack(coefficients), -1.0, 3.0)


@dataclass(frozen=True)
class Case:
    """A density at some arguments, on some range.

    Args:
        name: in the test report.
        build: makes the density from its arguments.
        arguments: where derivatives are taken.
        edges: of intervals that cover the range.
    """

    name: str
    build: Callable[..., Density]
    arguments: tuple[float, ...]
    edges: tuple[float, ...]

    @cached_property
    def density(self) -> Density:
        """The density at the arguments."""
        return self.build(*map(jnp.asarray, self.arguments))

    @cached_property
    def curve(self) -> Callable[[float], float]:
        """``exp(log_density)`` as a compiled function of a number."""
        density = self.density
        compiled = jax.jit(lambda x: jnp.exp(density.log_density(x)))
        return lambda x: float(compiled(jnp.asarray([x], dtype=float))[0])

    @property
    def points(self) -> jnp.ndarray:
        """Some places in the range."""
        return jnp.linspace(self.edges[0], self.edges[-1], 23) + 1e-3 * jnp.sin(jnp.arange(23.0))


Z = (60.0, 75.0, 88.0, 90.5, 94.0, 120.0)
CASES = (
    Case("gaussian", Gaussian, (125.0, 1.7), (100.0, 120.0, 125.0, 126.0, 160.0)),
    Case("gaussian-negative", Gaussian, (-2.0, 0.3), (-3.0, -2.1, -1.0, 0.5)),
    Case("gaussian-outside", Gaussian, (0.0, 1.0), (5.0, 6.0, 9.0)),
    Case("exponential-falling", Exponential, (-0.04, 60.0), Z),
    Case("exponential-rising", Exponential, (3.0, -1.0), (-1.0, 0.0, 2.0)),
    Case("exponential-flat", Exponential, (0.0, 10.0), (10.0, 11.0, 50.0)),
    Case("exponential-steep", Exponential, (-40.0, 0.0), (0.0, 0.1, 1.0)),
    Case("bernstein", polynomial, (1.0, 0.2, 2.5, 0.7), (-1.0, 0.0, 3.0)),
    Case("bernstein-constant", polynomial, (1.0,), (-1.0, 0.0, 3.0)),
    Case("crystal-ball", CrystalBall, (91.0, 1.3, 1.2, 2.5, 1.8, 4.0), Z),
    Case("crystal-ball-pole", CrystalBall, (0.5, 0.2, 0.7, 1.0, 2.0, 0.6), (-4.0, 0.0, 0.5, 3.0)),
    Case("voigt", Voigt, (91.0, 2.5, 1.1), Z),
    Case("voigt-narrow", Voigt, (0.1, 0.01, 0.05), (-0.5, 0.0, 0.1, 0.2, 0.6)),
    Case("breit-wigner", BreitWigner, (91.2, 2.5, 1.1, 0.0), Z),
    Case("breit-wigner-tilted", BreitWigner, (89.0, 3.5, 0.6, -1.4), Z),
    Case("radiated", radiated, (91.2, 2.5, 1.1, 0.3), Z),
)
NUMERICAL = (Bernstein, Voigt, BreitWigner, RadiatedBreitWigner)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    """One case of the table."""
    return request.param


def fine_edges(case: Case) -> jnp.ndarray:
    """Edges as a likelihood uses them: 64 panels, with those of the case among them."""
    return jnp.sort(jnp.concatenate([jnp.linspace(case.edges[0], case.edges[-1], 65), jnp.asarray(case.edges[1:-1])]))


def integral(function: Callable[[float], float], low: float, high: float) -> float:
    """Adaptive quadrature."""
    return float(integrate.quad(function, low, high, epsabs=0.0, epsrel=1e-11, limit=200)[0]) if high > low else 0.0


@pytest.mark.slow
def test_masses_are_integrals(case: Case) -> None:
    """Each mass is the integral of exp(log_density) by adaptive quadrature, to 1e-9."""
    fine = fine_edges(case)
    masses = np.asarray(case.density.masses(fine))
    at = np.searchsorted(np.asarray(fine), case.edges)
    kinks = [float(k) for k in case.density.kinks()]
    for i in range(len(case.edges) - 1):
        low, high = case.edges[i], case.edges[i + 1]
        cuts = [low, *sorted(k for k in kinks if low < k < high), high]
        total = sum(integral(case.curve, a, b) for a, b in pairwise(cuts))
        assert masses[at[i] : at[i + 1]].sum() == pytest.approx(total, rel=1e-9)


def test_closed_form_masses_do_not_depend_on_the_edges(case: Case) -> None:
    """Masses add up: one interval is the sum of its parts, to 1e-12 where the form is closed."""
    if isinstance(case.density, NUMERICAL):
        pytest.skip("integrated numerically: compared with quadrature above")
    whole = case.density.masses(jnp.asarray([case.edges[0], case.edges[-1]]))
    np.testing.assert_allclose(whole[0], jnp.sum(case.density.masses(fine_edges(case))), rtol=1e-12)


@pytest.mark.slow
def test_pdf_integrates_to_one(case: Case) -> None:
    """On the range that it was normalised on, to 1e-8, and on a part of it."""
    compiled = jax.jit(lambda x, edges: case.density.pdf(x, edges))
    for edges in (fine_edges(case), fine_edges(case)[20:45]):
        low, high = float(edges[0]), float(edges[-1])
        cuts = np.sort(np.clip([low, *case.density.kinks().tolist(), high], low, high))
        total = sum(integral(lambda x, e=edges: compiled(jnp.asarray([x]), e)[0], a, b) for a, b in pairwise(cuts))
        assert total == pytest.approx(1.0, abs=1e-8)


@pytest.mark.slow
def test_derivatives_are_finite_differences(case: Case) -> None:
    """Gradient and second derivatives of density and masses in the arguments, to 1e-6 of the largest."""
    points, edges = case.points, fine_edges(case)

    def everything(a: jnp.ndarray) -> jnp.ndarray:
        density = case.build(*a)
        return jnp.concatenate([density.pdf(points, edges), jnp.log(jnp.sum(density.masses(edges)))[None]])

    a = jnp.asarray(case.arguments)
    slope = jax.jit(jax.jacfwd(everything))
    bend = jax.jit(jax.jacfwd(jax.jacrev(everything)))(a)
    function = jax.jit(everything)
    for i, value in enumerate(case.arguments):
        step = 2e-4 * max(abs(value), 0.1)
        for derivative, f in ((slope(a)[:, i], function), (bend[:, :, i], slope)):
            at = [f(a.at[i].add(k * step)) for k in (-2.0, -1.0, 1.0, 2.0)]
            difference = (at[0] - 8.0 * at[1] + 8.0 * at[2] - at[3]) / (12.0 * step)
            assert np.all(np.abs(derivative - difference) < 1e-6 * (0.1 + np.abs(difference).max()))


@pytest.mark.slow
def test_compiled_equals_eager_and_vmap_equals_loop(case: Case) -> None:
    """In the arguments, over a batch of three."""
    batch = jnp.asarray([case.arguments] * 3) * jnp.asarray([[1.0], [1.001], [0.999]])
    edges = fine_edges(case)

    def pdf(a: jnp.ndarray) -> jnp.ndarray:
        return case.build(*a).pdf(case.points, edges)

    together = jax.jit(jax.vmap(pdf))(batch)
    np.testing.assert_allclose(together, jnp.stack([pdf(a) for a in batch]), rtol=1e-11, atol=1e-300)


def test_numbers_become_float64_leaves() -> None:
    """Arguments are pytree leaves, whatever they were given as."""
    leaves = jax.tree.leaves(Gaussian(91, 2))
    assert [leaf.dtype for leaf in leaves] == [jnp.float64, jnp.float64]


@pytest.mark.slow
@pytest.mark.parametrize(("mean", "sigma"), [(125.0, 1.7), (-40.0, 3.0), (0.0, 100.0)])
def test_gaussian_is_the_truncated_normal_of_scipy(mean: float, sigma: float) -> None:
    """Ten standard deviations above the mean the mass does not cancel."""
    edges = np.array([-2.0, 0.0, 1.0, 5.0, 10.0, 11.0]) * sigma + mean
    scipy = stats.truncnorm(-2.0, 11.0, loc=mean, scale=sigma)
    density, inside = Gaussian(mean, sigma), edges[:-1] + 0.1 * sigma
    np.testing.assert_allclose(density.pdf(jnp.asarray(inside), jnp.asarray(edges)), scipy.pdf(inside), rtol=1e-11)
    masses = density.masses(jnp.asarray(edges))
    np.testing.assert_allclose(masses[-1], stats.norm.sf(10.0) - stats.norm.sf(11.0), rtol=1e-12)


def test_exponential_is_smooth_through_slope_zero() -> None:
    """log mass of (0, L) is log L + c L / 2 + c^2 L^2 / 24 - ..., whichever side of zero c lies."""

    def log_mass(slope: jnp.ndarray) -> jnp.ndarray:
        return jnp.log(jnp.sum(Exponential(slope, 0.0).masses(jnp.array([0.0, 3.0]))))

    for slope in (0.0, 1e-9, -1e-9):
        at = jnp.asarray(slope)
        assert log_mass(at) == pytest.approx(np.log(3.0) + 1.5 * slope, rel=1e-14)
        assert jax.grad(log_mass)(at) == pytest.approx(1.5, rel=1e-8)
        assert jax.grad(jax.grad(log_mass))(at) == pytest.approx(9.0 / 12.0, rel=1e-8)


@pytest.mark.parametrize("t", [-600.0, -3.0, -0.1001, -0.0999, 0.0, 1e-12, 0.0999, 0.1001, 20.0])
def test_exprel_is_that_of_scipy(t: float) -> None:
    """Series and closed form meet."""
    assert float(exprel(jnp.asarray(t))) == pytest.approx(special.exprel(t), rel=4e-15)


def test_bernstein_is_that_of_scipy() -> None:
    """Against scipy's BPoly, and positive coefficients give a positive polynomial."""
    coefficients = np.array([1.0, 0.0, 3.0, 0.2, 0.0])
    x = np.linspace(-1.0, 3.0, 50)[1:-1]
    reference = interpolate.BPoly(coefficients[:, None], [-1.0, 3.0])(x)
    np.testing.assert_allclose(jnp.exp(Bernstein(coefficients, -1.0, 3.0).log_density(jnp.asarray(x))), reference)
    assert np.all(reference > 0.0)


@pytest.mark.parametrize(("alpha", "n"), [(1.2, 2.5), (0.4, 1.7), (2.5, 30.0)])
def test_crystal_ball_is_that_of_scipy(alpha: float, n: float) -> None:
    """With the upper tail out of reach; scipy has the lower one, normalised on the real line."""
    ball = CrystalBall(91.0, 1.3, alpha, n, 30.0, 5.0)
    scipy = stats.crystalball(alpha, n, loc=91.0, scale=1.3)
    edges = np.array([60.0, 85.0, 90.0, 92.0, 120.0])
    x = np.linspace(60.0, 120.0, 301)
    expected = scipy.pdf(x) / (scipy.cdf(120.0) - scipy.cdf(60.0))
    np.testing.assert_allclose(ball.pdf(jnp.asarray(x), jnp.asarray(edges)), expected, rtol=1e-9, atol=1e-300)
    masses = np.asarray(ball.masses(jnp.asarray(edges)))
    np.testing.assert_allclose(masses / masses.sum(), np.diff(scipy.cdf(edges)) / np.diff(scipy.cdf(edges)).sum())


def test_crystal_ball_is_the_textbook_formula_on_both_sides() -> None:
    """A (B + |t|)^-n with A = (n / alpha)^n exp(-alpha^2 / 2), B = n / alpha - alpha; mirrored arguments mirror it."""
    alpha, n, t = 0.9, 3.0, np.linspace(0.9, 20.0, 40)
    tail = (n / alpha) ** n * np.exp(-(alpha**2) / 2.0) * (n / alpha - alpha + t) ** -n
    ball = CrystalBall(5.0, 2.0, 1.5, 2.0, alpha, n)
    mirrored = CrystalBall(-5.0, 2.0, alpha, n, 1.5, 2.0)
    np.testing.assert_allclose(jnp.exp(ball.log_density(jnp.asarray(5.0 + 2.0 * t))), tail)
    np.testing.assert_allclose(jnp.exp(mirrored.log_density(jnp.asarray(-5.0 - 2.0 * t))), tail)


def test_crystal_ball_is_continuous_to_the_first_derivative() -> None:
    """At both kinks, and the second derivative jumps there: a kink is where it is said to be."""
    ball = CrystalBall(91.0, 1.3, 1.2, 2.5, 1.8, 4.0)
    slope = jax.grad(lambda x: ball.log_density(x[None])[0])
    for kink in ball.kinks():
        below, above = kink - 1e-7, kink + 1e-7
        value = [float(ball.log_density(x[None])[0]) for x in (below, above)]
        assert value[0] == pytest.approx(value[1], abs=1e-6)
        assert float(slope(below)) == pytest.approx(float(slope(above)), abs=1e-6)
        jump = jax.grad(slope)(above) - jax.grad(slope)(below)
        assert abs(jump) > 0.1


@pytest.mark.slow
def test_gradients_are_finite_throughout_wide_bounds() -> None:
    """At 300 random arguments within bounds that a fit may visit, across the range."""
    rng = np.random.default_rng(3)
    x, edges = jnp.linspace(60.0, 120.0, 25), jnp.linspace(60.0, 120.0, 65)
    wide = {
        Gaussian: [(60, 120), (0.5, 20)],
        CrystalBall: [(60, 120), (0.3, 20), (0.1, 6), (0.2, 50), (0.1, 6), (0.2, 50)],
        Voigt: [(60, 120), (0.2, 20), (0.2, 10)],
        BreitWigner: [(60, 120), (0.2, 20), (0.2, 10), (-6, 6)],
        radiated: [(70, 115), (0.5, 10), (0.5, 5), (-6, 6)],
    }
    for build, bounds in wide.items():

        @jax.jit
        @jax.vmap
        def gradient(a: jnp.ndarray, build: Callable[..., Density] = build) -> jnp.ndarray:
            return jax.jacfwd(lambda b: build(*b).pdf(x, edges))(a)

        low, high = np.asarray(bounds, dtype=float).T
        sample = gradient(jnp.asarray(rng.uniform(low, high, (300, len(bounds)))))
        assert np.all(np.isfinite(sample)), build
