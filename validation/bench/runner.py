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


@dataclass(frozen=True)
class Outcome:
    """What a tool says about one fit; parameters carry pyhf's names."""

    parameters: dict[str, float]
    sigma: float | None
    """Uncertainty of the parameter of interest, None where the tool gives none."""
    converged: bool
    message: str = ""


@dataclass(frozen=True)
class Report:
    """The JSON line: seconds of wall clock, and the last fit's outcome."""

    tool: str
    version: str
    load: float
    """Reading the workspace and building the model."""
    cold: float
    """The first fit in the process, compilation included."""
    warm: list[float] = field(default_factory=list)
    """The fits after it."""
    outcome: Outcome | None = None


def timed(call: Callable[[], Problem]) -> tuple[float, Problem]:
    """Seconds that a call takes, and what it returns."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def report(
    tool: str,
    version: str,
    load: Callable[[Path], Problem],
    fit: Callable[[Problem], Outcome],
) -> None:
    """Load once, fit ``--repeats`` times within ``--budget`` seconds (at least once), and print the JSON line.

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
    warm: list[float] = []
    while len(warm) < arguments.repeats and cold + sum(warm) + max(warm, default=cold) < arguments.budget:
        seconds, outcome = timed(lambda: fit(problem))
        warm.append(seconds)
    sys.stdout = real
    print(json.dumps(asdict(Report(tool, version, loading, cold, warm, outcome))))
