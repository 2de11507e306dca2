"""Names that ROOT takes: letters, digits and underscores, not beginning with a digit.

RooFit builds expressions out of names, and a name with a space, a slash or a digit in front is an error there, or
something else. `safe_names` replaces them; the map is kept beside the files and undone on reading.

Names of parameters (``HistoToWorkspaceFactoryFast.cxx``): a NormFactor has its own; OverallSys and HistoSys have
``alpha_NAME``; a StatError ``gamma_stat_CHANNEL_bin_I``; ShapeSys and ShapeFactor ``gamma_NAME_bin_I``; the luminosity
is ``Lumi``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_FOREIGN = re.compile(r"[^A-Za-z0-9_]")
_RESERVED = frozenset({"Lumi", "nominalLumi", "weightVar", "channelCat", "obsData", "asimovData", "ModelConfig"})

LUMI = ("Lumi",)


def safe_names(names: Iterable[str]) -> dict[str, str]:
    """Distinct names for ROOT by the names that they stand for; a name that ROOT takes stays as it is."""
    ordered = list(dict.fromkeys(names))
    safe = {name: name for name in ordered if _safe(name) == name}
    taken = set(safe.values())
    for name in ordered:
        if name in safe:
            continue
        candidate, n = _safe(name), 2
        while candidate in taken:
            candidate, n = f"{_safe(name)}_{n}", n + 1
        safe[name] = candidate
        taken.add(candidate)
    return safe


def _safe(name: str) -> str:
    replaced = _FOREIGN.sub("_", name)
    return replaced if replaced[:1].isalpha() and replaced not in _RESERVED else f"n_{replaced}"


@dataclass
class Gammas:
    """The parameters of a bin-by-bin modifier: where its components are.

    Attributes:
        kind: modifier type of pyhf.
        bins: by channel, the names in ROOT of the parameters of its bins.
    """

    kind: str
    bins: dict[str, list[str]] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Names in ROOT, in the order of pyhf's components: channels by name, then bins."""
        if self.kind == "shapefactor":  # shared bin by bin
            return next(iter(self.bins.values()))
        return [name for channel in sorted(self.bins) for name in self.bins[channel]]


def stat_names(channel: str, n_bins: int) -> list[str]:
    """Parameters of the StatErrors of a channel; `channel` is its name in ROOT."""
    return [f"gamma_stat_{channel}_bin_{i}" for i in range(n_bins)]


def shape_names(name: str, n_bins: int) -> list[str]:
    """Parameters of a ShapeSys or a ShapeFactor."""
    return [f"gamma_{name}_bin_{i}" for i in range(n_bins)]


def parameter_names(scalars: Mapping[str, tuple[str, str]], gammas: Mapping[str, Gammas]) -> dict[str, list[str]]:
    """Names in ROOT of all parameters, by the name of the modifier.

    Args:
        scalars: By name, the modifier type and the name in ROOT.
        gammas: By name.
    """
    names = {"lumi": list(LUMI)}
    for name, (kind, safe) in scalars.items():
        names[name] = [safe] if kind == "normfactor" else [f"alpha_{safe}"]
    return names | {name: found.names() for name, found in gammas.items()}
