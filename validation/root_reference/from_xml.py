"""Evaluate with ROOT what ``make_xml.py`` has written, and store the values in ``xml_reference.json``.

Run in an environment that has ROOT, from the project root::

    PEERS/root/bin/python -m validation.root_reference.from_xml FOLDER

The wheel of ROOT has HistFactory but not its parser of XML (`RooStats::HistFactory::ConfigParser` is compiled with
libXML only). `measurement` reads the XML in its place, attribute by attribute and with its defaults; histograms, models
and values are ROOT's.
"""

import json
import os
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import ROOT

from validation.root_reference.compute import HERE, evaluate, provenance
from validation.root_reference.histfactory import HF, Json, Model

CONSTRAINTS = {"Gaussian": HF.Constraint.Gaussian, "Poisson": HF.Constraint.Poisson}


def measurement(path: str) -> Any:
    """The HistFactory Measurement of a top-level XML file in the working directory."""
    top = ET.parse(path).getroot()
    entry = top.find("Measurement")
    result = HF.Measurement(entry.get("Name"), entry.get("Name"))
    result.SetOutputFilePrefix(top.get("OutputFilePrefix"))
    result.SetLumi(float(entry.get("Lumi")))
    result.SetLumiRelErr(float(entry.get("LumiRelErr")))
    for name in entry.find("POI").text.split():
        result.AddPOI(name)
    for setting in entry.findall("ParamSetting"):
        for name in setting.text.split():
            if setting.get("Const") == "True":
                result.AddConstantParam(name)
            if setting.get("Val"):
                result.SetParamValue(name, float(setting.get("Val")))
    for file in top.findall("Input"):
        result.AddChannel(_channel(ET.parse(file.text).getroot()))
    result.CollectHistograms()
    return result


def _channel(node: ET.Element) -> Any:
    file = node.get("InputFile", "")
    result = HF.Channel(node.get("Name"), file)
    data = node.find("Data")
    result.SetData(data.get("HistoName"), file, data.get("HistoPath", ""))
    config = node.find("StatErrorConfig")
    if config is not None:
        constraint = CONSTRAINTS[config.get("ConstraintType", "Poisson")]
        result.SetStatErrorConfig(float(config.get("RelErrorThreshold", 0.05)), constraint)
    for entry in node.findall("Sample"):
        path = entry.get("HistoPath", "")
        sample = HF.Sample(entry.get("Name"), entry.get("HistoName"), file, path)
        sample.SetChannelName(node.get("Name"))
        sample.SetNormalizeByTheory(entry.get("NormalizeByTheory", "True") == "True")
        for child in entry:
            _add(sample, child, file, path)
        result.AddSample(sample)
    return result


def _add(sample: Any, node: ET.Element, file: str, path: str) -> None:
    name = node.get("Name")
    match node.tag:
        case "NormFactor":
            sample.AddNormFactor(name, *(float(node.get(key)) for key in ("Val", "Low", "High")))
        case "OverallSys":
            sample.AddOverallSys(name, float(node.get("Low")), float(node.get("High")))
        case "HistoSys":
            low, high = ((node.get(f"HistoName{s}"), file, node.get(f"HistoPath{s}", path)) for s in ("Low", "High"))
            sample.AddHistoSys(name, *low, *high)
        case "ShapeSys":
            constraint = CONSTRAINTS[node.get("ConstraintType", "Gaussian")]
            sample.AddShapeSys(name, constraint, node.get("HistoName"), file, node.get("HistoPath", path))
        case "ShapeFactor":
            sample.AddShapeFactor(name)
        case "StatError":
            sample.ActivateStatError()
        case tag:
            raise NotImplementedError(tag)


class XmlModel(Model):
    """ROOT's likelihood of the XML files of a workspace, addressed by pyhf's parameter names."""

    def __init__(self, workspace: Json, top: str) -> None:
        """Build the RooFit workspace from files in the working directory."""
        self._build(workspace, measurement(top))


def compute(folder: Path) -> Json:
    """Values of one workspace."""
    os.chdir(folder)
    workspace = json.loads((folder / "workspace.json").read_text())
    (top,) = folder.glob("*.xml")
    model = XmlModel(workspace, top.name)
    nll = {name: point["nll"] for name, point in evaluate(model).items()}
    return {"digest": json.loads((folder / "digest.json").read_text()), "nll": nll}


def main() -> None:
    """Write ``xml_reference.json``; HistFactory drops its files into the folders."""
    ROOT.gROOT.SetBatch(True)
    ROOT.RooMsgService.instance().setGlobalKillBelow(ROOT.RooFit.ERROR)
    folders = sorted(path for path in Path(sys.argv[1]).resolve().iterdir() if path.is_dir())
    content = {"provenance": provenance(), "workspaces": {path.name: compute(path) for path in folders}}
    (HERE / "xml_reference.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
