"""The command that samples a posterior: schema, files, exit codes, and what is said of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from tests.runner import Run


@pytest.mark.slow
def test_posterior_as_json(run: Run, small: Path, tmp_path: Path) -> None:
    """`infer posterior --json` has the documented keys; --out brings samples and figures, from which they follow."""
    out = tmp_path / "out"
    ran = run("posterior", small, "--prior", "mu=normal:1:2", "--seed", 3, "--json", "--out", out)
    record = ran.json
    assert ran.code == 0
    assert record == json.loads((out / "result.json").read_text())
    assert set(record) == {
        *("poi", "mixed", "objections", "median", "intervals", "upper_limits", "parameters", "priors", "n_chains"),
        *("n_samples", "n_warmup", "n_divergent", "acceptance", "n_gradients", "notices", "fit", "seconds"),
    }
    assert record["mixed"] is True
    assert record["priors"]["mu"].startswith("normal with mean 1 and sigma 2")
    assert {path.name for path in out.iterdir()} == {
        *("result.json", "samples.parquet"),
        *("posterior.png", "posterior.pdf", "chains.png", "chains.pdf"),
    }
    rows = parquet.read_table(out / "samples.parquet").to_pydict()
    assert set(rows) == {".chain", ".draw", *record["parameters"]}
    assert len(rows["mu"]) == 4000
    assert record["median"] == pytest.approx(np.median(rows["mu"]), rel=1e-12)
    assert rows[".chain"][999:1001] == [0, 1]


def test_unmixed_chains(run: Run, small: Path, tmp_path: Path) -> None:
    """Too few samples: exit code 1, no number, and the reason in the first line; the chains are drawn all the same."""
    ran = run("posterior", small, "--n", 30, "--warmup", 30, "--chains", 2, "--out", tmp_path / "out")
    assert ran.code == 1
    assert ran.out.startswith("mu: no posterior (")
    assert json.loads((tmp_path / "out" / "result.json").read_text())["median"] is None
    assert (tmp_path / "out" / "chains.png").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--prior", "mu=uniform:0:1"), "needs flat:LOW:HIGH, logflat:LOW:HIGH or normal:MEAN:SIGMA"),
        (("--prior", "mu=flat:0"), "needs flat:LOW:HIGH"),
        (("--prior", "mu"), "must look like NAME=VALUE"),
        (("--prior", "mu=flat:a:1"), "needs a number"),
        (("--prior", "lumi=flat:0:1"), "count twice"),
        (("--prior", "m=flat:0:1"), "unknown parameter 'm'"),
        (("--bounds", "mu=0:"), "--prior mu=flat:0:10"),
        (("--chains", "1"), "n_chains must be 2 or more"),
        (("--fix", "mu=1"), "release it"),
    ],
)
def test_bad_input(run: Run, small: Path, options: tuple[str, ...], complaint: str) -> None:
    """One sentence on standard error, exit code 2."""
    assert complaint in run("posterior", small, *options).complaint
