"""The command that profiles two parameters: contour."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

import click

import infer
from infer.cli.common import (
    JSON,
    OUT,
    Input,
    leave,
    number,
    print_result,
    takes_likelihood,
    working,
    write,
)
from infer.errors import ParameterError
from infer.inference.profiles import ONE_SIGMA


@click.command()
@takes_likelihood
@click.option("--parameters", "both", metavar="A,B", required=True, help="The two parameters, x and y.")
@click.option(
    "--points", metavar="N", type=click.IntRange(2), default=50, show_default=True, help="Grid points a side."
)
@click.option("--range", "ranges", metavar="NAME=LOW:HIGH", multiple=True, help="Ends of the grid; repeatable.")
@click.option("--cl", metavar="CL", type=float, multiple=True, help="Confidence level, 0.6827 and 0.95; repeatable.")
@JSON
@OUT
def contour(
    given: Input,
    *,
    both: str,
    points: int,
    ranges: Sequence[str],
    cl: Sequence[float],
    as_json: bool,
    out: Path | None,
) -> None:
    """Contours of two parameters by profile likelihood, on a grid."""
    names = _two(both, tuple(given.likelihood.parameters))
    with working("fitting every point of the grid"):
        result = infer.contour(
            given.likelihood,
            given.data,
            parameters=names,
            points=(points, points),
            ranges=dict(map(_range, ranges)),
            cl=tuple(cl) or (ONE_SIGMA, 0.95),
            settings=given.settings,
        )
    write(out, result.to_json_dict())
    if out is not None and result.certificate.trustworthy:
        with working("drawing figures"):
            plots = importlib.import_module("infer.plots")  # matplotlib only where figures are drawn
            plots.save_contour_figures(out, result)
    print_result(as_json, result.to_json_dict, result.table)
    leave(result.certificate.trustworthy and result.n_failed == 0)


def _two(text: str, known: Sequence[str]) -> tuple[str, str]:
    """``A,B``; a name may hold a comma, where the likelihood has it."""
    parts = text.split(",")
    splits = [(",".join(parts[:i]), ",".join(parts[i:])) for i in range(1, len(parts))]
    if not splits:
        raise ParameterError(f"--parameters must look like A,B with two names, got {text!r}.")
    return next((split for split in splits if split[0] in known and split[1] in known), splits[0])


def _range(text: str) -> tuple[str, tuple[float, float]]:
    name, equals, ends = text.rpartition("=")
    low, colon, high = ends.partition(":")
    if not (name and equals and colon):
        raise ParameterError(f"--range must look like NAME=LOW:HIGH, got {text!r}.")
    return name, (number("--range", low), number("--range", high))
