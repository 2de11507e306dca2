"""What all toy programs share: the sample of toys, timed blocks of fits, and the record. NumPy only.

Each program runs in the environment of its tool, reads the same toys from a file, and fits as many as its time allows.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from validation.bench.runner import Seconds, timed

Problem = TypeVar("Problem")
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

NEWTON = 0
"""The engine that every tool but this package has only one of."""


@dataclass(frozen=True)
class Sample:
    """Toys of a workspace, addressed by pyhf's names, so that every tool can put them into its own order."""

    names: list[str]
    """Parameters."""
    truth: FloatArray
    """Their values in the toys, with shape (P,); every tool starts there."""
    poi: str
    channels: list[str]
    """Channel of every bin, with length B."""
    main: FloatArray
    """Counts with shape (N, B)."""
    aux_names: list[str]
    """Parameter that each auxiliary datum belongs to."""
    aux: FloatArray
    """Auxiliary data with shape (N, A), in pyhf's units."""

    def __len__(self) -> int:
        return len(self.main)

    def save(self, path: Path) -> None:
        """Write the toys to an ``.npz`` file."""
        np.savez(path, **{name: np.asarray(value) for name, value in self.__dict__.items()})

    @classmethod
    def read(cls, path: Path) -> "Sample":
        """The toys of a file."""
        with np.load(path) as stored:
            c = {name: stored[name] for name in stored.files}
        lists = {name: c[name].tolist() for name in ("names", "channels", "aux_names")}
        return cls(truth=c["truth"], poi=str(c["poi"]), main=c["main"], aux=c["aux"], **lists)

    def main_by_channel(self, index: int) -> dict[str, FloatArray]:
        """Counts of one toy by channel."""
        channels = np.asarray(self.channels)
        return {name: self.main[index, channels == name] for name in dict.fromkeys(self.channels)}

    def aux_by_name(self, index: int) -> dict[str, float]:
        """Auxiliary data of one toy by parameter."""
        return dict(zip(self.aux_names, self.aux[index].tolist(), strict=True))

    def truth_in(self, names: Sequence[str], otherwise: Sequence[float]) -> list[float]:
        """The truth in another order; parameters that it does not know take their own start."""
        known = dict(zip(self.names, self.truth.tolist(), strict=True))
        return [known.get(name, x) for name, x in zip(names, otherwise, strict=True)]

    def point(self, values: dict[str, float]) -> FloatArray:
        """A tool's best fit in the order of `names`; parameters that it holds constant keep their truth."""
        return np.array([values.get(name, x) for name, x in zip(self.names, self.truth.tolist(), strict=True)])


@dataclass(frozen=True)
class Estimates:
    """Best fits of some toys."""

    theta: FloatArray
    """With shape (n, P), in the order of `Sample.names`; NaN where a fit gave nothing."""
    converged: npt.NDArray[np.bool_]
    """The tool's own word, with shape (n,)."""
    sigma: FloatArray
    """Uncertainties of the parameter of interest; NaN where the tool gives none."""
    n_steps: IntArray
    """Iterations, 0 where the tool does not say."""
    engine: IntArray
    """Which engine found the minimum, `NEWTON` where there is only one."""

    @classmethod
    def of_one(cls, theta: FloatArray, *, converged: bool, sigma: float | None = None, n_steps: int = 0) -> "Estimates":
        """The record of one toy."""
        return cls(
            theta[None],
            np.array([converged]),
            np.array([np.nan if sigma is None else sigma]),
            np.array([n_steps]),
            np.array([NEWTON]),
        )

    @classmethod
    def joined(cls, parts: Sequence["Estimates"]) -> "Estimates":
        """Several records one after the other."""
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in cls.__dataclass_fields__))


@dataclass(frozen=True)
class Block:
    """Toys that were fitted one after the other or together, and how long that took."""

    n: int
    wall: float
    cpu: float


@dataclass(frozen=True)
class ToyReport:
    """The JSON line."""

    tool: str
    version: str
    load: Seconds
    """Reading the workspace and building the model."""
    cold: Seconds | None
    """The first fits in the process, compilation included; None for tools that do not compile."""
    blocks: list[Block] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pace:
    """How a tool is given its toys."""

    batch: int = 1
    """Toys of one call; 0 means all."""
    warm_up: int = 0
    """Toys of a first call that is not timed with the others: what compilation asks for."""
    repeats: bool = False
    """Whether a tool that is through with all toys begins again, each pass being one block."""


def report(
    tool: str,
    version: str,
    load: Callable[[Path, Sample], Problem],
    fit: Callable[[Problem, Sample, IntArray], Estimates],
    pace: Pace | None = None,
    *,
    extra: Callable[[Problem], dict[str, Any]] | None = None,
) -> None:
    """Load once, fit toys from ``--first`` on for ``--budget`` seconds (at least one call), and write the estimates.

    Whatever the tool itself prints goes to stderr.
    """
    pace = pace or Pace()
    arguments = _arguments()
    real, sys.stdout = sys.stdout, sys.stderr
    sample = Sample.read(arguments.sample)
    loading, problem = timed(lambda: load(arguments.workspace, sample))
    cold = None
    if pace.warm_up:
        some = np.arange(arguments.first, min(arguments.first + pace.warm_up, len(sample)))
        cold, _ = timed(lambda: fit(problem, sample, some))
    index, found, blocks = _fitted(lambda i: fit(problem, sample, i), len(sample), arguments, pace)
    np.savez(arguments.out, index=index, **found.__dict__)
    more = extra(problem) if extra else {}
    sys.stdout = real
    print(json.dumps(asdict(ToyReport(tool, version, loading, cold, blocks, more))))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("workspace", type=Path)
    parser.add_argument("sample", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--budget", type=float, default=20.0)
    arguments, _ = parser.parse_known_args()
    return arguments


def _fitted(
    fit: Callable[[IntArray], Estimates], n: int, arguments: argparse.Namespace, pace: Pace
) -> tuple[IntArray, Estimates, list[Block]]:
    """Toys fitted within the budget, their estimates, and the times: one block for a pass over the sample."""
    end = time.perf_counter() + arguments.budget
    block, index, found = _pass(fit, arguments.first, n, end, pace.batch or n)
    blocks = [block]
    while pace.repeats and time.perf_counter() < end:
        blocks.append(_pass(fit, arguments.first, n, end, pace.batch or n)[0])
    return index, found, blocks


def _pass(
    fit: Callable[[IntArray], Estimates], first: int, n: int, end: float, batch: int
) -> tuple[Block, IntArray, Estimates]:
    parts: list[Estimates] = []
    times: list[Seconds] = []
    done = first
    while not parts or (done < n and time.perf_counter() < end):
        index = np.arange(done, min(done + batch, n))
        seconds, found = timed(lambda index=index: fit(index))
        times.append(seconds)
        parts.append(found)
        done += index.size
    block = Block(done - first, sum(t.wall for t in times), sum(t.cpu for t in times))
    return block, np.arange(first, done), Estimates.joined(parts)
