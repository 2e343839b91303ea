"""The stages that make models and files in worker processes: train, apply a technique, export.

Each reads files, writes files and a stage record, and returns nothing that is large. All have the signature that
``optkit.workers`` calls: ``stage(tell, **arguments)``.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from optkit import data, registry, store
from optkit.data._calibration import choose
from optkit.data._inputs import form_of, real_dtype, size_of
from optkit.errors import InputError, nearest
from optkit.pipeline import building, slim_export
from optkit.pipeline.settings import Settings
from optkit.pipeline.train_settings import TrainSettings
from optkit.problem import Task
from optkit.schema import KernelExpectation, LayerNote, Recipe, Step
from optkit.store import StageRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from optkit.data import Dataset
    from optkit.data._inputs import Form
    from optkit.workers import Tell

# Imported once by the worker server; their screen output and start-up noise go to the log.
PRELOAD = ("tensorflow", "tf_keras", "keras", "tensorflow_model_optimization", "tf2onnx", "onnx", "onnxruntime")
WORKER_ENVIRONMENT = {
    # tensorflow-model-optimization works with Keras 2 (tf_keras) only.
    "TF_USE_LEGACY_KERAS": "1",
    # No accelerator is used, so none is looked for.
    "CUDA_VISIBLE_DEVICES": "-1",
    # The order of sets of strings must not find its way into artifact bytes.
    "PYTHONHASHSEED": "0",
}
# Images on which every file's outputs are compared with its Keras model's: the validation part's first ones, fewer
# where they would not fit in memory.
PARITY_IMAGES = 1_000
PARITY_BYTES = 256 << 20
CHUNK_BYTES = 64 << 20
LEAST_CURVE_IMAGES = 1_000
# A slim file is held against the one before on so many of them, bit by bit; then it is verified as any other.
SLIM_IMAGES = 200


def for_training(dataset: Dataset) -> Dataset:
    """The data set as training may see it.

    The test part is read once, for finished files. Of the validation part it gets what a learning curve needs: where
    training is short, looking at all of it after every epoch would take as long as the epoch.
    """
    return dataclasses.replace(
        dataset,
        validation=dataset.validation.first(max(LEAST_CURVE_IMAGES, len(dataset.train.labels) // 10)),
        test=dataset.test.first(0),
    )


def _data(settings: Settings) -> Dataset:
    return data.load(settings.data_spec, train_samples=settings.train_samples)


def _parity_images(dataset: Dataset, form: Form) -> np.ndarray:
    """The first real validation images, float32 [n, *form]."""
    count = min(PARITY_IMAGES, max(1, PARITY_BYTES // (4 * size_of(form))))
    return dataset.real(dataset.validation.images[:count], form)


def model_path(folder: Path, name: str, result: Mapping[str, Any]) -> Path:
    """Where a stage's model is: a file, or a SavedModel folder where it could not be rebuilt for training."""
    suffix = ".h5" if result["post_training_only"] is None else ".saved_model"
    return folder / "models" / f"{name}{suffix}"


