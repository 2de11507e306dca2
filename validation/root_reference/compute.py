"""Evaluate the comparison's workspaces with ROOT and store the values.

Run in an environment that has ROOT (the wheel ``root==0.1a12``; see ``validation/bench/setup_peers.sh``), from the
project root::

    PEERS/root/bin/python -m validation.root_reference.compute

Stored per workspace:

* ``points``: named parameter points (pyhf's names) with ROOT's -ln L, minus the term ``N ln(number of channels)``
  that RooSimultaneous adds. All constants of the Poisson and Gaussian terms are in it.
* ``fit``: the best fit, Hesse uncertainties and -ln L there.
* ``cls``: the asymptotic CLs of q_mu_tilde at mu = 1 (Cowan et al., arXiv:1007.1727, eqs. 16, 65-66 and 89), from
  ROOT's fits to the data and to ROOT's own Asimov data set; next to it what RooStats::AsymptoticCalculator prints.
"""

import json
import math
import operator
import os
import tempfile
from pathlib import Path
from typing import Any

import ROOT

from validation import machine
from validation.root_reference.histfactory import Json, Model

HERE = Path(__file__).parent
MU_TESTED = 1.0
START_SHIFTS = (0.0, 1.0, -1.0)
"""Prefit standard deviations by which all nuisance parameters are moved for a start of the minimiser."""
EDM_TOLERANCE = 1e-7
"""Minuit2 stops at an estimated distance to the minimum of 1e-3 times this times the error level."""


def points(model: Model) -> dict[str, dict[str, float]]:
    """Named parameter points: the nominal one, two other signal strengths, and three that move everything.

    The points stay within 1 standard deviation (``inside``), beyond it where the interpolations become
    extrapolations (``outside``), and mixed (``spread``), with alternating signs.
    """
    nominal = {p.name: p.centre for p in model.parameters}

    def moved(steps: list[float]) -> dict[str, float]:
        return {p.name: p.centre + step * p.step for p, step in zip(model.parameters, steps, strict=True)}

    count = len(model.parameters)
    return {
        "nominal": nominal,
        "poi_zero": nominal | {model.poi: 0.0},
        "poi_two": nominal | {model.poi: 2.0},
        "inside": moved([0.6 * (-1) ** i for i in range(count)]),
        "outside": moved([-1.4 * (-1) ** i for i in range(count)]),
        "spread": moved([1.1 * math.sin(1.0 + 2.0 * i) for i in range(count)]),
    }


def evaluate(model: Model) -> dict[str, Json]:
    """-ln L at every named point, without the constant of RooSimultaneous."""
    nll = model.nll()
    constant = model.data.sumEntries() * math.log(model.n_channels)
    stored = {}
    for name, values in points(model).items():
        model.set(values)
        stored[name] = {"parameters": values, "nll": nll.getVal() - constant}
    model.set(stored["nominal"]["parameters"])
    return stored


def migrad(nll: Any) -> Any:
    """A minimiser that has run MIGRAD (strategy 2) from the current values, in place."""
    minimizer = ROOT.RooMinimizer(nll)
    minimizer.setPrintLevel(-1)
    minimizer.setStrategy(2)
    minimizer.setEps(EDM_TOLERANCE)
    minimizer.minimize("Minuit2", "Migrad")
    return minimizer


def minimise(model: Model, nll: Any) -> Any:
    """The minimiser of the lowest minimum found from several starts; the model is left at that minimum.

    Interpolations whose up and down variations lie on the same side have minima at both signs of their parameter.
    """
    reached = []
    for shift in START_SHIFTS:
        model.set({p.name: p.centre + shift * p.step for p in model.parameters if p.name != model.poi})
        migrad(nll)
        reached.append((nll.getVal(), model.values()))
    model.set(min(reached, key=operator.itemgetter(0))[1])
    return migrad(nll)


def best_fit(model: Model) -> Json:
    """Global best fit; the model is left there."""
    nll = model.nll()
    constant = model.data.sumEntries() * math.log(model.n_channels)
    minimizer = minimise(model, nll)
    minimizer.hesse()
    result = minimizer.save()
    uncertainties = {p.name: model.variable(p.name).getError() for p in model.parameters}
    return {
        "parameters": model.values(),
        "uncertainties": uncertainties,
        "nll": nll.getVal() - constant,
        "status": result.status(),
        "edm": result.edm(),
        "covariance_quality": result.covQual(),
    }


def q_mu_tilde(model: Model, mu: float, data: Any = None) -> float:
    """q_mu_tilde of Cowan et al. eq. 16: the POI's range begins at zero, so the free fit is the restricted one."""
    poi = model.variable(model.poi)
    nll = model.nll(data)
    minimise(model, nll)
    free, mu_hat = nll.getVal(), poi.getVal()
    poi.setVal(mu)
    poi.setConstant(True)
    minimise(model, nll)
    conditional = nll.getVal()
    poi.setConstant(False)
    return max(0.0, 2.0 * (conditional - free)) if mu_hat <= mu else 0.0


