"""Slims one file, or holds two against each other, in this process: a file from elsewhere may crash its reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from optkit import registry, slimming
from optkit.measure.one_answer import answer, say
from optkit.verify import identity


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Do the job: ``slim``, or ``compare`` with ``other``.

    Raises:
        InputError: The file cannot be read, slimmed, opened, fed or run.
    """
    path = Path(job["file"])
    if job["do"] == "slim":
        return _slim(path, job)
    images = None if job["images"] is None else np.load(job["images"], mmap_mode="r", allow_pickle=False)

    def on_step(which: identity.Which) -> None:
        say({"event": "running", "which": which})

    found = identity.compare(path, Path(job["other"]), images=images, on_step=on_step)
    return {"identity": msgspec.to_builtins(found)}


def _slim(path: Path, job: dict[str, Any]) -> dict[str, Any]:
    content, file_format = path.read_bytes(), registry.format_of(path)
    merged = slimming.Slimmed(content)
    if job["merge"]:
        merged = slimming.merge_scales(content, file_format)
    slimmed = slimming.slim(merged.content, file_format, keep=job["keep"])
    Path(job["to"]).write_bytes(slimmed.content)
    return {"saved": slimmed.saved, "notes": slimmed.notes, "merge_notes": merged.notes}


if __name__ == "__main__":
    answer(run)
