r"""Intervals of many toys: every method as a pure function of one toy and its best fit.

=====================  ===============================================================================
`Hessian`              theta_hat -+ z sigma, cut at the bounds
`Profile`              q(x) <= chi2_1 quantile of cl (likelihood ratio, MINOS)
`Belt`                 q(x) <= c(x), the critical values found by toys (Feldman & Cousins)
`CLs`                  upper limit: CLs(x) >= 1 - cl, asymptotic, by q_mu_tilde
`Credible`             highest posterior density under a flat prior of the parameter of interest
=====================  ===============================================================================

with q(x) = -2 log L(x, theta_hat_hat) / L(theta_hat).  What a method returns are `Ends`, one pair for
each confidence level.  The crossings of `Profile` and `Belt` are found as in `profiles`: Newton's
method on sqrt(q), whose slope the envelope theorem gives free of cost, inside a shrinking bracket.

`Credible` integrates the nuisance parameters out by Laplace's method around each conditional fit,

.. math::  p(x \mid \mathrm{data}) \propto L(x, \hat{\hat\theta}) \, \det H_{\theta\theta}(x)^{-1/2},

with the constraint terms in L, hence read as priors (Tierney & Kadane, JASA 81 (1986) 82, eq. 4.1).

References: Cowan et al., arXiv:1007.1727 (eqs. 8, 14, 16); Feldman & Cousins, arXiv:physics/9711021;
Read, J. Phys. G 28 (2002) 2693 (CLs).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Bool, Float, Int

from infer.data import Data
from infer.inference.ensembles import Toy
from infer.inference.minimize import CONVERGED, Minimum, Newton, minimize, restricted
from infer.inference.profiles import DEEPER as DEEPER_BY
from infer.inference.toy_fits import ConditionalFit, Fits, Model, conditional_box, tangent
from infer.likelihood import Likelihood
from infer.numerics.asymptotics import log_cls
from infer.typing import Scalar, Vector

Levels = Float[Array, " k"]

SEARCHING, CROSSED, AT_BOUND, FAR, FAILED, DEEPER, LOST = range(7)
MESSAGES = {
    CROSSED: "the profile crosses the level",
    AT_BOUND: "the interval ends at a bound",
    FAR: "the profile stays below the level",
    FAILED: "a conditional fit did not converge",
    DEEPER: "a conditional fit lies below the best fit",
    LOST: "no crossing was found",
}
GOOD = (CROSSED, AT_BOUND)

_MAX_FITS = 40
_TOLERANCE = 1e-4  # on sqrt(q): an end good to 1e-4 standard deviations
_FAR = 1e3  # standard deviations after which an end counts as infinitely far
_GRID = 33  # conditional fits of a posterior
_REACH = 5.0  # root of q up to which it is taken; 4e-6 of its maximum is left there
_FINE = 2049  # points that its integral is taken over


class Ends(eqx.Module):
    """Ends of intervals at K confidence levels.

    Args:
        low: Lower ends with shape (K,).
        high: Upper ends with shape (K,).
        low_status: Codes of `MESSAGES` with shape (K,).
        high_status: Codes of `MESSAGES` with shape (K,).
        deeper: A point below the best fit, where a status is `DEEPER`, with shape (P,).
    """

    low: Levels
    high: Levels
    low_status: Int[Array, " k"]
    high_status: Int[Array, " k"]
    deeper: Vector


class Shared(NamedTuple):
    """What a method works on, beside the toy."""

    model: Model
    levels: Levels  # confidence levels
    grid: Float[Array, " g"]  # where critical values are known, see `Belt`
    critical: Float[Array, "k g"]  # those values
    values: Float[Array, " t"] = jnp.zeros(0)  # where `Held` holds the parameter of interest


@runtime_checkable
class Method(Protocol):
    """What is asked of every toy; hashable."""

    @property
    def name(self) -> str:
        """Of the columns that it makes."""

    def __call__(self, shared: Shared, problem: tuple[Toy, Fits], /) -> Ends:
        """The answer for one toy."""


@dataclass(frozen=True)
class Hessian:
    """Wald: symmetric in the parameter, from the Hessian."""

    solver: Newton
    name: ClassVar[str] = "hessian"

    def __call__(self, shared: Shared, problem: tuple[Toy, Fits]) -> Ends:
        """Ends at every confidence level, for one toy."""
        _, best = problem
        model, at = shared.model, shared.model.at
        reach = _standard_deviations(shared.levels) * best.sigma
        low, high = best.theta[at] - reach, best.theta[at] + reach
        failed = ~jnp.isfinite(reach)

        def judged(cut: Bool[Array, " k"]) -> Int[Array, " k"]:
            return jnp.where(failed, FAILED, jnp.where(cut, AT_BOUND, CROSSED))

        lower, upper = model.box.lower[at], model.box.upper[at]
        return Ends(
            jnp.maximum(low, lower),
            jnp.minimum(high, upper),
            judged(low <= lower),
            judged(high >= upper),
            best.theta,
        )


@dataclass(frozen=True)
class Profile:
    """Likelihood ratio against its asymptotic distribution."""

    solver: Newton
    name: ClassVar[str] = "profile"

    def __call__(self, shared: Shared, problem: tuple[Toy, Fits]) -> Ends:
        """Ends at every confidence level, for one toy."""
        flat = jnp.broadcast_to(_standard_deviations(shared.levels)[:, None], (shared.levels.shape[0], 1))
        return _crossings(shared.model, problem, jnp.zeros(1), flat, self.solver)


@dataclass(frozen=True)
class Held:
    """No interval, but ``-log L`` at given values of the parameter of interest, in the place of lower ends."""

    solver: Newton
    name: ClassVar[str] = "test"

    def __call__(self, shared: Shared, problem: tuple[Toy, Fits]) -> Ends:
        """``-log L``, whose status is `DEEPER` where it lies below that of the best fit."""
        toy, best = problem

        def at_value(x: Scalar) -> tuple[Scalar, Vector, Int[Array, ""]]:
            return ConditionalFit(self.solver)(shared.model, (toy, best, x))

        nll, theta, status = jax.lax.map(at_value, shared.values)
        deeper = nll < best.nll - 0.5 * DEEPER_BY
        code = jnp.where(status == CONVERGED, jnp.where(deeper, DEEPER, CROSSED), FAILED)
        return Ends(nll, nll, code, code, theta[jnp.argmax(code == DEEPER)])


@dataclass(frozen=True)
class Belt:
    """Likelihood ratio against critical values that toys gave, interpolated between them."""

    solver: Newton
    name: ClassVar[str] = "feldman-cousins"

    def __call__(self, shared: Shared, problem: tuple[Toy, Fits]) -> Ends:
        """Ends at every confidence level, for one toy."""
        return _crossings(shared.model, problem, shared.grid, jnp.sqrt(shared.critical), self.solver)


class _Walk(NamedTuple):
    """State of the search for one end."""

    x: Scalar
    start: Vector  # of the conditional fit there
    inner: Scalar  # the farthest point below the level
    outer: Scalar  # the nearest point above it, infinite at first
    end: Scalar
    status: Int[Array, ""]
    deeper: Vector
    n_fits: Int[Array, ""]


def _crossings(
    model: Model, problem: tuple[Toy, Fits], grid: Float[Array, " g"], roots: Float[Array, "k g"], solver: Newton
) -> Ends:
    """Both ends for every row of ``roots``: the level of sqrt(q), as a function of x given on a grid."""
    toy, best = problem
    likelihood = model.rebuilt(toy)
    k = roots.shape[0]

    def one(task: tuple[Float[Array, " g"], Scalar]) -> _Walk:
        row, side = task
        return _walk(likelihood, model, toy.data, best, grid, row, side, solver)

    sides = jnp.repeat(jnp.asarray([-1.0, 1.0]), k)
    ended = jax.lax.map(one, (jnp.concatenate([roots, roots]), sides))
    below = jnp.argmax(ended.status == DEEPER)
    return Ends(ended.end[:k], ended.end[k:], ended.status[:k], ended.status[k:], ended.deeper[below])


def _walk(
    likelihood: Likelihood,
    model: Model,
    data: Data,
    best: Fits,
    grid: Float[Array, " g"],
    roots: Float[Array, " g"],
    side: Scalar,
    solver: Newton,
) -> _Walk:
    """Where sqrt(q) reaches its level on one side of the best fit; see `profiles`."""
    at = model.at
    centre = best.theta[at]
    bound = jnp.where(side < 0.0, model.box.lower[at], model.box.upper[at])
    at_bound = side * (centre - bound) >= 0.0
    guess = _first_guess(best, centre, jnp.interp(centre, grid, roots), side)
    guess = side * jnp.minimum(side * guess, side * bound)
    sigma = jnp.where(best.sigma > 0.0, best.sigma, jnp.inf)

    def searching(walk: _Walk) -> Bool[Array, ""]:
        return walk.status == SEARCHING

    def step(walk: _Walk) -> _Walk:
        x = walk.x
        minimum = minimize(likelihood, data, conditional_box(model, walk.start, x), solver=solver)
        q = 2.0 * (minimum.curvature.value - best.nll)
        root, level = jnp.sqrt(jnp.maximum(q, 0.0)), jnp.interp(x, grid, roots)
        impossible = ~jnp.isfinite(q)  # a negative rate, say: it lies beyond the end
        below = (root < level) & ~impossible
        n_fits = walk.n_fits + 1
        status = jnp.where(n_fits >= _MAX_FITS, LOST, SEARCHING)
        status = jnp.where(side * (x - centre) > _FAR * sigma, FAR, status)
        status = jnp.where(below & (x == bound), AT_BOUND, status)
        status = jnp.where(jnp.abs(root - level) < _TOLERANCE, CROSSED, status)
        status = jnp.where(q < -DEEPER_BY, DEEPER, status)
        status = jnp.where(minimum.status != CONVERGED, FAILED, status)
        status = jnp.where(impossible & (n_fits < _MAX_FITS), SEARCHING, status)
        inner = jnp.where(below, x, walk.inner)
        outer = jnp.where(below, walk.outer, x)
        ahead = _next_guess(minimum, at, x, root, level, inner, outer, centre, side)
        ahead = side * jnp.minimum(side * ahead, side * bound)
        # The next fit starts on the tangent through the point just found.
        start = tangent(eqx.tree_at(lambda b: b.theta, best, minimum.theta), at, ahead)
        start = jnp.where(impossible, tangent(best, at, ahead), start)
        return _Walk(ahead, start, inner, outer, x, status, minimum.theta, n_fits)

    begin = _Walk(
        x=guess,
        start=tangent(best, at, guess),
        inner=centre,
        outer=side * jnp.inf,
        end=bound,
        status=jnp.where(at_bound, AT_BOUND, SEARCHING),
        deeper=best.theta,
        n_fits=jnp.asarray(0),
    )
    return jax.lax.while_loop(searching, step, begin)


def _first_guess(best: Fits, centre: Scalar, level: Scalar, side: Scalar) -> Scalar:
    """Where the parabola with the slope and curvature at the best fit reaches the level."""
    slope = jnp.maximum(side * best.slope, 0.0)
    curvature = jnp.where(best.sigma > 0.0, best.sigma**-2, 0.0)
    root = jnp.sqrt(slope**2 + curvature * level**2)
    known = (slope + root) > 0.0
    reach = jnp.where(known, level**2 / jnp.where(known, slope + root, 1.0), jnp.maximum(1.0, jnp.abs(centre)))
    return centre + side * reach


def _next_guess(
    minimum: Minimum,
    at: Int[Array, ""],
    x: Scalar,
    root: Scalar,
    level: Scalar,
    inner: Scalar,
    outer: Scalar,
    centre: Scalar,
    side: Scalar,
) -> Scalar:
    """Newton's step on sqrt(q), kept inside the bracket; bisection or trebling where it fails."""
    slope = side * minimum.curvature.gradient[at] / jnp.where(root > 0.0, root, jnp.inf)
    newton = x + side * (level - root) / jnp.where(slope > 0.0, slope, jnp.nan)
    farthest = centre + side * 3.0 * side * (x - centre)
    outside = jnp.where(jnp.isfinite(newton), side * jnp.minimum(side * newton, side * farthest), farthest)
    within = (side * newton > side * inner) & (side * newton < side * outer)
    return jnp.where(jnp.isfinite(outer), jnp.where(within, newton, 0.5 * (inner + outer)), outside)


