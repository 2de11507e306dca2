"""Extended likelihoods of one observable: components, each a yield times a normalised density.

The intensity, in events per unit of the observable x, is

    r(x; theta) = sum_k N_k(theta) f_k(x; theta),     integral over the range of f_k = 1,

and both likelihoods are those of a Poisson process with this intensity:

==========  =========================  =====================================================
likelihood   main data                  log f(main | theta)
==========  =========================  =====================================================
`Unbinned`   `Events` (x_i, w_i)        sum_i w_i log r(x_i) - sum_k N_k
`Binned`     counts n_b                 sum_b n_b log nu_b - nu_b - log n_b!
==========  =========================  =====================================================

with ``nu_b`` the integral of r over bin b.  The first is the density of the process with respect to
that of unit intensity (its constant, the length of the range, is left out): there is no n!, since
events have no order, and its value depends on the unit of x.  The weight of an event is 1, that of
padding 0; Asimov events sit at quadrature nodes with the expected number of events as weight.

A shape argument or a yield is an `Argument`, affine in parameters times relative shifts, so that a
systematic uncertainty is a constrained parameter that moves an argument.

With r_i the rate at event (or in bin) i, ``u_i = w_i / r_i`` and ``v`` the arguments of a component,

    gradient of -log f = sum_k N_k' - sum_i u_i r_i',
    Hessian of -log f  = sum_k N_k'' - sum_i u_i r_i'' + sum_i u_i r_i' r_i'^T / r_i,

where derivatives of densities are taken in their few arguments, then carried to theta.

References: Barlow, NIM A 297 (1990) 496, eq. 7 (extended maximum likelihood); Cowan, Statistical
Data Analysis (1998), sections 6.9 and 6.10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

from infer.constraints import ConstraintTerms, Curvature
from infer.data import Data, check_leaves
from infer.errors import DataError, ParameterError
from infer.likelihood import Likelihood, constraint_terms
from infer.numerics.densities import Density
from infer.numerics.panels import nodes_and_weights
from infer.numerics.poisson import sample_poisson
from infer.parameters import Parameters
from infer.typing import Key, Matrix, Scalar, Vector

Values = Float[Array, " n"]
Probe: TypeAlias = Callable[[Density], Values]
"""What is asked of a component's density: probabilities of bins, or densities at events."""

_CELLS = 8192
"""Cells of the table from which toys are drawn; the density is linear within a cell."""


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


Given: TypeAlias = Argument | float | str


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


class Events(eqx.Module):
    """A weighted sample of fixed capacity: unused places have weight 0.

    Args:
        values: of the observable, with shape (N,), all within the range.
        weights: with shape (N,).
    """

    values: Values
    weights: Values


class _Component(eqx.Module):
    """A component as arrays; its arguments v are (yield, shape arguments ...), with shape (A,)."""

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


class _Mixture(eqx.Module):
    """The intensity: what `Unbinned` and `Binned` share."""

    components: tuple[_Component, ...]

    def totals(self, theta: Vector) -> Float[Array, " k"]:
        """Expected events of each component, with shape (K,)."""
        return jnp.stack([c.arguments(theta)[0] for c in self.components])

    def rates(self, theta: Vector, probe: Probe) -> Values:
        """Sum over components of the yield times the probed density."""
        parts = []
        for component in self.components:
            v = component.arguments(theta)
            parts.append(v[0] * probe(component.shape(v[1:])))
        return jnp.sum(jnp.stack(parts), axis=0)

    def kinks(self, theta: Vector) -> Values:
        """Where any component's density has a kink."""
        return jnp.concatenate([c.shape(c.arguments(theta)[1:]).kinks() for c in self.components])

    def derivatives(self, theta: Vector, probe: Probe, weights: Values) -> tuple[Vector, Matrix]:
        """Gradient and Hessian of ``sum_k N_k - sum_i w_i log r_i``; see the module's docstring."""
        rates = self.rates(theta, probe)
        used = (weights != 0.0) & (rates > 0.0)
        safe = jnp.where(used, rates, 1.0)
        u = jnp.where(used, weights / safe, 0.0)
        size = theta.shape[0]
        gradient, hessian = jnp.zeros(size), jnp.zeros((size, size))
        slopes = jnp.zeros((rates.shape[0], size))
        for component in self.components:
            to_theta = jax.jacfwd(component.arguments)(theta)
            value, jacobian, g, h = _in_arguments(component, component.arguments(theta), probe, u)
            slopes += value[:, None] * to_theta[:1] + jacobian @ to_theta[1:]
            gradient += g @ to_theta
            hessian += to_theta.T @ h @ to_theta + _bend(component, theta, g)
        hessian += slopes.T @ (slopes * (u / safe)[:, None])
        return gradient, hessian


