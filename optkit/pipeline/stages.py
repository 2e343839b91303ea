"""The stages that run in worker processes: train, apply a technique, export, check.

Each reads files, writes files and a stage record, and returns nothing that is large. All have the signature that
``optkit.workers`` calls: ``stage(tell, **arguments)``.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from optkit import data, registry, store
from optkit.errors import InputError
from optkit.schema import Check, KernelExpectation, LayerNote, Recipe, Step
from optkit.store import StageRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from optkit.data import Dataset
    from optkit.workers import Tell

# Imported once by the worker server; their screen output and start-up noise go to the log.
PRELOAD = ("tensorflow", "tf_keras", "tensorflow_model_optimization", "tf2onnx", "onnx", "onnxruntime")
WORKER_ENVIRONMENT = {
    # tensorflow-model-optimization works with Keras 2 (tf_keras) only.
    "TF_USE_LEGACY_KERAS": "1",
    # No accelerator is used, so none is looked for.
    "CUDA_VISIBLE_DEVICES": "-1",
    # The order of sets of strings must not find its way into artifact bytes.
    "PYTHONHASHSEED": "0",
}
# Images on which every file's outputs are compared with its Keras model's; all of the validation part's first ones.
PARITY_IMAGES = 1_000
LEAST_CURVE_IMAGES = 1_000


def _for_training(dataset: Dataset) -> Dataset:
    """The data set as training may see it.

    The test part is read once, for finished files. Of the validation part it gets what a learning curve needs: where
    training is short, looking at all of it after every epoch would take as long as the epoch.
    """
    import numpy as np

    none = data.Part(dataset.test.images[:0], np.empty(0, np.int64))
    return data.Dataset(
        dataset.name,
        dataset.sha256,
        dataset.classes,
        dataset.train,
        dataset.validation.first(max(LEAST_CURVE_IMAGES, len(dataset.train.labels) // 10)),
        none,
        dataset.calibration,
    )


def _finish_model(folder: Path, key: str, name: str, model: Any, *, started: float, result: dict[str, Any]) -> None:
    """Save the model and its outputs on the parity images, then the stage record."""
    import numpy as np

    from optkit import keras_models

    path = folder / "models" / f"{name}.h5"
    keras_models.save(model, path)
    dataset = data.load(result["data"])
    images = data.to_real(dataset.validation.images[:PARITY_IMAGES], model.input_shape[1:])
    outputs = model.predict(images, batch_size=100, verbose=0)
    reference = folder / "cache" / f"{key}.reference.npy"
    store.write_atomically(reference, lambda temporary: np.save(temporary, outputs, allow_pickle=False))
    store.save_stage(
        folder,
        StageRecord(
            key=key,
            stage=name,
            files=[store.describe_file(folder, path), store.describe_file(folder, reference)],
            result=result,
            seconds=round(time.perf_counter() - started, 3),
        ),
    )


def train_baseline(
    tell: Tell,
    *,
    folder: str,
    key: str,
    name: str,
    settings: Mapping[str, Any],
    train_samples: int | None,
    threads: int,
) -> None:
    """Train the baseline network and save it.

    Raises:
        InputError: ``--skip-layer`` names a layer that the network does not have.
    """
    from optkit.training import configure_tensorflow, train

    started = time.perf_counter()
    configure_tensorflow(settings["seed"], threads=threads)
    dataset = _for_training(data.load(settings["data"], train_samples=train_samples))
    module = registry.load("baselines", settings["baseline"])
    model = module.build()
    layers = [layer.name for layer in model.layers]
    for wanted in settings["skip_layers"]:
        if wanted not in layers:
            raise InputError(f"--skip-layer {wanted!r} matches no layer; the model has {', '.join(layers)}")
    plan = module.TRAINING
    if settings["epochs"] is not None:
        plan = msgspec.structs.replace(plan, epochs=settings["epochs"])
    epochs = train(model, dataset.train, dataset.validation, plan, seed=settings["seed"], tell=tell)
    result = {
        "data": settings["data"],
        "layers": layers,
        "inputs": list(model.input_names),
        "outputs": list(model.output_names),
        "notes": [],
        "checks": [],
        "expectations": [],
        "quantization_aware": False,
        "epochs": msgspec.to_builtins(epochs),
    }
    _finish_model(Path(folder), key, name, model, started=started, result=result)


def apply_technique(
    tell: Tell,
    *,
    folder: str,
    key: str,
    name: str,
    parent_key: str,
    parent_name: str,
    steps: list[dict[str, Any]],
    settings: Mapping[str, Any],
    train_samples: int | None,
    threads: int,
) -> None:
    """Apply the last of ``steps`` to the parent's model and save the result."""
    from optkit import keras_models, techniques
    from optkit.training import configure_tensorflow

    started = time.perf_counter()
    configure_tensorflow(settings["seed"], threads=threads)
    root = Path(folder)
    parent = store.load_stage(root, parent_key)
    if parent is None:
        raise InputError(f"the model {parent_name} in {folder} was changed during the run; run the command again")
    model = keras_models.load(root / "models" / f"{parent_name}.h5")
    *history, step = [msgspec.convert(item, Step) for item in steps]
    module = registry.load("techniques", step.name)
    work = techniques.Work(
        params=msgspec.convert(step.params, module.Params),
        history=tuple(history),
        data=_for_training(data.load(settings["data"], train_samples=train_samples)),
        seed=settings["seed"],
        skip_layers=tuple(settings["skip_layers"]),
        tell=tell,
    )
    outcome = techniques.run(step.name, model, work, parent.result["layers"])
    result = {
        "data": settings["data"],
        "layers": parent.result["layers"],
        # The source model's: wrappers rename layers, and files keep the source's names.
        "inputs": parent.result["inputs"],
        "outputs": parent.result["outputs"],
        "notes": msgspec.to_builtins(_merge(parent.result["notes"], outcome.notes, step.name)),
        "checks": parent.result["checks"] + msgspec.to_builtins(outcome.checks),
        "expectations": msgspec.to_builtins(_combine(parent.result["expectations"], outcome.expectations)),
        "quantization_aware": parent.result["quantization_aware"] or step.name == "qat",
        "epochs": msgspec.to_builtins(outcome.epochs),
    }
    _finish_model(root, key, name, outcome.model, started=started, result=result)


