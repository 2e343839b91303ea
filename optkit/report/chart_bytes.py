"""Where the bytes of each file are: one stacked bar a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.report import svg, wording

if TYPE_CHECKING:
    from markupsafe import Markup

    from optkit.schema import Report, Variant


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
    row, left, right, top, bottom, width = 26, 186, 96, 4, 28, 1120
    height = top + row * len(sized) + bottom
    largest = max(variant.size.file_bytes for variant in sized if variant.size is not None)
    x = svg.linear(0, largest, left, width - right)
    order = kinds(report)
    parts = []
    for value in svg.ticks(0, largest, about=5):
        parts.append(svg.line(x(value), top, x(value), height - bottom, class_="grid"))
        parts.append(svg.text(x(value), height - 9, wording.kilobytes(value)))
    for index, variant in enumerate(sized):
        parts += _bar(variant, order, x, top + row * index)
    label = f"Bytes of each {file_format} file by kind; the exact numbers are in the details of each file"
    return svg.picture(width, height, label, *parts)


def _bar(variant: Variant, order: list[str], x: svg.Scale, y: float) -> list[Markup]:
    size = variant.size
    if size is None:
        return []
    parts = [svg.text(x(0) - 12, y + 17, variant.name, class_="row-label", anchor="end")]
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
                y=y + 5.0,
                width=max(0.5, x(start + number) - x(start)),
                height=16.0,
                class_=f"kind kind-{index % 6}",
            )
        )
        start += number
    parts.append(
        svg.text(x(size.file_bytes) + 8, y + 17, wording.count(size.file_bytes), class_="row-value", anchor="start")
    )
    return parts


def words(kind: str) -> str:
    """``scales_and_constants`` as ``scales and constants``."""
    return kind.replace("_", " ")
