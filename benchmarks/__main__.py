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
    # A benchmark may have options of its own, which its run() takes by name.
    if sys.argv[1:2] and sys.argv[1] in names:
        getattr(importlib.import_module(f"benchmarks.{sys.argv[1]}"), "add_arguments", lambda _: None)(parser)
    given = vars(parser.parse_args())
    module, parts = importlib.import_module(f"benchmarks.{given.pop('name')}"), given.pop("parts")
    failed: list[str] = module.run(here / "results", parts, **given)
    for line in failed:
        sys.stderr.write(f"not reached: {line}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
