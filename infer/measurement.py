"""The measurement: the record that every inference ends in.

A :class:`Measurement` holds the value of one parameter of interest, its uncertainty split into
parts, the name of the definition by which it was split, and the certificate of the fit behind it.
It is plain data: no likelihood, no arrays, no minimiser, so that it can be pickled, sent between
processes, and stored as JSON.

**The line.** ``str(measurement)`` is the result as one would put it in an abstract::

    m = 125.09 ± 0.21 (stat) ± 0.11 (syst) GeV
    mu = 1.12 +0.31 −0.27 (stat) +0.12 −0.10 (syst)
    mu_SIG = 0 +0.89 (one-sided: the best fit is at its lower bound)
    mu = ? (not converged: no progress after 100 steps)

A number without a trustworthy certificate is never printed there; see :mod:`infer.statement`.

**The definition.** One fit has several error budgets, and they are not close to each other:

``observables``
    The variance due to each source of randomness, from the derivative of the fit with respect to
    every main and auxiliary datum (arXiv:2307.04007). The parts add up in quadrature.
``conditional``
    Each group frozen at its best fit, and the variances subtracted. The parts need not add up.
``shifted``
    Each global observable moved by one standard deviation and the fit repeated; keeps both sides.
``bootstrap``
    The spread over toys that fluctuate one source at a time.

A record names the one it used, and nothing mixes them.

**JSON.** :meth:`Measurement.to_json` and :meth:`Measurement.from_json` are inverse to each other,
exactly, for finite numbers. JSON has no NaN and no infinity: a number that is not finite is written
as ``null`` and comes back as None where the field allows it, and as NaN elsewhere.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infer.certificate import Blinding, Certificate
from infer.errors import InputError, WorkspaceError
from infer.numerics.rounding import MINUS, Layout, power_of_ten
from infer.statement import (
    Statement,
    Uncertainty,
    amount_text,
    latex_line,
    latex_name,
    result_layout,
    sides_text,
    state,
    text_line,
)

__all__ = [
    "DEFINITIONS",
    "SCHEMA",
    "CoveragePoint",
    "CoverageRecord",
    "Measurement",
    "ParameterEstimate",
    "Uncertainty",
]

SCHEMA = 1
"""Version of the JSON document; a change that would break its readers raises it by one."""

DEFINITIONS: dict[str, str] = {
    "observables": "variance due to each source of randomness; the parts add up in quadrature",
    "conditional": "each group frozen and subtracted in quadrature; the parts need not add up",
    "shifted": "each global observable moved by one standard deviation, and the fit repeated",
    "bootstrap": "spread over toys in which one source at a time fluctuates",
}
"""The definitions of the error budget, by name, each in half a sentence."""


@dataclass(frozen=True)
class ParameterEstimate:
    """One fitted parameter.

    Attributes:
        value: Best fit.
        uncertainty: Standard deviation after the fit; None for a parameter that is fixed or at a
            bound, and after a failed fit.
        pull: Best fit minus nominal value, over the standard deviation before the fit; None without
            a constraint.
        constraint: Standard deviation after the fit over that before it; None without a constraint.
    """

    value: float
    uncertainty: float | None = None
    pull: float | None = None
    constraint: float | None = None


@dataclass(frozen=True)
class CoveragePoint:
    """How often the interval contained the truth, at one true value.

    Attributes:
        truth: True value of the parameter of interest.
        n: Number of toys.
        n_failed: Number of toys whose fit failed; they count as not covered.
        covered: Number of toys whose interval contains the truth.
        coverage: ``covered / n``.
        clopper_pearson: Lower and upper end of the 68.27 % Clopper-Pearson interval of the coverage.
    """

    truth: float
    n: int
    n_failed: int
    covered: int
    coverage: float
    clopper_pearson: tuple[float, float]


@dataclass(frozen=True)
class CoverageRecord:
    """A test, on toys of its own likelihood, that an interval covers.

    Attributes:
        method: Name of the interval method that was tested.
        cl: Confidence level that the intervals claim.
        points: One entry for each true value tested.
    """

    method: str
    cl: float
    points: tuple[CoveragePoint, ...]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The result for one parameter of interest.

    Attributes:
        poi: Name of the parameter of interest.
        value: Best fit, in ``unit``.
        total: Total uncertainty: the interval at confidence level ``cl``.
        stat: Part due to the fluctuations of the main data.
        syst: Part due to everything else: all ``groups`` together.
        groups: Part of each group of sources, by its name; ``mc_stat`` is such a group.
        definition: Name of the definition of the parts, see above and :data:`DEFINITIONS`.
        interval: Name of the interval method: ``"profile"`` or ``"hessian"``.
        cl: Confidence level of the uncertainties.
        one_sided: The interval ends at a bound of the parameter on one side.
        unit: Unit in plain text; empty for none.
        latex: Symbol in LaTeX math, with or without dollars; empty to use the name.
        twice_nll: Twice the negative log-likelihood at the best fit, constants as in pyhf.
        certificate: The evidence for the fit.
        coverage: Coverage test of this interval; None if it was not tested.
        parameters: Every fitted parameter, by name.
        provenance: Where the number comes from (inputs, versions, seeds), as text by key.
        seconds: Wall-clock time of the inference in seconds; None if it was not taken.

    Raises:
        InputError: If ``definition`` is not one of :data:`DEFINITIONS`.
    """

    poi: str
    value: float
    total: Uncertainty
    stat: Uncertainty
    syst: Uncertainty
    groups: Mapping[str, Uncertainty]
    definition: str
    interval: str
    cl: float
    one_sided: bool
    unit: str = ""
    latex: str = ""
    twice_nll: float
    certificate: Certificate
    coverage: CoverageRecord | None = None
    parameters: Mapping[str, ParameterEstimate] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.definition not in DEFINITIONS:
            raise InputError(f"expected a definition out of {', '.join(DEFINITIONS)}; got {self.definition!r}")
        for name in ("groups", "parameters", "provenance"):
            object.__setattr__(self, name, dict(getattr(self, name)))

    def __str__(self) -> str:
        """The result as one line of text, with what a coverage test found."""
        line = text_line(self.statement, name=self.poi, unit=self.unit)
        return f"{line}{_coverage_phrase(self.coverage)}{_blinding_phrase(self.certificate)}"

    def to_latex(self) -> str:
        """The result as LaTeX, with the content of the one line."""
        symbol = self.latex.strip("$ ") or latex_name(self.poi)
        line = latex_line(self.statement, symbol=symbol, unit=self.unit)
        return line if self.certificate.blinded is None else f"{line} (blinded)"

    def table(self) -> str:
        """The error budget as plain text: sources by size, the total, and what vouches for it."""
        return "\n".join([str(self), "", *_budget_lines(self), "", *_evidence_lines(self)])

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer measure --json``."""
        return _encode(self)

    def to_json(self) -> str:
        """The record as JSON text, indented."""
        return json.dumps(self.to_json_dict(), allow_nan=False, indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Measurement:
        """Read a record back from its JSON text.

        Raises:
            WorkspaceError: If ``text`` is not JSON, is of another schema, or lacks an entry.
        """
        try:
            return _decode(json.loads(text))
        except (KeyError, TypeError, ValueError, AttributeError, InputError) as problem:
            reason = f"no entry {problem}" if isinstance(problem, KeyError) else str(problem)
            raise WorkspaceError(
                f"expected a measurement as 'infer measure --json' writes it: {reason}; write the file again"
            ) from problem

    @property
    def statement(self) -> Statement:
        """What may be said about this measurement."""
        return state(
            self.value,
            total=self.total,
            stat=self.stat,
            syst=self.syst,
            one_sided=self.one_sided,
            cl=self.cl,
            objections=self.certificate.objections,
        )


# -- the error budget ------------------------------------------------------------------------------


def _budget_lines(m: Measurement) -> list[str]:
    """The error budget: one digit more than in the line, so that one sees the parts add up."""
    if m.certificate.objections:
        return ["No error budget: the fit is not trustworthy."]
    layout = result_layout(m.value, m.total)
    layout = dataclasses.replace(layout, decimals=layout.decimals + 1)
    unit = " ".join(filter(None, [power_of_ten(layout.exponent) if layout.exponent else "", m.unit]))
    parts = [("stat", m.stat), *(m.groups or {"syst": m.syst}).items()]
    by_size = sorted(parts, key=lambda part: -(part[1].size or 0.0))
    sums = [("syst", m.syst)] * bool(m.groups) + [("total", m.total)]
    width = max(len(name) for name in ("source", *dict(parts)))
    header = _row(("source", "down", "up", "share of variance"), width)
    return [
        f"Error budget of {m.poi}{f' [{unit}]' if unit else ''}, definition '{m.definition}':",
        f"{DEFINITIONS[m.definition]}.",
        "",
        header,
        *(_row((name, *_cells(u, m.total, layout)), width) for name, u in by_size),
        "  " + "-" * (len(header) - 2),
        *(_row((name, *_cells(u, m.total, layout)), width) for name, u in sums),
        "",
        _sum_line([u for _, u in parts], m.total, layout, m.definition),
    ]


def _row(cells: tuple[str, str, str, str], width: int) -> str:
    """One row of the error budget; the names are ``width`` characters wide."""
    name, down, up, share = cells
    return f"  {name:<{width}}  {down:>9}  {up:>9}  {share:>17}"


def _cells(u: Uncertainty, total: Uncertainty, layout: Layout) -> tuple[str, str, str]:
    """Down, up and share of the variance of one row, as text."""
    down, up = sides_text(u, layout)
    lower = "none" if down is None else down if down == "0" else f"{MINUS}{down}"
    upper = "none" if up is None else up if up == "0" else f"+{up}"
    return lower, upper, _share(u.size, total.size)


def _share(size: float | None, total: float | None) -> str:
    """The variance of an uncertainty in percent of the total one; a dash where one of them is missing."""
    return "-" if size is None or not total else f"{100 * (size / total) * (size / total):.1f} %"


def _sum_line(parts: Sequence[Uncertainty], total: Uncertainty, layout: Layout, definition: str) -> str:
    """Say what the parts add up to, beside the total."""
    sizes = [part.size for part in parts if part.size is not None]
    root = math.hypot(*sizes)
    if len(sizes) < len(parts) or math.isinf(root):
        return "Some parts are missing, so that the others cannot be compared with the total."
    share = _share(root, total.size)
    amount = f"{amount_text(root, layout)}, {share} of the total variance"
    if definition == "conditional":
        return f"In quadrature the parts would make {amount}: with this definition they need not add up."
    return f"The parts add up in quadrature to {amount}."


def _evidence_lines(m: Measurement) -> list[str]:
    """What vouches for the numbers: the interval, the fit, the coverage, and notices."""
    c = m.certificate
    points = m.coverage.points if m.coverage else ()
    return [
        f"Interval: {m.interval}, {100 * m.cl:.4g} % CL.",
        f"Fit: {'; '.join(c.objections) or _credentials(c)}.",
        *(_coverage_line(point, m.coverage) for point in points if m.coverage),
        *(f"Note: {notice}" for notice in c.notices if notice != str(c.blinded)),  # that one stands above
    ]


def _credentials(c: Certificate) -> str:
    """The certificate of a trustworthy fit, in words."""
    ratio = c.sandwich_ratio
    clauses = [
        f"converged, EDM {c.edm:.1e}",
        f"verified by {c.verified_by}" if c.verified_by else "",
        f"at a bound: {', '.join(c.at_bound)}" if c.at_bound else "",
        "" if ratio is None else f"sandwich over inverse Hessian {ratio:.3f}",
    ]
    return "; ".join(filter(None, clauses))


def _coverage_phrase(record: CoverageRecord | None) -> str:
    """What the one line says of a coverage test."""
    if record is None or not record.points:
        return ""
    point = record.points[0]
    low, high = (100 * end for end in point.clopper_pearson)
    return f" [covered in {100 * point.coverage:.1f} % of {point.n} toys, {low:.1f} to {high:.1f} %]"


def _blinding_phrase(c: Certificate) -> str:
    """What the one line says of what is hidden."""
    return "" if c.blinded is None else f" ({c.blinded})"


def _coverage_line(point: CoveragePoint, record: CoverageRecord) -> str:
    """One tested point of the coverage, in words."""
    low, high = (100 * end for end in point.clopper_pearson)
    failed = f", of which {point.n_failed} failed" if point.n_failed else ""
    return (
        f"Coverage of '{record.method}' at {point.truth:.6g}: {100 * point.coverage:.1f} % "
        f"({low:.1f} to {high:.1f} %) for a nominal {100 * record.cl:.4g} %, "
        f"from {point.n} toys{failed}."
    )


# -- JSON ------------------------------------------------------------------------------------------


def _encode(m: Measurement) -> dict[str, Any]:
    """A measurement as a JSON object."""
    return {
        "schema": SCHEMA,
        "text": str(m),
        "poi": m.poi,
        "value": _plain(m.value),
        "total": [m.total.down, m.total.up],
        "stat": [m.stat.down, m.stat.up],
        "syst": [m.syst.down, m.syst.up],
        "groups": {name: [u.down, u.up] for name, u in m.groups.items()},
        "definition": m.definition,
        "interval": m.interval,
        "cl": _plain(m.cl),
        "one_sided": bool(m.one_sided),
        "unit": m.unit,
        "latex": m.latex,
        "fit": {
            "poi": m.poi,
            "parameters": {name: _plain(vars(p)) for name, p in m.parameters.items()},
            "twice_nll": _plain(m.twice_nll),
            "status": _status(m.certificate),
            "seconds": _plain(m.seconds),
        },
        "coverage": None if m.coverage is None else _plain(dataclasses.asdict(m.coverage)),
        "provenance": dict(m.provenance),
        **({} if m.certificate.blinded is None else {"blinded": m.certificate.blinded.to_json_dict()}),
    }


def _status(c: Certificate) -> dict[str, Any]:
    """A certificate as a JSON object."""
    fields = {name: _plain(x) for name, x in vars(c).items() if name != "blinded"}
    return fields if c.blinded is None else {**fields, "blinded": c.blinded.to_json_dict()}


def _plain(x: Any) -> Any:
    """What JSON has: lists for tuples, Python's numbers for those of any library, None for NaN."""
    if isinstance(x, Mapping):
        return {key: _plain(entry) for key, entry in x.items()}
    if isinstance(x, tuple | list):
        return [_plain(entry) for entry in x]
    number = x.item() if hasattr(x, "item") else x
    if isinstance(number, float) and not math.isfinite(number):
        return None
    return number


