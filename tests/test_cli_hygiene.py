"""`infer hygiene` and `infer inspect`: what they print and write, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infer.io.pyhf_json import digest
from tests.hygiene.problems import Document, norm, shape, with_modifier
from tests.runner import Run
from tests.test_api import write

HIGGS = Path(__file__).parents[1] / "workspaces" / "higgs_mass.json"
ROUGH = [0.05, -0.02, 0.06, -0.01, 0.08, 0.03]


def flawed() -> Document:
    """A workspace with a one-sided shape and two small norms."""
    return with_modifier(shape("jes", [0.0] * 6, ROUGH), norm("a", 0.999, 1.001), norm("b", 0.9995, 1.0005))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A file with it."""
    return write(tmp_path / "ws.json", flawed())


def read(path: Path) -> Document:
    """A JSON file."""
    document: Document = json.loads(path.read_text(encoding="utf-8"))
    return document


# --------------------------------------------------------------------------------------------------- inspect


def test_inspect_says_what_it_found(run: Run, small: Path, tmp_path: Path) -> None:
    """The table has parameters and findings, --brief the findings only, and --out keeps the record."""
    out = tmp_path / "out"
    ran = run("inspect", small, "--no-fit", "--out", out)
    assert ran.code == 0
    assert "[medium] one-sided (1)" in ran.out
    assert "jes (histosys) on background in SR: shifts by 8 % up and not down" in ran.out
    assert "  xsec " in ran.out
    assert "  xsec " not in run("inspect", small, "--no-fit", "--brief").out
    record = read(out / "result.json")
    assert record["counts"] == {"high": 0, "medium": 1, "low": 1}
    assert record["examined"] == ["templates", "parameters"]
    assert record["status"] is None


def test_inspect_looks_at_the_patched_file(run: Run, small: Path, tmp_path: Path) -> None:
    """A patch that gives the shape its other side takes the finding away."""
    operations = [
        {"op": "replace", "path": "/channels/0/samples/1/modifiers/3/data/lo_data", "value": [95.0] * 6},
    ]
    patch = write(tmp_path / "patch.json", operations)
    found = run("inspect", small, "--no-fit", "--json", "--patch", patch).json["findings"]
    assert "one-sided" not in {f["kind"] for f in found}


def test_inspect_of_other_likelihoods(run: Run) -> None:
    """Published measurements have no templates."""
    record = run("inspect", HIGGS, "--no-fit", "--json").json
    assert record["examined"] == ["parameters"]
    assert record["findings"] == []


CARD = """\
imax 1
jmax 1
kmax 2
bin SR
observation 12
bin SR SR
process signal background
process 0 1
rate 5 8
xsec lnN - 1.10
odd lnN - 1.02/1.04
"""


def test_datacards_have_templates_too(run: Run, tmp_path: Path) -> None:
    """Both sides of a lnN above 1 are found in a datacard of Combine; to change it, it must become a workspace."""
    card = tmp_path / "card.txt"
    card.write_text(CARD, encoding="utf-8")
    record = run("inspect", card, "--no-fit", "--json").json
    assert record["examined"] == ["templates", "parameters"]
    (found,) = [f for f in record["findings"] if f["kind"] == "same-side"]
    assert (found["parameters"], found["sample"], found["channel"]) == (["odd"], "background", "SR")
    assert "make it one: infer convert" in run("hygiene", "prune", card, "--below-norm", "0.1").complaint


# --------------------------------------------------------------------------------------------------- hygiene


def test_symmetrised_and_smoothed_in_turn(run: Run, small: Path, tmp_path: Path) -> None:
    """Each writes a workspace with its record beside it; the second record has both steps, and twice is refused."""
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    record = run("hygiene", "symmetrise", small, "--method", "mirror-up", "--no-fit", "--json", "--to", one).json
    assert record["counts"] == {"symmetrise mirror-up": 1}
    assert record["skipped"] == {"symmetric already": 4}
    assert record["written"] == str(one)
    assert record["digest"] == digest(read(one))
    ran = run("hygiene", "smooth", one, "--modifier", "jes", "--no-fit", "--to", two)
    assert ran.code == 0
    assert "smooth 353qh-twice: 1 modifier\n" in ran.out
    assert f"Written to {two}" in ran.out
    history = read(tmp_path / "two.history.json")
    assert [step["transformation"] for step in history["steps"]] == ["symmetrise mirror-up", "smooth 353qh-twice"]
    assert "was done before" in run("hygiene", "smooth", two, "--modifier", "jes", "--no-fit").complaint
    assert run("hygiene", "smooth", two, "--modifier", "jes", "--no-fit", "--again").code == 0
    assert read(small) == flawed()


