"""CMS Combine datacards: counting and shape analyses as HistFactory models.

>>> likelihood, data = read_datacard("card.txt").likelihood()

The signal strength is ``r``, between 0 and 20. What the types of lines become:

===============  ======================================================================================================
lnN              normsys with the code ``combine``; unit normal constraint
lnU, shapeU      the same as lnN and shape without a constraint, between -1 and 1
shape, shape?    histosys and normsys; see `datacard_columns` for the interpolation, which is Combine's
gmN              normfactor n / N with a Poisson constraint by the N events of the control region, shared by all
                 columns that it acts on; n itself where N is 0
rateParam        normfactor, free; ``formula`` where it is a product of parameters
param            Gaussian constraint of a rateParam
autoMCStats      see `datacard_statistics`
group            group of the error budget
===============  ======================================================================================================

``DatacardWorkspace.document`` is a pyhf workspace, in which the constraint of gmN and free ranges have no place: these
are in ``declared``. What is not understood is refused with its line.

Source: documentation of CMS Combine, "Preparing the datacard"; arXiv:2404.06614.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from infer.constraints import Constraint, Normal, Poisson
from infer.data import Data
from infer.documents import fail, listed
from infer.errors import InputError
from infer.io.datacard_columns import Sample, make_sample, observed_counts
from infer.io.datacard_records import Card, Nuisance, RateParam
from infer.io.datacard_shapes import Shapes, opened_shapes
from infer.io.datacard_statistics import Statistics, bin_parameters
from infer.io.datacard_text import parse_card
from infer.io.plain import plain_workspace
from infer.likelihoods.histfactory.declared import with_declared
from infer.likelihoods.histfactory.model import HistFactory, Interpolation
from infer.likelihoods.histfactory.records import Notice
from infer.likelihoods.histfactory.spec import parse_workspace
from infer.parameters import Parameter

SIGNAL_STRENGTH = "r"
CODES = Interpolation("combine", "code4p")
"""Interpolation of Combine."""

_RANGE = (-7.0, 7.0)  # of a nuisance parameter with a unit normal constraint, as in Combine


@dataclass(frozen=True)
class DatacardWorkspace:
    """What a datacard becomes.

    Attributes:
        source: How messages call the card.
        document: A pyhf workspace; with it go the interpolation `CODES`.
        declared: Parameters that the workspace cannot declare, each with its auxiliary datum, None without one.
        remarks: What was assumed, and where the model differs from Combine's.
    """

    source: str
    document: dict[str, Any]
    declared: Mapping[str, tuple[Parameter, float | None]]
    remarks: tuple[str, ...]

    def likelihood(self, *, interpolation: Interpolation | None = None) -> tuple[HistFactory, Data]:
        """The likelihood and the observed data.

        Args:
            interpolation: Interpolation codes; None takes Combine's.
        """
        workspace = parse_workspace(self.document, source=self.source)
        notices = (*workspace.notices, *(Notice("datacard", f"{self.source}: {text}") for text in self.remarks))
        made = HistFactory.of(replace(workspace, notices=notices), interpolation=interpolation or CODES)
        return with_declared(*made, self.declared)

    def pyhf(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """A pyhf workspace that needs nothing beside it, and what it leaves out.

        Raises:
            WorkspaceError: A constraint has no place in a workspace.
        """
        made, remarks = plain_workspace(self.document, *self.likelihood(), source=self.source)
        return made, (*(f"{self.source}: {text}" for text in self.remarks), *remarks)


@dataclass
class _Parameters:
    """Declarations of parameters, and what is to be said of them.

    Attributes:
        card: The card.
        declared: Parameters with their auxiliary data.
        remarks: Sentences.
    """

    card: Card
    declared: dict[str, tuple[Parameter, float | None]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def add(
        self, name: str, init: float, bounds: tuple[float, float], constraint: Constraint | None, aux: float | None
    ) -> None:
        """Declare a parameter; its group is that of the card, or its own."""
        groups = [group for group, names in self.card.groups.items() if name in names]
        if len(groups) > 1:
            self.remarks.append(f"{name!r} is in the groups {listed(groups)}, and counts in the first")
        own = None if constraint is None else name
        parameter = Parameter(name, init, bounds, constraint, group=groups[0] if groups else own)
        self.declared[name] = (parameter, aux)


def read_datacard(path: str | Path, *, mass: float | None = None) -> DatacardWorkspace:
    """Read a datacard and the ROOT files that it names.

    Args:
        path: The card.
        mass: What ``$MASS`` in its lines ``shapes`` stands for; None if nothing.

    Raises:
        WorkspaceError: The card breaks its format, or says what HistFactory cannot.
        InputError: A file cannot be read, or uproot is needed and not installed.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); give a datacard.") from None
    except UnicodeDecodeError:
        raise fail(str(path), "it is not text", "give a datacard, which is a text file") from None
    card = parse_card(text, source=str(path))
    with opened_shapes(card, path.parent, mass=mass) as shapes:
        return _workspace(card, shapes)


