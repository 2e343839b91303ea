"""What happened to each layer's channels, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optkit.schema import LayerNote

if TYPE_CHECKING:
    import numpy as np

    from optkit.techniques._shrink.channels import Followed, Path


def notes(model: Any, before: Followed, after: Followed) -> list[LayerNote]:
    """One note for each layer of the outermost model, in its order.

    Args:
        model: The source model.
        before: Its channels.
        after: Those of the smaller model.
    """
    paths = dict.fromkeys((*before.made, *(cut.path for cut in before.cuts)))
    found = []
    for layer in model.layers:
        own = [path for path in paths if path[0] == layer.name]
        said = [_words(path, before, after) for path in own]
        inside = [
            text if len(path) == 1 else f"{'/'.join(path[1:])}: {text}" for path, text in zip(own, said, strict=True)
        ]
        changed = any(_sizes(path, before) != _sizes(path, after) for path in own)
        found.append(LayerNote(layer.name, changed, "; ".join(inside) or "has no kernel"))
    return found


def reasons(followed: Followed) -> list[str]:
    """Why each layer's channels stay, one line a layer."""
    return [
        f"{'/'.join(path)}: {held}" for path, made in followed.made.items() if (held := _held(made.channels, followed))
    ]


def _sizes(path: Path, followed: Followed) -> list[list[int]]:
    return [[len(channels) for channels in cut.axes.values()] for cut in followed.cuts if cut.path == path]


def _held(channels: np.ndarray, followed: Followed) -> str | None:
    """Why none of these channels can go."""
    own = [int(group) for group in followed.group[channels]]
    if all(group in followed.fixed for group in own):
        return followed.fixed[own[0]]
    return "all its channels go together" if len(set(own)) == 1 else None


def _words(path: Path, before: Followed, after: Followed) -> str:
    parts = []
    made = before.made.get(path)
    read_before = len(before.inputs[path]) if path in before.inputs else 0
    read_after = len(after.inputs[path]) if path in after.inputs else 0
    if made is not None:
        whole, left = len(made.channels), len(after.made[path].channels)
        if left < whole:
            parts.append(f"{left:,} of {whole:,} {made.noun} kept")
        else:
            held = _held(made.channels, before) or "none was among the least important"
            parts.append(f"all {whole:,} {made.noun} kept ({held})")
        if read_after < read_before:
            parts.append(f"reads {read_after:,} of {read_before:,} channels")
    elif read_after < read_before:
        parts.append(f"{read_after:,} of {read_before:,} channels kept")
    else:
        parts.append(f"all {read_before:,} channels kept")
    return ", ".join(parts)
