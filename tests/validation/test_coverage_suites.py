"""The coverage suites: strict reading, closed forms, verdicts with their error rates, and planted mistakes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from infer.inference.minimize import Newton
from infer.inference.toy_intervals import METHODS, Ends, Hessian, Shared
from validation.__main__ import app
from validation.coverage import judge, measure, page, run, suites
from validation.coverage.closed_forms import Counting, OnOff
from validation.coverage.judge import Statement

EXACT = {
    "name": "small",
    "shows": "A counting experiment.",
    "model": {"name": "counting", "background": 10},
    "truths": {"values": [4, 15]},
    "levels": [0.6827, 0.95],
    "n": 400,
    "seed": 3,
    "expect": [{"method": "hessian", "is": "exact"}],
}


def small(**changes: Any) -> suites.Suite:
    """The suite of this module, with changes."""
    return suites.parse(EXACT | changes, name="small")


def statement(covered: int, *, n: int = 1000, expect: str = "covers", **more: Any) -> Statement:
    """A statement about 68.27 % at one truth."""
    empty = Statement("profile", 0.6827, 1.0, 0, expect, "", n, 0, covered, None, covered / n)
    return replace(empty, **more)


@dataclass(frozen=True)
class Short:
    """A wrong interval: the Hessian's, a fifth shorter."""

    solver: Newton
    name: ClassVar[str] = "hessian"

    def __call__(self, shared: Shared, problem: Any) -> Ends:
        """Ends, drawn towards the best fit."""
        ends = Hessian(self.solver)(shared, problem)
        centre = problem[1].theta[shared.model.at]
        low, high = (jnp.asarray(centre + 0.8 * (end - centre)) for end in (ends.low, ends.high))
        return Ends(low, high, ends.low_status, ends.high_status, ends.deeper)


def test_every_suite_is_read() -> None:
    """Those that the project ships, each under its own name."""
    found = suites.load_all()
    assert {"counting-3", "on-off-3", "gaussian", "search", "ttbar_ljets_xsec"} <= set(found)
    assert all(name == suite.name for name, suite in found.items())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"colour": "red"}, "unknown"),
        ({"name": "other"}, "calls itself"),
        ({"likelihood": "x.json"}, "either"),
        ({"model": {"name": "unheard-of"}}, "model must be one of"),
        ({"levels": [95]}, "95 % as 0.95"),
        ({"levels": []}, "list of numbers"),
        ({"truths": {"values": ["a"]}}, "list of numbers"),
        ({"truths": {"values": [1], "nuisance": {"b": 1}}}, "list of mappings"),
        ({"n": 0}, "n must be positive"),
        ({"n": 1.5}, "whole number"),
        ({"false_alarm": 0.9}, "small probability"),
        ({"expect": []}, "list of entries"),
        ({"expect": [{"method": "hessian", "is": "fine"}]}, "must be one of"),
        ({"expect": [{"method": "hessian", "is": "known"}]}, "reason"),
        ({"expect": [{"method": "hessian", "is": "covers", "values": [5]}]}, "not among"),
        ({"expect": [{"method": "hessian", "is": "covers", "values": [4]}]}, "got 0"),
        ({"expect": 2 * [{"method": "hessian", "is": "covers"}]}, "got 2"),
    ],
)
def test_a_suite_that_breaks_the_format_is_refused(changes: dict[str, Any], complaint: str) -> None:
    """With a message that names the place."""
    with pytest.raises(suites.SuiteError, match=complaint):
        small(**changes)


def test_a_file_has_no_closed_form() -> None:
    """Exact coverage can be asked for of a model only."""
    document = {key: value for key, value in EXACT.items() if key != "model"}
    with pytest.raises(suites.SuiteError, match="closed form"):
        suites.parse(document | {"likelihood": "workspaces/search.json"}, name="small")


