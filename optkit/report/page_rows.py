"""What the page says about each file: the cells of its table row and the parts of its details."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optkit.report import chart_bytes, wording
from optkit.report.reference import baseline_of

if TYPE_CHECKING:
    from optkit.schema import Report, Variant, Verdict

_CLASSES: dict[Verdict, str] = {"better": "good", "worse": "bad", "no measurable difference": "same"}

# A file's own flips in its details; all of the chosen file's (at most 200) stand in their own section.
_FLIPS_IN_DETAILS = 24


@dataclass(frozen=True)
class Cell:
    """A cell of the table: the figure, its doubt below, a key to sort by (empty: not measured)."""

    main: str
    below: str = ""
    key: str = ""
    tone: str = ""


@dataclass(frozen=True)
class FlipPicture:
    """An image whose answer changed; ``picture`` is the id of its symbol, or empty."""

    index: int
    words: str
    kind: str
    picture: str


@dataclass(frozen=True)
class Row:
    """A file on the page; ``anchor`` is the id of its details."""

    anchor: str
    name: str
    format: str
    file: str
    chosen: bool
    on_front: bool
    failed: bool
    cells: tuple[Cell, ...]
    variant: Variant
    summary: str
    recipe: tuple[tuple[str, str], ...]
    bytes_by_kind: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]
    flips: tuple[FlipPicture, ...]
    flips_left_out: int


HEADERS = (
    ("Accuracy", "test set, 95 %"),
    ("Against fp32", "test images"),
    ("File", "bytes"),
    ("Compressed", "gzip, bytes"),
    ("Time per call", "p50"),
    ("Speed", "against fp32, 95 %"),
    ("Memory", "peak, approximate"),
    ("Checks", "passed"),
)


def rows(report: Report) -> list[Row]:
    """All files of the report, in its order."""
    return [_row(report, index, variant) for index, variant in enumerate(report.variants)]


def _row(report: Report, index: int, variant: Variant) -> Row:
    baseline = baseline_of(report.variants, variant.format)
    choice = report.recommendation
    return Row(
        anchor=f"file-{index}",
        name=variant.name,
        format=variant.format,
        file=wording.file_name(variant.name, variant.format),
        chosen=choice is not None and (choice.variant, choice.format) == (variant.name, variant.format),
        on_front=any((p.variant, p.format) == (variant.name, variant.format) for p in report.pareto),
        failed=variant.status == "failed",
        cells=_cells(variant, baseline),
        variant=variant,
        summary=_summary(variant, baseline),
        recipe=tuple(
            (step.name, ", ".join(f"{key} = {value}" for key, value in sorted(step.params.items())))
            for step in variant.recipe.steps
        ),
        bytes_by_kind=tuple(
            (chart_bytes.words(kind), wording.count(number))
            for kind, number in ({} if variant.size is None else variant.size.bytes_by_kind).items()
        ),
        facts=_facts(variant),
        flips=flip_pictures(report, variant, at_most=_FLIPS_IN_DETAILS),
        flips_left_out=max(0, len(variant.flips) - _FLIPS_IN_DETAILS),
    )


def _summary(variant: Variant, baseline: Variant | None) -> str:
    if variant.status == "failed":
        return "failed"
    if baseline is variant:
        return "the reference of its format"
    return wording.cost(variant, baseline)


def _cells(variant: Variant, baseline: Variant | None) -> tuple[Cell, ...]:
    return (
        _accuracy(variant),
        _against(variant),
        _size(variant, baseline, gzip=False),
        _size(variant, baseline, gzip=True),
        _time(variant),
        _speed(variant),
        _memory(variant),
        _checks(variant),
    )


def _accuracy(variant: Variant) -> Cell:
    value = variant.accuracy
    if value is None:
        return Cell(wording.MISSING)
    return Cell(wording.percent(value.top1), wording.percent_interval(value.ci95), f"{value.top1:.8f}")


def _against(variant: Variant) -> Cell:
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
    return Cell(wording.microseconds(value.p50_us), "", f"{value.p50_us:.4f}")


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


def _facts(variant: Variant) -> tuple[tuple[str, str], ...]:
    """Figures that have no column of their own."""
    facts: list[tuple[str, str]] = [("Path", variant.path), ("SHA-256", variant.sha256 or wording.MISSING)]
    facts.append(("Runtime", variant.runtime))
    if variant.size is not None:
        zero = 1 - variant.size.nonzero_parameters / max(1, variant.size.parameters)
        facts.append(("Parameters", f"{variant.size.parameters:,}, {wording.percent(zero, decimals=1)} of them zero"))
    if variant.compute is not None:
        facts.append(("Multiply-accumulates per call", wording.count(variant.compute.macs)))
    if variant.accuracy_validation is not None:
        value = variant.accuracy_validation
        verdict = "" if value.versus_baseline is None else f", {value.versus_baseline.verdict} against fp32"
        facts.append(("Validation accuracy", f"{value.correct:,} of {value.total:,}{verdict}"))
    if variant.accuracy is not None and variant.accuracy.versus_control is not None:
        control = variant.accuracy.versus_control
        words = f"{wording.flips(control, variant.accuracy.total)}: {control.verdict}"
        facts.append(("Against the control, which trained as long", words))
    if variant.parity is not None:
        facts.append(("Parity", _parity(variant)))
    facts += _latency_facts(variant)
    return tuple(facts)


def _parity(variant: Variant) -> str:
    parity = variant.parity
    if parity is None:
        return wording.MISSING
    steps = "" if parity.max_error_steps is None else f" ({parity.max_error_steps:g} steps of the output's scale)"
    passed = "passed" if parity.passed else "failed"
    return (
        f"{passed}: same answer as {parity.reference} on {wording.percent(parity.top1_agreement)} of "
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
        ("Before the first answer", f"load {value.load_ms:.2f} ms, first call {value.first_ms:.2f} ms"),
    ]


def flip_pictures(report: Report, variant: Variant, *, at_most: int) -> tuple[FlipPicture, ...]:
    """The first flips, each with what it was, what it is now, and what it should be."""
    found = []
    for flip in variant.flips[:at_most]:
        kind = "lost" if flip.baseline == flip.label else "gained" if flip.answer == flip.label else "both wrong"
        words = f"label {flip.label}: {flip.baseline} → {flip.answer}"
        symbol = f"picture-{flip.index}" if str(flip.index) in report.pictures else ""
        found.append(FlipPicture(flip.index, words, kind, symbol))
    return tuple(found)
