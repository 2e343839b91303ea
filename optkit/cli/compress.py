"""``optkit compress``: the main job."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from optkit.cli import preprocessing
from optkit.errors import BudgetMissedError, InputError, PartialError

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.schema import Report

# Options that are passed on as settings when they were given; the rest have their own parameter.
SETTINGS = (
    "model",
    "data",
    "target",
    "output",
    "calibration",
    "custom_objects",
    "baseline",
    "seed",
    "epochs",
    "quick",
    "formats",
    "opset",
    "calibration_method",
    "calibration_count",
    "reduce_range",
    "io",
    "slim",
    "prefer",
    "format",
    "threads",
    "train_threads",
)
# Of a search, what runs its trials.
ENGINE = ("engine", "workers", "trial_memory", "address", "latency_node", "batch")
REPEATED = ("skip_layers", "allow", "metrics")


@click.command(name="compress")
@click.argument("model", required=False)
@click.option(
    "--data",
    metavar="DATA",
    help="Your own data: .npz, two .npy, a folder of images, or .csv; else a data set of optkit (default mnist).",
)
@preprocessing.options
@click.option("--target", metavar="COLUMN", help="Column of a table that holds the labels (default: the last).")
@click.option("--output", metavar="NAME", help="Of a model with several outputs, the one that the labels are for.")
@click.option("--calibration", metavar="DATA", help="Other data to calibrate with (default: of the training part).")
@click.option(
    "--allow", multiple=True, metavar="range", help="Go on, with a warning, where the data's range is refused."
)
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="Report a Keras metric too; may be repeated.")
@click.option(
    "--custom-objects",
    metavar="FILE.py",
    help="Run this file for the model's own classes; nothing else of yours is ever run.",
)
@click.option(
    "--baseline",
    metavar="NAME",
    help="Network to train and compress, or that the weights in MODEL are of (default lenet5; see optkit list).",
)
@click.option(
    "--recipe",
    "recipes",
    multiple=True,
    metavar="RECIPE",
    help="What to make, e.g. prune:sparsity=0.8,epochs=1+int8, or a .toml file; may be repeated "
    "(default: the standard set). fp32 is always made, and a control where anything is trained on.",
)
@click.option("--formats", metavar="LIST", help="File formats to write, e.g. tflite or tflite,onnx (default: both).")
@click.option("--out", type=click.Path(), help="Run folder (default optkit-run-NAME, of the model or the baseline).")
@click.option("--seed", type=int, help="Seed of everything random (default 0).")
@click.option("--epochs", type=int, help="Epochs of the baseline's training (default: the baseline's own).")
@click.option("--quick", is_flag=True, default=None, help="A first look: 6,000 images, four recipes, no control.")
@click.option("--opset", type=int, help="ONNX operator set, 13 to 18 (default 17).")
@click.option(
    "--calibration-method",
    metavar="minmax|entropy|percentile",
    help="How activation ranges are found for int8 without qat (default minmax).",
)
@click.option("--calibration-count", type=int, help="Images of the representative data set (default 500).")
@click.option(
    "--reduce-range",
    is_flag=True,
    default=None,
    help="7-bit weights in int8 ONNX files: for x86 without VNNI, where sums of 8-bit products may saturate.",
)
@click.option("--io", metavar="int8|uint8|float", help="Input and output type of int8 TFLite files (default int8).")
@click.option(
    "--skip-layer",
    "skip_layers",
    multiple=True,
    metavar="NAME",
    help="Layer to leave alone, in float; may be repeated. report.md names the layers.",
)
@click.option(
    "--slim",
    is_flag=True,
    default=None,
    help="Leave out of each file what no runtime needs, proven bit for bit (optkit slim); input and output names stay.",
)
@click.option("--prefer", metavar="size|latency|accuracy", help="What the recommendation optimizes (default size).")
@click.option("--format", "format", metavar="NAME", help="Recommend only a file of this format.")
@click.option(
    "--max-drop",
    metavar="0.5pt",
    help="Search for a file that loses at most so many percentage points of accuracy (values: 5% more mean absolute "
    "error) against fp32, shown by the 95 % interval on validation data.",
)
@click.option(
    "--max-size",
    metavar="20KB",
    help="Search for a file of at most so many bytes: B, KB (1,000), KiB (1,024), MB, MiB.",
)
@click.option(
    "--max-latency",
    metavar="100us",
    help="Search for a file whose call takes at most so long (us, ms, s): p50, one thread, on this machine.",
)
@click.option(
    "--time",
    metavar="10m",
    help="End the search after so long (s, m, h), all runs in the folder together; at least fp32 and int8 are made.",
)
@click.option("--threads", type=int, help="Threads that files are measured with (default 1).")
@click.option(
    "--train-threads",
    type=int,
    help="Threads that a model is trained with, which decide its last bits: set it where machines have different "
    "numbers of cores (default: all cores for the baseline, half of them for each recipe).",
)
@click.option(
    "--engine",
    metavar="local|processes|ray",
    help="What runs the trials of a search: this machine (default), --workers processes of it, or a Ray cluster.",
)
@click.option("--workers", type=int, help="Of --engine processes, at once (default: the cores; as memory allows).")
@click.option("--trial-memory", metavar="2GB", help="Memory that a trial is held to need until one has shown more.")
@click.option("--address", metavar="HOST", help="The Ray cluster's head node (default: Ray on this machine alone).")
@click.option("--latency-node", metavar="NAME", help="The cluster's node that times files (default: this one).")
@click.option(
    "--batch",
    type=int,
    help="Recipes of a search that are drawn at once (default 2); it decides what is tried, whatever the engine.",
)
def command(recipes: tuple[str, ...], out: str | None, **options: Any) -> None:
    """Compress MODEL, or train a baseline; prove and measure each file, recommend one.

    MODEL is a .keras or .h5 file, weights of a baseline, or a SavedModel folder; --data has its data. Writes TFLite
    and ONNX files and a report to the run folder. The same command again continues a run that was stopped, and redoes
    nothing that is there and intact.

    With --max-drop, --max-size or --max-latency it searches recipes and their parameters for the best file within all
    limits (the smallest; without --max-drop the most accurate; or see --prefer), and delivers that one. Where there is
    none it delivers the nearest, says which limit is exceeded by how much, and ends with exit code 3.
    """
    from optkit.cli.progress import Display
    from optkit.pipeline.run import compress, run_folder
    from optkit.pipeline.settings import resolve
    from optkit.report import terminal

    settings = {name: options[name] for name in SETTINGS if options[name] is not None}
    settings |= {name: list(options[name]) for name in REPEATED if options[name]}
    settings |= preprocessing.settings(options)
    if "formats" in settings:
        settings["formats"] = [name.strip() for name in settings["formats"].split(",") if name.strip()]
    folder = run_folder(resolve(settings, recipes)[0], out)
    budget = {name: options[name] for name in ("max_drop", "max_size", "max_latency", "time")}
    engine = {name: options[name] for name in ENGINE if options[name] is not None}
    if any(value is not None for value in budget.values()):
        report = _search(budget, recipes, folder, settings, engine)
        terminal.show(report, folder)
        _end_search(report)
        return
    if engine:
        raise InputError(
            f"--{next(iter(engine)).replace('_', '-')} is of a search within limits: give --max-drop, --max-size or "
            "--max-latency as well, or leave it out"
        )
    with Display() as display:
        report = compress(
            recipes=recipes,
            out=folder,
            command=shlex.join(["optkit", *sys.argv[1:]]),
            on_event=display.update,
            **settings,
        )
    terminal.show(report, folder)
    _end(report)


def _end(report: Report) -> None:
    failed = [f"{variant.name}.{variant.format}" for variant in report.variants if variant.status == "failed"]
    if failed:
        raise PartialError(f"{len(failed)} of {len(report.variants)} files failed: {', '.join(failed)}; see the report")


def _search(
    budget: dict[str, str | None],
    recipes: tuple[str, ...],
    folder: Path,
    settings: dict[str, Any],
    engine: dict[str, Any],
) -> Report:
    """Search; who ends it early is told what is there already."""
    from optkit.cli.progress import Display
    from optkit.search.run import compress_within
    from optkit.search.state import nearest_so_far

    try:
        with Display() as display:
            return compress_within(
                budget,
                recipe_arguments=recipes,
                engine=engine,
                out=folder,
                command=shlex.join(["optkit", *sys.argv[1:]]),
                on_event=display.update,
                say=click.echo,
                **settings,
            )
    except Exception:
        raise
    except BaseException:
        found = nearest_so_far(folder)
        if found is not None:
            click.echo(f"The nearest so far is {found}.", err=True)
        raise


def _end_search(report: Report) -> None:
    """Exit code 4 where what was to be delivered failed, 3 where it is beyond a limit."""
    _end(report)
    search = report.search
    if search is None or report.recommendation is None:
        raise PartialError("no file that was tried passed its checks; see the report")
    if not search.met:
        name = f"{report.recommendation.variant}.{report.recommendation.format}"
        raise BudgetMissedError(
            f"no file is within all limits; delivered the nearest, {name}: {'; '.join(search.missed)}"
        )
