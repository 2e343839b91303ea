"""SVG by hand: elements, scales and ticks; colours come from the page's classes, for dark mode and print."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Scale = Callable[[float], float]


def element(name: str, *children: str, **attributes: str | float) -> Markup:
    """``<name …>children</name>``; children that are not markup are escaped, so are attributes.

    Args:
        name: The element's name.
        children: Markup or text.
        attributes: ``class_`` and ``stroke_width`` become ``class`` and ``stroke-width``; numbers get one
            decimal, since a tenth of a pixel is not seen.
    """
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"' for key, value in attributes.items())
    # Every part was escaped above or is markup already.
    return Markup(f"<{name}{written}>{''.join(escape(child) for child in children)}</{name}>")  # noqa: S704


def _value(value: str | float) -> str:
    return str(escape(value)) if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")


def picture(width: int, height: int, title: str, *children: str, kind: str = "") -> Markup:
    """A whole chart: an image to a screen reader, with ``title`` as its text.

    A chart that is drawn twice has the ``kind`` ``roomy`` for wide pages and ``slim`` for narrow ones.
    """
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=title,
        class_=f"chart {kind}".rstrip(),
        width=width,
        height=height,
    )


def text(x: float, y: float, words: str, *, class_: str = "tick", anchor: str = "middle") -> Markup:
    """Text at a point; ``anchor`` is ``start``, ``middle`` or ``end``."""
    return element("text", words, x=float(x), y=float(y), text_anchor=anchor, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, *, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_)


def path(points: Sequence[tuple[float, float]], *, class_: str) -> Markup:
    """A line through points."""
    return element("path", d="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points), class_=class_)


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """Maps ``low`` to ``high`` onto ``start`` to ``end``."""
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    """As ``linear``, where equal ratios have equal lengths; ``low`` must be over 0."""
    inner = linear(math.log(low), math.log(high), start, end)
    return lambda value: inner(math.log(value))


def apart(places: Sequence[float], distance: float) -> list[float]:
    """Places in rising order, moved as little as possible until none is nearer than ``distance`` to the next.

    With the wanted distance taken off in order, that is isotonic regression, done by pooling neighbours that
    are out of order (Barlow et al., Statistical Inference under Order Restrictions, 1972).
    """
    pools: list[tuple[float, int]] = []
    for index, place in enumerate(places):
        mean, size = place - distance * index, 1
        while pools and pools[-1][0] > mean:
            before, count = pools.pop()
            mean, size = (before * count + mean * size) / (count + size), count + size
        pools.append((mean, size))
    shifts = [mean for mean, size in pools for _ in range(size)]
    return [shift + distance * index for index, shift in enumerate(shifts)]


def ticks(low: float, high: float, *, about: int = 4) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) from ``low`` to ``high``."""
    if high <= low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((power * factor for factor in (1, 2, 5, 10)), key=lambda value: abs(math.log(value / rough)))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def logarithmic_ticks(low: float, high: float, *, at_most: int = 5) -> list[float]:
    """1, 2 and 5 times powers of ten within the range, thinned until few; in a short range round values."""
    if high / low < 8:
        return ticks(low, high, about=at_most // 2 + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [factor * 10.0**power for power in powers for factor in factors]
        inside = [value for value in found if low <= value <= high]
        if len(inside) <= at_most:
            break
    return inside or [low]
