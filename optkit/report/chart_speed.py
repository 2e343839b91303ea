"""Speed-up of each file with its interval, beside the noise floor of its format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.report import svg, wording
from optkit.report.chart_rows import both

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from optkit.report.chart_rows import Layout
    from optkit.schema import Report, Speedup

_TOP = 8


def intervals(report: Report, file_format: str) -> Markup | None:
    """One row a file: its speed-up as a mark, the 95 % interval as a bar, 1 as a line, the noise floor as a band."""
    compared = [
        (variant.name, variant.latency.speedup)
        for variant in report.variants
        if variant.format == file_format
        and variant.latency is not None
        and variant.latency.speedup is not None
        and min(variant.latency.speedup.ratio, *variant.latency.speedup.ci95) > 0
    ]
    if not compared:
        return None
    return both(lambda layout: _drawn(report, file_format, compared, layout), right=150)


def _drawn(report: Report, file_format: str, compared: Sequence[tuple[str, Speedup]], layout: Layout) -> Markup:
    bottom = _TOP + layout.row * len(compared)
    low = min(0.95, *(value.ci95[0] for _, value in compared)) / 1.04
    high = max(1.05, *(value.ci95[1] for _, value in compared)) * 1.04
    x = svg.logarithmic(low, high, layout.left, layout.end)
    parts = []
    for floor in report.noise_floor:
        if floor.format == file_format and 0 < floor.low < floor.high:
            left, right = max(floor.low, low), min(floor.high, high)
            title = svg.element("title", f"noise floor: {floor.low:.3f} to {floor.high:.3f}")
            width = max(1.0, x(right) - x(left))
            parts.append(
                svg.element(
                    "rect", title, x=x(left), y=float(_TOP), width=width, height=float(bottom - _TOP), class_="floor"
                )
            )
    for tick in svg.logarithmic_ticks(low, high, at_most=layout.ticks):
        parts.append(svg.line(x(tick), _TOP, x(tick), bottom, class_="grid"))
        parts.append(svg.text(x(tick), bottom + 20, f"{tick:g}×", anchor=layout.anchor(x(tick))))
    parts.append(svg.line(x(1), _TOP, x(1), bottom, class_="axis"))
    for index, (name, value) in enumerate(compared):
        parts += _row(name, value, x, _TOP + layout.row * index, layout)
    label = f"Speed-up of each {file_format} file with its 95 % interval; the figures are in the table of all files"
    return svg.picture(layout.width, bottom + 30, label, *parts, kind=layout.kind)


def _row(name: str, value: Speedup, x: svg.Scale, top: float, layout: Layout) -> list[Markup]:
    y = top + layout.middle
    low, high = x(value.ci95[0]), x(value.ci95[1])
    bar = f"M{low:.1f} {y - 5:.1f}v10M{low:.1f} {y:.1f}H{high:.1f}M{high:.1f} {y - 5:.1f}v10"
    words = f"{wording.speedup(value)} {wording.speed_verdict(value.verdict)}"
    # Filled where the verdict is a difference: not by colour alone.
    tone = {"better": "faster", "worse": "slower", "no measurable difference": "level"}[value.verdict]
    return [
        layout.name(top, name),
        svg.element(
            "g",
            svg.element("title", f"{name}: {words}"),
            svg.element("path", d=bar, class_=f"speed-bar {tone}"),
            svg.element("circle", cx=x(value.ratio), cy=y, r=4.2, class_=f"speed-mark {tone}"),
        ),
        layout.value(top, wording.speedup(value)),
    ]
