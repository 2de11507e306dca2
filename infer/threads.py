"""How many threads linear algebra may use.

A likelihood has tens to hundreds of parameters.  At that size the threads of OpenBLAS gain nothing,
and on a busy machine their busy-waiting costs a factor of ten to a hundred: a Cholesky factorisation
of 250 rows takes 0.3 ms on one thread, and was seen to take 300 ms on two beside other jobs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let BLAS and LAPACK use one thread; what was set before comes back at the end."""
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> ThreadpoolController:
    """The libraries that are loaded, looked up once: jaxlib has loaded SciPy's LAPACK by then."""
    return ThreadpoolController()
