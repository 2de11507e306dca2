"""The law: however work is split, interrupted, killed and resumed, the tables are the same, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from infer.compute import Checkpoint, InThisProcess, LocalProcesses, Manifest, Table, current_versions, fingerprint, run
from infer.errors import ComputeError
from infer.inference.minimize import CONVERGED
from tests.compute.work import Fits, Killing, same, search

N_CHUNKS = 14
WORK = Fits(search(), 8)
MANIFEST = Manifest("fits", fingerprint(WORK), {}, current_versions(), N_CHUNKS)


@pytest.fixture(scope="module")
def expected() -> list[Table]:
    """In this process, on all its threads."""
    return run(WORK, N_CHUNKS, executor=InThisProcess())


def test_toys_are_fits(expected: list[Table]) -> None:
    """The comparison is not one of empty tables: toys differ from one another, and nearly all converge."""
    status = np.concatenate([table["status"] for table in expected])
    poi = np.concatenate([table["theta"][:, 0] for table in expected])
    assert np.mean(status == CONVERGED) > 0.95
    assert np.unique(poi).size == N_CHUNKS * WORK.n_toys


def test_chunks_are_split_by_toy_and_not_by_chunk(expected: list[Table]) -> None:
    """The same toys in chunks of another size."""
    other = run(Fits(WORK.likelihood, 2 * WORK.n_toys), N_CHUNKS // 2)
    for name in expected[0]:
        assert np.array_equal(*(np.concatenate([t[name] for t in tables]) for tables in (expected, other)))


@pytest.mark.slow
@pytest.mark.parametrize(("n_workers", "deaths"), [(1, ()), (2, ()), (7, (5, 9))], ids=["one", "two", "seven-killed"])
def test_workers(expected: list[Table], tmp_path: Path, n_workers: int, deaths: tuple[int, ...]) -> None:
    """One, two, or seven of which two are killed in the middle of the run."""
    tables = run(Killing(WORK, deaths, tmp_path), N_CHUNKS, executor=LocalProcesses(n_workers))
    assert same(tables, expected)
    assert len(list(tmp_path.iterdir())) == len(deaths)


@pytest.mark.slow
def test_killed_and_resumed(expected: list[Table], tmp_path: Path) -> None:
    """A run that died half-way on two workers is finished in this process, from the folder."""
    folder, seen = tmp_path / "cov", []
    work = Killing(WORK, (8,) * 9, tmp_path)
    with pytest.raises(ComputeError, match=r"chunk 8 .* of 14 chunks are safe"):
        run(work, N_CHUNKS, executor=LocalProcesses(2), checkpoint=Checkpoint.create(folder, MANIFEST))
    again = Manifest("fits", fingerprint(Fits(search(), 8)), {}, current_versions(), N_CHUNKS)
    checkpoint = Checkpoint.resume(folder, again)
    assert 0 < len(checkpoint.finished()) < N_CHUNKS
    tables = run(WORK, N_CHUNKS, checkpoint=checkpoint, progress=lambda done, _: seen.append(done))
    assert seen[0] > 0
    assert same(tables, expected)
