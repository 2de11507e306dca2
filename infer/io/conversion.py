"""From one format of binned models to another, by way of a pyhf workspace, and what that costs.

`FORMATS` says what can be read and written; a further format is one more entry. After writing, what was written is
read back and its likelihood is compared with the one that was read, at the start values, for every measurement.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp

from infer.documents import described, fail, listed
from infer.errors import InputError
from infer.io.datacards import is_datacard, read_datacard
from infer.io.histfactory_extras import StatConfig, StatConfigs, as_text, read_stat_configs, stat_document, stat_path
from infer.io.histfactory_model import histfactory_model
from infer.io.histfactory_writer import write_histfactory
from infer.io.histfactory_xml import read_histfactory
from infer.io.hs3 import pyhf_of_hs3, write_hs3
from infer.io.pyhf_json import read_document
from infer.io.whole import write_whole
from infer.likelihoods.histfactory.spec import parse_workspace
from infer.strict_yaml import SUFFIXES

Document: TypeAlias = dict[str, Any]

TOLERANCE = 1e-8  # of twice_nll, per unit of its magnitude


class Source(NamedTuple):
    """A model that was read.

    Args:
        workspace: As a pyhf workspace.
        remarks: What was assumed on the way, and what pyhf's format cannot say.
        stat: By channel, StatErrorConfigs of HistFactory, which pyhf's format cannot say.
    """

    workspace: Document
    remarks: tuple[str, ...] = ()
    stat: StatConfigs = MappingProxyType({})


@dataclass(frozen=True)
class Format:
    """A format of files.

    Attributes:
        what: For messages.
        reads: Whether a file or folder that exists has this format, as far as its name and first lines tell.
        writes: Whether a name of what is to be written asks for it.
        read: Reads it; None if it cannot be read.
        write: Writes it and returns remarks on what it cannot say; None if it cannot be written.
        keeps_stat: Whether it can say the StatErrorConfigs of HistFactory.
    """

    what: str
    reads: Callable[[Path], bool]
    writes: Callable[[Path], bool]
    read: Callable[[Path], Source] | None = None
    write: Callable[[Source, Path], tuple[str, ...]] | None = None
    keeps_stat: bool = False


@dataclass(frozen=True)
class Conversion:
    """What became of a model.

    Attributes:
        source: What was read.
        target: What was written.
        formats: Of the two.
        remarks: What was assumed or lost.
        twice_nll: By measurement, -2 ln L at the start values, as it was read.
        differences: By measurement, by how much that of the written model differs there; None where the two have
            other parameters and cannot be compared.
    """

    source: str
    target: str
    formats: tuple[str, str]
    remarks: tuple[str, ...]
    twice_nll: Mapping[str, float]
    differences: Mapping[str, float | None]

    @property
    def faithful(self) -> bool:
        """Whether what was written is what was read, up to rounding."""
        return all(
            difference is not None and abs(difference) <= TOLERANCE * max(1.0, abs(self.twice_nll[name]))
            for name, difference in self.differences.items()
        )

    @property
    def difference(self) -> float | None:
        """The largest difference; None where there is none to be had."""
        found = [value for value in self.differences.values() if value is not None]
        return max(found, key=abs) if len(found) == len(self.differences) else None

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer convert --json``."""
        return {
            "from": self.source,
            "to": self.target,
            "formats": list(self.formats),
            "remarks": list(self.remarks),
            "twice_nll_difference": self.difference,
            "measurements": {
                name: {"twice_nll": value, "difference": self.differences[name]}
                for name, value in self.twice_nll.items()
            },
            "faithful": self.faithful,
        }

    def table(self) -> str:
        """The record as plain text."""
        first, second = (FORMATS[name].what for name in self.formats)
        lines = [f"{self.source} ({first}) -> {self.target} ({second})"]
        for name, value in self.twice_nll.items():
            difference = self.differences[name]
            told = "other parameters" if difference is None else f"{difference:.3g} after reading it back"
            lines.append(f"  measurement {name!r}: -2 ln L = {value:.6f} at the start values, {told}")
        return "\n".join([*lines, *(f"Note: {remark}" for remark in self.remarks)])


