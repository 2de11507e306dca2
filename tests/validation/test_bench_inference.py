"""Inference side by side: what a program answers, what becomes of it, and the table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from validation import tables
from validation.bench import inference
from validation.bench.inference import TASKS, Entry, Options, answered, difference, markdown, measure, record
from validation.bench.peers import Tool

SEARCH = Path(__file__).parents[2] / "workspaces" / "search.json"
RANKING = next(task for task in TASKS if task.name == "ranking")
INFER = RANKING.tools[0]


def report(converged: bool = True) -> dict[str, object]:
    """The line of a program."""
    outcome = {"numbers": {"a up": 0.5, "a down": -0.25}, "converged": converged, "message": "1 of 4 refits failed"}
    times = {"cold": {"wall": 3.0, "cpu": 2.0}, "warm": [{"wall": w, "cpu": w / 2} for w in (0.1, 0.4, 0.2)]}
    return {"version": "1", "outcome": outcome, **times}


def test_report_becomes_an_entry() -> None:
    """Times are medians of the answers after the first; what did not converge is noted."""
    entry = answered(RANKING, INFER, "ws", report(), 100.0)
    assert (entry.cold, entry.warm, entry.cpu, entry.n_warm) == (3.0, 0.2, 0.1, 3)
    assert (entry.note, entry.numbers["a down"]) == ("", -0.25)
    assert answered(RANKING, INFER, "ws", report(converged=False), 100.0).note == "not converged 1 of 4 refits failed"


def test_difference_of_shared_numbers() -> None:
    """Only numbers that both have are compared."""
    ours = Entry("t", "ws", "infer", numbers={"a": 1.0, "b": 2.0})
    assert difference(Entry("t", "ws", "other", numbers={"a": 1.25, "b": 1.9, "c": 9.0}), ours) == pytest.approx(0.25)
    assert difference(Entry("t", "ws", "other", numbers={"c": 9.0}), ours) is None
    assert difference(ours, None) is None


def test_absent_and_failing_tools_are_noted(tmp_path: Path) -> None:
    """A table says why a tool has no time."""
    options = Options(tmp_path, repeats=1, limit=60.0, cores=1)
    assert measure(RANKING, Tool("other", "run_nothing", "nowhere"), SEARCH, options).note == "absent"
    assert "No module named" in measure(RANKING, Tool("infer", "run_nothing"), SEARCH, options).note


def test_page_and_record(tmp_path: Path) -> None:
    """Every task has its question and a table for each workspace; the JSON has the numbers."""
    other = Entry("ranking", "ws", "other", cold=6.0, cold_cpu=5.0, note="slow")
    entries = [answered(RANKING, INFER, "ws", report(), 100.0), other]
    options = Options(tmp_path)
    page = markdown(TASKS, entries, options)
    assert RANKING.question in page
    (row,) = [line for line in page.splitlines() if line.startswith("| other")]
    assert tables.number(50.0) in row
    assert json.loads(json.dumps(record(entries, options)))["entries"][0]["numbers"] == entries[0].numbers


@pytest.mark.slow
def test_our_own_program_answers(tmp_path: Path) -> None:
    """The ranking's program of this package gives four numbers for a parameter with a constraint, in a process."""
    (entry,) = inference.run([(replace(RANKING, tools=(INFER,)), [SEARCH])], Options(tmp_path, 1, 300.0, 1))
    assert (entry.converged, entry.note, entry.n_warm) == (True, "", 1)
    assert {"jes up", "jes down", "jes prefit_up", "jes prefit_down"} <= set(entry.numbers)


@pytest.mark.slow
def test_contours_are_asked_of_ours(tmp_path: Path) -> None:
    """The program gives the corners of the grid; none of the best fit's depth, all of them far from it."""
    task = next(task for task in TASKS if task.name == "contour")
    (entry,) = inference.run([(task, [SEARCH])], Options(tmp_path, 1, 300.0, 1))
    assert (entry.converged, entry.note) == (True, "")
    assert set(entry.numbers) == {"0,0", "0,-1", "-1,0", "-1,-1"}
    assert min(entry.numbers.values()) > 1.0
