"""A folder that keeps the finished chunks of a run, and knows what run it is of.

::

    cov/manifest.json       what the numbers are of: kind, model, settings, versions, number of chunks
    cov/chunk-000017.npz    the table of chunk 17

A file appears under its name only when it is whole: it is written beside that, forced to the disk,
then renamed.  What is not whole all the same, after a power failure or a full disk elsewhere, counts
as not done.  One run at a time may write into a folder.
"""

from __future__ import annotations

import json
import os
import platform
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from infer.compute.work import Table
from infer.errors import InputError

_FORMAT = "infer-checkpoint-1"
_MANIFEST = "manifest.json"
_DECISIVE = {"infer": "infer-hep", "jax": "jax", "jaxlib": "jaxlib", "numpy": "numpy"}
"""What may change the last bits of a result: name in a manifest, name of the distribution."""
_NOT_WHOLE = (OSError, ValueError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Manifest:
    """What the chunks of a run are of: two runs with equal manifests compute equal chunks.

    Args:
        kind: what is computed, a plural noun such as ``toys``.
        model: `fingerprint` of the likelihood and all else that is not in the settings.
        settings: what the user chose, as JSON values; not where or how fast it runs.
        versions: of the software, see `current_versions`.
        n_chunks: number of chunks.
    """

    kind: str
    model: str
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    n_chunks: int

    def to_json(self) -> str:
        """The manifest as JSON text, the same text for equal manifests."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """The inverse of `to_json`.

        Raises:
            ValueError: the text is no manifest.
        """
        document = json.loads(text)
        if not isinstance(document, dict) or document.pop("format", None) != _FORMAT:
            raise ValueError(f"it has no format {_FORMAT!r}")
        try:
            return cls(**document)
        except TypeError as error:
            raise ValueError(str(error)) from error

    def difference(self, other: Manifest) -> str | None:
        """How ``other`` differs, None if it computes the same numbers, bit for bit."""
        if other.kind != self.kind:
            return f"{self.kind}, not {other.kind}"
        if other.model != self.model:
            return f"{self.kind} of another model (fingerprint {self.model[:12]}, now {other.model[:12]})"
        settings = {**self.settings, "n_chunks": self.n_chunks}, {**other.settings, "n_chunks": other.n_chunks}
        changed = _changes(*settings, names=sorted({*settings[0], *settings[1]}))
        if changed:
            return f"{self.kind} of other settings ({changed})"
        changed = _changes(self.versions, other.versions, names=_DECISIVE)
        return f"{self.kind} of other software, which may change the last digits ({changed})" if changed else None


@dataclass(frozen=True)
class Checkpoint:
    """Finished chunks in a folder; made by `create` or `resume`.

    Args:
        folder: where they are kept.
        manifest: what they are of.
    """

    folder: Path
    manifest: Manifest

    @classmethod
    def create(cls, folder: str | Path, manifest: Manifest) -> Checkpoint:
        """A checkpoint in a new or empty folder.

        Raises:
            InputError: the folder holds something, or cannot be made.
        """
        checkpoint = cls(Path(folder), manifest)
        try:
            checkpoint.folder.mkdir(parents=True, exist_ok=True)
            holds = sorted(path.name for path in checkpoint.folder.iterdir())
            if not holds:
                _write(checkpoint.folder / _MANIFEST, lambda file: file.write(manifest.to_json().encode()))
        except OSError as error:
            raise InputError(f"the folder {checkpoint} cannot be made: {error.strerror or error}.") from error
        if _MANIFEST in holds:
            raise InputError(
                f"{checkpoint} holds an earlier run: continue it with --resume {checkpoint}, or choose another folder."
            )
        if holds:
            raise InputError(f"{checkpoint} is not empty ({holds[0]} is in it): choose another folder.")
        return checkpoint

    @classmethod
    def resume(cls, folder: str | Path, manifest: Manifest) -> Checkpoint:
        """The checkpoint that a folder holds.

        Raises:
            InputError: the folder holds none, or that of a run that computes something else.
        """
        checkpoint = cls(Path(folder), manifest)
        try:
            there = Manifest.from_json((checkpoint.folder / _MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(
                f"there is no run to resume in {checkpoint}, since it has no {_MANIFEST}: start one with --out."
            ) from None
        except (OSError, ValueError) as error:
            raise InputError(
                f"the run in {checkpoint} cannot be resumed, since its {_MANIFEST} cannot be read: {error}."
            ) from error
        difference = there.difference(Manifest.from_json(manifest.to_json()))
        if difference:
            raise InputError(
                f"{checkpoint} holds {difference}: resume it as it was started, or choose another folder with --out."
            )
        return checkpoint

    def __str__(self) -> str:
        return f"{self.folder}/"

    def finished(self) -> dict[int, Table]:
        """Tables of the chunks whose files are whole, by chunk."""
        tables = ((chunk, _read(self._path(chunk))) for chunk in range(self.manifest.n_chunks))
        return {chunk: table for chunk, table in tables if table is not None}

    def save(self, chunk: int, table: Table) -> None:
        """Keep the table of a finished chunk: all of it or nothing.

        Raises:
            OSError: the disk is full, or the folder is gone.
        """
        _write(self._path(chunk), lambda file: _write_arrays(file, table))

    def _path(self, chunk: int) -> Path:
        return self.folder / f"chunk-{chunk:06d}.npz"


@cache
def current_versions() -> dict[str, str]:
    """Versions of the software that computes here, for a manifest."""
    return {"python": platform.python_version(), **{name: version(of) for name, of in _DECISIVE.items()}}


def version_conflict(there: Mapping[str, str], here: Mapping[str, str]) -> str:
    """What differs of the software that may change the last bits, in words; empty if nothing does."""
    return _changes(there, here, names=_DECISIVE)


def _changes(there: Mapping[str, Any], here: Mapping[str, Any], *, names: Iterable[str]) -> str:
    """Entries that differ, in words; compared as JSON text, in which NaN equals itself."""
    absent = "absent"
    pairs = [
        (name, *(json.dumps(side[name], sort_keys=True) if name in side else absent for side in (there, here)))
        for name in names
    ]
    return ", ".join(f"{name} was {before}, now {after}" for name, before, after in pairs if before != after)


def _write(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file under another name, force it to the disk, then give it its name."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _write_arrays(file: IO[bytes], table: Table) -> None:
    """As `numpy.savez`, which cannot take arrays of every name and pickles objects."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, values in table.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(values), allow_pickle=False)


def _read(path: Path) -> dict[str, npt.NDArray[Any]] | None:
    """The table in a file, None if the file is not whole; checksums are compared on the way."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy"): _read_array(archive, name) for name in archive.namelist()}
    except _NOT_WHOLE:
        return None


def _read_array(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    with archive.open(name) as member:
        return np.lib.format.read_array(member, allow_pickle=False)
