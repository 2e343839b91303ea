"""Whether kernels in the file are as small and as sparse, and hold as few values, as the techniques promise."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from optkit.readback._distinct import distinct as distinct_in
from optkit.schema import Check, KernelExpectation
from optkit.verify.structure import kernels_in_order

if TYPE_CHECKING:
    from optkit.readback import Constant, ModelFacts

# (format, rank, axis of output channels) → axis of input channels, from the operators' kernel layouts: TFLite
# [out, height, width, in]; ONNX [out, in, …], transposed convolutions [in, out, …], and before a Transpose
# Keras's [height, width, in, out].
_INPUT_AXES: dict[tuple[str, int, int], int] = {
    ("tflite", 2, 0): 1,
    ("tflite", 4, 0): 3,
    ("onnx", 2, 0): 1,
    ("onnx", 2, 1): 0,
    ("onnx", 4, 0): 1,
    ("onnx", 4, 1): 0,
    ("onnx", 4, 3): 2,
}
_BLOCK = 4
_ZEROS_PER_BLOCK = 2


def checks(facts: ModelFacts, expectations: tuple[KernelExpectation, ...]) -> list[Check]:
    """Check every expectation against the kernel that it is about.

    Kernels are found by their number of values and their order, since converters rename them: each
    expectation takes the first kernel of that size which no earlier one took, and of several one whose operator
    multiplies as often as promised.

    Args:
        facts: What is in the file.
        expectations: What techniques promise, in layer order.
    """
    kernels = kernels_in_order(facts)
    found = []
    for expectation in expectations:
        fitting = [k for k in kernels if k.values.size == expectation.elements]
        kernel = next((k for k in fitting if _macs(k, facts) == expectation.macs), fitting[0] if fitting else None)
        if kernel is None:
            sizes = ", ".join(str(k.values.size) for k in kernels) or "none left"
            found.append(
                Check(
                    f"kernel of {expectation.layer}",
                    passed=False,
                    observed=sizes,
                    limit=expectation.elements,
                    unit="values",
                    reason="kernels are found by their size, in order",
                )
            )
            continue
        kernels = [k for k in kernels if k is not kernel]
        found += _kernel(kernel, expectation, facts.format)
        if expectation.small:
            found += _size(kernel, expectation, _macs(kernel, facts))
    return found


def _macs(kernel: Constant, facts: ModelFacts) -> int | None:
    """Multiply-accumulates of the operator that uses a kernel."""
    return facts.operators[kernel.operator].macs if kernel.operator >= 0 else None


def _size(kernel: Constant, expectation: KernelExpectation, macs: int | None) -> list[Check]:
    """A kernel that lost channels takes no more room and no more arithmetic than what is left of it."""
    bits = re.search(r"\d+", kernel.dtype)
    room = None if bits is None else -(-expectation.elements * int(bits[0]) // 8)
    found = [
        Check(
            f"bytes of {expectation.layer}",
            passed=room is not None and kernel.file_bytes <= room,
            observed=kernel.file_bytes,
            limit=room,
            unit="bytes",
            reason=f"{expectation.elements:,} values of {kernel.dtype}, each in its own room",
        )
    ]
    if expectation.macs is not None:
        # Shapes that the file leaves open say nothing, for or against.
        told = macs is not None
        found.append(
            Check(
                f"multiply-accumulates of {expectation.layer}",
                passed=not told or macs == expectation.macs,
                observed=macs if told else "not told by the file",
                limit=expectation.macs,
                unit="per example",
                reason="the channels that are left, at every position of the output",
            )
        )
    return found


def zeros(kernel: Constant) -> np.ndarray:
    """Which stored values stand for zero, bool in the kernel's shape: those equal to the zero point."""
    shape = [1] * kernel.values.ndim
    if len(kernel.zero_points) > 1 and kernel.channel_axis is not None:
        shape[kernel.channel_axis] = -1
    points = np.asarray(kernel.zero_points or (0,)).reshape(shape)
    mask: np.ndarray = kernel.values == points
    return mask


def distinct(kernel: Constant) -> int:
    """Distinct values: the most in any output channel of a quantized kernel, in the whole of a float one.

    One scale per channel turns the same real value into another integer in each.
    """
    if not kernel.scales or kernel.channel_axis is None:
        return distinct_in(kernel.values)
    channels = np.moveaxis(kernel.values, kernel.channel_axis, 0)
    return max(distinct_in(np.ascontiguousarray(channel)) for channel in channels)


def blocks_2_of_4(kernel: Constant, file_format: str) -> float | None:
    """Share of blocks of four consecutive input channels with at least two zeros (Mishra et al. 2021).

    A last block that is cut short must have as many zeros less as it has values less.

    Returns:
        The share, or ``None`` where the layout says nothing of input channels.
    """
    key = (file_format, kernel.values.ndim, kernel.channel_axis if kernel.channel_axis is not None else -1)
    if key not in _INPUT_AXES:
        return None
    rows = np.moveaxis(zeros(kernel), _INPUT_AXES[key], -1)
    missing = -rows.shape[-1] % _BLOCK
    padded = np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, missing)], constant_values=True)
    blocks = padded.reshape(-1, _BLOCK).sum(axis=1)
    return float(np.mean(blocks >= _ZEROS_PER_BLOCK))


def _kernel(kernel: Constant, expectation: KernelExpectation, file_format: str) -> list[Check]:
    found = []
    layer = expectation.layer
    if expectation.sparsity_at_least is not None:
        sparsity = float(zeros(kernel).mean())
        found.append(
            Check(
                f"sparsity of {layer}",
                passed=sparsity >= expectation.sparsity_at_least,
                observed=sparsity,
                limit=expectation.sparsity_at_least,
                unit="of the stored values are zero",
                reason="rounding to fewer bits only adds zeros",
            )
        )
    if expectation.distinct_at_most is not None:
        count = distinct(kernel)
        found.append(
            Check(
                f"distinct values of {layer}",
                passed=count <= expectation.distinct_at_most,
                observed=count,
                limit=expectation.distinct_at_most,
                unit="values per output channel" if kernel.scales else "values",
                reason="rounding may join two values, never part one",
            )
        )
    if expectation.block_2_of_4:
        share = blocks_2_of_4(kernel, file_format)
        found.append(
            Check(
                f"2 of 4 of {layer}",
                passed=share == 1.0,
                observed=share,
                limit=1.0,
                unit="of the blocks have two zeros",
                reason="hardware that skips two of four needs every block so",
            )
        )
    return found
