r"""A likelihood of counts around one point of its parameters.

At a fitted point theta*, with mu the parameter of interest and delta the distance of the nuisance parameters from
it, the expected events per bin are, to first order,

    nu = nu* + s (mu - mu*) + J delta,      s = d nu / d mu,      J = d nu / d delta,

with T = d s / d delta of second order (how the signal moves), and what is not among the bins that are kept (the
constraint terms and the other channels) is, to second order,

    -ln L_rest = g^T x + x^T H x / 2 + const,      x = (mu - mu*, delta).

Both are exact where rates are linear and the rest is Gaussian.  Parameters that the fit left fixed or at a bound
stay where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Bool, Float

from infer.data import Data
from infer.errors import ParameterError, UntrustworthyError
from infer.inference.fits import FitResult, Settings, fit, require_poi
from infer.likelihood import Likelihood
from infer.numerics.poisson import log_poisson
from infer.typing import MainData, Matrix, Scalar, Vector

FloatArray = npt.NDArray[np.float64]

POINTS = ("best-fit", "background")

_INFORMATIVE = 0.01  # share of the information on the parameter of interest from which on a channel is kept


@dataclass(frozen=True, eq=False)
class Expansion:
    """The counts of a likelihood, to first order around a fit.

    Attributes:
        fitted: The fit.
        poi: Parameter of interest.
        channels: Names, in the order of the bins.
        n_bins: Their numbers of bins; they add up to B.
        observed: Observed events with shape (B,).
        expected: Expected events at the fit with shape (B,).
        jacobian: Their derivatives with respect to all parameters, with shape (B, P).
        signal_jacobian: Derivatives of ``signal`` with respect to all parameters, with shape (B, P).
    """

    fitted: FitResult
    poi: str
    channels: tuple[str, ...]
    n_bins: tuple[int, ...]
    observed: FloatArray
    expected: FloatArray
    jacobian: FloatArray
    signal_jacobian: FloatArray

    @property
    def theta(self) -> FloatArray:
        """The point with shape (P,)."""
        return self.fitted.values

    @property
    def poi_value(self) -> float:
        """The parameter of interest there."""
        return self.fitted.value(self.poi)

    @property
    def signal(self) -> FloatArray:
        """Derivative of the expected events with respect to the parameter of interest, with shape (B,)."""
        return self.jacobian[:, self.fitted.parameters.position(self.poi)]

    @property
    def nuisances(self) -> npt.NDArray[np.int64]:
        """Positions of the nuisance parameters that are free to move."""
        moves = self.fitted.inactive.copy()
        moves[self.fitted.parameters.position(self.poi)] = False
        return np.flatnonzero(moves)

    def bins_of(self, channels: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Which bins belong to some channels, with shape (B,)."""
        return np.repeat([name in channels for name in self.channels], self.n_bins)

    def information(self) -> dict[str, float]:
        """Share of each channel in the information on the parameter of interest, all others known: s^2 / nu."""
        per_bin = self.signal**2 / np.where(self.expected > 0.0, self.expected, np.inf)
        sums = {name: float(np.sum(per_bin[self.bins_of([name])])) for name in self.channels}
        total = sum(sums.values())
        if total == 0.0:
            raise ParameterError(f"no channel has events that {self.poi!r} moves; name another parameter of interest.")
        return {name: share / total for name, share in sums.items()}

    def informative(self) -> tuple[str, ...]:
        """Channels with at least a percent of that information."""
        return tuple(name for name, share in self.information().items() if share >= _INFORMATIVE)


@dataclass(frozen=True, eq=False)
class Rest:
    """What is not counted: gradient and Hessian of its ``-ln L`` at the fit.

    Attributes:
        gradient: With shape (P,).
        hessian: With shape (P, P).
    """

    gradient: FloatArray
    hessian: FloatArray


