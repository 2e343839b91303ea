"""The options that describe a network, its data and its training: one for each field of ``TrainSettings``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optkit.cli.groups import grouped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _number(metavar: str, words: str) -> dict[str, Any]:
    return {"type": float, "metavar": metavar, "help": words}


def _count(words: str) -> dict[str, Any]:
    return {"type": int, "metavar": "N", "help": words}


def _words(metavar: str, words: str) -> dict[str, Any]:
    return {"metavar": metavar, "help": words}


DATA = grouped(
    "Data",
    ("--data", _words("DATA", "mnist (default), or your own: .npz, two .npy, a folder of pictures, .csv.")),
    ("--target", _words("COLUMN", "Column of a table that holds the labels (default: the last).")),
    ("--train-samples", _count("Use only the first N training examples, e.g. 6000.")),
    (
        "--normalize",
        _words(
            "none|unit|standard",
            "How values are fed: as they are; divided by 255; to mean 0 and deviation 1 over the training examples.",
        ),
    ),
    ("--scale", _words("S", "Or declare it: multiply raw values by this, e.g. 1/255.")),
    ("--mean", _words("M[,M...]", "Then subtract this: one value, or one per channel.")),
    ("--std", _words("S[,S...]", "Then divide by this: one value, or one per channel.")),
    ("--resize", _words("HEIGHTxWIDTH", "Bring pictures to this size.")),
    ("--channels", _words("grey|rgb|bgr", "Bring pictures to these channels.")),
)
NETWORK = grouped(
    "Network",
    ("--baseline", _words("NAME", "What to start from, network and training (default lenet5; see optkit list).")),
    (
        "--layers",
        _words(
            "LIST",
            "Layers in place of the baseline's, e.g. conv:32x3,pool:2,flatten,dense:128. Kinds: conv:FILTERSxSIDE, "
            "depthwise:SIDE (both with :same, :strideN), pool:SIDE, average:SIDE, global, flatten, dense:UNITS, "
            "dropout:RATE, batchnorm. The output layer follows from the data.",
        ),
    ),
    (
        "--activation",
        _words("NAME", "relu, leaky-relu, elu, selu, gelu, swish, softplus, sigmoid, tanh, maxout or linear."),
    ),
    ("--dropout", _number("RATE", "Dropout in place of the layers' own rates; 0 takes it away.")),
    ("--dropout-after", _words("last|dense|conv|all", "Where: after the last hidden layer, or every one of a kind.")),
    ("--l1", _number("X", "Penalty on the weights' absolute values.")),
    ("--l2", _number("X", "Penalty on the weights' squares, e.g. 0.0001.")),
    ("--batchnorm/--no-batchnorm", {"default": None, "help": "Batch normalization before every activation."}),
)
TRAINING = grouped(
    "Training",
    ("--epochs", _count("Most passes over the training examples.")),
    ("--batch", _count("Examples in a step.")),
    ("--optimizer", _words("NAME", "sgd, adagrad, rmsprop, adam or adamw.")),
    ("--learning-rate", _number("X", "Initial rate (default: the baseline's; Keras's for another optimizer).")),
    ("--schedule", _words("NAME", "constant, plateau (cut when the validation loss stalls), cosine or one-cycle.")),
    ("--warmup-epochs", _number("E", "The rate rises from 0 for so long before the schedule begins.")),
    ("--plateau-patience", _count("Epochs without a lower validation loss before plateau cuts the rate (default 5).")),
    ("--plateau-factor", _number("X", "What the rate is multiplied by then (default 0.5).")),
    ("--plateau-floor", _number("X", "The rate is never cut below (default 1e-5).")),
    ("--momentum", _number("X", "Of sgd and rmsprop.")),
    ("--nesterov/--no-nesterov", {"default": None, "help": "Nesterov's form of sgd's momentum."}),
    ("--weight-decay", _number("X", "Decoupled decay of adamw.")),
    ("--early-stopping", _count("Stop after N epochs without a lower validation loss; the best weights are kept.")),
    (
        "--loss",
        _words(
            "NAME",
            '"cross-entropy", "one-hot cross-entropy", "binary cross-entropy", "mean squared" or "mean absolute" '
            "(default: the one that belongs to the data).",
        ),
    ),
    ("--label-smoothing", _number("X", "Share of each label that is spread over all classes.")),
    ("--ema", _number("X", "Momentum of a moving average of the weights, which is what is kept, e.g. 0.999.")),
    ("--seed", {"type": int, "metavar": "N", "help": "Seed of everything random (default 0)."}),
)
AUGMENTATION = grouped(
    "Augmentation of training pictures, drawn anew in every epoch",
    ("--shift", _number("X", "Largest move along each axis, as a share of the size, e.g. 0.1.")),
    ("--rotation", _number("DEGREES", "Largest turn to either side.")),
    ("--zoom", _number("X", "Largest change of size, as a share.")),
    ("--elastic", _number("PIXELS", "Deviation of a smooth random displacement.")),
    ("--cutout", _number("X", "Side of a square that is blanked, as a share of the picture's.")),
    ("--mixup", _number("X", "Blend pairs of pictures and labels: the Beta distribution's parameter, e.g. 0.2.")),
)
NAMES = (
    "data",
    "target",
    "train_samples",
    "normalize",
    "scale",
    "mean",
    "std",
    "resize",
    "channels",
    "baseline",
    "layers",
    "activation",
    "dropout",
    "dropout_after",
    "l1",
    "l2",
    "batchnorm",
    "epochs",
    "batch",
    "optimizer",
    "learning_rate",
    "schedule",
    "warmup_epochs",
    "plateau_patience",
    "plateau_factor",
    "plateau_floor",
    "momentum",
    "nesterov",
    "weight_decay",
    "early_stopping",
    "loss",
    "label_smoothing",
    "ema",
    "seed",
    "shift",
    "rotation",
    "zoom",
    "elastic",
    "cutout",
    "mixup",
)


def knobs(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add all of these options to a command, as the parameters in ``NAMES``."""
    for add in (AUGMENTATION, TRAINING, NETWORK, DATA):
        command = add(command)
    return command


def settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that were given, with lists read.

    Raises:
        InputError: A list of numbers cannot be read, or one of layers is empty.
    """
    from optkit.data._preprocessing import read_numbers
    from optkit.errors import InputError

    found = {name: given[name] for name in NAMES if given[name] is not None}
    if "layers" in found:
        found["layers"] = [words.strip() for words in found["layers"].split(",") if words.strip()]
        if not found["layers"]:
            raise InputError(
                "--layers expects layers such as flatten,dense:128, found none; name some, or leave it out"
            )
    return found | {name: read_numbers(f"--{name}", found[name]) for name in ("mean", "std") if name in found}
