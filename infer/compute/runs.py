"""A run of many chunks: skip what is finished, keep what is new, and say what is safe when it ends early."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from infer.compute.checkpoint import Checkpoint
from infer.compute.cluster import Dask, DaskJobqueue
from infer.compute.executors import Executor, InThisProcess
from infer.compute.processes import LocalProcesses
from infer.compute.work import Table, Work
from infer.errors import ComputeError, InputError, Interrupted

_FULL = (errno.ENOSPC, errno.EDQUOT)


def run(
    work: Work,
    n_chunks: int,
    *,
    executor: Executor | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Table]:
    """The tables of all chunks, in order.

    Args:
        work: what is done with a chunk.
        n_chunks: chunks are numbered from 0.
        executor: where; None means in this process.
        checkpoint: where finished chunks are kept, and taken from if they are there already.
        progress: called with the number of finished chunks and that of all, at the start and after
            every chunk.

    Raises:
        InferError: as the work raised it.
        ComputeError: the work raised something else, or the machinery failed; one sentence says what
            happened, what is safe and how to go on.
        Interrupted: the same, after Ctrl-C.
    """
    done = {} if checkpoint is None else checkpoint.finished()
    try:
        _compute(work, n_chunks, executor or InThisProcess(), checkpoint, done, progress or _silent)
    except KeyboardInterrupt as error:
        raise Interrupted(_sentence("the run was interrupted", len(done), n_chunks, checkpoint)) from error
    except ComputeError as error:
        raise ComputeError(_sentence(str(error), len(done), n_chunks, checkpoint)) from error
    return [done[chunk] for chunk in range(n_chunks)]


def executor_for(workers: int | None, cluster: str | None) -> Executor:
    """The executor that two command-line options ask for.

    Args:
        workers: ``--workers``: so many processes of this machine.
        cluster: ``--cluster``: the address of a Dask scheduler (tcp://...), or the path of a YAML file
            that describes a batch system.

    Raises:
        InputError: both are given, or one cannot be understood.
    """
    if workers is not None and cluster is not None:
        raise InputError("--workers and --cluster exclude each other: one is for this machine, the other for many.")
    if workers is not None:
        return LocalProcesses(workers)
    if cluster is None:
        return InThisProcess()
    if "://" in cluster:
        return Dask(cluster)
    if Path(cluster).suffix in {".yaml", ".yml"}:
        return DaskJobqueue(cluster)
    raise InputError(
        f"--cluster must be the address of a Dask scheduler (tcp://host:8786) or a file (slurm.yaml), got {cluster!r}."
    )


def _compute(
    work: Work,
    n_chunks: int,
    executor: Executor,
    checkpoint: Checkpoint | None,
    done: dict[int, Table],
    progress: Callable[[int, int], None],
) -> None:
    """Add to ``done`` what is missing."""
    missing = [chunk for chunk in range(n_chunks) if chunk not in done]
    progress(len(done), n_chunks)
    if not missing:
        return
    with closing(executor.results(work, missing)) as results:
        for chunk, table in results:
            if checkpoint is not None:
                _save(checkpoint, chunk, table)
            done[chunk] = table
            progress(len(done), n_chunks)


def _save(checkpoint: Checkpoint, chunk: int, table: Table) -> None:
    try:
        checkpoint.save(chunk, table)
    except OSError as error:
        full = "the disk is full" if error.errno in _FULL else "the disk fails"
        raise ComputeError(
            f"chunk {chunk} could not be saved in {checkpoint}, since {full} ({error.strerror or error})"
        ) from error


def _sentence(what: str, n_done: int, n_chunks: int, checkpoint: Checkpoint | None) -> str:
    """What happened, what is safe, and how to go on."""
    if checkpoint is None:
        return f"{what}; nothing was kept, since the run had no folder: give it one with --out to be able to resume it."
    return (
        f"{what}; {n_done} of {n_chunks} chunks are safe in {checkpoint}: "
        f"run the same command again with --resume {checkpoint} to go on."
    )


def _silent(done: int, n_chunks: int) -> None:
    """Tell nobody."""
