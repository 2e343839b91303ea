"""``optkit diff``: where two model files answer differently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from optkit.cli import preprocessing
from optkit.errors import InputError

AFTER_INTERRUPT = "nothing was written."


@click.command(name="diff")
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--data", "source", required=True, metavar="D", help="mnist, or your own data, as in optkit compress.")
@preprocessing.options
@click.option("--target", metavar="COLUMN", help="Column of a table that holds the labels.")
@click.option("--first", default=10, show_default=True, metavar="N", help="How many changed answers to list.")
@click.option("--layers/--no-layers", default=True, help="Look for the first layer where the two part (default).")
@click.option("--json", "json_path", metavar="OUT", help="Write everything as JSON to this file; - for the screen.")
def command(
    a: Path,
    b: Path,
    *,
    source: str,
    target: str | None,
    first: int,
    layers: bool,
    json_path: str | None,
    **fed: Any,
) -> None:
    """Which test images .tflite, .onnx or .keras files A and B answer differently, and where they begin to differ.

    For files of the same network each layer's output is held against the other's; the first that differs by more than
    its inputs and the precision of the two files explain is named.
    """
    from rich.console import Console

    from optkit import store
    from optkit.data import DataSpec
    from optkit.pipeline import diff_data
    from optkit.pipeline.diff import diff
    from optkit.report import difference, difference_text

    if first < 0:
        raise InputError(f"--first expects a number of at least 0, found {first}")
    target_file = None if json_path in {None, "-"} else Path(str(json_path))
    if target_file is not None:
        store.check_can_write(target_file, "--json", (a, b, source))
    spec = DataSpec(source, preprocessing=preprocessing.declared(fed), target=target)
    with Console(stderr=True).status("Reading") as status:
        found = diff(
            a,
            b,
            lambda folder: diff_data.write(spec, folder),
            layers=layers,
            on_step=lambda words: status.update(words.capitalize()),
        )
    if target_file is not None:
        store.write_bytes(target_file, difference.to_json(found))
    if json_path == "-":
        click.echo(difference.to_json(found).decode(), nl=False)
    else:
        difference_text.show(found, first=first)
