"""Reports of small likelihoods, made once, and a parser that sees a page as a reader does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from scipy.special import ndtri

import infer
from infer.report import Questions, Report, build_report
from tests.io.broken import valid_workspace
from tests.io.test_parametric_json import VALID as PARAMETRIC
from tests.test_api import write

WORKSPACES = Path(__file__).parents[2] / "workspaces"
HOSTILE = '<script>alert(1)</script>" onload="alert(2)'
"""A name that would run a program if it were not escaped."""

_VOID = {"meta", "link", "input", "br"}


@dataclass
class Element:
    """An element of a page.

    Attributes:
        tag: Its name.
        attributes: Those that it has.
        path: Names of the elements around it.
        text: What stands in it.
    """

    tag: str
    attributes: dict[str, str]
    path: tuple[str, ...]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """A page, element by element; elements that are not closed in order are refused."""

    source: str
    elements: list[Element] = field(default_factory=list)
    _open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.feed(self.source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names)
        around = tuple(element.tag for element in self._open)
        element = Element(tag, {name: value or "" for name, value in attrs}, around)
        self.elements.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element that closes itself."""
        around = tuple(element.tag for element in self._open)
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}, around))

    def handle_endtag(self, tag: str) -> None:
        """An element ends: the one that began last."""
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        """Text belongs to every element around it."""
        for element in self._open:
            element.text += data

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Elements of a name, with attributes; a trailing underscore keeps ``class`` from being a keyword."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [e for e in self.elements if e.tag == tag and wanted.items() <= e.attributes.items()]

    def section(self, key: str) -> Element:
        """One section."""
        (found,) = self.all("section", id=key)
        return found

    @property
    def sections(self) -> list[str]:
        """Keys of the sections that there are."""
        return [e.attributes["id"] for e in self.all("section")]


def reported(file: str, **questions: Any) -> Report:
    """The report of an example."""
    likelihood, data = infer.read_workspace(WORKSPACES / file)
    with jax.numpy_rank_promotion("allow"):  # of the models, not of the reports
        return build_report(likelihood, data, questions=Questions(**questions))


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Of the small valid workspace, with a limit and a significance."""
    path = write(tmp_path_factory.mktemp("small") / "ws.json", valid_workspace())
    questions = Questions(limit=0.95, significance=True)
    return build_report(*infer.read_workspace(path), questions=questions)


@pytest.fixture(scope="session")
def peak(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Of events that are not binned: a peak as it is expected, on a flat background."""
    folder = tmp_path_factory.mktemp("peak")
    resonance = 91.0 + 1.5 * ndtri((np.arange(40) + 0.5) / 40)
    masses = np.concatenate([resonance, np.linspace(61.0, 119.0, 12)])
    (folder / "events.csv").write_text("\n".join(["mass", *map(str, masses)]) + "\n", encoding="utf-8")
    return build_report(*infer.read_workspace(write(folder / "peak.json", PARAMETRIC)))


@pytest.fixture(scope="session")
def combined() -> Report:
    """Of a combination of published measurements."""
    return reported("ttbar_xsec.yaml")


@pytest.fixture(scope="session")
def unmeasured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose data do not tell two parameters apart."""
    document = valid_workspace()
    for channel in document["channels"]:
        for sample in channel["samples"]:
            if any(m["name"] == "mu" for m in sample["modifiers"]):
                sample["modifiers"].append({"name": "twin", "type": "normfactor", "data": None})
    return write(tmp_path_factory.mktemp("unmeasured") / "ws.json", document)


@pytest.fixture(scope="session")
def untrusted(unmeasured: Path) -> Report:
    """Of a fit that has no certificate."""
    return build_report(*infer.read_workspace(unmeasured))


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Of a file whose channels, samples and modifiers have names that would run a program."""
    document = valid_workspace()
    for number, channel in enumerate(document["channels"]):
        old, channel["name"] = channel["name"], f"{channel['name']}{HOSTILE}"
        document["observations"][number]["name"] = channel["name"]
        assert old != channel["name"]
        for sample in channel["samples"]:
            sample["name"] += HOSTILE
            for modifier in sample["modifiers"]:
                if modifier["type"] in ("normsys", "histosys", "staterror"):
                    modifier["name"] += HOSTILE
    path = write(tmp_path_factory.mktemp("hostile") / "ws.json", document)
    likelihood, data = infer.read_workspace(path)
    return build_report(likelihood, data, questions=Questions(title=HOSTILE, provenance={"input": HOSTILE}))


@pytest.fixture(scope="session")
def parsed() -> Callable[[str], Page]:
    """A function that parses a page."""
    return Page
