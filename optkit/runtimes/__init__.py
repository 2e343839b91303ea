"""Runtimes that execute model files: one interface for LiteRT and ONNX Runtime.

No runtime imports TensorFlow.

A plug-in may define one function more than those that the registry asks for::

    profile(path, file, images, *, threads, batch, seconds) -> (list of OperatorFigures, RuntimeFacts)

It opens the file, runs it for about ``seconds`` after a warm-up and tells what ran and how long each operator
took, as far as the runtime says so. ``file`` is what ``readback`` read from the same file; ``images`` are real
images float32 [n, …], of which ``batch`` are in a call, or ``None`` for generated inputs. ``macs`` and
``weight_bytes`` of all operators together are those of the file. It raises ``InputError`` where the file cannot be
opened, fed or run.

One that stands beside the usual one of its format, and is taken only where it is named (``--runtime``), defines::

    BESIDE = True
    missing() -> why nothing can be measured with it on this machine, or None

Two files are held against each other bit by bit (``optkit slim``) where a plug-in also defines::

    KERNELS: names of the ways in which it can run a file, the usual one first
    open_raw(path, kernels) -> RawSession
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from optkit import registry
from optkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import ModuleType

    import numpy as np

    from optkit.readback import ModelFacts, Port
    from optkit.schema import OperatorFigures, RuntimeFacts


class Session(Protocol):
    """A model file opened in its runtime.

    ``feed``, ``invoke`` and ``fetch`` are apart so that ``invoke`` can be timed alone. Native arrays have the
    dtype and shape [batch, …] of the model's own input and output; of several inputs they are structures [batch] with
    a field for each, and so are the real ones.
    """

    inputs: tuple[Port, ...]
    output: Port

    def to_native(self, images: np.ndarray) -> np.ndarray:
        """Quantize (or cast) and reshape real images float32 [batch, …] (0 to 1) to the inputs' own types."""

    def from_native(self, outputs: np.ndarray) -> np.ndarray:
        """Dequantize native outputs [batch, classes] to float32."""

    def feed(self, native: np.ndarray) -> None:
        """Set the inputs, resizing to their batch where that differs."""

    def invoke(self) -> None:
        """Run the model once."""

    def fetch(self) -> np.ndarray:
        """A copy of the native output [batch, classes]."""


class RawSession(Protocol):
    """A model file opened to be fed and read as it is: any number of inputs and outputs, nothing converted."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Outputs for one array for each input, each of the input's own type.

        Raises:
            InputError: It cannot be run so, with the runtime's reason.
        """


def plugin(file_format: str, name: str | None = None) -> ModuleType:
    """The runtime of a format: the usual one, or the one of that name where it is for this format.

    Raises:
        InputError: There is none.
    """
    if name is not None:
        named = registry.load("runtimes", name)
        if file_format == named.FORMAT:
            return named
    return registry.by_format("runtimes", file_format)


def open_model(path: Path, *, threads: int = 1, runtime: str | None = None) -> Session:
    """Open a ``.tflite`` or ``.onnx`` file in its runtime, batch 1.

    Args:
        path: The file.
        threads: Of the runtime.
        runtime: Name of another than the usual one, for files of its format.

    Raises:
        InputError: The file cannot be opened, with the runtime's own reason.
    """
    session: Session = plugin(registry.format_of(path), runtime).open_model(path, threads=threads)
    return session


def profile(
    path: Path,
    file: ModelFacts,
    images: np.ndarray | None,
    *,
    threads: int = 1,
    batch: int = 1,
    seconds: float = 0.5,
    runtime: str | None = None,
) -> tuple[list[OperatorFigures], RuntimeFacts]:
    """What the runtime makes of a file and how long its operators take, see above.

    A runtime without a ``profile`` of its own gets the file's list of operators, without times.

    Raises:
        InputError: The file cannot be opened, fed or run, with the runtime's own reason.
    """
    from optkit.runtimes import _operators
    from optkit.schema import RuntimeFacts

    chosen = plugin(file.format, runtime)
    if not hasattr(chosen, "profile"):
        chosen.open_model(path, threads=threads)
        return _operators.listed(file), RuntimeFacts(None, "the runtime's own", len(file.operators))
    found: tuple[list[OperatorFigures], RuntimeFacts] = chosen.profile(
        path, file, images, threads=threads, batch=batch, seconds=seconds
    )
    return found


def kernels(file_format: str) -> tuple[str, ...]:
    """Names of the ways in which a format's runtime can run a file, the usual one first.

    Raises:
        InputError: Its runtime cannot be held to bits.
    """
    runtime = registry.by_format("runtimes", file_format)
    if not hasattr(runtime, "open_raw"):
        raise InputError(f"the runtime of .{file_format} files has no way to feed and read a file as it is")
    found: tuple[str, ...] = runtime.KERNELS
    return found


def open_raw(path: Path, kernels_name: str) -> RawSession:
    """Open a file to be fed and read as it is, on one thread.

    Args:
        path: The file.
        kernels_name: One of ``kernels`` of its format.

    Raises:
        InputError: The file cannot be opened, with the runtime's own reason.
    """
    session: RawSession = registry.by_format("runtimes", registry.format_of(path)).open_raw(path, kernels_name)
    return session


def predict(session: Session, images: np.ndarray, *, batch: int = 1) -> np.ndarray:
    """Native outputs [n, classes] for real images float32 [n, …], at the given batch."""
    import numpy as np

    rows = []
    for start in range(0, len(images), batch):
        session.feed(session.to_native(images[start : start + batch]))
        session.invoke()
        rows.append(session.fetch())
    return np.concatenate(rows)
