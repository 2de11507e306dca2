"""Rounding: the PDG's own examples, and the properties that hold for every number."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer.errors import InputError
from infer.numerics.rounding import (
    Layout,
    choose_layout,
    leading_exponent,
    pdg_decimals,
    pdg_round,
    power_of_ten,
    round_decimals,
)

values = st.floats(-1e12, 1e12)
positive = st.floats(1e-12, 1e12)


@pytest.mark.parametrize(
    ("value", "uncertainty", "expected"),
    [
        (0.827, 0.119, ("0.83", "0.12")),  # the two examples of the Review, section 5.3
        (0.827, 0.367, ("0.8", "0.4")),
        (0.827, 0.0967, ("0.83", "0.10")),
        (0.827, 0.354, ("0.83", "0.35")),  # the edges of the rule
        (0.827, 0.3549, ("0.83", "0.35")),
        (0.827, 0.355, ("0.8", "0.4")),
        (0.827, 0.949, ("0.8", "0.9")),
        (0.827, 0.95, ("0.8", "1.0")),
        (0.827, 0.999, ("0.8", "1.0")),
        (0.827, 0.1, ("0.83", "0.10")),
        (-0.827, 0.119, ("-0.83", "0.12")),
        (125.0899, 0.2404, ("125.09", "0.24")),
        (12345.0, 367.0, ("12300", "400")),
        (12345.0, 119.0, ("12350", "120")),
        (12345.0, 967.0, ("12300", "1000")),
        (1.0, 25.0, ("1", "25")),
        (-0.001, 0.2, ("0.00", "0.20")),  # no sign on a value that rounds to zero
    ],
)
def test_pdg_rule(value: float, uncertainty: float, expected: tuple[str, str]) -> None:
    """Values and uncertainties come out as the rule of the PDG prescribes."""
    assert pdg_round(value, uncertainty) == expected


@given(positive)
def test_pdg_keeps_one_or_two_digits(uncertainty: float) -> None:
    """The rounded uncertainty has one or two digits and is never off by more than 13 %."""
    decimals = pdg_decimals(uncertainty)
    rounded = round_decimals(uncertainty, decimals)
    digits = int(rounded.scaleb(decimals))
    assert 4 <= digits <= 35
    assert abs(float(rounded) / uncertainty - 1) <= 0.13


@given(positive)
def test_pdg_is_idempotent(uncertainty: float) -> None:
    """Rounding an uncertainty that is rounded already changes nothing."""
    once = round_decimals(uncertainty, pdg_decimals(uncertainty))
    assert round_decimals(float(once), pdg_decimals(float(once))) == once


@given(positive, st.integers(-6, 6))
def test_pdg_does_not_depend_on_the_unit(uncertainty: float, power: int) -> None:
    """A change of unit by a power of ten moves the decimal point and nothing else."""
    scaled = float(Decimal(repr(uncertainty)).scaleb(power))
    if Decimal(repr(scaled)) == Decimal(repr(uncertainty)).scaleb(power):  # no digit lost in the float
        assert pdg_decimals(scaled) == pdg_decimals(uncertainty) - power


@given(values, st.integers(-3, 15))
def test_rounding_moves_by_at_most_half_a_unit(x: float, decimals: int) -> None:
    """|rounded - x| is at most half a unit in the last place, and rounding again changes nothing."""
    rounded = round_decimals(x, decimals)
    assert abs(rounded - Decimal(repr(x))) <= Decimal(1).scaleb(-decimals) / 2
    assert round_decimals(rounded, decimals) == rounded


@given(values, st.integers(-3, 15))
def test_rounding_is_odd(x: float, decimals: int) -> None:
    """Negative numbers are rounded as positive ones are: ties go away from zero on both sides."""
    assert round_decimals(-x, decimals) == -round_decimals(x, decimals)


def test_ties_go_away_from_zero() -> None:
    """Ties are decided on the decimal digits that one reads, not on the binary number behind them."""
    assert [str(round_decimals(x, 2)) for x in (0.125, 0.115, -0.125, 1.005)] == ["0.13", "0.12", "-0.13", "1.01"]


@given(values, positive)
def test_layout_keeps_the_half_unit(value: float, uncertainty: float) -> None:
    """Whatever the power of ten, the written value is within half a unit in the last place."""
    layout = choose_layout(value, [uncertainty])
    written = Decimal(layout.text(value)).scaleb(layout.exponent)
    assert abs(written - Decimal(repr(value))) <= Decimal(layout.half_unit).scaleb(layout.exponent)
    assert len(layout.text(value).strip("-").replace(".", "")) <= 17


@pytest.mark.parametrize(
    ("value", "deciding", "expected"),
    [
        (125.09, [0.24], Layout(2)),
        (125.09, [0.24, 0.9], Layout(2)),  # the smaller side decides
        (125.09, [0.9, 0.24], Layout(2)),
        (125.09, [None, 0.24], Layout(2)),
        (125.09, [math.nan, math.inf, 0.0, 0.24], Layout(2)),
        (0.0012, [0.0003], Layout(5)),
        (1.234e-5, [5.2e-7], Layout(2, -5)),
        (0.0, [5.2e-7], Layout(0, -7)),
        (3.2e6, [1.1e5], Layout(2, 6)),
        (1e6, [1.5], Layout(1)),  # large, but every digit means something
        (832.0, [46.0], Layout(-1)),
        (0.3, [1e-20], Layout(15)),  # more digits than a float has are not written
        (1.25, [], Layout(2)),  # no uncertainty: the shortest form, six digits at most
        (math.pi, [None], Layout(5)),
        (1200.0, [], Layout(0)),
        (3.2e6, [], Layout(1, 6)),
        (9.9999999, [], Layout(0)),
        (0.0, [], Layout(0)),
        (0.0, [0.0, None], Layout(0)),
    ],
)
def test_choose_layout(value: float, deciding: list[float | None], expected: Layout) -> None:
    """Decimals follow the smallest usable uncertainty; a power of ten appears only where it helps."""
    assert choose_layout(value, deciding) == expected


@given(st.floats(allow_nan=False, allow_infinity=False), st.lists(st.none() | st.floats(min_value=0.0), max_size=3))
def test_every_finite_number_can_be_written(value: float, deciding: list[float | None]) -> None:
    """No finite value and no uncertainty, however odd, raises; subnormal and huge ones included."""
    layout = choose_layout(value, deciding)
    assert math.isclose(float(layout.text(value)), float(layout.round(value)), rel_tol=1e-12, abs_tol=5e-324)


def test_vanishing_numbers() -> None:
    """A number that would be written as zero is known, and bounded by half a unit."""
    layout = Layout(1)
    assert layout.vanishes(0.04)
    assert not layout.vanishes(0.05)
    assert not layout.vanishes(0.0)
    assert (layout.half_unit, Layout(0).half_unit, Layout(-1).half_unit) == ("0.05", "0.5", "5")


def test_power_of_ten() -> None:
    """Exponents are superscripts, their sign included."""
    assert [power_of_ten(n) for n in (-5, 6, 12)] == ["10⁻⁵", "10⁶", "10¹²"]


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_no_digits_from_an_unusable_uncertainty(bad: float) -> None:
    """There is no rule for an uncertainty that is not positive and finite, and the message shows it."""
    with pytest.raises(InputError, match="positive finite"):
        pdg_decimals(bad)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_only_finite_numbers_are_rounded(bad: float) -> None:
    """NaN and infinity are refused in words, not with an error of the decimal module."""
    with pytest.raises(InputError, match="finite"):
        round_decimals(bad, 2)
    with pytest.raises(InputError, match="leading digit"):
        leading_exponent(bad)
