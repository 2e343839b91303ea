"""What a machine tells while it is measured, and when that is called throttling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from optkit.device.sensors import Watch, reading, throttling

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, values: dict[str, str]) -> None:
    for name, text in values.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{text}\n", encoding="utf-8")


def test_a_board_is_read(tmp_path: Path) -> None:
    cores = "sys/devices/system/cpu"
    write(
        tmp_path,
        {
            "sys/class/thermal/thermal_zone0/temp": "48312",
            "sys/class/thermal/thermal_zone1/temp": "61200",
            f"{cores}/cpu0/cpufreq/scaling_cur_freq": "2400000",
            f"{cores}/cpu1/cpufreq/scaling_cur_freq": "1500000",
            f"{cores}/cpu0/cpufreq/scaling_max_freq": "2400000",
            f"{cores}/cpu0/thermal_throttle/core_throttle_count": "7",
            "meminfo": "MemTotal:  4000 kB\nMemAvailable:   1000 kB",
        },
    )
    found = reading(tmp_path / "sys", tmp_path / "meminfo")
    assert found == {
        "temperature_c": 61.2,
        "clock_mhz": 1500.0,
        "clock_limit_mhz": 2400.0,
        "throttle_count": 7.0,
        "memory_available_bytes": 1_024_000.0,
    }
    write(tmp_path, {"sys/class/thermal/thermal_zone1/temp": "no number"})
    assert reading(tmp_path / "sys", tmp_path / "meminfo")["temperature_c"] == 48.312
    assert set(reading(tmp_path / "none", tmp_path / "none").values()) == {None}


def course(clocks: list[float], heat: list[float] | None = None, **more: list[float]) -> list[dict[str, float | None]]:
    columns: dict[str, list[float]] = {"clock_mhz": clocks, **({"temperature_c": heat} if heat else {}), **more}
    return [{name: values[at] for name, values in columns.items()} for at in range(len(clocks))]


@pytest.mark.parametrize(
    ("readings", "words"),
    [
        (course([2400, 2400, 1500, 1500], [50, 60, 80, 82]), "from 2400 to 1500 MHz, while it warmed from 50 to 82 °C"),
        (course([2400, 2400], throttle_count=[3, 5]), "slowed itself 2 times"),
        (course([2400, 2400, 2400], clock_limit_mhz=[2400, 1800, 1800]), "may have fell from 2400 to 1800 MHz"),
    ],
)
def test_throttling_is_named(readings: list[dict[str, float | None]], words: str) -> None:
    assert words in (throttling(readings) or "")


@pytest.mark.parametrize(
    "readings",
    [
        [],
        course([2400]),
        course([2400, 2300, 2350, 2300], [50, 60, 70, 72]),
        # An idle machine's clock rises when the work begins, and its governor moves it without any heat.
        course([600, 2400, 2400, 2400], [50, 60, 70, 72]),
        course([2400, 2400, 1500, 2400], [50, 50, 51, 50]),
        [{"clock_mhz": None, "temperature_c": None}] * 4,
    ],
)
def test_what_is_no_throttling_is_not(readings: list[dict[str, float | None]]) -> None:
    assert throttling(readings) is None


def test_a_watch_reads_at_its_start_and_its_end() -> None:
    with Watch() as readings:
        assert len(readings) == 1
    assert len(readings) == 2
    assert readings[0]["seconds"] < readings[1]["seconds"]
    assert (readings[0]["memory_available_bytes"] or 0) > 2**20
