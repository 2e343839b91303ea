"""``optkit compile``: a quantized .tflite file as plain C."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

AFTER_INTERRUPT = "nothing was written."


@click.command(name="compile")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", required=True, metavar="DIR", type=click.Path(path_type=Path), help="The folder to write.")
@click.option(
    "--target",
    default="c99",
    metavar="MACHINE",
    help="c99 (this machine), cortex-m0, cortex-m4 or rv32imc: whose compiler counts the bytes (default c99).",
)
@click.option(
    "--prefer",
    metavar="flash|ram|speed",
    help="Smallest code; rows streamed where that needs less RAM; or loops of constant length (default ram).",
)
@click.option("--arena", type=click.Choice(["stack", "caller"]), default="stack", help="Where activations lie.")
@click.option("--flash", metavar="SIZE", help="Limit of code, weights and constants, such as 8KiB; exit code 3.")
@click.option("--ram", metavar="SIZE", help="Limit of stack, arena, input and output, such as 4KiB; exit code 3.")
@click.option("--vectors", type=int, default=8, show_default=True, help="Inputs in the self-test.")
@click.option("--json", "json_path", metavar="OUT", help="Write everything as JSON to this file; - for the screen.")
def command(file: Path, *, out: Path, json_path: str | None, **given: Any) -> None:
    """Turn a quantized .tflite FILE into one C99 file without dependencies, with a self-test.

    The code is bit-exact with LiteRT's built-in reference kernels: random inputs are run through both, and the folder
    is only written when all answers are the same.
    """
    from optkit import store
    from optkit.bundle._c_folder import Options
    from optkit.pipeline.compile import compile_file
    from optkit.report import compiling, compiling_text

    target_file = None if json_path in {None, "-"} else Path(str(json_path))
    if target_file is not None:
        store.check_can_write(target_file, "--json", (file,))
    options = Options(
        target=given["target"],
        prefer=given["prefer"],
        vectors=given["vectors"],
        caller_arena=given["arena"] == "caller",
        flash=_size("--flash", given["flash"]),
        ram=_size("--ram", given["ram"]),
    )
    found = compile_file(file, out, options)
    if target_file is not None:
        store.write_bytes(target_file, compiling.to_json(found))
    if json_path == "-":
        click.echo(compiling.to_json(found).decode(), nl=False)
    else:
        compiling_text.show(found)


def _size(option: str, words: str | None) -> int | None:
    """``8KiB`` as bytes."""
    if words is None:
        return None
    from optkit.search import budget

    return budget.size_bytes(option, words)
