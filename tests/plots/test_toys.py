"""Toys: what the histograms count, which curve stands beside them, and what is said of the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, StepPatch
from matplotlib.text import Text

from infer.api import read_workspace
from infer.inference.campaigns import Pull
from infer.inference.toys import Toys, toys
from infer.plots import estimates_figure, poi_pull_figure, save_toys_figures, toy_pulls_figure
from infer.plots.toys import failures, pull_moments

Tidy = Callable[[Figure], None]
WORKSPACES = Path(__file__).parents[2] / "workspaces"


def made(
    values: Any = None,
    *,
    n: int = 1000,
    truth: float = 1.0,
    sigma: float = 0.5,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    failed: Any = (),
    poi: str = "mu",
    pulls: dict[str, Pull] | None = None,
) -> Toys:
    """Toys whose best fits are normal about the truth, cut at the bounds, or the values given."""
    wanted = np.random.default_rng(1).normal(truth, sigma, n) if values is None else np.asarray(values, dtype=float)
    cut = np.clip(wanted, *bounds)
    columns = {
        "index": np.arange(cut.size),
        "truth": np.full(cut.size, truth),
        "value": cut,
        "sigma": np.full(cut.size, sigma),
        "converged": ~np.isin(np.arange(cut.size), failed),
        "at_bound": cut != wanted,
        "engine": np.zeros(cut.size, dtype=int),
    }
    named = {"mu": Pull(0.0, 1.0, cut.size)} if pulls is None else pulls
    return Toys(
        poi=poi,
        truth=truth,
        n=cut.size,
        columns=columns,
        pulls=named,
        parameters_truth={poi: truth},
        seconds_compile=0.0,
        seconds=1.0,
        chunk=cut.size,
        chunk_bytes=0,
    )


def histogram(figure: Figure) -> tuple[np.ndarray, np.ndarray]:
    """Counts and edges of the first histogram."""
    first = figure.axes[0].findobj(StepPatch)[0]
    assert isinstance(first, StepPatch)
    data = first.get_data()
    return np.asarray(data.values), np.asarray(data.edges)


def curve(figure: Figure) -> tuple[np.ndarray, np.ndarray]:
    """The dash-dotted curve: normal."""
    (line,) = (line for line in figure.axes[0].lines if line.get_linestyle() == "-.")
    x, y = line.get_data()
    return np.asarray(x), np.asarray(y)


def words(figure: Figure) -> str:
    """All that is written on a figure."""
    return "\n".join(t.get_text() for t in figure.findobj(Text))


def legend(figure: Figure) -> list[str]:
    """Entries of the legend."""
    return [t.get_text() for t in figure.legends[0].get_texts()]


@pytest.mark.parametrize(("truth", "sigma"), [(1.0, 0.5), (-3e4, 2.0), (0.0, 1e-6)], ids=["plain", "shifted", "tiny"])
def test_every_toy_is_counted_and_the_curve_has_their_number(truth: float, sigma: float, tidy: Tidy) -> None:
    """The area of the normal curve is the number of toys in units of a bin, and its peak is the truth."""
    figure = estimates_figure(made(truth=truth, sigma=sigma))
    counts, edges = histogram(figure)
    assert counts.sum() == 1000
    x, y = curve(figure)
    assert np.trapezoid(y, x) / np.diff(edges)[0] == pytest.approx(1000, rel=0.01)
    assert x[np.argmax(y)] == pytest.approx(truth, abs=0.05 * sigma)
    tidy(figure)


def test_truth_and_mean_are_marked() -> None:
    """The dashed line is the truth, the solid one the mean, whose number carries its standard error."""
    record = made()
    figure = estimates_figure(record)
    uprights = {
        line.get_linestyle(): line.get_xdata()[0] for line in figure.axes[0].lines if line.get_linestyle() in "--"
    }
    assert uprights["--"] == 1.0
    assert uprights["-"] == pytest.approx(record.mean)
    assert "truth 1" in legend(figure)
    assert f"mean {record.mean:.3f} ± {record.std / np.sqrt(1000):.3f}, spread {record.std:.3f}" in legend(figure)


def test_toys_at_a_bound_stand_apart(tidy: Tidy) -> None:
    """They are no part of the histogram: a bar beyond the bound has their number, and the curve's."""
    record = made(truth=0.0, bounds=(0.0, np.inf))
    figure = estimates_figure(record)
    n_bound = int(record.columns["at_bound"].sum())
    counts, edges = histogram(figure)
    assert counts.sum() == 1000 - n_bound
    assert edges[0] == 0.0
    assert figure.axes[0].get_xlim()[0] < 0.0
    assert str(n_bound) in words(figure)
    assert "at the bound 0 (curve: 500)" in legend(figure)
    tidy(figure)


