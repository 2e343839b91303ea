"""Conditions are read exactly, and what is no condition is refused with what to write instead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optkit.errors import InputError
from optkit.report.compare_conditions import STATUS, UNITS, Condition, parse_conditions


def one(text: str) -> Condition:
    status, condition = parse_conditions([text])
    assert status.metric == STATUS
    return condition


@pytest.mark.parametrize(
    ("text", "metric", "op", "limit", "relative"),
    [
        ("accuracy<-0.3pt", "accuracy", "<", -0.003, False),
        ("p50>+5%", "p50", ">", 0.05, False),
        ("file_bytes>0", "file_bytes", ">", 0.0, False),
        ("file_bytes > 2 %", "file_bytes", ">", 0.02, True),
        ("gzip_bytes>1.5kB", "gzip_bytes", ">", 1500.0, False),
        ("peak_rss_bytes>2MB", "peak_rss_bytes", ">", 2e6, False),
        ("macs>+.5%", "macs", ">", 0.005, True),
        ("macs<1", "macs", "<", 1.0, False),
    ],
)
def test_conditions(text: str, metric: str, op: str, limit: float, relative: bool) -> None:
    assert one(text) == Condition(text.replace(" ", ""), metric, op, limit, relative)


def test_the_status_comes_first_and_may_be_alone() -> None:
    assert [c.metric for c in parse_conditions(["status"])] == [STATUS]
    assert [c.metric for c in parse_conditions(["p50>5%, macs>0", "p50>5%"])] == [STATUS, "p50", "macs"]
    assert parse_conditions([]) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "METRIC<VALUE"),
        ("p50>5%,", "METRIC<VALUE"),
        ("file_bytes", "in quotes"),
        ("acuracy<-1pt", "did you mean accuracy"),
        ("file_byte>0", "did you mean file_bytes"),
        ("accuracy<-0.3", "takes pt"),
        ("accuracy<-0.3%", "takes pt"),
        ("p50>100", "takes %"),
        ("p50>5pt", "takes %"),
        ("file_bytes>1pt", "takes bytes"),
        ("macs>1kB", "takes a count"),
        ("file_bytes>=0", "METRIC<VALUE"),
        ("file_bytes>1,000", "unknown metric '000'"),
        ("status<1", "METRIC<VALUE"),
        ("file_bytes>inf", "METRIC<VALUE"),
        ("file_bytes>nan", "METRIC<VALUE"),
        ("file_bytes>1e3", "METRIC<VALUE"),
        ("file_bytes>" + "9" * 400, "finite"),
        ("file_bytes>٣", "METRIC<VALUE"),
    ],
)
def test_what_is_no_condition_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as found:
        parse_conditions([text])
    assert "\n" not in str(found.value)


units = st.sampled_from([(metric, unit) for metric, known in UNITS.items() for unit in known])


@given(units, st.sampled_from("<>"), st.decimals(-(10**6), 10**6, places=3, allow_nan=False))
def test_every_unit_of_every_metric_is_read(named: tuple[str, str], op: str, value: object) -> None:
    metric, unit = named
    found = one(f"{metric}{op}{value:f}{unit.upper()}")
    factor = {"%": 0.01, "pt": 0.01, "kb": 1e3, "mb": 1e6}.get(unit, 1.0)
    assert (found.metric, found.op) == (metric, op)
    assert found.limit == pytest.approx(float(str(value)) * factor, rel=1e-12)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_conditions([text])
    except InputError:
        return
    assert text.split(",")
