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

KIB = 1024
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


def _record(size: int, flash: int, ram: int, **more: Any) -> dict[str, Any]:
    run = {"machine": MACHINES[0], "prefer": "ram", "right": 16, "of": 16, "flash_bytes": flash, "ram_bytes": ram}
    run |= {"instructions": 600, "macs": 100}
    exact = {"differing_ram": 0, "differing_speed": 0, "images": 10_000, "correct": 9960}
    return {"file_bytes": size, "tflm_arena_bytes": 5000, "runs": [run], "exact": exact} | more


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({}, None),
        ({"flash": 8 * KIB + 1}, "flash"),
        ({"ram": 4 * KIB + 1}, "RAM with stack"),
        ({"ram": 3001}, "RAM, share of TFLM's arena"),
        ({"flash": 8 * KIB, "size": 6000}, "flash, share of TFLM's without kernels"),
        ({"right": 15}, "right answers"),
        ({"differing_speed": 1}, "test images with another output than LiteRT"),
        ({"prefer": "speed", "instructions": 801}, "instructions a MAC"),
    ],
)
def test_what_is_promised_is_checked(changed: dict[str, Any], name: str | None) -> None:
    sizes = {"size": 6 * KIB, "flash": 6000, "ram": 2000}
    record = _record(**(sizes | {key: value for key, value in changed.items() if key in sizes}))
    record["runs"][0] |= {key: value for key, value in changed.items() if key in record["runs"][0]}
    record["exact"] |= {key: value for key, value in changed.items() if key in record["exact"]}
    missed = [one.name for one in emulated._figures("net", record) if not one.reached]
    assert all("net" in one for one in missed)
    assert missed == [] if name is None else any(one.endswith(name) for one in missed)


def test_the_best_file_is_one_that_fits() -> None:
    small, large = _record(9000, 9000, 3000), _record(17_000, 17_000, 3000)
    large["exact"] = {**large["exact"], "correct": 9970}
    (found,) = emulated._best({"small": small, "large": large})
    assert (found.value, found.reached) == (99.6, True)
    assert "small" in found.name
    small["exact"] = {**small["exact"], "correct": 9949}
    assert not emulated._best({"small": small, "large": large})[0].reached
