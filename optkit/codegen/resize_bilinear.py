"""RESIZE_BILINEAR: pixels between pixels, in steps of 1/1024."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.codegen import _moves
from optkit.codegen._writing import Kernel, Step, comment
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants

SUMMARY = "Means of four neighbouring pixels by distance, as in upsampling."
SOURCE = "tensorflow/lite/kernels/internal/reference/resize_bilinear.h"
KIND = "RESIZE_BILINEAR"
VERSIONS = (1, 4)
IGNORED: tuple[int, ...] = (1,)

_KERNEL = Kernel(
    "bilinear",
    """\
/* For each row and column: the one before, the one behind, and the distance from the first in 1/1024. */
KERNEL void bilinear(const int8_t *x, int8_t *out, const int16_t *row, const int16_t *column, int h, int w, int from,
    int c)
{
    int i, j, k;
    for (i = 0; i < h; i++) {
        const int8_t *above = x + row[3 * i] * from * c, *below = x + row[3 * i + 1] * from * c;
        const int32_t down = row[3 * i + 2];
        for (j = 0; j < w; j++) {
            const int left = column[3 * j] * c, right = column[3 * j + 1] * c;
            const int32_t along = column[3 * j + 2];
            for (k = 0; k < c; k++) {
                const int32_t sum = above[left + k] * (1024 - down) * (1024 - along)
                    + below[left + k] * down * (1024 - along)
                    + above[right + k] * (1024 - down) * along
                    + below[right + k] * down * along;
                *out++ = (int8_t)((sum + (sum > 0 ? 524288 : -524288)) / 1048576);
            }
        }
    }
}
""",
)
_ONE = 1024


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    _moves.check_same_scale(node, graph)
    _moves.check_picture(node, graph, same_channels=True)
    given, made = graph.input(node), graph.output(node)
    corners, half = bool(node.options.alignCorners), bool(node.options.halfPixelCenters)
    label = comment(made.name)
    found = [
        _between(before, behind, corners=corners, half=half)
        for before, behind in zip(given.shape[1:3], made.shape[1:3], strict=True)
    ]
    if any(one is None for one in found):
        raise InputError(f"{node.place} enlarges {list(given.shape)} to {list(made.shape)}, which LiteRT reads beyond")
    names = [constants.array(one, f"{label}: between what") for one in found if one is not None]
    call = (
        f"bilinear({{in0}}, {{out}}, {', '.join(names)}, {made.shape[1]}, {made.shape[2]}, {given.shape[2]}, "
        f"{given.shape[3]});"
    )
    return Step(node, (given.index,), call, (_KERNEL,))


def _between(before: int, behind: int, *, corners: bool, half: bool) -> np.ndarray | None:
    """``ComputeInterpolationValues`` in integers, int16 [behind, 3]; ``None`` where it leads out of the input."""
    step = (_ONE * before + behind // 2) // behind
    if corners and behind > 1:
        step = (_ONE * (before - 1) + (behind - 1) // 2) // (behind - 1)
    rows = []
    for place in range(behind):
        at = place * step + (step // 2 - _ONE // 2 if half else 0)
        # C cuts towards zero.
        low = max(int(at / _ONE), 0)
        high = min(int((at + _ONE - 1) / _ONE), before - 1)
        rows.append((low, high, at - _ONE * low))
    found = np.array(rows)
    inside = found[:, :2].min() >= 0 and found[:, 0].max() < before and np.abs(found).max() < 2**15
    return found.astype(np.int16) if inside else None
