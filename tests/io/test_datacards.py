"""CMS Combine datacards: against likelihoods written by hand, and numbers that Combine's documentation quotes.

The Combine program itself is not a dependency; its formulas are written here anew, in numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest
from scipy import optimize, stats

import infer
from infer.constraints import Normal, Poisson
from infer.errors import InputError, WorkspaceError
from infer.io.conversion import convert
from infer.io.datacards import DatacardWorkspace, read_datacard
from tests.runner import Run

FloatArray = npt.NDArray[np.float64]


REALISTIC = """
# data/tutorials/counting/realistic-counting-experiment.txt of Combine
imax 1  number of channels
jmax 3  number of backgrounds
kmax 5  number of nuisance parameters (sources of systematical uncertainties)
------------
bin bin1
observation 0
------------
bin             bin1 bin1  bin1  bin1
process         ggH  qqWW  ggWW  others
process          0     1     2     3
rate           1.47  0.64  0.06  0.22
------------
lumi    lnN    1.11    -   1.11    -    lumi affects both signal and gg->WW (mc-driven). lnN = lognormal
xs_ggH  lnN    1.16    -     -     -    gg->H cross section + signal efficiency + other minor ones.
WW_norm gmN 4    -   0.16    -     -    WW estimate of 0.64 comes from sidebands: 4 events in sideband times 0.16
xs_ggWW lnN      -     -   1.50    -    50% uncertainty on gg->WW cross section
bg_others lnN    -     -     -   1.30   30% uncertainty on the rest of the backgrounds
"""

HEAD = """imax *
jmax *
kmax *
bin SR
observation 12
bin SR SR
process sig bkg
process 0 1
rate 5 10
"""


def write(folder: Path, text: str, name: str = "card.txt") -> Path:
    """A card in a file."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def card(folder: Path, text: str) -> DatacardWorkspace:
    """A card, read."""
    return read_datacard(write(folder, text))


def twice_nll(likelihood: infer.Likelihood, data: infer.Data, values: Mapping[str, float]) -> float:
    """Minus twice the log-likelihood at some values, the others at their start values."""
    theta = jnp.asarray(likelihood.parameters.vector(values))
    return -2.0 * float(likelihood.logpdf(theta, data))


def expected(likelihood: infer.Likelihood, values: Mapping[str, float]) -> FloatArray:
    """Expected events per bin."""
    return np.asarray(likelihood.expected_main(jnp.asarray(likelihood.parameters.vector(values))))


def step(x: float, region: float = 1.0) -> float:
    """Combine's smooth step function."""
    if abs(x) >= region:
        return float(np.sign(x))
    y = x / region
    return y * (3.0 * y**4 - 10.0 * y**2 + 15.0) / 8.0


def log_normal(theta: float, down: float, up: float) -> float:
    """Combine's asymmetric log-normal: kappa(theta)^theta."""
    high, low = np.log(up), -np.log(down)
    return float(np.exp(theta * (0.5 * (high + low) + 0.5 * (high - low) * step(2.0 * theta))))


def test_counting_experiment_is_the_likelihood_written_by_hand(tmp_path: Path) -> None:
    """All four kinds of lines of Combine's example, at random points, to 1e-10."""
    likelihood, data = card(tmp_path, REALISTIC).likelihood()
    assert likelihood.parameters.names == ("r", "lumi", "xs_ggH", "WW_norm", "xs_ggWW", "bg_others")
    assert likelihood.parameters.poi == "r"
    rng = np.random.default_rng(1)
    for _ in range(5):
        values = {n: rng.normal() for n in ("lumi", "xs_ggH", "xs_ggWW", "bg_others")}
        r, n = rng.uniform(0.0, 3.0), rng.uniform(1.0, 9.0)
        a, b, c, d = values.values()
        rate = r * 1.47 * 1.11**a * 1.16**b + 0.16 * n + 0.06 * 1.11**a * 1.5**c + 0.22 * 1.3**d
        by_hand = stats.poisson.logpmf(0, rate) + stats.poisson.logpmf(4, n)
        by_hand += sum(stats.norm.logpdf(v) for v in values.values())
        ours = twice_nll(likelihood, data, {**values, "r": r, "WW_norm": n / 4.0})
        assert ours == pytest.approx(-2.0 * by_hand, abs=1e-10)


@pytest.mark.slow
def test_limits_of_the_counting_experiment_are_those_that_combine_quotes(tmp_path: Path) -> None:
    """Observed, median and one-sigma limits to 0.5 %, which is Combine's own default accuracy (--rRelAcc 0.005).

    Quoted by its documentation, "Common Statistical Methods", for AsymptoticLimits; an older run there has 1.6297 and
    2.3111. The two-sigma limits are quoted as 0.9640 and 6.6194, 0.9 % above and 1.8 % below ours.
    """
    likelihood, data = card(tmp_path, REALISTIC).likelihood()
    limit = infer.upper_limit(likelihood, data)
    assert limit.observed == pytest.approx(1.6281, rel=0.005)
    np.testing.assert_allclose(limit.expected[1:4], [1.4329, 2.3281, 3.9800], rtol=0.005)
    np.testing.assert_allclose(limit.expected[::4], [0.9640, 6.6194], rtol=0.02)


