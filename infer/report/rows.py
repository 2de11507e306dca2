"""The tables of a report: rows of text with the bars that belong to them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup

from infer.hygiene.findings import KINDS
from infer.inference.fits import FitResult
from infer.inference.impacts import Impact, Impacts, Shift
from infer.inference.yields import Sums
from infer.inspection import Inspection
from infer.measurement import Measurement
from infer.numerics.rounding import MINUS, Layout
from infer.plots.budget import BudgetRow, budget_rows
from infer.plots.impacts import correlated_parameters
from infer.plots.style import two_digits, with_error
from infer.report import svg
from infer.report.svg import Scale
from infer.statement import Uncertainty, result_layout, sides_text

BAR, PULL, ROW = 190.0, 140.0, 20.0
"""Widths of the bars of a row, and its height, in pixels."""

_PULL_REACH, _MOST_PULL = 1.8, 5.0
_LONG = 34  # characters of a name that may be broken into lines
_PAIRS, _WEAK = 300, 0.1  # most pairs of correlated parameters, and the weakest that count
_WRITTEN = 20  # most parameters whose correlations are written into the matrix
_MATRIX, _CELLS = 560.0, (16.0, 32.0)  # size of the matrix, and of its cells at least and at most, in pixels


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: What it shows.
        sort: Number to sort by; None to sort by the text.
        css: Class.
    """

    text: str | Markup
    sort: float | None = None
    css: str = ""


Row = tuple[Cell, ...]


def number(x: float | None, digits: int = 3, *, signed: bool = False) -> Cell:
    """A number to ``digits`` digits; a dash where there is none."""
    if x is None or not math.isfinite(x):
        return Cell("–", None, "number")
    return Cell(f"{x:{'+' if signed else ''}.{digits}g}".replace("-", MINUS), x, "number")


def fixed(x: float | None, *, signed: bool = False) -> Cell:
    """A number of the order of one, to two decimals; a dash where there is none."""
    if x is None or not math.isfinite(x):
        return Cell("–", None, "number")
    text = f"{x:{'+' if signed else ''}.2f}".replace("-", MINUS)
    return Cell("0.00" if float(f"{x:.2f}") == 0.0 else text, x, "number")


def chart(markup: Markup) -> Cell:
    """A cell that is drawn."""
    return Cell(markup, None, "drawn")


def named(name: str) -> Cell:
    """A name; a long one may be broken into lines."""
    return Cell(name, None, "name long" if len(name) > _LONG else "name")


@dataclass(frozen=True)
class FindingGroup:
    """Findings of one kind.

    Attributes:
        severity: ``high``, ``medium`` or ``low``.
        title: What was found, in a clause.
        advice: What to do.
        sentences: Each finding, the worst first.
    """

    severity: str
    title: str
    advice: str
    sentences: tuple[str, ...]


# -- the error budget ------------------------------------------------------------------------------


def budget(measurement: Measurement) -> tuple[list[Row], list[Row]]:
    """Sources by falling size, and the sums: name, bar, down, up, share of the variance."""
    every = budget_rows(measurement, top=len(measurement.groups) + 1)
    layout = result_layout(measurement.value, measurement.total)
    finer = replace(layout, decimals=layout.decimals + 2)
    reach = max((s for row in every for s in (row.uncertainty.down, row.uncertainty.up) if s is not None), default=0.0)
    rows = [(row.kind == "sum", _budget_row(row, finer, reach or 1.0)) for row in every]
    return [cells for is_sum, cells in rows if not is_sum], [cells for is_sum, cells in rows if is_sum]


def _budget_row(row: BudgetRow, layout: Layout, reach: float) -> Row:
    u = row.uncertainty
    down, up = sides_text(u, layout)
    share = Cell("–", None, "number") if row.share is None else Cell(f"{100 * row.share:.1f} %", row.share, "number")
    return (
        named(row.name),
        chart(_two_sides(u.down, u.up, reach, row.kind)),
        Cell("–" if down is None else _with(MINUS, down), u.down, "number"),
        Cell("–" if up is None else _with("+", up), u.up, "number"),
        share,
    )


