"""The profile of a simplified likelihood over that of the full one, and their difference below."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from infer.plots.profile import profile_curve
from infer.plots.style import (
    BLUE,
    FAINT,
    FORMATS,
    INK,
    ORANGE,
    headline,
    hep_style,
    label,
    message_figure,
    new_figure,
    remark_below,
    save_figure,
    symbol,
    with_unit,
)
from infer.simplified.difference import Difference

_LEVELS = (1.0, 4.0)


@hep_style()
def simplified_figure(difference: Difference) -> Figure:
    """Draw both profiles, and simplified minus full in a panel below.

    Args:
        difference: Points without a certificate are left out, and counted.
    """
    if difference.largest is None:
        return message_figure(str(difference), "No profiles: the fits are not trustworthy.")
    figure = new_figure(5.4, 5.0)
    grid = figure.add_gridspec(2, 1, height_ratios=[3.0, 1.0])
    axes = figure.add_subplot(grid[0])
    below = figure.add_subplot(grid[1], sharex=axes)
    for side, colour, style, name in (
        (difference.full, BLUE, "-", "full"),
        (difference.simplified, ORANGE, "--", "simplified"),
    ):
        n = f"{name}, {side.n_parameters} parameters"
        axes.plot(*profile_curve(side.scan), color=colour, ls=style, label=n)
        axes.plot(difference.values, side.scan.delta_twice_nll, ls="", marker=".", ms=4, color=colour)
    for level in _LEVELS:
        axes.axhline(level, color=FAINT, lw=0.8, ls=":")
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("Δ(−2 ln L)")
    axes.legend(loc="upper center")
    axes.tick_params(labelbottom=False)
    below.axhline(0.0, color=FAINT, lw=0.8)
    below.plot(difference.values, difference.delta, color=INK, marker=".", ms=4, lw=0.9)
    parameter = difference.full.scan.fit.parameters[difference.poi]
    below.set_xlabel(with_unit(symbol(difference.poi, parameter.latex), parameter.unit))
    below.set_ylabel("difference")
    headline(figure, f"Simplified likelihood of {label(difference.poi, 28)}: {difference.largest:+.2g} at most")
    failed = int(sum(value != value for value in difference.delta.tolist()))
    remark_below(figure, f"{failed} points without a certificate left out" if failed else "")
    return figure


def save_simplified_figures(
    directory: str | Path, difference: Difference, *, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Store the figure of a simplified likelihood.

    Args:
        directory: Where to; made if it is not there.
        difference: What to draw.
        formats: File formats that matplotlib knows, by suffix.

    Returns:
        The files.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    return save_figure(simplified_figure(difference), folder, "simplified", formats)
