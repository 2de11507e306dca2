"""Maximum-likelihood fits that say how good they are.

`fit` minimises -logpdf with the Newton solver of `minimize`; what that leaves unconverged goes to
MIGRAD, whose result Newton polishes and certifies.  The certificate is computed from the exact
Hessian at the end point, whichever engine found it; nobody's word of convergence is taken.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from infer.certificate import Certificate
from infer.data import Data
from infer.errors import ParameterError
from infer.inference.migrad import migrad
from infer.inference.minimize import (
    CONVERGED,
    MESSAGES,
    Box,
    Minimum,
    Newton,
    minimize,
    restricted_inverse,
)
from infer.likelihood import Likelihood, check_data
from infer.parameters import Parameters
from infer.threads import one_blas_thread
from infer.typing import Matrix

FloatArray = npt.NDArray[np.float64]

_SUSPICIOUS = 1e-5  # eigenvalue of the scaled Hessian (unit diagonal) that calls for a closer look
_FLAT = 1e-9  # eigenvalue of it, at the exact minimum, that cannot be told from zero
_CLOSER = Newton(max_steps=10, edm=0.0, projected_gradient=0.0)  # ten steps, wherever they lead


@dataclass(frozen=True)
class Settings:
    """Where a fit starts and what it may move, by parameter name.

    Attributes:
        start: Start values that replace the declared ones.
        bounds: Bounds that replace the declared ones.
        fixed: Parameters to hold, with the value to hold them at.
        solver: Settings of the minimiser.

    Raises:
        ParameterError: When used: a name is unknown, or a value lies outside its bounds.
    """

    start: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    fixed: Mapping[str, float] = field(default_factory=dict)
    solver: Newton = field(default_factory=Newton)

    def applied(self, parameters: Parameters) -> Parameters:
        """The parameters with these settings; `Parameter` itself refuses impossible ones."""
        for name in (*self.start, *self.bounds, *self.fixed):
            known = parameters[name]
            low, high = self.bounds.get(name, known.bounds)
            value = self.fixed.get(name, self.start.get(name))
            if value is None:
                value = min(max(known.init, low), high)
            parameters = parameters.replace(
                name,
                init=float(value),
                bounds=(float(low), float(high)),
                fixed=known.fixed or name in self.fixed,
            )
        return parameters


@dataclass(frozen=True, eq=False)
class FitResult:
    """A best fit with its certificate; plain numbers, no likelihood and no minimiser inside.

    Attributes:
        parameters: Declarations, in the order of the vectors below.
        values: Best fit with shape (P,).
        uncertainties: Square roots of the covariance's diagonal with shape (P,).  For a parameter
            at a bound, that of the Hessian with this parameter released, to be read as one-sided;
            NaN where the Hessian gives none, and for fixed parameters.
        covariance: Inverse Hessian of -logpdf with shape (P, P); rows and columns of parameters
            that are fixed or at a bound are zero.
        hessian: Hessian of -logpdf with shape (P, P).
        gradient: Gradient of -logpdf with shape (P,).
        inactive: True for parameters that are neither fixed nor at a bound, with shape (P,).
        twice_nll: Twice the negative log-likelihood at the best fit, constants as in pyhf.
        poi: Name of the parameter of interest; None if nobody named one.
        certificate: Why these numbers may be believed.
        engine: ``"newton"``, or ``"migrad"`` when the fallback was needed.
        n_steps: Evaluations of the likelihood's curvature.
        seconds: Wall-clock time of the fit in seconds.
    """

    parameters: Parameters
    values: FloatArray
    uncertainties: FloatArray
    covariance: FloatArray
    hessian: FloatArray
    gradient: FloatArray
    inactive: npt.NDArray[np.bool_]
    twice_nll: float
    poi: str | None
    certificate: Certificate
    engine: str
    n_steps: int
    seconds: float

    @property
    def status(self) -> Certificate:
        """The certificate."""
        return self.certificate

    @property
    def correlation(self) -> FloatArray:
        """Correlation matrix with shape (P, P); zero for parameters fixed or at a bound."""
        sigma = np.sqrt(np.diagonal(self.covariance))
        norm: FloatArray = np.outer(sigma, sigma)
        correlation: FloatArray = np.divide(self.covariance, norm, out=np.zeros_like(norm), where=norm > 0.0)
        return correlation

    def value(self, name: str) -> float:
        """Best fit of one parameter."""
        return float(self.values[self.parameters.position(name)])

    def uncertainty(self, name: str) -> float | None:
        """Uncertainty of one parameter, None where the Hessian gives none."""
        sigma = float(self.uncertainties[self.parameters.position(name)])
        return sigma if np.isfinite(sigma) else None

    def at_bound(self, name: str) -> bool:
        """Whether a parameter ended at one of its bounds, so that its uncertainty is one-sided."""
        return name in self.certificate.at_bound

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer fit --json``."""
        return {
            "poi": self.poi,
            "parameters": {
                name: {
                    "value": self.value(name),
                    "uncertainty": self.uncertainty(name),
                    "one_sided": self.at_bound(name),
                }
                for name in self.parameters
            },
            "twice_nll": _finite(self.twice_nll),
            "status": self.certificate.to_json_dict(),
            "engine": self.engine,
            "n_steps": self.n_steps,
            "seconds": self.seconds,
            **({} if self.certificate.blinded is None else {"blinded": self.certificate.blinded.to_json_dict()}),
        }

    def table(self) -> str:
        """Every parameter with its uncertainty, and the certificate, as plain text."""
        width = max(len(name) for name in self.parameters)
        lines = [f"  {name:<{width}}  {_numbers(self, name)}" for name in self.parameters]
        c = self.certificate
        notices = [f"Note: {notice}" for notice in c.notices if notice != str(c.blinded)]  # that one stands above
        return "\n".join([str(self), "", *lines, *notices])

    def __str__(self) -> str:
        """Best fit of the parameter of interest and the certificate, in two lines."""
        c = self.certificate
        head = "no parameter of interest named" if self.poi is None else _estimate(self, self.poi)
        verdict = "; ".join(c.objections) or f"converged, EDM {c.edm:.1e}"
        hidden = "" if c.blinded is None else f"   ({c.blinded})"
        return f"{head}{hidden}\n2NLL = {self.twice_nll:.6f} ({verdict})"


