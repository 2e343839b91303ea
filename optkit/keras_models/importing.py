"""Takes any Keras model file or SavedModel in, as the tf_keras model that all techniques and exporters work on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from optkit import baselines, registry
from optkit.errors import InputError
from optkit.keras_models import loading, saved_model
from optkit.keras_models.detect import Found, identify

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Imported(NamedTuple):
    """A model that was taken in.

    Attributes:
        model: The tf_keras model, float32, uncompiled.
        source: What the file was, such as ``Keras 3 .keras``.
        post_training_only: Why it cannot be trained further, with the layer's name; ``None`` where it can.
        difference: Largest relative difference between the outputs of a Keras 3 model and its rebuilt one; ``None``
            where nothing was rebuilt.
        notes: What else happened on the way.
    """

    model: Any
    source: str
    post_training_only: str | None
    difference: float | None
    notes: list[str]


def import_model(path: Path, *, baseline: str | None = None, custom_objects: Path | None = None) -> Imported:
    """Read a model.

    Args:
        path: A ``.keras`` or ``.h5`` file, a SavedModel folder, or a weights file.
        baseline: For a weights file, the built-in network that the weights are for.
        custom_objects: A Python file of the user's own with classes and functions; it is run.

    Raises:
        InputError: It is none of these, is damaged or hostile, needs code that is not given, or has no fixed shapes.
    """
    found = identify(path)
    if found.kind == "h5 weights":
        return _weights(found, path, baseline)
    if found.kind == "saved model":
        model = saved_model.wrap(saved_model.from_folder(path), path)
        reason = f"layer {saved_model.LAYER!r}: a SavedModel holds a graph without layers that could be trained"
        return Imported(model, found.source, reason, None, [])
    custom: Mapping[str, Any] = {}
    if custom_objects is not None:
        from optkit.keras_models._builtin import load_custom_objects

        custom = load_custom_objects(custom_objects)
    model = loading.load_found(found, path, custom)
    return _keras3(model, found, path) if found.generation == 3 else _keras2(model, found, path)


def _keras3(model: Any, found: Found, path: Path) -> Imported:
    from optkit.keras_models.rebuild import NotRebuildableError, rebuild

    if not model.built:
        raise _without_shape(path)
    try:
        rebuilt = rebuild(model)
    except NotRebuildableError as error:
        reason = f"layer {error.layer!r}: {error.reason}"
        return Imported(_frozen(model, path), found.source, reason, None, [])
    return Imported(rebuilt.model, found.source, None, rebuilt.difference, list(rebuilt.notes))


def _keras2(model: Any, found: Found, path: Path) -> Imported:
    if not model.built:
        raise _without_shape(path)
    reason = _not_trainable(model)
    if reason is not None:
        return Imported(_frozen(model, path), found.source, reason, None, [])
    if not getattr(model, "inputs", None):
        raise _without_shape(path)
    model, notes = _in_float32(model)
    return Imported(model, found.source, None, None, notes)


def _not_trainable(model: Any, path: str = "") -> str | None:
    """Why techniques cannot work on a tf_keras model: it is not made of Keras's own layers."""
    import tf_keras

    own = (tf_keras.Sequential, type(tf_keras.Model()))
    functional = hasattr(model, "_init_graph_network") and getattr(model, "_is_graph_network", False)
    if not functional and type(model) not in own:
        return f"layer {path or model.name!r}: {type(model).__name__} is a class of its own"
    for layer in model.layers:
        name = f"{path}/{layer.name}" if path else layer.name
        if hasattr(layer, "layers") and isinstance(layer, tf_keras.Model):
            inner = _not_trainable(layer, name)
            if inner:
                return inner
        elif not type(layer).__module__.startswith("tf_keras."):
            return f"layer {name!r}: {type(layer).__name__} is a class of the user's own"
        elif type(layer).__name__ == "Lambda":
            return f"layer {name!r}: a Lambda calls a function of the user's own"
    return None


