"""Images per second with other batches and thread counts: a line with error bars per file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from markupsafe import Markup

from optkit.report import svg, wording
from optkit.report.reference import formats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.report.svg import Scale
    from optkit.schema import Report, ScalingPoint, Variant

    Axis = Literal["batch", "threads"]

_LEFT, _TOP, _BOTTOM = 70, 18, 46
_LEAST_HEIGHT, _LABEL_PX = 340, 15.0

# Width of a letter of a label, and room between the last point and its label.
_LETTER_PX, _GAP_PX = 6.6, 26


class _Box(NamedTuple):
    """Kind of a picture as in ``svg.picture``, its width, and the most letters of a label."""

    kind: str
    width: int
    longest_label: int


_BOXES = (_Box("roomy", 580, 36), _Box("slim", 340, 17))


@dataclass(frozen=True)
class ScalingRow:
    """A line of the table of all points."""

    file: str
    threads: int
    batch: int
    time: str
    rate: str
    interval: str
    throughput: str
    verdict: str
    tone: str


@dataclass(frozen=True)
class _Series:
    """Points of one file that differ in the axis alone, ``kind`` is the number of its colour, ``shape`` of its mark."""

    name: str
    points: tuple[ScalingPoint, ...]
    kind: int
    shape: int


def panels(report: Report) -> list[tuple[str, Markup]]:
    """Charts with headings: per format against the batch, then against threads, where more than one was measured."""
    charts = []
    for file_format in formats(report.variants):
        scaled = [v for v in report.variants if v.format == file_format and v.scaling]
        axes: tuple[tuple[Axis, str], ...] = (("batch", "batch"), ("threads", "threads"))
        for axis, words in axes:
            series = _series(scaled, axis)
            if series:
                heading = f"{file_format}: images per second against {words}"
                charts.append((heading, Markup("").join(_panel(series, axis, heading, box) for box in _BOXES)))
    return charts


def table(variants: Sequence[Variant]) -> list[ScalingRow]:
    """Every point of every file, by threads, then batch."""
    return [
        _row(variant, point)
        for variant in variants
        for point in sorted(variant.scaling, key=lambda point: (point.threads, point.batch))
    ]


def _row(variant: Variant, point: ScalingPoint) -> ScalingRow:
    value = point.throughput
    verdict = "first point" if value is None else wording.throughput_verdict(value.verdict)
    tone = (
        "" if value is None else {"better": "good", "worse": "bad", "no measurable difference": "same"}[value.verdict]
    )
    return ScalingRow(
        file=wording.file_name(variant.name, variant.format),
        threads=point.threads,
        batch=point.batch,
        time=wording.microseconds(point.p50_us),
        rate=wording.three_digits(point.images_per_second),
        interval=wording.per_second_interval(point.ci95),
        throughput="" if value is None else wording.speedup(value),
        verdict=verdict,
        tone=tone,
    )


def _series(scaled: Sequence[Variant], axis: Axis) -> list[_Series]:
    """One series for each file and setting of the other axis; none where the axis has a single value."""
    other: Axis = "threads" if axis == "batch" else "batch"
    others = sorted({getattr(point, other) for variant in scaled for point in variant.scaling})
    found = []
    for kind, variant in enumerate(scaled):
        for shape, setting in enumerate(others):
            points = [point for point in variant.scaling if getattr(point, other) == setting and _drawable(point)]
            if len(points) > 1:
                words = f"{setting} thread{'' if setting == 1 else 's'}" if other == "threads" else f"batch {setting}"
                name = f"{variant.name}, {words}" if len(others) > 1 else variant.name
                ordered = tuple(sorted(points, key=lambda point: int(getattr(point, axis))))
                found.append(_Series(name, ordered, kind % 6, shape % 3))
    return found


def _drawable(point: ScalingPoint) -> bool:
    """Whether a point has a place on a logarithmic scale."""
    return min(point.batch, point.threads) > 0 and min(point.images_per_second, *point.ci95) > 0


def _panel(series: Sequence[_Series], axis: Axis, heading: str, box: _Box) -> Markup:
    height = max(_LEAST_HEIGHT, int(_TOP + _BOTTOM + _LABEL_PX * (len(series) + 1)))
    right = box.width - _GAP_PX - _LETTER_PX * min(box.longest_label, max(len(one.name) for one in series))
    places = sorted({int(getattr(point, axis)) for one in series for point in one.points})
    x = svg.logarithmic(places[0], places[-1], _LEFT + 12, right)
    low = min(min(point.ci95[0], point.images_per_second) for one in series for point in one.points)
    high = max(max(point.ci95[1], point.images_per_second) for one in series for point in one.points)
    y = svg.logarithmic(low / 1.08, high * 1.08, height - _BOTTOM, _TOP)
    parts = _axes(x, y, (low / 1.08, high * 1.08), places, (right, height))
    parts.append(svg.text((_LEFT + right) / 2, height - 6, axis, class_="hint"))
    scales = "both scales logarithmic" if box.kind == "roomy" else "logarithmic"
    parts.append(svg.text(box.width, height - 6, scales, class_="hint", anchor="end"))
    for one in series:
        parts += _line(one, axis, x, y)
    parts += _labels(series, axis, (x, y), box.longest_label)
    label = f"{heading}: {len(series)} lines, every point with its interval is in the table below"
    return svg.picture(box.width, height, label, *parts, kind=box.kind)


def _axes(
    x: Scale, y: Scale, rates: tuple[float, float], places: Sequence[int], corner: tuple[float, int]
) -> list[Markup]:
    right, height = corner
    bottom = height - _BOTTOM
    parts = []
    for value in svg.logarithmic_ticks(*rates, at_most=6):
        parts.append(svg.line(_LEFT, y(value), right, y(value), class_="grid"))
        parts.append(svg.text(_LEFT - 8, y(value) + 4, f"{value:,.10g}", anchor="end"))
    for place in places:
        parts.append(svg.line(x(place), bottom, x(place), bottom + 5, class_="axis"))
        parts.append(svg.text(x(place), bottom + 19, str(place)))
    parts.append(svg.line(_LEFT, bottom, right, bottom, class_="axis"))
    return parts


def _line(one: _Series, axis: Axis, x: Scale, y: Scale) -> list[Markup]:
    places = [(x(getattr(point, axis)), point) for point in one.points]
    colour = f"line-{one.kind}"
    dash = f"dash-{one.shape}"
    parts = [svg.path([(at, y(point.images_per_second)) for at, point in places], class_=f"rate {colour} {dash}")]
    for at, point in places:
        low, high = y(point.ci95[0]), y(point.ci95[1])
        # Caps: where the interval is shorter than the mark, nothing else would show it.
        bar = f"M{at - 4:.1f} {low:.1f}h8M{at:.1f} {low:.1f}V{high:.1f}M{at - 4:.1f} {high:.1f}h8"
        title = svg.element(
            "title",
            f"{one.name}, {axis} {getattr(point, axis)}: {wording.three_digits(point.images_per_second)} "
            f"{wording.per_second_interval(point.ci95)} images per second",
        )
        mark = _mark(at, y(point.images_per_second), one.shape, f"rate-mark {colour}")
        parts.append(svg.element("g", title, svg.element("path", d=bar, class_=f"error {colour}"), mark))
    return parts


def _mark(x: float, y: float, shape: int, class_: str) -> Markup:
    """A circle, a square or a diamond, so that settings differ by more than colour."""
    if shape == 0:
        return svg.element("circle", cx=x, cy=y, r=3.8, class_=class_)
    if shape == 1:
        return svg.element("rect", x=x - 3.5, y=y - 3.5, width=7.0, height=7.0, class_=class_)
    return svg.element("path", d=f"M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z", class_=class_)


def _labels(series: Sequence[_Series], axis: Axis, scales: tuple[Scale, Scale], longest: int) -> list[Markup]:
    """Each line's name at its end, moved apart as little as possible, with a thin line to where it belongs."""
    x, y = scales
    ends = sorted(((y(one.points[-1].images_per_second), one) for one in series), key=lambda item: item[0])
    wanted = [height for height, _ in ends]
    left = max(x(getattr(one.points[-1], axis)) for one in series)
    parts = []
    for spot, (height, one) in zip(svg.apart(wanted, _LABEL_PX), ends, strict=True):
        at = x(getattr(one.points[-1], axis))
        parts.append(svg.path([(at + 7, height), (left + 16, spot)], class_="leader"))
        # A longer name stands whole in the marks' titles and in the table.
        name = one.name if len(one.name) <= longest else f"{one.name[: longest - 1]}…"
        parts.append(svg.text(left + 20, spot + 4, name, class_="label", anchor="start"))
    return parts
