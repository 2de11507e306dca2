"""What a CMS Combine datacard says, as records: no histograms and no likelihood yet."""

from __future__ import annotations

from dataclasses import dataclass, field

KINDS = ("lnN", "lnU", "gmN", "shape", "shape?", "shapeU")
"""Nuisance parameters that act on columns."""


@dataclass(frozen=True)
class Column:
    """One process in one channel.

    Attributes:
        channel: Its channel.
        process: Its process.
        signal: Whether its process identifier is 0 or less.
        rate: Expected events; -1 where the histogram says.
    """

    channel: str
    process: str
    signal: bool
    rate: float


@dataclass(frozen=True)
class Nuisance:
    """A line about a nuisance parameter.

    Attributes:
        name: The parameter.
        kind: One of `KINDS`.
        effects: Per column no number, one, or one down and one up.
        line: Where it stands.
        count: The count of gmN.
    """

    name: str
    kind: str
    effects: tuple[tuple[float, ...], ...]
    line: int
    count: int = 0


@dataclass(frozen=True)
class RateParam:
    """A factor on the rate of some columns.

    Attributes:
        name: The parameter, or the name of the formula.
        columns: Positions of the columns.
        value: Start value; a constant factor where there are ``factors``.
        bounds: Range, None where there is none.
        factors: Parameters that a formula multiplies; empty where there is no formula.
        line: Where it stands.
    """

    name: str
    columns: tuple[int, ...]
    value: float
    bounds: tuple[float, float] | None
    factors: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Param:
    """A Gaussian constraint on a parameter.

    Attributes:
        name: The parameter.
        mean: Its measured value.
        sigma: The uncertainty.
        bounds: Range, None where there is none.
        line: Where it stands.
    """

    name: str
    mean: float
    sigma: float
    bounds: tuple[float, float] | None
    line: int


@dataclass(frozen=True)
class AutoStats:
    """Bin-wise statistical uncertainties of a channel.

    Attributes:
        threshold: Effective events above which a bin has one parameter for all processes; -1 for none.
        include_signal: Whether signal counts among these events.
        mode: 1 takes the normalisation out of shape uncertainties, 2 leaves it in.
        line: Where it stands.
    """

    threshold: float
    include_signal: bool
    mode: int
    line: int


@dataclass(frozen=True)
class ShapeRule:
    """Where histograms are found.

    Attributes:
        process: A process, ``data_obs``, or ``*``.
        channel: A channel or ``*``.
        file: File; ``FAKE`` for a channel that only counts.
        histogram: Pattern of the nominal histogram.
        shifted: Pattern of the shifted ones, empty if there are none.
        line: Where it stands.
    """

    process: str
    channel: str
    file: str
    histogram: str
    shifted: str
    line: int


@dataclass
class Card:
    """A datacard.

    Attributes:
        source: How messages call it.
        columns: Processes in channels, in order.
        observed: Observed events by channel, in order; -1 where the histogram says.
        rules: Lines ``shapes``.
        nuisances: Lines of nuisance parameters that act on columns.
        rate_params: Lines ``rateParam``.
        params: Lines ``param``, by name.
        groups: Names of parameters by group.
        auto_stats: Lines ``autoMCStats``, by channel.
        remarks: What was read and does nothing.
    """

    source: str
    columns: tuple[Column, ...] = ()
    observed: dict[str, float] = field(default_factory=dict)
    rules: list[ShapeRule] = field(default_factory=list)
    nuisances: list[Nuisance] = field(default_factory=list)
    rate_params: list[RateParam] = field(default_factory=list)
    params: dict[str, Param] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    auto_stats: dict[str, AutoStats] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def place(self, line: int) -> str:
        """How messages call a line."""
        return f"{self.source}: line {line}"
