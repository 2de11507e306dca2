"""Operations on pyhf workspaces as documents: sort, prune, rename, join, and making patchsets.

Each takes a decoded document, leaves it alone, and returns a new one that infer can read; order is kept where
sorting is not asked for.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import jsonpatch

from infer.documents import fail, listed
from infer.io.pyhf_json import digest
from infer.likelihoods.histfactory.spec import parse_workspace

Document: TypeAlias = dict[str, Any]
Join: TypeAlias = Literal["none", "outer", "left outer", "right outer"]

KINDS = ("channels", "samples", "modifiers", "measurements")


@dataclass(frozen=True)
class Names:
    """What a workspace has, in order of appearance.

    Attributes:
        channels: Names of channels.
        samples: Names of samples.
        modifiers: Names of modifiers.
        modifier_types: Types of modifiers.
        measurements: Names of measurements.
    """

    channels: tuple[str, ...]
    samples: tuple[str, ...]
    modifiers: tuple[str, ...]
    modifier_types: tuple[str, ...]
    measurements: tuple[str, ...]

    @classmethod
    def of(cls, document: Document) -> Names:
        """Names in a valid workspace."""
        samples = [sample for channel in document["channels"] for sample in channel["samples"]]
        modifiers = [modifier for sample in samples for modifier in sample["modifiers"]]
        return cls(
            _unique(channel["name"] for channel in document["channels"]),
            _unique(sample["name"] for sample in samples),
            _unique(modifier["name"] for modifier in modifiers),
            _unique(modifier["type"] for modifier in modifiers),
            _unique(measurement["name"] for measurement in document["measurements"]),
        )


@dataclass(frozen=True)
class Selection:
    """What is to be removed, by name.

    Attributes:
        channels: With their observations.
        samples: In all channels.
        modifiers: In all samples, with their settings in the measurements.
        modifier_types: All modifiers of such a type, with the settings that nothing uses any more.
        measurements: Measurements.
    """

    channels: Sequence[str] = ()
    samples: Sequence[str] = ()
    modifiers: Sequence[str] = ()
    modifier_types: Sequence[str] = ()
    measurements: Sequence[str] = ()


@dataclass(frozen=True)
class Renaming:
    """New names by old ones.

    Attributes:
        channels: Of channels and their observations.
        samples: Of samples, in all channels.
        modifiers: Of modifiers, and of the parameters and parameters of interest of measurements.
        measurements: Of measurements.
    """

    channels: Mapping[str, str] = field(default_factory=dict)
    samples: Mapping[str, str] = field(default_factory=dict)
    modifiers: Mapping[str, str] = field(default_factory=dict)
    measurements: Mapping[str, str] = field(default_factory=dict)


def _unique(names: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def sort_workspace(document: Mapping[str, object], *, source: str = "workspace") -> Document:
    """A workspace with channels, samples, modifiers, measurements, parameters and observations by name.

    Raises:
        WorkspaceError: The document is not a valid workspace.
    """
    result = _checked(document, source)
    for channel in result["channels"]:
        for sample in channel["samples"]:
            sample["modifiers"].sort(key=lambda modifier: (modifier["name"], modifier["type"]))
        channel["samples"].sort(key=_name)
    for measurement in result["measurements"]:
        measurement["config"]["parameters"].sort(key=_name)
    for key in ("channels", "measurements", "observations"):
        result[key].sort(key=_name)
    return result


def _name(entry: Mapping[str, str]) -> str:
    return entry["name"]


def prune_workspace(document: Mapping[str, object], selection: Selection, *, source: str = "workspace") -> Document:
    """A workspace without what is selected; settings of parameters that nothing uses any more go with it.

    Raises:
        WorkspaceError: A name is not in the workspace, or what is left is not a valid workspace: a channel has
            lost its last sample, or a parameter of interest is gone.
    """
    result = _checked(document, source)
    before = Names.of(result)
    for kind in Names.__dataclass_fields__:
        _require(getattr(selection, kind), getattr(before, kind), kind, source)
    _drop(result, "channels", selection.channels)
    _drop(result, "observations", selection.channels)
    _drop(result, "measurements", selection.measurements)
    for channel in result["channels"]:
        _drop(channel, "samples", selection.samples)
        for sample in channel["samples"]:
            _drop(sample, "modifiers", selection.modifiers)
            _drop(sample, "modifiers", selection.modifier_types, key="type")
    gone = set(before.modifiers) - set(Names.of(result).modifiers)
    for measurement in result["measurements"]:
        _drop(measurement["config"], "parameters", gone)
    return _checked(result, f"{source}, pruned")


def _drop(holder: Document, entries: str, unwanted: Any, key: str = "name") -> None:
    holder[entries] = [entry for entry in holder[entries] if entry[key] not in unwanted]


def _require(wanted: Any, present: Sequence[str], kind: str, source: str) -> None:
    for name in wanted:
        if name not in present:
            what = kind.replace("_", " ")
            raise fail(source, f"{name!r} is not among its {what}", f"choose of {listed(present) or 'none'}")


def rename_workspace(document: Mapping[str, object], renaming: Renaming, *, source: str = "workspace") -> Document:
    """A workspace with other names; a new name must be free, since two things of one name would become one.

    Raises:
        WorkspaceError: An old name is not in the workspace, or a new one is taken.
    """
    result = _checked(document, source)
    names = Names.of(result)
    for kind in KINDS:
        _check_renaming(getattr(renaming, kind), getattr(names, kind), kind, source)
    for entries, new in (("channels", renaming.channels), ("observations", renaming.channels)):
        _rename(result[entries], new)
    _rename(result["measurements"], renaming.measurements)
    for channel in result["channels"]:
        _rename(channel["samples"], renaming.samples)
        for sample in channel["samples"]:
            _rename(sample["modifiers"], renaming.modifiers)
    for measurement in result["measurements"]:
        config = measurement["config"]
        _rename(config["parameters"], renaming.modifiers)
        config["poi"] = renaming.modifiers.get(config["poi"], config["poi"])
    return _checked(result, f"{source}, renamed")


def _rename(entries: Any, new: Mapping[str, str]) -> None:
    for entry in entries:
        entry["name"] = new.get(entry["name"], entry["name"])


def _check_renaming(new: Mapping[str, str], present: Sequence[str], kind: str, source: str) -> None:
    _require(new, present, kind, source)
    after = [new.get(name, name) for name in present]
    for name in new.values():
        if after.count(name) > 1:
            problem = f"two {kind} would be called {name!r}"
            raise fail(source, problem, "take a name that is free; infer combine makes parameters one")


def join_workspaces(
    left: Mapping[str, object],
    right: Mapping[str, object],
    *,
    join: Join = "none",
    merge_channels: bool = False,
    sources: tuple[str, str] = ("left", "right"),
) -> Document:
    """Two workspaces as one, as pyhf's ``Workspace.combine`` joins them: modifiers of one name are correlated.

    Args:
        left: A workspace.
        right: Another.
        join: What may be in both: ``none`` nothing; ``outer`` what is equal in both; ``left outer`` and
            ``right outer`` what differs too, and that side wins.
        merge_channels: Whether channels of one name are merged, sample by sample; not with ``none``.
        sources: What messages call the two.

    Raises:
        WorkspaceError: They have in common what the mode does not allow, or the result is not a valid workspace.
    """
    place = f"{sources[0]} and {sources[1]}"
    if join not in get_args(Join):
        raise fail(place, f"the join is {join!r}", f"take one of {listed(get_args(Join))}")
    if merge_channels and join == "none":
        raise fail(place, "channels are not merged by the join 'none'", "take 'outer'")
    parts = _checked(left, sources[0]), _checked(right, sources[1])
    import pyhf  # type: ignore[import-untyped]  # a second that only who joins should wait for

    try:
        with _quiet("pyhf.workspace"):
            spaces = [pyhf.Workspace(part) for part in parts]
            joined = pyhf.Workspace.combine(*spaces, join=join, merge_channels=merge_channels)
    except pyhf.exceptions.InvalidWorkspaceOperation as error:
        remedy = "rename what differs, remove it, or take another join"
        raise fail(place, f"they cannot be joined ({str(error).rstrip('.')})", remedy) from error
    except (pyhf.exceptions.InvalidSpecification, KeyError) as error:
        raise fail(place, f"joined they are not a workspace ({error})", "take another join") from error
    return _checked(dict(joined), f"{place}, joined")


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Without warnings of a logger about what the caller has asked for by name."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(category=DeprecationWarning, action="ignore"):  # of pyhf's own libraries
            yield
    finally:
        logger.setLevel(level)


def make_patchset(
    background: Mapping[str, object],
    points: Mapping[str, tuple[Sequence[object], Mapping[str, object]]],
    *,
    labels: Sequence[str],
    description: str,
    references: Mapping[str, str] | None = None,
) -> Document:
    """A pyhf patchset that turns one workspace into others.

    Args:
        background: The workspace that the patches are for.
        points: By name of a patch, its values on the axes and the workspace that it makes.
        labels: Names of the axes.
        description: For people.
        references: Such as ``{"hepdata": "ins1234567"}``.

    Raises:
        WorkspaceError: A workspace is not valid, or a point has another number of values than there are labels.
    """
    base = _checked(background, "the background workspace")
    patches = []
    for name, (values, document) in points.items():
        if len(values) != len(labels):
            problem = f"it has {len(values)} values, expected {len(labels)}"
            raise fail(f"patch {name!r}", problem, f"give one for each of {listed(labels)}")
        operations = jsonpatch.make_patch(base, _checked(document, f"patch {name!r}")).patch
        patches.append({"metadata": {"name": name, "values": list(values)}, "patch": operations})
    metadata = {
        "references": dict(references or {}),
        "description": description,
        "digests": {"sha256": digest(base)},
        "labels": list(labels),
    }
    return {"metadata": metadata, "patches": patches, "version": "1.0.0"}


def _checked(document: Mapping[str, object], source: str) -> Document:
    """A copy of a document that infer can read as a workspace."""
    parse_workspace(document, source=source)
    return copy.deepcopy(dict(document))
