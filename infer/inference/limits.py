r"""Upper limits by CLs, observed and expected.

A signal is excluded at confidence level ``cl`` where CLs falls below 1 - cl.  *How* the distributions of the
test statistic are known is a reference: `Asymptotic` has formulae, and finds the limits as exact roots; toys
(`toy_limits.ToyReference`) have noise, and their limits have errors.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from infer.blinding import require_true_values
from infer.certificate import Certificate
from infer.data import Data
from infer.errors import ParameterError, UntrustworthyError
from infer.inference.exclusion import N_SIGMA, Contest, judged
from infer.inference.fits import FitResult, Settings, require_poi
from infer.likelihood import Likelihood
from infer.numerics.asymptotics import expected_root
from infer.numerics.roots import Crossing, falling_root

_ON_LOG_CLS = 1e-6  # how well log CLs meets its level: the limit is good to about 1e-6 of a standard deviation
_ON_ROOT = 1e-6  # the same for sqrt(q_A)


@dataclass(frozen=True)
class Limits:
    """Limits before they are judged.

    Attributes:
        observed: Observed limit, None where it was not found.
        expected: Expected limits at -2, -1, 0, 1 and 2 standard deviations; None where they were not found.
        failures: What went wrong, in clauses.
        remarks: What a reader should know, in clauses.
        n_toys: Toys behind them, 0 for asymptotic formulae.
        n_failed: Toys without a test statistic.
    """

    observed: Crossing | None
    expected: tuple[Crossing | None, ...]
    failures: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    n_toys: int = 0
    n_failed: int = 0


@runtime_checkable
class Reference(Protocol):
    """How the distributions of the test statistic are known."""

    def limits(self, contest: Contest, cl: float) -> Limits:
        """Limits at a confidence level."""
        ...


@dataclass(frozen=True)
class Asymptotic:
    """The formulae of Cowan, Cranmer, Gross & Vitells; see `asymptotics`."""

    def limits(self, contest: Contest, cl: float) -> Limits:
        """Exact roots: log CLs(mu) = log(1 - cl), and sqrt(q_A(mu)) as `asymptotics.expected_root` says."""
        level, failures = float(np.log1p(-cl)), list[str]()

        def expected(n_sigma: float) -> Crossing | None:
            wanted = expected_root(level, n_sigma)

            def above(value: float) -> tuple[float, float]:
                point = contest.asimov_point(value)
                return wanted - point.root, -point.slope / (2.0 * max(point.root, 1e-300))

            return _found(above, 0.0, wanted * contest.sigma, _ON_ROOT, failures)

        def observed(value: float) -> tuple[float, float]:
            log_cls, slope = contest.log_cls(value)
            return log_cls - level, slope

        bands = tuple(expected(n) for n in N_SIGMA)
        start = max(contest.observed.best, 0.0)
        median = bands[2].x if bands[2] else expected_root(level, 0.0) * contest.sigma
        guess = max(start + 0.5 * median, median + 0.5 * (contest.observed.best - 0.0))
        limit = _found(observed, start, guess, _ON_LOG_CLS, failures)
        return Limits(limit, bands, tuple(failures))


def _found(
    function: Callable[[float], tuple[float, float]],
    above: float,
    guess: float,
    tolerance: float,
    failures: list[str],
) -> Crossing | None:
    """A root, or None and a clause that says why not."""
    try:
        root = falling_root(function, above=above, guess=guess, tolerance=tolerance)
    except UntrustworthyError as error:
        failures.append(str(error))
        return None
    if root is None:
        failures.append("CLs does not fall to the level")
    return root


@dataclass(frozen=True, eq=False)
class UpperLimit:
    """An upper limit by CLs.

    Attributes:
        poi: Parameter of interest.
        cl: Confidence level.
        statistic: ``q_mu_tilde`` or ``q_mu``.
        reference: ``asymptotic``, or ``toys``.
        observed: Observed limit; None where a fit that it needs has no certificate.
        observed_error: What the number of toys leaves open of it; 0 for asymptotic formulae, None without a limit.
        expected: Expected limits at -2, -1, 0, 1 and 2 standard deviations; None likewise.
        expected_errors: Errors of these.
        n_toys: Toys behind them.
        n_failed: Toys without a test statistic.
        fit: Best fit to the observed data.
        certificate: That of all fits.
        seconds: Wall-clock time in seconds.
    """

    poi: str
    cl: float
    statistic: str
    reference: str
    observed: float | None
    observed_error: float | None
    expected: tuple[float | None, ...]
    expected_errors: tuple[float | None, ...]
    n_toys: int
    n_failed: int
    fit: FitResult
    certificate: Certificate
    seconds: float

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer limit --json``."""
        return {
            "poi": self.poi,
            "cl": self.cl,
            "statistic": self.statistic,
            "reference": self.reference,
            "observed": self.observed,
            "observed_error": self.observed_error,
            "expected": list(self.expected),
            "expected_errors": list(self.expected_errors),
            "n_toys": self.n_toys,
            "n_failed": self.n_failed,
            "certificate": self.certificate.to_json_dict(),
            "fit": self.fit.to_json_dict(),
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        """One line."""
        what = f"{self.poi} at {100 * self.cl:.4g} % CL"
        if self.observed is None:
            return f"{what}: no limit ({'; '.join(self.certificate.objections)})"
        unit = self.fit.parameters[self.poi].unit
        median = self.expected[2]
        expected = "none" if median is None else _number(median, self.expected_errors[2])
        return (
            f"{self.poi} < {_number(self.observed, self.observed_error)}{unit and ' ' + unit} at "
            f"{100 * self.cl:.4g} % CL (expected {expected}; CLs, {self.statistic}, {self.reference})"
        )

    def table(self) -> str:
        """The limit, and the expected ones."""
        pairs = zip(N_SIGMA, self.expected, self.expected_errors, strict=True)
        lines = [f"  expected {n:+.0f} sigma  {'none' if x is None else _number(x, dx)}" for n, x, dx in pairs]
        toys = [f"  {self.n_toys} toys, {self.n_failed} failed"] if self.n_toys else []
        notes = [f"Note: {text}" for text in self.certificate.notices]
        return "\n".join([str(self), "", *lines, *toys, *notes])


def _number(value: float, error: float | None) -> str:
    return f"{value:.5g} ± {error:.1g}" if error else f"{value:.5g}"


def upper_limit(
    likelihood: Likelihood,
    data: Data,
    *,
    poi: str | None = None,
    cl: float = 0.95,
    statistic: str = "q_mu_tilde",
    reference: Reference | None = None,
    settings: Settings | None = None,
) -> UpperLimit:
    """Upper limit on a signal by CLs, observed and expected.

    Args:
        likelihood: Any likelihood whose parameter of interest is zero without signal.
        data: Observed data.
        poi: Parameter of interest; None takes the declared one.
        cl: Confidence level.
        statistic: ``q_mu_tilde``, or ``q_mu`` where negative estimates count as they are.
        reference: `Asymptotic()`, which None takes, or `ToyReference(...)`.
        settings: Settings of the fits.

    Raises:
        ParameterError: A name is unknown, ``cl`` is not between 0 and 1, or the parameter cannot be zero.
        DataError: The data do not fit the likelihood.
    """
    began = time.perf_counter()
    if not 0.0 < cl < 1.0:
        raise ParameterError(f"cl must lie between 0 and 1, got {cl!r}; write 95 % as 0.95.")
    require_true_values(likelihood, "a limit")
    chosen = reference or Asymptotic()

    def judge(contest: Contest) -> tuple[Limits, str]:
        found = chosen.limits(contest, cl)
        return found, "; ".join(dict.fromkeys(found.failures))

    found, best, certificate = judged(
        likelihood, data, poi=poi, statistic=statistic, settings=settings or Settings(), judge=judge
    )
    limits = found or Limits(None, (None,) * len(N_SIGMA), ())
    name = require_poi(best)
    return UpperLimit(
        poi=name,
        cl=cl,
        statistic=statistic,
        reference="toys" if limits.n_toys else "asymptotic",
        observed=_place(limits.observed),
        observed_error=_error(limits.observed),
        expected=tuple(map(_place, limits.expected)),
        expected_errors=tuple(map(_error, limits.expected)),
        n_toys=limits.n_toys,
        n_failed=limits.n_failed,
        fit=best,
        certificate=_with_notices(certificate, best, name, limits),
        seconds=time.perf_counter() - began,
    )


def _place(crossing: Crossing | None) -> float | None:
    return None if crossing is None else crossing.x


def _error(crossing: Crossing | None) -> float | None:
    return None if crossing is None else crossing.error


def _with_notices(certificate: Certificate, best: FitResult, name: str, limits: Limits) -> Certificate:
    """What there is to say of the limits, and a word where one lies beyond the declared bound."""
    high = best.parameters[name].bounds[1]
    beyond = [x.x for x in (limits.observed, *limits.expected) if x is not None and x.x > high]
    notices = [*certificate.notices, *limits.remarks]
    if beyond:
        notices.append(f"limits up to {max(beyond):.5g} lie beyond the upper bound {high:g} of {name}, which ends none")
    return replace(certificate, notices=tuple(notices))
