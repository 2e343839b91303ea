"""Limits are read exactly, and refused where they can be misread or no file could be within them."""

from __future__ import annotations

from typing import Any

import pytest

from optkit.errors import InputError
from optkit.search.budget import Budget, check_task, read_budget


def read(
    formats: tuple[str, ...] = ("onnx", "tflite"), prefer: str | None = None, threads: int = 1, **given: str
) -> Budget:
    return read_budget(given, prefer=prefer, formats=formats, threads=threads)


@pytest.mark.parametrize(
    ("name", "words", "limit", "unit"),
    [
        ("max_drop", "0.5pt", 0.005, "fraction"),
        ("max_drop", " 2 pt ", 0.02, "fraction"),
        ("max_drop", "5%", 0.05, "fraction"),
        ("max_size", "20KB", 20_000, "bytes"),
        ("max_size", "20kB", 20_000, "bytes"),
        ("max_size", "20KiB", 20_480, "bytes"),
        ("max_size", "1.5MB", 1_500_000, "bytes"),
        ("max_size", "1MiB", 1_048_576, "bytes"),
        ("max_size", "4096B", 4_096, "bytes"),
        ("max_latency", "100us", 100, "us"),
        ("max_latency", "100µs", 100, "us"),
        ("max_latency", "0.5ms", 500, "us"),
        ("max_latency", ".5s", 500_000, "us"),
    ],
)
def test_an_amount_is_read(name: str, words: str, limit: float, unit: str) -> None:
    (found,) = read(**{name: words}).limits
    assert found.limit == pytest.approx(limit)
    assert found.unit == unit
    assert found.words == words.strip()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no unit of a drop": ({"max_drop": "0.5"}, "no unit"),
    "a drop of nothing": ({"max_drop": "0pt"}, "over 0"),
    "a negative drop": ({"max_drop": "-0.5pt"}, "over 0"),
    "a drop of everything": ({"max_drop": "100pt"}, "less than 100pt"),
    "a drop in bytes": ({"max_drop": "5kB"}, "the unit 'kB'"),
    "not a number": ({"max_drop": "nanpt"}, "over 0"),
    "infinite": ({"max_size": "infKB"}, "over 0"),
    "an exponent": ({"max_size": "1e3B"}, "such as 20kB"),
    "no bytes": ({"max_size": "0B"}, "over 0"),
    "negative bytes": ({"max_size": "-20KB"}, "over 0"),
    "bits": ({"max_size": "20kb"}, "the unit 'kb'"),
    "a size without a unit": ({"max_size": "20000"}, "no unit"),
    "less than one weight takes": ({"max_size": "80B"}, "no onnx or tflite file is smaller than 90 bytes"),
    "less than one weight takes in this format": ({"max_size": "300B", "formats": ("tflite",)}, "smaller than 350"),
    "no time": ({"max_latency": "0us"}, "over 0"),
    "less than a call takes": ({"max_latency": "0.01us"}, "does nothing"),
    "minutes": ({"max_latency": "1m"}, "the unit 'm'"),
    "more threads than the limit is for": ({"max_latency": "1ms", "threads": 2}, "one thread"),
    "a time without a limit": ({"time": "10m"}, "give --max-drop"),
    "no time for the search": ({"max_size": "9KB", "time": "0s"}, "over 0"),
    "the smallest whatever it answers": ({"max_size": "9KB", "prefer": "size"}, "give --max-drop"),
    "the fastest whatever it answers": ({"max_latency": "9us", "prefer": "latency"}, "give --max-drop"),
    "an unknown preference": ({"max_size": "9KB", "prefer": "beauty"}, "prefer"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused(case: str) -> None:
    given, message = REFUSED[case]
    with pytest.raises(InputError) as caught:
        read(**given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_best_depends_on_whether_answers_are_limited() -> None:
    assert read(max_drop="1pt", max_size="20KB").prefer == "size"
    assert read(max_size="20KB").prefer == "accuracy"
    assert read(max_drop="1pt", prefer="accuracy").prefer == "accuracy"
    assert not read(max_drop="1pt").times_matter
    assert read(max_drop="1pt", prefer="latency").times_matter
    assert read(max_size="9KB", max_latency="1ms").times_matter


def test_each_kind_of_answers_has_its_own_unit() -> None:
    check_task(read(max_drop="0.5pt"), values=False)
    check_task(read(max_drop="5%"), values=True)
    check_task(read(max_size="9KB"), values=True)
    with pytest.raises(InputError, match=r"percent of what\? .* such as 0\.5pt"):
        check_task(read(max_drop="0.5%"), values=False)
    with pytest.raises(InputError, match=r"values to predict, which have no accuracy.* such as 0\.5%"):
        check_task(read(max_drop="0.5pt"), values=True)
