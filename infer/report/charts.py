"""The charts of a report: profile, channels, densities, published values, limits and coverage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from infer.inference.limits import UpperLimit
from infer.inference.profiles import Interval, Scan, standard_deviations
from infer.inference.yields import ChannelYields
from infer.likelihoods.gaussian.summary import MeasuredValue
from infer.likelihoods.parametric.spectrum import Spectrum
from infer.measurement import CoverageRecord, Measurement
from infer.numerics.garwood import poisson_interval
from infer.plots.profile import LEVELS, hessian_curve, profile_curve
from infer.plots.rates import Stack, ratio_reach
from infer.report import svg
from infer.report.svg import Scale

FloatArray = npt.NDArray[np.float64]

_TOP = 9.5  # of the profile likelihood
_LOG_FROM = 50.0  # ratio of the largest to the smallest rate from which the axis is logarithmic
_FEW = 2  # bins of a narrow chart, at most
_MOST_NAMES = 40  # bins with names, that are written below them


def profile_chart(scan: Scan, intervals: Sequence[Interval], *, name: str, unit: str) -> Markup:
    """The profile likelihood beside the parabola of the Hessian, with the ends of intervals.

    Args:
        scan: Of the parameter of interest.
        intervals: To be marked.
        name: What the axis is called.
        unit: Of the axis; empty for none.
    """
    width, height = 560.0, 340.0
    x, q = profile_curve(scan)
    shown = np.isfinite(q) & (q <= _TOP)
    low, high = float(np.min(x[shown])), float(np.max(x[shown]))
    margin = 0.03 * ((high - low) or 1.0)
    across, up = Scale(low - margin, high + margin, 54.0, width - 52.0), Scale(0.0, _TOP, height - 48.0, 14.0)
    parts = [svg.bottom_axis(across, up.start, _axis(name, unit)), svg.left_axis(up, 54.0, "Δ(−2 ln L)")]
    for cl in LEVELS:
        level = up(standard_deviations(cl) ** 2)
        parts += [svg.line(across.start, level, across.end, level, "guide")]
        parts += [svg.words(across.end + 6.0, level + 4.0, f"{100 * cl:.3g} %", anchor="start")]
    parts += _interval_marks(intervals, across, up)
    parabola = hessian_curve(scan.fit, scan.name, x)
    if parabola is not None:
        seen = (parabola <= _TOP) & (x >= low) & (x <= high)
        parts.append(svg.path(_points(across, up, x[seen], parabola[seen]), "curve second"))
    parts.append(svg.path(_points(across, up, x[shown], q[shown]), "curve first"))
    parts.append(svg.diamond(across(scan.fit.value(scan.name)), up(0.0), 5.0, "ink"))
    return svg.box(width, height, _profile_alt(scan, intervals), parts)


def _interval_marks(intervals: Sequence[Interval], across: Scale, up: Scale) -> list[str]:
    parts = []
    for found in intervals:
        height = up(standard_deviations(found.cl) ** 2)
        for end in (found.low, found.high):
            if end.value is not None:
                at = across(end.value)
                parts.append(svg.line(at, up(0.0), at, height if end.crossing else up(0.0) - 12.0, "drop"))
                parts.append(svg.circle(at, height if end.crossing else up(0.0), 3.5, "first"))
    return parts


def _profile_alt(scan: Scan, intervals: Sequence[Interval]) -> str:
    ends = [f"{100 * i.cl:.4g} % from {_end(i.low.value)} to {_end(i.high.value)}" for i in intervals]
    return (
        f"Curve: the profile likelihood of {scan.name}, lowest at {scan.fit.value(scan.name):.5g}; "
        f"it crosses the dashed levels at the ends of the intervals: {'; '.join(ends)}."
    )


def _end(x: float | None) -> str:
    return "no end" if x is None else f"{x:.5g}"


def stack_chart(stack: Stack, stage: str, rates: ChannelYields, colours: Mapping[str, str]) -> Markup:
    """Data on the rates of a model, stacked by sample, with data over model below.

    Args:
        stack: What is drawn.
        stage: Pre-fit or post-fit.
        rates: Of this stage, out of the stack.
        colours: Of the samples, in the order of stacking.
    """
    n = len(rates.total)
    width = 66.0 + min(max(24.0 * n, 300.0 if n > _FEW else 150.0), 900.0)
    names = stack.bins if stack.bins is not None and n <= _MOST_NAMES else None
    below = 26.0 if names is None else 18.0 + 6.6 * max(min(len(name), 28) for name in names)
    main_top, main_end, ratio_top, ratio_end = 12.0, 212.0, 224.0, 292.0
    across = Scale(0.5, n + 0.5, 58.0, width - 8.0)
    up = _height(stack, main_end, main_top)
    parts = [svg.left_axis(up, 58.0, "Events per bin", n=4)]
    parts += _layers(rates, colours, across, up)
    parts.append(_steps(across, up, rates.total))
    parts += _bands(across, up, rates.total - rates.total_uncertainty, rates.total + rates.total_uncertainty)
    low, high = poisson_interval(rates.counts)
    parts += _data(across, up, rates.counts, low, high)
    parts.append(svg.line(58.0, main_end, width - 8.0, main_end, "axis"))
    reach = max(ratio_reach(stack.prefit), ratio_reach(stack.postfit))
    parts += _ratio(rates, across, Scale(1.0 - min(reach, 1.0), 1.0 + reach, ratio_end, ratio_top))
    parts += _bin_labels(across, ratio_end, n, names)
    return svg.box(width, ratio_end + below, _stack_alt(stack.title, stage, rates), parts)


def _height(stack: Stack, bottom: float, top: float) -> Scale:
    """The vertical axis, the same before and after the fit."""
    sides = (stack.prefit, stack.postfit)
    ends = [np.append(poisson_interval(r.counts)[1], r.total + r.total_uncertainty) for r in sides]
    highest = float(np.max(np.concatenate(ends), initial=0.0)) or 1.0
    totals = np.concatenate([r.total for r in sides])
    positive = totals[totals > 0.0]
    if positive.size and np.max(positive) > _LOG_FROM * np.min(positive):
        return Scale(max(0.3 * float(np.min(positive)), 0.01), 2.0 * highest, bottom, top, log=True)
    return Scale(0.0, 1.08 * highest, bottom, top)


def _layers(rates: ChannelYields, colours: Mapping[str, str], across: Scale, up: Scale) -> list[str]:
    parts, below = [], np.zeros(len(rates.total))
    for name, colour, rate in _stacked(rates, colours):
        above = below + rate
        for at in np.flatnonzero(rate > 0.0):
            left, top = across(at + 0.5), up(float(above[at]))
            title = f"{name}, bin {at + 1}: {rate[at]:.4g}"
            size = up(float(below[at])) - top
            parts.append(svg.rect(left, top, across(at + 1.5) - left + 0.2, size, "layer", fill=colour, title=title))
        below = above
    return parts


def _stacked(rates: ChannelYields, colours: Mapping[str, str]) -> list[tuple[str, str, FloatArray]]:
    """Name, colour and rates of every layer from below; the samples that share a colour are one."""
    layers: dict[str, tuple[list[str], FloatArray]] = {}
    for name, colour in colours.items():
        rate = rates.samples.get(name)
        if rate is not None and np.any(rate != 0.0):
            names, sum_ = layers.get(colour, ([], np.zeros(len(rate))))
            layers[colour] = ([*names, name], sum_ + rate)
    return [
        (names[0] if len(names) == 1 else f"{len(names)} smaller samples", colour, rate)
        for colour, (names, rate) in layers.items()
    ]


def _steps(across: Scale, up: Scale, y: FloatArray) -> str:
    points = [(across(at + side), up(float(y[at]))) for at in range(len(y)) for side in (0.5, 1.5)]
    return svg.path(points, "outline")


def _bands(across: Scale, up: Scale, low: FloatArray, high: FloatArray) -> list[str]:
    boxes = zip(low.tolist(), high.tolist(), strict=True)
    return [
        svg.rect(across(at + 0.5), up(b), across(at + 1.5) - across(at + 0.5), up(a) - up(b), "band")
        for at, (a, b) in enumerate(boxes)
        if math.isfinite(a) and math.isfinite(b)
    ]


def _data(across: Scale, up: Scale, y: FloatArray, low: FloatArray, high: FloatArray) -> list[str]:
    parts = []
    for at, (value, a, b) in enumerate(zip(y.tolist(), low.tolist(), high.tolist(), strict=True)):
        if math.isfinite(value):
            x = across(at + 1.0)
            parts += [svg.line(x, up(a), x, up(b), "data"), svg.circle(x, up(value), 3.0, "data")]
    return parts


def _ratio(rates: ChannelYields, across: Scale, up: Scale) -> list[str]:
    total = np.where(rates.total > 0.0, rates.total, np.nan)
    relative = rates.total_uncertainty / total
    parts = [svg.left_axis(up, across.start, "Data / model", n=2)]
    parts += _bands(across, up, np.maximum(1.0 - relative, up.low), np.minimum(1.0 + relative, up.high))
    parts.append(svg.line(across.start, up(1.0), across.end, up(1.0), "axis"))
    low, high = (x / total for x in poisson_interval(rates.counts))
    ratio = rates.counts / total
    inside = (ratio <= up.high) & (ratio >= up.low)
    parts += _data(across, up, np.where(inside, ratio, np.nan), np.maximum(low, up.low), np.minimum(high, up.high))
    for at in np.flatnonzero(np.isfinite(ratio) & ~inside):
        x, sign = across(at + 1.0), 1.0 if ratio[at] > 1.0 else -1.0
        y = up(up.high if sign > 0.0 else up.low) + 7.0 * sign
        parts.append(svg.polygon([(x, y - 6.0 * sign), (x - 4.0, y), (x + 4.0, y)], "outside"))
    return parts


def _bin_labels(across: Scale, y: float, n: int, names: Sequence[str] | None) -> list[str]:
    parts = [svg.line(across.start, y, across.end, y, "axis")]
    if names is not None:
        marks = (svg.elided(name, 28) for name in names)
        return parts + [
            svg.words(across(at + 1.0) + 4.0, y + 8.0, name, anchor="end", turn=-90.0) for at, name in enumerate(marks)
        ]
    every = max(1, math.ceil(n / 16))
    return parts + [svg.words(across(float(at)), y + 16.0, str(at)) for at in range(1, n + 1, every)]


def _stack_alt(title: str, stage: str, rates: ChannelYields) -> str:
    parts = [f"{name} {np.sum(rate):.4g}" for name, rate in rates.samples.items()]
    return (
        f"{title}, {stage}, {len(rates.total)} bins: {np.sum(rates.counts):g} events observed, "
        f"{np.sum(rates.total):.5g} expected ({', '.join(parts)}); below, the ratio of data to model by bin."
    )


def spectrum_chart(spectrum: Spectrum, colours: Sequence[str]) -> Markup:
    """Events beside a fitted density, in events per bin.

    Args:
        spectrum: Of a parametric likelihood.
        colours: Of its components.
    """
    width, height = 720.0, 360.0
    edges = spectrum.edges
    size = float(np.mean(np.diff(edges)))
    density = spectrum.counts / np.diff(edges) * size
    low, high = (end / np.diff(edges) * size for end in poisson_interval(spectrum.counts))
    across = Scale(float(edges[0]), float(edges[-1]), 64.0, width - 12.0)
    up = Scale(0.0, 1.08 * float(max(np.max(high), np.max(spectrum.total * size))), height - 48.0, 12.0)
    parts = [
        svg.bottom_axis(across, up.start, _axis(spectrum.observable or "observable", spectrum.unit)),
        svg.left_axis(up, 64.0, f"Events / {size:.3g}{spectrum.unit and ' ' + spectrum.unit}"),
    ]
    sigma = spectrum.total_uncertainty
    upper = _points(across, up, spectrum.x, (spectrum.total + sigma) * size)
    lower = _points(across, up, spectrum.x, (spectrum.total - sigma) * size)
    parts.append(svg.polygon([*upper, *reversed(lower)], "spread"))
    for colour, curve in zip(colours, spectrum.components.values(), strict=False):
        line = svg.path(_points(across, up, spectrum.x, curve * size), "curve")
        parts.append(line.replace("<polyline", f'<polyline style="stroke:{colour}"'))
    parts.append(svg.path(_points(across, up, spectrum.x, spectrum.total * size), "curve first"))
    for at, value in enumerate(density.tolist()):
        x = across(0.5 * float(edges[at] + edges[at + 1]))
        parts += [
            svg.line(x, up(float(low[at])), x, up(float(high[at])), "data"),
            svg.circle(x, up(value), 2.4, "data"),
        ]
    alt = (
        f"{spectrum.name or 'Events'}: {np.sum(spectrum.counts):g} events in {len(density)} bins from {edges[0]:g} to "
        f"{edges[-1]:g}, and the fitted curve made of {', '.join(spectrum.components)}."
    )
    return svg.box(width, height, alt, parts)


def forest_chart(
    measured: Sequence[MeasuredValue], combinations: Mapping[str, Measurement], result: Measurement, *, unit: str
) -> Markup:
    """Published values above each other, partial combinations, and the combination as a band.

    Args:
        measured: Published measurements.
        combinations: Partial combinations by name.
        result: The combination.
        unit: Of the axis; empty for none.
    """
    rows = [(m.name, m.value, m.total, m.total, m.stat) for m in measured]
    for name, m in (*combinations.items(), ("Combined", result)):
        rows.append((name, m.value, m.total.down or 0.0, m.total.up or 0.0, m.stat.size or 0.0))
    left = 24.0 + 7.4 * max(min(len(name), 30) for name, *_ in rows)
    width, step, top = left + 440.0, 30.0, 14.0
    bottom = top + step * len(rows)
    low, high = min(v - d for _, v, d, _, _ in rows), max(v + u for _, v, _, u, _ in rows)
    margin = 0.08 * (high - low)
    across = Scale(low - margin, high + margin, left, width - 16.0)
    down, up = (result.total.down or 0.0), (result.total.up or 0.0)
    start = across(result.value - down)
    parts = [svg.rect(start, top, across(result.value + up) - start, bottom - top, "spread")]
    parts.append(svg.line(across(result.value), top, across(result.value), bottom, "guide"))
    first_sum = len(measured)
    for at, (name, value, lower, upper, stat) in enumerate(rows):
        y = top + step * (at + 0.5)
        css = "first" if at >= first_sum else "data"
        parts.append(svg.words(left - 12.0, y + 4.0, svg.elided(name, 30), "label", anchor="end"))
        parts.append(svg.line(across(value - lower), y, across(value + upper), y, f"total {css}"))
        parts.append(svg.line(across(value - stat), y, across(value + stat), y, f"stat {css}"))
        parts.append(svg.circle(across(value), y, 4.5, css))
    parts.append(svg.bottom_axis(across, bottom, _axis(result.poi, unit)))
    values = "; ".join(f"{name} {value:.6g} ± {max(lower, upper):.3g}" for name, value, lower, upper, _ in rows)
    return svg.box(width, bottom + 40.0, f"Values with total and statistical uncertainties: {values}.", parts)


def limit_chart(limit: UpperLimit, *, unit: str) -> Markup:
    """The observed limit on the bands of the expected ones.

    Args:
        limit: With an observed limit.
        unit: Of the axis; empty for none.
    """
    width, y = 640.0, 36.0
    known = [x for x in (limit.observed, *limit.expected) if x is not None]
    across = Scale(0.0, 1.1 * max(known), 20.0, width - 20.0)
    parts = []
    for (a, b), css in zip(((0, 4), (1, 3)), ("two", "one"), strict=True):
        low, high = limit.expected[a], limit.expected[b]
        if low is not None and high is not None:
            parts.append(svg.rect(across(low), y - 14.0, across(high) - across(low), 28.0, f"sigma-{css}"))
    if limit.expected[2] is not None:
        parts.append(svg.line(across(limit.expected[2]), y - 18.0, across(limit.expected[2]), y + 18.0, "median"))
    if limit.observed is not None:
        parts.append(svg.line(across(limit.observed), y - 22.0, across(limit.observed), y + 22.0, "observed"))
    parts.append(svg.bottom_axis(across, y + 28.0, _axis(limit.poi, unit)))
    return svg.box(width, y + 68.0, f"{limit}.", parts)


def coverage_chart(record: CoverageRecord, *, name: str) -> Markup:
    """Coverage with its Clopper-Pearson intervals, beside what is claimed.

    Args:
        record: Of one method and confidence level.
        name: Of the parameter of interest.
    """
    points = [p for p in record.points if math.isfinite(p.truth)]
    width, height = 640.0, 260.0
    truths = [p.truth for p in points]
    span = (max(truths) - min(truths)) or max(1.0, abs(truths[0]))
    across = Scale(min(truths) - 0.1 * span, max(truths) + 0.1 * span, 62.0, width - 52.0)
    lows, highs = [p.clopper_pearson[0] for p in points], [p.clopper_pearson[1] for p in points]
    reach = 1.3 * max(0.02, record.cl - min(lows), max(highs) - record.cl)
    up = Scale(max(100.0 * (record.cl - reach), 0.0), min(100.0 * (record.cl + reach), 100.0), height - 48.0, 14.0)
    claimed = up(100.0 * record.cl)
    parts = [svg.bottom_axis(across, up.start, f"true {name}"), svg.left_axis(up, 62.0, "Coverage [%]")]
    parts += [svg.line(across.start, claimed, across.end, claimed, "guide")]
    parts += [svg.words(across.end + 4.0, claimed + 4.0, "claimed", anchor="start")]
    for point, low, high in zip(points, lows, highs, strict=True):
        x = across(point.truth)
        parts += [
            svg.line(x, up(100.0 * low), x, up(100.0 * high), "data"),
            svg.circle(x, up(100 * point.coverage), 4.0, "data"),
        ]
    found = "; ".join(f"{100 * p.coverage:.1f} % at {p.truth:.4g}" for p in points)
    return svg.box(
        width, height, f"Coverage of the {record.method} interval, claimed {100 * record.cl:.4g} %: {found}.", parts
    )


def _points(across: Scale, up: Scale, x: FloatArray, y: FloatArray) -> list[tuple[float, float]]:
    return [(across(a), up(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True)]


def _axis(name: str, unit: str) -> str:
    return f"{name} [{unit}]" if unit else name
