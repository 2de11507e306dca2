"""The command line: parse, call, print.

Exit codes: 0 done; 1 the result is not trustworthy (not converged, not a minimum); 2 bad input, said
in one sentence on standard error.  With ``--json``, standard output holds one JSON object and
nothing else.
"""

from __future__ import annotations

import functools
import gc
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import jax
from rich.console import Console

import infer
from infer.data import Data
from infer.errors import InferError, InputError, ParameterError
from infer.inference.breakdown import DEFINITIONS
from infer.inference.profiles import ONE_SIGMA
from infer.inspection import inspect_likelihood
from infer.io.strict_json import load_document
from infer.likelihoods.gaussian import GaussianMeasurements
from infer.likelihoods.gaussian.summary import measured_values
from infer.likelihoods.histfactory.rates import rates_record
from infer.likelihoods.parametric.spectrum import spectra

Command = Callable[..., None]

_WORKSPACE = click.argument("workspace", type=click.Path(path_type=Path))
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
_OUT = click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Write results and figures there.")
_POI = click.option("--poi", metavar="NAME", help="Parameter of interest; the declared one by default.")
_VERIFY = click.option("--verify", is_flag=True, help="Repeat the fit with MIGRAD and compare.")
_READING = (
    click.option(
        "--measurement",
        metavar="NAME",
        help="Measurement of a pyhf workspace, or partial combination of published measurements.",
    ),
    click.option("--patch", metavar="FILE[:NAME]", help="A JSON patch, or one patch of a patchset."),
    click.option("--normsys-code", type=click.Choice(["code1", "code4"]), default="code4", help="Interpolation."),
    click.option(
        "--histosys-code", type=click.Choice(["code0", "code2", "code4p"]), default="code4p", help="Interpolation."
    ),
)
_FITTING = (
    click.option("--start", metavar="NAME=VALUE", multiple=True, help="Start value; repeatable."),
    click.option("--bounds", metavar="NAME=LOW:HIGH", multiple=True, help="Bounds; repeatable."),
    click.option("--fix", metavar="NAME=VALUE", multiple=True, help="Hold a parameter; repeatable."),
)


@dataclass(frozen=True)
class _Input:
    """What a command works on."""

    likelihood: infer.Likelihood
    data: Data
    settings: infer.Settings


def _takes_likelihood(command: Command) -> Command:
    """Give a command the argument WORKSPACE with the options of reading and fitting it."""

    @functools.wraps(command)
    def wrapped(
        workspace: Path,
        measurement: str | None,
        patch: str | None,
        normsys_code: Any,
        histosys_code: Any,
        start: Sequence[str],
        bounds: Sequence[str],
        fix: Sequence[str],
        **rest: Any,
    ) -> None:
        settings = infer.Settings(
            start=dict(_pair("--start", text, _number) for text in start),
            bounds=dict(_pair("--bounds", text, _range) for text in bounds),
            fixed=dict(_pair("--fix", text, _number) for text in fix),
        )
        codes = infer.Interpolation(normsys_code, histosys_code)
        with _working(f"reading {workspace}"):
            likelihood, data = infer.read_workspace(
                workspace, measurement=measurement, patch=patch, interpolation=codes
            )
        command(_Input(likelihood, data, settings), **rest)

    for decorate in reversed((_WORKSPACE, *_READING, *_FITTING)):
        wrapped = decorate(wrapped)
    return wrapped


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="infer-hep", prog_name="infer")
def app() -> None:
    """From a likelihood to x ± (stat) ± (syst), with the evidence that it can be trusted."""


@app.command()
@_takes_likelihood
@_JSON
def inspect(given: _Input, *, as_json: bool) -> None:
    """Say what a workspace contains: parameters, constraints, data and remarks."""
    report = inspect_likelihood(given.likelihood, given.data, given.settings)
    _print(as_json, report.to_json_dict, report.table)


