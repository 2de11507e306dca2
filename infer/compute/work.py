"""One chunk of work: what it is, what it returns, and what becomes of its exceptions."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from infer.errors import ComputeError, InferError, InputError

Table: TypeAlias = Mapping[str, npt.NDArray[Any]]
"""The result of one chunk: named arrays of numbers, truth values, dates or text of fixed length."""

Work: TypeAlias = Callable[[int], Table]
"""What is done with a chunk; picklable, with everything that it needs inside.

A chunk's result depends on its number alone: random keys are folded with the numbers of the toys in
it (`jax.random.fold_in`).
"""

Results: TypeAlias = Generator[tuple[int, Table], None, None]
"""Chunk numbers with their tables, in the order in which they are finished; `close` ends what still runs."""

_KINDS = "biufcSUmM"


def perform(work: Work, chunk: int) -> dict[str, npt.NDArray[Any]]:
    """The table of one chunk, as NumPy arrays of native byte order in C order: pickle may change the others.

    Raises:
        InferError: as the work raised it.
        ComputeError: the work raised something else, or returned no table.
    """
    try:
        return {name: _array(name, values) for name, values in work(chunk).items()}
    except InferError:
        raise
    except Exception as error:
        raise ComputeError(f"chunk {chunk} failed with {type(error).__name__}: {error}") from error


def perform_elsewhere(work: Work, chunk: int) -> dict[str, npt.NDArray[Any]]:
    """As `perform`; exceptions survive the journey back, with their traceback as a note.

    Raises:
        InferError: as `perform`.
    """
    try:
        return perform(work, chunk)
    except InferError as error:
        error.add_note("In the worker:\n" + traceback.format_exc())
        raise _portable(error) from None


def pickled(work: Work) -> bytes:
    """The work as it is sent to other processes.

    Raises:
        InputError: it cannot be sent.
    """
    try:
        return pickle.dumps(work, protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(
            f"the work cannot be sent to other processes ({error}): define its functions and classes at "
            "the top of a module that can be imported, or run it in this process."
        ) from error


def unpickled(blob: bytes) -> Work:
    """The work as it was sent.

    Raises:
        InputError: it is made of what cannot be imported here.
    """
    try:
        work: Work = pickle.loads(blob)
    except (pickle.UnpicklingError, AttributeError, ImportError) as error:
        raise InputError(
            f"a worker cannot load the work ({error}): define its functions and classes in a module that "
            "workers can import, not in a script or notebook."
        ) from error
    return work


def _array(name: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in _KINDS:
        raise TypeError(f"column {name!r} holds {array.dtype}, expected numbers, truth values, dates or text")
    return np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")


def _portable(error: InferError) -> InferError:
    """The exception, or its message if its class does not survive pickling."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception as failure:  # noqa: BLE001  # whatever a class of exceptions may raise on its way through pickle
        return ComputeError(f"{error} ({type(error).__name__}, which cannot be pickled: {failure})")
    return error
