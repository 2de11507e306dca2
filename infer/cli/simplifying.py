"""The command that writes a simplified likelihood: simplify."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import jax

from infer.cli.common import JSON, OUT, POI, Input, leave, print_result, takes_likelihood, working, write
from infer.cli.documents import write_document
from infer.errors import InputError, ParameterError
from infer.io.whole import put_whole
from infer.simplified.expansion import POINTS
from infer.simplified.simplify import FORMS, Simplified
from infer.simplified.simplify import simplify as make_simplified


@click.command()
@takes_likelihood
@POI
@click.option("--form", type=click.Choice(FORMS), default=FORMS[0], show_default=True, help="What to keep.")
@click.option("--at", type=click.Choice(POINTS), default=POINTS[0], show_default=True, help="Where to expand.")
@click.option("--keep", metavar="CHANNEL", multiple=True, help="Channel that the covariance form keeps; repeatable.")
@click.option("--points", type=click.IntRange(2), default=17, show_default=True, help="Points of the profiles.")
@click.option("--limits/--no-limits", default=True, show_default=True, help="Compare upper limits, too.")
@click.option("--seed", type=click.IntRange(0), help="Of the skewed form; 1 by default.")
@JSON
@OUT
def simplify(
    given: Input, *, keep: Sequence[str], seed: int | None, as_json: bool, out: Path | None, **choices: Any
) -> None:
    """Write a simplified likelihood, and say what it changes."""
    if seed is not None and choices["form"] != "skewed":
        raise ParameterError(f"--seed belongs to --form skewed, got {choices['form']}.")
    key = jax.random.key(1 if seed is None else seed) if choices["form"] == "skewed" else None
    with working("simplifying, and comparing with the full likelihood"):
        result = make_simplified(
            given.likelihood, given.data, keep=keep or None, key=key, settings=given.settings, **choices
        )
    write(out, result.to_json_dict())
    if out is not None:
        _write_files(out, result)
    print_result(as_json, result.to_json_dict, result.table)
    leave(result.trustworthy)


def _write_files(out: Path, result: Simplified) -> None:
    """The workspace, its tables and the figure."""
    write_document(result.document, out / "workspace.json")
    for name, text in (("yields.csv", result.yields_csv()), ("covariance.csv", result.covariance_csv())):
        try:
            put_whole(out / name, text)
        except OSError as problem:
            raise InputError(f"--out {out}: cannot write {name} there ({problem.strerror}).") from None
    with working("drawing figures"):
        plots = importlib.import_module("infer.plots.simplified")  # brings matplotlib
        plots.save_simplified_figures(out, result.difference)
