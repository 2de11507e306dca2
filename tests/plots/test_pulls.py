"""Pulls and constraints: which parameters are drawn, in which order, and legibly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from infer.measurement import Measurement, ParameterEstimate
from infer.plots.pulls import pulls_figure, pulls_of

Make = Callable[..., Measurement]


def points(figure: Figure) -> list[tuple[float, float]]:
    """Positions of all points (pull, row), the columns from left to right."""
    drawn = []
    for axes in figure.axes:
        for container in axes.containers:
            drawn += list(zip(*container.lines[0].get_data(), strict=True))
    return drawn


def labels(figure: Figure) -> list[str]:
    """Names of the rows, the columns from left to right."""
    return [t.get_text() for axes in figure.axes for t in axes.get_yticklabels()]


def test_only_constrained_parameters(made: Make) -> None:
    """Free parameters have no pull; the largest come first, and names count their numbers."""
    parameters = {
        "mu": ParameterEstimate(1.0, 0.1),
        "g[10]": ParameterEstimate(1.0, 0.1, 0.5, 0.9),
        "g[2]": ParameterEstimate(1.0, 0.1, -1.5, 0.9),
        "fixed": ParameterEstimate(1.0, None, 0.0, None),
    }
    measurement = made(parameters=parameters)
    assert [p.name for p in pulls_of(measurement)] == ["g[2]", "g[10]", "fixed"]
    assert [p.name for p in pulls_of(measurement, order="name")] == ["fixed", "g[2]", "g[10]"]


def test_points_are_the_pulls(made: Make, tidy: Callable[[Figure], None]) -> None:
    """Every row has its point at the pull with a bar of the constraint, and its numbers beside it."""
    parameters = {
        "a": ParameterEstimate(0.0, 0.5, 1.5, 0.5),
        "b": ParameterEstimate(0.0, 1.0, -0.25, 1.0),
        "strong": ParameterEstimate(0.0, 1.0, 2.5, 0.8),
        "far": ParameterEstimate(0.0, 1.0, -12.0, 0.8),
        "fixed": ParameterEstimate(0.0, None, -0.001, None),
    }
    figure = pulls_figure(made(parameters=parameters))
    assert labels(figure) == ["far", "strong", "a", "b", "fixed"]
    assert sorted(points(figure), key=lambda point: point[1]) == [
        (pytest.approx(-4.85), 0.0),
        (2.5, 1.0),
        (1.5, 2.0),
        (-0.25, 3.0),
        (-0.001, 4.0),
    ]
    written = {t.get_text() for t in figure.findobj(Text)}
    assert {"−12.00 ± 0.80", "+2.50 ± 0.80", "+1.50 ± 0.50", "−0.25 ± 1.00", "0.00"} <= written
    assert figure.axes[0].get_xlim() == (-5.0, 5.0)
    segments = [s for c in figure.axes[0].containers for bar in c.lines[2] for s in bar.get_segments()]
    assert sorted(float(np.ptp(s[:, 0])) for s in segments) == pytest.approx([1.0, 1.6, 2.0])
    tidy(figure)


def test_largest_of_many(made: Make) -> None:
    """Of 250 parameters, 60 are drawn in two columns, and the heading bounds the others."""
    measurement = made(n_nuisances=250)
    figure = pulls_figure(measurement)
    assert len(figure.axes) == 2
    assert labels(figure) == [p.name for p in pulls_of(measurement)[:60]]
    rest = abs(pulls_of(measurement)[60].pull)
    assert figure.get_suptitle() == (
        f"The 60 largest pulls of 250 constrained parameters; the others: |pull| ≤ {rest:.2f}"
    )


def test_all_of_many_are_legible(made: Make, tidy: Callable[[Figure], None]) -> None:
    """250 parameters are drawn, in columns of 45 rows at most, no label over another."""
    measurement = made(n_nuisances=250)
    figure = pulls_figure(measurement, top=None, order="name")
    assert labels(figure) == [f"ATLAS_JES_EffectiveNP_{i}" for i in range(250)]
    assert len(points(figure)) == 250
    assert max(len(axes.get_yticklabels()) for axes in figure.axes) <= 45
    tidy(figure)


def test_real_measurement(search: Any, tidy: Callable[[Figure], None]) -> None:
    """The pulls of a fit, all of them."""
    measurement: Measurement = search.measurement
    figure = pulls_figure(measurement)
    pulled = [name for name, p in measurement.parameters.items() if p.pull is not None]
    assert sorted(labels(figure)) == sorted(pulled)
    tidy(figure)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"converged": False}, "not trustworthy"), ({"n_nuisances": 0}, "no parameter has a constraint")],
)
def test_nothing_to_draw(made: Make, tidy: Callable[[Figure], None], changes: dict[str, object], words: str) -> None:
    """Without certificate, or without constrained parameters, the figure says so."""
    figure = pulls_figure(made(**changes))
    assert any(words in t.get_text() for t in figure.findobj(Text))
    tidy(figure)
