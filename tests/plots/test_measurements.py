"""Published measurements beside their combination."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text

from infer.measurement import Measurement
from infer.plots.measurements import ValueRow, measurements_figure, value_rows, value_text
from infer.statement import Uncertainty


def test_figure_of_the_higgs_mass(masses: Any, tidy: Callable[[Figure], None]) -> None:
    """Every measurement has a point and two bars, the combination comes last and spans the figure."""
    m: Measurement = masses.measurement
    measured, parts = masses.measured, masses.combinations
    figure = measurements_figure(m, measured, combinations=parts)
    (axes,) = figure.axes
    names = [t.get_text() for t in axes.get_yticklabels()]
    assert names == [*(v.name for v in measured), *parts, "Combination"]
    points = [line.get_xydata()[0] for line in axes.get_lines() if line.get_marker() == "o"]
    values = [*(v.value for v in measured), *(p.value for p in parts.values()), m.value]
    np.testing.assert_allclose(points, list(zip(values, range(len(values)), strict=True)))
    bars = [np.ptp(line.get_xdata()) for line in axes.get_lines() if line.get_linewidth() in (1.0, 3.0)]
    np.testing.assert_allclose(bars[:2], [2 * measured[0].total, 2 * measured[0].stat])
    assert axes.get_xlabel() == "$m_H$ [GeV]"
    assert figure.get_suptitle() == str(m)
    assert "126.02 ± 0.51 (± 0.43)" in [t.get_text() for t in figure.findobj(Text)]
    tidy(figure)


def test_untrustworthy_combinations_are_left_out(masses: Any, tidy: Callable[[Figure], None]) -> None:
    """Their numbers must not be shown; the measurements themselves are."""
    m: Measurement = masses.measurement
    failed = replace(m, certificate=replace(m.certificate, converged=False))
    rows = value_rows(failed, masses.measured, {"bad": failed})
    assert {row.kind for row in rows} == {"measured"}
    figure = measurements_figure(failed, masses.measured)
    assert not figure.axes[0].patches
    tidy(figure)
    assert measurements_figure(failed, ()).axes


def test_text_of_a_row() -> None:
    """Two digits of the total, unequal sides one by one, a power of ten where needed, a missing side."""
    uneven = ValueRow("A", "measured", -1.234, Uncertainty(0.1, 0.1), Uncertainty(0.48, 0.52))
    assert value_text(uneven) == "−1.23 +0.52 −0.48 (± 0.10)"
    tiny = ValueRow("A", "measured", 2.5e-6, Uncertainty(1e-7, 1e-7), Uncertainty(2e-7, 2e-7))
    assert value_text(tiny) == "2.50 ± 0.20 (± 0.10) × 10⁻⁶"
    open_end = ValueRow("A", "measured", 1.0, Uncertainty(None, None), Uncertainty(0.5, None))
    assert value_text(open_end) == "1.00 −0.50 (± ?)"
