"""Read what pyhf publishes: workspaces, JSON patches (RFC 6902) and patchsets.

Published searches come as one background-only workspace and a patchset, one patch per signal model.
A patchset binds its patches to its workspace by digests of the document: SHA-256 or MD5 of the JSON
text with sorted keys and unescaped characters, as `pyhf.utils.digest` computes them.
"""

from __future__ import annotations

import hashlib
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import jsonpatch

from infer.documents import described, distinct, fail, listed, mapping, sequence, text
from infer.io.strict_json import load_document, load_json, within_depth

__all__ = [
    "Patch",
    "PatchSet",
    "apply_patch",
    "digest",
    "load_document",
    "load_patch",
    "load_patchset",
    "read_document",
    "select_patch",
    "verify_digest",
]

Operation: TypeAlias = Mapping[str, object]

_PATCHSET = frozenset({"patches", "metadata", "version"})
_PATCH = frozenset({"metadata", "patch"})
_DIGESTS = frozenset({"sha256", "md5"})
_OPERANDS = {  # by operation, the member that it needs besides op and path
    "add": "value",
    "copy": "from",
    "move": "from",
    "remove": "path",
    "replace": "value",
    "test": "value",
}


@dataclass(frozen=True, slots=True)
class Patch:
    """One patch of a patchset.

    Attributes:
        name: what the patch is called, such as a grid point of signal masses.
        values: the point on the axes that the patchset's labels name, numbers or strings.
        operations: the JSON-patch operations, in order.
    """

    name: str
    values: tuple[object, ...]
    operations: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class PatchSet:
    """Patches for one workspace.

    Attributes:
        source: how messages name the patchset.
        digests: the workspace's digest by algorithm, "sha256" or "md5", at least one.
        labels: names of the axes that the patches' values belong to.
        patches: in document order, with distinct names and values.
    """

    source: str
    digests: Mapping[str, str]
    labels: tuple[str, ...]
    patches: tuple[Patch, ...]


def read_document(path: str | Path, patch: str | None = None) -> dict[str, object]:
    """Return the decoded workspace in the file at `path`, with a patch applied unless it is None.

    A `patch` is either the path of a plain JSON-patch file, or ``patchset.json:name`` for one patch
    of a patchset, whose digests must then be those of the workspace.

    Raises:
        WorkspaceError: a file cannot be read, the patch does not exist, is for another workspace,
            or cannot be applied.
    """
    document = load_document(path)
    if patch is None:
        return document
    file, name = _split_patch_argument(patch)
    if name is None:
        return apply_patch(document, load_patch(file), source=file)
    patchset = load_patchset(file)
    chosen = select_patch(patchset, name)
    verify_digest(patchset, document, source=str(path))
    return apply_patch(document, chosen.operations, source=f"{file}: patch {name!r}")


def load_patch(path: str | Path) -> tuple[Operation, ...]:
    """Return the operations of the plain JSON-patch file at `path`.

    Raises:
        WorkspaceError: the file cannot be read or is no list of operations; for a patchset the
            message lists its patches.
    """
    document, source = load_json(path), str(path)
    if isinstance(document, dict) and "patches" in document:
        names = listed(patch.name for patch in _patchset(document, source).patches)
        raise fail(source, "this is a patchset", f"add ':' and the name of a patch, of {names}")
    return _operations(document, source, "the patch")


def load_patchset(path: str | Path) -> PatchSet:
    """Return the patchset in the file at `path`.

    Raises:
        WorkspaceError: the file cannot be read or is not a patchset.
    """
    return _patchset(load_json(path), str(path))


def select_patch(patchset: PatchSet, name: str) -> Patch:
    """Return the patch of a patchset that is called `name`.

    Raises:
        WorkspaceError: there is none; the message lists the names.
    """
    for patch in patchset.patches:
        if patch.name == name:
            return patch
    names = listed(patch.name for patch in patchset.patches)
    raise fail(patchset.source, f"it has no patch {name!r}", f"choose one of {names}")


def verify_digest(patchset: PatchSet, document: object, *, source: str = "workspace") -> None:
    """Check that a patchset was made for this workspace, which messages call `source`.

    Raises:
        WorkspaceError: a digest differs.
    """
    for algorithm, expected in patchset.digests.items():
        found = digest(document, algorithm)
        if found != expected.lower():
            problem = f"its {algorithm} digest is {found}, but {patchset.source} wants {expected}"
            raise fail(source, problem, "take the workspace that was published with the patchset")


def digest(document: object, algorithm: str = "sha256") -> str:
    """Return the digest of a decoded document in hexadecimal digits, as pyhf computes it.

    Raises:
        WorkspaceError: the document is nested too deeply, or a string has half a surrogate pair.
    """
    with within_depth("the document"):
        canonical = json.dumps(document, sort_keys=True, ensure_ascii=False)
    try:
        encoded = canonical.encode()
    except UnicodeEncodeError as error:
        problem = f"a string has {canonical[error.start]!r}, which is not a character"
        raise fail("the document", problem, "correct the escape") from error
    return hashlib.new(algorithm, encoded, usedforsecurity=False).hexdigest()


