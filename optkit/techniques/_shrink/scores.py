"""How important each group of channels is, by one of five scores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from optkit.keras_models._replay import replay
from optkit.techniques._shrink.follow import is_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from optkit.data import Dataset
    from optkit.problem import Task
    from optkit.techniques._shrink.channels import Followed, Path

# Examples for scores that look at data: their ranking of channels hardly moves beyond some hundred.
EXAMPLES = 1_024
# Of large pictures fewer, since each goes through the network in every turn.
_VALUES = 20_000_000
_VALUES_AT_ONCE = 1_200_000
_AT_ONCE = 64


def layer_at(model: Any, path: Path) -> Any:
    """The layer of that name, inside nested models where the path leads into them."""
    layer = model
    for name in path:
        layer = layer.get_layer(name)
    return layer


def scores(model: Any, followed: Followed, score: str, *, data: Dataset, task: Task, seed: int) -> np.ndarray:
    """The importance of each group, float64 [groups]; NaN where a score says nothing of it.

    Args:
        model: The tf_keras model.
        followed: Its channels.
        score: ``l1`` and ``l2``: the norm of the weights that make a channel (Li et al., 2017, arXiv:1608.08710,
            section 3.1). ``batch-norm``: the absolute scale of its batch normalization (Liu et al., 2017,
            arXiv:1708.06519). ``activation``: the mean absolute activation. ``taylor``: the mean square, over examples,
            of the change of the loss to first order when the channel is multiplied by zero (Molchanov et al., 2019,
            arXiv:1906.10771, eq. 8, with a gate on each group). Norms and activations are over their layer's mean,
            so that layers can be compared; the other two are comparable by themselves.
        data: Of its training part, ``activation`` and ``taylor`` take examples.
        task: What the outputs stand for.
        seed: Decides which examples.
    """
    if score in {"l1", "l2"}:
        return _by_weights(model, followed, 1 if score == "l1" else 2)
    if score == "batch-norm":
        return _by_normalization(model, followed)
    return _ON_DATA[score](model, followed, data, task, seed)


def without_data(model: Any, followed: Followed, score: str) -> np.ndarray:
    """As ``scores``, with nothing but zero where it takes data to tell."""
    if score == "batch-norm":
        return _by_normalization(model, followed)
    return np.zeros(followed.groups) if score in _ON_DATA else _by_weights(model, followed, 1)


def _mean_by_group(followed: Followed, entries: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The mean of all entries (channels, values) of each group; NaN where there are none."""
    total, count = np.zeros(followed.groups), np.zeros(followed.groups)
    for channels, values in entries:
        np.add.at(total, followed.group[channels], values)
        np.add.at(count, followed.group[channels], 1)
    with np.errstate(invalid="ignore"):
        found: np.ndarray = total / count
    return found


def _over_mean(values: np.ndarray) -> np.ndarray:
    mean = values.mean()
    return values / mean if mean > 0 else values


def _by_weights(model: Any, followed: Followed, power: int) -> np.ndarray:
    entries = []
    for cut in followed.cuts:
        made = [axis for axis in cut.axes if axis not in cut.reads]
        if not cut.kernel or not made:
            continue
        kernel = np.abs(layer_at(model, cut.path).get_weights()[cut.weight].astype(np.float64)) ** power
        others = tuple(axis for axis in range(kernel.ndim) if axis != made[0])
        entries.append((cut.axes[made[0]], _over_mean(kernel.sum(axis=others) ** (1 / power))))
    return _mean_by_group(followed, entries)


def _by_normalization(model: Any, followed: Followed) -> np.ndarray:
    entries = []
    for path in dict.fromkeys(cut.path for cut in followed.cuts):
        layer = layer_at(model, path)
        if getattr(layer, "moving_variance", None) is not None and layer.gamma is not None:
            entries.append((followed.inputs[path], np.abs(layer.gamma.numpy())))
    return _mean_by_group(followed, entries)


def _readers(followed: Followed) -> dict[Path, np.ndarray]:
    """Layers that sum over channels → the channels of what goes in."""
    return {cut.path: followed.inputs[cut.path] for cut in followed.cuts if cut.reads}


def _run(model: Any, inputs: list[Any], path: Path, at: Callable[[Path, Any], Any]) -> list[Any]:
    """The model's outputs, with ``at`` applied to what goes into each layer."""

    def apply(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        import tensorflow as tf

        own = (*path, layer.name)
        if is_model(layer):
            return _run(layer, tf.nest.flatten(args), own, at)
        changed = (at(own, args[0]), *args[1:]) if args and tf.is_tensor(args[0]) else args
        return layer(*changed, **kwargs)

    return replay(model, inputs, apply)


def batches(model: Any, data: Dataset, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Real training examples float32 [n, *shape] and their labels, drawn by the seed."""
    shape = tuple(model.input_shape[1:])
    size = max(1, math.prod(shape))
    count = min(EXAMPLES, len(data.train.labels), max(_AT_ONCE, _VALUES // size))
    chosen = np.sort(np.random.default_rng(seed).permutation(len(data.train.labels))[:count])
    at_once = max(1, min(_AT_ONCE, _VALUES_AT_ONCE // size))
    for start in range(0, count, at_once):
        rows = chosen[start : start + at_once]
        yield data.real(data.train.images[rows], shape), data.train.labels[rows]


def _by_activation(model: Any, followed: Followed, data: Dataset, _task: Task, seed: int) -> np.ndarray:
    import tensorflow as tf

    readers = _readers(followed)
    sums: dict[Path, np.ndarray] = {}

    def at(path: Path, x: Any) -> Any:
        if path in readers:
            seen = tf.reduce_sum(tf.abs(x), axis=list(range(len(x.shape) - 1))).numpy().astype(np.float64)
            sums[path] = sums.get(path, 0.0) + seen
        return x

    for real, _ in batches(model, data, seed):
        _run(model, [tf.constant(real)], (), at)
    return _mean_by_group(followed, [(readers[path], _over_mean(values)) for path, values in sums.items()])


def _by_taylor(model: Any, followed: Followed, data: Dataset, task: Task, seed: int) -> np.ndarray:
    import tensorflow as tf

    from optkit.training import TrainingPlan
    from optkit.training.losses import loss_and_metric, objective_of, targets_of

    readers = _readers(followed)
    objective = objective_of(TrainingPlan(1, 1, "adam", 1e-3, "constant"), task)
    loss, _ = loss_and_metric(objective, task)
    total, count = np.zeros(followed.groups), 0
    for real, labels in batches(model, data, seed):
        # One gate for each example and group: the loss's slope along it is what a Taylor expansion says of removing it.
        gates = tf.ones((len(real), followed.groups))

        def at(path: Path, x: Any, gates: Any = gates) -> Any:
            if path not in readers:
                return x
            gate = tf.gather(gates, followed.group[readers[path]], axis=1)
            return x * tf.reshape(gate, [gate.shape[0], *[1] * (len(x.shape) - 2), gate.shape[1]])

        with tf.GradientTape() as tape:
            tape.watch(gates)
            (outputs,) = _run(model, [tf.constant(real)], (), at)
            # The sum: an example's gates have no part in the others' losses.
            value = loss(targets_of(labels, objective, task), outputs) * float(len(real))
        slopes = tape.gradient(value, gates)
        total += (slopes.numpy().astype(np.float64) ** 2).sum(axis=0)
        count += len(real)
    return total / max(1, count)


_ON_DATA: dict[str, Callable[..., np.ndarray]] = {"activation": _by_activation, "taylor": _by_taylor}
