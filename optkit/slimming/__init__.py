"""Makes finished model files smaller without changing what they compute: one module per format.

A plug-in defines ``SUMMARY``, ``SOURCE``, ``FORMAT``, ``KEEPS`` (what ``--keep`` takes: name → what it is) and
``slim(content, keep)``. Where the format has scales that can be merged it also defines ``merge_scales(content)``, which
changes what the file computes.

Nothing here runs a model. That a slimmer file answers as the one before is shown by whoever asked for it, in the
runtime (see ``optkit.pipeline.slim``): a slimmer is not believed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from optkit import registry
from optkit.errors import InputError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# What is raised where a number or a size in a file does not fit the rest of it.
_DAMAGE = (struct.error, ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class Slimmed:
    """A slimmer file.

    Attributes:
        content: The file.
        saved: Bytes that each kind of reduction saved, in the order in which they were made; they sum to the
            difference of the two files. One can be negative by a few bytes, where padding moved.
        notes: What a program that uses the file may miss, and what was left as it is and why.
    """

    content: bytes
    saved: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def slim(content: bytes, file_format: str, *, keep: Iterable[str] = ()) -> Slimmed:
    """Make a file smaller, with bit-identical outputs.

    Args:
        content: The file.
        file_format: ``tflite`` or ``onnx``.
        keep: Kinds of things to leave in it, of the plug-in's ``KEEPS``.

    Raises:
        InputError: The file is damaged, or has something that is not handled, which is named; or a kind is unknown.
    """
    module = registry.by_format("slimming", file_format)
    for kind in keep:
        if kind not in module.KEEPS:
            raise InputError(
                f"--keep {kind!r} is nothing that .{file_format} files have: {nearest(kind, [*module.KEEPS])}"
            )
    return _undamaged(lambda: module.slim(content, frozenset(keep)))


def merge_scales(content: bytes, file_format: str) -> Slimmed:
    """Give each quantized kernel one scale for all output channels; outputs change.

    Raises:
        InputError: The format has nothing of the kind, or the file is damaged.
    """
    module = registry.by_format("slimming", file_format)
    if not hasattr(module, "merge_scales"):
        raise InputError(f"--merge-scales works on .tflite files, found a .{file_format} file; leave it out")
    return _undamaged(lambda: module.merge_scales(content))


def _undamaged(work: Callable[[], Slimmed]) -> Slimmed:
    """Say in one line what is wrong where parts of a file do not fit together."""
    try:
        return work()
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"it is a damaged file: {reason}; export the model again") from error
