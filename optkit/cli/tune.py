"""``optkit tune``: search the knobs of training."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click

from optkit.cli import training_options
from optkit.cli.groups import GroupedCommand, grouped

RUN = grouped(
    "Search",
    (
        "--search",
        {
            "multiple": True,
            "metavar": "NAME=VALUES",
            "help": "A knob and its values: learning_rate=1e-4..0.1 log, dropout=0..0.5, batch=16,32,64, "
            "layers=flatten,dense:128|flatten,dense:64,dense:32; may be repeated. Names are those of the options "
            "below.",
        },
    ),
    (
        "--recipe",
        "files",
        {
            "multiple": True,
            "metavar": "FILE.toml",
            "help": "[search] and fixed [settings] from a file; options given here override them.",
        },
    ),
    (
        "--objective",
        "objectives",
        {
            "multiple": True,
            "metavar": "NAME",
            "help": "accuracy (default), parameters, latency; may be repeated: the first decides what is chosen.",
        },
    ),
    (
        "--validation",
        {
            "default": "holdout",
            "metavar": "HOW",
            "help": "holdout (default), kfold:K, stratified:K, or iterated:PxK (K-fold in P orders, P × K models).",
        },
    ),
    ("--sampler", {"metavar": "NAME", "help": "tpe (default), random or grid."}),
    ("--pruner", {"metavar": "NAME", "help": "none (default), median or hyperband: end bad trials early."}),
    ("--trials", {"type": int, "metavar": "N", "help": "Finished trials to end with (default 20; grid: all)."}),
    ("--time", {"metavar": "T", "help": "Begin no trial after this time: 90s, 10m, 2h."}),
    ("--jobs", {"type": int, "metavar": "N", "help": "Trials at once on this machine (default 1)."}),
    ("--search-seed", {"type": int, "metavar": "N", "help": "Seed of the drawing (default 0)."}),
)
PLACE = grouped(
    "Place",
    ("--out", {"type": click.Path(), "help": "Run folder (default optkit-tune-NAME)."}),
    (
        "--storage",
        {
            "metavar": "URL",
            "help": "Database of the study, so that several machines work on it, e.g. "
            "postgresql+psycopg://user@host/name (default: a file in the run folder).",
        },
    ),
    ("--study", {"default": "optkit", "metavar": "NAME", "help": "Name of the study in it (default optkit)."}),
)


@click.command(name="tune", cls=GroupedCommand)
@RUN
@PLACE
@training_options.knobs
def command(
    *,
    search: tuple[str, ...],
    files: tuple[str, ...],
    out: str | None,
    storage: str | None,
    study: str,
    **options: Any,
) -> None:
    """Search the knobs of optkit train, and train the best settings on all but the test part.

    Every option of optkit train that is given here is fixed for all trials. Writes best.toml for optkit train
    --recipe, the trained model, and tune.html with the importance of each knob. The same command again goes on with a
    search that was stopped: finished trials are never trained again.
    """
    from optkit.cli.progress import Display
    from optkit.report import tune_text
    from optkit.tune.run import run_folder, tune
    from optkit.tune.settings import resolve_tuning

    own = {name: options.pop(name) for name in ("validation", "time", "sampler", "pruner", "trials", "jobs")}
    own["seed"] = options.pop("search_seed")
    objectives = options.pop("objectives")
    if objectives:
        own["objectives"] = list(objectives)
    settings = resolve_tuning(training_options.settings(options), search, files, **own)
    folder = run_folder(settings, out, is_shared=storage is not None)
    with Display() as display:
        report = tune(
            settings,
            out=folder,
            storage=storage,
            study_name=study,
            command=shlex.join(["optkit", *sys.argv[1:]]),
            on_event=display.update,
        )
    tune_text.show(report, folder)
