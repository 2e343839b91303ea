"""Which kernels of a TFLite file get 4 bits: the parameters of int4, and what becomes of each layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct

from optkit.errors import UnreachableError, nearest

if TYPE_CHECKING:
    from optkit.exporters import ExportJob
    from optkit.exporters._flatbuffer import Node
    from optkit.schema import Recipe

# Operators with an int4 kernel in LiteRT, and the version of each that says so in the file
# (tflite/converter/tools/versioning/op_version.cc).
VERSIONS = {"CONV_2D": 7, "DEPTHWISE_CONV_2D": 7, "FULLY_CONNECTED": 10}
_DEPTHWISE = "DEPTHWISE_CONV_2D"


class FourBits(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of int4, for kernels that were not trained for it.

    ``granularity``: a scale for each output ``channel``, or one for the ``tensor``. ``layers``: those that get 4 bits,
    joined by ``/`` (``dense_1/conv_2``); the others keep 8.
    """

    granularity: Literal["channel", "tensor"] = "channel"
    layers: str = "all"


@dataclass(frozen=True)
class Wanted:
    """Which kernels get 4 bits.

    Attributes:
        layers: Names of Keras layers; ``None`` for all but depthwise ones.
        per_tensor: One scale for a kernel, in place of one for each output channel.
    """

    layers: frozenset[str] | None
    per_tensor: bool

    def has(self, node: Node) -> bool:
        """Whether an operator's kernel is to have 4 bits."""
        if self.layers is None:
            return node.kind in VERSIONS and node.kind != _DEPTHWISE
        return node.kind in VERSIONS and bool(self.layers.intersection(node.layers))

    def why_not(self, node: Node) -> str:
        """Why a kernel has kept 8 bits."""
        if node.kind not in VERSIONS:
            return f"8 bits, since LiteRT has no int4 kernel for {node.kind}"
        if self.layers is None and node.kind == _DEPTHWISE:
            return "8 bits, since a depthwise kernel is small and loses most; int4:layers=… can name it"
        if self.has(node):
            return "8 bits, since an operator without an int4 kernel uses the same weights"
        return "8 bits, not among the layers named for 4"


def narrow_layers(recipe: Recipe) -> tuple[str, ...] | None:
    """Layers that were named for 4 bits: for int4, and after quantization-aware training for that as well.

    Returns:
        Names, sorted; ``None`` where none was named, so that all have 4 bits that can (or the file is not int4).
    """
    if recipe.precision.name != "int4":
        return None
    steps = [step.params for step in (recipe.precision, *recipe.techniques) if step.name in {"int4", "qat"}]
    sets = [frozenset(_split(layers)) for params in steps if (layers := params.get("layers", "all")) != "all"]
    return tuple(sorted(frozenset.intersection(*sets))) if sets else None


def _split(layers: str) -> list[str]:
    return [name for name in layers.split("/") if name]


def wanted_layers(job: ExportJob, with_kernel: tuple[str, ...]) -> Wanted:
    """Which kernels get 4 bits.

    Args:
        job: With the recipe.
        with_kernel: Layers of the model that have a kernel.

    Raises:
        UnreachableError: A layer that was named is none of them, or is to stay in float.
    """
    params = msgspec.convert(job.recipe.precision.params, FourBits)
    for layer in _split(params.layers) if params.layers != "all" else ():
        if layer not in with_kernel:
            choices = nearest(layer, list(with_kernel))
            raise UnreachableError(f"int4: no layer {layer!r} with a kernel in the model to give 4 bits: {choices}")
        if layer in job.skip_layers:
            raise UnreachableError(f"int4: layer {layer!r} is to stay in float (--skip-layer) as well; choose one")
    layers = narrow_layers(job.recipe)
    return Wanted(None if layers is None else frozenset(layers), per_tensor=params.granularity == "tensor")


def check_able(nodes: list[Node], wanted: Wanted) -> None:
    """Stop where a layer was named for whose operator LiteRT has no int4 kernel.

    Raises:
        UnreachableError: With the operator.
    """
    for node in nodes:
        if node.kernel_type is not None and node.kind not in VERSIONS and (wanted.layers or set()) & set(node.layers):
            raise UnreachableError(
                f"layer {node.layers[0]!r} cannot have 4 bits: LiteRT has no int4 kernel for {node.kind}, only for "
                f"{', '.join(VERSIONS)}; leave it out"
            )
