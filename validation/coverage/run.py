"""Run suites, and write what they found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import track

import infer
from infer.compute import LocalProcesses
from validation.coverage import page
from validation.coverage.measure import Measured, available, measure
from validation.coverage.suites import Suite


@dataclass(frozen=True)
class Outcome:
    """What a run left behind.

    Attributes:
        page: The page.
        found: One result for each suite that was run.
        absent: Names of the suites whose likelihood is not here.
    """

    page: Path
    found: tuple[Measured, ...]
    absent: tuple[str, ...] = field(default=())

    @property
    def failed(self) -> list[str]:
        """Names of the suites in which a promise is broken."""
        return [m.suite.name for m in self.found if m.broken]

    def report(self) -> str:
        """A line for each suite, and one for each broken promise."""
        lines = [f"{name}: not run, its likelihood is not here" for name in self.absent]
        for m in self.found:
            lines.append(f"{m.suite.name}: {'fails' if m.broken else 'passes'}, {m.seconds:.0f} s")
            for s in m.broken:
                lines.append(
                    f"  {m.poi} = {s.value:g}, {s.method}, {100 * s.cl:.4g} %: {100 * s.coverage:.2f} % of {s.n} toys, "
                    f"{s.n_failed} failed; expected: {s.expect}, p = {s.p}"
                )
        return "\n".join([*lines, str(self.page)])


def run(chosen: Sequence[Suite], known: Sequence[str], *, n: int | None, workers: int, results: Path) -> Outcome:
    """Measure suites, and write the page, the figures and the JSON file.

    Args:
        chosen: What to measure.
        known: Names of all suites, whose older results stay on the page.
        n: Toys of each truth; None takes each suite's own number.
        workers: Processes; 0 computes in this one.
        results: Folder.
    """
    where = infer.Run(executor=LocalProcesses(workers)) if workers else None
    absent = tuple(suite.name for suite in chosen if not available(suite))
    here = [suite for suite in chosen if suite.name not in absent]
    found = tuple(measure(suite, n=n, run=where) for suite in track(here, description="coverage"))
    return Outcome(page.write(found, known, results=results), found, absent)
