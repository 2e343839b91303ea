"""The operators of a file as figures, before any runtime has run them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optkit.schema import OperatorFigures

if TYPE_CHECKING:
    from optkit.readback import ModelFacts, Operator


def listed(file: ModelFacts) -> list[OperatorFigures]:
    """All operators of a file in its order, without times."""
    stored = weight_bytes(file)
    return [untimed(operator, stored[index]) for index, operator in enumerate(file.operators)]


def untimed(operator: Operator, stored_bytes: int) -> OperatorFigures:
    """One operator of a file, with the bytes of its weights and biases and without a time."""
    return OperatorFigures(operator.kind, operator.name, operator.macs, stored_bytes, mean_us=None)


def weight_bytes(file: ModelFacts) -> list[int]:
    """Bytes of the stored weights and biases of each operator; what two share counts for the first."""
    found = [0] * len(file.operators)
    for constant in file.constants:
        if constant.role in {"weight", "bias"}:
            found[constant.operator] += constant.file_bytes
    return found
