"""The learning curve of one training, large: loss above the learning rate, accuracy above its gap."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from optkit.report import svg, wording

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from markupsafe import Markup

    from optkit.report.train_record import CurvePoint, TrainReport

    Course = Sequence[float | None]

WIDTH, LEFT, RIGHT = 600, 58, 14
TOP, MAIN, BETWEEN, STRIP, BOTTOM = 26, 212, 30, 52, 30
HEIGHT = TOP + MAIN + BETWEEN + STRIP + BOTTOM
# Of more epochs the points stand too close to be pointed at.
MOST_DOTS = 80
# Where the largest is so many times the smallest, a linear scale shows one point and a flat line.
LOGARITHMIC_FROM = 12.0


class _Panel(NamedTuple):
    """One chart: two courses by epoch, and a third one in a strip below."""

    name: str
    trained: Course
    validated: Course
    start: float | None
    show: Callable[[float], str]
    axis: Callable[[float], str]
    strip_name: str
    strip: Course
    strip_axis: Callable[[float], str]


def panels(report: TrainReport) -> list[tuple[str, Markup]]:
    """(heading, chart): loss always, accuracy where answers are classes."""
    curve = report.curve
    found = [
        _Panel(
            name="Loss",
            trained=[point.loss for point in curve],
            validated=[point.validation_loss for point in curve],
            start=report.start.loss,
            show=wording.value,
            axis=lambda value: f"{value:,.6g}",
            strip_name="learning rate",
            strip=[point.learning_rate for point in curve],
            strip_axis=lambda value: f"{value:.3g}",
        )
    ]
    if any(point.accuracy is not None for point in curve):
        found.append(
            _Panel(
                name="Accuracy",
                trained=[point.accuracy for point in curve],
                validated=[point.validation_accuracy for point in curve],
                start=report.start.accuracy,
                show=wording.percent,
                axis=lambda value: f"{100 * value:g} %",
                strip_name="training less validation, in points",
                strip=[_gap(point) for point in curve],
                strip_axis=lambda value: f"{100 * value:+.2g}" if value else "0",
            )
        )
    return [(panel.name, _draw(panel, report)) for panel in found]


def _gap(point: CurvePoint) -> float | None:
    if point.accuracy is None or point.validation_accuracy is None:
        return None
    return point.accuracy - point.validation_accuracy


def _draw(panel: _Panel, report: TrainReport) -> Markup:
    count = len(report.curve)
    x = svg.linear(0, max(1, count), LEFT + 4, WIDTH - RIGHT - 8)
    known = [value for value in (*panel.trained, *panel.validated) if value is not None]
    fraction = panel.name == "Accuracy"
    parts = []
    floor = TOP + MAIN
    if known:
        # An accuracy of chance at the start would press all that follows together; a loss has a logarithm.
        starts = [] if panel.start is None or (fraction and panel.start < min(known)) else [panel.start]
        y, levels = _scale([*known, *starts], floor, TOP, fraction=fraction)
        for level in levels:
            parts.append(svg.line(LEFT, y(level), WIDTH - RIGHT, y(level), class_="grid"))
            parts.append(svg.text(LEFT - 8, y(level) + 4, panel.axis(level), anchor="end"))
        parts += _moments(report, x)
        parts += _course(panel.trained, x, y, "train", panel)
        parts += _course(panel.validated, x, y, "validation", panel)
        for start in starts:
            parts.append(_dot(x(0), y(start), "validation start", f"before the first step: {panel.show(start)}"))
    parts += _strip(panel, x, floor + BETWEEN)
    parts += [svg.text(x(epoch), HEIGHT - 8, f"{epoch:g}") for epoch in _epoch_ticks(count)]
    return svg.picture(WIDTH, HEIGHT, _title(panel, count), *parts)


def _scale(values: Sequence[float], low_y: float, high_y: float, *, fraction: bool) -> tuple[svg.Scale, list[float]]:
    low, high = min(values), max(values)
    if not fraction and low > 0 and high / low > LOGARITHMIC_FROM:
        low, high = low / 1.15, high * 1.15
        return svg.logarithmic(low, high, low_y, high_y), svg.logarithmic_ticks(low, high, at_most=6)
    room = 0.05 * (high - low) or abs(high) * 0.05 or 0.01
    low, high = low - room, high + room
    if fraction:
        low, high = max(0.0, low), min(1.0, high)
    return svg.linear(low, high, low_y, high_y), svg.ticks(low, high, about=5)


def _epoch_ticks(count: int) -> list[float]:
    """Whole epochs, the last one always, none so near to it that the two would touch."""
    inner = [tick for tick in svg.ticks(0, count, about=8) if tick == int(tick) and count - tick > count / 16]
    return [*inner, count]


def _course(course: Course, x: svg.Scale, y: svg.Scale, kind: str, panel: _Panel) -> list[Markup]:
    """Lines between epochs that have a number; a cross at the top where there is none."""
    parts: list[Markup] = []
    run: list[tuple[float, float]] = []
    runs = [run]
    words = {"train": "training", "validation": "validation"}[kind]
    dots: list[Markup] = []
    for index, value in enumerate(course):
        if value is None:
            run = []
            runs.append(run)
            lost = f"epoch {index + 1}, {words}: no number"
            at = x(index + 1)
            cross = svg.element("path", svg.element("title", lost), d=f"M{at - 4:.1f} 8l8 8m0 -8l-8 8", class_="lost")
            dots.append(cross)
            continue
        point = (x(index + 1), y(value))
        run.append(point)
        if len(course) <= MOST_DOTS:
            dots.append(_dot(*point, kind, f"epoch {index + 1}, {words}: {panel.show(value)}"))
    parts += [svg.path(points, class_=f"curve {kind}") for points in runs if len(points) > 1]
    return parts + dots


def _dot(at: float, level: float, kind: str, words: str) -> Markup:
    return svg.element("circle", svg.element("title", words), cx=at, cy=level, r=3.0, class_=f"dot {kind}")


def _moments(report: TrainReport, x: svg.Scale) -> list[Markup]:
    """Upright lines: where a finding begins, and whose weights were kept."""
    parts: list[Markup] = []
    for finding in report.diagnosis.findings:
        if finding.is_fault and finding.since_epoch is not None:
            at = x(finding.since_epoch)
            parts.append(svg.line(at, TOP - 8, at, TOP + MAIN, class_="since"))
            parts.append(_beside(at, TOP - 12, finding.kind, "since-label"))
    if report.kept_epoch != len(report.curve):
        at = x(report.kept_epoch)
        parts.append(svg.line(at, TOP, at, TOP + MAIN, class_="kept"))
        parts.append(_beside(at, TOP + MAIN + 14, f"kept: epoch {report.kept_epoch}", "kept-label"))
    return parts


def _beside(at: float, level: float, words: str, kind: str) -> Markup:
    """Words at an upright line, on the side where there is room."""
    anchor = "start" if at < WIDTH * 0.7 else "end"
    return svg.text(at, level, words, class_=kind, anchor=anchor)


def _strip(panel: _Panel, x: svg.Scale, top: float) -> list[Markup]:
    """The third course, small, with its least and largest value."""
    known = [value for value in panel.strip if value is not None]
    parts: list[Markup] = [svg.text(LEFT, top - 5, panel.strip_name, anchor="start", class_="hint")]
    if not known:
        return parts
    low, high = min(known), max(known)
    if panel.name == "Accuracy":
        low, high = min(low, 0.0), max(high, 0.0)
    floor = top + STRIP
    y = svg.linear(low, high, floor - 4, top + 6) if high > low else svg.linear(low - 1, low + 1, floor, top)
    for level in sorted({low, high, *([0.0] if low <= 0 <= high else [])}):
        if level in {low, high} or min(abs(y(level) - y(end)) for end in (low, high)) > 14:
            parts.append(svg.line(LEFT, y(level), WIDTH - RIGHT, y(level), class_="grid"))
            parts.append(svg.text(LEFT - 8, y(level) + 4, panel.strip_axis(level), anchor="end"))
    points = [(x(index + 1), y(value)) for index, value in enumerate(panel.strip) if value is not None]
    if len(points) > 1:
        parts.append(svg.path(points, class_="strip"))
    if len(points) <= MOST_DOTS:
        parts += [svg.element("circle", cx=at, cy=level, r=1.8, class_="strip-dot") for at, level in points]
    return parts


def _title(panel: _Panel, count: int) -> str:
    def end(course: Course) -> str:
        return "no number" if course[-1] is None else panel.show(course[-1])

    plural = "s" if count != 1 else ""
    return (
        f"{panel.name} over {count} epoch{plural}: training ends at {end(panel.trained)}, validation at "
        f"{end(panel.validated)}"
    )
