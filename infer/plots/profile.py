r"""The profile likelihood of one parameter, beside the parabola that its Hessian promises.

Between the points of a scan the curve is drawn with sqrt(q) straight, signed by the side of the best
fit, which is exact for a parabola; from a best fit at a bound, with monotone cubic polynomials.  The
Hessian's own curve is

    q(x) = 2 g d + d^2 / sigma^2,      d = x - best fit,

with the gradient g of -log L, which vanishes unless the best fit is at a bound.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.interpolate import PchipInterpolator

from infer.inference.fits import FitResult
from infer.inference.profiles import Interval, Scan, standard_deviations
from infer.numerics.rounding import MINUS, TIMES, power_of_ten
from infer.plots.style import (
    BLUE,
    FAINT,
    GREY,
    INK,
    ORANGE,
    PALETTE,
    beside,
    hep_style,
    label,
    new_figure,
    remark_above,
    symbol,
    two_digits,
    with_unit,
)
from infer.statement import Uncertainty, result_layout

FloatArray = npt.NDArray[np.float64]

LEVELS = (0.6827, 0.95)
"""Confidence levels whose heights are drawn."""

_TOP = 10.0  # of the vertical axis, at most


@hep_style()
def profile_figure(scan: Scan, *, intervals: Sequence[Interval] = ()) -> Figure:
    """Draw a profile scan.

    Args:
        scan: Of any parameter; its points without a certificate are left out, and counted.
        intervals: Of the same parameter; their ends are marked.
    """
    figure = new_figure(5.4, 4.2)
    axes = figure.add_subplot()
    _draw_levels(axes)
    _draw_curves(axes, scan)
    for n, interval in enumerate(intervals):
        _mark_interval(axes, interval, PALETTE[4 + n % 6])
    _write_frame(figure, axes, scan, _remarks(scan, intervals))
    return figure


def hessian_curve(fitted: FitResult, name: str, x: npt.ArrayLike) -> FloatArray | None:
    """q(x) from gradient and Hessian at the best fit alone; None where there is no uncertainty."""
    sigma = fitted.uncertainty(name)
    if sigma is None:
        return None
    d = np.asarray(x, dtype=float) - fitted.value(name)
    gradient = float(fitted.gradient[fitted.parameters.position(name)]) if fitted.at_bound(name) else 0.0
    return np.asarray(2.0 * gradient * d + (d / sigma) ** 2)


def profile_curve(scan: Scan, n_points: int = 400) -> tuple[FloatArray, FloatArray]:
    """A curve through the best fit and the scan's points: x and q, each with shape (N,)."""
    best, good = scan.fit.value(scan.name), np.isfinite(scan.delta_twice_nll)
    known, first = np.unique(np.append(best, scan.values[good]), return_index=True)
    q = np.append(0.0, scan.delta_twice_nll[good])[first]
    x = np.unique(np.concatenate([np.linspace(known[0], known[-1], n_points), known]))
    if known.size < 2:
        return known, q
    if scan.fit.at_bound(scan.name):
        return x, np.asarray(PchipInterpolator(known, q)(x))
    side = np.where(known < best, -1.0, 1.0)
    root = side * np.copysign(np.sqrt(np.abs(q)), q)  # q is negative where the scan found a deeper point
    r = np.interp(x, known, root) * np.where(x < best, -1.0, 1.0)
    return x, np.copysign(r**2, r)


def _draw_levels(axes: Axes) -> None:
    for cl in LEVELS:
        height = standard_deviations(cl) ** 2
        axes.axhline(height, color=GREY, linewidth=0.8, linestyle="--")
        beside(axes, height, f"{100 * cl:.4g} %", 4.0, color=FAINT)


