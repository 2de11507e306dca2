"""Simulation-based calibration of posteriors: ranks of truths that were drawn from the prior are uniform.

A truth is drawn from the prior, data from the truth, and the posterior is sampled; among L nearly independent samples
of it the truth then has every rank from 0 to L with the same probability (Talts et al., arXiv:1804.06788, theorem 1).
A posterior that is too narrow puts the ranks at the ends, one that is too wide in the middle, a shifted one on one
side.  Auxiliary data stay at their nominal values, so that the constraint terms are the priors of the nuisance
parameters.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from rich.progress import track
from scipy import stats

import infer
from infer.likelihoods.histfactory.model import HistFactory
from infer.likelihoods.histfactory.spec import parse_workspace
from validation import machine, tables

FALSE_ALARM = 1e-3
"""Probability that the suite fails although all posteriors are right, shared by its statements."""

MAX_UNMIXED = 0.02
"""Largest share of posteriors that may refuse to give a number: leaving out more of them would bend the ranks."""

N_RANKS = 19  # samples that a truth is ranked among, so that there are 20 ranks
N_BINS = 10
HEADER = ("model", "parameter", "posteriors", "unmixed", "chi2", "p", "verdict")


@dataclass(frozen=True)
class Model:
    """A likelihood whose parameters can be drawn from their priors.

    Attributes:
        name: Name.
        background: Events of the background in each bin.
        signal: Events of the signal in each bin.
        prior: Prior of mu.
        systematics: Modifiers of the background, all with normal constraints.
    """

    name: str
    background: tuple[float, ...]
    signal: tuple[float, ...]
    prior: infer.FlatPrior | infer.LogFlatPrior | infer.NormalPrior
    systematics: tuple[Mapping[str, Any], ...] = field(default=())

    def built(self) -> tuple[infer.Likelihood, infer.Data]:
        """The likelihood, with the background as its data."""
        mu = {"name": "mu", "type": "normfactor", "data": None}
        samples = [
            {"name": "signal", "data": list(self.signal), "modifiers": [mu]},
            {"name": "background", "data": list(self.background), "modifiers": [dict(s) for s in self.systematics]},
        ]
        parameter = {"name": "mu", "bounds": [[0.0, 20.0]], "inits": [1.0]}
        document = {
            "version": "1.0.0",
            "channels": [{"name": "bins", "samples": samples}],
            "observations": [{"name": "bins", "data": list(self.background)}],
            "measurements": [{"name": "sbc", "config": {"poi": "mu", "parameters": [parameter]}}],
        }
        workspace = parse_workspace(document, source=self.name)
        return HistFactory.of(workspace, workspace.measurement(None), interpolation=None)

    def drawn(self, likelihood: infer.Likelihood, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """A truth, with shape (P,)."""
        return np.asarray([self._one(p, rng) for p in likelihood.parameters.values()])

    def _one(self, parameter: infer.Parameter, rng: np.random.Generator) -> float:
        if parameter.fixed:
            return parameter.init
        low, high = parameter.bounds
        mean, sigma = parameter.init, getattr(parameter.constraint, "width", None)
        if parameter.name == "mu":
            match self.prior:
                case infer.FlatPrior(start, end):
                    return float(rng.uniform(start, end))
                case infer.LogFlatPrior(start, end):
                    return float(np.exp(rng.uniform(np.log(start), np.log(end))))
                case infer.NormalPrior(mean, sigma):
                    pass
        cut = stats.truncnorm((low - mean) / sigma, (high - mean) / sigma, loc=mean, scale=sigma)
        return float(cut.rvs(random_state=rng))


MODELS = (
    Model("one count, flat prior", (3.0,), (1.0,), infer.FlatPrior(0.0, 20.0)),
    Model("one count, prior flat in log mu", (1.0,), (2.0,), infer.LogFlatPrior(0.1, 20.0)),
    Model(
        "two bins, normal prior at a bound",
        (20.0, 50.0),
        (10.0, 5.0),
        infer.NormalPrior(1.0, 1.0),
        (
            {"name": "scale", "type": "normsys", "data": {"lo": 0.8, "hi": 1.25}},
            {"name": "shape", "type": "histosys", "data": {"lo_data": [16.0, 53.0], "hi_data": [24.0, 47.0]}},
        ),
    ),
)


@dataclass(frozen=True)
class Calibration:
    """Ranks of the truths of one parameter.

    Attributes:
        model: Model.
        parameter: Parameter.
        ranks: Ranks among `N_RANKS` samples.
        n_unmixed: Posteriors that gave no number, and no rank.
        chi2: Of the ranks in `N_BINS` bins against a uniform distribution.
        p: Its p-value.
        false_alarm: Below which p is a broken promise.
    """

    model: str
    parameter: str
    ranks: tuple[int, ...]
    n_unmixed: int
    chi2: float
    p: float
    false_alarm: float

    @property
    def kept(self) -> bool:
        """Whether the posterior is calibrated."""
        few = self.n_unmixed <= MAX_UNMIXED * (len(self.ranks) + self.n_unmixed)
        return few and self.p >= self.false_alarm


def uniformity(ranks: Sequence[int]) -> tuple[float, float]:
    """chi2 of ranks against the uniform distribution, and its p-value."""
    counts = np.histogram(ranks, np.linspace(-0.5, N_RANKS + 0.5, N_BINS + 1))[0]
    found = stats.chisquare(counts)
    return float(found.statistic), float(found.pvalue)


def rank(samples: npt.NDArray[np.float64], truth: float) -> int:
    """Rank of a truth among equidistant samples of all chains, with shape (n_chains, n)."""
    pooled = np.ravel(samples)
    step = pooled.size // N_RANKS
    return int(np.sum(pooled[step // 2 :: step][:N_RANKS] < truth))


def calibrate(model: Model, n: int, seed: int) -> list[Calibration]:
    """Ranks of n truths, for each parameter of a model that is not fixed."""
    likelihood, nominal = model.built()
    rng = np.random.default_rng(seed)
    names = [p.name for p in likelihood.parameters.values() if not p.fixed]
    ranks: dict[str, list[int]] = {name: [] for name in names}
    unmixed = 0
    for key in track(jax.random.split(jax.random.key(seed), n), description=model.name):
        data_key, chain_key = jax.random.split(key)
        truth = model.drawn(likelihood, rng)
        data = infer.Data(likelihood.sample_main(jnp.asarray(truth), data_key), nominal.aux)
        found = infer.posterior(
            likelihood, data, key=chain_key, priors={"mu": model.prior}, n_samples=2000, n_warmup=500
        )
        if not found.mixed:
            unmixed += 1
            continue
        for name in names:
            ranks[name].append(rank(found.samples[name], truth[likelihood.parameters.position(name)]))
    return [Calibration(model.name, k, tuple(v), unmixed, *uniformity(v), FALSE_ALARM) for k, v in ranks.items()]


def run(*, n: int, seed: int, results: Path) -> list[Calibration]:
    """Calibrate all models and write ``sbc.md`` and ``sbc.json``."""
    began = time.perf_counter()
    found = [one for model in MODELS for one in calibrate(model, n, seed)]
    share = FALSE_ALARM / len(found)
    found = [Calibration(**{**asdict(one), "false_alarm": share}) for one in found]
    date, host = machine.today(), machine.describe()
    versions = machine.versions("infer-hep", "numpyro", "arviz", "jax", "numpy", "scipy")
    rows = [
        [
            *(c.model, c.parameter, str(len(c.ranks)), str(c.n_unmixed), f"{c.chi2:.1f}", f"{c.p:.3g}"),
            "uniform" if c.kept else "broken",
        ]
        for c in found
    ]
    page = [
        "# Simulation-based calibration of posteriors",
        " ".join((__doc__ or "").split()),
        (
            f"chi2 has {N_BINS - 1} degrees of freedom. A promise is broken where p is below {share:.2g}, so that the "
            f"suite fails by chance with probability {FALSE_ALARM:g}, or where more than {100 * MAX_UNMIXED:g} % of "
            "the posteriors did not mix."
        ),
        tables.markdown_table(HEADER, rows),
        f"{time.perf_counter() - began:.0f} s. {tables.provenance_lines(date, host, versions)}",
    ]
    record = {
        "date": date,
        "machine": host,
        "versions": versions,
        "seed": seed,
        "calibrations": [asdict(c) | {"kept": c.kept} for c in found],
    }
    tables.write(results, "sbc", "\n\n".join(page), record)
    return found
