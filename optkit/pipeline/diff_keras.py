"""What each layer of a Keras file makes of a few images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optkit.keras_models import detect, loading
from optkit.runtimes._layer_outputs import SQUASHING, LayerOutput, affordable

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.runtimes import Session

# float32 sums in another order, as for the small runtimes.
_FLOAT = 1e-11


def layer_outputs(path: Path, session: Session, images: np.ndarray, folder: Path) -> list[LayerOutput]:
    """What each layer makes of images; a nested model counts as one layer.

    Args:
        path: The file.
        session: The file, open: it knows how images become the input.
        images: Real images float32 [n, …].
        folder: Where values are written.

    Raises:
        InputError: The file cannot be loaded.
    """
    model = loading.load_found(detect.identify(path), path, {})
    layers = [layer for layer in model.layers if _single_output(layer) is not None and layer.name]
    shapes = [tuple(size or 1 for size in _single_output(layer).shape) for layer in layers]
    images = images[: affordable(shapes, len(images))]
    native = session.to_native(images)
    inner = type(_functional(model))(model.inputs, [_single_output(layer) for layer in layers])
    found = inner(native, training=False)
    found = list(found) if isinstance(found, (list, tuple)) else [found]
    np.save(folder / "input.npy", images, allow_pickle=False)
    start = model.inputs[0].name
    records = [LayerOutput(start, "input", [], file="input.npy")]
    made = {id(model.inputs[0]): start}
    for layer in layers:
        made[id(_single_output(layer))] = layer.name
    for index, (layer, values) in enumerate(zip(layers, found, strict=True)):
        kind = type(layer).__name__
        if kind == "InputLayer":
            made[id(_single_output(layer))] = start
            continue
        np.save(folder / f"{index}.npy", np.asarray(values, np.float32), allow_pickle=False)
        activation = getattr(getattr(layer, "activation", None), "__name__", "")
        before = layer.input if isinstance(layer.input, (list, tuple)) else [layer.input]
        records.append(
            LayerOutput(
                layer.name,
                kind,
                [made.get(id(one), start) for one in before],
                rounding=_FLOAT,
                squash=SQUASHING.get(activation) or SQUASHING.get(kind),
                file=f"{index}.npy",
                kernel=_kernel(layer, index, folder),
            )
        )
    return records


def _functional(model: Any) -> Any:
    """A model of the class that takes inputs and outputs: a Sequential does not."""
    if type(model).__name__ != "Sequential":
        return model
    if type(model).__module__.startswith("tf_keras"):
        import tf_keras

        return tf_keras.Model(model.inputs, model.outputs)
    import keras

    return keras.Model(model.inputs, model.outputs)


def _single_output(layer: Any) -> Any:
    """A layer's output tensor; ``None`` where it has several, or is used at several places."""
    try:
        output = layer.output
    except (AttributeError, ValueError, RuntimeError):
        return None
    return None if isinstance(output, (list, tuple, dict)) else output


def _kernel(layer: Any, index: int, folder: Path) -> str | None:
    kernels = [np.asarray(weight) for weight in layer.weights if len(np.shape(weight)) > 1]
    if not kernels:
        return None
    name = f"{index}.kernel.npy"
    np.save(folder / name, max(kernels, key=lambda one: one.size).astype(np.float32), allow_pickle=False)
    return name
