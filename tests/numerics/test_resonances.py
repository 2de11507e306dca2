"""Resonances against scipy, against numerical convolution, and against generated events."""

from __future__ import annotations

import importlib.util
import random
from itertools import pairwise
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from infer.numerics.resonances import BreitWigner, RadiatedBreitWigner, Voigt, radiation_strength, radiator

SCRIPT = Path(__file__).parents[2] / "workspaces" / "make_parametric.py"
X = np.linspace(60.0, 120.0, 241)
EDGES = jnp.linspace(60.0, 120.0, 65)


@pytest.mark.parametrize(("width", "resolution"), [(2.5, 1.1), (0.2, 2.0), (10.0, 0.3), (0.5, 0.1)])
def test_voigt_is_that_of_scipy(width: float, resolution: float) -> None:
    """To 1e-10 relative, tails included."""
    got = np.exp(Voigt(91.0, width, resolution).log_density(jnp.asarray(X)))
    np.testing.assert_allclose(got, special.voigt_profile(X - 91.0, resolution, width / 2.0), rtol=1e-10)


def running_width(t: np.ndarray | float, mass: float, width: float) -> np.ndarray | float:
    """The relativistic Breit-Wigner with running width, up to a constant."""
    return 1.0 / ((t**2 - mass**2) ** 2 + t**4 * width**2 / mass**2)


@pytest.mark.parametrize(
    ("mass", "width", "resolution", "tilt"),
    [(91.19, 2.495, 1.1, 0.0), (91.19, 2.495, 0.4, 1.5), (85.0, 6.0, 2.0, -2.0)],
)
def test_breit_wigner_is_the_convolution(mass: float, width: float, resolution: float, tilt: float) -> None:
    """The closed form is the numerical convolution, to 1e-9 relative to the density."""

    def convolution(x: float) -> float:
        def integrand(t: float) -> float:
            return running_width(t, mass, width) * np.exp(-0.5 * ((x - t) / resolution) ** 2)

        cuts = np.linspace(x - 9.0 * resolution, x + 9.0 * resolution, 30)
        parts = [integrate.quad(integrand, a, b, epsabs=0.0, epsrel=1e-12)[0] for a, b in pairwise(cuts)]
        return float(sum(parts) * (x / mass) ** tilt)

    places = np.array([60.0, 70.0, 85.0, 90.0, 91.0, 92.5, 100.0, 120.0])
    expected = np.array([convolution(x) for x in places])
    got = np.exp(BreitWigner(mass, width, resolution, tilt).log_density(jnp.asarray(places)))
    np.testing.assert_allclose(got / got[4], expected / expected[4], rtol=1e-9)


def test_running_width_is_a_rescaled_fixed_width() -> None:
    """Without resolution it is scipy's rel_breitwigner at M / sqrt(1 + g^2), 34 MeV below the mass of the Z."""
    mass, width = 91.1876, 2.4952
    root = np.sqrt(1.0 + (width / mass) ** 2)
    fixed = stats.rel_breitwigner((mass / root) / (width / root), scale=width / root)
    x = np.linspace(70.0, 110.0, 41)
    got = np.exp(BreitWigner(mass, width, 0.01, 0.0).log_density(jnp.asarray(x)))
    np.testing.assert_allclose(got / got[20], fixed.pdf(x) / fixed.pdf(x[20]), rtol=1e-4)
    assert mass - mass / root == pytest.approx(0.0341, abs=1e-4)


def test_tilt_shifts_the_peak_as_stated() -> None:
    """By 30 MeV for each unit at the Z with a resolution of 1.1 GeV."""
    x = np.linspace(90.0, 92.5, 25001)
    peaks = [x[np.argmax(BreitWigner(91.19, 2.495, 1.1, tilt).log_density(jnp.asarray(x)))] for tilt in (-1.0, 1.0)]
    assert (peaks[1] - peaks[0]) / 2.0 == pytest.approx(0.030, abs=0.001)


def test_strength_of_radiation() -> None:
    """Known values at the Z: 0.0582 for muons, 0.108 for electrons."""
    assert radiation_strength(91.1876, 0.1056584) == pytest.approx(0.0582, abs=5e-5)
    assert radiation_strength(91.1876, 0.000511) == pytest.approx(0.1077, abs=5e-4)


