"""Assembles the report from stage records and writes the run folder's pages."""

from __future__ import annotations

import datetime as dt
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

import optkit
from optkit import data, readback, recipes, registry, store
from optkit.data._calibration import choose
from optkit.data._facts import data_facts
from optkit.measure import quality
from optkit.measure.size import measure_compute, measure_size
from optkit.pipeline import kept, picture
from optkit.pipeline.checking import failed_checks
from optkit.problem import Task
from optkit.report import json_file, recommend, why
from optkit.report.folder import REPORT_FILES, write_report
from optkit.report.reference import BASELINE_NAME
from optkit.schema import (
    SCHEMA_VERSION,
    Calibration,
    Check,
    Epoch,
    LayerNote,
    Parity,
    Recommendation,
    Report,
    Sensitivity,
    Training,
    Variant,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

    from optkit.data import Dataset
    from optkit.pipeline.figures import Measured
    from optkit.pipeline.plan import FileStage, Plan
    from optkit.search_record import SearchRecord
    from optkit.store import StageRecord
    from optkit.workers import Failure


class Finished(NamedTuple):
    """A run whose stages are over.

    Attributes:
        plan: What was to be made.
        folder: The run folder.
        dataset: The data set.
        failures: Key of the export or check → what went wrong.
        measured: Latency and memory.
        command: The command that was given.
        warnings: What was noticed about the data before any work.
        search: The search that this run's file came of, which says what is recommended.
    """

    plan: Plan
    folder: Path
    dataset: Dataset
    failures: Mapping[str, Failure]
    measured: Measured
    command: str
    warnings: tuple[str, ...] = ()
    search: SearchRecord | None = None

    def failure(self, file: FileStage) -> Failure | None:
        """What went wrong when the file was exported or checked."""
        return self.failures.get(file.key) or self.failures.get(file.check_key)


def command_line(folder: Path) -> str:
    """The command that makes this run again."""
    return shlex.join(["optkit", "compress", "--recipe", str(folder / "recipe.toml"), "--out", str(folder)])


def write(run: Finished) -> Report:
    """Assemble and write everything that is read after a run; what is there already is kept."""
    plan, folder, failures, measured = run.plan, run.folder, run.failures, run.measured
    key = store.digest(
        {
            "stage": "report",
            "plan": msgspec.to_builtins(plan._asdict()),
            "failures": {key: failure._asdict() for key, failure in failures.items()},
            "latency": {f"{name}.{suffix}": figures for (name, suffix), figures in measured.latency.items()},
            "inspected": {f"{name}.{suffix}": figures for (name, suffix), figures in measured.inspected.items()},
            "warnings": [*run.warnings, *measured.warnings],
            "command": run.command,
            "search": run.search,
            "code": store.source_digest(("report", "pipeline", "measure/quality.py", "quality.py", "schema.py")),
        }
    )
    if store.load_stage(folder, key) is not None:
        return json_file.from_json((folder / "report.json").read_bytes())
    report = assemble(run)
    write_report(report, folder)
    settings = {name: value for name, value in msgspec.to_builtins(plan.settings).items() if value not in (None, ())}
    store.write_bytes(folder / "recipe.toml", recipes.dump_toml(settings, plan.recipes).encode())
    _write_manifest(run, report)
    made = [store.describe_file(folder, folder / name) for name in (*REPORT_FILES, "recipe.toml", "manifest.json")]
    store.save_stage(folder, store.StageRecord(key, "report", made, {}, 0.0))
    return report


def _write_manifest(run: Finished, report: Report) -> None:
    plan, folder = run.plan, run.folder
    records = [kept.record(folder, model.key) for model in plan.models]
    names = [one.path for record in records for one in record.files if one.path.startswith("models/")]
    names += [variant.path for variant in report.variants if variant.sha256]
    names += [*REPORT_FILES, "recipe.toml"]
    manifest = {
        "manifest_version": 1,
        "command": report.command,
        "seed": plan.settings.seed,
        "optkit_version": report.optkit_version,
        "packages": report.environment.packages,
        "data": {"name": report.data.name, "sha256": report.data.sha256} if report.data else None,
        "source": records[0].result.get("source"),
        "task": records[0].result["task"],
        "preprocessing": msgspec.to_builtins(run.dataset.preprocessing),
        "class_names": list(run.dataset.class_names),
        "files": {name: store.sha256_file(folder / name) for name in names},
    }
    store.write_bytes(folder / "manifest.json", msgspec.json.format(msgspec.json.encode(manifest, order="sorted")))


def assemble(run: Finished) -> Report:
    """The report record; the test set's answers are compared here, once per finished file."""
    plan, folder, dataset, measured = run.plan, run.folder, run.dataset, run.measured
    records = {model.name: kept.record(folder, model.key) for model in plan.models}
    answers = {
        (file.name, file.format): kept.answers(folder, file.check_key)
        for file in plan.files
        if run.failure(file) is None
    }
    variants = [_variant(run, file, records.get(file.model), answers) for file in plan.files]
    variants = [_explained(variant, variants, folder, measured) for variant in variants]
    settings = plan.settings
    calibration = choose(dataset, settings.calibration_count)
    flipped = sorted({flip.index for variant in variants for flip in variant.flips})
    return Report(
        schema_version=SCHEMA_VERSION,
        optkit_version=optkit.__version__,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        command=run.command,
        warnings=_warnings(run, records[plan.models[0].name]),
        environment=measured.environment,
        data=data_facts(
            dataset,
            Calibration(
                count=len(calibration),
                source=settings.calibration or "train",
                disjoint_from_test=data.overlap(calibration, dataset.test.images) == 0,
            ),
        ),
        noise_floor=measured.noise_floor,
        stopping=measured.stopping,
        recommendation=_recommendation(run, variants),
        pareto=recommend.pareto(variants),
        skipped=plan.skipped,
        training=[
            Training(model.name, msgspec.convert(records[model.name].result["epochs"], list[Epoch]))
            for model in plan.models
        ],
        variants=variants,
        seed=settings.seed,
        task=msgspec.convert(records[plan.models[0].name].result["task"], Task),
        pictures={str(index): png for index in flipped if (png := picture.draw(dataset.test.images, index))},
        search=run.search,
    )


def _recommendation(run: Finished, variants: list[Variant]) -> Recommendation | None:
    """What the search has chosen, if it passes everything in this run too; else by the rule of all runs."""
    settings, search = run.plan.settings, run.search
    if search is None:
        formats = [settings.format] if settings.format else None
        return recommend.recommend(variants, prefer=settings.prefer, formats=formats)
    chosen = next((v for v in variants if (v.name, v.format) == (search.delivered, search.delivered_format)), None)
    if chosen is None or not recommend.passed_all(chosen):
        return None
    return Recommendation(chosen.name, chosen.format, search.rule)


def _variant(
    run: Finished,
    file: FileStage,
    model: StageRecord | None,
    answers: Mapping[tuple[str, str], Mapping[str, np.ndarray]],
) -> Variant:
    """One file with all its figures, or with the reason why it has none."""
    folder = run.folder
    runtime = registry.by_format("runtimes", file.format)
    path = folder / "artifacts" / f"{file.name}.{file.format}"
    bare = Variant(
        name=file.name,
        format=file.format,
        runtime=f"{runtime.__name__.rpartition('.')[2]} {runtime.version()}",
        recipe=file.recipe,
        is_baseline=file.name == BASELINE_NAME,
        path=path.relative_to(folder).as_posix(),
        sha256=None,
        status="failed",
    )
    failure = run.failure(file)
    # Where the model could not be made, no file was.
    if failure is not None or model is None:
        sha256 = None if file.key in run.failures else store.sha256_file(path)
        reasons = [] if failure is None else [f"{failure.kind}: {failure.message}"]
        return msgspec.structs.replace(bare, sha256=sha256, failures=reasons)
    checked = kept.record(folder, file.check_key).result
    checks = msgspec.convert(checked["checks"], list[Check])
    failed = failed_checks(checks)
    slot = (file.name, file.format)
    if slot in run.measured.failures:
        failed.append(f"latency: {run.measured.failures[slot]}")
    facts = readback.read(path)
    inspected = run.measured.inspected.get(slot)
    model_notes = msgspec.convert(model.result["notes"], list[LayerNote])
    exported = kept.record(folder, file.key).result
    export_notes = msgspec.convert(exported["notes"], list[LayerNote])
    return msgspec.structs.replace(
        bare,
        sha256=store.sha256_file(path),
        status="failed" if failed else "ok",
        failures=failed,
        checks=checks,
        parity=msgspec.convert(checked["parity"], Parity | None),
        size=measure_size(path, facts),
        compute=measure_compute(facts),
        latency=run.measured.latency.get(slot),
        memory=None if inspected is None else inspected.memory,
        operators=[] if inspected is None else inspected.operators,
        runtime_facts=None if inspected is None else inspected.runtime_facts,
        layers=[*model_notes, *export_notes],
        sensitivity=msgspec.convert(exported["sensitivity"], Sensitivity | None),
        **_quality(run, file, msgspec.convert(model.result["task"], Task), answers, checked["keras_metrics"]),
    )


def _control(plan: Plan) -> str | None:
    """Name of the variant that trained as long and changed nothing, if the run has one."""
    for recipe in plan.recipes:
        if [step.name for step in recipe.steps] == ["finetune", "fp32"]:
            return recipe.name
    return None


def _quality(
    run: Finished,
    file: FileStage,
    task: Task,
    answers: Mapping[tuple[str, str], Mapping[str, np.ndarray]],
    keras: Mapping[str, Any],
) -> dict[str, Any]:
    """How good the answers to test and validation data are, against fp32 and the control of the same format."""
    own = answers[file.name, file.format]
    if "test" not in own:
        return {}
    dataset = run.dataset
    baseline = None if file.name == BASELINE_NAME else answers.get((BASELINE_NAME, file.format))
    control = _control(run.plan)
    trained = bool(file.recipe.techniques) and file.name != control
    reference = answers.get((control, file.format)) if control and trained else None
    labels = {"test": dataset.test.labels, "validation": dataset.validation.labels}
    return quality.fields(task, labels, quality.Judged(own, baseline, reference, keras))


def _explained(variant: Variant, variants: list[Variant], folder: Path, measured: Measured) -> Variant:
    if variant.size is None:
        return variant
    baseline = next((v for v in variants if v.name == "fp32" and v.format == variant.format), None)
    facts = readback.read(folder / variant.path)
    return msgspec.structs.replace(variant, why=why.explain(variant, baseline, facts, measured.environment))


def _warnings(run: Finished, first: StageRecord) -> list[str]:
    plan, folder, settings = run.plan, run.folder, run.plan.settings
    records = [first, *(kept.record(folder, teacher.key) for teacher in plan.teachers)]
    of_models = [warning for record in records for warning in record.result.get("warnings", [])]
    found = [*run.dataset.warnings, *run.warnings, *of_models, *run.measured.warnings]
    if first.result["post_training_only"] is not None:
        found.append(f"what needs training was left out: {first.result['post_training_only']}")
    if settings.quick:
        found.append(
            f"--quick: trained on {settings.train_samples} images, without a control; use the figures for a first "
            "look only"
        )
    known = {f"{file.name}.{file.format}" for file in plan.files}
    known |= set() if run.search is None else {f"{one.name}.{one.format}" for one in run.search.trials}
    left = sorted(path.name for path in (folder / "artifacts").iterdir() if path.name not in known)
    if left:
        found.append(f"not of this run, left from an earlier one in the same folder: artifacts/{', '.join(left)}")
    return found
