"""Get published likelihoods: an archive of HEPData by its DOI or address, checked, unpacked and listed.

A download has a folder of its own, by default under ``XDG_CACHE_HOME/infer/downloads``::

    download.json    address, size and SHA-256 of the archive
    ARCHIVE          as it came
    files/           what is in it

A later call finds it there, checks the archive against its SHA-256, and asks no server.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from infer.errors import InputError, WorkspaceError
from infer.io.archives import is_archive, unpack
from infer.io.pyhf_json import digest
from infer.io.transfers import Fetched, Progress, fetch, read_notes, sha256
from infer.io.whole import write_whole

RESOLVER = "https://doi.org"
NOTES, FILES = "download.json", "files"

_DOI = re.compile(r"^(?:doi:|https?://(?:dx\.)?doi\.org/)?(10\.\d{4,9}/\S+)$", re.IGNORECASE)
_LARGEST = 256 * 2**20  # of a JSON file that is looked into


@dataclass(frozen=True)
class Published:
    """A file in a download that infer can do something with.

    Attributes:
        path: where it is.
        kind: workspace, patchset, patch, HS3 or HistFactory XML.
        about: what is in it, in a few words.
        command: what to run next; empty if nothing stands for itself.
    """

    path: Path
    kind: str
    about: str
    command: str

    def to_json_dict(self) -> dict[str, str]:
        """The entry in the record."""
        return {"path": str(self.path), "kind": self.kind, "about": self.about, "command": self.command}


@dataclass(frozen=True)
class Download:
    """What was downloaded.

    Attributes:
        url: the address that was asked for.
        archive: the file as it came.
        size: its bytes.
        sha256: of its content.
        reused: whether it was there already.
        resumed: bytes of it that were there from an earlier try.
        folder: what it was unpacked into.
        published: files that infer can do something with.
    """

    url: str
    archive: Path
    size: int
    sha256: str
    reused: bool
    resumed: int
    folder: Path
    published: tuple[Published, ...]

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer download --json``."""
        return {
            "url": self.url,
            "archive": str(self.archive),
            "bytes": self.size,
            "sha256": self.sha256,
            "reused": self.reused,
            "resumed": self.resumed,
            "folder": str(self.folder),
            "published": [entry.to_json_dict() for entry in self.published],
        }

    def table(self) -> str:
        """The record as plain text."""
        how = "already there, checked" if self.reused else "downloaded"
        how += f", {self.resumed} bytes of it before" if self.resumed else ""
        lines = [f"{self.archive} ({self.size} bytes, {how})", f"SHA-256 {self.sha256}"]
        if not self.published:
            lines.append(f"Nothing in {self.folder} is a likelihood that infer reads.")
        for entry in self.published:
            lines.append(f"{entry.path}: {entry.kind}, {entry.about}")
            if entry.command:
                lines.append(f"  {entry.command}")
        return "\n".join(lines)


def download(
    source: str,
    folder: str | Path | None = None,
    *,
    resolver: str = RESOLVER,
    expected_sha256: str | None = None,
    again: bool = False,
    progress: Progress | None = None,
) -> Download:
    """Download an archive or a JSON file, or find it where an earlier call has put it.

    Args:
        source: A DOI, such as ``10.17182/hepdata.90607.v3/r3`` or its address, or any address of an archive, such as
            ``https://www.hepdata.net/record/resource/1408476?view=true``.
        folder: Where to; None takes a folder in the cache of the user.
        resolver: What turns a DOI into a file.
        expected_sha256: Refuse another file.
        again: Download even if it is there.
        progress: Called with bytes done and in total, 0 if the server does not say.

    Raises:
        InputError: The address cannot be used, the server does not give the file, or the folder cannot be written.
        WorkspaceError: The archive is broken or dangerous.
    """
    url = address(source, resolver)
    place = _cache(url) if folder is None else Path(folder)
    _check_folder(place, url)
    known = None if again else _known(place)
    fetched = None
    if known is None:
        _make(place)
        archive = place / _file_name(url)
        fetched = fetch(url, archive, progress=progress)
        known = {"url": url, "file": archive.name, "bytes": fetched.size, "sha256": fetched.sha256}
    _check_sum(place / known["file"], known["sha256"], expected_sha256)
    write_whole(place / NOTES, json.dumps(known, indent=2) + "\n")
    files = _unpacked(place, place / known["file"], fresh=fetched is not None)
    return _record(known, place, fetched, files)


def address(source: str, resolver: str = RESOLVER) -> str:
    """The web address of a DOI, or of what is one already.

    Raises:
        InputError: It is neither.
    """
    text = source.strip()
    if found := _DOI.match(text):
        return f"{resolver.rstrip('/')}/{found[1]}"
    if urlsplit(text).scheme in ("http", "https") and urlsplit(text).hostname:
        return text
    raise InputError(f"{source!r} is neither a DOI, such as 10.17182/hepdata.90607.v3/r3, nor a web address.")


def _cache(url: str) -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    stem = re.sub(r"[^A-Za-z0-9.]+", "-", urlsplit(url).path).strip("-.")[-60:]
    return home / "infer" / "downloads" / f"{stem or 'file'}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def _file_name(url: str) -> str:
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".")
    return safe if safe not in ("", NOTES, FILES) else "archive"


def _check_folder(place: Path, url: str) -> None:
    """Refuse a folder that holds something else."""
    if not place.exists():
        return
    if not place.is_dir():
        raise InputError(f"{place} is a file, expected a folder to download into; give another name.")
    notes = read_notes(place / NOTES)
    if notes is not None and notes.get("url") == url:
        return
    name = _file_name(url)
    ours = (name, f"{name}.part", f"{name}.part.json") if notes is None else ()
    others = [path.name for path in place.iterdir() if path.name not in ours]
    if others:
        raise InputError(f"{place} holds something else ({others[0]}); give a new folder.")


