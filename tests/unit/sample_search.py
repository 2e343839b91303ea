"""A made-up search for a file within limits, for tests of what is written about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from sample_report import sample_report

from optkit.search_record import Limit, SearchRecord, Standing, TriedFile

if TYPE_CHECKING:
    from optkit.schema import Report

LIMITS = [
    Limit("drop", "0.5pt", 0.005, "fraction", "upper end of the drop's interval"),
    Limit("size", "20KiB", 20_480.0, "bytes", "bytes of the file"),
    Limit("latency", "100us", 100.0, "us", "p50 of a call"),
]


def tried(name: str, size: int, drop: float, p50_us: float, **changed: object) -> TriedFile:
    """A file with its standings."""
    high = drop + 0.002
    held = {"drop": high, "size": float(size), "latency": p50_us * 1.1}
    standings = [
        Standing(one.name, held[one.name], held[one.name] / one.limit, held[one.name] <= one.limit) for one in LIMITS
    ]
    made = TriedFile(
        name,
        "tflite",
        f"shrink:parameters=0.{size}+int8",
        "amounts",
        "within" if all(one.met for one in standings) else "beyond",
        path=f"artifacts/{name}.tflite",
        file_bytes=size,
        drop=drop,
        drop_ci95=(drop - 0.002, high),
        correct=4_900,
        p50_us=p50_us,
        p50_ci95_us=(p50_us * 0.9, p50_us * 1.1),
        standings=standings,
    )
    return msgspec.structs.replace(made, **changed)


def sample_search(*, met: bool = True, **changed: object) -> SearchRecord:
    """Some files of which one is delivered."""
    trials = [
        tried("int8", 451_000, 0.0, 40.0, on_front=True),
        tried("shrink-0.05+int8", 18_000, 0.001, 9.0, on_front=True) if met else tried("near", 21_000, 0.001, 9.0),
        tried("shrink-0.01+int8", 6_000, 0.2, 4.0, on_front=True),
        tried("bad", 5_000, 0.0, 4.0, state="failed", reason="parity: observed 0.5, limit 0.01"),
        TriedFile("qat+int8", "tflite", "qat+int8", "int8 training", "not made", reason="needs training"),
    ]
    record = SearchRecord(
        limits=LIMITS,
        prefer="size",
        validation=5_000,
        smallest_drop=0.0012,
        evidence="5,000 validation examples can show a drop of 0.12 points or more",
        cpu_model="Synthetic CPU 9000",
        trials=trials,
        delivered=trials[1].name,
        delivered_format="tflite",
        met=met,
        missed=[] if met else ["size: 21,000 bytes, 520 bytes over the limit of 20KiB (1.03 times it)"],
        rule="Of the 3 files, 1 is within all limits.",
        stopped="the time of 600 s is up",
        seconds=605.0,
    )
    return msgspec.structs.replace(record, **changed)


def searched_report(record: SearchRecord | None = None) -> Report:
    """The sample report as one that a search has led to."""
    return msgspec.structs.replace(sample_report(), search=sample_search() if record is None else record)
