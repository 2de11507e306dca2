"""Data against the rates of a model, before and after the fit: stacks, bands and ratios."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from infer.likelihoods.histfactory.rates import ChannelRates, RatesRecord
from infer.numerics.garwood import poisson_interval
from infer.plots.style import FAINT, GREY, INK, PAGE, PALETTE, RED, elide, hep_style, label, new_figure, no_ticks

FloatArray = npt.NDArray[np.float64]

MAX_SINGLES = 6
"""Most single-bin channels with a figure of their own; more share one."""

SUMMARY = "single-bin channels"
"""Name of the figure that they share."""

_MAX_SAMPLES = len(PALETTE)
_OTHERS = "others"
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
    prefit: ChannelRates
    postfit: ChannelRates


def stacks_of(record: RatesRecord) -> list[Stack]:
    """What to draw: a stack per channel, and one for the single-bin channels where there are many."""
    pairs = list(zip(record.prefit, record.postfit, strict=True))
    single = [pair for pair in pairs if len(pair[0].total) == 1]
    if len(single) <= MAX_SINGLES:
        single = []
    stacks = [Stack(before.name, None, before, after) for before, after in pairs if (before, after) not in single]
    if single:
        before, after = (_gathered(side) for side in zip(*single, strict=True))
        stacks.append(Stack(SUMMARY, tuple(rates.name for rates, _ in single), before, after))
    return stacks


def _gathered(channels: Sequence[ChannelRates]) -> ChannelRates:
    """Channels of one bin each as one channel with a bin for each."""
    names = dict.fromkeys(sample for c in channels for sample in c.samples)
    none = np.zeros(1)
    return ChannelRates(
        name=SUMMARY,
        samples={n: np.concatenate([c.samples.get(n, none) for c in channels]) for n in names},
        total=np.concatenate([c.total for c in channels]),
        total_uncertainty=np.concatenate([c.total_uncertainty for c in channels]),
        counts=np.concatenate([c.counts for c in channels]),
        signals=tuple(dict.fromkeys(s for c in channels for s in c.signals)),
    )


def sample_colours(record: RatesRecord) -> dict[str, str]:
    """A colour for every sample, the same in all channels, in the order of stacking.

    The sample of the parameter of interest is red and on top; the others follow by their expected
    events, the smallest at the bottom, and beyond the palette they share the last colour.
    """
    size: dict[str, float] = {}
    for channel in record.postfit:
        for name, rate in channel.samples.items():
            size[name] = size.get(name, 0.0) + float(np.sum(rate))
    signals = {s for channel in record.postfit for s in channel.signals}
    backgrounds = sorted((n for n in size if n not in signals), key=lambda n: -size[n])
    ours = sorted(signals, key=lambda n: size[n])
    reds = [RED, PALETTE[6], *PALETTE[4:6]]
    free = [c for c in PALETTE if c not in reds[: max(1, len(ours))] and c != GREY]
    colours = {n: free[i] if i < len(free) else GREY for i, n in enumerate(backgrounds)}
    ordered = {n: colours[n] for n in reversed(backgrounds)}
    return ordered | {n: reds[min(i, len(reds) - 1)] for i, n in enumerate(ours)}


@hep_style()
def rates_figure(stack: Stack, colours: Mapping[str, str]) -> Figure:
    """Draw data against pre-fit and post-fit rates, each with the ratio of data to model below.

    Args:
        stack: Out of `stacks_of`.
        colours: Out of `sample_colours`.
    """
    sides = (("pre-fit", stack.prefit), ("post-fit", stack.postfit))
    wide = stack.bins is not None
    figure, grid = _grid(stack, wide)
    log = _logarithmic(sides)
    for (stage, rates), (main, ratio) in zip(sides, grid, strict=True):
        _draw_main(main, rates, colours, log=log)
        _draw_ratio(ratio, rates)
        main.set_title(stage, fontsize=9)
        main.tick_params(labelbottom=False)
    _share_height([main for main, _ in grid], [rates for _, rates in sides], log=log)
    _label_bins(stack, grid, wide)
    figure.suptitle(label(stack.title, 60), x=0.01, ha="left", fontsize=10)
    _write_legend(figure, stack, colours)
    return figure


def _grid(stack: Stack, wide: bool) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """A figure with (main, ratio) axes for each side: side by side, or above each other if wide."""
    if not wide:
        figure = new_figure(PAGE + 1.2, 3.9)
        axes = figure.subplots(2, 2, sharex="col", sharey="row", height_ratios=(3, 1))
        return figure, [(axes[0, i], axes[1, i]) for i in range(2)]
    longest = max(len(elide(name, 28)) for name in stack.bins or ("",))
    figure = new_figure(max(PAGE, 2.4 + 0.26 * len(stack.postfit.total)), 6.2 + 0.06 * longest)
    axes = figure.subplots(4, 1, sharex=True, height_ratios=(3, 1.2, 3, 1.2))
    return figure, [(axes[0], axes[1]), (axes[2], axes[3])]


def _edges(rates: ChannelRates) -> FloatArray:
    return np.arange(len(rates.total) + 1) + 0.5


def _draw_main(axes: Axes, rates: ChannelRates, colours: Mapping[str, str], *, log: bool) -> None:
    edges, below = _edges(rates), np.zeros(len(rates.total))
    if log:
        axes.set_yscale("log", nonpositive="clip")
    floor = _floor(rates) if log else 0.0
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


def _layers(rates: ChannelRates, colours: Mapping[str, str]) -> list[tuple[str, str, FloatArray]]:
    """Name, colour and rates of every layer from below; samples without a colour of their own are one."""
    present = [n for n in colours if n in rates.samples and np.any(rates.samples[n] != 0.0)]
    small = [n for n in present if colours[n] == GREY]
    layers = [(n, colours[n], rates.samples[n]) for n in present if n not in small]
    if not small:
        return layers
    together = np.sum([rates.samples[n] for n in small], axis=0)
    return [(small[0] if len(small) == 1 else _OTHERS, GREY, together), *layers]


def _band(axes: Axes, edges: FloatArray, low: FloatArray, high: FloatArray) -> None:
    axes.stairs(high, edges, baseline=low, fill=True, facecolor="none", edgecolor="#444444", hatch="//////", linewidth=0.0)


def _points(axes: Axes, y: FloatArray, bars: FloatArray) -> None:
    x = np.arange(len(y)) + 1.0
    axes.errorbar(x, y, yerr=bars, fmt="o", color="black", markersize=3.5, elinewidth=1.0, zorder=5)


def _draw_ratio(axes: Axes, rates: ChannelRates) -> None:
    """Data over model, the model's uncertainty as a band, and arrowheads where points lie outside."""
    edges, total = _edges(rates), np.where(rates.total > 0.0, rates.total, np.nan)
    relative = np.nan_to_num(rates.total_uncertainty / total)
    _band(axes, edges, 1.0 - relative, 1.0 + relative)
    axes.axhline(1.0, color=INK, linewidth=0.8)
    low, high = poisson_interval(rates.counts)
    y = rates.counts / total
    reach = ratio_reach(rates)
    inside = np.isfinite(y) & (y <= 1.0 + reach)
    masked = np.where(inside, y, np.nan)
    _points(axes, masked, np.stack([y - low / total, high / total - y]))
    for x in np.flatnonzero(np.isfinite(y) & ~inside) + 1.0:
        axes.plot(x, 1.0 + 0.9 * reach, "^", color=RED, markersize=4.5)
    axes.set_ylim(1.0 - min(reach, 1.0), 1.0 + reach)
    axes.set_ylabel("Data / model", loc="center", fontsize=8)


