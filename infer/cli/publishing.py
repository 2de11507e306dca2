"""The command that writes a submission to HEPData: hepdata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

import infer
from infer.cli.common import JSON, POI, Input, leave, print_result, takes_likelihood, working, write
from infer.cli.documents import write_document
from infer.errors import ParameterError
from infer.inference.breakdown import DEFINITIONS
from infer.inference.yields import counted
from infer.io.hepdata import About, Resource, Table, tables_of, write_submission
from infer.io.pyhf_json import read_document
from infer.io.strict_json import load_document

_FILE = click.Path(path_type=Path)


@dataclass(frozen=True)
class _Extra:
    """Records that are given, and the parameters of the covariance."""

    coverage: Path | None
    limit: Path | None
    parameters: tuple[str, ...] | None


@click.command()
@takes_likelihood
@POI
@click.option("--definition", type=click.Choice(DEFINITIONS), default=DEFINITIONS[0], help="Of the error budget.")
@click.option("--comment", default="", help="Abstract, or what applies to all tables.")
@click.option("--location", default="", help="Where the tables stand in the paper.")
@click.option("--cmenergies", metavar="GEV", type=float, multiple=True, help="Centre-of-mass energy; repeatable.")
@click.option("--reaction", "reactions", metavar="TEXT", multiple=True, help="Such as 'P P --> TOP TOPBAR X'.")
@click.option("--observable", "observables", metavar="TEXT", multiple=True, help="Such as SIG; repeatable.")
@click.option("--phrase", "phrases", metavar="TEXT", multiple=True, help="Keyword; repeatable.")
@click.option("--unit", default="", help="Unit of the parameter of interest.")
@click.option("--parameter", "parameters", metavar="NAME", multiple=True, help="Of the covariance; repeatable.")
@click.option("--coverage", metavar="FILE", type=_FILE, help="What 'infer coverage --json' printed.")
@click.option("--limit", metavar="FILE", type=_FILE, help="What 'infer limit --json' printed.")
@JSON
@click.option("--out", metavar="DIR", type=_FILE, required=True, help="Write the submission there.")
def hepdata(
    given: Input,
    *,
    poi: str | None,
    definition: str,
    parameters: Sequence[str],
    coverage: Path | None,
    limit: Path | None,
    as_json: bool,
    out: Path,
    **about: Any,
) -> None:
    """Write a submission to HEPData: result, error budget, covariances, yields, and the workspace."""
    said = About(**about)
    said.keywords()  # complains before anything is fitted
    extra = _Extra(coverage, limit, tuple(parameters) or None)
    with working("measuring"):
        measured = infer.measure(given.likelihood, given.data, poi=poi, definition=definition, settings=given.settings)
        tables = _tables(given, measured, said.unit, extra)
    with TemporaryDirectory() as folder:
        resources = _resources(Path(folder), given, measured)
        made = write_submission(out, tables, about=said, resources=resources)
    record = {
        "submission": str(made.folder),
        "archive": str(made.archive),
        "validated": made.validated,
        "tables": [table.name for table in tables],
        "resources": [resource.path.name for resource in resources],
        "measurement": measured.to_json_dict(),
    }
    write(out, record)
    checked = "valid by hepdata-validator" if made.validated else "not validated: pip install 'infer-hep[hepdata]'"
    files = [f"  {table.file}: {table.name}" for table in tables]
    lines = [f"{measured}", "", *files, "", f"{made.archive} ({checked})"]
    print_result(as_json, lambda: record, lambda: "\n".join(lines))
    leave(measured.certificate.trustworthy)


def _tables(given: Input, measured: infer.Measurement, unit: str, extra: _Extra) -> list[Table]:
    best = infer.fit(given.likelihood, given.data, poi=measured.poi, settings=given.settings)
    events = None
    if counted(given.likelihood, given.data):
        events = infer.yields(given.likelihood, given.data, fitted=best)
    return tables_of(
        measured,
        best,
        unit=unit,
        correlated=extra.parameters,
        yields=events,
        coverage=None if extra.coverage is None else load_document(extra.coverage),
        limit=None if extra.limit is None else load_document(extra.limit),
    )


def _resources(folder: Path, given: Input, measured: infer.Measurement) -> list[Resource]:
    """The workspace as it was fitted, patch applied, and the record of the measurement."""
    if given.path is None:
        raise ParameterError("a submission needs the file of the workspace.")
    write_document(measured.to_json_dict(), folder / "measurement.json")
    record = Resource(folder / "measurement.json", "The measurement with its certificate, as 'infer measure --json'")
    if given.path.suffix != ".json":
        return [Resource(given.path, "The likelihood"), record]
    document = read_document(given.path, given.patch)
    write_document(document, folder / "workspace.json")
    kind = "" if "format" in document else "HistFactory"
    text = "The likelihood as a pyhf workspace" if kind else f"The likelihood, in the format {document['format']}"
    return [Resource(folder / "workspace.json", text, kind), record]
