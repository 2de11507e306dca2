"""Names that measurements are called by: checks with one sentence each."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from infer.errors import ParameterError


def require_distinct(names: Sequence[str], what: str) -> None:
    """Check that no name stands twice.

    Raises:
        ParameterError: one does; ``what`` says what is named.
    """
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise ParameterError(f"expected different {what} names, got {twice[0]!r} twice; rename one of them.")


def require_some(names: Sequence[str], what: str) -> None:
    """Check that there are measurements.

    Raises:
        ParameterError: there are none; ``what`` says where.
    """
    if not names:
        raise ParameterError(f"expected {what} to have measurements, got none; name some.")


def require_members(members: Sequence[str], names: Sequence[str], what: str) -> None:
    """Check the measurements of a partial combination.

    Raises:
        ParameterError: there are none, or one is unknown or stands twice; ``what`` says where.
    """
    require_distinct(members, f"measurement (in {what})")
    require_some(members, what)
    for name in members:
        if name not in names:
            raise ParameterError(f"expected {what} to name measurements, got {name!r}; {hint(name, names)}")


def hint(name: str, known: Iterable[str]) -> str:
    """What to do about an unknown name."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"the known ones are {list(known)}."
