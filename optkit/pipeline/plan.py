"""What a run must make: models (each prefix of a recipe once) and files, keyed by the digest of their inputs."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from optkit import registry
from optkit.exporters import _excluding
from optkit.schema import Recipe, Skipped, Step
from optkit.store import digest, sha256_path, source_digest
from optkit.techniques import BASELINE_TEACHER, teachers_of

if TYPE_CHECKING:
    from optkit.pipeline.settings import Settings

BASELINE = "baseline"
# What finished files are judged on. A search, which is for choosing, looks at the validation part alone.
ALL_PARTS = ("validation", "test")
CHOOSING_PARTS = ("validation",)
TRAINING_PACKAGES = ("keras", "numpy", "tensorflow", "tf_keras", "tensorflow-model-optimization")
EXPORT_PACKAGES = ("tf2onnx", "onnx", "onnxruntime")
RUNTIME_PACKAGES = ("ai-edge-litert", "onnxruntime", "numpy")
TRAINING_SOURCES = (
    "data",
    "baselines",
    "techniques",
    "training",
    "networks.py",
    "keras_models",
    "verify/data_range.py",
    "pipeline/stages.py",
    "pipeline/importing.py",
    "pipeline/teachers.py",
    "pipeline/chosen_output.py",
    "pipeline/building.py",
    "pipeline/train_settings.py",
)
EXPORT_SOURCES = (
    "exporters",
    "slimming",
    "tflite_schema.py",
    "verify/identity.py",
    "pipeline/slim.py",
    "pipeline/slim_export.py",
    "pipeline/slim_worker.py",
)
# What decides which layers stay in float.
EXCLUSION_SOURCES = (
    *("runtimes", "measure/accuracy.py", "measure/sensitivity.py", "drop.py", "statistics.py", "problem.py"),
    *("pipeline/exclusion.py", "pipeline/checking.py"),
)
CHECK_SOURCES = (
    "verify",
    "readback",
    "tflite_schema.py",
    "runtimes",
    "keras_metrics.py",
    "problem.py",
    "measure/accuracy.py",
    "pipeline/checking.py",
)
MEASURE_SOURCES = ("measure", "runtimes", "readback", "tflite_schema.py", "statistics.py")


class ModelStage(NamedTuple):
    """A model to train: the baseline, or a technique applied to its parent, with the keys of what teaches it."""

    name: str
    key: str
    parent: str | None
    steps: tuple[Step, ...]
    teachers: dict[str, str]


class TeacherStage(NamedTuple):
    """A Keras file to take in, because a technique learns from it; ``name`` is its path."""

    name: str
    key: str


class FileStage(NamedTuple):
    """A file to export, and then to check."""

    name: str
    format: str
    key: str
    check_key: str
    model: str
    recipe: Recipe


class Plan(NamedTuple):
    """All that a run makes, parents before children."""

    settings: Settings
    recipes: list[Recipe]
    models: list[ModelStage]
    files: list[FileStage]
    skipped: list[Skipped]
    teachers: list[TeacherStage]
    parts: tuple[str, ...] = ALL_PARTS

    def model(self, name: str) -> ModelStage:
        """The model stage of that name."""
        return next(stage for stage in self.models if stage.name == name)


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Installed versions, without importing anything."""
    return {package: version(package) for package in packages}


