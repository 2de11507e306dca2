r"""Rates of a HistFactory model with their first and second derivatives, in closed form.

The rate of entry e = (bin b, sample s) in row r = (channel, s) is

    nu_e = F_r Gamma_e T_e,   T_e = nominal_e + S_e . alpha + A_e . h(alpha),

with F_r the product of the row's normalisation factors (normsys, normfactor, lumi), Gamma_e the
product of the entry's bin-by-bin factors, and T_e the template with all additive shifts.  With
G = d log F / d theta (one vector per row), K = dT / d theta and w_b = 1 - n_b / nu_b, the Hessian
of the negative log-likelihood is

    H = J' diag(n / nu^2) J + sum_e w_e d2 nu_e,      J_b = sum_s d nu_e.

Over scalar parameters, d nu_e = nu_e G_r + F_r Gamma_e K_e, and off the diagonal

    sum_e w_e d2 nu_e = M + M',     M = G' (diag(t/2) G + U),
    t_r = sum_{e in r} w_e nu_e,   U_r = sum_{e in r} w_e F_r Gamma_e K_e,

so that it costs one matrix product over rows instead of entries.  On the diagonal stand 2 G'U, and the
second derivatives of the factors and of h.  G, K and U are known from the lists of `grids`: only J over
scalar parameters and the right factor of M are dense, and M only has the rows of parameters in some F.

The rate is linear in each bin-by-bin factor gamma: d nu_b / d gamma = sum_s nu_e / gamma over the
entries that it multiplies, its second derivative vanishes, and the mixed ones are the first derivatives
of these entries over gamma.  Where it multiplies all entries of the bin, that is J_b / gamma; for the
others, the *partial* ones, the sum is made once more over what they multiply.

Logarithmic derivatives of a factor that is exactly zero are taken at 1e-30 instead.  A bin without
events has w = 1 and no second term, also where its rate is zero or negative.

Source of the model: Cranmer et al., HistFactory, CERN-OPEN-2012-016, eqs. 1 and 6; the law suite holds
these derivatives against autodiff.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from infer.likelihoods.histfactory.grids import Blocks, Grids
from infer.numerics.interpolation import (
    AdditiveCode,
    Derivatives,
    MultiplicativeCode,
    additive,
    multiplicative,
)
from infer.typing import Matrix, Vector

_TINY = 1e-30  # stands for a factor of exactly zero where a logarithmic derivative is taken


@dataclass(frozen=True)
class Interpolation:
    """Interpolation codes by type of modifier; the defaults are pyhf's."""

    normsys: MultiplicativeCode = "code4"
    histosys: AdditiveCode = "code4p"


class Rates(NamedTuple):
    """Everything that rates are made of, at one ``theta``."""

    norm: Derivatives  # factor of each normsys with shape (n,)
    even: Derivatives  # h(alpha) with shape (A,)
    scale: Float[Array, "b s"]  # F Gamma
    template: Float[Array, "b s"]  # T

    @property
    def entries(self) -> Float[Array, "b s"]:
        """Expected events by entry."""
        return self.scale * self.template


class _Slopes(NamedTuple):
    """G as a list, one element per normsys and factor of a row, and as a matrix."""

    value: Float[Array, " g"]
    row: Int[Array, " g"]
    at: Int[Array, " g"]
    matrix: Float[Array, "r a"]


class _Weights(NamedTuple):
    """First and second derivative of -log f by the rate of each bin."""

    first: Float[Array, " b"]  # w = 1 - n / nu
    second: Float[Array, " b"]  # n / nu^2


def rates(grids: Grids, codes: Interpolation, theta: Vector, factors: Vector | None = None) -> Rates:
    """Rates and their parts.

    Args:
        grids: the workspace.
        codes: interpolation.
        theta: parameters with shape (P,).
        factors: the same where they multiply; None means ``theta`` itself.
    """
    g, alpha, extended = grids, theta[: grids.n_scalar], jnp.append(theta if factors is None else factors, 1.0)
    n_slots = g.nominal.shape[1]
    norm = multiplicative(codes.normsys, alpha[g.norms.at], g.norms.log_lo, g.norms.log_hi, g.norms.coefficients)
    row = jnp.prod(jnp.append(norm.value, 1.0)[g.norms.of_row], axis=1)
    row = row * jnp.prod(extended[g.factors.of_row], axis=1)
    gamma = jnp.where(g.gammas.on > 0.0, extended[g.gammas.at][:, None, :], 1.0)
    scale = row.reshape(-1, n_slots)[g.channel_of_bin] * jnp.prod(gamma, axis=2)
    even = additive(codes.histosys, alpha)
    shift = g.shifts.odd * alpha[g.shifts.at] + g.shifts.even * even.value[g.shifts.at]
    template = g.nominal.reshape(-1).at[g.shifts.entry].add(shift, indices_are_sorted=True)
    return Rates(norm, even, scale, template.reshape(g.nominal.shape))