def finish_model(
    folder: Path, key: str, name: str, model: Any, dataset: Dataset, *, started: float, result: dict[str, Any]
) -> None:
    """Save the model, for Keras 3 as well, and its outputs on the parity images, then the stage record."""
    import numpy as np

    from optkit import keras_models
    from optkit.keras_models import to_keras3

    path = model_path(folder, name, result)
    keras_models.save(model, path)
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    if result["post_training_only"] is None:
        keras3 = path.with_suffix(".keras")
        try:
            result = result | {"keras3_notes": to_keras3.save_keras3(model, keras3)}
            files.append(keras3)
        except InputError as error:
            result = result | {"keras3_notes": [f"no {keras3.name}: {error}"]}
    images = _parity_images(dataset, form_of(model))
    outputs = keras_models.outputs_of(model, images)
    reference = folder / "cache" / f"{key}.reference.npy"
    store.write_atomically(reference, lambda temporary: np.save(temporary, outputs, allow_pickle=False))
    store.save_stage(
        folder,
        StageRecord(
            key=key,
            stage=name,
            files=[store.describe_file(folder, one) for one in (*files, reference)],
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
    threads: int,
) -> None:
    """Train the baseline network and save it.

    Raises:
        InputError: ``--skip-layer`` names a layer that the network does not have.
    """
    from optkit.training import configure_tensorflow, train

    started = time.perf_counter()
    wanted = msgspec.convert(settings, Settings)
    configure_tensorflow(wanted.seed, threads=threads)
    dataset = _data(wanted)
    training = TrainSettings(baseline=wanted.baseline, epochs=wanted.epochs, metrics=wanted.metrics, seed=wanted.seed)
    model, task = building.build(training, dataset)
    check_skipped(wanted, model)
    epochs = train(model, for_training(dataset), training.plan, task=task, seed=wanted.seed, tell=tell)
    result = first_result(model, task) | {"epochs": msgspec.to_builtins(epochs)}
    finish_model(Path(folder), key, name, model, dataset, started=started, result=result)


def check_skipped(settings: Settings, model: Any) -> None:
    """Stop at a layer to skip that is not there.

    Raises:
        InputError: With the nearest that are.
    """
    layers = [layer.name for layer in model.layers]
    for wanted in settings.skip_layers:
        if wanted not in layers:
            raise InputError(f"--skip-layer {wanted!r} matches no layer of the model: {nearest(wanted, layers)}")


def first_result(model: Any, task: Task) -> dict[str, Any]:
    """What is known of a model that no technique has changed yet."""
    return {
        "task": msgspec.to_builtins(task),
        "layers": [layer.name for layer in model.layers],
        "inputs": list(model.input_names),
        "outputs": list(model.output_names),
        "notes": [],
        "checks": [],
        "expectations": [],
        "quantization_aware": False,
        "post_training_only": None,
        "epochs": [],
    }


def apply_technique(
    tell: Tell,
    *,
    folder: str,
    key: str,
    name: str,
    parent_key: str,
    parent_name: str,
    steps: list[dict[str, Any]],
    teachers: Mapping[str, str],
    settings: Mapping[str, Any],
    threads: int,
) -> None:
    """Apply the last of ``steps`` to the parent's model and save the result.

    ``teachers`` are the keys of the stages of other models that the step needs.
    """
    from optkit import keras_models, techniques
    from optkit.pipeline.teachers import found_teachers
    from optkit.training import configure_tensorflow

    started = time.perf_counter()
    wanted = msgspec.convert(settings, Settings)
    configure_tensorflow(wanted.seed, threads=threads)
    root = Path(folder)
    parent = store.load_stage(root, parent_key)
    if parent is None:
        raise InputError(f"the model {parent_name} in {folder} was changed during the run; run the command again")
    *history, step = [msgspec.convert(item, Step) for item in steps]
    if parent.result["post_training_only"] is not None:
        raise InputError(f"{step.name} needs training: {parent.result['post_training_only']}")
    model = keras_models.load(model_path(root, parent_name, parent.result))
    module = registry.load("techniques", step.name)
    dataset = _data(wanted)
    work = techniques.Work(
        params=msgspec.convert(step.params, module.Params),
        history=tuple(history),
        data=for_training(dataset),
        task=msgspec.convert(parent.result["task"], Task),
        seed=wanted.seed,
        skip_layers=wanted.skip_layers,
        tell=tell,
        file_bytes=lambda made, precision: file_bytes(made, precision, wanted, dataset),
        teachers=found_teachers(root, teachers),
        calibration=lambda shape: calibration_images(dataset, wanted.calibration_count, shape),
        kept=root / "cache",
    )
    outcome = techniques.run(step.name, model, work, parent.result["layers"])
    # Names of layers and ports stay the source model's: wrappers rename them, and files keep the source's names.
    result = parent.result | {
        "layers": outcome.layers,
        "notes": msgspec.to_builtins(_merge(parent.result["notes"], outcome.notes, step.name)),
        "checks": parent.result["checks"] + msgspec.to_builtins(outcome.checks),
        "expectations": msgspec.to_builtins(_combine(parent.result["expectations"], outcome.expectations)),
        "quantization_aware": parent.result["quantization_aware"] or step.name == "qat",
        "epochs": msgspec.to_builtins(outcome.epochs),
    }
    finish_model(root, key, name, outcome.model, dataset, started=started, result=result)


def file_bytes(model: Any, precision: str, settings: Settings, dataset: Dataset) -> int:
    """Bytes of the ``.tflite`` file that a model gives; what it was calibrated with makes no difference to them."""
    import tempfile

    from optkit.exporters import ExportJob

    job = ExportJob(
        recipe=Recipe(precision, (Step(precision),)),
        calibration=calibration_images(dataset, 1, model.input_shape[1:]),
        io=settings.io,
        skip_layers=settings.skip_layers,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        registry.by_format("exporters", "tflite").export(job, model, path)
        return path.stat().st_size


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
            small=earlier.small or one.small,
            macs=earlier.macs if one.macs is None else one.macs,
        )
    return list(combined.values())


def export_file(
    tell: Tell,
    *,
    folder: str,
    key: str,
    name: str,
    format: str,  # the field's name in report.json
    model_key: str,
    model_name: str,
    recipe: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> None:
    """Export a model to one file, with layers left in float where the recipe sets a limit for that."""
    import numpy as np

    from optkit import keras_models
    from optkit.exporters import ExportJob
    from optkit.pipeline import exclusion
    from optkit.pipeline.checking import reference_path
    from optkit.training import configure_tensorflow

    started = time.perf_counter()
    wanted = msgspec.convert(settings, Settings)
    configure_tensorflow(wanted.seed, threads=1)
    root = Path(folder)
    made = store.load_stage(root, model_key)
    if made is None:
        raise InputError(f"the model {model_name} in {folder} was changed during the run; run the command again")
    model = keras_models.load(model_path(root, model_name, made.result))
    dataset = _data(wanted)
    job = ExportJob(
        recipe=msgspec.convert(recipe, Recipe),
        calibration=calibration_images(dataset, wanted.calibration_count, form_of(model)),
        io=wanted.io,
        opset=wanted.opset,
        calibration_method=wanted.calibration_method,
        reduce_range=wanted.reduce_range,
        skip_layers=wanted.skip_layers,
        quantization_aware=made.result["quantization_aware"],
    )
    destination = root / "artifacts" / f"{name}.{format}"
    files, notes = [destination], []
    task = msgspec.convert(made.result["task"], Task)
    bench = exclusion.Bench(format, dataset, task, say=lambda text: tell({"text": text}))
    decided = exclusion.decide_for(job, model, bench)
    if decided is not None:
        job = dataclasses.replace(job, skip_layers=(*job.skip_layers, *decided.float_layers))
        answers = decided.reference
        files.append(reference_path(root, key))
        store.write_atomically(files[-1], lambda temporary: np.save(temporary, answers, allow_pickle=False))

    def write(temporary: Path) -> None:
        notes.extend(registry.by_format("exporters", format).export(job, model, temporary))
        if wanted.slim:
            images = _parity_images(dataset, model.input_shape[1:])[:SLIM_IMAGES]
            notes.append(slim_export.in_place(temporary, images, named_layers=bool(job.skip_layers)))

    store.write_atomically(destination, write)
    record = None if decided is None else decided.record
    if record is not None:
        notes = exclusion.noted(notes, record)
    store.save_stage(
        root,
        StageRecord(
            key=key,
            stage=f"{name}.{format}",
            files=[store.describe_file(root, one) for one in files],
            result={"notes": msgspec.to_builtins(notes), "sensitivity": msgspec.to_builtins(record)},
            seconds=round(time.perf_counter() - started, 3),
        ),
    )


def calibration_images(dataset: Dataset, count: int, form: Form) -> np.ndarray:
    """The representative data set: float32 [count, *form] of the user's own, else from the training part.

    Never from the test part. Large ones are mapped from a temporary file, a piece at a time in memory.
    """
    import tempfile

    import numpy as np

    raw = choose(dataset, count)
    if len(raw) * size_of(form) * 4 <= CHUNK_BYTES:
        return dataset.real(raw[:], form)
    # In the folder for temporary files of the run, which is removed in the end.
    with tempfile.NamedTemporaryFile(suffix=".calibration", delete=False) as file:
        dtype, shape = real_dtype(form)
        mapped = np.memmap(file.name, dtype, "w+", shape=(len(raw), *shape))
    step = max(1, CHUNK_BYTES // (size_of(form) * 4))
    for start in range(0, len(raw), step):
        mapped[start : start + step] = dataset.real(raw[start : start + step], form)
    return mapped
