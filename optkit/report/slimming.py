"""What slimming a file did: the records."""

from __future__ import annotations

import msgspec

from optkit.quality import Comparison, ErrorComparison
from optkit.verify.identity import Identity

SCHEMA_VERSION = 1


class Merge(msgspec.Struct, frozen=True):
    """Whether kernels got one scale each in place of one for each output channel.

    Attributes:
        merged: Whether the file that was written has it.
        bytes: What it saves, after everything else.
        examples: Validation examples that it was judged on.
        versus: Their answers against those of the file before (or values, with their errors).
        notes: Which kernels.
    """

    merged: bool
    bytes: int
    examples: int
    versus: Comparison | ErrorComparison
    notes: list[str]


class Slimming(msgspec.Struct, frozen=True):
    """Everything that ``optkit slim`` tells.

    ``saved_bytes`` has what each kind of reduction saved, in order; with what merging scales saved they sum to the
    difference of the two files. ``identity`` is that of the file without merged scales.
    """

    schema_version: int
    path: str
    out: str
    format: str
    sha256_before: str
    sha256_after: str
    file_bytes_before: int
    file_bytes_after: int
    gzip_bytes_before: int
    gzip_bytes_after: int
    saved_bytes: dict[str, int]
    identity: Identity
    merge: Merge | None
    data: str | None
    notes: list[str]


def to_json(slimming: Slimming) -> bytes:
    """The record as JSON with two spaces of indent."""
    return msgspec.json.format(msgspec.json.encode(slimming)) + b"\n"
