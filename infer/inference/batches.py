"""Many independent problems of one kind, on all cores or on an accelerator.

A problem is a pytree of arrays, and a batch of them carries a leading axis.  Blocks of a fixed number
of problems go through one compiled program, several blocks at a time.  Within a block

- on a CPU the problems run one after the other, each for as many steps as it needs: XLA's batched
  products of small matrices are five times slower there.  Only where a problem is tiny, so that
  starting its operations costs more than the arithmetic, do several advance together;
- on an accelerator they always advance together.

What comes out for a problem does not depend on the others, nor on the number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np

from infer.threads import one_blas_thread

_Record = TypeVar("_Record")

_BLOCK = 16  # problems of one call, times those that advance together
_LANES = 64  # problems that advance together on an accelerator
_TINY = 12  # parameters up to which problems advance together on a CPU too


def each(function: Callable[[Any, Any], _Record], shared: Any, problems: Any, *, size: int) -> _Record:
    """Apply a function to every problem of a batch.

    Args:
        function: Called with ``shared`` and one problem inside ``jit``; hashable, so that one program
            serves all calls: a plain function of a module, or a frozen dataclass.
        shared: Pytree that all problems have in common.
        problems: Pytree of arrays with a leading axis (N, ...).
        size: Number of parameters of a problem, which decides how many advance together.

    Returns:
        What the function returns, as NumPy arrays with a leading axis (N, ...).
    """
    n = jax.tree.leaves(problems)[0].shape[0]
    together, block = _together(size), block_size(n, size)
    # The last block is filled up with copies of the first problem, so that one program serves all.
    takes = [
        np.resize(np.append(np.arange(i, min(i + block, n)), np.zeros(block, int)), block) for i in range(0, n, block)
    ]

    def run(take: np.ndarray) -> _Record:
        some = jax.tree.map(lambda x: x[take], problems)
        return jax.device_get(_block(function, shared, some, together))

    with one_blas_thread(), ThreadPoolExecutor(threads()) as pool:
        done = list(pool.map(run, takes))
    merged: _Record = jax.tree.map(lambda *x: np.concatenate(x)[:n], *done)
    return merged


def block_size(n: int, size: int) -> int:
    """Problems that one call of the compiled program takes, of n with so many parameters."""
    together = _together(size)
    return max(together, min(_BLOCK * together, 1 << max(n - 1, 0).bit_length()))


def threads() -> int:
    """Cores that this process may use: those it is confined to, and no more than ``OMP_NUM_THREADS`` says."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(wanted)) if wanted.isdigit() and int(wanted) > 0 else cores


def _together(size: int) -> int:
    if jax.default_backend() != "cpu":
        return _LANES
    return _LANES if size <= _TINY else 1


@eqx.filter_jit
def _block(function: Callable[[Any, Any], _Record], shared: Any, problems: Any, together: int) -> _Record:
    batch = together if together > 1 else None
    return jax.lax.map(lambda problem: function(shared, problem), problems, batch_size=batch)
