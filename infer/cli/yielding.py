"""The command that counts: yields before and after a fit."""

from __future__ import annotations

import importlib
from pathlib import Path

import click

import infer
from infer.cli.common import JSON, OUT, POI, Input, leave, print_result, takes_likelihood, working, write


@click.command()
@takes_likelihood
@POI
@click.option("--bins", is_flag=True, help="Print a table of all bins as well.")
@JSON
@OUT
def yields(given: Input, *, poi: str | None, bins: bool, as_json: bool, out: Path | None) -> None:
    """Expected events before and after the fit beside the data, by channel, sample and bin."""
    with working("fitting"):
        result = infer.yields(given.likelihood, given.data, poi=poi, settings=given.settings)
    write(out, result.to_json_dict())
    if out is not None and result.fit.certificate.trustworthy:
        with working("drawing figures"):
            plots = importlib.import_module("infer.plots")  # matplotlib only where figures are drawn
            plots.save_yields_figures(out, result)
    tables = (result.table, result.bin_table) if bins else (result.table,)
    print_result(as_json, result.to_json_dict, lambda: "\n\n".join(table() for table in tables))
    leave(result.fit.certificate.trustworthy)
