"""An observed data set among toys: test statistics of hypotheses, and their p-values.

Toys whose fit failed could lie on either side of the observed value: a p-value carries the bounds that they
leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri_exp

from infer.compute import Table
from infer.data import Data
from infer.errors import ParameterError, UntrustworthyError
from infer.inference.campaigns import Columns, Run, conduct, prepare, rows
from infer.inference.ensembles import Ensemble
from infer.inference.fits import FitResult, Settings, fit, require_poi
from infer.inference.profiles import DEEPER, ONE_SIGMA
from infer.inference.statistics import STATISTICS
from infer.inference.statistics import statistic as test_statistic
from infer.inference.toy_intervals import CROSSED
from infer.likelihood import Likelihood
from infer.numerics.binomial import clopper_pearson
from infer.typing import Key

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PValue:
    """The p-value of one hypothesis by toys.

    Attributes:
        value: Hypothesis: parameter of interest.
        statistic: Name of the test statistic.
        observed: Its observed value.
        n: Toys.
        n_failed: Toys without a test statistic.
        n_above: Toys whose test statistic is at least the observed one.
    """

    value: float
    statistic: str
    observed: float
    n: int
    n_failed: int
    n_above: int

    @property
    def p(self) -> float:
        """Share of the toys that have a test statistic."""
        return self.n_above / max(self.n - self.n_failed, 1)

    def clopper_pearson(self, cl: float = ONE_SIGMA) -> tuple[float, float]:
        """Interval of the p-value: failed toys all below the observed value, and all above it."""
        low, _ = clopper_pearson(self.n_above, self.n, cl)
        _, high = clopper_pearson(self.n_above + self.n_failed, self.n, cl)
        return float(low), float(high)

    @property
    def z(self) -> float:
        """One-sided significance in standard deviations; infinite if no toy lies above."""
        return float(-ndtri_exp(np.log(self.p))) if self.p > 0.0 else np.inf

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        low, high = self.clopper_pearson()
        return {
            "value": self.value,
            "statistic": self.statistic,
            "observed": self.observed,
            "n": self.n,
            "n_failed": self.n_failed,
            "n_above": self.n_above,
            "p": self.p,
            "clopper_pearson": [low, high],
            "z": self.z if np.isfinite(self.z) else None,
        }

    def __str__(self) -> str:
        """One line."""
        low, high = self.clopper_pearson()
        failed = f", {self.n_failed} failed" if self.n_failed else ""
        return (
            f"{self.statistic}({self.value:g}) = {self.observed:.4g}: p = {self.p:.4g} ({low:.4g} to {high:.4g}) "
            f"from {self.n} toys{failed}"
        )


@dataclass(frozen=True, eq=False)
class Experiment:
    """An observed data set, and toys of hypotheses about it; made by `Experiment.of`.

    Args:
        likelihood: The model.
        data: Observed data.
        best: Fit to them.
        poi: Parameter of interest.
        statistic: Test statistic.
        ensemble: What toys are drawn from.
        settings: Settings of the fits.
        run: Where toys are computed and kept.
    """

    likelihood: Likelihood
    data: Data
    best: FitResult
    poi: str
    statistic: str
    ensemble: Ensemble
    settings: Settings
    run: Run

    @classmethod
    def of(
        cls,
        likelihood: Likelihood,
        data: Data,
        *,
        poi: str | None,
        statistic: str,
        ensemble: Ensemble | None,
        settings: Settings | None,
        run: Run | None,
    ) -> Experiment:
        """Fit the observed data; nuisance parameters of toys are profiled unless an ensemble says otherwise.

        Raises:
            ParameterError: A name is unknown.
        """
        if statistic not in STATISTICS:
            raise ParameterError(f"statistic must be one of {', '.join(STATISTICS)}, got {statistic!r}.")
        settings = settings or Settings()
        best = fit(likelihood, data, poi=poi, settings=settings)
        profiled = Ensemble(nuisance="profiled")
        return cls(likelihood, data, best, require_poi(best), statistic, ensemble or profiled, settings, run or Run())

    @property
    def bounds(self) -> tuple[float, float]:
        """Of the parameter of interest."""
        return self.best.parameters[self.poi].bounds

    def kept_in(self, name: str) -> Experiment:
        """The same, kept in a folder of its own."""
        folder = None if self.run.folder is None else self.run.folder / name
        return replace(self, run=replace(self.run, folder=folder, resume=bool(folder and folder.exists())))

    def observed(self, value: float) -> float:
        """The test statistic of the observed data.

        Raises:
            UntrustworthyError: A fit that it needs has no certificate, or disproves the best fit.
        """
        best = np.asarray(self.best.value(self.poi))
        free = np.asarray(self.best.twice_nll)
        held = np.asarray(self._profiled(value))
        null = np.asarray(self._profiled(0.0)) if self.statistic == "q_mu_tilde" and best < 0.0 else held
        return float(test_statistic(self.statistic, value, best=best, free=free, held=held, null=null))

    def _profiled(self, value: float) -> float:
        settings = replace(self.settings, fixed={**self.settings.fixed, self.poi: value})
        held = fit(self.likelihood, self.data, poi=self.poi, settings=settings)
        for found in (self.best, held):
            if not found.certificate.converged:
                raise UntrustworthyError(
                    f"no {self.statistic} of the observed data, whose fit failed ({found.certificate.message}); "
                    "try other start values."
                )
        if held.twice_nll < self.best.twice_nll - DEEPER:
            raise UntrustworthyError(
                f"no {self.statistic} of the observed data: at {self.poi} = {value:g} the likelihood is larger than at "
                f"its supposed maximum {self.best.value(self.poi):g}; start the fit from {self.poi} = {value:g}."
            )
        return held.twice_nll

    def throw(
        self, values: Sequence[float], key: Key, n: int, firsts: Sequence[int], truth: float | None
    ) -> list[Columns]:
        """Toys of each hypothesis, with what its test statistic needs."""
        campaign, _ = prepare(
            self.likelihood,
            self.data,
            key=key,
            n_toys=n,
            poi=self.poi,
            values=[x if truth is None else truth for x in values],
            ensemble=self.ensemble,
            settings=self.settings,
            run=self.run,
        )
        low, high = self.bounds
        null = (min(max(0.0, low), high),) if self.statistic == "q_mu_tilde" else ()
        tests = tuple((float(x), *null) for x in values)
        campaign = replace(campaign, tests=tests, firsts=tuple(firsts))
        settings = {"statistic": self.statistic, "values": list(values), "firsts": list(firsts)}
        tables: list[Table] = conduct(campaign, self.run, kind="p-values", settings=settings)
        size = campaign.chunks_per_truth
        return [rows(tables[i * size : (i + 1) * size]) for i in range(len(values))]

    def throw_background(self, values: Sequence[float], key: Key, n: int) -> Columns:
        """Toys without signal, with what the test statistics of all hypotheses need; see `statistics`."""
        campaign, _ = prepare(
            self.likelihood,
            self.data,
            key=key,
            n_toys=n,
            poi=self.poi,
            values=[0.0],
            ensemble=self.ensemble,
            settings=self.settings,
            run=self.run,
        )
        campaign = replace(campaign, tests=((*map(float, values), 0.0),))
        settings = {"statistic": self.statistic, "values": list(values)}
        return rows(conduct(campaign, self.run, kind="background", settings=settings))

    def statistics(self, c: Columns, value: float, *, test: int = 0, null: int = 1) -> FloatArray:
        """Test statistic of every toy; NaN where a fit failed.

        Args:
            c: Toys.
            value: Hypothesis.
            test: Number of the test that holds the parameter of interest there.
            null: Number of the test that holds it at zero, which ``q_mu_tilde`` needs.
        """
        held, good = c[f"test_{test}_twice_nll"], c["converged"] & (c[f"test_{test}_status"] == CROSSED)
        without = held
        if self.statistic == "q_mu_tilde":
            without = c[f"test_{null}_twice_nll"]
            good = good & ((c["value"] >= 0.0) | (c[f"test_{null}_status"] == CROSSED))
        found = test_statistic(self.statistic, value, best=c["value"], free=c["twice_nll"], held=held, null=without)
        return np.where(good, found, np.nan)

    def p_values(
        self, values: Sequence[float], key: Key, n: int, firsts: Sequence[int], truth: float | None = None
    ) -> list[PValue]:
        """p-values of hypotheses, from new toys of each."""
        found = []
        observed = [self.observed(x) for x in values]  # first: an impossible hypothesis costs no toys
        for x, seen, c in zip(values, observed, self.throw(values, key, n, firsts, truth), strict=True):
            toys = self.statistics(c, x)
            # The margin keeps a toy that repeats the data from falling below by rounding.
            above = int(np.sum(toys >= seen - 1e-7 * max(1.0, seen)))
            found.append(PValue(float(x), self.statistic, seen, n, int(np.sum(np.isnan(toys))), above))
        return found
