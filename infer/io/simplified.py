"""The format ``infer-simplified``: counts with a skewed, correlated background.

::

    {
      "format": "infer-simplified",
      "version": 1,
      "poi": {"name": "mu", "init": 1.0, "bounds": [0.0, 10.0]},
      "channels": [
        {"name": "SR", "observed": [12, 7], "signal": [1.0, 3.0], "a": [9.0, 4.0], "b": [1.0, 0.8], "c": [0.1, 0.0]}
      ],
      "correlation": [[1.0, 0.3], [0.3, 1.0]]
    }

``a``, ``b``, ``c`` and ``correlation`` are those of `infer.numerics.skewed`; the rows of the correlation are the bins
of all channels, one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from infer.data import Data
from infer.documents import array, described, distinct, fail, mapping, number, sequence, text
from infer.errors import InputError
from infer.likelihoods.simplified import Region, SkewedCounts
from infer.numerics.covariance import correlation_matrix
from infer.numerics.skewed import SkewedYields
from infer.parameters import Parameter

FloatArray = npt.NDArray[np.float64]
Document: TypeAlias = dict[str, Any]

FORMAT = "infer-simplified"

_TOP = frozenset({"format", "version", "poi", "channels", "correlation"})
_COLUMNS = ("observed", "signal", "a", "b", "c")


def write_simplified(
    poi: Parameter, regions: Sequence[Region], *, observed: FloatArray, signal: FloatArray, background: SkewedYields
) -> Document:
    """The document of a simplified likelihood."""
    columns = (observed, signal, background.a, background.b, background.c)
    channels, start = [], 0
    for region in regions:
        bins = slice(start, start + region.n_bins)
        numbers = {name: column[bins].tolist() for name, column in zip(_COLUMNS, columns, strict=True)}
        channels.append({"name": region.name, **numbers})
        start += region.n_bins
    low, high = poi.bounds
    return {
        "format": FORMAT,
        "version": 1,
        "poi": {"name": poi.name, "init": poi.init, "bounds": [low, high]},
        "channels": channels,
        "correlation": background.rho.tolist(),
    }


def parse_simplified(document: object, *, source: str = FORMAT) -> tuple[SkewedCounts, Data]:
    """The likelihood and the data of a document.

    Raises:
        WorkspaceError: The document breaks the format; one line that names the place and the remedy.
    """
    top = mapping(document, source, "the document", _TOP)
    if top["version"] != 1:
        raise fail(source, f"version is {described(top['version'])}, expected 1", "this is the only version")
    regions, columns = [], []
    for index, raw in enumerate(sequence(top["channels"], source, "channels")):
        region, numbers = _region(raw, source, index)
        regions.append(region)
        columns.append(numbers)
    distinct([region.name for region in regions], source, "channel")
    joined = [np.concatenate([numbers[k] for numbers in columns]) for k in range(len(_COLUMNS))]
    observed, signal, a, b, c = joined
    rho = _correlation(top["correlation"], observed.size, source)
    likelihood = SkewedCounts(
        _poi(top["poi"], source), regions, signal=signal, background=SkewedYields(a, b, c, rho, 0.0)
    )
    starts = np.cumsum([region.n_bins for region in regions])[:-1]
    by_channel = dict(zip((region.name for region in regions), np.split(observed, starts), strict=True))
    return likelihood, likelihood.data(by_channel)


def _region(raw: object, source: str, index: int) -> tuple[Region, list[FloatArray]]:
    field = f"channels[{index}]"
    entry = mapping(raw, source, field, frozenset({"name", *_COLUMNS}))
    name = text(entry["name"], source, f"{field}.name")
    place = f"{source}: channel {name!r}"
    observed = array(entry["observed"], place, "observed")
    size, of = len(observed), "the channel's bins"
    numbers = [observed, *(array(entry[key], place, key, length=size, of=of) for key in _COLUMNS[1:])]
    if observed.min() < 0.0:
        raise fail(place, f"observed[{int(observed.argmin())}] is negative", "give counts of at least 0")
    return Region(name, size), numbers


def _poi(raw: object, source: str) -> Parameter:
    entry = mapping(raw, source, "poi", frozenset({"name", "init", "bounds"}))
    name = text(entry["name"], source, "poi.name")
    low, high = array(entry["bounds"], source, "poi.bounds", length=2, of="lower, upper").tolist()
    try:
        return Parameter(name, number(entry["init"], source, "poi.init"), (low, high))
    except InputError as error:
        raise fail(source, f"poi: {error}".rstrip("."), "set init and bounds that agree") from None


def _correlation(raw: object, size: int, source: str) -> FloatArray:
    rows = [array(row, source, f"correlation[{i}]") for i, row in enumerate(sequence(raw, source, "correlation"))]
    if any(len(row) != size for row in rows) or len(rows) != size:
        raise fail(source, f"correlation is not {size} by {size}", "give a row and a column to each bin")
    try:
        return correlation_matrix(np.asarray(rows), size, "the bins")
    except InputError as error:
        raise fail(source, str(error).rstrip("."), "give the correlation of the normal numbers") from None
