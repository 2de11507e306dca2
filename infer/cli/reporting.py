"""The command that makes a page of a measurement: report."""

from __future__ import annotations

import functools
import importlib
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from infer.cli.blinding import blinding
from infer.cli.common import JSON, POI, VERIFY, Input, leave, print_result, takes_likelihood, working
from infer.cli.inspecting import templates_of
from infer.cli.measuring import GROUP, GROUPS, named_groups
from infer.errors import ParameterError

_FORMATS = ("png", "pdf")
_UNSAID = frozenset({"as_json", "blind_offset"})  # changes nothing on the page; is secret


@click.command()
@takes_likelihood
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), required=True, help="Folder of the page.")
@POI
@click.option(
    "--definition",
    type=click.Choice(["observables", "conditional", "shifted"]),
    default="observables",
    help="Of the error budget.",
)
@GROUP
@GROUPS
@click.option("--coverage", metavar="FILE", type=click.Path(path_type=Path), help="result.json of infer coverage.")
@click.option("--limit", is_flag=True, help="Add an upper limit by CLs, at --cl.")
@click.option("--cl", type=float, default=0.95, show_default=True, help="Confidence level of the limit.")
@click.option("--significance", is_flag=True, help="Add the significance of a discovery.")
@click.option("--title", metavar="TEXT", help="Heading of the page.")
@click.option("--figures/--no-figures", default=True, help="Draw PNG and PDF for papers, too.")
@VERIFY
@JSON
def report(
    given: Input,
    *,
    out: Path,
    poi: str | None,
    definition: str,
    group: Sequence[str],
    groups: Path | None,
    coverage: Path | None,
    limit: bool,
    cl: float,
    significance: bool,
    title: str | None,
    figures: bool,
    verify: bool,
    as_json: bool,
) -> None:
    """Make one HTML page of everything about a measurement, with figures and records beside it."""
    reports: Any = importlib.import_module("infer.report")  # brings matplotlib
    named = named_groups(group, groups)
    tested = () if coverage is None else _coverage(reports, coverage, poi or given.likelihood.parameters.poi)
    asked = reports.Questions(
        limit=cl if limit else None,
        significance=significance,
        coverage=tested,
        workspace=None if blinding() else templates_of(given),  # the file has the observed data
        title=title,
        source=str(given.path or ""),
        provenance=_provenance(reports, click.get_current_context()),
    )
    build = functools.partial(
        reports.build_report,
        given.likelihood,
        given.data,
        poi=poi,
        definition=definition,
        groups=named,
        settings=given.settings,
        verify=verify,
        questions=asked,
    )
    folder = reports.usable(out)
    with working("measuring, ranking, testing and drawing"):
        made, drawn = _drawn(reports, build, folder) if figures else (build(), [])
        files = reports.save_report(folder, made, figures=drawn)
    record = made.to_json_dict() | {"files": [str(path.relative_to(out)) for path in files]}
    print_result(as_json, lambda: record, lambda: f"{made}\nPage: {files[0]}")
    leave(made.trustworthy)


def _drawn(reports: Any, build: Callable[..., Any], folder: Path) -> tuple[Any, list[Path]]:
    """The report and its figures, which another process draws meanwhile."""
    with reports.Artist(folder / reports.FIGURES, _FORMATS) as artist:
        made = build(ready=artist)
    return made, artist.files


def _coverage(reports: Any, file: Path, poi: str | None) -> Any:
    """Coverage tests of the same parameter."""
    tested, records = reports.read_coverage(file)
    if tested is not None and poi is not None and tested != poi:
        raise ParameterError(
            f"--coverage {file}: it is about {tested!r}, the report about {poi!r}; give the right file."
        )
    return records


def _provenance(reports: Any, context: click.Context) -> dict[str, str]:
    """Input files by digest, and the command, without folders."""
    workspace: Path = context.params["workspace"]
    patch = context.params["patch"]
    files = [workspace] + ([Path(patch)] if patch and Path(patch).is_file() else [])
    if patch and not files[1:]:
        files.append(Path(patch.rpartition(":")[0]))
    digests = reports.file_digests(*files)
    return {
        "input": workspace.name,
        "digest": ", ".join(f"{n} {d}" for n, d in digests.items()),
        "command": _line(context),
    }


def _line(context: click.Context) -> str:
    """The command with all that was given, files by their names alone."""
    words = ["infer", context.info_name or ""]
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if isinstance(parameter, click.Argument):
            words.append(_shown(value))
        elif parameter.name not in _UNSAID and value not in (None, ()) and value != parameter.get_default(context):
            words += _option(parameter, value)
    return shlex.join(words)


def _option(parameter: click.Parameter, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [parameter.opts[0] if value else parameter.secondary_opts[0]]
    values = value if isinstance(value, tuple) else (value,)
    return [word for one in values for word in (parameter.opts[0], _shown(one))]


def _shown(value: Any) -> str:
    """A value; a path by its last part."""
    return value.name if isinstance(value, Path) else str(value)
