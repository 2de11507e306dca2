"""HistFactory: Poisson counts in bins, whose rates are sums of modified samples.

`grids` holds what the rates are computed from, `curvature` computes them and their derivatives.
Source of the model: Cranmer et al., HistFactory, CERN-OPEN-2012-016, eqs. 1 and 6.
"""

from __future__ import annotations

from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from infer.constraints import ConstraintTerms, Curvature
from infer.data import Cells, Counts, Data
from infer.errors import DataError, ParameterError
from infer.likelihood import Likelihood, constraint_terms
from infer.likelihoods.histfactory.curvature import Interpolation, derivatives, rates
from infer.likelihoods.histfactory.grids import Grids, compile_grids
from infer.likelihoods.histfactory.modifiers import declare
from infer.likelihoods.histfactory.simulation import Simulated, new_templates, with_widths
from infer.likelihoods.histfactory.spec import MeasurementConfig, Notice, Workspace
from infer.numerics.poisson import log_poisson, sample_poisson
from infer.parameters import Parameters
from infer.typing import Key, Scalar, Vector

__all__ = ["ChannelLayout", "HistFactory", "Interpolation"]


@dataclass(frozen=True)
class ChannelLayout:
    """Where a channel lies in the main data, and the samples it is made of."""

    name: str
    first: int
    n_bins: int
    samples: tuple[str, ...]


class HistFactory(Likelihood):
    """A HistFactory model; main data are counts with shape (B,), channels sorted by name as in pyhf.

    Built by `HistFactory.of`.
    """

    parameters: Parameters = eqx.field(static=True)
    constraints: ConstraintTerms
    grids: Grids
    channels: tuple[ChannelLayout, ...] = eqx.field(static=True)
    interpolation: Interpolation = eqx.field(static=True)
    notices: tuple[Notice, ...] = eqx.field(static=True)
    simulated: Simulated

    @classmethod
    def of(
        cls,
        workspace: Workspace,
        measurement: MeasurementConfig | None = None,
        *,
        interpolation: Interpolation | None = None,
    ) -> tuple[HistFactory, Data]:
        """Model and observed data of one measurement of a workspace; None means the first one."""
        chosen = workspace.measurement(None) if measurement is None else measurement
        declared = declare(workspace, chosen)
        model = cls(
            declared.parameters,
            constraint_terms(declared.parameters),
            compile_grids(workspace, declared),
            _layout(workspace),
            interpolation or Interpolation(),
            workspace.notices,
            Simulated.of(workspace, declared),
        )
        counts = [workspace.observations[c.name] for c in workspace.channels]
        return model, Data(jnp.asarray(np.concatenate(counts)), jnp.asarray(declared.aux))

    def entries(self, theta: Vector) -> Float[Array, "b s"]:
        """Expected events per bin and sample slot."""
        return rates(self.grids, self.interpolation, theta).entries

    def expected_main(self, theta: Vector) -> Float[Array, " b"]:
        """Expected events per bin."""
        return jnp.sum(self.entries(theta), axis=1)

    def sample_main(self, theta: Vector, key: Key) -> Float[Array, " b"]:
        """Poisson counts."""
        rate = jnp.maximum(self.expected_main(theta), 0.0)
        return sample_poisson(key, rate)

    @property
    def simulated_parameters(self) -> tuple[str, ...]:
        """Those of the staterrors."""
        return self.simulated.names

    def resimulated(self, key: Key, scale: Scalar) -> HistFactory:
        """The model that other simulated samples, ``scale`` times as large, would give; see `simulation`.

        Raises:
            ParameterError: No template has a staterror, so that the size of the samples is not known.
        """
        if not self.simulated.names:
            raise ParameterError(
                "the workspace quotes no statistical uncertainty of its templates (staterror), so that they cannot "
                "be simulated anew; leave out the finite-MC mode, or add staterrors."
            )
        grids, width = new_templates(self.grids, self.simulated, key, scale)
        constraints = with_widths(self.constraints, self.simulated.stat_at, width, len(self.parameters))
        return eqx.tree_at(lambda m: (m.grids, m.constraints), self, (grids, constraints))

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the workspace leaves to be said: repaired or suspicious input."""
        return tuple(notice.message for notice in self.notices)

    def remarks_at(self, theta: Vector, main: Float[Array, " b"]) -> tuple[str, ...]:
        """Which empty bins are expected to hold less than nothing there, as `log_main` allows."""
        if np.all(np.asarray(main) > 0.0):
            return ()
        rates = np.asarray(self.expected_main(theta))
        at = np.flatnonzero(rates < 0.0)
        if at.size == 0:
            return ()
        channel = next(c for c in reversed(self.channels) if c.first <= at[0])
        bins = "bin" if at.size == 1 else "bins"
        where = f"bin {at[0] - channel.first} of channel {channel.name!r}"
        return (f"{at.size} empty {bins}, first {where}, would hold down to {rates.min():.3g} events at this point",)

    def check_main(self, main: Float[Array, " b"]) -> None:
        """Refuse counts of the wrong number, negative or not finite.

        Raises:
            DataError: with what was expected and what came.
        """
        n_bins = self.grids.nominal.shape[0]
        counts = np.asarray(main)
        if counts.shape != (n_bins,):
            raise DataError(f"expected {n_bins} counts, one per bin, got shape {counts.shape}.")
        if not np.all(counts >= 0.0) or not np.all(np.isfinite(counts)):
            raise DataError("expected finite counts that are not negative; check the observations.")

    def log_main(self, theta: Vector, main: Float[Array, " b"]) -> Scalar:
        """Poisson log-probability of the counts; -inf where a bin with events has a negative rate.

        In an empty bin, ``-rate`` goes on below zero, as in pyhf: templates shifted along a straight line
        may get there, and a wall at zero would keep a search from a minimum that the constraints hold.
        """
        rate = self.expected_main(theta)
        return jnp.sum(jnp.where(main == 0.0, -rate, log_poisson(main, rate)))

    def log_saturated(self, main: Float[Array, " b"]) -> Scalar:
        """Poisson log-probability of the counts, each expected as it is (Baker & Cousins, NIM 221 (1984) 437)."""
        return jnp.sum(log_poisson(main, main))

    def cells(self, theta: Vector, main: Float[Array, " b"]) -> dict[str, Cells]:
        """Bins in their order."""
        rate = self.expected_main(theta)
        parts = {c.name: slice(c.first, c.first + c.n_bins) for c in self.channels}
        return {name: Cells(main[bins], rate[bins]) for name, bins in parts.items()}

    def counts(self, theta: Vector, main: Float[Array, " b"]) -> tuple[Counts, ...]:
        """Samples of every channel."""
        entries = self.entries(theta)
        parts = ((c, slice(c.first, c.first + c.n_bins)) for c in self.channels)
        return tuple(Counts(c.name, c.samples, main[b], entries[b, : len(c.samples)].T) for c, b in parts)

    def curvature_main(self, theta: Vector, main: Float[Array, " b"]) -> Curvature:
        """Value, gradient and Hessian in closed form."""
        gradient, hessian = derivatives(self.grids, self.interpolation, theta, main)
        return Curvature(-self.log_main(theta, main), gradient, hessian)


def _layout(workspace: Workspace) -> tuple[ChannelLayout, ...]:
    first, layout = 0, []
    for channel in workspace.channels:
        samples = tuple(sample.name for sample in channel.samples)
        layout.append(ChannelLayout(channel.name, first, channel.n_bins, samples))
        first += channel.n_bins
    return tuple(layout)
