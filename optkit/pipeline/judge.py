"""What data say about files that are measured: accuracy, changed answers, and whether the inputs fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from optkit import readback
from optkit.errors import InputError
from optkit.measure.accuracy import accuracy, accuracy_validation, class_metrics, flips, fresh_answers
from optkit.report import why
from optkit.report.pictures import encode_png
from optkit.report.recommend import recommend
from optkit.report.reference import baseline_of
from optkit.statistics import compare_answers
from optkit.verify import input_range

if TYPE_CHECKING:
    from optkit.data._evaluation import Evaluation
    from optkit.pipeline.progress import Schedule
    from optkit.readback import ModelFacts
    from optkit.schema import Environment, Recommendation, Variant

# Larger pictures would make the page heavy, and are not drawn.
LARGEST_PICTURE = 64


# By path, then ``test`` or ``validation``: int64 [n].
Answers = dict[str, dict[str, np.ndarray]]


class Images(NamedTuple):
    """The data's images as .npy files, for the processes that run models; ``None`` without data."""

    test: Path | None
    validation: Path | None


def write_images(evaluation: Evaluation | None, folder: Path) -> Images:
    """Write the images where the measuring processes read them."""
    if evaluation is None:
        return Images(None, None)
    written: list[Path | None] = []
    for name, part in (("test", evaluation.test), ("validation", evaluation.validation)):
        path = None if part is None else folder / f"{name}.npy"
        if path is not None and part is not None:
            np.save(path, part.images, allow_pickle=False)
        written.append(path)
    return Images(*written)


def range_warnings(variant: Variant, facts: ModelFacts, evaluation: Evaluation | None) -> list[str]:
    """Whether an integer input can take the data's values: the usual mistake is 0 to 255 for 0 to 1."""
    if evaluation is None or not facts.inputs:
        return []
    return [
        f"{variant.name}: {check.name} fails, {check.observed:.3g} {check.unit} ({check.reason}); see --scale"
        for check in input_range.checks(evaluation.test.images, facts.inputs[0])
        if not check.passed
    ]


def with_accuracy(
    variants: list[Variant], evaluation: Evaluation | None, images: Images, log: Path, schedule: Schedule
) -> tuple[list[Variant], Answers]:
    """The files of one format with their accuracy against their baseline's; one that cannot answer has failed.

    Returns:
        The files, and the answers of each by its path.
    """
    if evaluation is None or evaluation.test.labels is None:
        return variants, {}
    done: list[Variant] = []
    answers: Answers = {}
    for position, variant in enumerate(variants, start=1):
        if variant.status == "ok":
            try:
                answers[variant.path] = _answers(variant, evaluation, images, log)
                done.append(variant)
            except InputError as error:
                done.append(msgspec.structs.replace(variant, status="failed", failures=[str(error)]))
        else:
            done.append(variant)
        schedule.advance("measure", f"accuracy of {variant.format} files", position / len(variants), variant.name)
    baseline = next(
        (answers[variant.path] for variant in done if variant.is_baseline and variant.path in answers), None
    )
    return [_judged(variant, answers.get(variant.path), baseline, evaluation) for variant in done], answers


def choose(
    variants: list[Variant], answers: Answers, evaluation: Evaluation | None, prefer: str
) -> Recommendation | None:
    """The file to ship among files of any origin: accuracy is held against the most accurate of them all.

    The reference of a format may be a poor model; what is as good as it need not be good.
    """
    part = None if evaluation is None else evaluation.validation
    validated = [one for one in variants if one.accuracy_validation is not None and one.status == "ok"]
    if part is None or part.labels is None or not validated:
        return None
    best = max(validated, key=lambda one: one.accuracy_validation.correct if one.accuracy_validation else 0)
    labels, standard = part.labels, answers[best.path]["validation"]
    as_accurate = {
        (one.name, one.format)
        for one in validated
        if compare_answers(labels, standard, answers[one.path]["validation"]).verdict != "worse"
    }
    than = f"that of the most accurate file, {best.name}.{best.format}"
    return recommend(variants, prefer=prefer, as_accurate=as_accurate, than=than)


def _answers(variant: Variant, evaluation: Evaluation, images: Images, log: Path) -> dict[str, np.ndarray]:
    """Answers to the test images and, where there are labels, to the validation images.

    Raises:
        InputError: The file fails, or labels and outputs do not belong together.
    """
    found = {}
    parts = (("test", evaluation.test, images.test), ("validation", evaluation.validation, images.validation))
    for name, part, npy in parts:
        if part is None or npy is None or part.labels is None:
            continue
        found[name], outputs = fresh_answers(Path(variant.path), npy, log=log)
        if outputs < 2:
            raise InputError(
                f"expected an output for each class, {variant.path} has {outputs}; give data without labels "
                "to measure it without accuracy"
            )
        if int(part.labels.max()) >= outputs:
            raise InputError(
                f"the data's labels go up to {int(part.labels.max())}, {variant.path} has {outputs} outputs "
                f"(0 to {outputs - 1}); give the data that it was trained for"
            )
    return found


def _judged(
    variant: Variant,
    own: dict[str, np.ndarray] | None,
    baseline: dict[str, np.ndarray] | None,
    evaluation: Evaluation,
) -> Variant:
    labels = evaluation.test.labels
    if own is None or labels is None:
        return variant
    against = None if variant.is_baseline else baseline
    classes = 1 + max(int(labels.max()), int(own["test"].max()), 0 if baseline is None else int(baseline["test"].max()))
    on_test = accuracy(labels, own["test"], None if against is None else against["test"], classes=classes)
    validated = None
    if "validation" in own and evaluation.validation is not None and evaluation.validation.labels is not None:
        validated = accuracy_validation(
            evaluation.validation.labels, own["validation"], None if against is None else against["validation"]
        )
    return msgspec.structs.replace(
        variant,
        accuracy=on_test,
        accuracy_validation=validated,
        metrics=class_metrics(on_test.confusion),
        flips=[] if against is None else flips(labels, against["test"], own["test"]),
    )


def explained(variant: Variant, variants: list[Variant], machine: Environment) -> Variant:
    """A file with the causes of what would surprise about it."""
    if variant.size is None:
        return variant
    facts = readback.read(Path(variant.path))
    baseline = baseline_of(variants, variant.format)
    return msgspec.structs.replace(variant, why=why.explain(variant, baseline, facts, machine))


def pictures(variants: list[Variant], evaluation: Evaluation | None) -> dict[str, str]:
    """The images whose answer changed, as PNG in base64; none where they are no pictures, or large ones."""
    if evaluation is None:
        return {}
    images = evaluation.test.images
    if images.ndim == 3:
        images = images[..., None]
    is_picture = images.ndim == 4 and images.shape[-1] in {1, 3} and max(images.shape[1:3]) <= LARGEST_PICTURE
    if not is_picture:
        return {}
    low, high = float(images.min()), float(images.max())
    height, width, channels = images.shape[1:]
    drawn = {}
    for index in sorted({flip.index for variant in variants for flip in variant.flips}):
        shades = np.rint((images[index] - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
        drawn[str(index)] = encode_png(shades.tobytes(), width=width, height=height, channels=channels)
    return drawn
