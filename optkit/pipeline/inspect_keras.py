"""Takes Keras files and SavedModels apart; TensorFlow reads them, with everything that would run code refused."""

from __future__ import annotations

import math
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from optkit import store
from optkit.errors import InputError
from optkit.keras_models import detect, loading, saved_model
from optkit.readback import Constant
from optkit.report import inspection
from optkit.report.inspection import Inspection, Layer, Stored, Tensor

if TYPE_CHECKING:
    from pathlib import Path

_BIASES = {"bias", "beta", "moving_mean", "mean"}
# Layers by the end of their class's name: multiply-accumulates are an output value each times a kernel's channel.
_SUMMING = ("Conv1D", "Conv2D", "Conv3D", "Dense")
_TRANSPOSED = "Transpose"
# TensorFlow's operators that multiply and accumulate.
_MULTIPLYING = {"Conv2D", "Conv3D", "Conv2DBackpropInput", "DepthwiseConv2dNative", "MatMul", "BatchMatMulV2", "Einsum"}
_LONGEST_CHAIN = 16


def inspect(path: Path, file_format: str) -> Inspection:
    """The account of a Keras file or a SavedModel folder.

    Raises:
        InputError: It is none, is damaged, or needs code of the user's own.
    """
    if file_format == "savedmodel":
        return _saved_model(path)
    found = detect.identify(path)
    if found.config is None:
        raise InputError(
            f"expected a whole Keras model, {path} is a {found.source}; save the model and not its weights"
        )
    model = loading.load_found(found, path, {})
    leaves = list(_leaves(model))
    shared: set[int] = set()
    layers = [_layer(prefix, layer, shared) for prefix, layer in leaves]
    size = path.stat().st_size
    weights = sum(one.file_bytes for layer in layers for one in layer.stored if one.role != "bias")
    biases = sum(one.file_bytes for layer in layers for one in layer.stored if one.role == "bias")
    metadata = {"Keras version": found.version, "kind": found.source, "class": type(model).__name__}
    return Inspection(
        schema_version=inspection.SCHEMA_VERSION,
        path=str(path),
        format=file_format,
        sha256=store.sha256_file(path),
        file_bytes=size,
        inputs=[_tensor(port) for port in _listed(getattr(model, "inputs", None))],
        outputs=[_tensor(port) for port in _listed(getattr(model, "outputs", None))],
        layers=layers,
        constants=[],
        totals=inspection.totals(layers),
        bytes_by_kind=_where(path, size, weights, biases),
        metadata={key: value for key, value in metadata.items() if value} | _members(path),
        notes=_notes(found.elements, layers),
    )


def _leaves(model: Any, prefix: str = "") -> Any:
    """Layers in the model's order, those of nested models with its name before theirs."""
    for layer in model.layers:
        if getattr(layer, "layers", None):
            yield from _leaves(layer, f"{prefix}{layer.name}/")
        else:
            yield prefix, layer


def _layer(prefix: str, layer: Any, shared: set[int]) -> Layer:
    kept = []
    for weight in layer.weights:
        kept.append(_stored(weight, is_shared=id(weight) in shared))
        shared.add(id(weight))
    inputs, outputs = (_ports(layer, side) for side in ("input", "output"))
    return Layer(
        kind=type(layer).__name__,
        name=prefix + layer.name,
        inputs=inputs,
        outputs=outputs,
        macs=_macs(layer, inputs, outputs),
        parameters=inspection.parameters(kept),
        file_bytes=sum(one.file_bytes for one in kept),
        stored=kept,
    )


def _stored(weight: Any, *, is_shared: bool) -> Stored:
    values = np.asarray(weight)
    name = str(getattr(weight, "path", weight.name)).partition(":")[0]
    last = name.rsplit("/", 1)[-1]
    # Batch normalization's variables are parameters of the file too; only kernels have channels.
    role = "bias" if last in _BIASES or values.ndim < 2 else "weight"
    return inspection.stored(
        Constant(
            name=name,
            role=role,
            operator=-1,
            dtype=values.dtype.name,
            values=values,
            channel_axis=values.ndim - 1 if role == "weight" else None,
            scales=(),
            zero_points=(),
            file_bytes=0 if is_shared else int(values.nbytes),
        )
    )


def _ports(layer: Any, side: str) -> list[Tensor]:
    try:
        found = getattr(layer, side)
    except (AttributeError, ValueError, RuntimeError):
        # Used at several places, or never called: no shape is its own.
        return []
    return [_tensor(port) for port in _listed(found)]


def _listed(ports: Any) -> list[Any]:
    if ports is None:
        return []
    if isinstance(ports, dict):
        return list(ports.values())
    return list(ports) if isinstance(ports, (list, tuple)) else [ports]


def _tensor(port: Any) -> Tensor:
    dtype = getattr(port.dtype, "name", port.dtype)
    return Tensor(str(port.name), str(dtype), [-1 if axis is None else int(axis) for axis in port.shape])


def layer_macs(layer: Any) -> int | None:
    """Multiply-accumulates of a layer for one input; ``None`` where they are not counted."""
    return _macs(layer, _ports(layer, "input"), _ports(layer, "output"))


