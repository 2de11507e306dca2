"""Rounding of numbers with uncertainties, by the rule of the Particle Data Group.

**The rule** (Review of Particle Physics, Introduction, section 5.3). Look at the three highest-order digits of the
uncertainty. Between 100 and 354: keep two digits. Between 355 and 949: keep one. Between 950 and 999: round up to
1000 and keep two. The value is given to the decimal place of the uncertainty. So 0.827 ± 0.119 becomes 0.83 ± 0.12,
and 0.827 ± 0.367 becomes 0.8 ± 0.4. The rule wastes no digits and never rounds an uncertainty by more than 13 %.

**Several uncertainties.** The rule fixes the number of decimals from *one* number, so one has to be chosen for a
result with several. Here it is the total uncertainty, because it says how well the value is known, and the value and
every part are given to that same decimal place; where the two sides of the total differ, the smaller one decides, so
that it is not rounded away. See :func:`choose_layout`.

**Numerical choices.** Digits are those of ``repr``, the shortest decimal number that means the same float: 0.355 has
the digits 355, although the binary number is a little smaller. "The three highest-order digits" are cut off, not
rounded: 0.3549 has the digits 354. Ties are rounded away from zero, for negative values as for positive ones. Every
function takes and returns Python scalars.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal

from infer.errors import InputError

MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

SMALLEST_PLAIN_EXPONENT = -3
LARGEST_PLAIN_EXPONENT = 5
MAX_DIGITS = 15
"""Digits that a float64 always holds; a value is never printed with more."""

EXACT_DIGITS = 6
"""Digits of a value that comes without an uncertainty to round it by."""

_EXACT = Context(prec=2000, rounding=ROUND_HALF_UP)  # more digits than any float64 has: nothing is lost


@dataclass(frozen=True)
class Layout:
    """How the numbers of one result are written: a common power of ten and a common number of decimals.

    Attributes:
        decimals: Number of digits kept after the decimal point, counted *after* division by the power of ten.
            Negative numbers round to tens, hundreds, and so on.
        exponent: The common power of ten; 0 for plain notation.
    """

    decimals: int
    exponent: int = 0

    def round(self, x: float) -> Decimal:
        """Round ``x`` to this layout, in units of the power of ten; the unit in the last place is 10^-decimals."""
        return round_decimals(_decimal(x).scaleb(-self.exponent, _EXACT), self.decimals)

    def text(self, x: float) -> str:
        """Write ``x`` in this layout, without the power of ten and with an ASCII minus sign if it is negative.

        Zero has no sign: a value that rounds to zero from below is written as ``0.00``.
        """
        rounded = self.round(x)
        return f"{abs(rounded) if rounded == 0 else rounded:f}"

    def vanishes(self, x: float) -> bool:
        """Whether ``x`` is not zero but would be written as zero."""
        return x != 0 and self.round(x) == 0

    @property
    def half_unit(self) -> str:
        """Half a unit in the last place, as text: what a number that vanishes is smaller than."""
        return f"{Decimal(5).scaleb(-self.decimals - 1):f}"


def leading_exponent(x: float) -> int:
    """The power of ten of the first digit of ``x``: 2 for 125.09, -2 for 0.024.

    Raises:
        InputError: If ``x`` is zero or not finite.
    """
    if x == 0 or not math.isfinite(x):
        raise InputError(f"expected a finite number other than zero, got {x!r}: it has no leading digit")
    return _decimal(x).adjusted()


def pdg_decimals(uncertainty: float) -> int:
    """Number of decimals to which the PDG rule rounds ``uncertainty`` (negative: tens, hundreds, ...).

    Raises:
        InputError: If ``uncertainty`` is not a positive finite number.
    """
    if not (math.isfinite(uncertainty) and uncertainty > 0):
        raise InputError(f"expected a positive finite uncertainty, got {uncertainty!r}: leave it out instead")
    number = _decimal(uncertainty)
    three_digits = int(number.scaleb(2 - number.adjusted(), _EXACT))
    kept = 2 if three_digits <= 354 else 1  # from 950 on, the one digit carries over into two: 0.0967 -> 0.10
    return kept - 1 - number.adjusted()


def round_decimals(x: float | Decimal, decimals: int) -> Decimal:
    """Round ``x`` to ``decimals`` places, ties away from zero; the result differs from ``x`` by at most half a unit.

    Raises:
        InputError: If ``x`` is not finite.
    """
    number = x if isinstance(x, Decimal) else _decimal(x)
    if not number.is_finite():
        raise InputError(f"expected a finite number to round, got {x!r}")
    rounded = number.quantize(Decimal(1).scaleb(-decimals), context=_EXACT)
    return rounded.quantize(Decimal(1), context=_EXACT) if decimals < 0 else rounded


def pdg_round(value: float, uncertainty: float) -> tuple[str, str]:
    """Round a value and its uncertainty by the PDG rule: ``(0.827, 0.367)`` gives ``("0.8", "0.4")``.

    Raises:
        InputError: If ``value`` is not finite or ``uncertainty`` is not a positive finite number.
    """
    layout = Layout(pdg_decimals(uncertainty))
    return layout.text(value), layout.text(uncertainty)


def choose_layout(value: float, deciding: Iterable[float | None]) -> Layout:
    """Choose decimals and power of ten for a result.

    The smallest usable number of ``deciding`` (the two sides of the total uncertainty) sets the number of decimals by
    the PDG rule. Numbers below 0.001, and numbers from a million on whose last digits would be meaningless zeros, are
    written with a common power of ten.

    Args:
        value: The value; must be finite.
        deciding: Uncertainties of which the smallest decides; None, zero and non-finite ones are passed over.

    Returns:
        The layout. Without any usable uncertainty, the value keeps up to six significant digits.

    Raises:
        InputError: If ``value`` is not finite.
    """
    usable = [u for u in deciding if u is not None and math.isfinite(u) and u > 0]
    largest = max([abs(value), *usable])
    if largest == 0:
        return Layout(0)
    exponent = leading_exponent(largest)
    decimals = pdg_decimals(min(usable)) if usable else _decimals_without_uncertainty(value)
    decimals = min(decimals, MAX_DIGITS - 1 - exponent)
    if _is_plain(exponent, decimals):
        return Layout(decimals)
    return Layout(decimals + exponent, exponent)


def power_of_ten(exponent: int) -> str:
    """A power of ten in Unicode: ``10⁻⁵``."""
    return "10" + str(exponent).translate(SUPERSCRIPTS)


def _is_plain(exponent: int, decimals: int) -> bool:
    """Whether a number needs no power of ten: it is of ordinary size, or large with every digit meaningful."""
    if exponent < SMALLEST_PLAIN_EXPONENT:
        return False
    return exponent <= LARGEST_PLAIN_EXPONENT or decimals >= 0


def _decimals_without_uncertainty(value: float) -> int:
    """Decimals of the shortest form of ``value`` with at most six significant digits."""
    number = _decimal(value)
    exponent = number.adjusted()
    digits = round_decimals(number.scaleb(-exponent, _EXACT), EXACT_DIGITS - 1).as_tuple().digits
    kept = len("".join(map(str, digits)).rstrip("0")) or 1
    return max(kept - 1 - exponent, -exponent if exponent > LARGEST_PLAIN_EXPONENT else 0)


def _decimal(x: float) -> Decimal:
    """The shortest decimal number that means the same float as ``x``."""
    return Decimal(repr(float(x)))
