"""The histograms of a CMS Combine datacard: which line ``shapes`` is meant, and what its ROOT file holds.

Of the lines that fit a process in a channel, the one that names the channel comes before one with ``*``, and among
these the one that names the process. ``$PROCESS``, ``$CHANNEL``, ``$SYSTEMATIC`` and ``$MASS`` are replaced.
Source: documentation of CMS Combine, "Binned shape analysis"; its ``ShapeTools.getShape``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from infer.documents import fail
from infer.errors import InputError
from infer.io.datacard_records import Card, ShapeRule
from infer.io.templates import Edges, FloatArray, template


@dataclass(frozen=True, eq=False)
class Shape:
    """A histogram.

    Attributes:
        values: Contents with shape (B,).
        variances: Their variances with shape (B,); the contents where the file keeps none.
    """

    values: FloatArray
    variances: FloatArray

    @property
    def integral(self) -> float:
        """Sum of the contents."""
        return float(np.sum(self.values))


@dataclass
class Shapes:
    """Histograms of a card by channel and process; use `opened_shapes`.

    Attributes:
        card: The card.
        folder: Folder that its files are relative to.
        mass: What ``$MASS`` stands for, None if nothing.
        remarks: What a reader should know of the histograms.
    """

    card: Card
    folder: Path
    mass: float | None = None
    remarks: list[str] = field(default_factory=list)
    _files: dict[Path, tuple[Any, dict[str, None]]] = field(default_factory=dict)
    _bins: dict[str, tuple[str, Edges | None]] = field(default_factory=dict)

    def counts_only(self, channel: str, process: str) -> bool:
        """Whether there is no histogram because the card has none or says FAKE."""
        if not self.card.rules:
            return True
        return self._rule(channel, process).file == "FAKE"

    def has(self, channel: str, process: str, shift: str) -> bool:
        """Whether there is a shifted histogram."""
        rule = self._rule(channel, process)
        if rule.file == "FAKE" or not rule.shifted:
            return False
        file, name = self._names(rule, channel, process, shift)
        return name in self._opened(file, rule)[1]

    def shape(self, channel: str, process: str, shift: str = "") -> Shape:
        """The histogram of a process in a channel, nominal or shifted (``JESUp``).

        Raises:
            WorkspaceError: It is not there, or is no histogram with the bins of the channel.
        """
        rule = self._rule(channel, process)
        place = f"{self.card.place(rule.line)}, channel {channel!r}, process {process!r}"
        if shift and not rule.shifted:
            problem = f"a shape uncertainty needs {shift!r}, but the line shapes names no shifted histograms"
            raise fail(place, problem, "add their pattern at its end, such as $PROCESS_$SYSTEMATIC")
        file, name = self._names(rule, channel, process, shift)
        opened, names = self._opened(file, rule)
        if name not in names:
            raise fail(place, f"{file} holds no {name!r}", f"it has {', '.join(list(names)[:8]) or 'nothing'}")
        read = opened[name]
        if not str(getattr(read, "classname", "")).startswith("TH1"):
            kind = getattr(read, "classname", type(read).__name__)
            raise fail(place, f"{name!r} in {file} is a {kind}", "give a one-dimensional histogram (TH1)")
        made = template(read, f"{place}: {name!r} in {file}")
        self._check_bins(channel, name, made.edges, place)
        self.remarks.extend(made.remarks)
        return Shape(made.values, made.values if made.variances is None else made.variances)

    def _check_bins(self, channel: str, name: str, edges: Edges | None, place: str) -> None:
        first, known = self._bins.setdefault(channel, (name, edges))
        if known != edges:
            problem = f"{name!r} has other bins than {first!r}, the first histogram of the channel"
            raise fail(place, problem, "all histograms of a channel need the same bins")

    def _rule(self, channel: str, process: str) -> ShapeRule:
        """The line that is meant, as Combine chooses it."""
        rules = {(rule.channel, rule.process): rule for rule in self.card.rules}
        named = channel if any(rule.channel == channel for rule in self.card.rules) else "*"
        for key in ((named, process), (named, "*"), ("*", process), ("*", "*")):
            if key in rules:
                return rules[key]
        problem = f"no line shapes is for process {process!r} in channel {channel!r}"
        raise fail(self.card.source, problem, f"add one, or 'shapes * {channel} FAKE' if the channel only counts")

    def _names(self, rule: ShapeRule, channel: str, process: str, shift: str) -> tuple[Path, str]:
        file, name = rule.file, rule.shifted if shift else rule.histogram
        if "$MASS" in file + name and self.mass is None:
            place = self.card.place(rule.line)
            raise fail(place, "the line shapes has $MASS, and no mass is given", "write the mass in its place")
        mass = "" if self.mass is None else f"{self.mass:g}"
        words = {"$PROCESS": process, "$CHANNEL": channel, "$SYSTEMATIC": shift, "$MASS": mass}
        for word, meaning in words.items():
            file, name = file.replace(word, meaning), name.replace(word, meaning)
        self._refuse(rule, file, name)
        return self.folder / file, name

    def _refuse(self, rule: ShapeRule, file: str, name: str) -> None:
        place = self.card.place(rule.line)
        if ":" in name:
            problem = f"{name!r} is an object of a RooFit workspace"
            raise fail(place, problem, "histograms (TH1) can be read, functions and RooDataHists cannot")
        if "$" in file + name:
            problem = f"a word with $ is left in {name!r} of {file!r}"
            raise fail(place, problem, "write what it stands for: $PROCESS, $CHANNEL, $SYSTEMATIC and $MASS are known")
        if not file.endswith(".root"):
            raise fail(place, f"{file!r} is no ROOT file", "give histograms in a ROOT file")

    def _opened(self, path: Path, rule: ShapeRule) -> tuple[Any, dict[str, None]]:
        """A file, and the names of what it holds, in order."""
        if path not in self._files:
            place = self.card.place(rule.line)
            try:
                import uproot
            except ImportError:
                raise InputError("ROOT files need uproot: pip install 'infer-hep[root]'.") from None
            if not path.is_file():
                raise fail(place, f"there is no file {path}", "files are relative to the folder of the card")
            try:
                file = uproot.open(path)
            except (OSError, ValueError, IndexError, NotImplementedError) as problem:
                reason = type(problem).__name__
                raise fail(place, f"{path} cannot be read as a ROOT file ({reason})", "get it again, whole") from None
            self._files[path] = (file, dict.fromkeys(file.keys(cycle=False)))
        return self._files[path]

    def close(self) -> None:
        """Close the files."""
        for file, _ in self._files.values():
            file.close()
        self._files.clear()


@contextmanager
def opened_shapes(card: Card, folder: Path, *, mass: float | None = None) -> Iterator[Shapes]:
    """The histograms of a card, whose files are closed at the end.

    Args:
        card: The card.
        folder: Folder that its files are relative to.
        mass: What ``$MASS`` stands for, None if nothing.
    """
    shapes = Shapes(card, folder, mass)
    try:
        yield shapes
    finally:
        shapes.close()
