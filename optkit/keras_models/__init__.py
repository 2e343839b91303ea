"""Keras model files: any kind in, and those of the run folder.

The run folder holds HDF5 files, which have no dates and so are reproducible byte for byte, and for models that could
not be rebuilt layer by layer SavedModel folders of one frozen graph, which are too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optkit.data._inputs import fed, form_in, size_of
from optkit.store import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

SAVED_MODEL = ".saved_model"
# Activations of a network for photographs take some hundred times the memory of its input: few of those at a time.
_MOST_AT_ONCE = 100
_VALUES_AT_ONCE = 2_000_000


def save(model: Any, path: Path) -> None:
    """Write a tf_keras model without optimizer state, atomically.

    Args:
        model: The model; one of a single frozen graph for a folder.
        path: A file that ends in ``.h5``, or a folder ``NAME.saved_model``.

    Raises:
        InputError: A folder is asked for and the model is no frozen graph, or one of over 2 GiB.
    """
    if path.suffix == SAVED_MODEL:
        from optkit.keras_models.saved_model import save_folder

        save_folder(model, path)
        return
    write_atomically(path, lambda temporary: model.save(str(temporary), include_optimizer=False, save_format="h5"))


def load(path: Path) -> Any:
    """Read a model that ``save`` wrote; quantize-aware layers of tensorflow-model-optimization are known."""
    if path.suffix == SAVED_MODEL:
        from optkit.keras_models.saved_model import load_folder

        return load_folder(path)
    import tensorflow_model_optimization as tfmot
    import tf_keras

    with tfmot.quantization.keras.quantize_scope():
        return tf_keras.models.load_model(str(path), compile=False)


def outputs_of(model: Any, inputs: np.ndarray) -> np.ndarray:
    """The model's outputs, for so many inputs at a time as take little memory.

    Args:
        model: A tf_keras model with one output.
        inputs: float32 [n, *shape], or of several inputs a structure [n] with a field for each.

    Returns:
        float32 [n, *outputs].
    """
    at_once = max(1, min(_MOST_AT_ONCE, _VALUES_AT_ONCE // size_of(form_in(inputs))))
    outputs: np.ndarray = model.predict(fed(inputs), batch_size=at_once, verbose=0)
    return outputs
