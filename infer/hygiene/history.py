"""What was done to templates, recorded beside the workspace that came out of it.

pyhf's schema has no place for remarks, so that the record is a file of its own, ``NEW.history.json`` beside
``NEW.json``, and names the workspace by its digest.  A workspace that is transformed again brings its record along, so
that nothing is smoothed twice unnoticed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from infer.documents import array, fail, mapping, sequence, text
from infer.io.pyhf_json import digest
from infer.io.strict_json import load_document

FORMAT = "infer-history"

Document: TypeAlias = dict[str, Any]

_TOP = frozenset({"format", "digest", "steps"})
_STEP = frozenset({"transformation", "channel", "sample", "modifier", "settings", "before", "after", "largest"})


@dataclass(frozen=True)
class Step:
    """One change of one modifier.

    Attributes:
        transformation: Its name, such as ``smooth 353qh-twice``.
        channel: Channel.
        sample: Sample.
        modifier: Modifier.
        settings: Its settings by name.
        before: Relative change of the sample's sum, (down, up).
        after: The same after the change; None where the modifier is gone.
        largest: Largest change of a bin, relative to its nominal content.
    """

    transformation: str
    channel: str
    sample: str
    modifier: str
    settings: Mapping[str, Any]
    before: tuple[float, float]
    after: tuple[float, float] | None
    largest: float

    @property
    def what(self) -> tuple[str, str, str, str]:
        """Transformation and place, which do not come twice."""
        return self.transformation, self.channel, self.sample, self.modifier

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return {**asdict(self), "before": list(self.before), "after": None if self.after is None else list(self.after)}


@dataclass(frozen=True, eq=False)
class Transformed:
    """A workspace with other templates, and what was done.

    Attributes:
        document: The new workspace.
        steps: What was done now.
        history: What had been done to the workspace that was given.
        skipped: How many modifiers were left alone, by reason.
        predicted: Shift of the best fit in units of its uncertainty, and uncertainty after over before, to first
            order; None where nothing was predicted.
    """

    document: Document
    steps: tuple[Step, ...]
    history: tuple[Step, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    predicted: tuple[float, float] | None = None

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object, without the workspace."""
        return {
            "digest": digest(self.document),
            "counts": self.counts,
            "skipped": dict(self.skipped),
            "steps": [step.to_json_dict() for step in self.steps],
            "history": [step.to_json_dict() for step in self.history],
        }

    @property
    def counts(self) -> dict[str, int]:
        """How many modifiers were changed, by transformation."""
        return dict(Counter(step.transformation for step in self.steps))

    def table(self, top: int = 8) -> str:
        """The changes as plain text, the largest first."""
        lines = [f"{name}: {_n(n)}" for name, n in self.counts.items()] or ["Nothing was changed."]
        lines += [f"left alone: {_n(n)} ({reason})" for reason, n in self.skipped.items()]
        ranked = sorted(self.steps, key=lambda step: -step.largest)
        for step in ranked[:top]:
            after = "gone" if step.after is None else f"norm {_pair(step.after)}"
            place = f"{step.modifier} on {step.sample} in {step.channel}"
            lines.append(f"  {place}: norm {_pair(step.before)} -> {after}, bins by up to {100 * step.largest:.3g} %")
        rest = len(ranked) - top
        return "\n".join([*lines, *([f"  ... and {rest} with smaller changes"] if rest > 0 else [])])

    def record(self) -> Document:
        """The record that belongs beside the workspace."""
        steps = [step.to_json_dict() for step in (*self.history, *self.steps)]
        return {"format": FORMAT, "digest": digest(self.document), "steps": steps}


def _n(count: int) -> str:
    return "1 modifier" if count == 1 else f"{count} modifiers"


def _pair(norms: tuple[float, float]) -> str:
    return " / ".join(f"{100 * round(norm, 9) + 0.0:+.3g} %" for norm in norms)


def history_path(path: Path) -> Path:
    """Where the record of a workspace lies."""
    return path.with_suffix(".history.json")


def read_history(path: Path, document: Mapping[str, object]) -> tuple[Step, ...]:
    """What was done to the workspace in a file, as its record says; nothing where it has none.

    Args:
        path: File of the workspace.
        document: Its content.

    Raises:
        WorkspaceError: The record breaks its format, or is about another workspace.
    """
    beside = history_path(path)
    if not beside.exists():
        return ()
    source = str(beside)
    top = mapping(load_document(beside), source, "the record", _TOP)
    if top["format"] != FORMAT:
        raise fail(source, f"the format is {top['format']!r}", f"expected {FORMAT!r}: move the file away")
    if top["digest"] != digest(document):
        raise fail(source, f"it is about another workspace than {path}", "restore the one or move the other away")
    steps = sequence(top["steps"], source, "steps", empty=True)
    return tuple(_step(entry, source, f"steps[{i}]") for i, entry in enumerate(steps))


def _step(value: object, source: str, place: str) -> Step:
    entry = mapping(value, source, place, _STEP)
    names = {key: text(entry[key], source, f"{place}.{key}") for key in ("channel", "sample", "modifier")}
    settings = entry["settings"]
    largest = array([entry["largest"]], source, f"{place}.largest")
    return Step(
        text(entry["transformation"], source, f"{place}.transformation"),
        **names,
        settings=settings if isinstance(settings, dict) else {},
        before=_norms(entry["before"], source, f"{place}.before"),
        after=None if entry["after"] is None else _norms(entry["after"], source, f"{place}.after"),
        largest=float(largest[0]),
    )


def _norms(value: object, source: str, place: str) -> tuple[float, float]:
    down, up = array(value, source, place, length=2, of="down and up").tolist()
    return down, up


def check_new(steps: Sequence[Step], history: Sequence[Step], *, source: str) -> None:
    """Refuse to do again what has been done.

    Raises:
        WorkspaceError: A step is in the history.
    """
    done = {step.what for step in history}
    again = [step for step in steps if step.what in done]
    if again:
        first = again[0]
        problem = f"{first.transformation} was done before to {len(again)} of its modifiers, first {first.modifier!r}"
        place = f"{source}: channel {first.channel!r}, sample {first.sample!r}"
        raise fail(
            place, problem, "start from the original, choose other modifiers, or ask for it again (again, --again)"
        )