def test_on_off_measurement_has_the_profile_of_the_textbook(tmp_path: Path) -> None:
    """gmN: n_on ~ Poisson(r s + alpha b), n_off ~ Poisson(b); the b that maximises at given r solves a quadratic."""
    text = HEAD + "cr gmN 20 - 0.5\n"
    likelihood, data = card(tmp_path, text).likelihood()
    assert likelihood.parameters["cr"].constraint == Poisson(20.0)

    def profile(r: float) -> float:
        s, alpha, on, off = 5.0 * r, 0.5, 12.0, 20.0
        p = alpha * (on + off) - s * (1.0 + alpha)  # alpha (1 + alpha) b^2 - p b - s off = 0
        b = (p + np.sqrt(p**2 + 4.0 * alpha * (1.0 + alpha) * s * off)) / (2.0 * alpha * (1.0 + alpha))
        return float(-2.0 * (stats.poisson.logpmf(on, s + alpha * b) + stats.poisson.logpmf(off, b)))

    for r in (0.0, 0.2, 0.4, 1.0, 2.5):
        fitted = infer.fit(likelihood, data, settings=infer.Settings(fixed={"r": r}))
        assert fitted.twice_nll == pytest.approx(profile(r), abs=1e-8)
    best = infer.fit(likelihood, data)
    assert best.value("r") == pytest.approx(0.4, abs=1e-6)  # (12 - 0.5 * 20) / 5
    assert infer.interval(likelihood, data).up == pytest.approx(
        optimize.brentq(lambda r: profile(r) - profile(0.4) - 1.0, 0.5, 4.0) - 0.4, abs=1e-4
    )


def test_a_control_region_is_counted_once_however_many_columns_it_scales(tmp_path: Path) -> None:
    """One gmN on three columns in two channels is one Poisson term."""
    text = """imax 2
jmax 2
kmax 1
bin A B
observation 3 8
bin A A B B
process s b b c
process 0 1 1 2
rate 1 2 6 1
cr gmN 10 - 0.2 0.6 0.1
"""
    likelihood, data = card(tmp_path, text).likelihood()
    for n in (6.0, 10.0, 13.5):
        rate_a, rate_b = 1.0 + 0.2 * n, 0.6 * n + 0.1 * n
        by_hand = stats.poisson.logpmf(3, rate_a) + stats.poisson.logpmf(8, rate_b) + stats.poisson.logpmf(10, n)
        assert twice_nll(likelihood, data, {"cr": n / 10.0}) == pytest.approx(-2.0 * by_hand, abs=1e-10)


def test_an_empty_control_region_is_a_count_of_zero(tmp_path: Path) -> None:
    """gmN 0: Poisson(0; n) = exp(-n), and the background is alpha n."""
    text = HEAD.replace("rate 5 10", "rate 5 0").replace("observation 12", "observation 1") + "cr gmN 0 - 0.7\n"
    likelihood, data = card(tmp_path, text).likelihood()
    for n in (0.0, 0.4, 2.0):
        by_hand = stats.poisson.logpmf(1, 5.0 * 0.3 + 0.7 * n) - n
        assert twice_nll(likelihood, data, {"r": 0.3, "cr": n}) == pytest.approx(-2.0 * by_hand, abs=1e-10)
    best = infer.fit(likelihood, data)
    assert best.certificate.trustworthy
    assert best.value("r") == pytest.approx(0.2, abs=1e-4)
    assert best.value("cr") == pytest.approx(0.0, abs=1e-6)


def test_asymmetric_log_normals_are_combines(tmp_path: Path) -> None:
    """Inside the smooth region, at its edge, and outside; two lines of one name multiply."""
    text = HEAD + "a lnN 0.8/1.3 0.9/1.05\nb lnN - 1.2\nb lnN - 0.9/1.4\nc lnU - 2\n"
    likelihood, _ = card(tmp_path, text).likelihood()
    for a in (-2.3, -0.5, -0.31, 0.0, 0.2, 0.5, 1.7):
        for b in (-0.3, 0.8):
            for c in (-1.0, 0.25):
                rate = 5.0 * log_normal(a, 0.8, 1.3)
                rate += 10.0 * log_normal(a, 0.9, 1.05) * 1.2**b * log_normal(b, 0.9, 1.4) * 2.0**c
                assert expected(likelihood, {"a": a, "b": b, "c": c}) == pytest.approx(rate, rel=1e-12)
    free = likelihood.parameters["c"]
    assert free.constraint is None
    assert free.bounds == (-1.0, 1.0)


