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
    """The file that verdicts of this format refer to: the one that is marked so, else ``fp32`` (older reports)."""
    same = [variant for variant in variants if variant.format == file_format]
    marked = next((variant for variant in same if variant.is_baseline), None)
    return marked or next((variant for variant in same if variant.name == BASELINE_NAME), None)


def controls(variants: Sequence[Variant]) -> list[Variant]:
    """Files that were trained as long as the compressed ones and not compressed."""
    return [variant for variant in variants if technique_names(variant) == [CONTROL_STEP]]


def technique_names(variant: Variant) -> list[str]:
    """The techniques that made a file; none where no optkit run made it."""
    return [] if variant.recipe is None else [step.name for step in variant.recipe.techniques]


def find(variants: Sequence[Variant], name: str, file_format: str) -> Variant | None:
    """The variant of that name and format."""
    return next((v for v in variants if (v.name, v.format) == (name, file_format)), None)
