r"""``autoMCStats`` of CMS Combine: which bins get which parameters for the statistics of their templates.

For the yields n_i and uncertainties e_i of the processes in a bin, at the start values of all factors (documentation
of Combine, "Automatic statistical uncertainties"; its ``CMSHistErrorPropagator.setupBinPars``):

- where the background has no uncertainty, nothing;
- where its effective events n^2 / e^2, rounded, exceed the threshold, one parameter x of unit normal constraint for
  all processes, with the yield n + x e, e^2 = sum e_i^2;
- else one parameter for each process with e_i > 0: a factor measured by n_i^2 / e_i^2 events, rounded, where these do
  not exceed the threshold and e_i does not exceed n_i; else x with n_i + x e_i.

The first kind is made of additive shifts ``x e_i^2 / e`` of each process, which add up to ``x e``, and like Combine's
``x sqrt(sum (F_i e_i)^2)`` change with the normalisation F_i of a process by ``x F_i e_i^2 / e`` to first order.
The others are exact.
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
        factor: Product of its factors at their start values.
    """

    process: str
    signal: bool
    values: FloatArray
    uncertainties: FloatArray
    factor: float


@dataclass(frozen=True, eq=False)
class BinParameters:
    """Parameters of a channel.

    Attributes:
        shifts: By process and name of a parameter, bin and shift of one standard deviation.
        counts: By process, the events that measure the factor of each bin, 0 where there is none; with shape (B,).
        curvature: Largest relative amount by which the total uncertainty of a bin without signal differs from
            Combine's.
    """

    shifts: dict[str, dict[str, tuple[int, float]]]
    counts: dict[str, FloatArray]
    curvature: float = 0.0


def bin_parameters(channel: str, settings: AutoStats, processes: Sequence[Statistics]) -> BinParameters:
    """What ``autoMCStats`` makes of a channel.

    Args:
        channel: Its name.
        settings: The line of the card.
        processes: All its processes.
    """
    result = BinParameters({p.process: {} for p in processes}, {p.process: np.zeros(len(p.values)) for p in processes})
    curvature = 0.0
    for b in range(len(processes[0].values)):
        among = [p for p in processes if settings.include_signal or not p.signal]
        total = sum(p.factor * float(p.values[b]) for p in among)
        variance = sum((p.factor * float(p.uncertainties[b])) ** 2 for p in among)
        if variance <= 0.0:
            continue
        name = f"prop_bin{channel}_bin{b}"
        if int(0.5 + total**2 / variance) > settings.threshold:
            _shared(result, name, b, processes)
            curvature = max(curvature, _bend(b, processes))
        else:
            _separate(result, name, b, processes, settings.threshold)
    return BinParameters(result.shifts, result.counts, curvature)


def _shared(result: BinParameters, name: str, b: int, processes: Sequence[Statistics]) -> None:
    everything = np.sqrt(sum((p.factor * float(p.uncertainties[b])) ** 2 for p in processes))
    for p in processes:
        shift = p.factor * float(p.uncertainties[b]) ** 2 / float(everything)
        if shift > 0.0:
            result.shifts[p.process][name] = (b, shift)


def _bend(b: int, processes: Sequence[Statistics]) -> float:
    """Relative difference of the uncertainty of a bin from Combine's, where there is no signal: 1 - e_b / e."""
    parts = [(p.signal, (p.factor * float(p.uncertainties[b])) ** 2) for p in processes]
    background, everything = sum(v for signal, v in parts if not signal), sum(v for _, v in parts)
    return float(1.0 - np.sqrt(background / everything)) if background > 0.0 else 0.0


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
