"""The ranked error budget: its rows, and that the figure shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from infer.measurement import Measurement
from infer.plots.budget import budget_figure, budget_rows
from infer.statement import Uncertainty

Make = Callable[..., Measurement]


def texts(figure: Figure) -> list[str]:
    """Everything that is written in a figure."""
    return [t.get_text() for t in figure.findobj(Text) if t.get_text()]


def bars(figure: Figure) -> list[Rectangle]:
    """Bars of the only axes, from above."""
    return [p for p in figure.axes[0].patches if isinstance(p, Rectangle)]


def test_rows_by_size_then_sums(made: Make) -> None:
    """Groups and stat by falling size, then syst and total; the shares of the parts add up to one."""
    rows = budget_rows(made())
    assert [row.name for row in rows] == ["group 0", "stat", "group 1", "group 2", "syst", "total"]
    assert [row.kind for row in rows] == ["group", "stat", "group", "group", "sum", "sum"]
    assert rows[-1].share == 1.0
    assert sum(row.share for row in budget_rows(made(groups={})) if row.kind != "sum") == pytest.approx(1.0)


def test_small_ones_are_summed_in_quadrature(made: Make) -> None:
    """With 40 groups, 25 rows are single sources; the 16 others keep both their sides."""
    rows = budget_rows(made(n_groups=40))
    others = rows[25]
    assert [row.kind for row in rows].count("others") == 1
    assert others.name == "16 others in quadrature"
    expected = np.sqrt(np.sum([(0.5 / (1 + i)) ** 2 for i in range(24, 40)]))
    assert others.uncertainty.down == pytest.approx(expected)
    assert others.uncertainty.up == pytest.approx(0.9 * expected)


def test_no_sum_of_a_single_source(made: Make) -> None:
    """26 sources are all drawn: a row '1 others' would take as much room."""
    assert [row.kind for row in budget_rows(made(n_groups=25))].count("others") == 0


def test_missing_sides_stay_missing(made: Make) -> None:
    """A group without an upper side has none in the sum, unless another one has; no total, no shares."""
    groups = {f"g{i}": Uncertainty(0.1, None) for i in range(5)}
    rows = budget_rows(made(groups=groups, total=Uncertainty(None, None)), top=2)
    assert rows[2].uncertainty.down == pytest.approx(0.2)
    assert rows[2].uncertainty.up is None
    assert {row.share for row in rows} == {None}


def test_figure_shows_the_rows(made: Make, tidy: Callable[[Figure], None]) -> None:
    """Two bars to each row, of the right widths; names, numbers, shares, definition and unit are written."""
    figure = budget_figure(made())
    widths = [bar.get_width() for bar in bars(figure)]
    rows = budget_rows(made())
    sides = [(row.uncertainty.down, row.uncertainty.up) for row in rows]
    np.testing.assert_allclose(widths, np.ravel([(-down, up) for down, up in sides if down and up]))
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == [row.name for row in rows]
    written = texts(figure)
    assert str(made()) in written
    assert {"down", "up", "variance", "100.0 %", "−0.50", "+0.45"} <= set(written)
    assert any("'observables'" in text and "68.27" in text for text in written)
    assert figure.axes[0].get_xlabel() == "Uncertainty of $m_t$ [GeV]"
    tidy(figure)


def test_real_measurement(search: Any, tidy: Callable[[Figure], None]) -> None:
    """Every group of a fit has its row, and nothing is cut off."""
    measurement: Measurement = search.measurement
    figure = budget_figure(measurement)
    names = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert set(names) == {"stat", "syst", "total", *measurement.groups}
    tidy(figure)


def test_long_names_and_large_numbers(made: Make, tidy: Callable[[Figure], None]) -> None:
    """Long names are shortened in the middle, dollars are no mathematics, powers of ten are written."""
    name = "a_very_long_name_of_a_source_$of$_systematic_uncertainty_b_tagging"
    small = Uncertainty(2e-7, 3e-7)
    figure = budget_figure(made(groups={name: small}, value=1e-6, total=small, stat=small, syst=small))
    (shown,) = [t.get_text() for t in figure.axes[0].get_yticklabels() if "very" in t.get_text()]
    assert len(shown) < 40
    assert shown.startswith("a_very_long")
    assert shown.endswith("b_tagging")
    tidy(figure)


def test_untrustworthy_numbers_are_not_shown(made: Make, tidy: Callable[[Figure], None]) -> None:
    """A fit without certificate gets one sentence and no bar."""
    figure = budget_figure(made(converged=False))
    assert bars(figure) == []
    written = " ".join(texts(figure))
    assert "not trustworthy" in written
    assert "not converged: no progress" in written
    assert "172" not in written
    tidy(figure)
