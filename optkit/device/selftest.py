"""``selftest.py`` of a bundle: is it whole, does it answer here as it did where it was made, and how fast is it.

Writes a report.json that ``optkit compare`` reads. Ends with 0 when all is well, 1 when a check failed, 2 when
nothing could be checked: the bundle is damaged, or the runtime is missing. Needs Python, numpy and the runtime;
``predict.py`` beside it is what is tested.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import importlib
import json
import math
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from optkit.device.intervals import noise_floor, percentile_or_none, ratio_interval, wilson_interval
from optkit.device.machine import describe, load_average, versions
from optkit.device.sensors import Watch, throttling
from optkit.device.timing import Timed, measure_cycles, opened, warm_up

HERE = Path(__file__).resolve().parent
LEAST_PROCESSES = 3
SECONDS_OF_EACH_FILE = 1.0
LEAST_CALLS = 50
WANTED_WIDTH = 0.02
_NOT_OURS = 2


def manifest_of(folder: Path) -> dict[str, Any]:
    """The bundle's manifest, whose own digest is over everything else in it.

    Raises:
        ValueError: It is damaged.
    """
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    rest = {name: value for name, value in found.items() if name != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    if hashlib.sha256(text.encode()).hexdigest() != found.get("sha256"):
        raise ValueError("its content is not what its own digest says")
    return found


def damaged(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """The files that are missing or not as they were made."""
    wrong = []
    for name, digest in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            wrong.append(f"{name} is missing")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            wrong.append(f"{name} is damaged")
    return wrong


def check(name: str, *, passed: bool, observed: object, limit: object, unit: str, reason: str = "") -> dict[str, Any]:
    """A check as report.json has it."""
    return {
        "name": name,
        "passed": passed,
        "observed": observed,
        "limit": limit,
        "unit": unit,
        "reason": reason,
    }


def exact(predict: Any, images: np.ndarray) -> list[dict[str, Any]]:
    """The check of integer outputs bit for bit, by the kernels that are the same everywhere; empty for floats."""
    path = HERE / "test" / "exact.npy"
    if not path.is_file():
        return []
    expected = np.load(path, allow_pickle=False)
    found = outputs_of(predict, images[:: len(images) // len(expected)][: len(expected)], exact=True)
    same = found.shape == expected.shape and found.dtype == expected.dtype
    apart = int(np.abs(found.astype(np.int64) - expected.astype(np.int64)).max()) if same else "another shape or type"
    reason = "bit for bit, by LiteRT's reference kernels"
    return [check("exact outputs", passed=apart == 0, observed=apart, limit=0, unit="steps", reason=reason)]


def outputs_of(predict: Any, images: np.ndarray, *, exact: bool = False) -> np.ndarray:
    """Native outputs [n, values] of raw images, one at a time, as predict.py feeds them."""
    session = predict.open_bundled(exact=exact)
    rows = []
    for one in images:
        session.feed(session.to_native(predict.real(one[None])))
        session.invoke()
        rows.append(session.fetch()[0])
    return np.stack(rows)


def judged(predict: Any, manifest: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any] | None, list[str]]:
    """Checks of all outputs, accuracy where the labels are there, and the predictions that differ, in words."""
    images = np.load(HERE / "test" / "images.npy", allow_pickle=False)
    expected = np.load(HERE / "test" / "expected.npy", allow_pickle=False)
    found = outputs_of(predict, images)
    tolerance = manifest["tolerance"]
    if found.shape != expected.shape or found.dtype != expected.dtype:
        seen = f"{found.dtype} {list(found.shape)}"
        wanted = f"{expected.dtype} {list(expected.shape)}"
        return [check("outputs", passed=False, observed=seen, limit=wanted, unit="")], None, []
    apart = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    steps = expected.dtype.kind in "iu"
    worst = float(apart.max()) if np.isfinite(apart).all() else math.inf
    limit = tolerance["absolute"] + tolerance["relative"] * float(np.abs(expected).max())
    checks = [
        *exact(predict, images),
        check(
            "outputs",
            passed=worst <= limit,
            observed=worst if math.isfinite(worst) else "not a number",
            limit=limit,
            unit="steps" if steps else "largest difference",
            reason=tolerance["reason"],
        ),
    ]
    session_port = predict.declared(predict.SETTINGS["output"])
    answers = predict.answers(predict.from_native(found, session_port))
    before = predict.answers(predict.from_native(expected, session_port))
    if predict.SETTINGS["task"]["kind"] == "regression":
        return checks, None, []
    differing = np.flatnonzero(answers != before)
    checks.append(
        check(
            "predictions", passed=not len(differing), observed=len(differing), limit=0, unit=f"of {len(images)} differ"
        )
    )
    told = [f"image {at}: {answers[at]} here, {before[at]} where it was made" for at in differing[:10]]
    labels = HERE / "test" / "labels.npy"
    if not labels.is_file():
        return checks, None, told
    right = np.load(labels, allow_pickle=False)
    classes = int(max(right.max(), answers.max(), len(predict.SETTINGS["labels"]) - 1)) + 1
    confusion = np.zeros((classes, classes), int)
    np.add.at(confusion, (right, answers), 1)
    correct, total = int((right == answers).sum()), len(right)
    accuracy = {
        "correct": correct,
        "total": total,
        "top1": correct / total,
        "ci95": list(wilson_interval(correct, total)),
        "confusion": confusion.tolist(),
    }
    return checks, accuracy, told


def measured(predict: Any, seconds: float, calls: int, threads: int, seed: int) -> dict[str, Any]:
    """Time the model and a second copy of it in this process, interleaved: raw times of both."""
    raw = np.load(HERE / "test" / "images.npy", allow_pickle=False)
    images = predict.real(raw)
    order = random.Random(seed)

    def once(index: int) -> tuple[Timed, float, float]:
        return opened(index, lambda: predict.open_bundled(threads=threads), lambda _: images, 1)

    # Whatever is opened first pays for importing the runtime: one is opened before, untimed.
    once(0)
    indices = [0, 1]
    order.shuffle(indices)
    files: list[Timed] = []
    told: dict[int, dict[str, Any]] = {}
    for index in indices:
        timed, load_ms, first_ms = once(index)
        files.append(timed)
        told[index] = {"load_ms": load_ms, "first_ms": first_ms}
    for timed in files:
        warm_up(timed)
    measure_cycles(files, seconds, calls, order)
    for timed in files:
        told[timed.index] |= {
            "blocks_us": timed.blocks_us,
            "singles_us": timed.singles_us,
            "conversion_us": timed.conversion_us,
        }
    return {"model": told[0], "copy": told[1]}


def in_processes(given: argparse.Namespace, predict: Any) -> list[dict[str, Any]]:
    """Raw times of fresh processes, until the copy's interval is narrow enough or the time is up."""
    rounds: list[dict[str, Any]] = []
    started = time.monotonic()
    share, calls = SECONDS_OF_EACH_FILE / LEAST_PROCESSES, math.ceil(LEAST_CALLS / LEAST_PROCESSES)
    if given.one_process:
        return [measured(predict, SECONDS_OF_EACH_FILE, LEAST_CALLS, given.threads, 0)]
    while len(rounds) < LEAST_PROCESSES or (
        width_of(rounds) > WANTED_WIDTH
        and (time.monotonic() - started) * (len(rounds) + 1) / len(rounds) <= given.max_time
    ):
        job = [sys.executable, str(Path(__file__).resolve()), "--threads", str(given.threads)]
        job += ["--measure", json.dumps([share, calls, len(rounds)])]
        done = subprocess.run(job, stdout=subprocess.PIPE, check=True, text=True)
        rounds.append(json.loads(done.stdout.splitlines()[-1]))
    return rounds


