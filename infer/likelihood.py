"""Likelihoods that hold likelihoods, beside the contract itself.

Wrappers change how a likelihood takes part in an analysis, never the likelihood itself:
`Product` combines, `Renamed` renames, `Correlated` ties parameters together, `Fixed` freezes them,
`Redeclared` replaces their constraints, start values or bounds.
Each has a method ``data`` that carries data of the wrapped likelihood over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from infer.certificate import Blinding
from infer.constraints import ConstraintTerms, Curvature, GammaVariance, MultivariateNormal, Normal
from infer.contract import Likelihood, check_data, constraint_terms
from infer.data import Cells, Counts, Data, check_aux_shape
from infer.errors import DataError, ParameterError
from infer.parameters import Parameter, Parameters, merged_as_one, partly_correlated, unique_positions
from infer.typing import Index, Key, MainData, Scalar, Vector

__all__ = [
    "Correlated",
    "Fixed",
    "Likelihood",
    "Product",
    "Redeclared",
    "Renamed",
    "View",
    "check_data",
    "components_of",
    "constraint_terms",
]

_DIRECT = (Normal, MultivariateNormal, GammaVariance)  # their auxiliary datum is a value of the parameter


def components_of(likelihood: Likelihood) -> tuple[str, ...]:
    """Names of the parts of a combination, wrapped or not; empty for any other likelihood."""
    while isinstance(likelihood, View):
        likelihood = likelihood.inner
    return tuple(likelihood.components) if isinstance(likelihood, Product) else ()


class Product(Likelihood):
    """Combination of independent likelihoods that share parameters by name.

    >>> both = Product(cms=first, atlas=second)
    >>> data = both.data(cms=first_data, atlas=second_data)

    Parameters are the union of the components' parameters; a shared constraint is counted once.

    Raises:
        ParameterError: two components declare one parameter in different ways.
    """

    parameters: Parameters = eqx.field(static=True)
    constraints: ConstraintTerms
    components: dict[str, Likelihood]
    positions: dict[str, Index]

    def __init__(self, **components: Likelihood) -> None:
        if not components:
            raise ParameterError("a Product needs at least one likelihood, given by name.")
        self.components = components
        self.parameters = Parameters(()).union(*(c.parameters for c in components.values()))
        self.constraints = constraint_terms(self.parameters)
        self.positions = {
            name: jnp.asarray(self.parameters.positions(c.parameters.names), dtype=int)
            for name, c in components.items()
        }

    @property
    def blinding(self) -> Blinding | None:
        """That of the first component that has one."""
        return next((c.blinding for c in self.components.values() if c.blinding is not None), None)

    def log_main(self, theta: Vector, main: MainData) -> Scalar:
        """Sum over components."""
        parts = (c.log_main(theta[self.positions[k]], main[k]) for k, c in self.components.items())
        return jnp.sum(jnp.stack(list(parts)))

    def expected_main(self, theta: Vector) -> MainData:
        """Asimov main data by component."""
        return {k: c.expected_main(theta[self.positions[k]]) for k, c in self.components.items()}

    def sample_main(self, theta: Vector, key: Key) -> MainData:
        """One toy's main data by component; keys follow the sorted component names."""
        names = sorted(self.components)
        keys = dict(zip(names, jax.random.split(key, len(names)), strict=True))
        return {k: c.sample_main(theta[self.positions[k]], keys[k]) for k, c in self.components.items()}

    def curvature_main(self, theta: Vector, main: MainData) -> Curvature:
        """Sum of the components' closed forms, each in its own block."""
        size = theta.shape[0]
        total = Curvature(jnp.zeros(()), jnp.zeros(size), jnp.zeros((size, size)))
        for name, component in self.components.items():
            at = self.positions[name]
            part = component.curvature_main(theta[at], main[name])
            total = Curvature(
                total.value + part.value,
                total.gradient.at[at].add(part.gradient),
                total.hessian.at[at[:, None], at[None, :]].add(part.hessian),
            )
        return total

    def log_saturated(self, main: MainData) -> Scalar:
        """Sum over components."""
        return jnp.sum(jnp.stack([c.log_saturated(main[k]) for k, c in self.components.items()]))

    def cells(self, theta: Vector, main: MainData) -> dict[str, Cells]:
        """Those of the components, with the component's name."""
        parts = {k: c.cells(theta[self.positions[k]], main[k]) for k, c in self.components.items()}
        return {f"{k}/{name}" if name else k: one for k, found in parts.items() for name, one in found.items()}

    def counts(self, theta: Vector, main: MainData) -> tuple[Counts, ...]:
        """Those of the components, with the component's name."""
        parts = {k: c.counts(theta[self.positions[k]], main[k]) for k, c in self.components.items()}
        return tuple(one.within(k) for k, found in parts.items() for one in found)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Those of the components, with the component's name."""
        return tuple(f"{k}: {r}" for k, c in self.components.items() for r in c.remarks)

    def remarks_at(self, theta: Vector, main: MainData) -> tuple[str, ...]:
        """Those of the components, with the component's name."""
        parts = {k: c.remarks_at(theta[self.positions[k]], main[k]) for k, c in self.components.items()}
        return tuple(f"{k}: {remark}" for k, remarks in parts.items() for remark in remarks)

    def check_main(self, main: MainData) -> None:
        """Each component checks its own.

        Raises:
            DataError: components are missing or unknown, or one refuses its main data.
        """
        if not isinstance(main, Mapping) or set(main) != set(self.components):
            got = sorted(main) if isinstance(main, Mapping) else type(main).__name__
            raise DataError(f"expected main data for {sorted(self.components)}, got {got}.")
        for name, component in self.components.items():
            try:
                component.check_main(main[name])
            except DataError as error:
                raise DataError(f"component {name!r}: {error}") from None

    def data(self, **components: Data) -> Data:
        """Data of the combination from the components' data.

        Raises:
            DataError: names differ from the components', or components disagree on a shared
                auxiliary datum.
        """
        if set(components) != set(self.components):
            raise DataError(f"expected data for {sorted(self.components)}, got {sorted(components)}.")
        aux: dict[str, float] = {}
        for name, component in self.components.items():
            check_aux_shape(component.parameters, components[name].aux)
            values = np.asarray(components[name].aux, dtype=float).tolist()
            for parameter, value in zip(component.parameters.constrained, values, strict=True):
                known = aux.setdefault(parameter, value)
                if known != value:
                    raise DataError(
                        f"the auxiliary datum of shared parameter {parameter!r} is {known:g} in one "
                        f"component and {value:g} in {name!r}; it is one measurement: make them "
                        "equal, or rename one of the parameters (Renamed)."
                    )
        ordered = [aux[parameter] for parameter in self.parameters.constrained]
        main = {name: components[name].main for name in self.components}
        return Data(main, jnp.asarray(ordered, dtype=float))


