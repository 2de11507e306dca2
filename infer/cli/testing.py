"""Commands that test hypotheses: limit, cls, significance, test."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

import infer
from infer.cli.common import (
    JSON,
    OUT,
    POI,
    Input,
    leave,
    number,
    pair,
    points,
    print_result,
    takes_likelihood,
    working,
    write,
)
from infer.cli.toys import draws_toys, progress, single
from infer.errors import ParameterError
from infer.inference.exclusion import TAILS

_STATISTIC = click.option(
    "--statistic", type=click.Choice(list(TAILS)), default="q_mu_tilde", show_default=True, help="Test statistic."
)
_N_SCAN = 41  # hypotheses of the figure


@click.command()
@takes_likelihood
@POI
@click.option("--cl", type=float, default=0.95, show_default=True, help="Confidence level.")
@_STATISTIC
@click.option("--toys", "n_toys", metavar="N", type=click.IntRange(100), help="N toys of each hypothesis, no formulae.")
@JSON
@OUT
@draws_toys
def limit(
    given: Input,
    *,
    n_toys: int | None,
    key: Any,
    ensembles: list[infer.Ensemble] | None,
    run: infer.Run,
    as_json: bool,
    out: Path | None,
    **choices: Any,
) -> None:
    """Upper limit by CLs, observed and expected, by asymptotic formulae or by toys."""
    ensemble = single(ensembles)
    if n_toys is None and ensemble is not None:
        raise ParameterError("--nuisance, --aux and --truth say how toys are drawn; add --toys N, or leave them out.")
    with progress("fitting toys", run) as watched, working("searching limits"):
        reference: infer.Asymptotic | infer.ToyReference = infer.Asymptotic()
        if n_toys is not None:
            drawn = infer.ToyReference(key, n_toys, run=watched)
            reference = drawn if ensemble is None else replace(drawn, ensemble=ensemble)
        result = infer.upper_limit(
            given.likelihood, given.data, reference=reference, settings=given.settings, **choices
        )
    write(out, result.to_json_dict())
    if out is not None and result.observed is not None:
        with working("drawing figures"):
            _figure(out, given, result)
    print_result(as_json, result.to_json_dict, result.table)
    leave(result.certificate.trustworthy and result.observed is not None)


def _figure(out: Path, given: Input, result: infer.UpperLimit) -> None:
    """CLs about the limits, with bands."""
    reach = 1.25 * max(x for x in (result.observed, *result.expected) if x is not None)
    scan = infer.cls(
        given.likelihood,
        given.data,
        values=np.linspace(reach / _N_SCAN, reach, _N_SCAN).tolist(),
        poi=result.poi,
        statistic=result.statistic,
        settings=given.settings,
    )
    plots = importlib.import_module("infer.plots")  # brings matplotlib
    plots.save_limit_figures(out, scan, limit=result)


@click.command()
@takes_likelihood
@POI
@_STATISTIC
@click.option("--value", "values", metavar="X", type=float, multiple=True, help="Hypothesis; repeatable.")
@click.option("--points", "grid", metavar="LOW:HIGH:N", help="Hypotheses at equal distances.")
@JSON
@OUT
def cls(
    given: Input,
    *,
    values: Sequence[float],
    grid: str | None,
    as_json: bool,
    out: Path | None,
    **choices: Any,
) -> None:
    """CLs of signal hypotheses, observed and expected, by asymptotic formulae."""
    hypotheses = [*values, *(points(grid) if grid else ())]
    if not hypotheses:
        raise ParameterError("no hypothesis: give --value X (repeatable) or --points LOW:HIGH:N.")
    with working("testing"):
        result = infer.cls(given.likelihood, given.data, values=hypotheses, settings=given.settings, **choices)
    write(out, result.to_json_dict())
    if out is not None and len(result.points) > 1:
        plots = importlib.import_module("infer.plots")  # brings matplotlib
        plots.save_limit_figures(out, result)
    print_result(as_json, result.to_json_dict, result.table)
    leave(result.certificate.trustworthy)


@click.command()
@takes_likelihood
@POI
@click.option("--expected-at", type=float, default=1.0, show_default=True, help="Signal of the Asimov data.")
@JSON
@OUT
def significance(given: Input, *, as_json: bool, out: Path | None, **choices: Any) -> None:
    """Significance of a discovery, observed and expected."""
    with working("fitting"):
        result = infer.significance(given.likelihood, given.data, settings=given.settings, **choices)
    write(out, result.to_json_dict())
    print_result(as_json, result.to_json_dict, result.__str__)
    leave(result.certificate.trustworthy)


@click.command("test")
@takes_likelihood
@click.option("--value", "named", metavar="NAME=VALUE", multiple=True, required=True, help="Hypothesis; repeatable.")
@JSON
@OUT
def joint(given: Input, *, named: Sequence[str], as_json: bool, out: Path | None) -> None:
    """Test that one or several parameters have certain values, jointly."""
    values = dict(pair("--value", text, number) for text in named)
    with working("fitting"):
        result = infer.hypothesis_test(given.likelihood, given.data, values=values, settings=given.settings)
    write(out, result.to_json_dict())
    print_result(as_json, result.to_json_dict, result.__str__)
    leave(result.certificate.trustworthy)