def _decode(document: Any) -> Measurement:
    """A measurement from a JSON object; a broken one raises some built-in exception."""
    if not isinstance(document, dict):
        raise ValueError(f"a JSON object, not {type(document).__name__}")
    if document["schema"] != SCHEMA:
        raise ValueError(f"schema {document['schema']!r}, where {SCHEMA} is the one read here")
    fit = document["fit"]
    return Measurement(
        poi=document["poi"],
        value=_number(document["value"]),
        total=_decode_sides(document["total"]),
        stat=_decode_sides(document["stat"]),
        syst=_decode_sides(document["syst"]),
        groups={name: _decode_sides(sides) for name, sides in document["groups"].items()},
        definition=document["definition"],
        interval=document["interval"],
        cl=_number(document["cl"]),
        one_sided=document["one_sided"],
        unit=document["unit"],
        latex=document["latex"],
        twice_nll=_number(fit["twice_nll"]),
        certificate=_decode_certificate(fit["status"]),
        coverage=_decode_coverage(document["coverage"]),
        parameters={name: _decode_estimate(p) for name, p in fit["parameters"].items()},
        provenance=document["provenance"],
        seconds=_optional(fit["seconds"]),
    )


def _decode_sides(sides: Sequence[float | None]) -> Uncertainty:
    """An uncertainty from its two sides, down first."""
    down, up = sides
    return Uncertainty(_optional(down), _optional(up))


