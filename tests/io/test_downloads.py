"""Downloads from a server of this machine: whole, cut off, changed, hostile, and not there at all."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import re
import socket
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infer.errors import InputError, WorkspaceError
from infer.io import transfers
from infer.io.archives import unpack
from infer.io.downloads import address, download, published
from infer.io.transfers import fetch
from infer.io.workspaces import make_patchset
from tests.io.broken import valid_workspace
from tests.io.server import Served, Site, serving

BIG = bytes(range(256)) * 8000  # several chunks


@pytest.fixture
def site() -> Iterator[Site]:
    """A server."""
    with serving() as found:
        yield found


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def tar(members: dict[str, bytes], edit: Callable[[tarfile.TarFile], None] | None = None, mode: Any = "w:gz") -> bytes:
    """A tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        if edit is not None:
            edit(archive)
    return buffer.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def likelihoods() -> dict[str, bytes]:
    """Files such as HEPData has them: a workspace, its patchset, and words."""
    point = valid_workspace()
    point["channels"][0]["samples"][0]["data"][0] = 9.0
    patches = make_patchset(valid_workspace(), {"sig 300": ([300], point)}, labels=["m"], description="d")
    return {
        "SR/BkgOnly.json": json.dumps(valid_workspace()).encode(),
        "SR/patchset.json": json.dumps(patches).encode(),
        "README.md": b"words",
        "__MACOSX/SR/._BkgOnly.json": b"\0\5",
    }


# ------------------------------------------------------------------------------------------------ addresses


def test_dois_and_addresses() -> None:
    """A DOI in all its spellings goes to the resolver; an address stays; other things are refused."""
    doi = "10.17182/hepdata.90607.v3/r3"
    for spelling in (doi, f"doi:{doi}", f"https://doi.org/{doi}", f" http://dx.doi.org/{doi} "):
        assert address(spelling) == f"https://doi.org/{doi}"
    assert address(doi, "http://localhost:1/") == f"http://localhost:1/{doi}"
    url = "https://www.hepdata.net/record/resource/1408476?view=true"
    assert address(url) == url
    for bad in ("ins1234567", "file:///etc/passwd", "ftp://host/file", "https://", "10.17182"):
        with pytest.raises(InputError, match="neither a DOI"):
            address(bad)


# ------------------------------------------------------------------------------------------------ downloads


@pytest.mark.parametrize("pack", [tar, zipped], ids=["tar", "zip"])
def test_an_archive_is_unpacked_and_listed(site: Site, pack: Callable[[dict[str, bytes]], bytes]) -> None:
    """By its DOI, over a redirect as that of doi.org; the next call asks nobody."""
    archive = pack(likelihoods())
    site.files = {
        "/10.17182/hepdata.1.v1/r3": Served(b"", redirect=f"{site.address}/record/resource/5?view=true"),
        "/record/resource/5?view=true": Served(archive),
    }
    steps: list[tuple[int, int]] = []
    found = download("10.17182/hepdata.1.v1/r3", resolver=site.address, progress=lambda *step: steps.append(step))
    assert found.sha256 == hashlib.sha256(archive).hexdigest()
    assert (found.size, found.reused, found.resumed) == (len(archive), False, 0)
    assert steps[-1] == (len(archive), len(archive))
    assert "application/zip" in (site.asked[-1][2] or "")
    assert {path.name for path in found.folder.rglob("*") if path.is_file()} == {
        "BkgOnly.json",
        "patchset.json",
        "README.md",
    }
    assert [(entry.kind, entry.path.name) for entry in found.published] == [
        ("workspace", "BkgOnly.json"),
        ("patchset", "patchset.json"),
    ]
    assert found.published[1].about == "1 patches for BkgOnly.json, such as sig 300"
    assert found.published[1].command.endswith("patchset.json:sig 300'")
    n_asked = len(site.asked)
    again = download("10.17182/hepdata.1.v1/r3", resolver=site.address)
    assert again.reused
    assert again.published == found.published
    assert len(site.asked) == n_asked


def test_a_json_file_stands_for_itself(site: Site, tmp_path: Path) -> None:
    """No archive is needed."""
    site.files = {"/ws.json": Served(json.dumps(valid_workspace()).encode(), kind="application/json")}
    found = download(f"{site.address}/ws.json", tmp_path / "out")
    assert [entry.path for entry in found.published] == [tmp_path / "out" / "ws.json"]
    assert "infer inspect" in found.table()


def test_odd_documents_are_no_obstacle(tmp_path: Path) -> None:
    """Files of strangers may hold anything; what is no likelihood is left out."""
    odd: dict[str, Any] = {
        "a": {"channels": 3},
        "b": {"patches": 1},
        "c": {"patches": [1, {"metadata": 2}, {"metadata": {"name": 3}}], "metadata": {"digests": {"sha256": [1]}}},
        "d": [1, 2],
        "e": {"channels": [], "measurements": {"x": 1}},
        "f": {"channels": ["\ud800"]},
    }
    files = [tmp_path / f"{name}.json" for name in odd]
    for path, document in zip(files, odd.values(), strict=True):
        path.write_text(json.dumps(document), encoding="utf-8")
    (tmp_path / "g.json").write_text("[" * 100_000, encoding="utf-8")
    (tmp_path / "h.json").write_bytes(b"\xff\xfe")
    found = list(published([*files, tmp_path / "g.json", tmp_path / "h.json"]))
    assert [(entry.path.name, entry.kind) for entry in found] == [
        ("e.json", "workspace"),
        ("f.json", "workspace"),
        ("c.json", "patchset"),
    ]


