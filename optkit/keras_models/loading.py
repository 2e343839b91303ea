"""Loads Keras files after their configuration and headers were looked at; no code in them is run."""

from __future__ import annotations

import inspect
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from optkit.errors import InputError
from optkit.keras_models import _config_scan, _limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from optkit.keras_models.detect import Found

# Counters and seeds of random layers, which some files leave out.
SPARE_ELEMENTS = 1 << 16
# Four gibibytes of float32 for one example: no network for a device has such a tensor.
MOST_ACTIVATIONS = 1 << 30


def load_found(found: Found, path: Path, custom: Mapping[str, Any]) -> Any:
    """The model of a ``.keras`` or ``.h5`` file, as Keras 3 or tf_keras has it, uncompiled.

    Args:
        found: What ``detect.identify`` says of it.
        path: The file.
        custom: The user's own classes and functions by name.

    Raises:
        InputError: It is no whole Keras model, is damaged or hostile, or needs code of the user's own.
    """
    from optkit.keras_models import _builtin

    names = frozenset(custom)
    known = _builtin.keras3(names) if found.generation == 3 else _builtin.keras2(names)
    if found.config is None:
        raise InputError(f"expected a whole Keras model, {path} is a {found.source}; give a .keras or .h5 file")
    _config_scan.check_config(found.config, known, path)
    if found.generation == 3:
        import keras
    else:
        import tf_keras as keras
    try:
        with _variables_at_most(keras.layers.Layer, found.elements + SPARE_ELEMENTS, path):
            model = keras.models.load_model(
                str(path.absolute()), custom_objects=dict(custom), compile=False, safe_mode=True
            )
    except InputError:
        raise
    except Exception as error:
        # Keras raises whatever a layer's code raises.
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"Keras cannot load {path}: {reason}; save the model again with the Keras it runs in"
        ) from error
    check_activations(model, path)
    return model


@contextmanager
def _variables_at_most(layer_class: Any, elements: int, path: Path) -> Iterator[None]:
    """Stop a model that asks for more weights than its file holds, before they are allocated.

    Layers have no other way to make weights than ``add_weight``.
    """
    original = layer_class.add_weight
    signature = inspect.signature(original)
    left = elements

    def add_weight(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal left
        shape = signature.bind(self, *args, **kwargs).arguments.get("shape") or ()
        if isinstance(shape, (list, tuple)):
            left -= math.prod(int(size) for size in shape if size is not None)
        if left < 0:
            raise _limits.refused(path, f"layer {self.name!r} declares more weights than the file holds")
        return original(self, *args, **kwargs)

    layer_class.add_weight = add_weight
    try:
        yield
    finally:
        layer_class.add_weight = original


def check_activations(model: Any, path: Path) -> None:
    """Refuse a model one of whose tensors would not fit in memory.

    Raises:
        InputError: With the layer.
    """
    for layer in model.layers:
        outputs = getattr(layer, "output", None) if getattr(layer, "_inbound_nodes", None) else None
        for tensor in outputs if isinstance(outputs, (list, tuple)) else [outputs]:
            shape = getattr(tensor, "shape", None) or ()
            count = math.prod(int(size) for size in shape if size is not None)
            if count > MOST_ACTIVATIONS:
                raise _limits.refused(path, f"layer {layer.name!r} gives {count:,} numbers for one example")