def fit_without_signal(model: Model) -> dict[str, float]:
    """The conditional best fit at mu = 0."""
    poi = model.variable(model.poi)
    poi.setVal(0.0)
    poi.setConstant(True)
    minimise(model, model.nll())
    poi.setConstant(False)
    return model.values()


def q_mu_asimov(model: Model, mu: float) -> float:
    """q_mu_tilde of the background-only Asimov data set, whose global observables sit at the conditional fit too."""
    nominal = model.values()
    background = fit_without_signal(model)
    model.set(background)
    observables = model.config.GetGlobalObservables()
    saved = observables.snapshot()
    asimov_observables = ROOT.RooArgSet()
    parameters = model.config.GetPdf().getParameters(model.data)
    data = ROOT.RooStats.AsymptoticCalculator.MakeAsimovData(model.config, parameters, asimov_observables)
    observables.assign(asimov_observables)
    value = q_mu_tilde(model, mu, data)
    observables.assign(saved)
    model.set(nominal)
    return value


def survival(x: float) -> float:
    """Upper tail of the standard normal distribution."""
    return 0.5 * math.erfc(x / math.sqrt(2.0))


def cls_observed(q: float, q_asimov: float) -> float:
    """CLs of q_mu_tilde (Cowan et al. eqs. 65-66 for the tails, read for mu' = mu and mu' = 0)."""
    root = math.sqrt(q_asimov)
    if q <= q_asimov:
        return survival(math.sqrt(q)) / survival(math.sqrt(q) - root)
    return survival((q + q_asimov) / (2.0 * root)) / survival((q - q_asimov) / (2.0 * root))


def cls_expected(q_asimov: float) -> list[float]:
    """Expected CLs at +2, +1, 0, -1, -2 standard deviations of the test statistic under background (eq. 89)."""
    return [survival(n + math.sqrt(q_asimov)) / survival(n) for n in (2.0, 1.0, 0.0, -1.0, -2.0)]


def calculator_cls(model: Model, mu: float) -> float:
    """What RooStats::AsymptoticCalculator itself gives for the observed CLs of q_mu_tilde."""
    poi = model.variable(model.poi)
    hypotheses = []
    for name, value in (("background", 0.0), ("signal", mu)):
        hypothesis = model.config.Clone(name)
        poi.setVal(value)
        hypothesis.SetSnapshot(ROOT.RooArgSet(poi))
        hypotheses.append(hypothesis)
    ROOT.RooStats.AsymptoticCalculator.SetPrintLevel(-1)
    calculator = ROOT.RooStats.AsymptoticCalculator(model.data, *hypotheses)
    calculator.SetOneSided(True)
    calculator.SetQTilde(True)
    result = calculator.GetHypoTest()
    result.SetBackgroundAsAlt(True)
    return float(result.CLs())


def cls(model: Model) -> Json:
    """Asymptotic CLs at mu = 1; the model is left at the nominal point."""
    nominal = points(model)["nominal"]
    model.set(nominal)
    q = q_mu_tilde(model, MU_TESTED)
    model.set(nominal)
    q_asimov = q_mu_asimov(model, MU_TESTED)
    model.set(nominal)
    return {
        "mu": MU_TESTED,
        "q_mu_tilde": q,
        "q_mu_tilde_asimov": q_asimov,
        "observed": cls_observed(q, q_asimov),
        "expected": cls_expected(q_asimov),
        "asymptotic_calculator": calculator_cls(model, MU_TESTED),
    }


def compute(path: Path) -> Json:
    """All stored values of one workspace."""
    model = Model(json.loads(path.read_text()))
    return {"points": evaluate(model), "fit": best_fit(model), "cls": cls(model)}


def provenance() -> Json:
    """ROOT's version, the date, the machine, and the choices that define the likelihood."""
    return {
        "root": ROOT.gROOT.GetVersion(),
        "date": machine.today(),
        "machine": machine.describe(),
        "normsys": "FlexibleInterpVar code 4",
        "histosys": "PiecewiseInterpolation code 4 (pyhf: code4p)",
        "staterror": "Gaussian constraint, no pruning",
        "minimiser": f"Minuit2 MIGRAD, strategy 2, eps {EDM_TOLERANCE}, numerical derivatives",
    }


def main() -> None:
    """Write ``reference.json``; HistFactory works in a temporary directory, where it may drop its files."""
    ROOT.gROOT.SetBatch(True)
    ROOT.RooMsgService.instance().setGlobalKillBelow(ROOT.RooFit.ERROR)
    paths = sorted((HERE / "workspaces").glob("*.json"))
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        workspaces = {path.stem: compute(path) for path in paths}
        os.chdir(HERE)
    content = {"provenance": provenance(), "workspaces": workspaces}
    (HERE / "reference.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
