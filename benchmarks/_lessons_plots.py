"""The plots of the lessons' experiments: SVG files that stand alone, with their own colours for light and dark."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, NamedTuple

from benchmarks._drawing import drawing
from optkit import store
from optkit.report import svg

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from markupsafe import Markup

    from benchmarks._lessons_outcome import Curve, Outcome, Setting

WIDTH, MARGIN = 760, 28
LABEL_END, VALUE_START = 196, 628
ROW, AXIS, SAME = 30, 46, 5
CURVE_HEIGHT = 230
CHARACTERS = 104
MARKS = {"held": "✓", "did not hold": "✗", "cannot be told": "?"}

STYLE = """
svg { font: 13px/1.4 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial,
  sans-serif; font-variant-numeric: tabular-nums;
  --paper: #ffffff; --edge: #e2e2dc; --ink: #1b1f24; --muted: #596069; --line: #e6e6e0; --band: #f6f6f2;
  --held: #166b3f; --not: #ac2117; --unsure: #7a5200; --accent: #1a56b4;
  --line-0: #1a56b4; --line-1: #b4690e; --line-2: #3c7d68; --line-3: #8d4fa8; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #191d21; --edge: #2b3137; --ink: #e6e9ec; --muted: #9aa4ae; --line: #2b3137; --band: #1f242a;
    --held: #74d19b; --not: #ff9a8f; --unsure: #f0c674; --accent: #8ab6ff;
    --line-0: #8ab6ff; --line-1: #e9ae62; --line-2: #7cc4ac; --line-3: #c99be0; } }
text { fill: var(--ink); }
.paper { fill: var(--paper); stroke: var(--edge); }
.title { font-size: 17px; font-weight: 650; letter-spacing: -0.01em; }
.held, .not, .unsure { font-weight: 650; }
.held { fill: var(--held); } .not { fill: var(--not); } .unsure { fill: var(--unsure); }
.muted, .tick { fill: var(--muted); } .tick { font-size: 12px; }
.band { fill: var(--band); }
.grid { stroke: var(--line); stroke-width: 1; }
.spread { stroke: var(--accent); stroke-width: 7; stroke-opacity: 0.28; stroke-linecap: round; }
.mean { stroke: var(--accent); stroke-width: 2.5; stroke-linecap: round; }
.seed { fill: var(--paper); stroke: var(--accent); stroke-width: 1.6; }
.course { fill: none; stroke-width: 2; stroke-linejoin: round; }
.range { stroke: none; fill-opacity: 0.16; }
.course.c0 { stroke: var(--line-0); } .range.c0 { fill: var(--line-0); } .name.c0 { fill: var(--line-0); }
.course.c1 { stroke: var(--line-1); } .range.c1 { fill: var(--line-1); } .name.c1 { fill: var(--line-1); }
.course.c2 { stroke: var(--line-2); } .range.c2 { fill: var(--line-2); } .name.c2 { fill: var(--line-2); }
.course.c3 { stroke: var(--line-3); } .range.c3 { fill: var(--line-3); } .name.c3 { fill: var(--line-3); }
.name { font-weight: 600; }
"""
CLASSES = {"held": "held", "did not hold": "not", "cannot be told": "unsure"}


class _Drawn(NamedTuple):
    """Elements and where they end."""

    parts: list[Markup]
    bottom: float


def write(outcomes: Sequence[Outcome], folder: Path) -> None:
    """One file an experiment, named after it; files of experiments that are no more are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in set(folder.glob("*.svg")) - {folder / f"{one.name}.svg" for one in outcomes}:
        stale.unlink()
    for one in outcomes:
        store.write_bytes(folder / f"{one.name}.svg", (draw(one) + "\n").encode())


def draw(outcome: Outcome) -> str:
    """The plot of one experiment: every seed of every setting, and the course over the epochs where it has one."""
    head = _head(outcome)
    strips = _strips(outcome, head.bottom + 16)
    parts, bottom = [*head.parts, *strips.parts], strips.bottom
    if outcome.curves:
        curves = _curves(outcome, bottom + 14)
        parts, bottom = [*parts, *curves.parts], curves.bottom
    height = int(bottom + 18)
    label = f"{outcome.title}: {outcome.claim}: {outcome.verdict}. " + "; ".join(
        f"{one.name} {number(one.mean)} ± {number(one.deviation)} {outcome.unit}".strip() for one in outcome.settings
    )
    return drawing(WIDTH, height, label, STYLE, parts)


def number(value: float) -> str:
    """A mean or deviation with as many decimals as the seeds are worth."""
    return f"{value:.2f}".replace("-", "−")


def _head(outcome: Outcome) -> _Drawn:
    verdict = f"{MARKS[outcome.verdict]} {outcome.verdict}"
    parts = [
        svg.text(MARGIN, 36, outcome.title, class_="title", anchor="start"),
        svg.text(WIDTH - MARGIN, 36, verdict, class_=CLASSES[outcome.verdict], anchor="end"),
    ]
    y = 60.0
    for line in textwrap.wrap(f"Claim: {outcome.claim}", CHARACTERS):
        parts.append(svg.text(MARGIN, y, line, class_="claim", anchor="start"))
        y += 19
    for line in textwrap.wrap(outcome.setup, CHARACTERS):
        parts.append(svg.text(MARGIN, y, line, class_="muted", anchor="start"))
        y += 19
    return _Drawn(parts, y - 19)


def _strips(outcome: Outcome, top: float) -> _Drawn:
    """One row a setting: a dot for each seed, the mean, and a standard deviation to either side."""
    every = [value for one in outcome.settings for value in one.values]
    edges = [one.mean + sign * one.deviation for one in outcome.settings for sign in (-1, 1)]
    low, high = min(*every, *edges), max(*every, *edges)
    # Seeds that all but agree are not blown up to look apart.
    room = max(0.06 * (high - low), 0.3)
    low, high = low - room, high + room
    x = svg.linear(low, high, LABEL_END + 12, VALUE_START - 12)
    bottom = top + ROW * len(outcome.settings)
    parts = []
    for index in range(0, len(outcome.settings), 2):
        band = {
            "x": float(MARGIN - 8),
            "y": top + ROW * index,
            "width": WIDTH - 2.0 * MARGIN + 16,
            "height": float(ROW),
        }
        parts.append(svg.element("rect", **band, rx=4.0, class_="band"))
    for value in svg.ticks(low, high, about=6):
        parts.append(svg.line(x(value), top, x(value), bottom + 4, class_="grid"))
        parts.append(svg.text(x(value), bottom + 20, f"{value:g}".replace("-", "−")))
    axis = f"{outcome.what}{', ' if outcome.unit else ''}{outcome.unit}"
    parts.append(svg.text((LABEL_END + VALUE_START) / 2, bottom + 38, axis, class_="muted"))
    for index, one in enumerate(outcome.settings):
        parts += _row(one, x, top + ROW * index + ROW / 2, outcome.unit)
    return _Drawn(parts, bottom + AXIS)


def _row(one: Setting, x: svg.Scale, y: float, unit: str) -> list[Markup]:
    shown = f"{number(one.mean)} ± {number(one.deviation)}"
    parts = [
        svg.text(LABEL_END, y + 4.5, one.name, class_="row", anchor="end"),
        svg.line(x(one.mean - one.deviation), y, x(one.mean + one.deviation), y, class_="spread"),
        svg.line(x(one.mean), y - 9, x(one.mean), y + 9, class_="mean"),
    ]
    for seed, value in enumerate(one.values):
        title = svg.element("title", f"{one.name}, seed {seed}: {value:g} {unit}".strip())
        # Seeds with the same value lie below and above each other.
        same = one.values[:seed].count(value)
        moved = min(SAME * ((same + 1) // 2), ROW / 2 - 4) * (-1) ** same
        parts.append(svg.element("circle", title, cx=x(value), cy=y + moved, r=3.6, class_="seed"))
    parts.append(svg.text(WIDTH - MARGIN, y + 4.5, shown, class_="value", anchor="end"))
    return parts


def _curves(outcome: Outcome, top: float) -> _Drawn:
    """The mean over the seeds after each epoch, with their range."""
    left, right = MARGIN + 44, VALUE_START - 12
    start, bottom = top + 30, top + CURVE_HEIGHT - 44
    every = [value for curve in outcome.curves for seed in curve.values for value in seed]
    low, high = min(every), max(every)
    epochs = max(len(curve.values[0]) for curve in outcome.curves)
    room = 0.05 * (high - low) or 0.01
    x, y = svg.linear(1, max(2, epochs), left, right), svg.linear(low - room, high + room, bottom, start)
    what = outcome.curve.removeprefix("validation ")
    unit = ", %" if what == "accuracy" else ""
    whose = "" if outcome.curves[0].label == "training" else "validation "
    heading = f"{whose}{what}{unit}: mean and range of the seeds".capitalize()
    parts = [svg.text(MARGIN, top + 12, heading, class_="muted", anchor="start")]
    for value in svg.ticks(low, high):
        parts.append(svg.line(left, y(value), right, y(value), class_="grid"))
        parts.append(svg.text(left - 9, y(value) + 4, f"{value:g}", anchor="end"))
    marks = sorted({1.0, *(tick for tick in svg.ticks(1, epochs, about=6) if tick == int(tick)), float(epochs)})
    parts += [svg.text(x(tick), bottom + 20, f"{tick:g}") for tick in _spaced(marks, epochs)]
    parts.append(svg.text((left + right) / 2, bottom + 38, "epoch", class_="muted"))
    for index, curve in enumerate(outcome.curves):
        parts += _course(curve, index, x, y)
    ends = sorted((y(_mean(curve)[-1]), index) for index, curve in enumerate(outcome.curves))
    for place, (_, index) in zip(svg.apart([end for end, _ in ends], 17), ends, strict=True):
        label = outcome.curves[index].label
        parts.append(svg.text(right + 10, place + 4.5, label, class_=f"name c{index}", anchor="start"))
    return _Drawn(parts, bottom + AXIS)


def _spaced(marks: Sequence[float], epochs: int) -> list[float]:
    """Without those that would touch the first or the last."""
    near = epochs * 0.08
    return [mark for mark in marks if mark in {1, epochs} or (mark - 1 > near and epochs - mark > near)]


def _course(curve: Curve, index: int, x: svg.Scale, y: svg.Scale) -> list[Markup]:
    columns = list(zip(*curve.values, strict=True))
    upper = [(x(epoch), y(max(values))) for epoch, values in enumerate(columns, 1)]
    lower = [(x(epoch), y(min(values))) for epoch, values in enumerate(columns, 1)]
    middle = [(x(epoch), y(value)) for epoch, value in enumerate(_mean(curve), 1)]
    return [
        svg.path([*upper, *reversed(lower)], class_=f"range c{index}"),
        svg.path(middle, class_=f"course c{index}"),
    ]


def _mean(curve: Curve) -> list[float]:
    return [sum(values) / len(values) for values in zip(*curve.values, strict=True)]
