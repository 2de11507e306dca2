"""How toys scale: with their number, with parameters and bins, with cores and the size of chunks, and in memory."""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.progress import Progress

from validation import machine, tables, workspaces
from validation.bench import process
from validation.bench.synthetic import LADDER, Size, workspace

SEARCH = workspaces.ROOT / "workspaces" / "search.json"
TOYS = (100, 1_000, 10_000, 100_000)
CHUNKS = (64, 256, 512, 2048, 8192)
LADDER_TOYS = (10_000, 5_000, 1_000, 300, 50, 4)
"""Toys of each size of `LADDER`."""
CHANNELS = (1, 4, 40, 160)
COMPILING = 32
"""Toys of a first call that is enough for models of more than 12 parameters."""
MILLION = 1_000_000
SECONDS_FOR_A_MILLION = 30.0
"""Wanted for a million toys of `counting` on all cores."""
CORES = len(process.first_cores(10**6))


@dataclass(frozen=True)
class Case:
    """One row: a workspace, and how many toys of it are fitted how."""

    table: str
    label: str
    workspace: Path
    n_toys: int
    cores: int = CORES
    chunk: int | None = None
    warm_up: int = 1024


@dataclass(frozen=True)
class Row:
    """What was measured; None where the program gave nothing."""

    table: str
    label: str
    cores: int
    found: dict[str, Any] | None = None
    peak_rss_mb: float | None = None
    note: str = ""


