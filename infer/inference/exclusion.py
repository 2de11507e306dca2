r"""CLs of signal hypotheses, observed and expected, by asymptotic formulae.

A hypothesis is a value of one parameter of interest.  Its test statistic is compared with background-only
Asimov data, whose nuisance parameters are profiled on the observed data at zero signal, as pyhf and
RooStats do; CLs = p_sb / (1 - p_b) (Read, J. Phys. G 28 (2002) 2693).  The expected bands are where the
estimate fluctuates by -2 to 2 standard deviations under background alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from infer.blinding import require_true_values
from infer.certificate import Certificate
from infer.data import Data
from infer.errors import ParameterError, UntrustworthyError
from infer.inference.fits import FitResult, Settings, fit, require_poi
from infer.inference.profiles import DEEPER, ProfileLikelihood, ProfilePoint
from infer.likelihood import Likelihood
from infer.numerics.asymptotics import expected_log_cls, log_tails_q_mu, log_tails_q_mu_tilde
from infer.typing import Scalar

FloatArray = npt.NDArray[np.float64]

N_SIGMA = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""Standard deviations of the expected bands."""
TAILS = {"q_mu": log_tails_q_mu, "q_mu_tilde": log_tails_q_mu_tilde}
"""Test statistics of upper limits, with the logarithms of p_sb and 1 - p_b."""

_T = TypeVar("_T")

_RESTARTS = 3
_BACKGROUND = 0.0


@dataclass(frozen=True)
class CLsPoint:
    """CLs of one hypothesis.

    Attributes:
        value: Parameter of interest.
        q: Observed test statistic.
        q_asimov: Test statistic of background-only Asimov data.
        log_p_sb: Logarithm of the p-value of the hypothesis.
        log_p_b: Logarithm of 1 - p_b, the probability under background alone to see no less signal-like data.
        expected: Logarithms of the expected CLs at -2, -1, 0, 1 and 2 standard deviations.
    """

    value: float
    q: float
    q_asimov: float
    log_p_sb: float
    log_p_b: float
    expected: tuple[float, ...]

    @property
    def log_cls(self) -> float:
        """Logarithm of the observed CLs."""
        return self.log_p_sb - self.log_p_b

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return {
            "value": self.value,
            "q": self.q,
            "q_asimov": self.q_asimov,
            "p_sb": float(np.exp(self.log_p_sb)),
            "p_b": float(np.exp(self.log_p_b)),
            "cls": float(np.exp(self.log_cls)),
            "log_cls": self.log_cls,
            "expected": [float(np.exp(x)) for x in self.expected],
        }


