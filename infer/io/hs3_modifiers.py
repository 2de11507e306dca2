"""Modifiers of HS3's ``histfactory_dist`` as those of a pyhf workspace.

HS3 leaves several things open; what is assumed is said in the remarks:

- ``vals`` of a shapesys without named constraints are relative uncertainties, as ROOT writes them, unless the ranges of
  the parameters say otherwise (ROOT's end at 1 + 5 times the relative uncertainty) or one of them exceeds 1; then they
  are absolute, as pyhs3 reads them, or refused if ROOT wrote the document, since ROOT 6.28 wrote counts; documents that
  infer wrote say which they are;
- histosys contents are those of the shifted histogram, as of ROOT and pyhs3, not differences to the nominal one, as the
  text of the standard has it;
- normsys and histosys without a named constraint have a unit Gaussian one, as ROOT gives them;
- a staterror has the constraint that it or its channel names, and Poisson if neither does, as in ROOT.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from infer.constraints import Constraint, Normal, Poisson
from infer.documents import array, described, fail, mapping, number, sequence, text
from infer.io.hs3_constraints import Measured, Values, measured

Document: TypeAlias = dict[str, Any]
FloatArray: TypeAlias = npt.NDArray[np.float64]
Meaning: TypeAlias = Literal["relative", "absolute", "counts"]

_OPEN: frozenset[str] = frozenset()
_LEGACY = ("Gauss", "Poisson", "Const", "Lognormal", "LogNormal")
_NORMSYS = {"code1": "code1", "code4": "code4", "1": "code1", "4": "code4", "5": "code4"}
_HISTOSYS = {
    "code0": "code0",
    "code2": "code2",
    "code4p": "code4p",
    "0": "code0",
    "2": "code2",
    "3": "code2",
    "4": "code4p",
}
_STRUCTURED: dict[tuple[str | None, ...], tuple[str, str]] = {
    ("mult", "exp", None): ("normsys", "code1"),
    ("mult", "poly6", "exp"): ("normsys", "code4"),
    ("add", "poly1", None): ("histosys", "code0"),
    ("add", "poly2", "poly1"): ("histosys", "code2"),
    ("add", "poly6", "poly1"): ("histosys", "code4p"),
}


@dataclass
class Reading:
    """What is known while a document is read, and what is found.

    Attributes:
        source: How messages call the document.
        distributions: Distributions by name.
        values: What numbers refer to.
        ranges: Ranges of parameters by name.
        shapesys: What ``vals`` of a shapesys are; None decides by the rules above.
        by_root: Whether ROOT wrote the document.
        constraints: Constraints by parameter, as the document names them.
        gammas: New names of bin-by-bin parameters by old ones.
        terms: Constraints of bin-by-bin parameters, by their new names.
        stat: Constraint types of staterrors, by channel and name.
        codes: Interpolation codes that were seen, by type of modifier.
        unmapped: What has no place in a workspace.
        remarks: What was assumed.
    """

    source: str
    distributions: Mapping[str, Mapping[str, Any]]
    values: Values
    ranges: Mapping[str, tuple[float, float]]
    shapesys: Meaning | None
    by_root: bool
    constraints: dict[str, Measured] = field(default_factory=dict)
    gammas: dict[str, str] = field(default_factory=dict)
    terms: dict[str, tuple[Constraint, float]] = field(default_factory=dict)
    stat: dict[tuple[str, str], str] = field(default_factory=dict)
    codes: dict[str, set[str]] = field(default_factory=lambda: {"normsys": set(), "histosys": set()})
    unmapped: list[str] = field(default_factory=list)
    remarks: dict[str, None] = field(default_factory=dict)

    def constrain(self, name: str, *, datum: float | None = None) -> None:
        """Take the distribution of a name as a constraint."""
        if name not in self.distributions:
            raise fail(self.source, f"there is no distribution {name!r}", "add it, or correct the name")
        term = measured(self.distributions[name], self.values, self.source, datum=datum)
        known = self.constraints.setdefault(term.parameter, term)
        if known != term:
            problem = f"the parameter {term.parameter!r} has two different constraints"
            raise fail(self.source, problem, "a parameter is measured once: remove one of the two")


@dataclass(frozen=True)
class Place:
    """Where a modifier stands.

    Attributes:
        channel: Its channel.
        sample: Its sample.
        nominal: Contents of the sample.
        staterror: Constraint type of the channel's staterror.
        interpolation: Interpolation that the channel gives its modifiers, None if it does not.
    """

    channel: str
    sample: str
    nominal: FloatArray
    staterror: str
    interpolation: object

    def of(self, source: str, name: str) -> str:
        """How messages call a modifier there."""
        return f"{source}: channel {self.channel!r}, sample {self.sample!r}, modifier {name!r}"


def read_modifier(reading: Reading, raw: object, at: Place, errors: Sequence[float] | None) -> Document | None:
    """One modifier of a pyhf workspace; None where it does nothing or has no place there.

    Args:
        reading: What is known.
        raw: The modifier.
        at: Where it stands.
        errors: Statistical uncertainties of the sample, None if it has none.
    """
    entry = mapping(raw, at.of(reading.source, "?"), "the modifier", frozenset({"type"}), _keys(raw))
    name = str(entry.get("name", entry.get("parameter", "?")))
    place, kind = at.of(reading.source, name), text(entry["type"], at.of(reading.source, name), "type")
    match kind:
        case "normfactor":
            return _normfactor(reading, entry, name, place)
        case "normsys" | "histosys":
            return _systematic(reading, entry, name, kind, at, place)
        case "shapesys":
            return _shapesys(reading, entry, name, at, place)
        case "shapefactor":
            stem = _stem(reading, entry, name, at, place)
            return {"name": stem, "type": "shapefactor", "data": None}
        case "staterror":
            return _staterror(reading, entry, name, at, errors, place)
    reading.unmapped.append(f"modifier {name!r} of type {kind!r} (channel {at.channel!r}, sample {at.sample!r})")
    return None


def _keys(raw: object) -> frozenset[str]:
    return frozenset(raw) if isinstance(raw, dict) else _OPEN


def _named(reading: Reading, entry: Mapping[str, Any]) -> bool:
    """Take the named constraint of a modifier, if it has one; whether it has."""
    for key in ("constraint_name", "constraint"):
        value = entry.get(key)
        if isinstance(value, str) and value not in _LEGACY:
            reading.constrain(value)
            return True
    return False


def _parameter(entry: Mapping[str, Any], place: str, default: str) -> str:
    several = entry.get("parameters")
    if "parameter" not in entry and isinstance(several, list) and len(several) == 1:
        return text(several[0], place, "parameters[0]")
    return text(entry.get("parameter", default), place, "parameter")


def _normfactor(reading: Reading, entry: Mapping[str, Any], name: str, place: str) -> Document:
    parameter = _parameter(entry, place, name)
    if not _named(reading, entry) and entry.get("constraint", entry.get("constraint_type")) in _LEGACY[:2]:
        raise fail(place, "a normfactor with a constraint type has no width", "name a constraint distribution")
    return {"name": parameter, "type": "normfactor", "data": None}


def _systematic(reading: Reading, entry: Mapping[str, Any], name: str, kind: str, at: Place, place: str) -> Document:
    parameter = _parameter(entry, place, f"alpha_{name}")
    if not _named(reading, entry):
        given = entry.get("constraint", entry.get("constraint_type", "Gauss"))
        if given != "Gauss":
            raise fail(
                place, f"its constraint is {given!r}", "a shift has a Gaussian constraint of width 1, or a named one"
            )
        if "constraint" not in entry and "constraint_type" not in entry:
            reading.remarks["normsys and histosys that name no constraint have a unit Gaussian one"] = None
        known = reading.constraints.setdefault(parameter, Measured(parameter, Normal(1.0), 0.0))
        if known.constraint != Normal(1.0) or known.datum != 0.0:
            reading.remarks[f"{parameter!r} has the constraint that a distribution names"] = None
    data = mapping(entry.get("data"), place, "data", frozenset({"lo", "hi"}), frozenset({"interpolation"}))
    _code(reading, entry.get("interpolation", data.get("interpolation", at.interpolation)), kind, place)
    if kind == "normsys":
        made: Document = {side: number(data[side], place, side) for side in ("lo", "hi")}
    else:
        made = {f"{side}_data": _contents(data[side], place, side, at) for side in ("lo", "hi")}
        reading.remarks["contents of histosys are those of the shifted histograms, not differences"] = None
    return {"name": parameter, "type": kind, "data": made}


def _contents(value: object, place: str, side: str, at: Place) -> list[float]:
    entry = mapping(value, place, side, frozenset({"contents"}), frozenset({"errors"}))
    result: list[float] = array(
        entry["contents"], place, f"{side}.contents", length=len(at.nominal), of="the sample's bins"
    ).tolist()
    return result


def _code(reading: Reading, value: object, kind: str, place: str) -> None:
    """Note the interpolation code of a modifier."""
    codes = _NORMSYS if kind == "normsys" else _HISTOSYS
    if value is None:
        code: str | None = codes["4"]
    elif isinstance(value, dict):
        parts = tuple(part if isinstance(part := value.get(key), str) else None for key in ("type", "in", "out"))
        of, named = _STRUCTURED.get(parts, ("", ""))
        code = named if of == kind else None
    else:
        code = codes.get(str(value))
    if code is None:
        shown = {k: value.get(k) for k in ("type", "in", "out")} if isinstance(value, dict) else described(value)
        reading.unmapped.append(f"interpolation {shown} of a {kind} ({place.removeprefix(reading.source + ': ')})")
        return
    reading.codes[kind].add(code)


def _stem(reading: Reading, entry: Mapping[str, Any], name: str, at: Place, place: str, prefix: str = "") -> str:
    """The name of a modifier with one parameter per bin; the parameters are ``stem[i]`` from then on."""
    default = [f"gamma_{prefix}{name}_bin_{b}" for b in range(len(at.nominal))]
    given = [text(p, place, "parameters") for p in sequence(entry.get("parameters", default), place, "parameters")]
    if len(given) != len(at.nominal):
        problem = f"it has {len(given)} parameters for {len(at.nominal)} bins"
        raise fail(place, problem, "give one per bin")
    known = {reading.gammas[p].rpartition("[")[0] for p in given if p in reading.gammas}
    if known:
        return known.pop()
    stem, first = _common(given, f"{name}_{at.channel}_{at.sample}")
    used = sum(new.rpartition("[")[0] == stem for new in reading.gammas.values())
    if first != used or (used and not prefix):
        stem, first = f"{stem}_{at.channel}_{at.sample}", 0
    reading.gammas |= {p: f"{stem}[{first + b}]" for b, p in enumerate(given)}
    return stem


def _common(names: Sequence[str], default: str) -> tuple[str, int]:
    """What names of bin-by-bin parameters have in common, and the number that the first one ends with."""
    found = [re.fullmatch(r"(?:gamma_)?(.+?)(?:_bin)?_(\d+)", name) for name in names]
    parts = [(match[1], int(match[2])) for match in found if match]
    stems, first = {stem for stem, _ in parts}, parts[0][1] if parts else 0
    ordered = [number for _, number in parts] == list(range(first, first + len(names)))
    return (stems.pop(), first) if len(stems) == 1 and ordered else (default, 0)


def _shapesys(reading: Reading, entry: Mapping[str, Any], name: str, at: Place, place: str) -> Document | None:
    kind = entry.get("constraint", entry.get("constraint_type", "Poisson"))
    if kind == "Const" and "constraints" not in entry:
        reading.remarks[f"shapesys {name!r} of sample {at.sample!r} in {at.channel!r} is constant and left out"] = None
        return None
    stem = _stem(reading, entry, name, at, place)
    old = [p for p, new in reading.gammas.items() if new.rpartition("[")[0] == stem]
    if "constraints" in entry:
        return _named_bins(reading, entry["constraints"], stem, old, at, place)
    data = mapping(entry.get("data"), place, "data", frozenset({"vals"}))
    vals = array(data["vals"], place, "data.vals", length=len(at.nominal), of="the sample's bins")
    if vals.min() < 0.0:
        raise fail(place, "one of its vals is negative", "give uncertainties of at least 0")
    if kind not in ("Poisson", "Gauss"):
        raise fail(place, f"its constraint is {described(kind)}", "a shapesys is 'Poisson', 'Gauss' or 'Const'")
    uncertainty = _absolute(vals, _meaning(reading, vals, old, at, place), at.nominal)
    if kind == "Gauss":
        for b, (n, u) in enumerate(zip(at.nominal.tolist(), uncertainty.tolist(), strict=True)):
            if n > 0.0 and u > 0.0:
                reading.terms[f"{stem}[{b}]"] = (Normal(u / n), 1.0)
    return {"name": stem, "type": "shapesys", "data": uncertainty.tolist()}


def _absolute(vals: FloatArray, meaning: Meaning, nominal: FloatArray) -> FloatArray:
    """Absolute uncertainties from what ``vals`` are; 0 stays 0."""
    if meaning == "absolute":
        return vals
    if meaning == "relative":
        return np.asarray(vals * np.abs(nominal))
    return np.where(vals > 0.0, np.abs(nominal) / np.sqrt(np.where(vals > 0.0, vals, 1.0)), 0.0)


def _meaning(reading: Reading, vals: FloatArray, old: Sequence[str], at: Place, place: str) -> Meaning:
    """What ``vals`` of a shapesys are."""
    if reading.shapesys is not None:
        return reading.shapesys
    meaning, why = _by_ranges(reading, vals, old, at), "as the ranges of its parameters say"
    if meaning is None and np.all(vals <= 1.0):
        meaning, why = "relative", "as ROOT writes them"
    if meaning is None and reading.by_root:
        problem = (
            f"its vals go up to {vals.max():g}, more than relative uncertainties do, in a document that ROOT wrote"
        )
        remedy = "ROOT 6.28 wrote counts: read it by read_hs3(..., shapesys='counts'), or 'relative' or 'absolute'"
        raise fail(place, problem, remedy)
    if meaning is None:
        meaning, why = "absolute", "since one exceeds 1"
    reading.remarks[f"vals of shapesys are taken as {meaning} uncertainties, {why}"] = None
    return meaning


def _by_ranges(reading: Reading, vals: FloatArray, old: Sequence[str], at: Place) -> Meaning | None:
    """What ROOT's ranges of the parameters, which end at 1 + 5 times the relative uncertainty, say of ``vals``."""
    ends = np.asarray([reading.ranges.get(p, (0.0, np.nan))[1] for p in old])
    nominal = np.where(at.nominal > 0.0, at.nominal, np.nan)
    checked = (vals > 0.0) & np.isfinite(ends) & np.isfinite(nominal)
    for meaning, relative in (("absolute", vals / nominal), ("relative", vals)):
        if np.any(checked) and np.allclose(ends[checked], (1.0 + 5.0 * relative)[checked], rtol=1e-4):
            return "absolute" if meaning == "absolute" else "relative"
    return None