@pytest.mark.parametrize("method", ["hessian", "profile"])
def test_the_closed_form_of_counting_is_a_naive_sum(method: str) -> None:
    """Count by count, from ends that are searched for, at a shifted and scaled truth."""
    model, cl, mu = Counting(background=2.5, signal=1.7), 0.9, 2.2
    rate, total = 1.7 * mu + 2.5, 0.0
    for n in range(80):
        estimate = max((n - 2.5) / 1.7, 0.0)

        def q(x: float, n: int = n, estimate: float = estimate) -> float:
            difference = stats.poisson.logpmf(n, 1.7 * estimate + 2.5) - stats.poisson.logpmf(n, 1.7 * x + 2.5)
            return float(2.0 * difference)

        step = 1e-3
        second = (q(estimate + 2 * step) - 2 * q(estimate + step) + q(estimate)) / (2 * step**2)
        if method == "profile":
            inside = q(mu) <= stats.chi2.ppf(cl, 1)
        else:
            inside = n > 0 and abs(mu - estimate) <= stats.norm.ppf(0.5 + 0.5 * cl) / np.sqrt(second)
        total += inside * stats.poisson.pmf(n, rate)
    assert model.coverage(method, cl, mu) == pytest.approx(total, abs=1e-12)


def test_the_ideal_construction_is_that_of_feldman_and_cousins() -> None:
    """Their Table I: with mu = 0.5, b = 3 and 90 %, counts from 0 to 6 are accepted."""
    found = Counting(background=3.0).feldman_cousins(0.9, 0.5)
    assert found == pytest.approx(stats.poisson.cdf(6, 3.5), abs=1e-12)


def test_on_off_with_a_huge_control_region_is_counting() -> None:
    """A background known to a thousandth; ties aside, the sums agree."""
    model = OnOff(background=10.0, tau=1e5)
    for method in ("hessian", "profile"):
        expected = Counting(background=10.0).coverage(method, 0.95, 6.3)
        assert model.coverage(method, 0.95, 6.3) == pytest.approx(expected, abs=2e-3)


def test_the_held_background_maximises_the_likelihood() -> None:
    """The root of the quadratic equation, against neighbours on both sides."""
    model = OnOff(background=3.0, tau=2.0)
    on, off = np.array([[4.0]]), np.array([[7.0]])
    grid = np.linspace(0.5, 8.0, 20001)[None, :]
    assert model._held(2.0, on, off)[0, 0] == pytest.approx(float(np.min(model._nll(2.0, grid, on, off))), abs=1e-6)


def test_tails_are_binomial() -> None:
    """At whole numbers, and at the edges."""
    for k in (0, 3, 10):
        assert judge.at_most(k, 10, 0.3) == pytest.approx(stats.binom.cdf(k, 10, 0.3))
        assert judge.at_least(k, 10, 0.3) == pytest.approx(stats.binom.sf(k - 1, 10, 0.3))


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (statement(683), "kept"),
        (statement(600), "broken"),
        (statement(760), "broken"),
        (statement(760, expect="at-least"), "kept"),
        (statement(600, expect="at-least"), "broken"),
        (statement(600, expect="known"), "known"),
        (statement(600, expect="exact", exact=0.6), "kept"),
        (statement(683, expect="exact", exact=0.6), "broken"),
        (statement(683, n_failed=100), "broken"),
        (statement(620, n_belt=10000), "broken"),
        (statement(620, n_belt=200), "kept"),
    ],
)
def test_a_verdict_follows_from_the_counts(found: Statement, verdict: str) -> None:
    """At a threshold of 1e-4; failures count against us, noise of a belt in favour."""
    assert found.verdict(1e-4) == verdict


def test_a_sum_below_its_level_breaks_the_promise() -> None:
    """There is no noise to excuse it, nor a difference from scipy."""
    whole = Statement("garwood", 0.95, 1.0, 0, "at-least", "", 0, 0, 0, None, 0.96, 0.96)
    assert whole.verdict(0.0) == "kept"
    assert replace(whole, coverage=0.9499, exact=0.9499).verdict(0.0) == "broken"
    assert replace(whole, exact=0.97).verdict(0.0) == "broken"


