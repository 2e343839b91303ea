"""C that several operators share: TensorFlow Lite's rounding, and rows of products.

Source: tensorflow/lite/kernels/internal/common.cc (``MultiplyByQuantizedMultiplier``) and gemmlowp's fixedpoint.h. A
product of two int32 is halved 31 times with halves going up, and the rest of the shift rounds halves away from zero:
that is the double rounding of the quantization specification. The right shift of a negative value is arithmetic, as in
every compiler that is known to matter (C99 leaves it to the compiler).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.codegen._arithmetic import HIGHEST, LOWEST, Multiplier, activation_range, check_sum, multiplier
from optkit.codegen._rounding import ONCE
from optkit.codegen._writing import Constants, Kernel, comment
from optkit.errors import InputError
from optkit.tflite_schema import names_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.codegen._graph import Graph, Node, Tensor

HIGH_MUL = Kernel(
    "high_mul",
    """\
/* The upper half of twice a product, halves up. */
KERNEL int32_t high_mul(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + ((int32_t)1 << 30)) >> 31);
}
""",
)

HALVE = Kernel(
    "halve",
    """\
/* x / 2^times, halves away from zero. */
KERNEL int32_t halve(int32_t x, int times)
{
    const int32_t mask = (int32_t)(((uint32_t)1 << times) - 1U);
    return (x >> times) + ((x & mask) > (mask >> 1) + (x < 0) ? 1 : 0);
}
""",
)

SCALE = Kernel(
    "scale",
    """\
/* x * value * 2^(shift - 31), rounded twice; with a shift above 31 it is x * value / 2^shift, rounded once. */
KERNEL int32_t scale(int32_t x, int32_t value, int shift)
{
    if (shift > 31) {
        return ((int32_t)(((int64_t)x * value) >> 31) + ((int32_t)1 << (shift - 32))) >> (shift - 31);
    }
    if (shift > 0) {
        return high_mul((int32_t)((uint32_t)x << shift), value);
    }
    return halve(high_mul(x, value), -shift);
}
""",
    (HIGH_MUL, HALVE),
)

CLAMP = Kernel(
    "clamp",
    """\
KERNEL int8_t clamp(int32_t x, int32_t low, int32_t high)
{
    return (int8_t)(x < low ? low : x > high ? high : x);
}
""",
)

DENSE_TYPE = Kernel(
    "dense_t",
    """\
/* n sums of k products; zero points of the input are in the biases. Multipliers are each channel's own or common. */
typedef struct {
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *value;
    const int8_t *shift;
    uint16_t k, n;
    int8_t zero, low, high;
    uint8_t own;
} dense_t;
""",
)

DENSE = Kernel(
    "dense",
    """\
KERNEL void dense(const dense_t *p, const int8_t *x, int8_t *y)
{
    const int8_t *w = p->weights;
    int i;
    for (i = 0; i < p->n; i++) {
        const int at = p->own ? i : 0;
        int32_t sum = p->bias[i];
        int k;
        for (k = 0; k < p->k; k++) {
            sum += x[k] * w[k];
        }
        w += p->k;
        y[i] = clamp(scale(sum, p->value[at], p->shift[at]) + p->zero, p->low, p->high);
    }
}
""",
    (DENSE_TYPE, SCALE, CLAMP),
)

DENSE4 = Kernel(
    "dense4",
    """\
/* As dense, with two weights in a byte, the first in its low half; each row of weights begins a byte. */
KERNEL void dense4(const dense_t *p, const int8_t *x, int8_t *y)
{
    const int8_t *w = p->weights;
    int i;
    for (i = 0; i < p->n; i++) {
        const int at = p->own ? i : 0;
        int32_t sum = p->bias[i];
        int k;
        for (k = 0; k + 1 < p->k; k += 2) {
            const int pair = *w++;
            sum += x[k] * (((pair & 15) ^ 8) - 8) + x[k + 1] * (pair >> 4);
        }
        if (k < p->k) {
            sum += x[k] * (((*w++ & 15) ^ 8) - 8);
        }
        y[i] = clamp(scale(sum, p->value[at], p->shift[at]) + p->zero, p->low, p->high);
    }
}
""",
    (DENSE_TYPE, SCALE, CLAMP),
)

_DENSE_BYTES = 24


_WIDE_TYPE = Kernel(
    "dense_wide_t",
    """\
