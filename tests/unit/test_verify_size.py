"""Whether a kernel that lost channels is as small, and costs as little arithmetic, as what is left of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import model_files
import numpy as np
import pytest

from optkit import readback
from optkit.schema import KernelExpectation
from optkit.verify import kernels

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.readback import ModelFacts

CASES = [("tflite", p) for p in ("fp32", "fp16", "int8")] + [("onnx", p) for p in ("fp32", "fp16", "int8")]


def read(folder: Path, file_format: str, precision: str) -> ModelFacts:
    write = {"tflite": model_files.write_tflite, "onnx": model_files.write_onnx}[file_format]
    return readback.read(write(folder, model_files.network(), precision))


def promise(facts: ModelFacts) -> KernelExpectation:
    """Of the dense layer, which is used at one position."""
    size = model_files.network().dense.size
    assert any(c.role == "weight" and c.values.size == size for c in facts.constants)
    return KernelExpectation("dense", size, small=True, macs=size)


def failed(facts: ModelFacts, *promises: KernelExpectation) -> list[str]:
    return [check.name for check in kernels.checks(facts, promises) if not check.passed]


@pytest.mark.parametrize(("file_format", "precision"), CASES)
def test_bytes_and_arithmetic_are_read_from_the_file(tmp_path: Path, file_format: str, precision: str) -> None:
    facts = read(tmp_path, file_format, precision)
    one = promise(facts)
    assert len(kernels.checks(facts, (one,))) == 2
    assert failed(facts, one) == []
    assert failed(facts, KernelExpectation("dense", one.elements, small=True, macs=one.elements + 1)) == [
        "multiply-accumulates of dense"
    ]
    # The channels are gone, but their place is not.
    kernel = next(c for c in facts.constants if c.role == "weight" and c.values.size == one.elements)
    padded = replace(kernel, file_bytes=kernel.file_bytes + 8)
    others = tuple(c for c in facts.constants if c is not kernel)
    assert failed(replace(facts, constants=(*others, padded)), one) == ["bytes of dense"]


def test_without_a_promise_of_arithmetic_nothing_is_looked_at(tmp_path: Path) -> None:
    facts = read(tmp_path, "tflite", "fp32")
    assert kernels.checks(facts, (KernelExpectation("dense", promise(facts).elements),)) == []


def test_a_file_that_does_not_tell_its_arithmetic_says_so(tmp_path: Path) -> None:
    facts = read(tmp_path, "onnx", "fp32")
    one = promise(facts)
    facts = replace(facts, operators=tuple(replace(operator, macs=None) for operator in facts.operators))
    check = next(check for check in kernels.checks(facts, (one,)) if check.name.startswith("multiply"))
    assert (check.passed, check.observed) == (True, "not told by the file")


def test_packed_values_take_as_much_room_as_their_bits(tmp_path: Path) -> None:
    facts = read(tmp_path, "tflite", "int8")
    one = promise(facts)
    kernel = next(c for c in facts.constants if c.role == "weight" and c.values.size == one.elements)
    others = tuple(c for c in facts.constants if c is not kernel)
    packed = replace(kernel, dtype="int4", file_bytes=math.ceil(one.elements / 2))
    assert failed(replace(facts, constants=(*others, packed)), one) == []
    assert failed(replace(facts, constants=(*others, replace(packed, file_bytes=one.elements))), one) == [
        "bytes of dense"
    ]


def test_of_two_kernels_of_one_size_each_promise_finds_its_own(tmp_path: Path) -> None:
    facts = read(tmp_path, "tflite", "fp32")
    one = promise(facts)
    kernel = next(c for c in facts.constants if c.role == "weight" and c.values.size == one.elements)
    first = facts.operators[kernel.operator]
    again = replace(first, macs=4 * one.elements)
    later = replace(kernel, name="later", operator=len(facts.operators), values=np.ones_like(kernel.values))
    facts = replace(facts, operators=(*facts.operators, again), constants=(*facts.constants, later))
    promises = (KernelExpectation("wide", one.elements, small=True, macs=4 * one.elements), one)
    assert failed(facts, *promises) == []
    assert failed(facts, *promises[::-1]) == []
    assert failed(facts, one, one) == ["multiply-accumulates of dense"]