class Solved(eqx.Module):
    """A minimum with the inverse Hessian over its inactive parameters."""

    minimum: Minimum
    covariance: Matrix


def fit(
    likelihood: Likelihood,
    data: Data,
    *,
    poi: str | None = None,
    settings: Settings | None = None,
    verify: bool = False,
) -> FitResult:
    """Maximise the likelihood.

    Args:
        likelihood: Any likelihood.
        data: Data for it.
        poi: Parameter of interest; None takes the one that the likelihood declares.
        settings: Start values, bounds, fixed parameters and solver.
        verify: Repeat the fit with MIGRAD from the declared start values and compare.

    Raises:
        ParameterError: A name is unknown, or a setting impossible.
        DataError: The data do not fit the likelihood.
    """
    began = time.perf_counter()
    settings = settings or Settings()
    parameters = settings.applied(likelihood.parameters)
    name = parameters.poi if poi is None else poi
    if name is not None:
        parameters.position(name)
    check_data(likelihood, data)
    box = box_of(parameters)
    solved, engine = solve(likelihood, data, box, settings.solver)
    check = migrad(likelihood, data, box) if verify else None
    if check is not None and check.nll < float(solved.minimum.curvature.value) - 1e-4:
        better = eqx.tree_at(lambda b: b.start, box, jnp.asarray(check.theta))
        solved, engine = _solve(likelihood, data, better, settings.solver), "migrad"
    with one_blas_thread():
        solved = _without_flat_directions(likelihood, data, box, solved)
        result = _result(likelihood, data, parameters, name, solved, engine, box)
    if check is not None:
        result = _verified(result, check.nll)
    return replace(result, seconds=time.perf_counter() - began)


def box_of(parameters: Parameters) -> Box:
    """Start, bounds and free parameters as arrays."""
    arrays = (parameters.init, parameters.lower, parameters.upper, ~parameters.fixed)
    return Box(*jax.device_put(arrays))


