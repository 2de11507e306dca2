"""Toys: the experiment repeated on paper, thousands of times a second.

`toys` draws data sets at a truth, fits each, and says how the best fit of the parameter of interest and the
pulls of all parameters are distributed.  Nothing is dropped: every toy has a row with its certificate, and
those that no engine could fit are counted and known by number.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from infer.data import Data
from infer.inference.batches import block_size
from infer.inference.campaigns import MARK, Campaign, Pull, Run, conduct, prepare, pulls_of, rows, throw
from infer.inference.ensembles import Ensemble
from infer.inference.fits import FitResult, Settings, fit, require_poi
from infer.inference.toy_fits import MIGRAD
from infer.likelihood import Likelihood
from infer.typing import Key

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Toys:
    """Best fits of toys at one truth.

    Attributes:
        poi: Parameter of interest.
        truth: Its truth.
        n: Number of toys.
        columns: One entry a toy by column: ``index``, ``truth``, ``value``, ``sigma``, ``twice_nll``, ``converged``,
            ``engine`` and what else the certificate holds.
        pulls: Distribution of the pulls, by parameter.
        parameters_truth: Truth of every parameter.
        seconds_compile: Wall-clock time until the first toy was fitted, in seconds.
        seconds: Wall-clock time of all toys after that.
        chunk: Toys that are in memory together.
        chunk_bytes: Memory that these and their fits take, in bytes.
    """

    poi: str
    truth: float
    n: int
    columns: Mapping[str, npt.NDArray[Any]]
    pulls: Mapping[str, Pull]
    parameters_truth: Mapping[str, float]
    seconds_compile: float
    seconds: float
    chunk: int
    chunk_bytes: int

    @property
    def failed(self) -> npt.NDArray[np.int64]:
        """Numbers of the toys that no engine could fit."""
        return np.asarray(self.columns[MARK][~self.columns["converged"]])

    @property
    def n_failed(self) -> int:
        """How many those are."""
        return int(self.failed.size)

    @property
    def n_migrad(self) -> int:
        """Toys that needed MIGRAD."""
        return int(np.sum(self.columns["engine"] == MIGRAD))

    @property
    def values(self) -> FloatArray:
        """Best fits of the parameter of interest of the converged toys."""
        return np.asarray(self.columns["value"][self.columns["converged"]])

    @property
    def toy_pulls(self) -> FloatArray:
        """(estimate - truth) / uncertainty of the parameter of interest, of the converged toys that have one."""
        c = self.columns
        good = c["converged"] & (c["sigma"] > 0.0)
        return np.asarray((c["value"][good] - c["truth"][good]) / c["sigma"][good])

    @property
    def mean(self) -> float:
        """Mean of the best fits."""
        return _mean(self.values)

    @property
    def std(self) -> float:
        """Standard deviation of the best fits."""
        return _std(self.values)

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer toys --json``."""
        return {
            "poi": self.poi,
            "truth": self.truth,
            "n": self.n,
            "n_failed": self.n_failed,
            "failed": self.failed.tolist(),
            "n_migrad": self.n_migrad,
            "n_at_bound": int(np.sum(self.columns["at_bound"])),
            "seconds_compile": self.seconds_compile,
            "seconds": self.seconds,
            "chunk": self.chunk,
            "chunk_bytes": self.chunk_bytes,
            "toys_per_second": self.n / self.seconds if self.seconds > 0.0 else None,
            "mean": _finite(self.mean),
            "std": _finite(self.std),
            "pull_mean": _finite(_mean(self.toy_pulls)),
            "pull_std": _finite(_std(self.toy_pulls)),
            "pulls": {name: {"mean": p.mean, "std": p.std, "n": p.n} for name, p in self.pulls.items()},
            "parameters_truth": dict(self.parameters_truth),
        }

    def table(self) -> str:
        """The record as plain text."""
        lines = [str(self), ""]
        width = max(map(len, self.pulls), default=0)
        lines += [f"  {'pulls':<{width}}  {'mean':>7} {'std':>7} {'toys':>8}"]
        lines += [f"  {name:<{width}}  {p.mean:>+7.3f} {p.std:>7.3f} {p.n:>8}" for name, p in self.pulls.items()]
        return "\n".join(lines)

    def __str__(self) -> str:
        """Best fits and failures, in a few lines."""
        error = self.std / np.sqrt(max(self.n - self.n_failed, 1))
        spread = f"mean {self.mean:.5g} ± {error:.2g}, std {self.std:.4g}"
        rate = f"{self.n / max(self.seconds, 1e-9):.0f} toys a second"
        lines = [
            f"{self.poi}: {spread} over {self.n} toys of truth {self.truth:g}",
            f"pull: mean {_mean(self.toy_pulls):+.3f}, std {_std(self.toy_pulls):.3f}",
            (
                f"{self.n_failed} not converged, {self.n_migrad} needed MIGRAD, "
                f"{int(np.sum(self.columns['at_bound']))} ended with {self.poi} at its bound"
            ),
            f"{rate} ({self.seconds:.1f} s, after {self.seconds_compile:.1f} s of compiling)",
        ]
        if self.n_failed:
            some = ", ".join(map(str, self.failed[:8])) + (", ..." if self.n_failed > 8 else "")
            lines.append(f"not converged: {some} (--only NUMBER shows one)")
        return "\n".join(lines)


