r"""The one line as HTML: the symbol of the parameter, and its uncertainties one above the other.

The LaTeX of a parameter is read as far as symbols go: letters, Greek letters, sub- and superscripts, ``\mathrm``, bars.
What goes beyond is not guessed at: the parameter's name stands there instead.
"""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from infer.measurement import Measurement
from infer.numerics.rounding import MINUS, TIMES
from infer.statement import Statement, Uncertainty, sides_text

_NAMES = """
alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega
Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega ell times cdot
"""
_GREEK = dict(zip(_NAMES.split(), "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩℓ×·", strict=True))
_TOKEN = re.compile(r"\\[A-Za-z]+|\\[,;: ]|[A-Za-z]|[0-9.+\-=/()*'!,]|[{}_^]|\s+")
_UPRIGHT = ("mathrm", "text", "rm", "mathit", "textrm")
_BARS = ("bar", "overline")
_MACRON = "\N{COMBINING MACRON}"


class _UnreadableError(ValueError):
    """LaTeX beyond symbols."""


def symbol(name: str, latex: str = "") -> Markup:
    """The symbol of a parameter, from its LaTeX where that can be read, else from its name."""
    inner = latex.strip("$ ")
    if inner:
        try:
            return _read(inner)
        except _UnreadableError:
            pass
    head, underscore, tail = name.partition("_")
    if head in _GREEK or (len(head) == 1 and head.isalpha()):
        letter = Markup("<i>{}</i>").format(_GREEK.get(head, head))
        return letter + Markup("<sub>{}</sub>").format(tail) if underscore and tail else letter
    return escape(name)


def _read(latex: str) -> Markup:
    tokens = _TOKEN.findall(latex)
    if "".join(tokens) != latex:
        raise _UnreadableError
    tokens = [token for token in tokens if not token.isspace()]
    found, rest = _sequence(tokens, upright=False)
    if rest:
        raise _UnreadableError
    return found


def _sequence(tokens: list[str], *, upright: bool) -> tuple[Markup, list[str]]:
    """Symbols up to a closing brace or the end."""
    found = Markup()
    while tokens and tokens[0] != "}":
        piece, tokens = _piece(tokens, upright=upright)
        found += piece
    return found, tokens


def _piece(tokens: list[str], *, upright: bool) -> tuple[Markup, list[str]]:
    """One symbol, group, sub- or superscript, and what is left."""
    if not tokens:
        raise _UnreadableError
    first, rest = tokens[0], tokens[1:]
    if first == "{":
        inner, rest = _sequence(rest, upright=upright)
        if not rest:
            raise _UnreadableError
        return inner, rest[1:]
    if first in "_^":
        inner, rest = _piece(rest, upright=upright)
        return Markup("<sub>{}</sub>" if first == "_" else "<sup>{}</sup>").format(inner), rest
    if first.startswith("\\"):
        return _command(first[1:], rest, upright=upright)
    return (Markup("<i>{}</i>") if first.isalpha() and not upright else Markup("{}")).format(first), rest


def _command(name: str, rest: list[str], *, upright: bool) -> tuple[Markup, list[str]]:
    if name in _GREEK:
        return Markup("<i>{}</i>").format(_GREEK[name]), rest
    if name in _UPRIGHT:
        return _piece(rest, upright=name != "mathit")
    if name in _BARS:
        inner, rest = _piece(rest, upright=upright)
        bare = re.sub(r"</?i>", "", str(inner))
        if len(bare) != 1:
            raise _UnreadableError
        return Markup(
            str(inner).replace(bare, bare + _MACRON, 1) if "<i>" not in inner else f"<i>{bare}{_MACRON}</i>"
        ), rest
    if name in ",;: ":
        return Markup(" "), rest
    raise _UnreadableError


def line(measurement: Measurement) -> Markup:
    """The one line of a measurement, without what has to be said in words."""
    statement = measurement.statement
    name = Markup('<span class="symbol">{}</span> <span class="equals">=</span> ').format(
        symbol(measurement.poi, measurement.latex)
    )
    if statement.value is None:
        return name + Markup('<span class="number">?</span>')
    parts = [Markup('<span class="number">{}</span>').format(statement.value.replace("-", MINUS))]
    parts += [_term(u, label, statement) for u, label in statement.terms]
    number = Markup(" ").join(part for part in parts if part)
    if exponent := statement.layout.exponent:
        number = Markup("({}) {} 10<sup>{}</sup>").format(number, TIMES, str(exponent).replace("-", MINUS))
    unit = Markup(' <span class="unit">{}</span>').format(measurement.unit) if measurement.unit else Markup()
    return name + number + unit


def _term(u: Uncertainty, label: str, statement: Statement) -> Markup:
    """One uncertainty: ± where both sides are written alike, else one above the other."""
    down, up = sides_text(u, statement.layout)
    if up is None and down is None:
        return Markup()
    if up == down:
        amount = Markup('<span class="pm">±</span> {}').format(up)
    else:
        sides = [f"+{up}"] * (up is not None) + [f"{MINUS}{down}"] * (down is not None)
        amount = Markup('<span class="sides">{}</span>').format(
            Markup(" ").join(Markup("<span>{}</span>").format(side) for side in sides)
        )
    suffix = Markup(" <small>({})</small>").format(label) if label else Markup()
    return Markup('<span class="term">{}{}</span>').format(amount, suffix)
