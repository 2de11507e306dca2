"""Upper limits: against closed forms, exact sums and pyhf; refusals, restarts, and limits beyond bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyhf
import pytest
from scipy import optimize, stats

import infer
from infer.data import Data
from infer.errors import ParameterError
from infer.inference.exclusion import N_SIGMA, cls
from infer.inference.fits import Settings
from infer.inference.limits import Asymptotic, UpperLimit, upper_limit
from infer.inference.minimize import Newton
from infer.inference.toy_limits import ToyReference
from infer.likelihood import Likelihood
from infer.parameters import Parameter, Parameters
from tests.inference.problems import Surface
from tests.inference.toy_problems import SIGMA, WIDTH, Wells, count, gaussian, uncertain_count
from tests.io.broken import valid_workspace

pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")  # raised inside pyhf

TOTAL = float(np.hypot(SIGMA, WIDTH))  # of the estimate of `gaussian`


def gaussian_limit(x: float, cl: float) -> float:
    """CLs limit of an estimate x ~ N(mu, TOTAL): Phi((x - mu) / s) = (1 - cl) Phi(x / s)."""
    return x + TOTAL * float(stats.norm.isf((1.0 - cl) * stats.norm.cdf(x / TOTAL)))


def exact_count_limit(n: int, background: float, cl: float = 0.95) -> float:
    """CLs limit of n counts above a known background: P(<= n | s + b) = (1 - cl) P(<= n | b)."""
    wanted = (1.0 - cl) * stats.poisson.cdf(n, background)
    return float(optimize.brentq(lambda s: stats.poisson.cdf(n, s + background) - wanted, 1e-9, 200.0))


@pytest.mark.parametrize("statistic", ["q_mu_tilde", "q_mu"])
@pytest.mark.parametrize("cl", [0.68, 0.95, 0.999])
@pytest.mark.parametrize("x", [-2.0, 0.0, 1.5, 9.0])
def test_limits_of_a_normal_estimate(x: float, cl: float, statistic: str) -> None:
    """Exact for both statistics, with a nuisance parameter; the level is obeyed, and so are the bands."""
    likelihood, data = gaussian(x, 0.0)
    found = upper_limit(likelihood, data, poi="mu", cl=cl, statistic=statistic)
    assert found.observed == pytest.approx(gaussian_limit(x, cl), abs=1e-5)
    assert found.observed_error == 0.0
    bands = [gaussian_limit(n * TOTAL, cl) for n in N_SIGMA]
    assert found.expected == pytest.approx(bands, abs=1e-5)
    assert found.certificate.trustworthy


@pytest.mark.parametrize("x", [-1.0, 0.5, 3.0])
def test_cls_of_a_normal_estimate(x: float) -> None:
    """p_sb, 1 - p_b and their ratio, far into the tails."""
    likelihood, data = gaussian(x, 0.0)
    scan = cls(likelihood, data, poi="mu", values=[3.5, 12.0, 60.0])
    for point in scan.points:
        sb, b = stats.norm.logcdf((x - point.value) / TOTAL), stats.norm.logcdf(x / TOTAL)
        assert (point.log_p_sb, point.log_p_b) == pytest.approx((sb, b), rel=1e-6)
        bands = stats.norm.logcdf(np.asarray(N_SIGMA) - point.value / TOTAL) - stats.norm.logcdf(N_SIGMA)
        assert point.expected == pytest.approx(bands, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("n", [0.0, 2.0, 7.0])
def test_counts_against_pyhf(n: float) -> None:
    """The same limits, observed and expected, from pyhf's own search; at two levels (B09)."""
    spec = {"channels": [{"name": "c", "samples": [_sample("s", 5.0, "mu"), _sample("b", 3.0)]}]}
    spec |= {"observations": [{"name": "c", "data": [n]}], "version": "1.0.0"}
    mu = {"name": "mu", "inits": [1.0], "bounds": [[0.0, 10.0]]}
    spec |= {"measurements": [{"name": "m", "config": {"poi": "mu", "parameters": [mu]}}]}
    workspace = pyhf.Workspace(spec)
    model = workspace.model()
    likelihood, data = count(n, signal=5.0, bounds=(0.0, 10.0))
    scan = np.linspace(0.05, 6.0, 400)
    for level in (0.05, 0.32):
        observed, expected = pyhf.infer.intervals.upper_limits.upper_limit(
            workspace.data(model), model, scan=scan, level=level
        )
        found = upper_limit(likelihood, data, cl=1.0 - level)
        assert found.observed == pytest.approx(float(observed), rel=1e-3)
        assert found.expected == pytest.approx([float(x) for x in expected], rel=1e-3)


def _sample(name: str, rate: float, *factors: str) -> dict[str, Any]:
    modifiers = [{"name": factor, "type": "normfactor", "data": None} for factor in factors]
    return {"name": name, "data": [rate], "modifiers": modifiers}


