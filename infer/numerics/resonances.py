r"""Resonances seen with finite resolution, and the photons that their decay products radiate.

A resonance of mass M and width Gamma has a pole in the complex plane; the convolution of a pole
with a Gaussian resolution sigma is the Faddeeva function w::

    integral N(x - t; 0, sigma) / (t - q) dt = i sqrt(pi/2) / sigma * w((q - x) / (sqrt(2) sigma))

for Im q > 0.  *Voigt* profile: q = M + i Gamma / 2.  *Relativistic Breit-Wigner* with the running
width that defines the Z mass: with gamma = Gamma / M,

    1 / ((t^2 - M^2)^2 + t^4 gamma^2)  is proportional to  Im 1 / (t^2 - q^2),
    q^2 = M^2 (1 + i gamma) / (1 + gamma^2),    1 / (t^2 - q^2) = (1 / (t - q) - 1 / (t + q)) / 2 q,

so that the convolution is exact: one Faddeeva function for the pole at q, and for the one at -q,
hundreds of resolutions away, three terms of its asymptotic series.  Values are exact to 1e-10,
first derivatives of the logarithm in the resolution to 1e-8 / resolution, second ones to
1e-4 / resolution^2 within 100 resolutions of the peak, where w'' cancels.

*Final-state radiation.*  A pair produced with mass s is seen with mass sqrt(z) s, and z follows the
radiator of soft-photon exponentiation with the hard photon to first order,

    D(z) = (1 + 3 beta / 4) beta (1 - z)^(beta - 1) - beta (1 + z) / 2,
    beta = 2 alpha / pi (log(M^2 / m_lepton^2) - 1),

whose integral is 1.  For a density g before radiation, f(x) = integral D((x/s)^2) 2 x / s^2 g(s) ds
over s > x: a linear map, computed once as a matrix between values of g and of f.

References: Weideman, SIAM J. Numer. Anal. 31 (1994) 1497 (the algorithm of ``wofz``); Bardin et al.,
Phys. Lett. B 206 (1988) 539 (running and fixed width); Kuraev and Fadin, Sov. J. Nucl. Phys. 41
(1985) 466, and Nicrosini and Trentadue, Phys. Lett. B 196 (1987) 551 (radiator; there for the
initial state, whose collinear photons are the same).
"""

from __future__ import annotations

import math
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import wofz
from jaxtyping import Array, Complex, Float
from scipy.special import roots_jacobi

from infer.numerics.densities import Density, Points, argument
from infer.numerics.panels import FloatArray, evaluate, legendre_transform
from infer.typing import Scalar, Vector

FINE_STRUCTURE = 1.0 / 137.035999


class Voigt(Density):
    """Lorentzian convolved with a Gaussian resolution: the non-relativistic resonance.

    Args:
        mass: peak position, in units of x.
        width: full width at half maximum of the Lorentzian, positive.
        resolution: standard deviation of the Gaussian, positive.

    Accuracy: 1e-10 relative to ``scipy.special.voigt_profile`` while width > resolution / 10.
    """

    mass: Scalar = argument()
    width: Scalar = argument()
    resolution: Scalar = argument()

    def log_density(self, x: Points) -> Points:
        """Logarithm of the Voigt profile, normalised on the real line."""
        scale = 1.0 / (math.sqrt(2.0) * self.resolution)
        z = jax.lax.complex((x - self.mass) * scale, jnp.broadcast_to(0.5 * self.width * scale, x.shape))
        return jnp.log(jnp.real(wofz(z)) * scale / math.sqrt(math.pi))


class BreitWigner(Density):
    """Relativistic Breit-Wigner with running width, convolved with a Gaussian resolution.

    Proportional to ``(x / mass)^tilt`` times the convolution of
    ``1 / ((t^2 - mass^2)^2 + t^4 width^2 / mass^2)`` with N(x - t; 0, resolution).

    Args:
        mass: in the running-width convention (that of the Z mass), in units of x.
        width: in the same convention, positive.
        resolution: standard deviation of the Gaussian, positive and far below the mass.
        tilt: power of a factor that stands for what varies slowly across the peak, such as parton
            luminosities; one unit moves the peak of the Z, seen with 1.1 GeV resolution, by 30 MeV.
    """

    mass: Scalar = argument()
    width: Scalar = argument()
    resolution: Scalar = argument()
    tilt: Scalar = argument()

    def log_density(self, x: Points) -> Points:
        """Logarithm of the convolution and of the tilt."""
        pole = _pole(self.mass, self.width)
        near = _smeared_pole(x, pole, self.resolution)
        far = _smeared_far_pole(x, pole, self.resolution)
        profile = jnp.imag((near - far) * (0.5 / pole))
        return jnp.log(profile) + self.tilt * jnp.log(x / self.mass)


