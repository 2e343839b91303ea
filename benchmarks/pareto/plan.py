"""What the front is made of: its limits, the networks that fill them, their teachers, and how each is trained."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from optkit.baselines._tiny import network
from optkit.problem import Task
from optkit.training import Augmentation, TrainingPlan

# Logits: softmax would cost an operator and change no answer, and its 8 bits would tie near ones.
TASK = Task("multiclass", "logits", 10, ())


class Teacher(Struct, frozen=True):
    """A large network whose answers the small ones learn.

    Attributes:
        layers: In words, see ``optkit.networks``.
        epochs: Of training.
        seed: Decides weights, order and augmentation.
    """

    layers: tuple[str, ...]
    epochs: int
    seed: int

    @property
    def plan(self) -> TrainingPlan:
        """How it is trained."""
        changed = Augmentation(shift=0.08, rotation=12.0, zoom=0.12, elastic=0.6)
        return TrainingPlan(
            self.epochs, 128, "adam", 2e-3, "cosine", warmup_epochs=0.5, ema=0.999, augmentation=changed
        )


TEACHERS = {
    "wide": Teacher(
        (
            "conv:32x5:same:stride2",
            "conv:64x3:same",
            "pool:2",
            "conv:112x3:same",
            "pool:2",
            "dropout:.3",
            "dense:128",
            "dropout:.3",
        ),
        epochs=25,
        seed=1,
    ),
    "deep": Teacher(
        (
            "conv:32x3:same",
            "conv:32x3:same:stride2",
            "conv:64x3:same",
            "conv:64x3:same:stride2",
            "conv:128x3:same",
            "pool:2",
            "dropout:.3",
            "dense:128",
            "dropout:.3",
        ),
        epochs=18,
        seed=2,
    ),
}

# Of the training pictures so many augmented copies are made; what the teachers answer to them is asked once.
COPIES = 20
CHANGES = {"shift": 0.055, "rotation": 10.0, "zoom": 0.1}
# Decides the copies, which all networks learn from: only their weights differ by their seeds.
COPIES_SEED = 0
# Epochs of training with kernels of 4 bits.
QAT_EPOCHS = 16

Column = Literal["int8", "int4"]


class Net(Struct, frozen=True):
    """A small network.

    Attributes:
        layers: In words.
        epochs: Of distillation.
        learning_rate: Of distillation.
        columns: What becomes of it.
    """

    layers: tuple[str, ...]
    epochs: int
    learning_rate: float
    columns: tuple[Column, ...]


def _tiny(*channels: int, kernel: int = 5) -> tuple[str, ...]:
    return network(*channels, kernel=kernel).layers


NETS = {
    "2k": Net(_tiny(5, 7, 8, 10), 60, 6e-3, ("int8",)),
    "4k": Net(_tiny(6, 10, 12, 16, kernel=4), 60, 6e-3, ("int8", "int4")),
    "6k": Net(_tiny(7, 13, 16, 17), 60, 6e-3, ("int8",)),
    "8k": Net(_tiny(8, 15, 18, 21), 60, 6e-3, ("int8", "int4")),
    "10k": Net(_tiny(8, 16, 20, 26), 60, 6e-3, ("int8",)),
    "12k": Net(_tiny(10, 18, 22, 27), 60, 6e-3, ("int4",)),
    "14k": Net(_tiny(10, 20, 25, 28), 60, 6e-3, ("int8",)),
    "16k": Net(_tiny(11, 21, 26, 31), 60, 6e-3, ("int4",)),
    "20k": Net(_tiny(12, 24, 29, 35), 60, 6e-3, ("int4",)),
    "28k": Net(_tiny(14, 28, 35, 42), 60, 6e-3, ("int4",)),
    "61k": Net(_tiny(16, 32, 32, 56, 56), 40, 4e-3, ("int8",)),
    "124k": Net(_tiny(24, 46, 46, 80, 80), 30, 3e-3, ("int4",)),
}


class Row(Struct, frozen=True):
    """A limit of the front, and what is promised and aimed at, as right answers of 10,000."""

    most_bytes: int
    must: dict[Column, int]
    aim: dict[Column, int]


ROWS = (
    Row(4_096, {"int8": 9_880, "int4": 9_925}, {"int8": 9_915, "int4": 9_945}),
    Row(6_144, {"int8": 9_925, "int4": 9_935}, {"int8": 9_945, "int4": 9_955}),
    Row(8_192, {"int8": 9_930, "int4": 9_940}, {"int8": 9_950, "int4": 9_960}),
    Row(10_240, {"int8": 9_935, "int4": 9_945}, {"int8": 9_955, "int4": 9_962}),
    Row(12_288, {"int8": 9_940, "int4": 9_950}, {"int8": 9_960, "int4": 9_965}),
    Row(16_384, {"int8": 9_950, "int4": 9_950}, {"int8": 9_965, "int4": 9_968}),
    Row(65_536, {"int8": 9_960, "int4": 9_960}, {"int8": 9_975, "int4": 9_975}),
)
