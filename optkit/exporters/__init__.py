"""Plug-ins that turn a Keras variant into a file: one module per format.

A plug-in defines ``SUMMARY``, ``SOURCE``, ``FORMAT``, ``PRECISIONS`` (name → what is real about it),
``unsupported(recipe)`` and ``export(job, model, destination)``, and optionally ``PARAMS`` (precision → the frozen
record of its parameters). One whose int8 takes ``_excluding.Excluding`` has ``partly(job, model)`` as well: int8 files
of which chosen layers stay float. An export runs in a process of its own, and the same job there gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from optkit.data._inputs import form_in, parts, size_of
from optkit.errors import InputError, InternalError, nearest
from optkit.schema import LayerNote, Recipe

if TYPE_CHECKING:
    import numpy as np

    from optkit.data._inputs import Form

IntegerOrFloat = Literal["int8", "uint8", "float"]
CalibrationMethod = Literal["minmax", "entropy", "percentile"]

# tensorflow-model-optimization names the wrapper of a layer so; files carry the name of the layer itself.
QUANTIZE_PREFIX = "quant_"


@dataclass(frozen=True)
class ExportJob:
    """What to export, and how.

    Attributes:
        recipe: Its last step is the precision.
        calibration: Real images float32 [n, …] as the model takes them (of several inputs a structure with a field for
            each), or the path of a ``.npy`` file of
            them (which is mapped, not loaded). Read for int8 and int16x8 only, and not after
            quantization-aware training.
        io: Input and output type of an int8 TFLite file. int16x8 files take int16, all others float32.
        opset: ONNX operator set.
        calibration_method: How activation ranges are found: ``minmax``, ``entropy`` or ``percentile``.
        reduce_range: Weights of int8 and dynamic ONNX files take 7 bits, so that no sum of two products saturates in
            16 bits on x86 processors without VNNI instructions. Weights that were trained for 8 bits keep them.
        skip_layers: Keras layers of the source model that stay in float32.
        quantization_aware: The model holds fake-quantization layers, whose ranges the file takes over.
        threads: Threads of the runtime that finds the activation ranges.
    """

    recipe: Recipe
    calibration: np.ndarray | Path
    io: IntegerOrFloat = "int8"
    opset: int = 17
    calibration_method: CalibrationMethod = "minmax"
    reduce_range: bool = False
    skip_layers: tuple[str, ...] = ()
    quantization_aware: bool = False
    threads: int = 1


def calibration_images(job: ExportJob, form: Form) -> np.ndarray:
    """The calibration images float32 [n, *form], or a structure [n] with a field for each of several inputs.

    Raises:
        InputError: There are none, they hold another number of values, or one is not a finite number. (Given
            no image, TensorFlow's converter returns a float file without a word.)
    """
    import numpy as np

    images = np.load(job.calibration, mmap_mode="r") if isinstance(job.calibration, Path) else job.calibration
    if len(images) == 0:
        raise InputError("calibration needs at least one image, found none: give some, or choose a float precision")
    given, wanted = parts(images), form if isinstance(form, Mapping) else {"": form}
    sizes = {name: size_of(tuple(values.shape[1:])) for name, values in given.items()}
    if sizes != {name: size_of(tuple(shape)) for name, shape in wanted.items()}:
        raise InputError(
            f"the model takes inputs of shape {form}, the calibration images have {form_in(images)}: "
            "give images of the model's shape"
        )
    for values in given.values():
        if not all(np.isfinite(image).all() for image in values):
            raise InputError("calibration images must be finite numbers, found NaN or infinity: clean the data")
    if isinstance(form, Mapping):
        return images
    shaped: np.ndarray = images.reshape(-1, *form).astype(np.float32, copy=False)
    return shaped


def quantization_aware_reason(recipe: Recipe) -> str | None:
    """Why a recipe with quantization-aware training cannot end in its precision; ``None`` where it can."""
    trained = next((step for step in recipe.techniques if step.name == "qat"), None)
    precision = recipe.precision.name
    if trained is not None and recipe.precision.params.get("drop") is not None:
        return (
            "int8:drop is for quantization after training: this network was trained to be rounded, and a layer in "
            "float would not be what it was trained with; leave drop out"
        )
    if trained is None or precision == "int8":
        return None
    if precision != "int4":
        return (
            "a quantization-aware model ends in int8 or int4: it was trained to be rounded, "
            f"and {precision} would drop or change that rounding"
        )
    if trained.params.get("weight_bits", 8) != int(precision.removeprefix("int")):
        return "a model trained for weights of 8 bits has more values than 4 hold: qat:weight_bits=4,… trains for int4"
    return None


def layer_names(model: Any) -> tuple[str, ...]:
    """Names of all layers of a Keras model, nested ones too, as the source model has them."""
    import tf_keras

    layers = (module for module in model.submodules if isinstance(module, tf_keras.layers.Layer))
    return tuple(dict.fromkeys(source_name(layer.name) for layer in layers))


def source_name(name: str) -> str:
    """The layer name of the source model for a name that quantization-aware training may have prefixed."""
    return name.removeprefix(QUANTIZE_PREFIX)


def check_skipped(skip_layers: tuple[str, ...], known: tuple[str, ...]) -> None:
    """Stop at a name that is no layer of the model.

    Raises:
        InputError: With the near matches.
    """
    for name in skip_layers:
        if name not in known:
            raise InputError(f"no layer {name!r} in the model to keep in float: {nearest(name, list(known))}")


def layers_in(graph_name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """The Keras layers that a name in a converted graph mentions.

    Converters join the layers of a fused operator, and the scopes within one, as in
    ``net/relu1/Relu6;net/bn1/FusedBatchNormV3;net/conv1/Conv2D``.
    """
    parts = (source_name(part.split(":")[0]) for scope in graph_name.split(";") for part in scope.split("/"))
    return tuple(dict.fromkeys(part for part in parts if part in known))


def kernel_layers(model: Any) -> tuple[str, ...]:
    """Names of the layers of a Keras model that multiply by a kernel."""
    kernels = ("kernel", "depthwise_kernel", "pointwise_kernel")
    layers = (module for module in model.submodules if any(hasattr(module, kernel) for kernel in kernels))
    return tuple(dict.fromkeys(source_name(layer.name) for layer in layers))


def kernels_first(layers: tuple[str, ...], with_kernel: tuple[str, ...]) -> tuple[str, ...]:
    """Fused layers with the one that has the kernel in front."""
    return tuple(sorted(layers, key=lambda layer: layer not in with_kernel))


def kernel_note(job: ExportJob, layers: tuple[str, ...], stored: str, scales: int) -> LayerNote:
    """What the finished file holds of a kernel.

    Args:
        job: Which layers were to stay in float.
        layers: Keras layers that were fused into the operator, the one with the kernel first.
        stored: Type of the kernel in the file.
        scales: How many it has: one for all, or one for each output channel; 0 where it has none.

    Raises:
        InternalError: The layer was to stay in float, and is not.
    """
    asked = set(job.skip_layers).intersection(layers)
    if asked and not stored.startswith("float"):
        raise InternalError(f"layer {min(asked)} was to stay in float, its kernel is {stored} in the file")
    because = ", in float as asked" if asked else ""
    if stored == "float32":
        return LayerNote(layers[0], changed=False, reason=f"float32 weights{because}")
    per_channel = f", {scales} scales (one for each output channel)"
    suffix = "" if not scales else per_channel if scales > 1 else ", one scale"
    return LayerNote(layers[0], changed=True, reason=f"{stored} weights{suffix}{because}")


def check_noted(job: ExportJob, notes: list[LayerNote], with_kernel: tuple[str, ...]) -> None:
    """Stop where a layer with a kernel was to stay in float, and no kernel in the file bears its name.

    Raises:
        InternalError: With the name.
    """
    missing = set(job.skip_layers).intersection(with_kernel) - {note.layer for note in notes}
    if missing:
        raise InternalError(f"layer {min(missing)} was to stay in float, but is not to be found in the file")


def range_notes(job: ExportJob) -> list[LayerNote]:
    """Says where the ranges come from when it is not the method that was asked for."""
    precision = job.recipe.precision.name
    if job.calibration_method == "minmax" or precision not in ("int8", "int16x8", "int4"):
        return []
    if job.quantization_aware:
        reason = f"ranges as trained; {job.calibration_method} calibration does not apply"
    elif precision == "int16x8":
        reason = f"ranges by minmax, not {job.calibration_method}: TensorFlow's 16-bit quantizer has no other"
    else:
        return []
    return [LayerNote("all", changed=True, reason=reason)]
