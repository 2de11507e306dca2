"""Distances between cumulative distributions, against scipy, textbook sums and naive loops."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from infer.numerics.cumulative import anderson_darling, kolmogorov_smirnov

FloatArray = npt.NDArray[np.float64]


def cells(u: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Observed and expected of events with these values of their cumulative distribution: events between gaps."""
    gaps = np.diff(np.concatenate([[0.0], np.sort(u), [1.0]]))
    observed, expected = np.zeros(2 * len(u) + 1), np.zeros(2 * len(u) + 1)
    observed[1::2], expected[::2] = 1.0, 40.0 * gaps
    return observed, expected


@pytest.mark.parametrize(("n", "power"), [(1, 1.0), (7, 1.0), (200, 1.0), (50, 3.0), (50, 0.2)])
def test_events_agree_with_scipy_and_the_textbook(n: int, power: float) -> None:
    """D is scipy's; A^2 = -n - sum (2 i - 1) [ln u_i + ln(1 - u_{n+1-i})] / n (Anderson & Darling 1954, eq. 6)."""
    u = np.sort(np.random.default_rng(n).uniform(size=n) ** power)
    observed, expected = map(jnp.asarray, cells(u))
    assert float(kolmogorov_smirnov(observed, expected)) == pytest.approx(stats.kstest(u, "uniform").statistic)
    i = np.arange(1, n + 1)
    textbook = -n - np.sum((2 * i - 1) * (np.log(u) + np.log1p(-u[::-1]))) / n
    assert float(anderson_darling(observed, expected, continuous=True)) == pytest.approx(textbook, rel=1e-9)


def test_weights_are_repeated_events() -> None:
    """An event of weight two is two events, and one of weight zero none."""
    observed, expected = (jnp.asarray(x) for x in ([0.0, 2.0, 0.0, 0.0, 0.0, 1.0, 0.0], [1, 0, 1, 0, 1.5, 0, 0.5]))
    same = (jnp.asarray([0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]), jnp.asarray([1.0, 0, 0, 0, 2.5, 0, 0.5]))
    assert float(kolmogorov_smirnov(observed, expected)) == pytest.approx(float(kolmogorov_smirnov(*same)))
    squared = [float(anderson_darling(o, e, continuous=True)) for o, e in ((observed, expected), same)]
    assert squared[0] == pytest.approx(squared[1], rel=1e-12)


def test_bins_agree_with_a_loop() -> None:
    """Both distances as Combine and Choulakian et al. add them up, bin by bin; an empty first and last bin."""
    observed, expected = np.array([0.0, 12.0, 9.0, 0.0, 3.0, 0.0]), np.array([0.5, 9.0, 11.0, 2.0, 2.5, 0.3])
    n, total = observed.sum(), expected.sum()
    seen = wanted = largest = squared = 0.0
    for o, e in zip(observed, expected, strict=True):
        seen, wanted = seen + o / n, wanted + e / total
        largest = max(largest, abs(seen - wanted))
        if wanted < 1.0 - 1e-12:
            squared += n * (seen - wanted) ** 2 / (wanted * (1.0 - wanted)) * e / total
    arrays = jnp.asarray(observed), jnp.asarray(expected)
    assert float(kolmogorov_smirnov(*arrays)) == pytest.approx(largest, rel=1e-12)
    assert float(anderson_darling(*arrays, continuous=False)) == pytest.approx(squared, rel=1e-9)


def test_narrow_bins_approach_events() -> None:
    """In 20000 bins, A^2 of 100 events is that of the events to 1 %, and D to 1e-3."""
    u = np.random.default_rng(3).uniform(size=100)
    counts = jnp.asarray(np.histogram(u, 20000, (0.0, 1.0))[0].astype(float))
    flat = jnp.full(20000, 1.0)
    observed, expected = map(jnp.asarray, cells(u))
    assert float(kolmogorov_smirnov(counts, flat)) == pytest.approx(
        float(kolmogorov_smirnov(observed, expected)), abs=1e-3
    )
    fine = float(anderson_darling(counts, flat, continuous=False))
    assert fine == pytest.approx(float(anderson_darling(observed, expected, continuous=True)), rel=0.01)


def test_scale_does_not_matter_and_no_events_say_nothing() -> None:
    """Shapes alone are compared; without events both distances are 0; perfect agreement is 0."""
    observed, expected = jnp.asarray([3.0, 5.0, 1.0]), jnp.asarray([2.0, 4.0, 3.0])
    assert float(kolmogorov_smirnov(observed, 9.0 * expected)) == pytest.approx(
        float(kolmogorov_smirnov(observed, expected))
    )
    nothing = jnp.zeros(3)
    for distance in (
        kolmogorov_smirnov(nothing, expected),
        anderson_darling(nothing, expected, continuous=False),
        anderson_darling(nothing, expected, continuous=True),
        kolmogorov_smirnov(expected, expected),
        anderson_darling(expected, expected, continuous=False),
    ):
        assert float(distance) == pytest.approx(0.0, abs=1e-14)
