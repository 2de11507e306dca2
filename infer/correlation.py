"""Correlations between the auxiliary data of Gaussian-constrained parameters, declared pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from infer.constraints import MultivariateNormal, Normal
from infer.errors import ParameterError
from infer.parameters import Parameters, unique_positions

Asked = tuple[Sequence[str], float, str]
"""Names, the correlation of every two of them, and what messages call the entry."""


def correlated(parameters: Parameters, entries: Sequence[Asked]) -> Parameters:
    """Parameters with joint `MultivariateNormal` constraints in which certain correlations are as asked.

    Correlations that were declared before stay where no entry speaks of them; all others are zero.

    Args:
        parameters: With Normal or MultivariateNormal constraints where they are named.
        entries: Names, correlation, and what messages call it.

    Raises:
        ParameterError: A name is unknown or unconstrained, two entries disagree on a pair, or the correlations
            make no positive definite matrix.
    """
    asked: dict[frozenset[str], tuple[float, str]] = {}
    for names, rho, place in entries:
        _require_possible(parameters, names, rho, place)
        for pair in map(frozenset, combinations(names, 2)):
            known = asked.setdefault(pair, (rho, place))
            if known[0] != rho:
                raise ParameterError(
                    f"{place}: the correlation of {' and '.join(map(repr, sorted(pair)))} is {rho:g} here and "
                    f"{known[0]:g} in {known[1]}; keep one of them."
                )
    for block in _blocks(parameters, asked):
        parameters = _declared(parameters, block, asked)
    return parameters


def _require_possible(parameters: Parameters, names: Sequence[str], rho: float, place: str) -> None:
    try:
        unique_positions(parameters, names)
    except ParameterError as error:
        raise ParameterError(f"{place}: {error}") from None
    if len(names) < 2:
        raise ParameterError(f"{place}: expected two or more parameters, got {list(names)}.")
    if not -1.0 <= rho <= 1.0:
        raise ParameterError(f"{place}: rho must lie between -1 and 1, got {rho!r}.")
    if abs(rho) == 1.0:
        remedy = "put them under correlate" if rho > 0.0 else "take -0.9999"
        raise ParameterError(f"{place}: a rho of {rho:g} makes the parameters one; {remedy}.")
    for name in names:
        if not isinstance(parameters[name].constraint, Normal | MultivariateNormal):
            raise ParameterError(
                f"{place}: partial correlation needs Gaussian constraints, but {name!r} has "
                f"{parameters[name].constraint!r}."
            )


def _joint(parameters: Parameters, name: str) -> tuple[str, ...]:
    """The parameters that one is constrained with, itself included."""
    constraint = parameters[name].constraint
    return constraint.names if isinstance(constraint, MultivariateNormal) else (name,)


def _blocks(parameters: Parameters, asked: dict[frozenset[str], tuple[float, str]]) -> list[list[str]]:
    """Sets of names that hang together, each in the order of the parameters."""
    sets: list[set[str]] = []
    for pair in asked:
        one = {n for name in pair for n in _joint(parameters, name)}
        touching = [s for s in sets if s & one]
        sets = [s for s in sets if not s & one] + [one.union(*touching)]
    return [[name for name in parameters if name in one] for one in sets]


def _declared(parameters: Parameters, names: list[str], asked: dict[frozenset[str], tuple[float, str]]) -> Parameters:
    """Parameters with one joint constraint on ``names``."""
    width = np.asarray([parameters[name].prefit_uncertainty() for name in names], dtype=float)
    matrix = np.eye(len(names))
    for i, j in combinations(range(len(names)), 2):
        matrix[i, j] = matrix[j, i] = _correlation(parameters, names[i], names[j], asked)
    smallest = float(np.linalg.eigvalsh(matrix)[0])
    if smallest <= len(names) * np.finfo(float).eps:
        places = sorted({place for pair, (_, place) in asked.items() if pair <= set(names)})
        raise ParameterError(
            f"{', '.join(places)}: the correlations of {', '.join(map(repr, names))} make no positive definite matrix "
            f"(smallest eigenvalue {smallest:.3g}); make them smaller, or say how the others are correlated."
        )
    covariance = matrix * np.outer(width, width)
    joint = MultivariateNormal(tuple(names), tuple(map(tuple, covariance.tolist())))
    for name in names:
        parameters = parameters.replace(name, constraint=joint)
    return parameters


def _correlation(parameters: Parameters, a: str, b: str, asked: dict[frozenset[str], tuple[float, str]]) -> float:
    """What is asked, or else declared, of one pair."""
    known = asked.get(frozenset((a, b)))
    if known is not None:
        return known[0]
    constraint = parameters[a].constraint
    if not isinstance(constraint, MultivariateNormal) or b not in constraint.names:
        return 0.0
    i, j = constraint.names.index(a), constraint.names.index(b)
    covariance = constraint.covariance
    return float(covariance[i][j] / np.sqrt(covariance[i][i] * covariance[j][j]))
