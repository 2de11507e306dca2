"""The command line: parse, call, print.

Exit codes: 0 done; 1 the result is not trustworthy (not converged, not a minimum); 2 bad input, said
in one sentence on standard error.  With ``--json``, standard output holds one JSON object and
nothing else.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import jax

from infer.cli import (
    bayes,
    combining,
    contours,
    converting,
    deriving,
    documents,
    goodness,
    inspecting,
    measuring,
    publishing,
    ranking,
    reporting,
    sampling,
    simplifying,
    testing,
    tidying,
    yielding,
)
from infer.errors import InferError, InputError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="infer-hep", prog_name="infer")
def app() -> None:
    """From a likelihood to x ± (stat) ± (syst), with the evidence that it can be trusted."""


for command in (
    inspecting.inspect,
    measuring.fit,
    measuring.measure,
    measuring.scan,
    contours.contour,
    deriving.derived,
    ranking.impacts,
    combining.combine,
    testing.limit,
    testing.cls,
    testing.significance,
    testing.joint,
    sampling.toys,
    sampling.coverage,
    sampling.neyman,
    sampling.pvalue,
    goodness.gof,
    yielding.yields,
    reporting.report,
    bayes.posterior,
    simplifying.simplify,
    publishing.hepdata,
    converting.convert,
    converting.download,
    documents.workspace,
    documents.patchset,
    tidying.hygiene,
):
    app.add_command(command)


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
    """Keep compiled programs between runs, unless the user has chosen a place already; workers share them."""
    if jax.config.values["jax_compilation_cache_dir"] is None:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(home / "infer" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    for name in ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"):
        os.environ[name.upper()] = str(jax.config.values[name])
