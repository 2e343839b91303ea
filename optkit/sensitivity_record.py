"""What report.json says of a file that leaves as few layers in float as its accuracy asks for.

Part of report.json, see ``optkit.schema``.
"""

from __future__ import annotations

from msgspec import Struct

from optkit.quality import Interval
from optkit.search_record import Limit


class LayerSensitivity(Struct, frozen=True):
    """How much a model loses when one layer alone is quantized.

    ``layer`` is a layer with a kernel; those without one that follow it, up to the next kernel, are quantized with it.
    ``sqnr_db`` is the signal-to-quantization-noise ratio of the outputs in dB, ``None`` where they are the same bit for
    bit. ``drop`` is what accuracy it costs, see ``TriedFile``; ``None`` where that is no finite number. ``excluded``:
    it is in float in the file, for the ``reason``.
    """

    layer: str
    sqnr_db: float | None
    drop: float | None
    drop_ci95: Interval | None
    excluded: bool
    reason: str


class TriedExclusion(Struct, frozen=True):
    """A file that was made on the way, with these layers in float, judged on all validation examples.

    ``drop`` is against fp32 of the same format, see ``TriedFile``. ``file_bytes`` are those before slimming.
    """

    float_layers: list[str]
    drop: float | None
    drop_ci95: Interval | None
    file_bytes: int
    within: bool


class Sensitivity(Struct, frozen=True):
    """Which layers lose most when quantized, and which were left in float so that the file keeps to its limit.

    ``layers`` are in order, the most sensitive first; their figures are of the first ``examples`` of ``validation``
    examples. ``tried`` are the files that were made, in order; the last word on the limit has the check of the
    finished file. ``excluded`` are the layers in float, ``followers`` those without a kernel that are in float with
    them. ``most`` is how many may be. ``within``: the limit is met; where it is not, ``excluded`` are those of the
    file that comes nearest.
    """

    method: str
    limit: Limit
    examples: int
    validation: int
    layers: list[LayerSensitivity]
    tried: list[TriedExclusion]
    excluded: list[str]
    followers: list[str]
    most: int
    within: bool
