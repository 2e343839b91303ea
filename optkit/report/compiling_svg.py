"""The memory plan of generated C as a picture: stages from left to right, the arena from top to bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from optkit.report import svg

if TYPE_CHECKING:
    from optkit.report.compiling import Compiling, Place

_WIDTH, _MAP_HEIGHT = 880, 360
_LEFT, _RIGHT, _TOP, _LINE = 74, 20, 76, 20
# Below this height in pixels a number is not read.
_READABLE = 10.0
# Signs of an operator's name that a column of so many pixels holds.
_SIGN_WIDTH = 7.2
_STYLE = """
svg { font: 12px system-ui, sans-serif; --ink: #1d232b; --soft: #5d6773; --grid: #d9dee4; --paper: #ffffff;
  --whole: #3d6fb4; --window: #2f8f83; --scratch: #b7791f; }
@media (prefers-color-scheme: dark) { svg { --ink: #e6eaef; --soft: #9aa5b1; --grid: #3a424c; --paper: #171b20;
  --whole: #5b8fd6; --window: #45ab9d; --scratch: #d39b45; } }
.paper { fill: var(--paper); stroke: var(--grid); }
.title { fill: var(--ink); font-size: 15px; font-weight: 600; }
.ink { fill: var(--ink); } .soft { fill: var(--soft); font-size: 11px; }
.grid { stroke: var(--grid); }
.whole { fill: var(--whole); } .window { fill: var(--window); } .scratch { fill: var(--scratch); }
.block { stroke: var(--paper); stroke-width: 1.5; }
.number { fill: #ffffff; font-size: 11px; font-weight: 600; }
"""
_KINDS = {"whole": "a whole tensor", "window": "a window of rows", "scratch": "an operator's scratch"}


def kind(place: Place) -> str:
    """What a stretch of the arena holds, as the picture tells it."""
    if place.what.startswith("scratch"):
        return "scratch"
    return "window" if place.rows else "whole"


def drawing(found: Compiling) -> str:
    """``memory.svg``."""
    places = sorted(found.places, key=lambda one: (one.first_stage, one.offset))
    arena, stages = max(found.bytes.arena_bytes, 1), max(len(found.stages), 1)
    y = svg.linear(0, arena, _TOP, _TOP + _MAP_HEIGHT)
    x = svg.linear(0, stages, _LEFT, _WIDTH - _RIGHT)
    bottom = _TOP + _MAP_HEIGHT
    height = bottom + 52 + _LINE * len(places)
    title = f"Memory plan: {found.bytes.arena_bytes:,} bytes of arena"
    parts = [svg.text(_LEFT, 28, title, class_="title", anchor="start")]
    for value in svg.ticks(0, arena, about=5):
        parts += [
            svg.line(_LEFT, y(value), _WIDTH - _RIGHT, y(value), class_="grid"),
            svg.text(_LEFT - 8, y(value) + 4, f"{value:,.0f}", class_="soft", anchor="end"),
        ]
    parts.append(svg.text(_LEFT - 8, _TOP - 10, "byte", class_="soft", anchor="end"))
    for number, operators in enumerate(found.stages):
        parts += _column(x(number), x(number + 1), number, operators)
    parts.append(svg.line(x(stages), _TOP, x(stages), bottom, class_="grid"))
    for number, place in enumerate(places, 1):
        parts += _block(number, place, (x(place.first_stage), x(place.last_stage + 1)), y)
    parts += _legend(places, bottom + 26)
    paper = svg.element("rect", x=0.5, y=0.5, width=_WIDTH - 1.0, height=height - 1.0, rx=10.0, class_="paper")
    return svg.element(
        "svg",
        svg.element("title", title),
        svg.element("style", Markup(_STYLE)),  # noqa: S704  # a constant
        paper,
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_WIDTH} {height}",
        width=_WIDTH,
        height=height,
        role="img",
    )


def _column(start: float, end: float, number: int, operators: str) -> list[Markup]:
    """A stage's head: its number, and its operators as far as there is room."""
    room = int((end - start - 6) / _SIGN_WIDTH)
    words = operators if len(operators) <= room else operators[: max(0, room - 1)] + "…"
    parts = [svg.line(start, _TOP - 22, start, _TOP + _MAP_HEIGHT, class_="grid")]
    # Of narrow columns each fifth is numbered.
    if end - start > 18 or number % 5 == 0:
        parts.append(svg.text((start + end) / 2, _TOP - 10, str(number), class_="soft"))
    if room > 6:
        parts.append(svg.text((start + end) / 2, _TOP - 26, words, class_="ink"))
    return parts


def _block(number: int, place: Place, span: tuple[float, float], y: svg.Scale) -> list[Markup]:
    top, bottom = y(place.offset), y(place.offset + place.size_bytes)
    shape = svg.element(
        "rect",
        svg.element("title", f"{number}: {told(place)}"),
        x=span[0],
        y=top,
        width=span[1] - span[0],
        height=max(1.0, bottom - top),
        class_=f"block {kind(place)}",
    )
    parts = [shape]
    if bottom - top >= _READABLE:
        middle = (span[0] + span[1]) / 2
        words = f"{number}: {place.size_bytes:,}" if span[1] - span[0] > 60 else str(number)
        parts.append(svg.text(middle, (top + bottom) / 2 + 4, words, class_="number"))
    return parts


def told(place: Place) -> str:
    """A stretch of the arena in words."""
    last = f"–{place.last_stage}" if place.last_stage != place.first_stage else ""
    rows = f", {place.rows} rows of it" if place.rows else ""
    end = place.offset + place.size_bytes
    return (
        f"{place.what}{rows}: {place.size_bytes:,} bytes, {place.offset:,} to {end:,}, stage {place.first_stage}{last}"
    )


def _legend(places: list[Place], top: float) -> list[Markup]:
    parts = []
    for number, (name, words) in enumerate(_KINDS.items()):
        left = _LEFT + 200 * number
        parts += [
            svg.element("rect", x=float(left), y=top - 10, width=12.0, height=12.0, rx=2.0, class_=name),
            svg.text(left + 18, top, words, class_="soft", anchor="start"),
        ]
    for number, place in enumerate(places, 1):
        y = top + 8 + _LINE * number
        parts += [
            svg.element("rect", x=float(_LEFT), y=y - 10, width=12.0, height=12.0, rx=2.0, class_=kind(place)),
            svg.text(_LEFT + 18, y, f"{number}", class_="ink", anchor="start"),
            svg.text(_LEFT + 44, y, told(place), class_="ink", anchor="start"),
        ]
    return parts