def ratio_reach(rates: ChannelRates) -> float:
    """Half the height of the ratio panel: 0.25, 0.5, 1 or 2, so that most of what there is fits in."""
    total = np.where(rates.total > 0.0, rates.total, np.nan)
    needed = np.abs(rates.counts / total - 1.0) + 0.5 * np.sqrt(rates.counts) / total
    needed = np.maximum(needed, rates.total_uncertainty / total)
    needed = needed[np.isfinite(needed)]
    wanted = float(np.max(needed, initial=0.0))
    return next((reach for reach in (0.25, 0.5, 1.0) if wanted <= reach), 2.0)


def _share_height(axes: Sequence[Axes], sides: Sequence[ChannelRates], *, log: bool) -> None:
    top = max(
        float(np.max([*poisson_interval(r.counts)[1], *(r.total + r.total_uncertainty)], initial=0.0)) for r in sides
    )
    low = min(_floor(r) for r in sides)
    for each in axes:
        if log:
            each.set_ylim(low, top * 3.0)
        else:
            each.set_ylim(0.0, 1.12 * top or 1.0)
        each.set_ylabel("Events per bin")


def _floor(rates: ChannelRates) -> float:
    """Lower end of a logarithmic axis: a decade below the smallest rate, not below 0.01 events."""
    positive = rates.total[rates.total > 0.0]
    return max(10.0 ** math.floor(math.log10(float(np.min(positive, initial=1.0)))) / 10.0, 0.01)


def _logarithmic(sides: Sequence[tuple[str, ChannelRates]]) -> bool:
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
            ratio.label_outer()
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
    band = Patch(facecolor="none", edgecolor="#444444", hatch="//////", linewidth=0.0, label="Uncertainty")
    data = stack_data_handle()
    figure.legend(handles=[data, *handles, band], loc="outside right upper")
