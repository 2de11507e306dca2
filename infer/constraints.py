"""Constraint terms: what auxiliary measurements say about parameters, each counted exactly once.

A constraint term is the probability of one auxiliary datum ``a`` (a global observable) given the
parameter ``theta`` it measures:

=====================  ==================================  =======================
declaration            ``f(a | theta)``                     Asimov value of ``a``
=====================  ==================================  =======================
`Normal`               N(a; theta, width)                   theta
`Poisson`              Poisson(a; scale * theta)            scale * theta
`LogNormal`            N(ln a; ln theta, ln kappa) / a      theta
`MultivariateNormal`   N(a_1..k; theta_1..k, covariance)    theta_1..k
`GammaVariance`        Student's t of (a - theta) / width   theta
=====================  ==================================  =======================

`ConstraintTerms` holds the same numbers as arrays and evaluates them all at once, with closed-form
derivatives.  It lives apart from the main likelihood so that a combination can count a shared
parameter's term once.

References: Cranmer et al., HistFactory, CERN-OPEN-2012-016, section 4.1 (Normal, Poisson, log-normal
terms); Cowan, Statistical Data Analysis (1998), eq. 2.28 (multivariate normal); `infer.numerics.gamma_variance`
(errors on errors).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Float, Int

from infer.errors import ParameterError
from infer.numerics import gamma_variance
from infer.numerics.poisson import log_poisson, sample_poisson
from infer.typing import AuxVector, Key, Mask, Matrix, Scalar, Vector

_LOG_TWO_PI = float(np.log(2.0 * np.pi))


def _require_positive(value: float, what: str) -> None:
    if not (np.isfinite(value) and value > 0.0):
        raise ParameterError(f"{what} must be a positive finite number, got {value!r}.")


@dataclass(frozen=True)
class Normal:
    """``a ~ N(theta, width)``, the width in units of the parameter."""

    width: float

    def __post_init__(self) -> None:
        _require_positive(self.width, "the width of a Normal constraint")

    def uncertainty(self, value: float) -> float:  # noqa: ARG002  # one signature for every kind
        """Standard deviation that the auxiliary datum alone gives the parameter."""
        return self.width


@dataclass(frozen=True)
class Poisson:
    """``a ~ Poisson(scale * theta)``: an auxiliary count whose mean is ``scale`` at ``theta = 1``."""

    scale: float

    def __post_init__(self) -> None:
        _require_positive(self.scale, "the scale of a Poisson constraint")

    def uncertainty(self, value: float) -> float:
        """Standard deviation that the auxiliary datum alone gives the parameter."""
        return float(np.sqrt(max(value, 0.0) / self.scale))


@dataclass(frozen=True)
class LogNormal:
    """``ln a ~ N(ln theta, ln kappa)``: a factor known within ``kappa`` up or down."""

    kappa: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.kappa) and self.kappa > 1.0):
            raise ParameterError(
                f"the kappa of a LogNormal constraint must exceed 1, got {self.kappa!r}; "
                "write a 10 % uncertainty as 1.1."
            )

    def uncertainty(self, value: float) -> float:
        """Standard deviation that the auxiliary datum alone gives the parameter."""
        return float(value * np.log(self.kappa))


@dataclass(frozen=True)
class MultivariateNormal:
    """``a_1..k ~ N(theta_1..k, covariance)``: one constraint declared by each of its parameters.

    Args:
        names: the k parameters, in the order of the covariance's rows.
        covariance: k rows of k numbers, symmetric and positive definite.

    Raises:
        ParameterError: a name occurs twice, or the covariance is not a k by k symmetric positive
            definite matrix.
    """

    names: tuple[str, ...]
    covariance: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        matrix, k = np.asarray(self.covariance, dtype=float), len(self.names)
        what = f"the covariance of the MultivariateNormal constraint on {', '.join(self.names)}"
        if len(set(self.names)) < k:
            raise ParameterError(f"{what} must name each parameter once.")
        if matrix.shape != (k, k):
            raise ParameterError(f"{what} must be {k} by {k}, got shape {matrix.shape}.")
        if not (np.all(np.isfinite(matrix)) and np.all(np.diagonal(matrix) > 0.0)):
            raise ParameterError(f"{what} must be finite, with positive variances.")
        correlation = _correlation(matrix)
        if not np.allclose(correlation, correlation.T, rtol=0.0, atol=1e-10):
            raise ParameterError(f"{what} must be symmetric.")
        if np.linalg.eigvalsh(correlation)[0] <= k * np.finfo(float).eps:
            raise ParameterError(f"{what} must be positive definite; fully correlated parameters are one parameter.")

    def uncertainty_of(self, name: str) -> float:
        """Standard deviation that the auxiliary data alone give one of the parameters."""
        position = self.names.index(name)
        return float(np.sqrt(self.covariance[position][position]))


@dataclass(frozen=True)
class GammaVariance:
    """``a ~ N(theta, sigma)`` with an estimated sigma: ``width``, itself uncertain by a fraction ``epsilon``.

    Profiled over sigma this is Student's t (`infer.numerics.gamma_variance`).  Toys draw ``a`` from it and leave
    the estimate ``width`` as it is: ``(a - theta) / width`` is then distributed as in the model in which the
    estimate fluctuates too, but the widths of toys, and with them the lengths of intervals, do not vary.

    Args:
        width: estimate of sigma, in units of the parameter.
        epsilon: relative standard deviation of that estimate, from 1e-6 to 1.
    """

    width: float
    epsilon: float

    def __post_init__(self) -> None:
        _require_positive(self.width, "the width of a GammaVariance constraint")
        if not 1e-6 <= self.epsilon <= 1.0:
            raise ParameterError(
                f"the epsilon of a GammaVariance constraint must lie between 1e-6 and 1, got {self.epsilon!r}; "
                "write 30 % as 0.3, and take a Normal constraint where the width is exact."
            )

    @property
    def dof(self) -> float:
        """Degrees of freedom of Student's t."""
        return gamma_variance.degrees_of_freedom(self.epsilon)

    @property
    def log_norm(self) -> float:
        """Log-density at the centre."""
        return gamma_variance.log_norm(self.width, self.dof)

    def uncertainty(self, value: float) -> float:  # noqa: ARG002  # one signature for every kind
        """Estimated standard deviation of the auxiliary datum."""
        return self.width


