"""``optkit benchmark``: measure model files that are there already."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from optkit.cli import preprocessing
from optkit.errors import InputError, PartialError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optkit.pipeline.on_devices import Seen

AFTER_INTERRUPT = "no report was written."


@click.command(name="benchmark")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option(
    "--data",
    metavar="NAME|FILE",
    help="mnist, or your own: .npz, .npy, a folder of images, .csv; validation data in it give a recommendation. "
    "Without --data inputs are generated and accuracy is not measured.",
)
@preprocessing.options
@click.option("--target", metavar="COLUMN", help="Column of a table that holds the labels (default: the last).")
@click.option("--threads", default="1", metavar="N[,N...]", help="Threads; several give a scaling table (default 1).")
@click.option("--batch", default="1", metavar="B[,B...]", help="Images in a call; several give a curve (default 1).")
@click.option("--baseline", type=click.Path(path_type=Path), help="Reference of its format (default the first file).")
@click.option("--min-time", default=1.0, show_default=True, help="Seconds that each file is timed at least.")
@click.option(
    "--max-time",
    default=60.0,
    show_default=True,
    help="Seconds after which no fourth or later measuring process starts, for each format.",
)
@click.option(
    "--width",
    default=0.02,
    show_default=True,
    help="Stop when every speed-up is known to this fraction (half of its 95 % interval).",
)
@click.option("--prefer", metavar="size|latency|accuracy", default="size", help="What to recommend by (default size).")
@click.option(
    "--runtime",
    metavar="NAME",
    help="Run the files of its format in this one: tensorrt for .onnx, on an NVIDIA GPU (default: the usual ones).",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random orders and generated inputs.")
@click.option(
    "--on",
    "devices",
    multiple=True,
    metavar="ssh://USER@HOST:PORT",
    help="Measure on this machine too, over ssh as you have it set up; may be repeated, or a .toml file with a list.",
)
@click.option("--python", metavar="PATH", help="With --on: Python there that has the runtime (default: a new venv).")
@click.option("--device-time", default=600.0, show_default=True, help="With --on: seconds that each device has.")
@click.option("--watch", is_flag=True, help="With --on: note its temperature, clock and memory; name throttling.")
@click.option("--json", "json_path", metavar="OUT", help="Write report.json to this file; - for the screen.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for report.json, report.md and report.html.")
def command(
    files: tuple[Path, ...], json_path: str | None, out: Path | None, devices: tuple[str, ...], **options: Any
) -> None:
    """Measure .tflite, .onnx and .keras files side by side: speed, size, memory and, with data, accuracy.

    Files of one format are timed interleaved, in fresh processes, until every interval is narrow enough or the time
    is up. The first file of a format is the reference of the others.
    """
    from optkit import store
    from optkit.cli.progress import Display
    from optkit.pipeline.benchmark import Options, benchmark

    elsewhere = _elsewhere(files, devices, options)
    options["threads"] = _numbers("--threads", options["threads"])
    options["batch"] = _numbers("--batch", options["batch"])
    given = options | preprocessing.settings(options)
    target = None if json_path in {None, "-"} else Path(str(json_path))
    if target is not None:
        store.check_can_write(target, "--json", (*files, options["data"] or ""))
    with _log(out) as log:
        with Display() as display:
            report = benchmark(
                files,
                Options(**{name: value for name, value in given.items() if value is not None}),
                command=shlex.join(["optkit", *sys.argv[1:]]),
                log=log,
                on_event=display.update,
            )
        # What only draws is loaded after measuring, so that measuring begins soon.
        from optkit.report import json_file, terminal
        from optkit.report.folder import write_report

        if target is not None:
            store.write_bytes(target, json_file.to_json(report))
        if out is not None:
            write_report(report, out)
        if json_path == "-":
            click.echo(json_file.to_json(report).decode(), nl=False)
        else:
            terminal.show(report, out)
        lost = _show_devices(elsewhere, out, quiet=json_path == "-")
        failed = [Path(variant.path).name for variant in report.variants if variant.status == "failed"]
        if failed:
            raise PartialError(
                f"{len(failed)} of {len(report.variants)} files failed: {', '.join(failed)}; "
                f"the reasons stand with them in the report, what runtimes printed in {log}"
            )
        if lost:
            raise PartialError(f"{len(lost)} of {len(elsewhere)} devices dropped out: {'; '.join(lost)}")


def _elsewhere(files: tuple[Path, ...], devices: tuple[str, ...], options: dict[str, Any]) -> list[Seen]:
    """What the devices say; takes the options that are about them out of the others.

    Raises:
        InputError: A device's address is none, or options are given that need one.
    """
    python, watch, seconds = options.pop("python"), options.pop("watch"), options.pop("device_time")
    if not devices:
        if python is not None or watch:
            raise InputError("--python and --watch are about a device; give --on ssh://USER@HOST")
        return []
    from rich.console import Console

    from optkit.pipeline.bundle_subject import Given
    from optkit.pipeline.on_devices import Wish, addresses, measure

    if options["runtime"] is not None:
        raise InputError("--runtime is for this machine, and devices run the usual ones; leave out --runtime or --on")
    if not 0 < seconds <= 86_400:
        raise InputError(f"--device-time expects seconds over 0 and at most a day, found {seconds:g}")
    threads = _numbers("--threads", options["threads"])[0]
    given = Given(options["data"], preprocessing.declared(options), options["target"])
    wish = Wish(python, seconds, watch=watch, threads=threads, max_time=options["max_time"])
    with Console(stderr=True).status("Reading") as status:
        return measure(
            files, addresses(devices), given=given, wish=wish, on_step=lambda words: status.update(words.capitalize())
        )


def _show_devices(elsewhere: list[Seen], out: Path | None, *, quiet: bool) -> list[str]:
    """Show and write the report of each device by itself.

    Returns:
        Why devices have none.
    """
    from optkit.report import terminal
    from optkit.report.folder import write_report

    for seen in elsewhere:
        folder = None if out is None else out / "devices" / seen.where.plain
        if seen.report is not None and folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            write_report(seen.report, folder)
        if quiet:
            continue
        if seen.report is None:
            click.echo(f"\n{seen.failure}")
            continue
        click.echo(f"\non {seen.where}: {seen.report.environment.cpu_model}, a report of its own")
        terminal.show(seen.report, folder)
        for variant in seen.report.variants:
            for why in variant.why:
                click.echo(f"{variant.name}: {why.cause}: {why.detail}")
    return [seen.failure for seen in elsewhere if seen.report is None]


def _numbers(option: str, text: str) -> tuple[int, ...]:
    """``1,2,4`` as numbers, each once.

    Raises:
        InputError: Something else.
    """
    try:
        return tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError as error:
        raise InputError(f"{option} expects whole numbers such as 1 or 1,2,4, found {text!r}") from error


@contextmanager
def _log(out: Path | None) -> Iterator[Path]:
    """Where runtimes print to: the folder's log.txt, or a temporary file that is kept only when something failed.

    Raises:
        InputError: The folder cannot be made or written.
    """
    if out is not None:
        from optkit import store

        store.check_own(out, "benchmark")
        try:
            out.mkdir(parents=True, exist_ok=True)
            (out / "log.txt").open("ab").close()
        except OSError as error:
            raise InputError(
                f"--out expects a folder that can be written, found {out}: {error.strerror}; choose another"
            ) from error
        yield out / "log.txt"
        return
    descriptor, name = tempfile.mkstemp(prefix="optkit-benchmark-", suffix=".log")
    os.close(descriptor)
    log = Path(name)
    try:
        yield log
    except (InputError, KeyboardInterrupt):
        log.unlink()
        raise
    except PartialError:
        raise
    except Exception as error:
        error.add_note(f"log: {log}")
        raise
    log.unlink()
