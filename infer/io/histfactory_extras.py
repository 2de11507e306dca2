"""What a HistFactory model has that one of its two formats has no place for, kept in a small file beside it.

Beside the XML files lies ``infer.json`` (`Sidecar`): the names that ROOT does not take, and the settings of a pyhf
workspace that XML cannot say, such as the bounds of an ``alpha``. What XML does say is never overruled by it.

Beside a pyhf workspace that came from XML lies ``NAME.histfactory.json`` (`StatConfigs`): the threshold below which
ROOT holds a bin's statistical uncertainty, the uncertainties that were below it, and the type of the constraint.
pyhf's format knows neither. It is bound to the workspace by its digest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from infer.documents import described, fail, mapping, number, text
from infer.io.pyhf_json import digest
from infer.io.strict_json import load_document

SIDECAR = "infer.json"
FORMAT = "infer-histfactory"
STAT_FORMAT = "infer-histfactory-staterror"
KINDS = ("channels", "samples", "modifiers", "measurements")
SETTINGS = frozenset({"auxdata", "bounds", "factors", "sigmas"})

THRESHOLD, CONSTRAINT = 0.05, "Poisson"  # what ROOT takes where a channel has no StatErrorConfig

Names: TypeAlias = Mapping[str, str]
Settings: TypeAlias = Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Sidecar:
    """What lies beside XML files.

    Attributes:
        names: by kind (channels, samples, modifiers, measurements), from the name in ROOT to the other one.
        staterrors: by channel in ROOT, how its staterror is called.
        settings: by measurement and parameter, what XML cannot say of it.
        files: the top-level XML files, in the order of the measurements.
    """

    names: Mapping[str, Names] = field(default_factory=dict)
    staterrors: Names = field(default_factory=dict)
    settings: Settings = field(default_factory=dict)
    files: tuple[str, ...] = ()

    def name(self, kind: str, safe: str) -> str:
        """The name that one in ROOT stands for."""
        return self.names.get(kind, {}).get(safe, safe)

    def to_json_dict(self) -> dict[str, Any]:
        """The document."""
        return {
            "format": FORMAT,
            "names": {kind: dict(names) for kind, names in self.names.items()},
            "staterrors": dict(self.staterrors),
            "settings": self.settings,
            "files": list(self.files),
        }


@dataclass(frozen=True)
class StatConfig:
    """StatErrorConfig of a channel.

    Attributes:
        modifier: how the modifier is called in the pyhf workspace.
        threshold: bins with a smaller relative uncertainty are held.
        constraint: Gaussian or Poisson.
        below: by sample and bin, the uncertainties that were below it.
    """

    modifier: str
    threshold: float = 0.0
    constraint: str = "Gaussian"
    below: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    @property
    def is_default(self) -> bool:
        """Whether pyhf's format says the same."""
        return self.threshold == 0.0 and self.constraint == "Gaussian"

    def to_json_dict(self) -> dict[str, Any]:
        """The entry in the document."""
        below = {sample: {str(i): value for i, value in bins.items()} for sample, bins in self.below.items()}
        named = {"modifier": self.modifier, "threshold": self.threshold, "constraint": self.constraint}
        return {**named, "below_threshold": below}


StatConfigs: TypeAlias = Mapping[str, StatConfig]


def read_sidecar(folder: Path) -> Sidecar:
    """What lies beside XML files in a folder; an empty record if nothing does.

    Raises:
        WorkspaceError: It breaks its format.
    """
    path = folder / SIDECAR
    if not path.is_file():
        return Sidecar()
    keys = frozenset({"format", "names", "staterrors", "settings", "files"})
    document = mapping(load_document(path), str(path), "the document", keys)
    if document["format"] != FORMAT:
        remedy = "give the folder that infer convert wrote, or remove this file"
        raise fail(str(path), f"format is {described(document['format'])}, expected {FORMAT!r}", remedy)
    names = mapping(document["names"], str(path), "names", frozenset(), frozenset(KINDS))
    files = document["files"]
    if not isinstance(files, list):
        raise fail(str(path), f"files is {described(files)}, expected a list", "correct it")
    return Sidecar(
        {kind: _texts(entries, str(path), f"names.{kind}") for kind, entries in names.items()},
        _texts(document["staterrors"], str(path), "staterrors"),
        _settings(document["settings"], str(path)),
        tuple(text(file, str(path), "files") for file in files),
    )


