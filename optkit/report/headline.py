"""What stands on top of a report that recommends nothing: why, and what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optkit.report import quality, wording
from optkit.report.reference import baseline_of, formats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.schema import Report, Speedup, Variant

NO_VALIDATION = "Nothing is recommended: that is decided on validation data, and there were none."


# Titles that say what a file is best in, and how a sentence says it.
_CLAIMS = {"Fastest": "the fastest", "Among the fastest": "among the fastest", "Smallest": "the smallest"}


@dataclass(frozen=True)
class Fact:
    """The best file of a format in one figure.

    Attributes:
        format: The format.
        title: What it is best in: ``Fastest``, ``Smallest``, or what was measured where there is nothing to compare.
        file: The file's name.
        figure: The figure with its unit.
        words: How it stands to the reference of its format, with the doubt; empty for the reference itself.
        sentence: All of it in one sentence.
    """

    format: str
    title: str
    file: str
    figure: str
    words: str
    sentence: str


def reason(report: Report) -> str:
    """Why nothing is recommended, in one sentence."""
    if report.variants and all(quality.validated(variant) is None for variant in report.variants):
        return NO_VALIDATION
    values = quality.of_values(report.variants)
    measured = "mean absolute error on validation data that is not larger" if values else ""
    measured = measured or "accuracy on validation data that is not worse"
    return (
        f"No file is recommended: none passed all checks with a measured {measured} "
        f"than that of {wording.reference_file(report.variants)}."
    )


def facts(report: Report) -> list[Fact]:
    """The fastest and the smallest file of each format, for reports whose choice had no data to stand on.

    Empty where there were validation data (then nothing passed, which must not look like a result), and where neither
    times nor sizes were measured.
    """
    if any(quality.validated(variant) is not None for variant in report.variants):
        return []
    found = []
    for file_format in formats(report.variants):
        written = [v for v in report.variants if v.format == file_format and v.status == "ok"]
        baseline = baseline_of(report.variants, file_format)
        found += [fact for fact in (_fastest(written, baseline), _smallest(written, baseline)) if fact is not None]
    return found


def headings(found: Sequence[Fact]) -> list[tuple[str, ...]]:
    """The facts as short sentences, one for each format: parts of which every second one is to be stressed."""
    lines: list[tuple[str, ...]] = []
    for file_format in dict.fromkeys(fact.format for fact in found):
        same = [fact for fact in found if fact.format == file_format]
        claims = [fact for fact in same if fact.title in _CLAIMS]
        if len(claims) == 2:
            first, second = claims
            speed = _CLAIMS[first.title]
            if first.file == second.file:
                lines.append(("", first.file, f" is {speed} and the smallest"))
            else:
                lines.append(("", first.file, f" is {speed}, ", second.file, " the smallest"))
        elif claims:
            lines.append(("", claims[0].file, f" is {_CLAIMS[claims[0].title]}"))
        else:
            a_call = " a call" if same[0].title in {"Time", "Lowest p50"} else ""
            lines.append(("", same[0].file, ": ", f"{same[0].figure}{a_call}"))
    return lines


def _fastest(written: Sequence[Variant], baseline: Variant | None) -> Fact | None:
    timed = [(variant.latency.p50_us, variant) for variant in written if variant.latency is not None]
    if not timed:
        return None
    p50_us, best = min(timed, key=lambda item: item[0])
    file, figure = _file(best), wording.microseconds(p50_us)
    if len(timed) == 1:
        return Fact(best.format, "Time", file, figure, "", f"{file} takes {figure} a call")
    speedup = None if best.latency is None else best.latency.speedup
    if speedup is None and best is not baseline:
        return Fact(best.format, "Lowest p50", file, figure, "", f"{file} has the lowest p50: {figure} a call")
    if speedup is not None and speedup.verdict != "better":
        # The order of two files that cannot be told apart is chance.
        verdict = "measurably slower than" if speedup.verdict == "worse" else "no measurable difference from"
        words = f"{verdict} the reference by paired blocks ({wording.speedup(speedup)})"
        sentence = f"no file is measurably faster than {'the reference' if baseline is None else _file(baseline)}"
        return Fact(best.format, "Lowest p50", file, figure, words, sentence)
    words = "the reference" if speedup is None else f"{wording.speedup(speedup)} faster than the reference"
    close = [_file(other) for _, other in timed if other is not best and _near(other, speedup)]
    doubt = f"; too close to tell apart from it: {wording.listed(close)}" if close else ""
    doubt += "; its times are in doubt, see the notes" if best.latency is not None and best.latency.doubts else ""
    title = "Among the fastest" if close else "Fastest"
    sentence = f"{file} is {_CLAIMS[title]}: {figure} a call, {words}{_accuracy(best)}{doubt}"
    return Fact(best.format, title, file, figure, f"{words}{doubt}", sentence)


def _near(other: Variant, fastest: Speedup | None) -> bool:
    """Whether a claim on the order of a file and the fastest one (``None``: the reference itself) would not hold."""
    speedup = None if other.latency is None else other.latency.speedup
    if speedup is None:
        return False
    return speedup.verdict != "worse" if fastest is None else speedup.ci95[1] >= fastest.ci95[0]


def _smallest(written: Sequence[Variant], baseline: Variant | None) -> Fact | None:
    sized = [(variant.size.file_bytes, variant) for variant in written if variant.size is not None]
    if not sized:
        return None
    file_bytes, best = min(sized, key=lambda item: item[0])
    file, figure = _file(best), f"{file_bytes:,} B"
    if len(sized) == 1:
        return Fact(best.format, "Size", file, figure, "", f"{file} has {file_bytes:,} bytes")
    ratio = wording.size_ratio(best, baseline)
    if best is baseline or ratio is None:
        words = "the reference" if best is baseline else "not held against a reference"
    else:
        size = wording.size_words(ratio)
        words = f"{size} {'as' if 'same' in size else 'than'} the reference"
    sentence = f"{file} is the smallest: {file_bytes:,} bytes, {words}{_accuracy(best)}"
    return Fact(best.format, "Smallest", file, figure, words, sentence)


def _accuracy(variant: Variant) -> str:
    """What the claim costs, where that was measured."""
    measured = quality.tested(variant)
    if measured is None or measured.versus_baseline is None:
        return ""
    return f", {wording.quality_clause(variant)}"


def _file(variant: Variant) -> str:
    return wording.file_name(variant.name, variant.format)