class View(Likelihood):
    """A likelihood seen through a gather of parameters: inner theta = theta[positions]."""

    parameters: Parameters = eqx.field(static=True)
    constraints: ConstraintTerms
    inner: Likelihood
    positions: Index

    @property
    def blinding(self) -> Blinding | None:
        """As the wrapped likelihood."""
        return self.inner.blinding

    def inside(self, theta: Vector) -> Float[Array, " q"]:
        """Parameters of the wrapped likelihood."""
        return theta[self.positions]

    def log_main(self, theta: Vector, main: MainData) -> Scalar:
        """As the wrapped likelihood."""
        return self.inner.log_main(self.inside(theta), main)

    def expected_main(self, theta: Vector) -> MainData:
        """As the wrapped likelihood."""
        return self.inner.expected_main(self.inside(theta))

    def sample_main(self, theta: Vector, key: Key) -> MainData:
        """As the wrapped likelihood."""
        return self.inner.sample_main(self.inside(theta), key)

    def curvature_main(self, theta: Vector, main: MainData) -> Curvature:
        """The wrapped likelihood's closed form, added up where parameters are tied."""
        at, size = self.positions, theta.shape[0]
        part = self.inner.curvature_main(self.inside(theta), main)
        return Curvature(
            part.value,
            jnp.zeros(size).at[at].add(part.gradient),
            jnp.zeros((size, size)).at[at[:, None], at[None, :]].add(part.hessian),
        )

    def log_saturated(self, main: MainData) -> Scalar:
        """As the wrapped likelihood."""
        return self.inner.log_saturated(main)

    def cells(self, theta: Vector, main: MainData) -> dict[str, Cells]:
        """As the wrapped likelihood."""
        return self.inner.cells(self.inside(theta), main)

    def counts(self, theta: Vector, main: MainData) -> tuple[Counts, ...]:
        """As the wrapped likelihood."""
        return self.inner.counts(self.inside(theta), main)

    @property
    def remarks(self) -> tuple[str, ...]:
        """As the wrapped likelihood."""
        return self.inner.remarks

    def remarks_at(self, theta: Vector, main: MainData) -> tuple[str, ...]:
        """As the wrapped likelihood."""
        return self.inner.remarks_at(self.inside(theta), main)

    def check_main(self, main: MainData) -> None:
        """As the wrapped likelihood."""
        self.inner.check_main(main)

    def _see(self, inner: Likelihood, parameters: Parameters, positions: Sequence[int]) -> None:
        self.inner = inner
        self.parameters = parameters
        self.constraints = constraint_terms(parameters)
        self.positions = jnp.asarray(positions, dtype=int)


