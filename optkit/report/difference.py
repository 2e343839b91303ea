"""How two model files differ on the same data: the records."""

from __future__ import annotations

import msgspec

from optkit.schema import Comparison

SCHEMA_VERSION = 1


class Side(msgspec.Struct, frozen=True):
    """One of the two files; ``correct`` is ``None`` without labels."""

    path: str
    format: str
    sha256: str
    outputs: str
    outputs_words: str
    correct: int | None


class Change(msgspec.Struct, frozen=True):
    """An image that the two answer differently.

    ``answer_a`` and ``answer_b`` are classes; ``confidence_…`` the probability that each file gives its own answer,
    ``confidence_b_in_a`` what B gives A's answer, and the reverse.
    """

    index: int
    label: int | None
    answer_a: int
    confidence_a: float
    answer_b: int
    confidence_b: float
    confidence_b_in_a: float
    confidence_a_in_b: float


class ValueChange(msgspec.Struct, frozen=True):
    """An example whose value differs most, for models of values."""

    index: int
    label: float | None
    value_a: float
    value_b: float


class LayerDifference(msgspec.Struct, frozen=True):
    """A tensor that both files compute.

    Attributes:
        name: The layer, or the tensor where no name carries one.
        kind_a: Operator that makes it in A.
        kind_b: In B.
        snr_db: 10·log10 of the power of A's values over that of the difference; ``None`` where there is none.
        explained_db: What the inputs' own differences and both files' precision would leave.
        limit_db: ``explained_db`` less a margin.
        parts: Whether the SNR is below the limit, or the kernels differ by more than their rounding.
        kernel_db: As ``snr_db``, of the kernels' real values; ``None`` where they are equal or not compared.
        kernels: ``equal``, ``within rounding``, ``different``, or ``not compared``.
    """

    name: str
    kind_a: str
    kind_b: str
    snr_db: float | None
    explained_db: float
    limit_db: float
    parts: bool
    kernel_db: float | None
    kernels: str


class Layers(msgspec.Struct, frozen=True):
    """Layer by layer; ``first`` is the position in ``layers`` of the first that parts, with the reason.

    ``untold`` says why nothing can be told, where the two are not the same network as far as names and shapes show.
    """

    images: int
    matched_by: str | None
    layers: list[LayerDifference]
    first: int | None
    reason: str | None
    untold: str | None


class Difference(msgspec.Struct, frozen=True):
    """Everything that ``optkit diff`` tells; ``changes`` has every changed answer, in the data's order."""

    schema_version: int
    a: Side
    b: Side
    data: str
    data_sha256: str
    images: int
    changed: int
    versus: Comparison | None
    changes: list[Change]
    largest_value_changes: list[ValueChange]
    mean_abs_difference: float
    max_abs_difference: float
    layers: Layers | None
    notes: list[str] = []


def to_json(difference: Difference) -> bytes:
    """The difference as JSON with two spaces of indent; a figure that is not known is null."""
    return msgspec.json.format(msgspec.json.encode(difference)) + b"\n"
