r"""Read a JSON file strictly, with errors that say where.

The standard decoder accepts three things that a likelihood must not contain: the literals ``NaN``
and ``Infinity``, which are not JSON, and two equal keys in one object, of which it keeps the last.
They are refused here. The decoder finds them fast but cannot say where, so only when it has failed
a slow walk over the tokens finds line and column. Numbers too large for float64 come out as inf
(that is the decoder's way) and are refused by whoever uses the number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from infer.documents import described, fail
from infer.strict_yaml import SUFFIXES, load_yaml

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|NaN|-?Infinity|[^\s"{}\[\]:,]+', re.DOTALL)
_LITERALS = frozenset({"NaN", "Infinity", "-Infinity"})


class _RefusedError(ValueError):
    """The decoder met something that is not to be accepted."""


def load_document(path: str | Path) -> dict[str, object]:
    """Return the object in the file at `path`, such as a workspace; YAML where its name ends so, JSON elsewhere.

    Raises:
        WorkspaceError: as for `load_json` or `load_yaml`, or the top level is not an object.
    """
    yaml = Path(path).suffix in SUFFIXES
    document = load_yaml(path) if yaml else load_json(path)
    if not isinstance(document, dict):
        problem = f"the top level is {described(document)}, expected an object"
        raise fail(str(path), problem, f"give a workspace, which begins with {'format:' if yaml else repr('{')}")
    return document


def load_json(path: str | Path) -> object:
    """Return what the JSON file at `path` holds.

    Raises:
        WorkspaceError: the file cannot be read, is not JSON in UTF-8, is nested too deeply, or has
            a literal that is not JSON or a key twice in one object.
    """
    source = str(path)
    raw = _bytes(Path(path), source)
    if raw.startswith(b"\x1f\x8b"):
        raise fail(source, "this is a gzip archive", "unpack it and give the JSON file in it")
    try:
        characters = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = f"byte {error.start} is not UTF-8, so this is not a JSON file"
        raise fail(source, problem, "save it as UTF-8 text") from error
    if not characters.strip():
        raise fail(source, "the file is empty", "give a file with a JSON document")
    return _decoded(characters, source)


@contextmanager
def within_depth(place: str) -> Iterator[None]:
    """Turn the exhaustion of Python's stack by a nested document into an error about it.

    Raises:
        WorkspaceError: the code in the block ran out of stack.
    """
    try:
        yield
    except RecursionError as error:
        raise fail(place, "lists and objects are nested too deeply", "flatten it") from error


def _bytes(path: Path, source: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise fail(source, "there is no such file", "check the path") from error
    except IsADirectoryError as error:
        raise fail(source, "this is a directory", "give the path of a file in it") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = getattr(error, "strerror", None) or error
        raise fail(source, f"the file cannot be read ({reason})", "check the path") from error


def _decoded(characters: str, source: str) -> object:
    try:
        with within_depth(source):
            return json.loads(
                characters,
                parse_constant=_refuse_literal,
                object_pairs_hook=_with_distinct_keys,
            )
    except _RefusedError as error:
        offset, problem, remedy = _first_fault(characters)
        raise fail(f"{source}: {_position(characters, offset)}", problem, remedy) from error
    except json.JSONDecodeError as error:
        place = f"{source}: {_position(characters, error.pos)}"
        if error.msg.startswith("Unterminated") or not characters[error.pos :].strip():
            problem = f"the document ends in the middle ({error.msg})"
            raise fail(place, problem, "get the file again, whole") from error
        raise fail(place, f"this is not JSON ({error.msg})", "correct the file") from error
    except ValueError as error:  # Python's limit on the digits of an integer
        problem = "an integer has thousands of digits"
        raise fail(source, problem, "correct the number") from error


def _refuse_literal(literal: str) -> object:
    raise _RefusedError(literal)


def _with_distinct_keys(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError
    return found


def _first_fault(characters: str) -> tuple[int, str, str]:
    """Return offset, problem and remedy of the first non-JSON literal or repeated key.

    The text is known to be JSON up to there.
    """
    keys: list[set[str]] = []  # of the open objects and lists, outermost first
    before, start = "", 0  # the token before this one, and where it begins
    for token in _TOKEN.finditer(characters):
        word = token.group()
        if word in _LITERALS:
            problem = f"{word} is not a JSON number"
            return token.start(), problem, "give a finite number"
        if word in "{[":
            keys.append(set())
        elif word in "}]":
            keys.pop()
        elif word == ":":
            key = json.loads(before)
            if key in keys[-1]:
                problem = f"the key {key!r} stands twice in one object"
                return start, problem, "remove or rename one of the two"
            keys[-1].add(key)
        before, start = word, token.start()
    raise AssertionError("the decoder refused a text without a fault")


def _position(characters: str, offset: int) -> str:
    """Return line and column of an offset, both counted from 1."""
    line = characters.count("\n", 0, offset) + 1
    column = offset - characters.rfind("\n", 0, offset)
    return f"line {line}, column {column}"
