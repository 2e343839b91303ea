"""Every exporter, on every precision it offers: exports run in processes of their own, files are checked here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optkit
from optkit import data, registry
from optkit.exporters import onnx as onnx_exporter
from optkit.exporters import tflite as tflite_exporter
from optkit.schema import Recipe, Step

Made = tuple[Path, dict[str, dict[str, Any]]]

IMAGES = 2000
WORKER = Path(__file__).parent / "export_worker.py"
# The test network is small and lightly trained, so that many answers are near ties; what is asked for is closeness
# of the outputs. Largest error of a probability, from observed values with room for another machine's kernels.
LIMITS = {"fp32": 1e-5, "fp16": 0.01, "dynamic": 0.1, "int8": 0.2, "int16x8": 0.1, "int4": 0.5}
EXPORTERS = {name: registry.load("exporters", name) for name in registry.names("exporters")}
PAIRS = [(module.FORMAT, precision) for module in EXPORTERS.values() for precision in module.PRECISIONS]


def _job(model: str, file_format: str, precision: str, **options: object) -> dict[str, object]:
    label = "-".join([model, precision, *(str(value).strip("[]'") for value in options.values())])
    return {
        "model": model,
        "format": file_format,
        "precision": precision,
        "options": options,
        "file": f"{label}.{file_format}",
    }


JOBS = [
    *(_job("plain", file_format, precision) for file_format, precision in PAIRS),
    *(_job("trained", module.FORMAT, "int8") for module in EXPORTERS.values()),
    _job("trained", "onnx", "int8", skip_layers=["deep"]),
    _job("plain", "onnx", "int8", skip_layers=["deep"]),
    *(
        _job("plain", file_format, precision, skip_layers=["wide"])
        for file_format, precision in PAIRS
        if precision not in ("fp32", "fp16")
    ),
    *(
        _job("plain", module.FORMAT, "int8", calibration_method=method)
        for module in EXPORTERS.values()
        for method in ("entropy", "percentile")
    ),
    *(_job("plain", "tflite", "int8", io=io) for io in ("uint8", "float")),
    *(_job(model, "onnx", "int8", reduce_range=True) for model in ("plain", "trained")),
    _job("plain", "onnx", "dynamic", reduce_range=True),
    *(_job("plain", "onnx", "int8", opset=opset) for opset in (12, 13, 18, 19)),
    *(_job("unknown", module.FORMAT, "fp32") for module in EXPORTERS.values()),
    _job("partial", "tflite", "int8"),
    *(_job("tiny", "tflite", precision) for precision in ("dynamic", "int16x8")),
    *(_job("plain", module.FORMAT, "int8", skip_layers=["wyde"]) for module in EXPORTERS.values()),
    *(_job("plain", module.FORMAT, "int8", images=0) for module in EXPORTERS.values()),
    *(_job("plain", module.FORMAT, "int8", broken="fp32") for module in EXPORTERS.values()),
]  # fmt: skip

# Made twice. One of each way to make a file.
SAME = {
    *("plain-fp16.tflite", "plain-int8-percentile.tflite", "plain-int16x8.tflite"),
    *("plain-fp16.onnx", "plain-dynamic.onnx", "plain-int8-entropy.onnx", "trained-int8.onnx"),
}


def _start_worker(folder: Path, jobs: list[dict[str, object]], seed: int) -> subprocess.Popen[str]:
    folder.mkdir()
    environment = {
        **os.environ,
        "TF_USE_LEGACY_KERAS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONHASHSEED": str(seed),
        "PYTHONPATH": str(Path(optkit.__file__).parents[1]),
    }
    command = [sys.executable, "-W", "ignore", str(WORKER), str(folder), json.dumps(jobs)]
    with (folder / "log.txt").open("w") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, text=True)


def _results(folder: Path, worker: subprocess.Popen[str]) -> dict[str, dict[str, Any]]:
    assert worker.wait() == 0, (folder / "log.txt").read_text()[-3000:]
    found: dict[str, dict[str, Any]] = json.loads((folder / "results.json").read_text())
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The folder of all files, and what each export returned."""
    dataset = data.load("mnist")
    root = tmp_path_factory.mktemp("exports")
    train = dataset.train.first(1200)
    np.savez(root / "train.npz", x=_real(train.images[:]), y=train.labels)
    np.save(root / "images.npy", _real(dataset.test.images[:IMAGES]))
    again = [job for job in JOBS if str(job["file"]) in SAME][::-1]
    workers = {
        root / "first": _start_worker(root / "first", JOBS, seed=0),
        root / "again": _start_worker(root / "again", again, seed=77),
    }
    results = [_results(folder, worker) for folder, worker in workers.items()]
    assert results[1] == {name: results[0][name] for name in SAME}
    return root / "first", results[0]


