"""The likelihood of measurements with Gaussian uncertainties, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from infer.constraints import ConstraintTerms, Curvature, MultivariateNormal, Normal
from infer.data import Data
from infer.errors import DataError, ParameterError
from infer.likelihood import Likelihood, constraint_terms
from infer.likelihoods.gaussian.names import require_distinct, require_members, require_some
from infer.numerics.covariance import cholesky, independent_blocks
from infer.parameters import Parameter, Parameters
from infer.typing import Key, Scalar, Vector

FloatArray = npt.NDArray[np.float64]
Values = Float[Array, " n"]
_LOG_TWO_PI = float(np.log(2.0 * np.pi))


class GaussianMeasurements(Likelihood):
    """Measurements of linear functions of the parameters, with Gaussian uncertainties.

    Main data: the measured values with shape (n,).  `combine_measurements` builds one from
    published numbers; this constructor takes the arrays.

    Args:
        parameters: observables and nuisances, with their constraints.
        jacobian: expected value per unit of each parameter, with shape (n, P): the design beside
            the shifts of the systematic sources.
        covariance: statistical covariance of the measurements, with shape (n, n).
        names: of the measurements.
        observables: the parameters that are measured, as opposed to nuisances.
        combinations: measurement names by the name of a partial combination.

    Raises:
        ParameterError: shapes do not fit, a name is repeated or unknown, a nuisance has no Normal
            or MultivariateNormal constraint, or the measurements leave an observable undetermined.
        InputError: the covariance is not symmetric and positive definite.
    """

    parameters: Parameters = eqx.field(static=True)
    constraints: ConstraintTerms
    jacobian: Float[Array, "n p"]
    covariance: Float[Array, "n n"]
    root: Float[Array, "n n"]
    names: tuple[str, ...] = eqx.field(static=True)
    observables: tuple[str, ...] = eqx.field(static=True)
    declared_combinations: tuple[tuple[str, tuple[str, ...]], ...] = eqx.field(static=True)

    def __init__(
        self,
        parameters: Parameters,
        jacobian: npt.ArrayLike,
        covariance: npt.ArrayLike,
        *,
        names: Sequence[str],
        observables: Sequence[str],
        combinations: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        J, C = np.asarray(jacobian, dtype=float), np.asarray(covariance, dtype=float)
        require_some(names, "the likelihood")
        _require_shapes(J, C, (len(names), len(parameters)))
        _require_gaussian(parameters, observables)
        require_distinct(names, "measurement")
        _require_determined(J[:, parameters.positions(observables)], observables)
        declared = {k: tuple(members) for k, members in (combinations or {}).items()}
        for label, members in declared.items():
            require_members(members, names, f"the combination {label!r}")
        self.parameters = parameters
        self.constraints = constraint_terms(parameters)
        self.jacobian = jnp.asarray(J)
        self.covariance = jnp.asarray(C)
        self.root = jnp.asarray(cholesky(C, "the statistical uncertainties"))
        self.names = tuple(names)
        self.observables = tuple(observables)
        self.declared_combinations = tuple(declared.items())

    @property
    def combinations(self) -> dict[str, tuple[str, ...]]:
        """Measurement names by the name of a partial combination."""
        return dict(self.declared_combinations)

    @property
    def nuisances(self) -> tuple[str, ...]:
        """The parameters that are not observables."""
        return tuple(name for name in self.parameters.names if name not in self.observables)

    def _pulls(self, theta: Vector, main: Values) -> Values:
        """Residuals in units in which their covariance is one."""
        return solve_triangular(self.root, main - self.jacobian @ theta, lower=True)

    def log_main(self, theta: Vector, main: Values) -> Scalar:
        """Multivariate normal density of the measured values (Cowan 1998, eq. 2.28)."""
        z = self._pulls(theta, main)
        return self.log_saturated(main) - 0.5 * z @ z

    def log_saturated(self, main: Values) -> Scalar:  # noqa: ARG002  # the same for all values
        """The density of values that are all as expected."""
        return -jnp.sum(jnp.log(jnp.diagonal(self.root))) - 0.5 * len(self.names) * _LOG_TWO_PI

    def expected_main(self, theta: Vector) -> Values:
        """Values that the parameters predict, with shape (n,)."""
        return self.jacobian @ theta

    def sample_main(self, theta: Vector, key: Key) -> Values:
        """One toy's values, with shape (n,)."""
        noise = jax.random.normal(key, (len(self.names),), dtype=theta.dtype)
        return self.jacobian @ theta + self.root @ noise

    def curvature_main(self, theta: Vector, main: Values) -> Curvature:
        """Closed form: with pulls z and A = L^-1 J, the gradient is -A'z and the Hessian A'A."""
        scaled = solve_triangular(self.root, self.jacobian, lower=True)
        value = -self.log_main(theta, main)
        return Curvature(value, -scaled.T @ self._pulls(theta, main), scaled.T @ scaled)

    def weights(self) -> Float[Array, "k n"]:
        """Weight of each measurement in the best fit, ``d theta_hat / d y``, of each observable.

        The implicit function theorem gives ``H^-1 J' C_stat^-1`` for all parameters, with H the
        Hessian of the full likelihood; here are the rows of the observables, in their order.  It
        is exact, since the likelihood is quadratic; bounds are taken not to bind.
        """
        scaled = solve_triangular(self.root, self.jacobian, lower=True)
        theta = jnp.asarray(self.parameters.init)
        terms = self.constraints.curvature(theta, self.constraints.expected(theta))
        free = np.flatnonzero(~self.parameters.fixed)
        hessian = (scaled.T @ scaled + terms.hessian)[np.ix_(free, free)]
        slope = solve_triangular(self.root, scaled, lower=True, trans=1).T[free]
        rows = jnp.zeros((len(theta), len(self.names))).at[free].set(jnp.linalg.solve(hessian, slope))
        return rows[self.parameters.positions(self.observables)]

    def covariances(self) -> dict[str, FloatArray]:
        """Covariance of the measurements by origin, with shape (n, n): "stat", then each group.

        Their sum is the total covariance: what a combination without nuisance parameters would use.
        """
        theta = jnp.asarray(self.parameters.init)
        every = np.asarray(self.constraints.aux_covariance(theta))
        J, parts = np.asarray(self.jacobian), {"stat": np.asarray(self.covariance)}
        for group in dict.fromkeys(self._group(name) for name in self.nuisances):
            names = [name for name in self.nuisances if self._group(name) == group]
            aux = [self.parameters.constrained.index(name) for name in names]
            shifts = J[:, self.parameters.positions(names)]
            parts[group] = shifts @ every[np.ix_(aux, aux)] @ shifts.T
        return parts

    def _group(self, name: str) -> str:
        return self.parameters[name].group or name

    def data(self, values: Mapping[str, float]) -> Data:
        """Data from the measured values by measurement, the auxiliary data at zero.

        Raises:
            DataError: a measurement is missing or unknown, or a value is not finite.
        """
        if set(values) != set(self.names):
            raise DataError(
                f"expected a value for each of {list(self.names)}, got {list(values)}; "
                "give one to each measurement by its name."
            )
        main = np.asarray([values[name] for name in self.names], dtype=float)
        if not np.all(np.isfinite(main)):
            worst = self.names[int(np.argmin(np.isfinite(main)))]
            raise DataError(
                f"expected finite values, got {values[worst]!r} for {worst!r}; correct the number, "
                "or leave the measurement out (subset)."
            )
        aux = self.constraints.expected(jnp.asarray(self.parameters.init))
        return Data(jnp.asarray(main), aux)

    def subset(self, data: Data, measurements: str | Sequence[str]) -> tuple[GaussianMeasurements, Data]:
        """The combination of some of the measurements, with its data.

        Nuisances that move none of them and observables that none of them measures are left out;
        the rest keep their names, so that combinations can be compared parameter by parameter.

        Args:
            data: of this likelihood.
            measurements: names of measurements, or the name of one of `combinations`.

        Raises:
            ParameterError: a name is unknown or given twice, or none is given.
        """
        members = self._members(measurements)
        rows = np.asarray([self.names.index(name) for name in members])
        J = np.asarray(self.jacobian)[rows]
        kept = [name for name, moves in zip(self.parameters, J.any(axis=0), strict=True) if moves]
        parameters = _restricted(self.parameters, kept)
        part = GaussianMeasurements(
            parameters,
            J[:, self.parameters.positions(kept)],
            np.asarray(self.covariance)[np.ix_(rows, rows)],
            names=members,
            observables=[name for name in self.observables if name in kept],
            combinations={k: m for k, m in self.combinations.items() if set(m) <= set(members)},
        )
        aux = [self.parameters.constrained.index(name) for name in parameters.constrained]
        return part, Data(data.main[rows], data.aux[np.asarray(aux, dtype=int)])

    def _members(self, measurements: str | Sequence[str]) -> tuple[str, ...]:
        if not isinstance(measurements, str):
            require_members(measurements, self.names, "the subset")
            return tuple(measurements)
        if measurements not in self.combinations:
            raise ParameterError(
                f"expected one of the combinations {list(self.combinations)}, got "
                f"{measurements!r}; give the measurements as a list of names instead."
            )
        return self.combinations[measurements]


