"""TensorBoard's logs of a training: ``logs/train`` and ``logs/validation`` in the run folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from optkit.report.train_record import CurvePoint

if TYPE_CHECKING:
    from optkit.workers import Tell

FOLDER = "logs"


class Board:
    """Event files that TensorBoard reads while they grow; those of an earlier training in the folder are removed.

    Args:
        root: The run folder.
    """

    def __init__(self, root: Path) -> None:
        import tensorflow as tf

        folder = root / FOLDER
        shutil.rmtree(folder, ignore_errors=True)
        self._writers = {name: tf.summary.create_file_writer(str(folder / name)) for name in ("train", "validation")}

    def write(self, point: CurvePoint, epoch: int) -> None:
        """Add an epoch, counted from 1."""
        import tensorflow as tf

        figures = {
            "train": {"loss": point.loss, "accuracy": point.accuracy, "learning rate": point.learning_rate},
            "validation": {"loss": point.validation_loss, "accuracy": point.validation_accuracy},
        }
        for name, writer in self._writers.items():
            values = [
                tf.compat.v1.Summary.Value(tag=figure, simple_value=value)
                for figure, value in figures[name].items()
                if value is not None
            ]
            # tf.summary.scalar would need the package tensorboard, which reads these as well.
            with writer.as_default():
                tf.summary.experimental.write_raw_pb(tf.compat.v1.Summary(value=values).SerializeToString(), epoch)
            writer.flush()


def write_logs(
    tell: Tell,  # noqa: ARG001  # it takes a moment: nothing to tell
    *,
    folder: str,
    curve: list[dict[str, Any]],
) -> None:
    """Write the logs of a training that ran without them."""
    board = Board(Path(folder))
    for point in msgspec.convert(curve, list[CurvePoint]):
        board.write(point, point.epoch)
