"""Temperature, clock and memory of a machine while it is measured, where Linux offers them, and what they say."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

SYSTEM = Path("/sys")
MEMINFO = Path("/proc/meminfo")
# Often enough to see a clock fall, seldom enough to take nothing of a core.
_SECONDS = 1.0
# A governor moves the clock by some per cent on its own.
_FALLEN = 0.9
_WARMER_C = 3.0


def reading(system: Path = SYSTEM, meminfo: Path = MEMINFO) -> dict[str, float | None]:
    """What the machine tells now; ``None`` for what it does not.

    Args:
        system: Where sysfs is.
        meminfo: The kernel's account of memory.

    Returns:
        ``temperature_c``, of the hottest zone; ``clock_mhz``, of the slowest core; ``clock_limit_mhz``, what it may
        have now; ``throttle_count``, how often the processor says that it has slowed itself;
        ``memory_available_bytes``.
    """
    cores = "devices/system/cpu/cpu[0-9]*"
    temperatures = _numbers(system, "class/thermal/thermal_zone*/temp")
    clocks = _numbers(system, f"{cores}/cpufreq/scaling_cur_freq")
    limits = _numbers(system, f"{cores}/cpufreq/scaling_max_freq")
    counts = _numbers(system, f"{cores}/thermal_throttle/core_throttle_count")
    return {
        # In thousandths of a degree, and in kHz.
        "temperature_c": max(temperatures) / 1000 if temperatures else None,
        "clock_mhz": min(clocks) / 1000 if clocks else None,
        "clock_limit_mhz": min(limits) / 1000 if limits else None,
        "throttle_count": sum(counts) if counts else None,
        "memory_available_bytes": _available(meminfo),
    }


def _numbers(system: Path, pattern: str) -> list[float]:
    found = []
    for path in sorted(system.glob(pattern)):
        try:
            found.append(float(path.read_text()))
        except (OSError, ValueError):
            continue
    return found


def _available(meminfo: Path) -> float | None:
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    text = fields.get("MemAvailable", "").split()
    return float(text[0]) * 1024 if text else None


def throttling(readings: list[dict[str, float | None]]) -> str | None:
    """How the machine slowed itself while it was measured, in words; ``None`` where nothing says so.

    Args:
        readings: In the order of time.
    """
    counts = _known(readings, "throttle_count")
    if len(counts) > 1 and counts[-1] > counts[0]:
        return f"the processor says that it slowed itself {counts[-1] - counts[0]:.0f} times while it was measured"
    for name, what in (("clock_limit_mhz", "the clock that it may have"), ("clock_mhz", "its clock")):
        clocks, heat = _known(readings, name), _known(readings, "temperature_c")
        if len(clocks) < 2 or min(clocks) >= _FALLEN * max(clocks):
            continue
        late = clocks[len(clocks) // 2 :]
        warmer = len(heat) > 1 and heat[-1] - heat[0] >= _WARMER_C
        if min(late) < _FALLEN * max(clocks) and (warmer or name == "clock_limit_mhz"):
            grew = f", while it warmed from {heat[0]:.0f} to {max(heat):.0f} °C" if warmer else ""
            return (
                f"{what} fell from {max(clocks):.0f} to {min(late):.0f} MHz{grew}: later times are of a slower machine"
            )
    return None


def _known(readings: list[dict[str, float | None]], name: str) -> list[float]:
    return [value for one in readings if (value := one.get(name)) is not None]


class Watch:
    """Reads once a second from a thread of its own, until it is left."""

    def __enter__(self) -> list[dict[str, Any]]:
        self._readings: list[dict[str, Any]] = [{"seconds": 0.0, **reading()}]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self._readings

    def _run(self) -> None:
        started = time.monotonic()
        while not self._over.wait(_SECONDS):
            self._readings.append({"seconds": round(time.monotonic() - started, 1), **reading()})

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._readings.append({"seconds": self._readings[-1]["seconds"] + _SECONDS, **reading()})
