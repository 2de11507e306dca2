r"""Joint hypotheses and the significance of a discovery, by asymptotic formulae.

A hypothesis gives values to one or several parameters; the others are profiled.  With ``t_mu`` it is tested
against chi2 with as many degrees of freedom as values (Wilks; Cowan, Cranmer, Gross & Vitells,
arXiv:1007.1727, eq. 35); the significance of a discovery is Z = sqrt(q_0) (eqs. 12, 52 and 53).  p-values
are kept as logarithms, so that none vanishes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr, ndtri_exp

from infer.blinding import require_true_values
from infer.certificate import Certificate
from infer.data import Data
from infer.errors import ParameterError
from infer.inference.fits import FitResult, Settings, fit, require_poi
from infer.inference.profiles import DEEPER
from infer.likelihood import Likelihood
from infer.numerics.asymptotics import log_chi2_tail

FloatArray = npt.NDArray[np.float64]

_RESTARTS = 3


@dataclass(frozen=True, eq=False)
class HypothesisTest:
    """A test of a joint hypothesis with t_mu.

    Attributes:
        values: The hypothesis: values by parameter name.
        observed: Observed t_mu, None where a fit behind it has no certificate.
        log_p: Logarithm of the p-value, None likewise.
        fit: Best fit.
        held: Fit with the hypothesis imposed.
        certificate: That of both fits.
        seconds: Wall-clock time in seconds.
    """

    values: Mapping[str, float]
    observed: float | None
    log_p: float | None
    fit: FitResult
    held: FitResult
    certificate: Certificate
    seconds: float

    @property
    def n_dof(self) -> int:
        """Degrees of freedom: values that the best fit was free to choose."""
        return len(self.values)

    @property
    def p(self) -> float | None:
        """p-value; zero where it is less than 1e-308, see ``log_p``."""
        return None if self.log_p is None else float(np.exp(self.log_p))

    @property
    def z(self) -> float | None:
        """p-value in one-sided Gaussian standard deviations; minus infinity for p = 1, at the best fit itself."""
        return None if self.log_p is None else float(-ndtri_exp(self.log_p))

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer test --json``."""
        return {
            "values": dict(self.values),
            "statistic": "t_mu",
            "observed": self.observed,
            "n_dof": self.n_dof,
            "p": self.p,
            "log_p": self.log_p,
            "z": self.z if self.z is not None and np.isfinite(self.z) else None,
            "certificate": self.certificate.to_json_dict(),
            "fit": self.fit.to_json_dict(),
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        """One line."""
        what = ", ".join(f"{name} = {value:g}" for name, value in self.values.items())
        if self.observed is None:
            return f"{what}: no p-value ({'; '.join(self.certificate.objections)})"
        return f"{what}: t_mu = {self.observed:.4g}, {probability(self.log_p)} with {self.n_dof} degrees of freedom"


@dataclass(frozen=True, eq=False)
class Significance:
    """The significance of a discovery: how badly the data fit without signal.

    Attributes:
        poi: Parameter of interest.
        observed: Observed Z = sqrt(q_0) in standard deviations, None where a fit behind it has no certificate.
        expected: Z of the Asimov data at ``expected_at``, None likewise.
        expected_at: Parameter of interest of the Asimov data; nuisance parameters are profiled there.
        fit: Best fit.
        certificate: That of all fits.
        seconds: Wall-clock time in seconds.
    """

    poi: str
    observed: float | None
    expected: float | None
    expected_at: float
    fit: FitResult
    certificate: Certificate
    seconds: float

    @property
    def log_p(self) -> float | None:
        """Logarithm of the p-value of the background-only hypothesis."""
        return None if self.observed is None else float(log_ndtr(-self.observed))

    @property
    def p(self) -> float | None:
        """That p-value; zero where it is less than 1e-308, see ``log_p``."""
        return None if self.log_p is None else float(np.exp(self.log_p))

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer significance --json``."""
        return {
            "poi": self.poi,
            "statistic": "q_0",
            "observed": self.observed,
            "expected": self.expected,
            "expected_at": self.expected_at,
            "p": self.p,
            "log_p": self.log_p,
            "certificate": self.certificate.to_json_dict(),
            "fit": self.fit.to_json_dict(),
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        """One line."""
        if self.observed is None or self.expected is None:
            return f"{self.poi}: no significance ({'; '.join(self.certificate.objections)})"
        expected = f"expected {self.expected:.3g} at {self.poi} = {self.expected_at:g}"
        return f"{self.poi}: observed Z = {self.observed:.3g} ({probability(self.log_p)}), {expected}"


def probability(log_p: float | None) -> str:
    """A p-value in words, however small."""
    if log_p is None:
        return "no p-value"
    if log_p > -600.0:
        return f"p = {np.exp(log_p):.3g}"
    exponent = log_p / np.log(10.0)
    return f"p = {10.0 ** (exponent - np.floor(exponent)):.3g}e{int(np.floor(exponent))}"


def hypothesis_test(
    likelihood: Likelihood, data: Data, *, values: Mapping[str, float], settings: Settings | None = None
) -> HypothesisTest:
    """Test that one or several parameters have certain values.

    Args:
        likelihood: Any likelihood.
        data: Observed data.
        values: The hypothesis: values by parameter name.
        settings: Settings of the fits.

    Raises:
        ParameterError: No value is given, a name is unknown, a value lies outside its bounds, or the parameter
            is fixed already.
        DataError: The data do not fit the likelihood.
    """
    began = time.perf_counter()
    settings = settings or Settings()
    if not values:
        raise ParameterError("a hypothesis needs at least one value, such as {'mu': 1.0}, got none.")
    for name in values:
        if likelihood.parameters[name].fixed or name in settings.fixed:
            raise ParameterError(f"parameter {name!r} is fixed, so that there is nothing to test its value against.")
    best, held = _both(likelihood, data, values, settings)
    certificate = joint_certificate(best, {_named(values): held})
    observed = max(held.twice_nll - best.twice_nll, 0.0) if certificate.trustworthy else None
    log_p = None if observed is None else log_chi2_tail(observed, len(values))
    return HypothesisTest(dict(values), observed, log_p, best, held, certificate, time.perf_counter() - began)


def significance(
    likelihood: Likelihood,
    data: Data,
    *,
    poi: str | None = None,
    expected_at: float = 1.0,
    settings: Settings | None = None,
) -> Significance:
    """Significance of a discovery, observed and expected, in standard deviations.

    Args:
        likelihood: Any likelihood whose parameter of interest is zero without signal.
        data: Observed data.
        poi: Parameter of interest; None takes the declared one.
        expected_at: Parameter of interest of the Asimov data of the expected significance.
        settings: Settings of the fits.

    Raises:
        ParameterError: A name is unknown, or zero and ``expected_at`` do not both lie within the bounds.
        DataError: The data do not fit the likelihood.
    """
    began = time.perf_counter()
    settings = settings or Settings()
    require_true_values(likelihood, "a significance")
    name = require_poi(fit(likelihood, data, poi=poi, settings=settings))
    best, null = _both(likelihood, data, {name: 0.0}, settings, poi=name)
    there = fit(likelihood, data, poi=name, settings=_holding(settings, {name: expected_at}))
    asimov = likelihood.expected(jnp.asarray(there.values))
    truth = 2.0 * -float(likelihood.logpdf(jnp.asarray(there.values), asimov))
    asimov_null = fit(likelihood, asimov, poi=name, settings=_holding(settings, {name: 0.0}, start=there))
    certificate = joint_certificate(
        best,
        {f"{name} = 0": null, f"{name} = {expected_at:g}": there},
        {f"{name} = 0 and Asimov data": asimov_null},
    )
    observed = expected = None
    if certificate.trustworthy:
        q_0 = null.twice_nll - best.twice_nll if best.value(name) >= 0.0 else 0.0
        observed = float(np.sqrt(max(q_0, 0.0)))
        expected = float(np.sqrt(max(asimov_null.twice_nll - truth, 0.0)))
    return Significance(name, observed, expected, expected_at, best, certificate, time.perf_counter() - began)


def _holding(settings: Settings, values: Mapping[str, float], start: FitResult | None = None) -> Settings:
    """Settings that hold parameters, and start where another fit ended."""
    begin = {} if start is None else dict(zip(start.parameters.names, start.values.tolist(), strict=True))
    begin = {k: v for k, v in begin.items() if k not in values and k not in settings.fixed}
    return replace(settings, start={**settings.start, **begin}, fixed={**settings.fixed, **values})


def _both(
    likelihood: Likelihood, data: Data, values: Mapping[str, float], settings: Settings, poi: str | None = None
) -> tuple[FitResult, FitResult]:
    """Best fit and fit with values held; the first is repeated from the second where that lies deeper."""
    best = fit(likelihood, data, poi=poi, settings=settings)
    held = fit(likelihood, data, poi=poi, settings=_holding(settings, values))
    for _ in range(_RESTARTS):
        if not held.certificate.converged or held.twice_nll >= best.twice_nll - DEEPER:
            break
        best = fit(likelihood, data, poi=poi, settings=_holding(settings, {}, start=held))
    return best, held


def joint_certificate(
    best: FitResult, held: Mapping[str, FitResult], others: Mapping[str, FitResult] | None = None
) -> Certificate:
    """The certificate of a result that needs several fits: that of the best fit, and what spoils the others.

    Args:
        best: Best fit.
        held: Fits of the same data with values held, by the words that a message calls them by.
        others: Fits of other data.
    """
    certificate = best.certificate
    if not certificate.converged:
        return certificate
    for where, one in {**held, **(others or {})}.items():
        if not one.certificate.converged:
            message = f"the fit with {where} failed: {one.certificate.message}"
            return replace(certificate, converged=False, message=message)
    for where, one in held.items():
        if one.twice_nll < best.twice_nll - DEEPER:
            message = f"the fit with {where} lies below the best fit"
            return replace(certificate, converged=False, message=message)
    return certificate


def _named(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in values.items())
