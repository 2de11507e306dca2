"""How well the components of a combination agree on the parameter of interest.

The same data are fitted twice: with one parameter of interest for all, and with one for each component.  The
difference of 2NLL is a likelihood ratio of nested hypotheses, asymptotically chi2 with one degree of freedom less
than there are components (Wilks, Ann. Math. Statist. 9 (1938) 60).  For measurements with Gaussian uncertainties
it is the chi2 of their average.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from infer.certificate import Certificate
from infer.errors import ParameterError
from infer.inference.fits import FitResult, require_poi
from infer.inference.hypotheses import joint_certificate, probability
from infer.numerics.asymptotics import log_chi2_tail


@dataclass(frozen=True, eq=False)
class Compatibility:
    """A test of whether components agree.

    Attributes:
        poi: Parameter of interest.
        values: Best fit of each component's own parameter of interest in the fit with separate ones, by its name.
        uncertainties: Their uncertainties from the Hessian, None where there is none.
        observed: Difference in 2NLL, None where a fit behind it has no certificate.
        log_p: Logarithm of the p-value, None likewise.
        certificate: That of both fits.
    """

    poi: str
    values: Mapping[str, float]
    uncertainties: Mapping[str, float | None]
    observed: float | None
    log_p: float | None
    certificate: Certificate

    @property
    def n_dof(self) -> int:
        """Degrees of freedom."""
        return len(self.values) - 1

    @property
    def p(self) -> float | None:
        """p-value; zero where it is less than 1e-308, see ``log_p``."""
        return None if self.log_p is None else float(np.exp(self.log_p))

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return {
            "values": dict(self.values),
            "uncertainties": dict(self.uncertainties),
            "delta_twice_nll": self.observed,
            "n_dof": self.n_dof,
            "p": self.p,
            "log_p": self.log_p,
            "certificate": self.certificate.to_json_dict(),
        }

    def __str__(self) -> str:
        """One line."""
        if self.observed is None:
            return f"compatibility in {self.poi}: not known ({'; '.join(self.certificate.objections)})"
        return (
            f"compatibility in {self.poi}: chi2 = {self.observed:.4g} with {self.n_dof} "
            f"degree{'s' if self.n_dof > 1 else ''} of freedom, {probability(self.log_p)}"
        )


def compatibility(joint: FitResult, separate: FitResult, names: Sequence[str]) -> Compatibility:
    """Compare the fit with one parameter of interest to that with one for each component.

    Args:
        joint: Fit with one.
        separate: Fit of the same data with separate ones.
        names: Names of the separate ones, two or more.

    Raises:
        ParameterError: There are less than two components to compare.
    """
    poi = require_poi(joint)
    if len(names) < 2:
        raise ParameterError(f"compatibility needs two or more components with {poi!r}, got {len(names)}.")
    certificate = joint_certificate(separate, {f"one {poi} for all": joint})
    if certificate.trustworthy and not joint.certificate.trustworthy:
        certificate = joint.certificate
    bound = [name for name in (poi, *names) if joint.certificate.at_bound.count(name) or separate.at_bound(name)]
    if bound:
        notice = f"{', '.join(bound)} ended at a bound, where a difference in 2NLL does not follow chi2"
        certificate = replace(certificate, notices=(*certificate.notices, notice))
    observed = max(joint.twice_nll - separate.twice_nll, 0.0) if certificate.trustworthy else None
    return Compatibility(
        poi,
        {name: separate.value(name) for name in names},
        {name: separate.uncertainty(name) for name in names},
        observed,
        None if observed is None else log_chi2_tail(observed, len(names) - 1),
        certificate,
    )