def derivatives(grids: Grids, codes: Interpolation, theta: Vector, main: Float[Array, " b"]) -> tuple[Vector, Matrix]:
    """Gradient with shape (P,) and Hessian with shape (P, P) of the negative log-probability of counts."""
    factors = jnp.where(jnp.abs(theta) < _TINY, _TINY, theta)
    at = rates(grids, codes, theta, factors)
    weights = _weights(main, jnp.sum(at.entries, axis=1))
    slopes = _slopes(grids, at.norm, factors)
    template_slope = grids.shifts.odd + grids.shifts.even * at.even.first[grids.shifts.at]  # K, as a list
    shifted = at.scale.reshape(-1)[grids.shifts.entry] * template_slope  # F Gamma K
    jacobian = _jacobian(grids, at.entries, slopes, shifted)
    gradient = weights.first @ jacobian
    block = _scalar_block(grids, at, slopes, shifted, weights.first)
    # the barrier makes XLA lay the transpose out first, which is faster than a product that reads it askew
    block += jax.lax.optimization_barrier(jacobian.T) @ (weights.second[:, None] * jacobian)
    if theta.shape[0] == grids.n_scalar:
        return gradient, block
    gamma = jnp.append(factors, 1.0)[grids.gammas.at]
    mixed = _mixed(grids, at.entries, slopes, shifted, jacobian)
    slope, cross, corner = _gamma_blocks(
        grids, at.entries, gamma, jacobian, mixed, weights, theta.shape[0] - grids.n_scalar
    )
    hessian = jnp.concatenate([jnp.concatenate([block, cross.T], axis=1), jnp.concatenate([cross, corner], axis=1)])
    return jnp.concatenate([gradient, slope]), hessian


def _weights(main: Float[Array, " b"], rate: Float[Array, " b"]) -> _Weights:
    positive = rate > 0.0
    safe = jnp.where(positive, rate, 1.0)
    ratio = jnp.where(positive, main / safe, 0.0)
    return _Weights(1.0 - ratio, ratio / safe)


def _slopes(grids: Grids, norm: Derivatives, factors: Vector) -> _Slopes:
    value = jnp.concatenate([norm.first / norm.value, 1.0 / factors[grids.factors.at]])
    row = jnp.concatenate([grids.norms.row, grids.factors.row])
    at = jnp.concatenate([grids.norms.at, grids.factors.at])
    return _Slopes(value, row, at, _matrix(grids.n_rows, grids.n_scalar, row, at, value))


def _jacobian(
    grids: Grids, entries: Float[Array, "b s"], slopes: _Slopes, shifted: Float[Array, " z"]
) -> Float[Array, "b a"]:
    """J over scalar parameters."""
    by_factors = _over_slots(grids, entries, slopes, grids.blocks)
    return _added(by_factors, grids.shifts.bin, grids.shifts.at, shifted)


def _mixed(
    grids: Grids,
    entries: Float[Array, "b s"],
    slopes: _Slopes,
    shifted: Float[Array, " z"],
    jacobian: Float[Array, "b a"],
) -> Float[Array, "b q a"]:
    """First derivatives of what each bin-by-bin factor multiplies, by scalar parameters."""
    g = grids.gammas
    rows = jnp.broadcast_to(jacobian[:, None, :], (*g.at.shape, jacobian.shape[1]))
    if g.partial_bin.shape[0] == 0:
        return rows
    multiplied = g.on[g.partial_bin, :, g.partial_slot] * entries[g.partial_bin]
    partial = _over_slots(grids, multiplied, slopes, g.blocks)
    partial = _added(partial, g.shift_of, grids.shifts.at[g.shift], shifted[g.shift])
    return rows.at[g.partial_bin, g.partial_slot].set(partial, unique_indices=True)