def test_what_was_cut_off_goes_on(site: Site, tmp_path: Path) -> None:
    """The second call asks for the rest alone, and the file is whole."""
    archive = tar({"big": BIG}, mode="w")
    site.files = {"/a.tar": Served(archive, cut_after=500_000)}
    with pytest.raises(InputError, match=r"ended after 500000 of \d+ bytes; run it again"):
        download(f"{site.address}/a.tar", tmp_path / "out")
    site.files["/a.tar"].cut_after = None
    found = download(f"{site.address}/a.tar", tmp_path / "out")
    assert found.resumed == 500_000
    assert site.asked[-1][1] == "bytes=500000-"
    assert found.sha256 == hashlib.sha256(archive).hexdigest()
    assert (found.folder / "big").read_bytes() == BIG
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.tar", "download.json", "files"]


@pytest.mark.parametrize(
    "change",
    [{"etag": '"two"'}, {"ranges": False}, {"etag": 'W/"one"'}, {"etag": ""}],
    ids=["etag", "range", "weak", "none"],
)
def test_another_file_or_server_starts_anew(site: Site, tmp_path: Path, change: dict[str, Any]) -> None:
    """A file that has changed, or a server that does not know ranges, is fetched from the beginning."""
    first, second = b"a" * 900_000, b"b" * 800_000
    site.files = {
        "/x": Served(first, cut_after=300_000, **({} if "etag" in change and change["etag"] == '"two"' else change))
    }
    with pytest.raises(InputError, match="ended after 300000 of 900000 bytes"):
        fetch(f"{site.address}/x", tmp_path / "x")
    site.files = {"/x": Served(second, **change)}
    found = fetch(f"{site.address}/x", tmp_path / "x")
    assert (found.resumed, found.size) == (0, len(second))
    assert (tmp_path / "x").read_bytes() == second


def test_a_beginning_that_is_too_long_starts_anew(site: Site, tmp_path: Path) -> None:
    """Where the server answers that there is no such range (416)."""
    site.files = {"/x": Served(b"a" * 1000, cut_after=900)}
    with pytest.raises(InputError, match="ended after 900 of 1000"):
        fetch(f"{site.address}/x", tmp_path / "x")
    (tmp_path / "x.part").write_bytes(b"b" * 2000)
    site.files["/x"].cut_after = None
    assert fetch(f"{site.address}/x", tmp_path / "x").size == 1000
    assert (tmp_path / "x").read_bytes() == b"a" * 1000


def test_without_a_length(site: Site, tmp_path: Path) -> None:
    """The end of the connection is the end of the file; the limit holds nevertheless."""
    site.files = {"/x": Served(BIG, has_length=False)}
    assert fetch(f"{site.address}/x", tmp_path / "x").size == len(BIG)
    with pytest.raises(InputError, match="more than the 1000 bytes"):
        fetch(f"{site.address}/x", tmp_path / "x", max_bytes=1000)


def test_checksums(site: Site, tmp_path: Path) -> None:
    """Of what is expected, and of what was there: a file that has changed on disk is not used."""
    archive = tar(likelihoods())
    site.files = {"/a.tar.gz": Served(archive)}
    url = f"{site.address}/a.tar.gz"
    with pytest.raises(InputError, match=r"has the SHA-256 .*, expected 00ff; do not use it"):
        download(url, tmp_path / "out", expected_sha256="00ff")
    found = download(url, tmp_path / "out", expected_sha256=hashlib.sha256(archive).hexdigest().upper())
    found.archive.write_bytes(archive[:-1])
    with pytest.raises(InputError, match=r"is not what was downloaded .* with --again"):
        download(url, tmp_path / "out")
    assert download(url, tmp_path / "out", again=True).archive.read_bytes() == archive


def test_a_folder_with_something_else_is_left_alone(site: Site, tmp_path: Path) -> None:
    """Neither files of others nor another download are touched."""
    site.files = {"/a.tar.gz": Served(tar(likelihoods())), "/b.tar.gz": Served(tar(likelihoods()))}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"holds something else \(thesis.tex\)"):
        download(f"{site.address}/a.tar.gz", tmp_path / "mine")
    download(f"{site.address}/a.tar.gz", tmp_path / "a")
    with pytest.raises(InputError, match="holds something else"):
        download(f"{site.address}/b.tar.gz", tmp_path / "a")
    with pytest.raises(InputError, match="is a file"):
        download(f"{site.address}/a.tar.gz", tmp_path / "mine" / "thesis.tex")


# ------------------------------------------------------------------------------------------------- failures


