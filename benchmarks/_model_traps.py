"""Model files made by hand to do harm: to read or write other files, to take all memory, never to end."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks._traps import GIB, Trap, write_zip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HUGE = 1 << 40


def onnx_traps(folder: Path, outside: Path, samples: Path) -> Iterator[Trap]:
    """ONNX files: tensors kept elsewhere, sizes that no memory holds, loops without end, deep and long graphs."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    whole = onnx.load(samples / "fp32.onnx")
    link = folder / "linked.bin"
    link.unlink(missing_ok=True)
    link.symlink_to(outside / "secret")
    (folder / "short.bin").write_bytes(bytes(16))
    elsewhere = {
        "a tensor in etc/passwd": ("../../../../../../../../etc/passwd", {}),
        "a tensor at an absolute path": ("/etc/passwd", {}),
        "a tensor behind a link": (link.name, {}),
        "a tensor in a device": ("/dev/zero", {}),
        "a tensor in a folder": (".", {}),
        "a tensor past the end": ("short.bin", {"offset": str(1 << 40)}),
        "a tensor of 2^62 bytes": ("short.bin", {"length": str(1 << 62)}),
        "a tensor at a negative place": ("short.bin", {"offset": "-8"}),
        "a tensor in no file": ("", {}),
    }
    for name, (location, more) in elsewhere.items():
        model = onnx.ModelProto.FromString(whole.SerializeToString())
        tensor = max(model.graph.initializer, key=lambda one: one.ByteSize())
        tensor.ClearField("raw_data")
        tensor.ClearField("float_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **more}.items():
            tensor.external_data.add(key=key, value=value)
        yield _save(folder, name, model)

    def made(name: str, nodes: list[Any], *, shape: list[int] | None = None, **weights: np.ndarray) -> Trap:
        graph = helper.make_graph(
            nodes,
            "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape or [1, 8, 8, 1])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.asarray(values), key) for key, values in weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        return _save(folder, name, model)

    node, true = helper.make_node, np.ones((), bool)
    for size in (_HUGE, 1 << 30):
        fill = [node("ConstantOfShape", ["s"], ["c"]), node("ReduceSum", ["c"], ["r"]), node("Add", ["x", "r"], ["y"])]
        yield made(f"a constant of {size} values", fill, s=np.array([size], np.int64))
    yield made("an output of 2^40 values", [node("Tile", ["x", "n"], ["y"])], n=np.array([1, _HUGE, 1, 1], np.int64))
    yield made("a padding of 2^33", [node("Pad", ["x", "p"], ["y"])], p=np.array([0, 0, 0, 0, 0, 1 << 33, 0, 0]))
    yield made("an input of 2^40 values", [node("Identity", ["x"], ["y"])], shape=[1, 1 << 20, 1 << 20, 1])
    yield made("an input of 2^31 axes", [node("Identity", ["x"], ["y"])], shape=[1, *[2] * 60])
    yield made("a loop without end", [_endless(helper, TensorProto)], n=np.array((1 << 62), np.int64), t=true)
    yield made("a circle", [node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])])
    path = folder / "graphs_5000_deep.onnx"
    path.write_bytes(_nested(5000) + whole.SerializeToString())
    yield Trap("graphs 5,000 deep", path)
    broken = onnx.ModelProto.FromString(whole.SerializeToString())
    broken.graph.initializer[0].dims[:] = [1 << 20, 1 << 20]
    yield _save(folder, "a tensor that declares 2^40 values", broken)
    broken = onnx.ModelProto.FromString(whole.SerializeToString())
    broken.graph.initializer[0].data_type = 99
    yield _save(folder, "a tensor of no type", broken)
    broken = onnx.ModelProto.FromString(whole.SerializeToString())
    broken.graph.initializer[0].dims[:] = [-1, -4]
    yield _save(folder, "a tensor with negative axes", broken)


def _nested(depth: int) -> bytes:
    """Wire bytes of a model with graphs in the attributes of nodes, so deep that no library writes it."""
    message = b""
    for _ in range(depth):
        # GraphProto.node = 1, NodeProto.attribute = 5, AttributeProto.g = 6; each with wire type 2.
        for field in (6, 5, 1):
            message = bytes([field << 3 | 2]) + _varint(len(message)) + message
    # The model's own graph is its field 7.
    return bytes([7 << 3 | 2]) + _varint(len(message)) + message


