"""Files run in their runtime and give the numbers that numpy gives."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import model_files
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from optkit import readback, registry, runtimes
from optkit.data._inputs import together
from optkit.errors import InputError
from optkit.readback import Port, _onnx_ports
from optkit.runtimes import _ports

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def write(folder: Path, file_format: str, precision: str) -> Path:
    make = {"tflite": model_files.write_tflite, "onnx": model_files.write_onnx}[file_format]
    return make(folder, model_files.network(), precision)


FORMATS = pytest.mark.parametrize("file_format", ["tflite", "onnx"])


@FORMATS
def test_outputs_are_the_networks(tmp_path: Path, file_format: str) -> None:
    session = runtimes.open_model(write(tmp_path, file_format, "fp32"))
    outputs = runtimes.predict(session, model_files.images()[:50])
    assert outputs.dtype == np.float32
    # float32 sums in another order.
    assert np.abs(outputs - model_files.network().predict(model_files.images()[:50])).max() < 1e-5


def test_integer_outputs_are_dequantized(tmp_path: Path) -> None:
    session = runtimes.open_model(write(tmp_path, "tflite", "int8"))
    native = runtimes.predict(session, model_files.images()[:50], batch=50)
    assert native.dtype == np.int8
    real = session.from_native(native)
    assert real.dtype == np.float32
    assert np.array_equal(real, (native.astype(np.float32) + 128) / 256)


def test_an_integer_onnx_file_is_fed_and_read_by_the_scales_of_its_own_operators(tmp_path: Path) -> None:
    path = tmp_path / "integer.onnx"
    onnx.save(model_files.onnx_integer(model_files.network()), path)
    session = runtimes.open_model(path)
    assert (session.inputs[0].dtype, session.inputs[0].zero_point, session.output.zero_point) == ("uint8", 0, 50)
    native = runtimes.predict(session, model_files.images()[:50], batch=50)
    assert native.dtype == np.int8
    logits = model_files.network().logits(model_files.images()[:50])
    within = (logits > -17) & (logits < 7)
    assert within.mean() > 0.9
    # Half a step of 0.1; pixels are whole 255ths, so that the input loses nothing.
    assert np.abs(session.from_native(native) - logits)[within].max() < 0.051
    facts = readback.read(path)
    assert (facts.inputs[0], facts.outputs[0]) == (session.inputs[0], session.output)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda _: None, (0.5, 3)),
        (lambda graph: graph.node[0].input.__delitem__(2), (0.5, 0)),
        (lambda graph: graph.node.append(helper.make_node("Cast", ["x"], ["y"], to=1)), (None, None)),
        (lambda graph: graph.initializer.__delitem__(0), (None, None)),
        (lambda graph: graph.initializer[0].CopyFrom(_vector("scale")), (None, None)),
        (lambda graph: setattr(graph.node[0], "op_type", "Cast"), (None, None)),
    ],
    ids=["as it is", "no zero point", "another use", "computed scale", "scale per channel", "no quantization"],
)
def test_a_step_is_told_only_where_the_file_tells_one(
    change: Callable[[onnx.GraphProto], object], expected: tuple[float | None, int | None]
) -> None:
    scalars = {"scale": np.float32(0.5), "zero": np.uint8(3)}
    graph = helper.make_graph(
        [helper.make_node("DequantizeLinear", ["x", "scale", "zero"], ["real"])],
        "graph",
        [helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, [1, 2])],
        [helper.make_tensor_value_info("real", onnx.TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(np.array(value), name) for name, value in scalars.items()],
    )
    change(graph)
    assert _onnx_ports.steps(graph)["x"] == expected


def _vector(name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(np.full(2, 0.5, np.float32), name)


@FORMATS
def test_batches_give_the_same_rows(tmp_path: Path, file_format: str) -> None:
    session = runtimes.open_model(write(tmp_path, file_format, "int8"))
    pictures = model_files.images()[:23]
    alone = runtimes.predict(session, pictures)
    assert alone.shape == (23, 10)
    # 10, 10 and 3: the batch changes in the middle, and back.
    assert np.array_equal(runtimes.predict(session, pictures, batch=10), alone)
    assert np.array_equal(runtimes.predict(session, pictures), alone)


@FORMATS
def test_fetch_gives_a_copy(tmp_path: Path, file_format: str) -> None:
    session = runtimes.open_model(write(tmp_path, file_format, "fp32"))
    session.feed(session.to_native(model_files.images()[:1]))
    session.invoke()
    first = session.fetch()
    kept = first.copy()
    session.feed(session.to_native(model_files.images()[1:2]))
    session.invoke()
    assert np.array_equal(first, kept)
    assert not np.array_equal(session.fetch(), kept)


@FORMATS
@pytest.mark.parametrize("shape", [(28, 28), (784,), (28, 28, 1)])
def test_images_of_any_shape_with_the_same_pixels(tmp_path: Path, file_format: str, shape: tuple[int, ...]) -> None:
    session = runtimes.open_model(write(tmp_path, file_format, "fp32"))
    native = session.to_native(model_files.images()[:4].reshape(4, *shape))
    assert native.shape == (4, 28, 28, 1)
    assert native.flags["C_CONTIGUOUS"]


@FORMATS
def test_other_images_are_refused(tmp_path: Path, file_format: str) -> None:
    session = runtimes.open_model(write(tmp_path, file_format, "fp32"))
    with pytest.raises(InputError, match=r"takes \[28, 28, 1\] per image, the data have \[27, 28\]"):
        session.to_native(np.zeros((1, 27, 28), np.float32))


def test_the_reference_kernels_are_within_a_step(tmp_path: Path) -> None:
    path = write(tmp_path, "tflite", "int8")
    litert = registry.load("runtimes", "litert")
    fast = runtimes.predict(litert.open_model(path), model_files.images()[:50])
    plain = runtimes.predict(litert.open_model(path, reference_kernels=True), model_files.images()[:50])
    # Softmax stretches a step of the logits to a few of its own.
    assert np.abs(fast.astype(int) - plain).max() <= 8


@pytest.mark.parametrize(
    ("dtype", "scale", "zero", "values", "native"),
    [
        # Halves go to the even neighbour: 0.5 → 0, 1.5 → 2, 2.5 → 2.
        ("int8", 1.0, 0, [0.5, 1.5, 2.5, -0.5, -1.5], [0, 2, 2, 0, -2]),
        ("int8", 1 / 255, -128, [0.0, 1.0, 2.0, -1.0], [-128, 127, 127, -128]),
        ("uint8", 1 / 255, 0, [0.0, 1.0, 2.0, -1.0], [0, 255, 255, 0]),
        ("int16", 1 / 32767, 0, [0.0, 1.0, 2.0, -2.0], [0, 32767, 32767, -32768]),
        ("uint8", None, None, [0.0, 254.6, 300.0], [0, 255, 255]),
        ("float32", None, None, [0.1], [np.float32(0.1)]),
    ],
)
def test_quantization(
    dtype: str, scale: float | None, zero: int | None, values: list[float], native: list[float]
) -> None:
    port = Port("x", dtype, (-1, len(values)), scale, zero)
    found = _ports.to_native(np.array([values], np.float32), [port])
    assert found.dtype == np.dtype(dtype)
    assert found[0].tolist() == native


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_quantization_goes_there_and_back(dtype: str) -> None:
    limits = np.iinfo(dtype)
    codes = np.arange(limits.min, limits.max + 1).astype(dtype)[None]
    port = Port("x", dtype, (-1, codes.shape[1]), 0.0123, 5)
    assert np.array_equal(_ports.to_native(_ports.from_native(codes, port), [port]), codes)


@FORMATS
@pytest.mark.parametrize("content", [b"", b"nonsense" * 40])
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, file_format: str, content: bytes) -> None:
    path = tmp_path / f"model.{file_format}"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        runtimes.open_model(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


@FORMATS
def test_a_missing_file_is_refused(tmp_path: Path, file_format: str) -> None:
    with pytest.raises(InputError, match="absent"):
        runtimes.open_model(tmp_path / f"absent.{file_format}")


def two_inputs(folder: Path, outputs: tuple[str, ...]) -> list[Path]:
    """Files that tell ``y`` = a − b, and ``z`` = a · b where that is asked for."""
    nodes = [helper.make_node("Sub", ["a", "b"], ["y"]), helper.make_node("Mul", ["a", "b"], ["z"])][: len(outputs)]
    ends: dict[str, list[str | int]] = {name: ["batch", 2] for name in outputs}
    onnx.save(model_files.onnx_model(nodes, {}, {"a": ["batch", 2], "b": ["batch", 2]}, ends), folder / "model.onnx")
    b = model_files.TFLiteBuilder()
    first, second = b.tensor("a", (1, 2)), b.tensor("b", (1, 2))
    made = {name: b.tensor(name, (1, 2)) for name in outputs}
    for kind, tensor in zip(("SUB", "MUL"), made.values(), strict=False):
        b.operator(kind, [first, second], [tensor], f"{kind.capitalize()}Options")
    (folder / "model.tflite").write_bytes(b.finish({"a": first, "b": second}, made))
    return [folder / "model.onnx", folder / "model.tflite"]


def test_two_inputs_are_fed_by_their_names(tmp_path: Path) -> None:
    given = together({"b": np.array([[1, 2], [3, 4]], np.float32), "a": np.array([[5, 7], [9, 3]], np.float32)})
    for path in two_inputs(tmp_path, ("y",)):
        session = runtimes.open_model(path)
        assert sorted(port.name for port in session.inputs) == ["a", "b"]
        for batch in (1, 2):
            assert runtimes.predict(session, given, batch=batch).tolist() == [[4, 5], [6, -1]]
        with pytest.raises(InputError, match="has the inputs 'a', 'b', the data have one input without a name"):
            session.to_native(np.zeros((1, 4), np.float32))


def test_two_outputs_are_refused(tmp_path: Path) -> None:
    for path in two_inputs(tmp_path, ("y", "z")):
        with pytest.raises(InputError, match=r"expected a model with one output; .* has 2, and 2 inputs"):
            runtimes.open_model(path)


def test_a_fixed_batch_is_refused_with_the_way_out(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["a"], ["y"])]
    path = tmp_path / "model.onnx"
    onnx.save(model_files.onnx_model(nodes, {}, {"a": [1, 2]}, {"y": [1, 2]}), path)
    session = runtimes.open_model(path)
    with pytest.raises(InputError, match="dynamic batch"):
        session.feed(np.zeros((2, 2), np.float32))


@pytest.mark.parametrize("name", registry.names("runtimes"))
def test_versions_are_known(name: str) -> None:
    assert registry.load("runtimes", name).version()[0].isdigit()


@FORMATS
def test_a_run_is_silent_and_needs_no_tensorflow(tmp_path: Path, file_format: str) -> None:
    path = write(tmp_path, file_format, "int8")
    program = (
        "import sys, pathlib, numpy as np\n"
        "from optkit import runtimes, readback\n"
        f"path = pathlib.Path({str(path)!r})\n"
        "readback.read(path)\n"
        "runtimes.predict(runtimes.open_model(path), np.zeros((5, 28, 28, 1), np.float32), batch=2)\n"
        "heavy = {'tensorflow', 'keras', 'tf_keras', 'tf2onnx'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def port(*shape: int, dtype: str = "float32") -> Port:
    return Port("image", dtype, (-1, *shape), None, None)


def test_images_are_arranged_as_the_input_takes_them() -> None:
    nhwc = np.arange(2 * 4 * 5 * 3, dtype=np.float32).reshape(2, 4, 5, 3)
    assert np.array_equal(_ports.to_native(nhwc, [port(4, 5, 3)]), nhwc)
    nchw = _ports.to_native(nhwc, [port(3, 4, 5)])
    assert np.array_equal(nchw, nhwc.transpose(0, 3, 1, 2))
    assert nchw.flags.c_contiguous
    # Data may come with channels first as well.
    assert np.array_equal(_ports.to_native(nchw, [port(4, 5, 3)]), nhwc)
    assert np.array_equal(_ports.to_native(nhwc, [port(60)]), nhwc.reshape(2, 60))
    assert np.array_equal(_ports.to_native(nhwc.reshape(2, 60), [port(4, 5, 3)]), nhwc)
    # Dynamic height and width.
    assert np.array_equal(_ports.to_native(nhwc, [port(3, -1, -1)]), nchw)
    grey = np.arange(2 * 4 * 5, dtype=np.float32).reshape(2, 4, 5)
    assert _ports.to_native(grey, [port(4, 5, 1)]).shape == (2, 4, 5, 1)
    assert _ports.to_native(grey, [port(1, 4, 5)]).shape == (2, 1, 4, 5)
    assert _ports.to_native(grey[..., None], [port(4, 5)]).shape == (2, 4, 5)


@pytest.mark.parametrize("shape", [(5, 4, 3), (4, 15), (2, 2, 15), (3, 5, 4), (61,)])
def test_an_arrangement_that_would_mix_up_pixels_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="give data of that shape"):
        _ports.to_native(np.zeros((2, 4, 5, 3), np.float32), [port(*shape)])


def test_inputs_are_generated_in_the_files_own_shape() -> None:
    made = _ports.generated([port(3, 4, 5)], 7)
    assert (made.shape, made.dtype) == ((7, 3, 4, 5), np.float32)
    assert 0 <= made.min() < 0.1
    assert 0.9 < made.max() < 1
    assert np.array_equal(made, _ports.generated([port(3, 4, 5)], 7))
    with pytest.raises(InputError, match="--data"):
        _ports.generated([port(3, -1, -1)], 7)
