"""The best linear unbiased estimate against closed forms and the examples of the papers."""

from __future__ import annotations

import re

import numpy as np
import pytest

from infer.errors import InputError
from infer.numerics.blue import blue

LYONS_VALUES = [9.5, 11.9, 11.1, 8.9]
LYONS_COVARIANCE = [
    [2.74, 1.15, 0.86, 1.31],
    [1.15, 1.67, 0.82, 1.32],
    [0.86, 0.82, 2.12, 1.05],
    [1.31, 1.32, 1.05, 2.93],
]
VALASSI_VALUES = [10.5, 13.5, 9.5, 14.0]  # B(e) by A and B, B(tau) by A and B, in percent
VALASSI_UNCERTAINTIES = np.array([1.0, 3.0, 3.0, 3.0])
TWO_OBSERVABLES = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])


def pair(s1: float, s2: float, rho: float) -> np.ndarray:
    """Covariance of two measurements."""
    return np.array([[s1**2, rho * s1 * s2], [rho * s1 * s2, s2**2]])


@pytest.mark.parametrize("rho", [-0.9, 0.0, 0.3, 0.8, 0.95])
@pytest.mark.parametrize(("s1", "s2"), [(1.0, 3.0), (0.02, 0.025), (40.0, 41.0)])
def test_two_measurements(s1: float, s2: float, rho: float) -> None:
    """The second weighs (s1^2 - rho s1 s2) / (s1^2 + s2^2 - 2 rho s1 s2); Lyons et al."""
    difference = s1**2 + s2**2 - 2.0 * rho * s1 * s2  # variance of y1 - y2
    second = (s1**2 - rho * s1 * s2) / difference
    result = blue([10.0, 11.0], pair(s1, s2, rho))
    np.testing.assert_allclose(result.weights, [[1.0 - second, second]], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(result.estimates, [10.0 + second], rtol=1e-12)
    variance = s1**2 * s2**2 * (1.0 - rho**2) / difference
    np.testing.assert_allclose(result.covariance, [[variance]], rtol=1e-11)
    np.testing.assert_allclose(result.chi2, 1.0 / difference, rtol=1e-11)
    assert result.n_dof == 1


def test_weight_is_negative_above_the_ratio_of_uncertainties() -> None:
    """Beyond rho = s1 / s2 the average lies outside the values; there, the worse counts nothing."""
    below, at, above = (blue([0.0, 1.0], pair(1.0, 2.0, rho)) for rho in (0.4, 0.5, 0.6))
    assert below.weights[0, 1] > 0.0
    assert at.weights[0, 1] == pytest.approx(0.0, abs=1e-15)
    assert above.weights[0, 1] < 0.0
    assert above.estimates[0] < 0.0
    assert above.covariance[0, 0] < at.covariance[0, 0] == pytest.approx(1.0)


def test_lyons_example() -> None:
    """Lyons, Gibaut and Clifford, NIM A270 (1988) 110, eqs. 14, 17', 18 and 19."""
    result = blue(LYONS_VALUES, LYONS_COVARIANCE)
    np.testing.assert_allclose(result.weights, [[0.145, 0.470, 0.347, 0.038]], atol=5e-4)
    assert result.estimates[0] == pytest.approx(11.16, abs=5e-3)
    assert np.sqrt(result.covariance[0, 0]) == pytest.approx(1.13, abs=5e-3)


@pytest.mark.parametrize(
    ("correlated", "rho", "values", "uncertainties"),
    [
        ((0, 1), 0.0, [10.80, 11.75], [0.95, 2.12]),  # eq. 38
        ((0, 1), 0.15, [10.68, 11.75], [0.98, 2.12]),  # eq. 42
        ((1, 3), 0.995, [10.64, 11.14], [0.90, 0.94]),  # eq. 46
        ((1, 3), -0.995, [11.45, 15.98], [0.90, 0.94]),  # eq. 49
    ],
    ids=["independent", "within-A", "within-B", "anti"],
)
def test_valassi_two_observables(
    correlated: tuple[int, int], rho: float, values: list[float], uncertainties: list[float]
) -> None:
    """Valassi, NIM A500 (2003) 391, section 3: measurements of one observable help the other."""
    R = np.eye(4)
    R[correlated] = R[correlated[::-1]] = rho
    covariance = R * np.outer(VALASSI_UNCERTAINTIES, VALASSI_UNCERTAINTIES)
    result = blue(VALASSI_VALUES, covariance, TWO_OBSERVABLES)
    np.testing.assert_allclose(result.estimates, values, atol=6e-3)
    np.testing.assert_allclose(np.sqrt(np.diagonal(result.covariance)), uncertainties, atol=6e-3)
    assert result.n_dof == 2


def test_valassi_lepton_universality() -> None:
    """The same numbers taken as four measurements of one observable (eq. 40): 10.96 ± 0.87."""
    result = blue(VALASSI_VALUES, np.diag(VALASSI_UNCERTAINTIES**2))
    np.testing.assert_allclose(result.weights, [[3 / 4, 1 / 12, 1 / 12, 1 / 12]], rtol=1e-13)
    assert result.estimates[0] == pytest.approx(10.96, abs=5e-3)
    assert np.sqrt(result.covariance[0, 0]) == pytest.approx(np.sqrt(0.75))


def random_problem(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values with shape (6,), covariance and a design of two observables, of unlike scales."""
    generator = np.random.default_rng(seed)
    root = generator.normal(size=(6, 6)) * np.array([1e-3, 1.0, 1.0, 10.0, 1.0, 5.0])[:, None]
    return generator.normal(size=6), root @ root.T, generator.normal(size=(6, 2))


@pytest.mark.parametrize("seed", range(5))
def test_defining_properties(seed: int) -> None:
    """W U = 1; variance W C W'; normal equations with the inverse covariance; parts add up."""
    y, C, U = random_problem(seed)
    result, inverse = blue(y, C, U), np.linalg.inv(C)
    np.testing.assert_allclose(result.weights @ U, np.eye(2), atol=1e-9)
    np.testing.assert_allclose(result.weights @ C @ result.weights.T, result.covariance, rtol=1e-7)
    np.testing.assert_allclose(result.covariance, np.linalg.inv(U.T @ inverse @ U), rtol=1e-6)
    np.testing.assert_allclose(result.covariance @ U.T @ inverse, result.weights, rtol=1e-5)
    residual = y - U @ result.estimates
    np.testing.assert_allclose(result.chi2, residual @ inverse @ residual, rtol=1e-5)
    parts = [0.25 * C, 0.75 * C]
    total = sum(result.contribution(part) for part in parts)
    np.testing.assert_allclose(total, result.covariance, rtol=1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_no_unbiased_estimate_is_better(seed: int) -> None:
    """Any other weights with W U = 1 have a larger variance: add what U does not see."""
    y, C, U = random_problem(seed)
    result = blue(y, C, U)
    unseen = np.linalg.svd(U.T)[2][2:]  # rows v with v U = 0
    other = result.weights + 0.01 * np.random.default_rng(seed).normal(size=(2, 4)) @ unseen
    np.testing.assert_allclose(other @ U, np.eye(2), atol=1e-9)
    assert np.all(np.diagonal(other @ C @ other.T) > np.diagonal(result.covariance))


def test_order_and_unit_do_not_matter() -> None:
    """A permutation permutes the weights; another unit and a shift carry over."""
    order = np.array([2, 0, 3, 1])
    y, C = np.array(LYONS_VALUES), np.array(LYONS_COVARIANCE)
    first, second = blue(y, C), blue(-1e3 * y[order] + 7.0, 1e6 * C[np.ix_(order, order)])
    np.testing.assert_allclose(second.weights[0], first.weights[0, order], rtol=1e-12)
    np.testing.assert_allclose(second.estimates, -1e3 * first.estimates + 7.0, rtol=1e-12)
    np.testing.assert_allclose(second.covariance, 1e6 * first.covariance, rtol=1e-12)
    assert second.chi2 == pytest.approx(first.chi2, rel=1e-12)


def test_one_measurement_is_itself() -> None:
    """Nothing to combine, nothing to compare with."""
    result = blue([3.0], [[0.25]])
    assert (result.weights.item(), result.estimates.item()) == (1.0, 3.0)
    assert (result.covariance.item(), result.chi2, result.n_dof) == (0.25, 0.0, 0)


BROKEN = {
    "no-values": ([], np.eye(0), None, "expected values with shape (n,), got (0,)"),
    "matrix-of-values": ([[1.0]], [[1.0]], None, "expected values with shape (n,), got (1, 1)"),
    "covariance-shape": ([1.0, 2.0], [[1.0]], None, "with shape (2, 2) for 2 values, got (1, 1)"),
    "design-shape": ([1.0, 2.0], np.eye(2), [1.0, 1.0], "shape (2, number of observables)"),
    "nan": ([1.0, np.nan], np.eye(2), None, "expected finite values"),
    "infinite": ([1.0, 2.0], np.diag([1.0, np.inf]), None, "expected a finite covariance"),
    "asymmetric": ([1.0, 2.0], [[1.0, 0.1], [0.2, 1.0]], None, "expected a symmetric covariance"),
    "singular": ([1.0, 2.0], np.ones((2, 2)), None, "expected a positive definite covariance"),
    "not-measured": ([1.0, 2.0], np.eye(2), [[1.0, 0.0], [1.0, 0.0]], "determine 2 observables"),
    "same-twice": ([1.0, 2.0], np.eye(2), [[1.0, 1.0], [1.0, 1.0]], "determine 2 observables"),
    "too-few": ([1.0], [[1.0]], [[1.0, 1.0]], "expected 1 measurements that determine 2"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_input(case: str) -> None:
    """One sentence with what was expected, what came, and what to do."""
    values, covariance, design, message = BROKEN[case]
    with pytest.raises(InputError, match=re.escape(message)):
        blue(values, covariance, design)


def test_contribution_of_the_wrong_shape() -> None:
    """A source needs a row for every measurement."""
    with pytest.raises(InputError, match=re.escape("with shape (2, 2), got (1, 1)")):
        blue([1.0, 2.0], np.eye(2)).contribution([[1.0]])


ALIKE = {  # which of ATLAS γγ, CMS γγ, ATLAS 4ℓ, CMS 4ℓ have something in common
    "nothing": np.eye(4),
    "experiment": np.kron(np.ones((2, 2)), np.eye(2)),
    "channel": np.kron(np.eye(2), np.ones((2, 2))),
}


@pytest.mark.parametrize(
    ("common", "rho", "weights", "value", "syst"),
    [
        ("nothing", 0.0, [0.186, 0.404, 0.176, 0.234], 125.120, 0.088),
        ("experiment", 0.8, [0.196, 0.404, 0.186, 0.214], 125.115, 0.110),
        ("experiment", 1.0, [0.199, 0.404, 0.188, 0.209], 125.113, 0.114),
        ("channel", 0.87, [0.151, 0.404, 0.190, 0.254], 125.090, 0.110),
    ],
)
def test_scan_of_the_higgs_mass_study(common: str, rho: float, weights: list[float], value: float, syst: float) -> None:
    """The numbers that docs/studies/higgs_mass.md quotes in its text."""
    R = rho * ALIKE[common] + (1.0 - rho) * np.eye(4)
    part = R * np.outer(*[[0.27, 0.15, 0.04, 0.17]] * 2)
    result = blue([126.02, 124.70, 124.51, 125.59], np.diag(np.square([0.43, 0.31, 0.52, 0.42])) + part)
    np.testing.assert_allclose(result.weights[0], weights, atol=5.1e-4)
    assert result.estimates[0] == pytest.approx(value, abs=5.1e-4)
    assert np.sqrt(result.contribution(part).item()) == pytest.approx(syst, abs=6e-4)
    assert 7.0 < result.chi2 < 8.3
