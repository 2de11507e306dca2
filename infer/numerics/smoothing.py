r"""Smoothing of sequences, and templates whose two sides mirror one another.

A systematic variation is often made of simulated samples of its own; it then carries their fluctuations, which a fit
takes for shape.  What is smoothed is not a template v but how far it is from the nominal n, relative to it,

.. math::  r_b = v_b / n_b - 1,

so that what falls steeply stays steep.  A linear r passes through `smooth_353qh_twice`, `smooth_lowess` and
`smooth_parabola` unchanged; `merge_bins` makes it a staircase.

========================  ==============================================================================
`smooth_353qh_twice`       running medians of 3, 5, 3 and a running mean: robust, knows no uncertainties
`smooth_lowess`            a straight line through the neighbours of every point, weighted by distance
`smooth_parabola`          one parabola through all points, weighted by their uncertainties
`merge_bins`               one value for bins that together are known well enough
========================  ==============================================================================
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

MIN_POINTS = 3
"""The running medians and the parabola need so many."""


def smooth_353qh_twice(values: FloatArray) -> FloatArray:
    """Smooth by running medians of 3, 5 and 3 points, arcs over flat tops, and a Hanning mean; the residuals likewise.

    What the first round takes away is smoothed likewise and added ("twice"), so that peaks keep their height.

    Source: J. Friedman, Proc. of the 1974 CERN School of Computing (cds.cern.ch/record/186223), after J. Tukey; the
    order of operations and the treatment of the ends are those of ROOT's ``TH1::SmoothArray``, without its cut at
    zero, since relative shifts have either sign.

    Args:
        values: A sequence with shape (n,), n at least 3.
    """
    rough = np.asarray(values, dtype=float)
    first = _353qh(rough)
    return first + _353qh(rough - first)


def _353qh(values: FloatArray) -> FloatArray:
    """One round: medians, arcs, mean; both ends stay where the medians left them."""
    arced = _with_arcs(_medians_353(values))
    smooth = arced.copy()
    smooth[1:-1] = 0.25 * arced[:-2] + 0.5 * arced[1:-1] + 0.25 * arced[2:]
    return smooth


def _medians_353(values: FloatArray) -> FloatArray:
    three = _running_median(values, 3)
    # Tukey's rule for an end: the median of itself, its neighbour, and where the next two points lead to
    three[0] = np.median((three[1], values[0], 3.0 * three[1] - 2.0 * three[2]))
    three[-1] = np.median((three[-2], values[-1], 3.0 * three[-2] - 2.0 * three[-3]))
    five = _running_median(three, 5)
    five[[1, -2]] = np.median(three[:3]), np.median(three[-3:])
    return _running_median(five, 3)


def _running_median(values: FloatArray, width: int) -> FloatArray:
    """Median of so many neighbours; points too close to an end for that stay."""
    result = values.copy()
    half = width // 2
    if values.size >= width:
        windows = np.lib.stride_tricks.sliding_window_view(values, width)
        result[half : values.size - half] = np.median(windows, axis=1)
    return result


def _with_arcs(values: FloatArray) -> FloatArray:
    """Three equal points at the top or bottom of a hill get the parabola that its slopes suggest."""
    result = values.copy()
    for i in range(2, values.size - 2):
        if not values[i - 1] == values[i] == values[i + 1]:
            continue
        left, right = values[i - 2] - values[i], values[i + 2] - values[i]
        if left * right <= 0.0:
            continue
        step = -1 if abs(right) > abs(left) else 1
        near, far = values[i + 2 * step], values[i - 2 * step]
        result[i] = -0.5 * far + values[i] / 0.75 + near / 6.0
        result[i + step] = 0.5 * (near - far) + values[i]
    return result


def smooth_lowess(values: FloatArray, *, span: float = 2.0 / 3.0, robust: int = 3) -> FloatArray:
    """Smooth by straight lines through neighbours, which count the less the farther they are, and outliers less still.

    Source: W. S. Cleveland, J. Am. Stat. Assoc. 74 (1979) 829, section 2, with d = 1, tricube weights in the distance
    and bisquare weights in the residual over six median residuals.

    Args:
        values: An equidistant sequence with shape (n,).
        span: Share of all points that a line goes through, Cleveland's f, at least 3 points.
        robust: Rounds in which outliers are taken down, Cleveland's t.
    """
    rough = np.asarray(values, dtype=float)
    n = rough.size
    distance = np.abs(np.arange(n)[:, None] - np.arange(n)[None, :]).astype(float)
    reach = np.sort(distance, axis=1)[:, min(n, max(MIN_POINTS, round(span * n))) - 1]
    tricube = (1.0 - np.minimum(distance / np.maximum(reach, 1.0)[:, None], 1.0) ** 3) ** 3
    smooth = _lines(rough, tricube)
    for _ in range(robust):
        residual = np.abs(rough - smooth)
        scale = 6.0 * float(np.median(residual))
        if scale <= 1e-12 * float(np.max(np.abs(rough), initial=0.0)):
            break  # half of the points lie on their lines already
        bisquare = (1.0 - np.minimum(residual / scale, 1.0) ** 2) ** 2
        smooth = _lines(rough, tricube * bisquare[None, :])
    return smooth


def _lines(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Value at every point of the straight line that its weights fit; the weighted mean where they leave one point."""
    x = np.arange(values.size, dtype=float)
    norm = np.sum(weights, axis=1)
    norm = np.where(norm > 0.0, norm, 1.0)
    mean_x, mean_y = weights @ x / norm, weights @ values / norm
    dx, dy = x[None, :] - mean_x[:, None], values[None, :] - mean_y[:, None]
    spread = np.sum(weights * dx**2, axis=1)
    slope = np.where(spread > 1e-12, np.sum(weights * dx * dy, axis=1) / np.where(spread > 1e-12, spread, 1.0), 0.0)
    line: FloatArray = mean_y + slope * (x - mean_x)
    return np.where(np.sum(weights, axis=1) > 0.0, line, values)


