"""Likelihoods whose toys have closed-form answers, and some whose toys cannot all be fitted."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from infer.constraints import ConstraintTerms, Normal
from infer.data import Data
from infer.inference.batches import each
from infer.inference.campaigns import Campaign, Run, prepare, throw
from infer.inference.ensembles import Ensemble, Toy
from infer.inference.fits import FitResult, Settings
from infer.inference.minimize import Newton
from infer.inference.toy_fits import Fits, fit_toys
from infer.inference.toy_intervals import Ends, Method, Shared
from infer.likelihood import Likelihood, constraint_terms
from infer.parameters import Parameter, Parameters
from infer.typing import Key, Scalar, Vector
from tests.contract.models import Bins, Linear
from tests.inference.problems import Counting

FloatArray = npt.NDArray[np.float64]

SIGMA, WIDTH = 0.5, 1.2  # of the measurement and of the auxiliary one, see `gaussian`


# --------------------------------------------------------------------------------------------------- models


def gaussian(x: float = 3.0, aux: float = 0.0) -> tuple[Likelihood, Data]:
    """One measurement x ~ N(mu + nu - 100, 1/2) and an auxiliary one a ~ N(nu, 1.2); ``x`` counts from -100.

    The best fit is nu = a, mu = x - a, whose standard deviation is sqrt(0.25 + 1.44) = 1.3.
    """
    parameters = (Parameter("mu", 0.0), Parameter("nu", 0.0, constraint=Normal(WIDTH)))
    return Linear(parameters, ((1.0, 1.0),), (SIGMA,)), Data(jnp.asarray([x - 100.0]), jnp.asarray([aux]))


def count(
    n: float, *, signal: float = 1.0, background: float = 3.0, bounds: tuple[float, float] = (0.0, 60.0)
) -> tuple[Likelihood, Data]:
    """n ~ Poisson(signal mu + background), the background known."""
    held = (Parameter("lumi", 1.0, fixed=True), Parameter("beta", 1.0, fixed=True))
    mu = Parameter("mu", float(np.clip(1.0, *bounds)), bounds)
    return Counting(signal, background, Parameters((mu, *held), poi="mu")), Data(jnp.asarray([n]), jnp.zeros(0))


def uncertain_count(
    n: float, aux: float = 1.0, width: float = 0.2, bounds: tuple[float, float] = (-10.0, 50.0)
) -> tuple[Likelihood, Data]:
    """n ~ Poisson(10 mu + 20 beta), beta measured as ``aux`` to ``width``."""
    parameters = (
        Parameter("mu", float(np.clip(1.0, *bounds)), bounds),
        Parameter("lumi", 1.0, fixed=True),
        Parameter("beta", 1.0, (0.0, 4.0), Normal(width)),
    )
    return Counting(10.0, 20.0, Parameters(parameters, poi="mu")), Data(jnp.asarray([n]), jnp.asarray([aux]))


def bins() -> tuple[Likelihood, Data]:
    """Three bins that share a background with an uncertain shape and a scale known to 10 %."""
    parameters = (
        Parameter("mu", 1.0, (-2.0, 12.0)),
        Parameter("alpha", 0.0, (-5.0, 5.0), Normal(1.0)),
        Parameter("gamma", 1.0, (0.1, 3.0), Normal(0.1)),
        Parameter("kappa", 1.0, fixed=True),
    )
    likelihood = Bins(parameters, (2.0, 5.0, 3.0), (30.0, 20.0, 8.0))
    return likelihood, Data(jnp.asarray([34.0, 22.0, 15.0]), jnp.asarray([0.0, 1.0]))


class Wells(Likelihood):
    """x = theta + e, or theta + 5 + e in 19 of 20 times, e ~ N(0, 1): two wells at x and at x - 5.

    A toy of theta = 0 of the first kind is searched from the well at x, which is the shallower one by
    ``2 ln 19 = 5.9`` in 2NLL; the barrier between them lies 2.3 above it.
    """

    parameters: Parameters = eqx.field(static=True)
    constraints: ConstraintTerms

    def __init__(self) -> None:
        self.parameters = Parameters([Parameter("theta", 0.0)], poi="theta")
        self.constraints = constraint_terms(self.parameters)

    def log_main(self, theta: Vector, main: Vector) -> Scalar:
        """The mixture of two normal densities."""
        residual = (main - theta) - jnp.asarray([0.0, 5.0])
        logs = jnp.log(jnp.asarray([0.05, 0.95])) - 0.5 * residual**2
        return jax.scipy.special.logsumexp(logs) - 0.5 * jnp.log(2.0 * jnp.pi)

    def expected_main(self, theta: Vector) -> Vector:
        """The mean."""
        return theta + 4.75

    def sample_main(self, theta: Vector, key: Key) -> Vector:
        """A number of either kind."""
        kind, noise = jax.random.split(key)
        shift = jnp.where(jax.random.uniform(kind, (1,)) < 0.05, 0.0, 5.0)
        return theta + shift + jax.random.normal(noise, (1,))


class Fragile(Likelihood):
    """x ~ N(theta, 1), but without a number for x > 1.2, and with a kink instead of a minimum for x < -1.2."""

    parameters: Parameters = eqx.field(static=True)
    constraints: ConstraintTerms

    def __init__(self) -> None:
        self.parameters = Parameters([Parameter("theta", 0.0)], poi="theta")
        self.constraints = constraint_terms(self.parameters)

    def log_main(self, theta: Vector, main: Vector) -> Scalar:
        """A parabola, a kink or NaN, as the datum decides."""
        residual = jnp.sum(theta - main)
        smooth = -0.5 * residual**2
        return jnp.where(main[0] > 1.2, jnp.nan, jnp.where(main[0] < -1.2, -3.0 * jnp.abs(residual), smooth))

    def log_saturated(self, main: Vector) -> Scalar:  # noqa: ARG002  # the same for all values
        """The top of the parabola."""
        return jnp.zeros(())

    def expected_main(self, theta: Vector) -> Vector:
        """The mean."""
        return theta

    def sample_main(self, theta: Vector, key: Key) -> Vector:
        """A normal number."""
        return theta + jax.random.normal(key, (1,))


# ----------------------------------------------------------------------------------------------- machinery


def campaign_of(
    likelihood: Likelihood,
    data: Data,
    *,
    seed: int = 0,
    n_toys: int = 8,
    poi: str | None = None,
    value: float | None = None,
    ensemble: Ensemble | None = None,
    settings: Settings | None = None,
) -> tuple[Campaign, FitResult]:
    """A campaign at one truth, and the fit to the observed data."""
    return prepare(
        likelihood,
        data,
        key=jax.random.key(seed),
        n_toys=n_toys,
        poi=poi,
        values=[value],
        ensemble=ensemble,
        settings=settings or Settings(),
        run=Run(),
    )


def thrown(campaign: Campaign, n: int) -> Toy:
    """Toys 0 to n - 1 of a campaign."""
    return throw(campaign.sources[0], jax.random.wrap_key_data(jnp.asarray(campaign.key)), np.arange(n))


def with_data(campaign: Campaign, data: list[Data]) -> tuple[Toy, Fits]:
    """Toys with chosen data, and their fits."""
    stacked = jax.tree.map(lambda *x: np.stack([np.asarray(v) for v in x]), *data)
    toys = eqx.tree_at(lambda toy: toy.data, thrown(campaign, len(data)), stacked)
    return toys, fit_toys(campaign.models[0], toys, solver=Newton())


def ends_of(
    method: Method,
    campaign: Campaign,
    toys: Toy,
    fits: Fits,
    cl: list[float],
    belt: tuple[FloatArray, FloatArray] | None = None,
) -> Ends:
    """Intervals of toys by one method."""
    grid, critical = belt or (np.zeros(1), np.zeros((len(cl), 1)))
    shared = Shared(campaign.models[0], jnp.asarray(cl), jnp.asarray(grid), jnp.asarray(critical))
    size: Any = fits.theta.shape[1]
    return each(method, shared, (toys, fits), size=size)


# -------------------------------------------------------------------------------------------- closed forms


def poisson_t(mu: FloatArray | float, n: FloatArray | float, signal: float, background: float) -> FloatArray:
    """t_mu of a count with mu >= 0: ``2 [nu - nu_hat - n ln(nu / nu_hat)]``, nu_hat = max(n, background)."""
    nu, n = signal * np.asarray(mu, dtype=float) + background, np.asarray(n, dtype=float)
    best = np.maximum(n, background)
    return np.asarray(2.0 * (nu - best - n * np.log(nu / best)))


def unified_interval(n: int, background: float, cl: float) -> tuple[float, float]:
    """The interval of Feldman and Cousins for ``n`` counts with a known background, by sums of probabilities.

    p(mu) = sum of Poisson(k; mu + b) over all k whose t_mu is at least that of n; the interval spans the mu with
    p(mu) > 1 - cl (arXiv:physics/9711021, section IV.B: counts are accepted in the order of t_mu until their
    sum reaches cl).
    """
    mu = np.linspace(0.0, 16.0, 8001)
    inside = mu[exact_p(mu, n, 1.0, background) > 1.0 - cl]
    return float(inside[0]), float(inside[-1])


def exact_p(mu: FloatArray | float, n: int, signal: float, background: float) -> FloatArray:
    """Probability of a count whose t_mu is at least that of ``n``, at mu."""
    mu = np.atleast_1d(np.asarray(mu, dtype=float))
    counts = np.arange(120.0)
    t = poisson_t(mu[:, None], counts[None, :], signal, background)
    as_large = t >= poisson_t(mu, n, signal, background)[:, None] - 1e-9
    return np.asarray(np.sum(stats.poisson.pmf(counts, signal * mu[:, None] + background) * as_large, axis=1))


def profile_end(n: float, cl: float, side: float, signal: float, background: float) -> float:
    """Where t_mu of a count crosses the chi-square quantile, by bisection; 0 where it does not above 0."""
    level = float(stats.chi2.ppf(cl, 1))
    best = max((n - background) / signal, 0.0)

    def excess(mu: float) -> float:
        return float(poisson_t(mu, n, signal, background)) - level

    if side < 0.0 and excess(0.0) <= 0.0:
        return 0.0
    far = 0.0 if side < 0.0 else best + (20.0 * np.sqrt(n + background) + 20.0) / signal
    return float(optimize.brentq(excess, best, far, xtol=1e-12))
