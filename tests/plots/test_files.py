"""The files: all figures of a measurement, the same bytes every time, and no trace left behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from infer.measurement import Measurement
from infer.plots import budget_figure, save_measurement_figures
from infer.plots.style import elide, file_names, hep_style, save_figure, symbol
from tests.plots.stages import drawn

Make = Callable[..., Measurement]

PROGRAM = """
import sys
import infer.plots, infer.plots.style as style
from pathlib import Path
with style.hep_style():
    figure = style.new_figure(3.0, 2.0)
    figure.add_subplot().set_title("γγ → ttbar", fontweight="bold")
print(*[path.read_bytes().hex() for path in style.save_figure(figure, Path(sys.argv[1]), "a")])
print("matplotlib.pyplot" in sys.modules)
"""


@pytest.mark.slow
def test_all_figures_of_a_search(search: Any, tmp_path: Path) -> None:
    """Budget, pulls, profile and a figure per channel, each in both formats, in a new folder."""
    s = search
    paths = save_measurement_figures(
        tmp_path / "new" / "folder",
        measurement=s.measurement,
        scan=s.scan,
        intervals=s.intervals,
        yields=s.yields,
    )
    stems = ["budget", "pulls", "profile", "yields_CR_ttbar", "yields_CR_zjets", "yields_SR"]
    assert [path.name for path in paths] == [f"{stem}.{suffix}" for stem in stems for suffix in ("png", "pdf")]
    assert all(path.read_bytes()[:4] == (b"\x89PNG" if path.suffix == ".png" else b"%PDF") for path in paths)


def test_all_figures_of_a_combination(masses: Any, tmp_path: Path) -> None:
    """The measurements come first."""
    m: Measurement = masses.measurement
    measured = masses.measured
    paths = save_measurement_figures(tmp_path, measurement=m, measured=measured, formats=("pdf",))
    assert [path.name for path in paths] == ["measurements.pdf", "budget.pdf", "pulls.pdf"]


def test_many_nuisances_get_a_second_figure(made: Make, tmp_path: Path) -> None:
    """Above sixty; without any, there is no figure of pulls."""
    names = [
        [path.stem for path in save_measurement_figures(tmp_path, measurement=made(n_nuisances=n), formats=("png",))]
        for n in (0, 60, 61)
    ]
    assert names == [["budget"], ["budget", "pulls"], ["budget", "pulls", "pulls_all"]]


def test_no_channels(made: Make, tmp_path: Path) -> None:
    """A record without channels, of a likelihood of another kind, adds no figure."""
    paths = save_measurement_figures(tmp_path, measurement=made(), yields=drawn((), ()), formats=("png",))
    assert [path.stem for path in paths] == ["budget", "pulls"]


def test_failed_fits_are_marked(made: Make, search: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The yields of a fit without certificate say so in red, and those that are not finite are left out."""
    figures: list[Figure] = []
    monkeypatch.setattr("infer.plots.save_figure", lambda figure, *_: figures.append(figure) or [])
    wild = [replace(c, total=np.full_like(c.total, np.nan)) for c in search.yields.postfit.channels]
    after = replace(search.yields.postfit, channels=(wild[0], *search.yields.postfit.channels[1:]))
    yields = replace(search.yields, postfit=after)
    save_measurement_figures(tmp_path, measurement=made(n_nuisances=0, converged=False), yields=yields)
    budget, *channels = figures
    assert len(channels) == 2
    assert all(figure.get_supxlabel() == "not converged: no progress" for figure in channels)
    assert "not trustworthy" in " ".join(t.get_text() for t in budget.findobj(Text))


def test_equal_records_make_equal_bytes(made: Make, tmp_path: Path) -> None:
    """Whatever the user's settings are, which stay as they were."""
    first = save_measurement_figures(tmp_path / "a", measurement=made())
    with mpl.rc_context({"font.size": 30.0, "text.usetex": True, "axes.facecolor": "red", "figure.dpi": 40}):
        settings = dict(mpl.rcParams)
        second = save_measurement_figures(tmp_path / "b", measurement=made())
        assert dict(mpl.rcParams) == settings
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_process(tmp_path: Path) -> None:
    """Two processes with other seeds of Python's hashes store the same bytes, and none imports pyplot."""
    outputs = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path)],
            env={"PYTHONHASHSEED": seed, "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert outputs[0].split()[-1] == "False"


def test_figures_belong_to_nobody(made: Make) -> None:
    """The style ends with the context, also after an exception, and drawing leaves no settings behind."""
    before = dict(mpl.rcParams)
    figure = budget_figure(made())
    assert isinstance(figure, Figure)
    with pytest.raises(ZeroDivisionError), hep_style():
        raise ZeroDivisionError
    assert dict(mpl.rcParams) == before


def test_saving_twice_gives_the_same(made: Make, tmp_path: Path) -> None:
    """The layout is settled once, whatever is stored first."""
    figure = budget_figure(made())
    (first,) = save_figure(figure, tmp_path, "first", ("png",))
    _, second = save_figure(figure, tmp_path, "second", ("pdf", "png"))
    assert first.read_bytes() == second.read_bytes()


def test_file_names_are_safe_and_distinct() -> None:
    """Slashes, spaces and dots at the ends go; names that differ in capitals only get numbers."""
    names = file_names(["SR/2l 0τ", "../x", "sr", "SR", "sR", "", "τ", "a.b-c+d"])
    assert names == ["SR_2l_0", "x", "sr", "SR_2", "sR_3", "unnamed", "unnamed_2", "a.b-c+d"]


def test_symbols() -> None:
    """LaTeX where matplotlib can read it, else the name; dollars of names are no mathematics."""
    assert symbol("m_H", "m_H") == "$m_H$"
    assert symbol("m_H", r"$\mu_{t\bar{t}}$") == r"$\mu_{t\bar{t}}$"
    assert symbol("m_H", r"\ttbar") == "m_H"
    assert symbol("a$b$") == r"a\$b\$"
    assert elide("short") == "short"
    assert elide("abcdefghij", 5) == "ab…ij"