def test_what_servers_answer(site: Site, tmp_path: Path) -> None:
    """Nothing there, and a web page instead of an archive."""
    site.files = {
        "/page": Served(b"<!doctype html><html></html>", kind="text/html; charset=utf-8"),
        "/page.tar": Served(b"<!doctype html><html></html>"),
        "/words.tar": Served(b"words"),
        "/away": Served(b"", redirect="file:///etc/hostname"),
    }
    for path, says in {
        "/gone": "has nothing at http://127.0.0.1:[0-9]+/gone (404 Not Found); check the DOI",
        "/page": "is a web page and no archive; give the DOI of a resource",
        "/page.tar": "page.tar is a web page; give the DOI",
        "/words.tar": "words.tar is neither an archive nor JSON",
        "/away": "answered 302 ",
    }.items():
        with pytest.raises(InputError) as caught:
            download(f"{site.address}{path}", tmp_path / path.strip("/"))
        assert re.search(says.replace("(", r"\(").replace(")", r"\)"), str(caught.value)), str(caught.value)
        assert "\n" not in str(caught.value)


def test_offline(tmp_path: Path) -> None:
    """A port that nobody listens to, and a name that nobody has."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(InputError, match=rf"cannot reach 127.0.0.1:{port} \(Connection refused\); check the address"):
        download(f"http://127.0.0.1:{port}/a.tar", tmp_path / "out")
    with pytest.raises(InputError, match=r"cannot reach nowhere.invalid \("):
        download("http://nowhere.invalid/a.tar", tmp_path / "out")


def test_a_full_disk(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, and what is there is kept."""
    site.files = {"/x": Served(BIG)}

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(transfers, "_receive", full)
    with pytest.raises(InputError, match="no space is left in"):
        fetch(f"{site.address}/x", tmp_path / "x")
    monkeypatch.undo()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert fetch(f"{site.address}/x", tmp_path / "x").size == len(BIG)


# ------------------------------------------------------------------------------------------------- archives


def _link(archive: tarfile.TarFile, kind: bytes, target: str) -> None:
    info = tarfile.TarInfo("link")
    info.type, info.linkname = kind, target
    archive.addfile(info)


HOSTILE = {
    "up": tar({"../evil": b"x"}),
    "deep-up": tar({"a/b/../../../evil": b"x"}),
    "absolute": tar({"/infer-evil": b"x"}),
    "symlink": tar({}, lambda archive: _link(archive, tarfile.SYMTYPE, "/etc")),
    "hardlink": tar({}, lambda archive: _link(archive, tarfile.LNKTYPE, "../evil")),
    "device": tar({}, lambda archive: _link(archive, tarfile.CHRTYPE, "")),
    "zip-up": zipped({"../evil": b"x"}),
    "zip-absolute": zipped({"/infer-evil": b"x"}),
    "zip-backslash": zipped({"..\\evil": b"x"}),
    "drive": zipped({"C:evil": b"x"}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_write_nothing(tmp_path: Path, name: str) -> None:
    """They are refused with the name of the member, and leave nothing behind."""
    (tmp_path / "in").mkdir()
    archive = tmp_path / "in" / "archive"
    archive.write_bytes(HOSTILE[name])
    with pytest.raises(WorkspaceError, match="do not trust this archive"):
        unpack(archive, tmp_path / "in" / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "archive"]
    assert not Path("/infer-evil").exists()


def test_zip_links_are_refused(tmp_path: Path) -> None:
    """A zip archive keeps them in the attributes of a file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    (tmp_path / "a").write_bytes(buffer.getvalue())
    with pytest.raises(WorkspaceError, match="'link' is a link"):
        unpack(tmp_path / "a", tmp_path / "out")


@pytest.mark.parametrize("pack", [tar, zipped], ids=["tar", "zip"])
def test_limits_hold(tmp_path: Path, pack: Callable[[dict[str, bytes]], bytes]) -> None:
    """Of bytes and of files; and a file twice is refused."""
    (tmp_path / "a").write_bytes(pack({"zeros": b"\0" * 1_000_000, "more": b"x"}))
    with pytest.raises(WorkspaceError, match="larger than what is allowed"):
        unpack(tmp_path / "a", tmp_path / "out", max_bytes=999_999)
    with pytest.raises(WorkspaceError, match="more than 1 files"):
        unpack(tmp_path / "a", tmp_path / "out", max_files=1)
    assert len(unpack(tmp_path / "a", tmp_path / "out")) == 2


def test_broken_archives_are_said(tmp_path: Path) -> None:
    """Cut off in the middle, and a byte that has changed."""
    content = tar({"a.json": b"{}", "random": hashlib.shake_256(b"1").digest(100_000)})
    (tmp_path / "cut").write_bytes(content[:60_000])
    with pytest.raises(WorkspaceError, match="the archive is broken"):
        unpack(tmp_path / "cut", tmp_path / "out")
    changed = bytearray(zipped({"a.json": b"{}" * 50}))
    changed[60] ^= 255
    (tmp_path / "changed").write_bytes(changed)
    with pytest.raises(WorkspaceError, match="the archive is broken"):
        unpack(tmp_path / "changed", tmp_path / "out")
    assert not (tmp_path / "out").exists()
