"""The options that declare how raw values become a model's real inputs: the same words in every command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from optkit.problem import Preprocessing

CHANNELS = ("grey", "rgb", "bgr")
_OPTIONS = (
    click.option(
        "--scale",
        metavar="S",
        help="Multiply raw values by this, e.g. 1/255 (default: used as they are; mnist: 1/255).",
    ),
    click.option("--mean", metavar="M[,M...]", help="Then subtract this: one value, or one per channel."),
    click.option("--std", metavar="S[,S...]", help="Then divide by this: one value, or one per channel."),
    click.option("--resize", metavar="HEIGHTxWIDTH", help="Bring pictures to this size."),
    click.option("--channels", type=click.Choice(CHANNELS), help="Bring pictures to these channels."),
)
NAMES = ("scale", "mean", "std", "resize", "channels")


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, as the parameters in ``NAMES``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settings(given: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that were given, with lists of numbers read.

    Raises:
        InputError: A list cannot be read.
    """
    from optkit.data._preprocessing import read_numbers

    found = {name: given[name] for name in NAMES if given[name] is not None}
    return found | {name: read_numbers(f"--{name}", found[name]) for name in ("mean", "std") if name in found}


def declared(given: dict[str, Any]) -> Preprocessing | None:
    """What the options declare; ``None`` where none was given.

    Raises:
        InputError: An option cannot be read or used.
    """
    from optkit.data import _preprocessing

    return _preprocessing.declared(**settings(given))
