"""Faults during ``optkit compress``: killed, disk full, read-only, damaged by hand, twice at once, the clock set back.

After each the next run must end as if nothing had happened: the same artifacts byte for byte, nothing that was finished
made again, no report that tells of files that are otherwise. ``scripts/bench faults kill disk`` tries only some kinds.
"""

from __future__ import annotations

import os
import random
import shlex
import shutil
import signal
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import _disks
from benchmarks._faults_run import (
    RECIPES,
    SETTINGS,
    Ended,
    compress,
    finish,
    finished,
    hashes,
    lies,
    start,
    still_running,
    unlike,
)
from benchmarks._result import Figure, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SEED = 4
KILLS = 20
# Of what a finished folder takes: nearly nothing, some, most of it.
DISK_SHARES = (0.02, 0.3, 0.5, 0.7, 0.9)
# Inherited by the workers, so that they live as long as the run does.
GONE_WITHIN_SECONDS = 10.0
TEN_YEARS = 315_360_000
_BACK = """
import time
_now, _now_ns = time.time, time.time_ns
time.time = lambda: _now() - {seconds}
time.time_ns = lambda: _now_ns() - {seconds} * 10**9
"""


class Undisturbed(NamedTuple):
    """A run that nothing happened to: its folder, the hashes of what it made, its bytes and its wall time."""

    folder: Path
    made: dict[str, str]
    disk_bytes: int
    seconds: float


class Fault(NamedTuple):
    """One fault: what was done, and what was wrong afterwards."""

    kind: str
    what: str
    wrong: list[str]


def kills(whole: Undisturbed, scratch: Path) -> Iterator[Fault]:
    """SIGKILL at random moments, each in a folder of its own."""
    rng = random.Random(SEED)
    for number in range(KILLS):
        folder = scratch / f"killed-{number}"
        after = rng.uniform(0.3, whole.seconds)
        ended = finish(start(folder), kill_after=after)
        wrong = []
        if ended.exit_code not in {-signal.SIGKILL, 0}:
            wrong.append(f"exit code {ended.exit_code}")
        gone_by = time.monotonic() + GONE_WITHIN_SECONDS
        while (left := still_running(folder)) and time.monotonic() < gone_by:
            time.sleep(0.2)
        wrong += [f"process {pid} goes on" for pid in left]
        wrong += lies(folder)
        kept = finished(folder)
        what = f"after {after:.1f} s, {len(kept)} files finished"
        yield _mended("killed", what, folder, whole, kept=kept, wrong=wrong)


def _mended(
    kind: str, what: str, folder: Path, whole: Undisturbed, *, kept: dict[Path, int], wrong: list[str]
) -> Fault:
    """Run again and see."""
    ended = compress(folder)
    found = [*wrong, *unlike(folder, whole.made, kept, ended)]
    if not found:
        shutil.rmtree(folder)
    return Fault(kind, what, found)


def full_disks(whole: Undisturbed, scratch: Path) -> Iterator[Fault]:
    """A disk that is full midway; then there is room again."""
    for share in DISK_SHARES:
        size = max(1 << 16, int(whole.disk_bytes * share)) // 4096 * 4096
        with _disks.disk(scratch / "disk", size) as disk:
            folder = disk / "run"
            ended = compress(folder)
            wrong = [*_one_line(ended, {5, 2}), *lies(folder)]
            if ended.exit_code == 0:
                wrong.append(f"it ended with exit code 0 on {size} bytes")
            kept = finished(folder)
            _disks.mount("-o", f"remount,size={whole.disk_bytes * 4}", str(disk))
            what = f"with {size} bytes, {len(kept)} files finished: {ended.errors.strip()[:120]}"
            yield _mended("disk full", what, folder, whole, kept=kept, wrong=wrong)


def _one_line(ended: Ended, codes: set[int]) -> Iterator[str]:
    if ended.exit_code not in codes:
        yield f"exit code {ended.exit_code}, expected {sorted(codes)}: {ended.errors.strip()[-300:]}"
    if len(ended.errors.strip().splitlines()) != 1 or "Traceback" in ended.errors:
        yield f"not one line of errors: {ended.errors.strip()[-300:]}"


