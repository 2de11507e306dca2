"""Smoothing: what passes through unchanged, what ROOT makes of a sequence, totals that stay, and noise that goes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer.numerics.smoothing import (
    SYMMETRISATIONS,
    merge_bins,
    smooth_353qh_twice,
    smooth_lowess,
    smooth_parabola,
    smoothed_template,
    symmetrised,
)

SMOOTHERS = {"353qh": smooth_353qh_twice, "lowess": smooth_lowess, "parabola": smooth_parabola}

ROOT = [  # TH1F::Smooth(1), in single precision; numbers from the tests of scikit-hep/cabinetry (tests/test_smooth.py)
    ([1.0, 3.0, 2.0, 5.0], [1.0, 2.0, 3.25, 5.0]),
    ([1.0, 3.0, 2.0, 5.0, 11.0, 3.0, 8.0], [1.0, 2.125, 3.66666675, 5.08333349, 6.16666651, 7.375, 8.0]),
    (
        [0.16505027, 0.92460960, 0.04765633, 0.36997846, 0.37872216],
        [0.16505027, 0.21628231, 0.31874642, 0.36997846, 0.36997846],
    ),
    (
        [0.29093575, 0.93474650, 0.29723760, 0.61081952, -1.00000000],
        [0.29093575, 0.52901053, 0.47264278, -0.06587567, -1.00000000],
    ),
]


@pytest.mark.parametrize(("rough", "smooth"), ROOT)
def test_353qh_twice_is_that_of_root(rough: list[float], smooth: list[float]) -> None:
    """The same numbers to single precision."""
    np.testing.assert_allclose(smooth_353qh_twice(np.asarray(rough)), smooth, rtol=2e-7, atol=2e-8)


def test_353qh_by_hand() -> None:
    """Medians of 3, 5 and 3 of (1, 3, 2, 5) are (1, 2, 3, 5), their mean (1, 2, 3.25, 5), and the residuals go.

    Medians of 3: the inner points become 2 and 3; the left end becomes the median of 2, 1 and 3 * 2 - 2 * 3 = 0, that
    is 1, the right end that of 3, 5 and 3 * 3 - 2 * 2 = 5, that is 5.  The medians of 5 and 3 keep this.  Hanning makes
    2 of (1 + 2 * 2 + 3) / 4 and 3.25 of (2 + 2 * 3 + 5) / 4.  The residuals (0, 1, -1.25, 0) become, by medians of
    three, (0, 0, 0, 0).
    """
    np.testing.assert_allclose(smooth_353qh_twice(np.asarray([1.0, 3.0, 2.0, 5.0])), [1.0, 2.0, 3.25, 5.0], atol=1e-15)


@pytest.mark.parametrize("name", SMOOTHERS)
@given(
    n=st.integers(3, 30),
    start=st.floats(-2.0, 2.0),
    slope=st.floats(-1.0, 1.0),
)
def test_straight_lines_stay(name: str, n: int, start: float, slope: float) -> None:
    """A linear sequence of any slope passes through unchanged."""
    line = start + slope * np.arange(n)
    np.testing.assert_allclose(SMOOTHERS[name](line), line, atol=1e-10)


def test_parabolas_stay_and_weights_count() -> None:
    """A parabola is its own fit; a point without weight does not bend it."""
    x = np.arange(8.0)
    curve = 0.3 - 0.2 * x + 0.05 * x**2
    np.testing.assert_allclose(smooth_parabola(curve), curve, atol=1e-12)
    bent = curve + np.where(x == 3.0, 5.0, 0.0)
    np.testing.assert_allclose(smooth_parabola(bent, np.where(x == 3.0, 0.0, 2.0)), curve, atol=1e-12)
    assert np.max(np.abs(smooth_parabola(bent) - curve)) > 0.5


def test_outliers_leave_lowess_unmoved() -> None:
    """One wild point of a line does not bend the robust rounds; without them, it does."""
    line = 0.1 * np.arange(20.0)
    wild = line + np.where(np.arange(20) == 7, 10.0, 0.0)
    kept = np.arange(20) != 7
    np.testing.assert_allclose(smooth_lowess(wild)[kept], line[kept], atol=1e-6)
    assert np.max(np.abs(smooth_lowess(wild, robust=0) - line)[kept]) > 0.5


@pytest.mark.parametrize(("name", "least"), [("353qh", 2.0), ("lowess", 4.0), ("parabola", 4.5)])
def test_noise_is_reduced(name: str, least: float) -> None:
    """The mean squared distance from the truth shrinks by a factor, in 400 sequences of 20 points of noise on a line.

    The mean squared distance has a relative standard deviation of 1.6 % before smoothing, sqrt(2 / 8000), and of 3 to
    4 % after it, by the spread over sequences.  The factors found are 2.6, 5.7 and 6.5: what is asked for lies more
    than five standard deviations below, a false alarm of less than 1e-6 for another key.
    """
    rng = np.random.default_rng(7)
    line = 0.2 * np.arange(20.0)
    noise = rng.normal(size=(400, 20))
    left = np.stack([SMOOTHERS[name](line + one) - line for one in noise])
    assert np.mean(noise**2) / np.mean(left**2) > least


def test_bins_merge_until_they_are_known() -> None:
    """Groups grow from the left, and what is left over joins the last one."""
    nominal = np.asarray([10.0, 10.0, 10.0, 100.0, 1.0, 1.0])
    sigma = np.asarray([5.0, 5.0, 5.0, 5.0, 1.0, 1.0])
    # 5/10, then sqrt(50)/20 = 0.354, then sqrt(75)/30 = 0.289; 5/100; 1/1, then sqrt(2)/2 is still too much
    assert merge_bins(nominal, sigma, below=0.3).tolist() == [0, 0, 0, 1, 1, 1]
    assert merge_bins(nominal, sigma, below=0.6).tolist() == [0, 1, 2, 3, 3, 3]
    assert merge_bins(nominal, sigma, below=0.01).tolist() == [0] * 6


@given(st.lists(st.floats(0.5, 100.0), min_size=3, max_size=12), st.integers(0, 1000))
def test_totals_stay(contents: list[float], seed: int) -> None:
    """The smoothed template has the total of the rough one, to rounding."""
    nominal = np.asarray(contents)
    varied = nominal * np.random.default_rng(seed).uniform(0.7, 1.3, size=nominal.size)
    smooth = smoothed_template(nominal, varied, smooth_353qh_twice(varied / nominal - 1.0))
    assert np.sum(smooth) == pytest.approx(np.sum(varied), rel=1e-12)


def test_bins_without_content_stay() -> None:
    """A bin with no nominal content has no relative shift and keeps what it has."""
    nominal, varied = np.asarray([1.0, 0.0, 2.0, 4.0]), np.asarray([1.1, 0.3, 2.0, 4.4])
    smooth = smoothed_template(nominal, varied, np.asarray([0.1, 0.05, 0.1]))
    assert smooth[1] == 0.3
    assert np.sum(smooth) == pytest.approx(7.8, rel=1e-14)


def test_a_total_of_the_other_sign_is_refused() -> None:
    """What cannot be scaled to its total is an error, not a template."""
    with pytest.raises(ValueError, match="sign of the total"):
        smoothed_template(np.ones(3), np.full(3, -1.0), np.full(3, 0.1))


def test_symmetrisations_in_closed_form() -> None:
    """Shifts of -1 and +3, of +1 and +3, and of one side only."""
    down, up = np.asarray([-1.0, 1.0, 0.0]), np.asarray([3.0, 3.0, -2.0])
    wanted = {
        "average": [2.0, 1.0, -1.0],
        "maximum": [3.0, 3.0, -2.0],
        "mirror-up": [3.0, 3.0, -2.0],
        "mirror-down": [1.0, -1.0, 0.0],
    }
    assert set(wanted) == set(SYMMETRISATIONS)
    for method, shift in wanted.items():
        np.testing.assert_array_equal(symmetrised(down, up, method), shift)


@given(st.lists(st.floats(-5.0, 5.0), min_size=1, max_size=6))
def test_what_is_symmetric_stays(shifts: list[float]) -> None:
    """Every method leaves a shift with two equal sides as it is."""
    shift = np.asarray(shifts)
    for method in SYMMETRISATIONS:
        np.testing.assert_allclose(symmetrised(-shift, shift, method), shift, atol=1e-15)
