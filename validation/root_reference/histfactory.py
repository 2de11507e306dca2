"""A ROOT HistFactory model from a pyhf JSON workspace, through ROOT's own Python classes.

The XML that pyhf exports is not used: it drops the StatErrorConfig, with which ROOT would choose Poisson constraints
for staterror and prune those below 5 %. What is chosen here so that both sides mean the same likelihood:

========================  ===================================================================================
normsys (OverallSys)      FlexibleInterpVar code 4: polynomial inside, exponential outside (ROOT's default)
histosys (HistoSys)       PiecewiseInterpolation code 4: polynomial inside, linear outside (ROOT's default);
                          pyhf calls it code4p
staterror                 StatErrorConfig(0, "Gaussian"): no pruning, Gaussian constraint, as pyhf
shapesys                  Poisson constraint, as pyhf
lumi                      Gaussian constraint on ``Lumi``. ROOT 6.40 multiplies *every* sample by ``Lumi`` and ignores
                          SetNormalizeByTheory(False), which older releases honoured: `release_from_lumi` takes the
                          parameter out of the samples without the modifier
========================  ===================================================================================

This module runs in the environment of ROOT, without the package and without pyhf.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ROOT

Json = dict[str, Any]
HF = ROOT.RooStats.HistFactory
NO_PRUNING = 0.0


def root_name(name: str) -> str:
    """A name that ROOT accepts: letters, digits, underscores, not beginning with a digit."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return f"n_{name}" if name[0].isdigit() else name


def histogram(name: str, values: Sequence[float]) -> Any:
    """A one-dimensional histogram with the given bin contents and no uncertainties."""
    result = ROOT.TH1D(name, name, len(values), 0, len(values))
    result.SetDirectory(ROOT.nullptr)
    ROOT.SetOwnership(result, False)  # HistFactory takes it over
    for i, value in enumerate(values):
        result.SetBinContent(i + 1, value)
        result.SetBinError(i + 1, 0.0)
    return result


def relative(uncertainties: Sequence[float], yields: Sequence[float]) -> list[float]:
    """Relative uncertainties per bin; zero where the yield is zero."""
    return [u / y if y else 0.0 for u, y in zip(uncertainties, yields, strict=True)]


def staterror_sigmas(channel: Json, name: str) -> list[float]:
    """Relative uncertainty of the summed samples that carry the staterror `name`, bin by bin."""
    pairs = [(s["data"], m["data"]) for s in channel["samples"] for m in s["modifiers"] if m["name"] == name]
    yields = [sum(values) for values in zip(*(y for y, _ in pairs), strict=True)]
    uncertainties = [math.hypot(*values) for values in zip(*(u for _, u in pairs), strict=True)]
    return relative(uncertainties, yields)


@dataclass(frozen=True)
class Parameter:
    """A parameter of the pyhf workspace: its name there and in ROOT, and a step of about one prefit deviation."""

    name: str
    root_name: str
    centre: float
    step: float


def _sample_modifiers(workspace: Json) -> Iterator[tuple[Json, Json, Json]]:
    for channel in workspace["channels"]:
        for sample in channel["samples"]:
            for modifier in sample["modifiers"]:
                yield channel, sample, modifier


def _parameters_of(channel: Json, sample: Json, modifier: Json, settings: dict[str, Json]) -> list[Parameter]:
    name, clean = modifier["name"], root_name(modifier["name"])
    match modifier["type"]:
        case "normsys" | "histosys":
            return [Parameter(name, f"alpha_{clean}", 0.0, 1.0)]
        case "normfactor":
            return [Parameter(name, clean, 1.0, 0.5)]
        case "lumi":
            return [Parameter(name, "Lumi", 1.0, settings["lumi"]["sigmas"][0])]
        case "shapesys":
            return [
                Parameter(f"{name}[{i}]", f"gamma_{clean}_bin_{i}", 1.0, sigma)
                for i, sigma in enumerate(relative(modifier["data"], sample["data"]))
                if sigma > 0  # otherwise the parameter is constant on both sides
            ]
        case "staterror":
            stem = f"gamma_stat_{root_name(channel['name'])}_bin_"
            sigmas = staterror_sigmas(channel, name)
            return [Parameter(f"{name}[{i}]", f"{stem}{i}", 1.0, sigma) for i, sigma in enumerate(sigmas)]
        case "shapefactor":
            return [Parameter(f"{name}[{i}]", f"gamma_{clean}_bin_{i}", 1.0, 0.2) for i in range(len(sample["data"]))]
        case kind:
            raise NotImplementedError(kind)


def parameters(workspace: Json) -> list[Parameter]:
    """All free parameters of the workspace, in the order of their first appearance."""
    settings = {p["name"]: p for p in workspace["measurements"][0]["config"]["parameters"]}
    found: dict[str, Parameter] = {}
    for channel, sample, modifier in _sample_modifiers(workspace):
        for parameter in _parameters_of(channel, sample, modifier, settings):
            found.setdefault(parameter.name, parameter)
    return [p for p in found.values() if not settings.get(p.name, {}).get("fixed", False)]


