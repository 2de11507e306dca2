"""The command that samples a posterior."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import jax
import numpy as np

import infer
from infer.cli.common import (
    JSON,
    OUT,
    POI,
    Input,
    counting,
    leave,
    number,
    pair,
    print_result,
    takes_likelihood,
    working,
    write,
)
from infer.errors import ParameterError
from infer.io.tables import write_parquet

_PRIORS: dict[str, type[infer.FlatPrior] | type[infer.LogFlatPrior] | type[infer.NormalPrior]] = {
    "flat": infer.FlatPrior,
    "logflat": infer.LogFlatPrior,
    "normal": infer.NormalPrior,
}


@click.command()
@takes_likelihood
@POI
@click.option("--n", "n_samples", type=click.IntRange(1), default=1000, show_default=True, help="Samples of a chain.")
@click.option("--warmup", "n_warmup", type=click.IntRange(1), default=1000, show_default=True, help="Draws before.")
@click.option("--chains", "n_chains", type=click.IntRange(1), default=4, show_default=True, help="Chains.")
@click.option("--acceptance", type=float, default=0.9, show_default=True, help="That the step size aims at.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Equal seeds, equal samples.")
@click.option(
    "--prior",
    "priors",
    metavar="NAME=KIND:A:B",
    multiple=True,
    help="Prior of a free parameter: flat:LOW:HIGH, logflat:LOW:HIGH or normal:MEAN:SIGMA; repeatable.",
)
@JSON
@OUT
def posterior(
    given: Input, *, seed: int, priors: Sequence[str], as_json: bool, out: Path | None, **choices: Any
) -> None:
    """Posterior of all parameters by Hamiltonian Monte Carlo, with credible intervals."""
    declared = dict(pair("--prior", text, _prior) for text in priors)
    with counting("chains") as progress:
        result = infer.posterior(
            given.likelihood,
            given.data,
            key=jax.random.key(seed),
            priors=declared,
            settings=given.settings,
            progress=progress,
            **choices,
        )
    write(out, result.to_json_dict())
    if out is not None:
        with working("drawing figures"):
            _keep(out, given, result, seed)
    print_result(as_json, result.to_json_dict, result.table)
    leave(result.mixed)


def _prior(option: str, text: str) -> infer.Prior:
    """``KIND:A:B``."""
    kind, *numbers = text.split(":")
    if kind not in _PRIORS or len(numbers) != 2:
        raise ParameterError(
            f"{option} needs flat:LOW:HIGH, logflat:LOW:HIGH or normal:MEAN:SIGMA after the name, got {text!r}."
        )
    first, second = (number(option, part) for part in numbers)
    return _PRIORS[kind](first, second)


def _keep(out: Path, given: Input, result: infer.Posterior, seed: int) -> None:
    """Samples, and figures with the profile likelihood beside the posterior."""
    n_chains, n_samples = result.diverging.shape
    columns = {".chain": np.repeat(np.arange(n_chains), n_samples), ".draw": np.tile(np.arange(n_samples), n_chains)}
    columns |= {name: np.ravel(samples) for name, samples in result.samples.items()}
    told = {"infer": json.dumps({"seed": seed, "n_warmup": result.n_warmup, "mixed": result.mixed})}
    write_parquet(out / "samples.parquet", columns, metadata=told)
    scan = None
    if result.mixed and result.fit.certificate.trustworthy:
        scan = infer.scan(given.likelihood, given.data, poi=result.poi, fitted=result.fit, settings=given.settings)
    plots = importlib.import_module("infer.plots")  # brings matplotlib
    plots.save_posterior_figures(out, result, scan=scan)
