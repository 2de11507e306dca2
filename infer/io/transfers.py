"""Fetch a file by HTTP: what was cut off goes on where it was, and what is there is checked before it is used.

While a file is on its way it is called ``NAME.part``; beside it lies what the server said of it. A later call asks for
the rest, on condition that the file on the server is the same (``If-Range`` with its ETag or date, RFC 9110 section
13.1.5); a server that does not know ranges, or has another file by now, sends all of it, and the transfer starts anew.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from infer.errors import InputError
from infer.io.whole import write_whole

Progress: TypeAlias = Callable[[int, int], None]

ACCEPT = "application/x-tar, application/gzip, application/zip, application/json, application/octet-stream"
TIMEOUT = 60.0
MAX_BYTES = 4 * 2**30
_CHUNK = 1 << 18
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Fetched:
    """A file that was fetched.

    Attributes:
        url: where it came from in the end, after redirects.
        size: bytes.
        sha256: of its content, in hexadecimal digits.
        resumed: bytes that were there from an earlier try.
    """

    url: str
    size: int
    sha256: str
    resumed: int


def fetch(url: str, path: Path, *, progress: Progress | None = None, max_bytes: int = MAX_BYTES) -> Fetched:
    """Fetch a file; an earlier try that was cut off is continued.

    Args:
        url: http or https.
        path: Where to; the folder must exist.
        progress: Called with bytes done and in total, 0 if the server does not say.
        max_bytes: Larger files are refused.

    Raises:
        InputError: The server cannot be reached, does not have it, sends a web page, or stops in the middle; or the
            disk is full. The message says whether a further call goes on from there.
    """
    part = path.with_name(path.name + ".part")
    have, validator = _earlier(part, url)
    with _ask(url, have, validator) as response:
        start = have if response.status == 206 else 0
        total = start + int(response.headers.get("Content-Length") or 0) if _has_length(response) else 0
        _check_kind(response, url)
        if total > max_bytes:
            raise InputError(f"{url} has {total} bytes, more than the {max_bytes} that are allowed.")
        _remember(part, url, response)
        with _disk(part):
            size = _receive(response, part, start, total, url, progress or _silent, max_bytes)
        final = response.geturl()
    if total and size < total:
        problem = f"the transfer of {url} ended after {size} of {total} bytes"
        raise InputError(f"{problem}; run it again, it goes on from there if the server can.")
    with _disk(part):
        part.replace(path)
        _notes(part).unlink(missing_ok=True)
    return Fetched(final, size, sha256(path), start)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _silent(done: int, total: int) -> None:
    """Nobody watches."""


def _notes(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _earlier(part: Path, url: str) -> tuple[int, str]:
    """Bytes that are there of the same file, and what tells it from another; none if nothing does."""
    try:
        said = json.loads(_notes(part).read_text(encoding="utf-8"))
        have = part.stat().st_size
    except (OSError, ValueError):
        return 0, ""
    if not isinstance(said, dict) or said.get("url") != url or not isinstance(said.get("validator"), str):
        return 0, ""
    return (have, said["validator"]) if said["validator"] else (0, "")


def _remember(part: Path, url: str, response: http.client.HTTPResponse) -> None:
    """What tells this file from another; weak ETags do not."""
    tag = response.headers.get("ETag") or ""
    validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified") or ""
    write_whole(_notes(part), json.dumps({"url": url, "validator": validator}) + "\n")


# ---------------------------------------------------------------------------------------------- the network


def _ask(url: str, have: int, validator: str) -> http.client.HTTPResponse:
    """The answer to a request for all of a file, or for what is missing of it."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{url!r} is no web address; give a DOI, or an address that begins with https://.")
    headers = {"Accept": ACCEPT, "Accept-Encoding": "identity", "User-Agent": "infer"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    request = urllib.request.Request(url, headers=headers)
    try:
        with _network(url):
            response = _opener().open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:  # what is there is no beginning of what is there now
            return _ask(url, 0, "")
        raise InputError(_refusal(url, error.code, error.reason)) from None
    said = response.headers.get("Content-Range") or ""
    if response.status == 206 and not (have and said.startswith(f"bytes {have}-")):
        response.close()
        if not have:
            raise InputError(f"{parts.netloc} sends a part of {url} where all of it was asked for; try again later.")
        return _ask(url, 0, "")
    return response


def _opener() -> urllib.request.OpenerDirector:
    """For http and https alone: a redirect must not read a local file."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


@contextmanager
def _network(url: str) -> Iterator[None]:
    """Turn what may go wrong on the way into a sentence."""
    host = urlsplit(url).netloc
    try:
        yield
    except urllib.error.HTTPError:
        raise
    except urllib.error.URLError as error:
        reason = getattr(error.reason, "strerror", None) or error.reason
        raise InputError(
            f"cannot reach {host} ({reason}); check the address and your network, and try again."
        ) from None
    except TimeoutError:
        problem = f"{host} did not answer for {TIMEOUT:.0f} seconds"
        raise InputError(f"{problem}; run it again later, it goes on from there if the server can.") from None
    except (http.client.HTTPException, ConnectionError) as error:
        raise InputError(
            f"{host} broke off ({type(error).__name__}); run it again, it goes on from there if the server can."
        ) from None


def _refusal(url: str, code: int, reason: str) -> str:
    host = urlsplit(url).netloc
    if code in (404, 410):
        return f"{host} has nothing at {url} ({code} {reason}); check the DOI or the address."
    if code in (401, 403):
        return f"{host} does not give {url} to everybody ({code} {reason}); get it with a browser."
    return f"{host} answered {code} {reason} to {url}; try again later."


def _has_length(response: http.client.HTTPResponse) -> bool:
    return (response.headers.get("Content-Length") or "").isdecimal()


def _check_kind(response: http.client.HTTPResponse, url: str) -> None:
    if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise InputError(
            f"{url} is a web page and no archive; give the DOI of a resource of the record, such as "
            "10.17182/hepdata.90607.v3/r3, or the address behind its download button."
        )


def _receive(
    response: http.client.HTTPResponse,
    part: Path,
    start: int,
    total: int,
    url: str,
    progress: Progress,
    max_bytes: int,
) -> int:
    """Write what comes, and return how large the file is now."""
    size = start
    with part.open("r+b" if start else "wb") as file:
        file.seek(start)
        file.truncate()
        progress(size, total)
        while chunk := _read(response, url):
            size += len(chunk)
            if size > max_bytes:
                raise InputError(f"{url} has more than the {max_bytes} bytes that are allowed.")
            file.write(chunk)
            progress(size, total)
    return size


def _read(response: http.client.HTTPResponse, url: str) -> bytes:
    with _network(url):
        return response.read(_CHUNK)


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            problem = f"no space is left in {path.parent}"
            raise InputError(
                f"{problem}; free some and run it again, it goes on from there if the server can."
            ) from None
        raise InputError(f"{path.parent} cannot be written ({error.strerror or error}); give another folder.") from None


def read_notes(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
