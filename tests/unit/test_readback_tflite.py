"""What a TFLite file says about itself, and what is no TFLite file."""

from __future__ import annotations

from pathlib import Path

import flatbuffers
import model_files
import numpy as np
import pytest

from optkit import readback
from optkit.errors import InputError
from optkit.readback import bytes_by_kind
from optkit.readback._packed import unpack


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def write(folder: Path, content: bytes, name: str = "model.tflite") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_a_float_file(folder: Path) -> None:
    net = model_files.network()
    facts = readback.read(model_files.write_tflite(folder, net, "fp32"))
    assert facts.format == "tflite"
    assert facts.signatures == {"serving_default": (("image",), ("digit",))}
    assert [(p.name, p.dtype, p.shape, p.scale) for p in facts.inputs] == [
        ("image:0", "float32", (-1, 28, 28, 1), None)
    ]
    assert [p.shape for p in facts.outputs] == [(-1, 10)]
    assert [o.kind for o in facts.operators] == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX"]
    assert [o.macs for o in facts.operators] == [model_files.CONV_MACS, 0, model_files.DENSE_MACS, 0]
    kernels = {c.name: c for c in facts.constants}
    assert {n: (c.role, c.operator, c.channel_axis) for n, c in kernels.items()} == {
        "shape": ("other", -1, None),
        "conv": ("weight", 0, 0),
        "conv_bias": ("bias", 0, None),
        "dense": ("weight", 2, 0),
        "dense_bias": ("bias", 2, None),
    }
    assert np.array_equal(kernels["dense"].values, net.dense)
    assert kernels["dense"].file_bytes == net.dense.nbytes


def test_an_int8_file(folder: Path) -> None:
    facts = readback.read(model_files.write_tflite(folder, model_files.network(), "int8"))
    assert facts.inputs[0].dtype == "int8"
    assert facts.inputs[0].scale == pytest.approx(1 / 255)
    assert facts.inputs[0].zero_point == -128
    dense = next(c for c in facts.constants if c.name == "dense")
    assert (dense.dtype, len(dense.scales), set(dense.zero_points)) == ("int8", 10, {0})
    restored = dense.values * np.array(dense.scales)[:, None]
    assert np.abs(restored - model_files.network().dense).max() <= max(dense.scales) * 0.501
    assert facts.operators[0].input_dtypes == ("int8", "int8", "int32")
    # Five activations, two kernels and two biases have scales: 4 bytes each, and 8 for the zero point.
    assert facts.scale_bytes == (5 + 2 * (8 + 10)) * 12


def test_kernels_are_found_behind_dequantize(folder: Path) -> None:
    facts = readback.read(model_files.write_tflite(folder, model_files.network(), "fp16"))
    roles = {c.name: (c.role, c.dtype, facts.operators[c.operator].kind) for c in facts.constants if c.role != "other"}
    assert roles == {
        "conv_half": ("weight", "float16", "CONV_2D"),
        "conv_bias_half": ("bias", "float16", "CONV_2D"),
        "dense_half": ("weight", "float16", "FULLY_CONNECTED"),
        "dense_bias_half": ("bias", "float16", "FULLY_CONNECTED"),
    }


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_bytes_by_kind_add_up(folder: Path, precision: str) -> None:
    path = model_files.write_tflite(folder, model_files.network(), precision)
    facts = readback.read(path)
    kinds = readback.bytes_by_kind(facts)
    assert sum(kinds.values()) == facts.file_bytes == path.stat().st_size
    width = {"fp32": 4, "fp16": 2, "int8": 1}[precision]
    assert kinds["weights"] == (model_files.network().conv.size + model_files.network().dense.size) * width
    assert kinds["biases"] == 18 * (2 if precision == "fp16" else 4)
    assert kinds["structure"] > 0


