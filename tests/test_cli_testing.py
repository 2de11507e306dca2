"""Commands that test hypotheses: schemas, files, exit codes, and what is said of bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.runner import Run


def test_limit_as_json(run: Run, small: Path) -> None:
    """`infer limit --json` has the documented keys; the level is obeyed; CLs at the limit is the level."""
    ran = run("limit", small, "--json")
    record = ran.json
    assert ran.code == 0
    assert set(record) >= {"observed", "expected", "cl", "certificate", "poi", "statistic", "reference", "fit"}
    assert record["cl"] == 0.95
    assert len(record["expected"]) == 5
    assert record["expected"] == sorted(record["expected"])
    assert record["certificate"]["converged"] is True
    lower = run("limit", small, "--cl", 0.68, "--json").json
    assert lower["observed"] < record["observed"]
    tested = run("cls", small, "--value", record["observed"], "--value", record["expected"][2], "--json").json
    assert tested["points"][0]["cls"] == pytest.approx(0.05, abs=1e-5)
    assert tested["points"][1]["expected"][2] == pytest.approx(0.05, abs=1e-5)


def test_limit_is_drawn(run: Run, small: Path, tmp_path: Path) -> None:
    """`--out` brings the record and the figure; the text says it in one line first."""
    ran = run("limit", small, "--out", tmp_path / "out")
    assert ran.code == 0
    assert ran.out.startswith("mu < ")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"result.json", "cls.png", "cls.pdf"}


@pytest.mark.slow
def test_limit_by_toys(run: Run, small: Path, tmp_path: Path) -> None:
    """Toys give errors; chunks are kept, and a resumed run says the same."""
    command = ("limit", small, "--toys", 100, "--cl", 0.8, "--seed", 4, "--json")
    first = run(*command, "--out", tmp_path / "out").json
    assert first["reference"] == "toys"
    assert first["observed_error"] > 0.0
    assert first["n_toys"] >= 400
    again = run(*command, "--resume", tmp_path / "out").json
    assert again["observed"] == first["observed"]


def test_significance_as_json(run: Run, small: Path) -> None:
    """`infer significance --json`: Z and p belong together."""
    ran = run("significance", small, "--json")
    record = ran.json
    assert ran.code == 0
    assert set(record) >= {"observed", "expected", "p", "log_p", "certificate", "fit"}
    assert np.log(record["p"]) == pytest.approx(record["log_p"])


def test_joint_test_as_json(run: Run, small: Path) -> None:
    """`infer test --json` takes several parameters at once."""
    ran = run("test", small, "--value", "mu=1", "--value", "jes=0", "--json")
    record = ran.json
    assert ran.code == 0
    assert record["n_dof"] == 2
    assert record["values"] == {"mu": 1.0, "jes": 0.0}
    assert 0.0 < record["p"] <= 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("limit", "--cl", "95"), "cl must lie between 0 and 1, got 95.0; write 95 % as 0.95"),
        (("limit", "--nuisance", "nominal"), "--nuisance, --aux and --truth say how toys are drawn; add --toys N"),
        (("limit", "--poi", "nothing"), "unknown parameter 'nothing'"),
        (("cls",), "no hypothesis: give --value X (repeatable) or --points LOW:HIGH:N."),
        (("cls", "--value", "nan"), "a hypothesis must be a finite number, got nan"),
        (("significance", "--expected-at", "1e9"), "the start value must lie within its bounds"),
        (("test", "--value", "mu"), "--value must look like NAME=VALUE, got 'mu'"),
        (("test", "--value", "nu=1"), "unknown parameter 'nu'"),
    ],
)
def test_bad_input(run: Run, small: Path, arguments: tuple[str, ...], message: str) -> None:
    """One sentence, exit code 2."""
    command, *options = arguments
    assert message in run(command, small, *options).complaint
