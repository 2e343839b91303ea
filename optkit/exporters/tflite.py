"""TFLite files, from TensorFlow's converter, with built-in operators only.

A quantized file is made in two steps: a float file that carries ranges (measured on calibration images, or
trained by quantization-aware training), then TensorFlow's quantizer over it. That is what the converter does
inside; apart, the ranges can come from any method and chosen layers can stay in float.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from optkit import tflite_schema
from optkit.data._inputs import fed, form_of
from optkit.errors import EnvironmentFailedError, InputError, InternalError
from optkit.exporters import (
    ExportJob,
    calibration_images,
    check_noted,
    check_skipped,
    kernel_layers,
    kernel_note,
    kernels_first,
    layer_names,
    layers_in,
    quantization_aware_reason,
    range_notes,
)
from optkit.exporters._excluding import Excluding, Partly, grouped
from optkit.exporters._four_bits import FourBits, wanted_layers
from optkit.schema import LayerNote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy as np

    from optkit.errors import OptkitError
    from optkit.exporters._flatbuffer import Node
    from optkit.schema import Recipe

SUMMARY = "TensorFlow Lite flatbuffer, built-in operators only, with the source model's signature names"
SOURCE = "tf.lite.TFLiteConverter; Jacob et al. (2018), arXiv:1712.05877, for the integer arithmetic"
FORMAT = "tflite"
PRECISIONS = {
    "fp32": "float32 weights and arithmetic: the reference",
    "fp16": "float16 weights, half the bytes; XNNPACK computes in float32 on most CPUs, so no faster there",
    "dynamic": "int8 weights; activations are quantized while running, in and out stay float32",
    "int8": "int8 weights (one scale per output channel) and int8 activations, integer in and out",
    "int16x8": "int8 weights, int16 activations; no XNNPACK kernel, so many times slower than fp32 on a CPU",
    "int4": (
        "int4 weights of convolutions and dense layers, two in a byte, int8 activations; convolutions are unpacked in "
        "every call, several times slower than int8"
    ),
}


PARAMS = {"int8": Excluding, "int4": FourBits}


def unsupported(recipe: Recipe) -> str | None:
    """Why this format cannot do the recipe; ``None`` where it can."""
    return quantization_aware_reason(recipe)


def export(job: ExportJob, model: Any, destination: Path) -> list[LayerNote]:
    """Write a tf_keras model as TFLite.

    The input's shape is [1, …] and its signature [-1, …], so that it can be resized to any batch.

    Returns:
        What happened to each layer with a kernel, read from the finished file.

    Raises:
        InputError: An operator has no TFLite built-in, or none at this precision; no kernel is large enough for it;
            the calibration images cannot be used; a layer to skip is not there, or cannot be skipped at this precision.
        InternalError: The file is not what was asked for.
    """
    known = layer_names(model)
    check_skipped(job.skip_layers, known)
    content = name_ports(_BUILDERS[job.recipe.precision.name](job, model, known))
    notes = _check(job, content, model)
    destination.write_bytes(content)
    return notes


def name_ports(content: bytes) -> bytes:
    """See ``_flatbuffer.name_ports``, which loads the schema of LiteRT."""
    from optkit.exporters import _flatbuffer

    return _flatbuffer.name_ports(content)


def integer_file(job: ExportJob, model: Any, known: tuple[str, ...]) -> bytes:
    """An int8 file; see ``export``.

    Of a quantization-aware model the ranges are those that were trained, and the file agrees with the Keras
    model.
    """
    return _quantized(job, _ranged(job, model), known)


def _ranged(job: ExportJob, model: Any) -> bytes:
    """A float file with ranges: those that were trained, or those of the calibration images."""
    return _convert(model) if job.quantization_aware else _calibrated(job, model)


def _quantized(job: ExportJob, ranged: bytes, known: tuple[str, ...]) -> bytes:
    """What TensorFlow's quantizer makes of a float file with ranges."""
    return _rounded(ranged, job.io, _operators_of(ranged, job.skip_layers, known))


def _rounded(ranged: bytes, io: str, in_float: list[str]) -> bytes:
    """The same, by the operators that stay in float."""
    from tensorflow.lite.python.convert import mlir_quantize

    port = _io_type(io)
    return bytes(mlir_quantize(ranged, input_data_type=port, output_data_type=port, denylisted_nodes=in_float))


