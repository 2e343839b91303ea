"""What a model is given and what its outputs mean: the two things that no model file says."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Kind = Literal["multiclass", "binary", "regression"]
# ``sigmoids`` are probabilities of their own, which do not sum to one.
Outputs = Literal["probabilities", "sigmoids", "logits", "values"]


class Preprocessing(Struct, frozen=True, forbid_unknown_fields=True):
    """How raw values become the model's real inputs: ``(raw · scale − mean) / std``, in float32.

    It is declared once and then the same for training, calibration, evaluation, timing and on the device.

    Attributes:
        scale: Factor; where its reciprocal is a whole number (1/255), raw values are divided by that, so that the
            result is the float32 nearest to the true quotient.
        mean: Subtracted after scaling: one value, or one per channel; nothing when empty.
        std: Divides after that, likewise.
        resize: Height and width that pictures are brought to before (bilinear, antialiased); ``None`` keeps them.
        channels: Order or number of channels that pictures are brought to before.
    """

    scale: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: tuple[int, int] | None = None
    channels: Literal["as they are", "grey", "rgb", "bgr"] = "as they are"


class Task(Struct, frozen=True, forbid_unknown_fields=True):
    """What the model's outputs stand for, and so how it is trained and judged.

    Attributes:
        kind: ``multiclass``: one output per class, the largest is the answer. ``binary``: one output, class 1 where
            it is over one half (as a logit: over 0). ``regression``: one output, the answer itself.
        outputs: What the numbers are.
        size: Numbers that the model gives per example.
        metrics: Further Keras metrics by name, reported for each file (``--metric``).
    """

    kind: Kind = "multiclass"
    outputs: Outputs = "probabilities"
    size: int = 10
    metrics: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """Classes that are told apart; 0 for regression."""
        return {"multiclass": self.size, "binary": 2, "regression": 0}[self.kind]