def _in_arguments(
    component: _Component, v: Float[Array, " a"], probe: Probe, u: Values
) -> tuple[Values, Float[Array, "n b"], Float[Array, " a"], Float[Array, "a a"]]:
    """Probed density p, N dp/da, and derivatives of ``N - sum_i u_i N p_i(a)`` in v = (N, a)."""

    def probed(a: Float[Array, " b"]) -> Values:
        return probe(component.shape(a))

    n, a = v[0], v[1:]
    p, slope = probed(a), jax.jacfwd(probed)(a)
    mixed = -(u @ slope)
    gradient = jnp.concatenate([(1.0 - u @ p)[None], n * mixed])
    inner = -n * jax.hessian(lambda b: u @ probed(b))(a)
    hessian = jnp.block([[jnp.zeros((1, 1)), mixed[None, :]], [mixed[:, None], inner]])
    return p, n * slope, gradient, hessian


def _bend(component: _Component, theta: Vector, g: Float[Array, " a"]) -> Matrix:
    """Second derivatives of the arguments in theta, each times its entry of g."""
    return jax.hessian(lambda t: g @ component.arguments(t))(theta)


class Unbinned(Likelihood):
    """Extended unbinned likelihood.

    Toys hold up to ``capacity`` events, so that all have one shape.  A toy with more gets NaN
    weights: its fit fails and is reported, never cut in silence.  `room_for` gives a capacity that a
    toy exceeds with a probability below 1e-20.

    Args:
        parameters: in the order of theta.
        components: of the intensity.
        low: lower end of the range.
        high: upper end of the range.
        capacity: places in every event sample.
        panels: equal intervals in which densities without closed-form integral are integrated; each
            should be narrower than the narrowest peak.

    Raises:
        ParameterError: an argument names an unknown parameter, or two components share a name.
        DataError: the range is empty, or the capacity not positive.
    """

    parameters: Parameters = eqx.field(static=True)
    constraints: ConstraintTerms
    mixture: _Mixture
    edges: Values
    capacity: int = eqx.field(static=True)

    def __init__(
        self,
        parameters: Parameters,
        components: Sequence[Component],
        *,
        low: float,
        high: float,
        capacity: int,
        panels: int = 64,
    ) -> None:
        if capacity < 1:
            raise DataError(f"expected a capacity of one event or more, got {capacity}; see room_for.")
        self.parameters = parameters
        self.constraints = constraint_terms(parameters)
        self.mixture = _compiled(parameters, components)
        self.edges = jnp.asarray(_checked_edges(np.linspace(low, high, panels + 1)))
        self.capacity = capacity

    def log_main(self, theta: Vector, main: Events) -> Scalar:
        """``sum_i w_i log r(x_i) - sum_k N_k``; -inf where an event has no intensity."""
        rates = self.mixture.rates(theta, self._at(main.values))
        return _weighted_logs(rates, main.weights) - jnp.sum(self.mixture.totals(theta))

    def expected_main(self, theta: Vector) -> Events:
        """Asimov events: quadrature nodes, with the expected events of their surroundings as weight.

        Panels are cut at kinks, so that the sum over events is the integral to rounding.
        """
        kinks = jnp.clip(self.mixture.kinks(theta), self.edges[0], self.edges[-1])
        x, width = nodes_and_weights(jnp.sort(jnp.concatenate([self.edges, kinks])))
        rates = self.mixture.rates(theta, self._at(x.ravel()))
        return Events(x.ravel(), width.ravel() * rates)

    def sample_main(self, theta: Vector, key: Key) -> Events:
        """A Poisson number of events drawn from the intensity.

        Drawn from the intensity tabulated at 8193 points and linear between them, within
        ``h^2 r'' / 8`` of r: 1e-5 for a peak as wide as a hundred cells.
        """
        count_key, place_key = jax.random.split(key)
        x = jnp.linspace(self.edges[0], self.edges[-1], _CELLS + 1)
        values = _draw(place_key, x, self.mixture.rates(theta, self._at(x)), self.capacity)
        count = sample_poisson(count_key, jnp.sum(self.mixture.totals(theta)))
        weights = jnp.where(jnp.arange(self.capacity, dtype=float) < count, 1.0, 0.0)
        return Events(values, jnp.where(count <= self.capacity, weights, jnp.nan))

    def curvature_main(self, theta: Vector, main: Events) -> Curvature:
        """The closed form of the module's docstring."""
        value = -self.log_main(theta, main)
        probe = self._at(main.values)
        return Curvature(value, *self.mixture.derivatives(theta, probe, main.weights))

    def check_main(self, main: Events) -> None:
        """Refuse events of different lengths, outside the range, or with weights that are not finite.

        Raises:
            DataError: naming the first fault.
        """
        values = jax.tree.leaves(main)[0]
        check_leaves(main, Events(values, values))
        self._require_inside(np.asarray(values).ravel())

    def data(self, values: npt.ArrayLike) -> Data:
        """Observed data: events padded to the capacity, auxiliary data at the start values.

        Raises:
            DataError: values are not finite numbers within the range, or more than the capacity.
        """
        observed = np.asarray(values, dtype=float).ravel()
        self._require_inside(observed)
        if observed.size > self.capacity:
            raise DataError(
                f"expected at most {self.capacity} events, the capacity, got {observed.size}; "
                "make the likelihood with a larger one (room_for)."
            )
        padded = np.full(self.capacity, 0.5 * float(self.edges[0] + self.edges[-1]))
        padded[: observed.size] = observed
        weights = np.where(np.arange(self.capacity) < observed.size, 1.0, 0.0)
        events = Events(jnp.asarray(padded), jnp.asarray(weights))
        return Data(events, self.constraints.expected(jnp.asarray(self.parameters.init)))

    def _require_inside(self, values: npt.NDArray[np.float64]) -> None:
        low, high = float(self.edges[0]), float(self.edges[-1])
        outside = values[~((values >= low) & (values <= high))]
        if outside.size:
            raise DataError(
                f"expected events within the range from {low:g} to {high:g}, but {outside.size} are "
                f"outside, the first at {outside[0]:g}; leave them out, or widen the range."
            )

    def _at(self, x: Values) -> Probe:
        """Normalised densities at x."""

        def probe(density: Density) -> Values:
            return jnp.exp(density.log_density(x)) * (1.0 / jnp.sum(density.masses(self.edges)))

        return probe


