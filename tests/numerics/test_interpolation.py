"""Interpolation codes: pyhf's numbers, continuity where the pieces meet, and their derivatives."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest
from pyhf import interpolators

from infer.numerics.interpolation import (
    AdditiveCode,
    Derivatives,
    MultiplicativeCode,
    additive,
    multiplicative,
    sextic_coefficients,
)

FloatArray = npt.NDArray[np.float64]
Curve = Callable[[FloatArray], Derivatives]

NOMINAL, LO, HI = 10.0, 8.5, 13.0  # asymmetric, so that the odd and the even part both matter
INSIDE = np.linspace(-1.0, 1.0, 41)
OUTSIDE = np.asarray([-4.7, -2.0, -1.3, -1.0001, 1.0001, 1.4, 2.0, 5.0])
FACTORS = [(0.9, 1.1), (0.8, 0.7), (1.3, 1.2), (1.0, 1.0), (0.05, 6.0), (1.0, 1.4)]
SMOOTH = 1e-7  # half the step over which a jump of a derivative would show


def shift(code: AdditiveCode) -> Curve:
    """The shift of a histogram by an additive code, S alpha + A h(alpha), with its derivatives."""
    odd, even = 0.5 * (HI - LO), 0.5 * (HI + LO) - NOMINAL

    def curve(alpha: FloatArray) -> Derivatives:
        h = additive(code, jnp.asarray(alpha))
        return Derivatives(odd * alpha + even * h.value, odd + even * h.first, even * h.second)

    return curve


def factor(code: MultiplicativeCode, lo: float, hi: float) -> Curve:
    """The factor of a multiplicative code, with its derivatives."""

    def curve(alpha: FloatArray) -> Derivatives:
        low, high = (np.full(np.shape(alpha), side) for side in (lo, hi))
        coefficients = jnp.asarray(sextic_coefficients(low, high))
        return multiplicative(code, jnp.asarray(alpha), jnp.log(low), jnp.log(high), coefficients)

    return curve


def pyhf_numbers(code: int | str, variations: tuple[float, float, float], alpha: FloatArray) -> FloatArray:
    """What pyhf's interpolator of one code returns for (down, nominal, up) at each alpha."""
    histograms = [[[[value] for value in variations]]]
    return np.asarray(interpolators.get(code)(np.asarray(histograms), subscribe=False)(np.asarray([alpha])))[0, 0, :, 0]


@pytest.mark.parametrize(("code", "name"), [("code0", 0), ("code4p", "4p")])
def test_additive_codes_equal_those_of_pyhf(code: AdditiveCode, name: int | str) -> None:
    """The shift of a histogram is pyhf's, inside and outside [-1, 1]."""
    alpha = np.concatenate([INSIDE, OUTSIDE])
    np.testing.assert_allclose(
        shift(code)(alpha).value, pyhf_numbers(name, (LO, NOMINAL, HI), alpha), rtol=1e-12, atol=1e-12
    )


def test_code2_equals_that_of_pyhf_up_to_its_jumps() -> None:
    """Inside, code 2 is pyhf's; outside, pyhf's jumps (B15), by a + b above +1 and by a below -1.

    With shift a alpha^2 + b alpha inside, pyhf 0.7.6 has (b + 2a)(alpha - 1) above, without the a + b
    at the edge, and (b - 2a) alpha below, where a - b + (b - 2a)(alpha + 1) is meant.
    """
    ours, theirs = shift("code2"), (LO, NOMINAL, HI)
    np.testing.assert_allclose(ours(INSIDE).value, pyhf_numbers(2, theirs, INSIDE), rtol=1e-12, atol=1e-12)
    jump = np.where(OUTSIDE > 0.0, HI - NOMINAL, NOMINAL - 0.5 * (HI + LO))
    difference = np.asarray(ours(OUTSIDE).value) - pyhf_numbers(2, theirs, OUTSIDE)
    np.testing.assert_allclose(difference, jump, rtol=1e-12)


@pytest.mark.parametrize(("lo", "hi"), FACTORS)
@pytest.mark.parametrize(("code", "name"), [("code1", 1), ("code4", 4)])
def test_multiplicative_codes_equal_those_of_pyhf(code: MultiplicativeCode, name: int, lo: float, hi: float) -> None:
    """The factor of a sample is pyhf's, inside and outside [-1, 1]."""
    alpha = np.concatenate([INSIDE, OUTSIDE])
    np.testing.assert_allclose(factor(code, lo, hi)(alpha).value, pyhf_numbers(name, (lo, 1.0, hi), alpha), rtol=1e-11)


@pytest.mark.parametrize(("lo", "hi"), FACTORS)
def test_the_code_of_combine_is_its_asymmetric_log_normal(lo: float, hi: float) -> None:
    """kappa(theta)^theta, with log kappa between -log(lo) and log(hi), as Combine's documentation has it."""

    def naive(theta: float) -> float:
        if abs(theta) >= 0.5:
            return float((hi if theta > 0.0 else 1.0 / lo) ** theta)
        y = 2.0 * theta
        bend = (3.0 * y**5 - 10.0 * y**3 + 15.0 * y) / 8.0
        log_kappa = (np.log(hi) - np.log(lo)) / 2.0 + bend * (np.log(hi) + np.log(lo)) / 2.0
        return float(np.exp(theta * log_kappa))

    alpha = np.concatenate([INSIDE, OUTSIDE])
    expected = [naive(theta) for theta in alpha.tolist()]
    np.testing.assert_allclose(factor("combine", lo, hi)(alpha).value, expected, rtol=1e-13)


