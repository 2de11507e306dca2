"""The command that looks into a likelihood: inspect."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from infer.cli.common import JSON, OUT, Input, print_result, takes_likelihood, working, write
from infer.errors import InputError
from infer.inspection import inspect_likelihood
from infer.io.conversion import read_model
from infer.likelihoods.histfactory.model import HistFactory
from infer.likelihoods.histfactory.records import Workspace
from infer.likelihoods.histfactory.spec import parse_workspace


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
    """The workspace that a file describes, in whatever format; None where it has no templates that pyhf could say."""
    if given.path is None or not isinstance(given.likelihood, HistFactory):
        return None
    try:
        model = read_model(given.path, patch=given.patch)
    except InputError:  # it was read, so that this says only that it is no pyhf workspace
        return None
    workspace, main = parse_workspace(model.workspace, source=given.path.name), np.asarray(given.data.main)
    seen = {c.name: main[c.first : c.first + c.n_bins] for c in given.likelihood.channels}
    return replace(workspace, observations=seen)  # those that are fitted: the file's may be hidden
