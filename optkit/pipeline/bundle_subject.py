"""What is known about a model file that is to be packed: from its run, from the file, and from the data."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from optkit import readback, recipes, registry
from optkit.bundle import Limits, Subject
from optkit.data import DataSpec, source
from optkit.data._evaluation import load_evaluation
from optkit.data._preprocessing import declared
from optkit.errors import InputError
from optkit.pipeline import judge, model_file, predict_preprocessing
from optkit.problem import Task
from optkit.readback import Port
from optkit.report import json_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.data._evaluation import Evaluation
    from optkit.problem import Preprocessing
    from optkit.schema import DataFacts, Report, Variant

# Of the test set; more than a comparison needs.
MOST_EXAMPLES = 10_000
_WORKER = "optkit.pipeline.bundle_worker"


class Given(NamedTuple):
    """What the user said about the data; ``None`` where nothing was said."""

    data: str | None = None
    preprocessing: Preprocessing | None = None
    target: str | None = None


class Known(NamedTuple):
    """A file, and its place in a run."""

    path: Path
    name: str
    format: str
    folder: Path | None
    report: Report | None
    variant: Variant | None


def of_file(path: Path, formats: Sequence[str]) -> Known:
    """A single file, with its run where it lies in one.

    Raises:
        InputError: There is no such file, or the target takes no such format.
    """
    file_format = model_file.kind(path, suffixes=tuple(f".{one}" for one in formats), folder=False)
    for folder in dict.fromkeys((path.absolute().parent, path.absolute().parent.parent)):
        try:
            report = _report(folder)
        except InputError:
            # Some other program's report.json lies there.
            continue
        if report is not None:
            relative = path.absolute().relative_to(folder).as_posix()
            variant = next((one for one in report.variants if one.path == relative), None)
            if variant is not None:
                return Known(path, variant.name, file_format, folder, report, variant)
    return Known(path, path.stem, file_format, None, None, None)


def of_run(folder: Path, formats: Sequence[str]) -> list[Known]:
    """The files of a run that a target takes, the recommended one first, then the others by size.

    Those that failed a check are left out, and so are those whose answers are measurably worse than the baseline's.

    Raises:
        InputError: It is no run folder, or has no such file.
    """
    report = _report(folder)
    if report is None:
        raise InputError(
            f"expected a model file or the folder of a run of optkit compress, found {folder} without a report.json; "
            "check the path"
        )
    first = report.recommendation
    found = []
    for variant in report.variants:
        path = folder / variant.path
        worse = (
            variant.accuracy is not None
            and (versus := variant.accuracy.versus_baseline) is not None
            and (versus.verdict == "worse")
        )
        if variant.status == "ok" and variant.format in formats and path.is_file() and not worse:
            found.append(Known(path, variant.name, variant.format, folder, report, variant))
    if not found:
        raise InputError(
            f"expected a {' or '.join(formats)} file that passed all checks in the run {folder}, found none; make one "
            "with optkit compress --formats"
        )

    def place(known: Known) -> tuple[bool, int, int]:
        recommended = first is not None and (known.name, known.format) == (first.variant, first.format)
        return not recommended, formats.index(known.format), known.path.stat().st_size

    return sorted(found, key=place)


def _report(folder: Path) -> Report | None:
    """The report of a run folder; ``None`` where there is none.

    Raises:
        InputError: What is there is none of optkit's.
    """
    try:
        return json_file.from_json((folder / "report.json").read_bytes())
    except OSError:
        return None


def described(
    known: Known, given: Given, limits: Limits, scratch: Path, evaluation: Evaluation | None = None
) -> Subject:
    """Everything about a file, with what it answers to the test examples.

    Args:
        known: The file.
        given: What the user said about the data.
        limits: Of the device.
        scratch: A folder for what the processes exchange.
        evaluation: The data, where they are loaded already.

    Raises:
        InputError: The file or the data cannot be used.
    """
    noted = predict_preprocessing.noted(known.path)
    loaded = evaluation or load(known, given)
    facts = readback.read(known.path)
    raw = _raw(loaded)
    labels = None if loaded.test.labels is None else np.asarray(loaded.test.labels)[: len(raw)]
    ports, outputs = answers(known.path, raw, loaded.preprocessing, scratch)
    task = noted.task or _guessed(outputs, labels)
    names = noted.class_names or loaded.class_names or tuple(str(number) for number in range(task.classes))
    return Subject(
        path=known.path,
        name=known.name,
        format=known.format,
        facts=facts,
        given=ports[0],
        found=ports[1],
        preprocessing=loaded.preprocessing,
        task=task,
        class_names=names if task.kind != "regression" else (),
        data=_data_facts(known, loaded),
        licence=_licence(known, given),
        raw=raw,
        labels=labels,
        outputs=outputs,
        variant=known.variant,
        report=known.report,
        limits=limits,
    )


def load(known: Known, given: Given) -> Evaluation:
    """The data of the run, or those that the user gave.

    Raises:
        InputError: There are none, or they cannot be read.
    """
    noted = predict_preprocessing.noted(known.path)
    name, settings = _source(known, given)
    preprocessing = given.preprocessing or noted.preprocessing
    if preprocessing is None and settings:
        keys = ("scale", "mean", "std", "resize", "channels")
        preprocessing = declared(**{key: settings[key] for key in keys if key in settings})
    return load_evaluation(DataSpec(name, preprocessing, given.target or settings.get("target")))


def _source(known: Known, given: Given) -> tuple[str, dict[str, Any]]:
    """Where the data are, and the run's settings."""
    if given.data is not None:
        return given.data, {}
    if known.folder is not None:
        try:
            settings, _ = recipes.load_toml(known.folder / "recipe.toml")
        except (OSError, InputError):
            settings = {}
        if "data" in settings:
            return str(settings["data"]), settings
    raise InputError(
        f"a bundle has test examples with it, and nothing says which data {known.path} is for; give --data (mnist, or "
        "your own)"
    )


