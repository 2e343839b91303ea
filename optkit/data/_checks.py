"""What is wrong with data, found before any work is done."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from optkit.data._inputs import form_in, names_of, parts
from optkit.data._views import chunks
from optkit.errors import InputError
from optkit.problem import Preprocessing

if TYPE_CHECKING:
    from optkit.data import Examples

_DIGEST_BYTES = 16
# Up to so many class numbers are named in a message.
_NAMED = 5


def scan(examples: Examples, where: str) -> np.ndarray:
    """Look at every example once, some at a time.

    Args:
        examples: Raw inputs [n, …].
        where: What a message calls them.

    Returns:
        A hash of the raw content of each example, ``S16`` [n].

    Raises:
        InputError: A value is NaN or infinite, or no float32 number can hold it.
    """
    found = []
    start = 0
    for chunk in chunks(examples):
        for name, values in parts(chunk).items():
            if values.dtype.kind != "f":
                continue
            with np.errstate(over="ignore"):
                finite = np.isfinite(values.astype(np.float32, copy=False)).reshape(len(values), -1).all(axis=1)
            if not finite.all():
                at = start + int(np.flatnonzero(~finite)[0])
                raise InputError(
                    f"expected finite numbers in {where}, found NaN or infinity (first in the example at position "
                    f"{at}{f', input {name!r}' if name else ''}); clean the data"
                )
        plain = np.ascontiguousarray(chunk)
        # A structure gives its bytes only as a row of them.
        rows: np.ndarray = plain.view(np.uint8).reshape(len(plain), -1) if plain.dtype.names else plain
        found += [hashlib.blake2b(one, digest_size=_DIGEST_BYTES).digest() for one in rows]
        start += len(chunk)
    return np.frombuffer(b"".join(found), f"S{_DIGEST_BYTES}")


def check_numbers(examples: Examples, labels: np.ndarray | None, where: str) -> None:
    """Refuse what cannot be examples, or has not a label for each.

    Raises:
        InputError: As said.
    """
    fields = examples.dtype.fields or {"": (examples.dtype, 0)}
    kinds = {field[0].base.kind for field in fields.values()}
    axes = (*examples.shape, *(axis for field in fields.values() for axis in field[0].shape))
    if len(axes) < 2 or 0 in axes or not kinds <= set("buif"):
        raise InputError(
            f"expected numbers [images, …] in {where}, found {examples.dtype} of shape {list(examples.shape)}; "
            "one image is an array of its own"
        )
    if labels is not None and labels.shape[:1] != (len(examples),):
        found = f"{len(labels)}" if labels.shape else "a single value"
        raise InputError(f"expected {len(examples)} labels for the examples in {where}, found {found}; each has one")


def check_alike(parts: Mapping[str, Examples]) -> None:
    """Refuse parts that one model cannot take.

    Args:
        parts: By what a message calls them.

    Raises:
        InputError: Their examples have different shapes, or whole numbers here and fractions there.
    """
    (first, one), *others = parts.items()
    for name, other in others:
        if form_in(one) != form_in(other):
            raise InputError(
                f"examples in {first} have the shape {_in_words(one)}, those in {name} {_in_words(other)}; "
                "one model takes one shape: bring them to the same"
            )
        if _with_fractions(one) != _with_fractions(other):
            raise InputError(
                f"{first} holds {one.dtype}, {name} {other.dtype}: one --scale cannot be right for both; "
                "store them alike"
            )


def check_preprocessing(examples: Examples, preprocessing: Preprocessing) -> None:
    """Refuse a mean or standard deviation per channel where there are other numbers of channels.

    Raises:
        InputError: As said; or there are several inputs, of which nobody can tell which it is for.
    """
    if names_of(examples):
        if preprocessing != Preprocessing():
            raise InputError(
                f"--scale, --mean, --std, --resize and --channels are for models with one input, the data have "
                f"{', '.join(names_of(examples))}; store these arrays as the model takes them"
            )
        return
    channels = examples.shape[-1]
    for name, values in (("mean", preprocessing.mean), ("std", preprocessing.std)):
        if len(values) not in (0, 1, channels):
            raise InputError(
                f"--{name} expects one number, or one for each of the {channels} values of the last axis of "
                f"{list(examples.shape[1:])}, found {len(values)}"
            )


def check_training(labels: np.ndarray, digests: np.ndarray, classes: int, names: tuple[str, ...]) -> list[str]:
    """Whether anything can be learned from training data.

    Args:
        labels: int64 or float32 [n].
        digests: Of the examples, [n].
        classes: How many there are; 0 for values.
        names: Of the classes; may be empty.

    Returns:
        Warnings.

    Raises:
        InputError: All examples are alike, or all labels.
    """
    if (digests == digests[0]).all():
        raise InputError(f"all {len(digests)} training images are alike; check how the data were written")
    if (labels == labels[0]).all():
        raise InputError(
            f"all {len(labels)} training labels are {_named(labels[0], names)}; a model is trained on two classes or "
            "more, or on values that differ"
        )
    if not classes:
        return []
    if classes > max(10, len(labels)):
        raise InputError(
            f"{len(labels)} training labels go up to {classes - 1}, more classes than examples; number the classes "
            "from 0, or store values to predict as floats (24.0)"
        )
    missing = np.flatnonzero(np.bincount(labels, minlength=classes) == 0)
    if not len(missing):
        return []
    shown = ", ".join(_named(one, names) for one in missing[:_NAMED]) + ("…" if len(missing) > _NAMED else "")
    return [f"{len(missing)} of {classes} classes have no training examples: {shown}"]


def check_overlap(digests: Mapping[str, np.ndarray]) -> list[str]:
    """Whether test examples were trained on, by hash of their content.

    A few repetitions are usual in data that people collected (CIFAR-10 has them, a table of few columns cannot do
    without) and bound the error of the accuracy by their share: a warning with the count. A test part that is training
    data as a whole says nothing about new data: an error.

    Args:
        digests: Of the examples of ``train``, ``validation`` and ``test``.

    Returns:
        Warnings.

    Raises:
        InputError: All of test is in the other parts, or all of validation in the training part.
    """
    train, validation = digests["train"], digests["validation"]
    known = {
        "test": ("training or validation", np.concatenate([train, validation]), "accuracy"),
        "validation": ("training", train, "accuracy on it, by which files are chosen,"),
    }
    warnings = []
    for name, (others, seen, figure) in known.items():
        shared, total = int(np.isin(digests[name], seen).sum()), len(digests[name])
        if shared == total:
            raise InputError(
                f"all {total} {name} examples are in the {others} data as well, so that they say nothing about new "
                "ones; give others, or remove what is there twice"
            )
        if shared:
            warnings.append(
                f"{shared} of {total} {name} examples ({shared / total:.2%}) are in the {others} data as well: "
                f"{figure} may be too high by up to that share"
            )
    return warnings


def _in_words(examples: Examples) -> str:
    form = form_in(examples)
    return ", ".join(f"{k} {list(v)}" for k, v in form.items()) if isinstance(form, Mapping) else str(list(form))


def _with_fractions(examples: Examples) -> list[bool]:
    """Of each input whether its values may be fractions."""
    return [one.dtype.base.kind == "f" for one in parts(examples[:0]).values()]


def _named(label: np.generic, names: tuple[str, ...]) -> str:
    return names[int(label)] if names else f"{label}"
