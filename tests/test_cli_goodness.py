"""`infer gof`: its schema, its files, resuming, and what is said of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from tests.runner import Run


def test_gof_as_json(run: Run, small: Path) -> None:
    """Without toys, the saturated model and its asymptotic p-value."""
    ran = run("gof", small, "--json")
    assert ran.code == 0
    assert set(ran.json) == {"tests", "certificate", "fit", "seconds"}
    (test,) = ran.json["tests"]
    assert set(test) == {"name", "channel", "observed", "n_dof", "p", "log_p", "toys"}
    assert (test["name"], test["channel"], test["toys"]) == ("saturated", None, None)
    assert test["p"] == pytest.approx(np.exp(test["log_p"]))


@pytest.mark.slow
def test_gof_with_toys_is_written_and_resumed(run: Run, small: Path, tmp_path: Path) -> None:
    """One row a toy, a figure a test, and a resumed run that says the same."""
    out = tmp_path / "gof"
    command = ("gof", small, "--test", "saturated,ks", "--n", 30, "--seed", 2, "--chunk", 10)
    first = run(*command, "--out", out)
    assert first.code == 0
    rows = parquet.read_table(out / "toys.parquet").to_pydict()
    record = json.loads((out / "result.json").read_text())
    titles = [t["name"] + (f" of {t['channel']}" if t["channel"] else "") for t in record["tests"]]
    assert titles[:2] == ["saturated", "kolmogorov-smirnov of CR"]
    assert list(rows) == titles
    for title, test in zip(titles, record["tests"], strict=True):
        assert test["toys"]["n"] == len(rows[title]) == 30
        assert test["toys"]["n_above"] == np.sum(np.asarray(rows[title]) >= test["observed"] - 1e-7)
    assert len(list(out.glob("goodness_*.png"))) == len(titles)
    (out / "chunk-000001.npz").unlink()
    assert run(*command, "--resume", out).out == first.out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--test", "chi2"), "--test must be some of saturated, ks, ad, got 'chi2'"),
        (("--test", "ks"), "known from toys only"),
        (("--resume", "nowhere"), "say how many with --n"),
        (("--n", "0"), "not in the range"),
    ],
)
def test_bad_input(run: Run, small: Path, arguments: tuple[str, ...], complaint: str) -> None:
    """One sentence that says what was expected, what came, and what to do."""
    assert complaint in run("gof", small, *arguments).complaint