def _raw(loaded: Evaluation) -> np.ndarray:
    """Raw test examples in memory, at most so many."""
    raw = loaded.test.images[: min(len(loaded.test.images), MOST_EXAMPLES)]
    if raw.dtype.names:
        raise InputError("expected a model with one input, found data for several; a bundle cannot feed them")
    return np.ascontiguousarray(raw)


def answers(
    path: Path, raw: np.ndarray, preprocessing: Preprocessing, scratch: Path
) -> tuple[tuple[Port, Port], np.ndarray]:
    """The input, the output, and what a file answers to raw examples in a process of its own.

    Raises:
        InputError: It cannot.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        images, out = Path(folder) / "raw.npy", Path(folder) / "outputs.npy"
        np.save(images, raw, allow_pickle=False)
        job = {
            "file": str(path),
            "images": str(images),
            "out": str(out),
            "preprocessing": msgspec.to_builtins(preprocessing),
        }
        told = model_file.ask(_WORKER, job, str(path))
        given, found = (Port(**{**told[name], "shape": tuple(told[name]["shape"])}) for name in ("input", "output"))
        return (given, found), np.load(out, allow_pickle=False)


def _guessed(outputs: np.ndarray, labels: np.ndarray | None) -> Task:
    """What outputs stand for, where no run says it: classes, unless the labels are no whole numbers."""
    values = outputs.shape[1]
    if labels is not None and labels.dtype.kind == "f":
        return Task("regression", "values", values)
    whole = outputs.dtype.kind in "iu"
    probabilities = whole or bool((outputs >= 0).all() and (outputs <= 1).all())
    return Task("binary" if values == 1 else "multiclass", "probabilities" if probabilities else "logits", values)


def _data_facts(known: Known, loaded: Evaluation) -> DataFacts:
    """The run's own word on its data, or what was loaded."""
    facts = judge.data_facts(loaded)
    own = known.report.data if known.report is not None else None
    if own is not None and own.sha256 == loaded.sha256:
        return own
    if facts is None:
        raise InputError("expected data, found none")
    return facts


def _licence(known: Known, given: Given) -> str:
    """Where the data are from and under which licence; of the user's own data that is the user's to say."""
    try:
        name, _ = _source(known, given)
        if name in registry.names("data") and not hasattr(source(name), "accepts"):
            text: str = source(name).SOURCE
            return text
    except InputError:
        pass
    return "your own data; write its licence here"
