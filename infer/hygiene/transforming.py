"""Symmetrise and smooth the systematics of a workspace, and record it.

Each function takes a decoded pyhf workspace, leaves it alone, and returns a new one with the record of what was done.
Nothing happens by itself: every transformation has a name, and what it does is what `infer.numerics.smoothing` says.

``symmetrise``
    Both sides get one shift with opposite signs.  A normsys with the factors 1 + d and 1 + u gets 1 - s and 1 + s.
``smooth``
    The relative shifts of a histosys are smoothed, each side by itself; the total of each side stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from infer.documents import fail, listed
from infer.hygiene.history import Step, Transformed
from infer.hygiene.places import ROUNDING, FloatArray, Systematic, Targets, copied, finished, places
from infer.numerics.smoothing import (
    MIN_POINTS,
    SYMMETRISATIONS,
    merge_bins,
    smooth_353qh_twice,
    smooth_lowess,
    smooth_parabola,
    smoothed_template,
    symmetrised,
)

SMOOTHINGS = ("353qh-twice", "lowess", "parabola", "merge")
"""Ways to smooth, by name."""


# ---------------------------------------------------------------------------------------------- symmetrising


def symmetrise(
    document: Mapping[str, object],
    *,
    method: str = "average",
    targets: Targets | None = None,
    history: Sequence[Step] = (),
    again: bool = False,
    source: str = "workspace",
) -> Transformed:
    """Make both sides of systematics mirror one another.

    Args:
        document: A pyhf workspace.
        method: ``average``, ``maximum``, ``mirror-up`` or ``mirror-down``; see `infer.numerics.smoothing.symmetrised`.
        targets: Which normsys and histosys; None takes all.
        history: What had been done to the workspace.
        again: Whether to do again what the history has.
        source: What messages call the workspace.

    Raises:
        WorkspaceError: The workspace is not valid, a name is unknown, or a normsys would get a factor that is not
            positive.
    """
    if method not in SYMMETRISATIONS:
        raise fail(source, f"symmetrisation by {method!r}", f"take one of {listed(SYMMETRISATIONS)}")
    targets = targets or Targets()
    result = copied(document, targets, source)
    steps, skipped = [], Counter[str]()
    for place in places(result, targets, ("normsys", "histosys")):
        before, sides = place.norms, place.sides
        change = _symmetrise_normsys if place.modifier["type"] == "normsys" else _symmetrise_histosys
        if change(place, method, source):
            steps.append(place.step(f"symmetrise {method}", {}, before, sides))
        else:
            skipped["symmetric already"] += 1
    return finished(result, steps, skipped, history, again=again, source=source)


def _symmetrise_normsys(place: Systematic, method: str, source: str) -> bool:
    down, up = (np.asarray([norm]) for norm in place.norms)
    if abs(down[0] + up[0]) <= ROUNDING:
        return False
    shift = float(symmetrised(down, up, method)[0])
    if abs(shift) >= 1.0:
        where = f"{source}: channel {place.channel!r}, sample {place.sample['name']!r}"
        problem = f"modifier {place.modifier['name']!r} would get the factor {1.0 - abs(shift):.3g}"
        raise fail(where, problem, "take another method, or leave it out")
    place.modifier["data"] = {"lo": 1.0 - shift, "hi": 1.0 + shift}
    return True


def _symmetrise_histosys(place: Systematic, method: str, source: str) -> bool:  # noqa: ARG001  # one signature for both
    nominal = place.nominal
    down, up = (side - nominal for side in place.sides)
    if float(np.max(np.abs(down + up))) <= ROUNDING * float(np.max(np.abs(nominal))):
        return False
    shift = symmetrised(down, up, method)
    place.put(nominal - shift, nominal + shift)
    return True


# ------------------------------------------------------------------------------------------------- smoothing


def smooth(
    document: Mapping[str, object],
    *,
    method: str = "353qh-twice",
    below: float = 0.05,
    targets: Targets | None = None,
    history: Sequence[Step] = (),
    again: bool = False,
    source: str = "workspace",
) -> Transformed:
    """Smooth the shapes of histosys, bin by bin along their channel; the totals of both sides stay.

    Args:
        document: A pyhf workspace.
        method: One of `SMOOTHINGS`.  ``parabola`` weights bins by the statistical uncertainty of the nominal template
            where a staterror quotes one, else by its content; ``merge`` needs the staterror.
        below: Relative statistical uncertainty below which bins are merged no further; ``merge`` only.
        targets: Which histosys; None takes all.
        history: What had been done to the workspace.
        again: Whether to do again what the history has.
        source: What messages call the workspace.

    Raises:
        WorkspaceError: The workspace is not valid, a name or the method is unknown, or a smoothed template cannot keep
            its total.
    """
    if method not in SMOOTHINGS:
        raise fail(source, f"smoothing by {method!r}", f"take one of {listed(SMOOTHINGS)}")
    if not 0.0 < below < 1.0:
        raise fail(source, f"bins are merged below an uncertainty of {below:g}", "give a number between 0 and 1")
    targets = targets or Targets()
    result = copied(document, targets, source)
    settings = {"below": below} if method == "merge" else {}
    steps, skipped = [], Counter[str]()
    for place in places(result, targets, ("histosys",)):
        reason = _unfit(place, method)
        if reason:
            skipped[reason] += 1
            continue
        before, sides = place.norms, place.sides
        place.put(*(_smoothed(place, side, method, below, source) for side in sides))
        steps.append(place.step(f"smooth {method}", settings, before, sides))
    return finished(result, steps, skipped, history, again=again, source=source)


def _unfit(place: Systematic, method: str) -> str:
    """Why a histosys cannot be smoothed, empty if it can."""
    if int(np.count_nonzero(place.nominal)) < MIN_POINTS:
        return f"fewer than {MIN_POINTS} bins with a content"
    if method == "merge" and not np.any(place.statistical > 0.0):
        return "no staterror says how well its bins are known"
    return ""


def _smoothed(place: Systematic, side: FloatArray, method: str, below: float, source: str) -> FloatArray:
    nominal = place.nominal
    live = nominal != 0.0
    shift = side[live] / nominal[live] - 1.0
    if method == "merge":
        groups = merge_bins(nominal[live], place.statistical[live], below=below)
        new = _group_means(groups, nominal[live], side[live])
    elif method == "parabola":
        new = smooth_parabola(shift, _weights(nominal[live], place.statistical[live]))
    else:
        new = _PLAIN[method](shift)
    try:
        return smoothed_template(nominal, side, new)
    except ValueError:
        where = f"{source}: channel {place.channel!r}, sample {place.sample['name']!r}"
        problem = f"modifier {place.modifier['name']!r}, smoothed by {method}, cannot keep its total"
        raise fail(where, problem, "take another method, or leave it out") from None


_PLAIN: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "353qh-twice": smooth_353qh_twice,
    "lowess": smooth_lowess,
}


def _group_means(groups: npt.NDArray[np.intp], nominal: FloatArray, side: FloatArray) -> FloatArray:
    """Relative shift of the sum of each group; that of a bin where the sum is zero."""
    before, after = (np.bincount(groups, weights=x)[groups] for x in (nominal, side))
    return np.where(before != 0.0, after / np.where(before != 0.0, before, 1.0), side / nominal) - 1.0


def _weights(nominal: FloatArray, statistical: FloatArray) -> FloatArray:
    """Inverse variances of relative shifts, up to a factor."""
    if np.all(statistical > 0.0):
        return np.square(nominal / statistical)
    return np.abs(nominal)