def _pole(mass: Scalar, width: Scalar) -> Complex[Array, ""]:
    """The pole q in the upper half-plane, with q^2 = M^2 (1 + i gamma) / (1 + gamma^2)."""
    gamma = width / mass
    squared = mass**2 / (1.0 + gamma**2)
    return jnp.sqrt(jax.lax.complex(squared, squared * gamma))


def _smeared_pole(x: Points, pole: Complex[Array, ""], resolution: Scalar) -> Complex[Array, "*n"]:
    """``1 / (t - pole)`` convolved with the resolution, for a pole in the upper half-plane."""
    scale = 1.0 / (math.sqrt(2.0) * resolution)
    z = jax.lax.complex((jnp.real(pole) - x) * scale, jnp.broadcast_to(jnp.imag(pole) * scale, x.shape))
    return wofz(z) * jax.lax.complex(jnp.zeros_like(scale), math.sqrt(math.pi) * scale)


def _smeared_far_pole(x: Points, pole: Complex[Array, ""], resolution: Scalar) -> Complex[Array, "*n"]:
    """``1 / (t + pole)`` convolved with a resolution far below ``x + pole``, to its sixth power."""
    inverse = 1.0 / (x.astype(pole.dtype) + pole)
    step = resolution.astype(pole.dtype) ** 2 * inverse**2
    return inverse * (1.0 + step * (1.0 + 3.0 * step))


class Radiator(eqx.Module):
    """Final-state radiation as a linear map, from values before it to coefficients after it.

    Made by `radiator`; holds constants only.

    Args:
        low: lower end of the range.
        panel: width of each of the B equal panels of the range.
        source: masses before radiation, with shape (S,), where the density is wanted.
        matrix: from those values to Legendre coefficients in each panel, with shape (B, L, S).
    """

    low: Scalar
    panel: Scalar
    source: Vector
    matrix: Float[Array, "b l s"]


class RadiatedBreitWigner(Density):
    """`BreitWigner` after final-state radiation.

    The resolution is proportional to the mass: ``resolution`` at that of the pair before radiation.
    The density is a polynomial in each panel of the radiator, within 1e-8 of the convolution for
    the default panels across 60 GeV at the Z.

    Args:
        mass: as in `BreitWigner`.
        width: as in `BreitWigner`.
        resolution: as in `BreitWigner`.
        tilt: as in `BreitWigner`.
        radiator: of the range and of the lepton, from `radiator`.
    """

    mass: Scalar = argument()
    width: Scalar = argument()
    resolution: Scalar = argument()
    tilt: Scalar = argument()
    radiator: Radiator = eqx.field(kw_only=True)

    def log_density(self, x: Points) -> Points:
        """Logarithm of the piecewise polynomial, for x within the radiator's range."""
        before = BreitWigner(self.mass, self.width, self.resolution, self.tilt)
        coefficients = self.radiator.matrix @ jnp.exp(before.log_density(self.radiator.source))
        return jnp.log(evaluate(coefficients, self.radiator.low, self.radiator.panel, x))


def radiation_strength(mass: float, lepton_mass: float) -> float:
    """``beta = 2 alpha / pi (log(M^2 / m^2) - 1)``: 0.0582 for muons from the Z (masses in one unit)."""
    return 2.0 * FINE_STRUCTURE / math.pi * (2.0 * math.log(mass / lepton_mass) - 1.0)


