"""The page: what stands in it, that everybody can read it, and that it asks nothing of any network."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest

import infer
from infer.likelihoods.gaussian.summary import MeasuredValue
from infer.measurement import CoveragePoint, CoverageRecord
from infer.report import Report, build_report, render
from infer.report.words import HEADINGS
from infer.statement import Uncertainty
from tests.report.conftest import HOSTILE, Page

Parse = Callable[[str], Page]
SLOW = ("peak", "combined")
KINDS = ("small", "untrusted", "hostile", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW))
ALWAYS = {"result", "certificate", "model", "findings", "provenance", "left-out"}
LEFT_OUT = {
    "small": {"coverage"},
    "peak": {"coverage", "hypotheses", "goodness"},
    "combined": {"coverage", "hypotheses", "channels"},
    "untrusted": {"coverage", "hypotheses", "budget", "profile", "impacts", "correlations", "goodness"},
    "hostile": {"coverage", "hypotheses"},
}
MEGABYTES = 1_000_000


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which report."""
    return str(request.param)


@pytest.fixture
def report(kind: str, request: pytest.FixtureRequest) -> Report:
    """A report of any kind."""
    found = request.getfixturevalue(kind)
    assert isinstance(found, Report)
    return found


@pytest.fixture
def page(report: Report, parsed: Parse) -> Page:
    """Its page."""
    return parsed(render(report))


def test_sections_are_there_or_left_out_with_a_reason(kind: str, report: Report, page: Page) -> None:
    """Every section stands on the page, in order, or among those that are left out, and in the navigation."""
    assert set(report.left_out) == LEFT_OUT[kind]
    present = [key for key in HEADINGS if key not in LEFT_OUT[kind]]
    assert page.sections == present
    assert set(page.sections) >= ALWAYS
    assert [e.attributes["href"] for e in page.all("a") if "nav" in e.path] == [f"#{key}" for key in present]
    for key, reason in report.left_out.items():
        assert f"{HEADINGS[key]}: {reason}." in page.section("left-out").text


def test_the_line_comes_first(report: Report, page: Page) -> None:
    """The result is the first section, its text is that of the measurement, word by word."""
    assert page.sections[0] == "result"
    if report.trustworthy:
        text, latex = [e.text for e in page.all("code") if "dd" in e.path][:2]
        assert text == str(report.measurement)
        assert latex == report.measurement.to_latex()


def test_every_picture_is_described(page: Page) -> None:
    """A chart has a text that says what it shows; what is drawn beside numbers is hidden from screen readers."""
    pictures = page.all("svg")
    assert pictures
    for picture in pictures:
        described = picture.attributes.get("role") == "img" and len(picture.attributes.get("aria-label", "")) > 30
        assert described or picture.attributes.get("aria-hidden") == "true"
    assert page.all("img") == []