def test_a_shared_buffer_counts_once(folder: Path) -> None:
    b = model_files.TFLiteBuilder()
    kernel = np.ones((3, 4), np.float32)
    first = b.tensor("first", (3, 4), values=kernel)
    second = b.tensor("second", (3, 4), buffer=b.graph.tensors[first].buffer)
    x, y = b.tensor("x", (1, 4)), b.tensor("y", (1, 3))
    b.operator("FULLY_CONNECTED", [x, first, -1], [y], "FullyConnectedOptions")
    facts = readback.read(write(folder, b.finish({"x": x}, {"y": y, "s": second})))
    assert [c.file_bytes for c in facts.constants] == [48, 0]


def one_operator(
    kind: str, shapes: list[tuple[int, ...]], output: tuple[int, ...], options: str, **fields: object
) -> bytes:
    """A file with one operator whose second input is stored."""
    b = model_files.TFLiteBuilder()
    inputs = [
        b.tensor(f"in{i}", shape, values=np.ones(shape, np.float32) if i == 1 else None)
        for i, shape in enumerate(shapes)
    ]
    out = b.tensor("out", output)
    b.operator(kind, inputs, [out], options, **fields)
    return b.finish({"x": inputs[0]}, {"y": out})


@pytest.mark.parametrize(
    ("kind", "shapes", "output", "options", "fields", "macs", "axis"),
    [
        (
            "DEPTHWISE_CONV_2D",
            [(1, 9, 9, 6), (1, 3, 3, 6)],
            (1, 7, 7, 6),
            "DepthwiseConv2DOptions",
            {},
            7 * 7 * 6 * 9,
            3,
        ),
        # A grouped convolution: each output channel sees 2 of 4 input channels.
        ("CONV_2D", [(1, 5, 5, 4), (8, 3, 3, 2)], (1, 3, 3, 8), "Conv2DOptions", {}, 3 * 3 * 8 * 18, 0),
        (
            "TRANSPOSE_CONV",
            [(4,), (3, 2, 2, 5), (1, 4, 4, 5)],
            (1, 8, 8, 3),
            "TransposeConvOptions",
            {},
            80 * 12,
            0,
        ),
        ("BATCH_MATMUL", [(2, 3, 4), (2, 4, 5)], (2, 3, 5), "BatchMatMulOptions", {}, 30 * 4, 2),
        (
            "BATCH_MATMUL",
            [(2, 4, 3), (2, 5, 4)],
            (2, 3, 5),
            "BatchMatMulOptions",
            {"adjX": True, "adjY": True},
            120,
            1,
        ),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", [(1, 2, 3), (4, 3)], (1, 2, 4), "", {}, None, 0),
    ],
)
def test_macs_and_channel_axis(
    *,
    folder: Path,
    kind: str,
    shapes: list[tuple[int, ...]],
    output: tuple[int, ...],
    options: str,
    fields: dict[str, object],
    macs: int | None,
    axis: int,
) -> None:
    facts = readback.read(write(folder, one_operator(kind, shapes, output, options, **fields)))
    assert facts.operators[0].macs == macs
    assert [(c.role, c.channel_axis) for c in facts.constants] == [("weight", axis)]


def test_a_custom_operator_is_named(folder: Path) -> None:
    b = model_files.TFLiteBuilder()
    x, y = b.tensor("x", (1, 4)), b.tensor("y", (1, 4))
    b.operator("CUSTOM", [x], [y], custom="FlexErfinv")
    facts = readback.read(write(folder, b.finish({"x": x}, {"y": y})))
    assert [(o.kind, o.macs) for o in facts.operators] == [("CUSTOM:FlexErfinv", None)]


