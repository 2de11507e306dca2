"""What a partial correlation does to a measurement: the fit repeated at several values of it.

The correlation enters through the numbers of one joint constraint term, which are arguments of the compiled
program: one program serves the whole scan, and each fit starts where its neighbour ended.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import numpy as np
import numpy.typing as npt

from infer.certificate import Certificate
from infer.correlation import correlated
from infer.data import Data
from infer.errors import ParameterError
from infer.inference.fits import FitResult, Settings, fit, require_poi
from infer.inference.profiles import ONE_SIGMA, interval
from infer.likelihood import Likelihood, Redeclared, constraint_terms
from infer.parameters import Parameters

FloatArray = npt.NDArray[np.float64]

LIMIT = 0.9999
"""Where correlations of 1 and -1 are computed: at exactly these the parameters are one, and there are not two."""


@dataclass(frozen=True)
class CorrelationPoint:
    """The measurement at one value of the correlation.

    Attributes:
        rho: Correlation that it was computed with.
        value: Best fit of the parameter of interest.
        down: Distance to the lower end of its interval, None where there is none or the fit has no certificate.
        up: Distance to the upper end, None likewise.
        twice_nll: 2NLL of the best fit.
        certificate: That of the fit, with remarks on the interval.
    """

    rho: float
    value: float
    down: float | None
    up: float | None
    twice_nll: float
    certificate: Certificate

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object; no value without a certificate."""
        sound = self.certificate.trustworthy
        return {
            "rho": self.rho,
            "value": self.value if sound else None,
            "total": [self.down, self.up],
            "twice_nll": self.twice_nll if sound else None,
            "certificate": self.certificate.to_json_dict(),
        }


