r"""Upper limits by CLs from toys: the distributions of the test statistic as they are.

Hypotheses lie where the asymptotic limits are.  At each of them toys are drawn with that signal, and toys
without signal are tested against all of them.  With the observed value q of the test statistic,

    p_sb = share of the toys with signal whose statistic is at least q,     1 - p_b the same without signal;

the bands take in the place of q the quantiles of the toys without signal at Phi(-2) to Phi(2), as RooStats
does (ATLAS & CMS, ATL-PHYS-PUB-2011-11, section 3).  log CLs has noise, hence a limit is where a parabola
through the nearest hypotheses crosses the level, with the error that the noise gives it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from infer.inference.campaigns import Run
from infer.inference.ensembles import Ensemble
from infer.inference.exclusion import N_SIGMA, Contest
from infer.inference.experiments import Experiment
from infer.inference.limits import Asymptotic, Limits
from infer.numerics.roots import Crossing, noisy_root
from infer.typing import Key

FloatArray = npt.NDArray[np.float64]

_ABOUT = (0.85, 1.0, 1.2)  # hypotheses about an asymptotic limit, in units of it
_APART = 0.08  # hypotheses closer than this to each other, relatively, are one
_NEAREST = 5  # hypotheses that a parabola is fitted to
_FEWEST = 4  # toys that a probability must stand on


@dataclass(frozen=True)
class ToyReference:
    """Distributions of the test statistic from toys.

    Args:
        key: Random key.
        n_toys: Toys of each hypothesis, and toys without signal.
        ensemble: What toys are drawn from; nuisance parameters are profiled at each hypothesis by default.
        run: Where toys are computed and kept.
    """

    key: Key
    n_toys: int = 1000
    ensemble: Ensemble = field(default_factory=lambda: Ensemble(nuisance="profiled"))
    run: Run = field(default_factory=Run)

    def limits(self, contest: Contest, cl: float) -> Limits:
        """Limits with errors, about the asymptotic ones."""
        guide = Asymptotic().limits(contest, cl)
        places = [x.x for x in (guide.observed, *guide.expected) if x is not None]
        if guide.failures or not places:
            return guide
        grid = _hypotheses(places, contest.best.parameters[contest.name].bounds[1])
        toys = self._throw(contest, grid)
        level = float(np.log1p(-cl))
        observed = np.asarray([contest.point(float(x)).q for x in grid])
        limits = [_crossing(grid, level, [toys.log_cls(i, q) for i, q in enumerate(observed)])]
        limits += [_crossing(grid, level, [toys.band(i, n) for i in range(grid.size)]) for n in N_SIGMA]
        names = ["observed limit", *(f"expected limit at {n:+.0f} sigma" for n in N_SIGMA)]
        lost = [
            f"the {name} is not found among the hypotheses {grid[0]:.4g} to {grid[-1]:.4g}: more toys are needed there"
            for name, limit in zip(names, limits, strict=True)
            if limit is None
        ]
        failures = tuple(lost if limits[0] is None else ())
        return Limits(limits[0], tuple(limits[1:]), failures, () if failures else tuple(lost), toys.n, toys.n_failed)

    def _throw(self, contest: Contest, grid: FloatArray) -> _Statistics:
        experiment = Experiment(
            contest.likelihood,
            contest.data,
            contest.best,
            contest.name,
            contest.statistic,
            self.ensemble,
            contest.settings,
            self.run,
        )
        values, n = grid.tolist(), self.n_toys
        signal = experiment.kept_in("signal").throw(values, self.key, n, [0] * grid.size, truth=None)
        nothing = experiment.kept_in("background").throw_background(values, jax.random.fold_in(self.key, 1), n)
        return _Statistics(
            [experiment.statistics(c, x) for c, x in zip(signal, values, strict=True)],
            [experiment.statistics(nothing, x, test=i, null=grid.size) for i, x in enumerate(values)],
        )


@dataclass(frozen=True)
class _Statistics:
    """Test statistics of toys by hypothesis, NaN where a fit failed: with signal, and without."""

    signal: list[FloatArray]
    background: list[FloatArray]

    @property
    def n(self) -> int:
        """Toys: those without signal are tested against all hypotheses."""
        return sum(q.size for q in self.signal) + self.background[0].size

    @property
    def n_failed(self) -> int:
        """Tests that failed."""
        return int(sum(np.sum(np.isnan(q)) for q in (*self.signal, *self.background)))

    def log_cls(self, i: int, q: float) -> tuple[float, float]:
        """Logarithm of CLs at one hypothesis, and its error; NaN where too few toys lie beyond."""
        (sb, e_sb), (b, e_b) = _log_share(self.signal[i], q), _log_share(self.background[i], q)
        return sb - b, float(np.hypot(e_sb, e_b))

    def band(self, i: int, n_sigma: float) -> tuple[float, float]:
        """The same where the data are a quantile of the toys without signal, whose rank has an error too."""
        toys = np.sort(self.background[i][~np.isnan(self.background[i])])
        share = float(ndtr(n_sigma))
        rank, spread = toys.size * (1.0 - share), np.sqrt(toys.size * share * (1.0 - share))
        at = np.clip(np.rint([rank, rank - spread, rank + spread]).astype(int), 0, toys.size - 1)
        (log_cls, error), (left, _), (right, _) = (self.log_cls(i, float(toys[k])) for k in at)
        return log_cls, float(np.hypot(error, 0.5 * (left - right)))


def _log_share(toys: FloatArray, q: float) -> tuple[float, float]:
    """Logarithm of the share of toys at or beyond q, and its binomial error with what failed toys leave open."""
    good = toys[~np.isnan(toys)]
    above = int(np.sum(good >= q - 1e-7 * max(1.0, q)))  # the margin absorbs rounding where toys repeat the data
    if above < _FEWEST:
        return np.nan, np.nan
    share, failed = above / good.size, toys.size - good.size
    # half a toy more or less keeps the error from vanishing where all toys lie beyond
    spread = np.sqrt(max((1.0 - share) / above, 0.25 / good.size**2))
    return float(np.log(share)), float(np.hypot(spread, failed / above))


def _hypotheses(places: list[float], upper: float) -> FloatArray:
    """Values about the asymptotic limits, none beyond the parameter's bound, none twice."""
    wanted = sorted({f * x for x in places for f in _ABOUT if f * x <= upper})
    kept: list[float] = []
    for x in wanted:
        if not kept or x > kept[-1] * (1.0 + _APART):
            kept.append(x)
    return np.asarray(kept)


def _crossing(grid: FloatArray, level: float, values: list[tuple[float, float]]) -> Crossing | None:
    """Where log CLs falls through the level, by the hypotheses nearest to it."""
    y, error = (np.asarray(column) for column in zip(*values, strict=True))
    usable = np.flatnonzero(np.isfinite(y) & np.isfinite(error))
    nearest = usable[np.argsort(np.abs(y[usable] - level), kind="stable")[:_NEAREST]]
    at = np.sort(nearest)
    return noisy_root(grid[at], y[at] - level, error[at]) if at.size >= 2 else None
