"""Commands on files of other formats: convert."""

from __future__ import annotations

from pathlib import Path

import click

from infer.cli.common import JSON, leave, print_result, working
from infer.io.conversion import FORMATS, convert


@click.command(name="convert")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--to", type=click.Choice(list(FORMATS)), help="Format to write; by default, what the name asks for.")
@click.option("--patch", metavar="FILE[:NAME]", help="A JSON patch, or one patch of a patchset, for pyhf workspaces.")
@JSON
def convert_(source: Path, target: Path, *, to: str | None, patch: str | None, as_json: bool) -> None:
    """Write a model in another format, and compare the two likelihoods."""
    with working(f"converting {source}"):
        result = convert(source, target, to=to, patch=patch)
    print_result(as_json, result.to_json_dict, result.table)
    leave(result.faithful)
