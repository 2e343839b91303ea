"""What is in a model file, operator by operator, as records that a table or JSON is made of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from optkit.readback import bytes_by_kind
from optkit.readback._distinct import distinct

if TYPE_CHECKING:
    import numpy as np

    from optkit.readback import Constant, ModelFacts, Operator, Port

SCHEMA_VERSION = 1


class Tensor(msgspec.Struct, frozen=True):
    """A tensor that flows; -1 is an axis of any length, ``scale`` and ``zero_point`` are those of integers."""

    name: str
    dtype: str
    shape: list[int]
    scale: float | None = None
    zero_point: int | None = None


class Stored(msgspec.Struct, frozen=True):
    """A tensor in the file.

    Attributes:
        name: Its name.
        role: ``weight``, ``bias`` or ``other``.
        dtype: As stored.
        shape: In the file's axis order.
        values: How many.
        file_bytes: Bytes in the file; 0 where another tensor has the same ones.
        sparsity: Fraction of values that stand for 0.
        distinct: Different values.
        distinct_per_channel: The most that any output channel has; ``None`` where the axis is not known.
        channel_axis: Axis of the output channels.
        scales: How many quantization scales; 0 for float.
        scale_range: Least and largest of them.
        zero_points: The different ones.
    """

    name: str
    role: str
    dtype: str
    shape: list[int]
    values: int
    file_bytes: int
    sparsity: float
    distinct: int
    distinct_per_channel: int | None = None
    channel_axis: int | None = None
    scales: int = 0
    scale_range: tuple[float, float] | None = None
    zero_points: list[int] = []


class Layer(msgspec.Struct, frozen=True):
    """An operator, or a layer of a Keras model; ``macs`` at batch 1, ``None`` where they cannot be told."""

    kind: str
    name: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    macs: int | None
    parameters: int
    file_bytes: int
    stored: list[Stored]


class Totals(msgspec.Struct, frozen=True):
    """Over the whole file: ``parameters`` are stored weights and biases, each counted once."""

    operators: int
    operators_by_kind: dict[str, int]
    parameters: int
    nonzero_parameters: int
    macs: int | None
    macs_known: int


class Inspection(msgspec.Struct, frozen=True):
    """Everything that ``optkit inspect`` tells."""

    schema_version: int
    path: str
    format: str
    sha256: str | None
    file_bytes: int
    inputs: list[Tensor]
    outputs: list[Tensor]
    layers: list[Layer]
    constants: list[Stored]
    totals: Totals
    bytes_by_kind: dict[str, int]
    metadata: dict[str, str]
    signatures: dict[str, tuple[list[str], list[str]]] = {}
    external_files: list[str] = []
    notes: list[str] = []


def inspect(facts: ModelFacts, *, path: str, sha256: str | None) -> Inspection:
    """The account of a TFLite or ONNX file.

    Args:
        facts: From ``optkit.readback.read``.
        path: Where the file is.
        sha256: Of its bytes.
    """
    by_operator: dict[int, list[Stored]] = {}
    loose: list[Stored] = []
    for constant in facts.constants:
        record = stored(constant)
        if 0 <= constant.operator < len(facts.operators):
            by_operator.setdefault(constant.operator, []).append(record)
        else:
            loose.append(record)
    layers = [_layer(operator, by_operator.get(index, [])) for index, operator in enumerate(facts.operators)]
    return Inspection(
        schema_version=SCHEMA_VERSION,
        path=path,
        format=facts.format,
        sha256=sha256,
        file_bytes=facts.file_bytes,
        inputs=[tensor(port) for port in facts.inputs],
        outputs=[tensor(port) for port in facts.outputs],
        layers=layers,
        constants=loose,
        totals=totals(layers),
        bytes_by_kind=bytes_by_kind(facts),
        metadata=facts.metadata,
        signatures={key: (list(ins), list(outs)) for key, (ins, outs) in facts.signatures.items()},
        external_files=list(facts.external_files),
    )


def tensor(port: Port) -> Tensor:
    """A port as a record."""
    return Tensor(port.name, port.dtype, list(port.shape), port.scale, port.zero_point)


def _layer(operator: Operator, kept: list[Stored]) -> Layer:
    return Layer(
        kind=operator.kind,
        name=operator.name,
        inputs=[tensor(port) for port in operator.inputs],
        outputs=[tensor(port) for port in operator.outputs],
        macs=operator.macs,
        parameters=parameters(kept),
        file_bytes=sum(one.file_bytes for one in kept),
        stored=kept,
    )


def parameters(kept: list[Stored]) -> int:
    """Weights and biases among stored tensors, those that others share counted once."""
    return sum(one.values for one in kept if one.role in {"weight", "bias"} and one.file_bytes)


def totals(layers: list[Layer]) -> Totals:
    """Sums over layers; ``macs`` is ``None`` when those of any layer cannot be told."""
    kinds: dict[str, int] = {}
    for layer in layers:
        kinds[layer.kind] = kinds.get(layer.kind, 0) + 1
    own = [one for layer in layers for one in layer.stored if one.role in {"weight", "bias"} and one.file_bytes]
    known = sum(layer.macs for layer in layers if layer.macs is not None)
    return Totals(
        operators=len(layers),
        operators_by_kind=dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0]))),
        parameters=sum(one.values for one in own),
        nonzero_parameters=sum(one.values - round(one.sparsity * one.values) for one in own),
        macs=known if all(layer.macs is not None for layer in layers) else None,
        macs_known=known,
    )


def stored(constant: Constant) -> Stored:
    """A stored tensor as a record."""
    values = constant.values
    axis = constant.channel_axis if constant.channel_axis is not None and values.ndim > constant.channel_axis else None
    numeric = values.dtype.kind in "uifb"
    return Stored(
        name=constant.name,
        role=constant.role,
        dtype=constant.dtype,
        shape=list(values.shape),
        values=int(values.size),
        file_bytes=constant.file_bytes,
        sparsity=_sparsity(constant, axis) if numeric else 0.0,
        distinct=distinct(values),
        distinct_per_channel=None if axis is None or constant.role != "weight" else _most_in_a_channel(values, axis),
        channel_axis=axis,
        scales=len(constant.scales),
        scale_range=(min(constant.scales), max(constant.scales)) if constant.scales else None,
        zero_points=sorted(set(constant.zero_points)),
    )


def _most_in_a_channel(values: np.ndarray, axis: int) -> int:
    import numpy as np

    channels = np.moveaxis(values, axis, 0)
    return max((distinct(np.ascontiguousarray(channel)) for channel in channels), default=0)


def _sparsity(constant: Constant, axis: int | None) -> float:
    """Fraction of values that stand for 0: equal to the zero point, of their channel where there are several."""
    import numpy as np

    values = constant.values
    if not values.size:
        return 0.0
    points: np.ndarray = np.array(sorted(set(constant.zero_points)) or [0])
    if len(points) > 1 and axis is not None and values.shape[axis] == len(constant.zero_points):
        shape = [1] * values.ndim
        shape[axis] = -1
        points = np.array(constant.zero_points).reshape(shape)
    elif len(points) > 1:
        # Several zero points, and no telling which is whose.
        return 0.0
    return float(np.count_nonzero(values == points) / math.prod(values.shape))


def to_json(inspection: Inspection) -> bytes:
    """The account as JSON with two spaces of indent; a figure that is not known is null."""
    return msgspec.json.format(msgspec.json.encode(inspection)) + b"\n"
