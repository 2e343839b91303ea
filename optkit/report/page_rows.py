"""What the page says about each file: the cells of its table row and the parts of its details."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optkit.report import chart_bytes, method, quality, wording
from optkit.report.page_operators import operator_rows
from optkit.report.page_quality import quality_facts
from optkit.report.reference import BASELINE_NAME, baseline_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optkit.report.page_operators import OperatorRow
    from optkit.schema import Report, Variant, Verdict

_CLASSES: dict[Verdict, str] = {"better": "good", "worse": "bad", "no measurable difference": "same"}

# A file's own flips in its details; all of the chosen file's (at most 200) stand in their own section.
_FLIPS_IN_DETAILS = 24


@dataclass(frozen=True)
class Cell:
    """A cell of the table: the figure, its doubt below, a key to sort by (empty: not measured).

    ``doubts`` are sentences on why the figure is less sure than it looks.
    """

    main: str
    below: str = ""
    key: str = ""
    tone: str = ""
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class FlipPicture:
    """An image whose answer changed; ``picture`` is the id of its symbol, or empty."""

    index: int
    words: str
    kind: str
    picture: str


@dataclass(frozen=True)
class Row:
    """A file on the page; ``anchor`` is the id of its details, ``cells`` are by the names of ``columns``."""

    anchor: str
    name: str
    format: str
    file: str
    chosen: bool
    on_front: bool
    failed: bool
    origin: str
    cells: Mapping[str, Cell]
    variant: Variant
    summary: str
    recipe: tuple[tuple[str, str], ...]
    bytes_by_kind: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]
    operators: tuple[OperatorRow, ...]
    operators_left_out: str
    profiled: bool
    flips: tuple[FlipPicture, ...]
    flips_left_out: int


def columns(report: Report, shown: Sequence[Row]) -> list[tuple[str, str, str]]:
    """(name, heading, unit) of the columns, without those on accuracy, memory and checks that no file has."""
    held_against = wording.reference(report.variants)
    values = quality.of_values(report.variants)
    found = [
        ("accuracy", "Mean error" if values else "Accuracy", f"{'absolute, ' if values else ''}test set, 95 %"),
        ("against", f"Against {held_against}", "test examples" if values else "test images"),
        ("size", "Size", "bytes"),
        ("gzip", "Compressed", "gzip, bytes"),
        ("time", "Time per call", "p50"),
        ("speed", "Speed", f"against {held_against}, 95 %"),
        ("memory", "Memory", "peak, approximate"),
        ("checks", "Checks", "passed"),
    ]
    always = {"size", "gzip", "time", "speed"}
    return [column for column in found if column[0] in always or any(row.cells[column[0]].key for row in shown)]


def rows(report: Report) -> list[Row]:
    """All files of the report, in its order."""
    return [_row(report, index, variant) for index, variant in enumerate(report.variants)]


def _row(report: Report, index: int, variant: Variant) -> Row:
    baseline = baseline_of(report.variants, variant.format)
    choice = report.recommendation
    operators, left_out = operator_rows(variant, files=len(report.variants))
    return Row(
        anchor=f"file-{index}",
        name=variant.name,
        format=variant.format,
        file=wording.file_name(variant.name, variant.format),
        chosen=choice is not None and (choice.variant, choice.format) == (variant.name, variant.format),
        on_front=any((p.variant, p.format) == (variant.name, variant.format) for p in report.pareto),
        failed=variant.status == "failed",
        origin="the reference" if variant is baseline and variant.name != BASELINE_NAME else "",
        cells=_cells(variant, baseline),
        variant=variant,
        summary=_summary(variant, baseline, with_accuracy=quality.any_tested(report.variants)),
        recipe=tuple(
            (step.name, ", ".join(f"{key} = {value}" for key, value in sorted(step.params.items())))
            for step in (() if variant.recipe is None else variant.recipe.steps)
        ),
        bytes_by_kind=_bytes_by_kind(variant),
        facts=_facts(variant, wording.reference(report.variants)),
        operators=operators,
        operators_left_out=left_out,
        profiled=any(operator.percent is not None for operator in operators),
        flips=flip_pictures(report, variant, at_most=_FLIPS_IN_DETAILS),
        flips_left_out=max(0, len(variant.flips) - _FLIPS_IN_DETAILS),
    )


def _bytes_by_kind(variant: Variant) -> tuple[tuple[str, str], ...]:
    """The largest first: report.json does not keep the order in which they were counted."""
    found = {} if variant.size is None else variant.size.bytes_by_kind
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return tuple((chart_bytes.words(kind), wording.count(number)) for kind, number in ordered)


def _summary(variant: Variant, baseline: Variant | None, *, with_accuracy: bool) -> str:
    if variant.status == "failed":
        return "failed"
    if baseline is variant:
        return "the reference of its format"
    return wording.cost(variant, baseline, with_accuracy=with_accuracy)


def _cells(variant: Variant, baseline: Variant | None) -> dict[str, Cell]:
    return {
        "accuracy": _accuracy(variant),
        "against": _against(variant),
        "size": _size(variant, baseline, gzip=False),
        "gzip": _size(variant, baseline, gzip=True),
        "time": _time(variant),
        "speed": _speed(variant),
        "memory": _memory(variant),
        "checks": _checks(variant),
    }


def _accuracy(variant: Variant) -> Cell:
    value, errors = variant.accuracy, variant.errors
    if errors is not None:
        return Cell(wording.value(errors.mae), wording.value_interval(errors), f"{errors.mae:.9g}")
    if value is None:
        return Cell(wording.MISSING)
    return Cell(wording.percent(value.top1), wording.percent_interval(value.ci95), f"{value.top1:.8f}")


def _against(variant: Variant) -> Cell:
    errors = None if variant.errors is None else variant.errors.versus_baseline
    if errors is not None:
        below = f"{errors.larger:,} larger, {errors.smaller:,} smaller"
        return Cell(errors.verdict, below, f"{-errors.mae_difference:.9g}", _CLASSES[errors.verdict])
    value = None if variant.accuracy is None else variant.accuracy.versus_baseline
    if value is None:
        return Cell(wording.MISSING)
    below = f"{value.lost:,} lost, {value.gained:,} gained"
    return Cell(value.verdict, below, str(value.gained - value.lost), _CLASSES[value.verdict])


def _size(variant: Variant, baseline: Variant | None, *, gzip: bool) -> Cell:
    if variant.size is None:
        return Cell(wording.MISSING)
    number = variant.size.gzip_bytes if gzip else variant.size.file_bytes
    ratio = wording.size_ratio(variant, baseline, gzip=gzip)
    words = "" if ratio is None or variant is baseline else wording.size_words(ratio, decimals=2)
    return Cell(wording.count(number), words, str(number))


def _time(variant: Variant) -> Cell:
    value = variant.latency
    if value is None:
        return Cell(wording.MISSING)
    return Cell(wording.microseconds(value.p50_us), "", f"{value.p50_us:.4f}", doubts=tuple(value.doubts))


def _speed(variant: Variant) -> Cell:
    value = None if variant.latency is None else variant.latency.speedup
    if value is None:
        return Cell(wording.MISSING)
    words = wording.speed_verdict(value.verdict)
    return Cell(words, wording.speedup(value), f"{value.ratio:.6f}", _CLASSES[value.verdict])


def _memory(variant: Variant) -> Cell:
    if variant.memory is None:
        return Cell(wording.MISSING)
    number = variant.memory.peak_rss_bytes
    return Cell(wording.mebibytes(number), "", str(number))


def _checks(variant: Variant) -> Cell:
    if not variant.checks:
        return Cell(wording.MISSING)
    failed = sum(not check.passed for check in variant.checks)
    passed = f"{len(variant.checks) - failed} of {len(variant.checks)}"
    key = f"{1 - failed / len(variant.checks):.6f}"
    return Cell(passed, f"{failed} failed", key, "bad") if failed else Cell(passed, "", key)


def _facts(variant: Variant, held_against: str) -> tuple[tuple[str, str], ...]:
    """Figures that have no column of their own."""
    facts: list[tuple[str, str]] = [("Path", variant.path), ("SHA-256", variant.sha256 or wording.MISSING)]
    facts.append(("Runtime", variant.runtime))
    facts += _runtime_facts(variant)
    if variant.size is not None:
        zero = 1 - variant.size.nonzero_parameters / max(1, variant.size.parameters)
        facts.append(("Parameters", f"{variant.size.parameters:,}, {wording.percent(zero, decimals=1)} of them zero"))
    if variant.compute is not None:
        facts.append(("Multiply-accumulates per call", wording.count(variant.compute.macs)))
    facts += quality_facts(variant, held_against)
    if variant.parity is not None:
        facts.append(("Parity", _parity(variant)))
    facts += _latency_facts(variant)
    return tuple(facts)


def _runtime_facts(variant: Variant) -> list[tuple[str, str]]:
    value = variant.runtime_facts
    if value is None:
        return []
    return [
        ("Least version that opens it", value.least_version or "not known"),
        ("Optimization", value.optimization),
        ("Graph", method.optimized(value)),
    ]


def _parity(variant: Variant) -> str:
    parity = variant.parity
    if parity is None:
        return wording.MISSING
    same = "" if parity.top1_agreement is None else f"on {wording.percent(parity.top1_agreement)} of "
    steps = "" if parity.max_error_steps is None else f" ({parity.max_error_steps:g} steps of the output's scale)"
    passed = "passed" if parity.passed else "failed"
    return (
        f"{passed}: {'same answer as' if same else 'held against'} {parity.reference} {same or 'on '}"
        f"{parity.images:,} images, largest error {parity.max_abs_error:.3g}{steps}"
    )


def _latency_facts(variant: Variant) -> list[tuple[str, str]]:
    value = variant.latency
    if value is None:
        return []
    percentiles = [f"fastest {wording.microseconds(value.min_us)}"]
    percentiles += [
        f"{name} {wording.microseconds(figure)}" if figure is not None else f"{name} withheld: too few samples"
        for name, figure in (("p90", value.p90_us), ("p99", value.p99_us))
    ]
    if value.p50_with_conversion_us is not None:
        conversion = wording.microseconds(value.p50_with_conversion_us)
        percentiles.insert(0, f"p50 with input and output conversion {conversion}")
    return [
        ("Times", ", ".join(percentiles)),
        (
            "Measured in",
            (
                f"{value.processes} processes, {value.samples:,} samples, {value.threads} thread"
                f"{'s' if value.threads != 1 else ''}, batch {value.batch}"
            ),
        ),
        (
            "Before the first answer",
            f"load {wording.milliseconds(value.load_ms)}, first call {wording.milliseconds(value.first_ms)}",
        ),
    ]


def flip_pictures(report: Report, variant: Variant, *, at_most: int) -> tuple[FlipPicture, ...]:
    """The first flips, each with what it was, what it is now, and what it should be."""
    found = []
    names = [] if report.data is None else report.data.class_names
    for flip in variant.flips[:at_most]:
        kind = "lost" if flip.baseline == flip.label else "gained" if flip.answer == flip.label else "both wrong"
        label, before, now = (wording.class_name(names, one) for one in (flip.label, flip.baseline, flip.answer))
        words = f"label {label}: {before} → {now}"
        symbol = f"picture-{flip.index}" if str(flip.index) in report.pictures else ""
        found.append(FlipPicture(flip.index, words, kind, symbol))
    return tuple(found)
