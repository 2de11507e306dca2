"""The one line: what may be said about a value with its uncertainties, as plain text and as LaTeX.

Saying and writing are two steps. :func:`state` decides the content: whether the value may be quoted
at all, which uncertainties go with it, and what has to be said in words (an interval that ends at a
bound, an end that does not exist, an unusual confidence level). :func:`text_line` and
:func:`latex_line` only write that content down, so the two always say the same.

Rounding follows the Particle Data Group, see :mod:`infer.numerics.rounding`: the total uncertainty
decides, and the value and the parts follow it. A part that would be rounded to zero is written as an
upper bound (``± <0.05``); a part written as a bare ``0`` is exactly zero. The end of a one-sided
interval is like a limit, and keeps at least two digits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from infer.errors import InputError
from infer.numerics.rounding import MAX_DIGITS, MINUS, TIMES, Layout, choose_layout, leading_exponent, power_of_ten

STANDARD_CL = 0.6827
CL_TOLERANCE = 0.005  # 0.68 and 0.6827 are both called one standard deviation


@dataclass(frozen=True)
class Uncertainty:
    """The two sides of an uncertainty, as magnitudes, in the unit of the measurement.

    A magnitude that is not finite means the same as None, that no crossing was found, and is stored
    as None.

    Attributes:
        down: Distance from the value down to the lower end, at least 0; None without a lower end.
        up: Distance from the value up to the upper end, at least 0; None without an upper end.

    Raises:
        InputError: If a side is negative.
    """

    down: float | None
    up: float | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "down", _magnitude(self.down, side="down"))
        object.__setattr__(self, "up", _magnitude(self.up, side="up"))

    @property
    def complete(self) -> bool:
        """Whether both sides exist."""
        return self.down is not None and self.up is not None

    @property
    def size(self) -> float | None:
        """Root mean square of the sides that exist, whose square is the variance; None if there is none."""
        sides = [side for side in (self.down, self.up) if side is not None]
        return math.hypot(*sides) / math.sqrt(len(sides)) if sides else None


@dataclass(frozen=True)
class Statement:
    """The content of the one line.

    Attributes:
        value: The value as text, with an ASCII minus sign; None if it must not be quoted.
        layout: Decimals and common power of ten of all numbers.
        terms: Uncertainties to quote, each with its label; the label of the total is empty.
        remarks: What has to be said in words.
    """

    value: str | None
    layout: Layout
    terms: tuple[tuple[Uncertainty, str], ...]
    remarks: tuple[str, ...]


def state(
    value: float,
    *,
    total: Uncertainty,
    stat: Uncertainty,
    syst: Uncertainty,
    one_sided: bool,
    cl: float,
    objections: tuple[str, ...],
) -> Statement:
    """Decide what may be said about a value.

    Args:
        value: Best fit.
        total: Total uncertainty.
        stat: Statistical part.
        syst: Systematic part.
        one_sided: The interval ends at a bound of the parameter on one side.
        cl: Confidence level of the uncertainties.
        objections: Reasons not to quote the value, see :attr:`infer.certificate.Certificate`.

    Returns:
        The statement; its value is None if there are objections or ``value`` is not finite.
    """
    layout = result_layout(value, total)
    if not objections and not math.isfinite(value):
        objections = ("the value is not a finite number",)
    if objections:
        return Statement(None, layout, (), objections)
    layout = _with_two_digits(layout, total) if one_sided else layout
    terms, remarks = _terms(total, stat, syst, one_sided=one_sided)
    text = "0" if one_sided and value == 0 else layout.text(value)
    return Statement(text, layout, terms, (*remarks, *_level_remark(cl)))


def result_layout(value: float, total: Uncertainty) -> Layout:
    """The layout of all numbers of a result, decided by its total uncertainty."""
    return choose_layout(value if math.isfinite(value) else 0.0, (total.down, total.up))


def sides_text(u: Uncertainty, layout: Layout) -> tuple[str | None, str | None]:
    """The two sides of an uncertainty as text without signs, down first; None for a missing side."""
    down = None if u.down is None else amount_text(u.down, layout)
    up = None if u.up is None else amount_text(u.up, layout)
    return down, up


def amount_text(magnitude: float, layout: Layout) -> str:
    """Write a magnitude: exact zero as ``0``, one too small for the layout as an upper bound."""
    if magnitude == 0:
        return "0"
    return f"<{layout.half_unit}" if layout.vanishes(magnitude) else layout.text(magnitude)


def text_line(said: Statement, *, name: str, unit: str) -> str:
    """Write a statement as one line of plain text.

    Args:
        said: The statement.
        name: Name of the quantity.
        unit: Its unit; empty for none.
    """
    words = f" ({'; '.join(said.remarks)})" if said.remarks else ""
    if said.value is None:
        return f"{name} = ?{words}"
    terms = [_text_term(u, label, said.layout) for u, label in said.terms]
    number = " ".join(filter(None, [said.value.replace("-", MINUS), *terms]))
    if said.layout.exponent:
        number = f"({number}) {TIMES} {power_of_ten(said.layout.exponent)}"
    return f"{name} = {number}{f' {unit}' if unit else ''}{words}"


def latex_line(said: Statement, *, symbol: str, unit: str) -> str:
    """Write a statement as LaTeX: mathematics between dollars, then the remarks as text.

    Args:
        said: The statement.
        symbol: Symbol of the quantity, LaTeX math without dollars; see :func:`latex_name`.
        unit: Its unit; one that holds a LaTeX command already is taken as it is. Empty for none.
    """
    words = f" ({_latex_escape('; '.join(said.remarks))})" if said.remarks else ""
    if said.value is None:
        return f"${symbol} = {{?}}${words}"
    number = said.value + "".join(_latex_term(u, label, said.layout) for u, label in said.terms)
    if said.layout.exponent:
        number = rf"({number}) \times 10^{{{said.layout.exponent}}}"
    return f"${symbol} = {number}{_latex_unit(unit)}${words}"


def latex_name(name: str) -> str:
    r"""A plain name as a symbol in LaTeX math: ``mu_SIG`` becomes ``\mathrm{mu\_SIG}``."""
    return rf"\mathrm{{{_latex_escape(name)}}}"


# -- content ---------------------------------------------------------------------------------------


def _magnitude(magnitude: float | None, *, side: str) -> float | None:
    """Check one side of an uncertainty; None for what is not finite."""
    if magnitude is None or not math.isfinite(magnitude):
        return None
    if magnitude < 0:
        raise InputError(f"expected '{side}' to be at least 0, got {magnitude!r}: drop its sign")
    return float(magnitude)


def _terms(
    total: Uncertainty, stat: Uncertainty, syst: Uncertainty, *, one_sided: bool
) -> tuple[tuple[tuple[Uncertainty, str], ...], tuple[str, ...]]:
    """The uncertainties to quote, and what has to be said about them in words."""
    if one_sided:
        outward = Uncertainty(total.down or None, total.up or None)
        return ((outward, ""),), (f"one-sided: {_which_bound(outward)}",)
    if not total.complete:
        return ((total, ""),), (_missing_end(total),)
    if not (stat.complete and syst.complete):
        return ((total, ""),), ("not split into stat and syst",)
    return ((stat, "stat"), (syst, "syst")), ()


def _with_two_digits(layout: Layout, u: Uncertainty) -> Layout:
    """The layout with as many decimals as the smallest side that is not zero needs for two digits."""
    sides = [side for side in (u.down, u.up) if side]
    if not sides:
        return layout
    decimals = 1 - leading_exponent(min(sides)) + layout.exponent
    return Layout(max(layout.decimals, min(decimals, MAX_DIGITS - 1)), layout.exponent)


def _which_bound(outward: Uncertainty) -> str:
    """Say at which bound a one-sided interval ends, judging by the side that it has."""
    if outward.complete:
        return "the interval is cut off at a bound"
    if outward.up is not None:
        return "the best fit is at its lower bound"
    if outward.down is not None:
        return "the best fit is at its upper bound"
    return "the best fit is at a bound, and the interval has no other end"


def _missing_end(total: Uncertainty) -> str:
    """Say which end an interval lacks."""
    if total.down is None and total.up is None:
        return "no interval: neither end was found"
    return f"no {'lower' if total.down is None else 'upper'} end was found"


def _level_remark(cl: float) -> tuple[str, ...]:
    """A remark on the confidence level, unless it is the customary one."""
    return () if abs(cl - STANDARD_CL) < CL_TOLERANCE else (f"{100 * cl:.4g} % CL",)


# -- notation --------------------------------------------------------------------------------------


def _text_term(u: Uncertainty, label: str, layout: Layout) -> str:
    """One uncertainty as plain text: symmetric where both sides are written alike."""
    down, up = sides_text(u, layout)
    signed = [f"+{up}"] * (up is not None) + [f"{MINUS}{down}"] * (down is not None)
    sides = f"± {up}" if up is not None and up == down else " ".join(signed)
    return f"{sides} ({label})" if label else sides


def _latex_term(u: Uncertainty, label: str, layout: Layout) -> str:
    """One uncertainty as LaTeX math; unequal sides get an empty base, not the label before them."""
    down, up = (side and side.replace("<", "{<}") for side in sides_text(u, layout))
    name = rf"\,\mathrm{{({label})}}" if label else ""
    if up is not None and up == down:
        return rf" \pm {up}{name}"
    upper = f"^{{+{up}}}" if up is not None else ""
    lower = f"_{{-{down}}}" if down is not None else ""
    return rf"\,{{}}{upper}{lower}{name}" if upper or lower else ""


def _latex_unit(unit: str) -> str:
    """A unit in LaTeX math, with the space before it."""
    if not unit:
        return ""
    return f"~{unit}" if "\\" in unit else rf"~\mathrm{{{unit.replace('%', chr(92) + '%')}}}"


_ESCAPES = str.maketrans(
    {
        **{character: f"\\{character}" for character in "_%&#${}"},
        "\\": r"\textbackslash{}",
        "<": r"\ensuremath{<}",
        ">": r"\ensuremath{>}",
    }
)


def _latex_escape(text: str) -> str:
    """Plain text for LaTeX: characters with a meaning there are escaped."""
    return text.translate(_ESCAPES)
