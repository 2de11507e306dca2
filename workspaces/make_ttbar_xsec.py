"""Write ttbar_xsec.yaml and its two components: the top-quark pair cross-section at 8 TeV by ATLAS and CMS.

Source: ATLAS and CMS Collaborations, "Combination of ATLAS and CMS top quark pair cross section measurements in the
e mu final state using proton-proton collisions at sqrt(s) = 8 TeV", ATLAS-CONF-2014-054, CMS PAS TOP-14-016 (2014),
Table 1, with the names that sources have there.  Published: 241.5 ± 1.4 (stat) ± 5.7 (syst) ± 6.2 (lumi) pb.

The table was not read from the note but from the worked example of another program, whose BLUE combination of these
numbers is 241.4645 pb (github.com/tomneep/blue, docs/notebooks/ATLAS-CONF-2014-054.ipynb).  Independent of it, the
sums of the columns are those of the two papers: 242.4 ± 1.7 ± 10.2 pb (ATLAS, arXiv:1406.5375) and
239 ± 2 ± 11 ± 6 pb (CMS, arXiv:1312.7582).

Nothing is assumed here but that a zero in the table is no source.

Run it from anywhere, `python workspaces/make_ttbar_xsec.py`; it needs the standard library only.
"""

from __future__ import annotations

import json
from pathlib import Path

VALUES = {"ATLAS": 242.4, "CMS": 239.0}  # pb
STAT = {"ATLAS": 1.7, "CMS": 2.6}  # pb

TABLE = {  # source: shift of ATLAS and of CMS in pb, and their correlation
    "Trig": (0.4, 3.6, 0.0),
    "LepS": (1.2, 0.2, 0.0),
    "LepI": (1.7, 4.0, 0.0),
    "JetR": (1.2, 3.0, 0.0),
    "JetI": (0.1, 0.0, 0.0),
    "btag": (1.0, 1.7, 0.0),
    "Pile": (0.0, 2.0, 0.0),
    "JESu": (0.6, 4.3, 0.0),
    "JESi": (0.6, 0.6, 0.0),
    "JESc": (0.3, 0.1, 0.5),
    "JESf": (0.9, 2.9, 1.0),
    "JESb": (0.1, 0.0, 0.0),
    "Scale": (0.7, 5.6, 0.5),
    "Rad": (0.0, 3.8, 0.0),
    "MC+PS": (3.0, 3.3, 0.5),
    "PDF": (2.7, 0.5, 1.0),
    "Z+j": (0.1, 1.5, 0.0),
    "LepM": (0.8, 1.9, 0.0),
    "DiBos": (0.3, 0.5, 1.0),
    "STop": (2.0, 2.3, 1.0),
    "Vdm": (2.9, 5.0, 1.0),
    "Lumi": (6.9, 3.6, 0.0),
}
LUMINOSITY = ("Vdm", "Lumi")
REFERENCE = "ATLAS-CONF-2014-054, CMS PAS TOP-14-016, Table 1"


def component(experiment: str, column: int) -> dict[str, object]:
    """One experiment's measurement in the format infer-measurements."""
    shifts = {source: row[column] for source, row in TABLE.items() if row[column] > 0.0}
    groups = {source: {"group": "luminosity"} if source in LUMINOSITY else {} for source in shifts}
    return {
        "format": "infer-measurements",
        "version": 1,
        "title": f"Top-quark pair cross-section at 8 TeV, e mu, {experiment}",
        "reference": REFERENCE,
        "poi": "sigma_ttbar",
        "observables": [{"name": "sigma_ttbar", "unit": "pb", "latex": r"\sigma_{t\bar{t}}"}],
        "measurements": [
            {
                "name": experiment,
                "observable": "sigma_ttbar",
                "value": VALUES[experiment],
                "stat": STAT[experiment],
                "syst": shifts,
            }
        ],
        "sources": {source: {"correlation": 1.0, **groups[source]} for source in shifts},
    }


def scheme() -> str:
    """The combination as YAML."""
    one = [source for source, row in TABLE.items() if row[2] == 1.0]
    partial = {source: row[2] for source, row in TABLE.items() if 0.0 < row[2] < 1.0}
    lines = [
        "format: infer-combination",
        "version: 1",
        "title: Top-quark pair cross-section at 8 TeV, e mu, ATLAS and CMS",
        f"reference: {REFERENCE}",
        "components:",
        "  ATLAS: ttbar_xsec_atlas.json",
        "  CMS: ttbar_xsec_cms.json",
        "scheme:",
        "  poi: sigma_ttbar",
        f"  shared: [{', '.join(one)}]",
        "  by_name: false  # every other source has one parameter for each experiment",
        "  partial:",
        *(
            f'    - {{name: {name}, parameters: ["ATLAS.{name}", "CMS.{name}"], rho: {rho}}}'
            for name, rho in partial.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the three files beside this script."""
    folder = Path(__file__).parent
    for column, experiment in enumerate(VALUES):
        text = json.dumps(component(experiment, column), indent=2, ensure_ascii=False)
        (folder / f"ttbar_xsec_{experiment.lower()}.json").write_text(text + "\n", encoding="utf-8")
    (folder / "ttbar_xsec.yaml").write_text(scheme(), encoding="utf-8")


if __name__ == "__main__":
    main()
