"""Read published measurements from JSON: the format "infer-measurements", version 1.

A document holds what a paper prints — values, statistical uncertainties, and the shift that each
systematic source causes — and states which correlations are assumed, because that is what a reader
will ask first::

    {
      "format": "infer-measurements",
      "version": 1,
      "title": "Two masses and their average",
      "poi": "m",
      "observables": [{"name": "m", "unit": "GeV", "latex": "m"}],
      "measurements": [
        {"name": "A", "observable": "m", "value": 91.3, "stat": 0.4, "syst": {"scale": 0.2}},
        {"name": "B", "observable": "m", "value": 90.7, "stat": 0.3, "syst": {"scale": 0.3}}
      ],
      "sources": {"scale": {"correlation": 0.5}},
      "combinations": {"A alone": ["A"]}
    }

``format``, ``version``, ``poi``, ``observables`` and ``measurements`` are required.

=====================  =============================================================================
``title``               optional, one line
``reference``           optional, where the numbers were published
``notes``               optional, a list of strings: provenance, and which numbers are assumptions
``poi``                 the observable of interest
``observables``         objects with ``name``, and optionally ``latex``, ``unit``, ``init``
                        (default: the mean of its measurements) and ``bounds`` (a pair, null for
                        none)
``measurements``        objects with ``name``, ``observable``, ``value``, ``stat``, and optionally
                        ``syst`` and ``reference``; ``observable`` is a name, or an object of
                        coefficients by name where a linear combination was measured; ``syst`` gives
                        the shift by source, whose sign counts relative to other measurements
``sources``             an object with one entry for every source that ``syst`` names
``stat_correlation``    optional, correlation matrix of the statistical uncertainties
``combinations``        optional, lists of measurement names by the name of a partial combination
=====================  =============================================================================

A source has the required key ``correlation``: one number for every two measurements it moves (1:
one nuisance parameter; 0: one for each), or a matrix.  Optional are ``parameter`` (what its
nuisance parameters are called, default the source's name), ``group`` (their row in the error
budget, default the source's name), ``bounds`` (of the nuisance parameters, in standard deviations)
and ``notes``.

Matrices are lists of rows; rows and columns follow ``measurements``, all of them.  Uncertainties
are single numbers, since a Gaussian has no other: average the two sides of an asymmetric one.
`infer.likelihoods.gaussian` says what likelihood this becomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from infer.data import Data
from infer.documents import array, described, distinct, fail, mapping, number, sequence, text
from infer.errors import InputError, WorkspaceError
from infer.likelihoods.gaussian import (
    GaussianMeasurements,
    Measured,
    Source,
    combine_measurements,
)
from infer.parameters import Parameter

FORMAT = "infer-measurements"
VERSION = 1

_TOP = frozenset({"format", "version", "poi", "observables", "measurements"})
_TOP_OPTIONAL = frozenset({"title", "reference", "notes", "sources", "stat_correlation", "combinations"})
_MEASUREMENT = frozenset({"name", "observable", "value", "stat"})
_NO_BOUNDS = (-np.inf, np.inf)

FloatArray = npt.NDArray[np.float64]


def parse_measurements(document: Mapping[str, object], *, source: str) -> tuple[GaussianMeasurements, Data, str]:
    """The likelihood, the measured values and the name of the parameter of interest.

    Args:
        document: the decoded JSON object.
        source: what messages call the document, such as its path.

    Raises:
        WorkspaceError: the document breaks the format; the message names the place and the remedy.
    """
    top = mapping(document, source, "the document", _TOP, _TOP_OPTIONAL)
    _require_format(top, source)
    _require_prose(top, source)
    measured = _measurements(top["measurements"], source)
    poi, n = text(top["poi"], source, "poi"), len(measured)
    try:
        likelihood, data = combine_measurements(
            measured,
            observables=_observables(top["observables"], source, measured),
            sources=_sources(top.get("sources", {}), source, n),
            stat_correlation=_matrix(top["stat_correlation"], source, "stat_correlation", n)
            if "stat_correlation" in top
            else None,
            poi=poi,
            combinations=_combinations(top.get("combinations", {}), source),
        )
    except WorkspaceError:
        raise
    except InputError as error:
        raise WorkspaceError(f"{source}: {error}") from error
    return likelihood, data, poi


def _require_format(top: Mapping[str, object], source: str) -> None:
    if top["format"] != FORMAT:
        problem = f"format is {top['format']!r}, expected {FORMAT!r}"
        raise fail(source, problem, "read it with the reader of its own format, or correct it")
    if number(top["version"], source, "version") != VERSION:
        problem = f"version is {top['version']!r}, expected {VERSION}"
        raise fail(source, problem, "convert the document, or take the release that wrote it")


def _require_prose(entry: Mapping[str, object], place: str) -> None:
    """Check the keys that are there to be read by people."""
    for key in ("title", "reference"):
        if key in entry:
            text(entry[key], place, key)
    for i, line in enumerate(sequence(entry.get("notes", []), place, "notes", empty=True)):
        text(line, place, f"notes[{i}]")


def _measurements(value: object, source: str) -> list[Measured]:
    entries = sequence(value, source, "measurements")
    measured = [_measurement(entry, source, i) for i, entry in enumerate(entries)]
    distinct([m.name for m in measured], source, "measurement")
    return measured


def _measurement(value: object, source: str, index: int) -> Measured:
    optional = frozenset({"syst", "reference"})
    entry = mapping(value, source, f"measurements[{index}]", _MEASUREMENT, optional)
    name = text(entry["name"], source, f"measurements[{index}].name")
    place = f"{source}: measurement {name!r}"
    _require_prose(entry, place)
    observable = entry["observable"]
    if not isinstance(observable, str):
        observable = _numbers(observable, place, "observable")
        if not any(observable.values()):
            problem = "observable has no coefficient other than zero"
            raise fail(place, problem, "name what is measured")
    stat = _uncertainty(entry["stat"], place, "stat")
    if stat <= 0.0:
        problem = f"stat is {stat:g}, expected a positive number"
        raise fail(place, problem, "put an uncertainty that is not split into stat")
    shifts = _numbers(entry.get("syst", {}), place, "syst")
    return Measured(name, number(entry["value"], place, "value"), stat, observable, shifts)


def _numbers(value: object, place: str, field: str) -> dict[str, float]:
    """An object of numbers by name."""
    entries = _entries(value, place, field, "number")
    return {name: _uncertainty(x, place, f"{field} {name!r}") for name, x in entries.items()}


def _entries(value: object, place: str, field: str, what: str) -> dict[str, object]:
    """An object whose keys are names that the document's author chose; ``what`` is by each name."""
    if not isinstance(value, dict):
        problem = f"{field} is {described(value)}, expected an object"
        raise fail(place, problem, f'write {{"name": {what}, ...}}')
    return {text(name, place, f"a key of {field}"): entry for name, entry in value.items()}


