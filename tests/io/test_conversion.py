"""Conversion between formats: what comes out is what went in, and what is lost is said."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infer import read_workspace
from infer.errors import InputError, WorkspaceError
from infer.io import conversion
from infer.io.conversion import FORMATS, Format, Source, convert, read_model
from infer.io.histfactory_extras import stat_path
from infer.io.pyhf_json import load_document
from infer.io.workspaces import make_patchset
from tests.io.broken import valid_workspace
from tests.io.test_histfactory_xml import stat_data, two_uncertain_samples, xml
from tests.test_api import write


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A file with the small valid workspace."""
    return write(tmp_path / "ws.json", valid_workspace())


def test_around(small: Path, tmp_path: Path) -> None:
    """JSON, XML, YAML and JSON again: the same likelihood everywhere, measured after reading back."""
    steps = [small, tmp_path / "xml", tmp_path / "ws.yaml", tmp_path / "again.json"]
    for source, target in itertools.pairwise(steps):
        result = convert(source, target)
        assert result.faithful
        assert result.difference == pytest.approx(0.0, abs=1e-10)
        assert result.twice_nll.keys() == {"search"}
    found = load_document(steps[-1])
    assert read_workspace(small)[0].parameters.init.sum() == read_workspace(steps[-1])[0].parameters.init.sum()
    assert [c["name"] for c in found["channels"]] == ["SR", "CR"]  # type: ignore[attr-defined]


def test_b16_stat_error_config_goes_through_json(tmp_path: Path) -> None:
    """B16: XML to JSON and back keeps threshold, constraint type and what was below the threshold."""
    two_uncertain_samples(tmp_path / "xml", '<StatErrorConfig RelErrorThreshold="0.05" ConstraintType="Poisson"/>')
    to_json = convert(tmp_path / "xml" / "top.xml", tmp_path / "ws.json")
    assert any("thresholds and constraint types are in ws.histfactory.json" in r for r in to_json.remarks)
    assert any("those of StatErrors became Gaussian" in r for r in to_json.remarks)
    assert not to_json.faithful
    assert convert(tmp_path / "ws.json", tmp_path / "again").faithful
    assert 'RelErrorThreshold="0.05" ConstraintType="Poisson"' in xml(tmp_path / "again", "channels/SR.xml")
    first, second = (read_model(tmp_path / name) for name in ("xml", "again"))
    assert second.stat == first.stat
    assert second.stat["SR"].below == {"bkg": {1: 1.2}, "qcd": {1: 1.6}}
    assert stat_data(second.workspace) == stat_data(first.workspace)


def test_b16_what_lies_beside_another_workspace_is_not_used(tmp_path: Path) -> None:
    """B16: after the workspace was changed, the configuration may not fit any more; that is said."""
    two_uncertain_samples(tmp_path / "xml", "")
    convert(tmp_path / "xml", tmp_path / "ws.json")
    document = json.loads((tmp_path / "ws.json").read_text(encoding="utf-8"))
    document["channels"][0]["samples"][1]["data"][0] = 61.0
    write(tmp_path / "ws.json", document)
    result = convert(tmp_path / "ws.json", tmp_path / "again")
    assert "ws.histfactory.json is for another state of ws.json and was not used" in result.remarks
    assert 'RelErrorThreshold="0.0" ConstraintType="Gaussian"' in xml(tmp_path / "again", "channels/SR.xml")
    stat_path(tmp_path / "ws.json").write_text('{"format": 1, "sha256": "", "channels": {}}', encoding="utf-8")
    with pytest.raises(WorkspaceError, match="format is the number 1"):
        read_model(tmp_path / "ws.json")


def test_patches(small: Path, tmp_path: Path) -> None:
    """A signal of a patchset becomes a model of its own."""
    point = valid_workspace()
    point["channels"][0]["samples"][0]["data"][0] = 9.0
    patches = make_patchset(valid_workspace(), {"p": ([1], point)}, labels=["m"], description="d")
    write(tmp_path / "patches.json", patches)
    convert(small, tmp_path / "xml", patch=f"{tmp_path / 'patches.json'}:p")
    assert read_model(tmp_path / "xml").workspace["channels"][0]["samples"][0]["data"][0] == 9.0
    with pytest.raises(InputError, match="patches are for pyhf workspaces"):
        convert(tmp_path / "xml", tmp_path / "b.json", patch="p.json")
    with pytest.raises(InputError, match="patches are for pyhf workspaces"):
        read_workspace(tmp_path / "xml" / "search.xml", patch="p.json")


def test_a_loss_is_measured(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a format does not keep shows in -2 ln L after reading back, and is not called faithful."""

    def lossy(path: Path) -> Source:
        document = json.loads(path.read_text(encoding="utf-8"))
        document["observations"][0]["data"][0] += 1
        return Source(document)

    broken = replace(FORMATS["pyhf"], read=lossy, reads=lambda path: path.suffix == ".lossy")
    monkeypatch.setitem(conversion.FORMATS, "lossy", replace(broken, writes=broken.reads))
    result = convert(small, tmp_path / "x.lossy")
    assert result.difference is not None
    assert abs(result.difference) > 1e-3
    assert not result.faithful


def test_other_parameters_cannot_be_compared(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A format that renames parameters gives no difference, and no promise."""

    def renaming(path: Path) -> Source:
        text = path.read_text(encoding="utf-8").replace('"tt"', '"ttbar_norm"')
        return Source(json.loads(text))

    other = Format("strange", lambda path: path.suffix == ".odd", lambda path: path.suffix == ".odd", renaming)
    monkeypatch.setitem(conversion.FORMATS, "odd", replace(other, write=FORMATS["pyhf"].write))
    result = convert(small, tmp_path / "x.odd")
    assert result.difference is None
    assert not result.faithful
    assert "other parameters" in result.table()


@pytest.mark.parametrize(
    ("source", "target", "options", "says"),
    [
        ("ws.json", "out.docx", {}, "does not say what to write"),
        ("ws.json", "out", {"to": "word"}, "the format 'word' is not known"),
        ("gone.json", "out", {}, "there is no such file"),
        ("ws.json", "ws.json", {}, "is what is to be read"),
        ("notes.md", "out", {}, "has no format that infer converts"),
        ("own.json", "out", {}, "which no other format can say"),
        ("ws.json", "full", {}, "is not empty"),
    ],
)
def test_what_cannot_be(small: Path, source: str, target: str, options: dict[str, Any], says: str) -> None:
    """One sentence."""
    folder = small.parent
    (folder / "notes.md").touch()
    write(folder / "own.json", {"format": "infer-measurements"})
    (folder / "full").mkdir()
    (folder / "full" / "file").touch()
    with pytest.raises(InputError, match=says) as caught:
        convert(folder / source, folder / target, **options)
    assert "\n" not in str(caught.value)
