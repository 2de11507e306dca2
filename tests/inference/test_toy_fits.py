"""Fits of toys: closed forms, the other way to the same fit, and what becomes of those that fail."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infer.data import Data
from infer.inference.ensembles import Ensemble
from infer.inference.fits import Settings, fit
from infer.inference.minimize import CONVERGED, MESSAGES, Newton, minimize
from infer.inference.toy_fits import MIGRAD, NEWTON, ConditionalFit, conditional_box, fit_toys, one_of, tangent
from infer.likelihood import Likelihood
from tests.inference.problems import without_aux
from tests.inference.toy_problems import Fragile, bins, campaign_of, count, gaussian, thrown, uncertain_count, with_data

COUNTS = [0.0, 4.0, 20.0, 31.0, 60.0]


def test_fits_of_a_gaussian_are_closed_forms() -> None:
    """nu = a, mu = x + 100 - a, with standard deviations 1.2 and 1.3 and a covariance of -1.44."""
    campaign, _ = campaign_of(*gaussian(), poi="mu")
    toys = thrown(campaign, 20)
    fits = fit_toys(campaign.models[0], toys, solver=Newton())
    x, aux = toys.data.main[:, 0] + 100.0, toys.data.aux[:, 0]
    np.testing.assert_allclose(fits.theta, np.stack([x - aux, aux], axis=1), atol=1e-7)
    np.testing.assert_allclose(fits.uncertainty, np.tile([1.3, 1.2], (20, 1)), rtol=1e-9)
    np.testing.assert_allclose(fits.sigma, 1.3, rtol=1e-9)
    np.testing.assert_allclose(fits.column, np.tile([1.69, -1.44], (20, 1)), rtol=1e-9)
    np.testing.assert_allclose(fits.nll, np.log(2.0 * np.pi) + np.log(0.5) + np.log(1.2), rtol=1e-9)
    assert np.all(fits.status == CONVERGED)
    assert np.all(fits.engine == NEWTON)


def test_a_fit_is_the_fit_of_its_data() -> None:
    """Estimate, uncertainty, likelihood and certificate are those of `fit` on the same data, also at the bound."""
    likelihood, data = uncertain_count(25.0, bounds=(0.0, 50.0))
    campaign, _ = campaign_of(likelihood, data)
    toys, fits = with_data(campaign, [Data(jnp.asarray([n]), jnp.asarray([a])) for n in COUNTS for a in (0.9, 1.1)])
    for i in range(len(COUNTS) * 2):
        best = fit(likelihood, jax.tree.map(jnp.asarray, one_of(toys.data, i)))
        sigma = best.uncertainty("mu")  # None without events, where the curvature is zero
        np.testing.assert_allclose(fits.theta[i], best.values, atol=1e-4)
        assert fits.sigma[i] == pytest.approx(np.nan if sigma is None else sigma, rel=1e-4, nan_ok=True)
        assert 2.0 * fits.nll[i] == pytest.approx(best.twice_nll, abs=1e-8)
        assert bool(fits.inactive[i, 0]) != best.at_bound("mu")
        assert bool(fits.positive_definite[i]) == best.certificate.positive_definite
        assert fits.slope[i] == pytest.approx(best.gradient[0], abs=1e-3)
        assert (fits.uncertainty[i, 0] == 0.0) == best.at_bound("mu")


def test_the_expected_hessian_saves_steps_and_changes_no_fit() -> None:
    """With it in the first step the same minima are certified by the exact Hessian, in fewer steps on the whole."""
    campaign, _ = campaign_of(*bins(), poi="mu")
    toys, model = thrown(campaign, 64), campaign.models[0]
    assert model.information is not None
    bare = eqx.tree_at(lambda m: m.information, model, None)
    with_it, without = (fit_toys(m, toys, solver=Newton()) for m in (model, bare))
    np.testing.assert_allclose(with_it.theta, without.theta, atol=2e-4)
    np.testing.assert_allclose(with_it.nll, without.nll, atol=1e-9)
    np.testing.assert_allclose(with_it.uncertainty, without.uncertainty, rtol=1e-3)
    assert np.all(with_it.edm <= 5e-10)
    assert np.mean(with_it.n_steps) < np.mean(without.n_steps)


def test_the_expected_hessian_certifies_nothing() -> None:
    """A wrong one at the very minimum costs a step; the certificate and covariance are the exact Hessian's."""
    likelihood, data = gaussian(3.0, 0.5)
    campaign, _ = campaign_of(likelihood, data, poi="mu")
    box = eqx.tree_at(lambda b: b.start, campaign.models[0].box, jnp.asarray([2.5, 0.5]))
    found = minimize(likelihood, data, box, solver=Newton(), information=1e6 * jnp.eye(2))
    assert int(found.status) == CONVERGED
    assert int(found.n_steps) == 2
    np.testing.assert_allclose(found.curvature.hessian, [[4.0, 4.0], [4.0, 4.0 + 1.0 / 1.44]], rtol=1e-12)


