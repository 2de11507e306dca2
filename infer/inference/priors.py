r"""Priors of free parameters, and the space in which a posterior is sampled.

A constrained parameter needs no prior: its constraint term, read as a function of the parameter, is one times a
flat one.  A *free* parameter needs a declared prior; where both bounds are finite, none declared means flat
between them.

A posterior with bounds is sampled in an unbounded space, u, by a smooth bijection for each parameter, whose
Jacobian belongs to the density (Stan Reference Manual, "Constraint Transforms").  With l(u) = ln(1 + exp(u)),
l'(u) = s(u) = 1 / (1 + exp(-u)), a scale b, which is about a standard deviation, and w = (high - low) / b,

    low < x < high:   x = low + b [l(u) - l(u - w)],   dx/du = b s(u) s(w - u) (1 - exp(-w))
    low < x:          x = low + b l(u),                dx/du = b s(u)
    x < high:         x = high - b l(-u),              dx/du = b s(-u)
    no bound:         x = u,                           dx/du = 1

Farther from a bound than b, each is a straight line, so that a Gaussian stays one.  The exponential and the logistic
function, which are usual, bend everywhere: posteriors of normalisations whose bounds are far apart become skew.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Bool, Float

from infer.errors import ParameterError
from infer.parameters import Parameter, Parameters
from infer.typing import Scalar

Free = Float[Array, " d"]
"""One value for each sampled parameter."""


class Prior(ABC):
    """Density of a free parameter before the data: log p(x) = -power log x - ((x - mean) / width)^2 / 2 + constant."""

    @property
    def terms(self) -> tuple[float, float, float]:
        """Power, mean, and one over the width."""
        return 0.0, 0.0, 0.0

    @property
    @abstractmethod
    def support(self) -> tuple[float, float]:
        """Where the density is not zero."""


@dataclass(frozen=True)
class FlatPrior(Prior):
    """Constant between ``low`` and ``high``.

    Raises:
        ParameterError: The ends are not finite or not in order.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_ends("flat", self.low, self.high)

    @property
    def support(self) -> tuple[float, float]:
        """From low to high."""
        return self.low, self.high

    def __str__(self) -> str:
        return f"flat on [{self.low:g}, {self.high:g}]"


