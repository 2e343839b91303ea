"""Reads a model's configuration for what may not be loaded: unknown classes, Python code, and what reads files.

It looks at the plain JSON, before Keras sees it: Keras finds a class by importing whatever module the file names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Why these classes are refused although Keras has them.
_RUNS_CODE = {
    "__lambda__": "holds Python bytecode",
    "__typespec__": "looks up a class by name",
    "TypeSpec": "looks up a class by name",
    "CompositeTensor": "looks up a class by name",
    "ClassMethod": "calls a method by name",
    "InstanceMethod": "calls a method by name",
    "TorchModuleWrapper": "holds a pickled module",
    "FlaxLayer": "holds a pickled function",
    "JaxLayer": "holds a pickled function",
    "TFSMLayer": "reads another model's folder",
    "TensorFlowOpLayer": "holds a TensorFlow operator of any kind",
    "StringLookup": "may read files, and has no counterpart in TFLite",
    "IntegerLookup": "may read files, and has no counterpart in TFLite",
    "TextVectorization": "may read files, and has no counterpart in TFLite",
}
# Records that stand for plain values.
_VALUES = frozenset(
    {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__", "__tuple__"}
    | {"TensorShape"}
)
_FUNCTION_KEYS = frozenset({"activation", "recurrent_activation"})
# TensorFlow functions that compute numbers from numbers, by the names that TFOpLambda layers store.
_NUMERIC_SPACES = ("__operators__.", "math.", "nn.", "linalg.", "image.", "signal.", "bitwise.")
_NUMERIC_WORDS = (
    "abs add argmax argmin argsort atan2 boolean_mask broadcast_to cast ceil clip_by_value concat convert_to_tensor "
    "cos cumsum divide einsum equal exp expand_dims eye fill floor floordiv gather gather_nd greater greater_equal "
    "identity less less_equal logical_and logical_not logical_or matmul maximum minimum multiply negative not_equal "
    "one_hot ones_like pad pow range rank realdiv reduce_all reduce_any reduce_logsumexp reduce_max reduce_mean "
    "reduce_min reduce_prod reduce_sum repeat reshape reverse roll round scatter_nd shape sigmoid sign sin size slice "
    "sort split sqrt square squeeze stack stop_gradient strided_slice subtract tan tanh tensordot tile transpose "
    "truediv unstack where zeros_like"
)
_NUMERIC_FUNCTIONS = frozenset(_NUMERIC_WORDS.split())
# keras.backend is not all numeric.
_BACKEND_FUNCTIONS = frozenset({"keras.backend.mean", "keras.backend.sum", "keras.backend.sigmoid"})


@dataclass(frozen=True)
class Known:
    """What one generation of Keras has of its own.

    Attributes:
        has_class: Whether a class is there, given its module (or ``None``) and name.
        has_function: The same for an activation or operator function.
        custom: Names that the user's own file provides.
    """

    has_class: Callable[[str | None, str], bool]
    has_function: Callable[[str | None, str], bool]
    custom: frozenset[str] = field(default_factory=frozenset)


def check_config(config: dict[str, Any], known: Known, path: Path) -> None:
    """Refuse a configuration that names anything but what Keras or the user's own file provides.

    Raises:
        InputError: With the layer, the reason and the way out.
    """
    for layer, record in _records(config, "the model"):
        reason = _reason(record, known)
        if reason:
            shown = layer if len(layer) <= 200 else f"{layer[:200]}…"
            raise InputError(f"refused {path}: {shown} {' '.join(reason.split())[:300]}")


def _records(config: dict[str, Any], model: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the configuration with the layer that it belongs to; nesting was bounded before."""
    pending: list[tuple[str, Any]] = [(model, config)]
    while pending:
        layer, value = pending.pop()
        if isinstance(value, dict):
            inner = value.get("config")
            name = value.get("name") or (inner.get("name") if isinstance(inner, dict) else None)
            if "class_name" in value and isinstance(inner, dict) and isinstance(name, str) and value is not config:
                layer = f"layer {name!r}" if layer == model else f"{layer}, in it {name!r}"
            yield layer, value
            pending += [(layer, one) for one in reversed(list(value.values())) if isinstance(one, (dict, list))]
        else:
            pending += [(layer, one) for one in reversed(value) if isinstance(one, (dict, list))]


