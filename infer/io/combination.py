"""Read a combination from YAML or JSON: the format "infer-combination", version 1.

A document names files and says what their parameters have to do with each other::

    format: infer-combination
    version: 1
    title: Two searches
    components:
      run1: run1.json
      run2: {file: run2.json, measurement: SM, patch: "patches.json:mu2"}
    scheme:
      poi: mu
      rename: {run1: {xs_theory: theory}}
      correlate:
        - {parameters: [run1.lumi_2012, run2.luminosity], as: lumi}
      shared: [theory]
      decorrelate: [jes]
      partial:
        - {parameters: [run1.jes, run2.jes], rho: 0.5, name: jes}
      errors_on_errors: {theory: 0.3}

``format``, ``version`` and ``components`` are required; ``title``, ``reference`` and ``notes`` are for people.

A component is a file that infer reads, with a path relative to the document, or an object with ``file`` and
optionally ``measurement``, ``patch`` and ``interpolation`` (an object with ``normsys`` and ``histosys``).  The file
may be a combination itself.  All keys of ``scheme`` are optional:

=====================  =============================================================================
``poi``                 parameter of interest; shared by all components that have it
``rename``              by component, new names by old ones; what gets one name is not yet shared
``correlate``           objects with ``parameters``, a list of ``component.name`` with the names of
                        the components' files, and ``as``: they become one parameter of that name
``shared``              names in several components that mean the same parameter
``decorrelate``         names in several components that do not; they become ``component.name``
``by_name``             true: all other names that coincide are shared; false: none are; left out:
                        names that coincide and are not spoken of are refused
``partial``             objects with ``parameters`` (names of the combination), ``rho``, and
                        optionally ``name``: correlation of every two of their auxiliary data
``errors_on_errors``    relative uncertainty of a Gaussian constraint's width, by name
``declare``             by name, an object with ``bounds`` (a pair, null for none) and ``init``, for
                        shared parameters that the components declare differently
``fix``                 values of parameters that fits hold, by name
=====================  =============================================================================

In ``shared`` and ``decorrelate``, ``gamma`` also stands for all of ``gamma[0]``, ``gamma[1]``, ...
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from infer.combination import Declaration, Partial, Scheme, Tie
from infer.documents import described, fail, flag, listed, mapping, number, sequence, text
from infer.likelihoods.histfactory.curvature import Interpolation
from infer.numerics.interpolation import AdditiveCode, MultiplicativeCode

FORMAT = "infer-combination"
VERSION = 1

_PROSE = frozenset({"title", "reference", "notes"})
_SCHEME = frozenset(Scheme.__dataclass_fields__)


@dataclass(frozen=True)
class ComponentFile:
    """A file to read.

    Attributes:
        path: Where it is.
        measurement: Which measurement or partial combination of it, None for its default.
        patch: A patch of it, None for none.
        interpolation: Interpolation codes, None for those that the whole combination is read with.
    """

    path: Path
    measurement: str | None = None
    patch: str | None = None
    interpolation: Interpolation | None = None


def parse_combination(
    document: Mapping[str, object], *, source: str, directory: Path
) -> tuple[dict[str, ComponentFile], Scheme]:
    """The files of the components by name, and the scheme.

    Args:
        document: The decoded object.
        source: What messages call the document, such as its path.
        directory: What paths in it are relative to.

    Raises:
        WorkspaceError: The document breaks the format; the message names the place and the remedy.
    """
    top = mapping(document, source, "the document", frozenset({"format", "version", "components"}), _PROSE | {"scheme"})
    if top["format"] != FORMAT or top["version"] != VERSION or isinstance(top["version"], bool):
        problem = f"format and version are {top['format']!r} and {top['version']!r}, expected {FORMAT!r} and {VERSION}"
        raise fail(source, problem, "correct them, or take the release that wrote it")
    _require_prose(top, source)
    entries = _entries(top["components"], source, "components")
    if not entries:
        raise fail(source, "components is an empty object", "name at least one file")
    components = {name: _component(x, f"{source}: component {name!r}", directory) for name, x in entries.items()}
    return components, _scheme(top.get("scheme", {}), f"{source}: scheme")


def _require_prose(top: Mapping[str, object], source: str) -> None:
    for key in ("title", "reference"):
        if key in top:
            text(top[key], source, key)
    for i, line in enumerate(sequence(top.get("notes", []), source, "notes", empty=True)):
        text(line, source, f"notes[{i}]")


def _entries(value: object, place: str, field: str) -> dict[str, object]:
    """An object whose keys are names of the author's choice."""
    if not isinstance(value, dict):
        raise fail(place, f"{field} is {described(value)}, expected an object", "write a name and what it stands for")
    return {text(name, place, f"a key of {field}"): entry for name, entry in value.items()}


