"""The posterior of one parameter beside its profile likelihood, and how the chains went.

Both are drawn with the same area: where the likelihood is a parabola and the prior flat, they are one curve.  The
chains are shown by their samples in order, and by ranks: of chains that mixed, each has equally many of the lowest
samples of all, of the next ones, and so on (Vehtari et al., arXiv:1903.08008, section 5.2).
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from infer.inference.posterior import LEVELS, CredibleInterval, Posterior
from infer.inference.profiles import Scan
from infer.plots.profile import profile_curve
from infer.plots.style import (
    BLUE,
    FAINT,
    FORMATS,
    GREY,
    INK,
    ORANGE,
    PAGE,
    PALE,
    PALETTE,
    headline,
    hep_style,
    label,
    message_figure,
    new_figure,
    plain,
    remark_below,
    save_figure,
    symbol,
    with_unit,
)
from infer.plots.toys import bins_for

FloatArray = npt.NDArray[np.float64]

_SHARE = 0.9995  # of the samples that the axis holds
_RANKS = 20  # bins of ranks
_SIGMAS = 3.0  # of the counts in them, which are shaded


@hep_style()
def marginal_figure(record: Posterior, *, scan: Scan | None = None) -> Figure:
    """Draw the posterior of the parameter of interest with its credible intervals.

    Args:
        record: The posterior; where it did not mix, the figure says so instead.
        scan: Profile likelihood of the same parameter, drawn as exp(-q/2) with the same area.
    """
    title = f"Posterior of {label(record.poi)}"
    if not record.mixed:
        return message_figure(title, "\n".join(textwrap.wrap(f"Nothing to draw: {'; '.join(record.objections)}", 90)))
    x = record.pooled(record.poi)
    low, high = (float(v) for v in np.quantile(x, [1.0 - _SHARE, _SHARE]))
    edges = np.linspace(low, high, 1 + bins_for(x, low, high))
    density = np.histogram(x, edges)[0] / (x.size * np.diff(edges))
    figure = new_figure(5.4, 4.4)
    axes = figure.add_subplot()
    axes.stairs(density, edges, fill=True, color=PALE)
    axes.stairs(density, edges, color=BLUE, linewidth=1.0, label="posterior")
    top = float(np.max(density))
    if scan is not None:
        top = max(top, _draw_profile(axes, scan, edges))
    for n, cl in enumerate(LEVELS):
        _mark(axes, record.interval(record.poi, cl), -0.05 * top * (1 + 2 * n), INK)
        _mark(axes, record.highest_density(record.poi, cl), -0.05 * top * (2 + 2 * n), PALETTE[4])
    axes.axhline(0.0, color=FAINT, linewidth=0.6)
    axes.set_ylim(-0.05 * top * (1 + 2 * len(LEVELS)), 1.08 * top)
    axes.set_xlim(low, high)
    axes.set_yticks([t for t in axes.get_yticks() if 0.0 <= t <= top])
    parameter = record.fit.parameters[record.poi]
    axes.set_xlabel(with_unit(symbol(record.poi, parameter.latex), parameter.unit))
    axes.set_ylabel("probability density")
    axes.plot([], [], color=INK, label="equal-tailed")
    axes.plot([], [], color=PALETTE[4], label="highest density")
    levels = " and ".join(f"{100 * cl:.4g} %" for cl in LEVELS)
    figure.suptitle(f"{title}, intervals of {levels}", x=0.01, ha="left", fontsize=10)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _draw_profile(axes: Axes, scan: Scan, edges: FloatArray) -> float:
    """The profile likelihood with the area that it has under the axis; its height."""
    x, q = profile_curve(scan)
    inside = np.isfinite(q) & (x >= edges[0]) & (x <= edges[-1])
    if np.sum(inside) < 2:
        return 0.0
    height = np.exp(-0.5 * q[inside])
    height = height / np.trapezoid(height, x[inside])
    axes.plot(x[inside], height, color=ORANGE, linestyle="-.", label="profile likelihood, same area")
    return float(np.max(height))


def _mark(axes: Axes, interval: CredibleInterval, y: float, colour: str) -> None:
    axes.plot([interval.low, interval.high], [y, y], color=colour, marker="|", markersize=6, linewidth=1.2)


@hep_style()
def chains_figure(record: Posterior) -> Figure:
    """Draw samples in order and ranks by chain, of the parameter of interest and of the one that mixed worst."""
    worst = min(record.mixing, key=lambda name: np.nan_to_num(record.mixing[name].ess, nan=-1.0))
    names = list(dict.fromkeys([record.poi, worst]))
    figure = new_figure(PAGE, 1.0 + 2.1 * len(names))
    for row, name in enumerate(names):
        trace, ranks = (figure.add_subplot(len(names), 2, 2 * row + column) for column in (1, 2))
        _draw_trace(trace, record.samples[name])
        _draw_ranks(ranks, record.samples[name])
        parameter = record.fit.parameters[name]
        trace.set_ylabel(with_unit(symbol(name, parameter.latex), parameter.unit))
        quality = record.mixing[name]
        trace.set_title(plain(f"R-hat {quality.r_hat:.4f}, effective samples {quality.ess:.0f}"), fontsize=8)
    headline(figure, f"Chains: {label(record.poi)}" + (f", and the worst, {label(worst)}" if len(names) > 1 else ""))
    remark_below(figure, "; ".join(record.objections))
    return figure


def _draw_trace(axes: Axes, samples: FloatArray) -> None:
    for n, chain in enumerate(samples):
        axes.plot(chain, color=PALETTE[n % len(PALETTE)], linewidth=0.4, alpha=0.8)
    axes.set_xlim(0, samples.shape[1] - 1)
    axes.set_xlabel("sample")


def _draw_ranks(axes: Axes, samples: FloatArray) -> None:
    """How the samples of each chain lie among those of all, in excess of a uniform distribution."""
    ranks = np.argsort(np.argsort(samples, axis=None)).reshape(samples.shape)
    edges = np.linspace(0, samples.size, _RANKS + 1)
    expected = samples.shape[1] / _RANKS
    error = _SIGMAS * np.sqrt(expected * (1.0 - 1.0 / _RANKS))
    axes.fill_between([0, samples.size], expected - error, expected + error, color=GREY, alpha=0.25, linewidth=0)
    axes.axhline(expected, color=GREY, linewidth=0.8)
    for n, chain in enumerate(ranks):
        axes.stairs(np.histogram(chain, edges)[0], edges, color=PALETTE[n % len(PALETTE)], linewidth=1.0)
    axes.set_xlim(0, samples.size)
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("rank among all samples")
    axes.set_ylabel("samples")


def save_posterior_figures(
    directory: str | Path, record: Posterior, *, scan: Scan | None = None, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Store the figures of a posterior: the parameter of interest, and the chains.

    Args:
        directory: Where to; made if it is not there.
        record: The posterior.
        scan: Profile likelihood of its parameter of interest.
        formats: File formats that matplotlib knows, by suffix.

    Returns:
        The files, in the order in which one would read them.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    written = save_figure(marginal_figure(record, scan=scan), folder, "posterior", formats)
    return [*written, *save_figure(chains_figure(record), folder, "chains", formats)]
