"""Real inputs to a model's own types, and its outputs back: the same rules for every runtime."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from optkit.data._inputs import parts, together
from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.readback import Port


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


def _to_native(images: np.ndarray, port: Port) -> np.ndarray:
    """Quantize (or cast) and arrange the real values of one input.

    Integer inputs: q = clip(round(x / scale) + zero point) (Jacob et al. 2018, equation 1), ties to even.
    The division is done in float32, as a device does it.

    Args:
        images: float32 [batch, height, width, channels], [batch, height, width], [batch, channels, height, width]
            or [batch, values].
        port: The input; an integer one without a scale takes rounded values.

    Returns:
        Contiguous array of the port's dtype, [batch, …] in the model's shape.

    Raises:
        InputError: The input's shape is none of the ways to arrange such an image.
    """
    arranged = _arranged(images, port)
    dtype = np.dtype(port.dtype)
    if dtype.kind not in "iu":
        return np.ascontiguousarray(arranged, dtype)
    steps = np.asarray(arranged, np.float32)
    if port.scale is not None:
        steps = steps / np.float32(port.scale)
    limits = np.iinfo(dtype)
    native: np.ndarray = np.clip(np.rint(steps) + (port.zero_point or 0), limits.min, limits.max)
    return native.astype(dtype, order="C")


def _arranged(images: np.ndarray, port: Port) -> np.ndarray:
    """The images in the model's layout: as they are, channels moved, a channel axis of 1 added or taken away, flat."""
    wanted, shape = port.shape[1:], images.shape[1:]
    given = shape
    if len(given) == 2 and len(wanted) == 3:
        images, given = images[..., None], (*given, 1)
    if _fits(given, wanted):
        return images
    if len(given) == 3 and len(wanted) == 3:
        channels_first, channels_last = np.moveaxis(images, -1, 1), np.moveaxis(images, 1, -1)
        for moved in (channels_first, channels_last):
            if _fits(moved.shape[1:], wanted):
                return moved
    if len(given) == 3 and len(wanted) == 2 and given[-1] == 1 and _fits(given[:-1], wanted):
        return images[..., 0]
    if 1 in {len(given), len(wanted)} and min(wanted, default=0) >= 0 and math.prod(given) == math.prod(wanted):
        return images.reshape(len(images), *wanted)
    raise InputError(
        f"the model's input {port.name!r} takes {list(wanted)} per image, "
        f"the data have {list(shape)}; give data of that shape"
    )


def _fits(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether shapes are equal, where -1 in the wanted one takes any number."""
    return len(given) == len(wanted) and all(two in {-1, one} for one, two in zip(given, wanted, strict=True))


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


def from_native(outputs: np.ndarray, port: Port) -> np.ndarray:
    """Real values float32 of native outputs: r = scale · (q − zero point) for integer outputs."""
    if port.scale is None:
        return outputs.astype(np.float32)
    return (outputs.astype(np.float32) - np.float32(port.zero_point or 0)) * np.float32(port.scale)


def rows(output: np.ndarray) -> np.ndarray:
    """A native output as [batch, values]."""
    return output if output.ndim == 2 else output.reshape(len(output) if output.ndim else 1, -1)
