"""Everything that decides what a run makes, validated before any work is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from optkit import keras_metrics, recipes, registry
from optkit.data import DataSpec
from optkit.data._preprocessing import declared
from optkit.errors import InputError, nearest
from optkit.schema import Recipe, Step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

QUICK_TRAIN_SAMPLES = 6_000
# 500 is what TensorFlow's guide calls a typical representative data set; more moved no answer on MNIST.
CALIBRATION_COUNT = 500


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """What a run is to make; the ``[settings]`` table of a TOML file has these keys.

    Attributes:
        model: The user's own model, a file or a SavedModel folder; the baseline is trained when ``None``.
        custom_objects: A Python file with the model's own classes and functions, which is executed.
        baseline: Plug-in that builds the network: the one to train, or the one that weights in ``model`` are of.
        data: A data set of the package, or the path of the user's own.
        scale: Factor of raw values, a number or a fraction such as ``1/255``.
        mean: Subtracted after scaling: one value, or one per channel.
        std: Divides after that, likewise.
        resize: ``HEIGHTxWIDTH`` that pictures are brought to.
        channels: Order or number of channels that pictures are brought to.
        target: Column of a table that holds the labels.
        output: Of a model with several outputs, the one that the labels are for.
        calibration: Other data for the representative data set.
        allow: Refusals that become warnings: ``range``.
        metrics: Further Keras metrics by name.
        seed: Decides initial weights, order of examples and dropout.
        epochs: Epochs of the baseline's training; the baseline's own number when ``None``.
        quick: A small first look: 6,000 training images and few recipes.
        formats: File formats to write.
        opset: ONNX operator set.
        calibration_method: How activation ranges are found for int8 without quantization-aware training.
        reduce_range: 7 bits for the weights of int8 ONNX files, for x86 processors without VNNI instructions.
        calibration_count: Images of the representative data set.
        io: Type of input and output of integer TFLite files.
        skip_layers: Keras layers that no technique changes and that stay float.
        slim: Exported files are slimmed, each proven to answer as before, and then verified and measured.
        prefer: What the recommendation optimizes.
        format: Recommend only a file of this format.
        threads: Threads that a file is measured with.
        train_threads: Threads that a model is trained with, which decide the order of additions, and so the bytes; by
            default all cores for the baseline, and half of them for what is made of it.
    """

    model: str | None = None
    custom_objects: str | None = None
    baseline: str = "lenet5"
    data: str = "mnist"
    scale: str | float | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: str | None = None
    channels: Literal["as they are", "grey", "rgb", "bgr"] | None = None
    target: str | None = None
    output: str | None = None
    calibration: str | None = None
    allow: tuple[Literal["range"], ...] = ()
    metrics: tuple[str, ...] = ()
    seed: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    epochs: Annotated[int, Meta(ge=1, le=1000)] | None = None
    quick: bool = False
    formats: tuple[str, ...] = ()
    opset: int = 17
    calibration_method: Literal["minmax", "entropy", "percentile"] = "minmax"
    calibration_count: Annotated[int, Meta(ge=1, le=50_000)] = CALIBRATION_COUNT
    reduce_range: bool = False
    io: Literal["int8", "uint8", "float"] = "int8"
    skip_layers: tuple[str, ...] = ()
    slim: bool = False
    prefer: Literal["size", "latency", "accuracy"] = "size"
    format: str | None = None
    threads: Annotated[int, Meta(ge=1, le=64)] = 1
    train_threads: Annotated[int, Meta(ge=1, le=1024)] | None = None

    @property
    def train_samples(self) -> int | None:
        """Training images to use; all when ``None``."""
        return QUICK_TRAIN_SAMPLES if self.quick else None

    @property
    def data_spec(self) -> DataSpec:
        """Which data, and how raw values become real inputs.

        Raises:
            InputError: A declared preprocessing cannot be read.
        """
        return DataSpec(
            source=self.data,
            preprocessing=declared(self.scale, self.mean, self.std, self.resize, self.channels),
            target=self.target,
            calibration=self.calibration,
        )


def resolve(given: Mapping[str, Any], recipe_arguments: Sequence[str]) -> tuple[Settings, list[Recipe]]:
    """Settings and recipes from what the user gave, with defaults filled in.

    ``fp32`` is always among the recipes, as the reference, and so is the control (``finetune+fp32``, as many epochs
    as the longest recipe trains) when any recipe trains; a quick run has no control.

    Args:
        given: Settings that were given explicitly; they override those of a TOML file.
        recipe_arguments: ``--recipe`` values: recipes, or paths that end in ``.toml``.

    Raises:
        InputError: Anything is unknown or out of range.
    """
    from_file, named = recipes.read_all(recipe_arguments)
    merged = {**from_file, **given}
    known = list(Settings.__struct_fields__)
    for key in merged:
        if key not in known:
            raise InputError(f"unknown setting {key!r}: {nearest(key, known)}")
    try:
        settings = msgspec.convert(merged, Settings)
    except msgspec.ValidationError as error:
        raise InputError(recipes.refusal(error, merged, Settings)) from error
    registry.load("baselines", settings.baseline)
    keras_metrics.check_names(settings.metrics)
    # Read here for its errors: a declaration that cannot be used stops before any work.
    settings.data_spec  # noqa: B018
    if settings.model is None and settings.data != "mnist" and "baseline" not in merged:
        raise InputError(
            f"data of your own ({settings.data}) need a model for them: optkit compress MODEL --data {settings.data}"
        )
    settings = _with_formats(settings, given_empty="formats" in merged and not settings.formats)
    if not named:
        named = [recipes.parse(text) for text in (recipes.QUICK if settings.quick else recipes.STANDARD)]
    return settings, recipes.name_apart(_with_references(named, quick=settings.quick))


def _with_formats(settings: Settings, *, given_empty: bool) -> Settings:
    """The settings with all formats where none was named, and checked against what exporters can write."""
    formats = registry.formats()
    if given_empty:
        raise InputError(f"--formats expects some of {', '.join(formats)}, found none")
    for name in (*settings.formats, *([] if settings.format is None else [settings.format])):
        if name not in formats:
            raise InputError(f"unknown format {name!r}: {nearest(name, formats)}")
    settings = msgspec.structs.replace(settings, formats=tuple(sorted(set(settings.formats))) or tuple(formats))
    for name in settings.formats:
        opsets = getattr(registry.by_format("exporters", name), "OPSETS", None)
        if opsets is not None and settings.opset not in opsets:
            raise InputError(
                f"--opset expects an operator set that {name} files can have, {opsets[0]} to {opsets[-1]}, "
                f"found {settings.opset}"
            )
    if settings.format is not None and settings.format not in settings.formats:
        raise InputError(
            f"--format {settings.format!r}: expected one of the formats that are made, {', '.join(settings.formats)}"
        )
    return settings


def _with_references(named: Sequence[Recipe], *, quick: bool) -> list[Recipe]:
    complete = list(named)
    if not any(recipe.steps == (Step("fp32"),) for recipe in complete):
        complete.insert(0, recipes.parse("fp32"))
    longest = max(
        sum(step.params.get("epochs", 0) for step in recipe.techniques if step.name != "finetune")
        for recipe in complete
    )
    if longest and not quick and not any(step.name == "finetune" for recipe in complete for step in recipe.techniques):
        after_plain = next((i for i, recipe in enumerate(complete) if recipe.techniques), len(complete))
        complete.insert(after_plain, recipes.parse(f"finetune:epochs={longest}+fp32"))
    return complete
