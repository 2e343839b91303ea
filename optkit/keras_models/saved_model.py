"""Models that cannot be rebuilt layer by layer: one frozen graph, as a tf_keras model of a single layer.

The graph's weights are constants, so it can be compressed after training and not trained further. On disk it is a
SavedModel folder of one file with no dates and no random fingerprint; its bytes depend on the model alone.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from optkit.errors import InputError
from optkit.store import write_bytes

if TYPE_CHECKING:
    from pathlib import Path

LAYER = "network"
_FILE = "saved_model.pb"


class Frozen(NamedTuple):
    """A graph without variables.

    Attributes:
        graph: The GraphDef.
        inputs: ``(name, tensor name)`` of each input, in order.
        outputs: The same of each output.
    """

    graph: Any
    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[tuple[str, str], ...]


def from_folder(folder: Path) -> Frozen:
    """Freeze the serving function of a SavedModel folder; only that and what restores its variables is run.

    Raises:
        InputError: It is damaged, hostile, or has no serving function on numbers.
    """
    import tensorflow as tf

    from optkit.keras_models._saved_model_scan import read_serving

    serving = read_serving(folder)
    outputs = [name.partition(":")[0] for name in serving.outputs.values()]
    try:
        with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
            tf.graph_util.import_graph_def(serving.graph, name="")
            if serving.restore:
                session.run(serving.restore[0], {serving.restore[1]: str(folder / "variables" / "variables")})
            constant = tf.compat.v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), outputs)
        return _inlined(constant, serving.inputs, serving.outputs)
    except InputError:
        raise
    except Exception as error:
        # TensorFlow raises whatever its operators do.
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"TensorFlow cannot load {folder}: {reason}; export the model again") from error


def _inlined(graph: Any, inputs: dict[str, str], outputs: dict[str, str]) -> Frozen:
    """Put the functions that a graph calls in their places."""
    import tensorflow as tf
    from tensorflow.core.protobuf.config_pb2 import ConfigProto
    from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig
    from tensorflow.python.framework.convert_to_constants import disable_lower_using_switch_merge
    from tensorflow.python.grappler.tf_optimizer import OptimizeGraph

    with tf.Graph().as_default() as whole:
        found = tf.graph_util.import_graph_def(graph, return_elements=list(outputs.values()), name="")
        # A call that is itself an output would stay.
        ends = [tf.identity(tensor, name="output") for tensor in found]
        # Loops stay one operator each: that is what converters know.
        meta = tf.compat.v1.train.export_meta_graph(graph_def=disable_lower_using_switch_merge(whole.as_graph_def()))
    kept = [*inputs.values(), *(tensor.name for tensor in ends)]
    meta.collection_def["train_op"].node_list.value.extend(name.partition(":")[0] for name in kept)
    config = ConfigProto()
    options = config.graph_options.rewrite_options
    options.min_graph_nodes = -1
    options.optimizers.append("function")
    options.function_optimization = RewriterConfig.AGGRESSIVE
    optimized = OptimizeGraph(config, meta)
    _settle_names(optimized)
    return Frozen(
        optimized,
        tuple(inputs.items()),
        tuple((name, tensor.name) for name, tensor in zip(outputs, ends, strict=True)),
    )


def from_keras(model: Any, shapes: list[tuple[int | None, ...]], dtypes: list[str]) -> Frozen:
    """Freeze a live Keras 3 or tf_keras model, in inference mode.

    Args:
        model: The model.
        shapes: Shape [batch, …] of each input.
        dtypes: Type of each input.
    """
    import tensorflow as tf

    nested = model.inputs if isinstance(getattr(model, "inputs", None), dict) else None
    names = list(getattr(model, "input_names", None) or [])
    if len(names) != len(shapes):
        names = [str(getattr(one, "name", "")) for one in getattr(model, "inputs", None) or []]
    if len(names) != len(shapes) or not all(names):
        names = [f"input_{index + 1}" if index else "input" for index in range(len(shapes))]
    signature = [
        tf.TensorSpec((None, *shape[1:]), dtype, re.sub(r"\W", "_", name))
        for shape, dtype, name in zip(shapes, dtypes, names, strict=True)
    ]

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]  # TensorFlow ships no types
    def serve(*inputs: Any) -> Any:
        given: Any = inputs[0] if len(inputs) == 1 else list(inputs)
        if nested is not None:
            given = dict(zip(nested, inputs, strict=True))
        return tf.nest.flatten(model(given, training=False))

    function = serve.get_concrete_function()
    outputs = [str(one) for one in getattr(model, "output_names", None) or []]
    count = len(function.outputs)
    if len(outputs) != count:
        outputs = ["output"] if count == 1 else [f"output_{index + 1}" for index in range(count)]
    return freeze(function, tuple(names), tuple(outputs))


def freeze(function: Any, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Frozen:
    """Replace a concrete function's variables by constants and put the functions that it calls in their places."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False, aggressive_inlining=True)
    graph = frozen.graph.as_graph_def()
    _settle_names(graph)
    return Frozen(
        graph,
        tuple(zip(inputs, [tensor.name for tensor in frozen.inputs], strict=True)),
        tuple(zip(outputs, [tensor.name for tensor in frozen.outputs], strict=True)),
    )


