"""Data that do not fit are refused, with what was expected, what came and where."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from infer.constraints import LogNormal, MultivariateNormal, Normal, Poisson
from infer.data import check_aux, check_aux_shape, check_leaves
from infer.errors import DataError
from infer.parameters import Parameter, Parameters
from infer.typing import MainData

JOINT = MultivariateNormal(("e", "d"), ((1.0, 0.3), (0.3, 2.0)))
PARAMETERS = Parameters(
    (
        Parameter("free", 0.0),
        Parameter("a", 0.0, constraint=Normal(1.0)),
        Parameter("b", 1.0, constraint=Poisson(4.0)),
        Parameter("c", 1.0, constraint=LogNormal(1.1)),
        Parameter("d", 0.0, constraint=JOINT),
        Parameter("e", 0.0, constraint=JOINT),
    )
)


def test_possible_auxiliary_data_pass() -> None:
    """Negative normal data, zero counts and counts between integers (Asimov data) are fine."""
    check_aux(PARAMETERS, jnp.array([-3.0, 0.0, 0.1, -7.0, 2.0]))
    check_aux(PARAMETERS, jnp.array([0.0, 4.4, 1.0, 0.0, 0.0]))
    check_aux(Parameters(()), jnp.zeros(0))


@pytest.mark.parametrize("shape", [(0,), (4,), (6,)])
def test_auxiliary_data_have_one_entry_per_constraint(shape: tuple[int, ...]) -> None:
    """Too few, too many and badly shaped auxiliary data are told the names they should have."""
    with pytest.raises(DataError, match=r"expected 5 auxiliary data.*\(a, b, c, d, e\), got shape"):
        check_aux_shape(PARAMETERS, jnp.zeros(shape))


@pytest.mark.parametrize(
    ("at", "value", "complaint"),
    [
        (0, np.nan, "'a' must be a finite number, got nan"),
        (0, np.inf, "'a' must be a finite number, got inf"),
        (1, -1.0, "'b' must be a count of zero or more, got -1"),
        (1, np.inf, "'b' must be a count of zero or more, got inf"),
        (2, 0.0, "'c' must be a positive number, got 0"),
        (3, np.nan, "'d' must be a finite number, got nan"),
    ],
)
def test_impossible_auxiliary_data_are_refused(at: int, value: float, complaint: str) -> None:
    """A datum that its constraint cannot produce is named."""
    with pytest.raises(DataError, match=complaint):
        check_aux(PARAMETERS, jnp.array([0.0, 4.0, 1.0, 0.0, 0.0]).at[at].set(value))


EXPECTED = {"counts": jnp.zeros(3), "total": jnp.zeros(())}


@pytest.mark.parametrize(
    ("main", "complaint"),
    [
        ({"counts": jnp.zeros(3)}, r"entries \['counts'\], \['total'\], got \['counts'\]"),
        (jnp.zeros(3), r"got \(one array\)"),
        ({}, r"got \(none\)"),
        ({"counts": jnp.zeros(2), "total": 1.0}, r"\['counts'\] with shape \(3,\), got \(2,\)"),
        ({"counts": jnp.zeros(3), "total": jnp.zeros(1)}, r"\['total'\] with shape \(\), got \(1,\)"),
        (
            {"counts": jnp.array([0.0, jnp.inf, jnp.nan]), "total": 1.0},
            r"\['counts'\] must be finite, but entry 1 is not",
        ),
    ],
)
def test_main_data_of_another_kind_are_refused(main: MainData, complaint: str) -> None:
    """Structure, shapes and finite values are compared, and the first difference is located."""
    with pytest.raises(DataError, match=complaint):
        check_leaves(main, EXPECTED)


def test_main_data_of_the_same_kind_pass() -> None:
    """Arrays of any library and integers pass, since only structure and values are compared."""
    check_leaves({"total": 3, "counts": np.array([1, 2, 3])}, EXPECTED)
