"""Constraints in documents of HS3: distributions of one parameter, and what an auxiliary measurement they stand for.

A Gaussian constraint has the parameter as ``x`` and the measured value as ``mean``, or the reverse; a Poisson one the
count as ``x`` and the parameter as ``mean``, alone or in a product with a constant. The measured value is a number, or
a parameter that is constant in the parameter point, as ROOT writes global observables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infer.constraints import Constraint, Normal, Poisson
from infer.documents import fail, listed, sequence, text


@dataclass(frozen=True)
class Measured:
    """A constraint term.

    Attributes:
        parameter: The parameter it is on.
        constraint: Its distribution.
        datum: The measured value.
    """

    parameter: str
    constraint: Constraint
    datum: float


@dataclass(frozen=True)
class Values:
    """What a number in a distribution may refer to.

    Attributes:
        constants: Parameters that are constant, by name.
        functions: Functions of the document, by name.
    """

    constants: Mapping[str, float]
    functions: Mapping[str, Mapping[str, Any]]

    def number(self, value: object) -> float | None:
        """A number, or the value of a constant parameter; None for a free parameter."""
        if isinstance(value, bool):
            return None
        if isinstance(value, (int, float)):
            return float(value)
        return self.constants.get(value) if isinstance(value, str) else None

    def scaled(self, value: object) -> tuple[str | None, float]:
        """A free parameter with the constant that multiplies it; None where there is no or more than one."""
        if isinstance(value, str) and value in self.functions:
            function = self.functions[value]
            if function.get("type") != "product":
                return None, 1.0
            factors = list(sequence(function.get("factors"), f"function {value!r}", "factors"))
        else:
            factors = [value]
        numbers = [self.number(factor) for factor in factors]
        free = [factor for factor, number in zip(factors, numbers, strict=True) if number is None]
        constant = 1.0
        for number in numbers:
            constant *= 1.0 if number is None else number
        return (str(free[0]), constant) if len(free) == 1 and isinstance(free[0], str) else (None, constant)


def measured(distribution: Mapping[str, Any], values: Values, source: str, *, datum: float | None = None) -> Measured:
    """The constraint term that a distribution is.

    Args:
        distribution: The distribution.
        values: What its numbers refer to.
        source: How messages call the document.
        datum: Measured value of its ``x``, where a likelihood gives it.

    Raises:
        WorkspaceError: It is no Gaussian or Poisson distribution of one parameter and constants.
    """
    name, kind = text(distribution.get("name"), source, "a distribution's name"), distribution.get("type")
    place = f"{source}: distribution {name!r}"
    if kind not in ("gaussian_dist", "poisson_dist"):
        problem = f"its type is {kind!r}, as a constraint of a parameter"
        raise fail(place, problem, f"constraints can be {listed(('gaussian_dist', 'poisson_dist'))}")
    given = dict(distribution) | ({} if datum is None else {"x": datum})
    missing = [key for key in ("x", "mean", *(("sigma",) if kind == "gaussian_dist" else ())) if key not in given]
    if missing:
        raise fail(place, f"it lacks {listed(missing)}", "add what is missing")
    if kind == "poisson_dist":
        return _poisson(given, values, place)
    return _gaussian(given, values, place)


def _gaussian(given: Mapping[str, Any], values: Values, place: str) -> Measured:
    sigma, ends = values.number(given["sigma"]), (given["x"], given["mean"])
    at = _parameter_end(ends, values)
    datum = None if at is None else values.number(ends[1 - at])
    if sigma is None or at is None or datum is None:
        problem = "it is no Gaussian of one parameter with a constant width"
        raise fail(place, problem, "give sigma and one of x and mean as numbers, or mark what is constant")
    if sigma <= 0.0:
        raise fail(place, f"its sigma is {sigma:g}", "give a number above 0")
    return Measured(str(ends[at]), Normal(sigma), datum)


def _parameter_end(ends: tuple[object, object], values: Values) -> int | None:
    """Which of two ends is the parameter: a free one, or else a constant one that is no global observable."""
    names = [at for at, end in enumerate(ends) if isinstance(end, str) and end not in values.functions]
    free = [at for at in names if values.number(ends[at]) is None]
    if len(free) == 1:
        return free[0]
    held = [at for at in names if not str(ends[at]).startswith("nom_")]
    return held[0] if not free and len(held) == 1 else None


def _poisson(given: Mapping[str, Any], values: Values, place: str) -> Measured:
    count = values.number(given["x"])
    parameter, scale = values.scaled(given["mean"])
    if count is None or parameter is None or scale <= 0.0:
        problem = "it is no Poisson distribution of a constant count with a free parameter times a constant as its mean"
        raise fail(place, problem, "give x as a number, and mean as a parameter or a product")
    return Measured(parameter, Poisson(scale), count)