def normal_constraints(labels: Sequence[str], R: FloatArray) -> list[Normal | MultivariateNormal]:
    """Normal constraints with covariance R, multivariate where labels are correlated."""
    result: list[Normal | MultivariateNormal]
    result = [Normal(float(np.sqrt(variance))) for variance in np.diagonal(R)]
    for block in independent_blocks(R):
        if len(block) > 1:
            rows = tuple(map(tuple, R[np.ix_(block, block)].tolist()))
            joint = MultivariateNormal(tuple(labels[i] for i in block), rows)
            for i in block:
                result[i] = joint
    return result


def _restricted(parameters: Parameters, kept: Sequence[str]) -> Parameters:
    """Some of the parameters, their multivariate constraints reduced to those that stay."""

    def reduced(parameter: Parameter) -> Parameter:
        joint = parameter.constraint
        if not isinstance(joint, MultivariateNormal):
            return parameter
        at = [i for i, name in enumerate(joint.names) if name in kept]
        R = np.asarray(joint.covariance)[np.ix_(at, at)]
        names = [joint.names[i] for i in at]
        constraint = normal_constraints(names, R)[names.index(parameter.name)]
        return Parameters((parameter,)).replace(parameter.name, constraint=constraint)[parameter.name]

    poi = parameters.poi if parameters.poi in kept else None
    return Parameters((reduced(parameters[name]) for name in kept), poi=poi)