def smooth_parabola(values: FloatArray, weights: FloatArray | None = None) -> FloatArray:
    """The parabola that fits the points best, by least squares; a straight line through two points.

    Args:
        values: An equidistant sequence with shape (n,).
        weights: Inverse variances with shape (n,); equal ones by default.
    """
    rough = np.asarray(values, dtype=float)
    x = np.linspace(-1.0, 1.0, rough.size)
    powers = np.stack([x**k for k in range(min(MIN_POINTS, rough.size))], axis=1)
    root = np.sqrt(np.ones_like(rough) if weights is None else np.asarray(weights, dtype=float))
    coefficients = np.linalg.lstsq(powers * root[:, None], rough * root, rcond=None)[0]
    return np.asarray(powers @ coefficients)


def merge_bins(nominal: FloatArray, uncertainty: FloatArray, *, below: float) -> npt.NDArray[np.intp]:
    """Number of the group that each bin belongs to, from left to right, all groups known to a relative precision.

    A group grows until its relative uncertainty is below the given one; what is left over at the right end joins the
    last group.  All bins are one group where no group gets there.

    Args:
        nominal: Contents with shape (n,).
        uncertainty: Their statistical uncertainties with shape (n,), independent of one another.
        below: Largest relative uncertainty of a group.
    """
    group = np.zeros(len(nominal), dtype=np.intp)
    number, start = 0, 0
    for i in range(len(nominal)):
        total = float(np.sum(nominal[start : i + 1]))
        spread = float(np.sqrt(np.sum(np.square(uncertainty[start : i + 1]))))
        group[i] = number
        if total > 0.0 and spread <= below * total:
            number, start = number + 1, i + 1
    if start < len(nominal) and number > 0:
        group[start:] = number - 1
    return group


def smoothed_template(nominal: FloatArray, varied: FloatArray, smooth: FloatArray) -> FloatArray:
    """The template with smoothed relative shifts and with the total of the one before.

    Args:
        nominal: Nominal contents with shape (n,).
        varied: Varied contents with shape (n,).
        smooth: Smoothed relative shifts of the bins with a nominal content, with their number as shape.

    Raises:
        ValueError: The smoothed contents add up to nothing, so that they cannot be scaled to the total.
    """
    result = np.array(varied, dtype=float)
    live = nominal != 0.0
    result[live] = nominal[live] * (1.0 + smooth)
    wanted, got = float(np.sum(varied[live])), float(np.sum(result[live]))
    if got * wanted <= 0.0:
        if wanted == got == 0.0:
            return result
        raise ValueError("the smoothed contents do not have the sign of the total")
    result[live] *= wanted / got
    return result


def symmetrised(shift_down: FloatArray, shift_up: FloatArray, method: str) -> FloatArray:
    """The shift that both sides get, with opposite signs.

    ``average`` is half of the difference of the two shifts, (up - down) / 2: it keeps what is antisymmetric.
    ``maximum`` is, in each bin, the larger of the two in size, with the sign of up - down (of up, where that is zero).
    ``mirror-up`` and ``mirror-down`` take one side and mirror it: for variations that have only one.

    Args:
        shift_down: Down variation minus nominal.
        shift_up: Up variation minus nominal.
        method: One of `SYMMETRISATIONS`.
    """
    return SYMMETRISATIONS[method](shift_down, shift_up)


def _average(down: FloatArray, up: FloatArray) -> FloatArray:
    return 0.5 * (up - down)


def _maximum(down: FloatArray, up: FloatArray) -> FloatArray:
    sign = np.where(up != down, np.sign(up - down), np.sign(up))
    return np.asarray(sign * np.maximum(np.abs(down), np.abs(up)))


def _mirror_up(down: FloatArray, up: FloatArray) -> FloatArray:  # noqa: ARG001  # one signature for all
    return up


def _mirror_down(down: FloatArray, up: FloatArray) -> FloatArray:  # noqa: ARG001  # one signature for all
    return -down


SYMMETRISATIONS = {
    "average": _average,
    "maximum": _maximum,
    "mirror-up": _mirror_up,
    "mirror-down": _mirror_down,
}
"""Ways to make two sides mirror one another, by name."""
