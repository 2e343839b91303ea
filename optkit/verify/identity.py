"""Whether a file answers bit for bit as another one, in the runtime that will run them.

Both are fed the same inputs, one after the other, by each way in which the runtime can run them, and every byte of
every output is compared. What the inputs cannot show is told: how many there were, and how many different outputs the
reference gave (of a file that answers the same to all, equal outputs say little).
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from msgspec import Struct

from optkit import registry, runtimes
from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from optkit.readback import Port
    from optkit.runtimes import RawSession

Which = Literal["reference", "other"]

# Generated inputs; real ones are all of the data's up to this many.
GENERATED = 256
MOST_REAL = 1000
# Large networks are fed fewer, but never under these.
SECONDS = 20.0
LEAST = 8
# A batch that divides no usual size, so that a shape that was frozen shows.
BATCH = 3
# On so many inputs the reference is held against itself: what random operators give cannot be compared.
_OWN = 4


class Identity(Struct, frozen=True):
    """What was compared, and the first difference.

    Attributes:
        inputs: Inputs that both were fed, one by one, by each way.
        kind: ``generated`` or ``real`` inputs.
        distinct: How many different outputs the reference gave.
        kernels: The ways in which the runtime ran them.
        batches: Sizes of batches that they were fed at.
        difference: Where and by how much they differ; ``None`` where every bit is the same.
    """

    inputs: int
    kind: str
    distinct: int
    kernels: tuple[str, ...]
    batches: tuple[int, ...]
    difference: str | None


class _Feeds(NamedTuple):
    """Makes the arrays of the n-th input, at a batch."""

    kind: str
    total: int
    make: Callable[[int, int], list[np.ndarray]]


def compare(
    reference: Path,
    other: Path,
    *,
    images: np.ndarray | None = None,
    on_step: Callable[[Which], object] = lambda _: None,
) -> Identity:
    """Hold a file against its reference, bit by bit.

    Args:
        reference: The file that is right by definition.
        other: The file to judge, of the same format.
        images: Real inputs float32 [n, …], of several inputs a structure with a field for each; generated ones when
            ``None``.
        on_step: Is told before either file is opened or run, which may take the process down.

    Raises:
        InputError: The reference cannot be run or fed, or gives other outputs when it is run again.
    """
    names = runtimes.kernels(registry.format_of(reference))
    seen: set[bytes] = set()
    counts, batches, difference = [], {1}, None
    for name in names:
        on_step("reference")
        one = runtimes.open_raw(reference, name)
        feeds = _feeds(one.inputs, images)
        _check_repeatable(reference, name, one, feeds)
        # Opened again: what the check has fed it may be kept in variables.
        one = runtimes.open_raw(reference, name)
        on_step("other")
        try:
            two = runtimes.open_raw(other, name)
        except InputError as error:
            return Identity(0, feeds.kind, 0, names, (1,), f"{name}: {error}")
        difference = _ports_differ(one, two)
        fed = 0
        for feed in _in_time(feeds):
            if difference is None:
                on_step("reference")
                expected = one.run(feed)
                seen.add(_bytes(expected))
                on_step("other")
                difference = _outputs_differ(expected, two, feed)
            if difference is not None:
                break
            fed += 1
        counts.append(fed)
        if difference is None and _takes_any_batch(one.inputs):
            on_step("reference")
            one = runtimes.open_raw(reference, name)
            difference, taken = _batch_differs(one, feeds, functools.partial(_reopened, other, name, on_step))
            batches |= taken
        if difference is not None:
            difference = f"{name}: {difference}"
            break
    return Identity(min(counts), feeds.kind, len(seen), names, tuple(sorted(batches)), difference)


def _in_time(feeds: _Feeds) -> Iterator[list[np.ndarray]]:
    """The inputs at batch 1, until the time is up."""
    end = time.monotonic() + SECONDS
    for position in range(feeds.total):
        if position >= LEAST and time.monotonic() > end:
            return
        yield feeds.make(position, 1)


def _check_repeatable(reference: Path, name: str, session: RawSession, feeds: _Feeds) -> None:
    again = runtimes.open_raw(reference, name)
    for position in range(min(_OWN, feeds.total)):
        feed = feeds.make(position, 1)
        if _bytes(session.run(feed)) != _bytes(again.run(feed)):
            raise InputError(
                f"{reference} gives other outputs when it is run again (random operators?), so that nothing can be "
                "held against it"
            )


def _ports_differ(one: RawSession, two: RawSession) -> str | None:
    """How the inputs and outputs that a program sees differ; names and axes of any size may have been dropped."""
    for what, ours, theirs in (("input", one.inputs, two.inputs), ("output", one.outputs, two.outputs)):
        before, after = ([_seen(port) for port in ports] for ports in (ours, theirs))
        if before != after:
            return f"{what}s were {before} and are {after}"
    return None


def _seen(port: Port) -> tuple[object, ...]:
    return port.dtype, len(port.shape), port.scale, port.zero_point


def _outputs_differ(expected: list[np.ndarray], two: RawSession, feed: list[np.ndarray]) -> str | None:
    try:
        found = two.run(feed)
    except InputError as error:
        return str(error)
    for place, (wanted, given) in enumerate(itertools.zip_longest(expected, found)):
        if wanted is None or given is None:
            return f"{len(found)} outputs in place of {len(expected)}"
        if (wanted.dtype, wanted.shape) != (given.dtype, given.shape):
            return f"output {place} is {given.dtype}{list(given.shape)} in place of {wanted.dtype}{list(wanted.shape)}"
        if wanted.tobytes() != given.tobytes():
            wide = np.abs(wanted.astype(np.float64) - given.astype(np.float64))
            differing = int((wanted != given).sum())
            return f"output {place} differs in {differing} of {wanted.size} values, by up to {np.nanmax(wide):.3g}"
    return None


def _takes_any_batch(inputs: tuple[Port, ...]) -> bool:
    return bool(inputs) and all(port.shape[:1] == (-1,) for port in inputs)


def _reopened(other: Path, name: str, on_step: Callable[[Which], object]) -> RawSession:
    on_step("other")
    return runtimes.open_raw(other, name)


def _batch_differs(one: RawSession, feeds: _Feeds, open_two: Callable[[], RawSession]) -> tuple[str | None, set[int]]:
    """Whether they differ at another batch than 1, where the reference takes one; and the batches it takes."""
    feed = feeds.make(0, BATCH)
    try:
        expected = one.run(feed)
    except InputError:
        return None, set()
    found = _outputs_differ(expected, open_two(), feed)
    return (None if found is None else f"at a batch of {BATCH}, {found}"), {BATCH}


def _bytes(outputs: list[np.ndarray]) -> bytes:
    digest = hashlib.sha256()
    for output in outputs:
        digest.update(f"{output.dtype}{output.shape}".encode() + output.tobytes())
    return digest.digest()


def _feeds(ports: tuple[Port, ...], images: np.ndarray | None) -> _Feeds:
    """Inputs for these ports.

    Raises:
        InputError: Nobody can tell their shapes, or real inputs do not fit.
    """
    if images is None:
        for port in ports:
            if min(port.shape[1:], default=0) < 0:
                raise InputError(
                    f"the model's input {port.name!r} has the shape {list(port.shape)}, where -1 is any number; "
                    "give data (--data) that say which"
                )
        return _Feeds("generated", GENERATED, lambda at, batch: [_generated(port, at, batch) for port in ports])
    from optkit.data._inputs import parts
    from optkit.runtimes import _ports

    def real(at: int, batch: int) -> list[np.ndarray]:
        rows = np.take(images, np.arange(at, at + batch) % len(images), axis=0)
        return [np.ascontiguousarray(one) for one in parts(_ports.to_native(rows, ports)).values()]

    return _Feeds("real", min(len(images), MOST_REAL), real)


def _generated(port: Port, position: int, batch: int) -> np.ndarray:
    """The n-th generated input of a port: of many kinds in turn, since a network may answer the same to all noise."""
    shape = tuple(batch if axis == 0 and size == -1 else size for axis, size in enumerate(port.shape))
    if batch > 1 and shape:
        shape = (batch, *shape[1:])
    random = np.random.default_rng([position, sum(port.name.encode())])
    values = _KINDS[position % len(_KINDS)](random, shape)
    dtype = np.dtype(port.dtype)
    if dtype.kind == "b":
        return values > 0.5
    if dtype.kind not in "iu":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    if port.scale is None and dtype.itemsize > 1:
        # Most likely numbers that something is looked up by: 0 and 1 are in every table.
        return (values > 0.5).astype(dtype)
    steps = values / port.scale + (port.zero_point or 0) if port.scale is not None else values * limits.max
    native: np.ndarray = np.clip(np.rint(steps), limits.min, limits.max).astype(dtype)
    return native


def _sparse(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.random(shape) * (random.random(shape) < 0.2)


def _smooth(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Waves along every axis, as pictures have them."""
    values = np.ones(shape)
    for axis, size in enumerate(shape[1:], start=1):
        along = [1] * len(shape)
        along[axis] = size
        turns, phase = random.uniform(0.2, 3), random.uniform(0, 2 * np.pi)
        values = values * (0.5 + 0.5 * np.sin(np.linspace(0, 2 * np.pi * turns, size) + phase)).reshape(along)
    return values


_KINDS: tuple[Callable[[np.random.Generator, tuple[int, ...]], np.ndarray], ...] = (
    lambda random, shape: random.random(shape),
    lambda random, shape: random.normal(0, 1, shape),
    _sparse,
    _smooth,
    lambda random, shape: np.full(shape, random.random()),
)