def _with(sign: str, amount: str) -> str:
    return amount if amount == "0" or amount.startswith("<") else f"{sign}{amount}"


def _two_sides(down: float | None, up: float | None, reach: float, kind: str) -> Markup:
    scale = Scale(-reach, reach, 2.0, BAR - 2.0)
    zero = scale(0.0)
    parts = [svg.line(zero, 0.0, zero, ROW, "zero")]
    if down:
        parts.append(svg.rect(scale(-down), 4.0, zero - scale(-down), ROW - 8.0, f"bar {kind}"))
    if up:
        parts.append(svg.rect(zero, 4.0, scale(up) - zero, ROW - 8.0, f"bar {kind}"))
    return svg.bare(BAR, ROW, parts, css="bars")


# -- impacts ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RankingTable:
    """The ranking as a table.

    Attributes:
        rows: Rank, name, pull (drawn), pull, constraint, impact (drawn), down, up.
        pulls: The axis of the drawn pulls.
        bars: The axis of the drawn impacts.
        prefit: Whether there are impacts before the fit, drawn as outlines.
    """

    rows: list[Row]
    pulls: Markup
    bars: Markup
    prefit: bool


def ranking(impacts: Impacts) -> RankingTable:
    """Every nuisance parameter with its pull and its impact, the largest impact first."""
    known = [(abs(i.pull), i.constraint or 0.0) for i in impacts.impacts if i.pull is not None]
    far = max((pull + width for pull, width in known), default=0.0)
    pull_scale = Scale(-1.0, 1.0, 2.0, PULL - 2.0)
    reach = min(max(_PULL_REACH, 1.05 * far), _MOST_PULL)
    pull_scale = replace(pull_scale, low=-reach, high=reach)
    sizes = [abs(s.impact) for i in impacts.impacts for s in i.shifts.values() if s.impact is not None]
    most = 1.03 * max(sizes, default=0.0) or 1.0
    bar_scale = Scale(-most, most, 2.0, BAR - 2.0)
    rows = [_ranked(at, impact, pull_scale, bar_scale) for at, impact in enumerate(impacts.impacts, 1)]
    prefit = any(i.prefit_up is not None or i.prefit_down is not None for i in impacts.impacts)
    return RankingTable(rows, _small_axis(pull_scale, PULL), _small_axis(bar_scale, BAR), prefit)


def _ranked(rank: int, impact: Impact, pulls: Scale, bars: Scale) -> Row:
    return (
        Cell(str(rank), float(rank), "number"),
        named(impact.name),
        chart(_pull(impact, pulls)),
        fixed(impact.pull, signed=True),
        fixed(impact.constraint),
        chart(_impact(impact, bars)),
        _shift(impact.down),
        _shift(impact.up),
    )


def _shift(shift: Shift | None) -> Cell:
    if shift is not None and shift.impact is None:
        return Cell("failed", None, "number failed")
    return number(None if shift is None else shift.impact, signed=True)


def _pull(impact: Impact, scale: Scale) -> Markup:
    parts = [
        svg.rect(scale(-1.0), 0.0, scale(1.0) - scale(-1.0), ROW, "sigma"),
        svg.line(scale(0.0), 0.0, scale(0.0), ROW, "zero"),
    ]
    if impact.pull is not None:
        half = impact.constraint or 0.0
        y = ROW / 2.0
        parts.append(svg.line(scale(impact.pull - half), y, scale(impact.pull + half), y, "whisker"))
        parts.append(svg.circle(scale(impact.pull), y, 3.2, "ink"))
    return svg.bare(PULL, ROW, parts, css="pulls")


