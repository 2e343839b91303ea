"""How figures and verdicts are put in words, the same on the terminal, in report.md and on the page.

The doubt stands beside the number: ``2.0× [1.9, 2.1]``, ``7 lost, 5 gained of 10,000``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from optkit.quality import ErrorComparison, NamedMetrics
from optkit.report import quality
from optkit.report.reference import BASELINE_NAME, baseline_of, formats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.schema import Accuracy, Comparison, Errors, Interval, Speedup, Variant, Verdict

MISSING = "–"
"""Stands for a figure that was not measured."""

_SPEED_WORDS = {"better": "faster", "worse": "slower", "no measurable difference": "no measurable difference"}


def file_name(name: str, file_format: str) -> str:
    """``NAME.tflite`` or ``NAME.onnx``, as in the run folder."""
    return f"{name}.{file_format}"


def format_name(file_format: str) -> str:
    """``TFLite`` for ``tflite``: as its makers write it."""
    return {"tflite": "TFLite", "onnx": "ONNX", "keras": "Keras"}.get(file_format, file_format)


def reference(variants: Sequence[Variant]) -> str:
    """``fp32`` where every format's reference is called that, else ``the reference``."""
    found = [baseline_of(variants, name) for name in formats(variants)]
    names = {baseline.name for baseline in found if baseline is not None}
    return BASELINE_NAME if names == {BASELINE_NAME} else "the reference"


def reference_file(variants: Sequence[Variant]) -> str:
    """``the fp32 file`` or ``the reference``, with its name where there is one for all formats."""
    found = [baseline for name in formats(variants) if (baseline := baseline_of(variants, name)) is not None]
    if reference(variants) == BASELINE_NAME:
        return "the fp32 file"
    return f"the reference, {file_name(found[0].name, found[0].format)}" if len(found) == 1 else "the reference"


def count(number: int | None) -> str:
    """A whole number with thousands apart."""
    return MISSING if number is None else f"{number:,}"


def mebibytes(number: int | None) -> str:
    """Bytes in MiB or GiB, for approximate figures such as memory."""
    if number is None:
        return MISSING
    return f"{number / 2**20:,.1f} MiB" if number < 2**30 else f"{number / 2**30:,.1f} GiB"


def kilobytes(number: float | None) -> str:
    """Bytes in kB (1,000 bytes), for axes and prose; the exact bytes stand elsewhere."""
    return MISSING if number is None else f"{number / 1000:,.0f} kB" if number >= 10_000 else f"{number:,.0f} B"


def axis_bytes(number: float) -> str:
    """Round bytes for an axis, in kB (1,000 bytes) from there on."""
    return f"{number / 1000:,.10g} kB" if number >= 1000 or not number else f"{number:,.10g} B"


def percent(fraction: float | None, *, decimals: int = 2) -> str:
    """A fraction in percent; two decimals are one image of the 10,000 of MNIST's test set."""
    return MISSING if fraction is None else f"{100 * fraction:.{decimals}f} %"


def percent_interval(interval: Interval | None, *, decimals: int = 2) -> str:
    """An interval of fractions in percent, without the unit, to stand behind its figure."""
    if interval is None:
        return ""
    return f"[{100 * interval[0]:.{decimals}f}, {100 * interval[1]:.{decimals}f}]"


def value(number: float | None, *, like: float | None = None) -> str:
    """A figure in the unit of the model's values, with four digits; ``like`` gives the decimals of another."""
    if number is None:
        return MISSING
    size = abs(number if like is None else like)
    if size and not 1e-4 <= size < 1e9:
        return f"{number:.3e}"
    decimals = 0 if not size else max(0, 3 - math.floor(math.log10(size)))
    return f"{number:,.{decimals}f}"


def value_interval(errors: Errors) -> str:
    """The interval of a mean absolute error, to stand behind it; empty where there is none."""
    if errors.mae_ci95 is None:
        return ""
    low, high = errors.mae_ci95
    return f"[{value(low, like=errors.mae)}, {value(high, like=errors.mae)}]"


def class_name(names: Sequence[str], label: int) -> str:
    """Name of a class, or its number where it has none."""
    return names[label] if 0 <= label < len(names) else str(label)


def microseconds(time_us: float | None) -> str:
    """A time with three digits, in µs below 10 ms."""
    if time_us is None:
        return MISSING
    if time_us >= 10_000:
        return f"{time_us / 1000:,.{_decimals(time_us / 1000)}f} ms"
    return f"{time_us:,.{_decimals(time_us)}f} µs"


def milliseconds(time_ms: float) -> str:
    """A time with three digits, in ms from 0.1 ms on."""
    return microseconds(1000 * time_ms) if time_ms < 0.1 else f"{time_ms:,.{_decimals(time_ms)}f} ms"


