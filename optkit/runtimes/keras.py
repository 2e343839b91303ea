"""Keras itself, which runs .keras files: the reference that small runtimes are held against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optkit.data._inputs import parts
from optkit.errors import InputError
from optkit.keras_models import detect, loading
from optkit.readback import Port
from optkit.runtimes import _ports

if TYPE_CHECKING:
    from pathlib import Path

SUMMARY = "Keras on TensorFlow, as one traced function; models with one output, no Lambda layers."
SOURCE = "https://keras.io/api/models/model_saving_apis/model_saving_and_loading/"
FORMAT = "keras"


def version() -> str:
    """Version of the installed package that current ``.keras`` files are run with."""
    from importlib.metadata import version as installed

    return installed("keras")


def open_model(path: Path, *, threads: int = 1) -> KerasSession:
    """Load a file with the Keras that wrote it: version 3, or version 2 as tf_keras.

    Args:
        path: The ``.keras`` file.
        threads: Threads inside an operator; TensorFlow takes them once per process.

    Raises:
        InputError: The file cannot be loaded, is hostile, or holds or needs Python code (which is never run).
    """
    found = detect.identify(path)
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:
        raise InputError(f"TensorFlow takes its threads once per process: {error}") from error
    model = loading.load_found(found, path, {})
    inputs, outputs = getattr(model, "inputs", None) or [], getattr(model, "outputs", None) or []
    if not inputs or len(outputs) != 1:
        raise InputError(f"expected a model with one output; {path} has {len(outputs)}, and {len(inputs)} inputs")
    return KerasSession(model, inputs, outputs[0])


class KerasSession:
    """An open .keras file. See :class:`optkit.runtimes.Session`."""

    def __init__(self, model: Any, model_inputs: Any, model_output: Any) -> None:
        import tensorflow as tf

        self.inputs = tuple(_port(one) for one in model_inputs)
        self.output = _port(model_output)
        self._call = tf.function(lambda images: model(images, training=False))
        self._constant = tf.constant
        self._native: Any = None
        self._result: Any = None

    def to_native(self, images: np.ndarray) -> np.ndarray:
        """Real images float32 [batch, …] to the input's own type and shape."""
        return _ports.to_native(images, self.inputs)

    def from_native(self, outputs: np.ndarray) -> np.ndarray:
        """Native outputs [batch, classes] to float32."""
        return _ports.from_native(outputs, self.output)

    def feed(self, native: np.ndarray) -> None:
        """Make tensors of the inputs; another batch is traced anew by the next call."""
        given = [self._constant(np.ascontiguousarray(one)) for one in parts(native).values()]
        self._native = given[0] if len(given) == 1 else given

    def invoke(self) -> None:
        """Run the model once."""
        self._result = self._call(self._native)

    def fetch(self) -> np.ndarray:
        """A copy of the native output [batch, classes]."""
        return _ports.rows(self._result.numpy().copy())


def _port(tensor: Any) -> Port:
    dtype = getattr(tensor.dtype, "name", tensor.dtype)
    return Port(
        name=str(tensor.name),
        dtype=str(dtype),
        shape=tuple(-1 if size is None else int(size) for size in tensor.shape),
        scale=None,
        zero_point=None,
    )
