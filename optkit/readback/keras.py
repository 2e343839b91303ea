"""Reads a .keras file without Keras: its layers from the configuration, its tensors from the weights file."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from optkit.errors import InputError
from optkit.keras_models import detect
from optkit.keras_models._members import open_member
from optkit.readback import Constant, ModelFacts, Operator

if TYPE_CHECKING:
    from pathlib import Path

SUMMARY = "Keras archives: layers from config.json, tensors from model.weights.h5; nothing in them is run."
SOURCE = "https://keras.io/api/models/model_saving_apis/model_saving_and_loading/"
FORMAT = "keras"
_KERNELS = {"kernel", "depthwise_kernel", "pointwise_kernel", "embeddings"}
_DAMAGE = (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, zipfile.BadZipFile)


def read(path: Path) -> ModelFacts:
    """Read a ``.keras`` file.

    Returns:
        Its facts: one operator for each layer, whose arithmetic is not told; the optimizer's state is among the
        constants with the role ``other``. Ports are not in the file and stay empty.

    Raises:
        InputError: The file is missing, damaged, hostile, or no such archive.
    """
    import h5py

    found = detect.identify(path)
    if found.kind != "archive" or found.config is None:
        raise InputError(f"expected a .keras file; {path} is a {found.source}; convert it, or name what it is")
    try:
        size = path.stat().st_size
        layers = found.config["config"].get("layers", [])
        constants: list[Constant] = []
        with (
            zipfile.ZipFile(path) as archive,
            open_member(archive, path, detect.WEIGHTS) as stream,
            h5py.File(stream, "r") as tree,
        ):
            tree.visititems(lambda name, node: _collect(name, node, constants))
        operators = tuple(Operator(one["class_name"], _name(one), None, (), ()) for one in layers)
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"expected a .keras file; {path} is none or damaged ({reason}); save the model again"
        ) from error
    return ModelFacts(
        format=FORMAT, file_bytes=size, inputs=(), outputs=(), operators=operators, constants=tuple(constants)
    )


def _name(layer: dict[str, Any]) -> str:
    return str(layer.get("config", {}).get("name", ""))


def _collect(name: str, node: Any, constants: list[Constant]) -> None:
    if not hasattr(node, "dtype"):
        return
    values = np.asarray(node)
    of_optimizer = name.startswith("optimizer")
    # Files of Keras 3 number the variables of a layer; a kernel has more axes than a bias.
    last = name.rsplit("/", 1)[-1].partition(":")[0]
    is_kernel = last in _KERNELS or (last.isdigit() and values.ndim >= 2)
    role = "other" if of_optimizer else "weight" if is_kernel else "bias" if values.ndim == 1 else "other"
    constants.append(
        Constant(
            name=name,
            role=role,
            operator=-1,
            dtype=values.dtype.name,
            values=values,
            channel_axis=values.ndim - 1 if role == "weight" else None,
            scales=(),
            zero_points=(),
            file_bytes=int(values.nbytes),
        )
    )
