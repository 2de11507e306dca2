r"""HistFactory: Poisson counts in bins, whose rates are sums of modified samples.

The rate of entry e = (bin b, sample s) in row r = (channel, s) is

    nu_e = F_r Gamma_e T_e,   T_e = nominal_e + S_e . alpha + A_e . h(alpha),

with F_r the product of the row's normalisation factors (normsys, normfactor, lumi), Gamma_e the
product of the entry's bin-by-bin factors, and T_e the template with all additive shifts.  With
G = d log F / d theta (one vector per row), K = dT / d theta and w_b = 1 - n_b / nu_b, the Hessian
of the negative log-likelihood is

    H = J' diag(n / nu^2) J + sum_e w_e d2 nu_e,      J_b = sum_s d nu_e,
    sum_e w_e d2 nu_e = M + M' (off the diagonal),     M = G' (diag(t/2) G + U),
    t_r = sum_{e in r} w_e nu_e,   U_r = sum_{e in r} w_e F_r Gamma_e K_e,

so that it costs one matrix product over rows instead of entries; the diagonal and the few
bin-by-bin parameters are written out.  Source of the model: Cranmer et al., HistFactory,
CERN-OPEN-2012-016, eqs. 1 and 6; the law suite holds these derivatives against autodiff.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from infer.constraints import ConstraintTerms, Curvature
from infer.data import Data
from infer.errors import DataError
from infer.likelihood import Likelihood, constraint_terms
from infer.likelihoods.histfactory.modifiers import Grid, compile_grid, declare
from infer.likelihoods.histfactory.spec import MeasurementConfig, Notice, Workspace
from infer.numerics.interpolation import (
    AdditiveCode,
    Derivatives,
    MultiplicativeCode,
    additive,
    multiplicative,
)
from infer.numerics.poisson import log_poisson, sample_poisson
from infer.parameters import Parameters
from infer.typing import Key, Scalar, Vector

_TINY = 1e-30  # stands for a factor of exactly zero where a logarithmic derivative is taken


@dataclass(frozen=True)
class Interpolation:
    """Interpolation codes by type of modifier; the defaults are pyhf's."""

    normsys: MultiplicativeCode = "code4"
    histosys: AdditiveCode = "code4p"


@dataclass(frozen=True)
class ChannelLayout:
    """Where a channel lies in the main data, and the samples it is made of."""

    name: str
    first: int
    n_bins: int
    samples: tuple[str, ...]


class Grids(eqx.Module):
    """`modifiers.Grid` as arrays of the model."""

    nominal: Float[Array, "b s"]
    channel_of_bin: Int[Array, " b"]
    shift_odd: Float[Array, "b s a"]
    shift_even: Float[Array, "b s a"]
    norm_at: Int[Array, "r k"]
    norm_log_lo: Float[Array, "r k"]
    norm_log_hi: Float[Array, "r k"]
    norm_coefficients: Float[Array, "6 r k"]
    factor_at: Int[Array, "r l"]
    gamma_at: Int[Array, "b q"]
    gamma_on: Float[Array, "b s q"]

    @classmethod
    def of(cls, grid: Grid) -> Grids:
        """Put the arrays on the device, all in one transfer."""
        arrays = (
            grid.nominal,
            grid.channel_of_bin,
            grid.shift_odd,
            grid.shift_even,
            grid.norm_at,
            np.log(grid.norm_lo),
            np.log(grid.norm_hi),
            grid.coefficients,
            grid.factor_at,
            grid.gamma_at,
            grid.gamma_on,
        )
        return cls(*jax.device_put(arrays))


