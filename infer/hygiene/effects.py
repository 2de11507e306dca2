"""What a change of the templates does to the result: both workspaces are fitted, and the results stand side by side."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from infer.data import Data
from infer.documents import fail
from infer.errors import ParameterError, UntrustworthyError
from infer.hygiene.history import Step, Transformed
from infer.hygiene.pruning import prune_names
from infer.inference import breakdown
from infer.inference.breakdown import Groups
from infer.inference.fits import FitResult, Settings, fit, require_poi
from infer.inference.profiles import interval
from infer.likelihood import Likelihood
from infer.likelihoods.histfactory.model import HistFactory
from infer.likelihoods.histfactory.spec import HistoSys, NormSys, parse_workspace

FloatArray = npt.NDArray[np.float64]

_SHOWN = 5  # groups of the budget that a table shows


@dataclass(frozen=True)
class Tolerance:
    """How far a result may move before a change of the templates is refused.

    Attributes:
        shift: Of the best fit, in units of its uncertainty: 0.02 adds 0.02 per cent to the uncertainty in quadrature.
        width: Of either side of the interval, relative: 1 per cent is what rounding to two digits does.
    """

    shift: float = 0.02
    width: float = 0.01


@dataclass(frozen=True)
class Outcome:
    """A result, before or after.

    Attributes:
        value: Best fit.
        down: Distance to the lower end of the profile interval; None where there is none.
        up: Distance to the upper end, likewise.
        uncertainty: Standard deviation by the Hessian; None where it gives none.
        twice_nll: Twice the negative log-likelihood.
        n_parameters: Number of parameters.
        groups: Parts of the uncertainty by source, the main data being ``stat``; see `infer.inference.breakdown`.
        objections: Why the fit may not be believed; empty for a good one.
    """

    value: float
    down: float | None
    up: float | None
    uncertainty: float | None
    twice_nll: float
    n_parameters: int
    groups: Mapping[str, float] = field(default_factory=dict)
    objections: tuple[str, ...] = ()


@dataclass(frozen=True)
class Effect:
    """What a change did to the parameter of interest.

    Attributes:
        poi: Parameter of interest.
        before: Result of the workspace that was given.
        after: Result of the new one.
        tolerance: How far it might have moved.
        predicted: Shift in units of the uncertainty, and uncertainty after over before, to first order; None where
            nothing was predicted.
    """

    poi: str
    before: Outcome
    after: Outcome
    tolerance: Tolerance
    predicted: tuple[float, float] | None = None

    @property
    def shift(self) -> float | None:
        """Change of the best fit, in units of the uncertainty before on the side it moved to; None without one."""
        moved = self.after.value - self.before.value
        side = self.before.down if moved < 0.0 else self.before.up
        unit = side or self.before.uncertainty
        return None if not unit else moved / unit

    @property
    def widths(self) -> dict[str, float]:
        """Ratio after / before of what both results have of ``down``, ``up`` and ``uncertainty``."""
        pairs = {
            name: (getattr(self.before, name), getattr(self.after, name)) for name in ("down", "up", "uncertainty")
        }
        return {name: new / old for name, (old, new) in pairs.items() if old and new}

    @property
    def objections(self) -> tuple[str, ...]:
        """Why the change is not harmless; empty if it is."""
        found = [f"the fit before: {o}" for o in self.before.objections]
        found += [f"the fit after: {o}" for o in self.after.objections]
        if self.shift is None:
            found.append("the best fit has no uncertainty that its shift could be compared with")
        elif not abs(self.shift) <= self.tolerance.shift:
            found.append(f"the best fit moves by {self.shift:+.3g} standard deviations")
        if not self.widths:
            found.append("there is no uncertainty to compare")
        for name, ratio in self.widths.items():
            if not abs(ratio - 1.0) <= self.tolerance.width:
                found.append(f"{_NAMES[name]} becomes {ratio:.4g} times as large")
        return tuple(found)

    @property
    def harmless(self) -> bool:
        """Whether the result stays within the tolerance."""
        return not self.objections

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return {
            "poi": self.poi,
            "before": _plain(self.before),
            "after": _plain(self.after),
            "shift": self.shift,
            "widths": self.widths,
            "predicted": None if self.predicted is None else list(self.predicted),
            "tolerance": asdict(self.tolerance),
            "harmless": self.harmless,
            "objections": list(self.objections),
        }

    def table(self) -> str:
        """Both results as plain text."""
        a, b = self.before, self.after
        rows = [
            ("", "before", "after"),
            (self.poi, f"{a.value:.6g}", f"{b.value:.6g}"),
            *((f"  {_NAMES[name]}", _number(getattr(a, name)), _number(getattr(b, name))) for name in _NAMES),
            *((f"  {name}", _number(a.groups.get(name)), _number(b.groups.get(name))) for name in self._moved),
            ("2NLL", f"{a.twice_nll:.6f}", f"{b.twice_nll:.6f}"),
            ("parameters", str(a.n_parameters), str(b.n_parameters)),
        ]
        width = max(len(row[0]) for row in rows)
        lines = [f"  {name:<{width}}  {old:>14}  {new:>14}" for name, old, new in rows]
        moved = "" if self.shift is None else f"The best fit moves by {self.shift:+.3g} standard deviations. "
        if self.predicted is not None:
            moved += (
                f"To first order: by {self.predicted[0]:+.3g}, with {self.predicted[1]:.4g} times the uncertainty. "
            )
        verdict = "Within the tolerance." if self.harmless else f"Beyond the tolerance: {'; '.join(self.objections)}."
        return "\n".join([*lines, moved + verdict])

    @property
    def _moved(self) -> list[str]:
        """stat, and the groups that change most."""
        a, b = self.before.groups, self.after.groups
        change = {name: abs(a.get(name, 0.0) - b.get(name, 0.0)) for name in {**a, **b} if name != "stat"}
        ranked = sorted(change, key=lambda name: -change[name])[:_SHOWN]
        return [name for name in ("stat", *ranked) if name in a or name in b]


_NAMES = {"down": "lower side", "up": "upper side", "uncertainty": "Hessian"}


def _plain(outcome: Outcome) -> dict[str, Any]:
    record = asdict(outcome)
    record["objections"] = list(outcome.objections)
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}


def _number(x: float | None) -> str:
    return "–" if x is None else f"{x:.5g}"


def measure_effect(
    before: tuple[Likelihood, Data],
    after: Transformed,
    *,
    measurement: str | None = None,
    poi: str | None = None,
    settings: Settings | None = None,
    groups: Groups | None = None,
    tolerance: Tolerance | None = None,
    source: str = "workspace",
) -> Effect:
    """Fit a workspace and what became of it.

    Args:
        before: Likelihood and data of the workspace.
        after: What became of it.
        measurement: Name of the measurement; None takes the first.
        poi: Parameter of interest; None takes the one that the measurement declares.
        settings: Settings of both fits; what they say of parameters that are gone is left out after.
        groups: Groups of the budget; None takes every parameter for itself.
        tolerance: How far the result may move.
        source: What messages call the workspace.

    Raises:
        WorkspaceError: The new workspace is not valid.
        ParameterError: A name is unknown, or there is no parameter of interest.
    """
    likelihood, data = before
    settings = settings or Settings()
    fitted = fit(likelihood, data, poi=poi, settings=settings)
    name = require_poi(fitted)
    old = _outcome(likelihood, data, name, fitted, settings, groups)
    workspace = parse_workspace(after.document, source=f"{source}, transformed")
    codes = likelihood.interpolation if isinstance(likelihood, HistFactory) else None
    new_likelihood, new_data = HistFactory.of(workspace, workspace.measurement(measurement), interpolation=codes)
    new_data = Data(data.main, new_data.aux)  # the data that were fitted before, whatever the document has
    left = _still_there(settings, new_likelihood)
    refitted = fit(new_likelihood, new_data, poi=name, settings=left)
    new = _outcome(new_likelihood, new_data, name, refitted, left, _groups_left(groups, new_likelihood))
    return Effect(name, old, new, tolerance or Tolerance(), after.predicted)


def _still_there(settings: Settings, likelihood: Likelihood) -> Settings:
    names = likelihood.parameters
    return replace(
        settings,
        start={name: value for name, value in settings.start.items() if name in names},
        bounds={name: pair for name, pair in settings.bounds.items() if name in names},
        fixed={name: value for name, value in settings.fixed.items() if name in names},
    )


def _groups_left(groups: Groups | None, likelihood: Likelihood) -> Groups | None:
    """Groups without patterns that match nothing any more."""
    if groups is None:
        return None
    left = {}
    for group, given in groups.items():
        patterns = [given] if isinstance(given, str) else list(given)
        kept = [p for p in patterns if _matches_some(p, likelihood)]
        if kept:
            left[group] = kept
    return left


def _matches_some(pattern: str, likelihood: Likelihood) -> bool:
    try:
        breakdown.assign_groups(likelihood.parameters, {"any": pattern})
    except ParameterError:
        return False
    return True


def _outcome(
    likelihood: Likelihood, data: Data, name: str, fitted: FitResult, settings: Settings, groups: Groups | None
) -> Outcome:
    setting = breakdown.prepare(likelihood, fitted, name, groups)
    plain = Outcome(
        value=fitted.value(name),
        down=None,
        up=None,
        uncertainty=fitted.uncertainty(name),
        twice_nll=fitted.twice_nll,
        n_parameters=len(fitted.parameters),
        objections=fitted.certificate.objections,
    )
    if not fitted.certificate.converged:
        return plain
    ends = interval(likelihood, data, poi=name, fitted=fitted, settings=settings)
    plain = replace(plain, down=ends.down, up=ends.up)
    if plain.uncertainty is None:
        return plain
    budget = breakdown.from_observables(setting)
    parts = {"stat": budget.stat[1], **{group: part[1] for group, part in budget.groups.items()}}
    return replace(plain, groups=parts)


@dataclass(frozen=True)
class Freezing:
    r"""What freezing nuisance parameters at zero does to first order, from the covariance C of a best fit.

    With S the parameters and :math:`\hat\alpha` their best fit, the parameter of interest moves by
    :math:`-C_{\mu S} C_{SS}^{-1} \hat\alpha_S` and its variance shrinks by
    :math:`C_{\mu S} C_{SS}^{-1} C_{S \mu}`, as a conditional normal distribution does.

    Attributes:
        names: Parameters.
        best: Their best fit.
        covariance: Covariance of the parameter of interest, which comes first, and of them.
    """

    names: tuple[str, ...]
    best: FloatArray
    covariance: FloatArray

    @classmethod
    def of(cls, fitted: FitResult, poi: str, names: Collection[str]) -> Freezing | None:
        """Those of some parameters that are neither fixed nor at a bound; None without a covariance."""
        at = fitted.parameters.position(poi)
        free = fitted.inactive.copy()
        free[at] = True  # the parameter of interest also from its bound
        kept = np.flatnonzero(free)
        try:
            np.linalg.cholesky(block := fitted.hessian[np.ix_(kept, kept)])
        except np.linalg.LinAlgError:
            return None
        covariance = np.linalg.inv(block)
        there = [int(i) for i in kept if fitted.parameters.names[i] in names and i != at]
        rows = np.searchsorted(kept, np.asarray([at, *there]))
        found = tuple(fitted.parameters.names[i] for i in there)
        return cls(found, fitted.values[there], np.asarray(covariance[np.ix_(rows, rows)], dtype=float))

    @property
    def sigma(self) -> float:
        """Uncertainty of the parameter of interest."""
        return float(np.sqrt(self.covariance[0, 0]))

    @property
    def impacts(self) -> dict[str, float]:
        """How far the parameter of interest moves, in units of its uncertainty, by name.

        A parameter is held one standard deviation after the fit off its best fit, or at zero if that is farther away.
        """
        deviation = np.sqrt(np.diagonal(self.covariance)[1:])
        correlation = np.abs(self.covariance[0, 1:]) / deviation / self.sigma
        distance = np.maximum(np.abs(self.best) / deviation, 1.0)
        return dict(zip(self.names, (correlation * distance).tolist(), strict=True))

    def frozen(self, names: Collection[str]) -> tuple[float, float]:
        """Shift in units of the uncertainty, and the uncertainty after over before, with several frozen at zero."""
        at = np.asarray([i for i, name in enumerate(self.names) if name in names], dtype=int)
        if at.size == 0:
            return 0.0, 1.0
        cross = self.covariance[0, 1 + at]
        weights = np.linalg.solve(self.covariance[np.ix_(1 + at, 1 + at)], cross)
        left = max(self.covariance[0, 0] - float(weights @ cross), 0.0)
        return float(-weights @ self.best[at]) / self.sigma, float(np.sqrt(left)) / self.sigma

    def negligible(self, below: float) -> dict[str, float]:
        """Parameters whose impact is below a limit, as many as may be frozen together.

        They are taken in the order of their impacts.  One is left out if, with it and all before it frozen, the
        parameter of interest would move by more than the limit, or its uncertainty shrink by more: parameters that are
        correlated do together what none does alone.
        """
        chosen: dict[str, float] = {}
        for name, impact in sorted(self.impacts.items(), key=lambda item: item[1]):
            if impact >= below:
                break
            shift, width = self.frozen({*chosen, name})
            if abs(shift) <= below and 1.0 - width <= below:
                chosen[name] = impact
        return chosen


def prune_by_impact(
    before: tuple[Likelihood, Data],
    document: Mapping[str, object],
    *,
    below: float,
    poi: str | None = None,
    settings: Settings | None = None,
    history: Sequence[Step] = (),
    source: str = "workspace",
) -> Transformed:
    """Drop systematics that hardly move the parameter of interest, to first order; see `Freezing.negligible`.

    Systematics whose parameter is fixed or at a bound stay, since nothing is known of them to first order.

    Args:
        before: Likelihood and data of the workspace.
        document: The workspace.
        below: Impact in units of the uncertainty, below which a systematic goes.
        poi: Parameter of interest; None takes the declared one.
        settings: Settings of the fit.
        history: What had been done to the workspace.
        source: What messages call the workspace.

    Raises:
        UntrustworthyError: The fit has no certificate, or gives no covariance.
        WorkspaceError: The limit is not positive.
    """
    if not 0.0 < below < 1.0:
        raise fail(source, f"the limit of impacts is {below:g}", "give a part of the uncertainty, such as 0.01")
    likelihood, data = before
    fitted = fit(likelihood, data, poi=poi, settings=settings)
    linear = Freezing.of(fitted, require_poi(fitted), _systematics(document, source))
    if fitted.certificate.objections or linear is None:
        why = "; ".join(fitted.certificate.objections) or "it has no covariance with the parameter of interest released"
        raise UntrustworthyError(f"{source}: impacts need a fit that can be trusted: {why}; prune by norm and shape.")
    small = linear.negligible(below)
    done = prune_names(document, small, limit=below, history=history, source=source)
    return replace(done, predicted=linear.frozen(small))


def _systematics(document: Mapping[str, object], source: str) -> set[str]:
    """Names of normsys and histosys."""
    channels = parse_workspace(document, source=source).channels
    modifiers = (m for channel in channels for sample in channel.samples for m in sample.modifiers)
    return {m.name for m in modifiers if isinstance(m, NormSys | HistoSys)}
