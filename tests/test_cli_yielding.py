"""infer yields: schema, files, exit codes, and what is said of bad input."""

from __future__ import annotations

import json
from pathlib import Path

from tests.io.broken import valid_workspace
from tests.runner import Run

WORKSPACES = Path(__file__).parents[1] / "workspaces"


def test_yields_as_json(run: Run, small: Path) -> None:
    """`infer yields --json` has the documented keys, and the observations of the workspace."""
    ran = run("yields", small, "--json")
    record = ran.json
    assert ran.code == 0
    assert set(record) == {"poi", "observed", "bins", "prefit", "postfit", "notices", "fit", "seconds"}
    observed = {o["name"]: o["data"] for o in valid_workspace()["observations"]}
    assert record["observed"] == observed
    assert list(record["postfit"]["channels"]) == sorted(observed)
    n_bins = len(record["bins"])
    assert n_bins == sum(map(len, observed.values()))
    assert [len(row) for row in record["postfit"]["covariance"]] == [n_bins] * n_bins


def test_yields_are_drawn(run: Run, small: Path, tmp_path: Path) -> None:
    """`--out` brings the record and a figure for each channel; `--bins` brings a row for each bin."""
    ran = run("yields", small, "--bins", "--out", tmp_path / "out")
    assert ran.code == 0
    record = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    stems = [f"yields_{name}" for name in record["observed"]]
    expected = {"result.json", *(f"{stem}.{suffix}" for stem in stems for suffix in ("png", "pdf"))}
    assert {path.name for path in (tmp_path / "out").iterdir()} == expected
    assert "events expected" in ran.out
    for channel, i in record["bins"]:
        assert f"{channel}[{i}]" in ran.out


def test_yields_refuses(run: Run, small: Path) -> None:
    """Likelihoods that count nothing, and parameters that are not there."""
    assert "counts no events" in run("yields", WORKSPACES / "higgs_mass.json").complaint
    assert "unknown parameter" in run("yields", small, "--poi", "nu").complaint
