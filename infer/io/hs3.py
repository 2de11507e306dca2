"""Documents of HS3, the HEP Statistics Serialization Standard: binned models of HistFactory, in and out.

>>> likelihood, data = read_hs3(document).likelihood()
>>> document = write_hs3(workspace).document

Read is one analysis: its likelihood, whose distributions are ``histfactory_dist`` with binned data, or Gaussian and
Poisson constraints; its ranges and start values. A ``product_dist`` of one ``histfactory_dist`` and constraints stands
for these. What has no counterpart in a HistFactory model is refused, all of it named. `hs3_modifiers` says what is
assumed where the standard is silent; the remarks of a model repeat what was.

Source: https://hep-statistics-serialization-standard.github.io, version 0.2; what ROOT 6.28 to 6.40 and pyhs3 write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from infer.constraints import Normal, Poisson
from infer.data import Data
from infer.documents import array, described, distinct, fail, flag, listed, mapping, number, sequence, text
from infer.io.hs3_constraints import Measured, Values
from infer.io.hs3_modifiers import Document, Meaning, Place, Reading, read_modifier
from infer.io.hs3_writing import Dialect, Hs3Document, write_hs3
from infer.io.plain import plain_workspace
from infer.likelihoods.histfactory.declared import with_declared
from infer.likelihoods.histfactory.model import HistFactory, Interpolation
from infer.likelihoods.histfactory.records import Notice
from infer.likelihoods.histfactory.spec import parse_workspace
from infer.parameters import Parameter

__all__ = ["Dialect", "Hs3Document", "Hs3Workspace", "Meaning", "is_hs3", "read_hs3", "write_hs3"]

_WIDEST = 1e10  # ranges beyond are none, and pyhf's default is taken


@dataclass(frozen=True)
class Hs3Workspace:
    """What a document of HS3 becomes.

    Attributes:
        source: How messages call it.
        document: A pyhf workspace.
        interpolation: Its interpolation codes.
        declared: Constraints that the workspace cannot declare, each a distribution with its datum, by parameter.
        remarks: What was assumed.
    """

    source: str
    document: Document
    interpolation: Interpolation
    declared: Mapping[str, Measured]
    remarks: tuple[str, ...]

    def likelihood(self, *, interpolation: Interpolation | None = None) -> tuple[HistFactory, Data]:
        """The likelihood and the observed data.

        Args:
            interpolation: Interpolation codes; None takes those of the document.
        """
        workspace = parse_workspace(self.document, source=self.source)
        notices = (*workspace.notices, *(Notice("hs3", f"{self.source}: {text}") for text in self.remarks))
        made, data = HistFactory.of(
            replace(workspace, notices=notices), interpolation=interpolation or self.interpolation
        )
        known = made.parameters
        declared = {
            name: (_constrained(known[name], term), term.datum) for name, term in self.declared.items() if name in known
        }
        return with_declared(made, data, declared)

    def pyhf(self) -> tuple[Document, tuple[str, ...]]:
        """A pyhf workspace that needs nothing beside it, and what it leaves out.

        Raises:
            WorkspaceError: A constraint has no place in a workspace.
        """
        made, remarks = plain_workspace(self.document, *self.likelihood(), source=self.source)
        return made, (*(f"{self.source}: {text}" for text in self.remarks), *remarks)


def _constrained(parameter: Parameter, term: Measured) -> Parameter:
    group = parameter.group or parameter.name
    return replace(parameter, constraint=term.constraint, group=group, fixed=parameter.fixed)


def is_hs3(document: object) -> bool:
    """Whether a decoded document is one of HS3."""
    metadata = document.get("metadata") if isinstance(document, Mapping) else None
    return isinstance(metadata, Mapping) and "hs3_version" in metadata


def read_hs3(
    document: Mapping[str, Any],
    *,
    analysis: str | None = None,
    shapesys: Meaning | None = None,
    source: str = "document",
) -> Hs3Workspace:
    """Read one analysis of a document of HS3.

    Args:
        document: The document.
        analysis: Its name; None takes the only one, or the only one that is not about Asimov data.
        shapesys: Whether ``vals`` of shapesys are relative or absolute uncertainties; None decides as
            `hs3_modifiers` explains.
        source: How messages call the document.

    Raises:
        WorkspaceError: The document breaks the format, or has what a HistFactory model cannot say.
    """
    if not is_hs3(document):
        raise fail(source, "metadata has no hs3_version", "give a document of HS3")
    remarks: list[str] = []
    chosen = _analysis(document, analysis, source, remarks)
    likelihood = _entry(document, "likelihoods", _name(chosen, "likelihood", source), source)
    inits, constants = _point(document, chosen, source)
    ranges = _ranges(document, chosen, source)
    reading = Reading(
        source,
        dict(_entries(document, "distributions", source)),
        Values(constants, dict(_entries(document, "functions", source))),
        ranges,
        shapesys or _stated(document),
    )
    channels, observations = _channels(reading, likelihood, _data(document, source))
    _aux(reading, likelihood)
    if reading.unmapped:
        problem = f"not every part has a counterpart in a HistFactory model: {'; '.join(reading.unmapped)}"
        raise fail(source, problem, "remove these parts, or read the document with the program that wrote it")
    interpolation = _interpolation(reading)
    poi = _poi(chosen, source)
    made = _workspace(reading, channels, observations, poi, inits)
    remarks += list(reading.remarks)
    return Hs3Workspace(source, made, interpolation, _declared(reading, made), tuple(remarks))


def _stated(document: Mapping[str, Any]) -> Meaning | None:
    """What our own documents say about ``vals`` of shapesys."""
    misc = document.get("misc")
    ours = misc.get("infer") if isinstance(misc, Mapping) else None
    stated = ours.get("shapesys_vals") if isinstance(ours, Mapping) else None
    return stated if stated in get_args(Meaning) else None


# ----------------------------------------------------------------------------------------- parts of the document


def _entries(document: Mapping[str, Any], key: str, source: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Entries of a list with their names."""
    found = []
    for index, raw in enumerate(sequence(document.get(key) or [], source, key, empty=True)):
        entry = mapping(raw, source, f"{key}[{index}]", frozenset({"name"}), _any(raw))
        found.append((text(entry["name"], source, f"{key}[{index}].name"), entry))
    distinct([name for name, _ in found], source, f"entry of {key}")
    return found


