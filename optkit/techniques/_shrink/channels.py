"""Channels by number, and which of them must go together.

Every entry of a tensor's last axis is a channel with a number. What makes new ones (a convolution, a dense layer) takes
new numbers; what passes channels on (batch normalization, pooling) keeps them; what needs two to be the same (a
residual add) joins their numbers. Joined channels are a group, which is kept or removed as a whole: the dependency
groups of Fang et al., DepGraph, 2023, arXiv:2301.12900, one channel at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

# A layer by the names of the nested models that it is in, and its own.
Path = tuple[str, ...]


@dataclass(frozen=True)
class Signal:
    """A tensor of the graph.

    Attributes:
        shape: Without the batch axis; an open axis is ``None``.
        channels: Numbers of the channels along the last axis, int64 [shape[-1]].
    """

    shape: tuple[int | None, ...]
    channels: np.ndarray


class Cut(NamedTuple):
    """A weight that loses what belongs to removed channels.

    Attributes:
        path: The layer.
        weight: Where it is in the layer's ``weights``.
        kernel: Whether its values say how important the channels are that it makes; biases do not.
        shape: The whole weight's.
        axes: Axis → channels along it, int64 [shape[axis]].
        reads: Those of the axes that run over channels that are summed up: without them the channel has no effect.
        positions: How often each of its values is multiplied with for one example; 0 where it is not.
        calls: How often the layer is called.
    """

    path: Path
    weight: int
    kernel: bool
    shape: tuple[int, ...]
    axes: dict[int, np.ndarray]
    reads: tuple[int, ...]
    positions: int
    calls: int = 1


class Setting(NamedTuple):
    """A number in a layer's configuration that follows from how many channels are kept.

    The value is the count of kept ``channels`` over ``per``; with ``before`` it is that shape with the count at its
    end.
    """

    path: Path
    key: str
    channels: np.ndarray
    per: int = 1
    before: tuple[int | None, ...] | None = None


class Made(NamedTuple):
    """The channels that a layer makes, and what such a layer calls them."""

    channels: np.ndarray
    noun: str


@dataclass(frozen=True)
class Followed:
    """What is known of all channels of a model.

    Attributes:
        group: Number of the group that each channel belongs to, int64 [channels].
        fixed: Group → why it cannot go.
        cuts: Weights.
        settings: Configurations.
        made: Channels that layers make.
        inputs: Channels of each layer's first input in its first call.
    """

    group: np.ndarray
    fixed: dict[int, str]
    cuts: list[Cut]
    settings: list[Setting]
    made: dict[Path, Made]
    inputs: dict[Path, np.ndarray]

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return int(self.group.max()) + 1 if len(self.group) else 0

    def free(self) -> list[int]:
        """Groups that can go."""
        return [group for group in range(self.groups) if group not in self.fixed]

    def kept(self, channels: np.ndarray, keep: np.ndarray) -> np.ndarray:
        """Positions of the channels that stay, for ``keep`` bool [groups]."""
        return np.flatnonzero(keep[self.group[channels]])


class Numbers:
    """Gives numbers to channels, joins them and fixes them (disjoint sets by union)."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._reasons: dict[int, str] = {}

    def new(self, count: int) -> np.ndarray:
        """Numbers that no other channel has."""
        first = len(self._parent)
        self._parent.extend(range(first, first + count))
        return np.arange(first, first + count)

    def root(self, channel: int) -> int:
        """The number that stands for all channels that are joined with this one."""
        parent = self._parent
        while parent[channel] != channel:
            parent[channel] = parent[parent[channel]]
            channel = parent[channel]
        return channel

    def join(self, some: Sequence[int] | np.ndarray, others: Sequence[int] | np.ndarray) -> None:
        """Each of one row goes together with its neighbour in the other."""
        for one, other in zip(some, others, strict=True):
            first, second = sorted((self.root(int(one)), self.root(int(other))))
            self._parent[second] = first

    def fix(self, channels: np.ndarray, reason: str) -> None:
        """These cannot go; the first reason counts."""
        for channel in channels:
            self._reasons.setdefault(int(channel), reason)

    def fix_above_all(self, channels: np.ndarray, reason: str) -> None:
        """These cannot go, and this is the reason that counts."""
        for channel in channels:
            self._reasons[int(channel)] = reason

    def groups(self) -> tuple[np.ndarray, dict[int, str]]:
        """The group of each channel, and why groups are fixed."""
        roots = [self.root(channel) for channel in range(len(self._parent))]
        order = {root: group for group, root in enumerate(dict.fromkeys(roots))}
        group = np.array([order[root] for root in roots], np.int64)
        fixed: dict[int, str] = {}
        for channel, reason in self._reasons.items():
            fixed.setdefault(int(group[channel]), reason)
        return group, fixed


def index_of(layer: Any, weight: Any) -> int:
    """Where a variable is among a layer's weights."""
    return next(index for index, one in enumerate(layer.weights) if one is weight)