def _uncertainty(value: object, place: str, field: str) -> float:
    """A number, with a word on asymmetric uncertainties where a list stands in its place."""
    if isinstance(value, (list, tuple)):
        problem = f"{field} is a list of {len(value)}, expected one number"
        raise fail(place, problem, "a Gaussian is symmetric: average the two sides")
    return number(value, place, field)


def _observables(value: object, source: str, measured: Sequence[Measured]) -> list[Parameter]:
    entries = sequence(value, source, "observables")
    parameters = [_observable(entry, source, i, measured) for i, entry in enumerate(entries)]
    distinct([p.name for p in parameters], source, "observable")
    return parameters


def _observable(value: object, source: str, index: int, measured: Sequence[Measured]) -> Parameter:
    optional = frozenset({"latex", "unit", "init", "bounds"})
    entry = mapping(value, source, f"observables[{index}]", frozenset({"name"}), optional)
    name = text(entry["name"], source, f"observables[{index}].name")
    place = f"{source}: observable {name!r}"
    low, high = _bounds(entry["bounds"], place) if "bounds" in entry else _NO_BOUNDS
    if "init" in entry:
        init = number(entry["init"], place, "init")
    else:
        init = min(max(_mean(name, measured, place), low), high)
    words = {key: text(entry.get(key, ""), place, key, empty=True) for key in ("unit", "latex")}
    return Parameter(name, init, (low, high), unit=words["unit"], latex=words["latex"])


def _mean(name: str, measured: Sequence[Measured], place: str) -> float:
    """Mean of the measurements of one observable alone: where a fit starts."""
    values = [m.value for m in measured if m.observable == name]
    if not values:
        problem = "it has no init, and no measurement measures it alone"
        raise fail(place, problem, "add init, a rough value, or correct the measurements' names")
    return float(np.mean(values))


def _bounds(value: object, place: str) -> tuple[float, float]:
    pair = sequence(value, place, "bounds")
    if len(pair) != 2:
        problem = f"bounds has {len(pair)} entries, expected 2"
        raise fail(place, problem, "give a lower and an upper one, null for none")
    low, high = (
        limit if end is None else number(end, place, f"bounds[{i}]")
        for i, (end, limit) in enumerate(zip(pair, _NO_BOUNDS, strict=True))
    )
    if not low < high:
        problem = f"the lower bound is {low:g} and the upper one {high:g}"
        raise fail(place, problem, "give the lower one first")
    return low, high


def _sources(value: object, source: str, n: int) -> dict[str, Source]:
    entries = _entries(value, source, "sources", '{"correlation": number or matrix}')
    return {name: _source(x, f"{source}: source {name!r}", n) for name, x in entries.items()}


def _source(value: object, place: str, n: int) -> Source:
    optional = frozenset({"parameter", "group", "bounds", "notes"})
    entry = mapping(value, place, "its entry", frozenset({"correlation"}), optional)
    _require_prose(entry, place)
    words = {key: text(entry[key], place, key) for key in ("parameter", "group") if key in entry}
    return Source(
        _matrix(entry["correlation"], place, "correlation", n)
        if isinstance(entry["correlation"], (list, tuple))
        else number(entry["correlation"], place, "correlation"),
        parameter=words.get("parameter"),
        group=words.get("group"),
        bounds=_bounds(entry["bounds"], place) if "bounds" in entry else _NO_BOUNDS,
    )


def _matrix(value: object, place: str, field: str, n: int) -> FloatArray:
    """A matrix with shape (n, n)."""
    rows = sequence(value, place, field)
    if len(rows) != n:
        problem = f"{field} has {len(rows)} rows, expected {n}"
        raise fail(place, problem, "give a row to each measurement, in their order")
    of = "the measurements"
    return np.stack([array(r, place, f"{field}[{i}]", length=n, of=of) for i, r in enumerate(rows)])


def _combinations(value: object, source: str) -> dict[str, list[str]]:
    result = {}
    for name, entry in _entries(value, source, "combinations", '["measurement", ...]').items():
        members = sequence(entry, source, f"combination {name!r}")
        place = f"{source}: combination {name!r}"
        result[name] = [text(m, place, f"entry {i}") for i, m in enumerate(members)]
    return result