class _Rates(NamedTuple):
    """Everything that rates are made of, at one ``theta``."""

    norm: Derivatives  # factor of each normsys with shape (R, K)
    scale: Float[Array, "b s"]  # F Gamma
    template: Float[Array, "b s"]  # T
    even: Derivatives  # h(alpha) with shape (A,)

    @property
    def entries(self) -> Float[Array, "b s"]:
        return self.scale * self.template


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
            Grids.of(compile_grid(workspace, declared)),
            _layout(workspace),
            interpolation or Interpolation(),
            workspace.notices,
        )
        counts = [workspace.observations[c.name] for c in workspace.channels]
        return model, Data(jnp.asarray(np.concatenate(counts)), jnp.asarray(declared.aux))

    def entries(self, theta: Vector) -> Float[Array, "b s"]:
        """Expected events per bin and sample slot."""
        extended = jnp.append(theta, 1.0)
        return self._rates(theta, extended).entries

    def expected_main(self, theta: Vector) -> Float[Array, " b"]:
        """Expected events per bin."""
        return jnp.sum(self.entries(theta), axis=1)

    def sample_main(self, theta: Vector, key: Key) -> Float[Array, " b"]:
        """Poisson counts."""
        rate = jnp.maximum(self.expected_main(theta), 0.0)
        return sample_poisson(key, rate)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the workspace leaves to be said: repaired or suspicious input."""
        return tuple(notice.message for notice in self.notices)

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
        """Poisson log-probability of the counts; -inf where a rate is negative."""
        return jnp.sum(log_poisson(main, self.expected_main(theta)))

    def curvature_main(self, theta: Vector, main: Float[Array, " b"]) -> Curvature:
        """Value, gradient and Hessian in closed form (see the module's docstring)."""
        g = self.grids
        n_scalar = g.shift_odd.shape[2]
        value = -self.log_main(theta, main)
        extended = jnp.append(jnp.where(jnp.abs(theta) < _TINY, _TINY, theta), 1.0)
        rates = self._rates(theta, extended)
        entries = rates.entries
        total = jnp.sum(entries, axis=1)
        positive = total > 0.0
        ratio = jnp.where(positive, main / jnp.where(positive, total, 1.0), 0.0)
        w = 1.0 - ratio

        slopes = self._row_slopes(rates.norm, extended, n_scalar)  # G: (C, S, A)
        template_slope = g.shift_odd + g.shift_even * rates.even.first[None, None, :]  # K: (B, S, A)
        shifted = rates.scale[..., None] * template_slope
        d_scalar = entries[..., None] * slopes[g.channel_of_bin] + shifted
        gamma = extended[g.gamma_at]
        d_gamma = jnp.einsum("bsq,bs->bq", g.gamma_on, entries) / gamma
        jacobian = self._with_gammas(jnp.sum(d_scalar, axis=1), d_gamma, theta.shape[0])

        weight = jnp.where(positive, ratio / jnp.where(positive, total, 1.0), 0.0)
        hessian = jacobian.T @ (weight[:, None] * jacobian)
        second = self._scalar_block(rates, slopes, shifted, w)
        hessian = hessian.at[:n_scalar, :n_scalar].add(second)
        hessian = self._add_gamma_blocks(hessian, d_scalar, entries, gamma, w)
        return Curvature(value, jacobian.T @ w, hessian)

    def _rates(self, theta: Vector, extended: Float[Array, " p1"]) -> _Rates:
        g = self.grids
        n_scalar = g.shift_odd.shape[2]
        alpha = theta[:n_scalar]
        norm = multiplicative(
            self.interpolation.normsys,
            jnp.append(alpha, 0.0)[g.norm_at],
            g.norm_log_lo,
            g.norm_log_hi,
            g.norm_coefficients,
        )
        row = jnp.prod(norm.value, axis=1) * jnp.prod(extended[g.factor_at], axis=1)
        n_slots = g.nominal.shape[1]
        gamma = jnp.where(g.gamma_on > 0.0, extended[g.gamma_at][:, None, :], 1.0)
        scale = row.reshape(-1, n_slots)[g.channel_of_bin] * jnp.prod(gamma, axis=2)
        even = additive(self.interpolation.histosys, alpha)
        template = g.nominal + g.shift_odd @ alpha + g.shift_even @ even.value
        return _Rates(norm, scale, template, even)

    def _row_slopes(self, norm: Derivatives, extended: Float[Array, " p1"], n_scalar: int) -> Float[Array, "c s a"]:
        """G = d log F / d theta by row; the last column takes what padding writes."""
        g = self.grids
        rows = jnp.arange(g.norm_at.shape[0])[:, None]
        slopes = jnp.zeros((g.norm_at.shape[0], n_scalar + 1))
        slopes = slopes.at[rows, g.norm_at].add(norm.first / norm.value)
        factor_at = jnp.minimum(g.factor_at, n_scalar)
        slopes = slopes.at[rows, factor_at].add(1.0 / extended[g.factor_at])
        return slopes[:, :n_scalar].reshape(-1, g.nominal.shape[1], n_scalar)

    def _with_gammas(self, scalar: Float[Array, "b a"], d_gamma: Float[Array, "b q"], size: int) -> Float[Array, "b p"]:
        """Jacobian of the rates: scalar columns, then one column per bin-by-bin parameter."""
        bins, n_scalar = scalar.shape
        columns = jnp.zeros((bins, size - n_scalar + 1))
        columns = columns.at[jnp.arange(bins)[:, None], self.grids.gamma_at - n_scalar].add(d_gamma)
        return jnp.concatenate([scalar, columns[:, :-1]], axis=1)

    def _scalar_block(
        self,
        rates: _Rates,
        slopes: Float[Array, "c s a"],
        shifted: Float[Array, "b s a"],
        w: Float[Array, " b"],
    ) -> Float[Array, "a a"]:
        """Sum of w d2 nu over entries, for the scalar parameters."""
        g = self.grids
        n_scalar = slopes.shape[2]
        flat = slopes.reshape(-1, n_scalar)
        t = self._by_channel(w[:, None] * rates.entries).reshape(-1)
        u = self._by_channel(w[:, None, None] * shifted).reshape(-1, n_scalar)
        m = flat.T @ (0.5 * t[:, None] * flat + u)
        curved = t[:, None] * rates.norm.second / rates.norm.value
        diagonal = jnp.zeros(n_scalar + 1).at[g.norm_at].add(curved)[:n_scalar]
        diagonal += 2.0 * jnp.sum(flat * u, axis=0)
        kinks = jnp.einsum("bs,bsa->a", w[:, None] * rates.scale, g.shift_even)
        diagonal += kinks * rates.even.second
        at = jnp.arange(n_scalar)
        return (m + m.T).at[at, at].set(diagonal)

    def _by_channel(self, per_bin: Float[Array, "b ..."]) -> Float[Array, "c ..."]:
        """Sums over the bins of each channel, as a product with the 0/1 matrix of membership."""
        n_channels = len(self.channels)
        if n_channels == per_bin.shape[0]:
            return per_bin
        member = jnp.arange(n_channels)[:, None] == self.grids.channel_of_bin[None, :]
        flat = member.astype(per_bin.dtype) @ per_bin.reshape(per_bin.shape[0], -1)
        return flat.reshape(n_channels, *per_bin.shape[1:])

    def _add_gamma_blocks(
        self,
        hessian: Float[Array, "p p"],
        d_scalar: Float[Array, "b s a"],
        entries: Float[Array, "b s"],
        gamma: Float[Array, "b q"],
        w: Float[Array, " b"],
    ) -> Float[Array, "p p"]:
        """Second derivatives that involve bin-by-bin parameters; rates are linear in each of them."""
        g = self.grids
        n_scalar, size = d_scalar.shape[2], hessian.shape[0]
        if size == n_scalar:
            return hessian
        weight = w[:, None] / gamma
        mixed = jnp.einsum("bsq,bsa->bqa", g.gamma_on, d_scalar) * weight[..., None]
        block = jnp.zeros((size - n_scalar + 1, n_scalar)).at[g.gamma_at - n_scalar].add(mixed)[:-1]
        hessian = hessian.at[n_scalar:, :n_scalar].add(block)
        hessian = hessian.at[:n_scalar, n_scalar:].add(block.T)
        if gamma.shape[1] == 1:
            return hessian
        pairs = jnp.einsum("bsq,bst,bs->bqt", g.gamma_on, g.gamma_on, entries)
        pairs = pairs * weight[:, :, None] / gamma[:, None, :]
        pairs = pairs * (1.0 - jnp.eye(gamma.shape[1]))[None, :, :]
        extra = jnp.zeros((size + 1, size + 1))
        extra = extra.at[g.gamma_at[:, :, None], g.gamma_at[:, None, :]].add(pairs)
        return hessian + extra[:size, :size]


def _layout(workspace: Workspace) -> tuple[ChannelLayout, ...]:
    first, layout = 0, []
    for channel in workspace.channels:
        samples = tuple(sample.name for sample in channel.samples)
        layout.append(ChannelLayout(channel.name, first, channel.n_bins, samples))
        first += channel.n_bins
    return tuple(layout)
