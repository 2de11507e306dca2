"""Agreement with pyhf: log-likelihoods at random points, and fits against verified minima.

Three promises are kept or broken for each workspace:

* log f(data | theta) equals pyhf's to 1e-9 (relative) at 100 random points;
* the fit says that it converged, and lies within 1e-4 of the verified minimum in -2 ln L, which pyhf evaluates;
* the uncertainty of the parameter of interest is that of the inverse Hessian to 1 %, where it is not at a bound.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

import infer
from validation import machine, tables, workspaces
from validation.models import Reference, infer_logpdf, pyhf_reference

LOGPDF_TOLERANCE = 1e-9
MINIMUM_TOLERANCE = 1e-4
SIGMA_TOLERANCE = 0.01
ATTEMPTS_PER_POINT = 50
HEADER = (
    "workspace",
    "parameters",
    "points",
    "max rel. Δ log f",
    "2NLL − minimum",
    "σ / σ verified",
    "converged",
    "first fit",
    "promises",
)


@dataclass(frozen=True)
class FitCheck:
    """One fit of ours, judged by pyhf and by the verified minimum."""

    above_minimum: float | None
    """-2 ln L by pyhf at our best fit minus the verified minimum; None where that is unknown."""
    own_twice_nll_error: float
    """Our reported -2 ln L minus pyhf's at the same point."""
    sigma_ratio: float | None
    """Our uncertainty of the POI over the verified one; None where unknown or where the POI is at a bound."""
    converged: bool
    seconds: float
    """First fit in this process, compilation included."""


@dataclass(frozen=True)
class Agreement:
    """What was found for one workspace."""

    workspace: str
    n_parameters: int
    n_points: int
    logpdf_difference: float
    """Largest relative difference of log f over the points."""
    fit: FitCheck

    @property
    def broken(self) -> list[str]:
        """The promises that are not kept, in words."""
        found = []
        if not self.n_points:
            found.append("no point with positive rates was found")
        if not self.logpdf_difference <= LOGPDF_TOLERANCE:
            found.append(f"logpdf differs by {self.logpdf_difference:.1e}")
        if not self.fit.converged:
            found.append("the fit did not converge")
        if self.fit.above_minimum is not None and not self.fit.above_minimum <= MINIMUM_TOLERANCE:
            found.append(f"fit is {self.fit.above_minimum:.1e} above the minimum")
        if self.fit.sigma_ratio is not None and not abs(self.fit.sigma_ratio - 1.0) <= SIGMA_TOLERANCE:
            found.append(f"uncertainty of the POI is {self.fit.sigma_ratio:.4f} of the verified one")
        return found


def _draw(reference: Reference, rng: np.random.Generator) -> dict[str, float]:
    """One random point: N(0, 1) for alphas, N(1, sigma) for the luminosity, ±20 % for gammas, up to 3 for factors."""
    config = reference.model.config
    point: dict[str, float] = {}
    low, high = np.array(config.suggested_bounds()).T
    scalars = {name for name, kind in config.modifiers if kind in {"normsys", "histosys", "lumi"}}
    for name in config.par_order:
        where, parameters = config.par_slice(name), config.param_set(name)
        width = where.stop - where.start
        if width == 1 and not parameters.constrained:
            values = rng.uniform(low[where], np.minimum(high[where], 3.0))
        elif parameters.constrained and name in scalars:
            values = rng.normal(parameters.auxdata, parameters.width())
        else:
            values = rng.uniform(0.8, 1.2, width)
        clipped = np.clip(values, low[where], high[where])
        point.update(zip(config.par_names[where], clipped.tolist(), strict=True))
    constant = {name for name, fixed in zip(config.par_names, config.suggested_fixed(), strict=True) if fixed}
    return {name: value for name, value in point.items() if name not in constant}