def test_a_high_bar_is_cut_and_a_low_one_is_not() -> None:
    """The histogram keeps its room: a bar of nearly all toys ends below the top of the axis."""
    for truth, cut in ((0.0, True), (1.0, False)):
        record = made(truth=truth, bounds=(0.0, np.inf))
        axes = estimates_figure(record).axes[0]
        (bar,) = (patch for container in axes.containers for patch in container if isinstance(patch, Rectangle))
        n_bound = int(record.columns["at_bound"].sum())
        assert bool(bar.get_height() < n_bound) is cut
        assert bar.get_height() < axes.get_ylim()[1]


def test_both_bounds(tidy: Tidy) -> None:
    """An efficiency between 0 and 1 has a bar at either end."""
    record = made(truth=0.5, sigma=0.4, bounds=(0.0, 1.0))
    figure = estimates_figure(record)
    low, high = figure.axes[0].get_xlim()
    assert low < 0.0 < 1.0 < high
    values = record.columns["value"]
    assert {str(int(np.sum(values == 0.0))), str(int(np.sum(values == 1.0)))} <= set(words(figure).split("\n"))
    tidy(figure)


def test_failed_toys_are_named(tidy: Tidy) -> None:
    """By number, on every figure; without any, the title says that all converged."""
    record = made(failed=[3, 77])
    for figure in (estimates_figure(record), poi_pull_figure(record), toy_pulls_figure(record)):
        text = words(figure).replace("\n", " ")
        assert "2 of 1000 toys did not converge and are left out: 3, 77" in text
        tidy(figure)
    assert histogram(estimates_figure(record))[0].sum() == 998
    assert failures(made()) == ""
    assert "all converged" in estimates_figure(made()).get_suptitle()
    many = failures(made(failed=range(100)))
    assert many.startswith("100 of 1000")
    assert many.endswith("7, 8, …")


def test_far_tails_are_counted_not_drawn(tidy: Tidy) -> None:
    """One toy at a thousand standard deviations does not squeeze the others into a line."""
    values = np.append(np.random.default_rng(1).normal(1.0, 0.5, 999), 500.0)
    for figure in (estimates_figure(made(values)), poi_pull_figure(made(values))):
        assert histogram(figure)[0].sum() == 999
        assert "toys outside the axis: 1" in words(figure)
        assert figure.axes[0].get_xlim()[1] < 10.0
        tidy(figure)


def test_pulls_beside_the_standard_normal(tidy: Tidy) -> None:
    """Mean and width with their standard errors, and the area of the curve the number of pulls."""
    record = made(n=4000, bounds=(0.0, np.inf))
    figure = poi_pull_figure(record)
    text = words(figure)
    mean, std = np.mean(record.toy_pulls), np.std(record.toy_pulls, ddof=1)
    assert "4000 pulls" in text
    assert f"mean {mean:+.3f} ± {std / np.sqrt(4000):.3f}" in text.replace("−", "-")
    assert f"std {std:.3f} ± {std / np.sqrt(8000):.3f}" in text
    x, y = curve(figure)
    assert np.trapezoid(y, x) / np.diff(histogram(figure)[1])[0] == pytest.approx(4000, rel=1e-3)
    n_bound = int(record.columns["at_bound"].sum())
    assert histogram(figure)[0].sum() == 4000 - n_bound
    assert f"best fit at a bound: {n_bound}" in legend(figure)
    tidy(figure)


def test_moments_in_standard_errors() -> None:
    """Of n pulls: std / sqrt(n) for the mean, std / sqrt(2 (n - 1)) for the width; the worst come first."""
    record = made(pulls={"good": Pull(0.0, 1.0, 201), "wide": Pull(0.0, 2.0, 201), "off": Pull(-0.5, 1.0, 100)})
    wide, off, good = pull_moments(record)
    assert [wide.name, off.name, good.name] == ["wide", "off", "good"]
    assert wide.std == (2.0, pytest.approx(0.1))
    assert wide.deviation == pytest.approx(10.0)
    assert off.mean == (-0.5, pytest.approx(0.1))
    assert off.z[0] == pytest.approx(-5.0)
    assert good.deviation == 0.0


