"""Quantization-aware training: trains with int8 rounding in the forward pass, kernels to 4 bits if asked for."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from optkit.data._inputs import fed, form_of
from optkit.errors import InputError, UnreachableError, nearest
from optkit.schema import Check, KernelExpectation, LayerNote
from optkit.techniques import Applied, Work, _channels, copy_model, note_layers
from optkit.techniques._teaching import Teaching, names, teach

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SUMMARY = (
    "trains with int8 rounding in the forward pass (straight-through gradients), kernels to 4 bits with weight_bits=4; "
    "keeps zeros and clusters"
)
SOURCE = (
    "Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-only inference, "
    "2018, arXiv:1712.05877, section 3; tensorflow-model-optimization (8-bit scheme, prune- and cluster-preserving); "
    "4 bits: Esser et al., Learned step size quantization, 2020, arXiv:1902.08153, eq. 1 to 5"
)
BATCH = 128
# As many images as 500 are usually calibrated with, and more.
RANGE_BATCHES = 8
_BITS_OF_SCHEME = 8
# Values of a kernel of 4 bits: -7 to 7.
_VALUES = 15
# A depthwise kernel keeps 8 bits: it is small, and each of its channels has a few weights alone.
_FOUR_BITS = ("Conv2D", "Dense")


# Of the layers that stand in the way: a network can have hundreds.
_NAMED = 5


class Params(Teaching, frozen=True, forbid_unknown_fields=True):
    """Parameters: ``epochs`` of training, Adam's initial ``learning_rate`` (cosine to zero).

    ``weight_bits`` of the kernels of convolutions and dense layers (4 for ``int4`` files), all or those in ``layers``
    (joined by ``/``). ``granularity`` is that of the 4-bit steps: one for each output ``channel`` of a convolution, or
    one for the ``tensor``, as dense layers have it anyway; for this, batch normalization is folded before training.

    The others are those of ``Teaching``; without ``teachers`` the labels alone are learned from.
    """

    epochs: Annotated[int, Meta(ge=1, le=100)] = 1
    learning_rate: Annotated[float, Meta(gt=0, le=0.1)] = 2e-4
    weight_bits: Literal[4, 8] = 8
    granularity: Literal["channel", "tensor"] = "channel"
    layers: str = "all"

    def __post_init__(self) -> None:
        """Stop at settings that would do nothing.

        Raises:
            ValueError: They are about 4 bits, and there are 8.
        """
        super().__post_init__()
        if self.weight_bits == _BITS_OF_SCHEME and (self.granularity != "channel" or self.layers != "all"):
            raise ValueError("granularity and layers are those of 4-bit kernels: give weight_bits=4 as well")


def teachers(params: Params) -> tuple[str, ...]:
    """See ``names``."""
    return names(params)


def _annotate(model: Any, work: Work) -> Any:
    """The model with every layer marked for quantization but the skipped ones."""
    import tensorflow_model_optimization as tfmot
    import tf_keras
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_configs as configs,
    )

    quantize = tfmot.quantization.keras
    copy = copy_model(model)
    if not work.skip_layers and not any(map(_only_multiplies, copy.layers)):
        return quantize.quantize_annotate_model(copy)

    def mark(layer: Any) -> Any:
        if layer.name in work.skip_layers or isinstance(layer, tf_keras.layers.InputLayer):
            return layer
        if _only_multiplies(layer):
            # The scheme does not know it; one multiplication needs the range of its result alone.
            return quantize.quantize_annotate_layer(layer, configs.Default8BitOutputQuantizeConfig())
        return quantize.quantize_annotate_layer(layer)

    marked = tf_keras.models.clone_model(copy, clone_function=mark)
    for layer, source in zip(marked.layers, copy.layers, strict=True):
        getattr(layer, "layer", layer).set_weights(source.get_weights())
    return marked


def _only_multiplies(layer: Any) -> bool:
    """Whether a layer rescales without an offset: with one, the product before the sum would have no range."""
    import tf_keras

    return isinstance(layer, tf_keras.layers.Rescaling) and not layer.offset


def _reason(error: Exception, model: Any) -> str:
    """Why the 8-bit scheme does not take a model, with the names of the layers that it does not know."""
    # It says so in two ways, of which one names a layer.
    unknown = re.search(r"(?:Layer (\S+):|unsupported layer )<class '[\w.]*?(\w+)'>", str(error))
    if unknown is None:
        return " ".join(str(error).split())[:300]
    name, kind = unknown.groups()
    names = [name] if name else [layer.name for layer in model.layers if type(layer).__name__ == kind]
    shown = ", ".join(names[:_NAMED]) + ("…" if len(names) > _NAMED else "")
    return f"its 8-bit scheme does not know a {kind} as it stands here ({shown}); int8 without qat may do"


def requires(model: Any, work: Work) -> str | None:  # noqa: ARG001  # the plug-in's signature
    """Clusters do not lie on a grid of 15 values.

    Only wrapping the model shows whether the 8-bit scheme knows every layer: ``apply`` does it, and refuses.
    """
    if work.params.weight_bits != _BITS_OF_SCHEME and work.follows("cluster"):
        return (
            "kernels of 4 bits have 15 values of their own and cannot keep clusters: leave out cluster or weight_bits=4"
        )
    return None


def _narrow(model: Any, work: Work) -> list[str]:
    """Layers whose kernels are rounded to 4 bits.

    Raises:
        UnreachableError: A layer that was named is none that can be.
    """
    if work.params.weight_bits == _BITS_OF_SCHEME:
        return []
    able = [layer.name for layer in model.layers if type(layer).__name__ in _FOUR_BITS]
    able = [name for name in able if name not in work.skip_layers]
    named = able if work.params.layers == "all" else list(filter(None, work.params.layers.split("/")))
    for name in named:
        if name not in able:
            raise UnreachableError(
                f"qat: no convolution or dense layer {name!r} to train with 4 bits: {nearest(name, able)}"
            )
    if not named:
        raise UnreachableError("qat: weight_bits=4 expects a convolution or a dense layer, found none to train")
    return named


def _quantize(model: Any, work: Work) -> Any:
    """A quantize-aware copy, before training, with the scheme that keeps what earlier steps brought about."""
    import tensorflow_model_optimization as tfmot

    quantize, combine = tfmot.quantization.keras, tfmot.experimental.combine
    scheme: Any
    if work.follows("cluster"):
        scheme = combine.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=work.follows("prune"))
    elif work.follows("prune"):
        scheme = combine.Default8BitPrunePreserveQuantizeScheme()
    else:
        scheme = quantize.default_8bit.Default8BitQuantizeScheme()
    with quantize.quantize_scope(), _kernels_before_relu_rounded():
        return quantize.quantize_apply(_annotate(model, work), scheme)


@contextmanager
def _kernels_before_relu_rounded() -> Iterator[None]:
    """Let the kernel of a layer that a ReLU layer follows be rounded in training as all others.

    So that nothing is rounded between the two, tensorflow-model-optimization (0.8) takes the whole quantizer away from
    the first of them, as from an addition: its kernel is float all through training, and rounded in the file alone.
    With an activation that does nothing, which it has for layers before a normalization, the kernel keeps its own.
    """
    import tf_keras
    from tensorflow_model_optimization.python.core.quantization.keras import quantize_aware_activation
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import default_8bit_transforms

    transform = default_8bit_transforms.LayerReLUQuantize
    of_additions, known = transform.replacement, transform.custom_objects
    nothing = quantize_aware_activation.NoOpActivation

    def replacement(self: Any, match_layer: Any) -> Any:
        before = match_layer.input_layers[0].layer
        if before["class_name"] == "Add":
            return of_additions(self, match_layer)
        before["config"]["activation"] = tf_keras.activations.serialize(nothing(), use_legacy_format=True)
        return match_layer

    try:
        transform.replacement = replacement
        transform.custom_objects = lambda self: known(self) | {"NoOpActivation": nothing}
        yield
    finally:
        transform.replacement, transform.custom_objects = of_additions, known


def _start_ranges(quantized: Any, work: Work) -> None:
    """Set the range of every activation to the mean of what it is on some batches.

    tensorflow-model-optimization starts them all at -6 to 6 and moves them by a thousandth in each step, so that after
    1,000 steps more than a third of that is still in them, and after the 17 steps of a small data set nearly all: the
    integers are then far too coarse (a network of 81 % fell to 67 %).

    Each batch goes forward with dropout off, and nothing but ranges is kept of what it changed.
    """
    import tensorflow as tf
    from tensorflow_model_optimization.python.core.quantization.keras import quant_ops

    weights = [(weight, weight.numpy()) for weight in quantized.weights if not _is_range(weight)]
    rates = [(layer, layer.rate) for layer in quantized.submodules if getattr(layer, "rate", 0)]
    share = tf.Variable(0.0)
    moving = quant_ops.MovingAvgQuantize

    def mean(inputs: Any, low: Any, high: Any, **settings: Any) -> Any:
        return moving(inputs, low, high, **settings | {"ema_decay": share})

    try:
        quant_ops.MovingAvgQuantize = mean
        for layer, _ in rates:
            layer.rate = 0
        forward = tf.function(lambda real: quantized(real, training=True))
        images, form = work.data.train.images, form_of(quantized)
        for seen in range(min(RANGE_BATCHES, -(-len(images) // BATCH))):
            # The mean of n + 1 values is n / (n + 1) of that of n, and the rest of the last.
            share.assign(seen / (seen + 1))
            real = work.data.real(images[seen * BATCH : (seen + 1) * BATCH], form)
            forward(tf.nest.map_structure(tf.constant, fed(real)))
    finally:
        quant_ops.MovingAvgQuantize = moving
        for layer, rate in rates:
            layer.rate = rate
        for weight, value in weights:
            weight.assign(value)


def _is_range(weight: Any) -> bool:
    return str(weight.name).partition(":")[0].endswith(("_min", "_max"))


def apply(model: Any, work: Work) -> Applied:
    """Make a quantize-aware copy and train it.

    Raises:
        InputError: The 8-bit scheme does not know a layer.
        UnreachableError: A layer was named for 4 bits that cannot have them.
    """
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.cluster_preserve import (
        cluster_utils,
    )

    from optkit.techniques import _learned_steps
    from optkit.training import TrainingPlan, train

    narrow = _narrow(model, work)
    given, gone = model, dict[str, str]()
    if work.params.granularity == "tensor":
        # A normalization after it would give each channel of the file a step of its own.
        model, gone = _channels.folded(model, work.skip_layers)
    try:
        quantized = _quantize(model, work)
    except (RuntimeError, ValueError) as error:
        reason = _reason(error, model)
        raise InputError(f"qat: tensorflow-model-optimization cannot quantize this model: {reason}") from error
    per_tensor = work.params.granularity == "tensor"
    learned = _learned_steps.attach(quantized, narrow, per_tensor=per_tensor, keep_zeros=work.follows("prune"))
    _start_ranges(quantized, work)
    plan = TrainingPlan(
        work.params.epochs, BATCH, "adam", work.params.learning_rate, "cosine", augmentation=work.params.augmentation
    )
    if work.teachers:
        epochs = teach(quantized, work, work.params, plan)
    else:
        epochs = train(quantized, work.data, plan, task=work.task, seed=work.seed, tell=work.tell)
    if work.follows("cluster"):
        quantized = cluster_utils.strip_clustering_cqat(quantized)
    if learned:
        trained, quantized = quantized, _quantize(model, work)
        _learned_steps.settle(trained, quantized, learned)
    layers = [layer.name for layer in given.layers]
    wrapped = {_inner_name(layer) for layer in quantized.layers if hasattr(layer, "quantize_config")}
    changed = {name: "weights and activations rounded to int8 in training" for name in layers if name in wrapped}
    changed |= {name: f"folded into {into}" for name, into in gone.items()}
    changed |= dict.fromkeys(narrow, "weights rounded to 4 bits and activations to int8 in training")
    skipped = {
        name: "named in --skip-layer" if name in work.skip_layers else "needs no quantizer of its own"
        for name in layers
    }
    left = [layer.name for layer in model.layers] if gone else None
    return Applied(quantized, note_layers(layers, changed, skipped), epochs, layers=left)


def _with_kernel(model: Any) -> set[str]:
    """Layers whose kernel is rounded in training."""
    inner = (getattr(layer, "layer", layer) for layer in model.layers)
    return {layer.name for layer in inner if type(layer).__name__ in (*_FOUR_BITS, "DepthwiseConv2D")}


def _inner_name(layer: Any) -> str:
    return str(getattr(layer, "layer", layer).name)


def ensures(
    model: Any,
    work: Work,
    notes: Sequence[LayerNote],
) -> tuple[list[Check], list[KernelExpectation]]:
    """Every quantized layer really has a quantizer; zeros and clusters are checked by the steps that made them.

    Kernels of 4 bits have at most 15 values in a channel, here and in the file.
    """
    import numpy as np

    from optkit.techniques import _learned_steps

    with_quantizer = {_inner_name(layer) for layer in model.layers if hasattr(layer, "quantize_config")}
    # A wrapper alone rounds nothing.
    with_quantizer -= {
        name
        for name, weights in _learned_steps.rounded_weights(model).items()
        if name in _with_kernel(model) and not weights
    }
    there = {_inner_name(layer) for layer in model.layers}
    # Folded normalizations are not.
    changed = [note.layer for note in notes if note.changed and note.layer in there]
    missing = [name for name in changed if name not in with_quantizer]
    checks = [
        Check(
            "layers with a quantizer",
            passed=bool(changed) and not missing,
            observed=len(changed) - len(missing),
            limit=len(changed),
            unit="layers",
            reason="a layer without one would be float in the exported file, or its kernel float in training",
        )
    ]
    narrow = {name: _learned_steps.values(model, name) for name in _narrow(work.source, work)}
    for name, kernel in narrow.items():
        most = max(len(np.unique(channel)) for channel in kernel.reshape(-1, kernel.shape[-1]).T)
        checks.append(
            Check(
                f"values of {name}",
                passed=most <= _VALUES,
                observed=most,
                limit=_VALUES,
                unit="values per output channel",
                reason="as many as 4 bits hold, symmetric around zero",
            )
        )
    return checks, [
        KernelExpectation(name, kernel.size, distinct_at_most=_VALUES, macs=None) for name, kernel in narrow.items()
    ]
