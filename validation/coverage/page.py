"""The results as a page, figures and JSON; a suite that was not run keeps its last result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from infer.numerics.binomial import clopper_pearson
from validation import tables
from validation.coverage import closed_forms
from validation.coverage.judge import Statement, resolution, threshold
from validation.coverage.measure import Measured

Record = Mapping[str, Any]

STEM = "coverage"
ONE_SIGMA = 0.6826894921370859
_HEADER = ("truth", "method", "level", "toys", "failed", "coverage", "68.27 %", "expected", "exact", "p", "verdict")
_SUMMED = ("method", "level", "truths", "least coverage", "at", "largest difference from scipy's", "verdict")
_TRUTHS = ("truth", "bias", "std", "mean σ", "pull, mean", "pull, std", "fits failed", "by MIGRAD")
_COLOURS = {"hessian": "C0", "profile": "C1", "feldman-cousins": "C2", "credible": "C3", "cls": "C4"}
_INTRODUCTION = """\
How often intervals contain the truth, on toys of the models themselves: `python -m validation coverage`.

**How it is judged.** What is expected of each interval is written down in `validation/coverage/suites/`:
*exact*, a closed form says what the coverage is; *covers*, the coverage is the level; *at-least*, it is the level or
more; *known*, a deviation with a reason, which is not called covering and not judged. Promises are tested with exact
binomial tails. A suite fails if one p-value is below its rate of false alarms, 1e-3 unless it says otherwise, divided
by its number of promises (Bonferroni): that is the probability at most that a suite fails although every promise is
kept. A toy without an interval counts as not covered, and, where a coverage above the level counts against us too,
in that tail as covered. Statements of one suite share random numbers: toy i is the same fluctuation at each truth,
so that they deviate together; Bonferroni's bound holds all the same.

**What was known before.** First runs, with other seeds, changed three things. Near the bound of two published
searches *covers* became *at-least*, as the bound explains. The Feldman-Cousins intervals of counting experiments had
under-covered, by ten points and more, since critical values were interpolated between points; they are now found at
the truths themselves, and a toy is judged by its likelihood ratio there, ties accepted. Workspaces and published
likelihoods have seeds that nothing was adjusted on.

