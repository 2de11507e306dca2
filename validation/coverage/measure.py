"""The toys of a suite, and what they say."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax

import infer
from infer.data import Data
from infer.inference.coverage import CoverageAt
from infer.likelihood import Likelihood
from validation import machine
from validation.coverage import closed_forms
from validation.coverage.judge import Statement, broken
from validation.coverage.models import MODELS
from validation.coverage.suites import Suite

ROOT = Path(__file__).parent.parent.parent
PLACES = (ROOT, ROOT.parent / "shared" / "likelihoods")
"""Where the path of a likelihood is looked for: the repository, and the published ones beside it."""


@dataclass(frozen=True)
class Measured:
    """What a suite found.

    Attributes:
        suite: The suite.
        n: Toys of each truth.
        poi: Parameter of interest.
        statements: One for each method, level and truth.
        truths: How the estimates are distributed at each truth: the records of `infer.Coverage.truths`.
        seconds: Wall-clock time, compilation included.
    """

    suite: Suite
    n: int
    poi: str
    statements: tuple[Statement, ...]
    truths: tuple[Mapping[str, Any], ...]
    seconds: float

    @property
    def broken(self) -> list[Statement]:
        """The promises that are not kept."""
        return broken(self.statements, self.suite.false_alarm)

    def record(self) -> dict[str, Any]:
        """The result as a JSON object, with where and when it was made."""
        return {
            "date": machine.today(),
            "machine": machine.describe(),
            "versions": machine.versions("infer-hep", "jax", "numpy", "scipy"),
            "suite": asdict(self.suite),
            "n": self.n,
            "poi": self.poi,
            "seconds": self.seconds,
            "statements": [asdict(s) | {"p": s.p} for s in self.statements],
            "truths": list(self.truths),
        }


def find(suite: Suite) -> Path | None:
    """The file of a suite's likelihood; None if it lies nowhere."""
    return next((place / str(suite.likelihood) for place in PLACES if (place / str(suite.likelihood)).exists()), None)


def available(suite: Suite) -> bool:
    """Whether the likelihood of a suite is here."""
    return suite.likelihood is None or find(suite) is not None


def measure(suite: Suite, *, n: int | None = None, run: infer.Run | None = None) -> Measured:
    """Measure a suite.

    Args:
        suite: What to measure.
        n: Toys of each truth; None takes the suite's own number.
        run: Where toys are computed.
    """
    began = time.perf_counter()
    if suite.summed:
        return Measured(suite, 0, "truth", _summed(suite), (), time.perf_counter() - began)
    likelihood, data = _likelihood(suite)
    found = infer.coverage(
        likelihood,
        data,
        key=jax.random.key(suite.seed),
        n_toys=n or suite.n,
        poi=suite.poi,
        values=suite.values,
        methods=suite.methods,
        cl=suite.levels,
        ensemble=[infer.Ensemble(nuisance=suite.base, truth=point) for point in suite.nuisance],
        n_belt=suite.n_belt,
        run=run,
    )
    statements = tuple(_statement(suite, result, found.belt) for result in found.results)
    truths = tuple({k: v for k, v in t.to_json_dict().items() if k != "pulls"} for t in found.truths)
    return Measured(suite, n or suite.n, found.poi, statements, truths, time.perf_counter() - began)


def _likelihood(suite: Suite) -> tuple[Likelihood, Data]:
    if suite.model is not None:
        return MODELS[suite.model](**suite.arguments)
    if (path := find(suite)) is None:
        raise FileNotFoundError(f"{suite.name}: {suite.likelihood} lies in none of {', '.join(map(str, PLACES))}.")
    return infer.read_workspace(path)


def _statement(suite: Suite, result: CoverageAt, belt: Any) -> Statement:
    number, at = divmod(result.point, len(suite.values))
    value, nuisance = suite.values[at], suite.nuisance[number]
    expected = suite.expectation(result.method, result.cl, value)
    exact, ideal = None, None
    if suite.model is not None:
        exact = closed_forms.model_coverage(
            suite.model, suite.arguments, result.method, result.cl, value, nuisance, belt
        )
    if suite.model == "counting" and result.method == "feldman-cousins":
        ideal = closed_forms.Counting(**suite.arguments).feldman_cousins(result.cl, value)
    return Statement(
        method=result.method,
        cl=result.cl,
        value=value,
        nuisance=number,
        expect=expected.kind,
        why=expected.why,
        n=result.n,
        n_failed=result.n_failed,
        covered=result.covered,
        n_belt=result.n_belt,
        coverage=result.coverage,
        exact=exact,
        ideal=ideal,
    )


def _summed(suite: Suite) -> tuple[Statement, ...]:
    found = []
    for method in suite.methods:
        for cl in suite.levels:
            for value in suite.values:
                entry = suite.expectation(method, cl, value)
                ours, theirs = closed_forms.summed(str(suite.model), suite.arguments, cl, value)
                found.append(Statement(method, cl, value, 0, entry.kind, entry.why, 0, 0, 0, None, ours, theirs))
    return tuple(found)
