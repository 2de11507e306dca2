"""Write peak.json and peak.csv: a resonance like the Z seen in muon pairs, event by event.

The events are invented.  Each is drawn by steps that do not use infer:

1. The mass of the pair, from a relativistic Breit-Wigner with running width, MASS and WIDTH.  With
   fixed width M' = M / sqrt(1 + g^2), W' = W / sqrt(1 + g^2), g = W / M, its square s is a Cauchy
   variable of median M'^2 and half-width M' W'; that density has a factor t = sqrt(s) too many,
   which is taken out by rejection.
2. Photons take a fraction x of s, with the radiator of soft-photon exponentiation (BETA, muons):
   the soft part is u^(1/beta) with u uniform, the hard part is taken out by rejection.
3. The momentum scale is wrong by SCALE, and the resolution is Gaussian, RESOLUTION times the mass.
4. The background falls exponentially with SLOPE.

Run it from anywhere, `python workspaces/make_parametric.py`; it needs the standard library only,
whose generator gives the same numbers for the same seed on every version.
"""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from statistics import NormalDist

SEED = 20110830
LOW, HIGH = 60.0, 120.0  # GeV, the range of the fit
N_SIGNAL, N_BACKGROUND = 3100, 900  # events generated; not all of the signal lies in the range

MASS, WIDTH = 91.19, 2.50  # GeV
BETA = 0.0582  # 2 alpha / pi (log(M^2 / m_muon^2) - 1)
RESOLUTION = 0.0125  # of the mass
SCALE = 0.0006  # relative; the analysis allows 0.001
SLOPE = -0.04  # 1/GeV

NOTES = [
    "Invented events; see make_parametric.py.",
    "The resolution is known to 0.1 GeV and the momentum scale to 0.1 %, as if from another resonance.",
]


def pair_mass(rng: random.Random) -> float:
    """Mass in GeV of one pair before radiation."""
    g2 = 1.0 + (WIDTH / MASS) ** 2
    while True:
        s = (MASS**2 + MASS * WIDTH * math.tan(math.pi * (rng.random() - 0.5))) / g2
        if s > 1600.0 and rng.random() < 40.0 / math.sqrt(s):
            return math.sqrt(s)


def kept_fraction(rng: random.Random) -> float:
    """What radiation leaves of the squared mass."""
    soft = BETA * (1.0 + 0.75 * BETA)
    while True:
        x = rng.random() ** (1.0 / BETA)
        if rng.random() < 1.0 - 0.5 * BETA * (2.0 - x) * x ** (1.0 - BETA) / soft:
            return 1.0 - x


def signal_event(rng: random.Random) -> float:
    """Reconstructed mass in GeV of one event of the resonance."""
    seen = pair_mass(rng) * math.sqrt(kept_fraction(rng))
    smeared = 1.0 + RESOLUTION * NormalDist().inv_cdf(1.0 - rng.random())
    return seen * (1.0 + SCALE) * smeared


def background_event(rng: random.Random) -> float:
    """Reconstructed mass in GeV of one background event."""
    fraction = rng.random() * -math.expm1(SLOPE * (HIGH - LOW))
    return LOW + math.log1p(-fraction) / SLOPE


def events() -> list[float]:
    """All reconstructed masses within the range, in random order."""
    rng = random.Random(SEED)
    masses = [signal_event(rng) for _ in range(N_SIGNAL)]
    masses += [background_event(rng) for _ in range(N_BACKGROUND)]
    rng.shuffle(masses)
    return [mass for mass in masses if LOW <= mass <= HIGH]


def document() -> dict[str, object]:
    """The document in the format infer-parametric."""
    return {
        "format": "infer-parametric",
        "version": 1,
        "title": "A resonance like the Z in muon pairs: mass and width from single events",
        "notes": NOTES,
        "poi": "m",
        "data": {"file": "peak.csv", "column": "mass"},
        "range": [LOW, HIGH],
        "parameters": [
            {"name": "m", "init": 91.0, "bounds": [85, 97], "unit": "GeV", "latex": "m"},
            {"name": "width", "init": 2.5, "bounds": [0.5, 6], "unit": "GeV", "latex": "\\Gamma"},
            {"name": "n_signal", "init": 3000.0, "bounds": [0, 100000]},
            {"name": "n_background", "init": 1000.0, "bounds": [0, 100000]},
            {"name": "slope", "init": -0.03, "bounds": [-0.5, 0.5], "unit": "1/GeV"},
            {
                "name": "momentum_scale",
                "init": 0.0,
                "bounds": [-5, 5],
                "constraint": {"normal": 1.0},
                "group": "momentum scale",
            },
            {
                "name": "resolution",
                "init": 1.1,
                "bounds": [0.4, 3],
                "constraint": {"normal": 0.1},
                "unit": "GeV",
                "group": "momentum resolution",
            },
        ],
        "components": [
            {
                "name": "signal",
                "yield": "n_signal",
                "density": "radiated_breit_wigner",
                "arguments": {
                    "mass": {"base": "m", "scale": {"momentum_scale": 0.001}},
                    "width": "width",
                    "resolution": "resolution",
                    "radiation": BETA,
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


def files() -> dict[str, str]:
    """Content of every file by its name."""
    rows = "".join(f"{mass:.3f}\n" for mass in events())
    return {
        "peak.json": json.dumps(document(), indent=2) + "\n",
        "peak.csv": "mass\n" + rows,
    }


if __name__ == "__main__":
    for name, content in files().items():
        path = Path(__file__).with_name(name)
        path.write_text(content, encoding="utf-8")
        print(f"wrote {path.name}, {len(content)} bytes")
