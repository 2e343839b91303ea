"""What a model says about pictures: the records, and the table on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

import msgspec
from rich import box
from rich.markup import escape
from rich.table import Table

from optkit.problem import Preprocessing
from optkit.report import screen, wording

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA_VERSION = 1


class Answer(msgspec.Struct, frozen=True):
    """A class with its probability (a fraction), or for a model of values the value."""

    answer: int | None
    name: str | None
    probability: float | None
    value: float | None


class Picture(msgspec.Struct, frozen=True):
    """A picture, its likeliest classes first, what was done to it in words, or why it has no answer."""

    path: str
    answers: list[Answer]
    done: list[str]
    failure: str | None = None


class Prediction(msgspec.Struct, frozen=True):
    """Everything that ``optkit predict`` tells; ``preprocessing`` is applied to values from 0 to 255."""

    schema_version: int
    path: str
    format: str
    preprocessing: Preprocessing
    preprocessing_source: str
    preprocessing_guessed: bool
    outputs: str
    outputs_words: str
    pictures: list[Picture]
    notes: list[str]


def to_json(prediction: Prediction) -> bytes:
    """The answers as JSON with two spaces of indent."""
    return msgspec.json.format(msgspec.json.encode(prediction)) + b"\n"


def show(prediction: Prediction, *, stream: TextIO | None = None, width: int | None = None) -> None:
    """Print the answers, what was done to the pictures, and how values and outputs were taken."""
    screen.show(lambda console: _draw(console, prediction), stream, width)


def _draw(console: Console, found: Prediction) -> None:
    console.print(_table(found))
    console.print()
    for words, names in _treatments(found.pictures).items():
        every = len(names) == sum(not one.failure for one in found.pictures)
        whose = "" if every else f": {wording.listed(names)}"
        console.print(f"[bold]{escape(words)}[/bold]{escape(whose)}")
    colour = "yellow" if found.preprocessing_guessed else "dim"
    values = f"values: {_described(found.preprocessing)}: {found.preprocessing_source}"
    console.print(f"[{colour}]{escape(values)}[/]")
    console.print(f"outputs: {found.outputs_words}", style="dim", markup=False)
    for note in found.notes:
        console.print(f"[yellow]note:[/yellow] {escape(note)}")
    for picture in found.pictures:
        if picture.failure:
            console.print(f"[red]failed:[/red] {escape(picture.failure)}")


def _table(found: Prediction) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("picture", overflow="fold", min_width=12)
    if found.outputs == "values":
        table.add_column("value", justify="right", no_wrap=True)
    else:
        table.add_column("class", no_wrap=True, style="bold")
        table.add_column("probability", justify="right", no_wrap=True)
        table.add_column("then", overflow="fold")
    for picture in found.pictures:
        if picture.failure:
            table.add_row(escape(picture.path), "[red]FAILED[/red]")
        elif found.outputs == "values":
            table.add_row(escape(picture.path), *[f"{one.value:.6g}" for one in picture.answers])
        else:
            first, *others = picture.answers
            then = ", ".join(f"{_name(one)} {percent(one.probability)}" for one in others)
            table.add_row(escape(picture.path), escape(_name(first)), percent(first.probability), escape(then))
    return table


def _name(answer: Answer) -> str:
    return answer.name if answer.name is not None else str(answer.answer)


def percent(probability: float | None) -> str:
    """A probability in percent, never rounded to certainty: ``> 99.9 %``, ``< 0.1 %``."""
    if probability is None:
        return wording.MISSING
    if 0 < probability < 0.001:
        return "< 0.1 %"
    if 0.999 < probability < 1:
        return "> 99.9 %"
    return f"{100 * probability:.1f} %"


def _treatments(pictures: list[Picture]) -> dict[str, list[str]]:
    """What was done, and to which pictures."""
    groups: dict[str, list[str]] = {}
    for picture in pictures:
        if not picture.failure and picture.done:
            groups.setdefault("; ".join(picture.done), []).append(picture.path)
    return groups


def _described(preprocessing: Preprocessing) -> str:
    """``pixel / 255``, ``(pixel / 127.5 - 1) / 1``, in the order in which it is applied."""
    scale = preprocessing.scale
    words = "pixel"
    if scale != 1:
        words = f"pixel / {1 / scale:.6g}" if 0 < abs(scale) < 1 else f"pixel × {scale:.6g}"
    if preprocessing.mean:
        words += f" − {_numbers(preprocessing.mean)}"
    if preprocessing.std:
        words = f"({words}) / {_numbers(preprocessing.std)}"
    return words


def _numbers(values: tuple[float, ...]) -> str:
    return f"{values[0]:g}" if len(values) == 1 else f"[{', '.join(f'{value:g}' for value in values)}]"
