"""What compiling a file to C did: the record, as JSON and as a page of text."""

from __future__ import annotations

import msgspec

SCHEMA_VERSION = 1


class Place(msgspec.Struct, frozen=True):
    """A stretch of the arena: what lies there (a tensor, or an operator's scratch) and during which stages.

    ``rows`` are those of a tensor that are kept, 0 for all.
    """

    what: str
    offset: int
    size_bytes: int
    first_stage: int
    last_stage: int
    rows: int


class Bytes(msgspec.Struct, frozen=True):
    """Where the bytes are. ``None`` where no compiler for the target is installed.

    ``stack_bytes`` is the deepest of the function, with what it calls and with the activations where they lie on the
    stack. ``input_bytes`` and ``output_bytes`` are the caller's. ``flash_bytes`` is code, weights and constants;
    ``ram_bytes`` is stack, input and output, and the arena where the caller gives it.
    """

    code_bytes: int | None
    weight_bytes: int
    constant_bytes: int
    data_bytes: int | None
    arena_bytes: int
    stack_bytes: int | None
    input_bytes: int
    output_bytes: int
    flash_bytes: int | None
    ram_bytes: int | None


class Compiling(msgspec.Struct, frozen=True):
    """Everything that ``optkit compile`` tells.

    ``tested`` says how the self-test was run on this machine; ``vectors`` are the inputs in it. ``stages`` are the
    operators in the order in which they run, those that are streamed together in one.
    """

    schema_version: int
    path: str
    out: str
    sha256: str
    target: str
    prefer: str
    arena: str
    compiler: str | None
    flags: list[str]
    operators: list[str]
    macs: int
    stages: list[str]
    places: list[Place]
    kernels: list[str]
    bytes: Bytes
    vectors: int
    tested: str
    notes: list[str]


def to_json(found: Compiling) -> bytes:
    """The record as JSON with two spaces of indent."""
    return msgspec.json.format(msgspec.json.encode(found)) + b"\n"


_WIDTH = 48


def rows(found: Bytes) -> list[tuple[str, str]]:
    """The table of bytes: what, and how many."""

    def shown(number: int | None) -> str:
        return "not counted" if number is None else f"{number:,}"

    return [
        ("code", shown(found.code_bytes)),
        ("weights", shown(found.weight_bytes)),
        ("constants", shown(found.constant_bytes)),
        ("flash in all", shown(found.flash_bytes)),
        ("arena (activations)", shown(found.arena_bytes)),
        ("stack", shown(found.stack_bytes)),
        ("input and output", f"{found.input_bytes + found.output_bytes:,}"),
        ("RAM in all", shown(found.ram_bytes)),
    ]


def drawing(found: Compiling) -> list[str]:
    """The arena from left to right, a line for each thing in it, over the stages in which it is used."""
    arena = max(found.bytes.arena_bytes, 1)
    lines = []
    for place in sorted(found.places, key=lambda one: (one.first_stage, one.offset)):
        start = place.offset * _WIDTH // arena
        end = max(start + 1, (place.offset + place.size_bytes) * _WIDTH // arena)
        bar = "." * start + "#" * (end - start) + "." * (_WIDTH - end)
        span = f"{place.first_stage}" + (f"-{place.last_stage}" if place.last_stage != place.first_stage else "")
        kept = f", {place.rows} rows of it" if place.rows else ""
        lines.append(f"{span:>7}  {bar}  {place.size_bytes:>7,}  {place.what}{kept}")
    return lines


def page(found: Compiling) -> str:
    """``report.md``."""
    table = "\n".join(f"| {what} | {number} |" for what, number in rows(found.bytes))
    stages = "\n".join(f"{number}. {text}" for number, text in enumerate(found.stages))
    plan = "\n".join(drawing(found)) or "nothing: there are no activations between input and output"
    built = (
        f"{found.compiler}, `{' '.join(found.flags)}`" if found.compiler else "not compiled: no compiler is installed"
    )
    notes = "".join(f"\n- {one}" for one in found.notes)
    return f"""\
# {found.path} as C

Target {found.target}, smallest or fastest in: {found.prefer}. {built}.

{found.tested}

| bytes | |
|---|---:|
{table}

Flash counts code (with what the compiler's library adds; on c99 without), weights and constants, not start-up code.
RAM counts the deepest stack, the caller's input and output, and the arena, which lies on the stack unless the caller
gives it.

## Memory plan

![The arena over the stages](memory.svg)

Stages, in the order in which they run; operators (with their place in the file) in one stage run row by row:

{stages}

The arena of {found.bytes.arena_bytes:,} bytes from left to right; on the left the stages in which a part is used:

```text
{plan}
```
{notes}
"""
