"""What a search is to do, validated before any work."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from optkit import recipes
from optkit.errors import InputError, nearest
from optkit.pipeline.train_settings import resolve_training
from optkit.report.tune_record import Objective
from optkit.tune.protocols import Protocol, read_protocol
from optkit.tune.space import Dimension, grid, read_space

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_TRIALS = 20
OBJECTIVES = ("accuracy", "parameters", "latency")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class TuneSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """A search.

    Attributes:
        fixed: Settings of ``optkit train`` that all trials have.
        space: Knobs that vary.
        protocol: How a trial is judged.
        objectives: What is searched for; the first one decides what is chosen.
        sampler: How settings are drawn.
        pruner: Which trials are ended early.
        trials: Finished trials to end with, those of earlier runs included.
        seconds: Time after which no trial is begun; ``None`` for any.
        jobs: Trials at once on this machine.
        seed: Of the drawing; that of training is among ``fixed``.
    """

    fixed: dict[str, Any]
    space: tuple[Dimension, ...]
    protocol: Protocol = Protocol()
    objectives: tuple[Literal["accuracy", "parameters", "latency"], ...] = ("accuracy",)
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    pruner: Literal["none", "median", "hyperband"] = "none"
    trials: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    seconds: float | None = None
    jobs: Annotated[int, Meta(ge=1, le=64)] = 1
    seed: Annotated[int, Meta(ge=0, lt=2**31)] = 0

    @property
    def wanted_trials(self) -> int | None:
        """Finished trials to end with; ``None`` where only the time counts."""
        if self.trials is not None or self.seconds is not None:
            return self.trials
        if self.sampler == "grid":
            return combinations(self.space)
        return DEFAULT_TRIALS

    @property
    def identity(self) -> dict[str, Any]:
        """What makes trials comparable: a study is about one of these."""
        return {
            "search space": {one.name: one.words for one in self.space},
            "fixed settings": {name: self.fixed[name] for name in sorted(self.fixed)},
            "validation": self.protocol.words,
            "objectives": list(self.objectives),
        }


def combinations(space: Sequence[Dimension]) -> int:
    """How many a grid has."""
    count = 1
    for values in grid(space).values():
        count *= len(values)
    return count


def read_seconds(words: str) -> float:
    """``90s``, ``10m``, ``2h``, or a number of seconds.

    Raises:
        InputError: It is none of these, or nothing.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", words.strip().lower())
    if match is None or not float(match[1]):
        raise InputError(f"--time expects a time over 0 such as 90s, 10m or 2h, found {words!r}")
    return float(match[1]) * _UNITS[match[2] or "s"]


def read_files(paths: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """``[settings]`` and ``[search]`` tables of TOML files, later ones over earlier ones.

    Raises:
        InputError: A file cannot be read, or has other tables.
    """
    fixed: dict[str, Any] = {}
    search: dict[str, Any] = {}
    for path in paths:
        try:
            raw = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"cannot read the settings file {path}: {' '.join(str(error).split())[:200]}") from error
        for name in raw:
            if name not in {"settings", "search"} or not isinstance(raw[name], dict):
                raise InputError(f"{path}: expected the tables [settings] and [search], found {name!r}")
        fixed |= raw.get("settings", {})
        search |= raw.get("search", {})
    return fixed, search


def resolve_tuning(
    given: Mapping[str, Any],
    search: Sequence[str],
    files: Sequence[str] = (),
    *,
    validation: str = "holdout",
    time: str | None = None,
    **options: Any,
) -> TuneSettings:
    """A search from what the user gave.

    Args:
        given: Settings of training that all trials have.
        search: ``--search`` values.
        files: TOML files with ``[settings]`` and ``[search]``.
        validation: See ``read_protocol``.
        time: See ``read_seconds``.
        **options: Other fields of ``TuneSettings``.

    Raises:
        InputError: Anything is unknown, out of range, or does not go together.
    """
    from_file, table = read_files(files)
    fixed = {**from_file, **given}
    for name in options.get("objectives", ()):
        if name not in OBJECTIVES:
            raise InputError(f"--objective {name!r}: {nearest(name, list(OBJECTIVES))}")
    space = read_space(search, table, fixed)
    values = {
        "fixed": fixed,
        "space": msgspec.to_builtins(space),
        "protocol": msgspec.to_builtins(read_protocol(validation)),
        "seconds": None if time is None else read_seconds(time),
        **{name: value for name, value in options.items() if value is not None},
    }
    try:
        settings = msgspec.convert(values, TuneSettings)
    except msgspec.ValidationError as error:
        raise InputError(f"--{recipes.refusal(error, values, TuneSettings)}") from error
    resolve_training(fixed)
    if len(set(settings.objectives)) < len(settings.objectives):
        raise InputError(f"--objective names one twice: {', '.join(settings.objectives)}")
    if settings.pruner != "none" and len(settings.objectives) > 1:
        raise InputError("--pruner ends trials by one figure; with several objectives leave it out")
    if "latency" in settings.objectives and settings.jobs > 1:
        raise InputError("--objective latency is measured with nothing else at work: leave out --jobs")
    if settings.sampler == "grid":
        grid(space)
    return settings


def objectives_of(settings: TuneSettings, *, regression: bool) -> list[Objective]:
    """The objectives with their directions and words."""
    known = {
        "accuracy": Objective("accuracy", "maximize", "validation accuracy, the mean over the trial's models"),
        "parameters": Objective("parameters", "minimize", "weights of the network"),
        "latency": Objective("latency", "minimize", "median time of a call of its fp32 TFLite file, µs"),
    }
    if regression:
        known["accuracy"] = Objective("error", "minimize", "mean absolute error on validation data")
    return [known[name] for name in settings.objectives]
