"""Events of one observable beside the fitted intensity, its components, and the pulls of the bins."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from infer.likelihoods.parametric.spectrum import Spectrum
from infer.numerics.garwood import poisson_interval
from infer.plots.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PALE,
    PALER,
    PALETTE,
    hep_style,
    label,
    new_figure,
    plain,
    remark_above,
    with_unit,
)

FloatArray = npt.NDArray[np.float64]

_COLOURS = (PALETTE[2], ORANGE, *PALETTE[4:7])
_DASHES = ("--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
_REACH = 3.5  # of the axis of pulls, more where a bin needs it, up to
_FARTHEST = 7.0


@hep_style()
def density_figure(spectrum: Spectrum, *, remark: str = "") -> Figure:
    """Draw events with the fitted curve, its uncertainty and its components, and the pulls below.

    Args:
        spectrum: Of a parametric likelihood.
        remark: What a reader has to know, in red: why the fit is not trustworthy, say.
    """
    figure = new_figure(5.4, 4.6)
    main, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    width, words = _scale(spectrum)
    _draw_events(main, spectrum, width)
    _draw_curves(main, spectrum, width)
    _draw_pulls(below, spectrum)
    main.set_ylabel(words)
    main.set_xlim(spectrum.edges[0], spectrum.edges[-1])
    below.set_xlabel(with_unit(label(spectrum.observable or "observable"), spectrum.unit))
    if spectrum.name:
        figure.suptitle(label(spectrum.name, 60), x=0.01, ha="left", fontsize=10, fontweight="bold")
    remark_above(main, [remark])
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def bin_pulls(spectrum: Spectrum) -> FloatArray:
    """Observed minus expected events by bin over the root of the expected, NaN where none are expected."""
    possible = spectrum.expected > 0.0
    root = np.sqrt(np.where(possible, spectrum.expected, np.nan))
    return np.asarray((spectrum.counts - spectrum.expected) / root)


def _scale(spectrum: Spectrum) -> tuple[float, str]:
    """The width to which counts refer: that of the bins where all are equal, else one unit."""
    widths = np.diff(spectrum.edges)
    even = bool(np.allclose(widths, widths[0], rtol=1e-6))
    width = float(widths[0]) if even else 1.0
    number = "" if width == 1.0 and spectrum.unit else f"{width:.3g}"
    amount = " ".join(filter(None, [number, plain(spectrum.unit)]))
    return width, f"Events per {amount}"


def _draw_curves(axes: Axes, spectrum: Spectrum, width: float) -> None:
    y, sigma = width * spectrum.total, width * spectrum.total_uncertainty
    axes.fill_between(spectrum.x, y - sigma, y + sigma, color=BLUE, alpha=0.3, linewidth=0.0, label="Uncertainty")
    axes.plot(spectrum.x, y, color=BLUE, label="Fit")
    if len(spectrum.components) < 2:
        return
    for i, (name, curve) in enumerate(spectrum.components.items()):
        style = {"color": _COLOURS[i % len(_COLOURS)], "linestyle": _DASHES[i % len(_DASHES)]}
        axes.plot(spectrum.x, width * curve, label=label(name, 24), **style)  # type: ignore[arg-type]  # of Line2D


def _draw_events(axes: Axes, spectrum: Spectrum, width: float) -> None:
    x, scale = _centres(spectrum), width / np.diff(spectrum.edges)
    low, high = poisson_interval(spectrum.counts)
    bars = np.stack([spectrum.counts - low, high - spectrum.counts]) * scale
    y = spectrum.counts * scale
    points = axes.errorbar(
        x, y, yerr=bars, fmt="o", color="black", markersize=2.8, elinewidth=0.9, zorder=5, label="Data"
    )
    points.lines[0].set_clip_on(False)  # a point at zero is drawn in full
    axes.set_ylim(0.0, 1.08 * float(np.max(high * scale, initial=0.0)) or 1.0)


def _draw_pulls(axes: Axes, spectrum: Spectrum) -> None:
    pulls = bin_pulls(spectrum)
    reach = min(_FARTHEST, max(_REACH, 1.05 * float(np.max(np.abs(pulls), initial=0.0, where=np.isfinite(pulls)))))
    axes.axhspan(-2.0, 2.0, color=PALER, linewidth=0.0)
    axes.axhspan(-1.0, 1.0, color=PALE, linewidth=0.0)
    shown = np.clip(np.nan_to_num(pulls), -reach, reach)
    axes.stairs(shown, spectrum.edges, fill=True, color=GREY)
    axes.axhline(0.0, color=INK, linewidth=0.8)
    axes.set_ylim(-reach, reach)
    axes.set_ylabel(r"$(n - \nu)\,/\,\sqrt{\nu}$", loc="center")


def _centres(spectrum: Spectrum) -> FloatArray:
    return np.asarray(0.5 * (spectrum.edges[1:] + spectrum.edges[:-1]))
