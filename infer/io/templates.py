"""One histogram as numbers: what follows the UHI protocol, a histogram in a ROOT file, or plain numbers.

The plottable protocol of the Unified Histogram Interface (UHI: ``axes``, ``values()``, ``variances()``, ``kind``) is
spoken by hist, boost-histogram and uproot.  Its contents leave out the flow bins.  Two-dimensional histograms are
flattened with the last axis fastest (C order): bin (i, j) becomes i n_y + j.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from infer.documents import LIMIT, described, fail
from infer.errors import InputError

FloatArray = npt.NDArray[np.float64]
Edges: TypeAlias = tuple[tuple[Any, ...], ...]

_FIELDS = frozenset({"values", "variances", "edges"})


@dataclass(frozen=True, eq=False)
class Template:
    """The contents of one histogram.

    Attributes:
        values: Contents with shape (B,), flow bins left out.
        variances: Their variances with shape (B,); None where the histogram keeps none.
        edges: Bins of each axis, as pairs of edges or as labels; None for plain numbers.
        remarks: What a reader should know, in clauses.
    """

    values: FloatArray
    variances: FloatArray | None = None
    edges: Edges | None = None
    remarks: tuple[str, ...] = ()


def template(given: object, place: str) -> Template:
    """Read one histogram.

    Args:
        given: A histogram that follows the UHI protocol; ``"file.root:folder/name"``; a pair (values, variances) as a
            tuple; a mapping with ``values`` and, if there are any, ``variances`` and ``edges`` (of one axis, n + 1
            numbers); or values alone, as a list or an array.
        place: What the histogram is, for messages.

    Raises:
        WorkspaceError: It is none of these, a content is not finite, or a variance is negative.
        InputError: A ROOT file cannot be read, or uproot is not installed.
    """
    if isinstance(given, str | Path):
        return _of_histogram(_from_root(str(given), place), place)
    if hasattr(given, "axes") and hasattr(given, "values"):
        return _of_histogram(given, place)
    if isinstance(given, Mapping):
        return _of_mapping(given, place)
    if isinstance(given, tuple) and len(given) == 2 and all(np.ndim(part) > 0 for part in given):
        return _of_mapping({"values": given[0], "variances": given[1]}, place)
    return Template(_numbers(given, place, "the contents"))


def _of_mapping(given: Mapping[Any, Any], place: str) -> Template:
    unknown = [key for key in given if key not in _FIELDS]
    if unknown or "values" not in given:
        problem = f"a histogram of plain numbers has the keys {sorted(map(str, given))}"
        raise fail(place, problem, "give 'values' and, if there are any, 'variances' and 'edges'")
    values = _numbers(given["values"], place, "values")
    edges = None
    if given.get("edges") is not None:
        numbers = _numbers(given["edges"], place, "edges")
        if values.ndim != 1 or len(numbers) != len(values) + 1 or np.any(np.diff(numbers) <= 0.0):
            problem = f"{len(numbers)} edges for {values.size} bins"
            raise fail(place, problem, "give one edge more than bins, in ascending order, for a histogram of one axis")
        edges = (tuple(zip(numbers[:-1].tolist(), numbers[1:].tolist(), strict=True)),)
    return Template(values, _variances(given.get("variances"), values, place), edges)


def _of_histogram(given: Any, place: str) -> Template:
    kind = getattr(getattr(given, "kind", "COUNT"), "value", getattr(given, "kind", "COUNT"))
    if kind != "COUNT":
        raise fail(place, f"the histogram holds means (kind {kind!r}), not counts", "give a histogram of counts")
    inner = np.asarray(given.values(), dtype=float)
    values = _numbers(inner, place, "the contents")
    remarks = [*_flow(given, inner, place)]
    if inner.ndim > 1:
        remarks.append(f"{place}: {inner.ndim} axes flattened to {inner.size} bins, the last axis fastest")
    variances = _variances(given.variances(), values, place)
    if variances is not None and np.array_equal(variances, values) and np.any(values != np.round(values)):
        remarks.append(
            f"{place}: the variances are the contents, which are no integers: "
            "a scaled histogram that keeps no sums of squared weights?"
        )
    edges = tuple(tuple(_bin(one) for one in axis) for axis in given.axes)
    return Template(values, variances, edges, tuple(remarks))


def _bin(one: Any) -> Any:
    """A pair of edges as numbers, or a label."""
    return one if isinstance(one, str) or np.ndim(one) == 0 else tuple(float(edge) for edge in one)


def _flow(given: Any, inner: FloatArray, place: str) -> Iterable[str]:
    """A remark where the flow bins hold something; silent on histograms that show none."""
    if "flow" not in inspect.signature(given.values).parameters:
        return
    outside = float(np.sum(np.asarray(given.values(flow=True), dtype=float)) - np.sum(inner))
    if abs(outside) > 1e-9 * max(1.0, float(np.sum(np.abs(inner)))):
        yield f"{place}: {outside:.5g} events in underflow and overflow are left out"


def _numbers(given: object, place: str, field: str) -> FloatArray:
    """Finite numbers with shape (B,), B at least 1."""
    wanted = "give a histogram, 'file.root:name', or a list of numbers"
    if not isinstance(given, Sequence | np.ndarray) or isinstance(given, str):
        raise fail(place, f"{field}: {described(given)} is no histogram", wanted)
    try:
        numbers = np.array(given, dtype=float).ravel()
    except (TypeError, ValueError):
        raise fail(place, f"{field} are no table of numbers", wanted) from None
    if numbers.size == 0:
        raise fail(place, f"{field} are empty", wanted)
    wrong = np.flatnonzero(~(np.abs(numbers) <= LIMIT))  # NaN fails the comparison
    if wrong.size:
        remedy = f"give finite numbers of at most {LIMIT:.0e}"
        raise fail(place, f"{field}: bin {wrong[0]} holds {numbers[wrong[0]]:g}", remedy)
    return numbers


def _variances(given: object, values: FloatArray, place: str) -> FloatArray | None:
    if given is None:
        return None
    variances = _numbers(given, place, "the variances")
    if variances.shape != values.shape:
        raise fail(place, f"{variances.size} variances for {values.size} bins", "give one variance per bin")
    if variances.min() < 0.0:
        at = int(variances.argmin())
        raise fail(place, f"the variance of bin {at} is {variances[at]:g}", "give variances of at least 0")
    return variances


def _from_root(text: str, place: str) -> Any:
    """The histogram that ``file.root:folder/name`` names."""
    file, colon, name = text.rpartition(":")
    if not colon or not file or not name:
        raise fail(place, f"{text!r} names no histogram", "write it as 'file.root:folder/name'")
    try:
        import uproot
    except ImportError:
        raise InputError("ROOT files need uproot: pip install 'infer-hep[root]'.") from None
    try:
        with uproot.open(file) as opened:
            known = opened.keys(cycle=False)
            found = opened[name] if name.partition(";")[0] in known else None
    except (OSError, ValueError) as problem:
        reason = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
        raise InputError(f"{place}: {file} cannot be read as a ROOT file ({reason}); give another file.") from None
    if found is None:
        raise fail(place, f"{file} holds no {name!r}", f"it has {', '.join(known[:8]) or 'nothing'}")
    if not hasattr(found, "axes") or not hasattr(found, "values"):
        raise fail(place, f"{name!r} in {file} is a {type(found).__name__}", "give a TH1 or TH2")
    return found
