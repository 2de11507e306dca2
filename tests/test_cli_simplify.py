"""infer simplify: schema, files, exit codes, and what is said of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.runner import Run
from tests.simplified.test_simplify import controlled_workspace, linear_workspace
from tests.test_api import write


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A file with a small workspace."""
    return write(tmp_path / "ws.json", linear_workspace(signal_moves=True))


def test_simplify_as_json(run: Run, small: Path) -> None:
    """The documented keys."""
    record = run("simplify", small, "--form", "linear", "--points", 3, "--no-limits", "--json").json
    keys = {"form", "at", "poi", "channels", "absorbed", "bins", "covariance", "difference", "notices", "seconds"}
    assert set(record) == keys
    assert set(record["bins"][0]) == {
        "channel", "bin", "observed", "background", "uncertainty", "postfit", "signal"
    }  # fmt: skip
    stated = {"poi", "largest", "values", "full_delta_twice_nll", "simplified_delta_twice_nll", "full", "simplified"}
    assert set(record["difference"]) == stated | {"trustworthy"}
    assert abs(record["difference"]["largest"]) < 1e-8


def test_what_is_written_is_read_again(run: Run, small: Path, tmp_path: Path) -> None:
    """Workspace, record, tables and figure; the workspace has the stated best fit."""
    out = tmp_path / "out"
    ran = run("simplify", small, "--points", 3, "--no-limits", "--out", out)
    assert ran.code == 0
    assert "differs by at most" in ran.out
    files = {"result.json", "workspace.json", "yields.csv", "covariance.csv", "simplified.png", "simplified.pdf"}
    assert {path.name for path in out.iterdir()} == files
    stated = json.loads((out / "result.json").read_text(encoding="utf-8"))["difference"]["simplified"]["value"]
    again = run("fit", out / "workspace.json", "--json").json
    assert again["parameters"]["mu"]["value"] == pytest.approx(stated, abs=1e-8)


def test_simplify_refuses(run: Run, tmp_path: Path) -> None:
    """One sentence, exit code 2."""
    controlled = write(tmp_path / "controlled.json", controlled_workspace(0.0))
    assert "no channel is called 'X'" in run("simplify", controlled, "--keep", "X").complaint
    both = ("--keep", "SR", "--keep", "CR")
    assert "'norm' moves bins that are kept" in run("simplify", controlled, *both).complaint