def _scalar_block(
    grids: Grids, at: Rates, slopes: _Slopes, shifted: Float[Array, " z"], w: Float[Array, " b"]
) -> Float[Array, "a a"]:
    """Sum of w d2 nu over entries, for the scalar parameters."""
    g, shifts = grids, grids.shifts
    n_scalar, n_rows, n_slots = g.n_scalar, g.n_rows, g.nominal.shape[1]
    t = jnp.zeros((n_rows // n_slots, n_slots)).at[g.channel_of_bin].add(w[:, None] * at.entries).reshape(-1)
    weighted = w[shifts.bin] * shifted
    right = _added(0.5 * t[:, None] * slopes.matrix, shifts.row, shifts.at, weighted)
    # G' by a list of its own, for the same reason as the barrier above
    n_left = g.scaling.shape[0]
    left = _matrix(n_left, n_rows, g.scaling_at[slopes.at], slopes.row, slopes.value)
    m = left @ right
    if n_left < n_scalar:
        m = jnp.concatenate([m, jnp.zeros((1, n_scalar))])[g.scaling_at]
    curved = t[g.norms.row] * at.norm.second / at.norm.value
    kinks = w[shifts.bin] * at.scale.reshape(-1)[shifts.entry] * shifts.even * at.even.second[shifts.at]
    twice = 2.0 * weighted * slopes.matrix.reshape(-1)[shifts.row * n_scalar + shifts.at]
    diagonal = jnp.zeros(n_scalar).at[g.norms.at].add(curved).at[shifts.at].add(twice + kinks)
    return jnp.where(jnp.eye(n_scalar, dtype=bool), diagonal[:, None], m + m.T)


def _gamma_blocks(
    grids: Grids,
    entries: Float[Array, "b s"],
    gamma: Float[Array, "b q"],
    jacobian: Float[Array, "b a"],
    mixed: Float[Array, "b q a"],
    weights: _Weights,
    n_gamma: int,
) -> tuple[Float[Array, " h"], Float[Array, "h a"], Float[Array, "h h"]]:
    """Gradient and rows of the Hessian of the H bin-by-bin parameters."""
    size, at, on = (
        n_gamma + 1,
        grids.gammas.at - grids.n_scalar,
        grids.gammas.on,
    )  # the last one takes what padding writes
    width = at.shape[1]
    d_gamma = jnp.sum(on * entries[:, :, None], axis=1) / gamma
    gradient = jnp.zeros(size).at[at].add(weights.first[:, None] * d_gamma)
    rows = mixed * (weights.first[:, None] / gamma)[:, :, None]
    rows += (weights.second[:, None] * d_gamma)[:, :, None] * jacobian[:, None, :]
    cross = jnp.zeros((size, jacobian.shape[1])).at[at].add(rows)
    pairs = weights.second[:, None, None] * d_gamma[:, :, None] * d_gamma[:, None, :]
    if width > 1:  # two factors of one entry; the second derivative by one factor vanishes
        both = jnp.einsum("bsq,bst,bs->bqt", on, on, entries) / (gamma[:, :, None] * gamma[:, None, :])
        pairs += weights.first[:, None, None] * both * (1.0 - jnp.eye(width))[None, :, :]
    corner = jnp.zeros((size, size)).at[at[:, :, None], at[:, None, :]].add(pairs)
    return gradient[:-1], cross[:-1], corner[:-1, :-1]


def _over_slots(grids: Grids, entries: Float[Array, "x s"], slopes: _Slopes, blocks: Blocks) -> Float[Array, "x a"]:
    """Sum over sample slots of entries times the slopes of their channel."""
    by_channel = slopes.matrix.reshape(-1, grids.nominal.shape[1], grids.n_scalar)
    products = jnp.einsum("kms,ksa->kma", entries[blocks.take], by_channel[blocks.channel])
    return products.reshape(-1, grids.n_scalar)[blocks.place]


def _matrix(
    n_rows: int, n_columns: int, row: Int[Array, " i"], column: Int[Array, " i"], value: Float[Array, " i"]
) -> Float[Array, "m n"]:
    """A matrix from a list of its elements, equal places added up."""
    return _added(jnp.zeros((n_rows, n_columns)), row, column, value)


def _added(
    matrix: Float[Array, "m n"], row: Int[Array, " i"], column: Int[Array, " i"], value: Float[Array, " i"]
) -> Float[Array, "m n"]:
    """A matrix plus a list of elements; flat, since XLA scatters along one axis faster than along two."""
    flat = matrix.reshape(-1).at[row * matrix.shape[1] + column].add(value)
    return flat.reshape(matrix.shape)
