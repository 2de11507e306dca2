"""A workspace without a flaw, and small ones that have one."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from infer.data import Data
from infer.likelihoods.histfactory.model import HistFactory
from infer.likelihoods.histfactory.spec import parse_workspace

Document = dict[str, Any]
Samples = Mapping[str, tuple[Sequence[float], Sequence[Document]]]

NOMINAL = [100.0, 120.0, 140.0, 120.0, 100.0, 80.0]
TILT = [-0.05, -0.03, -0.01, 0.01, 0.03, 0.05]


def modifier(name: str, kind: str, data: object = None) -> Document:
    """A modifier."""
    return {"name": name, "type": kind, "data": data}


def norm(name: str, lo: float, hi: float) -> Document:
    """A normsys."""
    return modifier(name, "normsys", {"lo": lo, "hi": hi})


def shape(name: str, lo: Sequence[float], hi: Sequence[float], nominal: Sequence[float] = NOMINAL) -> Document:
    """A histosys by relative shifts."""
    sides = {
        key: [n * (1.0 + r) for n, r in zip(nominal, shift, strict=True)] for key, shift in (("lo", lo), ("hi", hi))
    }
    return modifier(name, "histosys", {"lo_data": sides["lo"], "hi_data": sides["hi"]})


def tilted(name: str, size: float = 1.0) -> Document:
    """A shape that rises along a straight line."""
    return shape(name, [-size * r for r in TILT], [size * r for r in TILT])


MU = modifier("mu", "normfactor")


def workspace(
    channels: Mapping[str, Samples],
    observed: Mapping[str, Sequence[float]] | None = None,
    *,
    poi: str = "mu",
    settings: Sequence[Document] = (),
) -> Document:
    """A workspace with one measurement; Asimov data by default."""
    made = [
        {
            "name": name,
            "samples": [
                {"name": sample, "data": list(data), "modifiers": copy.deepcopy(list(modifiers))}
                for sample, (data, modifiers) in samples.items()
            ],
        }
        for name, samples in channels.items()
    ]
    seen = {
        name: [sum(bins) for bins in zip(*(data for data, _ in samples.values()), strict=True)]
        for name, samples in channels.items()
    }
    seen |= {name: list(counts) for name, counts in (observed or {}).items()}
    config = {"poi": poi, "parameters": copy.deepcopy(list(settings))}
    return {
        "channels": made,
        "observations": [{"name": name, "data": counts} for name, counts in seen.items()],
        "measurements": [{"name": "m", "config": config}],
        "version": "1.0.0",
    }


def clean() -> Document:
    """Signal over background in six bins, with a norm, a slope and simulated statistics: nothing to find."""
    stat = modifier("stat_SR", "staterror", [1.0] * 6)
    background = [norm("xsec", 0.95, 1.05), tilted("slope"), stat]
    return workspace({"SR": {"signal": ([4.0, 8.0, 20.0, 25.0, 8.0, 4.0], [MU]), "background": (NOMINAL, background)}})


def sample_of(document: Document, channel: int = 0, sample: int = 1) -> Document:
    """A sample in a document, by default the background of `clean`."""
    found: Document = document["channels"][channel]["samples"][sample]
    return found


def with_modifier(*modifiers: Document) -> Document:
    """`clean` with more modifiers on its background."""
    document = clean()
    sample_of(document)["modifiers"] += modifiers
    return document


def counting(background: Sequence[Document], observed: float, *, events: float = 100.0) -> Document:
    """A bin of signal and background, and one of background alone: mu is measured by the first."""
    return workspace(
        {
            "CR": {"background": ([events], background)},
            "SR": {"signal": ([10.0], [MU]), "other": ([50.0], [])},
        },
        {"CR": [observed]},
    )


def built(document: Document) -> tuple[HistFactory, Data]:
    """Likelihood and data of a document."""
    return HistFactory.of(parse_workspace(document))