Constraint: TypeAlias = Normal | Poisson | LogNormal | MultivariateNormal | GammaVariance


def _correlation(covariance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Correlation matrix: what decides on definiteness, whatever the units of the parameters."""
    width = np.sqrt(np.diagonal(covariance))
    return np.asarray(covariance / np.outer(width, width), dtype=float)


class Curvature(eqx.Module):
    """Value, gradient with shape (P,) and Hessian with shape (P, P) of a negative log-likelihood."""

    value: Scalar
    gradient: Vector
    hessian: Matrix

    def __add__(self, other: Curvature) -> Curvature:
        return Curvature(
            self.value + other.value,
            self.gradient + other.gradient,
            self.hessian + other.hessian,
        )


class _Scalars(eqx.Module):
    """Terms of one kind: parameter positions, positions in the auxiliary vector, and widths."""

    at: Int[Array, " k"]
    aux: Int[Array, " k"]
    width: Float[Array, " k"]


class _Students(eqx.Module):
    """Gamma-variance terms, which are Student's t."""

    at: Int[Array, " k"]
    aux: Int[Array, " k"]
    width: Float[Array, " k"]
    dof: Float[Array, " k"]
    log_norm: Float[Array, " k"]


class _Block(eqx.Module):
    """One multivariate normal term."""

    at: Int[Array, " k"]
    aux: Int[Array, " k"]
    covariance: Float[Array, "k k"]
    precision: Float[Array, "k k"]
    log_norm: Float[Array, ""]


class ConstraintTerms(eqx.Module):
    """All constraint terms of a likelihood as arrays; ``aux`` has one entry per constrained parameter.

    The auxiliary vector follows the order of the constrained parameters.  Outside its support — a
    negative mean or count, a log-normal factor that is not positive — a term's ``logpdf`` is -inf,
    never NaN, and its derivatives mean nothing.
    """

    normal: _Scalars
    poisson: _Scalars
    lognormal: _Scalars
    blocks: tuple[_Block, ...]
    student: _Students

    @classmethod
    def build(cls, names: Sequence[str], declared: Sequence[Constraint | None]) -> ConstraintTerms:
        """Collect the terms declared by parameters ``names``, in the same order.

        Raises:
            ParameterError: a multivariate term names a parameter that does not declare it.
        """
        constrained = [i for i, c in enumerate(declared) if c is not None]
        aux_of = {i: k for k, i in enumerate(constrained)}

        def columns(kind: type, *numbers: str) -> list[Array]:
            at = [i for i in constrained if isinstance(declared[i], kind)]
            places = [jnp.asarray(at, dtype=int), jnp.asarray([aux_of[i] for i in at], dtype=int)]
            return places + [jnp.asarray([getattr(declared[i], x) for i in at], dtype=float) for x in numbers]

        return cls(
            _Scalars(*columns(Normal, "width")),
            _Scalars(*columns(Poisson, "scale")),
            _Scalars(*columns(LogNormal, "kappa")),
            _blocks(names, declared, aux_of),
            _Students(*columns(GammaVariance, "width", "dof", "log_norm")),
        )

    @property
    def size(self) -> int:
        """Number of auxiliary data."""
        scalars = (self.normal, self.poisson, self.lognormal, self.student)
        return sum(t.at.shape[0] for t in scalars) + sum(b.at.shape[0] for b in self.blocks)

    def logpdf(self, theta: Vector, aux: AuxVector) -> Scalar:
        """Log-probability of the auxiliary data, normalisation constants included (as pyhf does)."""
        n, p, g = self.normal, self.poisson, self.lognormal
        pull = (aux[n.aux] - theta[n.at]) / n.width
        total = -0.5 * jnp.sum(pull**2) - jnp.sum(jnp.log(n.width) + 0.5 * _LOG_TWO_PI)
        counts, rate = aux[p.aux], p.width * theta[p.at]
        total += jnp.sum(log_poisson(counts, rate))
        total += jnp.sum(_log_lognormal(aux[g.aux], theta[g.at], jnp.log(g.width)))
        for block in self.blocks:
            residual = aux[block.aux] - theta[block.at]
            total += block.log_norm - 0.5 * residual @ block.precision @ residual
        t = self.student
        return total + jnp.sum(t.log_norm + gamma_variance.log_ratio(theta[t.at] - aux[t.aux], t.width, t.dof))

    def curvature(self, theta: Vector, aux: AuxVector) -> Curvature:
        """Value, gradient and Hessian of ``-logpdf`` in closed form."""
        n, p, g = self.normal, self.poisson, self.lognormal
        gradient, diagonal = jnp.zeros_like(theta), jnp.zeros_like(theta)
        gradient = gradient.at[n.at].add((theta[n.at] - aux[n.aux]) / n.width**2)
        diagonal = diagonal.at[n.at].add(1.0 / n.width**2)
        counts, mean = aux[p.aux], _where_counts(aux[p.aux], theta[p.at])
        gradient = gradient.at[p.at].add(p.width - counts / mean)
        diagonal = diagonal.at[p.at].add(counts / mean**2)
        factor, variance = _where_positive(theta[g.at]), jnp.log(g.width) ** 2
        log_ratio = jnp.log(factor) - jnp.log(_where_positive(aux[g.aux]))
        gradient = gradient.at[g.at].add(log_ratio / (variance * factor))
        diagonal = diagonal.at[g.at].add((1.0 - log_ratio) / (variance * factor**2))
        t = self.student
        slope, second = gamma_variance.derivatives(theta[t.at] - aux[t.aux], t.width, t.dof)
        gradient, diagonal = gradient.at[t.at].add(slope), diagonal.at[t.at].add(second)
        hessian = jnp.diag(diagonal)
        for b in self.blocks:
            gradient = gradient.at[b.at].add(b.precision @ (theta[b.at] - aux[b.aux]))
            hessian = hessian.at[b.at[:, None], b.at[None, :]].add(b.precision)
        return Curvature(-self.logpdf(theta, aux), gradient, hessian)

    def expected(self, theta: Vector) -> AuxVector:
        """Asimov auxiliary data, with shape (A,)."""
        aux = jnp.zeros(self.size, dtype=theta.dtype)
        direct: tuple[_Scalars | _Block | _Students, ...] = (self.normal, self.lognormal, self.student, *self.blocks)
        for terms in direct:
            aux = aux.at[terms.aux].set(theta[terms.at])
        return aux.at[self.poisson.aux].set(self.poisson.width * theta[self.poisson.at])

    def sample(self, theta: Vector, key: Key) -> AuxVector:
        """One toy's auxiliary data, with shape (A,)."""
        n, p, g = self.normal, self.poisson, self.lognormal
        normal_key, count_key = jax.random.split(key)
        noise = jax.random.normal(normal_key, (self.size,), dtype=theta.dtype)
        aux = jnp.zeros(self.size, dtype=theta.dtype)
        aux = aux.at[n.aux].set(theta[n.at] + n.width * noise[n.aux])
        aux = aux.at[g.aux].set(theta[g.at] * g.width ** noise[g.aux])
        for b in self.blocks:
            root = jnp.linalg.cholesky(b.covariance)
            aux = aux.at[b.aux].set(theta[b.at] + root @ noise[b.aux])
        t = self.student
        if t.at.shape[0]:
            aux = aux.at[t.aux].set(theta[t.at] + t.width * _student_noise(count_key, t.dof))
        if p.at.shape[0]:  # sampling counts is slow to compile
            aux = aux.at[p.aux].set(sample_poisson(count_key, p.width * theta[p.at]))
        return aux

    def draw(self, theta: Vector, aux: AuxVector, key: Key) -> Vector:
        """``theta`` with every constrained parameter drawn from what its auxiliary datum says of it.

        That is the constraint read as a density of the parameter, a posterior under a flat prior:
        Gamma(a + 1, scale) for counts, flat in the logarithm for log-normal terms.
        """
        n, p, g = self.normal, self.poisson, self.lognormal
        normal_key, count_key = jax.random.split(key)
        noise = jax.random.normal(normal_key, (self.size,), dtype=theta.dtype)
        theta = theta.at[n.at].set(aux[n.aux] + n.width * noise[n.aux])
        theta = theta.at[g.at].set(aux[g.aux] * g.width ** noise[g.aux])
        for b in self.blocks:
            theta = theta.at[b.at].set(aux[b.aux] + jnp.linalg.cholesky(b.covariance) @ noise[b.aux])
        t = self.student
        if t.at.shape[0]:
            theta = theta.at[t.at].set(aux[t.aux] + t.width * _student_noise(count_key, t.dof))
        if p.at.shape[0]:
            theta = theta.at[p.at].set(jax.random.gamma(count_key, aux[p.aux] + 1.0) / p.width)
        return theta

    def own_best(self, theta: Vector, aux: AuxVector, free: Mask) -> Vector:
        """``theta`` with the free constrained parameters where the auxiliary data alone put them.

        There the terms are largest.  Of a multivariate term some of whose parameters are held at a residual r,
        the others take the residual that minimises ``r' precision r``.

        Args:
            theta: Parameters with shape (P,).
            aux: Auxiliary data with shape (A,).
            free: Which parameters are not held, with shape (P,).
        """
        n, p, g = self.normal, self.poisson, self.lognormal
        best = theta.at[n.at].set(aux[n.aux]).at[g.at].set(aux[g.aux]).at[p.at].set(aux[p.aux] / p.width)
        best = best.at[self.student.at].set(aux[self.student.aux])
        for b in self.blocks:
            moves = free[b.at]
            held = jnp.where(moves, 0.0, aux[b.aux] - theta[b.at])
            among = jnp.where(moves[:, None] & moves[None, :], b.precision, jnp.eye(moves.shape[0]))
            shift = jnp.linalg.solve(among, jnp.where(moves, b.precision @ held, 0.0))
            best = best.at[b.at].set(aux[b.aux] + shift)
        return jnp.where(free, best, theta)

    def score_derivative(self, theta: Vector) -> Float[Array, "p a"]:
        """``d2(-logpdf) / d theta d a`` with shape (P, A); for log-normal terms, ``a`` means ln a.

        Zero where the mean of a count or factor is not positive: a parameter that was left there is
        at a bound, and does not respond to data.  For gamma-variance terms, that at the Asimov data.
        """
        n, p, g = self.normal, self.poisson, self.lognormal
        cross = jnp.zeros((theta.shape[0], self.size), dtype=theta.dtype)
        cross = cross.at[n.at, n.aux].set(-1.0 / n.width**2)
        cross = cross.at[p.at, p.aux].set(-_inverse_inside(theta[p.at]))
        cross = cross.at[g.at, g.aux].set(-_inverse_inside(theta[g.at]) / jnp.log(g.width) ** 2)
        for b in self.blocks:
            cross = cross.at[b.at[:, None], b.aux[None, :]].set(-b.precision)
        t = self.student
        return cross.at[t.at, t.aux].set(-(1.0 + 1.0 / t.dof) / t.width**2)

    def aux_covariance(self, theta: Vector) -> Float[Array, "a a"]:
        """Covariance of the auxiliary data with shape (A, A); for log-normal terms, of ln a.

        For gamma-variance terms, the estimated variance of a, without the fluctuations of that estimate.
        """
        n, p, g = self.normal, self.poisson, self.lognormal
        variance = jnp.zeros(self.size, dtype=theta.dtype)
        variance = variance.at[n.aux].set(n.width**2).at[self.student.aux].set(self.student.width**2)
        variance = variance.at[p.aux].set(p.width * theta[p.at])
        variance = variance.at[g.aux].set(jnp.log(g.width) ** 2)
        covariance = jnp.diag(variance)
        for b in self.blocks:
            covariance = covariance.at[b.aux[:, None], b.aux[None, :]].set(b.covariance)
        return covariance

    def shifted(self, theta: Vector, aux: AuxVector, k: int, pull: float) -> AuxVector:
        """``aux`` with entry ``k`` moved by ``pull`` of its own standard deviations.

        A log-normal datum is multiplied, and a count stops at zero.
        """
        step = pull * jnp.sqrt(jnp.diagonal(self.aux_covariance(theta))[k])
        return self.moved(aux, jnp.zeros_like(aux).at[k].set(step))

    def moved(self, aux: AuxVector, move: AuxVector) -> AuxVector:
        """``aux`` plus ``move``, both with shape (A,), in the units of `aux_covariance`.

        A log-normal datum is multiplied, and a count stops at zero.
        """
        log, count = self.lognormal.aux, self.poisson.aux
        out = (aux + move).at[log].set(aux[log] * jnp.exp(move[log]))
        return out.at[count].set(jnp.maximum(out[count], 0.0))


def _student_noise(key: Key, dof: Float[Array, " k"]) -> Float[Array, " k"]:
    """Student's t, from a key of its own."""
    return jax.random.t(jax.random.fold_in(key, 1), dof, dof.shape, dtype=dof.dtype)


def _where_positive(x: Float[Array, " k"]) -> Float[Array, " k"]:
    """``x`` where it is positive, 1 elsewhere: what may stand in a logarithm."""
    return jnp.where(x > 0.0, x, 1.0)


def _inverse_inside(x: Float[Array, " k"]) -> Float[Array, " k"]:
    """``1 / x`` where x is positive, 0 elsewhere."""
    return jnp.where(x > 0.0, 1.0 / _where_positive(x), 0.0)


def _where_counts(counts: Float[Array, " k"], mean: Float[Array, " k"]) -> Float[Array, " k"]:
    """``mean`` where there are counts, 1 elsewhere: what may stand under them, since 0 / 0 is 0."""
    return jnp.where(counts > 0.0, mean, 1.0)


def _log_lognormal(
    factor: Float[Array, " k"], median: Float[Array, " k"], sigma: Float[Array, " k"]
) -> Float[Array, " k"]:
    """``log [N(ln factor; ln median, sigma) / factor]``."""
    inside = (factor > 0.0) & (median > 0.0)
    log_factor = jnp.log(_where_positive(factor))
    pull = (log_factor - jnp.log(_where_positive(median))) / sigma
    return jnp.where(inside, -0.5 * pull**2 - jnp.log(sigma) - log_factor - 0.5 * _LOG_TWO_PI, -jnp.inf)


def _blocks(names: Sequence[str], declared: Sequence[Constraint | None], aux_of: dict[int, int]) -> tuple[_Block, ...]:
    """The distinct multivariate normal terms, each once."""
    position = {name: i for i, name in enumerate(names)}
    blocks = []
    for term in dict.fromkeys(c for c in declared if isinstance(c, MultivariateNormal)):
        for name in term.names:
            if name not in position or declared[position[name]] != term:
                raise ParameterError(
                    f"the MultivariateNormal constraint on {', '.join(term.names)} needs each of "
                    f"them to declare it, but {name!r} does not; give {name!r} the same constraint."
                )
        at = [position[name] for name in term.names]
        covariance = np.asarray(term.covariance, dtype=float)
        covariance = 0.5 * (covariance + covariance.T)
        width = np.sqrt(np.diagonal(covariance))
        precision = np.linalg.inv(_correlation(covariance)) / np.outer(width, width)
        log_det = np.linalg.slogdet(_correlation(covariance))[1] + 2.0 * np.sum(np.log(width))
        log_norm = -0.5 * (log_det + len(at) * _LOG_TWO_PI)
        blocks.append(
            _Block(
                jnp.asarray(at, dtype=int),
                jnp.asarray([aux_of[i] for i in at], dtype=int),
                jnp.asarray(covariance),
                jnp.asarray(0.5 * (precision + precision.T)),
                jnp.asarray(log_norm),
            )
        )
    return tuple(blocks)
