"""Compressed models back out as Keras 3 models and ``.keras`` files, so that work can go on in Keras."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from optkit.errors import InputError
from optkit.keras_models import _to_keras3_layers as layers3
from optkit.keras_models import _to_keras3_operations as operations3
from optkit.keras_models._replay import replay
from optkit.store import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 1e-5
EXAMPLES = 4
# For axes that take any size.
ANY_SIZE = 32
# The oldest time that a zip file can hold.
_NO_DATE = (1980, 1, 1, 0, 0, 0)
ROUNDING_NOTE = (
    "the float network with the weights of quantization-aware training; the rounding to int8 is not in it, it is in "
    "the exported files"
)


def to_keras3(model: Any) -> Any:
    """The Keras 3 model that computes what a tf_keras model does.

    Of a quantize-aware model of tensorflow-model-optimization it is the plain float network with the trained weights.

    Args:
        model: A functional or sequential tf_keras model.

    Returns:
        An uncompiled Keras 3 functional model with the same names of layers, inputs and outputs.

    Raises:
        InputError: A layer has no counterpart, or the outputs differ by over 1e-5 relative.
    """
    return _converted(model)[0]


def save_keras3(model: Any, path: Path) -> list[str]:
    """Write a tf_keras model as a ``.keras`` file of Keras 3, atomically; the same model gives the same bytes.

    Args:
        model: A functional or sequential tf_keras model.
        path: The file, which must end in ``.keras``.

    Returns:
        Notes on what is not in it.

    Raises:
        InputError: As ``to_keras3``.
    """
    made, notes = _converted(model)

    def write(temporary: Path) -> None:
        made.save(str(temporary))
        _without_dates(temporary)

    write_atomically(path, write)
    return notes


def _without_dates(path: Path) -> None:
    """Write a ``.keras`` archive again without the time of day and addresses of memory."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in sorted(archive.namelist())}
    metadata = json.loads(contents["metadata.json"])
    metadata.pop("date_saved", None)
    contents["metadata.json"] = json.dumps(metadata, sort_keys=True).encode()
    contents["config.json"] = json.dumps(_numbered(json.loads(contents["config.json"]), {})).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name, _NO_DATE), content)


def _numbered(value: Any, numbers: dict[int, int]) -> Any:
    """Objects that layers share are known by their address: number them in the order in which they come instead."""
    if isinstance(value, dict):
        return {
            key: numbers.setdefault(one, len(numbers) + 1) if key == "shared_object_id" else _numbered(one, numbers)
            for key, one in value.items()
        }
    return [_numbered(one, numbers) for one in value] if isinstance(value, list) else value


def _converted(model: Any) -> tuple[Any, list[str]]:
    from optkit.keras_models.saved_model import frozen_of

    if frozen_of(model) is not None:
        raise InputError("a model that could not be rebuilt layer by layer is one frozen graph: no Keras 3 file of it")
    notes = []
    if any(_is_quantizer(layer) for layer in model.layers):
        model = without_quantizers(model)
        notes.append(ROUNDING_NOTE)
    made = _model(model, {})
    _compare(model, made)
    return made, notes


def _is_quantizer(layer: Any) -> bool:
    return type(layer).__name__ in {"QuantizeLayer", "QuantizeWrapper", "QuantizeWrapperV2"}


def without_quantizers(model: Any) -> Any:
    """The plain tf_keras network inside a quantize-aware one, with layers and weights of its own."""
    import tf_keras

    inputs = [
        tf_keras.Input(batch_size=None, shape=one.shape[1:], dtype=one.dtype, name=name) for one, name in _ports(model)
    ]
    made: dict[int, Any] = {}

    def apply(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if type(layer).__name__ == "QuantizeLayer":
            return args[0]
        inner = layer.layer if _is_quantizer(layer) else layer
        if id(layer) not in made:
            made[id(layer)] = type(inner).from_config(layers3.own_config(inner))
            result = made[id(layer)](*args, **_call_arguments(kwargs))
            made[id(layer)].set_weights(_weights(layer, inner))
            return result
        return made[id(layer)](*args, **_call_arguments(kwargs))

    outputs = replay(model, inputs, apply)
    plain = tf_keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0], name=model.name)
    plain.trainable = model.trainable
    return plain


