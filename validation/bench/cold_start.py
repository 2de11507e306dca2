"""What a user waits for at the prompt: importing, and a fit from the command line, first without compiled code."""

import json
import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from validation import tables, workspaces
from validation.bench import process

IMPORT_REPEATS = 5
LIMIT = 300.0


@dataclass(frozen=True)
class ColdStart:
    """Seconds of wall clock, the interpreter's start included."""

    interpreter: float
    """Python that does nothing."""
    import_infer: float
    """Python that imports the package (median)."""
    workspace: str
    fit_first: float | None
    """``infer fit`` with an empty compilation cache."""
    fit_cached: float | None
    """The same again."""
    fit_own: float | None
    """Of the latter, what the command itself reports as seconds of the fit."""
    peak_rss_mb: float | None
    note: str = ""


def _median_seconds(code: str, cores: int) -> float:
    runs = [
        process.run([sys.executable, "-c", code], directory=workspaces.ROOT, limit=LIMIT, cores=cores)
        for _ in range(IMPORT_REPEATS)
    ]
    return statistics.median(run.seconds for run in runs)


def _fit(path: Path, environment: Mapping[str, str], cores: int) -> process.Completed:
    command: list[str | Path] = [Path(sys.executable).parent / "infer", "fit", path, "--json"]
    return process.run(command, directory=workspaces.ROOT, limit=LIMIT, cores=cores, environment=environment)


def measure(path: Path, *, cores: int = 1) -> ColdStart:
    """Measure on one workspace, with a compilation cache that is empty at first."""
    interpreter, importing = _median_seconds("pass", cores), _median_seconds("import infer", cores)
    if not (Path(sys.executable).parent / "infer").exists():
        note = "the command `infer` is not installed"
        return ColdStart(interpreter, importing, path.stem, None, None, None, None, note)
    with tempfile.TemporaryDirectory() as cache:
        environment = {"JAX_COMPILATION_CACHE_DIR": cache, "XDG_CACHE_HOME": cache}
        first, again = _fit(path, environment, cores), _fit(path, environment, cores)
    if first.code or again.code:
        note = f"failed: {first.last_words[:100]}"
        return ColdStart(interpreter, importing, path.stem, None, None, None, None, note)
    return ColdStart(
        interpreter,
        importing,
        path.stem,
        first.seconds,
        again.seconds,
        json.loads(again.stdout)["seconds"],
        max(first.peak_rss_mb, again.peak_rss_mb),
    )


def markdown(found: ColdStart) -> str:
    """A section for the page of the benchmark."""
    rows = [
        ["Python that does nothing", tables.seconds(found.interpreter)],
        ["`import infer`", tables.seconds(found.import_infer)],
        [f"`infer fit {found.workspace}`, nothing compiled before", tables.seconds(found.fit_first)],
        ["the same again, compilation cached", tables.seconds(found.fit_cached)],
        ["of which the fit", tables.seconds(found.fit_own)],
        ["peak memory", "–" if found.peak_rss_mb is None else f"{found.peak_rss_mb:.0f} MB"],
    ]
    table = tables.markdown_table(["from the prompt", "wall clock"], rows)
    return "\n\n".join(filter(None, ["## Cold start", table, found.note]))


def record(found: ColdStart) -> dict[str, Any]:
    """The figures as JSON."""
    return asdict(found)
