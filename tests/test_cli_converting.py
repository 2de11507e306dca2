"""Convert and download from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.io.broken import valid_workspace
from tests.io.server import Served, serving
from tests.runner import Run


@pytest.mark.slow
def test_convert_to_xml_and_fit_that(run: Run, small: Path, tmp_path: Path) -> None:
    """The JSON object has stable keys; what was written is a workspace for every command."""
    ran = run("convert", small, tmp_path / "xml", "--json").json
    assert set(ran) == {"from", "to", "formats", "remarks", "twice_nll_difference", "measurements", "faithful"}
    assert (ran["from"], ran["to"], ran["formats"]) == (str(small), str(tmp_path / "xml"), ["pyhf", "histfactory"])
    assert abs(ran["twice_nll_difference"]) < 1e-10
    assert set(ran["measurements"]["search"]) == {"twice_nll", "difference"}
    before = run("fit", small, "--json").json
    after = run("fit", tmp_path / "xml" / "search.xml", "--json").json
    assert after["twice_nll"] == pytest.approx(before["twice_nll"], abs=1e-8)
    assert after["parameters"].keys() == before["parameters"].keys()


def test_convert_says_what_it_did(run: Run, small: Path, tmp_path: Path) -> None:
    """As text; and a target that cannot be is a complaint."""
    ran = run("convert", small, tmp_path / "xml")
    assert ran.code == 0
    assert "after reading it back" in ran.out
    assert "Note: measurement 'search': XML cannot say bounds of lumi" in ran.out
    assert "is not empty" in run("convert", small, tmp_path / "xml").complaint
    assert "there is no such file" in run("convert", tmp_path / "gone.xml", tmp_path / "b.json").complaint


def test_download(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a resolver of the environment; what is not there is a complaint."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as site:
        monkeypatch.setenv("INFER_DOI_RESOLVER", site.address)
        site.files = {"/10.17182/hepdata.1.v1/r1": Served(json.dumps(valid_workspace()).encode())}
        ran = run("download", "10.17182/hepdata.1.v1/r1", "--out", tmp_path / "out", "--json").json
        assert set(ran) == {"url", "archive", "bytes", "sha256", "reused", "resumed", "folder", "published"}
        assert [entry["command"] for entry in ran["published"]] == [f"infer inspect {tmp_path / 'out' / 'r1'}"]
        assert "(404 Not Found)" in run("download", "10.17182/hepdata.2.v1/r1", "--out", tmp_path / "b").complaint
    assert run("download", "10.17182/hepdata.1.v1/r1", "--out", tmp_path / "out").code == 0
    assert "neither a DOI" in run("download", "ins1234567").complaint
