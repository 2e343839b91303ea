"""The words and figures of layer sensitivity, the same on the page, in text and on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.drop import is_relative
from optkit.report import wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.quality import Interval
    from optkit.schema import Sensitivity, Variant
    from optkit.sensitivity_record import TriedExclusion

CAPTION = "What quantizing each layer alone does"


def header(record: Sensitivity) -> list[str]:
    """Names of the columns of ``rows``."""
    drop = "rise of MAE, %" if is_relative(record.limit) else "drop, points"
    return ["layer", "SQNR, dB", f"{drop} [95 %]", "in the file", "why"]


def rows(record: Sensitivity) -> list[list[str]]:
    """Every layer, the most sensitive first, with its cells under ``header``."""
    return [
        [
            one.layer,
            "no noise" if one.sqnr_db is None else f"{one.sqnr_db:.1f}".replace("-", "−"),
            _drop(one.drop, one.drop_ci95),
            "float32" if one.excluded else "int8",
            one.reason,
        ]
        for one in record.layers
    ]


def sentence(variant: Variant, record: Sensitivity) -> str:
    """What came out for a file: how many layers are in float, what that does to the drop, and what it costs."""
    name, limit = wording.file_name(variant.name, variant.format), f"the limit is {record.limit.words}"
    whole, count = _with(record, []), len(record.layers)
    if record.within and not record.excluded:
        return f"{name}: no layer is left in float; all in int8, {_amount(record, whole)}, {limit}"
    chosen, left = _with(record, record.excluded), f"{len(record.excluded)} of {count} layers left in float"
    which = f" ({wording.listed(record.excluded)})" if record.excluded else ""
    if record.within:
        more = chosen.file_bytes - whole.file_bytes
        return (
            f"{name}: {left}{which}, with which {_amount(record, chosen)}, {limit}; all in int8, "
            f"{_amount(record, whole)}. That costs {more:,} bytes before slimming"
        )
    furthest = max(record.tried, key=lambda one: len(one.float_layers))
    if not furthest.float_layers:
        return f"{name}: all in int8, {_amount(record, whole)}, {limit}, and no layer may be in float"
    return (
        f"{name}: {limit}, and is not met with the {len(furthest.float_layers)} most sensitive of {count} layers in "
        f"float, as many as may be: {_amount(record, furthest)}; all in int8, {_amount(record, whole)}. The file that "
        f"comes nearest is here, with {left}{which}"
    )


def note(record: Sensitivity) -> str:
    """How it was measured and decided."""
    return (
        f"Method: {record.method}. SQNR and drop of each layer alone are of {record.examples:,} validation examples, "
        "with the layer in int8 and all others in float, in the file's own runtime. Layers are left in float, the most "
        f"sensitive first, until the upper end of the drop's 95 % interval on all {record.validation:,} validation "
        "examples is within the limit; in the end none of them can go back to int8 by itself. Files judged on the same "
        f"examples: {len(record.tried)}; what was chosen by them looks a little better there than it is."
    )


def measured(variants: Sequence[Variant]) -> list[tuple[Variant, Sensitivity]]:
    """The files that have it."""
    return [(variant, variant.sensitivity) for variant in variants if variant.sensitivity is not None]


def _with(record: Sensitivity, layers: Sequence[str]) -> TriedExclusion:
    """The file that was tried with these in float."""
    return next(one for one in record.tried if set(one.float_layers) == set(layers))


def _amount(record: Sensitivity, tried: TriedExclusion) -> str:
    unit = "% of the mean absolute error" if is_relative(record.limit) else "points"
    if tried.drop is None:
        return "no drop can be told"
    return f"the drop on validation data is {_drop(tried.drop, tried.drop_ci95)} {unit}"


def _drop(drop: float | None, interval: Interval | None) -> str:
    if drop is None or interval is None:
        return wording.MISSING
    low, high = interval
    return f"{_hundredths(drop)} [{_hundredths(low)}, {_hundredths(high)}]"


def _hundredths(fraction: float) -> str:
    text = f"{100 * fraction:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "−")
