"""A run of many chunks: order, progress, what is skipped, and the one sentence that each failure ends in."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infer.compute import (
    Checkpoint,
    Dask,
    DaskJobqueue,
    Executor,
    InThisProcess,
    LocalProcesses,
    Manifest,
    current_versions,
    executor_for,
    run,
)
from infer.compute.work import Results, Work, perform
from infer.errors import ComputeError, DataError, InferError, InputError, Interrupted
from tests.compute.work import Failing, Objects, Squares, same

N = 6
MANIFEST = Manifest("toys", "0" * 64, {"n": 2000}, current_versions(), N)


class Backwards(Executor):
    """The last chunk first; stops with an exception after some, if given one."""

    def __init__(self, after: int = N, error: BaseException | None = None) -> None:
        self.after, self.error, self.closed = after, error, False

    def results(self, work: Work, chunks: Sequence[int]) -> Results:
        """Chunks in descending order."""
        try:
            for chunk in sorted(chunks, reverse=True)[: self.after]:
                yield chunk, perform(work, chunk)
            if self.error is not None:
                raise self.error
        finally:
            self.closed = True


def test_tables_are_in_the_order_of_chunks() -> None:
    """However they arrive."""
    tables = run(Squares(), N, executor=Backwards())
    assert [int(table["square"][0]) for table in tables] == [chunk**2 for chunk in range(N)]
    assert same(tables, run(Squares(), N))


def test_tables_hold_numpy_arrays_in_their_natural_order() -> None:
    """What pickle or a file would change is changed at once, so that all ways give the same bits."""
    (table,) = run(Squares(), 1)
    assert all(type(values) is np.ndarray for values in table.values())
    assert all(values.dtype.isnative and values.flags.c_contiguous for values in table.values())
    assert table["file"].shape == ()
    assert table["none"].shape == (0, 2)


def test_progress_counts_all_chunks(tmp_path: Path) -> None:
    """It starts at what was finished before."""
    checkpoint = Checkpoint.create(tmp_path / "run", MANIFEST)
    checkpoint.save(3, Squares()(3))
    seen: list[tuple[int, int]] = []
    run(Squares(), N, checkpoint=checkpoint, progress=lambda *counts: seen.append(counts))
    assert seen == [(done, N) for done in range(1, N + 1)]


def test_finished_chunks_are_not_computed_again(tmp_path: Path) -> None:
    """A finished run is read, and its executor not even asked."""
    checkpoint = Checkpoint.create(tmp_path / "run", MANIFEST)
    tables = run(Squares(), N, checkpoint=checkpoint)
    again = run(Failing(0, "bug"), N, executor=Backwards(error=AssertionError()), checkpoint=checkpoint)
    assert same(tables, again)


def test_no_chunks_are_no_tables() -> None:
    """Nothing to do is no error."""
    assert run(Squares(), 0) == []


def test_exceptions_of_infer_propagate_as_they_are() -> None:
    """Bad input stays bad input."""
    with pytest.raises(DataError, match=r"^the counts are negative\.$"):
        run(Failing(2, "input"), N)


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (Failing(2, "bug"), "chunk 2 failed with ZeroDivisionError: division by nothing; nothing was kept"),
        (Objects(), "chunk 0 failed with TypeError: column 'objects' holds object, expected numbers"),
    ],
    ids=["bug", "objects"],
)
def test_other_exceptions_name_the_chunk(work: Any, message: str) -> None:
    """And the original exception stays attached."""
    with pytest.raises(ComputeError, match=message) as caught:
        run(work, N)
    assert isinstance(caught.value.__cause__, ComputeError)
    assert isinstance(caught.value.__cause__.__cause__, ZeroDivisionError | TypeError)


STOPS = [
    (KeyboardInterrupt(), Interrupted, "the run was interrupted"),
    (ComputeError("the cluster is gone"), ComputeError, "the cluster is gone"),
]


@pytest.mark.parametrize(("error", "kind", "what"), STOPS, ids=["interrupt", "cluster"])
def test_a_stop_says_what_is_safe(tmp_path: Path, error: BaseException, kind: type[InferError], what: str) -> None:
    """One sentence: what happened, how much is safe and where, how to go on; and the executor is closed."""
    folder, executor = tmp_path / "cov", Backwards(2, error)
    with pytest.raises(kind) as caught:
        run(Squares(), N, executor=executor, checkpoint=Checkpoint.create(folder, MANIFEST))
    assert str(caught.value) == (
        f"{what}; 2 of 6 chunks are safe in {folder}/: run the same command again with --resume {folder}/ to go on."
    )
    assert executor.closed
    assert same(run(Squares(), N, checkpoint=Checkpoint.resume(folder, MANIFEST)), run(Squares(), N))


@pytest.mark.parametrize(("error", "kind", "what"), STOPS, ids=["interrupt", "cluster"])
def test_a_stop_without_a_folder_gives_advice(error: BaseException, kind: type[InferError], what: str) -> None:
    """Nothing is safe, and the next run may do better."""
    with pytest.raises(kind, match=rf"^{what}; nothing was kept, since the run had no folder: .* --out .*\.$"):
        run(Squares(), N, executor=Backwards(2, error))


@pytest.mark.parametrize(
    ("code", "what"),
    [(errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "the disk is full"), (errno.EIO, "the disk fails")],
    ids=["full", "quota", "broken"],
)
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, what: str) -> None:
    """What was saved before stays, nothing half-written is left, and the run can go on later."""
    folder, synced = tmp_path / "cov", os.fsync
    checkpoint, left = Checkpoint.create(folder, MANIFEST), iter([True, True])

    def fsync(handle: int) -> None:
        if not next(left, False):
            raise OSError(code, os.strerror(code))
        synced(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(ComputeError) as caught:
        run(Squares(), N, checkpoint=checkpoint)
    assert str(caught.value).startswith(
        f"chunk 2 could not be saved in {folder}/, since {what} ({os.strerror(code)}); 2 of 6 chunks are safe in"
    )
    assert sorted(path.name for path in folder.iterdir()) == ["chunk-000000.npz", "chunk-000001.npz", "manifest.json"]
    monkeypatch.undo()
    assert same(run(Squares(), N, checkpoint=Checkpoint.resume(folder, MANIFEST)), run(Squares(), N))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 KiB, where one may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    """Each chunk takes a page or more of eight."""
    checkpoint = Checkpoint.create(small_disk / "cov", Manifest("toys", "0", {}, current_versions(), 20))
    with pytest.raises(
        ComputeError, match=r"the disk is full .*; [1-7] of 20 chunks are safe in .*/cov/: run the same"
    ):
        run(Squares(), 20, checkpoint=checkpoint)
    assert 0 < len(checkpoint.finished()) < 8


# ------------------------------------------------------------------------------- options of the command line


def test_executor_for(tmp_path: Path) -> None:
    """Two options choose among four places."""
    path = tmp_path / "slurm.yaml"
    path.write_text("{cluster: slurm, workers: 3}", encoding="utf-8")
    assert executor_for(None, None) == InThisProcess()
    assert executor_for(8, None) == LocalProcesses(8)
    assert executor_for(None, "tcp://localhost:8786") == Dask("tcp://localhost:8786")
    assert isinstance(executor_for(None, str(path)), DaskJobqueue)


@pytest.mark.parametrize(
    ("workers", "cluster", "message"),
    [
        (8, "tcp://localhost:8786", "--workers and --cluster exclude each other"),
        (0, None, "expected one worker or more, got 0"),
        (None, "localhost", "--cluster must be the address of a Dask scheduler .* got 'localhost'"),
        (None, "absent.yaml", "absent.yaml cannot be read"),
    ],
    ids=["both", "none", "neither", "absent"],
)
def test_executor_for_refuses(workers: int | None, cluster: str | None, message: str) -> None:
    """With a sentence that says what was expected."""
    with pytest.raises(InputError, match=message):
        executor_for(workers, cluster)


def test_import_is_light() -> None:
    """Neither Dask nor YAML is loaded before it is needed."""
    program = "import sys, infer.compute; print([m for m in ('dask', 'distributed', 'yaml') if m in sys.modules])"
    root = Path(__file__).parent.parent.parent
    shown = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\[\]\s*", shown.stdout)
