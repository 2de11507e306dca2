r"""Counts whose background has a mean, a covariance and a skewness, in place of nuisance parameters.

    n_I ~ Poisson(mu s_I + a_I + b_I theta_I + c_I theta_I^2),      theta = R z,   z_k ~ N(0, 1),   R R^T = rho,

with the parameter of interest mu and one nuisance parameter z_k for each eigenvalue of rho that is not zero: the
simplified likelihood of arXiv:1809.05548, section 2 (`infer.numerics.skewed` has the equations).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Float

from infer.constraints import ConstraintTerms, Normal
from infer.contract import Likelihood, constraint_terms
from infer.data import Cells, Counts, Data
from infer.errors import DataError
from infer.numerics.poisson import log_poisson, sample_poisson
from infer.numerics.skewed import SkewedYields
from infer.parameters import Parameter, Parameters
from infer.typing import Key, Scalar, Vector

FloatArray = npt.NDArray[np.float64]
Events = Float[Array, " b"]

_NOTHING = 1e-10  # eigenvalue of rho below which a direction is rounding
_REACH = 10.0  # standard deviations that a nuisance parameter may move


@dataclass(frozen=True)
class Region:
    """A channel.

    Attributes:
        name: Its name.
        n_bins: Its number of bins.
    """

    name: str
    n_bins: int


class SkewedCounts(Likelihood):
    """Counts with a skewed, correlated background; main data are counts with shape (B,).

    Args:
        poi: parameter of interest: events per unit are ``signal``.
        regions: channels in the order of the bins.
        signal: expected events for each unit of the parameter of interest, with shape (B,).
        background: coefficients of the background, of B bins.
    """

    parameters: Parameters = eqx.field(static=True)
    constraints: ConstraintTerms
    regions: tuple[Region, ...] = eqx.field(static=True)
    signal: Events
    a: Events
    b: Events
    c: Events
    root: Float[Array, "b k"]

    def __init__(
        self, poi: Parameter, regions: Sequence[Region], *, signal: FloatArray, background: SkewedYields
    ) -> None:
        values, vectors = np.linalg.eigh(background.rho)
        real = values > _NOTHING * np.max(values, initial=0.0)
        modes = (Parameter(f"mode_{k}", 0.0, (-_REACH, _REACH), Normal(1.0)) for k in range(int(np.sum(real))))
        self.parameters = Parameters((poi, *modes), poi=poi.name)
        self.constraints = constraint_terms(self.parameters)
        self.regions = tuple(regions)
        self.signal = jnp.asarray(signal)
        self.a, self.b, self.c = (jnp.asarray(x) for x in (background.a, background.b, background.c))
        self.root = jnp.asarray((vectors * np.sqrt(np.maximum(values, 0.0)))[:, real])

    def data(self, observed: Mapping[str, FloatArray]) -> Data:
        """Data from observed events by channel; the nuisance parameters were measured to be zero."""
        counts = np.concatenate([observed[region.name] for region in self.regions])
        return Data(jnp.asarray(counts, dtype=float), jnp.zeros(len(self.parameters) - 1))

    def entries(self, theta: Vector) -> Float[Array, "2 b"]:
        """Signal and background by bin."""
        shift = self.root @ theta[1:]
        return jnp.stack([theta[0] * self.signal, self.a + self.b * shift + self.c * shift**2])

    def expected_main(self, theta: Vector) -> Events:
        """Expected events per bin."""
        return jnp.sum(self.entries(theta), axis=0)

    def sample_main(self, theta: Vector, key: Key) -> Events:
        """Poisson counts."""
        return sample_poisson(key, jnp.maximum(self.expected_main(theta), 0.0))

    def log_main(self, theta: Vector, main: Events) -> Scalar:
        """Poisson log-probability of the counts; ``-rate`` goes on below zero in an empty bin, as in HistFactory."""
        rate = self.expected_main(theta)
        return jnp.sum(jnp.where(main == 0.0, -rate, log_poisson(main, rate)))

    def log_saturated(self, main: Events) -> Scalar:
        """Poisson log-probability of the counts, each expected as it is."""
        return jnp.sum(log_poisson(main, main))

    def check_main(self, main: Events) -> None:
        """Refuse counts of the wrong number, negative or not finite.

        Raises:
            DataError: with what was expected and what came.
        """
        counts = np.asarray(main)
        if counts.shape != self.signal.shape:
            raise DataError(f"expected {self.signal.shape[0]} counts, one per bin, got shape {counts.shape}.")
        if not np.all(counts >= 0.0) or not np.all(np.isfinite(counts)):
            raise DataError("expected finite counts that are not negative; check the observations.")

    def cells(self, theta: Vector, main: Events) -> dict[str, Cells]:
        """Bins in their order."""
        rate = self.expected_main(theta)
        return {name: Cells(main[bins], rate[bins]) for name, bins in self._bins().items()}

    def counts(self, theta: Vector, main: Events) -> tuple[Counts, ...]:
        """Signal and background of every channel."""
        entries, names = self.entries(theta), ("signal", "background")
        return tuple(Counts(name, names, main[bins], entries[:, bins]) for name, bins in self._bins().items())

    def _bins(self) -> dict[str, slice]:
        ends = np.cumsum([region.n_bins for region in self.regions]).tolist()
        return {r.name: slice(end - r.n_bins, end) for r, end in zip(self.regions, ends, strict=True)}
