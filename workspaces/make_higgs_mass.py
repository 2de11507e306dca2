"""Write higgs_mass.json: the four Run-1 measurements of the Higgs boson mass by ATLAS and CMS.

Source: ATLAS and CMS Collaborations, "Combined Measurement of the Higgs Boson Mass in pp Collisions
at sqrt(s) = 7 and 8 TeV with the ATLAS and CMS Experiments", Phys. Rev. Lett. 114 (2015) 191803,
arXiv:1503.07589.

What is published: the values with their total statistical and systematic uncertainties (INPUTS),
and how each systematic uncertainty splits into effects (TABLE, the observed columns of Table 1,
rounded there to 0.01 GeV; "<0.01" is 0 here).  The entries have not been compared
one by one with the printed table: the sums in quadrature of its columns, 0.27, 0.15, 0.04 and 0.16 GeV, are those that
the paper prints, but a single entry should be compared with it before it is quoted.

What is assumed here:

1. Each column of the table is scaled so that its sum in quadrature is the published systematic
   uncertainty (factors 0.999, 1.002, 0.943, 1.042: within the rounding of the entries, but for the
   last, where the paper itself prints 0.16 for the sum and 0.17 for the fit).
2. What an experiment calibrates with Z→ee moves its photons and its electrons together.  For ATLAS
   the table has one row for both; for CMS, the row of the electron energy scale and resolution is
   taken as part of that calibration.
3. The luminosity and the theory of the signal are common to all.
4. Everything else is independent, between the experiments and between the decay channels.

Run it from anywhere, `python workspaces/make_higgs_mass.py`; it needs the standard library only.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

MEASUREMENTS = ("ATLAS γγ", "CMS γγ", "ATLAS 4ℓ", "CMS 4ℓ")

INPUTS = {  # GeV: value, stat, syst
    "ATLAS γγ": (126.02, 0.43, 0.27),
    "CMS γγ": (124.70, 0.31, 0.15),
    "ATLAS 4ℓ": (124.51, 0.52, 0.04),
    "CMS 4ℓ": (125.59, 0.42, 0.17),
}

TABLE = {  # GeV, in the order of MEASUREMENTS
    "photon non-linearity": (0.14, 0.10, 0.0, 0.0),
    "material in front of ECAL": (0.15, 0.07, 0.0, 0.0),
    "ECAL longitudinal response": (0.12, 0.02, 0.0, 0.0),
    "ECAL lateral shower shape": (0.09, 0.06, 0.0, 0.0),
    "photon energy resolution": (0.03, 0.01, 0.0, 0.0),
    "γγ vertex and conversions": (0.05, 0.0, 0.0, 0.0),
    "Z→ee calibration": (0.05, 0.05, 0.03, 0.12),
    "muon momentum": (0.0, 0.0, 0.03, 0.11),
    "γγ background model": (0.04, 0.0, 0.0, 0.0),
    "luminosity": (0.01, 0.01, 0.0, 0.0),
    "additional experimental": (0.03, 0.02, 0.0, 0.01),
    "theory": (0.0, 0.02, 0.0, 0.0),
}

WITHIN_EXPERIMENT = [
    [1.0, 0.0, 1.0, 0.0],
    [0.0, 1.0, 0.0, 1.0],
    [1.0, 0.0, 1.0, 0.0],
    [0.0, 1.0, 0.0, 1.0],
]

CORRELATIONS: dict[str, float | list[list[float]]] = {
    "Z→ee calibration": WITHIN_EXPERIMENT,
    "luminosity": 1.0,
    "theory": 1.0,
}  # every other source: 0

NOTES = [
    "Published: value, stat, and the sum in quadrature of syst, for each measurement.",
    "Published, to 0.01 GeV: the split of syst into sources (Table 1); entries not compared with the printed table.",
    "Assumed: each split is scaled so that its sum in quadrature is the published uncertainty.",
    "Assumed: all correlations; make_higgs_mass.py gives the reasons.",
]


def shifts() -> dict[str, dict[str, float]]:
    """Shift in GeV by measurement and source, each column scaled to the published uncertainty."""
    columns = {}
    for i, name in enumerate(MEASUREMENTS):
        column = {source: row[i] for source, row in TABLE.items() if row[i]}
        scale = INPUTS[name][2] / math.hypot(*column.values())
        columns[name] = {source: round(scale * shift, 6) for source, shift in column.items()}
    return columns


def document() -> dict[str, object]:
    """The document in the format "infer-measurements"."""
    split = shifts()
    return {
        "format": "infer-measurements",
        "version": 1,
        "title": "Higgs boson mass, ATLAS and CMS, Run 1",
        "reference": "Phys. Rev. Lett. 114 (2015) 191803, arXiv:1503.07589",
        "notes": NOTES,
        "poi": "m_H",
        "observables": [{"name": "m_H", "latex": "m_H", "unit": "GeV", "init": 125.0}],
        "measurements": [
            {
                "name": name,
                "observable": "m_H",
                "value": value,
                "stat": stat,
                "syst": split[name],
            }
            for name, (value, stat, _) in INPUTS.items()
        ],
        "sources": {name: {"correlation": CORRELATIONS.get(name, 0.0)} for name in TABLE},
        "combinations": {
            "gamma gamma": ["ATLAS γγ", "CMS γγ"],
            "four leptons": ["ATLAS 4ℓ", "CMS 4ℓ"],
            "ATLAS": ["ATLAS γγ", "ATLAS 4ℓ"],
            "CMS": ["CMS γγ", "CMS 4ℓ"],
        },
    }


def main() -> None:
    """Write the document beside this script."""
    path = Path(__file__).with_name("higgs_mass.json")
    path.write_text(json.dumps(document(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
