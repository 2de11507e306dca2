"""What a user waits for at the prompt: importing, and a fit from the command line, first without compiled code."""

import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from validation import tables, workspaces
from validation.bench import process

REPEATS = 5
LIMIT = 300.0
COMMAND = Path(sys.executable).parent / "infer"


@dataclass(frozen=True)
class Duration:
    """Seconds, the interpreter's start included."""

    wall: float
    cpu: float
    """Processor time: what the wall clock would say on a machine that does nothing else."""


@dataclass(frozen=True)
class ColdStart:
    """What was measured; None where the command failed, with the reason in the note."""

    interpreter: Duration
    """Python that does nothing (median)."""
    import_infer: Duration
    """Python that imports the package (median)."""
    workspace: str
    fit_first: Duration | None = None
    """``infer fit`` with an empty compilation cache."""
    fit_cached: Duration | None = None
    """The same again (median)."""
    fit_own: float | None = None
    """Of the latter, what the command itself reports as seconds of the fit."""
    peak_rss_mb: float | None = None
    note: str = ""


def _median(runs: Sequence[process.Completed]) -> Duration:
    return Duration(statistics.median(r.seconds for r in runs), statistics.median(r.cpu_seconds for r in runs))


def _run(command: list[str | Path], cores: int, environment: Mapping[str, str] | None = None) -> process.Completed:
    return process.run(command, directory=workspaces.ROOT, limit=LIMIT, cores=cores, environment=environment)


def _python(code: str, cores: int) -> Duration:
    return _median([_run([sys.executable, "-c", code], cores) for _ in range(REPEATS)])


def measure(path: Path, *, cores: int = 1) -> ColdStart:
    """Measure on one workspace, with a compilation cache that is empty at first."""
    started = ColdStart(_python("pass", cores), _python("import infer", cores), path.stem)
    if not COMMAND.exists():
        return replace(started, note="the command `infer` is not installed")
    fit: list[str | Path] = [COMMAND, "fit", path, "--json"]
    with tempfile.TemporaryDirectory() as cache:
        environment = {"JAX_COMPILATION_CACHE_DIR": cache}
        first = _run(fit, cores, environment)
        again = [_run(fit, cores, environment) for _ in range(REPEATS)]
    if any(run.code for run in (first, *again)):
        return replace(started, note=f"failed: {first.last_words[:100]}")
    return replace(
        started,
        fit_first=_median([first]),
        fit_cached=_median(again),
        fit_own=statistics.median(json.loads(run.stdout)["seconds"] for run in again),
        peak_rss_mb=max(run.peak_rss_mb for run in (first, *again)),
    )


def _row(label: str, duration: Duration | None) -> list[str]:
    times = (None, None) if duration is None else (duration.wall, duration.cpu)
    return [label, *map(tables.seconds, times)]


def markdown(found: ColdStart) -> str:
    """A section for the page of the benchmark."""
    rows = [
        _row("Python that does nothing", found.interpreter),
        _row("`import infer`", found.import_infer),
        _row(f"`infer fit {found.workspace}`, nothing compiled before", found.fit_first),
        _row("the same again, compilation cached", found.fit_cached),
        ["of which the fit, by its own clock", tables.seconds(found.fit_own), ""],
    ]
    table = tables.markdown_table(["from the prompt", "wall clock", "CPU time"], rows)
    memory = "" if found.peak_rss_mb is None else f"Peak memory: {found.peak_rss_mb:.0f} MB."
    return "\n\n".join(filter(None, ["## Cold start", table, memory, found.note]))


def record(found: ColdStart) -> dict[str, Any]:
    """The figures as JSON."""
    return asdict(found)
