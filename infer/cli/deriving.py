"""Commands that compute something from a fit: derived, yields."""

from __future__ import annotations

from pathlib import Path

import click

import infer
from infer.cli.common import JSON, OUT, Input, leave, print_result, takes_likelihood, working, write
from infer.expressions import Expression
from infer.inference.profiles import ONE_SIGMA


@click.command()
@takes_likelihood
@click.option("--expression", metavar="TEXT", required=True, help="Such as 'mu_a / mu_b'; gamma[0] stands in quotes.")
@click.option("--name", metavar="NAME", help="What to call it; the expression itself by default.")
@click.option("--cl", type=float, default=ONE_SIGMA, help="Confidence level; one standard deviation by default.")
@JSON
@OUT
def derived(given: Input, *, expression: str, name: str | None, cl: float, as_json: bool, out: Path | None) -> None:
    """Interval of a function of the parameters, such as a ratio, by profile likelihood."""
    function = Expression(expression)
    for used in function.names:
        given.likelihood.parameters.position(used)
    with working("fitting"):
        result = infer.derived(
            given.likelihood,
            given.data,
            function=function,
            name=name or expression,
            cl=cl,
            settings=given.settings,
        )
    write(out, result.to_json_dict())
    print_result(as_json, result.to_json_dict, result.table)
    leave(result.certificate.trustworthy)
