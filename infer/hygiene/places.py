"""Systematics in a decoded workspace: which are meant, where they stand, and what is recorded of a change."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from infer.documents import fail, listed
from infer.hygiene.history import Document, Step, Transformed, check_new
from infer.io.workspaces import Names
from infer.likelihoods.histfactory.spec import parse_workspace

FloatArray = npt.NDArray[np.float64]
Norms: TypeAlias = tuple[float, float]

ROUNDING = 1e-12
"""Relative differences below this are none."""


@dataclass(frozen=True)
class Targets:
    """Which systematics are meant; an empty entry means all.

    Attributes:
        channels: Names of channels.
        samples: Names of samples.
        modifiers: Names of modifiers.
    """

    channels: Sequence[str] = ()
    samples: Sequence[str] = ()
    modifiers: Sequence[str] = ()

    def check(self, document: Mapping[str, Any], source: str) -> None:
        """Refuse names that the workspace does not have.

        Raises:
            WorkspaceError: There is one.
        """
        names = Names.of(dict(document))
        for kind in ("channels", "samples", "modifiers"):
            for name in getattr(self, kind):
                if name not in getattr(names, kind):
                    remedy = f"choose of {listed(getattr(names, kind)[:20])}"
                    raise fail(source, f"{name!r} is not among its {kind}", remedy)

    def has(self, channel: str, sample: str, modifier: str) -> bool:
        """Whether a modifier is meant."""
        given = (self.channels, channel), (self.samples, sample), (self.modifiers, modifier)
        return all(not wanted or name in wanted for wanted, name in given)


@dataclass(frozen=True, eq=False)
class Systematic:
    """A systematic in a document, which is changed there.

    Attributes:
        channel: Name of the channel.
        sample: The sample in the document.
        modifier: The modifier in the document.
        total: Contents of all samples of the channel.
    """

    channel: str
    sample: Document
    modifier: Document
    total: FloatArray

    @property
    def nominal(self) -> FloatArray:
        """Nominal contents."""
        return np.asarray(self.sample["data"], dtype=float)

    @property
    def sides(self) -> tuple[FloatArray, FloatArray]:
        """Contents, down and up."""
        data = self.modifier["data"]
        if self.modifier["type"] == "normsys":
            return data["lo"] * self.nominal, data["hi"] * self.nominal
        return np.asarray(data["lo_data"], dtype=float), np.asarray(data["hi_data"], dtype=float)

    @property
    def norms(self) -> Norms:
        """Relative change of the sum, down and up."""
        if self.modifier["type"] == "normsys":
            return self.modifier["data"]["lo"] - 1.0, self.modifier["data"]["hi"] - 1.0
        total = float(np.sum(self.nominal))
        down, up = (float(np.sum(side)) / total - 1.0 if total else 0.0 for side in self.sides)
        return down, up

    @property
    def statistical(self) -> FloatArray:
        """Statistical uncertainties by the sample's staterrors; zero where there are none."""
        parts = [np.abs(m["data"]) for m in self.sample["modifiers"] if m["type"] == "staterror"]
        return np.sqrt(np.sum(np.square(parts), axis=0)) if parts else np.zeros_like(self.nominal)

    def put(self, lo: FloatArray, hi: FloatArray) -> None:
        """Give a histosys other sides."""
        self.modifier["data"] = {"lo_data": lo.tolist(), "hi_data": hi.tolist()}

    def remove(self) -> None:
        """Take it off the sample."""
        modifiers = self.sample["modifiers"]
        modifiers[:] = [m for m in modifiers if m is not self.modifier]

    def step(
        self, transformation: str, settings: Mapping[str, Any], before: Norms, sides: tuple[FloatArray, FloatArray]
    ) -> Step:
        """The record of a change from what is given to what is there now."""
        return self._step(transformation, settings, before, self.norms, sides, self.sides)

    def dropped(self, transformation: str, settings: Mapping[str, Any]) -> Step:
        """The record of dropping it."""
        nominal = self.nominal
        return self._step(transformation, settings, self.norms, None, self.sides, (nominal, nominal))

    def _step(
        self,
        transformation: str,
        settings: Mapping[str, Any],
        before: Norms,
        after: Norms | None,
        old: tuple[FloatArray, FloatArray],
        new: tuple[FloatArray, FloatArray],
    ) -> Step:
        nominal = self.nominal
        safe = np.where(nominal != 0.0, np.abs(nominal), np.inf)
        largest = max(float(np.max(np.abs(b - a) / safe)) for a, b in zip(old, new, strict=True))
        names = self.channel, self.sample["name"], self.modifier["name"]
        return Step(transformation, *names, settings=dict(settings), before=before, after=after, largest=largest)


def places(document: Document, targets: Targets, kinds: Sequence[str]) -> Iterator[Systematic]:
    """Every systematic of some types that is meant; the document may lose them on the way."""
    for channel in document["channels"]:
        total = np.sum([sample["data"] for sample in channel["samples"]], axis=0)
        for sample in channel["samples"]:
            for modifier in list(sample["modifiers"]):
                if modifier["type"] in kinds and targets.has(channel["name"], sample["name"], modifier["name"]):
                    yield Systematic(channel["name"], sample, modifier, np.asarray(total, dtype=float))


def copied(document: Mapping[str, object], targets: Targets, source: str) -> Document:
    """A copy of a valid workspace that has what is meant."""
    parse_workspace(document, source=source)
    targets.check(document, source)
    return copy.deepcopy(dict(document))


def finished(
    result: Document,
    steps: Sequence[Step],
    skipped: Mapping[str, int],
    history: Sequence[Step],
    *,
    again: bool,
    source: str,
) -> Transformed:
    """The record of a transformation, whose result is valid and which was not done before."""
    if not again:
        check_new(steps, history, source=source)
    parse_workspace(result, source=f"{source}, transformed")
    return Transformed(result, tuple(steps), tuple(history), dict(skipped))