class _Bracket(NamedTuple):
    """State of the search for a CLs limit."""

    low: Scalar
    f_low: Scalar
    high: Scalar
    f_high: Scalar
    x: Scalar
    theta: Vector
    theta_asimov: Vector
    status: Int[Array, ""]
    n: Int[Array, ""]


@dataclass(frozen=True)
class CLs:
    """Upper limits by CLs with q_mu_tilde and its asymptotic distribution; the lower end is the lower bound."""

    solver: Newton
    name: ClassVar[str] = "cls"

    def __call__(self, shared: Shared, problem: tuple[Toy, Fits]) -> Ends:
        """Ends at every confidence level, for one toy."""
        toy, best = problem
        model, at = shared.model, shared.model.at
        likelihood = model.rebuilt(toy)
        zero = jnp.maximum(jnp.zeros(()), model.box.lower[at])
        null = minimize(likelihood, toy.data, conditional_box(model, tangent(best, at, zero), zero), solver=self.solver)
        asimov = likelihood.expected(null.theta)
        floor = -likelihood.logpdf(null.theta, asimov)
        # q_mu_tilde: an estimate below zero is replaced by zero (arXiv:1007.1727, eq. 16).
        centre = jnp.maximum(best.theta[at], zero)
        reference = jnp.where(best.theta[at] < zero, null.curvature.value, best.nll)

        def at_value(x: Scalar, theta: Vector, theta_asimov: Vector) -> tuple[Scalar, Minimum, Minimum]:
            seen = minimize(likelihood, toy.data, conditional_box(model, theta, x), solver=self.solver)
            expected = minimize(likelihood, asimov, conditional_box(model, theta_asimov, x), solver=self.solver)
            q = jnp.where(x > centre, 2.0 * (seen.curvature.value - reference), 0.0)
            q_asimov = 2.0 * (expected.curvature.value - floor)
            return log_cls(jnp.maximum(q, 0.0), jnp.maximum(q_asimov, 0.0)), seen, expected

        def limit(cl: Scalar) -> _Bracket:
            wanted = jnp.log1p(-cl)
            return _cls_limit(at_value, best, null.theta, centre, model.box.upper[at], wanted, at)

        found = jax.lax.map(limit, shared.levels)
        failed = (null.status != CONVERGED) | (found.status == FAILED)
        lower = jnp.full_like(shared.levels, model.box.lower[at])
        return Ends(
            lower,
            found.x,
            jnp.where(failed, FAILED, AT_BOUND),
            jnp.where(failed, FAILED, found.status),
            best.theta,
        )