def _any(raw: object) -> frozenset[str]:
    return frozenset(raw) if isinstance(raw, dict) else frozenset()


def _entry(document: Mapping[str, Any], key: str, name: str, source: str) -> Mapping[str, Any]:
    entries = dict(_entries(document, key, source))
    if name not in entries:
        raise fail(source, f"there is no entry {name!r} in {key}", f"choose of {listed(entries) or 'none'}")
    return entries[name]


def _name(entry: Mapping[str, Any], key: str, source: str) -> str:
    if key not in entry:
        raise fail(source, f"{entry['name']!r} has no {key}", "add it")
    return text(entry[key], source, key)


def _analysis(document: Mapping[str, Any], name: str | None, source: str, remarks: list[str]) -> Mapping[str, Any]:
    """The analysis that is meant; without any, one of the only likelihood."""
    entries = dict(_entries(document, "analyses", source))
    if not entries:
        likelihoods = [name for name, _ in _entries(document, "likelihoods", source)]
        if len(likelihoods) != 1:
            raise fail(source, f"no analyses and {len(likelihoods)} likelihoods", "add an analysis")
        remarks.append("the document has no analysis, so that there is no parameter of interest")
        return {"name": likelihoods[0], "likelihood": likelihoods[0]}
    if name is not None:
        return _entry(document, "analyses", name, source)
    real = [entry for entry in entries.values() if "asimov" not in str(entry["name"]).lower()] or list(entries.values())
    if len(real) > 1:
        raise fail(source, f"there are the analyses {listed(entries)}", "choose one, by --measurement")
    if len(entries) > 1:
        remarks.append(f"of the analyses {listed(entries)}, {real[0]['name']!r} is read")
    return real[0]


def _poi(chosen: Mapping[str, Any], source: str) -> str:
    interest = sequence(chosen.get("parameters_of_interest") or [], source, "parameters_of_interest", empty=True)
    return text(interest[0], source, "parameters_of_interest[0]") if interest else ""


