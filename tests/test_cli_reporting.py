"""`infer report`: the folder that it makes, its schema, its exit code, and what is said of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.io.broken import valid_workspace
from tests.report.conftest import Page
from tests.runner import Run
from tests.test_api import write

KEYS = {
    "title",
    "text",
    "trustworthy",
    "objections",
    "measurement",
    "impacts",
    "scan",
    "goodness",
    "coverage",
    "limit",
    "significance",
    "inspection",
    "left_out",
    "provenance",
    "seconds",
}

POINT = {"truth": 1.0, "n": 100, "n_failed": 1, "covered": 70, "coverage": 0.7, "clopper_pearson": [0.65, 0.75]}


@pytest.fixture
def tested(tmp_path: Path) -> Path:
    """What a coverage test wrote."""
    entry = {"method": "profile", "cl": 0.6827, "points": [POINT]}
    return write(tmp_path / "coverage.json", {"poi": "mu", **entry, "results": [entry]})


def test_report_as_json(run: Run, small: Path, tested: Path, tmp_path: Path) -> None:
    """One object; the same in the folder beside the page; nothing of where the files lie; no figures if unwanted."""
    out = tmp_path / "out"
    options = ("--limit", "--coverage", tested, "--title", "A search", "--no-figures", "--fix", "lumi=1")
    ran = run("report", small, "--out", out, *options, "--json")
    assert ran.code == 0
    record = ran.json
    assert set(record) == KEYS | {"files"}
    assert record["files"] == ["index.html", "result.json"]
    assert sorted(path.name for path in out.iterdir()) == record["files"]
    stored = json.loads((out / "result.json").read_text())
    assert stored == {key: value for key, value in record.items() if key != "files"}
    assert record["text"] == record["measurement"]["text"]
    assert record["limit"]["observed"] > 0.0
    assert record["significance"] is None
    assert record["coverage"][0]["points"][0]["covered"] == 70
    page = Page((out / "index.html").read_text(encoding="utf-8"))
    assert page.all("title")[0].text == "A search"
    assert "70.00 %" in page.section("coverage").text
    provenance = record["provenance"]
    assert provenance["command"].startswith(
        "infer report ws.json --fix lumi=1 --out out --coverage coverage.json --limit"
    )
    assert provenance["input"] == "ws.json"
    assert provenance["digest"].startswith("ws.json sha256:")
    assert str(tmp_path) not in page.source + json.dumps(record)


@pytest.mark.slow
def test_report_with_figures(run: Run, small: Path, tmp_path: Path) -> None:
    """Figures for papers, in both formats, drawn by another process; the text output names the page."""
    ran = run("report", small, "--out", tmp_path / "out")
    assert ran.code == 0
    assert ran.out.splitlines()[1] == f"Page: {tmp_path / 'out' / 'index.html'}"
    names = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    stems = {"budget", "profile", "impacts", "correlations", "yields_SR", "yields_CR"}
    assert names == {f"{stem}.{suffix}" for stem in stems for suffix in ("png", "pdf")}


def test_equal_input_makes_equal_pages(run: Run, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a given day, the page depends on nothing but the input."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    pages = []
    for name in ("one", "two"):
        assert run("report", small, "--out", tmp_path / name / "out", "--no-figures").code == 0
        pages.append((tmp_path / name / "out" / "index.html").read_text(encoding="utf-8"))
    assert pages[0] == pages[1]
    assert "1970-01-02" in pages[0]


def test_an_untrustworthy_fit_has_exit_code_1(run: Run, tmp_path: Path) -> None:
    """The page is written and says so; no number is quoted."""
    document = valid_workspace()
    twin = {"name": "twin", "type": "normfactor", "data": None}
    document["channels"][0]["samples"][0]["modifiers"].append(twin)
    ran = run("report", write(tmp_path / "ws.json", document), "--out", tmp_path / "out", "--json")
    assert ran.code == 1
    assert ran.json["trustworthy"] is False
    assert ran.json["files"] == ["index.html", "result.json"]
    assert "This result cannot be trusted." in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_hidden_data_stay_hidden(run: Run, small: Path, tmp_path: Path) -> None:
    """Expected data in the place of the observed ones: the page says so first, and counts nothing that was observed."""
    out = tmp_path / "out"
    assert run("report", small, "--out", out, "--no-figures", "--blind-data").code == 0
    page = Page((out / "index.html").read_text(encoding="utf-8"))
    assert "Blinded: not the observed data" in page.all("p", class_="alarm")[0].text
    written = page.source + (out / "result.json").read_text()
    observed = valid_workspace()["observations"]
    assert all(str(int(sum(channel["data"]))) not in page.section("channels").text for channel in observed)
    assert str(observed[0]["data"]) not in written
    assert "templates" not in page.section("findings").text


def test_secret_offsets_are_refused(run: Run, small: Path, tmp_path: Path) -> None:
    """Data beside a model give an offset away."""
    options = ("--blind-offset", "xyzzy", "--blind-width", "1")
    assert "does not go with infer report" in run("report", small, "--out", tmp_path, *options).complaint


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"poi": "other", "results": [{"method": "profile", "cl": 0.68, "points": []}]}, "is an empty list"),
        ({"poi": "mu"}, "it has no coverage test"),
        ({"results": [{"method": "profile", "cl": 0.68, "points": [{"truth": 1}]}]}, "expected a tested truth"),
        ({"results": [{"method": "profile", "cl": "high", "points": [POINT]}]}, "expected a number"),
        ({"results": [{"method": "profile"}]}, "lacks"),
    ],
)
def test_bad_coverage(run: Run, small: Path, tmp_path: Path, content: object, complaint: str) -> None:
    """One sentence that says what was expected, what came, and what to do."""
    file = write(tmp_path / "coverage.json", content)
    said = run("report", small, "--out", tmp_path / "out", "--coverage", file).complaint
    assert complaint in said
    assert "coverage.json" in said


def test_coverage_of_something_else(run: Run, small: Path, tested: Path, tmp_path: Path) -> None:
    """A test of another parameter is no evidence."""
    said = run("report", small, "--out", tmp_path / "out", "--coverage", tested, "--poi", "tt").complaint
    assert "is about 'mu', the report about 'tt'" in said


def test_bad_folder(run: Run, small: Path, tmp_path: Path) -> None:
    """A folder that cannot be made is refused before anything is computed; one has to be given."""
    (tmp_path / "file").write_text("")
    assert "cannot write there" in run("report", small, "--out", tmp_path / "file" / "out").complaint
    assert "Missing option '--out'" in run("report", small).complaint
