"""Profiles of a simplified likelihood and of the full one: the numbers of the record are drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from infer.likelihoods.histfactory.model import HistFactory
from infer.likelihoods.histfactory.spec import parse_workspace
from infer.plots.simplified import save_simplified_figures, simplified_figure
from infer.simplified.difference import Difference
from infer.simplified.simplify import simplify
from tests.simplified.test_simplify import linear_workspace

Tidy = Callable[[Figure], None]


@pytest.fixture(scope="module")
def record() -> Difference:
    """Of a small workspace."""
    with jax.numpy_rank_promotion("allow"):  # of the models, not of the figures
        return simplify(
            *HistFactory.of(parse_workspace(linear_workspace(signal_moves=True))), points=5, limits=False
        ).difference


def test_both_profiles_and_their_difference(record: Difference, tidy: Tidy) -> None:
    """Points above, simplified minus full below."""
    figure = simplified_figure(record)
    tidy(figure)
    above, below = figure.axes
    points = [line for line in above.lines if line.get_marker() == "."]
    np.testing.assert_allclose(points[0].get_ydata(), record.full.scan.delta_twice_nll)
    np.testing.assert_allclose(points[1].get_ydata(), record.simplified.scan.delta_twice_nll)
    np.testing.assert_allclose(below.lines[-1].get_ydata(), record.delta)


def test_without_a_certificate(record: Difference, tidy: Tidy) -> None:
    """Points that failed are counted; without any, a message is drawn."""
    holes = record.delta.copy()
    holes[2] = np.nan
    tidy(simplified_figure(replace(record, delta=holes)))
    tidy(simplified_figure(replace(record, delta=np.full(5, np.nan))))


def test_files(record: Difference, tmp_path: Path) -> None:
    """PNG and PDF."""
    assert [path.name for path in save_simplified_figures(tmp_path, record)] == ["simplified.png", "simplified.pdf"]
