"""A bundle for Linux, made of a real run, tested as its user would: copied away, run without optkit, damaged."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import flatbuffers
import numpy as np
import pytest
from conftest import Result, optkit

from optkit.report import json_file

if TYPE_CHECKING:
    from pathlib import Path

FAST = ("--no-timing",)


@pytest.fixture(scope="module")
def bundled(small_run: tuple[Path, Result], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles of the run, and of single files."""
    run, result = small_run
    assert result.returncode == 0, result.stderr
    folder = tmp_path_factory.mktemp("bundles")
    sources = {"run": run}
    for name in ("fp32.onnx", "prune+cluster+qat+int8.onnx", "fp32.tflite", "prune+cluster+qat+int8.tflite"):
        sources[name] = run / "artifacts" / name
    made = {}
    for name, source in sources.items():
        out = folder / name
        done = optkit("bundle", str(source), "--target", "linux", "--out", str(out))
        assert done.returncode == 0, done.stderr
        assert "packed" in done.stdout
        made[name] = out
    return made


def alone(bundle: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of a bundle, with optkit out of its reach."""
    guard = (
        "import runpy, sys; sys.modules['optkit'] = None; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    # -I would hide the folder's own predict.py from a plain start too, which selftest.py does not rely on.
    command = [sys.executable, "-I", "-c", guard, str(bundle / program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, timeout=120)


def manifest_of(bundle: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    return found


def sign(bundle: Path) -> None:
    """Make the manifest say what is in the folder now."""
    manifest = manifest_of(bundle)
    manifest["files"] = {name: hashlib.sha256((bundle / name).read_bytes()).hexdigest() for name in manifest["files"]}
    manifest.pop("sha256")
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    manifest["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def test_it_answers_alone_as_where_it_was_made(bundled: dict[str, Path], tmp_path: Path) -> None:
    for name, bundle in bundled.items():
        there = shutil.copytree(bundle, tmp_path / name)
        done = alone(there, "selftest.py", *FAST)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "predictions: 0 of 100 differ" in done.stdout
        report = json_file.from_json((there / "report.json").read_bytes())
        (variant,) = report.variants
        assert (variant.status, variant.accuracy.total if variant.accuracy else 0) == ("ok", 100)
        asked = alone(there, "predict.py", str(there / "test" / "example.png"))
        label = np.load(there / "test" / "labels.npy")[0]
        assert f"example.png: {label} (" in asked.stdout, asked.stdout + asked.stderr


def test_its_figures_are_a_report_that_compare_reads(bundled: dict[str, Path], tmp_path: Path) -> None:
    there = shutil.copytree(bundled["run"], tmp_path / "there")
    # Three processes of its own; half a second of warm-up in each for the model and its copy.
    done = subprocess.run(
        [sys.executable, str(there / "selftest.py"), "--max-time", "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json_file.from_json((there / "report.json").read_bytes())
    latency = report.variants[0].latency
    assert latency is not None
    assert (latency.processes, len(latency.blocks_us), latency.batch, latency.threads) == (3, 3, 1, 1)
    assert latency.min_us < latency.p50_us < (latency.p50_with_conversion_us or 0)
    assert report.noise_floor[0].low <= 1 <= report.noise_floor[0].high
    compared = optkit("compare", str(there / "report.json"), str(there / "report.json"), "--fail-on", "file_bytes > 1%")
    assert compared.returncode == 0, compared.stderr


def test_every_kind_of_damage_is_seen(bundled: dict[str, Path], tmp_path: Path) -> None:
    there = shutil.copytree(bundled["fp32.onnx"], tmp_path / "there")
    for name in [*manifest_of(there)["files"], "manifest.json"]:
        path = there / name
        content = path.read_bytes()
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        done = alone(there, "selftest.py", *FAST)
        # A damaged self-test may not even start; then Python says so, with its own exit code.
        assert done.returncode == 2 or path.name == "selftest.py", name
        assert done.returncode, name
        assert path.name in done.stderr, done.stderr
        path.write_bytes(content)
    (there / "labels.txt").unlink()
    assert "labels.txt is missing" in alone(there, "selftest.py", *FAST).stderr


def test_other_answers_are_seen(bundled: dict[str, Path], tmp_path: Path) -> None:
    for name in ("fp32.onnx", "prune+cluster+qat+int8.tflite"):
        there = shutil.copytree(bundled[name], tmp_path / name)
        expected = np.load(there / "test" / "expected.npy")
        expected[7] = expected[7, ::-1]
        np.save(there / "test" / "expected.npy", expected)
        sign(there)
        done = alone(there, "selftest.py", *FAST)
        assert done.returncode == 1
        assert "FAILED: outputs" in done.stdout
        assert "FAILED: predictions: 1 of 100 differ" in done.stdout
        report = json_file.from_json((there / "report.json").read_bytes())
        assert report.variants[0].status == "failed"


def test_a_runtime_that_is_missing_is_named(bundled: dict[str, Path]) -> None:
    hidden = "import runpy, sys; sys.modules['onnxruntime'] = None; sys.argv = sys.argv[1:]; "
    command = [sys.executable, "-c", hidden + "runpy.run_path(sys.argv[0], run_name='__main__')"]
    done = subprocess.run(
        [*command, str(bundled["fp32.onnx"] / "selftest.py"), *FAST], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "pip install -r requirements.txt" in done.stderr


def test_a_tflite_file_carries_labels_and_preprocessing(bundled: dict[str, Path], tmp_path: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    content = (bundled["fp32.tflite"] / "model.tflite").read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read("labels.txt").decode().split() == list("0123456789")
    model = schema.Model.GetRootAs(content, 0)
    notes = {model.Metadata(at).Name(): model.Metadata(at).Buffer() for at in range(model.MetadataLength())}
    data = model.Buffers(notes[b"TFLITE_METADATA"]).DataAsNumpy().tobytes()
    assert data[4:8] == b"M001"
    root = table(data, int.from_bytes(data[:4], "little"))
    # Slots of metadata_schema.fbs: ModelMetadata.subgraph_metadata, SubGraphMetadata.input_tensor_metadata,
    # TensorMetadata.process_units, ProcessUnit.options, NormalizationOptions.mean and .std.
    given = first(first(root, 3), 2)
    options = first(given, 4)
    assert options.Get(flatbuffers.number_types.Uint8Flags, options.Offset(4) + options.Pos) == 1
    numbers = table(data, options.Indirect(options.Offset(6) + options.Pos))
    assert [floats(numbers, slot) for slot in (0, 1)] == [[0.0], [255.0]]
    # What was slimmed away is not put back.
    slim = tmp_path / "slim.tflite"
    source = bundled["fp32.tflite"] / "model.tflite"
    assert optkit("slim", str(source), "--out", str(slim)).returncode == 0
    out = tmp_path / "slim"
    assert optkit("bundle", str(slim), "--target", "linux", "--out", str(out), "--data", "mnist").returncode == 0
    assert (out / "model.tflite").read_bytes() == slim.read_bytes()
    # Metadata that are there already are replaced, and that is said.
    again = optkit("bundle", str(source), "--target", "linux", "--out", str(tmp_path / "again"), "--data", "mnist")
    assert "TFLITE_METADATA of its own: it is replaced" in again.stdout
    assert (tmp_path / "again" / "model.tflite").read_bytes().count(b"TFLITE_METADATA") == 1


def table(data: bytes, position: int) -> Any:
    return flatbuffers.table.Table(data, position)


def first(one: Any, slot: int) -> Any:
    """The first table of a list."""
    return table(one.Bytes, one.Indirect(one.Vector(one.Offset(4 + 2 * slot))))


def floats(one: Any, slot: int) -> list[float]:
    offset = one.Offset(4 + 2 * slot)
    start = one.Vector(offset)
    return np.frombuffer(one.Bytes, np.float32, one.VectorLen(offset), start).tolist()


def test_an_onnx_file_carries_them_as_properties(bundled: dict[str, Path]) -> None:
    import onnx

    model = onnx.load(bundled["fp32.onnx"] / "model.onnx")
    properties = {
        entry.key: json.loads(entry.value) for entry in model.metadata_props if entry.key.startswith("optkit")
    }
    assert properties["optkit.labels"] == list("0123456789")
    assert properties["optkit.preprocessing"]["scale"] == pytest.approx(1 / 255)


def test_pages_say_what_must_be_said(bundled: dict[str, Path]) -> None:
    card = (bundled["run"] / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "CC BY-SA" in card
    assert "95 % interval" in card
    assert "6,000 examples for training" in card
    readme = (bundled["run"] / "README.md").read_text(encoding="utf-8")
    commands = readme.partition("```sh\n")[2].partition("```")[0].strip().splitlines()
    assert len(commands) == 3
    pins = (bundled["run"] / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert all("==" in pin for pin in pins)
    assert len(pins) == 3


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_unit_is_one(bundled: dict[str, Path], tmp_path: Path) -> None:
    unit = tmp_path / "optkit-selftest.service"
    text = (bundled["run"] / unit.name).read_text(encoding="utf-8")
    unit.write_text(text.replace("/opt/model/.venv/bin/python", sys.executable), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert "Unknown" not in done.stderr
    assert str(unit) not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("{run}", "--target", "linus"), 2, "did you mean linux"),
        (("{run}/artifacts", "--target", "linux"), 2, "without a report.json"),
        (("{run}/models/baseline.h5", "--target", "linux"), 2, ".tflite, .onnx"),
        (("{alone}", "--target", "linux"), 2, "give --data"),
        (("{run}/artifacts/fp32.tflite", "--target", "linux", "--flash", "1000"), 3, "more than --flash 1,000"),
        (("{run}", "--target", "linux", "--flash", "1000"), 3, "none of the other"),
        (("{damaged}", "--target", "linux", "--data", "mnist"), 2, "damaged TFLite file"),
    ],
)
def test_what_cannot_be_packed_leaves_nothing(
    small_run: tuple[Path, Result], tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    run, _ = small_run
    (tmp_path / "alone.tflite").write_bytes((run / "artifacts" / "fp32.tflite").read_bytes())
    content = bytearray((run / "artifacts" / "fp32.tflite").read_bytes())
    content[8:4000] = bytes(3992)
    (tmp_path / "damaged.tflite").write_bytes(content)
    places = {"run": run, "alone": tmp_path / "alone.tflite", "damaged": tmp_path / "damaged.tflite"}
    done = optkit("bundle", *(one.format(**places) for one in arguments), "--out", str(tmp_path / "out"))
    assert done.returncode == code, done.stdout + done.stderr
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert sorted(one.name for one in tmp_path.iterdir()) == ["alone.tflite", "damaged.tflite"]


def test_a_folder_that_is_there_is_left_alone(bundled: dict[str, Path]) -> None:
    bundle = bundled["run"]
    before = manifest_of(bundle)
    done = optkit("bundle", str(bundle / "model.tflite"), "--target", "linux", "--data", "mnist", "--out", str(bundle))
    assert done.returncode == 2
    assert "not there yet" in done.stderr
    assert manifest_of(bundle) == before