@dataclass(frozen=True)
class LogFlatPrior(Prior):
    """Constant in log x between ``low`` and ``high``, that is, falling as 1/x.

    Raises:
        ParameterError: The ends are not finite, not positive or not in order.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _check_ends("logflat", self.low, self.high)
        if self.low <= 0.0:
            raise ParameterError(f"a logflat prior needs a positive lower end, got {self.low:g}.")

    @property
    def terms(self) -> tuple[float, float, float]:
        """The power is one."""
        return 1.0, 0.0, 0.0

    @property
    def support(self) -> tuple[float, float]:
        """From low to high."""
        return self.low, self.high

    def __str__(self) -> str:
        return f"flat in the logarithm on [{self.low:g}, {self.high:g}]"


@dataclass(frozen=True)
class NormalPrior(Prior):
    """Normal distribution, cut at the bounds of the parameter.

    Raises:
        ParameterError: The mean is not finite, or sigma not positive and finite.
    """

    mean: float
    sigma: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.mean) and np.isfinite(self.sigma) and self.sigma > 0.0):
            raise ParameterError(
                f"a normal prior needs a finite mean and a positive sigma, got {self.mean!r} and {self.sigma!r}."
            )

    @property
    def terms(self) -> tuple[float, float, float]:
        """Mean and width."""
        return 0.0, self.mean, 1.0 / self.sigma

    @property
    def support(self) -> tuple[float, float]:
        """Everywhere."""
        return -np.inf, np.inf

    def __str__(self) -> str:
        return f"normal with mean {self.mean:g} and sigma {self.sigma:g}"


def _check_ends(kind: str, low: float, high: float) -> None:
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ParameterError(f"a {kind} prior needs finite ends in order, got {low!r} and {high!r}.")


@dataclass(frozen=True)
class Declared:
    """The prior of one sampled parameter, in numbers and in words.

    Attributes:
        low: Lower end of its range.
        high: Upper end.
        power: See `Prior`.
        mean: See `Prior`.
        inverse_width: See `Prior`.
        text: What a reader is told; empty for a constrained parameter, whose constraint term is the prior.
        assumed: Whether nobody declared it.
    """

    low: float
    high: float
    power: float = 0.0
    mean: float = 0.0
    inverse_width: float = 0.0
    text: str = ""
    assumed: bool = False


def declared(parameters: Parameters, priors: Mapping[str, Prior]) -> dict[str, Declared]:
    """The prior of every parameter that is not fixed.

    Raises:
        ParameterError: A name is unknown, or belongs to a fixed or constrained parameter; a free parameter has an
            infinite bound and no prior; a prior leaves no room between the bounds.
    """
    for name, prior in priors.items():
        _check_declaration(parameters[name], prior)
    return {name: _declared(p, priors.get(name)) for name, p in parameters.items() if not p.fixed}


def _check_declaration(parameter: Parameter, prior: Prior) -> None:
    name = parameter.name
    if not isinstance(prior, Prior):
        raise ParameterError(f"the prior of {name!r} must be FlatPrior, LogFlatPrior or NormalPrior, got {prior!r}.")
    if parameter.fixed:
        raise ParameterError(f"{name!r} is fixed and needs no prior; release it, or leave the prior out.")
    if parameter.constraint is not None:
        raise ParameterError(
            f"{name!r} has a constraint term, which is its prior already; a second one would count twice: "
            "leave it out, or declare the parameter without constraint."
        )


def _declared(parameter: Parameter, prior: Prior | None) -> Declared:
    low, high = parameter.bounds
    if parameter.constraint is not None:
        return Declared(low, high)
    if prior is None:
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ParameterError(
                f"{parameter.name!r} is free, with bounds [{low:g}, {high:g}], and has no prior: declare one, as in "
                f"priors={{{parameter.name!r}: FlatPrior(0, 10)}} (--prior {parameter.name}=flat:0:10), "
                "or give it finite bounds, between which the prior is flat."
            )
        return Declared(low, high, text=f"flat between its bounds [{low:g}, {high:g}]", assumed=True)
    left, right = max(low, prior.support[0]), min(high, prior.support[1])
    if not left < right:
        raise ParameterError(
            f"the prior of {parameter.name!r}, {prior}, has no room between the bounds [{low:g}, {high:g}]; "
            "change one of them."
        )
    cut = "" if (left, right) == prior.support else f", cut to [{left:g}, {right:g}] by its bounds"
    return Declared(left, right, *prior.terms, f"{prior}{cut}")


class Space(eqx.Module):
    """Range, scale and prior of d sampled parameters, each with shape (d,)."""

    low: Free
    high: Free
    scale: Free
    power: Free
    mean: Free
    inverse_width: Free

    @staticmethod
    def of(priors: Mapping[str, Declared], reach: npt.NDArray[np.float64]) -> Space:
        """The space of parameters with these priors, in their order.

        Args:
            priors: Range and prior of each.
            reach: About one standard deviation of each, with shape (d,); the scale is at most a quarter of a range.
        """

        def column(field: str) -> Free:
            return jnp.asarray([getattr(p, field) for p in priors.values()], dtype=float)

        low, high = column("low"), column("high")
        scale = jnp.minimum(jnp.asarray(reach, dtype=float), 0.25 * (high - low))
        return Space(low, high, scale, *map(column, ("power", "mean", "inverse_width")))

    @property
    def _ends(self) -> tuple[Bool[Array, " d"], Bool[Array, " d"], Free, Free, Free]:
        """Whether there are ends; where, or zero; and the width in scales, or zero."""
        below, above = jnp.isfinite(self.low), jnp.isfinite(self.high)
        low, high = jnp.where(below, self.low, 0.0), jnp.where(above, self.high, 0.0)
        return below, above, low, high, jnp.where(below & above, (high - low) / self.scale, 0.0)

    def values(self, u: Free) -> Free:
        """Parameters x(u)."""
        below, above, low, high, width = self._ends
        rise, fall = jax.nn.softplus(u), jax.nn.softplus(-u)
        # The same function from either end: each loses no digits next to its own.
        near_low = low + self.scale * (rise - jax.nn.softplus(u - width))
        near_high = high - self.scale * (jax.nn.softplus(width - u) - fall)
        inside = jnp.where(u < 0.5 * width, near_low, near_high)
        single = jnp.where(below, low + self.scale * rise, high - self.scale * fall)
        return jnp.where(below & above, inside, jnp.where(below ^ above, single, u))

    def log_jacobian(self, u: Free) -> Scalar:
        """Sum of log dx/du."""
        below, above, _, _, width = self._ends
        both = below & above
        start = jnp.where(below, jax.nn.log_sigmoid(u), 0.0)
        end = jnp.where(above, jax.nn.log_sigmoid(width - u), 0.0)
        scale = jnp.where(below | above, jnp.log(self.scale), 0.0)
        return jnp.sum(start + end + scale + jnp.where(both, jnp.log1p(-jnp.exp(-jnp.where(both, width, 1.0))), 0.0))

    def log_prior(self, x: Free) -> Scalar:
        """Sum of the logarithms of the priors, without constants."""
        falls = self.power > 0.0
        logarithm = jnp.where(falls, jnp.log(jnp.where(falls, x, 1.0)), 0.0)
        return -jnp.sum(self.power * logarithm) - 0.5 * jnp.sum(((x - self.mean) * self.inverse_width) ** 2)

    def inverse(self, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Where u of a point with shape (d,) is, or of the nearest that is a scale away from the bounds."""
        below, above, _, _, width = (np.asarray(end) for end in self._ends)
        low, high, scale = np.asarray(self.low), np.asarray(self.high), np.asarray(self.scale)
        x = np.clip(x, low + scale, high - scale)
        with np.errstate(invalid="ignore", divide="ignore"):
            from_low, from_high = (x - low) / scale, (high - x) / scale
            rising = from_low + np.log(-np.expm1(-from_low))
            falling = -from_high - np.log(-np.expm1(-from_high))
            inside = rising - np.log(-np.expm1(from_low - width))
        return np.asarray(np.select([below & above, below, above], [inside, rising, falling], x))