def _real(images: np.ndarray) -> np.ndarray:
    return (images[..., None] / 255).astype(np.float32)


def _run_tflite(path: Path, images: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["digits"]}}
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    assert (source["name"], target["name"]) == ("image", "digits")
    assert list(source["shape"]) == [1, 28, 28, 1]
    assert list(source["shape_signature"]) == [-1, 28, 28, 1]
    interpreter.resize_tensor_input(source["index"], images.shape)
    interpreter.allocate_tensors()
    native = images
    if (kind := source["dtype"]) is not np.float32:
        scale, zero = source["quantization"]
        grid = np.iinfo(kind)
        native = np.clip(np.rint(images / np.float32(scale)) + zero, grid.min, grid.max).astype(kind)
    interpreter.set_tensor(source["index"], native)
    interpreter.invoke()
    output = interpreter.get_tensor(target["index"])
    if output.dtype == np.float32:
        return output
    scale, zero = target["quantization"]
    return (output.astype(np.float32) - zero) * np.float32(scale)


def _run_onnx(path: Path, images: np.ndarray) -> np.ndarray:
    import onnx
    import onnxruntime

    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (source,), (target,) = session.get_inputs(), session.get_outputs()
    assert (source.name, source.type, source.shape) == ("image", "tensor(float)", ["batch", 28, 28, 1])
    assert (target.name, target.type, target.shape) == ("digits", "tensor(float)", ["batch", 10])
    assert session.run(None, {"image": images[:3]})[0].shape == (3, 10)
    return session.run(None, {"image": images})[0]


RUN = {"tflite": _run_tflite, "onnx": _run_onnx}


def _error(made: Made, job: dict[str, object]) -> str:
    folder, results = made
    assert not (folder / str(job["file"])).exists()
    return str(results[str(job["file"])]["error"])


@pytest.mark.parametrize(("file_format", "precision"), PAIRS)
def test_the_file_computes_what_the_model_does(made: Made, file_format: str, precision: str) -> None:
    folder, results = made
    name = f"plain-{precision}.{file_format}"
    assert "error" not in results[name], results[name]
    images = np.load(folder.parent / "images.npy")
    expected = np.load(folder / "expected.npy")
    assert len(set(expected.argmax(1))) == 10, "a network that answers a constant proves nothing"
    output = RUN[file_format](folder / name, images)
    assert np.abs(output - expected).max() <= LIMITS[precision]
    assert np.abs(output - expected).max() > 0 or precision == "fp32"


@pytest.mark.parametrize(("file_format", "precision"), PAIRS)
def test_one_file_is_written_and_each_kernel_has_a_note(made: Made, file_format: str, precision: str) -> None:
    result = made[1][f"plain-{precision}.{file_format}"]
    assert result["extra"] == []
    assert [note[0] for note in result["notes"]] == ["narrow", "deep", "wide", "digits"]
    assert all(note[1] for note in result["notes"]) == (
        precision not in ("fp32", "dynamic") or (file_format, precision) == ("onnx", "dynamic")
    )


@pytest.mark.parametrize("file_format", RUN)
def test_int8_kernels_have_a_scale_for_each_output_channel(made: Made, file_format: str) -> None:
    notes = {note[0]: note[2] for note in made[1][f"plain-int8.{file_format}"]["notes"]}
    assert notes == {
        layer: f"int8 weights, {channels} scales (one for each output channel)"
        for layer, channels in {"narrow": 8, "deep": 8, "wide": 32, "digits": 10}.items()
    }


def test_the_same_job_gives_the_same_bytes(made: Made) -> None:
    """In another process, with another hash seed, after other exports."""
    folder, _ = made
    for name in SAME:
        assert (folder / name).read_bytes() == (folder.parent / "again" / name).read_bytes(), name


