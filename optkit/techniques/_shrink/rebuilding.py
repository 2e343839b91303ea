"""Builds the smaller model, and proves that it is the whole one less what was removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optkit.errors import InternalError, UnreachableError
from optkit.keras_models import lookup
from optkit.keras_models._replay import replay
from optkit.techniques._shrink.follow import is_model
from optkit.techniques._shrink.scores import layer_at

if TYPE_CHECKING:
    from collections.abc import Iterable

    from optkit.techniques._shrink.channels import Cut, Followed, Path, Setting

# Of an output's largest value. Sums of other lengths are added up in another order, which is worth some 1e-6 in
# float32; a channel in the wrong place is off by far more.
LIMIT = 1e-4
_EXAMPLES = 4
# Sides to try for an axis whose size is open.
_ANY_SIZE = 32


def rebuild(model: Any, followed: Followed, keep: np.ndarray) -> Any:
    """A smaller model of the same kind, with the same names and the weights that are kept.

    Args:
        model: The tf_keras model; it is not changed.
        followed: Its channels.
        keep: Groups that stay, bool [groups].

    Raises:
        UnreachableError: Keras cannot build such a model from a configuration.
    """
    wanted: dict[Path, list[Setting]] = {}
    for setting in followed.settings:
        wanted.setdefault(setting.path, []).append(setting)
    config = _edited(model.get_config(), (), wanted, followed, keep)
    try:
        made = type(model).from_config(config)
    except Exception:
        _check_can_be_built(model)
        raise
    cuts: dict[Path, list[Cut]] = {}
    for cut in followed.cuts:
        cuts.setdefault(cut.path, []).append(cut)
    for path, layer in _layers(model, ()):
        weights = layer.get_weights()
        for cut in cuts.get(path, []):
            for axis, channels in cut.axes.items():
                weights[cut.weight] = np.take(weights[cut.weight], followed.kept(channels, keep), axis=axis)
        if weights:
            layer_at(made, path).set_weights(weights)
    return made


def _check_can_be_built(model: Any) -> None:
    """Tell a model that Keras cannot build again at all from a size that was set wrong.

    Raises:
        UnreachableError: It cannot.
    """
    try:
        type(model).from_config(model.get_config())
    except Exception as error:
        # Keras raises whatever a layer's code raises.
        reason = " ".join(str(error).split())[:200]
        raise UnreachableError(
            f"shrink: Keras cannot build {model.name} again from its own configuration ({reason}); save it with layers "
            "that it can"
        ) from error


def _layers(model: Any, path: Path) -> Iterable[tuple[Path, Any]]:
    """All layers, those of nested models in place of these."""
    for layer in model.layers:
        own = (*path, layer.name)
        if is_model(layer):
            yield from _layers(layer, own)
        else:
            yield own, layer


def _edited(
    config: dict[str, Any], path: Path, wanted: dict[Path, list[Setting]], followed: Followed, keep: np.ndarray
) -> dict[str, Any]:
    """A model's configuration with the sizes that follow from what is kept."""
    layers = []
    for entry in config["layers"]:
        # The shape that a layer was built with: it is built anew.
        one = {key: value for key, value in entry.items() if key != "build_config"}
        own = (*path, str(one.get("name") or one["config"]["name"]))
        if "layers" in one["config"]:
            one["config"] = _edited(one["config"], own, wanted, followed, keep)
        else:
            one["config"] = _edited_layer(one["config"], own, wanted, followed, keep)
        layers.append(one)
    return {key: value for key, value in config.items() if key != "build_input_shape"} | {"layers": layers}


def _edited_layer(
    config: dict[str, Any], path: Path, wanted: dict[Path, list[Setting]], followed: Followed, keep: np.ndarray
) -> dict[str, Any]:
    edited = dict(config)
    shape = edited.get("batch_input_shape")
    if shape is not None and path in followed.inputs:
        edited["batch_input_shape"] = (*shape[:-1], len(followed.kept(followed.inputs[path], keep)))
    for setting in wanted.get(path, []):
        count = len(followed.kept(setting.channels, keep)) // setting.per
        edited[setting.key] = count if setting.before is None else (*setting.before, count)
    return edited


