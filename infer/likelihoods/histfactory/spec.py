"""Read a pyhf workspace document (JSON schema 1.0.0) into checked records.

`parse_workspace` walks the document once and builds the records of `records`; what can be judged at
one place (types, lengths, ranges) is judged here, what needs the whole workspace in `checks` (names
and rates) and `settings` (measurements). Everything that pyhf accepts in silence and that would
spoil a fit is either an error here or a `Notice` on the workspace.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np

from infer.documents import (
    array,
    described,
    distinct,
    fail,
    flag,
    listed,
    mapping,
    number,
    sequence,
    text,
)
from infer.likelihoods.histfactory.checks import (
    check_observations,
    modifier_place,
    parameter_sets,
    rate_notices,
)
from infer.likelihoods.histfactory.records import (
    Array,
    Channel,
    HistoSys,
    Lumi,
    MeasurementConfig,
    Modifier,
    NormFactor,
    NormSys,
    Notice,
    ParameterConfig,
    Sample,
    ShapeFactor,
    ShapeSys,
    StatError,
    Workspace,
)
from infer.likelihoods.histfactory.settings import check_measurement

__all__ = [
    "Channel",
    "HistoSys",
    "Lumi",
    "MeasurementConfig",
    "Modifier",
    "NormFactor",
    "NormSys",
    "Notice",
    "ParameterConfig",
    "Sample",
    "ShapeFactor",
    "ShapeSys",
    "StatError",
    "Workspace",
    "parse_workspace",
]

_WORKSPACE = frozenset({"channels", "measurements", "observations", "version"})
_CHANNEL = frozenset({"name", "samples"})
_SAMPLE = frozenset({"name", "data", "modifiers"})
_MODIFIER = frozenset({"name", "type", "data"})
_NORMSYS = frozenset({"lo", "hi"})
_HISTOSYS = frozenset({"lo_data", "hi_data"})
_OBSERVATION = frozenset({"name", "data"})
_MEASUREMENT = frozenset({"name", "config"})
_CONFIG = frozenset({"poi", "parameters"})
_NAME = frozenset({"name"})
_SETTINGS = frozenset({"inits", "bounds", "auxdata", "sigmas", "factors", "fixed"})


def parse_workspace(document: object, *, source: str = "workspace") -> Workspace:
    """Return the workspace that a decoded JSON document describes.

    Args:
        document: what `json.loads` gives; it is not changed and nothing of it is kept.
        source: how messages name the document, such as its file name.

    Raises:
        WorkspaceError: the document breaks the format or one of pyhf's rules, or cannot give a
            finite likelihood; one line that names the place and the remedy.
    """
    top = mapping(document, source, "the document", _WORKSPACE)
    version = text(top["version"], source, "version")
    if version != "1.0.0":
        problem = f"version is {version!r}, expected '1.0.0'"
        raise fail(source, problem, "this is the only version of the schema")
    channels = _channels(top["channels"], source)
    observations = _observations(top["observations"], source)
    check_observations(channels, observations, source)
    measurements = _measurements(top["measurements"], source)
    notices = rate_notices(channels, observations, source)
    sets, frozen_notices = parameter_sets(channels, source)
    notices += frozen_notices
    for measurement in measurements:
        notices += check_measurement(measurement, sets, source)
    ordered = {channel.name: observations[channel.name] for channel in channels}
    return Workspace(channels, MappingProxyType(ordered), measurements, tuple(notices))


def _channels(value: object, source: str) -> tuple[Channel, ...]:
    """Return the channels sorted by name."""
    entries = sequence(value, source, "channels")
    channels = [_channel(entry, source, index) for index, entry in enumerate(entries)]
    distinct([channel.name for channel in channels], source, "channel")
    return tuple(sorted(channels, key=lambda channel: channel.name))


def _channel(value: object, source: str, index: int) -> Channel:
    entry = mapping(value, source, f"channels[{index}]", _CHANNEL)
    name = text(entry["name"], source, f"channels[{index}].name")
    place = f"{source}: channel {name!r}"
    samples: list[Sample] = []
    for position, raw in enumerate(sequence(entry["samples"], place, "samples")):
        samples.append(_sample(raw, place, position, samples[0] if samples else None))
    distinct([sample.name for sample in samples], place, "sample")
    return Channel(name, tuple(samples))


def _sample(value: object, place: str, index: int, first: Sample | None) -> Sample:
    """Return a sample; the channel's `first` sample, if there is one, sets the number of bins."""
    entry = mapping(value, place, f"samples[{index}]", _SAMPLE)
    name = text(entry["name"], place, f"samples[{index}].name")
    place = f"{place}, sample {name!r}"
    if first is None:
        nominal = array(entry["data"], place, "data")
    else:
        of = f"the bins of sample {first.name!r}"
        nominal = array(entry["data"], place, "data", length=len(first.nominal), of=of)
    modifiers = sequence(entry["modifiers"], place, "modifiers", empty=True)
    return Sample(
        name,
        nominal,
        tuple(_modifier(raw, place, position, nominal) for position, raw in enumerate(modifiers)),
    )


def _modifier(value: object, place: str, index: int, nominal: Array) -> Modifier:
    entry = mapping(value, place, f"modifiers[{index}]", _MODIFIER)
    name = text(entry["name"], place, f"modifiers[{index}].name")
    kind = text(entry["type"], f"{place}, modifier {name!r}", "type")
    if kind not in _READERS:
        problem = f"the type {kind!r} is unknown"
        remedy = f"the seven types are {listed(_READERS)}"
        raise fail(f"{place}, modifier {name!r}", problem, remedy)
    return _READERS[kind](name, entry["data"], modifier_place(place, name, kind), nominal)


