r"""Events beside the fitted intensity: what a physicist looks at first.

The uncertainty of the intensity r(x; theta) at each x is, to first order in the parameters,

    V[r] = j C j^T,      j = d r / d theta,

with the covariance C of the best fit.  A record holds plain arrays: no likelihood, no JAX.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Float

from infer.errors import ParameterError
from infer.likelihood import Likelihood, Product, View
from infer.likelihoods.parametric.mixture import Mixture
from infer.likelihoods.parametric.model import Binned, Events, Unbinned
from infer.typing import MainData, Matrix, Vector

FloatArray = npt.NDArray[np.float64]

_POINTS = 600
"""Points at which curves are evaluated."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Observed events and the fitted intensity of one observable.

    Attributes:
        name: Of the component in a combination, else empty.
        edges: Of the bins in which events are shown, with shape (B + 1,).
        counts: Observed events by bin with shape (B,).
        expected: Expected events by bin with shape (B,).
        x: Where the curves are known, with shape (N,).
        components: Intensity of each component in events per unit of x, each with shape (N,).
        total: Their sum with shape (N,).
        total_uncertainty: Standard deviation of the sum with shape (N,).
        observable: What x is, for print.
        unit: Its unit, for print.
    """

    name: str
    edges: FloatArray
    counts: FloatArray
    expected: FloatArray
    x: FloatArray
    components: Mapping[str, FloatArray]
    total: FloatArray
    total_uncertainty: FloatArray
    observable: str = ""
    unit: str = ""


def spectra(
    likelihood: Likelihood,
    main: MainData,
    *,
    values: npt.ArrayLike,
    covariance: npt.ArrayLike,
    n_bins: int | None = None,
    names: Sequence[str] | None = None,
    observable: str = "",
    unit: str = "",
) -> tuple[Spectrum, ...]:
    """The spectrum of a parametric likelihood, or of each one inside a combination.

    Args:
        likelihood: A parametric likelihood, or a combination or other view of some; components of
            other kinds are passed over.
        main: The main data of the fit.
        values: Best fit with shape (P,).
        covariance: Its covariance with shape (P, P).
        n_bins: Bins of unbinned events; None takes one per 20 events, from 10 to 80.  Binned data keep theirs.
        names: Of the components of the intensity; None calls them after their densities.
        observable: What x is, for print.
        unit: Its unit, for print.

    Raises:
        ParameterError: The number of names is not that of the components.
    """
    theta, matrix = np.asarray(values, dtype=float), np.asarray(covariance, dtype=float)
    found = (
        _spectrum(leaf, theta[at], matrix[np.ix_(at, at)], data, path, n_bins, names)
        for path, leaf, at, data in _leaves(likelihood, np.arange(theta.size), main, ())
    )
    return tuple(replace(spectrum, observable=observable, unit=unit) for spectrum in found)


_Leaf = tuple[str, Unbinned | Binned, npt.NDArray[np.intp], MainData]


def _leaves(likelihood: Likelihood, at: npt.NDArray[np.intp], main: MainData, path: tuple[str, ...]) -> list[_Leaf]:
    """The parametric likelihoods inside one, with their parameters' positions and their main data."""
    if isinstance(likelihood, Unbinned | Binned):
        return [("/".join(path), likelihood, at, main)]
    hidden = likelihood.blinding is not None and likelihood.blinding.secret
    if isinstance(likelihood, View) and not hidden:
        return _leaves(likelihood.inner, at[np.asarray(likelihood.positions)], main, path)
    if not isinstance(likelihood, Product):
        return []
    parts = (
        _leaves(component, at[np.asarray(likelihood.positions[name])], main[name], (*path, name))
        for name, component in likelihood.components.items()
    )
    return [leaf for part in parts for leaf in part]


def _spectrum(
    likelihood: Unbinned | Binned,
    theta: FloatArray,
    covariance: FloatArray,
    main: Events | Float[Array, " b"],
    path: str,
    n_bins: int | None,
    names: Sequence[str] | None,
) -> Spectrum:
    edges, counts = _histogram(likelihood, main, n_bins)
    x = np.linspace(edges[0], edges[-1], _POINTS)
    arrays = jax.device_put((likelihood.edges, edges, x, theta, covariance))
    curves, sigma, expected = (np.asarray(a) for a in _evaluate(likelihood.mixture, *arrays))
    labels = _labels(likelihood.mixture, names)
    return Spectrum(
        name=path,
        edges=edges,
        counts=counts,
        expected=expected,
        x=x,
        components=dict(zip(labels, curves, strict=True)),
        total=np.asarray(np.sum(curves, axis=0)),
        total_uncertainty=sigma,
    )


def _histogram(
    likelihood: Unbinned | Binned, main: Events | Float[Array, " b"], n_bins: int | None
) -> tuple[FloatArray, FloatArray]:
    """Edges and counts: the bins of binned data, equal ones for events."""
    edges = np.asarray(likelihood.edges)
    if not isinstance(main, Events):
        return edges, np.asarray(main, dtype=float)
    weights = np.asarray(main.weights)
    bins = n_bins or int(np.clip(np.sum(weights) / 20.0, 10.0, 80.0))
    edges = np.linspace(edges[0], edges[-1], bins + 1)
    counts, _ = np.histogram(np.asarray(main.values), edges, weights=weights)
    return edges, counts.astype(float)


@eqx.filter_jit
def _evaluate(
    mixture: Mixture,
    normalisation: Float[Array, " e"],
    edges: Float[Array, " f"],
    x: Float[Array, " n"],
    theta: Vector,
    covariance: Matrix,
) -> tuple[Float[Array, "k n"], Float[Array, " n"], Float[Array, " b"]]:
    """Intensity of each component at x, the uncertainty of their sum, and the sum's events by bin."""

    def intensities(t: Vector) -> Float[Array, "k n"]:
        rows = []
        for component in mixture.components:
            v = component.arguments(t)
            density = component.shape(v[1:])
            rows.append(v[0] * jnp.exp(density.log_density(x)) / jnp.sum(density.masses(normalisation)))
        return jnp.stack(rows)

    def events() -> Float[Array, " b"]:
        total = jnp.zeros(edges.shape[0] - 1)
        for component in mixture.components:
            v = component.arguments(theta)
            density = component.shape(v[1:])
            total += v[0] * density.masses(edges) / jnp.sum(density.masses(normalisation))
        return total

    slopes = jax.jacfwd(lambda t: jnp.sum(intensities(t), axis=0))(theta)
    variance = jnp.einsum("np,pq,nq->n", slopes, covariance, slopes)
    return intensities(theta), jnp.sqrt(jnp.maximum(variance, 0.0)), events()


def _labels(mixture: Mixture, names: Sequence[str] | None) -> list[str]:
    """The given names, or those of the densities, numbered where they repeat."""
    if names is not None:
        if len(names) != len(mixture.components) or len(set(names)) < len(names):
            raise ParameterError(
                f"expected {len(mixture.components)} different names, one per component, got {list(names)}."
            )
        return list(names)
    kinds = [getattr(c.density, "__name__", "component") for c in mixture.components]
    return [k if kinds.count(k) == 1 else f"{k} {kinds[: i + 1].count(k)}" for i, k in enumerate(kinds)]
