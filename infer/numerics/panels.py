"""Gauss-Legendre panels: integrals over intervals, and functions known by their values at nodes.

An interval is cut into panels; in each, a smooth function is represented by its values at ``n``
Gauss-Legendre nodes.  The integral is then a weighted sum, exact for polynomials of degree
``2 n - 1``, and the interpolant of degree ``n - 1`` is

    f(x) = sum_l c_l P_l(t),     c_l = (l + 1/2) sum_j w_j P_l(t_j) f(x_j),

with t in [-1, 1] across the panel: the discrete orthogonality of the Legendre polynomials.  For a
function that is analytic within a distance d of a panel of half-width h, both errors fall as
``rho**-2n`` and ``rho**-n``, with ``rho = d/h + sqrt(1 + (d/h)**2)``.

Reference: Trefethen, Approximation Theory and Approximation Practice (2013), theorems 8.2 and 19.3.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Float

FloatArray = npt.NDArray[np.float64]
ORDER = 16
"""Nodes per interval where integrals are wanted."""


def nodes_and_weights(edges: Float[Array, " b"], order: int = ORDER) -> tuple[Float[Array, "m n"], Float[Array, "m n"]]:
    """Nodes and weights of each interval between neighbouring edges, with shape (B, order)."""
    t, w = np.polynomial.legendre.leggauss(order)
    half = 0.5 * (edges[1:] - edges[:-1])[:, None]
    centre = 0.5 * (edges[1:] + edges[:-1])[:, None]
    return centre + half * jnp.asarray(t)[None, :], half * jnp.asarray(w)[None, :]


def legendre_basis(t: Float[Array, " n"], order: int) -> Float[Array, "n l"]:
    """P_0(t) .. P_{order - 1}(t), by the recurrence (l + 1) P_{l+1} = (2 l + 1) t P_l - l P_{l-1}."""
    basis = [jnp.ones_like(t), t]
    for degree in range(1, order - 1):
        basis.append(((2 * degree + 1) * t * basis[-1] - degree * basis[-2]) / (degree + 1))
    return jnp.stack(basis[:order], axis=-1)


def legendre_transform(order: int) -> FloatArray:
    """Matrix with shape (order, order) from values at the nodes to Legendre coefficients."""
    t, w = np.polynomial.legendre.leggauss(order)
    return np.asarray((np.arange(order) + 0.5)[:, None] * np.polynomial.legendre.legvander(t, order - 1).T * w)


def evaluate(
    coefficients: Float[Array, "b l"],
    low: Float[Array, ""],
    width: Float[Array, ""],
    x: Float[Array, "*n"],
) -> Float[Array, "*n"]:
    """Interpolant over equal panels, whose first begins at ``low``; the outer ones are continued.

    Args:
        coefficients: Legendre coefficients with shape (B, order), one row per panel.
        low: where the first panel begins.
        width: of every panel.
        x: where, with any shape.
    """
    panels, order = coefficients.shape
    position = (jnp.ravel(x) - low) / width
    at = jnp.clip(jnp.floor(position), 0, panels - 1).astype(int)
    basis = legendre_basis(2.0 * (position - at.astype(position.dtype)) - 1.0, order)
    return jnp.sum(coefficients[at] * basis, axis=-1).reshape(x.shape)
