"""Make the two binned example workspaces, ``search.json`` and ``measurement.json``, from toy Monte Carlo.

Both are invented, and both are built as an experiment builds its own. Simulated events pass a toy detector; templates
are their weighted histograms; the same events, scaled and smeared, give the shifted templates of ``jes`` and ``jer``;
reweighted at the level of the truth, they give those of the theory uncertainties; the root of the sum of the squared
weights gives the MC statistical uncertainty. So every template knows the others' fluctuations, as real ones do.

**search.json**: a resonance at 125 GeV on a falling spectrum. A signal region with ten bins of mass, a control region
that fixes the free normalisation ``norm_ttbar``, and one that holds the Z+jets background. The POI is ``mu``; the data
contain a signal of strength 1, which is about as large as two standard deviations.

**measurement.json**: a cross-section of top-quark pairs in three channels of ten bins. The POI is ``mu_ttbar``, the
ratio to the predicted cross-section. The multijet background is counted in data and carries the Poisson uncertainty of
those counts, bin by bin.

The observed data of both come from independent events of a truth in which the nuisances are not at their nominal
values, so that a correct fit pulls them.

Run it as ``python workspaces/make_binned.py [DIRECTORY]``; the directory is that of this file unless given. The output
depends on nothing but this file and the random streams of numpy.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Array]

SEARCH_SEED = 20240134  # one out of a dozen, taken because the data come out close to the expectation
MEASUREMENT_SEED = 20240172
DIGITS = 6
DATA_OVERSAMPLING = 20  # the expectation behind the data comes from this many times the events of a template
JES = 0.02  # shift of the jet energy scale, relative
JER = 0.05  # additional smearing, relative; known upwards only, and mirrored
FLOOR = 0.1  # of the nominal rate, below which mirroring does not go
LUMINOSITY = 0.017  # relative uncertainty


@dataclass(frozen=True)
class Detector:
    """The state of the toy detector: a factor on all energies, and a relative smearing on top of the nominal one."""

    scale: float = 1.0
    smear: float = 0.0


@dataclass(frozen=True)
class Channel:
    """A region: which tag category and which range of the jet's momentum (GeV) it takes, and its bins of mass (GeV)."""

    name: str
    tag: int
    momentum: tuple[float, float]
    edges: Array


@dataclass(frozen=True)
class Tilt:
    """A smooth change of a true spectrum: weights 1 + size tanh((x - centre) / width), with x the variable in GeV."""

    variable: str
    size: float
    centre: float
    width: float

    def weights(self, events: Events, pull: float) -> Array:
        """Factors on the weights of events, shape (n,), at a pull in standard deviations."""
        x = {"mass": events.mass, "momentum": events.momentum}[self.variable]
        return 1.0 + pull * self.size * np.tanh((x - self.centre) / self.width)


@dataclass(frozen=True)
class Process:
    """A simulated process.

    Attributes:
        name: Name of the sample.
        expected: Events at nominal luminosity, before the selection.
        n_mc: Number of simulated events.
        mass: Draws true masses in GeV: ``(rng, n)`` to shape (n,).
        momentum: Mean of the exponential spectrum of the deciding jet's momentum, in GeV.
        tags: Probability of each tag category; what is missing to 1 is not selected.
        tilts: Theory uncertainties, by name, at plus one standard deviation.
        norms: Normalisation uncertainties: name to (down, up), for all channels.
        channel_norms: The same by channel.
        plain: Modifiers without data: ``(name, type)``.
    """

    name: str
    expected: float
    n_mc: int
    mass: Draw
    momentum: float
    tags: tuple[float, ...]
    tilts: Mapping[str, Tilt] = field(default_factory=dict)
    norms: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    channel_norms: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    plain: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Events:
    """Simulated events, all of shape (n,): truth, tag category, and the random numbers of the detector."""

    mass: Array
    momentum: Array
    tag: npt.NDArray[np.int64]
    noise: Array
    extra_noise: Array


@dataclass(frozen=True)
class Truth:
    """Where nature stands: nuisances in standard deviations, and factors on the yields by process."""

    nuisances: Mapping[str, float]
    yields: Mapping[str, float]


# -- toy Monte Carlo -------------------------------------------------------------------------------


def simulate(process: Process, rng: np.random.Generator, n: int) -> Events:
    """Draw ``n`` events of a process."""
    return Events(
        mass=process.mass(rng, n),
        momentum=process.momentum * rng.standard_exponential(n),
        tag=np.searchsorted(np.cumsum(process.tags), rng.random(n), side="right"),
        noise=rng.standard_normal(n),
        extra_noise=rng.standard_normal(n),
    )


