r"""Findings about the parameters of any likelihood, before and after a fit.

Directions that are hardly measured are eigenvectors of the Hessian H of -log L at the best fit.  The unit of a
parameter is the width of its constraint; that of a free parameter is its uncertainty with the other free ones held and
the constrained ones profiled,

.. math::  1 / \sqrt{((C_{ff})^{-1})_{ii}},  \qquad  C = H^{-1}, \quad f \text{ the free parameters}.

A constraint alone then makes an eigenvalue of 1, and a free parameter that is known as well as constraints allow has
one of order 1, however many they are.  A small eigenvalue is a combination that data and constraints hardly measure;
two free parameters with a correlation :math:`\rho` make :math:`1 - |\rho|`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from infer.data import Data
from infer.hygiene.findings import Finding, Thresholds
from infer.inference.fits import FitResult
from infer.inference.pulls import pulls
from infer.likelihood import Likelihood
from infer.parameters import Parameter, Parameters
from infer.typing import Vector

FloatArray = npt.NDArray[np.float64]

N_DIRECTIONS = 3
"""Directions of an inspection: the least measured ones."""

_CONTENT = 0.02  # squared component from which on a parameter is named
_ZERO = 1e-6  # a bound below this is that of a factor
_AUX_GROUP = "mc_stat"  # parameters of simulated statistics, which come in hundreds


@dataclass(frozen=True)
class Direction:
    """A combination of parameters.

    Attributes:
        eigenvalue: Curvature along it, see `infer.hygiene.fits`.
        content: Its components by name, the largest first, in the scaled units.
    """

    eigenvalue: float
    content: dict[str, float]

    def __str__(self) -> str:
        """The combination as a sum."""
        shown = list(self.content.items())[:6]
        terms = [f"{x:+.2f} {name}" for name, x in shown]
        return " ".join(terms) + (" ..." if len(self.content) > len(shown) else "")

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return {"eigenvalue": self.eigenvalue, "content": self.content}


def directions(fitted: FitResult, n: int = N_DIRECTIONS) -> tuple[Direction, ...]:
    """The least measured directions at a best fit; none where the Hessian is not finite."""
    at = np.flatnonzero(fitted.inactive)
    block = fitted.hessian[np.ix_(at, at)]
    if at.size == 0 or not np.all(np.isfinite(block)):
        return ()
    names = [fitted.parameters.names[i] for i in at]
    scale = _units([fitted.parameters[name] for name in names], block)
    values, vectors = np.linalg.eigh(block * np.outer(scale, scale))
    return tuple(_direction(float(values[k]), vectors[:, k], names) for k in range(min(n, at.size)))


def _units(parameters: list[Parameter], hessian: FloatArray) -> FloatArray:
    """Unit of every parameter; that of free ones is their uncertainty alone where the Hessian has no inverse."""
    units = np.asarray([p.prefit_uncertainty() or 0.0 for p in parameters])
    free = np.flatnonzero(units == 0.0)
    curvature = np.diagonal(hessian)[free]
    try:
        np.linalg.cholesky(hessian)
        curvature = np.diagonal(np.linalg.inv(np.linalg.inv(hessian)[np.ix_(free, free)]))
    except np.linalg.LinAlgError:
        pass  # what is wrong with it is what the eigenvalues say
    units[free] = np.where(curvature > 0.0, np.abs(curvature), 1.0) ** -0.5
    return units


def _direction(value: float, vector: FloatArray, names: list[str]) -> Direction:
    order = np.argsort(-np.abs(vector))
    kept = [i for i in order if vector[i] ** 2 > _CONTENT] or [int(order[0])]
    sign = np.sign(vector[kept[0]])
    return Direction(value, {names[i]: float(sign * vector[i]) for i in kept})


# ------------------------------------------------------------------------------------------- before the fit


def parameter_findings(likelihood: Likelihood, parameters: Parameters, thresholds: Thresholds) -> list[Finding]:
    """What declarations give reason to look at, and parameters that no expectation depends on.

    Args:
        likelihood: Any likelihood.
        parameters: Its parameters, with the settings of the fit.
        thresholds: Where findings begin.
    """
    return [*_without_effect(likelihood, parameters), *_declarations(parameters, thresholds)]


def _without_effect(likelihood: Likelihood, parameters: Parameters) -> Iterator[Finding]:
    """Parameters that carry no information at the start nor beside it."""
    width = np.asarray([p.prefit_uncertainty() or 0.1 * max(abs(p.init), 1.0) for p in parameters.values()])
    beside = np.clip(parameters.init + 0.5 * width, parameters.lower, parameters.upper)
    found = [np.asarray(_information(likelihood, jnp.asarray(at))) for at in (parameters.init, beside)]
    if not all(np.all(np.isfinite(x)) for x in found):
        return
    for name, information in zip(parameters, np.max(found, axis=0), strict=True):
        parameter = parameters[name]
        if information == 0.0 and not parameter.fixed:
            free = parameter.constraint is None
            sentence = f"{name}: the expected data do not depend on this {'free' if free else 'constrained'} parameter"
            yield Finding("without-effect", "high" if free else "medium", sentence, 0.0, (name,))


@eqx.filter_jit
def _information(likelihood: Likelihood, theta: Vector) -> Vector:
    return jnp.diagonal(likelihood.information_main(theta))


def _declarations(parameters: Parameters, t: Thresholds) -> Iterator[Finding]:
    """Start values, bounds and fixed parameters."""
    for name, parameter in parameters.items():
        low, high = parameter.bounds
        width = parameter.prefit_uncertainty()
        if parameter.fixed:
            if width and parameter.group != _AUX_GROUP:
                sentence = f"{name}: held at {parameter.init:g}, constraint of width {width:.3g}"
                yield Finding("held-by-constraint", "low", sentence, width, (name,))
            continue
        if parameter.init in (low, high):
            yield Finding("start-at-bound", "low", f"{name}: starts at {parameter.init:g}", parameter.init, (name,))
        if width:
            below = np.inf if abs(low) < _ZERO < parameter.init else parameter.init - low  # a factor ends at zero
            room = min(below, high - parameter.init) / width
            if room < t.room:
                severity = "medium" if room < 0.5 * t.room else "low"
                sentence = f"{name}: a bound of ({low:.4g}, {high:.4g}) is {room:.2g} widths of the constraint away"
                yield Finding("narrow-bounds", severity, sentence, room, (name,))


# -------------------------------------------------------------------------------------------- after the fit


def fit_findings(fitted: FitResult, data: Data, thresholds: Thresholds) -> list[Finding]:
    """What a fit gives reason to look at.

    Args:
        fitted: Best fit.
        data: What was fitted.
        thresholds: Where findings begin.
    """
    found = [Finding("not-trustworthy", "high", objection) for objection in fitted.certificate.objections]
    found += _bounds(fitted)
    if not fitted.certificate.converged:
        return found
    weak = [d for d in directions(fitted) if d.eigenvalue < thresholds.weak]
    for d in weak:
        severity = "high" if d.eigenvalue <= 0.0 else "medium"
        sentence = f"{d}: eigenvalue {d.eigenvalue:.3g}, an uncertainty {_times(d.eigenvalue)} that of its parts"
        found.append(Finding("weak-direction", severity, sentence, d.eigenvalue, tuple(d.content), details=d.content))
    return [*found, *_correlated(fitted, thresholds), *_pulled(fitted, data, thresholds)]


def _times(eigenvalue: float) -> str:
    return f"{eigenvalue**-0.5:.2g} times" if eigenvalue > 0.0 else "without limit beside"


def _bounds(fitted: FitResult) -> Iterator[Finding]:
    for name in fitted.certificate.at_bound:
        severity = "low" if name == fitted.poi else "medium"
        sentence = f"{name}: the best fit {fitted.value(name):g} is a bound"
        yield Finding("at-bound", severity, sentence, fitted.value(name), (name,))


def _correlated(fitted: FitResult, t: Thresholds) -> Iterator[Finding]:
    matrix = np.triu(fitted.correlation, k=1)
    if not np.all(np.isfinite(matrix)):
        return
    for i, j in np.argwhere(np.abs(matrix) > t.correlation):
        names = fitted.parameters.names[i], fitted.parameters.names[j]
        severity = "medium" if fitted.poi in names else "low"
        sentence = f"{names[0]} and {names[1]}: correlation {matrix[i, j]:+.4f}"
        yield Finding("correlated", severity, sentence, float(matrix[i, j]), names)


def _pulled(fitted: FitResult, data: Data, t: Thresholds) -> Iterator[Finding]:
    """Pulls, and uncertainties that shrank or grew."""
    for name, pull in pulls(fitted, data).items():
        simulated = fitted.parameters[name].group == _AUX_GROUP
        if pull.pull is not None and abs(pull.pull) > t.pull and not fitted.parameters[name].fixed:
            severity = "medium" if abs(pull.pull) > t.large_pull and not simulated else "low"
            yield Finding("pulled", severity, f"{name}: {pull.pull:+.2f} standard deviations", pull.pull, (name,))
        ratio = pull.constraint
        if ratio is None or fitted.at_bound(name):
            continue
        if ratio < t.constrained:
            severity = "low" if simulated else "medium"
            sentence = f"{name}: {ratio:.3f} of the uncertainty before the fit"
            yield Finding("over-constrained", severity, sentence, ratio, (name,))
        elif ratio > t.expanded:
            yield Finding("expanded", "medium", f"{name}: {ratio:.3f} of the uncertainty before", ratio, (name,))
