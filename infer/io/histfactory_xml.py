"""Read HistFactory XML with histograms in ROOT files, as ROOT's ``hist2workspace`` does.

The top-level file names the channels (`infer.io.histfactory_channels`) and the measurements. A folder with several
top-level files of the same channels, as `infer.io.histfactory_writer` makes one for each measurement, is one
workspace. The result is a pyhf workspace and remarks on what was assumed on the way.

A ParamSetting holds and sets parameters by their names in ROOT. Where it holds some bins of a StatError or ShapeSys,
these bins get uncertainties of zero, which is how pyhf's format holds single bins. ``BinLow``, ``BinHigh`` and ``Mode``
mean nothing to ROOT either; the bounds of ``Lumi`` are five standard deviations on each side, as for every other
constrained parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from infer.documents import fail, listed
from infer.io.histfactory_channels import Notes, Reading, distinct_channels, read_channel
from infer.io.histfactory_extras import Sidecar, StatConfig, read_sidecar
from infer.io.root_files import RootFiles
from infer.io.root_names import parameter_names
from infer.io.strict_xml import Node, load_xml

Document: TypeAlias = dict[str, Any]

_COMBINATION = frozenset({"Input", "Measurement", "Function"})
_MEASUREMENT = frozenset({"POI", "ParamSetting", "ConstraintTerm", "Asimov"})
_LUMI_REL_ERR = 0.1


class HistFactoryModel(NamedTuple):
    """What was read.

    Args:
        workspace: A pyhf workspace.
        remarks: What was assumed, and what pyhf's format cannot say.
        stat: By channel, its StatErrorConfig, which pyhf's format cannot say.
    """

    workspace: Document
    remarks: tuple[str, ...]
    stat: Mapping[str, StatConfig]


def read_histfactory(path: str | Path) -> HistFactoryModel:
    """The model of a top-level XML file, or of all top-level XML files in a folder.

    Raises:
        WorkspaceError: A file or histogram is missing or breaks its format, or the model has what pyhf's format
            cannot say (functions of parameters, constraint terms of other types, single bins of a ShapeFactor held).
        InputError: uproot is not installed.
    """
    place = Path(path)
    with RootFiles() as files:
        if not place.is_dir():
            return _read_file(place, files, read_sidecar(place.parent))
        sidecar = read_sidecar(place)
        models = [_read_file(file, files, sidecar) for file in _top_level(place, sidecar)]
    for model in models[1:]:
        if any(model.workspace[key] != models[0].workspace[key] for key in ("channels", "observations")):
            problem = "its top-level XML files describe different models"
            raise fail(str(place), problem, "give the path of one of them")
    measurements = [m for model in models for m in model.workspace["measurements"]]
    _distinct_measurements(measurements, str(place))
    remarks = tuple(dict.fromkeys(remark for model in models for remark in model.remarks))
    return HistFactoryModel({**models[0].workspace, "measurements": measurements}, remarks, models[0].stat)


def _top_level(folder: Path, sidecar: Sidecar) -> list[Path]:
    """Files with <Combination>, in the order of the sidecar, others by name."""
    files = sorted(folder.glob("*.xml"))
    found = [file for file in files if load_xml(file).tag == "Combination"]
    if not found:
        raise fail(str(folder), "the folder has no XML file with <Combination>", "give the top-level file of a model")
    order = {name: i for i, name in enumerate(sidecar.files)}
    return sorted(found, key=lambda file: (order.get(file.name, len(order)), file.name))


def _read_file(path: Path, files: RootFiles, sidecar: Sidecar) -> HistFactoryModel:
    top = load_xml(path)
    _check_top(top)
    nodes = list(top.all("Measurement"))
    lumis = {node.number("Lumi", 1.0) for node in nodes}
    bases = (path.parent, path.parent.parent, Path())
    reading = Reading(files, bases, sidecar, lumis.pop() if len(lumis) == 1 else None)
    channels, observations = [], []
    for entry in top.all("Input"):
        channel, observation = read_channel(reading.find(entry.text, entry.place), reading)
        channels.append(channel)
        observations.append(observation)
    distinct_channels(channels, str(path))
    found = [_Measurement.read(node, reading) for node in nodes]
    _distinct_measurements([m.document for m in found], str(path))
    _hold_bins(found, channels, reading, str(path))
    workspace = {
        "channels": channels,
        "observations": observations,
        "measurements": [m.document for m in found],
        "version": "1.0.0",
    }
    return HistFactoryModel(workspace, reading.notes.sentences(), reading.stat)


def _check_top(top: Node) -> None:
    if top.tag == "Channel":
        problem = "this is the XML file of one channel"
        raise fail(top.place, problem, "give the top-level file, which begins with <Combination>")
    if top.tag != "Combination":
        problem = f"this is no HistFactory model but <{top.tag[:40]}>"
        raise fail(top.place, problem, "give a file that begins with <Combination>")
    top.only(_COMBINATION)
    for function in top.all("Function"):
        problem = "a <Function> of parameters is more than pyhf's format can say"
        raise fail(function.place, problem, "write the model without it")
    for tag in ("Input", "Measurement"):
        if not any(top.all(tag)):
            raise fail(top.place, f"it has no <{tag}>", "add one")


def _distinct_measurements(measurements: Iterable[Document], place: str) -> None:
    names = [measurement["name"] for measurement in measurements]
    if len(set(names)) < len(names):
        raise fail(place, f"a measurement stands twice among {listed(names)}", "rename one")


# ---------------------------------------------------------------------------------------------- measurements


@dataclass
class _Measurement:
    """A measurement while it is read.

    Attributes:
        document: as pyhf has it.
        held: by name of a bin-by-bin modifier, components that are held while others float.
        place: for messages.
    """

    document: Document
    held: dict[str, frozenset[int]]
    place: str

    @classmethod
    def read(cls, node: Node, reading: Reading) -> _Measurement:
        node.only(_MEASUREMENT)
        name = reading.sidecar.name("measurements", node.required("Name"))
        _check_constraint_terms(node)
        if any(node.all("Asimov")):
            reading.notes.add("<Asimov> data were not read: {}", name)
        settings = _Settings(reading, parameter_names(reading.scalars, reading.gammas), _declared(node, reading))
        for entry in node.all("ParamSetting"):
            settings.take(entry)
        held = settings.apply(node.place)
        for parameter, fields in reading.sidecar.settings.get(name, {}).items():
            if parameter in settings.configs or parameter in settings.names:
                settings.config(parameter).update(fields)
        parameters = [config for config in settings.configs.values() if len(config) > 1]
        config = {"poi": _poi(node, name, settings.named, reading.notes), "parameters": parameters}
        return cls({"name": name, "config": config}, held, node.place)


def _declared(node: Node, reading: Reading) -> dict[str, Document]:
    """Settings that do not come from a ParamSetting: of NormFactors, ShapeFactors and the luminosity."""
    configs = {name: {"name": name, **settings} for name, (settings, _) in reading.factors.items()}
    configs |= {name: {"name": name, **settings} for name, settings in reading.starts.items()}
    lumi, relative = node.number("Lumi", 1.0), node.number("LumiRelErr", _LUMI_REL_ERR)
    if not reading.uses_lumi:
        return configs
    if lumi <= 0.0 or relative < 0.0:
        raise fail(node.place, f"Lumi is {lumi:g} and LumiRelErr {relative:g}", "give positive numbers")
    width = lumi * relative
    start: Document = {"name": "lumi", "inits": [lumi], "auxdata": [lumi]}
    if width == 0.0:
        reading.notes.add("LumiRelErr is 0: the luminosity is held")
        return {"lumi": start | {"sigmas": [_LUMI_REL_ERR * lumi], "fixed": True}, **configs}
    bounds = [[max(0.0, lumi - 5.0 * width), lumi + 5.0 * width]]
    return {"lumi": start | {"sigmas": [width], "bounds": bounds}, **configs}


def _check_constraint_terms(node: Node) -> None:
    for term in node.all("ConstraintTerm"):
        kind = term.attributes.get("Type", "")
        if kind == "NoConstraint" or term.number("RelativeUncertainty", 0.0) != 0.0:
            problem = f"pyhf's format cannot say a <ConstraintTerm> of type {kind[:20]!r}, as for {term.text[:60]!r}"
            raise fail(term.place, problem, "remove it to read the model with the Gaussian constraint")


def _poi(node: Node, measurement: str, named: Mapping[str, tuple[str, int]], notes: Notes) -> str:
    words = [word for poi in node.all("POI") for word in poi.text.split()]
    if len(words) > 1:
        notes.add("of several parameters of interest the first was taken: {}", measurement)
    if not words:
        notes.add("no parameter of interest: {}", measurement)
        return ""
    name, component = named.get(words[0], (words[0], 0))
    return name if component == 0 else f"{name}[{component}]"


@dataclass
class _Settings:
    """Settings of the parameters of one measurement.

    Attributes:
        reading: what is known of the model.
        names: names in ROOT by name.
        configs: by name, as pyhf has them.
        named: name and component by name in ROOT.
        constant: components that are held.
        values: start values of components.
    """

    reading: Reading
    names: dict[str, list[str]]
    configs: dict[str, Document]
    named: dict[str, tuple[str, int]] = field(init=False)
    constant: dict[str, set[int]] = field(default_factory=dict)
    values: dict[str, dict[int, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.reading.uses_lumi:
            del self.names["lumi"]
        self.named = {safe: (name, i) for name, roots in self.names.items() for i, safe in enumerate(roots)}

    def take(self, node: Node) -> None:
        """What one ParamSetting says."""
        value = node.number("Val") if node.attributes.get("Val") else None
        held = node.flag("Const", False)
        for word in node.text.split():
            if word not in self.named:
                self.reading.notes.add("ParamSettings of parameters that no modifier has were left out: {}", word)
                continue
            name, component = self.named[word]
            if held:
                self.constant.setdefault(name, set()).add(component)
            if value is not None:
                self.values.setdefault(name, {})[component] = value

    def apply(self, place: str) -> dict[str, frozenset[int]]:
        """Write what was taken into the settings; returns components that are held one by one."""
        for name, values in self.values.items():
            config = self.config(name)
            starts = list(config.get("inits", [self._default(name)] * len(self.names[name])))
            for component, value in values.items():
                starts[component] = value
            config["inits"] = starts
        held = {}
        for name, components in self.constant.items():
            if len(components) == len(self.names[name]):
                self.config(name)["fixed"] = True
            else:
                self._check_held(name, components, place)
                held[name] = frozenset(components)
        return held

    def config(self, name: str) -> Document:
        """The settings of a parameter."""
        return self.configs.setdefault(name, {"name": name})

    def _default(self, name: str) -> float:
        return 0.0 if name in self.reading.scalars else 1.0

    def _check_held(self, name: str, components: set[int], place: str) -> None:
        if self.reading.gammas[name].kind == "shapefactor":
            problem = f"a ParamSetting holds single bins of the ShapeFactor {name!r}, which pyhf's format cannot say"
            raise fail(place, problem, "hold all of them or none, and use --fix")
        if any(self.values.get(name, {}).get(component, 1.0) != 1.0 for component in components):
            problem = f"a ParamSetting holds single bins of {name!r} off 1, which pyhf's format cannot say"
            raise fail(place, problem, "hold them at 1, or use --fix")


def _hold_bins(found: list[_Measurement], channels: list[Document], reading: Reading, place: str) -> None:
    """Give uncertainties of zero to bins that all measurements hold one by one."""
    held = found[0].held
    if any(measurement.held != held for measurement in found):
        problem = "the measurements hold different single bins, which is more than one pyhf workspace can say"
        raise fail(place, problem, "read the measurements from files of their own")
    for name, components in held.items():
        reading.notes.add("single bins that a ParamSetting holds got uncertainties of zero: {}", name)
        first = 0
        for channel in sorted(channels, key=lambda entry: entry["name"]):
            modifiers = [m for s in channel["samples"] for m in s["modifiers"] if m["name"] == name]
            for modifier in modifiers:
                data = modifier["data"]
                modifier["data"] = [0.0 if first + i in components else x for i, x in enumerate(data)]
            first += len(modifiers[0]["data"]) if modifiers else 0
