"""Published measurements and their combination, each with its statistical and total uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from infer.likelihoods.gaussian.summary import MeasuredValue
from infer.measurement import Measurement
from infer.numerics.rounding import MINUS, TIMES, power_of_ten
from infer.plots.style import (
    BLUE,
    FAINT,
    INK,
    PAGE,
    PALE,
    PALER,
    RED,
    beside,
    headline,
    hep_style,
    label,
    message_figure,
    new_figure,
    no_ticks,
    symbol,
    two_digits,
    with_unit,
)
from infer.statement import Uncertainty, result_layout, sides_text

COLOURS = {"measured": INK, "combined": BLUE, "result": RED}
"""Colour of a row by its kind."""


@dataclass(frozen=True)
class ValueRow:
    """One row: a measurement, a partial combination, or the combination of all.

    Attributes:
        name: What it is called.
        kind: ``"measured"``, ``"combined"`` or ``"result"``.
        value: Its value.
        stat: Statistical uncertainty.
        total: Total uncertainty.
    """

    name: str
    kind: str
    value: float
    stat: Uncertainty
    total: Uncertainty


def value_rows(
    measurement: Measurement,
    measured: Sequence[MeasuredValue],
    combinations: Mapping[str, Measurement] | None = None,
) -> list[ValueRow]:
    """The rows of the figure from above; untrustworthy combinations are left out."""
    rows = [
        ValueRow(m.name, "measured", m.value, Uncertainty(m.stat, m.stat), Uncertainty(m.total, m.total))
        for m in measured
    ]
    combined = [(name, "combined", m) for name, m in (combinations or {}).items()]
    for name, kind, m in (*combined, ("Combination", "result", measurement)):
        if m.certificate.trustworthy:
            rows.append(ValueRow(name, kind, m.value, m.stat, m.total))
    return rows


@hep_style()
def measurements_figure(
    measurement: Measurement,
    measured: Sequence[MeasuredValue],
    *,
    combinations: Mapping[str, Measurement] | None = None,
) -> Figure:
    """Draw measurements, partial combinations, and the combination with its band.

    Args:
        measurement: The combination of all.
        measured: What went into it.
        combinations: Partial combinations by name.
    """
    rows = value_rows(measurement, measured, combinations)
    if not rows:
        return message_figure(str(measurement), "Nothing to draw: no measurement of this observable alone.")
    figure = new_figure(PAGE, 1.5 + 0.3 * len(rows))
    axes = figure.add_subplot()
    _draw_band(axes, rows[-1])
    for at, row in enumerate(rows):
        _draw_row(axes, at, row)
        beside(axes, float(at), value_text(row), 6.0)
    _separate(axes, rows)
    axes.set_yticks(range(len(rows)), [label(row.name) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    no_ticks(axes, "y")
    beside(axes, -0.95, "value ± total (± stat)", 6.0, color=FAINT)
    axes.set_xlabel(with_unit(symbol(measurement.poi, measurement.latex), measurement.unit))
    headline(figure, str(measurement))
    figure.legend(handles=_handles(rows), loc="outside lower center", ncols=3)
    return figure


def value_text(row: ValueRow) -> str:
    """Value, total and stat as text, rounded by the total."""
    layout = two_digits(result_layout(row.value, row.total), row.total)
    total, stat = (_sides(sides_text(u, layout)) for u in (row.total, row.stat))
    number = layout.text(row.value).replace("-", MINUS)
    power = f" {TIMES} {power_of_ten(layout.exponent)}" if layout.exponent else ""
    return f"{number} {total} ({stat}){power}"


def _sides(sides: tuple[str | None, str | None]) -> str:
    down, up = sides
    if down == up:
        return f"± {up}" if up is not None else "± ?"
    return " ".join(f"{sign}{side}" for sign, side in (("+", up), (MINUS, down)) if side is not None)


def _draw_band(axes: Axes, row: ValueRow) -> None:
    """The combination across all rows."""
    if row.kind != "result":
        return
    for u, colour in ((row.total, PALER), (row.stat, PALE)):
        if u.down is not None and u.up is not None:
            axes.axvspan(row.value - u.down, row.value + u.up, color=colour, linewidth=0.0)
    axes.axvline(row.value, color=RED, linewidth=0.8, linestyle=":")


def _draw_row(axes: Axes, at: int, row: ValueRow) -> None:
    """A point with a thin bar for the total and a thick one for the statistical uncertainty."""
    colour = COLOURS[row.kind]
    for u, width in ((row.total, 1.0), (row.stat, 3.0)):
        axes.plot([row.value - (u.down or 0.0), row.value + (u.up or 0.0)], [at, at], color=colour, linewidth=width)
    axes.plot(row.value, at, "o", color=colour, markersize=5.0, markeredgecolor="white", markeredgewidth=0.7)


def _separate(axes: Axes, rows: Sequence[ValueRow]) -> None:
    for at in range(1, len(rows)):
        if rows[at].kind != rows[at - 1].kind:
            axes.axhline(at - 0.5, color=INK, linewidth=0.5)


def _handles(rows: Sequence[ValueRow]) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=INK, linewidth=1.0, label="total uncertainty"),
        Line2D([], [], color=INK, linewidth=3.0, label="stat only"),
    ]
    if rows[-1].kind == "result":
        handles.append(Patch(facecolor=PALER, edgecolor=PALE, label="combination"))
    return handles
