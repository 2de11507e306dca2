"""Commands that draw toys: schemas, files, resuming, and what is said of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from tests.runner import Run


def test_toys_as_json(run: Run, small: Path) -> None:
    """`infer toys --json` has the documented keys; pulls of all parameters, and failures by number."""
    ran = run("toys", small, "--n", 40, "--seed", 3, "--json")
    record = ran.json
    wanted = {"n", "n_failed", "seconds_compile", "seconds", "toys_per_second", "mean", "std", "pull_mean", "pull_std"}
    assert ran.code == 0
    assert set(record) >= wanted | {"poi", "truth", "failed", "n_migrad", "pulls", "parameters_truth"}
    assert record["n"] == 40
    assert len(record["failed"]) == record["n_failed"]
    assert record["toys_per_second"] == pytest.approx(40 / record["seconds"])


def test_one_toy_is_reproduced(run: Run, small: Path, tmp_path: Path) -> None:
    """`--only NUMBER` fits the toy that a long run has under that number, whatever its length."""
    run("toys", small, "--n", 30, "--seed", 3, "--out", tmp_path / "out")
    rows = parquet.read_table(tmp_path / "out" / "toys.parquet").to_pydict()
    again = run("toys", small, "--only", 17, "--seed", 3, "--json").json
    assert rows["index"][17] == 17
    assert again["parameters"]["mu"]["value"] == pytest.approx(rows["value"][17], abs=1e-6)
    assert again["twice_nll"] == pytest.approx(rows["twice_nll"][17], abs=1e-8)


def test_coverage_as_json(run: Run, small: Path) -> None:
    """`infer coverage --json` has the documented keys, for the first method and level and for all of them."""
    ran = run(
        *("coverage", small, "--n", 30, "--poi-values", "0.5,1", "--method", "profile,hessian"),
        *("--cl", "0.6827,0.95", "--json"),
    )
    record = ran.json
    assert ran.code == 0
    assert (record["method"], record["cl"]) == ("profile", 0.6827)
    assert [point["truth"] for point in record["points"]] == [0.5, 1.0]
    keys = {"truth", "n", "n_failed", "covered", "coverage", "clopper_pearson"}
    assert all(set(point) >= keys for point in record["points"])
    pairs = [(r["method"], r["cl"]) for r in record["results"]]
    assert pairs == [("profile", 0.6827), ("profile", 0.95), ("hessian", 0.6827), ("hessian", 0.95)]


def test_coverage_off_the_nominal(run: Run, small: Path) -> None:
    """`--truth` with several values makes a truth of each."""
    record = run("coverage", small, "--n", 10, "--truth", "lumi=0.95,1.05", "--json").json
    assert [truth["nuisance"] for truth in record["truths"]] == [{"lumi": 0.95}, {"lumi": 1.05}]


def test_coverage_is_written_and_resumed(run: Run, small: Path, tmp_path: Path) -> None:
    """Rows, summary and figures are there; a resumed run computes nothing and says the same."""
    out = tmp_path / "cov"
    command = ("coverage", small, "--n", 24, "--chunk", 10, "--poi-values", "1")
    first = run(*command, "--out", out)
    assert first.code == 0
    rows = parquet.read_table(out / "toys.parquet").to_pydict()
    assert len(rows["index"]) == 24
    covered = np.sum((np.asarray(rows["profile_0_low"]) <= 1.0) & (np.asarray(rows["profile_0_high"]) >= 1.0))
    summary = json.loads((out / "result.json").read_text())
    assert summary["points"][0]["covered"] == covered
    assert len(list(out.glob("*.png"))) >= 1
    (out / "chunk-000001.npz").unlink()
    again = run(*command, "--resume", out)
    assert again.out == first.out
    other = run("coverage", small, "--n", 24, "--chunk", 10, "--poi-values", "0.5", "--resume", out)
    assert "other" in other.complaint or "another model" in other.complaint


def test_finite_mc_as_json(run: Run, small: Path, tmp_path: Path) -> None:
    """`--mc-scale` gives one coverage for each size of the simulated samples, a statement, rows and a figure."""
    out = tmp_path / "mc"
    record = run("coverage", small, "--n", 10, "--poi-values", "1", "--mc-scale", "1,100", "--out", out, "--json").json
    rows = parquet.read_table(out / "toys.parquet").to_pydict()
    assert sorted(set(rows["mc_scale"])) == [1.0, 100.0]
    assert (out / "finite_mc.png").exists()
    assert record["scales"] == [1.0, 100.0]
    assert [result["mc_scale"] for result in record["results"]] == [1.0, 100.0]
    assert len(record["statements"]) == 1


def test_neyman_and_pvalue_as_json(run: Run, small: Path) -> None:
    """The documented keys, and a p-value within its own interval."""
    interval = run("neyman", small, "--n", 20, "--rounds", 1, "--json").json
    assert interval["low"] <= interval["value"] <= interval["high"]
    assert set(interval) >= {"poi", "low", "high", "low_error", "high_error", "cl", "statistic", "n_toys", "points"}
    p = run("pvalue", small, "--n", 20, "--statistic", "q_0", "--json").json
    assert p["clopper_pearson"][0] <= p["p"] <= p["clopper_pearson"][1]


def test_measurement_with_its_coverage(run: Run, small: Path) -> None:
    """`measure --coverage N` says it in the line, and keeps it in the record."""
    record = run("measure", small, "--coverage", 20, "--json").json
    (point,) = record["coverage"]["points"]
    assert point["n"] == 20
    assert f"covered in {100 * point['coverage']:.1f} % of 20 toys" in record["text"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("coverage", "--method", "minos"), "method must be one of hessian, profile"),
        (("coverage", "--cl", "68"), "write 95 % as 0.95"),
        (("coverage", "--cl", "a"), "--cl needs a number"),
        (("coverage", "--poi-values", "99"), "must lie within its bounds"),
        (("coverage", "--truth", "lumy=1"), "did you mean 'lumi'"),
        (("coverage", "--truth", "mu=1"), "is the parameter of interest"),
        (("coverage", "--mc-scale", "0"), "must be positive"),
        (("coverage", "--mc-scale", "1", "--method", "feldman-cousins"), "leave out feldman-cousins"),
        (("toys", "--workers", "2", "--cluster", "tcp://127.0.0.1:1"), "exclude each other"),
        (("toys", "--cluster", "nowhere"), "--cluster must be the address"),
        (("toys", "--resume", "no-such-folder"), "no run to resume"),
        (("toys", "--truth", "lumi=0.9,1.1"), "in `infer coverage` only"),
        (("toys", "--fix", "mu=1"), "is fixed"),
        (("neyman", "--cl", "2"), "between 0 and 1"),
        (("pvalue", "--statistic", "q_0", "--value", "1"), "q_0 tests the value 0"),
        (("measure", "--seed", "2"), "--coverage N"),
    ],
    ids=lambda value: "-".join(value).replace("--", "") if isinstance(value, tuple) else "",
)
def test_bad_input(run: Run, small: Path, arguments: tuple[str, ...], complaint: str) -> None:
    """One sentence that says what was expected, what came, and what to do."""
    command, *options = arguments
    assert complaint in run(command, small, *options).complaint
