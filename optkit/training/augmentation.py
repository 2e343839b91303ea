"""Random changes of images inside the training function: each step's depend on the seed and the step alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from optkit.training.plan import Augmentation

# Random displacements are drawn on a grid of so many points along each side, and spread over the pixels by a Gaussian
# of that share of the side: Simard's 4 pixels of 28. A grid is as smooth as noise in every pixel would be, at a
# hundredth of the cost.
GRID = 11
SMOOTH = 1 / 7
# Of draws for one step: angle, zoom, shift, displacement, place of the hole, blend.
_DRAWS = 6


class Canvas(NamedTuple):
    """What is changed.

    Attributes:
        shape: Height, width, channels of a picture.
        background: Real value of each channel where a picture ends, float32 [channels].
    """

    shape: tuple[int, int, int]
    background: np.ndarray


def canvas(example: Sequence[int], background: np.ndarray) -> Canvas:
    """A picture's canvas.

    Args:
        example: Shape of one raw example: height, width, and channels where it has them.
        background: Real values of a raw example of zeros, float32 with as many values.
    """
    height, width, channels = (*example, 1) if len(example) == 2 else example
    return Canvas((height, width, channels), background.reshape(height, width, channels)[0, 0])


def change(images: Any, targets: Any, wanted: Augmentation, on: Canvas | None, seed: Any) -> tuple[Any, Any]:
    """Changed images and their targets, inside of a TensorFlow function.

    Args:
        images: float32 [batch, *shape] of any shape with the canvas's number of values.
        targets: [batch, …]; blended as the images are.
        wanted: How much.
        on: What the images are; ``None`` where they are only blended.
        seed: int32 [2], another one for each step.

    Returns:
        The same shapes.
    """
    import tensorflow as tf

    seeds = tf.unstack(tf.random.split(seed, _DRAWS))
    if on is not None:
        given = images.shape
        pictures = tf.reshape(images, [given[0], *on.shape])
        if wanted.elastic:
            pictures = _bent(pictures, wanted, on, seeds)
        elif wanted.shift or wanted.rotation or wanted.zoom:
            pictures = _moved(pictures, wanted, on, seeds)
        if wanted.cutout:
            pictures = _cut(pictures, wanted.cutout, on, seeds[4])
        images = tf.reshape(pictures, given)
    if wanted.mixup:
        images, targets = _blended(images, targets, wanted.mixup, seeds[5])
    return images, targets


def _maps(count: int, wanted: Augmentation, on: Canvas, seeds: Sequence[Any]) -> tuple[Any, ...]:
    """Where a new picture's pixels come from: ``x' = a·x + b·y + c``, ``y' = d·x + e·y + f``; each float32 [n]."""
    import tensorflow as tf

    height, width, _ = on.shape
    angle = tf.random.stateless_uniform([count], seeds[0], -wanted.rotation, wanted.rotation) * (math.pi / 180)
    zoom = tf.random.stateless_uniform([count], seeds[1], 1.0 - wanted.zoom, 1.0 + wanted.zoom)
    shift = tf.random.stateless_uniform([2, count], seeds[2], -wanted.shift, wanted.shift)
    cos, sin = tf.cos(angle) / zoom, tf.sin(angle) / zoom
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    # Turned and zoomed about the middle, then moved.
    c = middle_x - cos * middle_x + sin * middle_y - shift[0] * width
    f = middle_y - sin * middle_x - cos * middle_y - shift[1] * height
    return cos, -sin, c, sin, cos, f


