"""``optkit predict``: ask a model file about pictures."""

from __future__ import annotations

from pathlib import Path

import click

from optkit.errors import PartialError

AFTER_INTERRUPT = "nothing was written."


@click.command(name="predict")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=click.Path(path_type=Path))
@click.option("--top", default=3, show_default=True, help="How many classes to show of each picture.")
@click.option("--scale", metavar="S", help="Multiply pixels (0 to 255) by this, e.g. 1/255.")
@click.option("--mean", metavar="M[,M...]", help="Then subtract this: one value, or one per channel.")
@click.option("--std", metavar="S[,S...]", help="Then divide by this, likewise.")
@click.option("--resize", metavar="HxW", help="Bring pictures to this size without keeping their aspect.")
@click.option("--channels", type=click.Choice(["grey", "rgb", "bgr"]), help="Order or number of channels.")
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
    scale: str | None,
    mean: str | None,
    std: str | None,
    resize: str | None,
    channels: str | None,
    invert: bool | None,
    json_path: str | None,
) -> None:
    """Class and probability that a .tflite, .onnx or .keras file gives PNG or JPEG pictures.

    Pictures are brought to the model's size and channels. Values are those that --scale, --mean and --std declare, else
    those of the run's manifest.json beside the file, else what the file itself tells, else 0 to 1.
    """
    from optkit import store
    from optkit.data._preprocessing import declared, read_numbers
    from optkit.pipeline.predict import predict
    from optkit.report import prediction

    target = None if json_path in {None, "-"} else Path(str(json_path))
    if target is not None:
        store.check_can_write(target, "--json")
    found = predict(
        file,
        images,
        declared=declared(
            scale,
            () if mean is None else read_numbers("--mean", mean),
            () if std is None else read_numbers("--std", std),
            resize,
            channels,  # type: ignore[arg-type]  # click took one of these words
        ),
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