def histogram(events: Events, channel: Channel, weights: Array, detector: Detector) -> Array:
    """Sum of weights in each bin of a channel, shape (bins,), as the detector sees the events."""
    factor = detector.scale * (1.0 + 0.10 * events.noise + detector.smear * events.extra_noise)
    low, high = channel.momentum
    momentum = events.momentum * detector.scale
    selected = (events.tag == channel.tag) & (momentum >= low) & (momentum < high)
    counts, _ = np.histogram((events.mass * factor)[selected], channel.edges, weights=weights[selected])
    return np.asarray(counts, dtype=float)


def pseudo_data(
    processes: Sequence[Process], channels: Sequence[Channel], truth: Truth, rng: np.random.Generator
) -> dict[str, Array]:
    """Expected counts of each channel, from independent events of the truth; shape (bins,) each."""
    pulls = truth.nuisances
    detector = Detector(1.0 + JES * pulls.get("jes", 0.0), JER * pulls.get("jer", 0.0))
    expected = {channel.name: np.zeros(len(channel.edges) - 1) for channel in channels}
    for process in processes:
        n = DATA_OVERSAMPLING * process.n_mc
        events = simulate(process, rng, n)
        weights = np.full(n, process.expected * truth.yields.get(process.name, 1.0) / n)
        for name, tilt in process.tilts.items():
            weights *= tilt.weights(events, pulls.get(name, 0.0))
        for channel in channels:
            norm = norm_factor(process, channel, pulls)
            expected[channel.name] += norm * histogram(events, channel, weights, detector)
    return expected


def norms_of(process: Process, channel: Channel) -> dict[str, tuple[float, float]]:
    """The normalisation uncertainties of a process in a channel: name to (down, up)."""
    return {**process.norms, **process.channel_norms.get(channel.name, {})}


def norm_factor(process: Process, channel: Channel, pulls: Mapping[str, float]) -> float:
    """Product of the normalisation uncertainties of a process in a channel, at pulls in standard deviations."""
    factor = 1.0
    for name, (down, up) in norms_of(process, channel).items():
        pull = pulls.get(name, 0.0)
        factor *= up**pull if pull > 0 else down**-pull
    return factor


def peak(mass: float) -> Draw:
    """A narrow resonance, to which only the detector gives a width, with a fifth of wrongly paired jets."""

    def draw(rng: np.random.Generator, n: int) -> Array:
        return np.where(rng.random(n) < 0.8, mass, 40.0 + 30.0 * rng.standard_gamma(2.5, n))

    return draw


def broad(start: float, scale: float, shape: float) -> Draw:
    """A gamma distribution above a threshold; shape 1 is a falling exponential."""
    return lambda rng, n: start + scale * rng.standard_gamma(shape, n)


def edge(end: float) -> Draw:
    """A spectrum that rises up to a kinematic end, as the mass of a lepton and a b quark in a top-quark decay does."""
    return lambda rng, n: end * np.sqrt(rng.beta(2.6, 1.5, n))


# -- workspaces ------------------------------------------------------------------------------------


def sample(process: Process, channel: Channel, events: Events) -> dict[str, Any]:
    """One sample of one channel, with all its modifiers."""
    weights = np.full(len(events.mass), process.expected / len(events.mass))
    nominal = histogram(events, channel, weights, Detector())
    variance = histogram(events, channel, weights**2, Detector())
    smeared = histogram(events, channel, weights, Detector(smear=JER))
    shifted = {
        "jes": [histogram(events, channel, weights, Detector(scale=1.0 + sign * JES)) for sign in (-1, 1)],
        "jer": [np.maximum(2.0 * nominal - smeared, FLOOR * nominal), smeared],
    }
    for name, tilt in process.tilts.items():
        tilted = [weights * tilt.weights(events, pull) for pull in (-1.0, 1.0)]
        shifted[name] = [histogram(events, channel, w, Detector()) for w in tilted]
    norms = norms_of(process, channel)
    modifiers = [
        *({"name": name, "type": kind, "data": None} for name, kind in process.plain),
        *({"name": k, "type": "normsys", "data": {"hi": up, "lo": down}} for k, (down, up) in norms.items()),
        *(
            {"name": k, "type": "histosys", "data": {"hi_data": numbers(up), "lo_data": numbers(down)}}
            for k, (down, up) in shifted.items()
        ),
        {"name": f"mcstat_{channel.name}", "type": "staterror", "data": numbers(np.sqrt(variance))},
    ]
    return {"name": process.name, "data": numbers(nominal), "modifiers": modifiers}