def _settle_names(graph: Any) -> None:
    """Give the functions of a graph names that depend on the model alone, and that no other model has.

    TensorFlow numbers them through the process, and keeps one definition for a name.
    """
    for node in _all_nodes(graph):
        node.ClearField("experimental_debug_info")
        for private in [key for key in node.attr if key.startswith("_")]:
            del node.attr[private]
    if not graph.library.function:
        return
    graph.library.function.sort(key=lambda one: _without_counters(one.signature.name))
    count = range(len(graph.library.function))
    _rename(graph, [f"body_{index}" for index in count])
    digest = hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest()[:16]
    _rename(graph, [f"body_{digest}_{index}" for index in count])


def _all_nodes(graph: Any) -> list[Any]:
    return [*graph.node, *(node for one in graph.library.function for node in one.node_def)]


def _rename(graph: Any, new: list[str]) -> None:
    names = {one.signature.name: name for one, name in zip(graph.library.function, new, strict=True)}
    for node in _all_nodes(graph):
        node.op = names.get(node.op, node.op)
        for value in node.attr.values():
            kind = value.WhichOneof("value")
            for called in [value.func] if kind == "func" else value.list.func if kind == "list" else ():
                called.name = names.get(called.name, called.name)
    for one in graph.library.function:
        one.signature.name = names[one.signature.name]


def _without_counters(name: str) -> tuple[str, tuple[int, ...]]:
    return re.sub(r"\d+", "", name), tuple(int(number) for number in re.findall(r"\d+", name))


def wrap(frozen: Frozen, source: object) -> Any:
    """A tf_keras functional model with one layer, which computes the graph.

    Args:
        frozen: The graph.
        source: What messages name.

    Raises:
        InputError: An input or output is no number, or has no fixed shape but for the batch.
    """
    import tensorflow as tf
    import tf_keras

    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(frozen.graph, name="")
        ports = {
            name: (graph.get_tensor_by_name(tensor).shape, graph.get_tensor_by_name(tensor).dtype)
            for name, tensor in (*frozen.inputs, *frozen.outputs)
        }
    for name, (shape, dtype) in ports.items():
        _check_port(name, shape, dtype, source)
    for name, _ in frozen.inputs:
        if None in ports[name][0][1:]:
            raise InputError(_unknown_shape(name, ports[name][0], source))
    inputs = [
        tf_keras.Input(tuple(ports[name][0][1:]), dtype=ports[name][1], name=_port_name(name))
        for name, _ in frozen.inputs
    ]
    layer = _layer_class()(frozen, name=LAYER)
    results = layer(inputs)
    for tensor, (name, _) in zip(results, frozen.outputs, strict=True):
        if tensor.shape.rank is None or None in tensor.shape[1:]:
            raise InputError(_unknown_shape(name, tensor.shape, source))
    model = tf_keras.Model(inputs, results[0] if len(results) == 1 else results, name="model")
    if len(results) == 1:
        model.output_names = [_port_name(frozen.outputs[0][0])]
    return model


def _check_port(name: str, shape: Any, dtype: Any, source: object) -> None:
    if not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
        raise InputError(f"expected numbers at {name!r} of {source}, found {dtype.name}; export a model of numbers")
    if shape.rank is None:
        raise InputError(_unknown_shape(name, shape, source))
    if shape.rank < 1 or shape[0] is not None:
        raise InputError(
            f"expected any batch size at {name!r} of {source}, found the shape {shape}; export it with None there"
        )