@pytest.mark.parametrize("start", [0.1, 1.0, 5.0])
def test_start_values_do_not_matter(start: float) -> None:
    """The limit is a property of the likelihood."""
    likelihood, data = uncertain_count(23.0, bounds=(0.0, 50.0))
    found = upper_limit(likelihood, data, settings=Settings(start={"mu": start, "beta": 0.5 + 0.2 * start}))
    again = upper_limit(likelihood, data)
    assert found.observed == pytest.approx(again.observed, rel=1e-6)
    assert found.expected == pytest.approx(again.expected, rel=1e-6)


def test_limits_go_beyond_bounds() -> None:
    """The declared bound ends a fit, but no limit; the certificate says so (B10)."""
    wide = upper_limit(*count(4.0, bounds=(0.0, 60.0)))
    narrow = upper_limit(*count(4.0, bounds=(0.0, 2.0)))
    assert narrow.observed == pytest.approx(wide.observed, rel=1e-6)
    assert narrow.expected == pytest.approx(wide.expected, rel=1e-6)
    assert "lie beyond the upper bound 2 of mu" in narrow.certificate.notices[-1]
    assert not any("beyond" in notice for notice in wide.certificate.notices)


def test_a_best_fit_at_the_upper_bound_is_refused() -> None:
    """Nothing above it could be tested."""
    with pytest.raises(ParameterError, match=r"best fit of 'mu' lies at its upper bound|best fit of mu lies at its up"):
        upper_limit(*count(40.0, bounds=(0.0, 2.0)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cl": 95.0}, r"cl must lie between 0 and 1, got 95\.0; write 95 % as 0\.95"),
        ({"statistic": "t_mu"}, "statistic must be one of q_mu, q_mu_tilde for CLs, got 't_mu'"),
        ({"poi": "lumi"}, "parameter 'lumi' is fixed, so that there is no limit on it"),
        ({"poi": "mi"}, "unknown parameter 'mi'; did you mean 'lumi' or 'mu'"),
        ({"settings": Settings(bounds={"mu": (0.5, 60.0)})}, r"mu = 0, which lies outside of its bounds \(0\.5, 60\)"),
    ],
)
def test_what_is_refused(change: dict[str, Any], message: str) -> None:
    """One sentence each."""
    with pytest.raises(ParameterError, match=message):
        upper_limit(*count(4.0), **change)


def test_hypotheses_must_be_numbers() -> None:
    """No NaN passes."""
    with pytest.raises(ParameterError, match="a hypothesis must be a finite number, got nan"):
        cls(*count(4.0), values=[1.0, np.nan])


def test_no_limit_without_convergence() -> None:
    """Neither the best fit nor a conditional fit may fail: there is no number then, and the reason is told."""
    likelihood, data = uncertain_count(23.0, bounds=(0.0, 50.0))
    found = upper_limit(likelihood, data, settings=Settings(solver=Newton(max_steps=1, edm=0.0)))
    assert found.observed is None
    assert found.expected == (None,) * 5
    assert not found.certificate.trustworthy
    assert "no limit (not converged" in str(found)
    json.dumps(found.to_json_dict(), allow_nan=False)


def _kinked(theta: jax.Array, main: jax.Array) -> jax.Array:
    """A parabola in the second parameter, but a kink, where no fit converges, for large values of the first."""
    smooth = 0.5 * (theta[0] - main[0]) ** 2 + 0.5 * (theta[1] - main[1]) ** 2
    return jnp.where(theta[0] < 1.0, smooth, 0.5 * (theta[0] - main[0]) ** 2 + jnp.abs(theta[1] - main[1] - 0.3))


def test_a_failed_conditional_fit_is_told() -> None:
    """It spoils the certificate, with the place (B11)."""
    parameters = Parameters((Parameter("mu", 0.1, (0.0, 10.0)), Parameter("nu", 0.0)), poi="mu")
    found = upper_limit(Surface(_kinked, parameters), Data(jnp.asarray([0.2, 0.0]), jnp.zeros(0)))
    assert found.observed is None
    assert not found.certificate.trustworthy
    assert "the fit with mu = " in found.certificate.message
    assert "did not converge" in found.certificate.message


def test_deeper_wells_are_taken() -> None:
    """A best fit in the shallower of two wells gives way when the profile finds the other one."""
    likelihood: Likelihood = Wells()
    data = Data(jnp.asarray([6.0]), jnp.zeros(0))
    settings = Settings(start={"theta": 6.0}, bounds={"theta": (-20.0, 40.0)})
    assert infer.fit(likelihood, data, settings=settings).value("theta") == pytest.approx(6.0, abs=0.1)
    found = cls(likelihood, data, values=[1.0, 3.0], settings=settings)
    assert found.fit.value("theta") == pytest.approx(1.0, abs=0.1)
    assert found.certificate.trustworthy


# ------------------------------------------------------------------------------------------------- toys


