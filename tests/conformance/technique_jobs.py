"""Jobs that run in workers: one technique on a small network and real images, whole or broken."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec

from optkit import data, keras_models, registry, techniques
from optkit.problem import Task
from optkit.schema import LayerNote, Step
from optkit.techniques import Applied, Teacher, Work
from optkit.training import TrainingPlan, configure_tensorflow, train

if TYPE_CHECKING:
    from optkit.workers import Tell


def small_model() -> Any:
    """A network with every kind of layer that the baselines have, a convolution that 2 of 4 cannot prune, and a
    separable one, which has two kernels.
    """
    from tf_keras import Model, layers

    image = layers.Input((28, 28, 1), name="image")
    x = layers.Conv2D(8, 5, strides=2, activation="relu", name="conv_1")(image)
    x = layers.Conv2D(8, 3, activation="relu", name="conv_2")(x)
    x = layers.SeparableConv2D(8, 3, padding="same", activation="relu", name="separable")(x)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(0.2, name="dropout")(x)
    return Model(image, layers.Dense(10, activation="softmax", name="probabilities")(x))


def _do_nothing(model: Any) -> Applied:
    """What the broken copies have in common: they report every layer as changed, and skip the training."""
    notes = [LayerNote(layer.name, changed=True, reason="changed") for layer in model.layers if layer.weights]
    others = [
        LayerNote(layer.name, changed=False, reason="has no kernel") for layer in model.layers if not layer.weights
    ]
    return Applied(techniques.copy_model(model), notes + others, [])


def _changes_its_input(model: Any) -> Applied:
    applied = _do_nothing(model)
    model.set_weights([weight * 2 for weight in model.get_weights()])
    return applied


def _leaves_a_layer_out(model: Any) -> Applied:
    applied = _do_nothing(model)
    return Applied(applied.model, applied.notes[:-1], applied.epochs)


def _gives_no_reason(model: Any) -> Applied:
    applied = _do_nothing(model)
    first = applied.notes[0]
    return Applied(applied.model, [LayerNote(first.layer, first.changed, ""), *applied.notes[1:]], applied.epochs)


# What a technique needs to have something to do with this network.
PARAMS: dict[str, dict[str, Any]] = {
    "factorize": {"share": 0.5},
    "distill": {"student": "pool:2/dense:32", "learning_rate": 2e-2},
}
BROKEN = {
    "changes_its_input": _changes_its_input,
    "leaves_a_layer_out": _leaves_a_layer_out,
    "gives_no_reason": _gives_no_reason,
    "promises_nothing_kept": _do_nothing,
}


def trains(name: str) -> bool:
    """Whether a technique trains."""
    return "epochs" in registry.load("techniques", name).Params.__struct_fields__


def work_for(name: str, given: dict[str, Any], tell: Tell, teachers: tuple[Teacher, ...] = ()) -> Work:
    """A technique's work on MNIST."""
    module = registry.load("techniques", name)
    dataset = data.load("mnist", train_samples=1280)
    return Work(
        params=msgspec.convert(given, module.Params),
        history=(),
        data=dataset,
        task=Task(),
        seed=0,
        skip_layers=(),
        tell=tell,
        teachers=teachers,
        calibration=lambda shape: dataset.real(dataset.train.images[:200], shape),
    )


