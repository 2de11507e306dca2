"""Parts of a document of HS3: entries by name, the analysis that is meant, its start values and ranges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from infer.documents import described, distinct, fail, flag, listed, mapping, number, sequence, text


def entries_of(document: Mapping[str, Any], key: str, source: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Entries of a list with their names."""
    found = []
    for index, raw in enumerate(sequence(document.get(key) or [], source, key, empty=True)):
        entry = mapping(raw, source, f"{key}[{index}]", frozenset({"name"}), any_keys(raw))
        found.append((text(entry["name"], source, f"{key}[{index}].name"), entry))
    distinct([name for name, _ in found], source, f"entry of {key}")
    return found


def any_keys(raw: object) -> frozenset[str]:
    """All keys that an object has, so that it may have any."""
    return frozenset(raw) if isinstance(raw, dict) else frozenset()


def entry_of(document: Mapping[str, Any], key: str, name: str, source: str) -> Mapping[str, Any]:
    """One entry of a list by its name."""
    entries = dict(entries_of(document, key, source))
    if name not in entries:
        raise fail(source, f"there is no entry {name!r} in {key}", f"choose of {listed(entries) or 'none'}")
    return entries[name]


def name_of(entry: Mapping[str, Any], key: str, source: str) -> str:
    """The name that an entry gives under a key."""
    if key not in entry:
        raise fail(source, f"{entry['name']!r} has no {key}", "add it")
    return text(entry[key], source, key)


def analysis_of(document: Mapping[str, Any], name: str | None, source: str, remarks: list[str]) -> Mapping[str, Any]:
    """The analysis that is meant; without any, one of the only likelihood.

    If none is named, that is the first of those that are not about Asimov data, which must have the same data.

    Raises:
        WorkspaceError: There is no such analysis, or it is not clear which is meant.
    """
    entries = dict(entries_of(document, "analyses", source))
    if not entries:
        likelihoods = [name for name, _ in entries_of(document, "likelihoods", source)]
        if len(likelihoods) != 1:
            raise fail(source, f"no analyses and {len(likelihoods)} likelihoods", "add an analysis")
        remarks.append("the document has no analysis, so that there is no parameter of interest")
        return {"name": likelihoods[0], "likelihood": likelihoods[0]}
    if name is not None:
        return entry_of(document, "analyses", name, source)
    real = observed_analyses(document, source)
    pairs = [entry_of(document, "likelihoods", name_of(entry, "likelihood", source), source) for entry in real]
    if any(
        (p.get("distributions"), p.get("data")) != (pairs[0].get("distributions"), pairs[0].get("data")) for p in pairs
    ):
        raise fail(source, f"there are the analyses {listed(entries)}", "choose one, by --measurement")
    if len(entries) > 1:
        remarks.append(f"of the analyses {listed(entries)}, {real[0]['name']!r} is read")
    return real[0]


def observed_analyses(document: Mapping[str, Any], source: str) -> list[Mapping[str, Any]]:
    """Analyses that are not about Asimov data, by their names, or all if there are no others."""
    entries = [entry for _, entry in entries_of(document, "analyses", source)]
    return [entry for entry in entries if "asimov" not in str(entry["name"]).lower()] or entries


def poi_of(chosen: Mapping[str, Any], source: str) -> str:
    """The first parameter of interest of an analysis; an empty string for none."""
    interest = sequence(chosen.get("parameters_of_interest") or [], source, "parameters_of_interest", empty=True)
    return text(interest[0], source, "parameters_of_interest[0]") if interest else ""


def point_of(
    document: Mapping[str, Any], chosen: Mapping[str, Any], source: str
) -> tuple[dict[str, float], dict[str, float]]:
    """Start values, and the values of what is constant."""
    points = dict(entries_of(document, "parameter_points", source))
    name = chosen.get("init") or "default_values"
    nothing: Mapping[str, Any] = {"parameters": []}
    entry = points.get(str(name)) or next(iter(points.values()), nothing)
    inits: dict[str, float] = {}
    constants: dict[str, float] = {}
    for index, raw in enumerate(sequence(entry.get("parameters", []), source, "parameters", empty=True)):
        field = f"parameter_points {entry.get('name')!r}, parameters[{index}]"
        given = mapping(raw, source, field, frozenset({"name", "value"}), any_keys(raw))
        key = text(given["name"], source, f"{field}.name")
        inits[key] = number(given["value"], source, f"{field}.value")
        if flag(given.get("const", False), source, f"{field}.const"):
            constants[key] = inits[key]
    return inits, constants


def ranges_of(document: Mapping[str, Any], chosen: Mapping[str, Any], source: str) -> dict[str, tuple[float, float]]:
    """Ranges of parameters, those of the analysis before those of the default domain."""
    domains = dict(entries_of(document, "domains", source))
    names = sequence(chosen.get("domains") or [], source, "domains", empty=True)
    ranges: dict[str, tuple[float, float]] = {}
    for name in ("default_domain", *names):
        if name not in domains:
            if name == "default_domain":
                continue
            raise fail(source, f"there is no domain {described(name)}", f"choose of {listed(domains) or 'none'}")
        for raw in sequence(domains[str(name)].get("axes") or [], source, f"domain {name!r}", empty=True):
            axis = mapping(raw, source, f"an axis of domain {name!r}", frozenset({"name"}), any_keys(raw))
            if "min" in axis and "max" in axis:
                place = f"{source}: domain {name!r}, axis {axis['name']!r}"
                ranges[str(axis["name"])] = (number(axis["min"], place, "min"), number(axis["max"], place, "max"))
    return ranges


def data_of(document: Mapping[str, Any], source: str) -> dict[str, Mapping[str, Any]]:
    """Data by name."""
    return dict(entries_of(document, "data", source))
