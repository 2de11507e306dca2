"""Correlations pair by pair: what becomes one joint constraint, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from infer.constraints import MultivariateNormal, Normal, Poisson
from infer.correlation import Asked, correlated
from infer.errors import ParameterError
from infer.parameters import Parameter, Parameters

JOINT = MultivariateNormal(("d", "e"), ((4.0, 0.6), (0.6, 1.0)))  # correlation 0.3
PARAMETERS = Parameters(
    (
        Parameter("a", 0.0, constraint=Normal(1.0)),
        Parameter("b", 0.0, constraint=Normal(2.0)),
        Parameter("mu", 1.0),
        Parameter("c", 0.0, constraint=Normal(0.5)),
        Parameter("d", 0.0, constraint=JOINT),
        Parameter("e", 0.0, constraint=JOINT),
        Parameter("n", 1.0, constraint=Poisson(10.0)),
    ),
    poi="mu",
)


def joint(parameters: Parameters, name: str) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names, correlation and widths of the joint constraint of a parameter."""
    constraint = parameters[name].constraint
    assert isinstance(constraint, MultivariateNormal)
    covariance = np.asarray(constraint.covariance)
    width = np.sqrt(np.diagonal(covariance))
    return constraint.names, covariance / np.outer(width, width), width


def test_pairs_that_hang_together_become_one_constraint() -> None:
    """a-b and b-c make one block of three in which a-c is zero; widths and everything else stay."""
    result = correlated(PARAMETERS, [(("c", "b"), -0.5, "one"), (("b", "a"), 0.4, "two")])
    names, correlation, width = joint(result, "c")
    assert names == ("a", "b", "c")
    np.testing.assert_allclose(correlation, [[1.0, 0.4, 0.0], [0.4, 1.0, -0.5], [0.0, -0.5, 1.0]], atol=1e-15)
    np.testing.assert_allclose(width, [1.0, 2.0, 0.5])
    assert result["a"].constraint == result["b"].constraint == result["c"].constraint
    assert result["d"] == PARAMETERS["d"]
    assert (result.names, result.poi) == (PARAMETERS.names, "mu")


def test_blocks_that_nothing_joins_stay_apart() -> None:
    """Two entries without a common parameter are two constraints."""
    result = correlated(PARAMETERS, [(("a", "b"), 0.5, "one"), (("c", "d"), 0.2, "two")])
    assert joint(result, "a")[0] == ("a", "b")
    names, correlation, _ = joint(result, "c")
    assert names == ("c", "d", "e")
    np.testing.assert_allclose(correlation, [[1.0, 0.2, 0.0], [0.2, 1.0, 0.3], [0.0, 0.3, 1.0]], atol=1e-15)


def test_a_declared_correlation_is_replaced_where_it_is_asked() -> None:
    """d and e were declared with 0.3."""
    names, correlation, width = joint(correlated(PARAMETERS, [(("e", "d"), -0.7, "one")]), "e")
    assert names == ("d", "e")
    np.testing.assert_allclose(correlation, [[1.0, -0.7], [-0.7, 1.0]], atol=1e-15)
    np.testing.assert_allclose(width, [2.0, 1.0])


def test_every_two_of_several() -> None:
    """An entry of three names has three pairs; no entry changes nothing."""
    correlation = joint(correlated(PARAMETERS, [(("a", "b", "c"), 0.25, "one")]), "b")[1]
    np.testing.assert_allclose(correlation, 0.25 + 0.75 * np.eye(3), atol=1e-15)
    assert correlated(PARAMETERS, []) == PARAMETERS


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ([(("a", "x"), 0.5, "P")], "^P: unknown parameter 'x'"),
        ([(("a", "a"), 0.5, "P")], "^P: expected different parameter names"),
        ([(("a",), 0.5, "P")], "^P: expected two or more"),
        ([(("a", "b"), 1.5, "P")], r"^P: rho must lie between -1 and 1, got 1\.5"),
        ([(("a", "b"), float("nan"), "P")], "^P: rho must lie between"),
        ([(("a", "b"), 1.0, "P")], "^P: a rho of 1 makes the parameters one; put them under correlate"),
        ([(("a", "b"), -1.0, "P")], r"^P: a rho of -1 makes the parameters one; take -0\.9999"),
        ([(("a", "mu"), 0.5, "P")], "^P: .*Gaussian constraints, but 'mu' has None"),
        ([(("a", "n"), 0.5, "P")], "^P: .*Gaussian constraints, but 'n' has Poisson"),
        ([(("a", "b"), 0.5, "P"), (("b", "a"), 0.4, "Q")], r"^Q: .*'a' and 'b' is 0\.4 here and 0\.5 in P"),
        ([(("a", "b", "c"), -0.6, "P")], r"^P: .*'a', 'b', 'c' make no positive definite.*eigenvalue -0\.2"),
        ([(("a", "b"), 0.9, "P"), (("b", "c"), -0.9, "Q"), (("a", "c"), 0.9, "R")], "^P, Q, R: .*positive definite"),
    ],
)
def test_impossible_correlations_are_refused(entries: list[Asked], complaint: str) -> None:
    """With the entry, the parameters, and what to do."""
    with pytest.raises(ParameterError, match=complaint):
        correlated(PARAMETERS, entries)
