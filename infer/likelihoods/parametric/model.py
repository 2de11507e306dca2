"""The unbinned and the binned likelihood of a parametric intensity."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

from infer.constraints import ConstraintTerms, Curvature
from infer.data import Cells, Counts, Data, check_leaves
from infer.errors import DataError
from infer.likelihood import Likelihood, constraint_terms
from infer.likelihoods.parametric.mixture import (
    Component,
    Mixture,
    Probe,
    Values,
    compiled,
    require_resolved,
    weighted_logs,
)
from infer.numerics.densities import Density
from infer.numerics.panels import nodes_and_weights
from infer.numerics.poisson import log_poisson, sample_poisson
from infer.parameters import Parameters
from infer.typing import AuxVector, Key, MainData, Scalar, Vector

_CELLS = 8192
"""Cells of the table from which toys are drawn; the density is linear within a cell."""


class Events(eqx.Module):
    """A weighted sample of fixed capacity: unused places have weight 0.

    Args:
        values: of the observable, with shape (N,), all within the range.
        weights: with shape (N,).
    """

    values: Values
    weights: Values


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
        ParameterError: an argument names an unknown parameter, two components share a name, or a
            density cannot be integrated at the start values with these panels.
        DataError: the range is empty, or the capacity not positive.
    """

    parameters: Parameters = eqx.field(static=True)
    constraints: ConstraintTerms
    mixture: Mixture
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
        self.mixture = compiled(parameters, components)
        edges = _checked_edges(np.linspace(low, high, panels + 1))
        require_resolved(self.mixture, components, parameters, edges, "more panels")
        self.edges = jnp.asarray(edges)
        self.capacity = capacity

    def log_main(self, theta: Vector, main: Events) -> Scalar:
        """``sum_i w_i log r(x_i) - sum_k N_k``; -inf where an event has no intensity."""
        rates = self.mixture.rates(theta, self._at(main.values))
        return weighted_logs(rates, main.weights) - jnp.sum(self.mixture.totals(theta))

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

    def cells(self, theta: Vector, main: Events) -> dict[str, Cells]:
        """Events in their order, and the intensity between neighbours.

        Panels and kinks part the cells further, so that those without closed form are integrated well.
        """
        kinks = jnp.clip(self.mixture.kinks(theta), self.edges[0], self.edges[-1])
        cuts = jnp.concatenate([main.values, self.edges, kinks])
        order = jnp.argsort(cuts)
        cuts = cuts[order]
        weights = jnp.concatenate([main.weights, jnp.zeros(cuts.shape[0] - main.weights.shape[0])])[order]

        def between(density: Density) -> Values:
            masses = density.masses(cuts)
            return masses / jnp.sum(masses)

        rates = self.mixture.rates(theta, between)
        inside, nothing = jnp.zeros_like(rates), jnp.zeros_like(weights)
        observed = jnp.stack([weights, jnp.append(inside, 0.0)], axis=1).ravel()[:-1]
        expected = jnp.stack([nothing, jnp.append(rates, 0.0)], axis=1).ravel()[:-1]
        return {"": Cells(observed, expected, continuous=True)}

    def counts(self, theta: Vector, main: Events) -> tuple[Counts, ...]:
        """One bin: all events, and the yields of the components."""
        observed = jnp.sum(main.weights, keepdims=True)
        return (Counts("", self.mixture.names, observed, self.mixture.totals(theta)[:, None], binned=False),)

    def curvature_main(self, theta: Vector, main: Events) -> Curvature:
        """The closed form of the module's docstring."""
        return self.mixture.curvature(theta, self._at(main.values), main.weights)

    def check_main(self, main: MainData) -> None:
        """Refuse events of different lengths, outside the range, or with weights that are not finite.

        Raises:
            DataError: naming the first fault.
        """
        places = np.zeros(max((np.size(leaf) for leaf in jax.tree.leaves(main)), default=0))
        check_leaves(main, Events(jnp.asarray(places), jnp.asarray(places)))
        self._require_inside(np.asarray(main.values))

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
        return Data(events, _nominal_aux(self))

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
        return lambda density: density.pdf(x, self.edges)


class Binned(Likelihood):
    """Binned extended likelihood: the integral of the intensity over each bin.

    Args:
        parameters: in the order of theta.
        components: of the intensity.
        edges: of the B bins, increasing, with shape (B + 1,); together they are the range.  Densities
            without closed form are integrated with 16 nodes per bin.

    Raises:
        ParameterError: an argument names an unknown parameter, two components share a name, or a
            density cannot be integrated at the start values with these bins.
        DataError: the edges do not increase.
    """

    parameters: Parameters = eqx.field(static=True)
    constraints: ConstraintTerms
    mixture: Mixture
    edges: Values

    def __init__(self, parameters: Parameters, components: Sequence[Component], *, edges: npt.ArrayLike) -> None:
        self.parameters = parameters
        self.constraints = constraint_terms(parameters)
        self.mixture = compiled(parameters, components)
        checked = _checked_edges(np.asarray(edges, dtype=float))
        require_resolved(self.mixture, components, parameters, checked, "narrower bins")
        self.edges = jnp.asarray(checked)

    def log_main(self, theta: Vector, main: Values) -> Scalar:
        """Poisson probability of the counts, factorials included; -inf where a bin cannot be filled."""
        rates = self.expected_main(theta)
        logs = weighted_logs(rates, main) - jnp.sum(gammaln(main + 1.0))
        return logs - jnp.sum(self.mixture.totals(theta))

    def expected_main(self, theta: Vector) -> Values:
        """Expected counts, with shape (B,)."""
        return self.mixture.rates(theta, self._probe)

    def sample_main(self, theta: Vector, key: Key) -> Values:
        """Poisson counts."""
        return sample_poisson(key, self.expected_main(theta))

    def log_saturated(self, main: Values) -> Scalar:
        """Poisson probability of the counts, each expected as it is (Baker & Cousins, NIM 221 (1984) 437)."""
        return jnp.sum(log_poisson(main, main))

    def cells(self, theta: Vector, main: Values) -> dict[str, Cells]:
        """Bins in their order."""
        return {"": Cells(main, self.expected_main(theta))}

    def counts(self, theta: Vector, main: Values) -> tuple[Counts, ...]:
        """Components of every bin."""
        return (Counts("", self.mixture.names, main, self.mixture.parts(theta, self._probe)),)

    def curvature_main(self, theta: Vector, main: Values) -> Curvature:
        """The closed form of the module's docstring."""
        part = self.mixture.curvature(theta, self._probe, main)
        return Curvature(part.value + jnp.sum(gammaln(main + 1.0)), part.gradient, part.hessian)

    def data(self, values: npt.ArrayLike) -> Data:
        """Observed data: counts of values by bin, auxiliary data at the start values.

        The last bin has both its edges; values outside all bins are left out.
        """
        counts, _ = np.histogram(np.asarray(values, dtype=float), np.asarray(self.edges))
        return Data(jnp.asarray(counts, dtype=float), _nominal_aux(self))

    def _probe(self, density: Density) -> Values:
        masses = density.masses(self.edges)
        return masses / jnp.sum(masses)


def room_for(events: float) -> int:
    """Capacity that a Poisson number of mean ``events`` exceeds with a probability below 1e-20."""
    return int(np.ceil(events + 10.0 * np.sqrt(events) + 20.0))


def _nominal_aux(likelihood: Likelihood) -> AuxVector:
    """The auxiliary data that the start values predict."""
    return eqx.filter_jit(likelihood.constraints.expected)(jnp.asarray(likelihood.parameters.init))


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
