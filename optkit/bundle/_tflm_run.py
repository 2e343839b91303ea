"""A file in TensorFlow Lite for Microcontrollers' own interpreter: its answers, and the least arena."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optkit import limits
from optkit.device.ports import rescale, to_native
from optkit.errors import InputError
from optkit.measure.fresh_process import WorkerDiedError, converse

if TYPE_CHECKING:
    from optkit.bundle import Subject

_WORKER = "optkit.bundle._tflm_worker"
# Of the arena: kernels for a processor may ask for room that those of the host do not.
_MARGIN_SHARE, _LEAST_MARGIN = 0.1, 1024


class Ran(NamedTuple):
    """What the interpreter did: native inputs [n, …] and outputs [n, values], and the least arena."""

    inputs: np.ndarray
    outputs: np.ndarray
    arena_bytes: int

    @property
    def margin_bytes(self) -> int:
        return -(-max(_LEAST_MARGIN, round(self.arena_bytes * _MARGIN_SHARE)) // 16) * 16


_ran: dict[str, Ran] = {}


def run(subject: Subject) -> Ran:
    """All test examples through the interpreter, once for each file."""
    key = str(subject.path)
    if key in _ran:
        return _ran[key]
    if importlib.util.find_spec("tflite_micro") is None:
        raise InputError(
            "expected the package tflite-micro, which finds the arena, found none; pip install optkit[mcu] (x86-64)"
        )
    inputs = native_inputs(subject)
    with tempfile.TemporaryDirectory(prefix="optkit-") as scratch:
        given, out, log = (Path(scratch) / name for name in ("inputs.npy", "outputs.npy", "log.txt"))
        np.save(given, inputs, allow_pickle=False)
        job = {"file": str(subject.path), "inputs": str(given), "out": str(out)}
        told = None
        try:
            patience = limits.patience_seconds(subject.path, batch=1)
            for message in converse(_WORKER, job, log, patience):
                if message["event"] == "failed":
                    raise InputError(f"{subject.path.name}: {message['reason']}")
                told = message if message["event"] == "done" else told
        except WorkerDiedError as error:
            raise InputError(f"{subject.path.name} cannot be run in tflite-micro: {error}") from error
        if told is None:
            raise InputError(f"{subject.path.name} cannot be run in tflite-micro: the process said nothing")
        _ran[key] = Ran(inputs, np.load(out, allow_pickle=False), int(told["arena_bytes"]))
    return _ran[key]


def native_inputs(subject: Subject) -> np.ndarray:
    """All test examples as the file takes them."""
    fed = subject.preprocessing
    return to_native(rescale(subject.raw, fed.scale, fed.mean, fed.std), subject.given)
