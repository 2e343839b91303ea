"""Generated C on emulated microcontrollers: flash, RAM, executed instructions, and whether the answers are right there.

Each file is compiled for each machine in each way, linked with a start-up file of its own, and run in QEMU with
semihosting and ``-icount shift=0``, where an instruction takes a nanosecond of the machine's time. Emulated: the
instructions are counted, cycles and time are not. The files are those given as arguments, else those of the front,
else a network that is trained for three epochs. What was found is kept in ``.bench`` by the file's content and the
generator's, so that a run that was stopped goes on, and one after other files came in does only these.

TensorFlow Lite Micro's RAM is the arena that its own interpreter asks for (the tflite-micro package, in an environment
of its own where it is not installed); its flash is the model file and what is published for its framework.
"""

from __future__ import annotations

import importlib.util
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import venv
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks._compiled_files import exact, generator, named
from benchmarks._records import digest, kept
from benchmarks._result import Figure, write
from optkit.bundle import _mcu_engines
from optkit.bundle._c_folder import Options
from optkit.pipeline.compile import compile_file

if TYPE_CHECKING:
    from benchmarks._compiled_files import File
    from optkit.codegen._writing import Prefer

HERE = Path(__file__).parent
FIRMWARE = HERE / "emulated_firmware"
FRONT = HERE / "pareto" / "files"
OPTKIT = (sys.executable, "-m", "optkit")
VECTORS = 16
LAYERS = "conv:8x5:same:stride2,conv:14x3:same,pool:2,conv:18x3,pool:2,flatten"
KIB = 1024
# Of a machine's RAM, for the self-test around the network.
SPARE = 1024
# Loops are not to become calls of memcpy, which is not there.
ALONE = "-fno-tree-loop-distribute-patterns"


@dataclass(frozen=True)
class Machine:
    """A board of QEMU, and how to build for it."""

    target: str
    compiler: str
    flags: tuple[str, ...]
    source: str
    emulator: tuple[str, ...]
    flash_start: int
    ram_start: int
    ram_bytes: int
    ways: tuple[Prefer, ...]


MACHINES = {
    "Cortex-M4 (mps2-an386)": Machine(
        "cortex-m4",
        "arm-none-eabi-gcc",
        ("-mcpu=cortex-m4", "-mthumb", "-ffreestanding", "-DCLOCK_MHZ=25U"),
        "arm.c",
        ("qemu-system-arm", "-M", "mps2-an386", "-cpu", "cortex-m4"),
        0,
        0x20000000,
        0x10000,
        ("ram", "flash", "speed"),
    ),
    # QEMU 7.2 has no Cortex-M0+; the M0 of the micro:bit runs the same instructions.
    "Cortex-M0 (microbit)": Machine(
        "cortex-m0",
        "arm-none-eabi-gcc",
        ("-mcpu=cortex-m0", "-mthumb", "-ffreestanding", "-DCLOCK_MHZ=16U"),
        "arm.c",
        ("qemu-system-arm", "-M", "microbit"),
        0,
        0x20000000,
        0x4000,
        ("ram", "speed"),
    ),
    "RV32IMC (virt)": Machine(
        "rv32imc",
        "riscv64-unknown-elf-gcc",
        ("-march=rv32imc", "-mabi=ilp32", "-ffreestanding"),
        "riscv.c",
        ("qemu-system-riscv32", "-M", "virt", "-bios", "none"),
        0x80000000,
        0x80100000,
        0x10000,
        ("ram", "speed"),
    ),
}


def run(results: Path, parts: list[str]) -> list[str]:
    """Write ``emulated.json``."""
    with tempfile.TemporaryDirectory(prefix="optkit-bench-") as scratch:
        folder = Path(scratch)
        none = not parts and not any(FRONT.glob("*.tflite"))
        files = named([str(_trained(folder))] if none else parts, standard=False)
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda file: _kept(file, folder), files))
        records = {file.title: record for file, record in zip(files, found, strict=True)}
        for file in files:
            records[file.title]["exact"] = exact(file)
    figures = [figure for name, record in records.items() for figure in _figures(name, record)]
    figures += _best(records)
    more: dict[str, object] = {
        "note": "emulated: instructions are counted by QEMU, cycles and time are not measured",
        "tflm_flash": [_mcu_engines.TFLM_FRAMEWORK_SOURCE, _mcu_engines.TFLM_WITH_KERNELS_SOURCE],
        "tools": _tools(),
        "records": records,
    }
    return write(results, "emulated", figures, more)


