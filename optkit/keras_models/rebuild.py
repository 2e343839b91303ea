"""Rebuilds a Keras 3 model in tf_keras, layer by layer, and proves that it answers the same.

Compression tools (tensorflow-model-optimization, tf2onnx) take tf_keras models only. Nested models are taken apart
into one flat model, because those tools look at the layers of the outermost model alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from optkit.errors import InputError
from optkit.keras_models import _graph, _layers, _operations
from optkit.keras_models._layers_config import array
from optkit.keras_models._parts import Names, NotRebuildableError, Parts, as_float32
from optkit.keras_models.rebuild_compare import check_layers, compare

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NotRebuildableError", "Rebuilt", "rebuild"]


class Rebuilt(NamedTuple):
    """A tf_keras model that answers as the Keras 3 model does.

    Attributes:
        model: In float32, not compiled, with the names of the source's layers.
        difference: Largest difference of an output over that output's largest value, on random inputs.
        notes: What is not as it was: renamed layers, nested models taken apart, a policy, an augmentation left out.
    """

    model: Any
    difference: float
    notes: list[str]


def rebuild(source: Any) -> Rebuilt:
    """Rebuild a Keras 3 model in tf_keras, with the weights copied and the outputs compared.

    Args:
        source: Sequential or Functional, with a known input shape; it is not changed.

    Raises:
        NotRebuildableError: A layer or operation has no counterpart, with its name.
        InputError: The two models do not agree within 1e-5; names the first layer at which they part.
    """
    import tf_keras

    builder = _Builder(source)
    functional = _graph.functional_of(source)
    with _graph.in_float32(source):
        inputs = [builder.input(tensor) for tensor in functional.inputs]
        outputs = _graph.walk(source, inputs, builder.apply, builder.constant)
        model = tf_keras.Model(inputs, builder.named(functional, outputs), name=builder.names.free(source.name))
    model.trainable = source.trainable
    builder.restore_trainable()
    check_layers(source, builder.apply, builder.constant)
    return Rebuilt(model, compare(source, model), builder.all_notes(source))


class _Builder:
    """Applies operations of a source model in tf_keras; each is made once, however often it is called."""

    def __init__(self, source: Any) -> None:
        self.names = Names(_graph.operations(source))
        self._parts: dict[int, Parts] = {}
        # Operations are known by their address, so they must live as long as this.
        self._kept: list[Any] = []
        self._notes: list[str] = []

    def apply(self, node: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The outputs of one call in the source's graph, for tf_keras tensors or values."""
        return self._convert(self._of(node.operation, node.outputs), node.operation, args, kwargs)

    def constant(self, value: Any) -> Any:
        """An argument that is not computed, as numpy array or Python value."""
        import keras

        if isinstance(value, keras.Variable) or keras.ops.is_tensor(value):
            return array(value)
        return value

    def input(self, tensor: Any) -> Any:
        """An input of the model."""
        import tf_keras

        name = self.names.of(tensor._keras_history.operation)  # noqa: SLF001  # Keras has no public name for it
        if tensor.sparse or getattr(tensor, "ragged", False):
            raise NotRebuildableError(name, "it takes sparse or ragged tensors")
        shape, dtype = tuple(tensor.shape), as_float32(tensor.dtype)
        return tf_keras.Input(shape[1:], batch_size=shape[0], dtype=dtype, name=name)

    def named(self, functional: Any, outputs: Sequence[Any]) -> list[Any]:
        """The outputs, each from a layer with the name that the source model has for it.

        That of a nested model has the name of its last layer, which is not the one that users know.
        """
        import tf_keras

        found: list[Any] = []
        for tensor, output in zip(functional.outputs, outputs, strict=True):
            operation = tensor._keras_history.operation  # noqa: SLF001
            nested = _graph.is_model(operation)
            wanted = operation.name if nested else self.names.of(operation)
            made = output.node.layer.name
            again = any(output is other for other in found)
            # A layer with the output's name may exist elsewhere: one whose activation follows as a layer of its own.
            name = self.names.free(wanted) if nested or again or wanted in self._made() else wanted
            if made == wanted and not again:
                found.append(output)
            elif name == wanted or again:
                found.append(tf_keras.layers.Activation("linear", name=name)(output))
            else:
                self._notes.append(f"output {wanted} is called {made} in the rebuilt model")
                found.append(output)
        return found

    def restore_trainable(self) -> None:
        """Freeze again what the source has frozen; setting it on a model sets it on all its layers."""
        for parts in self._parts.values():
            parts.freeze()

    def all_notes(self, source: Any) -> list[str]:
        """What is not as it was in the source model."""
        nested = [layer.name for layer in _nested(source)]
        taken_apart = [f"nested model {name} was taken apart into the outer one" for name in dict.fromkeys(nested)]
        notes = [note for parts in self._parts.values() for note in parts.notes]
        return list(dict.fromkeys([*_policies(source), *taken_apart, *self.names.notes, *self._notes, *notes]))

    def _made(self) -> set[str]:
        return {name for parts in self._parts.values() for name in parts.made_names()}

    def _of(self, operation: Any, outputs: Sequence[Any], name: str | None = None) -> Parts:
        if id(operation) not in self._parts:
            self._kept.append(operation)
            self._parts[id(operation)] = Parts(
                name=name or self.names.of(operation),
                outputs=outputs,
                names=self.names,
                convert=self._within,
                trainable=bool(getattr(operation, "trainable", True)),
            )
        return self._parts[id(operation)]

    def _within(self, parts: Parts, layer: Any, suffix: str, *args: Any) -> Any:
        """Apply a layer that another one holds."""
        name = parts.name
        if suffix and id(layer) not in self._parts:
            name = self.names.free(f"{parts.name}_{suffix}")
        return self._convert(self._of(layer, parts.outputs, name), layer, args, {})

    def _convert(self, parts: Parts, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        import keras
        import tensorflow as tf

        parts.start()
        convert = _layers.convert if isinstance(operation, keras.Layer) else _operations.convert
        try:
            return convert(parts, operation, *args, **kwargs)
        except InputError:
            raise
        except (ValueError, TypeError, AttributeError, NotImplementedError, LookupError, tf.errors.OpError) as error:
            # Keras and TensorFlow refuse options in as many ways as there are layers.
            reason = " ".join(str(error).split())[:300]
            raise parts.refuse(f"tf_keras does not take it ({type(error).__name__}: {reason})") from error


def _nested(source: Any) -> list[Any]:
    found = []
    for node in _graph.nodes(_graph.functional_of(source)):
        if _graph.is_model(node.operation):
            found += [node.operation, *_nested(node.operation)]
    return found


def _policies(source: Any) -> list[str]:
    """A note for each policy of numbers that is not float32."""
    counts: dict[str, int] = {}
    for layer in source._flatten_layers(include_self=False, recursive=True):  # noqa: SLF001
        if "float" in layer.compute_dtype and layer.compute_dtype != "float32":
            counts[layer.dtype_policy.name] = counts.get(layer.dtype_policy.name, 0) + 1
    return [
        f"{count} layers have the policy {name}: rebuilt in float32, and compared with the source in float32"
        for name, count in counts.items()
    ]