class Renamed(View):
    """The same likelihood with other parameter names, e.g. to share or unshare them in a `Product`.

    Raises:
        ParameterError: an old name is unknown, or two parameters would end up with one name
            (tie parameters together with `Correlated`).
    """

    def __init__(self, likelihood: Likelihood, names: Mapping[str, str]) -> None:
        parameters = likelihood.parameters.renamed(names)
        self._see(likelihood, parameters, range(len(parameters)))

    def data(self, data: Data) -> Data:
        """Data of the renamed likelihood: the same numbers."""
        return data


class Fixed(View):
    """The same likelihood with some parameters held at given values in every fit.

    Raises:
        ParameterError: a name is unknown, or a value lies outside its bounds.
    """

    def __init__(self, likelihood: Likelihood, values: Mapping[str, float]) -> None:
        parameters = likelihood.parameters
        for name, value in values.items():
            parameters = parameters.replace(name, init=float(value), fixed=True)
        self._see(likelihood, parameters, range(len(parameters)))

    def data(self, data: Data) -> Data:
        """Data of the likelihood with frozen parameters: the same numbers."""
        return data


class Redeclared(View):
    """The same likelihood with other declarations of some parameters: constraint, start value, bounds, group.

    A parameter keeps its auxiliary datum, so that a constraint can only be replaced by one of which the datum
    says the same: among `Normal`, `MultivariateNormal` and `GammaVariance`.

    Args:
        likelihood: the likelihood.
        declared: the new declarations, under the parameters' own names.
        poi: parameter of interest to declare; None keeps the one that is declared.

    Raises:
        ParameterError: a name is unknown, or a constraint comes, goes, or changes the meaning of its datum.
    """

    def __init__(self, likelihood: Likelihood, declared: Iterable[Parameter], *, poi: str | None = None) -> None:
        known, new = likelihood.parameters, {p.name: p for p in declared}
        for name, parameter in new.items():
            before, after = known[name].constraint, parameter.constraint
            if before != after and not (isinstance(before, _DIRECT) and isinstance(after, _DIRECT)):
                raise ParameterError(
                    f"the constraint of {name!r} is {before!r} and cannot become {after!r}: only Normal, "
                    "MultivariateNormal and GammaVariance constraints can replace each other."
                )
        parameters = Parameters((new.get(n, p) for n, p in known.items()), poi=poi or known.poi)
        self._see(likelihood, parameters, range(len(parameters)))

    def data(self, data: Data) -> Data:
        """Data of the redeclared likelihood: the same numbers."""
        return data


class Correlated(View):
    """The same likelihood with parameters correlated that it declares as independent.

    ``rho = 1`` makes the named parameters one, under the first name.  With ``|rho| < 1`` each stays,
    and their Normal constraints become one multivariate normal with correlation ``rho`` between
    every two of them.

    Raises:
        ParameterError: names unknown or repeated, declarations that differ where they become one,
            constraints other than Normal, or a ``rho`` that gives no valid correlation matrix.
    """

    kept_aux: Index

    def __init__(self, likelihood: Likelihood, names: Sequence[str], *, rho: float = 1.0) -> None:
        parameters = likelihood.parameters
        at = unique_positions(parameters, names)
        if len(at) < 2:
            raise ParameterError(f"expected two or more parameters to correlate, got {list(names)}.")
        if rho == 1.0:
            merged, positions = merged_as_one(parameters, names)
        else:
            merged, positions = partly_correlated(parameters, names, rho), list(range(len(parameters)))
        self._see(likelihood, merged, positions)
        kept = [i for i, n in enumerate(parameters.constrained) if n in merged]
        self.kept_aux = jnp.asarray(kept, dtype=int)

    def data(self, data: Data) -> Data:
        """Data with one auxiliary datum per remaining parameter.

        Raises:
            DataError: parameters that became one were measured to different values.
        """
        check_aux_shape(self.inner.parameters, data.aux)
        names = self.inner.parameters.names
        constrained = self.inner.parameters.constrained
        values = np.asarray(data.aux, dtype=float)
        seen: dict[int, float] = {}
        for name, value in zip(constrained, values.tolist(), strict=True):
            target = int(self.positions[names.index(name)])
            if seen.setdefault(target, value) != value:
                raise DataError(
                    f"the auxiliary datum of {name!r} is {value:g}, but that of "
                    f"{self.parameters.names[target]!r}, which it became one with, is "
                    f"{seen[target]:g}; fully correlated parameters are measured once."
                )
        return Data(data.main, data.aux[self.kept_aux])
