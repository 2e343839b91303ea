"""Models that look whole numbers up in tables (Embedding): their numbers are fed as float32, as everything else is."""

from __future__ import annotations

from typing import Any

from optkit.errors import InputError


def tables(model: Any) -> dict[str, list[Any]]:
    """The Embedding layers that an input goes into, by its name; those inputs are left out that go into others as well.

    Args:
        model: A functional or sequential tf_keras model.
    """
    found = {}
    for name, given in zip(model.input_names, model.inputs, strict=True):
        users = [
            layer
            for layer in model.layers
            if any(given is tensor for node in layer.inbound_nodes for tensor in node.keras_inputs)
        ]
        if users and all(type(layer).__name__ == "Embedding" for layer in users):
            found[str(name)] = users
    return found


def with_real_input(model: Any) -> Any:
    """The same model with float32 inputs, where whole numbers are only looked up; else the model itself.

    float32 has every whole number up to 2²⁴; the layers make integers of them.

    Args:
        model: A tf_keras model.
    """
    looked_up = tables(model)
    named = zip(model.input_names, model.inputs, strict=True)
    whole = {name for name, given in named if name in looked_up and not given.dtype.is_floating}
    if not whole:
        return model
    config = model.get_config()
    for layer in config["layers"]:
        if layer["class_name"] == "InputLayer" and layer["config"]["name"] in whole:
            layer["config"]["dtype"] = "float32"
    made = type(model).from_config(config)
    made.set_weights(model.get_weights())
    return made


def check_numbers(layers: list[Any], least: float, most: float, source: str) -> None:
    """Refuse numbers that are in no table.

    Args:
        layers: The Embedding layers that an input goes into.
        least: Lowest number of the data for it.
        most: Highest.
        source: Where the data are from.

    Raises:
        InputError: A number is below 0, or not below the size of a table.
    """
    for layer in layers:
        if least < 0 or most >= layer.input_dim:
            raise InputError(
                f"layer {layer.name!r} looks up numbers from 0 to {layer.input_dim - 1}, {source} has {least:g} to "
                f"{most:g}: give the data that the model was trained on, prepared as they were then"
            )
