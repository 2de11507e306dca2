"""Command line of the validation suites: ``python -m validation pyhf`` and ``python -m validation bench fit``."""

from pathlib import Path
from typing import Annotated

import typer

from validation import pyhf_agreement, tables, workspaces
from validation.bench import cold_start, fit
from validation.bench.peers import TOOLS, default_peers

app = typer.Typer(no_args_is_help=True, help=__doc__)
bench = typer.Typer(no_args_is_help=True, help="Side-by-side benchmarks.")
app.add_typer(bench, name="bench")

Folder = Annotated[list[Path] | None, typer.Option("--folder", help="Where to look for workspaces; may be repeated.")]
Results = Annotated[Path, typer.Option("--results", help="Where the tables are written.")]
Names = Annotated[list[str] | None, typer.Argument(help="Names of workspaces.")]


def chosen(names: list[str] | None, folders: list[Path] | None) -> list[Path]:
    """The workspaces asked for, all where none is named.

    Raises:
        typer.BadParameter: a name is not among the workspaces found.
    """
    found = {path.stem: path for path in workspaces.find(folders or workspaces.FOLDERS)}
    unknown = sorted(set(names or found) - set(found))
    if unknown or not found:
        raise typer.BadParameter(f"no such workspace: {unknown}; found {sorted(found)}")
    return [found[name] for name in names or found]


@app.command("pyhf")
def against_pyhf(
    names: Names = None,
    folder: Folder = None,
    points: Annotated[int, typer.Option(help="Random points for each workspace.")] = 100,
    seed: int = 1,
    results: Results = tables.RESULTS,
) -> None:
    """Likelihoods and fits against pyhf; exits 1 if a promise is broken."""
    found = pyhf_agreement.run(chosen(names, folder), count=points, seed=seed, results=results)
    print((results / "pyhf.md").read_text())
    if any(agreement.broken for agreement in found):
        raise typer.Exit(1)


@bench.command("fit")
def bench_fit(
    names: Names = None,
    folder: Folder = None,
    everything: Annotated[bool, typer.Option("--all", help="All workspaces, not only three.")] = False,
    peers: Annotated[Path | None, typer.Option(help="Folder that bench/setup_peers.sh filled.")] = None,
    tool: Annotated[list[str] | None, typer.Option(help="Only these tools; may be repeated.")] = None,
    repeats: int = 20,
    limit: Annotated[float, typer.Option(help="Seconds for one tool on one workspace.")] = 300.0,
    cores: int = 1,
    results: Results = tables.RESULTS,
) -> None:
    """Seconds, minimum and uncertainty of a fit, this package beside its peers, and the cold start."""
    paths = chosen(names or (None if everything else list(fit.DEFAULT)), folder)
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
    print(page.read_text())


@bench.callback()
def benchmarks() -> None:
    """Side-by-side benchmarks."""


if __name__ == "__main__":
    app()
