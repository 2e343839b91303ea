"""ONNX files: one file each, float32 in and out, any batch size, the source model's names.

A float model comes through tf2onnx. Static int8 is ONNX Runtime's quantizer with our ranges; after
quantization-aware training it is our int8 TFLite file translated, which answers as that file does, bit for
bit with XNNPACK's kernels.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optkit.errors import InputError, InternalError
from optkit.exporters import (
    ExportJob,
    check_noted,
    check_skipped,
    kernel_layers,
    kernel_note,
    kernels_first,
    layer_names,
    layers_in,
    quantization_aware_reason,
    range_notes,
    source_name,
)
from optkit.exporters._excluding import Excluding, Operation, Partly, grouped
from optkit.schema import LayerNote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from onnx import ModelProto
    from onnxruntime.quantization.calibrate import TensorsData

    from optkit.schema import Recipe

SUMMARY = "ONNX, one file, float32 in and out, any batch size, with the source model's input and output names"
SOURCE = "tf2onnx; onnxruntime.quantization (QDQ format); Jacob et al. (2018), arXiv:1712.05877"
FORMAT = "onnx"
PRECISIONS = {
    "fp32": "float32 weights and arithmetic: the reference",
    "fp16": "float16 inside, half the bytes; ONNX Runtime's CPU kernels cast to float32, so no faster there",
    "dynamic": "int8 weights, activations quantized while running; convolutions get a slow integer kernel",
    "int8": "int8 weights (one scale per output channel) and 8-bit activations; float32 in and out",
}
PARAMS = {"int8": Excluding}
# tf2onnx 1.17 writes up to 18. DequantizeLinear takes one scale per channel from 13, and ORT's quantizer asks
# for it.
OPSETS = range(13, 19)


def unsupported(recipe: Recipe) -> str | None:
    """Why this format cannot do the recipe; ``None`` where it can."""
    if recipe.precision.name == "int16x8":
        return (
            "ONNX Runtime has no integer kernel for 16-bit activations on a CPU: QuantizeLinear takes int16 "
            "(opset 21), but QLinearConv and QGemm take 8 bits only, so every layer would run in float32"
        )
    if recipe.precision.name == "int4":
        # ONNX Runtime 1.31, one thread, LeNet-5's second convolution and first dense layer: 47 µs against 13, 314
        # against 10; at opset 17 it refuses int4 for DequantizeLinear.
        return (
            "ONNX Runtime has no int4 kernel for integer activations on a CPU: DequantizeLinear takes int4 weights "
            "(opset 21) and expands them to float32 in every call, 4 (convolution) to 31 times (dense) int8's time; "
            "MatMulNBits is an operator of its own, which no other runtime reads"
        )
    return quantization_aware_reason(recipe)


def export(job: ExportJob, model: Any, destination: Path) -> list[LayerNote]:
    """Write a tf_keras model as ONNX.

    Returns:
        What happened to each layer with a kernel, read from the finished file.

    Raises:
        InputError: The operator set is out of range; an operator cannot be converted; the calibration images
            cannot be used; a layer to skip is not there.
        InternalError: The file is not what was asked for.
    """
    import onnx

    if job.opset not in OPSETS:
        raise InputError(
            f"ONNX operator set {job.opset} cannot be written: choose one from {OPSETS[0]} to {OPSETS[-1]} "
            "(tf2onnx has no later one, and quantization per channel needs 13)"
        )
    known = layer_names(model)
    check_skipped(job.skip_layers, known)
    made = _BUILDERS[job.recipe.precision.name](job, model, known)
    finished = _finish(made, model)
    onnx.checker.check_model(finished, full_check=True)
    notes = _check(job, finished, model)
    destination.write_bytes(finished.SerializeToString(deterministic=True))
    return notes


def _float32(job: ExportJob, model: Any, _known: tuple[str, ...]) -> ModelProto:
    """The float model, each dense layer with its bias one node."""
    from optkit.exporters import _onnx_graph

    return _onnx_graph.fuse_bias(_converted(job, model))


def _converted(job: ExportJob, model: Any) -> ModelProto:
    """The float model as tf2onnx writes it; an operator that it does not know it would pass on as it is."""
    import onnx
    import tensorflow as tf
    import tf2onnx

    signature = [
        tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype, name=name)
        for tensor, name in zip(model.inputs, model.input_names, strict=True)
    ]
    try:
        converted: ModelProto
        with _grouped_convolutions_in_the_open(model):
            converted, _ = tf2onnx.convert.from_keras(
                model, input_signature=signature, opset=job.opset, custom_op_handlers={"Erfc": (_erfc, [])}
            )
    except ValueError as error:
        raise InputError(f"tf2onnx cannot convert the model: {' '.join(str(error).split())[:300]}") from error
    known = layer_names(model)
    if unknown := [node for node in converted.graph.node if not onnx.defs.has(node.op_type, node.domain)]:
        names = {f"{node.op_type} (layer {next(iter(_layers(node, known)), node.name)})" for node in unknown}
        raise InputError(f"ONNX has no operator for {', '.join(sorted(names))}: replace it in the model")
    return _name_merged(converted, known)


@contextlib.contextmanager
def _grouped_convolutions_in_the_open(model: Any) -> Iterator[None]:
    """Let tf_keras write a convolution in groups as one, not within a compiled function, which tf2onnx cannot open."""
    hidden = "_jit_compiled_convolution_op"
    layers = [layer for layer in model.submodules if hasattr(layer, hidden) and layer.groups > 1]
    try:
        for layer in layers:
            setattr(layer, hidden, layer.convolution_op)
        yield
    finally:
        for layer in layers:
            delattr(layer, hidden)


def _erfc(context: Any, node: Any, _name: str, _args: list[Any]) -> None:
    """TensorFlow's exact GELU holds this operator, which tf2onnx does not know: 1 - erf(x)."""
    import numpy as np

    shapes, dtypes = node.output_shapes, node.output_dtypes
    context.remove_node(node.name)
    one = context.make_const(f"{node.name}_one", np.array(1, np.float32))
    erf = context.make_node("Erf", [node.input[0]], shapes=shapes, dtypes=dtypes, name=f"{node.name}_erf")
    inputs = [one.output[0], erf.output[0]]
    context.make_node("Sub", inputs, outputs=node.output, shapes=shapes, dtypes=dtypes, name=node.name)


