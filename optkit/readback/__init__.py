"""What a model file says about itself, read from the bytes without running it.

Each reader returns the same neutral records, so that checks and reports do not depend on the format.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from optkit import registry

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


@dataclass(frozen=True)
class Port:
    """An input or output of the model.

    ``shape`` has -1 for a dynamic axis; scale and zero point are ``None`` for float.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True)
class Constant:
    """A stored tensor.

    Attributes:
        name: The tensor's name in the file.
        role: ``weight`` (kernel of a convolution or dense layer), ``bias`` or ``other``.
        operator: Index in ``ModelFacts.operators`` of the operator that uses it, or -1.
        dtype: Stored type: ``float32``, ``float16``, ``int8``, ``int4``, ``int32``, ``int64``, …
        values: The stored values (integers for quantized tensors), in the file's axis order.
        channel_axis: Axis of ``values`` that counts output channels (weights), else ``None``.
        scales: Quantization scales, one per channel or one in all; empty for float.
        zero_points: As ``scales``.
        file_bytes: Bytes that the values take in the file (0 for a buffer that is shared and counted before).
    """

    name: str
    role: str
    operator: int
    dtype: str
    values: np.ndarray
    channel_axis: int | None
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    file_bytes: int


@dataclass(frozen=True)
class Operator:
    """A node of the graph.

    ``macs`` are multiply-accumulates per inference at batch 1, ``None`` where they cannot be told. Where an
    ONNX file says "integer" by a DequantizeLinear before and a QuantizeLinear after a float operator, the
    types are the integer ones: it is what the runtime fuses, and what a TFLite file says outright.
    ``inputs`` and ``outputs`` are its tensors, stored ones among the inputs; shapes are those at batch 1 and may be
    empty where the file does not tell them.
    """

    kind: str
    name: str
    macs: int | None
    input_dtypes: tuple[str, ...]
    output_dtypes: tuple[str, ...]
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()


@dataclass(frozen=True)
class ModelFacts:
    """A model file's own account of itself.

    ``signatures`` maps a signature's key to the names of its inputs and outputs (TFLite). ``external_files``
    are files beside this one that hold some of its tensors (ONNX). ``scale_bytes`` is what scales and zero
    points take that are no constants of their own (TFLite; in ONNX they are constants);
    ``name_bytes`` what names of tensors, nodes and signatures take, ``padding_bytes`` what holds nothing and moves the
    rest into place (TFLite; ONNX has none). ``metadata`` are the file's further notes about itself, such as who made
    it, by what they are called.
    """

    format: str
    file_bytes: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: tuple[Operator, ...]
    constants: tuple[Constant, ...]
    signatures: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)
    opset: int | None = None
    external_files: tuple[str, ...] = ()
    scale_bytes: int = 0
    name_bytes: int = 0
    padding_bytes: int = 0
    metadata: dict[str, str] = field(default_factory=dict)


def read(path: Path) -> ModelFacts:
    """Read a ``.tflite`` or ``.onnx`` file.

    Raises:
        InputError: The suffix is unknown, or the bytes are not such a file.
    """
    facts: ModelFacts = registry.by_format("readback", registry.format_of(path)).read(path)
    return facts


def bytes_by_kind(facts: ModelFacts) -> dict[str, int]:
    """Where the bytes of a file are.

    Returns:
        Bytes of ``weights``, ``biases``, ``scales_and_constants``, ``names``, ``padding`` and ``structure``
        (graph and metadata: what is left). They sum to ``facts.file_bytes``.
    """
    stored = {"weight": 0, "bias": 0, "other": 0}
    for constant in facts.constants:
        stored[constant.role] += constant.file_bytes
    named = {
        "weights": stored["weight"],
        "biases": stored["bias"],
        "scales_and_constants": stored["other"] + facts.scale_bytes,
        "names": facts.name_bytes,
        "padding": facts.padding_bytes,
    }
    return {**named, "structure": facts.file_bytes - sum(named.values())}