def _macs(layer: Any, inputs: list[Tensor], outputs: list[Tensor]) -> int | None:
    """Multiply-accumulates for one input; ``None`` for layers with kernels that are not counted here."""
    kernels = [np.shape(weight) for weight in layer.weights if len(np.shape(weight)) > 1]
    kind = type(layer).__name__
    if not kernels or kind == "Embedding":
        return 0
    if len(kernels) > 1 or not inputs or not outputs:
        return None
    values = outputs[0].shape[1:]
    kernel = kernels[0]
    if _TRANSPOSED in kind:
        # Kernel [height, width, out, in]: every input value meets all of kernel[:, :, :, its channel].
        values, each = inputs[0].shape[1:], math.prod(kernel[:-1])
    elif kind.startswith("Depthwise"):
        each = math.prod(kernel[:-2])
    elif kind.endswith(_SUMMING):
        each = math.prod(kernel[:-1])
    else:
        return None
    return None if min(values, default=0) < 0 else math.prod(values) * each


def _where(path: Path, size: int, weights: int, biases: int) -> dict[str, int]:
    """Where the bytes are; a Keras file may also hold an optimizer's state."""
    state = 0
    for name, array_bytes in _arrays(path):
        if "optimizer" in name.split("/", maxsplit=1)[0]:
            state += array_bytes
    named = {"weights": weights, "biases": biases, "optimizer state": state}
    # Compressed archives are smaller than what is in them.
    return {**named, "structure": max(0, size - sum(named.values()))}


def _arrays(path: Path) -> list[tuple[str, int]]:
    """Names and bytes of the arrays in a file's HDF5 part."""
    import h5py

    found: list[tuple[str, int]] = []

    def note(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            found.append((name, int(node.nbytes)))

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive, archive.open(detect.WEIGHTS) as stream, h5py.File(stream, "r") as tree:
            tree.visititems(note)
    else:
        with h5py.File(path, "r") as tree:
            tree.visititems(note)
    return found


def _members(path: Path) -> dict[str, str]:
    """Members of a .keras archive with their bytes, and what its metadata notes."""
    if not zipfile.is_zipfile(path):
        return {}
    with zipfile.ZipFile(path) as archive:
        return {one.filename: f"{one.file_size:,} bytes" for one in archive.infolist() if not one.is_dir()}


def _notes(elements: int, layers: list[Layer]) -> list[str]:
    used = sum(one.values for layer in layers for one in layer.stored if one.file_bytes)
    spare = elements - used
    if used and spare > used // 2:
        return [f"the file holds {spare:,} numbers besides the weights, such as an optimizer's state: save without it"]
    return []


def _saved_model(path: Path) -> Inspection:
    """A SavedModel's serving function with its variables made constants."""
    frozen = saved_model.from_folder(path)
    layers: list[Layer] = []
    constants: dict[str, Stored] = {}
    for node in frozen.graph.node:
        if node.op == "Const":
            constants[node.name] = _constant(node)
    nodes = {node.name: node for node in frozen.graph.node}
    used: set[str] = set()
    for node in frozen.graph.node:
        if node.op in {"Const", "Placeholder", "NoOp", "Identity"}:
            continue
        names = [_behind(name, nodes) for name in node.input]
        kept = [constants[name] for name in dict.fromkeys(names) if name in constants and name not in used]
        used.update(one.name for one in kept)
        macs = None if node.op in _MULTIPLYING else 0
        layers.append(Layer(node.op, node.name, [], [], macs, inspection.parameters(kept), _bytes(kept), kept))
    files = {str(one.relative_to(path)): one.stat().st_size for one in sorted(path.rglob("*")) if one.is_file()}
    size = sum(files.values())
    variables = sum(count for name, count in files.items() if name.startswith("variables/"))
    graph = files.get("saved_model.pb", 0)
    return Inspection(
        schema_version=inspection.SCHEMA_VERSION,
        path=str(path),
        format="savedmodel",
        sha256=None,
        file_bytes=size,
        inputs=[_graph_port(name, nodes.get(tensor.partition(":")[0])) for name, tensor in frozen.inputs],
        outputs=[_graph_port(name, None) for name, _ in frozen.outputs],
        layers=layers,
        constants=[],
        totals=inspection.totals(layers),
        bytes_by_kind={"variables": variables, "graph": graph, "other files": size - variables - graph},
        metadata={name: f"{count:,} bytes" for name, count in files.items()},
        notes=["the operators are those of the serving function; shapes and arithmetic are not told in a SavedModel"],
    )


def _behind(name: str, nodes: dict[str, Any]) -> str:
    """The node that a name stands for, past those that only pass it on."""
    name = name.lstrip("^").partition(":")[0]
    for _ in range(_LONGEST_CHAIN):
        node = nodes.get(name)
        if node is None or node.op != "Identity" or not node.input:
            break
        name = node.input[0].lstrip("^").partition(":")[0]
    return name


def _graph_port(name: str, placeholder: Any) -> Tensor:
    """An input as its placeholder declares it; of an output the graph does not tell the shape."""
    from tensorflow import dtypes

    if placeholder is None:
        return Tensor(name, "", [])
    shape = [int(axis.size) for axis in placeholder.attr["shape"].shape.dim]
    return Tensor(name, str(dtypes.as_dtype(placeholder.attr["dtype"].type).name), shape)


def _bytes(kept: list[Stored]) -> int:
    return sum(one.file_bytes for one in kept)


def _constant(node: Any) -> Stored:
    from tensorflow import make_ndarray

    values = make_ndarray(node.attr["value"].tensor)
    role = "other"
    if values.dtype.kind == "f" and values.size > 1:
        role = "weight" if values.ndim > 1 else "bias"
    return inspection.stored(Constant(node.name, role, -1, values.dtype.name, values, None, (), (), int(values.nbytes)))
