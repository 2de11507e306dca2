"""Coverage of interval methods: how often they hold the truth, how long they are, and what the estimates do.

Methods are told apart by marker, verdicts by colour.  The band about the nominal line holds the shares for
which a result would be judged to cover, so that a point outside is one that does not; the exceptions are
toys without an interval, whose possible share is a dotted bar, and critical values with a noise of their
own, which have a wider band.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator

from infer.inference.coverage import THREE_SIGMA, Coverage, CoverageAt, Truth
from infer.inference.toy_intervals import GOOD
from infer.numerics.binomial import clopper_pearson
from infer.numerics.rounding import MINUS
from infer.plots.style import (
    BLUE,
    INK,
    ORANGE,
    PALE,
    PALER,
    PALETTE,
    RED,
    headline,
    hep_style,
    label,
    message_figure,
    new_figure,
    plain,
)

FloatArray = npt.NDArray[np.float64]

VERDICT_COLOURS = {"covers": BLUE, "under-covers": RED, "over-covers": ORANGE}
"""Colour of a point by its verdict."""

_MARKERS = "osD^vPX"
_COLOURS = tuple(PALETTE[i] for i in (4, 6, 8, 5, 7, 9, 3))
_STEP = 0.05  # between the methods at one truth, in units of the axis
_WIDE_STEP = 0.13  # the same where each has a shape
_CROWD = 0.75  # of the distance to the next truth that all methods take, at most
_SPREAD = 12.0  # standard deviations of a binomial count within which the ends of the band are sought
_PANEL = 4.4  # inches of a panel's width
_WIDEST = 3.0  # lengths in units of the median that a figure shows, at most


@dataclass(frozen=True)
class Places:
    """Where truths and methods stand on the horizontal axis.

    Attributes:
        truths: Position of each truth.
        step: Distance between methods at one truth.
        words: Text at each truth; None where the axis is that of the parameter of interest.
    """

    truths: tuple[float, ...]
    step: float
    words: tuple[str, ...] | None

    @property
    def spacing(self) -> float:
        """Smallest distance between two truths; 1 for a single one."""
        at = np.unique(self.truths)
        return float(np.min(np.diff(at))) if at.size > 1 else 1.0

    def of(self, point: int, i: int, n: int) -> float:
        """Position of method ``i`` of ``n`` at a truth."""
        return self.truths[point] + (i - 0.5 * (n - 1)) * self.step


def places_of(record: Coverage, step: float = _STEP) -> Places:
    """Truths by their values, or side by side where values repeat: with other nuisance parameters, say."""
    values = [truth.value for truth in record.truths]
    n_methods = len(methods_of(record))
    if len(set(values)) == len(values):
        places = Places(tuple(values), 0.0, None)
        span = float(np.ptp(values)) or places.spacing
    else:
        words = tuple(truth_words(record.poi, truth) for truth in record.truths)
        places = Places(tuple(float(i) for i in range(len(values))), 0.0, words)
        span = float(len(values))
    step = min(step * span, _CROWD * places.spacing / n_methods)
    return Places(places.truths, step, places.words)


def methods_of(record: Coverage) -> list[str]:
    """Interval methods in the order of the record."""
    return list(dict.fromkeys(result.method for result in record.results))


def band_of(cl: float, n: int, n_belt: int | None = None) -> tuple[float, float]:
    """The smallest and the largest share of n toys that is judged to cover, if every toy has an interval.

    Args:
        cl: Confidence level.
        n: Toys.
        n_belt: Toys behind each critical value of the method, see `CoverageAt`.
    """
    share = 1.0 if n_belt is None else n_belt / (n + n_belt)
    reach = _SPREAD * np.sqrt(n * cl * (1.0 - cl) / share) + _SPREAD / share
    k = np.arange(max(int(n * cl - reach), 0), min(int(n * cl + reach) + 1, n) + 1)
    low, high = clopper_pearson(share * k, share * n, THREE_SIGMA)
    inside = k[(low <= cl) & (cl <= high)]
    return (float(inside[0]) / n, float(inside[-1]) / n) if inside.size else (cl, cl)


@hep_style()
def coverage_figure(record: Coverage) -> Figure:
    """Draw coverage against truth for every method, one panel a confidence level.

    Args:
        record: Of any methods, levels and truths.
    """
    places, methods = places_of(record), methods_of(record)
    figure, panels = _panels(record)
    for axes, cl in zip(panels, record.levels, strict=True):
        results = [(i, r) for i, method in enumerate(methods) for r in record.of(method, cl)]
        axes.set_ylim(draw_level(axes, cl, [(places.of(r.point, i, len(methods)), i, r) for i, r in results]))
        axes.set_title(f"{100 * cl:.4g} % CL")
        _write_truths(axes, record, places, len(methods))
    panels[0].set_ylabel("coverage [%]")
    headline(figure, f"Coverage of intervals for {label(record.poi)}: {toys_words(record.truths)}")
    handles = method_handles(methods) + verdict_handles(record.results)
    legend_below(figure, handles, _legend_columns(record, len(handles)), failures([record]))
    return figure


@hep_style()
def bias_figure(record: Coverage) -> Figure:
    """Draw the bias of the estimates and the width of their pulls against truth.

    Args:
        record: Of any methods, levels and truths.
    """
    places, truths = places_of(record), record.truths
    figure = new_figure(5.4, 4.6)
    upper, lower = figure.subplots(2, 1, sharex=True)
    x = np.asarray(places.truths)
    upper.axhline(0.0, color=INK, linewidth=0.8, linestyle="--")
    bias = np.asarray([truth.bias for truth in truths])
    upper.errorbar(x, bias[:, 0], yerr=bias[:, 1], fmt="o", color=BLUE, markersize=4.5)
    upper.set_ylabel(f"bias of {label(record.poi, 24)}")
    lower.axhline(1.0, color=INK, linewidth=0.8, linestyle="--")
    widths = {
        "std of the pulls": np.asarray([t.pull[1] for t in truths]),
        "spread / mean σ": np.asarray([t.std / t.sigma for t in truths]),
    }
    relative = np.asarray([relative_error(truth) for truth in truths])
    handles = []
    for i, (words, ratio) in enumerate(widths.items()):
        at, marker, colour = x + (i - 0.5) * places.step, "os"[i], (BLUE, _COLOURS[0])[i]
        lower.errorbar(at, ratio, yerr=ratio * relative, fmt=marker, color=colour, markersize=4.5)
        handles.append(Line2D([], [], marker=marker, color=colour, linestyle="none", markersize=4.5, label=words))
    lower.set_ylabel("width")
    for axes in (upper, lower):
        axes.margins(y=0.2)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))  # also after the layout
    _write_truths(lower, record, places, 2)
    headline(figure, f"Estimates of {label(record.poi)}: {toys_words(truths)}")
    legend_below(figure, handles, 2, failures([record]))
    return figure


@hep_style()
def lengths_figure(record: Coverage) -> Figure:
    """Draw how long the intervals of every method are, one panel a confidence level.

    The shapes are histograms; the bars inside hold the central 68 %, the dots are medians.

    Args:
        record: Of any methods, levels and truths.
    """
    places, methods = places_of(record, _WIDE_STEP), methods_of(record)
    if not any(lengths_of(record, r).size for r in record.results):
        return message_figure(f"Lengths of intervals for {label(record.poi)}", "Nothing to draw: no length is finite.")
    figure, panels = _panels(record)
    for axes, cl in zip(panels, record.levels, strict=True):
        results = [(i, r, lengths_of(record, r)) for i, method in enumerate(methods) for r in record.of(method, cl)]
        tops = [
            _draw_lengths(axes, places.of(r.point, i, len(methods)), 0.45 * places.step, lengths, i)
            for i, r, lengths in results
            if lengths.size
        ]
        axes.set_ylim(0.0, 1.05 * max(tops, default=0.0) or 1.0)
        axes.set_title(f"{100 * cl:.4g} % CL")
        _write_truths(axes, record, places, len(methods))
    panels[0].set_ylabel(f"length of the interval for {label(record.poi, 24)}")
    headline(figure, f"Lengths of intervals for {label(record.poi)}: {toys_words(record.truths)}")
    handles = method_handles(methods, coloured=True)
    legend_below(figure, handles, _legend_columns(record, len(handles)), failures([record]))
    return figure


def lengths_of(record: Coverage, result: CoverageAt) -> FloatArray:
    """Lengths of the intervals that were found, of one method and level at one truth; finite ones only."""
    c, stem = record.columns, f"{result.method}_{record.levels.index(result.cl)}"
    found = c["converged"] & np.isin(c[f"{stem}_low_status"], GOOD) & np.isin(c[f"{stem}_high_status"], GOOD)
    chosen = found & (c["point"] == result.point)
    lengths = c[f"{stem}_high"][chosen] - c[f"{stem}_low"][chosen]
    return np.asarray(lengths[np.isfinite(lengths)])


def draw_level(axes: Axes, cl: float, results: Sequence[tuple[float, int, CoverageAt]]) -> tuple[float, float]:
    """Coverage at one confidence level: the position, the number of the method, and the result of each point.

    Returns:
        Where the vertical axis should begin and end, in percent.
    """
    n = min(r.n for _, _, r in results)
    n_belt = min((r.n_belt for _, _, r in results if r.n_belt is not None), default=None)
    bands = [(band_of(cl, n), PALE)]
    if n_belt is not None:
        bands.insert(0, (band_of(cl, n, n_belt), PALER))
    for (low, high), colour in bands:
        axes.axhspan(100.0 * low, 100.0 * high, color=colour, linewidth=0.0)
    axes.axhline(100.0 * cl, color=INK, linewidth=0.8, linestyle="--")
    heights = [100.0 * end for band, _ in bands for end in band]
    for x, i, r in results:
        heights += _draw_result(axes, x, _MARKERS[i % len(_MARKERS)], r)
    low, high = min(heights), max(heights)
    margin = 0.12 * (high - low)
    return low - margin, high + margin


def verdict_handles(results: Sequence[CoverageAt]) -> list[Line2D | Patch]:
    """Entries of a legend: verdicts that occur, and the bands."""
    occurring = {r.verdict for r in results}
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=colour, linewidth=4.0, label=verdict)
        for verdict, colour in VERDICT_COLOURS.items()
        if verdict in occurring
    ]
    handles.append(Patch(facecolor=PALE, label="99.7 % band of exact coverage"))
    if any(r.n_belt is not None for r in results):
        handles.append(Patch(facecolor=PALER, label="the same with the belt's own noise"))
    return handles


def legend_below(figure: Figure, handles: Sequence[Artist], n_columns: int, remark: str) -> None:
    """A legend below all panels, headed in red by what a reader has to know."""
    lines = textwrap.wrap(remark, int(14 * figure.get_figwidth()))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=n_columns, title="\n".join(map(plain, lines)) or None
    ).get_title().set(color=RED, fontsize=8)


def _draw_result(axes: Axes, x: float, marker: str, r: CoverageAt) -> list[float]:
    """A point with its Clopper-Pearson bar, dotted up to the share that failed toys leave possible; its ends."""
    colour = VERDICT_COLOURS[r.verdict]
    low, high = r.clopper_pearson
    if r.n_failed:
        possible = 100.0 * (r.covered + r.n_failed) / r.n
        axes.vlines(x, 100.0 * r.coverage, possible, color=colour, linewidth=1.0, linestyle=":")
        axes.plot(x, possible, "_", color=colour, markersize=5.0)
    axes.vlines(x, 100.0 * low, 100.0 * high, color=colour, linewidth=1.3)
    axes.plot(x, 100.0 * r.coverage, marker, color=colour, markersize=5.0, markeredgecolor="white", markeredgewidth=0.6)
    return [100.0 * low, 100.0 * max(high, (r.covered + r.n_failed) / r.n)]


def _draw_lengths(axes: Axes, x: float, reach: float, lengths: FloatArray, i: int) -> float:
    """A histogram on its side, with median and central 68 %; returns how high the axis has to reach."""
    colour = _COLOURS[i % len(_COLOURS)]
    a, middle, b = np.quantile(lengths, (0.16, 0.5, 0.84))
    top = float(min(np.max(lengths), _WIDEST * middle)) if middle > 0.0 else float(np.max(lengths))
    low = float(np.min(lengths))
    edges = np.linspace(low, top if top > low else low + 1e-9 * max(abs(low), 1.0), 26)
    counts = np.histogram(lengths, edges)[0]
    half = reach * counts / max(int(np.max(counts)), 1)
    y = np.repeat(edges, 2)[1:-1]
    width = np.repeat(half, 2)
    axes.fill_betweenx(y, x - width, x + width, color=colour, alpha=0.45, linewidth=0.0)
    axes.vlines(x, a, b, color=colour, linewidth=2.5)
    marker = _MARKERS[i % len(_MARKERS)]
    axes.plot(x, middle, marker, color=colour, markersize=5.0, markeredgecolor="white", markeredgewidth=0.8, zorder=3)
    return top


def _panels(record: Coverage) -> tuple[Figure, list[Axes]]:
    """A figure with one panel a confidence level, side by side."""
    n = len(record.levels)
    figure = new_figure(1.0 + _PANEL * n if n == 1 else 0.6 + 0.85 * _PANEL * n, 4.2)
    return figure, list(figure.subplots(1, n, squeeze=False)[0])


def _legend_columns(record: Coverage, n: int) -> int:
    """Columns of the legend that fit below the panels, about equally filled."""
    rows = -(-n // (3 if len(record.levels) == 1 else 5))
    return -(-n // rows)


def _write_truths(axes: Axes, record: Coverage, places: Places, n_methods: int) -> None:
    """The horizontal axis: truths, and room for all methods at the outermost."""
    margin = max(0.12 * (np.ptp(places.truths) or places.spacing), 0.5 * (n_methods + 1) * places.step)
    axes.set_xlim(min(places.truths) - margin, max(places.truths) + margin)
    if places.words is None:
        axes.set_xlabel(f"true {label(record.poi)}")
        if len(places.truths) == 1:
            axes.xaxis.set_major_locator(FixedLocator(places.truths))
            axes.xaxis.set_minor_locator(FixedLocator([]))
            axes.set_xticklabels([_number(places.truths[0])])
        return
    axes.set_xticks(places.truths, places.words, fontsize=7)
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.set_xlabel("truth")


def truth_words(poi: str, truth: Truth) -> str:
    """The parameter of interest and what was set by name, one a line."""
    pairs = [(poi, truth.value), *truth.nuisance.items()]
    return "\n".join(f"{label(name, 16)} = {_number(x)}" for name, x in pairs)


def _number(x: float) -> str:
    return f"{x:.4g}".replace("-", MINUS)


def toys_words(truths: Sequence[Truth]) -> str:
    """How many toys each truth has, and how many could not be fitted."""
    counts = {truth.n for truth in truths}
    n = str(counts.pop()) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    failed = sum(truth.n_failed for truth in truths)
    outcome = "all fits converged" if not failed else f"{failed} fits failed"
    return f"{n} toys{' each' if len(truths) > 1 else ''}, {outcome}"


def failures(records: Sequence[Coverage]) -> str:
    """Toys without an interval, by method and level; empty where every toy has all of its intervals."""
    n: dict[tuple[str, float], int] = {}
    for result in (result for record in records for result in record.results):
        n[result.method, result.cl] = n.get((result.method, result.cl), 0) + result.n_failed
    parts = [f"{count} of {method} at {100 * cl:.4g} %" for (method, cl), count in n.items() if count]
    return f"toys without an interval count as not covered: {', '.join(parts)}" if parts else ""


def method_handles(methods: Sequence[str], *, coloured: bool = False) -> list[Line2D | Patch]:
    """Entries of a legend: the marker of every method."""
    return [
        Line2D(
            [],
            [],
            marker=_MARKERS[i % len(_MARKERS)],
            color=_COLOURS[i % len(_COLOURS)] if coloured else INK,
            linestyle="none",
            markersize=5.0,
            label=method,
        )
        for i, method in enumerate(methods)
    ]


def relative_error(truth: Truth) -> float:
    """Relative standard error of a standard deviation, for normal estimates."""
    return float(1.0 / np.sqrt(2.0 * max(truth.n - truth.n_failed - 1, 1)))
