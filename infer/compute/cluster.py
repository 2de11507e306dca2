"""Dask: a scheduler that already runs, or one started here with workers from a batch system.

The work travels as one task of its own, and chunks depend on it: each worker gets it once, from the
scheduler or from another worker, and it can be had again if those that hold it die.
"""

from __future__ import annotations

import logging
import platform
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from infer.compute.checkpoint import current_versions, version_conflict
from infer.compute.executors import RETRIES, Executor
from infer.compute.jobqueue import import_extra, read_jobqueue
from infer.compute.work import Results, Table, Work, perform_elsewhere, pickled, unpickled
from infer.errors import ComputeError, InferError, InputError

_TIMEOUT = 5.0
"""Seconds for a scheduler to answer, and to come back when its connection is lost."""
_GLANCE = 1.0
"""Seconds between two looks at whether workers are there."""
_PATIENCE = 60.0
"""Seconds that a scheduler may be without workers, which are restarted when they die."""


@dataclass(frozen=True)
class Dask(Executor):
    """A Dask scheduler that already runs, with its workers.

    How many threads a worker uses is decided where it is started: ``dask worker --nthreads 1``
    gives one chunk at a time to each.

    Args:
        address: ``tcp://host:port``.
    """

    address: str

    def results(self, work: Work, chunks: Sequence[int]) -> Results:
        """Chunk numbers with their tables, in the order in which they are finished.

        Raises:
            InferError: as `Executor.results`.
        """
        with _client(self.address, self.address) as client:
            yield from _map(client, self.address, work, chunks, patience=_PATIENCE)


class DaskJobqueue(Executor):
    """A batch system: a scheduler in this process, its workers in jobs, for as long as the run takes.

    Args:
        path: YAML file, see `infer.compute.jobqueue`.

    Raises:
        InputError: the file breaks its format.
    """

    def __init__(self, path: str | Path) -> None:
        self.described = read_jobqueue(path)

    def results(self, work: Work, chunks: Sequence[int]) -> Results:
        """Chunk numbers with their tables, in the order in which they are finished.

        Raises:
            InferError: as `Executor.results`.
            InputError: the batch system is not installed here, or refuses the options.
        """
        with _quiet(), closing(self.described.start()) as cluster:
            address = cluster.scheduler_address
            with _client(cluster, address) as client:
                # jobs may wait in their queue for days, hence no end of patience
                yield from _map(client, address, work, chunks, patience=inf)


@contextmanager
def _client(cluster: Any, address: str) -> Iterator[Any]:
    """A connection to a scheduler; closed at the end, which releases what is still under way."""
    distributed = import_extra("distributed")
    with _quiet():
        try:
            _require_answer(address)
            client = distributed.Client(cluster, timeout=_TIMEOUT, set_as_default=False)
        except OSError as error:
            raise ComputeError(f"no Dask scheduler answers at {address}") from error
        except ValueError as error:
            raise InputError(f"{address!r} is no address of a Dask scheduler: write tcp://host:8786.") from error
        with client:
            yield client


def _require_answer(address: str) -> None:
    """Refuse what does not speak like a scheduler, such as its dashboard: Dask would wait for it for ever."""
    host, port = import_extra("distributed.comm").get_address_host_port(address, strict=True)
    with socket.create_connection((host, port), timeout=_TIMEOUT) as probe:
        if address.startswith("tcp://") and not probe.recv(1):  # with tls, the client speaks first
            raise ConnectionResetError(f"{address} says nothing")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Dask's log, which tells of lost connections again and again: one sentence will do so."""
    with import_extra("distributed.utils").silence_logging_cmgr(logging.CRITICAL):
        yield


def _map(client: Any, address: str, work: Work, chunks: Sequence[int], *, patience: float) -> Results:
    """Chunk numbers with their tables, as they are finished."""
    sent = client.submit(unpickled, pickled(work), pure=False)
    versions = current_versions()
    chunk_of = {client.submit(_task, sent, chunk, versions, pure=False): chunk for chunk in chunks}
    finished: SimpleQueue[Any] = SimpleQueue()
    for future in chunk_of:
        future.add_done_callback(finished.put)
    while chunk_of:
        future = _next(client, address, finished, patience)
        chunk = chunk_of.pop(future)
        yield chunk, _result(future, chunk, address)


def _next(client: Any, address: str, finished: SimpleQueue[Any], patience: float) -> Any:
    """The next future that is done; meanwhile, look every second whether there is hope for one."""
    deserted = time.monotonic()
    while True:
        try:
            return finished.get(timeout=_GLANCE)
        except Empty:
            if _has_workers(client, address):
                deserted = time.monotonic()
            elif time.monotonic() - deserted > patience:
                raise ComputeError(f"the Dask scheduler at {address} has no workers") from None


def _has_workers(client: Any, address: str) -> bool:
    try:
        return bool(client.scheduler_info(n_workers=1)["workers"])
    except (OSError, TimeoutError, RuntimeError) as error:  # the last: it was closed after trying in vain
        raise _lost(address) from error


def _lost(address: str) -> ComputeError:
    return ComputeError(f"the connection to the Dask scheduler at {address} was lost")


def _task(work: Work, chunk: int, versions: Mapping[str, str]) -> Table:
    """What a worker does with a chunk.

    Raises:
        InputError: its software is not that of the process which asks.
    """
    conflict = version_conflict(current_versions(), versions)
    if conflict:
        raise InputError(f"a worker on {platform.node()} has other software than this process ({conflict}).")
    return perform_elsewhere(work, chunk)


def _result(future: Any, chunk: int, address: str) -> Table:
    """The table of a chunk that is finished in one way or the other."""
    distributed = import_extra("distributed")
    try:
        table: Table = future.result()
    except InferError:
        raise
    except distributed.KilledWorker as error:
        raise ComputeError(f"chunk {chunk} was given to {RETRIES + 1} workers and each of them died") from error
    except (distributed.CancelledError, OSError, TimeoutError) as error:
        raise _lost(address) from error
    except Exception as error:
        raise ComputeError(f"chunk {chunk} failed with {type(error).__name__}: {error}") from error
    return table