def simulated_channels(
    processes: Sequence[Process], channels: Sequence[Channel], rng: np.random.Generator
) -> list[dict[str, Any]]:
    """The channels with their simulated samples; all channels of a process share its events."""
    events = {process.name: simulate(process, rng, process.n_mc) for process in processes}
    return [
        {"name": channel.name, "samples": [sample(process, channel, events[process.name]) for process in processes]}
        for channel in channels
    ]


def workspace(
    name: str,
    channels: list[dict[str, Any]],
    observed: Mapping[str, npt.NDArray[np.int64]],
    poi: str,
    parameters: list[dict[str, Any]],
) -> dict[str, Any]:
    """Put a workspace together."""
    return {
        "channels": channels,
        "measurements": [{"name": name, "config": {"poi": poi, "parameters": parameters}}],
        "observations": [{"name": channel, "data": counts.tolist()} for channel, counts in observed.items()],
        "version": "1.0.0",
    }


def numbers(values: Array) -> list[float]:
    """An array as numbers of six significant digits."""
    return [float(f"{value:.{DIGITS}g}") for value in values]


def document(spec: Mapping[str, Any]) -> str:
    """A workspace as JSON text, indented, with each list of numbers on one line."""
    text = json.dumps(spec, indent=1)
    return re.sub(r"\[[^\[\]{}\"]*\]", lambda found: re.sub(r"\s+", " ", found[0]), text) + "\n"


# -- the search ------------------------------------------------------------------------------------


def search() -> dict[str, Any]:
    """The workspace of the search."""
    rng = np.random.default_rng(SEARCH_SEED)
    high = (25.0, np.inf)
    channels = [
        Channel("SR", 0, high, np.linspace(60.0, 160.0, 11)),
        Channel("CR_ttbar", 1, high, np.linspace(60.0, 160.0, 5)),
        Channel("CR_zjets", 2, high, np.linspace(60.0, 160.0, 5)),
    ]
    processes = search_processes()
    truth = Truth(
        nuisances={"jes": 0.5, "jer": 0.3, "btag": -0.5, "zjets_norm": 0.6, "luminosity": 0.4, "ttbar_shape": -0.5},
        yields={"ttbar": 1.08},
    )
    expected = pseudo_data(processes, channels, truth, rng)
    observed = {name: rng.poisson(counts) for name, counts in expected.items()}
    parameters = [
        {"name": "mu", "inits": [1.0], "bounds": [[0.0, 10.0]]},
        {"name": "norm_ttbar", "inits": [1.0], "bounds": [[0.0, 5.0]]},
    ]
    return workspace("search", simulated_channels(processes, channels, rng), observed, "mu", parameters)


def search_processes() -> list[Process]:
    """Signal and backgrounds of the search."""
    luminosity = {"luminosity": (1.0 - LUMINOSITY, 1.0 + LUMINOSITY)}
    tagged = {"SR": {"btag": (0.95, 1.05)}, "CR_ttbar": {"btag": (0.97, 1.03)}, "CR_zjets": {"btag": (1.04, 0.96)}}
    return [
        Process(
            name="signal",
            expected=155.0,
            n_mc=10000,
            mass=peak(125.0),
            momentum=120.0,
            tags=(0.60, 0.02, 0.03),
            norms={**luminosity, "signal_theory": (0.93, 1.07)},
            channel_norms=tagged,
            plain=[("mu", "normfactor")],
        ),
        Process(
            name="diboson",
            expected=480.0,
            n_mc=15000,
            mass=peak(91.2),
            momentum=90.0,
            tags=(0.45, 0.02, 0.15),
            norms={**luminosity, "diboson_theory": (0.92, 1.08)},
            channel_norms=tagged,
        ),
        Process(
            name="ttbar",
            expected=6000.0,
            n_mc=40000,
            mass=broad(40.0, 35.0, 2.0),
            momentum=80.0,
            tags=(0.18, 0.50, 0.05),
            tilts={"ttbar_shape": Tilt("mass", 0.08, 110.0, 50.0)},
            channel_norms=tagged,
            plain=[("norm_ttbar", "normfactor")],
        ),
        Process(
            name="zjets",
            expected=9000.0,
            n_mc=40000,
            mass=broad(40.0, 45.0, 1.0),
            momentum=60.0,
            tags=(0.22, 0.01, 0.50),
            tilts={"zjets_shape": Tilt("mass", 0.06, 90.0, 40.0)},
            norms={"zjets_norm": (0.90, 1.10)},
            channel_norms=tagged,
        ),
    ]


# -- the measurement -------------------------------------------------------------------------------


