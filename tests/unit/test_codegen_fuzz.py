"""Generated C is bit-exact: a thousand random networks of all operators against LiteRT's reference kernels."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from codegen_networks import COMPILER, KINDS, LANES, STRICT, Case, cases, differing

from optkit import codegen

if TYPE_CHECKING:
    from pathlib import Path

NETWORKS = 1000
# Functions of the whole file are parts of their callers with `speed`, which takes the compiler ten times as long.
SPEED, WIDE, FLASH = 20, 100, 300
# Weighted towards what takes part in streaming.
MIXED = [*KINDS, *["conv_2d", "depthwise_conv_2d", "max_pool_2d", "average_pool_2d"] * 2]

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")


def _groups(found: list[Case], prefer: str, size: int) -> list[tuple[list[Case], str]]:
    return [(found[at : at + size], prefer) for at in range(0, len(found), size)]


@needs_compiler
@pytest.mark.slow
def test_a_thousand_networks_answer_as_the_reference_kernels(tmp_path: Path) -> None:
    found = cases(8, NETWORKS, MIXED)
    assert {kind for case in found for kind in case.kinds} == set(KINDS)
    groups = [
        *_groups(found[:SPEED], "speed", 20),
        *_groups(found[SPEED : SPEED + WIDE], LANES, 20),
        *_groups(found[SPEED + WIDE : SPEED + WIDE + FLASH], "flash", 100),
        *_groups(found[SPEED + WIDE + FLASH :], "ram", 100),
    ]
    streamed = 0
    for group in (group for group, prefer in groups if prefer == "ram"):
        plans = codegen.generate([(case.name, case.graph) for case in group], prefer="ram").plans
        streamed += sum(any(len(stage) > 1 for stage in plan.stages) for plan in plans)
    assert streamed > NETWORKS * 0.05
    assert differing(groups, tmp_path) == []
    values = sum(one.size for case in found for answer in case.answers for one in answer)
    assert values > 100 * NETWORKS


# For each kernel a mistake that is easy to make, and the operator that must notice.
MISTAKES = {
    "one rounding instead of two": ("conv_2d", "+ ((int32_t)1 << 30)) >> 31", ") >> 31"),
    "halves up instead of away": ("add", "(mask >> 1) + (x < 0)", "(mask >> 1)"),
    "a dense layer that cuts": (
        "fully_connected",
        " + ((int32_t)1 << (shift - 32))) >> (shift - 31)",
        ") >> (shift - 31)",
    ),
    "padding with zeros": ("conv_2d", ": p->fill", ": 0"),
    "padding of a depthwise layer": ("depthwise_conv_2d", "row >= 0 && ", "row >= 1 && "),
    "a mean that cuts": ("average_pool_2d", "found + count / 2", "found"),
    "a highest value from zero": ("max_pool_2d", "int32_t found = -128", "int32_t found = 0"),
    "a factor for the wrong sign": ("leaky_relu", "value < 0", "value > 0"),
    "a limit that is not kept": ("relu6", "found > p->high ? p->high : found", "found > 127 ? 127 : found"),
    "a wrong coefficient": ("softmax", "715827883", "695827883"),
    "a bit too few": ("softmax", "k < 7", "k < 6"),
    "a table read with the wrong sign": ("tanh", "(uint8_t)x[i]", "(uint8_t)(x[i] ^ 1)"),
    "a lost value": ("mean", "k < count", "k < count - 1"),
    "a wrong step": ("concatenation", "out += step", "out += size"),
    "a wrong border": ("pad", ": p->fill", ": 0"),
    "a difference with the wrong sign": ("sub", ") - scale(", ") + scale("),
    "a product without a zero point": ("mul", "right = b[i] - p->zero_b", "right = b[i]"),
    "a factor for all signs": ("prelu", "left >= 0 ?", "left >= -1 ?"),
    "a table read in reverse": ("hard_swish", "(uint8_t)x[i]", "(uint8_t)~x[i]"),
    "the lesser for the greater": ("maximum", "left > right", "left < right"),
    "the greater for the lesser": ("minimum", "left < right", "left > right"),
    "an axis too few": ("transpose", "c * by[2] + ", ""),
    "a part from the wrong step": ("strided_slice", "at[e * by[4]]", "at[e]"),
    "a highest value from the wrong place": ("reduce_max", "* inner + j", "* inner"),
    "a neighbour too far": ("resize_nearest_neighbor", "row[i] * from", "row[h - 1] * from"),
    "a mean without rounding": ("resize_bilinear", "sum > 0 ? 524288 : -524288", "0"),
    "a real value that is cut": ("quantize", "(rest >= 0.5F)", "(rest >= 0.6F)"),
    "a real value without a zero point": ("dequantize", "(float)(x[i] - zero)", "(float)(x[i] - 1 - zero)"),
}


@needs_compiler
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_kernel_is_noticed(tmp_path: Path, mistake: str) -> None:
    kind, right, wrong = MISTAKES[mistake]
    found = cases(3, 40, [kind, "quantize"], inputs=4)

    def change(text: str) -> str:
        assert right in text
        return text.replace(right, wrong)

    # What the mistake leaves unused is no error.
    assert differing([(found, "flash")], tmp_path, flags=("-O0", "-Wno-error"), change=change)


@needs_compiler
@pytest.mark.parametrize("flags", [("-O3", "-march=native"), ("-O3",)])
def test_vectors_of_this_machine_answer_the_same(tmp_path: Path, flags: tuple[str, ...]) -> None:
    found = cases(6, 24, ["conv_2d", "max_pool_2d", "fully_connected", "reshape"])
    assert differing([(found, LANES)], tmp_path, flags=flags) == []


@needs_compiler
@pytest.mark.slow
def test_nothing_is_found_by_the_sanitizers(tmp_path: Path) -> None:
    found = [case for case in cases(5, 120, MIXED) if all(one.dtype == np.int8 for one in case.feeds[0])]
    found = [case for case in found if len(case.answers[0]) == 1 and case.answers[0][0].dtype == np.int8]
    assert len(found) >= 48
    for prefer, group in (("ram", found[:25]), ("flash", found[25:40]), ("speed", found[40:48])):
        source = tmp_path / f"{prefer}.c"
        text = codegen.generate(
            [(case.name, case.graph) for case in group], prefer=prefer, lanes=32 if prefer == "speed" else 1
        ).text
        source.write_text(f"#include <stdio.h>\n#include <string.h>\n{text}\n{_main(group)}")
        program = source.with_suffix("")
        command = [str(COMPILER), *STRICT, "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
        subprocess.run([*command, str(source), "-o", str(program)], check=True, timeout=120)
        done = subprocess.run([str(program)], capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def _main(group: list[Case]) -> str:
    """A program that feeds each network from arrays of just its size, so that reading beyond them is seen."""
    lines = ["int main(void)", "{", "    int wrong = 0;"]
    for case in group:
        wanted = case.answers[0][0]
        given = ", ".join(str(int(one)) for one in case.feeds[0][0].reshape(-1))
        expected = ", ".join(str(int(one)) for one in wanted.reshape(-1))
        lines += [
            "    {",
            f"        static const int8_t given[] = {{{given}}};",
            f"        static const int8_t expected[] = {{{expected}}};",
            f"        int8_t made[{wanted.size}];",
            f"        wrong += {case.name}_invoke(given, made) != 0 || memcmp(made, expected, sizeof made) != 0;",
            "    }",
        ]
    return "\n".join([*lines, "    return wrong;", "}"])
