"""What a report says in words: to somebody who has never seen one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from infer.inference.goodness import Goodness
from infer.inference.impacts import Impacts
from infer.measurement import DEFINITIONS, CoverageRecord, Measurement
from infer.numerics.rounding import MINUS, TIMES, Layout, power_of_ten
from infer.report.record import Report
from infer.statement import Uncertainty, result_layout, sides_text

HEADINGS = {
    "result": "Result",
    "certificate": "Can the fit be trusted?",
    "budget": "Error budget",
    "profile": "Profile likelihood",
    "impacts": "Impacts and pulls",
    "correlations": "Correlations",
    "channels": "Data and model",
    "goodness": "Goodness of fit",
    "coverage": "Coverage",
    "hypotheses": "Limit and significance",
    "model": "Model and parameters",
    "findings": "Worth a second look",
    "provenance": "Provenance",
    "left-out": "Left out",
}
"""Sections in their order, with their headings."""

_LEDES = {
    "certificate": "Before a number is quoted, the fit behind it has to pass these checks.",
    "budget": "How much of the uncertainty is due to which source.",
    "profile": (
        "How much worse the model describes the data when {poi} is held at another value and all else is fitted "
        "again: the flatter the curve, the larger the uncertainty. Where it crosses a dashed line, an interval ends."
    ),
    "impacts": (
        "Nuisance parameters stand for what is known imperfectly. A pull says where the data moved one, in units of "
        "its uncertainty before the fit; a constraint below 1 says that the data know it better than that; an impact "
        "says how far {poi} moves when the parameter is shifted by one standard deviation."
    ),
    "correlations": (
        "Two parameters are correlated where the data fix a combination of them better than each by itself: "
        "+1 is rising together, −1 is one rising as the other falls."
    ),
    "channels": "What was observed beside what the model expects, before the fit and after it.",
    "goodness": (
        "A fit always finds a best value; whether the model describes the data at all is a question of its own. A "
        "p-value is the chance of data that fit worse than these if the model is right: below a few per cent, be "
        "suspicious."
    ),
    "coverage": (
        "An interval that claims {level} should contain the true value in {level} of repeated experiments. "
        "Here that was tried on simulated experiments."
    ),
    "hypotheses": (
        "An upper limit is the largest {poi} that the data do not exclude; a significance says, in standard "
        "deviations, how badly the data are described without any signal."
    ),
    "model": "What the likelihood contains, before and after the fit.",
    "findings": (
        "What is unusual about the model, the most severe first. None of it is wrong by itself; each wants a reason."
    ),
    "provenance": "What it takes to make this page again.",
    "left-out": "What this page could show and does not, and why.",
}


@dataclass(frozen=True)
class Check:
    """One line of the certificate.

    Attributes:
        mark: ``"ok"``, ``"bad"`` or ``"note"``.
        what: What was checked.
        finding: What was found.
        meaning: What that means, for somebody new.
    """

    mark: str
    what: str
    finding: str
    meaning: str


def sentence(clause: str) -> str:
    """A clause with a capital and a full stop."""
    return f"{clause[:1].upper()}{clause[1:].rstrip('.')}."


def lede(key: str, report: Report) -> str:
    """How to read a section, in a sentence or two."""
    level = f"{100 * report.coverage[0].cl:.4g} %" if report.coverage else ""
    return _LEDES[key].replace("{poi}", report.measurement.poi).replace("{level}", level)


def verdict(report: Report) -> str:
    """The certificate in one plain sentence."""
    if not report.measurement.certificate.trustworthy:
        return (
            f"No value is quoted, because {'; '.join(report.objections)}. Numbers of such a fit mean nothing, "
            "so that this page shows none of them."
        )
    c = report.measurement.certificate
    second = f", and {c.verified_by}, a second program, found the same one" if c.verified_by else ""
    if report.objections:
        return f"The fit passed its checks{second}, but {'; '.join(report.objections)}."
    return f"The fit passed its checks: it converged, to a proper minimum{second}."


def explanation(m: Measurement) -> str:
    """What the numbers of the one line are."""
    level = f"{100 * m.cl:.4g} %"
    parts = (
        "The first uncertainty is due to the finite number of observed events (stat), the second to everything that "
        "is known imperfectly (syst). "
    )
    shown = m.stat.complete and m.syst.complete and m.total.complete and not m.one_sided
    return (
        f"The value of {m.poi} at which the model describes the data best. {parts if shown else ''}"
        f"The interval is that of the {'profile likelihood' if m.interval == 'profile' else 'Hessian'} at {level} "
        "confidence level."
    )


def budget_note(m: Measurement) -> str:
    """What the parts of the budget are, and whether they add up."""
    parts = [u.size for u in (m.stat, *(m.groups.values() or [m.syst]))]
    total = m.total.size
    sentence = f"Definition “{m.definition}”: {DEFINITIONS[m.definition]}."
    known = [p for p in parts if p is not None]
    if not total or len(known) < len(parts):
        return sentence
    share = 100.0 * (math.hypot(*known) / total) ** 2
    return f"{sentence} In quadrature, the sources make {share:.1f} % of the total variance."


def impact_note(impacts: Impacts) -> str:
    """What was shifted, how often, and what these numbers are not."""
    failed = f" {impacts.n_failed} of {impacts.n_refits} refits failed." if impacts.n_failed else ""
    if impacts.definition == "traditional":
        return (
            f"{impacts.n_refits} refits, each with its own certificate.{failed} Such impacts are not parts of an "
            "uncertainty and do not add up to it; the error budget has those."
        )
    return f"{impacts.n_refits} refits with shifted auxiliary data.{failed} These impacts add up in quadrature."


def checks(report: Report) -> list[Check]:
    """The certificate, line by line."""
    c = report.measurement.certificate
    found = [
        Check(
            _mark(c.converged),
            "Converged",
            f"distance to the minimum {c.edm:.1e}" if c.converged else c.message,
            "In units of −2 ln L, in which 1 is one standard deviation: what is left does not matter."
            if c.converged
            else "The search ended somewhere that is no minimum.",
        )
    ]
    if c.converged:
        found += [
            Check(
                _mark(c.positive_definite),
                "A minimum",
                "curvature positive in every direction" if c.positive_definite else "flat or falling in some direction",
                "Otherwise the end point would be a saddle, or the data would not determine the parameters.",
            ),
            _second_engine(report),
        ]
    if report.trustworthy:
        found += [*_bounds(report), *_sandwich(report), *_refits(report)]
    return found


def _mark(passed: bool) -> str:
    return "ok" if passed else "bad"


def _second_engine(report: Report) -> Check:
    c = report.measurement.certificate
    meaning = "An independent minimiser that starts anew would reveal a deeper minimum elsewhere."
    if c.verified_by is None or c.verify_difference is None:
        return Check("note", "Second engine", "not asked for (--verify)", meaning)
    agrees = not any("deeper" in o for o in c.objections)
    difference = f"{c.verify_difference:+.1e}".replace("-", MINUS)
    return Check(_mark(agrees), "Second engine", f"{c.verified_by}: −2 ln L differs by {difference}", meaning)


def _bounds(report: Report) -> list[Check]:
    at = report.measurement.certificate.at_bound
    if not at:
        return [Check("ok", "Bounds", "no parameter is at one", "The fit was free to go where the data point.")]
    names = ", ".join(at[:6]) + (f" and {len(at) - 6} more" if len(at) > 6 else "")
    return [Check("note", "Bounds", f"at a bound: {names}", "Uncertainties of these have one side only.")]


def _sandwich(report: Report) -> list[Check]:
    ratio = report.measurement.certificate.sandwich_ratio
    if ratio is None:
        return []
    meaning = "Variance as the scatter of the data implies it, over that of the curvature: 1 where the model is right."
    return [Check("note", "Two variances", f"ratio {ratio:.3f}", meaning)]


def _refits(report: Report) -> list[Check]:
    if report.impacts is None:
        return []
    failed, n = report.impacts.n_failed, report.impacts.n_refits
    return [
        Check(
            "note" if failed else "ok",
            "Refits for impacts",
            f"{n - failed} of {n} have a certificate",
            "Impacts whose refit failed are marked, not guessed.",
        )
    ]


def goodness_verdict(goodness: Goodness) -> str:
    """What the p-value says, in words."""
    p = goodness.tests[0].p
    if p is None:
        return ""
    if p >= 0.05:
        return "No objection to the model."
    return "Such data are rare under the model." if p >= 0.003 else "The model does not describe the data."


def coverage_verdict(record: CoverageRecord) -> str:
    """Whether the interval does what it claims, in words; the tolerance is three Clopper-Pearson half-widths."""
    low = [p for p in record.points if p.coverage + 3.0 * (p.clopper_pearson[1] - p.coverage) < record.cl]
    high = [p for p in record.points if p.coverage - 3.0 * (p.coverage - p.clopper_pearson[0]) > record.cl]
    what = f"The {record.method} interval"
    if low:
        return f"{what} covers too rarely at {len(low)} of {len(record.points)} true values: quote it with care."
    if high:
        return f"{what} covers more often than it claims at {len(high)} of {len(record.points)} true values: cautious."
    return f"{what} covers as it claims, within what so many toys can tell."


def key_numbers(report: Report) -> list[tuple[str, str, str]]:
    """The few numbers beside the line: what, number, remark."""
    m = report.measurement
    layout = result_layout(m.value, m.total)
    finer = replace(layout, decimals=layout.decimals + 1)
    suffix = (f" {TIMES} {power_of_ten(layout.exponent)}" if layout.exponent else "") + (m.unit and f" {m.unit}")
    found: list[tuple[str, str, str]] = []
    if m.total.size is not None:
        found.append(
            (
                "Total uncertainty",
                f"{_sides(Uncertainty(m.total.down or None, m.total.up or None), finer)}{suffix}",
                f"{100 * m.cl:.4g} % CL",
            )
        )
    for i in report.intervals[1:]:
        ends = ["open" if e.value is None else finer.text(e.value).replace("-", MINUS) for e in (i.low, i.high)]
        found.append((f"{100 * i.cl:.3g} % interval", f"{ends[0]} to {ends[1]}{suffix}", i.method))
    return found + _evidence(report)


def _sides(u: Uncertainty, layout: Layout) -> str:
    down, up = sides_text(u, layout)
    if up is not None and up == down:
        return f"± {up}"
    return " ".join([*([] if up is None else [f"+{up}"]), *([] if down is None else [f"{MINUS}{down}"])])


def _evidence(report: Report) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    if report.goodness is not None and report.goodness.tests and report.goodness.tests[0].p is not None:
        found.append(("Goodness of fit", f"p = {report.goodness.tests[0].p:.2g}", goodness_verdict(report.goodness)))
    if report.coverage and report.coverage[0].points:
        record = report.coverage[0]
        found.append(("Coverage", f"{100 * record.points[0].coverage:.1f} %", f"for a claimed {100 * record.cl:.4g} %"))
    if report.limit is not None and report.limit.observed is not None:
        found.append(("Upper limit", f"{report.limit.observed:.4g}", f"{100 * report.limit.cl:.4g} % CL"))
    if report.significance is not None and report.significance.observed is not None:
        found.append(("Significance", f"{report.significance.observed:.2f} σ", "against no signal"))
    return found