def _normfactor(name: str, data: object, place: str, _nominal: Array) -> NormFactor:
    _without_data(data, place)
    return NormFactor(name)


def _shapefactor(name: str, data: object, place: str, _nominal: Array) -> ShapeFactor:
    _without_data(data, place)
    return ShapeFactor(name)


def _lumi(name: str, data: object, place: str, _nominal: Array) -> Lumi:
    _without_data(data, place)
    if name != "lumi":
        raise fail(place, "a lumi modifier must be called 'lumi'", "rename it, or use a normsys")
    return Lumi(name)


def _normsys(name: str, data: object, place: str, _nominal: Array) -> NormSys:
    pair = mapping(data, place, "data", _NORMSYS)
    factors = {field: number(pair[field], place, field) for field in ("lo", "hi")}
    for field, factor in factors.items():
        if factor <= 0:
            problem = f"{field} is {factor:g}, but normsys factors are extrapolated as powers"
            raise fail(place, problem, "give a factor above 0, such as 0.9, or use a histosys")
    return NormSys(name, **factors)


def _histosys(name: str, data: object, place: str, nominal: Array) -> HistoSys:
    pair = mapping(data, place, "data", _HISTOSYS)
    n_bins, of = len(nominal), "the sample's bins"
    lo = array(pair["lo_data"], place, "lo_data", length=n_bins, of=of)
    hi = array(pair["hi_data"], place, "hi_data", length=n_bins, of=of)
    return HistoSys(name, lo, hi)


def _shapesys(name: str, data: object, place: str, nominal: Array) -> ShapeSys:
    return ShapeSys(name, _uncertainty(data, place, nominal))


def _staterror(name: str, data: object, place: str, nominal: Array) -> StatError:
    return StatError(name, _uncertainty(data, place, nominal))


_READERS: dict[str, Callable[[str, object, str, Array], Modifier]] = {
    "histosys": _histosys,
    "lumi": _lumi,
    "normfactor": _normfactor,
    "normsys": _normsys,
    "shapefactor": _shapefactor,
    "shapesys": _shapesys,
    "staterror": _staterror,
}


def _without_data(data: object, place: str) -> None:
    if data is not None:
        raise fail(place, f"data is {described(data)}, expected null", "write null")


def _uncertainty(data: object, place: str, nominal: Array) -> Array:
    """Return absolute uncertainties with shape (n_bins,), none negative.

    A relative uncertainty times a negative rate is a negative number in documents converted from
    XML; its sign means nothing there and is dropped. Elsewhere a negative uncertainty is an error.
    """
    values = array(data, place, "data", length=len(nominal), of="the sample's bins")
    if values.min() >= 0:
        return values
    wrong = np.flatnonzero((values < 0) & (nominal >= 0))
    if len(wrong):
        problem = f"data[{wrong[0]}] is {values[wrong[0]]:g}, a negative uncertainty"
        raise fail(place, problem, "give absolute uncertainties of at least 0")
    magnitudes = np.abs(values)
    magnitudes.flags.writeable = False
    return magnitudes


def _observations(value: object, source: str) -> dict[str, Array]:
    """Return the observed counts by channel name, in document order."""
    pairs = []
    for index, raw in enumerate(sequence(value, source, "observations")):
        entry = mapping(raw, source, f"observations[{index}]", _OBSERVATION)
        name = text(entry["name"], source, f"observations[{index}].name")
        pairs.append((name, array(entry["data"], f"{source}: observation {name!r}", "data")))
    distinct([name for name, _ in pairs], source, "observation")
    return dict(pairs)


def _measurements(value: object, source: str) -> tuple[MeasurementConfig, ...]:
    entries = sequence(value, source, "measurements")
    measurements = tuple(_measurement(raw, source, index) for index, raw in enumerate(entries))
    distinct([measurement.name for measurement in measurements], source, "measurement")
    return measurements


def _measurement(value: object, source: str, index: int) -> MeasurementConfig:
    entry = mapping(value, source, f"measurements[{index}]", _MEASUREMENT)
    name = text(entry["name"], source, f"measurements[{index}].name")
    place = f"{source}: measurement {name!r}"
    config = mapping(entry["config"], place, "config", _CONFIG)
    poi = text(config["poi"], place, "poi", empty=True)
    raw = sequence(config["parameters"], place, "parameters", empty=True)
    parameters = [_parameter(item, place, position) for position, item in enumerate(raw)]
    distinct([parameter.name for parameter in parameters], place, "parameter")
    by_name = MappingProxyType({parameter.name: parameter for parameter in parameters})
    return MeasurementConfig(name, poi or None, by_name)


def _parameter(value: object, place: str, index: int) -> ParameterConfig:
    entry = mapping(value, place, f"parameters[{index}]", _NAME, _SETTINGS)
    name = text(entry["name"], place, f"parameters[{index}].name")
    place = f"{place}, parameter {name!r}"
    numbers = {
        field: tuple(array(entry[field], place, field).tolist())
        for field in ("inits", "auxdata", "sigmas", "factors")
        if field in entry
    }
    return ParameterConfig(
        name,
        bounds=_bounds(entry["bounds"], place) if "bounds" in entry else None,
        fixed=flag(entry["fixed"], place, "fixed") if "fixed" in entry else None,
        **numbers,
    )


def _bounds(value: object, place: str) -> tuple[tuple[float, float], ...]:
    pairs = []
    for index, raw in enumerate(sequence(value, place, "bounds")):
        lower, upper = array(raw, place, f"bounds[{index}]", length=2, of="lower, upper").tolist()
        if not lower < upper:
            problem = f"bounds[{index}] is [{lower:g}, {upper:g}], the lower not below the upper"
            raise fail(place, problem, "swap them, or hold the parameter with fixed: true")
        pairs.append((lower, upper))
    return tuple(pairs)
