"""Checked access to decoded JSON: accessors return a value of a known type or raise one sentence.

The sentence is always ``place: problem; remedy``. ``place`` is the path of names that leads to the
value as a physicist would say it (``ws.json: channel 'SR', sample 'ttbar'``), ``field`` is the key
below that place (``hi_data``, ``data[2]``; entries count from 0). Values are shortened and
unprintable characters escaped, so that a message is one line whatever the document holds.

Numbers must be finite and at most `LIMIT` in magnitude: a yield, a bound or an uncertainty beyond
that is a slip of the pen, and float64 no longer resolves single events there.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infer.errors import WorkspaceError

LIMIT = 1e15

_PLAIN = frozenset({int, float})
_NOTHING: frozenset[str] = frozenset()


def fail(place: str, problem: str, remedy: str) -> WorkspaceError:
    """Return (not raise) the error for `place`: one line, the problem first, then what to do."""
    message = f"{place}: {problem}; {remedy}"
    if not message.isprintable():
        message = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
    return WorkspaceError(message)


def listed(names: Iterable[object]) -> str:
    """Return the names quoted and separated by commas, in the order given."""
    return ", ".join(repr(name) for name in names)


def described(value: object) -> str:
    """Return a short one-line description of a decoded JSON value, for an error message."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f"the string {reprlib.repr(value)}"
    if isinstance(value, int) and abs(value) > LIMIT:
        return f"an integer of about 10^{round(value.bit_length() * 0.30103)}"
    if isinstance(value, (int, float)):
        return f"the number {value:.6g}"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}" if value else "an empty list"
    return "an object" if isinstance(value, dict) else f"a Python {type(value).__name__}"


def mapping(
    value: object,
    place: str,
    field: str,
    required: frozenset[str],
    optional: frozenset[str] = _NOTHING,
) -> Mapping[str, object]:
    """Return `value` as an object that has all `required` keys and no key outside both sets.

    Raises:
        WorkspaceError: it is not an object, lacks a key, or has an unknown one.
    """
    if not isinstance(value, dict):
        keys = listed(sorted(required))
        raise fail(place, f"{field} is {described(value)}, expected an object", f"give it {keys}")
    if value.keys() == required:
        return value
    unknown = [key for key in value if key not in required and key not in optional]
    missing = sorted(required - value.keys())
    lacks = f"lacks {'the key ' if len(missing) == 1 else ''}{listed(missing)}"
    if unknown:
        allowed = sorted(required | optional)
        near = difflib.get_close_matches(str(unknown[0]), missing or allowed, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        problem = f"{field} has the unknown key {reprlib.repr(unknown[0])}"
        problem += f" and {lacks}" if missing else ""
        raise fail(place, problem, f"{hint}the allowed keys are {listed(allowed)}")
    if missing:
        raise fail(place, f"{field} {lacks}", "add what is missing")
    return value


def sequence(value: object, place: str, field: str, *, empty: bool = False) -> Sequence[object]:
    """Return `value` as a list, which must have at least one entry unless `empty` is true.

    Raises:
        WorkspaceError: it is not a list, or has no entries.
    """
    if not isinstance(value, (list, tuple)):
        raise fail(place, f"{field} is {described(value)}, expected a list", "put it in [ ]")
    if not value and not empty:
        raise fail(place, f"{field} is an empty list", "it needs at least one entry")
    return value


def text(value: object, place: str, field: str, *, empty: bool = False) -> str:
    """Return `value` as a printable string, which must not be empty unless `empty` is true.

    Raises:
        WorkspaceError: it is not a string, is empty, or has characters that cannot be printed.
    """
    if not isinstance(value, str):
        raise fail(place, f"{field} is {described(value)}, expected a string", 'quote it with " "')
    if not value and not empty:
        raise fail(place, f"{field} is an empty string", "give it a name")
    if not value.isprintable():
        problem = f"{field} is {described(value)}, which has unprintable characters"
        raise fail(place, problem, "use letters, digits and punctuation")
    return value


def flag(value: object, place: str, field: str) -> bool:
    """Return `value` as a boolean.

    Raises:
        WorkspaceError: it is anything but true or false.
    """
    if not isinstance(value, bool):
        problem = f"{field} is {described(value)}, expected true or false"
        raise fail(place, problem, "write one of the two, without quotes")
    return value


def number(value: object, place: str, field: str) -> float:
    """Return `value` as a finite float of magnitude at most `LIMIT`.

    Raises:
        WorkspaceError: it is not a number (true and false are not), not finite, or beyond `LIMIT`.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        problem = f"{field} is {described(value)}, expected a number"
        raise fail(place, problem, "write a plain number, without quotes")
    if not -LIMIT <= value <= LIMIT:
        problem = f"{field} is {described(value)}, expected a finite number of at most {LIMIT:.0e}"
        raise fail(place, problem, "correct the number")
    return float(value)


def array(
    value: object,
    place: str,
    field: str,
    *,
    length: int | None = None,
    of: str = "",
) -> NDArray[np.float64]:
    """Return `value` as a read-only float64 array with shape (n,), n >= 1, of finite numbers.

    A `length` other than None is the number of entries wanted; `of` says in the message what that
    number counts ("the sample's bins").

    Raises:
        WorkspaceError: it is not a list of numbers, has the wrong length, or an entry that `number`
            refuses; the message names the entry.
    """
    entries = sequence(value, place, field)
    if length is not None and len(entries) != length:
        problem = f"{field} has {len(entries)} entries, expected {length} ({of})"
        raise fail(place, problem, f"give {length} {'number' if length == 1 else 'numbers'}")
    if not _plain_and_finite(entries):
        for index, entry in enumerate(entries):
            number(entry, place, f"{field}[{index}]")
    result = np.array(entries, dtype=np.float64)
    result.flags.writeable = False
    return result


def distinct(names: Sequence[str], place: str, what: str) -> None:
    """Check that no name stands twice; `what` says what is named ("channel").

    Raises:
        WorkspaceError: naming the first repeated name.
    """
    if len(set(names)) == len(names):
        return
    twice = next(name for index, name in enumerate(names) if name in names[:index])
    raise fail(place, f"the {what} {twice!r} stands twice", "rename or remove one of the two")


def _plain_and_finite(entries: Sequence[Any]) -> bool:
    """Whether all entries are plain JSON numbers within `LIMIT`: the fast road of `array`.

    NaN fails the comparison, and integers of any size are compared exactly.
    """
    return _PLAIN.issuperset(map(type, entries)) and all(-LIMIT <= x <= LIMIT for x in entries)