def test_constant_pulls_deviate_infinitely() -> None:
    """Pulls without a spread are no division by zero."""
    (one,) = pull_moments(made(pulls={"stuck": Pull(1.0, 0.0, 10)}))
    assert one.deviation == np.inf


def test_all_parameters_have_a_row(tidy: Tidy) -> None:
    """Name, point and number; hollow where some toys have no pull."""
    record = made(pulls={"jes": Pull(0.01, 1.0, 1000), "mu": Pull(0.2, 0.9, 950)})
    figure = toy_pulls_figure(record)
    left, right = figure.axes
    assert [t.get_text() for t in left.get_yticklabels()] == ["mu", "jes"]
    points = [[container.lines[0] for container in axes.containers] for axes in (left, right)]
    assert [[float(p.get_xdata()[0]) for p in column] for column in points] == [[0.2, 0.01], [0.9, 1.0]]
    assert [p.get_markerfacecolor() for p in points[0]] == ["white", "#222222"]
    assert "hollow" in words(figure)
    assert {"+0.200", "+0.010", "0.900", "1.000"} <= set(words(figure).split("\n"))
    tidy(figure)


def test_of_many_parameters_the_worst_are_drawn(tidy: Tidy) -> None:
    """Forty rows, and a heading that counts the others; all of them where asked for."""
    rng = np.random.default_rng(1)
    pulls = {f"ATLAS_JES_EffectiveNP_{i}": Pull(*rng.normal((0.0, 1.0), 0.03), 1000) for i in range(250)}
    record = made(pulls=pulls, failed=[7])
    figure = toy_pulls_figure(record)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == [m.name for m in pull_moments(record)[:40]]
    assert "210 parameters deviate less" in figure.get_suptitle()
    tidy(figure)
    assert len(toy_pulls_figure(record, top=None).axes[0].get_yticklabels()) == 250


@pytest.mark.parametrize(
    "record",
    [
        made([1.3]),
        made([0.0], bounds=(0.5, 2.0)),
        made(np.full(50, 2.0)),
        made(sigma=0.5, poi="a_$trange_parameter_of_interest_with_a_long_name", failed=range(0, 900, 7)),
        made(np.linspace(-3.0, -1.0, 20), bounds=(0.0, 1.0)),
    ],
    ids=["one toy", "one toy at its bound", "no spread", "long name", "all at their bound"],
)
def test_odd_records_are_drawn(record: Toys, tidy: Tidy) -> None:
    """Whatever toys there are, figures are legible."""
    for figure in (estimates_figure(record), poi_pull_figure(record), toy_pulls_figure(record)):
        tidy(figure)


def test_nothing_to_draw(tidy: Tidy) -> None:
    """Where no toy converged, the figures say so."""
    record = made(n=10, failed=range(10), pulls={})
    for figure in (estimates_figure(record), poi_pull_figure(record), toy_pulls_figure(record)):
        assert "Nothing to draw" in words(figure)
        tidy(figure)


@pytest.mark.slow
def test_files(tmp_path: Path) -> None:
    """Three figures in both formats, equal bytes for equal records."""
    first = save_toys_figures(tmp_path / "a" / "b", made())
    stems = ["toys_estimates", "toys_pull", "toys_pulls"]
    assert [path.name for path in first] == [f"{stem}.{suffix}" for stem in stems for suffix in ("png", "pdf")]
    second = save_toys_figures(tmp_path / "c", made(), formats=("pdf",))
    assert [path.read_bytes() for path in first[1::2]] == [path.read_bytes() for path in second]


@pytest.mark.slow
def test_real_toys(tidy: Tidy) -> None:
    """Toys of a combination of published measurements have all that the figures ask for."""
    likelihood, data = read_workspace(WORKSPACES / "higgs_mass.json")
    with jax.numpy_rank_promotion("allow"):  # of the models, not of the figures
        record = toys(likelihood, data, key=jax.random.key(1), n_toys=100)
    for figure in (estimates_figure(record), poi_pull_figure(record), toy_pulls_figure(record)):
        tidy(figure)
    assert histogram(estimates_figure(record))[0].sum() == 100
