"""What kind of Keras file a path is, from its first bytes and headers; nothing in it is run or loaded."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from optkit.errors import InputError
from optkit.keras_models import _limits
from optkit.keras_models._members import check_sum, open_member

if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal["archive", "h5 model", "h5 weights", "saved model"]

_ZIP = b"PK\x03\x04"
_HDF5 = b"\x89HDF\r\n\x1a\n"
CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MOST_METADATA_BYTES = 1 << 20
EXPECTED = "a .keras or .h5 file of a whole model, a weights file with --baseline, or a SavedModel folder"


@dataclass(frozen=True)
class Found:
    """What a path turned out to be.

    Attributes:
        kind: ``archive`` (``.keras``), a whole model or weights in HDF5, or a SavedModel folder.
        version: The Keras version that wrote it; empty where it does not say.
        config: The model's configuration; ``None`` for weights and SavedModels.
        elements: Numbers that its weights and optimizer state hold; 0 for SavedModels.
        legacy: Weights are listed by layer, as Keras did before ``.weights.h5``.
    """

    kind: Kind
    version: str = ""
    config: dict[str, Any] | None = None
    elements: int = 0
    legacy: bool = False

    @property
    def generation(self) -> int:
        """2 for files of tf_keras and of Keras before 3.0, else 3."""
        return 3 if self.version.partition(".")[0] == "3" else 2

    @property
    def source(self) -> str:
        """The kind in words."""
        if self.kind == "saved model":
            return "TensorFlow SavedModel"
        if self.kind == "h5 weights":
            return "Keras .h5 weights" if self.legacy else "Keras .weights.h5"
        return f"Keras {self.generation} {'.keras' if self.kind == 'archive' else '.h5'}"


def identify(path: Path) -> Found:
    """Tell what a path is, and refuse what no honest model file declares.

    Raises:
        InputError: Nothing is there, it is no Keras model, or it is damaged or hostile.
    """
    try:
        if path.is_dir():
            return _folder(path)
        with path.open("rb") as stream:
            start = stream.read(len(_HDF5))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path and its permissions") from error
    try:
        if start.startswith(_ZIP):
            return _archive(path)
        if start == _HDF5:
            return _hdf5(path)
    except InputError:
        raise
    except Exception as error:
        # zipfile, zlib and HDF5 report damage in many ways.
        raise _limits.damaged(path, f"{type(error).__name__}: {error}") from error
    raise InputError(f"expected {EXPECTED}, found {'an empty file' if not start else 'something else'} at {path}")


def _folder(path: Path) -> Found:
    if (path / "saved_model.pb").is_file():
        return Found("saved model")
    if (path / CONFIG).is_file():
        raise InputError(f"{path} is an unpacked .keras archive; save the model again with model.save('NAME.keras')")
    raise InputError(f"expected {EXPECTED}; the folder {path} holds no saved_model.pb")


def _archive(path: Path) -> Found:
    import h5py

    if path.suffix != ".keras":
        raise InputError(f"{path} is a zip archive but is not named .keras; rename it if it is a Keras model")
    with zipfile.ZipFile(path) as archive:
        _limits.check_archive(archive, path)
        names = set(archive.namelist())
        if missing := [name for name in (CONFIG, METADATA, WEIGHTS) if name not in names]:
            raise _limits.damaged(path, f"the archive lacks {missing[0]}")
        if assets := sorted(name for name in names if name.startswith("assets/") and not name.endswith("/")):
            raise InputError(
                f"{path} keeps files for its layers ({assets[0]}), as text lookup layers do: optkit has no use for "
                "them; cut these layers off, or export a SavedModel without them"
            )
        if archive.getinfo(METADATA).file_size > MOST_METADATA_BYTES:
            raise _limits.refused(path, f"its {METADATA} takes {archive.getinfo(METADATA).file_size:,} bytes")
        if archive.getinfo(CONFIG).file_size > _limits.MOST_CONFIG_BYTES:
            raise _limits.refused(path, f"its {CONFIG} takes {archive.getinfo(CONFIG).file_size:,} bytes")
        metadata = json.loads(archive.read(METADATA))
        config = _limits.parse_config(archive.read(CONFIG), path)
        # Keras itself takes weights whose bits have changed.
        check_sum(archive, WEIGHTS)
        with open_member(archive, path, WEIGHTS) as stream, h5py.File(stream, "r") as weights:
            elements = _limits.check_h5(weights, path)
    version = str(metadata["keras_version"])
    # Nothing of the optimizer, loss or metrics is used.
    config.pop("compile_config", None)
    return Found("archive", version, config, elements)


def _hdf5(path: Path) -> Found:
    import h5py

    if path.suffix not in {".h5", ".hdf5"}:
        raise InputError(f"{path} is an HDF5 file but is not named .h5; rename it if it is a Keras model")
    with h5py.File(path, "r") as file:
        elements = _limits.check_h5(file, path)
        version = _text(file.attrs.get("keras_version"))
        if "model_config" in file.attrs and "model_weights" in file:
            return Found("h5 model", version, _limits.parse_config(_text(file.attrs["model_config"]), path), elements)
        if "layer_names" in file.attrs:
            return Found("h5 weights", version, None, elements, legacy=True)
        if "layers" in file or "_layer_checkpoint_dependencies" in file:
            # Later releases of tf_keras write what Keras 3 does.
            generation = "2" if "_layer_checkpoint_dependencies" in file else "3"
            return Found("h5 weights", version or generation, None, elements)
    raise InputError(f"expected {EXPECTED}; the HDF5 file {path} holds neither a Keras model nor its weights")


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else "" if value is None else str(value)
