r"""Drop systematics that do next to nothing, and record it.

By size: a systematic is dropped from a sample where it does less than stated.  The norm of a variation v of n is
:math:`|\sum v / \sum n - 1|`, its shape the largest :math:`|v_b \sum n / (n_b \sum v) - 1|`, each the larger of the two
sides.  A normsys goes if its norm is below the limit, a histosys if norm and shape are.  With ``parts``, a histosys
whose shape alone is below becomes a normsys, and one whose norm alone is below gets the norm of the nominal template.

By impact: a systematic is dropped from everywhere if holding its parameter one standard deviation after the fit off its
best fit, or at zero if that is farther away, moves the parameter of interest by less than stated, to first order, and
if that holds for all that go together.  What moving its *auxiliary datum* does would not do: that is small also where
the data measure the parameter well and pull it, and there dropping it moves the result far.

What pruning does to a result is not known before it is measured: see `infer.hygiene.effects`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from infer.documents import fail, listed
from infer.hygiene.history import Document, Step, Transformed
from infer.hygiene.places import ROUNDING, FloatArray, Systematic, Targets, copied, finished, places
from infer.io.workspaces import Names

REFERENCES = ("sample", "total")
"""What effects are relative to: the sample itself, or all samples of the channel."""


@dataclass(frozen=True)
class Smallness:
    """Below what a systematic is dropped.

    Attributes:
        norm: Relative change of the sum.
        shape: Relative change of any bin, apart from the norm.
        of: One of `REFERENCES`.
        parts: Whether norm and shape of a histosys are dropped by themselves.
    """

    norm: float = 0.0
    shape: float = 0.0
    of: str = "sample"
    parts: bool = False


def prune(
    document: Mapping[str, object],
    limits: Smallness,
    *,
    targets: Targets | None = None,
    history: Sequence[Step] = (),
    again: bool = False,
    source: str = "workspace",
) -> Transformed:
    """Drop systematics from samples where they do less than stated; see `infer.hygiene.pruning`.

    Args:
        document: A pyhf workspace.
        limits: Below what.
        targets: Which normsys and histosys; None takes all.
        history: What had been done to the workspace.
        again: Whether to do again what the history has.
        source: What messages call the workspace.

    Raises:
        WorkspaceError: The workspace or a limit is not valid, or a name unknown.
    """
    if limits.of not in REFERENCES:
        raise fail(source, f"effects relative to {limits.of!r}", f"take one of {listed(REFERENCES)}")
    if limits.norm < 0.0 or limits.shape < 0.0 or max(limits.norm, limits.shape) <= 0.0:
        problem = f"the limits are {limits.norm:g} for norms and {limits.shape:g} for shapes"
        raise fail(source, problem, "give at least one above 0, such as 0.005")
    targets = targets or Targets()
    result = copied(document, targets, source)
    settings = {"norm": limits.norm, "shape": limits.shape, "of": limits.of}
    steps: list[Step] = []
    for place in places(result, targets, ("normsys", "histosys")):
        steps += _pruned(place, limits, settings)
    _forget_settings(result, document)
    return finished(result, steps, {}, history, again=again, source=source)


def prune_names(
    document: Mapping[str, object],
    names: Mapping[str, float],
    *,
    limit: float,
    history: Sequence[Step] = (),
    source: str = "workspace",
) -> Transformed:
    """Drop systematics by name, from everywhere, for the impact that they have.

    Args:
        document: A pyhf workspace.
        names: Impact on the parameter of interest in units of its uncertainty, by modifier.
        limit: Below what impact they are; it is recorded.
        history: What had been done to the workspace.
        source: What messages call the workspace.

    Raises:
        WorkspaceError: The workspace is not valid, or a name is unknown.
    """
    if not names:
        return finished(copy.deepcopy(dict(document)), (), {}, history, again=True, source=source)
    targets = Targets(modifiers=tuple(names))
    result = copied(document, targets, source)
    steps = []
    for place in places(result, targets, ("normsys", "histosys")):
        impact = names[place.modifier["name"]]
        steps.append(place.dropped("prune impact", {"below": limit, "impact": impact}))
        place.remove()
    _forget_settings(result, document)
    return finished(result, steps, {}, history, again=True, source=source)


def _pruned(place: Systematic, limits: Smallness, settings: Mapping[str, Any]) -> list[Step]:
    """Drop a systematic, or a part of it, if it is below the limits."""
    norm, shape = _effects(place, limits.of)
    small_norm, small_shape = norm < limits.norm, shape < limits.shape
    flat = place.modifier["type"] == "normsys"
    before, sides = place.norms, place.sides
    if small_norm and (flat or small_shape):
        step = place.dropped("prune", settings)
        place.remove()
        return [step]
    if flat or not limits.parts or small_norm == small_shape:
        return []
    ratios = [1.0 + n for n in before]
    if min(ratios) <= 0.0:
        return []
    if small_norm:
        if norm <= ROUNDING:
            return []
        place.put(*(side / ratio for side, ratio in zip(sides, ratios, strict=True)))
        return [place.step("prune norm", settings, before, sides)]
    place.modifier["type"], place.modifier["data"] = "normsys", dict(zip(("lo", "hi"), ratios, strict=True))
    step = place.step("prune shape", settings, before, (sides[0], sides[1]))
    _merge_normsys(place)
    return [step]


def _effects(place: Systematic, of: str) -> tuple[float, float]:
    """Norm and shape of a systematic; an infinite shape where it fills bins that were empty."""
    nominal, total = place.nominal, place.total
    norm = max(map(abs, place.norms))
    shape = 0.0
    if place.modifier["type"] == "histosys":
        shape = max(_shape(nominal, side, total if of == "total" else nominal) for side in place.sides)
    if of == "total":
        whole = float(np.sum(total))
        norm *= abs(float(np.sum(nominal))) / whole if whole > 0.0 else np.inf
    return norm, shape


def _shape(nominal: FloatArray, side: FloatArray, reference: FloatArray) -> float:
    """Largest change of a bin with the norm of the nominal template."""
    before, after = float(np.sum(nominal)), float(np.sum(side))
    if before * after <= 0.0:
        return 0.0 if np.array_equal(nominal, side) else np.inf
    change = np.abs(side * (before / after) - nominal)
    change[change <= ROUNDING * np.abs(nominal)] = 0.0
    safe = np.where(reference != 0.0, np.abs(reference), 1.0)
    return float(np.max(np.where(reference != 0.0, change / safe, np.where(change > 0.0, np.inf, 0.0))))


def _merge_normsys(place: Systematic) -> None:
    """Make one of two normsys of one name: their factors multiply."""
    name, modifiers = place.modifier["name"], place.sample["modifiers"]
    for other in modifiers:
        if other is not place.modifier and other["name"] == name and other["type"] == "normsys":
            factors = {side: other["data"][side] * place.modifier["data"][side] for side in ("lo", "hi")}
            other["data"] = factors
            place.remove()
            return


def _forget_settings(result: Document, document: Mapping[str, object]) -> None:
    """Settings of parameters that were used and are not any more."""
    gone = set(Names.of(dict(document)).modifiers) - set(Names.of(result).modifiers)
    for measurement in result["measurements"]:
        config = measurement["config"]
        config["parameters"] = [entry for entry in config["parameters"] if entry["name"] not in gone]
