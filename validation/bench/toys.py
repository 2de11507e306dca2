"""Toys side by side: the same toys fitted by every tool, how many a second, and whether they agree."""

import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from validation import machine, tables, workspaces
from validation.bench import process, toy_sample
from validation.bench.peers import Tool
from validation.bench.run_infer_toys import WHOLE
from validation.bench.toy_agreement import Agreement, Referee, agreement, agreement_table
from validation.bench.toy_runner import NEWTON, Sample

DEFAULT = ("2018-31_SRA", "2019-09_onshell", "ttbar_ljets_xsec", "atlas_tttt")
FLUCTUATED, OBSERVED = "fluctuated", "observed"

INFER = Tool("infer", "run_infer_toys")
ALL_CORES = "infer, all cores"
ENGINE = Tool("infer MIGRAD", "run_migrad_toys")
NEXTSTAT = Tool("NextStat", "run_nextstat_toys", "nextstat")
PYHF = ("--backend", "numpy", "--optimizer", "minuit")
PYHF_MINUIT = Tool("pyhf numpy minuit", "run_pyhf_toys", "pyhf", PYHF)
TOOLS = {
    FLUCTUATED: (
        INFER,
        PYHF_MINUIT,
        Tool("pyhf numpy SLSQP", "run_pyhf_toys", "pyhf", ("--backend", "numpy", "--optimizer", "scipy")),
        Tool("pyhf jax SLSQP", "run_pyhf_toys", "pyhf", ("--backend", "jax", "--optimizer", "scipy")),
        Tool("ROOT", "run_root_toys", "root"),
    ),
    OBSERVED: (INFER, NEXTSTAT),
}
"""Who fits which toys: NextStat has no way to be given auxiliary data."""

WANTED = {"2018-31_SRA": 1000.0, "2019-09_onshell": 300.0, "ttbar_ljets_xsec": 150.0, "atlas_tttt": 150.0}
"""Toys a second wanted on two cores."""
TIMES = {(OBSERVED, NEXTSTAT.label): 100.0} | {
    (FLUCTUATED, tool.label): 1000.0 for tool in TOOLS[FLUCTUATED] if tool.label.startswith("pyhf")
}
"""Ratios of toys a second wanted on the same toys, core against core."""
UNCONVERGED = 1e-3
"""Largest share of toys wanted that no engine could fit."""


@dataclass(frozen=True)
class Options:
    """How a run is made."""

    peers: Path
    n_toys: int = 2000
    seed: int = 1
    rounds: int = 3
    budget: float = 20.0
    """Seconds of fitting for one tool in one round; a fit under way is let finish."""
    patience: float = 300.0
    """Seconds beyond the budget for start, compilation, and the fit under way."""
    engine_budget: float = 120.0
    """Seconds of MIGRAD on a workspace; 0 leaves it out."""
    engine_toys: int = 100


@dataclass
class Entry:
    """One tool on one sample, over all rounds; None where the tool gave nothing."""

    workspace: str
    aux: str
    tool: str
    cores: int
    version: str | None = None
    compile: float | None = None
    """Seconds from the file to the first toys fitted, of the first round."""
    rates: list[float] = field(default_factory=list)
    """Toys per second of wall clock, by block."""
    cpu_rates: list[float] = field(default_factory=list)
    """Toys per second of processor time, by block."""
    whole: float | None = None
    """Toys a second of ``infer.toys``, drawing and pulls included."""
    n_toys: int = 0
    """Different toys that were fitted."""
    n_unconverged: int = 0
    """Of those, by the tool's own word."""
    n_fallback: int = 0
    """Of those, by MIGRAD after Newton's search."""
    steps: tuple[float, int] | None = None
    """Mean and largest number of steps."""
    peak_rss_mb: float = 0.0
    note: str = ""

    @property
    def rate(self) -> float | None:
        """Median toys per second of wall clock."""
        return statistics.median(self.rates) if self.rates else None

    @property
    def cpu_rate(self) -> float | None:
        """Median toys per second of processor time: what other work on the machine disturbs less."""
        return statistics.median(self.cpu_rates) if self.cpu_rates else None


