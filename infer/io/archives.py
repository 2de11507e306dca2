"""Unpack tar and zip archives from strangers: nothing is written outside of the folder, and not without limit.

Absolute paths, paths that lead upwards, links and devices are refused and not skipped: an archive that has them was not
made by somebody who wanted to publish likelihoods.
"""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from infer.documents import fail
from infer.io.whole import whole_folder

MAX_BYTES = 4 * 2**30
MAX_FILES = 20_000
_CHUNK = 1 << 20
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, NotImplementedError, RuntimeError)


class _Member(NamedTuple):
    """A file in an archive; opening it is for when its name has been judged."""

    name: str
    harm: str
    data: IO[bytes] | None


def is_archive(path: Path) -> bool:
    """Whether a file is an archive that can be unpacked."""
    return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)


def unpack(archive: Path, folder: Path, *, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES) -> list[Path]:
    """Unpack an archive into a folder that does not exist yet, all of it or nothing, and return its files.

    Args:
        archive: Tar, compressed or not, or zip.
        folder: Where to.
        max_bytes: Of all files together; the headers of the archive are not believed.
        max_files: Number of them.

    Raises:
        WorkspaceError: The archive is broken, too large, or has members that lead outside.
        InputError: The folder is not empty, or cannot be written, as on a full disk.
    """
    written: list[Path] = []
    with whole_folder(folder) as part:
        try:
            left = max_bytes
            for member in _members(archive):
                path = _inside(member, str(archive))
                if path is None or member.data is None:
                    continue
                if len(written) == max_files:
                    raise fail(str(archive), f"it has more than {max_files} files", "unpack it by hand")
                left -= _write(member, part / path, left, archive)
                written.append(folder / path)
        except _BROKEN as error:
            problem = f"the archive is broken ({type(error).__name__}: {error})"
            raise fail(str(archive), problem, "get it again, whole") from error
    return sorted(written)


def _members(archive: Path) -> Iterator[_Member]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                link = (info.external_attr >> 16) & 0o170000 == 0o120000
                data = None if info.is_dir() or link else zipped.open(info)
                yield _Member(info.filename, "is a link" if link else "", data)
        return
    with tarfile.open(archive, "r:*") as tar:
        for entry in tar:
            harm = "" if entry.isfile() or entry.isdir() else "is a link or a device"
            yield _Member(entry.name, harm, tar.extractfile(entry) if entry.isfile() else None)


def _inside(member: _Member, place: str) -> PurePosixPath | None:
    """The path of a member in the folder; None for what a Macintosh adds."""
    name = member.name
    path = PurePosixPath(name)
    harm = member.harm
    if not harm and (path.is_absolute() or "\\" in name or ":" in name.split("/")[0] or "\0" in name):
        harm = "has an absolute path or a character that no path should have"
    if not harm and ".." in path.parts:
        harm = "leads out of the folder"
    if harm:
        raise fail(place, f"its member {name[:80]!r} {harm}", "do not trust this archive")
    return None if path.name.startswith("._") or "__MACOSX" in path.parts or not path.parts else path


def _write(member: _Member, path: Path, left: int, archive: Path) -> int:
    """Write a member and return its size."""
    if path.exists():
        raise fail(str(archive), f"its member {member.name[:80]!r} stands twice", "unpack it by hand")
    size = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as out, member.data or path.open("rb") as data:
        while chunk := data.read(_CHUNK):
            size += len(chunk)
            if size > left:
                raise fail(str(archive), "unpacked it is larger than what is allowed", "unpack it by hand")
            out.write(chunk)
    return size
