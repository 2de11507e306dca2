"""The mass and the width of the Z from 10 583 muon pairs that CMS recorded in 2011.

``python -m validation.zmumu Zmumu_Run2011A.csv`` prints the tables of docs/studies/zmumu.md.  The file
is CMS open data, with a line of pt, eta, phi and charge of two muons per event; pairs of opposite
charge are used.  `document` writes the analysis down in the format infer-parametric.
"""

from __future__ import annotations

import copy
import csv
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from infer.api import measure
from infer.data import Data
from infer.inference.fits import FitResult, fit
from infer.io.parametric import parse_parametric
from infer.likelihoods.parametric import Binned, Unbinned
from infer.numerics.resonances import radiation_strength

FloatArray = npt.NDArray[np.float64]
Document = dict[str, Any]

MUON_MASS = 0.1056583755  # GeV
Z_MASS = 91.19  # GeV, for the strength of radiation only
LOW, HIGH = 60.0, 120.0  # GeV
SCALE = 0.002  # relative precision of the momentum scale, arXiv:1206.4071
RESOLUTION = (1.1, 0.2)  # GeV; 1.3 % to 2.0 % in the momentum of muons in the barrel, over sqrt(2)

Pairs = dict[str, FloatArray]


def read_pairs(path: Path) -> Pairs:
    """Columns of the events with opposite charges: ``mass`` in GeV and ``pt``, of the softer muon, in GeV."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if float(row["Q1"]) * float(row["Q2"]) < 0.0]
    first, second = ({k: np.array([float(row[k + n]) for row in rows]) for k in ("pt", "eta", "phi")} for n in "12")
    return {"mass": pair_mass(first, second), "pt": np.minimum(first["pt"], second["pt"])}


def pair_mass(first: Pairs, second: Pairs) -> FloatArray:
    """Invariant mass in GeV of two muons, m^2 = 2 m_mu^2 + 2 (E1 E2 - p1 p2)."""
    energies, longitudinal = [], []
    for muon in (first, second):
        longitudinal.append(muon["pt"] * np.sinh(muon["eta"]))
        energies.append(np.hypot(muon["pt"] * np.cosh(muon["eta"]), MUON_MASS))
    transverse = first["pt"] * second["pt"] * np.cos(first["phi"] - second["phi"])
    product = energies[0] * energies[1] - longitudinal[0] * longitudinal[1] - transverse
    return np.asarray(np.sqrt(2.0 * (MUON_MASS**2 + product)))


def document() -> Document:
    """The analysis: a radiating Breit-Wigner with Gaussian resolution on an exponential background."""
    mass = {"base": "m", "scale": {"momentum_scale": SCALE}}
    return {
        "format": "infer-parametric",
        "version": 1,
        "title": "Mass and width of the Z from muon pairs",
        "poi": "m",
        "data": {"file": "pairs.csv", "column": "mass"},
        "range": [LOW, HIGH],
        "parameters": [
            {"name": "m", "init": 91.0, "bounds": [85, 97], "unit": "GeV"},
            {"name": "width", "init": 2.5, "bounds": [0.5, 6], "unit": "GeV"},
            {"name": "n_signal", "init": 9000.0, "bounds": [0, 1e5]},
            {"name": "n_background", "init": 1000.0, "bounds": [0, 1e5]},
            {"name": "slope", "init": -0.04, "bounds": [-0.5, 0.5], "unit": "1/GeV"},
            _constrained("momentum_scale", 0.0, 1.0, [-5, 5]),
            _constrained("resolution", *RESOLUTION, [0.4, 3]),
            _constrained("tilt", 0.0, 1.0, [-5, 5]),
        ],
        "components": [
            {
                "name": "signal",
                "yield": "n_signal",
                "density": "radiated_breit_wigner",
                "arguments": {
                    "mass": mass,
                    "width": "width",
                    "resolution": "resolution",
                    "tilt": "tilt",
                    "radiation": radiation_strength(Z_MASS, MUON_MASS),
                },
            },
            {
                "name": "background",
                "yield": "n_background",
                "density": "exponential",
                "arguments": {"slope": "slope"},
            },
        ],
    }


def _constrained(name: str, init: float, width: float, bounds: list[float]) -> Document:
    return {"name": name, "init": init, "bounds": bounds, "constraint": {"normal": width}}


def parse(analysis: Document, masses: FloatArray) -> tuple[Unbinned | Binned, Data]:
    """Likelihood and data of an analysis for given masses in GeV."""
    with tempfile.TemporaryDirectory() as folder:
        rows = "".join(f"{float(mass)!r}\n" for mass in masses)
        (Path(folder) / "pairs.csv").write_text("mass\n" + rows, encoding="utf-8")
        likelihood, data, _ = parse_parametric(analysis, source="zmumu", directory=folder)
    return likelihood, data


@dataclass(frozen=True)
class Goodness:
    """The likelihood-ratio chi-square of a fitted curve in 1 GeV bins (Baker and Cousins 1984)."""

    chi_square: float
    degrees_of_freedom: int

    @property
    def p_value(self) -> float:
        """Probability of a larger chi-square."""
        return float(chi2.sf(self.chi_square, self.degrees_of_freedom))


def goodness(analysis: Document, masses: FloatArray, fitted: FitResult) -> Goodness:
    """Compare the fitted curve with the events in bins of 1 GeV; constraints count as data."""
    low, high = analysis["range"]
    binned, data = parse(analysis | {"bins": round(high - low)}, masses)
    n, nu = np.asarray(data.main), np.asarray(binned.expected_main(jnp.asarray(fitted.values)))
    deviance = 2.0 * float(np.sum(nu - n + n * np.log(np.where(n > 0, n / nu, 1.0))))
    free = int(np.sum(fitted.inactive)) - len(binned.parameters.constrained)
    return Goodness(deviance, n.size - free)


def _without_radiation(analysis: Document) -> None:
    signal = analysis["components"][0]
    signal["density"] = "breit_wigner"
    del signal["arguments"]["radiation"]


def _without_radiation_and_tilt(analysis: Document) -> None:
    _without_radiation(analysis)
    analysis["parameters"][7]["fixed"] = True


def _bernstein(analysis: Document) -> None:
    analysis["components"][1]["density"] = "bernstein"
    analysis["components"][1]["arguments"] = {"coefficients": [1, "c1", "c2"]}
    analysis["parameters"][4:5] = [{"name": c, "init": 0.5, "bounds": [0, 20]} for c in ("c1", "c2")]


def _range(low: float, high: float) -> Callable[[Document], None]:
    return lambda analysis: analysis.update(range=[low, high])


def _parameter(at: int, **changes: object) -> Callable[[Document], None]:
    return lambda analysis: analysis["parameters"][at].update(changes)


VARIATIONS: dict[str, Callable[[Document], None]] = {
    "baseline": lambda _: None,
    "binned, 1 GeV": lambda analysis: analysis.update(bins=60),
    "no final-state radiation": _without_radiation,
    "no final-state radiation, no tilt": _without_radiation_and_tilt,
    "no tilt": _parameter(7, fixed=True),
    "polynomial background": _bernstein,
    "70 to 110 GeV": _range(70.0, 110.0),
    "80 to 100 GeV": _range(80.0, 100.0),
    "resolution known to 0.05 GeV": _parameter(6, constraint={"normal": 0.05}),
    "resolution known to 1 GeV": _parameter(6, constraint={"normal": 1.0}),
}


def row(label: str, analysis: Document, masses: FloatArray) -> str:
    """One line of the table of variations."""
    likelihood, data = parse(analysis, masses)
    fitted = fit(likelihood, data)
    good = goodness(analysis, masses, fitted)
    numbers = " | ".join(f"{fitted.value(k):.3f} ± {fitted.uncertainty(k):.3f}" for k in ("m", "width", "resolution"))
    verdict = f"{good.chi_square:.1f} / {good.degrees_of_freedom} | {good.p_value:.2g}"
    return f"| {label} | {numbers} | {fitted.value('tilt'):.2f} | {verdict} |"


def main(path: Path) -> None:
    """Print the table of variations and the measurements."""
    pairs = read_pairs(path)
    print("| fit | m, GeV | Γ, GeV | resolution, GeV | tilt | χ² / ndf | p |\n|---|---|---|---|---|---|---|")
    for label, vary in VARIATIONS.items():
        analysis = copy.deepcopy(document())
        vary(analysis)
        print(row(label, analysis, pairs["mass"]), flush=True)
    print(row("both muons above 20 GeV", document(), pairs["mass"][pairs["pt"] > 20.0]))
    likelihood, data = parse(document(), pairs["mass"])
    print(fit(likelihood, data, verify=True).table())
    for poi in ("m", "width"):
        print(measure(likelihood, data, poi=poi).table())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
