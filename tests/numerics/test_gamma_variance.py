"""Errors on errors: the profile over the variance, its derivatives, and where the Gaussian comes back."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar

from infer.numerics import gamma_variance

RESIDUALS = jnp.array([-7.0, -1.2, 0.0, 0.4, 3.0])


def density(residual: float, width: float, epsilon: float) -> float:
    """The log-density."""
    dof = gamma_variance.degrees_of_freedom(epsilon)
    ratio = gamma_variance.log_ratio(jnp.array([residual]), jnp.array([width]), jnp.array([dof]))
    return gamma_variance.log_norm(width, dof) + float(ratio[0])


@pytest.mark.parametrize("epsilon", [0.02, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("residual", [0.0, -0.7, 4.0])
def test_density_is_that_of_students_t(epsilon: float, residual: float) -> None:
    """With 1 / (2 epsilon^2) degrees of freedom, scaled by the width."""
    expected = stats.t.logpdf(residual, 0.5 / epsilon**2, scale=1.7)
    assert density(residual, 1.7, epsilon) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("epsilon", [0.1, 0.3, 0.6])
def test_profile_over_the_variance(epsilon: float) -> None:
    """Maximising N(u | theta, sigma^2) Gamma(v | alpha, alpha / sigma^2) numerically gives the closed form."""
    width, alpha = 0.8, 0.25 / epsilon**2

    def profiled(residual: float) -> float:
        def nll(log_variance: float) -> float:
            variance = np.exp(log_variance)
            value = stats.norm.logpdf(residual, 0.0, np.sqrt(variance))
            return -float(value + stats.gamma.logpdf(width**2, alpha, scale=variance / alpha))

        return -float(minimize_scalar(nll, bounds=(-8.0, 8.0), method="bounded", options={"xatol": 1e-10}).fun)

    for residual in (0.3, -1.5, 5.0):
        closed = density(residual, width, epsilon) - density(0.0, width, epsilon)
        formula = -0.5 * (1.0 + 0.5 / epsilon**2) * np.log1p(2.0 * epsilon**2 * residual**2 / width**2)
        assert closed == pytest.approx(formula, rel=1e-12)
        assert closed == pytest.approx(profiled(residual) - profiled(0.0), abs=1e-8)


def test_small_epsilon_is_the_gaussian() -> None:
    """Density and derivatives go to those of a Gaussian like epsilon^2, without loss of digits."""
    width = jnp.full(5, 0.6)
    for epsilon in (1e-3, 1e-6):
        dof = jnp.full(5, gamma_variance.degrees_of_freedom(epsilon))
        slope, second = gamma_variance.derivatives(RESIDUALS, width, dof)
        tolerance = 1e5 * epsilon**2 + 1e-9  # the fourth power of the largest residual in widths, 2e4
        np.testing.assert_allclose(slope, RESIDUALS / 0.36, rtol=tolerance)
        np.testing.assert_allclose(second, 1.0 / 0.36, rtol=tolerance)
        for residual in RESIDUALS.tolist():
            expected = stats.norm.logpdf(residual, 0.0, 0.6)
            assert density(residual, 0.6, epsilon) == pytest.approx(expected, abs=tolerance)


def test_derivatives_equal_automatic_differentiation() -> None:
    """First and second, to 1e-12."""
    width, dof = jnp.array([0.5, 1.0, 2.0, 0.1, 1.3]), jnp.array([0.5, 2.0, 50.0, 5.0, 1e4])

    def nll(residual: jax.Array) -> jax.Array:
        return -jnp.sum(gamma_variance.log_ratio(residual, width, dof))

    slope, second = gamma_variance.derivatives(RESIDUALS, width, dof)
    np.testing.assert_allclose(slope, jax.grad(nll)(RESIDUALS), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(second, jnp.diagonal(jax.hessian(nll)(RESIDUALS)), rtol=1e-11, atol=1e-13)
