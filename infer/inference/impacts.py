r"""Impacts: how far each nuisance parameter moves the parameter of interest, ranked.

Two definitions, each under its own name, never mixed:

``traditional``
    The nuisance parameter is held one standard deviation above and below its best fit, everything
    else is fitted again, and the impact is how far the best fit of the parameter of interest moves.
    The standard deviation is that after the fit (post-fit impact), or that of the constraint
    (pre-fit impact; none without one).  What pyhf, cabinetry and TRExFitter users call a ranking.
    These impacts are not parts of an uncertainty: they do not add up to it (arXiv:2307.04007,
    section 2).
``global-observables``
    The auxiliary datum that measures the nuisance parameter is moved by one standard deviation of
    its constraint, and everything is fitted again (arXiv:2307.04007, section 3).  These add up in
    quadrature to the systematic part of the error budget.  Auxiliary data that are correlated move
    along the symmetric root of their correlation, as in `breakdown`.  Parameters without a
    constraint have no such impact.

Beside every impact stands its approximation to first order, free of cost: the traditional one is

.. math::  \Delta\hat\mu = C_{i\mu} / \sigma_i,

with the covariance C after the fit and :math:`\sigma_i^2 = C_{ii}`; the other is the derivative of
the best fit with respect to the datum, times its standard deviation.  Where the two differ, the
model is not linear over one standard deviation.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import starmap
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from infer.certificate import Certificate
from infer.data import Data
from infer.errors import ParameterError
from infer.inference import breakdown, refits
from infer.inference.fits import FitResult, Settings, fit, require_poi
from infer.inference.minimize import CONVERGED, MESSAGES
from infer.inference.profiles import DEEPER
from infer.inference.pulls import pulls
from infer.likelihood import Likelihood
from infer.threads import one_blas_thread

FloatArray = npt.NDArray[np.float64]

DEFINITIONS = ("traditional", "global-observables")

BELOW = "the fit lies below the best fit"

_SHOWN = 5  # names that a notice lists


@dataclass(frozen=True)
class Shift:
    """One refit.

    Attributes:
        at: Where the nuisance parameter was held, or its auxiliary datum was moved to.
        impact: By how much the best fit of the parameter of interest moved; None where the refit has
            no certificate.
        message: What is special about it, in one clause; empty for an ordinary refit.
    """

    at: float
    impact: float | None
    message: str = ""


@dataclass(frozen=True)
class Impact:
    """What one nuisance parameter does to the parameter of interest.

    Attributes:
        name: Nuisance parameter.
        group: Group that it declares, None without one.
        value: Best fit.
        uncertainty: Standard deviation after the fit, None where the fit gives none.
        pull: (Best fit - auxiliary datum) / standard deviation before the fit; None without a constraint.
        constraint: Standard deviation after the fit over that before; None likewise.
        correlation: Correlation with the parameter of interest; zero if one of the two is at a bound.
        linear: Impact of one standard deviation upwards, to first order; None where there is none.
        down: Refit with the parameter, or its datum, one standard deviation lower; None where it has none.
        up: The same, one standard deviation higher.
        prefit_down: As ``down``, with the standard deviation of the constraint; ``traditional`` only.
        prefit_up: As ``up``, likewise.
    """

    name: str
    group: str | None
    value: float
    uncertainty: float | None
    pull: float | None
    constraint: float | None
    correlation: float
    linear: float | None = None
    down: Shift | None = None
    up: Shift | None = None
    prefit_down: Shift | None = None
    prefit_up: Shift | None = None

    @property
    def shifts(self) -> dict[str, Shift]:
        """The refits that were made, by the name of their field."""
        sides = {"down": self.down, "up": self.up, "prefit_down": self.prefit_down, "prefit_up": self.prefit_up}
        return {side: shift for side, shift in sides.items() if shift is not None}

    @property
    def size(self) -> float:
        """The larger side of ``down`` and ``up``, by which impacts are ranked; a side that failed counts as linear."""
        made = [shift.impact for shift in (self.down, self.up) if shift is not None]
        sizes = [abs(self.linear or 0.0) if impact is None else abs(impact) for impact in made]
        return max(sizes, default=0.0)

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return {
            "name": self.name,
            "group": self.group,
            "value": self.value,
            "uncertainty": self.uncertainty,
            "pull": self.pull,
            "constraint": self.constraint,
            "correlation": self.correlation,
            "linear": self.linear,
            "impact_down": _impact(self.down),
            "impact_up": _impact(self.up),
            "prefit_impact_down": _impact(self.prefit_down),
            "prefit_impact_up": _impact(self.prefit_up),
            "at": {side: shift.at for side, shift in self.shifts.items()},
            "messages": {side: shift.message for side, shift in self.shifts.items() if shift.message},
        }


@dataclass(frozen=True, eq=False)
class Impacts:
    """Impacts of the nuisance parameters on one parameter of interest, the largest first.

    Attributes:
        poi: Parameter of interest.
        definition: One of `DEFINITIONS`.
        impacts: One for every nuisance parameter, ranked by `Impact.size`.
        fit: Best fit; its ``correlation`` is the correlation matrix of all parameters.
        certificate: That of the best fit, with what the refits add to it.
        seconds: Wall-clock time in seconds.
    """

    poi: str
    definition: str
    impacts: tuple[Impact, ...]
    fit: FitResult
    certificate: Certificate
    seconds: float

    @property
    def n_refits(self) -> int:
        """Refits that were made."""
        return sum(len(impact.shifts) for impact in self.impacts)

    @property
    def n_failed(self) -> int:
        """Refits without a certificate; they give no impact."""
        return sum(shift.impact is None for impact in self.impacts for shift in impact.shifts.values())

    def __getitem__(self, name: str) -> Impact:
        """The impact of one parameter.

        Raises:
            ParameterError: It is not in the ranking.
        """
        found = {impact.name: impact for impact in self.impacts}
        if name not in found:
            self.fit.parameters.position(name)
            raise ParameterError(f"parameter {name!r} is not in this ranking of {len(found)} nuisance parameters.")
        return found[name]

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer impacts --json``."""
        return {
            "poi": self.poi,
            "value": self.fit.value(self.poi),
            "uncertainty": self.fit.uncertainty(self.poi),
            "definition": self.definition,
            "impacts": [impact.to_json_dict() for impact in self.impacts],
            "n_refits": self.n_refits,
            "n_failed": self.n_failed,
            "certificate": self.certificate.to_json_dict(),
            "fit": self.fit.to_json_dict(),
            "seconds": self.seconds,
        }

    def table(self, top: int | None = 20) -> str:
        """The ranking as plain text, down to ``top``; None shows all."""
        shown = self.impacts[:top]
        width = max((len(impact.name) for impact in shown), default=0)
        head = ("pull", "constraint", "down", "up", "linear", *(("pre-fit down", "up") if self._has_prefit else ()))
        lines = [f"  {'':<3} {'':<{width}} " + _columns(head)] if shown else []
        lines += [f"  {i:>3} {x.name:<{width}} " + _columns(self._row(x)) for i, x in enumerate(shown, 1)]
        rest = len(self.impacts) - len(shown)
        more = [f"  ... and {rest} with impacts up to {self.impacts[len(shown)].size:.3g}"] if rest else []
        notes = [f"Note: {notice}" for notice in self.certificate.notices]
        return "\n".join([str(self), "", *lines, *more, *notes])

    def __str__(self) -> str:
        """One line."""
        if not self.certificate.trustworthy:
            return f"{self.poi}: no impacts ({'; '.join(self.certificate.objections)})"
        if not self.impacts:
            return f"{self.poi}: there is no nuisance parameter"
        first = self.impacts[0]
        failed = f", {self.n_failed} of {self.n_refits} refits failed" if self.n_failed else ""
        return (
            f"{self.poi}: {len(self.impacts)} impacts ({self.definition}), "
            f"the largest {first.size:.3g} by {first.name}{failed}"
        )

    @property
    def _has_prefit(self) -> bool:
        return self.definition == "traditional"

    def _row(self, x: Impact) -> tuple[str, ...]:
        before = (_shown(x.prefit_down), _shown(x.prefit_up)) if self._has_prefit else ()
        return (
            _signed(x.pull),
            "–" if x.constraint is None else f"{x.constraint:.2f}",
            _shown(x.down),
            _shown(x.up),
            _signed(x.linear),
            *before,
        )


