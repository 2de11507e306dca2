"""Small charts as SVG text: axes, marks and labels, in the colours of the page around them.

A chart names classes and never a colour, except those of samples, so that one drawing serves a light page, a dark page
and paper.  Names come from users and are escaped here, in one place.  Coordinates are pixels of the chart's own box.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from infer.numerics.rounding import MINUS

_DECADES = 4  # from so many powers of ten on, a logarithmic axis labels some of them only


@dataclass(frozen=True)
class Scale:
    """A map from numbers to pixels.

    Attributes:
        low: Number at ``start``.
        high: Number at ``end``.
        start: First pixel.
        end: Last pixel; less than ``start`` for an axis that points upwards.
        log: Whether the axis is logarithmic.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, x: float) -> float:
        """Pixel of a number; what lies beyond the axis is put at its end."""
        if self.log:
            at = math.log(max(x, self.low) / self.low) / math.log(self.high / self.low)
        else:
            at = (x - self.low) / (self.high - self.low)
        return self.start + min(max(at, -0.02), 1.02) * (self.end - self.start)

    def ticks(self, n: int = 5) -> list[tuple[float, str]]:
        """About ``n`` round numbers on the axis, with their texts."""
        return self._decades(n) if self.log else self._steps(n)

    def _steps(self, n: int) -> list[tuple[float, str]]:
        step = round_step((self.high - self.low) / n)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        decimals = next(d for d in range(400) if d + math.log10(step) >= 0.0 and _whole(step * 10.0**d))
        return [(i * step, tick_text(i * step, decimals)) for i in range(first, last + 1)]

    def _decades(self, n: int) -> list[tuple[float, str]]:
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        every = max(1, math.ceil((last - first + 1) / max(n, _DECADES)))
        return [(10.0**i, tick_text(10.0**i, max(0, -i))) for i in range(first, last + 1, every)]


def round_step(size: float) -> float:
    """The smallest of 1, 2, 2.5, 5 and 10 times a power of ten that is not below ``size``."""
    power = 10.0 ** math.floor(math.log10(size))
    return next(power * m for m in (1.0, 2.0, 2.5, 5.0, 10.0) if power * m >= size * (1.0 - 1e-9))


def _whole(x: float) -> bool:
    return abs(x - round(x)) < 1e-6


def tick_text(x: float, decimals: int) -> str:
    """A number beside a tick."""
    if x != 0.0 and (abs(x) >= 1e5 or decimals > 4):
        mantissa, _, exponent = f"{x:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0').replace('-', MINUS)}e{int(exponent)}".replace("-", MINUS)
    text = f"{x:.{decimals}f}"
    return "0" if float(text) == 0.0 else text.replace("-", MINUS)


def px(x: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{x:.1f}".removesuffix(".0")


def box(width: float, height: float, alt: str, parts: Iterable[str], *, css: str = "") -> Markup:
    """A chart with its alternative text.

    Args:
        width: In pixels.
        height: In pixels.
        alt: What the chart shows, in words; plain text.
        parts: Marks, out of the functions of this module.
        css: Further classes.
    """
    return Markup('<svg class="chart {}" role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}">{}</svg>').format(
        css, alt, px(width), px(height), px(width), Markup("".join(parts))
    )


def bare(width: float, height: float, parts: Iterable[str], *, css: str = "") -> Markup:
    """A mark inside a table, whose numbers stand beside it in words: hidden from screen readers."""
    return Markup('<svg class="{}" aria-hidden="true" viewBox="0 0 {} {}" width="{}" height="{}">{}</svg>').format(
        css, px(width), px(height), px(width), px(height), Markup("".join(parts))
    )


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    """A straight line."""
    return f'<line x1="{px(x1)}" y1="{px(y1)}" x2="{px(x2)}" y2="{px(y2)}" class="{css}"/>'


def rect(x: float, y: float, width: float, height: float, css: str, *, fill: str = "", title: str = "") -> str:
    """A rectangle, of a class or a colour; sizes below zero are none."""
    colour = f' style="fill:{fill}"' if fill else ""
    inside = f"<title>{escape(title)}</title>" if title else ""
    shape = f'<rect x="{px(x)}" y="{px(y)}" width="{px(max(width, 0.0))}" height="{px(max(height, 0.0))}"'
    return f'{shape} class="{css}"{colour}>{inside}</rect>' if inside else f'{shape} class="{css}"{colour}/>'


def circle(x: float, y: float, radius: float, css: str) -> str:
    """A point."""
    return f'<circle cx="{px(x)}" cy="{px(y)}" r="{px(radius)}" class="{css}"/>'


def diamond(x: float, y: float, radius: float, css: str) -> str:
    """A point on its corner."""
    return polygon([(x - radius, y), (x, y - radius), (x + radius, y), (x, y + radius)], css)


def polygon(points: Sequence[tuple[float, float]], css: str, *, fill: str = "") -> str:
    """A closed shape."""
    colour = f' style="fill:{fill}"' if fill else ""
    return f'<polygon points="{" ".join(f"{px(x)},{px(y)}" for x, y in points)}" class="{css}"{colour}/>'


def path(points: Sequence[tuple[float, float]], css: str) -> str:
    """An open line through points."""
    return f'<polyline points="{" ".join(f"{px(x)},{px(y)}" for x, y in points)}" class="{css}"/>'


def words(x: float, y: float, text: str, css: str = "tick", *, anchor: str = "middle", turn: float = 0.0) -> str:
    """A text whose baseline is at ``y``, turned by so many degrees."""
    turned = f' transform="rotate({px(turn)} {px(x)} {px(y)})"' if turn else ""
    return f'<text x="{px(x)}" y="{px(y)}" class="{css}" text-anchor="{anchor}"{turned}>{escape(text)}</text>'


def elided(name: str, length: int) -> str:
    """A name of at most ``length`` characters, its middle left out where it is longer."""
    if len(name) <= length:
        return name
    tail = (length - 1) // 2
    return f"{name[: length - 1 - tail]}…{name[-tail:]}"


def bottom_axis(scale: Scale, y: float, title: str, *, n: int = 6) -> str:
    """A horizontal axis with ticks, numbers and its title at the right."""
    parts = [line(scale.start, y, scale.end, y, "axis")]
    for at, text in scale.ticks(n):
        parts += [line(scale(at), y, scale(at), y + 4.0, "axis"), words(scale(at), y + 16.0, text)]
    parts.append(words(scale.end, y + 32.0, title, "label", anchor="end"))
    return "".join(parts)


def left_axis(scale: Scale, x: float, title: str, *, n: int = 5) -> str:
    """A vertical axis with ticks, numbers and its title along it."""
    parts = [line(x, scale.start, x, scale.end, "axis")]
    for at, text in scale.ticks(n):
        parts += [
            line(x - 4.0, scale(at), x, scale(at), "axis"),
            words(x - 7.0, scale(at) + 3.5, text, anchor="end"),
        ]
    parts.append(words(x - 40.0, scale.end, title, "label", anchor="end", turn=-90.0))
    return "".join(parts)