def _float16(job: ExportJob, model: Any, known: tuple[str, ...]) -> ModelProto:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    converted: ModelProto = convert_float_to_float16(_float32(job, model, known), keep_io_types=True)
    return converted


def _dynamic(job: ExportJob, model: Any, known: tuple[str, ...]) -> ModelProto:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # The quantizer would split a fused bias off again, under a name that --skip-layer does not find.
    source = _converted(job, model)
    return _through_file(
        lambda path: quantize_dynamic(
            source,
            path,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=job.reduce_range,
            nodes_to_exclude=_nodes_of(source, job.skip_layers, known),
        )
    )


def _int8(job: ExportJob, model: Any, known: tuple[str, ...]) -> ModelProto:
    if job.quantization_aware:
        return _trained_int8(job, model, known)
    return _calibrated_int8(job, _float32(job, model, known), known)


_BUILDERS: dict[str, Callable[[ExportJob, Any, tuple[str, ...]], ModelProto]] = {
    "fp32": _float32,
    "fp16": _float16,
    "dynamic": _dynamic,
    "int8": _int8,
}


def _trained_int8(job: ExportJob, model: Any, known: tuple[str, ...]) -> ModelProto:
    """The int8 TFLite file of the same model, translated."""
    from dataclasses import replace

    import tf2onnx

    from optkit.exporters import _onnx_float, _onnx_graph, tflite

    content = tflite.name_ports(tflite.integer_file(replace(job, io="float"), model, known))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.tflite")
        path.write_bytes(content)
        converted, _ = tf2onnx.convert.from_tflite(str(path), opset=job.opset)
    made = _onnx_graph.quantize_before_clamping(_onnx_graph.unsign_activations(_onnx_graph.fuse_bias(converted)))
    return _onnx_float.keep_float(made)


def _calibrated_int8(job: ExportJob, source: ModelProto, known: tuple[str, ...]) -> ModelProto:
    """ONNX Runtime's static quantizer, with activation ranges from the calibration images."""
    from optkit.exporters._onnx_ranges import calibrated

    return _rounded(job, source, calibrated(job, source), _nodes_of(source, job.skip_layers, known))


def partly(job: ExportJob, model: Any) -> Partly:
    """Files of a model with some of its layers in int8, from one calibration; those in float are float32."""
    from optkit.exporters import _onnx_graph
    from optkit.exporters._onnx_ranges import calibrated

    known = layer_names(model)
    source = _float32(job, model, known)
    ranges = calibrated(job, source)
    with_kernel = {node.name for node, _, _ in _onnx_graph.kernels(source)}
    operations = [
        Operation(node.name, _layers(node, known), node.name in with_kernel, tuple(node.input), tuple(node.output))
        for node in source.graph.node
    ]
    outputs = [port.name for port in source.graph.output]
    groups = grouped(operations, outputs, kernel_layers(model), job.skip_layers)

    def finished(in_float: list[str]) -> bytes:
        made = _finish(_rounded(job, source, ranges, in_float), model)
        return bytes(made.SerializeToString(deterministic=True))

    files = Partly(
        layers=groups.layers,
        followers=groups.followers,
        reference=bytes(_finish(_copied(source), model).SerializeToString(deterministic=True)),
        only=lambda layer: finished(groups.all_but(layer)),
        without=lambda layers: finished(_nodes_of(source, (*job.skip_layers, *files.in_float(layers)), known)),
    )
    return files


