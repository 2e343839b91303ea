"""When the validation loss no longer falls: for cutting the rate, for stopping, and for what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

# Read by msgspec when a checkpoint is.
from optkit.schema import Epoch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.training.plan import TrainingPlan


class Patience(Struct):
    """Counts epochs without a lower validation loss.

    Attributes:
        best: Lowest loss so far; ``None`` before the first.
        waited: Epochs since then, or since patience last ran out.
    """

    best: float | None = None
    waited: int = 0

    def lower(self, loss: float | None) -> bool:
        """Note an epoch's loss; whether it is the lowest so far. One that is no number (``None``) never is."""
        if loss is not None and (self.best is None or loss < self.best):
            self.best, self.waited = loss, 0
            return True
        self.waited += 1
        return False

    def runs_out(self, patience: int) -> bool:
        """Whether so many epochs have gone by in vain; counting then begins anew."""
        if self.waited < patience:
            return False
        self.waited = 0
        return True


class Progress(Struct):
    """How far training is.

    Attributes:
        epochs: Records of those that are done.
        plateau: When the rate is cut next.
        stopping: When training stops.
        over: Whether the last epoch ended it.
    """

    epochs: list[Epoch] = field(default_factory=list)
    plateau: Patience = field(default_factory=Patience)
    stopping: Patience = field(default_factory=Patience)
    over: bool = False

    def after(self, record: Epoch, plan: TrainingPlan) -> tuple[bool, bool]:
        """Take in an epoch; whether its weights are the best yet, and whether the rate is to be cut."""
        self.epochs.append(record)
        is_best = plan.early_stopping > 0 and self.stopping.lower(record.validation_loss)
        stops = plan.early_stopping > 0 and self.stopping.runs_out(plan.early_stopping)
        self.over = stops or record.loss is None
        if plan.schedule != "plateau":
            return is_best, False
        self.plateau.lower(record.validation_loss)
        return is_best, self.plateau.runs_out(plan.plateau_patience)


def kept_epoch(plan: TrainingPlan, epochs: Sequence[Epoch]) -> int:
    """Which epoch's weights training ended with: the best one's with early stopping, else the last one's.

    Args:
        plan: How it was trained.
        epochs: What ``train`` returned, at least one.

    Returns:
        Its number from 0.
    """
    last = len(epochs) - 1
    if not plan.early_stopping:
        return last
    seen = Patience()
    lows = [number for number, epoch in enumerate(epochs) if seen.lower(epoch.validation_loss)]
    return lows[-1] if lows else last
