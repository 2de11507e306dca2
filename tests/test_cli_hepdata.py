"""infer hepdata: files, options, and what is said of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.io.broken import valid_workspace
from tests.io.test_hepdata import COVERAGE, LIMIT
from tests.runner import Run
from tests.test_api import write

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema:DeprecationWarning")  # of the validator


def test_hepdata_writes_a_submission(run: Run, small: Path, tmp_path: Path) -> None:
    """With the workspace and the record beside the tables; records that are given become tables."""
    out = tmp_path / "out"
    coverage, limit = write(tmp_path / "coverage.json", COVERAGE), write(tmp_path / "limit.json", LIMIT)
    said = ("--cmenergies", 13000, "--reaction", "P P --> X", "--unit", "fb", "--comment", "Abstract.")
    record = run("hepdata", small, "--out", out, *said, "--coverage", coverage, "--limit", limit, "--json").json
    assert set(record) == {"submission", "archive", "validated", "tables", "resources", "measurement"}
    assert {"Result", "Yields SR", "Coverage", "Upper limits"} <= set(record["tables"])
    assert record["resources"] == ["workspace.json", "measurement.json"]
    assert {path.name for path in out.iterdir()} == {"result.json", "submission", "submission.tar.gz"}
    published = json.loads((out / "submission" / "workspace.json").read_text(encoding="utf-8"))
    assert published == valid_workspace()
    head, first, *_ = yaml.safe_load_all((out / "submission" / "submission.yaml").read_text(encoding="utf-8"))
    assert head["comment"] == "Abstract."
    assert {"name": "reactions", "values": ["P P --> X"]} in first["keywords"]


def test_hepdata_refuses(run: Run, small: Path, tmp_path: Path) -> None:
    """Before anything is fitted, where that can be told."""
    out = tmp_path / "out"
    assert "--out" in run("hepdata", small).complaint
    assert "positive number" in run("hepdata", small, "--out", out, "--cmenergies", 0).complaint
    assert "unknown parameter" in run("hepdata", small, "--out", out, "--parameter", "mmu").complaint
    wrong = write(tmp_path / "wrong.json", {"poi": "mu"})
    assert "the coverage record" in run("hepdata", small, "--out", out, "--coverage", wrong).complaint
    assert not out.exists()
