"""How to train: the record of every knob, with its range and what it stands for."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Optimizer = Literal["sgd", "adagrad", "rmsprop", "adam", "adamw"]
Schedule = Literal["constant", "plateau", "cosine", "one-cycle"]
Loss = Literal["cross-entropy", "one-hot cross-entropy", "binary cross-entropy", "mean squared", "mean absolute"]

# Keras's.
DEFAULT_RATES: dict[str | None, float] = {"sgd": 0.01, "adagrad": 1e-3, "rmsprop": 1e-3, "adam": 1e-3, "adamw": 1e-3}


class Augmentation(Struct, frozen=True, forbid_unknown_fields=True):
    """Random changes of the training images, drawn anew for every image and epoch; zero is none.

    Attributes:
        shift: Largest move along each axis, as a share of the image's size.
        rotation: Largest turn to either side, in degrees.
        zoom: Largest change of size, as a share: 0.1 is 0.9 to 1.1 times.
        elastic: Standard deviation of a smooth random displacement, in pixels (Simard et al., Best practices for
            convolutional neural networks applied to visual document analysis, 2003, section 2).
        cutout: Side of a square around a random point that is set to the background, as a share of the image's
            shorter side; it may reach beyond the image (DeVries and Taylor, 2017, arXiv:1708.04552).
        mixup: The Beta distribution's parameter for blending pairs of images and their labels (Zhang et al., 2018,
            arXiv:1710.09412, eq. 1).
    """

    shift: Annotated[float, Meta(ge=0, le=0.5)] = 0.0
    rotation: Annotated[float, Meta(ge=0, le=180)] = 0.0
    zoom: Annotated[float, Meta(ge=0, le=0.9)] = 0.0
    elastic: Annotated[float, Meta(ge=0, le=10)] = 0.0
    cutout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    mixup: Annotated[float, Meta(ge=0, le=10)] = 0.0

    @property
    def any(self) -> bool:
        """Whether anything is changed at all."""
        return self != Augmentation()

    @property
    def moves(self) -> bool:
        """Whether it takes pictures: blending does not."""
        return bool(self.shift or self.rotation or self.zoom or self.elastic or self.cutout)


class TrainingPlan(Struct, frozen=True, forbid_unknown_fields=True):
    """How to train.

    Attributes:
        epochs: Most passes over the training images.
        batch: Images per step; a last incomplete batch is left out (the order changes every epoch).
        optimizer: Update rule with its Keras defaults but for what is given here.
        learning_rate: Initial rate; the highest one of ``one-cycle``.
        schedule: ``cosine`` decays to zero over all steps (Loshchilov and Hutter, SGDR, arXiv:1608.03983, eq. 5
            with one period), so that training ends on its plateau; ``constant`` does not decay; ``plateau`` is cut
            when the validation loss no longer falls; ``one-cycle`` rises from a 25th for 30 % of the steps and then
            falls to zero, both in a straight line (Smith and Topin, 2018, arXiv:1708.07120; the momentum stays).
        momentum: Of ``sgd`` and ``rmsprop``.
        nesterov: Nesterov's form of ``sgd``'s momentum.
        weight_decay: Decoupled decay of ``adamw`` (Loshchilov and Hutter, 2019, arXiv:1711.05101, algorithm 2), of
            kernels alone: biases and normalization do not decay.
        warmup_epochs: The rate rises linearly from zero for so long, before the schedule begins.
        plateau_patience: Epochs without a lower validation loss before ``plateau`` cuts the rate.
        plateau_factor: What the rate is multiplied by then.
        plateau_floor: The rate is never cut below; one that begins below stays.
        early_stopping: Stop after so many epochs without a lower validation loss, and go back to the weights of the
            best one; 0 never stops.
        loss: What is minimized; ``None`` takes the one that belongs to the task.
        label_smoothing: Share of each label that is spread over all classes (Szegedy et al., 2016,
            arXiv:1512.00567, section 7); with the binary cross-entropy over yes and no of each output.
        ema: Momentum of an exponential moving average of the weights, which are the ones evaluated and kept; 0 has
            none (Polyak and Juditsky, 1992). It is smaller at first: (1 + steps) / (10 + steps).
        augmentation: Random changes of the training images.
    """

    epochs: Annotated[int, Meta(ge=0, le=10_000)]
    batch: Annotated[int, Meta(ge=1, le=65_536)]
    optimizer: Optimizer
    learning_rate: Annotated[float, Meta(gt=0, le=100)]
    schedule: Schedule
    momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    nesterov: bool = False
    weight_decay: Annotated[float, Meta(ge=0, le=1)] = 0.0
    warmup_epochs: Annotated[float, Meta(ge=0, le=1000)] = 0.0
    plateau_patience: Annotated[int, Meta(ge=1, le=1000)] = 5
    plateau_factor: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    plateau_floor: Annotated[float, Meta(ge=0, le=1)] = 1e-5
    early_stopping: Annotated[int, Meta(ge=0, le=1000)] = 0
    loss: Loss | None = None
    label_smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    ema: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    augmentation: Augmentation = Augmentation()
