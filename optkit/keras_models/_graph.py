"""Walks the graph of a Keras 3 model, with nested models taken apart, in any kind of values."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from optkit.errors import InputError
from optkit.keras_models._parts import NotRebuildableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Apply = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]


def functional_of(model: Any) -> Any:
    """The graph of a Sequential or Functional model.

    Raises:
        NotRebuildableError: It is a subclass with a ``call`` of its own, so that there is no graph to read.
        InputError: It has no input shape yet.
    """
    import keras
    from keras.src.models.functional import Functional

    kind = type(model)
    if isinstance(model, keras.Sequential) and kind.call is keras.Sequential.call:
        if model._functional is None:  # noqa: SLF001  # Keras has no public name for it
            raise InputError(
                f"the model {model.name!r} must have an input shape, found none: call it on data or give it a "
                "keras.Input before saving it"
            )
        return model._functional  # noqa: SLF001
    if isinstance(model, Functional) and kind.call is Functional.call:
        return model
    raise NotRebuildableError(
        model.name, f"{kind.__name__} is a subclassed model, whose computation is written in code of its own"
    )


def is_model(operation: Any) -> bool:
    """Whether a node of the graph is a nested model."""
    import keras

    return isinstance(operation, keras.Model)


def nodes(functional: Any) -> Iterator[Any]:
    """The calls in a graph, each after those it reads from."""
    by_depth = functional._nodes_by_depth  # noqa: SLF001
    for depth in sorted(by_depth, reverse=True):
        for node in by_depth[depth]:
            if node.operation and not node.is_input:
                yield node


def operations(model: Any, within: tuple[str, ...] = ()) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Every input, layer and operator, nested ones last, with the names of the models that it lies in."""
    functional = functional_of(model)
    nested = []
    if not within:
        for tensor in functional.inputs:
            yield tensor._keras_history.operation, within  # noqa: SLF001
    for node in nodes(functional):
        if is_model(node.operation):
            nested.append(node.operation)
        else:
            yield node.operation, within
    for operation in nested:
        yield from operations(operation, (*within, operation.name))


def walk(
    model: Any,
    values: Sequence[Any],
    apply: Apply,
    constant: Callable[[Any], Any] = lambda value: value,
) -> list[Any]:
    """Run a model.

    Args:
        model: Sequential or Functional; models nested in it are walked as well.
        values: One for each input.
        apply: Called with node, arguments and keyword arguments for each operation; gives its outputs.
        constant: Called on every argument that is not a tensor.

    Returns:
        One value for each output.
    """
    import keras

    functional = functional_of(model)
    known = {id(tensor): value for tensor, value in zip(functional.inputs, values, strict=True)}

    def fill(value: Any) -> Any:
        return known[id(value)] if isinstance(value, keras.KerasTensor) else constant(value)

    for node in nodes(functional):
        if any(id(tensor) not in known for tensor in node.input_tensors):
            continue
        args, kwargs = node.arguments.convert(fill)
        # Keras 3 records this even where nobody asked for it, and what the model is called with goes before it.
        kwargs.pop("training", None)
        operation = node.operation
        if is_model(operation):
            inner = _inputs_of(operation, args, kwargs)
            results = walk(operation, inner, apply, constant)
        else:
            results = keras.tree.flatten(apply(node, args, kwargs))
        known.update({id(tensor): value for tensor, value in zip(node.outputs, results, strict=True)})
    return [known[id(tensor)] for tensor in functional.outputs]


def at_inference(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What an operation of a Keras 3 model gives, layers not in training."""
    import keras

    if isinstance(operation, keras.Layer):
        return operation(*args, **kwargs, training=False)
    return operation(*args, **kwargs)


def _inputs_of(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """What a nested model is called on, in the order of its inputs."""
    import keras

    given = args[0] if args else kwargs["inputs"]
    if kwargs.get("mask") is not None:
        raise NotRebuildableError(model.name, "a nested model is called with a mask")
    functional = functional_of(model)
    if isinstance(given, dict) and not isinstance(functional._inputs_struct, dict):  # noqa: SLF001
        return [given[tensor.name] for tensor in functional.inputs]
    found: list[Any] = keras.tree.flatten(given)
    return found


@contextlib.contextmanager
def in_float32(model: Any) -> Iterator[None]:
    """Let every layer of a Keras 3 model compute in float32 for a while; its own policies come back after."""
    import keras
    from keras.src.backend.common.variables import AutocastScope

    layers = [layer for layer in model._flatten_layers() if "float" in layer.compute_dtype]  # noqa: SLF001
    # The setter of the public attribute would quantize, or write into a policy that layers share.
    policies = [(layer, layer._dtype_policy) for layer in layers if layer.compute_dtype != "float32"]  # noqa: SLF001
    try:
        for layer, _ in policies:
            _set_policy(layer, keras.DTypePolicy("float32"))
        # Weights of another type are read as float32.
        with AutocastScope("float32"):
            yield
    finally:
        for layer, policy in policies:
            _set_policy(layer, policy)


def _set_policy(layer: Any, policy: Any) -> None:
    layer._dtype_policy = policy  # noqa: SLF001  # see above
    # Normalization keeps its statistics in the type that it computes in.
    if hasattr(layer, "finalize_state") and layer.built:
        layer.finalize_state()
