"""How figures look, and how they are stored: one style, no global state, the same bytes every time.

The look is that of the field (ticks inwards on all sides, TeX Gyre Heros, the metric twin of
Helvetica that mplhep brings along, Petroff's colours, arXiv:2107.02270, told apart with any kind of
colour vision).  mplhep itself is not imported, since it imports pyplot, whose state is the whole
process's: figures are `matplotlib.figure.Figure` objects, drawn and stored inside `hep_style`, which
starts from matplotlib's defaults, so that a user's settings neither change a figure nor are changed.

Names of parameters, samples and channels come from users: `plain` keeps matplotlib from reading
mathematics into them, and `elide` shortens them in the middle, since both ends tell names apart.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.mathtext import MathTextParser
from matplotlib.ticker import NullLocator

from infer.numerics.rounding import MAX_DIGITS, MINUS, TIMES, Layout, leading_exponent, power_of_ten
from infer.statement import Uncertainty, result_layout

PAGE = 7.2
"""Width in inches of the page of a journal."""

PALETTE = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
BLUE, ORANGE, RED, GREY = PALETTE[:4]
INK, PALE, PALER = "#222222", "#c9d9ea", "#e6eef6"
FAINT = "#666666"

FORMATS = ("png", "pdf")
DPI = 150

_FONT = "TeX Gyre Heros"
_FONT_FILES = ("regular", "bold", "italic", "bolditalic")
_FAMILY = (_FONT, "DejaVu Sans")  # the second comes with matplotlib and has Greek letters and arrows
_LOOK: dict[str, Any] = {
    "font.family": list(_FAMILY),
    "font.size": 9.0,
    "mathtext.fontset": "stixsans",
    "text.hinting": "no_hinting",
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "axes.linewidth": 0.8,
    "axes.unicode_minus": True,
    "axes.axisbelow": True,
    "xaxis.labellocation": "right",
    "yaxis.labellocation": "top",
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.2,
    "hatch.linewidth": 0.5,
    "errorbar.capsize": 0.0,
    "pdf.fonttype": 42,
    "savefig.dpi": DPI,
    **{
        f"{axis}tick.{key}": value
        for axis in "xy"
        for key, value in {
            "direction": "in",
            "labelsize": 8.0,
            "major.size": 5.0,
            "minor.size": 2.5,
            "minor.visible": True,
        }.items()
    },
    "xtick.top": True,
    "ytick.right": True,
}
_PROCESS = ("backend", "interactive", "toolbar", "timezone", "webagg.", "tk.", "docstring.", "date.epoch")
"""Settings, by the beginning of their names, that belong to the process rather than to a figure."""

_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"Creator": "infer", "Producer": None, "CreationDate": None},
}


@contextmanager
def hep_style() -> Iterator[None]:
    """Matplotlib's settings inside this context: its defaults with the look of the field.

    It also decorates a function that draws.
    """
    _find_fonts()
    settings: dict[Any, Any] = {k: v for k, v in mpl.rcParamsDefault.items() if not k.startswith(_PROCESS)}
    with mpl.rc_context(settings | _LOOK):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that belongs to no window, its parts kept from overlapping; sizes in inches."""
    return Figure(figsize=(width, height), layout="constrained")


