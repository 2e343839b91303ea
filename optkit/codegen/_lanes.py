"""Kernels for machines with wide registers, in plain C: loops that compilers turn into vectors by themselves.

Sums of products of a length that is a multiple of what a register holds, rounding apart from summing, and channels in
the innermost loop. Rows of weights are filled up with zeros. Values are widened to int16, which every machine with
vectors multiplies in pairs; where the compiler may use instructions that multiply uint8 by int8 in fours, 128 is added
to each value, and taken off the sum again by the total of its weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.codegen import _kernels
from optkit.codegen._writing import Kernel

if TYPE_CHECKING:
    from optkit.codegen._arithmetic import Multiplier

_LANE = Kernel(
    "lane_t",
    """\
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
typedef uint8_t lane_t;
#define LANE_OFFSET 128
#else
typedef int16_t lane_t;
#define LANE_OFFSET 0
#endif
""",
)
SUMS = Kernel(
    "sums",
    """\
/* n sums of k products; total has the sum of each row of weights. */
KERNEL void sums(const int8_t *w, const int32_t *bias, const int32_t *total,
    const lane_t *x, int32_t *out, int n, int k)
{
    int i;
    for (i = 0; i < n; i++) {
        int32_t sum = 0;
        int j;
        for (j = 0; j < k; j++) {
            sum += x[j] * w[j];
        }
        w += k;
        out[i] = sum + bias[i] - LANE_OFFSET * total[i];
    }
}
""",
    (_LANE,),
)
_SCALED = Kernel(
    "scaled",
    """\
KERNEL int8_t scaled(const dense_t *p, int32_t sum, int at)
{
    const int right = -p->shift[at];
    const int64_t product = (int64_t)sum * p->value[at] + ((int32_t)1 << 30);
    const int32_t high = (int32_t)(uint32_t)((uint64_t)product >> 31);
    const int32_t mask = (int32_t)(((uint32_t)1 << right) - 1U);
    int32_t found = (high >> right) + ((high & mask) > (mask >> 1) + (high < 0) ? 1 : 0) + p->zero;
    found = found < p->low ? p->low : found;
    return (int8_t)(found > p->high ? p->high : found);
}
""",
    (_kernels.DENSE_TYPE,),
)
CONV = Kernel(
    "conv_lanes",
    """\
/* Row y of a convolution; row `first` of the input is at x; every shift is to the right. All windows of the row are
   gathered before the first is summed: what was just written in small pieces is slow to read in large ones. */
KERNEL void conv_lanes(const conv_t *p, const int8_t *x, int first, int y, int8_t *out, lane_t *patches, int32_t *sum,
    const int32_t *total)
{
    const int length = p->w * p->c, run = p->kw * p->c, k = p->dense.k, n = p->dense.n;
    int column, i;
    for (column = 0; column < p->out_w; column++) {
        const int start = (column * p->sw - p->left) * p->c;
        const int whole = start >= 0 && start + run <= length;
        lane_t *at = patches + column * k;
        int j;
        for (i = 0; i < p->kh; i++) {
            const int row = y * p->sh - p->top + i;
            if (row < 0 || row >= p->h) {
                for (j = 0; j < run; j++) {
                    at[j] = (lane_t)(p->fill + LANE_OFFSET);
                }
            } else if (whole) {
                const int8_t *from = x + (row - first) * length + start;
                for (j = 0; j < run; j++) {
                    at[j] = (lane_t)(from[j] + LANE_OFFSET);
                }
            } else {
                for (j = 0; j < run; j++) {
                    const int place = start + j;
                    const int inside = place >= 0 && place < length;
                    const int8_t value = inside ? x[(row - first) * length + place] : p->fill;
                    at[j] = (lane_t)(value + LANE_OFFSET);
                }
            }
            at += run;
        }
        for (j = p->kh * run; j < k; j++) {
            *at++ = 0;
        }
    }
    for (column = 0; column < p->out_w; column++) {
        sums(p->dense.weights, p->dense.bias, total, patches + column * k, sum + column * n, n, k);
    }
    if (p->dense.own) {
        for (column = 0; column < p->out_w; column++) {
            for (i = 0; i < n; i++) {
                out[column * n + i] = scaled(&p->dense, sum[column * n + i], i);
            }
        }
    } else {
        for (i = 0; i < p->out_w * n; i++) {
            out[i] = scaled(&p->dense, sum[i], 0);
        }
    }
}
""",
    (SUMS, _SCALED),
)
DENSE = Kernel(
    "dense_lanes",
    """\
/* A dense layer of `given` inputs. */
KERNEL void dense_lanes(const dense_t *p, const int8_t *x, int8_t *y, int given,
    lane_t *wide, int32_t *sum, const int32_t *total)
{
    int i;
    for (i = 0; i < given; i++) {
        wide[i] = (lane_t)(x[i] + LANE_OFFSET);
    }
    for (; i < p->k; i++) {
        wide[i] = 0;
    }
    sums(p->weights, p->bias, total, wide, sum, p->n, p->k);
    for (i = 0; i < p->n; i++) {
        const int at = p->own ? i : 0;
        y[i] = clamp(scale(sum[i], p->value[at], p->shift[at]) + p->zero, p->low, p->high);
    }
}
""",
    (_kernels.DENSE_TYPE, _kernels.SCALE, _kernels.CLAMP, SUMS),
)


def filled(weights: np.ndarray, lanes: int) -> np.ndarray:
    """Rows of weights int8 [n, k] with zeros behind, so that a row is a multiple of the lanes."""
    extra = -weights.shape[1] % lanes
    return np.pad(weights, ((0, 0), (0, extra)))


def totals(weights: np.ndarray) -> np.ndarray:
    """The sum of each row of weights int8 [n, k], int32 [n]."""
    found: np.ndarray = weights.sum(axis=1, dtype=np.int32)
    return found


def fits(multipliers: list[Multiplier]) -> bool:
    """Whether no factor shifts to the left, which these kernels leave out."""
    return all(one.shift <= 0 for one in multipliers)