class Binned(Likelihood):
    """Binned extended likelihood: the integral of the intensity over each bin.

    Args:
        parameters: in the order of theta.
        components: of the intensity.
        edges: of the B bins, increasing, with shape (B + 1,); together they are the range.  Densities
            without closed form are integrated with 16 nodes per bin.

    Raises:
        ParameterError: an argument names an unknown parameter, or two components share a name.
        DataError: the edges do not increase.
    """

    parameters: Parameters = eqx.field(static=True)
    constraints: ConstraintTerms
    mixture: _Mixture
    edges: Values

    def __init__(self, parameters: Parameters, components: Sequence[Component], *, edges: npt.ArrayLike) -> None:
        self.parameters = parameters
        self.constraints = constraint_terms(parameters)
        self.mixture = _compiled(parameters, components)
        self.edges = jnp.asarray(_checked_edges(np.asarray(edges, dtype=float)))

    def log_main(self, theta: Vector, main: Values) -> Scalar:
        """Poisson probability of the counts, factorials included; -inf where a bin cannot be filled."""
        rates = self.expected_main(theta)
        logs = _weighted_logs(rates, main) - jnp.sum(gammaln(main + 1.0))
        return logs - jnp.sum(self.mixture.totals(theta))

    def expected_main(self, theta: Vector) -> Values:
        """Expected counts, with shape (B,)."""
        return self.mixture.rates(theta, self._probe)

    def sample_main(self, theta: Vector, key: Key) -> Values:
        """Poisson counts."""
        return sample_poisson(key, self.expected_main(theta))

    def curvature_main(self, theta: Vector, main: Values) -> Curvature:
        """The closed form of the module's docstring."""
        value = -self.log_main(theta, main)
        return Curvature(value, *self.mixture.derivatives(theta, self._probe, main))

    def data(self, values: npt.ArrayLike) -> Data:
        """Observed data: counts of values by bin, auxiliary data at the start values.

        The last bin has both its edges; values outside all bins are left out.
        """
        counts, _ = np.histogram(np.asarray(values, dtype=float), np.asarray(self.edges))
        aux = self.constraints.expected(jnp.asarray(self.parameters.init))
        return Data(jnp.asarray(counts, dtype=float), aux)

    def _probe(self, density: Density) -> Values:
        masses = density.masses(self.edges)
        return masses / jnp.sum(masses)


