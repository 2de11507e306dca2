"""Data against rates: stacks, colours, bands and points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from infer.inference.yields import ChannelYields, Yields
from infer.numerics.garwood import poisson_interval
from infer.plots.rates import SUMMARY, rates_figure, ratio_reach, sample_colours, stacks_of
from infer.plots.style import GREY, RED
from tests.plots.stages import drawn

Tidy = Callable[[Figure], None]


def channel(name: str, samples: dict[str, list[float]], counts: list[float], **changes: object) -> ChannelYields:
    """A channel with an uncertainty of a tenth; its signal, where it has one, is called so."""
    arrays = {name: np.asarray(rates, dtype=float) for name, rates in samples.items()}
    total = np.asarray(np.sum(list(arrays.values()), axis=0))
    signals = tuple(n for n in samples if n == "signal")
    sigmas = {name: 0.1 * rates for name, rates in arrays.items()}
    fields = {"total_uncertainty": 0.1 * total, "signals": signals, "pulls": np.zeros(len(counts)), **changes}
    return ChannelYields(name, arrays, sigmas, total, counts=np.asarray(counts, dtype=float), **fields)  # type: ignore[arg-type]


def record(*channels: ChannelYields) -> Yields:
    """The same yields before and after the fit."""
    return drawn(channels, channels)


def filled(axes: Axes) -> list[StepPatch]:
    """Layers of the stack from below: filled steps without hatches."""
    return [p for p in axes.patches if isinstance(p, StepPatch) and p.get_fill() and not p.get_hatch()]


def points(axes: Axes) -> tuple[npt.NDArray[np.float64], list[npt.NDArray[np.float64]]]:
    """Heights of the data points, and the ends of their bars."""
    (container,) = axes.containers
    line, _, (bars,) = container.lines
    return np.asarray(line.get_ydata()), [ends[:, 1] for ends in bars.get_segments() if np.size(ends)]


def test_figure_of_a_fit(search: Any, tidy: Tidy) -> None:
    """In both main panels the layers add up to the total, and points carry their Poisson intervals."""
    rates = search.yields
    colours = sample_colours(rates)
    stack = next(s for s in stacks_of(rates) if s.title == "SR")
    figure = rates_figure(stack, colours)
    assert len(figure.axes) == 4
    for axes, side in zip(figure.axes[:2], (stack.prefit, stack.postfit), strict=True):
        layers = filled(axes)
        assert len(layers) == len(side.samples)
        bottom = np.zeros(len(side.total))
        for layer in layers:
            data = layer.get_data()
            np.testing.assert_allclose(data.baseline, bottom)
            np.testing.assert_allclose(data.values - bottom, side.samples[layer.get_label()])
            bottom = data.values
        np.testing.assert_allclose(bottom, side.total)
        y, bars = points(axes)
        np.testing.assert_allclose(y, side.counts)
        np.testing.assert_allclose(np.transpose(bars), np.stack(poisson_interval(side.counts)))
        (band,) = [p for p in axes.patches if isinstance(p, StepPatch) and p.get_hatch()]
        np.testing.assert_allclose(band.get_data().values - band.get_data().baseline, 2 * side.total_uncertainty)
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == ["pre-fit", "post-fit"]
    legend = [t.get_text() for t in figure.legends[0].get_texts()]
    assert legend == ["Data", *reversed(colours), "Uncertainty"]
    tidy(figure)


def test_ratio_panel(search: Any) -> None:
    """Points are data over model, the band is the relative uncertainty around one."""
    stack = stacks_of(search.yields)[-1]
    panel = rates_figure(stack, sample_colours(search.yields)).axes[3]
    y, _ = points(panel)
    np.testing.assert_allclose(y, stack.postfit.counts / stack.postfit.total)
    (band,) = [p for p in panel.patches if isinstance(p, StepPatch)]
    np.testing.assert_allclose(band.get_data().values, 1 + stack.postfit.total_uncertainty / stack.postfit.total)


def test_colours_are_those_of_the_sample() -> None:
    """One colour for a sample in all channels; the signal is red and on top; nobody else is red."""
    rates = record(
        channel("A", {"small": [1.0], "signal": [2.0], "large": [9.0]}, [10.0]),
        channel("B", {"large": [9.0, 9.0], "small": [1.0, 1.0]}, [10.0, 9.0]),
    )
    colours = sample_colours(rates)
    assert list(colours) == ["small", "large", "signal"]
    assert colours["signal"] == RED
    assert len(set(colours.values())) == 3


def test_more_samples_than_colours(tidy: Tidy) -> None:
    """Of 14 samples the smallest share one layer, called so and lying at the bottom."""
    samples = {f"sample {i}": [float(20 - i)] * 3 for i in range(13)} | {"signal": [5.0] * 3}
    rates = record(channel("A", samples, [190.0] * 3))
    colours = sample_colours(rates)
    (stack,) = stacks_of(rates)
    figure = rates_figure(stack, colours)
    layers = filled(figure.axes[0])
    shared = [name for name, colour in colours.items() if colour == GREY]
    assert layers[0].get_label() == "others"
    np.testing.assert_allclose(layers[0].get_data().values, sum(samples[name][0] for name in shared))
    assert layers[-1].get_label() == "signal"
    assert len(layers) == 14 - len(shared) + 1
    tidy(figure)


def test_many_single_bin_channels_share_a_figure(tidy: Tidy) -> None:
    """Eight of them do, each a bin with its name; a sample that a channel lacks counts as zero there."""
    names = [f"signal_region_{i}_with_a_rather_long_name" for i in range(8)]
    singles = [channel(n, {"b": [float(i + 1)], f"only {i}": [1.0]}, [float(i)]) for i, n in enumerate(names)]
    rates = record(channel("shape", {"b": [1.0, 2.0]}, [1.0, 2.0]), *singles)
    first, summary = stacks_of(rates)
    assert (first.title, summary.title) == ("shape", SUMMARY)
    assert summary.bins == tuple(names)
    np.testing.assert_allclose(summary.postfit.samples["only 2"], np.eye(8)[2])
    np.testing.assert_allclose(summary.postfit.total, np.arange(8) + 2.0)
    figure = rates_figure(summary, sample_colours(rates))
    shown = [t.get_text() for t in figure.axes[-1].get_xticklabels()]
    assert len(shown) == 8
    assert all(t.startswith("signal_region") for t in shown)
    tidy(figure)


def test_few_single_bin_channels_have_their_own() -> None:
    """Up to six of them."""
    rates = record(*(channel(f"c{i}", {"b": [1.0]}, [1.0]) for i in range(6)))
    assert [stack.title for stack in stacks_of(rates)] == [f"c{i}" for i in range(6)]


def test_axis_is_logarithmic_over_decades(tidy: Tidy) -> None:
    """Rates over decades need one; empty bins, empty samples and counts of zero are drawn nonetheless."""
    wide = channel("A", {"b": [1000.0, 10.0, 0.5, 0.0], "none": [0.0] * 4}, [990.0, 0.0, 2.0, 0.0])
    even = channel("B", {"b": [10.0, 12.0]}, [0.0, 13.0])
    rates = record(wide, even)
    first, second = (rates_figure(stack, sample_colours(rates)) for stack in stacks_of(rates))
    assert [f.axes[0].get_yscale() for f in (first, second)] == ["log", "linear"]
    assert [layer.get_label() for layer in filled(first.axes[0])] == ["b"]
    assert second.axes[0].get_ylim()[0] == 0.0
    tidy(first)
    tidy(second)


def test_points_outside_the_ratio_panel_leave_an_arrow() -> None:
    """A point at 12 has one up, one at 0 none, as the panel reaches down to it; nothing vanishes in silence."""
    rates = record(channel("A", {"b": [1.0, 1.0, 1.0]}, [12.0, 0.0, 1.0]))
    (stack,) = stacks_of(rates)
    panel = rates_figure(stack, sample_colours(rates)).axes[2]
    arrows = [(line.get_marker(), *line.get_xdata()) for line in panel.get_lines() if line.get_marker() in "^v"]
    assert arrows == [("^", 1.0), ("v",)]
    assert panel.get_ylim() == (0.0, 3.0)
    assert np.isnan(points(panel)[0][0])


@pytest.mark.parametrize(
    ("rate", "counts", "reach"),
    [
        (10025.0, [10000.0, 10050.0], 0.02),
        (105.0, [100.0, 110.0], 0.1),
        (9.0, [9.0, 0.0], 1.0),
        (1.0, [4.0, 1.0], 2.0),
    ],
)
def test_ratio_panel_fits_the_data(rate: float, counts: list[float], reach: float) -> None:
    """Precise data get a narrow panel, poor data a wide one."""
    rates = channel("A", {"b": [rate, rate]}, counts, total_uncertainty=np.full(2, 0.001))
    assert ratio_reach(rates) == reach
