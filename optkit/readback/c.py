"""Reads the C that ``optkit compile`` made: what it computes is in the .tflite file that lies beside it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from optkit.errors import InputError
from optkit.readback import tflite

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.readback import ModelFacts

SUMMARY = "C of optkit compile, by the .tflite file beside it, from which it was made; nothing is run."
SOURCE = "optkit compile"
FORMAT = "c"


def source(path: Path) -> Path:
    """The .tflite file that a C file was made from.

    Raises:
        InputError: It is not there.
    """
    found = path.with_suffix(".tflite")
    if not found.is_file():
        raise InputError(f"expected {found.name} beside {path}, from which optkit compile made it; compile it again")
    return found


def read(path: Path) -> ModelFacts:
    """The facts of the file that the C was made from.

    Raises:
        InputError: It is not there or damaged.
    """
    return dataclasses.replace(tflite.read(source(path)), format=FORMAT)
