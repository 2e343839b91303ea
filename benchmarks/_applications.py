"""One network of keras.applications from Keras 3 to four files: ``python -m benchmarks._applications FAMILY OUT``.

Fresh networks answer nearly the same whatever they see, and a comparison of constants proves nothing. So every
weight gets a seeded random value that keeps activations at unit scale, and the statistics of batch normalization
are those of random images, layer after layer. Its offsets are around 1, so that most rectifiers are open for most
images: with offsets around 0 a deep random network is chaotic, and doubles any error every few layers until nothing
is left of the signal, which no trained network does (MobileNetV2, all tensors rounded to 8 bits: 0.5 dB of signal over
noise with offsets around 0, 12.6 dB with offsets around 1).
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

# Name in keras.applications, smallest side that it takes, and whether it scales pixels itself.
FAMILIES: dict[str, tuple[int, bool]] = {
    "Xception": (71, False),
    "VGG16": (32, False),
    "ResNet50": (32, False),
    "ResNet50V2": (32, False),
    "InceptionV3": (75, False),
    "InceptionResNetV2": (75, False),
    "MobileNet": (32, False),
    "MobileNetV2": (32, False),
    "MobileNetV3Small": (32, True),
    "DenseNet121": (32, False),
    "NASNetMobile": (32, False),
    "EfficientNetB0": (32, True),
    "EfficientNetV2B0": (32, True),
    "ConvNeXtTiny": (32, True),
}
CLASSES = 100
IMAGES = 128
FILES = ("fp32.tflite", "int8.tflite", "fp32.onnx", "int8.onnx")
SEED = 20


class FileFigures(msgspec.Struct):
    """One exported file against the logits of the Keras 3 model.

    Attributes:
        file_bytes: Its size.
        relative_error: Largest difference over the largest logit.
        snr_db: Power of what the logits say about an image (their distance from the mean over images) over the
            power of the error, in decibels.
        agreement: Share of images with the same largest logit.
        export_seconds: Time that writing it took.
    """

    file_bytes: int
    relative_error: float
    snr_db: float
    agreement: float
    export_seconds: float


class FamilyFigures(msgspec.Struct):
    """A network: what it is, how well the rebuilt one agrees, and what became of its files.

    Attributes:
        family: Name in keras.applications.
        side: Height and width of its input.
        layers: Layers in Keras 3, nested ones too.
        parameters: Numbers in its weights.
        logit_spread: Standard deviation of the logits over images, as a share of that over images and classes.
        difference: Largest relative difference of the rebuilt model's logits.
        layer_difference: Largest relative difference of any layer's output.
        layers_compared: How many were.
        mutants: Kernels negated or with two channels swapped, one at a time.
        mutants_found: Of these, how many the comparison rejected.
        rebuild_seconds: Rebuilding and comparing.
        files: By format and precision, as in ``int8.onnx``.
    """

    family: str
    side: int
    layers: int
    parameters: int
    logit_spread: float
    difference: float
    layer_difference: float
    layers_compared: int
    mutants: int
    mutants_found: int
    rebuild_seconds: float
    files: dict[str, FileFigures]


def images(side: int, *, pixels: bool) -> np.ndarray:
    """Random pictures: fields of color with noise, 0 to 255, or -1 to 1 where the network scales nothing itself.

    Returns:
        float32 [256, side, side, 3]; the first half is for calibration, the second for comparison.
    """
    import tensorflow as tf

    generator = np.random.default_rng(SEED)
    fields = tf.image.resize(generator.normal(0, 1, (2 * IMAGES, 5, 5, 3)), (side, side), "bicubic").numpy()
    noisy = 127.5 + 50 * fields + 20 * generator.normal(0, 1, fields.shape)
    found = np.clip(noisy, 0, 255).astype(np.float32)
    return found if pixels else found / np.float32(127.5) - np.float32(1)


def enliven(model: Any, seen: np.ndarray) -> None:
    """Give a Keras 3 model random weights that keep its activations at unit scale; see the module."""
    from keras import ops

    from optkit.keras_models import _graph

    generator = np.random.default_rng(SEED + 1)

    def settle(node: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        layer = node.operation
        if type(layer).__name__ == "BatchNormalization":
            _set_statistics(layer, args[0], generator)
        elif type(layer).__name__ == "Normalization":
            _set_normalization(layer, args[0])
        else:
            for weight in getattr(layer, "weights", []):
                weight.assign(_random_weight(layer, weight, generator))
        return _graph.at_inference(layer, args, kwargs)

    _graph.walk(model, [ops.convert_to_tensor(seen)], settle)


def _random_weight(layer: Any, weight: Any, generator: np.random.Generator) -> np.ndarray:
    shape, name = tuple(weight.shape), weight.name
    if name.endswith("kernel"):
        # He: the variance 2 / inputs keeps the scale of what a rectifier lets through.
        depthwise = name == "depthwise_kernel" or type(layer).__name__ == "DepthwiseConv2D"
        inputs = np.prod(shape[:2]) if depthwise else np.prod(shape[:-1])
        return generator.normal(0, np.sqrt(2 / inputs), shape)
    if name in ("bias", "beta"):
        return generator.normal(0, 0.1, shape)
    # What is left multiplies: the scale of a normalization, or of a residual branch.
    low, high = (0.2, 0.5) if type(layer).__name__ == "LayerScale" else (0.8, 1.2)
    return generator.uniform(low, high, shape)


def _set_statistics(layer: Any, x: Any, generator: np.random.Generator) -> None:
    """Those of what the layer sees, each a little off, and random scales."""
    values = np.asarray(x)
    mean, variance = values.mean((0, 1, 2)), values.var((0, 1, 2))
    size = mean.shape
    if layer.scale:
        layer.gamma.assign(generator.uniform(0.8, 1.2, size))
    if layer.center:
        layer.beta.assign(generator.normal(1.0, 0.3, size))
    layer.moving_mean.assign(mean + generator.normal(0, 0.05, size) * np.sqrt(variance))
    layer.moving_variance.assign(variance * generator.uniform(0.9, 1.1, size) + 1e-3)


def _set_normalization(layer: Any, x: Any) -> None:
    if layer.input_mean is None:
        values = np.asarray(x)
        layer.adapt_mean.assign(values.mean((0, 1, 2)))
        layer.adapt_variance.assign(values.var((0, 1, 2)))
        layer.finalize_state()


def measure(family: str) -> FamilyFigures:
    """Build, rebuild, compare, break on purpose, export, compare again."""
    import keras

    from optkit.keras_models.rebuild import rebuild
    from optkit.keras_models.rebuild_compare import layer_differences, random_inputs, source_steps

    side, pixels = FAMILIES[family]
    pictures = images(side, pixels=pixels)
    calibration, unseen = pictures[:IMAGES], pictures[IMAGES:]
    options = {"weights": None, "classes": CLASSES, "classifier_activation": None}
    source = getattr(keras.applications, family)(input_shape=(side, side, 3), **options)
    enliven(source, calibration[:64])
    started = time.monotonic()
    rebuilt = rebuild(source)
    rebuild_seconds = time.monotonic() - started
    values = next(random_inputs(source))
    differences = layer_differences(source_steps(source, values), rebuilt.model, values)
    logits = _logits(source, unseen)
    mutants = [_is_rejected(source, rebuilt.model, *one) for one in _mutants(rebuilt.model)]
    return FamilyFigures(
        family=family,
        side=side,
        layers=len(source._flatten_layers(include_self=False)),  # noqa: SLF001
        parameters=source.count_params(),
        logit_spread=float(logits.std(0).mean() / logits.std()),
        difference=rebuilt.difference,
        layer_difference=max(value for _, value in differences),
        layers_compared=len(differences),
        mutants=len(mutants),
        mutants_found=sum(mutants),
        rebuild_seconds=rebuild_seconds,
        files={name: _file(rebuilt.model, name, calibration, unseen, logits) for name in FILES},
    )


def _mutants(model: Any) -> list[tuple[Any, Callable[[np.ndarray], np.ndarray]]]:
    """Kernels at the start, in the middle and at the end, with a change for each."""
    attributes = ("kernel", "depthwise_kernel", "pointwise_kernel")
    kernels = [getattr(layer, name) for layer in model.layers for name in attributes if hasattr(layer, name)]
    places = [kernels[0], kernels[len(kernels) // 2], kernels[-1]]

    def negated(kernel: np.ndarray) -> np.ndarray:
        return -kernel

    def swapped(kernel: np.ndarray) -> np.ndarray:
        axis = int(np.argmax(kernel.shape))
        return np.take(kernel, [1, 0, *range(2, kernel.shape[axis])], axis)

    return [(kernel, change) for kernel in places for change in (negated, swapped)]


def _logits(model: Any, unseen: np.ndarray) -> np.ndarray:
    return np.concatenate([np.asarray(model(unseen[n : n + 32], training=False)) for n in range(0, len(unseen), 32)])


def _snr_db(logits: np.ndarray, found: np.ndarray) -> float:
    signal = logits - logits.mean(0)
    return float(10 * np.log10(np.square(signal).sum() / np.square(found - logits).sum()))


def _is_rejected(source: Any, model: Any, kernel: Any, change: Callable[[np.ndarray], np.ndarray]) -> bool:
    """Whether the comparison finds a changed kernel."""
    from optkit.errors import InputError
    from optkit.keras_models.rebuild_compare import compare

    good = kernel.numpy()
    kernel.assign(change(good))
    try:
        compare(source, model)
    except InputError:
        return True
    else:
        return False
    finally:
        kernel.assign(good)


def _file(model: Any, name: str, calibration: np.ndarray, unseen: np.ndarray, logits: np.ndarray) -> FileFigures:
    from optkit import registry, runtimes
    from optkit.exporters import ExportJob
    from optkit.schema import Recipe, Step

    precision, file_format = name.split(".")
    job = ExportJob(Recipe(precision, (Step(precision),)), calibration)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        started = time.monotonic()
        registry.by_format("exporters", file_format).export(job, model, path)
        seconds = time.monotonic() - started
        session = runtimes.open_model(path)
        found = session.from_native(runtimes.predict(session, unseen))
        size = path.stat().st_size
    return FileFigures(
        file_bytes=size,
        relative_error=float(np.abs(found - logits).max() / np.abs(logits).max()),
        snr_db=_snr_db(logits, found),
        agreement=float((found.argmax(1) == logits.argmax(1)).mean()),
        export_seconds=seconds,
    )


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(msgspec.json.encode(measure(sys.argv[1])))
