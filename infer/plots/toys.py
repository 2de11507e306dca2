"""Toys: how best fits and pulls are distributed, beside the normal curves that they should follow.

Histograms count the toys that converged; those that did not are named on every figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.special import ndtr

from infer.inference.toys import Toys
from infer.numerics.garwood import poisson_interval
from infer.numerics.rounding import MINUS
from infer.plots.style import (
    BLUE,
    FAINT,
    INK,
    ORANGE,
    PALE,
    PALER,
    PALETTE,
    RED,
    elide,
    hep_style,
    label,
    message_figure,
    new_figure,
    no_ticks,
    plain,
    remark_above,
    remark_below,
    signed,
    with_error,
)

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_PURPLE = PALETTE[4]
_FEWEST_BINS, _MOST_BINS = 12, 48
_TAIL = 5.0  # half-widths of the central 68 % that a histogram shows on either side of the median, at most
_MARGIN = 0.11  # of the axis, beyond a bound
_PULL_REACH = (4.0, 6.0)  # of the axis of pulls: at least and at most
_SHOWN_FAILURES = 9
_STRONG = 3.0  # standard errors beyond which a number is printed in red


@hep_style()
def estimates_figure(record: Toys) -> Figure:
    """Draw the distribution of the best fits of the parameter of interest.

    Beside it stands the normal curve about the truth whose width is the mean standard deviation by the
    Hessian.  Toys that ended at a bound are drawn apart, in the region that the bound excludes.

    Args:
        record: Toys of one truth.
    """
    values = record.values
    if not values.size:
        return message_figure(_title("Best fits", record), "Nothing to draw: no toy converged.")
    figure = new_figure(5.4, 4.4)
    axes = figure.add_subplot()
    at_bound = record.columns["at_bound"][record.columns["converged"]]
    bounds = _bounds(values, at_bound)
    low, high = _window(np.append(values[~at_bound], record.truth), bounds)
    edges = np.linspace(low, high, 1 + bins_for(values[~at_bound], low, high))
    counts = draw_counts(axes, values[~at_bound], edges, "best fits")
    sigma = _mean_sigma(record)
    peak = _draw_normal(axes, record, sigma, edges)
    top = 1.12 * max(float(np.max(counts + np.sqrt(counts), initial=1.0)), peak)
    axes.set_ylim(0.0, top)
    _draw_bounds(axes, bounds, (low, high), values[at_bound], record, sigma)
    _draw_centres(axes, record)
    write_counts_axis(axes, edges)
    axes.set_xlabel(f"best fit of {label(record.poi)}")
    outside = int(np.sum((values < low) | (values > high)))
    _write_frame(figure, _title(f"Best fits of {elide(record.poi, 20)}", record), record, outside)
    return figure


@hep_style()
def poi_pull_figure(record: Toys) -> Figure:
    """Draw the distribution of the pulls of the parameter of interest beside the standard normal one.

    Args:
        record: Toys of one truth.
    """
    pulls = record.toy_pulls
    title = _title(f"Pulls of {elide(record.poi, 20)}", record)
    if not pulls.size:
        return message_figure(title, "Nothing to draw: no toy has a pull.")
    figure = new_figure(5.4, 4.4)
    axes = figure.add_subplot()
    reach = float(np.clip(1.02 * np.max(np.abs(pulls)), *_PULL_REACH))
    edges = np.linspace(-reach, reach, 1 + bins_for(pulls, -reach, reach))
    c = record.columns
    at_bound = c["at_bound"][c["converged"] & (c["sigma"] > 0.0)]
    counts = draw_counts(axes, pulls[~at_bound], edges, "toys")
    x = np.linspace(-reach, reach, 400)
    curve = pulls.size * (edges[1] - edges[0]) * _normal(x)
    top = 1.25 * max(float(np.max(counts + np.sqrt(counts))), float(np.max(curve)))
    _stack_at_bound(axes, pulls[at_bound], counts, edges, top)
    axes.plot(x, curve, color=ORANGE, linestyle="-.", linewidth=1.6, label="standard normal")
    axes.axvline(0.0, color=INK, linewidth=0.6, linestyle=":")
    axes.set_xlim(-reach, reach)
    axes.set_ylim(0.0, top)
    _write_moments(axes, pulls)
    write_counts_axis(axes, edges)
    axes.set_xlabel(r"pull $(\hat{\theta} - \theta_\mathrm{true})\,/\,\hat{\sigma}$")
    _write_frame(figure, title, record, int(np.sum(np.abs(pulls) > reach)))
    return figure


@dataclass(frozen=True)
class PullMoments:
    """Mean and width of the pulls of one parameter.

    Attributes:
        name: Parameter.
        mean: Mean of its pulls, and its standard error.
        std: Standard deviation of its pulls, and its standard error for normal ones.
        n: Toys that have one.
    """

    name: str
    mean: tuple[float, float]
    std: tuple[float, float]
    n: int

    @property
    def z(self) -> tuple[float, float]:
        """Mean minus 0 and standard deviation minus 1, in standard errors."""
        return _in_errors(*self.mean), _in_errors(self.std[0] - 1.0, self.std[1])

    @property
    def deviation(self) -> float:
        """Distance from (0, 1) in standard errors, in quadrature."""
        return float(np.hypot(*self.z))


def pull_moments(record: Toys) -> list[PullMoments]:
    """Moments of the pulls of all parameters, those first that deviate most from (0, 1)."""
    moments = [
        PullMoments(name, (p.mean, p.std / np.sqrt(p.n)), (p.std, p.std / np.sqrt(2.0 * max(p.n - 1, 1))), p.n)
        for name, p in record.pulls.items()
    ]
    return sorted(moments, key=lambda m: -m.deviation)


@hep_style()
def toy_pulls_figure(record: Toys, *, top: int | None = 40) -> Figure:
    """Draw mean and standard deviation of the pulls of all parameters, those first that deviate most.

    Args:
        record: Toys of one truth.
        top: Most parameters to draw; the rest are counted.  None draws all.
    """
    moments = pull_moments(record)
    if not moments:
        return message_figure(_title("Pulls", record), "Nothing to draw: no toy has a pull.")
    drawn = moments[:top]
    n_converged = record.n - record.n_failed
    figure = new_figure(7.6, 1.75 + 0.165 * len(drawn))
    left, right = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.0})
    hollow = [m.n < n_converged for m in drawn]
    _draw_moments(left, [m.mean for m in drawn], [m.z[0] for m in drawn], hollow, 0.0, n_converged)
    _draw_moments(right, [m.std for m in drawn], [m.z[1] for m in drawn], hollow, 1.0, 2 * n_converged)
    left.set_yticks(range(len(drawn)), [label(m.name, 32) for m in drawn], fontsize=7)
    left.set_ylim(len(drawn) - 0.4, -0.6)
    left.set_xlabel("mean of the pulls")
    right.set_xlabel("standard deviation of the pulls")
    words = ["bands: 1 and 2 standard errors; red: beyond 3"]
    if any(hollow):
        words.append("hollow: some toys have no pull, the parameter being at a bound")
    figure.suptitle(plain(_title(_pulls_words(len(moments), len(drawn)), record)), x=0.01, ha="left", fontsize=10)
    left.set_title("; ".join(words), fontsize=7.5, color=FAINT)
    remark_below(figure, failures(record))
    return figure


def _pulls_words(n: int, n_drawn: int) -> str:
    if n_drawn == n:
        return f"Pulls of {n} parameters"
    return f"The {n_drawn} largest deviations of pulls, {n - n_drawn} parameters deviate less"


def failures(record: Toys) -> str:
    """The toys without a fit, by number; empty where there are none."""
    if not record.n_failed:
        return ""
    some = ", ".join(map(str, record.failed[:_SHOWN_FAILURES])) + (", …" if record.n_failed > _SHOWN_FAILURES else "")
    return f"{record.n_failed} of {record.n} toys did not converge and are left out: {some}"


def _title(what: str, record: Toys) -> str:
    converged = "all converged" if not record.n_failed else f"{record.n_failed} failed"
    return f"{what}: {record.n} toys of truth {record.truth:.4g}, {converged}".replace("truth -", f"truth {MINUS}")


def _in_errors(difference: float, error: float) -> float:
    """A difference in standard errors; without a spread, none or infinitely many."""
    if error > 0.0:
        return difference / error
    return 0.0 if difference == 0.0 else float(np.copysign(np.inf, difference))


def _normal(x: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-0.5 * x**2) / np.sqrt(2.0 * np.pi))


def _mean_sigma(record: Toys) -> float:
    """Mean standard deviation by the Hessian, NaN where no toy has one."""
    c = record.columns
    sigma = c["sigma"][c["converged"] & (c["sigma"] > 0.0)]
    return float(np.mean(sigma)) if sigma.size else np.nan


def _bounds(values: FloatArray, at_bound: BoolArray) -> tuple[float | None, float | None]:
    """The bounds at which toys ended, None on a side where none did."""
    ended, free = values[at_bound], values[~at_bound]
    below = ended <= (np.min(free) if free.size else np.inf)
    low = float(np.min(ended[below])) if np.any(below) else None
    high = float(np.max(ended[~below])) if np.any(~below) else None
    return low, high


def _window(values: FloatArray, bounds: tuple[float | None, float | None]) -> tuple[float, float]:
    """What a histogram shows: from bound to bound where there are such, without far tails."""
    a, middle, b = np.quantile(values, (0.16, 0.5, 0.84))
    low = max(float(np.min(values)), middle - _TAIL * (middle - a)) if bounds[0] is None else bounds[0]
    high = min(float(np.max(values)), middle + _TAIL * (b - middle)) if bounds[1] is None else bounds[1]
    span = (high - low) or max(abs(high), 1.0)
    return (
        low if bounds[0] is not None else low - 0.04 * span,
        high if bounds[1] is not None else high + 0.04 * span,
    )


def bins_for(values: FloatArray, low: float, high: float) -> int:
    """Bins as wide as Freedman and Diaconis (Z. Wahrsch. 57 (1981) 453) would have them."""
    if values.size < 2:
        return _FEWEST_BINS
    spread = float(np.subtract(*np.quantile(values, (0.75, 0.25))))
    width = 2.0 * spread / np.cbrt(values.size)
    return int(np.clip((high - low) / width if width > 0.0 else 0, _FEWEST_BINS, _MOST_BINS))


def draw_counts(axes: Axes, values: FloatArray, edges: FloatArray, words: str) -> npt.NDArray[np.int64]:
    """A filled histogram with the Garwood intervals of its counts."""
    counts = np.histogram(values, edges)[0]
    axes.stairs(counts, edges, fill=True, color=PALE)
    axes.stairs(counts, edges, color=BLUE, linewidth=1.0, label=words)
    low, high = poisson_interval(counts)
    filled = counts > 0
    axes.vlines((0.5 * (edges[1:] + edges[:-1]))[filled], low[filled], high[filled], color=BLUE, linewidth=0.8)
    return np.asarray(counts)


def _draw_normal(axes: Axes, record: Toys, sigma: float, edges: FloatArray) -> float:
    """The normal curve about the truth, and its height; nothing where the Hessian gives no width."""
    if not np.isfinite(sigma):
        return 0.0
    x = np.linspace(edges[0], edges[-1], 400)
    height = record.values.size * (edges[1] - edges[0]) / sigma
    y = height * _normal((x - record.truth) / sigma)
    words = f"normal, mean σ of the Hessian: {sigma:.3g}"
    axes.plot(x, y, color=ORANGE, linestyle="-.", linewidth=1.6, label=words)
    return float(np.max(y))


def _draw_bounds(
    axes: Axes,
    bounds: tuple[float | None, float | None],
    window: tuple[float, float],
    ended: FloatArray,
    record: Toys,
    sigma: float,
) -> None:
    """Hatch what a bound excludes, with a bar there for the toys that ended at it."""
    low, high = window
    margin = _MARGIN * (high - low)
    axes.set_xlim(
        low - (margin if bounds[0] is not None else 0.0),
        high + (margin if bounds[1] is not None else 0.0),
    )
    for bound, sign in ((bounds[0], -1.0), (bounds[1], 1.0)):
        if bound is None:
            continue
        axes.axvspan(bound, bound + sign * margin, facecolor="#eeeeee", edgecolor="#bbbbbb", hatch="///", linewidth=0.0)
        axes.axvline(bound, color=FAINT, linewidth=0.8)
        other = bounds[1] if sign < 0.0 else bounds[0]
        count = int(np.sum(ended == bound)) if other is not None else ended.size
        expected = (
            f" (curve: {record.values.size * ndtr(sign * (record.truth - bound) / sigma):.0f})" if sigma > 0.0 else ""
        )
        _draw_bar(axes, bound + 0.5 * sign * margin, 0.5 * margin, count, f"at the bound {bound:.4g}{expected}")


def _draw_bar(axes: Axes, x: float, width: float, count: int, words: str) -> None:
    """A bar with its count; cut below the top, and marked so, where it would be higher."""
    top = axes.get_ylim()[1]
    height = min(float(count), 0.86 * top)
    axes.bar(x, height, width, color=_PURPLE, label=words)
    if height < count:
        for at in (0.80, 0.82):
            axes.plot([x - 0.8 * width, x + 0.8 * width], [at * top, (at + 0.02) * top], color="white", linewidth=1.5)
    axes.annotate(
        str(count), (x, height), (0.0, 3.0), textcoords="offset points", ha="center", fontsize=8, color=_PURPLE
    )


def _draw_centres(axes: Axes, record: Toys) -> None:
    """The truth, and the mean of the best fits within its standard error."""
    values = record.values
    words = f"truth {record.truth:.4g}".replace("-", MINUS)
    axes.axvline(record.truth, color=INK, linewidth=1.0, linestyle="--", label=words)
    error = record.std / np.sqrt(values.size)
    if np.isfinite(error):
        axes.axvspan(record.mean - error, record.mean + error, color=RED, alpha=0.25, linewidth=0.0)
    number = with_error(record.mean, error)
    spread = f", spread {record.std:.3g}" if np.isfinite(error) else ""
    axes.axvline(record.mean, color=RED, linewidth=1.0, label=f"mean {number}{spread}")


def _stack_at_bound(
    axes: Axes, pulls: FloatArray, counts: npt.NDArray[np.int64], edges: FloatArray, top: float
) -> None:
    """The toys whose best fit is at a bound, on top of the others."""
    if not pulls.size:
        return
    whole = counts + np.histogram(pulls, edges)[0]
    cut = f", cut off at {top:.0f}" if np.max(whole) > top else ""
    words = f"best fit at a bound: {pulls.size}{cut}"
    axes.stairs(whole, edges, baseline=counts, fill=True, color=_PURPLE, alpha=0.8, linewidth=0.0, label=words)


def _write_moments(axes: Axes, pulls: FloatArray) -> None:
    n = pulls.size
    lines = [f"{n} pulls"]
    if n > 1:
        std = float(np.std(pulls, ddof=1))
        mean = with_error(float(np.mean(pulls)), std / np.sqrt(n))
        lines.append(f"mean {mean if mean.startswith(MINUS) else f'+{mean}'}")
        lines.append(f"std {with_error(std, std / np.sqrt(2.0 * (n - 1)))}")
    axes.text(0.97, 0.95, "\n".join(lines), transform=axes.transAxes, ha="right", va="top", linespacing=1.4)


def write_counts_axis(axes: Axes, edges: FloatArray) -> None:
    """Name the axis of counts after the width of a bin."""
    axes.set_ylabel(f"toys per {edges[1] - edges[0]:.2g}")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))


def _write_frame(figure: Figure, title: str, record: Toys, outside: int) -> None:
    """Title, legend, and what a reader has to know."""
    figure.suptitle(plain(title), x=0.01, ha="left", fontsize=10)
    remark_above(figure.axes[0], [failures(record), f"toys outside the axis: {outside}" if outside else ""])
    figure.legend(loc="outside lower center", ncols=2)


def _draw_moments(
    axes: Axes,
    moments: Sequence[tuple[float, float]],
    z: Sequence[float],
    hollow: Sequence[bool],
    expected: float,
    n: int,
) -> None:
    """One row a parameter, with bands of the standard errors that n toys leave about what is expected."""
    error = 1.0 / np.sqrt(max(n, 1))
    axes.axvspan(expected - 2.0 * error, expected + 2.0 * error, color=PALER, linewidth=0.0)
    axes.axvspan(expected - error, expected + error, color=PALE, linewidth=0.0)
    axes.axvline(expected, color=INK, linewidth=0.6, linestyle=":")
    reach = 4.0 * error
    for at, ((value, bar), strength, open_) in enumerate(zip(moments, z, hollow, strict=True)):
        colour = RED if abs(strength) > _STRONG else INK
        face = "white" if open_ else colour
        axes.errorbar(value, at, xerr=bar, fmt="o", color=colour, markerfacecolor=face, markersize=3, elinewidth=1.0)
        text = signed(value, 3) if expected == 0.0 else f"{value:.3f}"
        axes.annotate(
            text, (1.0, at), (-3.0, 0.0), xycoords=axes.get_yaxis_transform(), textcoords="offset points",
            ha="right", va="center", fontsize=6.5, color=colour,
        )  # fmt: skip
        reach = max(reach, abs(value - expected) + 1.3 * bar)
    axes.set_xlim(expected - 1.05 * reach, expected + 1.45 * reach)
    no_ticks(axes, "y")
