"""The error budget as a ranking: one bar per source, by size, from the parts of a measurement."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from infer.measurement import DEFINITIONS, Measurement
from infer.numerics.rounding import MINUS, Layout
from infer.plots.style import (
    BLUE,
    FAINT,
    GREY,
    INK,
    ORANGE,
    PAGE,
    beside,
    headline,
    hep_style,
    label,
    message_figure,
    new_figure,
    no_ticks,
    symbol,
    with_unit,
)
from infer.statement import Uncertainty, result_layout, sides_text

COLOURS = {"stat": BLUE, "group": ORANGE, "others": "#ffd68a", "sum": GREY}
"""Colour of a bar by the kind of its row."""

_CELLS = (52.0, 100.0, 150.0)  # right ends of the columns down, up and share, in points beside the axes


@dataclass(frozen=True)
class BudgetRow:
    """One row of the error budget.

    Attributes:
        name: Source, or what is summed.
        kind: ``"stat"``, ``"group"``, ``"others"`` (groups too small for rows of their own) or
            ``"sum"`` (syst and total).
        uncertainty: Its part.
        share: Of the total variance; None where there is no total.
    """

    name: str
    kind: str
    uncertainty: Uncertainty
    share: float | None


def budget_rows(measurement: Measurement, *, top: int = 25) -> list[BudgetRow]:
    """The rows of the figure: sources by falling size, the small ones together, then the sums.

    Args:
        measurement: Any measurement.
        top: Most rows of single sources; what is beyond is summed in quadrature into one row.
    """
    m = measurement
    groups = [("group", name, u) for name, u in m.groups.items()] or [("group", "syst", m.syst)]
    parts = sorted([("stat", "stat", m.stat), *groups], key=lambda part: -(part[2].size or 0.0))
    shown, rest = (parts, []) if len(parts) <= top + 1 else (parts[:top], parts[top:])
    rows = [*shown]
    if rest:
        rows.append(("others", f"{len(rest)} others in quadrature", _quadrature([u for *_, u in rest])))
    if m.groups:
        rows.append(("sum", "syst", m.syst))
    rows.append(("sum", "total", m.total))
    return [BudgetRow(name, kind, u, _share(u, m.total)) for kind, name, u in rows]


@hep_style()
def budget_figure(measurement: Measurement, *, top: int = 25) -> Figure:
    """Draw the error budget of a measurement; for an untrustworthy one, say so instead.

    Args:
        measurement: Any measurement.
        top: Most sources with a bar of their own.
    """
    if measurement.certificate.objections:
        return message_figure(str(measurement), "No error budget: the fit is not trustworthy.")
    rows = budget_rows(measurement, top=top)
    figure = new_figure(PAGE, 1.3 + 0.2 * len(rows))
    axes = figure.add_subplot()
    _draw_bars(axes, rows)
    _write_cells(axes, rows, _finer(measurement))
    _write_frame(figure, axes, measurement)
    return figure


def _draw_bars(axes: Axes, rows: Sequence[BudgetRow]) -> None:
    for at, row in enumerate(rows):
        for side, size in ((-1.0, row.uncertainty.down), (1.0, row.uncertainty.up)):
            if size is not None:
                axes.barh(at, side * size, height=0.72, color=COLOURS[row.kind])
    first_sum = next(at for at, row in enumerate(rows) if row.kind == "sum")
    axes.axhline(first_sum - 0.5, color=INK, linewidth=0.5)
    axes.axvline(0.0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [label(row.name) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    no_ticks(axes, "y")
    sizes = [s for row in rows for s in (row.uncertainty.down, row.uncertainty.up) if s is not None]
    reach = 1.08 * max(sizes, default=0.0) or 1.0
    axes.set_xlim(-reach, reach)


def _write_cells(axes: Axes, rows: Sequence[BudgetRow], layout: Layout) -> None:
    """The numbers of the rows, in columns beside the axes."""
    for offset, head in zip(_CELLS, ("down", "up", "variance"), strict=True):
        beside(axes, -1.0, head, offset, ha="right", color=FAINT)
    for at, row in enumerate(rows):
        down, up = sides_text(row.uncertainty, layout)
        share = "–" if row.share is None else f"{100 * row.share:.1f} %"
        cells = (_with_sign(MINUS, down), _with_sign("+", up), share)
        for offset, text in zip(_CELLS, cells, strict=True):
            beside(axes, float(at), text, offset, ha="right")


def _with_sign(sign: str, amount: str | None) -> str:
    """A side as text: signed, unless it is missing, zero or but an upper bound."""
    if amount is None:
        return "–"
    return amount if amount == "0" or amount.startswith("<") else f"{sign}{amount}"


def _write_frame(figure: Figure, axes: Axes, m: Measurement) -> None:
    layout = result_layout(m.value, m.total)
    axes.set_xlabel(with_unit(f"Uncertainty of {symbol(m.poi, m.latex)}", m.unit))
    if layout.exponent:
        axes.ticklabel_format(axis="x", style="sci", scilimits=(layout.exponent, layout.exponent), useMathText=True)
    headline(figure, str(m))
    level = f"{100 * m.cl:.4g}\N{NO-BREAK SPACE}%\N{NO-BREAK SPACE}CL"
    footer = f"Definition '{m.definition}': {DEFINITIONS[m.definition]}. Interval: {m.interval}, {level}."
    figure.supxlabel("\n".join(textwrap.wrap(footer, 138)), x=0.01, ha="left", fontsize=8, color=FAINT)


def _finer(m: Measurement) -> Layout:
    """The layout of the one line with one digit more, so that one sees the parts add up."""
    layout = result_layout(m.value, m.total)
    return replace(layout, decimals=layout.decimals + 1)


def _quadrature(parts: Sequence[Uncertainty]) -> Uncertainty:
    """Sum in quadrature, side by side; a side that none of them has is missing."""
    sides = ([u.down for u in parts], [u.up for u in parts])
    sums = [math.hypot(*known) if (known := [x for x in side if x is not None]) else None for side in sides]
    return Uncertainty(*sums)


def _share(u: Uncertainty, total: Uncertainty) -> float | None:
    return None if u.size is None or not total.size else (u.size / total.size) ** 2
