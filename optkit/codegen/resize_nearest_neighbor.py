"""RESIZE_NEAREST_NEIGHBOR: rows and columns repeated or left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.codegen import _moves
from optkit.codegen._writing import Kernel, Step, comment

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants

SUMMARY = "Rows and columns repeated or left out, as in upsampling."
SOURCE = "tensorflow/lite/kernels/internal/reference/resize_nearest_neighbor.h"
KIND = "RESIZE_NEAREST_NEIGHBOR"
VERSIONS = (1, 4)
IGNORED: tuple[int, ...] = (1,)

_KERNEL = Kernel(
    "nearest",
    """\
/* The pixels of the rows and columns that are named. */
KERNEL void nearest(const int8_t *x, int8_t *out, const uint16_t *row, const uint16_t *column, int h, int w, int from,
    int c)
{
    int i, j, k;
    for (i = 0; i < h; i++) {
        for (j = 0; j < w; j++) {
            for (k = 0; k < c; k++) {
                *out++ = x[(row[i] * from + column[j]) * c + k];
            }
        }
    }
}
""",
)


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    _moves.check_same_scale(node, graph)
    _moves.check_picture(node, graph, same_channels=True)
    given, made = graph.input(node), graph.output(node)
    corners, half = bool(node.options.alignCorners), bool(node.options.halfPixelCenters)
    label = comment(made.name)
    names = [
        constants.array(_nearest(before, behind, corners=corners, half=half), f"{label}: from where")
        for before, behind in zip(given.shape[1:3], made.shape[1:3], strict=True)
    ]
    call = (
        f"nearest({{in0}}, {{out}}, {', '.join(names)}, {made.shape[1]}, {made.shape[2]}, {given.shape[2]}, "
        f"{given.shape[3]});"
    )
    return Step(node, (given.index,), call, (_KERNEL,))


def _nearest(before: int, behind: int, *, corners: bool, half: bool) -> np.ndarray:
    """``GetNearestNeighbor`` in float32: for each place behind the one before, uint16."""
    apart = corners and behind > 1
    step = np.float32(before - 1) / np.float32(behind - 1) if apart else np.float32(before) / np.float32(behind)
    at = (np.arange(behind, dtype=np.float32) + np.float32(0.5 if half else 0)) * step
    # Values are not negative, where rounding halves away from zero is cutting with a half added.
    whole = np.floor(at + np.float32(0.5)) if corners else np.floor(at)
    found: np.ndarray = np.clip(whole.astype(np.int64), 0, before - 1).astype(np.uint16)
    return found
