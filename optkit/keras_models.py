"""Keras model files of the run folder: HDF5, which holds no dates and so is reproducible byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optkit.store import write_atomically

if TYPE_CHECKING:
    from pathlib import Path


def save(model: Any, path: Path) -> None:
    """Write a tf_keras model without optimizer state, atomically; ``path`` must end in ``.h5``."""
    write_atomically(path, lambda temporary: model.save(str(temporary), include_optimizer=False, save_format="h5"))


def load(path: Path) -> Any:
    """Read a model that ``save`` wrote; quantize-aware layers of tensorflow-model-optimization are known."""
    import tensorflow_model_optimization as tfmot
    import tf_keras

    with tfmot.quantization.keras.quantize_scope():
        return tf_keras.models.load_model(str(path), compile=False)
