"""Charts of a search: which knobs mattered, trials as lines through all knobs, each knob by itself, and the course."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.report import svg, tune_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from optkit.report.tune_record import Dimension, Objective, TrialRecord, TuneReport

# A choice's text is cut on an axis; the table has all of it.
_LONGEST = 20


def complete(report: TuneReport) -> list[TrialRecord]:
    """Trials with values."""
    return [trial for trial in report.trials if trial.state == "complete"]


def _drawn(report: TuneReport) -> list[TrialRecord]:
    """Trials with values, the chosen one last, over the others."""
    return sorted(complete(report), key=lambda one: one.number == report.chosen)


def importance(report: TuneReport) -> list[tuple[str, Markup]]:
    """(objective, bars), a bar for each knob."""
    charts = []
    for objective, shares in report.importance.items():
        row, left, width, right = 30, 132, 620, 60
        height = row * len(shares) + 10
        parts = []
        most = max(shares.values(), default=0.0) or 1.0
        for index, (name, share) in enumerate(sorted(shares.items(), key=lambda one: -one[1])):
            y = 5 + row * index
            long = (width - left - right) * share / most
            parts += [
                svg.text(left - 10, y + row / 2 + 4, name, class_="row-label", anchor="end"),
                svg.element("rect", x=left, y=y + 6, width=max(1.0, long), height=row - 12, rx=3, class_="share"),
                svg.text(left + long + 8, y + row / 2 + 4, f"{100 * share:.0f} %", class_="row-value", anchor="start"),
            ]
        label = f"Importance for {objective}: " + ", ".join(f"{name} {100 * s:.0f} %" for name, s in shares.items())
        charts.append((objective, svg.picture(width, height, label, *parts)))
    return charts


def _place(one: Dimension, value: object, low: float, high: float) -> float | None:
    """Where a knob's value lies on an axis from ``low`` to ``high``; ``None`` where it is not on it."""
    if one.kind == "choice":
        if str(value) not in one.choices:
            return None
        return svg.linear(0, max(1, len(one.choices) - 1), low, high)(one.choices.index(str(value)))
    if not isinstance(value, (int, float)):
        return None
    return (svg.logarithmic if one.log else svg.linear)(one.low, one.high, low, high)(float(value))


def _marks(one: Dimension) -> list[tuple[object, str]]:
    """(value, text) of an axis's marks."""
    if one.kind == "choice":
        shown = [text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…" for text in one.choices]
        return list(zip(one.choices, shown, strict=True))
    return [(one.low, f"{one.low:g}"), (one.high, f"{one.high:g}")]


def _extent(objective: Objective, trials: Sequence[TrialRecord]) -> tuple[float, float]:
    values = [trial.values[objective.name] for trial in trials]
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5 * abs(low or 1), high + 0.5 * abs(high or 1))


def parallel(report: TuneReport) -> Markup | None:
    """Each complete trial as a line through all knobs to its first objective; the chosen one stands out."""
    trials, objective = complete(report), report.objectives[0]
    if not trials:
        return None
    width, height, top, bottom, side = 1120, 330, 44, 40, 140
    axes = len(report.space)
    step = (width - 2 * side) / max(1, axes)
    low, high = _extent(objective, trials)
    y_value = svg.linear(low, high, height - bottom, top)
    parts: list[Markup] = []
    for trial in _drawn(report):
        points = []
        for index, one in enumerate(report.space):
            y = _place(one, trial.settings.get(one.name), height - bottom, top)
            if y is not None:
                points.append((side + step * index, y))
        points.append((side + step * axes, y_value(trial.values[objective.name])))
        shade = _shade(objective, trial.values[objective.name], low, high)
        class_ = "strand chosen" if trial.number == report.chosen else f"strand shade-{shade}"
        title = svg.element("title", f"trial {trial.number}: {tune_words.settings(trial)}")
        parts.append(svg.element("g", title, svg.path(points, class_=class_)))
    for index, one in enumerate(report.space):
        x = side + step * index
        parts += [svg.line(x, top, x, height - bottom, class_="axis"), svg.text(x, 18, one.name, class_="label")]
        for value, text in _marks(one):
            y = _place(one, value, height - bottom, top)
            if y is not None:
                parts.append(svg.text(x - 8, y + 4, text, class_="label", anchor="end"))
    x = side + step * axes
    parts += [svg.line(x, top, x, height - bottom, class_="axis"), svg.text(x, 18, objective.name, class_="label")]
    parts += [
        svg.text(x + 8, y_value(value) + 4, tune_words.value(objective.name, value), class_="label", anchor="start")
        for value in (low, high)
    ]
    label = f"{len(trials)} trials as lines through {', '.join(one.name for one in report.space)} to {objective.name}"
    return svg.picture(width, height, label, *parts)


def _shade(objective: Objective, value: float, low: float, high: float) -> int:
    """0 (worst) to 4 (best)."""
    share = (value - low) / (high - low)
    return round(4 * (share if objective.direction == "maximize" else 1 - share))


