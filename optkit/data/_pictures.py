"""Pictures as arrays: decoded, and brought to the size and channels that were declared."""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING

import numpy as np

from optkit.data._files import open_regular
from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PIL import Image

    from optkit.data import Examples
    from optkit.problem import Preprocessing

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".pgm", ".ppm")
# No other decoder is tried on a stranger's file.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "PPM")
# Of a picture's file; a raw picture of Pillow's limit of 89 million pixels has 268 MB.
_MOST_FILE_BYTES = 512 << 20
_GREY_MODES = {"1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N"}
_COLOUR_MODES = {"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}


class Pictures:
    """Pictures in files, decoded when they are asked for: uint8 [n, height, width, 1 or 3].

    The first one's shape is that of all, once ``--resize`` and ``--channels`` are applied.

    Args:
        folder: Where the files are.
        names: Their paths in it, at least one; texts, since there may be millions.
        preprocessing: Of which ``resize`` and ``channels`` are applied.

    Raises:
        InputError: The first cannot be read; later, any other cannot, or has another shape.
    """

    def __init__(self, folder: Path, names: Sequence[str], preprocessing: Preprocessing | None) -> None:
        self._folder, self._names, self._preprocessing = folder, names, preprocessing
        self.dtype = np.dtype(np.uint8)
        self.shape = (len(names), *read_picture(folder / names[0], preprocessing).shape)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, chosen: slice | np.ndarray) -> np.ndarray:
        positions = np.arange(len(self._names))[chosen]
        found = np.empty((len(positions), *self.shape[1:]), np.uint8)
        for row, position in enumerate(positions):
            found[row] = self._picture(self._folder / self._names[position])
        return found

    def _picture(self, path: Path) -> np.ndarray:
        picture = read_picture(path, self._preprocessing)
        if picture.shape == self.shape[1:]:
            return picture
        first, other, first_path = self.shape[1:], picture.shape, self._folder / self._names[0]
        if first[:2] != other[:2]:
            raise InputError(
                f"pictures differ in size: {first_path} has {first[0]}×{first[1]} (height×width), {path} "
                f"{other[0]}×{other[1]}; bring them to one with --resize {first[0]}x{first[1]}"
            )
        kinds = {1: "grey", 3: "in colour"}
        raise InputError(
            f"{first_path} is {kinds[first[2]]}, {path} {kinds[other[2]]}; bring them to one kind with "
            "--channels grey or --channels rgb"
        )


class _Brought:
    """Pictures in an array, each brought to the declared size and channels when it is asked for."""

    def __init__(self, images: Examples, preprocessing: Preprocessing) -> None:
        self._images, self._preprocessing = images, preprocessing
        self.dtype = np.dtype(np.uint8)
        self.shape = (len(images), *self[:1].shape[1:])

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, chosen: slice | np.ndarray) -> np.ndarray:
        from PIL import Image

        raw = self._images[chosen]
        if raw.ndim == 4 and raw.shape[-1] == 1:
            raw = raw[..., 0]
        pictures = [_bring(Image.fromarray(np.ascontiguousarray(one)), self._preprocessing) for one in raw]
        return np.stack(pictures) if pictures else np.empty((0, *self.shape[1:]), np.uint8)


def brought(images: Examples, preprocessing: Preprocessing | None, where: str) -> Examples:
    """Images of an array in the declared size and channels; ``Pictures`` have them already.

    Raises:
        InputError: Something is declared, and they are no pictures of whole numbers from 0 to 255.
    """
    if preprocessing is None or not _changes(preprocessing) or isinstance(images, Pictures):
        return images
    if images.dtype.names:
        # ``check_preprocessing`` says why.
        return images
    shape = images.shape
    if images.dtype != np.uint8 or not (len(shape) == 3 or (len(shape) == 4 and shape[-1] in {1, 3})):
        raise InputError(
            "--resize and --channels expect pictures, uint8 [n, height, width] or [n, height, width, 1 or 3], found "
            f"{images.dtype} {list(shape)} in {where}; leave them out, or store the images so"
        )
    return _Brought(images, preprocessing)


def brought_sha256(sha256: str, preprocessing: Preprocessing) -> str:
    """What names the content of pictures once they are brought to the declared size and channels."""
    if not _changes(preprocessing):
        return sha256
    return hashlib.sha256(f"{sha256} {preprocessing.resize} {preprocessing.channels}".encode()).hexdigest()


def _changes(preprocessing: Preprocessing) -> bool:
    return preprocessing.resize is not None or preprocessing.channels != "as they are"


def read_picture(path: Path, preprocessing: Preprocessing | None = None) -> np.ndarray:
    """Decode one picture.

    Transparency is dropped, palettes become colours, 16-bit grey becomes 8-bit, so that values are 0 to 255 whatever
    the file holds. The orientation that a camera notes (EXIF) is left alone, as Keras' and TensorFlow's own readers
    do: a model sees pictures as its training did.

    Args:
        path: A PNG, JPEG, BMP, WebP, PGM or PPM file.
        preprocessing: Of which ``resize`` and ``channels`` are applied.

    Returns:
        uint8 [height, width, 1 or 3].

    Raises:
        InputError: It is no such picture, damaged, or has more pixels than Pillow's limit (89 million).
    """
    from PIL import Image, UnidentifiedImageError

    with open_regular(path, what="picture") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        if file.seek(0, 2) > _MOST_FILE_BYTES:
            raise InputError(f"expected a picture of at most {_MOST_FILE_BYTES >> 20} MiB, found more in {path}")
        file.seek(0)
        try:
            with Image.open(file, formats=FORMATS) as image:
                image.load()
                return _bring(image, preprocessing)
        except UnidentifiedImageError:
            raise InputError(
                f"expected a picture in {path}, found something else; take it out, or save it again as PNG"
            ) from None
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise InputError(
                f"{path} says that it has more pixels than a picture may have ({_short(error)}); make it smaller"
            ) from error
        except Exception as error:
            # Pillow's readers raise whatever the damage makes them stumble over.
            raise InputError(
                f"the picture {path} is damaged ({_short(error)}); take it out of the folder, or save it again"
            ) from error


def _bring(image: Image.Image, preprocessing: Preprocessing | None) -> np.ndarray:
    """uint8 [height, width, channels] in the declared size and channels.

    Raises:
        ValueError: It has numbers that are no grey values or colours.
    """
    from PIL import Image

    channels = "as they are" if preprocessing is None else preprocessing.channels
    if image.mode not in _GREY_MODES | _COLOUR_MODES:
        raise ValueError(f"pixels of the kind {image.mode} are neither grey values nor colours")
    if image.mode.startswith("I"):
        # 16 bits: 65535 becomes 255.
        image = Image.fromarray((np.clip(np.asarray(image, np.int64), 0, 65535) // 257).astype(np.uint8))
    grey = channels == "grey" or (channels == "as they are" and image.mode in _GREY_MODES)
    if image.mode in {"P", "PA", "1"}:
        # A palette may have grey values only; what counts is what the picture is stored as.
        image = image.convert("RGB")
    image = image.convert("L" if grey else "RGB")
    if preprocessing is not None and preprocessing.resize is not None:
        height, width = preprocessing.resize
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    if channels == "bgr":
        pixels = pixels[..., ::-1]
    return pixels[..., None] if grey else pixels


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