def _tools() -> dict[str, str | None]:
    return {name: _version(name) for name in ("arm-none-eabi-gcc", "qemu-system-arm", "riscv64-unknown-elf-gcc")}


def _kept(file: File, folder: Path) -> dict[str, Any]:
    sources = [*FIRMWARE.iterdir(), HERE / "emulated.py"]
    key = digest(sources, file.sha256, generator(), json.dumps(_tools()))
    place = folder / file.sha256[:12]
    place.mkdir(exist_ok=True)
    record = kept("emulated", key, lambda: _file(file.path, place))
    shutil.rmtree(place)
    print(f"{file.title}: {len(record['runs'])} runs", flush=True)
    return {"sha256": file.sha256, **record}


def _version(program: str) -> str | None:
    if shutil.which(program) is None:
        return None
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def _trained(folder: Path) -> Path:
    """A network of some 6 kB with one scale for each kernel, trained for three epochs."""
    fed = "--data mnist --scale 1/255"
    for line in (
        f"train --layers {LAYERS} --epochs 3 --out {folder}/trained",
        f"compress {{model}} {fed} --recipe int8 --format tflite --out {folder}/run",
        f"slim {folder}/run/artifacts/int8.tflite {fed} --merge-scales --out {folder}/small.tflite",
    ):
        model = next((folder / "trained" / "models").glob("*.keras"), "")
        subprocess.run([*OPTKIT, *shlex.split(line.format(model=model))], check=True, stdout=subprocess.DEVNULL)
    return folder / "small.tflite"


def _file(file: Path, folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = {"file_bytes": file.stat().st_size, "tflm_arena_bytes": _arena(file, folder), "runs": []}
    for name, machine in MACHINES.items():
        if shutil.which(machine.compiler) is None or shutil.which(machine.emulator[0]) is None:
            record["runs"].append({"machine": name, "skipped": f"no {machine.compiler} or {machine.emulator[0]}"})
            continue
        record["runs"] += [emulated(file, folder, name, machine, way) for way in machine.ways]
    return record


def before_build(out: Path) -> None:
    """Called with the folder of C before it is built: where a test spoils it."""


def emulated(file: Path, folder: Path, name: str, machine: Machine, way: Prefer) -> dict[str, Any]:
    """Compile, build and run a file on one machine; what came out."""
    out = folder / f"{file.stem}-{machine.target}-{way}"
    compiled = compile_file(file, out, Options(target=machine.target, prefer=way, vectors=VECTORS))
    needed = compiled.bytes.stack_bytes or 0
    if needed + SPARE > machine.ram_bytes:
        reason = f"{needed:,} bytes of stack are too many for the {machine.ram_bytes:,} of this machine"
        return {"machine": name, "prefer": way, "skipped": reason}
    before_build(out)
    program, model = out / "firmware.elf", out / "model.o"
    flags = [flag for flag in compiled.flags if not flag.startswith(("-mcpu", "-march"))]
    build = [machine.compiler, *machine.flags, ALONE, f"-I{out}", f"-I{FIRMWARE}"]
    subprocess.run([*build, *flags, "-c", str(out / "model.c"), "-o", str(model)], check=True)
    places = {"FLASH_START": machine.flash_start, "RAM_START": machine.ram_start, "RAM_SIZE": machine.ram_bytes}
    link = [f"-Wl,--defsym={key}={value}" for key, value in places.items()]
    sources = [str(FIRMWARE / "run.c"), str(FIRMWARE / machine.source)]
    subprocess.run(
        [
            *build,
            "-std=gnu99",
            "-Os",
            *sources,
            str(model),
            "-nostartfiles",
            "-nostdlib",
            "-T",
            str(FIRMWARE / "machine.ld"),
            *link,
            "-Wl,--gc-sections,--no-warn-rwx-segments",
            "-lgcc",
            "-o",
            str(program),
        ],
        check=True,
    )
    emulator = [*machine.emulator, "-nographic", "-monitor", "none", "-serial", "none"]
    emulator += ["-semihosting-config", "enable=on,target=native", "-icount", "shift=0", "-kernel", str(program)]
    done = subprocess.run(emulator, capture_output=True, text=True, timeout=100, check=False)
    said = dict(line.split("=") for line in (done.stdout + done.stderr).split() if line.count("=") == 1)
    counted = msgspec.structs.asdict(compiled.bytes)
    stack = int(said["stack"])
    return {
        "machine": name,
        "prefer": way,
        "right": int(said["right"]),
        "of": int(said["of"]),
        "flash_bytes": counted["flash_bytes"],
        "code_bytes": counted["code_bytes"],
        "arena_bytes": counted["arena_bytes"],
        "stack_measured_bytes": stack,
        "stack_counted_bytes": counted["stack_bytes"],
        # The input lies in flash in the self-test, and would lie in RAM on a device.
        "ram_bytes": stack + counted["input_bytes"] + counted["output_bytes"] + counted["data_bytes"],
        "instructions": int(said["instructions"]),
        "macs": compiled.macs,
        "compiler": compiled.compiler,
    }


def _arena(file: Path, folder: Path) -> int | None:
    """Bytes of the arena that tflite-micro's interpreter allocates for a file, ``None`` where it does not run it."""
    there = importlib.util.find_spec("tflite_micro") is not None
    home = folder / "tflm"
    python = Path(sys.executable) if there else home / "bin" / "python"
    try:
        if not python.is_file():
            venv.create(home, with_pip=True)
            subprocess.run([str(python), "-m", "pip", "install", "-q", "tflite-micro"], check=True)
        done = subprocess.run(
            [str(python), str(FIRMWARE / "tflm_arena.py"), str(file)], capture_output=True, text=True, check=True
        )
        return int(done.stdout.split()[-1])
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError) as error:
        print(f"no arena of tflite-micro for {file.name}: {error}")
        return None


