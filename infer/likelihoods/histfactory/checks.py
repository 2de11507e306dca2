"""Rules that need the whole workspace: observations, rates, and which modifiers may share a name.

A modifier's name is the name of its parameters, so two modifiers of one name share them. pyhf's
rules (`pyhf.pdf`, `pyhf.parameters.utils`, `pyhf.modifiers`, version 0.7.6), replicated here:

- normsys and histosys of one name share one α, on any samples and channels;
- otherwise modifiers of one name must be of one type; normfactor and lumi share freely;
- a shapesys belongs to one sample of one channel;
- a staterror is shared by samples, which must then carry it in the same channels;
- a shapefactor is shared bin by bin. pyhf takes the length of the first channel in the alphabet and
  uses a wrong parameter for further bins; here the channels must have equal length.

pyhf keeps the last of two modifiers with one type and name on one sample; here that is an error.

Notices: ``negative-rate``, ``empty-bin``, ``staterror-frozen``, ``shapesys-frozen``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infer.documents import fail, listed
from infer.likelihoods.histfactory.records import (
    Array,
    Channel,
    HistoSys,
    Modifier,
    Notice,
    Sample,
    ShapeFactor,
    ShapeSys,
    StatError,
)


@dataclass(frozen=True, slots=True)
class ParameterSet:
    """The parameters that one modifier name stands for.

    Attributes:
        kind: the modifier type; "normsys" also where histosys modifiers share the name.
        size: the number of components, 1 for a scalar parameter.
        frozen: components that are held at 1 for want of an uncertainty.
    """

    kind: str
    size: int
    frozen: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class _Use:
    """One modifier where it stands."""

    channel: Channel
    sample: Sample
    modifier: Modifier

    @property
    def family(self) -> str:
        kind = self.modifier.kind
        return "normsys" if kind == "histosys" else kind

    def place(self, source: str) -> str:
        place = f"{source}: channel {self.channel.name!r}, sample {self.sample.name!r}"
        return modifier_place(place, self.modifier.name, self.modifier.kind)


def modifier_place(place: str, name: str, kind: str) -> str:
    """Return the place of a modifier of the sample at `place`."""
    return f"{place}, modifier {name!r} ({kind})"


def check_observations(
    channels: Sequence[Channel],
    observations: Mapping[str, Array],
    source: str,
) -> None:
    """Check that each channel has its observed counts, none negative, and nothing is left over.

    Raises:
        WorkspaceError: a channel or an observation stands alone, lengths differ, or a count is
            negative.
    """
    names = [channel.name for channel in channels]
    extra = [name for name in observations if name not in set(names)]
    if extra:
        problem = f"no channel is called {extra[0]!r}"
        remedy = f"the channels are {listed(names)}"
        raise fail(f"{source}: observation {extra[0]!r}", problem, remedy)
    for channel in channels:
        if channel.name not in observations:
            remedy = "add an entry with its name and data to observations"
            raise fail(f"{source}: channel {channel.name!r}", "it has no observation", remedy)
        observed = observations[channel.name]
        place = f"{source}: observation {channel.name!r}"
        if len(observed) != channel.n_bins:
            problem = f"data has {len(observed)} entries, expected {channel.n_bins}"
            raise fail(place, f"{problem} (the channel's bins)", "give one count per bin")
        if observed.min() < 0:
            index = int(observed.argmin())
            problem = f"data[{index}] is {observed[index]:g}, a negative count"
            raise fail(place, problem, "give counts of at least 0")


def rate_notices(
    channels: Sequence[Channel],
    observations: Mapping[str, Array],
    source: str,
) -> list[Notice]:
    """Check the nominal rates and return the notices about negative and empty bins.

    A slightly negative bin of one sample is common, where generator weights are; a negative total
    is no Poisson rate. A bin in which no sample has a rate can only observe 0.

    Raises:
        WorkspaceError: the rates of a bin add up to less than 0, or are all 0 where events are
            seen.
    """
    notices = []
    for channel in channels:
        place = f"{source}: channel {channel.name!r}"
        for sample in channel.samples:
            if sample.nominal.min() < 0:
                bins = _bins(sample.nominal < 0)
                message = f"{place}, sample {sample.name!r}: negative nominal rate in {bins}"
                notices.append(Notice("negative-rate", message))
        total = np.sum([sample.nominal for sample in channel.samples], axis=0)
        if total.min() > 0:
            continue
        if total.min() < 0:
            index = int(total.argmin())
            problem = f"the nominal rates of bin {index} add up to {total[index]:g}"
            raise fail(place, problem, "a Poisson rate cannot be negative: merge or drop the bin")
        _check_dead_bins(channel, observations[channel.name], place)
        message = f"{place}: the nominal rates add up to 0 in {_bins(total == 0)}"
        notices.append(Notice("empty-bin", message))
    return notices


def _check_dead_bins(channel: Channel, observed: Array, place: str) -> None:
    """Raise if events are observed in a bin where no sample has a rate or a variation."""
    dead = observed > 0
    for sample in channel.samples:
        dead &= sample.nominal == 0
        for modifier in sample.modifiers:
            if isinstance(modifier, HistoSys):
                dead &= (modifier.lo == 0) & (modifier.hi == 0)
    if dead.any():
        problem = f"events are observed in {_bins(dead)}, where every sample has rate 0"
        raise fail(place, problem, "add the missing sample, or merge or drop the bin")


def parameter_sets(
    channels: Sequence[Channel],
    source: str,
) -> tuple[dict[str, ParameterSet], list[Notice]]:
    """Return the parameters of all modifiers by name, and the notices about frozen bins.

    Raises:
        WorkspaceError: the workspace has no modifier, or breaks a rule of sharing names.
    """
    uses = _uses(channels, source)
    if not uses:
        remedy = "add at least a normfactor to the signal sample"
        raise fail(source, "no sample has a modifier, so there is nothing to fit", remedy)
    sets: dict[str, ParameterSet] = {}
    notices: list[Notice] = []
    for name, same in uses.items():
        _check_family(same, source)
        found: list[Notice] = []
        match same[0].modifier:
            case StatError():
                sets[name], found = _staterror_set(same, source)
            case ShapeSys(uncertainty=uncertainty):
                sets[name], found = _shapesys_set(same, uncertainty, source)
            case ShapeFactor():
                sets[name] = _shapefactor_set(same, source)
            case _:
                sets[name] = ParameterSet(same[0].family, 1)
        notices += found
    _check_component_names(sets, source)
    return sets, notices


def _uses(channels: Sequence[Channel], source: str) -> dict[str, list[_Use]]:
    """Return where each modifier name stands; one type and name twice on a sample is an error."""
    uses: dict[str, list[_Use]] = {}
    for channel in channels:
        for sample in channel.samples:
            seen = set()
            for modifier in sample.modifiers:
                use = _Use(channel, sample, modifier)
                if (modifier.name, modifier.kind) in seen:
                    problem = "it stands twice on the sample"
                    raise fail(use.place(source), problem, "rename one, or merge the two")
                seen.add((modifier.name, modifier.kind))
                uses.setdefault(modifier.name, []).append(use)
    return uses


def _check_family(same: Sequence[_Use], source: str) -> None:
    first = same[0]
    for use in same:
        if use.family != first.family:
            problem = f"the name also belongs to a {first.modifier.kind}"
            where = f"(channel {first.channel.name!r}, sample {first.sample.name!r})"
            remedy = "rename one of them: only normsys and histosys may share a name"
            raise fail(use.place(source), f"{problem} {where}", remedy)


def _shapefactor_set(same: Sequence[_Use], source: str) -> ParameterSet:
    """Return the parameters of a shapefactor, one per bin of any channel that has it."""
    first = same[0].channel
    for use in same:
        if use.channel.n_bins != first.n_bins:
            problem = f"channel {first.name!r} shares it with {first.n_bins} bins"
            remedy = "a shapefactor is shared by channels of equal length: rename it in one of them"
            raise fail(use.place(source), f"{problem}, this one has {use.channel.n_bins}", remedy)
    return ParameterSet("shapefactor", first.n_bins)


def _shapesys_set(
    same: Sequence[_Use],
    uncertainty: Array,
    source: str,
) -> tuple[ParameterSet, list[Notice]]:
    """Return the parameters of a shapesys; bins without a rate or an uncertainty are frozen."""
    first = same[0]
    if len(same) > 1:
        problem = f"channel {first.channel.name!r}, sample {first.sample.name!r} has it too"
        remedy = "a shapesys belongs to one sample: give it a name of its own"
        raise fail(same[1].place(source), problem, remedy)
    frozen = (first.sample.nominal <= 0) | (uncertainty == 0)
    notices = []
    if frozen.any():
        notices.append(Notice("shapesys-frozen", f"{first.place(source)}: {_frozen(frozen)}"))
    return ParameterSet("shapesys", len(frozen), _indices(frozen)), notices


def _staterror_set(same: Sequence[_Use], source: str) -> tuple[ParameterSet, list[Notice]]:
    """Return the parameters of a staterror, its channels' bins one after the other as in pyhf."""
    by_channel: dict[str, list[_Use]] = {}
    for use in same:
        by_channel.setdefault(use.channel.name, []).append(use)
    samples = [{use.sample.name for use in uses} for uses in by_channel.values()]
    frozen, notices = [], []
    for (channel, uses), carriers in zip(by_channel.items(), samples, strict=True):
        if carriers != samples[0]:
            problem = f"channel {same[0].channel.name!r} shares it for other samples"
            remedy = "give each channel a staterror of its own name"
            raise fail(uses[0].place(source), problem, remedy)
        frozen.append(_frozen_by_statistics(uses))
        if frozen[-1].any():
            name = same[0].modifier.name
            place = modifier_place(f"{source}: channel {channel!r}", name, "staterror")
            notices.append(Notice("staterror-frozen", f"{place}: {_frozen(frozen[-1])}"))
    everywhere = np.concatenate(frozen)
    return ParameterSet("staterror", len(everywhere), _indices(everywhere)), notices