def _impact(shift: Shift | None) -> float | None:
    return None if shift is None else shift.impact


def _shown(shift: Shift | None) -> str:
    return "failed" if shift is not None and shift.impact is None else _signed(_impact(shift))


def _signed(x: float | None) -> str:
    return "–" if x is None else f"{x:+.3g}"


def _columns(cells: Sequence[str]) -> str:
    return " ".join(f"{cell:>12}" for cell in cells)


def impacts(
    likelihood: Likelihood,
    data: Data,
    *,
    poi: str | None = None,
    definition: str = "traditional",
    fitted: FitResult | None = None,
    settings: Settings | None = None,
    parameters: Sequence[str] | None = None,
) -> Impacts:
    """Rank nuisance parameters by how far they move the parameter of interest.

    Args:
        likelihood: Any likelihood.
        data: Data for it.
        poi: Parameter of interest; None takes the one that the likelihood declares.
        definition: ``traditional`` (the parameter held one standard deviation off) or ``global-observables``
            (its auxiliary datum moved by one); see `infer.inference.impacts`.
        fitted: The best fit, if there is one already; it brings its parameters' settings along.
        settings: Settings of the fits.
        parameters: Nuisance parameters; None takes all that are not fixed.

    Raises:
        ParameterError: A name or the definition is unknown, or a parameter is fixed or the one of interest.
        DataError: The data do not fit the likelihood.
    """
    began = time.perf_counter()
    if definition not in DEFINITIONS:
        raise ParameterError(f"definition must be one of {', '.join(DEFINITIONS)}, got {definition!r}.")
    settings = settings or Settings()
    best = fitted or fit(likelihood, data, poi=poi, settings=settings)
    setting = breakdown.prepare(likelihood, best, poi or require_poi(best), None)
    names = _nuisances(best, setting.name, parameters)
    found: dict[str, dict[str, Any]] = {name: {} for name in names}
    if best.certificate.trustworthy:
        found = _Ranking(setting, data, settings, tuple(names)).made(definition)
    known, correlation = pulls(best, data), best.correlation[setting.at]
    ranked = [
        Impact(
            name=name,
            group=best.parameters[name].group,
            value=known[name].value,
            uncertainty=known[name].uncertainty,
            pull=known[name].pull,
            constraint=known[name].constraint,
            correlation=float(correlation[best.parameters.position(name)]),
            **found[name],
        )
        for name in names
    ]
    ranked.sort(key=lambda impact: -impact.size)
    certificate = _certificate(best, setting.name, definition, ranked)
    return Impacts(setting.name, definition, tuple(ranked), best, certificate, time.perf_counter() - began)


