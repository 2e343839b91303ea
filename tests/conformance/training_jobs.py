"""Jobs that run in workers: what training does, compared with formulas that are worked out here in NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from optkit.data import Dataset, Part
from optkit.problem import Preprocessing, Task
from optkit.training import TrainingPlan, configure_tensorflow, kept_epoch, train

if TYPE_CHECKING:
    from collections.abc import Callable

    from optkit.workers import Tell

EXAMPLES, WIDTH, CLASSES = 48, 5, 3
RATE, EPSILON = 0.05, 1e-7
L1, L2 = 0.002, 0.03
STEPS = (0, 1, 7, 12, 14, 15, 16, 21, 22, 23, 30, 39)
TASKS = {
    "probabilities": Task(size=CLASSES),
    "logits": Task(outputs="logits", size=CLASSES),
    "sigmoids": Task(outputs="sigmoids", size=CLASSES),
    "binary": Task("binary", "probabilities", 1),
    "binary logit": Task("binary", "logits", 1),
    "value": Task("regression", "values", 1),
}


def table(task: Task, *, upside_down: bool = False, validation: int = 40) -> Dataset:
    """Numbers with a rule behind them; ``upside_down`` is held out with the next class in place of the right one.

    Then what is learned makes the held out part worse, from the first step on.
    """
    generator = np.random.default_rng(3)
    rule = generator.normal(size=(WIDTH, max(1, task.classes)))

    def part(count: int) -> Part:
        values = generator.normal(size=(count, WIDTH)).astype(np.float32)
        answers = values @ rule
        if task.kind == "regression":
            return Part(values, answers[:, 0].astype(np.float32))
        return Part(values, answers.argmax(1).astype(np.int64))

    train_part, held_out = part(EXAMPLES), part(validation)
    if upside_down:
        held_out = Part(train_part.images, (train_part.labels + 1) % task.classes)
    return Dataset("d", "", task.classes, (), train_part, held_out, held_out, np.arange(4), None, Preprocessing())


def network(task: Task, *, l1: float = 0.0, l2: float = 0.0, norm: bool = False, blank: bool = False) -> Any:
    """One hidden layer; the same weights each time. A ``blank`` one answers the same to everything at first."""
    import tf_keras
    from tf_keras import layers, regularizers

    tf_keras.utils.set_random_seed(1)
    given = layers.Input((WIDTH,), name="image")
    penalty = regularizers.L1L2(l1, l2) if l1 or l2 else None
    x = layers.Dense(6, activation="tanh", name="hidden", kernel_regularizer=penalty)(given)
    if norm:
        x = layers.BatchNormalization(name="norm")(x)
    ends = {"logits": None, "values": None, "sigmoids": "sigmoid"}
    activation = ends.get(task.outputs, "softmax" if task.kind == "multiclass" else "sigmoid")
    start = "zeros" if blank else "glorot_uniform"
    end = layers.Dense(task.size, activation=activation, name="out", kernel_initializer=start)
    return tf_keras.Model(given, end(x))


def plan(**changes: Any) -> TrainingPlan:
    """Plain gradient descent with the whole set in a batch, unless said otherwise."""
    return msgspec.structs.replace(TrainingPlan(3, EXAMPLES, "sgd", RATE, "constant"), **changes)


def short(value: float | None) -> float | None:
    """With as many digits as are compared: a message from a worker has little room."""
    return None if value is None else float(f"{value:.7g}")


def fit(model: Any, dataset: Dataset, how: TrainingPlan, task: Task, **more: Any) -> list[Any]:
    return train(model, dataset, how, task=task, seed=0, tell=lambda _: None, **more)


def far(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """The largest difference between two sets of weights."""
    return max(float(np.abs(one - other).max()) for one, other in zip(found, expected, strict=True))


def _step(how: TrainingPlan, memory: dict[str, Any], weight: np.ndarray, slope: np.ndarray, step: int) -> np.ndarray:
    """What the papers' formulas make of one weight."""
    rate = how.learning_rate
    if how.optimizer == "sgd":
        memory["v"] = how.momentum * memory.get("v", 0.0) - rate * slope
        return weight + (how.momentum * memory["v"] - rate * slope if how.nesterov else memory["v"])
    if how.optimizer == "adagrad":
        memory["sum"] = memory.get("sum", 0.1) + slope**2
        return weight - rate * slope / np.sqrt(memory["sum"] + EPSILON)
    if how.optimizer == "rmsprop":
        memory["mean"] = 0.9 * memory.get("mean", 0.0) + 0.1 * slope**2
        memory["v"] = how.momentum * memory.get("v", 0.0) + rate * slope / np.sqrt(memory["mean"] + EPSILON)
        return weight - memory["v"]
    if how.optimizer == "adamw" and weight.ndim > 1:
        weight = weight - rate * how.weight_decay * weight
    memory["m"] = 0.9 * memory.get("m", 0.0) + 0.1 * slope
    memory["s"] = 0.999 * memory.get("s", 0.0) + 0.001 * slope**2
    bent = rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    return weight - bent * memory["m"] / (np.sqrt(memory["s"]) + EPSILON)