def test_rate_params_groups_and_constraints(tmp_path: Path) -> None:
    """Wildcards, a range, a product of parameters, a Gaussian constraint, and a group of the budget."""
    text = """imax 2
jmax 2
kmax *
bin A B
observation 20 30
bin A A B B
process s top w top
process 0 1 2 1
rate 4 10 5 20
jes lnN 1.02 1.05 - 1.04
k_top rateParam * t* 1.5 [0.1,4]
k_w rateParam B w 1
both rateParam A s 2*@0*@1 k_w,eff
eff param 0.9 0.05
jes_group group = jes
jes_group group += eff
"""
    # columns: A s, A top, B w, B top
    workspace = card(tmp_path, text)
    likelihood, data = workspace.likelihood()
    p = likelihood.parameters
    assert p["k_top"].init == 1.5
    assert p["k_top"].bounds == (0.1, 4.0)
    assert p["k_w"].bounds == (0.0, np.inf)
    assert p["eff"].constraint == Normal(0.05)
    assert (p["jes"].group, p["eff"].group) == ("jes_group", "jes_group")
    values = {"k_top": 1.2, "k_w": 0.8, "eff": 0.95, "jes": 0.4}
    in_a = 4.0 * 2.0 * 0.8 * 0.95 * 1.02**0.4 + 10.0 * 1.2 * 1.05**0.4
    in_b = 5.0 * 0.8 + 20.0 * 1.2 * 1.04**0.4
    np.testing.assert_allclose(expected(likelihood, values), [in_a, in_b], rtol=1e-12)
    by_hand = stats.poisson.logpmf([20, 30], [in_a, in_b]).sum()
    by_hand += stats.norm.logpdf(0.4) + stats.norm.logpdf(0.95, 0.9, 0.05)
    assert twice_nll(likelihood, data, values) == pytest.approx(-2.0 * by_hand, abs=1e-10)
    assert any("'k_w' has no range" in remark for remark in workspace.remarks)


EDGES = np.asarray([0.0, 1.0, 2.0, 4.0])
SIGNAL, BACKGROUND = np.asarray([1.0, 6.0, 3.0]), np.asarray([40.0, 30.0, 30.0])
JES_UP, JES_DOWN = np.asarray([36.0, 34.0, 44.0]), np.asarray([41.0, 27.0, 20.0])
TILT = np.asarray([1.0, 2.0, -3.0])
TILT_UP, TILT_DOWN = np.asarray([2.0, 6.0, 2.0]), np.asarray([0.5, 5.0, 4.5])

SHAPES = """imax 1
jmax 1
kmax *
shapes * * shapes.root $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC
bin SR
observation -1
bin SR SR
process sig bkg
process 0 1
rate 10 -1
lumi lnN 1.1 -
jes shape - 1
tilt shape 0.5 -
"""


def root_file(folder: Path, contents: Mapping[str, Any]) -> None:
    """Histograms in a ROOT file."""
    uproot = pytest.importorskip("uproot")
    with uproot.recreate(folder / "shapes.root") as file:
        for name, values in contents.items():
            file[name] = values if hasattr(values, "axes") else (np.asarray(values, dtype=float), EDGES)


def templates() -> dict[str, Any]:
    """What the card needs."""
    return {
        "SR/sig": SIGNAL,
        "SR/bkg": BACKGROUND,
        "SR/bkg_jesUp": JES_UP,
        "SR/bkg_jesDown": JES_DOWN,
        "SR/sig_tiltUp": TILT_UP,
        "SR/sig_tiltDown": TILT_DOWN,
        "SR/data_obs": np.asarray([42.0, 33.0, 36.0]),
    }


def morphed(
    nominal: FloatArray, up: FloatArray, down: FloatArray, theta: float, scale: float, region: float
) -> FloatArray:
    """Rates of a process as Combine makes them: normalised shapes, then a log-normal of their integrals."""
    t, u, d = (h / h.sum() for h in (nominal, up, down))
    x = scale * theta
    shape = t + 0.5 * x * (u - d) + 0.5 * x * step(x, region) * (u + d - 2.0 * t)
    kappas = [(h.sum() / nominal.sum()) ** scale for h in (down, up)]
    factor = log_normal(theta, *kappas) if max(abs(k - 1.0) for k in kappas) > 1e-3 else 1.0
    return np.asarray(nominal.sum() * factor * shape)


@pytest.mark.parametrize("theta", [-1.8, -0.6, -0.2, 0.0, 0.3, 0.75, 1.0, 2.5])
def test_shapes_are_morphed_as_by_combine(tmp_path: Path, theta: float) -> None:
    """Normalised templates and log-normal integrals; an effect of 0.5 halves the unit Gaussian."""
    root_file(tmp_path, templates())
    likelihood, data = card(tmp_path, SHAPES).likelihood()
    np.testing.assert_array_equal(data.main, [42.0, 33.0, 36.0])
    values = {"r": 0.7, "lumi": 0.5, "jes": theta, "tilt": -theta}
    by_hand = 0.7 * 1.1**0.5 * morphed(SIGNAL, TILT_UP, TILT_DOWN, -theta, 0.5, 0.5)
    by_hand = by_hand + morphed(BACKGROUND, JES_UP, JES_DOWN, theta, 1.0, 1.0)
    np.testing.assert_allclose(expected(likelihood, values), by_hand, rtol=1e-11)


