"""The representative data set: which raw examples activation ranges are measured on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.data import digests
from optkit.data._views import Chosen
from optkit.errors import InputError

if TYPE_CHECKING:
    from optkit.data import Dataset


def choose(dataset: Dataset, count: int) -> Chosen:
    """The first ``count`` calibration examples: the user's own, else of the training part.

    None is in the test part, by hash of its content: one of the training part that is there too is passed over.

    Raises:
        InputError: The user's own hold an example of the test part, or there are too few.
    """
    import numpy as np

    own = dataset.calibration_images
    test = set(digests(dataset.test.images))
    if own is not None:
        chosen = Chosen(own, np.arange(min(count, len(own))))
        shared = sum(digest in test for digest in digests(chosen))
        if shared:
            raise InputError(
                f"{shared} of the {len(chosen)} calibration examples are in the test data, whose accuracy would then "
                "be too good; give others to --calibration, or none: then they are taken from the training data"
            )
        return chosen
    kept: list[np.ndarray] = []
    have = 0
    order = dataset.calibration
    for start in range(0, len(order), max(count, 1)):
        positions = order[start : start + count]
        fresh = [digest not in test for digest in digests(Chosen(dataset.train.images, positions))]
        kept.append(positions[np.array(fresh, bool)])
        have += int(sum(fresh))
        if have >= count:
            break
    if not have:
        raise InputError(
            "every training example is in the test data as well, so that none is left to calibrate with; "
            "give other data to --calibration, or test data of their own"
        )
    return Chosen(dataset.train.images, np.concatenate(kept)[:count])