def partly(job: ExportJob, model: Any) -> Partly:
    """Files of a model with some of its layers in int8, from one calibration.

    Those in float are float32. int16 activations cannot be had beside int8: TensorFlow 2.21's quantizer has one type
    for all operators that it takes, and given a file in which some are int8 it makes int8 of the others, whatever type
    it is told. Nor do they help where weights are the trouble, which have 8 bits with them too: a network that lost 58
    points of accuracy by the weights of one layer lost 61 as int16x8.
    """
    from optkit.exporters import _flatbuffer

    known, ranged = layer_names(model), _ranged(job, model)
    operations, outputs = _flatbuffer.operations(tflite_schema.parse(ranged), known)
    groups = grouped(operations, outputs, kernel_layers(model), job.skip_layers)

    def without(layers: Sequence[str]) -> bytes:
        skipped = (*job.skip_layers, *files.in_float(layers))
        return name_ports(_quantized(dataclasses.replace(job, skip_layers=skipped), ranged, known))

    files = Partly(
        layers=groups.layers,
        followers=groups.followers,
        reference=name_ports(_convert(model)),
        only=lambda layer: name_ports(_rounded(ranged, "float", groups.all_but(layer))),
        without=without,
    )
    return files


def _int4(job: ExportJob, model: Any, known: tuple[str, ...]) -> bytes:
    """An int8 file whose kernels are rounded anew to 4 bits, or were trained for them.

    Raises:
        UnreachableError: A layer named for int4 is none that can have it.
    """
    from optkit.exporters import _int4 as four
    from optkit.exporters._tflite_activations import activations

    wanted = wanted_layers(job, kernel_layers(model))
    ranged = _ranged(job, model)
    content = _quantized(job, ranged, known)
    if job.quantization_aware:
        return four.pack(content, wanted, known)
    values = activations(ranged, calibration_images(job, form_of(model)), job.threads)
    return four.requantize(content, ranged, four.energy(ranged, values, known), wanted, known)


def _float32(_job: ExportJob, model: Any, _known: tuple[str, ...]) -> bytes:
    return _convert(model)


def _float16(_job: ExportJob, model: Any, _known: tuple[str, ...]) -> bytes:
    import tensorflow as tf

    def configure(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]

    return _convert(model, configure)


def _dynamic(job: ExportJob, model: Any, known: tuple[str, ...]) -> bytes:
    import tensorflow as tf

    from optkit.exporters import _flatbuffer

    def configure(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]

    content = _convert(model, configure)
    if not job.skip_layers:
        return content
    return _flatbuffer.restore_float_kernels(content, _convert(model), frozenset(job.skip_layers), known)


