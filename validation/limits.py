"""Upper limits against pyhf: CLs, observed and expected, of the hypotheses that this package calls its limits.

pyhf tests the observed limit with each of its minimisers, on its JAX backend with exact gradients.  Promised: with
the one that comes closest, the observed CLs and the five expected ones agree to 1e-3.  The others are listed: where
they differ, a minimiser stopped early.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyhf
from rich.progress import track

import infer
from validation import machine, tables
from validation.models import INTERPOLATION

CLS_TOLERANCE = 1e-3
OPTIMIZERS = ("scipy", "minuit")
HEADER = (
    "workspace",
    "observed limit",
    "expected limit",
    "ours, first",
    "ours, again",
    *(f"max \\|ΔCLs\\|, pyhf {name}" for name in OPTIMIZERS),
    *(f"one CLs, pyhf {name}" for name in OPTIMIZERS),
    "promise",
)


POLICY = (
    "Limits are at 95 % CL by CLs with q_mu_tilde; times are of the observed limit and all five expected ones for "
    "this package, and of testing one hypothesis for pyhf."
)


@dataclass(frozen=True)
class Attempt:
    """pyhf with one of its minimisers."""

    difference: float | None
    """Largest difference of the observed and the expected CLs; None where the minimiser gave up."""
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """What was found for one workspace."""

    workspace: str
    observed: float | None
    expected: tuple[float | None, ...]
    first: float
    """Seconds of the first limit with its bands, compilation included."""
    again: float
    attempts: dict[str, Attempt]

    @property
    def kept(self) -> bool:
        """Whether the promise is."""
        found = [a.difference for a in self.attempts.values() if a.difference is not None]
        return self.observed is not None and min(found, default=np.inf) <= CLS_TOLERANCE


def attempt(path: Path, value: float, ours: np.ndarray, highest: float, optimizer: str) -> Attempt:
    """CLs by pyhf against ours."""
    pyhf.set_backend("jax", optimizer, precision="64b")
    workspace = pyhf.Workspace(json.loads(path.read_text()), validate=False)
    model = workspace.model(modifier_settings=INTERPOLATION)
    bounds = model.config.suggested_bounds()
    bounds[model.config.poi_index] = (0.0, max(10.0, 2.0 * highest))
    began = time.perf_counter()
    try:
        observed, expected = pyhf.infer.hypotest(
            value, workspace.data(model), model, par_bounds=bounds, return_expected_set=True
        )
        difference = float(np.max(np.abs(np.asarray([observed, *expected], dtype=float) - ours)))
    except pyhf.exceptions.FailedMinimization:
        difference = np.nan
    seconds = time.perf_counter() - began
    return Attempt(difference if np.isfinite(difference) else None, seconds)


def compare(path: Path) -> Comparison:
    """One workspace by this package and by pyhf."""
    likelihood, data = infer.read_workspace(path)
    times = []
    for _ in range(2):
        began = time.perf_counter()
        limit = infer.upper_limit(likelihood, data)
        times.append(time.perf_counter() - began)
    attempts = {}
    if limit.observed is not None:
        (point,) = infer.cls(likelihood, data, values=[limit.observed]).points
        ours = np.exp([point.log_cls, *point.expected])
        highest = max(x for x in (limit.observed, *limit.expected) if x is not None)
        attempts = {name: attempt(path, limit.observed, ours, highest, name) for name in OPTIMIZERS}
    return Comparison(path.stem, limit.observed, limit.expected, times[0], times[1], attempts)


def _row(found: Comparison) -> Iterator[str]:
    yield found.workspace
    yield tables.number(found.observed, 6)
    yield tables.number(found.expected[2], 6)
    yield tables.seconds(found.first)
    yield tables.seconds(found.again)
    tried = [found.attempts.get(name) for name in OPTIMIZERS]
    for one in tried:
        yield "–" if one is None else "no minimum" if one.difference is None else f"{one.difference:.1e}"
    for one in tried:
        yield "–" if one is None else tables.seconds(one.seconds)
    yield "kept" if found.kept else "broken"


def run(paths: Sequence[Path], *, results: Path) -> list[Comparison]:
    """Compare all workspaces and write ``limits.md`` and ``limits.json``."""
    found = [compare(path) for path in track(paths, description="limits against pyhf")]
    date, host = machine.today(), machine.describe()
    versions = machine.versions("infer-hep", "pyhf", "jax", "numpy", "scipy", "iminuit")
    head = " ".join((__doc__ or "").split())
    page = [
        "# Upper limits against pyhf",
        head,
        POLICY,
        tables.markdown_table(HEADER, [list(_row(c)) for c in found]),
        tables.provenance_lines(date, host, versions),
    ]
    record = {
        "date": date,
        "machine": host,
        "versions": versions,
        "tolerance": CLS_TOLERANCE,
        "workspaces": [asdict(c) | {"kept": c.kept} for c in found],
    }
    tables.write(results, "limits", "\n\n".join(page), record)
    return found
