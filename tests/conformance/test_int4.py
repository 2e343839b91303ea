"""int4 files of a real network in LiteRT, with XNNPACK and with its own kernels, and what they were made of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

import optkit
from optkit import data, readback, slimming, tflite_schema
from optkit.verify import structure

if TYPE_CHECKING:
    from optkit.readback import Constant

WORKER = Path(__file__).parent / "export_worker.py"
IMAGES = 1000
OWN_KERNELS = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES


def _job(model: str, precision: str, file: str, **options: Any) -> dict[str, Any]:
    return {"model": model, "format": "tflite", "precision": precision, "options": options, "file": f"{file}.tflite"}


JOBS = [
    _job("plain", "int8", "eight"),
    _job("plain", "int4", "four"),
    _job("plain", "int4", "again"),
    _job("plain", "int4", "tensor", params={"granularity": "tensor"}),
    _job("plain", "int4", "named", params={"layers": "wide/deep"}),
    _job("plain", "int4", "float", skip_layers=["wide"]),
    _job("plain", "int4", "unknown", params={"layers": "wyde"}),
    _job("plain", "int4", "both", params={"layers": "wide"}, skip_layers=["wide"]),
    _job("trained4", "int8", "trained-eight"),
    _job("trained4", "int4", "trained-four"),
    _job("trained", "int4", "trained-for-8"),
    _job("trained4", "int4", "trained-tensor", params={"granularity": "tensor", "layers": "narrow"}),
]

Made = tuple[Path, dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The folder of all files, and what each export said."""
    dataset = data.load("mnist")
    root = tmp_path_factory.mktemp("int4")
    train = dataset.train.first(1200)
    np.savez(root / "train.npz", x=_real(train.images[:]), y=train.labels)
    np.save(root / "images.npy", _real(dataset.validation.images[:IMAGES]))
    (root / "files").mkdir()
    environment = {
        **os.environ,
        "TF_USE_LEGACY_KERAS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": str(Path(optkit.__file__).parents[1]),
    }
    command = [sys.executable, "-W", "ignore", str(WORKER), str(root / "files"), json.dumps(JOBS)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return root / "files", json.loads((root / "files" / "results.json").read_text())


def _real(images: np.ndarray) -> np.ndarray:
    return (images[..., None] / 255).astype(np.float32)


def _run(content: bytes, images: np.ndarray, resolver: OpResolverType = OpResolverType.AUTO) -> np.ndarray:
    """Stored answers int8 [n, 10]."""
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=resolver)
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero = source["quantization"]
    interpreter.resize_tensor_input(source["index"], images.shape)
    interpreter.allocate_tensors()
    native = np.clip(np.rint(images / np.float32(scale)) + zero, -128, 127).astype(np.int8)
    interpreter.set_tensor(source["index"], native)
    interpreter.invoke()
    return interpreter.get_tensor(target["index"]).astype(int)


def _unpacked(content: bytes) -> bytes:
    """The same file with its int4 kernels as int8 values, one in a byte."""
    model = tflite_schema.parse(content)
    for tensor in model.subgraphs[0].tensors:
        if tensor.type == schema.TensorType.INT4:
            raw = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
            values = np.stack([raw & 15, raw >> 4], axis=-1).reshape(-1)[: int(np.prod(tensor.shape))].astype(np.int8)
            buffer = schema.BufferT()
            buffer.data = np.where(values > 7, values - 16, values).astype(np.int8).view(np.uint8)
            model.buffers.append(buffer)
            tensor.buffer, tensor.type = len(model.buffers) - 1, schema.TensorType.INT8
    return tflite_schema.serialize(model)


def _kernels(path: Path) -> dict[str, Constant]:
    facts = readback.read(path)
    order = ("narrow", "deep", "wide", "digits")
    return dict(zip(order, structure.kernels_in_order(facts), strict=True))


def _notes(made: Made, file: str) -> dict[str, str]:
    return {note[0]: note[2] for note in made[1][f"{file}.tflite"]["notes"]}


@pytest.mark.parametrize("file", ["four", "tensor", "named", "float", "trained-four"])
def test_litert_computes_the_same_from_packed_and_unpacked_weights(made: Made, file: str) -> None:
    content = (made[0] / f"{file}.tflite").read_bytes()
    images = np.load(made[0].parent / "images.npy")
    unpacked = _unpacked(content)
    assert len(unpacked) > len(content)
    own = _run(content, images, OWN_KERNELS)
    assert np.array_equal(own, _run(unpacked, images, OWN_KERNELS))
    assert len(np.unique(own, axis=0)) > IMAGES // 2
    with_delegate = _run(content, images)
    # Kernels round a tie the other way, and a step inside can be several after a softmax.
    assert np.mean(with_delegate.argmax(1) == own.argmax(1)) > 0.99
    assert np.abs(with_delegate - own).mean() < 0.5