def convert(
    source: str | Path,
    target: str | Path,
    *,
    to: str | None = None,
    patch: str | None = None,
) -> Conversion:
    """Write a model in another format.

    Args:
        source: A pyhf workspace, a folder or top-level file of HistFactory XML, or another of `FORMATS`.
        target: What to write: a file, or for HistFactory XML a folder.
        to: The format to write, of `FORMATS`; None goes by the name of the target.
        patch: ``patchset.json:name`` or the path of a JSON patch, for pyhf workspaces.

    Raises:
        WorkspaceError: The source breaks its format, or has what the other format cannot say.
        InputError: A format is not known, or the target cannot be written.
    """
    given, written = Path(source), Path(target)
    if written.exists() and given.exists() and written.resolve() == given.resolve():
        raise InputError(f"{target} is what is to be read; give another name to write to.")
    names = source_format(given), target_format(written) if to is None else known_format(to)
    if FORMATS[names[1]].write is None:
        raise InputError(f"{FORMATS[names[1]].what} can be read but not written; choose of {listed(_writable())}.")
    model = read_model(given, patch=patch)
    before = _at_start(model)
    said = _write(names[1], model, written)
    again = read_model(written, kind=names[1])
    differences = _differences(before, again if FORMATS[names[1]].keeps_stat else Source(again.workspace))
    values = {name: value for name, (_, value) in before.items()}
    remarks = tuple(dict.fromkeys((*model.remarks, *said, *again.remarks)))
    return Conversion(str(source), str(target), names, remarks, values, differences)


def _write(name: str, model: Source, path: Path) -> tuple[str, ...]:
    write = FORMATS[name].write
    return () if write is None else write(model, path)


def read_model(path: Path, *, kind: str | None = None, patch: str | None = None) -> Source:
    """Read a model of any format.

    Raises:
        WorkspaceError: It breaks its format, or is no valid workspace.
        InputError: Its format is not known or cannot be read, or does not take patches.
    """
    name = kind or source_format(path)
    if patch is not None:
        if name != "pyhf":
            raise InputError(f"{path} is {FORMATS[name].what}, and patches are for pyhf workspaces; leave out --patch.")
        return Source(_workspace(path, patch))
    read = FORMATS[name].read
    if read is None:
        raise InputError(f"{path} is {FORMATS[name].what}, which can be written but not read; give another file.")
    model = read(path)
    parse_workspace(model.workspace, source=str(path))
    return model