def _limit(axes: Axes, scan: Scan, x: FloatArray) -> None:
    """Show what is drawn of the scan, and hatch what the parameter's bounds exclude beside it."""
    left, right = float(np.min(x)), float(np.max(x))
    span = right - left or 1.0
    low, high = scan.fit.parameters[scan.name].bounds
    touches = (left - low < 0.01 * span, high - right < 0.01 * span)
    margins = [0.12 * span if touched else 0.02 * span for touched in touches]
    axes.set_xlim(left - margins[0], right + margins[1])
    for touched, bound, outer in zip(touches, (low, high), axes.get_xlim(), strict=True):
        if touched:
            axes.axvspan(*sorted((bound, outer)), facecolor="#eeeeee", edgecolor="#bbbbbb", hatch="///", linewidth=0.0)
            axes.axvline(bound, color=FAINT, linewidth=0.8)


def _draw_curves(axes: Axes, scan: Scan) -> None:
    x, q = profile_curve(scan)
    axes.plot(x, q, color=BLUE, label="profile likelihood")
    axes.plot(scan.values, scan.delta_twice_nll, "o", color=BLUE, markersize=2.5)
    parabola = hessian_curve(scan.fit, scan.name, x)
    if parabola is not None:
        axes.plot(x, parabola, color=ORANGE, linestyle="-.", label="Hessian at the best fit")
    axes.plot(scan.fit.value(scan.name), 0.0, "D", color=INK, markersize=4.5, clip_on=False, zorder=5, label="best fit")
    finite = q[np.isfinite(q)]
    top = min(_TOP, max(5.0, 1.02 * float(np.max(finite, initial=0.0))))
    axes.set_ylim(min(0.0, 1.1 * float(np.min(finite, initial=0.0))), top)
    _limit(axes, scan, x[q <= top])


def _mark_interval(axes: Axes, interval: Interval, colour: str) -> None:
    """The ends of an interval: on the curve where they are crossings, else where they are cut."""
    height = standard_deviations(interval.cl) ** 2
    for end in (interval.low, interval.high):
        if end.value is not None:
            marker = "o" if end.crossing else "s"
            axes.vlines(end.value, 0.0, height, color=colour, linewidth=0.9, linestyle=":")
            axes.plot(end.value, height if end.crossing else 0.0, marker, color=colour, markersize=4.5, clip_on=False)
    axes.plot([], [], "o", color=colour, markersize=4.5, label=_interval_text(interval))


def _interval_text(interval: Interval) -> str:
    distances = Uncertainty(interval.down or None, interval.up or None)
    layout = two_digits(result_layout(interval.value, distances), distances)
    ends = [
        "not found" if end.value is None else layout.text(end.value).replace("-", MINUS)
        for end in (interval.low, interval.high)
    ]
    power = f" {TIMES} {power_of_ten(layout.exponent)}" if layout.exponent else ""
    return f"{100 * interval.cl:.4g} % CL ({interval.method}): [{', '.join(ends)}]{power}"


def _remarks(scan: Scan, intervals: Sequence[Interval]) -> list[str]:
    """What a reader has to know: a fit without certificate, points left out, ends that were not found."""
    remarks = list(scan.fit.certificate.remarks)
    if failed := int(np.sum(~scan.converged)):
        remarks.append(f"{failed} points without a certificate left out")
    for interval in intervals:
        ends = (end for end in (interval.low, interval.high) if end.value is None)
        remarks += [f"{100 * interval.cl:.4g} % CL: {end.message}" for end in ends]
    return remarks


def _write_frame(figure: Figure, axes: Axes, scan: Scan, remarks: Sequence[str]) -> None:
    parameter = scan.fit.parameters[scan.name]
    axes.set_xlabel(with_unit(symbol(scan.name, parameter.latex), parameter.unit))
    axes.set_ylabel("Δ(−2 ln L)")
    figure.suptitle(f"Profile likelihood of {label(scan.name)}", x=0.01, ha="left", fontsize=10)
    remark_above(axes, remarks)
    figure.legend(loc="outside lower center", ncols=2)
