"""Contours: closed forms, fits one by one, local minima, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from infer.api import read_workspace
from infer.errors import ParameterError
from infer.inference import contours
from infer.inference.contours import _cubic, contour, level
from infer.inference.fits import Settings, fit
from infer.inference.minimize import Newton
from infer.inference.profiles import interval
from infer.parameters import Parameter, Parameters
from tests.contract.cases import linear_normal
from tests.inference.problems import Parabola, Surface, without_aux

WORKSPACES = Path(__file__).parents[2] / "workspaces"
PRECISION = np.asarray([[4.0, 1.0, 0.5], [1.0, 3.0, -0.7], [0.5, -0.7, 2.0]])


def test_levels_are_quantiles_of_chi2_with_two_degrees_of_freedom() -> None:
    """Against SciPy, and the 2.30 and 5.99 of the table in the Review of Particle Physics."""
    for cl in (0.1, 0.6827, 0.95, 0.9999):
        assert level(cl) == pytest.approx(stats.chi2.isf(1.0 - cl, 2), rel=1e-12)
    assert [round(level(cl), 2) for cl in (0.6827, 0.95)] == [2.30, 5.99]


def test_gaussian_is_an_ellipse() -> None:
    """q is the quadratic form of the inverse of the 2 x 2 block of the covariance, on coarse and fine grids."""
    centre = np.asarray([0.3, -1.0, 2.0])
    likelihood, data = Parabola(PRECISION), without_aux(centre)
    for points in ((4, 3), (30, 21)):
        found = contour(likelihood, data, parameters=("x2", "x0"), points=points)
        assert found.n_failed == 0
        assert found.delta_twice_nll.shape == (points[1], points[0])
        block = np.linalg.inv(PRECISION)[np.ix_([2, 0], [2, 0])]
        assert found.covariance == pytest.approx(block, rel=1e-9)
        x, y = np.meshgrid(found.x - centre[2], found.y - centre[0])
        d = np.stack([x, y], axis=-1)
        expected = np.einsum("jia,ab,jib->ji", d, np.linalg.inv(block), d)
        assert found.delta_twice_nll == pytest.approx(expected, abs=1e-6)
        sigma = np.sqrt(np.diagonal(block))
        assert found.x[[0, -1]] == pytest.approx(centre[2] + np.asarray([-3.0, 3.0]) * sigma[0], rel=1e-9)
    shadow = found.extent(0.95)
    assert shadow is not None
    assert shadow[0] == pytest.approx(centre[2] + np.sqrt(5.9915) * sigma[0] * np.asarray([-1.0, 1.0]), abs=0.05)


@pytest.mark.slow
def test_grid_points_are_separate_fits() -> None:
    """Of a search, at corners and inside; and at an end of an interval, with the other at its best fit there."""
    likelihood, data = read_workspace(WORKSPACES / "search.json")
    found = contour(likelihood, data, parameters=("mu", "jes"), points=(15, 14))
    assert found.n_failed == 0
    assert found.certificate.trustworthy
    for j, i in ((0, 0), (13, 14), (0, 14), (13, 0), (6, 8), (3, 11)):
        fixed = {"mu": float(found.x[i]), "jes": float(found.y[j])}
        alone = fit(likelihood, data, settings=Settings(fixed=fixed))
        assert found.delta_twice_nll[j, i] == pytest.approx(alone.twice_nll - found.fit.twice_nll, abs=1e-7)
    ends = interval(likelihood, data, poi="mu", cl=0.6827)
    at = fit(likelihood, data, settings=Settings(fixed={"mu": ends.high.value or np.nan}))
    point = ([ends.high.value, 3.0], [at.value("jes"), 3.0])
    on_end = contour(likelihood, data, parameters=("mu", "jes"), grids=point)
    assert on_end.delta_twice_nll[0, 0] == pytest.approx(1.0, abs=1e-4)


def test_parameters_at_a_bound() -> None:
    """A best fit at a bound of x: the grid begins there, and q is that of fits with the others profiled."""
    likelihood, data, _ = linear_normal()
    settings = Settings(bounds={"x": (0.7, 6.0)})
    found = contour(likelihood, data, parameters=("x", "m"), points=(5, 4), settings=settings)
    assert found.fit.at_bound("x")
    assert found.x[0] == 0.7
    assert np.all(np.isnan(found.covariance))
    alone = fit(likelihood, data, settings=replace(settings, fixed={"x": float(found.x[3]), "m": float(found.y[2])}))
    assert found.delta_twice_nll[2, 3] == pytest.approx(alone.twice_nll - found.fit.twice_nll, abs=1e-7)
    assert not any("edge" in notice for notice in found.certificate.notices)


def _double_well(theta: jnp.ndarray, main: jnp.ndarray) -> jnp.ndarray:
    """Two valleys in z: the lower one has the sign of x, and beyond |x| = 2.05 there is no other."""
    x, y, z = theta
    return 0.5 * ((x - main[0]) ** 2 + y**2) + 4.0 * (z**2 - 1.0) ** 2 - 3.0 * x * z


def test_neighbours_lead_out_of_local_minima(monkeypatch: pytest.MonkeyPatch) -> None:
    """Just below x = 0 a fit stays in the higher valley, until a neighbour's minimum, carried over, leads out of it.

    The lower envelope is known by minimising over z on a fine grid; without a look at the neighbours, it is missed.
    """
    names = Parameters(Parameter(n, s) for n, s in (("x", 1.0), ("y", 0.0), ("z", 1.0)))
    likelihood, data = Surface(_double_well, names), without_aux([1.0, 0.0, 0.0])
    x, y = np.linspace(-4.0, 6.0, 41), np.linspace(-1.0, 1.0, 4)
    found = contour(likelihood, data, parameters=("x", "y"), grids=(x, y))
    z = np.linspace(-2.0, 2.0, 40001)
    valley = np.asarray([np.min(4.0 * (z**2 - 1.0) ** 2 - 3.0 * a * z) for a in x])
    best = found.fit.value("x")
    bottom = 0.5 * (best - 1.0) ** 2 + np.min(4.0 * (z**2 - 1.0) ** 2 - 3.0 * best * z)
    expected = 2.0 * (0.5 * ((x - 1.0) ** 2 + y[:, None] ** 2) + valley - bottom)
    assert found.delta_twice_nll == pytest.approx(expected, abs=1e-5)
    monkeypatch.setattr(contours, "_ROUNDS", 0)
    alone = contour(likelihood, data, parameters=("x", "y"), grids=(x, y))
    assert np.max(alone.delta_twice_nll - expected) > 1.0


def test_a_deeper_point_moves_the_best_fit() -> None:
    """A best fit in the higher of two valleys is disproved by the grid, and searched for again."""
    names = Parameters(Parameter(n, s) for n, s in (("x", -1.5), ("y", 0.0)))

    def valleys(theta: jnp.ndarray, main: jnp.ndarray) -> jnp.ndarray:
        x, y = theta
        return (x**2 - 1.0) ** 2 - 0.2 * x + 0.5 * (y - main[0]) ** 2

    likelihood, data = Surface(valleys, names), without_aux([0.0, 0.0])
    wrong = fit(likelihood, data)
    assert wrong.value("x") < 0.0
    grids = (np.linspace(-1.5, 1.5, 7), np.linspace(-0.5, 0.5, 3))
    found = contour(likelihood, data, parameters=("x", "y"), grids=grids, fitted=wrong)
    assert found.fit.value("x") > 0.9
    assert np.nanmin(found.delta_twice_nll) > -1e-9


def test_failures_are_counted() -> None:
    """Points without a certificate are NaN and null; a best fit without one has no contour."""
    likelihood, data, _ = linear_normal()
    best = fit(likelihood, data)
    far = Newton(max_steps=1)
    grids = ([best.value("m") - 1.0, best.value("m") + 1.0], [0.0, 0.5])
    lost = fit(likelihood, data, settings=Settings(solver=far, start={"m": 100.0}))
    lost = replace(lost, certificate=replace(lost.certificate, converged=False, message="lost"))
    found = contour(likelihood, data, parameters=("m", "x"), grids=grids, fitted=lost)
    assert found.n_failed == 4
    assert not found.certificate.trustworthy
    assert found.to_json_dict()["delta_twice_nll"] == [[None, None], [None, None]]
    assert found.extent(0.95) is None
    assert "not converged: lost" in found.table()


def test_a_contour_that_leaves_the_grid_says_so() -> None:
    """At a bound the region ends; at the edge of a grid it is cut."""
    likelihood, data = Parabola(PRECISION), without_aux([0.0, 0.0, 0.0])
    small = contour(likelihood, data, parameters=("x0", "x1"), points=(5, 5), ranges={"x0": (-0.6, 2.0)})
    assert any("95 % reaches the edge" in notice for notice in small.certificate.notices)
    wide = contour(likelihood, data, parameters=("x0", "x1"), points=(5, 5))
    assert wide.certificate.notices == ()


def test_bad_input_is_refused() -> None:
    """Names, levels, ranges and grids, each with what came and what to do."""
    likelihood, data, _ = linear_normal()

    def refused(match: str, **options: object) -> None:
        with pytest.raises(ParameterError, match=match):
            contour(likelihood, data, **{"parameters": ("m", "x"), **options})  # type: ignore[arg-type]  # on purpose

    refused("two different", parameters=("m", "m"))
    refused("unknown parameter", parameters=("m", "w"))
    refused("is fixed", settings=Settings(fixed={"x": 0.1}))
    refused("between 0 and 1", cl=(95.0,))
    refused("at least one confidence level", cl=())
    refused("within its bounds", ranges={"x": (-7.0, 1.0)})
    refused("rising", ranges={"x": (1.0, -1.0)})
    refused("rising", points=(1, 3))
    refused("a range is given for 'y'", ranges={"y": (0.0, 1.0)})
    refused("either grids or ranges", ranges={"x": (0.0, 1.0)}, grids=([0.0, 1.0], [0.0, 1.0]))
    refused("finite", grids=([0.0, np.nan], [0.0, 1.0]))


def test_cubics_are_exact_for_cubics() -> None:
    """Weights reproduce a cubic between and at the nodes; of two nodes, a straight line."""
    nodes, x = np.asarray([0.0, 0.5, 1.5, 2.0, 4.0, 5.0]), np.linspace(0.0, 5.0, 23)
    assert _cubic(nodes, x) @ (nodes**3 - 2.0 * nodes) == pytest.approx(x**3 - 2.0 * x, abs=1e-12)
    assert _cubic(nodes[:2], x) @ nodes[:2] == pytest.approx(x, abs=1e-12)
