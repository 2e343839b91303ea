"""A picture as people have it to what a model takes: opened, upright, as many channels and as large as it wants.

Every change is told in words, since a wrong answer is more often the picture's doing than the model's.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from optkit.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from optkit.device.ports import Port

# More than any camera gives; a file of a few bytes can declare more than there is memory for.
MOST_PIXELS = 100_000_000
_MOST_FILE_BYTES = 256 * 2**20
# No other decoder is tried on a stranger's file.
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "PPM")
_ORIENTATION = 0x0112
# MNIST: digits are scaled into a box of 20×20 and centred by their mass in 28×28 (LeCun et al., 1998).
DIGIT_SIDE, DIGIT_BOX = 28, 20
# Enough to find a digit on; larger ones only cost memory.
_LARGEST_SHEET = 1500
# Where the border is brighter than this share of the range it is paper and not night.
_BRIGHT = 0.5
# Ink is what differs from the background by more than this share of the range: scans have noise.
_INK = 0.2


class Wanted(NamedTuple):
    """What a model takes: rows, columns, channels (1 or 3), and whether blue comes first."""

    height: int
    width: int
    channels: int
    bgr: bool = False

    @property
    def is_digit(self) -> bool:
        """Whether it is the shape of MNIST, where ink is bright on dark."""
        return (self.height, self.width, self.channels) == (DIGIT_SIDE, DIGIT_SIDE, 1)


def wanted_by(port: Port, *, resize: tuple[int, int] | None, channels: str) -> Wanted:
    """What a model's input takes.

    Args:
        port: The input.
        resize: Declared height and width; needed where the input has dynamic ones.
        channels: Declared channels, see ``Preprocessing.channels``.

    Raises:
        InputError: It takes no pictures.
    """
    axes = port.shape[1:]
    shape: tuple[int, int, int] | None = None
    if len(axes) == 3:
        # Channels are the axis of 1 or 3; last where both could be.
        shape = axes if axes[2] in {1, 3, -1} or axes[0] not in {1, 3} else (axes[1], axes[2], axes[0])
    elif len(axes) == 2:
        shape = (*axes, 1)
    elif len(axes) == 1 and axes[0] > 0:
        side = math.isqrt(axes[0])
        colour = math.isqrt(axes[0] // 3)
        shape = (side, side, 1) if side**2 == axes[0] else (colour, colour, 3) if 3 * colour**2 == axes[0] else None
    if shape is None:
        raise InputError(
            f"expected a model that takes pictures; its input {port.name!r} takes {list(port.shape)}, which is none"
        )
    height, width, depth = shape
    if resize is not None:
        if (height > 0 and height != resize[0]) or (width > 0 and width != resize[1]):
            raise InputError(
                f"pictures are to be resized to {resize[0]}×{resize[1]}, the model takes {height}×{width}; "
                f"give --resize {height}x{width}"
            )
        height, width = resize
    if min(height, width) < 1:
        raise InputError(f"the model takes pictures of any size ({list(port.shape)}); say which with --resize HxW")
    depth = depth if depth > 0 else 1 if channels == "grey" else 3
    if depth not in {1, 3}:
        raise InputError(f"expected a model of grey or colour pictures; this one takes {depth} channels")
    return Wanted(height, width, depth, bgr=channels == "bgr")


def prepared(path: Path, wanted: Wanted, *, stretch: bool, invert: bool | None) -> tuple[np.ndarray, list[str]]:
    """Read a picture and bring it to what the model takes.

    Args:
        path: A PNG or JPEG file, or another that Pillow reads.
        wanted: What the model takes.
        stretch: Bring it to the size without keeping its aspect, as declared preprocessing does; otherwise its middle
            is taken.
        invert: Swap dark and bright; decided by the border where ``None`` (only for models of MNIST's shape).

    Returns:
        Raw values float32 [height, width, channels], 0 to 255, and what was done in words.

    Raises:
        InputError: It is no picture, or a damaged or too large one.
    """
    import numpy as np

    picture, done = _opened(path)
    picture, more = _in_channels(picture, wanted.channels)
    done += more
    if wanted.is_digit:
        if max(picture.size) > _LARGEST_SHEET:
            was = f"{picture.width}×{picture.height}"
            picture = picture.copy()
            picture.thumbnail((_LARGEST_SHEET, _LARGEST_SHEET))
            done.append(f"brought from {was} to {picture.width}×{picture.height}")
        values = np.asarray(picture, np.float32)
        values, more = _bright_on_dark(values, invert=invert)
        done += more
        if values.shape != (DIGIT_SIDE, DIGIT_SIDE):
            values, more = _digit(values)
            done += more
        return values[..., None], done
    if (picture.height, picture.width) != (wanted.height, wanted.width):
        picture, more = _in_size(picture, wanted, stretch=stretch)
        done += more
    values = np.asarray(picture, np.float32).reshape(wanted.height, wanted.width, wanted.channels)
    if invert:
        values = 255 - values
        done.append("inverted")
    return values[..., ::-1] if wanted.bgr else values, done


def _opened(path: Path) -> tuple[Any, list[str]]:
    _check(path)
    try:
        picture, turned = _decoded(path)
    except InputError:
        raise
    except Exception as error:
        # Pillow's readers raise whatever the damage makes them stumble over.
        reason = " ".join(str(error).replace(repr(str(path)), "").replace(str(path), "").split())[:120]
        raise InputError(f"expected a PNG or JPEG picture; {path} is none or damaged ({reason})") from error
    return picture, ["turned as its EXIF note says"] if turned else []


def _check(path: Path) -> None:
    try:
        there, size = path.is_file(), path.stat().st_size
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"expected a PNG or JPEG picture, found none at {path}: {reason}") from error
    if not there:
        raise InputError(f"expected a PNG or JPEG picture, found {'a folder' if path.is_dir() else 'no file'}: {path}")
    if not size or size > _MOST_FILE_BYTES:
        raise InputError(f"expected a PNG or JPEG picture, {path} {f'has {size:,} bytes' if size else 'is empty'}")


def _decoded(path: Path) -> tuple[Any, bool]:
    """The picture, and whether it was turned."""
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        # A picture with many pixels is judged here, and not with a warning on the screen.
        warnings.simplefilter("ignore")
        with Image.open(path, formats=_FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise InputError(f"{path} declares {picture.width}×{picture.height} pixels, more than are read")
            picture.load()
            return ImageOps.exif_transpose(picture), picture.getexif().get(_ORIENTATION, 1) not in {0, 1}


def _in_channels(picture: Any, channels: int) -> tuple[Any, list[str]]:
    """Grey or colour, on white where it is transparent."""
    import numpy as np
    from PIL import Image

    done = []
    if picture.mode.startswith(("I", "F")):
        values = np.asarray(picture, np.float64)
        # 16 bits, where the largest value is 65,535.
        top = 65_535 if values.max(initial=0) > 255 else 255
        picture = Image.fromarray(np.clip(values * (255 / top), 0, 255).astype(np.uint8))
        done.append("16 bits brought to 8" if top > 255 else "brought to 8 bits")
    if picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        if picture.getextrema()[3][0] < 255:
            done.append("put on white where it is transparent")
        ground = Image.new("RGBA", picture.size, "white")
        ground.alpha_composite(picture)
        picture = ground.convert("RGB")
    if channels == 1 and picture.mode != "L":
        colours = picture.convert("RGB")
        bands = np.asarray(colours)
        if (bands != bands[..., :1]).any():
            done.append("made grey")
        picture = colours.convert("L")
    elif channels == 3 and picture.mode != "RGB":
        if picture.mode in {"L", "1"}:
            done.append("grey in all three channels")
        picture = picture.convert("RGB")
    return picture, done


def _bright_on_dark(values: np.ndarray, *, invert: bool | None) -> tuple[np.ndarray, list[str]]:
    """MNIST's way: the border tells whether it is ink on paper."""
    if invert is not None:
        return (255 - values, ["inverted, as asked"]) if invert else (values, ["not inverted, as asked"])
    if border(values) > 255 * _BRIGHT:
        return 255 - values, ["taken as black on white: inverted"]
    return values, ["taken as white on black"]


def border(values: np.ndarray) -> float:
    """Median of the outermost rows and columns: ink that touches the edge does not sway it."""
    import numpy as np

    return float(np.median(np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])))