@dataclass(frozen=True, eq=False)
class CLsScan:
    """CLs of several hypotheses.

    Attributes:
        poi: Parameter of interest.
        statistic: ``q_mu_tilde`` or ``q_mu``.
        points: CLs by hypothesis, in the order asked for; without those whose fits failed.
        fit: Best fit to the observed data.
        certificate: That of all fits.
        seconds: Wall-clock time in seconds.
    """

    poi: str
    statistic: str
    points: tuple[CLsPoint, ...]
    fit: FitResult
    certificate: Certificate
    seconds: float

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer cls --json``."""
        return {
            "poi": self.poi,
            "statistic": self.statistic,
            "points": [point.to_json_dict() for point in self.points],
            "certificate": self.certificate.to_json_dict(),
            "fit": self.fit.to_json_dict(),
            "seconds": self.seconds,
        }

    def table(self) -> str:
        """CLs by hypothesis as plain text."""
        bands = "".join(f"{n:>+11.0f} sigma" for n in N_SIGMA)
        lines = [f"  {self.poi:>14}  {'CLs observed':>14}{bands}"]
        for point in self.points:
            row = "".join(f"{np.exp(x):>17.6g}" for x in point.expected)
            lines.append(f"  {point.value:>14.6g}  {np.exp(point.log_cls):>14.6g}{row}")
        objections = [f"Note: {text}" for text in (*self.certificate.objections, *self.certificate.notices)]
        return "\n".join([str(self.fit), "", *lines, *objections])


class DeeperFitError(Exception):
    """A conditional fit lies below the best fit, which has to be searched for again from there; never leaves here."""

    def __init__(self, theta: FloatArray) -> None:
        super().__init__("the profile lies below the best fit")
        self.theta = theta


class Contest:
    """Observed data and background-only Asimov data, both profiled in one parameter.

    Args:
        likelihood: Any likelihood.
        data: Observed data.
        best: Best fit to them.
        name: Parameter of interest.
        statistic: ``q_mu_tilde`` or ``q_mu``.
        settings: Settings of the fits.

    Raises:
        UntrustworthyError: The fit without signal failed.
        DeeperFitError: It lies below the best fit.
    """

    def __init__(
        self, likelihood: Likelihood, data: Data, best: FitResult, name: str, statistic: str, settings: Settings
    ) -> None:
        self.likelihood, self.data, self.settings = likelihood, data, settings
        self.name, self.best, self.statistic = name, best, statistic
        self.observed = ProfileLikelihood(likelihood, data, best, name, settings.solver)
        null = self._sound(self.observed(_BACKGROUND), "zero signal")
        self.null_q = null.q if self.observed.best < _BACKGROUND else 0.0
        asimov = likelihood.expected(jnp.asarray(null.theta))
        self.null_theta = null.theta
        self.asimov = fit(likelihood, asimov, poi=name, settings=_around(settings, best, name, null.theta))
        self.expected = ProfileLikelihood(likelihood, asimov, self.asimov, name, settings.solver)
        self._near: tuple[ProfilePoint | None, ProfilePoint | None] = (None, None)

    @property
    def sigma(self) -> float:
        """Standard deviation of the estimate under background alone, or a scale where the Hessian gives none."""
        return self.expected.sigma or self.observed.sigma or max(1.0, abs(self.observed.best))

    def asimov_point(self, value: float) -> ProfilePoint:
        """The profile of the Asimov data."""
        point = self._sound(self.expected(value, self._near[1]), "Asimov data", other=True)
        self._near = (self._near[0], point)
        return point

    def observed_point(self, value: float) -> ProfilePoint:
        """The profile of the observed data."""
        point = self._sound(self.observed(value, self._near[0]), "")
        self._near = (point, self._near[1])
        return point

    def log_cls(self, value: float) -> tuple[float, float]:
        """Logarithm of the observed CLs, and its slope."""
        seen, asimov = self.observed_point(value), self.asimov_point(value)
        q, slope = self._one_sided(seen)
        log_cls, (by_q, by_asimov) = _log_cls_and_slopes(self.statistic, q, max(asimov.q, 0.0))
        return float(log_cls), float(by_q) * slope + float(by_asimov) * asimov.slope

    def point(self, value: float) -> CLsPoint:
        """CLs of one hypothesis, observed and expected."""
        q, _ = self._one_sided(self.observed_point(value))
        q_asimov = max(self.asimov_point(value).q, 0.0)
        log_sb, log_b = _tails(self.statistic, q, q_asimov)
        expected = expected_log_cls(np.full(len(N_SIGMA), q_asimov), np.asarray(N_SIGMA))
        return CLsPoint(value, q, q_asimov, float(log_sb), float(log_b), tuple(expected.tolist()))

    def _one_sided(self, point: ProfilePoint) -> tuple[float, float]:
        """Observed test statistic and its slope (`statistics.statistic`)."""
        if self.observed.best > point.x:
            return 0.0, 0.0
        null_q = self.null_q if self.statistic == "q_mu_tilde" else 0.0
        return max(point.q - null_q, 0.0), point.slope

    def _sound(self, point: ProfilePoint, what: str, *, other: bool = False) -> ProfilePoint:
        """A conditional fit that may be used."""
        where = f"the fit with {self.name} = {point.x:.6g}" + (f" ({what})" if what else "")
        if not point.converged:
            raise UntrustworthyError(f"{where} did not converge")
        if point.q < -DEEPER:
            if other:
                raise UntrustworthyError(f"{where} lies below the truth of its data")
            raise DeeperFitError(point.theta)
        return point


@eqx.filter_jit
def _tails_program(statistic: str, q: Scalar, q_asimov: Scalar) -> tuple[Scalar, Scalar]:
    return TAILS[statistic](q, q_asimov)


@eqx.filter_jit
def _slopes_program(statistic: str, q: Scalar, q_asimov: Scalar) -> tuple[Scalar, tuple[Scalar, Scalar]]:
    def log_cls(q: Scalar, q_asimov: Scalar) -> Scalar:
        log_sb, log_b = TAILS[statistic](q, q_asimov)
        return log_sb - log_b

    return jax.value_and_grad(log_cls, argnums=(0, 1))(q, q_asimov)


def _tails(statistic: str, q: float, q_asimov: float) -> tuple[Scalar, Scalar]:
    return _tails_program(statistic, jnp.asarray(q), jnp.asarray(q_asimov))


def _log_cls_and_slopes(statistic: str, q: float, q_asimov: float) -> tuple[Scalar, tuple[Scalar, Scalar]]:
    return _slopes_program(statistic, jnp.asarray(q), jnp.asarray(q_asimov))


def _around(settings: Settings, best: FitResult, name: str, theta: FloatArray) -> Settings:
    """Settings of the fit to Asimov data: from its truth, the parameter of interest free to pass its bounds."""
    start = dict(zip(best.parameters.names, theta.tolist(), strict=True))
    start = {k: v for k, v in start.items() if k not in settings.fixed}
    return replace(settings, start=start, bounds={**settings.bounds, name: (-np.inf, np.inf)})


def judged(
    likelihood: Likelihood,
    data: Data,
    *,
    poi: str | None,
    statistic: str,
    settings: Settings,
    judge: Callable[[Contest], tuple[_T, str]],
) -> tuple[_T | None, FitResult, Certificate]:
    """What a judge makes of a contest; the best fit is searched for again where a profile lies below it.

    Args:
        likelihood: Any likelihood.
        data: Observed data.
        poi: Parameter of interest; None takes the declared one.
        statistic: One of `TAILS`.
        settings: Settings of the fits.
        judge: Called with the contest; returns its verdict, and what failed, or nothing.

    Returns:
        The verdict, None where the contest could not take place; the best fit; and the certificate of all fits.

    Raises:
        ParameterError: The statistic or the name is unknown, the parameter is fixed, or it cannot be zero.
    """
    if statistic not in TAILS:
        raise ParameterError(f"statistic must be one of {', '.join(TAILS)} for CLs, got {statistic!r}.")
    best = fit(likelihood, data, poi=poi, settings=settings)
    name = require_poi(best)
    for _ in range(_RESTARTS):
        _check_parameter(best, name)
        if not best.certificate.converged:
            return None, best, best.certificate
        try:
            verdict, failure = judge(Contest(likelihood, data, best, name, statistic, settings))
        except DeeperFitError as error:
            best = _refitted(likelihood, data, best, name, settings, error.theta)
        except UntrustworthyError as error:
            return None, best, _spoiled(best, str(error))
        else:
            return verdict, best, _spoiled(best, failure) if failure else best.certificate
    return None, best, _spoiled(best, "the profile lies below the best fit again and again")


def _refitted(
    likelihood: Likelihood, data: Data, best: FitResult, name: str, settings: Settings, theta: FloatArray
) -> FitResult:
    """The best fit, searched from a point that lies below the one before."""
    low, high = best.parameters[name].bounds
    start: Mapping[str, float] = dict(zip(best.parameters.names, theta.tolist(), strict=True))
    start = {k: v for k, v in start.items() if k not in settings.fixed}
    start = {**start, name: min(max(start[name], low), high)}
    return fit(likelihood, data, poi=name, settings=replace(settings, start=start))


def _spoiled(best: FitResult, message: str) -> Certificate:
    """The certificate of a result that lacks a fit."""
    return replace(best.certificate, converged=False, message=message)


def _check_parameter(best: FitResult, name: str) -> None:
    parameter = best.parameters[name]
    low, high = parameter.bounds
    if parameter.fixed:
        raise ParameterError(f"parameter {name!r} is fixed, so that there is no limit on it.")
    if not low <= _BACKGROUND <= high:
        raise ParameterError(
            f"CLs compares with {name} = 0, which lies outside of its bounds ({low:g}, {high:g}); widen them."
        )
    if best.value(name) >= high:
        raise ParameterError(
            f"the best fit of {name} lies at its upper bound {high:g}, so that no value above can be tested; "
            f"raise the bound (--bounds {name}={low:g}:{10 * max(high, 1.0):g})."
        )


def cls(
    likelihood: Likelihood,
    data: Data,
    *,
    values: Sequence[float],
    poi: str | None = None,
    statistic: str = "q_mu_tilde",
    settings: Settings | None = None,
) -> CLsScan:
    """CLs of signal hypotheses, observed and expected, by asymptotic formulae.

    Args:
        likelihood: Any likelihood whose parameter of interest is zero without signal.
        data: Observed data.
        values: Hypotheses: values of the parameter of interest.
        poi: Parameter of interest; None takes the declared one.
        statistic: ``q_mu_tilde``, or ``q_mu`` where negative estimates count as they are.
        settings: Settings of the fits.

    Raises:
        ParameterError: A name is unknown, a hypothesis is not finite, or the parameter cannot be zero.
        DataError: The data do not fit the likelihood.
    """
    began = time.perf_counter()
    require_true_values(likelihood, "CLs")
    settings = settings or Settings()
    for value in values:
        if not np.isfinite(value):
            raise ParameterError(f"a hypothesis must be a finite number, got {value!r}.")

    def judge(contest: Contest) -> tuple[tuple[CLsPoint, ...], str]:
        points, failure = [], ""
        for value in values:
            try:
                points.append(contest.point(float(value)))
            except UntrustworthyError as error:
                failure = str(error)
        return tuple(points), failure

    points, best, certificate = judged(likelihood, data, poi=poi, statistic=statistic, settings=settings, judge=judge)
    seconds = time.perf_counter() - began
    return CLsScan(require_poi(best), statistic, points or (), best, certificate, seconds)