def read_only(whole: Undisturbed, scratch: Path) -> Iterator[Fault]:
    """A file system that is read-only: from the start, with a finished run in it, and from some moment on."""
    with _disks.disk(scratch / "disk", whole.disk_bytes * 4) as disk:
        folder = disk / "run"
        _disks.mount("-o", "remount,ro", str(disk))
        ended = compress(folder)
        wrong = list(_one_line(ended, {2}))
        _disks.mount("-o", "remount,rw", str(disk))
        yield _mended("read-only", "from the start", folder, whole, kept={}, wrong=wrong)
    with _disks.disk(scratch / "disk", whole.disk_bytes * 4) as disk:
        folder = disk / "run"
        shutil.copytree(whole.folder, folder)
        kept = finished(folder)
        _disks.mount("-o", "remount,ro", str(disk))
        ended = compress(folder)
        wrong = [*_one_line(ended, {2}), *lies(folder)]
        _disks.mount("-o", "remount,rw", str(disk))
        yield _mended("read-only", "with a finished run in it", folder, whole, kept=kept, wrong=wrong)
    with _disks.disk(scratch / "disk", whole.disk_bytes * 4) as disk:
        folder = disk / "run"
        run = start(folder)
        time.sleep(whole.seconds * 0.4)
        # With files open for writing a file system stays writable, but its folders can be told not to take new ones.
        wrong = []
        with _disks.no_new_files(folder):
            ended = finish(run)
            wrong += [*_one_line(ended, {5}), *lies(folder)]
        yield _mended("read-only", "from a moment midway", folder, whole, kept=finished(folder), wrong=wrong)


def damages(whole: Undisturbed, scratch: Path) -> Iterator[Fault]:
    """A finished folder damaged by hand."""
    rng = random.Random(SEED)
    for name, damage in _damages().items():
        folder = scratch / "damaged"
        shutil.copytree(whole.folder, folder)
        damage(folder, rng)
        yield _mended("damaged", name, folder, whole, kept={}, wrong=[])
        shutil.rmtree(folder, ignore_errors=True)


def _damages() -> dict[str, Callable[[Path, random.Random], object]]:
    def flip(pattern: str) -> Callable[[Path, random.Random], object]:
        def damage(folder: Path, rng: random.Random) -> None:
            for path in sorted(folder.glob(pattern)):
                content = bytearray(path.read_bytes())
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
                path.write_bytes(content)

        return damage

    def cut(pattern: str) -> Callable[[Path, random.Random], object]:
        return lambda folder, _: [os.truncate(path, path.stat().st_size // 2) for path in folder.glob(pattern)]

    def swap(folder: Path, _: random.Random) -> None:
        first, second = sorted((folder / "artifacts").glob("*.tflite"))[:2]
        shutil.move(first, folder / "between")
        shutil.move(second, first)
        shutil.move(folder / "between", second)

    def mix(folder: Path, _: random.Random) -> None:
        records = sorted((folder / "cache").glob("*.json"))
        for one, other in pairwise(records):
            one.write_bytes(other.read_bytes())

    def leavings(folder: Path, _: random.Random) -> None:
        (folder / "artifacts" / ".optkit-tmp-1-fp32.tflite").write_bytes(b"half")
        (folder / ".optkit-tmp-1-scratch").mkdir()
        (folder / ".lock").write_text("99999999")

    return {
        "a bit in every artifact": flip("artifacts/*"),
        "a bit in every model": flip("models/*"),
        "a bit in every record of the cache": flip("cache/*.json"),
        "a bit in every array of the cache": flip("cache/*.np*"),
        "a bit in report.json": flip("report.json"),
        "a bit in manifest.json": flip("manifest.json"),
        "a bit in everything": flip("*/*"),
        "artifacts cut": cut("artifacts/*"),
        "models cut": cut("models/*"),
        "the cache cut": cut("cache/*"),
        "reports cut": cut("report.*"),
        "artifacts gone": lambda folder, _: [path.unlink() for path in folder.glob("artifacts/*")],
        "models gone": lambda folder, _: [path.unlink() for path in folder.glob("models/*")],
        "the cache gone": lambda folder, _: shutil.rmtree(folder / "cache"),
        "reports gone": lambda folder, _: [path.unlink() for path in folder.glob("report.*")],
        "two artifacts in each other's place": swap,
        "records in each other's place": mix,
        "leavings of a killed run": leavings,
    }


def two_at_once(whole: Undisturbed, scratch: Path) -> Iterator[Fault]:
    """Two runs in one folder: the second stops, the first ends undisturbed."""
    for share in (0.0, 0.2, 0.5):
        folder = scratch / "twice"
        first = start(folder)
        time.sleep(whole.seconds * share)
        was_running = first.poll() is None
        second = start(folder)
        ends = [finish(second), finish(first)]
        wrong = []
        if was_running and sorted(one.exit_code for one in ends) != [0, 2]:
            wrong.append(f"exit codes {[one.exit_code for one in ends]}, expected 0 and 2")
        for one in ends:
            if one.exit_code == 2:
                wrong += _one_line(one, {2})
                if "in use by another run" not in one.errors:
                    wrong.append(f"it does not say why: {one.errors.strip()}")
        winner = next((one for one in ends if one.exit_code == 0), ends[0])
        wrong += unlike(folder, whole.made, {}, winner)
        when = f"the second after {whole.seconds * share:.0f} s"
        yield Fault("two at once", when if was_running else f"{when}, when the first was done", wrong)
        shutil.rmtree(folder)


def clocks(whole: Undisturbed, scratch: Path) -> Iterator[Fault]:
    """Files from the future and from long ago, and a clock that is ten years behind from some moment on."""
    for name, when in (("files ten years ahead", time.time() + TEN_YEARS), ("files of 1970", 1.0)):
        folder = scratch / "clock"
        shutil.copytree(whole.folder, folder)
        for path in folder.rglob("*"):
            os.utime(path, (when, when))
        yield _mended("clock", name, folder, whole, kept=finished(folder), wrong=[])
        shutil.rmtree(folder, ignore_errors=True)
    # Python's own clock, in every process of the run.
    back = scratch / "back"
    back.mkdir()
    (back / "sitecustomize.py").write_text(_BACK.format(seconds=TEN_YEARS), encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(back), os.environ.get("PYTHONPATH")]))
    folder = scratch / "clock"
    ended = compress(folder, PYTHONPATH=path)
    yield Fault("clock", "ten years behind", list(unlike(folder, whole.made, {}, ended)))
    shutil.rmtree(folder)
    run = start(folder)
    time.sleep(whole.seconds * 0.5)
    run.send_signal(signal.SIGKILL)
    finish(run)
    kept = finished(folder)
    ended = compress(folder, PYTHONPATH=path)
    wrong = list(unlike(folder, whole.made, kept, ended))
    yield Fault("clock", "set back by ten years after a kill midway", wrong)
    shutil.rmtree(folder)


