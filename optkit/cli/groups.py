"""Options in groups: a command with dozens of them is read by subject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

OTHER = "Other"


class GroupedOption(click.Option):
    """An option that is listed under a heading."""

    def __init__(self, *args: Any, group: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help lists options under their headings, in the order in which the headings first appear."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section for each group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(parameter, "group", OTHER), []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)


def grouped(group: str, *options: tuple[Any, ...]) -> Callable[..., Any]:
    """A decorator that adds options under a heading.

    Args:
        group: The heading.
        options: Of each, its names and a dictionary of ``click.option``'s arguments last.
    """

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for *names, arguments in reversed(options):
            command = click.option(*names, cls=GroupedOption, group=group, **arguments)(command)
        return command

    return add
