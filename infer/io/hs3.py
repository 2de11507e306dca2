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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from infer.constraints import Normal, Poisson
from infer.data import Data
from infer.documents import array, described, fail, listed, mapping, number, sequence, text
from infer.io.hs3_constraints import Measured, Values
from infer.io.hs3_document import (
    analysis_of,
    any_keys,
    data_of,
    entries_of,
    entry_of,
    name_of,
    observed_analyses,
    poi_of,
    point_of,
    ranges_of,
)
from infer.io.hs3_modifiers import Document, Meaning, Place, Reading, read_modifier
from infer.io.hs3_writing import Dialect, Hs3Document, write_hs3
from infer.io.plain import plain_workspace
from infer.likelihoods.histfactory.declared import with_declared
from infer.likelihoods.histfactory.model import HistFactory, Interpolation
from infer.likelihoods.histfactory.records import Notice
from infer.likelihoods.histfactory.spec import parse_workspace
from infer.parameters import Parameter

__all__ = ["Dialect", "Hs3Document", "Hs3Workspace", "Meaning", "is_hs3", "pyhf_of_hs3", "read_hs3", "write_hs3"]

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
        shapesys: Whether ``vals`` of shapesys are relative or absolute uncertainties, or counts that measure the
            bins; None decides as `hs3_modifiers` explains.
        source: How messages call the document.

    Raises:
        WorkspaceError: The document breaks the format, or has what a HistFactory model cannot say.
    """
    if not is_hs3(document):
        raise fail(source, "metadata has no hs3_version", "give a document of HS3")
    remarks: list[str] = []
    chosen = analysis_of(document, analysis, source, remarks)
    likelihood = entry_of(document, "likelihoods", name_of(chosen, "likelihood", source), source)
    inits, constants = point_of(document, chosen, source)
    ranges = ranges_of(document, chosen, source)
    reading = Reading(
        source,
        dict(entries_of(document, "distributions", source)),
        Values(constants, dict(entries_of(document, "functions", source))),
        ranges,
        shapesys or _stated(document),
        _by_root(document),
    )
    channels, observations = _channels(reading, likelihood, data_of(document, source))
    _aux(reading, likelihood)
    if reading.unmapped:
        problem = f"not every part has a counterpart in a HistFactory model: {'; '.join(reading.unmapped)}"
        raise fail(source, problem, "remove these parts, or read the document with the program that wrote it")
    interpolation, poi = _interpolation(reading), poi_of(chosen, source)
    made = _workspace(reading, channels, observations, inits)
    made["measurements"][0] |= {"name": str(chosen["name"])}
    made["measurements"][0]["config"]["poi"] = poi if poi in _scalars(channels) else ""
    remarks += [text for text in reading.remarks if _stated(document) is None or "histosys" not in text]
    return Hs3Workspace(source, made, interpolation, _declared(reading, made), tuple(remarks))


def pyhf_of_hs3(document: Mapping[str, Any], *, source: str = "document") -> tuple[Document, tuple[str, ...]]:
    """A pyhf workspace with every analysis of a document that is about the observed data, and remarks.

    Raises:
        WorkspaceError: The document breaks the format, has what a workspace cannot say, or its analyses are about
            different channels or data.
    """
    names: list[str | None] = [str(entry["name"]) for entry in observed_analyses(document, source)]
    made: Document = {}
    remarks: dict[str, None] = {}
    for name in names or [None]:
        workspace, said = read_hs3(document, analysis=name, source=source).pyhf()
        remarks |= dict.fromkeys(said)
        if made and any(made[key] != workspace[key] for key in ("channels", "observations")):
            raise fail(source, f"the analyses {listed(names)} have other channels or data", "keep one of them")
        measurements = made.get("measurements", []) + workspace["measurements"]
        made = workspace | {"measurements": measurements}
    return made, tuple(remarks)


def _by_root(document: Mapping[str, Any]) -> bool:
    packages = document["metadata"].get("packages")
    named = packages if isinstance(packages, list) else []
    return any(isinstance(package, Mapping) and package.get("name") == "ROOT" for package in named)


def _stated(document: Mapping[str, Any]) -> Meaning | None:
    """What our own documents say about ``vals`` of shapesys."""
    misc = document.get("misc")
    ours = misc.get("infer") if isinstance(misc, Mapping) else None
    stated = ours.get("shapesys_vals") if isinstance(ours, Mapping) else None
    return stated if stated in get_args(Meaning) else None


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
    stat = mapping(entry.get("staterror", {}), place, "staterror", frozenset(), any_keys(entry.get("staterror")))
    kind = str(stat.get("constraint_type", stat.get("constraint", "Poisson")))
    if number(stat.get("relThreshold", 0.0), place, "relThreshold") > 0.0:
        reading.unmapped.append(f"relThreshold of the staterror of channel {name!r}")
    samples = []
    for index, raw in enumerate(sequence(entry.get("samples"), place, "samples")):
        given = mapping(raw, place, f"samples[{index}]", frozenset({"name", "data"}), any_keys(raw))
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
    reading: Reading, channels: list[Document], observations: list[Document], inits: Mapping[str, float]
) -> Document:
    settings = [_setting(reading, name, inits) for name in _scalars(channels)]
    settings += _binwise(reading, channels, inits)
    lumi = any(s["name"] == "lumi" and "auxdata" in s for s in settings)
    for modifier in (m for c in channels for s in c["samples"] for m in s["modifiers"]):
        if lumi and modifier["name"] == "lumi":
            modifier["type"] = "lumi"
    config = {"poi": "", "parameters": [s for s in settings if len(s) > 1]}
    return {
        "channels": channels,
        "observations": observations,
        "measurements": [{"name": "hs3", "config": config}],
        "version": "1.0.0",
    }


def _scalars(channels: Sequence[Document]) -> list[str]:
    """Parameters that act on all bins, in order of appearance."""
    modifiers = (m for c in channels for s in c["samples"] for m in s["modifiers"])
    return list(
        dict.fromkeys(m["name"] for m in modifiers if m["type"] in ("normfactor", "normsys", "histosys", "lumi"))
    )


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