def solve(likelihood: Likelihood, data: Data, box: Box, solver: Newton) -> tuple[Solved, str]:
    """Newton; where it fails, MIGRAD from the best point so far, polished by Newton."""
    with one_blas_thread():
        solved = jax.block_until_ready(_solve(likelihood, data, box, solver))
    if int(solved.minimum.status) == CONVERGED:
        return solved, "newton"
    start = solved.minimum.theta
    start = jnp.where(jnp.isfinite(solved.minimum.curvature.value), start, box.start)
    found = migrad(likelihood, data, eqx.tree_at(lambda b: b.start, box, start))
    polished = eqx.tree_at(lambda b: b.start, box, jnp.asarray(found.theta))
    again = _solve(likelihood, data, polished, solver)
    lower = float(again.minimum.curvature.value) <= float(solved.minimum.curvature.value)
    return (again, "migrad") if lower else (solved, "newton")


@eqx.filter_jit
def _solve(likelihood: Likelihood, data: Data, box: Box, solver: Newton) -> Solved:
    minimum = minimize(likelihood, data, box, solver=solver)
    inverse = restricted_inverse(minimum.curvature.hessian, minimum.inactive)
    return Solved(minimum, inverse)


def _without_flat_directions(likelihood: Likelihood, data: Data, box: Box, solved: Solved) -> Solved:
    """No covariance where a combination of parameters is not measured at all.

    Beside the minimum, the Hessian of such a likelihood has a tiny eigenvalue of either sign instead
    of zero, so that a search may end with one that is positive; closer to it the eigenvalue vanishes.
    """
    minimum = solved.minimum
    if not minimum.positive_definite or _exceeds(minimum, _SUSPICIOUS):
        return solved
    near = eqx.tree_at(lambda b: b.start, box, minimum.theta)
    if _least_measured(_solve(likelihood, data, near, _CLOSER).minimum) > _FLAT:
        return solved
    both = minimum.inactive[:, None] & minimum.inactive[None, :]
    flat = eqx.tree_at(lambda m: m.positive_definite, minimum, jnp.asarray(False))
    return Solved(flat, jnp.where(both, jnp.nan, 0.0))


def _exceeds(minimum: Minimum, bound: float) -> bool:
    """Whether `_least_measured` is above a bound; a factorisation says so sooner than eigenvalues do."""
    scaled = _scaled(minimum)
    if scaled is None:
        return False
    try:
        np.linalg.cholesky(scaled - bound * np.eye(scaled.shape[0]))
    except np.linalg.LinAlgError:
        return False
    return True


def _least_measured(minimum: Minimum) -> float:
    """Smallest eigenvalue of the inactive Hessian scaled to a unit diagonal, at most 1; 0 where that is impossible."""
    scaled = _scaled(minimum)
    return 0.0 if scaled is None else float(np.min(np.linalg.eigvalsh(scaled), initial=1.0))


def _scaled(minimum: Minimum) -> FloatArray | None:
    """Inactive Hessian scaled to a unit diagonal; None where that is impossible."""
    at = np.flatnonzero(minimum.inactive)
    block = np.asarray(minimum.curvature.hessian)[np.ix_(at, at)]
    scale = np.sqrt(np.maximum(np.diagonal(block), 0.0))
    if not np.all(np.isfinite(block)) or not np.all(scale > 0.0):
        return None
    return np.asarray(block / np.outer(scale, scale))


def _released(minimum: Minimum, at: int) -> float:
    """Variance of one parameter with itself released from its bound, the others there held.

    NaN where the Hessian is then not positive definite.
    """
    kept = np.append(np.flatnonzero(minimum.inactive), at)
    block = np.asarray(minimum.curvature.hessian)[np.ix_(kept, kept)]
    try:
        # The last pivot of the Cholesky factor is what the others leave of this parameter's curvature.
        return float(np.linalg.cholesky(block)[-1, -1] ** -2)
    except np.linalg.LinAlgError:
        return np.nan


