"""Memory is the file's, whatever the size of the process that asks."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from optkit.errors import InputError
from optkit.measure import memory_worker
from optkit.measure.memory import measure_memory

if TYPE_CHECKING:
    from pathlib import Path

MEGABYTE = 2**20


@pytest.fixture
def images(tmp_path: Path) -> Path:
    path = tmp_path / "images.npy"
    np.save(path, np.random.default_rng(0).random((4, 28, 28), dtype=np.float32))
    return path


def linear(path: Path, hidden: int) -> Path:
    """A file with two dense layers, 784 to ``hidden`` to 10."""
    import onnx
    from onnx import helper

    numbers = onnx.TensorProto.FLOAT
    random = np.random.default_rng(0)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["x"], ["flat"]),
            helper.make_node("MatMul", ["flat", "first"], ["hidden"]),
            helper.make_node("MatMul", ["hidden", "second"], ["y"]),
        ],
        "linear",
        [helper.make_tensor_value_info("x", numbers, [None, 28, 28])],
        [helper.make_tensor_value_info("y", numbers, [None, 10])],
        [
            onnx.numpy_helper.from_array(random.random((784, hidden), dtype=np.float32), "first"),
            onnx.numpy_helper.from_array(random.random((hidden, 10), dtype=np.float32), "second"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_memory_follows_the_file_and_not_the_process_that_asks(tmp_path: Path, images: Path) -> None:
    small, large = linear(tmp_path / "small.onnx", 10), linear(tmp_path / "large.onnx", 10_000)
    weights = 794 * 10_000 * 4
    log = tmp_path / "log.txt"
    ballast = np.ones(1000 * MEGABYTE // 8)  # resident here, and in ru_maxrss of every child
    few = measure_memory(small, images, log=log).peak_rss_bytes
    many = measure_memory(large, images, log=log).peak_rss_bytes
    assert ballast[-1] == 1
    # A session without weights takes some megabytes of the runtime's own.
    assert 0 < few < 30 * MEGABYTE
    # Opening holds the weights up to four times: file, message, tensor, and packed for the kernel.
    assert weights < many < 4 * weights + 30 * MEGABYTE


def test_a_file_that_cannot_be_opened_has_a_reason(tmp_path: Path, images: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(InputError, match="cannot be run: ONNX Runtime cannot open"):
        measure_memory(path, images, log=tmp_path / "log.txt")


def test_images_that_do_not_fit_have_a_reason(tmp_path: Path) -> None:
    images = tmp_path / "images.npy"
    np.save(images, np.zeros((1, 5, 5), np.float32))
    with pytest.raises(InputError, match="cannot be run"):
        measure_memory(linear(tmp_path / "a.onnx", 10), images, log=tmp_path / "log.txt")


def test_a_process_that_dies_has_a_reason(tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optkit.measure.memory._WORKER", "optkit.measure.no_such_worker")
    with pytest.raises(InputError, match="exit code 1"):
        measure_memory(tmp_path / "a.onnx", images, log=tmp_path / "log.txt")


def test_the_peak_counts_from_where_it_was_reset() -> None:
    # In a process of its own: what earlier tests left to the allocator would be used again here.
    code = (
        "import numpy as np; from optkit.measure import memory_worker\n"
        f"before = np.ones(200 * {MEGABYTE} // 8); del before\n"
        "start = memory_worker.peak_from_here()\n"
        f"held = np.ones(50 * {MEGABYTE} // 8)\n"
        "print(memory_worker.status_bytes('VmHWM') - start)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 45 * MEGABYTE < int(done.stdout) < 100 * MEGABYTE


def test_a_field_that_the_kernel_does_not_tell_is_an_error() -> None:
    with pytest.raises(OSError, match="VmNothing"):
        memory_worker.status_bytes("VmNothing")
