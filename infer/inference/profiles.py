r"""The profile likelihood of one parameter, and what is read off it: intervals and scans.

With L(x) the likelihood maximised over all other parameters at theta_i = x,

    q(x) = -2 log L(x) / L(theta_hat),      dq/dx = 2 d(-log L)/d theta_i at the conditional fit,

the slope by the envelope theorem, free of cost.  The profile-likelihood interval at confidence level
``cl`` is where q(x) <= chi2_1 quantile of ``cl`` (Wilks; Cowan et al., arXiv:1007.1727, eqs. 8 and
29; James & Roos, CPC 10 (1975) 343, MINOS).  Its ends are found by Newton's method on sqrt(q), which
is straight for a parabola, inside a shrinking bracket; each conditional fit starts on the tangent of
the profile, theta_hat + (x - theta_hat_i) C_{.i} / C_ii.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from scipy.special import chdtr, chdtri  # scipy.stats would double the time of `import infer`

from infer.data import Data
from infer.errors import ParameterError
from infer.inference.fits import FitResult, Settings, Solved, box_of, fit, require_poi, solve
from infer.inference.minimize import CONVERGED, Box, Newton
from infer.likelihood import Likelihood

FloatArray = npt.NDArray[np.float64]

ONE_SIGMA = float(chdtr(1.0, 1.0))
"""Confidence level of one standard deviation, 0.6827."""

DEEPER = 1e-3
"""A conditional fit that lies below the best fit by more than this in 2NLL disproves it."""

_MAX_FITS = 40
_TOLERANCE = 1e-5  # on sqrt(q): an end good to 1e-5 standard deviations
_FAR = 1e3  # standard deviations after which an end counts as infinitely far


@dataclass(frozen=True)
class End:
    """One end of an interval.

    Attributes:
        value: Where the interval ends; None where the profile never rises to the level.
        crossing: Whether the profile crosses the level there; False at a bound.
        message: What happened, in one clause; empty for an ordinary crossing.
        n_fits: Conditional fits it took.
    """

    value: float | None
    crossing: bool
    message: str
    n_fits: int


@dataclass(frozen=True, eq=False)
class Interval:
    """A confidence interval of one parameter.

    Attributes:
        name: Parameter.
        value: Best fit.
        low: Lower end.
        high: Upper end.
        cl: Confidence level.
        method: ``"profile"`` or ``"hessian"``.
        fit: The fit it belongs to.
    """

    name: str
    value: float
    low: End
    high: End
    cl: float
    method: str
    fit: FitResult

    @property
    def one_sided(self) -> bool:
        """Whether the best fit lies at a bound, so that there is one side only."""
        return self.fit.at_bound(self.name)

    @property
    def down(self) -> float | None:
        """Distance from the best fit to the lower end."""
        return None if self.low.value is None else self.value - self.low.value

    @property
    def up(self) -> float | None:
        """Distance from the best fit to the upper end."""
        return None if self.high.value is None else self.high.value - self.value

    @property
    def remarks(self) -> tuple[str, ...]:
        """What there is to say about the ends."""
        return tuple(end.message for end in (self.low, self.high) if end.message)


@dataclass(frozen=True, eq=False)
class Scan:
    """Profile likelihood at given values of one parameter.

    Attributes:
        name: Parameter.
        values: Where it was held, with shape (N,).
        delta_twice_nll: q there with shape (N,): above the best fit by so much; NaN where the
            conditional fit has no certificate.
        converged: Which conditional fits have one, with shape (N,).
        fit: The fit it belongs to.
    """

    name: str
    values: FloatArray
    delta_twice_nll: FloatArray
    converged: npt.NDArray[np.bool_]
    fit: FitResult

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer scan --json``."""
        q = [float(v) if np.isfinite(v) else None for v in self.delta_twice_nll]
        return {
            "poi": self.name,
            "best": self.fit.value(self.name),
            "values": self.values.tolist(),
            "delta_twice_nll": q,
            "converged": self.converged.tolist(),
            "fit": self.fit.to_json_dict(),
        }

    def table(self) -> str:
        """The scan as plain text."""
        rows = zip(self.values, self.delta_twice_nll, strict=True)
        lines = [f"  {x:>14.6g}  {q:>14.6f}" for x, q in rows]
        return "\n".join([str(self.fit), "", f"  {self.name:>14}  {'delta 2NLL':>14}", *lines])


