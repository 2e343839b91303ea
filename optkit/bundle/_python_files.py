"""A folder that runs with Python on Linux: programs, pages, and examples of a container and a unit."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from optkit.bundle import _device_files, _documents

if TYPE_CHECKING:
    from pathlib import Path

    from optkit.bundle import Subject

_UNIT = "optkit-selftest.service"


def write(subject: Subject, folder: Path, model: str, notes: str = "") -> dict[str, Any]:
    """Write everything but the model.

    Args:
        subject: The model.
        folder: The bundle.
        model: Name of the model file in it.
        notes: What the README has to say besides.

    Returns:
        For the manifest.
    """
    _device_files.write(subject, folder, model)
    tolerance = _device_files.tolerance(subject)
    pages = {
        "README.md": _documents.filled(
            "linux_readme.md.j2",
            name=subject.name,
            model=model,
            example=_device_files.EXAMPLE if (folder / _device_files.EXAMPLE).is_file() else "test/images.npy",
            count=len(subject.chosen()),
            unit=_UNIT,
            promise=_promise(tolerance, whole=(folder / "test" / "exact.npy").is_file()),
            notes=notes,
        ),
        "MODEL_CARD.md": _documents.model_card(subject),
        "Dockerfile": _documents.filled(
            "Dockerfile.j2",
            image=_device_files.plain_name(subject.name),
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
        ),
        _UNIT: _documents.filled("selftest.service.j2", name=subject.name, unit=_UNIT),
    }
    for name, content in pages.items():
        (folder / name).write_text(content, encoding="utf-8")
    return {"tolerance": tolerance, "runtime_packages": [_device_files.RUNTIMES[subject.format]]}


def _promise(tolerance: dict[str, Any], *, whole: bool) -> str:
    if whole:
        return (
            "equal bit for bit to those where the bundle was made with LiteRT's reference kernels, within "
            f"{tolerance['absolute']:g} steps\nwith the fast ones (they round by processor), and all answers the same"
        )
    return f"within {tolerance['absolute']:g} of those where the bundle was made, and all answers the same"
