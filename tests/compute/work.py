"""Work for the tests, in a module that worker processes can import."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

import infer
from infer.compute import Table
from infer.errors import DataError
from infer.inference.minimize import Box, Newton, minimize_batch

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Squares:
    """Chunk numbers squared, with arrays of every kind that a table may hold."""

    pause: float = 0.0

    def __call__(self, chunk: int) -> Table:
        """The table of one chunk."""
        time.sleep(self.pause)
        return {
            "square": np.asarray([chunk**2, -(chunk**2)]),
            "root/of[0]": jnp.sqrt(jnp.arange(3.0) + chunk),
            "file": np.asarray(np.nan),
            "none": np.zeros((0, 2)),
            "odd": np.asarray([chunk % 2 == 1]),
            "name": np.asarray([f"chunk {chunk}"]),
            "transposed": np.arange(6, dtype=">i4").reshape(2, 3).T,
        }


@dataclass(frozen=True)
class Fits:
    """Fits of toys of a likelihood, a fixed number of them per chunk."""

    likelihood: infer.Likelihood
    n_toys: int
    seed: int = 7

    def __call__(self, chunk: int) -> Table:
        """Best fits of the chunk's toys."""
        parameters = self.likelihood.parameters
        toys = jnp.arange(chunk * self.n_toys, (chunk + 1) * self.n_toys)
        keys = jax.vmap(lambda toy: jax.random.fold_in(jax.random.key(self.seed), toy))(toys)
        data = _toys(self.likelihood, jnp.asarray(parameters.init), keys)
        sides = (parameters.init, parameters.lower, parameters.upper, ~parameters.fixed)
        one = Box(*map(jnp.asarray, sides))
        box = jax.tree.map(lambda side: jnp.broadcast_to(side, (self.n_toys, len(parameters))), one)
        minima = minimize_batch(self.likelihood, data, box, solver=Newton())
        return {
            "theta": minima.theta,
            "value": minima.value,
            "variance": minima.variance,
            "status": minima.status,
            "main": data.main,
        }


_toys = jax.jit(lambda likelihood, theta, keys: jax.vmap(lambda key: likelihood.sample(theta, key))(keys))


@dataclass(frozen=True)
class Killing:
    """Work whose process is killed at some chunks, as often as they are listed.

    Args:
        inner: the work proper.
        chunks: numbers of chunks, one per death.
        folder: where the deaths are counted.
        delay: seconds before a death; Dask gives up workers that die as they start.
    """

    inner: Any
    chunks: tuple[int, ...]
    folder: Path
    delay: float = 0.0

    def __call__(self, chunk: int) -> Table:
        """The inner work's table, unless it is time to die."""
        for n in range(self.chunks.count(chunk)):
            mark = self.folder / f"death-{chunk}-{n}"
            if not mark.exists():
                mark.touch()
                time.sleep(self.delay)
                os.kill(os.getpid(), signal.SIGKILL)
        table: Table = self.inner(chunk)
        return table


@dataclass(frozen=True)
class Failing:
    """Squares, but one chunk raises.

    Args:
        chunk: the one.
        how: ``input`` for an error of infer's, ``bug`` for any other, ``stubborn`` for one of infer's
            that does not survive pickling, ``object`` for a table that holds objects, ``exit`` for
            the end of the process.
    """

    chunk: int
    how: str

    def __call__(self, chunk: int) -> Table:
        """The table of one chunk."""
        if chunk == self.chunk:
            self._fail()
        return Squares()(chunk)

    def _fail(self) -> None:
        if self.how == "input":
            raise DataError("the counts are negative.")
        if self.how == "stubborn":
            raise StubbornError("pickle", "cannot")
        if self.how == "exit":
            raise SystemExit(3)
        raise ZeroDivisionError("division by nothing")


class StubbornError(infer.InferError):
    """An exception that cannot be unpickled, since pickle knows of one argument only."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


@dataclass(frozen=True)
class Objects:
    """Work that returns what a table must not hold."""

    def __call__(self, chunk: int) -> Table:  # noqa: ARG002  # that is what work is called with
        """A table of objects."""
        return {"objects": np.asarray([None, {}])}


@dataclass(frozen=True)
class Surroundings:
    """Work that tells where it runs."""

    def __call__(self, chunk: int) -> Table:
        """Process, its group, threads that libraries may use, and the chunk."""
        time.sleep(0.05)
        return {
            "process": np.asarray([os.getpid(), os.getpgid(0), os.getppid()]),
            "threads": np.asarray([os.environ.get("OMP_NUM_THREADS", "")]),
            "x64": np.asarray(jnp.ones(()).dtype == np.float64),
            "chunk": np.asarray(chunk),
        }


def search() -> infer.Likelihood:
    """A small search: one channel, a dozen parameters."""
    likelihood, _ = infer.read_workspace(ROOT / "workspaces" / "search.json")
    return likelihood


def same(first: list[Table], second: list[Table]) -> bool:
    """Whether two lists of tables are equal, bit for bit."""
    return [_bits(table) for table in first] == [_bits(table) for table in second]


def _bits(table: Table) -> dict[str, tuple[Any, ...]]:
    arrays: dict[str, npt.NDArray[Any]] = {name: np.asarray(values) for name, values in table.items()}
    return {name: (values.dtype.str, values.shape, values.tobytes()) for name, values in arrays.items()}