def _impact(impact: Impact, scale: Scale) -> Markup:
    """Filled after the fit, in outline before it."""
    zero = scale(0.0)
    parts = []
    sides = [(name, s.impact) for name, s in impact.shifts.items() if s.impact is not None]
    for name, x in sorted(sides, key=lambda side: (side[0].startswith("prefit"), -abs(side[1]))):
        css = f"bar {name.removeprefix('prefit_')}{' outline' if name.startswith('prefit') else ''}"
        left, right = sorted((zero, scale(x)))
        parts.append(svg.rect(left, 3.5, right - left, ROW - 7.0, css))
    parts.append(svg.line(zero, 0.0, zero, ROW, "zero"))
    return svg.bare(BAR, ROW, parts, css="bars")


def _small_axis(scale: Scale, width: float) -> Markup:
    """Ticks in the head of a drawn column."""
    parts = [svg.line(scale.start, 15.0, scale.end, 15.0, "axis")]
    for at, text in scale.ticks(4):
        if scale.start + 6.0 <= scale(at) <= scale.end - 6.0:
            parts += [svg.line(scale(at), 12.0, scale(at), 15.0, "axis"), svg.words(scale(at), 9.0, text)]
    return svg.bare(width, 18.0, parts, css="scale")


# -- correlations ----------------------------------------------------------------------------------


def pairs(fit: FitResult) -> list[Row]:
    """The most correlated pairs of parameters: two names and their correlation."""
    matrix, names = fit.correlation, fit.parameters.names
    above = np.argwhere(np.triu(np.abs(matrix) >= _WEAK, k=1))
    by_size = sorted(above.tolist(), key=lambda at: -abs(matrix[at[0], at[1]]))[:_PAIRS]
    return [
        (
            named(names[i]),
            named(names[j]),
            Cell(f"{matrix[i, j]:+.2f}".replace("-", MINUS), abs(float(matrix[i, j])), "number"),
        )
        for i, j in by_size
    ]


def matrix_chart(fit: FitResult, poi: str) -> Markup | None:
    """The correlations of those parameters that are correlated with some other; None without such."""
    names = correlated_parameters(fit, most=36)
    if not names:
        return None
    names = names if poi in names else [poi, *names]
    at = fit.parameters.positions(names)
    matrix = fit.correlation[np.ix_(at, at)]
    n = len(names)
    cell = min(max(_MATRIX / n, _CELLS[0]), _CELLS[1])
    short = [svg.elided(name, 30) for name in names]
    left = 16.0 + 6.9 * max(map(len, short))
    top, parts = left, list[str]()
    for i, j in itertools.product(range(n), range(n)):
        parts += _matrix_cell(float(matrix[i, j]), left + j * cell, top + i * cell, cell, f"{names[i]}, {names[j]}", n)
    for i, name in enumerate(short):
        middle = (i + 0.5) * cell
        parts.append(svg.words(left - 6.0, top + middle + 4.0, name, anchor="end"))
        parts.append(svg.words(left + middle + 3.5, top - 6.0, name, anchor="start", turn=-90.0))
    parts.append(svg.rect(left, top, n * cell, n * cell, "frame"))
    alt = f"Matrix of the correlations of {n} parameters; the table beside it has the largest as numbers."
    return svg.box(left + n * cell + 8.0, top + n * cell + 8.0, alt, parts, css="matrix")


def _matrix_cell(rho: float, x: float, y: float, cell: float, names: str, n: int) -> list[str]:
    if abs(rho) < 0.02 or not math.isfinite(rho):
        return []
    css = "positive" if rho > 0.0 else "negative"
    text = f"{rho:+.2f}".replace("-", MINUS)
    shape = svg.rect(x, y, cell - 0.5, cell - 0.5, css, title=f"{names}: {text}")
    parts = [shape.replace("<rect", f'<rect fill-opacity="{abs(rho):.2f}"', 1)]
    if n <= _WRITTEN and abs(rho) < 0.995:
        strong = " strong" if abs(rho) > 0.6 else ""
        percent = str(round(100 * rho)).replace("-", MINUS)
        parts.append(svg.words(x + cell / 2.0, y + cell / 2.0 + 4.0, percent, f"inside{strong}"))
    return parts


