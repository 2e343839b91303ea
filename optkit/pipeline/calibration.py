"""The calibration guard: what the representative data set is taken from is looked at before any work is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit import store
from optkit.data import digests
from optkit.data._calibration import choose
from optkit.data._inputs import form_in, parts, size_of
from optkit.errors import InputError
from optkit.pipeline.settings import CALIBRATION_COUNT

if TYPE_CHECKING:
    from optkit.data import Dataset
    from optkit.pipeline.settings import Settings

# Enough to see how far the values reach; fewer of large images.
COMPARED = 500
COMPARED_BYTES = 128 << 20


def check_calibration(dataset: Dataset, settings: Settings, *, int8: bool) -> list[str]:
    """Whether the calibration data are fit: enough of them, none of the test data, like the training data.

    Args:
        dataset: All data.
        settings: Of the run.
        int8: Whether files with an int8 input are made.

    Returns:
        Warnings.

    Raises:
        InputError: They are not, with what cures it.
    """
    from optkit.verify import column_ranges, data_range

    own = dataset.calibration_images
    there = len(dataset.train.labels) if own is None else len(own)
    if settings.calibration_count > there and settings.calibration_count != CALIBRATION_COUNT:
        kind = "training" if own is None else "calibration"
        raise InputError(
            f"--calibration-count expects at most the {there} {kind} images, found {settings.calibration_count}"
        )
    one = 4 * size_of(form_in(dataset.train.images))
    compared = min(settings.calibration_count, max(1, min(COMPARED, COMPARED_BYTES // one)))
    chosen = choose(dataset, compared)
    warnings = []
    if len(chosen) < compared:
        warnings.append(
            f"{len(chosen)} calibration images where {settings.calibration_count} are wanted: there are no more; "
            "ranges of activations are less sure"
        )
    source = settings.calibration or f"from the training part of {dataset.name}"
    inputs = parts(dataset.real(dataset.train.images[dataset.calibration[:compared]]))
    for name, real in parts(dataset.real(chosen[:])).items():
        if int8:
            warnings += column_ranges.judge_columns(real)
        warnings += data_range.judge_calibration(
            real,
            inputs[name],
            source=f"{source}, input {name!r}" if name else source,
            allowed="range" in settings.allow,
        )
    return warnings


def data_digest(dataset: Dataset) -> str:
    """Digest of all data that a run reads."""
    own = dataset.calibration_images
    calibration = [] if own is None else [digest.hex() for digest in digests(own)]
    return store.digest([dataset.sha256, calibration])
