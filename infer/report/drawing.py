"""The figures of a report for papers, drawn while the inference still goes on.

Half of the time of a report is matplotlib's.  An `Artist` is another process that draws what is ready: it is started as
a new program, never forked, since JAX has threads, and ends with its parent.  Without one, `draw` does the same here.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any

import numpy as np

from infer.errors import ComputeError
from infer.plots import (
    budget_figure,
    correlation_matrix_figure,
    density_figure,
    measurements_figure,
    profile_figure,
    ranking_figure,
    rates_figure,
    sample_colours,
    stacks_of,
)
from infer.plots.style import file_names, save_figure
from infer.report.record import Report

TOP = 30
"""Most parameters in the ranking."""

_PROGRAM = "import sys; sys.path[:] = {path!r}; from infer.report.drawing import main; main()"

Named = Iterator[tuple[str, Any]]


def draw(folder: Path, part: Mapping[str, Any], formats: Sequence[str]) -> list[Path]:
    """Store the figures of some of the fields of a `Report`.

    Args:
        folder: Where to; made if it is not there.
        part: Fields by name; which figures there are depends on which fields are given.
        formats: File formats that matplotlib knows, by suffix.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, figure in _figures(part):
        written += save_figure(figure, folder, name, formats)
    return written


def parts_of(report: Report) -> list[dict[str, Any]]:
    """What there is to draw of a whole report; nothing of a fit that is not to be trusted."""
    if not report.measurement.certificate.trustworthy:
        return []
    names = (
        ("measurement", "measured", "combinations"),
        ("scan", "intervals"),
        ("yields", "spectra"),
        ("impacts",),
    )
    return [{name: getattr(report, name) for name in part} for part in names]


def _figures(part: Mapping[str, Any]) -> Named:
    """File name and figure, one after the other, so that one figure at a time is in memory."""
    if measurement := part.get("measurement"):
        if part.get("measured"):
            yield "measurements", measurements_figure(measurement, part["measured"], combinations=part["combinations"])
        yield "budget", budget_figure(measurement)
    if part.get("scan") is not None:
        yield "profile", profile_figure(part["scan"], intervals=part["intervals"])
    if part.get("yields") is not None or part.get("spectra"):
        yield from _channels(part)
    if impacts := part.get("impacts"):
        yield "impacts", ranking_figure(impacts, top=TOP)
        yield "correlations", correlation_matrix_figure(impacts.fit)


def _channels(part: Mapping[str, Any]) -> Named:
    spectra = [s for s in part["spectra"] if np.all(np.isfinite([s.total, s.total_uncertainty]))]
    for name, spectrum in zip(file_names(s.name or "fit" for s in spectra), spectra, strict=True):
        yield f"density_{name}", density_figure(spectrum)
    if part["yields"] is None:
        return
    smooth = {s.name for s in spectra}
    stacks = [stack for stack in stacks_of(part["yields"]) if stack.prefit.name not in smooth]
    colours = sample_colours(part["yields"])
    for name, stack in zip(file_names(stack.title for stack in stacks), stacks, strict=True):
        yield f"yields_{name}", rates_figure(stack, colours)


class Artist:
    """A process that draws the parts of a report as they come; a context, at whose end all is drawn.

    Args:
        folder: Where figures go.
        formats: File formats that matplotlib knows, by suffix.
    """

    def __init__(self, folder: Path, formats: Sequence[str]) -> None:
        self._complaints = tempfile.TemporaryFile()  # not a pipe, which could fill up  # noqa: SIM115  # lives on
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
        )
        self.files: list[Path] = []
        self._tell((str(folder), tuple(formats)))

    def __enter__(self) -> Artist:
        return self

    def __call__(self, **part: Any) -> None:
        """Hand over some of the fields of a `Report`."""
        self._tell(part)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        out, _ = self._process.communicate()
        with self._complaints as complaints:
            complaints.seek(0)
            last = (complaints.read().decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        if kind is None and self._process.returncode:
            raise ComputeError(f"the figures could not be drawn: {last}; --no-figures leaves them out.")
        if kind is None:
            self.files = [Path(name) for name in json.loads(out)]

    def _tell(self, message: Any) -> None:
        """Send; a process that died meanwhile is noticed at the end."""
        if self._process.stdin is None or self._process.poll() is not None:
            return
        try:
            self._process.stdin.write(pickle.dumps(message))
            self._process.stdin.flush()
        except OSError:
            return


def main() -> None:
    """Draw what comes through standard input until it ends, then say which files there are."""
    sink = sys.stdout
    sys.stdout = sys.stderr  # what a library prints is no answer
    folder, formats = pickle.load(sys.stdin.buffer)  # from the process that started this one
    parts: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
    threading.Thread(target=_listen, args=(parts,), daemon=True).start()
    written: list[Path] = []
    while (part := parts.get()) is not None:
        written += draw(Path(folder), part, formats)
    sink.write(json.dumps([str(path) for path in written]))


def _listen(parts: SimpleQueue[dict[str, Any] | None]) -> None:
    """Take every order as it comes, so that nobody has to wait until the last one is drawn."""
    try:
        while True:
            parts.put(pickle.load(sys.stdin.buffer))
    except EOFError:
        parts.put(None)
