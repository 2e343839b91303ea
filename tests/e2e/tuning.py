"""Small searches on real images, as a user starts them."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from conftest import OPTKIT, Result, optkit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SMALL = ("--baseline", "mlp-128", "--layers", "flatten,dense:32", "--train-samples", "1000", "--epochs", "1")
RATES = ("--search", "learning_rate=1e-6,0.01")


def tune(folder: Path, *arguments: str) -> Result:
    """Search to the end."""
    return optkit("tune", *SMALL, *arguments, "--out", str(folder))


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Begin a search."""
    command = [*OPTKIT, "tune", *SMALL, *arguments, "--out", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read(folder: Path) -> dict[str, Any]:
    """tune.json of a run folder."""
    report: dict[str, Any] = json.loads((folder / "tune.json").read_text(encoding="utf-8"))
    return report


def stages(folder: Path) -> dict[str, int]:
    """When each finished trial was stored, in nanoseconds, by key."""
    return {path.stem: path.stat().st_mtime_ns for path in (folder / "cache").glob("*.json")}


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """What a study's database says."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with closing(engine.connect()) as connection:
        return [tuple(row) for row in connection.execute(sqlalchemy.text(query))]


def finished(url: str) -> int:
    """Complete trials in a database; 0 while there is none."""
    import sqlalchemy

    try:
        return int(rows(url, "select count(*) from trials where state = 'COMPLETE'")[0][0])
    except sqlalchemy.exc.SQLAlchemyError:
        return 0


def wait_until(happened: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 240) -> None:
    """Wait for something that a process at work brings about."""
    ends = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < ends
        time.sleep(0.05)