def _digit(values: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """As MNIST was made: the ink cut out, scaled into 20×20, its centre of mass in the middle of 28×28."""
    import numpy as np
    from PIL import Image

    height, width = values.shape
    ground = border(values)
    top = float(values.max())
    ink = np.clip((values - ground) / max(top - ground, 1e-9), 0, 1) if top - ground > 255 * _INK else None
    marks = np.argwhere(ink > _INK) if ink is not None else np.zeros((0, 2), int)
    if ink is None or not len(marks):
        small = Image.fromarray(values).resize((DIGIT_SIDE, DIGIT_SIDE), Image.Resampling.BILINEAR)
        return np.asarray(small, np.float32), [f"no digit found in {width}×{height}: squeezed to 28×28"]
    (low_y, low_x), (high_y, high_x) = marks.min(axis=0), marks.max(axis=0) + 1
    cut = (ink[low_y:high_y, low_x:high_x] * 255).astype(np.float32)
    scale = DIGIT_BOX / max(cut.shape)
    rows, columns = (max(1, round(side * scale)) for side in cut.shape)
    scaled = np.asarray(Image.fromarray(cut).resize((columns, rows), Image.Resampling.BILINEAR), np.float32)
    total = max(float(scaled.sum()), 1e-9)
    centre_y = float((scaled.sum(axis=1) * np.arange(rows)).sum()) / total
    centre_x = float((scaled.sum(axis=0) * np.arange(columns)).sum()) / total
    # MNIST's digits have their centre of mass at row and column 14.0, counted from 0 (mean of its test set: 13.98).
    start_y = min(max(0, round(DIGIT_SIDE / 2 - centre_y)), DIGIT_SIDE - rows)
    start_x = min(max(0, round(DIGIT_SIDE / 2 - centre_x)), DIGIT_SIDE - columns)
    framed = np.zeros((DIGIT_SIDE, DIGIT_SIDE), np.float32)
    framed[start_y : start_y + rows, start_x : start_x + columns] = scaled
    found = f"digit of {high_x - low_x}×{high_y - low_y} pixels found in {width}×{height}"
    return framed, [f"{found}, scaled into 20×20 and centred as in MNIST"]


def _in_size(picture: Any, wanted: Wanted, *, stretch: bool) -> tuple[Any, list[str]]:
    """Bring a picture to the model's size, antialiased."""
    from PIL import Image

    size = (wanted.width, wanted.height)
    was = f"{picture.width}×{picture.height}"
    now = f"{wanted.width}×{wanted.height}"
    same_aspect = picture.width * wanted.height == picture.height * wanted.width
    if stretch or same_aspect:
        how = "resized" if same_aspect else "resized without keeping its aspect, as the preprocessing says,"
        return picture.resize(size, Image.Resampling.BILINEAR), [f"{how} from {was} to {now}"]
    scale = min(picture.width / wanted.width, picture.height / wanted.height)
    width, height = wanted.width * scale, wanted.height * scale
    left, top = (picture.width - width) / 2, (picture.height - height) / 2
    middle = (left, top, left + width, top + height)
    done = f"the middle {round(width)}×{round(height)} of {was}, resized to {now}"
    return picture.resize(size, Image.Resampling.BILINEAR, box=middle), [done]
