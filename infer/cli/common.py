"""What the commands share: options, reading, progress, printing and writing."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import infer
from infer.cli.blinding import BLINDING, Blindfold, blinding
from infer.data import Data
from infer.errors import InputError, ParameterError
from infer.numerics.interpolation import AdditiveCode, MultiplicativeCode

Command = Callable[..., None]

WORKSPACE = click.argument("workspace", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
OUT = click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Write results and figures there.")
POI = click.option("--poi", metavar="NAME", help="Parameter of interest; the declared one by default.")
VERIFY = click.option("--verify", is_flag=True, help="Repeat the fit with MIGRAD and compare.")
READING = (
    click.option(
        "--measurement",
        metavar="NAME",
        help="Measurement of a pyhf workspace, analysis of HS3, partial combination, or mass of a datacard.",
    ),
    click.option("--patch", metavar="FILE[:NAME]", help="A JSON patch, or one patch of a patchset."),
    click.option("--normsys-code", type=click.Choice(get_args(MultiplicativeCode)), help="Interpolation; code4."),
    click.option("--histosys-code", type=click.Choice(get_args(AdditiveCode)), help="Interpolation; code4p."),
)
FITTING = (
    click.option("--start", metavar="NAME=VALUE", multiple=True, help="Start value; repeatable."),
    click.option("--bounds", metavar="NAME=LOW:HIGH", multiple=True, help="Bounds; repeatable."),
    click.option("--fix", metavar="NAME=VALUE", multiple=True, help="Hold a parameter; repeatable."),
)


@dataclass(frozen=True)
class Input:
    """What a command works on."""

    likelihood: infer.Likelihood
    data: Data
    settings: infer.Settings
    path: Path | None = None
    patch: str | None = None
    measurement: str | None = None


def takes_likelihood(command: Command) -> Command:
    """Give a command the argument WORKSPACE with the options of reading, fitting and blinding it."""

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
        blind_offset: str | None,
        blind_widths: Sequence[str],
        blind_data: bool,
        blind_values: Sequence[str],
        blind_channels: Sequence[str],
        **rest: Any,
    ) -> None:
        blindfold = Blindfold(blind_offset, blind_widths, blind_data, blind_values, blind_channels)
        settings = fit_settings(start, bounds, fix)
        codes = interpolation(normsys_code, histosys_code)
        with working(f"reading {workspace}"):
            likelihood, data = infer.read_workspace(
                workspace, measurement=measurement, patch=patch, interpolation=codes
            )
        likelihood, data = blindfold.put_on(likelihood, data, settings, rest.get("poi"))
        command(Input(likelihood, data, settings, workspace, patch, measurement), **rest)

    for decorate in reversed((WORKSPACE, *READING, *FITTING, *BLINDING)):
        wrapped = decorate(wrapped)
    return wrapped


def interpolation(normsys: Any, histosys: Any) -> infer.Interpolation | None:
    """What the options say; None where they say nothing, so that the format of the file decides."""
    if normsys is None and histosys is None:
        return None
    return infer.Interpolation(normsys or "code4", histosys or "code4p")


def fit_settings(start: Sequence[str], bounds: Sequence[str], fix: Sequence[str]) -> infer.Settings:
    """What the options of `FITTING` say."""
    return infer.Settings(
        start=dict(pair("--start", text, number) for text in start),
        bounds=dict(pair("--bounds", text, value_range) for text in bounds),
        fixed=dict(pair("--fix", text, number) for text in fix),
    )


def leave(trustworthy: bool) -> None:
    """Exit code 1 for a result that cannot be trusted."""
    if not trustworthy:
        raise SystemExit(1)


def pair(option: str, text: str, read: Callable[[str, str], Any]) -> tuple[str, Any]:
    """``NAME=VALUE``; the name may hold an equals sign, the value may not."""
    name, equals, value = text.rpartition("=")
    if not equals or not name:
        raise ParameterError(f"{option} must look like NAME=VALUE, got {text!r}.")
    return name, read(option, value)


def number(option: str, text: str) -> float:
    """A number in the text of an option."""
    try:
        return float(text)
    except ValueError:
        raise ParameterError(f"{option} needs a number after the name, got {text!r}.") from None


def value_range(option: str, text: str) -> tuple[float, float]:
    """``LOW:HIGH``; a side that is left out is infinite."""
    low, colon, high = text.partition(":")
    if not colon:
        raise ParameterError(f"{option} needs LOW:HIGH after the name, got {text!r}.")
    return number(option, low or "-inf"), number(option, high or "inf")


def points(text: str) -> list[float]:
    """``LOW:HIGH:N``: N equidistant values."""
    parts = text.split(":")
    if len(parts) != 3 or not parts[2].isdigit() or int(parts[2]) < 2:
        raise ParameterError(f"--points must look like LOW:HIGH:N with N of at least 2, got {text!r}.")
    low, high, n = number("--points", parts[0]), number("--points", parts[1]), int(parts[2])
    return [low + (high - low) * i / (n - 1) for i in range(n)]


@contextmanager
def working(what: str) -> Iterator[None]:
    """A spinner on standard error while something takes its time, if somebody is watching."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(f"{what} (the first time, a model is compiled: seconds)"):
        yield


def print_result(as_json: bool, record: Callable[[], dict[str, Any]], text: Callable[[], str]) -> None:
    """A result on standard output: one JSON object, or text; either says what is hidden."""
    if as_json:
        click.echo(json.dumps(marked(record()), allow_nan=False, ensure_ascii=False))
        return
    written, hidden = text(), blinding()
    note = "" if hidden is None or str(hidden) in written else f"\nNote: {hidden}"
    click.echo(f"{written}{note}")


def marked(record: dict[str, Any]) -> dict[str, Any]:
    """The record with what is hidden from its reader, if anything is."""
    hidden = blinding()
    return record if hidden is None else {**record, "blinded": hidden.to_json_dict()}


def write(out: Path | None, record: dict[str, Any]) -> None:
    """The record in ``result.json`` of a folder, if there is one."""
    if out is None:
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(marked(record), allow_nan=False, ensure_ascii=False, indent=2)
        (out / "result.json").write_text(text + "\n", encoding="utf-8")
    except OSError as problem:
        raise InputError(
            f"--out {out}: cannot write there ({problem.strerror}); give a folder you may write to."
        ) from None


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, if somebody is watching; yields what moves it: done, of how many."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total: None  # noqa: ARG005  # nobody watches
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
