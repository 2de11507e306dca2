"""Coverage: points, bars and bands are those of the record, and colours are verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from infer.api import read_workspace
from infer.inference.coverage import Coverage, CoverageAt, Truth, coverage
from infer.inference.finite_mc import FiniteMC
from infer.inference.toy_intervals import AT_BOUND, CROSSED, FAILED
from infer.plots import (
    bias_figure,
    coverage_figure,
    finite_mc_figure,
    lengths_figure,
    save_coverage_figures,
    save_finite_mc_figures,
)
from infer.plots.coverage import VERDICT_COLOURS, band_of, lengths_of, places_of

Tidy = Callable[[Figure], None]
WORKSPACES = Path(__file__).parents[2] / "workspaces"
CL = (0.6827, 0.95)


def made(
    values: Sequence[float] = (0.0, 1.0, 2.0),
    *,
    methods: Sequence[str] = ("hessian", "profile"),
    levels: Sequence[float] = CL,
    n: int = 500,
    sigma: float = 1.0,
    n_failed: int = 0,
    n_belt: int | None = None,
    nuisances: Sequence[Mapping[str, float]] = ({},),
    scale: float = 1.0,
) -> Coverage:
    """Estimates that are normal about the truth, with standard deviation ``scale``, in intervals of ``sigma``."""
    rng = np.random.default_rng(1)
    pairs = [(value, nuisance) for nuisance in nuisances for value in values]
    z = {0.6827: 1.0, 0.95: 1.96, 0.9: 1.645}
    truth = np.repeat([value for value, _ in pairs], n)
    estimate = truth + scale * np.tile(rng.normal(0.0, sigma, n), len(pairs))
    point = np.repeat(np.arange(len(pairs)), n)
    columns: dict[str, Any] = {"point": point, "truth": truth, "converged": np.full(truth.size, True)}
    results = []
    for m, method in enumerate(methods):
        for k, cl in enumerate(levels):
            half = (1.0 + 0.05 * m) * z[cl] * sigma * (1.0 + 0.1 * rng.uniform(size=truth.size))
            status = np.where(np.tile(np.arange(n), len(pairs)) < n_failed, FAILED, CROSSED)
            columns |= {
                f"{method}_{k}_low": estimate - half,
                f"{method}_{k}_high": estimate + half,
                f"{method}_{k}_low_status": np.where(status == CROSSED, AT_BOUND, status),
                f"{method}_{k}_high_status": status,
            }
            covered = (np.abs(estimate - truth) <= half) & (status == CROSSED)
            results += [
                CoverageAt(method, cl, p, value, n, n_failed, int(np.sum(covered[point == p])), None, n_belt)
                for p, (value, _) in enumerate(pairs)
            ]
    errors = estimate[:n] - truth[:n]
    std = float(np.std(errors, ddof=1)) if n > 1 else np.nan
    truths = tuple(
        Truth(value, nuisance, n, 0, 0, (float(np.mean(errors)), std / np.sqrt(n)), std, sigma, (0.0, std / sigma), {})
        for value, nuisance in pairs
    )
    return Coverage("mu", truths, tuple(results), columns, tuple(levels), None, None, 1.0)


def words(figure: Figure) -> str:
    """All that is written on a figure, in one line."""
    return " ".join(t.get_text() for t in figure.findobj(Text)).replace("\n", " ")


def legend(figure: Figure) -> list[str]:
    """Entries of the legend."""
    return [t.get_text() for t in figure.legends[0].get_texts()]


def points(axes: Axes) -> list[tuple[float, float, str]]:
    """Position, height and colour of every point of a panel of coverage."""
    drawn = [line for line in axes.lines if line.get_marker() in tuple("osD^vPX")]
    return [(float(p.get_xdata()[0]), float(p.get_ydata()[0]), to_hex(p.get_color())) for p in drawn]


def test_points_are_the_shares(tidy: Tidy) -> None:
    """One panel a level; each point stands beside its truth, at its share in percent, in its verdict's colour."""
    record = made(scale=1.3)
    figure = coverage_figure(record)
    assert len(figure.axes) == 2
    for axes, cl in zip(figure.axes, CL, strict=True):
        results = [r for r in record.results if r.cl == cl]
        drawn = points(axes)
        assert [y for _, y, _ in drawn] == pytest.approx([100.0 * r.coverage for r in results])
        assert [colour for *_, colour in drawn] == [VERDICT_COLOURS[r.verdict] for r in results]
        assert [x for x, *_ in drawn] == pytest.approx([r.truth for r in results], abs=0.2)
        assert len({x for x, *_ in drawn}) == len(drawn)
        assert axes.get_title("left") == f"{100 * cl:.4g} % CL"
    assert {"hessian", "profile", "under-covers"} <= set(legend(figure))
    tidy(figure)