def _in_float32(model: Any) -> tuple[Any, list[str]]:
    """The same model computing in float32 throughout."""
    policies = {str(layer.dtype_policy.name) for layer in model.submodules if hasattr(layer, "dtype_policy")}
    mixed = sorted(name for name in policies if name.startswith("mixed_") or name in {"float16", "bfloat16", "float64"})
    if not mixed:
        return model, []
    copy = type(model).from_config(_with_dtype(model.get_config(), frozenset(mixed)))
    copy.set_weights([weight.astype("float32") for weight in model.get_weights()])
    return copy, [f"computed with the policy {', '.join(mixed)}, taken over in float32"]


def _with_dtype(value: Any, mixed: frozenset[str]) -> Any:
    if isinstance(value, dict):
        named = value.get("config")
        if value.get("class_name") == "Policy" and isinstance(named, dict) and named.get("name") in mixed:
            return "float32"
        return {key: "float32" if _is_mixed(key, one, mixed) else _with_dtype(one, mixed) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_dtype(one, mixed) for one in value]
    if isinstance(value, tuple):
        return tuple(_with_dtype(one, mixed) for one in value)
    return value


def _is_mixed(key: str, value: Any, mixed: frozenset[str]) -> bool:
    return key == "dtype" and isinstance(value, str) and value in mixed


def _frozen(model: Any, path: Path) -> Any:
    """A model that cannot be rebuilt, as one frozen graph."""
    ports = getattr(model, "inputs", None)
    ports = list(ports.values()) if isinstance(ports, dict) else list(ports or [])
    shapes = [tuple(port.shape) for port in ports]
    if not shapes:
        # A subclassed model knows the shape that it was built with.
        known = getattr(model, "input_shape", None) or getattr(model, "_build_input_shape", None)
        known = known or getattr(model, "_build_shapes_dict", None)
        known = next(iter(known.values())) if isinstance(known, dict) and len(known) == 1 else known
        if not isinstance(known, (list, tuple)) or not known or isinstance(known[0], (list, tuple, dict)):
            raise _without_shape(path)
        shapes = [tuple(known)]
    dtypes = [str(getattr(port.dtype, "name", port.dtype)) for port in ports] or ["float32"]
    if any(size is None for shape in shapes for size in shape[1:]):
        raise InputError(
            f"expected inputs of fixed size, {path} takes {[list(shape[1:]) for shape in shapes]}, where None is any; "
            "save it with the size that the device will give"
        )
    try:
        return saved_model.wrap(saved_model.from_keras(model, shapes, dtypes), path)
    except InputError:
        raise
    except Exception as error:
        # Layers raise whatever their code raises.
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"cannot trace {path}: {reason}; export it as a SavedModel and give that") from error


def _without_shape(path: Path) -> InputError:
    return InputError(
        f"expected a model that knows its input's shape, {path} was never built; call it on data once, or give it an "
        "Input layer, and save it again"
    )


def _weights(found: Found, path: Path, baseline: str | None) -> Imported:
    """A built-in network with the weights of a file."""
    if baseline is None:
        choices = ", ".join(registry.names("baselines"))
        raise InputError(
            f"{path} holds weights without a model: name the network with --baseline, one of {choices}, or save the "
            "whole model"
        )
    model = baselines.build(baseline)
    if not found.legacy and not path.name.endswith(".weights.h5"):
        raise InputError(f"expected a name that ends in .weights.h5 for such a weights file, found {path}; rename it")
    try:
        if found.generation == 3 and not found.legacy:
            _from_keras3(model, path)
        else:
            model.load_weights(str(path.absolute()))
    except InputError:
        raise
    except Exception as error:
        # Keras raises several kinds where shapes or names do not fit.
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"the weights in {path} are not those of {baseline}: {reason}; choose the network") from error
    return Imported(model, found.source, None, None, [f"weights for the built-in network {baseline}"])


def _from_keras3(model: Any, path: Path) -> None:
    """Read weights that Keras 3 numbers in its own way into a tf_keras model."""
    from optkit.keras_models.to_keras3 import to_keras3

    other = to_keras3(model)
    other.load_weights(str(path.absolute()))
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(other.get_layer(layer.name).get_weights())