**How far it sees.** n toys notice what is larger than their noise, and each suite says how much that is. "Covers"
means: no deviation was found at that resolution. *Below* counts the statements of each suite, whatever was expected of
them, whose coverage is below the level by the same measure: an exact coverage can be an exact under-coverage.\
"""


def write(found: Sequence[Measured], known: Sequence[str], *, results: Path) -> Path:
    """Write ``coverage.md`` and ``coverage.json``, and a figure for each suite.

    Args:
        found: What was measured now.
        known: Names of all suites, in order; results of others are dropped.
        results: Folder.
    """
    old = results / f"{STEM}.json"
    records: dict[str, Record] = json.loads(old.read_text())["suites"] if old.exists() else {}
    # JSON's own types, so that a fresh result and a stored one make the same page.
    records |= {m.suite.name: json.loads(json.dumps(m.record())) for m in found}
    records = {name: records[name] for name in known if name in records}
    figures = results / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for m in found:
        draw(records[m.suite.name]).savefig(figures / f"{STEM}-{m.suite.name}.png", dpi=90, metadata={"Software": None})
    page, _ = tables.write(results, STEM, markdown(records), {"suites": records})
    return page


def markdown(records: Mapping[str, Record]) -> str:
    """The page."""
    return "\n\n".join(["# Coverage", _INTRODUCTION, _summary(records), *(_section(r) for r in records.values())])


def statements_of(record: Record) -> list[Statement]:
    """The statements of a stored result."""
    return [Statement(**{k: v for k, v in s.items() if k != "p"}) for s in record["statements"]]


def _summary(records: Mapping[str, Record]) -> str:
    rows = []
    for name, record in records.items():
        verdicts = _verdicts(record)
        counts = [str(verdicts.count(v)) for v in ("kept", "broken", "known")]
        counts.append(str(_below(record)))
        rows.append(
            [
                f"[{name}](#{name.replace('.', '').lower()})",
                *counts,
                str(record["n"] or "–"),
                _time(record),
                _answer(verdicts),
            ]
        )
    return tables.markdown_table(("suite", "kept", "broken", "known", "below", "toys", "time", "answer"), rows)


def _verdicts(record: Record) -> list[str]:
    statements = statements_of(record)
    least = threshold(statements, record["suite"]["false_alarm"])
    return [s.verdict(least) for s in statements]


def _below(record: Record) -> int:
    """Statements whose coverage is below their level, beyond noise."""
    statements = statements_of(record)
    least = threshold(statements, record["suite"]["false_alarm"])
    measured = (replace(s, expect="at-least") for s in statements)
    return sum(s.verdict(least) == "broken" for s in measured)


def _answer(verdicts: Sequence[str]) -> str:
    return "fails" if "broken" in verdicts else "passes"


def _time(record: Record) -> str:
    return tables.seconds(record["seconds"])


def _section(record: Record) -> str:
    suite, statements = record["suite"], statements_of(record)
    parts = [f"## {suite['name']}", suite["shows"]]
    if record["n"]:
        parts += [_conditions(record, statements), _table(record, statements), _reasons(statements), _estimates(record)]
    else:
        parts.append(_summed_table(statements))
    parts += [suite["note"], f"![{suite['name']}](figures/{STEM}-{suite['name']}.png)"]
    parts.append(
        f"{_time(record)}, compilation included. "
        + tables.provenance_lines(record["date"], record["machine"], record["versions"])
    )
    return "\n\n".join(part for part in parts if part)


def _conditions(record: Record, statements: Sequence[Statement]) -> str:
    suite = record["suite"]
    least = threshold(statements, suite["false_alarm"])
    promises = sum(s.expect != "known" for s in statements)
    sees = " and ".join(
        f"{100 * resolution(record['n'], cl, least):.1f} points at {100 * cl:.4g} %" for cl in suite["levels"]
    )
    belt = f" {suite['n_belt']} toys behind each critical value." if _has_belt(statements) else ""
    return (
        f"{suite['likelihood'] or suite['model']}, truths of `{record['poi']}`, nuisance parameters {suite['base']} "
        f"where not named; {record['n']} toys each, seed {suite['seed']}.{belt} {promises} promises, p from "
        f"{least:.1e} on is kept (false alarms of the suite: {suite['false_alarm']:g}); a deviation of {sees} is "
        "noticed half of the time."
    )


def _has_belt(statements: Sequence[Statement]) -> bool:
    return any(s.n_belt is not None for s in statements)


def _table(record: Record, statements: Sequence[Statement]) -> str:
    least = threshold(statements, record["suite"]["false_alarm"])
    rows = []
    for s in statements:
        low, high = clopper_pearson(s.covered, s.n, ONE_SIGMA)
        exact = "–" if s.exact is None else f"{100 * s.exact:.2f} %"
        ideal = "" if s.ideal is None else f" (ideal {100 * s.ideal:.2f} %)"
        verdict = s.verdict(least)
        rows.append(
            [
                _truth(record, s.value, s.nuisance),
                s.method,
                f"{100 * s.cl:.4g} %",
                str(s.n),
                str(s.n_failed),
                f"{100 * s.coverage:.2f} %",
                f"{100 * float(low):.2f} to {100 * float(high):.2f}",
                s.expect,
                exact + ideal,
                tables.number(s.p, 2),
                f"**{verdict}**" if verdict == "broken" else verdict,
            ]
        )
    return tables.markdown_table(_HEADER, rows)


def _truth(record: Record, value: float, nuisance: int) -> str:
    named = record["suite"]["nuisance"][nuisance]
    return "; ".join([f"{value:g}", *(f"{name} = {x:g}" for name, x in named.items())])


def _reasons(statements: Sequence[Statement]) -> str:
    reasons = dict.fromkeys((s.method, s.expect, s.why) for s in statements if s.why)
    return "\n".join(f"* {method}, {expect}: {why}." for method, expect, why in reasons)


def _estimates(record: Record) -> str:
    rows = []
    for i, t in enumerate(record["truths"]):
        rows.append(
            [
                _truth(record, t["value"], i // len(record["suite"]["values"])),
                f"{t['bias']:+.3g} ± {t['bias_error']:.1g}",
                *(tables.number(t[key]) for key in ("std", "sigma", "pull_mean", "pull_std")),
                str(t["n_failed"]),
                str(t["n_migrad"]),
            ]
        )
    return tables.markdown_table(_TRUTHS, rows)


def _summed_table(statements: Sequence[Statement]) -> str:
    rows = []
    for method, cl in dict.fromkeys((s.method, s.cl) for s in statements):
        some = [s for s in statements if (s.method, s.cl) == (method, cl)]
        worst = min(some, key=lambda s: s.coverage)
        apart = max(abs(s.coverage - (s.exact or 0.0)) for s in some)
        kept = all(s.verdict(0.0) == "kept" for s in some)
        rows.append(
            [
                method,
                f"{100 * cl:.4g} %",
                str(len(some)),
                f"{100 * worst.coverage:.3f} %",
                f"{worst.value:.4g}",
                f"{apart:.0e}",
                "kept" if kept else "**broken**",
            ]
        )
    return tables.markdown_table(_SUMMED, rows)


def draw(record: Record) -> Figure:
    """Coverage by truth, one panel for each confidence level."""
    statements, levels = statements_of(record), record["suite"]["levels"]
    figure = Figure(figsize=(4.6 * len(levels), 3.4), layout="constrained")
    for ax, cl in zip(np.atleast_1d(figure.subplots(1, len(levels))), levels, strict=True):
        _panel(ax, record, [s for s in statements if s.cl == cl], cl)
    figure.suptitle(record["suite"]["name"], fontsize=10)
    return figure


def _panel(ax: Axes, record: Record, statements: Sequence[Statement], cl: float) -> None:
    ax.axhline(100 * cl, color="black", lw=0.8)
    series = list(dict.fromkeys((s.method, s.nuisance) for s in statements))
    for i, (method, nuisance) in enumerate(series):
        some = [s for s in statements if (s.method, s.nuisance) == (method, nuisance)]
        _series(ax, record, some, (i - 0.5 * (len(series) - 1)) / max(len(series), 1))
    if record["n"]:
        least = threshold(statements_of(record), record["suite"]["false_alarm"])
        reach = 100 * resolution(record["n"], cl, least)
        ax.axhspan(100 * cl - reach, 100 * cl + reach, color="0.9", zorder=0)
    if record["suite"]["model"] == "garwood":
        ax.set_xscale("log")
    ax.set_xlabel(record["poi"])
    ax.set_ylabel(f"coverage of {100 * cl:.4g} % intervals [%]")
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles, labels, fontsize=7, frameon=False)


def _series(ax: Axes, record: Record, some: Sequence[Statement], offset: float) -> None:
    """One method at one nuisance truth: measured with error bars, or summed as a line."""
    method, nuisance = some[0].method, some[0].nuisance
    values = np.array([s.value for s in some])
    coverage = 100 * np.array([s.coverage for s in some])
    if not record["n"]:
        ax.plot(values, coverage, lw=0.7, label=f"{method}, summed")
        return
    colour = _COLOURS.get(method, "C7")
    low, high = clopper_pearson([s.covered for s in some], [s.n for s in some], ONE_SIGMA)
    step = 0.25 * np.min(np.diff(np.unique(values)), initial=np.inf)
    if record["suite"]["model"] is not None:  # the closed forms jump: points lie where they are
        step = 0.0
    ax.errorbar(
        values + offset * (step if np.isfinite(step) else 0.02),
        coverage,
        yerr=[coverage - 100 * low, 100 * high - coverage],
        fmt="os^D"[nuisance % 4],
        ms=4,
        color=colour,
        mfc=colour if nuisance == 0 else "white",
        label=method if nuisance == 0 else f"{method}, nuisance truth {nuisance + 1}",
    )
    _closed_form(ax, record, some, colour)


def _closed_form(ax: Axes, record: Record, some: Sequence[Statement], colour: str) -> None:
    """The exact coverage as a function of the truth."""
    suite, method, cl = record["suite"], some[0].method, some[0].cl
    named = suite["nuisance"][some[0].nuisance]
    grid = np.linspace(min(suite["values"]), max(suite["values"]), 400)
    if suite["model"] is None or method == "credible":
        return
    if method == "feldman-cousins":
        counting = closed_forms.Counting(**suite["arguments"])
        curve, label = [counting.feldman_cousins(cl, x) for x in grid], "ideal Feldman-Cousins"
        ax.plot(grid, 100 * np.array(curve), lw=0.6, color=colour, label=label)
        return
    found = [closed_forms.model_coverage(suite["model"], suite["arguments"], method, cl, x, named) for x in grid]
    ax.plot(grid, 100 * np.array(found, dtype=float), lw=0.6, color=colour, ls="-" if not named else ":")
