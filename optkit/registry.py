"""Finds plug-ins by file name: one module, one plug-in, no list to edit.

A plug-in is a module of one of the packages in ``KINDS`` whose file name has no leading underscore. Its name is
the file name with ``_`` written as ``-``. What a plug-in must define is in ``KINDS`` and checked when it is
loaded; what it must do is checked by the conformance tests.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

from optkit.errors import InputError, InternalError, nearest

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

KINDS: dict[str, tuple[str, ...]] = {
    "data": ("SUMMARY", "SOURCE", "load"),
    "baselines": ("SUMMARY", "SOURCE", "NETWORK", "TRAINING"),
    "techniques": ("SUMMARY", "SOURCE", "Params", "apply", "ensures", "requires"),
    "exporters": ("SUMMARY", "SOURCE", "FORMAT", "PRECISIONS", "export", "unsupported"),
    "runtimes": ("SUMMARY", "SOURCE", "FORMAT", "open_model", "version"),
    "readback": ("SUMMARY", "SOURCE", "FORMAT", "read"),
    "bundle": ("SUMMARY", "SOURCE", "FORMATS", "refuse", "write", "prove"),
    "slimming": ("SUMMARY", "SOURCE", "FORMAT", "KEEPS", "slim"),
    "engines": ("SUMMARY", "SOURCE", "OPTIONS", "open_engine"),
    "codegen": ("SUMMARY", "SOURCE", "KIND", "VERSIONS", "IGNORED", "lower"),
}


@cache
def names(kind: str) -> tuple[str, ...]:
    """Names of all plug-ins of a kind, sorted."""
    package = importlib.import_module(f"optkit.{kind}")
    found = (m.name for m in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(name.replace("_", "-") for name in found if not name.startswith("_")))


def load(kind: str, name: str) -> ModuleType:
    """The plug-in module of that name.

    Raises:
        InputError: No plug-in of this kind has that name.
        InternalError: The module lacks a name that its kind must define.
    """
    if name not in names(kind):
        raise InputError(f"unknown {kind.rstrip('s')} {name!r}: {nearest(name, list(names(kind)))}")
    module = importlib.import_module(f"optkit.{kind}.{name.replace('-', '_')}")
    missing = [wanted for wanted in KINDS[kind] if not hasattr(module, wanted)]
    if missing:
        raise InternalError(f"plug-in optkit.{kind}.{name} does not define {', '.join(missing)}")
    return module


def by_format(kind: str, file_format: str) -> ModuleType:
    """The plug-in of a kind whose ``FORMAT`` is this file format (``tflite``, ``onnx``), the usual one.

    One that says ``BESIDE`` is taken only where it is named.

    Raises:
        InputError: No plug-in handles the format.
    """
    for name in names(kind):
        module = load(kind, name)
        if file_format == module.FORMAT and not getattr(module, "BESIDE", False):
            return module
    raise InputError(f"unknown format {file_format!r}: {nearest(file_format, formats())}")


def format_of(path: Path) -> str:
    """What a file's name says that it is: ``tflite`` for ``A.tflite`` and ``A.TFLITE``, empty without an ending."""
    return path.suffix.lower().lstrip(".")


def formats() -> list[str]:
    """File formats that an exporter writes, sorted."""
    return sorted({load("exporters", name).FORMAT for name in names("exporters")})
