"""Data against the rates of a model, before and after the fit: stacks, bands and ratios."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from infer.inference.yields import ChannelYields, Yields
from infer.numerics.garwood import poisson_interval
from infer.plots.style import GREY, INK, PAGE, PALETTE, RED, elide, hep_style, label, new_figure, no_ticks, remark_below

FloatArray = npt.NDArray[np.float64]

MAX_SINGLES = 6
"""Most single-bin channels with a figure of their own; more share one."""

SUMMARY = "Single-bin channels"
"""Name of the figure that they share."""

_MAX_SAMPLES = len(PALETTE)
_OTHERS = "others"
_HATCHED: dict[str, Any] = {"facecolor": "none", "edgecolor": "#444444", "hatch": "//////", "linewidth": 0.0}
_LOG_FROM = 50.0  # ratio of the largest to the smallest rate from which the axis is logarithmic


@dataclass(frozen=True, eq=False)
class Stack:
    """Bins to be drawn beside each other: of one channel, or one bin of each of several.

    Attributes:
        title: What is drawn.
        bins: Labels of the bins; None for numbers.
        prefit: Rates before the fit.
        postfit: Rates after the fit.
    """

    title: str
    bins: tuple[str, ...] | None
    prefit: ChannelYields
    postfit: ChannelYields


def stacks_of(record: Yields) -> list[Stack]:
    """What to draw: a stack per channel, and one for the single-bin channels where there are many.

    Channels whose rates are not finite, after a fit that went astray, are left out.
    """
    every = zip(record.prefit.channels, record.postfit.channels, strict=True)
    pairs = [pair for pair in every if all(np.all(np.isfinite([r.total, r.total_uncertainty])) for r in pair)]
    single = [pair for pair in pairs if len(pair[0].total) == 1]
    if len(single) <= MAX_SINGLES:
        single = []
    stacks = [
        Stack(before.name or "events", None, before, after) for before, after in pairs if (before, after) not in single
    ]
    if single:
        before, after = (_gathered(side) for side in zip(*single, strict=True))
        stacks.append(Stack(SUMMARY, tuple(rates.name for rates, _ in single), before, after))
    return stacks


def _gathered(channels: Sequence[ChannelYields]) -> ChannelYields:
    """Channels of one bin each as one channel with a bin for each."""
    names = dict.fromkeys(sample for c in channels for sample in c.samples)
    none = np.zeros(1)
    return ChannelYields(
        name=SUMMARY,
        samples={n: np.concatenate([c.samples.get(n, none) for c in channels]) for n in names},
        sample_uncertainties={
            n: np.concatenate([c.sample_uncertainties.get(n, none) for c in channels]) for n in names
        },
        total=np.concatenate([c.total for c in channels]),
        total_uncertainty=np.concatenate([c.total_uncertainty for c in channels]),
        counts=np.concatenate([c.counts for c in channels]),
        pulls=np.concatenate([c.pulls for c in channels]),
        signals=tuple(dict.fromkeys(s for c in channels for s in c.signals)),
    )


def sample_colours(record: Yields) -> dict[str, str]:
    """A colour for every sample, the same in all channels, in the order of stacking.

    The sample of the parameter of interest is red and on top; the others follow by their expected
    events, the smallest at the bottom, and beyond the palette they share the last colour.
    """
    size: dict[str, float] = {}
    for channel in record.postfit.channels:
        for name, rate in channel.samples.items():
            size[name] = size.get(name, 0.0) + float(np.sum(rate))
    signals = {s for channel in record.postfit.channels for s in channel.signals}
    backgrounds = sorted((n for n in size if n not in signals), key=lambda n: -size[n])
    ours = sorted(signals, key=lambda n: size[n])
    reds = [RED, PALETTE[6], *PALETTE[4:6]]
    free = [c for c in PALETTE if c not in reds[: max(1, len(ours))] and c != GREY]
    colours = {n: free[i] if i < len(free) else GREY for i, n in enumerate(backgrounds)}
    ordered = {n: colours[n] for n in reversed(backgrounds)}
    return ordered | {n: reds[min(i, len(reds) - 1)] for i, n in enumerate(ours)}


@hep_style()
def rates_figure(stack: Stack, colours: Mapping[str, str], *, remark: str = "") -> Figure:
    """Draw data against pre-fit and post-fit rates, each with the ratio of data to model below.

    Args:
        stack: Out of `stacks_of`.
        colours: Out of `sample_colours`.
        remark: What a reader has to know, in red: why the fit is not trustworthy, say.
    """
    sides = (("pre-fit", stack.prefit), ("post-fit", stack.postfit))
    wide = stack.bins is not None
    figure, grid = _grid(stack, wide)
    log = _logarithmic(sides)
    floor = min(_floor(rates) for _, rates in sides) if log else 0.0
    for (stage, rates), (main, ratio) in zip(sides, grid, strict=True):
        if log:
            main.set_yscale("log", nonpositive="clip")
        _draw_main(main, rates, colours, floor)
        _draw_ratio(ratio, rates)
        main.set_title(stage, fontsize=9)
        main.tick_params(labelbottom=False)
        main.set_ylim(floor, _height(sides, log=log))
        main.set_ylabel("Events" if wide else "Events per bin")
    _label_bins(stack, grid, wide)
    figure.suptitle(label(stack.title, 60), x=0.01, ha="left", fontsize=10, fontweight="bold")
    remark_below(figure, remark)
    _write_legend(figure, stack, colours)
    return figure


def _grid(stack: Stack, wide: bool) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """A figure with (main, ratio) axes for each side: side by side, or above each other if wide."""
    if not wide:
        n_bins = len(stack.postfit.total)
        figure = new_figure(min(4.6 + 0.6 * n_bins, 8.6), 3.9)
        axes = figure.subplots(2, 2, sharex="col", height_ratios=(3, 1))
        axes[0, 1].sharey(axes[0, 0])
        return figure, [(axes[0, i], axes[1, i]) for i in range(2)]
    longest = max(len(elide(name, 28)) for name in stack.bins or ("",))
    figure = new_figure(max(PAGE, 2.4 + 0.26 * len(stack.postfit.total)), 6.2 + 0.06 * longest)
    axes = figure.subplots(4, 1, sharex=True, height_ratios=(3, 1.2, 3, 1.2))
    return figure, [(axes[0], axes[1]), (axes[2], axes[3])]


def _edges(rates: ChannelYields) -> FloatArray:
    return np.arange(len(rates.total) + 1, dtype=float) + 0.5


def _draw_main(axes: Axes, rates: ChannelYields, colours: Mapping[str, str], floor: float) -> None:
    edges, below = _edges(rates), np.zeros(len(rates.total))
    for name, colour, rate in _layers(rates, colours):
        above = below + rate
        axes.stairs(
            np.maximum(above, floor), edges, baseline=np.maximum(below, floor), fill=True, color=colour, label=name
        )
        below = above
    axes.stairs(rates.total, edges, color=INK, linewidth=0.8)
    _band(axes, edges, np.maximum(rates.total - rates.total_uncertainty, floor), rates.total + rates.total_uncertainty)
    low, high = poisson_interval(rates.counts)
    bars = np.stack([rates.counts - low, high - rates.counts])
    _points(axes, rates.counts, bars)
    axes.set_xlim(edges[0], edges[-1])


def _layers(rates: ChannelYields, colours: Mapping[str, str]) -> list[tuple[str, str, FloatArray]]:
    """Name, colour and rates of every layer from below; samples without a colour of their own are one."""
    present = [n for n in colours if n in rates.samples and np.any(rates.samples[n] != 0.0)]
    small = [n for n in present if colours[n] == GREY]
    layers = [(n, colours[n], rates.samples[n]) for n in present if n not in small]
    if not small:
        return layers
    together = np.sum([rates.samples[n] for n in small], axis=0)
    return [(small[0] if len(small) == 1 else _OTHERS, GREY, together), *layers]


def _band(axes: Axes, edges: FloatArray, low: FloatArray, high: FloatArray) -> None:
    axes.stairs(
        high, edges, baseline=low, fill=True, facecolor="none", edgecolor="#444444", hatch="//////", linewidth=0.0
    )


def _points(axes: Axes, y: FloatArray, bars: FloatArray) -> None:
    x = np.arange(len(y)) + 1.0
    points = axes.errorbar(x, y, yerr=bars, fmt="o", color="black", markersize=3.5, elinewidth=1.0, zorder=5)
    if axes.get_yscale() == "linear":
        points.lines[0].set_clip_on(False)  # a point at zero is drawn in full


def _draw_ratio(axes: Axes, rates: ChannelYields) -> None:
    """Data over model, the model's uncertainty as a band, and arrowheads where points lie outside."""
    edges, total = _edges(rates), np.where(rates.total > 0.0, rates.total, np.nan)
    relative = np.nan_to_num(rates.total_uncertainty / total)
    _band(axes, edges, 1.0 - relative, 1.0 + relative)
    axes.axhline(1.0, color=INK, linewidth=0.8)
    low, high = poisson_interval(rates.counts)
    y, reach = rates.counts / total, ratio_reach(rates)
    inside = np.abs(y - 1.0) <= reach
    _points(axes, np.where(inside, y, np.nan), np.stack([y - low / total, high / total - y]))
    for marker, sign, outside in (("^", 1.0, y > 1.0 + reach), ("v", -1.0, y < 1.0 - reach)):
        x = np.flatnonzero(outside) + 1.0
        axes.plot(x, np.full_like(x, 1.0 + 0.88 * sign * reach), marker, color=RED, markersize=4.5)
    axes.set_ylim(1.0 - min(reach, 1.0), 1.0 + reach)
    axes.set_ylabel("Data / model", loc="center", fontsize=8)


