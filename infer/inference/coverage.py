"""Coverage: how often an interval contains the truth, measured on toys of the model itself.

An interval method *covers* at a truth if the share of toys whose interval contains it is the confidence level.
The share is measured with a binomial error, so that the answer is a statement with an error rate:

- *under-covers*: the confidence level lies above the 99.73 % Clopper-Pearson interval of the share, even
  if every toy without an interval had contained the truth;
- *over-covers*: it lies below that interval, even if none of those had;
- *covers* otherwise, within the width of that interval.

For a method that covers exactly, a statement other than "covers" comes out once in 370 times at most.

Toys whose interval could not be found count as not covered, and are reported.  A truth is a value of the
parameter of interest together with the nuisance parameters, so that coverage can be asked for off the nominal.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from infer.blinding import require_true_values
from infer.data import Data
from infer.errors import ParameterError
from infer.inference.campaigns import Columns, Pull, Run, conduct, prepare, pulls_of, rows
from infer.inference.ensembles import Ensemble
from infer.inference.fits import Settings, require_poi
from infer.inference.neyman import Belt, critical_values
from infer.inference.profiles import ONE_SIGMA
from infer.inference.toy_intervals import CROSSED, GOOD, METHODS
from infer.inference.toy_intervals import Belt as BeltMethod
from infer.likelihood import Likelihood
from infer.numerics.binomial import clopper_pearson
from infer.typing import Key

FloatArray = npt.NDArray[np.float64]

_TRUE = {"cls", "credible"}  # methods that look at a value of zero or at a prior, which a secret offset moves

THREE_SIGMA = 0.9973002039367398
"""Confidence level of the Clopper-Pearson interval that a statement is judged by."""

_QUANTILES = (0.16, 0.5, 0.84)
_TIE = 1e-7  # likelihood ratios of counts are often equal, up to rounding: such toys are accepted


@dataclass(frozen=True)
class CoverageAt:
    """How one interval method does at one truth.

    Attributes:
        method: Interval method.
        cl: Confidence level that its intervals claim.
        point: Number of the truth, see `Coverage.truths`.
        truth: Value of the parameter of interest there.
        n: Toys.
        n_failed: Toys without an interval; they count as not covered.
        covered: Toys whose interval contains the truth.
        length: 16 %, 50 % and 84 % quantiles of the length of the intervals found; None where there is none.
        n_belt: Toys behind each critical value of the method, whose own noise widens `bounds`; None without such.
    """

    method: str
    cl: float
    point: int
    truth: float
    n: int
    n_failed: int
    covered: int
    length: tuple[float, float, float] | None
    n_belt: int | None = None

    @property
    def coverage(self) -> float:
        """Share of toys whose interval contains the truth."""
        return self.covered / self.n

    @property
    def clopper_pearson(self) -> tuple[float, float]:
        """68.27 % Clopper-Pearson interval of the share."""
        low, high = clopper_pearson(self.covered, self.n, ONE_SIGMA)
        return float(low), float(high)

    @property
    def bounds(self) -> tuple[float, float]:
        """99.73 % Clopper-Pearson interval, with failed toys not covered below, and covered above."""
        # Two independent noises of n and of n_belt toys add up to that of fewer toys.
        share = 1.0 if self.n_belt is None else self.n_belt / (self.n + self.n_belt)
        low, _ = clopper_pearson(share * self.covered, share * self.n, THREE_SIGMA)
        _, high = clopper_pearson(share * (self.covered + self.n_failed), share * self.n, THREE_SIGMA)
        return float(low), float(high)

    @property
    def verdict(self) -> str:
        """``covers``, ``under-covers`` or ``over-covers``."""
        low, high = self.bounds
        return "under-covers" if high < self.cl else "over-covers" if low > self.cl else "covers"

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return {
            "point": self.point,
            "truth": self.truth,
            "n": self.n,
            "n_failed": self.n_failed,
            "covered": self.covered,
            "coverage": self.coverage,
            "clopper_pearson": list(self.clopper_pearson),
            "bounds": list(self.bounds),
            "verdict": self.verdict,
            "length": None if self.length is None else list(self.length),
        }


@dataclass(frozen=True)
class Truth:
    """One truth, and how the estimates are distributed there.

    Attributes:
        value: Parameter of interest.
        nuisance: Nuisance parameters that were set by name.
        n: Toys.
        n_failed: Toys that no engine could fit.
        n_migrad: Toys that needed MIGRAD.
        bias: Mean of the estimates minus the truth, and its standard error.
        std: Standard deviation of the estimates.
        sigma: Mean of the standard deviations that the Hessian gives.
        pull: Mean and standard deviation of (estimate - truth) / sigma.
        pulls: The same for every parameter.
    """

    value: float
    nuisance: Mapping[str, float]
    n: int
    n_failed: int
    n_migrad: int
    bias: tuple[float, float]
    std: float
    sigma: float
    pull: tuple[float, float]
    pulls: Mapping[str, Pull]

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return {
            "value": self.value,
            "nuisance": dict(self.nuisance),
            "n": self.n,
            "n_failed": self.n_failed,
            "n_migrad": self.n_migrad,
            "bias": _finite(self.bias[0]),
            "bias_error": _finite(self.bias[1]),
            "std": _finite(self.std),
            "sigma": _finite(self.sigma),
            "pull_mean": _finite(self.pull[0]),
            "pull_std": _finite(self.pull[1]),
            "pulls": {name: {"mean": p.mean, "std": p.std, "n": p.n} for name, p in self.pulls.items()},
        }


@dataclass(frozen=True, eq=False)
class Coverage:
    """Coverage of interval methods at truths.

    Attributes:
        poi: Parameter of interest.
        truths: Where toys were drawn.
        results: One entry for each method, confidence level and truth.
        columns: One entry a toy by column: ``point``, ``index``, ``truth``, ``value``, ``sigma``, the
            certificate, and by method and number of the confidence level ``profile_0_low`` and so on.
        levels: Confidence levels, in the order of those numbers.
        mc_scale: Size of the simulated samples that every toy has new templates from, in units of those that
            the templates were made of; None where the templates do not fluctuate.
        belt: Critical values of the Feldman-Cousins intervals; None without these.
        seconds: Wall-clock time in seconds.
    """

    poi: str
    truths: tuple[Truth, ...]
    results: tuple[CoverageAt, ...]
    columns: Columns
    levels: tuple[float, ...]
    mc_scale: float | None
    belt: Belt | None
    seconds: float

    @property
    def n_failed(self) -> int:
        """Toys that no engine could fit."""
        return sum(truth.n_failed for truth in self.truths)

    def of(self, method: str, cl: float) -> tuple[CoverageAt, ...]:
        """Results of one method at one confidence level, by truth."""
        return tuple(r for r in self.results if r.method == method and r.cl == cl)

    def statement(self, result: CoverageAt) -> str:
        """One sentence on one result."""
        low, high = result.clopper_pearson
        truth = self.truths[result.point]
        where = ", ".join([f"{self.poi} = {truth.value:.4g}", *(f"{k} = {v:g}" for k, v in truth.nuisance.items())])
        failed = f", {result.n_failed} without an interval" if result.n_failed else ""
        return (
            f"{where}: the {result.method} interval {result.verdict}: {100 * result.coverage:.2f} % of {result.n} toys "
            f"({100 * low:.2f} to {100 * high:.2f} %), wanted {100 * result.cl:.2f} %{failed}"
        )

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer coverage --json``.

        ``method``, ``cl`` and ``points`` are those of the first of the ``results``.
        """
        pairs = dict.fromkeys((r.method, r.cl) for r in self.results)
        results = [{"method": m, "cl": cl, "points": [r.to_json_dict() for r in self.of(m, cl)]} for m, cl in pairs]
        return {
            "poi": self.poi,
            **results[0],
            "results": results,
            "truths": [truth.to_json_dict() for truth in self.truths],
            "mc_scale": self.mc_scale,
            "belt": None if self.belt is None else self.belt.to_json_dict(),
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        """A sentence for each result."""
        return "\n".join(self.statement(result) for result in self.results)

    def table(self) -> str:
        """Sentences, and the bias and pulls at each truth."""
        lines = [str(self), ""]
        lines.append(
            f"  {self.poi:>12} {'bias':>20} {'std':>10} {'sigma':>10} {'pull mean':>10} {'pull std':>9} {'MIGRAD':>7}"
        )
        for t in self.truths:
            bias = f"{t.bias[0]:+.3g} ± {t.bias[1]:.1g}"
            lines.append(
                f"  {t.value:>12.5g} {bias:>20} {t.std:>10.4g} {t.sigma:>10.4g} {t.pull[0]:>+10.3f} "
                f"{t.pull[1]:>9.3f} {t.n_migrad:>7}"
            )
        return "\n".join(lines)


def coverage(
    likelihood: Likelihood,
    data: Data,
    *,
    key: Key,
    n_toys: int = 1000,
    poi: str | None = None,
    values: Sequence[float] | None = None,
    methods: Sequence[str] = ("profile",),
    cl: float | Sequence[float] = ONE_SIGMA,
    ensemble: Ensemble | Sequence[Ensemble] | None = None,
    mc_scale: float | None = None,
    n_belt: int = 1000,
    settings: Settings | None = None,
    run: Run | None = None,
) -> Coverage:
    """Measure the coverage of interval methods on toys.

    Args:
        likelihood: Any likelihood.
        data: Observed data, from which the nuisance parameters of the truths are taken.
        key: Random key; toy i depends on it and on i alone, at every truth.
        n_toys: Toys of each truth.
        poi: Parameter of interest; None takes the one that the likelihood declares.
        values: Its truths; None takes the best fit to the observed data.
        methods: Names out of `toy_intervals.METHODS`.
        cl: Confidence levels.
        ensemble: What toys are drawn from; with several, every one at every value.
        mc_scale: Every toy has new templates, from simulated samples so many times as large as those that the
            workspace was made of; None keeps the templates.
        n_belt: Toys of each point of the belt that Feldman-Cousins intervals need.
        settings: Settings of the fits.
        run: Where toys are computed and kept.

    Raises:
        ParameterError: A name or method is unknown, or a value lies outside its bounds.
        DataError: The data do not fit the likelihood.
        UntrustworthyError: A truth would come from a fit without a certificate.
        ComputeError: The machinery failed; finished chunks are kept if ``run`` has a folder.
    """
    began = time.perf_counter()
    settings, run = settings or Settings(), run or Run()
    levels = _checked_levels([cl] if isinstance(cl, int | float) else cl)
    _check_methods(methods)
    for method in sorted(_TRUE & set(methods)):
        require_true_values(likelihood, f"the coverage of {method}")
    campaign, best = prepare(
        likelihood,
        data,
        key=key,
        n_toys=n_toys,
        poi=poi,
        values=[None] if values is None else list(values),
        ensemble=ensemble,
        settings=settings,
        run=run,
        mc_scale=mc_scale,
    )
    belt = None
    if BeltMethod.name in methods:
        first = ensemble if isinstance(ensemble, Ensemble) or ensemble is None else ensemble[0]
        belt = critical_values(
            likelihood,
            data,
            key=jax.random.fold_in(key, 2**31),
            n_toys=n_belt,
            poi=require_poi(best),
            cl=levels,
            around=campaign.truths,
            ensemble=first,
            settings=settings,
            run=run,
        )
    asked = tuple(METHODS[name](settings.solver) for name in methods)
    grid, critical = (np.zeros(1), np.zeros((len(levels), 1))) if belt is None else (belt.values, belt.critical)
    tests = () if belt is None else tuple((value,) for value in campaign.truths)
    campaign = replace(campaign, methods=asked, levels=np.asarray(levels), grid=grid, critical=critical, tests=tests)
    tables = conduct(campaign, run, kind="intervals of toys", settings={"cl": list(levels), "mc_scale": mc_scale})
    per_truth = campaign.chunks_per_truth
    parts = [tables[i * per_truth : (i + 1) * per_truth] for i in range(len(campaign.sources))]
    nuisance = [kind.truth for kind in campaign.ensembles]
    names = best.parameters.names
    columns = rows(tables)
    return Coverage(
        poi=require_poi(best),
        truths=tuple(
            _truth(rows(part), value, extra, pulls_of(part, names))
            for part, value, extra in zip(parts, campaign.truths, nuisance, strict=True)
        ),
        results=tuple(
            _result(rows(part), method, k, level, point, campaign.truths[point], belt)
            for method in methods
            for k, level in enumerate(levels)
            for point, part in enumerate(parts)
        ),
        columns=columns,
        levels=levels,
        mc_scale=mc_scale,
        belt=belt,
        seconds=time.perf_counter() - began,
    )


def _checked_levels(levels: Sequence[float]) -> tuple[float, ...]:
    for level in levels:
        if not 0.0 < level < 1.0:
            raise ParameterError(f"cl must lie between 0 and 1, got {level!r}; write 95 % as 0.95.")
    if not levels:
        raise ParameterError("expected at least one confidence level, such as cl=0.6827.")
    return tuple(float(level) for level in levels)


def _check_methods(methods: Sequence[str]) -> None:
    for method in methods:
        if method not in METHODS:
            raise ParameterError(f"method must be one of {', '.join(METHODS)}, got {method!r}.")
    if not methods:
        raise ParameterError(f"expected at least one interval method out of {', '.join(METHODS)}.")


def _result(c: Columns, method: str, k: int, cl: float, point: int, value: float, belt: Belt | None) -> CoverageAt:
    low, high = c[f"{method}_{k}_low"], c[f"{method}_{k}_high"]
    statuses = [c[f"{method}_{k}_{side}_status"] for side in ("low", "high")]
    found = c["converged"] & np.all(np.isin(statuses, GOOD), axis=0)
    lengths, n_belt = (high - low)[found], None
    covered = found & (low <= c["truth"]) & (c["truth"] <= high)
    if belt is not None and method == BeltMethod.name:
        found, covered = _accepted(c, belt.critical[k, int(np.argmin(np.abs(belt.values - value)))])
        n_belt = belt.n
    quantiles = None
    if lengths.size and np.all(np.isfinite(lengths)):
        a, b, d = (float(x) for x in np.quantile(lengths, _QUANTILES))
        quantiles = (a, b, d)
    return CoverageAt(method, cl, point, value, low.size, int(np.sum(~found)), int(np.sum(covered)), quantiles, n_belt)


def _accepted(c: Columns, critical: float) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which toys have a t_mu at their truth, and for which it does not exceed the critical value.

    That is the construction itself.  The ends of a belt's intervals lie between values where it is known, and where
    counts are few, critical values jump from one to the next.
    """
    found = c["converged"] & (c["test_0_status"] == CROSSED)
    ratio = np.maximum(c["test_0_twice_nll"] - c["twice_nll"], 0.0)
    return found, found & (ratio <= critical + _TIE * max(1.0, critical))


def _truth(c: Columns, value: float, nuisance: Mapping[str, float], pulls: Mapping[str, Pull]) -> Truth:
    good = c["converged"]
    errors = (c["value"] - c["truth"])[good]
    measured = good & (c["sigma"] > 0.0)
    toy_pulls = (c["value"] - c["truth"])[measured] / c["sigma"][measured]
    std = _std(errors)
    return Truth(
        value=value,
        nuisance=dict(nuisance),
        n=good.size,
        n_failed=int(np.sum(~good)),
        n_migrad=int(np.sum(c["engine"] == 1)),
        bias=(float(np.mean(errors)) if errors.size else np.nan, std / np.sqrt(max(errors.size, 1))),
        std=std,
        sigma=float(np.mean(c["sigma"][measured])) if np.any(measured) else np.nan,
        pull=(float(np.mean(toy_pulls)) if toy_pulls.size else np.nan, _std(toy_pulls)),
        pulls=pulls,
    )


def _std(x: FloatArray) -> float:
    return float(np.std(x, ddof=1)) if x.size > 1 else np.nan


def _finite(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None
