"""What all benchmark programs share: arguments, timing, and the JSON line. Standard library only.

Each program runs in the environment of its tool and knows nothing of the others.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

Problem = TypeVar("Problem")

BANDS = ("observed", *(f"expected {n:+d} sigma" for n in (-2, -1, 0, 1, 2)))
"""What the tools call the numbers of a limit."""


@dataclass(frozen=True)
class Outcome:
    """What a tool says about one fit; parameters carry pyhf's names."""

    parameters: dict[str, float]
    sigma: float | None
    """Uncertainty of the parameter of interest, None where the tool gives none."""
    converged: bool
    message: str = ""


@dataclass(frozen=True)
class Answer:
    """What a tool says about a task other than a fit."""

    numbers: dict[str, float]
    """By a name that all tools share."""
    converged: bool
    message: str = ""


@dataclass(frozen=True)
class Seconds:
    """How long something took."""

    wall: float
    cpu: float
    """Processor time of this process: on one core the wall clock of a machine that does nothing else."""


@dataclass(frozen=True)
class Report:
    """The JSON line: times, and the last fit's outcome."""

    tool: str
    version: str
    load: Seconds
    """Reading the workspace and building the model."""
    cold: Seconds
    """The first fit in the process, compilation included."""
    warm: list[Seconds] = field(default_factory=list)
    """The fits after it."""
    outcome: Outcome | Answer | None = None


def timed(call: Callable[[], Problem]) -> tuple[Seconds, Problem]:
    """Seconds that a call takes, and what it returns."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu), result


def report(
    tool: str,
    version: str,
    load: Callable[[Path], Problem],
    fit: Callable[[Problem], Outcome | Answer],
) -> None:
    """Load, then fit or answer ``--repeats`` times within ``--budget`` seconds (at least once); print the JSON line.

    Whatever the tool itself prints goes to stderr.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--budget", type=float, default=60.0)
    arguments, _ = parser.parse_known_args()
    real, sys.stdout = sys.stdout, sys.stderr
    loading, problem = timed(lambda: load(arguments.workspace))
    cold, outcome = timed(lambda: fit(problem))
    warm: list[Seconds] = []
    spent = [cold.wall]
    while len(warm) < arguments.repeats and sum(spent) + max(spent[1:], default=spent[0]) < arguments.budget:
        seconds, outcome = timed(lambda: fit(problem))
        warm.append(seconds)
        spent.append(seconds.wall)
    sys.stdout = real
    print(json.dumps(asdict(Report(tool, version, loading, cold, warm, outcome))))