@dataclass(frozen=True)
class Contestant:
    """A tool on so many cores, and what it has found so far."""

    tool: Tool
    entry: Entry
    theta: dict[int, np.ndarray]
    """Best fit by number of the toy."""
    sigma: dict[int, float]

    def next_toy(self, n: int) -> int:
        """Where the next round begins: peers go on where they stopped, this package has fitted all."""
        return 0 if self.tool == INFER else len(self.theta) % n


def contestants(workspace: str, aux: str) -> list[Contestant]:
    """Every tool on one core, and this package on all cores too."""
    cores = len(process.first_cores(10**6))
    found = [Contestant(tool, Entry(workspace, aux, tool.label, 1), {}, {}) for tool in TOOLS[aux]]
    if cores > 1:
        found.insert(1, Contestant(INFER, Entry(workspace, aux, ALL_CORES, cores), {}, {}))
    return found


def play(contestant: Contestant, path: Path, stored: Path, n: int, options: Options, budget: float) -> None:
    """One round of one tool; what it found is added to the contestant."""
    tool, entry = contestant.tool, contestant.entry
    if not tool.present(options.peers):
        entry.note = "absent"
        return
    out = stored.with_suffix(f".{tool.module}.out.npz")
    first = contestant.next_toy(n)
    command: list[str | Path] = [tool.python(options.peers), "-m", f"validation.bench.{tool.module}", path, stored, out]
    command += [*tool.arguments, "--first", str(first), "--budget", str(budget)]
    command += [WHOLE] if tool == INFER and not entry.rates else []
    done = process.run(command, directory=workspaces.ROOT, limit=budget + options.patience, cores=entry.cores)
    if done.timed_out:
        entry.note = f"no block within {budget + options.patience:g} s"
    elif done.code != 0:
        entry.note = f"failed: {done.last_words[:100]}"
    else:
        with np.load(out) as found:
            add(contestant, json.loads(done.stdout.splitlines()[-1]), dict(found), done.peak_rss_mb)


def add(contestant: Contestant, report: dict[str, Any], found: dict[str, np.ndarray], peak_rss_mb: float) -> None:
    """Add a round: times, estimates, and what became of toys that were not seen before."""
    entry = contestant.entry
    new = [k for k, i in enumerate(found["index"].tolist()) if i not in contestant.theta]
    for k, i in enumerate(found["index"].tolist()):
        contestant.theta[i], contestant.sigma[i] = found["theta"][k], float(found["sigma"][k])
    entry.version = report["version"]
    if entry.compile is None and report["cold"]:
        entry.compile = report["load"]["wall"] + report["cold"]["wall"]
    entry.rates += [block["n"] / block["wall"] for block in report["blocks"]]
    entry.cpu_rates += [block["n"] / block["cpu"] for block in report["blocks"]]
    entry.whole = entry.whole or report["extra"].get("drawn_and_fitted")
    entry.n_toys += len(new)
    entry.n_unconverged += int(np.sum(~found["converged"][new]))
    entry.n_fallback += int(np.sum(found["engine"][new] != NEWTON))
    if entry.steps is None and found["n_steps"].any():
        entry.steps = (float(np.mean(found["n_steps"])), int(np.max(found["n_steps"])))
    entry.peak_rss_mb = max(entry.peak_rss_mb, peak_rss_mb)


def available(paths: Sequence[Path], *, everything: bool) -> list[Path]:
    """The workspaces of the comparison that are there; all of those given if ``everything``."""
    return [path for path in paths if everything or path.stem in DEFAULT]


@dataclass(frozen=True)
class Comparison:
    """What a run found."""

    entries: list[Entry]
    agreements: list[Agreement]
    loads: dict[str, float]
    """Load average of the machine after each workspace."""


def compare(path: Path, aux: str, options: Options, folder: Path) -> tuple[list[Entry], list[Agreement]]:
    """All tools on one sample in turn, round after round, and their estimates against this package's."""
    sample = toy_sample.draw(path, options.n_toys, options.seed, aux=aux)
    stored = folder / f"{path.stem}.{aux}.npz"
    sample.save(stored)
    found = contestants(path.stem, aux)
    for _ in range(options.rounds):
        for contestant in found:
            play(contestant, path, stored, len(sample), options, options.budget)
    if aux == FLUCTUATED and options.engine_budget:
        found.append(_second_engine(path, sample, options, folder))
    referee = Referee.of(path, sample)
    ours = found[0]
    agreements = [
        agreement(path.stem, c.entry.tool, referee, c.theta, ours.theta, ours.sigma)
        for c in found
        if c.tool != INFER and c.theta and ours.theta
    ]
    return [c.entry for c in found], agreements