def _cls_limit(at_value, best, theta_null, centre, bound, wanted, at) -> _Bracket:  # type: ignore[no-untyped-def]
    """Where log CLs falls to ``wanted``: secant steps inside a bracket, Illinois' way."""
    sigma = jnp.where(best.sigma > 0.0, best.sigma, jnp.maximum(1.0, jnp.abs(centre)))

    def step(s: _Bracket) -> _Bracket:
        x = jnp.minimum(s.x, bound)
        value, seen, expected = at_value(x, s.theta, s.theta_asimov)
        f, n = value - wanted, s.n + 1
        fine = (seen.status == CONVERGED) & (expected.status == CONVERGED)
        above = f > 0.0  # CLs still too large: the limit lies higher
        low, f_low = jnp.where(above, x, s.low), jnp.where(above, f, s.f_low)
        high, f_high = jnp.where(above, s.high, x), jnp.where(above, s.f_high, f)
        # The end that stays counts half, so that the other one moves too.
        f_high = jnp.where(above & jnp.isfinite(s.high), 0.5 * f_high, f_high)
        f_low = jnp.where(~above, 0.5 * f_low, f_low)
        secant = low + (high - low) * f_low / (f_low - f_high)
        ahead = jnp.where(jnp.isfinite(high), secant, low + 1.5 * (low - centre) + sigma)
        ahead = jnp.where((ahead > low) & (ahead < high), ahead, 0.5 * (low + high))
        ahead = jnp.where(jnp.isfinite(high), ahead, jnp.minimum(low + 1.5 * (low - centre) + sigma, bound))
        status = jnp.where(n >= _MAX_FITS, LOST, SEARCHING)
        status = jnp.where(above & (x == bound), AT_BOUND, status)
        done = (jnp.abs(f) < _TOLERANCE) | (jnp.isfinite(high) & (high - low < _TOLERANCE * sigma))
        status = jnp.where(done, CROSSED, status)
        status = jnp.where(fine, status, FAILED)
        x = jnp.where(status == SEARCHING, ahead, x)
        return _Bracket(low, f_low, high, f_high, x, seen.theta, expected.theta, status, n)

    begin = _Bracket(
        low=centre,
        f_low=jnp.log(0.5) - wanted,
        high=jnp.asarray(jnp.inf),
        f_high=jnp.asarray(-jnp.inf),
        x=centre - ndtri(0.5 * jnp.exp(wanted)) * sigma,
        theta=tangent(best, at, centre),
        theta_asimov=theta_null,
        status=jnp.asarray(SEARCHING),
        n=jnp.asarray(0),
    )
    return jax.lax.while_loop(lambda s: s.status == SEARCHING, step, begin)


