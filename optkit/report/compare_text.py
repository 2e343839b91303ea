"""The comparison of two reports on the terminal: what differs around them, a table per format, every condition."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TextIO

from rich import box
from rich.markup import escape
from rich.table import Table

from optkit.report import screen, wording
from optkit.report.compare import UNDECIDED
from optkit.report.compare_changes import SAME_FILE
from optkit.report.compare_conditions import STATUS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from optkit.report.compare import Alone, Difference, Figures, Judgement, Outcome, Pair, ReportComparison
    from optkit.report.compare_changes import Change

_COLOURS: dict[Outcome, str] = {"broken": "red", "fine": "green", "in doubt": "yellow", "cannot be judged": "yellow"}
_ORDER: tuple[Outcome, ...] = ("broken", "in doubt", "cannot be judged", "fine")
# What stands in the place of a name under it.
_SAME = "same file"
# A longer name is broken before a column goes, down to the shorter one; with room it stands whole.
_SHORTEST_NAME, _LONGEST_NAME = 12, 18
_ACCURACY = "accuracy: % of the test set, its change in points."
_ERROR = "MAE: mean absolute error on the test set, in the unit of the values."
_LEGEND = (
    f"{_ACCURACY} p50: as each run measured it; times of two runs are never "
    "compared. speed-up: over the reference of its own report; the change below it is of the time, + is slower. "
    "[ ]: 95 % interval. –: not measured, or cannot be known."
)


def show(comparison: ReportComparison, *, stream: TextIO | None = None, width: int | None = None) -> None:
    """Print the two reports side by side, then what became of the conditions.

    Args:
        comparison: What to show.
        stream: Where to; standard output when ``None``. Colour only where that is a terminal.
        width: Columns; those of the terminal when ``None``, and 104 where there is none.
    """
    screen.show(lambda console: _draw(console, comparison), stream, width)


def failure_line(comparison: ReportComparison) -> str:
    """One line on why the comparison fails: the conditions and the files; empty when it does not."""
    if not comparison.exit_code:
        return ""
    broken = _by_condition([one for one in comparison.judgements if one.outcome == "broken"])
    undecided = _by_condition([one for one in comparison.judgements if one.outcome in UNDECIDED])
    parts = [f"broken beyond doubt: {broken}"] if broken else []
    if comparison.strict and undecided:
        parts.append(f"in doubt or cannot be judged, which --strict does not let pass: {undecided}")
    return "; ".join(parts)


def _by_condition(judgements: Sequence[Judgement]) -> str:
    names: dict[str, list[str]] = {}
    for one in judgements:
        names.setdefault(one.condition, []).append(wording.file_name(one.name, one.format))
    return ", ".join(f"{condition} ({wording.listed(files)})" for condition, files in names.items())


def _draw(console: Console, comparison: ReportComparison) -> None:
    console.print(_sides(comparison))
    _around(console, comparison)
    with_memory = False
    for file_format in dict.fromkeys(pair.format for pair in comparison.pairs):
        table, with_memory = _table(comparison, file_format, console.width)
        console.print()
        console.print(table)
    for label, files in (("only in old", comparison.only_old), ("only in new", comparison.only_new)):
        if files:
            console.print(f"\n{label}: {escape(', '.join(map(_alone, files)))}")
    if not comparison.pairs:
        console.print("\nNo file, by name and format, is in both reports.", style="yellow")
    memory = " MiB: peak memory, approximate." if with_memory else ""
    legend = _LEGEND.replace(_ACCURACY, _ERROR) if _of_values(comparison.pairs) else _LEGEND
    console.print(f"\n{legend}{memory}", style="dim", markup=False)
    for pair in comparison.pairs:
        # A condition on p50 says so itself.
        asked = any(condition.metric == "p50" for condition in comparison.conditions)
        if pair.remeasured is not None and pair.remeasured.failure and not asked:
            console.print(f"[yellow]not measured again:[/yellow] {escape(pair.remeasured.failure)}")
    for warning in comparison.warnings:
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}")
    if comparison.conditions:
        _conditions(console, comparison)


def _of_values(pairs: Sequence[Pair]) -> bool:
    """Whether files answer with values, so that errors stand in the place of accuracy."""
    return any(figures.mae is not None for pair in pairs for figures in (pair.old, pair.new))


def _sides(comparison: ReportComparison) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_column(style="dim", no_wrap=True)
    for label, side in (("old", comparison.old), ("new", comparison.new)):
        grid.add_row(label, escape(side.path), escape(f"{side.created}  optkit {side.optkit_version}"))
    return grid


def _around(console: Console, comparison: ReportComparison) -> None:
    """The machine and the data: one line when they are the same, every difference when not."""
    if not comparison.differences:
        machine, data = comparison.environment, comparison.new.data or "no data"
        words = f"same environment and data: {machine.cpu_model}, {machine.cores} cores, {machine.python}; {data}"
        console.print(words, style="dim", markup=False)
        return
    console.print("\nnot the same in both reports:", style="bold yellow")
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="yellow", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_column(overflow="fold")
    for difference in comparison.differences:
        grid.add_row(f"  {escape(difference.what)}", *map(escape, _shortened(difference)))
    console.print(grid)


def _shortened(difference: Difference) -> tuple[str, str]:
    if difference.what != "instructions":
        return difference.old, difference.new
    # There may be dozens, and a processor's name says the same; the JSON has them all.
    old, new = (words.split(" ") if words != "none more" else [] for words in (difference.old, difference.new))
    return tuple(f"only here: {wording.listed(one)}" if one else "none more" for one in (old, new))  # type: ignore[return-value]  # of two


def _alone(alone: Alone) -> str:
    failed = " (failed)" if alone.status == "failed" else ""
    return wording.file_name(alone.name, alone.format) + failed + (f" ({alone.reason})" if alone.reason else "")


_MEMORY = ("MiB", 5)
# Columns behind the name and old, new or diff, with when each goes on a narrow terminal: the highest first, 0 never.
_COLUMNS = (("accuracy", 0), ("bytes", 2), ("gzip", 4), ("p50 µs", 3), ("speed-up, time", 1), _MEMORY)
_METRICS = ("accuracy", "file_bytes", "gzip_bytes", None, "p50", "peak_rss_bytes")


class _Line(NamedTuple):
    """What stands in a line of the table: the name, which report, the cells of all columns, and whether it is dim."""

    name: str
    side: str
    cells: list[str]
    dim: bool


def _table(comparison: ReportComparison, file_format: str, room: int) -> tuple[Table, bool]:
    """The files of a format in as many columns as the terminal has room for, and whether memory is one of them."""
    lines = [line for pair in comparison.pairs if pair.format == file_format for line in _lines_of(comparison, pair)]
    names = ["MAE" if _of_values(comparison.pairs) else "accuracy", *(name for name, _ in _COLUMNS[1:])]
    shown = screen.fitting(
        [names, *(line.cells for line in lines)],
        [goes for _, goes in _COLUMNS],
        # The names, which may be broken, and the column for old, new and diff.
        room - max(_SHORTEST_NAME, min(_LONGEST_NAME, max(len(line.name) for line in lines))) - len(" diff"),
    )
    table = Table(title=file_format, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.show_edge = False
    table.padding = 0
    table.add_column("file", overflow="fold", min_width=_SHORTEST_NAME)
    table.add_column("", no_wrap=True, style="dim")
    whole = len(shown) == len(_COLUMNS)
    for place in shown:
        table.add_column(
            names[place], justify="right", no_wrap=True, min_width=18 if whole and place in {0, 4} else None
        )
    for line in lines:
        name = "[dim]same file[/dim]" if line.name == _SAME else escape(line.name)
        table.add_row(name, line.side, *(line.cells[place] for place in shown), style="dim" if line.dim else None)
    return table, _COLUMNS.index(_MEMORY) in shown


def _lines_of(comparison: ReportComparison, pair: Pair) -> list[_Line]:
    """Two lines with what the reports say; a third with the change unless it is the same file with the same score."""
    quality = "mae" if _of_values([pair]) else "accuracy"
    unchanged = pair.same_file and not pair.changes[quality].value and pair.new.status == pair.old.status
    lines = [
        _Line(pair.name, "old", _cells(pair.old), unchanged),
        _Line(_SAME if pair.same_file else "", "new", _cells(pair.new), unchanged),
    ]
    if unchanged:
        return lines
    mine = (pair.name, pair.format)
    outcomes = {one.metric: one.outcome for one in comparison.judgements if (one.name, one.format) == mine}

    def cell(metric: str | None) -> str:
        if metric is None:
            return ""
        words = escape(_short(metric, pair.changes[metric]))
        outcome = outcomes.get(metric)
        return words if outcome is None or outcome == "fine" else f"[{_COLOURS[outcome]}]{words}[/]"

    return [*lines, _Line("", "diff", [cell(quality), *map(cell, _METRICS[1:])], dim=False)]


def _cells(figures: Figures) -> list[str]:
    accuracy = wording.MISSING if figures.top1 is None else f"{100 * figures.top1:.2f}"
    accuracy = accuracy if figures.mae is None else wording.value(figures.mae)
    memory = None if figures.peak_rss_bytes is None else f"{figures.peak_rss_bytes / 2**20:.1f}"
    return [
        "[red]FAILED[/red]" if figures.status == "failed" else accuracy,
        wording.count(figures.file_bytes),
        wording.count(figures.gzip_bytes),
        wording.MISSING if figures.p50_us is None else wording.three_digits(figures.p50_us),
        escape(wording.speedup(figures.speedup)),
        memory or wording.MISSING,
    ]


def _short(metric: str, change: Change) -> str:
    """A change for the table, without its unit."""
    if change.value is None:
        return wording.MISSING
    if metric == "accuracy":
        return f"{_signed(100 * change.value, 2)}{_interval(change, 2)}"
    if metric == "mae":
        return _value_change(change)
    if metric == "p50":
        decimals = 0 if max(map(abs, change.ci95 or (change.value,))) >= 0.1 else 1
        return f"{_signed(100 * change.value, decimals)} %{_interval(change, decimals)}"
    if metric == "peak_rss_bytes":
        return _signed(change.value / 2**20, 1)
    return _signed(change.value, 0)


def change_words(metric: str, change: Change) -> str:
    """A change with its unit and its interval, for prose; ``–`` when it is not known."""
    if change.value is None:
        return wording.MISSING
    share = "" if not change.old else f" ({100 * change.value / change.old:+.2g} %)"
    if metric == "accuracy":
        return f"{_signed(100 * change.value, 2)} points{_interval(change, 2)}"
    if metric == "mae":
        return f"{_value_change(change)}{share}"
    if metric == "p50":
        return f"{_signed(100 * change.value, 1)} %{_interval(change, 1)}"
    if metric == "peak_rss_bytes":
        return f"{_signed(change.value / 2**20, 1)} MiB{share}"
    return f"{_signed(change.value, 0)}{' bytes' if metric.endswith('bytes') else ''}{share}"


def _value_change(change: Change) -> str:
    """A change in the unit of the values, with as many decimals as the old figure has."""
    bounds = [] if change.ci95 is None else [f"{_plus(bound, change.old)}" for bound in change.ci95]
    return f"{_plus(change.value or 0.0, change.old)}{f' [{bounds[0]}, {bounds[1]}]' if bounds else ''}"


def _plus(number: float, like: float | None) -> str:
    text = f"{'+' if number > 0 else ''}{wording.value(number, like=like)}"
    return text if text.strip("+-0.,") else text.lstrip("+-")


def _signed(value: float, decimals: int) -> str:
    """A change with its sign; none for 0, nor for what is 0 at so many decimals."""
    text = f"{value:+,.{decimals}f}"
    return text if text.strip("+-0.,") else text[1:]


def _interval(change: Change, decimals: int) -> str:
    """The interval of a fraction, in hundredths."""
    if change.ci95 is None:
        return ""
    low, high = (_signed(100 * bound, decimals) for bound in change.ci95)
    return f" [{low}, {high}]"


def _conditions(console: Console, comparison: ReportComparison) -> None:
    pairs = {(pair.name, pair.format): pair for pair in comparison.pairs}
    for condition in comparison.conditions:
        mine = [one for one in comparison.judgements if one.condition == condition.text]
        counts = {outcome: sum(one.outcome == outcome for one in mine) for outcome in _ORDER}
        told = ", ".join(f"[{_COLOURS[outcome]}]{count} {outcome}[/]" for outcome, count in counts.items() if count)
        label = "status: a file that was ok has failed or is gone" if condition.metric == STATUS else condition.text
        how = _shared_how(mine, pairs)
        same = sum(_is_same(one, pairs) for one in mine)
        told += f" [dim]({same} the same file, so nothing changed)[/dim]" if same else ""
        console.print(f"\n[bold]{escape(label)}[/bold]  {told}" + (f"  [dim]{escape(how)}[/dim]" if how else ""))
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for outcome in _ORDER[:-1]:
            for text in _lines([one for one in mine if one.outcome == outcome], pairs, say_how=not how):
                grid.add_row(f"  [{_COLOURS[outcome]}]{outcome}[/]", escape(text))
        for note, files in _grouped([one for one in mine if one.note], "note").items():
            grid.add_row("  [yellow]note[/]", escape(f"{wording.listed(files)}: {note}"))
        if grid.row_count:
            console.print(grid)
    console.print(f"\n{_result(comparison)}")


def _result(comparison: ReportComparison) -> str:
    """The last line; which files break what is on standard error, in one line."""
    total = len(comparison.conditions)
    broken = len({one.condition for one in comparison.judgements if one.outcome == "broken"})
    left = sum(one.outcome in UNDECIDED for one in comparison.judgements)
    verdict = f"{broken} of {total} conditions {'is' if broken == 1 else 'are'} broken beyond doubt"
    if not broken:
        verdict = "No condition is broken beyond doubt"
    colour = "red" if comparison.exit_code else "yellow" if left else "green"
    strict = "which --strict does not let pass" if comparison.strict else "which --strict would not let pass"
    rest = f"; {left} {'judgement is' if left == 1 else 'judgements are'} open, {strict}" if left else ""
    return f"[bold {colour}]{verdict}[/]{rest}."


def _shared_how(judgements: Sequence[Judgement], pairs: dict[tuple[str, str], Pair]) -> str:
    """How all changes of a condition that are told are known, where that is one way."""
    told = [one for one in judgements if _is_told(one)]
    ways = {pairs[one.name, one.format].changes[one.metric].how for one in told} - {"exact"}
    return ways.pop() if len(ways) == 1 and len(told) > 1 else ""


def _is_same(judgement: Judgement, pairs: dict[tuple[str, str], Pair]) -> bool:
    pair = pairs.get((judgement.name, judgement.format))
    return pair is not None and judgement.metric != STATUS and pair.changes[judgement.metric].how == SAME_FILE


def _is_told(judgement: Judgement) -> bool:
    return judgement.outcome in {"broken", "in doubt"} and judgement.metric != STATUS


def _lines(judgements: Sequence[Judgement], pairs: dict[tuple[str, str], Pair], *, say_how: bool) -> list[str]:
    """A line for each file with a change; one for all files that share a reason."""
    told = [(one, wording.file_name(one.name, one.format)) for one in judgements if _is_told(one)]
    width = max((len(name) for _, name in told), default=0)
    lines = []
    for one, name in told:
        change = pairs[one.name, one.format].changes[one.metric]
        how = f", {change.how}" if say_how and change.how != "exact" else ""
        lines.append(f"{name:<{width}}  {change_words(one.metric, change)}{how}{one.reason and f'; {one.reason}'}")
    rest = _grouped([one for one in judgements if not _is_told(one)], "reason")
    return lines + [f"{wording.listed(files)}: {reason}" for reason, files in rest.items()]


def _grouped(judgements: Sequence[Judgement], field: str) -> dict[str, list[str]]:
    files: dict[str, list[str]] = {}
    for one in judgements:
        files.setdefault(getattr(one, field), []).append(wording.file_name(one.name, one.format))
    return files
