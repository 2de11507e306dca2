"""From modifiers to parameters: what a workspace declares, with pyhf's defaults and the user's settings.

Parameters that act on a single bin (staterror, shapesys, shapefactor) come after all others, so that
the blocks of the Hessian they make stay apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from infer.constraints import Constraint, Normal, Poisson
from infer.likelihoods.histfactory.spec import (
    Channel,
    HistoSys,
    Lumi,
    MeasurementConfig,
    Modifier,
    NormFactor,
    NormSys,
    ParameterConfig,
    Sample,
    ShapeFactor,
    ShapeSys,
    StatError,
    Workspace,
)
from infer.parameters import Parameter, Parameters

FloatArray = npt.NDArray[np.float64]
T = TypeVar("T")

_TINY_GAMMA = 1e-10  # pyhf's lower bound of bin-by-bin factors


@dataclass(frozen=True)
class _Default:
    """What pyhf assumes of a parameter, by the type of its modifier."""

    init: float
    bounds: tuple[float, float]
    aux: float = 0.0
    width: float = 1.0


_FREE = _Default(1.0, (0.0, 10.0))
_ALPHA = _Default(0.0, (-5.0, 5.0))
_GAMMA = (_TINY_GAMMA, 10.0)
_SCALAR = {NormFactor: _FREE, NormSys: _ALPHA, HistoSys: _ALPHA}


@dataclass(frozen=True)
class Declared:
    """Parameters of a workspace with the observed value of each auxiliary datum."""

    parameters: Parameters
    aux: FloatArray
    n_scalar: int


def modifiers_of(workspace: Workspace) -> Iterator[tuple[Channel, Sample, Modifier]]:
    """Every modifier with its channel and sample."""
    for channel in workspace.channels:
        for sample in channel.samples:
            for modifier in sample.modifiers:
                yield channel, sample, modifier


def declare(workspace: Workspace, measurement: MeasurementConfig) -> Declared:
    """The parameters of a workspace, scalars first, with pyhf's defaults and the user's settings."""
    pairs: dict[str, tuple[Parameter, float | None]] = {}
    settings = measurement.parameters
    for _, _, modifier in modifiers_of(workspace):
        if isinstance(modifier, NormFactor | Lumi | NormSys | HistoSys) and modifier.name not in pairs:
            pairs[modifier.name] = _scalar(modifier, settings.get(modifier.name))
    n_scalar = len(pairs)
    first = first_components(workspace)
    for channel, sample, modifier in modifiers_of(workspace):
        start = first.pop((channel.name, modifier.name), None)  # None: scalar, or declared by an earlier sample
        if start is not None:
            for name, pair in _bin_by_bin(channel, sample, modifier, start, settings.get(modifier.name)):
                pairs.setdefault(name, pair)
    aux = [a for p, a in pairs.values() if p.constraint is not None and a is not None]
    parameters = Parameters((p for p, _ in pairs.values()), poi=measurement.poi)
    return Declared(parameters, np.asarray(aux, dtype=float), n_scalar)


def _scalar(
    modifier: NormFactor | Lumi | NormSys | HistoSys, config: ParameterConfig | None
) -> tuple[Parameter, float | None]:
    default = _luminosity(config) if isinstance(modifier, Lumi) else _SCALAR[type(modifier)]
    free = isinstance(modifier, NormFactor)
    parameter = Parameter(
        modifier.name,
        _setting(config, "inits", 0, default.init),
        _setting(config, "bounds", 0, default.bounds),
        None if free else Normal(_setting(config, "sigmas", 0, default.width)),
        group=None if free else "luminosity" if isinstance(modifier, Lumi) else modifier.name,
        fixed=bool(config is not None and config.fixed),
    )
    return parameter, None if free else _setting(config, "auxdata", 0, default.aux)


def _luminosity(config: ParameterConfig | None) -> _Default:
    """Starts at its measured value a and ends at 10 a; the reader requires ``auxdata``."""
    measured = float(_setting(config, "auxdata", 0, 1.0))
    return _Default(measured, (0.0, 10.0 * measured), aux=measured)


def _bin_by_bin(
    channel: Channel, sample: Sample, modifier: Modifier, start: int, config: ParameterConfig | None
) -> Iterator[tuple[str, tuple[Parameter, float | None]]]:
    """One parameter per bin, named ``name[i]`` as pyhf does, i beginning at ``start``."""
    terms: Sequence[tuple[Constraint | None, float, bool]]  # constraint, auxiliary datum, frozen
    if isinstance(modifier, StatError):
        widths = stat_widths(channel, modifier.name)
        terms = [(Normal(w if w > 0.0 else 1.0), 1.0, w <= 0.0) for w in widths.tolist()]
        group = "mc_stat"
    elif isinstance(modifier, ShapeSys):
        terms = [_shapesys(n, u) for n, u in zip(sample.nominal, modifier.uncertainty, strict=True)]
        group = modifier.name
    elif isinstance(modifier, ShapeFactor):
        terms, group = [(None, 1.0, False)] * len(sample.nominal), None
    else:
        return
    bounds = (0.0, 10.0) if isinstance(modifier, ShapeFactor) else _GAMMA
    for i, (constraint, aux, frozen) in enumerate(terms, start):
        name = f"{modifier.name}[{i}]"
        parameter = Parameter(
            name,
            _setting(config, "inits", i, 1.0),
            _setting(config, "bounds", i, bounds),
            _with_settings(constraint, config, i),
            group=group,
            fixed=frozen or bool(config is not None and config.fixed),
        )
        yield name, (parameter, None if constraint is None else _setting(config, "auxdata", i, aux))


def first_components(workspace: Workspace) -> dict[tuple[str, str], int]:
    """Number in ``name[i]`` of a bin-by-bin parameter in the first bin of a channel, by channel and modifier.

    A staterror that several channels name has components of its own in each, one channel after the
    other; a shapefactor that they share has the same ones in all (both as in pyhf).
    """
    first: dict[tuple[str, str], int] = {}
    used: dict[str, int] = {}
    for channel, _, modifier in modifiers_of(workspace):
        key = (channel.name, modifier.name)
        if key in first or not isinstance(modifier, StatError | ShapeSys | ShapeFactor):
            continue
        first[key] = used.get(modifier.name, 0)
        if isinstance(modifier, StatError):
            used[modifier.name] = first[key] + channel.n_bins
    return first


def _shapesys(nominal: float, uncertainty: float) -> tuple[Constraint, float, bool]:
    """A count with the relative uncertainty of the entry; empty entries are frozen, as in pyhf."""
    if nominal <= 0.0 or uncertainty <= 0.0:
        return Poisson(1.0), 1.0, True
    scale = float((nominal / uncertainty) ** 2)
    return Poisson(scale), scale, False


def _with_settings(constraint: Constraint | None, config: ParameterConfig | None, i: int) -> Constraint | None:
    if isinstance(constraint, Normal):
        return Normal(_setting(config, "sigmas", i, constraint.width))
    if isinstance(constraint, Poisson):
        return Poisson(_setting(config, "factors", i, constraint.scale))
    return constraint


def _setting(config: ParameterConfig | None, key: str, i: int, default: T) -> T:
    """Entry ``i`` of a parameter setting, or the default where the user gives none."""
    values: Sequence[T] | None = None if config is None else getattr(config, key)
    return default if values is None else values[i]


def stat_widths(channel: Channel, name: str) -> FloatArray:
    """Relative uncertainty of the summed samples that a staterror acts on, per bin; 0 if frozen.

    Source: pyhf's ``modifiers/staterror.py``; quadrature sum over samples of uncertainty / total.
    """
    taking_part = [
        (sample.nominal, modifier.uncertainty)
        for sample in channel.samples
        for modifier in sample.modifiers
        if isinstance(modifier, StatError) and modifier.name == name
    ]
    total = np.sum([nominal for nominal, _ in taking_part], axis=0)
    variance = np.sum([uncertainty**2 for _, uncertainty in taking_part], axis=0)
    filled = total > 0.0
    widths = np.sqrt(variance) / np.where(filled, total, 1.0)
    return np.where(filled, widths, 0.0)
