"""Records to draw, made once, and what every figure is held to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from infer.api import measure, read_workspace
from infer.certificate import Certificate
from infer.inference.fits import fit
from infer.inference.profiles import Interval, Scan, interval, scan
from infer.inference.yields import Yields, yields
from infer.likelihoods.gaussian import GaussianMeasurements
from infer.likelihoods.gaussian.summary import MeasuredValue, measured_values
from infer.measurement import Measurement, ParameterEstimate
from infer.plots.style import hep_style
from infer.statement import Uncertainty

WORKSPACES = Path(__file__).parents[2] / "workspaces"


@dataclass(frozen=True)
class Search:
    """What the search workspace gives: everything there is to draw of a HistFactory model."""

    measurement: Measurement
    scan: Scan
    intervals: tuple[Interval, ...]
    yields: Yields


@dataclass(frozen=True)
class Masses:
    """What the Higgs boson mass gives: a combination of published measurements."""

    measurement: Measurement
    measured: tuple[MeasuredValue, ...]
    combinations: dict[str, Measurement]


@pytest.fixture(scope="session")
def search() -> Search:
    """Records of workspaces/search.json."""
    likelihood, data = read_workspace(WORKSPACES / "search.json")
    with jax.numpy_rank_promotion("allow"):  # of the models, not of the figures
        best = fit(likelihood, data)
        return Search(
            measurement=measure(likelihood, data),
            scan=scan(likelihood, data, fitted=best, values=np.linspace(0.0, 2.4, 9)),
            intervals=(interval(likelihood, data, fitted=best),),
            yields=yields(likelihood, data, fitted=best),
        )


@pytest.fixture(scope="session")
def masses() -> Masses:
    """Records of workspaces/higgs_mass.json, with one of its partial combinations."""
    likelihood, data = read_workspace(WORKSPACES / "higgs_mass.json")
    assert isinstance(likelihood, GaussianMeasurements)
    name = next(iter(likelihood.combinations))
    with jax.numpy_rank_promotion("allow"):  # of the models, not of the figures
        return Masses(
            measurement=measure(likelihood, data),
            measured=measured_values(likelihood, data),
            combinations={name: measure(*likelihood.subset(data, name))},
        )


@pytest.fixture(scope="session")
def made() -> Callable[..., Measurement]:
    """A maker of measurements: a mass with as many groups and nuisance parameters as asked for."""

    def make(*, n_groups: int = 3, n_nuisances: int = 5, converged: bool = True, **changes: Any) -> Measurement:
        rng = np.random.default_rng(1)
        sizes = [0.5 / (1 + i) for i in range(n_groups)]
        syst = float(np.hypot.reduce(sizes)) if sizes else 0.0
        pulls = [
            (f"ATLAS_JES_EffectiveNP_{i}", *rng.normal(0.0, 0.8, 1), rng.uniform(0.3, 1.0)) for i in range(n_nuisances)
        ]
        total = float(np.hypot(0.4, syst))
        fields: dict[str, Any] = {
            "poi": "m_t",
            "value": 172.5,
            "total": Uncertainty(total, total),
            "stat": Uncertainty(0.4, 0.4),
            "syst": Uncertainty(syst, syst),
            "groups": {f"group {i}": Uncertainty(size, 0.9 * size) for i, size in enumerate(sizes)},
            "definition": "observables",
            "interval": "profile",
            "cl": 0.6827,
            "one_sided": False,
            "unit": "GeV",
            "latex": "m_t",
            "twice_nll": 0.0,
            "certificate": Certificate(converged, "no progress", 1e-9, 1e-7, True),
            "parameters": {name: ParameterEstimate(p, s, float(p), float(s)) for name, p, s in pulls},
        }
        return Measurement(**{**fields, **changes})

    return make


@pytest.fixture(scope="session")
def tidy() -> Callable[[Figure], None]:
    """A check that nothing is cut off at the border, and that no two labels of an axis overlap."""

    def check(figure: Figure) -> None:
        with hep_style():
            FigureCanvasAgg(figure).draw()
        frames = [text for text in (figure._suptitle, figure._supxlabel) if text is not None and text.get_text()]
        around = [artist.get_window_extent() for artist in (*frames, *figure.legends)]
        assert not any(first.overlaps(second) for first, second in combinations(around, 2))
        axes_of = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
        hidden = {t for axis in axes_of for t in _labels(axis) if not (axis.axes.axison and _in_view(axis, t))}
        border = figure.bbox.padded(1.0)
        texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text() and t not in hidden]
        assert [t.get_text() for t in texts if not _inside(border, t.get_window_extent())] == []
        for axis in axes_of:
            boxes = [t.get_window_extent() for t in _labels(axis) if t not in hidden]
            assert not any(first.overlaps(second) for first, second in pairwise(boxes))

    return check


def _labels(axis: Axis) -> list[Text]:
    """Tick labels, those beyond the end of the axis included, which are not drawn."""
    return [t for t in axis.get_ticklabels(which="both") if t.get_text() and t.get_visible()]


def _in_view(axis: Axis, label: Text) -> bool:
    place = label.get_position()[0 if axis.axis_name == "x" else 1]
    low, high = sorted(axis.get_view_interval())
    return bool(low <= place <= high)


def _inside(border: Bbox, box: Bbox) -> bool:
    return bool(border.x0 <= box.x0 and border.y0 <= box.y0 and box.x1 <= border.x1 and box.y1 <= border.y1)
