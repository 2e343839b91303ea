"""The errors that a user meets, each with the exit code that the command line ends with."""

from __future__ import annotations


class OptkitError(Exception):
    """Base of every error that is part of the interface.

    The message is one line: what was expected, what was found, what to do next.
    """

    exit_code = 70


class ConditionBrokenError(OptkitError):
    """A condition that the user set on a comparison does not hold."""

    exit_code = 1


class InputError(OptkitError):
    """Something the user gave cannot be used; nothing was done."""

    exit_code = 2


class UnreachableError(InputError):
    """A goal that was asked for cannot be had: the run ends, instead of leaving out the files that it is about."""


class BudgetMissedError(OptkitError):
    """No file meets every limit that was set; the nearest is delivered."""

    exit_code = 3


class PartialError(OptkitError):
    """Some files failed; the others are there."""

    exit_code = 4


class EnvironmentFailedError(OptkitError):
    """The surroundings failed midway: a full disk, a lost device, a killed worker."""

    exit_code = 5


class InternalError(OptkitError):
    """A defect of optkit; the log has the traceback."""

    exit_code = 70


# A network can have hundreds of layers, and a message is one line.
_MOST_CHOICES = 60


def without_control(text: str) -> str:
    """A text for the screen: names in a stranger's file must not steer the terminal.

    Control characters become ``�``, but for line breaks, tabs and colours.
    """
    import re

    return re.sub(r"(\x1b\[[0-9;]*m)|[\x00-\x08\x0b-\x1f\x7f-\x9f]", lambda found: found[1] or "�", text)


def nearest(word: str, choices: list[str]) -> str:
    """A hint for a misspelt name: the near matches, else all choices.

    Args:
        word: What the user wrote.
        choices: The names that would have been accepted.
    """
    import difflib

    close = difflib.get_close_matches(word, choices, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    shown = choices[:_MOST_CHOICES]
    rest = f" or {len(choices) - len(shown)} more" if len(choices) > len(shown) else ""
    return f"choose one of {', '.join(shown)}{rest}"
