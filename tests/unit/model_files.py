"""Small real model files, written without TensorFlow: a network on MNIST in TFLite and ONNX, by precision.

The network is a convolution with random kernels, ReLU, a dense layer fitted by ridge regression, and softmax.
Its reference outputs are computed by numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

from optkit import data

if TYPE_CHECKING:
    from pathlib import Path

SIZE, FILTERS, WINDOW, STRIDE = 28, 8, 5, 4
SIDE = (SIZE - WINDOW) // STRIDE + 1
FEATURES = SIDE * SIDE * FILTERS
CONV_MACS = SIDE * SIDE * FILTERS * WINDOW * WINDOW
DENSE_MACS = FEATURES * 10


@dataclass(frozen=True)
class Network:
    """Weights in TFLite's layout: conv [out, height, width, in], dense [out, in]."""

    conv: np.ndarray
    conv_bias: np.ndarray
    dense: np.ndarray
    dense_bias: np.ndarray

    def features(self, images: np.ndarray) -> np.ndarray:
        """Convolution and ReLU: [n, 28, 28, 1] to [n, side, side, filters]."""
        windows = np.lib.stride_tricks.sliding_window_view(images[..., 0], (WINDOW, WINDOW), axis=(1, 2))
        sums = np.einsum("nxyhw,ohw->nxyo", windows[:, ::STRIDE, ::STRIDE], self.conv[..., 0], optimize=True)
        return np.maximum(sums + self.conv_bias, 0)

    def logits(self, images: np.ndarray) -> np.ndarray:
        return self.features(images).reshape(len(images), -1) @ self.dense.T + self.dense_bias

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Probabilities float32 [n, 10]."""
        logits = self.logits(images)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


@cache
def images() -> np.ndarray:
    """Validation images, float32 [1000, 28, 28, 1], 0 to 1."""
    return data.load("mnist").validation.images[:1000, ..., None].astype(np.float32) / 255


@cache
def network() -> Network:
    """The network: right for about nine images in ten."""
    rng = np.random.default_rng(0)
    train = data.load("mnist").train
    pictures = train.images[:4000, ..., None].astype(np.float32) / 255
    conv = rng.normal(0, 0.3, (FILTERS, WINDOW, WINDOW, 1)).astype(np.float32)
    bias = rng.normal(0, 0.1, FILTERS).astype(np.float32)
    blank = Network(conv, bias, np.zeros((10, FEATURES), np.float32), np.zeros(10, np.float32))
    features = blank.features(pictures).reshape(len(pictures), -1)
    table = np.hstack([features, np.ones((len(features), 1), np.float32)])
    # Ridge regression on ±1, scaled so that the softmax is about as sure as a trained network's.
    target = 2 * np.eye(10)[train.labels[:4000]] - 1
    solution = np.linalg.solve(table.T @ table + 10 * np.eye(table.shape[1]), table.T @ target) * 4
    return Network(conv, bias, solution[:-1].T.astype(np.float32), solution[-1].astype(np.float32))


class TFLiteBuilder:
    """Writes TFLite files tensor by tensor."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.operatorCodes = []
        self.model.buffers = [schema.BufferT()]
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: str = "FLOAT32",
        *,
        values: np.ndarray | None = None,
        buffer: int | None = None,
        scales: list[float] | None = None,
        zeros: list[int] | None = None,
        axis: int = 0,
        dynamic: bool = False,
    ) -> int:
        record = schema.TensorT()
        record.name, record.shape = name, list(shape)
        record.type = getattr(schema.TensorType, dtype)
        if dynamic:
            record.shapeSignature = [-1, *shape[1:]]
        if values is not None:
            stored = schema.BufferT()
            stored.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            self.model.buffers.append(stored)
            buffer = len(self.model.buffers) - 1
        record.buffer = buffer or 0
        if scales is not None:
            record.quantization = schema.QuantizationParametersT()
            record.quantization.scale = [float(s) for s in scales]
            record.quantization.zeroPoint = zeros or [0] * len(scales)
            record.quantization.quantizedDimension = axis
        self.graph.tensors.append(record)
        return len(self.graph.tensors) - 1

    def operator(
        self,
        kind: str,
        inputs: list[int],
        outputs: list[int],
        options: str = "",
        *,
        custom: str = "",
        **fields: Any,
    ) -> None:
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = 1 if "version" not in fields else fields.pop("version")
        if custom:
            code.customCode = custom
        self.model.operatorCodes.append(code)
        record = schema.OperatorT()
        record.opcodeIndex = len(self.model.operatorCodes) - 1
        record.inputs, record.outputs = inputs, outputs
        if options:
            record.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            record.builtinOptions = getattr(schema, f"{options}T")()
            for field, value in fields.items():
                setattr(record.builtinOptions, field, value)
        self.graph.operators.append(record)

    def finish(self, inputs: dict[str, int], outputs: dict[str, int]) -> bytes:
        """The file, with a signature of these names."""
        self.graph.inputs, self.graph.outputs = list(inputs.values()), list(outputs.values())
        signature = schema.SignatureDefT()
        signature.signatureKey = "serving_default"
        signature.inputs = [_named(name, index) for name, index in inputs.items()]
        signature.outputs = [_named(name, index) for name, index in outputs.items()]
        self.model.signatureDefs = [signature]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


