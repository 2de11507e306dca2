"""Command line of the validation suites: ``python -m validation pyhf``, ``python -m validation bench fit``."""

from collections.abc import Sequence
from pathlib import Path

import click

from validation import limits as limits_suite
from validation import pyhf_agreement, sbc, tables, workspaces
from validation.bench import cold_start, fit, inference, toy_scaling, toys
from validation.bench.peers import TOOLS, default_peers
from validation.coverage import run as coverage_run
from validation.coverage import suites

_PATH = click.Path(path_type=Path)
_NAMES = click.argument("names", nargs=-1)
_FOLDER = click.option("--folder", type=_PATH, multiple=True, help="Where to look for workspaces; repeatable.")
_RESULTS = click.option("--results", type=_PATH, default=tables.RESULTS, help="Where the tables are written.")


@click.group(help=__doc__)
def app() -> None:
    """The suites."""


@app.group()
def bench() -> None:
    """Side-by-side benchmarks."""


def chosen(names: Sequence[str], folders: Sequence[Path]) -> list[Path]:
    """The workspaces asked for, all where none is named.

    Raises:
        click.UsageError: a name is not among the workspaces found.
    """
    found = {path.stem: path for path in workspaces.find(list(folders) or workspaces.FOLDERS)}
    unknown = sorted(set(names or found) - set(found))
    if unknown or not found:
        raise click.UsageError(f"no such workspace: {unknown}; found {sorted(found)}")
    return [found[name] for name in names or found]


@app.command("pyhf")
@_NAMES
@_FOLDER
@click.option("--points", default=100, help="Random points for each workspace.")
@click.option("--seed", default=1)
@_RESULTS
def against_pyhf(names: Sequence[str], folder: Sequence[Path], points: int, seed: int, results: Path) -> None:
    """Likelihoods and fits against pyhf; exits 1 if a promise is broken."""
    found = pyhf_agreement.run(chosen(names, folder), count=points, seed=seed, results=results)
    click.echo((results / "pyhf.md").read_text())
    if any(agreement.broken for agreement in found):
        raise SystemExit(1)


@app.command("limits")
@_NAMES
@_FOLDER
@_RESULTS
def limits(names: Sequence[str], folder: Sequence[Path], results: Path) -> None:
    """Upper limits against pyhf; exits 1 if a promise is broken."""
    found = limits_suite.run(chosen(names, folder), results=results)
    click.echo((results / "limits.md").read_text())
    if not all(comparison.kept for comparison in found):
        raise SystemExit(1)


@app.command("sbc")
@click.option("--n", type=click.IntRange(50), default=200, show_default=True, help="Posteriors of each model.")
@click.option("--seed", default=1)
@_RESULTS
def calibration(n: int, seed: int, results: Path) -> None:
    """Simulation-based calibration of posteriors; exits 1 if ranks are not uniform."""
    found = sbc.run(n=n, seed=seed, results=results)
    click.echo((results / "sbc.md").read_text())
    if not all(one.kept for one in found):
        raise SystemExit(1)


@app.command("coverage")
@_NAMES
@click.option("--n", type=int, help="Toys of each truth, instead of each suite's own number.")
@click.option("--workers", default=0, help="Processes that share the toys; 0 computes in this one.")
@_RESULTS
def coverage(names: Sequence[str], n: int | None, workers: int, results: Path) -> None:
    """Coverage of intervals on toys, against closed forms; exits 1 if an interval said to cover does not."""
    known = suites.load_all()
    if unknown := sorted(set(names) - set(known)):
        raise click.UsageError(f"no such suite: {unknown}; found {sorted(known)}")
    outcome = coverage_run.run(
        [known[name] for name in names or known], list(known), n=n, workers=workers, results=results
    )
    click.echo(outcome.report())
    if outcome.failed:
        raise SystemExit(1)