def _point(
    document: Mapping[str, Any], chosen: Mapping[str, Any], source: str
) -> tuple[dict[str, float], dict[str, float]]:
    """Start values, and the values of what is constant."""
    points = dict(_entries(document, "parameter_points", source))
    name = chosen.get("init") or "default_values"
    nothing: Mapping[str, Any] = {"parameters": []}
    entry = points.get(str(name)) or next(iter(points.values()), nothing)
    inits: dict[str, float] = {}
    constants: dict[str, float] = {}
    for index, raw in enumerate(sequence(entry.get("parameters", []), source, "parameters", empty=True)):
        field = f"parameter_points {entry.get('name')!r}, parameters[{index}]"
        given = mapping(raw, source, field, frozenset({"name", "value"}), _any(raw))
        key = text(given["name"], source, f"{field}.name")
        inits[key] = number(given["value"], source, f"{field}.value")
        if flag(given.get("const", False), source, f"{field}.const"):
            constants[key] = inits[key]
    return inits, constants


def _ranges(document: Mapping[str, Any], chosen: Mapping[str, Any], source: str) -> dict[str, tuple[float, float]]:
    """Ranges of parameters, those of the analysis before those of the default domain."""
    domains = dict(_entries(document, "domains", source))
    names = sequence(chosen.get("domains") or [], source, "domains", empty=True)
    ranges: dict[str, tuple[float, float]] = {}
    for name in ("default_domain", *names):
        if name not in domains:
            if name == "default_domain":
                continue
            raise fail(source, f"there is no domain {described(name)}", f"choose of {listed(domains) or 'none'}")
        for raw in sequence(domains[str(name)].get("axes") or [], source, f"domain {name!r}", empty=True):
            axis = mapping(raw, source, f"an axis of domain {name!r}", frozenset({"name"}), _any(raw))
            if "min" in axis and "max" in axis:
                place = f"{source}: domain {name!r}, axis {axis['name']!r}"
                ranges[str(axis["name"])] = (number(axis["min"], place, "min"), number(axis["max"], place, "max"))
    return ranges


def _data(document: Mapping[str, Any], source: str) -> dict[str, Mapping[str, Any]]:
    return dict(_entries(document, "data", source))


# ------------------------------------------------------------------------------------------------------ channels


def _channels(
    reading: Reading, likelihood: Mapping[str, Any], data: Mapping[str, Mapping[str, Any]]
) -> tuple[list[Document], list[Document]]:
    """Channels and observations of a pyhf workspace; constraints among the distributions are taken down."""
    source = reading.source
    names = sequence(likelihood.get("distributions"), source, "distributions of the likelihood")
    given = sequence(likelihood.get("data"), source, "data of the likelihood")
    if len(names) != len(given):
        raise fail(source, f"the likelihood has {len(names)} distributions and {len(given)} data", "pair them")
    channels, observations = [], []
    for name, datum in zip(names, given, strict=True):
        found = _histfactory(reading, text(name, source, "a distribution of the likelihood"))
        if found is None:
            if isinstance(datum, (int, float)) and not isinstance(datum, bool):
                reading.constrain(str(name), datum=float(datum))
            continue
        channel = _channel(reading, found)
        channels.append(channel)
        observations.append({"name": channel["name"], "data": _counts(data, datum, channel, source)})
    if not channels and not reading.unmapped:
        raise fail(source, "the likelihood has no histfactory_dist", "binned models can be read")
    return channels, observations


def _histfactory(reading: Reading, name: str) -> Mapping[str, Any] | None:
    """The channel that a distribution is, alone or in a product with constraints; None if it is none."""
    distributions = reading.distributions
    if name not in distributions:
        raise fail(reading.source, f"there is no distribution {name!r}", "add it, or correct the name")
    entry = distributions[name]
    kind = entry.get("type")
    if kind == "histfactory_dist":
        return entry
    if kind == "product_dist":
        factors = [str(f) for f in sequence(entry.get("factors"), reading.source, f"factors of {name!r}")]
        inner = [f for f in factors if distributions.get(f, {}).get("type") == "histfactory_dist"]
        if len(inner) == 1:
            for factor in factors:
                if factor != inner[0]:
                    reading.constrain(factor)
            return distributions[inner[0]]
    if kind not in ("gaussian_dist", "poisson_dist"):
        reading.unmapped.append(f"distribution {name!r} of type {kind!r}")
    return None