def _reason(record: dict[str, Any], known: Known) -> str:
    """Why a record may not be loaded; empty where it may."""
    for key in _FUNCTION_KEYS & record.keys():
        named = record[key]
        if isinstance(named, str) and named not in known.custom and not known.has_function(None, named):
            return _unknown("uses the function", named)
    name, module, inner = record.get("class_name", "__tuple__"), record.get("module"), record.get("config")
    if not isinstance(name, str) or not isinstance(module, str | None):
        return f"has a class name that is no text, {str(name)[:100]}: save the model again, or export a SavedModel"
    special = _special_reason(name, inner, known)
    if special is not None or is_custom(record, known):
        return special or ""
    if name == "function":
        is_known = isinstance(inner, str) and known.has_function(module, inner)
        return "" if is_known else _unknown("uses the function", inner)
    return "" if known.has_class(module, name) else _unknown("is of class", name)


def _special_reason(name: str, inner: Any, known: Known) -> str | None:
    """The same for a class that its name alone judges; ``None`` for all others."""
    if name == "Lambda":
        return _lambda_reason(inner, known)
    if name in _RUNS_CODE:
        return f"({name}) {_RUNS_CODE[name]}: never loaded from a file; {_way_out('defines a layer in its place')}"
    if name in {"TFOpLambda", "SlicingOpLambda"}:
        function = inner.get("function") if isinstance(inner, dict) else None
        return "" if is_numeric(function) else f"calls the TensorFlow function {function!r}; export a SavedModel"
    return "" if name in _VALUES else None


def _unknown(what: str, name: object) -> str:
    return f"{what} {str(name)[:100]!r}, which Keras does not have: {_way_out('defines it')}"


def is_custom(record: dict[str, Any], known: Known) -> bool:
    """Whether a record is one of the user's own classes or functions; built-in modules keep their names."""
    if str(record.get("module") or "").split(".")[0] in {"keras", "tf_keras"}:
        return False
    inner = record.get("config")
    names = [record.get("registered_name"), inner if record["class_name"] == "function" else record["class_name"]]
    return any(isinstance(name, str) and name in known.custom for name in names)


def is_numeric(function: object) -> bool:
    """Whether a TensorFlow function named in a file computes numbers and does nothing else."""
    if not isinstance(function, str):
        return False
    name = function.removeprefix("compat.v1.")
    if name.startswith("keras."):
        return name in _BACKEND_FUNCTIONS
    return name in _NUMERIC_FUNCTIONS or name.startswith(_NUMERIC_SPACES)


def _lambda_reason(inner: Any, known: Known) -> str:
    """A Lambda layer is loaded only where all its functions have names that the user's file provides."""
    inner = inner if isinstance(inner, dict) else {}
    given = [inner.get(key) for key in ("function", "mask", "output_shape")]
    named = all(inner.get(f"{key}_type") != "lambda" for key in ("function", "mask", "output_shape"))
    own = [
        one in known.custom if isinstance(one, str) else isinstance(one, dict) and is_custom(one | _NAMED, known)
        for one in given
        if one is not None and not (isinstance(one, (list, tuple)) and all(isinstance(n, int | None) for n in one))
    ]
    if named and own and all(own) and given[0] is not None:
        return ""
    return (
        "is a Lambda, Python code that is never run from a file: replace it by layers, make it a class that you give "
        "with --custom-objects module.py, or export a SavedModel"
    )


# A function's record has its name where a class has its settings.
_NAMED = {"class_name": "function"}


def _way_out(verb: str) -> str:
    return f"give the Python file that {verb} with --custom-objects module.py, or export a SavedModel"
