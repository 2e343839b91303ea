"""Measures model files on machines elsewhere: sends bundles, runs their self-tests there, and fetches the reports.

Each machine has a report of its own; no figure of one is held against another's.
"""

from __future__ import annotations

import re
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from optkit.bundle import Limits
from optkit.errors import InputError
from optkit.pipeline.bundle import bundle
from optkit.pipeline.device import Address, Device, DeviceLostError, address, check_python
from optkit.report import json_file
from optkit.report.plausible import check_plausible

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence

    from optkit.pipeline.bundle_subject import Given
    from optkit.schema import Report, Variant

_REPORT = "report.json"
# A failed check is a result: its report says so.
_CHECK_FAILED = 1
_DEFAULT_PYTHON = "python3"
# Exit codes of a program there; 255 is ssh's own word.
_ANY = tuple(range(255))
# Nothing is compiled there: that would take hours, and fail for want of a compiler.
_INSTALL = "-m pip install --quiet --no-input --disable-pip-version-check --retries 2 --only-binary :all:"
# What the pinned numpy needs.
_LEAST_PYTHON = (3, 11)


class Wish(NamedTuple):
    """How to measure on a device.

    Attributes:
        python: An interpreter there that has the runtime; a virtual environment is made when ``None``.
        seconds: Its time limit.
        watch: Whether temperature, clock and memory are noted.
        threads: Of the runtime.
        max_time: Seconds after which no fourth or later process of a file starts.
    """

    python: str | None = None
    seconds: float = 600.0
    watch: bool = False
    threads: int = 1
    max_time: float = 30.0


class Seen(NamedTuple):
    """What became of one device: its report, or why there is none."""

    where: Address
    report: Report | None
    failure: str = ""


def addresses(texts: Sequence[str]) -> list[Address]:
    """Devices, each once; a path that ends in ``.toml`` has a list ``devices`` of them.

    Raises:
        InputError: One is none, or the file cannot be read.
    """
    found: list[Address] = []
    for text in texts:
        if not text.endswith(".toml"):
            found.append(address(text))
            continue
        try:
            listed = tomllib.loads(Path(text).read_text(encoding="utf-8")).get("devices")
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"--on expects a list of devices in {text}; it cannot be read: {error}") from error
        if not isinstance(listed, list) or not listed or not all(isinstance(one, str) for one in listed):
            raise InputError(f'--on expects devices = ["ssh://user@host", …] in {text}, found none')
        found += [address(one) for one in listed]
    return list(dict.fromkeys(found))


def measure(
    files: Sequence[Path],
    devices: Sequence[Address],
    *,
    given: Given,
    wish: Wish,
    on_step: Callable[[str], object] = lambda _: None,
) -> list[Seen]:
    """Measure the files on every device, all devices at once.

    Returns:
        One record for each device, in their order; one that dropped out has the reason, and the others go on.

    Raises:
        InputError: A file cannot be packed, or the interpreter's path is none.
    """
    if wish.python is not None:
        check_python(wish.python)
    with tempfile.TemporaryDirectory(prefix="optkit-devices-") as scratch:
        folder = Path(scratch) / "bundles"
        folder.mkdir()
        for number, file in enumerate(files):
            on_step(f"packing {file.name}")
            bundle(file, "linux", folder / str(number), given=given, limits=Limits())
        on_step(f"measuring on {len(devices)} device{'s' if len(devices) > 1 else ''}")

        def one(number: int) -> Seen:
            fetched = Path(scratch) / f"reports-{number}"
            fetched.mkdir()
            return _on(devices[number], folder, len(files), wish, fetched)

        with ThreadPoolExecutor(len(devices)) as pool:
            return list(pool.map(one, range(len(devices))))


def _on(where: Address, bundles: Path, count: int, wish: Wish, fetched: Path) -> Seen:
    """Everything about one device."""
    try:
        with Device(where, wish.seconds) as device:
            python = wish.python or _DEFAULT_PYTHON
            _check_python(device, python)
            device.send("sending the bundles", bundles, "bundles")
            if wish.python is None:
                python = _environment(device, count)
            reports = [_tested(device, number, python, wish, fetched / f"{number}.json") for number in range(count)]
    except (DeviceLostError, InputError) as error:
        return Seen(where, None, str(error))
    return Seen(where, _joined(reports))


