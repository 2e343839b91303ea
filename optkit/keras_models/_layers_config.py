"""Translates the configuration and the weights of a Keras 3 layer for the tf_keras layer of the same name."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from optkit.keras_models._parts import Parts

# Options of Keras 3 that tf_keras lacks, with the values at which they change nothing.
_WITHOUT_EFFECT: dict[str, tuple[Any, ...]] = {
    "bounding_box_format": (None,),
    "data_format": (None, "channels_last"),
    "flash_attention": (None, False, True),
    "quantization_config": (None,),
    "synchronized": (False,),
}
_BY_TYPE = ("_regularizer", "_constraint")


def translated(parts: Parts, source: Any, target: type) -> dict[str, Any]:
    """Arguments for a tf_keras class, from a Keras 3 layer.

    Initial values are left out, since the weights are copied.

    Raises:
        NotRebuildableError: An option has no counterpart and is not at a value where it has no effect.
    """
    known = _arguments(target)
    config: dict[str, Any] = {"dtype": compute_type(source)}
    for key, value in source.get_config().items():
        if key in ("name", "trainable", "dtype") or key.endswith("_initializer") or key.startswith(("lora_", "gptq_")):
            continue
        if key == "seed":
            config[key] = value if isinstance(value, int) else None
        elif key.endswith(_BY_TYPE):
            config[key] = _penalty(parts, source, key, value)
        elif key in known:
            config[key] = value
        elif value not in _WITHOUT_EFFECT.get(key, (None, False)):
            raise parts.refuse(f"tf_keras's {target.__name__} has no option {key} (here {value!r})")
    return {key: value for key, value in config.items() if key in known}


def compute_type(source: Any) -> str:
    """The type that the rebuilt layer computes in: float32 in place of every float."""
    dtype: str = source.compute_dtype
    return "float32" if "float" in dtype else dtype


def weights_of(source: Any) -> list[np.ndarray]:
    """The weights of a Keras 3 layer in its order, floats as float32; a low-rank update is added to its kernel."""
    if getattr(source, "lora_enabled", False):
        kernel = source.kernel if hasattr(source, "kernel") else source.embeddings
        bias = getattr(source, "bias", None)
        return [array(kernel)] if bias is None else [array(kernel), array(bias)]
    return [array(weight) for weight in source.weights]


def array(value: Any) -> np.ndarray:
    """A weight or constant as numpy, floats as float32."""
    import keras

    stored = value.value if isinstance(value, keras.Variable) else value
    found = np.asarray(stored.numpy() if hasattr(stored, "numpy") else stored)
    return found if found.dtype.kind in "iub" else found.astype(np.float32)


@functools.cache
def _arguments(target: type) -> frozenset[str]:
    """Names of all arguments that a tf_keras class takes, through its bases."""
    found = {"name", "trainable", "dtype"}
    for base in target.__mro__:
        parameters = inspect.signature(base.__init__).parameters.values()  # type: ignore[misc]  # of a class
        found.update(item.name for item in parameters if item.kind not in (item.VAR_KEYWORD, item.VAR_POSITIONAL))
        if not any(item.kind == item.VAR_KEYWORD for item in parameters):
            break
    return frozenset(found - {"self"})


def _penalty(parts: Parts, source: Any, key: str, value: Any) -> Any:
    """A regularizer or constraint of tf_keras; of a kind that it lacks there is a note, since outputs do not change."""
    import tf_keras

    if value is None:
        return None
    module = tf_keras.regularizers if key.endswith("_regularizer") else tf_keras.constraints
    kind = value.get("class_name", "") if isinstance(value, dict) else str(value)
    made = getattr(module, kind, None)
    if made is None or not isinstance(made, type):
        parts.notes.append(f"layer {source.name}: {key} {kind or value!r} left out, tf_keras has none")
        return None
    return made(**value["config"])
