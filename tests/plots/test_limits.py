"""CLs by hypothesis: the level where the confidence level says, limits on it, and what is left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from infer.api import read_workspace
from infer.inference.exclusion import CLsScan, cls
from infer.inference.limits import UpperLimit, upper_limit
from infer.plots import limit_figure, save_limit_figures

Tidy = Callable[[Figure], None]
WORKSPACES = Path(__file__).parents[2] / "workspaces"


@pytest.fixture(scope="module")
def records() -> tuple[CLsScan, UpperLimit]:
    """Of workspaces/search.json."""
    likelihood, data = read_workspace(WORKSPACES / "search.json")
    with jax.numpy_rank_promotion("allow"):  # of the models, not of the figures
        scan = cls(likelihood, data, values=np.linspace(0.1, 2.6, 6).tolist())
        return scan, upper_limit(likelihood, data)


def test_limits_lie_on_the_level(records: tuple[CLsScan, UpperLimit], tidy: Tidy) -> None:
    """Every limit is marked at CLs = 1 - cl."""
    scan, limit = records
    figure = limit_figure(scan, limit=limit)
    tidy(figure)
    (axes,) = figure.axes
    marks = next(line for line in axes.lines if line.get_marker() == "|")
    np.testing.assert_allclose(marks.get_xdata(), limit.expected)
    np.testing.assert_allclose(marks.get_ydata(), 0.05)
    observed = next(line for line in axes.lines if line.get_label() == "observed")
    np.testing.assert_allclose(observed.get_ydata(), [np.exp(point.log_cls) for point in scan.points])


def test_without_limits(records: tuple[CLsScan, UpperLimit], tidy: Tidy) -> None:
    """A scan alone is drawn too, and so is a limit that was not found."""
    scan, limit = records
    tidy(limit_figure(scan))
    lost = replace(limit, observed=None, expected=(None,) * 5)
    tidy(limit_figure(scan, limit=lost))


def test_files(records: tuple[CLsScan, UpperLimit], tmp_path: Path) -> None:
    """PNG and PDF."""
    names = [path.name for path in save_limit_figures(tmp_path, records[0], limit=records[1])]
    assert names == ["cls.png", "cls.pdf"]
