"""The figure of a measurement as a function of a correlation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from infer.certificate import Certificate
from infer.inference.correlations import CorrelationPoint, CorrelationScan
from infer.plots import save_correlation_figures
from infer.plots.correlation import correlation_curve, correlation_figure

GOOD = Certificate(True, "", 1e-9, 1e-9, True)
BAD = replace(GOOD, converged=False, message="lost")


def scan(*, failed: int = 0) -> CorrelationScan:
    """Five points in no order, some of them without a certificate."""
    points = [
        CorrelationPoint(rho, 10.0 + rho, 1.0 + 0.1 * rho, 1.0 + 0.2 * rho, 3.0, BAD if i < failed else GOOD)
        for i, rho in enumerate((0.0, -1.0, 1.0, 0.5, -0.5))
    ]
    return CorrelationScan("m", ("a", "b"), 0.6827, "GeV", "m_X", tuple(points), 0.1)


def test_curve_rises_in_the_correlation() -> None:
    """Values and ends, point by point; an end that is missing is NaN."""
    rho, value, low, high = correlation_curve(scan()).T
    np.testing.assert_allclose(rho, [-1.0, -0.5, 0.0, 0.5, 1.0])
    np.testing.assert_allclose(value, 10.0 + rho)
    np.testing.assert_allclose(low, value - 1.0 - 0.1 * rho)
    np.testing.assert_allclose(high, value + 1.0 + 0.2 * rho)
    open_ended = replace(scan(), points=(CorrelationPoint(0.0, 1.0, None, 2.0, 3.0, GOOD),))
    assert np.isnan(correlation_curve(open_ended)[0, 2])


def test_figure_says_what_is_left_out(tidy: Callable[[Figure], None]) -> None:
    """Points without a certificate are counted; without any other there is a sentence instead of a plot."""
    above, below = correlation_figure(scan()).axes
    np.testing.assert_allclose(above.lines[0].get_xydata(), correlation_curve(scan())[:, :2])
    assert "GeV" in above.get_ylabel()
    np.testing.assert_allclose(np.asarray(below.lines[0].get_ydata()), 1.0 + 0.15 * np.linspace(-1.0, 1.0, 5))
    partly = correlation_figure(scan(failed=2))
    assert "2 of 5 fits have no certificate" in partly.axes[0].get_title("left")
    assert len(partly.axes[0].lines[0].get_xdata()) == 3
    nothing = correlation_figure(scan(failed=5))
    assert any("no fit has a certificate" in text.get_text() for text in nothing.findobj(Text))
    for figure in (correlation_figure(scan()), partly, nothing):
        tidy(figure)


def test_files(tmp_path: Path) -> None:
    """One figure in every format."""
    written = save_correlation_figures(tmp_path, scan(), formats=["png"])
    assert [path.name for path in written] == ["correlation.png"]
    assert written[0].stat().st_size > 1000


@pytest.mark.parametrize("failed", [0, 5])
def test_the_line_counts_failures(failed: int) -> None:
    """The record says so itself."""
    assert ("no fit has a certificate" in str(scan(failed=failed))) == (failed == 5)
    assert "lost" in scan(failed=1).table()
