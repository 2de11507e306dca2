r"""Any function of the parameters as a parameter of interest: a ratio, a sum of yields, an effective coupling.

With C the covariance of the best fit, the delta method gives the uncertainty of g,

.. math::
    \sigma_g^2 = \nabla g^T C\, \nabla g.

Its profile likelihood at c is the minimum of -log L subject to g(theta) = c.  With u = (g(theta) - c) / sigma_g, the
augmented Lagrangian

.. math::
    -\ln L(\theta) + \lambda u + \tfrac12 \rho u^2, \qquad \lambda \leftarrow \lambda + \rho u

(Nocedal & Wright, Numerical Optimization (2006), eqs. 17.36 and 17.39) is minimised by the same bounded Newton method
as every fit, with exact Hessians, and lambda follows; where u does not fall, rho grows. Why not eliminate a
parameter, or solve for theta and lambda at once: here bounds, the fallback and the certificate are those of any fit.
A minimum for *any* lambda and rho is the constrained minimum at the value that g has there; its Hessian is positive
definite where second-order conditions hold (theorem 17.5 there); u, which falls by 1 / (1 + rho) from one round to
the next, and the gradient of the Lagrangian are the residuals of the conditions of Karush, Kuhn and Tucker. The slope
of the profile is its multiplier, dq/dc = -2 (lambda + rho u) / sigma_g.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from infer.blinding import require_true_values
from infer.certificate import Certificate
from infer.constraints import ConstraintTerms, Curvature
from infer.data import Data
from infer.errors import ParameterError
from infer.inference.fits import FitResult, Settings, box_of, fit, solve
from infer.inference.minimize import CONVERGED, Newton
from infer.inference.profiles import ONE_SIGMA, End, ProfilePoint, crossing, standard_deviations
from infer.likelihood import Likelihood
from infer.parameters import Parameters
from infer.typing import Key, MainData, Scalar, Vector

FloatArray = npt.NDArray[np.float64]
Function = Callable[[Mapping[str, Scalar]], Scalar]

_STIFFNESS = 1e3  # rho at first, where the profile itself has curvature 1
_STIFFEST = 1e7  # the most of it
_ROUNDS = 12  # updates of lambda
_ON_TARGET = 1e-6  # |u|: standard deviations from c
_SLOW = 0.25  # of u left after a round, from which on rho grows
_EDM = 5e-13  # leaves u good to 3e-8


class View(Mapping[str, Scalar]):
    """Parameters by name, for a function of them.

    Args:
        parameters: Declarations.
        theta: Values with shape (P,).
    """

    def __init__(self, parameters: Parameters, theta: Vector) -> None:
        self._parameters, self._theta = parameters, theta

    def __getitem__(self, name: str) -> Scalar:
        return self._theta[self._parameters.position(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)


class Tied(Likelihood):
    """A likelihood with an augmented Lagrangian that draws a function of the parameters to a value.

    Args:
        inner: The likelihood.
        function: The function.
        goal: Where to draw it to.
        scale: Its unit, sigma_g.
        multiplier: lambda.
        stiffness: rho.
    """

    parameters: Parameters = eqx.field(static=True)
    constraints: ConstraintTerms
    inner: Likelihood
    function: Function = eqx.field(static=True)
    goal: Scalar
    scale: Scalar
    multiplier: Scalar
    stiffness: Scalar

    def distance(self, theta: Vector) -> Scalar:
        """u."""
        return (self.function(View(self.parameters, theta)) - self.goal) / self.scale

    def pull(self, theta: Vector) -> Scalar:
        """What is added to -log L."""
        u = self.distance(theta)
        return self.multiplier * u + 0.5 * self.stiffness * u**2

    def log_main(self, theta: Vector, main: MainData) -> Scalar:
        """``log f(main | theta)`` of the likelihood, less the pull."""
        return self.inner.log_main(theta, main) - self.pull(theta)

    def curvature_main(self, theta: Vector, main: MainData) -> Curvature:
        """The likelihood's own, with the derivatives of the pull."""
        value, gradient = jax.value_and_grad(self.pull)(theta)
        return self.inner.curvature_main(theta, main) + Curvature(value, gradient, jax.hessian(self.pull)(theta))

    def expected_main(self, theta: Vector) -> MainData:
        """As the likelihood."""
        return self.inner.expected_main(theta)

    def sample_main(self, theta: Vector, key: Key) -> MainData:
        """As the likelihood."""
        return self.inner.sample_main(theta, key)


