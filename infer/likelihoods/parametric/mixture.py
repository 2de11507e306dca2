"""The intensity of a parametric likelihood: its declaration by names, and its compilation to arrays.

The mathematics is in `infer.likelihoods.parametric`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Float

from infer.constraints import Curvature
from infer.errors import ParameterError
from infer.numerics.densities import Density
from infer.parameters import Parameters
from infer.typing import Matrix, Scalar, Vector

Values = Float[Array, " n"]
FloatArray = npt.NDArray[np.float64]
Probe: TypeAlias = Callable[[Density], Values]
"""What is asked of a component's density: probabilities of bins, or densities at events."""

_RESOLVED = 1e-7
"""Relative change of an integral, when intervals are halved, that is taken as none."""


@dataclass(frozen=True)
class Argument:
    """A shape argument or a yield: ``(base + sum shift_p p) * product (1 + scale_p p)``.

    Args:
        base: a number, or the name of a parameter.
        shift: by parameter name, what one unit of the parameter adds.
        scale: by parameter name, the relative change from one unit of the parameter.
    """

    base: float | str
    shift: Mapping[str, float] = field(default_factory=dict)
    scale: Mapping[str, float] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters that it depends on."""
        own = (self.base,) if isinstance(self.base, str) else ()
        return (*own, *self.shift, *self.scale)

    def at(self, values: Mapping[str, float]) -> float:
        """Its value for given parameter values."""
        total = values[self.base] if isinstance(self.base, str) else self.base
        total += sum(change * values[name] for name, change in self.shift.items())
        return total * math.prod(1.0 + change * values[name] for name, change in self.scale.items())


Given: TypeAlias = Argument | float | str


def as_argument(given: Given) -> Argument:
    """A number or a name as the argument that it stands for."""
    return given if isinstance(given, Argument) else Argument(given)


@dataclass(frozen=True)
class Component:
    """One component of the intensity.

    Args:
        name: unique within a likelihood.
        events: the yield, expected events in the range.
        density: class of the density.
        arguments: by name of the density's field, an `Argument`, a number, a parameter's name, or a
            sequence of these where the field is a vector.
        constants: by name, the fields that hold no arguments.
    """

    name: str
    events: Given
    density: Callable[..., Density]
    arguments: Mapping[str, Given | Sequence[Given]]
    constants: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters that it depends on."""
        given = [self.events, *(one for several in self.arguments.values() for one in _entries(several))]
        return tuple(name for one in given for name in as_argument(one).names)


def _entries(given: Given | Sequence[Given]) -> list[Given]:
    """The entries of an argument, one unless it is a vector."""
    return [given] if isinstance(given, Argument | str | float | int) else list(given)


class Compiled(eqx.Module):
    """A component as arrays; its arguments v are (yield, shape arguments ...), with shape (A,)."""

    name: str = eqx.field(static=True)
    density: Callable[..., Density] = eqx.field(static=True)
    layout: tuple[tuple[str, int | None], ...] = eqx.field(static=True)
    base: Float[Array, " a"]
    shift: Float[Array, "a p"]
    scale: Float[Array, "a p"]
    constants: dict[str, Any]

    def arguments(self, theta: Vector) -> Float[Array, " a"]:
        """v(theta): the yield, then the shape arguments."""
        factors = 1.0 + self.scale * theta[None, :]
        return (self.base + self.shift @ theta) * jnp.prod(factors, axis=1)

    def shape(self, arguments: Float[Array, " b"]) -> Density:
        """The density at given shape arguments, which are ``v[1:]``."""
        fields: dict[str, Array] = {}
        at = 0
        for name, size in self.layout:
            fields[name] = arguments[at] if size is None else arguments[at : at + size]
            at += 1 if size is None else size
        return self.density(**fields, **self.constants)


class Mixture(eqx.Module):
    """The intensity: what `Unbinned` and `Binned` share."""

    components: tuple[Compiled, ...]

    def totals(self, theta: Vector) -> Float[Array, " k"]:
        """Expected events of each component, with shape (K,)."""
        return jnp.stack([c.arguments(theta)[0] for c in self.components])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the components."""
        return tuple(c.name for c in self.components)

    def parts(self, theta: Vector, probe: Probe) -> Float[Array, "k n"]:
        """Of each component, the yield times the probed density."""
        arguments = [(c, c.arguments(theta)) for c in self.components]
        return jnp.stack([v[0] * probe(c.shape(v[1:])) for c, v in arguments])

    def rates(self, theta: Vector, probe: Probe) -> Values:
        """Sum over components of the yield times the probed density."""
        return jnp.sum(self.parts(theta, probe), axis=0)

    def kinks(self, theta: Vector) -> Values:
        """Where any component's density has a kink."""
        return jnp.concatenate([c.shape(c.arguments(theta)[1:]).kinks() for c in self.components])

    def curvature(self, theta: Vector, probe: Probe, weights: Values) -> Curvature:
        """Value, gradient and Hessian of ``sum_k N_k - sum_i w_i log r_i``."""
        arguments = [c.arguments(theta) for c in self.components]
        probed = [_linearised(c, v[1:], probe) for c, v in zip(self.components, arguments, strict=True)]
        rates = sum((v[0] * p for v, (p, _) in zip(arguments, probed, strict=True)), jnp.zeros_like(weights))
        used = (weights != 0.0) & (rates > 0.0)
        safe = jnp.where(used, rates, 1.0)
        u = jnp.where(used, weights / safe, 0.0)
        gradient, hessian = jnp.zeros_like(theta), jnp.zeros((theta.shape[0], theta.shape[0]))
        slopes = jnp.zeros((weights.shape[0], theta.shape[0]))
        for component, v, (p, jacobian) in zip(self.components, arguments, probed, strict=True):
            to_theta = jax.jacfwd(component.arguments)(theta)
            slopes += p[:, None] * to_theta[:1] + v[0] * jacobian @ to_theta[1:]
            g = jnp.concatenate([(1.0 - u @ p)[None], -v[0] * (u @ jacobian)])
            gradient += g @ to_theta
            h = _second(component, v, probe, u, -(u @ jacobian))
            hessian += to_theta.T @ h @ to_theta + _bend(component, theta, g)
        hessian += slopes.T @ (slopes * (u / safe)[:, None])
        total = sum((v[0] for v in arguments), jnp.zeros(()))
        return Curvature(total - weighted_logs(rates, weights), gradient, hessian)


