"""The comparison of toys: the same toys for every tool, the same estimates from them, and honest tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pyhf
import pytest

import infer
from infer.data import Data
from validation.bench import run_infer_scaling, run_infer_toys, run_pyhf_toys, toy_runner, toy_scaling, toys
from validation.bench.toy_agreement import Referee, agreement, agreement_table
from validation.bench.toy_runner import Estimates, Pace, Sample
from validation.bench.toy_sample import draw

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pyhf's use of jsonschema
N = 50
WORKSPACE = {
    "channels": [
        {
            "name": "B",
            "samples": [
                {
                    "name": "signal",
                    "data": [12.0, 11.0],
                    "modifiers": [
                        {"name": "mu", "type": "normfactor", "data": None},
                        {"name": "lumi", "type": "lumi", "data": None},
                    ],
                },
                {
                    "name": "background",
                    "data": [50.0, 52.0],
                    "modifiers": [
                        {"name": "uncorrelated", "type": "shapesys", "data": [3.0, 7.0]},
                        {"name": "rate", "type": "normsys", "data": {"hi": 1.08, "lo": 0.93}},
                    ],
                },
            ],
        },
        {
            "name": "A",
            "samples": [
                {
                    "name": "background",
                    "data": [400.0],
                    "modifiers": [
                        {"name": "simulation", "type": "staterror", "data": [9.0]},
                        {"name": "rate", "type": "normsys", "data": {"hi": 1.05, "lo": 0.95}},
                    ],
                },
            ],
        },
    ],
    "observations": [{"name": "B", "data": [61.0, 66.0]}, {"name": "A", "data": [411.0]}],
    "measurements": [
        {
            "name": "m",
            "config": {
                "poi": "mu",
                "parameters": [
                    {"name": "lumi", "inits": [1.0], "auxdata": [1.0], "sigmas": [0.02], "bounds": [[0.9, 1.1]]}
                ],
            },
        }
    ],
    "version": "1.0.0",
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose channels are not in order and whose auxiliary data are of every kind."""
    path = tmp_path_factory.mktemp("toys") / "small.json"
    path.write_text(json.dumps(WORKSPACE))
    return path


@pytest.fixture(scope="module")
def sample(path: Path) -> Sample:
    """Its toys."""
    return draw(path, N, seed=3, aux="fluctuated")


def test_a_sample_survives_its_file(sample: Sample, tmp_path: Path) -> None:
    """Names, truth and data."""
    sample.save(tmp_path / "toys.npz")
    again = Sample.read(tmp_path / "toys.npz")
    assert (again.names, again.poi, again.channels, again.aux_names) == (
        sample.names,
        sample.poi,
        sample.channels,
        sample.aux_names,
    )
    np.testing.assert_array_equal(again.main, sample.main)
    np.testing.assert_array_equal(again.aux, sample.aux)
    np.testing.assert_array_equal(again.truth, sample.truth)


def test_auxiliary_data_fluctuate_unless_they_are_kept(path: Path, sample: Sample) -> None:
    """And the main data are the same toys either way."""
    kept = draw(path, N, seed=3, aux="observed")
    assert np.all(np.ptp(sample.aux, axis=0) > 0.0)
    assert np.all(np.ptp(kept.aux, axis=0) == 0.0)
    np.testing.assert_array_equal(kept.main, sample.main)


def test_pyhf_is_given_the_same_toys(path: Path, sample: Sample) -> None:
    """-2 ln L of every toy at the truth, constants included: an auxiliary datum in the wrong place would show."""
    likelihood, _ = infer.read_workspace(path)
    referee = Referee.of(path, sample)
    for i in range(N):
        data = Data(jnp.asarray(sample.main[i]), jnp.asarray(sample.aux[i]))
        ours = -2.0 * float(likelihood.logpdf(jnp.asarray(sample.truth), data))
        assert referee.twice_nll(i, sample.truth) == pytest.approx(ours, rel=1e-10)