@dataclass(frozen=True, eq=False)
class DerivedInterval:
    """A confidence interval of a function of the parameters.

    Attributes:
        name: What the function is called.
        value: At the best fit.
        uncertainty: By the delta method; None where the Hessian gives none.
        low: Lower end by profile likelihood.
        high: Upper end.
        cl: Confidence level.
        residual: Largest distance between the function and the value it was to have in the fits that count, in
            standard deviations.
        gradient: Largest scaled component of the gradient of the Lagrangian there, as in a certificate.
        fit: The best fit.
        certificate: That of the best fit, with what there is to say of the ends.
        seconds: Wall-clock time in seconds.
    """

    name: str
    value: float
    uncertainty: float | None
    low: End
    high: End
    cl: float
    residual: float
    gradient: float
    fit: FitResult
    certificate: Certificate
    seconds: float

    @property
    def down(self) -> float | None:
        """Distance from the best fit to the lower end."""
        return None if self.low.value is None else self.value - self.low.value

    @property
    def up(self) -> float | None:
        """Distance from the best fit to the upper end."""
        return None if self.high.value is None else self.high.value - self.value

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer derived --json``."""
        return {
            "name": self.name,
            "value": self.value,
            "uncertainty": self.uncertainty,
            "low": self.low.value,
            "high": self.high.value,
            "cl": self.cl,
            "residual": self.residual,
            "gradient": self.gradient,
            "certificate": self.certificate.to_json_dict(),
            "fit": self.fit.to_json_dict(),
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        """Value and interval, in one line."""
        if self.certificate.objections:
            return f"{self.name} = {self.value:.6g} ({'; '.join(self.certificate.objections)})"
        ends = [f"{sign}{d:.4g}" if d is not None else f"{sign}?" for sign, d in (("-", self.down), ("+", self.up))]
        return f"{self.name} = {self.value:.6g} {' '.join(ends)} ({100 * self.cl:.4g} % CL, profile likelihood)"

    def table(self) -> str:
        """The interval beside the delta method, and notes."""
        sigma = "none" if self.uncertainty is None else f"{self.uncertainty:.4g}"
        low, high = ("none" if end.value is None else f"{end.value:.6g}" for end in (self.low, self.high))
        lines = [f"  interval      [{low}, {high}]", f"  delta method  ± {sigma} (one standard deviation)"]
        return "\n".join([str(self), "", *lines, *(f"Note: {text}" for text in self.certificate.notices)])


def derived(
    likelihood: Likelihood,
    data: Data,
    *,
    function: Function,
    name: str = "derived",
    cl: float = ONE_SIGMA,
    fitted: FitResult | None = None,
    settings: Settings | None = None,
) -> DerivedInterval:
    """Confidence interval of a function of the parameters, by profile likelihood and by the delta method.

    Args:
        likelihood: Any likelihood.
        data: Data for it.
        function: Called with the parameters by name, as in ``lambda p: p["mu_a"] / p["mu_b"]``; made of what JAX can
            trace and differentiate twice.
        name: What to call it.
        cl: Confidence level of the interval.
        fitted: The best fit, if there is one already.
        settings: Settings of the fits.

    Raises:
        ParameterError: ``cl`` is not between 0 and 1; the function names an unknown parameter, is no number at the best
            fit, cannot be traced, or does not change with any parameter.
        DataError: The data do not fit the likelihood.
    """
    began = time.perf_counter()
    if not 0.0 < cl < 1.0:
        raise ParameterError(f"cl must lie between 0 and 1, got {cl!r}; write 95 % as 0.95.")
    require_true_values(likelihood, "a function of parameters")
    settings = settings or Settings()
    best = fitted or fit(likelihood, data, settings=settings)
    value, slope = _linearised(function, name, best)
    profile = DerivedProfile(likelihood, data, best, function, value, slope, settings.solver)
    low = high = End(None, False, "", 0)
    if best.certificate.trustworthy:
        level = standard_deviations(cl)
        low, high = crossing(profile, level, -1.0), crossing(profile, level, 1.0)
    notices = (*best.certificate.notices, *(end.message for end in (low, high) if end.message))
    return DerivedInterval(
        name=name,
        value=value,
        uncertainty=profile.sigma,
        low=low,
        high=high,
        cl=cl,
        residual=profile.residual,
        gradient=profile.gradient,
        fit=best,
        certificate=replace(best.certificate, notices=notices),
        seconds=time.perf_counter() - began,
    )


def _linearised(function: Function, name: str, best: FitResult) -> tuple[float, FloatArray]:
    """Value and gradient of a function at the best fit; zero along parameters that are fixed."""

    def of_vector(theta: Vector) -> Scalar:
        return function(View(best.parameters, theta))

    try:
        value, slope = jax.value_and_grad(of_vector)(jnp.asarray(best.values))
    except (TypeError, jax.errors.JAXTypeError) as error:
        raise ParameterError(
            f"{name}: the function must make one number of the parameters, by operations that JAX can trace "
            f"(jax.numpy instead of math and numpy, no if), but {str(error).splitlines()[0]}"
        ) from None
    gradient = np.where(best.parameters.fixed, 0.0, np.asarray(slope))
    if not np.isfinite(value) or not np.all(np.isfinite(gradient)):
        raise ParameterError(
            f"{name} is {float(value):g} at the best fit, or has no derivative there; choose another function, or "
            "bounds of the parameters within which it is defined."
        )
    if not np.any(gradient):
        raise ParameterError(f"{name} does not change with any free parameter at the best fit; name others.")
    return float(value), gradient


@dataclass(frozen=True, eq=False)
class _Round:
    """A minimum of the augmented Lagrangian.

    Attributes:
        theta: Where, with shape (P,).
        u: Distance of the function from its goal, in its standard deviations.
        q: 2NLL above that of the best fit.
        force: The multiplier that the next round takes, which is -d(-log L)/du.
        gradient: Largest scaled component of the gradient of twice the Lagrangian.
        sound: Whether the minimiser converged.
    """

    theta: FloatArray
    u: float
    q: float
    force: float
    gradient: float
    sound: bool


class DerivedProfile:
    """The profile of a function of the parameters; see `profiles.Profile`.

    Args:
        likelihood: Any likelihood.
        data: Data for it.
        fitted: Best fit to them.
        function: The function.
        value: Its value at the best fit.
        slope: Its gradient there with shape (P,).
        solver: Settings of the minimiser.

    Attributes:
        residual: Largest distance u of the fits so far.
        gradient: Largest projected gradient of them.
    """

    def __init__(
        self,
        likelihood: Likelihood,
        data: Data,
        fitted: FitResult,
        function: Function,
        value: float,
        slope: FloatArray,
        solver: Newton,
    ) -> None:
        self.data, self.fitted, self.best = data, fitted, value
        self.solver = replace(solver, edm=min(solver.edm, _EDM))
        self.bounds = (-np.inf, np.inf)
        self.box = box_of(fitted.parameters)
        moves = _covariance(fitted, slope) @ slope
        variance = float(slope @ moves)
        self.sigma = float(np.sqrt(variance)) if np.isfinite(variance) and variance > 0.0 else None
        self.direction = moves / variance if self.sigma else np.zeros_like(slope)
        self.scale = self.sigma or max(1.0, abs(value))
        numbers = map(jnp.asarray, (value, self.scale, 0.0, _STIFFNESS))
        self.tied = Tied(likelihood.parameters, likelihood.constraints, likelihood, function, *numbers)
        self.residual = self.gradient = 0.0

    @property
    def steepness(self) -> float:
        """Not known: where bounds hold parameters, the first guess is that of the Hessian."""
        return 0.0

    def __call__(self, x: float, near: ProfilePoint | None = None) -> ProfilePoint:
        """The profile at ``x``; at the end of what the function can be, where ``x`` lies beyond."""
        origin = near or ProfilePoint(self.best, 0.0, 0.0, True, self.fitted.values)
        force = -self.scale * (0.5 * origin.slope + (x - origin.x) / self.scale**2)
        here, stiffness = self._round(x, origin.theta + (x - origin.x) * self.direction, force, _STIFFNESS), _STIFFNESS
        for _ in range(_ROUNDS):
            if not here.sound or abs(here.u) <= _ON_TARGET:
                break
            before = abs(here.u)
            here = self._round(x, here.theta, here.force, stiffness)
            stiffness = stiffness if abs(here.u) <= _SLOW * before else min(10.0 * stiffness, _STIFFEST)
        if here.sound and stiffness == _STIFFEST and abs(here.u) > _ON_TARGET:
            return self._at_the_end(x, here)
        # At the value that the function has, the profile is exact; the rest of the way goes along its slope.
        q, slope = here.q, -2.0 * here.force / self.scale
        sound = here.sound and abs(here.u) <= _ON_TARGET
        if sound:
            self.residual, self.gradient = max(self.residual, abs(here.u)), max(self.gradient, here.gradient)
        return ProfilePoint(x, q - slope * here.u * self.scale, slope, sound, here.theta)

    def _at_the_end(self, x: float, here: _Round) -> ProfilePoint:
        """Pulled ever harder, the function does not follow: here it ends within the parameters' bounds."""
        end = x + here.u * self.scale
        self.bounds = (end, self.bounds[1]) if x < self.best else (self.bounds[0], end)
        return ProfilePoint(end, here.q, -2.0 * here.force / self.scale, True, here.theta)

    def _round(self, x: float, start: FloatArray, multiplier: float, stiffness: float) -> _Round:
        """A minimum of the augmented Lagrangian."""
        numbers = tuple(map(jnp.asarray, (x, multiplier, stiffness)))
        tied = eqx.tree_at(lambda t: (t.goal, t.multiplier, t.stiffness), self.tied, numbers)
        box = eqx.tree_at(lambda b: b.start, self.box, jnp.clip(start, self.box.lower, self.box.upper))
        minimum = solve(tied, self.data, box, self.solver)[0].minimum
        u, twice_nll = map(float, _at(tied, self.data, minimum.theta))
        return _Round(
            np.asarray(minimum.theta),
            u,
            twice_nll - self.fitted.twice_nll,
            multiplier + stiffness * u,
            2.0 * float(minimum.projected_gradient),
            int(minimum.status) == CONVERGED and bool(np.isfinite(u)),
        )


@eqx.filter_jit
def _at(tied: Tied, data: Data, theta: Vector) -> tuple[Scalar, Scalar]:
    """u, and 2NLL of the likelihood itself."""
    return tied.distance(theta), -2.0 * tied.inner.logpdf(theta, data)


def _covariance(fitted: FitResult, slope: FloatArray) -> FloatArray:
    """Covariance with those parameters released from their bounds that the function moves with; zero elsewhere."""
    kept = np.flatnonzero(fitted.inactive | (slope != 0.0))
    if kept.size == np.sum(fitted.inactive):
        return fitted.covariance
    block = fitted.hessian[np.ix_(kept, kept)]
    try:
        np.linalg.cholesky(block)
    except np.linalg.LinAlgError:
        return fitted.covariance
    covariance = np.zeros_like(fitted.covariance)
    covariance[np.ix_(kept, kept)] = np.linalg.inv(block)
    return covariance
