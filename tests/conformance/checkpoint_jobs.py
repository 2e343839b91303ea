"""Jobs that run in workers: trainings that are killed after an epoch, and their undisturbed twins."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from optkit import data, networks
from optkit.problem import Task
from optkit.training import Augmentation, TrainingPlan, configure_tensorflow, loop, train

if TYPE_CHECKING:
    from optkit.workers import Tell

# Dropout in two places, and normalization.
NETWORK = networks.Network(
    ("flatten", "dense:16", "dense:8"), input_shape=(28, 28), dropout=0.3, dropout_after="all", batchnorm=True
)
STEADY = TrainingPlan(5, 32, "adam", 1e-3, "constant")
CHANGES: dict[str, dict[str, Any]] = {
    "steady": {},
    "all of it": {
        "optimizer": "sgd",
        "momentum": 0.9,
        "schedule": "plateau",
        # On the few images it is trained on, a rate this high is cut and stops soon.
        "learning_rate": 0.5,
        "plateau_patience": 1,
        "warmup_epochs": 0.5,
        "early_stopping": 3,
        "epochs": 9,
        "ema": 0.9,
        "augmentation": Augmentation(shift=0.1, rotation=10, elastic=1, cutout=0.2, mixup=0.2),
    },
    "one-cycle": {"schedule": "one-cycle", "optimizer": "adamw", "weight_decay": 0.1},
}


def training(
    tell: Tell,  # noqa: ARG001
    *,
    plan: str,
    file: str | None,
    killed_after: int | None = None,
    seed: int = 0,
    samples: int = 400,
) -> dict[str, Any]:
    """Train, unless it is killed on the way."""
    configure_tensorflow(0, threads=1)
    # 12 steps an epoch: calls of 5, 5 and 2, which TensorFlow traces separately.
    loop.CHUNK_STEPS = 5
    digits = data.load("mnist", train_samples=samples)
    model = networks.build(NETWORK)
    seen = []

    def on_epoch(number: int, _: Any) -> bool:
        seen.append(number)
        return False

    def listen(message: dict[str, Any]) -> None:
        # Not right after the checkpoint, but in the midst of the next epoch.
        if killed_after is not None and message["epoch"] == killed_after + 1:
            os.kill(os.getpid(), signal.SIGKILL)

    wanted = msgspec.structs.replace(STEADY, **CHANGES[plan])
    path = None if file is None else Path(file)
    more = {"task": Task(), "seed": seed, "tell": listen, "on_epoch": on_epoch, "checkpoint": path}
    epochs = train(model, digits, wanted, **more)
    weights = b"".join(weight.tobytes() for weight in model.get_weights())
    return {
        "digest": hashlib.sha256(weights).hexdigest(),
        "losses": [[one.loss, one.validation_loss, one.learning_rate] for one in epochs],
        "seen": seen,
        "left": path is not None and path.exists(),
    }