def _second_engine(path: Path, sample: Sample, options: Options, folder: Path) -> Contestant:
    """This package's MIGRAD on the first toys: they are as random as any others."""
    few = Sample(**{**sample.__dict__, "main": sample.main[: options.engine_toys]})
    stored = folder / f"{path.stem}.engine.npz"
    few.save(stored)
    contestant = Contestant(ENGINE, Entry(path.stem, FLUCTUATED, ENGINE.label, 1), {}, {})
    play(contestant, path, stored, len(few), options, options.engine_budget)
    return contestant


def run(paths: Sequence[Path], options: Options) -> Comparison:
    """Measure everything, one process at a time."""
    comparison = Comparison([], [], {})
    with Progress(transient=True) as progress, tempfile.TemporaryDirectory() as folder:
        tasks = [(path, aux) for path in paths for aux in TOOLS]
        for path, aux in progress.track(tasks, description="toys"):
            entries, agreements = compare(path, aux, options, Path(folder))
            comparison.entries.extend(entries)
            comparison.agreements.extend(agreements)
            comparison.loads[path.stem] = float(machine.describe()["load_average"])
    return comparison


HEADER = (
    "tool",
    "cores",
    "toys",
    "toys/s",
    "best",
    "toys/CPU s",
    "infer / tool",
    "compile",
    "unconverged",
    "MIGRAD",
    "steps",
    "peak MB",
    "note",
)


def _row(entry: Entry, ours: Entry | None) -> list[str]:
    ratio = ours.cpu_rate / entry.cpu_rate if ours and ours.cpu_rate and entry.cpu_rate and entry is not ours else None
    rate = f"{tables.number(entry.rate)} ({len(entry.rates)})"
    return [
        entry.tool,
        str(entry.cores),
        str(entry.n_toys),
        rate,
        tables.number(max(entry.rates, default=None)),
        tables.number(entry.cpu_rate),
        tables.number(ratio) if entry.tool != ALL_CORES else "–",
        tables.seconds(entry.compile),
        str(entry.n_unconverged),
        str(entry.n_fallback) if entry.tool in (INFER.label, ALL_CORES) else "–",
        f"{entry.steps[0]:.1f}, ≤ {entry.steps[1]}" if entry.steps else "–",
        tables.number(entry.peak_rss_mb or None),
        entry.note,
    ]


TITLES = {
    FLUCTUATED: "main and auxiliary data fluctuated",
    OBSERVED: "main data fluctuated, auxiliary data as observed (all that NextStat can be given)",
}


def sections(comparison: Comparison) -> Iterator[str]:
    """The tables of all samples."""
    samples = dict.fromkeys((e.workspace, e.aux) for e in comparison.entries)
    for workspace, aux in samples:
        entries = [e for e in comparison.entries if (e.workspace, e.aux) == (workspace, aux)]
        rows = [_row(e, entries[0]) for e in entries]
        yield f"## {workspace}: {TITLES[aux]}\n\n" + tables.markdown_table(HEADER, rows)


def _verdict(met: bool | None) -> str:
    return "–" if met is None else "yes" if met else "**no**"


def _line(what: str, reached: float | None, *, least: float | None = None, most: float | None = None) -> list[str]:
    """One target: a lower or an upper limit, and whether it is kept."""
    if reached is None:
        return [what, "–", _verdict(None)]
    met = reached >= least if least is not None else most is not None and reached <= most
    return [what, tables.number(reached), _verdict(met)]