def _nuisances(best: FitResult, poi: str, wanted: Sequence[str] | None) -> list[str]:
    """Names of the nuisance parameters to rank."""
    all_of_them = [name for name, p in best.parameters.items() if not p.fixed and name != poi]
    if wanted is None:
        return all_of_them
    for name in wanted:
        if best.parameters[name].fixed:
            raise ParameterError(f"parameter {name!r} is fixed, so that it has no impact; leave it out.")
        if name == poi:
            raise ParameterError(f"parameter {name!r} is the one of interest, not a nuisance; leave it out.")
    return list(dict.fromkeys(wanted))


class _Request(NamedTuple):
    """A refit to be made."""

    name: str
    side: str
    sign: float
    size: float  # standard deviation


@dataclass(frozen=True, eq=False)
class _Ranking:
    """What refits start from."""

    setting: breakdown.Setting
    data: Data
    settings: Settings
    names: tuple[str, ...]

    @property
    def best(self) -> FitResult:
        """Best fit."""
        return self.setting.fitted

    def made(self, definition: str) -> dict[str, dict[str, Any]]:
        """Fields of every `Impact` that need more than the best fit, by name."""
        linear = breakdown.linear_response(self.setting)
        with one_blas_thread():
            made = self._held(linear.row) if definition == "traditional" else self._moved(linear.aux)
        return {name: made.get(name, {}) for name in self.names}

    def _held(self, row: FloatArray) -> dict[str, dict[str, Any]]:
        """``traditional``."""
        requests = [request for name in self.names for request in self._requests(name)]
        made: dict[str, dict[str, Any]] = {name: {"linear": self._linear(name, row)} for name in self.names}
        if not requests:
            return made
        at = self.best.parameters.positions(request.name for request in requests)
        wanted = self.best.values[at] + np.asarray([request.sign * request.size for request in requests])
        x = np.clip(wanted, self.best.parameters.lower[at], self.best.parameters.upper[at])
        change = refits.holding(self.best, np.asarray(self.data.aux), at, x)
        clipped = [f"held at the bound {b:g}" if b != w else "" for b, w in zip(x, wanted, strict=True)]
        for request, shift in zip(requests, self._shifts(change, x, clipped, deeper=True), strict=True):
            made[request.name][request.side] = shift
        return made

    def _requests(self, name: str) -> list[_Request]:
        """Refits of one parameter, as far as it has uncertainties."""
        pairs = (("", self.best.uncertainty(name)), ("prefit_", self.best.parameters[name].prefit_uncertainty()))
        sides = (("down", -1.0), ("up", 1.0))
        return [_Request(name, kind + side, sign, size) for kind, size in pairs if size for side, sign in sides]

    def _linear(self, name: str, row: FloatArray) -> float | None:
        """C_{i poi} / sigma_i; for a parameter at a bound, as if it were released."""
        sigma, at = self.best.uncertainty(name), self.best.parameters.position(name)
        if not sigma or not np.all(np.isfinite(row)):
            return None
        inside = self.best.inactive[at]
        return float(row[at] / sigma if inside else -(row @ self.best.hessian[at]) * sigma)

    def _moved(self, response: FloatArray) -> dict[str, dict[str, Any]]:
        """``global-observables``."""
        constrained = self.best.parameters.constrained
        at = [k for k, name in enumerate(constrained) if name in self.names]
        if not at:
            return {}
        likelihood = self.setting.likelihood
        columns = np.asarray(breakdown.sources(likelihood.constraints.aux_covariance(self.setting.theta))).T[at]
        moves = np.concatenate([-columns, columns])
        change = refits.moving(likelihood, self.data, self.best, moves)
        x = np.asarray(change.aux)[np.arange(2 * len(at)), at * 2]
        shifts = self._shifts(change, x, self._stopped(at * 2, x, moves), deeper=False)
        down, up = shifts[: len(at)], shifts[len(at) :]
        return {
            constrained[k]: {"linear": float(response[k]), "down": low, "up": high}
            for k, low, high in zip(at, down, up, strict=True)
        }

    def _stopped(self, at: list[int], x: FloatArray, moves: FloatArray) -> list[str]:
        """A word where a count was moved below zero and stops there."""
        wanted = np.asarray(self.data.aux)[at] + moves[np.arange(len(at)), at]
        return [
            "the count stops at zero" if new == 0.0 and old < 0.0 else "" for new, old in zip(x, wanted, strict=True)
        ]

    def _shifts(self, change: refits.Change, x: FloatArray, remarks: Sequence[str], *, deeper: bool) -> list[Shift]:
        """What the refits say, each with its remark; none may lie below the best fit where the data are the same."""
        near = refits.vicinity(self.setting.likelihood, self.data, self.best)
        found = refits.refit(near, change, solver=self.settings.solver)
        below = 2.0 * found.nll < self.best.twice_nll - DEEPER if deeper else np.zeros(x.size, dtype=bool)
        moved = found.theta[:, self.setting.at] - refits.reference(self.best, self.setting.at)

        def judged(at: float, impact: float, status: int, below: bool, remark: str) -> Shift:
            if status != CONVERGED:
                return Shift(at, None, MESSAGES[status])
            return Shift(at, None, BELOW) if below else Shift(at, impact, remark)

        columns = (x.tolist(), moved.tolist(), np.asarray(found.status).tolist(), np.asarray(below).tolist(), remarks)
        return list(starmap(judged, zip(*columns, strict=True)))


