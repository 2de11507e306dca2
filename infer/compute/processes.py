"""Local worker processes that may be killed without harm.

Workers are started as new programs and never forked, since JAX has threads; with an environment
of their own, so that libraries read it before they start; and in process groups of their own, so
that Ctrl-C reaches this process alone.  One loop here owns them all: a worker that dies closes its
socket, and its chunk goes to a new worker.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

from infer.compute import worker
from infer.compute.executors import RETRIES, Executor
from infer.compute.work import Results, Table, Work, pickled
from infer.errors import ComputeError, InferError, InputError

_PROGRAM = "import sys; sys.path[:] = {path!r}; from infer.compute.worker import main; main({handle})"
# XLA's own pool keeps its size (NPROC): that decides how it splits sums, and with it the last bits.
_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",  # several processes on one accelerator would fight for its memory
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}

_LAST_BREATH = 5.0
"""Seconds in which a process that has closed its socket must end by itself, to have its own exit code."""


@dataclass(frozen=True)
class LocalProcesses(Executor):
    """Processes of this machine, one thread of work each, on the CPU.

    Args:
        n_workers: how many processes, at least one.

    Raises:
        InputError: fewer than one.
    """

    n_workers: int

    def __post_init__(self) -> None:
        if self.n_workers < 1:
            raise InputError(f"expected one worker or more, got {self.n_workers}.")

    def results(self, work: Work, chunks: Sequence[int]) -> Results:
        """Chunk numbers with their tables, in the order in which they are finished.

        Raises:
            InferError: as `Executor.results`.
        """
        crew = _Crew(self.n_workers, pickled(work), deque(chunks), Counter(), {})
        try:
            while crew.hire():
                for connection in wait(crew.workers):
                    result = crew.hear(connection)
                    if result is not None:
                        yield result
        finally:
            crew.dismiss()


@dataclass
class _Worker:
    """A process, and the chunk that it has or will have next."""

    process: subprocess.Popen[bytes]
    chunk: int

    def stop(self) -> None:
        """End it, whatever it does, and wait until it is gone."""
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()


@dataclass
class _Crew:
    """The workers by their connections, and what is to be done."""

    size: int
    work: bytes
    chunks: deque[int]
    deaths: Counter[int]
    workers: dict[Connection[Any, Any], _Worker]

    def hire(self) -> bool:
        """Fill the crew up as far as there are chunks without a worker; whether anybody works."""
        while self.chunks and len(self.workers) < self.size:
            ours, theirs = Pipe()
            self.workers[ours] = _Worker(_start(theirs), self.chunks.popleft())
        return bool(self.workers)

    def hear(self, connection: Any) -> tuple[int, Table] | None:
        """What a worker has to say: a result, or nothing that concerns anybody else.

        Raises:
            InferError: as the worker raised it.
            ComputeError: it died, and so did too many before it with the same chunk.
        """
        try:
            message = connection.recv()
        except (EOFError, OSError):
            self._bury(connection)
            return None
        if isinstance(message, InferError):
            raise message
        hired = self.workers[connection]
        if message == worker.READY:
            _tell(connection, self.work, hired.chunk)
            return None
        if self.chunks:
            hired.chunk = self.chunks.popleft()
            _tell(connection, hired.chunk)
        else:
            self._dismiss(connection)
        return message

    def dismiss(self) -> None:
        """End all workers."""
        for connection in list(self.workers):
            self._dismiss(connection)

    def _dismiss(self, connection: Connection) -> _Worker:
        dismissed = self.workers.pop(connection)
        dismissed.stop()
        connection.close()
        return dismissed

    def _bury(self, connection: Connection) -> None:
        """A worker died: its chunk comes first in the queue, unless it killed too many."""
        with suppress(subprocess.TimeoutExpired):  # its socket closes a moment before it is gone
            self.workers[connection].process.wait(timeout=_LAST_BREATH)
        dead = self._dismiss(connection)
        self.deaths[dead.chunk] += 1
        if self.deaths[dead.chunk] > RETRIES:
            raise ComputeError(
                f"chunk {dead.chunk} was given to {RETRIES + 1} workers and each of them died, the last one with "
                f"{_cause(dead.process.returncode)}"
            )
        self.chunks.appendleft(dead.chunk)


def _start(connection: Connection) -> subprocess.Popen[bytes]:
    """A new worker at the other end of a connection, which it takes over."""
    program = _PROGRAM.format(path=sys.path, handle=connection.fileno())
    with connection:
        return subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            pass_fds=[connection.fileno()],
            env=os.environ | _ENVIRONMENT,
            process_group=0,
        )


def _tell(connection: Connection, *messages: bytes | int) -> None:
    """Send to a worker; if it died meanwhile, its closed socket is heard next."""
    with suppress(OSError):
        for message in messages:
            if isinstance(message, bytes):
                connection.send_bytes(message)
            else:
                connection.send(message)


def _cause(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"exit code {code}; what it wrote on standard error says more"
    name = signal.Signals(-code).name
    return f"{name}, often a sign of too little memory" if name == "SIGKILL" else name