def make_plan(settings: Settings, recipes: list[Recipe], data_sha256: str, parts: tuple[str, ...] = ALL_PARTS) -> Plan:
    """Lay out the stages; a prefix that recipes share is trained once.

    Args:
        settings: Of the run.
        recipes: What to make.
        data_sha256: Digest of all data that the run reads.
        parts: Parts of the data that files answer when they are checked.
    """
    root = digest(
        {
            **_source(settings),
            "data": data_sha256,
            "preprocessing": settings.data_spec.preprocessing,
            "metrics": settings.metrics,
            "output": settings.output,
            "train_samples": settings.train_samples,
            "seed": settings.seed,
            # The number of threads decides the order of float additions.
            "threads": settings.train_threads or len(os.sched_getaffinity(0)),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "packages": versions(TRAINING_PACKAGES),
            "code": source_digest(TRAINING_SOURCES),
        }
    )
    models = [ModelStage(BASELINE, root, None, (), {})]
    files, skipped = [], []
    teachers = {BASELINE_TEACHER: root}
    for recipe in recipes:
        parent = models[0]
        for index, step in enumerate(recipe.techniques):
            named = teachers_of(step)
            for path in named:
                if path not in teachers:
                    teachers[path] = _teacher_key(path, root, settings)
            known_as = {path: teachers[path] for path in named}
            # By what they are: the names are in the step.
            needed: dict[str, Any] = {"teachers": list(known_as.values())} if named else {}
            needed |= _measured(step, settings)
            key = digest({"parent": parent.key, "step": step, "skip_layers": settings.skip_layers, **needed})
            stage = next((known for known in models if known.key == key), None)
            if stage is None:
                name = "+".join(recipe.name.split("+")[: index + 1])
                if any(known.name == name for known in models):
                    name = f"{name}-{key[:8]}"
                stage = ModelStage(name, key, parent.name, recipe.techniques[: index + 1], known_as)
                models.append(stage)
            parent = stage
        for file_format in settings.formats:
            reason = registry.by_format("exporters", file_format).unsupported(recipe)
            if reason:
                skipped.append(Skipped(recipe.name, file_format, reason))
                continue
            key = _file_key(parent, recipe, file_format, settings)
            files.append(FileStage(recipe.name, file_format, key, _check_key(key, parts), parent.name, recipe))
    taken_in = [TeacherStage(path, key) for path, key in teachers.items() if path != BASELINE_TEACHER]
    return Plan(settings, recipes, models, files, skipped, taken_in, parts)


def _teacher_key(path: str, root: str, settings: Settings) -> str:
    """Its outputs are compared with the baseline's, and the data with its input."""
    own = settings.custom_objects and sha256_path(Path(settings.custom_objects))
    return digest({"stage": "teacher", "model": sha256_path(Path(path)), "baseline": root, "custom_objects": own})


def _measured(step: Step, settings: Settings) -> dict[str, Any]:
    """What a technique calibrates with, and what the files are made with that it measures on its way."""
    module = registry.load("techniques", step.name)
    found: dict[str, Any] = {}
    if getattr(module, "NEEDS_CALIBRATION", False):
        found["calibration_count"] = settings.calibration_count
    if not getattr(module, "EXPORTS", False):
        return found
    return found | {"io": settings.io, "packages": versions(EXPORT_PACKAGES), "code": source_digest(EXPORT_SOURCES)}


def _source(settings: Settings) -> dict[str, Any]:
    """Where the first model comes from."""
    if settings.model is None:
        return {"stage": "train", "baseline": settings.baseline, "epochs": settings.epochs}
    return {
        "stage": "import",
        "model": sha256_path(Path(settings.model)),
        "custom_objects": settings.custom_objects and sha256_path(Path(settings.custom_objects)),
        "baseline": settings.baseline,
        "allow": settings.allow,
        "skip_layers": settings.skip_layers,
    }


def _file_key(model: ModelStage, recipe: Recipe, file_format: str, settings: Settings) -> str:
    decided = {}
    if _excluding.wanted(recipe) is not None:
        # The validation part, by which layers are chosen, is in the model's key.
        decided = {"packages": versions(RUNTIME_PACKAGES), "code": source_digest(EXCLUSION_SOURCES)}
    return digest(
        {
            "exclusion": decided,
            "stage": "export",
            "model": model.key,
            "precision": recipe.precision,
            "name": recipe.name,
            "format": file_format,
            "io": settings.io,
            "opset": settings.opset,
            "calibration": [settings.calibration_method, settings.calibration_count, settings.reduce_range],
            "skip_layers": settings.skip_layers,
            "slim": settings.slim,
            "packages": versions(EXPORT_PACKAGES),
            "code": source_digest(EXPORT_SOURCES),
        }
    )


def _check_key(export_key: str, parts: tuple[str, ...]) -> str:
    # Which bytes were checked is in the record's files, not in its key.
    own = {"packages": versions(RUNTIME_PACKAGES), "code": source_digest(CHECK_SOURCES)}
    return digest({"stage": "check", "export": export_key, "parts": parts, **own})
