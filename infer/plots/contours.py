"""Contours of two parameters: where the profile likelihood reaches its levels, beside the ellipse of the Hessian."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from contourpy import contour_generator
from matplotlib.figure import Figure

from infer.inference.contours import Contour, level
from infer.plots.style import (
    BLUE,
    FAINT,
    FORMATS,
    INK,
    ORANGE,
    PALETTE,
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

FloatArray = npt.NDArray[np.float64]

_COLOURS = (BLUE, ORANGE, *PALETTE[4:])
_ANGLES = np.linspace(0.0, 2.0 * np.pi, 361)


def contour_lines(contour: Contour, cl: float) -> list[FloatArray]:
    """Where the profile likelihood reaches a level, as lines with shape (N, 2), with sqrt(q) straight between points.

    Args:
        contour: The grid; lines end where a conditional fit has no certificate, and at the edge.
        cl: Confidence level.
    """
    root = np.ma.masked_invalid(np.sqrt(np.maximum(contour.delta_twice_nll, 0.0)))
    made = contour_generator(contour.x, contour.y, root, line_type="Separate").lines(float(np.sqrt(level(cl))))
    return [np.asarray(line, dtype=float) for line in made]


def ellipse(contour: Contour, cl: float) -> FloatArray:
    """The contour of a parabola with the covariance of the Hessian, with shape (N, 2); empty where there is none."""
    if not np.all(np.isfinite(contour.covariance)):
        return np.zeros((0, 2))
    circle = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)])
    radius = np.sqrt(level(cl))
    line: FloatArray = np.asarray(contour.best) + radius * (np.linalg.cholesky(contour.covariance) @ circle).T
    return line


@hep_style()
def contour_figure(contour: Contour) -> Figure:
    """Draw the contours, the best fit, and the ellipses of the Hessian, dashed.

    Args:
        contour: The grid; fits without a certificate are left out, and counted.
    """
    if contour.certificate.objections:
        return message_figure(str(contour), "No contour: the fit is not trustworthy.")
    figure = new_figure(5.4, 4.6)
    axes = figure.add_subplot()
    for cl, colour in zip(contour.cl, _COLOURS, strict=False):
        for i, line in enumerate(contour_lines(contour, cl)):
            axes.plot(*line.T, color=colour, label=f"{100 * cl:.4g} % CL" if i == 0 else None)
        axes.plot(*ellipse(contour, cl).T, color=colour, ls="--", lw=0.8)
    if len(ellipse(contour, contour.cl[0])):
        axes.plot([], [], color=FAINT, ls="--", lw=0.8, label="from the Hessian")
    axes.plot(*contour.best, marker="+", ms=9, mew=1.5, ls="", color=INK, label="best fit", clip_on=False, zorder=5)
    axes.set_xlim(contour.x[0], contour.x[-1])
    axes.set_ylim(contour.y[0], contour.y[-1])
    axes.set_xlabel(_axis_label(contour, 0))
    axes.set_ylabel(_axis_label(contour, 1))
    axes.legend(loc="best", fontsize=8)
    headline(figure, f"Profile likelihood of {label(contour.names[0], 28)} and {label(contour.names[1], 28)}")
    gap = f"{contour.n_failed} of {contour.delta_twice_nll.size} conditional fits have no certificate"
    hidden = contour.certificate.blinded
    remark_below(figure, "; ".join([gap] * bool(contour.n_failed) + [str(hidden)] * (hidden is not None)))
    return figure


def _axis_label(contour: Contour, at: int) -> str:
    parameter = contour.fit.parameters[contour.names[at]]
    return with_unit(symbol(contour.names[at], parameter.latex), parameter.unit)


def save_contour_figures(directory: str | Path, contour: Contour, *, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Store the figure of a contour.

    Args:
        directory: Where to; made if it is not there.
        contour: The grid.
        formats: File formats that matplotlib knows, by suffix.

    Returns:
        The files.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    return save_figure(contour_figure(contour), folder, "contour", formats)
