"""``optkit slim``: the copy is delivered when it was shown to answer the same, and else nothing is."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import model_files
import numpy as np
import pytest
from click.testing import CliRunner

from optkit import data, readback, slimming, tflite_schema
from optkit.cli import main
from optkit.errors import InputError, PartialError
from optkit.pipeline import model_file, slim_worker
from optkit.pipeline.diff import Data
from optkit.pipeline.slim import slim
from optkit.slimming import tflite as plugin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WRITERS = {"tflite": model_files.write_tflite, "onnx": model_files.write_onnx}
COUNT = 400


def write_data(folder: Path) -> Data:
    np.save(folder / "images.npy", model_files.images()[:COUNT])
    labels = np.asarray(data.load("mnist").validation.labels[:COUNT])
    return Data("mnist", "0", folder / "images.npy", labels)


def run(
    *arguments: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["optkit", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main.main()
    told = capsys.readouterr()
    return int(str(ended.value.code)), told.out, told.err


@pytest.mark.parametrize("file_format", ["tflite", "onnx"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_proven_copy_is_written(tmp_path: Path, file_format: str, precision: str) -> None:
    path = WRITERS[file_format](tmp_path, model_files.network(), precision)
    before, out = path.read_bytes(), tmp_path / f"new.{file_format}"
    found = slim(path, out, write_data=write_data)
    assert path.read_bytes() == before
    assert out.read_bytes() == slimming.slim(before, file_format).content
    assert (found.file_bytes_before, found.file_bytes_after) == (len(before), out.stat().st_size)
    assert sum(found.saved_bytes.values()) == found.file_bytes_before - found.file_bytes_after > 0
    assert found.gzip_bytes_after == len(gzip.compress(out.read_bytes(), 9, mtime=0)) < found.gzip_bytes_before
    assert (found.identity.inputs, found.identity.kind, found.identity.difference) == (COUNT, "real", None)
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".optkit")]


def _wrong(change: Callable[[Any], None]) -> Callable[[bytes, frozenset[str]], slimming.Slimmed]:
    """A slimmer that also breaks something."""
    right = plugin.slim

    def wrong(content: bytes, keep: frozenset[str]) -> slimming.Slimmed:
        found = right(content, keep)
        model = tflite_schema.parse(found.content)
        change(model)
        return replace(found, content=plugin.write(model))

    return wrong


def _flip_a_weight(model: Any) -> None:
    data_ = model.buffers[-1].data.copy()
    data_[0] ^= 0x80
    model.buffers[-1].data = data_


def _swap_scales(model: Any) -> None:
    kernel = next(one for one in model.subgraphs[0].tensors if one.quantization and np.size(one.quantization.scale) > 1)
    kernel.quantization.scale = np.flip(kernel.quantization.scale)


def _lose_the_bias(model: Any) -> None:
    model.subgraphs[0].operators[0].inputs = [*model.subgraphs[0].operators[0].inputs[:2], -1]


def _lead_nowhere(model: Any) -> None:
    model.subgraphs[0].operators[0].inputs = [0, 999, -1]


@pytest.mark.parametrize("change", [_flip_a_weight, _swap_scales, _lose_the_bias, _lead_nowhere])
def test_a_wrong_slimmer_is_not_believed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Any], None],
) -> None:
    path = model_files.write_tflite(tmp_path, model_files.network(), "int8")
    before, out = path.read_bytes(), tmp_path / "new.tflite"
    monkeypatch.setattr(plugin, "slim", _wrong(change))
    # In this process, where the slimmer is the wrong one.
    monkeypatch.setattr(model_file, "tell", lambda _module, job, _subject: [{"event": "done", **slim_worker.run(job)}])
    for write in (None, write_data):
        with pytest.raises(PartialError, match="answers otherwise"):
            slim(path, out, write_data=write)
    code, _, error = run("slim", path, "--out", out, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 4
    assert error.count("\n") == 1
    assert not out.exists()
    assert path.read_bytes() == before


def test_a_copy_that_crashes_its_process_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = model_files.write_tflite(tmp_path, model_files.network(), "int8")

    def tell(_module: str, job: dict[str, Any], _subject: str) -> Iterator[dict[str, Any]]:
        if job["do"] == "compare":
            yield {"event": "running", "which": dies_at}
            raise InputError("the process ended by signal SIGSEGV")
        yield {"event": "done", **slim_worker.run(job)}

    monkeypatch.setattr(model_file, "tell", tell)
    dies_at = "reference"
    with pytest.raises(InputError, match="SIGSEGV"):
        slim(path, tmp_path / "new.tflite")
    dies_at = "other"
    with pytest.raises(PartialError, match="cannot be run"):
        slim(path, tmp_path / "new.tflite")
    assert not (tmp_path / "new.tflite").exists()


def test_the_input_is_never_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = model_files.write_tflite(tmp_path, model_files.network(), "fp32")
    before = path.read_bytes()
    (tmp_path / "folder").mkdir()
    soft, hard = tmp_path / "soft.tflite", tmp_path / "hard.tflite"
    soft.symlink_to(path)
    os.link(path, hard)
    (tmp_path / "way").symlink_to(tmp_path)
    for out in (path, soft, hard, tmp_path / "folder" / ".." / path.name, tmp_path / "way" / path.name):
        for given in (path, soft):
            code, _, error = run("slim", given, "--out", out, monkeypatch=monkeypatch, capsys=capsys)
            assert (code, error.count("\n")) == (2, 1), out
            assert "another file than the input" in error
    new = tmp_path / "new.tflite"
    for out in (path, soft, hard, new):
        code, _, error = run("slim", path, "--out", new, "--json", out, monkeypatch=monkeypatch, capsys=capsys)
        assert (code, error.count("\n")) == (2, 1), out
        assert error.startswith("Error: --json expects ")
    assert path.read_bytes() == before
    assert not new.exists()


def test_what_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = model_files.write_tflite(tmp_path, model_files.network(), "fp32")
    broken, text, keras = tmp_path / "broken.tflite", tmp_path / "text.onnx", tmp_path / "model.keras"
    broken.write_bytes(path.read_bytes()[:3000])
    text.write_text("no model")
    keras.write_text("no model")
    new = tmp_path / "new.tflite"
    for arguments in (
        (broken, "--out", new),
        (text, "--out", tmp_path / "new.onnx"),
        (keras, "--out", tmp_path / "new.keras"),
        (tmp_path / "missing.tflite", "--out", new),
        (path, "--out", tmp_path / "new.onnx"),
        (path, "--out", tmp_path / "nowhere" / "new.tflite"),
        (path, "--out", tmp_path / f"new.{'a' * 300}.tflite"),
        (path, "--out", new, "--keep", "everything"),
        (path, "--out", new, "--merge-scales"),
        (path, "--out", new, "--scale", "1/255"),
        (path, "--out", new, "--data", tmp_path / "missing.npz"),
        (path,),
    ):
        code, output, error = run("slim", *arguments, monkeypatch=monkeypatch, capsys=capsys)
        assert (code, output, error.count("\n")) == (2, "", 1), (arguments, error)
        assert "Traceback" not in error
    assert not list(tmp_path.glob("new.*"))


def test_a_file_too_large_for_its_format_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.tflite"
    path.touch()
    os.truncate(path, 1 << 31)
    with pytest.raises(InputError, match=r"expected a file of less than 2 GiB, found .* with 2,147,483,648 bytes"):
        slim(path, tmp_path / "new.tflite")


def test_merged_scales_are_decided_on_validation_data(tmp_path: Path) -> None:
    path = model_files.write_tflite(tmp_path, model_files.network(), "int8")
    plain, out = tmp_path / "plain.tflite", tmp_path / "new.tflite"
    slim(path, plain)
    found = slim(path, out, write_data=write_data, merge=True)
    assert found.merge is not None
    assert found.merge.merged
    assert (found.merge.examples, found.merge.versus.verdict) == (COUNT, "no measurable difference")
    assert found.merge.bytes == plain.stat().st_size - out.stat().st_size > 100
    assert all(len(one.scales) == 1 for one in readback.read(out).constants if one.role == "weight")


def test_merged_scales_that_cost_accuracy_are_not_delivered(tmp_path: Path) -> None:
    net = model_files.network()
    # One channel with a kernel a thousand times as large, which the dense layer weighs down: with its scale for all,
    # the others have no steps left.
    conv, dense = net.conv.copy(), net.dense.copy().reshape(10, model_files.SIDE, model_files.SIDE, model_files.FILTERS)
    conv[0] *= 1000
    dense[..., 0] = 0
    uneven = replace(net, conv=conv, dense=dense.reshape(10, -1))
    path = tmp_path / "int8.tflite"
    path.write_bytes(model_files.tflite_int8(uneven, model_files.images()[:100]))
    plain, out = tmp_path / "plain.tflite", tmp_path / "new.tflite"
    slim(path, plain)
    found = slim(path, out, write_data=write_data, merge=True)
    assert found.merge is not None
    assert (found.merge.merged, found.merge.versus.verdict) == (False, "worse")
    assert out.read_bytes() == plain.read_bytes()


def test_a_file_that_is_slim_is_copied(tmp_path: Path) -> None:
    path = model_files.write_tflite(tmp_path, model_files.network(), "int8")
    once, twice = tmp_path / "once.tflite", tmp_path / "twice.tflite"
    slim(path, once)
    found = slim(once, twice)
    assert twice.read_bytes() == once.read_bytes()
    assert not any(found.saved_bytes.values())


def test_the_screen_and_json_say_what_was_saved_and_shown(tmp_path: Path) -> None:
    path, out, told = (
        model_files.write_tflite(tmp_path, model_files.network(), "int8"),
        tmp_path / "n.tflite",
        tmp_path / "t",
    )
    from optkit.cli.slim import command

    result = CliRunner().invoke(command, [str(path), "--out", str(out), "--json", str(told)])
    assert result.exit_code == 0, result.output
    record = json.loads(told.read_text())
    assert f"{path.stat().st_size:,} → {out.stat().st_size:,} bytes" in result.output
    assert f"gzip {record['gzip_bytes_before']:,} → {record['gzip_bytes_after']:,} bytes" in result.output
    for kind, saved in record["saved_bytes"].items():
        assert not saved or any(kind in line and f"{saved:,}" in line for line in result.output.splitlines())
    words = " ".join(result.output.split())
    assert f"the same bit for bit: {record['identity']['inputs']} generated inputs" in words
    assert "XNNPACK and LiteRT's own kernels" in words
