"""How toys are drawn: from which truth, and what fluctuates.

A toy is a data set drawn from the likelihood at a *truth*, a full parameter vector.  The physicist
says what the parameter of interest is worth there; the nuisance parameters are

=============  =====================================================================================
``best-fit``   where the fit to the observed data leaves them
``profiled``   where the fit with the parameter of interest held at its truth leaves them
``nominal``    at their start values
``drawn``      anew in every toy, from their constraints (a prior-predictive ensemble); parameters
               without a constraint as in ``profiled``
=============  =====================================================================================

and single ones may be set by name, to ask what the answer depends on.  The auxiliary data are
``fluctuated`` with the main data (the unconditional ensemble: the experiment with its calibrations
is repeated) or kept as ``observed`` (the conditional one).

Toy i of a key is ``fold_in(key, i)``, and depends on nothing else: neither on how many toys there
are, nor on who draws them.

References: Cowan et al., arXiv:1007.1727, section 2; Cousins & Highland, NIM A 320 (1992) 331
(``drawn`` with ``observed``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Bool, Int, UInt32

from infer.data import Data
from infer.errors import ParameterError, UntrustworthyError
from infer.inference.fits import FitResult, Settings, fit
from infer.likelihood import Likelihood
from infer.typing import Key, Mask, Matrix, Vector

FloatArray = npt.NDArray[np.float64]

NUISANCE = ("best-fit", "profiled", "nominal", "drawn")
AUX = ("fluctuated", "observed")


@dataclass(frozen=True)
class Ensemble:
    """What toys are drawn from.

    Args:
        nuisance: One of `NUISANCE`: where the nuisance parameters are.
        aux: One of `AUX`: what becomes of the auxiliary data.
        truth: Nuisance parameters set by name, whatever ``nuisance`` says.

    Raises:
        ParameterError: A choice is not among those offered.
    """

    nuisance: str = "best-fit"
    aux: str = "fluctuated"
    truth: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value, known in (("nuisance", self.nuisance, NUISANCE), ("aux", self.aux, AUX)):
            if value not in known:
                raise ParameterError(f"{name} must be one of {', '.join(known)}, got {value!r}.")


class Source(eqx.Module):
    """An ensemble as arrays: what toys of one truth are drawn from.

    Args:
        likelihood: The model.
        theta: Truth with shape (P,).
        drawn: Parameters that every toy draws anew, with shape (P,).
        lower: Bounds of the draws.
        upper: Bounds of the draws.
        observed: Observed data.
        steady: Auxiliary data that do not fluctuate but have their expectation, with shape (A,).
        keeps_aux: Whether toys keep the observed auxiliary data.
        draws_any: Whether the truth differs from toy to toy.
    """

    likelihood: Likelihood
    theta: Vector
    drawn: Mask
    lower: Vector
    upper: Vector
    observed: Data
    steady: Bool[Array, " a"]
    keeps_aux: bool = eqx.field(static=True)
    draws_any: bool = eqx.field(static=True)


def source_of(
    likelihood: Likelihood,
    data: Data,
    *,
    poi: str,
    value: float | None,
    ensemble: Ensemble,
    best: FitResult,
    settings: Settings,
    resimulated: bool = False,
) -> Source:
    """The source of toys at one truth.

    Args:
        likelihood: The model.
        data: Observed data.
        poi: Parameter of interest.
        value: Its truth; None takes the best fit.
        ensemble: What toys are drawn from.
        best: Fit to the observed data.
        settings: Settings of the fits.
        resimulated: Whether templates fluctuate: what then measures the simulated samples stays at its start value.

    Raises:
        ParameterError: A name is unknown, or a value lies outside its bounds.
        UntrustworthyError: A fit that the truth is taken from earned no certificate.
    """
    parameters = best.parameters
    fixed = {poi: best.value(poi) if value is None else float(value)}
    for name, x in {**fixed, **ensemble.truth}.items():
        low, high = parameters[name].bounds
        if not low <= x <= high:
            raise ParameterError(
                f"the truth of {name!r} must lie within its bounds ({low:g}, {high:g}), got {x:g}; "
                f"change it, or the bounds."
            )
    if poi in ensemble.truth:
        raise ParameterError(f"{poi!r} is the parameter of interest; its truth is not one of a nuisance parameter.")
    base = _base(likelihood, data, fixed, ensemble, best, settings)
    nominal = {name: parameters[name].init for name in (likelihood.simulated_parameters if resimulated else ())}
    theta = parameters.vector({**nominal, **fixed, **ensemble.truth}, base=base)
    drawn = np.zeros(len(parameters), dtype=bool)
    if ensemble.nuisance == "drawn":
        drawn[parameters.positions(parameters.constrained)] = True
        drawn[parameters.positions([*nominal, *fixed, *ensemble.truth])] = False
        drawn &= ~parameters.fixed
    point, mask, lower, upper = jax.device_put((theta, drawn, parameters.lower, parameters.upper))
    kept = jnp.asarray([name in nominal for name in parameters.constrained], dtype=bool)
    return Source(likelihood, point, mask, lower, upper, data, kept, ensemble.aux == "observed", bool(drawn.any()))


def _base(
    likelihood: Likelihood,
    data: Data,
    fixed: Mapping[str, float],
    ensemble: Ensemble,
    best: FitResult,
    settings: Settings,
) -> FloatArray:
    """Where the nuisance parameters are before single ones are set."""
    if ensemble.nuisance == "nominal":
        return best.parameters.init
    found = best
    if ensemble.nuisance in ("profiled", "drawn"):
        held = Settings(settings.start, settings.bounds, {**settings.fixed, **fixed}, settings.solver)
        found = fit(likelihood, data, poi=best.poi, settings=held)
    if not found.certificate.converged:
        raise UntrustworthyError(
            f"no truth for toys: the fit to the observed data {found.certificate.message}; "
            "take the nominal nuisance parameters (nuisance='nominal'), or other start values."
        )
    return found.values


class Toy(eqx.Module):
    """One toy.

    Args:
        truth: What it was drawn at, with shape (P,).
        data: Its data.
        key: Data of the random key of its templates, where those fluctuate.
    """

    truth: Vector
    data: Data
    key: UInt32[Array, " k"]


@eqx.filter_jit
def draw(source: Source, key: Key, indices: Int[Array, " n"]) -> Toy:
    """The toys with these numbers, leaves (N, ...)."""

    def one(index: Array) -> Toy:
        theta_key, data_key, template_key = jax.random.split(jax.random.fold_in(key, index), 3)
        theta = source.theta
        if source.draws_any:
            drawn = source.likelihood.constraints.draw(theta, source.observed.aux, theta_key)
            theta = jnp.where(source.drawn, jnp.clip(drawn, source.lower, source.upper), theta)
        toy = source.likelihood.sample(theta, data_key)
        aux = source.observed.aux if source.keeps_aux else toy.aux
        expected = source.likelihood.constraints.expected(theta)
        data = Data(toy.main, jnp.where(source.steady, expected, aux))
        return Toy(theta, data, jax.random.key_data(template_key))

    return jax.vmap(one)(indices)


@eqx.filter_jit
def expected_hessian(likelihood: Likelihood, theta: Vector) -> Matrix:
    """Hessian of ``-logpdf`` at its own Asimov data, with shape (P, P): main and auxiliary data."""
    return likelihood.curvature(theta, likelihood.expected(theta)).hessian
