"""Compares a Keras 3 model with one rebuilt in tf_keras, on random inputs, in float32."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from optkit.errors import InputError
from optkit.keras_models import _graph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from optkit.keras_models._graph import Apply

# Name and outputs of one call in the source model.
Step = tuple[str, list[np.ndarray]]
# Of an output's largest value. Fourteen families of keras.applications agree far better, most of them bit for bit
# (benchmarks/results/applications.md). A wrong option or weight is off by far more.
LIMIT = 1e-5
BATCH = 3
SEED = 0
# Sides to try for an axis whose size is open; InceptionV3 takes no less than 75.
OPEN_SIZES = (32, 96, 224)
# Standard normal values suit features; 0 to 255 suits models that take pixels and scale them.
KINDS = ("normal", "pixels")


def compare(source: Any, model: Any) -> float:
    """The largest difference of any output, over the largest value of that output in the source.

    Args:
        source: The Keras 3 model.
        model: The tf_keras model.

    Raises:
        InputError: It is over 1e-5; or no random input gives finite outputs.
    """
    worst, compared = 0.0, False
    for values in random_inputs(source):
        steps = source_steps(source, values)
        expected = steps[-1][1]
        if not any(np.isfinite(value).all() for value in expected):
            continue
        compared = True
        found = outputs(model, values)
        if len(found) != len(expected):
            raise InputError(f"the source model has {len(expected)} outputs, the rebuilt one {len(found)}")
        largest = max(difference(one, other) for one, other in zip(expected, found, strict=True))
        if largest > LIMIT:
            where = _first_apart(steps, model, values)
            raise InputError(
                f"the model rebuilt in tf_keras must answer within {LIMIT:g} of the original, found {largest:.2g}; "
                f"they part at {where}: replace that layer, or give the model as a SavedModel"
            )
        worst = max(worst, largest)
    if not compared:
        raise InputError(
            f"no random input gives finite outputs of model {source.name!r}, so that nothing can be compared: "
            "check its weights for NaN and infinity"
        )
    return worst


def check_layers(source: Any, apply: Apply, constant: Callable[[Any], Any]) -> None:
    """Compare each operation by itself, on what the source model gives it.

    So that an error is found in a layer whose effect on the outputs is lost further on, as in a network that has
    not been trained.

    Args:
        source: The Keras 3 model.
        apply: Does one operation in tf_keras; see ``_graph.walk``.
        constant: Makes constants ready for it.

    Raises:
        InputError: One is off by more than 1e-5.
    """
    import keras

    def both(node: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        expected = keras.tree.flatten(_graph.at_inference(node.operation, args, kwargs))
        symbols = node.arguments
        given = keras.tree.map_structure(settle, symbols.args, args)
        named = {key: keras.tree.map_structure(settle, symbols.kwargs[key], value) for key, value in kwargs.items()}
        found = keras.tree.flatten(apply(node, given, named))
        for one, other in zip(expected, found, strict=True):
            apart = difference(np.asarray(one), np.asarray(other))
            if apart > LIMIT:
                raise InputError(
                    f"layer {node.operation.name!r} rebuilt in tf_keras must answer within {LIMIT:g} of the original, "
                    f"found {apart:.2g}: replace that layer, or give the model as a SavedModel"
                )
        return expected

    def settle(symbol: Any, value: Any) -> Any:
        return value if isinstance(symbol, keras.KerasTensor) else constant(value)

    with _graph.in_float32(source):
        _graph.walk(source, _tensors(next(random_inputs(source))), both)


def source_steps(source: Any, values: Sequence[np.ndarray]) -> list[Step]:
    """What every operation of a Keras 3 model gives, in order, in float32.

    Args:
        source: The model.
        values: One array for each input.

    Returns:
        Name and outputs of each call; last the outputs of the model, under its own name.
    """
    import keras

    steps: list[Step] = []

    def record(node: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = _graph.at_inference(node.operation, args, kwargs)
        steps.append((node.operation.name, [np.asarray(value) for value in keras.tree.flatten(result)]))
        return result

    with _graph.in_float32(source):
        final = _graph.walk(source, _tensors(values), record)
    steps.append((source.name, [np.asarray(value) for value in final]))
    return steps


def layer_differences(steps: Sequence[Step], model: Any, values: Sequence[np.ndarray]) -> list[tuple[str, float]]:
    """How far the outputs of each layer are from those of the layer of that name in the source.

    Args:
        steps: What ``source_steps`` gave for the same values.
        model: The tf_keras model.
        values: One array for each input.

    Returns:
        Name and difference of every call of a layer that has its name in both models, in the source's order.
    """
    import tf_keras

    names = {layer.name for layer in model.layers}
    calls: dict[str, int] = {}
    watched = []
    for name, expected in steps[:-1]:
        number = calls[name] = calls.get(name, -1) + 1
        if name in names and number < len(model.get_layer(name).inbound_nodes):
            made = model.get_layer(name).get_output_at(number)
            watched.append((name, expected, list(made) if isinstance(made, (list, tuple)) else [made]))
    probe = tf_keras.Model(model.inputs, [tensor for *_, tensors in watched for tensor in tensors])
    found = iter(outputs(probe, values))
    differences = []
    for name, expected, tensors in watched:
        given = [next(found) for _ in tensors]
        if len(given) == len(expected):
            differences.append((name, max(map(difference, expected, given))))
    return differences


def outputs(model: Any, values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What a tf_keras model gives, as a flat list, by the arithmetic of Keras 3."""
    import tensorflow as tf

    with _plain_normalization(model):
        found = model(values if len(values) > 1 else values[0], training=False)
    return [np.asarray(value) for value in tf.nest.flatten(found)]


