"""Read an XML file strictly: elements that know their line, and no entities.

A document type may be named, since HistFactory's files begin with one, but it is not read; a document that declares
entities is refused, whether they grow without bounds or read other files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from infer.documents import LIMIT, fail, listed

MAX_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """An element.

    Attributes:
        tag: its name.
        attributes: by name.
        place: file and line, for messages.
        children: elements in it, in order.
        texts: pieces of the text directly in it.
    """

    tag: str
    attributes: Mapping[str, str]
    place: str
    children: list[Node] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text directly in it, without the white space around it."""
        return "".join(self.texts).strip()

    def all(self, tag: str) -> Iterator[Node]:
        """The elements of a name that are directly in it."""
        return (child for child in self.children if child.tag == tag)

    def required(self, name: str) -> str:
        """An attribute that must be there and not be empty.

        Raises:
            WorkspaceError: it is not.
        """
        value = self.attributes.get(name, "").strip()
        if not value:
            raise fail(self.place, f"<{self.tag}> lacks the attribute {name!r}", "add it")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """An attribute that is a finite number; without a default it must be there.

        Raises:
            WorkspaceError: it is not.
        """
        if default is not None and name not in self.attributes:
            return default
        text = self.required(name)
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not -LIMIT <= value <= LIMIT:
            raise fail(self.place, f"{name} of <{self.tag}> is {text[:40]!r}, expected a number", "correct it")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """An attribute that is True or False.

        Raises:
            WorkspaceError: it is something else.
        """
        text = self.attributes.get(name)
        if text is None:
            return default
        if text.strip().lower() not in ("true", "false"):
            raise fail(self.place, f"{name} of <{self.tag}> is {text[:40]!r}, expected True or False", "correct it")
        return text.strip().lower() == "true"

    def only(self, known: frozenset[str]) -> None:
        """Check that there are no other elements in it.

        Raises:
            WorkspaceError: there are.
        """
        for child in self.children:
            if child.tag not in known:
                problem = f"<{child.tag}> is unknown inside <{self.tag}>"
                raise fail(child.place, problem, f"the known elements are {listed(sorted(known))}")


def load_xml(path: Path) -> Node:
    """Return the root element of an XML file.

    Raises:
        WorkspaceError: the file cannot be read, is no XML, or declares entities.
    """
    raw = _bytes(path)
    root: list[Node] = []
    open_: list[Node] = []
    parser = expat.ParserCreate()

    def place() -> str:
        return f"{path}, line {parser.CurrentLineNumber}"

    def start(tag: str, attributes: dict[str, str]) -> None:
        node = Node(tag, attributes, place())
        (open_[-1].children if open_ else root).append(node)
        open_.append(node)

    def text(piece: str) -> None:
        open_[-1].texts.append(piece)

    def refuse(name: str, *_rest: Any) -> None:
        raise fail(place(), f"the entity {name[:40]!r} is declared", "write out what it stands for")

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _tag: open_.pop()
    parser.CharacterDataHandler = text
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(raw, True)
    except expat.ExpatError as error:
        problem = f"this is not XML ({expat.errors.messages[error.code]})"
        raise fail(f"{path}, line {error.lineno}", problem, "correct the file") from None
    return root[0]


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            problem = f"the file has more than {MAX_BYTES // 2**20} MiB, which no HistFactory XML has"
            raise fail(str(path), problem, "give the XML file; histograms belong into ROOT files")
        return path.read_bytes()
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else f"it cannot be read ({error})"
        raise fail(str(path), reason, "check the path") from None
