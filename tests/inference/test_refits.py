"""Fits close to a best fit: tangents, and that the approach lands where a search from afar does."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from infer.api import read_workspace
from infer.inference.fits import Settings, fit
from infer.inference.minimize import CONVERGED, Newton
from infer.inference.refits import holding, moving, refit, tangents, vicinity
from tests.contract.cases import linear_normal
from tests.inference.problems import Surface, without_aux

WORKSPACES = Path(__file__).parents[2] / "workspaces"


def test_tangents_are_derivatives_of_conditional_fits() -> None:
    """C_{.i} / C_ii against a difference of two fits; also for a parameter at a bound, which has no row in C."""
    likelihood, data, _ = linear_normal()
    settings = Settings(bounds={"x": (0.7, 6.0)})
    best = fit(likelihood, data, poi="m", settings=settings)
    assert best.at_bound("x")
    for name in ("x", "y"):
        at = best.parameters.position(name)
        ends = [
            fit(likelihood, data, settings=Settings({}, settings.bounds, {name: best.value(name) + d})).values
            for d in (0.0, 0.1)
        ]
        (found,) = tangents(best, np.asarray([at]))
        assert found == pytest.approx((ends[1] - ends[0]) / 0.1, abs=1e-5)


def test_tangents_of_moved_data_are_exact_in_a_linear_model() -> None:
    """The start is the minimum, which takes one evaluation to certify."""
    likelihood, data, _ = linear_normal()
    best = fit(likelihood, data, poi="m")
    changes = moving(likelihood, data, best, np.diag([0.5, -0.5, 1.0]))
    found = refit(vicinity(likelihood, data, best), changes, solver=Newton())
    assert found.theta == pytest.approx(np.asarray(changes.start), abs=1e-8)
    assert found.n_steps.tolist() == [1, 1, 1]


def test_approach_comes_close_enough_for_one_evaluation() -> None:
    """Of a model that is not linear, all refits but a few are certified by the first exact Hessian."""
    likelihood, data = read_workspace(WORKSPACES / "search.json")
    best = fit(likelihood, data)
    held = np.flatnonzero(best.inactive)
    changes = holding(best, np.asarray(data.aux), held, best.values[held] + 0.8 * best.uncertainties[held])
    found = refit(vicinity(likelihood, data, best), changes, solver=Newton())
    assert np.all(found.status == CONVERGED)
    assert np.mean(found.n_steps == 1) > 0.9


def test_far_from_the_best_fit_the_search_takes_over() -> None:
    """Rosenbrock's valley bends away from every tangent: with x1 held, x0 is a root of its cubic."""

    def valley(theta: jnp.ndarray, main: jnp.ndarray) -> jnp.ndarray:
        return 5.0 * (theta[1] - theta[0] ** 2) ** 2 + 0.5 * (theta[0] - main[0]) ** 2

    likelihood, data = Surface(valley), without_aux([1.0, 0.0])
    best = fit(likelihood, data)
    at = np.asarray([0.2, 3.0, 9.0])
    found = refit(vicinity(likelihood, data, best), holding(best, np.zeros(0), np.ones(3, int), at), solver=Newton())
    assert np.all(found.status == CONVERGED)
    for c, theta in zip(at, found.theta, strict=True):
        roots = np.roots([20.0, 0.0, 1.0 - 20.0 * c, -1.0])
        real = roots[np.isreal(roots)].real
        values = 5.0 * (c - real**2) ** 2 + 0.5 * (real - 1.0) ** 2
        assert theta[0] == pytest.approx(real[np.argmin(values)], abs=1e-5)
