"""Command line of the validation suites: ``python -m validation pyhf`` and ``python -m validation bench fit``."""

from collections.abc import Sequence
from pathlib import Path

import click

from validation import pyhf_agreement, tables, workspaces
from validation.bench import cold_start, fit
from validation.bench.peers import TOOLS, default_peers

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


if __name__ == "__main__":
    app()