def test_bars_are_clopper_pearson() -> None:
    """From end to end of the 68.27 % interval."""
    record = made(values=(1.0,), methods=("profile",), levels=(0.95,))
    (bar,) = coverage_figure(record).axes[0].collections
    ((_, low), (_, high)) = bar.get_segments()[0]
    assert (low, high) == pytest.approx([100.0 * end for end in record.results[0].clopper_pearson])


@pytest.mark.parametrize("n_belt", [None, 200])
@pytest.mark.parametrize(("cl", "n"), [(0.6827, 500), (0.95, 500), (0.95, 30), (0.5, 7), (0.9973, 20000)])
def test_the_band_is_the_verdict(cl: float, n: int, n_belt: int | None) -> None:
    """A share inside is judged to cover, the next one outside is not."""
    low, high = band_of(cl, n, n_belt)
    first, last = round(low * n), round(high * n)

    def verdict(k: int) -> str:
        return CoverageAt("profile", cl, 0, 1.0, n, 0, k, None, n_belt).verdict

    assert {verdict(first), verdict(last)} == {"covers"}
    assert first == 0 or verdict(first - 1) == "under-covers"
    assert last == n or verdict(last + 1) == "over-covers"


def test_failed_toys_leave_a_share_open(tidy: Tidy) -> None:
    """A dotted bar reaches the share that they could have had, and the figure counts them."""
    record = made(n_failed=20)
    figure = coverage_figure(record)
    open_to = [float(line.get_ydata()[0]) for line in figure.axes[0].lines if line.get_marker() == "_"]
    results = [r for r in record.results if r.cl == CL[0]]
    assert open_to == pytest.approx([100.0 * (r.covered + 20) / 500 for r in results])
    assert "60 of hessian at 68.27 %, 60 of hessian at 95 %, 60 of profile at 68.27 %" in words(figure)
    tidy(figure)
    assert "without an interval" not in words(coverage_figure(made()))


def test_a_belt_has_its_own_band(tidy: Tidy) -> None:
    """Critical values with a noise of their own widen what counts as covering."""
    figure = coverage_figure(made(n_belt=200))
    assert "the same with the belt's own noise" in legend(figure)
    tidy(figure)


def test_equal_truths_stand_side_by_side(tidy: Tidy) -> None:
    """With other nuisance parameters, which are written below; methods never reach the next truth."""
    record = made(values=(0.5, 1.5), nuisances=({}, {"jes": -1.0}), methods=("hessian", "profile", "cls"))
    places = places_of(record)
    assert places.words == ("mu = 0.5", "mu = 1.5", "mu = 0.5\njes = −1", "mu = 1.5\njes = −1")
    assert places.of(0, 2, 3) < places.of(1, 0, 3)
    for draw in (coverage_figure, bias_figure, lengths_figure):
        figure = draw(record)
        assert "jes = −1" in words(figure)
        tidy(figure)


def test_near_truths_do_not_mix() -> None:
    """Points at 1 and 1.01 of an axis to 100 keep the order of the truths."""
    record = made(values=(1.0, 1.01, 100.0))
    places = places_of(record)
    assert places.of(0, 1, 2) < places.of(1, 0, 2)


def test_bias_and_width(tidy: Tidy) -> None:
    """Bias with its standard error above, the width of the pulls and the spread over the uncertainty below."""
    record = made(scale=1.3)
    figure = bias_figure(record)
    upper, lower = figure.axes
    assert upper.containers[0].lines[0].get_ydata() == pytest.approx([t.bias[0] for t in record.truths])
    pull, ratio = (container.lines[0].get_ydata() for container in lower.containers)
    assert pull == pytest.approx([t.pull[1] for t in record.truths])
    assert ratio == pytest.approx([t.std / t.sigma for t in record.truths])
    half = np.ptp(lower.containers[0].lines[2][0].get_segments()[0][:, 1]) / 2.0
    assert half == pytest.approx(pull[0] / np.sqrt(2.0 * 499))
    tidy(figure)


def test_lengths_are_of_the_intervals_found() -> None:
    """Of one method, level and truth, without failed toys and without infinite intervals."""
    record = made(n_failed=20)
    result = record.of("profile", 0.95)[1]
    found = lengths_of(record, result)
    assert found.size == 480
    assert np.all((found > 2 * 1.96) & (found < 2 * 1.96 * 1.16))
    high = record.columns["profile_1_high"].copy()
    high[record.columns["point"] == 1] = np.inf
    infinite = replace(record, columns={**record.columns, "profile_1_high": high})
    assert lengths_of(infinite, result).size == 0
    assert lengths_of(infinite, record.of("profile", 0.95)[0]).size == 480


