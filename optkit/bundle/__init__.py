"""Folders for a device: the model with everything that it takes to run it there, and to see that it still is right.

A plug-in (one file, one target) defines besides what the registry asks for::

    FORMATS: file formats that it takes, the preferred one first
    refuse(subject) -> why the target cannot run this model, in words; None where it can
    write(subject, folder) -> Written
    prove(folder) -> lines for the screen
    ENGINES: optional; names of what can run the model there, the usual one first

``refuse`` looks and writes nothing; it raises ``BudgetMissedError`` where the model is beyond a limit. ``write`` fills
an empty folder, ``prove`` tries it as far as this machine can, once the manifest is in it, and raises ``InputError``
where it fails. Only then does the folder get its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from optkit.errors import BudgetMissedError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from optkit.problem import Preprocessing, Task
    from optkit.readback import ModelFacts, Port
    from optkit.schema import DataFacts, Recipe, Report, Variant

# Of the test set, spread over all of it.
TEST_IMAGES = 100


class Limits(NamedTuple):
    """What the device has for the model, in bytes; ``None`` where it was not said."""

    ram_bytes: int | None = None
    flash_bytes: int | None = None


@dataclass(frozen=True)
class Subject:
    """A model file, and what is known about it.

    Attributes:
        path: The file.
        name: Of the variant, or of the file.
        format: ``tflite`` or ``onnx``.
        facts: What the file says.
        given: Its input, as its runtime names it.
        found: Its output.
        preprocessing: How raw values become real inputs.
        task: What outputs stand for.
        class_names: In the order of the class numbers; the numbers themselves where nobody named them.
        data: The data set.
        licence: Of the data, with where they are from.
        raw: Raw test examples [n, …], at most 10,000.
        labels: Their labels [n]; ``None`` without.
        outputs: What the file answers to them in its own runtime, as it is [n, values].
        variant: The file's entry in the run's report; ``None`` where no run made it.
        report: That report.
        limits: Of the device.
        engine: What runs the model there, where the target has several.
    """

    path: Path
    name: str
    format: str
    facts: ModelFacts
    given: Port
    found: Port
    preprocessing: Preprocessing
    task: Task
    class_names: tuple[str, ...]
    data: DataFacts
    licence: str
    raw: np.ndarray
    labels: np.ndarray | None
    outputs: np.ndarray
    variant: Variant | None
    report: Report | None
    limits: Limits
    engine: str | None = None

    @property
    def recipe(self) -> Recipe | None:
        """What made it."""
        return None if self.variant is None else self.variant.recipe

    def chosen(self) -> np.ndarray:
        """Positions of the examples that go along, int64 [100] or fewer."""
        import numpy as np

        count = min(TEST_IMAGES, len(self.raw))
        return np.linspace(0, len(self.raw) - 1, count).astype(np.int64)


@dataclass(frozen=True)
class Written:
    """What a target wrote.

    Attributes:
        model: The model file in the folder, with ``/``.
        more: For the manifest.
        lines: For the screen: what was proved and what was found.
    """

    model: str
    more: dict[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] = ()


def check_flash(subject: Subject) -> None:
    """Stop where the file alone is more than the device keeps.

    Raises:
        BudgetMissedError: It is.
    """
    flash, size = subject.limits.flash_bytes, subject.facts.file_bytes
    if flash is not None and size > flash:
        raise BudgetMissedError(f"{subject.path.name} has {size:,} bytes, {size - flash:,} more than --flash {flash:,}")
