"""STRIDED_SLICE: a part of a tensor, perhaps with steps, as in cropping."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.codegen import _moves
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.codegen._graph import Graph, Node
    from optkit.codegen._writing import Constants, Step

SUMMARY = "A part of a tensor with steps, as in cropping; neither new axes nor an ellipsis."
SOURCE = "tensorflow/lite/kernels/internal/strided_slice_logic.h"
KIND = "STRIDED_SLICE"
VERSIONS = (1, 8)
IGNORED: tuple[int, ...] = ()


def lower(node: Node, graph: Graph, constants: Constants) -> Step:
    """The operator as C. See :mod:`optkit.codegen`."""
    given, options = graph.input(node), node.options
    begin, end, stride = (_moves.stored(node, graph, slot) for slot in (1, 2, 3))
    rank = len(given.shape)
    offset = bool(getattr(options, "offset", False))
    if options.ellipsisMask or options.newAxisMask or offset or {len(begin), len(end), len(stride)} != {rank}:
        raise InputError(f"{node.place} has new axes, an ellipsis or offsets, which are not covered; export it plainly")
    if 0 in stride:
        raise InputError(f"{node.place} has a step of 0; export the model again")
    size, by, start = [], [], 0
    for axis, (length, step) in enumerate(zip(given.shape, _moves.steps(given.shape), strict=True)):
        bit = 1 << axis
        if options.shrinkAxisMask & bit:
            # As the kernel does, and TensorFlow does not: a masked beginning is 0 here too.
            at = 0 if options.beginMask & bit else begin[axis]
            first, count, every = at + (length if at < 0 else 0), 1, 1
        else:
            low = None if options.beginMask & bit else begin[axis]
            high = None if options.endMask & bit else end[axis]
            taken = range(*slice(low, high, stride[axis]).indices(length))
            first, count, every = taken.start, len(taken), stride[axis]
        size.append(count)
        by.append(every * step)
        start += first * step
    return _moves.lower(node, graph, constants, size=size, by=by, start=start)
