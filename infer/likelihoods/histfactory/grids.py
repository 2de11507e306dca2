"""From modifiers to arrays: the compilation of a workspace into lists of what is not zero.

Entries (one sample in one bin) lie on a grid of B bins by S sample slots, the bins of all channels one
after the other; a *row* is one sample of one of the C channels, so that there are R = C S of them.  An
entry has the number ``b S + s``, a row ``c S + s``.  Slots that a channel does not use have a nominal
rate of zero.

A systematic acts on few samples, and most pairs of an entry and a parameter have nothing to do with one
another.  Variations are therefore lists: one element per normsys of a row, per factor of a row, and per
histosys of an entry, each with the position of its parameter.  Memory and time grow with what the
workspace says, not with B S P.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import equinox as eqx
import jax
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Float, Int

from infer.likelihoods.histfactory.modifiers import Declared, first_components
from infer.likelihoods.histfactory.spec import (
    HistoSys,
    Lumi,
    Modifier,
    NormFactor,
    NormSys,
    ShapeFactor,
    ShapeSys,
    StatError,
    Workspace,
)
from infer.numerics.interpolation import sextic_coefficients

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int32]
_ALMOST_ALL = 0.85  # share of columns from which leaving out the others costs more than it saves


class Norms(eqx.Module):
    """One element per normsys of a row, n of them.

    Args:
        at: its parameter.
        row: its row.
        log_lo: logarithm of the factor at -1.
        log_hi: logarithm of the factor at +1.
        coefficients: of interpolation code 4.
        of_row: the elements of a row, padded with n.
    """

    at: Int[Array, " n"]
    row: Int[Array, " n"]
    log_lo: Float[Array, " n"]
    log_hi: Float[Array, " n"]
    coefficients: Float[Array, "6 n"]
    of_row: Int[Array, "r k"]


class Factors(eqx.Module):
    """One element per normfactor or lumi of a row.

    Args:
        at: its parameter.
        row: its row.
        of_row: the *parameters* of a row, padded with P, the position of a constant 1.
    """

    at: Int[Array, " l"]
    row: Int[Array, " l"]
    of_row: Int[Array, "r m"]


class Shifts(eqx.Module):
    """One element per histosys of an entry that it changes, ordered by entry.

    Args:
        at: its parameter.
        entry: its entry.
        bin: bin of the entry.
        row: row of the entry.
        odd: ``(up - down) / 2``.
        even: ``(up + down) / 2 - nominal``.
    """

    at: Int[Array, " z"]
    entry: Int[Array, " z"]
    bin: Int[Array, " z"]
    row: Int[Array, " z"]
    odd: Float[Array, " z"]
    even: Float[Array, " z"]


class Blocks(eqx.Module):
    """Rows with shape (x, S), cut into K blocks of M rows of one channel, which are multiplied by one matrix.

    Args:
        take: the rows of each block; the last of a channel's blocks repeats one.
        channel: the channel of each block.
        place: where each of the x rows stands among the K M rows of all blocks.
    """

    take: Int[Array, "k m"]
    channel: Int[Array, " k"]
    place: Int[Array, " x"]


class Gammas(eqx.Module):
    """Bin-by-bin parameters (staterror, shapesys, shapefactor), at most Q of them in a bin.

    A *partial* one, of which there are X, multiplies some entries of its bin and leaves out others that are not zero.

    Args:
        blocks: the partial ones by channel.
        at: the parameters of a bin, padded with P.
        on: 1 for the entries that each multiplies, else 0.
        partial_bin: bins of the partial ones.
        partial_slot: which of the bin's Q they are.
        shift: elements of `Shifts` that partial ones multiply.
        shift_of: for each of these, which of the X multiplies it.
    """

    blocks: Blocks
    at: Int[Array, "b q"]
    on: Float[Array, "b s q"]
    partial_bin: Int[Array, " x"]
    partial_slot: Int[Array, " x"]
    shift: Int[Array, " y"]
    shift_of: Int[Array, " y"]


class Grids(eqx.Module):
    """A workspace as arrays; see the module's docstring.

    Args:
        blocks: the bins by channel.
        norms: multiplicative variations.
        factors: free factors.
        shifts: additive variations.
        gammas: bin-by-bin factors.
        nominal: nominal rates.
        channel_of_bin: number of each bin's channel.
        scaling: the scalar parameters that some row's factor depends on; all where they are almost all.
        scaling_at: position of each scalar parameter in ``scaling``, N where it is not there.
    """

    blocks: Blocks
    norms: Norms
    factors: Factors
    shifts: Shifts
    gammas: Gammas
    nominal: Float[Array, "b s"]
    channel_of_bin: Int[Array, " b"]
    scaling: Int[Array, " N"]
    scaling_at: Int[Array, " a"]

    @property
    def n_scalar(self) -> int:
        """A, the number of parameters that are not bin-by-bin; they come first."""
        return self.scaling_at.shape[0]

    @property
    def n_rows(self) -> int:
        """R, the number of rows."""
        return self.factors.of_row.shape[0]


class _Layout:
    """A workspace with numbers for its channels, bins and rows, and the positions of its parameters."""

    def __init__(self, workspace: Workspace, declared: Declared) -> None:
        channels = workspace.channels
        self.names, self.n_scalar = declared.parameters, declared.n_scalar
        self.n_slots = max(len(c.samples) for c in channels)
        self.n_rows = len(channels) * self.n_slots
        self.first = np.cumsum([0, *(c.n_bins for c in channels)])
        self.channel_of_bin = np.repeat(np.arange(len(channels), dtype=np.int32), np.diff(self.first))
        self.rows = [(i, s, c, sample) for i, c in enumerate(channels) for s, sample in enumerate(c.samples)]
        self.components = first_components(workspace)

    def bins(self, c: int) -> npt.NDArray[np.intp]:
        """The bins of a channel."""
        return np.arange(self.first[c], self.first[c + 1])

    def by_row(self, kind: tuple[type[Modifier], ...]) -> list[list[Any]]:
        """The modifiers of some kinds by row."""
        rows: list[list[Modifier]] = [[] for _ in range(self.n_rows)]
        for c, s, _, sample in self.rows:
            rows[c * self.n_slots + s] = [m for m in sample.modifiers if isinstance(m, kind)]
        return rows

    def positions(self, rows: Sequence[Sequence[Modifier]]) -> list[list[int]]:
        """The parameters of modifiers by row."""
        return [[self.names.position(modifier.name) for modifier in row] for row in rows]


def compile_grids(workspace: Workspace, declared: Declared) -> Grids:
    """The arrays of a workspace."""
    layout = _Layout(workspace, declared)
    nominal = np.zeros((layout.channel_of_bin.size, layout.n_slots))
    for c, s, _, sample in layout.rows:
        nominal[layout.bins(c), s] = sample.nominal
    norms, factors, shifts = _norms(layout), _factors(layout), _shifts(layout)
    used = np.union1d(norms.at, factors.at)
    return Grids(
        _blocks(layout.channel_of_bin, layout.n_slots),
        norms,
        factors,
        shifts,
        _gammas(layout, nominal, shifts),
        *_put(nominal, layout.channel_of_bin, *_scaling(used, declared.n_scalar)),
    )


def _put(*arrays: npt.NDArray[Any]) -> Any:
    """Arrays on the device, in one transfer."""
    return jax.device_put(arrays)


def _norms(layout: _Layout) -> Norms:
    rows = layout.by_row((NormSys,))
    at, row = _flat(layout.positions(rows))
    lo, hi = (np.asarray([getattr(m, end) for r in rows for m in r], dtype=float) for end in ("lo", "hi"))
    element = iter(range(at.size))
    of_row = _padded([[next(element) for _ in r] for r in rows], at.size)
    return Norms(*_put(at, row, np.log(lo), np.log(hi), sextic_coefficients(lo, hi), of_row))


def _factors(layout: _Layout) -> Factors:
    rows = layout.positions(layout.by_row((NormFactor, Lumi)))
    return Factors(*_put(*_flat(rows), _padded(rows, len(layout.names))))


def _shifts(layout: _Layout) -> Shifts:
    """The variations that are not zero, ordered by entry."""
    lists: tuple[list[Any], ...] = ([np.zeros(0, np.int32)], [np.zeros(0, np.int32)], [np.zeros(0)], [np.zeros(0)])
    for c, s, _, sample in layout.rows:
        entries = (layout.bins(c) * layout.n_slots + s).astype(np.int32)
        for modifier in sample.modifiers:
            if isinstance(modifier, HistoSys):
                at = np.full(entries.size, layout.names.position(modifier.name), np.int32)
                odd, even = 0.5 * (modifier.hi - modifier.lo), 0.5 * (modifier.hi + modifier.lo) - sample.nominal
                for part, values in zip(lists, (at, entries, odd, even), strict=True):
                    part.append(values)
    at, entry, odd, even = (np.concatenate(part) for part in lists)
    kept = np.flatnonzero((odd != 0.0) | (even != 0.0))
    kept = kept[np.lexsort((at[kept], entry[kept]))]
    bins, slots = np.divmod(entry[kept], np.int32(layout.n_slots))
    row = layout.channel_of_bin[bins] * np.int32(layout.n_slots) + slots
    return Shifts(*_put(at[kept], entry[kept], bins, row, odd[kept], even[kept]))


def _gammas(layout: _Layout, nominal: FloatArray, shifts: Shifts) -> Gammas:
    at, on = _multipliers(layout)
    filled = nominal != 0.0
    filled.flat[np.asarray(shifts.entry)] = True
    left_out = np.any(filled[:, :, None] & (on == 0.0), axis=1) & (at < len(layout.names))
    partial_bin, partial_slot = (x.astype(np.int32) for x in np.nonzero(left_out))
    lists = _multiplied(shifts, on, partial_bin, partial_slot)
    blocks = _blocks(layout.channel_of_bin[partial_bin], layout.n_slots)
    return Gammas(blocks, *_put(at, on, partial_bin, partial_slot, *lists))


def _multipliers(layout: _Layout) -> tuple[IntArray, FloatArray]:
    """`Gammas.at` and `Gammas.on`."""
    bins: list[dict[int, list[int]]] = [{} for _ in layout.channel_of_bin]  # slots by parameter
    for c, s, channel, sample in layout.rows:
        for name in (m.name for m in sample.modifiers if isinstance(m, StatError | ShapeSys | ShapeFactor)):
            start = layout.names.position(f"{name}[{layout.components[channel.name, name]}]")
            for at, b in enumerate(layout.bins(c), start):  # the components of a channel lie together
                bins[b].setdefault(at, []).append(s)
    at_of_bin = _padded([list(slots_of) for slots_of in bins], len(layout.names))
    on = np.zeros((len(bins), layout.n_slots, at_of_bin.shape[1]))
    for b, slots_of in enumerate(bins):
        for q, slots in enumerate(slots_of.values()):
            on[b, slots, q] = 1.0
    return at_of_bin, on


def _multiplied(
    shifts: Shifts, on: FloatArray, partial_bin: IntArray, partial_slot: IntArray
) -> tuple[IntArray, IntArray]:
    """`Gammas.shift` and `Gammas.shift_of`."""
    # the shifts of a bin lie together, since they are ordered by entry
    begin, end = (np.searchsorted(np.asarray(shifts.bin), partial_bin, side=side) for side in ("left", "right"))
    counts = end - begin
    which = np.repeat(np.arange(partial_bin.size), counts)
    shift = np.arange(which.size) - np.repeat(np.cumsum(counts) - end, counts)
    slot = np.asarray(shifts.row)[shift] % on.shape[1]
    kept = on[partial_bin[which], slot, partial_slot[which]] > 0.0
    return shift[kept].astype(np.int32), which[kept].astype(np.int32)


def _blocks(channel_of_row: IntArray, n_slots: int) -> Blocks:
    """Cut rows, which are ordered by channel, so that slopes and rows to be gathered are fewest."""
    channels, first, counts = np.unique(channel_of_row, return_index=True, return_counts=True)
    lengths = np.arange(1, counts.max(initial=1) + 1)
    costs = np.sum(-(-counts[:, None] // lengths), axis=0) * (n_slots + lengths)
    length = int(lengths[np.argmin(costs)])
    n_blocks = -(-counts // length)
    begin = np.concatenate([f + length * np.arange(n) for f, n in zip(first, n_blocks, strict=True)] or [first])
    last = np.repeat(first + counts - 1, n_blocks)
    take = np.minimum(begin[:, None] + np.arange(length), last[:, None])
    # rows and blocks both run through the channels in order, so that only the last blocks leave a gap
    row, block_of_channel = np.arange(channel_of_row.size), np.cumsum(n_blocks) - n_blocks
    number = np.searchsorted(channels, channel_of_row)
    place = row - first[number] + length * block_of_channel[number]
    of_block = np.repeat(channels, n_blocks)
    return Blocks(*_put(*(x.astype(np.int32) for x in (take, of_block, place))))


def _scaling(used: npt.NDArray[Any], n_scalar: int) -> tuple[IntArray, IntArray]:
    """`Grids.scaling` and `Grids.scaling_at`."""
    chosen = np.asarray(used if len(used) < _ALMOST_ALL * n_scalar else range(n_scalar), dtype=np.int32)
    position = np.full(n_scalar, chosen.size, dtype=np.int32)
    position[chosen] = np.arange(chosen.size)
    return chosen, position


def _flat(rows: Sequence[Sequence[int]]) -> tuple[IntArray, IntArray]:
    """The elements of all rows one after the other, and the row of each."""
    row = np.repeat(np.arange(len(rows), dtype=np.int32), [len(r) for r in rows])
    return np.asarray([x for r in rows for x in r], dtype=np.int32), row


def _padded(rows: Sequence[Sequence[int]], fill: int) -> IntArray:
    """Rows of unequal length as one array, at least one column wide."""
    width = max(1, *(len(row) for row in rows))
    out = np.full((len(rows), width), fill, dtype=np.int32)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out
