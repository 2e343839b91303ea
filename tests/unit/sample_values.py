"""A synthetic report of a regression run: the sample of classes with errors in the place of accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace
from sample_report import TEST_IMAGES, VALIDATION_IMAGES, sample_report

from optkit.problem import Preprocessing, Task
from optkit.schema import ErrorComparison, Errors, Recommendation

if TYPE_CHECKING:
    from optkit.schema import Report, Variant

BASE_MAE = 2.104


def sample_values() -> Report:
    """Every file's lost and gained images have become examples with a larger and a smaller error."""
    report = sample_report()
    training = [
        replace(one, epochs=[replace(epoch, accuracy=None, validation_accuracy=None) for epoch in one.epochs])
        for one in report.training
    ]
    data = report.data
    assert data is not None
    return replace(
        report,
        variants=[_of_values(variant) for variant in report.variants],
        training=training,
        task=Task("regression", "values", 1),
        data=replace(data, name="houses.csv", preprocessing=Preprocessing(mean=(3.0,), std=(1.5,)), class_names=[]),
        recommendation=Recommendation("prune+qat+int8", "tflite", "Any rule."),
        pictures={},
    )


def _of_values(variant: Variant) -> Variant:
    accuracy = variant.accuracy
    if accuracy is None:
        return variant
    versus = accuracy.versus_baseline
    change = 0.0 if versus is None else (versus.lost - versus.gained) / 1000
    compared = (
        None
        if versus is None
        else ErrorComparison(
            4_000 + versus.lost,
            4_000 + versus.gained,
            change,
            (change - 0.01, change + 0.01),
            versus.p_value,
            versus.verdict,
        )
    )
    mae = BASE_MAE + change
    errors = Errors(
        mae, (mae - 0.05, mae + 0.05), 1.3 * mae, TEST_IMAGES, compared, compared if accuracy.versus_control else None
    )
    return replace(
        variant,
        accuracy=None,
        accuracy_validation=None,
        errors=errors,
        errors_validation=replace(errors, total=VALIDATION_IMAGES, versus_control=None),
        flips=[],
        metrics={
            "median_absolute_error": 1.5,
            "largest_absolute_error": 12.25,
            "r2": 0.9312,
            "largest_changes": [{"index": 7, "baseline": 10.0, "answer": 11.5, "label": 9.75}],
            "keras": {
                "test": {"values": {"mse": 7.1}, "not_judged": {"AUC": "it is for classes"}},
                "validation": {"values": {"mse": 7.2}, "not_judged": {}},
            },
        },
        parity=None if variant.parity is None else replace(variant.parity, top1_agreement=None),
    )
