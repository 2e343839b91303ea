"""Surprises that the stored weights explain: zeros and repeated values in full room, and floats left over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.report.wording import count, listed, percent, times
from optkit.schema import Why

if TYPE_CHECKING:
    import numpy as np

    from optkit.readback import Constant, ModelFacts
    from optkit.schema import Variant

_INTEGER_WEIGHTS = {"int2", "uint2", "int4", "uint4", "int8", "uint8"}
_ITEM_BYTES = {"float32": 4.0, "float16": 2.0, "int8": 1.0, "uint8": 1.0, "int4": 0.5, "uint4": 0.5}
# Few values are all that 4 bits hold: there they are no clusters.
_NARROW = {"int4", "uint4"}

# Rounding to int8 alone makes a few percent of bell-shaped weights zero, and up to a fifth with one scale for
# a whole tensor: zeros beyond two fifths were put there on purpose.
_SPARSE_FRACTION = 0.4

# More values than this per channel (or tensor) are not what clustering leaves: 16 centroids are the default,
# and a table of more than 64 saves little. A channel must be four times as large, or few values are no
# finding.
_CLUSTERS = 64
_ENTRIES_PER_VALUE = 4


def weights(facts: ModelFacts) -> list[Constant]:
    """Kernels of convolutions and dense layers."""
    return [constant for constant in facts.constants if constant.role == "weight"]


def is_quantized(facts: ModelFacts) -> bool:
    """Whether some kernel is stored in whole numbers."""
    return any(constant.dtype in _INTEGER_WEIGHTS for constant in weights(facts))


def unstructured_sparsity(variant: Variant, baseline: Variant | None, facts: ModelFacts) -> Why | None:
    """Zeros that are stored, and multiplied with, like any other number."""
    kernels = weights(facts)
    total = sum(constant.values.size for constant in kernels)
    zeros = sum(_zeros(constant) for constant in kernels)
    if total == 0 or zeros / total < _SPARSE_FRACTION or variant.size is None:
        return None
    # A sparse format would take fewer bytes than one entry per weight: there the zeros are not stored.
    dense = sum(constant.values.size * _ITEM_BYTES.get(constant.dtype, 0.0) for constant in kernels)
    stored = sum(constant.file_bytes for constant in kernels)
    if dense == 0 or stored < 0.99 * dense:
        return None
    work = "; no kernel skips them: as many multiply-accumulates as the reference"
    return Why(
        "unstructured sparsity",
        f"{percent(zeros / total, decimals=1)} of the {count(total)} weights are zero, but each takes its "
        f"room in "
        f"the file ({count(stored)} bytes of weights, as many as without zeros)"
        f"{work if _same_work(variant, baseline) else ''}. Compressed with gzip the file has "
        f"{count(variant.size.gzip_bytes)} bytes instead of {count(variant.size.file_bytes)} "
        f"({times(variant.size.file_bytes / variant.size.gzip_bytes)}).",
    )


def _zeros(constant: Constant) -> int:
    """Values that mean zero; a quantized zero is stored as the zero point of its channel."""
    values = constant.values
    if not constant.zero_points or not any(constant.zero_points):
        return int((values == 0).sum())
    if len(constant.zero_points) == 1 or constant.channel_axis is None:
        return int((values == constant.zero_points[0]).sum())
    channels = (values.take(index, axis=constant.channel_axis) for index in range(len(constant.zero_points)))
    return sum(int((c == zero).sum()) for c, zero in zip(channels, constant.zero_points, strict=True))


def _same_work(variant: Variant, baseline: Variant | None) -> bool:
    """Whether the operators multiply as often as the dense baseline's."""
    if baseline is None or variant.compute is None or baseline.compute is None:
        return False
    return variant.compute.macs is not None and variant.compute.macs == baseline.compute.macs


def clustered(variant: Variant, facts: ModelFacts) -> Why | None:
    """Few distinct values, each stored in full."""
    kernels = [constant for constant in weights(facts) if constant.dtype in _ITEM_BYTES.keys() - _NARROW]
    found = {constant.name: most for constant in kernels if (most := _few_values(constant)) is not None}
    covered = sum(constant.values.size for constant in kernels if constant.name in found)
    total = sum(constant.values.size for constant in weights(facts))
    # Where less than half of the weights repeat, clusters are not what the file's size is about.
    if not found or covered < total / 2 or variant.size is None:
        return None
    bits = sorted({f"{8 * _ITEM_BYTES[constant.dtype]:.0f}" for constant in kernels if constant.name in found})
    return Why(
        "clusters are smaller only when compressed",
        f"{len(found)} kernels have at most {max(found.values())} distinct values in a channel or tensor, "
        f"but each "
        f"weight is stored in {' or '.join(bits)} bits, not as a number in a table: the file has "
        f"{count(variant.size.file_bytes)} bytes, {count(variant.size.gzip_bytes)} with gzip "
        f"({times(variant.size.file_bytes / variant.size.gzip_bytes)}).",
    )


def _few_values(constant: Constant) -> int | None:
    """The most distinct values of a channel (of the tensor without channel scales), if that is few."""
    groups = _groups(constant)
    distinct = [len(set(group.ravel().tolist())) for group in groups]
    if not groups or min(group.size for group in groups) < _ENTRIES_PER_VALUE * max(distinct):
        return None
    return max(distinct) if max(distinct) <= _CLUSTERS else None


def _groups(constant: Constant) -> list[np.ndarray]:
    if constant.channel_axis is None or len(constant.scales) <= 1:
        return [constant.values] if constant.values.size else []
    return [
        constant.values.take(index, axis=constant.channel_axis)
        for index in range(constant.values.shape[constant.channel_axis])
    ]


def float_left(facts: ModelFacts) -> Why | None:
    """Kernels in float beside kernels in whole numbers."""
    if not is_quantized(facts):
        return None
    left = [constant for constant in weights(facts) if constant.dtype.startswith(("float", "bfloat"))]
    if not left:
        return None
    total = sum(constant.file_bytes for constant in weights(facts))
    taken = sum(constant.file_bytes for constant in left)
    names = [_layer_name(constant, facts) for constant in left]
    narrow = sum(constant.values.size for constant in left)
    return Why(
        "layers left in float",
        f"{listed(names)}: {len(left)} of {len(weights(facts))} kernels are not quantized and take "
        f"{count(taken)} of {count(total)} bytes of weights, {count(taken - narrow)} more than in int8"
        f"{_float_work(left, facts)}.",
    )


def _float_work(left: list[Constant], facts: ModelFacts) -> str:
    """What share of the arithmetic is in float, where the file tells; what that takes depends on the kernels."""
    own = [operator.macs for operator in facts.operators]
    total = sum(macs or 0 for macs in own)
    users = {constant.operator for constant in left if constant.operator >= 0}
    done = [own[user] for user in users]
    if not total or not done or any(macs is None for macs in done):
        return ""
    in_float = sum(macs or 0 for macs in done)
    return f"; {percent(in_float / total, decimals=1)} of the multiply-accumulates are computed in float"


def _layer_name(constant: Constant, facts: ModelFacts) -> str:
    """The operator's own name where the file has one, else the tensor's.

    TFLite joins the names of everything that was fused into an operator with ``;``: the first is enough.
    """
    operator = facts.operators[constant.operator] if constant.operator >= 0 else None
    name = operator.name if operator is not None and operator.name else constant.name
    return name.split(";")[0]