def apply_patch(
    document: Mapping[str, object],
    patch: Sequence[Operation],
    *,
    source: str = "patch",
) -> dict[str, object]:
    """Return a copy of `document` to which a JSON patch, called `source` in messages, is applied.

    Raises:
        WorkspaceError: an operation is malformed or does not fit the document, or the result is not
            an object.
    """
    operations = _operations(patch, source, "the patch")
    with within_depth(source):
        patched = _copied(document)
        for index, operation in enumerate(operations):
            patched = _applied(patched, operation, f"{source}: operation {index}")
    if not isinstance(patched, dict):
        problem = f"it turns the document into {described(patched)}"
        raise fail(source, problem, "patch the inside of the workspace")
    return patched


def _applied(document: object, operation: Operation, place: str) -> object:
    """Apply one operation to the document in place and return what has become of it."""
    # a copy, since the operation's value becomes part of the document
    own = {key: _copied(value) for key, value in operation.items()}
    try:
        return jsonpatch.apply_patch(document, [own], in_place=True)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        reason = textwrap.shorten(str(error), 100, placeholder=" ...")
    except (TypeError, KeyError, IndexError, ValueError):
        reason = "the path leads through something that is neither an object nor a list"
    problem = f"{operation['op']} {operation['path']!r} is impossible ({reason})"
    raise fail(place, problem, "check that the patch is for this workspace")


def _copied(value: object) -> object:
    """Return a copy of a JSON value that shares no list or object with it."""
    if isinstance(value, dict):
        return {key: _copied(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(entry) for entry in value]
    return value


def _split_patch_argument(argument: str) -> tuple[str, str | None]:
    """Split "patchset.json:name" into path and name; the name of a plain path is None."""
    file, colon, name = argument.rpartition(":")
    is_path = not colon or "/" in name or "\\" in name or name.endswith(".json")
    return (argument, None) if is_path else (file, name)


def _patchset(document: object, source: str) -> PatchSet:
    if isinstance(document, list):
        raise fail(source, "this is a plain JSON patch, not a patchset", "drop ':' and the name")
    top = mapping(document, source, "the patchset", _PATCHSET)
    version = text(top["version"], source, "version")
    if version != "1.0.0":
        problem = f"version is {version!r}, expected '1.0.0'"
        raise fail(source, problem, "this is the only version of the schema")
    metadata = _with(("digests", "labels"), top["metadata"], source, "metadata")
    raw = sequence(metadata["labels"], source, "labels")
    labels = tuple(text(label, source, f"labels[{index}]") for index, label in enumerate(raw))
    entries = sequence(top["patches"], source, "patches")
    patches = [_patch(entry, source, index, labels) for index, entry in enumerate(entries)]
    distinct([patch.name for patch in patches], source, "patch")
    distinct([repr(patch.values) for patch in patches], source, "point")
    return PatchSet(source, _digests(metadata["digests"], source), labels, tuple(patches))


def _patch(value: object, source: str, index: int, labels: tuple[str, ...]) -> Patch:
    entry = mapping(value, source, f"patches[{index}]", _PATCH)
    field = f"patches[{index}].metadata"
    metadata = _with(("name", "values"), entry["metadata"], source, field)
    name = text(metadata["name"], source, f"{field}.name")
    place = f"{source}: patch {name!r}"
    values = sequence(metadata["values"], place, "values", empty=True)
    if len(values) != len(labels):
        problem = f"values has {len(values)} entries, expected {len(labels)}"
        raise fail(place, f"{problem} (the labels {listed(labels)})", "give one value per label")
    return Patch(name, tuple(values), _operations(entry["patch"], place, "patch"))


def _with(keys: Sequence[str], value: object, place: str, field: str) -> Operation:
    """Return an object that has certain keys and may have any others, as pyhf's metadata may."""
    others = frozenset(value) if isinstance(value, dict) else frozenset()
    return mapping(value, place, field, frozenset(keys), others)


def _digests(value: object, source: str) -> Mapping[str, str]:
    raw = mapping(value, source, "digests", frozenset(), _DIGESTS)
    if not raw:
        raise fail(source, "digests is empty", f"give one of {listed(sorted(_DIGESTS))}")
    return MappingProxyType({key: text(raw[key], source, f"digests.{key}") for key in raw})


def _operations(value: object, place: str, field: str) -> tuple[Operation, ...]:
    """Return the operations of a JSON patch, each with the members that RFC 6902 demands."""
    entries = sequence(value, place, field, empty=True)
    return tuple(_operation(raw, place, f"{field}[{i}]") for i, raw in enumerate(entries))


def _operation(value: object, place: str, field: str) -> Operation:
    entry = _with(("op", "path"), value, place, field)
    op = text(entry["op"], place, f"{field}.op")
    if op not in _OPERANDS:
        raise fail(place, f"{field}.op is {op!r}", f"the operations are {listed(_OPERANDS)}")
    if _OPERANDS[op] not in entry:
        raise fail(place, f"{field} lacks the key {_OPERANDS[op]!r}", f"{op} needs it")
    for key in {"path", _OPERANDS[op]} - {"value"}:
        pointer = text(entry[key], place, f"{field}.{key}", empty=True)
        if pointer and not pointer.startswith("/"):
            raise fail(place, f"{field}.{key} is {pointer!r}", "a JSON pointer begins with '/'")
    return entry