def slices(report: TuneReport) -> list[tuple[str, Markup]]:
    """(knob, chart) of the first objective over each knob, a mark for each complete trial."""
    trials, objective = complete(report), report.objectives[0]
    if not trials:
        return []
    width, height, left, right, top, bottom = 340, 230, 66, 14, 12, 46
    low, high = _extent(objective, trials)
    room = 0.06 * (high - low)
    y = svg.linear(low - room, high + room, height - bottom, top)
    charts = []
    for one in report.space:
        parts: list[Markup] = []
        for value in svg.ticks(low, high, about=3):
            parts.append(svg.line(left, y(value), width - right, y(value), class_="grid"))
            parts.append(svg.text(left - 7, y(value) + 4, tune_words.value(objective.name, value), anchor="end"))
        marks = _marks(one)
        for index, (mark, text) in enumerate(marks):
            x = _place(one, mark, left + 14, width - right - 14)
            if x is not None:
                # Long texts stay inside: the first begins at its place, the last ends there, and every other is lower.
                anchor = {0: "start", len(marks) - 1: "end"}.get(index, "middle") if len(text) > 8 else "middle"
                lower = 14 if index % 2 and len(marks) > 2 else 0
                parts.append(svg.text(x, height - 24 + lower, text, anchor=anchor))
        for trial in _drawn(report):
            x = _place(one, trial.settings.get(one.name), left + 14, width - right - 14)
            if x is None:
                continue
            is_chosen = trial.number == report.chosen
            words = f"trial {trial.number}: {one.name} {tune_words.setting(trial.settings[one.name])}, "
            words += tune_words.value(objective.name, trial.values[objective.name])
            dot = svg.element(
                "circle",
                svg.element("title", words),
                cx=x,
                cy=y(trial.values[objective.name]),
                r=5.5 if is_chosen else 4,
                class_="mark chosen" if is_chosen else "mark",
            )
            parts.append(dot)
        charts.append((one.name, svg.picture(width, height, f"{objective.name} over {one.name}", *parts)))
    return charts


def course(report: TuneReport) -> Markup | None:
    """The first objective of each trial in order, with the best so far as a line."""
    trials, objective = complete(report), report.objectives[0]
    if len(trials) < 2:
        return None
    width, height, left, right, top, bottom = 1120, 230, 70, 16, 12, 30
    low, high = _extent(objective, trials)
    room = 0.06 * (high - low)
    y = svg.linear(low - room, high + room, height - bottom, top)
    x = svg.linear(trials[0].number, trials[-1].number, left + 8, width - right - 8)
    parts: list[Markup] = []
    for value in svg.ticks(low, high, about=4):
        parts.append(svg.line(left, y(value), width - right, y(value), class_="grid"))
        parts.append(svg.text(left - 8, y(value) + 4, tune_words.value(objective.name, value), anchor="end"))
    better = max if objective.direction == "maximize" else min
    best: list[tuple[float, float]] = []
    so_far = trials[0].values[objective.name]
    for trial in trials:
        before, so_far = so_far, better(so_far, trial.values[objective.name])
        best += [(x(trial.number), y(before)), (x(trial.number), y(so_far))]
    parts.append(svg.path(best, class_="curve validation"))
    for trial in _drawn(report):
        is_chosen = trial.number == report.chosen
        parts.append(
            svg.element(
                "circle",
                svg.element("title", f"trial {trial.number}: {tune_words.settings(trial)}"),
                cx=x(trial.number),
                cy=y(trial.values[objective.name]),
                r=5.5 if is_chosen else 3.6,
                class_="mark chosen" if is_chosen else "mark",
            )
        )
    ends = (trials[0].number, trials[-1].number)
    parts += [svg.text(x(number), height - 8, f"trial {number}") for number in ends]
    return svg.picture(width, height, f"{objective.name} of {len(trials)} trials in order", *parts)


def tradeoff(report: TuneReport) -> Markup | None:
    """The second objective against the first, with the front; ``None`` for one objective."""
    trials = complete(report)
    if len(report.objectives) < 2 or not trials:
        return None
    first, second = report.objectives[:2]
    width, height, left, right, top, bottom = 720, 320, 70, 16, 14, 44
    low, high = _extent(first, trials)
    least, most = _extent(second, trials)
    y = svg.linear(low - 0.06 * (high - low), high + 0.06 * (high - low), height - bottom, top)
    x = svg.linear(least - 0.04 * (most - least), most + 0.04 * (most - least), left, width - right)
    parts: list[Markup] = []
    for value in svg.ticks(low, high, about=4):
        parts.append(svg.line(left, y(value), width - right, y(value), class_="grid"))
        parts.append(svg.text(left - 8, y(value) + 4, tune_words.value(first.name, value), anchor="end"))
    parts += [
        svg.text(x(value), height - bottom + 18, tune_words.value(second.name, value))
        for value in svg.ticks(least, most, about=4)
    ]
    parts.append(svg.text((left + width - right) / 2, height - 6, second.name, class_="label"))
    for trial in _drawn(report):
        kind = "chosen" if trial.number == report.chosen else "on-front" if trial.number in report.front else ""
        words = ", ".join(f"{one.name} {tune_words.value(one.name, trial.values[one.name])}" for one in (first, second))
        parts.append(
            svg.element(
                "circle",
                svg.element("title", f"trial {trial.number}: {words}; {tune_words.settings(trial)}"),
                cx=x(trial.values[second.name]),
                cy=y(trial.values[first.name]),
                r=5.5 if kind == "chosen" else 4.4,
                class_=f"mark {kind}".strip(),
            )
        )
    return svg.picture(width, height, f"{first.name} against {second.name} of {len(trials)} trials", *parts)
