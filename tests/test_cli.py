"""The command line: schemas on standard output, one sentence on standard error, and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.io.broken import BROKEN, Broken
from tests.runner import Run
from tests.test_api import flat_workspace, write

SEARCH = Path(__file__).parents[1] / "workspaces" / "search.json"
HIGGS = SEARCH.parent / "higgs_mass.json"
STATUS = {"converged", "edm", "projected_gradient", "positive_definite", "at_bound"}


# -------------------------------------------------------------------------------------------------- schemas


def test_fit_as_json(run: Run, small: Path) -> None:
    """`infer fit --json` has the documented keys, with vector parameters named as in pyhf."""
    ran = run("fit", small, "--json")
    record = ran.json
    assert ran.code == 0
    assert set(record) == {"poi", "parameters", "twice_nll", "status", "engine", "n_steps", "seconds"}
    assert record["poi"] == "mu"
    assert "stat_SR[2]" in record["parameters"]
    for parameter in record["parameters"].values():
        assert set(parameter) == {"value", "uncertainty", "one_sided"}
    assert set(record["status"]) >= STATUS
    assert record["status"]["converged"] is True


def test_measure_as_json(run: Run, small: Path) -> None:
    """`infer measure --json` has the documented keys, each uncertainty as [down, up]."""
    ran = run("measure", small, "--json")
    record = ran.json
    assert ran.code == 0
    assert set(record) >= {"poi", "value", "total", "stat", "syst", "groups", "definition", "fit"}
    assert set(record["fit"]) == {"poi", "parameters", "twice_nll", "status", "seconds"}
    assert set(record["fit"]["status"]) >= STATUS
    for sides in (record["total"], record["stat"], record["syst"], *record["groups"].values()):
        assert len(sides) == 2
        assert all(side is None or side >= 0.0 for side in sides)
    assert record["definition"] == "observables"
    assert record["text"].startswith("mu = ")


def test_scan_as_json(run: Run, small: Path) -> None:
    """`infer scan --json` has the profile at the values asked for."""
    record = run("scan", small, "--json", "--points", "0:2:3").json
    assert set(record) == {"poi", "best", "values", "delta_twice_nll", "converged", "fit"}
    assert record["values"] == [0.0, 1.0, 2.0]
    assert record["converged"] == [True, True, True]


def test_inspect_as_json(run: Run, small: Path) -> None:
    """`infer inspect --json` lists the parameters with their constraints, and what deserves a second look."""
    record = run("inspect", small, "--json").json
    contents = {"kind", "poi", "n_main", "parameters", "remarks"}
    assert set(record) - contents == {"counts", "examined", "thresholds", "kinds", "findings", "directions", "status"}
    assert record["examined"] == ["templates", "parameters", "fit"]
    assert record["kind"] == "HistFactory"
    assert record["n_main"] == 5
    assert record["parameters"]["jes"]["constraint"] == "Normal"
    assert record["parameters"]["mu"]["bounds"] == [0.0, 10.0]


def test_infinite_bounds_are_null(run: Run) -> None:
    """JSON has no infinity: a bound that is none is null."""
    record = run("inspect", HIGGS, "--json").json
    assert any(None in parameter["bounds"] for parameter in record["parameters"].values())


@pytest.mark.parametrize("command", ["fit", "measure", "inspect"])
def test_text(run: Run, small: Path, command: str) -> None:
    """Without --json the same is said in words, nothing on standard error."""
    ran = run(command, small)
    assert ran.code == 0
    assert ran.err == ""
    assert "mu" in ran.out


# -------------------------------------------------------------------------------------------------- options


def test_settings_by_name(run: Run, small: Path) -> None:
    """--start, --bounds and --fix are repeatable and set parameters by name, also names with brackets."""
    options = ("--fix", "jes=0.5", "--fix", "stat_SR[1]=1.01", "--start", "mu=2", "--bounds", "tt=0.5:1.5")
    parameters = run("fit", small, "--json", *options).json["parameters"]
    assert parameters["jes"] == {"value": 0.5, "uncertainty": None, "one_sided": False}
    assert parameters["stat_SR[1]"]["value"] == 1.01
    assert run("inspect", small, "--json", "--bounds", "tt=:1.5").json["parameters"]["tt"]["bounds"] == [None, 1.5]
    declared = run("inspect", small, "--json", *options).json["parameters"]
    assert declared["mu"]["init"] == 2.0
    assert declared["tt"]["bounds"] == [0.5, 1.5]


def test_parameter_of_interest_and_groups(run: Run, small: Path, tmp_path: Path) -> None:
    """--poi, --group and --groups choose parameter and groups."""
    groups = write(tmp_path / "groups.json", {"detector": ["jes"]})
    record = run("measure", small, "--json", "--poi", "tt", "--groups", groups, "--group", "rest=lumi").json
    assert record["poi"] == "tt"
    assert {"detector", "rest"} <= set(record["groups"])


def test_interval_and_definition(run: Run, small: Path) -> None:
    """--definition, --method and --cl reach the measurement."""
    options = ("--definition", "conditional", "--method", "hessian", "--cl", "0.95")
    record = run("measure", small, "--json", *options).json
    assert (record["definition"], record["interval"], record["cl"]) == ("conditional", "hessian", 0.95)


def test_verify(run: Run, small: Path) -> None:
    """--verify repeats the fit with MIGRAD."""
    assert run("fit", small, "--json", "--verify").json["status"]["verified_by"] == "MIGRAD"


@pytest.mark.slow
def test_output_folder(run: Run, small: Path, tmp_path: Path) -> None:
    """--out writes the record and, of a measurement, figures; standard output stays one JSON object."""
    out = tmp_path / "new" / "folder"
    record = run("measure", small, "--json", "--out", out).json
    stored = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert stored == record
    figures = [path for path in out.iterdir() if path.suffix in (".pdf", ".png", ".svg")]
    assert len({path.stem for path in figures}) >= 4
    assert all(path.stat().st_size > 1000 for path in figures)


@pytest.mark.parametrize("command", ["fit", "scan"])
def test_output_folder_of_fits_and_scans(run: Run, small: Path, tmp_path: Path, command: str) -> None:
    """--out of the other commands writes the record."""
    more = ("--points", "0:1:2") if command == "scan" else ()
    record = run(command, small, "--json", "--out", tmp_path / "out", *more).json
    assert json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8")) == record


# ---------------------------------------------------------------------------------------------- exit code 1


@pytest.mark.parametrize("command", ["fit", "measure"])
def test_untrustworthy_results_exit_with_1(run: Run, tmp_path: Path, command: str) -> None:
    """Where only a product of two factors is measured, the record says so, and the exit code is 1 (B05)."""
    ran = run(command, write(tmp_path / "flat.json", flat_workspace()), "--json")
    assert ran.code == 1
    record = ran.json
    status = record["status"] if command == "fit" else record["fit"]["status"]
    assert not (status["converged"] and status["positive_definite"])
    if command == "measure":
        assert record["text"].startswith("mu = ?")
        assert record["total"] == [None, None]


def test_untrustworthy_measurement_has_no_figures(run: Run, tmp_path: Path) -> None:
    """A result that must not be quoted is stored, but not drawn."""
    ran = run("measure", write(tmp_path / "flat.json", flat_workspace()), "--out", tmp_path / "out")
    assert ran.code == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["result.json"]


# ---------------------------------------------------------------------------------------------- exit code 2


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
def test_broken_files_are_refused(run: Run, case: Broken, tmp_path: Path) -> None:
    """Every broken workspace ends with exit code 2 and one line on standard error that names place and remedy."""
    complaint = run("fit", case.write(tmp_path), "--json").complaint
    assert [part for part in case.says if part not in complaint] == []


@pytest.mark.parametrize("command", ["fit", "measure", "scan", "inspect"])
def test_missing_file_is_refused(run: Run, command: str, tmp_path: Path) -> None:
    """Every command says which file it cannot read."""
    assert "nothing.json" in run(command, tmp_path / "nothing.json", "--json").complaint


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fit", "--start", "muu=1"], "unknown parameter 'muu'; did you mean 'mu'"),
        (["fit", "--fix", "jess=1"], "unknown parameter 'jess'; did you mean 'jes'"),
        (["fit", "--bounds", "ttt=0:1"], "unknown parameter 'ttt'; did you mean 'tt'"),
        (["inspect", "--fix", "jess=1"], "unknown parameter 'jess'"),
        (["fit", "--poi", "muu"], "unknown parameter 'muu'"),
        (["measure", "--poi", "muu"], "unknown parameter 'muu'"),
        (["scan", "--poi", "muu"], "unknown parameter 'muu'"),
        (["fit", "--start", "mu"], "--start must look like NAME=VALUE, got 'mu'"),
        (["fit", "--start", "mu=one"], "--start needs a number after the name, got 'one'"),
        (["fit", "--bounds", "mu=3"], "--bounds needs LOW:HIGH after the name, got '3'"),
        (["fit", "--start", "mu=11"], "must lie within its bounds (0, 10), got 11"),
        (["fit", "--bounds", "mu=5:2"], "lower bound must lie below the upper one"),
        (["measure", "--cl", "95"], "write 95 % as 0.95"),
        (["measure", "--group", "x"], "--group must look like GROUP=PATTERN, got 'x'"),
        (["measure", "--group", "x=nothing"], "matches none"),
        (["measure", "--fix", "mu=1"], "'mu' is fixed"),
        (["measure", "--definition", "frozen"], "frozen"),
        (["scan", "--points", "0:1"], "--points must look like LOW:HIGH:N"),
        (["scan", "--points", "0:1:1"], "N of at least 2"),
        (["scan", "--points", "-5:1:3"], "values must lie within its bounds (0, 10), got -5"),
        (["fit", "--measurement", "nothing"], "'nothing'"),
        (["fit", "--patch", "nothing.json"], "nothing.json"),
        (["fit", "--no-such-option"], "--no-such-option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_impossible_options_are_refused(run: Run, small: Path, arguments: list[str], says: str) -> None:
    """One line that says what was expected, what came, and with names, what was meant."""
    command, *options = arguments
    assert says in run(command, small, *options).complaint


def test_impossible_output_folder_is_refused(run: Run, small: Path) -> None:
    """A folder that cannot be written to is bad input, not a traceback."""
    assert "cannot write there" in run("fit", small, "--json", "--out", small / "inside-a-file").complaint


def test_groups_file_is_checked(run: Run, small: Path, tmp_path: Path) -> None:
    """A file of groups holds strings or lists of strings."""
    groups = write(tmp_path / "groups.json", {"jets": 3})
    assert "group 'jets' must be a string or a list of strings" in run("measure", small, "--groups", groups).complaint


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "--help"], ["--version"]], ids=" ".join)
def test_help(run: Run, arguments: list[str]) -> None:
    """Help and version are answers, not errors."""
    ran = run(*arguments)
    assert ran.code == 0
    assert ran.err == ""
    assert ran.out


# ------------------------------------------------------------------------------------------ as a program


def program(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the installed program."""
    command = [str(Path(sys.executable).parent / "infer"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.slow
def test_program_measures() -> None:
    """The installed program prints one JSON object and nothing else."""
    ran = program("measure", SEARCH, "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["poi"] == "mu"


def test_program_refuses(tmp_path: Path) -> None:
    """The installed program refuses bad input in one line with exit code 2."""
    ran = program("fit", BROKEN[0].write(tmp_path))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.count("\n") == 1
