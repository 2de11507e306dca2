"""Priors, and the space in which posteriors are sampled."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infer.constraints import Normal
from infer.errors import ParameterError
from infer.inference.priors import Declared, FlatPrior, LogFlatPrior, NormalPrior, Prior, Space, declared
from infer.parameters import Parameter, Parameters

PARAMETERS = Parameters(
    (
        Parameter("mu", 1.0, (0.0, 10.0)),
        Parameter("free", 0.0),
        Parameter("half", 2.0, (1.0, np.inf)),
        Parameter("nuisance", 0.0, constraint=Normal(1.0)),
        Parameter("held", 1.0, fixed=True),
    )
)
KINDS = Space.of(
    {
        "both": Declared(-1.0, 3.0),
        "low": Declared(2.0, np.inf, 1.0),
        "high": Declared(-np.inf, 5.0),
        "none": Declared(-np.inf, np.inf, 0.0, 1.0, 2.0),
    },
    np.asarray([100.0, 0.5, 0.25, 1.0]),
)


def test_the_space_is_a_bijection() -> None:
    """There and back; the Jacobian is that of automatic differentiation; nothing leaves its range."""
    u = jnp.asarray([2.7, 1.2, -1.4, -3.0])
    x = KINDS.values(u)
    np.testing.assert_allclose(KINDS.inverse(np.asarray(x)), u, rtol=1e-12)
    jacobian = jax.jacobian(KINDS.values)(u)
    np.testing.assert_allclose(KINDS.log_jacobian(u), np.linalg.slogdet(np.asarray(jacobian))[1], rtol=1e-12)
    down, up = (np.asarray(KINDS.values(jnp.full(4, end))) for end in (-800.0, 800.0))
    np.testing.assert_array_equal(down[[0, 1, 3]], [-1.0, 2.0, -800.0])
    np.testing.assert_array_equal(up[[0, 2, 3]], [3.0, 5.0, 800.0])


def test_the_space_is_straight_away_from_bounds() -> None:
    """Twenty scales from its ends x moves by a scale when u moves by one."""
    space = Space.of({"norm": Declared(0.0, 10.0)}, np.asarray([0.1]))
    x = [float(space.values(jnp.asarray([u]))[0]) for u in (49.0, 50.0, 51.0)]
    np.testing.assert_allclose(x, [4.9, 5.0, 5.1], rtol=1e-8)


def test_a_point_on_a_bound_moves_inside() -> None:
    """The inverse keeps a distance from bounds, at most a quarter of the range."""
    edge = KINDS.inverse(np.asarray([-1.0, 2.0, 5.0, 0.0]))
    np.testing.assert_allclose(KINDS.values(jnp.asarray(edge)), [0.0, 2.5, 4.75, 0.0], atol=1e-12)


def test_densities_of_priors() -> None:
    """1/x for logflat, a Gaussian for normal, a constant else."""
    x, y = jnp.asarray([0.5, 3.0, 1.0, 0.25]), jnp.asarray([2.5, 6.0, -2.0, 1.5])
    expected = np.log(6.0 / 3.0) - 0.5 * ((0.25 - 1.0) * 2.0) ** 2 + 0.5 * ((1.5 - 1.0) * 2.0) ** 2
    assert float(KINDS.log_prior(x) - KINDS.log_prior(y)) == pytest.approx(expected, rel=1e-12)


def test_what_is_assumed_is_said() -> None:
    """Declared and assumed priors of free parameters have words; constraints are nobody's prior."""
    found = declared(PARAMETERS, {"free": NormalPrior(0.0, 2.0), "half": LogFlatPrior(0.5, 20.0)})
    assert list(found) == ["mu", "free", "half", "nuisance"]
    assert found["mu"].text == "flat between its bounds [0, 10]"
    assert found["mu"].assumed
    assert found["free"].text == "normal with mean 0 and sigma 2"
    assert (found["half"].low, found["half"].high) == (1.0, 20.0)
    assert found["half"].text == "flat in the logarithm on [0.5, 20], cut to [1, 20] by its bounds"
    assert found["nuisance"].text == ""


@pytest.mark.parametrize(
    ("priors", "complaint"),
    [
        ({}, "'free' is free, with bounds .*--prior free=flat:0:10"),
        ({"fre": FlatPrior(0.0, 1.0)}, "did you mean 'free'"),
        ({"held": FlatPrior(0.0, 1.0)}, "fixed and needs no prior"),
        ({"nuisance": NormalPrior(0.0, 1.0)}, "count twice"),
        ({"mu": FlatPrior(11.0, 12.0)}, "no room between the bounds"),
    ],
)
def test_impossible_declarations(priors: dict[str, Prior], complaint: str) -> None:
    """Each says what to do."""
    with pytest.raises(ParameterError, match=complaint):
        declared(PARAMETERS, priors)


@pytest.mark.parametrize(
    ("kind", "numbers", "complaint"),
    [
        (FlatPrior, (1.0, 1.0), "finite ends in order"),
        (FlatPrior, (0.0, np.inf), "finite ends in order"),
        (LogFlatPrior, (0.0, 1.0), "positive lower end"),
        (NormalPrior, (0.0, 0.0), "positive sigma"),
        (NormalPrior, (np.nan, 1.0), "finite mean"),
    ],
)
def test_impossible_numbers(kind: type[FlatPrior], numbers: tuple[float, float], complaint: str) -> None:
    """No prior without a density."""
    with pytest.raises(ParameterError, match=complaint):
        kind(*numbers)
