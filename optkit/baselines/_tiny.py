"""What the tiny networks have in common, each made for int8 files up to a size (the front, ``benchmarks/pareto``)."""

from __future__ import annotations

from optkit.networks import Network
from optkit.training import Augmentation, TrainingPlan

SOURCE = "the front of small files, benchmarks/pareto: flatten rather than global pooling, depth rather than width"
TRAINING = TrainingPlan(
    epochs=12,
    batch=128,
    optimizer="adam",
    learning_rate=6e-3,
    schedule="cosine",
    augmentation=Augmentation(shift=0.055, rotation=10.0, zoom=0.1),
)


def network(first: int, *others: int, kernel: int = 5) -> Network:
    """A convolution with stride 2, then 3x3 ones, of which the last leaves a border, and pooling twice.

    A picture of 28x28 is 14x14 after the first, 7x7 after the first pooling, and 2x2 at the end. Flattened, that costs
    as many weights as a small convolution; the mean over the picture instead loses half a point.

    Args:
        first: Output channels of the first convolution.
        others: Of the others, three or four: one of them before the first pooling, of four two.
        kernel: Side of the first convolution's kernels. LiteRT spends most of a tiny network's time there, in
            proportion to their area: kernels read eight channels at once, and this one has a single channel.
    """
    *inner, last = others
    early = 2 if len(others) > 3 else 1
    layers = (
        f"conv:{first}x{kernel}:same:stride2",
        *(f"conv:{channels}x3:same" for channels in inner[:early]),
        "pool:2",
        *(f"conv:{channels}x3:same" for channels in inner[early:]),
        f"conv:{last}x3",
        "pool:2",
        "flatten",
    )
    return Network(layers, batchnorm=True)
