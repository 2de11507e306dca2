"""Events beside a fitted density: curves, points and pulls are those of the record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from infer.likelihoods.parametric.spectrum import Spectrum
from infer.plots import save_measurement_figures
from infer.plots.density import bin_pulls, density_figure

Tidy = Callable[[Figure], None]
X = np.linspace(60.0, 64.0, 9)
FALLING = np.linspace(20.0, 4.0, 9)
SPECTRUM = Spectrum(
    name="",
    edges=np.array([60.0, 62.0, 64.0]),
    counts=np.array([40.0, 0.0]),
    expected=np.array([32.0, 16.0]),
    x=X,
    components={"signal": 0.25 * FALLING, "background": 0.75 * FALLING},
    total=FALLING,
    total_uncertainty=np.full(9, 0.5),
    observable="mass",
    unit="GeV",
)


def curves(figure: Figure) -> dict[str, np.ndarray]:
    """Heights of the labelled curves."""
    return {str(line.get_label()): np.asarray(line.get_ydata()) for line in figure.axes[0].get_lines()}


def test_equal_bins_scale_the_curves(tidy: Tidy) -> None:
    """Events per 2 GeV: curves are intensities times the width, points are counts, all with their units."""
    figure = density_figure(SPECTRUM)
    main, below = figure.axes
    drawn = curves(figure)
    np.testing.assert_allclose(drawn["Fit"], 2.0 * FALLING)
    np.testing.assert_allclose(drawn["signal"], 0.5 * FALLING)
    np.testing.assert_allclose(main.containers[0].lines[0].get_ydata(), [40.0, 0.0])
    (band,) = [c for c in main.collections if isinstance(c, FillBetweenPolyCollection)]
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (7.0, 41.0)
    assert main.get_ylabel() == "Events per 2 GeV"
    assert below.get_xlabel() == "mass [GeV]"
    legend = [t.get_text() for t in figure.legends[0].get_texts()]
    assert sorted(legend) == ["Data", "Fit", "Uncertainty", "background", "signal"]
    tidy(figure)


def test_unequal_bins_scale_the_points(tidy: Tidy) -> None:
    """Events per GeV: curves are intensities, points are counts over widths."""
    figure = density_figure(replace(SPECTRUM, edges=np.array([60.0, 63.0, 64.0]), name="muons"))
    np.testing.assert_allclose(curves(figure)["Fit"], FALLING)
    np.testing.assert_allclose(figure.axes[0].containers[0].lines[0].get_ydata(), [40.0 / 3.0, 0.0])
    assert figure.axes[0].get_ylabel() == "Events per GeV"
    assert figure.get_suptitle() == "muons"
    tidy(figure)


def test_remark(tidy: Tidy) -> None:
    """What a reader has to know stands above the axes."""
    figure = density_figure(SPECTRUM, remark="not converged: " + "no progress " * 20)
    assert figure.axes[0].get_title(loc="left").startswith("not converged")
    tidy(figure)


def test_pulls_of_bins(tidy: Tidy) -> None:
    """Observed minus expected over the root of the expected; an impossible bin has none; far ones are cut."""
    np.testing.assert_allclose(bin_pulls(SPECTRUM), [8.0 / np.sqrt(32.0), -4.0])
    odd = replace(SPECTRUM, expected=np.array([1.0, 0.0]), observable="", unit="", components={"all": FALLING})
    assert np.isnan(bin_pulls(odd)[1])
    figure = density_figure(odd)
    (steps,) = [p for p in figure.axes[1].patches if isinstance(p, StepPatch)]
    assert steps.get_data().values.tolist() == [7.0, 0.0]
    assert figure.axes[1].get_xlabel() == "observable"
    assert "all" not in curves(figure)
    tidy(figure)


def test_files(made: Callable[..., Any], tmp_path: Path) -> None:
    """One for each spectrum, called after its component."""
    both = [SPECTRUM, replace(SPECTRUM, name="cms/mumu")]
    paths = save_measurement_figures(tmp_path, measurement=made(n_nuisances=0), spectra=both, formats=("png",))
    assert [path.stem for path in paths] == ["budget", "density_fit", "density_cms_mumu"]
