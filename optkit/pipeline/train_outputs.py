"""Assembles train.json from the stages' records and writes what is read after a training."""

from __future__ import annotations

import datetime as dt
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

import optkit
from optkit import data, environment, recipes, store
from optkit.data._facts import data_facts
from optkit.measure import quality
from optkit.pipeline import kept, picture, train_data
from optkit.problem import Task
from optkit.report import diagnosis, train_markdown, train_page, train_record
from optkit.report.diagnosis_cures import Facts
from optkit.report.page_classes import class_figures
from optkit.report.train_record import (
    ClassFigures,
    ConfusedPair,
    CurvePoint,
    Example,
    Start,
    Summary,
    TrainReport,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from optkit.data import Dataset
    from optkit.pipeline.train_run import Plan
    from optkit.store import StageRecord

PAGES = ("train.json", "train.md", "train.html")
# Pairs that are shown with pictures, and pictures of each: what one looks at.
PAIRS = 10
EXAMPLES = 8
_CODE = ("report", "pipeline", "measure/quality.py", "quality.py", "statistics.py")


class Finished(NamedTuple):
    """A training whose stages are over."""

    plan: Plan
    folder: Path
    dataset: Dataset
    command: str


def command_line(folder: Path) -> str:
    """The command that makes this training again."""
    return shlex.join(["optkit", "train", "--recipe", str(folder / "recipe.toml"), "--out", str(folder)])


def write(run: Finished) -> TrainReport:
    """Assemble and write everything that is read after a training; what is there and intact is kept."""
    folder, plan = run.folder, run.plan
    key = store.digest(
        {
            "stage": "train report",
            "train": plan.train_key,
            "judge": plan.judge_key,
            "settings": plan.settings,
            "command": run.command,
            "code": store.source_digest(_CODE),
        }
    )
    if store.load_stage(folder, key) is not None:
        return train_record.from_json((folder / "train.json").read_bytes())
    report = assemble(run)
    history = {"history_version": 1, "start": report.start, "epochs": report.curve, "kept_epoch": report.kept_epoch}
    contents = {
        "recipe.toml": recipes.dump_toml(report.settings, []).encode(),
        "history.json": msgspec.json.format(msgspec.json.encode(history)) + b"\n",
        "train.json": train_record.to_json(report),
        "train.md": train_markdown.render(report).encode(),
        "train.html": train_page.render(report).encode(),
    }
    for name, content in contents.items():
        store.write_bytes(folder / name, content)
    _write_manifest(run, report, [*contents, *report.files])
    made = [store.describe_file(folder, folder / name) for name in (*contents, "manifest.json")]
    store.save_stage(folder, store.StageRecord(key, "train report", made, {}, 0.0))
    return report


def _write_manifest(run: Finished, report: TrainReport, names: list[str]) -> None:
    manifest = {
        "manifest_version": 1,
        "command": report.command,
        "seed": run.plan.settings.seed,
        "optkit_version": report.optkit_version,
        "packages": report.environment.packages,
        "data": {"name": report.data.name, "sha256": report.data.sha256},
        "task": report.task,
        "preprocessing": run.dataset.preprocessing,
        "class_names": list(run.dataset.class_names),
        "compress": report.compress_command,
        "files": {name: store.sha256_file(run.folder / name) for name in sorted(names)},
    }
    store.write_bytes(run.folder / "manifest.json", msgspec.json.format(msgspec.json.encode(manifest, order="sorted")))


def assemble(run: Finished) -> TrainReport:
    """The record; what the model answered is compared with the labels here.

    Raises:
        InputError: Files were changed during the run.
    """
    plan, folder, dataset = run.plan, run.folder, run.dataset
    settings = plan.settings
    trained = kept.record(folder, plan.train_key)
    task = msgspec.structs.replace(msgspec.convert(trained.result["task"], Task), metrics=settings.metrics)
    judged = kept.record(folder, plan.judge_key) if trained.result["is_sound"] else None
    is_sound = judged is not None and judged.result["is_sound"]
    answers = kept.answers(folder, plan.judge_key) if is_sound else {}
    found = _quality(task, dataset, answers, {} if judged is None else judged.result["keras_metrics"])
    curve = msgspec.convert(trained.result["curve"], list[CurvePoint])
    start = msgspec.convert(trained.result["start"], Start)
    accuracy = found.get("accuracy")
    given = {name: value for name, value in msgspec.to_builtins(settings).items() if value not in (None, (), [], False)}
    files = [made.path for made in trained.files if made.path.startswith("models/")]
    return TrainReport(
        schema_version=train_record.SCHEMA_VERSION,
        optkit_version=optkit.__version__,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        command=run.command,
        again=command_line(folder),
        name=plan.name,
        settings=given,
        network=msgspec.to_builtins(settings.network),
        plan=msgspec.to_builtins(settings.plan),
        data=data_facts(dataset),
        curve_examples=trained.result["curve_examples"],
        task=task,
        curve=curve,
        start=start,
        kept_epoch=trained.result["kept_epoch"],
        train_seconds=trained.seconds,
        accuracy=accuracy,
        accuracy_validation=found.get("accuracy_validation"),
        errors=found.get("errors"),
        errors_validation=found.get("errors_validation"),
        metrics={name: value for name, value in found.get("metrics", {}).items() if name != "per_class"},
        classes=[] if accuracy is None else _classes(accuracy.confusion),
        confused=[] if accuracy is None else _confused(accuracy.confusion, dataset, answers),
        summary=msgspec.convert(trained.result["summary"], Summary),
        diagnosis=diagnosis.diagnose(curve, start, _facts(run, trained, task)),
        warnings=[*dataset.warnings, *_warnings(is_sound=is_sound, files=files)],
        environment=environment.describe(),
        files=files,
        compress_command=_compress_command(run, files) if is_sound else "",
    )


def _quality(
    task: Task, dataset: Dataset, answers: Mapping[str, np.ndarray], keras: Mapping[str, Any]
) -> dict[str, Any]:
    if not answers:
        return {}
    labels = {"test": dataset.test.labels, "validation": dataset.validation.labels}
    own = {part: answers[part] for part in labels}
    return quality.fields(task, labels, quality.Judged(own, keras=keras))


def _classes(confusion: list[list[int]]) -> list[ClassFigures]:
    return [ClassFigures(one.label, one.images, one.precision, one.recall, one.f1) for one in class_figures(confusion)]


def _confused(confusion: list[list[int]], dataset: Dataset, answers: Mapping[str, np.ndarray]) -> list[ConfusedPair]:
    """The pairs of label and answer with most images, each with those that the network was surest of."""
    counts = np.array(confusion)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:PAIRS]
    probability = answers["test_probability"]
    pairs = []
    for label, answer in zip(*np.unravel_index(order, counts.shape), strict=True):
        if not counts[label, answer]:
            break
        positions = np.flatnonzero((dataset.test.labels == label) & (answers["test"] == answer))
        surest = positions[np.argsort(-probability[positions], kind="stable")[:EXAMPLES]]
        examples = [
            Example(int(at), float(probability[at]), picture.draw(dataset.test.images, int(at))) for at in surest
        ]
        pairs.append(ConfusedPair(int(label), int(answer), int(counts[label, answer]), examples))
    return pairs