@app.command()
@_takes_likelihood
@_POI
@_VERIFY
@_JSON
@_OUT
def fit(given: _Input, *, poi: str | None, verify: bool, as_json: bool, out: Path | None) -> None:
    """Fit: best values, uncertainties from the Hessian, and the certificate."""
    with _working("fitting"):
        result = infer.fit(given.likelihood, given.data, poi=poi, settings=given.settings, verify=verify)
    _write(out, result.to_json_dict())
    _print(as_json, result.to_json_dict, result.table)
    _leave(result.certificate.trustworthy)


@app.command()
@_takes_likelihood
@_POI
@click.option("--definition", type=click.Choice(DEFINITIONS), default=DEFINITIONS[0], help="Of the error budget.")
@click.option(
    "--group",
    metavar="GROUP=PATTERN",
    multiple=True,
    help="Systematics of a group: name or regular expression; repeatable.",
)
@click.option("--groups", metavar="FILE", type=click.Path(path_type=Path), help="JSON object from group to patterns.")
@click.option("--method", type=click.Choice(["profile", "hessian"]), default="profile", help="Interval.")
@click.option("--cl", type=float, default=ONE_SIGMA, help="Confidence level; one standard deviation by default.")
@click.option("--n-toys", type=click.IntRange(2), help="Toys per source of a bootstrap; 1000 by default.")
@click.option("--seed", type=click.IntRange(0), help="Seed of a bootstrap; 1 by default.")
@_VERIFY
@_JSON
@_OUT
def measure(
    given: _Input,
    *,
    group: Sequence[str],
    groups: Path | None,
    n_toys: int | None,
    seed: int | None,
    as_json: bool,
    out: Path | None,
    **choices: Any,
) -> None:
    """Measure: best fit, interval, ± stat ± syst, the error budget and the certificate."""
    named = _groups(group, groups)
    toys = _toys(choices["definition"], n_toys, seed)
    with _working("measuring"):
        result = infer.measure(
            given.likelihood,
            given.data,
            groups=named,
            settings=given.settings,
            **toys,
            **choices,
        )
    _write(out, result.to_json_dict())
    if out is not None and result.certificate.trustworthy:
        with _working("drawing figures"):
            _figures(out, given, result)
    _print(as_json, result.to_json_dict, result.table)
    _leave(result.certificate.trustworthy)


