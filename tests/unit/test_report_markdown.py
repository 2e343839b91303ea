from __future__ import annotations

import re

import msgspec
import pytest
from sample_benchmark import NOT_QUIET, SPREAD, sample_benchmark
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


BENCHMARK = sample_benchmark()


def test_a_benchmark_starts_with_what_was_measured_and_has_no_columns_on_accuracy() -> None:
    text = render(BENCHMARK)
    assert text.split("\n\n")[1].startswith("- mobile-int8.tflite is among the fastest: 3,015 µs a call, 3.12× ")
    assert text.split("\n\n")[2].startswith("Nothing is recommended: that is decided on validation data")
    assert "**No file is recommended**" not in text
    rows = {row[0]: row for row in cells(text.partition("## onnx")[0])}
    assert len(rows["file"]) == 10
    assert "test accuracy [95 %]" not in rows["file"]
    assert rows["mobile-int8"][1:3] == ["3,737,312", "3.74×"]
    assert "test accuracy [95 %]" in render(sample_benchmark(data=True))
    assert "accuracy is that of" not in text.lower()
    for absent in ("None", "fp32", "validation data on"):
        assert absent not in text


def test_doubts_stand_beside_the_time_and_are_told() -> None:
    text = render(BENCHMARK)
    rows = {row[0]: row for row in cells(text.partition("## onnx")[2].partition("## keras")[0])}
    assert rows["mobile-qdq"][5] == "4,482 µs (?1,2)"
    assert f"- (?1) {SPREAD}\n- (?2) {NOT_QUIET}\n" in text
    assert "## Doubts about times" not in render(REPORT)


def test_batches_threads_and_runtimes_are_tables() -> None:
    text = render(BENCHMARK)
    points = cells(text.partition("## Batches and threads")[2].partition("## How")[0])
    assert len(points) == 2 + 6 * 6
    assert points[7] == ["mobile.tflite", "2", "32", "145 ms", "220 [214, 227]", "2.1× [2.0, 2.1]", "more"]
    assert "| mobile.onnx | onnxruntime 1.31.0 | 1.8 | all (level 99) | 103 nodes, 57 left after optimization |" in text
    assert "`variants[].operators`" in text
    assert "## Batches" not in render(REPORT)


def test_why_measuring_ended_and_what_it_was_measured_on_are_told() -> None:
    text = render(BENCHMARK)
    assert (
        "- onnx: time was up after 60 s: the widest interval is ±4.1 % where ±2 % was wanted (7 processes).\n" in text
    )
    assert "No data were given: files were timed on generated inputs" in text
    with_data = render(sample_benchmark(data=True))
    assert f"SHA-256 `{'1e' * 32}`; 2,000 test.\n" in with_data
    assert "Calibration" not in with_data
    assert "Choices were made on validation data" not in with_data
