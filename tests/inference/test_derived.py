"""Derived parameters: Fieller's interval, plain parameters, independent constrained fits, and what is refused."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq, minimize

from infer.api import read_workspace
from infer.errors import ParameterError
from infer.expressions import Expression
from infer.inference.derived import derived
from infer.inference.fits import Settings, fit
from infer.inference.profiles import ONE_SIGMA, interval
from infer.parameters import Parameter, Parameters
from tests.contract.cases import linear_normal
from tests.inference.problems import Parabola, without_aux

WORKSPACES = Path(__file__).parents[2] / "workspaces"
COVARIANCE = np.asarray([[0.3, 0.1, 0.0], [0.1, 0.2, -0.05], [0.0, -0.05, 0.5]])
MEANS = np.asarray([3.0, 2.0, -1.0])
RATIO = Expression("x0 / x1")


def _gaussian(**bounds: tuple[float, float]) -> tuple[Parabola, object]:
    names = (Parameter(f"x{i}", 3.0, bounds.get(f"x{i}", (-np.inf, np.inf))) for i in range(3))
    return Parabola(np.linalg.inv(COVARIANCE), Parameters(names)), without_aux(MEANS)


def _fieller(z: float) -> tuple[float, float]:
    """Where (x - r y)^2 = z^2 (V_xx - 2 r V_xy + r^2 V_yy): Fieller, J. R. Stat. Soc. B 16 (1954) 175."""
    x, y = MEANS[:2]
    (xx, xy), (_, yy) = COVARIANCE[:2, :2]
    roots = np.roots([y**2 - z**2 * yy, -2.0 * (x * y - z**2 * xy), x**2 - z**2 * xx])
    low, high = sorted(roots.tolist())
    return low, high


@pytest.mark.parametrize(("cl", "z"), [(ONE_SIGMA, 1.0), (0.95, 1.959963984540054)])
def test_ratio_of_gaussian_means_is_fiellers_interval(cl: float, z: float) -> None:
    """Exactly, at one and two standard deviations; the delta method is its linearisation."""
    likelihood, data = _gaussian()
    found = derived(likelihood, data, function=RATIO, name="ratio", cl=cl)
    assert (found.low.value, found.high.value) == pytest.approx(_fieller(z), rel=2e-5)
    x, y = MEANS[:2]
    slope = np.asarray([1.0 / y, -x / y**2, 0.0])
    assert found.uncertainty == pytest.approx(np.sqrt(slope @ COVARIANCE @ slope), rel=1e-9)
    assert found.residual <= 1e-6
    assert found.gradient <= 1e-3


def test_ratio_without_an_end() -> None:
    """At 5 standard deviations the denominator may vanish: Fieller's region is not bounded, and no end is made up."""
    likelihood, data = _gaussian()
    assert MEANS[1] ** 2 < 25.0 * COVARIANCE[1, 1]
    found = derived(likelihood, data, function=RATIO, cl=1.0 - 5.733e-7)
    assert found.high.value is None
    assert found.up is None
    assert found.certificate.notices
    assert "+?" in str(found)
    assert found.to_json_dict()["high"] is None


@pytest.mark.slow
@pytest.mark.parametrize("cl", [ONE_SIGMA, 0.95])
def test_plain_parameter_is_its_interval(cl: float) -> None:
    """Of a search: ends and uncertainty, with a bound in reach at 95 %."""
    likelihood, data = read_workspace(WORKSPACES / "search.json")
    best = fit(likelihood, data)
    ends = interval(likelihood, data, poi="mu", cl=cl, fitted=best)
    found = derived(likelihood, data, function=Expression("mu"), cl=cl, fitted=best)
    scale = best.uncertainty("mu")
    assert scale is not None
    assert found.uncertainty == pytest.approx(scale, rel=1e-9)
    assert found.low.value == pytest.approx(ends.low.value, abs=2e-5 * scale)
    assert found.high.value == pytest.approx(ends.high.value, abs=2e-5 * scale)
    assert found.low.crossing == ends.low.crossing


