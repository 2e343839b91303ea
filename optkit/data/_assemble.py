"""Makes a data set of what a source holds: labels in one form, a fixed split, all checks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec
import numpy as np

from optkit.data import Dataset, Part, _checks, _split, source
from optkit.data._labels import read_labels
from optkit.data._pictures import brought
from optkit.data._views import Chosen
from optkit.errors import InputError
from optkit.problem import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optkit.data import DataSpec, Examples
    from optkit.data._evaluation import Labelled

_LEAST = 10


class Given(NamedTuple):
    """Examples and labels as the source has them.

    Attributes:
        where: What a message calls them.
        images: [n, …].
        labels: Class numbers, text, values [n] or [n, 1], or one-hot rows [n, classes]; ``None`` where there are none.
    """

    where: str
    images: Examples
    labels: np.ndarray | None


@dataclass(frozen=True)
class Raw:
    """What a source holds: parts that it declares, or everything in one piece.

    Attributes:
        name: For the report.
        layout: What the source is expected to hold, for messages.
        train: Training part.
        validation: Validation part.
        test: Test part.
        whole: All examples, where no parts are declared.
        class_names: Where labels are class numbers that have names.
        warnings: What the report should say about how it was read.
    """

    name: str
    layout: str
    train: Given | None = None
    validation: Given | None = None
    test: Given | None = None
    whole: Given | None = None
    class_names: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def inputs(self) -> Given | None:
        """Examples that may be calibrated with: all but those of a declared test part."""
        return self.whole or self.train or self.validation


class _Looked(NamedTuple):
    """Examples after preprocessing of pictures, with their hashes and labels in one form."""

    images: Examples
    digests: np.ndarray
    labels: np.ndarray


def dataset(raw: Raw, spec: DataSpec) -> Dataset:
    """Make the data set.

    Raises:
        InputError: Parts or labels are missing, or a check refuses the data.
    """
    given = _parts(raw)
    names = tuple(plain(name) for name in raw.class_names)
    preprocessing = spec.preprocessing or Preprocessing()
    images = {}
    for name, part in given.items():
        _checks.check_numbers(part.images, part.labels, part.where)
        images[name] = brought(part.images, spec.preprocessing, part.where)
    _checks.check_alike({given[name].where: one for name, one in images.items()})
    _checks.check_preprocessing(next(iter(images.values())), preprocessing)
    labels = read_labels({part.where: part.labels for part in given.values() if part.labels is not None}, names)
    looked = {
        name: _Looked(images[name], _checks.scan(images[name], part.where), labels.parts[part.where])
        for name, part in given.items()
    }
    parts, digests = _divided(looked)
    warnings = [
        *(plain(warning) for warning in raw.warnings),
        *_checks.check_training(parts["train"].labels, digests["train"], labels.classes, labels.names),
        *_checks.check_overlap(digests),
    ]
    return Dataset(
        name=plain(raw.name),
        sha256=content_sha256(parts, digests, labels.classes, labels.names),
        classes=labels.classes,
        class_names=labels.names,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        calibration=np.random.default_rng(_split.SEED).permutation(len(parts["train"].labels)),
        calibration_images=None,
        preprocessing=preprocessing,
        warnings=tuple(warnings),
    )


def examples_of(spec: DataSpec, where: str) -> Examples:
    """Examples without labels, in the source's order: those of training where parts are declared.

    Args:
        spec: Which.
        where: What a message calls them.

    Raises:
        InputError: They cannot be read, or there are none but test data.
    """
    module = source(spec.source)
    if not hasattr(module, "read"):
        return cast("Examples", module.load(spec).train.images)
    given = read(spec).inputs
    if given is None:
        raise InputError(f"expected examples in {where}, found a test part only; give others")
    return brought(given.images, spec.preprocessing, given.where)


def read(spec: DataSpec) -> Raw:
    """What a file or folder holds, unchecked; a folder of pictures may be without classes here.

    Raises:
        InputError: It cannot be read.
    """
    module = source(spec.source)
    flat = getattr(module, "flat", lambda _: None)(spec)
    return cast("Raw", flat if flat is not None else module.read(spec))


def _parts(raw: Raw) -> dict[str, Given]:
    """The parts that are there: ``whole``, or ``train``, ``test`` and perhaps ``validation``.

    Raises:
        InputError: Some are missing, or their labels, or there are too few examples.
    """
    if raw.train is None and raw.test is None and raw.whole is not None:
        found = {"whole": raw.whole}
    else:
        found = {
            name: part
            for name, part in (("train", raw.train), ("validation", raw.validation), ("test", raw.test))
            if part is not None
        }
        missing = [name for name in ("train", "test") if name not in found]
        if missing:
            there = ", ".join(part.where for part in found.values()) or "neither"
            raise InputError(
                f"expected training and test data in {raw.name}, found {there}: {' and '.join(missing)} missing; "
                f"{raw.layout}"
            )
    for name, part in found.items():
        _checks.check_numbers(part.images, None, part.where)
        if part.labels is None:
            raise InputError(f"expected a label for each example of {part.where}, found none; {raw.layout}")
        if name in {"whole", "train"} and len(part.images) < _LEAST:
            raise InputError(
                f"expected at least {_LEAST} examples in {part.where}, found {len(part.images)}; give more data"
            )
    return found


def _divided(looked: dict[str, _Looked]) -> tuple[dict[str, Part], dict[str, np.ndarray]]:
    """Parts ``train``, ``validation`` and ``test``, and the hashes of their examples."""
    if "whole" in looked:
        whole = looked["whole"]
        chosen = {name: (whole, positions) for name, positions in _split.in_three(whole.labels)._asdict().items()}
    else:
        train, test = looked["train"], looked["test"]
        if "validation" in looked:
            held = looked["validation"]
            generator = np.random.default_rng(_split.SEED)
            order = generator.permutation(len(train.labels))
            chosen = {"train": (train, order), "validation": (held, generator.permutation(len(held.labels)))}
        else:
            split = _split.in_two(train.labels)
            chosen = {"train": (train, split.train), "validation": (train, split.validation)}
        chosen["test"] = (test, np.arange(len(test.labels)))
    parts, digests = {}, {}
    for name, (of, positions) in chosen.items():
        digests[name] = of.digests[positions]
        parts[name] = Part(Chosen(of.images, positions, digests[name]), of.labels[positions])
    return parts, digests


def content_sha256(
    parts: Mapping[str, Part | Labelled], digests: Mapping[str, np.ndarray], classes: int, names: tuple[str, ...]
) -> str:
    """SHA-256 over content, order, labels and class names.

    Args:
        parts: By name.
        digests: Of the examples of each part.
        classes: How many there are; 0 for values, or without labels.
        names: Of the classes; may be empty.
    """
    found = hashlib.sha256(msgspec.json.encode([classes, names]))
    for name, part in parts.items():
        dtype = part.images.dtype
        stored = dtype.descr if dtype.names else dtype.str
        found.update(msgspec.json.encode([name, part.images.shape, stored, part.labels is not None]))
        found.update(digests[name].tobytes())
        found.update(b"" if part.labels is None else part.labels.tobytes())
    return found.hexdigest()


def plain(text: str) -> str:
    """A file's name as text that a report can hold, also where it is no UTF-8."""
    return text.encode(errors="surrogateescape").decode(errors="replace")
