"""Commands on files of other formats and from elsewhere: convert, download."""

from __future__ import annotations

from pathlib import Path

import click

from infer.cli.common import JSON, counting, leave, print_result, working
from infer.io.conversion import FORMATS
from infer.io.conversion import convert as converted
from infer.io.downloads import RESOLVER
from infer.io.downloads import download as downloaded


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--to", type=click.Choice(list(FORMATS)), help="Format to write; by default, what the name asks for.")
@click.option("--patch", metavar="FILE[:NAME]", help="A JSON patch, or one patch of a patchset, for pyhf workspaces.")
@JSON
def convert(source: Path, target: Path, *, to: str | None, patch: str | None, as_json: bool) -> None:
    """Write a model in another format, and compare the two likelihoods."""
    with working(f"converting {source}"):
        result = converted(source, target, to=to, patch=patch)
    print_result(as_json, result.to_json_dict, result.table)
    leave(result.faithful)


@click.command()
@click.argument("source", metavar="DOI|URL")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Where to; by default, a cache.")
@click.option("--sha256", "expected", metavar="HEX", help="Refuse a file with another SHA-256.")
@click.option("--again", is_flag=True, help="Download even if it is there.")
@click.option(
    "--resolver",
    metavar="URL",
    envvar="INFER_DOI_RESOLVER",
    default=RESOLVER,
    help="What turns a DOI into a file; also INFER_DOI_RESOLVER.",
)
@JSON
def download(source: str, *, out: Path | None, expected: str | None, again: bool, resolver: str, as_json: bool) -> None:
    """Download published likelihoods from HEPData, and say what to run next."""
    with counting(f"downloading {source}") as progress:
        result = downloaded(source, out, resolver=resolver, expected_sha256=expected, again=again, progress=progress)
    print_result(as_json, result.to_json_dict, result.table)