def _frozen_by_statistics(uses: Sequence[_Use]) -> NDArray[np.bool_]:
    """Return, per bin of one channel, whether a staterror has no rate or no uncertainty there."""
    rate = np.sum([use.sample.nominal for use in uses], axis=0)
    errors = [use.modifier.uncertainty for use in uses if isinstance(use.modifier, StatError)]
    frozen: NDArray[np.bool_] = (rate <= 0) | (np.max(errors, axis=0) == 0)
    return frozen


def _check_component_names(sets: Mapping[str, ParameterSet], source: str) -> None:
    """Raise if a modifier is called like a component of another, such as 'gamma[0]'."""
    vectors = {"shapefactor", "shapesys", "staterror"}
    for name in sets:
        stem, bracket, index = name.removesuffix("]").rpartition("[")
        if not (bracket and name.endswith("]") and index.isdecimal() and stem in sets):
            continue
        if sets[stem].kind in vectors and int(index) < sets[stem].size:
            problem = f"it is also the name of component {index} of the {sets[stem].kind} {stem!r}"
            raise fail(f"{source}: modifier {name!r}", problem, "rename one of the two")


def _indices(selected: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(np.flatnonzero(selected).tolist())


def _bins(selected: NDArray[np.bool_]) -> str:
    """Return the selected bins in words: "bin 3", "bins 0, 4"."""
    indices = _indices(selected)
    return f"{'bin' if len(indices) == 1 else 'bins'} {', '.join(map(str, indices))}"


def _frozen(selected: NDArray[np.bool_]) -> str:
    return f"held at 1 in {_bins(selected)}, where the rate or the uncertainty is not above 0"
