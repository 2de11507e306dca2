r"""The best linear unbiased estimate (BLUE) of several observables from correlated measurements.

Measurements ``y`` with shape (n,) have the expectation ``U x`` and the covariance ``C``, where the
design ``U`` with shape (n, k) says which measurement measures which of the k observables ``x``.  Of
all linear estimates ``x_hat = W y`` that are unbiased, ``W U = 1``, the one of smallest variance is

.. math::
    W = (U^T C^{-1} U)^{-1}\, U^T C^{-1}, \qquad
    \mathrm{cov}(\hat x) = W C W^T = (U^T C^{-1} U)^{-1}, \qquad
    \chi^2 = (y - U \hat x)^T\, C^{-1}\, (y - U \hat x),

with ``n - k`` degrees of freedom.  The weights of an observable add up to one over its own
measurements, yet single ones are negative where a correlation exceeds the ratio of two
uncertainties: for two measurements of one observable, that of the second one is where
``rho > sigma_1 / sigma_2``.
A source of uncertainty with the covariance ``C_s``, ``C`` being the sum over sources, contributes
``W C_s W^T`` to the covariance of the estimate; the contributions add up to the total.

References: Lyons, Gibaut and Clifford, NIM A270 (1988) 110, eqs. 2-8 (one observable); Valassi,
NIM A500 (2003) 391, section 2 (several observables, contributions of sources).

Numerically, nothing is inverted: with ``C = L L^T``, the problem is the least-squares problem of
``L^{-1} U`` and ``L^{-1} y``, solved by a QR decomposition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from infer.errors import InputError
from infer.numerics.covariance import cholesky

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Blue:
    """A best linear unbiased estimate.

    Attributes:
        weights: of each measurement in each estimate, with shape (k, n).
        estimates: of the observables, with shape (k,), in the unit of the measurements.
        covariance: of the estimates, with shape (k, k).
        chi2: of the measurements about the estimates.
        n_dof: degrees of freedom of ``chi2``: measurements minus observables.
    """

    weights: FloatArray
    estimates: FloatArray
    covariance: FloatArray
    chi2: float
    n_dof: int

    def contribution(self, covariance: npt.ArrayLike) -> FloatArray:
        """Covariance of the estimates, with shape (k, k), that one source of uncertainty causes.

        Args:
            covariance: of the measurements due to that source, with shape (n, n).

        Raises:
            InputError: the shape is another one.
        """
        part, n = np.asarray(covariance, dtype=float), self.weights.shape[1]
        if part.shape != (n, n):
            raise InputError(
                f"expected the covariance of one source with shape ({n}, {n}), got {part.shape}; "
                "give a row and a column to each measurement, zeros where the source has no effect."
            )
        return np.asarray(self.weights @ part @ self.weights.T, dtype=float)


def blue(values: npt.ArrayLike, covariance: npt.ArrayLike, design: npt.ArrayLike | None = None) -> Blue:
    """Best linear unbiased estimate (Lyons et al., eqs. 2-8; Valassi, section 2).

    Args:
        values: measurements ``y`` with shape (n,).
        covariance: total covariance ``C`` of the measurements with shape (n, n), in squared units.
        design: ``U`` with shape (n, k); None where all n measure the same observable.

    Raises:
        InputError: shapes do not fit, the covariance is not symmetric and positive definite, or the
            measurements do not determine every observable.
    """
    y, C, U = _checked(values, covariance, design)
    root = cholesky(C, "the measurements")
    scaled = solve_triangular(root, U, lower=True)
    q, r = np.linalg.qr(scaled)
    _require_rank(r, U.shape)
    inverse = solve_triangular(r, np.eye(U.shape[1]))
    weights = inverse @ solve_triangular(root, q, lower=True, trans="T").T
    estimates = weights @ y
    pulls = solve_triangular(root, y - U @ estimates, lower=True)
    return Blue(weights, estimates, inverse @ inverse.T, float(pulls @ pulls), len(y) - U.shape[1])


def _checked(
    values: npt.ArrayLike, covariance: npt.ArrayLike, design: npt.ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The arguments as arrays of shapes (n,), (n, n) and (n, k)."""
    y, C = np.asarray(values, dtype=float), np.asarray(covariance, dtype=float)
    if y.ndim != 1 or y.size == 0:
        raise InputError(f"expected values with shape (n,), got {y.shape}; give one number per measurement.")
    n = len(y)
    U = np.ones((n, 1)) if design is None else np.asarray(design, dtype=float)
    if C.shape != (n, n):
        raise InputError(
            f"expected a covariance with shape ({n}, {n}) for {n} values, got {C.shape}; "
            "give a row and a column to each measurement."
        )
    if U.ndim != 2 or len(U) != n or U.shape[1] == 0:
        raise InputError(
            f"expected a design with shape ({n}, number of observables), got {U.shape}; "
            "give a row to each measurement and a column to each observable."
        )
    if not (np.all(np.isfinite(y)) and np.all(np.isfinite(U))):
        raise InputError("expected finite values and design, got an entry that is not; correct it.")
    return y, C, U


def _require_rank(r: FloatArray, shape: tuple[int, ...]) -> None:
    """Check the triangular factor of the design: a vanishing pivot is an observable left open."""
    pivots, lengths = np.abs(np.diagonal(r)), np.linalg.norm(r, axis=0)
    tolerance = 10.0 * max(shape) * np.finfo(float).eps
    if shape[0] < shape[1] or np.any(pivots <= tolerance * lengths):
        raise InputError(
            f"expected {shape[0]} measurements that determine {shape[1]} observables, got a design "
            "of smaller rank; add measurements, or remove observables that none of them measures."
        )
