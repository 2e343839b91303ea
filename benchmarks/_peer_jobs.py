"""Runs the peers' jobs and optkit's own, each in its own environment, and times them as whole processes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from optkit import store
from optkit.pipeline.plan import EXPORT_SOURCES, TRAINING_SOURCES
from optkit.pipeline.stages import PRELOAD

ROOT = Path(__file__).parents[1]
SCRIPTS = Path(__file__).parent / "peer_scripts"
# Environments, the float model and the peers' files; all of it is made again when it is removed.
CACHE = ROOT / ".peers"
MNIST = ROOT / "optkit" / "data" / "mnist.npz"
OPTKIT = [sys.executable, "-m", "optkit.cli.main", "compress"]
FLOAT = CACHE / "float"
CALIBRATION = CACHE / "calibration.npy"
_LOGGED_CHARACTERS = 4000


class Peer(NamedTuple):
    """Another tool's recipe: ``peer_scripts/NAME.py``, run with the packages of ``peer_scripts/PACKAGE.txt``.

    ``like`` is the optkit recipe that does the same kind of thing; ``trains`` says whether the job trains on.
    """

    name: str
    package: str
    format: str
    like: str
    source: str
    data: Path
    trains: bool


class Own(NamedTuple):
    """optkit's job: the recipe's argument, and the file that it makes."""

    recipe: str
    like: str
    format: str
    trains: bool

    @property
    def name(self) -> str:
        """Name of the job."""
        return f"optkit-{self.like}-{self.format}"

    @property
    def command(self) -> str:
        """What the user types."""
        return f"optkit compress --recipe {self.recipe} --formats {self.format}"


class Done(NamedTuple):
    """What a job made; ``error`` is one line when it made nothing.

    ``same_twice`` says whether two runs wrote the same bytes; ``parts`` has seconds of what is in the wall time.
    """

    file: Path | None
    error: str | None
    wall_seconds: float
    same_twice: bool
    parts: dict[str, float]
    load_average: float


_FLOAT_ONNX, _FLOAT_TFLITE, _KERAS = "artifacts/fp32.onnx", "artifacts/fp32.tflite", "models/baseline.h5"
_TFMOT = ("tensorflow-model-optimization", "tflite")
PEERS = (
    Peer("onnxruntime_static", "onnxruntime", "onnx", "int8", _FLOAT_ONNX, CALIBRATION, trains=False),
    Peer("nncf_onnx", "nncf", "onnx", "int8", _FLOAT_ONNX, CALIBRATION, trains=False),
    Peer("litert_quantizer_static", "litert-quantizer", "tflite", "int8", _FLOAT_TFLITE, CALIBRATION, trains=False),
    Peer("tfmot_qat", *_TFMOT, "qat+int8", _KERAS, MNIST, trains=True),
    Peer("tfmot_prune", *_TFMOT, "prune+dynamic", _KERAS, MNIST, trains=True),
)
# Sparsity and epochs of the recipes that train are the tutorials'; qat's tutorial trains for two steps, and one epoch
# is the least that optkit does.
OWN = (
    Own("int8", "int8", "tflite", trains=False),
    Own("int8", "int8", "onnx", trains=False),
    Own("qat:epochs=1+int8", "qat+int8", "tflite", trains=True),
    Own("prune:sparsity=0.8,epochs=2+dynamic", "prune+dynamic", "tflite", trains=True),
)
TRAPS = Peer("tfmot_traps", "tensorflow-model-optimization", "json", "", _KERAS, MNIST, trains=True)


def lines(peer: Peer) -> int:
    """Lines that the user must write: those of the script that are neither blank nor a comment."""
    text = (SCRIPTS / f"{peer.name}.py").read_text(encoding="utf-8")
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in text.splitlines())


def version(peer: Peer) -> str:
    """Version that the peer's requirements pin."""
    pins = (SCRIPTS / f"{peer.package}.txt").read_text(encoding="utf-8").split()
    return next(pin.partition("==")[2] for pin in pins if pin.partition("==")[0].lower() == peer.package)


def make_float_model() -> None:
    """Train LeNet-5 once with optkit, and write the calibration images that optkit uses; seconds when all is there."""
    import numpy as np

    from optkit import data
    from optkit.pipeline.stages import calibration_images

    CACHE.mkdir(exist_ok=True)
    subprocess.run([*OPTKIT, "--recipe", "int8", "--out", str(FLOAT)], check=True, stdout=subprocess.DEVNULL)
    dataset = data.load("mnist")
    images = calibration_images(dataset, 500, (28, 28, 1))
    store.write_atomically(CALIBRATION, lambda path: np.save(path, images, allow_pickle=False))


def environment(name: str) -> Path:
    """The Python of an environment of that name, made first when its requirements have changed."""
    folder = CACHE / "environments" / name
    requirements = SCRIPTS / f"{name}.txt"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    # Written last, so that an interrupted installation is made again.
    stamp = folder / "installed"
    python = folder / "bin" / "python"
    if not (stamp.is_file() and stamp.read_text() == wanted):
        print(f"installing the packages of {name}")
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--requirement", str(requirements)], check=True, stderr=subprocess.DEVNULL)
        stamp.write_text(wanted)
    return python


