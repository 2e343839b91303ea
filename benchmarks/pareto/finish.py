"""From a trained network to the file that is delivered: exported, one scale for each kernel, slim, proven, judged."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec import Struct

from benchmarks.pareto.plan import TASK, Column
from benchmarks.pareto.train import dataset, validation
from optkit import keras_models, registry, slimming, store
from optkit.exporters import ExportJob
from optkit.measure import accuracy
from optkit.pipeline.slim import prove
from optkit.schema import Recipe, Step

if TYPE_CHECKING:
    from optkit.workers import Tell

CALIBRATION_IMAGES = 500


class Finished(Struct, frozen=True):
    """What is known of a file before anyone looks at the test images.

    Attributes:
        net: Of ``plan.NETS``.
        seed: Of its weights.
        column: Whether its kernels have 4 bits.
        sha256: Of the file.
        file_bytes: The whole file.
        parameters: Of the network, batch normalization folded.
        correct: Right answers on the validation part, in LiteRT.
        augmented: Right answers on its augmented copies.
        total: Images of the validation part.
        augmented_total: Images of the copies.
    """

    net: str
    seed: int
    column: Column
    sha256: str
    file_bytes: int
    parameters: int
    correct: int
    augmented: int
    total: int
    augmented_total: int

    @property
    def score(self) -> float:
        """What files are chosen by: the share of right answers on the validation part and its copies."""
        return (self.correct + self.augmented) / (self.total + self.augmented_total)


def _record(path: Path) -> Path:
    """Where it is written what is known of a file; the network that it is made of has one as well."""
    return path.with_suffix(".file.json")


def load(path: Path) -> Finished | None:
    """What is known of a kept file; ``None`` where there is none that can be read."""
    try:
        found = msgspec.json.decode(_record(path).read_bytes(), type=Finished)
        return found if store.sha256_file(path) == found.sha256 else None
    except (OSError, msgspec.DecodeError):
        return None


def finish(tell: Tell, *, net: str, seed: int, column: Column, source: str, path: str) -> None:  # noqa: ARG001
    """Make the file ``path`` of a trained network, and judge it on validation images; for a worker process."""
    from optkit.training import configure_tensorflow

    configure_tensorflow(0, threads=1)
    model, made = keras_models.load(Path(source)), Path(path)
    given = {"granularity": "tensor"} if column == "int4" else {}
    job = ExportJob(
        recipe=Recipe(column, (Step(column, given),)),
        calibration=dataset().real(dataset().train.images[:CALIBRATION_IMAGES], (28, 28, 1)),
        quantization_aware=column == "int4",
    )
    with tempfile.TemporaryDirectory() as scratch:
        before, after = Path(scratch) / "before.tflite", Path(scratch) / "after.tflite"
        registry.by_format("exporters", "tflite").export(job, model, before)
        if column == "int8":
            before.write_bytes(slimming.merge_scales(before.read_bytes(), "tflite").content)
        images = Path(scratch) / "images.npy"
        np.save(images, dataset().real(dataset().validation.images[:], (28, 28, 1)), allow_pickle=False)
        prove(before, after, images=images)
        store.write_bytes(made, after.read_bytes())
    shown, labels = validation()
    right = accuracy.answers(made, shown, task=TASK) == labels
    total = len(dataset().validation.labels)
    known = Finished(
        net=net,
        seed=seed,
        column=column,
        sha256=store.sha256_file(made),
        file_bytes=made.stat().st_size,
        parameters=_parameters(model),
        correct=int(right[:total].sum()),
        augmented=int(right[total:].sum()),
        total=total,
        augmented_total=len(labels) - total,
    )
    store.write_bytes(_record(made), msgspec.json.encode(known))


def _parameters(model: Any) -> int:
    """Kernels and biases: what is left in the file."""
    counted = {"Conv2D", "Dense"}
    inner = [getattr(layer, "layer", layer) for layer in model.layers]
    there = [layer for layer in inner if type(layer).__name__ in counted]
    return sum(int(np.prod(weight.shape)) for layer in there for weight in (layer.kernel, layer.bias))
