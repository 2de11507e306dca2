"""Gauss-Legendre panels: exact for polynomials, spectral for what is smooth."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from infer.numerics.panels import evaluate, legendre_basis, legendre_transform, nodes_and_weights

EDGES = jnp.array([-3.0, -1.0, 0.5, 4.0])


def polynomial(x: np.ndarray | jnp.ndarray) -> np.ndarray | jnp.ndarray:
    """A polynomial of degree 7."""
    return 1.0 - 2.0 * x + 0.3 * x**3 - 0.01 * x**7


def test_weights_integrate_polynomials_exactly() -> None:
    """Four nodes integrate degree 7; the antiderivative is the reference."""
    x, w = nodes_and_weights(EDGES, 4)
    e = np.asarray(EDGES)
    antiderivative = e - e**2 + 0.3 * e**4 / 4.0 - 0.01 * e**8 / 8.0
    np.testing.assert_allclose(jnp.sum(w * polynomial(x), axis=1), np.diff(antiderivative), rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 5, 12])
def test_basis_is_that_of_numpy(order: int) -> None:
    """The recurrence gives the Legendre polynomials, within [-1, 1] and beyond."""
    t = np.linspace(-1.3, 1.2, 17)
    np.testing.assert_allclose(legendre_basis(jnp.asarray(t), order), np.polynomial.legendre.legvander(t, order - 1))


def test_interpolant_is_exact_for_polynomials_and_continued_outside() -> None:
    """Eight nodes reproduce degree 7 in the panels and beyond the outer ones."""
    edges = jnp.linspace(-2.0, 3.0, 6)
    x, _ = nodes_and_weights(edges, 8)
    coefficients = polynomial(x) @ jnp.asarray(legendre_transform(8)).T
    places = jnp.array([[-2.2, -2.0, -1.0], [0.33, 2.999, 3.0], [3.1, 1.0, 0.0]])
    got = evaluate(coefficients, jnp.asarray(-2.0), jnp.asarray(1.0), places)
    np.testing.assert_allclose(got, polynomial(places), rtol=1e-10, atol=1e-10)


def test_interpolation_converges_as_stated() -> None:
    """A Lorentzian with a pole at distance d = 1.25 from panels of half-width 0.5: rho**-n."""
    errors = []
    edges = jnp.linspace(-8.0, 8.0, 17)
    for order in (4, 8, 12):
        x, _ = nodes_and_weights(edges, order)
        coefficients = (1.0 / (x**2 + 1.25**2)) @ jnp.asarray(legendre_transform(order)).T
        places = jnp.linspace(-8.0, 8.0, 1001)
        got = evaluate(coefficients, jnp.asarray(-8.0), jnp.asarray(1.0), places)
        errors.append(np.abs(got - 1.0 / (places**2 + 1.25**2)).max())
    rho = 2.5 + np.sqrt(1.0 + 2.5**2)
    assert errors[1] < 5.0 * errors[0] * rho**-4
    assert errors[2] < 5.0 * errors[1] * rho**-4