@pytest.mark.slow
def test_both_tools_give_the_same_toys_the_same_estimates(path: Path, sample: Sample) -> None:
    """The estimate of the parameter of interest within a hundredth of its uncertainty, equally deep minima."""
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(), precision="64b")
    problem, model = run_infer_toys.load(path, sample), run_pyhf_toys.load(path, sample)
    ours = run_infer_toys.fit(problem, sample, np.arange(N))
    theirs = Estimates.joined([run_pyhf_toys.fit(model, sample, np.array([i])) for i in range(N)])
    assert ours.converged.all()
    assert theirs.converged.all()
    found = agreement(
        "small",
        "pyhf",
        Referee.of(path, sample),
        dict(enumerate(theirs.theta)),
        dict(enumerate(ours.theta)),
        dict(enumerate(ours.sigma.tolist())),
    )
    assert (found.n, found.n_without, found.n_far, found.n_tool_deeper, found.n_infer_deeper) == (N, 0, 0, 0, 0)
    assert found.least > -1e-6  # pyhf never goes deeper: its tolerance is the larger one
    inside = ours.theta[:, sample.names.index("mu")] > 0.6  # nearer to the bound, HESSE in Minuit's variables is off
    np.testing.assert_allclose(theirs.sigma[inside], ours.sigma[inside], rtol=0.1)


def test_an_agreement_counts_who_went_deeper_and_who_failed(path: Path, sample: Sample) -> None:
    """A displaced point lies higher, by the difference of pyhf's likelihood; a missing one is counted."""
    best = run_infer_toys.fit(run_infer_toys.load(path, sample), sample, np.arange(3)).theta
    referee, sigma = Referee.of(path, sample), dict.fromkeys(range(3), 0.5)
    aside = best.copy()
    aside[1, sample.names.index("mu")] += 0.25
    aside[2] = np.nan
    theirs, ours = dict(enumerate(aside)), dict(enumerate(best))
    found = agreement("small", "aside", referee, theirs, ours, sigma)
    assert (found.n, found.n_without, found.n_far, found.n_infer_deeper, found.n_tool_deeper) == (3, 1, 1, 1, 0)
    assert found.max_shift == pytest.approx(0.5)
    assert found.max_shift_same == 0.0
    assert found.largest == pytest.approx(referee.twice_nll(1, aside[1]) - referee.twice_nll(1, best[1]))
    assert agreement("small", "aside", referee, ours, theirs, sigma).n_tool_deeper == 1
    assert "| small | aside | 3 | 1 |" in agreement_table([found])


@pytest.mark.parametrize("repeats", [False, True])
def test_a_runner_fits_what_its_time_allows(
    sample: Sample, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, repeats: bool
) -> None:
    """One call at least; beginning again only where that is wanted; warming up is not counted."""
    stored, out = tmp_path / "toys.npz", tmp_path / "out.npz"
    sample.save(stored)
    monkeypatch.setattr(sys, "argv", ["run", "w.json", str(stored), str(out), "--first", "10", "--budget", "0.1"])
    calls: list[list[int]] = []

    def fit(_: None, sample: Sample, index: np.ndarray) -> Estimates:
        calls.append(index.tolist())
        return Estimates.joined([Estimates.of_one(sample.truth + i, converged=i % 2 == 0) for i in index])

    pace = Pace(batch=15, warm_up=2, repeats=repeats)
    toy_runner.report("tool", "1.0", lambda *_: None, fit, pace, extra=lambda _: {"more": 1})
    line = json.loads(capsys.readouterr().out)
    assert calls[:4] == [[10, 11], list(range(10, 25)), list(range(25, 40)), list(range(40, 50))]
    assert line["extra"] == {"more": 1}
    assert (len(line["blocks"]) > 1) == repeats
    assert line["blocks"][0]["n"] == N - 10
    with np.load(out) as found:
        np.testing.assert_array_equal(found["index"], np.arange(10, N))
        np.testing.assert_array_equal(found["theta"][5], sample.truth + 15)
        assert found["converged"].sum() == 20


def round_of(index: list[int], blocks: list[tuple[int, float]], unconverged: int) -> tuple[dict, dict]:
    """What a program reports of a round; MIGRAD found the first toy."""
    report = {
        "version": "1.0",
        "load": {"wall": 1.0, "cpu": 1.0},
        "cold": {"wall": 2.0, "cpu": 1.0},
        "blocks": [{"n": n, "wall": wall, "cpu": 0.5 * wall} for n, wall in blocks],
        "extra": {},
    }
    n = len(index)
    found = {
        "index": np.array(index),
        "theta": np.zeros((n, 2)),
        "sigma": np.ones(n),
        "converged": np.arange(n) >= unconverged,
        "n_steps": np.full(n, 7),
        "engine": (np.arange(n) == 0).astype(int),
    }
    return report, found


