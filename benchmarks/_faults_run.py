"""One small ``optkit compress`` for the fault benchmark: how it is started, and whether its folder is as it must be."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# A perceptron and 6,000 images: every kind of stage, in half a minute altogether.
SETTINGS = ("--baseline", "mlp-128", "--quick", "--epochs", "1", "--formats", "tflite")
RECIPES = ("--recipe", "prune:epochs=1+int8")
SECONDS = 600.0
COMPARED = ("artifacts", "models")
TEMPORARY = ".optkit-tmp-*"


class Ended(NamedTuple):
    """How a run ended: its exit code (negative for a signal), what it printed, and its wall time."""

    exit_code: int
    output: str
    errors: str
    seconds: float


def start(folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a run."""
    return subprocess.Popen(
        [sys.executable, "-m", "optkit.cli.main", "compress", *SETTINGS, *RECIPES, "--out", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def finish(run: subprocess.Popen[str], *, kill_after: float | None = None) -> Ended:
    """Wait for a run; with ``kill_after`` it gets a SIGKILL after so many seconds."""
    began = time.monotonic()
    try:
        output, errors = run.communicate(timeout=kill_after or SECONDS)
    except subprocess.TimeoutExpired:
        run.send_signal(signal.SIGKILL)
        output, errors = run.communicate()
    return Ended(run.returncode, output, errors, time.monotonic() - began)


def compress(folder: Path, **environment: str) -> Ended:
    """A run from start to end."""
    return finish(start(folder, **environment))


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every artifact and model that is there, from its bytes."""
    files = [path for part in COMPARED for path in sorted((folder / part).glob("[!.]*"))]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def finished(folder: Path) -> dict[Path, int]:
    """Files of finished stages that are intact, with the time at which they were written.

    Not those beside the folders: a report holds the command, with the folder's name, and is drawn again in another.
    """
    found = {}
    for record in (folder / "cache").glob("[!.]*.json"):
        try:
            files = json.loads(record.read_bytes())["record"]["files"]
            good = all(_sha256(folder / one["path"]) == one["sha256"] for one in files)
        except (ValueError, KeyError, TypeError, OSError):
            continue
        if good:
            inside = [folder / one["path"] for one in files if "/" in one["path"]]
            found |= {path: path.stat().st_mtime_ns for path in inside}
    return found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lies(folder: Path) -> Iterator[str]:
    """What the folder's report and manifest say that is not so; nothing where they are not there."""
    for name in ("report.json", "manifest.json"):
        path = folder / name
        if not path.is_file():
            continue
        try:
            content = json.loads(path.read_bytes())
        except ValueError:
            yield f"{name} is no JSON"
            continue
        if name == "report.json":
            said = {one["path"]: one["sha256"] for one in content["variants"] if one["status"] == "ok"}
        else:
            said = content["files"]
        for file, digest in said.items():
            if not (folder / file).is_file():
                yield f"{name} tells of {file}, which is not there"
            elif _sha256(folder / file) != digest:
                yield f"{name} tells of {file} with another content"


def unlike(folder: Path, undisturbed: dict[str, str], kept: dict[Path, int], ended: Ended) -> Iterator[str]:
    """What is not as after an undisturbed run.

    Args:
        folder: The run folder.
        undisturbed: The hashes of such a run.
        kept: What was finished before and must not have been made again.
        ended: The run that should have mended everything.
    """
    if ended.exit_code != 0:
        failed = [line for line in ended.output.splitlines() if line.startswith("failed: ")]
        told = " ".join([ended.errors.strip()[-300:], *failed])
        yield f"the next run ends with exit code {ended.exit_code}: {told}"
    if "Traceback" in ended.errors + ended.output:
        yield "the next run shows a traceback"
    if hashes(folder) != undisturbed:
        yield f"other artifacts: {sorted(set(hashes(folder).items()) ^ set(undisturbed.items()))}"
    yield from lies(folder)
    for name in ("report.json", "report.md", "report.html", "manifest.json", "recipe.toml"):
        if not (folder / name).is_file():
            yield f"no {name}"
    for path, written in kept.items():
        if path.is_file() and path.stat().st_mtime_ns != written:
            yield f"{path.relative_to(folder)} was finished and was made again"
    yield from (f"left {path.relative_to(folder)}" for path in folder.rglob(TEMPORARY))


def still_running(folder: Path) -> list[int]:
    """Processes that have the folder in their arguments or have a file of it open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            links = [link.readlink() for link in (process / "fd").iterdir()]
            if str(folder) in (process / "cmdline").read_text() or any(folder in link.parents for link in links):
                found.append(int(process.name))
        except OSError:
            continue
    return found
