"""The front: the smallest, most accurate MNIST files that stock LiteRT runs, trained from nothing by one command.

Networks are chosen on validation images and their augmented copies; a file sees the test images once, when it is
delivered, and every such look is logged. What is trained is kept in ``.bench/pareto``, so that a run that was stopped
goes on. ``--seeds N`` trains so many of each network.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from benchmarks._files import CACHE
from benchmarks.pareto import choose, outcome, page
from benchmarks.pareto.jobs import make_all

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

SEEDS = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N", help=f"of each network (default {SEEDS})")


def run(results: Path, names: list[str], *, seeds: int = SEEDS, cache: Path = CACHE / "pareto") -> list[str]:  # noqa: ARG001  # a benchmark's signature
    """Make, choose, look at the test images once for each new file, time, and write.

    Args:
        results: Folder of the benchmarks' results; the front's is ``pareto`` beside it.
        names: None.
        seeds: Trained networks of each kind.
        cache: Where what is made is kept.

    Returns:
        A line for each promise that was not kept.
    """
    made = make_all(cache, range(seeds))
    chosen = choose.chosen([known for _, known in made.files])
    folder = results.parent / "pareto"
    files = folder / "files"
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir(parents=True)
    paths = {known.sha256: path for path, known in made.files}
    for place, known in chosen.items():
        shutil.copyfile(paths[known.sha256], files / choose.file_name(place))
    failed = outcome.write(folder, chosen, made)
    page.write(folder)
    return failed
