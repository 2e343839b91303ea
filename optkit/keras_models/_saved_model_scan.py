"""Reads a SavedModel's graph from its bytes, and refuses operators that touch files or run code.

Only what computes the serving outputs is taken over, so only that, and what restores its variables, is looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optkit.errors import InputError
from optkit.keras_models import _limits

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MOST_GRAPH_BYTES = (2 << 30) - 1
MOST_FILES = 10_000
# Operators with a state of their own that a network may have.
_STATE_WORDS = (
    "Assert AssignVariableOp BatchFunction Case If Placeholder PartitionedCall RandomStandardNormal RandomUniform "
    "RandomUniformInt ReadVariableOp StatefulPartitionedCall TruncatedNormal VarHandleOp VarIsInitializedOp Variable "
    "VariableV2 While TensorListReserve"
)
_STATE = frozenset(_STATE_WORDS.split())
# What restoring variables is made of.
_RESTORING_WORDS = (
    "Assign AssignVariableOp Const Identity IdentityN NoOp PartitionedCall Pack Placeholder PlaceholderWithDefault "
    "RestoreV2 StatefulPartitionedCall StringJoin VarHandleOp VariableV2 Reshape Cast"
)
_RESTORING = frozenset(_RESTORING_WORDS.split())
_CODE = ("PyFunc", "RemoteCall", "SymbolicGradient", "Xla", "Tpu", "TPU", "Collective", "Debug", "Print", "_")


@dataclass(frozen=True)
class Serving:
    """The serving function of a SavedModel, not loaded yet.

    Attributes:
        graph: A GraphDef of what computes its outputs and restores its variables.
        inputs: Tensor names by input name, in order.
        outputs: Tensor names by output name, in order.
        restore: Name of the operator that restores variables and of the tensor that takes the path; ``None`` where
            there are none.
    """

    graph: Any
    inputs: dict[str, str]
    outputs: dict[str, str]
    restore: tuple[str, str] | None


def read_serving(folder: Path) -> Serving:
    """The serving function of a SavedModel folder.

    Raises:
        InputError: The folder or its graph is damaged or hostile, or has no serving function.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    _check_folder(folder)
    proto = SavedModel()
    try:
        proto.ParseFromString((folder / "saved_model.pb").read_bytes())
    except (DecodeError, OSError, RecursionError) as error:
        raise _limits.damaged(folder, f"saved_model.pb: {error}") from error
    served = [one for one in proto.meta_graphs if "serve" in one.meta_info_def.tags]
    if not served:
        raise InputError(f"{folder} holds no graph for serving; save it with tf.saved_model.save or model.export")
    meta = served[0]
    signature = _signature(meta, folder)
    saver = meta.saver_def
    has_variables = (folder / "variables" / "variables.index").is_file()
    restore = (saver.restore_op_name, saver.filename_tensor_name) if has_variables and saver.restore_op_name else None
    serving = Serving(
        graph=meta.graph_def,
        inputs={name: info.name for name, info in sorted(signature.inputs.items())},
        outputs={name: info.name for name, info in sorted(signature.outputs.items())},
        restore=restore,
    )
    names = [*serving.inputs.values(), *serving.outputs.values()]
    if not serving.inputs or not serving.outputs or not all(names):
        raise InputError(f"the serving function of {folder} takes or gives no plain tensors; export one that does")
    kept = check_graph(serving, folder)
    if restore:
        check_checkpoint(folder)
    return Serving(kept, serving.inputs, serving.outputs, restore)


def _check_folder(folder: Path) -> None:
    root = folder.resolve()
    for count, one in enumerate(sorted(folder.rglob("*"))):
        if count > MOST_FILES:
            raise _limits.refused(folder, f"expected at most {MOST_FILES:,} files, found more")
        if one.is_symlink() and not one.resolve().is_relative_to(root):
            raise _limits.refused(folder, f"{one.name} is a link that leaves the folder")
        if not one.is_dir() and not one.is_file():
            raise _limits.refused(folder, f"{one.name} is neither a file nor a folder")
    size = (folder / "saved_model.pb").stat().st_size
    if size > MOST_GRAPH_BYTES:
        raise _limits.refused(folder, f"saved_model.pb takes {size:,} bytes")


def _signature(meta: Any, folder: Path) -> Any:
    found = {key: one for key, one in meta.signature_def.items() if not key.startswith("__")}
    if "serving_default" in found:
        return found["serving_default"]
    if len(found) == 1:
        return next(iter(found.values()))
    shown = ", ".join(sorted(found)[:5]) or "none"
    raise InputError(f"expected a signature serving_default in {folder}, found {shown}; export the model with that one")