def _copied(model: ModelProto) -> ModelProto:
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _rounded(job: ExportJob, source: ModelProto, ranges: TensorsData, in_float: list[str]) -> ModelProto:
    """What the static quantizer makes of a float model, less the nodes that stay in float."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.calibrate import save_tensors_data

    from optkit.exporters import _onnx_float

    def quantize(path: Path) -> None:
        cache = path.with_suffix(".json")
        save_tensors_data(ranges, cache)
        quantize_static(
            _copied(source),
            path,
            calibration_cache_path=cache,
            calibrate_method=CalibrationMethod.MinMax,
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=job.reduce_range,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=_quantized_kinds(source),
            nodes_to_exclude=in_float,
        )

    return _onnx_float.keep_float(_through_file(quantize))


def _quantized_kinds(source: ModelProto) -> list[str]:
    """Operators to quantize: all that ONNX Runtime can, but Softmax.

    A softmax is ten exponentials at the end; rounding its output to 1/255 costs accuracy and saves nothing,
    since the file's output is float32.
    """
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    able = {*QDQRegistry, *QLinearOpsRegistry} - {"Softmax"}
    return sorted(able.intersection(node.op_type for node in source.graph.node))


def _through_file(quantize: Callable[[Path], None]) -> ModelProto:
    """The model that a function of ONNX Runtime writes to a path."""
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        quantize(path)
        return onnx.load(path)


def _nodes_of(model: ModelProto, layers: tuple[str, ...], known: tuple[str, ...]) -> list[str]:
    return [node.name for node in model.graph.node if set(layers).intersection(_layers(node, known))]


def _layers(node: Any, known: tuple[str, ...]) -> tuple[str, ...]:
    """The Keras layers that a node was made of."""
    names = (name for text in (node.name, *node.output) for name in layers_in(text, known))
    return tuple(dict.fromkeys(names))


def _name_merged(converted: ModelProto, known: tuple[str, ...]) -> ModelProto:
    """Name the nodes after their layers where tf2onnx does not: one whose bias it has merged is ``Conv__12``."""
    from optkit.exporters import _onnx_graph

    for node in converted.graph.node:
        if node.op_type in _onnx_graph.KERNEL_INPUT and not _layers(node, known):
            layers = [layer for name in node.input[1:] for layer in layers_in(name, known)]
            node.name = f"{layers[0]}/{node.name}" if layers else node.name
    return converted


def _finish(made: ModelProto, model: Any) -> ModelProto:
    from optkit.exporters import _onnx_graph

    outputs = [source_name(name) for name in model.output_names]
    named = _onnx_graph.name_ports(made, _in_order(made, model.input_names), outputs)
    return _onnx_graph.settle_names(
        _onnx_graph.tidy(_onnx_graph.drop_bias_zero_points(_onnx_graph.keep_zero_padding(named)), model.name)
    )


def _in_order(made: ModelProto, names: Sequence[str]) -> list[str]:
    """The model's input names in the order of the graph, which of several inputs bears the names, but not in order."""
    if len(names) == 1:
        return list(names)
    return [name if name in names else source_name(name) for name in (port.name for port in made.graph.input)]


def _check(job: ExportJob, finished: ModelProto, model: Any) -> list[LayerNote]:
    """Look at the finished model: integer kernels where integers were asked for, and no float copy of one."""
    from optkit.exporters import _onnx_graph

    known, with_kernel = layer_names(model), kernel_layers(model)
    notes = []
    for node, stored, scales in _onnx_graph.kernels(finished):
        layers = kernels_first(_layers(node, known), with_kernel) or (node.name,)
        asked = set(job.skip_layers).intersection(layers)
        if job.recipe.precision.name in ("int8", "dynamic") and not stored.endswith("int8") and not asked:
            raise InternalError(f"not an integer file: {node.op_type} {node.name} stores a {stored} kernel")
        notes.append(kernel_note(job, layers, stored, scales))
    check_noted(job, notes, with_kernel)
    if job.reduce_range and job.quantization_aware:
        reason = "weights keep the 8 bits that they were trained for; --reduce-range does not apply"
        notes.append(LayerNote("all", changed=False, reason=reason))
    return notes + range_notes(job)