@dataclass(frozen=True)
class Credible:
    """Highest posterior density, nuisance parameters integrated out by Laplace's method."""

    solver: Newton
    name: ClassVar[str] = "credible"

    def __call__(self, shared: Shared, problem: tuple[Toy, Fits]) -> Ends:
        """Ends at every confidence level, for one toy."""
        toy, best = problem
        model, at = shared.model, shared.model.at
        likelihood = model.rebuilt(toy)
        lower, upper = model.box.lower[at], model.box.upper[at]

        def walk(side: Scalar) -> _Walk:
            return _walk(likelihood, model, toy.data, best, jnp.zeros(1), jnp.full(1, _REACH), side, self.solver)

        walks = jax.lax.map(walk, jnp.asarray([-1.0, 1.0]))
        low, high = walks.end

        def at_point(theta: Vector, x: Scalar) -> tuple[Vector, tuple[Scalar, Int[Array, ""]]]:
            start = tangent(eqx.tree_at(lambda b: b.theta, best, theta), at, x)
            minimum = minimize(likelihood, toy.data, conditional_box(model, start, x), solver=self.solver)
            factor = jnp.linalg.cholesky(restricted(minimum.curvature.hessian, minimum.inactive))
            log_density = -minimum.curvature.value - jnp.sum(jnp.log(jnp.diagonal(factor)))
            return minimum.theta, (log_density, minimum.status)

        _, (log_density, status) = jax.lax.scan(at_point, walks.deeper[0], jnp.linspace(low, high, _GRID))
        density = jnp.exp(_cubic(log_density - jnp.max(log_density), _FINE))
        lows, highs = _highest_density(jnp.linspace(low, high, _FINE), density, shared.levels)
        reached = jnp.all((walks.status == CROSSED) | (walks.status == AT_BOUND))
        failed = jnp.any(status != CONVERGED) | ~jnp.all(jnp.isfinite(density)) | ~reached
        bad = jnp.where(jnp.any(walks.status == DEEPER), DEEPER, jnp.where(failed, FAILED, CROSSED))

        def judged(at_bound: Bool[Array, " k"]) -> Int[Array, " k"]:
            return jnp.where(bad != CROSSED, bad, jnp.where(at_bound, AT_BOUND, CROSSED))

        deeper = walks.deeper[jnp.argmax(walks.status == DEEPER)]
        return Ends(lows, highs, judged(lows == lower), judged(highs == upper), deeper)


