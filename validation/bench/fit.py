"""Fits side by side: seconds, distance from the verified minimum, and the uncertainty, one run for all tools."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.progress import Progress

from validation import machine, tables, workspaces
from validation.bench import process
from validation.bench.peers import INFER, TOOLS, Tool
from validation.models import Reference, pyhf_reference

DEFAULT = ("2019-09_onshell", "ttbar_ljets_xsec", "atlas_tttt")

HEADER = (
    "tool",
    "first fit",
    "later fits",
    "CPU time",
    "CPU / infer",
    "2NLL − minimum",
    "σ",
    "σ / verified",
    "peak MB",
    "note",
)


@dataclass(frozen=True)
class Options:
    """How a run is made."""

    peers: Path
    repeats: int = 20
    limit: float = 300.0
    """Seconds for one tool on one workspace, its start included."""
    cores: int = 1


@dataclass(frozen=True)
class Entry:
    """One tool on one workspace. Times are seconds, None where the tool gave none."""

    workspace: str
    tool: str
    version: str | None = None
    load: float | None = None
    """Wall clock of reading the workspace and building the model."""
    cold: float | None = None
    """Wall clock of the first fit, compilation included."""
    cold_cpu: float | None = None
    warm: float | None = None
    """Median wall clock of the fits after the first, Hessian included."""
    warm_cpu: float | None = None
    """The same in processor time."""
    n_warm: int = 0
    above_minimum: float | None = None
    """-2 ln L by pyhf at the tool's best fit minus the verified minimum."""
    sigma: float | None = None
    sigma_ratio: float | None = None
    """Uncertainty of the POI over the verified one."""
    converged: bool | None = None
    peak_rss_mb: float | None = None
    note: str = ""

    @property
    def cpu(self) -> float | None:
        """Processor time of a fit: of later fits where there are any, else of the first."""
        return self.cold_cpu if self.warm_cpu is None else self.warm_cpu


def measure(tool: Tool, path: Path, reference: Reference, options: Options) -> Entry:
    """Run one tool on one workspace."""
    if not tool.present(options.peers):
        return Entry(path.stem, tool.label, note="absent")
    command: list[str | Path] = [
        tool.python(options.peers),
        "-m",
        f"validation.bench.{tool.module}",
        path,
        *tool.arguments,
        "--repeats",
        str(options.repeats),
        "--budget",
        str(0.8 * options.limit),
    ]
    done = process.run(command, directory=workspaces.ROOT, limit=options.limit, cores=options.cores)
    if done.timed_out:
        return Entry(path.stem, tool.label, note=f"more than {options.limit:g} s")
    if done.code != 0:
        return Entry(path.stem, tool.label, note=f"failed: {done.last_words[:100]}")
    return judged(path, tool, json.loads(done.stdout.splitlines()[-1]), reference, done.peak_rss_mb)


def judged(path: Path, tool: Tool, report: dict[str, Any], reference: Reference, peak_rss_mb: float) -> Entry:
    """The entry of a tool's report, its best fit evaluated by pyhf."""
    outcome, known = report["outcome"], workspaces.known_fit(path)
    twice_nll = -2.0 * reference.logpdf(outcome["parameters"]) if outcome["parameters"] else None
    sigma = outcome["sigma"]
    return Entry(
        workspace=path.stem,
        tool=tool.label,
        version=report["version"],
        load=report["load"]["wall"],
        cold=report["cold"]["wall"],
        cold_cpu=report["cold"]["cpu"],
        warm=median(report["warm"], "wall"),
        warm_cpu=median(report["warm"], "cpu"),
        n_warm=len(report["warm"]),
        above_minimum=twice_nll - known.twice_nll if known and twice_nll is not None else None,
        sigma=sigma,
        sigma_ratio=sigma / known.sigma if known and known.sigma and sigma is not None else None,
        converged=outcome["converged"],
        peak_rss_mb=peak_rss_mb,
        note="" if outcome["converged"] else f"not converged {outcome['message'][:60]}".strip(),
    )


def median(times: Sequence[dict[str, float]], clock: str) -> float | None:
    """Median of times by one clock, None where there are none."""
    return statistics.median(time[clock] for time in times) if times else None


def _row(entry: Entry, ours: Entry | None) -> list[str]:
    own = ours.cpu if ours else None
    ratio = entry.cpu / own if entry.cpu and own else None
    return [
        entry.tool,
        tables.seconds(entry.cold),
        f"{tables.seconds(entry.warm)} ({entry.n_warm})",
        tables.seconds(entry.warm_cpu),
        tables.number(ratio),
        "–" if entry.above_minimum is None else f"{entry.above_minimum:.1e}",
        tables.number(entry.sigma, 4),
        tables.number(entry.sigma_ratio, 4),
        tables.number(entry.peak_rss_mb),
        entry.note,
    ]


def section(workspace: str, entries: Sequence[Entry]) -> str:
    """The table of one workspace; ratios are to this package's processor time."""
    ours = next((e for e in entries if e.tool == INFER.label), None)
    return f"## {workspace}\n\n" + tables.markdown_table(HEADER, [_row(e, ours) for e in entries])


def policy(options: Options) -> str:
    """How the tools were run, in words."""
    return (
        f"Every tool in a process of its own, confined to the same {options.cores} core(s), with as many BLAS, OpenMP "
        "and rayon threads. The first fit includes compilation; later fits repeat the whole fit from the same start in "
        "the same process (median, number in brackets), Hessian included where the tool computes one (pyhf with SLSQP "
        "does not). CPU time is the processor time of the same fits, which other work on the machine disturbs less; "
        "the ratios are of it (of the first fit where there was time for one only). Loading is left out. -2 ln L is "
        "evaluated by pyhf at each tool's best fit; the minimum and the uncertainty (inverse Hessian) were verified "
        "with exact gradients."
    )


def versions_of(entries: Sequence[Entry]) -> dict[str, str | None]:
    """Version of every tool that ran."""
    return {e.tool.split()[0]: e.version for e in entries if e.version}


def run(paths: Sequence[Path], options: Options, tools: Sequence[Tool] = TOOLS) -> list[Entry]:
    """Measure all tools on all workspaces, one process at a time."""
    entries = []
    with Progress(transient=True) as progress:
        task = progress.add_task("", total=len(paths) * len(tools))
        for path in paths:
            reference = pyhf_reference(path)
            for tool in tools:
                progress.update(task, description=f"{path.stem}: {tool.label}")
                entries.append(measure(tool, path, reference, options))
                progress.advance(task)
    return entries


def record(entries: Sequence[Entry], options: Options) -> dict[str, Any]:
    """The run as JSON."""
    return {
        "date": machine.today(),
        "machine": machine.describe(),
        "cores_used": options.cores,
        "repeats": options.repeats,
        "limit": options.limit,
        "entries": [asdict(e) for e in entries],
    }


def markdown(entries: Sequence[Entry], options: Options, *extra: str) -> str:
    """The page of the run."""
    by_workspace: dict[str, list[Entry]] = {}
    for entry in entries:
        by_workspace.setdefault(entry.workspace, []).append(entry)
    sections = [section(name, found) for name, found in by_workspace.items()]
    provenance = tables.provenance_lines(machine.today(), machine.describe(), versions_of(entries))
    return "\n\n".join(["# Fits side by side", policy(options), *sections, *extra, provenance])
