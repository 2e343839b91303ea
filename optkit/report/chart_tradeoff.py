"""Accuracy (or mean error) against size and against time: one panel per format, error bars, and the Pareto front."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from optkit.report import quality, svg, wording
from optkit.report.recommend import passed_all
from optkit.report.reference import baseline_of, formats
from optkit.statistics import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optkit.report.svg import Scale
    from optkit.schema import Report, Variant


class _Box(NamedTuple):
    """Size of a panel and room around the plane, in pixels; ``kind`` as in ``svg.picture``."""

    kind: str
    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    # Beside the cheapest and the dearest file, where marks that are moved apart may go.
    margin: int
    ticks: int

    @property
    def end(self) -> int:
        """Right edge of the plane."""
        return self.width - self.right

    @property
    def floor(self) -> int:
        """Lower edge of the plane."""
        return self.height - self.bottom


_BOXES = (
    _Box("roomy", 580, 370, left=58, right=18, top=18, bottom=46, margin=0, ticks=5),
    _Box("slim", 340, 310, left=50, right=8, top=14, bottom=46, margin=14, ticks=3),
)

# Room beside the cheapest and dearest file, as a ratio: marks that are moved apart stay inside.
_ROOM = 1.3

# Marks nearer than this lie on each other: they are moved apart sideways, which the caption says.
_MARK_PX = 9.0


# Left, top, right, bottom, in pixels.
_Place = tuple[float, float, float, float]


@dataclass(frozen=True)
class _Mark:
    """A file in the plane: its accuracy as a fraction, or its error, with the interval; ``cost`` in bytes or µs."""

    variant: Variant
    quality: float
    low: float
    high: float
    cost: float


def panels(report: Report) -> list[tuple[str, Markup]]:
    """Charts with headings, for each format first size, then time; formats without figures are left out."""
    charts = []
    values = quality.of_values(report.variants)
    found = [one for variant in report.variants if (one := _quality(variant)) is not None]
    if not found:
        return []
    low, high = min(one[1] for one in found), max(one[2] for one in found)
    words = "mean absolute error" if values else "accuracy"
    for file_format in formats(report.variants):
        for metric, figure, show, tick in _METRICS:
            # Both formats share the scale, so that panels can be compared by eye.
            everything = [cost for variant in report.variants if (cost := figure(variant)) is not None]
            marks = _marks(report, file_format, figure)
            if marks:
                heading = f"{file_format}: {words} against {metric}"
                frames = [
                    _Frame(min(everything), max(everything), low, high, show, tick, values, box) for box in _BOXES
                ]
                drawn = [_panel(report, marks, frame, heading) for frame in frames]
                charts.append((heading, Markup("").join(drawn)))
    return charts


def _quality(variant: Variant) -> tuple[float, float, float] | None:
    """Validation accuracy (or error), on which choices are made, with its interval; else that of the test set."""
    errors = variant.errors_validation or variant.errors
    if errors is not None:
        return (errors.mae, *(errors.mae_ci95 or (errors.mae, errors.mae)))
    value = variant.accuracy_validation
    if value is not None and value.total:
        return (value.correct / value.total, *wilson_interval(value.correct, value.total))
    return None if variant.accuracy is None else (variant.accuracy.top1, *variant.accuracy.ci95)


# A figure of 0 has no place on a logarithmic axis.
def _bytes(variant: Variant) -> float | None:
    return None if variant.size is None else variant.size.file_bytes or None


def _time(variant: Variant) -> float | None:
    return None if variant.latency is None else variant.latency.p50_us or None


# Name of the horizontal axis, its figure, and how it is written beside a mark and on the axis.
_METRICS = (
    ("file size", _bytes, wording.kilobytes, wording.axis_bytes),
    ("time per call", _time, wording.microseconds, wording.axis_time),
)


def _marks(report: Report, file_format: str, figure: Callable[[Variant], float | None]) -> list[_Mark]:
    marks = []
    for variant in report.variants:
        found, cost = _quality(variant), figure(variant)
        if variant.format == file_format and variant.status == "ok" and found is not None and cost is not None:
            marks.append(_Mark(variant, *found, cost))
    return marks


@dataclass(frozen=True)
class _Frame:
    """The range of both axes, how a cost is written, and whether less is better (errors): then up is less."""

    lowest: float
    highest: float
    low: float
    high: float
    show: Callable[[float], str]
    tick: Callable[[float], str]
    less_is_better: bool
    box: _Box

    def x(self) -> Scale:
        margin = self.box.margin
        left, right = self.box.left + margin, self.box.end - margin
        return svg.logarithmic(self.lowest / _ROOM, self.highest * _ROOM, left, right)

    def y(self) -> Scale:
        room = 0.04 * (self.high - self.low) or (0.01 * abs(self.high) if self.less_is_better else 0.001) or 0.001
        bottom, top = self.low - room, self.high + room
        bottom, top = (top, bottom) if self.less_is_better else (bottom, top)
        return svg.linear(bottom, top, self.box.floor, self.box.top)

    def written(self, figure: float) -> str:
        return wording.value(figure) if self.less_is_better else wording.percent(figure)

    def interval(self, mark: _Mark) -> str:
        if self.less_is_better:
            return f"[{wording.value(mark.low)}, {wording.value(mark.high)}]"
        return wording.percent_interval((mark.low, mark.high))

    def level(self, figure: float, decimals: int) -> str:
        return f"{figure:g}" if self.less_is_better else wording.percent(figure, decimals=decimals)


def _panel(report: Report, marks: Sequence[_Mark], frame: _Frame, heading: str) -> Markup:
    x, y = frame.x(), frame.y()
    places = _apart([(x(mark.cost), mark) for mark in marks])
    front = _front(marks, less_is_better=frame.less_is_better)
    label = f"{heading}; {len(marks)} files, each named with its figures in the table of all files"
    children = [*_axes(frame, x, y)]
    # A staircase: between two files of the front there is nothing to be had, beyond the last nothing better.
    corners = [(place, y(mark.quality)) for place, mark in places if mark in front]
    steps = [(corners[0][0], float(frame.box.floor))] if corners else []
    for (place, height), (following, _) in pairwise([*corners, (float(frame.box.end), 0.0)]):
        steps += [(place, height), (following, height)]
    if steps:
        children.append(svg.path(steps, class_="front"))
    children += [svg.line(place, y(mark.low), place, y(mark.high), class_="interval") for place, mark in places]
    children += [_symbol(report, mark, place, y(mark.quality), frame) for place, mark in places]
    children += _labels(report, places, front, y, frame.box)
    return svg.picture(frame.box.width, frame.box.height, label, *children, kind=frame.box.kind)


def _axes(frame: _Frame, x: Scale, y: Scale) -> list[Markup]:
    box, bottom = frame.box, frame.box.floor
    parts = []
    levels = svg.ticks(frame.low, frame.high, about=5)
    decimals = 2 if any(round(1000 * value, 6) % 1 for value in levels) else 1
    for value in levels:
        parts.append(svg.line(box.left, y(value), box.end, y(value), class_="grid"))
        parts.append(svg.text(box.left - 8, y(value) + 4, frame.level(value, decimals), anchor="end"))
    costs = (frame.lowest / _ROOM, frame.highest * _ROOM)
    for value in svg.logarithmic_ticks(*costs, at_most=box.ticks):
        parts.append(svg.line(x(value), bottom, x(value), bottom + 5, class_="axis"))
        parts.append(svg.text(x(value), bottom + 19, frame.tick(value)))
    parts.append(svg.line(box.left, bottom, box.end, bottom, class_="axis"))
    parts.append(svg.text(box.left, box.height - 6, "← better", class_="hint", anchor="start"))
    parts.append(svg.text(box.end, box.height - 6, "logarithmic", class_="hint", anchor="end"))
    return parts


def _apart(places: Sequence[tuple[float, _Mark]]) -> list[tuple[float, _Mark]]:
    """Move marks sideways, in order and as little as possible, until none lies on another."""
    ordered = sorted(places, key=lambda item: (item[0], -item[1].quality))
    moved = svg.apart([place for place, _ in ordered], _MARK_PX)
    return [(place, mark) for place, (_, mark) in zip(moved, ordered, strict=True)]


def _front(marks: Sequence[_Mark], *, less_is_better: bool) -> list[_Mark]:
    """Files that no other of the panel beats in both figures that it shows, from the cheapest on."""
    front: list[_Mark] = []
    sign = -1 if less_is_better else 1
    for mark in sorted(marks, key=lambda m: (m.cost, -sign * m.quality)):
        if passed_all(mark.variant) and (not front or sign * mark.quality > sign * front[-1].quality):
            front.append(mark)
    return front


def _symbol(report: Report, mark: _Mark, x: float, y: float, frame: _Frame) -> Markup:
    variant = mark.variant
    name = wording.file_name(variant.name, variant.format)
    title = svg.element(
        "title",
        f"{name}: {frame.written(mark.quality)} {frame.interval(mark)}, {frame.show(mark.cost)}",
    )
    on_front = any((p.variant, p.format) == (variant.name, variant.format) for p in report.pareto)
    kind = "mark on-front" if on_front else "mark"
    if _is_chosen(report, variant):
        ring = svg.element("circle", cx=x, cy=y, r=9.5, class_="ring")
        return svg.element("g", title, ring, svg.element("circle", cx=x, cy=y, r=5.0, class_="mark chosen"))
    if variant is baseline_of(report.variants, variant.format):
        return svg.element("g", title, svg.element("rect", x=x - 4.5, y=y - 4.5, width=9.0, height=9.0, class_=kind))
    return svg.element("g", title, svg.element("circle", cx=x, cy=y, r=4.5, class_=kind))


def _is_chosen(report: Report, variant: Variant) -> bool:
    choice = report.recommendation
    return choice is not None and (choice.variant, choice.format) == (variant.name, variant.format)


def _labels(
    report: Report, places: Sequence[tuple[float, _Mark]], front: Sequence[_Mark], y: Scale, box: _Box
) -> list[Markup]:
    """Names of the recommended file, the reference and the front, where there is room for them."""
    wanted = [
        (place, mark)
        for place, mark in places
        if _is_chosen(report, mark.variant)
        or mark in front
        or mark.variant is baseline_of(report.variants, mark.variant.format)
    ]
    wanted.sort(key=lambda item: not _is_chosen(report, item[1].variant))
    taken: list[_Place] = [(place - 6, y(mark.quality) - 6, place + 6, y(mark.quality) + 6) for place, mark in places]
    labels = []
    for place, mark in wanted:
        spot = _room_for(6.9 * len(mark.variant.name) + 4, place, y(mark.quality), taken, box)
        if spot is not None:
            taken.append(spot)
            kind = "label chosen-label" if _is_chosen(report, mark.variant) else "label"
            labels.append(svg.text(spot[0], spot[3] - 3, mark.variant.name, class_=kind, anchor="start"))
    return labels


def _room_for(width: float, x: float, y: float, taken: Sequence[_Place], box: _Box) -> _Place | None:
    """The nearest free place for a label beside, above or below a mark."""
    spots = [(x + 13, y + 4), (x - 13 - width, y + 4)]
    spots += [(x - width / 2, y + down) for down in (-14, 22, -30, 38, -46, 54, -62, 70)]
    for wanted, baseline in spots:
        # Above and below, a label may slide sideways to stay inside the panel.
        slides = wanted == x - width / 2
        left = min(max(wanted, box.left + 3.0), box.width - 4 - width) if slides else wanted
        place = (left, baseline - 11, left + width, baseline + 3)
        inside = left > box.left and left + width < box.width and place[1] >= 0 and place[3] <= box.floor
        if inside and not any(_overlap(place, other) for other in taken):
            return place
    return None


def _overlap(one: _Place, other: _Place) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
