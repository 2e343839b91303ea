"""Mutated and hostile files of every format, each given to the commands that take it.

``scripts/bench hostile`` tries all; ``scripts/bench hostile onnx picture`` only some formats again. A file must be
refused with one line and exit code 2 (or listed as failed, 4), or still be a sound file of its kind (0). It must not
crash or hang the command, take 4 GiB, show a traceback, leave a process or a file behind, or touch a file outside the
run folder.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import _model_traps, _traps
from benchmarks._guarded import MOST_BYTES, MOST_SECONDS
from benchmarks._hostile_samples import samples
from benchmarks._hostile_ways import (
    ACCEPTED,
    FAULT,
    REFUSED,
    Bench,
    Result,
    Servers,
    Way,
    benchmark,
    command,
    counted,
    worker,
)
from benchmarks._mutations import mutate
from benchmarks._result import Figure, write
from benchmarks._tflite_traps import tflite_traps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from benchmarks._traps import Trap

SEED = 11
WANTED_FILES = 2000
GIB = 1 << 30
_KERAS = ("tensorflow", "tf_keras", "keras", "optkit.keras_models.importing")
_LIGHT = ("optkit.data", "optkit.readback")
_TRAINED = "--scale 1/255 --quick --epochs 1 --recipe fp32 --formats tflite --out OUT"
_SHORT = "--min-time 0.05 --max-time 0.05 --out OUT"

INSPECT = command("inspect", "inspect FILE")
IMPORT = worker("import (forked)", "import_model", _KERAS, judged=True)
OPEN = worker("open (forked)", "open_model", _KERAS)
COMPRESS = command("compress", f"compress FILE --data SOUND/data.npz {_TRAINED}", every=20, judged=True)
DATA = worker("load as data (forked)", "load_data", _LIGHT)
WITH_DATA = command("benchmark --data", f"benchmark SOUND/int8.tflite --data FILE {_SHORT}", every=8)
COMPRESS_DATA = command("compress --data", f"compress SOUND/model3.keras --data FILE {_TRAINED}", every=40)
PREDICT = command("predict", "predict SOUND/int8.tflite FILE --scale 1/255")
PREDICT_WITH = command("predict with it", "predict FILE SOUND/picture.png --scale 1/255", every=10)
DIFF = command("diff", "diff SOUND/fp32.tflite FILE --data SOUND/data.npz --scale 1/255", every=10)
SLIM_TFLITE = command("slim", "slim FILE --out OUT.tflite", every=4)
SLIM_ONNX = command("slim", "slim FILE --out OUT.onnx", every=4)
REPORT = command("report", "report FILE --out OUT")
COMPARE = command("compare", "compare SOUND/report.json FILE", every=2)
# Where the recipe is sound, the data that are not there stop the run.
RECIPE = command("compress --recipe", "compress --recipe FILE --data none.npz --out OUT")


class Format(NamedTuple):
    """A format: the sound files, how many mutated ones are made of them, the traps, and the ways in."""

    sources: tuple[str, ...]
    mutated: int
    traps: Callable[[Path, Path, Path], Iterable[Trap]] | None
    ways: tuple[Way, ...]


FORMATS: dict[str, Format] = {
    "tflite": Format(
        ("fp32.tflite", "int8.tflite"),
        300,
        tflite_traps,
        (benchmark(per_start=10), INSPECT._replace(every=3), PREDICT_WITH, DIFF, SLIM_TFLITE),
    ),
    "onnx": Format(
        ("fp32.onnx", "int8.onnx"),
        300,
        _model_traps.onnx_traps,
        (benchmark(per_start=10), INSPECT._replace(every=3), PREDICT_WITH, DIFF, SLIM_ONNX),
    ),
    "keras": Format(
        ("model3.keras", "model2.keras"),
        300,
        _model_traps.keras_traps,
        (
            IMPORT,
            OPEN,
            COMPRESS._replace(traps=False),
            benchmark(per_start=1)._replace(every=60, traps=False),
            INSPECT._replace(every=10),
        ),
    ),
    "h5": Format(
        ("model.h5",),
        200,
        _model_traps.h5_traps,
        (IMPORT, COMPRESS._replace(traps=False), INSPECT._replace(every=10)),
    ),
    "saved": Format(
        ("saved",),
        120,
        _model_traps.saved_traps,
        (IMPORT, COMPRESS, INSPECT._replace(every=10)),
    ),
    "npz": Format(
        ("data.npz",),
        150,
        _traps.npz_traps,
        (DATA, WITH_DATA, COMPRESS_DATA),
    ),
    "npy": Format(
        ("arrays",),
        120,
        _traps.npy_traps,
        (DATA, WITH_DATA._replace(every=12)),
    ),
    "csv": Format(("table.csv",), 150, _traps.csv_traps, (DATA, COMPRESS_DATA)),
    "picture": Format(
        ("picture.png", "picture.jpg"),
        200,
        _traps.picture_traps,
        (PREDICT,),
    ),
    "folder": Format(("pictures",), 60, None, (DATA, COMPRESS_DATA._replace(every=30))),
    "report": Format(
        ("report.json",),
        200,
        _traps.report_traps,
        (REPORT, COMPARE),
    ),
    "recipe": Format(("recipe.toml",), 120, _traps.recipe_traps, (RECIPE,)),
}


class Tried(NamedTuple):
    """What came out for one format."""

    name: str
    mutated: int
    traps: dict[Path, str]
    results: list[Result]

    @property
    def faults(self) -> list[Result]:
        """What must not be."""
        return [result for result in self.results if result.verdict == FAULT]


def attack(
    name: str, bench: Bench, *, count: int | None = None, traps: bool = True, ways: Iterable[str] | None = None
) -> Tried:
    """Make the files of a format and take them along its ways.

    Args:
        name: The format.
        bench: Where.
        count: How many mutated files; as many as the table says when ``None``.
        traps: Whether the files made by hand are tried as well.
        ways: Names of ways; all when ``None``.
    """
    wanted = FORMATS[name]
    folder = bench.scratch / "in" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    made = wanted.traps(folder, bench.outside, bench.samples) if wanted.traps and traps else ()
    by_hand = {trap.path: trap.name for trap in made}
    mutated = list(_mutated(wanted, folder, bench, wanted.mutated if count is None else count))
    results: list[Result] = []
    for way in wanted.ways:
        if ways is not None and way.name not in ways:
            continue
        paths = [*(by_hand if way.traps else ()), *mutated[:: way.every]]
        for result in way.go(paths, bench):
            known = result
            if way.judged and result.path in by_hand and result.verdict == ACCEPTED:
                known = result._replace(verdict=FAULT, detail=f"a trap was taken for sound: {result.detail}")
            results.append(known)
    return Tried(name, len(mutated), by_hand, results)


def _mutated(wanted: Format, folder: Path, bench: Bench, count: int) -> Iterator[Path]:
    """Mutated copies; of a folder one file in it is mutated."""
    for index in range(count):
        source = bench.samples / wanted.sources[index % len(wanted.sources)]
        seed = f"{SEED} {source.name} {index}"
        if source.is_dir():
            target = folder / f"{index:04}"
            shutil.copytree(source, target)
            files = [path for path in sorted(target.rglob("*")) if path.is_file() and path.stat().st_size]
            one = files[index % len(files)]
            one.write_bytes(mutate(one.read_bytes(), seed)[1])
        else:
            target = folder / f"{index:04}{source.suffix}"
            target.write_bytes(mutate(source.read_bytes(), seed)[1])
        yield target


def lines(tried: Tried) -> Iterator[str]:
    """What is printed of a format."""
    yield f"{tried.name}: {tried.mutated} mutated, {len(tried.traps)} made by hand"
    for way in dict.fromkeys(result.way for result in tried.results):
        own = [result for result in tried.results if result.way == way]
        counts = counted(own)
        slowest = max((one.seconds for one in own if one.verdict != ACCEPTED), default=0.0)
        memory = max(one.peak_bytes for one in own) / GIB
        yield (
            f"  {way:22} {len(own):5} tried {counts[REFUSED]:5} refused {counts[ACCEPTED]:5} sound "
            f"{counts[FAULT]:4} FAULTS   slowest refusal {slowest:5.1f} s, {memory:4.2f} GiB"
        )
    for fault in tried.faults:
        yield f"  FAULT {fault.way}: {tried.traps.get(fault.path, fault.path.name)}: {fault.detail[:400]}"


def run(results: Path, names: list[str]) -> list[str]:
    """Write ``hostile.json``; formats that are not tried again keep what it says of them."""
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        raise SystemExit(f"unknown formats {', '.join(unknown)}; there are {', '.join(FORMATS)}")
    told = _earlier(results / "hostile.json") if names else {}
    sound = samples()
    with tempfile.TemporaryDirectory(prefix="optkit-hostile-") as name:
        for tried, seconds in _all(Path(name), sound, names or list(FORMATS)):
            told[tried.name] = _entry(tried, seconds)
    entries = [told[name] for name in FORMATS if name in told]
    figures = [
        Figure("files", sum(one["mutated"] + len(one["made_by_hand"]) for one in entries), ">=", WANTED_FILES, ""),
        Figure("times that one was given to a command", sum(one["given"] for one in entries), ">=", None, ""),
        Figure("faults", sum(len(one["faults"]) for one in entries), "<=", 0, ""),
        Figure("slowest refusal", max(one["slowest_refusal_s"] for one in entries), "<=", MOST_SECONDS, "s"),
        Figure("most memory", max(one["most_memory_bytes"] for one in entries) / GIB, "<=", MOST_BYTES / GIB, "GiB"),
        Figure("all of it took", sum(one["seconds"] for one in entries) / 60, "<=", None, "minutes"),
    ]
    return write(results, "hostile", figures, {"seed": SEED, "formats": entries})


def _earlier(path: Path) -> dict[str, dict[str, Any]]:
    """What an earlier run wrote, by format."""
    if not path.is_file():
        return {}
    return {one["format"]: one for one in json.loads(path.read_bytes())["formats"]}


def _entry(tried: Tried, seconds: float) -> dict[str, Any]:
    """What is written of a format."""
    ways = dict.fromkeys(result.way for result in tried.results)
    return {
        "format": tried.name,
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="minutes"),
        "mutated": tried.mutated,
        "made_by_hand": sorted(tried.traps.values()),
        "given": len(tried.results),
        "ways": {way: counted([one for one in tried.results if one.way == way]) for way in ways},
        "slowest_refusal_s": round(max((r.seconds for r in tried.results if r.verdict != ACCEPTED), default=0.0), 1),
        "most_memory_bytes": max(one.peak_bytes for one in tried.results),
        "seconds": round(seconds),
        "faults": [
            f"{fault.way}: {tried.traps.get(fault.path, fault.path.name)}: {fault.detail[:300]}"
            for fault in tried.faults
        ],
    }


def _all(scratch: Path, sound: Path, names: list[str]) -> Iterator[tuple[Tried, float]]:
    outside = scratch / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret" * 1000)
    with Servers(scratch) as servers:
        bench = Bench(scratch, sound, outside, servers)
        for name in names:
            started = time.monotonic()
            tried = attack(name, bench)
            print("\n".join(lines(tried)), flush=True)
            shutil.rmtree(scratch / "in")
            yield tried, time.monotonic() - started
