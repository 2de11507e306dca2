"""The machinery of the validation suites: processes, runners, workspaces, points and tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from validation import tables, workspaces
from validation.bench import cold_start, fit, process, runner
from validation.bench.peers import TOOLS, Tool
from validation.models import pyhf_reference
from validation.pyhf_agreement import Agreement, FitCheck, random_points
from validation.root_reference import reference

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pyhf's use of jsonschema
NAN = float("nan")
SMALL = reference.load()["all_modifiers"].path


def python(code: str, tmp_path: Path, *, limit: float = 60.0) -> process.Completed:
    """Run a line of Python as a measured process."""
    return process.run([sys.executable, "-c", code], directory=tmp_path, limit=limit)


def seconds(wall: float) -> dict[str, float]:
    """A time as runners print it."""
    return {"wall": wall, "cpu": 0.5 * wall}


def test_a_process_is_measured_and_its_output_kept(tmp_path: Path) -> None:
    """Output, exit code, wall clock and the memory of the child alone."""
    done = python("import sys, time; a = bytearray(80_000_000); time.sleep(0.1); print('out'); sys.exit(3)", tmp_path)
    assert (done.stdout, done.code, done.timed_out) == ("out\n", 3, False)
    assert done.seconds > 0.1
    assert 0.0 < done.cpu_seconds < 30.0
    assert 80.0 < done.peak_rss_mb < 300.0


def test_a_process_beyond_its_limit_is_killed(tmp_path: Path) -> None:
    """And said to be."""
    done = python("import time; time.sleep(60)", tmp_path, limit=0.2)
    assert done.timed_out
    assert done.seconds < 30.0


def test_a_process_has_the_cores_and_threads_it_was_given(tmp_path: Path) -> None:
    """One core and one thread unless more are asked for."""
    code = (
        "import os; print(len(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'], os.environ['RAYON_NUM_THREADS'])"
    )
    assert python(code, tmp_path).stdout.split() == ["1", "1", "1"]


def test_a_failing_process_leaves_its_last_words(tmp_path: Path) -> None:
    """The message of the exception, for the note in the table."""
    assert python("raise ValueError('no such thing')", tmp_path).last_words == "ValueError: no such thing"


def test_a_runner_prints_one_line_and_repeats_the_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the tool itself prints does not reach stdout."""
    monkeypatch.setattr(sys, "argv", ["run", str(tmp_path), "--repeats", "3"])

    def noisy(path: Path) -> runner.Outcome:
        sys.stdout.write("noise")
        return runner.Outcome({"mu": 1.0}, 0.5, converged=path == tmp_path)

    runner.report("tool", "1.0", lambda path: path, noisy)
    line = json.loads(capsys.readouterr().out)
    assert line["outcome"] == {"parameters": {"mu": 1.0}, "sigma": 0.5, "converged": True, "message": ""}
    assert len(line["warm"]) == 3


