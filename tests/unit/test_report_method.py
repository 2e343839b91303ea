from __future__ import annotations

import msgspec
import pytest
from sample_benchmark import NOT_QUIET, SPREAD, sample_benchmark
from sample_report import sample_report

from optkit.report import method
from optkit.schema import RuntimeFacts, Stopping

replace = msgspec.structs.replace
REPORT = sample_benchmark()


@pytest.mark.parametrize(
    ("stopping", "words"),
    [
        (
            Stopping("tflite", "narrow enough", 5, 41.2, 0.02, 0.018),
            "measured in 5 processes until every interval was within ±2 %",
        ),
        (
            Stopping("tflite", "narrow enough", 1, 41.2, 0.02, None),
            "measured in 1 process until there was nothing left to compare",
        ),
        (
            Stopping("onnx", "time is up", 7, 60.4, 0.02, 0.04),
            "time was up after 60 s: the widest interval is ±4 % where ±2 % was wanted (7 processes)",
        ),
        (
            Stopping("onnx", "time is up", 7, 60.4, 0.02, None),
            "time was up after 60 s: there was nothing to compare (7 processes)",
        ),
        (
            Stopping("onnx", "fixed", 3, 60.4, None, 0.114),
            "measured in 3 processes, as many as were asked for: the widest interval is ±11 %",
        ),
    ],
)
def test_why_measuring_ended_is_a_clause(stopping: Stopping, words: str) -> None:
    assert method.ended(stopping) == words


def test_parts_of_the_data_that_were_not_used_are_left_out() -> None:
    assert method.split(sample_report().data) == "55,000 train, 5,000 validation, 10,000 test"
    assert method.split(sample_benchmark(data=True).data) == "2,000 test"


def test_each_doubt_has_one_number_however_many_files_share_it() -> None:
    numbers = method.doubts(REPORT)
    assert numbers == {SPREAD: 1, NOT_QUIET: 2}
    marks = {f"{v.name}.{v.format}": method.doubt_mark(v, numbers) for v in REPORT.variants}
    assert {name: mark for name, mark in marks.items() if mark} == {
        "mobile-fp16.tflite": "?1",
        "mobile-qdq.onnx": "?1,2",
    }


def test_what_the_runtime_made_of_a_file_is_told_as_far_as_it_is_known() -> None:
    assert method.optimized(RuntimeFacts(None, "none", 1)) == "1 node"
    assert method.optimized(RuntimeFacts("1.8", "all", 103, nodes_after_optimization=57)) == (
        "103 nodes, 57 left after optimization"
    )
    rows = {row[0]: row[1:] for row in method.runtime_rows(REPORT.variants)}
    assert rows["mobile.tflite"] == ("litert 2.3.0", "1.14.0", "XNNPACK", "66 nodes, 64 taken by XNNPACK")
    assert "mobile.keras" not in rows
    unknown = replace(REPORT.variants[0], runtime_facts=RuntimeFacts(None, "none", 1))
    assert method.runtime_rows([unknown])[0][2] == "–"


def test_the_seed_is_said_to_be_where_it_is() -> None:
    assert method.seed(sample_report()) == "in the command below"
    assert "manifest.json" in method.seed(replace(sample_report(), command="optkit compress --out run"))
    assert method.seed(REPORT) == "nothing was trained"
    assert method.seed(replace(REPORT, seed=0)) == "0"
