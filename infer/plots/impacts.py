"""The ranking of nuisance parameters with their pulls, and the correlations between parameters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from infer.inference.fits import FitResult
from infer.inference.impacts import Impact, Impacts
from infer.numerics.rounding import MINUS
from infer.plots.style import (
    BLUE,
    FORMATS,
    INK,
    ORANGE,
    PAGE,
    PALER,
    headline,
    hep_style,
    label,
    message_figure,
    new_figure,
    no_ticks,
    save_figure,
    symbol,
    with_unit,
)

FloatArray = npt.NDArray[np.float64]

_PULL = r"pull $(\hat\theta - \theta_0)/\Delta\theta$"
_REACH = 1.8  # the axis of pulls shows at least that much
_WRITTEN = 24  # most parameters whose correlations are written into the matrix
_COLOURS = {"down": ORANGE, "up": BLUE}
_MEANING = {
    "traditional": "parameters held at ±1 sigma",
    "global-observables": "auxiliary data moved by ±1 sigma",
}


def save_impact_figures(
    directory: str | Path, impacts: Impacts, *, top: int = 30, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Store the ranking and the correlations; equal records make equal bytes.

    Args:
        directory: Where to; made if it is not there.
        impacts: The ranking.
        top: Most parameters in the ranking.
        formats: File formats that matplotlib knows, by suffix.

    Returns:
        The files, in the order in which one would read them.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    ranking = save_figure(ranking_figure(impacts, top=top), folder, "impacts", formats)
    return ranking + save_figure(correlation_matrix_figure(impacts.fit), folder, "correlations", formats)


@hep_style()
def ranking_figure(impacts: Impacts, *, top: int = 30) -> Figure:
    """Draw pulls with constraints as bars of their points, and impacts beside them.

    Args:
        impacts: The ranking.
        top: Most parameters to draw.
    """
    if impacts.certificate.objections:
        return message_figure(str(impacts), "No ranking: the fit is not trustworthy.")
    made = [impact for impact in impacts.impacts if impact.shifts]
    rows = made[:top]
    if not rows:
        return message_figure(str(impacts), "No ranking: no nuisance parameter has an impact.")
    figure = new_figure(PAGE, 2.1 + 0.21 * len(rows))
    pulls, bars = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.03, "width_ratios": (1.0, 1.3)})
    _draw_pulls(pulls, rows)
    _draw_bars(bars, rows)
    pulls.set_yticks(range(len(rows)), [label(row.name, 40) for row in rows], fontsize=7)
    pulls.set_ylim(len(rows) - 0.4, -0.6)
    for axes in (pulls, bars):
        no_ticks(axes, "y")
    poi = impacts.fit.parameters[impacts.poi]
    pulls.set_xlabel(_PULL)
    bars.set_xlabel(with_unit(f"impact on {symbol(poi.name, poi.latex)}", poi.unit))
    figure.legend(handles=_legend(rows), loc="outside lower center", ncols=4, fontsize=7)
    headline(figure, _heading(impacts, len(rows), len(made)))
    return figure


def _heading(impacts: Impacts, n_drawn: int, total: int) -> str:
    which = f"The {n_drawn} largest of {total} impacts" if n_drawn < total else f"{total} impacts"
    failed = f"; {impacts.n_failed} of {impacts.n_refits} refits failed" if impacts.n_failed else ""
    return f"{which} on {impacts.poi}: {_MEANING[impacts.definition]}{failed}"


def _draw_bars(axes: Axes, rows: Sequence[Impact]) -> None:
    """Filled bars after the fit, outlines before it, the shorter over the longer; a word for what failed."""
    bars = [(at, side, x) for at, row in enumerate(rows) for side, x in _impacts(row).items() if x is not None]
    for at, side, x in sorted(bars, key=lambda bar: -abs(bar[2])):
        colour = _COLOURS[side.removeprefix("prefit_")]
        inside = "none" if side.startswith("prefit_") else colour
        axes.barh(at, x, height=0.72, linewidth=0.8, facecolor=inside, edgecolor=colour)
    for at, row in enumerate(rows):
        if None in _impacts(row).values():
            place = axes.get_yaxis_transform()
            axes.annotate("failed", (0.995, at), xycoords=place, fontsize=6, ha="right", va="center")
    reach = 1.08 * max((abs(x) for *_, x in bars), default=0.0) or 1.0
    axes.axvline(0.0, color=INK, linewidth=0.6, linestyle=":")
    axes.set_xlim(-reach, reach)


def _impacts(row: Impact) -> dict[str, float | None]:
    return {side: shift.impact for side, shift in row.shifts.items()}


def _draw_pulls(axes: Axes, rows: Sequence[Impact]) -> None:
    axes.axvspan(-1.0, 1.0, color=PALER, linewidth=0.0)
    axes.axvline(0.0, color=INK, linewidth=0.6, linestyle=":")
    points = [(at, row.pull, row.constraint) for at, row in enumerate(rows) if row.pull is not None]
    axes.errorbar(
        [pull for _, pull, _ in points],
        [at for at, _, _ in points],
        xerr=[bar or 0.0 for *_, bar in points],
        fmt="o",
        color=INK,
        markersize=3.0,
        elinewidth=1.0,
    )
    reach = max([_REACH, *(abs(pull) + (bar or 0.0) + 0.2 for _, pull, bar in points)])
    axes.set_xlim(-reach, reach)


def _legend(rows: Sequence[Impact]) -> list[Patch]:
    prefit = any(row.prefit_up is not None or row.prefit_down is not None for row in rows)
    kinds = [(r"$\hat\theta {} \hat\sigma$", True), (r"$\hat\theta {} \Delta\theta$", False)]
    if not prefit:
        kinds = [(r"$a {} \sigma_a$", True)]
    signs = {"down": "-", "up": "+"}
    return [
        Patch(facecolor=colour if fill else "none", edgecolor=colour, label=text.format(signs[side]))
        for text, fill in kinds
        for side, colour in _COLOURS.items()
    ]


def correlated_parameters(fit: FitResult, *, threshold: float = 0.2, most: int = 40) -> list[str]:
    """Parameters that are correlated with some other, in the order of the fit.

    Args:
        fit: Best fit.
        threshold: Smallest absolute correlation that counts.
        most: Most parameters; those with the largest correlations are kept.
    """
    strength = np.max(np.abs(fit.correlation - np.diag(np.diagonal(fit.correlation))), axis=1, initial=0.0)
    strength = np.where(np.isfinite(strength), strength, 0.0)
    order = np.argsort(-strength, kind="stable")[:most]
    return [fit.parameters.names[i] for i in sorted(order.tolist()) if strength[i] > threshold]


@hep_style()
def correlation_matrix_figure(fit: FitResult, *, threshold: float = 0.2, most: int = 40) -> Figure:
    """Draw the correlation matrix of the parameters that are correlated with some other.

    Args:
        fit: Best fit.
        threshold: Smallest absolute correlation that counts.
        most: Most parameters; those with the largest correlations are kept.
    """
    names = correlated_parameters(fit, threshold=threshold, most=most)
    if not names:
        return message_figure("Correlations", f"No two parameters have a correlation above {threshold:g}.")
    n_all = len(correlated_parameters(fit, threshold=threshold, most=len(fit.parameters)))
    at = fit.parameters.positions(names)
    matrix = fit.correlation[np.ix_(at, at)]
    cell = 0.34 if len(names) <= _WRITTEN else 0.19
    figure = new_figure(3.2 + cell * len(names), 2.6 + cell * len(names))
    axes = figure.add_subplot()
    image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1.0, vmax=1.0)
    shown = [label(name, 30) for name in names]
    axes.set_xticks(range(len(names)), shown, fontsize=6.5, rotation=90)
    axes.set_yticks(range(len(names)), shown, fontsize=6.5)
    no_ticks(axes, "x")
    no_ticks(axes, "y")
    if len(names) <= _WRITTEN:
        _write(axes, matrix)
    figure.colorbar(image, ax=axes, shrink=0.7, label="correlation")
    some = f"The {len(names)} most correlated of {n_all}" if len(names) < n_all else f"{len(names)}"
    title = f"{some} parameters with a correlation above {threshold:g}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=9)
    return figure


def _write(axes: Axes, matrix: FloatArray) -> None:
    """Correlations in per cent, in their cells."""
    for (row, column), value in np.ndenumerate(matrix):
        if row != column:
            text = str(round(100 * value)).replace("-", MINUS)
            colour = "white" if abs(value) > 0.6 else INK
            axes.text(column, row, text, color=colour, fontsize=6, ha="center", va="center")
