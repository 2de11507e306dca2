"""The command that ranks nuisance parameters: impacts."""

from __future__ import annotations

import importlib
from pathlib import Path

import click

import infer
from infer.cli.common import JSON, OUT, POI, Input, leave, print_result, takes_likelihood, working, write
from infer.inference.impacts import DEFINITIONS


@click.command()
@takes_likelihood
@POI
@click.option("--definition", type=click.Choice(DEFINITIONS), default=DEFINITIONS[0], help="Of an impact.")
@click.option("--parameter", "names", metavar="NAME", multiple=True, help="Rank only these; repeatable.")
@click.option("--top", type=click.IntRange(1), help="Most parameters in the table (20) and in the figure (30).")
@JSON
@OUT
def impacts(
    given: Input,
    *,
    poi: str | None,
    definition: str,
    names: tuple[str, ...],
    top: int | None,
    as_json: bool,
    out: Path | None,
) -> None:
    """Rank nuisance parameters by how far they move the parameter of interest; pulls and constraints."""
    with working("fitting once for each side of each parameter"):
        result = infer.impacts(
            given.likelihood,
            given.data,
            poi=poi,
            definition=definition,
            settings=given.settings,
            parameters=names or None,
        )
    write(out, result.to_json_dict())
    if out is not None and result.certificate.trustworthy:
        with working("drawing figures"):
            plots = importlib.import_module("infer.plots")  # matplotlib only where figures are drawn
            plots.save_impact_figures(out, result, top=top or 30)
    print_result(as_json, result.to_json_dict, lambda: result.table(top or 20))
    leave(result.certificate.trustworthy and result.n_failed == 0)
