"""``optkit slim``: a smaller copy of a finished model file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from optkit.cli import preprocessing
from optkit.errors import InputError

AFTER_INTERRUPT = "nothing was written."


@click.command(name="slim")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", required=True, metavar="NEW", type=click.Path(path_type=Path), help="The copy to write.")
@click.option(
    "--data",
    "source",
    metavar="D",
    help="mnist, or your own data, as in optkit compress: outputs are compared on its validation part "
    "(default: generated inputs).",
)
@preprocessing.options
@click.option("--target", metavar="COLUMN", help="Column of a table that holds the labels.")
@click.option(
    "--keep",
    multiple=True,
    metavar="KIND",
    help="Leave this in the file: names, metadata, shapes; of .tflite files also signatures, ranges. May be repeated.",
)
@click.option(
    "--merge-scales",
    is_flag=True,
    help="Also give int8 kernels of .tflite files one scale each, if validation accuracy (--data) allows. This "
    "changes outputs.",
)
@click.option("--json", "json_path", metavar="OUT", help="Write everything as JSON to this file; - for the screen.")
def command(
    file: Path,
    *,
    out: Path,
    source: str | None,
    target: str | None,
    keep: tuple[str, ...],
    merge_scales: bool,
    json_path: str | None,
    **fed: Any,
) -> None:
    """Make a smaller copy of a .tflite or .onnx FILE by leaving out what no runtime needs to compute the same.

    Both files are run on the same inputs, with and without the runtime's optimizations; unless all outputs are the
    same bit for bit, nothing is written and the exit code is 4.
    """
    from rich.console import Console

    from optkit import store
    from optkit.data import DataSpec
    from optkit.pipeline import diff_data
    from optkit.pipeline.slim import slim
    from optkit.report import slimming, slimming_text

    target_file = None if json_path in {None, "-"} else Path(str(json_path))
    if target_file is not None:
        store.check_can_write(target_file, "--json", (file, source or ""))
        if os.path.realpath(target_file) == os.path.realpath(out):
            raise InputError(f"--json expects another file than --out, found {json_path} for both; choose another")
    declared = preprocessing.declared(fed)
    if source is None and (declared is not None or target is not None):
        raise InputError("options that say how data are fed need data; give --data, or leave them out")
    spec = None if source is None else DataSpec(source, preprocessing=declared, target=target)
    with Console(stderr=True).status("Reading") as status:
        found = slim(
            file,
            out,
            keep=keep,
            write_data=None if spec is None else lambda folder: diff_data.write(spec, folder, "validation"),
            merge=merge_scales,
            on_step=lambda words: status.update(words.capitalize()),
        )
    if target_file is not None:
        store.write_bytes(target_file, slimming.to_json(found))
    if json_path == "-":
        click.echo(slimming.to_json(found).decode(), nl=False)
    else:
        slimming_text.show(found)