def _check_python(device: Device, python: str) -> None:
    """See that there is a Python at all.

    Raises:
        DeviceLostError: There is none, or too old a one.
    """
    missing = 127
    done = device.run("looking for Python", f"{python} --version", allowed=(0, 1, 126, missing))
    version = re.search(r"Python (\d+)\.(\d+)\S*", done.stdout)
    old = version is not None and (int(version[1]), int(version[2])) < _LEAST_PYTHON
    if done.returncode or old:
        found = version[0] if version is not None and old else "none"
        raise DeviceLostError(
            f"{device.where}: expected Python 3.11 or later as {python}, found {found}; install it, or give --python"
        )


def _environment(device: Device, count: int) -> str:
    """Make a virtual environment with what the bundles need; its interpreter, from the login folder.

    Raises:
        DeviceLostError: It cannot be made.
    """
    place = f"{device.folder}/venv"
    made = device.run("making a virtual environment", f"{_DEFAULT_PYTHON} -m venv {place}", allowed=_ANY)
    if made.returncode:
        raise DeviceLostError(
            f"{device.where}: its {_DEFAULT_PYTHON} makes no virtual environment ({_last_words(made)}); install its "
            "module venv (Debian: python3-venv), or give --python with one that has the runtime"
        )
    needed = " ".join(f"-r {device.folder}/bundles/{number}/requirements.txt" for number in range(count))
    done = device.run("installing packages", f"{place}/bin/python {_INSTALL} {needed}", allowed=_ANY)
    if done.returncode:
        raise DeviceLostError(
            f"{device.where}: its pip cannot install the packages ({_last_words(done)}): it needs a way to the package "
            "index, and ready-made packages for its processor and Python; or give --python with them"
        )
    return f"{place}/bin/python"


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    """What a program said in the end, in one line."""
    lines = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    lines = [line for line in lines if line.startswith("ERROR")] or lines
    return " ".join(lines[-1].split())[:200] if lines else f"exit code {done.returncode}"


def _tested(device: Device, number: int, python: str, wish: Wish, file: Path) -> Report:
    """Run one bundle's self-test there and fetch its report.

    Raises:
        DeviceLostError: It could not be run.
        InputError: What came back is no report.
    """
    place = f"{device.folder}/bundles/{number}"
    watch = " --watch" if wish.watch else ""
    numbers = f"--threads {wish.threads:d} --max-time {wish.max_time:.3f}"
    command = f"{python} {place}/selftest.py {numbers}{watch} --out {place}/{_REPORT}"
    done = device.run("running the self-test", command, allowed=(0, _CHECK_FAILED))
    if done.returncode and "written:" not in done.stdout:
        said = " ".join(done.stderr.split())[-300:]
        raise DeviceLostError(f"{device.where}: the self-test could not be run: {said}")
    device.fetch("fetching the report", f"bundles/{number}/{_REPORT}", file)
    report = json_file.from_json(file.read_bytes())
    check_plausible(report)
    return report


def _joined(reports: list[Report]) -> Report:
    """One report of a device's self-tests: no ratios, since the files were not measured interleaved."""
    first = reports[0]
    names = [variant.name for report in reports for variant in report.variants]
    variants: list[Variant] = []
    for report in reports:
        for variant in report.variants:
            twice = names.count(variant.name) > 1 and any(one.name == variant.name for one in variants)
            name = f"{variant.name}-{len(variants)}" if twice else variant.name
            variants.append(msgspec.structs.replace(variant, name=name, is_baseline=not variants))
    return msgspec.structs.replace(
        first,
        variants=variants,
        warnings=list(dict.fromkeys(warning for report in reports for warning in report.warnings)),
        noise_floor=[floor for report in reports for floor in report.noise_floor][:1],
        stopping=[stop for report in reports for stop in report.stopping],
    )