@dataclass(frozen=True, eq=False)
class ProfilePoint:
    """The profile at one value.

    Attributes:
        x: The value.
        q: ``2NLL`` of the conditional fit above that of the best fit.
        slope: dq/dx.
        converged: Whether the conditional fit did.
        theta: Where it ended, with shape (P,).
    """

    x: float
    q: float
    slope: float
    converged: bool
    theta: FloatArray

    @property
    def root(self) -> float:
        """sqrt(q), zero below the best fit."""
        return float(np.sqrt(max(self.q, 0.0)))


@runtime_checkable
class Profile(Protocol):
    """The profile of something, as the search for an end sees it.

    Attributes:
        best: Value at the best fit.
        bounds: Lower and upper end of the values that it can have; a call may find them narrower.
        fitted: The best fit.
    """

    best: float
    bounds: tuple[float, float]
    fitted: FitResult

    @property
    def sigma(self) -> float | None:
        """Uncertainty from the Hessian, where there is one."""

    @property
    def steepness(self) -> float:
        """Slope of -log L at the best fit, away from a bound; zero inside of the bounds."""

    def __call__(self, x: float, near: ProfilePoint | None = None) -> ProfilePoint:
        """The profile at ``x``, or at the end of what it can have where ``x`` lies beyond."""


class ProfileLikelihood:
    """The profile of one parameter around a best fit; called with a value, it makes the conditional fit there.

    Args:
        likelihood: Any likelihood.
        data: Data for it.
        fitted: Best fit to them.
        name: The parameter.
        solver: Settings of the minimiser.
    """

    def __init__(self, likelihood: Likelihood, data: Data, fitted: FitResult, name: str, solver: Newton) -> None:
        self.likelihood, self.data, self.fitted, self.solver = likelihood, data, fitted, solver
        self.at = fitted.parameters.position(name)
        self.best = float(fitted.values[self.at])
        self.bounds = fitted.parameters[name].bounds
        box = box_of(fitted.parameters)
        self.box = eqx.tree_at(lambda b: b.free, box, box.free.at[self.at].set(False))

    @property
    def sigma(self) -> float | None:
        """Uncertainty from the Hessian, where there is one."""
        sigma = float(self.fitted.uncertainties[self.at])
        return sigma if np.isfinite(sigma) else None

    @property
    def steepness(self) -> float:
        """Slope of -log L at the best fit, away from a bound; zero inside of the bounds."""
        at_bound = self.fitted.at_bound(self.fitted.parameters.names[self.at])
        return abs(float(self.fitted.gradient[self.at])) if at_bound else 0.0

    def tangent(self, x: float, near: ProfilePoint | None) -> FloatArray:
        """Start of the conditional fit at ``x``: on the tangent, or the nearest known point."""
        if near is not None:
            return near.theta
        column = self.fitted.covariance[:, self.at]
        if column[self.at] <= 0.0:
            return self.fitted.values
        return self.fitted.values + (x - self.best) * column / column[self.at]

    def __call__(self, x: float, near: ProfilePoint | None = None) -> ProfilePoint:
        """The profile at ``x``, searched from the nearest known point or on the tangent."""
        start = self.tangent(x, near).copy()
        start[self.at] = x
        solved = _conditional(self.likelihood, self.data, self.box, start, self.solver)
        minimum = solved.minimum
        return ProfilePoint(
            x,
            2.0 * float(minimum.curvature.value) - self.fitted.twice_nll,
            2.0 * float(minimum.curvature.gradient[self.at]),
            int(minimum.status) == CONVERGED,
            np.asarray(minimum.theta),
        )


def _conditional(likelihood: Likelihood, data: Data, box: Box, start: FloatArray, solver: Newton) -> Solved:
    wide = Box(
        jnp.asarray(start),
        jnp.where(box.free, box.lower, -jnp.inf),
        jnp.where(box.free, box.upper, jnp.inf),
        box.free,
    )
    solved, _ = solve(likelihood, data, wide, solver)
    return solved