@pytest.mark.parametrize(
    ("dtype", "raw", "values"),
    [
        ("int4", [0x21, 0xF8], [1, 2, -8]),
        ("uint4", [0x21, 0xF8], [1, 2, 8]),
        ("int2", [0b11_10_01_00], [0, 1, -2]),
        ("bfloat16", [0x80, 0x3F, 0x00, 0xC0, 0x00, 0x00], [1.0, -2.0, 0.0]),
        ("int8", [1, 255, 128], [1, -1, -128]),
    ],
)
def test_narrow_values(dtype: str, raw: list[int], values: list[float]) -> None:
    assert unpack(np.array(raw, np.uint8), dtype, (3,), "t").tolist() == values


def test_int4_kernels_are_unpacked(folder: Path) -> None:
    b = model_files.TFLiteBuilder()
    kernel = b.tensor("kernel", (2, 3), "INT4", values=np.array([0x21, 0xF8, 0x07], np.uint8), scales=[1.0])
    x, y = b.tensor("x", (1, 3), "INT8", scales=[1.0]), b.tensor("y", (1, 2), "INT8", scales=[1.0])
    b.operator("FULLY_CONNECTED", [x, kernel, -1], [y], "FullyConnectedOptions")
    constant = readback.read(write(folder, b.finish({"x": x}, {"y": y}))).constants[0]
    assert constant.values.tolist() == [[1, 2, -8], [-1, 7, 0]]
    assert (constant.dtype, constant.file_bytes) == ("int4", 3)


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        readback.read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


@pytest.mark.parametrize(
    "content", [b"", b"TFL3", b"\x00" * 64, b"PK\x03\x04" + b"x" * 100, b"\x10\0\0\0TFL3" + b"\xff" * 64]
)
def test_other_files_are_refused(folder: Path, content: bytes) -> None:
    assert "export the model again" in refused(write(folder, content))


def test_another_identifier_is_refused(folder: Path) -> None:
    content = bytearray(model_files.write_tflite(folder, model_files.network(), "fp32").read_bytes())
    content[4:8] = b"TFL2"
    assert "identifier 'TFL3'" in refused(write(folder, bytes(content)))


def test_a_missing_file_is_refused(folder: Path) -> None:
    assert "No such file" in refused(folder / "absent.tflite")


def test_a_file_cut_anywhere_is_refused(folder: Path) -> None:
    content = model_files.write_tflite(folder, model_files.network(), "int8").read_bytes()
    for kept in [*range(0, len(content), 97), *range(len(content) - 20, len(content))]:
        assert "export the model again" in refused(write(folder, content[:kept]))


def test_changed_bytes_end_in_facts_or_a_message(folder: Path) -> None:
    content = model_files.write_tflite(folder, model_files.network(), "int8").read_bytes()
    rng = np.random.default_rng(0)
    refusals = 0
    for _ in range(200):
        damaged = np.frombuffer(content, np.uint8).copy()
        damaged[rng.integers(8, len(damaged), 20)] = rng.integers(0, 256, 20)
        try:
            readback.read(write(folder, damaged.tobytes()))
        except InputError:
            refusals += 1
    assert refusals > 20


def test_a_tensor_with_too_few_values_is_refused(folder: Path) -> None:
    b = model_files.TFLiteBuilder()
    kernel = b.tensor("kernel", (3, 4), values=np.ones(11, np.float32))
    x, y = b.tensor("x", (1, 4)), b.tensor("y", (1, 3))
    b.operator("FULLY_CONNECTED", [x, kernel, -1], [y], "FullyConnectedOptions")
    assert "kernel stores 11 values" in refused(write(folder, b.finish({"x": x}, {"y": y})))


def test_an_unknown_suffix_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="h5"):
        readback.read(Path(folder / "model.h5"))


def test_names_are_told_from_the_rest(tmp_path: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    path = model_files.write_tflite(tmp_path, model_files.network(), "fp32")
    before = readback.read(path)
    assert 0 < before.name_bytes < bytes_by_kind(before)["structure"] + before.name_bytes
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes())
    model.subgraphs[0].tensors[0].name += b"x" * 400
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
    assert readback.read(path).name_bytes == before.name_bytes + 400
