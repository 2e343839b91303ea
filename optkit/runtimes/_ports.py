"""Real inputs to a model's own types, and its outputs back: the same rules for every runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.data._inputs import parts, together
from optkit.device.ports import from_native, rows
from optkit.device.ports import to_native as _to_native
from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.readback import Port

__all__ = ["from_native", "generated", "paired", "rows", "to_native"]


def to_native(images: np.ndarray, ports: Sequence[Port]) -> np.ndarray:
    """Quantize (or cast) and arrange real inputs as a model takes them, see ``_to_native``.

    Args:
        images: float32 [n, …]; of several inputs a structure [n] with a field for each, by its name.
        ports: The inputs.

    Returns:
        For one input an array [n, …] of its own type, for several a structure [n] with a field for each, by the name
        of its port.

    Raises:
        InputError: The data are not for these inputs.
    """
    made = {port.name: _to_native(values, port) for values, port in paired(images, ports)}
    return together(made) if len(ports) > 1 else next(iter(made.values()))


def paired(images: np.ndarray, ports: Sequence[Port]) -> list[tuple[np.ndarray, Port]]:
    """The values of each input, in the order of the ports.

    Args:
        images: As in ``to_native``.
        ports: The inputs; TensorFlow's converter writes the name ``a`` as ``serving_default_a:0``.

    Raises:
        InputError: The data have not the inputs that the model has.
    """
    inputs = parts(images)
    if len(ports) == 1 and "" in inputs:
        return [(inputs[""], ports[0])]
    wanted = [port.name if port.name in inputs else _plain(port.name) for port in ports]
    if sorted(wanted) != sorted(inputs):
        named = "one input without a name" if "" in inputs else f"{', '.join(map(repr, sorted(inputs)))}"
        raise InputError(
            f"the model has the inputs {', '.join(repr(_plain(port.name)) for port in ports)}, the data have {named}; "
            "give data with an array for each input (x_test.NAME in an .npz file)"
        )
    return [(inputs[name], port) for name, port in zip(wanted, ports, strict=True)]


def _plain(name: str) -> str:
    return name.removeprefix("serving_default_").removesuffix(":0")


def generated(ports: Sequence[Port], count: int, seed: int = 0) -> np.ndarray:
    """Inputs for a file without data: uniform between 0 and 1, float32 [count, …] in the inputs' own shapes.

    Of several inputs they are a structure, as in ``to_native``.

    Raises:
        InputError: An axis besides the batch is dynamic, so that nobody can tell the shape.
    """
    made = {}
    for position, port in enumerate(ports):
        wanted = port.shape[1:]
        if min(wanted, default=0) < 0:
            raise InputError(
                f"the model's input {port.name!r} has the shape {list(port.shape)}, where -1 is any number; "
                "give data (--data) that say which"
            )
        made[port.name] = np.random.default_rng(seed + position).random((count, *wanted), np.float32)
    return together(made) if len(ports) > 1 else next(iter(made.values()))