def _moved(pictures: Any, wanted: Augmentation, on: Canvas, seeds: Sequence[Any]) -> Any:
    """Shifted, turned and zoomed, with bilinear interpolation."""
    import tensorflow as tf

    count = int(pictures.shape[0])
    a, b, c, d, e, f = _maps(count, wanted, on, seeds)
    none = tf.zeros([count])
    transforms = tf.stack([a, b, c, d, e, f, none, none], axis=1)
    # The operator fills with one number: it works on what is above the background.
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=pictures - on.background,
        transforms=transforms,
        output_shape=list(on.shape[:2]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return moved + on.background


def _bent(pictures: Any, wanted: Augmentation, on: Canvas, seeds: Sequence[Any]) -> Any:
    """As ``_moved``, with each point displaced by a smooth random field as well."""
    import tensorflow as tf

    (height, width, channels), count = on.shape, int(pictures.shape[0])
    a, b, c, d, e, f = (one[:, None, None] for one in _maps(count, wanted, on, seeds))
    drawn = tf.random.stateless_normal([2, count, GRID, GRID], seeds[3], stddev=wanted.elastic)
    field = tf.matmul(_spread(height), tf.matmul(drawn, _spread(width), transpose_b=True))
    x = tf.range(width, dtype=tf.float32)[None, None, :]
    y = tf.range(height, dtype=tf.float32)[None, :, None]
    # One pixel of background all around takes what lies outside.
    from_x = tf.clip_by_value(a * x + b * y + c + field[0] + 1.0, 0.0, width + 0.999)
    from_y = tf.clip_by_value(d * x + e * y + f + field[1] + 1.0, 0.0, height + 0.999)
    framed = tf.pad(pictures - on.background, [[0, 0], [1, 1], [1, 1], [0, 0]])
    # Rows and columns one longer than needed, so that the right and lower neighbour is always there.
    framed = tf.pad(framed, [[0, 0], [0, 1], [0, 1], [0, 0]])
    row = width + 3
    flat = tf.reshape(framed, [count * (height + 3) * row, channels])
    left, top = tf.floor(from_x), tf.floor(from_y)
    start = tf.range(count)[:, None, None] * ((height + 3) * row)
    corner = start + tf.cast(top, tf.int32) * row + tf.cast(left, tf.int32)
    right_share, low_share = (from_x - left)[..., None], (from_y - top)[..., None]
    upper = tf.gather(flat, corner) * (1.0 - right_share) + tf.gather(flat, corner + 1) * right_share
    lower = tf.gather(flat, corner + row) * (1.0 - right_share) + tf.gather(flat, corner + row + 1) * right_share
    return upper * (1.0 - low_share) + lower * low_share + on.background


def _spread(side: int) -> np.ndarray:
    """What the points of the grid give to each pixel along one axis: float32 [side, GRID].

    The squares of a row sum to 1, so that the displacement of every pixel has the points' standard deviation.
    """
    import numpy as np

    pixels = (np.arange(side) + 0.5) / side
    # Past both ends by two widths: pixels at the rim have points on either side, as all others.
    points = np.linspace(-2 * SMOOTH, 1 + 2 * SMOOTH, GRID)
    weights = np.exp(-0.5 * ((pixels[:, None] - points) / SMOOTH) ** 2)
    spread: np.ndarray = (weights / np.sqrt((weights**2).sum(axis=1, keepdims=True))).astype(np.float32)
    return spread


def _cut(pictures: Any, share: float, on: Canvas, seed: Any) -> Any:
    """With a square of background around a random point."""
    import tensorflow as tf

    height, width, _ = on.shape
    count = int(pictures.shape[0])
    place = tf.random.stateless_uniform([2, count], seed)
    half = share * min(height, width) / 2
    x = tf.range(width, dtype=tf.float32)[None, :] + 0.5
    y = tf.range(height, dtype=tf.float32)[None, :] + 0.5
    in_columns = tf.abs(x - place[0][:, None] * width) < half
    in_rows = tf.abs(y - place[1][:, None] * height) < half
    hole = (in_rows[:, :, None] & in_columns[:, None, :])[..., None]
    return tf.where(hole, tf.constant(on.background), pictures)


def _blended(images: Any, targets: Any, alpha: float, seed: Any) -> tuple[Any, Any]:
    """Each image with the one at the other end of the batch, which is in random order."""
    import numpy as np
    import tensorflow as tf

    count = int(images.shape[0])
    # A Beta variate is the share of one of two Gamma variates. Those of a small parameter are too small for a float32,
    # their logarithms are not: log G(a) = log G(a + 1) + log(U) / a.
    one, other = tf.unstack(tf.random.split(seed, 2))
    high = tf.math.log(tf.random.stateless_gamma([2, count], one, alpha + 1.0))
    uniform = tf.random.stateless_uniform([2, count], other, minval=np.finfo(np.float32).tiny)
    logs = high + tf.math.log(uniform) / alpha
    share = tf.sigmoid(logs[0] - logs[1])

    def mixed(values: Any) -> Any:
        own = tf.reshape(share, [count, *[1] * (len(values.shape) - 1)])
        return own * values + (1.0 - own) * tf.reverse(values, [0])

    return mixed(images), mixed(targets)
