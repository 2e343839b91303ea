"""Bounds on what a model file may declare, checked on its headers before anything of that size is allocated.

A Keras archive is read by member name and never unpacked; an HDF5 file may hold nothing that stands in another file.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from optkit.errors import InputError

if TYPE_CHECKING:
    import zipfile
    from pathlib import Path

# Deflate itself cannot do more than 1,032; Keras does not compress at all.
MOST_EXPANSION = 1_000
MOST_BYTES = 8 << 30
# A compressed member is read as a whole.
MOST_COMPRESSED_BYTES = 1 << 30
MOST_MEMBERS = 10_000
MOST_CONFIG_BYTES = 64 << 20
MOST_DEPTH = 100
MOST_LAYERS = 20_000
MOST_OBJECTS = 1_000_000
# Below this a wrong header does no harm: empty datasets and scalars take no room of their own.
HARMLESS_BYTES = 1 << 20
MOST_CHUNK_BYTES = 1 << 30
# deflate, shuffle, fletcher32, szip, nbit, scaleoffset and lzf: all others are libraries loaded from a folder.
_FILTERS = frozenset({1, 2, 3, 4, 5, 6, 32_000})


def check_archive(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse a zip file with members outside of it, twice the same, or far larger than what is stored.

    Raises:
        InputError: With the member and the reason.
    """
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise refused(path, f"expected at most {MOST_MEMBERS:,} members, found {len(members):,}")
    times = Counter(member.filename for member in members)
    for member in members:
        name, size, stored = member.filename, member.file_size, member.compress_size
        parts = name.replace("\\", "/").split("/")
        if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
            raise refused(path, f"its member {_short(name)} lies outside of the archive")
        if times[name] > 1:
            raise refused(path, f"its member {_short(name)} is there twice")
        if size > HARMLESS_BYTES and size > MOST_EXPANSION * stored:
            raise refused(path, f"its member {_short(name)} expands from {stored:,} bytes to {size:,}")
        if size != stored and size > MOST_COMPRESSED_BYTES:
            raise refused(path, f"its member {_short(name)} is compressed and takes {size:,} bytes when read")
    total = sum(member.file_size for member in members)
    if total > MOST_BYTES:
        raise refused(path, f"expected at most {MOST_BYTES:,} bytes when read, found {total:,}")


def parse_config(text: bytes | str, path: Path) -> dict[str, Any]:
    """A model's configuration from JSON.

    Raises:
        InputError: It is too large, nested too deeply, or no JSON object.
    """
    if len(text) > MOST_CONFIG_BYTES:
        raise refused(path, f"expected a configuration of at most {MOST_CONFIG_BYTES:,} bytes, found {len(text):,}")
    try:
        config = json.loads(text)
    except RecursionError as error:
        raise refused(path, f"its configuration is nested deeper than {MOST_DEPTH}") from error
    except ValueError as error:
        raise damaged(path, f"its configuration is no JSON: {error}") from error
    if not isinstance(config, dict):
        raise damaged(path, f"its configuration is a {type(config).__name__}, not an object")
    _check_nesting(config, path)
    return config


def _check_nesting(config: dict[str, Any], path: Path) -> None:
    layers = 0
    open_values: list[tuple[Any, int]] = [(config, 1)]
    while open_values:
        value, depth = open_values.pop()
        if depth > MOST_DEPTH:
            raise refused(path, f"its configuration is nested deeper than {MOST_DEPTH}")
        if isinstance(value, dict):
            listed = value.get("layers")
            layers += len(listed) if isinstance(listed, list) else 0
            open_values += [(one, depth + 1) for one in value.values() if isinstance(one, (dict, list))]
        else:
            open_values += [(one, depth + 1) for one in value if isinstance(one, (dict, list))]
    if layers > MOST_LAYERS:
        raise refused(path, f"expected at most {MOST_LAYERS:,} layers, found {layers:,}")


