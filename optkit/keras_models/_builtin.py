"""What the installed Keras 3 and tf_keras have of their own, and what a user's own Python file adds."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

from optkit.errors import InputError
from optkit.keras_models._config_scan import Known

if TYPE_CHECKING:
    from pathlib import Path

# Public modules whose classes make up a model; those of optimizers, callbacks and tools do not.
_PARTS = ("layers", "models", "initializers", "regularizers", "constraints", "mixed_precision")
_PARTS_3 = (*_PARTS, "dtype_policies", "quantizers", "random", "ops")
_LIBRARIES = frozenset({"keras", "tf_keras", "tensorflow", "tensorflow_model_optimization", "numpy", "jax", "torch"})


def keras3(custom: frozenset[str]) -> Known:
    """Classes and functions of Keras 3, besides the names that the user's file provides."""
    import keras
    from keras.src.activations import ALL_OBJECTS_DICT as ACTIVATIONS
    from keras.src.api_export import get_symbol_from_name
    from keras.src.saving.keras_saveable import KerasSaveable

    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"expected Keras with its TensorFlow backend, found {keras.backend.backend()}; unset KERAS_BACKEND"
        )

    plain = {"Functional"}
    for part in _PARTS:
        plain |= {name for name, one in vars(getattr(keras, part)).items() if inspect.isclass(one)}

    def has_class(module: str | None, name: str) -> bool:
        if module is None:
            return name in plain
        if _is_part(module, _PARTS_3) and inspect.isclass(get_symbol_from_name(f"{module}.{name}")):
            return True
        # Operators of plain arithmetic and a few layers have no public name; nothing is imported for them.
        inner = vars(sys.modules.get(module or "", None) or object).get(name) if _is_private(module) else None
        return inspect.isclass(inner) and issubclass(inner, KerasSaveable)

    def has_function(module: str | None, name: str) -> bool:
        if module in {None, "builtins"}:
            return name in ACTIVATIONS
        found = get_symbol_from_name(f"{module}.{name}")
        return _is_part(str(module), ("activations", "ops")) and inspect.isfunction(found)

    return Known(has_class, has_function, custom)


def keras2(custom: frozenset[str]) -> Known:
    """Classes and functions of tf_keras, besides the names that the user's file provides."""
    import tf_keras
    from tensorflow.python.util.tf_export import get_symbol_from_name
    from tf_keras.src.layers import serialization

    serialization.populate_deserializable_objects()
    plain = set(serialization.LOCAL.ALL_OBJECTS)
    for part in ("initializers", "regularizers", "constraints", "mixed_precision"):
        plain |= {name for name, one in vars(getattr(tf_keras, part)).items() if inspect.isclass(one)}

    def has_class(module: str | None, name: str) -> bool:
        if module is None:
            return name in plain
        if _is_part(module, _PARTS) and inspect.isclass(get_symbol_from_name(f"{module}.{name}")):
            return True
        if not _is_private(module):
            return False
        inner = vars(sys.modules.get(f"tf_{module.removeprefix('tf_')}", None) or object).get(name)
        parts = (tf_keras.layers.Layer, tf_keras.initializers.Initializer, tf_keras.regularizers.Regularizer)
        return inspect.isclass(inner) and issubclass(inner, (*parts, tf_keras.constraints.Constraint))

    def has_function(module: str | None, name: str) -> bool:
        if module not in {None, "builtins"} and not _is_part(str(module), ("activations",)):
            return False
        try:
            found = tf_keras.activations.get(name)
        except (ValueError, TypeError):
            return False
        return callable(found) and str(getattr(found, "__module__", "")).startswith(("tf_keras.", "tensorflow."))

    return Known(has_class, has_function, custom)


def _is_part(module: str, parts: tuple[str, ...]) -> bool:
    library, _, rest = module.partition(".")
    return library in {"keras", "tf_keras"} and (rest == "" or rest.split(".")[0] in parts)


def _is_private(module: str | None) -> bool:
    return (module or "").startswith(("keras.src.", "tf_keras.src."))


def load_custom_objects(path: Path) -> dict[str, Any]:
    """Run the user's own Python file and collect the classes and functions that it defines or registers.

    Returns:
        By name, and by ``package>name`` for those registered with Keras 3 or tf_keras.

    Raises:
        InputError: It is no Python file, fails, or defines nothing.
    """
    import importlib.util

    import keras
    import tf_keras

    if not path.is_file() or path.suffix != ".py":
        raise InputError(f"--custom-objects expects a Python file, found {path}; give the .py file of your classes")
    registries = (keras.saving.get_custom_objects(), tf_keras.saving.get_custom_objects())
    before = [dict(registry) for registry in registries]
    name = f"optkit_custom_objects_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"--custom-objects expects a Python file, found {path}; give the .py file of your classes")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    # Last, so that a file of the folder does not take an installed package's place.
    sys.path.append(str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise InputError(f"--custom-objects {path} failed: {reason}; mend the file") from error
    finally:
        sys.path.pop()
    objects = {
        key: one
        for key, one in vars(module).items()
        if not key.startswith("_")
        and (inspect.isclass(one) or inspect.isfunction(one))
        and one.__module__.split(".")[0] not in _LIBRARIES
    }
    for registry, known in zip(registries, before, strict=True):
        objects |= {key: one for key, one in registry.items() if known.get(key) is not one}
    if not objects:
        raise InputError(f"--custom-objects {path} defines no class and no function; give the file that does")
    return objects
