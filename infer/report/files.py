"""What a report reads and writes: its folder, coverage tests made before, digests of the input."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infer.documents import described, fail, mapping, number, sequence, text
from infer.errors import InputError
from infer.io.strict_json import load_document
from infer.io.whole import put_whole
from infer.measurement import CoveragePoint, CoverageRecord
from infer.plots.style import FORMATS
from infer.report.drawing import draw, parts_of
from infer.report.page import render
from infer.report.record import Report

PAGE, FIGURES = "index.html", "figures"


def save_report(
    directory: str | Path,
    report: Report,
    *,
    formats: Sequence[str] = FORMATS,
    figures: Sequence[Path] | None = None,
) -> list[Path]:
    """Store the page, the records as ``result.json``, and the figures in a folder of their own.

    Args:
        directory: Where to; made if it is not there.
        report: What is stored.
        formats: Of the figures, file formats that matplotlib knows by suffix; none for no figures.
        figures: Those that an `Artist` has drawn already, instead of drawing them.

    Returns:
        The files, the page first.

    Raises:
        InputError: The folder cannot be written.
    """
    folder = usable(directory)
    record = json.dumps(report.to_json_dict(), allow_nan=False, ensure_ascii=False, indent=2)
    try:
        if figures is None:
            parts = parts_of(report) if formats else []
            figures = [path for part in parts for path in draw(folder / FIGURES, part, formats)]
        put_whole(folder / "result.json", record + "\n")
        put_whole(folder / PAGE, render(report))
    except OSError as problem:
        raise _unwritable(folder, problem) from None
    return [folder / PAGE, folder / "result.json", *figures]


def usable(directory: str | Path) -> Path:
    """A folder that is there, made if need be.

    Raises:
        InputError: It cannot be made.
    """
    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise _unwritable(folder, problem) from None
    return folder


def _unwritable(folder: Path, problem: OSError) -> InputError:
    return InputError(f"{folder}: cannot write there ({problem.strerror}); give a folder you may write to.")


def file_digests(*paths: Path) -> dict[str, str]:
    """SHA-256 of files, by their names without folders; nothing of where they lie.

    Raises:
        InputError: A file cannot be read.
    """
    found = {}
    for path in paths:
        try:
            found[path.name] = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        except OSError as problem:
            raise InputError(f"{path}: cannot be read ({problem.strerror}); check the path.") from None
    return found


_POINT = frozenset({"truth", "n", "n_failed", "covered", "coverage", "clopper_pearson"})


def read_coverage(path: str | Path) -> tuple[str | None, tuple[CoverageRecord, ...]]:
    """Coverage tests from what ``infer coverage`` or ``infer measure --coverage`` wrote.

    Args:
        path: ``result.json`` of such a run, or what ``--json`` printed.

    Returns:
        The parameter of interest, and a record for each method and confidence level.

    Raises:
        WorkspaceError: The file is no such record.
    """
    source, document = str(path), load_document(path)
    poi = document.get("poi")
    found = document.get("results")
    if found is None and isinstance(document.get("coverage"), Mapping):
        found = [document["coverage"]]
    if found is None:
        raise fail(
            source,
            "it has no coverage test",
            "give result.json of 'infer coverage --out', or of 'infer measure --coverage N --out'",
        )
    records = tuple(_record(entry, source) for entry in sequence(found, source, "results"))
    return (poi if isinstance(poi, str) else None), records


def _record(value: object, source: str) -> CoverageRecord:
    entry = mapping(value, source, "results", frozenset({"method", "cl", "points"}))
    points = tuple(_point(point, source) for point in sequence(entry["points"], source, "points"))
    return CoverageRecord(text(entry["method"], source, "method"), number(entry["cl"], source, "cl"), points)


def _point(value: object, source: str) -> CoveragePoint:
    if not isinstance(value, Mapping) or _POINT - value.keys():
        raise fail(source, f"points holds {described(value)}, expected a tested truth", "write the file again")
    found: dict[str, Any] = {key: number(value[key], source, key) for key in _POINT - {"clopper_pearson"}}
    low, high = (number(end, source, "clopper_pearson") for end in sequence(value["clopper_pearson"], source, "ends"))
    counts = {key: int(found[key]) for key in ("n", "n_failed", "covered")}
    if counts["n"] < 1 or not math.isfinite(found["truth"]):
        raise fail(source, "a tested truth has no toys", "write the file again")
    return CoveragePoint(found["truth"], **counts, coverage=found["coverage"], clopper_pearson=(low, high))
