"""Ways to damage a file that know nothing of its format, each from a seed: the same seed gives the same bytes."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Sizes and offsets that a parser does not expect: nothing, the ends of 31, 32, 40 and 63 bits, and below zero.
WORDS = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF0, 0x00FFFFFF, 0x40000000)
LONG_WORDS = (0, 1 << 31, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
# A base-128 number that does not end, and the longest one that does: protobuf's lengths.
VARINTS = (b"\xff" * 11, b"\xff" * 9 + b"\x01", b"\xff\xff\xff\xff\x07", b"\x80\x80\x80\x80\x10")
# Bytes that mean something to text formats.
MARKS = b'"{}[](),:\\\n\0-#='


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    """1 to 16 bits turned over."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    return bytes(made)


def flip_head(data: bytes, rng: random.Random) -> bytes:
    """1 to 4 bits turned over in the first 256 bytes, where formats keep what leads to the rest."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 2, 4))):
        made[rng.randrange(min(256, len(made)))] ^= 1 << rng.randrange(8)
    return bytes(made)


def truncate(data: bytes, rng: random.Random) -> bytes:
    """The end cut off: anywhere, near the start, or a few bytes."""
    kept = rng.choice((rng.randrange(len(data)), rng.randrange(min(64, len(data))), len(data) - rng.randint(1, 8)))
    return data[: max(0, kept)]


def swap_sections(data: bytes, rng: random.Random) -> bytes:
    """Two parts in each other's place."""
    first, second, third, fourth = sorted(rng.randrange(len(data) + 1) for _ in range(4))
    return data[:first] + data[third:fourth] + data[second:third] + data[first:second] + data[fourth:]


def zero_range(data: bytes, rng: random.Random) -> bytes:
    """A range of zeros, or of ones."""
    start, end = _range(data, rng)
    return data[:start] + rng.choice((b"\0", b"\xff")) * (end - start) + data[end:]


def double_range(data: bytes, rng: random.Random) -> bytes:
    """A range twice."""
    start, end = _range(data, rng)
    return data[:end] + data[start:end] + data[end:]


def drop_range(data: bytes, rng: random.Random) -> bytes:
    """A range left out."""
    start, end = _range(data, rng)
    return data[:start] + data[end:]


def huge_word(data: bytes, rng: random.Random) -> bytes:
    """A number of 32 or 64 bits, aligned as offsets and lengths are, that no parser expects."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 3))):
        if rng.random() < 0.7:
            word = struct.pack(rng.choice("<>") + "I", rng.choice(WORDS))
        else:
            word = struct.pack(rng.choice("<>") + "Q", rng.choice(LONG_WORDS))
        # More often near the start: headers and tables are there.
        place = rng.choice((rng.randrange(len(made)), rng.randrange(min(512, len(made))))) & ~3
        made[place : place + len(word)] = word
    return bytes(made[: len(data)])


def wild_length(data: bytes, rng: random.Random) -> bytes:
    """A base-128 number put over what is there, as protobuf writes its lengths."""
    word = rng.choice(VARINTS)
    place = rng.choice((rng.randrange(len(data)), rng.randrange(min(512, len(data)))))
    return data[:place] + word + data[place + len(word) :]


def marks(data: bytes, rng: random.Random) -> bytes:
    """Some bytes replaced by brackets, quotes and zeros."""
    made = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        made[rng.randrange(len(made))] = rng.choice(MARKS)
    return bytes(made)


def noise(data: bytes, rng: random.Random) -> bytes:
    """A range of random bytes."""
    start, end = _range(data, rng)
    return data[:start] + rng.randbytes(end - start) + data[end:]


MUTATIONS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "bits": flip_bits,
    "head bits": flip_head,
    "cut": truncate,
    "swapped": swap_sections,
    "zeroed": zero_range,
    "doubled": double_range,
    "dropped": drop_range,
    "huge word": huge_word,
    "wild length": wild_length,
    "marks": marks,
    "noise": noise,
}


def mutate(data: bytes, seed: str) -> tuple[str, bytes]:
    """Damage a file.

    Args:
        data: Its bytes, at least one.
        seed: Decides what is done; other seeds do other things.

    Returns:
        The name of the mutation, and bytes that differ from ``data``.
    """
    rng = random.Random(seed)
    while True:
        name = rng.choice(list(MUTATIONS))
        made = MUTATIONS[name](data, rng)
        if made != data:
            return name, made


def _range(data: bytes, rng: random.Random) -> tuple[int, int]:
    """Start and end of 1 to 4,096 bytes, mostly short."""
    start = rng.randrange(len(data))
    return start, min(len(data), start + rng.choice((1, 4, 16, 64, 512, 4096)))
