"""``python -m benchmarks NAME``: run one benchmark and write its result to ``benchmarks/results``."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from pathlib import Path


def main() -> int:
    """Dispatch by file name: a module of this package with a ``run`` function is a benchmark."""
    here = Path(__file__).parent
    names = sorted(module.name for module in pkgutil.iter_modules([str(here)]) if not module.name.startswith("_"))
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("name", choices=names)
    parser.add_argument("parts", nargs="*", help="only these parts of the benchmark, where it has parts")
    given = parser.parse_args()
    failed: list[str] = importlib.import_module(f"benchmarks.{given.name}").run(here / "results", given.parts)
    for line in failed:
        sys.stderr.write(f"not reached: {line}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