def radiator(low: float, high: float, strength: float, *, panels: int = 64, order: int = 8) -> Radiator:
    """The map of final-state radiation for the range from ``low`` to ``high``, both positive.

    Pairs produced above ``2 high`` are neglected.  Computed once, in about half a second.

    Args:
        low: lower end of the range.
        high: upper end of the range.
        strength: beta of the radiator, from `radiation_strength`.
        panels: equal panels of the range; each should be narrower than the peak.
        order: nodes per panel.
    """
    edges = np.linspace(low, high, panels + 1)
    source_edges = np.concatenate([edges, _growing(high, 2.0 * high, edges[1] - edges[0])])
    t, _ = np.polynomial.legendre.leggauss(order)
    source = _spread(source_edges, t)
    target = source[:panels].ravel()
    columns = [_responses(target, start, stop, strength, order) for start, stop in pairwise(source_edges)]
    values = np.concatenate(columns, axis=1).reshape(panels, order, source.size)
    matrix = np.einsum("lj,bjs->bls", legendre_transform(order), values)
    return Radiator(
        jnp.asarray(float(low)),
        jnp.asarray(float(edges[1] - edges[0])),
        jnp.asarray(source.ravel()),
        jnp.asarray(matrix),
    )


def _growing(start: float, stop: float, width: float) -> FloatArray:
    """Edges after ``start`` up to ``stop``, each panel half as wide again as the one before."""
    edges = [start]
    while edges[-1] < stop:
        width *= 1.5
        edges.append(min(edges[-1] + width, stop))
    return np.asarray(edges[1:])


def _spread(edges: FloatArray, t: FloatArray) -> FloatArray:
    """Points t in [-1, 1] of every panel, with shape (B, len(t))."""
    centre, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * (edges[1:] - edges[:-1])
    return np.asarray(centre[:, None] + half[:, None] * t)


def _responses(x: FloatArray, start: float, stop: float, strength: float, order: int) -> FloatArray:
    """Density after radiation at each x per value at each node of the panel [start, stop].

    The kernel's soft part has a power-law singularity at s = x.  Where x lies in the panel,
    Gauss-Jacobi quadrature carries it; where x lies below, the integral runs over log(s - x).
    """
    inside, below = (start < x) & (x < stop), x < start
    out = np.zeros((len(x), order))
    out[inside] = _at_singularity(x[inside], start, stop, strength, order)
    t, w = np.polynomial.legendre.leggauss(32)
    low, high = np.log(start - x[below]), np.log(stop - x[below])
    log_loss = 0.5 * (high + low)[:, None] + 0.5 * (high - low)[:, None] * t
    loss = np.exp(log_loss)
    s = x[below, None] + loss
    kernel = _soft(x[below, None], s, strength) * loss**strength
    kernel += _hard(x[below, None], s, strength) * loss
    weights = 0.5 * (high - low)[:, None] * w * kernel
    out[below] = np.einsum("qk,qkj->qj", weights, _lagrange(s, start, stop, order))
    return out


def _at_singularity(x: FloatArray, start: float, stop: float, strength: float, order: int) -> FloatArray:
    """`_responses` where x lies in the panel: the integral over s from x to ``stop``."""
    half = 0.5 * (stop - x)[:, None]
    t, w = roots_jacobi(32, 0.0, strength - 1.0)
    s = x[:, None] + half * (1.0 + t)
    weights = half**strength * w * _soft(x[:, None], s, strength)
    out = np.einsum("qk,qkj->qj", weights, _lagrange(s, start, stop, order))
    t, w = np.polynomial.legendre.leggauss(32)
    s = x[:, None] + half * (1.0 + t)
    weights = half * w * _hard(x[:, None], s, strength)
    return np.asarray(out + np.einsum("qk,qkj->qj", weights, _lagrange(s, start, stop, order)))


def _soft(x: FloatArray, s: FloatArray, beta: float) -> FloatArray:
    """Soft part of ``D((x/s)^2) 2 x / s^2``, divided by ``(s - x)^(beta - 1)``."""
    reduced = ((s + x) / s**2) ** (beta - 1.0)
    return np.asarray((1.0 + 0.75 * beta) * beta * reduced * 2.0 * x / s**2)


def _hard(x: FloatArray, s: FloatArray, beta: float) -> FloatArray:
    """Hard part of ``D((x/s)^2) 2 x / s^2``."""
    return np.asarray(-0.5 * beta * (1.0 + (x / s) ** 2) * 2.0 * x / s**2)


def _lagrange(s: FloatArray, start: float, stop: float, order: int) -> FloatArray:
    """The Lagrange polynomials of the panel's nodes at s, with one more axis, of length ``order``."""
    t = (2.0 * s - start - stop) / (stop - start)
    return np.asarray(np.polynomial.legendre.legvander(t, order - 1) @ legendre_transform(order))
