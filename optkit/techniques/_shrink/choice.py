"""Which groups of channels go, so that a model costs no more than it may."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from optkit.techniques._shrink.channels import Cut, Followed, Path


class Cost(NamedTuple):
    """What a model costs.

    Attributes:
        channels: That could be removed, were it not for the others: those of no output, and of nothing that is fixed.
        macs: Multiply-accumulates of convolutions and dense layers for one example.
        parameters: Values of all weights, as Keras counts them.
    """

    channels: int
    macs: int
    parameters: int


def cost(followed: Followed, keep: np.ndarray, other_parameters: int) -> Cost:
    """The cost when some groups are kept.

    Args:
        followed: The channels.
        keep: bool [groups].
        other_parameters: Weights that have no channels.
    """
    free = set(followed.free())
    # Entries of layers that make channels: a filter counts once, however often its output is passed on.
    made = np.concatenate([made.channels for made in followed.made.values()] or [np.zeros(0, np.int64)])
    groups = followed.group[made]
    channels = int(sum(keep[group] for group in groups if group in free))
    parameters, macs = other_parameters, 0
    for cut in followed.cuts:
        size = _size(followed, cut, keep)
        parameters += size
        macs += size * cut.positions
    return Cost(channels, macs, parameters)


def _size(followed: Followed, cut: Cut, keep: np.ndarray) -> int:
    """Values of a weight that stay."""
    size = 1
    for axis, whole in enumerate(cut.shape):
        channels = cut.axes.get(axis)
        size *= whole if channels is None else int(keep[followed.group[channels]].sum())
    return size


def uncut_parameters(followed: Followed, parameters: int) -> int:
    """Of a model's parameters, those without channels."""
    return parameters - sum(int(np.prod(cut.shape)) for cut in followed.cuts)


def order(followed: Followed, scores: np.ndarray, scope: str, source: Mapping[Path, int] | None = None) -> list[int]:
    """Groups in the order in which they go; those that are fixed, not scored, or a layer's last are not among them.

    Args:
        followed: The channels.
        scores: Importance, float64 [groups]; NaN keeps a group.
        scope: ``global`` removes the least important of all layers first, ``layer`` the same share of each.
        source: ``bundle_sizes`` of the model that the shares are of, where some of it is gone already.
    """
    held = {group for group in range(followed.groups) if group in followed.fixed or np.isnan(scores[group])}
    last = {_most_important(followed, made.channels, scores) for made in followed.made.values() if len(made.channels)}
    able = [group for group in range(followed.groups) if group not in held | last]
    if scope == "global":
        return sorted(able, key=lambda group: (scores[group], group))
    bundles = bundles_of(followed)
    now = bundle_sizes(followed)
    before = now if source is None else source
    place: dict[int, float] = {}
    for path, made in followed.made.items():
        bundle = bundles[int(followed.group[made.channels[0]])]
        own = sorted((group for group in able if bundles[group] == bundle), key=lambda group: (scores[group], group))
        gone = before[path] - now[path]
        place.update({group: (gone + rank + 1) / before[path] for rank, group in enumerate(own)})
    return sorted(able, key=lambda group: (place[group], bundles[group], group))


def _most_important(followed: Followed, channels: np.ndarray, scores: np.ndarray) -> int:
    """The group of a layer that stays whatever happens: nothing comes out of a layer without channels."""
    groups = followed.group[channels]
    return int(groups[int(np.argmax(np.where(np.isnan(scores[groups]), np.inf, scores[groups])))])


def bundles_of(followed: Followed) -> list[int]:
    """For each group the first one of those that are made by the same layers."""
    bundle = list(range(followed.groups))

    def root(group: int) -> int:
        while bundle[group] != group:
            bundle[group] = bundle[bundle[group]]
            group = bundle[group]
        return group

    for made in followed.made.values():
        groups = followed.group[made.channels]
        for group in groups:
            low, high = sorted((root(int(groups[0])), root(int(group))))
            bundle[high] = low
    return [root(group) for group in range(followed.groups)]


def bundle_sizes(followed: Followed) -> dict[Path, int]:
    """For each layer that makes channels how many groups it has together with the layers that share some of them."""
    bundles = bundles_of(followed)
    sizes = Counter(bundles)
    return {path: sizes[bundles[int(followed.group[made.channels[0]])]] for path, made in followed.made.items()}


def keep_of(followed: Followed, gone: list[int]) -> np.ndarray:
    """Which groups stay, bool [groups]."""
    keep = np.ones(followed.groups, bool)
    keep[gone] = False
    return keep


def fewest(count: int, limit: float, measure: Callable[[int], float]) -> int | None:
    """The fewest groups to remove, from 0 to ``count``, so that what is left measures no more than ``limit``.

    Args:
        count: Groups that can go.
        limit: Most that may be left.
        measure: What is left when so many of them go; falls with their number.

    Returns:
        The number, or ``None`` where not even all are enough.
    """
    if measure(count) > limit:
        return None
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if measure(middle) <= limit:
            high = middle
        else:
            low = middle + 1
    return low
