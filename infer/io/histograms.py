"""A workspace from histograms in memory: channels, samples and modifiers in plain Python.

>>> channels = {
...     "SR": {
...         "data": [12, 7],
...         "samples": {
...             "signal": {"nominal": [1.0, 3.0], "modifiers": [{"name": "mu", "type": "normfactor"}]},
...             "top": {
...                 "nominal": ([9.0, 4.0], [0.3, 0.2]),  # contents and variances
...                 "modifiers": [
...                     {"name": "top_norm", "type": "normsys", "lo": 0.95, "hi": 1.05},
...                     {"name": "stat_SR", "type": "staterror"},
...                 ],
...             },
...         },
...     }
... }
>>> likelihood, data = from_histograms(channels, poi="mu")

Where numbers stand here there may be any histogram that `templates` reads.  The seven modifiers, with what they take
besides ``name`` and ``type``:

==================================  ===================================================================================
normfactor, shapefactor, lumi       nothing; lumi needs ``auxdata`` and ``sigmas`` in ``parameters``
normsys                             ``lo``, ``hi``: factors
histosys                            ``lo``, ``hi``: histograms with the binning of the nominal one
shapesys                            ``uncertainty``: absolute, per bin; or ``from_variances``: True
staterror                           nothing, the square roots of the nominal's variances; or ``uncertainty``
==================================  ===================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from infer.data import Data
from infer.documents import fail, listed, mapping, number, sequence, text
from infer.io.templates import Edges, FloatArray, Template, template
from infer.likelihoods.histfactory.model import HistFactory, Interpolation
from infer.likelihoods.histfactory.records import Notice
from infer.likelihoods.histfactory.spec import parse_workspace

Document: TypeAlias = dict[str, Any]

_CHANNEL = frozenset({"data", "samples"})
_SAMPLE = frozenset({"nominal"})
_MODIFIER = frozenset({"name", "type"})
_EXTRA = {
    "normfactor": frozenset[str](),
    "shapefactor": frozenset[str](),
    "lumi": frozenset[str](),
    "normsys": frozenset({"lo", "hi"}),
    "histosys": frozenset({"lo", "hi"}),
    "shapesys": frozenset({"uncertainty", "from_variances"}),
    "staterror": frozenset({"uncertainty"}),
}
_SOURCE = "histograms"


@dataclass(frozen=True)
class HistogramWorkspace:
    """A pyhf workspace made of histograms.

    Attributes:
        document: The workspace, which infer and pyhf read.
        remarks: What was left out or looks suspicious; the document has no place for them.
    """

    document: Document
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Binning:
    """Bins of a channel, and who brought them."""

    n_bins: int
    edges: Edges | None
    owner: str


def from_histograms(
    channels: Mapping[str, Any],
    *,
    poi: str | None,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
    measurement: str = "measurement",
    interpolation: Interpolation | None = None,
) -> tuple[HistFactory, Data]:
    """A likelihood and its data from histograms.

    Args:
        channels: By name; see the head of the module.
        poi: Parameter of interest; None declares none.
        parameters: Settings by name of a modifier, in pyhf's words: ``inits``, ``bounds``, ``auxdata``, ``sigmas``,
            ``fixed``; a number stands for a list of one.
        measurement: Name of the measurement.
        interpolation: Interpolation codes; None takes pyhf's defaults.

    Returns:
        The likelihood, and the data.

    Raises:
        WorkspaceError: A histogram or a declaration is impossible; the message names channel, sample and modifier.
    """
    made = workspace_from_histograms(channels, poi=poi, parameters=parameters, measurement=measurement)
    workspace = parse_workspace(made.document, source=_SOURCE)
    notices = tuple(Notice("histogram", remark) for remark in made.remarks)
    return HistFactory.of(replace(workspace, notices=(*workspace.notices, *notices)), interpolation=interpolation)


def workspace_from_histograms(
    channels: Mapping[str, Any],
    *,
    poi: str | None,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
    measurement: str = "measurement",
) -> HistogramWorkspace:
    """A pyhf workspace from histograms, checked; the arguments are those of `from_histograms`.

    Raises:
        WorkspaceError: As there.
    """
    given: object = channels
    if not isinstance(given, Mapping) or not given:
        raise fail(_SOURCE, "there are no channels", "give a mapping from names to 'data' and 'samples'")
    remarks: list[str] = []
    made, observations = [], []
    for name, content in channels.items():
        channel, observed = _channel(str(name), content, remarks)
        made.append(channel)
        observations.append({"name": str(name), "data": observed})
    settings = [_setting(name, given, made) for name, given in (parameters or {}).items()]
    config = {"poi": poi or "", "parameters": settings}
    document: Document = {
        "channels": made,
        "observations": observations,
        "measurements": [{"name": measurement, "config": config}],
        "version": "1.0.0",
    }
    parse_workspace(document, source=_SOURCE)
    return HistogramWorkspace(document, tuple(dict.fromkeys(remarks)))


def _channel(name: str, given: object, remarks: list[str]) -> tuple[Document, list[float]]:
    place = f"{_SOURCE}: channel {name!r}"
    content = mapping(given, place, "the channel", _CHANNEL)
    samples = mapping(content["samples"], place, "samples", frozenset(), _names(content["samples"]))
    if not samples:
        raise fail(place, "it has no samples", "give a mapping from names to 'nominal' and 'modifiers'")
    binning: _Binning | None = None
    made = []
    for sample, inner in samples.items():
        where = f"{place}, sample {sample!r}"
        entry = mapping(inner, where, "the sample", _SAMPLE, frozenset({"modifiers"}))
        nominal = template(entry["nominal"], where)
        if binning is None:
            binning = _Binning(len(nominal.values), nominal.edges, f"sample {sample!r}")
        binning = _same_binning(nominal, binning, where, f"sample {sample!r}")
        remarks += nominal.remarks
        modifiers = _modifiers(entry.get("modifiers", ()), nominal, binning, where, remarks)
        made.append({"name": str(sample), "data": nominal.values.tolist(), "modifiers": modifiers})
    observed = template(content["data"], f"{place}, data")
    if binning is not None:
        _same_binning(observed, binning, f"{place}, data", "the data")
    remarks += observed.remarks
    return {"name": name, "samples": made}, observed.values.tolist()


def _names(given: object) -> frozenset[str]:
    return frozenset(given) if isinstance(given, Mapping) else frozenset()


def _same_binning(given: Template, binning: _Binning, place: str, owner: str) -> _Binning:
    """The binning of a channel, with edges as soon as one histogram has some.

    Raises:
        WorkspaceError: The number of bins differs, or an edge.
    """
    if len(given.values) != binning.n_bins:
        problem = f"it has {len(given.values)} bins, {binning.owner} has {binning.n_bins}"
        raise fail(place, problem, "give all histograms of a channel the same binning")
    if given.edges is None:
        return binning
    if binning.edges is None:
        return replace(binning, edges=given.edges, owner=owner)
    difference = _difference(given.edges, binning.edges)
    if difference:
        problem = f"its bins are not those of {binning.owner}: {difference}"
        raise fail(place, problem, "give all histograms of a channel the same binning")
    return binning


def _difference(these: Edges, those: Edges) -> str:
    """The first difference of two binnings, in words; empty where there is none."""
    if [len(axis) for axis in these] != [len(axis) for axis in those]:
        return f"{' x '.join(str(len(a)) for a in these)} against {' x '.join(str(len(a)) for a in those)} bins"
    for here, there in zip(these, those, strict=True):
        span = max(
            (abs(edge) for bin in there if isinstance(bin, tuple) for edge in bin if np.isfinite(edge)), default=1.0
        )
        for at, (one, other) in enumerate(zip(here, there, strict=True)):
            if not _equal(one, other, 1e-9 * span):
                return f"bin {at} is {_shown(one)} against {_shown(other)}"
    return ""


def _equal(one: Any, other: Any, tolerance: float) -> bool:
    if isinstance(one, tuple) and isinstance(other, tuple):
        return bool(np.allclose(one, other, rtol=0.0, atol=tolerance))
    return bool(one == other)


def _shown(bin: Any) -> str:
    return f"[{bin[0]:g}, {bin[1]:g}]" if isinstance(bin, tuple) else repr(bin)


def _modifiers(given: object, nominal: Template, binning: _Binning, place: str, remarks: list[str]) -> list[Document]:
    made = []
    for index, raw in enumerate(sequence(given, place, "modifiers", empty=True)):
        field = f"modifiers[{index}]"
        entry = mapping(raw, place, field, _MODIFIER, frozenset().union(*_EXTRA.values()))
        name, kind = (text(entry[key], place, f"{field}.{key}") for key in ("name", "type"))
        where = f"{place}, modifier {name!r} ({kind})"
        if kind not in _EXTRA:
            raise fail(where, "the type is unknown", f"the seven types are {listed(sorted(_EXTRA))}")
        mapping(entry, where, "the modifier", _MODIFIER, _EXTRA[kind])
        read = _READERS.get(kind, _nothing)
        made.append({"name": name, "type": kind, "data": read(entry, nominal, binning, where, remarks)})
    return made


def _nothing(*_: object) -> None:
    return None


def _factors(entry: Mapping[str, Any], _nominal: Template, _binning: _Binning, place: str, _: list[str]) -> Document:
    return {side: number(_required(entry, side, place), place, side) for side in ("lo", "hi")}


def _shapes(
    entry: Mapping[str, Any], _nominal: Template, binning: _Binning, place: str, remarks: list[str]
) -> Document:
    result = {}
    for side in ("lo", "hi"):
        shape = template(_required(entry, side, place), f"{place}, {side}")
        _same_binning(shape, binning, f"{place}, {side}", side)
        remarks += shape.remarks
        result[f"{side}_data"] = shape.values.tolist()
    return result


def _required(entry: Mapping[str, Any], side: str, place: str) -> Any:
    if side not in entry:
        remedy = "give lo and hi; a variation known on one side only is 2 nominal - hi on the other, if it is symmetric"
        raise fail(place, f"it lacks {side!r}", remedy)
    return entry[side]


def _shapesys(entry: Mapping[str, Any], nominal: Template, binning: _Binning, place: str, _: list[str]) -> list[float]:
    if ("uncertainty" in entry) == bool(entry.get("from_variances", False)):
        raise fail(place, "it needs one source of uncertainties", "give 'uncertainty', or 'from_variances': True")
    return _uncertainty(entry, nominal, binning, place)


def _staterror(entry: Mapping[str, Any], nominal: Template, binning: _Binning, place: str, _: list[str]) -> list[float]:
    return _uncertainty(entry, nominal, binning, place)


def _uncertainty(entry: Mapping[str, Any], nominal: Template, binning: _Binning, place: str) -> list[float]:
    """Absolute uncertainties: those given, or the square roots of the nominal's variances."""
    if "uncertainty" in entry:
        given = template(entry["uncertainty"], f"{place}, uncertainty")
        _same_binning(given, binning, f"{place}, uncertainty", "the uncertainty")
        return given.values.tolist()
    if nominal.variances is None:
        remedy = "fill it with weight storage, give (values, variances), or give 'uncertainty'"
        raise fail(place, "the nominal histogram keeps no variances", remedy)
    roots: FloatArray = np.sqrt(nominal.variances)
    return roots.tolist()


