"""Commands that look at one data set: fit, measure, scan."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import jax

import infer
from infer.cli.common import (
    JSON,
    OUT,
    POI,
    VERIFY,
    Input,
    leave,
    points,
    print_result,
    takes_likelihood,
    working,
    write,
)
from infer.data import Data
from infer.errors import ParameterError
from infer.inference.breakdown import DEFINITIONS
from infer.inference.profiles import ONE_SIGMA
from infer.inference.yields import counted
from infer.io.strict_json import load_document
from infer.likelihoods.gaussian import GaussianMeasurements
from infer.likelihoods.gaussian.summary import measured_values
from infer.likelihoods.parametric.spectrum import spectra

GROUP = click.option(
    "--group",
    metavar="GROUP=PATTERN",
    multiple=True,
    help="Systematics of a group: name or regular expression; repeatable.",
)
GROUPS = click.option(
    "--groups", metavar="FILE", type=click.Path(path_type=Path), help="JSON object from group to patterns."
)


@click.command()
@takes_likelihood
@POI
@VERIFY
@JSON
@OUT
def fit(given: Input, *, poi: str | None, verify: bool, as_json: bool, out: Path | None) -> None:
    """Fit: best values, uncertainties from the Hessian, and the certificate."""
    with working("fitting"):
        result = infer.fit(given.likelihood, given.data, poi=poi, settings=given.settings, verify=verify)
    write(out, result.to_json_dict())
    print_result(as_json, result.to_json_dict, result.table)
    leave(result.certificate.trustworthy)


@click.command()
@takes_likelihood
@POI
@click.option("--definition", type=click.Choice(DEFINITIONS), default=DEFINITIONS[0], help="Of the error budget.")
@GROUP
@GROUPS
@click.option("--method", type=click.Choice(["profile", "hessian"]), default="profile", help="Interval.")
@click.option("--cl", type=float, default=ONE_SIGMA, help="Confidence level; one standard deviation by default.")
@click.option("--n-toys", type=click.IntRange(2), help="Toys per source of a bootstrap; 1000 by default.")
@click.option("--coverage", "n_coverage", metavar="N", type=click.IntRange(1), help="Test the interval on N toys.")
@click.option("--seed", type=click.IntRange(0), help="Seed of a bootstrap or of the coverage test; 1 by default.")
@VERIFY
@JSON
@OUT
def measure(
    given: Input,
    *,
    group: Sequence[str],
    groups: Path | None,
    n_toys: int | None,
    n_coverage: int | None,
    seed: int | None,
    as_json: bool,
    out: Path | None,
    **choices: Any,
) -> None:
    """Measure: best fit, interval, ± stat ± syst, the error budget and the certificate."""
    named = named_groups(group, groups)
    toys = _toys(choices["definition"], n_toys, n_coverage, seed)
    with working("measuring"):
        result = infer.measure(
            given.likelihood,
            given.data,
            groups=named,
            settings=given.settings,
            **toys,
            **choices,
        )
    write(out, result.to_json_dict())
    if out is not None and result.certificate.trustworthy:
        with working("drawing figures"):
            _figures(out, given, result)
    print_result(as_json, result.to_json_dict, result.table)
    leave(result.certificate.trustworthy)


@click.command()
@takes_likelihood
@POI
@click.option(
    "--points", "grid", metavar="LOW:HIGH:N", help="Where to scan; within three standard deviations by default."
)
@JSON
@OUT
def scan(given: Input, *, poi: str | None, grid: str | None, as_json: bool, out: Path | None) -> None:
    """Scan the profile likelihood of one parameter."""
    values = None if grid is None else points(grid)
    with working("scanning"):
        result = infer.scan(given.likelihood, given.data, poi=poi, values=values, settings=given.settings)
    write(out, result.to_json_dict())
    print_result(as_json, result.to_json_dict, result.table)
    leave(result.fit.certificate.trustworthy and bool(result.converged.all()))


def named_groups(pairs: Sequence[str], file: Path | None) -> dict[str, list[str]] | None:
    """Groups from a file and from options, which add to them."""
    groups: dict[str, list[str]] = {}
    for group, patterns in (load_document(file) if file else {}).items():
        given = [patterns] if isinstance(patterns, str) else patterns
        if not isinstance(given, list) or not all(isinstance(p, str) for p in given):
            raise ParameterError(
                f"{file}: group {group!r} must be a string or a list of strings with names or "
                "regular expressions of parameters."
            )
        groups[group] = given
    for text in pairs:
        group, equals, pattern = text.partition("=")
        if not equals or not group or not pattern:
            raise ParameterError(f"--group must look like GROUP=PATTERN, got {text!r}.")
        groups.setdefault(group, []).append(pattern)
    return groups or None


def _toys(definition: str, n_toys: int | None, n_coverage: int | None, seed: int | None) -> dict[str, Any]:
    """Arguments of what draws toys; none where nothing does."""
    bootstrap = definition == "bootstrap"
    if n_toys is not None and not bootstrap:
        raise ParameterError(f"--n-toys belongs to --definition bootstrap, got {definition}.")
    if not bootstrap and n_coverage is None:
        if seed is not None:
            raise ParameterError("--seed belongs to --definition bootstrap or to --coverage N, got neither.")
        return {}
    drawn = {"key": jax.random.key(1 if seed is None else seed), "n_coverage": n_coverage}
    return drawn | ({"n_toys": n_toys or 1000} if bootstrap else {})


def _figures(out: Path, given: Input, result: infer.Measurement) -> None:
    """Budget, pulls, profile, and yields or measurements: what there is to see of a measurement."""
    likelihood, data, poi = given.likelihood, given.data, result.poi
    best = infer.fit(likelihood, data, poi=poi, settings=given.settings)
    ends = [infer.interval(likelihood, data, fitted=best, cl=cl, settings=given.settings) for cl in (ONE_SIGMA, 0.95)]
    plots = importlib.import_module("infer.plots")  # brings matplotlib: half a second that only who draws should wait
    plots.save_measurement_figures(
        out,
        measurement=result,
        scan=infer.scan(likelihood, data, fitted=best, settings=given.settings),
        intervals=ends,
        yields=infer.yields(likelihood, data, fitted=best) if counted(likelihood, data) else None,
        spectra=spectra(likelihood, data.main, values=best.values, covariance=best.covariance),
        measured=measured_values(likelihood, data) if isinstance(likelihood, GaussianMeasurements) else (),
        combinations=_partial_combinations(likelihood, data, poi),
    )


def _partial_combinations(likelihood: infer.Likelihood, data: Data, poi: str) -> dict[str, infer.Measurement]:
    """The measurement from each named part of published measurements."""
    if not isinstance(likelihood, GaussianMeasurements):
        return {}
    return {name: infer.measure(*likelihood.subset(data, name), poi=poi) for name in likelihood.combinations}
