"""A measurement as a function of a correlation: its value with the interval, and the interval's half-length."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from infer.inference.correlations import CorrelationScan
from infer.plots.style import BLUE, PALER, hep_style, message_figure, new_figure, remark_above, symbol, with_unit

FloatArray = npt.NDArray[np.float64]


def correlation_curve(scan: CorrelationScan) -> FloatArray:
    """Correlation, value, lower and upper end in rising order with shape (N, 4); an end that is missing is NaN."""
    rows = [
        (p.rho, p.value, np.nan if p.down is None else p.value - p.down, np.nan if p.up is None else p.value + p.up)
        for p in sorted(scan.sound, key=lambda point: point.rho)
    ]
    return np.asarray(rows, dtype=float).reshape(-1, 4)


@hep_style()
def correlation_figure(scan: CorrelationScan) -> Figure:
    """Draw a scan of a correlation; points without a certificate are left out, and counted.

    Args:
        scan: The scan.
    """
    curve = correlation_curve(scan)
    if not curve.size:
        return message_figure(str(scan), "Nothing to draw: no fit has a certificate.")
    rho, value, low, high = curve.T
    figure = new_figure(5.4, 5.0)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    above.fill_between(rho, low, high, color=PALER, linewidth=0.0, label=f"{100 * scan.cl:.4g} % CL")
    above.plot(rho, value, "o-", color=BLUE, markersize=3.5, label="best fit")
    above.set_ylabel(with_unit(symbol(scan.poi, scan.latex), scan.unit))
    above.legend()
    below.plot(rho, 0.5 * (high - low), "o-", color=BLUE, markersize=3.5)
    below.set_ylabel(with_unit("uncertainty", scan.unit))
    below.set_xlabel(r"correlation $\rho$")
    missing = len(scan.points) - len(scan.sound)
    if missing:
        remark_above(above, [f"{missing} of {len(scan.points)} fits have no certificate"])
    return figure
