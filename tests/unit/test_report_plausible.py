"""Reports whose figures cannot be are refused, those that optkit writes are not."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from sample_benchmark import sample_benchmark, single_file
from sample_report import sample_report

from optkit.errors import InputError
from optkit.report.plausible import check_plausible
from optkit.schema import NoiseFloor, Report


def changed(part: str, **values: Any) -> Report:
    """The sample with one record of its second file changed."""
    report = sample_report()
    file = report.variants[1]
    return replace(
        report, variants=[report.variants[0], replace(file, **{part: replace(getattr(file, part), **values)})]
    )


def test_what_optkit_writes_is_taken() -> None:
    for report in (sample_report(), sample_benchmark(data=True), sample_benchmark(data=False), single_file()):
        check_plausible(report)


@pytest.mark.parametrize(
    ("report", "message"),
    [
        (changed("accuracy", total=0), "accuracy"),
        (changed("accuracy", correct=10_001), "accuracy"),
        (changed("size", file_bytes=0), "bytes"),
        (changed("size", gzip_bytes=-5), "bytes"),
        (changed("latency", p50_us=-3.0), "times"),
        (changed("latency", blocks_us=[]), "times"),
        (changed("latency", blocks_us=[[1.0], []]), "times"),
        (replace(sample_report(), schema_version=2), "version 1, found version 2"),
        (replace(sample_report(), noise_floor=[NoiseFloor("tflite", 0.0, 1.0)]), "noise floor"),
        (replace(sample_report(), variants=[sample_report().variants[0]] * 2), "twice"),
        (replace(sample_report(), variants=[sample_report().variants[1]]), "expected a reference"),
        (replace(sample_report(), variants=[replace(sample_report().variants[0], format="zz")]), "expected a format"),
    ],
)
def test_what_cannot_be_is_refused(report: Report, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        check_plausible(report)
    assert "run optkit again" in str(error.value)