def _facts(run: Finished, trained: StageRecord, task: Task) -> Facts:
    dataset, settings = run.dataset, run.plan.settings
    labels = dataset.train.labels
    regression = task.kind == "regression"
    return Facts(
        train_examples=len(labels),
        all_train_examples=len(data.load(settings.data_spec).train.labels),
        validation_examples=trained.result["curve_examples"],
        largest_class=None if regression else float(np.bincount(labels).max() / len(labels)),
        constant_loss=_constant_loss(labels, settings.plan.loss) if regression else None,
        network=settings.network,
        plan=settings.plan,
        are_pictures=len(dataset.train.images.shape) > 2,
        is_normalized=dataset.preprocessing.scale != 1 or bool(dataset.preprocessing.std),
        kept_epoch=trained.result["kept_epoch"],
    )


def _constant_loss(labels: np.ndarray, loss: str | None) -> float:
    """Loss of the constant that is best: the mean for squares, the median for absolute errors."""
    wide = labels.astype(np.float64)
    if loss == "mean absolute":
        return float(np.abs(wide - np.median(wide)).mean())
    return float(np.square(wide - wide.mean()).mean())


def _warnings(*, is_sound: bool, files: list[str]) -> list[str]:
    if is_sound:
        return []
    what = "outputs" if files else "weights"
    return [f"the {what} of the trained network are no numbers (NaN or infinite): it was not judged on the test part"]


def _compress_command(run: Finished, files: list[str]) -> str:
    model = next(name for name in files if name.endswith(".keras"))
    options = train_data.compress_options(run.plan.settings, run.dataset)
    return shlex.join(["optkit", "compress", str(run.folder / model), *options])
