"""Every knob of `optkit train`, by the name that the options, TOML and `optkit tune` have for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from optkit import keras_metrics, recipes, registry
from optkit.data import DataSpec
from optkit.data._preprocessing import declared
from optkit.errors import InputError, nearest
from optkit.networks import Activation, DropoutAfter, Network, read_layer
from optkit.training import Augmentation, TrainingPlan
from optkit.training.plan import DEFAULT_RATES, Loss, Optimizer, Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class TrainSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What is trained on what, and how; the ``[settings]`` table of a TOML file has these keys.

    ``None`` takes what the baseline has. Knobs of the network are explained in ``optkit.networks.Network``, those of
    training in ``optkit.training.TrainingPlan`` and ``Augmentation``, under the same names. A ``dropout`` takes the
    place of the rates in ``layers``, 0 those layers away. Another ``optimizer`` without a ``learning_rate`` has
    Keras's default one.

    Attributes:
        baseline: Plug-in that has the network and the plan to start from.
        layers: Layers in words, in place of the baseline's.
        data: A data set of the package, or the path of the user's own.
        normalize: How raw values become real ones where nothing is declared by ``scale``, ``mean`` and ``std``:
            ``none`` as they are, ``unit`` divided by 255, ``standard`` to mean 0 and deviation 1 over the training
            part; ``None`` as the data set has it.
        train_samples: Training examples to use.
        metrics: Further Keras metrics by name.
        tensorboard: Write TensorBoard logs too.
        seed: Decides initial weights, order of examples, dropout and augmentation.
    """

    baseline: str = "lenet5"
    layers: tuple[str, ...] = ()
    activation: Activation | None = None
    dropout: Annotated[float, Meta(ge=0, lt=1)] | None = None
    dropout_after: DropoutAfter | None = None
    l1: Annotated[float, Meta(ge=0, le=10)] | None = None
    l2: Annotated[float, Meta(ge=0, le=10)] | None = None
    batchnorm: bool | None = None

    data: str = "mnist"
    normalize: Literal["none", "unit", "standard"] | None = None
    scale: str | float | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: str | None = None
    channels: Literal["as they are", "grey", "rgb", "bgr"] | None = None
    target: str | None = None
    train_samples: Annotated[int, Meta(ge=1)] | None = None
    metrics: tuple[str, ...] = ()

    epochs: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    batch: Annotated[int, Meta(ge=1, le=65_536)] | None = None
    optimizer: Optimizer | None = None
    learning_rate: Annotated[float, Meta(gt=0, le=100)] | None = None
    schedule: Schedule | None = None
    momentum: Annotated[float, Meta(ge=0, lt=1)] | None = None
    nesterov: bool | None = None
    weight_decay: Annotated[float, Meta(ge=0, le=1)] | None = None
    warmup_epochs: Annotated[float, Meta(ge=0, le=1000)] | None = None
    plateau_patience: Annotated[int, Meta(ge=1, le=1000)] | None = None
    plateau_factor: Annotated[float, Meta(gt=0, lt=1)] | None = None
    plateau_floor: Annotated[float, Meta(ge=0, le=1)] | None = None
    early_stopping: Annotated[int, Meta(ge=0, le=1000)] | None = None
    loss: Loss | None = None
    label_smoothing: Annotated[float, Meta(ge=0, lt=1)] | None = None
    ema: Annotated[float, Meta(ge=0, lt=1)] | None = None

    shift: Annotated[float, Meta(ge=0, le=0.5)] | None = None
    rotation: Annotated[float, Meta(ge=0, le=180)] | None = None
    zoom: Annotated[float, Meta(ge=0, le=0.9)] | None = None
    elastic: Annotated[float, Meta(ge=0, le=10)] | None = None
    cutout: Annotated[float, Meta(ge=0, lt=1)] | None = None
    mixup: Annotated[float, Meta(ge=0, le=10)] | None = None

    seed: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    tensorboard: bool = False

    @property
    def network(self) -> Network:
        """The baseline's network with the knobs that were given, still with the baseline's input shape."""
        base: Network = registry.load("baselines", self.baseline).NETWORK
        changed = _given(self, Network)
        layers = self.layers or base.layers
        if self.dropout is not None:
            named = any(words.startswith("dropout") for words in layers)
            in_place = named and self.dropout > 0 and self.dropout_after is None
            layers = tuple(
                f"dropout:{self.dropout:.6f}".rstrip("0") if words.startswith("dropout") else words
                for words in layers
                if in_place or not words.startswith("dropout")
            )
            changed["dropout"] = 0.0 if in_place else self.dropout
        return msgspec.structs.replace(base, **changed | {"layers": layers})

    @property
    def plan(self) -> TrainingPlan:
        """The baseline's plan with the knobs that were given."""
        base: TrainingPlan = registry.load("baselines", self.baseline).TRAINING
        augmentation = msgspec.structs.replace(base.augmentation, **_given(self, Augmentation))
        changed = _given(self, TrainingPlan)
        if self.optimizer not in {None, base.optimizer} and self.learning_rate is None:
            changed["learning_rate"] = DEFAULT_RATES[self.optimizer]
        return msgspec.structs.replace(base, **changed, augmentation=augmentation)

    @property
    def data_spec(self) -> DataSpec:
        """Which data, and how raw values become real inputs, but for what ``normalize`` finds out.

        Raises:
            InputError: A declared preprocessing cannot be read.
        """
        return DataSpec(
            source=self.data,
            preprocessing=declared(self.scale, self.mean, self.std, self.resize, self.channels),
            target=self.target,
        )


