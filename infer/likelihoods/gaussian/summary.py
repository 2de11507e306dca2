"""Measurements of one observable as a table: values with their uncertainties, for figures and text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infer.data import Data
from infer.errors import ParameterError
from infer.likelihoods.gaussian.model import GaussianMeasurements
from infer.likelihoods.gaussian.names import hint


@dataclass(frozen=True)
class MeasuredValue:
    """One measurement of an observable, as it was published.

    Attributes:
        name: What the measurement is called.
        value: Measured value.
        stat: Statistical uncertainty.
        total: Total uncertainty: stat and all systematic sources in quadrature.
    """

    name: str
    value: float
    stat: float
    total: float


def measured_values(
    likelihood: GaussianMeasurements, data: Data, *, observable: str | None = None
) -> tuple[MeasuredValue, ...]:
    """The measurements of one observable alone, in their order.

    A measurement of several observables at once (a linear combination) has no value of its own for
    one of them, and is left out; one of a multiple of the observable is divided by its coefficient.

    Args:
        likelihood: Published measurements.
        data: Their values.
        observable: Its name; None takes the parameter of interest.

    Raises:
        ParameterError: There is no such observable, or none was named.
    """
    name = likelihood.parameters.poi if observable is None else observable
    if name is None or name not in likelihood.observables:
        raise ParameterError(
            f"expected one of the observables {list(likelihood.observables)}, got {name!r}; "
            f"{hint(name or '', likelihood.observables)}"
        )
    parts = likelihood.covariances()
    stat = np.sqrt(np.diagonal(parts["stat"]))
    total = np.sqrt(np.diagonal(np.sum(list(parts.values()), axis=0)))
    design = np.asarray(likelihood.jacobian)[:, likelihood.parameters.positions(likelihood.observables)]
    scale = design[:, likelihood.observables.index(name)]
    alone = (scale != 0.0) & (np.count_nonzero(design, axis=1) == 1)
    numbers = np.column_stack([np.asarray(data.main), stat, total])[alone] / scale[alone, None]
    names = [n for n, kept in zip(likelihood.names, alone, strict=True) if kept]
    return tuple(
        MeasuredValue(n, float(value), abs(float(s)), abs(float(t)))
        for n, (value, s, t) in zip(names, numbers, strict=True)
    )
