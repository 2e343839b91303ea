"""The stage that proves a finished file right, in a worker process, and takes its answers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from optkit import data, keras_metrics, store
from optkit.data._inputs import form_in, size_of
from optkit.drop import drop_of, is_relative
from optkit.errors import InputError
from optkit.exporters._four_bits import narrow_layers
from optkit.pipeline.settings import Settings
from optkit.problem import Task
from optkit.schema import Check, KernelExpectation, Recipe, Sensitivity
from optkit.store import StageRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from optkit.data import Dataset, Part
    from optkit.workers import Tell

CHUNK_BYTES = 64 << 20


def chunks(dataset: Dataset, part: Part) -> Iterator[np.ndarray]:
    """All real images of a part, float32 [n, …], some at a time; runtimes arrange them as a file takes them."""
    size = max(1, min(1_000, CHUNK_BYTES // (4 * size_of(form_in(part.images)))))
    for start in range(0, len(part.labels), size):
        yield dataset.real(part.images[start : start + size])


def check_file(
    tell: Tell,
    *,
    folder: str,
    key: str,
    name: str,
    format: str,
    export_key: str,
    model_key: str,
    recipe: Mapping[str, Any],
    settings: Mapping[str, Any],
    parts: list[str],
) -> None:
    """Verify one file in its runtime, then take its answers to all images of ``parts``, at batch 1."""
    from optkit import verify
    from optkit.measure.accuracy import answers as take_answers

    started = time.perf_counter()
    wanted = msgspec.convert(settings, Settings)
    root = Path(folder)
    made, exported = store.load_stage(root, model_key), store.load_stage(root, export_key)
    if made is None or exported is None:
        raise InputError(f"a model in {folder} was changed during the run; run the command again")
    sensitivity = msgspec.convert(exported.result["sensitivity"], Sensitivity | None)
    excluded = () if sensitivity is None else tuple(sensitivity.excluded)
    followers = () if sensitivity is None else tuple(sensitivity.followers)
    path = root / "artifacts" / f"{name}.{format}"
    dataset, task = data.load(wanted.data_spec), msgspec.convert(made.result["task"], Task)
    reference = np.load(root / "cache" / f"{model_key}.reference.npy", allow_pickle=False)
    asked = msgspec.convert(recipe, Recipe)
    precision = asked.precision.name
    verification = verify.verify_file(
        path,
        images=dataset.real(dataset.validation.images[: len(reference)]),
        reference=reference,
        task=task,
        # Large images are compared on as many as fit in memory; the check says what they can show.
        available=len(reference),
        precision=precision,
        integer_io={"int8": wanted.io, "int16x8": "int16", "int4": wanted.io}.get(precision),
        expectations=tuple(msgspec.convert(made.result["expectations"], list[KernelExpectation])),
        quantization_aware=made.result["quantization_aware"],
        source_ports=(tuple(made.result["inputs"]), tuple(made.result["outputs"])),
        float_layers=(*wanted.skip_layers, *excluded, *followers),
        excluded_layers=excluded,
        narrow_layers=narrow_layers(asked),
    )
    answers: dict[str, np.ndarray] = {}
    keras: dict[str, Any] = {}
    if verification.parity is not None:
        for part_name in parts:
            part: Part = getattr(dataset, part_name)
            tell({"text": f"{part_name} images"})
            running = keras_metrics.Running(task, part.labels)
            answers[part_name] = take_answers(path, chunks(dataset, part), task=task, see=running.see)
            if task.metrics:
                keras[part_name] = running.results()
    checks = [*verification.checks]
    if sensitivity is not None and "validation" in answers:
        reference = np.load(reference_path(root, export_key), allow_pickle=False)
        checks.append(drop_check(sensitivity, dataset.validation.labels, reference, answers["validation"]))
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
                "checks": [*made.result["checks"], *msgspec.to_builtins(checks)],
                "keras_metrics": keras,
            },
            seconds=round(time.perf_counter() - started, 3),
        ),
    )


def reference_path(folder: Path, export_key: str) -> Path:
    """Where fp32's answers to the validation part are that a file with a limit for its drop is held against."""
    return folder / "cache" / f"{export_key}.fp32.npy"


def drop_check(record: Sensitivity, labels: np.ndarray, reference: np.ndarray, answers: np.ndarray) -> Check:
    """Whether the finished file keeps to the limit that layers were left in float for.

    Args:
        record: With the limit, and the layers in float.
        labels: Right answers [n] to the validation part.
        reference: fp32's answers [n].
        answers: The file's answers [n].
    """
    found = drop_of(labels, reference, answers)
    unit = "percent" if is_relative(record.limit) else "points"
    passed = found.ci95[1] <= record.limit.limit
    left = f"{len(record.excluded)} of {len(record.layers)} layers in float, {record.most} allowed"
    if record.excluded:
        left += f" ({', '.join(record.excluded)})"
    return Check(
        "drop on validation data",
        passed=passed,
        observed=round(100 * found.ci95[1], 4) if np.isfinite(found.ci95[1]) else "not told",
        limit=round(100 * record.limit.limit, 6),
        unit=unit,
        reason=f"upper end of the 95 % interval of {len(labels):,} examples against fp32; {left}",
    )


def failed_checks(checks: list[Check]) -> list[str]:
    """One line for each check that failed, with what its limit rests on."""
    lines = []
    for check in checks:
        if not check.passed:
            observed, limit = (f"{one:.4g}" if isinstance(one, float) else one for one in (check.observed, check.limit))
            reason = f" ({check.reason})" if check.reason else ""
            lines.append(f"{check.name}: observed {observed}, limit {limit} {check.unit}".rstrip() + reason)
    return lines
