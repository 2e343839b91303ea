"""What data say about files that are measured: accuracy, changed answers, and whether the inputs fit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from optkit import readback
from optkit.data._inputs import form_in, real_dtype, size_of
from optkit.errors import InputError
from optkit.measure.accuracy import decided, fresh_answers
from optkit.measure.quality import Judged, fields
from optkit.problem import Task
from optkit.report import why
from optkit.report.pictures import encode_png
from optkit.report.quality import validated
from optkit.report.recommend import recommend
from optkit.report.reference import baseline_of
from optkit.runtimes import _ports
from optkit.schema import DataFacts
from optkit.statistics import compare_answers, compare_errors
from optkit.verify import input_range

if TYPE_CHECKING:
    from optkit.data._evaluation import Evaluation, Labelled
    from optkit.pipeline.progress import Schedule
    from optkit.readback import ModelFacts
    from optkit.schema import Environment, Recommendation, Variant

# Larger pictures would make the page heavy, and are not drawn.
LARGEST_PICTURE = 64
# Of the test images; what range they have shows long before.
SAMPLE_VALUES = 8_000_000


# By path, then ``test`` or ``validation``: class numbers int64 [n], or values float32 [n].
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
            _write_real(path, evaluation, part)
        written.append(path)
    return Images(*written)


def _write_real(path: Path, evaluation: Evaluation, part: Labelled) -> None:
    """All real inputs of a part, written some at a time: they need not fit in memory."""
    with path.open("wb") as file:
        dtype, _ = real_dtype(form_in(part.images))
        descr = np.lib.format.dtype_to_descr(dtype)
        header = {"descr": descr, "fortran_order": False, "shape": tuple(part.images.shape)}
        np.lib.format.write_array_header_1_0(file, header)
        for real in evaluation.real_chunks(part):
            file.write(real.tobytes())


def data_facts(evaluation: Evaluation | None) -> DataFacts | None:
    """What the report says about the data."""
    if evaluation is None:
        return None
    validation = None if evaluation.validation is None else len(evaluation.validation.images)
    test = len(evaluation.test.images)
    return DataFacts(
        name=evaluation.name,
        sha256=evaluation.sha256,
        train=None,
        validation=validation,
        test=test,
        calibration=None,
        preprocessing=evaluation.preprocessing,
        class_names=list(evaluation.class_names),
    )


def range_warnings(variant: Variant, facts: ModelFacts, evaluation: Evaluation | None) -> list[str]:
    """Whether an integer input can take the data's values: the usual mistake is 0 to 255 for 0 to 1."""
    if evaluation is None or not facts.inputs:
        return []
    images = evaluation.test.images
    count = min(len(images), max(1, SAMPLE_VALUES // size_of(form_in(images))))
    # From all over: neighbours are of one class where data are sorted.
    sample = evaluation.real(images[np.linspace(0, len(images) - 1, count).astype(np.int64)])
    try:
        pairs = _ports.paired(sample, facts.inputs)
    except InputError:
        # Feeding the file will say the same.
        return []
    warnings = []
    for values, port in pairs:
        if "int" in port.dtype and port.scale is None and (values != np.rint(values)).any():
            rounded = "the file does not tell the scale: the data are rounded to whole numbers"
            warnings.append(
                f"{variant.name}: its input takes {port.dtype} and {rounded}; give --scale for what it was made for"
            )
        else:
            warnings += [
                f"{variant.name}: {check.name} fails, {check.observed:.3g} {check.unit} ({check.reason}); see --scale"
                for check in input_range.checks(values, port)
                if not check.passed
            ]
    return warnings


def with_accuracy(
    variants: list[Variant],
    evaluation: Evaluation | None,
    images: Images,
    log: Path,
    schedule: Schedule,
    *,
    runtime: str | None = None,
) -> tuple[list[Variant], Answers]:
    """The files of one format with their accuracy, or errors, against their baseline's; one without answers has failed.

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
                answers[variant.path] = _answers(variant, evaluation, images, log, runtime)
                done.append(variant)
            except InputError as error:
                done.append(msgspec.structs.replace(variant, status="failed", failures=[str(error)]))
        else:
            done.append(variant)
        schedule.advance("measure", f"accuracy of {variant.format} files", position / len(variants), variant.name)
    done = [_of_one_kind(variant, answers) for variant in done]
    baseline = next(
        (answers[variant.path] for variant in done if variant.is_baseline and variant.path in answers), None
    )
    return [_judged(variant, answers.get(variant.path), baseline, evaluation) for variant in done], answers


def _of_one_kind(variant: Variant, answers: Answers) -> Variant:
    """Fail a file that gives values where others give classes: to it the same whole-number labels mean something else.

    Its answers are removed.
    """
    kinds = {own["test"].dtype.kind for own in answers.values()}
    if variant.path not in answers or len(kinds) < 2 or answers[variant.path]["test"].dtype.kind != "f":
        return variant
    del answers[variant.path]
    reason = f"{variant.path} has one output, other files have one for each class; measure it by itself"
    return msgspec.structs.replace(variant, status="failed", failures=[reason])


def choose(
    variants: list[Variant], answers: Answers, evaluation: Evaluation | None, prefer: str
) -> Recommendation | None:
    """The file to ship among files of any origin: accuracy is held against the most accurate of them all.

    The reference of a format may be a poor model; what is as good as it need not be good.
    """
    part = None if evaluation is None else evaluation.validation
    able = [one for one in variants if validated(one) is not None and one.status == "ok"]
    if part is None or part.labels is None or not able:
        return None
    values = all(one.errors_validation is not None for one in able)
    able = [one for one in able if values or one.errors_validation is None]
    best = min(able, key=_short_of_right)
    compare = compare_errors if values else compare_answers
    labels, standard = part.labels, answers[best.path]["validation"]
    as_accurate = {
        (one.name, one.format)
        for one in able
        if compare(labels, standard, answers[one.path]["validation"]).verdict != "worse"
    }
    than = f"that of the {'file with the least error' if values else 'most accurate file'}, {best.name}.{best.format}"
    return recommend(variants, prefer=prefer, as_accurate=as_accurate, than=than)


def _short_of_right(variant: Variant) -> float:
    """Wrong answers, or the mean absolute error, on validation data."""
    if variant.errors_validation is not None:
        return variant.errors_validation.mae
    accuracy = variant.accuracy_validation
    return math.inf if accuracy is None else accuracy.total - accuracy.correct


def task_of(labels: np.ndarray, outputs: np.ndarray) -> Task:
    """What the answers of a file with one output stand for, which the file itself does not say.

    Args:
        labels: Right answers, integers or values [n].
        outputs: What it gives, float32 [n].

    Returns:
        Two classes where the labels are 0 and 1 (as logits where outputs leave the range of
        probabilities), else a value.
    """
    if labels.dtype.kind not in "iu" or not np.isin(labels, (0, 1)).all():
        return Task("regression", "values", 1)
    # Rounding may put a probability a step of 1/256 beyond its range.
    leaves = bool(((outputs < -1 / 256) | (outputs > 1 + 1 / 256)).any())
    return Task("binary", "logits" if leaves else "probabilities", 1)


def _answers(
    variant: Variant, evaluation: Evaluation, images: Images, log: Path, runtime: str | None
) -> dict[str, np.ndarray]:
    """Answers to the test images and, where there are labels, to the validation images.

    Raises:
        InputError: The file fails, or labels and outputs do not belong together.
    """
    found: dict[str, np.ndarray] = {}
    task: Task | None = None
    parts = (("test", evaluation.test, images.test), ("validation", evaluation.validation, images.validation))
    for name, part, npy in parts:
        if part is None or npy is None or part.labels is None:
            continue
        found[name], outputs = fresh_answers(Path(variant.path), npy, log=log, runtime=runtime)
        if outputs == 1:
            # The test part decides, as it is always there.
            task = task_of(part.labels, found[name]) if task is None else task
            found[name] = decided(found[name], task)
            continue
        if part.labels.dtype.kind not in "iu":
            raise InputError(
                f"the data's labels are values to predict, {variant.path} has {outputs} outputs; give data whose "
                "labels are classes, or none to measure it without accuracy"
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
    right = {"test": labels}
    if "validation" in own and evaluation.validation is not None and evaluation.validation.labels is not None:
        right["validation"] = evaluation.validation.labels
    if own["test"].dtype.kind == "f":
        task = Task("regression", "values", 1)
    else:
        named = [labels, own["test"], *([] if against is None else [against["test"]])]
        task = Task(size=1 + max(int(one.max()) for one in named))
    return msgspec.structs.replace(variant, **fields(task, right, Judged(own, against)))


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
    shape = evaluation.test.images.shape[1:]
    if len(shape) == 2:
        shape = (*shape, 1)
    flipped = sorted({flip.index for variant in variants for flip in variant.flips})
    if not flipped or len(shape) != 3 or shape[-1] not in {1, 3} or max(shape[:2]) > LARGEST_PICTURE:
        return {}
    images = evaluation.test.images[np.array(flipped)]
    # Pictures are drawn as they are; what other numbers mean as shades is not known.
    low, high = (0.0, 255.0) if images.dtype == np.uint8 else (float(images.min()), float(images.max()))
    if evaluation.preprocessing.channels == "bgr":
        images = images[..., ::-1]
    height, width, channels = shape
    drawn = {}
    for index, image in zip(flipped, images, strict=True):
        shades = np.rint((image - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
        drawn[str(index)] = encode_png(shades.tobytes(), width=width, height=height, channels=channels)
    return drawn
