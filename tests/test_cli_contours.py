"""infer contour: schema, files, exit codes, and what is said of bad input."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runner import Run


def test_contour_as_json(run: Run, small: Path) -> None:
    """`infer contour --json` has the documented keys; ranges and levels are obeyed."""
    options = ("--points", 5, "--range", "mu=0.5:1.5", "--cl", 0.9)
    ran = run("contour", small, "--parameters", "mu,jes", *options, "--json")
    record = ran.json
    assert ran.code == 0
    keys = {"parameters", "x", "y", "delta_twice_nll", "cl", "levels", "best", "n_failed", "certificate", "fit"}
    assert set(record) == keys | {"seconds"}
    assert record["parameters"] == ["mu", "jes"]
    assert record["x"] == [0.5, 0.75, 1.0, 1.25, 1.5]
    assert record["levels"] == [pytest.approx(4.60517, abs=1e-5)]
    assert [len(row) for row in record["delta_twice_nll"]] == [5] * 5
    assert min(map(min, record["delta_twice_nll"])) > -1e-8


def test_contour_is_drawn(run: Run, small: Path, tmp_path: Path) -> None:
    """`--out` brings the record and the figure; the text has the regions."""
    ran = run("contour", small, "--parameters", "mu,jes", "--points", 12, "--out", tmp_path / "out")
    assert ran.code == 0
    assert "68.27 %      2.2957" in ran.out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"result.json", "contour.png", "contour.pdf"}


def test_contour_refuses(run: Run, small: Path) -> None:
    """Two names, and ranges of numbers."""
    assert "must look like A,B" in run("contour", small, "--parameters", "mu").complaint
    assert "two different" in run("contour", small, "--parameters", "mu,mu").complaint
    assert "unknown parameter" in run("contour", small, "--parameters", "mu,jess").complaint
    both = ("contour", small, "--parameters", "mu,jes")
    assert "must look like NAME=LOW:HIGH" in run(*both, "--range", "mu=3").complaint
    assert "needs a number" in run(*both, "--range", "mu=a:3").complaint
