"""``optkit bundle``: a folder for a device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from optkit.cli import preprocessing

AFTER_INTERRUPT = "nothing was written."


@click.command(name="bundle")
@click.argument("source", metavar="RUN|FILE", type=click.Path(path_type=Path))
@click.option("--target", required=True, metavar="NAME", help="linux, mcu, …; optkit list bundle has all.")
@click.option("--out", required=True, metavar="DIR", type=click.Path(path_type=Path), help="The folder to make.")
@click.option("--engine", metavar="NAME", help="What runs it there: tflm or c, for --target mcu (default tflm).")
@click.option("--ram", type=click.IntRange(1), metavar="BYTES", help="Memory that the device has for the model.")
@click.option("--flash", type=click.IntRange(1), metavar="BYTES", help="Storage that the device has for the model.")
@click.option("--data", metavar="D", help="Data of the test examples, as in optkit compress (default: the run's).")
@preprocessing.options
@click.option("--labels", metavar="COLUMN", help="Column of a table that holds the labels.")
def command(
    source: Path,
    *,
    target: str,
    out: Path,
    engine: str | None,
    ram: int | None,
    flash: int | None,
    data: str | None,
    labels: str | None,
    **fed: Any,
) -> None:
    """Pack the recommended file of RUN, or FILE, with everything that it takes to run and test it on a device.

    The folder is complete or not there at all. A target that cannot run the file says so before anything is written
    (exit code 2); a file beyond --ram or --flash likewise (exit code 3). Of a run, the next file that fits is taken.
    """
    from rich.console import Console

    from optkit.bundle import Limits
    from optkit.pipeline.bundle import bundle
    from optkit.pipeline.bundle_subject import Given

    given = Given(data, preprocessing.declared(fed), labels)
    with Console(stderr=True).status("Reading") as status:
        packed = bundle(
            source,
            target,
            out,
            given=given,
            limits=Limits(ram, flash),
            engine=engine,
            on_step=lambda words: status.update(words.capitalize()),
        )
    for line in packed.lines:
        click.echo(line)
    click.echo(f"packed {packed.name}.{packed.format} ({packed.file_bytes:,} bytes) for {target}: {packed.folder}")
