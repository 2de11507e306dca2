r"""The error budget: which source of randomness makes how much of an uncertainty.

The best fit is a function of the data, d theta_hat / d data = -H^-1 d2(-log L) / (d theta d data)
(implicit function theorem; parameters fixed or at a bound held).  Four definitions, each under its
own name, never mixed:

``observables`` (`from_observables`)
    Every independent source of randomness contributes its own variance.  The main data contribute
    H^-1 V H^-1, with V the variance of their score (``information_main``): **stat**.  Auxiliary
    datum a contributes (d poi / d a)^2 Var(a): the **syst** source whose parameter it measures;
    correlated data are taken apart by the symmetric root of their correlation.  The parts add up in
    quadrature, in any order (arXiv:2307.04007, section 3).  Since observed and expected information
    differ in one data set, the parts are quoted as shares of the total that is printed, and the
    ratio of sandwich to inverse Hessian goes into the certificate.
``conditional`` (`from_conditional`)
    A group's parameters are frozen at the best fit; the quadrature difference is its part.  stat is
    what remains with every constrained parameter frozen.  What most papers quote; groups do not add
    up.
``shifted`` (`from_shifts`)
    Each auxiliary datum is moved by one standard deviation both ways and the fit repeated:
    asymmetric.  stat as in ``observables``.
``bootstrap`` (`from_bootstrap`)
    Toys in which one source alone fluctuates, refitted: the referee of the other three.

Free parameters have no auxiliary datum: what data constrain is part of stat.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Bool, Float

from infer.data import Data
from infer.errors import ParameterError
from infer.inference.fits import FitResult, Settings, box_of
from infer.inference.minimize import CONVERGED, Box, Minima, minimize_batch, restricted_inverse
from infer.inference.refits import moving, reference, refit, vicinity
from infer.likelihood import Likelihood
from infer.parameters import Parameters
from infer.threads import one_blas_thread
from infer.typing import Key, Mask, Matrix, Vector

FloatArray = npt.NDArray[np.float64]
Groups = Mapping[str, str | Sequence[str]]

DEFINITIONS = ("observables", "conditional", "shifted", "bootstrap")


@dataclass(frozen=True, eq=False)
class Budget:
    """Parts of a one-standard-deviation uncertainty, in units of the parameter.

    Attributes:
        name: Parameter of interest.
        definition: One of `DEFINITIONS`.
        stat: Part of the main data, (down, up).
        groups: Part of each group of auxiliary data, (down, up), by name.
        total: What the definition itself gives for the total, (down, up).
        sandwich_ratio: Variance by the sandwich over that of the inverse Hessian.
        n_failed: Refits without a certificate; their share of toys or shifts is left out.
    """

    name: str
    definition: str
    stat: tuple[float, float]
    groups: Mapping[str, tuple[float, float]]
    total: tuple[float, float]
    sandwich_ratio: float
    n_failed: int = 0

    @property
    def syst(self) -> tuple[float, float]:
        """All groups together: in quadrature, or for ``conditional`` what stat leaves of the total."""
        if self.definition == "conditional":
            pairs = zip(self.total, self.stat, strict=True)
            return _pair([np.sqrt(max(t**2 - s**2, 0.0)) for t, s in pairs])
        parts = np.asarray(list(self.groups.values())).reshape(-1, 2)
        return _pair(np.sqrt(np.sum(parts**2, axis=0)))


def assign_groups(parameters: Parameters, groups: Groups | None) -> dict[str, str]:
    """Group of every constrained parameter.

    Args:
        parameters: Declarations, with their own groups.
        groups: The user's groups, each with names or regular expressions (full match) of
            parameters; the others keep the group that they declare, else their own name.

    Raises:
        ParameterError: A pattern is no regular expression or matches nothing, or two groups claim
            one parameter.
    """
    assigned = {n: parameters[n].group or n for n in parameters.constrained}
    claimed: dict[str, str] = {}
    for group, given in (groups or {}).items():
        for pattern in [given] if isinstance(given, str) else given:
            names = [n for n in assigned if n == pattern or _matches(pattern, n)]
            if not names:
                raise ParameterError(
                    f"group {group!r}: {pattern!r} matches none of the {len(assigned)} constrained "
                    f"parameters, which begin with {', '.join(list(assigned)[:5])}."
                )
            for name in names:
                if claimed.setdefault(name, group) != group:
                    raise ParameterError(
                        f"parameter {name!r} is claimed by the groups {claimed[name]!r} and "
                        f"{group!r}; make their patterns disjoint."
                    )
    return assigned | claimed


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.fullmatch(pattern, name) is not None
    except re.error as problem:
        raise ParameterError(f"{pattern!r} is no regular expression: {problem}.") from None


@dataclass(frozen=True, eq=False)
class Setting:
    """What all definitions start from."""

    likelihood: Likelihood
    fitted: FitResult
    name: str
    group_of: dict[str, str]  # of each auxiliary datum, in order

    @property
    def at(self) -> int:
        """Position of the parameter of interest."""
        return self.fitted.parameters.position(self.name)

    @property
    def theta(self) -> Vector:
        """Best fit."""
        return jnp.asarray(self.fitted.values)

    @property
    def inactive(self) -> npt.NDArray[np.bool_]:
        """Parameters that respond to data; the parameter of interest also from its bound."""
        mask = self.fitted.inactive.copy()
        mask[self.at] = True
        return mask

    @property
    def names(self) -> list[str]:
        """Groups, in order of first appearance."""
        return list(dict.fromkeys(self.group_of.values()))

    def members(self, group: str) -> npt.NDArray[np.bool_]:
        """Which auxiliary data belong to a group, with shape (A,)."""
        return np.asarray([g == group for g in self.group_of.values()], dtype=bool)


def prepare(likelihood: Likelihood, fitted: FitResult, name: str, groups: Groups | None) -> Setting:
    """Check a request for a budget and resolve its groups."""
    if fitted.parameters[name].fixed:
        raise ParameterError(f"parameter {name!r} is fixed, so that it has no uncertainty.")
    return Setting(likelihood, fitted, name, assign_groups(fitted.parameters, groups))


def from_observables(setting: Setting) -> Budget:
    """``observables``: the derivative of the fit with respect to every datum, in closed form."""
    linear = linear_response(setting)
    aux, stat = linear.aux**2, float(linear.stat)
    parts = {g: float(np.sum(aux[setting.members(g)])) for g in setting.names}
    total = stat + float(np.sum(aux))
    return Budget(
        setting.name,
        "observables",
        _both(stat),
        {g: _both(v) for g, v in parts.items()},
        _both(total),
        total / float(linear.row[setting.at]),
    )


class Linear(NamedTuple):
    """How a parameter of interest responds, to first order.

    Args:
        row: Its row of the inverse Hessian with shape (P,).
        stat: Its variance from the main data.
        aux: How far one standard deviation of each source of auxiliary data moves it, with shape (A,).
    """

    row: FloatArray
    stat: FloatArray
    aux: FloatArray


def linear_response(setting: Setting) -> Linear:
    """The derivative of the fit with respect to its data."""
    fitted, theta = setting.fitted, setting.theta
    hessian, inactive = jnp.asarray(fitted.hessian), jnp.asarray(setting.inactive)
    with one_blas_thread():
        return Linear(*jax.device_get(_responses(setting.likelihood, theta, hessian, inactive, setting.at)))


@eqx.filter_jit
def _responses(
    likelihood: Likelihood, theta: Vector, hessian: Matrix, inactive: Mask, at: Array | int
) -> tuple[Vector, Array, Float[Array, " a"]]:
    """The entries of `Linear`."""
    row = restricted_inverse(hessian, inactive)[at]
    stat = row @ likelihood.information_main(theta) @ row
    response = -row @ likelihood.constraints.score_derivative(theta)
    return row, stat, response @ sources(likelihood.constraints.aux_covariance(theta))


def sources(covariance: Float[Array, "a a"]) -> Float[Array, "a a"]:
    """Independent sources of the auxiliary data, one per column, each as close as can be to its datum.

    With D the widths and R the correlation, covariance = D R D = M M' for M = D R^(1/2), the
    symmetric root: D itself where data are independent, and the same whatever their order.
    Source: Loewdin, J. Chem. Phys. 18 (1950) 365.
    """
    if covariance.shape[0] == 0:
        return covariance
    width = jnp.sqrt(jnp.diagonal(covariance))
    unit = jnp.where(width > 0.0, width, 1.0)
    values, vectors = jnp.linalg.eigh(covariance / jnp.outer(unit, unit))
    root = (vectors * jnp.sqrt(jnp.maximum(values, 0.0))[None, :]) @ vectors.T
    return width[:, None] * root


def from_conditional(setting: Setting) -> Budget:
    """``conditional``: each group frozen at the best fit, quadrature difference to the total."""
    total = _frozen_variance(setting, [])
    constrained = list(setting.group_of)
    parts = {}
    for group in setting.names:
        members = [n for n, g in setting.group_of.items() if g == group]
        parts[group] = _both(max(total - _frozen_variance(setting, members), 0.0))
    return Budget(
        setting.name,
        "conditional",
        _both(_frozen_variance(setting, constrained)),
        parts,
        _both(total),
        from_observables(setting).sandwich_ratio,
    )


def _frozen_variance(setting: Setting, names: Sequence[str]) -> float:
    """Variance of the parameter of interest with some parameters frozen."""
    inactive = setting.inactive
    frozen = [n for n in names if n != setting.name]
    inactive[setting.fitted.parameters.positions(frozen)] = False
    kept = np.flatnonzero(inactive)
    unit = (kept == setting.at).astype(float)
    block = setting.fitted.hessian[np.ix_(kept, kept)]
    return float(np.linalg.solve(block, unit) @ unit)


def from_shifts(setting: Setting, data: Data, settings: Settings) -> Budget:
    """``shifted``: each auxiliary datum moved by one standard deviation both ways, and a refit."""
    linear = from_observables(setting)
    columns = np.asarray(sources(setting.likelihood.constraints.aux_covariance(setting.theta)))
    size = np.max(np.abs(columns), axis=0, initial=0.0)
    felt = np.any(np.abs(columns[_responds(setting)]) > 1e-12 * size, axis=0)
    moves = np.concatenate([columns.T[felt], -columns.T[felt]])
    moved = _moved(setting, data, moves, settings) if len(moves) else np.zeros(0)
    ok = np.isfinite(moved)
    up, down = np.split(np.where(ok, moved, 0.0), 2)
    above = np.maximum(np.maximum(up, down), 0.0)
    below = np.maximum(np.maximum(-up, -down), 0.0)
    groups = {}
    for group in setting.names:
        mask = setting.members(group)[felt]
        groups[group] = _pair([np.sqrt(np.sum(x[mask] ** 2)) for x in (below, above)])
    syst = np.sqrt(np.sum(np.asarray(list(groups.values())).reshape(-1, 2) ** 2, axis=0))
    total = _pair(np.hypot(np.asarray(linear.stat), syst))
    failed = int(np.sum(~ok))
    return Budget(setting.name, "shifted", linear.stat, groups, total, linear.sandwich_ratio, failed)


def _moved(setting: Setting, data: Data, moves: FloatArray, settings: Settings) -> FloatArray:
    """How far each move of the auxiliary data, with shape (M, A), takes the best fit; NaN without a certificate."""
    likelihood, fitted = setting.likelihood, setting.fitted
    found = refit(vicinity(likelihood, data, fitted), moving(likelihood, data, fitted, moves), solver=settings.solver)
    moved: FloatArray = np.where(found.status == CONVERGED, found.theta[:, setting.at], np.nan)
    return moved - reference(fitted, setting.at)


def _responds(setting: Setting) -> npt.NDArray[np.bool_]:
    """Which auxiliary data measure a parameter that a fit can move, with shape (A,)."""
    parameters = setting.fitted.parameters
    return np.asarray([not parameters[n].fixed for n in setting.group_of], dtype=bool)


def from_bootstrap(setting: Setting, key: Key, n_toys: int, settings: Settings) -> Budget:
    """``bootstrap``: toys around the best fit in which one source at a time fluctuates."""
    linear = from_observables(setting)
    sources = {"stat": (True, np.zeros(len(setting.group_of), dtype=bool))}
    sources |= {g: (False, setting.members(g)) for g in setting.names}
    everything = np.ones(len(setting.group_of), dtype=bool)
    spreads, failed = {}, 0
    for source, (main, aux) in {**sources, "total": (True, everything)}.items():
        # One key for all sources: toy i is the same fluctuation, seen through one source each.
        toys = _toys(setting.likelihood, setting.theta, key, n_toys, main, jnp.asarray(aux))
        estimates = _estimates(setting, _refit(setting, toys, settings))
        good = estimates[np.isfinite(estimates)]
        failed += n_toys - good.size
        spreads[source] = _both(float(np.var(good, ddof=1)) if good.size > 1 else np.nan)
    return Budget(
        setting.name,
        "bootstrap",
        spreads["stat"],
        {g: spreads[g] for g in setting.names},
        spreads["total"],
        linear.sandwich_ratio,
        failed,
    )


@eqx.filter_jit
def _toys(likelihood: Likelihood, theta: Vector, key: Key, n_toys: int, main: bool, aux: Bool[Array, " a"]) -> Data:
    """Toys in which only the chosen sources fluctuate about their expectation."""
    asimov = likelihood.expected(theta)

    def one(i: Array) -> Data:
        toy = likelihood.sample(theta, jax.random.fold_in(key, i))
        return Data(toy.main if main else asimov.main, jnp.where(aux, toy.aux, asimov.aux))

    return jax.vmap(one)(jnp.arange(n_toys))


def _refit(setting: Setting, data: Data, settings: Settings) -> Minima:
    """Fits of many data sets, each from the best fit."""
    n = data.aux.shape[0]
    box = box_of(setting.fitted.parameters)
    box = Box(setting.theta, box.lower, box.upper, box.free)
    many = jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *x.shape)), box)
    return minimize_batch(setting.likelihood, data, many, solver=settings.solver)


def _estimates(setting: Setting, minima: Minima) -> FloatArray:
    """Best fits of the parameter of interest with shape (N,); NaN without a certificate."""
    converged = np.asarray(minima.status) == CONVERGED
    return np.where(converged, np.asarray(minima.theta)[:, setting.at], np.nan)


def _both(variance: float) -> tuple[float, float]:
    sigma = float(np.sqrt(variance))
    return sigma, sigma


def _pair(values: Sequence[float] | FloatArray) -> tuple[float, float]:
    down, up = (float(v) for v in values)
    return down, up
