"""Findings that need the whole workspace: what a name does everywhere, and names that nothing uses."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from infer.hygiene.findings import Finding, Thresholds
from infer.hygiene.templates import Variation, variations
from infer.likelihoods.histfactory.records import Workspace

_DIGITS = 7  # to which effects of twins agree
_FEWEST_CHANNELS = 4  # for one of them to be called the odd one

_NOTICES = {  # code of a notice, and the kind and severity that it is told as; others are found from the templates
    "staterror-frozen": ("frozen", "low"),
    "shapesys-frozen": ("frozen", "low"),
    "unused-parameter-setting": ("unused-setting", "low"),
    "poi-fixed": ("notice", "medium"),
}
_FOUND_ELSEWHERE = frozenset({"negative-rate", "empty-bin"})


def name_findings(workspace: Workspace, thresholds: Thresholds) -> list[Finding]:
    """What names give reason to look at, in the whole workspace."""
    by_name: dict[str, list[Variation]] = defaultdict(list)
    for variation in variations(workspace):
        by_name[variation.name].append(variation)
    return [
        *_notices(workspace),
        *_similar(workspace),
        *_idle(by_name),
        *_twins(by_name),
        *_interchanged(by_name, thresholds),
        *_odd_signs(by_name, thresholds),
    ]


def _notices(workspace: Workspace) -> Iterator[Finding]:
    """What the reader of the file noticed."""
    for notice in workspace.notices:
        if notice.code not in _FOUND_ELSEWHERE:
            kind, severity = _NOTICES.get(notice.code, ("notice", "low"))
            yield Finding(kind, severity, notice.message)


def _similar(workspace: Workspace) -> Iterator[Finding]:
    """Names of modifiers, samples or channels that one would read as one."""
    samples = [sample for channel in workspace.channels for sample in channel.samples]
    for what, names in (
        ("modifiers", [m.name for sample in samples for m in sample.modifiers]),
        ("samples", [sample.name for sample in samples]),
        ("channels", [channel.name for channel in workspace.channels]),
    ):
        alike: dict[str, list[str]] = defaultdict(list)
        for name in dict.fromkeys(names):
            alike[re.sub(r"[\s_\-.]", "", name).casefold()].append(name)
        for group in alike.values():
            if len(group) > 1:
                sentence = f"the {what} {', '.join(map(repr, group))}"
                yield Finding("similar-names", "medium", sentence, None, tuple(group))


def _idle(by_name: dict[str, list[Variation]]) -> Iterator[Finding]:
    """Systematics that change nothing anywhere."""
    for name, uses in by_name.items():
        if all(use.is_nominal for use in uses):
            sentence = f"{name}: all of its {len(uses)} variations equal nominal"
            yield Finding("without-effect", "medium", sentence, 0.0, (name,))


def _twins(by_name: dict[str, list[Variation]]) -> Iterator[Finding]:
    """Systematics that do the same on all samples of all channels, perhaps with their sides interchanged."""
    groups: dict[object, list[str]] = defaultdict(list)
    for name, uses in by_name.items():
        if not all(use.is_nominal for use in uses):
            groups[_canonical(uses)].append(name)
    for names in groups.values():
        if len(names) > 1:
            uses = by_name[names[0]]
            single = len(uses) == 1 and uses[0].kind == "normsys"
            n = len({(use.channel, use.sample) for use in uses})
            shown = ", ".join(names[:6]) + (f", ... ({len(names)} names)" if len(names) > 6 else "")
            where = f"{uses[0].sample} in {uses[0].channel}" if n == 1 else f"{n} templates"
            sentence = f"{shown}: the same effect on {where}"
            yield Finding("twin", "low" if single else "medium", sentence, float(n), tuple(names))


def _canonical(uses: Iterable[Variation]) -> object:
    """What a systematic does, such that equal effects are equal, whichever side is called up."""
    effects: dict[tuple[str, str], list[np.ndarray]] = {}
    for use in uses:
        down, up = (np.round(1.0 + side, _DIGITS) for side in use.relative)
        known = effects.setdefault((use.channel, use.sample), [np.ones_like(down), np.ones_like(up)])
        effects[use.channel, use.sample] = [known[0] * down, known[1] * up]
    moving = {place: sides for place, sides in sorted(effects.items()) if any(np.any(side != 1.0) for side in sides)}
    forward = tuple((place, lo.tobytes(), hi.tobytes()) for place, (lo, hi) in moving.items())
    backward = tuple((place, hi.tobytes(), lo.tobytes()) for place, (lo, hi) in moving.items())
    return min(forward, backward)


def _interchanged(by_name: dict[str, list[Variation]], t: Thresholds) -> Iterator[Finding]:
    """A normsys and a histosys of one name that change the norm of one sample in opposite directions."""
    for name, uses in by_name.items():
        places: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
        for use in uses:
            down, up = use.norms
            places[use.channel, use.sample][use.kind] = up - down
        for (channel, sample), found in places.items():
            if len(found) == 2 and found["normsys"] * found["histosys"] < 0.0:
                smaller = min(map(abs, found.values()))
                if smaller >= t.noticeable:
                    sentence = (
                        f"{name} on {sample} in {channel}: from down to up, normsys changes the norm by "
                        f"{found['normsys']:+.3g}, histosys by {found['histosys']:+.3g}"
                    )
                    yield Finding("interchanged", "medium", sentence, smaller, (name,), channel, sample)


def _odd_signs(by_name: dict[str, list[Variation]], t: Thresholds) -> Iterator[Finding]:
    """Samples on which a systematic goes the other way in one channel than in all others."""
    for name, uses in by_name.items():
        samples: dict[str, list[tuple[str, float]]] = defaultdict(list)
        for use in uses:
            down, up = use.norms
            if abs(up - down) >= 2.0 * t.noticeable:
                samples[use.sample].append((use.channel, up - down))
        for sample, effects in samples.items():
            for sign in (1.0, -1.0):
                odd = [(channel, effect) for channel, effect in effects if effect * sign > 0.0]
                if len(odd) == 1 and len(effects) >= _FEWEST_CHANNELS:
                    (channel, effect) = odd[0]
                    sentence = (
                        f"{name} on {sample} in {channel}: the norm changes by {effect:+.3g} from down to up, "
                        f"the other way in {len(effects) - 1} channels"
                    )
                    yield Finding("other-sign", "low", sentence, abs(effect), (name,), channel, sample)
