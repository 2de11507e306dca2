"""`infer impacts`: schema, files, and what is said of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.runner import Run


def test_json(run: Run, small: Path) -> None:
    """The documented keys, every nuisance parameter once, the largest impact first."""
    ran = run("impacts", small, "--json")
    record = ran.json
    assert ran.code == 0
    assert set(record) == {
        *("poi", "value", "uncertainty", "definition", "impacts", "n_refits", "n_failed"),
        *("certificate", "fit", "seconds"),
    }
    assert set(record["impacts"][0]) == {
        *("name", "group", "value", "uncertainty", "pull", "constraint", "correlation", "linear", "at", "messages"),
        *("impact_down", "impact_up", "prefit_impact_down", "prefit_impact_up"),
    }
    names = [entry["name"] for entry in record["impacts"]]
    assert sorted(names) == sorted(set(record["fit"]["parameters"]) - {record["poi"]})
    sizes = [max(abs(entry["impact_down"]), abs(entry["impact_up"])) for entry in record["impacts"]]
    assert sizes == sorted(sizes, reverse=True)


def test_table_and_files(run: Run, small: Path, tmp_path: Path) -> None:
    """`--top` bounds the table, not what is written; figures are there."""
    out = tmp_path / "out"
    ran = run("impacts", small, "--definition", "global-observables", "--top", 2, "--out", out)
    assert ran.code == 0
    assert "impacts (global-observables), the largest" in ran.out
    assert "... and" in ran.out
    record = json.loads((out / "result.json").read_text())
    assert len(record["impacts"]) > 2
    assert {"impacts.png", "impacts.pdf", "correlations.png"} <= {path.name for path in out.iterdir()}


def test_some_parameters(run: Run, small: Path) -> None:
    """`--parameter` ranks those alone, with the parameter of interest that `--poi` names."""
    record = run("impacts", small, "--poi", "tt", "--parameter", "jes", "--parameter", "lumi", "--json").json
    assert record["poi"] == "tt"
    assert {entry["name"] for entry in record["impacts"]} == {"jes", "lumi"}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--definition", "shifted"), "traditional"),
        (("--parameter", "lumy"), "did you mean 'lumi'"),
        (("--parameter", "mu"), "is the one of interest"),
        (("--fix", "jes=0", "--parameter", "jes"), "is fixed"),
        (("--top", "0"), "--top"),
    ],
    ids=["definition", "unknown", "interest", "fixed", "top"],
)
def test_bad_input(run: Run, small: Path, options: tuple[str, ...], complaint: str) -> None:
    """One sentence that says what was expected and what came."""
    assert complaint in run("impacts", small, *options).complaint
