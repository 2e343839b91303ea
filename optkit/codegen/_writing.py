"""What an operator becomes: a call of a kernel with constants; and the constants of a file, each written once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from optkit.codegen._graph import Node

Prefer = Literal["flash", "ram", "speed"]

_C_TYPES = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "uint16": "uint16_t",
    "int32": "int32_t",
    "int64": "int64_t",
}
# Values in a line of an array.
_PER_LINE = 24


@dataclass(frozen=True)
class Kernel:
    """A piece of C that operators share: a function or a type.

    ``needs`` are the pieces that must stand before it.
    """

    name: str
    text: str
    needs: tuple[Kernel, ...] = ()


@dataclass(frozen=True)
class Rows:
    """Which rows of its input (axis 1) a row of the output is made of.

    Row ``y`` needs the rows from ``y × stride - before`` on, ``height`` of them, as far as they exist.
    """

    height: int = 1
    stride: int = 1
    before: int = 0


@dataclass(frozen=True)
class Step:
    """One operator as C.

    Attributes:
        node: The operator.
        inputs: Tensors that are computed and that it reads; stored ones are constants by now.
        call: A statement. In it stand ``{in0}``, ``{in1}``, … and ``{out}`` for the tensors and ``{scratch}``. With
            ``rows`` it makes one row: ``{in0}`` is where row ``{first}`` is, ``{out}`` where row ``{y}`` goes. With
            ``{count}`` it takes values one by one, as many as are asked for.
        kernels: What the call needs.
        rows: How rows depend on each other; ``None`` where it is done as a whole.
        scratch: Bytes that it needs for itself while it runs.
        overlay: Whether the output may take the place of the first input, value by value.
        alias: Whether the output is the first input under another shape; nothing is done.
        weights: Bytes of its weights.
        macs: Multiply-accumulates.
    """

    node: Node
    inputs: tuple[int, ...]
    call: str = ""
    kernels: tuple[Kernel, ...] = ()
    rows: Rows | None = None
    scratch: int = 0
    overlay: bool = False
    alias: bool = False
    weights: int = 0
    macs: int = 0


@dataclass
class Constants:
    """Arrays and records of a file; equal ones are one.

    Attributes:
        prefix: Begins every name.
        prefer: What the code is to be small or fast in.
        lanes: Values that loops are written for at once, 1 for small machines.
        weight_bytes: Of arrays that are weights.
        other_bytes: Of all other arrays, and an estimate of the records' (four bytes for a pointer).
    """

    prefix: str
    prefer: Prefer
    lanes: int = 1
    lines: list[str] = field(default_factory=list)
    weight_bytes: int = 0
    other_bytes: int = 0
    _names: dict[tuple[str, str, bytes], str] = field(default_factory=dict)

    def array(self, values: np.ndarray, comment: str, *, weights: bool = False) -> str:
        """The name of an array with these values, of whole numbers."""
        c_type = _C_TYPES[values.dtype.name]
        key = ("array", c_type, values.tobytes())
        if key not in self._names:
            self._names[key] = name = f"{self.prefix}_{len(self._names)}"
            # Most values are among a few hundred, and there can be millions.
            known = {one: _literal(one) for one in np.unique(values).tolist()}
            flat = [known[one] for one in values.reshape(-1).tolist()]
            rows = [", ".join(flat[at : at + _PER_LINE]) for at in range(0, len(flat), _PER_LINE)]
            body = ",\n    ".join(rows)
            self.lines.append(f"/* {comment} */\nstatic const {c_type} {name}[{len(flat)}] = {{\n    {body}\n}};")
            if weights:
                self.weight_bytes += values.nbytes
            else:
                self.other_bytes += values.nbytes
        return self._names[key]

    def record(self, c_type: str, fields: dict[str, object], comment: str, size: int) -> str:
        """The address of a constant record of a type that a kernel declares; ``size`` are its bytes on 32 bits."""
        inner = ", ".join(f".{name} = {_field(value)}" for name, value in fields.items())
        key = ("record", c_type, inner.encode())
        if key not in self._names:
            self._names[key] = name = f"{self.prefix}_{len(self._names)}"
            self.lines.append(f"/* {comment} */\nstatic const {c_type} {name} = {{\n    {inner}\n}};")
            self.other_bytes += size
        return f"&{self._names[key]}"


def _field(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f".{name} = {_field(one)}" for name, one in value.items()) + "}"
    return _literal(value) if isinstance(value, int) else str(value)


def _literal(value: int) -> str:
    # The lowest int32 has no literal of its own in C.
    return f"({value + 1} - 1)" if value == -(2**31) else str(value)


def comment(text: str) -> str:
    """A text from a file as part of a C comment: nothing in it ends the comment or the line."""
    kept = "".join(sign if " " <= sign <= "~" else "?" for sign in text)
    return kept.replace("*/", "* /").replace("/*", "/ *").replace("\\", "/")[:120]
