"""Coverage and uncertainties against the size of the simulated samples that the templates are made of."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from infer.inference.finite_mc import FiniteMC
from infer.plots.coverage import (
    draw_level,
    failures,
    legend_below,
    method_handles,
    methods_of,
    relative_error,
    toys_words,
    truth_words,
    verdict_handles,
)
from infer.plots.style import BLUE, GREY, INK, hep_style, label, new_figure

_STEP = 0.04  # between the methods at one size, as a share of the axis
_COLUMN = 4.2  # inches of the width of a truth


@hep_style()
def finite_mc_figure(record: FiniteMC) -> Figure:
    """Draw coverage, and mean uncertainty over spread, against the size of the simulated samples.

    One row a confidence level, one column a truth.

    Args:
        record: Of any sizes, methods, levels and truths.
    """
    first = record.results[0]
    n_rows, n_columns = len(first.levels) + 1, len(first.truths)
    figure = new_figure(1.2 + _COLUMN * n_columns, 1.3 + 1.75 * n_rows)
    grid = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey="row")
    for row, cl in zip(grid, first.levels, strict=False):
        ends = [_draw_coverage(axes, record, cl, point) for point, axes in enumerate(row)]
        row[0].set_ylim(min(low for low, _ in ends), max(high for _, high in ends))
        row[0].set_ylabel(f"coverage at {100 * cl:.4g} % CL [%]", fontsize=8)
    for point, axes in enumerate(grid[-1]):
        _draw_uncertainty(axes, record, point)
        _write_sizes(axes, record)
    grid[-1, 0].set_ylabel("mean σ / spread", fontsize=8)
    if n_columns > 1:
        for axes, truth in zip(grid[0], first.truths, strict=True):
            axes.set_title(truth_words(first.poi, truth))
    truths = [truth for result in record.results for truth in result.truths]
    title = f"{label(first.poi)} with finite simulation: {toys_words(truths)}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    handles = method_handles(methods_of(first)) + verdict_handles([r for c in record.results for r in c.results])
    legend_below(figure, handles, 3, failures(record.results))
    return figure


def _draw_coverage(axes: Axes, record: FiniteMC, cl: float, point: int) -> tuple[float, float]:
    """Coverage of every method at one truth and level; a line joins the sizes of a method."""
    methods = methods_of(record.results[0])
    placed = []
    for i, method in enumerate(methods):
        results = [next(r for r in c.of(method, cl) if r.point == point) for c in record.results]
        x = [scale * _shift(record, i, len(methods)) for scale in record.scales]
        axes.plot(x, [100.0 * r.coverage for r in results], color=GREY, linewidth=0.8)
        placed += [(at, i, r) for at, r in zip(x, results, strict=True)]
    return draw_level(axes, cl, placed)


def _draw_uncertainty(axes: Axes, record: FiniteMC, point: int) -> None:
    """Mean standard deviation by the Hessian over the spread of the estimates."""
    truths = [result.truths[point] for result in record.results]
    ratio = np.asarray([truth.sigma / truth.std if truth.std > 0.0 else np.nan for truth in truths])
    bars = ratio * [relative_error(truth) for truth in truths]
    axes.axhline(1.0, color=INK, linewidth=0.8, linestyle="--")
    axes.plot(record.scales, ratio, color=GREY, linewidth=0.8)
    axes.errorbar(record.scales, ratio, yerr=bars, fmt="o", color=BLUE, markersize=4.5)
    axes.margins(y=0.2)


def _shift(record: FiniteMC, i: int, n: int) -> float:
    """Factor by which a method stands beside its size on the logarithmic axis."""
    return float(_range(record) ** (_STEP * (i - 0.5 * (n - 1))))


def _range(record: FiniteMC) -> float:
    """The largest size over the smallest; 10 for a single one."""
    return record.scales[-1] / record.scales[0] if len(record.scales) > 1 else 10.0


def _write_sizes(axes: Axes, record: FiniteMC) -> None:
    axes.set_xscale("log")
    margin = _range(record) ** 0.12
    axes.set_xlim(record.scales[0] / margin, record.scales[-1] * margin)
    axes.xaxis.set_major_locator(FixedLocator(record.scales))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.set_xticklabels([f"{scale:g}" for scale in record.scales])
    axes.set_xlabel("size of the simulated samples / that of the model's")