def test_fixed_parameters_are_held_where_the_analysis_has_them() -> None:
    """Toys may come from another truth than the value that every fit holds: the estimate is then off by it.

    x ~ N(mu + 2 - 100, 1/2) fitted with nu = 0: mu comes out 2 too large.
    """
    likelihood, data = gaussian(3.0, 0.0)
    campaign, _ = campaign_of(
        likelihood,
        data,
        poi="mu",
        value=1.0,
        ensemble=Ensemble(truth={"nu": 2.0}),
        settings=Settings(fixed={"nu": 0.0}),
    )
    toys = thrown(campaign, 10)
    fits = fit_toys(campaign.models[0], toys, solver=Newton())
    assert np.all(toys.truth == [1.0, 2.0])
    assert np.all(fits.theta[:, 1] == 0.0)
    np.testing.assert_allclose(fits.theta[:, 0], toys.data.main[:, 0] + 100.0, atol=1e-7)


def test_chosen_starts() -> None:
    """Every toy may be searched from a point of its own; a convex problem ends in the same place."""
    campaign, _ = campaign_of(*count(25.0, signal=10.0, background=20.0))
    toys = thrown(campaign, 5)
    model = campaign.models[0]
    usual = fit_toys(model, toys, solver=Newton())
    start = np.array(usual.theta)
    start[:, 0] = [0.0, 1.0, 5.0, 20.0, 60.0]
    np.testing.assert_allclose(fit_toys(model, toys, solver=Newton(), start=start).theta, usual.theta, atol=1e-4)


# ---------------------------------------------------------------------------------------------- failures


def test_what_newton_leaves_goes_to_migrad() -> None:
    """With two steps Newton fails on most toys; MIGRAD finds the same minima, and Newton certifies them."""
    campaign, _ = campaign_of(*bins(), poi="mu")
    toys = thrown(campaign, 12)
    usual = fit_toys(campaign.models[0], toys, solver=Newton())
    rescued = fit_toys(campaign.models[0], toys, solver=Newton(max_steps=2))
    assert np.all(rescued.engine == MIGRAD)
    assert np.all(rescued.status == CONVERGED)
    np.testing.assert_allclose(rescued.theta, usual.theta, atol=2e-4)
    np.testing.assert_allclose(rescued.nll, usual.nll, atol=1e-8)


def fragile(x: list[float], solver: Newton | None = None) -> tuple[Likelihood, np.ndarray, np.ndarray]:
    """Statuses and estimates of chosen data of `Fragile`, fitted from theta = 0."""
    likelihood = Fragile()
    campaign, _ = campaign_of(likelihood, without_aux([0.0]))
    toys, _ = with_data(campaign, [without_aux([0.0])] * len(x))
    toys = eqx.tree_at(lambda t: t.data.main, toys, np.asarray(x)[:, None])
    fits = fit_toys(campaign.models[0], toys, solver=solver or Newton(max_steps=30))
    return likelihood, np.asarray(fits.status), np.asarray(fits.theta)[:, 0]


def test_what_no_engine_can_fit_keeps_its_place() -> None:
    """Toys without a number or without a smooth minimum are marked where they are; their neighbours are fitted."""
    x = [0.3, -2.0, 0.0, 2.0, -1.0, 1.5, 1.0]
    _, status, theta = fragile(x)
    assert (status == CONVERGED).tolist() == [True, False, True, False, True, False, True]
    assert MESSAGES[int(status[3])] == "the likelihood is not finite at the start values"
    good = status == CONVERGED
    np.testing.assert_allclose(theta[good], np.asarray(x)[good], atol=1e-6)
    assert theta[1] == pytest.approx(-2.0, abs=0.1)  # at the kink, yet without a certificate


# ------------------------------------------------------------------------------------- conditional fits


def test_conditional_fits_of_a_gaussian() -> None:
    """At fixed mu, nu is the mean of a and x - mu weighted by 1 / 1.44 and 4, which lies on the tangent.

    -log L rises by (mu - mu_hat)^2 / (2 1.69).
    """
    campaign, _ = campaign_of(*gaussian(), poi="mu")
    toys, model = thrown(campaign, 3), campaign.models[0]
    fits = fit_toys(model, toys, solver=Newton())
    for i, x in enumerate((-3.0, 0.0, 8.0)):
        best, toy = one_of((fits, toys), i)[0], one_of(toys, i)
        nll, theta, status = ConditionalFit(Newton())(model, (toy, best, jnp.asarray(x)))
        measured, aux = toy.data.main[0] + 100.0, toy.data.aux[0]
        expected = (aux / 1.44 + 4.0 * (measured - x)) / (1.0 / 1.44 + 4.0)
        np.testing.assert_allclose(theta, [x, expected], atol=1e-7)
        np.testing.assert_allclose(tangent(best, model.at, jnp.asarray(x)), [x, expected], atol=1e-7)
        assert float(nll) - best.nll == pytest.approx((x - measured + aux) ** 2 / (2.0 * 1.69), abs=1e-8)
        assert int(status) == CONVERGED


def test_conditional_fits_may_leave_the_bounds_of_the_parameter_of_interest() -> None:
    """The value that is held is held, even outside; the other parameters keep their bounds."""
    campaign, _ = campaign_of(*uncertain_count(25.0, bounds=(0.0, 50.0)))
    model = campaign.models[0]
    box = conditional_box(model, jnp.asarray([3.0, 1.0, 9.0]), jnp.asarray(-0.5))
    np.testing.assert_array_equal(box.start, [-0.5, 1.0, 4.0])
    assert np.asarray(box.free).tolist() == [False, False, True]
    assert float(box.lower[2]) == 0.0
