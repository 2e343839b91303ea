"""Charts of what was recorded: learning curves, and the blocks that a file's time was measured in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.report import svg, wording
from optkit.report.chart_rows import both

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from optkit.report.chart_rows import Layout
    from optkit.schema import Report, Training, Variant

# More marks than this in a row of a chart are a smear: of more blocks, evenly spaced ones in order of time
# are drawn.
_MARKS_IN_A_ROW, _MARKS_ON_A_PHONE = 240, 90
_TOP = 8


def learning_curves(stages: Sequence[Training]) -> list[tuple[str, str, Markup]]:
    """(stage, words on its length, chart) of every training that was recorded; all charts share one scale.

    Accuracy, or the loss where models give values.
    """
    recorded = [training for training in stages if _courses(training)[0]]
    if not recorded:
        return []
    values = [value for training in recorded for course in _courses(training) for value in course]
    low, high = min(values), max(values)
    charts = []
    for training in recorded:
        seconds = sum(epoch.seconds for epoch in training.epochs)
        plural = "s" if len(training.epochs) != 1 else ""
        charts.append(
            (
                training.stage,
                f"{len(training.epochs)} epoch{plural}, {seconds:,.0f} s",
                _curve(training, low, high),
            )
        )
    return charts


def shows_accuracy(stages: Sequence[Training]) -> bool:
    """Whether the curves are of accuracy; of the loss where any epoch has none."""
    return all(
        epoch.accuracy is not None and epoch.validation_accuracy is not None
        for training in stages
        for epoch in training.epochs
    )


def _courses(training: Training) -> tuple[list[float], list[float]]:
    """What the curves show of each epoch, in training and on validation data."""
    trained = [epoch.accuracy for epoch in training.epochs if epoch.accuracy is not None]
    validated = [epoch.validation_accuracy for epoch in training.epochs if epoch.validation_accuracy is not None]
    if len(trained) == len(validated) == len(training.epochs):
        return trained, validated
    # The last epoch of a training that diverged has no numbers.
    both = [
        (epoch.loss, epoch.validation_loss)
        for epoch in training.epochs
        if epoch.loss is not None and epoch.validation_loss is not None
    ]
    return [loss for loss, _ in both], [validation for _, validation in both]


def _curve(training: Training, low: float, high: float) -> Markup:
    width, height, left, right, top, bottom = 300, 170, 50, 12, 12, 26
    count, accuracy = len(training.epochs), shows_accuracy([training])
    trained, validated = _courses(training)
    show = wording.percent if accuracy else wording.value
    room = 0.06 * (high - low) or 0.001
    x = svg.linear(1, max(2, count), left + 6, width - right - 6)
    y = svg.linear(low - room, high + room, height - bottom, top)
    parts = []
    levels = svg.ticks(low - room, min(high + room, 1.0) if accuracy else high + room, about=3)
    for value in levels:
        parts.append(svg.line(left, y(value), width - right, y(value), class_="grid"))
        parts.append(svg.text(left - 7, y(value) + 4, f"{100 * value:g} %" if accuracy else f"{value:g}", anchor="end"))
    parts += [svg.text(x(epoch), height - 8, str(epoch)) for epoch in sorted({1, count})]
    for kind, course in (("train", trained), ("validation", validated)):
        points = [(x(index + 1), y(value)) for index, value in enumerate(course)]
        if count > 1:
            parts.append(svg.path(points, class_=f"curve {kind}"))
        parts += [
            svg.element(
                "circle",
                svg.element("title", f"epoch {index + 1}, {kind}: {show(value)}"),
                cx=point[0],
                cy=point[1],
                r=2.6,
                class_=f"dot {kind}",
            )
            for index, (point, value) in enumerate(zip(points, course, strict=True))
        ]
    label = (
        f"{'Accuracy' if accuracy else 'Loss'} of {training.stage} over {count} epochs: training ends at "
        f"{show(trained[-1])}, "
        f"validation at {show(validated[-1])}"
    )
    return svg.picture(width, height, label, *parts)


def latency_blocks(report: Report, file_format: str) -> Markup | None:
    """Every block of every file of a format as a mark, one row a file, with the median of each process."""
    timed = [v for v in report.variants if v.format == file_format and v.latency is not None and _blocks(v)]
    if not timed:
        return None
    return both(lambda layout: _drawn(timed, file_format, layout), right=78)


def _drawn(timed: Sequence[Variant], file_format: str, layout: Layout) -> Markup:
    bottom = _TOP + layout.row * len(timed)
    everything = [value for variant in timed for value in _blocks(variant)]
    low, high = min(everything) / 1.06, max(everything) * 1.06
    x = svg.logarithmic(low, high, layout.left, layout.end)
    parts = []
    for value in svg.logarithmic_ticks(low, high, at_most=layout.ticks):
        parts.append(svg.line(x(value), _TOP, x(value), bottom, class_="grid"))
        parts.append(svg.text(x(value), bottom + 20, wording.axis_time(value), anchor=layout.anchor(x(value))))
    for index, variant in enumerate(timed):
        parts += _block_row(variant, x, _TOP + layout.row * index, layout)
    label = f"Time per call of each {file_format} file, one mark a block; medians are in the table of all files"
    return svg.picture(layout.width, bottom + 30, label, *parts, kind=layout.kind)


def _blocks(variant: Variant) -> list[float]:
    return [] if variant.latency is None else [value for process in variant.latency.blocks_us for value in process]


def _block_row(variant: Variant, x: svg.Scale, top: float, layout: Layout) -> list[Markup]:
    latency = variant.latency
    if latency is None:
        return []
    blocks = sorted(_blocks(variant))
    y = top + layout.middle
    step = max(1, len(blocks) // (_MARKS_IN_A_ROW if layout.kind == "roomy" else _MARKS_ON_A_PHONE))
    marks = "".join(f"M{x(value):.1f} {y - 6:.1f}v12" for value in blocks[::step])
    title = svg.element("title", f"{variant.name}: {len(blocks)} blocks, {blocks[0]:.1f} to {blocks[-1]:.1f} µs")
    middle = x(latency.p50_us)
    return [
        layout.name(top, variant.name),
        svg.element("g", title, svg.element("path", d=marks, class_="blocks")),
        svg.line(middle, y - 9, middle, y + 9, class_="median"),
        layout.value(top, wording.microseconds(latency.p50_us)),
    ]