def _figures(name: str, record: dict[str, Any]) -> list[Figure]:
    size, found = record["file_bytes"], record["exact"]
    differing = max(found["differing_ram"], found["differing_speed"])
    figures = [
        Figure(f"{name}: test images with another output than LiteRT", differing, "<=", 0, f"of {found['images']:,}")
    ]
    for one in record["runs"]:
        if "skipped" in one:
            continue
        title, ram_way = f"{name}, {one['machine']}, {one['prefer']}", one["prefer"] == "ram"
        m4 = one["machine"].startswith("Cortex-M4")
        headline = m4 and ram_way and size <= 6 * KIB
        each = one["instructions"] / one["macs"]
        figures += [
            Figure(f"{title}: right answers", one["right"], ">=", one["of"], f"of {one['of']}"),
            Figure(f"{title}: flash", one["flash_bytes"], "<=", 8 * KIB if headline else None, "bytes"),
            Figure(f"{title}: RAM with stack", one["ram_bytes"], "<=", 4 * KIB if headline else None, "bytes"),
            Figure(
                f"{title}: instructions a MAC", each, "<=", 8.0 if m4 and one["prefer"] == "speed" else None, "each"
            ),
        ]
        if m4 and ram_way:
            figures += _beside_tflm(title, size, record["tflm_arena_bytes"], one)
    return figures


def _beside_tflm(title: str, size: int, arena: int | None, one: dict[str, Any]) -> list[Figure]:
    """Flash and RAM over TFLM's. Weights are in both, so that the share of flash has a limit for small files only."""
    alone = one["flash_bytes"] / (size + _mcu_engines.TFLM_FRAMEWORK_BYTES)
    whole = one["flash_bytes"] / (size + _mcu_engines.TFLM_WITH_KERNELS_BYTES)
    figures = [
        Figure(f"{title}: flash, share of TFLM's without kernels", alone, "<=", 0.5 if size <= 10 * KIB else None, ""),
        Figure(f"{title}: flash, share of TFLM's with kernels", whole, "<=", 0.5 if size <= 16 * KIB else None, ""),
    ]
    if arena:
        # Input and output lie in TFLM's arena, its own stack is not counted.
        figures.append(Figure(f"{title}: RAM, share of TFLM's arena", one["ram_bytes"] / arena, "<=", 0.6, ""))
    return figures


def _best(records: dict[str, dict[str, Any]]) -> list[Figure]:
    """The most right answers of a file that fits 16 KiB of flash and 4 KiB of RAM in all, where there are several."""
    fitting = [
        (record["exact"]["correct"], name)
        for name, record in records.items()
        for one in record["runs"]
        if one["machine"].startswith("Cortex-M4")
        and "skipped" not in one
        and one["flash_bytes"] <= 16 * KIB
        and one["ram_bytes"] <= 4 * KIB
    ]
    if len(records) < 2 or not fitting:
        return []
    correct, name = max(fitting)
    title = f"best within 16 KiB flash and 4 KiB RAM, Cortex-M4: {name}"
    return [Figure(title, correct / 100, ">=", 99.5, "% right")]
