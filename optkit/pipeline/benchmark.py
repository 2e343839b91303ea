"""Measures model files that no optkit run made, and makes the same report of them.

A file that cannot be used is listed with the reason, and the others are measured.
"""

from __future__ import annotations

import datetime as dt
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

import optkit
from optkit import environment, limits, readback, runtimes
from optkit.data import DataSpec
from optkit.data._evaluation import load_evaluation
from optkit.data._preprocessing import declared
from optkit.errors import InputError, nearest
from optkit.measure.latency import measure_latency
from optkit.measure.latency_figures import doubts, noise_floor, scaling, stopping, summarize, until_narrow
from optkit.measure.memory import measure_memory
from optkit.measure.operators import measure_operators
from optkit.measure.size import measure_compute, measure_size
from optkit.pipeline import benchmark_files, judge
from optkit.pipeline.progress import Schedule
from optkit.report import recommend
from optkit.schema import SCHEMA_VERSION, NoiseFloor, Report, Stopping, Variant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.data._evaluation import Evaluation
    from optkit.measure.latency import LatencyResult
    from optkit.pipeline.progress import OnEvent

# Of the interval of a speed-up, relative: narrow enough to tell 5 % from nothing.
WANTED_WIDTH = 0.02
# Beyond what any deployment runs, and within what a machine has memory for.
MOST_BATCH = 65_536
MOST_SECONDS = 60.0
LEAST_PROCESSES = 3
# The processes that look at memory and at operators speak once, after some 15 calls that a profile makes slower.
CALLS_WITHOUT_A_WORD = 60


class Options(msgspec.Struct, frozen=True):
    """How to measure.

    Attributes:
        data: A data set of the package, or a path (see ``optkit.data``); inputs are generated when ``None``.
        scale: Factor of raw values, a number or a fraction such as ``1/255``.
        mean: Subtracted after scaling: one value, or one per channel.
        std: Divides after that, likewise.
        resize: ``HEIGHTxWIDTH`` that pictures are brought to.
        channels: Order or number of channels that pictures are brought to.
        target: Column of a table that holds the labels.
        threads: Threads of the runtime; the first is the headline's.
        batch: Images in a call; the first is the headline's.
        min_time: Seconds that each file is timed at least.
        max_time: Seconds after which measuring one format ends, even when an interval is wider than wanted.
        width: Half width wanted of a speed-up's 95 % interval, relative.
        baseline: The file that others of its format are held against; the first of each format by default.
        prefer: What the recommendation optimizes, where there are validation data.
        seed: Of the orders, of generated inputs and of the bootstrap.
        runtime: Name of another runtime than the usual one, for the files of its format.
    """

    data: str | None = None
    scale: str | float | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: str | None = None
    channels: Literal["as they are", "grey", "rgb", "bgr"] | None = None
    target: str | None = None
    threads: tuple[int, ...] = (1,)
    batch: tuple[int, ...] = (1,)
    min_time: float = 1.0
    max_time: float = MOST_SECONDS
    width: float = WANTED_WIDTH
    baseline: Path | None = None
    prefer: str = "size"
    seed: int = 0
    runtime: str | None = None


class _Run(NamedTuple):
    """What the steps of one benchmark share."""

    options: Options
    evaluation: Evaluation | None
    images: judge.Images
    log: Path
    schedule: Schedule


