"""CLs by hypothesis, observed and expected, with the limits where it falls through the level.

Between hypotheses log CLs is drawn straight.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from infer.inference.exclusion import CLsScan
from infer.inference.limits import UpperLimit
from infer.plots.style import (
    BLUE,
    FAINT,
    INK,
    PALE,
    PALER,
    RED,
    headline,
    hep_style,
    label,
    new_figure,
    symbol,
    with_unit,
)

FloatArray = npt.NDArray[np.float64]

_LOWEST = 0.02  # CLs, in units of the level, that the axis reaches down to, at most
_LEVEL = 0.05


@hep_style()
def limit_figure(scan: CLsScan, *, limit: UpperLimit | None = None) -> Figure:
    """Draw CLs with the bands of one and two standard deviations.

    Args:
        scan: Two hypotheses or more.
        limit: Its limits are marked, and its confidence level is drawn; 95 % without one.
    """
    figure = new_figure(5.4, 4.2)
    axes = figure.add_subplot()
    points = sorted(scan.points, key=lambda point: point.value)
    x = np.asarray([point.value for point in points])
    expected = np.exp(np.asarray([point.expected for point in points]))
    observed = np.exp(np.asarray([point.log_cls for point in points]))
    axes.fill_between(x, expected[:, 0], expected[:, 4], color=PALER, lw=0, label="expected, 2 sigma")
    axes.fill_between(x, expected[:, 1], expected[:, 3], color=PALE, lw=0, label="expected, 1 sigma")
    axes.plot(x, expected[:, 2], color=BLUE, ls="--", label="expected, median")
    axes.plot(x, observed, color=INK, marker="." if x.size < 20 else "", label="observed")
    level = _LEVEL if limit is None else 1.0 - limit.cl
    axes.axhline(level, color=RED, lw=0.8)
    axes.set_yscale("log")
    axes.set_ylim(max(level * _LOWEST, 0.5 * float(np.min([observed.min(), expected.min()]))), 1.5)
    axes.set_xlim(float(x[0]), float(x[-1]))
    axes.annotate(
        f"{100 * (1.0 - level):g} % CL",
        (0.99, level),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
        color=RED,
        fontsize=8,
    )
    if limit is not None:
        _mark(axes, limit, level)
    parameter = scan.fit.parameters[scan.poi]
    axes.set_xlabel(with_unit(symbol(scan.poi, parameter.latex), parameter.unit))
    axes.set_ylabel("CLs")
    headline(figure, f"CLs of {label(scan.poi)} ({label(scan.statistic)})" if limit is None else _title(limit))
    axes.legend(loc="lower left")
    return figure


def _title(limit: UpperLimit) -> str:
    observed = "no limit" if limit.observed is None else f"{label(limit.poi)} < {limit.observed:.4g}"
    median = limit.expected[2]
    return f"{observed} at {100 * limit.cl:.4g} % CL" + ("" if median is None else f", expected {median:.4g}")


def _mark(axes: Axes, limit: UpperLimit, level: float) -> None:
    """Limits on the level: the observed one as a line down to the axis."""
    if limit.observed is not None:
        axes.vlines(limit.observed, 0.0, level, color=INK, lw=0.8)
    found = [x for x in limit.expected if x is not None]
    axes.plot(found, np.full(len(found), level), ls="", marker="|", ms=8, color=FAINT)