def _cubic(values: Float[Array, " g"], n: int) -> Float[Array, " n"]:
    """Catmull and Rom's cubic through equidistant values, at n equidistant points."""
    position = jnp.linspace(0.0, values.shape[0] - 1.0, n)
    i = jnp.clip(jnp.floor(position).astype(int), 0, values.shape[0] - 2)
    t = position - i.astype(position.dtype)
    padded = jnp.concatenate(
        [
            2.0 * values[:1] - values[1:2],
            values,
            2.0 * values[-1:] - values[-2:-1],
        ]
    )
    a, b, c, d = (padded[i + k] for k in range(4))
    return b + 0.5 * t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a)))


def _highest_density(x: Float[Array, " n"], density: Float[Array, " n"], levels: Levels) -> tuple[Levels, Levels]:
    """The smallest interval that holds each share of the integral, for a density with one maximum."""
    weight = jnp.where((jnp.arange(x.shape[0]) == 0) | (jnp.arange(x.shape[0]) == x.shape[0] - 1), 0.5, 1.0)
    mass = weight * density / jnp.sum(weight * density)
    order = jnp.argsort(-density)
    reached = jnp.cumsum(mass[order])

    def one(cl: Scalar) -> tuple[Scalar, Scalar]:
        n = jnp.searchsorted(reached, cl).astype(int) + 1
        inside = jnp.zeros(x.shape[0], dtype=bool).at[order].set(jnp.arange(x.shape[0]) < n)
        return jnp.min(jnp.where(inside, x, jnp.inf)), jnp.max(jnp.where(inside, x, -jnp.inf))

    return jax.vmap(one)(levels)


def _standard_deviations(levels: Levels) -> Levels:
    """Half-width of a two-sided Gaussian interval: root of the chi2_1 quantile."""
    return -ndtri(0.5 * (1.0 - levels))


METHODS: dict[str, Callable[[Newton], Method]] = {
    method.name: method for method in (Hessian, Profile, Belt, CLs, Credible)
}