def benchmark(
    files: Sequence[Path], options: Options, *, command: str, log: Path, on_event: OnEvent = lambda _: None
) -> Report:
    """Measure model files.

    Args:
        files: ``.tflite``, ``.onnx`` and ``.keras`` files in any mix.
        options: How to measure.
        command: The command to note as the one that makes it again.
        log: Gets what the runtimes print.
        on_event: Receives progress.

    Returns:
        The report; a file that failed has ``status == "failed"`` and the reasons.

    Raises:
        InputError: An option is out of range, a file is not there, or none of them can be used.
    """
    _check(options)
    variants, skipped = benchmark_files.runnable(
        benchmark_files.named(files, options.baseline, options.runtime), options.runtime
    )
    evaluation = None if options.data is None else load_evaluation(_spec(options, options.data))
    formats = list(dict.fromkeys(variant.format for variant in variants))
    schedule = Schedule(_expected_seconds(variants, options, evaluation), on_event)
    # Looking up the packages' versions takes as long as a process takes to start: both at once.
    background = ThreadPoolExecutor(1)
    before = background.submit(environment.describe)
    floors, stops, warnings = [], [], []
    with tempfile.TemporaryDirectory(prefix="optkit-benchmark-") as scratch:
        images = judge.write_images(evaluation, Path(scratch))
        run = _Run(options, evaluation, images, log, schedule)
        done: list[Variant] = []
        answers: judge.Answers = {}
        for file_format in formats:
            own = [variant for variant in variants if variant.format == file_format]
            measured = _measure_format(own, run)
            done += measured.variants
            answers |= measured.answers
            floors += measured.floors
            stops += measured.stops
            warnings += [f"{file_format}: {warning}" for warning in measured.warnings]
    if all(variant.status == "failed" for variant in done):
        reasons = "; ".join(f"{variant.path}: {' '.join(variant.failures)}" for variant in done)
        raise InputError(f"none of the files can be used: {reasons}")
    if evaluation is None:
        warnings.insert(0, "no data given: inputs were generated, and accuracy is not measured; give --data")
    after = environment.with_load_after(before.result())
    background.shutdown()
    done = [judge.explained(variant, done, after) for variant in done]
    return Report(
        schema_version=SCHEMA_VERSION,
        optkit_version=optkit.__version__,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        command=command,
        warnings=warnings,
        environment=after,
        data=judge.data_facts(evaluation),
        noise_floor=floors,
        recommendation=judge.choose(done, answers, evaluation, options.prefer),
        pareto=recommend.pareto(done) if evaluation is not None and evaluation.validation is not None else [],
        skipped=skipped,
        training=[],
        variants=done,
        pictures=judge.pictures(done, evaluation),
        stopping=stops,
        seed=options.seed,
    )


def _spec(options: Options, source: str) -> DataSpec:
    """Which data, and how raw values become real inputs.

    Raises:
        InputError: A declared preprocessing cannot be read.
    """
    preprocessing = declared(options.scale, options.mean, options.std, options.resize, options.channels)
    return DataSpec(source, preprocessing, options.target)


def _check(options: Options) -> None:
    """Refuse what is out of range.

    Raises:
        InputError: Some option is.
    """
    # More threads than cores only wait for each other.
    most_threads = max(8, 2 * len(os.sched_getaffinity(0)))
    limits = (("--threads", options.threads, most_threads), ("--batch", options.batch, MOST_BATCH))
    for name, numbers, most in limits:
        if not numbers or min(numbers) < 1 or max(numbers) > most:
            found = ", ".join(map(str, numbers)) or "none"
            raise InputError(f"{name} expects numbers from 1 to {most}, found {found}; choose others")
    if not 0 <= options.seed < 2**31:
        raise InputError(f"--seed expects a number from 0 to {2**31 - 1}, found {options.seed}; choose another")
    for name, seconds in (("--min-time", options.min_time), ("--max-time", options.max_time)):
        if not 0 < seconds <= 86_400:
            raise InputError(f"{name} expects seconds over 0 and at most a day, found {seconds:g}")
    if options.prefer not in recommend.PREFERENCES:
        hint = nearest(options.prefer, list(recommend.PREFERENCES))
        raise InputError(f"--prefer expects what to recommend by, found {options.prefer!r}: {hint}")
    if not 0 < options.width < 1:
        raise InputError(f"--width expects a fraction between 0 and 1, such as 0.02, found {options.width:g}")


class _Measured(NamedTuple):
    variants: list[Variant]
    floors: list[NoiseFloor]
    stops: list[Stopping]
    warnings: list[str]
    answers: judge.Answers


def _measure_format(variants: list[Variant], run: _Run) -> _Measured:
    """Everything about the files of one format."""
    result = _latency(variants, run)
    warnings = doubts(result)
    if variants[0].format == "keras" and len(run.options.threads) > 1:
        warnings.append(f"TensorFlow takes its threads once per process: measured with {run.options.threads[0]} only")
    left = [variant for variant in variants if variant.path not in result.failures]
    if left and left[0] is not variants[0]:
        warnings.append(f"{variants[0].name} cannot be measured: {left[0].name} is the reference in its place")
    done = []
    for variant in variants:
        if variant.path in result.failures:
            done.append(_failed(variant, result.failures[variant.path]))
            continue
        made, own_warnings = _figures(variant, result, run)
        warnings += own_warnings
        done.append(made)
    done, answers = judge.with_accuracy(
        done, run.evaluation, run.images, run.log, run.schedule, runtime=run.options.runtime
    )
    if not left:
        return _Measured(done, [], [], warnings, answers)
    floor = noise_floor(result)
    return _Measured(done, [floor] if floor else [], [stopping(result, run.options.width)], warnings, answers)