@app.command()
@_takes_likelihood
@_POI
@click.option("--points", metavar="LOW:HIGH:N", help="Where to scan; within three standard deviations by default.")
@_JSON
@_OUT
def scan(given: _Input, *, poi: str | None, points: str | None, as_json: bool, out: Path | None) -> None:
    """Scan the profile likelihood of one parameter."""
    values = None if points is None else _points(points)
    with _working("scanning"):
        result = infer.scan(given.likelihood, given.data, poi=poi, values=values, settings=given.settings)
    _write(out, result.to_json_dict())
    _print(as_json, result.to_json_dict, result.table)
    _leave(result.fit.certificate.trustworthy and bool(result.converged.all()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: run a command and turn what infer raises into an exit code and one sentence."""
    _use_compilation_cache()
    gc.freeze()  # what the imports made lives for good: a collection need not walk it again
    try:
        app(args=None if arguments is None else list(arguments), standalone_mode=False)
    except click.exceptions.Exit as leaving:
        raise SystemExit(leaving.exit_code) from None
    except click.ClickException as error:
        _complain(error.format_message(), 2)
    except click.Abort:
        _complain("interrupted", 1)
    except InputError as error:
        _complain(error, 2)
    except InferError as error:
        _complain(error, 1)


def _complain(message: object, code: int) -> None:
    sys.stderr.write(f"infer: {message}\n")
    raise SystemExit(code)


def _use_compilation_cache() -> None:
    """Keep compiled programs between runs, unless the user has chosen a place already."""
    if jax.config.values["jax_compilation_cache_dir"] is None:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(home / "infer" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _pair(option: str, text: str, read: Callable[[str, str], Any]) -> tuple[str, Any]:
    """``NAME=VALUE``; the name may hold an equals sign, the value may not."""
    name, equals, value = text.rpartition("=")
    if not equals or not name:
        raise ParameterError(f"{option} must look like NAME=VALUE, got {text!r}.")
    return name, read(option, value)


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ParameterError(f"{option} needs a number after the name, got {text!r}.") from None


def _range(option: str, text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    if not colon:
        raise ParameterError(f"{option} needs LOW:HIGH after the name, got {text!r}.")
    return _number(option, low or "-inf"), _number(option, high or "inf")


def _points(text: str) -> list[float]:
    parts = text.split(":")
    if len(parts) != 3 or not parts[2].isdigit() or int(parts[2]) < 2:
        raise ParameterError(f"--points must look like LOW:HIGH:N with N of at least 2, got {text!r}.")
    low, high, n = _number("--points", parts[0]), _number("--points", parts[1]), int(parts[2])
    return [low + (high - low) * i / (n - 1) for i in range(n)]


def _groups(pairs: Sequence[str], file: Path | None) -> dict[str, list[str]] | None:
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


def _toys(definition: str, n_toys: int | None, seed: int | None) -> dict[str, Any]:
    """Arguments of a bootstrap; none for the other definitions, which draw no toys."""
    if definition == "bootstrap":
        return {"key": jax.random.key(1 if seed is None else seed), "n_toys": n_toys or 1000}
    if n_toys is not None or seed is not None:
        raise ParameterError(f"--n-toys and --seed belong to --definition bootstrap, got {definition}.")
    return {}


@contextmanager
def _working(what: str) -> Iterator[None]:
    """A spinner on standard error while something takes its time, if somebody is watching."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(f"{what} (the first time, a model is compiled: seconds)"):
        yield


def _print(as_json: bool, record: Callable[[], dict[str, Any]], text: Callable[[], str]) -> None:
    if as_json:
        click.echo(json.dumps(record(), allow_nan=False, ensure_ascii=False))
    else:
        click.echo(text())


def _write(out: Path | None, record: dict[str, Any]) -> None:
    if out is None:
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(record, allow_nan=False, ensure_ascii=False, indent=2)
        (out / "result.json").write_text(text + "\n", encoding="utf-8")
    except OSError as problem:
        raise InputError(
            f"--out {out}: cannot write there ({problem.strerror}); give a folder you may write to."
        ) from None


def _figures(out: Path, given: _Input, result: infer.Measurement) -> None:
    """Budget, pulls, profile, and rates or measurements: what there is to see of a measurement."""
    likelihood, data, poi = given.likelihood, given.data, result.poi
    best = infer.fit(likelihood, data, poi=poi, settings=given.settings)
    ends = [infer.interval(likelihood, data, fitted=best, cl=cl, settings=given.settings) for cl in (ONE_SIGMA, 0.95)]
    plots = importlib.import_module("infer.plots")  # brings matplotlib: half a second that only who draws should wait
    plots.save_measurement_figures(
        out,
        measurement=result,
        scan=infer.scan(likelihood, data, fitted=best, settings=given.settings),
        intervals=ends,
        rates=rates_record(likelihood, data.main, values=best.values, covariance=best.covariance, poi=poi),
        spectra=spectra(likelihood, data.main, values=best.values, covariance=best.covariance),
        measured=measured_values(likelihood, data) if isinstance(likelihood, GaussianMeasurements) else (),
        combinations=_partial_combinations(likelihood, data, poi),
    )


def _partial_combinations(likelihood: infer.Likelihood, data: Data, poi: str) -> dict[str, infer.Measurement]:
    """The measurement from each named part of published measurements."""
    if not isinstance(likelihood, GaussianMeasurements):
        return {}
    return {name: infer.measure(*likelihood.subset(data, name), poi=poi) for name in likelihood.combinations}


def _leave(trustworthy: bool) -> None:
    if not trustworthy:
        raise SystemExit(1)
