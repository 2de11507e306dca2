"""Figures of posteriors: areas, intervals and ranks where the samples say; chains that did not mix are drawn too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from infer.inference.posterior import Posterior, posterior
from infer.inference.profiles import Scan, scan
from infer.plots import chains_figure, marginal_figure, save_posterior_figures
from tests.inference.toy_problems import bins

Tidy = Callable[[Figure], None]


@pytest.fixture(scope="module")
def records() -> tuple[Posterior, Scan]:
    """Of three bins."""
    likelihood, data = bins()
    found = posterior(likelihood, data, key=jax.random.key(5), poi="mu")
    return found, scan(likelihood, data, poi="mu", fitted=found.fit)


def test_marginal(records: tuple[Posterior, Scan], tidy: Tidy) -> None:
    """The profile likelihood has area one; the four intervals are those of the record."""
    record, profile = records
    figure = marginal_figure(record, scan=profile)
    tidy(figure)
    (axes,) = figure.axes
    curve = next(line for line in axes.lines if "profile" in str(line.get_label()))
    assert np.trapezoid(curve.get_ydata(), curve.get_xdata()) == pytest.approx(1.0, abs=1e-12)
    drawn = [list(line.get_xdata()) for line in axes.lines if line.get_marker() == "|"]
    expected = [
        [ends.low, ends.high]
        for cl in (0.6826894921370859, 0.95)
        for ends in (record.interval("mu", cl), record.highest_density("mu", cl))
    ]
    np.testing.assert_allclose(drawn, expected)
    tidy(marginal_figure(record))


def test_chains(records: tuple[Posterior, Scan], tidy: Tidy) -> None:
    """Ranks of each chain add up to its samples; the parameter that mixed worst stands below."""
    record, _ = records
    worse = {"gamma": replace(record.mixing["gamma"], ess_tail=10.0)}
    figure = chains_figure(replace(record, mixing={**record.mixing, **worse}))
    tidy(figure)
    assert len(figure.axes) == 4
    counts = [patch.get_data().values for patch in figure.axes[1].patches if hasattr(patch, "get_data")]
    assert [int(np.sum(values)) for values in counts] == [1000] * 4


def test_without_mixing(records: tuple[Posterior, Scan], tidy: Tidy, tmp_path: Path) -> None:
    """No number is drawn, and the files are there all the same."""
    record, profile = records
    worse = {"mu": replace(record.mixing["mu"], r_hat=1.5)}
    lost = replace(record, mixing={**record.mixing, **worse})
    tidy(marginal_figure(lost, scan=profile))
    names = [path.name for path in save_posterior_figures(tmp_path, lost)]
    assert names == ["posterior.png", "posterior.pdf", "chains.png", "chains.pdf"]
