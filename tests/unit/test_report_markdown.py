from __future__ import annotations

import re

import msgspec
import pytest
from sample_report import sample_report

from optkit.report.markdown import render
from optkit.schema import Skipped, Variant, Why

replace = msgspec.structs.replace
REPORT = sample_report()


def cells(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("| ")
    ]


def test_it_starts_with_the_recommendation_and_its_rule() -> None:
    blocks = render(REPORT).split("\n\n")
    assert blocks[1] == (
        "**prune+qat+int8.tflite**: 3.9× smaller, 2.0× [2.0, 2.1] faster, no measurable change in accuracy "
        "(5 lost, 7 gained of 10,000)."
    )
    assert blocks[2] == "Of the files that passed all checks, this is the smallest."


def test_every_written_file_is_a_row_with_its_figures() -> None:
    rows = {row[0]: row for row in cells(render(REPORT).partition("## onnx")[0])}
    names = {v.name for v in REPORT.variants if v.format == "tflite"}
    assert {name.strip("*").removesuffix("** (recommended)") for name in rows if name not in {"file", "---"}} == names
    assert rows["int8"][1:] == [
        "99.01 % [98.80, 99.19]",
        "9, 7",
        "no measurable difference",
        "448,768",
        "3.86×",
        "393,001",
        "4.07×",
        "37.4 µs",
        "2.0× [2.0, 2.1]",
        "faster",
        "3.5 MiB",
        "2/2",
    ]
    assert rows["prune+cluster+qat+int8"][3] == "worse"


@pytest.mark.parametrize(
    "words",
    [
        (
            "finetune+fp32.tflite was trained on like the compressed models and not compressed: 99.14 %, 11 "
            "lost, 22 gained"
        ),
        "**no fast kernel for int16 activations** (int16x8.tflite): All 4",
        "(prune+fp32.tflite, prune+fp16.tflite, prune+int8.tflite",
        "- **prune+cluster+qat+int8.onnx**: answers class 3 to every one of 1,000 images\n",
        "int16x8.onnx: ONNX Runtime has no int16 activation kernels",
        "Noise floor, tflite: the reference against itself gives 0.990 to 1.012.",
        f"SHA-256 `{'0f' * 32}`; 55,000 train, 5,000 validation, 10,000 test.",
        "500 images from train, disjoint from the test set",
        "> **Warning**: load average 1.9",
        "| lenet5 | 10 | 0.2000 → 0.0200 |",
        "Synthetic CPU 9000, 2 cores, 24.0 GiB memory",
        "\n    optkit compress --seed 7 --out example\n",
    ],
)
def test_the_rest_of_the_story_is_there(words: str) -> None:
    assert words in render(REPORT)


def test_a_failure_without_words_is_told_by_its_checks() -> None:
    silent = [replace(variant, failures=[]) for variant in REPORT.variants]
    assert "int8.onnx**: not constant: observed 1, limit 2 classes\n" in render(replace(REPORT, variants=silent))


def test_text_from_outside_cannot_become_markup_or_break_a_table() -> None:
    evil = "a|b\n# <script>alert(1)</script> **x** `y`"
    bad: Variant = replace(REPORT.variants[0], name=evil, why=[Why(evil, evil)])
    text = render(
        replace(
            REPORT,
            variants=[bad, *REPORT.variants[1:]],
            skipped=[Skipped(evil, "onnx", evil)],
            warnings=[evil],
        )
    )
    assert not re.search(r"(?<!\\)<script", text)
    assert "\n# " not in text.removeprefix("# optkit report")
    assert {len(row) for row in cells(text.partition("## onnx")[0])} == {13}


def test_a_calibration_that_overlaps_the_test_set_is_shouted() -> None:
    data = replace(REPORT.data, calibration=replace(REPORT.data.calibration, disjoint_from_test=False))
    assert "**overlapping with** the test" in render(replace(REPORT, data=data))


def test_a_report_without_a_choice_or_measurements_is_still_one() -> None:
    bare = [replace(v, accuracy=None, latency=None, size=None, memory=None, checks=[], why=[]) for v in REPORT.variants]
    empty = replace(
        REPORT, recommendation=None, variants=bare, warnings=[], noise_floor=[], skipped=[], training=[],
        environment=replace(REPORT.environment, load_average_before=None, load_average_after=None),
    )  # fmt: skip
    text = render(empty)
    assert "**No file is recommended**" in text
    assert "Load average not known" in text
    assert "None" not in text
    assert "No file" in render(replace(empty, variants=[]))
