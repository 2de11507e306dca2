r"""A Gaussian whose variance is an estimate: the Gamma Variance Model, which profiles into Student's t.

A value u measures theta with a variance sigma^2 that is not known.  Its estimate v fluctuates, with a relative
error 2 epsilon of the variance, that is epsilon of the standard deviation to first order (Cowan, Eur. Phys. J. C 79
(2019) 133, arXiv:1809.05778, where epsilon is called r; Canonero, Brazzale & Cowan, arXiv:2304.10574; Canonero &
Cowan, arXiv:2407.05322):

    u ~ N(theta, sigma^2),    v ~ Gamma(alpha, beta),    alpha = 1 / (4 epsilon^2),    beta = alpha / sigma^2,

so that E[v] = sigma^2 and the standard deviation of v is 2 epsilon sigma^2.  What depends on sigma^2 is

    ln L = -(1/2 + alpha) ln sigma^2 - [(u - theta)^2 / 2 + alpha v] / sigma^2 + ...,

whose maximum is at

    sigma^2 = [v + 2 epsilon^2 (u - theta)^2] / (1 + 2 epsilon^2).

There, with v = s^2,

    ln L = -(1/2) (1 + 1 / (2 epsilon^2)) ln [1 + 2 epsilon^2 (u - theta)^2 / s^2] + terms without theta,

which is the density of Student's t for (u - theta) / s with nu = 1 / (2 epsilon^2) degrees of freedom.  This is
no accident: alpha = nu / 2 makes nu v / sigma^2 a chi^2 of nu degrees of freedom, independent of u, so that
(u - theta) / sqrt(v) *is* distributed as Student's t, whatever sigma is.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import betaln

Values = Float[Array, " k"]


def degrees_of_freedom(epsilon: float) -> float:
    """nu = 1 / (2 epsilon^2)."""
    return 0.5 / epsilon**2


def log_norm(width: float, dof: float) -> float:
    """Logarithm of the density at its centre: -ln [s sqrt(nu) B(nu/2, 1/2)]; no digits lost at large nu."""
    return float(-betaln(0.5 * dof, 0.5) - 0.5 * np.log(dof) - np.log(width))


def log_ratio(residual: Values, width: Values, dof: Values) -> Values:
    """Logarithm of the density over that at its centre: -(nu + 1)/2 ln(1 + z^2/nu), z the residual in widths."""
    return -0.5 * (dof + 1.0) * jnp.log1p((residual / width) ** 2 / dof)


def derivatives(residual: Values, width: Values, dof: Values) -> tuple[Values, Values]:
    """First and second derivative of minus the log-density with respect to the residual.

    (nu + 1) z / (nu + z^2) / s, and (nu + 1) (nu - z^2) / (nu + z^2)^2 / s^2, which is negative in the tails.
    """
    z = residual / width
    total = dof + z**2
    return (dof + 1.0) * z / total / width, (dof + 1.0) * (dof - z**2) / total**2 / width**2
