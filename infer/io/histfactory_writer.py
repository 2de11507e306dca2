"""Write a pyhf workspace as HistFactory XML with histograms in a ROOT file, for ROOT and for `histfactory_xml`.

::

    FOLDER/
      MEASUREMENT.xml             top level, one for each measurement; ROOT: hist2workspace MEASUREMENT.xml, in FOLDER
      channels/CHANNEL.xml        for all measurements, or channels_MEASUREMENT/ where their NormFactors differ
      histograms.root             CHANNEL/_data, CHANNEL/SAMPLE/nominal, CHANNEL/SAMPLE/MODIFIER_low, ...
      HistFactorySchema.dtd
      infer.json                  names that ROOT does not take, settings that XML cannot say

A staterror is written as the uncertainties of the nominal histogram, in float64 and exactly; `histfactory_plan` says
which. The threshold is 0 unless the workspace came with another, as pyhf's format has none. Samples without the
luminosity are divided by its value, by which ROOT multiplies them.
"""

from __future__ import annotations

import importlib.resources
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from infer.io.histfactory_extras import SIDECAR, StatConfigs, as_text
from infer.io.histfactory_plan import Factors, Plan
from infer.io.root_files import Histogram, write_root
from infer.io.whole import whole_folder
from infer.likelihoods.histfactory.spec import parse_workspace

Document: TypeAlias = dict[str, Any]
Numbers: TypeAlias = Sequence[float | int]
Histograms: TypeAlias = dict[str, Histogram]

_HISTOGRAMS, _SCHEMA = "histograms.root", "HistFactorySchema.dtd"
_DATA = "_data"  # no sample is called so in ROOT


def write_histfactory(
    workspace: Document, folder: Path, *, stat: StatConfigs | None = None, source: str = "workspace"
) -> tuple[str, ...]:
    """Write a workspace into a folder, all of it or nothing, and return remarks on what XML cannot say.

    Args:
        workspace: A pyhf workspace.
        folder: A folder that does not exist, or is empty.
        stat: By channel, a StatErrorConfig other than that of pyhf's format (Gaussian, threshold 0).
        source: How messages name the workspace.

    Raises:
        WorkspaceError: The workspace is not valid, or has what HistFactory's XML cannot say.
        InputError: The folder is not empty or cannot be written, or uproot is not installed.
    """
    parse_workspace(workspace, source=source)
    plan = Plan.of(workspace, stat or {}, source)
    with whole_folder(folder) as part:
        _write(workspace, plan, part)
    return plan.remarks


def _write(workspace: Document, plan: Plan, folder: Path) -> None:
    groups: dict[str, list[Document]] = {}
    for measurement in workspace["measurements"]:
        groups.setdefault(repr(plan.factors(measurement)), []).append(measurement)
    histograms: Histograms = {}
    files = {m["name"]: f"{plan.safe['measurements'][m['name']]}.xml" for m in workspace["measurements"]}
    for measurements in groups.values():
        first = plan.safe["measurements"][measurements[0]["name"]]
        name = "channels" if len(groups) == 1 else f"channels_{first}"
        (folder / name).mkdir()
        inputs = []
        for channel in workspace["channels"]:
            path = f"{name}/{plan.safe['channels'][channel['name']]}.xml"
            element = _channel(channel, workspace, plan, plan.factors(measurements[0]), histograms)
            _write_xml(folder / path, element, f"../{_SCHEMA}")
            inputs.append(f"./{path}")
        for measurement in measurements:
            _write_xml(folder / files[measurement["name"]], _top(measurement, inputs, plan), _SCHEMA)
    write_root(folder / _HISTOGRAMS, histograms)
    schema = importlib.resources.files("pyhf").joinpath("schemas", _SCHEMA)
    (folder / _SCHEMA).write_bytes(schema.read_bytes())
    sidecar = plan.sidecar(workspace, list(files.values()))
    (folder / SIDECAR).write_text(as_text(sidecar.to_json_dict()), encoding="utf-8")


def _write_xml(path: Path, root: ET.Element, schema: str) -> None:
    ET.indent(root)
    body = ET.tostring(root, encoding="unicode")
    path.write_text(f"<!DOCTYPE {root.tag} SYSTEM '{schema}'>\n\n{body}\n", encoding="utf-8")


def _number(value: float) -> str:
    return repr(float(value))


def _top(measurement: Document, inputs: Sequence[str], plan: Plan) -> ET.Element:
    safe = plan.safe["measurements"][measurement["name"]]
    top = ET.Element("Combination", OutputFilePrefix=f"./{safe}")
    for path in inputs:
        ET.SubElement(top, "Input").text = path
    lumi, relative = plan.luminosity(measurement)
    values = {"Lumi": _number(lumi), "LumiRelErr": _number(relative)}
    element = ET.SubElement(top, "Measurement", {"Name": safe, **values, "ExportOnly": "True"})
    poi = measurement["config"]["poi"]
    ET.SubElement(element, "POI").text = plan.parameters[poi][0] if poi else ""
    for (value, held), names in plan.param_settings(measurement).items():
        attributes = {} if value is None else {"Val": _number(value)}
        setting = ET.SubElement(element, "ParamSetting", attributes | ({"Const": "True"} if held else {}))
        setting.text = " ".join(names)
    return top


