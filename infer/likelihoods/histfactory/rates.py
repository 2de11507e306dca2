r"""Rates before and after a fit, with their uncertainty: what a physicist looks at first.

With nu(theta) the expected events per bin and C the covariance of theta, the uncertainty of the
rates is, to first order,

    V[nu] = J C J^T,      J = d nu / d theta,

of which the diagonal is kept: ``total_uncertainty`` is its square root.  Before the fit, theta is at
its start values and C holds what the auxiliary measurements say (zero for free and for fixed
parameters); after the fit, theta is the best fit and C the inverse Hessian.

The records hold plain arrays: no likelihood, no JAX, so that they can be stored and drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Float

from infer.constraints import MultivariateNormal
from infer.likelihood import Correlated, Fixed, Likelihood, Product, Renamed
from infer.likelihoods.histfactory.model import HistFactory
from infer.parameters import Parameters
from infer.typing import MainData, Matrix, Vector

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ChannelRates:
    """Expected and observed events of one channel, at one point of parameter space.

    Attributes:
        name: Channel; in a combination with the component before it, ``cms/SR``.
        samples: Expected events by sample, each with shape (B,).
        total: Their sum with shape (B,).
        total_uncertainty: Standard deviation of the sum with shape (B,).
        counts: Observed events with shape (B,).
        signals: The samples that the parameter of interest moves.
    """

    name: str
    samples: Mapping[str, FloatArray]
    total: FloatArray
    total_uncertainty: FloatArray
    counts: FloatArray
    signals: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class RatesRecord:
    """The rates of all channels before and after a fit, in the same order.

    Attributes:
        prefit: At the start values, with the uncertainty from the constraints.
        postfit: At the best fit, with the uncertainty from the inverse Hessian.
    """

    prefit: tuple[ChannelRates, ...]
    postfit: tuple[ChannelRates, ...]


def rates_record(
    likelihood: Likelihood,
    main: MainData,
    *,
    values: FloatArray,
    covariance: FloatArray,
    poi: str | None = None,
) -> RatesRecord:
    """Rates before and after a fit.

    Args:
        likelihood: A HistFactory model, or a combination or other view of such models; components
            of other kinds have no channels and are passed over.
        main: The main data of the fit.
        values: Best fit with shape (P,).
        covariance: Its covariance with shape (P, P).
        poi: Parameter of interest; None takes the one that the likelihood declares.
    """
    parameters = likelihood.parameters
    before = (parameters.init, prefit_covariance(parameters))
    prefit, postfit = (
        channel_rates(likelihood, theta, matrix, main, poi=poi) for theta, matrix in (before, (values, covariance))
    )
    return RatesRecord(prefit, postfit)


def channel_rates(
    likelihood: Likelihood,
    theta: npt.ArrayLike,
    covariance: npt.ArrayLike,
    counts: MainData,
    *,
    poi: str | None = None,
) -> tuple[ChannelRates, ...]:
    """Rates of every channel at one point of parameter space.

    Args:
        likelihood: As for `rates_record`.
        theta: Parameters with shape (P,).
        covariance: Their covariance with shape (P, P).
        counts: Main data of the likelihood.
        poi: Parameter of interest; None takes the one that the likelihood declares.

    Raises:
        DataError: A HistFactory model's counts do not fit it.
        ParameterError: ``poi`` is unknown.
    """
    name = likelihood.parameters.poi if poi is None else poi
    direction = np.zeros(len(likelihood.parameters))
    if name is not None:
        direction[likelihood.parameters.position(name)] = 1.0
    point = _Point(np.asarray(theta, dtype=float), np.asarray(covariance, dtype=float), direction)
    return _descend(likelihood, point, counts, ())


def prefit_covariance(parameters: Parameters) -> FloatArray:
    """Covariance from the auxiliary data alone, with shape (P, P); zero for free and fixed parameters."""
    covariance = np.zeros((len(parameters), len(parameters)))
    for at, (name, parameter) in enumerate(parameters.items()):
        sigma = parameter.prefit_uncertainty()
        if sigma is not None:
            covariance[at, at] = sigma**2
        if isinstance(parameter.constraint, MultivariateNormal):
            row = parameter.constraint.covariance[parameter.constraint.names.index(name)]
            covariance[at, parameters.positions(parameter.constraint.names)] = row
    covariance[parameters.fixed, :] = 0.0
    covariance[:, parameters.fixed] = 0.0
    return covariance


@dataclass(frozen=True, eq=False)
class _Point:
    """A point of parameter space, as one likelihood sees it: theta, covariance, direction of the poi."""

    theta: FloatArray
    covariance: FloatArray
    direction: FloatArray

    def seen(self, positions: npt.ArrayLike) -> _Point:
        """The same point through a gather of parameters, which may tie some of them together."""
        at = np.asarray(positions)
        return _Point(self.theta[at], self.covariance[np.ix_(at, at)], self.direction[at])


def _descend(likelihood: Likelihood, point: _Point, main: MainData, path: tuple[str, ...]) -> tuple[ChannelRates, ...]:
    """The HistFactory models inside a likelihood, each with its own parameters."""
    if isinstance(likelihood, HistFactory):
        return _of_model(likelihood, point, main, path)
    if isinstance(likelihood, Renamed | Fixed | Correlated):
        return _descend(likelihood.inner, point.seen(likelihood.positions), main, path)
    if isinstance(likelihood, Product):
        parts = (
            _descend(component, point.seen(likelihood.positions[name]), main[name], (*path, name))
            for name, component in likelihood.components.items()
        )
        return tuple(rates for part in parts for rates in part)
    return ()


def _of_model(
    model: HistFactory, point: _Point, counts: Float[Array, " b"], path: tuple[str, ...]
) -> tuple[ChannelRates, ...]:
    model.check_main(counts)
    arrays = jax.device_put((point.theta, point.covariance, point.direction))
    entries, moved, uncertainty = (np.asarray(x) for x in _propagate(model, *arrays))
    observed, records = np.asarray(counts, dtype=float), []
    for channel in model.channels:
        bins = slice(channel.first, channel.first + channel.n_bins)
        slots = range(len(channel.samples))
        records.append(
            ChannelRates(
                name="/".join([*path, channel.name]),
                samples={channel.samples[s]: entries[bins, s] for s in slots},
                total=np.sum(entries[bins], axis=1),
                total_uncertainty=uncertainty[bins],
                counts=observed[bins],
                signals=tuple(channel.samples[s] for s in slots if np.any(moved[bins, s])),
            )
        )
    return tuple(records)


@eqx.filter_jit
def _propagate(
    model: HistFactory, theta: Vector, covariance: Matrix, direction: Vector
) -> tuple[Float[Array, "b s"], Float[Array, "b s"], Float[Array, " b"]]:
    """Entries, which of them move along a direction, and the uncertainty of their sums."""
    entries, slope = jax.jvp(model.entries, (theta,), (direction,))
    jacobian = jax.jacfwd(model.expected_main)(theta)
    variance = jnp.einsum("bp,pq,bq->b", jacobian, covariance, jacobian)
    return entries, slope, jnp.sqrt(jnp.maximum(variance, 0.0))
