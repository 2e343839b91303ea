from __future__ import annotations

import json
from typing import Any

import jsonschema
import msgspec
import pytest
from sample_report import sample_report

from optkit.errors import InputError, InternalError
from optkit.report.json_file import SCHEMA_PATH, from_json, json_schema, schema_text, to_json
from optkit.schema import NoiseFloor


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    return json.loads(to_json(sample_report()))


def test_what_is_written_reads_back_equal() -> None:
    report = sample_report()
    assert from_json(to_json(report)) == report


def test_keys_are_sorted_with_two_spaces_and_a_final_newline() -> None:
    text = to_json(sample_report()).decode()
    assert text.endswith("}\n")
    assert text.startswith('{\n  "command": ')
    keys = list(json.loads(text))
    assert keys == sorted(keys)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_figure_that_is_not_finite_is_refused_by_its_place(value: float) -> None:
    report = msgspec.structs.replace(sample_report(), noise_floor=[NoiseFloor("tflite", 0.9, value)])
    with pytest.raises(InternalError, match=r"\$\.noise_floor\[0\]\.high"):
        to_json(report)


def test_a_figure_of_another_type_than_its_record_says_is_refused() -> None:
    report = msgspec.structs.replace(sample_report(), optkit_version=3)
    with pytest.raises(InternalError, match="optkit_version"):
        to_json(report)


def test_unknown_keys_are_passed_over_also_in_recipes(plain: dict[str, Any]) -> None:
    grown = json.loads(json.dumps(plain))
    grown["new_at_the_top"] = 1
    grown["variants"][0]["new"] = {}
    grown["variants"][0]["recipe"]["new"] = "x"
    grown["variants"][0]["recipe"]["steps"][0]["new"] = "x"
    assert from_json(json.dumps(grown).encode()) == sample_report()


def test_a_later_version_is_refused_and_says_what_to_do(plain: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="found version 2; read it with a later optkit"):
        from_json(json.dumps({**plain, "schema_version": 2}).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"schema_version": "1"}',
        b'{"schema_version": true}',
        b'{"schema_version": 1}',
        b'{"schema_version": 1, "variants": [1]}',
        b'{"schema_version": 1, "warnings": [NaN]}',
        b"[" * 100_000,
    ],
)
def test_bytes_that_are_no_report_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match=r"report\.json"):
        from_json(data)


def test_the_committed_schema_is_the_one_that_the_records_make() -> None:
    assert SCHEMA_PATH.read_text(encoding="utf-8") == schema_text(), "run python -m optkit.report.json_file"


def test_the_schema_is_a_valid_schema_and_the_sample_fits_it(plain: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.Draft202012Validator(json_schema()).validate(plain)


def test_the_schema_allows_more_keys(plain: dict[str, Any]) -> None:
    grown = json.loads(json.dumps(plain))
    grown["more"] = 1
    grown["variants"][0]["recipe"]["steps"][0]["more"] = 1
    jsonschema.Draft202012Validator(json_schema()).validate(grown)


def _drop_size(report: dict[str, Any]) -> None:
    del report["variants"][0]["size"]["file_bytes"]


def _wrong_verdict(report: dict[str, Any]) -> None:
    report["variants"][1]["latency"]["speedup"]["verdict"] = "significant"


def _interval_of_three(report: dict[str, Any]) -> None:
    report["variants"][1]["latency"]["speedup"]["ci95"] = [1, 2, 3]


def _text_for_a_count(report: dict[str, Any]) -> None:
    report["variants"][0]["accuracy"]["correct"] = "9903"


def _later_version(report: dict[str, Any]) -> None:
    report["schema_version"] = 2


def _unknown_status(report: dict[str, Any]) -> None:
    report["variants"][0]["status"] = "fine"


def _no_environment(report: dict[str, Any]) -> None:
    del report["environment"]


@pytest.mark.parametrize(
    "damage",
    [
        _drop_size,
        _wrong_verdict,
        _interval_of_three,
        _text_for_a_count,
        _later_version,
        _unknown_status,
        _no_environment,
    ],
)
def test_a_damaged_report_does_not_fit_the_schema_and_is_not_read(plain: dict[str, Any], damage: Any) -> None:
    damaged = json.loads(json.dumps(plain))
    damage(damaged)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(json_schema()).validate(damaged)
    with pytest.raises(InputError):
        from_json(json.dumps(damaged).encode())