def optimizers(tell: Tell) -> dict[str, Any]:  # noqa: ARG001
    """How far each optimizer is from its formula after three steps, and from where it began."""
    configure_tensorflow(0, threads=1)
    plans = {
        "sgd": plan(),
        "momentum": plan(momentum=0.9),
        "nesterov": plan(momentum=0.9, nesterov=True),
        "adagrad": plan(optimizer="adagrad"),
        "rmsprop": plan(optimizer="rmsprop"),
        "rmsprop momentum": plan(optimizer="rmsprop", momentum=0.5),
        "adam": plan(optimizer="adam"),
        "adamw": plan(optimizer="adamw", weight_decay=0.5),
    }
    task = TASKS["probabilities"]
    found = {}
    for name, how in plans.items():
        model, start = network(task, norm=True), network(task, norm=True).get_weights()
        fit(model, table(task), how, task)
        found[name] = [far(model.get_weights(), _by_formula(how, task)), far(model.get_weights(), start)]
    model, how = network(task, l1=L1, l2=L2), plan()
    fit(model, table(task), how, task)
    expected = _by_formula(how, task, l1=L1, l2=L2, norm=False)
    without = _by_formula(how, task, norm=False)
    found["penalties"] = [far(model.get_weights(), expected), far(model.get_weights(), without)]
    return found


def _by_formula(how: TrainingPlan, task: Task, *, l1: float = 0.0, l2: float = 0.0, norm: bool = True) -> list[Any]:
    import tensorflow as tf

    model, part = network(task, norm=norm), table(task).train
    kernel = model.get_layer("hidden").kernel
    memories: list[dict[str, Any]] = [{} for _ in model.trainable_variables]
    for step in range(1, how.epochs + 1):
        with tf.GradientTape() as tape:
            answers = model(part.images, training=True)
            right = tf.gather(answers, part.labels, axis=1, batch_dims=1)
            loss = -tf.reduce_mean(tf.math.log(right))
        slopes = tape.gradient(loss, model.trainable_variables)
        for variable, slope, memory in zip(model.trainable_variables, slopes, memories, strict=True):
            value, gradient = variable.numpy().astype(np.float64), slope.numpy().astype(np.float64)
            if variable is kernel:
                gradient += l1 * np.sign(value) + 2 * l2 * value
            variable.assign(_step(how, memory, value, gradient, step))
    return list(model.get_weights())