# -- findings --------------------------------------------------------------------------------------


def findings(inspection: Inspection) -> list[FindingGroup]:
    """What deserves a second look, those of one severity and kind together."""
    groups: dict[tuple[str, str], list[str]] = {}
    for found in inspection.findings.findings:
        groups.setdefault((found.severity, found.kind), []).append(found.sentence)
    return [
        FindingGroup(severity, KINDS[kind].title, KINDS[kind].advice, tuple(sentences))
        for (severity, kind), sentences in groups.items()
    ]


# -- channels and parameters -----------------------------------------------------------------------


def yields(before: Sums, after: Sums) -> tuple[list[Row], list[Row]]:
    """Expected events by sample before and after the fit, the largest first, and the sums with the data."""
    order = np.argsort(-after.values, kind="stable").tolist()
    samples = [
        (named(after.samples[i]), *(_events(s.values[i], s.uncertainties[i]) for s in (before, after))) for i in order
    ]
    total = (named("model"), *(_events(s.total, s.total_uncertainty) for s in (before, after)))
    counted = number(after.observed, 6)
    return samples, [total, (named("data"), counted, counted)]


def _events(value: float, sigma: float) -> Cell:
    """Expected events with their uncertainty, rounded by it."""
    return Cell(with_error(float(value), float(sigma)), float(value), "number")


def parameters(measurement: Measurement, inspection: Inspection) -> list[Row]:
    """Every parameter: name, role, start, bounds, best fit, uncertainty, pull, constraint."""
    trusted = measurement.certificate.trustworthy
    rows: list[Row] = []
    for name, p in inspection.parameters.items():
        estimate = measurement.parameters.get(name)
        low, high = (svg.tick_text(b, 3).rstrip("0").rstrip(".") if math.isfinite(b) else "" for b in p.bounds)
        result = estimate if trusted and not p.fixed else None
        rows.append(
            (
                named(name),
                Cell(_role(name, measurement.poi, inspection), None, "role"),
                number(p.init, 5),
                Cell(f"{low or f'{MINUS}∞'} … {high or '∞'}", None, "number"),
                *_estimate(None if result is None else result.value, None if result is None else result.uncertainty),
                fixed(None if result is None else result.pull, signed=True),
                fixed(None if result is None else result.constraint),
            )
        )
    return rows


def _estimate(value: float | None, sigma: float | None) -> tuple[Cell, Cell]:
    """A value and its uncertainty, both rounded by the uncertainty where they are of ordinary size."""
    if value is None or not sigma or not math.isfinite(sigma):
        return number(value, 5), number(sigma)
    u = Uncertainty(sigma, sigma)
    layout = two_digits(result_layout(value, u), u)
    if layout.exponent:
        return number(value, 5), number(sigma)
    return (
        Cell(layout.text(value).replace("-", MINUS), value, "number"),
        Cell(layout.text(sigma), sigma, "number"),
    )


def _role(name: str, poi: str, inspection: Inspection) -> str:
    p = inspection.parameters[name]
    if name == poi:
        return "of interest"
    if p.fixed:
        return "fixed"
    return "free" if p.constraint is None else f"{type(p.constraint).__name__} constraint"


def legend(colours: dict[str, str], shared: str) -> list[tuple[str, str]]:
    """Samples with their colours, the top of the stack first; those that share a colour are one entry."""
    small = [name for name, colour in colours.items() if colour == shared]
    entries = [(name, colour) for name, colour in reversed(colours.items()) if colour != shared]
    if small:
        entries.append((small[0] if len(small) == 1 else f"{len(small)} smaller samples", shared))
    return entries
