"""Two reports held against each other: pairs of files, what changed, and which conditions that breaks.

Nothing is measured here and nothing averaged: what cannot be known from the two reports is said to be so.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct

from optkit.environment import sums_may_saturate
from optkit.report import method
from optkit.report.compare_changes import Change, Remeasured, changes, same_file
from optkit.report.compare_conditions import STATUS, Condition
from optkit.schema import Environment, Interval, Speedup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optkit.schema import Report, Variant

Outcome = Literal["broken", "fine", "in doubt", "cannot be judged"]
UNDECIDED: tuple[Outcome, ...] = ("in doubt", "cannot be judged")


class Side(Struct, frozen=True):
    """Where one of the two reports is from."""

    path: str
    created: str
    optkit_version: str
    data: str | None


class Difference(Struct, frozen=True):
    """Something about the machine, the packages or the data that is not the same in both reports."""

    what: str
    old: str
    new: str


class Figures(Struct, frozen=True):
    """What one report says about a file; ``None`` for what was not measured."""

    status: Literal["ok", "failed"]
    sha256: str | None
    top1: float | None
    correct: int | None
    total: int | None
    file_bytes: int | None
    gzip_bytes: int | None
    macs: int | None
    p50_us: float | None
    threads: int | None
    batch: int | None
    speedup: Speedup | None
    is_baseline: bool
    peak_rss_bytes: int | None
    mae: float | None = None


class Pair(Struct, frozen=True):
    """A file that is in both reports; ``changes`` by metric."""

    name: str
    format: str
    same_file: bool
    old: Figures
    new: Figures
    changes: dict[str, Change]
    remeasured: Remeasured | None = None


class Alone(Struct, frozen=True):
    """A file that is in one report only; ``reason`` is why the other one has none, where it says so."""

    name: str
    format: str
    status: Literal["ok", "failed"]
    reason: str


class Judgement(Struct, frozen=True):
    """What became of a condition for one file.

    Attributes:
        condition: As the user wrote it.
        metric: Key of the pair's ``changes``, or ``status``.
        name: Of the file.
        format: Of the file.
        outcome: ``broken`` means beyond doubt: the whole interval is beyond the limit.
        reason: Why it cannot be judged, or what happened to the file.
        note: What the condition asks that the measurement cannot show.
    """

    condition: str
    metric: str
    name: str
    format: str
    outcome: Outcome
    reason: str = ""
    note: str = ""


class ReportComparison(Struct, frozen=True):
    """What ``optkit compare --json`` writes, version 1.

    ``measured_in`` is the environment of ``--remeasure``. ``exit_code`` is 1 when a condition is broken, or with
    ``strict`` when one is in doubt or cannot be judged; otherwise 0.
    """

    compare_version: int
    old: Side
    new: Side
    differences: list[Difference]
    pairs: list[Pair]
    only_old: list[Alone]
    only_new: list[Alone]
    conditions: list[Condition]
    judgements: list[Judgement]
    warnings: list[str]
    strict: bool
    exit_code: int
    environment: Environment
    measured_in: Environment | None = None


def compare_reports(
    old: Report,
    new: Report,
    *,
    paths: tuple[str, str] = ("", ""),
    conditions: Sequence[Condition] = (),
    remeasured: Mapping[tuple[str, str], Remeasured] | None = None,
    measured_in: Environment | None = None,
    warnings: Sequence[str] = (),
    strict: bool = False,
) -> ReportComparison:
    """Hold two reports side by side and judge every condition for every file.

    Args:
        old: The report that is compared with.
        new: The report that is judged.
        paths: Where the two are from, for the reader.
        conditions: Of ``parse_conditions``.
        remeasured: Files measured again, by (name, format).
        measured_in: The machine that measured them.
        warnings: What makes those figures less sure.
        strict: Whether what is in doubt or cannot be judged counts as broken.
    """
    again = remeasured or {}
    known = {(variant.name, variant.format): variant for variant in new.variants}
    before = {(variant.name, variant.format) for variant in old.variants}
    pairs = []
    for variant in old.variants:
        key = variant.name, variant.format
        if key in known:
            found = changes(variant, known[key], old, new, again.get(key))
            same = same_file(variant, known[key])
            pairs.append(Pair(*key, same, _figures(variant), _figures(known[key]), found, again.get(key)))
    only_old = [_alone(variant, new) for variant in old.variants if (variant.name, variant.format) not in known]
    only_new = [_alone(variant, old) for variant in new.variants if (variant.name, variant.format) not in before]
    failures = {key: "; ".join(variant.failures) for key, variant in known.items()}
    judgements = [
        judgement
        for condition in conditions
        for judgement in (
            _statuses(pairs, only_old, failures)
            if condition.metric == STATUS
            else [_judge(condition, pair) for pair in pairs if not _newly_failed(pair)]
        )
    ]
    failing = ("broken", *(UNDECIDED if strict else ()))
    return ReportComparison(
        compare_version=1,
        old=_side(old, paths[0]),
        new=_side(new, paths[1]),
        differences=_differences(old, new),
        pairs=pairs,
        only_old=only_old,
        only_new=only_new,
        conditions=list(conditions),
        judgements=judgements,
        warnings=[*saturation_warnings(old, new), *warnings],
        strict=strict,
        exit_code=int(any(judgement.outcome in failing for judgement in judgements)),
        environment=new.environment,
        measured_in=measured_in,
    )


def to_json(comparison: ReportComparison) -> bytes:
    """The comparison for programs: sorted keys, two spaces of indent, UTF-8, a newline at the end."""
    plain = msgspec.to_builtins(comparison)
    return (json.dumps(plain, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _side(report: Report, path: str) -> Side:
    data = None if report.data is None else f"{report.data.name}, {report.data.test:,} test images"
    return Side(path, report.created, report.optkit_version, data)


def _figures(variant: Variant) -> Figures:
    size, accuracy, latency = variant.size, variant.accuracy, variant.latency
    return Figures(
        status=variant.status,
        sha256=variant.sha256,
        top1=None if accuracy is None else accuracy.top1,
        correct=None if accuracy is None else accuracy.correct,
        total=None if accuracy is None else accuracy.total,
        file_bytes=None if size is None else size.file_bytes,
        gzip_bytes=None if size is None else size.gzip_bytes,
        macs=None if variant.compute is None else variant.compute.macs,
        p50_us=None if latency is None else latency.p50_us,
        threads=None if latency is None else latency.threads,
        batch=None if latency is None else latency.batch,
        speedup=None if latency is None else latency.speedup,
        is_baseline=variant.is_baseline,
        peak_rss_bytes=None if variant.memory is None else variant.memory.peak_rss_bytes,
        mae=None if variant.errors is None else variant.errors.mae,
    )


def _alone(variant: Variant, other: Report) -> Alone:
    skipped = (skip.reason for skip in other.skipped if (skip.name, skip.format) == (variant.name, variant.format))
    return Alone(variant.name, variant.format, variant.status, next(skipped, ""))


def _differences(old: Report, new: Report) -> list[Difference]:
    """What is not the same around the figures: the processor, the system, packages, and the data."""
    one, two = old.environment, new.environment
    seen = [
        ("processor", one.cpu_model, two.cpu_model),
        ("instructions", *_flags(one, two)),
        ("cores", str(one.cores), str(two.cores)),
        ("system", one.os, two.os),
        ("Python", one.python, two.python),
        *(
            (package, one.packages.get(package, "none"), two.packages.get(package, "none"))
            for package in sorted(one.packages.keys() | two.packages.keys())
        ),
        ("data", _data(old), _data(new)),
        *_meanings(old, new),
    ]
    return [Difference(*row) for row in seen if row[1] != row[2]]


def _meanings(old: Report, new: Report) -> list[tuple[str, str, str]]:
    """What inputs and outputs stand for, where both reports say so."""
    rows = []
    if old.task is not None and new.task is not None:
        meant = [f"{one.kind}, {one.size} {one.outputs}" for one in (old.task, new.task)]
        rows.append(("task", meant[0], meant[1]))
    given = [None if report.data is None else report.data.preprocessing for report in (old, new)]
    if given[0] is not None and given[1] is not None:
        rows.append(("inputs", method.preprocessing(given[0]), method.preprocessing(given[1])))
    return rows


def saturation_warnings(old: Report, new: Report) -> list[str]:
    """Why int8 ONNX files may answer otherwise on the two machines; none where both are of one kind."""
    has_onnx = any(variant.format == "onnx" for variant in new.variants)
    if not has_onnx or sums_may_saturate(old.environment) == sums_may_saturate(new.environment):
        return []
    return [
        (
            "one of the two processors has VNNI instructions and the other has not, where ONNX Runtime's sums of int8 "
            "products may saturate: int8 ONNX files may answer differently (optkit compress --reduce-range avoids it)"
        )
    ]


def _flags(old: Environment, new: Environment) -> tuple[str, str]:
    """The instructions that only one of the two processors has."""
    one, two = set(old.cpu_flags), set(new.cpu_flags)
    return " ".join(sorted(one - two)) or "none more", " ".join(sorted(two - one)) or "none more"


def _data(report: Report) -> str:
    if report.data is None:
        return "none"
    return f"{report.data.name} ({report.data.sha256[:8]}…), {report.data.test:,} test images"


def _newly_failed(pair: Pair) -> bool:
    return pair.old.status == "ok" and pair.new.status == "failed"


def _statuses(
    pairs: Sequence[Pair], only_old: Sequence[Alone], failures: Mapping[tuple[str, str], str]
) -> list[Judgement]:
    found = []
    for pair in pairs:
        broken = _newly_failed(pair)
        why = f"was ok and has failed: {failures[pair.name, pair.format] or 'no reason given'}" if broken else ""
        outcome: Outcome = "broken" if broken else "fine"
        found.append(Judgement(STATUS, STATUS, pair.name, pair.format, outcome, why))
    for alone in only_old:
        if alone.status == "ok":
            why = "was ok and is gone" + (f": {alone.reason}" if alone.reason else "")
            found.append(Judgement(STATUS, STATUS, alone.name, alone.format, "broken", why))
    return found


def _judge(condition: Condition, pair: Pair) -> Judgement:
    """Broken only when the whole interval is beyond the limit; fine when the estimate itself is not."""

    def judged(outcome: Outcome, reason: str = "", note: str = "") -> Judgement:
        return Judgement(condition.text, condition.metric, pair.name, pair.format, outcome, reason, note)

    change = pair.changes[condition.metric]
    if change.value is None:
        return judged("cannot be judged", change.how)
    scale = 1.0
    if condition.relative:
        if not change.old:
            return judged("cannot be judged", "the old figure is 0, so that there is no percentage of it")
        scale = change.old
    note = _noise_note(condition, change)
    bounds = [bound / scale for bound in change.ci95 or (change.value, change.value)]
    if not _beyond(condition, change.value / scale):
        return judged("fine", note=note)
    if not all(_beyond(condition, bound) for bound in bounds):
        return judged("in doubt", "the interval reaches within the limit", note)
    if change.ci95 is not None and _inside(change.ci95, change.noise):
        return judged("in doubt", "it lies within the noise floor", note)
    return judged("broken", note=note)


def _beyond(condition: Condition, value: float) -> bool:
    return value < condition.limit if condition.op == "<" else value > condition.limit


def _inside(interval: Interval, noise: Interval | None) -> bool:
    return noise is not None and noise[0] <= interval[0] and interval[1] <= noise[1]


def _noise_note(condition: Condition, change: Change) -> str:
    """Say so when the limit asks for more than the machine could tell apart."""
    if change.noise is None:
        return ""
    reach = change.noise[0] if condition.op == "<" else change.noise[1]
    if abs(reach) <= abs(condition.limit):
        return ""
    return f"the noise floor ({100 * reach:+.1f} %) is wider than the limit: a change that small cannot be told"