def test_normalisation_may_stay_in_the_shape(tmp_path: Path) -> None:
    """autoMCStats with hist-mode 2 and threshold -1: templates are morphed as they are."""
    root_file(tmp_path, templates())
    likelihood, _ = card(tmp_path, SHAPES + "SR autoMCStats -1 0 2\n").likelihood()
    theta = 0.4
    bent = theta * step(theta)
    by_hand = BACKGROUND + 0.5 * theta * (JES_UP - JES_DOWN) + 0.5 * bent * (JES_UP + JES_DOWN - 2.0 * BACKGROUND)
    np.testing.assert_allclose(expected(likelihood, {"r": 0.0, "jes": theta}), by_hand, rtol=1e-12)


def test_effects_that_bend_elsewhere_are_refused_and_symmetric_ones_are_not(tmp_path: Path) -> None:
    """An effect of 2 bends within half a standard deviation, which code4p cannot; a straight line has no bend."""
    twice = SHAPES.replace("jes shape - 1", "jes shape - 2")
    root_file(tmp_path, templates())
    with pytest.raises(WorkspaceError, match=r"line 12: shape uncertainty 'jes' has the effect 2"):
        card(tmp_path, twice)
    straight = templates()
    straight["SR/bkg_jesUp"], straight["SR/bkg_jesDown"] = BACKGROUND + TILT, BACKGROUND - TILT
    root_file(tmp_path, straight)
    likelihood, _ = card(tmp_path, twice).likelihood()
    rates = expected(likelihood, {"r": 0.0, "jes": 0.3})
    np.testing.assert_allclose(rates, BACKGROUND + 0.6 * TILT, rtol=1e-12)


def test_a_question_mark_means_a_log_normal_where_there_is_no_histogram(tmp_path: Path) -> None:
    """shape? of the background has histograms, of the signal it has none."""
    root_file(tmp_path, templates())
    text = SHAPES.replace("jes shape - 1", "jes shape? 1.3 1").replace("tilt shape 0.5 -\n", "")
    likelihood, _ = card(tmp_path, text).likelihood()
    by_hand = SIGNAL * 1.3**0.4 + morphed(BACKGROUND, JES_UP, JES_DOWN, 0.4, 1.0, 1.0)
    np.testing.assert_allclose(expected(likelihood, {"jes": 0.4}), by_hand, rtol=1e-12)


def test_lines_of_shapes_are_chosen_as_by_combine(tmp_path: Path) -> None:
    """A channel of its own, a process of its own, and a channel that only counts."""
    root_file(tmp_path, {"SR/data_obs": [1, 2, 3], "SR/bkg": [1, 1, 1], "special": [2, 0, 0], "m120/sig": [1, 1, 0]})
    text = """imax 2
jmax *
kmax *
shapes * * shapes.root $CHANNEL/$PROCESS
shapes other SR shapes.root special
shapes * SR shapes.root $CHANNEL/$PROCESS
shapes sig SR shapes.root m$MASS/$PROCESS
shapes * CR FAKE
bin SR CR
observation 6 50
bin SR SR SR CR
process sig bkg other bkg
process -1 1 2 1
rate -1 -1 -1 45
x lnN - 1.1 - 1.1
"""
    path = write(tmp_path, text)
    with pytest.raises(WorkspaceError, match=r"line 7: the line shapes has \$MASS, and no mass is given"):
        read_datacard(path)
    likelihood, data = infer.read_workspace(path, measurement="120")
    np.testing.assert_allclose(expected(likelihood, {}), [45.0, 4.0, 2.0, 1.0])  # CR before SR
    np.testing.assert_array_equal(data.main, [50.0, 1.0, 2.0, 3.0])


def test_titles_say_nothing(tmp_path: Path) -> None:
    """As combineCards.py writes them, before the first line of the head."""
    workspace = card(tmp_path, "Combination of ch1=a.txt  ch2=b.txt\n" + HEAD + "lumi lnN 1.1 - 10% on signal\n")
    assert workspace.remarks == ("line 1 is taken as a title: 'Combination of ch1=a.txt ch2=b.txt'",)
    assert workspace.likelihood()[0].parameters.names == ("r", "lumi")


def weighted(values: list[float], uncertainties: list[float]) -> Any:
    """A histogram with statistical uncertainties."""
    hist = pytest.importorskip("hist")
    made = hist.Hist(hist.axis.Variable(EDGES), storage=hist.storage.Weight())
    made.view().value = values
    made.view().variance = np.square(uncertainties)
    return made


STATS = """imax 1
jmax 2
kmax *
shapes * * shapes.root $PROCESS
bin SR
observation -1
bin SR SR SR
process sig b1 b2
process 0 1 2
rate -1 -1 -1
norm rateParam SR b1 2 [0,5]
* autoMCStats 10
"""


