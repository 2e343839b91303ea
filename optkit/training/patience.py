"""When the validation loss no longer falls: for cutting the rate, for stopping, and for what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.schema import Epoch
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
