"""Layer sensitivity on real files: what 8 bits break stays in float, nothing else does; files that lie are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from optkit import readback
from optkit.pipeline.stages import PRELOAD, WORKER_ENVIRONMENT
from optkit.verify import onnx_rules, structure
from optkit.workers import Failure, Job, Workers

Made = tuple[Path, dict[str, Any]]
FORMATS = ("onnx", "tflite")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The folder of the files, and what was decided for each."""
    folder = tmp_path_factory.mktemp("exclusion")
    environment = {**WORKER_ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parent)}
    job = Job("decisions", "exclusion_jobs:decisions", {"folder": str(folder)})
    with Workers(PRELOAD, environment, folder / "log.txt") as pool:
        result = pool.run([job], cores=1, on_event=lambda *_: None)["decisions"]
    assert not isinstance(result, Failure), result
    return folder, json.loads((folder / "found.json").read_text())


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_network_that_8_bits_do_no_harm_leaves_nothing_in_float(made: Made, file_format: str) -> None:
    found = made[1][f"benign.{file_format}"]
    record = found["record"]
    assert record["within"]
    assert (record["excluded"], record["followers"], len(record["tried"])) == ([], [], 1)
    assert {one["layer"] for one in record["layers"]} == {"conv_1", "conv_2", "dense", "digits"}
    # 8 bits are 48 dB; a layer has its input, weights and output rounded.
    assert all(25 < one["sqnr_db"] < 70 for one in record["layers"])


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_one_layer_that_8_bits_break_stays_in_float_and_accuracy_returns(made: Made, file_format: str) -> None:
    found = made[1][f"bad.{file_format}"]
    record = found["record"]
    assert record["excluded"] == ["dense"]
    worst, *others = record["layers"]
    assert worst["layer"] == "dense"
    assert worst["sqnr_db"] < 10
    assert worst["drop_ci95"][0] > 0.1
    assert all(one["sqnr_db"] > 25 and not one["excluded"] for one in others)
    tried = {tuple(one["float_layers"]): one for one in record["tried"]}
    assert tried[()]["drop_ci95"][0] > 0.1
    assert tried["dense",]["within"]
    fp32, own, all_int8 = found["right"]
    assert abs(fp32 - own) <= 10
    assert all_int8 < fp32 - 100
    assert "up to" in found["notes"]["dense"]
    assert found["notes"]["conv_2"].startswith("int8")


@pytest.mark.parametrize("file_format", FORMATS)
def test_wide_activations_need_both_sides_and_the_pooling_between_them(made: Made, file_format: str) -> None:
    record = made[1][f"activations.{file_format}"]["record"]
    assert record["within"]
    assert set(record["excluded"]) == {"conv_1", "conv_2"}
    assert "pool" in record["followers"]
    assert not next(one for one in record["tried"] if not one["float_layers"])["within"]


@pytest.mark.parametrize("file_format", FORMATS)
def test_two_layers_are_found_and_no_third(made: Made, file_format: str) -> None:
    record = made[1][f"two.{file_format}"]["record"]
    assert record["within"]
    assert set(record["excluded"]) == {"dense", "digits"}


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_limit_that_cannot_be_met_is_told_with_figures(made: Made, file_format: str) -> None:
    found = made[1][f"unreachable.{file_format}"]
    record = found["record"]
    assert (record["within"], record["most"]) == (False, 1)
    assert [len(one["float_layers"]) for one in record["tried"]] == [0, 1]
    assert all(one["drop_ci95"][1] > record["limit"]["limit"] and not one["within"] for one in record["tried"])
    nearest = min(record["tried"], key=lambda one: one["drop_ci95"][1])
    assert record["excluded"] == nearest["float_layers"]


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_finished_file_is_held_to_the_limit_again(made: Made, file_format: str) -> None:
    right, wrong = made[1][f"bad.{file_format}"]["checks"]
    assert right["passed"]
    assert right["reason"].endswith("1 of 4 layers in float, 3 allowed (dense)")
    assert not wrong["passed"]
    assert wrong["observed"] > wrong["limit"] == 2


def test_what_was_judged_on_the_way_is_the_file_that_is_exported(made: Made) -> None:
    assert [name for name, found in made[1].items() if found["same"]] == [f"bad.{name}" for name in FORMATS]


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_file_whose_layer_is_not_in_float_as_the_record_says_is_rejected(made: Made, file_format: str) -> None:
    right = structure.excluded(readback.read(made[0] / f"bad.{file_format}"), ("dense",))
    wrong = structure.excluded(readback.read(made[0] / f"bad-all.{file_format}"), ("dense",))
    unknown = structure.excluded(readback.read(made[0] / f"bad.{file_format}"), ("dense", "wyde"))
    assert [one.passed for one in (*right, *wrong, *unknown)] == [True, False, False]
    assert wrong[0].observed == "dense (int8)"
    assert "wyde (not in the file)" in str(unknown[0].observed)
    assert structure.excluded(readback.read(made[0] / f"bad.{file_format}"), ()) == []


def test_a_layer_that_onnx_runtime_rounds_by_itself_is_rejected(made: Made) -> None:
    right = onnx_rules.float_kept(made[0] / "bad.onnx", ("dense",))
    wrong = onnx_rules.float_kept(made[0] / "rounded.onnx", ("dense",))
    assert [one.passed for one in (*right, *wrong)] == [True, False]
    assert "QGemm" in str(wrong[0].observed)
    # In the file itself it is float.
    assert structure.excluded(readback.read(made[0] / "rounded.onnx"), ("dense",))[0].passed
