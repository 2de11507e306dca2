r"""Contours: the profile likelihood of two parameters on a grid.

With L(x, y) the likelihood maximised over all parameters but two,

.. math::
    q(x, y) = -2 \ln L(x, y) / L(\hat\theta),

the region of confidence level ``cl`` is where q is at most the chi2_2 quantile of it, -2 ln(1 - cl): 2.30 at 68.27 %,
5.99 at 95 % (Wilks; Cowan et al., arXiv:1007.1727, eq. 35; Particle Data Group, Review of Particle Physics, Statistics,
table of Delta chi2 for joint estimates of parameters).  Its shadow on an axis is longer than the interval of
that parameter alone, whose level is the chi2_1 quantile.

Every grid point is a fit of its own, near the best fit: see `refits`.  With H the Hessian at the best fit and h the
two parameters, the others start on the tangent plane,

.. math::
    \theta_F = \hat\theta_F - H_{FF}^{-1} H_{Fh}\, (h - \hat h),

on a coarse grid, and on the fine one where cubics through the coarse fits say.  At last every fit is compared with
those of its four neighbours: where a neighbour's minimum, carried over along the tangent plane, lies below its own,
it was a local one, and is searched for again from there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from infer.certificate import Certificate
from infer.data import Data
from infer.errors import ParameterError
from infer.inference.batches import each
from infer.inference.fits import FitResult, Settings, fit
from infer.inference.minimize import CONVERGED, Newton
from infer.inference.profiles import DEEPER, ONE_SIGMA
from infer.inference.refits import Near, elsewhere, refit, vicinity
from infer.likelihood import Likelihood
from infer.typing import Scalar, Vector

FloatArray = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

_REACH = 3.0  # standard deviations from the best fit to the edge of a grid, at least
_STRIDE = 6  # points of the fine grid from one of the coarse grid to the next
_LOWER = 1e-6  # in 2NLL: more than the minimiser leaves
_ROUNDS = 10  # of comparing with neighbours
_RESTARTS = 3


@dataclass(frozen=True, eq=False)
class Contour:
    """The profile likelihood of two parameters on a grid.

    Attributes:
        names: The two parameters, x and y.
        x: Values of the first with shape (Nx,), rising.
        y: Values of the second with shape (Ny,), rising.
        delta_twice_nll: 2NLL of the conditional fits above that of the best fit, with shape (Ny, Nx); NaN where a fit
            has no certificate.
        cl: Confidence levels.
        covariance: Of the two parameters, from the Hessian, with shape (2, 2); NaN where it gives none.
        n_failed: Conditional fits without a certificate.
        fit: The best fit.
        certificate: That of the best fit, with what there is to say of the grid.
        seconds: Wall-clock time in seconds.
    """

    names: tuple[str, str]
    x: FloatArray
    y: FloatArray
    delta_twice_nll: FloatArray
    cl: tuple[float, ...]
    covariance: FloatArray
    n_failed: int
    fit: FitResult
    certificate: Certificate
    seconds: float

    @property
    def best(self) -> tuple[float, float]:
        """Best fit of the two parameters."""
        return self.fit.value(self.names[0]), self.fit.value(self.names[1])

    @property
    def levels(self) -> tuple[float, ...]:
        """Where the regions end: see `level`."""
        return tuple(level(cl) for cl in self.cl)

    def extent(self, cl: float) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """Range of each parameter inside a region, sqrt(q) straight between points; None without a point inside."""
        if not np.any(self.delta_twice_nll <= level(cl)):
            return None
        q = np.where(np.isnan(self.delta_twice_nll), np.inf, self.delta_twice_nll)
        return _range(self.x, q.min(axis=0), level(cl)), _range(self.y, q.min(axis=1), level(cl))

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer contour --json``."""
        rows = self.delta_twice_nll.tolist()
        return {
            "parameters": list(self.names),
            "x": self.x.tolist(),
            "y": self.y.tolist(),
            "delta_twice_nll": [[q if np.isfinite(q) else None for q in row] for row in rows],
            "cl": list(self.cl),
            "levels": list(self.levels),
            "best": list(self.best),
            "n_failed": self.n_failed,
            "certificate": self.certificate.to_json_dict(),
            "fit": self.fit.to_json_dict(),
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        """Best fit and grid, in one line."""
        a, b = self.names
        verdict = "; ".join(self.certificate.objections) or f"{self.n_failed} without a certificate"
        return (
            f"{a} = {self.best[0]:.6g}, {b} = {self.best[1]:.6g}; "
            f"{self.x.size} x {self.y.size} conditional fits ({verdict})"
        )

    def table(self) -> str:
        """The regions by confidence level, with the range of each parameter."""
        lines = [str(self), "", f"  {'CL':>9}  {'delta 2NLL':>10}  ranges within"]
        for cl in self.cl:
            extent = self.extent(cl)
            ranges = "no grid point lies within" if extent is None else "  ".join(map(_bracket, self.names, extent))
            lines.append(f"  {100 * cl:>7.4g} %  {level(cl):>10.4f}  {ranges}")
        return "\n".join([*lines, *(f"Note: {text}" for text in self.certificate.notices)])


def level(cl: float) -> float:
    """chi2_2 quantile: what 2NLL of two parameters may rise by; the survival function is exp(-q / 2)."""
    return float(-2.0 * np.log1p(-cl))


def _range(x: FloatArray, q: FloatArray, height: float) -> tuple[float, float]:
    inside = np.flatnonzero(q <= height)
    return _end(x, q, height, int(inside[0]), -1), _end(x, q, height, int(inside[-1]), 1)


def _end(x: FloatArray, q: FloatArray, height: float, at: int, step: int) -> float:
    """Where q crosses a height between a point within and the next, or the last point."""
    beyond = at + step
    if not 0 <= beyond < x.size or not np.isfinite(q[beyond]):
        return float(x[at])
    here, there, goal = np.sqrt(np.maximum([q[at], q[beyond], height], 0.0))
    return float(x[at] + (x[beyond] - x[at]) * (goal - here) / (there - here))


def _bracket(name: str, ends: tuple[float, float]) -> str:
    return f"{name} [{ends[0]:.5g}, {ends[1]:.5g}]"


def contour(
    likelihood: Likelihood,
    data: Data,
    *,
    parameters: tuple[str, str],
    cl: Sequence[float] = (ONE_SIGMA, 0.95),
    points: tuple[int, int] = (50, 50),
    ranges: Mapping[str, tuple[float, float]] | None = None,
    grids: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    fitted: FitResult | None = None,
    settings: Settings | None = None,
) -> Contour:
    """Profile likelihood of two parameters on a grid, for contours.

    Args:
        likelihood: Any likelihood.
        data: Data for it.
        parameters: The two parameters, x and y.
        cl: Confidence levels, joint for both.
        points: Grid points in x and y.
        ranges: Ends of the grid by parameter; otherwise three standard deviations about the best fit (or what the
            highest confidence level needs), cut at the parameter's bounds.
        grids: Values of x and of y, rising, instead of ``points`` and ``ranges``.
        fitted: The best fit, if there is one already.
        settings: Settings of the fits.

    Raises:
        ParameterError: A name is unknown, given twice or fixed; a confidence level is not between 0 and 1; or a grid
            has fewer than two points, does not rise, or leaves the parameter's bounds.
        DataError: The data do not fit the likelihood.
    """
    began = time.perf_counter()
    settings = settings or Settings()
    _check_levels(cl)
    best = fitted or fit(likelihood, data, settings=settings)
    _check_names(best, parameters)
    x, y = (
        _grid(best, name, n, ranges or {}, given, max(map(level, cl)))
        for name, n, given in zip(parameters, points, grids or (None, None), strict=True)
    )
    _check_ranges(parameters, ranges or {}, grids)
    q, theta = _profiled(likelihood, data, best, parameters, (x, y), settings.solver)
    for _ in range(_RESTARTS):
        if not np.nanmin(q, initial=0.0) < -DEEPER:
            break
        lowest = theta[np.unravel_index(np.nanargmin(q), q.shape)]
        best = _searched_from(likelihood, data, best, lowest, settings)
        q, theta = _profiled(likelihood, data, best, parameters, (x, y), settings.solver)
    return Contour(
        names=(parameters[0], parameters[1]),
        x=x,
        y=y,
        delta_twice_nll=q,
        cl=tuple(map(float, cl)),
        covariance=_joint_covariance(best, parameters),
        n_failed=int(np.sum(np.isnan(q))),
        fit=best,
        certificate=_certificate(best, q, (x, y), parameters, cl),
        seconds=time.perf_counter() - began,
    )


def _check_levels(cl: Sequence[float]) -> None:
    if not cl:
        raise ParameterError("a contour needs at least one confidence level, such as cl=(0.68, 0.95), got none.")
    for one in cl:
        if not 0.0 < one < 1.0:
            raise ParameterError(f"cl must lie between 0 and 1, got {one!r}; write 95 % as 0.95.")


def _check_names(best: FitResult, names: Sequence[str]) -> None:
    if isinstance(names, str) or len(names) != 2 or names[0] == names[1]:
        raise ParameterError(f"a contour is of two different parameters, such as ('mu', 'jes'), got {names!r}.")
    for name in names:
        if best.parameters[name].fixed:
            raise ParameterError(f"parameter {name!r} is fixed, so that there is no contour of it; name another.")


def _check_ranges(names: Sequence[str], ranges: Mapping[str, object], grids: object) -> None:
    for name in ranges:
        if name not in names:
            raise ParameterError(f"a range is given for {name!r}, but the contour is of {' and '.join(names)}.")
    if ranges and grids is not None:
        raise ParameterError("grids say where the points lie: give either grids or ranges, got both.")


def _grid(
    best: FitResult,
    name: str,
    n: int,
    ranges: Mapping[str, tuple[float, float]],
    given: npt.ArrayLike | None,
    highest: float,
) -> FloatArray:
    """Values of one parameter."""
    low, high = best.parameters[name].bounds
    if given is not None:
        grid = np.asarray(given, dtype=float)
    elif name in ranges:
        grid = np.linspace(*ranges[name], n)
    else:
        value, sigma = best.value(name), best.uncertainty(name)
        reach = max(_REACH, 1.2 * float(np.sqrt(highest))) * (sigma or max(1.0, abs(value)))
        grid = np.linspace(max(value - reach, low), min(value + reach, high), n)
    if grid.ndim != 1 or grid.size < 2 or not np.all(np.isfinite(grid)) or not np.all(np.diff(grid) > 0.0):
        raise ParameterError(f"the grid of {name!r} needs two or more finite, rising values, got {grid.tolist()[:5]}.")
    if grid[0] < low or grid[-1] > high:
        raise ParameterError(
            f"the grid of {name!r} must lie within its bounds ({low:g}, {high:g}), got ({grid[0]:g}, {grid[-1]:g}); "
            "change the range or the bounds."
        )
    return grid


def _searched_from(
    likelihood: Likelihood, data: Data, best: FitResult, theta: FloatArray, settings: Settings
) -> FitResult:
    """The best fit, searched from a point that lies below the one before."""
    free = (n for n in best.parameters if n not in settings.fixed and not best.parameters[n].fixed)
    start = {name: float(theta[best.parameters.position(name)]) for name in free}
    return fit(likelihood, data, poi=best.poi, settings=replace(settings, start=start))


def _joint_covariance(best: FitResult, names: Sequence[str]) -> FloatArray:
    """Covariance of the two parameters, NaN where one is at a bound."""
    at = best.parameters.positions(names)
    block = best.covariance[np.ix_(at, at)]
    return block if np.all(np.diagonal(block) > 0.0) else np.full((2, 2), np.nan)


def _certificate(
    best: FitResult, q: FloatArray, grids: tuple[FloatArray, FloatArray], names: Sequence[str], cl: Sequence[float]
) -> Certificate:
    """The best fit's, with what there is to say of the grid."""
    certificate, failed = best.certificate, int(np.sum(np.isnan(q)))
    if not certificate.trustworthy:
        return certificate
    if np.nanmin(q, initial=0.0) < -DEEPER:
        return replace(certificate, converged=False, message="the profile lies below the best fit again and again")
    notices = list(certificate.notices)
    if failed:
        notices.append(f"{failed} of {q.size} conditional fits have no certificate, and leave a gap")
    sides = zip(names, grids, (1, 0), strict=True)  # x runs along the second axis of the table
    edges = np.concatenate([edge for side in sides for edge in _open_edges(best, q, *side)])
    cut = [f"{100 * one:.4g} %" for one in cl if np.any(edges < level(one))]
    if cut:
        notices.append(f"the region at {', '.join(cut)} reaches the edge of the grid; widen the ranges")
    return replace(certificate, notices=tuple(notices))


def _open_edges(best: FitResult, q: FloatArray, name: str, grid: FloatArray, axis: int) -> list[FloatArray]:
    """q along those edges of the grid that are no bounds of the parameter."""
    ends = zip(grid[[0, -1]].tolist(), best.parameters[name].bounds, (0, -1), strict=True)
    return [np.zeros(0), *(np.asarray(q.take(at, axis=axis)) for end, bound, at in ends if end != bound)]


def _profiled(
    likelihood: Likelihood,
    data: Data,
    best: FitResult,
    names: Sequence[str],
    grids: tuple[FloatArray, FloatArray],
    solver: Newton,
) -> tuple[FloatArray, FloatArray]:
    """q with shape (Ny, Nx), NaN without a certificate, and the fits with shape (Ny, Nx, P)."""
    (x, y), size = grids, len(best.parameters)
    if not best.certificate.trustworthy:
        return np.full((y.size, x.size), np.nan), np.full((y.size, x.size, size), np.nan)
    plane = _Plane(likelihood, data, best, best.parameters.positions(names), solver)
    coarse = tuple(_coarse(g.size) for g in grids)
    theta, nll, sound = plane.fits(x[coarse[0]], y[coarse[1]], None)
    if theta.shape[:2] != (y.size, x.size):
        weights = [_cubic(g[at], g) for g, at in zip(grids, coarse, strict=True)]
        theta, nll, sound = plane.fits(x, y, np.einsum("jb,bap,ia->jip", weights[1], theta, weights[0]))
    _compare_neighbours(plane, x, y, theta, nll, sound)
    return np.where(sound, 2.0 * nll - best.twice_nll, np.nan), theta


def _nll(shared: tuple[Likelihood, Data], theta: Vector) -> Scalar:
    likelihood, data = shared
    return -likelihood.logpdf(theta, data)


class _Plane:
    """Fits with two parameters held.

    Args:
        likelihood: Any likelihood.
        data: Data for it.
        best: Best fit to them, trustworthy.
        held: Positions of the two with shape (2,).
        solver: Settings of the minimiser.
    """

    def __init__(self, likelihood: Likelihood, data: Data, best: FitResult, held: Indices, solver: Newton) -> None:
        self.likelihood, self.data, self.best, self.held, self.solver = likelihood, data, best, held, solver
        rest = best.inactive.copy()
        rest[held] = False
        at = np.ix_(np.flatnonzero(rest), np.flatnonzero(rest))
        inverse = np.zeros_like(best.hessian)
        inverse[at] = np.linalg.inv(best.hessian[at])
        self.slopes = -inverse @ best.hessian[:, held]  # of the other parameters, with shape (P, 2)
        self.slopes[held] = np.eye(2)
        near = vicinity(likelihood, data, best)
        self.near: Near = eqx.tree_at(
            lambda n: (n.covariance, n.free), near, (jnp.asarray(inverse), near.free.at[held].set(False))
        )

    def fits(
        self, x: FloatArray, y: FloatArray, starts: FloatArray | None
    ) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
        """Fits on a grid: theta with shape (Ny, Nx, P), -logpdf and whether they converged, with shape (Ny, Nx)."""
        places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        tangent = self.best.values + (places - self.best.values[self.held]) @ self.slopes.T
        begin = tangent if starts is None else starts.reshape(tangent.shape)
        begin = np.where(np.isfinite(begin).all(axis=1, keepdims=True), begin, tangent)
        begin[:, self.held] = places
        theta, nll, sound = self.searched(begin)
        return theta.reshape(y.size, x.size, -1), nll.reshape(y.size, x.size), sound.reshape(y.size, x.size)

    def searched(self, starts: FloatArray) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
        """Fits from starts with shape (N, P)."""
        found = refit(self.near, elsewhere(np.asarray(self.data.aux), starts), solver=self.solver)
        return np.array(found.theta), np.array(found.nll), np.asarray(found.status) == CONVERGED

    def carried(self, theta: FloatArray, moves: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Points moved along the tangent plane within the bounds, and -logpdf there."""
        parameters = self.best.parameters
        moved = np.clip(theta + moves @ self.slopes.T, parameters.lower, parameters.upper)
        moved[:, self.held] = theta[:, self.held] + moves
        # Values need no products of matrices, so that many advance together at any size.
        return moved, np.asarray(each(_nll, (self.likelihood, self.data), jnp.asarray(moved), size=1))


def _coarse(n: int) -> Indices:
    """Indices of a coarse grid in a fine one of n points, its ends included; all of a small one."""
    if n <= 2 * _STRIDE:
        return np.arange(n)
    return np.unique(np.round(np.linspace(0, n - 1, 2 + (n - 2) // _STRIDE)).astype(np.intp))


def _cubic(nodes: FloatArray, x: FloatArray) -> FloatArray:
    """Weights of values at nodes with shape (N, K), that interpolate by cubics through the nearest four."""
    k, order = nodes.size, min(4, nodes.size)
    first = np.clip(np.searchsorted(nodes, x, side="right") - order // 2, 0, k - order)
    weights = np.zeros((x.size, k))
    for i in range(order):
        here, factor = nodes[first + i], np.ones(x.size)
        for j in range(order):
            if j != i:
                factor *= (x - nodes[first + j]) / (here - nodes[first + j])
        weights[np.arange(x.size), first + i] = factor
    return weights


def _compare_neighbours(
    plane: _Plane, x: FloatArray, y: FloatArray, theta: FloatArray, nll: FloatArray, sound: npt.NDArray[np.bool_]
) -> None:
    """Search again, in place, where a neighbour's minimum carried over lies below; until there is no such place."""
    places = np.stack(np.meshgrid(x, y), axis=-1)
    tried = np.zeros_like(sound)  # places that failed twice are left alone
    for _ in range(_ROUNDS):
        starts, lowest = theta.copy(), nll.copy()
        for step, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
            here, there = _pairs(sound.shape, step, axis)
            moves = (places[here] - places[there]).reshape(-1, 2)
            moved, value = plane.carried(theta[there].reshape(len(moves), -1), moves)
            usable = sound[there].ravel() & (value < lowest[here].ravel() - 0.5 * _LOWER)
            _put(starts, here, usable, moved)
            _put(lowest, here, usable, value)
        again = (lowest < nll - 0.5 * _LOWER) & ~tried
        if not again.any():
            return
        found, value, converged = plane.searched(starts[again])
        better = converged & (~sound[again] | (value < nll[again]))
        tried[again] = ~better
        at = np.argwhere(again)[better]
        theta[at[:, 0], at[:, 1]], nll[at[:, 0], at[:, 1]] = found[better], value[better]
        sound[at[:, 0], at[:, 1]] = True


def _pairs(shape: tuple[int, ...], step: int, axis: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where places that have a neighbour on one side are, and where these neighbours are."""
    low, high = slice(0, shape[axis] - 1), slice(1, shape[axis])
    here, there = (low, high) if step > 0 else (high, low)
    whole = slice(None)
    return ((here, whole), (there, whole)) if axis == 0 else ((whole, here), (whole, there))


def _put(target: FloatArray, where: tuple[slice, slice], mask: npt.NDArray[np.bool_], values: FloatArray) -> None:
    """Assign to some of the places of a view."""
    view = target[where]
    view[mask.reshape(view.shape[:2])] = values[mask]