def copy_ratio(rounds: list[dict[str, Any]]) -> tuple[float, float, float]:
    """The model's time over its copy's, with the 95 % interval."""
    base, copy = ([one[name]["blocks_us"] for one in rounds] for name in ("model", "copy"))
    return ratio_interval(base, copy, 0)


def width_of(rounds: list[dict[str, Any]]) -> float:
    """Relative half width of that interval."""
    _, low, high = copy_ratio(rounds)
    return math.exp(math.log(high / low) / 2) - 1


def latency_of(rounds: list[dict[str, Any]], threads: int) -> dict[str, Any]:
    """The figures of report.json."""
    own = [one["model"] for one in rounds]
    singles = [value for one in own for value in one["singles_us"]]
    blocks = [one["blocks_us"] for one in own]
    return {
        "p50_us": median(median(one) for one in blocks),
        "p90_us": percentile_or_none(singles, 90),
        "p99_us": percentile_or_none(singles, 99),
        "min_us": min(*singles, *(value for one in blocks for value in one)),
        "p50_with_conversion_us": median(median(one["conversion_us"]) for one in own),
        "samples": len(singles),
        "processes": len(rounds),
        "threads": threads,
        "batch": 1,
        "load_ms": median(one["load_ms"] for one in own),
        "first_ms": median(one["first_ms"] for one in own),
        "blocks_us": blocks,
    }


