"""Of a model with several outputs, the one that the labels judge: the model is cut to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optkit.errors import InputError, nearest

if TYPE_CHECKING:
    from optkit.data import Dataset


def cut(model: Any, dataset: Dataset, wanted: str | None, source: str) -> tuple[Any, list[str]]:
    """The model with one output.

    Args:
        model: A tf_keras model.
        dataset: Its labels say which outputs they can judge.
        wanted: Name of the output (``--output``); ``None`` takes the only one that fits.
        source: The model's path, for messages.

    Returns:
        The model itself where it has one output, else one of what that output needs, sharing its weights; and
        warnings.

    Raises:
        InputError: There is no such output, or several or none fit the labels.
    """
    names = [str(name) for name in model.output_names]
    if wanted is not None and wanted not in names:
        raise InputError(f"--output {wanted!r} is none of the outputs of {source}: {nearest(wanted, names)}")
    if len(names) == 1:
        return model, []
    shapes = dict(zip(names, [tuple(one.shape) for one in model.outputs], strict=True))
    fitting = [name for name in names if _fits(shapes[name], dataset)]
    if wanted is None and len(fitting) != 1:
        found = ", ".join(f"{name} {list(shape[1:])}" for name, shape in shapes.items())
        how_many = "none of them has" if not fitting else f"{' and '.join(fitting)} have"
        raise InputError(
            f"{source} has the outputs {found}: {how_many} the form that the labels of {dataset.name} need; name the "
            "one that they are for with --output NAME"
        )
    import tf_keras

    chosen = wanted or fitting[0]
    left_out = ", ".join(name for name in names if name != chosen)
    made = tf_keras.Model(model.inputs, model.outputs[names.index(chosen)], name=model.name)
    warning = (
        f"{source} has {len(names)} outputs: {chosen} is compressed and judged, {left_out} left out; for another one "
        "run again with --output NAME and labels for it"
    )
    return made, [warning]


def _fits(shape: tuple[int | None, ...], dataset: Dataset) -> bool:
    """Whether an output [batch, values] can be what the labels are for."""
    if len(shape) != 2 or shape[1] is None:
        return False
    if dataset.classes == 0:
        return shape[1] == 1
    return shape[1] >= dataset.classes if dataset.classes > 2 else shape[1] in {1, 2}