def _merge(before: list[dict[str, Any]], notes: list[LayerNote], technique: str) -> list[LayerNote]:
    """Notes of all steps so far, one per layer; the reason says which step did what."""
    earlier = {item["layer"]: item for item in before}
    merged = []
    for note in notes:
        reason, changed = f"{technique}: {note.reason}", note.changed
        if note.layer in earlier:
            reason = f"{earlier[note.layer]['reason']}; {reason}"
            changed = changed or earlier[note.layer]["changed"]
        merged.append(LayerNote(note.layer, changed, reason))
    return merged


def _combine(before: list[dict[str, Any]], new: list[KernelExpectation]) -> list[KernelExpectation]:
    """What all steps so far promise, one record per kernel, in layer order."""
    combined = {item["layer"]: msgspec.convert(item, KernelExpectation) for item in before}
    for one in new:
        earlier = combined.get(one.layer, one)
        sparsities = [value for value in (earlier.sparsity_at_least, one.sparsity_at_least) if value is not None]
        counts = [value for value in (earlier.distinct_at_most, one.distinct_at_most) if value is not None]
        combined[one.layer] = msgspec.structs.replace(
            one,
            sparsity_at_least=max(sparsities, default=None),
            distinct_at_most=min(counts, default=None),
            block_2_of_4=earlier.block_2_of_4 or one.block_2_of_4,
        )
    return list(combined.values())