def _add_modifier(sample: Any, label: str, yields: Sequence[float], modifier: Json, settings: dict[str, Json]) -> None:
    name, data = root_name(modifier["name"]), modifier["data"]
    match modifier["type"]:
        case "normsys":
            sample.AddOverallSys(name, data["lo"], data["hi"])
        case "histosys":
            shape = HF.HistoSys()
            shape.SetName(name)
            shape.SetHistoLow(histogram(f"low_{label}_{name}", data["lo_data"]))
            shape.SetHistoHigh(histogram(f"high_{label}_{name}", data["hi_data"]))
            sample.AddHistoSys(shape)
        case "normfactor":
            low, high = settings.get(modifier["name"], {}).get("bounds", [[0.0, 10.0]])[0]
            sample.AddNormFactor(name, settings.get(modifier["name"], {}).get("inits", [1.0])[0], low, high)
        case "staterror":
            sample.ActivateStatError()
            sample.GetStatError().SetUseHisto(True)
            sample.GetStatError().SetErrorHist(histogram(f"stat_{label}", relative(data, yields)))
        case "shapesys":
            shape = HF.ShapeSys()
            shape.SetName(name)
            shape.SetConstraintType(HF.Constraint.Poisson)
            shape.SetErrorHist(histogram(f"shape_{label}_{name}", relative(data, yields)))
            sample.AddShapeSys(shape)
        case "shapefactor":
            sample.AddShapeFactor(name)
        case "lumi":
            pass  # the sample is normalised by theory
        case kind:
            raise NotImplementedError(kind)


def _channel(channel: Json, observed: Sequence[float], settings: dict[str, Json]) -> Any:
    name = root_name(channel["name"])
    result = HF.Channel(name)
    result.SetData(histogram(f"data_{name}", observed))
    result.SetStatErrorConfig(NO_PRUNING, "Gaussian")
    for content in channel["samples"]:
        label = f"{name}_{root_name(content['name'])}"
        sample = HF.Sample(root_name(content["name"]))
        sample.SetHisto(histogram(f"nominal_{label}", content["data"]))
        sample.SetNormalizeByTheory(any(m["type"] == "lumi" for m in content["modifiers"]))
        for modifier in content["modifiers"]:
            _add_modifier(sample, label, content["data"], modifier, settings)
        result.AddSample(sample)
    return result


def measurement(workspace: Json) -> Any:
    """The HistFactory Measurement of the workspace's first measurement."""
    config = workspace["measurements"][0]["config"]
    settings = {p["name"]: p for p in config["parameters"]}
    observed = {o["name"]: o["data"] for o in workspace["observations"]}
    result = HF.Measurement("meas", "meas")
    result.SetPOI(root_name(config["poi"]))
    result.SetLumi(1.0)
    result.SetLumiRelErr(settings.get("lumi", {}).get("sigmas", [0.1])[0])
    if not any(m["type"] == "lumi" for _, _, m in _sample_modifiers(workspace)):
        result.AddConstantParam("Lumi")
    for name, setting in settings.items():
        if setting.get("fixed", False):
            result.AddConstantParam("Lumi" if name == "lumi" else root_name(name))
    for channel in workspace["channels"]:
        result.AddChannel(_channel(channel, observed[channel["name"]], settings))
    return result


def release_from_lumi(root_workspace: Any, workspace: Json) -> None:
    """Replace ``Lumi`` by the constant 1 in the scale factors of the samples that do not have the modifier."""
    one = ROOT.RooConstVar("no_lumi", "no_lumi", 1.0)
    one.setAttribute("ORIGNAME:Lumi")  # so RooFit names what a server replaces when their names differ
    ROOT.SetOwnership(one, False)
    for channel in workspace["channels"]:
        for sample in channel["samples"]:
            if not any(m["type"] == "lumi" for m in sample["modifiers"]):
                factors = f"{root_name(sample['name'])}_{root_name(channel['name'])}_scaleFactors"
                root_workspace.obj(factors).redirectServers(ROOT.RooArgSet(one), False, True)


class Model:
    """ROOT's likelihood of a pyhf workspace, addressed by pyhf's parameter names."""

    def __init__(self, workspace: Json) -> None:
        """Build the RooFit workspace. HistFactory leaves files behind: call it in a temporary directory."""
        self._build(workspace, measurement(workspace))

    def _build(self, workspace: Json, made: Any) -> None:
        """The RooFit workspace of a HistFactory Measurement, in which ROOT has the parameters of a pyhf workspace."""
        self._measurement = made
        self._workspace = HF.MakeModelAndMeasurementFast(self._measurement)
        release_from_lumi(self._workspace, workspace)
        self.config = self._workspace.obj("ModelConfig")
        self.data = self._workspace.data("obsData")
        self.parameters = parameters(workspace)
        self.poi = workspace["measurements"][0]["config"]["poi"]
        self.n_channels = len(workspace["channels"])
        self._variables = {p.name: self._workspace.var(p.root_name) for p in self.parameters}
        missing = [name for name, variable in self._variables.items() if not variable]
        if missing:
            raise LookupError(f"ROOT has no variable for {missing}")

    def variable(self, name: str) -> Any:
        """The RooRealVar of a parameter by its pyhf name."""
        return self._variables[name]

    def values(self) -> dict[str, float]:
        """Current value of every parameter."""
        return {name: variable.getVal() for name, variable in self._variables.items()}

    def set(self, values: dict[str, float]) -> None:
        """Set parameters by name; those beyond a range of ROOT's are an error, not clipped."""
        for name, value in values.items():
            variable = self._variables[name]
            if not variable.getMin() <= value <= variable.getMax():
                raise ValueError(f"{name}={value} is outside [{variable.getMin()}, {variable.getMax()}] of ROOT")
            variable.setVal(value)

    def nll(self, data: Any = None, *, offset: str = "none") -> Any:
        """The RooFit negative log-likelihood, constraints included; `offset` as RooFit names it."""
        arguments = [
            ROOT.RooFit.GlobalObservables(self.config.GetGlobalObservables()),
            ROOT.RooFit.Offset(offset),
            ROOT.RooFit.EvalBackend("cpu"),
        ]
        nuisance = self.config.GetNuisanceParameters()
        if nuisance:
            arguments.append(ROOT.RooFit.Constrain(nuisance))
        return self.config.GetPdf().createNLL(self.data if data is None else data, *arguments)
