"""The ranking and the correlations: what is drawn, in which order, and legibly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from infer.api import read_workspace
from infer.constraints import Normal
from infer.data import Data
from infer.inference.impacts import Impact, Impacts, Shift, impacts
from infer.parameters import Parameter, Parameters
from infer.plots.impacts import (
    correlated_parameters,
    correlation_matrix_figure,
    ranking_figure,
    save_impact_figures,
)
from infer.plots.style import BLUE, ORANGE
from tests.inference.problems import Parabola

Tidy = Callable[[Figure], None]
LONG = "ATLAS_JES_EffectiveNP_Modelling_of_something_very_long_indeed_{}"


def correlated() -> Impacts:
    """Four parameters with known correlations: 0.5 between the first two, 0.1 between the last two."""
    covariance = np.eye(4)
    covariance[0, 1] = covariance[1, 0] = 0.5
    covariance[2, 3] = covariance[3, 2] = 0.1
    main = np.linalg.inv(covariance) - np.diag([0.0, 0.0, 0.0, 0.25])
    parameters = [Parameter(name, 0.0) for name in ("mu", "a", "b")]
    parameters.append(Parameter("c", 0.0, constraint=Normal(2.0)))
    likelihood = Parabola(main, Parameters(parameters, poi="mu"))
    return impacts(likelihood, Data(jnp.zeros(4), jnp.zeros(1)))


@pytest.fixture(scope="module")
def made() -> Impacts:
    """A ranking."""
    return correlated()


def rows(figure: Figure) -> list[str]:
    """Names from top to bottom."""
    return [t.get_text() for t in figure.axes[0].get_yticklabels()]


def bars(figure: Figure) -> list[tuple[float, float, str]]:
    """Row, length and colour of every bar in the order in which they are drawn."""
    patches = figure.axes[1].patches
    return [(round(p.get_y() + 0.36, 6), p.get_width(), to_hex(p.get_edgecolor())) for p in patches]


def shifted(name: str, down: float | None, up: float | None, **changes: object) -> Impact:
    """An impact made by hand."""
    fields = {"pull": 0.5, "constraint": 0.9, **changes}
    return Impact(name, None, 0.0, 1.0, **fields, correlation=0.0, down=Shift(-1.0, down), up=Shift(1.0, up))  # type: ignore[arg-type]  # fields by keyword


def test_bars_points_and_order(made: Impacts, tidy: Tidy) -> None:
    """Bars are the impacts, orange down and blue up, the shorter over the longer; points are the pulls."""
    some = (shifted("first", -0.2, 0.3), shifted("second", 0.1, 0.2, pull=-1.5), shifted("free", 0.1, -0.1, pull=None))
    figure = ranking_figure(replace(made, impacts=some))
    assert rows(figure) == ["first", "second", "free"]
    assert set(bars(figure)) == {
        (0.0, -0.2, ORANGE),
        (0.0, 0.3, BLUE),
        (1.0, 0.1, ORANGE),
        (1.0, 0.2, BLUE),
        (2.0, 0.1, ORANGE),
        (2.0, -0.1, BLUE),
    }
    assert bars(figure).index((1.0, 0.2, BLUE)) < bars(figure).index((1.0, 0.1, ORANGE))
    (points,) = figure.axes[0].containers
    assert [tuple(xy) for xy in points.lines[0].get_xydata()] == [(0.5, 0.0), (-1.5, 1.0)]
    tidy(figure)


def test_top_failures_and_long_names(made: Impacts, tidy: Tidy) -> None:
    """What is beyond the top is counted, a failed refit is marked, long names are shortened in the middle."""
    many = tuple(shifted(LONG.format(i), -0.1, None if i == 1 else 0.1) for i in range(40))
    figure = ranking_figure(replace(made, impacts=many), top=12)
    assert len(rows(figure)) == 12
    assert all("…" in name for name in rows(figure))
    texts = [t.get_text() for t in figure.findobj(Text)]
    assert texts.count("failed") == 1
    (title,) = [" ".join(text.split()) for text in texts if "largest" in text]
    assert title == "The 12 largest of 40 impacts on mu: parameters held at ±1 sigma; 1 of 80 refits failed"
    tidy(figure)


def test_nothing_to_draw(made: Impacts) -> None:
    """Without a certificate or without impacts a figure says so."""
    failed = replace(made, certificate=replace(made.certificate, converged=False, message="no progress"))
    for record, words in ((failed, "not trustworthy"), (replace(made, impacts=()), "no nuisance parameter")):
        assert any(words in t.get_text() for t in ranking_figure(record).findobj(Text))


def test_correlated_parameters(made: Impacts, tidy: Tidy) -> None:
    """Those with a correlation above the threshold, in the order of the fit; the matrix is theirs."""
    assert correlated_parameters(made.fit) == ["mu", "a"]
    assert correlated_parameters(made.fit, threshold=0.05) == ["mu", "a", "b", "c"]
    assert correlated_parameters(made.fit, threshold=0.05, most=2) == ["mu", "a"]
    figure = correlation_matrix_figure(made.fit)
    assert np.asarray(figure.axes[0].images[0].get_array()) == pytest.approx(np.asarray([[1.0, 0.5], [0.5, 1.0]]))
    assert "50" in {t.get_text() for t in figure.axes[0].texts}
    tidy(figure)
    assert any("above 0.9" in t.get_text() for t in correlation_matrix_figure(made.fit, threshold=0.9).findobj(Text))


@pytest.mark.slow
def test_figures_of_a_workspace(tmp_path: Path, tidy: Tidy) -> None:
    """Both figures of a HistFactory model are legible, and stored in every format."""
    found = impacts(*read_workspace(Path(__file__).parents[2] / "workspaces" / "search.json"))
    tidy(ranking_figure(found))
    tidy(correlation_matrix_figure(found.fit))
    files = save_impact_figures(tmp_path / "out", found, formats=("png",))
    assert [file.name for file in files] == ["impacts.png", "correlations.png"]
    assert all(file.stat().st_size > 10_000 for file in files)