def _decode_certificate(status: Mapping[str, Any]) -> Certificate:
    """A certificate from its JSON object."""
    numbers = {name: _number(status[name]) for name in ("edm", "projected_gradient")}
    names = {name: tuple(status[name]) for name in ("at_bound", "notices")}
    maybe = {name: _optional(status[name]) for name in ("smallest_eigenvalue", "sandwich_ratio", "verify_difference")}
    hidden = Blinding.from_json_dict(status["blinded"]) if "blinded" in status else None
    return Certificate(**{**status, **numbers, **maybe, **names, "blinded": hidden})


def _decode_estimate(estimate: Mapping[str, Any]) -> ParameterEstimate:
    """A fitted parameter from its JSON object."""
    rest = {name: _optional(estimate[name]) for name in ("uncertainty", "pull", "constraint")}
    return ParameterEstimate(_number(estimate["value"]), **rest)


def _decode_coverage(record: Mapping[str, Any] | None) -> CoverageRecord | None:
    """A coverage test from its JSON object."""
    if record is None:
        return None
    points = tuple(_decode_point(point) for point in record["points"])
    return CoverageRecord(method=record["method"], cl=_number(record["cl"]), points=points)


def _decode_point(point: Mapping[str, Any]) -> CoveragePoint:
    """One tested point of the coverage from its JSON object."""
    low, high = map(_number, point["clopper_pearson"])
    numbers = {name: _number(point[name]) for name in ("truth", "coverage")}
    return CoveragePoint(**{**point, **numbers, "clopper_pearson": (low, high)})


def _number(x: float | None) -> float:
    """A float from JSON, which has no difference between 1 and 1.0: NaN for ``null``."""
    return math.nan if x is None else float(x)


def _optional(x: float | None) -> float | None:
    """A float or None from JSON."""
    return None if x is None else float(x)
