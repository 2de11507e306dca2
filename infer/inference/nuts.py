r"""Chains of the No-U-Turn Sampler on the posterior of any likelihood.

    log p(theta | data) = log f(data | theta) + log prior(theta of free parameters) + constant

The constraint terms are within the first term.  Chains run in z, with theta = x(u_0 + L z): x is the bijection of
`priors`, u_0 the maximum of the density in u, and L L^T the inverse Hessian there.  In z a posterior that is nearly
Gaussian is nearly the unit one, however strongly its parameters are correlated, so that the sampler needs few steps
for an independent point, and its warm-up has but the step size and d variances to find.  (Hoffman & Gelman,
arXiv:1111.4246, algorithm 6; the implementation is numpyro's, Phan et al., arXiv:1912.11554.)  The samples do not
depend on how good u_0 and L are; the time does.

Chains are independent programs on threads of their own.  Advancing them together would make each wait, at every
step, for the one with the longest trajectory.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, Bool, Float, Int
from scipy import optimize

from infer.data import Data
from infer.inference.batches import threads
from infer.inference.priors import Free, Space
from infer.likelihood import Likelihood
from infer.threads import one_blas_thread
from infer.typing import Key, Scalar, Vector

FloatArray = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]

_APART = 2.0  # standard deviations: how far chains start from the maximum, in every direction
_HALVINGS = 30


class Target(eqx.Module):
    """The density to sample, with its coordinates.

    Args:
        likelihood: Any likelihood.
        data: Data for it.
        fixed: Values of all parameters, of which those that are not sampled stay, with shape (P,).
        at: Positions of the sampled parameters with shape (d,).
        space: Their ranges and priors.
        origin: u_0 with shape (d,).
        root: L with shape (d, d).
    """

    likelihood: Likelihood
    data: Data
    fixed: Vector
    at: Int[Array, " d"]
    space: Space
    origin: Free
    root: Float[Array, "d d"]

    def theta(self, u: Free) -> Vector:
        """All parameters."""
        return self.fixed.at[self.at].set(self.space.values(u))

    def of_space(self, u: Free) -> Scalar:
        """-log of prior and Jacobian."""
        return -self.space.log_prior(self.space.values(u)) - self.space.log_jacobian(u)

    def potential(self, z: Free) -> Scalar:
        """-log of the density in z."""
        u = self.origin + self.root @ z
        return self.of_space(u) - self.likelihood.logpdf(self.theta(u), self.data)


class Chain(NamedTuple):
    """What a chain of n draws brings home.

    Args:
        values: Sampled parameters with shape (n, d).
        diverged: Whether the trajectory of a draw lost its energy, with shape (n,).
        accept: Acceptance probability of a draw with shape (n,).
        steps: Gradients that it took with shape (n,).
        step_size: Step size in z.
    """

    values: Float[Array, "n d"]
    diverged: Bool[Array, " n"]
    accept: Float[Array, " n"]
    steps: Int[Array, " n"]
    step_size: Scalar


@dataclass(frozen=True)
class Plan:
    """How chains run.

    Attributes:
        n_warmup: Draws that adapt the sampler and are thrown away.
        n_samples: Draws that are kept.
        acceptance: Acceptance probability that the step size aims at.
    """

    n_warmup: int
    n_samples: int
    acceptance: float


def target(likelihood: Likelihood, data: Data, theta: FloatArray, at: Any, space: Space) -> Target:
    """The target about its maximum.

    Args:
        likelihood: Any likelihood.
        data: Data for it.
        theta: Best fit, fixed parameters included, with shape (P,).
        at: Positions of the sampled parameters with shape (d,).
        space: Their ranges and priors.
    """
    positions = np.asarray(at, dtype=int)
    start = space.inverse(theta[positions])
    d = start.size
    first = Target(likelihood, data, jnp.asarray(theta), jnp.asarray(positions), space, jnp.asarray(start), jnp.eye(d))
    with one_blas_thread():
        found = optimize.minimize(
            lambda u: float(_value(first, jnp.asarray(u))),
            start,
            jac=lambda u: np.asarray(_curvature(first, jnp.asarray(u))[0]),
            hess=lambda u: np.asarray(_curvature(first, jnp.asarray(u))[1]),
            method="trust-exact",
            options={"maxiter": 100, "gtol": 1e-3},
        )
        hessian = np.asarray(_curvature(first, jnp.asarray(found.x))[1])
        root = _inverse_root(hessian)
    return eqx.tree_at(lambda t: (t.origin, t.root), first, (jnp.asarray(found.x), jnp.asarray(root)))


def _inverse_root(hessian: FloatArray) -> FloatArray:
    """L with L L^T the inverse, directions without curvature getting a finite length."""
    curvature, axes = np.linalg.eigh(hessian)
    size = np.maximum(np.abs(curvature), 1e-12 * float(np.max(np.abs(curvature))))
    return np.asarray(axes / np.sqrt(size))


@eqx.filter_jit
def _value(target: Target, u: Free) -> Scalar:
    return target.of_space(u) - target.likelihood.logpdf(target.theta(u), target.data)


@eqx.filter_jit
def _curvature(target: Target, u: Free) -> tuple[Free, Float[Array, "d d"]]:
    """Gradient and Hessian of -log density in u, from the closed form of the likelihood by the chain rule."""
    ones = jnp.ones_like(u)
    full = target.likelihood.curvature(target.theta(u), target.data)
    gradient, hessian = full.gradient[target.at], full.hessian[target.at[:, None], target.at[None, :]]
    # Each of these acts on every parameter by itself, so that a derivative along (1, ..., 1) is all of its diagonal.
    _, slope = jax.jvp(target.space.values, (u,), (ones,))
    _, bend = jax.jvp(lambda v: jax.jvp(target.space.values, (v,), (ones,))[1], (u,), (ones,))
    own, own_bend = jax.jvp(jax.grad(target.of_space), (u,), (ones,))
    diagonal = jnp.diag(gradient * bend + own_bend)
    return gradient * slope + own, slope[:, None] * hessian * slope[None, :] + diagonal


def chains(target: Target, key: Key, plan: Plan, n: int, progress: Progress | None = None) -> Chain:
    """Run chains from dispersed starts, on all cores.

    Args:
        target: What to sample.
        key: Random key; equal keys give equal samples.
        plan: How each chain runs.
        n: Chains.
        progress: Called with the chains that are done, and their number.

    Returns:
        The chains, with a leading axis (n, ...), as NumPy arrays.
    """
    # numpyro promotes types and ranks at its will
    with one_blas_thread(), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        tasks = [(one, _start(target, begin)) for one, begin in jax.random.split(key, (n, 2))]
        lowered = _chain.lower(target, *tasks[0], plan)  # type: ignore[attr-defined]  # equinox calls it a function
        program = lowered.compile()

        def run(task: tuple[Key, Free]) -> Chain:
            return jax.device_get(program(target, *task, plan))

        with ThreadPoolExecutor(min(n, threads())) as pool:
            pending = [pool.submit(run, task) for task in tasks]
            for done, _ in enumerate(as_completed(pending), start=1):
                if progress is not None:
                    progress(done, n)
        stacked: Chain = jax.tree.map(lambda *x: np.stack(x), *(one.result() for one in pending))
    return stacked


def _start(target: Target, key: Key) -> Free:
    """A point away from the maximum, as far as the density is not zero there."""
    z = _APART * jax.random.normal(key, target.origin.shape)
    for _ in range(_HALVINGS):
        if np.isfinite(_potential(target, z)):
            return z
        z = 0.5 * z
    return jnp.zeros_like(z)


@eqx.filter_jit
def _potential(target: Target, z: Free) -> Scalar:
    return target.potential(z)


@eqx.filter_jit
def _chain(target: Target, key: Key, start: Free, plan: Plan) -> Chain:
    from numpyro.infer.hmc import hmc  # brought by the extra `bayes`, and not needed for anything else

    begin, draw = hmc(target.potential, algo="NUTS")
    state = begin(start, plan.n_warmup, target_accept_prob=plan.acceptance, rng_key=key)

    def step(state: Any, _: None) -> tuple[Any, tuple[Any, ...]]:
        state = draw(state)
        values = target.space.values(target.origin + target.root @ state.z)
        return state, (values, state.diverging, state.accept_prob, state.num_steps)

    # Warm-up in the same loop, although its draws are thrown away: the sampler then is compiled once and not twice.
    state, drawn = jax.lax.scan(step, state, length=plan.n_warmup + plan.n_samples)
    values, diverged, accept, steps = (x[plan.n_warmup :] for x in drawn)
    return Chain(values, diverged, accept, steps, state.adapt_state.step_size)