def _require_shapes(J: FloatArray, C: FloatArray, shape: tuple[int, int]) -> None:
    if J.shape != shape or C.shape != (shape[0], shape[0]) or not np.all(np.isfinite(J)):
        raise ParameterError(
            f"expected a finite jacobian with shape {shape} and a covariance with shape "
            f"{(shape[0], shape[0])}, got {J.shape} and {C.shape}; give a row to each measurement "
            "and a column to each parameter."
        )


def _require_gaussian(parameters: Parameters, observables: Sequence[str]) -> None:
    """Check that the likelihood is quadratic, and every nuisance constrained."""
    for name, parameter in parameters.items():
        free = parameter.constraint is None
        if free and name in observables:
            continue
        if free or not isinstance(parameter.constraint, Normal | MultivariateNormal):
            raise ParameterError(
                f"expected a Normal or MultivariateNormal constraint on {name!r}, got "
                f"{parameter.constraint!r}; name it among the observables if it is measured here."
            )


def _require_determined(design: FloatArray, observables: Sequence[str]) -> None:
    """Check that the measurements, with shape (n, k), determine all k observables."""
    lengths = np.linalg.norm(design, axis=0)
    for name, length in zip(observables, lengths, strict=True):
        if length == 0.0:
            raise ParameterError(f"expected a measurement of {name!r}, got none; add one, or remove the observable.")
    if np.linalg.matrix_rank(design / lengths) < len(observables):
        raise ParameterError(
            f"expected the measurements to determine {list(observables)}, got only "
            f"{np.linalg.matrix_rank(design)} independent combinations of them; add measurements, "
            "or remove observables."
        )