def _varint(number: int) -> bytes:
    made = bytearray()
    while number >= 128:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes([*made, number])


def _float(name: str, helper: Any, types: Any) -> Any:
    return helper.make_tensor_value_info(name, types.FLOAT, None)


def _endless(helper: Any, types: Any) -> Any:
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Sin", ["v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", types.INT64, []),
            helper.make_tensor_value_info("c", types.BOOL, []),
            helper.make_tensor_value_info("v", types.FLOAT, None),
        ],
        [helper.make_tensor_value_info("d", types.BOOL, []), helper.make_tensor_value_info("w", types.FLOAT, None)],
    )
    return helper.make_node("Loop", ["n", "t", "x"], ["y"], body=body)


def _save(folder: Path, name: str, model: Any) -> Trap:
    path = folder / f"{_plain(name)}.onnx"
    path.write_bytes(model.SerializeToString())
    return Trap(name, path)


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)


def keras_traps(folder: Path, outside: Path, samples: Path) -> Iterator[Trap]:
    """.keras archives: bombs, members that lead elsewhere, configurations that name other code, hostile weights."""
    for generation in (3, 2):
        with zipfile.ZipFile(samples / f"model{generation}.keras") as archive:
            members: dict[str, bytes | tuple[bytes, int]] = {name: archive.read(name) for name in archive.namelist()}
        config = json.loads(bytes(members["config.json"]))  # type: ignore[arg-type]  # bytes, just read

        def made(name: str, generation: int = generation, **changes: bytes | tuple[bytes, int]) -> Trap:
            path = folder / f"{_plain(name)}_{generation}.keras"
            given = {key.replace("__", "."): value for key, value in changes.items()}
            write_zip(path, {**members, **given})  # noqa: B023  # called at once
            return Trap(f"{name} (Keras {generation})", path)

        yield made("a configuration of 1.5 GiB", config__json=(b" ", 3 * GIB // 2))
        yield made("weights of 3.5 GiB", model__weights__h5=(members["model.weights.h5"], 7 * GIB // 2))  # type: ignore[arg-type]
        yield made("nested 100,000 deep", config__json=b"[" * 100_000)
        yield made("no configuration", config__json=b"null")
        for name, layer in _layers(outside).items():
            changed = json.loads(json.dumps(config))
            changed["config"]["layers"][-1] = layer
            yield made(name, config__json=json.dumps(changed).encode())
        for name, content in h5_contents(folder, outside).items():
            yield made(name, model__weights__h5=content)
        for name, member in (("above", "../../planted"), ("absolute", f"{outside}/planted")):
            path = folder / f"{name}_{generation}.keras"
            write_zip(path, {**members, member: b"planted", "config.json": b"{}"})
            yield Trap(f"a member with an {name} path (Keras {generation})", path)


def _layers(outside: Path) -> dict[str, dict[str, Any]]:
    """Configurations of a last layer that would run code, read or write a file, or take all memory."""

    def layer(class_name: str, module: str = "keras.layers", **config: Any) -> dict[str, Any]:
        whole = {"name": "answer", "trainable": True, "dtype": "float32", **config}
        return {
            "module": module,
            "class_name": class_name,
            "config": whole,
            "registered_name": None,
            "build_config": {},
        }

    planted = str(outside / "planted")
    download = {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "function"}
    return {
        "a Lambda with code": layer("Lambda", function=["4wEAAAA=", None, None], function_type="lambda"),
        "a command": {"module": "os", "class_name": "system", "config": f"touch {planted}", "registered_name": None},
        "a function of Python": layer("Dense", units=4, activation={**download, "module": "os", "config": "system"}),
        "a download": layer("Dense", units=4, activation=download),
        "an unknown class": layer("Secret", module="builtins"),
        "a class of another module": layer("Popen", module="subprocess", args=["touch", planted]),
        "2^40 units": layer("Dense", units=_HUGE, activation="softmax"),
        "2^29 units": layer("Dense", units=1 << 29, activation="softmax"),
        "a word list from a file": layer("StringLookup", vocabulary="/etc/passwd"),
        "a pickled torch module": layer("TorchModuleWrapper", module="keras.layers"),
    }


def h5_contents(folder: Path, outside: Path) -> dict[str, bytes]:
    """HDF5 files: data kept in other files, bombs, links in a circle."""
    import h5py

    def made(fill: Any) -> bytes:
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as tree:
            fill(tree)
        return buffer.getvalue()

    path = folder / "external.h5"
    with h5py.File(path, "w") as tree:
        tree.create_dataset("layers/see/vars/0", (16,), "u1", external=[(str(outside / "secret"), 0, 16)])
    external = path.read_bytes()
    path.unlink()

    def bomb(tree: Any) -> None:
        # Chunks that were never written read as zeros: a terabyte in no bytes.
        tree.create_dataset("layers/see/vars/0", (1 << 20, 1 << 18), "f4", chunks=(1024, 1024), fillvalue=1.0)

    def links(tree: Any) -> None:
        tree["layers/see/vars/0"] = h5py.ExternalLink(str(outside / "secret"), "/x")
        tree["layers/see/vars/1"] = h5py.SoftLink("/layers/see/vars/1")

    def circle(tree: Any) -> None:
        tree.create_group("layers")
        tree["layers/again"] = tree["layers"]

    return {
        "weights in another file": external,
        "weights of a terabyte": made(bomb),
        "links to elsewhere": made(links),
        "groups in a circle": made(circle),
        "no weights": made(lambda _: None),
    }


def h5_traps(folder: Path, outside: Path, samples: Path) -> Iterator[Trap]:
    """.h5 models: hostile configurations and weights."""
    import h5py

    content = (samples / "model.h5").read_bytes()
    for name, data in h5_contents(folder, outside).items():
        path = folder / f"{_plain(name)}.h5"
        path.write_bytes(data)
        yield Trap(name, path)
    for name, layer in {**_layers(outside), "a configuration of brackets": None}.items():
        path = folder / f"{_plain(name)}.h5"
        path.write_bytes(content)
        with h5py.File(path, "r+") as tree:
            config = json.loads(tree.attrs["model_config"])
            if layer is not None:
                config["config"]["layers"][-1] = layer
            text = "[" * 50_000 if layer is None else json.dumps(config)
            tree.attrs["model_config"] = text
        yield Trap(name, path)


SAVED = """
import os, sys
import tensorflow as tf
os.chdir(sys.argv[1])
target = sys.argv[2]
class Writes(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 1), tf.float32)])
    def __call__(self, x):
        with tf.control_dependencies([tf.io.write_file(target, 'planted')]):
            return tf.identity(tf.reshape(x, (-1, 64))[:, :4])
class Reads(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 1), tf.float32)])
    def __call__(self, x):
        size = tf.cast(tf.strings.length(tf.io.read_file('/etc/passwd')), tf.float32)
        return tf.reshape(x, (-1, 64))[:, :4] + size
class Endless(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 1), tf.float32)])
    def __call__(self, x):
        return tf.reshape(tf.while_loop(lambda v: True, lambda v: [tf.sin(v)], [x])[0], (-1, 64))[:, :4]
class Large(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 1), tf.float32)])
    def __call__(self, x):
        return tf.reshape(x, (-1, 64))[:, :4] + tf.reduce_sum(tf.random.normal((2**17, 2**17)))
for kind in (Writes, Reads, Endless, Large):
    module = kind()
    tf.saved_model.save(module, kind.__name__.lower(), signatures=module.__call__)
"""


def saved_traps(folder: Path, outside: Path, samples: Path) -> Iterator[Trap]:  # noqa: ARG001  # as the others
    """SavedModel folders whose graph writes or reads a file, never ends, or takes all memory."""
    command = [sys.executable, "-c", SAVED, str(folder), str(outside / "planted")]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    for name in ("writes", "reads", "endless", "large"):
        yield Trap(f"a graph that {name}", folder / name)