def export_file(
    tell: Tell,  # noqa: ARG001  # exports take seconds: nothing to tell
    *,
    folder: str,
    key: str,
    name: str,
    format: str,  # the field's name in report.json
    model_key: str,
    model_name: str,
    recipe: Mapping[str, Any],
    settings: Mapping[str, Any],
    train_samples: int | None,
) -> None:
    """Export a model to one file."""
    from optkit import keras_models
    from optkit.exporters import ExportJob
    from optkit.training import configure_tensorflow

    started = time.perf_counter()
    configure_tensorflow(settings["seed"], threads=1)
    root = Path(folder)
    made = store.load_stage(root, model_key)
    if made is None:
        raise InputError(f"the model {model_name} in {folder} was changed during the run; run the command again")
    model = keras_models.load(root / "models" / f"{model_name}.h5")
    dataset = data.load(settings["data"], train_samples=train_samples)
    job = ExportJob(
        recipe=msgspec.convert(recipe, Recipe),
        calibration=calibration_images(dataset, settings["calibration_count"], model.input_shape[1:]),
        io=settings["io"],
        opset=settings["opset"],
        calibration_method=settings["calibration_method"],
        reduce_range=settings["reduce_range"],
        skip_layers=tuple(settings["skip_layers"]),
        quantization_aware=made.result["quantization_aware"],
    )
    destination = root / "artifacts" / f"{name}.{format}"
    notes: list[LayerNote] = []

    def write(temporary: Path) -> None:
        notes.extend(registry.by_format("exporters", format).export(job, model, temporary))

    store.write_atomically(destination, write)
    store.save_stage(
        root,
        StageRecord(
            key=key,
            stage=f"{name}.{format}",
            files=[store.describe_file(root, destination)],
            result={"notes": msgspec.to_builtins(notes)},
            seconds=round(time.perf_counter() - started, 3),
        ),
    )


def calibration_images(dataset: Dataset, count: int, shape: tuple[int, ...]) -> np.ndarray:
    """The representative data set: float32 [count, *shape] from the training part, never from the test part."""
    return data.to_real(dataset.train.images[dataset.calibration[:count]], shape)


def check_file(
    tell: Tell,
    *,
    folder: str,
    key: str,
    name: str,
    format: str,
    model_key: str,
    recipe: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> None:
    """Verify one file in its runtime, then take its answers to all validation and test images, at batch 1."""
    import numpy as np

    from optkit import verify
    from optkit.measure.accuracy import answers as take_answers

    started = time.perf_counter()
    root = Path(folder)
    made = store.load_stage(root, model_key)
    if made is None:
        raise InputError(f"a model in {folder} was changed during the run; run the command again")
    path = root / "artifacts" / f"{name}.{format}"
    dataset = data.load(settings["data"])
    # Runtimes reshape images to the file's own input.
    validation = data.to_real(dataset.validation.images, dataset.validation.images.shape[1:])
    reference = np.load(root / "cache" / f"{model_key}.reference.npy", allow_pickle=False)
    wanted = msgspec.convert(recipe, Recipe)
    verification = verify.verify_file(
        path,
        images=validation[: len(reference)],
        reference=reference,
        precision=wanted.precision.name,
        integer_io={"int8": settings["io"], "int16x8": "int16"}.get(wanted.precision.name),
        expectations=tuple(msgspec.convert(made.result["expectations"], list[KernelExpectation])),
        quantization_aware=made.result["quantization_aware"],
        source_ports=(tuple(made.result["inputs"]), tuple(made.result["outputs"])),
        float_layers=tuple(settings["skip_layers"]),
    )
    answers: dict[str, np.ndarray] = {}
    if verification.parity is not None:
        tell({"text": "validation images"})
        answers["validation"] = take_answers(path, validation)
        tell({"text": "test images"})
        answers["test"] = take_answers(path, data.to_real(dataset.test.images, dataset.test.images.shape[1:]))
    npz = root / "cache" / f"{key}.answers.npz"
    store.write_atomically(npz, lambda temporary: np.savez(temporary, allow_pickle=False, **answers))
    store.save_stage(
        root,
        StageRecord(
            key=key,
            stage=f"check {name}.{format}",
            # With the checked file itself: other bytes under its name were not checked.
            files=[store.describe_file(root, npz), store.describe_file(root, path)],
            result={
                "parity": msgspec.to_builtins(verification.parity),
                "checks": [*made.result["checks"], *msgspec.to_builtins(verification.checks)],
            },
            seconds=round(time.perf_counter() - started, 3),
        ),
    )


def failed_checks(checks: list[Check]) -> list[str]:
    """One line for each check that failed."""
    return [f"{c.name}: observed {c.observed}, limit {c.limit} {c.unit}".rstrip() for c in checks if not c.passed]
