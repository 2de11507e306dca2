"""A combination beside its components: measured together, measured alone, and whether they agree."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infer.api import measure
from infer.combination import Parts, Scheme, alone, combine, separated
from infer.errors import ParameterError
from infer.inference.compatibility import Compatibility, compatibility
from infer.inference.fits import Settings, fit, require_poi
from infer.inference.profiles import ONE_SIGMA
from infer.measurement import Measurement
from infer.parameters import Parameters


@dataclass(frozen=True, eq=False)
class Comparison:
    """A combination and what went into it.

    Attributes:
        measurement: The combination.
        components: Each component by itself, under the names and constraints of the combination; those without the
            parameter of interest are left out.
        compatibility: Whether they agree; None with less than two components.
        seconds: Wall-clock time in seconds.
    """

    measurement: Measurement
    components: Mapping[str, Measurement]
    compatibility: Compatibility | None
    seconds: float

    @property
    def trustworthy(self) -> bool:
        """Whether the combination may be quoted."""
        return self.measurement.certificate.trustworthy

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer combine --json``."""
        return {
            **self.measurement.to_json_dict(),
            "components": {name: m.to_json_dict() for name, m in self.components.items()},
            "compatibility": None if self.compatibility is None else self.compatibility.to_json_dict(),
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        """The line of the combination, one for each component, and how they agree."""
        width = max(map(len, self.components), default=0)
        lines = [f"  {name:<{width}}  {m}" for name, m in self.components.items()]
        agreement = [] if self.compatibility is None else [str(self.compatibility)]
        return "\n".join([str(self.measurement), *lines, *agreement])

    def table(self) -> str:
        """The lines, and the whole record of the combination."""
        notices = () if self.compatibility is None else self.compatibility.certificate.notices
        known = self.measurement.certificate.notices
        return "\n".join([str(self), *(f"Note: {n}" for n in notices if n not in known), "", self.measurement.table()])


def compare(
    parts: Parts,
    scheme: Scheme | None = None,
    *,
    poi: str | None = None,
    cl: float = ONE_SIGMA,
    settings: Settings | None = None,
) -> Comparison:
    """Measure a combination and each of its components, and test whether they agree.

    Args:
        parts: Likelihood and data of each component, by name.
        scheme: What they share; see `infer.combine`.
        poi: Parameter of interest; None takes that of the scheme, or the one that the components declare.
        cl: Confidence level of all uncertainties.
        settings: Settings of the fits; those of parameters that a component does not have are left out there.

    Raises:
        ParameterError: As `infer.combine`, or nobody names a parameter of interest.
        DataError: As `infer.combine`.
    """
    began = time.perf_counter()
    scheme, settings = scheme or Scheme(), settings or Settings()
    likelihood, data = combine(parts, scheme)
    joint = fit(likelihood, data, poi=poi, settings=settings)
    name = require_poi(joint)
    together = measure(likelihood, data, poi=name, cl=cl, settings=settings)
    components = {
        c: measure(part, own, poi=name, cl=cl, settings=_for(settings, part.parameters))
        for c, (part, own) in alone(parts, scheme).items()
        if name in part.parameters
    }
    agreement = None
    if len(components) > 1:
        if name in {*settings.fixed, *scheme.fix}:
            raise ParameterError(f"{name!r} is fixed, so that there is nothing to compare; leave it free.")
        apart, apart_data, names = separated(parts, scheme, name)
        separate = fit(apart, apart_data, poi=names[0], settings=_apart(settings, name, names))
        agreement = compatibility(joint, separate, names)
    return Comparison(together, components, agreement, time.perf_counter() - began)


def _for(settings: Settings, parameters: Parameters) -> Settings:
    """The settings that speak of a component's parameters."""
    start = {n: v for n, v in settings.start.items() if n in parameters}
    bounds = {n: v for n, v in settings.bounds.items() if n in parameters}
    fixed = {n: v for n, v in settings.fixed.items() if n in parameters}
    return Settings(start, bounds, fixed, settings.solver)


def _apart(settings: Settings, poi: str, names: tuple[str, ...]) -> Settings:
    """Settings of the parameter of interest for each of its copies."""
    start = {k: v for n, v in settings.start.items() for k in (names if n == poi else (n,))}
    bounds = {k: v for n, v in settings.bounds.items() for k in (names if n == poi else (n,))}
    return Settings(start, bounds, settings.fixed, settings.solver)