def _unknown_shape(name: str, shape: Any, source: object) -> str:
    return f"expected a fixed shape [None, …] at {name!r} of {source}, found {shape}; export it with an input_signature"


def _port_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.\-]", "_", name).lstrip("_.-") or "port"


@cache
def _layer_class() -> Any:
    import tensorflow as tf
    import tf_keras
    from tensorflow.python.eager import context

    class FrozenGraph(tf_keras.layers.Layer):  # type: ignore[misc]  # tf_keras ships no types
        """Computes a frozen graph: all inputs in one list, all outputs in one."""

        def __init__(self, frozen: Frozen, **settings: Any) -> None:
            super().__init__(trainable=False, autocast=False, **settings)
            self.frozen = frozen
            self._eager = tf.function(self._import)

        def call(self, inputs: Any) -> Any:
            given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
            return self._eager(given) if tf.executing_eagerly() else self._import(given)

        def _import(self, given: list[Any]) -> list[Any]:
            tensors = [tensor for _, tensor in self.frozen.outputs]
            # Importing tells only the graph that is being built about the bodies of loops.
            for body in self.frozen.graph.library.function:
                if not context.context().has_function(body.signature.name):
                    context.context().add_function_def(body)
            sources = {tensor: one for (_, tensor), one in zip(self.frozen.inputs, given, strict=True)}
            found: list[Any] = tf.graph_util.import_graph_def(
                self.frozen.graph, input_map=sources, return_elements=tensors, name="graph"
            )
            for tensor in found:
                if tensor.shape.rank:
                    tensor.set_shape([given[0].shape[0], *tensor.shape[1:]])
            return found

    return FrozenGraph


def frozen_of(model: Any) -> Frozen | None:
    """The graph of a model that ``wrap`` made, else ``None``."""
    for layer in model.layers:
        frozen = getattr(layer, "frozen", None)
        if frozen is not None and isinstance(layer, _layer_class()):
            return Frozen(*frozen)
    return None


def save_folder(model: Any, path: Path) -> None:
    """Write a wrapped model as a SavedModel folder; its one file is there whole or not at all.

    Raises:
        InputError: The model is no wrapped one, or is over the 2 GiB of a SavedModel without variables.
    """
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    frozen = frozen_of(model)
    if frozen is None:
        raise InputError(f"expected a model of a frozen graph for {path}, found layers; save it as .h5")
    proto = SavedModel(saved_model_schema_version=1)
    meta = proto.meta_graphs.add()
    meta.meta_info_def.tags.append("serve")
    meta.graph_def.CopyFrom(frozen.graph)
    signature = meta.signature_def["serving_default"]
    signature.method_name = "tensorflow/serving/predict"
    shapes = {
        **dict(zip((name for name, _ in frozen.inputs), model.inputs, strict=True)),
        **dict(zip((name for name, _ in frozen.outputs), model.outputs, strict=True)),
    }
    for ports, infos in ((frozen.inputs, signature.inputs), (frozen.outputs, signature.outputs)):
        for place, (name, tensor) in enumerate(ports):
            # SignatureDef has no order of its own; the number keeps it.
            info = infos[f"{place:03d} {name}"] if len(ports) > 1 else infos[name]
            info.name, info.dtype = tensor, shapes[name].dtype.as_datatype_enum
            info.tensor_shape.CopyFrom(shapes[name].shape.as_proto())
    try:
        content = proto.SerializeToString(deterministic=True)
    except ValueError as error:
        raise InputError(f"the model takes over 2 GiB, the most that a frozen graph can ({error})") from error
    path.mkdir(parents=True, exist_ok=True)
    write_bytes(path / _FILE, content)


def load_folder(path: Path) -> Any:
    """The wrapped model that ``save_folder`` wrote."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    proto = SavedModel.FromString((path / _FILE).read_bytes())
    meta = proto.meta_graphs[0]
    signature = meta.signature_def["serving_default"]

    def ports(infos: Any) -> tuple[tuple[str, str], ...]:
        several = len(infos) > 1
        return tuple((key.partition(" ")[2] if several else key, infos[key].name) for key in sorted(infos))

    return wrap(Frozen(meta.graph_def, ports(signature.inputs), ports(signature.outputs)), path)
