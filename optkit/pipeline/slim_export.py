"""Slims an exported file before anything else looks at it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from optkit import registry
from optkit.pipeline import slim
from optkit.schema import LayerNote

if TYPE_CHECKING:
    from collections.abc import Iterator

# Programs feed the model by the names of its inputs and outputs; in ONNX files they are never touched.
_PORT_NAMES = "signatures"
# What says which layer an operator is, for a check that layers were left out of quantization.
_LAYER_NAMES = "names"


def in_place(path: Path, images: np.ndarray, *, named_layers: bool) -> LayerNote:
    """Put a slim file in the place of an exported one, once it is shown to answer the same.

    Args:
        path: The file.
        images: Real inputs float32 [n, …].
        named_layers: Leave the names of layers in it.

    Raises:
        InputError: The file cannot be slimmed.
        PartialError: The slim file answers otherwise.
    """
    with tempfile.TemporaryDirectory(prefix="optkit-slim-") as scratch:
        npy, after = Path(scratch) / "images.npy", Path(scratch) / f"after{path.suffix}"
        np.save(npy, images, allow_pickle=False)
        before_bytes = path.stat().st_size
        proven = slim.prove(path, after, keep=list(_kept(path, named_layers=named_layers)), images=npy, name=path.name)
        content = after.read_bytes()
        if len(content) < before_bytes:
            path.write_bytes(content)
    saved = before_bytes - path.stat().st_size
    reason = f"slimmed by {saved:,} bytes; its outputs for {proven.identity.inputs:,} images are the same bit for bit"
    return LayerNote("all", changed=saved > 0, reason=reason)


def _kept(path: Path, *, named_layers: bool) -> Iterator[str]:
    known = registry.by_format("slimming", registry.format_of(path)).KEEPS
    for kind, wanted in ((_PORT_NAMES, True), (_LAYER_NAMES, named_layers)):
        if wanted and kind in known:
            yield kind