def is_datacard(path: str | Path) -> bool:
    """Whether a file is a datacard by its name."""
    return Path(path).suffix == ".txt"


def _workspace(card: Card, shapes: Shapes) -> DatacardWorkspace:
    samples = {at: made for at in range(len(card.columns)) if (made := make_sample(card, shapes, at)) is not None}
    parameters = _Parameters(card, remarks=list(card.remarks))
    _signal(samples, parameters)
    _check_names(card)
    for nuisance in card.nuisances:
        _declare(nuisance, samples, parameters)
    _rate_params(card, samples, parameters)
    for channel in card.auto_stats:
        _statistics(card, channel, samples, parameters)
    observations = [{"name": name, "data": counts.tolist()} for name, counts in observed_counts(card, shapes)]
    unknown = [n for names in card.groups.values() for n in names if n not in parameters.declared]
    idle = {n.name for n in card.nuisances}
    for name in unknown:
        if name not in idle:
            raise fail(card.source, f"a group names {name!r}, which is no parameter", "correct the name")
    channels = [_channel(card, name, samples) for name in card.observed]
    settings = [_setting(parameter) for parameter, _ in parameters.declared.values()]
    poi = SIGNAL_STRENGTH if SIGNAL_STRENGTH in parameters.declared else ""
    document = {
        "channels": channels,
        "observations": observations,
        "measurements": [{"name": "datacard", "config": {"poi": poi, "parameters": settings}}],
        "version": "1.0.0",
    }
    remarks = dict.fromkeys([*parameters.remarks, *shapes.remarks])
    return DatacardWorkspace(card.source, document, parameters.declared, tuple(remarks))


def _setting(parameter: Parameter) -> dict[str, Any]:
    """Start value and bounds in pyhf's words, in which no bound is infinite."""
    low, high = parameter.bounds
    if not np.isfinite(high):
        high = 10.0 * max(1.0, abs(parameter.init))
    return {"name": parameter.name, "inits": [parameter.init], "bounds": [[low, high]]}


def _channel(card: Card, name: str, samples: Mapping[int, Sample]) -> dict[str, Any]:
    found = [sample.document() for sample in samples.values() if sample.column.channel == name]
    if not found:
        raise fail(card.source, f"nothing is expected in channel {name!r}", "remove it, or correct its rates")
    return {"name": name, "samples": found}


def _signal(samples: Mapping[int, Sample], parameters: _Parameters) -> None:
    signals = [sample for sample in samples.values() if sample.column.signal]
    for sample in signals:
        sample.factors.insert(0, SIGNAL_STRENGTH)
    if signals:
        parameters.add(SIGNAL_STRENGTH, 1.0, (0.0, 20.0), None, None)
    else:
        parameters.remarks.append("no process is signal, so that there is no parameter of interest")


def _check_names(card: Card) -> None:
    """Refuse a name that means two things."""
    family = {"lnN": "normal", "shape": "normal", "shape?": "normal", "lnU": "uniform", "shapeU": "uniform"}
    seen: dict[str, str] = {SIGNAL_STRENGTH: "signal strength"}
    entries = [(n.name, family.get(n.kind, f"gmN {n.count}"), n.line) for n in card.nuisances]
    entries += [(p.name, "rateParam", p.line) for p in card.rate_params]
    for name, kind, line in entries:
        if seen.setdefault(name, kind) != kind:
            problem = f"{name!r} is both {seen[name]} and {kind}"
            raise fail(card.place(line), problem, "rename one of the two")


def _declare(nuisance: Nuisance, samples: Mapping[int, Sample], parameters: _Parameters) -> None:
    """Declare a nuisance parameter, if it acts on anything."""
    name = nuisance.name
    acts = any(name in {*s.factors, *s.kappas, *s.shifted} for s in samples.values())
    if not acts:
        parameters.remarks.append(f"{name!r} acts on nothing and is left out")
    elif name in parameters.declared:
        return
    elif nuisance.kind == "gmN":
        _declare_count(name, nuisance.count, parameters)
    elif nuisance.kind in ("lnU", "shapeU"):
        parameters.add(name, 0.0, (-1.0, 1.0), None, None)
    else:
        parameters.add(name, 0.0, _RANGE, Normal(1.0), 0.0)