def standard_deviations(cl: float) -> float:
    """Half-width, in standard deviations, of a two-sided Gaussian interval: sqrt of a chi2_1 quantile."""
    return float(np.sqrt(chdtri(1.0, 1.0 - cl)))


def interval(
    likelihood: Likelihood,
    data: Data,
    *,
    poi: str | None = None,
    cl: float = ONE_SIGMA,
    method: str = "profile",
    fitted: FitResult | None = None,
    settings: Settings | None = None,
) -> Interval:
    """Confidence interval of one parameter.

    Args:
        likelihood: Any likelihood.
        data: Data for it.
        poi: Parameter; None takes the parameter of interest.
        cl: Confidence level.
        method: ``"profile"`` (likelihood ratio, asymmetric) or ``"hessian"`` (Wald, symmetric).
        fitted: The best fit, if there is one already; it brings its parameters' settings along.
        settings: Settings of the fits.

    Raises:
        ParameterError: The name or method is unknown, or ``cl`` is not between 0 and 1.
    """
    if not 0.0 < cl < 1.0:
        raise ParameterError(f"cl must lie between 0 and 1, got {cl!r}; write 95 % as 0.95.")
    if method not in ("profile", "hessian"):
        raise ParameterError(f"method must be 'profile' or 'hessian', got {method!r}.")
    settings = settings or Settings()
    best = fitted or fit(likelihood, data, poi=poi, settings=settings)
    parameter = poi or require_poi(best)
    profile = ProfileLikelihood(likelihood, data, best, parameter, settings.solver)
    level = standard_deviations(cl)
    end = crossing if method == "profile" else _wald
    low, high = end(profile, level, -1.0), end(profile, level, 1.0)
    return Interval(parameter, profile.best, low, high, cl, method, best)


def scan(
    likelihood: Likelihood,
    data: Data,
    *,
    poi: str | None = None,
    values: Sequence[float] | FloatArray | None = None,
    fitted: FitResult | None = None,
    settings: Settings | None = None,
) -> Scan:
    """Profile likelihood of one parameter at given values.

    Args:
        likelihood: Any likelihood.
        data: Data for it.
        poi: Parameter; None takes the parameter of interest.
        values: Where to hold it; None takes 41 values within three standard deviations.
        fitted: The best fit, if there is one already.
        settings: Settings of the fits.

    Raises:
        ParameterError: The name is unknown, or a value lies outside the parameter's bounds.
    """
    settings = settings or Settings()
    best = fitted or fit(likelihood, data, poi=poi, settings=settings)
    parameter = poi or require_poi(best)
    profile = ProfileLikelihood(likelihood, data, best, parameter, settings.solver)
    xs = _default_values(profile) if values is None else np.asarray(values, dtype=float)
    low, high = profile.bounds
    outside = xs[(xs < low) | (xs > high) | ~np.isfinite(xs)]
    if outside.size:
        raise ParameterError(
            f"scan of {parameter!r}: values must lie within its bounds ({low:g}, {high:g}), "
            f"got {outside[0]:g}; change the values or the bounds."
        )
    points = _outward(profile, xs)
    q = np.asarray([p.q if p.converged else np.nan for p in points])
    return Scan(parameter, xs, q, np.asarray([p.converged for p in points]), best)


def _default_values(profile: ProfileLikelihood) -> FloatArray:
    reach = 3.0 * (profile.sigma or max(1.0, abs(profile.best)))
    low, high = profile.bounds
    return np.linspace(max(profile.best - reach, low), min(profile.best + reach, high), 41)


def _outward(profile: ProfileLikelihood, xs: FloatArray) -> list[ProfilePoint]:
    """Points in the order of ``xs``, fitted from the best fit outward, each from its neighbour."""
    points: dict[int, ProfilePoint] = {}
    for side in (xs >= profile.best, xs < profile.best):
        near = None
        for i in sorted(np.flatnonzero(side), key=lambda i: abs(xs[i] - profile.best)):
            point = profile(float(xs[i]), near)
            points[int(i)] = point
            near = point if point.converged else near
    return [points[i] for i in range(xs.size)]


