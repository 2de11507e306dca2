"""Findings: what about a model deserves a second look, how much, and what to do about it.

A finding is no verdict. Every kind has legal instances; the number beside each finding says how far it is from what
is common, and the threshold by which it was found is in `Thresholds`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

SEVERITIES = ("high", "medium", "low")
"""``high`` is wrong or makes the result meaningless, ``medium`` wants an explanation, ``low`` is good to know."""

_SHOWN = 4  # places that a line of the table names


@dataclass(frozen=True)
class Thresholds:
    """Where a finding begins, each with its reason.

    Attributes:
        negligible: Relative shift that counts as none: published templates are rounded to three or four digits.
        noticeable: Relative shift from which on a missing or odd side is worth a word: one per cent.
        felt: Shift in units of the expected Poisson uncertainty of its bin that the data begin to feel: a tenth, half a
            per cent of the variance.
        huge: Relative shift of a normalisation or of a bin that is called huge: beyond a half, linear and exponential
            readings of one number differ by more than a tenth.
        beyond_statistics: Shift in units of the expected Poisson uncertainty of its bin from which on the data will
            measure the nuisance parameter: five.
        asymmetry: Ratio of the larger to the smaller side that is called asymmetric.
        product: Distance from 1 of the product of the two factors of a normsys: they are powers of one another where
            it is 1.
        flips: Share of neighbouring bins between which a shift changes its sign: a half is what noise does.
        noise: Probability in each tail outside of which a shape is told from a fluctuation: 0.05.
        staterror: Relative statistical uncertainty of a template bin; at 0.2, 25 simulated events, the Gaussian
            constraint is a poor picture of a Poisson count.
        large_staterror: The same, at 4 simulated events.
        simulation: Variance of the simulation over that of the data in a bin; from a tenth on it is felt
            (arXiv:2401.10542: intervals that are too short).
        large_simulation: The same where simulation is worse known than data.
        few_events: Expected events in a bin below which asymptotic formulae deserve a test by toys.
        unlikely: Probability of at least the observed count in such a bin that is called impossible.
        weak: Eigenvalue of the Hessian, scaled to unit curvature of free parameters and to the constraint of others,
            below which a direction is called weak; for two parameters, a correlation of 0.95.
        correlation: Correlation after the fit that is called near degenerate.
        constrained: Uncertainty after the fit over that before, below which a nuisance parameter is called measured.
        expanded: The same ratio, above which it has grown, which data cannot do in a regular model.
        pull: Distance of the best fit from the auxiliary datum in units of its uncertainty.
        large_pull: The same.
        room: Distance of a bound from the start value, in units of the constraint.
    """

    negligible: float = 1e-3
    noticeable: float = 0.01
    felt: float = 0.1
    huge: float = 0.5
    beyond_statistics: float = 5.0
    asymmetry: float = 3.0
    product: float = 0.1
    flips: float = 0.5
    noise: float = 0.05
    staterror: float = 0.2
    large_staterror: float = 0.5
    simulation: float = 0.1
    large_simulation: float = 1.0
    few_events: float = 1.0
    unlikely: float = 1e-5
    weak: float = 0.05
    correlation: float = 0.95
    constrained: float = 0.3
    expanded: float = 1.05
    pull: float = 2.0
    large_pull: float = 3.0
    room: float = 3.0


class Kind(NamedTuple):
    """What findings of a kind have in common.

    Args:
        title: What was found, in a clause.
        advice: What to do.
        ascending: Whether the smallest number is the worst.
    """

    title: str
    advice: str
    ascending: bool = False


KINDS = {
    "same-side": Kind(
        "variations go the same way up and down",
        "look for fluctuations or a wrong sign; `infer hygiene symmetrise` makes one shift of the two",
    ),
    "one-sided": Kind(
        "variations have one side only, the other is nominal",
        "`infer hygiene symmetrise --method mirror-up` (or mirror-down) gives them both, or say why one is right",
    ),
    "asymmetric": Kind("variations are far larger on one side", "check the smaller side: it may be a fluctuation"),
    "normsys-product": Kind(
        "normsys have factors that are not each other's inverse",
        "check that both factors were meant; beyond one standard deviation they are extrapolated as powers",
    ),
    "huge": Kind(
        "variations shift half of a yield or more", "check units and sign; split what stands for several sources"
    ),
    "data-constrained": Kind(
        "variations shift a bin beyond five statistical uncertainties",
        "the data will measure these parameters: check that one parameter is enough for all that varies",
    ),
    "interchanged": Kind(
        "parameters change the norm up by normsys and down by histosys of one sample",
        "swap lo and hi of one of the two",
    ),
    "other-sign": Kind(
        "variations have the opposite sign in one channel of a sample",
        "legal for migrations; otherwise swap lo and hi there",
    ),
    "no-effect": Kind("variations equal nominal", "drop them: `infer hygiene prune`"),
    "sign-flips": Kind(
        "shapes change their sign from bin to bin", "a sign of fluctuations: `infer hygiene smooth`, or merge bins"
    ),
    "noise-dominated": Kind(
        "shapes cannot be told from fluctuations of the simulation",
        "keep their norm, and drop or smooth their shape: `infer hygiene prune` or `smooth`",
    ),
    "negative-yield": Kind("samples have negative bins", "merge bins, or set them to zero where weights allow"),
    "negative-variation": Kind("variations make a bin negative", "limit the variation, or merge bins"),
    "empty-bin": Kind("channels have bins without expectation", "drop or merge these bins"),
    "few-events": Kind(
        "channels have bins with less than one expected event",
        "test the interval or limit with toys (`infer coverage`), or merge bins",
        True,
    ),
    "unlikely-data": Kind("bins hold data that the model all but excludes", "look for a missing sample", True),
    "large-staterror": Kind("channels have bins with few simulated events", "simulate more, or merge bins"),
    "simulation-limited": Kind(
        "channels have bins that simulation knows little better than data do",
        "intervals may be too short: `infer coverage --mc-scale 1,10` measures by how much",
    ),
    "twin": Kind(
        "groups of parameters do exactly the same",
        "if they are one source, give them one name; if not, the data cannot tell them apart",
    ),
    "similar-names": Kind(
        "groups of names differ by case or punctuation only", "make them one, if they are meant as one"
    ),
    "unused-setting": Kind("settings of the measurement are for names that no modifier has", "remove or rename them"),
    "without-effect": Kind(
        "parameters leave all expectations as they are", "remove them; a free one makes the fit singular"
    ),
    "held-by-constraint": Kind("constrained parameters are held fixed", "free them if they are meant as uncertainties"),
    "start-at-bound": Kind("parameters start at a bound", "widen the bounds or start elsewhere"),
    "narrow-bounds": Kind(
        "parameters have bounds close to their constraint", "widen the bounds, or results are cut", True
    ),
    "frozen": Kind("bins have uncertainties that are held", "give them an uncertainty, or remove the modifier there"),
    "notice": Kind("things are unusual in the file", "see the sentence"),
    "not-trustworthy": Kind("fits have no certificate", "see docs on convergence; other findings may say why"),
    "weak-direction": Kind(
        "combinations of parameters are hardly measured",
        "fix or merge parameters, or add a region that tells them apart",
        True,
    ),
    "correlated": Kind("pairs of parameters are almost degenerate after the fit", "merge them, or quote them together"),
    "over-constrained": Kind(
        "nuisance parameters are measured far better than their constraint says",
        "check that the data may do that: the uncertainty may be too large, or one parameter stand for several",
        True,
    ),
    "expanded": Kind(
        "nuisance parameters are known worse after the fit than before", "look for one-sided or kinked variations"
    ),
    "pulled": Kind(
        "nuisance parameters are pulled away from their auxiliary data", "look at their regions and at the fit"
    ),
    "at-bound": Kind(
        "parameters end at a bound", "widen the bound if it is arbitrary; uncertainties are one-sided there"
    ),
}
"""Every kind of finding, by name."""


@dataclass(frozen=True)
class Finding:
    """One thing that deserves a look.

    Attributes:
        kind: One of `KINDS`.
        severity: One of `SEVERITIES`.
        sentence: What was measured, where, without a full stop.
        value: The number, None where there is none.
        parameters: Modifiers or parameters that it is about.
        channel: Channel, None if it is about none.
        sample: Sample likewise.
        bins: Bins of the channel, counted from 0.
        details: Further numbers by name.
    """

    kind: str
    severity: str
    sentence: str
    value: float | None = None
    parameters: tuple[str, ...] = ()
    channel: str | None = None
    sample: str | None = None
    bins: tuple[int, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return {**asdict(self), "parameters": list(self.parameters), "bins": list(self.bins)}

    @property
    def place(self) -> str:
        """Parameter, sample and channel, as far as there are any."""
        where = ", ".join(part for part in (self.sample, self.channel) if part)
        what = " / ".join(self.parameters[:_SHOWN]) + (" / ..." if len(self.parameters) > _SHOWN else "")
        return f"{what} ({where})" if what and where else what or where


@dataclass(frozen=True, eq=False)
class Findings:
    """All findings about a model, the most severe first.

    Attributes:
        findings: Ordered by severity, kind and number.
        thresholds: Where they begin.
        examined: What was looked at: ``"templates"``, ``"parameters"``, ``"fit"``.
    """

    findings: tuple[Finding, ...]
    thresholds: Thresholds
    examined: tuple[str, ...]

    @classmethod
    def of(cls, found: Iterable[Finding], thresholds: Thresholds, examined: Iterable[str]) -> Findings:
        """The findings in order."""
        order = {kind: number for number, kind in enumerate(KINDS)}
        ranked = sorted(found, key=lambda f: (SEVERITIES.index(f.severity), order[f.kind], _badness(f)))
        return cls(tuple(ranked), thresholds, tuple(examined))

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def of_kind(self, kind: str) -> tuple[Finding, ...]:
        """Findings of one kind."""
        return tuple(f for f in self.findings if f.kind == kind)

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of each severity."""
        counted = Counter(f.severity for f in self.findings)
        return {severity: counted[severity] for severity in SEVERITIES}

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        kinds = dict.fromkeys(f.kind for f in self.findings)
        return {
            "counts": self.counts,
            "examined": list(self.examined),
            "thresholds": asdict(self.thresholds),
            "kinds": {k: {"title": KINDS[k].title, "advice": KINDS[k].advice} for k in kinds},
            "findings": [f.to_json_dict() for f in self.findings],
        }

    def table(self) -> str:
        """The findings as plain text, those of one kind together."""
        looked = f"looked at {', '.join(self.examined)}"
        if not self.findings:
            return f"No findings ({looked})."
        counts = ", ".join(f"{n} {severity}" for severity, n in self.counts.items() if n)
        lines = [f"{_n(len(self.findings), 'finding')}: {counts} ({looked})."]
        groups: dict[tuple[str, str], list[Finding]] = {}
        for f in self.findings:
            groups.setdefault((f.severity, f.kind), []).append(f)
        for (severity, kind), found in groups.items():
            lines += ["", *_paragraph(severity, kind, found)]
        return "\n".join(lines)


def _badness(f: Finding) -> float:
    if f.value is None:
        return 0.0
    return abs(f.value) if KINDS[f.kind].ascending else -abs(f.value)


def _n(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _paragraph(severity: str, kind: str, found: list[Finding]) -> list[str]:
    """Findings of one kind and severity: how many, the worst, the names of others, and what to do."""
    entry = KINDS[kind]
    lines = [f"[{severity}] {kind} ({len(found)}): {entry.title}"]
    lines += [f"    {f.sentence}" for f in found[: _SHOWN if len(found) <= _SHOWN else _SHOWN - 1]]
    rest = found[_SHOWN - 1 :] if len(found) > _SHOWN else []
    if rest:
        names = Counter(f.place if not f.parameters else " / ".join(f.parameters[:_SHOWN]) for f in rest)
        shown = [name if n == 1 else f"{name} ({n} times)" for name, n in names.most_common(_SHOWN)]
        more = f", and {len(names) - _SHOWN} other names" if len(names) > _SHOWN else ""
        lines.append(f"    and {len(rest)} more: {', '.join(shown)}{more}")
    return [*lines, f"    -> {entry.advice}"]
