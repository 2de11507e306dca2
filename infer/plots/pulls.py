"""Pulls and constraints: how far the data moved the nuisance parameters, and how well they know them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from infer.measurement import Measurement
from infer.plots.style import (
    INK,
    PALE,
    PALER,
    RED,
    beside,
    hep_style,
    label,
    message_figure,
    new_figure,
    no_ticks,
    signed,
)

_REACH = 2.6  # of the axis, in standard deviations; more where a bar needs it, up to
_FARTHEST = 5.0
_ROWS = 45  # most rows of a column
_AXIS = (
    r"Pull $(\hat{\theta} - \theta_0)\,/\,\sigma_\mathrm{pre}$;  bars: $\sigma_\mathrm{post}\,/\,\sigma_\mathrm{pre}$"
)
_STRONG = 2.0  # pulls beyond are printed in red


@dataclass(frozen=True)
class Pull:
    """One constrained parameter after a fit.

    Attributes:
        name: Parameter.
        pull: Best fit minus nominal value, in standard deviations before the fit.
        constraint: Standard deviation after the fit over that before; None where the fit gives none.
    """

    name: str
    pull: float
    constraint: float | None


def pulls_of(measurement: Measurement, *, order: str = "pull") -> list[Pull]:
    """The constrained parameters of a measurement.

    Args:
        measurement: Any measurement.
        order: ``"pull"``, the largest first, or ``"name"``, numbers in names counted as numbers.
    """
    pulls = [
        Pull(name, estimate.pull, estimate.constraint)
        for name, estimate in measurement.parameters.items()
        if estimate.pull is not None and math.isfinite(estimate.pull)
    ]
    if order == "name":
        return sorted(pulls, key=lambda p: _natural(p.name))
    return sorted(pulls, key=lambda p: -abs(p.pull))


@hep_style()
def pulls_figure(measurement: Measurement, *, top: int | None = 60, order: str = "pull") -> Figure:
    """Draw pulls and constraints, in as many columns as they need.

    Args:
        measurement: Any measurement.
        top: Most parameters to draw, those with the largest pulls; None draws all.
        order: ``"pull"`` or ``"name"``, see `pulls_of`.
    """
    if measurement.certificate.objections:
        return message_figure(str(measurement), "No pulls: the fit is not trustworthy.")
    pulls = pulls_of(measurement)
    if not pulls:
        return message_figure(str(measurement), "No pulls: no parameter has a constraint.")
    chosen = {p.name for p in pulls[:top]}
    drawn = [p for p in pulls_of(measurement, order=order) if p.name in chosen]
    columns = _columns(drawn)
    rows = len(columns[0])
    figure = new_figure(1.2 + 3.4 * len(columns), 1.3 + 0.165 * rows)
    axes = figure.subplots(1, len(columns), squeeze=False, sharex=True, gridspec_kw={"wspace": 0.05})[0]
    for each, column in zip(axes, columns, strict=True):
        _draw_column(each, column, rows)
    reach = max([_REACH, *(abs(p.pull) + (p.constraint or 0.0) + 0.2 for p in drawn)])
    axes[0].set_xlim(-min(reach, _FARTHEST), min(reach, _FARTHEST))
    figure.suptitle(_heading(pulls, len(drawn)), x=0.01, ha="left", fontsize=9)
    figure.supxlabel(_AXIS, fontsize=9, x=0.99, ha="right")
    return figure


def _columns(pulls: Sequence[Pull]) -> list[list[Pull]]:
    """Columns of equal length, the last one perhaps shorter, none longer than `_ROWS`."""
    n_columns = math.ceil(len(pulls) / _ROWS)
    rows = math.ceil(len(pulls) / n_columns)
    return [list(pulls[i : i + rows]) for i in range(0, len(pulls), rows)]


def _draw_column(axes: Axes, pulls: Sequence[Pull], rows: int) -> None:
    axes.axvspan(-2.0, 2.0, color=PALER, linewidth=0.0)
    axes.axvspan(-1.0, 1.0, color=PALE, linewidth=0.0)
    axes.axvline(0.0, color=INK, linewidth=0.6, linestyle=":")
    for strong, hollow, sign in product((False, True), (False, True), (-1, 0, 1)):
        chosen = [(at, p) for at, p in enumerate(pulls) if _kind(p) == (strong, hollow, sign)]
        if chosen:
            _draw_points(axes, chosen, RED if strong else INK, hollow=hollow, sign=sign)
    for at, p in enumerate(pulls):
        text = signed(p.pull) if p.constraint is None else f"{signed(p.pull)} ± {p.constraint:.2f}"
        beside(axes, float(at), text, 4.0, fontsize=6.5, color=RED if abs(p.pull) > _STRONG else INK)
    axes.set_yticks(range(len(pulls)), [label(p.name, 32) for p in pulls], fontsize=7)
    axes.set_ylim(rows - 0.4, -0.6)
    no_ticks(axes, "y")


def _kind(p: Pull) -> tuple[bool, bool, int]:
    """How a point is drawn: in red, hollow for want of a bar, on which side it lies outside."""
    outside = 0 if abs(p.pull) < _FARTHEST else int(math.copysign(1, p.pull))
    return abs(p.pull) > _STRONG, p.constraint is None, outside


def _draw_points(axes: Axes, rows: Sequence[tuple[int, Pull]], colour: str, *, hollow: bool, sign: int) -> None:
    """Points of one kind with their bars; arrowheads at the edge for those outside."""
    at = [row for row, _ in rows]
    x = [sign * 0.97 * _FARTHEST if sign else p.pull for _, p in rows]
    bars = None if hollow or sign else [p.constraint or 0.0 for _, p in rows]
    face = "white" if hollow else colour
    marker = {-1: "<", 0: "o", 1: ">"}[sign]
    axes.errorbar(x, at, xerr=bars, fmt=marker, color=colour, markerfacecolor=face, markersize=3, elinewidth=1.0)


def _heading(pulls: Sequence[Pull], n_drawn: int) -> str:
    """What is drawn, and what can be said of the rest."""
    if n_drawn == len(pulls):
        return f"Pulls and constraints of {len(pulls)} constrained parameters"
    rest = abs(pulls[n_drawn].pull)
    return f"The {n_drawn} largest pulls of {len(pulls)} constrained parameters; the others: |pull| ≤ {rest:.2f}"


def _natural(name: str) -> list[tuple[int, int | str]]:
    """A key by which ``b[2]`` comes before ``b[10]``."""
    return [(0, int(part)) if part.isdigit() else (1, part.lower()) for part in re.split(r"(\d+)", name) if part]
