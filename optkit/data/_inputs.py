"""Examples of models with several inputs: NumPy structures, with a field for each input.

So an example stays one thing, which is chosen, split, kept and sent on as any other, and says itself what it is made
of. ``Form`` is what an example of one or several inputs looks like.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from optkit.data import Examples

# Shape without the batch axis; of several inputs each one's by its name.
Form = tuple[int, ...] | Mapping[str, tuple[int, ...]]


class Together:
    """Examples of several inputs, put together when they are asked for: structures [n].

    Args:
        inputs: Examples [n, …] of each input by its name, equally many.
    """

    def __init__(self, inputs: Mapping[str, Examples]) -> None:
        import numpy as np

        self._inputs = dict(inputs)
        self.dtype = np.dtype([(name, one.dtype, one.shape[1:]) for name, one in self._inputs.items()])
        self.shape = (len(next(iter(self._inputs.values()))),)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, chosen: slice | np.ndarray) -> np.ndarray:
        return together({name: one[chosen] for name, one in self._inputs.items()})


def together(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Arrays [n, …] by the name of their input as one structure [n]."""
    import numpy as np

    first = next(iter(inputs.values()))
    found = np.empty(len(first), np.dtype([(name, one.dtype, one.shape[1:]) for name, one in inputs.items()]))
    for name, one in inputs.items():
        found[name] = one
    return found


def names_of(examples: Examples) -> tuple[str, ...]:
    """Names of the inputs, where there are several; else nothing."""
    return examples.dtype.names or ()


def parts(array: np.ndarray) -> dict[str, np.ndarray]:
    """The array of each input [n, …] by its name; a single one has the name ``""``."""
    return {name: array[name] for name in array.dtype.names} if array.dtype.names else {"": array}


def form_of(model: Any) -> Form:
    """What a Keras model takes."""
    if len(model.inputs) == 1:
        return tuple(model.input_shape[1:])
    return {str(name): tuple(tensor.shape[1:]) for name, tensor in zip(model.input_names, model.inputs, strict=True)}


def form_in(examples: Examples) -> Form:
    """What examples look like."""
    fields = examples.dtype.fields
    if not fields:
        return tuple(examples.shape[1:])
    return {name: field[0].shape for name, field in fields.items()}


def size_of(form: Form) -> int:
    """How many numbers an example holds, at least 1; an axis of unknown size counts as 1."""
    shapes = list(form.values()) if isinstance(form, Mapping) else [form]
    return max(1, sum(math.prod(axis or 1 for axis in shape) for shape in shapes))


def real_dtype(form: Form) -> tuple[np.dtype, tuple[int, ...]]:
    """Type and shape of one example in float32, as ``numpy.empty`` takes them."""
    import numpy as np

    if isinstance(form, Mapping):
        return np.dtype([(name, np.float32, shape) for name, shape in form.items()]), ()
    return np.dtype(np.float32), tuple(form)


def fed(real: np.ndarray) -> Any:
    """Real inputs as a Keras model takes them: the array, or arrays by the names of the inputs."""
    import numpy as np

    if not real.dtype.names:
        return real
    return {name: np.ascontiguousarray(one) for name, one in parts(real).items()}
