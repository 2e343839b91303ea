"""The lessons' experiments as data: what varies, which figure decides, and what the lesson claims."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import _lessons_figures as figures
from benchmarks._lessons_rules import Statement, best, falling
from benchmarks._lessons_train import Training
from optkit.training.plan import DEFAULT_RATES

if TYPE_CHECKING:
    from benchmarks._lessons_figures import Figure

# Perceptrons train in seconds, the convolutional network in a minute: it has the three seeds that time allows.
SEEDS, CNN_SEEDS = 8, 3
ALL_TEST = 10_000


class Arm(NamedTuple):
    """One setting of an experiment.

    Attributes:
        name: As printed.
        settings: Of ``TrainSettings``, without the seed.
        at: The epoch after which the figure is taken; in the end where it is None.
        figure: In place of the experiment's.
    """

    name: str
    settings: dict[str, Any]
    at: int | None = None
    figure: Figure | None = None


class Experiment(NamedTuple):
    """One claim and how it is tried.

    Attributes:
        name: For ``--only`` and the plot's file.
        title: As printed.
        claim: In words.
        arms: Settings that are compared.
        setup: What they share, in words.
        statements: What must be true of the figures for the claim to hold.
        figure: What is compared.
        what: The figure in words.
        unit: Of the figure.
        step: Least difference of one figure; None for one of the test images, in percent.
        test_images: How many are answered.
        curve: Field of ``Epoch`` to plot over the epochs, if any.
        seeds: How many, from 0.
        small: Few images are the subject: ``--full`` changes nothing.
    """

    name: str
    title: str
    claim: str
    arms: tuple[Arm, ...]
    setup: str
    statements: tuple[Statement, ...]
    figure: Figure = figures.test_accuracy
    what: str = "test accuracy"
    unit: str = "%"
    step: float | None = None
    test_images: int = ALL_TEST
    curve: str = ""
    seeds: int = SEEDS
    small: bool = False

    @property
    def resolution(self) -> float:
        """Least difference of one figure."""
        return 100 / self.test_images if self.step is None else self.step


# The lesson's perceptron: 256 + 128 sigmoid units, dropout 0.5, SGD 0.1, batch 32.
MLP: dict[str, Any] = {"baseline": "mlp-256-128", "train_samples": 6_000, "epochs": 3}
MLP_SETUP = "256 + 128 sigmoid units, dropout 0.5, SGD 0.1, batch 32, 3 epochs, 6,000 training and 1,000 test images"
FIVE = "256 + 128 sigmoid units, SGD 0.1, batch 32, 5 epochs, 6,000 training and 1,000 test images"
FEW: dict[str, Any] = {**MLP, "train_samples": 1_500, "epochs": 60, "dropout": 0.0}
FEW_SETUP = "256 + 128 sigmoid units, no dropout, SGD 0.1, batch 32, 1,500 training and 6,000 test images"
OPTIMIZERS = {"SGD": "sgd", "Adagrad": "adagrad", "RMSprop": "rmsprop", "Adam": "adam"}
LONGER = 15
DENSE: dict[str, Any] = {"baseline": "mlp-128", "epochs": LONGER}
DENSE_SETUP = "128 ReLU units, dropout 0.2, Adam, batch 32, all training images"
WIDE: dict[str, Any] = {"baseline": "mlp-512", "epochs": 10}
PLATEAU: dict[str, Any] = {"baseline": "mlp-512", "train_samples": 6_000, "epochs": 30}
CUT = {"schedule": "plateau", "plateau_patience": 5, "plateau_factor": 0.5, "plateau_floor": 1e-5}
# Pixels of 0 to 255 as they are: what normalization is compared with, and the start of the other two.
CNN: dict[str, Any] = {"baseline": "cnn-dropout", "train_samples": 6_000, "epochs": 5, "scale": 1.0}
CNN_SETUP = "convolutional network with dropout (cnn-dropout), 5 epochs"
# One standard error of an accuracy near 98 % on the 5,000 validation images.
NO_MORE = 0.2

EXPERIMENTS = (
    Experiment(
        "structure",
        "Network structure",
        "256 + 128 units do best: more layers or a wider second one do worse",
        (
            Arm("256+128", MLP),
            Arm("256+128×3", {**MLP, "layers": ["dense:256", "dense:128", "dense:128", "dense:128", "dropout:0.5"]}),
            Arm("256+1568", {**MLP, "layers": ["dense:256", "dense:1568", "dropout:0.5"]}),
        ),
        MLP_SETUP,
        best("256+128", "256+128×3", "256+1568"),
        test_images=1_000,
    ),
    Experiment(
        "dropout",
        "Dropout",
        "dropout 0.5 narrows the gap between training and test accuracy",
        (Arm("dropout 0.5", {**MLP, "epochs": 5}), Arm("none", {**MLP, "epochs": 5, "dropout": 0.0})),
        FIVE,
        best("none", "dropout 0.5"),
        figure=figures.gap,
        what="training less test accuracy",
        unit="points",
        test_images=1_000,
    ),
    Experiment(
        "learning-rate",
        "Learning rate",
        "0.1 does best: 0.01 is too slow, 1.0 overshoots",
        tuple(Arm(f"{rate}", MLP if rate == 0.1 else {**MLP, "learning_rate": rate}) for rate in (0.01, 0.1, 1.0)),
        MLP_SETUP,
        best("0.1", "0.01", "1.0"),
        test_images=1_000,
    ),
    Experiment(
        "batch-size",
        "Batch size",
        "the smaller the batch, the better after the same epochs, since it takes more steps",
        tuple(Arm(f"batch {size}", MLP if size == 32 else {**MLP, "batch": size}) for size in (16, 32, 64)),
        MLP_SETUP,
        falling("batch 16", "batch 32", "batch 64"),
        test_images=1_000,
    ),
    Experiment(
        "epochs-gap",
        "Epochs: overfitting",
        "the gap between training and test accuracy grows with the epochs",
        tuple(Arm(f"{epochs} epochs", FEW, at=epochs) for epochs in (5, 10, 60)),
        FEW_SETUP,
        falling("60 epochs", "10 epochs", "5 epochs"),
        figure=figures.gap,
        what="training less test accuracy",
        unit="points",
        test_images=6_000,
        curve="validation_accuracy",
        small=True,
    ),
    Experiment(
        "epochs-test",
        "Epochs: how many",
        "10 epochs do best on new images: 5 underfit, 60 overfit",
        tuple(Arm(f"{epochs} epochs", FEW, at=epochs) for epochs in (5, 10, 60)),
        FEW_SETUP,
        best("10 epochs", "5 epochs", "60 epochs"),
        test_images=6_000,
        small=True,
    ),
    Experiment(
        "optimizers",
        "Optimizers",
        "at their default rates, those that adapt the rate to each weight (Adagrad, RMSprop, Adam) beat SGD",
        tuple(
            Arm(name, {**MLP, "epochs": 5, "optimizer": optimizer, "learning_rate": DEFAULT_RATES[optimizer]})
            for name, optimizer in OPTIMIZERS.items()
        ),
        "256 + 128 sigmoid units, dropout 0.5, batch 32, 5 epochs, 6,000 training and 1,000 test images; rates 0.01 "
        "for SGD, 0.001 for the others",
        tuple(Statement(name, "SGD", low=0.0) for name in OPTIMIZERS if name != "SGD"),
        test_images=1_000,
    ),
    Experiment(
        "plateau",
        "Reduce on plateau",
        "cutting the rate where the validation loss stands still does better than a fixed rate",
        (Arm("fixed", PLATEAU), Arm("reduced", {**PLATEAU, **CUT})),
        "512 ReLU units, RMSprop 0.001, batch 128, 30 epochs, 6,000 training images; patience 5, factor 0.5, floor "
        "0.00001",
        best("reduced", "fixed"),
        curve="validation_loss",
    ),
    Experiment(
        "activation",
        "Activation",
        "ReLU does better than sigmoid",
        tuple(
            Arm(name, {**DENSE, "epochs": 5, "train_samples": 6_000, "activation": activation})
            for name, activation in (("ReLU", "relu"), ("sigmoid", "sigmoid"))
        ),
        "128 units, dropout 0.2, Adam, batch 32, 5 epochs, 6,000 training images",
        best("ReLU", "sigmoid"),
        curve="validation_accuracy",
    ),
    Experiment(
        "longer-loss",
        "Dense 128: when to stop",
        f"validation stops improving near epoch 5: its loss is lowest after 3 to 7 of {LONGER} epochs",
        (Arm("lowest loss", DENSE),),
        DENSE_SETUP,
        # Whole epochs, so that the limits lie between them.
        (Statement("lowest loss", low=2.5, high=7.5),),
        figure=figures.best_epoch,
        what="epoch with the lowest validation loss",
        unit="",
        step=0.5,
        curve="validation_loss",
    ),
    Experiment(
        "longer-accuracy",
        "Dense 128: what more epochs bring",
        f"{LONGER} epochs bring less than {NO_MORE} points of validation accuracy over 5",
        (Arm("5 epochs", DENSE, at=5), Arm(f"{LONGER} epochs", DENSE, at=LONGER)),
        DENSE_SETUP,
        (Statement(f"{LONGER} epochs", "5 epochs", high=NO_MORE),),
        figure=figures.validation_accuracy,
        what="validation accuracy",
        step=100 / 5_000,
    ),
    Experiment(
        "digits",
        "Dense 128: the hardest digit",
        "9 is the digit that is most often wrong",
        tuple(Arm(f"{digit}", DENSE, at=5, figure=figures.wrong_of(digit)) for digit in range(10)),
        f"{DENSE_SETUP}, 5 epochs",
        best("9", *(f"{digit}" for digit in range(9))),
        what="wrong answers among the digit's test images",
        step=0.1,
    ),
    Experiment(
        "nine",
        "Dense 128: what a 9 is taken for",
        "a 9 that is wrong is mostly taken for 7, 4 or 3",
        (
            Arm("7, 4 or 3", DENSE, at=5, figure=figures.taken_for(9, 7, 4, 3)),
            Arm("another", DENSE, at=5, figure=figures.taken_for(9, 0, 1, 2, 5, 6, 8)),
        ),
        f"{DENSE_SETUP}, 5 epochs",
        (Statement("7, 4 or 3", low=50.0),),
        what="share of the wrong answers to a 9",
        # One of the 40 or so 9s that are wrong.
        step=2.5,
    ),
    Experiment(
        "dense-512",
        "Dense 512",
        "98 % of new images are right",
        (Arm("dense 512", WIDE),),
        "512 ReLU units, RMSprop 0.001, batch 128, 10 epochs, all training images",
        (Statement("dense 512", low=97.5, high=math.inf),),
        curve="validation_accuracy",
    ),
    Experiment(
        "dense-512-gap",
        "Dense 512: overfitting",
        "training accuracy runs ahead of test accuracy",
        (Arm("dense 512", WIDE, figure=figures.gap),),
        "512 ReLU units, RMSprop 0.001, batch 128, 10 epochs, all training images",
        (Statement("dense 512", low=0.0),),
        what="training less test accuracy",
        unit="points",
    ),
    Experiment(
        "more-data",
        "More data",
        "more training images alone do better",
        (Arm("6,000 images", CNN), Arm("12,000 images", {**CNN, "train_samples": 12_000})),
        f"{CNN_SETUP}; pixels 0 to 255 as they are",
        best("12,000 images", "6,000 images"),
        seeds=CNN_SEEDS,
        small=True,
    ),
    Experiment(
        "normalization",
        "Normalization",
        "normalizing the pixels alone does better",
        (
            Arm("0 to 255", CNN),
            Arm("0 to 1", {**CNN, "scale": "1/255"}),
            Arm("mean 0, deviation 1", {**CNN, "scale": "1/255", "mean": [0.1307], "std": [0.3081]}),
        ),
        f"{CNN_SETUP}, 6,000 training images",
        (*best("0 to 1", "0 to 255"), *best("mean 0, deviation 1", "0 to 255")),
        seeds=CNN_SEEDS,
    ),
    Experiment(
        "augmentation",
        "Augmentation",
        "augmentation alone does better",
        (Arm("as they are", CNN), Arm("augmented", {**CNN, "rotation": 10.0, "zoom": 0.1, "shift": 0.1})),
        f"{CNN_SETUP}, 6,000 training images, pixels 0 to 255; augmented: turned up to 10°, 0.9 to 1.1 times as large, "
        "moved up to a tenth",
        best("augmented", "as they are"),
        seeds=CNN_SEEDS,
    ),
)


def trainings(experiments: tuple[Experiment, ...], *, full: bool) -> dict[str, list[list[Training]]]:
    """By experiment, the trainings of each arm, one a seed; arms with equal settings share them.

    Args:
        experiments: What is tried.
        full: All training and test images, but where few are the subject.
    """
    # What is asked of one training by several arms is looked at in the same run.
    looks: dict[str, set[int]] = {}
    asked: dict[tuple[str, int], tuple[dict[str, Any], int, int]] = {}
    for experiment in experiments:
        for index, arm in enumerate(experiment.arms):
            settings, images = arm.settings, experiment.test_images
            if full and not experiment.small:
                settings = {key: value for key, value in settings.items() if key != "train_samples"}
                images = ALL_TEST
            asked[experiment.name, index] = settings, images, experiment.seeds
            looks.setdefault(repr((settings, images)), set()).add(arm.at or settings["epochs"])
    found: dict[str, list[list[Training]]] = {}
    for (name, _), (settings, images, seeds) in asked.items():
        seen = tuple(sorted(looks[repr((settings, images))]))
        found.setdefault(name, []).append([Training(settings, seen, images, seed) for seed in range(seeds)])
    return found
