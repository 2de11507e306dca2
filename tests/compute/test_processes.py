"""Worker processes: one thread each, killed without harm, gone when the run is."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infer.compute import Checkpoint, LocalProcesses, Manifest, current_versions, run
from infer.errors import ComputeError, DataError, InputError
from tests.compute.work import ROOT, Failing, Killing, Objects, Squares, Surroundings, same

N = 12
MANIFEST = Manifest("squares", "0", {}, current_versions(), N)


def _gone(process: int) -> bool:
    """Whether a process has ended and was reaped."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def _until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether a condition comes true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_workers_are_processes_of_their_own(capfd: pytest.CaptureFixture[str]) -> None:
    """Several, each of one thread and in a group of its own, in float64; none is left, none said anything."""
    tables = run(Surroundings(), N, executor=LocalProcesses(2))
    pids = {int(table["process"][0]) for table in tables}
    assert 1 <= len(pids) <= 2
    assert os.getpid() not in pids
    assert all(table["process"].tolist()[1:] == [table["process"][0], os.getpid()] for table in tables)
    assert {str(table["threads"][0]) for table in tables} == {"1"}
    assert all(table["x64"] for table in tables)
    assert all(map(_gone, pids))
    assert capfd.readouterr() == ("", "")


def test_tables_are_those_of_this_process() -> None:
    """Bit for bit, of every kind."""
    assert same(run(Squares(), N, executor=LocalProcesses(2)), run(Squares(), N))


@pytest.mark.slow
def test_killed_workers_cost_nothing(tmp_path: Path) -> None:
    """Two chunks kill their workers, one of them three times: others get them."""
    work = Killing(Squares(0.05), (1, 5, 5, 5), tmp_path)
    assert same(run(work, N, executor=LocalProcesses(2)), run(Squares(), N))
    assert len(list(tmp_path.iterdir())) == 4


def test_a_worker_killed_from_outside_costs_nothing() -> None:
    """At any moment, here after the second result."""
    seen: list[int] = []
    with_pids = LocalProcesses(2).results(Surroundings(), range(N))
    for chunk, table in with_pids:
        seen.append(chunk)
        if len(seen) == 2:
            os.kill(int(table["process"][0]), signal.SIGKILL)
    assert sorted(seen) == list(range(N))


@pytest.mark.slow
def test_a_chunk_that_kills_every_worker_is_given_up(tmp_path: Path) -> None:
    """After four; what was finished is safe, and nobody survives."""
    folder = tmp_path / "cov"
    work = Killing(Squares(), (N - 1,) * 9, tmp_path)
    with pytest.raises(ComputeError) as caught:
        run(work, N, executor=LocalProcesses(2), checkpoint=Checkpoint.create(folder, MANIFEST))
    assert str(caught.value) == (
        f"chunk 11 was given to 4 workers and each of them died, the last one with SIGKILL, often a sign of too little "
        f"memory; 11 of 12 chunks are safe in {folder}/: run the same command again with --resume {folder}/ to go on."
    )
    assert len(list(tmp_path.glob("death-*"))) == 4
    assert same(run(Squares(), N, checkpoint=Checkpoint.resume(folder, MANIFEST)), run(Squares(), N))


@pytest.mark.slow
def test_a_worker_that_exits_says_how() -> None:
    """The end of a process is a death too, whatever the reason."""
    with pytest.raises(ComputeError, match=r"chunk 0 .* each of them died, the last one with exit code 3; .* standard"):
        run(Failing(0, "exit"), 1, executor=LocalProcesses(1))