KINDS: dict[str, Callable[[Undisturbed, Path], Iterator[Fault]]] = {
    "kill": kills,
    "disk": full_disks,
    "readonly": read_only,
    "damage": damages,
    "twice": two_at_once,
    "clock": clocks,
}


def run(results: Path, names: list[str]) -> list[str]:
    """Write ``faults.json``."""
    unknown = [name for name in names if name not in KINDS]
    if unknown:
        raise SystemExit(f"unknown kinds {', '.join(unknown)}; there are {', '.join(KINDS)}")
    tried: list[Fault] = []
    not_tried: list[str] = []
    with tempfile.TemporaryDirectory(prefix="optkit-faults-") as name:
        scratch = Path(name)
        whole = _undisturbed(scratch)
        for kind in names or KINDS:
            try:
                for fault in KINDS[kind](whole, scratch):
                    tried.append(fault)
                    print(f"{fault.kind}, {fault.what}: {'; '.join(fault.wrong) or 'ok'}", flush=True)
            except OSError as error:
                not_tried.append(f"{kind}: {error}")
                print(f"{kind} not tried: {error}", flush=True)
    wrong = [fault for fault in tried if fault.wrong]
    print(f"{len(tried)} faults tried, {len(wrong)} not mended")
    figures = [
        Figure("faults tried", len(tried), ">=", None if names else KILLS, ""),
        Figure("faults not mended", len(wrong), "<=", 0, ""),
        Figure("kinds not tried", len(not_tried), "<=", 0, ""),
        Figure("an undisturbed run", whole.seconds, "<=", None, "s"),
    ]
    more: dict[str, object] = {
        "seed": SEED,
        "faults": [fault._asdict() for fault in tried],
        "not_tried": not_tried,
        "command": shlex.join(["optkit", "compress", *SETTINGS, *RECIPES]),
    }
    return write(results, "faults" if not names else "faults-some", figures, more)


def _undisturbed(scratch: Path) -> Undisturbed:
    folder = scratch / "undisturbed"
    ended = compress(folder)
    if ended.exit_code != 0:
        raise SystemExit(f"the undisturbed run ended with exit code {ended.exit_code}: {ended.errors}")
    size = sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))
    return Undisturbed(folder, hashes(folder), size, ended.seconds)
