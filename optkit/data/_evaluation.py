"""Examples and labels to judge finished files with: a data set of the package, or the user's own data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from optkit.data import DataSpec, check_target, source, to_real
from optkit.errors import InputError
from optkit.problem import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from optkit.data import Examples


class Labelled(NamedTuple):
    """``images`` raw values [n, …], ``labels`` int64 [n] classes, float32 [n] values, or ``None``."""

    images: Examples
    labels: np.ndarray | None


@dataclass(frozen=True)
class Evaluation:
    """What files are judged with.

    Attributes:
        name: For the report.
        sha256: Over all content.
        test: What is measured and answered.
        validation: There when choices may be made on it.
        preprocessing: How raw values become real inputs.
        class_names: In the order of the class numbers; empty where there are none.
    """

    name: str
    sha256: str
    test: Labelled
    validation: Labelled | None
    preprocessing: Preprocessing
    class_names: tuple[str, ...] = ()

    def real(self, raw: np.ndarray) -> np.ndarray:
        """Real inputs float32 [n, …] of raw values [n, …], which keep their shape."""
        return to_real(raw, self.preprocessing)

    def real_chunks(self, part: Labelled) -> Iterator[np.ndarray]:
        """All real inputs of a part, float32 [n, …], some at a time."""
        from optkit.data._views import chunks

        return (self.real(raw) for raw in chunks(part.images))


def load_evaluation(spec: DataSpec | str) -> Evaluation:
    """Load what files are judged with: the test part, and the validation part where the data declare one.

    Data that declare no parts are taken as a whole, and may be without labels: they were made to judge files with.

    Args:
        spec: Which; a text is the source alone. Sources are those of training; the axis of channels may also come
            first here ([n, channels, height, width]), since files take either.

    Raises:
        InputError: No such data, or they cannot be used.
    """
    spec = DataSpec(spec) if isinstance(spec, str) else spec
    module = source(spec.source)
    check_target(spec, module)
    if not hasattr(module, "read"):
        dataset = module.load(spec)
        test, validation = (Labelled(part.images, part.labels) for part in (dataset.test, dataset.validation))
        return Evaluation(dataset.name, dataset.sha256, test, validation, dataset.preprocessing, dataset.class_names)
    return _of_files(spec)


def _of_files(spec: DataSpec) -> Evaluation:
    from optkit.data import _assemble, _checks
    from optkit.data._labels import Labels, read_labels
    from optkit.data._pictures import brought

    raw = _assemble.read(spec)
    chosen = {"test": raw.test or raw.whole, "validation": raw.validation}
    given = {name: part for name, part in chosen.items() if part is not None}
    if "test" not in given:
        raise InputError(f"expected a test part in {raw.name}, found others only; {raw.layout}")
    images = {}
    for name, part in given.items():
        _checks.check_numbers(part.images, part.labels, part.where)
        images[name] = brought(part.images, spec.preprocessing, part.where)
    _checks.check_alike({part.where: images[name] for name, part in given.items()})
    preprocessing = spec.preprocessing or Preprocessing()
    _checks.check_preprocessing(images["test"], preprocessing)
    names = tuple(_assemble.plain(name) for name in raw.class_names)
    labelled = {part.where: part.labels for part in given.values() if part.labels is not None}
    found = read_labels(labelled, names) if labelled else Labels({}, 0, ())
    parts = {name: Labelled(images[name], found.parts.get(part.where)) for name, part in given.items()}
    digests = {name: _checks.scan(images[name], part.where) for name, part in given.items()}
    return Evaluation(
        _assemble.plain(raw.name),
        _assemble.content_sha256(parts, digests, found.classes, found.names),
        parts["test"],
        parts.get("validation"),
        preprocessing,
        found.names,
    )