def run(
    tell: Tell, *, name: str, breakage: str | None, params: dict[str, Any] | None = None, history: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Apply a technique, or a copy of it with one breakage, through the runner."""
    configure_tensorflow(0, threads=1)
    module = registry.load("techniques", name)
    model = small_model()
    teachers: tuple[Teacher, ...] = ()
    with TemporaryDirectory() as folder:
        if hasattr(module, "teachers"):
            # The baseline is trained before any technique.
            plan = TrainingPlan(3, 64, "adam", 3e-3, "cosine")
            train(model, data.load("mnist", train_samples=1280), plan, task=Task(), seed=0, tell=tell)
            path = Path(folder) / "baseline.h5"
            keras_models.save(model, path)
            teachers = (Teacher(path, Task()),)
        given = PARAMS.get(name, {}) | ({"epochs": 1} if trains(name) else {}) | (params or {})
        work = work_for(name, given, tell, teachers)
        work = dataclasses.replace(work, history=tuple(Step(one) for one in history))
        return _applied(module, name, model, work, breakage)


def _applied(module: ModuleType, name: str, model: Any, work: Work, breakage: str | None) -> dict[str, Any]:
    before = techniques.weights_digest(model)
    if breakage is not None:
        broken = ModuleType(name)
        broken.__dict__.update(module.__dict__)

        def apply(model: Any, _: Work) -> Applied:
            return BROKEN[breakage](model)

        broken.__dict__["apply"] = apply
        # A fresh process: nothing else sees the replaced plug-in.
        registry.load.__globals__["importlib"].import_module = lambda _: broken
    layers = [layer.name for layer in model.layers]
    outcome = techniques.run(name, model, work, layers)
    return {
        "input_unchanged": techniques.weights_digest(model) == before,
        "layers_reported": set(layers) | set(outcome.layers) == {note.layer for note in outcome.notes},
        # Wrappers and their rewriting do not count: files keep the source's names.
        "layers_are_the_models": outcome.layers in (layers, [layer.name for layer in outcome.model.layers]),
        "failed_checks": [check.name for check in outcome.checks if not check.passed],
        "epochs": len(outcome.epochs),
        "reasons": {note.layer: note.reason for note in outcome.notes},
        "promised": {one.layer: one.distinct_at_most for one in outcome.expectations},
        "weights_differ": techniques.weights_digest(outcome.model) != before,
    }


def ranges(tell: Tell) -> dict[str, Any]:
    """Ranges of a quantize-aware copy as training starts with them, beside what the float model's activations are."""
    import numpy as np
    import tf_keras

    from optkit.techniques import qat

    configure_tensorflow(0, threads=1)
    model = small_model()
    given = data.load("mnist", train_samples=1280)
    work = Work(qat.Params(), (), given, Task(), seed=0, skip_layers=(), tell=tell)
    quantized = qat._quantize(model, work)
    before = {weight.name: weight.numpy() for weight in quantized.weights}
    qat._start_ranges(quantized, work)
    after = {weight.name: weight.numpy() for weight in quantized.weights}
    images = given.real(given.train.images[: 8 * 128], (28, 28, 1))
    probe = tf_keras.Model(model.input, [model.get_layer(name).output for name in ("conv_1", "conv_2")])
    found = {}
    for name, outputs in zip(("conv_1", "conv_2"), probe.predict(images, batch_size=128, verbose=0), strict=True):
        # The mean over batches of each one's largest value.
        wanted = float(np.mean([part.max() for part in np.split(outputs, 8)]))
        own = [value for key, value in after.items() if key.startswith(f"quant_{name}/") and "activation_max" in key]
        found[name] = (wanted, [float(one) for one in own])
    changed = [name for name, value in before.items() if not np.array_equal(value, after[name])]
    rates = [layer.rate for layer in quantized.submodules if hasattr(layer, "rate")]
    return {"found": found, "changed": changed, "rates": rates}


def cluster_the_pruned(tell: Tell, *, clusters: int) -> dict[str, Any]:
    """Cluster a network of which pruning has left ten weights in one kernel."""
    configure_tensorflow(0, threads=1)
    model = small_model()
    layer = model.get_layer("conv_1")
    kernel, bias = layer.get_weights()
    kernel.reshape(-1)[:-10] = 0
    layer.set_weights([kernel, bias])
    work = Work(
        params=msgspec.convert({"epochs": 1, "clusters": clusters}, registry.load("techniques", "cluster").Params),
        history=(Step("prune"),),
        data=data.load("mnist", train_samples=1280),
        task=Task(),
        seed=0,
        skip_layers=(),
        tell=tell,
    )
    outcome = techniques.run("cluster", model, work, [layer.name for layer in model.layers])
    return {
        "reasons": {note.layer: note.reason for note in outcome.notes if not note.changed},
        "changed": [note.layer for note in outcome.notes if note.changed],
        "failed_checks": [check.name for check in outcome.checks if not check.passed],
        "left": int((outcome.model.get_layer("conv_1").get_weights()[0] != 0).sum()),
        "frozen": [layer.name for layer in outcome.model.layers if not layer.trainable],
    }


def qat_with_rescaling(tell: Tell, *, offset: float) -> dict[str, Any]:
    """Quantization-aware training of a network that rescales its input, and its int8 file's float operators."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from tf_keras import Model, layers

    from optkit.exporters import ExportJob, tflite
    from optkit.schema import Recipe

    configure_tensorflow(0, threads=1)
    image = layers.Input((28, 28, 1), name="image")
    x = layers.Rescaling(2.0, offset=offset, name="rescaling")(image)
    x = layers.Conv2D(8, 5, strides=2, activation="relu", name="conv")(x)
    model = Model(image, layers.Dense(10, activation="softmax", name="digits")(layers.Flatten(name="flat")(x)))
    dataset = data.load("mnist", train_samples=1280)
    params = msgspec.convert({"epochs": 1}, registry.load("techniques", "qat").Params)
    work = Work(params, (), dataset, Task(), 0, (), tell)
    outcome = techniques.run("qat", model, work, [layer.name for layer in model.layers])
    job = ExportJob(
        Recipe("qat+int8", (Step("int8"),)),
        dataset.real(dataset.train.images[:8], (28, 28, 1)),
        quantization_aware=True,
    )
    with TemporaryDirectory() as folder:
        # Refuses a file with a float operator in it.
        tflite.export(job, outcome.model, Path(folder) / "int8.tflite")
    return {"changed": [note.layer for note in outcome.notes if note.changed]}


def learn_steps(tell: Tell) -> dict[str, Any]:
    """Gradients of learned steps against the paper's equations, and what a settled model computes with."""
    import numpy as np
    import tensorflow as tf

    from optkit.techniques import _learned_steps, qat

    configure_tensorflow(0, threads=1)
    model = small_model()
    for layer in ("conv_1", "probabilities"):
        kernel, bias = model.get_layer(layer).get_weights()
        kernel[np.abs(kernel) < 0.3 * np.abs(kernel).mean()] = 0
        model.get_layer(layer).set_weights([kernel, bias])
    given = data.load("mnist", train_samples=1280)
    work = Work(qat.Params(), (), given, Task(), seed=0, skip_layers=(), tell=tell)
    rounded, whole = qat._quantize(model, work), qat._quantize(model, work)
    learned = _learned_steps.attach(rounded, ["conv_1", "probabilities"], per_tensor=False, keep_zeros=True)
    qat._start_ranges(rounded, work)
    found = {}
    for one in learned:
        # So small a step that some weights are clipped.
        one.log_step.assign_sub(tf.fill(one.log_step.shape, 0.7))
        with tf.GradientTape() as tape:
            values = _learned_steps._rounding(one)(one.kernel, training=True)
            loss = tf.reduce_sum(values)
        by_step, by_weight = tape.gradient(loss, [one.log_step, one.kernel])
        step, kernel = np.exp(one.log_step.numpy()), one.kernel.numpy()
        scaled = kernel / step
        inside = np.abs(scaled) < 7
        share = np.where(inside, np.rint(scaled) - scaled, np.sign(scaled) * 7)
        axes = tuple(range(kernel.ndim - 1)) if step.ndim else None
        count = kernel.size / max(1, step.size)
        found[one.layer] = {
            "gradient": np.atleast_1d(by_step.numpy()).tolist(),
            "equation 3": np.atleast_1d(share.sum(axis=axes) * step / np.sqrt(count * 7)).tolist(),
            "within": np.unique(by_weight.numpy()[kernel != 0]).tolist(),
            "zeros kept": bool((values.numpy()[kernel == 0] == 0).all()),
        }
    _learned_steps.settle(rounded, whole, learned)
    for one in learned:
        wanted = _learned_steps._rounding(one)(one.kernel, training=False).numpy()
        settled = _learned_steps.values(whole, one.layer)
        found[one.layer]["largest difference"] = float(np.abs(wanted - settled).max())
    images = given.real(given.train.images[:200], (28, 28, 1))
    outputs = [np.asarray(each(images, training=False)) for each in (rounded, whole)]
    return {"layers": found, "outputs": float(np.abs(outputs[0] - outputs[1]).max())}


def before_relu(tell: Tell) -> dict[str, Any]:
    """What is rounded of layers that a ReLU layer follows, and what a copy whose kernels are float says of itself."""
    import contextlib

    from tf_keras import Model, layers

    from optkit.techniques import _learned_steps, qat

    configure_tensorflow(0, threads=1)
    image = layers.Input((28, 28, 1), name="image")
    x = layers.ReLU(name="relu")(layers.Conv2D(4, 5, strides=2, name="conv")(image))
    x = layers.Activation("relu", name="again")(layers.DepthwiseConv2D(3, name="deep")(x))
    model = Model(image, layers.Dense(10, activation="softmax", name="dense")(layers.Flatten(name="flat")(x)))
    given = data.load("mnist", train_samples=1280)
    work = Work(qat.Params(), (), given, Task(), seed=0, skip_layers=(), tell=tell)
    quantized = qat._quantize(model, work)
    between = [weight.name for weight in quantized.weights if "conv/post_activation" in weight.name]
    notes = [LayerNote(layer.name, changed=True, reason="rounded") for layer in model.layers[1:]]
    sound = [check.passed for check in qat.ensures(quantized, work, notes)[0]]
    qat._kernels_before_relu_rounded = contextlib.nullcontext
    float_kernels = qat.ensures(qat._quantize(model, work), work, notes)[0]
    return {
        "rounded": _learned_steps.rounded_weights(quantized),
        "between": between,
        "sound": sound,
        "float": [[check.passed, check.observed] for check in float_kernels],
    }
