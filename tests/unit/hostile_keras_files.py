"""Keras files made by hand, honest and hostile ones, without Keras."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def layer(class_name: str, name: str, **config: Any) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": class_name, "config": {"name": name, **config}}


def model(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"module": "keras", "class_name": "Sequential", "config": {"name": "net", "layers": list(layers)}}


HONEST = model(layer("InputLayer", "image", batch_shape=[None, 4]), layer("Dense", "dense", units=3))


def weights(fill: Callable[[h5py.File], object] | None = None) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        variables = file.create_group("layers/dense/vars")
        variables["0"], variables["1"] = np.ones((4, 3), np.float32), np.zeros(3, np.float32)
        if fill:
            fill(file)
    return stream.getvalue()


def keras_file(path: Path, config: Any = None, *, version: str = "3.15.0", **members: bytes | None) -> Path:
    """A ``.keras`` archive; members by name replace the usual ones, ``None`` leaves one out."""
    text = config if isinstance(config, str) else json.dumps(HONEST if config is None else config)
    contents: dict[str, bytes | None] = {
        "metadata.json": json.dumps({"keras_version": version}).encode(),
        "config.json": text.encode(),
        "model.weights.h5": weights(),
        **members,
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def h5_model(path: Path, config: Any = None, *, version: str = "2.15.0") -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = version
        file.attrs["backend"] = ""
        file.attrs["model_config"] = json.dumps(HONEST if config is None else config)
        file.create_dataset("model_weights/dense/kernel:0", data=np.ones((4, 3), np.float32))
    return path


# Each writes into an HDF5 file what must not be there.


def declares_a_tebi(file: h5py.File) -> None:
    file.create_dataset("layers/dense/vars/2", shape=(2**40,), dtype="f4")


def expands(file: h5py.File) -> None:
    file.create_dataset(
        "layers/dense/vars/2", shape=(2**33,), dtype="f4", chunks=(2**16,), compression="gzip", fillvalue=1
    )


def in_huge_pieces(file: h5py.File) -> None:
    file.create_dataset("layers/dense/vars/2", shape=(10,), maxshape=(None,), dtype="f4", chunks=(2**29,))


def links_to_a_file(file: h5py.File) -> None:
    file["layers/dense/vars/2"] = h5py.ExternalLink("/etc/hostname", "/")


def links_elsewhere(file: h5py.File) -> None:
    file["layers/dense/vars/2"] = h5py.SoftLink("/layers")


def reads_a_file(file: h5py.File) -> None:
    file.create_dataset("layers/dense/vars/2", shape=(4,), dtype="u1", external=[("/etc/hostname", 0, 4)])


def reads_a_data_set(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="u1")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", shape=(4,))
    file.create_virtual_dataset("layers/dense/vars/2", layout)


def holds_texts(file: h5py.File) -> None:
    file["layers/dense/vars/2"] = ["a", "bc"]


def goes_in_circles(file: h5py.File) -> None:
    """Hard links that lead back are harmless, as long as nobody follows them for ever."""
    file["layers/dense/vars/again"] = file["layers"]


HOSTILE_WEIGHTS = {
    "declares 1,099,511,627,776 elements": declares_a_tebi,
    "declares 8,589,934,592 elements": expands,
    "pieces of 536,870,912": in_huge_pieces,
    "link to another place": links_to_a_file,
    "is a link": links_elsewhere,
    "stand in another file": reads_a_file,
    "in another file": reads_a_data_set,
    "expected numbers": holds_texts,
}
