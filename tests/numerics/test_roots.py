"""Roots of falling functions, exact and with noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import kstest

from infer.numerics.roots import falling_root, noisy_root

FALLING: dict[str, tuple[Callable[[float], tuple[float, float]], float]] = {
    "straight": (lambda x: (3.0 - x, -1.0), 3.0),
    "steep": (lambda x: (1.0 - np.exp(min(x - 2.0, 700.0)), -np.exp(min(x - 2.0, 700.0))), 2.0),
    "flat": (lambda x: (1.0 / (1.0 + x) - 0.01, -1.0 / (1.0 + x) ** 2), 99.0),
    "plateau": (lambda x: (0.7, 0.0) if x < 5.0 else (0.7 - (x - 5.0), -1.0), 5.7),
    "wrong slopes": (lambda x: (3.0 - x, +1.0), 3.0),
    "no slopes": (lambda x: (3.0 - x, np.nan), 3.0),
    "a step": (lambda x: (1.0 if x < 4.0 else -1.0, 0.0), 4.0),
}


@pytest.mark.parametrize("name", FALLING)
@pytest.mark.parametrize("guess", [0.01, 1.0, 8.0, 1e4])
def test_roots(name: str, guess: float) -> None:
    """Found from anywhere, whatever the slopes say."""
    function, root = FALLING[name]
    found = falling_root(function, above=0.0, guess=guess, tolerance=1e-9)
    assert found is not None
    assert found.x == pytest.approx(root, rel=1e-6)
    assert found.error == 0.0


def test_newton_is_used() -> None:
    """A smooth function takes a handful of evaluations."""
    calls: list[float] = []

    def function(x: float) -> tuple[float, float]:
        calls.append(x)
        return 1.0 - x**2 / 4.0, -x / 2.0

    assert falling_root(function, above=0.0, guess=1.5, tolerance=1e-10)
    assert len(calls) <= 6


def test_no_root() -> None:
    """A function that never falls to zero has none."""
    assert falling_root(lambda x: (1.0 + 1.0 / (1.0 + x), 0.0), above=0.0, guess=1.0, tolerance=1e-9) is None


def test_noisy_roots_have_honest_errors() -> None:
    """(found - root) / error is N(0, 1) over 2000 repetitions of a parabola with noise (KS, false-alarm rate 1e-3)."""
    rng = np.random.default_rng(11)
    x = np.linspace(1.0, 3.0, 6)
    sigma = np.linspace(0.02, 0.05, 6)
    root = 2.0
    pulls = []
    for _ in range(2000):
        y = (root - x) - 0.1 * (x - root) ** 2 + sigma * rng.standard_normal(6)
        found = noisy_root(x, y, sigma)
        assert found is not None
        pulls.append((found.x - root) / found.error)
    assert kstest(pulls, "norm").pvalue > 1e-3


def test_noisy_root_of_two_points() -> None:
    """A straight line, whose error is that of its weighted points."""
    found = noisy_root(np.asarray([0.0, 2.0]), np.asarray([1.0, -1.0]), np.asarray([0.1, 0.1]))
    assert found is not None
    assert found.x == pytest.approx(1.0)
    assert found.error == pytest.approx(0.1 / np.sqrt(2.0))


@pytest.mark.parametrize("y", [[3.0, 2.0, 1.0], [-1.0, -2.0, -3.0], [-1.0, 0.0, 1.0]], ids=["above", "below", "rising"])
def test_no_noisy_root(y: list[float]) -> None:
    """None where zero is not crossed downwards between the points."""
    assert noisy_root(np.asarray([0.0, 1.0, 2.0]), np.asarray(y), np.full(3, 0.1)) is None
