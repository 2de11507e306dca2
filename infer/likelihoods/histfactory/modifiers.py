"""From modifiers to arrays: the compilation of a workspace.

Entries (one sample in one bin) lie on a grid of bins by sample slots, the bins of all channels one
after the other; a *row* is one sample of one channel.  Slots that a channel does not use have a
nominal rate of zero.  Parameters that act on a single bin (staterror, shapesys, shapefactor) come
after all others, so that the blocks of the Hessian they make stay apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

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
from infer.numerics.interpolation import sextic_coefficients
from infer.parameters import Parameter, Parameters

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
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


@dataclass(frozen=True, eq=False)
class Grid:
    """A workspace as arrays; B bins, S sample slots, C channels, A scalar parameters.

    Args:
        nominal: nominal rates with shape (B, S).
        channel_of_bin: with shape (B,).
        shift_odd: ``(up - down) / 2`` of every histosys with shape (B, S, A).
        shift_even: ``(up + down) / 2 - nominal`` with shape (B, S, A).
        norm_at: scalar parameters of the normsys of a row with shape (C S, K), A where unused.
        norm_lo: their factor at -1, 1 where unused.
        norm_hi: their factor at +1.
        factor_at: parameters that multiply a row (normfactor, lumi) with shape (C S, L), padded
            with P, the position of a constant 1.
        gamma_at: bin-by-bin parameters of a bin with shape (B, Q), padded with P.
        gamma_on: which samples they multiply with shape (B, S, Q).
    """

    nominal: FloatArray
    channel_of_bin: IntArray
    shift_odd: FloatArray
    shift_even: FloatArray
    norm_at: IntArray
    norm_lo: FloatArray
    norm_hi: FloatArray
    factor_at: IntArray
    gamma_at: IntArray
    gamma_on: FloatArray

    @property
    def coefficients(self) -> FloatArray:
        """Of interpolation code 4, with shape (6, C S, K)."""
        return sextic_coefficients(self.norm_lo, self.norm_hi)


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
    for channel, sample, modifier in modifiers_of(workspace):
        for name, pair in _bin_by_bin(workspace, channel, sample, modifier, settings):
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
    workspace: Workspace,
    channel: Channel,
    sample: Sample,
    modifier: Modifier,
    settings: Mapping[str, ParameterConfig],
) -> Iterator[tuple[str, tuple[Parameter, float | None]]]:
    """One parameter per bin, named ``name[i]`` as pyhf does."""
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
    config = settings.get(modifier.name)
    start = first_component(workspace, channel, modifier)
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


def first_component(workspace: Workspace, channel: Channel, modifier: Modifier) -> int:
    """Number in ``name[i]`` of a bin-by-bin parameter in the first bin of a channel.

    A staterror that several channels name has components of its own in each, one channel after the
    other; a shapefactor that they share has the same ones in all (both as in pyhf).
    """
    if not isinstance(modifier, StatError):
        return 0
    before = workspace.channels[: workspace.channels.index(channel)]
    named = (modifier.kind, modifier.name)
    return sum(c.n_bins for c in before if any((m.kind, m.name) == named for s in c.samples for m in s.modifiers))


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


def compile_grid(workspace: Workspace, declared: Declared) -> Grid:
    """The arrays that rates and their derivatives are computed from."""
    channels, names = workspace.channels, declared.parameters
    n_slots = max(len(c.samples) for c in channels)
    first = np.concatenate([[0], np.cumsum([c.n_bins for c in channels])])
    n_bins, n_rows = int(first[-1]), len(channels) * n_slots
    nominal = np.zeros((n_bins, n_slots))
    odd = np.zeros((n_bins, n_slots, declared.n_scalar))
    even = np.zeros_like(odd)
    norms: list[list[tuple[int, float, float]]] = [[] for _ in range(n_rows)]
    factors: list[list[int]] = [[] for _ in range(n_rows)]
    gammas: list[dict[int, list[int]]] = [{} for _ in range(n_bins)]
    for c, channel in enumerate(channels):
        bins = slice(first[c], first[c + 1])
        for s, sample in enumerate(channel.samples):
            nominal[bins, s], row = sample.nominal, c * n_slots + s
            for modifier in sample.modifiers:
                match modifier:
                    case HistoSys(name=name, lo=lo, hi=hi):
                        at = names.position(name)
                        odd[bins, s, at] = 0.5 * (hi - lo)
                        even[bins, s, at] = 0.5 * (hi + lo) - sample.nominal
                    case NormSys(name=name, lo=low, hi=high):
                        norms[row].append((names.position(name), low, high))
                    case NormFactor(name=name) | Lumi(name=name):
                        factors[row].append(names.position(name))
                    case _:
                        start = first_component(workspace, channel, modifier)
                        for i in range(channel.n_bins):
                            at = names.position(f"{modifier.name}[{start + i}]")
                            gammas[first[c] + i].setdefault(at, []).append(s)
    lo_hi = [[(low, high) for _, low, high in row] for row in norms]
    norm_lo_hi = _padded(lo_hi, np.asarray((1.0, 1.0)))
    gamma_at = _padded([list(bin_) for bin_ in gammas], np.asarray(len(names)))
    return Grid(
        nominal=nominal,
        channel_of_bin=np.repeat(np.arange(len(channels)), [c.n_bins for c in channels]),
        shift_odd=odd,
        shift_even=even,
        norm_at=_padded([[at for at, _, _ in row] for row in norms], np.asarray(declared.n_scalar)),
        norm_lo=norm_lo_hi[..., 0],
        norm_hi=norm_lo_hi[..., 1],
        factor_at=_padded(factors, np.asarray(len(names))),
        gamma_at=gamma_at,
        gamma_on=_masks(gammas, gamma_at.shape[1], n_slots),
    )


def _padded(rows: Sequence[Sequence[Any]], fill: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Rows of unequal length as one array, at least one column wide."""
    width = max(1, *(len(row) for row in rows))
    out = np.empty((len(rows), width, *fill.shape), dtype=fill.dtype)
    out[...] = fill
    for i, row in enumerate(rows):
        if row:
            out[i, : len(row)] = row
    return out


def _masks(gammas: list[dict[int, list[int]]], width: int, n_slots: int) -> FloatArray:
    """1 where the q-th bin-by-bin parameter of a bin multiplies a sample, with shape (B, S, Q)."""
    on = np.zeros((len(gammas), n_slots, width))
    for b, by_parameter in enumerate(gammas):
        for q, slots in enumerate(by_parameter.values()):
            on[b, slots, q] = 1.0
    return on
