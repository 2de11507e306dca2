"""Map a function over chunk numbers, somewhere, with checkpoints.

What to use when:

=========================  ==========================================================================
`InThisProcess`            the default; the work itself uses all cores where it can
`LocalProcesses`           work that holds one core at a time, such as fits one after the other in Python
`Dask`                     a scheduler that already runs
`DaskJobqueue`             a batch system (Slurm, HTCondor, PBS, LSF, SGE) on which workers are to be started
=========================  ==========================================================================

Chunks are numbered by what they hold (toys 0 to 49, 50 to 99, ...), never by the worker that got
them, so that results do not depend on how the work was split, interrupted or resumed.  `run` does
the mapping; a `Checkpoint` keeps what is finished.

Bit for bit this holds between machines of one kind.  XLA compiles for the processor that it finds,
and with three threads or more (NPROC) it splits some large matrix products in another way than with
one or two; between such machines, the last digits may differ.

>>> tables = run(work, n_chunks, executor=LocalProcesses(8), checkpoint=Checkpoint.create("cov", manifest))
"""

from __future__ import annotations

from infer.compute.checkpoint import Checkpoint, Manifest, current_versions
from infer.compute.cluster import Dask, DaskJobqueue
from infer.compute.executors import Executor, InThisProcess
from infer.compute.fingerprint import fingerprint
from infer.compute.processes import LocalProcesses
from infer.compute.runs import executor_for, run
from infer.compute.work import Table, Work

__all__ = [
    "Checkpoint",
    "Dask",
    "DaskJobqueue",
    "Executor",
    "InThisProcess",
    "LocalProcesses",
    "Manifest",
    "Table",
    "Work",
    "current_versions",
    "executor_for",
    "fingerprint",
    "run",
]
