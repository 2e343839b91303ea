"""Models that look whole numbers up in a table (Embedding): their numbers are fed as float32, as everything else is."""

from __future__ import annotations

from typing import Any

from optkit.errors import InputError


def tables(model: Any) -> list[Any]:
    """The Embedding layers that the model's input goes into; empty where it also goes into others, or has several.

    Args:
        model: A functional or sequential tf_keras model.
    """
    (given, *more) = model.inputs
    if more:
        return []
    users = [
        layer
        for layer in model.layers
        if any(given is tensor for node in layer.inbound_nodes for tensor in node.keras_inputs)
    ]
    return users if users and all(type(layer).__name__ == "Embedding" for layer in users) else []


def with_real_input(model: Any) -> Any:
    """The same model with a float32 input, where whole numbers are only looked up; else the model itself.

    float32 has every whole number up to 2²⁴; the layers make integers of them.

    Args:
        model: A tf_keras model.
    """
    if model.inputs[0].dtype.is_floating or not tables(model):
        return model
    config = model.get_config()
    for layer in config["layers"]:
        if layer["class_name"] == "InputLayer":
            layer["config"]["dtype"] = "float32"
    made = type(model).from_config(config)
    made.set_weights(model.get_weights())
    return made


def check_numbers(model: Any, least: float, most: float, source: str) -> None:
    """Refuse numbers that are in no table.

    Args:
        model: The model.
        least: Lowest number of the data.
        most: Highest.
        source: Where the data are from.

    Raises:
        InputError: A number is below 0, or not below the size of a table.
    """
    for layer in tables(model):
        if least < 0 or most >= layer.input_dim:
            raise InputError(
                f"layer {layer.name!r} looks up numbers from 0 to {layer.input_dim - 1}, {source} has {least:g} to "
                f"{most:g}: give the data that the model was trained on, prepared as they were then"
            )