def test_a_runner_keeps_to_its_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fit is always made, another one only if it is expected to fit in."""
    monkeypatch.setattr(sys, "argv", ["run", str(tmp_path), "--budget", "0"])
    runner.report("tool", "1.0", lambda path: path, lambda _: runner.Outcome({}, None, converged=True))
    assert json.loads(capsys.readouterr().out)["warm"] == []


def test_an_absent_peer_is_skipped_with_a_word(tmp_path: Path) -> None:
    """No environment, no run."""
    options = fit.Options(peers=tmp_path)
    peers = [tool for tool in TOOLS if tool.environment]
    entries = [fit.measure(tool, SMALL, pyhf_reference(SMALL), options) for tool in peers]
    assert {entry.note for entry in entries} == {"absent"}
    assert "absent" in fit.markdown(entries, options)


def test_a_tool_that_fails_is_reported_with_its_reason(tmp_path: Path) -> None:
    """The table goes on."""
    entry = fit.measure(Tool("broken", "no_such_module"), SMALL, pyhf_reference(SMALL), fit.Options(peers=tmp_path))
    assert "no_such_module" in entry.note
    assert entry.warm is None


def test_a_report_is_judged_by_pyhf(likelihoods: Path) -> None:
    """The verified minimum itself is at a distance of zero, and its uncertainty has the ratio one."""
    path = likelihoods / "agc_ttbar.json"
    verified = json.loads((likelihoods / "reference.json").read_text())[path.stem]
    outcome = {"parameters": verified["pars"], "sigma": verified["sigma"], "converged": True, "message": ""}
    report = {"version": "1", "outcome": outcome}
    report |= {"load": seconds(0.1), "cold": seconds(1.0), "warm": [seconds(w) for w in (0.3, 0.1, 0.2)]}
    entry = fit.judged(path, TOOLS[0], report, pyhf_reference(path), 100.0)
    assert entry.above_minimum == pytest.approx(0.0, abs=1e-9)
    assert (entry.sigma_ratio, entry.warm, entry.cpu, entry.n_warm, entry.note) == (1.0, 0.2, 0.1, 3, "")


def test_a_cold_start_without_a_fit_says_why() -> None:
    """The table keeps its rows, with dashes."""
    blank, importing = cold_start.Duration(0.02, 0.01), cold_start.Duration(1.0, 0.9)
    page = cold_start.markdown(cold_start.ColdStart(blank, importing, "name", note="not installed"))
    assert "| `import infer` | 1 s | 900 ms |" in page
    assert page.endswith("not installed")


def test_workspaces_are_found_and_their_reference_is_not_one_of_them(likelihoods: Path) -> None:
    """By name, with the verified minimum beside them."""
    found = workspaces.find([likelihoods])
    assert "reference" not in [path.stem for path in found]
    assert [path.stem for path in found] == sorted(path.stem for path in found)
    at_bound = {path.stem: workspaces.known_fit(path).at_bound for path in found}
    assert at_bound["2019-09_onshell"]
    assert not at_bound["atlas_tttt"]


def test_a_workspace_without_a_verified_minimum_has_none() -> None:
    """The folder of ROOT's values holds another kind of reference."""
    assert workspaces.known_fit(SMALL) is None


def test_random_points_are_reproducible_within_bounds_and_have_positive_rates() -> None:
    """Every free parameter moves."""
    found = pyhf_reference(SMALL)
    points = list(random_points(found, 20, 3))
    assert points == list(random_points(found, 20, 3))
    vectors = np.array([found.vector(point) for point in points])
    low, high = np.array(found.model.config.suggested_bounds()).T
    assert np.all((vectors >= low) & (vectors <= high))
    assert np.all(vectors.std(axis=0) > 0)
    assert all(np.all(found.rates(point) > 0) for point in points)


@pytest.mark.parametrize(
    ("difference", "above", "ratio", "broken"),
    [
        (1e-12, 1e-7, 1.001, 0),
        (2e-9, 1e-7, 1.0, 1),
        (0.0, 2e-4, None, 1),
        (0.0, None, 1.02, 1),
        (NAN, NAN, NAN, 3),
    ],
)
def test_a_broken_promise_is_named(difference: float, above: float | None, ratio: float | None, broken: int) -> None:
    """Each of the three on its own, and NaN keeps none of them."""
    check = FitCheck(above, 0.0, ratio, converged=True, seconds=1.0)
    assert len(Agreement("name", 3, 100, difference, check).broken) == broken


def test_a_table_is_markdown_and_its_record_json(tmp_path: Path) -> None:
    """Both files carry one name."""
    page, data = tables.write(tmp_path / "new", "stem", tables.markdown_table(["a", "b"], [["x", "1"]]), {"a": [1.0]})
    assert page.read_text() == "| a | b |\n| --- | ---: |\n| x | 1 |\n"
    assert json.loads(data.read_text()) == {"a": [1.0]}


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (2.5e-5, "25 µs"), (0.0123, "12.3 ms"), (75.0, "75 s")])
def test_times_are_printed_in_the_unit_that_suits_them(value: float | None, text: str) -> None:
    """Three significant digits."""
    assert tables.seconds(value) == text