def _named_bins(reading: Reading, names: object, stem: str, old: Sequence[str], at: Place, place: str) -> Document:
    """A shapesys whose constraints are distributions, one per bin, null where there is none."""
    given = sequence(names, place, "constraints")
    if len(given) != len(at.nominal):
        raise fail(place, f"it has {len(given)} constraints for {len(at.nominal)} bins", "give one, or null, per bin")
    width = np.zeros(len(at.nominal))
    for b, (name, parameter) in enumerate(zip(given, old, strict=True)):
        if name is None:
            continue
        reading.constrain(text(name, place, f"constraints[{b}]"))
        term = reading.constraints.pop(parameter, None)
        if term is None:
            raise fail(place, f"the constraint {name!r} is not on {parameter!r}", "correct the order of constraints")
        scale = term.constraint.scale if isinstance(term.constraint, Poisson) else 1.0
        width[b] = at.nominal[b] / np.sqrt(scale)
        reading.terms[f"{stem}[{b}]"] = (term.constraint, term.datum)
    return {"name": stem, "type": "shapesys", "data": width.tolist()}


def _staterror(
    reading: Reading, entry: Mapping[str, Any], name: str, at: Place, errors: Sequence[float] | None, place: str
) -> Document:
    kind = entry.get("constraint", entry.get("constraint_type", at.staterror))
    if kind not in ("Poisson", "Gauss"):
        raise fail(place, f"its constraint is {described(kind)}", "a staterror is 'Poisson' or 'Gauss'")
    if errors is None:
        raise fail(place, "the sample has no errors", "add them to its data")
    stem = _stem(reading, {**entry, "name": name}, at.channel, at, place, prefix="stat_")
    reading.stat.setdefault((at.channel, stem), kind)
    return {"name": stem, "type": "staterror", "data": list(errors)}
