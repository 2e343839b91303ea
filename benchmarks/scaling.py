"""How a search scales with worker processes and with the nodes of a Ray cluster, and what its driver does for a trial.

Both nodes are on this machine, with a core each. All searches start from the same trained baseline and try the same
recipes; that every engine makes the same files is a figure of its own. Parts: ``processes``, ``ray``, ``driver``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean

from benchmarks._ray_nodes import Cluster
from benchmarks._result import Figure, write
from optkit import store
from optkit.engines import Surroundings, Wishes
from optkit.engines import ray as engine
from optkit.workers import Job

SEARCH = (
    *("compress", "--quick", "--formats", "tflite", "--train-threads", "1"),
    *("--max-drop", "5pt", "--max-size", "40KB"),
)
SHARES = (0.05, 0.08, 0.12, 0.2)
RECIPES = tuple(f"shrink:parameters={share},epochs=6+int8" for share in SHARES)
PARTS = ("processes", "ray", "driver")
# As many as a search of a night has, and what a shrunk LeNet-5 leaves behind.
SMALL_TRIALS = 200
SMALL_BYTES = 500_000
_COST = re.compile(r"(\d+) bytes to read, (\d+) bytes came back, the driver took ([\d.]+) ms, ([\d.]+) ms of its core")


def run(results: Path, names: list[str]) -> list[str]:
    """Run the parts, write ``scaling.json``."""
    figures: list[Figure] = []
    records: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        first = scratch / "first"
        if {*(names or PARTS)} & {"processes", "ray"}:
            _search(first, "--recipe", "int8")
        files: dict[str, dict[str, str]] = {}
        for part, step in (("processes", _processes), ("ray", _ray)):
            if part in (names or PARTS):
                seconds, made = step(scratch, first)
                files |= made
                records |= {f"{kind}, seconds": value for kind, value in seconds.items()}
                one, two = seconds.values()
                figures += [
                    Figure(f"{kind}, seconds of the search", value, "<=", None, "s") for kind, value in seconds.items()
                ]
                figures.append(Figure(f"{part}: times faster with two than with one", one / two, ">=", 1.5, ""))
        if files:
            alike = len({json.dumps(made, sort_keys=True) for made in files.values()}) == 1
            figures.append(
                Figure(
                    "engines that made the same files, of those run", len(files) if alike else 0, ">=", len(files), ""
                )
            )
        logs = [folder / "log.txt" for folder in scratch.glob("ray-*")]
        costs = [_COST.search(line) for log in logs for line in log.read_text(errors="replace").splitlines()]
        found = [[float(one) for one in cost.groups()] for cost in costs if cost]
        if found:
            figures.append(Figure("bytes that a trial reads, mean", fmean(one[0] for one in found), "<=", None, "B"))
            figures.append(
                Figure("bytes that a trial sends back, mean", fmean(one[1] for one in found), "<=", None, "B")
            )
        if "driver" in (names or PARTS):
            figures += _driver(scratch)
    return write(results, "scaling", figures, {"records": records, "recipes": list(RECIPES)})


def _search(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> float:
    """Seconds of a search, less its start and what is measured in its end."""
    command = [sys.executable, "-m", "optkit.cli.main", *SEARCH, *arguments, "--out", str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})}
    )
    if done.returncode not in {0, 3}:
        raise RuntimeError(done.stdout + done.stderr)
    found: float = json.loads((folder / "report.json").read_text(encoding="utf-8"))["search"]["seconds"]
    return found


def _from(first: Path, folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> float:
    """A search of all recipes that finds the baseline trained."""
    shutil.copytree(first, folder)
    recipes = [argument for recipe in RECIPES for argument in ("--recipe", recipe)]
    return _search(folder, *recipes, *arguments, environment=environment)


def _made(folder: Path) -> dict[str, str]:
    return {path.name: store.sha256_file(path) for path in (folder / "artifacts").glob("*.tflite")}


def _processes(scratch: Path, first: Path) -> tuple[dict[str, float], dict[str, dict[str, str]]]:
    seconds, made = {}, {}
    for workers in (1, 2):
        name, folder = f"{workers} worker process{'es' if workers > 1 else ''}", scratch / f"processes-{workers}"
        seconds[name] = _from(first, folder, "--engine", "processes", "--workers", str(workers))
        made[name] = _made(folder)
    return seconds, made


def _ray(scratch: Path, first: Path) -> tuple[dict[str, float], dict[str, dict[str, str]]]:
    seconds, made = {}, {}
    for names in (("one",), ("one", "two")):
        with Cluster(names) as cluster:
            name, folder = f"Ray, {len(names)} node{'s' if len(names) > 1 else ''}", scratch / f"ray-{len(names)}"
            where = ("--engine", "ray", "--address", cluster.address)
            seconds[name] = _from(first, folder, *where, environment=cluster.environment)
            made[name] = _made(folder)
    return seconds, made


def _driver(scratch: Path) -> list[Figure]:
    """What is left of a trial when it trains nothing."""
    folder = scratch / "driver"
    store.prepare_folder(folder)
    function = "benchmarks._small_stage:make"
    common = {"folder": str(folder), "size": SMALL_BYTES}
    jobs = [Job(str(key), function, {**common, "key": str(key)}, trial=str(key)) for key in range(SMALL_TRIALS)]
    with Cluster(modules=str(Path(__file__).parent.parent)) as cluster:
        os.environ.update(cluster.environment)
        surroundings = Surroundings(folder, (), "null", {})
        with engine.Cluster(surroundings, Wishes(address=cluster.address)) as at_work:
            # The first tasks start the nodes' processes.
            at_work.run(jobs[:4], on_event=lambda *_: None)
            began, processor = time.perf_counter(), time.process_time()
            at_work.run(jobs[4:], on_event=lambda *_: None)
            wall, processor = time.perf_counter() - began, time.process_time() - processor
    count = len(jobs) - 4
    return [
        Figure("trials that train nothing, each second, two nodes", count / wall, ">=", None, "1/s"),
        Figure("the driver's processor time for each", 1000 * processor / count, "<=", 50, "ms"),
    ]
