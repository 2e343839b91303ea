"""Runs a .tflite file in TensorFlow Lite for Microcontrollers' own interpreter: started fresh by the mcu target.

The interpreter is C++ and says what it allocates, and why it cannot, on standard error.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from optkit.errors import InputError
from optkit.measure.one_answer import alive, answer

_STDERR = 2
_TOTAL = re.compile(rb"Arena allocation total (\d+) bytes")
# What the arena is aligned to.
_STEP = 16
# More than any microcontroller has; the interpreter itself takes ten times the file by default.
_MOST_ARENA = 1 << 28


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Find the least arena, then answer all examples in it.

    Returns:
        ``recorded_bytes``, what the interpreter's recorder counts, and ``arena_bytes``, the least with which it opens.

    Raises:
        InputError: It cannot be opened, with the interpreter's own words.
    """
    from tflite_micro.python.tflite_micro import runtime

    content = Path(job["file"]).read_bytes()
    inputs = np.load(job["inputs"], mmap_mode="r", allow_pickle=False)

    def opened(arena: int) -> Any:
        return runtime.Interpreter.from_bytes(content, arena_size=arena)

    with _said() as said:
        try:
            roomy = opened(_MOST_ARENA)
        except Exception as error:
            # pybind11 turns whatever it is into one of several kinds.
            words = " ".join(said().decode(errors="replace").split())[-300:]
            raise InputError(f"TensorFlow Lite for Microcontrollers cannot open it: {words or error}") from error
        roomy.print_allocations()
        found = _TOTAL.search(said())
    recorded = int(found[1]) if found else None
    low, high = 0, recorded or _MOST_ARENA
    # What was recorded need not be enough: twice as much until it is.
    with _said():
        while not _fits(opened, high, inputs[:1]):
            low, high = high, 2 * high
        while high - low > _STEP:
            middle = (low + high) // (2 * _STEP) * _STEP
            if middle in {low, high}:
                break
            low, high = (low, middle) if _fits(opened, middle, inputs[:1]) else (middle, high)
    interpreter = opened(high)
    rows = []
    for one in inputs:
        interpreter.set_input(one[None], 0)
        interpreter.invoke()
        rows.append(np.array(interpreter.get_output(0))[0])
        alive()
    np.save(job["out"], np.stack(rows), allow_pickle=False)
    return {"recorded_bytes": recorded, "arena_bytes": high}


def _fits(opened: Any, arena: int, inputs: np.ndarray) -> bool:
    """Whether it opens and runs with so many bytes."""
    try:
        interpreter = opened(arena)
        interpreter.set_input(np.array(inputs), 0)
        interpreter.invoke()
    except Exception:  # noqa: BLE001  # as above; that it opens with more is known
        return False
    return True


class _said:  # noqa: N801  # a context manager, used as a function
    """Turns standard error aside; gives a function that reads what was said so far."""

    def __enter__(self) -> Any:
        self._held = tempfile.TemporaryFile()  # closed on exit
        self._saved = os.dup(_STDERR)
        os.dup2(self._held.fileno(), _STDERR)

        def read() -> bytes:
            return os.pread(self._held.fileno(), 1 << 20, 0)

        return read

    def __exit__(self, *_: object) -> None:
        os.dup2(self._saved, _STDERR)
        os.close(self._saved)
        self._held.close()


if __name__ == "__main__":
    answer(run)