@bench.command("fit")
@_NAMES
@_FOLDER
@click.option("--all", "everything", is_flag=True, help="All workspaces, not only three.")
@click.option("--peers", type=_PATH, help="Folder that bench/setup_peers.sh filled.")
@click.option("--tool", multiple=True, help="Only these tools; repeatable.")
@click.option("--repeats", default=20, help="Fits after the first.")
@click.option("--limit", default=300.0, help="Seconds for one tool on one workspace.")
@click.option("--cores", default=1, help="Cores that each tool may use.")
@_RESULTS
def bench_fit(
    names: Sequence[str],
    folder: Sequence[Path],
    everything: bool,
    peers: Path | None,
    tool: Sequence[str],
    repeats: int,
    limit: float,
    cores: int,
    results: Path,
) -> None:
    """Seconds, minimum and uncertainty of a fit, this package beside its peers, and the cold start."""
    paths = chosen(names or (() if everything else fit.DEFAULT), folder)
    options = fit.Options((peers or default_peers()).absolute(), repeats, limit, cores)
    tools = [t for t in TOOLS if not tool or t.label in tool]
    entries = fit.run(paths, options, tools)
    start = cold_start.measure(paths[0], cores=cores)
    page, _ = tables.write(
        results,
        "bench_fit",
        fit.markdown(entries, options, cold_start.markdown(start)),
        fit.record(entries, options) | {"cold_start": cold_start.record(start)},
    )
    click.echo(page.read_text())


@bench.command("toys")
@_NAMES
@_FOLDER
@click.option("--peers", type=_PATH, help="Folder that bench/setup_peers.sh filled.")
@click.option("--toys", "n_toys", default=2000, help="Toys of each workspace.")
@click.option("--rounds", default=3, help="How often every tool has its turn.")
@click.option("--budget", default=20.0, help="Seconds of fitting for one tool in one round.")
@click.option("--engine-budget", default=120.0, help="Seconds of MIGRAD on a workspace; 0 leaves it out.")
@click.option("--seed", default=1)
@click.option("--scaling/--no-scaling", default=True, help="Whether to measure how this package scales, too.")
@click.option("--limit", default=600.0, help="Seconds for one row of the scaling tables.")
@_RESULTS
def bench_toys(
    names: Sequence[str],
    folder: Sequence[Path],
    peers: Path | None,
    n_toys: int,
    rounds: int,
    budget: float,
    engine_budget: float,
    seed: int,
    scaling: bool,
    limit: float,
    results: Path,
) -> None:
    """The same toys fitted by this package and its peers, and how toys scale."""
    options = toys.Options(
        (peers or default_peers()).absolute(),
        n_toys=n_toys,
        seed=seed,
        rounds=rounds,
        budget=budget,
        engine_budget=engine_budget,
    )
    comparison = toys.run(toys.available(chosen(names, folder), everything=bool(names)), options)
    page, _ = tables.write(results, "bench_toys", toys.markdown(comparison, options), toys.record(comparison, options))
    click.echo(page.read_text())
    if scaling:
        _write_scaling(limit, results)


@bench.command("scaling")
@click.option("--limit", default=600.0, help="Seconds for one row.")
@_RESULTS
def bench_scaling(limit: float, results: Path) -> None:
    """How toys scale with their number, parameters, bins, cores and the size of chunks; part of `bench toys`."""
    _write_scaling(limit, results)


def _write_scaling(limit: float, results: Path) -> None:
    rows = toy_scaling.run(limit)
    page, _ = tables.write(results, "bench_scaling", toy_scaling.markdown(rows), toy_scaling.record(rows))
    click.echo(page.read_text())


@bench.command("inference")
@_NAMES
@_FOLDER
@click.option("--task", multiple=True, type=click.Choice([t.name for t in inference.TASKS]), help="Repeatable; all.")
@click.option("--peers", type=_PATH, help="Folder that bench/setup_peers.sh filled.")
@click.option("--repeats", default=5, help="Answers after the first.")
@click.option("--limit", default=300.0, help="Seconds for one tool on one workspace.")
@click.option("--cores", default=2, help="Cores that each tool may use.")
@_RESULTS
def bench_inference(
    names: Sequence[str],
    folder: Sequence[Path],
    task: Sequence[str],
    peers: Path | None,
    repeats: int,
    limit: float,
    cores: int,
    results: Path,
) -> None:
    """Whole inference tasks, this package beside its peers: rankings, limits, contours."""
    options = inference.Options((peers or default_peers()).absolute(), repeats, limit, cores)
    tasks = [t for t in inference.TASKS if not task or t.name in task]
    entries = inference.run([(t, chosen(names or t.default, folder)) for t in tasks], options)
    page, _ = tables.write(
        results, "bench_inference", inference.markdown(tasks, entries, options), inference.record(entries, options)
    )
    click.echo(page.read_text())


if __name__ == "__main__":
    app()