/* As dense_t, with factors of 64 bits, rounded once. */
typedef struct {
    const int8_t *weights;
    const int32_t *bias;
    const int64_t *value;
    const int8_t *shift;
    uint16_t k, n;
    int8_t zero, low, high;
    uint8_t own;
} dense_wide_t;
""",
)
_WIDE_SCALE = "(int32_t)((sum * p->value[at] + ((int64_t)1 << (p->shift[at] - 1))) >> p->shift[at])"


def dense_kernel(filters: Tensor, *, wide: bool = False) -> Kernel:
    """The kernel for weights of this type, and for factors of 64 bits."""
    plain = DENSE4 if filters.dtype == "int4" else DENSE
    if not wide:
        return plain
    name = f"{plain.name}_wide"
    text = plain.text.replace(f"void {plain.name}(const dense_t", f"void {name}(const dense_wide_t").replace(
        "scale(sum, p->value[at], p->shift[at])", _WIDE_SCALE
    )
    return Kernel(name, text, (_WIDE_TYPE, CLAMP))


def packed(rows: np.ndarray, dtype: str) -> np.ndarray:
    """Rows of weights [n, k] as they are stored: int8, or two int4 in a byte and each row from a byte of its own."""
    if dtype == "int8":
        return rows
    filled = np.zeros((len(rows), rows.shape[1] + rows.shape[1] % 2), np.int16)
    filled[:, : rows.shape[1]] = rows
    pairs = (filled[:, 0::2] & 15) | ((filled[:, 1::2] & 15) << 4)
    return pairs.astype(np.uint8).view(np.int8)


def dense_fields(
    node: Node,
    graph: Graph,
    constants: Constants,
    *,
    weights: np.ndarray,
    multipliers: list[Multiplier],
    stored: str,
    bias: np.ndarray,
    wide: bool = False,
) -> dict[str, object]:
    """The fields of a ``dense_t``.

    Args:
        node: The operator.
        graph: Its graph.
        constants: Where arrays go.
        weights: int8 [n, k], in the order of the values that they meet.
        multipliers: One, or n.
        stored: Type that they are stored as, ``int8`` or ``int4``.
        bias: int64 [n].
        wide: The multipliers are of 64 bits.
    """
    given, made = graph.input(node), graph.output(node)
    folded = bias - given.zero_point * weights.astype(np.int64).sum(axis=1)
    check_sums([max(-low, high) for low, high in sum_ranges(weights, folded)], multipliers, node)
    label = comment(made.name)
    own = len(set(multipliers)) > 1
    used = multipliers if own else multipliers[:1]
    low, high = activation_range(node.options.fusedActivationFunction, names_of("ActivationFunctionType"), made, node)
    return {
        "weights": constants.array(packed(weights, stored), f"{label}: weights", weights=True),
        "bias": constants.array(folded.astype(np.int32), f"{label}: biases"),
        "value": constants.array(
            np.array([one.value for one in used], np.int64 if wide else np.int32), f"{label}: multipliers"
        ),
        "shift": constants.array(np.array([one.shift for one in used], np.int8), f"{label}: shifts"),
        "k": weights.shape[1],
        "n": len(weights),
        "zero": made.zero_point,
        "low": low,
        "high": high,
        "own": int(own),
    }


def check_sums(worst: Sequence[int], multipliers: Sequence[Multiplier], node: Node) -> None:
    """Stop where a sum, rescaled to the left, or rescaled and with the zero point added, may leave 32 bits.

    Each channel is looked at by itself: the biases of those that pruning left empty reach to the end of 32 bits.

    Args:
        worst: For each channel the greatest sum by amount.
        multipliers: One, or one for each.
        node: For the message.

    Raises:
        InputError: It may.
    """
    for at, most in enumerate(worst):
        one = multipliers[at % len(multipliers)]
        if one.shift >= ONCE:
            check_sum(most, node)
            scaled = most * one.value >> one.shift
        else:
            left = most << max(0, one.shift)
            check_sum(left, node)
            scaled = left * one.value >> (31 + max(0, -one.shift))
        # Rounded up, and the zero point's most.
        check_sum(scaled + 1 + HIGHEST + 1, node)


def sum_ranges(weights: np.ndarray, bias: np.ndarray) -> list[tuple[int, int]]:
    """For each row of weights int8 [n, k], with the zero points in the biases, the least and the greatest sum."""
    wide = weights.astype(np.int64)
    ends = np.stack([wide * LOWEST, wide * HIGHEST])
    low, high = (bias + pick.sum(axis=1) for pick in (ends.min(axis=0), ends.max(axis=0)))
    return [*zip(low.tolist(), high.tolist(), strict=True)]


def filters_of(node: Node, graph: Graph) -> Tensor:
    """The weights of an operator: stored, int8 or int4, symmetric.

    Raises:
        InputError: They are not.
    """
    found = graph.input(node, 1)
    if found.values is None:
        raise InputError(f"{node.place} takes weights that are computed; code is generated for stored ones")
    if found.dtype not in {"int8", "int4"}:
        raise InputError(
            f"{node.place} has {found.dtype} weights; covered are int8 and int4, export it as int8 or int4"
        )
    if not found.scales or any(found.zero_points):
        raise InputError(f"{node.place} has weights without a scale or with a zero point; export it as int8")
    check_int8(node, graph)
    return found


def check_int8(node: Node, graph: Graph, count: int = 1) -> None:
    """Stop unless the first inputs and the output are int8.

    Raises:
        InputError: One is not.
    """
    for tensor in [*(graph.input(node, slot) for slot in range(count)), graph.output(node)]:
        if tensor.dtype != "int8" or len(tensor.scales) != 1:
            raise InputError(f"{node.place} works on {tensor.dtype} with {len(tensor.scales)} scales; covered is int8")


def bias_of(node: Node, graph: Graph, slot: int, count: int) -> np.ndarray:
    """The biases of an operator, int64 [count], zeros where it has none.

    Raises:
        InputError: They are not int32, or not as many as there are output channels.
    """
    found = graph.given(node, slot)
    if found is None:
        return np.zeros(count, np.int64)
    if found.values is None or found.dtype != "int32" or found.count != count:
        raise InputError(f"{node.place} has {found.dtype} biases {list(found.shape)}, expected int32 [{count}]")
    return found.values.reshape(-1).astype(np.int64)


def convolution_multipliers(node: Node, graph: Graph, filters: Tensor, count: int) -> list[Multiplier]:
    """``PopulateConvolutionQuantizationParams``: one for each output channel, in float64.

    Raises:
        InputError: There are neither one scale nor as many as output channels.
    """
    if len(filters.scales) not in {1, count}:
        raise InputError(f"{node.place} has {len(filters.scales)} scales for {count} output channels")
    given, made = graph.input(node), graph.output(node)
    found = [multiplier(given.scales[0] * scale / made.scales[0]) for scale in filters.scales]
    return found * count if len(found) == 1 else found