def weighted_logs(rates: Values, weights: Values) -> Scalar:
    """``sum w log r``, where a weight of zero silences any rate and a rate <= 0 gives -inf."""
    positive = rates > 0.0
    logs = jnp.where(positive, jnp.log(jnp.where(positive, rates, 1.0)), -jnp.inf)
    return jnp.sum(jnp.where(weights == 0.0, 0.0, weights * jnp.where(weights == 0.0, 0.0, logs)))


def _linearised(component: Compiled, a: Float[Array, " b"], probe: Probe) -> tuple[Values, Float[Array, "n b"]]:
    """Probed density p with shape (N,) and dp/da with shape (N, B)."""
    p, push = jax.linearize(lambda b: probe(component.shape(b)), a)
    return p, jax.vmap(push, out_axes=1)(jnp.eye(a.shape[0]))


def _second(
    component: Compiled, v: Float[Array, " a"], probe: Probe, u: Values, mixed: Float[Array, " b"]
) -> Float[Array, "a a"]:
    """Second derivatives of ``N - sum_i u_i N p_i(a)`` in v = (N, a), those with N being ``mixed``."""
    inner = -v[0] * jax.hessian(lambda b: u @ probe(component.shape(b)))(v[1:])
    return jnp.block([[jnp.zeros((1, 1)), mixed[None, :]], [mixed[:, None], inner]])


def _bend(component: Compiled, theta: Vector, g: Float[Array, " a"]) -> Matrix:
    """Second derivatives of the arguments in theta, each times its entry of g."""
    return jax.hessian(lambda t: g @ component.arguments(t))(theta)


def compiled(parameters: Parameters, components: Sequence[Component]) -> Mixture:
    """The components as arrays, with names replaced by positions."""
    names = [component.name for component in components]
    if not names or len(set(names)) < len(names):
        raise ParameterError(f"expected one or more components of different names, got {names}.")
    return Mixture(tuple(_compile(parameters, component) for component in components))


def _compile(parameters: Parameters, component: Component) -> Compiled:
    layout: list[tuple[str, int | None]] = []
    rows, constants = [component.events], dict(component.constants)
    for name, given in component.arguments.items():
        if isinstance(given, int | float):  # no derivative is wanted
            constants[name] = jnp.asarray(given, dtype=float)
            continue
        scalar = isinstance(given, Argument | str)
        layout.append((name, None if scalar else len(_entries(given))))
        rows += _entries(given)
    parts = zip(*(_row(parameters, as_argument(given)) for given in rows), strict=True)
    base, shift, scale = (jnp.asarray(np.stack(part)) for part in parts)
    return Compiled(component.name, component.density, tuple(layout), base, shift, scale, constants)


def _row(parameters: Parameters, argument: Argument) -> tuple[FloatArray, ...]:
    """Base, shift row and scale row of one argument."""
    base, shift, scale = np.zeros(()), np.zeros(len(parameters)), np.zeros(len(parameters))
    if isinstance(argument.base, str):
        shift[parameters.position(argument.base)] = 1.0
    else:
        base += argument.base
    for row, changes in ((shift, argument.shift), (scale, argument.scale)):
        for name, change in changes.items():
            row[parameters.position(name)] += change
    return base, shift, scale


def require_resolved(
    mixture: Mixture, components: Sequence[Component], parameters: Parameters, edges: FloatArray, remedy: str
) -> None:
    """Refuse densities whose integral at the start values changes when every interval is halved."""
    halved = jnp.asarray(np.sort(np.concatenate([edges, 0.5 * (edges[1:] + edges[:-1])])))
    integrals = np.asarray(_integrals(mixture, jnp.asarray(parameters.init), (jnp.asarray(edges), halved)))
    for declared, (coarse, fine) in zip(components, integrals.T.tolist(), strict=True):
        if not (fine > 0.0 and abs(coarse / fine - 1.0) < _RESOLVED):
            raise ParameterError(
                f"the density of component {declared.name!r} integrates to {coarse:.8g} at the start "
                f"values, and to {fine:.8g} in intervals half as long, expected one positive number; "
                f"correct the start values, or use {remedy}."
            )


@eqx.filter_jit
def _integrals(mixture: Mixture, theta: Vector, grids: tuple[Array, ...]) -> Float[Array, "g k"]:
    """Integral of each component's density, as it is before normalisation, over each of the grids."""
    densities = [component.shape(component.arguments(theta)[1:]) for component in mixture.components]
    return jnp.stack([jnp.stack([jnp.sum(d.masses(edges)) for d in densities]) for edges in grids])
