r"""Neyman's construction by toys: p-values, critical values, and Feldman-Cousins intervals.

The p-value of a hypothesis mu is the share of toys, drawn at mu, whose test statistic is at least as large as
the observed one; the interval at confidence level cl holds the mu whose p-value is at least 1 - cl.  With t_mu,
and estimates that stay within the bounds, that is the unified interval of Feldman & Cousins
(arXiv:physics/9711021).  Nuisance parameters of the toys are profiled on the observed data at each mu.

Toys go where they decide: after a first round on a grid, further rounds refine the grid where the p-value
crosses 1 - cl, and add toys to the points whose p-value cannot be told from it.

Toys whose fit failed could lie on either side of the observed value: a p-value carries the bounds that they
leave, see `experiments`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri_exp

from infer.blinding import require_true_values
from infer.data import Data
from infer.errors import ParameterError, UntrustworthyError
from infer.inference.campaigns import Run
from infer.inference.ensembles import Ensemble
from infer.inference.experiments import Experiment, PValue
from infer.inference.fits import FitResult, Settings, require_poi
from infer.inference.profiles import ONE_SIGMA, interval
from infer.likelihood import Likelihood
from infer.typing import Key

FloatArray = npt.NDArray[np.float64]

_BELT = 13  # points of a belt of critical values
_REACH = 4.0  # standard deviations that it extends beyond the outermost truth


@dataclass(frozen=True, eq=False)
class Belt:
    """Critical values of t_mu: what at least a share ``cl`` of the toys at each value does not exceed.

    Attributes:
        values: Parameter of interest with shape (G,).
        levels: Confidence levels with shape (K,).
        critical: Critical values with shape (K, G).
        n: Toys of each value.
        n_failed: Toys without a test statistic, of all values.
    """

    values: FloatArray
    levels: FloatArray
    critical: FloatArray
    n: int
    n_failed: int

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return {
            "values": self.values.tolist(),
            "levels": self.levels.tolist(),
            "critical": self.critical.tolist(),
            "n": self.n,
            "n_failed": self.n_failed,
        }


@dataclass(frozen=True, eq=False)
class NeymanInterval:
    """An interval by Neyman's construction.

    Attributes:
        poi: Parameter of interest.
        value: Best fit.
        low: Lower end; the bound where the construction accepts everything down to it.
        high: Upper end.
        low_error: What the number of toys and the distance of the hypotheses leave open of the lower end; 0 at a
            bound, infinite where the p-value does not fall to 1 - cl among the hypotheses.
        high_error: The same for the upper end.
        cl: Confidence level.
        statistic: Test statistic.
        points: p-values by hypothesis, in order.
        fit: Fit to the observed data.
        seconds: Wall-clock time in seconds.
    """

    poi: str
    value: float
    low: float
    high: float
    low_error: float
    high_error: float
    cl: float
    statistic: str
    points: tuple[PValue, ...]
    fit: FitResult
    seconds: float

    @property
    def n_toys(self) -> int:
        """Toys of all hypotheses."""
        return sum(point.n for point in self.points)

    @property
    def n_failed(self) -> int:
        """Toys without a test statistic."""
        return sum(point.n_failed for point in self.points)

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer neyman --json``."""
        return {
            "poi": self.poi,
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "low_error": self.low_error if np.isfinite(self.low_error) else None,
            "high_error": self.high_error if np.isfinite(self.high_error) else None,
            "cl": self.cl,
            "statistic": self.statistic,
            "n_toys": self.n_toys,
            "n_failed": self.n_failed,
            "points": [point.to_json_dict() for point in self.points],
            "fit": self.fit.to_json_dict(),
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        """The interval in one line."""
        failed = f", {self.n_failed} failed" if self.n_failed else ""
        return (
            f"{self.poi} in [{self.low:.5g} ± {self.low_error:.1g}, {self.high:.5g} ± {self.high_error:.1g}] at "
            f"{100 * self.cl:.4g} % CL, best fit {self.value:.5g} ({self.statistic} by {self.n_toys} toys{failed})"
        )

    def table(self) -> str:
        """The interval and the p-values it is read off."""
        return "\n".join([str(self), "", *(f"  {point}" for point in self.points)])


def p_value(
    likelihood: Likelihood,
    data: Data,
    *,
    key: Key,
    value: float,
    statistic: str = "q_mu_tilde",
    truth: float | None = None,
    n_toys: int = 1000,
    poi: str | None = None,
    ensemble: Ensemble | None = None,
    settings: Settings | None = None,
    run: Run | None = None,
) -> PValue:
    """p-value of a hypothesis by toys.

    Args:
        likelihood: Any likelihood.
        data: Observed data.
        key: Random key.
        value: The hypothesis: value of the parameter of interest that is tested.
        statistic: One of `statistics.STATISTICS`.
        truth: Where toys are drawn; None takes ``value``.  With 0, the probability under background alone.
        n_toys: How many.
        poi: Parameter of interest; None takes the declared one.
        ensemble: What toys are drawn from; None profiles the nuisance parameters at the truth.
        settings: Settings of the fits.
        run: Where toys are computed and kept.

    Raises:
        ParameterError: A name is unknown or a value impossible.
        ComputeError: The machinery failed.
    """
    require_true_values(likelihood, "a p-value")
    experiment = Experiment.of(
        likelihood, data, poi=poi, statistic=statistic, ensemble=ensemble, settings=settings, run=run
    )
    (found,) = experiment.p_values([value], key, n_toys, [0], truth=truth)
    return found


def critical_values(
    likelihood: Likelihood,
    data: Data,
    *,
    key: Key,
    around: Sequence[float],
    n_toys: int = 1000,
    poi: str | None = None,
    cl: Sequence[float] = (ONE_SIGMA,),
    ensemble: Ensemble | None = None,
    settings: Settings | None = None,
    run: Run | None = None,
) -> Belt:
    """Critical values of t_mu on a grid that contains the truths, by toys at each of its points.

    Args:
        likelihood: Any likelihood.
        data: Observed data.
        key: Random key.
        around: Truths that the grid has to contain and surround.
        n_toys: Toys of each point.
        poi: Parameter of interest; None takes the declared one.
        cl: Confidence levels.
        ensemble: Where the nuisance parameters are; None profiles them at each point.
        settings: Settings of the fits.
        run: Where toys are computed; nothing is kept.

    Raises:
        UntrustworthyError: No toy of a point could be fitted.
    """
    here = replace(run or Run(), folder=None)
    experiment = Experiment.of(
        likelihood, data, poi=poi, statistic="t_mu", ensemble=ensemble, settings=settings, run=here
    )
    best = experiment.best
    name = require_poi(best)
    sigma = best.uncertainty(name) or max(abs(best.value(name)), 1.0)
    low, high = best.parameters[name].bounds
    evenly = np.linspace(max(min(around) - _REACH * sigma, low), min(max(around) + _REACH * sigma, high), _BELT)
    grid = np.unique([*evenly, *around])
    tables = experiment.throw(grid.tolist(), key, n_toys, [0] * grid.size, truth=None)
    columns = [experiment.statistics(c, x) for c, x in zip(tables, grid, strict=True)]
    for x, t in zip(grid, columns, strict=True):
        if np.all(np.isnan(t)):
            raise UntrustworthyError(
                f"no toy at {name} = {x:g} could be fitted, so that there is no critical value there; "
                f"narrow the bounds of {name}."
            )
    critical = np.asarray([[np.nanquantile(t, level, method="higher") for t in columns] for level in cl])
    failed = int(sum(np.sum(np.isnan(t)) for t in columns))
    return Belt(grid, np.asarray(cl, dtype=float), critical, n_toys, failed)


def neyman(
    likelihood: Likelihood,
    data: Data,
    *,
    key: Key,
    poi: str | None = None,
    cl: float = ONE_SIGMA,
    statistic: str = "t_mu",
    values: Sequence[float] | None = None,
    n_toys: int = 500,
    rounds: int = 4,
    ensemble: Ensemble | None = None,
    settings: Settings | None = None,
    run: Run | None = None,
) -> NeymanInterval:
    """Confidence interval by Neyman's construction with toys, by default that of Feldman and Cousins.

    Args:
        likelihood: Any likelihood.
        data: Observed data.
        key: Random key.
        poi: Parameter of interest; None takes the declared one.
        cl: Confidence level.
        statistic: ``t_mu``, or ``q_mu`` or ``q_mu_tilde`` for an upper limit.
        values: Hypotheses of the first round; None takes points around the ends of the profile interval.
        n_toys: Toys that a point gets at a time.
        rounds: Rounds in which toys are added where the p-value is close to 1 - cl.
        ensemble: Where the nuisance parameters are; None profiles them at each hypothesis.
        settings: Settings of the fits.
        run: Where toys are computed; with a folder, each round is kept in one of its own.

    Raises:
        ParameterError: A name is unknown or a value impossible.
        ComputeError: The machinery failed.
    """
    began = time.perf_counter()
    if not 0.0 < cl < 1.0:
        raise ParameterError(f"cl must lie between 0 and 1, got {cl!r}; write 95 % as 0.95.")
    experiment = Experiment.of(
        likelihood, data, poi=poi, statistic=statistic, ensemble=ensemble, settings=settings, run=run
    )
    hypotheses = list(_first_values(experiment, cl) if values is None else sorted(values))
    points: dict[float, PValue] = {}
    for number in range(rounds + 1):
        wanted = hypotheses if number == 0 else _undecided(points, cl, experiment.bounds)
        if not wanted:
            break
        firsts = [points[x].n if x in points else 0 for x in wanted]
        for new in experiment.kept_in(f"round-{number}").p_values(wanted, key, n_toys, firsts):
            points[new.value] = _merged(points.get(new.value), new)
    ordered = tuple(points[x] for x in sorted(points))
    low, low_error = _end(ordered, cl, -1, experiment.bounds)
    high, high_error = _end(ordered, cl, +1, experiment.bounds)
    best, name = experiment.best, require_poi(experiment.best)
    seconds = time.perf_counter() - began
    return NeymanInterval(
        name, best.value(name), low, high, low_error, high_error, cl, statistic, ordered, best, seconds
    )


def _merged(old: PValue | None, new: PValue) -> PValue:
    if old is None:
        return new
    return replace(old, n=old.n + new.n, n_failed=old.n_failed + new.n_failed, n_above=old.n_above + new.n_above)


def _first_values(experiment: Experiment, cl: float) -> list[float]:
    """Five points about either end of the profile interval, and the best fit."""
    best, name = experiment.best, experiment.poi
    ends = interval(experiment.likelihood, experiment.data, poi=name, cl=cl, fitted=best, settings=experiment.settings)
    low, high = experiment.bounds
    centre = best.value(name)
    values = {centre}
    for end in (ends.low.value, ends.high.value):
        if end is not None:
            reach = max(abs(end - centre), 0.2 * (best.uncertainty(name) or 1.0))
            values |= {min(max(end + f * reach, low), high) for f in (-0.4, -0.2, 0.0, 0.2, 0.4)}
    return sorted(values)


def _undecided(points: dict[float, PValue], cl: float, bounds: tuple[float, float]) -> list[float]:
    """Where further toys decide: points whose p-value may be 1 - cl, and new ones in the middle of a crossing."""
    ordered = [points[x] for x in sorted(points)]
    wanted = [p.value for p in ordered if p.clopper_pearson(0.95)[0] <= 1.0 - cl <= p.clopper_pearson(0.95)[1]]
    inside = [p.p >= 1.0 - cl for p in ordered]
    for a, b, left, right in zip(ordered, ordered[1:], inside, inside[1:], strict=False):
        if left != right and a.value not in wanted and b.value not in wanted:
            wanted.append(0.5 * (a.value + b.value))
    reach = max(ordered[-1].value - ordered[0].value, 1e-12)
    if inside[0] and ordered[0].value > bounds[0]:
        wanted.append(max(ordered[0].value - 0.3 * reach, bounds[0]))
    if inside[-1] and ordered[-1].value < bounds[1]:
        wanted.append(min(ordered[-1].value + 0.3 * reach, bounds[1]))
    return sorted(set(wanted))


def _end(points: Sequence[PValue], cl: float, side: int, bounds: tuple[float, float]) -> tuple[float, float]:
    """The outermost crossing of p = 1 - cl on one side, straight in z between points, and its error."""
    walk = list(points) if side < 0 else list(points)[::-1]
    inside = [p.p >= 1.0 - cl for p in walk]
    if not any(inside):
        peak = max(points, key=lambda p: p.p)
        return peak.value, float("inf")
    first = inside.index(True)
    if first == 0:
        bound = bounds[0] if side < 0 else bounds[1]
        return walk[0].value, 0.0 if walk[0].value == bound else float("inf")
    outer, inner = walk[first - 1], walk[first]
    level = _score(1.0 - cl)
    a, b = _score(outer.p, outer.n), _score(inner.p, inner.n)
    share = (level - b) / (a - b) if a != b else 0.5
    x = inner.value + share * (outer.value - inner.value)
    slope = abs(outer.value - inner.value) / max(abs(a - b), 1e-12)
    n = max(min(outer.n, inner.n), 1)
    noise = np.sqrt(cl * (1.0 - cl) / n) / np.exp(-0.5 * level**2) * np.sqrt(2.0 * np.pi)
    # Between the two points p may jump, as it does for counts: anywhere, with the spread of a uniform density.
    resolution = abs(outer.value - inner.value) / np.sqrt(12.0)
    return float(x), float(np.hypot(slope * noise, resolution))


def _score(p: float, n: int | None = None) -> float:
    """Standard normal quantile of a p-value, kept finite for shares of 0 and 1 among n toys."""
    edge = 0.5 / n if n else 0.0
    return float(-ndtri_exp(np.log(min(max(p, edge), 1.0 - edge))))