def statistics_file(folder: Path) -> None:
    """Bin 0 is well filled; bin 1 holds 4 effective events of background; in bin 2 nothing is uncertain."""
    root_file(
        folder,
        {
            "sig": weighted([1.0, 2.0, 1.0], [0.3, 0.5, 0.0]),
            "b1": weighted([20.0, 0.5, 2.0], [1.0, 0.25, 0.0]),
            "b2": weighted([30.0, 0.9, 4.0], [2.0, 1.0, 0.0]),
            "data_obs": [60.0, 3.0, 7.0],
        },
    )


def test_automatic_statistics_choose_as_combine_does(tmp_path: Path) -> None:
    """One parameter above the threshold; below it a count where it has one, a Gaussian shift where it has not."""
    statistics_file(tmp_path)
    likelihood, _ = card(tmp_path, STATS).likelihood()
    p = likelihood.parameters
    for name in ("prop_binSR_bin0", "prop_binSR_bin0_r", "prop_binSR_bin0_norm"):  # (40 + 30)^2 / (2^2 + 2^2) = 612
        assert p[name].constraint == Normal(1.0)
        assert p[name].group == "mc_stat"
    counted = p["prop_binSR_b1[1]"].constraint
    assert isinstance(counted, Poisson)
    assert counted.scale == pytest.approx(4.0)  # (0.5 / 0.25)^2
    assert p["prop_binSR_bin1_b2"].constraint == Normal(1.0)  # its uncertainty exceeds its contents
    assert p["prop_binSR_bin1_sig"].constraint == Normal(1.0)  # 16 events are above the threshold
    assert not any("bin2" in name for name in p.names if not p[name].fixed)


def test_automatic_statistics_below_the_threshold_are_exact(tmp_path: Path) -> None:
    """Yield times x, or yield plus x times the uncertainty, which follows the normalisations."""
    statistics_file(tmp_path)
    likelihood, _ = card(tmp_path, STATS).likelihood()
    values = {"r": 1.7, "norm": 0.6, "prop_binSR_b1[1]": 0.8, "prop_binSR_bin1_b2": -0.4, "prop_binSR_bin1_sig": 1.2}
    rate = 0.6 * 0.5 * 0.8 + (0.9 - 0.4 * 1.0) + 1.7 * (2.0 + 1.2 * 0.5)
    assert expected(likelihood, values)[1] == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(("r", "norm"), [(1.0, 2.0), (0.0, 2.0), (9.0, 0.5), (3.0, 3.4)])
def test_automatic_statistics_above_the_threshold_have_the_profile_of_combine(
    tmp_path: Path, r: float, norm: float
) -> None:
    """n + x e with e^2 = sum (F_i e_i)^2 and one x, profiled, against a parameter for each free factor, profiled.

    The signal strength and the rateParam go far from where they start; -2 ln L differs by a constant.
    """
    statistics_file(tmp_path)
    likelihood, data = card(tmp_path, STATS).likelihood()
    names = ["prop_binSR_bin0", "prop_binSR_bin0_r", "prop_binSR_bin0_norm"]
    rate = r + 20.0 * norm + 30.0
    width = float(np.sqrt((0.3 * r) ** 2 + norm**2 + 4.0))

    def by_hand(x: float) -> float:
        return float(-2.0 * stats.poisson.logpmf(60, rate + x * width) + x**2)

    def ours(x: FloatArray) -> float:
        values = dict(zip(names, x.tolist(), strict=True)) | {"r": r, "norm": norm}
        return float(-2.0 * stats.poisson.logpmf(60, expected(likelihood, values)[0]) + np.sum(x**2))

    assert float(data.main[0]) == 60.0
    wanted = optimize.minimize_scalar(by_hand, bounds=(-5.0, 5.0), method="bounded", options={"xatol": 1e-9}).fun
    found = optimize.minimize(ours, np.zeros(3), method="BFGS", options={"gtol": 1e-8}).fun
    assert found == pytest.approx(wanted, abs=1e-7)


def test_processes_without_free_factors_share_parameters(tmp_path: Path) -> None:
    """One parameter acts on both backgrounds in proportion to their variances, and a remark says to which order."""
    statistics_file(tmp_path)
    workspace = card(tmp_path, STATS.replace("norm rateParam SR b1 2 [0,5]\n", ""))
    likelihood, _ = workspace.likelihood()
    assert "prop_binSR_bin0" in likelihood.parameters
    assert "prop_binSR_bin0_norm" not in likelihood.parameters
    shifted = expected(likelihood, {"prop_binSR_bin0": 1.3})[0] - expected(likelihood, {})[0]
    assert shifted == pytest.approx(1.3 * np.sqrt(1.0 + 4.0), rel=1e-12)
    assert any("follow the normalisations of these to first order" in remark for remark in workspace.remarks)


