"""Whole inference tasks side by side: seconds that a ranking takes (and whatever else joins `TASKS`), and the answers.

A task is a name, what is asked, and a program for each tool, which answers with numbers by name; see `runner.Answer`.
To add one, write its programs in the manner of ``run_infer_ranking.py`` and append it to `TASKS`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from validation import machine, tables, workspaces
from validation.bench import process
from validation.bench.fit import median
from validation.bench.peers import INFER, Tool

HEADER = ("tool", "first", "later", "CPU time", "CPU / infer", "numbers", "largest difference", "peak MB", "note")


@dataclass(frozen=True)
class Task:
    """Something that several tools can be asked."""

    name: str
    title: str
    question: str
    """What every tool is asked, in a sentence or two."""
    tools: tuple[Tool, ...]
    comparable: bool
    """Whether the numbers of all tools mean the same."""
    default: tuple[str, ...] = ("2019-09_onshell", "atlas_tttt")
    """Workspaces."""


TASKS = (
    Task(
        name="ranking",
        title="Rankings of nuisance parameters",
        question=(
            "The impact of every nuisance parameter on the parameter of interest. infer holds each at its best fit ± "
            "its uncertainty, after and before the fit: four refits for a parameter with a constraint, each with a "
            "certificate. NextStat's definition holds each at ± 1 of its constraint around the nominal value: two "
            "refits, of constrained parameters only. The numbers therefore differ, and are not compared."
        ),
        tools=(Tool("infer", "run_infer_ranking"), Tool("NextStat", "run_nextstat_ranking", "nextstat")),
        comparable=False,
    ),
    Task(
        name="limit",
        title="Upper limits",
        question=(
            "The upper limit at 95 % CL by asymptotic CLs with q_mu_tilde, observed and the five expected ones, each "
            "by the tool's own root search (pyhf: `toms748_scan`, within the bounds of the parameter, to 1e-4, which "
            "its JAX backend cannot run; NextStat: `method='root'`). Numbers are limits; differences are absolute."
        ),
        tools=(
            Tool("infer", "run_infer_limit"),
            Tool("NextStat", "run_nextstat_limit", "nextstat"),
            Tool("pyhf numpy scipy", "run_pyhf_limit", "pyhf", ("--backend", "numpy", "--optimizer", "scipy")),
            Tool("pyhf numpy minuit", "run_pyhf_limit", "pyhf", ("--backend", "numpy", "--optimizer", "minuit")),
        ),
        comparable=True,
        default=("2018-22_SSd", "2018-31_SRA", "2019-09_onshell"),
    ),
    Task(
        name="contour",
        title="Contours",
        question=(
            "The profile likelihood of the parameter of interest and the first other parameter, on a grid of 50 x 50 "
            "points, each a fit with a certificate. Numbers are the corners of the grid. No peer is asked: their scans "
            "of two parameters make one fit after the other, and take 2500 times what a fit takes them."
        ),
        tools=(Tool("infer", "run_infer_contour"),),
        comparable=False,
        default=("agc_ttbar", "atlas_tttt"),
    ),
)


@dataclass(frozen=True)
class Options:
    """How a run is made."""

    peers: Path
    repeats: int = 5
    limit: float = 300.0
    """Seconds for one tool on one workspace, its start included."""
    cores: int = 2


@dataclass(frozen=True)
class Entry:
    """One tool on one task and workspace. Times are seconds, None where the tool gave none."""

    task: str
    workspace: str
    tool: str
    version: str | None = None
    cold: float | None = None
    """Wall clock of the first answer, compilation included."""
    cold_cpu: float | None = None
    warm: float | None = None
    """Median wall clock of the answers after the first."""
    warm_cpu: float | None = None
    n_warm: int = 0
    numbers: dict[str, float] = field(default_factory=dict)
    converged: bool | None = None
    peak_rss_mb: float | None = None
    note: str = ""

    @property
    def cpu(self) -> float | None:
        """Processor time of an answer: of later ones where there are any, else of the first."""
        return self.cold_cpu if self.warm_cpu is None else self.warm_cpu


def measure(task: Task, tool: Tool, path: Path, options: Options) -> Entry:
    """Ask one tool once."""
    if not tool.present(options.peers):
        return Entry(task.name, path.stem, tool.label, note="absent")
    command: list[str | Path] = [tool.python(options.peers), "-m", f"validation.bench.{tool.module}", path]
    command += [*tool.arguments, "--repeats", str(options.repeats), "--budget", str(0.8 * options.limit)]
    done = process.run(command, directory=workspaces.ROOT, limit=options.limit, cores=options.cores)
    if done.timed_out:
        return Entry(task.name, path.stem, tool.label, note=f"more than {options.limit:g} s")
    if done.code != 0:
        return Entry(task.name, path.stem, tool.label, note=f"failed: {done.last_words[:100]}")
    return answered(task, tool, path.stem, json.loads(done.stdout.splitlines()[-1]), done.peak_rss_mb)


def answered(task: Task, tool: Tool, workspace: str, report: dict[str, Any], peak_rss_mb: float) -> Entry:
    """The entry of a tool's report."""
    answer = report["outcome"]
    return Entry(
        task=task.name,
        workspace=workspace,
        tool=tool.label,
        version=report["version"],
        cold=report["cold"]["wall"],
        cold_cpu=report["cold"]["cpu"],
        warm=median(report["warm"], "wall"),
        warm_cpu=median(report["warm"], "cpu"),
        n_warm=len(report["warm"]),
        numbers=answer["numbers"],
        converged=answer["converged"],
        peak_rss_mb=peak_rss_mb,
        note="" if answer["converged"] else f"not converged {answer['message'][:60]}".strip(),
    )


