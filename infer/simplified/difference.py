"""What a simplified likelihood changes: profile, best fit and limit, beside those of the full one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from infer.data import Data
from infer.errors import UntrustworthyError
from infer.inference.fits import FitResult, Settings, fit, require_poi
from infer.inference.limits import upper_limit
from infer.inference.profiles import Interval, Scan, interval, scan
from infer.likelihood import Likelihood

FloatArray = npt.NDArray[np.float64]

TWO_SIGMA = 0.9545
"""Confidence level of the interval in which profiles are compared."""


@dataclass(frozen=True, eq=False)
class Side:
    """Results of one of the two likelihoods.

    Attributes:
        n_parameters: Parameters that the fit may move.
        value: Best fit of the parameter of interest.
        low: Lower end of its profile-likelihood interval of one standard deviation; None where there is none.
        high: Upper end.
        limit: Observed upper limit by CLs at 95 %; None where there is none, or it was not asked for.
        scan: Profile likelihood.
        seconds: Wall-clock time of the fit in seconds.
    """

    n_parameters: int
    value: float
    low: float | None
    high: float | None
    limit: float | None
    scan: Scan
    seconds: float

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return {
            "n_parameters": self.n_parameters,
            "value": self.value,
            "interval": [self.low, self.high],
            "limit": self.limit,
            "status": self.scan.fit.certificate.to_json_dict(),
            "seconds": self.seconds,
        }


@dataclass(frozen=True, eq=False)
class Difference:
    """A simplified likelihood beside the full one.

    Attributes:
        poi: Parameter of interest.
        full: Of the full likelihood.
        simplified: Of the simplified one.
        values: Where the profiles are compared, with shape (N,): within two standard deviations of the full best fit.
        delta: Simplified minus full ``-2 ln L / L(best fit)`` there, with shape (N,); NaN where a fit has no
            certificate.
    """

    poi: str
    full: Side
    simplified: Side
    values: FloatArray
    delta: FloatArray

    @property
    def largest(self) -> float | None:
        """Largest difference of the profiles in size, with its sign; None where no point has both."""
        good = self.delta[np.isfinite(self.delta)]
        return float(good[np.argmax(np.abs(good))]) if good.size else None

    @property
    def trustworthy(self) -> bool:
        """Whether every fit of the comparison has its certificate."""
        fits = (self.full.scan.fit, self.simplified.scan.fit)
        return all(f.certificate.trustworthy for f in fits) and bool(np.all(np.isfinite(self.delta)))

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return {
            "poi": self.poi,
            "largest": self.largest,
            "values": self.values.tolist(),
            "full_delta_twice_nll": _listed(self.full.scan.delta_twice_nll),
            "simplified_delta_twice_nll": _listed(self.simplified.scan.delta_twice_nll),
            "full": self.full.to_json_dict(),
            "simplified": self.simplified.to_json_dict(),
            "trustworthy": self.trustworthy,
        }

    def __str__(self) -> str:
        """One sentence."""
        if self.largest is None:
            return f"the profiles of {self.poi} cannot be compared: no conditional fit has a certificate"
        ends = f"{self.values[0]:.5g} and {self.values[-1]:.5g}"
        return f"the profile of {self.poi} differs by at most {self.largest:+.2g} in -2 ln L between {ends}"

    def table(self) -> str:
        """Best fits, intervals and limits of both, as plain text."""
        head = f"  {'':<12}{'parameters':>11}{'best fit':>12}{'low':>12}{'high':>12}{'limit':>12}"
        sides = (("full", self.full), ("simplified", self.simplified))
        rows = [
            f"  {name:<12}{s.n_parameters:>11}{s.value:>12.5g}{_shown(s.low)}{_shown(s.high)}{_shown(s.limit)}"
            for name, s in sides
        ]
        return "\n".join([head, *rows, "", f"{str(self)[0].upper()}{str(self)[1:]}."])


def difference(
    full: tuple[Likelihood, Data],
    simplified: tuple[Likelihood, Data],
    *,
    poi: str,
    settings: Settings,
    n_points: int,
    limits: bool,
) -> Difference:
    """Compare a simplified likelihood with the full one.

    Args:
        full: Likelihood and data.
        simplified: Likelihood and data.
        poi: Parameter of interest of both.
        settings: Settings of the fits of the full likelihood.
        n_points: Points of the profiles.
        limits: Whether to search upper limits, too.
    """
    best = fit(*full, poi=poi, settings=settings)
    wide = interval(*full, poi=poi, cl=TWO_SIGMA, fitted=best, settings=settings)
    low, high = _range(wide, best, poi)
    values = np.linspace(low, high, n_points)
    one = _side(*full, settings, values, best, limits)
    other = _side(*simplified, Settings(), values, fit(*simplified, poi=poi), limits)
    return Difference(poi, one, other, values, other.scan.delta_twice_nll - one.scan.delta_twice_nll)


def _side(
    likelihood: Likelihood, data: Data, settings: Settings, values: FloatArray, best: FitResult, limits: bool
) -> Side:
    poi = require_poi(best)
    ends = interval(likelihood, data, poi=poi, fitted=best, settings=settings)
    scanned = scan(likelihood, data, poi=poi, values=values, fitted=best, settings=settings)
    return Side(
        n_parameters=int(np.sum(~best.parameters.fixed)),
        value=best.value(poi),
        low=ends.low.value,
        high=ends.high.value,
        limit=_limit(likelihood, data, poi, settings, best) if limits else None,
        scan=scanned,
        seconds=best.seconds,
    )


def _limit(likelihood: Likelihood, data: Data, poi: str, settings: Settings, best: FitResult) -> float | None:
    """The observed limit; None where the parameter cannot be zero, or a fit has no certificate."""
    low, high = best.parameters[poi].bounds
    if not low <= 0.0 <= high or best.value(poi) >= high:
        return None
    return upper_limit(likelihood, data, poi=poi, settings=settings).observed


def _range(wide: Interval, best: FitResult, poi: str) -> tuple[float, float]:
    """Two standard deviations to both sides, from the Hessian where the profile has no end."""
    sigma = best.uncertainty(poi)
    ends = [wide.low.value, wide.high.value]
    if sigma is None and None in ends:
        raise UntrustworthyError(f"{poi} has no interval in which profiles could be compared.")
    low, high = best.parameters[poi].bounds
    reach = 0.0 if sigma is None else 2.0 * sigma
    down = max(best.value(poi) - reach, low) if ends[0] is None else ends[0]
    up = min(best.value(poi) + reach, high) if ends[1] is None else ends[1]
    return float(down), float(up)


def _listed(values: FloatArray) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]


def _shown(value: float | None) -> str:
    return f"{'none':>12}" if value is None else f"{value:>12.5g}"
