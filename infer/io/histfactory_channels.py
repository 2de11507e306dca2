"""Channels of a HistFactory model: one XML file each, histograms in ROOT files.

What ROOT takes where an attribute is missing is taken here (``ConfigParser.cxx``, ``HistoToWorkspaceFactoryFast.cxx``
and ``HistFactoryImpl.cxx`` of ROOT 6)::

    NormalizeByTheory       True: the sample has the luminosity
    StatErrorConfig         Poisson constraints; bins with a relative uncertainty below 5 % are held
    ShapeSys ConstraintType Gaussian
    NormFactor Const        ignored: ROOT wants a ParamSetting
    HistoPath, InputFile    those of the sample, or else of the channel

ROOT multiplies samples that are not normalised by theory by the value of the luminosity, as a constant.

In pyhf's format the constraint of a ``staterror`` is Gaussian and that of a ``shapesys`` Poisson. So a ShapeSys with a
Gaussian constraint is a staterror of one sample, and Poisson StatErrors of one sample are a shapesys: the same
functions. Poisson StatErrors that several samples share have no equal there: they are a staterror in the workspace, and
`histfactory_model` gives them their constraint. A bin below the threshold has uncertainties of zero, which hold it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from infer.documents import fail, listed
from infer.io.histfactory_extras import CONSTRAINT, THRESHOLD, Sidecar, StatConfig
from infer.io.root_files import Histogram, RootFiles
from infer.io.root_names import Gammas, shape_names, stat_names
from infer.io.strict_xml import Node, load_xml

Document: TypeAlias = dict[str, Any]

_CHANNEL = frozenset({"Data", "StatErrorConfig", "Sample"})
_SHOWN = 4


@dataclass
class Notes:
    """Remarks that say the same of several places, said once."""

    places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, remark: str, place: str = "") -> None:
        """Say something of a place; ``{}`` in the remark stands for the places."""
        places = self.places.setdefault(remark, [])
        if place not in places:
            places.append(place)

    def sentences(self) -> tuple[str, ...]:
        """All of it."""
        return tuple(remark.format(_shortened(places)) for remark, places in self.places.items())


def _shortened(places: Sequence[str]) -> str:
    more = len(places) - _SHOWN
    return ", ".join(places[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


@dataclass
class Reading:
    """What reading a model gathers.

    Attributes:
        files: histograms.
        bases: folders that paths may be relative to.
        sidecar: names to be restored.
        lumi: value of the luminosity; None if the measurements differ.
        notes: remarks.
        scalars: by name, type and name in ROOT.
        gammas: by name, bin-by-bin modifiers.
        factors: by name, settings of NormFactors and where they stand.
        starts: by name, settings of ShapeFactors.
        stat: by channel, its StatErrorConfig.
        uses_lumi: whether a sample has the luminosity.
    """

    files: RootFiles
    bases: tuple[Path, ...]
    sidecar: Sidecar
    lumi: float | None
    notes: Notes = field(default_factory=Notes)
    scalars: dict[str, tuple[str, str]] = field(default_factory=dict)
    gammas: dict[str, Gammas] = field(default_factory=dict)
    factors: dict[str, tuple[Document, str]] = field(default_factory=dict)
    starts: dict[str, Document] = field(default_factory=dict)
    stat: dict[str, StatConfig] = field(default_factory=dict)
    uses_lumi: bool = False

    def find(self, file: str, place: str) -> Path:
        """The file of a path in an XML file, which ROOT takes relative to where it was started.

        Raises:
            WorkspaceError: There is none.
        """
        for base in self.bases:
            if _is_file(base / file):
                return base / file
        tried = ", ".join(dict.fromkeys(str(base) for base in self.bases))
        remedy = "correct the path in the XML file, or move the file there"
        raise fail(place, f"there is no file {file[:200]!r} (looked in {tried})", remedy)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


@dataclass(frozen=True)
class Where:
    """Where histograms are, unless an element says otherwise, and whose they are."""

    file: str
    folder: str
    channel: str
    n_bins: int | None = None
    scale: float = 1.0

    def within(self, node: Node, file: str = "InputFile", folder: str = "HistoPath") -> Where:
        """The same as seen from an element with attributes of its own."""
        attributes = node.attributes
        return replace(self, file=attributes.get(file) or self.file, folder=attributes.get(folder) or self.folder)


@dataclass
class _Sample:
    """A sample while it is read."""

    name: str
    values: tuple[float, ...]
    modifiers: list[Document]
    stat: tuple[float, ...] | None = None


def read_channel(path: Path, reading: Reading) -> tuple[Document, Document]:
    """A channel and its observation.

    Raises:
        WorkspaceError: The file breaks its format, or a histogram is missing.
    """
    node = load_xml(path)
    if node.tag != "Channel":
        raise fail(node.place, f"the file holds <{node.tag}>, expected <Channel>", "correct <Input>")
    node.only(_CHANNEL)
    safe = node.required("Name")
    name = reading.sidecar.name("channels", safe)
    where = Where("", "", safe).within(node)
    data = list(node.all("Data"))
    if not data:
        remedy = "add <Data> with the observed counts"
        raise fail(node.place, f"the channel {safe!r} has no <Data>, and Asimov data are not made up", remedy)
    if len(data) > 1:
        reading.notes.add("of several <Data> elements the first was read, in {}", safe)
    observed = _histogram(data[0], "HistoName", where.within(data[0]), reading)
    samples = [_sample(entry, where, reading) for entry in node.all("Sample")]
    if not samples:
        raise fail(node.place, f"the channel {safe!r} has no <Sample>", "add one")
    _stat_errors(node, name, safe, samples, reading)
    entries = [{"name": s.name, "data": list(s.values), "modifiers": s.modifiers} for s in samples]
    return {"name": name, "samples": entries}, {"name": name, "data": list(observed.values)}


def _histogram(node: Node, attribute: str, where: Where, reading: Reading) -> Histogram:
    """A histogram that an attribute names, scaled as the sample is."""
    name = node.required(attribute)
    if not where.file:
        raise fail(node.place, f"<{node.tag}> has no InputFile, nor have those around it", "add it")
    found = reading.files.histogram(reading.find(where.file, node.place), where.folder, name, node.place)
    if where.n_bins is not None and len(found.values) != where.n_bins:
        problem = f"{name!r} has {len(found.values)} bins, expected {where.n_bins} (those of the sample)"
        raise fail(node.place, problem, "correct the histogram")
    return found


def _sample(node: Node, channel: Where, reading: Reading) -> _Sample:
    where = channel.within(node)
    safe = node.required("Name")
    modifiers: list[Document] = []
    if "NormalizeByTheory" not in node.attributes:
        remark = "NormalizeByTheory is not said, so that as in ROOT the sample has the luminosity: {}"
        reading.notes.add(remark, f"{channel.channel}/{safe}")
    if node.flag("NormalizeByTheory", True):
        modifiers.append({"name": "lumi", "type": "lumi", "data": None})
        reading.uses_lumi = True
    else:
        where = replace(where, scale=_constant_luminosity(node, reading))
    nominal = _histogram(node, "HistoName", where, reading)
    values = _scaled(nominal.values, where)
    where = replace(where, n_bins=len(values))
    sample = _Sample(reading.sidecar.name("samples", safe), values, modifiers)
    node.only(frozenset(_MODIFIERS) | {"StatError"})
    for child in node.children:
        if child.tag == "StatError":
            sample.stat = _stat_error(child, where, nominal, values, reading) or sample.stat
        else:
            modifier = _MODIFIERS[child.tag](child, where, values, reading)
            if (modifier["name"], modifier["type"]) in {(m["name"], m["type"]) for m in modifiers}:
                raise fail(child.place, f"{modifier['name']!r} stands twice on the sample {safe!r}", "rename one")
            modifiers.append(modifier)
    return sample


def _constant_luminosity(node: Node, reading: Reading) -> float:
    if reading.lumi is None:
        problem = "measurements have different Lumi, by which ROOT multiplies samples that are not normalised by theory"
        raise fail(node.place, problem, "read the measurements from files of their own")
    if reading.lumi != 1.0:
        reading.notes.add(f"templates that are not normalised by theory are multiplied by Lumi = {reading.lumi:g}")
    return reading.lumi


def _scaled(values: Sequence[float], where: Where) -> tuple[float, ...]:
    return tuple(values) if where.scale == 1.0 else tuple(value * where.scale for value in values)


# ------------------------------------------------------------------------------------------------ modifiers


def _original(node: Node, reading: Reading) -> tuple[str, str]:
    """Name, and name in ROOT."""
    safe = node.required("Name")
    return reading.sidecar.name("modifiers", safe), safe


def _norm_factor(node: Node, _where: Where, _values: Sequence[float], reading: Reading) -> Document:
    name, safe = _original(node, reading)
    low, high, start = node.number("Low", 0.0), node.number("High", 10.0), node.number("Val", 1.0)
    if node.flag("Const", False):
        remark = 'Const="True" of a NormFactor is ignored, as in ROOT, which wants a ParamSetting: {}'
        reading.notes.add(remark, safe)
    settings: Document = {"inits": [start], "bounds": [[low, high]]}
    before, place = reading.factors.setdefault(name, (settings, node.place))
    if before != settings:
        problem = f"NormFactor {safe!r} has other values than at {place}"
        raise fail(node.place, problem, "give it the same Val, Low and High everywhere")
    reading.scalars[name] = ("normfactor", safe)
    return {"name": name, "type": "normfactor", "data": None}


def _overall_sys(node: Node, _where: Where, _values: Sequence[float], reading: Reading) -> Document:
    name, safe = _original(node, reading)
    reading.scalars[name] = ("normsys", safe)
    return {"name": name, "type": "normsys", "data": {"lo": node.number("Low"), "hi": node.number("High")}}


def _histo_sys(node: Node, where: Where, _values: Sequence[float], reading: Reading) -> Document:
    name, safe = _original(node, reading)
    reading.scalars.setdefault(name, ("histosys", safe))
    data = {}
    for side, key in (("Low", "lo_data"), ("High", "hi_data")):
        at = where.within(node, f"HistoFile{side}", f"HistoPath{side}")
        data[key] = list(_scaled(_histogram(node, f"HistoName{side}", at, reading).values, where))
    return {"name": name, "type": "histosys", "data": data}


def _shape_sys(node: Node, where: Where, values: Sequence[float], reading: Reading) -> Document:
    name, safe = _original(node, reading)
    if "ConstraintType" not in node.attributes:
        reading.notes.add("ConstraintType is not said, so that as in ROOT it is Gaussian: {}", safe)
    kind = "shapesys" if _constraint(node, "Gaussian") == "Poisson" else "staterror"
    if kind == "staterror":
        remark = "a ShapeSys with a Gaussian constraint became a staterror of its sample, which is the same: {}"
        reading.notes.add(remark, safe)
    relative = _histogram(node, "HistoName", where.within(node), reading).values
    names = shape_names(safe, len(values))
    gammas = reading.gammas.setdefault(name, Gammas(kind))
    if where.channel in gammas.bins or any(names == other for other in gammas.bins.values()):
        problem = f"ShapeSys {safe!r} stands on several samples, whose bins would have two constraints"
        raise fail(node.place, problem, "rename it in one of them")
    gammas.bins[reading.sidecar.name("channels", where.channel)] = names
    return {"name": name, "type": kind, "data": [abs(r * v) for r, v in zip(relative, values, strict=True)]}


def _shape_factor(node: Node, where: Where, values: Sequence[float], reading: Reading) -> Document:
    name, safe = _original(node, reading)
    gammas = reading.gammas.setdefault(name, Gammas("shapefactor"))
    gammas.bins[reading.sidecar.name("channels", where.channel)] = shape_names(safe, len(values))
    start = reading.starts.setdefault(name, {})
    if node.attributes.get("HistoName"):
        start["inits"] = list(_histogram(node, "HistoName", where.within(node), reading).values)
    if node.flag("Const", False):
        start["fixed"] = True
    return {"name": name, "type": "shapefactor", "data": None}


_MODIFIERS: dict[str, Callable[[Node, Where, Sequence[float], Reading], Document]] = {
    "HistoSys": _histo_sys,
    "NormFactor": _norm_factor,
    "OverallSys": _overall_sys,
    "ShapeFactor": _shape_factor,
    "ShapeSys": _shape_sys,
}


def _constraint(node: Node, default: str) -> str:
    value = node.attributes.get("ConstraintType", default)
    full = {"Gauss": "Gaussian", "Pois": "Poisson"}.get(value, value)
    if full not in ("Gaussian", "Poisson"):
        raise fail(node.place, f"ConstraintType is {value[:40]!r}", "write Gaussian or Poisson")
    return full


# ----------------------------------------------------------------------------------- statistical uncertainties


def _stat_error(
    node: Node, where: Where, nominal: Histogram, values: Sequence[float], reading: Reading
) -> tuple[float, ...] | None:
    """Absolute uncertainties of a sample, by bin; None if they are not activated."""
    if not node.flag("Activate", False):
        return None
    if node.attributes.get("HistoName"):
        relative = _histogram(node, "HistoName", where.within(node), reading).values
        return tuple(abs(r * v) for r, v in zip(relative, values, strict=True))
    if nominal.uncertainties is not None:
        return _scaled(nominal.uncertainties, where)
    reading.notes.add("histograms without sums of squared weights, whose uncertainties are Poisson: {}", where.channel)
    return _scaled([math.sqrt(abs(value)) for value in nominal.values], where)


def _stat_errors(node: Node, name: str, safe: str, samples: Sequence[_Sample], reading: Reading) -> None:
    """Give the samples their staterror, as the StatErrorConfig of the channel says."""
    shared = [sample for sample in samples if sample.stat is not None]
    if not shared:
        return
    threshold, constraint = _stat_config(node, safe, reading)
    held = _held(shared, threshold)
    modifier = reading.sidecar.staterrors.get(safe, f"staterror_{name}")
    below: dict[str, dict[int, float]] = {}
    kind = "shapesys" if constraint == "Poisson" and len(shared) == 1 else "staterror"
    for sample in shared:
        given = sample.stat or ()
        below[sample.name] = {i: given[i] for i in held if given[i] > 0.0}
        data = [0.0 if i in held else value for i, value in enumerate(given)]
        sample.modifiers.append({"name": modifier, "type": kind, "data": data})
    gammas = reading.gammas.setdefault(modifier, Gammas(kind))
    gammas.bins[name] = stat_names(safe, len(samples[0].values))
    reading.stat[name] = StatConfig(modifier, threshold, constraint, {s: b for s, b in below.items() if b})
    if held:
        remark = f"bins with a statistical uncertainty below {threshold:g} of their content are held: {{}}"
        reading.notes.add(remark, safe)


def _stat_config(node: Node, safe: str, reading: Reading) -> tuple[float, str]:
    configs = list(node.all("StatErrorConfig"))
    if not configs:
        remark = "no StatErrorConfig, so that as in ROOT the threshold is 5 % and the constraint Poisson: {}"
        reading.notes.add(remark, safe)
        return THRESHOLD, CONSTRAINT
    config = configs[-1]
    return config.number("RelErrorThreshold", THRESHOLD), _constraint(config, CONSTRAINT)


def _held(samples: Sequence[_Sample], threshold: float) -> frozenset[int]:
    """Bins whose relative uncertainty, of all samples that share it, is above zero and below the threshold."""
    held = set()
    for i, values in enumerate(zip(*(sample.values for sample in samples), strict=True)):
        total = sum(values)
        uncertainty = math.hypot(*(sample.stat[i] for sample in samples if sample.stat))
        if 0.0 < uncertainty < threshold * total:
            held.add(i)
    return frozenset(held)


def distinct_channels(channels: Sequence[Document], place: str) -> None:
    """Check that no channel stands twice.

    Raises:
        WorkspaceError: One does.
    """
    names = [channel["name"] for channel in channels]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise fail(place, f"the channel {listed(twice)} stands twice", "remove one <Input>")