def _weights(wrapper: Any, layer: Any) -> list[np.ndarray]:
    """The weights of a layer in a quantizing wrapper, which takes the kernels from it and keeps them itself."""
    if wrapper is layer:
        found: list[np.ndarray] = layer.get_weights()
        return found
    fresh = type(layer).from_config(layers3.own_config(layer))
    fresh.build(layer.input_shape if hasattr(layer, "input_shape") else wrapper.input_shape)
    own = {_last(weight.name): weight for weight in (*wrapper.weights, *layer.weights)}
    return [np.asarray(own[_last(weight.name)].numpy()) for weight in fresh.weights]


def _last(name: str) -> str:
    return name.rpartition("/")[2].partition(":")[0]


def _ports(model: Any) -> list[tuple[Any, str]]:
    return list(zip(model.inputs, model.input_names, strict=True))


def _model(model: Any, made: dict[int, Any]) -> Any:
    """Build a functional Keras 3 model; nested ones are built once each, as are shared layers."""
    import keras

    inputs = [
        keras.Input(batch_shape=tuple(one.shape), dtype=one.dtype.name, name=_plain_name(name))
        for one, name in _ports(model)
    ]

    def apply(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        kwargs = _call_arguments(kwargs)
        if type(layer).__name__ in {"TFOpLambda", "SlicingOpLambda"}:
            return _named(operations3.apply(layer, args, kwargs), layer.name)
        if id(layer) not in made:
            is_model = getattr(layer, "_is_graph_network", False)
            made[id(layer)] = _model(layer, made) if is_model else layers3.converted(layer, _plain_name(layer.name))
            result = made[id(layer)](*args, **kwargs)
            if not is_model:
                _set_weights(made[id(layer)], layer)
        else:
            result = made[id(layer)](*args, **kwargs)
        if not getattr(layer, "_is_graph_network", False) and layers3.needs_hard_sigmoid(layer):
            result = keras.layers.Rescaling(0.2, 0.5, name=f"{_plain_name(layer.name)}_shift")(result)
            result = keras.layers.ReLU(max_value=1.0, name=f"{_plain_name(layer.name)}_clip")(result)
        return result

    outputs = replay(model, inputs, apply)
    return keras.Model(
        inputs if len(inputs) > 1 else inputs[0],
        outputs if len(outputs) > 1 else outputs[0],
        name=_plain_name(model.name),
    )


def _set_weights(made: Any, layer: Any) -> None:
    weights = layer.get_weights()
    if not weights or len(made.get_weights()) == 0:
        # Random layers of tf_keras may count their own state among the weights.
        return
    try:
        made.set_weights(weights)
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"layer {layer.name!r}: its weights do not fit the layer of Keras 3 ({reason})") from error


def _named(result: Any, name: str) -> Any:
    """Give an operator its node's name: Keras 3 counts through the process, and files would differ."""
    history = getattr(result[0] if isinstance(result, (list, tuple)) else result, "_keras_history", None)
    if history is not None:
        history.operation.name = _plain_name(name)
    return result


def _plain_name(name: str) -> str:
    return str(name).replace("/", "_")


def _call_arguments(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in kwargs.items() if value is not None and key != "training"}


def _compare(model: Any, made: Any) -> None:
    """Both on the same random numbers.

    Raises:
        InputError: They answer differently.
    """
    import tensorflow as tf

    generator = np.random.default_rng(0)
    limit = min((int(one.input_dim) for one in model.submodules if type(one).__name__ == "Embedding"), default=2)
    inputs = []
    for one in model.inputs:
        shape = (EXAMPLES, *(ANY_SIZE if size is None else int(size) for size in one.shape[1:]))
        if one.dtype.is_floating:
            inputs.append(tf.constant(generator.uniform(0, 1, shape), one.dtype))
        else:
            inputs.append(tf.constant(generator.integers(0, limit, shape), one.dtype))
    given: Any = inputs if len(inputs) > 1 else inputs[0]
    expected, found = (tf.nest.flatten(one(given, training=False)) for one in (model, made))
    for name, before, after in zip(model.output_names, expected, found, strict=True):
        reference, answered = np.asarray(before, np.float64), np.asarray(after, np.float64)
        if reference.shape != answered.shape:
            raise InputError(f"the Keras 3 model gives {answered.shape} at {name!r}, not {reference.shape}")
        largest = float(np.abs(reference).max(initial=0.0)) or 1.0
        difference = float(np.abs(reference - answered).max(initial=0.0)) / largest
        if not difference <= LIMIT:
            raise InputError(
                f"the Keras 3 model differs by {difference:.1e} relative at {name!r}, over {LIMIT:.0e}: "
                "keep working with the .h5 file"
            )