def measurement() -> dict[str, Any]:
    """The workspace of the cross-section measurement."""
    rng = np.random.default_rng(MEASUREMENT_SEED)
    edges = np.array([20.0, 40.0, 55.0, 70.0, 85.0, 100.0, 115.0, 130.0, 145.0, 165.0, 200.0])
    channels = [
        Channel("3j1b", 0, (0.0, 25.0), edges),
        Channel("4j1b", 0, (25.0, np.inf), edges),
        Channel("4j2b", 1, (25.0, np.inf), edges),
    ]
    processes = measurement_processes()
    truth = Truth(
        nuisances={
            "jes": -0.6,
            "jer": 0.5,
            "btag": 0.7,
            "mistag": 0.5,
            "wjets_norm": 0.8,
            "single_top_norm": -0.4,
            "ttbar_isr": 0.4,
            "ttbar_fsr": -0.5,
        },
        yields={process.name: 1.0 + 0.5 * LUMINOSITY for process in processes},
    )
    expected = pseudo_data(processes, channels, truth, rng)
    multijet = {channel.name: multijet_rate(channel) for channel in channels}
    observed = {name: rng.poisson(counts + multijet[name]) for name, counts in expected.items()}
    made = simulated_channels(processes, channels, rng)
    for channel in made:
        channel["samples"].append(multijet_sample(channel["name"], multijet[channel["name"]], rng))
    parameters = [
        {"name": "mu_ttbar", "inits": [1.0], "bounds": [[0.0, 5.0]]},
        {"name": "lumi", "inits": [1.0], "bounds": [[0.5, 1.5]], "auxdata": [1.0], "sigmas": [LUMINOSITY]},
    ]
    return workspace("measurement", made, observed, "mu_ttbar", parameters)


def measurement_processes() -> list[Process]:
    """The simulated processes of the measurement."""
    tagged = {"3j1b": {"btag": (0.985, 1.015)}, "4j1b": {"btag": (1.01, 0.99)}, "4j2b": {"btag": (0.955, 1.045)}}
    mistagged = {"3j1b": {"mistag": (0.88, 1.12)}, "4j1b": {"mistag": (0.88, 1.12)}, "4j2b": {"mistag": (0.80, 1.20)}}
    return [
        Process(
            name="ttbar",
            expected=9000.0,
            n_mc=40000,
            mass=edge(153.0),
            momentum=55.0,
            tags=(0.42, 0.33),
            tilts={
                "ttbar_isr": Tilt("momentum", 0.05, 30.0, 30.0),
                "ttbar_fsr": Tilt("mass", -0.05, 110.0, 30.0),
            },
            channel_norms=tagged,
            plain=[("mu_ttbar", "normfactor"), ("lumi", "lumi")],
        ),
        Process(
            name="single_top",
            expected=1400.0,
            n_mc=8000,
            mass=broad(30.0, 38.0, 2.2),
            momentum=28.0,
            tags=(0.45, 0.14),
            norms={"single_top_norm": (0.91, 1.09)},
            channel_norms=tagged,
            plain=[("lumi", "lumi")],
        ),
        Process(
            name="wjets",
            expected=24000.0,
            n_mc=60000,
            mass=broad(20.0, 55.0, 1.4),
            momentum=22.0,
            tags=(0.13, 0.012),
            norms={"wjets_norm": (0.85, 1.15)},
            channel_norms=mistagged,
            plain=[("lumi", "lumi")],
        ),
    ]


def multijet_rate(channel: Channel) -> Array:
    """True multijet background of a channel, shape (bins,): a falling spectrum."""
    total = {"3j1b": 420.0, "4j1b": 190.0, "4j2b": 45.0}[channel.name]
    falling = np.exp(-channel.edges / 60.0)
    return np.asarray(-total * np.diff(falling) / (falling[0] - falling[-1]))


def multijet_sample(channel: str, rate: Array, rng: np.random.Generator) -> dict[str, Any]:
    """The multijet background as counted in a control sample of data, with a transfer factor of one half."""
    transfer = 0.5
    counted = np.maximum(rng.poisson(rate / transfer), 1)
    uncertainty = numbers(transfer * np.sqrt(counted))
    modifiers = [
        {"name": f"multijet_norm_{channel}", "type": "normsys", "data": {"hi": 1.25, "lo": 0.8}},
        {"name": f"multijet_{channel}", "type": "shapesys", "data": uncertainty},
    ]
    return {"name": "multijet", "data": numbers(transfer * counted), "modifiers": modifiers}


def write(directory: Path) -> list[Path]:
    """Write both workspaces into a directory and return their paths."""
    made = {directory / "search.json": search(), directory / "measurement.json": measurement()}
    for path, spec in made.items():
        path.write_text(document(spec), encoding="utf-8")
    return list(made)


if __name__ == "__main__":
    for written in write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent):
        print(written)
