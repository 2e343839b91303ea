"""Parameters of int8, and files of one model in which chosen layers stay float, made from one calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from optkit.drop import read_limit
from optkit.errors import InputError
from optkit.exporters import kernels_first

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optkit.schema import Recipe
    from optkit.search_record import Limit

_OPTION = "int8:drop"


class Excluding(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of int8 after training.

    ``drop``: as few layers as that takes stay in float, so that validation accuracy is within it of fp32's (``0.5pt``;
    of values to predict ``5%`` of the mean absolute error). ``float_layers``: no more than so many.
    """

    drop: str | int | float | None = None
    float_layers: Annotated[int, Meta(ge=1, le=10_000)] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be read; msgspec makes a refusal of its own of a ``ValueError``."""
        if self.drop is None:
            if self.float_layers is not None:
                raise ValueError(
                    "float_layers limits how many layers a drop may leave in float: give both, such as "
                    f"int8:drop=0.5pt,float_layers={self.float_layers}"
                )
            return
        try:
            read_limit(_OPTION, str(self.drop))
        except InputError as error:
            raise ValueError(str(error)) from error


class Wanted(NamedTuple):
    """What a recipe asks for: the limit, and how many layers may be in float at most (``None`` for all but one)."""

    option: str
    limit: Limit
    float_layers: int | None


def wanted(recipe: Recipe) -> Wanted | None:
    """The limit that an int8 recipe sets for its drop; ``None`` where it sets none."""
    if recipe.precision.name != "int8":
        return None
    params = msgspec.convert(recipe.precision.params, Excluding)
    if params.drop is None:
        return None
    return Wanted(_OPTION, read_limit(_OPTION, str(params.drop)), params.float_layers)


@dataclass(frozen=True)
class Partly:
    """Files of one model, some of whose layers are int8.

    Attributes:
        layers: Layers with a kernel, in the order in which they are computed: those that can be left in float.
        followers: Layers without a kernel that go with each: all that is computed from its output, up to the next
            kernel. A pooling in int8 between two float convolutions would round what was to stay whole.
        reference: The fp32 file.
        only: The file in which this layer alone, with what follows it, is int8; float in and out.
        without: The int8 file that leaves these layers, with what follows them, in float.
    """

    layers: tuple[str, ...]
    followers: dict[str, tuple[str, ...]]
    reference: bytes
    only: Callable[[str], bytes]
    without: Callable[[Sequence[str]], bytes]

    def in_float(self, layers: Sequence[str]) -> tuple[str, ...]:
        """These layers and what goes with them."""
        return tuple(dict.fromkeys(one for layer in layers for one in (layer, *self.followers[layer])))


class Operation(NamedTuple):
    """An operator of a float graph: what the quantizer calls it, its Keras layers, and its tensors."""

    name: str
    layers: tuple[str, ...]
    has_kernel: bool
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Grouped(NamedTuple):
    """The operators of a graph by the layer with a kernel that they go with.

    Attributes:
        owners: Of each operator that layer; ``None`` before the first.
        layers: The layers with a kernel, in order.
        followers: See ``Partly``.
        last: The operators that give the graph's outputs without a kernel of their own: a softmax is no layer's part.
    """

    owners: dict[str, str | None]
    layers: tuple[str, ...]
    followers: dict[str, tuple[str, ...]]
    last: frozenset[str]

    def all_but(self, layer: str) -> list[str]:
        """The operators that are float where this layer alone is quantized."""
        return [name for name, owner in self.owners.items() if owner != layer or name in self.last]


def grouped(
    operations: Sequence[Operation], outputs: Sequence[str], with_kernel: tuple[str, ...], skipped: Sequence[str]
) -> Grouped:
    """Group a graph's operators by the layer that they go with.

    Args:
        operations: In the order in which they are computed.
        outputs: Tensors that the graph gives.
        with_kernel: Layers of the model that have a kernel.
        skipped: Layers that stay in float anyway.
    """
    made_by: dict[str, tuple[int, str | None]] = {}
    owners: dict[str, str | None] = {}
    named: dict[str, list[str]] = {}
    for position, one in enumerate(operations):
        kernel_layers = [layer for layer in kernels_first(one.layers, with_kernel) if layer in with_kernel]
        owner = kernel_layers[0] if one.has_kernel and kernel_layers else None
        if owner is None and not one.has_kernel:
            # Of several inputs, the one that was computed last.
            makers = [made_by[name] for name in one.inputs if name in made_by]
            owner = max(makers, key=lambda maker: maker[0])[1] if makers else None
        owners[one.name] = owner
        made_by |= dict.fromkeys(one.outputs, (position, owner))
        if owner is not None:
            named.setdefault(owner, []).extend(layer for layer in one.layers if layer not in with_kernel)
    layers = tuple(layer for layer in named if layer not in skipped)
    return Grouped(
        owners,
        layers,
        {layer: tuple(dict.fromkeys(named[layer])) for layer in layers},
        frozenset(one.name for one in operations if not one.has_kernel and set(one.outputs).intersection(outputs)),
    )