def _declare_count(name: str, count: int, parameters: _Parameters) -> None:
    """A factor that a control region measures: n / N, or n where N is 0."""
    scale = float(max(count, 1))
    low = 1e-10 if count else 0.0
    parameters.add(name, 1.0, (low, 10.0 if count else 30.0), Poisson(scale), float(count))
    unit = f"the {count} events that were counted" if count else "1 event, none having been counted"
    parameters.remarks.append(f"{name!r} (gmN) is the expectation of its control region in units of {unit}")


def _rate_params(card: Card, samples: Mapping[int, Sample], parameters: _Parameters) -> None:
    plain = {p.name: p for p in card.rate_params if not p.factors}
    for rate_param in card.rate_params:
        _check_rate_param(card, rate_param, plain)
        for at in rate_param.columns:
            _multiply(card, samples.get(at), rate_param)
    used = {name for sample in samples.values() for name in sample.factors}
    for name in dict.fromkeys([*plain, *card.params]):
        if name in used:
            _declare_rate_param(name, plain.get(name), parameters)
        elif name in card.params:
            problem = f"param {name!r} is no rateParam that acts on anything"
            raise fail(card.place(card.params[name].line), problem, "parameters of RooFit workspaces cannot be read")


def _check_rate_param(card: Card, rate_param: RateParam, plain: Mapping[str, RateParam]) -> None:
    place, name = card.place(rate_param.line), rate_param.name
    if not rate_param.factors and plain[name].value != rate_param.value:
        raise fail(place, f"rateParam {name!r} has the value {rate_param.value:g} here only", "give one value")
    for factor in rate_param.factors:
        if factor not in plain and factor not in card.params:
            problem = f"the formula of rateParam {name!r} has the argument {factor!r}"
            raise fail(place, problem, "declare it as a rateParam or param")


def _multiply(card: Card, sample: Sample | None, rate_param: RateParam) -> None:
    if sample is None:
        return
    for name in rate_param.factors or (rate_param.name,):
        if name in sample.factors and rate_param.factors:
            problem = f"{name!r} multiplies {sample.column.process!r} twice"
            raise fail(card.place(rate_param.line), problem, "a rate of HistFactory has each parameter once")
        if name not in sample.factors:
            sample.factors.append(name)
    if rate_param.factors and rate_param.value != 1.0:
        c = rate_param.value
        sample.nominal, sample.variances = c * sample.nominal, c**2 * sample.variances
        sample.shifted = {name: (c * lo, c * hi) for name, (lo, hi) in sample.shifted.items()}


def _declare_rate_param(name: str, rate_param: RateParam | None, parameters: _Parameters) -> None:
    param = parameters.card.params.get(name)
    given = rate_param.bounds if rate_param else None
    if param is not None:
        around = (param.mean - 4.0 * param.sigma, param.mean + 4.0 * param.sigma)
        parameters.add(name, param.mean, param.bounds or given or around, Normal(param.sigma), param.mean)
        return
    init = 1.0 if rate_param is None else rate_param.value
    if given is None:
        parameters.remarks.append(f"rateParam {name!r} has no range; here it stays above 0")
    parameters.add(name, init, given or (min(0.0, init), np.inf), None, None)


def _statistics(card: Card, channel: str, samples: Mapping[int, Sample], parameters: _Parameters) -> None:
    """Bin-wise parameters of a channel."""
    settings = card.auto_stats[channel]
    found = {s.column.process: s for s in samples.values() if s.column.channel == channel}
    if settings.threshold < 0.0 or not found:
        return
    processes = [_start(sample, parameters) for sample in found.values()]
    made = bin_parameters(channel, settings, processes)
    names: dict[str, None] = {}
    for process, sample in found.items():
        sample.counts = made.counts[process]
        for name, (b, shift) in made.shifts[process].items():
            move = np.zeros_like(sample.nominal)
            move[b] = shift
            sample.shifted[name] = (sample.nominal - move, sample.nominal + move)
            names[name] = None
    for name in names:
        parameters.declared[name] = (Parameter(name, 0.0, _RANGE, Normal(1.0), group="mc_stat"), 0.0)
    if made.shared:
        text = "parameters that processes share follow the normalisations of these to first order"
        parameters.remarks.append(f"autoMCStats of channel {channel!r}: {text}")


def _start(sample: Sample, parameters: _Parameters) -> Statistics:
    factor = float(np.prod([parameters.declared[name][0].init for name in sample.factors]))
    column = sample.column
    deviations = np.sqrt(sample.variances)
    return Statistics(column.process, column.signal, sample.nominal, deviations, tuple(sample.factors), factor)