@hep_style()
def save_figure(figure: Figure, directory: Path, name: str, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Store a figure as ``directory/name.format`` in every format; equal figures make equal bytes."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)  # once, not again for each format
        figure.set_layout_engine("none")
    paths = [directory / f"{name}.{suffix}" for suffix in formats]
    for path, suffix in zip(paths, formats, strict=True):
        figure.savefig(path, format=suffix, dpi=DPI, metadata=_METADATA.get(suffix))
    return paths


def file_names(names: Iterable[str]) -> list[str]:
    """A name for a file from each of these, distinct also where capitals do not count."""
    taken: set[str] = set()
    result = []
    for name in names:
        stem = re.sub(r"[^A-Za-z0-9.+-]+", "_", name).strip("._") or "unnamed"
        candidate, n = stem, 1
        while candidate.lower() in taken:
            n += 1
            candidate = f"{stem}_{n}"
        taken.add(candidate.lower())
        result.append(candidate)
    return result


def plain(text: str) -> str:
    """Text in which dollars are dollars."""
    return text.replace("$", r"\$")


def elide(name: str, length: int = 36) -> str:
    """A name of at most ``length`` characters, its middle left out where it is longer."""
    if len(name) <= length:
        return name
    tail = (length - 1) // 2
    return f"{name[: length - 1 - tail]}…{name[-tail:]}"


def label(name: str, length: int = 36) -> str:
    """A name as matplotlib should print it."""
    return plain(elide(name, length))


def symbol(name: str, latex: str = "") -> str:
    """The symbol of a parameter: its LaTeX where matplotlib can read it, else its name."""
    inner = latex.strip("$ ")
    if not inner:
        return label(name)
    try:
        MathTextParser("path").parse(f"${inner}$")
    except ValueError:  # a macro of the user's own, say
        return label(name)
    return f"${inner}$"


def with_unit(text: str, unit: str, layout: Layout | None = None) -> str:
    """An axis label with the unit, and the power of ten of a layout, in brackets."""
    power = power_of_ten(layout.exponent) if layout and layout.exponent else ""
    inside = " ".join(filter(None, [power, plain(unit)]))
    return f"{text} [{inside}]" if inside else text


def headline(figure: Figure, text: str) -> None:
    """Write the headline of a figure of the width of a page: most often the one line."""
    figure.suptitle("\n".join(map(plain, textwrap.wrap(text, 84))), x=0.01, ha="left", fontsize=11)


def remark_above(axes: Axes, remarks: Sequence[str]) -> None:
    """Write remarks in red above axes of one column's width, a line or more for each."""
    lines = [line for remark in remarks for line in textwrap.wrap(remark, 76)]
    axes.set_title("\n".join(map(plain, lines)), fontsize=8, color=RED)


def remark_below(figure: Figure, remark: str) -> None:
    """Write a remark in red at the foot of a figure, where there is one."""
    if remark:
        lines = textwrap.wrap(remark, int(15 * figure.get_figwidth()))
        figure.supxlabel("\n".join(map(plain, lines)), x=0.01, ha="left", fontsize=8, color=RED)


def message_figure(title: str, text: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure = new_figure(PAGE, 1.6)
    axes = figure.add_subplot()
    axes.set_axis_off()
    headline(figure, title)
    axes.text(0.0, 0.6, plain(text), color=RED, transform=axes.transAxes, va="center")
    return figure


def beside(axes: Axes, y: float, text: str, offset: float, **style: Any) -> None:
    """Text at the height ``y`` of the data, ``offset`` points to the right of the axes."""
    axes.annotate(
        text,
        (1.0, y),
        (offset, 0.0),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        annotation_clip=False,
        **{"va": "center", "fontsize": 8, **style},
    )


def two_digits(layout: Layout, u: Uncertainty) -> Layout:
    """A layout in which the smaller side of an uncertainty keeps two digits at least."""
    sides = [side for side in (u.down, u.up) if side]
    if not sides:
        return layout
    decimals = 1 - leading_exponent(min(sides)) + layout.exponent
    return replace(layout, decimals=max(layout.decimals, min(decimals, MAX_DIGITS - 1)))


def with_error(value: float, error: float) -> str:
    """A number with its standard error, rounded by it."""
    if not (math.isfinite(error) and error > 0.0):
        return f"{value:.4g}".replace("-", MINUS)
    u = Uncertainty(error, error)
    layout = two_digits(result_layout(value, u), u)
    power = f" {TIMES} {power_of_ten(layout.exponent)}" if layout.exponent else ""
    return f"{layout.text(value).replace('-', MINUS)} ± {layout.text(error)}{power}"


def signed(x: float, decimals: int = 2) -> str:
    """A number with its sign; one that rounds to zero has none."""
    text = f"{x:+.{decimals}f}"
    return text[1:] if float(text) == 0.0 else text.replace("-", MINUS)


def no_ticks(axes: Axes, which: str) -> None:
    """Take the tick marks of an axis of names away, and keep its labels."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_minor_locator(NullLocator())
    axis.set_tick_params(which="both", length=0.0)


def _find_fonts() -> None:
    """Tell matplotlib, once, of the font that mplhep brings along; without it, DejaVu serves."""
    if any(entry.name == _FONT for entry in fontManager.ttflist):
        return
    try:
        folder = files("mplhep_data") / "fonts" / "texgyreheros"
    except ModuleNotFoundError:
        return
    for style in _FONT_FILES:
        with as_file(folder / f"texgyreheros-{style}.otf") as path:
            fontManager.addfont(path)
