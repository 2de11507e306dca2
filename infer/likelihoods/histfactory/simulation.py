r"""Templates from other simulated samples of the same kind: what an analyst with other luck would have.

A template bin with content nu and statistical uncertainty s (as a staterror quotes it, per sample) stands for

.. math::  N = (\nu / s)^2

unweighted events.  Samples k times as large give the content nu n / (k N) with n ~ Poisson(k N), and the
uncertainty :math:`s \sqrt{n / N} / k`.  Varied templates (histosys) are samples of their own, and fluctuate
independently of the nominal one and of one another.  What has no staterror has no uncertainty, and stays.

The staterror's own parameter absorbs the fluctuation of the summed nominal templates: its auxiliary datum *is* the
simulation, so that it does not fluctuate a second time, and only its width follows the new samples (Barlow &
Beeston, CPC 77 (1993) 219, in the one-parameter-per-bin form; HistFactory, CERN-OPEN-2012-016, section 4.1).
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from infer.constraints import ConstraintTerms
from infer.likelihoods.histfactory.grids import Grids
from infer.likelihoods.histfactory.modifiers import Declared, first_components
from infer.likelihoods.histfactory.spec import StatError, Workspace
from infer.numerics.poisson import sample_poisson
from infer.typing import Key, Scalar


class Simulated(eqx.Module):
    """What a workspace knows of its simulated samples.

    Args:
        uncertainty: statistical uncertainty of every entry; 0 where none is given.
        stat_at: position of the staterror parameter of every bin; P where there is none.
        names: of those parameters.
    """

    uncertainty: Float[Array, "b s"]
    stat_at: Int[Array, " b"]
    names: tuple[str, ...] = eqx.field(static=True)

    @classmethod
    def of(cls, workspace: Workspace, declared: Declared) -> Simulated:
        """Collect the staterrors of a workspace."""
        n_bins = sum(channel.n_bins for channel in workspace.channels)
        n_slots = max(len(channel.samples) for channel in workspace.channels)
        uncertainty = np.zeros((n_bins, n_slots))
        stat_at = np.full(n_bins, len(declared.parameters))
        firsts = first_components(workspace)
        first = 0
        for channel in workspace.channels:
            bins = slice(first, first + channel.n_bins)
            for s, sample in enumerate(channel.samples):
                for modifier in sample.modifiers:
                    if isinstance(modifier, StatError):
                        start = firsts[channel.name, modifier.name]
                        names = [f"{modifier.name}[{start + i}]" for i in range(channel.n_bins)]
                        uncertainty[bins, s] = modifier.uncertainty
                        stat_at[bins] = declared.parameters.positions(names)
            first += channel.n_bins
        names = [declared.parameters.names[i] for i in np.unique(stat_at) if i < len(declared.parameters)]
        return cls(jnp.asarray(uncertainty), jnp.asarray(stat_at), tuple(names))


def new_templates(grids: Grids, simulated: Simulated, key: Key, scale: Scalar) -> tuple[Grids, Float[Array, " b"]]:
    """Templates of other samples, and the relative uncertainty of each bin's sum, for its staterror."""
    nominal_key, high_key, low_key = jax.random.split(key, 3)
    factor = _fluctuation(nominal_key, grids.nominal, simulated.uncertainty, scale)
    nominal = grids.nominal * factor
    entry = grids.shifts.entry
    before, s = grids.nominal.reshape(-1)[entry], simulated.uncertainty.reshape(-1)[entry]
    high = before + grids.shifts.odd + grids.shifts.even
    low = before - grids.shifts.odd + grids.shifts.even
    high = high * _fluctuation(high_key, high, s, scale)
    low = low * _fluctuation(low_key, low, s, scale)
    odd, even = 0.5 * (high - low), 0.5 * (high + low) - nominal.reshape(-1)[entry]
    shifts = eqx.tree_at(lambda g: (g.odd, g.even), grids.shifts, (odd, even))
    takes_part = simulated.uncertainty > 0.0
    total = jnp.sum(jnp.where(takes_part, nominal, 0.0), axis=1)
    variance = jnp.sum(simulated.uncertainty**2 * factor / scale, axis=1)
    width = jnp.sqrt(variance) / jnp.where(total > 0.0, total, 1.0)
    return eqx.tree_at(lambda g: (g.nominal, g.shifts), grids, (nominal, shifts)), jnp.where(total > 0.0, width, 0.0)


def with_widths(
    constraints: ConstraintTerms, at: Int[Array, " b"], width: Float[Array, " b"], size: int
) -> ConstraintTerms:
    """Constraint terms whose Normal widths at some of P positions are replaced, where the new one is positive."""
    normal = constraints.normal
    old = jnp.ones(size + 1).at[normal.at].set(normal.width)
    new = old.at[at].set(jnp.where(width > 0.0, width, old[at]))
    return eqx.tree_at(lambda c: c.normal.width, constraints, new[normal.at])


def _fluctuation(
    key: Key, content: Float[Array, "*n"], uncertainty: Float[Array, "*n"], scale: Scalar
) -> Float[Array, "*n"]:
    """Content from other samples over content: n / (k N), 1 where there is no uncertainty."""
    known = (uncertainty > 0.0) & (content != 0.0)
    events = scale * jnp.where(known, content / jnp.where(known, uncertainty, 1.0), 1.0) ** 2
    return jnp.where(known, sample_poisson(key, events) / events, 1.0)
