"""Looks at the validation loss after each epoch: cut the rate, stop, and which weights were best."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from optkit.training.plan import TrainingPlan


class Watch:
    """What a plan does about a validation loss that no longer falls.

    Args:
        plan: Its patience.
        snapshot: Gives the weights to go back to.
    """

    def __init__(self, plan: TrainingPlan, snapshot: Callable[[], list[Any]]) -> None:
        self._plan, self._snapshot = plan, snapshot
        self._lowest = math.inf
        self._since_lowest = self._since_cut = 0
        self.best: list[Any] | None = None

    def after(self, loss: float | None) -> Literal["go on", "cut", "stop"]:
        """What to do after an epoch with that validation loss; ``None`` where it is no number."""
        if loss is None or loss >= self._lowest:
            self._since_lowest += 1
            self._since_cut += 1
        else:
            self._lowest, self._since_lowest, self._since_cut = loss, 0, 0
            if self._plan.early_stopping:
                self.best = self._snapshot()
        if self._plan.early_stopping and self._since_lowest >= self._plan.early_stopping:
            return "stop"
        if self._plan.schedule == "plateau" and self._since_cut >= self._plan.plateau_patience:
            self._since_cut = 0
            return "cut"
        return "go on"
