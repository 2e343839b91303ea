"""Where the bytes of each file are: one stacked bar a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.report import svg, wording
from optkit.report.chart_rows import both

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from optkit.report.chart_rows import Layout
    from optkit.schema import Report, Variant

_TOP = 4


def kinds(report: Report) -> list[str]:
    """Kinds of bytes in the report, the largest first."""
    totals: dict[str, int] = {}
    for variant in report.variants:
        for kind, number in ({} if variant.size is None else variant.size.bytes_by_kind).items():
            totals[kind] = totals.get(kind, 0) + number
    return sorted(totals, key=lambda kind: (-totals[kind], kind))


def bars(report: Report, file_format: str) -> Markup | None:
    """Stacked bars of the files of a format, on one linear scale from zero."""
    sized = [v for v in report.variants if v.format == file_format and v.size is not None]
    if not sized:
        return None
    order = kinds(report)
    return both(lambda layout: _drawn(sized, file_format, order, layout), right=96)


def _drawn(sized: Sequence[Variant], file_format: str, order: list[str], layout: Layout) -> Markup:
    bottom = _TOP + layout.row * len(sized)
    largest = max(variant.size.file_bytes for variant in sized if variant.size is not None)
    x = svg.linear(0, largest, layout.left, layout.end)
    parts = []
    for value in svg.ticks(0, largest, about=layout.ticks // 2 + 1):
        parts.append(svg.line(x(value), _TOP, x(value), bottom, class_="grid"))
        parts.append(svg.text(x(value), bottom + 19, wording.axis_bytes(value), anchor=layout.anchor(x(value))))
    for index, variant in enumerate(sized):
        parts += _bar(variant, order, x, _TOP + layout.row * index, layout)
    label = f"Bytes of each {file_format} file by kind; the exact numbers are in the table below"
    return svg.picture(layout.width, bottom + 28, label, *parts, kind=layout.kind)


def _bar(variant: Variant, order: list[str], x: svg.Scale, y: float, layout: Layout) -> list[Markup]:
    size = variant.size
    if size is None:
        return []
    parts = [layout.name(y, variant.name)]
    start = 0
    for index, kind in enumerate(order):
        number = size.bytes_by_kind.get(kind, 0)
        if number <= 0:
            continue
        title = svg.element("title", f"{variant.name}, {words(kind)}: {number:,} bytes")
        parts.append(
            svg.element(
                "rect",
                title,
                x=x(start),
                y=y + layout.middle - 8.0,
                width=max(0.5, x(start + number) - x(start)),
                height=16.0,
                class_=f"kind kind-{index % 6}",
            )
        )
        start += number
    written = wording.count(size.file_bytes)
    if layout.kind == "slim":
        return [*parts, layout.value(y, written)]
    return [*parts, svg.text(x(size.file_bytes) + 8, y + layout.text, written, class_="row-value", anchor="start")]


def table(report: Report) -> list[tuple[str, list[str]]]:
    """(file, bytes of each kind in the order of ``kinds``, all bytes) of each file."""
    order = kinds(report)
    return [
        (
            wording.file_name(variant.name, variant.format),
            [wording.count(variant.size.bytes_by_kind.get(kind)) for kind in order]
            + [wording.count(variant.size.file_bytes)],
        )
        for variant in report.variants
        if variant.size is not None
    ]


def words(kind: str) -> str:
    """``scales_and_constants`` as ``scales and constants``."""
    return kind.replace("_", " ")
