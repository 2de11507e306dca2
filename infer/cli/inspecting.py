"""The command that looks into a likelihood: inspect."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from infer.cli.common import JSON, OUT, Input, print_result, takes_likelihood, working, write
from infer.inspection import inspect_likelihood
from infer.io.pyhf_json import read_document
from infer.likelihoods.histfactory.model import HistFactory
from infer.likelihoods.histfactory.records import Workspace
from infer.likelihoods.histfactory.spec import parse_workspace

_DOCUMENTS = frozenset({".json", ".yaml", ".yml"})


@click.command()
@takes_likelihood
@click.option("--no-fit", is_flag=True, help="Look at templates and declarations only.")
@click.option("--brief", is_flag=True, help="Leave out the list of parameters.")
@JSON
@OUT
def inspect(given: Input, *, no_fit: bool, brief: bool, as_json: bool, out: Path | None) -> None:
    """Say what a workspace contains, and what of it is suspicious: templates, parameters, and a fit."""
    with working("inspecting"):
        report = inspect_likelihood(
            given.likelihood,
            given.data,
            settings=given.settings,
            workspace=templates_of(given),
            fitting=not no_fit,
        )
    write(out, report.to_json_dict())
    print_result(as_json, report.to_json_dict, lambda: report.table(parameters=not brief))


def templates_of(given: Input) -> Workspace | None:
    """The workspace as the file describes it; None where the file is no document of templates."""
    path = given.path
    if path is None or path.suffix not in _DOCUMENTS or not isinstance(given.likelihood, HistFactory):
        return None
    document = read_document(path, given.patch)
    if "format" in document:
        return None
    workspace, main = parse_workspace(document, source=path.name), np.asarray(given.data.main)
    seen = {c.name: main[c.first : c.first + c.n_bins] for c in given.likelihood.channels}
    return replace(workspace, observations=seen)  # those that are fitted: the file's may be hidden
