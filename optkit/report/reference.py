"""Which file the others are held against: the baseline of a format, and the control that trained as long."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.schema import Variant

# The plain reference of every format (DESIGN, section 4), and the step that trains on and does nothing else.
BASELINE_NAME = "fp32"
CONTROL_STEP = "finetune"


def formats(variants: Sequence[Variant]) -> list[str]:
    """File formats in the report, in the order in which they first appear."""
    return list(dict.fromkeys(variant.format for variant in variants))


def baseline_of(variants: Sequence[Variant], file_format: str) -> Variant | None:
    """The file that verdicts of this format refer to: ``fp32``, else the first that is compared with none.

    The second case is ``optkit benchmark`` on files of any name, where the first of a format is the baseline.
    """
    same = [variant for variant in variants if variant.format == file_format]
    named = next((variant for variant in same if variant.name == BASELINE_NAME), None)
    if named is not None:
        return named
    return next((variant for variant in same if variant.status == "ok" and not _is_compared(variant)), None)


def _is_compared(variant: Variant) -> bool:
    """Whether a figure of this file refers to another file."""
    return (
        (variant.latency is not None and variant.latency.speedup is not None)
        or (variant.accuracy is not None and variant.accuracy.versus_baseline is not None)
        or (variant.accuracy_validation is not None and variant.accuracy_validation.versus_baseline is not None)
    )


def controls(variants: Sequence[Variant]) -> list[Variant]:
    """Files that were trained as long as the compressed ones and not compressed."""
    return [variant for variant in variants if [step.name for step in variant.recipe.techniques] == [CONTROL_STEP]]


def find(variants: Sequence[Variant], name: str, file_format: str) -> Variant | None:
    """The variant of that name and format."""
    return next((v for v in variants if (v.name, v.format) == (name, file_format)), None)
