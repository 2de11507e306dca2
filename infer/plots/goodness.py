"""Goodness of fit: the statistic of toys, with the observed value among them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import gammaln, xlogy

from infer.inference.goodness import GoodnessTest, ToyTail
from infer.plots.style import ORANGE, RED, hep_style, label, message_figure, new_figure, plain, remark_above
from infer.plots.toys import bins_for, draw_counts, write_counts_axis

FloatArray = npt.NDArray[np.float64]

_SHARE = 0.998  # of the toys that the axis holds
_MARGIN = 0.05  # of the axis, beyond what it holds


@hep_style()
def goodness_figure(test: GoodnessTest, toys: ToyTail) -> Figure:
    """Draw the distribution of a statistic over toys; beside it the chi2 density, where the test has one.

    Args:
        test: One test.
        toys: Its toys.
    """
    where = "" if test.channel is None else f" of {label(test.channel, 24)}"
    title = f"Goodness of fit: {test.name}{where}"
    values = toys.values[np.isfinite(toys.values)]
    if not values.size or test.observed is None:
        return message_figure(title, "Nothing to draw: no toy converged.")
    low, high = _window(values, test.observed)
    edges = np.linspace(low, high, 1 + bins_for(values, low, high))
    figure = new_figure(5.4, 4.2)
    axes = figure.add_subplot()
    counts = draw_counts(axes, values, edges, "toys")
    peak = _draw_chi2(axes, test, values.size, edges)
    axes.axvline(test.observed, color=RED, linewidth=1.4, label=f"observed: {test.observed:.4g}")
    axes.set_xlim(low, high)
    axes.set_ylim(0.0, 1.12 * max(float(np.max(counts + np.sqrt(counts), initial=1.0)), peak))
    write_counts_axis(axes, edges)
    axes.set_xlabel(test.name)
    figure.suptitle(plain(f"{title}, {_verdict(toys)}"), x=0.01, ha="left", fontsize=10)
    remark_above(axes, _remarks(toys, values, low, high))
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _window(values: FloatArray, observed: float) -> tuple[float, float]:
    """From the smallest value to the largest, a few far toys left out."""
    low = min(float(np.min(values)), observed)
    high = max(float(np.quantile(values, _SHARE)), observed)
    margin = _MARGIN * ((high - low) or max(abs(high), 1.0))
    return low - margin, high + margin


def _draw_chi2(axes: Axes, test: GoodnessTest, n: int, edges: FloatArray) -> float:
    """The density of chi2 times the toys of a bin, and its height; nothing where the test has none."""
    if test.n_dof is None or test.n_dof < 1:
        return 0.0
    half = 0.5 * test.n_dof
    x = np.linspace(max(edges[0], 1e-3 * edges[-1]), edges[-1], 400)
    density = np.exp(xlogy(half - 1.0, 0.5 * x) - 0.5 * x - gammaln(half)) / 2.0
    y = n * (edges[1] - edges[0]) * density
    axes.plot(x, y, color=ORANGE, linestyle="-.", linewidth=1.6, label=f"chi2, {test.n_dof} degrees of freedom")
    return float(np.max(y)) if test.n_dof > 1 else 0.0


def _verdict(toys: ToyTail) -> str:
    low, high = toys.clopper_pearson()
    return f"p = {toys.p:.3g} ({low:.3g} to {high:.3g})"


def _remarks(toys: ToyTail, values: FloatArray, low: float, high: float) -> list[str]:
    outside = int(np.sum((values < low) | (values > high)))
    failed = f"{toys.n_failed} of {toys.n} toys failed; the interval holds whatever they were worth"
    return [*([failed] if toys.n_failed else []), *([f"toys outside the axis: {outside}"] if outside else [])]