def source_format(path: Path) -> str:
    """Which of `FORMATS` a file or folder has.

    Raises:
        InputError: None, or there is no such file.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder; check the path.")
    for name, kind in FORMATS.items():
        if kind.reads(path):
            return name
    raise InputError(f"{path} has no format that infer converts; give {_choices(FORMATS)}.")


def is_foreign(path: Path) -> bool:
    """Whether a path has one of `FORMATS` that are read by way of a pyhf workspace, which says all of them."""
    return any(kind.reads(path) for name, kind in FORMATS.items() if name not in _MORE and kind.read is not None)


def target_format(path: Path) -> str:
    """Which of `FORMATS` the name of a target asks for.

    Raises:
        InputError: None.
    """
    for name, kind in FORMATS.items():
        if kind.writes(path):
            return name
    raise InputError(f"the name {path.name!r} does not say what to write; give --to with one of {listed(_writable())}.")


def known_format(name: str) -> str:
    """The name of a format, if there is one.

    Raises:
        InputError: There is none.
    """
    if name not in FORMATS:
        raise InputError(f"the format {name!r} is not known; choose of {listed(_writable())}.")
    return name


def _writable() -> list[str]:
    return [name for name, kind in FORMATS.items() if kind.write is not None]


def _choices(formats: Mapping[str, Format]) -> str:
    return ", or ".join(kind.what for kind in formats.values() if kind.read is not None)


# -------------------------------------------------------------------------------------------- comparison


def _at_start(source: Source) -> dict[str, tuple[dict[str, float], float]]:
    """By measurement, the start values by name, and -2 ln L there."""
    workspace = parse_workspace(source.workspace)
    found = {}
    for measurement in workspace.measurements:
        model, data = histfactory_model(workspace, measurement, stat=source.stat)
        start = model.parameters.init
        values = dict(zip(model.parameters, map(float, start), strict=True))
        found[measurement.name] = values, -2.0 * float(model.logpdf(jnp.asarray(start), data))
    return found


def _differences(before: Mapping[str, tuple[dict[str, float], float]], after: Source) -> dict[str, float | None]:
    """By measurement, by how much -2 ln L at the same point differs; None where parameters do."""
    workspace = parse_workspace(after.workspace)
    by_name = {measurement.name: measurement for measurement in workspace.measurements}
    found: dict[str, float | None] = {}
    for name, (values, twice_nll) in before.items():
        found[name] = None
        if name not in by_name:
            continue
        model, data = histfactory_model(workspace, by_name[name], stat=after.stat)
        if set(model.parameters) == set(values):
            found[name] = -2.0 * float(model.logpdf(jnp.asarray(model.parameters.vector(values)), data)) - twice_nll
    return found


# ----------------------------------------------------------------------------------------------- formats


def _workspace(path: Path, patch: str | None = None) -> Document:
    document = read_document(path, patch)
    if "format" in document:
        kind = described(document["format"])
        raise fail(str(path), f"its format is {kind}, which no other format can say", "give a pyhf workspace")
    parse_workspace(document, source=str(path))
    return document


def _read_pyhf(path: Path) -> Source:
    document = _workspace(path)
    stat, remarks = read_stat_configs(document, path)
    return Source(document, remarks, stat)


def _write_pyhf(model: Source, path: Path) -> tuple[str, ...]:
    if path.suffix in SUFFIXES:
        write_whole(path, import_module("yaml").safe_dump(model.workspace, sort_keys=False, allow_unicode=True))
    else:
        write_whole(path, json.dumps(model.workspace, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    stat = {channel: config for channel, config in model.stat.items() if not config.is_default}
    if not stat:
        return ()
    beside = stat_path(path)
    write_whole(beside, as_text(stat_document(model.workspace, stat)))
    said = f"pyhf's format has no StatErrorConfig: thresholds and constraint types are in {beside.name}"
    gaussian = [channel for channel, config in stat.items() if _is_shared(model.workspace, channel, config)]
    if not gaussian:
        return (said,)
    lost = "pyhf's format has no Poisson constraint that several samples share: those of StatErrors became Gaussian"
    return said, f"{lost}, and the likelihood differs where few events were simulated, in {', '.join(gaussian)}"


def _is_shared(workspace: Document, channel: str, config: StatConfig) -> bool:
    """Whether a StatError has a Poisson constraint and is no shapesys."""
    modifiers = [m for c in workspace["channels"] if c["name"] == channel for s in c["samples"] for m in s["modifiers"]]
    kinds = {m["type"] for m in modifiers if m["name"] == config.modifier}
    return config.constraint == "Poisson" and kinds == {"staterror"}


def _read_datacard(path: Path) -> Source:
    return Source(*read_datacard(path).pyhf())


def _is_hs3(path: Path) -> bool:
    return path.suffix == ".json" and path.is_file() and b'"hs3_version"' in path.read_bytes()


def _read_hs3(path: Path) -> Source:
    return Source(*pyhf_of_hs3(read_document(path), source=str(path)))


def _write_hs3(model: Source, path: Path) -> tuple[str, ...]:
    made = write_hs3(model.workspace, source=str(path))
    write_whole(path, json.dumps(made.document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return made.remarks


def _is_xml(path: Path) -> bool:
    return path.suffix == ".xml" or (path.is_dir() and any(path.glob("*.xml")))


def _read_xml(path: Path) -> Source:
    return Source(*read_histfactory(path))


def _write_xml(model: Source, path: Path) -> tuple[str, ...]:
    return write_histfactory(model.workspace, path, stat=model.stat)


_MORE = frozenset({"pyhf", "hs3", "datacard"})  # their models may have more than a pyhf workspace can say

FORMATS: dict[str, Format] = {  # the first that recognises a path has it: special ones before pyhf
    "histfactory": Format(
        "HistFactory XML and ROOT",
        _is_xml,
        lambda path: not path.suffix or path.is_dir(),
        _read_xml,
        _write_xml,
        keeps_stat=True,
    ),
    "datacard": Format("a datacard of CMS Combine", is_datacard, lambda _: False, _read_datacard),
    "hs3": Format("HS3", _is_hs3, lambda path: path.name.endswith(".hs3.json"), _read_hs3, _write_hs3),
    "pyhf": Format(
        "a pyhf workspace",
        lambda path: path.suffix in (".json", *SUFFIXES),
        lambda path: path.suffix in (".json", *SUFFIXES),
        _read_pyhf,
        _write_pyhf,
    ),
}
