"""Generated C on emulated microcontrollers: right there too, and the benchmark notices where it is not."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tflite_networks
from codegen_networks import answers, feed, interpreter

from benchmarks import emulated

if TYPE_CHECKING:
    from pathlib import Path

MACHINES = list(emulated.MACHINES)


def _needed(name: str) -> None:
    machine = emulated.MACHINES[name]
    for program in (machine.compiler, machine.emulator[0]):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} on this machine")


def _network(path: Path) -> Path:
    """Random convolutions and a dense layer whose answers differ from input to input."""
    random = np.random.default_rng(2)
    while True:
        content, used = tflite_networks.network(
            random, ["conv_2d", "depthwise_conv_2d", "max_pool_2d", "fully_connected"]
        )
        opened = interpreter(content)
        ends = [*opened.get_input_details(), *opened.get_output_details()]
        if [one["dtype"] for one in ends] != [np.int8, np.int8]:
            continue
        made = {answers(opened, feed(opened, random))[0].tobytes() for _ in range(8)}
        if {"conv_2d", "fully_connected"} <= set(used) and len(made) == 8:
            path.write_bytes(content)
            return path


@pytest.mark.parametrize("name", MACHINES)
def test_answers_are_right_on_an_emulated_machine(tmp_path: Path, name: str) -> None:
    _needed(name)
    file = _network(tmp_path / "net.tflite")
    found = emulated.emulated(file, tmp_path, name, emulated.MACHINES[name], "ram")
    assert (found["right"], found["of"]) == (emulated.VECTORS, emulated.VECTORS)
    assert found["instructions"] > found["macs"]
    # What the call graph says is what the painted stack shows, but for registers that the caller of all saves.
    assert abs(found["stack_measured_bytes"] - found["stack_counted_bytes"]) <= 96


def test_a_wrong_answer_there_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = MACHINES[0]
    _needed(name)
    built: list[Any] = []

    def spoilt(out: Path) -> None:
        text = (out / "model.c").read_text()
        assert "+ ((int32_t)1 << 30)) >> 31" in text
        (out / "model.c").write_text(text.replace("+ ((int32_t)1 << 30)) >> 31", ") >> 30"))
        built.append(out)

    monkeypatch.setattr(emulated, "before_build", spoilt)
    found = emulated.emulated(_network(tmp_path / "net.tflite"), tmp_path, name, emulated.MACHINES[name], "ram")
    assert built
    assert found["right"] < found["of"]