@pytest.mark.slow
def test_pruning_with_its_effect(run: Run, small: Path, tmp_path: Path) -> None:
    """What does next to nothing goes; the record has both results and says that it is harmless."""
    new, out = tmp_path / "new.json", tmp_path / "out"
    arguments = ("--below-norm", "0.005", "--below-shape", "0.005", "--to", new, "--out", out, "--json")
    record = run("hygiene", "prune", small, *arguments).json
    assert {step["modifier"] for step in record["steps"]} == {"a", "b"}
    effect = record["effect"]
    assert effect["harmless"]
    assert abs(effect["shift"]) < 0.02
    assert effect["before"]["n_parameters"] == effect["after"]["n_parameters"] + 2
    assert read(out / "result.json") == record
    names = {m["name"] for s in read(new)["channels"][0]["samples"] for m in s["modifiers"]}
    assert names == {"mu", "xsec", "slope", "stat_SR", "jes"}


@pytest.mark.slow
def test_pruning_that_moves_the_result_is_refused(run: Run, small: Path, tmp_path: Path) -> None:
    """Exit code 1, the reason, and no file."""
    new = tmp_path / "new.json"
    ran = run("hygiene", "prune", small, "--below-norm", "0.2", "--below-shape", "0.2", "--to", new)
    assert ran.code == 1
    assert "Beyond the tolerance" in ran.out
    assert "Not written" in ran.out
    assert not new.exists()
    assert not (tmp_path / "new.history.json").exists()


def test_pruning_by_impact(run: Run, small: Path) -> None:
    """The same two systematics go, for what they would do to the result."""
    record = run("hygiene", "prune", small, "--below-impact", "0.02", "--json").json
    assert {step["modifier"] for step in record["steps"]} == {"a", "b"}
    assert {step["transformation"] for step in record["steps"]} == {"prune impact"}
    assert record["written"] is None


def test_without_a_parameter_of_interest(run: Run, tmp_path: Path) -> None:
    """It must be named, or the effect left out."""
    document = flawed()
    document["measurements"][0]["config"]["poi"] = ""
    nameless = write(tmp_path / "nameless.json", document)
    assert "no parameter of interest" in run("hygiene", "smooth", nameless).complaint
    assert run("hygiene", "smooth", nameless, "--no-fit").code == 0
    record = run("hygiene", "symmetrise", nameless, "--sample", "signal", "--poi", "mu", "--json").json
    assert record["effect"]["poi"] == "mu"
    assert record["effect"]["shift"] == 0.0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["prune"], "give --below-norm and --below-shape, or --below-impact"),
        (["prune", "--below-norm", "0.1", "--below-impact", "0.1"], "not both or none"),
        (["prune", "--below-impact", "0.1", "--sample", "background"], "drops a systematic from everywhere"),
        (["prune", "--below-norm", "-1"], "give at least one above 0"),
        (["prune", "--below-impact", "3"], "give a part of the uncertainty"),
        (["smooth", "--modifier", "absent"], "'absent' is not among its modifiers"),
        (["smooth", "--method", "353"], "'353'"),
        (["smooth", "--method", "merge", "--below", "7"], "between 0 and 1"),
        (["symmetrise", "--sample", "fakes"], "'fakes' is not among its samples"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_bad_options_are_said(run: Run, small: Path, arguments: list[str], says: str) -> None:
    """One sentence and exit code 2."""
    command, *options = arguments
    assert says in run("hygiene", command, small, *options).complaint


def test_the_original_is_never_overwritten(run: Run, small: Path) -> None:
    """Not even when asked for."""
    assert "the original stays" in run("hygiene", "smooth", small, "--no-fit", "--to", small).complaint


def test_other_likelihoods_have_no_templates(run: Run) -> None:
    """Said by name."""
    complaint = run("hygiene", "smooth", HIGGS, "--no-fit").complaint
    assert "GaussianMeasurements likelihood without templates" in complaint
