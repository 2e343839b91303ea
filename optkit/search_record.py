"""What a search for a file within limits leaves in report.json: the limits, every file tried, and what was delivered.

Part of report.json, see ``optkit.schema``.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

LimitName = Literal["drop", "size", "latency"]


class Limit(Struct, frozen=True):
    """One limit.

    ``words`` is what the user wrote. ``limit`` is in ``unit``: a fraction for a drop (of accuracy for classes, of
    fp32's mean absolute error for values), bytes for a size, µs for a latency. ``what`` says what is held against it.
    """

    name: LimitName
    words: str
    limit: float
    unit: Literal["fraction", "bytes", "us"]
    what: str


class Standing(Struct, frozen=True):
    """How a file stands to one limit: ``factor`` is what is held against the limit over the limit; over 1 is beyond it.

    ``None`` where it was not measured, which is not met.
    """

    name: LimitName
    held: float | None
    factor: float | None
    met: bool


class TriedFile(Struct, frozen=True):
    """One file of the search, judged on validation data alone.

    ``recipe`` is as it is given on the command line. ``drop`` is fp32's accuracy less this file's, as a fraction (for
    values: the rise of the mean absolute error over fp32's), with its 95 % interval from the paired answers;
    ``None`` for a file without answers. ``p50_us`` is ``None`` where no limit and no preference is about it.
    ``state``: ``within`` all limits, ``beyond`` one, ``failed`` a check, or ``not made``; ``reason`` says why.
    """

    name: str
    format: str
    recipe: str
    stage: str
    state: Literal["within", "beyond", "failed", "not made"]
    path: str | None = None
    file_bytes: int | None = None
    drop: float | None = None
    drop_ci95: tuple[float, float] | None = None
    correct: int | None = None
    mean_absolute_error: float | None = None
    p50_us: float | None = None
    p50_ci95_us: tuple[float, float] | None = None
    standings: list[Standing] = []
    on_front: bool = False
    reason: str = ""


class SearchRecord(Struct, frozen=True):
    """A search for the best file within limits.

    ``smallest_drop`` is the smallest limit that ``validation`` examples can show (``None`` for values, of which it is
    not known beforehand), ``evidence`` says so in words. ``delivered`` and ``delivered_format`` name the file that
    ``rule`` chose; it is within all limits where ``met``. ``missed`` says of each limit that it is beyond by how much.
    ``cpu_model`` is the processor that a limit on latency is about, that of ``latency_node`` (``None`` for the machine
    that the search ran on). ``engine`` says where trials ran. ``stopped`` says why the search ended.
    """

    limits: list[Limit]
    prefer: Literal["size", "latency", "accuracy"]
    validation: int
    smallest_drop: float | None
    evidence: str
    cpu_model: str
    trials: list[TriedFile]
    delivered: str | None
    delivered_format: str | None
    met: bool
    missed: list[str]
    rule: str
    stopped: str
    seconds: float
    latency_node: str | None = None
    engine: list[str] = []