def _channel(reading: Reading, entry: Mapping[str, Any]) -> Document:
    name = str(entry["name"]).removeprefix("model_")
    place = f"{reading.source}: channel {name!r}"
    stat = mapping(entry.get("staterror", {}), place, "staterror", frozenset(), _any(entry.get("staterror")))
    kind = str(stat.get("constraint_type", stat.get("constraint", "Poisson")))
    if number(stat.get("relThreshold", 0.0), place, "relThreshold") > 0.0:
        reading.unmapped.append(f"relThreshold of the staterror of channel {name!r}")
    samples = []
    for index, raw in enumerate(sequence(entry.get("samples"), place, "samples")):
        given = mapping(raw, place, f"samples[{index}]", frozenset({"name", "data"}), _any(raw))
        samples.append(_sample(reading, given, name, (kind, entry.get("default_interpolation")), place))
    return {"name": name, "samples": samples}


def _sample(
    reading: Reading, given: Mapping[str, Any], channel: str, defaults: tuple[str, object], place: str
) -> Document:
    name = text(given["name"], place, "a sample's name")
    place = f"{place}, sample {name!r}"
    data = mapping(given["data"], place, "data", frozenset({"contents"}), frozenset({"errors"}))
    nominal = array(data["contents"], place, "data.contents")
    errors = None
    if "errors" in data:
        errors = array(data["errors"], place, "data.errors", length=len(nominal), of="the sample's bins").tolist()
    at = Place(channel, name, nominal, *defaults)
    raw = sequence(given.get("modifiers") or [], place, "modifiers", empty=True)
    found = [read_modifier(reading, modifier, at, errors) for modifier in raw]
    return {"name": name, "data": nominal.tolist(), "modifiers": [m for m in found if m is not None]}


def _counts(data: Mapping[str, Mapping[str, Any]], name: object, channel: Document, source: str) -> list[float]:
    key = text(name, source, f"the data of channel {channel['name']!r}")
    if key not in data:
        raise fail(source, f"there are no data {key!r}", f"choose of {listed(data) or 'none'}")
    if data[key].get("type") != "binned":
        problem = f"the data {key!r} are {described(data[key].get('type'))}"
        raise fail(source, problem, "a histfactory_dist needs binned data")
    place = f"{source}: data {key!r}"
    n_bins = len(channel["samples"][0]["data"])
    counts: list[float] = array(
        data[key].get("contents"), place, "contents", length=n_bins, of=f"the bins of channel {channel['name']!r}"
    ).tolist()
    return counts


def _aux(reading: Reading, likelihood: Mapping[str, Any]) -> None:
    """Constraints among the auxiliary distributions."""
    names = sequence(likelihood.get("aux_distributions") or [], reading.source, "aux_distributions", empty=True)
    for name in names:
        reading.constrain(text(name, reading.source, "aux_distributions"))


# ----------------------------------------------------------------------------------------------------- workspace


def _interpolation(reading: Reading) -> Interpolation:
    for kind, seen in reading.codes.items():
        if len(seen) > 1:
            problem = f"modifiers of type {kind} have the interpolation codes {listed(sorted(seen))}"
            raise fail(reading.source, problem, "one code for all of them can be read")
    codes: dict[str, Any] = {kind: next(iter(seen)) for kind, seen in reading.codes.items() if seen}
    return Interpolation(**codes)


def _workspace(
    reading: Reading, channels: list[Document], observations: list[Document], poi: str, inits: Mapping[str, float]
) -> Document:
    scalars = [m for c in channels for s in c["samples"] for m in s["modifiers"]]
    names = dict.fromkeys(m["name"] for m in scalars if m["type"] in ("normfactor", "normsys", "histosys"))
    settings = [_setting(reading, name, inits) for name in names]
    settings += _binwise(reading, channels, inits)
    for modifier in scalars:
        if modifier["name"] == "lumi" and "auxdata" in next(s for s in settings if s["name"] == "lumi"):
            modifier["type"] = "lumi"
    name = poi if poi in names else ""
    return {
        "channels": channels,
        "observations": observations,
        "measurements": [{"name": "hs3", "config": {"poi": name, "parameters": [s for s in settings if len(s) > 1]}}],
        "version": "1.0.0",
    }