def expand(
    likelihood: Likelihood,
    data: Data,
    *,
    poi: str | None = None,
    at: str = "best-fit",
    settings: Settings | None = None,
) -> Expansion:
    """Fit a likelihood of counts, and take it apart at the fit.

    Args:
        likelihood: Any likelihood whose main data are counts in bins.
        data: Data for it.
        poi: Parameter of interest; None takes the declared one.
        at: ``best-fit``, or ``background``: the best fit with the parameter of interest at zero.
        settings: Settings of the fit.

    Raises:
        ParameterError: The main data are no counts, the likelihood is blinded, or a name or setting is impossible.
        UntrustworthyError: The fit has no certificate.
    """
    if at not in POINTS:
        raise ParameterError(f"at must be one of {', '.join(POINTS)}, got {at!r}.")
    if likelihood.blinding is not None:
        raise ParameterError(
            f"a simplified likelihood is a document that cannot say it is blinded ({likelihood.blinding}); unblind it."
        )
    settings = settings or Settings()
    declared = settings.applied(likelihood.parameters)
    name = declared.poi if poi is None else poi
    if name is not None and declared[name].fixed:
        raise ParameterError(f"parameter {name!r} is fixed and cannot be the parameter of interest; release it.")
    if at == "background" and name is not None:
        settings = Settings(settings.start, settings.bounds, {**settings.fixed, name: 0.0}, settings.solver)
    fitted = fit(likelihood, data, poi=name, settings=settings)
    name = require_poi(fitted)
    if not fitted.certificate.trustworthy:
        raise UntrustworthyError(f"nothing to expand about: {'; '.join(fitted.certificate.objections)}.")
    theta = jnp.asarray(fitted.values)
    counts = likelihood.counts(theta, data.main)
    if not counts or not _are_poisson(likelihood, theta, data.main):
        raise ParameterError(
            f"a simplified likelihood needs counts in bins, which the main data of a {type(likelihood).__name__} "
            "likelihood are not; bin the events, or give a binned workspace."
        )
    rates = np.asarray(_rates(likelihood, theta, data.main))
    direction = np.zeros(len(likelihood.parameters))
    direction[likelihood.parameters.position(name)] = 1.0
    return Expansion(
        fitted=fitted,
        poi=name,
        channels=tuple(c.channel for c in counts),
        n_bins=tuple(c.observed.shape[0] for c in counts),
        observed=np.concatenate([np.asarray(c.observed, dtype=float) for c in counts]),
        expected=rates,
        jacobian=np.asarray(_jacobian(likelihood, theta, data.main)),
        signal_jacobian=np.asarray(_signal_jacobian(likelihood, theta, data.main, jnp.asarray(direction))),
    )


def rest_of(likelihood: Likelihood, data: Data, expansion: Expansion, absorbed: npt.NDArray[np.bool_]) -> Rest:
    """Constraint terms and the bins that are absorbed, with shape (B,), to second order."""
    theta, main = jnp.asarray(expansion.theta), data.main
    terms = likelihood.constraints.curvature(theta, data.aux)
    gradient, hessian = _absorbed(likelihood, theta, main, jnp.asarray(expansion.observed), jnp.asarray(absorbed))
    return Rest(np.asarray(terms.gradient + gradient), np.asarray(terms.hessian + hessian))


def _are_poisson(likelihood: Likelihood, theta: Vector, main: MainData) -> bool:
    """Whether the density of the main data is the Poisson probability of the counts, and nothing else."""
    counts = likelihood.counts(theta, main)
    n = jnp.concatenate([c.observed for c in counts])
    rate = jnp.concatenate([jnp.sum(c.expected, axis=0) for c in counts])
    poisson = float(jnp.sum(jnp.where(n == 0.0, -rate, log_poisson(n, rate))))
    return bool(np.isclose(poisson, float(likelihood.log_main(theta, main)), rtol=1e-9, atol=1e-9))


def _total(likelihood: Likelihood, theta: Vector, main: MainData) -> Float[Array, " b"]:
    return jnp.concatenate([jnp.sum(c.expected, axis=0) for c in likelihood.counts(theta, main)])


_rates = eqx.filter_jit(_total)


@eqx.filter_jit
def _jacobian(likelihood: Likelihood, theta: Vector, main: MainData) -> Float[Array, "b p"]:
    return jax.jacfwd(lambda t: _total(likelihood, t, main))(theta)


@eqx.filter_jit
def _signal_jacobian(likelihood: Likelihood, theta: Vector, main: MainData, poi: Vector) -> Float[Array, "b p"]:
    def signal(t: Vector) -> Float[Array, " b"]:
        return jax.jvp(lambda x: _total(likelihood, x, main), (t,), (poi,))[1]

    return jax.jacfwd(signal)(theta)


@eqx.filter_jit
def _absorbed(
    likelihood: Likelihood,
    theta: Vector,
    main: MainData,
    observed: Float[Array, " b"],
    absorbed: Bool[Array, " b"],
) -> tuple[Vector, Matrix]:
    """Gradient and Hessian of nu - n ln nu, summed over the absorbed bins."""
    rate = _total(likelihood, theta, main)
    ratio = jnp.where(observed > 0.0, observed / jnp.where(rate > 0.0, rate, 1.0), 0.0)
    weight = jnp.where(absorbed, 1.0 - ratio, 0.0)
    curved = jnp.where(absorbed & (observed > 0.0), ratio**2 / jnp.where(observed > 0.0, observed, 1.0), 0.0)
    J = jax.jacfwd(lambda t: _total(likelihood, t, main))(theta)

    def weighted(t: Vector) -> Scalar:
        return jnp.sum(weight * _total(likelihood, t, main))

    return J.T @ weight, J.T @ (curved[:, None] * J) + jax.hessian(weighted)(theta)
