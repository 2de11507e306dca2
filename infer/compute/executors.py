"""Where chunks are computed: the interface, and the simplest place of all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from infer.compute.work import Results, Work, perform

RETRIES = 3
"""A chunk is given to so many further workers if its worker dies; Dask's own default."""


class Executor(ABC):
    """Abstract place where chunks are computed; concrete classes are final."""

    @abstractmethod
    def results(self, work: Work, chunks: Sequence[int]) -> Results:
        """Chunk numbers with their tables, in the order in which they are finished.

        Closing the generator ends what still runs, and leaves no process behind.

        Raises:
            InferError: as the work raised it.
            ComputeError: the work raised something else, workers died, or the cluster was lost;
                the message is a clause without a full stop, which `run` completes.
            InputError: the work cannot be sent to where it should run.
        """


@dataclass(frozen=True)
class InThisProcess(Executor):
    """One chunk after the other in this process; the work itself may use all cores."""

    def results(self, work: Work, chunks: Sequence[int]) -> Results:
        """Chunk numbers with their tables, in the order given.

        Raises:
            InferError: as `Executor.results`.
        """
        for chunk in chunks:
            yield chunk, perform(work, chunk)