def _setting(reading: Reading, name: str, inits: Mapping[str, float]) -> Document:
    """Start value, range and what a workspace can say of the constraint of a scalar parameter."""
    setting: Document = {"name": name}
    low, high = reading.ranges.get(name, (-np.inf, np.inf))
    init = inits.get(name)
    if init is not None:
        setting["inits"] = [init]
        if not np.isfinite(high - low) or high - low > _WIDEST or not low < high:
            low, high = min(-5.0, 2.0 * init), max(10.0, 2.0 * init)
        if low <= init <= high:
            setting["bounds"] = [[low, high]]
        else:
            reading.remarks[f"the range of {name!r} does not hold its start value and is widened"] = None
            setting["bounds"] = [[min(low, init), max(high, init)]]
    if name in reading.values.constants:
        setting["fixed"] = True
    term = reading.constraints.get(name)
    if name == "lumi" and term is not None and isinstance(term.constraint, Normal):
        setting |= {"auxdata": [term.datum], "sigmas": [term.constraint.width]}
    return setting


def _binwise(reading: Reading, channels: Sequence[Document], inits: Mapping[str, float]) -> list[Document]:
    """Start values and ranges of bin-by-bin parameters, where the document gives all of a modifier's."""
    old: dict[str, dict[int, str]] = {}
    for hs3, new in reading.gammas.items():
        stem, _, index = new.removesuffix("]").rpartition("[")
        old.setdefault(stem, {})[int(index)] = hs3
    used = {m["name"] for c in channels for s in c["samples"] for m in s["modifiers"]}
    settings = []
    for stem, members in old.items():
        ordered = [members[i] for i in sorted(members)]
        if stem not in used:
            continue
        setting: Document = {"name": stem}
        ranges = [reading.ranges.get(p) for p in ordered]
        values = [inits.get(p, 1.0) for p in ordered]
        if all(
            r is not None and r[0] < r[1] < _WIDEST and r[0] <= v <= r[1] for r, v in zip(ranges, values, strict=True)
        ):
            setting["bounds"] = [list(r) for r in ranges if r is not None]
            setting["inits"] = values
        if all(p in reading.values.constants for p in ordered):
            setting["fixed"] = True
        settings.append(setting)
    return settings


def _declared(reading: Reading, made: Document) -> dict[str, Measured]:
    """Constraints that a pyhf workspace does not have, in the names of its parameters."""
    modifiers = [m for c in made["channels"] for s in c["samples"] for m in s["modifiers"]]
    kinds = {m["name"]: m["type"] for m in modifiers}
    declared = {}
    for name, term in reading.constraints.items():
        standard = kinds.get(name) in ("normsys", "histosys") and (term.constraint, term.datum) == (Normal(1.0), 0.0)
        if kinds.get(name) not in (None, "lumi") and not standard:
            declared[name] = term
        elif name not in kinds and name not in reading.gammas:
            reading.remarks[f"the constraint of {name!r}, which no modifier uses, is left out"] = None
        elif name in reading.gammas:
            declared[reading.gammas[name]] = replace(term, parameter=reading.gammas[name])
    for name, (constraint, datum) in reading.terms.items():
        declared[name] = Measured(name, constraint, datum)
    return declared | _poisson_staterrors(reading, made)


def _poisson_staterrors(reading: Reading, made: Document) -> dict[str, Measured]:
    """Counts with the effective number of events of a bin, for staterrors with Poisson constraints."""
    declared = {}
    for channel in made["channels"]:
        for (where, stem), kind in reading.stat.items():
            if where != channel["name"] or kind != "Poisson":
                continue
            taking = [
                (np.asarray(s["data"]), np.asarray(m["data"]))
                for s in channel["samples"]
                for m in s["modifiers"]
                if (m["name"], m["type"]) == (stem, "staterror")
            ]
            total, variance = sum(n for n, _ in taking), sum(u**2 for _, u in taking)
            first = _first(reading, stem, channel["name"], made)
            for b, (n, v) in enumerate(zip(np.ravel(total).tolist(), np.ravel(variance).tolist(), strict=True)):
                if n > 0.0 and v > 0.0:
                    declared[f"{stem}[{first + b}]"] = Measured(f"{stem}[{first + b}]", Poisson(n**2 / v), n**2 / v)
    return declared


def _first(reading: Reading, stem: str, channel: str, made: Document) -> int:
    """Number of the first parameter of a staterror in a channel."""
    del reading
    first = 0
    for other in sorted(made["channels"], key=lambda c: str(c["name"])):
        if other["name"] == channel:
            return first
        if any(m["name"] == stem for s in other["samples"] for m in s["modifiers"]):
            first += len(other["samples"][0]["data"])
    return first
