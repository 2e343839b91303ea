"""Where a file's quality stands: accuracy for classes, errors for values. A report has the one or the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.schema import Accuracy, AccuracyValidation, Errors, Variant


def tested(variant: Variant) -> Accuracy | Errors | None:
    """How good the file is on the test set; ``None`` where that was not measured."""
    return variant.accuracy if variant.errors is None else variant.errors


def validated(variant: Variant) -> AccuracyValidation | Errors | None:
    """How good it is on validation data, on which choices are made."""
    return variant.accuracy_validation if variant.errors_validation is None else variant.errors_validation


def any_tested(variants: Sequence[Variant]) -> bool:
    """Whether the quality of any file was measured."""
    return any(tested(variant) is not None for variant in variants)


def of_values(variants: Sequence[Variant]) -> bool:
    """Whether files answer with values (regression), so that errors stand in the place of accuracy."""
    return any(variant.errors is not None or variant.errors_validation is not None for variant in variants)
