"""The command that asks whether the best fit describes the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import infer
from infer.cli.common import JSON, OUT, Input, leave, print_result, takes_likelihood, working
from infer.cli.toys import keep, progress, runs_toys
from infer.errors import ParameterError
from infer.inference.goodness import ANDERSON_DARLING, KOLMOGOROV_SMIRNOV, SATURATED

_TESTS = {"saturated": SATURATED, "ks": KOLMOGOROV_SMIRNOV, "ad": ANDERSON_DARLING}


@click.command()
@takes_likelihood
@click.option(
    "--test",
    "tests",
    metavar="NAME[,NAME]",
    default="saturated",
    show_default=True,
    help=f"Tests: {', '.join(_TESTS)}; the latter two need toys.",
)
@click.option("--n", "n_toys", type=click.IntRange(1), help="Toys; without, asymptotic p-values alone.")
@JSON
@OUT
@runs_toys
def gof(
    given: Input,
    *,
    tests: str,
    n_toys: int | None,
    key: Any,
    run: infer.Run,
    as_json: bool,
    out: Path | None,
) -> None:
    """Test whether the best fit describes the data."""
    if n_toys is None and run.resume:
        raise ParameterError("--resume goes on with toys: say how many with --n.")
    asked: dict[str, Any] = {
        "statistics": [_statistic(name.strip()) for name in tests.split(",")],
        "settings": given.settings,
        "n_toys": n_toys,
        "key": None if n_toys is None else key,
    }
    if n_toys is None:
        with working("fitting"):
            result = infer.goodness(given.likelihood, given.data, **asked)
    else:
        with progress("fitting toys", run) as watched:
            result = infer.goodness(given.likelihood, given.data, run=watched, **asked)
    keep(out, result.to_json_dict(), result.columns, "save_goodness_figures", result)
    print_result(as_json, result.to_json_dict, result.table)
    leave(result.certificate.converged)


def _statistic(name: str) -> str:
    if name not in _TESTS:
        raise ParameterError(f"--test must be some of {', '.join(_TESTS)}, got {name!r}.")
    return _TESTS[name]
