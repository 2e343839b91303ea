"""What every rebuilt model must stand: the comparison, copying, saving and loading, pruning wrappers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optkit import keras_models
from optkit.keras_models.rebuild import Rebuilt, rebuild
from optkit.keras_models.rebuild_compare import outputs, random_inputs

if TYPE_CHECKING:
    from pathlib import Path

# Of Keras and TensorFlow about themselves.
WARNINGS = (
    "ignore:__array__ implementation:DeprecationWarning",
    "ignore:You are saving your model as an HDF5 file:UserWarning",
)


def alive(model: Any) -> Any:
    """Give all weights random values, with which no layer is silent and no normalization does nothing."""
    generator = np.random.default_rng(7)
    for weight in model.weights:
        if "int" in weight.dtype:
            continue
        low, high = (0.5, 1.5) if "variance" in weight.path or "gamma" in weight.path else (-0.6, 0.6)
        weight.assign(generator.uniform(low, high, weight.shape))
    return model


def check(source: Any, folder: Path) -> Rebuilt:
    """Rebuild, and see that copies and saved files of the result answer the same."""
    import tf_keras

    rebuilt = rebuild(source)
    assert rebuilt.difference <= 1e-5
    model = rebuilt.model
    assert isinstance(model, tf_keras.Model)
    copy = tf_keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    keras_models.save(model, folder / "model.h5")
    loaded = keras_models.load(folder / "model.h5")
    for values in random_inputs(source):
        expected = outputs(model, values)
        for other in (copy, loaded):
            for one, two in zip(expected, outputs(other, values), strict=True):
                assert np.array_equal(one, two, equal_nan=True)
    return rebuilt
