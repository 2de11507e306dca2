"""Read a parametric likelihood from JSON: the format "infer-parametric", version 1.

A document holds a density of one observable as a sum of components, the parameters, and where the
events are::

    {
      "format": "infer-parametric",
      "version": 1,
      "title": "A peak on a falling spectrum",
      "poi": "m",
      "data": {"file": "peak.csv", "column": "mass"},
      "range": [60, 120],
      "parameters": [
        {"name": "m", "init": 91, "bounds": [80, 100], "unit": "GeV"},
        {"name": "n_signal", "init": 3000, "bounds": [0, null]},
        {"name": "n_background", "init": 1000, "bounds": [0, null]},
        {"name": "slope", "init": -0.03, "bounds": [-1, 1]},
        {"name": "momentum_scale", "init": 0, "constraint": {"normal": 1}}
      ],
      "components": [
        {"name": "signal", "yield": "n_signal", "density": "voigt", "arguments": {
          "mass": {"base": "m", "scale": {"momentum_scale": 0.002}}, "width": 2.5, "resolution": 1.1}},
        {"name": "background", "yield": "n_background", "density": "exponential",
         "arguments": {"slope": "slope"}}
      ]
    }

``format``, ``version``, ``poi``, ``data``, ``range``, ``parameters`` and ``components`` are
required.

=================  =================================================================================
``title``           optional, one line
``reference``       optional, where the data or the method were published
``notes``           optional, a list of strings: provenance, and what is assumed
``poi``             the parameter of interest
``data``            an object with ``file``, a CSV file with a header line, relative to the document,
                    and ``column``, the name of the observable's column
``range``           lower and upper end; events outside are left out
``bins``            optional: the number of equal bins, or a list of edges from end to end of the
                    range.  With it the likelihood is binned, without it unbinned
``panels``          optional, default 64: intervals of the range for numerical integrals
``parameters``      objects with ``name`` and ``init``, and optionally ``bounds`` (a pair, null for
                    none), ``constraint``, ``group``, ``fixed``, ``unit`` and ``latex``
``components``      objects with ``name``, ``yield`` (expected events in the range), ``density`` and
                    ``arguments``
=================  =================================================================================

A ``constraint`` is an object with one key: ``normal`` (a width), ``lognormal`` (kappa) or
``poisson`` (the mean count at 1).  Its auxiliary datum is what the start value predicts.

A yield, and every argument, is a number, the name of a parameter, or an object with ``base`` (one
of the two) and optionally ``shift`` and ``scale``, objects of numbers by parameter name:
``(base + sum shift p) * product (1 + scale p)``.

==========================  ==========================================================================
``density``                  arguments
==========================  ==========================================================================
``gaussian``                 ``mean``, ``sigma``
``exponential``              ``slope``
``bernstein``                ``coefficients``, a list (one of them a number)
``crystal_ball``             ``mean``, ``sigma``, ``alpha_low``, ``n_low``, ``alpha_high``, ``n_high``
``voigt``                    ``mass``, ``width``, ``resolution``
``breit_wigner``             ``mass``, ``width``, ``resolution``, ``tilt`` (default 0)
``radiated_breit_wigner``    the same, and ``radiation``, a plain number: beta of the radiator
==========================  ==========================================================================

`infer.likelihoods.parametric` says what likelihood this becomes, `infer.numerics.densities` and
`infer.numerics.resonances` what the densities are.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from infer.constraints import Constraint, LogNormal, Normal, Poisson
from infer.data import Data
from infer.documents import array, described, distinct, fail, flag, listed, mapping, number, sequence, text
from infer.errors import InputError, WorkspaceError
from infer.likelihoods.parametric import Argument, Binned, Component, Unbinned, room_for
from infer.likelihoods.parametric.mixture import as_argument
from infer.numerics.densities import Bernstein, CrystalBall, Density, Exponential, Gaussian
from infer.numerics.resonances import BreitWigner, RadiatedBreitWigner, Voigt, radiator
from infer.parameters import Parameter, Parameters

FORMAT = "infer-parametric"
VERSION = 1

_TOP = frozenset({"format", "version", "poi", "data", "range", "parameters", "components"})
_TOP_OPTIONAL = frozenset({"title", "reference", "notes", "bins", "panels"})
_PARAMETER_OPTIONAL = frozenset({"bounds", "constraint", "group", "fixed", "unit", "latex"})
_CONSTRAINTS: Mapping[str, Callable[[float], Constraint]] = {
    "normal": Normal,
    "lognormal": LogNormal,
    "poisson": Poisson,
}
_MAX_PANELS = 4096

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Grid:
    """The range and its panels."""

    low: float
    high: float
    panels: int


@dataclass(frozen=True)
class _Family:
    """What the format knows about a density.

    Attributes:
        density: the class.
        required: arguments that must be given.
        optional: arguments that may be given, with their default.
        settings: plain numbers that must be given among the arguments.
        constants: the density's other fields, from the grid and the settings.
    """

    density: Callable[..., Density]
    required: tuple[str, ...]
    optional: Mapping[str, float] = field(default_factory=dict)
    settings: tuple[str, ...] = ()
    constants: Callable[[_Grid, Mapping[str, float]], dict[str, Any]] = lambda _grid, _settings: {}


def _with_radiator(grid: _Grid, settings: Mapping[str, float]) -> dict[str, Any]:
    return {"radiator": radiator(grid.low, grid.high, settings["radiation"], panels=grid.panels)}


_RESONANCE = ("mass", "width", "resolution")
_BALL = ("mean", "sigma", "alpha_low", "n_low", "alpha_high", "n_high")
_FAMILIES = {
    "gaussian": _Family(Gaussian, ("mean", "sigma")),
    "exponential": _Family(Exponential, ("slope",), constants=lambda grid, _: {"origin": grid.low}),
    "bernstein": _Family(Bernstein, ("coefficients",), constants=lambda grid, _: {"low": grid.low, "high": grid.high}),
    "crystal_ball": _Family(CrystalBall, _BALL),
    "voigt": _Family(Voigt, _RESONANCE),
    "breit_wigner": _Family(BreitWigner, _RESONANCE, {"tilt": 0.0}),
    "radiated_breit_wigner": _Family(RadiatedBreitWigner, _RESONANCE, {"tilt": 0.0}, ("radiation",), _with_radiator),
}


def parse_parametric(
    document: Mapping[str, object], *, source: str, directory: str | Path
) -> tuple[Unbinned | Binned, Data, str]:
    """The likelihood, the observed data and the name of the parameter of interest.

    Args:
        document: the decoded JSON object.
        source: what messages call the document, such as its path.
        directory: where the paths in the document begin.

    Raises:
        WorkspaceError: the document or its data file breaks the format; the message names the place
            and the remedy.
    """
    top = mapping(document, source, "the document", _TOP, _TOP_OPTIONAL)
    _require_format(top, source)
    _require_prose(top, source)
    grid = _grid(top, source)
    poi = text(top["poi"], source, "poi")
    parameters = _parameters(top["parameters"], source, poi)
    components = _components(top["components"], source, parameters, grid)
    _require_used(components, parameters, source)
    values = _observed(top["data"], source, Path(directory), grid)
    try:
        likelihood = _likelihood(top, source, parameters, components, grid, len(values))
        return likelihood, likelihood.data(values), poi
    except WorkspaceError:
        raise
    except InputError as error:
        raise WorkspaceError(f"{source}: {error}") from error


def _likelihood(
    top: Mapping[str, object],
    source: str,
    parameters: Parameters,
    components: list[Component],
    grid: _Grid,
    n_events: int,
) -> Unbinned | Binned:
    if "bins" in top:
        return Binned(parameters, components, edges=_bin_edges(top["bins"], source, grid))
    start = {p.name: p.init for p in parameters.values()}
    expected = sum(as_argument(c.events).at(start) for c in components)
    capacity = room_for(max(expected, float(n_events)))
    low, high, panels = grid.low, grid.high, grid.panels
    return Unbinned(parameters, components, low=low, high=high, capacity=capacity, panels=panels)


def _require_format(top: Mapping[str, object], source: str) -> None:
    if top["format"] != FORMAT:
        problem = f"format is {described(top['format'])}, expected {FORMAT!r}"
        raise fail(source, problem, "read it with the reader of its own format, or correct it")
    if number(top["version"], source, "version") != VERSION:
        problem = f"version is {described(top['version'])}, expected {VERSION}"
        raise fail(source, problem, "convert the document, or take the release that wrote it")


def _require_prose(top: Mapping[str, object], source: str) -> None:
    """Check the keys that are there to be read by people."""
    for key in ("title", "reference"):
        if key in top:
            text(top[key], source, key)
    for i, line in enumerate(sequence(top.get("notes", []), source, "notes", empty=True)):
        text(line, source, f"notes[{i}]")


def _grid(top: Mapping[str, object], source: str) -> _Grid:
    low, high = array(top["range"], source, "range", length=2, of="its lower and upper end").tolist()
    if not low < high:
        problem = f"range is from {low:g} to {high:g}, expected a lower end below the upper one"
        raise fail(source, problem, "swap them")
    return _Grid(low, high, _whole(top.get("panels", 64), source, "panels", _MAX_PANELS))


def _whole(value: object, place: str, what: str, most: int) -> int:
    found = number(value, place, what)
    if found != int(found) or not 1 <= found <= most:
        problem = f"{what} is {described(value)}, expected a whole number from 1 to {most}"
        raise fail(place, problem, "correct it")
    return int(found)


def _bin_edges(value: object, source: str, grid: _Grid) -> FloatArray:
    if not isinstance(value, list):
        return np.linspace(grid.low, grid.high, _whole(value, source, "bins", 100000) + 1)
    edges = array(value, source, "bins")
    if not np.all(np.diff(edges) > 0.0) or edges[0] != grid.low or edges[-1] != grid.high:
        problem = f"bins does not increase from {grid.low:g} to {grid.high:g}, the ends of the range"
        raise fail(source, problem, "list all edges in order, or give the number of equal bins")
    return edges


def _parameters(value: object, source: str, poi: str) -> Parameters:
    entries = sequence(value, source, "parameters")
    declared = [_parameter(entry, source, i) for i, entry in enumerate(entries)]
    names = [p.name for p in declared]
    distinct(names, source, "parameter")
    if poi not in names:
        raise fail(source, f"poi is {poi!r}, which is no parameter", f"choose one of {listed(names)}")
    return Parameters(declared, poi=poi)


def _parameter(value: object, source: str, index: int) -> Parameter:
    what = f"parameters[{index}]"
    entry = mapping(value, source, what, frozenset({"name", "init"}), _PARAMETER_OPTIONAL)
    name = text(entry["name"], source, f"{what}.name")
    place = f"{source}: parameter {name!r}"
    try:
        return Parameter(
            name,
            number(entry["init"], place, "init"),
            _bounds(entry["bounds"], place) if "bounds" in entry else (-np.inf, np.inf),
            _constraint(entry["constraint"], place) if "constraint" in entry else None,
            group=text(entry["group"], place, "group") if "group" in entry else None,
            fixed=flag(entry.get("fixed", False), place, "fixed"),
            unit=text(entry.get("unit", ""), place, "unit", empty=True),
            latex=text(entry.get("latex", ""), place, "latex", empty=True),
        )
    except WorkspaceError:
        raise
    except InputError as error:
        raise WorkspaceError(f"{place}: {error}") from error


def _bounds(value: object, place: str) -> tuple[float, float]:
    pair = sequence(value, place, "bounds")
    if len(pair) != 2:
        raise fail(place, f"bounds has {len(pair)} entries, expected 2", "give a pair, null for none")
    low = -np.inf if pair[0] is None else number(pair[0], place, "bounds[0]")
    high = np.inf if pair[1] is None else number(pair[1], place, "bounds[1]")
    return low, high


def _constraint(value: object, place: str) -> Constraint:
    entry = mapping(value, place, "constraint", frozenset(), frozenset(_CONSTRAINTS))
    if len(entry) != 1:
        problem = f"constraint has {len(entry)} keys, expected one"
        raise fail(place, problem, f"choose one of {listed(sorted(_CONSTRAINTS))}")
    ((kind, width),) = entry.items()
    return _CONSTRAINTS[kind](number(width, place, f"constraint.{kind}"))


def _components(value: object, source: str, parameters: Parameters, grid: _Grid) -> list[Component]:
    entries = sequence(value, source, "components")
    components = [_component(entry, source, i, parameters, grid) for i, entry in enumerate(entries)]
    distinct([c.name for c in components], source, "component")
    return components


def _component(value: object, source: str, index: int, parameters: Parameters, grid: _Grid) -> Component:
    what = f"components[{index}]"
    entry = mapping(value, source, what, frozenset({"name", "yield", "density", "arguments"}))
    name = text(entry["name"], source, f"{what}.name")
    place = f"{source}: component {name!r}"
    kind = text(entry["density"], place, "density")
    if kind not in _FAMILIES:
        raise fail(place, f"density is {kind!r}", f"choose one of {listed(sorted(_FAMILIES))}")
    family = _FAMILIES[kind]
    needed = frozenset(family.required + family.settings)
    given = mapping(entry["arguments"], place, "arguments", needed, frozenset(family.optional))
    settings = {key: number(given[key], place, f"arguments.{key}") for key in family.settings}
    arguments = {
        key: _arguments(given.get(key, default), place, f"arguments.{key}", parameters)
        for key, default in {**dict.fromkeys(family.required), **family.optional}.items()
    }
    events = _argument(entry["yield"], place, "yield", parameters)
    return Component(name, events, family.density, arguments, _constants(family, grid, settings, place))


def _constants(family: _Family, grid: _Grid, settings: Mapping[str, float], place: str) -> dict[str, Any]:
    if "radiation" in settings and not (0.0 < settings["radiation"] < 1.0 and grid.low > 0.0):
        problem = f"arguments.radiation is {settings['radiation']:g} in a range from {grid.low:g}"
        raise fail(place, problem, "give a number between 0 and 1, and a range of positive masses")
    return family.constants(grid, settings)


def _arguments(
    value: object, place: str, what: str, parameters: Parameters
) -> Argument | float | list[Argument | float]:
    """One argument, or several for the argument that is a vector."""
    if what != "arguments.coefficients":
        return _argument(value, place, what, parameters)
    entries = sequence(value, place, what)
    several = [_argument(e, place, f"{what}[{i}]", parameters) for i, e in enumerate(entries)]
    if not any(isinstance(argument, float) for argument in several):
        problem = f"{what} has no plain number, so that its scale is free"
        raise fail(place, problem, "only ratios matter: make one coefficient the number 1")
    return several


def _argument(value: object, place: str, what: str, parameters: Parameters) -> Argument | float:
    if isinstance(value, str):
        return Argument(_known(value, place, what, parameters))
    if not isinstance(value, dict):
        return number(value, place, what)
    entry = mapping(value, place, what, frozenset({"base"}), frozenset({"shift", "scale"}))
    base = entry["base"]
    return Argument(
        _known(base, place, f"{what}.base", parameters)
        if isinstance(base, str)
        else number(base, place, f"{what}.base"),
        _changes(entry.get("shift", {}), place, f"{what}.shift", parameters),
        _changes(entry.get("scale", {}), place, f"{what}.scale", parameters),
    )


def _changes(value: object, place: str, what: str, parameters: Parameters) -> dict[str, float]:
    if not isinstance(value, dict):
        raise fail(place, f"{what} is {described(value)}, expected an object", "give numbers by parameter")
    return {
        _known(name, place, what, parameters): number(change, place, f"{what}.{name}") for name, change in value.items()
    }


def _known(name: str, place: str, what: str, parameters: Parameters) -> str:
    if name not in parameters.names:
        problem = f"{what} names {name!r}, which is no parameter"
        raise fail(place, problem, f"declare it, or choose one of {listed(parameters.names)}")
    return name


def _require_used(components: list[Component], parameters: Parameters, source: str) -> None:
    """Refuse a parameter that nothing depends on: a fit could not determine it."""
    used = {name for component in components for name in component.names}
    idle = [name for name in parameters.names if name not in used]
    if idle:
        problem = f"no component depends on the parameter {idle[0]!r}"
        raise fail(source, problem, "remove it, or name it in a yield or an argument")


def _observed(value: object, source: str, directory: Path, grid: _Grid) -> FloatArray:
    """The events within the range."""
    entry = mapping(value, source, "data", frozenset({"file", "column"}))
    path = directory / text(entry["file"], source, "data.file")
    values = _read_column(path, text(entry["column"], source, "data.column"), source)
    inside = values[(values >= grid.low) & (values <= grid.high)]
    if inside.size == 0:
        problem = f"none of the {values.size} events in {path.name} lies within the range"
        raise fail(source, problem, "correct the range, or the column")
    return inside


def _read_column(path: Path, column: str, source: str) -> FloatArray:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            header = [name.strip() for name in next(rows, [])]
            if column not in header:
                problem = f"{path.name} has no column {column!r}"
                raise fail(source, problem, f"choose one of {listed(header)}")
            at = header.index(column)
            numbers = [_cell(row, at, f"{source}: {path.name}, line {rows.line_num}") for row in rows if row]
    except OSError as error:
        problem = f"the data file {str(path)!r} cannot be read ({error.strerror})"
        raise fail(source, problem, "give its path relative to the document") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise fail(source, f"{path.name} is not a CSV file", "give a text file with a header line") from error
    return np.asarray(numbers, dtype=float)


def _cell(row: list[str], at: int, place: str) -> float:
    cell = row[at].strip() if at < len(row) else ""
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise fail(place, f"{cell!r} is not a finite number", "correct the entry, or remove the row")
    return value