@dataclass(frozen=True, eq=False)
class CorrelationScan:
    """A measurement as a function of a correlation.

    Attributes:
        poi: Parameter of interest.
        names: Parameters whose auxiliary data are correlated.
        cl: Confidence level of the intervals.
        unit: Unit of the parameter of interest.
        latex: Its symbol.
        points: One for each correlation, in the order asked.
        seconds: Wall-clock time in seconds.
    """

    poi: str
    names: tuple[str, ...]
    cl: float
    unit: str
    latex: str
    points: tuple[CorrelationPoint, ...]
    seconds: float

    @property
    def trustworthy(self) -> bool:
        """Whether every fit has a certificate."""
        return all(point.certificate.trustworthy for point in self.points)

    @property
    def sound(self) -> tuple[CorrelationPoint, ...]:
        """Points whose fit has one."""
        return tuple(point for point in self.points if point.certificate.trustworthy)

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer combine --scan-rho --json``."""
        return {
            "poi": self.poi,
            "parameters": list(self.names),
            "cl": self.cl,
            "points": [point.to_json_dict() for point in self.points],
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        """One line."""
        what = f"{self.poi} as a function of the correlation of {', '.join(self.names)}"
        if not self.sound:
            return f"{what}: no fit has a certificate"
        values = [point.value for point in self.sound]
        unit = f" {self.unit}" if self.unit else ""
        failed = len(self.points) - len(self.sound)
        remark = f"; {failed} of {len(self.points)} fits have no certificate" if failed else ""
        return f"{what}: {min(values):.6g} to {max(values):.6g}{unit}{remark}"

    def table(self) -> str:
        """The points as plain text."""
        head = f"  {'rho':>10}  {self.poi:>14}  {'down':>12}  {'up':>12}  {'2NLL':>14}"
        return "\n".join([str(self), "", head, *map(_row, self.points)])


def _row(point: CorrelationPoint) -> str:
    if not point.certificate.trustworthy:
        return f"  {point.rho:>10.4g}  {'; '.join(point.certificate.objections)}"
    sides = "  ".join(f"{'none' if x is None else format(x, '.5g'):>12}" for x in (point.down, point.up))
    return f"  {point.rho:>10.4g}  {point.value:>14.7g}  {sides}  {point.twice_nll:>14.6f}"


def correlation_scan(
    likelihood: Likelihood,
    data: Data,
    *,
    names: Sequence[str],
    rhos: Sequence[float] | FloatArray,
    poi: str | None = None,
    cl: float = ONE_SIGMA,
    settings: Settings | None = None,
) -> CorrelationScan:
    """Measure one parameter as a function of a correlation.

    Args:
        likelihood: Any likelihood.
        data: Data for it.
        names: Gaussian-constrained parameters, whose auxiliary data get the correlation, every two of them.
        rhos: Correlations; 1 and -1 are computed at 0.9999 and -0.9999.
        poi: Parameter of interest; None takes the declared one.
        cl: Confidence level of the intervals.
        settings: Settings of the fits.

    Raises:
        ParameterError: A name is unknown or has no Gaussian constraint, or a correlation is impossible.
        DataError: The data do not fit the likelihood.
    """
    began = time.perf_counter()
    settings = settings or Settings()
    name = poi or likelihood.parameters.poi
    if name is None:
        raise ParameterError("name a parameter of interest, since the likelihood declares none: poi='mu'.")
    wanted = _checked(rhos)
    declared = [correlated(likelihood.parameters, [(names, rho, f"rho = {rho:g}")]) for rho in wanted]
    order = np.argsort(np.abs(np.asarray(wanted)), kind="stable").tolist()  # outward, each from its neighbour
    base = Redeclared(likelihood, declared[order[0]].values())
    points: dict[int, CorrelationPoint] = {}
    near: dict[float, FitResult] = {}
    for i in order:
        here, side = _with_terms(base, declared[i]), float(np.sign(wanted[i]))
        best = fit(here, data, poi=name, settings=_starting(settings, near.get(side) or near.get(0.0)))
        if best.certificate.trustworthy:
            near = {0.0: best} | near | {side: best}
        points[i] = _point(here, data, best, wanted[i], cl, settings)
    shown = likelihood.parameters[name]
    return CorrelationScan(
        name,
        tuple(names),
        cl,
        shown.unit,
        shown.latex,
        tuple(points[i] for i in range(len(wanted))),
        time.perf_counter() - began,
    )


def _checked(rhos: Sequence[float] | FloatArray) -> list[float]:
    values = np.asarray(rhos, dtype=float)
    outside = values[~(np.abs(values) <= 1.0)]
    if values.ndim != 1 or values.size == 0 or outside.size:
        got = f"{outside[0]:g}" if outside.size else f"{values.size} values with shape {values.shape}"
        raise ParameterError(f"expected a list of correlations between -1 and 1, got {got}.")
    return np.clip(values, -LIMIT, LIMIT).tolist()


def _with_terms(base: Likelihood, parameters: Parameters) -> Likelihood:
    """The same program with the numbers of other constraint terms; its declarations stay those of ``base``."""
    return eqx.tree_at(lambda likelihood: likelihood.constraints, base, constraint_terms(parameters))


def _starting(settings: Settings, near: FitResult | None) -> Settings:
    if near is None:
        return settings
    held = {*settings.fixed, *(n for n, p in near.parameters.items() if p.fixed)}
    start = {n: v for n, v in zip(near.parameters.names, near.values.tolist(), strict=True) if n not in held}
    return replace(settings, start={**settings.start, **start})


def _point(
    likelihood: Likelihood, data: Data, best: FitResult, rho: float, cl: float, settings: Settings
) -> CorrelationPoint:
    name, certificate = require_poi(best), best.certificate
    if not certificate.trustworthy:
        return CorrelationPoint(rho, best.value(name), None, None, best.twice_nll, certificate)
    ends = interval(likelihood, data, poi=name, cl=cl, fitted=best, settings=settings)
    certificate = replace(certificate, notices=(*certificate.notices, *ends.remarks))
    return CorrelationPoint(rho, best.value(name), ends.down, ends.up, best.twice_nll, certificate)
