"""infer derived and infer yields: schemas, files, exit codes, and what is said of bad input."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runner import Run


def test_derived_as_json(run: Run, small: Path, tmp_path: Path) -> None:
    """`infer derived --json` has the documented keys, and doubles what it is told to double."""
    ran = run("derived", small, "--expression", "2 * mu", "--json", "--out", tmp_path / "out")
    record = ran.json
    assert ran.code == 0
    keys = {
        "name",
        "value",
        "uncertainty",
        "low",
        "high",
        "cl",
        "residual",
        "gradient",
        "certificate",
        "fit",
        "seconds",
    }
    assert set(record) == keys
    assert record["name"] == "2 * mu"
    assert record["value"] == pytest.approx(2.0 * record["fit"]["parameters"]["mu"]["value"])
    assert record["low"] < record["value"] < record["high"]
    assert (tmp_path / "out" / "result.json").exists()
    text = run("derived", small, "--expression", "mu * exp(jes)", "--name", "scaled")
    assert text.out.startswith("scaled = ")
    assert "delta method" in text.out


def test_derived_refuses(run: Run, small: Path) -> None:
    """Before anything is fitted."""
    assert "unknown parameter 'mv'" in run("derived", small, "--expression", "mv / jes").complaint
    assert "expected numbers, names" in run("derived", small, "--expression", "mu /").complaint
    assert "cannot be computed" in run("derived", small, "--expression", "open(mu)").complaint
