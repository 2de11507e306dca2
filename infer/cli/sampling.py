"""Commands that repeat the experiment on paper: toys, coverage, neyman, pvalue."""

from __future__ import annotations

import functools
import importlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import jax
import numpy as np
import numpy.typing as npt

import infer
from infer.cli.common import (
    JSON,
    OUT,
    POI,
    Command,
    Input,
    counting,
    leave,
    number,
    pair,
    points,
    print_result,
    takes_likelihood,
    working,
    write,
)
from infer.compute import executor_for
from infer.errors import ParameterError
from infer.inference.campaigns import prepare
from infer.inference.ensembles import AUX, NUISANCE
from infer.inference.finite_mc import FiniteMC, finite_mc
from infer.inference.statistics import STATISTICS
from infer.inference.toy_intervals import METHODS
from infer.inference.toys import reproduce
from infer.io.tables import write_parquet

_DRAWING = (
    click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Toy i depends on it and on i."),
    click.option("--nuisance", type=click.Choice(NUISANCE), default=None, help="Where nuisance parameters are."),
    click.option("--aux", type=click.Choice(AUX), default="fluctuated", show_default=True, help="Auxiliary data."),
    click.option(
        "--truth",
        metavar="NAME=VALUE[,VALUE]",
        multiple=True,
        help="True value of a nuisance parameter, or several; repeatable.",
    ),
)
_RUNNING = (
    click.option("--workers", type=click.IntRange(1), help="So many processes of this machine."),
    click.option("--cluster", metavar="ADDRESS|FILE", help="A Dask scheduler (tcp://...), or a batch system (YAML)."),
    click.option("--resume", metavar="DIR", type=click.Path(path_type=Path), help="Go on with what is there."),
    click.option("--chunk", type=click.IntRange(1), help="Toys of a chunk: bounds the memory of a worker."),
)
_N = click.option("--n", "n_toys", type=click.IntRange(1), default=1000, show_default=True, help="Toys.")


def _draws_toys(command: Command) -> Command:
    """Give a command the options of drawing toys and of running them somewhere."""

    @functools.wraps(command)
    def wrapped(
        given: Input,
        *,
        seed: int,
        nuisance: str | None,
        aux: str,
        truth: Sequence[str],
        workers: int | None,
        cluster: str | None,
        resume: Path | None,
        chunk: int | None,
        out: Path | None,
        **rest: Any,
    ) -> None:
        if resume is not None and out is not None and resume != out:
            raise ParameterError(f"--resume {resume} goes on in its own folder; leave out --out {out}.")
        folder = resume or out
        run = infer.Run(executor_for(workers, cluster), folder, resume is not None, None, chunk)
        ensembles = _ensembles(nuisance, aux, truth)
        command(given, key=jax.random.key(seed), ensembles=ensembles, run=run, out=folder, **rest)

    for decorate in reversed((*_DRAWING, *_RUNNING)):
        wrapped = decorate(wrapped)
    return wrapped


def _ensembles(nuisance: str | None, aux: str, truth: Sequence[str]) -> list[infer.Ensemble] | None:
    """One ensemble for every combination of the nuisance parameters' truths; None where nothing was said."""
    if nuisance is None and aux == "fluctuated" and not truth:
        return None
    named = [pair("--truth", text, _numbers) for text in truth]
    names = [name for name, _ in named]
    kind = nuisance or "best-fit"
    return [
        infer.Ensemble(kind, aux, dict(zip(names, values, strict=True)))
        for values in itertools.product(*(values for _, values in named))
    ]


@click.command()
@takes_likelihood
@POI
@_N
@click.option("--poi-value", type=float, help="True value of the parameter of interest; the best fit by default.")
@click.option("--only", metavar="NUMBER", type=click.IntRange(0), help="Fit this toy alone, and show all of the fit.")
@JSON
@OUT
@_draws_toys
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
    ensemble = _single(ensembles)
    if only is not None:
        _show_toy(given, poi, poi_value, only, key, ensemble, run, as_json)
        return
    with _progress("fitting toys", run) as watched:
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
    _keep(out, result.to_json_dict(), result.columns, "save_toys_figures", result)
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
@_N
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
@_draws_toys
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
        "values": None if poi_values is None else _numbers("--poi-values", poi_values),
        "methods": [name.strip() for name in methods.split(",")],
        "cl": _numbers("--cl", levels),
        "ensemble": ensembles,
        "settings": given.settings,
    }
    result: infer.Coverage | FiniteMC
    with _progress("fitting toys", run) as watched:
        if mc_scale is None:
            figures = "save_coverage_figures"
            result = infer.coverage(given.likelihood, given.data, n_belt=n_belt, run=watched, **asked)
        else:
            figures = "save_finite_mc_figures"
            scales = _numbers("--mc-scale", mc_scale)
            result = finite_mc(given.likelihood, given.data, scales=scales, run=watched, **asked)
    columns = result.columns
    _keep(out, result.to_json_dict(), columns, figures, result)
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
@_draws_toys
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
    with _progress("fitting toys", run) as watched:
        result = infer.neyman(
            given.likelihood,
            given.data,
            values=values,
            ensemble=_single(ensembles),
            settings=given.settings,
            run=watched,
            **choices,
        )
    _keep(out, result.to_json_dict(), None, "save_neyman_figures", result)
    print_result(as_json, result.to_json_dict, result.table)
    leave(result.fit.certificate.trustworthy)


@click.command()
@takes_likelihood
@POI
@_N
@click.option("--statistic", type=click.Choice(STATISTICS), default="q_0", show_default=True)
@click.option("--value", type=float, default=0.0, show_default=True, help="Hypothesis that is tested.")
@click.option("--poi-value", type=float, help="Where toys are drawn; at the hypothesis by default.")
@JSON
@OUT
@_draws_toys
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
    with _progress("fitting toys", run) as watched:
        result = infer.p_value(
            given.likelihood,
            given.data,
            truth=poi_value,
            ensemble=_single(ensembles),
            settings=given.settings,
            run=watched,
            **choices,
        )
    write(out, result.to_json_dict())
    print_result(as_json, result.to_json_dict, result.__str__)


def _single(ensembles: list[infer.Ensemble] | None) -> infer.Ensemble | None:
    if ensembles is not None and len(ensembles) > 1:
        raise ParameterError("--truth takes several values in `infer coverage` only; give one for each name here.")
    return None if ensembles is None else ensembles[0]


def _numbers(option: str, text: str) -> list[float]:
    return [number(option, part) for part in text.split(",")]


@contextmanager
def _progress(what: str, run: infer.Run) -> Iterator[infer.Run]:
    with counting(what) as moved:
        yield replace(run, progress=moved)


def _keep(
    out: Path | None,
    record: dict[str, Any],
    columns: Mapping[str, npt.NDArray[Any]] | None,
    figures: str,
    result: Any,
) -> None:
    """Summary, one row a toy, and figures."""
    write(out, record)
    if out is None:
        return
    if columns is not None:
        plain = {name: np.asarray(values) for name, values in columns.items()}
        write_parquet(out / "toys.parquet", plain, metadata={"infer": json.dumps({"poi": record["poi"]})})
    plots = importlib.import_module("infer.plots")  # brings matplotlib
    save: Callable[[Path, Any], Any] = getattr(plots, figures)
    with working("drawing figures"):
        save(out, result)
