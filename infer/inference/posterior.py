r"""The posterior of all parameters, by Hamiltonian Monte Carlo, and whether its chains may be believed.

What is sampled is f(data | theta) times the priors of the free parameters (`priors`), by chains that are independent
of one another (`nuts`).  A posterior gives numbers only if it *mixed*: for every parameter the rank-normalised split
R-hat compares the chains (Vehtari et al., arXiv:1903.08008, eqs. 1-4 and section 4), and its effective sample sizes
of the bulk and of the tails are large enough (eqs. 10-13 and section 4.3); of the trajectories, next to none lost
its energy, since those that do leave corners of the posterior unvisited (Betancourt, arXiv:1701.02434, section 6.2).

Intervals are of two kinds: equal-tailed, between quantiles, and of highest density, the shortest that holds its
share of the samples (Chen & Shao, J. Comput. Graph. Stat. 8 (1999) 69).
"""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from infer.blinding import require_true_values
from infer.data import Data
from infer.errors import InputError, ParameterError, UntrustworthyError
from infer.inference.fits import FitResult, Settings, fit, require_poi
from infer.inference.nuts import Chain, Plan, Progress, chains, target
from infer.inference.priors import Declared, Prior, Space, declared
from infer.inference.profiles import ONE_SIGMA
from infer.likelihood import Likelihood
from infer.typing import Key

FloatArray = npt.NDArray[np.float64]

MAX_R_HAT = 1.01
"""Largest R-hat of chains that mixed."""

MIN_ESS = 400.0
"""Fewest effective samples, in bulk and tails, of chains that mixed."""

MAX_DIVERGENT = 1e-3
"""Largest share of diverging trajectories."""

LEVELS = (ONE_SIGMA, 0.95)
"""Credible levels of the intervals in the JSON record."""

_FEWEST = 20  # samples of a chain, below which nothing can be said of it
_EDGE = 0.01  # of the range of a flat prior, next to its ends
_PILED = 0.002  # of the samples there, above which the ends matter


@dataclass(frozen=True)
class Mixing:
    """How well one parameter was sampled.

    Attributes:
        r_hat: Rank-normalised split R-hat; NaN where samples are all the same.
        ess_bulk: Effective samples for the centre of the distribution.
        ess_tail: Effective samples for its 5 % and 95 % quantiles, the smaller one.
    """

    r_hat: float
    ess_bulk: float
    ess_tail: float

    @property
    def ess(self) -> float:
        """The smaller effective sample size; NaN where one is."""
        return float(np.min([self.ess_bulk, self.ess_tail]))


@dataclass(frozen=True)
class CredibleInterval:
    """A credible interval.

    Attributes:
        name: Parameter.
        low: Lower end.
        high: Upper end.
        cl: Posterior probability inside.
        kind: ``equal-tailed`` or ``highest-density``.
    """

    name: str
    low: float
    high: float
    cl: float
    kind: str

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return {"kind": self.kind, "cl": self.cl, "low": self.low, "high": self.high}