def check_graph(serving: Serving, folder: Path) -> Any:
    """Keep what computes the outputs and restores the variables, and look at every operator of it.

    Returns:
        The GraphDef that is left.

    Raises:
        InputError: With the operator.
    """
    from tensorflow.core.framework.graph_pb2 import GraphDef

    graph = serving.graph
    nodes = {node.name: node for node in graph.node}
    functions = {one.signature.name: one for one in graph.library.function}
    wanted = [_node_name(name) for name in (*serving.inputs.values(), *serving.outputs.values())]
    kept = _reachable(nodes, wanted)
    # Freezing reads the variables through nodes that nothing else needs.
    kept |= {node.name for node in graph.node if node.op == "ReadVariableOp" and _node_name(node.input[0]) in kept}
    bodies = _called(kept, nodes, functions)
    for node in (*(nodes[name] for name in kept), *(node for name in bodies for node in functions[name].node_def)):
        if reason := _unwelcome(node, functions):
            raise InputError(
                f"refused {folder}: its operator {node.op} ({node.name[:100]}) {reason}; export the model without it"
            )
    if serving.restore:
        restoring = _reachable(nodes, [_node_name(name) for name in serving.restore])
        inside = _called(restoring, nodes, functions)
        for node in (
            *(nodes[name] for name in restoring),
            *(node for name in inside for node in functions[name].node_def),
        ):
            if node.op not in _RESTORING and node.op not in functions:
                raise InputError(f"refused {folder}: restoring its variables runs {node.op}; export the model again")
        kept |= restoring
        bodies |= inside
    left = GraphDef(versions=graph.versions)
    left.node.extend(node for node in graph.node if node.name in kept)
    left.library.function.extend(one for name, one in functions.items() if name in bodies)
    return left


def _reachable(nodes: dict[str, Any], wanted: Iterable[str]) -> set[str]:
    found: set[str] = set()
    pending = [name for name in wanted if name in nodes]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += [source for one in nodes[name].input if (source := _node_name(one)) in nodes]
    return found


def _called(names: set[str], nodes: dict[str, Any], functions: dict[str, Any]) -> set[str]:
    """Names of the library functions that some nodes call, directly or not."""
    found: set[str] = set()
    pending = [nodes[name] for name in names]
    while pending:
        node = pending.pop()
        called = [node.op, *(one.func.name for one in node.attr.values())]
        called += [one.name for value in node.attr.values() for one in value.list.func]
        for name in called:
            if name in functions and name not in found:
                found.add(name)
                pending += functions[name].node_def
    return found


def _node_name(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _unwelcome(node: Any, functions: dict[str, Any]) -> str:
    """Why an operator may not be in a network; empty where it may."""
    from tensorflow.core.framework import types_pb2
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(node.op)
    if definition is None:
        return "" if node.op in functions else "is not part of TensorFlow"
    if any(part in node.op if part != "_" else node.op.startswith("_") for part in _CODE):
        return "runs code or writes to the screen"
    if definition.is_stateful and node.op not in _STATE:
        return "reaches beyond the network: files, tables, or a state of its own"
    text = types_pb2.DT_STRING
    if node.op != "Assert" and any(one.type == text for one in (*definition.input_arg, *definition.output_arg)):
        return "works on texts, which may name files"
    if node.op == "Placeholder" and node.attr["dtype"].type == text:
        return "takes texts, not numbers"
    return ""


def check_checkpoint(folder: Path) -> None:
    """Refuse variables that declare more bytes than their files hold.

    Raises:
        InputError: They do, or cannot be read.
    """
    import tensorflow as tf

    variables = folder / "variables"
    stored = sum(one.stat().st_size for one in variables.iterdir() if one.name.startswith("variables.data"))
    try:
        reader = tf.train.load_checkpoint(str(variables / "variables"))
        types = reader.get_variable_to_dtype_map()
        declared = {
            name: math.prod(shape) * max(1, types[name].size)
            for name, shape in reader.get_variable_to_shape_map().items()
            if types[name] != tf.string
        }
    except Exception as error:
        # TensorFlow raises whatever its reader says.
        raise _limits.damaged(folder, f"variables: {error}") from error
    if sum(declared.values()) > stored:
        name = max(declared, key=lambda one: declared[one])
        raise _limits.refused(
            folder, f"its variable {name[:100]!r} declares {declared[name]:,} bytes, stored are fewer"
        )