def _certificate(best: FitResult, poi: str, definition: str, ranked: Sequence[Impact]) -> Certificate:
    """The best fit's certificate, with what the refits say."""
    certificate, notices = best.certificate, list(best.certificate.notices)
    shifts = [(impact.name, shift) for impact in ranked for shift in impact.shifts.values()]
    failed = [(name, shift) for name, shift in shifts if shift.impact is None]
    if failed:
        some = _some([f"{name} at {shift.at:.4g} ({shift.message})" for name, shift in failed])
        notices.append(f"{len(failed)} of {len(shifts)} refits failed and give no impact: {some}")
    short = list(dict.fromkeys(name for name, shift in shifts if shift.impact is not None and shift.message))
    if short and definition == "traditional":
        notices.append(
            f"{len(short)} parameters were held at a bound, less than one standard deviation off: {_some(short)}"
        )
    elif short:
        notices.append(f"the auxiliary counts of {len(short)} parameters stop at zero: {_some(short)}")
    if best.at_bound(poi):
        notices.append(
            f"{poi} is at its bound and may stay there; linear impacts are those of a fit in which it may pass"
        )
    if definition == "global-observables" and best.parameters[poi].constraint is not None:
        notices.append(
            f"{poi} has an auxiliary datum of its own, whose part is not in this ranking of nuisance parameters"
        )
    certificate = replace(certificate, notices=tuple(notices))
    deeper = [name for name, shift in shifts if shift.message == BELOW]
    if not deeper:
        return certificate
    message = f"with {_some(deeper)} held the fit lies below the best fit"
    return replace(certificate, converged=False, message=message)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