@dataclass(frozen=True, eq=False)
class Posterior:
    """Samples of a posterior, and what says whether they are ones.

    Attributes:
        poi: Parameter of interest.
        samples: Samples of every parameter that is not fixed, with shape (n_chains, n_samples).
        mixing: How well each of them was sampled.
        priors: In words, the prior of every free parameter; constrained ones have their constraint terms.
        diverging: Whether a trajectory lost its energy, with shape (n_chains, n_samples).
        acceptance: Acceptance probability with shape (n_chains, n_samples).
        n_gradients: Gradients that the samples took, warm-up not counted.
        n_warmup: Draws of each chain that were thrown away.
        fit: Best fit, from which the chains were dispersed.
        notices: What a reader should know, in clauses.
        seconds: Wall-clock time in seconds.
    """

    poi: str
    samples: Mapping[str, FloatArray]
    mixing: Mapping[str, Mixing]
    priors: Mapping[str, str]
    diverging: npt.NDArray[np.bool_]
    acceptance: FloatArray
    n_gradients: int
    n_warmup: int
    fit: FitResult
    notices: tuple[str, ...]
    seconds: float

    @property
    def n_divergent(self) -> int:
        """Trajectories that lost their energy."""
        return int(np.sum(self.diverging))

    @property
    def objections(self) -> tuple[str, ...]:
        """Why these samples are none of the posterior; empty where they are."""
        found = []
        worst = min(self.mixing, key=lambda name: _least(-self.mixing[name].r_hat))
        stuck = [name for name, m in self.mixing.items() if not m.r_hat < MAX_R_HAT]
        if stuck:
            found.append(
                f"the chains disagree: R-hat of {worst} is {self.mixing[worst].r_hat:.4g}, and it must be below "
                f"{MAX_R_HAT:g}{_others(len(stuck))}"
            )
        fewest = min(self.mixing, key=lambda name: _least(self.mixing[name].ess))
        few = [name for name, m in self.mixing.items() if not m.ess >= MIN_ESS]
        if few:
            found.append(
                f"too few samples: {fewest} has {self.mixing[fewest].ess:.0f} effective ones, and needs "
                f"{MIN_ESS:.0f}{_others(len(few))}"
            )
        if self.n_divergent > MAX_DIVERGENT * self.diverging.size:
            found.append(
                f"{self.n_divergent} of {self.diverging.size} trajectories diverged, and at most "
                f"{100 * MAX_DIVERGENT:g} % may: aim at a higher acceptance (acceptance=0.99, --acceptance 0.99)"
            )
        return tuple(found)

    @property
    def mixed(self) -> bool:
        """Whether the samples may be taken for the posterior."""
        return not self.objections

    def pooled(self, name: str) -> FloatArray:
        """Samples of one parameter from all chains, with shape (n_chains * n_samples,).

        Raises:
            ParameterError: The name is unknown, or belongs to a fixed parameter.
            UntrustworthyError: The chains did not mix.
        """
        self.fit.parameters.position(name)
        if name not in self.samples:
            raise ParameterError(f"{name!r} is fixed at {self.fit.value(name):g}, and has no posterior.")
        if not self.mixed:
            raise UntrustworthyError(
                f"the chains did not mix: {'; '.join(self.objections)}; take more samples or a longer warm-up. "
                "The attribute samples has them as they are."
            )
        return np.ravel(self.samples[name])

    def quantile(self, name: str, p: float) -> float:
        """Quantile of one parameter: ``quantile("mu", 0.95)`` is an upper limit at 95 % credibility.

        Raises:
            ParameterError: The name is unknown, or p is not between 0 and 1.
            UntrustworthyError: The chains did not mix.
        """
        _check_level("p", p)
        return float(np.quantile(self.pooled(name), p))

    def interval(self, name: str, cl: float = ONE_SIGMA) -> CredibleInterval:
        """Equal-tailed interval: as much probability below as above.

        Raises:
            ParameterError: The name is unknown, or ``cl`` is not between 0 and 1.
            UntrustworthyError: The chains did not mix.
        """
        _check_level("cl", cl)
        low, high = np.quantile(self.pooled(name), [0.5 - 0.5 * cl, 0.5 + 0.5 * cl]).tolist()
        return CredibleInterval(name, low, high, cl, "equal-tailed")

    def highest_density(self, name: str, cl: float = ONE_SIGMA) -> CredibleInterval:
        """The shortest interval with this probability, for a density with one maximum.

        Raises:
            ParameterError: The name is unknown, or ``cl`` is not between 0 and 1.
            UntrustworthyError: The chains did not mix.
        """
        _check_level("cl", cl)
        x = np.sort(self.pooled(name))
        inside = min(int(np.ceil(cl * x.size)), x.size - 1)
        first = int(np.argmin(x[inside:] - x[: x.size - inside]))
        return CredibleInterval(name, float(x[first]), float(x[first + inside]), cl, "highest-density")

    def to_arviz(self) -> Any:
        """Samples and statistics as ``arviz.InferenceData``."""
        return _library("arviz").from_dict(
            posterior=dict(self.samples),
            sample_stats={"diverging": self.diverging, "acceptance_rate": self.acceptance},
        )

    def to_json_dict(self) -> dict[str, Any]:
        """The record as a JSON object: the schema of ``infer posterior --json``."""
        kinds = (self.interval, self.highest_density) if self.mixed else ()
        return {
            "poi": self.poi,
            "mixed": self.mixed,
            "objections": list(self.objections),
            "median": self.quantile(self.poi, 0.5) if self.mixed else None,
            "intervals": [kind(self.poi, cl).to_json_dict() for kind in kinds for cl in LEVELS],
            "upper_limits": [{"cl": 0.95, "value": self.quantile(self.poi, 0.95)}] if self.mixed else [],
            "parameters": {name: self._summary(name) for name in self.samples},
            "priors": dict(self.priors),
            "n_chains": self.diverging.shape[0],
            "n_samples": self.diverging.shape[1],
            "n_warmup": self.n_warmup,
            "n_divergent": self.n_divergent,
            "acceptance": float(np.mean(self.acceptance)),
            "n_gradients": self.n_gradients,
            "notices": list(self.notices),
            "fit": self.fit.to_json_dict(),
            "seconds": self.seconds,
        }

    def _summary(self, name: str) -> dict[str, float | None]:
        x, m = self.samples[name], self.mixing[name]
        moments = (float(np.mean(x)), float(np.std(x, ddof=1))) if self.mixed else (None, None)
        quality = (float(v) if np.isfinite(v) else None for v in (m.r_hat, m.ess_bulk, m.ess_tail))
        return dict(zip(("mean", "sd", "r_hat", "ess_bulk", "ess_tail"), (*moments, *quality), strict=True))

    def __str__(self) -> str:
        """One line."""
        if not self.mixed:
            return f"{self.poi}: no posterior ({'; '.join(self.objections)})"
        inner, median = self.interval(self.poi), self.quantile(self.poi, 0.5)
        unit = self.fit.parameters[self.poi].unit
        return (
            f"{self.poi} = {median:.5g} + {inner.high - median:.3g} - {median - inner.low:.3g}{unit and ' ' + unit} "
            f"(median and {100 * inner.cl:.4g} % equal-tailed; prior {self.priors.get(self.poi, 'its constraint')})"
        )

    def table(self) -> str:
        """The line, every parameter, and how the chains went."""
        width = max(len(name) for name in self.samples)
        head = f"  {'':<{width}}  {'mean':>12} {'sd':>10} {'R-hat':>8} {'bulk ESS':>9} {'tail ESS':>9}"
        rows = [f"  {name:<{width}}  {self._row(name)}" for name in self.samples]
        n_chains, n_samples = self.diverging.shape
        how = (
            f"{n_chains} chains of {n_samples} samples after {self.n_warmup} of warm-up, {self.n_divergent} divergent, "
            f"acceptance {np.mean(self.acceptance):.2f}, {self.n_gradients} gradients"
        )
        notes = [f"Note: {text}" for text in self.notices]
        return "\n".join([str(self), "", head, *rows, "", how, *notes])

    def _row(self, name: str) -> str:
        x, m = self.samples[name], self.mixing[name]
        moments = f"{np.mean(x):>12.5g} {np.std(x, ddof=1):>10.4g}" if self.mixed else f"{'-':>12} {'-':>10}"
        return f"{moments} {m.r_hat:>8.4f} {m.ess_bulk:>9.0f} {m.ess_tail:>9.0f}"