def check_h5(file: Any, path: Path) -> int:
    """Refuse an HDF5 file that reads other files, or declares far more numbers than it stores.

    Args:
        file: The open h5py file.
        path: What messages name.

    Returns:
        How many numbers it stores.

    Raises:
        InputError: With the object and the reason.
    """
    import h5py

    elements = total = 0
    seen: set[Any] = set()
    groups = [file]
    while groups:
        group = groups.pop()
        _check_attributes(group, path)
        for name in group:
            shown = _short(f"{group.name}/{name}".replace("//", "/"))
            if not isinstance(_link(group, name), h5py.HardLink):
                raise refused(path, f"{shown} is a link to another place")
            item = group[name]
            info = h5py.h5o.get_info(item.id)
            if (info.fileno, info.addr) in seen:
                continue
            seen.add((info.fileno, info.addr))
            if len(seen) > MOST_OBJECTS:
                raise refused(path, f"expected at most {MOST_OBJECTS:,} objects, found more")
            if isinstance(item, h5py.Group):
                groups.append(item)
            elif isinstance(item, h5py.Dataset):
                _check_attributes(item, path)
                declared = _check_dataset(item, shown, path)
                elements += declared // max(1, item.dtype.itemsize)
                total += declared
    if total > MOST_BYTES:
        raise refused(path, f"expected at most {MOST_BYTES:,} bytes of tensors, found {total:,}")
    return elements


def _link(group: Any, name: str) -> Any:
    try:
        return group.get(name, getlink=True)
    except (TypeError, RuntimeError, KeyError):
        # A kind of link that h5py does not know.
        return None


def _check_attributes(item: Any, path: Path) -> None:
    import h5py

    for name in item.attrs:
        attribute = h5py.h5a.open(item.id, name.encode() if isinstance(name, str) else name)
        count = math.prod(int(size) for size in attribute.shape)
        if count * attribute.dtype.itemsize > MOST_CONFIG_BYTES:
            raise refused(path, f"its attribute {_short(name)} declares {count:,} values")


def _check_dataset(item: Any, shown: str, path: Path) -> int:
    """The bytes that a dataset takes when read."""
    if item.external or item.is_virtual:
        raise refused(path, f"the numbers of {shown} stand in another file")
    # Keras writes bfloat16 as two bytes without a type.
    if item.dtype.kind not in "fiub" and not (item.dtype.kind == "V" and item.dtype.itemsize <= 2):
        raise refused(path, f"expected numbers in {shown}, found {item.dtype}")
    shape = tuple(int(size) for size in item.shape or ())
    declared = math.prod(shape) * int(item.dtype.itemsize)
    stored = int(item.id.get_storage_size())
    if declared > HARMLESS_BYTES and declared > MOST_EXPANSION * stored:
        raise refused(path, f"{shown} declares {math.prod(shape):,} elements and stores {stored:,} bytes")
    if item.chunks and math.prod(item.chunks) * item.dtype.itemsize > MOST_CHUNK_BYTES:
        raise refused(path, f"{shown} is stored in pieces of {math.prod(item.chunks):,} elements")
    settings = item.id.get_create_plist()
    codes = {settings.get_filter(index)[0] for index in range(settings.get_nfilters())}
    if not codes <= _FILTERS:
        raise refused(path, f"{shown} is packed by filter {min(codes - _FILTERS)}, which is not part of HDF5")
    return declared


def refused(path: Path, reason: str) -> InputError:
    """The error of a file that declares what no honest one does."""
    return InputError(f"refused {path}: {reason}; save the model again, or get it from its author")


def damaged(path: Path, reason: str) -> InputError:
    """The error of a file that cannot be read."""
    return InputError(f"cannot read {path}: {' '.join(reason.split())[:200]}; save the model again")


def _short(name: object) -> str:
    text = name if isinstance(name, str) else str(name)
    return repr(text if len(text) <= 100 else f"{text[:100]}…")