@pytest.mark.slow
@pytest.mark.parametrize(("n", "background"), [(5, 3.0), (20, 17.0)])
def test_toys_find_exact_limits(n: int, background: float) -> None:
    """Counts, where CLs is a ratio of two sums: within 4 sigma (false-alarm rate 6e-5 each), bands included (B25)."""
    likelihood, data = count(float(n), background=background)
    found = upper_limit(likelihood, data, reference=ToyReference(jax.random.key(5), n_toys=2000))
    assert found.observed is not None
    assert found.observed_error is not None
    assert 0.0 < found.observed_error < 0.15 * found.observed
    assert abs(found.observed - exact_count_limit(n, background)) < 4.0 * found.observed_error
    assert found.n_failed == 0
    for n_sigma, limit, error in zip(N_SIGMA[2:], found.expected[2:], found.expected_errors[2:], strict=True):
        quantile = int(stats.poisson.ppf(stats.norm.cdf(n_sigma), background))
        around = [exact_count_limit(quantile + shift, background) for shift in (-1, 0, 1)]
        assert limit is not None
        assert error is not None
        # a quantile of counts may be one off where the share of the toys decides
        assert around[0] - 4.0 * error < limit < around[2] + 4.0 * error
    again = upper_limit(likelihood, data, reference=ToyReference(jax.random.key(5), n_toys=2000))
    assert (again.observed, again.expected) == (found.observed, found.expected)


@pytest.mark.slow
def test_references_make_the_same_record() -> None:
    """A limit is a limit."""
    likelihood, data = gaussian(1.0, 0.0)
    toys = upper_limit(likelihood, data, poi="mu", reference=ToyReference(jax.random.key(1), n_toys=500))
    formulae = upper_limit(likelihood, data, poi="mu", reference=Asymptotic())
    assert type(toys) is type(formulae) is UpperLimit
    assert (toys.reference, formulae.reference) == ("toys", "asymptotic")
    assert toys.observed is not None
    assert toys.observed_error is not None
    assert abs(toys.observed - gaussian_limit(1.0, 0.95)) < 4.0 * toys.observed_error  # false-alarm rate 6e-5
    assert set(toys.to_json_dict()) == set(formulae.to_json_dict())


# ------------------------------------------------------------------------------------- published likelihoods


@pytest.mark.slow
@pytest.mark.parametrize("name", ["2018-14_comb", "2018-22_SSd"])
def test_published_searches_agree_with_pyhf(likelihoods: Path, name: str) -> None:
    """CLs at the limits, observed and expected, by pyhf's minimisers."""
    path = likelihoods / f"{name}.json"
    likelihood, data = infer.read_workspace(path)
    found = upper_limit(likelihood, data)
    assert found.observed is not None
    workspace = pyhf.Workspace(json.loads(path.read_text()))
    model = workspace.model()
    with np.errstate(all="ignore"):
        observed = pyhf.infer.hypotest(found.observed, workspace.data(model), model)
        assert float(observed) == pytest.approx(0.05, abs=5e-5)
        for i, value in enumerate(found.expected):
            assert value is not None
            _, bands = pyhf.infer.hypotest(value, workspace.data(model), model, return_expected_set=True)
            assert float(bands[i]) == pytest.approx(0.05, abs=5e-5)


@pytest.mark.slow
def test_published_limits_do_not_depend_on_the_start(likelihoods: Path) -> None:
    """A search with two minima in places: three perturbed starts give the same limits to 1e-6."""
    likelihood, data = infer.read_workspace(likelihoods / "2018-31_SRA.json")
    parameters = likelihood.parameters
    plain = upper_limit(likelihood, data)
    rng = np.random.default_rng(1)
    for _ in range(3):
        width = np.asarray([p.prefit_uncertainty() or 1.0 for p in parameters.values()])
        moved = parameters.init + 0.3 * width * rng.standard_normal(len(parameters))
        start = np.clip(moved, parameters.lower, parameters.upper)[~parameters.fixed].tolist()
        names = [name for name, p in parameters.items() if not p.fixed]
        found = upper_limit(likelihood, data, settings=Settings(start=dict(zip(names, start, strict=True))))
        assert found.observed == pytest.approx(plain.observed, rel=1e-6)
        assert found.expected == pytest.approx(plain.expected, rel=1e-6)


@pytest.mark.slow
def test_all_seven_modifiers(tmp_path: Path) -> None:
    """A limit on the small workspace with every modifier type; values about it bracket the level."""
    path = tmp_path / "ws.json"
    path.write_text(json.dumps(valid_workspace()))
    likelihood, data = infer.read_workspace(path)
    found = upper_limit(likelihood, data)
    assert found.observed is not None
    below, above = cls(likelihood, data, values=[0.99 * found.observed, 1.01 * found.observed]).points
    assert below.log_cls > np.log(0.05) > above.log_cls