def losses(tell: Tell) -> dict[str, list[float | None]]:  # noqa: ARG001
    """The validation loss and accuracy that are told, what they should be, and the penalty likewise."""
    configure_tensorflow(0, threads=1)
    fits = {
        "cross-entropy": ("probabilities", "logits"),
        "one-hot cross-entropy": ("probabilities", "logits"),
        "binary cross-entropy": ("probabilities", "sigmoids", "binary", "binary logit"),
        "mean squared": ("probabilities", "sigmoids", "binary", "value"),
        "mean absolute": ("probabilities", "sigmoids", "binary", "value"),
    }
    found = {}
    for loss, names in fits.items():
        for name in names:
            for smoothing in (0.0, 0.2) if loss.endswith("cross-entropy") else (0.0,):
                task = TASKS[name]
                dataset, model = table(task), network(task, l1=L1, l2=L2)
                how = plan(loss=loss, label_smoothing=smoothing, batch=16)
                epoch = fit(model, dataset, how, task)[-1]
                kernel = model.get_layer("hidden").kernel.numpy()
                penalty = L1 * np.abs(kernel).sum() + L2 * (kernel**2).sum()
                answers = model(dataset.validation.images).numpy().astype(np.float64)
                mean, accuracy = _by_definition(loss, smoothing, task, answers, dataset.validation.labels)
                told = [epoch.validation_loss, epoch.validation_accuracy, epoch.penalty]
                found[f"{loss}, {name}, {smoothing}"] = [short(x) for x in (*told, mean + penalty, accuracy, penalty)]
    return found


def _by_definition(
    loss: str, smoothing: float, task: Task, answers: np.ndarray, labels: np.ndarray
) -> tuple[float, float | None]:
    accuracy = None
    if task.kind == "multiclass":
        accuracy = float((answers.argmax(1) == labels).mean())
        truth = np.eye(task.size)[labels]
    else:
        truth = labels[:, None].astype(np.float64)
        if task.kind == "binary":
            accuracy = float(((answers > (0 if task.outputs == "logits" else 0.5)) == (truth > 0.5)).mean())
    if loss.startswith("mean"):
        error = answers - truth
        return float((error**2 if loss == "mean squared" else np.abs(error)).mean()), accuracy
    if loss == "binary cross-entropy":
        truth = truth * (1 - smoothing) + smoothing / 2
        chance = 1 / (1 + np.exp(-answers)) if task.outputs == "logits" else answers
        return float(-(truth * np.log(chance) + (1 - truth) * np.log(1 - chance)).mean()), accuracy
    truth = truth * (1 - smoothing) + smoothing / task.size
    if task.outputs == "logits":
        answers = np.exp(answers) / np.exp(answers).sum(1, keepdims=True)
    return float(-(truth * np.log(answers)).sum(1).mean()), accuracy


def rates(tell: Tell) -> dict[str, Any]:  # noqa: ARG001
    """The rate at steps of 40 by plan, and what whole trainings note."""
    from optkit.training.optimizers import optimizer_of

    configure_tensorflow(0, threads=1)
    found: dict[str, Any] = {}
    for schedule in ("constant", "plateau", "cosine", "one-cycle"):
        for warmup in (0.0, 1.5):
            how = plan(epochs=4, schedule=schedule, warmup_epochs=warmup)
            rate = optimizer_of(how, 10, [])._learning_rate
            found[f"{schedule} {warmup}"] = [
                short(float(rate if isinstance(rate, float) or not callable(rate) else rate(step))) for step in STEPS
            ]
    task = TASKS["probabilities"]
    dataset = table(task, upside_down=True)
    how = plan(epochs=9, schedule="plateau", plateau_patience=2, plateau_floor=RATE / 3)
    found["plateau on data that never get better"] = _noted(dataset, how, task)
    found["low plateau"] = _noted(dataset, msgspec.structs.replace(how, plateau_floor=1.0), task)
    for schedule in ("cosine", "one-cycle"):
        found[f"trained {schedule}"] = _noted(dataset, plan(epochs=4, batch=5, schedule=schedule), task)
    return found


def _noted(dataset: Dataset, how: TrainingPlan, task: Task) -> list[float]:
    return [epoch.learning_rate for epoch in fit(network(task, blank=True), dataset, how, task)]


