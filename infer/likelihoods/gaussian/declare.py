"""From published numbers to the likelihood: measurements, sources, correlations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from infer.data import Data
from infer.errors import ParameterError
from infer.likelihoods.gaussian.model import GaussianMeasurements, normal_constraints
from infer.likelihoods.gaussian.names import hint, require_distinct, require_some
from infer.numerics.covariance import correlation_matrix, merge_identical
from infer.parameters import Parameter, Parameters

FloatArray = npt.NDArray[np.float64]
_RESERVED = ("stat", "syst", "total")  # rows of every error budget


@dataclass(frozen=True)
class Measured:
    """One published measurement.

    Attributes:
        name: what the measurement is called, unique among those combined.
        value: measured value.
        stat: statistical uncertainty, positive, in the unit of the value.
        observable: name of the observable that is measured, or several with their coefficients
            where a linear combination of them is.
        syst: shift of the value when a source moves up by one standard deviation, by source.
            Where two measurements share a source, opposite signs mean that it moves them apart.
    """

    name: str
    value: float
    stat: float
    observable: str | Mapping[str, float]
    syst: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """How a source of systematic uncertainty acts in several measurements.

    Attributes:
        correlation: between every two measurements, or a matrix with a row and a column for each of
            the measurements, those that the source leaves alone included (their entries do not
            count).
        parameter: what its nuisance parameters are called; None takes the name of the source.
        group: of its nuisance parameters in the error budget; None takes the name of the source.
        bounds: of its nuisance parameters, in standard deviations.
    """

    correlation: float | npt.ArrayLike = 1.0
    parameter: str | None = None
    group: str | None = None
    bounds: tuple[float, float] = (-np.inf, np.inf)


def combine_measurements(
    measured: Sequence[Measured],
    *,
    observables: Sequence[Parameter],
    sources: Mapping[str, Source] | None = None,
    stat_correlation: npt.ArrayLike | None = None,
    poi: str | None = None,
    combinations: Mapping[str, Sequence[str]] | None = None,
) -> tuple[GaussianMeasurements, Data]:
    """The likelihood of published measurements, and their values as its data.

    Args:
        measured: the n measurements.
        observables: the parameters they measure.
        sources: every source of systematic uncertainty that a measurement names.
        stat_correlation: of the statistical uncertainties, with shape (n, n); None for independent.
        poi: the observable of interest; None takes the only one, none of several.
        combinations: measurement names by the name of a partial combination.

    Raises:
        ParameterError: names are repeated or unknown, an uncertainty is not positive, or the
            measurements leave an observable undetermined.
        InputError: a correlation matrix is not one.
    """
    declared, stat = dict(sources or {}), np.asarray([m.stat for m in measured], dtype=float)
    names = [m.name for m in measured]
    require_some(names, "the combination")
    require_distinct(names, "measurement")
    for m in measured:
        _require_usable(m, [o.name for o in observables], declared)
    pairs = [
        pair
        for name, source in declared.items()
        for pair in _nuisances(name, source, [m.syst.get(name, 0.0) for m in measured], names)
    ]
    design = [[_coefficients(m).get(o.name, 0.0) for o in observables] for m in measured]
    correlation = 0.0 if stat_correlation is None else stat_correlation
    R = correlation_matrix(correlation, len(stat), "the statistical uncertainties")
    likelihood = GaussianMeasurements(
        _parameters(observables, [parameter for parameter, _ in pairs], poi),
        np.column_stack([np.asarray(design), *(column for _, column in pairs)]),
        R * np.outer(stat, stat),
        names=names,
        observables=[o.name for o in observables],
        combinations=combinations,
    )
    return likelihood, likelihood.data({m.name: m.value for m in measured})


def _parameters(observables: Sequence[Parameter], nuisances: Sequence[Parameter], poi: str | None) -> Parameters:
    """Observables and nuisances, with the parameter of interest, which must be an observable."""
    measured = [parameter.name for parameter in observables]
    require_distinct([*measured, *(p.name for p in nuisances)], "parameter")
    if poi is None and len(measured) == 1:
        poi = measured[0]
    if poi is not None and poi not in measured:
        raise ParameterError(
            f"expected the parameter of interest to be one of the observables {measured}, "
            f"got {poi!r}; {hint(poi, measured)}"
        )
    return Parameters([*observables, *nuisances], poi=poi)


def _coefficients(measured: Measured) -> Mapping[str, float]:
    """What a measurement measures, as coefficients by observable."""
    if isinstance(measured.observable, str):
        return {measured.observable: 1.0}
    return measured.observable


def _nuisances(
    name: str, source: Source, shifts: Sequence[float], measurements: Sequence[str]
) -> list[tuple[Parameter, FloatArray]]:
    """The nuisance parameters of a source, each with its column of the Jacobian with shape (n,)."""
    size, n = np.asarray(shifts, dtype=float), len(measurements)
    at = np.flatnonzero(size)
    if at.size == 0:
        raise ParameterError(
            f"expected the source {name!r} to move a measurement, got none that names it; "
            "remove the source, or correct its name."
        )
    what, group = source.parameter or name, source.group or name
    if group in _RESERVED:
        raise ParameterError(
            f"expected the source {name!r} in a group of its own in the error budget, got "
            f"{group!r}; {', '.join(_RESERVED)} are taken: give it another name or group."
        )
    R = _correlation(source.correlation, at, n, f"the source {name!r}")
    leaders, signs = merge_identical(R)
    labels = [what]
    if len(leaders) > 1:
        members = [[measurements[i] for i in at[column != 0.0]] for column in signs.T]
        labels = [f"{what}[{', '.join(names)}]" for names in members]
    columns = np.zeros((n, len(leaders)))
    columns[at] = size[at, None] * signs
    constraints = normal_constraints(labels, R[np.ix_(leaders, leaders)])
    parameters = [
        Parameter(label, 0.0, source.bounds, constraint, group)
        for label, constraint in zip(labels, constraints, strict=True)
    ]
    return list(zip(parameters, columns.T, strict=True))


def _correlation(correlation: float | npt.ArrayLike, at: npt.NDArray[np.intp], n: int, what: str) -> FloatArray:
    """Correlation matrix among the measurements ``at`` that a source moves, of all n."""
    R = np.asarray(correlation, dtype=float)
    if R.shape == (n, n):
        return correlation_matrix(R[np.ix_(at, at)], len(at), what)
    return correlation_matrix(R, len(at) if R.ndim == 0 else n, what)


def _require_usable(measured: Measured, observables: Sequence[str], sources: Mapping[str, Source]) -> None:
    """Check one measurement's uncertainties, and the names it refers to."""
    who = f"the measurement {measured.name!r}"
    if not (np.isfinite(measured.stat) and measured.stat > 0.0):
        raise ParameterError(
            f"expected a positive statistical uncertainty of {who}, got {measured.stat!r}; put an "
            "uncertainty that is not split into stat."
        )
    for kind, used, known in (
        ("observable", _coefficients(measured), observables),
        ("source", measured.syst, tuple(sources)),
    ):
        for name, value in used.items():
            if name not in known:
                raise ParameterError(f"expected {who} to refer to a declared {kind}, got {name!r}; {hint(name, known)}")
            if not np.isfinite(value):
                raise ParameterError(
                    f"expected a finite number for the {kind} {name!r} of {who}, got {value!r}; "
                    "correct it, or leave the entry out."
                )
