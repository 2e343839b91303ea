"""Limits of processes that open strangers' files: the kernel keeps them, and what they end is a message."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from optkit import limits
from optkit.errors import InputError
from optkit.limits import Limits, Patience
from optkit.workers import Failure, Job, Tell, Workers

MIB = 1 << 20


def take(tell: Tell, *, mebibytes: int) -> int:  # noqa: ARG001
    """Allocates and touches so much."""
    return len(bytearray(mebibytes * MIB))


def crash(tell: Tell) -> None:  # noqa: ARG001
    """As native code may."""
    os.kill(os.getpid(), signal.SIGSEGV)


def compute_for_ever(tell: Tell) -> None:  # noqa: ARG001
    """As the limit on processor time ends it, without waiting for it."""
    os.kill(os.getpid(), signal.SIGXCPU)


def in_a_worker(tmp_path: Path, function: str, *, opens: Path | None, **arguments: int) -> Any:
    job = Job("job", f"test_limits:{function}", arguments, opens="" if opens is None else str(opens))
    with Workers(["json"], {"PYTHONPATH": str(Path(__file__).parent)}, tmp_path / "log.txt") as pool:
        return pool.run([job], cores=1, on_event=lambda *_: None)["job"]


def python(code: str, limited: Limits) -> subprocess.CompletedProcess[str]:
    """A process that waits for a line before it runs the code, limited meanwhile."""
    command = [sys.executable, "-c", f"input()\n{code}"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]
        limits.set_for(process.pid, limited)
        output, errors = process.communicate("\n")
        return subprocess.CompletedProcess(command, process.returncode, output, errors)


def test_memory_beyond_the_limit_is_refused_and_less_is_given() -> None:
    limited = Limits(memory_bytes=512 * MIB, written_bytes=MIB)
    assert python("print(len(bytearray(256 << 20)))", limited).stdout == f"{256 * MIB}\n"
    beyond = python("print(len(bytearray(768 << 20)))", limited)
    assert (beyond.returncode, beyond.stdout) == (1, "")
    assert "MemoryError" in beyond.stderr


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "written"
    code = f"open({str(path)!r}, 'wb').write(bytes(3 << 20))"
    assert "File too large" in python(code, Limits(1 << 30, MIB)).stderr
    assert path.stat().st_size == MIB
    assert python(code, Limits(1 << 30, 4 * MIB)).returncode == 0


def test_processor_time_beyond_the_limit_ends_the_process() -> None:
    ended = python("while True: pass", Limits(1 << 30, MIB, processor_seconds=1))
    assert ended.returncode == -signal.SIGXCPU


def test_a_limit_is_never_raised() -> None:
    code = (
        "from optkit import limits\n"
        "limits.set_for(0, limits.Limits(1 << 30, 1 << 20))\n"
        "limits.set_for(0, limits.Limits(1 << 40, 1 << 40))\n"
        "import resource; print(resource.getrlimit(resource.RLIMIT_DATA)[0])"
    )
    assert python(code, Limits(1 << 31, 1 << 30)).stdout == f"{1 << 30}\n"


def test_larger_models_and_batches_get_more(tmp_path: Path) -> None:
    small, large = tmp_path / "small.onnx", tmp_path / "large.onnx"
    small.write_bytes(bytes(1000))
    with large.open("wb") as stream:
        stream.truncate(1 << 30)
    least = limits.for_files([small]).memory_bytes
    assert least < 4 << 30
    assert limits.for_files([large]).memory_bytes == pytest.approx(least + (8 << 30), rel=0.001)
    assert limits.for_files([small], batch=640).memory_bytes >= 10 * least - MIB
    assert limits.for_files([tmp_path]).memory_bytes == pytest.approx(least + (8 << 30), rel=0.001)
    assert limits.patience_seconds(large) > limits.patience_seconds(small) + 900
    assert limits.for_job({"file": str(large)}) == limits.for_files([large])
    sessions = [{"path": str(small), "batch": 1}, {"path": str(large), "batch": 640}]
    assert limits.for_job({"sessions": sessions}) == limits.for_files([small, large], batch=640)
    assert limits.for_job({}) == limits.for_files([])


@pytest.mark.parametrize(
    ("text", "found"), [("16G", 16 << 30), ("512 M", None), ("8GiB", 8 << 30), ("1000", 1000), ("", 0), ("0", None)]
)
def test_the_users_own_limit(monkeypatch: pytest.MonkeyPatch, text: str, found: int | None) -> None:
    monkeypatch.setenv(limits.VARIABLE, text)
    if found is None:
        with pytest.raises(InputError, match="expects a number of bytes such as 16G"):
            limits.for_files([])
    elif found:
        assert limits.for_files([]).memory_bytes == found
    else:
        assert limits.for_files([]).memory_bytes < 4 << 30


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("std::bad_alloc", True),
        ("MemoryError: Unable to allocate 64.0 TiB", True),
        ("bfc_arena.cc:360 Failed to allocate memory for requested buffer of size 4398046511104", True),
        ("ResourceExhaustedError: OOM when allocating tensor", True),
        ("Node 5 (CONV_2D) failed to prepare", False),
    ],
)
def test_only_want_of_memory_is_explained_by_the_limit(reason: str, *, expected: bool) -> None:
    said = limits.explained(reason, Limits(3 << 30, MIB))
    assert said.startswith(reason)
    assert ("3.0 GiB" in said and limits.VARIABLE in said) == expected


@pytest.mark.parametrize("code", ["import time; time.sleep(60)", "while True: pass"])
def test_patience_ends_with_who_sleeps_or_computes(code: str) -> None:
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        patience = Patience(process.pid, 1.0)
        started = time.monotonic()
        since = started
        while True:
            time.sleep(0.2)
            now = time.monotonic()
            if patience.ended_after(now - since):
                break
            since = now
            assert now - started < 60
        process.kill()
    assert time.monotonic() - started > 0.9


def test_a_sign_of_life_begins_anew() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        # Starting Python is work of its own.
        time.sleep(1)
        patience = Patience(process.pid, 5.0)
        assert not patience.ended_after(4.0)
        patience.sign_of_life()
        assert not patience.ended_after(4.0)
        assert patience.ended_after(4.0)
        process.kill()


def test_a_job_that_opens_a_strangers_model_is_limited(tmp_path: Path) -> None:
    model = tmp_path / "model.keras"
    model.write_bytes(bytes(100))
    assert in_a_worker(tmp_path, "take", opens=model, mebibytes=10) == 10 * MIB
    refused = in_a_worker(tmp_path, "take", opens=model, mebibytes=4096)
    assert isinstance(refused, Failure)
    assert (refused.kind, refused.exit_code) == ("InputError", 2)
    assert "needs more memory" in refused.message
    assert limits.VARIABLE in refused.message


@pytest.mark.parametrize(
    ("function", "words"), [("crash", "crashed the process (signal SIGSEGV)"), ("compute_for_ever", "come to an end")]
)
def test_a_crash_on_a_strangers_model_is_bad_input(tmp_path: Path, function: str, words: str) -> None:
    model = tmp_path / "model.keras"
    failure = in_a_worker(tmp_path, function, opens=model)
    assert (failure.kind, failure.exit_code) == ("InputError", 2)
    assert str(model) in failure.message
    assert words in failure.message
    # Without such a file it is a defect of ours.
    assert in_a_worker(tmp_path, function, opens=None).kind == "Crash"


def test_onnx_runtime_leaves_nothing_in_the_home_folder_and_tells_nobody(tmp_path: Path) -> None:
    code = "import optkit, onnxruntime; onnxruntime.SessionOptions(); print('imported')"
    clean = {name: value for name, value in os.environ.items() if name not in {"CI", "ORT_DISABLE_TELEMETRY"}}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env={**clean, "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "imported\n"
    assert list(tmp_path.iterdir()) == []


def fail_as_tensorflow(tell: Tell) -> None:  # noqa: ARG001
    """Raises what a network raises in TensorFlow."""
    kind = type("UnavailableError", (Exception,), {"__module__": "tensorflow.python.framework.errors_impl"})
    raise kind("random ops must have a seed")


def fail_as_ourselves(tell: Tell) -> None:  # noqa: ARG001
    """A defect."""
    raise ZeroDivisionError


def test_a_network_that_fails_is_bad_input_and_a_defect_of_ours_is_not(tmp_path: Path) -> None:
    model = tmp_path / "model.keras"
    failure = in_a_worker(tmp_path, "fail_as_tensorflow", opens=model)
    assert (failure.kind, failure.exit_code) == ("InputError", 2)
    assert f"{model} cannot be run: UnavailableError: random ops" in failure.message
    assert in_a_worker(tmp_path, "fail_as_tensorflow", opens=None).exit_code == 70
    assert in_a_worker(tmp_path, "fail_as_ourselves", opens=model).exit_code == 70


def surroundings(tell: Tell) -> list[str | None]:  # noqa: ARG001
    """What Keras would be told."""
    return [os.environ.get(name) for name in limits.SURROUNDINGS]


def test_keras_neither_reads_nor_leaves_settings_in_the_home_folder(tmp_path: Path) -> None:
    assert in_a_worker(tmp_path, "surroundings", opens=None) == [os.devnull, "tensorflow"]


def test_large_examples_may_take_longer_and_large_models_too(tmp_path: Path) -> None:
    small, large = tmp_path / "small.keras", tmp_path / "large.keras"
    small.write_bytes(b"x" * 1000)
    large.write_bytes(b"x" * 20_000_000)
    digits = limits.for_import(small, example_values=784).processor_seconds or 0
    assert digits == 12
    assert (limits.for_import(small, example_values=224 * 224 * 3).processor_seconds or 0) > digits + 50
    assert (limits.for_import(large, example_values=784).processor_seconds or 0) >= digits + 60
