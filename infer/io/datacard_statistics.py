r"""``autoMCStats`` of CMS Combine: which bins get which parameters for the statistics of their templates.

For the yields n_i and uncertainties e_i of the processes in a bin, at the start values of all factors (documentation
of Combine, "Automatic statistical uncertainties"; its ``CMSHistErrorPropagator.setupBinPars``):

- where the background has no uncertainty, nothing;
- where its effective events n^2 / e^2, rounded, exceed the threshold, one parameter x of unit normal constraint for
  all processes, with the yield n + x e, e^2 = sum e_i^2;
- else one parameter for each process with e_i > 0: a factor measured by n_i^2 / e_i^2 events, rounded, where these do
  not exceed the threshold and e_i does not exceed n_i; else x with n_i + x e_i.

The last two are exact. In the first, e follows the normalisations F_i of the processes, e^2 = sum (F_i e_i)^2, which no
shift in one parameter can. But x e is the sum of independent terms x_g e_g, with e_g^2 the sum over a group g of
processes and one x_g of unit normal constraint for each: for a given sum, the smallest sum of x_g^2 is x^2, and their
integral is that over x as well. Groups are made of processes that the same free factors multiply (the signal strength,
rateParam, gmN), and x_g acts on process i by ``x_g e_i^2 / e_g``. Profiles and posteriors are then Combine's, however
far free factors go; where log-normals change the composition of a group, they are to first order. -2 ln L itself
differs by a constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infer.io.datacard_records import AutoStats
from infer.io.templates import FloatArray


@dataclass(frozen=True, eq=False)
class Statistics:
    """A process in a channel, as far as the statistics of its template go.

    Attributes:
        process: Its name.
        signal: Whether it is signal.
        values: Expected events with shape (B,), without its factors.
        uncertainties: Statistical uncertainties with shape (B,).
        factors: Its free factors.
        factor: Their product at the start values.
    """

    process: str
    signal: bool
    values: FloatArray
    uncertainties: FloatArray
    factors: tuple[str, ...]
    factor: float


@dataclass(frozen=True, eq=False)
class BinParameters:
    """Parameters of a channel.

    Attributes:
        shifts: By process and name of a parameter, bin and shift of one standard deviation.
        counts: By process, the events that measure the factor of each bin, 0 where there is none; with shape (B,).
        shared: Whether a parameter acts on processes whose composition may change.
    """

    shifts: dict[str, dict[str, tuple[int, float]]]
    counts: dict[str, FloatArray]
    shared: bool = False


def bin_parameters(channel: str, settings: AutoStats, processes: Sequence[Statistics]) -> BinParameters:
    """What ``autoMCStats`` makes of a channel.

    Args:
        channel: Its name.
        settings: The line of the card.
        processes: All its processes.
    """
    result = BinParameters({p.process: {} for p in processes}, {p.process: np.zeros(len(p.values)) for p in processes})
    shared = False
    for b in range(len(processes[0].values)):
        among = [p for p in processes if settings.include_signal or not p.signal]
        total = sum(p.factor * float(p.values[b]) for p in among)
        variance = sum((p.factor * float(p.uncertainties[b])) ** 2 for p in among)
        if variance <= 0.0:
            continue
        name = f"prop_bin{channel}_bin{b}"
        if int(0.5 + total**2 / variance) > settings.threshold:
            shared |= _together(result, name, b, processes)
        else:
            _separate(result, name, b, processes, settings.threshold)
    return BinParameters(result.shifts, result.counts, shared)


def _together(result: BinParameters, name: str, b: int, processes: Sequence[Statistics]) -> bool:
    """One parameter for each group of processes; whether a group has several."""
    groups: dict[tuple[str, ...], list[Statistics]] = {}
    for p in processes:
        if p.uncertainties[b] > 0.0:
            groups.setdefault(p.factors, []).append(p)
    for factors, members in groups.items():
        total = float(np.sqrt(sum(float(p.uncertainties[b]) ** 2 for p in members)))  # the common factor cancels
        for p in members:
            shift = float(p.uncertainties[b]) ** 2 / total
            result.shifts[p.process]["_".join((name, *factors))] = (b, shift)
    return any(len(members) > 1 for members in groups.values())


def _separate(result: BinParameters, name: str, b: int, processes: Sequence[Statistics], threshold: float) -> None:
    for p in processes:
        value, uncertainty = float(p.values[b]), float(p.uncertainties[b])
        if uncertainty <= 0.0 or value < 0.0:
            continue
        events = int(0.5 + (value / uncertainty) ** 2)
        if value >= 0.999 * uncertainty and events <= threshold:
            result.counts[p.process][b] = events
        else:
            result.shifts[p.process][f"{name}_{p.process}"] = (b, uncertainty)
