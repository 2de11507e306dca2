"""Write the workspaces of the ROOT comparison: ``python -m validation.root_reference.make_workspaces``.

The first ten have the physics content of pyhf's own validation against ROOT (scikit-hep/pyhf,
tests/test_validation.py and validation/data, Apache-2.0): the same numbers of signal, background, uncertainty and
data. The others close gaps of that list: asymmetric and one-sided variations, a name shared between a normsys and a
histosys, every modifier at once, bins with a million events, and bins with none.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]
WORKSPACES = Path(__file__).parent / "workspaces"
MU: Json = {"name": "mu", "type": "normfactor", "data": None}
LUMI: Json = {"name": "lumi", "type": "lumi", "data": None}


def normsys(name: str, lo: float, hi: float) -> Json:
    """Overall variation of a sample by the factors `lo` and `hi` at minus and plus one standard deviation."""
    return {"name": name, "type": "normsys", "data": {"lo": lo, "hi": hi}}


def histosys(name: str, lo: Sequence[float], hi: Sequence[float]) -> Json:
    """Shape variation of a sample: its yields at minus and plus one standard deviation."""
    return {"name": name, "type": "histosys", "data": {"lo_data": list(lo), "hi_data": list(hi)}}


def per_bin(kind: str, name: str, uncertainty: Sequence[float] | None) -> Json:
    """A modifier with one parameter per bin: shapesys and staterror (absolute uncertainties) or shapefactor (none)."""
    return {"name": name, "type": kind, "data": None if uncertainty is None else list(uncertainty)}


def sample(name: str, data: Sequence[float], *modifiers: Json) -> Json:
    """One sample of a channel."""
    return {"name": name, "data": list(data), "modifiers": list(modifiers)}


def workspace(
    observed: dict[str, Sequence[float]],
    channels: dict[str, Sequence[Json]],
    parameters: Sequence[Json] = (),
) -> Json:
    """A pyhf workspace with one measurement whose parameter of interest is ``mu``."""
    return {
        "channels": [{"name": name, "samples": list(samples)} for name, samples in channels.items()],
        "observations": [{"name": name, "data": list(observed[name])} for name in channels],
        "measurements": [{"name": "meas", "config": {"poi": "mu", "parameters": list(parameters)}}],
        "version": "1.0.0",
    }


def lumi(sigma: float) -> Json:
    """Luminosity known to the relative uncertainty `sigma`."""
    bounds = [[1.0 - 5.0 * sigma, 1.0 + 5.0 * sigma]]
    return {"name": "lumi", "auxdata": [1.0], "sigmas": [sigma], "bounds": bounds, "inits": [1.0]}


def single_channel() -> dict[str, Json]:
    """One channel, one kind of modifier at a time (pyhf's list)."""
    return {
        "one_bin_shapesys": workspace(
            {"sr": [55.0]},
            {"sr": [sample("signal", [10.0], MU), sample("bkg", [50.0], per_bin("shapesys", "shape", [7.0]))]},
        ),
        "one_bin_lumi": workspace(
            {"sr": [55.0]},
            {"sr": [sample("signal", [20.0], MU), sample("bkg1", [100.0], LUMI), sample("bkg2", [0.0], LUMI)]},
            [lumi(0.1)],
        ),
        "two_bin_normsys": workspace(
            {"sr": [120.0, 180.0]},
            {"sr": [sample("signal", [30.0, 95.0], MU), sample("bkg", [100.0, 150.0], normsys("norm", 0.9, 1.1))]},
        ),
        "two_bin_histosys": workspace(
            {"sr": [120.0, 180.0]},
            {
                "sr": [
                    sample("signal", [30.0, 95.0], MU),
                    sample("bkg", [100.0, 150.0], histosys("shape", [98.0, 100.0], [102.0, 190.0])),
                ]
            },
        ),
        "two_bin_shapesys_masked": workspace(
            {"sr": [100.0, 10.0]},
            {
                "sr": [
                    sample("signal", [20.0, 10.0], MU),
                    sample("bkg", [100.0, 10.0], per_bin("shapesys", "shape", [10.0, 0.0])),
                ]
            },
        ),
        "two_bin_staterror": workspace(
            {"sr": [100.0, 100.0]},
            {
                "sr": [
                    sample("signal", [10.0, 10.0], MU),
                    sample("bkg1", [50.0, 70.0], per_bin("staterror", "staterror_sr", [10.0, 10.0])),
                    sample("bkg2", [30.0, 20.0], per_bin("staterror", "staterror_sr", [5.0, 5.0])),
                    sample("bkg3", [20.0, 15.0]),
                ]
            },
        ),
    }


def two_channels() -> dict[str, Json]:
    """A signal and a control channel that share a parameter (pyhf's list)."""
    return {
        "two_channel_shapesys": workspace(
            {"sr": [110.0, 155.0], "cr": [205.0, 345.0]},
            {
                "sr": [
                    sample("signal", [10.0, 35.0], MU),
                    sample("bkg", [100.0, 150.0], per_bin("shapesys", "shape_sr", [10.0, 10.0])),
                ],
                "cr": [sample("bkg", [200.0, 350.0], per_bin("shapesys", "shape_cr", [5.0, 10.0]))],
            },
        ),
        "two_channel_normsys": workspace(
            {"sr": [105.0, 220.0], "cr": [110.0, 105.0]},
            {
                "sr": [
                    sample("signal", [10.0, 35.0], MU),
                    sample("bkg1", [100.0, 100.0], normsys("norm", 0.9, 1.1)),
                    sample("bkg2", [50.0, 100.0], normsys("norm", 0.5, 1.5)),
                ],
                "cr": [sample("bkg1", [100.0, 100.0], normsys("norm", 0.9, 1.1))],
            },
        ),
        "two_channel_histosys": workspace(
            {"sr": [170.0, 220.0], "cr": [110.0, 105.0]},
            {
                "sr": [
                    sample("signal", [30.0, 35.0], MU),
                    sample("bkg1", [100.0, 100.0], histosys("shape", [90.0, 90.0], [110.0, 110.0])),
                    sample("bkg2", [50.0, 120.0], histosys("shape", [45.0, 45.0], [55.0, 55.0])),
                ],
                "cr": [sample("bkg1", [105.0, 100.0], histosys("shape", [95.0, 90.0], [110.0, 115.0]))],
            },
        ),
        "two_channel_shapefactor": workspace(
            {"sr": [220.0, 230.0], "cr": [200.0, 300.0]},
            {
                "sr": [
                    sample("signal", [20.0, 20.0], MU),
                    sample("bkg", [100.0, 70.0], per_bin("shapefactor", "shape", None)),
                ],
                "cr": [sample("bkg", [100.0, 100.0], per_bin("shapefactor", "shape", None))],
            },
        ),
    }


def harder() -> dict[str, Json]:
    """What pyhf's list leaves out."""
    return {
        "asymmetric_variations": workspace(
            {"sr": [52.0, 47.0, 31.0]},
            {
                "sr": [
                    sample("signal", [4.0, 8.0, 12.0], MU, normsys("theory", 0.93, 1.12)),
                    sample(
                        "bkg",
                        [48.0, 36.0, 20.0],
                        normsys("scale", 0.80, 1.35),
                        normsys("one_sided", 1.10, 1.20),
                        histosys("scale", [44.0, 35.0, 21.0], [55.0, 38.0, 18.5]),
                        histosys("same_direction", [50.0, 37.0, 21.0], [51.0, 36.5, 22.0]),
                    ),
                ]
            },
        ),
        "all_modifiers": workspace(
            {"sr": [35.0, 28.0, 14.0], "cr": [210.0, 171.0, 90.0], "vr": [64.0, 50.0]},
            {
                "sr": [
                    sample("signal", [3.0, 6.0, 9.0], MU, LUMI, normsys("theory", 0.95, 1.06)),
                    sample(
                        "bkg1",
                        [20.0, 15.0, 4.0],
                        LUMI,
                        {"name": "k_bkg1", "type": "normfactor", "data": None},
                        histosys("jes", [18.5, 14.2, 4.3], [21.8, 15.9, 3.6]),
                        per_bin("staterror", "staterror_sr", [1.2, 1.0, 0.5]),
                    ),
                    sample(
                        "bkg2",
                        [10.0, 6.0, 2.0],
                        LUMI,
                        normsys("jes", 0.92, 1.05),
                        per_bin("staterror", "staterror_sr", [0.9, 0.7, 0.4]),
                    ),
                ],
                "cr": [
                    sample(
                        "bkg1",
                        [180.0, 150.0, 80.0],
                        LUMI,
                        {"name": "k_bkg1", "type": "normfactor", "data": None},
                        histosys("jes", [172.0, 147.0, 82.0], [190.0, 152.0, 77.0]),
                        per_bin("staterror", "staterror_cr", [4.0, 3.5, 2.5]),
                    ),
                    sample("fakes", [25.0, 18.0, 9.0], per_bin("shapesys", "fakes_cr", [5.0, 4.0, 3.0])),
                ],
                "vr": [
                    sample("bkg1", [30.0, 25.0], LUMI, {"name": "k_bkg1", "type": "normfactor", "data": None}),
                    sample("free", [30.0, 25.0], per_bin("shapefactor", "shape_vr", None)),
                ],
            },
            [lumi(0.02)],
        ),
        "many_events": workspace(
            {"sr": [1004000.0, 2010000.0]},
            {
                "sr": [
                    sample("signal", [10000.0, 30000.0], MU),
                    sample(
                        "bkg", [1.0e6, 2.0e6], normsys("norm", 0.98, 1.02), per_bin("shapesys", "shape", [2.0e3, 3.0e3])
                    ),
                ]
            },
        ),
        "empty_bins": workspace(
            {"sr": [0.0, 1.0, 0.0]},
            {
                "sr": [
                    sample("signal", [0.5, 1.0, 2.0], MU),
                    sample(
                        "bkg",
                        [0.4, 0.3, 0.1],
                        normsys("norm", 0.8, 1.3),
                        per_bin("shapesys", "shape", [0.2, 0.15, 0.05]),
                    ),
                ]
            },
        ),
    }


def workspaces() -> dict[str, Json]:
    """All workspaces of the comparison by name."""
    return single_channel() | two_channels() | harder()


def main() -> None:
    """Write every workspace as ``workspaces/NAME.json``."""
    WORKSPACES.mkdir(exist_ok=True)
    for name, content in workspaces().items():
        (WORKSPACES / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
