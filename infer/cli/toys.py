"""What the commands that draw toys share: options, progress, and the files that they write."""

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
from infer.cli.common import Command, Input, counting, number, pair, working, write
from infer.compute import executor_for
from infer.errors import ParameterError
from infer.inference.ensembles import AUX, NUISANCE
from infer.io.tables import write_parquet

_DRAWING = (
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
    click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Toy i depends on it and on i."),
    click.option("--workers", type=click.IntRange(1), help="So many processes of this machine."),
    click.option("--cluster", metavar="ADDRESS|FILE", help="A Dask scheduler (tcp://...), or a batch system (YAML)."),
    click.option("--resume", metavar="DIR", type=click.Path(path_type=Path), help="Go on with what is there."),
    click.option("--chunk", type=click.IntRange(1), help="Toys of a chunk: bounds the memory of a worker."),
)
N_TOYS = click.option("--n", "n_toys", type=click.IntRange(1), default=1000, show_default=True, help="Toys.")


def runs_toys(command: Command) -> Command:
    """Give a command the random key of toys, and the options of running them somewhere."""

    @functools.wraps(command)
    def wrapped(
        given: Input,
        *,
        seed: int,
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
        command(given, key=jax.random.key(seed), run=run, out=folder, **rest)

    for decorate in reversed(_RUNNING):
        wrapped = decorate(wrapped)
    return wrapped


def draws_toys(command: Command) -> Command:
    """Give a command the options of drawing toys and of running them somewhere."""

    @functools.wraps(command)
    def wrapped(given: Input, *, nuisance: str | None, aux: str, truth: Sequence[str], **rest: Any) -> None:
        command(given, ensembles=_ensembles(nuisance, aux, truth), **rest)

    running = runs_toys(wrapped)
    for decorate in reversed(_DRAWING):
        running = decorate(running)
    return running


def _ensembles(nuisance: str | None, aux: str, truth: Sequence[str]) -> list[infer.Ensemble] | None:
    """One ensemble for every combination of the nuisance parameters' truths; None where nothing was said."""
    if nuisance is None and aux == "fluctuated" and not truth:
        return None
    named = [pair("--truth", text, numbers) for text in truth]
    names = [name for name, _ in named]
    kind = nuisance or "best-fit"
    return [
        infer.Ensemble(kind, aux, dict(zip(names, values, strict=True)))
        for values in itertools.product(*(values for _, values in named))
    ]


def single(ensembles: list[infer.Ensemble] | None) -> infer.Ensemble | None:
    """The one ensemble of a command that takes no more."""
    if ensembles is not None and len(ensembles) > 1:
        raise ParameterError("--truth takes several values in `infer coverage` only; give one for each name here.")
    return None if ensembles is None else ensembles[0]


def numbers(option: str, text: str) -> list[float]:
    """Numbers parted by commas."""
    return [number(option, part) for part in text.split(",")]


@contextmanager
def progress(what: str, run: infer.Run) -> Iterator[infer.Run]:
    """The run with a progress bar."""
    with counting(what) as moved:
        yield replace(run, progress=moved)


def keep(
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
        write_parquet(out / "toys.parquet", plain, metadata={"infer": json.dumps({"poi": record.get("poi")})})
    plots = importlib.import_module("infer.plots")  # brings matplotlib
    save: Callable[[Path, Any], Any] = getattr(plots, figures)
    with working("drawing figures"):
        save(out, result)
