"""A small web server in a thread, with the faults that servers have."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Served:
    """A file on the server.

    Attributes:
        content: all of it.
        etag: what tells it from another; empty for none.
        kind: content type.
        ranges: whether parts may be asked for.
        cut_after: bytes after which the connection breaks; None for never.
        redirect: where it is instead.
        has_length: whether the length is said.
    """

    content: bytes
    etag: str = '"one"'
    kind: str = "application/octet-stream"
    ranges: bool = True
    cut_after: int | None = None
    redirect: str = ""
    has_length: bool = True


@dataclass
class Site:
    """What a server has, and what it was asked.

    Attributes:
        address: where it is.
        files: by path.
        asked: path, Range and Accept of each request.
    """

    address: str
    files: dict[str, Served] = field(default_factory=dict)
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.site.asked.append((self.path, wanted, self.headers.get("Accept")))
        served = self.site.files.get(self.path)
        if served is None:
            self.send_error(404)
        elif served.redirect:
            self.send_response(302)
            self.send_header("Location", served.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._send(served, wanted)

    def _send(self, served: Served, wanted: str | None) -> None:
        start = 0
        if wanted and served.ranges and self.headers.get("If-Range") == served.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(served.content):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        body = served.content[start:]
        end = len(served.content)
        said = {"Content-Type": served.kind, "Content-Range": f"bytes {start}-{end - 1}/{end}" if start else ""}
        said |= {"Content-Length": str(len(body)) if served.has_length else "", "ETag": served.etag}
        for name, value in said.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if served.cut_after is None else body[: max(served.cut_after - start, 0)])
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Site]:
    """A server of this machine, on a port of its own."""
    site = Site("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