def test_rounds_of_a_tool_add_up() -> None:
    """Toys that were seen before count once; peers go on where they stopped."""
    ours, peer = toys.contestants("small", toys.OBSERVED)[0], toys.contestants("small", toys.OBSERVED)[-1]
    for _ in range(2):
        toys.add(ours, *round_of([0, 1, 2, 3], [(4, 2.0), (4, 1.0)], 1), 100.0)
    toys.add(peer, *round_of([0, 1], [(2, 2.0)], 0), 50.0)
    entry = ours.entry
    assert (entry.n_toys, entry.n_unconverged, entry.n_fallback, entry.compile, entry.steps) == (4, 1, 1, 3.0, (7.0, 7))
    assert entry.rates == [2.0, 4.0, 2.0, 4.0]
    assert (entry.rate, entry.cpu_rate) == (3.0, 6.0)
    assert (ours.next_toy(4), peer.next_toy(4)) == (0, 2)


def test_a_page_says_what_was_reached_and_what_was_not() -> None:
    """Targets met and missed, tools that failed, and ratios of processor time."""
    found = {aux: {c.entry.tool: c for c in toys.contestants("2018-31_SRA", aux)} for aux in toys.TOOLS}
    for aux, seconds in ((toys.FLUCTUATED, 2.0), (toys.OBSERVED, 4.0)):
        for name in found[aux].keys() & {"infer", toys.ALL_CORES}:
            toys.add(found[aux][name], *round_of(list(range(2000)), [(2000, seconds)], 0), 500.0)
    toys.add(found[toys.OBSERVED]["NextStat"], *round_of([0, 1], [(2, 1.0)], 0), 50.0)
    toys.add(found[toys.FLUCTUATED]["pyhf numpy minuit"], *round_of([0], [(1, 2.0)], 0), 50.0)
    found[toys.FLUCTUATED]["ROOT"].entry.note = "absent"
    entries = [c.entry for by_tool in found.values() for c in by_tool.values()]
    page = toys.markdown(toys.Comparison(entries, [], {"2018-31_SRA": 2.5}), toys.Options(Path("peers")))
    assert "| 2018-31_SRA | ≥ 100 × NextStat | 250 | yes |" in page
    assert "| 2018-31_SRA | ≥ 1000 × pyhf numpy minuit | 2e+03 | yes |" in page
    assert "| 2018-31_SRA | ≥ 1000 × pyhf jax SLSQP | – | – |" in page
    assert "≤ 0.1% unconverged | 0 | yes |" in page
    assert "2018-31_SRA, ROOT: absent" in page
    record = toys.record(toys.Comparison(entries, [], {}), toys.Options(Path("peers")))
    assert json.loads(json.dumps(record))["entries"][0]["rate"] == 1000.0


def test_a_tool_that_is_not_there_is_said_to_be_absent(tmp_path: Path) -> None:
    """And nothing else happens."""
    peer = toys.contestants("small", toys.OBSERVED)[-1]
    toys.play(peer, tmp_path, tmp_path / "toys.npz", N, toys.Options(tmp_path), 1.0)
    assert peer.entry.note == "absent"


def test_scaling_times_a_workspace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counting experiment has four parameters, two bins, and toys that converge."""
    path = tmp_path / "counting.json"
    path.write_text(json.dumps(toy_scaling.counting()))
    monkeypatch.setattr(sys, "argv", ["run", str(path), "--toys", "64", "--warm-up", "64"])
    run_infer_scaling.main()
    found = json.loads(capsys.readouterr().out)
    assert (found["n_toys"], found["n_parameters"], found["n_bins"], found["n_failed"]) == (64, 5, 2, 0)
    million = found | {"n_toys": toy_scaling.MILLION, "seconds": 40.0}
    rows = [
        toy_scaling.Row("toys", "64", 1, found, 400.0),
        toy_scaling.Row("counting", "1e6", toy_scaling.CORES, million, 400.0),
        toy_scaling.Row("bins", "10", 1, note="more than 1 s"),
    ]
    page = toy_scaling.markdown(rows)
    assert "| 10 | 1 | – |" in page
    assert "40.0 s on" in page
    assert "**beyond**" in page
    assert json.loads(json.dumps(toy_scaling.record(rows)))["rows"][0]["found"]["n_toys"] == 64


@pytest.mark.slow
def test_synthetic_models_without_staterror_keep_their_other_parameters(tmp_path: Path) -> None:
    """Bins grow, parameters do not."""
    cases = [c for c in toy_scaling.cases(tmp_path) if c.table.startswith("bins")]
    sizes = [infer.read_workspace(case.workspace) for case in cases[:2]]
    assert [len(likelihood.parameters) for likelihood, _ in sizes] == [36, 36]
    assert [data.main.shape[0] for _, data in sizes] == [25, 100]