def _int16x8(job: ExportJob, model: Any, _known: tuple[str, ...]) -> bytes:
    import tensorflow as tf

    if job.skip_layers:
        raise InputError(
            "int16x8 cannot keep a layer in float: TensorFlow's 16-bit quantizer takes the whole model; "
            f"leave out int16x8 or --skip-layer {job.skip_layers[0]}"
        )
    images = calibration_images(job, form_of(model))

    def configure(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: _one_by_one(images)
        ops = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [ops]
        converter.inference_input_type = converter.inference_output_type = tf.int16

    try:
        return _convert(model, configure)
    except RuntimeError as error:
        if "not yet supported" not in str(error):
            raise
        raise InputError(f"TensorFlow's 16-bit quantizer: {' '.join(str(error).split())[:200]}") from error


_BUILDERS: dict[str, Callable[[ExportJob, Any, tuple[str, ...]], bytes]] = {
    "fp32": _float32,
    "fp16": _float16,
    "dynamic": _dynamic,
    "int8": integer_file,
    "int16x8": _int16x8,
    "int4": _int4,
}


def _convert(model: Any, configure: Callable[[Any], None] = lambda _converter: None) -> bytes:
    """Run TensorFlow's converter; it adds no Flex and no custom operator unless told to."""
    import tensorflow as tf
    from tensorflow.lite.python.convert_phase import ConverterError

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    configure(converter)
    try:
        content = bytes(converter.convert())
    except ConverterError as error:
        raise InputError(_unsupported_operators(error, layer_names(model))) from error
    if not converter.saved_model_dir:
        # Where it cannot write the model to a temporary folder, the converter goes another way without a word, and the
        # file comes out otherwise (with a fixed batch, for one).
        raise _why_not_saved(model)
    return content


def _why_not_saved(model: Any) -> OptkitError:
    """What keeps TensorFlow from writing a model to a temporary folder."""
    import tempfile

    import tensorflow as tf

    folder = tempfile.gettempdir()
    reason = "it worked when tried again"
    try:
        with tempfile.TemporaryDirectory() as scratch:
            tf.saved_model.save(model, scratch)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is the reason
        reason = " ".join(str(error).split())[:300]
    return EnvironmentFailedError(
        f"TensorFlow cannot write the model to {folder} on its way to TFLite ({reason}); free space there, then run "
        "the same command again"
    )


def _unsupported_operators(error: Any, known: tuple[str, ...]) -> str:
    found = {}
    for item in error.errors:
        scopes = (call.name.split("@")[0] for call in item.location.call)
        layers = [layer for scope in scopes for layer in layers_in(scope, known)]
        found[item.operator.name.removeprefix("tf.")] = f" (layer {layers[0]})" if layers else ""
    if not found:
        return f"TensorFlow's converter refused the model: {str(error).splitlines()[0]}"
    names = ", ".join(f"{name}{layer}" for name, layer in sorted(found.items()))
    return f"TFLite has no built-in operator for {names}: replace it in the model, or export to another format"


def _calibrated(job: ExportJob, model: Any) -> bytes:
    """A float file in which every activation has a range."""
    import tensorflow as tf

    from optkit.exporters import _flatbuffer, _ranges
    from optkit.exporters._tflite_activations import activations

    images = calibration_images(job, form_of(model))

    def configure(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: _one_by_one(images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        # tf.lite.experimental.QuantizationDebugger sets the same attribute for the same purpose.
        converter._experimental_calibrate_only = True  # noqa: SLF001

    content = _convert(model, configure)
    if job.calibration_method == "minmax":
        return content
    ranges = _ranges.activation_ranges(
        lambda: activations(content, images, job.threads),
        job.calibration_method,
        exact=frozenset(_input_tensors(content)),
    )
    return _flatbuffer.set_ranges(content, ranges)


def _one_by_one(images: np.ndarray) -> Iterator[list[np.ndarray] | dict[str, np.ndarray]]:
    """Calibration images as TensorFlow takes them: in a list, or by the names that the signature has for inputs."""
    for index in range(len(images)):
        given = fed(images[index : index + 1])
        yield given if isinstance(given, dict) else [given]


def _input_tensors(content: bytes) -> list[str]:
    graph = tflite_schema.parse(content).subgraphs[0]
    return [graph.tensors[index].name.decode() for index in graph.inputs]


def _io_type(io: str) -> Any:
    import tensorflow as tf

    return {"int8": tf.int8, "uint8": tf.uint8, "float": tf.float32}[io]


def _operators_of(content: bytes, layers: tuple[str, ...], known: tuple[str, ...]) -> list[str]:
    """Names by which the quantizer knows the operators of some layers."""
    from optkit.exporters import _flatbuffer

    return [
        node.output
        for node in _flatbuffer.nodes(tflite_schema.parse(content), known)
        if node.kind not in _flatbuffer.CONVERSIONS and set(layers).intersection(node.layers)
    ]


def _check(job: ExportJob, content: bytes, model: Any) -> list[LayerNote]:
    """Look at the finished file: built-in operators only, and integers where integers were asked for."""
    from optkit.exporters import _flatbuffer

    kernels = kernel_layers(model)
    found = _flatbuffer.nodes(tflite_schema.parse(content), layer_names(model))
    if foreign := sorted({node.kind for node in found if not node.builtin}):
        raise InternalError(f"the TFLite file holds operators that are not built in: {', '.join(foreign)}")
    precision = job.recipe.precision.name
    if precision in ("int8", "int16x8", "int4"):
        _check_integer(found, job.skip_layers)
    if precision == "dynamic" and not job.skip_layers and not any(node.kernel_type == "int8" for node in found):
        raise InputError(
            "nothing would be quantized: TensorFlow's converter leaves kernels of under 1,024 values in float; choose "
            "int8 or fp16"
        )
    notes = [_note(job, node, kernels) for node in found if node.kernel_type is not None]
    check_noted(job, notes, kernels)
    return notes + range_notes(job)


def _note(job: ExportJob, node: Node, kernels: tuple[str, ...]) -> LayerNote:
    """What the file holds of an operator's kernel, and in an int4 file why it has more than 4 bits."""
    layers = kernels_first(node.layers, kernels) or (node.output,)
    note = kernel_note(job, layers, str(node.kernel_type), node.kernel_scales)
    if job.recipe.precision.name != "int4" or node.kernel_type not in {"int4", "int8"}:
        return note
    wanted = wanted_layers(job, kernels)
    if node.kernel_type == "int8":
        return LayerNote(note.layer, note.changed, f"{note.reason}: {wanted.why_not(node)}")
    if wanted.layers is not None and not wanted.has(node):
        return LayerNote(note.layer, note.changed, f"{note.reason}: it shares them with a layer named for 4 bits")
    return note


def _check_integer(found: list[Node], skip_layers: tuple[str, ...]) -> None:
    from optkit.exporters import _flatbuffer

    computing = [node for node in found if node.kind not in _flatbuffer.CONVERSIONS]
    in_float = [
        node
        for node in computing
        if "float32" in (*node.activations, node.kernel_type) and not set(skip_layers).intersection(node.layers)
    ]
    if in_float:
        names = ", ".join(f"{node.kind} ({', '.join(node.layers) or node.output})" for node in in_float)
        raise InputError(
            f"not an integer file: TensorFlow's quantizer left {names} in float; choose dynamic or fp16, "
            "or name these layers with --skip-layer"
        )