def stops(tell: Tell) -> dict[str, Any]:  # noqa: ARG001
    """Early stopping where every epoch but the first is worse, and where none is."""
    configure_tensorflow(0, threads=1)
    task, found = TASKS["probabilities"], {}
    for name, upside_down in (("worse", True), ("better", False)):
        seen: list[list[np.ndarray]] = []
        model, how = network(task, blank=True), plan(epochs=8, early_stopping=3)
        epochs = fit(model, table(task, upside_down=upside_down), how, task, on_epoch=_keep(model, seen))
        distances = [far(model.get_weights(), weights) for weights in seen]
        found[name] = {"epochs": len(epochs), "kept": kept_epoch(how, epochs), "at": distances.index(0.0)}
    model, seen = network(task), []
    fit(model, table(task, upside_down=True), plan(epochs=5), task, on_epoch=_keep(model, seen))
    found["without"] = far(model.get_weights(), seen[-1])
    return found


def _keep(model: Any, seen: list[list[np.ndarray]], last: int = -1) -> Callable[[int, Any], bool]:
    def on_epoch(number: int, _: Any) -> bool:
        seen.append(model.get_weights())
        return number == last

    return on_epoch


def averages(tell: Tell) -> dict[str, Any]:  # noqa: ARG001
    """A training with averaged weights beside the same one without, whose weights are averaged here."""
    configure_tensorflow(0, threads=1)
    task = TASKS["probabilities"]
    dataset, how = table(task), plan(epochs=12)
    raw: list[list[np.ndarray]] = []
    kept: list[list[np.ndarray]] = []
    plain, averaged = network(task, norm=True), network(task, norm=True)
    expected = plain.get_weights()
    fit(plain, dataset, how, task, on_epoch=_keep(plain, raw))
    epochs = fit(averaged, dataset, msgspec.structs.replace(how, ema=0.6), task, on_epoch=_keep(averaged, kept))
    distances = []
    for step, (weights, found) in enumerate(zip(raw, kept, strict=True), 1):
        momentum = min(0.6, (1 + step) / (10 + step))
        expected = [momentum * old + (1 - momentum) * new for old, new in zip(expected, weights, strict=True)]
        distances.append(far(found, expected))
    answers = averaged(dataset.validation.images).numpy()
    right = answers[np.arange(len(answers)), dataset.validation.labels]
    return {
        "distance": max(distances),
        "from plain": far(kept[-1], raw[-1]),
        "end": far(averaged.get_weights(), kept[-1]),
        "loss": [epochs[-1].validation_loss, float(-np.log(right).mean())],
        "restored": _best_of_averages(task),
    }


def _best_of_averages(task: Task) -> float:
    """With early stopping it is the best epoch's averages that are kept."""
    seen: list[list[np.ndarray]] = []
    model = network(task, blank=True)
    how = plan(epochs=6, ema=0.5, early_stopping=2)
    fit(model, table(task, upside_down=True), how, task, on_epoch=_keep(model, seen))
    return far(model.get_weights(), seen[0])


def odd_ends(tell: Tell) -> dict[str, Any]:  # noqa: ARG001
    """A rate far too high, no validation data, a caller who has seen enough, a data set under one batch."""
    configure_tensorflow(0, threads=1)
    value, task = TASKS["value"], TASKS["probabilities"]
    wild = fit(network(value), table(value), plan(epochs=60, learning_rate=90.0, momentum=0.9), value)
    alone = fit(network(task), table(task, validation=0), plan(), task)
    model, seen = network(task), []
    ended = fit(model, table(task), plan(epochs=6), task, on_epoch=_keep(model, seen, last=1))
    large = fit(network(task), table(task), plan(epochs=1, batch=4096), task)
    return {
        "wild": [wild[-1].loss, wild[-1].validation_loss, len(wild)],
        "alone": [alone[-1].validation_loss, alone[-1].validation_accuracy, alone[-1].loss],
        "ended": len(ended),
        "large": large[0].loss,
    }
