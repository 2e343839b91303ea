"""Bytes of the file that ships, and the arithmetic that its operators do."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np

from optkit.readback import bytes_by_kind
from optkit.schema import Compute, Size

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.readback import Constant, ModelFacts


def measure_size(path: Path, facts: ModelFacts) -> Size:
    """Bytes of a file and of what is in it.

    Files beside it that hold some of its tensors (ONNX external data) ship with it and are counted.

    Args:
        path: The file.
        facts: What the file says about itself, from ``optkit.readback.read``.

    Returns:
        ``gzip_bytes`` at level 9 with no date, so that the same file always gives the same number.
        ``weight_bytes`` are those of weights and biases, ``overhead_bytes`` all others. ``parameters`` counts
        their stored values; a quantized value that equals its zero point stands for 0 and is not in
        ``nonzero_parameters``.
    """
    beside = [path.with_name(name) for name in facts.external_files]
    contents = [file.read_bytes() for file in (path, *beside)]
    file_bytes = sum(len(content) for content in contents)
    kinds = bytes_by_kind(facts)
    # The file as it is on disk decides; where readback counted otherwise, the difference is structure.
    kinds["structure"] += file_bytes - sum(kinds.values())
    weight_bytes = kinds["weights"] + kinds["biases"]
    # A buffer that two operators share is stored, and counted, once.
    stored = [one for one in facts.constants if one.role in {"weight", "bias"} and one.file_bytes > 0]
    return Size(
        file_bytes=file_bytes,
        gzip_bytes=sum(len(gzip.compress(content, 9, mtime=0)) for content in contents),
        weight_bytes=weight_bytes,
        overhead_bytes=file_bytes - weight_bytes,
        parameters=sum(one.values.size for one in stored),
        nonzero_parameters=sum(nonzero(one) for one in stored),
        bytes_by_kind=kinds,
    )


def nonzero(constant: Constant) -> int:
    """How many of a tensor's values stand for something other than 0.

    Raises:
        ValueError: Its channels have different zero points, and the axis that counts them is not known.
    """
    points = set(constant.zero_points) or {0}
    if len(points) == 1:
        return int(np.count_nonzero(constant.values != points.pop()))
    if constant.channel_axis is None:
        raise ValueError(f"{constant.name}: {len(points)} zero points, but no axis that they belong to")
    shape = [1] * constant.values.ndim
    shape[constant.channel_axis] = -1
    return int(np.count_nonzero(constant.values != np.array(constant.zero_points).reshape(shape)))


def measure_compute(facts: ModelFacts) -> Compute:
    """Multiply-accumulates per inference at batch 1; ``None`` when those of any operator cannot be told."""
    macs = [operator.macs for operator in facts.operators]
    return Compute(macs=None if None in macs else sum(one for one in macs if one is not None))