def test_kernels_take_half_the_bytes_and_biases_keep_their_values(made: Made) -> None:
    eight, four = _kernels(made[0] / "eight.tflite"), _kernels(made[0] / "four.tflite")
    for name in ("narrow", "wide", "digits"):
        assert four[name].dtype == "int4"
        assert four[name].file_bytes == -(-eight[name].values.size // 2)
        assert np.abs(four[name].values).max() == 7
        assert len(four[name].scales) == len(eight[name].scales)
        # Half a step of 4 bits, but for values that are clipped.
        real = [np.moveaxis(one.values, 0, -1) * np.asarray(one.scales) for one in (eight[name], four[name])]
        assert np.mean(np.abs(real[0] - real[1]) <= 0.55 * np.asarray(four[name].scales)) > 0.9
    assert np.array_equal(four["deep"].values, eight["deep"].values)
    assert _notes(made, "four")["deep"].endswith(
        "since a depthwise kernel is small and loses most; int4:layers=… can name it"
    )
    biases = [
        sorted(
            tuple(np.round(one.values * np.asarray(one.scales), 2).tolist())
            for one in readback.read(made[0] / f"{file}.tflite").constants
            if one.role == "bias"
        )
        for file in ("eight", "four")
    ]
    for before, after in zip(*biases, strict=True):
        assert np.allclose(before, after, atol=0.02)


def test_one_scale_for_a_kernel(made: Made) -> None:
    found = _kernels(made[0] / "tensor.tflite")
    assert {name: len(one.scales) for name, one in found.items() if one.dtype == "int4"} == {
        "narrow": 1,
        "wide": 1,
        "digits": 1,
    }


def test_only_the_layers_that_were_named(made: Made) -> None:
    found, eight = _kernels(made[0] / "named.tflite"), _kernels(made[0] / "eight.tflite")
    assert {name: one.dtype for name, one in found.items()} == {
        "narrow": "int8",
        "deep": "int4",
        "wide": "int4",
        "digits": "int8",
    }
    assert np.array_equal(found["narrow"].values, eight["narrow"].values)
    assert _notes(made, "named")["narrow"].endswith("8 bits, not among the layers named for 4")


def test_a_layer_that_is_not_there_or_stays_in_float_ends_the_run(made: Made) -> None:
    assert made[1]["unknown.tflite"]["error"].startswith("UnreachableError: int4: no layer 'wyde' with a kernel")
    assert "did you mean wide" in made[1]["unknown.tflite"]["error"]
    assert made[1]["both.tflite"]["error"].startswith("UnreachableError: int4: layer 'wide' is to stay in float")


def test_the_same_job_gives_the_same_bytes(made: Made) -> None:
    assert (made[0] / "four.tflite").read_bytes() == (made[0] / "again.tflite").read_bytes()


def test_weights_trained_for_4_bits_are_packed_as_they_are(made: Made) -> None:
    eight, four = _kernels(made[0] / "trained-eight.tflite"), _kernels(made[0] / "trained-four.tflite")
    images = np.load(made[0].parent / "images.npy")
    for name in ("narrow", "wide", "digits"):
        assert four[name].dtype == "int4"
        assert np.array_equal(four[name].values, eight[name].values)
        assert np.abs(four[name].values).max() == 7
        assert four[name].scales == eight[name].scales
    assert four["deep"].dtype == "int8"
    answers = [
        _run((made[0] / f"trained-{file}.tflite").read_bytes(), images, OWN_KERNELS) for file in ("eight", "four")
    ]
    assert np.array_equal(*answers)
    expected = np.load(made[0] / "trained4.npy")
    found = (answers[1] + 128) / 256
    # Two steps of 1/256 on average would be a wrong bias or scale.
    assert np.abs(found - expected).mean() < 2 / 256
    assert np.mean(found.argmax(1) == expected.argmax(1)) > 0.97


def test_weights_trained_for_8_bits_are_no_int4(made: Made) -> None:
    assert "was not trained for 4 bits" in made[1]["trained-for-8.tflite"]["error"]


def test_trained_scales_are_not_thrown_together(made: Made) -> None:
    assert made[1]["trained-tensor.tflite"]["error"].startswith(
        "InputError: int4:granularity=tensor expects one scale for each kernel, found 8 in"
    )


def _failed(path: Path, narrow_layers: tuple[str, ...] | None = None) -> list[str]:
    found = structure.checks(readback.read(path), precision="int4", io_type="int8", narrow_layers=narrow_layers)
    return [check.name for check in found if not check.passed]


def test_a_file_is_int4_where_it_should_be(made: Made, tmp_path: Path) -> None:
    folder = made[0]
    assert _failed(folder / "four.tflite") == _failed(folder / "trained-four.tflite") == []
    assert _failed(folder / "named.tflite", ("deep", "wide")) == []
    assert _failed(folder / "named.tflite") == ["int4 kernels"]
    assert _failed(folder / "four.tflite", ("deep",)) == ["int4 kernels"]
    slim = slimming.slim((folder / "named.tflite").read_bytes(), "tflite").content
    (tmp_path / "slim.tflite").write_bytes(slim)
    assert _failed(tmp_path / "slim.tflite", ("deep", "wide")) == []
    assert _failed(tmp_path / "slim.tflite", ("deep", "wide", "digits")) == ["int4 kernels"]
    assert _failed(folder / "eight.tflite") == ["int4 kernels", "int4 values"]
    model = tflite_schema.parse((folder / "four.tflite").read_bytes())
    kernel = next(one for one in model.subgraphs[0].tensors if one.type == schema.TensorType.INT4)
    raw = np.array(model.buffers[kernel.buffer].data)
    # -8 in the low half of the first byte.
    raw[0] = (raw[0] & 0xF0) | 8
    model.buffers[kernel.buffer].data = raw
    (tmp_path / "beyond.tflite").write_bytes(tflite_schema.serialize(model))
    assert _failed(tmp_path / "beyond.tflite") == ["int4 values"]


def test_the_file_says_which_release_it_needs(made: Made) -> None:
    model = tflite_schema.parse((made[0] / "four.tflite").read_bytes())
    notes = {one.name: bytes(model.buffers[one.buffer].data) for one in model.metadata}
    assert notes[b"min_runtime_version"].rstrip(b"\0") == b"2.11.0"
    versions = {(code.builtinCode, code.version) for code in model.operatorCodes}
    kinds = schema.BuiltinOperator
    assert {(kinds.CONV_2D, 7), (kinds.FULLY_CONNECTED, 10), (kinds.DEPTHWISE_CONV_2D, 3)} <= versions
