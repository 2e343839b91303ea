"""Changes the graph of a tf_keras model: a layer split in two, a layer left out, a layer's options.

The graph is edited as what ``get_config`` gives, in which layers know each other by name; the weights of the layers
that stay are copied. Sequential and Functional models alike; nested models stay as they are.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

Config = dict[str, Any]
# What Keras notes about one layer and would apply to its copies: the shape that it was built with, its identity.
_OF_ONE_LAYER = ("build_config", "shared_object_id")
_INPUT_SHAPE = "batch_input_shape"


def configuration(model: Any) -> Config:
    """The model's configuration, free to be changed."""
    config: Config = copy.deepcopy(model.get_config())
    return config


def build(model: Any, config: Config, weights: Mapping[str, Sequence[np.ndarray]]) -> Any:
    """A model of the same class from a configuration.

    Args:
        model: The model that the configuration was taken from; layers of the same name keep its weights.
        config: Changed or not.
        weights: By name, those of layers that are new or other than they were.
    """
    made = type(model).from_config(config)
    sources = {layer.name: layer for layer in model.layers}
    for layer in made.layers:
        layer.set_weights(weights[layer.name] if layer.name in weights else sources[layer.name].get_weights())
    return made


def options(config: Config, layer: str) -> Config:
    """The options of one layer, free to be changed."""
    found: Config = _of_one(_entry(config, layer))["config"]
    return found


def split(config: Config, layer: str, first: str, first_options: Config, second_options: Config) -> None:
    """Put a new layer of the same class before a layer.

    Args:
        config: Is changed.
        layer: Keeps its name, and so its place in the graph.
        first: Name of the new layer; it takes what the layer took.
        first_options: What of the new layer is not as in the layer.
        second_options: What of the layer becomes another.
    """
    position = _position(config, layer)
    entry = _of_one(config["layers"][position])
    new = copy.deepcopy(entry)
    new["config"] |= {**first_options, "name": first}
    entry["config"] |= second_options
    # A Sequential model without an input layer has its input's shape in its first layer.
    entry["config"].pop(_INPUT_SHAPE, None)
    if "name" in new:
        new["name"] = first
    if "inbound_nodes" in entry:
        entry["inbound_nodes"] = [[[first, call, 0, {}]] for call in range(len(entry["inbound_nodes"]))]
    config["layers"].insert(position, new)


def leave_out(config: Config, layer: str, before: str) -> None:
    """Take out a layer that is called once, on the output of ``before``: what took its output takes that one."""
    config["layers"].pop(_position(config, layer))
    for entry in config["layers"]:
        if "inbound_nodes" in entry:
            entry["inbound_nodes"] = _renamed(entry["inbound_nodes"], layer, before)
    if "output_layers" in config:
        config["output_layers"] = _renamed(config["output_layers"], layer, before)


def rename(config: Config, wanted: Mapping[str, str]) -> None:
    """Give layers other names; a layer that has one of these already gets a free one."""
    taken = [*wanted.values(), *(entry["config"]["name"] for entry in config["layers"])]
    new = dict(wanted)
    for name in taken[len(wanted) :]:
        if name in wanted.values() and name not in wanted:
            new[name] = free_name(name, taken)
            taken.append(new[name])
    # By way of names that nothing has, so that two layers can swap theirs.
    for names in ({old: f"\n{old}" for old in new}, {f"\n{old}": name for old, name in new.items()}):
        for old, name in names.items():
            entry = _of_one(_entry(config, old))
            entry["config"]["name"] = name
            if "name" in entry:
                entry["name"] = name
            for one in config["layers"]:
                if "inbound_nodes" in one:
                    one["inbound_nodes"] = _renamed(one["inbound_nodes"], old, name)
            for ports in ("input_layers", "output_layers"):
                if ports in config:
                    config[ports] = _renamed(config[ports], old, name)


def free_name(wanted: str, taken: Sequence[str]) -> str:
    """The name, with a number where there is one like it."""
    number, name = 1, wanted
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name


def inputs_of(layer: Any) -> list[Any]:
    """The layers whose outputs a layer is called on, over all its calls."""
    found: list[Any] = []
    for node in layer.inbound_nodes:
        before = node.inbound_layers
        found += before if isinstance(before, list) else [before]
    return found


def consumers(model: Any) -> dict[str, list[str]]:
    """For each layer of a model the layers that are called on its output, once for each call."""
    found: dict[str, list[str]] = {layer.name: [] for layer in model.layers}
    for layer in model.layers:
        for before in inputs_of(layer):
            # A Sequential model does not name its input among its layers.
            found.setdefault(before.name, []).append(layer.name)
    return found


def output_layers(model: Any) -> set[str]:
    """Names of the layers whose outputs are the model's."""
    return {tensor._keras_history.layer.name for tensor in model.outputs}  # noqa: SLF001  # Keras has no public name


def _position(config: Config, layer: str) -> int:
    return next(i for i, entry in enumerate(config["layers"]) if entry["config"]["name"] == layer)


def _entry(config: Config, layer: str) -> Config:
    entry: Config = config["layers"][_position(config, layer)]
    return entry


def _of_one(entry: Config) -> Config:
    for key in _OF_ONE_LAYER:
        entry.pop(key, None)
    return entry


def _renamed(value: Any, layer: str, new: str) -> Any:
    """References ``[layer, call, output, …]`` with another layer in them, however deep they are."""
    if isinstance(value, dict):
        return {key: _renamed(one, layer, new) for key, one in value.items()}
    if not isinstance(value, (list, tuple)):
        return value
    if len(value) >= 3 and value[0] == layer and all(isinstance(number, int) for number in value[1:3]):
        return [new, *(_renamed(one, layer, new) for one in value[1:])]
    return [_renamed(one, layer, new) for one in value]
