"""Campaigns: toys of several truths, fitted, with their intervals, cut into chunks.

A chunk of consecutive toys is a pure function of its number, so that the numbers do not depend on where
chunks are computed, in which order, or how often a run was interrupted.  Toys of different truths share
their random numbers: toy i is the same fluctuation, seen at each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from infer.compute import Checkpoint, Executor, Manifest, Table, current_versions, fingerprint
from infer.compute import run as run_chunks
from infer.data import Data
from infer.errors import ParameterError
from infer.inference.batches import each
from infer.inference.ensembles import Ensemble, Source, Toy, draw, expected_hessian, source_of
from infer.inference.fits import FitResult, Settings, box_of, fit, require_poi
from infer.inference.minimize import CONVERGED, Box, Newton, restricted
from infer.inference.toy_fits import Fits, Model, fit_toys
from infer.inference.toy_intervals import DEEPER, Ends, Held, Method, Shared
from infer.likelihood import Likelihood
from infer.typing import Key, Scalar

FloatArray = npt.NDArray[np.float64]
Columns = dict[str, npt.NDArray[Any]]

_DRAWN = 256  # toys of one call of `draw`: always so many, so that a toy's bits depend on its number alone
_CHUNK = 512
_CHUNK_TINY = 16384  # for models of up to 12 parameters, whose fits take microseconds
_ROUNDS = 3  # refits of a toy whose profile lies below its best fit
Question = Callable[[Model, tuple[Toy, Fits]], dict[str, Scalar]]
"""Columns from one toy and its fit; hashable, as `each` wants it, and found by import, so that workers have it."""

MARK = "index"  # column that every table of toys has


@dataclass(frozen=True)
class Run:
    """Where toys are computed, and where finished chunks are kept.

    Args:
        executor: Where; None means in this process, on all cores.
        folder: Where finished chunks are kept; None keeps them in memory.
        resume: Whether the folder holds the beginning of this run.
        progress: Called with the numbers of finished and of all chunks.
        chunk: Toys of a chunk; None chooses by the size of the model.  It bounds the memory of a worker.
    """

    executor: Executor | None = None
    folder: Path | None = None
    resume: bool = False
    progress: Callable[[int, int], None] | None = None
    chunk: int | None = None

    def chunk_size(self, n_parameters: int) -> int:
        """Toys of a chunk."""
        return self.chunk or (_CHUNK_TINY if n_parameters <= 12 else _CHUNK)


@dataclass(frozen=True, eq=False)
class Campaign:
    """Toys of several truths, fitted, with their intervals: the work that is cut into chunks.

    Args:
        sources: What the toys of each truth are drawn from.
        models: What is fitted to them, for each truth.
        truths: Parameter of interest at each truth.
        ensembles: What each source was made from.
        key: Data of the random key.
        n: Toys of each truth.
        size: Toys of a chunk.
        solver: Of the fits.
        methods: Interval methods.
        levels: Their confidence levels with shape (K,).
        grid: Where critical values are known, with shape (G,); see `toy_intervals.Belt`.
        critical: Those values with shape (K, G).
        tests: Values of the parameter of interest at which every toy's ``-2 log L`` is profiled too, one tuple
            for each truth.
        firsts: Number of the first toy of each truth; none means 0.
        questions: What else is asked of every toy and its fit.
    """

    sources: tuple[Source, ...]
    models: tuple[Model, ...]
    truths: tuple[float, ...]
    ensembles: tuple[Ensemble, ...]
    key: npt.NDArray[np.uint32]
    n: int
    size: int
    solver: Newton
    methods: tuple[Method, ...] = ()
    levels: FloatArray = field(default_factory=lambda: np.zeros(0))
    grid: FloatArray = field(default_factory=lambda: np.zeros(1))
    critical: FloatArray = field(default_factory=lambda: np.zeros((0, 1)))
    tests: tuple[tuple[float, ...], ...] = ()
    firsts: tuple[int, ...] = ()
    questions: tuple[Question, ...] = ()

    @property
    def chunks_per_truth(self) -> int:
        """Chunks of one truth."""
        return -(-self.n // self.size)

    @property
    def n_chunks(self) -> int:
        """Chunks of all truths."""
        return len(self.sources) * self.chunks_per_truth

    @property
    def chunk_bytes(self) -> int:
        """Memory that the toys of a chunk and their fits take, in bytes; the model itself comes on top."""
        key = jax.random.wrap_key_data(jnp.asarray(self.key))
        toy = eqx.filter_eval_shape(draw, self.sources[0], key, jnp.arange(1))
        one = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(toy))
        return self.size * (one + 33 * int(self.sources[0].theta.size) + 100)

    def __call__(self, chunk: int) -> Table:
        """The toys of a chunk: one row a toy, and sums over the pulls of all parameters."""
        point, part = divmod(chunk, self.chunks_per_truth)
        indices = np.arange(part * self.size, min((part + 1) * self.size, self.n))
        return self.table(point, indices + (self.firsts[point] if self.firsts else 0))

    def table(self, point: int, indices: npt.NDArray[np.int64]) -> Columns:
        """Rows of the toys with these numbers, of one truth."""
        source, model = self.sources[point], self.models[point]
        toys = throw(source, jax.random.wrap_key_data(jnp.asarray(self.key)), indices)
        shared = Shared(model, jnp.asarray(self.levels), jnp.asarray(self.grid), jnp.asarray(self.critical))
        tested = (Held(self.solver),) if self.tests else ()
        if tested:
            shared = shared._replace(values=jnp.asarray(self.tests[point]))
        fits, ends, restarts = _fit_with_intervals(shared, toys, (*self.methods, *tested), self.solver)
        at = int(model.at)
        columns = {
            MARK: indices,
            "point": np.full(indices.size, point),
            "truth": np.asarray(toys.truth)[:, at],
            "value": np.asarray(fits.theta)[:, at],
            "sigma": np.asarray(fits.sigma),
            "twice_nll": 2.0 * np.asarray(fits.nll),
            "converged": np.asarray(fits.status) == CONVERGED,
            "status": np.asarray(fits.status),
            "engine": np.asarray(fits.engine),
            "restarts": restarts,
            "n_steps": np.asarray(fits.n_steps),
            "edm": 2.0 * np.asarray(fits.edm),
            "projected_gradient": 2.0 * np.asarray(fits.projected_gradient),
            "positive_definite": np.asarray(fits.positive_definite),
            "at_bound": ~np.asarray(fits.inactive)[:, at],
        }
        for method in self.methods:
            for k in range(self.levels.size):
                columns |= _end_columns(method.name, k, ends[method.name])
        for question in self.questions:
            columns |= each(question, model, (toys, fits), size=fits.theta.shape[1])
        for test in tested:
            columns |= _test_columns(test.name, ends[test.name])
        return {**columns, **_pull_sums(fits, np.asarray(toys.truth))}


def throw(source: Source, key: Key, indices: npt.NDArray[np.int64]) -> Toy:
    """Toys with these numbers, drawn in aligned blocks of `_DRAWN`."""
    parts = []
    for block in np.unique(indices // _DRAWN):
        numbers = block * _DRAWN + np.arange(_DRAWN)
        drawn = jax.device_get(draw(source, key, jnp.asarray(numbers)))
        wanted = np.isin(numbers, indices)
        parts.append(jax.tree.map(lambda x, wanted=wanted: x[wanted], drawn))
    toys: Toy = jax.tree.map(lambda *x: np.concatenate(x), *parts)
    return toys


def _fit_with_intervals(
    shared: Shared, toys: Toy, methods: Sequence[Method], solver: Newton
) -> tuple[Fits, dict[str, Ends], npt.NDArray[np.int64]]:
    """Fits and intervals; a toy whose profile lies below its best fit is fitted again from there."""
    fits = fit_toys(shared.model, toys, solver=solver)
    n, size = fits.theta.shape
    ends = {m.name: each(m, shared, (toys, fits), size=size) for m in methods}
    restarts = np.zeros(n, dtype=int)
    for _ in range(_ROUNDS):
        below = [i for i in range(n) if any(_is_deeper(found, i) for found in ends.values())] if ends else []
        if not below:
            break
        some, best = _take((toys, fits), below)
        start = np.stack([_deeper(ends, i) for i in below])
        again = _lower(fit_toys(shared.model, some, solver=solver, start=start), best)
        fits = _put(fits, below, again)
        for method in methods:
            ends[method.name] = _put(ends[method.name], below, each(method, shared, (some, again), size=size))
        restarts[below] += 1
    return fits, ends, restarts


def _is_deeper(ends: Ends, i: int) -> bool:
    return bool(np.any(ends.low_status[i] == DEEPER) or np.any(ends.high_status[i] == DEEPER))


def _deeper(ends: Mapping[str, Ends], i: int) -> FloatArray:
    return next(np.asarray(found.deeper[i]) for found in ends.values() if _is_deeper(found, i))


def _take(batch: Any, at: Sequence[int]) -> Any:
    return jax.tree.map(lambda x: x[np.asarray(at)], batch)


def _put(batch: Any, at: Sequence[int], part: Any) -> Any:
    def put(whole: npt.NDArray[Any], some: npt.NDArray[Any]) -> npt.NDArray[Any]:
        whole = np.array(whole)
        whole[np.asarray(at)] = some
        return whole

    return jax.tree.map(put, batch, part)


def _lower(some: Fits, others: Fits) -> Fits:
    """Of two fits of each toy, the one with the lower ``-logpdf``."""
    better = np.asarray(some.nll) < np.asarray(others.nll)

    def choose(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.where(better.reshape(better.shape + (1,) * (np.ndim(a) - 1)), a, b)

    chosen: Fits = jax.tree.map(choose, some, others)
    return chosen


def _end_columns(method: str, k: int, ends: Ends) -> Columns:
    return {
        f"{method}_{k}_low": np.asarray(ends.low)[:, k],
        f"{method}_{k}_high": np.asarray(ends.high)[:, k],
        f"{method}_{k}_low_status": np.asarray(ends.low_status)[:, k],
        f"{method}_{k}_high_status": np.asarray(ends.high_status)[:, k],
    }


def _test_columns(name: str, ends: Ends) -> Columns:
    nll, status = np.asarray(ends.low), np.asarray(ends.low_status)
    columns = {f"{name}_{j}_twice_nll": 2.0 * nll[:, j] for j in range(nll.shape[1])}
    return columns | {f"{name}_{j}_status": status[:, j] for j in range(nll.shape[1])}


def _pull_sums(fits: Fits, truth: FloatArray) -> Columns:
    """Number, sum and sum of squares of (estimate - truth) / uncertainty over toys, by parameter."""
    with np.errstate(divide="ignore", invalid="ignore"):
        pulls = (np.asarray(fits.theta) - truth) / np.asarray(fits.uncertainty)
    converged = np.asarray(fits.status) == CONVERGED
    good = np.isfinite(pulls) & np.asarray(fits.inactive) & converged[:, None]
    pulls = np.where(good, pulls, 0.0)
    return {"pull_n": good.sum(axis=0), "pull_sum": pulls.sum(axis=0), "pull_squares": (pulls**2).sum(axis=0)}


PULLS = ("pull_n", "pull_sum", "pull_squares")


def rows(tables: Sequence[Table]) -> Columns:
    """All toys of several tables, one row a toy; sums over pulls left out."""
    names = [name for name in tables[0] if name not in PULLS]
    return {name: np.concatenate([table[name] for table in tables]) for name in names}


@dataclass(frozen=True)
class Pull:
    """How the pulls of one parameter are distributed over toys; (estimate - truth) / uncertainty.

    Attributes:
        mean: Mean.
        std: Standard deviation.
        n: Toys that have one: converged, the parameter away from its bounds.
    """

    mean: float
    std: float
    n: int


def pulls_of(tables: Sequence[Table], names: Sequence[str]) -> dict[str, Pull]:
    """Pulls by parameter; parameters that never had one are left out."""
    n, total, squares = (np.sum([table[name] for table in tables], axis=0) for name in PULLS)
    found = {}
    for i, name in enumerate(names):
        if n[i] > 1:
            mean = total[i] / n[i]
            variance = (squares[i] - n[i] * mean**2) / (n[i] - 1)
            found[name] = Pull(float(mean), float(np.sqrt(max(variance, 0.0))), int(n[i]))
    return found


def prepare(
    likelihood: Likelihood,
    data: Data,
    *,
    key: Key,
    n_toys: int,
    poi: str | None,
    values: Sequence[float | None],
    ensemble: Ensemble | Sequence[Ensemble] | None,
    settings: Settings,
    run: Run,
    mc_scale: float | None = None,
) -> tuple[Campaign, FitResult]:
    """The campaign of toys at several truths, and the fit to the observed data."""
    if n_toys < 1:
        raise ParameterError(f"expected at least one toy, got {n_toys}.")
    best = fit(likelihood, data, poi=poi, settings=settings)
    name = require_poi(best)
    if best.parameters[name].fixed:
        raise ParameterError(f"parameter {name!r} is fixed, so that toys say nothing about it.")
    ensembles = [ensemble or Ensemble()] if ensemble is None or isinstance(ensemble, Ensemble) else list(ensemble)
    pairs = [(kind, value) for kind in ensembles for value in values]
    sources = tuple(
        source_of(
            likelihood,
            data,
            poi=name,
            value=value,
            ensemble=kind,
            best=best,
            settings=settings,
            resimulated=mc_scale is not None,
        )
        for kind, value in pairs
    )
    scale = None if mc_scale is None else jnp.asarray(float(mc_scale))
    at = best.parameters.position(name)
    campaign = Campaign(
        sources=sources,
        models=tuple(model_of(source, best, at, scale) for source in sources),
        truths=tuple(float(source.theta[at]) for source in sources),
        ensembles=tuple(kind for kind, _ in pairs),
        key=np.asarray(jax.random.key_data(key)),
        n=n_toys,
        size=run.chunk_size(len(best.parameters)),
        solver=settings.solver,
    )
    return campaign, best


def model_of(source: Source, best: FitResult, at: int, mc_scale: jax.Array | None) -> Model:
    """Toys are searched from their truth, where the expected Hessian is known; what is fixed stays where it is held."""
    box = box_of(best.parameters)
    box = Box(jnp.where(box.free, source.theta, box.start), box.lower, box.upper, box.free)
    information = expected_hessian(source.likelihood, box.start)
    usable = bool(jnp.all(jnp.isfinite(jnp.linalg.cholesky(restricted(information, box.free)))))
    return Model(source.likelihood, box, information if usable else None, jnp.asarray(at), mc_scale)


def conduct(campaign: Campaign, run: Run, *, kind: str, settings: Mapping[str, Any]) -> list[Table]:
    """All chunks of a campaign, in order, wherever and however often it takes."""
    checkpoint = None
    if run.folder is not None:
        manifest = Manifest(
            kind,
            fingerprint(
                (
                    campaign.sources,
                    campaign.models,
                    campaign.methods,
                    campaign.grid,
                    campaign.critical,
                    campaign.tests,
                    campaign.questions,
                )
            ),
            {"n": campaign.n, "chunk": campaign.size, "key": campaign.key.tolist(), **settings},
            current_versions(),
            campaign.n_chunks,
        )
        checkpoint = (Checkpoint.resume if run.resume else Checkpoint.create)(run.folder, manifest)
    return run_chunks(campaign, campaign.n_chunks, executor=run.executor, checkpoint=checkpoint, progress=run.progress)