def kept(strength: float, z: np.ndarray) -> np.ndarray:
    """The radiator D(z) of the module's docstring."""
    soft = (1.0 + 0.75 * strength) * strength * (1.0 - z) ** (strength - 1.0)
    return np.asarray(soft - 0.5 * strength * (1.0 + z))


def test_radiator_integrates_to_one() -> None:
    """The formula of the docstring, with x = 1 - z = u^(1 / strength)."""
    strength = 0.0582

    def integrand(u: float) -> float:
        x = u ** (1.0 / strength)
        return (1.0 + 0.75 * strength) - 0.5 * (2.0 - x) * x ** (1.0 - strength)

    assert integrate.quad(integrand, 0.0, 1.0)[0] == pytest.approx(1.0, abs=1e-10)


def by_quadrature(x: float, density: BreitWigner, strength: float) -> float:
    """Density after radiation: 1200 panels in log(s - x), and the rest below 1e-90 in closed form."""
    edges = np.linspace(-207.0, np.log(240.0 - x), 1201)
    t, w = np.polynomial.legendre.leggauss(24)
    half = 0.5 * np.diff(edges)[:, None]
    log_loss = (0.5 * (edges[1:] + edges[:-1])[:, None] + half * t).ravel()
    loss = np.exp(log_loss)
    s = x + loss
    remains = loss * (s + x) / s**2  # 1 - (x/s)^2 without cancellation
    soft = (1.0 + 0.75 * strength) * strength * remains ** (strength - 1.0)
    kernel = (soft - 0.5 * strength * (2.0 - remains)) * 2.0 * x / s**2
    values = np.exp(density.log_density(jnp.asarray(s)))
    rest = (1.0 + 0.75 * strength) * (2.0 * np.exp(edges[0]) / x) ** strength
    first = float(np.exp(density.log_density(jnp.asarray([x]))[0]))
    return float(np.sum((half * w).ravel() * kernel * values * loss) + rest * first)


@pytest.mark.slow
def test_radiated_density_is_the_convolution() -> None:
    """The matrix gives the integral over the radiator to 1e-8: at nodes, between them, at the ends."""
    strength = 0.0582
    before = BreitWigner(91.2, 2.5, 1.1, 0.3)
    after = RadiatedBreitWigner(91.2, 2.5, 1.1, 0.3, radiator=radiator(60.0, 120.0, strength))
    places = np.array([60.0, 60.02, 60.9375, 72.0, 86.3, 90.0, 91.0, 91.4, 95.0, 119.99, 120.0])
    expected = [by_quadrature(x, before, strength) for x in places]
    np.testing.assert_allclose(np.exp(after.log_density(jnp.asarray(places))), expected, rtol=1e-8)


def test_weak_radiation_is_none() -> None:
    """To first order in a small strength nothing changes."""
    before = BreitWigner(91.2, 2.5, 1.1, 0.0)
    after = RadiatedBreitWigner(91.2, 2.5, 1.1, 0.0, radiator=radiator(60.0, 120.0, 1e-7))
    np.testing.assert_allclose(after.log_density(jnp.asarray(X)), before.log_density(jnp.asarray(X)), atol=1e-4)


def test_radiated_density_describes_generated_events() -> None:
    """Events made by steps that share no code with infer (workspaces/make_parametric.py).

    A chi-square of 100 000 events in 1 GeV bins; false-alarm rate 1e-4, seed fixed.  The typical failure is
    a chi-square of thousands: without radiation it is above 20 000.
    """
    spec = importlib.util.spec_from_file_location("make_parametric", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    rng = random.Random(5)
    events = np.array([script.signal_event(rng) for _ in range(100_000)]) / (1.0 + script.SCALE)
    bins = np.linspace(60.0, 120.0, 61)
    counts, _ = np.histogram(events, bins)
    arguments = (script.MASS, script.WIDTH, script.RESOLUTION * script.MASS, 0.0)
    after = RadiatedBreitWigner(*arguments, radiator=radiator(60.0, 120.0, script.BETA))
    before = BreitWigner(*arguments)
    p_values = []
    for density in (after, before):
        masses = np.asarray(density.masses(jnp.asarray(bins)))
        p_values.append(stats.chisquare(counts, counts.sum() * masses / masses.sum()).pvalue)
    assert p_values[0] > 1e-4
    assert p_values[1] == 0.0
