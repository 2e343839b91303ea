"""Jobs that run in workers: networks with layers that 8 bits break, and which layers stay in float for it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from optkit import data, registry
from optkit.exporters import ExportJob, _onnx_float
from optkit.pipeline import exclusion
from optkit.pipeline.checking import drop_check
from optkit.problem import Task
from optkit.recipes import parse
from optkit.sensitivity_record import Sensitivity
from optkit.training import configure_tensorflow

if TYPE_CHECKING:
    from optkit.workers import Tell

IMAGES, VALIDATION = 5_000, 1_000
BAD = 60.0


def decisions(_: Tell, *, folder: str) -> None:
    """Write for every network and format what was decided, and the files that came of it, into the folder."""
    configure_tensorflow(1, threads=1)
    dataset = data.load("mnist", train_samples=IMAGES)
    dataset = dataclasses.replace(dataset, validation=dataset.validation.first(VALIDATION))
    source = trained(dataset)
    found = {}
    for name, change, recipe in (
        ("benign", [], "int8:drop=2pt"),
        ("bad", [bad_dense], "int8:drop=2pt"),
        ("activations", [wide_channel], "int8:drop=2pt"),
        ("two", [bad_dense, bad_digits], "int8:drop=2pt"),
        ("unreachable", [bad_dense, bad_digits], "int8:drop=2pt,float_layers=1"),
    ):
        model = copy(source)
        for one in change:
            one(model)
        for file_format in ("onnx", "tflite"):
            own = decided(model, recipe, exclusion.Bench(file_format, dataset, Task(), lambda _: None))
            if name == "bad":
                own |= exported(model, recipe, own["record"], dataset, Path(folder) / f"bad.{file_format}")
            found[f"{name}.{file_format}"] = own
    Path(folder, "found.json").write_bytes(msgspec.json.encode(found))


def job_for(recipe: str, dataset: data.Dataset) -> ExportJob:
    """With 200 calibration images."""
    return ExportJob(parse(recipe), dataset.real(dataset.train.images[:200], (28, 28, 1)), io="float")


def decided(model: Any, recipe: str, bench: exclusion.Bench) -> dict[str, Any]:
    """The record, and what the checker says of the file that it is about."""
    decision = exclusion.decide_for(job_for(recipe, bench.dataset), model, bench)
    assert decision is not None
    tried = {tuple(one.float_layers): one for one in decision.record.tried}
    assert tuple(decision.record.excluded) in tried
    return {"record": msgspec.to_builtins(decision.record), "same": False}


def exported(model: Any, recipe: str, record: dict[str, Any], dataset: data.Dataset, path: Path) -> dict[str, Any]:
    """What the exported file answers, and whether it is the one that was judged; beside it one all in int8."""
    file_format = path.suffix[1:]
    job, bench = job_for(recipe, dataset), exclusion.Bench(file_format, dataset, Task(), lambda _: None)
    exporter, told = registry.by_format("exporters", file_format), msgspec.convert(record, Sensitivity)
    left = dataclasses.replace(job, skip_layers=(*told.excluded, *told.followers))
    notes = exporter.export(left, model, path)
    files = exporter.partly(job, model)
    everything = path.with_stem("bad-all")
    everything.write_bytes(files.without(()))
    if file_format == "onnx":
        rounded_by_the_runtime(left, model, path.with_stem("rounded"))
    labels = dataset.validation.labels
    fp32, own, all_int8 = (
        bench.answers(content)[0] for content in (files.reference, path.read_bytes(), everything.read_bytes())
    )
    return {
        "same": path.read_bytes() == files.without(told.excluded),
        "notes": {note.layer: note.reason for note in exclusion.noted(notes, told)},
        "right": [int((answers == labels).sum()) for answers in (fp32, own, all_int8)],
        "checks": msgspec.to_builtins([drop_check(told, labels, fp32, answers) for answers in (own, all_int8)]),
    }


def rounded_by_the_runtime(job: ExportJob, model: Any, path: Path) -> None:
    """The same file without what keeps ONNX Runtime from rounding the layer that is in float."""
    keep, _onnx_float.keep_float = _onnx_float.keep_float, lambda made: made
    try:
        registry.by_format("exporters", "onnx").export(job, model, path)
    finally:
        _onnx_float.keep_float = keep


def trained(dataset: data.Dataset) -> Any:
    """Two convolutions with a pooling between them, two dense layers; some 93 % of the digits."""
    import tf_keras as keras

    layers = keras.layers
    image = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(8, 3, strides=2, activation="relu", name="conv_1")(image)
    x = layers.MaxPool2D(2, name="pool")(x)
    x = layers.Conv2D(16, 3, activation="relu", name="conv_2")(x)
    x = layers.Dense(32, activation="relu", name="dense")(layers.Flatten(name="flat")(x))
    model = keras.Model(image, layers.Dense(10, activation="softmax", name="digits")(x), name="net")
    model.compile(keras.optimizers.Adam(4e-3), "sparse_categorical_crossentropy")
    images = dataset.real(dataset.train.images[:], (28, 28, 1))
    model.fit(images, dataset.train.labels, 64, 3, verbose=0)
    return model


def copy(model: Any) -> Any:
    """With weights of its own."""
    import tf_keras as keras

    made = keras.models.clone_model(model)
    made.set_weights(model.get_weights())
    return made


def bad_dense(model: Any) -> None:
    """A channel that is always 0, which the next layer has large weights for: no step is left for the others."""
    kernel, bias = model.get_layer("conv_2").get_weights()
    bias[0] = -50
    model.get_layer("conv_2").set_weights([kernel, bias])
    kernel, bias = model.get_layer("dense").get_weights()
    kernel.reshape(-1, 16, 32)[:, 0, :] = BAD
    model.get_layer("dense").set_weights([kernel, bias])


def bad_digits(model: Any) -> None:
    """The same of the last layer."""
    kernel, bias = model.get_layer("dense").get_weights()
    bias[0] = -1000
    model.get_layer("dense").set_weights([kernel, bias])
    kernel, bias = model.get_layer("digits").get_weights()
    kernel[0] = BAD
    model.get_layer("digits").set_weights([kernel, bias])


def wide_channel(model: Any) -> None:
    """A channel that reaches 300 times as far as the others, which the next layer's weights make up for."""
    kernel, bias = model.get_layer("conv_1").get_weights()
    # The one that is large most often.
    channel = int(np.abs(kernel).sum(axis=(0, 1, 2)).argmax())
    kernel[..., channel] *= 300
    bias[channel] *= 300
    model.get_layer("conv_1").set_weights([kernel, bias])
    kernel, bias = model.get_layer("conv_2").get_weights()
    kernel[:, :, channel] /= 300
    model.get_layer("conv_2").set_weights([kernel, bias])
