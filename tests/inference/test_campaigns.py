"""Campaigns: chunks of several truths, refits of toys in the wrong well, and folders of finished chunks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from infer.errors import InferError, ParameterError
from infer.inference.campaigns import PULLS, Campaign, Run, conduct, prepare, pulls_of, rows
from infer.inference.coverage import coverage
from infer.inference.ensembles import Ensemble
from infer.inference.fits import FitResult, Settings
from infer.inference.minimize import Newton
from infer.inference.profiles import ONE_SIGMA
from infer.inference.toy_intervals import CROSSED, Profile
from tests.inference.problems import without_aux
from tests.inference.toy_problems import Wells, bins, campaign_of, gaussian, thrown


def campaign(
    n: int, run: Run | None = None, values: tuple[float, ...] = (0.5, 2.0), seed: int = 5
) -> tuple[Campaign, FitResult]:
    """Toys of two truths of the three bins."""
    return prepare(
        *bins(),
        key=jax.random.key(seed),
        n_toys=n,
        poi="mu",
        values=list(values),
        ensemble=None,
        settings=Settings(),
        run=run or Run(),
    )


# ------------------------------------------------------------------------------------------------ chunks


def test_chunks_cover_every_toy_once() -> None:
    """Ten toys in chunks of four at each of two truths: six chunks, in the order of truths and numbers."""
    plan, _ = campaign(10, Run(chunk=4))
    assert (plan.chunks_per_truth, plan.n_chunks) == (3, 6)
    whole = rows([plan(chunk) for chunk in range(6)])
    assert whole["index"].tolist() == list(range(10)) * 2
    assert whole["point"].tolist() == [0] * 10 + [1] * 10
    np.testing.assert_array_equal(whole["truth"], np.repeat([0.5, 2.0], 10))
    assert set(PULLS).isdisjoint(whole)


def test_truths_share_their_random_numbers() -> None:
    """Toy i is one fluctuation seen at each truth: estimates of a Gaussian differ by the difference of the truths."""
    plan, _ = prepare(
        *gaussian(),
        key=jax.random.key(2),
        n_toys=20,
        poi="mu",
        values=[0.0, 5.0],
        ensemble=None,
        settings=Settings(),
        run=Run(),
    )
    low, high = plan(0)["value"], plan(1)["value"]
    np.testing.assert_allclose(high - low, 5.0, atol=1e-7)


def test_later_toys_continue_the_numbers() -> None:
    """A campaign that begins with toy 6 holds what the longer one holds from there on."""
    plan, _ = campaign(10)
    whole = plan(1)
    rest = replace(plan, n=4, firsts=(0, 6))(1)
    assert rest["index"].tolist() == [6, 7, 8, 9]
    np.testing.assert_array_equal(rest["value"], whole["value"][6:])


def test_every_ensemble_meets_every_value() -> None:
    """Two ensembles and two values make four truths, the values running fastest."""
    plan, _ = prepare(
        *gaussian(),
        key=jax.random.key(2),
        n_toys=1,
        poi="mu",
        values=[1.0, 2.0],
        ensemble=[Ensemble(), Ensemble(truth={"nu": 3.0})],
        settings=Settings(),
        run=Run(),
    )
    assert plan.truths == (1.0, 2.0, 1.0, 2.0)
    np.testing.assert_allclose([float(s.theta[1]) for s in plan.sources], [0.0, 0.0, 3.0, 3.0], atol=1e-6)


def test_certificates_travel_with_toys() -> None:
    """Every row of a batch says how good its minimum is, in units of 2NLL (B27)."""
    plan, _ = campaign(8)
    table = plan(0)
    assert np.all(table["converged"])
    assert np.all((table["edm"] >= 0.0) & (table["edm"] <= 1e-9))
    assert np.all(table["projected_gradient"] <= 2e-4)
    assert np.all(table["positive_definite"])
    assert np.all(table["n_steps"] >= 2)
    assert np.all(table["restarts"] == 0)


def test_pulls_are_those_of_the_rows() -> None:
    """Sums over chunks give mean and standard deviation of (estimate - truth) / sigma."""
    plan, best = campaign(30, Run(chunk=7), values=(2.0,))
    tables = [plan(chunk) for chunk in range(plan.n_chunks)]
    whole = rows(tables)
    pulls = (whole["value"] - 2.0) / whole["sigma"]
    found = pulls_of(tables, best.parameters.names)
    assert set(found) == {"mu", "alpha", "gamma"}
    assert found["mu"].n == 30
    assert found["mu"].mean == pytest.approx(pulls.mean(), abs=1e-10)
    assert found["mu"].std == pytest.approx(pulls.std(ddof=1), rel=1e-9)


def test_chunk_sizes() -> None:
    """Chosen by the size of the model, unless one is asked for; the memory that a chunk takes grows with it."""
    assert Run().chunk_size(3) > Run().chunk_size(300)
    assert Run(chunk=5).chunk_size(3) == 5
    small, large = (campaign(100, Run(chunk=c))[0].chunk_bytes for c in (10, 30))
    assert large == 3 * small


# ------------------------------------------------------------------------------------------ wrong wells


def test_a_toy_in_the_worse_well_is_fitted_again() -> None:
    """Toys near x = 0 are searched from the well at x; their profile falls below it at x - 5, and mends the fit.

    Without the profile nobody would know: the same toys without intervals stay in the shallower well.
    """
    likelihood, data = Wells(), without_aux([5.0])
    plan, _ = campaign_of(likelihood, data, n_toys=64, value=0.0, settings=Settings(start={"theta": 0.0}))
    x = thrown(plan, 64).data.main[:, 0]
    alone = plan(0)
    plan = replace(plan, methods=(Profile(Newton()),), levels=np.asarray([0.95]))
    mended = plan(0)
    shallow = np.abs(alone["value"] - x) < 0.5
    assert 0 < np.sum(shallow) < 20
    np.testing.assert_array_equal(mended["restarts"] > 0, shallow)
    np.testing.assert_allclose(mended["value"], x - 5.0, atol=0.05)
    assert np.all(mended["twice_nll"][shallow] < alone["twice_nll"][shallow] - 5.0)
    assert np.all(mended["profile_0_low_status"] == CROSSED)
    assert np.all(mended["profile_0_high_status"] == CROSSED)
    np.testing.assert_array_equal(mended["value"][~shallow], alone["value"][~shallow])


def test_wrong_wells_count_in_the_coverage() -> None:
    """After the refit the interval belongs to the deeper well: a truth in the shallower one is not covered."""
    likelihood, data = Wells(), without_aux([5.0])
    settings = Settings(start={"theta": 0.0})
    found = coverage(likelihood, data, key=jax.random.key(0), n_toys=64, values=[0.0], cl=0.95, settings=settings)
    restarted = found.columns["restarts"] > 0
    assert 0 < np.sum(restarted) < 20
    assert np.all(found.columns["profile_0_high"][restarted] < 0.0)
    (result,) = found.results
    assert result.n_failed == 0
    assert result.covered <= 64 - np.sum(restarted)


# ----------------------------------------------------------------------------------------------- folders


def test_finished_chunks_are_kept_and_taken_up(tmp_path: Path) -> None:
    """A resumed run takes finished chunks from the folder, computes the others, and ends with the same numbers."""
    folder = tmp_path / "toys"
    plan, _ = campaign(6, Run(chunk=2))
    whole = conduct(plan, Run(chunk=2), kind="toys", settings={})
    seen: list[tuple[int, int]] = []
    first = Run(folder=folder, chunk=2, progress=lambda done, n: seen.append((done, n)))
    conduct(plan, first, kind="toys", settings={})
    assert seen == [(i, 6) for i in range(7)]
    next(folder.glob("chunk-*3.npz")).unlink()
    seen.clear()
    again = conduct(plan, replace(first, resume=True), kind="toys", settings={})
    assert seen == [(5, 6), (6, 6)]
    for a, b in zip(again, whole, strict=True):
        for name in b:
            np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize("change", ["truth", "key", "level", "number"])
def test_a_folder_of_another_run_is_refused(tmp_path: Path, change: str) -> None:
    """Chunks of another truth, key, confidence level or number of toys are never mixed in."""
    folder = tmp_path / "toys"
    run = Run(folder=folder, chunk=4)
    plan, _ = campaign(4, run, values=(1.0,))
    conduct(plan, run, kind="toys", settings={"cl": [ONE_SIGMA]})
    other, settings = plan, {"cl": [ONE_SIGMA]}
    if change == "truth":
        other, _ = campaign(4, run, values=(1.1,))
    elif change == "key":
        other, _ = campaign(4, run, values=(1.0,), seed=6)
    elif change == "number":
        other, _ = campaign(5, run, values=(1.0,))
    else:
        settings = {"cl": [0.95]}
    with pytest.raises(InferError):
        conduct(other, replace(run, resume=True), kind="toys", settings=settings)


# ---------------------------------------------------------------------------------------------- requests


def test_no_toys_are_refused() -> None:
    """A campaign has at least one toy."""
    with pytest.raises(ParameterError, match="expected at least one toy, got 0"):
        campaign(0)


def test_a_campaign_of_different_tests_at_each_truth() -> None:
    """-2 log L is profiled at the values asked for, with the conditional fit's certificate."""
    plan, _ = campaign(5)
    plan = replace(plan, tests=((0.5,), (2.0,)))
    for point, value in enumerate((0.5, 2.0)):
        table = plan(point)
        assert np.all(table["test_0_status"] == CROSSED)
        q = table["test_0_twice_nll"] - table["twice_nll"]
        near = np.abs(table["value"] - value) < 0.2 * table["sigma"]
        assert np.all(q >= -1e-8)
        np.testing.assert_allclose(q[near], ((table["value"] - value) / table["sigma"])[near] ** 2, atol=0.02)