def run_peer(peer: Peer, *, again: bool) -> Done:
    """Run a peer's job; one that trains is run only when nothing that it depends on is cached, or ``again``."""
    output = CACHE / "jobs" / f"{peer.name}.{peer.format}"
    source = FLOAT / peer.source
    parts = [SCRIPTS / f"{peer.name}.py", SCRIPTS / f"{peer.package}.txt", source, peer.data]
    key = store.digest([store.sha256_file(path) for path in parts])
    kept = None if again or not peer.trains else _kept(peer.name, key, output)
    if kept:
        return kept
    try:
        python = environment(peer.package)
    except subprocess.CalledProcessError as error:
        return Done(None, f"the packages cannot be installed: {error}", 0.0, same_twice=False, parts={}, load_average=0)
    command = [str(python), str(SCRIPTS / f"{peer.name}.py"), str(source), str(peer.data), str(output)]
    # A home of its own: some peers write settings there, or send how they were used when the home allows it.
    home = CACHE / "home"
    home.mkdir(exist_ok=True)
    done = _twice(command, output, output, {**os.environ, "HOME": str(home), "CI": "true"})
    return _keep(peer.name, key, done)


def run_own(own: Own, *, again: bool) -> Done:
    """Run optkit's job on the trained baseline: in a copy of the run folder that has the baseline alone."""
    folder = CACHE / "jobs" / own.name
    output = folder / "artifacts" / f"{own.like}.{own.format}"
    code = store.source_digest([*TRAINING_SOURCES, *EXPORT_SOURCES])
    key = store.digest([code, own.command, store.sha256_file(FLOAT / _KERAS)])
    kept = None if again or not own.trains else _kept(own.name, key, output)
    if kept:
        return kept
    command = [*OPTKIT, "--recipe", own.recipe, "--formats", own.format, "--out", str(folder)]
    # A job of half a minute is not run twice again: its file is compared with the one that was kept.
    known = _kept(own.name, key, output)
    earlier = store.sha256_file(output) if known else None
    if known:
        subprocess.run([sys.executable, "-c", f"import {', '.join(PRELOAD)}"], check=True, capture_output=True)
    done = _twice(command, output, folder, dict(os.environ), earlier)
    return _keep(own.name, key, done._replace(parts=_stage_seconds(folder)) if done.file else done)


def _twice(
    command: list[str], output: Path, remove: Path, variables: dict[str, str], earlier: str | None = None
) -> Done:
    """Run a command twice from nothing; the second run, with warm file caches, is timed.

    ``earlier`` is the digest of the file of a first run, where there was one.
    """
    seconds, load = 0.0, os.getloadavg()[0]
    digests = [] if earlier is None else [earlier]
    while len(digests) < 2:
        output.parent.mkdir(parents=True, exist_ok=True)
        if remove.is_dir():
            shutil.rmtree(remove)
        else:
            remove.unlink(missing_ok=True)
        if remove != output:
            _copy_baseline(remove)
        started = time.monotonic()
        found = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
        seconds = time.monotonic() - started
        if found.returncode or not output.is_file():
            print(found.stderr[-_LOGGED_CHARACTERS:])
            said = [line for line in (found.stderr or found.stdout).splitlines() if line.strip()]
            reason = f"exit code {found.returncode}: {said[-1] if said else 'no message'}"
            return Done(None, reason, seconds, same_twice=False, parts={}, load_average=load)
        digests.append(store.sha256_file(output))
    return Done(output, None, seconds, same_twice=digests[0] == digests[1], parts={}, load_average=load)


def _copy_baseline(folder: Path) -> None:
    """A run folder in which the baseline is trained, and nothing else is done."""
    (folder / "cache").mkdir(parents=True)
    (folder / "models").mkdir()
    shutil.copy2(FLOAT / _KERAS, folder / _KERAS)
    records = list((FLOAT / "cache").glob("*.json"))
    trained = [one for one in records if json.loads(one.read_bytes())["record"]["stage"] == "baseline"]
    # Of older code's models the records are still there.
    newest = max(trained, key=lambda one: one.stat().st_mtime)
    for path in (FLOAT / "cache").glob(f"{newest.stem}*"):
        shutil.copy2(path, folder / "cache" / path.name)


def _stage_seconds(folder: Path) -> dict[str, float]:
    """Seconds of each stage in a worker, beside the baseline's training; stages run side by side."""
    records = [json.loads(path.read_bytes())["record"] for path in (folder / "cache").glob("*.json")]
    if sum(one["stage"] == "baseline" for one in records) != 1:
        raise RuntimeError(
            "optkit's code was changed during the benchmark, so it trained again; run the benchmark again"
        )
    # Measuring is done by the asking process, and notes no time.
    return {one["stage"]: one["seconds"] for one in records if one["stage"] != "baseline" and one["seconds"]}


def _keep(name: str, key: str, done: Done) -> Done:
    if done.file:
        content = {"key": key, "sha256": store.sha256_file(done.file), **done._asdict(), "file": str(done.file)}
        (CACHE / "jobs" / f"{name}.record").write_text(json.dumps(content), encoding="utf-8")
    return done


def _kept(name: str, key: str, output: Path) -> Done | None:
    """An earlier result, while its inputs and its file are the same."""
    path = CACHE / "jobs" / f"{name}.record"
    if not (path.is_file() and output.is_file()):
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    if content.pop("key") != key or content.pop("sha256") != store.sha256_file(output):
        return None
    return Done(**{**content, "file": output})
