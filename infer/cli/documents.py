"""Commands on documents: what pyhf calls sort, prune, rename, combine, digest and patchset."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from infer.cli.common import JSON, WORKSPACE, print_result
from infer.errors import InputError, ParameterError
from infer.io.pyhf_json import digest, load_document, load_patchset, read_document, verify_digest
from infer.io.whole import put_whole
from infer.io.workspaces import (
    Names,
    Renaming,
    Selection,
    join_workspaces,
    prune_workspace,
    rename_workspace,
    sort_workspace,
)

Option = Callable[[Any], Any]

TO = click.option("--to", metavar="FILE", type=click.Path(path_type=Path), help="Write there; by default, print it.")
_PATCHSET = click.argument("patchset", type=click.Path(path_type=Path))


def write_document(document: Mapping[str, Any], to: Path | None) -> None:
    """A document in a file, all of it or nothing, or on standard output."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    if to is None:
        click.echo(text)
        return
    try:
        put_whole(to, text + "\n")
    except OSError as problem:
        raise InputError(f"--to {to}: cannot be written ({problem.strerror}); give another file.") from None


def _several(name: str, metavar: str, text: str) -> Option:
    return click.option(
        name, f"{name.removeprefix('--').replace('-', '_')}s", metavar=metavar, multiple=True, help=text
    )


def _old_and_new(kind: str, text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise ParameterError(f"--{kind.removesuffix('s')} must look like OLD=NEW, got {text!r}.")
    return old, new


@click.group()
def workspace() -> None:
    """Change pyhf workspaces as documents: sort, prune, rename, join, digest."""


@workspace.command()
@WORKSPACE
@TO
def sort(workspace: Path, to: Path | None) -> None:
    """Sort everything that has a name."""
    write_document(sort_workspace(load_document(workspace), source=str(workspace)), to)


@workspace.command()
@WORKSPACE
@_several("--channel", "NAME", "Remove this channel; repeatable.")
@_several("--sample", "NAME", "Remove this sample; repeatable.")
@_several("--modifier", "NAME", "Remove this modifier; repeatable.")
@_several("--modifier-type", "TYPE", "Remove all modifiers of this type; repeatable.")
@_several("--measurement", "NAME", "Remove this measurement; repeatable.")
@TO
def prune(workspace: Path, *, to: Path | None, **unwanted: Sequence[str]) -> None:
    """Remove channels, samples, modifiers or measurements."""
    write_document(prune_workspace(load_document(workspace), Selection(**unwanted), source=str(workspace)), to)


@workspace.command()
@WORKSPACE
@_several("--channel", "OLD=NEW", "Rename a channel; repeatable.")
@_several("--sample", "OLD=NEW", "Rename a sample; repeatable.")
@_several("--modifier", "OLD=NEW", "Rename a modifier and its parameter; repeatable.")
@_several("--measurement", "OLD=NEW", "Rename a measurement; repeatable.")
@TO
def rename(workspace: Path, *, to: Path | None, **names: Sequence[str]) -> None:
    """Rename channels, samples, modifiers or measurements."""
    new = {kind: dict(_old_and_new(kind, text) for text in texts) for kind, texts in names.items()}
    write_document(rename_workspace(load_document(workspace), Renaming(**new), source=str(workspace)), to)


@workspace.command()
@click.argument("left", type=click.Path(path_type=Path))
@click.argument("right", type=click.Path(path_type=Path))
@click.option(
    "--join",
    type=click.Choice(["none", "outer", "left outer", "right outer"]),
    default="none",
    help="What both may have: nothing, what is equal, or what differs (the named side wins).",
)
@click.option("--merge-channels", is_flag=True, help="Merge channels of one name, sample by sample.")
@TO
def join(left: Path, right: Path, join: Any, merge_channels: bool, to: Path | None) -> None:
    """Join two workspaces into one; modifiers of one name become one parameter."""
    sources = str(left), str(right)
    documents = load_document(left), load_document(right)
    write_document(join_workspaces(*documents, join=join, merge_channels=merge_channels, sources=sources), to)


@workspace.command(name="digest")
@WORKSPACE
@click.option("--algorithm", type=click.Choice(["sha256", "md5"]), default="sha256", help="Digest.")
@JSON
def digest_(workspace: Path, algorithm: str, as_json: bool) -> None:
    """The digest that patchsets name their workspace by."""
    found = digest(load_document(workspace), algorithm)
    print_result(as_json, lambda: {algorithm: found}, lambda: f"{algorithm}:{found}")


@workspace.command()
@WORKSPACE
@JSON
def names(workspace: Path, as_json: bool) -> None:
    """Names of all channels, samples, modifiers and measurements."""
    document = sort_workspace(load_document(workspace), source=str(workspace))
    found = {kind: list(entries) for kind, entries in vars(Names.of(document)).items()}
    lines = (f"{kind.replace('_', ' ')}: {', '.join(entries)}" for kind, entries in found.items())
    print_result(as_json, lambda: found, lambda: "\n".join(lines))


@click.group()
def patchset() -> None:
    """Look at patchsets: list and verify them, apply a patch."""


@patchset.command(name="list")
@_PATCHSET
@JSON
def list_(patchset: Path, as_json: bool) -> None:
    """The patches, and the points that they stand for."""
    found = load_patchset(patchset)
    record = {
        "labels": list(found.labels),
        "digests": dict(found.digests),
        "patches": [{"name": patch.name, "values": list(patch.values)} for patch in found.patches],
    }
    lines = [f"{patch.name}  {dict(zip(found.labels, patch.values, strict=True))}" for patch in found.patches]
    print_result(as_json, lambda: record, lambda: "\n".join(lines))


@patchset.command()
@_PATCHSET
@WORKSPACE
def verify(patchset: Path, workspace: Path) -> None:
    """Check that a patchset was made for a workspace."""
    verify_digest(load_patchset(patchset), load_document(workspace), source=str(workspace))
    click.echo(f"{patchset} is for {workspace}.")


@patchset.command()
@_PATCHSET
@WORKSPACE
@click.option("--name", required=True, metavar="NAME", help="Which patch.")
@TO
def apply(patchset: Path, workspace: Path, name: str, to: Path | None) -> None:
    """Apply a patch to the workspace that the patchset is for."""
    write_document(read_document(workspace, f"{patchset}:{name}"), to)