def room_for(events: float) -> int:
    """Capacity that a Poisson number of mean ``events`` exceeds with a probability below 1e-20."""
    return int(np.ceil(events + 10.0 * np.sqrt(events) + 20.0))


def _weighted_logs(rates: Values, weights: Values) -> Scalar:
    """``sum w log r``, where a weight of zero silences any rate and a rate <= 0 gives -inf."""
    positive = rates > 0.0
    logs = jnp.where(positive, jnp.log(jnp.where(positive, rates, 1.0)), -jnp.inf)
    return jnp.sum(jnp.where(weights == 0.0, 0.0, weights * jnp.where(weights == 0.0, 0.0, logs)))


def _draw(key: Key, x: Values, rates: Values, size: int) -> Float[Array, " size"]:
    """Draw from the density that is linear between its values at equally spaced points x.

    Within a cell of end values r0, r1 the distribution function at fraction f of the cell is
    ``(r0 f + (r1 - r0) f^2 / 2) / ((r0 + r1) / 2)``; its inverse is written without cancellation.
    """
    cumulative = jnp.concatenate([jnp.zeros(1), jnp.cumsum(0.5 * (rates[1:] + rates[:-1]))])
    u = jax.random.uniform(key, (size,), dtype=x.dtype) * cumulative[-1]
    cell = jnp.clip(jnp.searchsorted(cumulative, u, side="right") - 1, 0, x.shape[0] - 2)
    r0, r1 = rates[cell], rates[cell + 1]
    rest = u - cumulative[cell]
    root = jnp.sqrt(jnp.maximum(r0**2 + 2.0 * (r1 - r0) * rest, 0.0))
    fraction = jnp.clip(2.0 * rest / (r0 + root), 0.0, 1.0)
    return x[cell] + fraction * (x[1] - x[0])


def _checked_edges(edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if edges.ndim != 1 or edges.size < 2 or not np.all(np.diff(edges) > 0.0):
        raise DataError(
            f"expected a range or bin edges that increase, got {edges.tolist()[:4]} ...; "
            "order them and let the first lie below the last."
        )
    return edges


def _compiled(parameters: Parameters, components: Sequence[Component]) -> _Mixture:
    """The components as arrays, with names replaced by positions."""
    names = [component.name for component in components]
    if not names or len(set(names)) < len(names):
        raise ParameterError(f"expected one or more components of different names, got {names}.")
    return _Mixture(tuple(_compile(parameters, component) for component in components))


def _compile(parameters: Parameters, component: Component) -> _Component:
    layout: list[tuple[str, int | None]] = []
    rows = [component.events]
    constants = dict(component.constants)
    for name, given in component.arguments.items():
        if isinstance(given, int | float):
            constants[name] = jnp.asarray(given, dtype=float)
            continue
        vector = isinstance(given, Sequence) and not isinstance(given, str)
        entries: list[Given] = list(given) if vector else [given]  # type: ignore[arg-type,list-item]  # by vector
        layout.append((name, len(entries) if vector else None))
        rows += entries
    compiled = [_row(parameters, given) for given in rows]
    base, shift, scale = (jnp.asarray(np.stack(part)) for part in zip(*compiled, strict=True))
    return _Component(component.density, tuple(layout), base, shift, scale, constants)


def _row(parameters: Parameters, given: Given) -> tuple[npt.NDArray[np.float64], ...]:
    """Base, shift row and scale row of one argument."""
    argument = given if isinstance(given, Argument) else Argument(given)
    base, shift, scale = np.zeros(()), np.zeros(len(parameters)), np.zeros(len(parameters))
    if isinstance(argument.base, str):
        shift[parameters.position(argument.base)] = 1.0
    else:
        base += argument.base
    for name, value in argument.shift.items():
        shift[parameters.position(name)] += value
    for name, value in argument.scale.items():
        scale[parameters.position(name)] += value
    return base, shift, scale