def prove(model: Any, followed: Followed, keep: np.ndarray, smaller: Any, seed: int) -> float:
    """The smaller model gives what the whole one does when nothing reads the removed channels.

    In a copy of the whole model every weight that reads a removed channel is zero, so that whatever the channel holds,
    its bias and normalization among it, has no effect; what makes the removed channels gets random numbers, so that
    one that is read after all shows. The last softmax is left out of both, since it hides differences.

    Args:
        model: The whole tf_keras model.
        followed: Its channels.
        keep: Groups that stay, bool [groups].
        smaller: The rebuilt model.
        seed: Of the random inputs and numbers.

    Returns:
        The largest difference of any output, over the largest value of that output.

    Raises:
        InternalError: It is over 1e-4.
    """
    import tensorflow as tf

    from optkit.techniques import copy_model

    generator = np.random.default_rng(seed)
    masked = copy_model(model)
    _mask(masked, followed, keep, generator)
    shapes = [[_EXAMPLES, *(size or _ANY_SIZE for size in one.shape[1:])] for one in model.inputs]
    worst = 0.0
    rows = [layer for layers in lookup.tables(model).values() for layer in layers]
    numbers = min((layer.input_dim for layer in rows), default=0)
    # Values as of features, and as of pixels; whole numbers where they are looked up.
    draws = (
        (generator.standard_normal, generator.random)
        if not rows
        else (lambda shape: generator.integers(numbers, size=shape),)
    )
    for draw in draws:
        inputs = [
            tf.cast(tf.constant(draw(shape).astype(np.float32)), tensor.dtype)
            for shape, tensor in zip(shapes, model.inputs, strict=True)
        ]
        for expected, found in zip(_outputs(masked, inputs), _outputs(smaller, inputs), strict=True):
            if expected.shape != found.shape:
                raise InternalError(f"shrink: the rebuilt model answers {found.shape}, the whole one {expected.shape}")
            largest = float(np.abs(expected).max())
            difference = float(np.abs(expected - found).max()) / largest if largest else float(np.abs(found).max())
            worst = max(worst, difference)
    # Written so that a NaN fails.
    if not worst <= LIMIT:
        raise InternalError(
            f"shrink: the rebuilt model must answer within {LIMIT:g} of the whole one without the removed channels, "
            f"found {worst:.2g}"
        )
    return worst


def _mask(model: Any, followed: Followed, keep: np.ndarray, generator: np.random.Generator) -> None:
    """Zero what reads removed channels, and put random numbers over zero in what makes them."""
    for path in dict.fromkeys(cut.path for cut in followed.cuts):
        layer = layer_at(model, path)
        weights = layer.get_weights()
        for cut in (one for one in followed.cuts if one.path == path):
            value = weights[cut.weight]
            for axis, channels in cut.axes.items():
                gone = np.flatnonzero(~keep[followed.group[channels]])
                rows = np.moveaxis(value, axis, 0)
                if axis not in cut.reads:
                    # Over zero, as a variance must be.
                    rows[gone] = generator.uniform(0.5, 1.5, rows[gone].shape)
            for axis in cut.reads:
                gone = np.flatnonzero(~keep[followed.group[cut.axes[axis]]])
                np.moveaxis(value, axis, 0)[gone] = 0
        layer.set_weights(weights)


def _outputs(model: Any, inputs: list[Any]) -> list[np.ndarray]:
    """A model's outputs, those of a softmax before it."""
    import tensorflow as tf

    def apply(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if is_model(layer):
            return replay(layer, tf.nest.flatten(args), apply)
        activation = getattr(layer, "activation", None)
        if getattr(activation, "__name__", "") != "softmax":
            return layer(*args, **kwargs)
        layer.activation = tf.identity
        try:
            return layer(*args, **kwargs)
        finally:
            layer.activation = activation

    return [one.numpy() for one in replay(model, inputs, apply)]
