"""The profile likelihood: curves against formulas, ends where they belong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from infer.certificate import Certificate
from infer.data import Data
from infer.inference.fits import FitResult, fit
from infer.inference.profiles import End, Interval, Scan, interval, scan
from infer.likelihoods.gaussian import Measured, combine_measurements
from infer.likelihoods.gaussian.model import GaussianMeasurements
from infer.parameters import Parameter
from infer.plots.profile import hessian_curve, profile_curve, profile_figure

Tidy = Callable[[Figure], None]


def mass(value: float = -3.0, *, low: float = -np.inf) -> tuple[GaussianMeasurements, Data, FitResult]:
    """One measurement of ``value`` with an uncertainty of 2, and perhaps a lower bound."""
    likelihood, data = combine_measurements(
        [Measured("A", value, 2.0, "m")],
        observables=[Parameter("m", max(low, value), (low, np.inf), unit="GeV", latex=r"m_\mathrm{t}")],
    )
    return likelihood, data, fit(likelihood, data)


def parabola(q_of: Callable[[Any], Any] = lambda x: ((x + 3.0) / 2.0) ** 2, **changes: Any) -> Scan:
    """A scan with values of a function, by default the true ones."""
    x = np.linspace(-8.0, 1.0, 7)
    return replace(Scan("m", x, q_of(x), np.ones(7, dtype=bool), mass()[2]), **changes)


def test_curves_of_a_gaussian_measurement() -> None:
    """Both curves are ((x + 3) / 2)^2, between the points of the scan too."""
    x, q = profile_curve(parabola())
    np.testing.assert_allclose(q, ((x + 3.0) / 2.0) ** 2, atol=1e-12)
    np.testing.assert_allclose(hessian_curve(mass()[2], "m", x), q, atol=1e-9)


def test_curve_passes_through_the_points() -> None:
    """Also below zero, where a scan found a deeper point, and past points that failed."""
    x = np.linspace(-8.0, 1.0, 7)
    q = np.array([6.0, np.nan, 1.0, -0.2, 0.5, 2.0, 9.0])
    grid, curve = profile_curve(parabola(lambda _: q))
    np.testing.assert_allclose(np.interp(x[[0, 2, 3, 4, 5, 6]], grid, curve), q[[0, 2, 3, 4, 5, 6]], atol=1e-9)
    assert np.all(np.isfinite(curve))


def test_curve_at_a_bound() -> None:
    """From a bound at 0 with a measured value of -3: q = ((x + 3)^2 - 9) / 4, linear at first."""
    likelihood, data, best = mass(low=0.0)
    values = np.linspace(0.0, 6.0, 13)
    x, q = profile_curve(scan(likelihood, data, fitted=best, values=values))
    expected = ((x + 3.0) ** 2 - 9.0) / 4.0
    np.testing.assert_allclose(q, expected, atol=0.02)
    np.testing.assert_allclose(hessian_curve(best, "m", x), expected, atol=1e-6)


def test_figure_of_a_search(search: Any, tidy: Tidy) -> None:
    """Points of the scan, levels, ends on the curve, and the hatched bound at zero are there."""
    record: Scan = search.scan
    (ends,) = search.intervals
    figure = profile_figure(record, intervals=[ends])
    (axes,) = figure.axes
    lines = [np.asarray(line.get_xydata()) for line in axes.get_lines()]
    assert any(len(line) == 9 and np.allclose(line[:, 1], record.delta_twice_nll) for line in lines)
    marked = [tuple(line[0]) for line in lines if len(line) == 1]
    for end in (ends.low.value, ends.high.value):
        assert any(np.allclose(point, (end, 1.0), atol=1e-3) for point in marked)
    levels = [line.get_ydata()[0] for line in axes.get_lines() if line.get_linestyle() == "--"]
    np.testing.assert_allclose(levels, [1.0, 3.84], atol=2e-3)
    assert [patch.get_hatch() for patch in axes.patches] == ["///"]
    assert axes.get_xlim()[0] < 0.0
    tidy(figure)


def test_units_and_numbers(tidy: Tidy) -> None:
    """The axis has the symbol and the unit, the legend the interval with two digits."""
    likelihood, data, best = mass()
    ends = interval(likelihood, data, fitted=best)
    figure = profile_figure(parabola(), intervals=[ends])
    assert figure.axes[0].get_xlabel() == r"$m_\mathrm{t}$ [GeV]"
    (legend,) = figure.legends
    assert "68.27 % CL (profile): [−5.0, −1.0]" in [t.get_text() for t in legend.get_texts()]
    assert [p.get_hatch() for p in figure.axes[0].patches] == []
    tidy(figure)


def test_trouble_is_told(tidy: Tidy) -> None:
    """A fit without certificate, points that failed, and an end that was not found stand in red."""
    good = mass()[2]
    failed = replace(good, certificate=Certificate(False, "no progress", 1.0, 1.0, True))
    converged = np.array([True, False, True, True, True, True, True])
    lost = End(None, False, "the conditional fit at 2 did not converge", 3)
    ends = Interval("m", -3.0, End(-5.0, True, "", 2), lost, 0.95, "profile", good)
    figure = profile_figure(parabola(fit=failed, converged=converged), intervals=[ends])
    title = figure.axes[0].get_title(loc="left")
    assert title.splitlines() == [
        "not converged: no progress",
        "1 points without a certificate left out",
        "95 % CL: the conditional fit at 2 did not converge",
    ]
    assert any("[−5.0, not found]" in t.get_text() for t in figure.legends[0].get_texts())
    tidy(figure)


def test_no_uncertainty_no_parabola() -> None:
    """Where the Hessian gives none, the curve of the Hessian is left out."""
    best = replace(mass()[2], uncertainties=np.array([np.nan]))
    assert hessian_curve(best, "m", [0.0]) is None
    figure = profile_figure(parabola(fit=best))
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["profile likelihood", "best fit"]


@pytest.mark.parametrize("n", [0, 1])
def test_hardly_any_points(n: int) -> None:
    """A scan whose points all failed, but one or none, still gives a figure."""
    q = np.full(7, np.nan)
    q[:n] = 6.25
    figure = profile_figure(parabola(lambda _: q, converged=np.isfinite(q)))
    assert f"{7 - n} points" in figure.axes[0].get_title(loc="left")
