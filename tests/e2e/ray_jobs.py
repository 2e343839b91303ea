"""Small jobs for a cluster, and what goes wrong with them there."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optkit import store
from optkit.engines import _node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from optkit.workers import Tell


def make(tell: Tell, *, folder: str, key: str, text: str, parent: str = "", reads: str = "", marks: str = "") -> str:
    """A stage that writes one file: its text, after its parent's and what it reads."""
    tell({"done": 1, "total": 2})
    before = (Path(folder) / "models" / f"{parent}.txt").read_text() if parent else ""
    if reads:
        before += Path(reads).read_text()
    path = Path(folder) / "models" / f"{key}.txt"
    store.write_bytes(path, (before + text).encode())
    record = store.StageRecord(key, key, [store.describe_file(Path(folder), path)], {}, 0.0)
    store.save_stage(Path(folder), record)
    if marks:
        # Beside the cluster, for the test to see.
        with Path(marks).open("a") as stream:
            stream.write(f"{os.environ.get('OMP_NUM_THREADS')}\n")
    return text


def killed_once(tell: Tell, *, marks: str, **arguments: Any) -> str:
    """As ``make``, but the first time its process is killed, as when memory runs out."""
    if not Path(marks).exists():
        Path(marks).write_text("killed\n")
        os.kill(os.getpid(), signal.SIGKILL)
    return make(tell, **arguments)


def sleep(tell: Tell, *, marks: str, **_: str) -> None:
    """Says that it runs, and stays."""
    Path(marks).write_text(str(os.getpid()))
    tell({"done": 1, "total": 2})
    time.sleep(600)


def damaged_once(
    spec: dict[str, Any], reads: list[Any], fetch: Callable[[Any], Any], *contents: bytes
) -> Iterator[dict[str, Any]]:
    """As ``run_trial``, but of what comes back first a bit is another."""
    marks = Path(spec["jobs"][0]["arguments"]["marks"])
    for message in _node.run_trial(spec, reads, fetch, *contents):
        if message["event"] == "done" and not marks.with_suffix(".damaged").exists():
            marks.with_suffix(".damaged").write_text("")
            first, *others = message["contents"]
            yield {**message, "contents": [bytes([first[0] ^ 1]) + first[1:], *others]}
        else:
            yield message


def busy(tell: Tell, *, folder: str, file: str) -> dict[str, Any]:
    """When a job alone on a node began and ended, and what it read."""
    tell({"done": 0.5, "total": 1.0})
    began = time.time()
    time.sleep(0.5)
    return {"began": began, "ended": time.time(), "text": (Path(folder) / file).read_text()}