def _result(
    likelihood: Likelihood,
    data: Data,
    parameters: Parameters,
    poi: str | None,
    solved: Solved,
    engine: str,
    box: Box,
) -> FitResult:
    minimum = jax.device_get(solved.minimum)
    free = np.asarray(box.free)
    covariance = np.asarray(solved.covariance)
    variances = np.diagonal(covariance).copy()
    held = free & ~minimum.inactive
    for at in np.flatnonzero(held):
        variances[at] = _released(minimum, int(at)) if minimum.positive_definite else np.nan
    with np.errstate(invalid="ignore"):
        uncertainties = np.where(free & (variances > 0.0), np.sqrt(variances), np.nan)
    return FitResult(
        parameters=parameters,
        values=np.asarray(minimum.theta),
        uncertainties=uncertainties,
        covariance=covariance,
        hessian=np.asarray(minimum.curvature.hessian),
        gradient=np.asarray(minimum.curvature.gradient),
        inactive=np.asarray(minimum.inactive),
        twice_nll=2.0 * float(minimum.curvature.value),
        poi=poi,
        certificate=_certificate(likelihood, data, parameters, minimum, held),
        engine=engine,
        n_steps=int(minimum.n_steps),
        seconds=0.0,
    )


def _certificate(
    likelihood: Likelihood,
    data: Data,
    parameters: Parameters,
    minimum: Minimum,
    held: npt.NDArray[np.bool_],
) -> Certificate:
    return Certificate(
        converged=int(minimum.status) == CONVERGED,
        message=MESSAGES[int(minimum.status)],
        edm=2.0 * float(minimum.edm),
        projected_gradient=2.0 * float(minimum.projected_gradient),
        positive_definite=bool(minimum.positive_definite),
        smallest_eigenvalue=_smallest_eigenvalue(minimum),
        at_bound=tuple(parameters.names[i] for i in np.flatnonzero(held)),
        notices=_notices(likelihood, data, minimum),
        blinded=likelihood.blinding,
    )


def _notices(likelihood: Likelihood, data: Data, minimum: Minimum) -> tuple[str, ...]:
    """What the model says of itself, what it says of its best fit, and what is hidden."""
    hidden = () if likelihood.blinding is None else (str(likelihood.blinding),)
    return (*likelihood.remarks, *likelihood.remarks_at(jnp.asarray(minimum.theta), data.main), *hidden)


def _smallest_eigenvalue(minimum: Minimum) -> float | None:
    """Smallest eigenvalue of the inactive Hessian, None where there is none."""
    at = np.flatnonzero(minimum.inactive)
    block = np.asarray(minimum.curvature.hessian)[np.ix_(at, at)]
    if at.size == 0 or not np.all(np.isfinite(block)):
        return None
    return float(np.linalg.eigvalsh(block)[0])


def _verified(result: FitResult, nll: float) -> FitResult:
    difference = result.twice_nll - 2.0 * nll
    certificate = replace(result.certificate, verified_by="MIGRAD", verify_difference=difference)
    return replace(result, certificate=certificate)


def _finite(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None


def _estimate(result: FitResult, name: str) -> str:
    return f"{name} = {' '.join(_numbers(result, name).split())}"


def _numbers(result: FitResult, name: str) -> str:
    """Value and uncertainty in columns, with a word on what is special about them."""
    sigma = result.uncertainty(name)
    value = f"{result.value(name):>12.6g}"
    if result.parameters[name].fixed:
        return f"{value}   (fixed)"
    if sigma is None:
        return f"{value}   (the Hessian gives no uncertainty)"
    side = "   (one-sided: at its bound)" if result.at_bound(name) else ""
    return f"{value} ± {sigma:<10.4g}{side}"


def require_poi(fitted: FitResult) -> str:
    """The parameter of interest of a fit.

    Raises:
        ParameterError: None was named.
    """
    if fitted.poi is None:
        raise ParameterError(
            "no parameter of interest: the likelihood declares none, so name one (poi=...); "
            f"the parameters begin with {', '.join(fitted.parameters.names[:5])}."
        )
    return fitted.poi