def _channel(
    channel: Document, workspace: Document, plan: Plan, factors: Factors, histograms: Histograms
) -> ET.Element:
    name = channel["name"]
    safe = plan.safe["channels"][name]
    element = ET.Element("Channel", Name=safe, InputFile=f"./{_HISTOGRAMS}")
    observed = next(entry["data"] for entry in workspace["observations"] if entry["name"] == name)
    histograms[f"{safe}/{_DATA}"] = Histogram(tuple(map(float, observed)))
    ET.SubElement(element, "Data", HistoPath=safe, HistoName=_DATA)
    if name in plan.stat:
        config = plan.stat[name]
        values = {"RelErrorThreshold": _number(config.threshold), "ConstraintType": config.constraint}
        ET.SubElement(element, "StatErrorConfig", values)
    for sample in channel["samples"]:
        element.append(_sample(sample, name, plan, factors, histograms))
    return element


def _sample(sample: Document, channel: str, plan: Plan, factors: Factors, histograms: Histograms) -> ET.Element:
    safe = plan.safe["samples"][sample["name"]]
    place = f"{plan.safe['channels'][channel]}/{safe}"
    has_lumi = any(modifier["type"] == "lumi" for modifier in sample["modifiers"])
    writer = _Templates(place, sample["data"], 1.0 if has_lumi else plan.lumi, histograms)
    attributes = {"HistoPath": place, "HistoName": "nominal", "NormalizeByTheory": str(has_lumi)}
    element = ET.Element("Sample", {"Name": safe, **attributes})
    stat = None
    for modifier in sample["modifiers"]:
        if plan.is_stat(channel, modifier["name"]):
            stat = _with_held(modifier["data"], sample["name"], channel, plan)
            ET.SubElement(element, "StatError", Activate="True")
        elif modifier["type"] != "lumi":
            element.append(_modifier(modifier, channel, plan, factors, writer))
    writer.add("nominal", sample["data"], stat)
    return element


def _with_held(data: Numbers, sample: str, channel: str, plan: Plan) -> list[float]:
    """Uncertainties of a sample, with those that a threshold holds."""
    below = plan.stat[channel].below.get(sample, {})
    return [below.get(i, 0.0) if value == 0.0 else float(value) for i, value in enumerate(data)]


class _Templates:
    """Histograms of one sample, divided by what ROOT multiplies them by."""

    def __init__(self, place: str, nominal: Numbers, lumi: float, histograms: Histograms) -> None:
        self.place, self.nominal, self.lumi, self.histograms = place, nominal, lumi, histograms

    def add(self, name: str, values: Numbers, uncertainties: Numbers | None = None) -> None:
        """A template, and how uncertain it is."""
        widths = None if uncertainties is None else tuple(float(value) / self.lumi for value in uncertainties)
        self.histograms[f"{self.place}/{name}"] = Histogram(tuple(float(v) / self.lumi for v in values), widths)

    def add_relative(self, name: str, uncertainties: Numbers) -> None:
        """Uncertainties relative to the nominal template; zero where that is."""
        pairs = zip(uncertainties, self.nominal, strict=True)
        relative = tuple(abs(float(u) / float(n)) if n else 0.0 for u, n in pairs)
        self.histograms[f"{self.place}/{name}"] = Histogram(relative)


def _modifier(modifier: Document, channel: str, plan: Plan, factors: Factors, writer: _Templates) -> ET.Element:
    name, kind, data = modifier["name"], modifier["type"], modifier["data"]
    safe = plan.shapes.get((channel, name)) or plan.safe["modifiers"][name]
    if kind == "normfactor":
        start, low, high = map(_number, factors[name])
        return ET.Element("NormFactor", Name=safe, Val=start, Low=low, High=high)
    if kind == "normsys":
        return ET.Element("OverallSys", Name=safe, Low=_number(data["lo"]), High=_number(data["hi"]))
    if kind == "histosys":
        attributes = {"Name": safe}
        for side, key in (("Low", "lo_data"), ("High", "hi_data")):
            writer.add(f"{safe}_{side.lower()}", data[key])
            attributes |= {f"HistoPath{side}": writer.place, f"HistoName{side}": f"{safe}_{side.lower()}"}
        return ET.Element("HistoSys", attributes)
    if kind == "shapefactor":
        return ET.Element("ShapeFactor", Name=safe)
    writer.add_relative(f"{safe}_relative", data)
    constraint = "Poisson" if kind == "shapesys" else "Gaussian"
    attributes = {"HistoPath": writer.place, "HistoName": f"{safe}_relative", "ConstraintType": constraint}
    return ET.Element("ShapeSys", {"Name": safe, **attributes})