def _wald(profile: ProfileLikelihood, level: float, side: float) -> End:
    """Symmetric end from the Hessian, cut at the parameter's bound."""
    if profile.sigma is None:
        return End(None, False, "the Hessian gives no uncertainty", 0)
    bound = profile.bounds[0] if side < 0.0 else profile.bounds[1]
    x = profile.best + side * level * profile.sigma
    if side * (x - bound) >= 0.0:
        return End(float(bound), False, _cut(side, bound), 0)
    return End(float(x), True, "", 0)


def crossing(profile: Profile, level: float, side: float) -> End:
    """Where sqrt(q) reaches ``level`` on one side of the best fit, -1 or 1."""
    bound = _bound(profile, side)
    if side * (profile.best - bound) >= 0.0:
        return End(float(bound), False, _cut(side, bound), 0)
    inner = ProfilePoint(profile.best, 0.0, 0.0, True, profile.fitted.values)
    outer: ProfilePoint | None = None
    x = _first_guess(profile, level, side)
    for n in range(1, _MAX_FITS + 1):
        x = side * min(side * x, side * bound)
        point = profile(x, None if inner.x == profile.best else inner)
        bound = _bound(profile, side)
        end = _verdict(profile, point, level, side, bound, n)
        if end is not None:
            return end
        inner, outer = (point, outer) if point.root < level else (inner, point)
        x = _next_guess(profile, point, inner, outer, level, side)
    return End(None, False, "no crossing was found", _MAX_FITS)


def _bound(profile: Profile, side: float) -> float:
    return profile.bounds[0] if side < 0.0 else profile.bounds[1]


def _verdict(profile: Profile, point: ProfilePoint, level: float, side: float, bound: float, n: int) -> End | None:
    """The end, if this point settles it one way or another; None if the search goes on."""
    if np.isinf(point.q):  # an impossible value, such as a negative rate, lies beyond the end
        return None
    if not point.converged:
        return End(None, False, f"the conditional fit at {point.x:.6g} did not converge", n)
    if point.q < -DEEPER:
        return End(None, False, f"the profile at {point.x:.6g} lies below the best fit", n)
    if abs(point.root - level) < _TOLERANCE:
        return End(float(point.x), True, "", n)
    if point.root < level and point.x == bound:
        return End(float(bound), False, _cut(side, bound), n)
    if abs(point.x - profile.best) > _FAR * (profile.sigma or np.inf):
        return End(None, False, f"the profile stays below the level up to {point.x:.4g}", n)
    return None


def _cut(side: float, bound: float) -> str:
    return f"the interval ends at the {'lower' if side < 0.0 else 'upper'} bound {bound:g}"


def _first_guess(profile: Profile, level: float, side: float) -> float:
    """Where a parabola with the slope and curvature at the best fit reaches the level.

    At a bound the slope is not zero: q = 2 g d + d^2 / sigma^2, solved for the distance d.
    """
    gradient = profile.steepness
    curvature = 0.0 if profile.sigma is None else profile.sigma**-2
    if curvature == 0.0 and gradient == 0.0:
        return profile.best + side * max(1.0, abs(profile.best))
    root = np.sqrt(gradient**2 + curvature * level**2)
    return float(profile.best + side * level**2 / (gradient + root))


def _next_guess(
    profile: Profile,
    point: ProfilePoint,
    inner: ProfilePoint,
    outer: ProfilePoint | None,
    level: float,
    side: float,
) -> float:
    """Newton's step on sqrt(q), kept inside the bracket; bisection or doubling where it fails."""
    slope = point.slope / (2.0 * point.root) if point.root > 0.0 else 0.0
    newton = point.x + (level - point.root) / slope if slope * side > 0.0 else np.nan
    if outer is None:
        reach = side * (point.x - profile.best)
        farthest = profile.best + side * 3.0 * reach
        return farthest if np.isnan(newton) else side * min(side * newton, side * farthest)
    low, high = sorted((inner.x, outer.x))
    return float(newton) if low < newton < high else 0.5 * (low + high)