def _least(x: float) -> float:
    """A key for sorting that puts NaN first."""
    return float(x) if np.isfinite(x) else -np.inf


def _others(n: int) -> str:
    return f" (so it is with {n - 1} more)" if n > 1 else ""


def _check_level(name: str, value: float) -> None:
    if not 0.0 < value < 1.0:
        raise ParameterError(f"{name} must lie between 0 and 1, got {value!r}; write 95 % as 0.95.")


def posterior(
    likelihood: Likelihood,
    data: Data,
    *,
    key: Key,
    poi: str | None = None,
    n_samples: int = 1000,
    n_warmup: int = 1000,
    n_chains: int = 4,
    acceptance: float = 0.9,
    priors: Mapping[str, Prior] | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Posterior:
    """Sample the posterior of all parameters.

    Constraint terms belong to the likelihood and are not counted again: a constrained parameter needs no prior.

    Args:
        likelihood: Any likelihood.
        data: Data for it.
        key: Random key; equal keys give equal samples.
        poi: Parameter of interest; None takes the declared one.
        n_samples: Samples of each chain.
        n_warmup: Draws of each chain before, which adapt the sampler.
        n_chains: Chains, two or more.
        acceptance: Acceptance probability that the step size aims at, below 1; thin and curved posteriors need 0.99.
        priors: Priors of free parameters; one that is not named is flat between its bounds.
        settings: Start values, bounds and fixed parameters.
        progress: Called with the chains that are done, and their number.

    Returns:
        The posterior; its `mixed` says whether it is one.

    Raises:
        ParameterError: A name is unknown, a number impossible, or a free parameter without prior has an infinite
            bound.
        DataError: The data do not fit the likelihood.
        UntrustworthyError: The density vanishes at the best fit, so that there is nowhere to start.
        InputError: numpyro or arviz is not installed.
    """
    began = time.perf_counter()
    require_true_values(likelihood, "a posterior")
    _check_sizes(n_samples, n_warmup, n_chains)
    if not 0.5 <= acceptance < 1.0:
        raise ParameterError(f"acceptance must be at least 0.5 and below 1, got {acceptance!r}; 0.9 is usual.")
    for library in ("numpyro", "arviz"):
        _library(library)
    fitted = fit(likelihood, data, poi=poi, settings=settings)
    name, known = require_poi(fitted), declared(fitted.parameters, priors or {})
    if name not in known:
        raise ParameterError(
            f"the parameter of interest, {name!r}, is fixed: release it, or name another one (poi=...)."
        )
    at = fitted.parameters.positions(known)
    start = target(likelihood, data, fitted.values, at, Space.of(known, _reach(fitted)[at]))
    drawn = chains(start, key, Plan(n_warmup, n_samples, acceptance), n_chains, progress)
    samples = {n: np.asarray(drawn.values[:, :, i]) for i, n in enumerate(known)}
    return Posterior(
        poi=name,
        samples=samples,
        mixing={n: _mixing(x) for n, x in samples.items()},
        priors={n: prior.text for n, prior in known.items() if prior.text},
        diverging=np.asarray(drawn.diverged),
        acceptance=np.asarray(drawn.accept),
        n_gradients=int(np.sum(drawn.steps)),
        n_warmup=n_warmup,
        fit=fitted,
        notices=_notices(fitted, known, drawn),
        seconds=time.perf_counter() - began,
    )


def _check_sizes(n_samples: int, n_warmup: int, n_chains: int) -> None:
    if n_chains < 2:
        raise ParameterError(f"n_chains must be 2 or more, since chains are compared with one another, got {n_chains}.")
    for what, n in (("n_samples", n_samples), ("n_warmup", n_warmup)):
        if n < _FEWEST:
            raise ParameterError(f"{what} must be {_FEWEST} or more, got {n}; 1000 is usual.")


def _library(name: str) -> Any:
    """An optional library.

    Raises:
        InputError: It is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # arviz announces a rewrite, below the pinned version 1
            return importlib.import_module(name)
    except ImportError:
        raise InputError(f"posteriors need {name}: install infer-hep[bayes].") from None


def _reach(fitted: FitResult) -> FloatArray:
    """About one standard deviation of every parameter, with shape (P,)."""
    rough = 0.1 * np.maximum(1.0, np.abs(fitted.values))
    return np.asarray(np.where(np.isfinite(fitted.uncertainties), fitted.uncertainties, rough))


def _mixing(x: FloatArray) -> Mixing:
    arviz = _library("arviz")
    with np.errstate(invalid="ignore", divide="ignore"):
        return Mixing(float(arviz.rhat(x)), float(arviz.ess(x, method="bulk")), float(arviz.ess(x, method="tail")))


def _notices(fitted: FitResult, known: Mapping[str, Declared], drawn: Chain) -> tuple[str, ...]:
    """Notices of the best fit, objections to it, and flat priors whose ends matter."""
    found = [*fitted.certificate.notices, *(f"best fit: {text}" for text in fitted.certificate.objections)]
    for i, (name, prior) in enumerate(known.items()):
        if not prior.assumed:
            continue
        x = (np.ravel(drawn.values[:, :, i]) - prior.low) / (prior.high - prior.low)
        for end, share in ((prior.low, np.mean(x < _EDGE)), (prior.high, np.mean(x > 1.0 - _EDGE))):
            if share > _PILED:
                found.append(
                    f"{100 * share:.2g} % of the samples of {name} lie next to its bound {end:g}, where the assumed "
                    "prior ends: the posterior depends on it"
                )
    return tuple(found)