def random_points(reference: Reference, count: int, seed: int) -> Iterator[dict[str, float]]:
    """Up to `count` random points with positive rates; fewer where these are rare."""
    rng = np.random.default_rng(seed)
    found = 0
    for _ in range(ATTEMPTS_PER_POINT * count):
        point = _draw(reference, rng)
        if np.all(reference.rates(point) > 0):
            found += 1
            yield point
        if found == count:
            return


def logpdf_agreement(path: Path, reference: Reference, count: int, seed: int) -> tuple[int, float]:
    """Number of points and the largest relative difference of log f."""
    ours = infer_logpdf(path)
    differences = []
    for point in random_points(reference, count, seed):
        theirs = reference.logpdf(point)
        differences.append(abs(ours(point) - theirs) / abs(theirs))
    return len(differences), float(np.max(differences, initial=0.0))


def check_fit(path: Path, reference: Reference) -> FitCheck:
    """Fit with this package and judge the result."""
    likelihood, data = infer.read_workspace(path)
    start = time.perf_counter()
    result = infer.fit(likelihood, data)
    seconds = time.perf_counter() - start
    theirs = -2.0 * reference.logpdf({name: result.value(name) for name in result.parameters.names})
    known = workspaces.known_fit(path)
    sigma = result.uncertainty(result.poi) if result.poi else None
    verified = known.sigma if known and not known.at_bound else None
    return FitCheck(
        above_minimum=None if known is None else theirs - known.twice_nll,
        own_twice_nll_error=float(result.twice_nll) - theirs,
        sigma_ratio=(sigma or 0.0) / verified if verified else None,
        converged=bool(result.status.converged),
        seconds=seconds,
    )


def agreement(path: Path, *, count: int = 100, seed: int = 1) -> Agreement:
    """Compare one workspace with pyhf."""
    reference = pyhf_reference(path)
    n_points, difference = logpdf_agreement(path, reference, count, seed)
    return Agreement(path.stem, len(reference.names), n_points, difference, check_fit(path, reference))


def markdown(found: Sequence[Agreement], provenance: str) -> str:
    """The page of the results."""
    rows = [
        [
            a.workspace,
            str(a.n_parameters),
            str(a.n_points),
            f"{a.logpdf_difference:.1e}",
            "–" if a.fit.above_minimum is None else f"{a.fit.above_minimum:.1e}",
            tables.number(a.fit.sigma_ratio, 5),
            "yes" if a.fit.converged else "no",
            tables.seconds(a.fit.seconds),
            "; ".join(a.broken) or "kept",
        ]
        for a in found
    ]
    promises = (
        f"Promised: log f within {LOGPDF_TOLERANCE:g} of pyhf's (relative), the minimum within "
        f"{MINIMUM_TOLERANCE:g} in 2NLL by pyhf's judgement, the uncertainty of the POI within {SIGMA_TOLERANCE:.0%} "
        "of the verified inverse Hessian. A dash: no verified value, or the POI is at a bound, where a symmetric "
        "uncertainty means nothing."
    )
    return "\n\n".join(["# Agreement with pyhf", promises, tables.markdown_table(HEADER, rows), provenance])


def run(paths: Sequence[Path], *, count: int, seed: int, results: Path) -> list[Agreement]:
    """Compare all workspaces and write ``pyhf.md`` and ``pyhf.json``."""
    found = [agreement(path, count=count, seed=seed) for path in track(paths, description="against pyhf")]
    date, host = machine.today(), machine.describe()
    versions = machine.versions("infer-hep", "pyhf", "jax", "numpy", "scipy")
    record: dict[str, Any] = {
        "date": date,
        "machine": host,
        "versions": versions,
        "seed": seed,
        "tolerances": {"logpdf": LOGPDF_TOLERANCE, "minimum": MINIMUM_TOLERANCE, "sigma": SIGMA_TOLERANCE},
        "workspaces": [asdict(a) | {"broken": a.broken} for a in found],
    }
    tables.write(results, "pyhf", markdown(found, tables.provenance_lines(date, host, versions)), record)
    return found