_READERS: dict[str, Callable[..., Any]] = {
    "normsys": _factors,
    "histosys": _shapes,
    "shapesys": _shapesys,
    "staterror": _staterror,
}


def _setting(name: str, given: object, channels: Iterable[Document]) -> Document:
    """Settings of a parameter in pyhf's words; a luminosity gets the start value and bounds that pyhf demands."""
    place = f"{_SOURCE}: parameter {name!r}"
    lists = ("inits", "bounds", "auxdata", "sigmas")
    entry = mapping(given, place, "the settings", frozenset(), frozenset({*lists, "fixed"}))
    setting: Document = {"name": name}
    for key, value in entry.items():
        setting[key] = value if key == "fixed" else _listed(value, key)
    kinds = {m["type"] for c in channels for s in c["samples"] for m in s["modifiers"] if m["name"] == name}
    centre = setting.get("auxdata")
    if "lumi" in kinds and centre and isinstance(centre[0], float) and centre[0] > 0.0:
        setting = {"inits": centre, "bounds": [[0.0, 10.0 * centre[0]]], **setting}
    return setting


def _listed(value: Any, key: str) -> Any:
    """A list of one where a number stands, or for bounds one pair."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [float(value)]
    if key == "bounds" and isinstance(value, list | tuple) and len(value) == 2 and all(np.ndim(v) == 0 for v in value):
        return [list(value)]
    return [list(v) if isinstance(v, tuple) else v for v in value] if isinstance(value, list | tuple) else value