def counting() -> dict[str, Any]:
    """A counting experiment in a signal and a control channel: four parameters."""
    channels = [_channel("signal", 12.0, 50.0), _channel("control", 2.0, 400.0)]
    return {
        "channels": channels,
        "observations": [{"name": "signal", "data": [63.0]}, {"name": "control", "data": [403.0]}],
        "measurements": [{"name": "counting", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }


def _channel(name: str, signal: float, background: float) -> dict[str, Any]:
    def normsys(what: str, size: float) -> dict[str, Any]:
        return {"name": what, "type": "normsys", "data": {"hi": 1.0 + size, "lo": 1.0 - size}}

    factors = [{"name": what, "type": "normfactor", "data": None} for what in ("mu", "background")]
    samples = [
        {"name": "signal", "data": [signal], "modifiers": [factors[0], normsys("luminosity", 0.02)]},
        {"name": "background", "data": [background], "modifiers": [factors[1], normsys(f"transfer_{name}", 0.1)]},
    ]
    return {"name": name, "samples": samples}


def cases(folder: Path) -> Iterator[Case]:
    """All rows; workspaces that have to be made go into the folder."""
    for n in TOYS:
        yield Case("toys (search.json)", f"{n:,}", SEARCH, n)
    for chunk in CHUNKS:
        yield Case("chunk (search.json, 20,000 toys)", str(chunk), SEARCH, 20_000, chunk=chunk)
    for cores in range(1, CORES + 1):
        yield Case("cores (search.json, 20,000 toys)", str(cores), SEARCH, 20_000, cores=cores)
    simple = folder / "counting.json"
    simple.write_text(json.dumps(counting()))
    for cores in range(1, CORES + 1):
        yield Case("counting in two channels", f"{MILLION:,} toys", simple, MILLION, cores=cores, warm_up=2 * 16384)
    yield from synthetic_cases(folder)


def synthetic_cases(folder: Path) -> Iterator[Case]:
    """Models of growing size: in parameters, and in bins without further parameters."""
    for size, n in zip(LADDER, LADDER_TOYS, strict=True):
        path = folder / f"synthetic_{size.parameters}.json"
        path.write_text(json.dumps(workspace(size, seed=1)))
        yield Case("parameters (synthetic)", str(size.parameters), path, n, warm_up=COMPILING)
    for channels in CHANNELS:
        size = Size(channels, 25, 6, 16, 16)
        path = folder / f"bins_{channels}.json"
        path.write_text(json.dumps(without_staterror(workspace(size, seed=1))))
        n = 2000 if channels < CHANNELS[2] else 200
        yield Case("bins (synthetic, 36 parameters)", str(25 * channels), path, n, warm_up=COMPILING)


def without_staterror(document: dict[str, Any]) -> dict[str, Any]:
    """The same workspace without the parameters of its bins."""
    for channel in document["channels"]:
        for sample in channel["samples"]:
            sample["modifiers"] = [m for m in sample["modifiers"] if m["type"] != "staterror"]
    return document


def measure(case: Case, limit: float) -> Row:
    """Run one case in a process of its own."""
    command: list[str | Path] = [sys.executable, "-m", "validation.bench.run_infer_scaling", case.workspace]
    command += ["--toys", str(case.n_toys), "--warm-up", str(case.warm_up)]
    command += ["--chunk", str(case.chunk)] if case.chunk else []
    done = process.run(command, directory=workspaces.ROOT, limit=limit, cores=case.cores)
    if done.timed_out:
        return Row(case.table, case.label, case.cores, note=f"more than {limit:g} s")
    if done.code != 0:
        return Row(case.table, case.label, case.cores, note=f"failed: {done.last_words[:100]}")
    return Row(case.table, case.label, case.cores, json.loads(done.stdout.splitlines()[-1]), done.peak_rss_mb)


def run(limit: float) -> list[Row]:
    """Measure all cases, one process at a time."""
    with Progress(transient=True) as progress, tempfile.TemporaryDirectory() as folder:
        return [measure(c, limit) for c in progress.track(list(cases(Path(folder))), description="scaling")]


HEADER = (
    "",
    "cores",
    "parameters",
    "bins",
    "toys",
    "compile",
    "time",
    "toys/s",
    "toys/CPU s",
    "steps",
    "unconverged",
    "MIGRAD",
    "peak MB",
    "note",
)


def _cells(row: Row) -> list[str]:
    if row.found is None:
        return [row.label, str(row.cores), *["–"] * (len(HEADER) - 3), row.note]
    f = row.found
    return [
        row.label,
        str(row.cores),
        str(f["n_parameters"]),
        str(f["n_bins"]),
        f"{f['n_toys']:,}",
        tables.seconds(f["compile"]),
        tables.seconds(f["seconds"]),
        tables.number(f["n_toys"] / f["seconds"]),
        tables.number(f["n_toys"] / f["cpu"]),
        f"{f['mean_steps']:.1f}",
        str(f["n_failed"]),
        str(f["n_migrad"]),
        tables.number(row.peak_rss_mb),
        row.note,
    ]


def markdown(rows: Sequence[Row]) -> str:
    """One table for each question."""
    text = (
        "`infer.toys` on a workspace: the observed data are fitted, toys drawn and fitted, pulls summed. One process "
        "a row; the time is that of a second call, after a first and shorter one that compiles. Peak memory is that "
        "of the process, JAX itself and compilation included."
    )
    parts = ["# How toys scale", text]
    for name in dict.fromkeys(row.table for row in rows):
        parts.append(f"## {name}\n\n" + tables.markdown_table(HEADER, [_cells(r) for r in rows if r.table == name]))
    date, host = machine.today(), machine.describe()
    provenance = tables.provenance_lines(date, host, machine.versions("infer-hep", "jax", "numpy"))
    return "\n\n".join([*parts, *_million(rows), provenance])


def _million(rows: Sequence[Row]) -> list[str]:
    """Whether a million toys of a counting experiment were quick enough."""
    found = [r.found["seconds"] for r in rows if r.found and r.found["n_toys"] == MILLION and r.cores == CORES]
    verdict = [f"{s:.1f} s on {CORES} cores, {'within' if s < SECONDS_FOR_A_MILLION else '**beyond**'}" for s in found]
    return [f"A million toys of the counting experiment: {v} the {SECONDS_FOR_A_MILLION:g} s wanted." for v in verdict]


def record(rows: Sequence[Row]) -> dict[str, Any]:
    """The rows as JSON."""
    versions = machine.versions("infer-hep", "jax", "numpy")
    rows_as_json = [asdict(row) for row in rows]
    return {"date": machine.today(), "machine": machine.describe(), "versions": versions, "rows": rows_as_json}