def test_medians_of_lengths_are_marked(tidy: Tidy) -> None:
    """By method and truth, in each level's panel, the axis from zero."""
    record = made()
    figure = lengths_figure(record)
    for axes, cl in zip(figure.axes, CL, strict=True):
        medians = [np.median(lengths_of(record, r)) for r in record.results if r.cl == cl]
        assert [y for _, y, _ in points(axes)] == pytest.approx(medians)
        assert axes.get_ylim()[0] == 0.0
    assert legend(figure) == ["hessian", "profile"]
    tidy(figure)


@pytest.mark.parametrize(
    "record",
    [
        made(values=(1.0,), methods=("profile",), levels=(0.95,), n=1),
        made(values=(-250.0, -249.0), n=50),
        made(
            methods=("hessian", "profile", "feldman-cousins", "cls", "credible"), levels=(0.6827, 0.9, 0.95), n_failed=9
        ),
        made(sigma=1e-7, values=(1e-7, 2e-7)),
    ],
    ids=["one toy", "negative", "much", "tiny"],
)
def test_odd_records_are_drawn(record: Coverage, tidy: Tidy) -> None:
    """Whatever there is, figures are legible."""
    for figure in (coverage_figure(record), lengths_figure(record)):
        tidy(figure)


def test_no_finite_length(tidy: Tidy) -> None:
    """Where no interval was found, the figure says so."""
    record = made(n=20, n_failed=20)
    figure = lengths_figure(record)
    assert "no length is finite" in words(figure)
    tidy(figure)
    tidy(coverage_figure(record))


def scaled(values: Sequence[float] = (1.0,), **options: Any) -> FiniteMC:
    """Coverage that comes back with the size of the simulated samples."""
    return FiniteMC((1.0, 4.0, 16.0), tuple(made(values, scale=1.0 + 0.5 / s, **options) for s in (1.0, 4.0, 16.0)))


def test_finite_simulation(tidy: Tidy) -> None:
    """A row a level with a point for each method and size, and the uncertainty over the spread below."""
    record = scaled()
    figure = finite_mc_figure(record)
    *panels, ratio = figure.axes
    for axes, cl in zip(panels, CL, strict=True):
        wanted = [100.0 * result.of(m, cl)[0].coverage for m in ("hessian", "profile") for result in record.results]
        assert [y for _, y, _ in points(axes)] == pytest.approx(wanted)
    sigmas = [t.sigma / t.std for result in record.results for t in result.truths]
    assert ratio.containers[0].lines[0].get_ydata() == pytest.approx(sigmas)
    assert ratio.containers[0].lines[0].get_xdata() == pytest.approx([1.0, 4.0, 16.0])
    assert [t.get_text() for t in ratio.get_xticklabels()] == ["1", "4", "16"]
    tidy(figure)


def test_finite_simulation_at_several_truths(tidy: Tidy) -> None:
    """A column a truth; what is drawn lies within the common axes; failures are counted over all sizes."""
    record = scaled((1.0, 2.0), n_failed=5)
    figure = finite_mc_figure(record)
    grid = np.reshape(np.asarray(figure.axes, dtype=object), (3, 2))
    assert [axes.get_title("left") for axes in grid[0]] == ["mu = 1", "mu = 2"]
    for axes in grid[:2].flat:
        low, high = axes.get_ylim()
        assert all(low < y < high for _, y, _ in points(axes))
    assert "30 of hessian at 68.27 %" in words(figure)
    tidy(figure)


def test_one_size(tidy: Tidy) -> None:
    """A single size is no range."""
    tidy(finite_mc_figure(FiniteMC((0.25,), (made((1.0,)),))))


@pytest.mark.slow
def test_files(tmp_path: Path) -> None:
    """Three figures of coverage and one of finite simulation, in both formats."""
    paths = save_coverage_figures(tmp_path / "a" / "b", made())
    stems = ["coverage", "coverage_bias", "coverage_lengths"]
    assert [path.name for path in paths] == [f"{stem}.{suffix}" for stem in stems for suffix in ("png", "pdf")]
    assert [path.name for path in save_finite_mc_figures(tmp_path, scaled(), formats=("png",))] == ["finite_mc.png"]
    again = save_coverage_figures(tmp_path / "c", made(), formats=("pdf",))
    assert [path.read_bytes() for path in paths[1::2]] == [path.read_bytes() for path in again]


@pytest.mark.slow
def test_real_coverage(tidy: Tidy) -> None:
    """The lengths in the figure are those in the record."""
    likelihood, data = read_workspace(WORKSPACES / "higgs_mass.json")
    with jax.numpy_rank_promotion("allow"):  # of the models, not of the figures
        record = coverage(
            likelihood, data, key=jax.random.key(1), n_toys=100, values=[124.0, 125.0], methods=["hessian", "profile"]
        )
    for draw in (coverage_figure, bias_figure, lengths_figure):
        tidy(draw(record))
    for result in record.results:
        assert np.quantile(lengths_of(record, result), (0.16, 0.5, 0.84)) == pytest.approx(result.length)
