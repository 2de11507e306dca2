"""The page: one HTML file with its style, its script and its charts inside, that asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import PurePath
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup, escape

from infer.inference.fits import FitResult
from infer.inference.yields import Yields
from infer.plots.rates import sample_colours, stacks_of
from infer.plots.style import GREY, PALETTE
from infer.report import charts, rows, symbols, words
from infer.report.record import Report

_TOP = 30  # rows of a long table that are shown at first
_WIDE = 16  # bins of a channel whose charts stand above each other
_MOST_LOOKED_UP = 600  # parameters whose whole correlation matrix is put into the page


def render(report: Report) -> str:
    """The page of a report as HTML text."""
    style, script = _part("style.css"), _part("script.js")
    context = {
        "report": report,
        "m": report.measurement,
        "style": Markup(style),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "symbol": symbols.symbol(report.measurement.poi, report.measurement.latex),
        "line": symbols.line(report.measurement),
        "remarks": report.measurement.statement.remarks,
        "words": words,
        "rows": rows,
        "headings": words.HEADINGS,
        "sections": _sections(report),
        "version": version("infer-hep"),
        "top": _TOP,
        **_content(report),
    }
    page = _environment().get_template("page.html.j2").render(context).lstrip()
    return page.replace(str(escape(report.source)), PurePath(report.source).name) if report.source else page


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("infer.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _part(name: str) -> str:
    """A file beside the template."""
    return (files("infer.report") / "templates" / name).read_text(encoding="utf-8")


def _sections(report: Report) -> list[str]:
    """Keys of the sections that are there, in their order."""
    absent = set(report.left_out) | (set() if report.left_out else {"left-out"})
    return [key for key in words.HEADINGS if key not in absent]


def _content(report: Report) -> dict[str, Any]:
    """Tables and charts, section by section."""
    m = report.measurement
    trusted = m.certificate.trustworthy
    return {
        "budget": None if "budget" in report.left_out else rows.budget(m),
        "profile": _profile(report),
        "ranking": None if report.impacts is None else rows.ranking(report.impacts),
        "matrix": rows.matrix_chart(report.fit, m.poi) if trusted else None,
        "pairs": rows.pairs(report.fit) if trusted else [],
        "lookup": _lookup(report.fit) if trusted else None,
        "channels": _channels(report, fitted=trusted),
        "spectra": [
            (
                spectrum,
                charts.spectrum_chart(spectrum, PALETTE[1:]),
                list(zip(spectrum.components, PALETTE[1:], strict=False)),
            )
            for spectrum in report.spectra
            if np.all(np.isfinite([spectrum.total, spectrum.total_uncertainty]))
        ],
        "forest": _forest(report),
        "limit_chart": None
        if report.limit is None or report.limit.observed is None
        else charts.limit_chart(report.limit, unit=m.unit),
        "coverage": [(c, charts.coverage_chart(c, name=m.poi)) for c in report.coverage if c.points],
        "findings": rows.findings(report.inspection),
        "parameters": rows.parameters(m, report.inspection),
    }


def _profile(report: Report) -> Markup | None:
    if report.scan is None:
        return None
    m = report.measurement
    return charts.profile_chart(report.scan, report.intervals, name=m.poi, unit=m.unit)


def _forest(report: Report) -> Markup | None:
    if not report.measured:
        return None
    m = report.measurement
    return charts.forest_chart(report.measured, report.combinations, m, unit=m.unit)


def _channels(report: Report, *, fitted: bool) -> dict[str, Any] | None:
    """Charts and sums of every channel; those after the fit only where it may be trusted."""
    if report.yields is None:
        return None
    record, smooth = report.yields, {spectrum.name for spectrum in report.spectra}
    if not fitted:
        record = replace(record, postfit=record.prefit)  # what is not shown must not decide what is
    colours, found = sample_colours(record), []
    for stack in stacks_of(record):
        if stack.prefit.name in smooth:
            continue
        stages = [("pre-fit", stack.prefit), ("post-fit", stack.postfit)][: 2 if fitted else 1]
        drawn = [(stage, charts.stack_chart(stack, stage, side, colours)) for stage, side in stages]
        found.append({"title": stack.title, "charts": drawn, "wide": len(stack.prefit.total) > _WIDE})
    legend = rows.legend(colours, GREY) if found else []
    return {"legend": legend, "stacks": found, "yields": _sums(record), "fitted": fitted, "notices": record.notices}


def _sums(record: Yields) -> list[tuple[str, Any]]:
    """Tables of events by sample, of every channel and of all together."""
    sides = (record.prefit, record.postfit)
    names = [c.name or "all events" for c in record.prefit.channels]
    found = [(name, rows.yields(*(side.sums[at] for side in sides))) for at, name in enumerate(names)]
    return found if len(found) < 2 else [("all channels", rows.yields(*(side.overall for side in sides))), *found]


def _lookup(fit: FitResult) -> Markup | None:
    """The lower triangle of the correlations in per cent, for a search; None where it would be too long."""
    names = list(fit.parameters.names)
    if len(names) > _MOST_LOOKED_UP:
        return None
    percent = np.rint(100.0 * np.nan_to_num(fit.correlation)).astype(int)
    triangle = [row[:at].tolist() for at, row in enumerate(percent)]
    text = json.dumps({"names": names, "rows": triangle}, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