def report_of(manifest: dict[str, Any], variant: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """report.json, version 1."""
    return {
        "schema_version": 1,
        "optkit_version": manifest["optkit_version"],
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "command": " ".join(["selftest.py", *sys.argv[1:]]),
        "data": manifest["data"],
        "recommendation": None,
        "pareto": [],
        "skipped": [],
        "training": [],
        "variants": [variant],
        "seed": 0,
        "task": manifest["task"],
        **more,
    }


def run(given: argparse.Namespace) -> int:
    """Check, measure, write the report, say what was seen."""
    try:
        manifest = manifest_of(HERE)
    except (OSError, ValueError) as error:
        print(f"Error: manifest.json is damaged ({error}): send the bundle again", file=sys.stderr)
        return _NOT_OURS
    wrong = damaged(HERE, manifest)
    for line in wrong:
        print(f"Error: {line}: send the bundle again", file=sys.stderr)
    if wrong:
        return _NOT_OURS
    before = load_average()
    described = describe()
    if given.emulated:
        described["cpu_model"] += " (emulated)"
    packages = versions(["ai-edge-litert", "numpy", "onnxruntime", "pillow"])
    sys.path.insert(0, str(HERE))
    predict = importlib.import_module("predict")
    try:
        checks, accuracy, told = judged(predict, manifest)
    except predict.InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        return _NOT_OURS
    failed = [one for one in checks if not one["passed"]]
    warnings = ["emulated: times say nothing about a device and are never compared"] if given.emulated else []
    started = time.monotonic()
    readings: list[dict[str, Any]] = []
    if given.watch:
        with Watch() as readings:
            rounds = [] if given.no_timing else in_processes(given, predict)
    else:
        rounds = [] if given.no_timing else in_processes(given, predict)
    slowed = throttling(readings)
    seconds = round(time.monotonic() - started, 3)
    variant = {
        "name": manifest["name"],
        "format": manifest["format"],
        "runtime": " ".join(f"{name} {packages.get(name)}" for name in manifest["runtime_packages"]),
        "recipe": manifest["recipe"],
        "path": manifest["model"],
        "sha256": manifest["files"][manifest["model"]],
        "status": "failed" if failed else "ok",
        "failures": [f"{one['name']}: {one['observed']} {one['unit']}, limit {one['limit']}" for one in failed] + told,
        "checks": checks,
        "size": manifest["size"],
        "compute": manifest["compute"],
        "accuracy": accuracy,
        "latency": latency_of(rounds, given.threads) if rounds else None,
        "is_baseline": True,
        "why": [{"cause": "throttling", "detail": slowed}] if slowed else [],
    }
    environment = {**described, "packages": packages, "load_average_before": before}
    environment["load_average_after"] = load_average()
    more: dict[str, Any] = {"environment": environment, "warnings": warnings, "noise_floor": [], "stopping": []}
    if readings:
        more["readings"] = readings
    if rounds:
        _, low, high = copy_ratio(rounds)
        floor = noise_floor(low, high)
        width = width_of(rounds)
        reason = "fixed" if given.one_process else "narrow enough" if width <= WANTED_WIDTH else "time is up"
        more["noise_floor"] = [{"format": manifest["format"], "low": floor[0], "high": floor[1]}]
        more["stopping"] = [
            {
                "format": manifest["format"],
                "reason": reason,
                "processes": len(rounds),
                "seconds": seconds,
                "wanted_width": None if given.one_process else WANTED_WIDTH,
                "reached_width": width,
            }
        ]
    report = report_of(manifest, variant, more)
    temporary = given.out.with_name(f"{given.out.name}.{os.getpid()}")
    temporary.write_text(json.dumps(report, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(given.out)
    tell(variant, manifest, given.out)
    return 1 if failed else 0


def tell(variant: dict[str, Any], manifest: dict[str, Any], out: Path) -> None:
    """The outcome on the screen."""
    print(f"{len(manifest['files'])} files are as they were made")
    for one in variant["checks"]:
        limit = f"{one['limit']:.3g}" if isinstance(one["limit"], float) else one["limit"]
        print(f"{'ok' if one['passed'] else 'FAILED'}: {one['name']}: {one['observed']} {one['unit']}, limit {limit}")
    if variant["accuracy"] is not None:
        right = variant["accuracy"]
        low, high = (100 * bound for bound in right["ci95"])
        print(f"right: {right['correct']} of {right['total']} [{low:.1f}, {high:.1f}] %")
    if variant["latency"] is not None:
        time_us = variant["latency"]
        print(f"p50 {time_us['p50_us']:.4g} µs, with conversion {time_us['p50_with_conversion_us']:.4g} µs")
    for one in variant["why"]:
        print(f"{one['cause']}: {one['detail']}")
    print(f"written: {out}")


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Test this bundle on this machine and measure it.")
    parser.add_argument("--out", type=Path, default=HERE / "report.json", help="where the report goes")
    parser.add_argument("--threads", type=int, default=1, help="threads of the runtime (default 1)")
    parser.add_argument("--max-time", type=float, default=30.0, help="seconds to measure at most (default 30)")
    parser.add_argument("--no-timing", action="store_true", help="check only")
    parser.add_argument("--one-process", action="store_true", help="measure in this process, and start no other")
    parser.add_argument("--watch", action="store_true", help="note temperature, clock and memory while measuring")
    parser.add_argument("--emulated", action="store_true", help="say in the report that an emulator ran this")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure is None:
        return run(given)
    sys.path.insert(0, str(HERE))
    seconds, calls, seed = json.loads(given.measure)
    print(json.dumps(measured(importlib.import_module("predict"), seconds, calls, given.threads, seed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
