r"""One column of a CMS Combine datacard as a HistFactory sample, with the interpolation of Combine.

The rate of bin b is, with theta the nuisance parameters (documentation of Combine, "Template shape uncertainties" and
"A simple counting experiment"; its ``ProcessNormalization``, ``CMSHistFunc`` and ``ShapeTools``),

    nu_b = N prod_j f_j(theta_j) [ t_b + sum_k (x_k (u_kb - d_kb) + x_k s(x_k) (u_kb + d_kb - 2 t_b)) / 2 ],

with t, u_k and d_k the nominal and the shifted histograms, each of integral 1; s(x) = (3 x^5 - 10 x^3 + 15 x) / 8
within [-1, 1] and the sign of x outside. That is a histosys with the code ``code4p``, since x s(x) is its even
function h. The factors f_j are normsys with the code ``combine``: of lnN, and of the integrals of shifted histograms,
unless both differ from the nominal one by less than 0.1 %. x_k is theta_k times the effect in the card. Where that is
not 1, the region in which s bends is [-q, q], with q the smallest effect on the process; the shift is a histosys where
x = q theta, or where the shifts are symmetric, so that s does not matter.

What Combine does beyond: it keeps bins of a histogram above 1e-9.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from infer.documents import fail
from infer.io.datacard_records import Card, Column, Nuisance
from infer.io.datacard_shapes import Shape, Shapes
from infer.io.templates import FloatArray

Acting: TypeAlias = list[tuple[Nuisance, tuple[float, ...]]]

_SYMMETRIC = 1e-5  # as in Combine: a log-normal is symmetric where down times up is this close to 1
_NO_CHANGE = 1e-3  # as in Combine: integrals that change less than this are left alone


@dataclass
class Sample:
    """A column on its way to a sample.

    Attributes:
        column: The column.
        nominal: Expected events with shape (B,).
        variances: Of the nominal, with shape (B,).
        factors: Parameters that multiply it.
        kappas: Logarithms of the factors at -1 and +1, by parameter.
        shifted: Contents at -1 and +1, by parameter.
        counts: Events that measure a factor of each bin, with shape (B,); None without autoMCStats.
    """

    column: Column
    nominal: FloatArray
    variances: FloatArray
    factors: list[str] = field(default_factory=list)
    kappas: dict[str, tuple[float, float]] = field(default_factory=dict)
    shifted: dict[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)
    counts: FloatArray | None = None

    def document(self) -> dict[str, Any]:
        """The sample of a pyhf workspace."""
        modifiers = [{"name": name, "type": "normfactor", "data": None} for name in self.factors]
        for name, (low, high) in self.kappas.items():
            data: Any = {"lo": float(np.exp(low)), "hi": float(np.exp(high))}
            modifiers.append({"name": name, "type": "normsys", "data": data})
        for name, (lo, hi) in self.shifted.items():
            data = {"lo_data": lo.tolist(), "hi_data": hi.tolist()}
            modifiers.append({"name": name, "type": "histosys", "data": data})
        if self.counts is not None and np.any(self.counts > 0.0):
            measured = self.counts > 0.0
            width = np.where(measured, self.nominal / np.sqrt(np.where(measured, self.counts, 1.0)), 0.0)
            name = f"prop_bin{self.column.channel}_{self.column.process}"
            modifiers.append({"name": name, "type": "shapesys", "data": width.tolist()})
        return {"name": self.column.process, "data": self.nominal.tolist(), "modifiers": modifiers}


def make_sample(card: Card, shapes: Shapes, at: int) -> Sample | None:
    """The sample of a column, without factors and bin-wise statistics; None where nothing is expected.

    Args:
        card: The card.
        shapes: Its histograms.
        at: Position of the column.

    Raises:
        WorkspaceError: A histogram is missing or does not fit, or an effect has no counterpart in HistFactory.
    """
    column = card.columns[at]
    acting = [(n, n.effects[at]) for n in card.nuisances if n.effects[at]]
    rate = _rate(card, column, acting)
    if shapes.counts_only(column.channel, column.process):
        if column.rate == -1.0:
            problem = f"the rate of {column.process!r} in {column.channel!r} is -1, but there is no histogram"
            raise fail(card.source, problem, "give the rate, or a line shapes")
        nominal, shape = np.asarray([rate]), None
        variances = np.zeros(1)
    else:
        shape = shapes.shape(column.channel, column.process)
        rate = _checked_rate(card, column, shape, rate)
        scale = rate / shape.integral if rate else 0.0
        nominal, variances = shape.values * scale, shape.variances * scale**2
    if not np.any(nominal):
        if column.rate != 0.0:
            shapes.remarks.append(f"{column.process!r} in channel {column.channel!r} is empty and left out")
        return None
    sample = Sample(column, nominal, variances)
    for nuisance, effect in acting:
        _act(card, shapes, sample, shape, nuisance, effect, _region(shapes, acting, column))
    sample.kappas = {name: pair for name, pair in sample.kappas.items() if pair != (0.0, 0.0)}
    return sample


def _rate(card: Card, column: Column, acting: Acting) -> float:
    """Rate of a column; what a gmN says of it comes before the line rate, with which it must agree."""
    gammas = [(n, effect[0]) for n, effect in acting if n.kind == "gmN"]
    if not gammas:
        return column.rate
    (nuisance, alpha), *more = gammas
    place = card.place(nuisance.line)
    if more:
        problem = f"{nuisance.name!r} and {more[0][0].name!r} are gmN of one process in one channel"
        raise fail(place, problem, "Combine allows one")
    far = abs(alpha * nuisance.count - column.rate) > max(0.05 * max(column.rate, 1.0), alpha)
    if column.rate != -1.0 and far:
        problem = f"{nuisance.count} events times {alpha:g} are not the rate {column.rate:g} of {column.process!r}"
        raise fail(place, problem, f"correct the effect of {nuisance.name!r}, or the rate")
    return alpha * max(nuisance.count, 1)


def _checked_rate(card: Card, column: Column, shape: Shape, rate: float) -> float:
    """The rate, or the integral of the histogram for -1; they may differ by 1 %."""
    place, integral = f"{card.source}: channel {column.channel!r}, process {column.process!r}", shape.integral
    if column.rate > 0.0 and abs(integral - column.rate) > 0.01 * max(1.0, column.rate):
        problem = f"the rate is {column.rate:g}, but the histogram has an integral of {integral:g}"
        raise fail(place, problem, "make them agree, or write -1 for the rate")
    if rate == -1.0:
        rate = integral
    if integral < 0.0 or (integral == 0.0 and rate > 0.0):
        raise fail(place, f"the histogram has an integral of {integral:g}", "leave the process out of the channel")
    return rate


def _region(shapes: Shapes, acting: Acting, column: Column) -> float:
    """Smallest effect of the shape uncertainties on a process, at most 1."""
    scales = [effect[0] for n, effect in acting if _is_shape(shapes, n, column)]
    return min([1.0, *scales])


def _is_shape(shapes: Shapes, nuisance: Nuisance, column: Column) -> bool:
    if nuisance.kind == "shape?":
        return shapes.has(column.channel, column.process, f"{nuisance.name}Up")
    return nuisance.kind in ("shape", "shapeU")


def _act(
    card: Card,
    shapes: Shapes,
    sample: Sample,
    shape: Shape | None,
    nuisance: Nuisance,
    effect: tuple[float, ...],
    region: float,
) -> None:
    """Let a nuisance parameter act on a sample."""
    place, name = card.place(nuisance.line), nuisance.name
    if nuisance.kind == "gmN":
        sample.factors.append(name)
    elif not _is_shape(shapes, nuisance, sample.column):
        _multiply(sample, name, _logs(effect))
    elif shape is None:
        problem = f"shape uncertainty {name!r} acts on {sample.column.process!r}, which has no histogram"
        raise fail(place, problem, "write lnN, or '-'")
    else:
        if len(effect) > 1 or name in sample.shifted:
            problem = f"shape uncertainty {name!r} acts twice, or has two numbers, on {sample.column.process!r}"
            raise fail(place, problem, "give one effect")
        _shift(card, shapes, sample, shape, nuisance, effect[0], region)


def _logs(effect: tuple[float, ...]) -> tuple[float, float]:
    """Logarithms of the factors down and up."""
    down, up = (1.0 / effect[0], effect[0]) if len(effect) == 1 else effect
    if abs(down * up - 1.0) < _SYMMETRIC:
        return -float(np.log(up)), float(np.log(up))
    return float(np.log(down)), float(np.log(up))


def _multiply(sample: Sample, name: str, logs: tuple[float, float]) -> None:
    low, high = sample.kappas.get(name, (0.0, 0.0))
    sample.kappas[name] = (low + logs[0], high + logs[1])


def _shift(
    card: Card, shapes: Shapes, sample: Sample, shape: Shape, nuisance: Nuisance, scale: float, region: float
) -> None:
    """Shape and normalisation of the shifted histograms of a process."""
    column, name = sample.column, nuisance.name
    settings = card.auto_stats.get(column.channel)
    kept = settings is not None and settings.mode == 2  # normalisation within the shape
    down, up = (shapes.shape(column.channel, column.process, f"{name}{side}") for side in ("Down", "Up"))
    for side, shifted in (("Down", down), ("Up", up)):
        if shifted.integral <= 0.0:
            problem = f"the histogram of {column.process!r} with {name}{side} has an integral of {shifted.integral:g}"
            raise fail(card.place(nuisance.line), problem, "correct the histogram, or leave the effect out")
    to_rate = float(np.sum(sample.nominal))
    lo, hi = (part.values * to_rate / (shape.integral if kept else part.integral) for part in (down, up))
    ratios = (down.integral / shape.integral, up.integral / shape.integral)
    if not kept and max(abs(ratio - 1.0) for ratio in ratios) >= _NO_CHANGE:
        _multiply(sample, name, (scale * float(np.log(ratios[0])), scale * float(np.log(ratios[1]))))
    nominal = sample.nominal
    bent = np.max(np.abs(lo + hi - 2.0 * nominal)) > 1e-9 * np.max(np.abs(nominal))
    if bent and scale != region:
        problem = (
            f"shape uncertainty {name!r} has the effect {scale:g} on {column.process!r}, where {region:g} is needed"
        )
        remedy = "write 1 for all shape uncertainties of the process, and scale the histograms"
        raise fail(card.place(nuisance.line), problem, remedy)
    sample.shifted[name] = (nominal + scale * (lo - nominal), nominal + scale * (hi - nominal))


def observed_counts(card: Card, shapes: Shapes) -> Iterator[tuple[str, FloatArray]]:
    """Observed events of each channel.

    Raises:
        WorkspaceError: The histogram and the card do not agree, or there is neither.
    """
    for channel, count in card.observed.items():
        if shapes.counts_only(channel, "data_obs"):
            if count == -1.0:
                problem = f"the observation of channel {channel!r} is -1, but there is no histogram"
                raise fail(card.source, problem, "give the count, or a line shapes for data_obs")
            yield channel, np.asarray([count])
            continue
        shape = shapes.shape(channel, "data_obs")
        far = shape.integral > 0.01 if count == 0.0 else abs(shape.integral / count - 1.0) > 0.005
        if count != -1.0 and far:
            problem = f"the observation of channel {channel!r} is {count:g}, but data_obs holds {shape.integral:g}"
            raise fail(card.source, problem, "make them agree, or write -1 for the observation")
        yield channel, shape.values
