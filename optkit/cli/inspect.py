"""``optkit inspect``: what is in a model file."""

from __future__ import annotations

from pathlib import Path

import click

AFTER_INTERRUPT = "nothing was written."


@click.command(name="inspect")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--all", "show_all", is_flag=True, help="Also list operators that only quantize, dequantize or cast.")
@click.option("--json", "json_path", metavar="OUT", help="Write everything as JSON to this file; - for the screen.")
def command(file: Path, *, show_all: bool, json_path: str | None) -> None:
    """Take a .tflite, .onnx, .keras or .h5 file, or a SavedModel folder, apart without running it.

    Operators or layers with shapes, types, parameters, multiply-accumulates, sparsity, distinct weights, quantization
    and bytes; where the bytes are; what the file notes about itself.
    """
    from optkit import store
    from optkit.pipeline.inspect import inspect
    from optkit.report import inspection, inspection_text

    target = None if json_path in {None, "-"} else Path(str(json_path))
    if target is not None:
        store.check_can_write(target, "--json", (file,))
    found = inspect(file)
    if json_path == "-":
        click.echo(inspection.to_json(found).decode(), nl=False)
        return
    if target is not None:
        store.write_bytes(target, inspection.to_json(found))
    inspection_text.show(found, show_all=show_all)
