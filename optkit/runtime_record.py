"""What a runtime makes of a file: its operators, and facts about it.

Part of report.json, see ``optkit.schema``.
"""

from __future__ import annotations

from msgspec import Struct


class OperatorFigures(Struct, frozen=True):
    """One operator of the file, or of what the runtime made of it; its name may be empty.

    ``macs`` are per inference at batch 1, ``weight_bytes`` those of its stored weights and biases. ``mean_us`` is per
    call, from the runtime's own profile, which costs time too: what counts is the share.
    """

    kind: str
    name: str
    macs: int | None
    weight_bytes: int
    mean_us: float | None


class RuntimeFacts(Struct, frozen=True):
    """What the runtime makes of a file; the least version that opens it is what the file or a published table says.

    ``delegated_nodes`` were taken by XNNPACK (TFLite); the graph optimizer (ONNX) left ``nodes_after_optimization``.
    """

    least_version: str | None
    optimization: str
    nodes: int
    delegated_nodes: int | None = None
    nodes_after_optimization: int | None = None
