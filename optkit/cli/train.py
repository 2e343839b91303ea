"""``optkit train``: train the network that is compressed afterwards, and see whether it went well."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click

from optkit.cli import training_options
from optkit.cli.groups import GroupedCommand, grouped
from optkit.errors import InputError, PartialError

RUN = grouped(
    "Run",
    (
        "--recipe",
        "recipe_files",
        {
            "multiple": True,
            "metavar": "FILE.toml",
            "help": "Settings from a file, under [settings] by the options' names; options given here override them.",
        },
    ),
    ("--out", {"type": click.Path(), "help": "Run folder (default optkit-train-NAME, of the baseline)."}),
    (
        "--metric",
        "metrics",
        {"multiple": True, "metavar": "NAME", "help": "Report a Keras metric of the test part too; may be repeated."},
    ),
    ("--tensorboard", {"is_flag": True, "default": None, "help": "Write TensorBoard logs to logs/ as well."}),
)


@click.command(name="train", cls=GroupedCommand)
@RUN
@training_options.knobs
def command(
    *,
    recipe_files: tuple[str, ...],
    out: str | None,
    metrics: tuple[str, ...],
    tensorboard: bool | None,
    **options: Any,
) -> None:
    """Train a network, judge it on the test part, and diagnose its learning curve.

    Without options the baseline lenet5 is trained on MNIST, as optkit compress does; every knob of the network, the
    data and the training can be changed. Writes the model as .keras and .h5, and train.html with learning curves,
    confusions, figures of each class and a diagnosis: underfitting, overfitting, a learning rate too high or too low,
    and the option that cures it. The same command again continues a run that was stopped, and redoes nothing that is
    there and intact.
    """
    from optkit.cli.progress import Display
    from optkit.pipeline.train_run import run_folder, train
    from optkit.pipeline.train_settings import resolve_training
    from optkit.report import train_text

    for path in recipe_files:
        if not path.endswith(".toml"):
            raise InputError(f"--recipe expects a file whose name ends in .toml, found {path!r}")
    given = training_options.settings(options)
    if metrics:
        given["metrics"] = list(metrics)
    if tensorboard is not None:
        given["tensorboard"] = tensorboard
    folder = run_folder(resolve_training(given, recipe_files), out)
    with Display() as display:
        report = train(
            recipe_files=recipe_files,
            out=folder,
            command=shlex.join(["optkit", *sys.argv[1:]]),
            on_event=display.update,
            **given,
        )
    train_text.show(report, folder)
    if not report.compress_command:
        raise PartialError(f"the trained network gives no numbers: {report.diagnosis.sentence} See {folder}/train.html")