def _given(settings: TrainSettings, record: type[Struct]) -> dict[str, Any]:
    """The settings that are fields of a record and were given."""
    names = set(record.__struct_fields__) & set(TrainSettings.__struct_fields__)
    return {name: value for name in names if (value := getattr(settings, name)) is not None}


def resolve_training(given: Mapping[str, Any], recipe_files: Sequence[str] = ()) -> TrainSettings:
    """Settings from what the user gave.

    Args:
        given: Settings that were given explicitly; they override those of TOML files.
        recipe_files: TOML files with a ``[settings]`` table.

    Raises:
        InputError: Anything is unknown, out of range, or does not go together.
    """
    merged: dict[str, Any] = {}
    for path in recipe_files:
        from_file, found = recipes.read_all([path])
        if found:
            raise InputError(f"{path} has [[recipe]] tables, which are for optkit compress; training takes [settings]")
        merged |= from_file
    merged |= given
    known = list(TrainSettings.__struct_fields__)
    for key in merged:
        if key not in known:
            raise InputError(f"unknown setting {key!r}: {nearest(key, known)}")
    try:
        settings = msgspec.convert(merged, TrainSettings)
    except msgspec.ValidationError as error:
        raise InputError(recipes.refusal(error, merged, TrainSettings)) from error
    keras_metrics.check_names(settings.metrics)
    # Read here for their errors: what cannot be used stops before any work.
    for words in settings.network.layers:
        read_layer(words)
    settings.data_spec  # noqa: B018
    _check_together(settings)
    return settings


def _check_together(settings: TrainSettings) -> None:
    """Knobs that only another one gives a meaning.

    Raises:
        InputError: One was given without the other.
    """
    plan = settings.plan
    if settings.normalize is not None and (settings.scale is not None or settings.mean or settings.std):
        raise InputError("--normalize and --scale, --mean, --std both say how values are fed; give one of the two")
    if plan.nesterov and not (plan.optimizer == "sgd" and plan.momentum):
        raise InputError("--nesterov is a form of momentum: it needs --optimizer sgd and a --momentum over 0")
    if plan.momentum and plan.optimizer not in {"sgd", "rmsprop"}:
        raise InputError(f"--momentum is a knob of sgd and rmsprop, the optimizer is {plan.optimizer}")
    if plan.weight_decay and plan.optimizer != "adamw":
        raise InputError(f"--weight-decay is a knob of adamw, the optimizer is {plan.optimizer}; --l2 is for all")
    for name in ("plateau_patience", "plateau_factor", "plateau_floor"):
        if getattr(settings, name) is not None and plan.schedule != "plateau":
            raise InputError(f"--{name.replace('_', '-')} needs --schedule plateau, found {plan.schedule}")