def test_a_symmetric_log_normal_is_a_power_everywhere() -> None:
    """With lo = 1 / hi the code of Combine is hi^alpha; code 4 differs from it within [-1, 1], by 5e-6 for hi = 2."""
    power = 2.0**INSIDE
    np.testing.assert_allclose(factor("combine", 0.5, 2.0)(INSIDE).value, power, rtol=1e-13)
    assert 1e-6 < float(jnp.max(jnp.abs(factor("code4", 0.5, 2.0)(INSIDE).value / power - 1.0))) < 1e-5


CURVES = [
    pytest.param(shift("code0"), (LO - NOMINAL, 0.0, HI - NOMINAL), id="code0"),
    pytest.param(shift("code2"), (LO - NOMINAL, 0.0, HI - NOMINAL), id="code2"),
    pytest.param(shift("code4p"), (LO - NOMINAL, 0.0, HI - NOMINAL), id="code4p"),
    *(
        pytest.param(factor(code, lo, hi), (lo, 1.0, hi), id=f"{code} {lo} {hi}")
        for code in ("code1", "code4", "combine")
        for lo, hi in FACTORS
    ),
]


@pytest.mark.parametrize(("curve", "variations"), CURVES)
def test_variations_are_met(curve: Curve, variations: tuple[float, float, float]) -> None:
    """At -1, 0 and +1 a code returns what was given there."""
    values = curve(np.asarray([-1.0, 0.0, 1.0])).value
    np.testing.assert_allclose(values, variations, rtol=1e-12, atol=1e-12)


def jumps(curve: Curve) -> FloatArray:
    """Largest jump of value, first and second derivative over a step of 2e-7 about -1 and +1, with shape (3,)."""
    edges = np.asarray([-1.0, 1.0])
    before, after = curve(edges - SMOOTH), curve(edges + SMOOTH)
    return np.asarray([np.max(np.abs(np.asarray(a) - np.asarray(b))) for a, b in zip(after, before, strict=True)])


@pytest.mark.parametrize(("curve", "variations"), CURVES)
def test_no_code_jumps_at_the_edges(curve: Curve, variations: tuple[float, float, float]) -> None:
    """The value is continuous at -1 and +1 for every code (B15)."""
    assert jumps(curve)[0] < 1e-5 * (1.0 + max(map(abs, variations)))


@pytest.mark.parametrize(
    "curve", [pytest.param(curve.values[0], id=str(curve.id)) for curve in CURVES if "code4" in str(curve.id)]
)
def test_codes_4_and_4p_are_twice_differentiable_at_the_edges(curve: Curve) -> None:
    """Slope and second derivative of codes 4 and 4p are continuous at -1 and +1."""
    scale = 1.0 + max(float(jnp.max(jnp.abs(part))) for part in curve(np.asarray([-1.0, 1.0])))
    assert np.all(jumps(curve)[1:] < 1e-4 * scale)


def test_code2_is_once_differentiable_at_the_edges() -> None:
    """The slope of code 2 is continuous, its second derivative is not."""
    _, slope, curvature = jumps(shift("code2"))
    assert slope < 1e-5
    assert curvature > 0.1


@pytest.mark.parametrize(("curve", "variations"), CURVES)
def test_derivatives_are_those_of_autodiff(curve: Curve, variations: tuple[float, float, float]) -> None:
    """First and second derivative in closed form equal automatic ones, away from kinks."""
    del variations
    alpha = np.asarray([-3.2, -1.01, -0.7, -0.2, 0.1, 0.6, 0.99, 1.5, 4.0])
    value = jax.vmap(jax.value_and_grad(lambda a: curve(a).value))
    slope = jax.vmap(jax.grad(lambda a: curve(a).first))
    closed = curve(alpha)
    np.testing.assert_allclose(value(jnp.asarray(alpha))[1], closed.first, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(slope(jnp.asarray(alpha)), closed.second, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("code", ["code0", "code2", "code4p"])
def test_additive_codes_are_even_functions_without_nan(code: AdditiveCode) -> None:
    """h(-alpha) = h(alpha), h(0) = 0, h(1) = 1, and all derivatives are finite for large alpha."""
    alpha = jnp.asarray([0.0, 0.3, 1.0, 1.7, 1e6])
    up, down = additive(code, alpha), additive(code, -alpha)
    np.testing.assert_array_equal(up.value, down.value)
    np.testing.assert_array_equal(up.first, -down.first)
    np.testing.assert_array_equal(up.second, down.second)
    assert float(up.value[0]) == 0.0
    assert float(up.value[2]) == 1.0
    assert all(bool(jnp.all(jnp.isfinite(part))) for part in up)


@pytest.mark.parametrize(("lo", "hi"), FACTORS)
@pytest.mark.parametrize("code", ["code1", "code4", "combine"])
def test_factors_stay_positive(code: MultiplicativeCode, lo: float, hi: float) -> None:
    """A normalisation factor is positive for every alpha within the bounds of pyhf, (-5, 5)."""
    assert bool(jnp.all(factor(code, lo, hi)(np.linspace(-5.0, 5.0, 401)).value > 0.0))
