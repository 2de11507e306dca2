"""Goodness of fit: the toys, the observed value among them, and the asymptotic density beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy import stats

from infer.api import read_workspace
from infer.inference.goodness import GoodnessTest, ToyTail, goodness
from infer.plots import goodness_figure, save_goodness_figures

Tidy = Callable[[Figure], None]
WORKSPACES = Path(__file__).parents[2] / "workspaces"


def made(values: np.ndarray, observed: float | None = 30.0, n_dof: int | None = 20) -> tuple[GoodnessTest, ToyTail]:
    """A test with chosen toys."""
    tail = ToyTail.of(observed or 0.0, values)
    return GoodnessTest("saturated", None, observed, n_dof, None, tail), tail


def words(figure: Figure) -> str:
    """All that is written on a figure, in one line."""
    return " ".join(t.get_text() for t in figure.findobj(Text)).replace("\n", " ")


def test_toys_the_observed_value_and_chi2(tidy: Tidy) -> None:
    """The line is at the observed value, and the curve is the chi2 density times the toys of a bin."""
    values = np.random.default_rng(1).chisquare(20, size=1000)
    figure = goodness_figure(*made(values))
    curve, line = figure.axes[0].lines
    assert line.get_xdata() == pytest.approx([30.0, 30.0])
    x, y = np.asarray(curve.get_xdata()), np.asarray(curve.get_ydata())
    np.testing.assert_allclose(y / y.sum(), (d := stats.chi2(20).pdf(x)) / d.sum(), rtol=1e-9)
    assert np.sum(y) * (x[1] - x[0]) == pytest.approx(1000 * _width(figure), rel=0.02)
    assert "observed: 30" in words(figure)
    tidy(figure)


def _width(figure: Figure) -> float:
    """Width of a bin."""
    values, edges, _ = figure.axes[0].patches[0].get_data()  # type: ignore[attr-defined]  # stairs
    assert len(edges) == len(values) + 1
    return float(edges[1] - edges[0])


def test_failed_toys_are_named(tidy: Tidy) -> None:
    """In red, and without a curve where the test has no asymptotic distribution."""
    values = np.append(np.random.default_rng(1).uniform(size=99), np.nan)
    figure = goodness_figure(*made(values, observed=0.4, n_dof=None))
    assert "1 of 100 toys failed" in words(figure)
    assert "chi2" not in words(figure)
    tidy(figure)


def test_nothing_to_draw(tidy: Tidy) -> None:
    """A sentence instead, where no toy converged."""
    figure = goodness_figure(*made(np.full(3, np.nan)))
    assert "no toy converged" in words(figure)
    tidy(figure)


@pytest.mark.slow
def test_files(tmp_path: Path, tidy: Tidy) -> None:
    """A figure per test; none without toys."""
    likelihood, data = read_workspace(WORKSPACES / "search.json")
    record = goodness(
        likelihood, data, statistics=["saturated", "kolmogorov-smirnov"], key=jax.random.key(1), n_toys=20
    )
    paths = save_goodness_figures(tmp_path, record, formats=["png"])
    names = ["CR_ttbar", "CR_zjets", "SR"]
    assert [p.stem for p in paths] == [
        "goodness_saturated",
        *(f"goodness_kolmogorov-smirnov_{name}" for name in names),
    ]
    assert record.tests[1].toys is not None
    tidy(goodness_figure(record.tests[1], record.tests[1].toys))
    assert save_goodness_figures(tmp_path, goodness(likelihood, data)) == []
