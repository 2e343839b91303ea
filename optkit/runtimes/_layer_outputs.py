"""What every layer of a model makes of a few inputs, and how exact the file can be there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from optkit.readback import Constant, ModelFacts, Operator, Port

# What outputs of all layers may take in memory: fewer inputs are run where they are large.
_MOST_BYTES = 256 * 2**20
# float16 keeps 11 bits, so the relative error is at most 2^-11 and evenly spread (a third of its square).
_HALF = 2.0**-22 / 3
# A float32 sum in another order; measured 1e-12 to 1e-13 on networks of ten layers.
_FLOAT = 1e-11
# Steps that integers of a type have.
_LEVELS = {"int8": 255, "uint8": 255, "int16": 65535, "uint16": 65535}
# Calibration sees more images than the few that are run here, so that ranges may be larger than their values.
_LARGEST_RANGE = 3.0
SQUASHING = {
    "SOFTMAX": "softmax",
    "Softmax": "softmax",
    "LOGISTIC": "sigmoid",
    "Sigmoid": "sigmoid",
    "softmax": "softmax",
    "sigmoid": "sigmoid",
}


class LayerOutput(msgspec.Struct):
    """A tensor that a model computes.

    Attributes:
        name: Its name in the file, or the layer's.
        kind: The operator or layer that makes it.
        inputs: Names of the computed tensors it is made of.
        rounding: What the operator's own precision adds, as noise power over signal power: rounded weights and outputs.
        squash: ``softmax`` or ``sigmoid`` where it ends in one, which magnifies differences; else ``None``.
        file: Values float32 [inputs, …] as .npy in the scratch folder; ``None`` where they are of no interest.
        kernel: The kernel's real values as .npy, in the file's own axis order.
        kernel_rounding: Its share of ``rounding``.
    """

    name: str
    kind: str
    inputs: list[str]
    rounding: float = 0.0
    squash: str | None = None
    file: str | None = None
    kernel: str | None = None
    kernel_rounding: float = 0.0


def affordable(shapes: Sequence[tuple[int, ...]], wanted: int) -> int:
    """How many inputs are run, so that all layers' outputs fit in memory; at least 1.

    Args:
        shapes: Of all tensors that are kept, for one input.
        wanted: How many are asked for.
    """
    each = 4 * sum(math.prod(max(1, axis) for axis in shape) for shape in shapes)
    return max(1, min(wanted, _MOST_BYTES // max(1, each)))


def record(
    facts: ModelFacts,
    operators: Sequence[Operator],
    values: Callable[[], Iterator[list[np.ndarray | None]]],
    inputs: np.ndarray,
    folder: Path,
) -> list[LayerOutput]:
    """Write the values of each operator's first output, and how exact they can be.

    Args:
        facts: What the file says.
        operators: Those of the main graph, in its order.
        values: Runs input after input; gives the real values of each operator's first output.
        inputs: Real inputs float32 [n, …].
        folder: Where to write.
    """
    kept: list[list[np.ndarray]] = [[] for _ in operators]
    for one in values():
        for rows, tensor in zip(kept, one, strict=True):
            if tensor is not None:
                array = np.asarray(tensor, np.float32)
                rows.append(array if array.ndim and len(array) == 1 else array[None])
    constants = {constant.name: constant for constant in facts.constants}
    known = {port.name: inputs for port in facts.inputs}
    first = facts.inputs[0]
    taken = _taken(inputs, first)
    np.save(folder / "input.npy", taken, allow_pickle=False)
    records = [LayerOutput(first.name, "input", [], rounding=_step_share(first, taken), file="input.npy")]
    computed = {first.name}
    for index in _running_order(operators, computed):
        operator, rows = operators[index], kept[index]
        name = operator.outputs[0].name
        before = [port.name for port in operator.inputs if port.name in computed]
        own = [constant for constant in facts.constants if constant.operator == index and constant.role == "weight"]
        direct = [constants[port.name] for port in operator.inputs if port.name in constants]
        made = LayerOutput(name, operator.kind, before, squash=SQUASHING.get(operator.kind))
        computed.update(port.name for port in operator.outputs)
        output = np.concatenate(rows) if rows else None
        if output is not None:
            known[name] = output
            made.file = f"{index}.npy"
            np.save(folder / made.file, output, allow_pickle=False)
        made.rounding = _rounding(operator, [*own, *direct], output, known.get(before[0]))
        if own:
            kernel = max(own, key=lambda one: one.values.size)
            made.kernel, made.kernel_rounding = f"{index}.kernel.npy", _weight_share(kernel)
            np.save(folder / made.kernel, real(kernel), allow_pickle=False)
        records.append(made)
    return records


def _running_order(operators: Sequence[Operator], given: set[str]) -> list[int]:
    """Positions of the operators that depend on the input, each after what it uses: some files list them otherwise.

    Args:
        operators: In the file's order.
        given: Names of the inputs.
    """
    made = {port.name for operator in operators for port in operator.outputs}
    ready, reached = set(given), set(given)
    order: list[int] = []
    waiting = list(range(len(operators)))
    while waiting:
        later = []
        for index in waiting:
            names = [port.name for port in operators[index].inputs]
            if any(name in made and name not in ready for name in names):
                later.append(index)
                continue
            outputs = [port.name for port in operators[index].outputs]
            ready.update(outputs)
            if outputs and any(name in reached for name in names):
                reached.update(outputs)
                order.append(index)
        if len(later) == len(waiting):
            break
        waiting = later
    return order


def _rounding(
    operator: Operator, weights: Sequence[Constant], output: np.ndarray | None, given: np.ndarray | None
) -> float:
    seen = {constant.name: constant for constant in weights}
    share = _FLOAT + sum(_weight_share(constant) for constant in seen.values())
    if output is not None:
        share += _step_share(operator.outputs[0], output)
    elif operator.kind == "QuantizeLinear" and given is not None:
        share += _step_share(operator.outputs[0], given)
    if "float16" in operator.output_dtypes:
        share += _HALF
    if operator.kind == "DynamicQuantizeLinear" and given is not None:
        step = float(np.maximum(given.max(), 0) - np.minimum(given.min(), 0)) / 255
        share += step**2 / 12 / max(float((given.astype(np.float64) ** 2).mean()), 1e-30)
    integers = any(constant.role == "weight" and "int" in constant.dtype for constant in seen.values())
    if integers and given is not None and operator.input_dtypes[:1] == ("float32",):
        # Dynamic quantization: 8 bits for the input's own range, found anew in each call.
        rows = given.reshape(len(given), -1)
        share += float(((np.abs(rows).max(axis=1) / 127) ** 2 / 12).mean() / max(float((rows**2).mean()), 1e-30))
    return share


def _taken(inputs: np.ndarray, port: Port) -> np.ndarray:
    """The inputs as an integer input sees them: rounded to its steps and clipped to its range."""
    if port.scale is None or port.dtype not in _LEVELS:
        return inputs
    limits = np.iinfo(port.dtype)
    codes = np.clip(np.rint(inputs / np.float32(port.scale)) + (port.zero_point or 0), limits.min, limits.max)
    taken: np.ndarray = ((codes - (port.zero_point or 0)) * port.scale).astype(np.float32)
    return taken


def _step_share(port: Port, values: np.ndarray) -> float:
    """Noise of rounding to steps, evenly spread (a twelfth of the step's square), over the values' power.

    Steps count only as far as the type needs them: a range of several times what the values take is a fault of the
    file, which its precision does not explain.
    """
    if port.scale is None or not values.size:
        return 0.0
    needed = float(values.max() - values.min()) / _LEVELS.get(port.dtype, 255)
    step = min(port.scale, _LARGEST_RANGE * needed)
    return step**2 / 12 / max(float((values.astype(np.float64) ** 2).mean()), 1e-30)


def _weight_share(constant: Constant) -> float:
    if constant.dtype == "float16":
        return _HALF
    if not constant.scales or "int" not in constant.dtype or constant.role == "bias":
        return 0.0
    values = real(constant).astype(np.float64)
    return float(np.mean(np.square(constant.scales))) / 12 / max(float((values**2).mean()), 1e-30)


def real(constant: Constant) -> np.ndarray:
    """A stored tensor's real values, float32 in the file's axis order."""
    values = constant.values.astype(np.float32)
    if not constant.scales:
        return values
    scales, zeros = np.array(constant.scales, np.float32), np.array(constant.zero_points or [0], np.float32)
    if len(scales) > 1:
        axis = next((a for a in (constant.channel_axis, 0) if a is not None and a < values.ndim), 0)
        if values.shape[axis] != len(scales):
            return values
        shape = [1] * values.ndim
        shape[axis] = -1
        scales = scales.reshape(shape)
        zeros = zeros.reshape(shape) if len(zeros) > 1 else zeros
    result: np.ndarray = (values - zeros) * scales
    return result
