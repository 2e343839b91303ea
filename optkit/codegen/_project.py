"""The files beside the C file: a self-test with its vectors, how to build it, and what they are for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optkit.codegen import _emit
from optkit.codegen.quantize import real

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optkit.codegen._graph import Graph

_PER_LINE = 24


def vectors(
    graph: Graph, prefix: str, feeds: Sequence[Sequence[np.ndarray]], answers: Sequence[Sequence[np.ndarray]]
) -> str:
    """``test_vectors.h``: inputs, and what LiteRT's reference kernels make of them.

    Args:
        graph: The network.
        prefix: Begins every name.
        feeds: For each vector an array for each input.
        answers: For each vector an array for each output.
    """
    upper = prefix.upper()
    lines = [f"#ifndef {upper}_TEST_VECTORS_H", f"#define {upper}_TEST_VECTORS_H", "", "#include <stdint.h>", ""]
    lines += ["/* Inputs, and what LiteRT's built-in reference kernels make of them. */"]
    lines += [f"#define {upper}_TEST_VECTORS {len(feeds)}"]
    names = _emit.ports(graph)
    for place, (name, c_type, index) in enumerate(names):
        inputs = len(graph.inputs)
        rows = [one[place] for one in feeds] if place < inputs else [one[place - inputs] for one in answers]
        plain = c_type.replace("const ", "").replace(" *", "")
        lines.append(f"static const {plain} {prefix}_test_{name}[{len(feeds)}][{graph.tensors[index].count}] = {{")
        lines += [f"    {{{_values(row)}}}," for row in rows]
        lines.append("};")
    return "\n".join([*lines, "", "#endif"]) + "\n"


def _values(row: np.ndarray) -> str:
    flat = [real(one) if row.dtype == np.float32 else str(int(one)) for one in row.reshape(-1)]
    return ",\n     ".join(", ".join(flat[at : at + _PER_LINE]) for at in range(0, len(flat), _PER_LINE))


def self_test(graph: Graph, prefix: str, *, caller_arena: bool) -> str:
    """``main.c``: runs every vector and says how many answers are right; its exit code is 0 when all are."""
    upper = prefix.upper()
    ports = _emit.ports(graph)
    outputs = ports[len(graph.inputs) :]
    declared = [
        f"    static {c_type.replace(' *', '')} made_{name}[{graph.tensors[index].count}];"
        for name, c_type, index in outputs
    ]
    if caller_arena:
        declared.append(f"    static int8_t arena[{upper}_ARENA_BYTES + 1];")
    given = [f"{prefix}_test_{name}[vector]" for name, _, _ in ports[: len(graph.inputs)]]
    made = [f"made_{name}" for name, _, _ in outputs]
    arguments = ", ".join([*given, *made, *(["arena"] if caller_arena else [])])
    compared = [
        f"        same = same && memcmp(made_{name}, {prefix}_test_{name}[vector], sizeof made_{name}) == 0;"
        for name, _, _ in outputs
    ]
    lines = [
        "/* Runs the test vectors. Exit code 0: every answer is that of LiteRT's reference kernels, bit for bit. */",
        "#include <stdio.h>",
        "#include <string.h>",
        "",
        f'#include "{prefix}.h"',
        '#include "test_vectors.h"',
        "",
        "int main(void)",
        "{",
        *declared,
        "    int vector, right = 0;",
        f"    for (vector = 0; vector < {upper}_TEST_VECTORS; vector++) {{",
        f"        int same = {prefix}_invoke({arguments}) == 0;",
        *compared,
        "        right += same;",
        "    }",
        f'    printf("%d of %d answers are right\\n", right, {upper}_TEST_VECTORS);',
        f"    return right == {upper}_TEST_VECTORS ? 0 : 1;",
        "}",
    ]
    return "\n".join(lines) + "\n"


def makefile(prefix: str, flags: Sequence[str], compiler: str) -> str:
    """``Makefile``: ``make test`` builds and runs the self-test on this machine."""
    return f"""\
# `make {prefix}.o` compiles the network for the target, `make test` builds and runs the self-test on this machine.
CC = {compiler}
HOST_CC = cc
CFLAGS = {" ".join(flags)}
WARNINGS = -Wall -Wextra -Wconversion -Wpedantic

{prefix}.o: {prefix}.c
\t$(CC) $(CFLAGS) $(WARNINGS) -c {prefix}.c -o {prefix}.o

self_test: main.c {prefix}.c {prefix}.h test_vectors.h
\t$(HOST_CC) -std=c99 -O2 $(WARNINGS) main.c {prefix}.c -o self_test

test: self_test
\t./self_test

clean:
\trm -f {prefix}.o self_test

.PHONY: test clean
"""


def cmake(prefix: str) -> str:
    """``CMakeLists.txt``: a library for other projects, and the self-test."""
    return f"""\
cmake_minimum_required(VERSION 3.13)
project({prefix} C)
set(CMAKE_C_STANDARD 99)
add_library({prefix} STATIC {prefix}.c)
target_include_directories({prefix} PUBLIC ${{CMAKE_CURRENT_SOURCE_DIR}})
if(NOT CMAKE_CROSSCOMPILING)
  enable_testing()
  add_executable(self_test main.c)
  target_link_libraries(self_test {prefix})
  add_test(NAME self_test COMMAND self_test)
endif()
"""