def _named(name: str, index: int) -> Any:
    record = schema.TensorMapT()
    record.name, record.tensorIndex = name, index
    return record


def _conv_and_rest(b: TFLiteBuilder, ids: dict[str, int]) -> bytes:
    b.operator(
        "CONV_2D",
        [ids["image"], ids["conv"], ids["conv_bias"]],
        [ids["features"]],
        "Conv2DOptions",
        padding=schema.Padding.VALID,
        strideW=STRIDE,
        strideH=STRIDE,
        fusedActivationFunction=schema.ActivationFunctionType.RELU,
        version=3 if "scales" in ids else 1,
    )
    b.operator("RESHAPE", [ids["features"], ids["shape"]], [ids["flat"]], "ReshapeOptions", newShape=[-1, FEATURES])
    b.operator(
        "FULLY_CONNECTED",
        [ids["flat"], ids["dense"], ids["dense_bias"]],
        [ids["logits"]],
        "FullyConnectedOptions",
        version=4 if "scales" in ids else 1,
    )
    b.operator(
        "SOFTMAX",
        [ids["logits"]],
        [ids["digit"]],
        "SoftmaxOptions",
        beta=1.0,
        version=2 if "scales" in ids else 1,
    )
    return b.finish({"image": ids["image"]}, {"digit": ids["digit"]})


def tflite_float(net: Network, *, half: bool = False) -> bytes:
    """An fp32 file, or with ``half`` one whose weights are float16 behind DEQUANTIZE."""
    b = TFLiteBuilder()
    ids = {"image": b.tensor("image:0", (1, SIZE, SIZE, 1), dynamic=True)}
    ids["shape"] = b.tensor("shape", (2,), "INT32", values=np.array([-1, FEATURES], np.int32))
    for name in ("conv", "conv_bias", "dense", "dense_bias"):
        values = getattr(net, name)
        if half:
            stored = b.tensor(f"{name}_half", values.shape, "FLOAT16", values=values.astype(np.float16))
            ids[name] = b.tensor(name, values.shape)
            b.operator("DEQUANTIZE", [stored], [ids[name]])
        else:
            ids[name] = b.tensor(name, values.shape, values=values)
    ids["features"] = b.tensor("features", (1, SIDE, SIDE, FILTERS), dynamic=True)
    ids["flat"] = b.tensor("flat", (1, FEATURES), dynamic=True)
    ids["logits"] = b.tensor("logits", (1, 10), dynamic=True)
    ids["digit"] = b.tensor("digit:0", (1, 10), dynamic=True)
    return _conv_and_rest(b, ids)


def tflite_int8(net: Network, calibration: np.ndarray) -> bytes:
    """A full int8 file whose activation ranges come from these images."""
    b = TFLiteBuilder()

    def activation(name: str, shape: tuple[int, ...], low: float, high: float) -> tuple[int, float]:
        low, high = min(low, 0.0), max(high, 0.0)
        scale = (high - low) / 255
        zero = int(np.rint(-128 - low / scale))
        return b.tensor(name, shape, "INT8", scales=[scale], zeros=[zero], dynamic=True), scale

    def kernel(name: str, values: np.ndarray, input_scale: float) -> tuple[int, int]:
        scales = np.abs(values).reshape(len(values), -1).max(axis=1) / 127
        shaped = scales.reshape(-1, *[1] * (values.ndim - 1))
        steps = np.rint(values / shaped).astype(np.int8)
        bias = np.rint(getattr(net, f"{name}_bias") / (scales * input_scale)).astype(np.int32)
        return (
            b.tensor(name, values.shape, "INT8", values=steps, scales=list(scales)),
            b.tensor(f"{name}_bias", bias.shape, "INT32", values=bias, scales=list(scales * input_scale)),
        )

    features, logits = net.features(calibration), net.logits(calibration)
    ids: dict[str, Any] = {"scales": 1}
    image, image_scale = activation("image:0", (1, SIZE, SIZE, 1), calibration.min(), calibration.max())
    ids["image"] = image
    ids["shape"] = b.tensor("shape", (2,), "INT32", values=np.array([-1, FEATURES], np.int32))
    ids["conv"], ids["conv_bias"] = kernel("conv", net.conv, image_scale)
    ids["features"], scale = activation("features", (1, SIDE, SIDE, FILTERS), 0, features.max())
    zero = b.graph.tensors[ids["features"]].quantization.zeroPoint
    ids["flat"] = b.tensor("flat", (1, FEATURES), "INT8", scales=[scale], zeros=zero, dynamic=True)
    ids["dense"], ids["dense_bias"] = kernel("dense", net.dense, scale)
    ids["logits"], _ = activation("logits", (1, 10), logits.min(), logits.max())
    ids["digit"] = b.tensor("digit:0", (1, 10), "INT8", scales=[1 / 256], zeros=[-128], dynamic=True)
    return _conv_and_rest(b, ids)


