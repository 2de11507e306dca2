"""A pyhf workspace as a document of HS3, the HEP Statistics Serialization Standard.

What is written is read by ROOT from 6.28 on and by pyhs3, with one difference between the two that no document can
bridge: ``vals`` of a shapesys are relative uncertainties for ROOT, which is what is written, and absolute ones for
pyhs3, which ``dialect="pyhs3"`` writes.  The rest says the same to both:

- normsys and histosys carry ``constraint: Gauss`` and no interpolation, so that the codes are pyhf's, 4 and 4p;
- lumi is a normfactor with a Gaussian constraint of its own, which ROOT and pyhs3 from 0.5 on read;
- a channel has one staterror, with the uncertainties in ``errors`` of the samples, and says that its constraint is
  ``Gauss`` in all places where readers look: ROOT's own default is Poisson;
- bin-by-bin parameters are called ``gamma_NAME_bin_0`` as in ROOT; numbers run on where channels share a staterror.

Source: HS3 0.2, sections on likelihoods, domains, analyses and HistFactory; ROOT's ``JSONFactories_HistFactory``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Literal, TypeAlias

import numpy as np

from infer.constraints import Normal
from infer.documents import fail, listed
from infer.likelihoods.histfactory.model import HistFactory
from infer.likelihoods.histfactory.records import (
    Channel,
    HistoSys,
    Lumi,
    MeasurementConfig,
    NormFactor,
    NormSys,
    Sample,
    ShapeFactor,
    ShapeSys,
    StatError,
    Workspace,
)
from infer.likelihoods.histfactory.spec import parse_workspace
from infer.parameters import Parameter

Document: TypeAlias = dict[str, Any]
Dialect: TypeAlias = Literal["root", "pyhs3"]

VERSION = "0.2"


@dataclass(frozen=True)
class Hs3Document:
    """A document of HS3.

    Attributes:
        document: The document.
        remarks: What it does not say, and where readers differ.
    """

    document: Document
    remarks: tuple[str, ...]


@dataclass
class _Writer:
    """What is being written.

    Attributes:
        workspace: The workspace.
        measurement: The measurement that is written.
        dialect: Whose meaning ``vals`` of a shapesys has.
        parameters: HS3's names by ours.
        constraints: Distributions of constraints, by parameter.
        aux: Auxiliary data by parameter, in our names.
        declared: Parameters in our names.
    """

    workspace: Workspace
    measurement: MeasurementConfig
    dialect: Dialect
    declared: Mapping[str, Parameter]
    aux: Mapping[str, float]
    parameters: dict[str, str] = field(default_factory=dict)
    constraints: dict[str, Document] = field(default_factory=dict)


def write_hs3(
    document: Mapping[str, object],
    *,
    measurement: str | None = None,
    dialect: Dialect = "root",
    source: str = "workspace",
) -> Hs3Document:
    """Write a pyhf workspace as HS3, each measurement as an analysis.

    Args:
        document: The workspace.
        measurement: Which measurement; None takes all that have the constraints of the first.
        dialect: What ``vals`` of a shapesys are: relative (``root``) or absolute (``pyhs3``) uncertainties.
        source: How messages call the workspace.

    Raises:
        WorkspaceError: It is no valid workspace, or has what HS3 cannot say; all of that is named.
    """
    workspace = parse_workspace(document, source=source)
    wanted = workspace.measurements if measurement is None else (workspace.measurement(measurement),)
    writers: list[_Writer] = []
    remarks = []
    for chosen in wanted:
        _check(workspace, chosen, source)
        model, data = HistFactory.of(workspace, chosen)
        aux = dict(zip(model.parameters.constrained, np.asarray(data.aux, dtype=float).tolist(), strict=True))
        writer = _Writer(workspace, chosen, dialect, model.parameters, aux)
        for channel in workspace.channels:
            _channel(writer, channel)  # for the constraints that it needs
        if writers and writer.constraints != writers[0].constraints:
            problem = f"the measurement {chosen.name!r} has other constraints than the first and is left out"
            remarks.append(f"{source}: {problem}")
            continue
        writers.append(writer)
    if any(isinstance(m, ShapeSys) for c in workspace.channels for s in c.samples for m in s.modifiers):
        meaning = "relative, as ROOT reads them" if dialect == "root" else "absolute, as pyhs3 reads them"
        remarks.append(f"{source}: the vals of shapesys are {meaning}; HS3 does not say which they are")
    first = [_channel(writers[0], channel) for channel in workspace.channels]
    return Hs3Document(_assemble(writers, first), tuple(remarks))


def _check(workspace: Workspace, measurement: MeasurementConfig, source: str) -> None:
    """Refuse what has no place in HS3, all at once."""
    found = []
    for channel in workspace.channels:
        names = {m.name for s in channel.samples for m in s.modifiers if isinstance(m, StatError)}
        if len(names) > 1:
            found.append(f"channel {channel.name!r} has the staterrors {listed(sorted(names))}, and one is possible")
    bins = {
        m.name
        for c in workspace.channels
        for s in c.samples
        for m in s.modifiers
        if isinstance(m, StatError | ShapeSys)
    }
    for name, config in measurement.parameters.items():
        changed = [key for key in ("auxdata", "sigmas", "factors") if getattr(config, key) is not None]
        if name in bins and changed:
            found.append(f"measurement {measurement.name!r} changes {' and '.join(changed)} of {name!r}")
    if found:
        raise fail(source, f"HS3 cannot say: {'; '.join(found)}", "change the workspace in these places")


def _channel(writer: _Writer, channel: Channel) -> Document:
    samples = [_sample(writer, channel, sample) for sample in channel.samples]
    made: Document = {
        "name": f"model_{channel.name}",
        "type": "histfactory_dist",
        "axes": [_axis(channel)],
        "samples": samples,
    }
    if any(isinstance(m, StatError) for s in channel.samples for m in s.modifiers):
        made["staterror"] = {"relThreshold": 0.0, "constraint": "Gauss", "constraint_type": "Gauss"}
    return made


def _axis(channel: Channel) -> Document:
    """Bins without a width of their own: pyhf has no observable."""
    return {"name": f"obs_x_{channel.name}", "min": 0.0, "max": float(channel.n_bins), "nbins": channel.n_bins}


def _sample(writer: _Writer, channel: Channel, sample: Sample) -> Document:
    contents: Document = {"contents": sample.nominal.tolist()}
    for modifier in sample.modifiers:
        if isinstance(modifier, StatError):
            contents["errors"] = modifier.uncertainty.tolist()
    modifiers = [_modifier(writer, channel, sample, modifier) for modifier in sample.modifiers]
    return {"name": sample.name, "data": contents, "modifiers": modifiers}


def _modifier(writer: _Writer, channel: Channel, sample: Sample, modifier: Any) -> Document:
    made: Document = {"name": modifier.name, "type": modifier.kind}
    match modifier:
        case NormFactor() | Lumi():
            made |= {"type": "normfactor", "parameter": _scalar(writer, modifier.name)}
            if modifier.name in writer.constraints:
                made["constraint"] = writer.constraints[modifier.name]["name"]
        case NormSys(lo=lo, hi=hi):
            made |= {"parameter": _scalar(writer, modifier.name), "constraint": _gauss(writer, modifier.name)}
            made["data"] = {"lo": lo, "hi": hi}
        case HistoSys(lo=lo, hi=hi):
            made |= {"parameter": _scalar(writer, modifier.name), "constraint": _gauss(writer, modifier.name)}
            made["data"] = {"lo": {"contents": lo.tolist()}, "hi": {"contents": hi.tolist()}}
        case ShapeSys(uncertainty=uncertainty):
            made |= {"parameters": _gammas(writer, channel, modifier.name), "constraint": "Poisson"}
            made["data"] = {"vals": _vals(writer, sample, uncertainty)}
        case StatError():
            made |= {"parameters": _gammas(writer, channel, modifier.name, of_channel=True), "constraint": "Gauss"}
        case ShapeFactor():
            made["parameters"] = _gammas(writer, channel, modifier.name)
    return made


def _vals(writer: _Writer, sample: Sample, uncertainty: Any) -> list[float]:
    """Uncertainties of a shapesys, 0 in bins that are held."""
    held = (sample.nominal <= 0.0) | (uncertainty <= 0.0)
    scale = np.where(held, 1.0, sample.nominal) if writer.dialect == "root" else 1.0
    values: list[float] = np.where(held, 0.0, uncertainty / scale).tolist()
    return values


def _scalar(writer: _Writer, name: str) -> str:
    """A parameter under its own name, with a distribution where its constraint is no unit Gaussian about 0."""
    writer.parameters[name] = name
    constraint = writer.declared[name].constraint
    if isinstance(constraint, Normal) and (writer.aux[name], constraint.width) != (0.0, 1.0):
        writer.constraints[name] = {
            "name": f"{name}Constraint",
            "type": "gaussian_dist",
            "x": name,
            "mean": writer.aux[name],
            "sigma": constraint.width,
        }
    return name


def _gauss(writer: _Writer, name: str) -> str:
    return str(writer.constraints[name]["name"]) if name in writer.constraints else "Gauss"


def _gammas(writer: _Writer, channel: Channel, name: str, *, of_channel: bool = False) -> list[str]:
    """Names of bin-by-bin parameters; numbers run on from channel to channel for a staterror that these share."""
    first = 0
    for before in writer.workspace.channels if of_channel else ():
        if before.name == channel.name:
            break
        if any(m.name == name for s in before.samples for m in s.modifiers):
            first += before.n_bins
    made = {f"{name}[{b}]": f"gamma_{name}_bin_{b}" for b in range(first, first + channel.n_bins)}
    writer.parameters |= made
    return list(made.values())


def _assemble(writers: list[_Writer], channels: list[Document]) -> Document:
    workspace = writers[0].workspace
    data = [
        {
            "name": f"obsData_{c.name}",
            "type": "binned",
            "contents": workspace.observations[c.name].tolist(),
            "axes": [_axis(c)],
        }
        for c in workspace.channels
    ]
    pairs = {"distributions": [c["name"] for c in channels], "data": [d["name"] for d in data]}
    domains, points, analyses = [], [], []
    for writer in writers:
        first = writer is writers[0]
        name, ranges = writer.measurement.name, _ranges(writer)
        interest = [] if writer.measurement.poi is None else [writer.parameters[writer.measurement.poi]]
        members = {"parameters_of_interest": interest, "nuisance_parameters": [p for p in ranges if p not in interest]}
        made = [_domain(f"{name}_{kind}", names, ranges) for kind, names in members.items() if names]
        domains += [_domain("default_domain", list(ranges), ranges), *made] if first else made
        points.append({"name": "default_values" if first else f"{name}_values", "parameters": _point(writer)})
        analyses.append(
            {
                "name": name,
                "likelihood": name,
                "parameters_of_interest": interest,
                "domains": [domain["name"] for domain in made],
                "init": points[-1]["name"],
            }
        )
    names = [writer.measurement.name for writer in writers]
    return {
        "metadata": {
            "hs3_version": VERSION,
            "packages": [{"name": "infer", "version": version("infer-hep")}],
        },
        "distributions": [*channels, *writers[0].constraints.values()],
        "data": data,
        "likelihoods": [{"name": name} | pairs for name in names],
        "domains": domains,
        "parameter_points": points,
        "analyses": analyses,
        "misc": {
            "ROOT_internal": _root_internal(workspace, pairs["distributions"], names),
            "infer": {"shapesys_vals": "relative" if writers[0].dialect == "root" else "absolute"},
        },
    }


def _ranges(writer: _Writer) -> dict[str, tuple[float, float]]:
    return {hs3: writer.declared[ours].bounds for ours, hs3 in writer.parameters.items()}


def _domain(name: str, members: list[str], ranges: Mapping[str, tuple[float, float]]) -> Document:
    axes = [{"name": member, "min": ranges[member][0], "max": ranges[member][1]} for member in members]
    return {"name": name, "type": "product_domain", "axes": axes}


def _point(writer: _Writer) -> list[Document]:
    values = []
    for ours, hs3 in writer.parameters.items():
        parameter = writer.declared[ours]
        values.append({"name": hs3, "value": parameter.init} | ({"const": True} if parameter.fixed else {}))
    return values


def _root_internal(workspace: Workspace, distributions: list[str], names: list[str]) -> Document:
    """What ROOT needs to put the channels together again."""
    labels = [channel.name for channel in workspace.channels]
    common = {"index_cat": "channelCat", "indices": list(range(len(labels))), "labels": labels}
    return {
        "ModelConfigs": {name: {"mcName": "ModelConfig", "pdfName": "simPdf"} for name in names},
        "combined_datasets": {"obsData": common},
        "combined_distributions": {"simPdf": common | {"distributions": distributions}},
    }
