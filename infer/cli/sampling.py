"""Commands that repeat the experiment on paper: toys, coverage, neyman, pvalue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import infer
from infer.cli.common import (
    JSON,
    OUT,
    POI,
    Input,
    leave,
    points,
    print_result,
    takes_likelihood,
    working,
    write,
)
from infer.cli.toys import N_TOYS, draws_toys, keep, numbers, progress, single
from infer.inference.campaigns import prepare
from infer.inference.finite_mc import FiniteMC, finite_mc
from infer.inference.statistics import STATISTICS
from infer.inference.toy_intervals import METHODS
from infer.inference.toys import reproduce


@click.command()
@takes_likelihood
@POI
@N_TOYS
@click.option("--poi-value", type=float, help="True value of the parameter of interest; the best fit by default.")
@click.option("--only", metavar="NUMBER", type=click.IntRange(0), help="Fit this toy alone, and show all of the fit.")
@JSON
@OUT
@draws_toys
def toys(
    given: Input,
    *,
    poi: str | None,
    n_toys: int,
    poi_value: float | None,
    only: int | None,
    key: Any,
    ensembles: list[infer.Ensemble] | None,
    run: infer.Run,
    as_json: bool,
    out: Path | None,
) -> None:
    """Draw toys and fit them: how the best fit and the pulls are distributed, failures counted."""
    ensemble = single(ensembles)
    if only is not None:
        _show_toy(given, poi, poi_value, only, key, ensemble, run, as_json)
        return
    with progress("fitting toys", run) as watched:
        result = infer.toys(
            given.likelihood,
            given.data,
            key=key,
            n_toys=n_toys,
            poi=poi,
            value=poi_value,
            ensemble=ensemble,
            settings=given.settings,
            run=watched,
        )
    keep(out, result.to_json_dict(), result.columns, "save_toys_figures", result)
    print_result(as_json, result.to_json_dict, result.table)
    leave(result.n_failed < result.n)


def _show_toy(
    given: Input,
    poi: str | None,
    value: float | None,
    only: int,
    key: Any,
    ensemble: infer.Ensemble | None,
    run: infer.Run,
    as_json: bool,
) -> None:
    with working(f"fitting toy {only}"):
        campaign, best = prepare(
            given.likelihood,
            given.data,
            key=key,
            n_toys=only + 1,
            poi=poi,
            values=[value],
            ensemble=ensemble,
            settings=given.settings,
            run=run,
        )
        _, result = reproduce(campaign, best, given.settings, only)
    print_result(as_json, result.to_json_dict, result.table)
    leave(result.certificate.trustworthy)


@click.command()
@takes_likelihood
@POI
@N_TOYS
@click.option("--cl", "levels", metavar="CL[,CL]", default="0.6827", show_default=True, help="Confidence levels.")
@click.option("--poi-values", metavar="X[,X]", help="Truths of the parameter of interest; the best fit by default.")
@click.option(
    "--method",
    "methods",
    metavar="NAME[,NAME]",
    default="profile",
    show_default=True,
    help=f"Interval methods: {', '.join(METHODS)}.",
)
@click.option("--mc-scale", metavar="X[,X]", help="New templates in every toy, from X times the simulated events.")
@click.option("--n-belt", type=click.IntRange(10), default=1000, show_default=True, help="Toys of a critical value.")
@JSON
@OUT
@draws_toys
def coverage(
    given: Input,
    *,
    poi: str | None,
    n_toys: int,
    levels: str,
    poi_values: str | None,
    methods: str,
    mc_scale: str | None,
    n_belt: int,
    key: Any,
    ensembles: list[infer.Ensemble] | None,
    run: infer.Run,
    as_json: bool,
    out: Path | None,
) -> None:
    """Measure how often intervals contain the truth, on toys of the model itself."""
    asked: dict[str, Any] = {
        "key": key,
        "n_toys": n_toys,
        "poi": poi,
        "values": None if poi_values is None else numbers("--poi-values", poi_values),
        "methods": [name.strip() for name in methods.split(",")],
        "cl": numbers("--cl", levels),
        "ensemble": ensembles,
        "settings": given.settings,
    }
    result: infer.Coverage | FiniteMC
    with progress("fitting toys", run) as watched:
        if mc_scale is None:
            figures = "save_coverage_figures"
            result = infer.coverage(given.likelihood, given.data, n_belt=n_belt, run=watched, **asked)
        else:
            figures = "save_finite_mc_figures"
            scales = numbers("--mc-scale", mc_scale)
            result = finite_mc(given.likelihood, given.data, scales=scales, run=watched, **asked)
    columns = result.columns
    keep(out, result.to_json_dict(), columns, figures, result)
    print_result(as_json, result.to_json_dict, result.table)
    leave(result.n_failed == 0 or result.n_failed < 0.01 * len(columns["index"]))


@click.command()
@takes_likelihood
@POI
@click.option("--cl", type=float, default=infer.inference.profiles.ONE_SIGMA, help="Confidence level.")
@click.option("--statistic", type=click.Choice(STATISTICS[:3]), default="t_mu", show_default=True)
@click.option("--points", "grid", metavar="LOW:HIGH:N", help="Hypotheses of the first round.")
@click.option("--n", "n_toys", type=click.IntRange(1), default=500, show_default=True, help="Toys at a time.")
@click.option("--rounds", type=click.IntRange(0), default=4, show_default=True, help="Rounds of further toys.")
@JSON
@OUT
@draws_toys
def neyman(
    given: Input,
    *,
    grid: str | None,
    ensembles: list[infer.Ensemble] | None,
    run: infer.Run,
    as_json: bool,
    out: Path | None,
    **choices: Any,
) -> None:
    """Interval by Neyman's construction with toys: that of Feldman and Cousins by default."""
    values = None if grid is None else points(grid)
    with progress("fitting toys", run) as watched:
        result = infer.neyman(
            given.likelihood,
            given.data,
            values=values,
            ensemble=single(ensembles),
            settings=given.settings,
            run=watched,
            **choices,
        )
    keep(out, result.to_json_dict(), None, "save_neyman_figures", result)
    print_result(as_json, result.to_json_dict, result.table)
    leave(result.fit.certificate.trustworthy)


@click.command()
@takes_likelihood
@POI
@N_TOYS
@click.option("--statistic", type=click.Choice(STATISTICS), default="q_0", show_default=True)
@click.option("--value", type=float, default=0.0, show_default=True, help="Hypothesis that is tested.")
@click.option("--poi-value", type=float, help="Where toys are drawn; at the hypothesis by default.")
@JSON
@OUT
@draws_toys
def pvalue(
    given: Input,
    *,
    poi_value: float | None,
    ensembles: list[infer.Ensemble] | None,
    run: infer.Run,
    as_json: bool,
    out: Path | None,
    **choices: Any,
) -> None:
    """The p-value of a hypothesis, by toys."""
    with progress("fitting toys", run) as watched:
        result = infer.p_value(
            given.likelihood,
            given.data,
            truth=poi_value,
            ensemble=single(ensembles),
            settings=given.settings,
            run=watched,
            **choices,
        )
    write(out, result.to_json_dict())
    print_result(as_json, result.to_json_dict, result.__str__)
