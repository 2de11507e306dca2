"""Commands that change templates, record it, and measure what it does to the result: prune, smooth, symmetrise."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from infer.cli.common import JSON, OUT, POI, Input, leave, print_result, takes_likelihood, working, write
from infer.cli.documents import write_document
from infer.documents import fail
from infer.errors import ParameterError
from infer.hygiene.effects import Effect, Tolerance, measure_effect, prune_by_impact
from infer.hygiene.history import Document, Step, Transformed, history_path, read_history
from infer.hygiene.places import Targets
from infer.hygiene.pruning import REFERENCES, Smallness
from infer.hygiene.pruning import prune as prune_templates
from infer.hygiene.transforming import SMOOTHINGS
from infer.hygiene.transforming import smooth as smooth_templates
from infer.hygiene.transforming import symmetrise as symmetrise_templates
from infer.io.conversion import source_format
from infer.io.pyhf_json import read_document
from infer.likelihoods.histfactory.model import HistFactory
from infer.numerics.smoothing import SYMMETRISATIONS

Command = Callable[..., None]

_TARGETS = (
    click.option("--channel", "channels", metavar="NAME", multiple=True, help="Only in this channel; repeatable."),
    click.option("--sample", "samples", metavar="NAME", multiple=True, help="Only on this sample; repeatable."),
    click.option("--modifier", "modifiers", metavar="NAME", multiple=True, help="Only this systematic; repeatable."),
)
_RESULTS = (
    click.option("--to", metavar="FILE", type=click.Path(path_type=Path), help="Write the new workspace there."),
    click.option("--again", is_flag=True, help="Do again what the record of the workspace says was done."),
    click.option("--no-fit", is_flag=True, help="Do not measure what it does to the result."),
    POI,
    JSON,
    OUT,
)


@dataclass(frozen=True)
class _Work:
    """A workspace to be changed, and what is wanted of the change."""

    given: Input
    document: Document
    history: tuple[Step, ...]
    targets: Targets
    to: Path | None
    again: bool
    no_fit: bool
    poi: str | None
    as_json: bool
    out: Path | None

    @property
    def source(self) -> str:
        """What messages call the workspace."""
        return str(self.given.path)

    @property
    def common(self) -> dict[str, Any]:
        """Arguments that all transformations take."""
        return {"targets": self.targets, "history": self.history, "again": self.again, "source": self.source}


def _changes_templates(command: Command) -> Command:
    """Give a command a workspace with the options of choosing systematics and of writing the result."""

    @functools.wraps(command)
    def wrapped(
        given: Input,
        *,
        channels: Sequence[str],
        samples: Sequence[str],
        modifiers: Sequence[str],
        to: Path | None,
        again: bool,
        no_fit: bool,
        poi: str | None,
        as_json: bool,
        out: Path | None,
        **rest: Any,
    ) -> None:
        document = _document(given, to)
        history = () if given.path is None else read_history(given.path, document)
        targets = Targets(channels, samples, modifiers)
        command(_Work(given, document, history, targets, to, again, no_fit, poi, as_json, out), **rest)

    for decorate in reversed((*_TARGETS, *_RESULTS)):
        wrapped = decorate(wrapped)
    return takes_likelihood(wrapped)


def _document(given: Input, to: Path | None) -> Document:
    path = given.path
    if path is not None and isinstance(given.likelihood, HistFactory) and source_format(path) != "pyhf":
        raise fail(str(path), "this is no pyhf workspace", "make it one: infer convert")
    if path is None or not isinstance(given.likelihood, HistFactory):
        remedy = "templates are those of pyhf workspaces"
        raise fail(str(path), f"this is a {type(given.likelihood).__name__} likelihood without templates", remedy)
    if to is not None and to.resolve() == path.resolve():
        raise ParameterError(f"--to {to}: the original stays as it is; give another file.")
    return dict(read_document(path, given.patch))


@click.group()
def hygiene() -> None:
    """Prune, smooth or symmetrise systematics, with a record of it and of what it does to the result."""


@hygiene.command()
@_changes_templates
@click.option("--below-norm", metavar="X", type=float, help="Drop what changes the sum of its sample by less.")
@click.option("--below-shape", metavar="X", type=float, help="And histosys only if they change no bin by more.")
@click.option("--below-impact", metavar="Z", type=float, help="Or drop by impact, in units of the uncertainty.")
@click.option("--parts", is_flag=True, help="Drop norm and shape of a histosys by themselves.")
@click.option("--of", type=click.Choice(REFERENCES), default=REFERENCES[0], help="Effects relative to what.")
@click.option("--max-shift", type=float, default=Tolerance.shift, help="Of the best fit, in units of its uncertainty.")
@click.option("--max-width", type=float, default=Tolerance.width, help="Relative change of the uncertainty.")
def prune(
    work: _Work,
    *,
    below_norm: float | None,
    below_shape: float | None,
    below_impact: float | None,
    parts: bool,
    of: str,
    max_shift: float,
    max_width: float,
) -> None:
    """Drop systematics that do next to nothing; refused if the result moves nevertheless."""
    by_size = below_norm is not None or below_shape is not None
    if by_size == (below_impact is not None):
        raise ParameterError("give --below-norm and --below-shape, or --below-impact, and not both or none.")
    if below_impact is not None:
        _refuse_targets(work, parts, of)
        with working("ranking"):
            done = prune_by_impact(
                (work.given.likelihood, work.given.data),
                work.document,
                below=below_impact,
                poi=work.poi,
                settings=work.given.settings,
                history=work.history,
                source=work.source,
            )
    else:
        limits = Smallness(below_norm or 0.0, below_shape or 0.0, of, parts)
        done = prune_templates(work.document, limits, **work.common)
    _finish(work, done, Tolerance(max_shift, max_width))


def _refuse_targets(work: _Work, parts: bool, of: str) -> None:
    if work.targets != Targets((), (), ()) or parts or of != REFERENCES[0]:
        raise ParameterError(
            "--below-impact drops a systematic from everywhere: leave out the options that say where and how."
        )


@hygiene.command()
@_changes_templates
@click.option("--method", type=click.Choice(SMOOTHINGS), default=SMOOTHINGS[0], help="How.")
@click.option("--below", type=float, default=0.05, help="Merge bins until they are known so well; method merge.")
def smooth(work: _Work, *, method: str, below: float) -> None:
    """Smooth the shapes of histosys; the totals of both sides stay."""
    _finish(work, smooth_templates(work.document, method=method, below=below, **work.common), None)


@hygiene.command()
@_changes_templates
@click.option("--method", type=click.Choice(list(SYMMETRISATIONS)), default="average", help="How.")
def symmetrise(work: _Work, *, method: str) -> None:
    """Make the two sides of systematics mirror one another."""
    _finish(work, symmetrise_templates(work.document, method=method, **work.common), None)


def _finish(work: _Work, done: Transformed, tolerance: Tolerance | None) -> None:
    """Measure the effect, say it, and write the workspace unless a tolerance forbids it."""
    effect = None if work.no_fit else _effect(work, done, tolerance)
    refused = effect is not None and tolerance is not None and not effect.harmless
    written = work.to is not None and not refused
    record = {
        **done.to_json_dict(),
        "effect": None if effect is None else effect.to_json_dict(),
        "written": str(work.to) if written else None,
    }
    write(work.out, record)
    if work.to is not None and not refused:
        write_document(done.record(), history_path(work.to))
        write_document(done.document, work.to)
    print_result(work.as_json, lambda: record, lambda: _text(work, done, effect, written))
    leave(not refused and (effect is None or not (effect.before.objections or effect.after.objections)))


def _effect(work: _Work, done: Transformed, tolerance: Tolerance | None) -> Effect:
    with working("fitting before and after"):
        return measure_effect(
            (work.given.likelihood, work.given.data),
            done,
            measurement=work.given.measurement,
            poi=work.poi,
            settings=work.given.settings,
            tolerance=tolerance,
            source=work.source,
        )


def _text(work: _Work, done: Transformed, effect: Effect | None, written: bool) -> str:
    parts = [done.table(), *([] if effect is None else [effect.table()])]
    if written:
        parts.append(f"Written to {work.to}, with the record {history_path(work.to or Path())}.")
    elif work.to is not None:
        parts.append(f"Not written to {work.to}: prune less, or allow more (--max-shift, --max-width).")
    return "\n\n".join(parts)
