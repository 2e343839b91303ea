"""Compiles C files for Cortex-M, and reads what they take from the linker's map."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMPILER = "arm-none-eabi-gcc"
PROCESSORS = ("cortex-m0plus", "cortex-m4")
_SECONDS = 120
# Uses both arrays, so that the linker keeps them; nothing else is in the image.
_USER = """#include "model_data.h"
#include "test_vectors.h"
int main(void);
int main(void) { return g_model_data[0] + g_test_inputs[0][0] + g_test_outputs[0][0]; }
"""
_SECTION = re.compile(r"^\.rodata\S*\s+0x[0-9a-f]+\s+0x([0-9a-f]+)$", re.MULTILINE)


class Compiled(NamedTuple):
    """Bytes of read-only data of the arrays, as the map file of a linked image has them."""

    processor: str
    compiler: str
    flash: int


def there() -> bool:
    """Whether the compiler is installed."""
    return shutil.which(COMPILER) is not None


def compiled(folder: Path, sources: Sequence[str]) -> list[Compiled]:
    """Compile for each processor, with warnings as errors; nothing where there is no compiler.

    Args:
        folder: With the sources.
        sources: C files in it.

    Raises:
        InputError: They do not compile without warnings.
    """
    if not there():
        return []
    version = subprocess.run([COMPILER, "-dumpversion"], capture_output=True, text=True, check=True).stdout.strip()
    return [
        Compiled(processor, f"{COMPILER} {version}", _linked(folder, sources, processor)) for processor in PROCESSORS
    ]


def _linked(folder: Path, sources: Sequence[str], processor: str) -> int:
    with tempfile.TemporaryDirectory(prefix="optkit-") as scratch:
        user, listing = Path(scratch) / "user.c", Path(scratch) / "image.map"
        user.write_text(_USER, encoding="utf-8")
        command = [COMPILER, f"-mcpu={processor}", "-mthumb", "-std=c99", "-Os", "-Wall", "-Wextra", "-Wpedantic"]
        command += ["-Werror", "-ffunction-sections", "-fdata-sections", "-nostdlib", f"-I{folder}"]
        command += [f"-Wl,-Map={listing}", "-Wl,--gc-sections", "-Wl,-emain", "-o", str(Path(scratch) / "image.elf")]
        done = subprocess.run(
            [*command, str(user), *(str(folder / source) for source in sources)],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode:
            raise InputError(
                f"the C files do not compile for {processor} without a warning: {' '.join(done.stderr.split())[:300]}"
            )
        return sum(int(size, 16) for size in _SECTION.findall(listing.read_text(encoding="utf-8")))