def onnx_float(net: Network, *, dtype: type = np.float32) -> Any:
    """A float ONNX model; with float16 its weights and arithmetic are, its input and output are not."""
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    weights = {
        "conv": net.conv.transpose(0, 3, 1, 2).astype(dtype),
        "conv_bias": net.conv_bias.astype(dtype),
        "dense": net.dense.T.astype(dtype),
        "dense_bias": net.dense_bias.astype(dtype),
        "planes": np.array([-1, 1, SIZE, SIZE], np.int64),
        "row": np.array([-1, FEATURES], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["typed"], to=element),
        helper.make_node("Reshape", ["typed", "planes"], ["plane"]),
        helper.make_node("Conv", ["plane", "conv", "conv_bias"], ["sums"], strides=[STRIDE, STRIDE]),
        helper.make_node("Relu", ["sums"], ["features"]),
        helper.make_node("Transpose", ["features"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["last", "row"], ["flat"]),
        helper.make_node("MatMul", ["flat", "dense"], ["product"]),
        helper.make_node("Add", ["product", "dense_bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["sure"], axis=-1),
        helper.make_node("Cast", ["sure"], ["digit"], to=TensorProto.FLOAT),
    ]
    return onnx_model(nodes, weights, {"image": ["batch", SIZE, SIZE, 1]}, {"digit": ["batch", 10]})


def onnx_integer(net: Network, *, input_scale: float = 1 / 255) -> Any:
    """An ONNX model of channels first that takes uint8 pixels and gives int8 logits in steps of 0.1 around 5."""
    model = onnx_float(net)
    del model.graph.node[:2], model.graph.node[-2:]
    nodes = [
        helper.make_node("Transpose", ["pixels"], ["moved"], perm=[0, 2, 3, 1]),
        helper.make_node("DequantizeLinear", ["moved", "in_scale", "in_zero"], ["real"]),
        helper.make_node("Transpose", ["real"], ["plane"], perm=[0, 3, 1, 2]),
        *model.graph.node,
        helper.make_node("QuantizeLinear", ["logits", "out_scale", "out_zero"], ["steps"]),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 1, SIZE, SIZE])],
        [helper.make_tensor_value_info("steps", TensorProto.INT8, ["batch", 10])],
        [
            *model.graph.initializer,
            numpy_helper.from_array(np.float32(input_scale), "in_scale"),
            numpy_helper.from_array(np.uint8(0), "in_zero"),
            numpy_helper.from_array(np.float32(0.1), "out_scale"),
            numpy_helper.from_array(np.int8(50), "out_zero"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    return made


def onnx_model(
    nodes: list[Any],
    weights: dict[str, np.ndarray],
    inputs: dict[str, list[Any]],
    outputs: dict[str, list[Any]],
) -> Any:
    """A model with float32 inputs and outputs of these shapes."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def write_onnx(folder: Path, net: Network, precision: str, *, calibration: np.ndarray | None = None) -> Path:
    """An ONNX file in fp32, fp16, dynamic or int8."""
    from onnxruntime import quantization

    path = folder / f"{precision}.onnx"
    if precision in {"fp32", "fp16"}:
        onnx.save(onnx_float(net, dtype=np.float32 if precision == "fp32" else np.float16), path)
        return path
    source = folder / "source.onnx"
    onnx.save(onnx_float(net), source)
    if precision == "dynamic":
        quantization.quantize_dynamic(source, path, weight_type=quantization.QuantType.QInt8)
        return path
    pictures = images()[:100] if calibration is None else calibration

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter([{"image": picture[None]} for picture in pictures])

        def get_next(self) -> Any:
            return next(self.left, None)

    quantization.quantize_static(
        source,
        path,
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        weight_type=quantization.QuantType.QInt8,
        activation_type=quantization.QuantType.QInt8,
    )
    return path


def write_tflite(folder: Path, net: Network, precision: str, *, calibration: np.ndarray | None = None) -> Path:
    """A TFLite file in fp32, fp16 or int8."""
    path = folder / f"{precision}.tflite"
    if precision == "int8":
        path.write_bytes(tflite_int8(net, images()[:100] if calibration is None else calibration))
    else:
        path.write_bytes(tflite_float(net, half=precision == "fp16"))
    return path
