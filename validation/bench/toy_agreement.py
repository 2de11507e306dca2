"""Whether two tools give the same toys the same estimates; pyhf's likelihood is the referee."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from validation import tables
from validation.bench.run_pyhf_toys import data_vector
from validation.bench.toy_runner import Sample
from validation.models import Reference, pyhf_reference

FloatArray = npt.NDArray[np.float64]

DEEPER = 1e-3
"""Difference in -2 ln L from which one minimum counts as deeper than another."""
FAR = 0.01
"""Difference of two estimates in standard deviations from which it is counted."""


@dataclass(frozen=True)
class Referee:
    """The likelihood of any toy at any point, by pyhf."""

    reference: Reference
    sample: Sample

    @classmethod
    def of(cls, path: Path, sample: Sample) -> "Referee":
        """The judge of a workspace's toys."""
        return cls(pyhf_reference(path), sample)

    def twice_nll(self, toy: int, theta: FloatArray) -> float:
        """-2 ln L of a toy's data, main and auxiliary."""
        point = dict(zip(self.sample.names, theta.tolist(), strict=True))
        data = data_vector(self.reference.model, self.sample, toy)
        with np.errstate(all="ignore"):
            return -2.0 * float(self.reference.model.logpdf(self.reference.vector(point), data)[0])


@dataclass(frozen=True)
class Agreement:
    """Estimates of a tool against this package's, on the toys that both fitted."""

    workspace: str
    tool: str
    n: int
    n_without: int
    """Toys for which the tool gave no point, or one where the likelihood is not finite."""
    median_shift: float | None
    """Median of \\|difference of the estimates of the parameter of interest\\| in standard deviations."""
    n_far: int
    """Toys where it exceeds `FAR`."""
    max_shift: float | None
    max_shift_same: float | None
    """The same among toys whose two minima are equally deep."""
    median_difference: float | None
    """Median of the tool's -2 ln L minus this package's."""
    least: float | None
    largest: float | None
    n_tool_deeper: int
    n_infer_deeper: int


def agreement(
    workspace: str,
    tool: str,
    referee: Referee,
    theirs: Mapping[int, FloatArray],
    ours: Mapping[int, FloatArray],
    sigma: Mapping[int, float],
) -> Agreement:
    """Compare best fits by number of the toy."""
    at = referee.sample.names.index(referee.sample.poi)
    toys = [i for i in sorted(theirs) if i in ours]
    depth = np.array([referee.twice_nll(i, theirs[i]) - referee.twice_nll(i, ours[i]) for i in toys])
    shift = np.array([abs(theirs[i][at] - ours[i][at]) / sigma[i] for i in toys])
    usable = np.isfinite(depth)
    shifted = shift[usable & np.isfinite(shift)]
    same = shift[usable & np.isfinite(shift) & (np.abs(depth) <= DEEPER)]
    depth = depth[usable]
    return Agreement(
        workspace=workspace,
        tool=tool,
        n=len(toys),
        n_without=int(np.sum(~usable)),
        median_shift=_of(np.median, shifted),
        n_far=int(np.sum(shifted > FAR)),
        max_shift=_of(np.max, shifted),
        max_shift_same=_of(np.max, same),
        median_difference=_of(np.median, depth),
        least=_of(np.min, depth),
        largest=_of(np.max, depth),
        n_tool_deeper=int(np.sum(depth < -DEEPER)),
        n_infer_deeper=int(np.sum(depth > DEEPER)),
    )


def _of(summary: Any, x: FloatArray) -> float | None:
    return float(summary(x)) if x.size else None


HEADER = (
    "workspace",
    "tool",
    "toys",
    "no point",
    "median \\|Δμ\\|/σ",
    "largest",
    "largest, same depth",
    f"> {FAR:g} σ",
    "median Δ2NLL",
    "least",
    "largest",
    f"tool deeper by > {DEEPER:g}",
    "infer deeper",
)


def _row(a: Agreement) -> list[str]:
    shifts = (a.median_shift, a.max_shift, a.max_shift_same)
    depths = (a.median_difference, a.least, a.largest)
    return [
        a.workspace,
        a.tool,
        str(a.n),
        str(a.n_without),
        *(tables.number(x, 2) for x in shifts),
        str(a.n_far),
        *(tables.number(x, 2) for x in depths),
        str(a.n_tool_deeper),
        str(a.n_infer_deeper),
    ]


def agreement_table(agreements: Sequence[Agreement]) -> str:
    """The table of all comparisons, with what it means."""
    text = (
        "Every tool against this package, toy by toy: the estimates of the parameter of interest in units of this "
        "package's σ (its bound released), and -2 ln L of the tool's minimum minus that of this package's, both "
        "evaluated by pyhf with the toy's main and auxiliary data. `infer MIGRAD` is this package's second engine from "
        "the same start."
    )
    return f"## Do they find the same minima?\n\n{text}\n\n" + tables.markdown_table(
        HEADER, [_row(a) for a in agreements]
    )