@contextlib.contextmanager
def _plain_normalization(model: Any) -> Iterator[None]:
    """Let batch normalization compute by the formula of Keras 3 for a while, not by TensorFlow's fused kernel.

    The two round differently. That is nothing in one layer, and ``check_layers`` compares it there, but 50 layers
    further on it can be more than the limit: a ResNet50 with random weights made 5e-5 of it, by this formula 0.
    """
    import tf_keras

    fused = [
        layer
        for layer in model.submodules
        if isinstance(layer, tf_keras.layers.BatchNormalization) and getattr(layer, "fused", False)
    ]
    try:
        for layer in fused:
            layer.fused = False
        yield
    finally:
        for layer in fused:
            layer.fused = True


def difference(expected: np.ndarray, found: np.ndarray) -> float:
    """Largest difference over the largest expected value; infinite where the shapes, or NaN and infinities, differ."""
    if expected.shape != found.shape:
        return float("inf")
    if not expected.size:
        return 0.0
    one, other = (np.asarray(value, np.float64) for value in (expected, found))
    finite = np.isfinite(one)
    if not np.array_equal(finite, np.isfinite(other)):
        return float("inf")
    if not finite.any():
        return 0.0
    apart = float(np.abs(one[finite] - other[finite]).max())
    if apart == 0:
        return 0.0
    size = float(np.abs(one[finite]).max())
    return apart / size if size else float("inf")


def random_inputs(source: Any) -> Iterator[list[np.ndarray]]:
    """Arrays for the inputs of a Keras 3 model: one set of each kind, the same ones every time.

    Raises:
        InputError: No size of the open axes suits the model.
    """
    size = _open_size(source)
    for kind in KINDS:
        generator = np.random.default_rng(SEED)
        yield _one_set(source, generator, kind, size)


def _open_size(source: Any) -> int:
    """A size for axes that the model leaves open."""
    functional = _graph.functional_of(source)
    if not any(None in tensor.shape[1:] for tensor in functional.inputs):
        return 0
    reasons = []
    for size in OPEN_SIZES:
        try:
            source_steps(source, _one_set(source, np.random.default_rng(SEED), KINDS[0], size))
        except Exception as error:  # noqa: BLE001  # any refusal of a layer means: try another size
            reasons.append(" ".join(str(error).split())[:150])
        else:
            return size
    raise InputError(
        f"model {source.name!r} leaves the size of its input open, and takes none of {OPEN_SIZES} ({reasons[-1]}): "
        "give it a fixed input shape"
    )


def _one_set(source: Any, generator: np.random.Generator, kind: str, size: int) -> list[np.ndarray]:
    functional = _graph.functional_of(source)
    # Inputs are combined, so that an open batch is the same for all.
    fixed = {tensor.shape[0] for tensor in functional.inputs} - {None}
    batch = fixed.pop() if len(fixed) == 1 else BATCH
    found = []
    for tensor in functional.inputs:
        shape = [tensor.shape[0] or batch, *(side or size for side in tensor.shape[1:])]
        found.append(_values(generator, kind, shape, tensor.dtype, _largest_index(source, tensor)))
    return found


def _values(generator: np.random.Generator, kind: str, shape: list[int], dtype: str, indices: int | None) -> np.ndarray:
    if indices is not None:
        return generator.integers(0, indices, shape).astype("float32" if "float" in dtype else dtype)
    if dtype == "bool":
        return generator.random(shape) < 0.5
    if dtype == "string":
        raise InputError("models that take text cannot be rebuilt: give a model that takes numbers")
    if "float" not in dtype:
        return generator.integers(0, 128 if dtype == "int8" else 256, shape).astype(dtype)
    if kind == "pixels":
        return generator.uniform(0, 255, shape).astype(np.float32)
    return generator.standard_normal(shape).astype(np.float32)


# Layers that take whole numbers below a limit, and the option that says it.
_TABLES = {"Embedding": "input_dim", "CategoryEncoding": "num_tokens", "OneHot": "num_classes"}


def _largest_index(source: Any, tensor: Any) -> int | None:
    """The limit of an input that is looked up in a table; ``None`` for any other input."""
    limits: list[int] = []

    def look(node: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        import keras

        operation = node.operation
        followed = any(value is True for value in keras.tree.flatten((args, kwargs)))
        option = _TABLES.get(type(operation).__name__)
        if followed and option:
            limits.append(int(getattr(operation, option)))
        # Beyond a layer with weights, or a table, the numbers are others.
        passes = followed and not option and not getattr(operation, "weights", None)
        return [passes] * len(node.outputs)

    functional = _graph.functional_of(source)
    _graph.walk(source, [one is tensor for one in functional.inputs], look, constant=lambda _value: None)
    return min(limits) if limits else None


def _tensors(values: Sequence[np.ndarray]) -> list[Any]:
    import keras

    return [keras.ops.convert_to_tensor(value) for value in values]


def _first_apart(steps: Sequence[Step], model: Any, values: Sequence[np.ndarray]) -> str:
    """The first layer, in the order of the source's graph, whose outputs differ in the two models."""
    apart = (name for name, largest in layer_differences(steps, model, values) if largest > LIMIT)
    first = next(apart, None)
    return "the outputs" if first is None else f"layer {first!r}"
