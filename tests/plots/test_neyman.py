"""Neyman's construction: p-values with their bars, the interval, and the toys behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy.special import ndtr

from infer.api import read_workspace
from infer.certificate import Certificate
from infer.inference.experiments import PValue
from infer.inference.neyman import NeymanInterval, neyman
from infer.plots import neyman_figure, save_neyman_figures
from infer.plots.neyman import asymptotic_curve, p_value_curve

Tidy = Callable[[Figure], None]
WORKSPACES = Path(__file__).parents[2] / "workspaces"
VALUES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5)


@pytest.fixture(scope="module")
def construct(search: Any) -> Callable[..., NeymanInterval]:
    """A maker of constructions for a normal estimate of 1 ± 0.5, with the p-values that they should have."""

    def make(statistic: str = "t_mu", *, n: int = 1000, n_failed: int = 0, **changes: Any) -> NeymanInterval:
        points = []
        for x in VALUES:
            z = (x - 1.0) / 0.5
            tested = statistic == "t_mu" or z > 0.0
            p = 2.0 * ndtr(-abs(z)) if statistic == "t_mu" else ndtr(-z) if tested else 1.0
            points.append(PValue(x, statistic, z**2 if tested else 0.0, n, n_failed, round(p * (n - n_failed))))
        fields: dict[str, Any] = {
            "poi": "mu",
            "value": 1.0,
            "low": 0.5,
            "high": 1.5,
            "low_error": 0.02,
            "high_error": 0.03,
            "cl": 0.6827,
            "statistic": statistic,
            "points": tuple(points),
            "fit": search.scan.fit,
            "seconds": 1.0,
        }
        return NeymanInterval(**{**fields, **changes})

    return make


Construct = Callable[..., NeymanInterval]


def words(figure: Figure) -> str:
    """All that is written on a figure, in one line."""
    return " ".join(t.get_text() for t in figure.findobj(Text)).replace("\n", " ")


def legend(figure: Figure) -> list[str]:
    """Entries of the legend."""
    return [t.get_text() for t in figure.legends[0].get_texts()]


def test_points_are_the_p_values(construct: Construct, tidy: Tidy) -> None:
    """With Clopper-Pearson bars, the line of 1 - CL, and the interval with what toys leave open."""
    record = construct()
    figure = neyman_figure(record)
    axes = figure.axes[0]
    (container,) = axes.containers
    assert container.lines[0].get_xdata() == pytest.approx(VALUES)
    assert container.lines[0].get_ydata() == pytest.approx([point.p for point in record.points])
    ends = [segment[:, 1] for segment in container.lines[2][0].get_segments()]
    assert np.asarray(ends) == pytest.approx(np.asarray([point.clopper_pearson() for point in record.points]))
    levels = [float(line.get_ydata()[0]) for line in axes.lines if line.get_linestyle() == "--"]
    assert levels == pytest.approx([1.0 - 0.6827])
    assert "68.27 % CL: [0.500 ± 0.020, 1.500 ± 0.030]" in legend(figure)
    spans = sorted((float(p.get_x()), float(p.get_x() + p.get_width())) for p in axes.patches)  # type: ignore[attr-defined]  # rectangles
    assert spans == [pytest.approx((0.48, 0.52)), pytest.approx((0.5, 1.5)), pytest.approx((1.47, 1.53))]
    tidy(figure)


def test_toys_stand_below(construct: Construct) -> None:
    """A bar for each hypothesis, and one in red for the toys that failed."""
    record = construct(n_failed=30)
    all_toys, failed = neyman_figure(record).axes[1].collections
    assert [segment[1, 1] for segment in all_toys.get_segments()] == [1000] * len(VALUES)
    assert [segment[1, 1] for segment in failed.get_segments()] == [30] * len(VALUES)
    assert "240 of 8000 toys failed" in words(neyman_figure(record))


@pytest.mark.parametrize("statistic", ["t_mu", "q_mu"])
def test_curves_of_a_normal_estimate(construct: Construct, statistic: str) -> None:
    """Both the curve through the toys and the asymptotic one are the exact p-value of a normal estimate."""
    record = construct(statistic, n=10**7)
    curve = asymptotic_curve(record)
    assert curve is not None
    for (x, p), tolerance in ((curve, 1e-12), (p_value_curve(record), 1e-5)):
        z = (x - 1.0) / 0.5
        wanted = 2.0 * ndtr(-np.abs(z)) if statistic == "t_mu" else ndtr(-z)
        assert p == pytest.approx(wanted, abs=tolerance)
        assert x[-1] == VALUES[-1]
        assert statistic == "t_mu" or x[0] >= 1.0


def test_no_asymptotic_curve_where_it_needs_more(construct: Construct, tidy: Tidy) -> None:
    """The distribution of q_mu_tilde depends on the uncertainty too."""
    record = construct("q_mu_tilde")
    assert asymptotic_curve(record) is None
    figure = neyman_figure(record)
    assert "asymptotic" not in legend(figure)
    tidy(figure)


def test_small_levels_are_logarithmic(construct: Construct, tidy: Tidy) -> None:
    """So that 5 % can be read off; a hypothesis without any toy above is an arrow at its upper bound."""
    record = construct("q_mu", n=200, cl=0.95, low=0.0, low_error=0.0, high=1.82)
    assert record.points[-1].n_above == 0
    figure = neyman_figure(record)
    axes = figure.axes[0]
    assert axes.get_yscale() == "log"
    (arrows,) = (line for line in axes.lines if line.get_marker() == "v")
    assert arrows.get_xdata() == pytest.approx([2.5])
    assert arrows.get_ydata() == pytest.approx([record.points[-1].clopper_pearson()[1]])
    assert axes.get_ylim()[0] < 0.05
    assert "95 % CL: [0, 1.820 ± 0.030]" in legend(figure)
    tidy(figure)
    assert neyman_figure(construct()).axes[0].get_yscale() == "linear"


def test_open_ends_and_bad_fits_are_said(construct: Construct, tidy: Tidy) -> None:
    """An end that was not bracketed, and a fit without a certificate."""
    record = construct(high_error=float("inf"))
    bad = replace(record.fit, certificate=Certificate(False, "no progress", 1.0, 1.0, True))
    figure = neyman_figure(replace(record, fit=bad))
    assert "the upper end is not bracketed" in words(figure)
    assert "not converged: no progress" in words(figure)
    assert "lower end" not in words(figure)
    tidy(figure)


def test_odd_constructions_are_drawn(construct: Construct, tidy: Tidy) -> None:
    """One hypothesis; toys that all failed; a statistic that vanishes everywhere."""
    record = construct()
    one = replace(record, points=record.points[4:5])
    lost = replace(record, points=tuple(replace(p, n_failed=p.n, n_above=0) for p in record.points))
    q = construct("q_mu")
    zero = replace(q, points=q.points[:4])
    for each in (one, lost, zero, replace(lost, cl=0.95)):
        tidy(neyman_figure(each))


def test_files(construct: Construct, tmp_path: Path) -> None:
    """One figure in both formats, equal bytes for equal records."""
    first = save_neyman_figures(tmp_path / "a" / "b", construct())
    assert [path.name for path in first] == ["neyman.png", "neyman.pdf"]
    second = save_neyman_figures(tmp_path / "c", construct())
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.slow
def test_real_construction(tidy: Tidy) -> None:
    """Of a combination of published measurements, whose asymptotic p-values are exact: the curves agree."""
    likelihood, data = read_workspace(WORKSPACES / "higgs_mass.json")
    with jax.numpy_rank_promotion("allow"):  # of the models, not of the figures
        record = neyman(likelihood, data, key=jax.random.key(1), n_toys=400, rounds=1)
    tidy(neyman_figure(record))
    exact = asymptotic_curve(record)
    assert exact is not None
    at = [point.value for point in record.points]
    # 400 toys: five standard deviations of a share are 0.125 at most.
    assert np.interp(at, *p_value_curve(record)) == pytest.approx(np.interp(at, *exact), abs=0.125)
