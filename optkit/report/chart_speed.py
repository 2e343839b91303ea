"""Speed-up of each file with its interval, beside the noise floor of its format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.report import svg, wording

if TYPE_CHECKING:
    from markupsafe import Markup

    from optkit.schema import Report, Speedup

_ROW, _LEFT, _RIGHT, _TOP, _BOTTOM, _WIDTH = 26, 186, 150, 8, 30, 1120


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
    height = _TOP + _ROW * len(compared) + _BOTTOM
    bottom = height - _BOTTOM
    low = min(0.95, *(value.ci95[0] for _, value in compared)) / 1.04
    high = max(1.05, *(value.ci95[1] for _, value in compared)) * 1.04
    x = svg.logarithmic(low, high, _LEFT, _WIDTH - _RIGHT)
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
    for tick in svg.logarithmic_ticks(low, high, at_most=8):
        parts.append(svg.line(x(tick), _TOP, x(tick), bottom, class_="grid"))
        parts.append(svg.text(x(tick), height - 10, f"{tick:g}×"))
    parts.append(svg.line(x(1), _TOP, x(1), bottom, class_="axis"))
    for index, (name, value) in enumerate(compared):
        parts += _row(name, value, x, _TOP + _ROW * index + _ROW / 2)
    label = f"Speed-up of each {file_format} file with its 95 % interval; the figures are in the table of all files"
    return svg.picture(_WIDTH, height, label, *parts)


def _row(name: str, value: Speedup, x: svg.Scale, y: float) -> list[Markup]:
    low, high = x(value.ci95[0]), x(value.ci95[1])
    bar = f"M{low:.1f} {y - 5:.1f}v10M{low:.1f} {y:.1f}H{high:.1f}M{high:.1f} {y - 5:.1f}v10"
    words = f"{wording.speedup(value)} {wording.speed_verdict(value.verdict)}"
    # Filled where the verdict is a difference: not by colour alone.
    tone = {"better": "faster", "worse": "slower", "no measurable difference": "level"}[value.verdict]
    return [
        svg.text(_LEFT - 12, y + 4, name, class_="row-label", anchor="end"),
        svg.element(
            "g",
            svg.element("title", f"{name}: {words}"),
            svg.element("path", d=bar, class_=f"speed-bar {tone}"),
            svg.element("circle", cx=x(value.ratio), cy=y, r=4.2, class_=f"speed-mark {tone}"),
        ),
        svg.text(_WIDTH - 4, y + 4, wording.speedup(value), class_="row-value", anchor="end"),
    ]