def _texts(value: object, place: str, field: str) -> tuple[str, ...]:
    return tuple(text(x, place, f"{field}[{i}]") for i, x in enumerate(sequence(value, place, field, empty=True)))


def _component(value: object, place: str, directory: Path) -> ComponentFile:
    if isinstance(value, str):
        return ComponentFile(directory / text(value, place, "file"))
    optional = frozenset({"measurement", "patch", "interpolation"})
    entry = mapping(value, place, "its entry", frozenset({"file"}), optional)
    words = {key: text(entry[key], place, key) for key in ("measurement", "patch") if key in entry}
    return ComponentFile(
        directory / text(entry["file"], place, "file"),
        words.get("measurement"),
        str(directory / words["patch"]) if "patch" in words else None,
        _interpolation(entry["interpolation"], place) if "interpolation" in entry else None,
    )


def _interpolation(value: object, place: str) -> Interpolation:
    codes = {"normsys": get_args(MultiplicativeCode), "histosys": get_args(AdditiveCode)}
    given = mapping(value, place, "interpolation", frozenset(), frozenset(codes))
    for key, code in given.items():
        if code not in codes[key]:
            problem = f"interpolation {key} is {described(code)}"
            raise fail(place, problem, f"take one of {listed(codes[key])}")
    return Interpolation(**given)  # type: ignore[arg-type]  # checked one line above


def _scheme(value: object, place: str) -> Scheme:
    given = mapping(value, place, "the scheme", frozenset(), _SCHEME)
    rename = _entries(given.get("rename", {}), place, "rename")
    return Scheme(
        rename={c: _renames(x, place, f"rename {c!r}") for c, x in rename.items()},
        correlate=tuple(_tie(x, place, i) for i, x in enumerate(_list(given, place, "correlate"))),
        shared=_texts(given.get("shared", []), place, "shared"),
        decorrelate=_texts(given.get("decorrelate", []), place, "decorrelate"),
        by_name=flag(given["by_name"], place, "by_name") if "by_name" in given else None,
        partial=tuple(_partial(x, place, i) for i, x in enumerate(_list(given, place, "partial"))),
        errors_on_errors=_numbers(given, place, "errors_on_errors"),
        declare={n: _declaration(x, f"{place}: declare {n!r}") for n, x in _named(given, place, "declare").items()},
        fix=_numbers(given, place, "fix"),
        poi=text(given["poi"], place, "poi") if "poi" in given else None,
    )


def _list(given: Mapping[str, object], place: str, key: str) -> list[object]:
    return list(sequence(given.get(key, []), place, key, empty=True))


def _named(given: Mapping[str, object], place: str, key: str) -> dict[str, object]:
    return _entries(given.get(key, {}), place, key)


def _numbers(given: Mapping[str, object], place: str, key: str) -> dict[str, float]:
    return {name: number(x, place, f"{key} {name!r}") for name, x in _named(given, place, key).items()}


def _renames(value: object, place: str, field: str) -> dict[str, str]:
    return {old: text(new, place, f"{field} {old!r}") for old, new in _entries(value, place, field).items()}


def _tie(value: object, place: str, index: int) -> Tie:
    field = f"correlate[{index}]"
    entry = mapping(value, place, field, frozenset({"parameters", "as"}))
    return Tie(_texts(entry["parameters"], place, f"{field}.parameters"), text(entry["as"], place, f"{field}.as"))


def _partial(value: object, place: str, index: int) -> Partial:
    field = f"partial[{index}]"
    entry = mapping(value, place, field, frozenset({"parameters", "rho"}), frozenset({"name"}))
    label = text(entry["name"], place, f"{field}.name") if "name" in entry else ""
    names = _texts(entry["parameters"], place, f"{field}.parameters")
    return Partial(names, number(entry["rho"], place, f"{field}.rho"), label)


def _declaration(value: object, place: str) -> Declaration:
    entry = mapping(value, place, "its entry", frozenset(), frozenset({"bounds", "init"}))
    init = number(entry["init"], place, "init") if "init" in entry else None
    return Declaration(_bounds(entry["bounds"], place) if "bounds" in entry else None, init)


def _bounds(value: object, place: str) -> tuple[float, float]:
    pair = sequence(value, place, "bounds")
    if len(pair) != 2:
        raise fail(place, f"bounds has {len(pair)} entries, expected 2", "give a lower and an upper one, null for none")
    low, high = (
        limit if end is None else number(end, place, f"bounds[{i}]")
        for i, (end, limit) in enumerate(zip(pair, (-np.inf, np.inf), strict=True))
    )
    if not low < high:
        raise fail(place, f"the lower bound is {low:g} and the upper one {high:g}", "give the lower one first")
    return low, high
