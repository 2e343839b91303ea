"""Drop against size of every file that a search has tried, with the limits and the front."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from optkit.report import search_words, svg, wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.search_record import SearchRecord, TriedFile

# Kind as in ``svg.picture``, width, and how many marks fit on the axis of sizes.
_BOXES = (("roomy", 720, 5), ("slim", 340, 3))
_HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 320, 62, 16, 16, 46
# Drops far beyond the limit would press all others together: they lie on the lower edge.
_TIMES_LIMIT = 4.0
_WITHOUT_LIMIT = 0.05


def tradeoff(record: SearchRecord) -> Markup | None:
    """The chart, for wide and narrow pages; ``None`` where fewer than two files have both figures."""
    shown = [one for one in record.trials if one.drop is not None and one.file_bytes and one.state != "failed"]
    if len(shown) < 2:
        return None
    # The delivered file last, over the others.
    shown.sort(key=lambda one: search_words.is_delivered(record, one))
    return Markup("").join(_draw(record, shown, *box) for box in _BOXES)


def _draw(record: SearchRecord, shown: Sequence[TriedFile], kind: str, width: int, marks: int) -> Markup:
    limits = {limit.name: limit.limit for limit in record.limits}
    most = _TIMES_LIMIT * limits["drop"] if "drop" in limits else _WITHOUT_LIMIT
    low = min(0.0, *(one.drop_ci95[0] for one in shown if one.drop_ci95 is not None))
    sizes = [float(one.file_bytes or 1) for one in shown] + [value for name, value in limits.items() if name == "size"]
    x = svg.logarithmic(min(sizes) / 1.2, max(sizes) * 1.2, _LEFT, width - _RIGHT)
    floor = _HEIGHT - _BOTTOM
    # More drop is further down, as less accuracy is in the other charts.
    y = svg.linear(low - 0.05 * (most - low), most, _TOP, floor)
    parts: list[Markup] = []
    for value in svg.ticks(low, most, about=4):
        parts.append(svg.line(_LEFT, y(value), width - _RIGHT, y(value), class_="grid"))
        parts.append(svg.text(_LEFT - 8, y(value) + 4, f"{100 * value:.2g}".replace("-", "−"), anchor="end"))
    parts += [
        svg.text(x(value), floor + 18, wording.axis_bytes(value))
        for value in svg.logarithmic_ticks(min(sizes), max(sizes), at_most=marks)
    ]
    unit = "rise of MAE, %" if shown[0].mean_absolute_error is not None else "drop, points"
    parts.append(
        svg.text(_LEFT, _HEIGHT - 6, f"{unit} (upwards is better), against size", class_="label", anchor="start")
    )
    if "drop" in limits:
        parts.append(svg.line(_LEFT, y(limits["drop"]), width - _RIGHT, y(limits["drop"]), class_="axis"))
    if "size" in limits:
        parts.append(svg.line(x(limits["size"]), _TOP, x(limits["size"]), floor, class_="axis"))
    parts += [_mark(record, one, x(float(one.file_bytes or 1)), y, most) for one in shown]
    label = f"drop against size of {len(shown)} files that were tried"
    return svg.picture(width, _HEIGHT, label, *parts, kind=kind)


def _mark(record: SearchRecord, one: TriedFile, x: float, y: svg.Scale, most: float) -> Markup:
    """A file with its interval."""
    drop = min(one.drop or 0.0, most)
    low, high = one.drop_ci95 or (drop, drop)
    kind = "chosen" if search_words.is_delivered(record, one) else "on-front" if one.on_front else ""
    words = f"{wording.file_name(one.name, one.format)}: {wording.count(one.file_bytes)} bytes, drop "
    title = svg.element("title", f"{words}{search_words.drop(record, one)}, {search_words.state(one)}")
    interval = svg.line(x, y(min(low, most)), x, y(min(high, most)), class_="interval")
    radius = 5.5 if kind == "chosen" else 4.4
    circle = svg.element("circle", cx=x, cy=y(drop), r=radius, class_=f"mark {kind}".strip())
    return svg.element("g", title, interval, circle)