def test_suites_of_kept_promises_fail_as_rarely_as_stated() -> None:
    """At 5 % and 20 promises, in 2000 suites; more than 5 % + 4 standard deviations once in 30 000 runs."""
    rng, rate, m = np.random.default_rng(5), 0.05, 20
    counts = rng.binomial(500, 0.6827, size=(2000, m))
    least = judge.threshold([statement(0)] * m, rate)
    p = {k: statement(k, n=500).p for k in np.unique(counts).tolist()}
    failing = np.mean([min(p[k] for k in row) < least for row in counts.tolist()])
    assert 0.01 < failing < rate + 4.0 * np.sqrt(rate / 2000)


def test_the_resolution_is_noticed_half_of_the_time() -> None:
    """By the exact tails too, to a tenth."""
    n, p, least = 2000, 0.6827, 1e-4
    low = round(n * (p - judge.resolution(n, p, least)))
    assert 0.3 < sum(statement(k, n=n).p < least for k in range(low - 20, low + 21)) / 41 < 0.7


@pytest.mark.slow
@pytest.mark.parametrize("name", ["counting-3", "on-off-3", "gaussian"])
def test_measured_and_exact_coverage_agree(name: str) -> None:
    """With few toys; each suite fails once in 1000 times by chance, and the seed is fixed."""
    suite = replace(suites.load_all()[name], n_belt=200)
    found = measure.measure(suite, n=300)
    assert found.broken == []
    assert all(s.exact is not None for s in found.statements)


@pytest.mark.parametrize("name", ["garwood", "clopper-pearson"])
def test_summed_coverage_is_at_least_the_level(name: str) -> None:
    """Everywhere on the grid, and never far above it everywhere."""
    found = measure.measure(suites.load_all()[name])
    assert found.broken == []
    for cl in found.suite.levels:
        assert cl <= min(s.coverage for s in found.statements if s.cl == cl) < cl + 0.01


@pytest.mark.slow
def test_a_planted_mistake_makes_a_suite_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interval a fifth too short, called exact; the right one passes.  The page names it, and the exit code is 1."""
    suite = small()
    right = run.run([suite], ["small"], n=None, workers=0, results=tmp_path)
    assert right.failed == []
    monkeypatch.setitem(METHODS, "hessian", Short)
    monkeypatch.setattr(suites, "load_all", lambda: {"small": suite})
    shown = CliRunner().invoke(app, ["coverage", "--results", str(tmp_path)])
    assert shown.exit_code == 1
    assert "small: fails" in shown.output
    assert "**broken**" in (tmp_path / "coverage.md").read_text()
    assert (tmp_path / "figures" / "coverage-small.png").exists()


@pytest.mark.slow
def test_a_suite_that_was_not_run_keeps_its_result(tmp_path: Path) -> None:
    """Until it is no longer one."""
    first, second = small(n=20), suites.parse(EXACT | {"name": "second", "n": 20}, name="second")
    for suite in (first, second):
        run.run([suite], ["small", "second"], n=None, workers=0, results=tmp_path)
    kept = json.loads((tmp_path / "coverage.json").read_text())["suites"]
    assert list(kept) == ["small", "second"]
    assert page.markdown(kept).rstrip() == (tmp_path / "coverage.md").read_text().rstrip()
    run.run([second], ["second"], n=None, workers=0, results=tmp_path)
    assert list(json.loads((tmp_path / "coverage.json").read_text())["suites"]) == ["second"]


def test_a_likelihood_that_is_not_here_is_left_out_with_a_word(tmp_path: Path) -> None:
    """Published likelihoods lie beside the repository, and may be absent."""
    absent = replace(small(), model=None, likelihood="nowhere.json")
    outcome = run.run([absent], ["small"], n=None, workers=0, results=tmp_path)
    assert "not here" in outcome.report()
    assert outcome.failed == []


def test_an_unknown_suite_is_refused() -> None:
    """With the names of those that there are."""
    shown = CliRunner().invoke(app, ["coverage", "unheard-of"])
    assert shown.exit_code == 2
    assert "counting-3" in shown.output
