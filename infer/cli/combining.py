"""The command that looks at a combination and at what goes into it: combine."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

import infer
from infer.cli.common import (
    FITTING,
    JSON,
    OUT,
    POI,
    READING,
    WORKSPACE,
    Command,
    fit_settings,
    interpolation,
    leave,
    points,
    print_result,
    working,
    write,
)
from infer.errors import ParameterError
from infer.inference.profiles import ONE_SIGMA

_CODES = READING[2:]  # measurements and patches are named in the document


def _reads_combination(command: Command) -> Command:
    for decorate in reversed((WORKSPACE, *_CODES, *FITTING)):
        command = decorate(command)
    return command


@click.command()
@_reads_combination
@POI
@click.option("--cl", type=float, default=ONE_SIGMA, help="Confidence level; one standard deviation by default.")
@click.option("--scan-rho", metavar="NAME", help="Measure as a function of this partial correlation.")
@click.option("--points", "grid", metavar="LOW:HIGH:N", help="Correlations of the scan; -1:1:9 by default.")
@JSON
@OUT
def combine(
    workspace: Path,
    *,
    normsys_code: Any,
    histosys_code: Any,
    start: Sequence[str],
    bounds: Sequence[str],
    fix: Sequence[str],
    scan_rho: str | None,
    grid: str | None,
    as_json: bool,
    out: Path | None,
    **choices: Any,
) -> None:
    """Measure a combination and each of its components, and say whether they agree."""
    if grid is not None and scan_rho is None:
        raise ParameterError("--points belongs to --scan-rho NAME, which is not given.")
    settings = fit_settings(start, bounds, fix)
    with working(f"reading {workspace}"):
        parts, scheme = infer.read_combination(workspace, interpolation=interpolation(normsys_code, histosys_code))
    if scan_rho is None:
        with working("measuring the combination and its components"):
            result = infer.compare(parts, scheme, settings=settings, **choices)
        _finish(result, "save_comparison_figures", result.trustworthy, as_json, out)
        return
    partial = scheme.partial_named(scan_rho)
    with working("scanning the correlation"):
        scanned = infer.correlation_scan(
            *infer.combine(parts, scheme),
            names=partial.parameters,
            rhos=points(grid or "-1:1:9"),
            settings=settings,
            **choices,
        )
    _finish(scanned, "save_correlation_figures", scanned.trustworthy, as_json, out)


def _finish(result: Any, figures: str, trustworthy: bool, as_json: bool, out: Path | None) -> None:
    write(out, result.to_json_dict())
    if out is not None and trustworthy:
        plots = importlib.import_module("infer.plots")  # brings matplotlib
        save: Callable[[Path, Any], Any] = getattr(plots, figures)
        with working("drawing figures"):
            save(out, result)
    print_result(as_json, result.to_json_dict, result.table)
    leave(trustworthy)