def _texts(value: object, place: str, where: str) -> Names:
    return {key: text(entry, place, f"{where}.{key}") for key, entry in _object(value, place, where).items()}


def _object(value: object, place: str, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise fail(place, f"{where} is {described(value)}, expected an object", "correct it, or remove the file")
    return value


def _settings(value: object, place: str) -> Settings:
    """The values themselves are judged with the workspace that they become part of."""
    found = {}
    for measurement, parameters in _object(value, place, "settings").items():
        entries = _object(parameters, place, f"settings.{measurement}").items()
        found[measurement] = {
            name: mapping(fields, place, f"settings.{measurement}.{name}", frozenset(), SETTINGS)
            for name, fields in entries
        }
    return found


def stat_path(workspace: Path) -> Path:
    """Where the StatErrorConfigs of a workspace lie."""
    return workspace.with_name(f"{workspace.stem}.histfactory.json")


def stat_document(workspace: Mapping[str, Any], configs: StatConfigs) -> dict[str, Any]:
    """The document with the StatErrorConfigs of a workspace."""
    channels = {channel: config.to_json_dict() for channel, config in configs.items()}
    return {"format": STAT_FORMAT, "sha256": digest(workspace), "channels": channels}


def read_stat_configs(workspace: Mapping[str, Any], path: Path) -> tuple[StatConfigs, tuple[str, ...]]:
    """The StatErrorConfigs beside a workspace and what is to be said about them; none if there are none.

    Raises:
        WorkspaceError: The file breaks its format.
    """
    beside = stat_path(path)
    if not beside.is_file():
        return {}, ()
    place, keys = str(beside), frozenset({"format", "sha256", "channels"})
    document = mapping(load_document(beside), place, "the document", keys)
    if document["format"] != STAT_FORMAT:
        raise fail(place, f"format is {described(document['format'])}, expected {STAT_FORMAT!r}", "remove the file")
    if document["sha256"] != digest(workspace):
        return {}, (f"{beside.name} is for another state of {path.name} and was not used",)
    channels = _object(document["channels"], place, "channels")
    return {channel: _stat_config(entry, place, f"channels.{channel}") for channel, entry in channels.items()}, ()


def _stat_config(value: object, place: str, where: str) -> StatConfig:
    keys = frozenset({"modifier", "threshold", "constraint", "below_threshold"})
    entry = mapping(value, place, where, keys)
    if entry["constraint"] not in ("Gaussian", "Poisson"):
        problem = f"{where}.constraint is {described(entry['constraint'])}"
        raise fail(place, problem, "write Gaussian or Poisson")
    below = {}
    for sample, bins in _object(entry["below_threshold"], place, f"{where}.below_threshold").items():
        found = _object(bins, place, f"{where}.below_threshold.{sample}")
        below[sample] = {_bin(i, place, where): number(found[i], place, f"{where}, bin {i}") for i in found}
    threshold = number(entry["threshold"], place, f"{where}.threshold")
    return StatConfig(text(entry["modifier"], place, f"{where}.modifier"), threshold, str(entry["constraint"]), below)


def _bin(key: str, place: str, where: str) -> int:
    if not key.isdecimal():
        raise fail(place, f"{where}.below_threshold has the bin {key[:40]!r}", "bins count from 0")
    return int(key)


def as_text(document: Mapping[str, Any]) -> str:
    """JSON for people."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
