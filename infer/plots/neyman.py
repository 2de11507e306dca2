r"""Neyman's construction: the p-value of every hypothesis, and the interval that it accepts.

Between hypotheses the p-value is drawn straight in z, much as the ends of the interval are read off.  Beside
it stands the asymptotic p-value, where it needs no more than the test statistic: the tail of a
chi-squared variable with one degree of freedom for t_mu, and that of a half chi-squared for q_mu (Cowan et
al., arXiv:1007.1727, sections 3.3 and 3.6).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.special import ndtr, ndtri

from infer.inference.neyman import NeymanInterval
from infer.numerics.rounding import MINUS
from infer.plots.style import (
    BLUE,
    FAINT,
    GREY,
    INK,
    ORANGE,
    PALE,
    PALER,
    RED,
    beside,
    hep_style,
    label,
    new_figure,
    remark_above,
    symbol,
    with_error,
    with_unit,
)

FloatArray = npt.NDArray[np.float64]

_TAILS = {"t_mu": 2.0, "q_mu": 1.0}  # normal tails whose area is the asymptotic p-value
_LINEAR = 0.2  # of 1 - cl, above which p-values are drawn on a linear axis
_LOWEST = 0.03  # p-values, in units of 1 - cl, that a logarithmic axis reaches down to, at most
_N_CURVE = 400


@hep_style()
def neyman_figure(record: NeymanInterval) -> Figure:
    """Draw p-values by hypothesis with the interval that they make, and the toys behind each below.

    Args:
        record: Of any test statistic.
    """
    figure = new_figure(5.4, 5.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    x = np.asarray([point.value for point in record.points])
    margin = 0.04 * (float(np.ptp(x)) or abs(float(x[0])) or 1.0)
    upper.set_xlim(float(np.min(x)) - margin, float(np.max(x)) + margin)
    _shade_interval(upper, record)
    _draw_asymptotic(upper, record)
    _draw_p_values(upper, record)
    _draw_level(upper, record)
    _draw_toys(lower, record)
    parameter = record.fit.parameters[record.poi]
    lower.set_xlabel(with_unit(symbol(record.poi, parameter.latex), parameter.unit))
    title = f"p-values of {label(record.poi)} by {record.n_toys} toys ({label(record.statistic)})"
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    remark_above(upper, _remarks(record))
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def p_value_curve(record: NeymanInterval) -> tuple[FloatArray, FloatArray]:
    """Hypotheses and p-values between those of the points, each with shape (N,); straight in z.

    For t_mu, whose p-value is 1 at the best fit, z is two-sided and signed by the side of the best fit.  Other
    statistics vanish on one side of it, where the p-value is 1: there is no curve.
    """
    x = np.asarray([point.value for point in record.points])
    p = np.asarray([point.p for point in record.points])
    edge = np.asarray([0.5 / max(point.n, 1) for point in record.points])
    if record.statistic != "t_mu":
        tested = p < 1.0
        if not np.any(tested):
            return x, p
        x, p, edge = x[tested], p[tested], edge[tested]
        fine = _between(x)
        return fine, np.asarray(ndtr(np.interp(fine, x, ndtri(np.clip(p, edge, 1.0 - edge)))))
    known, first = np.unique(np.append(record.value, x), return_index=True)
    z = np.append(0.0, ndtri(0.5 * np.maximum(p, edge)))[first] * np.where(known < record.value, 1.0, -1.0)
    fine = _between(x)
    return fine, np.asarray(2.0 * ndtr(-np.abs(np.interp(fine, known, z))))


def asymptotic_curve(record: NeymanInterval) -> tuple[FloatArray, FloatArray] | None:
    """Hypotheses and asymptotic p-values, each with shape (N,); None where they need more than the statistic.

    Between points the root of the statistic, signed by the side of the best fit, is straight.
    """
    if record.statistic not in _TAILS:
        return None
    x = np.append([point.value for point in record.points], record.value)
    root = np.sqrt(np.append([max(point.observed, 0.0) for point in record.points], 0.0))
    known, first = np.unique(x, return_index=True)
    signed = np.where(known < record.value, -1.0, 1.0) * root[first]
    fine = _between(known)
    if record.statistic == "q_mu":
        fine = fine[fine > record.value]  # q_mu is 0 elsewhere, and the p-value 1
    between = np.abs(np.interp(fine, known, signed))
    return fine, np.asarray(_TAILS[record.statistic] * ndtr(-between))


def _between(x: FloatArray) -> FloatArray:
    return np.unique(np.append(np.linspace(x[0], x[-1], _N_CURVE), x))


def _shade_interval(axes: Axes, record: NeymanInterval) -> None:
    """The interval, with what the number of toys leaves open of its ends."""
    axes.axvspan(record.low, record.high, color=PALER, linewidth=0.0, label=_interval_text(record))
    for end, error in ((record.low, record.low_error), (record.high, record.high_error)):
        if np.isfinite(error) and error > 0.0:
            axes.axvspan(end - error, end + error, color=PALE, linewidth=0.0)
        axes.axvline(end, color=BLUE, linewidth=0.8, linestyle="-" if np.isfinite(error) else ":")


def _draw_asymptotic(axes: Axes, record: NeymanInterval) -> None:
    curve = asymptotic_curve(record)
    if curve is not None:
        axes.plot(*curve, color=ORANGE, linestyle="-.", label="asymptotic")


def _draw_p_values(axes: Axes, record: NeymanInterval) -> None:
    """Points with their Clopper-Pearson bars; an arrow where no toy lies above on a logarithmic axis."""
    logarithmic = _logarithmic(record)
    axes.plot(*p_value_curve(record), color=BLUE, linewidth=0.8, alpha=0.7)
    x = np.asarray([point.value for point in record.points])
    p = np.asarray([point.p for point in record.points])
    ends = np.asarray([point.clopper_pearson() for point in record.points])
    seen = (p > 0.0) | (not logarithmic)
    # Failed toys count in the bounds of a p-value but not in the p-value itself, which they always hold.
    bars = np.maximum(np.abs(ends - p[:, None]), 0.0).T[:, seen]
    axes.errorbar(
        x[seen], p[seen], yerr=bars, fmt="o", color=BLUE, markersize=3.5, elinewidth=1.1, zorder=4,
        label="by toys",
    )  # fmt: skip
    if not logarithmic:
        axes.set_ylim(0.0, 1.05)
        return
    axes.set_yscale("log")
    lowest = float(np.min(np.append(0.5 * ends[seen, 0][ends[seen, 0] > 0.0], 0.4 * (1.0 - record.cl))))
    axes.set_ylim(max(lowest, _LOWEST * (1.0 - record.cl)), 1.4)
    axes.plot(x[~seen], ends[~seen, 1], "v", color=BLUE, markersize=4.5, markerfacecolor="white", zorder=4)


def _draw_level(axes: Axes, record: NeymanInterval) -> None:
    """The line that p-values have to reach, and the best fit."""
    level = 1.0 - record.cl
    axes.axhline(level, color=INK, linewidth=0.9, linestyle="--")
    beside(axes, level, f"1 {MINUS} CL", 4.0, color=FAINT)
    axes.axvline(record.value, color=INK, linewidth=0.8, linestyle=":", label="best fit")
    axes.set_ylabel(f"p-value of {label(record.statistic)}")


def _draw_toys(axes: Axes, record: NeymanInterval) -> None:
    """Toys of every hypothesis, and those of them without a test statistic."""
    x = [point.value for point in record.points]
    axes.vlines(x, 0.0, [point.n for point in record.points], color=GREY, linewidth=2.5)
    if record.n_failed:
        failed = [point.n_failed for point in record.points]
        axes.vlines(x, 0.0, failed, color=RED, linewidth=2.5, label=f"failed: {record.n_failed}")
    axes.set_ylim(0.0, 1.15 * max(point.n for point in record.points))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
    axes.set_ylabel("toys")


def _logarithmic(record: NeymanInterval) -> bool:
    return 1.0 - record.cl < _LINEAR


def _interval_text(record: NeymanInterval) -> str:
    low, high = with_error(record.low, record.low_error), with_error(record.high, record.high_error)
    return f"{100 * record.cl:.4g} % CL: [{low}, {high}]"


def _remarks(record: NeymanInterval) -> list[str]:
    """What a reader has to know: a fit without certificate, failed toys, ends that were not bracketed."""
    remarks = list(record.fit.certificate.remarks)
    if record.n_failed:
        remarks.append(f"{record.n_failed} of {record.n_toys} toys failed; the bars hold whatever they were worth")
    for side, error in (("lower", record.low_error), ("upper", record.high_error)):
        if not np.isfinite(error):
            remarks.append(f"the {side} end is not bracketed: more rounds or other hypotheses are needed")
    return remarks