def ratio_reach(rates: ChannelYields) -> float:
    """Half the height of the ratio panel, at most 2, so that most of what there is fits in."""
    total = np.where(rates.total > 0.0, rates.total, np.nan)
    needed = np.abs(rates.counts / total - 1.0) + 0.5 * np.sqrt(rates.counts) / total
    needed = np.maximum(needed, rates.total_uncertainty / total)
    needed = needed[np.isfinite(needed)]
    wanted = float(np.max(needed, initial=0.0))
    return next((reach for reach in (0.02, 0.05, 0.1, 0.25, 0.5, 1.0) if wanted <= reach), 2.0)


def _height(sides: Sequence[tuple[str, ChannelYields]], *, log: bool) -> float:
    """Upper end of the axis, the same before and after the fit."""
    tops = [np.max([poisson_interval(r.counts)[1], r.total + r.total_uncertainty], initial=0.0) for _, r in sides]
    return float(max(tops)) * (2.0 if log else 1.1) or 1.0


def _floor(rates: ChannelYields) -> float:
    """Lower end of a logarithmic axis: well below the smallest rate, not below 0.01 events."""
    return max(0.3 * float(np.min(rates.total[rates.total > 0.0], initial=np.inf)), 0.01)


def _logarithmic(sides: Sequence[tuple[str, ChannelYields]]) -> bool:
    rates = np.concatenate([r.total for _, r in sides])
    positive = rates[rates > 0.0]
    return bool(positive.size and np.max(positive) > _LOG_FROM * np.min(positive))