def test_structure_is_that_of_a_document(page: Page) -> None:
    """Language, one main heading, no level of headings skipped, unique names, labelled fields, heads of tables."""
    assert page.all("html", lang="en")
    assert len(page.all("h1")) == 1
    levels = [int(e.tag[1]) for e in page.elements if re.fullmatch("h[1-6]", e.tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(set(ids)) == len(ids)
    for name in ("aria-labelledby", "aria-controls"):
        assert {e.attributes[name] for e in page.elements if name in e.attributes} <= set(ids)
    assert all("label" in e.path for e in page.all("input"))
    heads = page.all("th")
    assert heads
    assert all(e.attributes.get("scope") in ("col", "row") for e in heads)
    assert all(e.text.strip() for e in heads)
    assert page.all("a", class_="skip", href="#result")
    assert page.elements.index(page.all("a", class_="skip")[0]) < page.elements.index(page.all("nav")[0])


def test_nothing_comes_from_outside(page: Page) -> None:
    """No reference leads out of the page, and its policy forbids any; its one program is named by its digest."""
    references = [
        e.attributes[a] for e in page.elements for a in ("src", "href", "action", "data") if a in e.attributes
    ]
    assert all(reference.startswith("#") or reference == "data:," for reference in references)
    assert not re.search(r"(https?:)?//[a-z]|url\((?!#)|@import", page.source.replace("/// ", ""))
    (policy,) = page.all("meta", http_equiv="Content-Security-Policy")
    assert "default-src 'none'" in policy.attributes["content"]
    assert "script-src 'sha256-" in policy.attributes["content"]
    programs = [e for e in page.all("script") if e.attributes.get("type") != "application/json"]
    assert len(programs) == 1
    assert not any(name.startswith("on") for e in page.elements for name in e.attributes)


def test_the_page_is_small(page: Page) -> None:
    """Small enough to be sent by mail."""
    assert len(page.source.encode()) < 5 * MEGABYTES


def test_names_are_text(hostile: Report, parsed: Parse) -> None:
    """A name that looks like a program is shown as it is, wherever it stands."""
    page = parsed(render(hostile))
    assert page.all("h1")[0].text == HOSTILE
    assert len(page.all("script")) == 2  # the correlations, and the program of the page
    assert not any(
        "alert" in value for e in page.elements for name, value in e.attributes.items() if name != "aria-label"
    )
    data = json.loads(page.all("script", id="lookup-data")[0].text)
    assert data["names"] == list(hostile.fit.parameters.names)
    assert any(HOSTILE in name for name in data["names"])
    assert any(HOSTILE in e.text for e in page.all("th"))
    assert any(HOSTILE in e.text for e in page.all("h3"))


def test_all_parameters_can_be_found(small: Report, parsed: Parse) -> None:
    """The tables hold every parameter, in the order of the records, with numbers to sort by."""
    page = parsed(render(small))
    assert small.impacts is not None
    table = page.section("impacts")
    names = [e.text for e in page.all("th", scope="row") if "name" in e.attributes.get("class", "")]
    assert names[: len(small.measurement.groups) + 3][-2:] == ["syst", "total"]
    assert all(impact.name in table.text for impact in small.impacts.impacts)
    parameters = page.section("model")
    assert all(name in parameters.text for name in small.fit.parameters.names)
    numbers = [float(e.attributes["data-v"]) for e in page.all("td") if "data-v" in e.attributes]
    assert all(map(math.isfinite, numbers))


def test_an_untrustworthy_fit_says_so_in_words(untrusted: Report, parsed: Parse) -> None:
    """At the top, before anything else, and without a number; data and model before the fit remain."""
    page = parsed(render(untrusted))
    (alarm,) = page.all("p", class_="alarm")
    assert "This result cannot be trusted." in alarm.text
    assert "the Hessian is not positive definite" in alarm.text
    result = page.section("result").text
    assert "±" not in result
    assert page.all("p", class_="statement")[0].text.split() == ["μ", "=", "?"]
    assert not untrusted.trustworthy
    channels = page.section("channels").text
    assert "pre-fit" in channels
    assert "post-fit" not in channels


def test_where_the_input_lay_is_not_said(small: Report, parsed: Parse) -> None:
    """Remarks call the input by its path; page and record have its name alone."""
    assert small.fit.certificate.notices == ()
    notices = ("/home/somebody/<secret>/ws.json: a remark",)
    certificate = replace(small.measurement.certificate, notices=notices)
    told = replace(small, measurement=replace(small.measurement, certificate=certificate))
    told = replace(told, source="/home/somebody/<secret>/ws.json")
    page = parsed(render(told))
    assert "ws.json: a remark." in page.section("certificate").text
    assert "somebody" not in page.source
    assert "somebody" not in json.dumps(told.to_json_dict())


def test_a_missing_limit_is_said(small: Report, parsed: Parse) -> None:
    """Who asked for a limit and got none reads so under the line."""
    assert small.limit is not None
    report = replace(small, limit=replace(small.limit, observed=None))
    assert not report.trustworthy
    page = parsed(render(report))
    (verdict,) = page.all("p", class_="verdict bad")
    assert "the limit was not found" in verdict.text


def test_published_values_have_their_chart(small: Report, parsed: Parse) -> None:
    """Measurements that were combined are drawn, with the combination beside them; names are text there, too."""
    measured = (MeasuredValue("ATLAS γγ", 126.0, 0.4, 0.5), MeasuredValue(HOSTILE, 124.7, 0.3, 0.35))
    combined = replace(small.measurement, value=125.1, total=Uncertainty(0.2, 0.3), unit="GeV")
    report = replace(small, measurement=combined, measured=measured, combinations={"only CMS": combined})
    page = parsed(render(report))
    section = page.section("channels").text
    assert all(name in section for name in ("ATLAS γγ", "only CMS", "Combined", "mu [GeV]"))
    (chart,) = [e for e in page.all("svg", role="img") if "Values with total" in e.attributes["aria-label"]]
    assert "ATLAS γγ 126 ± 0.5" in chart.attributes["aria-label"]


def test_coverage_has_its_verdict(small: Report, parsed: Parse) -> None:
    """Too rarely, as claimed, or too often: in words, with a chart and the numbers."""
    seen = []
    for covered in (5000, 6827, 8000):
        share = covered / 10000
        point = CoveragePoint(1.0, 10000, 0, covered, share, (share - 0.005, share + 0.005))
        record = CoverageRecord("profile", 0.6827, (point, replace(point, truth=2.0)))
        page = parsed(render(replace(small, coverage=(record,), left_out={})))
        assert f"{100 * share:.2f} %" in page.section("coverage").text
        seen.append(page.section("coverage").text)
    words = ("covers too rarely at 2 of 2", "covers as it claims", "covers more often than it claims at 2 of 2")
    assert [word in text for word, text in zip(words, seen, strict=True)] == [True, True, True]


@pytest.mark.slow
def test_a_published_search_fits_on_a_page(likelihoods: Path, parsed: Parse) -> None:
    """With 247 nuisance parameters: all of them in the tables, in less than 5 MB."""
    likelihood, data = infer.read_workspace(likelihoods / "atlas_tttt.json")
    report = build_report(likelihood, data)
    text = render(report)
    assert len(text.encode()) < 5 * MEGABYTES
    page = parsed(text)
    assert report.impacts is not None
    assert len(report.impacts.impacts) == 247
    rows = [e for e in page.all("th", scope="row") if "table" in e.path]
    names = [e.text for e in rows if "name" in e.attributes.get("class", "").split()]
    assert all(names.count(impact.name) >= 2 for impact in report.impacts.impacts)
    assert report.trustworthy


# -- colours ---------------------------------------------------------------------------------------

_STYLE = (files("infer.report") / "templates" / "style.css").read_text(encoding="utf-8")
TEXT, LARGE = 4.5, 3.0
"""Contrasts that WCAG 2.2 wants, level AA, criteria 1.4.3 and 1.4.11: of text, and of marks that one has to see."""
READ = [
    *(("ink", ground) for ground in ("paper", "raised", "good-soft", "bad-soft", "accent-soft")),
    *(("soft", ground) for ground in ("paper", "raised")),
    *((colour, "paper") for colour in ("accent", "good", "bad", "second")),
    *((colour, "raised") for colour in ("accent",)),
    ("good", "good-soft"),
    ("bad", "bad-soft"),
]
SEEN = [(colour, "paper") for colour in ("first", "second", "soft", "bad")]


def palettes() -> list[dict[str, str]]:
    """The colours of the page in all its modes, as the style sheet has them."""
    blocks = re.findall(r":root[^{]*\{([^}]*)\}", _STYLE)
    found = [dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]{6})", block)) for block in blocks]
    return [found[0], *({**found[0], **later} for later in found[1:])]


def contrast(one: str, two: str) -> float:
    """Contrast of two colours, WCAG 2.2: (L1 + 0.05) / (L2 + 0.05) of their relative luminances."""
    light, dark = sorted((luminance(one), luminance(two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance of sRGB, WCAG 2.2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_contrast_is_that_of_the_standard() -> None:
    """Known values: black on white, a colour on itself, and #767676 on white, the greyest text that passes."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#123456", "#123456") == pytest.approx(1.0)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)


@pytest.mark.parametrize("mode", range(4), ids=["light", "dark", "dark-chosen", "print"])
def test_everything_can_be_read(mode: int) -> None:
    """Text and marks stand out from their ground in every mode."""
    colours = palettes()[mode]
    too_faint = [pair for pair in READ if contrast(*(colours[c] for c in pair)) < TEXT]
    too_faint += [pair for pair in SEEN if contrast(*(colours[c] for c in pair)) < LARGE]
    assert too_faint == []


def test_dark_is_dark_whoever_chose_it() -> None:
    """The system's dark mode and the reader's own have the same colours."""
    light, system, chosen, printed = palettes()
    assert system == chosen != light
    assert printed["paper"] == "#ffffff"


def test_classes_of_charts_are_those_of_the_style(small: Report, parsed: Parse) -> None:
    """No mark is drawn in a class that the style sheet does not know, which would make it black."""
    page = parsed(render(small))
    marks = {"line", "rect", "circle", "polygon", "polyline", "text"}
    used = {c for e in page.elements if e.tag in marks for c in e.attributes.get("class", "").split()}
    known = set(re.findall(r"\.([a-z][a-z-]*)", _STYLE))
    assert used <= known