def _targets_of(entries: dict[tuple[str, str], Entry], wanted: float | None) -> Iterator[list[str]]:
    """The targets of one workspace, whose entries are given by ensemble and tool."""
    ours = entries[FLUCTUATED, INFER.label]
    both = entries.get((FLUCTUATED, ALL_CORES), ours)
    if wanted is not None:
        yield _line(f"≥ {wanted:g} toys/s on {both.cores} cores, median", both.rate, least=wanted)
        yield _line(f"≥ {wanted:g} toys/s on {both.cores} cores, best", max(both.rates, default=None), least=wanted)
    share = ours.n_unconverged / ours.n_toys if ours.n_toys else None
    yield _line(f"≤ {UNCONVERGED:.1%} unconverged", share, most=UNCONVERGED)
    for (aux, label), times in TIMES.items():
        peer, own = entries.get((aux, label)), entries.get((aux, INFER.label))
        ratio = own.cpu_rate / peer.cpu_rate if peer and own and peer.cpu_rate and own.cpu_rate else None
        yield _line(f"≥ {times:g} × {label}", ratio, least=times)


def targets(comparison: Comparison) -> str:
    """What was wanted, and what was reached."""
    rows = []
    for name in dict.fromkeys(e.workspace for e in comparison.entries):
        entries = {(e.aux, e.tool): e for e in comparison.entries if e.workspace == name}
        rows += [[name, *line] for line in _targets_of(entries, WANTED.get(name))]
    return "## Targets\n\n" + tables.markdown_table(("workspace", "wanted", "reached", "met"), rows)


def policy(options: Options) -> str:
    """How the tools were run, in words."""
    return (
        f"{options.n_toys} toys of each workspace, drawn by this package at the best fit to the observed data, and "
        "read from the same file by every tool, in a process of its own with so many cores. All searches begin at the "
        "truth (NextStat's `fit_batch` takes no start). Tools take turns, "
        f"{options.rounds} rounds of {options.budget:g} s each; a fit under way is let finish. Toys a second: median "
        "over blocks (number in brackets) and best block; a block of this package is a pass over all toys, one of a "
        "peer what it fitted in a round. Since the machine is shared, ratios are of toys per second of processor "
        "time, one core against one core. This package, pyhf with minuit and ROOT also compute uncertainties; pyhf "
        "with SLSQP has none, NextStat's batches neither. Compilation: from the file to the first toys fitted, the "
        "fit to the observed data included, apart from the rates. Unconverged is the tool's own word, MIGRAD the toys "
        "that this package had to hand to its second engine."
    )


def limits_of(comparison: Comparison) -> str:
    """What could not be compared, and how busy the machine was."""
    missing = [f"{e.workspace}, {e.tool}: {e.note}" for e in comparison.entries if e.note]
    loads = ", ".join(f"{name} {load:g}" for name, load in comparison.loads.items())
    drawn = [f"{e.workspace} {tables.number(e.whole)}" for e in comparison.entries if e.whole and e.tool == ALL_CORES]
    lines = [
        f"Load of the machine after each workspace: {loads}.",
        f"`infer.toys` on all cores, drawing and pulls included, toys/s: {', '.join(drawn)}." if drawn else "",
        "Not compared: NextStat with fluctuated auxiliary data, which its documented functions do not take.",
        *missing,
    ]
    return "## What to know\n\n" + "\n".join(f"- {line}" for line in lines if line)


def versions_of(entries: Sequence[Entry]) -> dict[str, str | None]:
    """Version of every tool that ran."""
    return {e.tool.split()[0].rstrip(","): e.version for e in entries if e.version}


def record(comparison: Comparison, options: Options) -> dict[str, Any]:
    """The run as JSON."""
    return {
        "date": machine.today(),
        "machine": machine.describe(),
        "options": {**asdict(options), "peers": options.peers.name},
        "versions": versions_of(comparison.entries),
        "loads": comparison.loads,
        "entries": [{**asdict(e), "rate": e.rate, "cpu_rate": e.cpu_rate} for e in comparison.entries],
        "agreements": [asdict(a) for a in comparison.agreements],
    }


def markdown(comparison: Comparison, options: Options) -> str:
    """The page of the run."""
    provenance = tables.provenance_lines(machine.today(), machine.describe(), versions_of(comparison.entries))
    parts = ["# Toys side by side", policy(options), targets(comparison), *sections(comparison)]
    return "\n\n".join([*parts, agreement_table(comparison.agreements), limits_of(comparison), provenance])