def _label_bins(stack: Stack, grid: Sequence[tuple[Axes, Axes]], wide: bool) -> None:
    n = len(stack.postfit.total)
    for main, ratio in grid:
        for axes in (main, ratio):
            axes.tick_params(axis="x", which="minor", bottom=False, top=False)
            if wide:
                no_ticks(axes, "x")
        if not wide:
            ratio.set_xlabel("Bin")
            main.label_outer()
            step = max(1, math.ceil(n / 12))
            ratio.set_xticks(np.arange(1, n + 1, step))
    if stack.bins is not None:
        bottom = grid[-1][1]
        bottom.set_xticks(range(1, n + 1), [label(name, 28) for name in stack.bins], rotation=90, fontsize=7)


def _write_legend(figure: Figure, stack: Stack, colours: Mapping[str, str]) -> None:
    """One legend for both sides, outside of all axes, in the order of the stack."""
    layers: dict[str, str] = {}
    for rates in (stack.postfit, stack.prefit):
        for name, colour, _ in _layers(rates, colours):
            layers.setdefault(name, colour)
    handles = [Patch(color=colour, label=label(name, 24)) for name, colour in reversed(layers.items())]
    band = Patch(label="Uncertainty", **_HATCHED)
    data = Line2D([], [], color="black", marker="o", markersize=3.5, linestyle="none", label="Data")
    figure.legend(handles=[data, *handles, band], loc="outside right upper")
