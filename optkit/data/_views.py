"""Some examples of others: none is read before it is asked for, and nothing is copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from optkit.data import Examples

# Examples that are looked at at a time: a limit for small ones, and one for large ones.
_MOST = 500
_MOST_BYTES = 32 << 20


class Chosen:
    """Examples at some positions of others.

    Args:
        examples: The others.
        positions: Integers [n].
        digests: Hashes of their content, 16 bytes each (``S16`` [n]), where they are known already.
    """

    def __init__(self, examples: Examples, positions: np.ndarray, digests: np.ndarray | None = None) -> None:
        self._examples, self._positions = examples, positions
        self.digests = digests
        self.dtype = examples.dtype
        self.shape = (len(positions), *examples.shape[1:])

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, chosen: slice | np.ndarray) -> np.ndarray:
        return self._examples[self._positions[chosen]]


class First:
    """The first examples of others, whose slices stay slices."""

    def __init__(self, examples: Examples, count: int) -> None:
        known: np.ndarray | None = getattr(examples, "digests", None)
        self._examples, self._count = examples, min(count, len(examples))
        self.digests = None if known is None else known[: self._count]
        self.dtype = examples.dtype
        self.shape = (self._count, *examples.shape[1:])

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, chosen: slice | np.ndarray) -> np.ndarray:
        if isinstance(chosen, slice):
            return self._examples[slice(*chosen.indices(self._count))]
        return self._examples[chosen]


def chunks(examples: Examples) -> Iterator[np.ndarray]:
    """All examples in order, so many at a time as take little memory."""
    one = examples.dtype.itemsize
    for axis in examples.shape[1:]:
        one *= axis
    count = max(1, min(_MOST, _MOST_BYTES // max(1, one)))
    for start in range(0, len(examples), count):
        yield examples[start : start + count]


class Joined:
    """Examples of one and then of another."""

    def __init__(self, first: Examples, second: Examples) -> None:
        self._first, self._second = first, second
        self.dtype = first.dtype
        self.shape = (len(first) + len(second), *first.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, chosen: slice | np.ndarray) -> np.ndarray:
        import numpy as np

        positions = np.arange(len(self))[chosen]
        in_first = positions < len(self._first)
        found = np.empty((len(positions), *self.shape[1:]), self.dtype)
        found[in_first] = self._first[positions[in_first]]
        found[~in_first] = self._second[positions[~in_first] - len(self._first)]
        return found
