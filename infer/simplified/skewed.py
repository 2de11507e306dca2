r"""The form with third moments: bins with mean, covariance and skewness of their background.

The nuisance parameters are drawn from what the rest of the likelihood says of them, N(theta* - H^-1 g, H^-1) as in
`forms`, and the kept bins are evaluated at each draw by the full likelihood, which need not be linear; less mu* s' they
are the background, in which the signal moves as it does at the point of expansion.  Mean, covariance and third moments
of these become the coefficients of `infer.numerics.skewed` (arXiv:1809.05548, section 2 and eqs. 2.9 to 2.12).

The moments are those of the whole distribution: unlike the other forms, this one is no tangent to the full likelihood
at the fit, and its best fit may be another.

Draws come in pairs z and -z and are made to have the covariance one exactly, so that a linear background has the
moments that `forms.covariance_form` gives, to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Float

from infer.data import Data
from infer.io.simplified import write_simplified
from infer.likelihood import Likelihood
from infer.likelihoods.simplified import Region
from infer.numerics.skewed import skewed_yields
from infer.simplified.expansion import Expansion, rest_of
from infer.simplified.forms import Form, Modes, kept_channels
from infer.typing import Key, MainData, Vector

FloatArray = npt.NDArray[np.float64]

N_DRAWS = 20_000
"""Draws of the nuisance parameters: skewness is good to sqrt(6 / N_DRAWS), 0.017."""

_BLOCK = 500


def skewed_form(
    likelihood: Likelihood, data: Data, expansion: Expansion, keep: Sequence[str] | None, *, key: Key
) -> Form:
    """The skewed form of the channels ``keep``; None keeps those that say something of the parameter of interest.

    Raises:
        ParameterError: A channel is unknown, or a free parameter moves kept bins and nothing else measures it.
        InputError: A bin is more skewed than the form can be.
    """
    kept = kept_channels(expansion, keep)
    inside = expansion.bins_of(kept)
    rest = rest_of(likelihood, data, expansion, ~inside)
    modes = Modes.of(expansion, rest, inside)
    theta = _draws(expansion, modes, key)
    yields = np.asarray(_rates(likelihood, jnp.asarray(theta), data.main))[:, inside]
    yields = yields - modes.signal * expansion.poi_value
    mean = np.mean(yields, axis=0)
    centred = yields - mean
    sizes = [Region(n, size) for n, size in zip(expansion.channels, expansion.n_bins, strict=True) if n in kept]
    called = [f"bin {b} of channel {region.name!r}" for region in sizes for b in range(region.n_bins)]
    third = np.mean(centred**3, axis=0)
    background = skewed_yields(mean, centred.T @ centred / len(yields), third, names=called)
    remarks = [*modes.remarks]
    if background.repaired > 1e-6:
        remarks.append(f"correlations moved by up to {background.repaired:.2g} to be those of normal numbers")
    poi = expansion.fitted.parameters[expansion.poi]
    observed = expansion.observed[inside]
    return Form(
        document=write_simplified(poi, sizes, observed=observed, signal=modes.signal, background=background),
        channels=tuple(region.name for region in sizes for _ in range(region.n_bins)),
        bins=tuple(b for region in sizes for b in range(region.n_bins)),
        observed=observed,
        background=mean,
        postfit=expansion.expected[inside] - modes.signal * expansion.poi_value,
        signal=modes.signal,
        covariance=centred.T @ centred / len(yields),
        absorbed=tuple(name for name in expansion.channels if name not in kept),
        remarks=tuple(remarks),
    )


def _draws(expansion: Expansion, modes: Modes, key: Key) -> FloatArray:
    """Parameters with shape (D, P): nuisance parameters drawn, the others as they are."""
    half = np.asarray(jax.random.normal(key, (N_DRAWS // 2, modes.moving.size)), dtype=float)
    half = half @ np.linalg.inv(np.linalg.cholesky(half.T @ half / len(half))).T
    z = np.concatenate([half, -half])
    theta = np.tile(expansion.theta, (len(z), 1))
    theta[:, modes.moving] += np.linalg.solve(modes.root.T, (z + modes.along).T).T
    return theta


@eqx.filter_jit
def _rates(likelihood: Likelihood, theta: Float[Array, "d p"], main: MainData) -> Float[Array, "d b"]:
    def total(t: Vector) -> Float[Array, " b"]:
        return jnp.concatenate([jnp.sum(c.expected, axis=0) for c in likelihood.counts(t, main)])

    return jax.lax.map(total, theta, batch_size=_BLOCK)