def _make(place: Path) -> None:
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise InputError(f"{place} cannot be made ({problem.strerror}); give another folder.") from None


def _known(place: Path) -> dict[str, Any] | None:
    """What is known of an earlier download whose archive is still there."""
    notes = read_notes(place / NOTES)
    if notes is None or not all(isinstance(notes.get(key), str) for key in ("url", "file", "sha256")):
        return None
    file = Path(notes["file"]).name
    return {**notes, "file": file} if (place / file).is_file() else None


def _check_sum(archive: Path, recorded: str, expected: str | None) -> None:
    found = sha256(archive)
    if found != recorded:
        problem = f"{archive} is not what was downloaded (its SHA-256 is {found}, it was {recorded})"
        raise InputError(f"{problem}; download it again with --again.")
    if expected is not None and found != expected.strip().lower():
        raise InputError(
            f"{archive} has the SHA-256 {found}, expected {expected}; do not use it, and ask its publisher."
        )


def _unpacked(place: Path, archive: Path, *, fresh: bool) -> list[Path]:
    """Files of an archive; a JSON file stands for itself."""
    folder = place / FILES
    if fresh and folder.is_dir():
        shutil.rmtree(folder)
    if folder.is_dir():
        return sorted(path for path in folder.rglob("*") if path.is_file())
    if is_archive(archive):
        return unpack(archive, folder)
    with archive.open("rb") as file:
        head = file.read(512).lstrip()
    if head[:1] in (b"{", b"["):
        return [archive]
    kind = "a web page" if head[:1] == b"<" else "neither an archive nor JSON"
    raise InputError(
        f"{archive} is {kind}; give the DOI of a resource of the record, such as 10.17182/hepdata.90607.v3/r3, or the "
        "address behind its download button, with --again."
    )


def _record(known: dict[str, Any], place: Path, fetched: Fetched | None, files: Sequence[Path]) -> Download:
    archive = place / known["file"]
    return Download(
        known["url"],
        archive,
        archive.stat().st_size,
        known["sha256"],
        fetched is None,
        0 if fetched is None else fetched.resumed,
        place / FILES,
        tuple(published(files)),
    )


# --------------------------------------------------------------------------------------- what is in there


def published(files: Sequence[Path]) -> Iterator[Published]:
    """Files that infer can do something with, and what to run next: workspaces first, then what belongs to them."""
    documents = {path: document for path in files if (document := _decoded(path)) is not None}
    workspaces = {path: d for path, d in documents.items() if isinstance(d, dict) and _is_list(d, "channels")}
    by_digest = {pair: path for path, document in workspaces.items() for pair in _digests(document)}
    yield from (_workspace(path, document) for path, document in workspaces.items())
    for path, document in documents.items():
        if isinstance(document, dict) and _is_list(document, "patches"):
            yield _patchset(path, document, by_digest)
        elif isinstance(document, dict) and "hs3_version" in str(document.get("metadata", "")):
            about = "a model of the HEP Statistics Serialization Standard"
            yield Published(path, "HS3", about, f"infer inspect {_q(path)}")
        elif isinstance(document, list) and document and isinstance(document[0], dict) and "op" in document[0]:
            yield Published(path, "patch", f"{len(document)} operations", "")
    for path in files:
        if path.suffix == ".xml" and b"<Combination" in path.read_bytes()[:4096]:
            yield Published(path, "HistFactory XML", "a top-level file", f"infer inspect {_q(path)}")


def _is_list(document: dict[str, Any], key: str) -> bool:
    return isinstance(document.get(key), list)


def _digests(document: dict[str, Any]) -> list[tuple[str, str]]:
    """What a patchset may call a workspace; nothing for a document that has no digest."""
    try:
        return [(kind, digest(document, kind)) for kind in ("sha256", "md5")]
    except WorkspaceError:
        return []


def _decoded(path: Path) -> object:
    if path.suffix != ".json" and not _looks_like_json(path):
        return None
    if path.stat().st_size > _LARGEST:
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None


def _looks_like_json(path: Path) -> bool:
    with path.open("rb") as file:
        return not path.suffix and file.read(64).lstrip()[:1] in (b"{", b"[")


def _q(path: Path) -> str:
    return shlex.quote(str(path))


def _workspace(path: Path, document: dict[str, Any]) -> Published:
    measurements = document["measurements"] if _is_list(document, "measurements") else []
    names = [str(m.get("name")) for m in measurements if isinstance(m, dict)]
    about = f"{len(document['channels'])} channels, measurements {', '.join(names) or 'none'}"
    return Published(path, "workspace", about, f"infer inspect {_q(path)}")


def _patchset(path: Path, document: dict[str, Any], by_digest: dict[tuple[str, str], Path]) -> Published:
    wanted = _member(_member(document, "metadata"), "digests")
    home = next(
        (by_digest[kind, str(value)] for kind, value in wanted.items() if (kind, str(value)) in by_digest), None
    )
    named = [_member(patch, "metadata").get("name") for patch in document["patches"]]
    patches = [name for name in named if isinstance(name, str)]
    about = f"{len(patches)} patches" + (f" for {home.name}" if home else ", for a workspace that is not here")
    if home is None or not patches:
        return Published(path, "patchset", about, f"infer patchset list {_q(path)}")
    command = f"infer limit {_q(home)} --patch {shlex.quote(f'{path}:{patches[0]}')}"
    return Published(path, "patchset", f"{about}, such as {patches[0]}", command)


def _member(document: object, key: str) -> dict[str, Any]:
    """An object in an object; an empty one where there is none."""
    found = document.get(key) if isinstance(document, dict) else None
    return found if isinstance(found, dict) else {}
