"""The figure of a contour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from infer.inference.contours import Contour, contour, level
from infer.plots.contours import contour_figure, contour_lines, ellipse, save_contour_figures
from tests.inference.problems import Parabola, without_aux

PRECISION = np.asarray([[2.0, 0.9], [0.9, 1.0]])


@pytest.fixture(scope="module")
def made() -> Contour:
    """A parabola, whose contours are ellipses."""
    return contour(Parabola(PRECISION), without_aux([1.0, 2.0]), parameters=("x0", "x1"))


def test_lines_lie_on_the_level(made: Contour) -> None:
    """Lines of the grid and the ellipse of the Hessian have q at the level, the first as well as the grid allows."""
    for cl in made.cl:
        (line,) = contour_lines(made, cl)
        for points, tolerance in ((line, 0.02), (ellipse(made, cl), 1e-9)):
            d = points - np.asarray(made.best)
            assert np.einsum("na,ab,nb->n", d, PRECISION, d) == pytest.approx(level(cl), abs=tolerance)


def test_figure(made: Contour, tidy: Callable[[Figure], None], tmp_path: Path) -> None:
    """Nothing overlaps; failures are counted; without a certificate there is a sentence; equal bytes."""
    figure = contour_figure(made)
    tidy(figure)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "68.27 % CL",
        "95 % CL",
        "from the Hessian",
        "best fit",
    ]
    q = made.delta_twice_nll.copy()
    q[25:27, 40] = np.nan
    gap = contour_figure(replace(made, delta_twice_nll=q, n_failed=2))
    tidy(gap)
    assert gap._supxlabel is not None
    assert "2 of 2500" in gap._supxlabel.get_text()
    lost = replace(made, certificate=replace(made.certificate, converged=False, message="lost"))
    tidy(contour_figure(lost))
    no_hessian = replace(made, covariance=np.full((2, 2), np.nan))
    assert len(contour_figure(no_hessian).axes[0].get_legend().get_texts()) == 3
    first, second = (save_contour_figures(tmp_path / name, made, formats=("png",)) for name in "ab")
    assert first[0].read_bytes() == second[0].read_bytes()