def duration(seconds: float) -> str:
    """A time that one waits: ``3 min 05 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def axis_time(time_us: float) -> str:
    """A round time for an axis, with no digit too many."""
    return f"{time_us:,g} µs" if time_us < 10_000 else f"{time_us / 1000:,g} ms"


def three_digits(value: float) -> str:
    """A figure with three digits, or all that stand before the point."""
    return f"{value:,.{_decimals(value)}f}"


def _decimals(value: float) -> int:
    """Decimals that leave three digits: more would be noise of the machine."""
    return 2 if value < 10 else 1 if value < 100 else 0


def times(ratio: float | None) -> str:
    """A ratio as ``4.12×``, with three digits."""
    if ratio is None:
        return MISSING
    return f"{ratio:,.{3 if ratio < 0.1 else _decimals(ratio)}f}×"


def speedup(value: Speedup | None) -> str:
    """Speed-up with its interval, to as many decimals as the interval allows: ``2.0× [1.9, 2.1]``."""
    if value is None:
        return MISSING
    low, high = value.ci95
    # A file that is twenty times as slow would else be 0.04× [0.04, 0.04].
    decimals = 1 if high - low >= 0.1 and value.ratio >= 1 else 3 if value.ratio < 0.1 else 2
    return f"{value.ratio:,.{decimals}f}× [{low:.{decimals}f}, {high:.{decimals}f}]"


def per_second_interval(interval: Interval) -> str:
    """An interval of images per second, to stand behind its figure."""
    return f"[{three_digits(interval[0])}, {three_digits(interval[1])}]"


def throughput_verdict(verdict: Verdict) -> str:
    """The verdict on images per second, in words."""
    return {"better": "more", "worse": "less", "no measurable difference": "no measurable difference"}[verdict]


def speed_verdict(verdict: Verdict | None) -> str:
    """The verdict on time, in words."""
    return MISSING if verdict is None else _SPEED_WORDS[verdict]


def flips(comparison: Comparison | None, total: int) -> str:
    """Paired answers: ``7 lost, 5 gained of 10,000``."""
    if comparison is None:
        return MISSING
    return f"{comparison.lost:,} lost, {comparison.gained:,} gained of {total:,}"


def accuracy(value: Accuracy | None) -> str:
    """Accuracy with its interval: ``99.03 % [98.82, 99.21]``."""
    if value is None:
        return MISSING
    return f"{percent(value.top1)} {percent_interval(value.ci95)}"


def errors(value_errors: Errors | None) -> str:
    """Mean absolute error with its interval: ``2.104 [1.987, 2.221]``."""
    if value_errors is None:
        return MISSING
    return f"{value(value_errors.mae)} {value_interval(value_errors)}".rstrip()


def tested(variant: Variant) -> str:
    """Accuracy, or mean absolute error, on the test set with its interval."""
    return accuracy(variant.accuracy) if variant.errors is None else errors(variant.errors)


def changes(comparison: ErrorComparison, total: int) -> str:
    """Paired errors: ``larger on 512, smaller on 488 of 1,000``."""
    return f"larger on {comparison.larger:,}, smaller on {comparison.smaller:,} of {total:,}"


def tested_figure(variant: Variant) -> str:
    """Accuracy, or mean absolute error, on the test set without its interval."""
    if variant.errors is not None:
        return f"mean absolute error {value(variant.errors.mae)}"
    return percent(None if variant.accuracy is None else variant.accuracy.top1)


def pair(versus: Comparison | ErrorComparison) -> str:
    """The two counts of a paired comparison: lost and gained, or larger and smaller."""
    counts = (versus.larger, versus.smaller) if isinstance(versus, ErrorComparison) else (versus.lost, versus.gained)
    return f"{counts[0]:,}, {counts[1]:,}"


def keras_metrics(variant: Variant) -> list[tuple[str, str]]:
    """(name, figure on the test set) of the Keras metrics that the user named; – where one was not judged."""
    found = _named(variant)
    shown = [(name, _metric(figure)) for name, figure in sorted(found.values.items())]
    return shown + [(name, MISSING) for name in sorted(found.not_judged)]


def not_judged(variant: Variant) -> list[tuple[str, str]]:
    """(name, reason) of the named Keras metrics that say nothing about this file."""
    return sorted(_named(variant).not_judged.items())


def _named(variant: Variant) -> NamedMetrics:
    """Those of the test set; none where a report says nothing that can be read."""
    try:
        return msgspec.convert(variant.metrics.get("keras", {}), dict[str, NamedMetrics]).get("test", NamedMetrics())
    except msgspec.ValidationError:
        return NamedMetrics()


def _metric(figure: float | list[float]) -> str:
    return ", ".join(f"{one:.4g}" for one in figure) if isinstance(figure, list) else f"{figure:.6g}"


def paired(measured: Accuracy | Errors, versus: Comparison | ErrorComparison) -> str:
    """Paired answers, or errors, of a file that was measured against another."""
    return changes(versus, measured.total) if isinstance(versus, ErrorComparison) else flips(versus, measured.total)


def size_ratio(variant: Variant, baseline: Variant | None, *, gzip: bool = False) -> float | None:
    """Baseline's bytes / this file's bytes; over 1 is smaller. Both compressed, or neither."""
    if variant.size is None or baseline is None or baseline.size is None:
        return None
    mine, theirs = variant.size, baseline.size
    number, held_against = (mine.gzip_bytes, theirs.gzip_bytes) if gzip else (mine.file_bytes, theirs.file_bytes)
    return held_against / number if number and held_against else None


def checks(variant: Variant) -> str:
    """How many checks passed, with the names of those that did not."""
    if not variant.checks:
        return MISSING
    failed = [check.name for check in variant.checks if not check.passed]
    passed = f"{len(variant.checks) - len(failed)}/{len(variant.checks)}"
    return f"{passed} (failed: {', '.join(failed)})" if failed else passed


def observed(value: float | str | None) -> str:
    """What a check saw, or its limit: a whole number is written as one, whether or not JSON made it a float."""
    if value is None:
        return MISSING
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1e6 else f"{value:.4g}"


def cost(variant: Variant, baseline: Variant | None, *, with_accuracy: bool = True) -> str:
    """What shipping this file gives and costs, against the baseline of its format, in one clause.

    ``with_accuracy`` is for reports without data, which need not say of each file that its accuracy was not measured.
    """
    if baseline is None or variant is baseline:
        return "the reference itself: no compressed file was chosen over it"
    ratio = size_ratio(variant, baseline)
    parts = ["size not measured" if ratio is None else size_words(ratio), _speed_clause(variant)]
    if with_accuracy:
        parts.append(quality_clause(variant))
    if variant.recipe is not None and variant.recipe.techniques:
        parts.append(_training_clause(quality.tested(variant)))
    return ", ".join(part for part in parts if part)


def size_words(ratio: float, *, decimals: int = 1) -> str:
    """A ratio of sizes in words: ``3.9× smaller``, ``1.16× larger``; the same within 0.5 %."""
    if 0.995 < ratio < 1.005:
        return "the same size"
    if ratio < 1:
        return f"{1 / ratio:.2f}× larger"
    if ratio < 1.1:
        return f"{ratio:.2f}× smaller"
    return f"{times(ratio)} smaller" if decimals > 1 else f"{ratio:.1f}× smaller"


def _training_clause(value: Accuracy | Errors | None) -> str:
    """What the technique did beyond the training that came with it: a claim of accuracy needs the control."""
    if value is None or value.versus_baseline is None or value.versus_baseline.verdict == "no measurable difference":
        return ""
    if value.versus_control is None:
        return "which the extra training alone may explain: there is no control"
    if value.versus_control.verdict == "no measurable difference":
        return "which the extra training alone explains: no measurable difference from the control"
    return f"and measurably {value.versus_control.verdict} than the control, which trained as long"


def _speed_clause(variant: Variant) -> str:
    if variant.latency is None or variant.latency.speedup is None:
        return "speed not measured"
    value = variant.latency.speedup
    if value.verdict == "no measurable difference":
        return f"no measurable difference in speed ({speedup(value)})"
    return f"{speedup(value)} {'faster' if value.verdict == 'better' else 'the speed (slower)'}"


def accuracy_clause(value: Accuracy | None) -> str:
    """What happened to accuracy against the reference, with the paired answers."""
    if value is None or value.versus_baseline is None:
        return "accuracy not measured"
    versus = value.versus_baseline
    change = f"{100 * (versus.gained - versus.lost) / value.total:+.2f} points"
    words = {
        "no measurable difference": "no measurable change in accuracy",
        "better": f"measurably more accurate, by {change}",
        "worse": f"measurably less accurate, by {change}",
    }
    return f"{words[versus.verdict]} ({flips(versus, value.total)})"


def quality_clause(variant: Variant) -> str:
    """What happened to accuracy, or to the mean absolute error, against the reference."""
    if variant.errors is None:
        return accuracy_clause(variant.accuracy)
    versus = variant.errors.versus_baseline
    if versus is None:
        return "mean absolute error not measured against it"
    before = variant.errors.mae - versus.mae_difference
    share = f"{100 * versus.mae_difference / before:+.2g} %" if before > 0 else f"{versus.mae_difference:+.3g}"
    words = {
        "no measurable difference": "no measurable change in mean absolute error",
        "better": f"measurably smaller mean absolute error, by {share}",
        "worse": f"measurably larger mean absolute error, by {share}",
    }
    return f"{words[versus.verdict]} ({changes(versus, variant.errors.total)})"


def listed(words: Sequence[str], *, at_most: int = 6) -> str:
    """Names in a sentence; a long list is cut with the number that is left out."""
    if len(words) <= at_most:
        return ", ".join(words)
    return f"{', '.join(words[:at_most])} and {len(words) - at_most} more"