def difference(entry: Entry, ours: Entry | None) -> float | None:
    """Largest absolute difference between numbers that two entries share, None where they share none."""
    shared = set(entry.numbers) & set(ours.numbers) if ours else set()
    return max(abs(entry.numbers[name] - ours.numbers[name]) for name in shared) if ours and shared else None


def _row(task: Task, entry: Entry, ours: Entry | None) -> list[str]:
    ratio = entry.cpu / ours.cpu if entry.cpu and ours and ours.cpu else None
    return [
        entry.tool,
        tables.seconds(entry.cold),
        f"{tables.seconds(entry.warm)} ({entry.n_warm})",
        tables.seconds(entry.cpu),
        tables.number(ratio),
        str(len(entry.numbers)),
        tables.number(difference(entry, ours)) if task.comparable else "–",
        tables.number(entry.peak_rss_mb),
        entry.note,
    ]


def sections(tasks: Sequence[Task], entries: Sequence[Entry]) -> Iterator[str]:
    """Every task with a table for each workspace; ratios are to this package's processor time."""
    for task in tasks:
        mine = [e for e in entries if e.task == task.name]
        yield f"## {task.title}\n\n{task.question}"
        for workspace in dict.fromkeys(e.workspace for e in mine):
            found = [e for e in mine if e.workspace == workspace]
            ours = next((e for e in found if e.tool == INFER.label), None)
            yield f"### {workspace}\n\n" + tables.markdown_table(HEADER, [_row(task, e, ours) for e in found])


def run(pairs: Sequence[tuple[Task, Sequence[Path]]], options: Options) -> list[Entry]:
    """Ask all tools of every task, on its workspaces, one process at a time."""
    return [measure(task, tool, path, options) for task, paths in pairs for path in paths for tool in task.tools]


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


def markdown(tasks: Sequence[Task], entries: Sequence[Entry], options: Options) -> str:
    """The page of the run."""
    policy = (
        f"Every tool in a process of its own, confined to the same {options.cores} core(s), with as many BLAS, OpenMP "
        "and rayon threads. The first answer includes compilation; later ones repeat all of it, the best fit included, "
        "in the same process (median, number in brackets). CPU time is the processor time of the same. Loading is left "
        "out."
    )
    versions = {e.tool: e.version for e in entries if e.version}
    provenance = tables.provenance_lines(machine.today(), machine.describe(), versions)
    return "\n\n".join(["# Inference side by side", policy, *sections(tasks, entries), provenance])