def test_minmax_is_what_tensorflows_converter_does(made: Made) -> None:
    folder, _ = made
    from ai_edge_litert.interpreter import Interpreter

    outputs = []
    images = np.load(folder.parent / "images.npy")[:200]
    for name in ("stock.tflite", "plain-int8.tflite"):
        interpreter = Interpreter(model_path=str(folder / name))
        source = interpreter.get_input_details()[0]
        scale, zero = source["quantization"]
        interpreter.resize_tensor_input(source["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(source["index"], (np.rint(images / np.float32(scale)) + zero).astype(np.int8))
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    assert np.array_equal(*outputs)


def test_after_quantization_aware_training_onnx_answers_as_tflite(made: Made) -> None:
    folder, results = made
    images = np.load(folder.parent / "images.npy")
    tflite = _run_tflite(folder / "trained-int8.tflite", images)
    onnx = _run_onnx(folder / "trained-int8.onnx", images)
    assert np.array_equal(tflite.argmax(1), onnx.argmax(1))
    # One step of the output, 1/256: kernels may round a tie the other way.
    assert np.abs(tflite - onnx).max() <= 1 / 256 + 1e-6
    assert all("int8 weights" in note[2] for note in results["trained-int8.onnx"]["notes"])


def test_after_quantization_aware_training_onnx_runtime_has_integer_kernels(made: Made, tmp_path: Path) -> None:
    """Left as tf2onnx writes it, every convolution would be a float one, four times slower than this."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    path = str(made[0] / "trained-int8.onnx")
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert kinds.count("QLinearConv") == 2
    assert kinds.count("QGemm") == 2


@pytest.mark.parametrize(("file_format", "precision"), [pair for pair in PAIRS if pair[1] not in ("fp32", "fp16")])
def test_a_skipped_layer_stays_in_float(made: Made, file_format: str, precision: str) -> None:
    folder, results = made
    name = f"plain-{precision}-wide.{file_format}"
    if precision == "int16x8":
        assert "InputError: int16x8 cannot keep a layer in float" in str(results[name]["error"])
        return
    notes = {note[0]: note[2] for note in results[name]["notes"]}
    assert notes["wide"] == "float32 weights, in float as asked"
    assert (folder / name).stat().st_size > (folder / f"plain-{precision}.{file_format}").stat().st_size
    images = np.load(folder.parent / "images.npy")[:200]
    expected = np.load(folder / "expected.npy")[:200]
    assert np.abs(RUN[file_format](folder / name, images) - expected).max() <= LIMITS[precision]


def test_a_skipped_layer_is_found_where_tf2onnx_has_merged_its_bias(made: Made) -> None:
    notes = {note[0]: note[2] for note in made[1]["plain-int8-deep.onnx"]["notes"]}
    assert notes["deep"] == "float32 weights, in float as asked"
    assert notes["narrow"].startswith("int8 weights")


def test_a_skipped_layer_stays_in_float_after_quantization_aware_training(made: Made) -> None:
    """ONNX, which is made from the TFLite file."""
    notes = {note[0]: note[2] for note in made[1]["trained-int8-deep.onnx"]["notes"]}
    assert notes["deep"] == "float32 weights, in float as asked"
    assert notes["wide"].startswith("int8 weights")


@pytest.mark.parametrize("file_format", RUN)
@pytest.mark.parametrize("method", ["entropy", "percentile"])
def test_calibration_methods_change_the_ranges_and_keep_the_answers(made: Made, file_format: str, method: str) -> None:
    folder, _ = made
    path = folder / f"plain-int8-{method}.{file_format}"
    assert path.read_bytes() != (folder / f"plain-int8.{file_format}").read_bytes()
    images = np.load(folder.parent / "images.npy")
    expected = np.load(folder / "expected.npy").argmax(1)
    # Clipping costs some answers of a network this small; a broken range costs most of them.
    assert np.mean(RUN[file_format](path, images).argmax(1) == expected) > 0.9


def test_a_reduced_range_has_7_bits_for_weights(made: Made) -> None:
    import onnx
    from onnx import numpy_helper

    folder, notes = made
    images = np.load(folder.parent / "images.npy")
    expected = np.load(folder / "expected.npy").argmax(1)
    for name in ("plain-int8", "plain-dynamic"):
        largest = []
        for path in (folder / f"{name}.onnx", folder / f"{name}-True.onnx"):
            stored = [numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer]
            largest.append(
                max(np.abs(one.astype(int)).max() for one in stored if one.dtype == np.int8 and one.ndim > 1)
            )
        assert largest[0] == 127
        assert largest[1] <= 64
        assert np.mean(_run_onnx(folder / f"{name}-True.onnx", images).argmax(1) == expected) > 0.9
    assert "--reduce-range does not apply" in str(notes["trained-int8-True.onnx"])


@pytest.mark.parametrize(("io", "kind"), [("uint8", np.uint8), ("float", np.float32)])
def test_input_and_output_types_of_int8_files(made: Made, io: str, kind: type) -> None:
    from ai_edge_litert.interpreter import Interpreter

    folder, _ = made
    interpreter = Interpreter(model_path=str(folder / f"plain-int8-{io}.tflite"))
    assert {port["dtype"] for port in [*interpreter.get_input_details(), *interpreter.get_output_details()]} == {kind}
    images = np.load(folder.parent / "images.npy")
    same = _run_tflite(folder / f"plain-int8-{io}.tflite", images)
    assert np.array_equal(same, _run_tflite(folder / "plain-int8.tflite", images))


@pytest.mark.parametrize("opset", [13, 18])
def test_opset_as_asked(made: Made, opset: int) -> None:
    import onnx

    path = made[0] / f"plain-int8-{opset}.onnx"
    (entry,) = onnx.load(path).opset_import
    assert (entry.domain, entry.version) == ("", opset)


@pytest.mark.parametrize("opset", [12, 19])
def test_opset_out_of_range_is_refused(made: Made, opset: int) -> None:
    message = _error(made, _job("plain", "onnx", "int8", opset=opset))
    assert message.startswith(f"InputError: ONNX operator set {opset} cannot be written: choose one from 13 to 18")


def test_an_operator_without_a_builtin_is_named(made: Made) -> None:
    assert "TFLite has no built-in operator for Betainc (layer odd)" in _error(made, _job("unknown", "tflite", "fp32"))
    assert "ONNX has no operator for Betainc (layer odd)" in _error(made, _job("unknown", "onnx", "fp32"))


def test_an_operator_that_stays_in_float_is_named(made: Made) -> None:
    message = _error(made, _job("partial", "tflite", "int8"))
    assert message.startswith("InputError: not an integer file: TensorFlow's quantizer left ATAN2 (odd) in float")


def test_a_network_too_small_or_too_odd_for_a_precision_is_refused(made: Made) -> None:
    assert "InputError: nothing would be quantized" in _error(made, _job("tiny", "tflite", "dynamic"))
    odd = _error(made, _job("tiny", "tflite", "int16x8"))
    assert odd.startswith("InputError: TensorFlow's 16-bit quantizer: ")
    assert "ELU" in odd


@pytest.mark.parametrize("file_format", RUN)
def test_a_layer_to_skip_must_exist(made: Made, file_format: str) -> None:
    message = _error(made, _job("plain", file_format, "int8", skip_layers=["wyde"]))
    assert "no layer 'wyde'" in message
    assert "did you mean wide" in message


@pytest.mark.parametrize("file_format", RUN)
def test_calibration_without_images_is_refused(made: Made, file_format: str) -> None:
    assert "InputError: calibration needs at least one image" in _error(
        made, _job("plain", file_format, "int8", images=0)
    )


@pytest.mark.parametrize("file_format", RUN)
def test_a_float_file_is_never_passed_off_as_int8(made: Made, file_format: str) -> None:
    """A copy of each exporter, broken so that int8 makes a float file, must be found out."""
    assert "not an integer file" in _error(made, _job("plain", file_format, "int8", broken="fp32"))


def test_pairs_that_are_not_made_have_a_reason() -> None:
    def recipe(*names: str) -> Recipe:
        return Recipe("+".join(names), tuple(Step(name) for name in names))

    assert "16-bit activations" in onnx_exporter.unsupported(recipe("int16x8"))
    for exporter in (onnx_exporter, tflite_exporter):
        assert "ends in int8 or int4" in exporter.unsupported(recipe("prune", "qat", "fp16"))
        assert exporter.unsupported(recipe("qat", "int8")) is None
        assert exporter.unsupported(recipe("qat", "int4"))
        assert exporter.unsupported(recipe("prune", "fp32")) is None
    assert tflite_exporter.unsupported(recipe("int16x8")) is None
    assert tflite_exporter.unsupported(recipe("int4")) is None
    assert "no int4 kernel" in onnx_exporter.unsupported(recipe("int4"))
    assert "qat:weight_bits=4" in tflite_exporter.unsupported(recipe("qat", "int4"))
    narrow = Recipe("qat+int4", (Step("qat", {"weight_bits": 4}), Step("int4")))
    assert tflite_exporter.unsupported(narrow) is None