@pytest.mark.parametrize(
    ("work", "kind", "message"),
    [
        (Failing(2, "input"), DataError, r"^the counts are negative\.$"),
        (Failing(2, "bug"), ComputeError, "^chunk 2 failed with ZeroDivisionError: division by nothing; nothing was k"),
        (Failing(2, "stubborn"), ComputeError, r"^pickle cannot \(StubbornError, which cannot be pickled: "),
        (Objects(), ComputeError, "^chunk [01] failed with TypeError: column 'objects' holds object"),
    ],
    ids=["input", "bug", "stubborn", "objects"],
)
def test_exceptions_come_back(work: Any, kind: type[Exception], message: str) -> None:
    """As they were raised, with the worker's traceback as a note; they are not tried again."""
    with pytest.raises(kind) as caught:
        run(work, 6, executor=LocalProcesses(2))
    assert re.search(message, str(caught.value))  # without the notes
    original = caught.value if kind is DataError else caught.value.__cause__
    if "Stubborn" not in message:
        assert original is not None
        assert any("In the worker:\nTraceback" in note for note in original.__notes__)


def test_finished_chunks_survive_an_exception(tmp_path: Path) -> None:
    """The bug is mended, the run goes on."""
    checkpoint = Checkpoint.create(tmp_path / "cov", MANIFEST)
    with pytest.raises(DataError):
        run(Failing(N - 1, "input"), N, executor=LocalProcesses(1), checkpoint=checkpoint)
    assert list(checkpoint.finished()) == list(range(N - 1))


def test_work_that_cannot_be_sent() -> None:
    """Functions of functions, and what a worker cannot import."""
    with pytest.raises(InputError, match="the work cannot be sent to other processes"):
        run(lambda _: {}, 1, executor=LocalProcesses(1))


PROGRAM = """
import sys
from infer.compute import *
from infer.errors import InferError
from tests.compute.work import Squares, Surroundings

class Local(Squares):
    pass

def count(done, n):
    print(done, flush=True)

if sys.argv[1] == "script":
    work, checkpoint = Local(), None
else:
    work = Squares(0.3)
    checkpoint = Checkpoint.create(sys.argv[1], Manifest("squares", "0", {}, current_versions(), 12))
try:
    run(work, 12, executor=LocalProcesses(2), checkpoint=checkpoint, progress=count)
except InferError as error:
    sys.exit(str(error))
"""


@pytest.mark.slow
def test_work_of_a_script_is_refused() -> None:
    """Workers do not run the script again, and say so."""
    shown = subprocess.run(
        [sys.executable, "-c", PROGRAM, "script"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 1
    assert shown.stderr.startswith("a worker cannot load the work (Can't get attribute 'Local'")
    assert shown.stderr.endswith("workers can import, not in a script or notebook.\n")


def _children(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="utf-8")
    return [int(child) for child in listed.split()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are listed by Linux")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_stopped(tmp_path: Path, sent: signal.Signals) -> None:
    """Ctrl-C ends in one sentence, and no signal leaves workers behind or spoils what is finished."""
    folder = tmp_path / "cov"
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert program.stdout is not None
    while program.stdout.readline().strip() != "3":
        assert program.poll() is None
    workers = _children(program.pid)
    os.killpg(program.pid, sent)  # as a terminal does it: the whole group
    _, stderr = program.communicate(timeout=60)
    done = len(Checkpoint.resume(folder, MANIFEST).finished())
    assert 3 <= done < N
    if sent == signal.SIGINT:
        assert program.returncode == 1
        assert stderr == (
            f"the run was interrupted; {done} of 12 chunks are safe in {folder}/: "
            f"run the same command again with --resume {folder}/ to go on.\n"
        )
    else:
        assert (program.returncode, stderr) == (-sent, "")
    assert len(workers) == 2
    assert _until(lambda: all(map(_gone, workers)))
    assert same(run(Squares(), N, checkpoint=Checkpoint.resume(folder, MANIFEST)), run(Squares(), N))


def test_closing_ends_what_still_runs() -> None:
    """Whoever stops listening does not wait for the others."""
    results = LocalProcesses(2).results(Surroundings(), range(1000))
    _, table = next(results)
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < 5.0
    assert _gone(int(table["process"][0]))
