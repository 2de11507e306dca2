"""Histograms in ROOT files, by uproot: contents and statistical uncertainties, bin by bin, exactly.

Under- and overflow do not count. A histogram of two or three dimensions becomes one row, x fastest, as in ROOT.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from infer.documents import fail
from infer.errors import InputError


class Histogram(NamedTuple):
    """What a histogram holds.

    Args:
        values: Contents.
        uncertainties: Of the contents; None where the file has none, so that they are square roots of the contents.
    """

    values: tuple[float, ...]
    uncertainties: tuple[float, ...] | None = None


@dataclass
class RootFiles:
    """Open ROOT files; a context that closes them."""

    _open: dict[Path, Any] = field(default_factory=dict)

    def __enter__(self) -> RootFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()

    def histogram(self, path: Path, folder: str, name: str, place: str) -> Histogram:
        """The histogram ``folder/name`` of a file, or where there is none ``name`` at the top of the file.

        Raises:
            WorkspaceError: There is no such file or histogram, or it is something else.
        """
        file = self._file(path, place)
        full = "/".join(part for part in (*folder.split("/"), name) if part)
        found = full if full in file else name.strip("/")
        if found not in file:
            remedy = f"the file has {_listing(file)}; correct HistoPath or HistoName"
            raise fail(place, f"{path} has no histogram {full!r}", remedy)
        try:
            there = file[found]
            kind = str(getattr(there, "classname", type(there).__name__))
            histogram = _histogram(there) if kind.startswith("TH") else None
        except (AttributeError, ValueError, TypeError, NotImplementedError, OSError, KeyError) as error:
            kind, histogram = type(error).__name__, None
        if histogram is None:
            raise fail(place, f"{full!r} in {path} cannot be read as a histogram ({kind})", "give a TH1")
        return histogram

    def _file(self, path: Path, place: str) -> Any:
        if path not in self._open:
            uproot = import_uproot()
            try:
                self._open[path] = uproot.open(path)
            except FileNotFoundError:
                raise fail(place, f"there is no file {path}", "correct InputFile, or move the file there") from None
            except (OSError, ValueError, IndexError, NotImplementedError) as error:
                reason = type(error).__name__
                problem = f"{path} cannot be read as a ROOT file ({reason})"
                raise fail(place, problem, "get the file again, whole") from error
        return self._open[path]


def import_uproot() -> Any:
    """The module.

    Raises:
        InputError: It is not installed.
    """
    try:
        import uproot
    except ModuleNotFoundError:
        raise InputError("ROOT files need uproot: pip install 'infer-hep[root]'.") from None
    return uproot


def write_root(path: Path, histograms: Mapping[str, Histogram]) -> None:
    """Write a ROOT file with histograms (TH1D) by their full names in it.

    Raises:
        OSError: It cannot be written.
    """
    uproot = import_uproot()
    with uproot.recreate(path) as file:
        for name, histogram in histograms.items():
            file[name] = _th1(uproot, histogram.values, histogram.uncertainties)


def _histogram(found: Any) -> Histogram:
    values = np.asarray(found.values(), dtype=np.float64).ravel(order="F")
    if not found.weighted:
        return Histogram(tuple(values.tolist()))
    variances = np.asarray(found.variances(), dtype=np.float64).ravel(order="F")
    return Histogram(tuple(values.tolist()), tuple(np.sqrt(variances).tolist()))


def _th1(uproot: Any, values: Sequence[float], uncertainties: Sequence[float] | None) -> Any:
    """A TH1D; the square of an uncertainty and the root of that square are exact inverses in float64."""
    writing = uproot.writing.identify
    contents = np.array([0.0, *values, 0.0])
    squares = np.array([0.0, *uncertainties, 0.0]) ** 2 if uncertainties is not None else np.array([])
    axis = writing.to_TAxis("xaxis", "", len(values), 0.0, float(len(values)))
    sums = (float(contents.sum()), float(squares.sum()), 0.0, 0.0)
    return writing.to_TH1x(None, "", contents, float(len(values)), *sums, squares, axis)


def _listing(file: Any) -> str:
    names = file.keys(cycle=False)
    shown = ", ".join(names[:6]) or "nothing"
    return f"{shown}, ... ({len(names)} objects)" if len(names) > 6 else shown
