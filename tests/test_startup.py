"""Starting is cheap: importing infer loads none of the heavy libraries, and takes little time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "matplotlib", "mplhep", "numpyro", "arviz", "pyhf", "pandas", "sklearn", "uproot", "distributed")
LIMIT = 5.0  # seconds of the processor, not of the clock, since a test machine may be busy
PROGRAM = f"""
import sys, time
import infer
print(time.process_time(), *[name for name in {HEAVY} if name in sys.modules])
"""


@pytest.fixture(scope="module")
def starts() -> list[list[str]]:
    """What three fresh processes report: the seconds since their start, then the heavy libraries that were loaded."""
    root = Path(__file__).parent.parent
    run = [sys.executable, "-W", "error", "-c", PROGRAM]
    return [subprocess.run(run, cwd=root, check=True, capture_output=True, text=True).stdout.split() for _ in range(3)]


def test_import_loads_nothing_heavy(starts: list[list[str]]) -> None:
    """A user who fits pays neither for training nor for figures."""
    assert all(heavy == [] for _, *heavy in starts)


def test_import_is_quick(starts: list[list[str]]) -> None:
    """The best of three starts stays below the limit; the first may have to write byte code."""
    assert min(float(seconds) for seconds, *_ in starts) < LIMIT
