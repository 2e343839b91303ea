"""What reports say about the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.schema import DataFacts

if TYPE_CHECKING:
    from optkit.data import Dataset
    from optkit.schema import Calibration


def data_facts(dataset: Dataset, calibration: Calibration | None = None) -> DataFacts:
    """The record of a data set, of which all parts are used.

    Args:
        dataset: Which.
        calibration: The representative data set, where one was drawn.
    """
    return DataFacts(
        name=dataset.name,
        sha256=dataset.sha256,
        train=len(dataset.train.labels),
        validation=len(dataset.validation.labels),
        test=len(dataset.test.labels),
        calibration=calibration,
        preprocessing=dataset.preprocessing,
        class_names=list(dataset.class_names),
    )