def test_commands_read_datacards(tmp_path: Path, run: Run) -> None:
    """read_workspace and the command line; the remarks are in the certificate."""
    path = write(tmp_path, REALISTIC)
    likelihood, data = infer.read_workspace(path)
    record = run("fit", path, "--json").json
    assert record["poi"] == "r"
    assert record["twice_nll"] == pytest.approx(infer.fit(likelihood, data).twice_nll, abs=1e-8)
    with pytest.raises(WorkspaceError, match="has no measurement 'm'; leave it out, or give the mass"):
        infer.read_workspace(path, measurement="m")
    with pytest.raises(WorkspaceError, match="a datacard has no patches"):
        infer.read_workspace(path, patch="p.json")
    assert any("in units of the 4 events" in remark for remark in likelihood.remarks)


def test_cards_become_workspaces_where_these_can_hold_them(tmp_path: Path) -> None:
    """A gmN on one bin is a shapesys; by how much pyhf's interpolation differs is said; the rest is refused by name."""
    path = write(tmp_path, REALISTIC.replace("1.50", "0.70/1.50"))
    result = convert(path, tmp_path / "workspace.json")
    assert result.formats == ("datacard", "pyhf")
    assert result.faithful
    assert any("factors differ by up to 0.0" in remark for remark in result.remarks)
    likelihood, data = infer.read_workspace(tmp_path / "workspace.json")
    own, own_data = infer.read_workspace(path)
    for n in (0.7, 1.2):  # pyhf's code 4 is the code of Combine at 0 and beyond one standard deviation
        values = {"r": 0.4, "xs_ggWW": 1.5, "xs_ggH": -1.0}
        ours = twice_nll(own, own_data, {**values, "WW_norm": n})
        assert twice_nll(likelihood, data, {**values, "WW_norm[0]": n}) == pytest.approx(ours, abs=1e-10)
    shared = HEAD + "a gmN 10 0.5 1\nb lnU - 1.2\n"
    with pytest.raises(WorkspaceError, match=r"no place for .*'a' with Poisson\(scale=10.0\) at 10 .*'b' with none"):
        convert(write(tmp_path, shared), tmp_path / "other.json")
    with pytest.raises(InputError, match="a datacard of CMS Combine can be read but not written"):
        convert(tmp_path / "workspace.json", tmp_path / "card.out", to="datacard")


def replaced(old: str, new: str) -> str:
    """The small card with something else in it."""
    assert old in HEAD
    return HEAD.replace(old, new)