def test_a_function_ends_where_its_parameters_do() -> None:
    """x0 + 1e-3 x2 with x0 at its bound: cut there for x0 alone; with x2, it goes on, and q is that of x2.

    The lower end lies where x0 is at its bound and x2 alone can move.
    """
    likelihood, data = _gaussian(x0=(2.9, 10.0))
    alone = derived(likelihood, data, function=Expression("2 * x0 + 1"))
    assert alone.low.value == pytest.approx(6.8, abs=1e-6)
    assert not alone.low.crossing
    assert "lower bound 6.8" in alone.certificate.notices[0]

    def profile(c: float) -> float:
        """q by SciPy: x2 = 1e3 (c - x0), x0 within its bounds, x1 eliminated in closed form."""
        block = np.linalg.inv(COVARIANCE[np.ix_([0, 2], [0, 2])])
        place = lambda x0: np.asarray([x0 - 3.0, 1e3 * (c - x0) + 1.0])  # noqa: E731
        return float(minimize(lambda t: place(t[0]) @ block @ place(t[0]), [2.9], bounds=[(2.9, 10.0)], tol=1e-15).fun)

    both = derived(likelihood, data, function=Expression("x0 + 1e-3 * x2"))
    low = brentq(lambda c: profile(c) - 1.0, 2.88, 2.9)
    assert both.low.crossing
    assert both.low.value == pytest.approx(low, abs=1e-5)


def test_best_fit_at_a_bound() -> None:
    """The uncertainty is that of the parameter released, and the interval has one side, as for the parameter itself."""
    likelihood, data, _ = linear_normal()
    settings = Settings(bounds={"x": (0.7, 6.0)})
    best = fit(likelihood, data, settings=settings)
    ends = interval(likelihood, data, poi="x", fitted=best, settings=settings)
    found = derived(likelihood, data, function=lambda p: 2.0 * p["x"], fitted=best, settings=settings)
    assert best.uncertainty("x") is not None
    assert found.uncertainty == pytest.approx(2.0 * (best.uncertainty("x") or 0.0), rel=1e-9)
    assert found.low.value == pytest.approx(1.4, abs=1e-9)
    assert not found.low.crossing
    assert found.high.value == pytest.approx(2.0 * (ends.high.value or np.nan), abs=1e-4 * (found.uncertainty or 0.0))


@pytest.mark.slow
def test_interval_against_an_independent_constrained_fit() -> None:
    """q at both ends of mu exp(jes), in a search, by SciPy's SLSQP, which knows no augmented Lagrangian."""
    likelihood, data = read_workspace(WORKSPACES / "search.json")
    best = fit(likelihood, data)
    found = derived(likelihood, data, function=Expression("mu * exp(jes)"), fitted=best)
    mu, jes = best.parameters.positions(["mu", "jes"])

    program = jax.jit(jax.value_and_grad(lambda theta: -likelihood.logpdf(theta, data)))

    def nll(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = program(jnp.asarray(theta))
        return float(value) - 0.5 * best.twice_nll, np.asarray(gradient)

    for end in (found.low, found.high):
        tied = {"type": "eq", "fun": lambda t, c=end.value: t[mu] * np.exp(t[jes]) - c}
        bounds = list(zip(best.parameters.lower, best.parameters.upper, strict=True))
        options = {"ftol": 1e-12, "maxiter": 300}
        peer = minimize(nll, best.values, jac=True, method="SLSQP", bounds=bounds, constraints=[tied], options=options)
        assert peer.success
        assert 2.0 * peer.fun == pytest.approx(1.0, abs=1e-4)


def test_no_interval_without_a_certificate() -> None:
    """A fit that failed gives no ends, and says so."""
    likelihood, data = _gaussian()
    lost = Parabola(np.diag([1.0, 1.0, -1.0])), data
    found = derived(*lost, function=RATIO)
    assert not found.certificate.trustworthy
    assert (found.low.value, found.high.value) == (None, None)
    assert likelihood.parameters.names == found.fit.parameters.names


def test_bad_functions_are_refused() -> None:
    """Unknown names, functions that are not defined, constant, not scalar or not traceable; levels."""
    likelihood, data = _gaussian()
    best = fit(likelihood, data)

    def refused(match: str, function: object, **options: object) -> None:
        with pytest.raises(ParameterError, match=match):
            derived(likelihood, data, function=function, fitted=best, **options)  # type: ignore[arg-type]  # on purpose

    refused("unknown parameter 'x9'", Expression("x9"))
    refused("nan at the best fit", Expression("log(x2)"))
    refused("no derivative", Expression("sqrt(0 * x0)"))
    refused("does not change", Expression("3"))
    refused("must make one number", lambda p: jnp.stack([p["x0"], p["x1"]]))
    refused("must make one number", lambda p: np.exp(p["x0"]) if p["x0"] > 0 else 0.0)
    refused("between 0 and 1", RATIO, cl=68.0)
    held = fit(likelihood, data, settings=Settings(fixed={"x0": 1.0}))
    with pytest.raises(ParameterError, match="does not change"):
        derived(likelihood, data, function=Expression("x0"), fitted=held)