def _failed(variant: Variant, reason: str) -> Variant:
    return msgspec.structs.replace(variant, status="failed", failures=[reason])


def _latency(variants: list[Variant], run: _Run) -> LatencyResult:
    options, file_format = run.options, variants[0].format
    # TensorFlow takes its threads once per process.
    threads = options.threads[:1] if file_format == "keras" else options.threads
    name = f"latency of {file_format} files"
    run.schedule.advance("measure", name, 0.0)
    result = measure_latency(
        [Path(variant.path) for variant in variants],
        Path(variants[0].path),
        run.images.test,
        log=run.log,
        threads=options.threads[0],
        batch=options.batch[0],
        scaling=[(thread, batch) for thread in threads for batch in options.batch],
        processes=LEAST_PROCESSES,
        seconds_per_file=options.min_time,
        seed=options.seed,
        substitute=True,
        opener=f"{runtimes.plugin(file_format, options.runtime).__name__}:open_model",
        silence_seconds=max(_patience(variant, options) for variant in variants),
        go_on=until_narrow(options.width, options.max_time),
        on_progress=lambda done: run.schedule.advance("measure", name, done),
    )
    run.schedule.advance("measure", name, 1.0)
    return result


def _patience(variant: Variant, options: Options) -> float:
    """How long a process may be busy with one step of a file."""
    return limits.patience_seconds(Path(variant.path), batch=max(options.batch))


def _figures(variant: Variant, result: LatencyResult, run: _Run) -> tuple[Variant, list[str]]:
    """A file with what can be told without data, and warnings."""
    path, options = Path(variant.path), run.options
    name = f"memory of {variant.format} files"
    warnings = [
        f"{variant.name} cannot run with {threads} threads and batch {batch}: {reason}"
        for failed, threads, batch, reason in result.scaling_failures
        if failed == variant.path
    ]
    latency = summarize(result, variant.path, wanted_width=options.width)
    threads, batch = options.threads[0], options.batch[0]
    alike: dict[str, Any] = {
        "log": run.log,
        "threads": threads,
        "batch": batch,
        "silence_seconds": _patience(variant, options) + CALLS_WITHOUT_A_WORD * latency.p50_us / 1e6,
        "runtime": options.runtime,
    }
    try:
        memory = measure_memory(path, run.images.test, **alike)
        operators, runtime_facts = measure_operators(path, run.images.test, **alike)
        # Only now: what reads the file here has read it in the process above without a crash and within its limits.
        facts = readback.read(path)
        size = measure_size(path, facts)
    except InputError as error:
        return _failed(variant, str(error)), warnings
    except ValueError as error:
        return _failed(variant, f"{path} does not fit together: {error}; export the model again"), warnings
    finally:
        run.schedule.advance("measure", name, 1.0)
    points = scaling(result, variant.path)
    made = msgspec.structs.replace(
        variant,
        is_baseline=variant.path == result.baseline,
        size=size,
        compute=measure_compute(facts),
        latency=latency,
        memory=memory,
        scaling=points if len(points) > 1 else [],
        operators=operators,
        runtime_facts=runtime_facts,
    )
    return made, warnings + judge.range_warnings(variant, facts, run.evaluation)


def _expected_seconds(
    variants: list[Variant], options: Options, evaluation: Evaluation | None
) -> dict[tuple[str, str], float]:
    expected: dict[tuple[str, str], float] = {}
    cases = len(set(options.threads)) * len(set(options.batch))
    for file_format in dict.fromkeys(variant.format for variant in variants):
        count = sum(variant.format == file_format for variant in variants)
        warm = 0.5 * LEAST_PROCESSES + options.min_time
        expected["measure", f"latency of {file_format} files"] = (count * cases + 1) * warm * 1.2
        expected["measure", f"memory of {file_format} files"] = count * 2.0
        if evaluation is not None and evaluation.test.labels is not None:
            expected["measure", f"accuracy of {file_format} files"] = count * 2.0
    return expected
