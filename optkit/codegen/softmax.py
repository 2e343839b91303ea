"""SOFTMAX: in fixed point, with exponentials and a reciprocal as gemmlowp works them out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optkit.codegen import _kernels
from optkit.codegen._arithmetic import multiplier
from optkit.codegen._writing import Constants, Kernel, Step
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node

SUMMARY = "Softmax over the last axis."
SOURCE = "tensorflow/lite/kernels/internal/reference/softmax.h; gemmlowp's fixedpoint.h"
KIND = "SOFTMAX"
VERSIONS = (1, 3)
IGNORED: tuple[int, ...] = ()

# Bits before the point of what goes into the exponential.
_DIFFERENCE_BITS = 5

_EXP = Kernel(
    "exp_below",
    """\
/* exp(x) for x <= 0: x has 26 bits behind the point, the result 31. A polynomial around -1/8 for what is beyond a
   multiple of 1/4, then a factor exp(-2^k) for each bit of the multiple. */
KERNEL int32_t exp_below(int32_t x)
{
    static const int32_t factors[7] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
    const int32_t quarter = (int32_t)1 << 24;
    const int32_t part = (x & (quarter - 1)) - quarter;
    const int32_t rest = part - x;
    const int32_t a = part * 32 + ((int32_t)1 << 28);
    const int32_t a2 = high_mul(a, a);
    const int32_t a3 = high_mul(a2, a);
    const int32_t a4 = high_mul(a2, a2);
    const int32_t higher = halve(high_mul(halve(a4, 2) + a3, 715827883) + a2, 1);
    int32_t result = 1895147668 + high_mul(1895147668, a + higher);
    int k;
    if (x == 0) {
        return INT32_MAX;
    }
    for (k = 0; k < 7; k++) {
        if ((rest >> (24 + k)) & 1) {
            result = high_mul(result, factors[k]);
        }
    }
    return result;
}
""",
    (_kernels.HIGH_MUL, _kernels.HALVE),
)
_RECIPROCAL = Kernel(
    "reciprocal",
    """\
/* 1 / (1 + x) for x from 0 to 1, 31 bits behind the point: Newton and Raphson's division, three times. */
KERNEL int32_t reciprocal(uint32_t x)
{
    const int32_t half = (int32_t)((x + 0x80000000U) >> 1);
    int32_t found = 1515870810 + high_mul(half, -1010580540);
    int i;
    for (i = 0; i < 3; i++) {
        found += high_mul(found, ((int32_t)1 << 29) - high_mul(half, found)) * 4;
    }
    return found > ((int32_t)1 << 30) - 1 ? INT32_MAX : found * 2;
}
""",
    (_kernels.HIGH_MUL,),
)
_KERNEL = Kernel(
    "softmax",
    """\
KERNEL void softmax(const int8_t *x, int8_t *out, int rows, int size, int32_t value, int shift, int lowest)
{
    int row;
    for (row = 0; row < rows; row++) {
        int32_t highest = -128;
        uint32_t sum = 0;
        int32_t over, bits = 12;
        int i;
        for (i = 0; i < size; i++) {
            highest = x[i] > highest ? x[i] : highest;
        }
        for (i = 0; i < size; i++) {
            if (x[i] - highest >= lowest) {
                sum += (uint32_t)halve(exp_below(high_mul((x[i] - highest) * ((int32_t)1 << shift), value)), 12);
            }
        }
        do {
            bits--;
            sum <<= 1;
        } while (sum < 0x80000000U);
        over = reciprocal(sum - 0x80000000U);
        for (i = 0; i < size; i++) {
            int32_t found = -128;
            if (x[i] - highest >= lowest) {
                const int32_t power = exp_below(high_mul((x[i] - highest) * ((int32_t)1 << shift), value));
                found += halve(high_mul(over, power), bits + 23);
            }
            out[i] = clamp(found, -128, 127);
        }
        x += size;
        out += size;
    }
}
""",
    (_EXP, _RECIPROCAL, _kernels.CLAMP),
)


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    del constants
    _kernels.check_int8(node, graph)
    given, made = graph.input(node), graph.output(node)
    if made.zero_point != -128 or abs(made.scales[0] - 1 / 256) > 0.001 / 256 or given.shape != made.shape:
        raise InputError(
            f"{node.place} has the output scale {made.scales[0]} and zero point {made.zero_point}, expected 1/256 and "
            "-128; export the model again"
        )
    # PreprocessSoftmaxScaling and CalculateInputRadius.
    real = min(node.options.beta * given.scales[0] * 2 ** (31 - _DIFFERENCE_BITS), 2**31 - 1.0)
    if real <= 1:
        raise InputError(f"{node.place} has the input scale {given.scales[0]}, which is too small; export it again")
    value, shift = multiplier(real)
    lowest = -math.floor((2**_DIFFERENCE_BITS - 1) * 2 ** (31 - _DIFFERENCE_BITS) / 2**shift)
    # With no difference but 0 left, the factor does not matter, and a shift by 31 is none that C knows.
    value, shift = (value, shift) if lowest else (2**30, 0)
    size = given.shape[-1]
    call = f"softmax({{in0}}, {{out}}, {given.count // size}, {size}, {value}, {shift}, {lowest});"
    return Step(node, (given.index,), call, (_KERNEL,), overlay=True)