def toys(
    likelihood: Likelihood,
    data: Data,
    *,
    key: Key,
    n_toys: int = 1000,
    poi: str | None = None,
    value: float | None = None,
    ensemble: Ensemble | None = None,
    settings: Settings | None = None,
    run: Run | None = None,
) -> Toys:
    """Draw toys at one truth and fit each.

    Args:
        likelihood: Any likelihood.
        data: Observed data, from which the truth is taken.
        key: Random key; toy i depends on it and on i alone.
        n_toys: How many.
        poi: Parameter of interest; None takes the one that the likelihood declares.
        value: Its truth; None takes the best fit to the observed data.
        ensemble: What toys are drawn from.
        settings: Settings of the fits.
        run: Where toys are computed and kept.

    Raises:
        ParameterError: A name is unknown, or a value lies outside its bounds.
        DataError: The data do not fit the likelihood.
        UntrustworthyError: The truth would come from a fit without a certificate.
        ComputeError: The machinery failed; finished chunks are kept if ``run`` has a folder.
    """
    settings, run = settings or Settings(), run or Run()
    began = time.perf_counter()
    campaign, best = prepare(
        likelihood, data, key=key, n_toys=n_toys, poi=poi, values=[value], ensemble=ensemble, settings=settings, run=run
    )
    n_together = min(n_toys, campaign.size)
    campaign.table(0, np.arange(min(n_together, block_size(n_together, len(best.parameters)))))  # compiles
    compiled = time.perf_counter()
    tables = conduct(campaign, run, kind="toys", settings={})
    parameters = best.parameters
    truth = np.asarray(campaign.sources[0].theta)
    name = require_poi(best)
    return Toys(
        poi=name,
        truth=float(truth[parameters.position(name)]),
        n=n_toys,
        columns=rows(tables),
        pulls=pulls_of(tables, parameters.names),
        parameters_truth=dict(zip(parameters.names, truth.tolist(), strict=True)),
        seconds_compile=compiled - began,
        seconds=time.perf_counter() - compiled,
        chunk=campaign.size,
        chunk_bytes=campaign.chunk_bytes,
    )


def reproduce(campaign: Campaign, best: FitResult, settings: Settings, index: int) -> tuple[Data, FitResult]:
    """The data of one toy and its fit with all that a fit has: certificate, covariance, every parameter."""
    key = jax.random.wrap_key_data(jnp.asarray(campaign.key))
    source = campaign.sources[0]
    toy = throw(source, key, np.asarray([index]))
    data = jax.tree.map(lambda x: jnp.asarray(x[0]), toy.data)
    start = dict(zip(best.parameters.names, np.asarray(source.theta).tolist(), strict=True))
    free = {name: x for name, x in start.items() if not best.parameters[name].fixed}
    return data, fit(source.likelihood, data, poi=best.poi, settings=replace(settings, start=free))


def _mean(x: FloatArray) -> float:
    return float(np.mean(x)) if x.size else np.nan


def _std(x: FloatArray) -> float:
    return float(np.std(x, ddof=1)) if x.size > 1 else np.nan


def _finite(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None
