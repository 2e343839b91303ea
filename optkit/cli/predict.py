"""``optkit predict``: ask a model file about pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from optkit.cli import preprocessing
from optkit.errors import PartialError

AFTER_INTERRUPT = "nothing was written."


@click.command(name="predict")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=click.Path(path_type=Path))
@click.option("--top", default=3, show_default=True, help="How many classes to show of each picture.")
@preprocessing.options
@click.option(
    "--invert/--no-invert",
    default=None,
    help="Swap dark and bright, or do not. For models of MNIST's shape the border tells when neither is given.",
)
@click.option("--json", "json_path", metavar="OUT", help="Write everything as JSON to this file; - for the screen.")
def command(
    file: Path,
    images: tuple[Path, ...],
    *,
    top: int,
    invert: bool | None,
    json_path: str | None,
    **fed: Any,
) -> None:
    """Class and probability that a .tflite, .onnx or .keras file gives PNG or JPEG pictures.

    Pictures are brought to the model's size and channels. Values are those that --scale, --mean and --std declare, else
    those of the run's manifest.json beside the file, else what the file itself tells, else 0 to 1.
    """
    from optkit import store
    from optkit.pipeline.predict import predict
    from optkit.report import prediction

    target = None if json_path in {None, "-"} else Path(str(json_path))
    if target is not None:
        store.check_can_write(target, "--json", (file, *images))
    found = predict(
        file,
        images,
        declared=preprocessing.declared(fed),
        invert=invert,
        top=top,
    )
    if target is not None:
        store.write_bytes(target, prediction.to_json(found))
    if json_path == "-":
        click.echo(prediction.to_json(found).decode(), nl=False)
    else:
        prediction.show(found)
    failed = [one.path for one in found.pictures if one.failure]
    if failed:
        raise PartialError(f"{len(failed)} of {len(found.pictures)} pictures cannot be read; the others are answered")
