"""The limits that a file must be within, read from the command line and refused where no file could be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from optkit.drop import amount, check_unit, is_relative, read_limit
from optkit.errors import InputError, nearest
from optkit.search_record import Limit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DROP_OPTION = "--max-drop"
PREFERENCES = ("size", "latency", "accuracy")
# A letter more or less is a factor of a thousand or of eight: bits (kb, Mb) are not taken for bytes.
BYTES = {"B": 1, "kB": 1_000, "KB": 1_000, "KiB": 1_024, "kiB": 1_024, "MB": 1_000_000, "MiB": 1_048_576}
LARGE_BYTES = {"MB": 1_000_000, "MiB": 1 << 20, "GB": 1_000_000_000, "GiB": 1 << 30}
MICROSECONDS = {"us": 1.0, "µs": 1.0, "μs": 1.0, "ms": 1_000.0, "s": 1_000_000.0}
SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
# Under the bytes of the smallest file that an exporter writes, of one weight, slimmed: tests/e2e/test_search.py makes
# it. Whatever the model is, its file is no smaller.
LEAST_BYTES = {"tflite": 350, "onnx": 90}
# A call of a function that does nothing takes that long.
LEAST_US = 0.1


class Budget(Struct, frozen=True, forbid_unknown_fields=True):
    """What is wanted.

    Attributes:
        limits: Those that were set, in the order drop, size, latency.
        prefer: What is best among files within all limits.
        seconds: Time for the search; ``None`` for as long as it takes.
        relative: Whether the limit of the drop is a share of fp32's mean absolute error (values to predict), and not
            of all examples (classes).
    """

    limits: tuple[Limit, ...]
    prefer: Literal["size", "latency", "accuracy"] = "size"
    seconds: float | None = None
    relative: bool = False

    def limit(self, name: str) -> Limit | None:
        """The limit of that name, if it was set."""
        return next((one for one in self.limits if one.name == name), None)

    @property
    def times_matter(self) -> bool:
        """Whether every file tried is timed."""
        return self.prefer == "latency" or self.limit("latency") is not None


def read_budget(given: Mapping[str, str | None], *, prefer: str | None, formats: Sequence[str], threads: int) -> Budget:
    """Limits from what the user wrote.

    Args:
        given: ``max_drop``, ``max_size``, ``max_latency`` and ``time``; ``None`` for what was not given.
        prefer: ``--prefer``. Where it was not given either, without a limit for the drop the most accurate file is
            wanted, else the smallest.
        formats: Of the files that are made.
        threads: That files are timed with.

    Raises:
        InputError: One cannot be read, no file could be within it, or they contradict each other.
    """
    limits = []
    if (words := given.get("max_drop")) is not None:
        limits.append(read_limit(DROP_OPTION, words))
    if (words := given.get("max_size")) is not None:
        limits.append(_size(words, formats))
    if (words := given.get("max_latency")) is not None:
        limits.append(_latency(words, threads))
    words = given.get("time")
    if not limits:
        raise InputError(
            f"--time {words} is the time of a search, which has limits: give --max-drop, --max-size or --max-latency"
        )
    has_drop = limits[0].name == "drop"
    if prefer is not None and prefer not in PREFERENCES:
        raise InputError(f"prefer expects one of {', '.join(PREFERENCES)}: {nearest(prefer, list(PREFERENCES))}")
    if prefer in {"size", "latency"} and not has_drop:
        best = "smallest" if prefer == "size" else "fastest"
        raise InputError(
            f"--prefer {prefer} without --max-drop asks for the {best} network whatever it answers; give --max-drop, "
            "or leave --prefer out for the most accurate one"
        )
    wanted: Literal["size", "latency", "accuracy"] = "size" if has_drop else "accuracy"
    if prefer is not None:
        wanted = prefer  # type: ignore[assignment]  # one of the three
    seconds = None if words is None else _seconds(words)
    return Budget(tuple(limits), wanted, seconds, relative=has_drop and is_relative(limits[0]))


def read_bytes(option: str, words: str, example: str) -> float:
    """Bytes of memory.

    Raises:
        InputError: It is no amount, it has no unit or another, or it is not over 0.
    """
    number, unit = amount(option, words, LARGE_BYTES, example)
    return number * LARGE_BYTES[unit]


def _size(words: str, formats: Sequence[str]) -> Limit:
    number, unit = amount("--max-size", words, BYTES, "20kB (20,000 bytes) or 20KiB (20,480)")
    limit = number * BYTES[unit]
    least = min(LEAST_BYTES.get(name, 1) for name in formats)
    if limit < least:
        raise InputError(
            f"--max-size {words} is {limit:,.10g} bytes; no {' or '.join(formats)} file is smaller than {least} bytes, "
            "with a single weight: ask for more"
        )
    return Limit("size", words.strip(), limit, "bytes", "bytes of the file")


def size_bytes(option: str, words: str) -> int:
    """A size as whole bytes, such as ``8KiB``.

    Raises:
        InputError: It is none, it has no unit or another, or it is not over 0.
    """
    number, unit = amount(option, words, BYTES, "8KiB (8,192 bytes)")
    return int(number * BYTES[unit])


def _latency(words: str, threads: int) -> Limit:
    number, unit = amount("--max-latency", words, MICROSECONDS, "100us")
    limit = number * MICROSECONDS[unit]
    if limit < LEAST_US:
        raise InputError(
            f"--max-latency {words} is less than the call of a function that does nothing takes; ask for more"
        )
    if threads != 1:
        raise InputError(f"--max-latency is for one thread, found --threads {threads}; leave out one of the two")
    what = "p50 of a call with one example and one thread, on this machine: upper end of its 95 % interval"
    return Limit("latency", words.strip(), limit, "us", what)


def _seconds(words: str) -> float:
    number, unit = amount("--time", words, SECONDS, "10m")
    return number * SECONDS[unit]


def check_task(budget: Budget, *, values: bool) -> None:
    """Refuse a drop in the unit of another kind of answers, see ``optkit.drop.check_unit``.

    Raises:
        InputError: It has the other's.
    """
    limit = budget.limit("drop")
    if limit is not None:
        check_unit(DROP_OPTION, limit, values=values)