BROKEN: dict[str, tuple[str, str]] = {
    "no rate": ("imax 1\nbin a\n", r"there is no line 'rate'"),
    "unknown head": (replaced("jmax *", "jmx 1"), r"line 2: 'jmx' begins no line of the head .* one of imax, jmax"),
    "imax": (replaced("imax *", "imax 2"), r"line 9: imax says 2, but there are 1 channels"),
    "jmax": (replaced("jmax *", "jmax 5"), r"line 9: jmax says 5, but there are 1 processes less one"),
    "kmax": (replaced("kmax *", "kmax 1"), r"kmax says 1, but there are 0 nuisance parameters"),
    "kmax empty": (replaced("kmax *", "kmax"), r"line 3: kmax says nothing"),
    "imax text": (replaced("imax *", "imax one"), r"line 1: imax is 'one', expected a whole number"),
    "observation text": (replaced("observation 12", "observation many"), r"line 9: observation is 'many'"),
    "observation negative": (replaced("observation 12", "observation -3"), r"the observation -3 is negative"),
    "observation missing": (replaced("observation 12\n", ""), r"line 8: there is no line observation"),
    "observations": (replaced("observation 12", "observation 12 3"), r"observation has 2 entries for 1 channels"),
    "observation open": (replaced("observation 12", "observation -1"), r"observation of channel 'SR' is -1"),
    "channel": (replaced("bin SR\n", "bin CR\n"), r"channel 'CR' stands in only one"),
    "process": (replaced("process sig bkg", "process sig"), r"line 7: process has 1 entries, the line bin before it 2"),
    "process once": (replaced("process 0 1\n", ""), r"line 8: 1 lines process before rate, expected 2"),
    "identifier": (replaced("process 0 1", "process 0 b"), r"process is 'b', expected a whole number"),
    "same process": (replaced("process sig bkg", "process sig sig"), r"'sig in channel SR' stands twice"),
    "rates": (replaced("rate 5 10", "rate 5"), r"line 9: rate has 1 entries, the line bin 2"),
    "rate text": (replaced("rate 5 10", "rate 5 nan"), r"line 9: rate is 'nan', expected a finite number"),
    "rate negative": (replaced("rate 5 10", "rate 5 -2"), r"line 9: the rate -2 is negative"),
    "rate open": (replaced("rate 5 10", "rate 5 -1"), r"the rate of 'bkg' in 'SR' is -1, but there is no histogram"),
    "no rates": (replaced("rate 5 10", "rate 0 0"), r"nothing is expected in channel 'SR'"),
    "lonely": (HEAD + "lumi\n", r"line 10: 'lumi' alone is no line"),
    "type": (HEAD + "x lnX 1 1\n", r"line 10: 'x' is of the type 'lnX', which is not supported; the types are lnN"),
    "shapeN": (HEAD + "x shapeN 1 1\n", r"line 10: 'x' is of the type 'shapeN'.* write shape"),
    "trG": (HEAD + "x trG 0.1 0.1\n", r"line 10: 'x' is of the type 'trG'.* write lnN"),
    "edit": (HEAD + "nuisance edit drop * * x\n", r"line 10: 'nuisance' is of the type 'edit'.* in the card itself"),
    "discrete": (HEAD + "pdf discrete\n", r"line 10: 'pdf' is of the type 'discrete'"),
    "effects": (HEAD + "x lnN 1.1\n", r"line 10: 'x' has 1 effects, expected 2"),
    "more effects": (HEAD + "x lnN 1.1 1.1 1.2\n", r"line 10: 'x' has a number after its 2 effects"),
    "effect text": (HEAD + "x lnN 1.1 ten\n", r"line 10: an effect of 'x' is 'ten', expected a finite number"),
    "effect negative": (HEAD + "x lnN -0.1 1\n", r"line 10: the effect '-0.1' of 'x' is not positive"),
    "effect triple": (HEAD + "x lnN 1/1/1 1\n", r"line 10: the effect '1/1/1' of 'x' is not understood"),
    "effect zero": (HEAD + "x lnN 0/1.2 1\n", r"line 10: the effect '0/1.2' of 'x' is not positive"),
    "pair": (HEAD + "x gmN 3 - 1/2\n", r"line 10: the effect '1/2' of 'x' is not understood"),
    "name": (HEAD + "x[nofloat] lnN 1.1 1\n", r"line 10: the name 'x\[nofloat\]' has brackets"),
    "r": (HEAD + "r lnN 1.1 1\n", r"line 10: a nuisance parameter is called 'r'"),
    "gmN text": (HEAD + "x gmN - 1 1\n", r"line 10: the count of gmN is '-', expected a whole number"),
    "gmN negative": (HEAD + "x gmN -2 - 1\n", r"line 10: the count of gmN is -2"),
    "gmN rate": (HEAD + "x gmN 4 - 1\n", r"line 10: 4 events times 1 are not the rate 10 of 'bkg'"),
    "gmN twice": (HEAD + "x gmN 10 - 1\ny gmN 10 - 1\n", r"line 10: 'x' and 'y' are gmN of one process"),
    "two kinds": (HEAD + "x lnN - 1.1\nx gmN 10 - 1\n", r"line 11: 'x' is both normal and gmN 10"),
    "shape": (HEAD + "x shape - 1\n", r"line 10: shape uncertainty 'x' acts on 'bkg', which has no histogram"),
    "rateParam": (HEAD + "x rateParam SR\n", r"line 10: rateParam 'x' has 1 entries"),
    "rateParam where": (HEAD + "x rateParam SR top 1\n", r"line 10: rateParam 'x' acts on process 'top'"),
    "rateParam file": (HEAD + "x rateParam SR bkg f.root:w\n", r"the value of rateParam 'x' is 'f.root:w'"),
    "rateParam range": (HEAD + "x rateParam SR bkg 1 [2,1]\n", r"the range '\[2,1\]' of 'x' is empty"),
    "rateParam open": (HEAD + "x rateParam SR bkg 1 [2,1\n", r"the range '\[2,1' of 'x' is not understood"),
    "rateParam two values": (
        HEAD + "x rateParam SR bkg 1\nx rateParam SR sig 2\n",
        r"line 10: rateParam 'x' has the value 1 here only",
    ),
    "formula": (
        HEAD + "x rateParam SR bkg @0/@1 a,b\n",
        r"line 10: the formula '@0/@1' of rateParam 'x' is no product",
    ),
    "formula power": (HEAD + "x rateParam SR bkg @0*@0 a\n", r"line 10: the formula '@0\*@0' of rateParam 'x' has a"),
    "formula argument": (HEAD + "x rateParam SR bkg @0 a\n", r"line 10: .* has the argument 'a'; declare it"),
    "param": (HEAD + "x param 1\n", r"line 10: param 'x' has 1 entries"),
    "param alone": (HEAD + "x param 1 0.1\n", r"line 10: param 'x' is no rateParam that acts on anything"),
    "param asymmetric": (HEAD + "x param 1 -0.1/+0.2\n", r"line 10: the uncertainty '-0.1/\+0.2' of param 'x'"),
    "param width": (HEAD + "x param 1 0\n", r"line 10: the uncertainty of param 'x' is 0"),
    "param twice": (HEAD + "x param 1 0.1\nx param 1 0.1\n", r"line 11: param 'x' is given twice"),
    "group": (HEAD + "g group x\n", r"line 10: group 'g' is not understood"),
    "group twice": (HEAD + "g group = x\ng group = y\n", r"line 11: group 'g' is already defined"),
    "group add": (HEAD + "g group += x\n", r"line 10: group 'g' is not yet defined"),
    "group name": (HEAD + "g group = x\n", r"a group names 'x', which is no parameter"),
    "statistics": (HEAD + "* autoMCStats 1 2 3 4\n", r"line 10: autoMCStats has 4 entries"),
    "statistics mode": (HEAD + "* autoMCStats 10 0 3\n", r"line 10: autoMCStats has '10 0 3'"),
    "statistics channel": (HEAD + "CR autoMCStats 10\n", r"line 10: no channel fits 'CR'"),
    "shapes": ("shapes * *\n" + HEAD, r"line 1: shapes has 2 entries"),
    "shapes twice": ("shapes * * a.root b\nshapes * * a.root b\n" + HEAD, r"line 2: shapes of process '\*' .* twice"),
    "no file": ("shapes * * absent.root $PROCESS\n" + HEAD, r"line 1: there is no file .*absent.root"),
    "no ROOT file": ("shapes * * table.csv $PROCESS\n" + HEAD, r"line 1: 'table.csv' is no ROOT file"),
    "RooFit": ("shapes * * a.root w:$PROCESS\n" + HEAD, r"line 1: 'w:sig' is an object of a RooFit workspace"),
    "keyword": ("shapes * * a.root $ERA/$PROCESS\n" + HEAD, r"line 1: a word with \$ is left in '\$ERA/sig'"),
    "no rule": ("shapes * CR a.root $PROCESS\n" + HEAD, r"no line shapes is for process 'sig' in channel 'SR'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_cards_end_in_one_sentence(tmp_path: Path, name: str) -> None:
    """What is wrong, in which line, and what to do."""
    text, says = BROKEN[name]
    with pytest.raises(WorkspaceError, match=says) as caught:
        card(tmp_path, text)
    message = str(caught.value)
    assert "\n" not in message
    assert ";" in message


def changed(edit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Templates with a fault."""
    contents = templates()
    edit(contents)
    return contents


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "missing": (changed(lambda t: t.pop("SR/bkg")), r"shapes.root holds no 'SR/bkg'; it has SR/?"),
    "missing shift": (changed(lambda t: t.pop("SR/bkg_jesUp")), r"holds no 'SR/bkg_jesUp'"),
    "missing data": (changed(lambda t: t.pop("SR/data_obs")), r"holds no 'SR/data_obs'"),
    "rate": (changed(lambda t: t.update({"SR/sig": 2.0 * SIGNAL})), r"the rate is 10, but .* integral of 20"),
    "negative": (changed(lambda t: t.update({"SR/bkg": [-2, 1, 0]})), r"the histogram has an integral of -1"),
    "empty shift": (changed(lambda t: t.update({"SR/bkg_jesUp": [0, 0, 0]})), r"with jesUp has an integral of 0"),
    "nan": (changed(lambda t: t.update({"SR/bkg": [1, np.nan, 0]})), r"bin 1 holds nan"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_broken_histograms_end_in_one_sentence(tmp_path: Path, name: str) -> None:
    """The line of the card, the channel and the process."""
    contents, says = FAULTS[name]
    root_file(tmp_path, contents)
    with pytest.raises(WorkspaceError, match=says):
        card(tmp_path, SHAPES).likelihood()


def test_empty_histograms_are_left_out(tmp_path: Path) -> None:
    """With a rate of -1 there is nothing to expect; with it goes what acts on nothing else."""
    root_file(tmp_path, {**templates(), "SR/bkg": [0, 0, 0]})
    workspace = card(tmp_path, SHAPES)
    likelihood, _ = workspace.likelihood()
    np.testing.assert_allclose(expected(likelihood, {}), SIGNAL)
    assert "jes" not in likelihood.parameters
    assert "'bkg' in channel 'SR' is empty and left out" in workspace.remarks
    assert "'jes' acts on nothing and is left out" in workspace.remarks


def test_other_binnings_and_classes_are_refused(tmp_path: Path) -> None:
    """All histograms of a channel have the same bins, and one dimension."""
    root_file(tmp_path, templates())
    uproot = pytest.importorskip("uproot")
    with uproot.update(tmp_path / "shapes.root") as file:
        file["SR/bkg_jesUp"] = (JES_UP, EDGES + 1.0)
    with pytest.raises(WorkspaceError, match=r"'SR/bkg_jesUp' has other bins than"):
        card(tmp_path, SHAPES)
    with uproot.update(tmp_path / "shapes.root") as file:
        file["SR/sig"] = (np.ones((3, 2)), EDGES, np.asarray([0.0, 1.0, 2.0]))
    with pytest.raises(WorkspaceError, match=r"'SR/sig' in .* is a TH2D; give a one-dimensional"):
        card(tmp_path, SHAPES)


def test_files_that_cannot_be_read(tmp_path: Path, run: Run) -> None:
    """No file, no text, no ROOT file: a sentence, and exit code 2."""
    with pytest.raises(InputError, match="cannot be read"):
        read_datacard(tmp_path / "absent.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WorkspaceError, match="it is not text"):
        read_datacard(tmp_path / "binary.txt")
    (tmp_path / "shapes.root").write_bytes(b"no ROOT file")
    with pytest.raises(WorkspaceError, match="cannot be read as a ROOT file"):
        card(tmp_path, SHAPES)
    assert "cannot be read" in run("fit", tmp_path / "absent.txt").complaint
